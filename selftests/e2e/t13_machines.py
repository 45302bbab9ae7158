#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Are a user's machines there when the user is, and nobody else's ever? Three users with three
machines each, two of the users with the same addresses: real guests under a libvirt of the test's own."""

import concurrent.futures
import hashlib
import json
import os
import re
import select
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, probe, same, say  # noqa: E402
from sally.console import Console  # noqa: E402
from sally.control import Refused  # noqa: E402
from sally.machines import Machine, MachineLab, TapEnd  # noqa: E402
from sally.sniff import Sniffers  # noqa: E402
from sally.virt import GUEST, domain_xml, http_get  # noqa: E402

# The last byte of an address. Alice's and Bob's are the same ones, on purpose.
NUMBERS = {"alice": 101, "bob": 101, "carol": 111}
SHORTS = ("web", "shop", "blog")
BRIDGE = "<interface type='bridge'><mac address='{mac}'/><source bridge='br7'/><model type='virtio'/></interface>"


def addresses(user, i):
    n = NUMBERS[user] + i
    return f"10.50.0.{n}/24", f"fd50::{n}/64"


def description(lab, domain):
    return lab.libvirt.virsh("dumpxml", domain, "--inactive", "--security-info")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


# --- where machines come from ---

def known(lab, user, short, ips, page):
    m = Machine(lab, user, short, ips, page)
    lab.machines[m.name] = m
    return m


def from_domains(lab):
    """USER/blog: an operator's own, taken over."""
    lab.former = {}
    for u, user in enumerate(NUMBERS):
        mac, ips = f"52:54:00:00:0b:{u:02x}", addresses(user, 2)
        lab.libvirt.define(domain_xml(f"op-{user}", BRIDGE.format(mac=mac), page=f"{user}-blog", ips=ips))
        lab.former[user] = description(lab, f"op-{user}")
    with case("from a domain that is there: --dry-run shows what would become of it, and changes nothing"):
        out = lab.sallyport("machine", "add", "alice", "blog", "--domain", "op-alice", "--dry-run").stdout
        before, after = out.split("would become:")
        check("<interface type=\"bridge\">" in before and "br7" in before, out)
        check("<interface type=\"ethernet\">" in after and 'managed="no"' in after and "br7" not in after, out)
        check("52:54:00:00:0b:00" in after, f"the MAC is another: {out}")
        same(description(lab, "op-alice"), lab.former["alice"], "the description")
        same(lab.ask("machine-list")["items"], [], "machines")
    with case("then it is taken over: its interface is ours, the rest as it was"):
        for user in NUMBERS:
            lab.sallyport("machine", "add", user, "blog", "--domain", f"op-{user}", "--start", "manual",
                          "--address", addresses(user, 2)[0].split("/")[0])
            m = known(lab, user, "blog", addresses(user, 2), f"{user}-blog")
            now = description(lab, f"op-{user}")
            check(f"dev='spm{m.show()['id']}' managed='no'" in now and "<source bridge" not in now.split("<metadata>")[0],
                  now)
            same(re.sub(r"(?s)<metadata>.*</metadata>|<interface.*?</interface>|\s", "", now),
                 re.sub(r"(?s)<interface.*?</interface>|\s", "", lab.former[user]), "the rest of it")


def from_images(lab):
    """USER/shop: overlays on one image. It has its addresses and its page from its MAC."""
    base = f"{GUEST}/disk.qcow2"
    lab.base = digest(base)
    with case("from an image: overlays that share one base"):
        for u, user in enumerate(("alice", "bob")):
            mac = f"52:54:00:00:0{u + 1}:{NUMBERS[user] + 1:02x}"
            lab.sallyport("machine", "add", user, "shop", "--image", base, "--mac", mac, "--memory", "128",
                          "--start", "traffic", "--address", addresses(user, 1)[0].split("/")[0])
            known(lab, user, "shop", addresses(user, 1), f"machine {mac}")
            overlay = f"{lab.libvirt.dir}/lib/images/sallyport/{user}-shop.qcow2"
            info = json.loads(net.run("qemu-img", "info", "--output=json", overlay).stdout)
            same((info["backing-filename"], info["format"]), (base, "qcow2"), "its base")
            check(info["actual-size"] < 1 << 20, f"{info['actual-size']} bytes: it shares nothing")
        same(digest(base), lab.base, "the base")


