#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of machines when a part dies, hangs or is spoilt, or somebody else has a hand in it?
Whatever it is: nothing is lost, nothing runs twice, nothing is left over, and it is said."""

import contextlib
import os
import re
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same, say  # noqa: E402
from sally.console import Console  # noqa: E402
from sally.control import Refused  # noqa: E402
from sally.machines import Machine, MachineLab, consistent  # noqa: E402
from sally.virt import GUEST, domain_xml  # noqa: E402

WEB, SHOP, DEAF, CRASH = "10.50.0.101", "10.50.0.102", "10.50.0.103", "10.50.0.104"
STOP_TIMEOUT = 4


def pid_of(lab, m):
    return lab.qemus().get(m.domain)


def strip(device, index):
    """A tap as it is just after it was made."""
    v = net.run("sh", "-c", "echo /sys/fs/bpf/sallyport/v*").stdout.strip()
    net.ip("link", "set", device, "down")
    for place in ("ingress", "egress"):
        os.unlink(f"{v}/links/{index}-{place}")
    net.run("bpftool", "map", "delete", "pinned", f"{v}/maps/ports", "key", *index.to_bytes(4, sys.byteorder))


# --- the daemon is killed ---

class Killed:
    """The daemon dies and comes back; what it has begun meanwhile is libvirt's."""

    def __init__(self, lab):
        self.lab = lab

    def at_once(self):
        self.lab.daemon.kill9()
        self.lab.daemon.start()

    def frozen(self, machine, act, state):
        """In the middle of a call that libvirtd has before it and does not look at."""
        self.lab.libvirt.freeze()
        try:
            act()
            machine.wait(state)
            self.lab.daemon.kill9()
        finally:
            self.lab.libvirt.thaw()
        self.lab.daemon.start()


def killed_while_up(lab, web, client):
    kill = Killed(lab)
    with case("kill -9 while it runs: not a frame is lost, and it is the same process"):
        before = pid_of(lab, web)
        pinger = probe.Pinger(client.ns, WEB)
        try:
            net.wait_for(lambda: len(pinger.got) > 20, 10, "answers")
            kill.at_once()
            web.wait("running")
            n = len(pinger.got)
            net.wait_for(lambda: len(pinger.got) > n + 20, 10, "answers afterwards")
        finally:
            sent, got = pinger.finish()
        same(got, sent, "echo replies")
        same(pid_of(lab, web), before, "its process")
        consistent(lab, "afterwards")
    with case("kill -9 while it is being paused: it is paused, or will be"):
        kill.frozen(web, lambda: web.stop("--pause", wait=False), "pausing")
        web.wait("paused")
        same(pid_of(lab, web), before, "its process")
    with case("kill -9 while it is paused: it stays so"):
        kill.at_once()
        web.wait("paused")
        consistent(lab, "afterwards")
    with case("kill -9 while it is being resumed: it runs"):
        kill.frozen(web, lambda: web.start(wait=False), "resuming")
        web.wait("running")
        same(pid_of(lab, web), before, "its process")
        web.wait_page(client)


def killed_while_saving(lab, web, client):
    kill = Killed(lab)
    with case("kill -9 while it is being saved: it is saved"):
        with lab.watch() as w:
            web.stop("--save", wait=False)
            w.wait(web, "saving")
        kill.at_once()
        web.wait("saved")
        consistent(lab, "afterwards")
    with case("kill -9 while it is saved: it stays so"):
        kill.at_once()
        web.wait("saved")
    tap = f"/sys/class/net/spm{web.id}"
    for ms in (2, 8, 300):
        with case(f"kill -9 {ms} ms after the tap of a start is made: it is started once, and reachable"):
            net.wait_for(lambda: not os.path.exists(tap), 5, "the tap of before to be gone")
            starter = threading.Thread(target=web.start, kwargs={"wait": False, "check": False})
            starter.start()
            net.wait_for(lambda: os.path.exists(tap), 10, "its tap", 0)
            time.sleep(ms / 1000)  # there is no event in the middle of a call
            lab.daemon.kill9()
            starter.join()
            lab.daemon.start()
            web.start(wait=False)  # the word may have come too late
            web.wait("running")
            web.wait_page(client)
            consistent(lab, "afterwards")
            if ms < 300:
                web.stop("--save")
    with case("kill -9 before a tap is behind its programs, and the guest came up: it gets behind them"):
        before = pid_of(lab, web)
        device, index = web.show()["device"], web.show()["ifindex"]
        lab.daemon.kill9()
        strip(device, index)
        same(probe.ping(client.ns, WEB, count=1, wait=1)[1], 0, "replies")
        lab.daemon.start()
        web.wait_page(client)
        same((pid_of(lab, web), web.show()["ifindex"]), (before, index), "its process and its tap")


