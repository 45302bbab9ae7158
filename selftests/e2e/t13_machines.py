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
        same({m["state"] for m in lab.ask("machine-list")["items"]} - {"off"}, set(), "states")
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
        for c in lab.clients.values():
            if c.name != "phone":
                c.start()
        for c in lab.clients.values():
            if c.name != "phone":
                c.wait(60)
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
    m = lab.machines
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        pings = {u: pool.submit(one_frame, lab, u, "shop") for u in NUMBERS}
        pages = {u: pool.submit(connect_once, lab, u, "shop") for u in NUMBERS}
        with case("policy manual: not by traffic, but by an operator's word"):
            before = lab.reasons()
            same(probe.ping(lab.clients["alice"].ns, m["alice/blog"].address(), "-W", "1", count=1)[1], 0, "replies")
            same(m["alice/blog"].state(), "off", "state")
            for u in NUMBERS:
                m[f"{u}/blog"].start(wait=False)
            for u in NUMBERS:
                m[f"{u}/blog"].wait("running")
        with case("policy traffic: one frame for a machine that is off wakes it, and is answered"):
            same({u: f.result() for u, f in pings.items()}, {u: (1, 1) for u in NUMBERS}, "sent, received")
            for u in NUMBERS:
                check(m[f"{u}/shop"].show()["replayed_frames"] >= 1, "it was not this frame that was answered")
        with case("and a browser gets its page at the first attempt"):
            same({u: f.result() for u, f in pages.items()}, {u: m[f"{u}/shop"].page_text for u in NUMBERS}, "pages")


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


def machines(mode):
    lab = MachineLab(mode)
    lab.up()
    lab.ready()
    for user, n in (("alice", 10), ("bob", 10), ("carol", 30)):
        lab.user(user, f"10.50.0.{n}/24", f"fd50::{n}/64")
        lab.client(user, user, f"02:00:00:00:00:{n:02x}")
    lab.client("phone", "alice", "02:00:00:00:00:0b")
    add_all(lab)
    first_login(lab)
    boot_the_rest(lab)
    matrix(lab)
    consoles(lab)
    lab.close()


main((machines, "vlan"))