def from_kernels(lab):
    for user in NUMBERS:
        lab.machine(user, "web", *addresses(user, 0))
    lab.machine("carol", "shop", *addresses("carol", 1), add=("--start", "traffic"))


def add_all(lab):
    from_domains(lab)
    from_images(lab)
    with case("from a kernel and an initrd; nine machines, none of them on"):
        from_kernels(lab)
        lab.machines = {f"{u}/{s}": lab.machines[f"{u}/{s}"] for u in NUMBERS for s in SHORTS}
        for m in lab.machines.values():
            m.wait("off")
        macs = {m["mac"] for m in lab.ask("machine-list")["items"]}
        same(len(macs), 9, "different MACs")
        same((lab.active(), lab.taps()), (set(), set()), "domains that run, taps")
    with case("a user with machines is not deleted, and that is said"):
        p = lab.sallyport("user", "delete", "alice", check=False)
        same(p.returncode, 1, "exit status")
        check("machine" in p.stderr and "alice" in p.stderr and "remove" in p.stderr, p.stderr)


# --- the first login ---

def trace_of(lab, user):
    s = next(s for s in lab.sessions(user) if s.get("trace"))
    return lab.json("trace", s["trace"])["events"]


def position(events, stage, machine=None):
    for i, e in enumerate(events):
        if e["stage"] == stage and e.get("object") in (machine, None):
            return i
    raise AssertionError(f"no {stage} of {machine} in {[(e['stage'], e.get('object')) for e in events]}")


def first_login(lab):
    m = lab.machines
    with case("policy connect: machines start when the password was right, while the tunnel comes up"):
        for user in NUMBERS:
            lab.clients[user].start()
        for user in NUMBERS:
            lab.clients[user].wait(60)
        for user in NUMBERS:
            m[f"{user}/web"].wait("running")
            seen = trace_of(lab, user)
            at = [position(seen, *x) for x in (("auth-done",), ("machine-wanted", f"{user}/web"),
                                               ("domain-call", f"{user}/web"), ("connect",), ("connected",))]
            same(at, sorted(at), f"order of {[e['stage'] for e in seen]}")
    with case("policies traffic and manual: those do not"):
        same({n: x.state() for n, x in m.items() if x.short != "web"},
             {f"{u}/{s}": "off" for u in NUMBERS for s in ("shop", "blog")}, "states")


def one_frame(lab, user, short):
    """A single echo request: it waits until the guest is there."""
    return probe.ping(lab.clients[user].ns, lab.machines[f"{user}/{short}"].address(), count=1, wait=110)


def connect_once(lab, user, short):
    """One connect() and one request, as a browser does."""
    return http_get(lab.clients[user].ns, lab.machines[f"{user}/{short}"].address(), 110)


def boot_the_rest(lab):
    """Three at a time: without KVM more of them are too slow for whoever waits."""
    m = lab.machines
    with case("their pages"):
        for u in NUMBERS:
            m[f"{u}/web"].wait_page(lab.clients[u], 180)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        pings = {u: pool.submit(one_frame, lab, u, "shop") for u in NUMBERS}
        pages = {u: pool.submit(connect_once, lab, u, "shop") for u in NUMBERS}
        with case("policy traffic: one frame for a machine that is off wakes it, and is answered"):
            same({u: f.result() for u, f in pings.items()}, {u: (1, 1) for u in NUMBERS}, "sent, received")
            for u in NUMBERS:
                check(m[f"{u}/shop"].show()["replayed_frames"] >= 1, "it was not this frame that was answered")
        with case("and a browser gets its page at the first attempt"):
            same({u: f.result() for u, f in pages.items()}, {u: m[f"{u}/shop"].page_text for u in NUMBERS}, "pages")
    with case("policy manual: not by traffic, but by an operator's word"):
        same(probe.ping(lab.clients["alice"].ns, m["alice/blog"].address(), "-W", "1", count=1)[1], 0, "replies")
        same(m["alice/blog"].state(), "off", "state")
        for u in NUMBERS:
            m[f"{u}/blog"].start(wait=False)
        for u in NUMBERS:
            m[f"{u}/blog"].wait("running")