def killed_while_down(lab, web, deaf):
    kill = Killed(lab)
    with case("kill -9 while it is shutting down: that goes on, and the plug is pulled in the end"):
        deaf.stop(wait=False)
        deaf.wait("stopping")
        kill.at_once()
        deaf.wait("off")
        consistent(lab, "afterwards")
    with case("kill -9 while it is off: it stays so"):
        kill.at_once()
        deaf.wait("off")
    with case("kill -9 while it waits for its turn: it waits on, and comes up when there is room"):
        web.start()
        lab.daemon.sections["machines"]["max-machines"] = "1"
        lab.daemon.write_config()
        lab.ask("reload")
        deaf.start(wait=False)
        deaf.wait("queued")
        kill.at_once()
        deaf.wait("queued")
        consistent(lab, "afterwards")
        del lab.daemon.sections["machines"]["max-machines"]
        lab.daemon.write_config()
        lab.ask("reload")
        deaf.wait("running", "starting")


# --- libvirtd ---

def libvirtd_dies(lab, web, client):
    with case("libvirtd is killed: the machine runs on, and that libvirt is gone is said"):
        before = pid_of(lab, web)
        pinger = probe.Pinger(client.ns, WEB)
        try:
            lab.libvirt.kill9()
            net.wait_for(lambda: lab.ask("status")["libvirt"]["state"] == "disconnected", 10, "the loss to be noticed")
            same(web.state(), "unknown", "state")
            check("libvirt" in web.show()["reason"], web.show()["reason"])
            web.stop("--pause", wait=False)  # what is wanted meanwhile is done when it is back
            n = len(pinger.got)
            net.wait_for(lambda: len(pinger.got) > n + 20, 10, "answers")
        finally:
            sent, got = pinger.finish()
        same((got, pid_of(lab, web)), (sent, before), "echo replies, its process")
    with case("it is back: everything is looked at, and goes on from there"):
        lab.libvirt.start()
        web.wait("paused")
        same(pid_of(lab, web), before, "its process")
        web.start()
        web.wait_page(client)
        consistent(lab, "afterwards")


def libvirtd_hangs(lab, web, client):
    with case("a libvirtd that hangs: the daemon answers, and ends when it is told to"):
        lab.libvirt.freeze()
        try:
            web.stop("--pause", wait=False)
            began = time.monotonic()
            same(web.wait("pausing")["want"], "pause", "wanted")
            lab.ask("status")
            check(time.monotonic() - began < 2, "an answer waited for libvirt")
            took = lab.daemon.stop()
            check(took < 10, f"it took {took:.1f} s to end")
        finally:
            lab.libvirt.thaw()
        lab.daemon.start()
        web.wait("paused")
        web.start()
        web.wait_page(client)


# --- guests that do not do as they should ---

def patience(times):
    """TIMES: (when, state). The wait doubles, from 2 s; but who was up for a minute begins anew."""
    up, due, seen = 0, 1, []
    for (a, state), (b, after) in zip(times, times[1:]):
        if state == "running":
            up = b - a
        elif state == "failed" and after == "starting":
            due = 2 if up > 55 else 2 * due
            seen.append((due, b - a))
    check(len(seen) >= 2 and all(took > 0.6 * due for due, took in seen), f"due, seconds before the next attempt: {seen}")


def crashes(crash, w):
    """How patient is it with a guest that panics at each boot? Who is told to start begins anew."""
    with case("a guest that crashes when it boots: it is tried again, with more and more patience"):
        crash.stop("--now", timeout=30)
        since = w.mark()
        crash.start(wait=False)
        net.wait_for(lambda: w.states(crash, since).count("failed") >= 3, 120,
                     lambda: f"three crashes; it was {w.of(crash, since)}", 0.1)
        patience(w.of(crash, since))
        check("crashed" in crash.show()["reason"], crash.show()["reason"])
    with case("until it is told to stop"):
        crash.stop("--now", timeout=30)
        same(crash.state(), "off", "state")