# --- whose are they? ---

def everybody_asks(lab):
    """(user, address) -> what came back, for every address that any machine has."""
    every = {a for m in lab.machines.values() for a in (x.split("/")[0] for x in m.addresses)}
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        jobs = {(u, a): pool.submit(http_get, lab.clients[u].ns, a, 10 if a in lab.own[u] else 1.5)
                for u in NUMBERS for a in every}
        return {k: j.result() for k, j in jobs.items()}


def matrix(lab):
    m = lab.machines
    lab.own = {u: {x.split("/")[0]: k.page_text for k in m.values() if k.user == u for x in k.addresses}
               for u in NUMBERS}
    with case("nine pages"):
        for k in m.values():
            k.wait_page(lab.clients[k.user], 120)
    with case("every user sees the own three machines, IPv4 and IPv6, and none of the others' (I2)"):
        ends = {**{u: lab.clients[u] for u in NUMBERS}, **{k.name: TapEnd(k) for k in m.values()}}
        with Sniffers(ends) as s:
            got = everybody_asks(lab)
            same({k: v for k, v in got.items() if v},
                 {(u, a): page for u in NUMBERS for a, page in lab.own[u].items()}, "pages")
            check(len([v for v in got.values() if v is None]) >= 12, "nothing was asked in vain")
            for k in m.values():
                same(s.who(k.page_text.encode()), {k.user}, f"who received the page of {k.name}")


def consoles(lab):
    with case("console: a machine reaches its sisters, and nobody else's"):
        with Console(lab, "carol", "web") as c:
            for i, short in enumerate(SHORTS):
                page = c.run(f"wget -qO- http://10.50.0.{111 + i}/")
                same(page.strip(), lab.machines[f"carol/{short}"].page_text, short)
            c.run("! wget -T 2 -qO- http://10.50.0.101/")
            with case("it has one user; --force takes it"):
                try:
                    Console(lab, "carol", "web")
                    check(False, "a second one was let in")
                except Refused as e:
                    same(e.code, "EBUSY", "the refusal")
                with Console(lab, "carol", "web", force=True) as d:
                    same(d.run("cat /www/index.html").strip(), "carol-web", "the page")
                    check("somebody else" in c.wait_end(), c.ended)
    with case("sallyport machine console: what is typed goes there, what is printed comes"):
        p = net.run(f"{lab.build}/sallyport", "--socket", lab.socket, "machine", "console", "alice", "web",
                    input="echo it-$((6 * 7))\n\x1d")
        check("connected to alice/web" in p.stderr, p.stderr)


# --- leaving and coming back ---

SLEEPS = ("paused", "saved", "off")


def quota(lab, domain):
    return int(re.search(r"vcpu_quota *: (-?\d+)", lab.libvirt.virsh("schedinfo", domain))[1])


def balloon(lab, domain):
    """KiB that it is left."""
    return int(re.search(r"Used memory: *(\d+)", lab.libvirt.virsh("dominfo", domain))[1])


def nothing_happened(w, lab, user, since=0):
    same({k.name: w.states(k, since) for k in lab.machines.values() if k.user == user and w.states(k, since)}, {},
         f"what became of {user}'s machines")