def deaf_one(lab, deaf):
    with case("a guest that does not hear: it is asked, and after stop-timeout the plug is pulled"):
        deaf.wait("running")
        with lab.watch() as w:
            mark = w.mark()
            deaf.stop()
            asked, off = w.wait(deaf, "stopping", since=mark), w.wait(deaf, "off", since=mark)
            check(STOP_TIMEOUT - 0.5 < off - asked < STOP_TIMEOUT + 15, f"it was given {off - asked:.1f} s")


# --- disks ---

class Full:
    """Nothing fits where libvirt has its images but a few KiB."""

    def __init__(self, lab, left=1 << 20):
        self.path, self.left, self.lab = lab.libvirt.dir + "/lib/ballast", left, lab

    def __enter__(self):
        free = os.statvfs(self.lab.libvirt.dir + "/lib")
        with open(self.path, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, free.f_bavail * free.f_bsize - self.left)

    def __exit__(self, *exc):
        os.unlink(self.path)


def full_while_saving(lab, web, client):
    with case("the disk is full while it is saved: it runs on, and that is said; with room it is saved"):
        before = pid_of(lab, web)
        with Full(lab):
            p = web.stop("--save", check=False)
            check(p.returncode == 1 and "No space left" in p.stderr, p.stderr)
            web.wait("running")
            check("No space left" in web.show()["reason"], web.show()["reason"])
            web.wait_page(client)
            same(pid_of(lab, web), before, "its process")
        web.wait("saved")  # tried again by itself
        web.start()
        web.wait_page(client)


def full_under_guest(lab, shop, w):
    with case("the disk is full and the guest writes: it waits, is tried now and then, and loses nothing"):
        with Console(lab, "alice", "shop") as c:
            mark = w.mark()
            with Full(lab, 64 << 10):
                c.type("dd if=/dev/urandom of=/disk/new bs=64k count=64 2>/dev/null; sync; md5sum /disk/new\n")
                w.wait(shop, "paused", "failed", since=mark)
                check("disk" in shop.show()["reason"], shop.show())
                net.wait_for(lambda: w.states(shop, mark).count("resuming") >= 2, 60, "two attempts", 0.1)
                gaps = [t for t, s in w.of(shop, mark) if s == "resuming"]
                check(gaps[1] - gaps[0] > 1.8, f"it was tried after {gaps[1] - gaps[0]:.2f} s")
            w.wait(shop, "running", since=w.mark(), timeout=120)
            found = c.run("sync; echo 3 >/proc/sys/vm/drop_caches; md5sum </disk/new; wc -c </disk/new", 120).split()
            same(found[-1], str(64 * 65536), "bytes in the file")
            check(found[0] in c.text.split("BEGIN")[0], f"{found[0]} is not what it was")


def images(lab, shop):
    overlay = f"{lab.libvirt.dir}/lib/images/sallyport/alice-shop.qcow2"
    shop.stop("--now")
    with open(overlay, "rb") as f:
        good = f.read(65536)
    with case("its disk is missing: a clear error, no attempts without end, and nothing is made in its place"):
        os.rename(overlay, overlay + ".away")
        mark = lab.daemon.log.mark()
        p = shop.start(check=False)
        check(p.returncode == 1 and "alice-shop.qcow2" in p.stderr and "No such file" in p.stderr, p.stderr)
        same(shop.show()["state"], "failed", "state")
        check("alice-shop.qcow2" in shop.show()["reason"], shop.show()["reason"])
        check(not os.path.exists(overlay), "there is one now")
        same(lab.daemon.log.count("MACHINE=shop VERB=start ERROR", mark), 1, "attempts")
        os.rename(overlay + ".away", overlay)
    with case("its disk is spoilt: likewise"):
        with open(overlay, "r+b") as f:
            f.write(b"x" * 4096)
        p = shop.start(check=False)
        check(p.returncode == 1 and "alice-shop" in p.stderr or "qcow2" in p.stderr, p.stderr)
        check("machine-start" not in p.stderr or len(p.stderr) < 600, p.stderr)
        say(p.stderr)
        with open(overlay, "r+b") as f:
            f.write(good)
        shop.start()
        same(shop.state(), "running", "state, once it is mended")
        shop.stop("--now")
    consistent(lab, "afterwards")