def leaving(lab, w):
    m, clients = lab.machines, lab.clients
    m["bob/web"].policy(stop="pause 2s then save 2s then stop")
    m["carol/web"].policy(stop="shrink")
    clients["phone"].connect()
    mark = w.mark()
    left = time.monotonic()
    for user in NUMBERS:
        clients[user].stop()
    with case("a ladder, step by step: pause 2s then save 2s then stop"):
        at = [w.wait(m["bob/web"], state, since=mark) for state in SLEEPS]
        same([s for s in w.states(m["bob/web"], mark) if s in SLEEPS], list(SLEEPS), "states in which it stayed")
        gaps = [b - a for a, b in zip([left, *at], at)]
        check(gaps[0] > 0.9 and gaps[1] > 1.7 and gaps[2] > 1.7, f"seconds before each step: {gaps}")
        check("stopping" in w.states(m["bob/web"], mark), "its guest was not asked")
        device = f"spm{m['bob/web'].show()['id']}"
        net.wait_for(lambda: device not in lab.taps(), 5, "its tap to be gone")
        check("bob-web" not in lab.qemus(), "its process is there")
    with case("what an operator has started runs on without its user; what traffic has started does not"):
        same(m["bob/blog"].state(), "running", "the manual one")
        same(m["bob/shop"].wait("paused")["want"], "pause", "the other one")
    with case("shrink: half of the memory and nine tenths of the CPU are taken"):
        w.wait(m["carol/web"], "shrunk", since=mark)
        same(quota(lab, "carol-web"), 10000, "vcpu_quota")
        # A guest of 128 MiB has hardly half of it to give.
        net.wait_for(lambda: balloon(lab, "carol-web") < 70 * 1024, 60, "the balloon")
    with case("a second device is still there: nothing stops"):
        nothing_happened(w, lab, "alice", mark)
        same(m["alice/web"].fetch(clients["phone"], 10), "alice-web", "the page at the phone")


def coming_back(lab, w):
    m, clients = lab.machines, lab.clients
    with case("shrunk: its user returns, and all is given back"):
        mark = w.mark()
        clients["carol"].connect(60)
        w.wait(m["carol/web"], "running", since=mark)
        same(quota(lab, "carol-web"), -1, "vcpu_quota")
        net.wait_for(lambda: balloon(lab, "carol-web") == 128 * 1024, 30, "the balloon's end")
        m["carol/web"].wait_page(clients["carol"])
    with case("a blip within the grace stops nothing"):
        for s in SHORTS:
            m[f"alice/{s}"].policy(grace="10s", stop="pause")
        m["carol/web"].policy(grace="11s", stop="pause")
        mark = w.mark()
        clients["phone"].stop()
        left = time.monotonic()
        lab.wait_gone(lambda s: s["user"] == "alice", "the phone's session to end")
        clients["carol"].stop()
        clients["alice"].connect(60)
        say(f"alice was away for {time.monotonic() - left:.1f} s")
        w.wait(m["carol/web"], "paused", since=mark)  # by now hers would have been, too
        nothing_happened(w, lab, "alice", mark)
    with case("a machine that is up for less than min-up is left alone"):
        m["carol/web"].policy(grace="1s", min_up="5s")
        mark = w.mark()
        clients["carol"].connect(60)
        up = w.wait(m["carol/web"], "running", since=mark)
        clients["carol"].stop()
        took = w.wait(m["carol/web"], "paused", since=mark) - up
        check(4.9 < took < 15, f"it was up for {took:.1f} s")


def another_device(lab, w):
    m, carol, other = lab.machines["carol/web"], lab.clients["carol"], lab.clients["other"]
    with case("it was saved while its user changed devices: it is told, and sends nothing to the old one"):
        m.policy(grace="0s", stop="save", min_up="0s")
        carol.connect(60)
        m.wait_page(carol)
        mark = w.mark()
        carol.stop()
        w.wait(m, "saved", since=mark)
        before = lab.reasons()["dst-unknown"]
        other.connect(60)
        m.wait_page(other)
        table = net.run("ip", "-br", "addr", "show", "dev", other.dev, ns=other.ns).stdout
        check("10.50.0.30/" in table, f"it is not at the old one's address: {table}")
        same(lab.reasons()["dst-unknown"], before, "frames to a MAC that is gone")
        other.stop()
        m.policy(grace="1s", stop="pause")