def spoilt_save(lab, deaf):
    image = f"{lab.libvirt.dir}/lib/qemu/save/alice-deaf.save"
    deaf.start()
    deaf.stop("--save")
    with case("what was saved is spoilt: it is not thrown away without a word; discard does that"):
        with open(image, "r+b") as f:
            f.write(b"x" * 100)
        p = deaf.start(check=False)
        check(p.returncode == 1 and "discard" in p.stderr, p.stderr)
        check(os.path.exists(image), "it was thrown away")
        check("discard" in deaf.show()["reason"], deaf.show()["reason"])
        lab.sallyport("machine", "discard", "alice", "deaf")
        check(not os.path.exists(image), "it is there still")
        deaf.start()
        same(deaf.state(), "running", "state")
        deaf.stop("--now")


# --- its user is back too early ---

class SlowSaves:
    """Nobody writes what a save has to say, from its first byte until they are let go."""

    def __init__(self):
        self.caught, self.stop = [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stop.is_set():
            for pid in set(filter(str.isdigit, os.listdir("/proc"))) - set(self.caught):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as f:
                    if f.read().startswith("libvirt_iohelpe"):
                        os.kill(int(pid), signal.SIGSTOP)
                        self.caught.append(pid)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop.set()
        self.thread.join()
        for pid in self.caught:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGCONT)


def logs_in(lab):
    """As OpenVPN's hook says when the password was right."""
    lab.ask("hook-auth", instance="main", deadline_us=1 << 60, daemon_pid=lab.servers["main"].process.pid,
            username="alice", common_name="alice", password=lab.password("alice"), untrusted_ip="203.0.113.5",
            untrusted_port=4000)


def leaves(lab, client):
    client.stop()
    lab.wait_gone(lambda s: True, "the session to end")


def returns(lab, web, client, w):
    web.policy(start="connect", stop="save", grace="0s")
    leaves(lab, client)
    client.connect(60)  # from here on its policy counts, not the operator's word
    with case("its user is back while it is being saved: that is broken off, and it goes on"):
        before = pid_of(lab, web)
        mark = w.mark()
        with SlowSaves() as slow:
            leaves(lab, client)
            w.wait(web, "saving", since=mark)
            net.wait_for(lambda: slow.caught, 10, "the save to be on its way")
            logs_in(lab)
            # libvirt ends a save when what has been said was written
            net.wait_for(lambda: web.show()["want"] == "run", 5, "the wish for it")
        w.wait(web, "running", since=mark)
        same([s for s in w.states(web, mark) if s not in ("running", "saving")], [], "other states")
        same(pid_of(lab, web), before, "its process")
    client.connect(60)
    with case("its page"):
        web.wait_page(client)
    mark = w.mark()
    leaves(lab, client)
    with case("and by a real client's login, whichever comes first"):
        w.wait(web, "saving", since=mark)
        client.connect(60)
        web.wait_page(client)
        say(f"it was {w.states(web, mark)}")
        consistent(lab, "afterwards")


# --- others' hands ---

def foreign_hands(lab, web, client):
    with case("virsh suspend: it is left so, and it is said who did it"):
        lab.libvirt.virsh("suspend", "alice-web")
        web.wait("paused")
        net.wait_for(lambda: "another of libvirt's users" in web.show().get("reason", ""), 5, "the reason")
        same(probe.ping(client.ns, WEB, count=1, wait=1)[1], 0, "replies")
        same(web.state(), "paused", "state: a frame does not wake it")
    with case("virsh resume: it goes on"):
        lab.libvirt.virsh("resume", "alice-web")
        web.wait("running")
        check("reason" not in web.show(), web.show())
        web.wait_page(client)
    with case("its tap is deleted: it is said, and a save and a start bring it back"):
        net.ip("link", "del", web.show()["device"])
        net.wait_for(lambda: "tap was deleted" in web.show().get("reason", ""), 5, lambda: f"the reason: {web.show()}")
        same((web.state(), probe.ping(client.ns, WEB, count=1, wait=1)[1]), ("running", 0), "state, replies")
        web.stop("--save")
        web.start()
        check("reason" not in web.show(), web.show())
        web.wait_page(client)


def foreign_ends(lab, web, client, w):
    """What it has in memory is lost: it boots again."""
    web.stop("--save")
    lab.sallyport("machine", "discard", "alice", "web")
    with case("its description is changed: it is not started, which would be past the programs"):
        now = lab.libvirt.virsh("dumpxml", "alice-web", "--inactive")
        mac = web.show()["mac"]
        lab.libvirt.define(now.replace(mac, "52:54:00:66:66:66"))
        p = web.start(check=False)
        check(p.returncode == 1 and "52:54:00:66:66:66" in p.stderr and mac in p.stderr and "virsh edit" in p.stderr,
              p.stderr)
        same(lab.active() & {"alice-web"}, set(), "domains that run")
        lab.libvirt.define(now)
        web.start()
        same(web.state(), "running", "state, once it is mended")
    web.policy(start="connect", stop="keep", grace="0s")
    with case("virsh destroy: it stays off until its user comes again"):
        mark = w.mark()
        web.wait_page(client, 120)
        lab.libvirt.virsh("destroy", "alice-web")
        w.wait(web, "off", since=mark)
        check("another of libvirt's users" in web.show()["reason"], web.show())
        same(w.states(web, mark)[-1], "off", "state")
        leaves(lab, client)
        client.connect(60)
        w.wait(web, "starting", since=mark)
        web.wait("running")


def wide(lab, client):
    """Two queues: after a restart the daemon has yet to learn that."""
    nic = "<interface type='bridge'><mac address='52:54:00:00:0c:01'/><source bridge='br7'/><model type='virtio'/>" \
          "<driver queues='2'/></interface>"
    with case("a machine of several queues is started by a daemon that has not made it"):
        lab.libvirt.define(domain_xml("wide", nic, vcpus=2, page="alice-wide", ips=("10.50.0.105/24",)))
        lab.sallyport("machine", "add", "alice", "wide", "--domain", "wide", "--start", "manual")
        m = Machine(lab, "alice", "wide", ("10.50.0.105/24",), "alice-wide")
        lab.daemon.kill9()
        lab.daemon.start()
        m.start()
        m.wait_page(client, 120)
        m.stop("--now")


# --- descriptions ---

BRIDGE = "<interface type='bridge'><mac address='52:54:00:00:0b:{n:02x}'/><source bridge='br7'/>" \
         "<model type='virtio'/></interface>"


def bad_descriptions(lab):
    """Put where libvirtd reads them at its start: it takes them all."""
    def text(n, name, *changes, nic=BRIDGE):
        xml = domain_xml(name, nic.format(n=n))
        for a, b in changes:
            xml = xml.replace(a, b, 1)
        return xml

    metadata = "<metadata><x:y xmlns:x='urn:x'>{}</x:y></metadata><memory"
    where = lab.libvirt.dir + "/etc/qemu"
    os.makedirs(where, exist_ok=True)
    for n, (name, xml) in enumerate((
            ("entity", text(1, "entity", ("<domain", "<!DOCTYPE domain [<!ENTITY e 'x'>]><domain"),
                            ("<memory", metadata.format("&e;")))),
            ("long", text(2, "long", ("<memory", metadata.format("x" * 3000000)))),
            ("longer", text(3, "longer", ("<memory", metadata.format("x" * 10000000)))))):
        with open(f"{where}/{name}.xml", "w") as f:
            f.write(xml)


def refused(lab, *args, says):
    p = lab.sallyport("machine", "add", "alice", "bad", *args, check=False)
    check(p.returncode == 1 and re.search(says, p.stderr), f"{args}: {p.stderr}")
    check(len(p.stderr) < 500 and "\n" not in p.stderr.strip(), p.stderr)