class Syns:
    """How many connection requests leave a client."""

    def __init__(self, client):
        self.s = net.packet_socket(client.ns, client.dev, leaving=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.s.close()

    def count(self):
        n = 0
        while select.select([self.s], [], [], 0)[0]:
            data, peer = self.s.recvfrom(2048)
            tcp = data[14:][(data[14] & 15) * 4:] if data[12:14] == b"\x08\x00" and data[23] == 6 else b""
            n += peer[2] == 4 and len(tcp) > 13 and tcp[13] & 0x12 == 2
        return n


def idle(lab, w):
    shop, alice = lab.machines["alice/shop"], lab.clients["alice"]
    with case("idle: a machine that nobody talks to sleeps while its user is there, broadcasts or not"):
        mark = w.mark()
        shop.policy(idle="2s")
        deadline = time.monotonic() + 30
        while "paused" not in w.states(shop, mark):
            check(time.monotonic() < deadline, f"it is {shop.show()}")
            net.inject(alice.ns, alice.dev, frames.udp4(alice.mac, frames.BROADCAST, frames.token("noise"),
                                                        dip="255.255.255.255"))
            time.sleep(0.1)
        same(lab.machines["alice/web"].state(), "running", "the other one")
    with case("and the first SYN wakes it: none is sent twice"):
        with Syns(alice) as syns:
            same(shop.fetch(alice, 10), shop.page_text, "the page")
            same(syns.count(), 1, "SYNs")
        shop.policy(idle="never")


def by_hand(lab, w):
    blog, alice, reasons = lab.machines["alice/blog"], lab.clients["alice"], lab.reasons
    with case("machine stop: the guest is asked, and goes; no frame brings it back"):
        mark = w.mark()
        out = blog.stop().stdout
        check("alice/blog: off" in out and "by hand" in out, out)
        same(w.states(blog, mark), ["stopping", "off"], "states")
        same(probe.ping(alice.ns, blog.address(), count=1, wait=1)[1], 0, "replies")
        same(blog.state(), "off", "state")
    with case("machine start --wait: it runs when that returns"):
        out = blog.start().stdout
        check("alice/blog: running" in out, out)
        same(lab.libvirt.state("op-alice"), "running", "as libvirt says")


# --- limits ---

def limit(lab, **limits):
    for name, value in limits.items():
        lab.daemon.sections["machines"][name.replace("_", "-")] = str(value)
    lab.daemon.write_config()
    lab.ask("reload")


def all_saved(lab):
    """Restored in a second, and until then they hold nothing."""
    for c in lab.clients.values():
        c.stop()
    lab.wait_gone(lambda s: True, "all sessions to end")
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        list(pool.map(lambda k: k.stop("--save", wait=False) if k.state() != "off" else None, lab.machines.values()))
    for k in lab.machines.values():
        k.wait("saved", "off")


def queue(lab, w):
    m = lab.machines
    with case("the host is full: who comes then waits"):
        all_saved(lab)
        limit(lab, max_machines=2)
        for s in ("web", "shop"):
            m[f"alice/{s}"].start()
        for name in ("alice/blog", "carol/web", "carol/shop"):
            m[name].start(wait=False)
            m[name].wait("queued")
        same([m[n].show()["queue"] for n in ("alice/blog", "carol/web", "carol/shop")], [1, 2, 3], "places")
        same(lab.active(), {"alice-web", "alice-shop"}, "domains that run")
        same(lab.ask("status")["machines"]["queued"], 3, "in status")
    with case("a fair order: first whose user has the fewest, then who came first"):
        mark = w.mark()
        m["alice/shop"].stop("--save")
        first = w.wait(m["carol/web"], "running", since=mark)  # alice has one still, and came before
        m["alice/web"].stop("--save")
        second = w.wait(m["alice/blog"], "running", since=mark)  # now she has none, carol has one
        m["carol/web"].stop("--save")
        third = w.wait(m["carol/shop"], "running", since=mark)
        check(first < second < third, "the order was another")
        same(lab.ask("status")["machines"]["queued"], 0, "in status")
    with case("who does not want any more does not wait any more"):
        m["bob/blog"].start(wait=False)
        m["bob/blog"].wait("queued")
        m["bob/blog"].stop("--save")
        same(m["bob/blog"].state(), "saved", "state")
        limit(lab, max_machines=0)


def user_limits(lab, w):
    m = lab.machines
    with case("a user's limit: refused, and it is said which"):
        lab.sallyport("user", "set", "carol", "--max-machines", "1")
        p = lab.sallyport("machine", "start", "carol", "web", "--wait", check=False)
        same(p.returncode, 1, "exit status")
        check("the user's limit: it would make 2 machines, allowed are 1" in p.stderr, p.stderr)
        check("the user's limit" in lab.sallyport("machine", "list", "--user", "carol").stdout, "the list does not say it")
    with case("until another of the user's has gone down: then it starts"):
        mark = w.mark()
        m["carol/shop"].stop("--save")
        w.wait(m["carol/web"], "running", since=mark)
    with case("what the limit does not allow at all is refused, whatever is up"):
        m["carol/web"].stop("--save")
        lab.sallyport("user", "set", "carol", "--max-machines", "0", "--max-memory", "64M")
        p = lab.sallyport("machine", "start", "carol", "web", "--wait", check=False)
        check(p.returncode == 1 and "it would make 128 MiB of memory, allowed are 64" in p.stderr, p.stderr)
        lab.sallyport("user", "set", "carol", "--max-memory", "0")


# --- going ---

def removal(lab):
    m = lab.machines
    with case("a machine that is not off is not removed, and that is said"):
        p = lab.sallyport("machine", "remove", "alice", "blog", check=False)
        check(p.returncode == 1 and "expected one that is off" in p.stderr, p.stderr)
    with case("a domain that was taken over gets its interface back, as it was"):
        m["alice/blog"].stop("--now")
        lab.sallyport("machine", "remove", "alice", "blog")
        same(description(lab, "op-alice"), lab.former["alice"], "the description")
    with case("an overlay goes with its machine where that is wanted, its base never"):
        m["bob/shop"].stop("--now")
        overlay = f"{lab.libvirt.dir}/lib/images/sallyport/bob-shop.qcow2"
        check(os.path.exists(overlay), "there is none")
        lab.sallyport("machine", "remove", "bob", "shop", "--delete-disk")
        check(not os.path.exists(overlay), "it is there still")
        check("bob-shop" not in lab.libvirt.domains(), "the domain is there still")
        same(digest(f"{GUEST}/disk.qcow2"), lab.base, "the base")
    with case("what is saved goes with a machine of our own making; then the user can go"):
        lab.sallyport("machine", "remove", "alice", "shop", "--delete-disk")
        lab.sallyport("machine", "remove", "alice", "web")
        lab.sallyport("user", "delete", "alice")
        same([d for d in lab.libvirt.domains() if d.startswith("alice")], [], "domains")


def machines(mode):
    lab = MachineLab(mode)
    lab.up()
    lab.ready()
    for user, n in (("alice", 10), ("bob", 10), ("carol", 30)):
        lab.user(user, f"10.50.0.{n}/24", f"fd50::{n}/64")
        lab.client(user, user, f"02:00:00:00:00:{n:02x}")
    lab.client("phone", "alice", "02:00:00:00:00:0b")
    lab.client("other", "carol", "02:00:00:00:00:1f")
    add_all(lab)
    first_login(lab)
    boot_the_rest(lab)
    matrix(lab)
    consoles(lab)
    with lab.watch() as w:
        leaving(lab, w)
        coming_back(lab, w)
        another_device(lab, w)
        idle(lab, w)
        by_hand(lab, w)
        queue(lab, w)
        user_limits(lab, w)
    removal(lab)
    lab.close()


main((machines, "vlan"))