def additions(lab):
    with case("machine add: descriptions with entities, of 3 MB, of 10 MB: refused, in one sentence"):
        refused(lab, "--domain", "entity", says="line 5 of its description: Entity 'e' not defined")
        refused(lab, "--domain", "long", says="its description is longer than 1048576 bytes")
        refused(lab, "--domain", "longer", says="too long")
    with case("of the wrong type, with two interfaces, or with none"):
        host = "<interface type='hostdev'><mac address='52:54:00:00:0b:09'/><source><address type='pci' domain='0'" \
               " bus='0' slot='31' function='6'/></source></interface>"
        for name, nic, says in (("hostdev", host, "hostdev"), ("two", BRIDGE.format(n=7) + BRIDGE.format(n=8), "interface"),
                                ("none", "", "interface")):
            lab.libvirt.define(domain_xml(name, nic))
            refused(lab, "--domain", name, says=says)
        refused(lab, "--domain", "nobody", says="no domain with matching name 'nobody'|no such domain|not found")
    with case("of a domain that runs, and of another's MAC"):
        lab.libvirt.define(domain_xml("same", BRIDGE.format(n=1).replace("52:54:00:00:0b:01", lab.machines["alice/web"].show()["mac"])))
        refused(lab, "--domain", "same", says="another machine's; --mac new gives it one of its own")
    with case("arguments of the wrong types and sizes, past the command"):
        for args, field in (({"kernel": 5}, "kernel"), ({"domain": "x", "image": "/y"}, "domain"),
                            ({"kernel": "/k", "memory_mib": "much"}, "memory_mib"), ({"kernel": "/k", "vcpus": -1}, "vcpus"),
                            ({"image": "/x", "stop": "pause"  + "x" * 5000}, "stop"), ({"domain": "a", "mac": "ff:ff:ff:ff:ff:ff"}, "mac"),
                            ({"domain": "a", "addresses": "10.0.0.1 nonsense"}, "addresses")):
            try:
                lab.ask("machine-add", user="alice", name="bad", **args)
                check(False, f"{args} was taken")
            except Refused as e:
                same((e.code in ("EINVAL", "ERANGE", "E2BIG", "EMSGSIZE"), e.error.get("field")), (True, field), f"{args}: {e.error}")
    with case("nothing of all that is left"):
        same([m["name"] for m in lab.ask("machine-list")["items"] if m["name"] == "bad"], [], "machines")


def trouble(mode):
    lab = MachineLab(mode, machines={"stop-timeout": f"{STOP_TIMEOUT}s"})
    bad_descriptions(lab)
    lab.up()
    lab.ready()
    lab.user("alice", "10.50.0.10/24", "fd50::10/64")
    client = lab.client("alice", "alice", "02:00:00:00:00:0a")
    web = lab.machine("alice", "web", WEB + "/24", add=("--start", "manual"))
    deaf = lab.machine("alice", "deaf", DEAF + "/24", words="sp.deaf", add=("--start", "manual"))
    crash = lab.machine("alice", "crash", CRASH + "/24", words="sp.crash", add=("--start", "manual"))
    lab.sallyport("machine", "add", "alice", "shop", "--image", f"{GUEST}/disk.qcow2", "--mac", "52:54:00:00:01:66",
                  "--memory", "128", "--start", "manual")
    shop = lab.machines["alice/shop"] = Machine(lab, "alice", "shop", (SHOP + "/24",), "machine 52:54:00:00:01:66")
    for m in (web, deaf):
        m.start(wait=False)
    client.connect(60)
    with case("its page"):
        web.wait_page(client, 120)
    killed_while_up(lab, web, client)
    killed_while_saving(lab, web, client)
    killed_while_down(lab, web, deaf)
    libvirtd_dies(lab, web, client)
    libvirtd_hangs(lab, web, client)
    with lab.watch() as w:
        crash.start(wait=False)
        shop.start(wait=False)
        deaf_one(lab, deaf)
        additions(lab)
        full_while_saving(lab, web, client)
        returns(lab, web, client, w)
        foreign_hands(lab, web, client)
        foreign_ends(lab, web, client, w)
        crashes(crash, w)
        spoilt_save(lab, deaf)
        with case("its sister's page"):
            shop.wait_page(client, 120)
        full_under_guest(lab, shop, w)
        images(lab, shop)
    wide(lab, client)
    consistent(lab, "at the end")
    lab.close()


main((trouble, "vlan"))
