#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does loader/virt/ do what it promises, with a real libvirtd, real QEMU and real guests, whatever
becomes of them? It runs on a loop of its own (selftests/virt/drive.c), under the address sanitizer."""

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, same, say, worlds  # noqa: E402
from sally.drive import Drive  # noqa: E402
from sally.virt import GUEST, ROOT, Libvirt, domain_xml, guest_files, http_get, tap_device, wait_page  # noqa: E402

BUILD = os.path.realpath(os.environ.get("SP_BUILD") or ROOT + "/build")
KEEPALIVE = 2
# A turn of the loop may wait for a CPU that two builds and three guests share, not for libvirt.
TURN_MAX_US = 500000
NOBODY = "00000000-0000-4000-8000-000000000000"
KERNEL, IMAGE, DOMAIN = 3, 2, 1  # enum store_origin
IMAGES = "/var/lib/libvirt/sally"


class Place:
    """A bridge with an address, a libvirtd, and loader/virt/ connected to it."""

    def __init__(self, **kw):
        net.quiet()
        net.ip("link", "set", "lo", "up")
        net.ip("link", "add", "br0", "type", "bridge")
        net.ip("addr", "add", "10.50.0.1/24", "dev", "br0")
        net.ip("link", "set", "br0", "up")
        guest_files()
        self.lv = Libvirt(**kw)
        self.d = None
        self.uuids = {}

    def tap(self, name):
        tap_device(f"sp-{name}")
        net.ip("link", "set", f"sp-{name}", "master", "br0")

    def make(self, name, n, origin, **kw):
        return self.d.reply(self.send_make(name, n, origin, **kw))

    def send_make(self, name, n, origin, **kw):
        words = kw.pop("words", "")
        spec = {"origin": origin, "domain": name, "server": "gate", "user": "alice", "name": name, "machine": n,
                "tap": f"sp-{name}", "mac": f"52:54:00:00:00:{n:02x}", "memory": 128, "vcpus": 1}
        if origin == KERNEL:
            spec.update(kernel=GUEST + "/vmlinux", initrd=GUEST + "/initrd",
                        cmdline=f"console=ttyS0 quiet sp.ip=10.50.0.{n}/24 sp.page=alice/{name} {words}")
        if origin == IMAGE:
            spec.update(image=GUEST + "/disk.qcow2", format="qcow2", image_dir=IMAGES)
        return self.d.send("make", **{**spec, **kw})

    def machine(self, name, n, origin=KERNEL, **kw):
        self.tap(name)
        made = self.make(name, n, origin, **kw)
        same(made["error"], 0, f"make {name}: {made.get('message')}")
        self.uuids[name] = made["uuid"]
        return made["uuid"]

    def good(self, uuid, verb, **kw):
        r = self.d.do(uuid, verb, **kw)
        same(r["error"], 0, f"{verb}: {r.get('message')}")
        return r

    def state(self, uuid):
        return self.good(uuid, "look")["state"]

    def until(self, uuid, state, timeout=20):
        net.wait_for(lambda: self.state(uuid) == state, timeout, f"state {state}", 0.05)

    def image(self, name):
        return f"{self.lv.dir}/lib/qemu/save/{name}.save"


def code(r, name, words=None):
    """The answer is this error, and its words say so."""
    same(r["error"], -getattr(errno, name), f"error; {r.get('message')}")
    check(words is None or re.search(words, r["message"]), f"'{r['message']}' does not say '{words}'")


# --- the connection ---

def connect(p):
    d = p.d = Drive(BUILD, p.lv.uri, keepalive=KEEPALIVE)
    with case("no libvirtd: told why, nothing is taken"):
        net.wait_for(lambda: "no connection to libvirt" in d.ask("state")["trouble"], 10, "trouble")
        d.wait("settled", 0, up=False)
        r = d.do(NOBODY, "look")
        same((r["error"], r["refused"]), (-errno.ENOTCONN, True), "a call")
    with case("it comes, and the connection with it"):
        p.lv.start()
        d.up()
        d.wait("settled", 0, settled=True, up=True)
        s = d.ask("state")
        check(re.match(r"QEMU \d+\.\d+\.\d+, libvirt \d+\.\d+\.\d+$", s["describe"]), s["describe"])
        same((s["up"], s["trouble"], s["accel"]), (True, "", "tcg"), "state")
        same(d.ask("list")["items"], [], "domains")


# --- making and verbs ---

def make_kernel(p):
    d = p.d
    with case("a machine from a kernel: a dry run changes nothing"):
        r = p.make("web", 101, KERNEL, dry_run=True)
        same((r["error"], r["mac"], r["memory"], r["queues"]), (0, "52:54:00:00:00:65", 128, 1), "made")
        check("managed=\"no\"" in r["after"] and r["before"] == "" and "<kernel>" in r["xml"], r["xml"])
        same((p.lv.domains(), p.lv.virsh("pool-list", "--all", "--name")), ([], ""), "domains and pools")
    with case("then it is defined, and carries our mark"):
        u = p.machine("web", 101)
        found, = d.ask("list")["items"]
        same({k: found[k] for k in ("uuid", "name", "owner", "machine", "state")},
             {"uuid": u, "name": "web", "owner": "gate", "machine": 101, "state": "off"}, "the list")
        code(p.make("web", 101, KERNEL), "EEXIST", "there is a domain 'web' already")
    with case("a kernel that is missing is found missing at once"):
        code(p.make("bad", 102, KERNEL, kernel=GUEST + "/none"), "ENOENT", "there is no file .*/none")
        code(p.make("bad", 102, KERNEL, kernel="/none/x"), "ENOENT", "'/none'")
        same(p.lv.domains(), ["web"], "domains")


def boots(p):
    """Everything that takes long begins to boot now."""
    d, u = p.d, p.uuids["web"]
    with case("start: it runs, and says so"):
        m = d.mark()
        same(p.good(u, "start")["state"], "running", "state")
        d.event("started", u, m)
        code(d.do(u, "start"), "EALREADY")
    crash = p.machine("crash", 103, words="sp.crash")
    p.good(crash, "start")
    op = p.machine_of_operator()
    p.good(op, "start")
    with case("its page comes"):
        same(wait_page(net.HOST, "10.50.0.101"), "alice/web", "page")
    with case("a guest that panics has crashed, and is off"):
        d.event("crashed", crash, m, 40)
        p.until(crash, "off")
    with case("QEMU that is killed has crashed, and is off"):
        m = d.mark()
        p.good(crash, "start")
        os.kill(p.lv.qemu_pid("crash"), signal.SIGKILL)
        d.event("crashed", crash, m)
        p.until(crash, "off")


def verbs(p):
    d, u = p.d, p.uuids["web"]
    with case("suspend and resume; again is no error"):
        m = d.mark()
        for verb, state in (("suspend", "paused"), ("suspend", "paused"), ("resume", "running"), ("resume", "running")):
            r = p.good(u, verb)
            same(r["state"], state, verb)
            say(f"{verb}: {r['us']} us")
        d.event("resumed", u, m)
        same(d.events(u, m), ["suspended", "resumed"], "events")
    with case("a domain that is not there: look says absent, all else ENODEV"):
        same(p.good(NOBODY, "look")["state"], "absent", "look")
        for verb in ("start", "resume", "suspend", "save", "shutdown", "destroy", "grow", "abort", "discard"):
            r = d.do(NOBODY, verb)
            code(r, "ENODEV")
            same(r["state"], "absent", verb)
        code(d.do(NOBODY, "shrink", memory=50, cpu=50), "ENODEV")
        code(d.ask("port", uuid=NOBODY), "ENODEV")
    with case("what is off cannot be resumed, suspended, saved or shrunk, and is destroyed already"):
        off = p.uuids["crash"]
        for verb in ("resume", "suspend", "save", "grow"):
            code(d.do(off, verb), "ESRCH", "not run")
        for verb in ("destroy", "shutdown", "discard"):
            same(p.good(off, verb)["state"], "off", verb)
    with case("what runs is not taken over"):
        code(p.make("web", 101, DOMAIN), "EBUSY", "the domain runs: shut it down first")
    with case("a number out of its bounds is refused"):
        for memory, cpu in ((9, 50), (101, 50), (50, 0), (50, 101)):
            same(d.do(u, "shrink", memory=memory, cpu=cpu)["error"], -errno.EINVAL, f"{memory} {cpu}")


def quota(p, domain):
    """-1: none; with control groups of version 2 libvirt says that with a number beyond all use."""
    found = int(re.search(r"vcpu_quota *: (-?\d+)", p.lv.virsh("schedinfo", domain))[1])
    return found if found < 10**9 else -1


def shrink(p):
    u = p.uuids["web"]
    with case("shrink takes memory and CPU, grow gives them back"):
        check(p.good(u, "shrink", memory=60, cpu=30)["shrunk"], "not shrunk")
        same(quota(p, "web"), 30000, "vcpu_quota")
        net.wait_for(lambda: p.good(u, "look")["now_kib"] < 131072 * 0.7, 60, "the balloon")
        check(p.good(u, "look")["shrunk"], "not shrunk")
        same(http_get(net.HOST, "10.50.0.101", 20), "alice/web", "page")
        p.good(u, "grow")
        same(quota(p, "web"), -1, "vcpu_quota")
        net.wait_for(lambda: not p.good(u, "look")["shrunk"], 60, "the balloon's end")
        same(p.good(u, "look")["now_kib"], 131072, "memory")
    with case("grow goes back to a quota that was there before"):
        p.lv.virsh("schedinfo", "web", "--config", "--set", "vcpu_quota=80000")
        p.good(u, "shrink", memory=100, cpu=50)
        same(quota(p, "web"), 50000, "vcpu_quota")
        p.good(u, "shrink", memory=100, cpu=90)
        same(quota(p, "web"), 80000, "vcpu_quota, which is never raised above what is described")
        p.good(u, "grow")
        same((quota(p, "web"), p.good(u, "look")["shrunk"]), (80000, False), "vcpu_quota")
        p.lv.virsh("schedinfo", "web", "--config", "--set", "vcpu_quota=0")
        p.good(u, "grow")


# --- saving ---

def boot_id(p, uuid):
    c = p.d.send("console", uuid=uuid)
    same(p.d.reply(c)["error"], 0, "console")
    p.d.ask("write", console=c, data="\necho id-$(cat /proc/sys/kernel/random/boot_id)-\n")
    p.d._until(lambda: re.search(r"id-([0-9a-f-]{36})-", p.d.text(c)), 60, "the guest's boot id")
    found = re.search(r"id-([0-9a-f-]{36})-", p.d.text(c))[1]
    p.d.ask("close", console=c)
    return found


def size_of(path):
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def in_time(attempt, times=8):
    """A save may be over before its abort comes: then that is what it says, and it is tried again."""
    for _ in range(times):
        if attempt():
            return
    raise AssertionError(f"{times} saves were over before they could be aborted")


def abort_save(p, paused, state):
    d, u = p.d, p.uuids["web"]
    if paused:
        p.good(u, "suspend")
    m = d.mark()
    began = d.send("do", uuid=u, verb="save")
    net.wait_for(lambda: size_of(p.image("web")) > 1 << 20, 20, "the image to grow", 0.001)
    since = time.monotonic()
    r = d.reply(d.send("do", uuid=u, verb="abort"))
    took = time.monotonic() - since
    saved = d.reply(began)
    if saved["error"] == 0:
        same(p.state(u), "saved", "state")
        p.good(u, "start")
        return False
    code(saved, "ECANCELED", "canceled by client")
    same((r["error"], r["state"], p.state(u)), (0, state, state), f"abort: {r['message']}")
    same(d.events(u, m), [] if paused else ["suspended", "resumed"], "events")
    say(f"abort {took * 1000:.0f} ms")
    return True


def abort_other(p):
    d, u = p.d, p.uuids["web"]
    other = net.start("virsh", "-q", "-c", p.lv.uri, "managedsave", "web", stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
    net.wait_for(lambda: size_of(p.image("web")) > 1 << 20, 20, "the image to grow", 0.001)
    r = d.do(u, "abort")
    if other.wait(20) == 0:
        p.good(u, "start")
        return False
    same(r["error"], 0, f"abort: {r['message']}")
    return True


def save(p):
    d, u = p.d, p.uuids["web"]
    with case("save and start: the same boot goes on"):
        before = boot_id(p, u)
        m = d.mark()
        r = p.good(u, "save")
        same(r["state"], "saved", "state")
        d.event("stopped", u, m)
        again = p.good(u, "start")
        same(again["state"], "running", "state")
        say(f"save {r['us']} us, restore {again['us']} us")
        same(wait_page(net.HOST, "10.50.0.101"), "alice/web", "page")
        same(boot_id(p, u), before, "boot id")
        check(not os.path.exists(p.image("web")), "the image should be gone")
    with case("saved while paused, it runs after the start"):
        p.good(u, "suspend")
        p.good(u, "save")
        same(p.good(u, "start")["state"], "running", "state")
    for paused in (False, True):
        state = "paused" if paused else "running"
        with case(f"a save that is aborted: it stays {state}"):
            in_time(lambda: abort_save(p, paused, state))
            p.good(u, "resume")
            same(http_get(net.HOST, "10.50.0.101", 20), "alice/web", "page")
    with case("aborted before it begins: it does not"):
        began = d.send("do", uuid=u, verb="save")
        same(p.good(u, "abort")["state"], "running", "state")
        code(d.reply(began), "ECANCELED")
    with case("somebody else's save can be aborted, too"):
        in_time(lambda: abort_other(p))
        p.until(u, "running")
    with case("nothing to abort"):
        code(d.do(u, "abort"), "ESRCH", "no save")


def no_space(p):
    d, u = p.d, p.uuids["web"]
    with case("no space for the image: ENOSPC, and it runs on"):
        ballast = p.lv.dir + "/lib/ballast"
        free = os.statvfs(p.lv.dir + "/lib")
        with open(ballast, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, free.f_bavail * free.f_bsize - (8 << 20))
        try:
            r = d.do(u, "save")
            code(r, "ENOSPC", "No space left on device")
            same(r["state"], "running", "state")
            same(http_get(net.HOST, "10.50.0.101", 20), "alice/web", "page")
        finally:
            os.unlink(ballast)


def bad_image(p):
    d, u = p.d, p.uuids["web"]
    p.good(u, "save")
    with open(p.image("web"), "rb") as f:
        image = f.read()
    partial = b"LibvirtQemudPart" + image[16:]
    for what, text in (("empty", b""), ("of something else", b"x" * 100000), ("begun and never ended", partial),
                       ("cut in its description", image[:300]), ("cut in its memory", image[:1 << 20])):
        with case(f"a saved image that is {what}: EUCLEAN, and it is kept"):
            with open(p.image("web"), "wb") as f:
                f.write(text)
            m = d.mark()
            r = d.do(u, "start")
            code(r, "EUCLEAN", "saved image cannot be .*discard it")
            same((r["state"], os.path.getsize(p.image("web"))), ("saved", len(text)), "state and size")
            same(d.events(u, m), [], "events")
    with case("the image as it was starts"):
        with open(p.image("web"), "wb") as f:
            f.write(image)
        same(p.good(u, "start")["state"], "running", "state")
        same(wait_page(net.HOST, "10.50.0.101"), "alice/web", "page")
    with case("an image that is gone: it boots, and that is said"):
        p.good(u, "save")
        os.unlink(p.image("web"))
        r = p.good(u, "start")
        check("saved image was gone" in r["message"], r["message"])
        same(p.good(u, "destroy")["message"], "", "no words without a reason")
    with case("discard: an image is thrown away"):
        p.good(u, "start")
        p.good(u, "save")
        same(p.good(u, "discard")["state"], "off", "state")
        same(p.good(u, "discard")["state"], "off", "again")


# --- consoles, power button ---

def reopen(d, uuid):
    """libvirtd hears of the end a moment later."""
    def look():
        c = d.send("console", uuid=uuid)
        return c if d.reply(c)["error"] == 0 else None

    return net.wait_for(look, 5, "the console to be free")


def console(p):
    d, u = p.d, p.uuids["op"]
    wait_page(net.HOST, "10.50.0.104")
    with case("a console, both ways"):
        first = d.send("console", uuid=u)
        same(d.reply(first)["error"], 0, "open")
        d.ask("write", console=first, data="\necho it-$((40 + 2))\n")
        d.expect(first, "it-42")
    with case("it has one user; a second can take it"):
        code(d.reply(d.send("console", uuid=u)), "EBUSY")
        second = d.send("console", uuid=u, force=True)
        same(d.reply(second)["error"], 0, "open")
        d.wait("end", console=first, end="the console was closed: the machine is off, or somebody else took it")
        d.ask("write", console=second, data="\necho it-$((80 + 4))\n")
        d.expect(second, "it-84")
    with case("more than fits is taken piece by piece, all of it, in order"):
        d.ask("write", console=second, data="stty -echo; echo re''ady; head -c 30000 | md5sum\n")
        d.expect(second, "ready")
        text = "".join(f"{i:09}\n" for i in range(3000))
        at, cut = 0, 0
        while at < len(text):
            m = d.mark()
            taken = d.ask("write", console=second, data=text[at:at + 20000])["taken"]
            at += taken
            if taken < min(20000, len(text) - at + taken):
                cut += 1
                d.wait("room", m, console=second, room=True)
        check(cut > 0, "all was taken at once: this proves nothing")
        d.expect(second, hashlib.md5(text.encode()).hexdigest())
        d.ask("write", console=second, data="stty echo\n")
    with case("closed, it is free again"):
        d.ask("close", console=second)
        third = reopen(d, u)
    with case("a flood from the guest passes, and the loop stays quick"):
        d.ask("state")
        d.ask("write", console=third, data="yes 0123456789012345678901234567890123456789 | head -n 4000; echo al''l\n")
        d.expect(third, "all", timeout=60)
        check(d.ask("state")["longest_us"] < TURN_MAX_US, "a turn of the loop took too long")
    with case("the power button: it shuts itself down; its console ends"):
        m = d.mark()
        p.good(u, "shutdown")
        d.event("shutdown", u, m)
        d.event("stopped", u, m)
        p.until(u, "off")
        d.wait("end", console=third)
    with case("no console of what is off"):
        code(d.reply(d.send("console", uuid=u)), "ESRCH", "not running")
        code(d.reply(d.send("console", uuid=NOBODY)), "ENODEV")


# --- an operator's own domain ---

def operator_xml():
    nic = "<interface type='bridge'><mac address='52:54:00:00:00:68'/><source bridge='virbr9'/>" \
          "<model type='virtio'/><driver name='vhost' queues='1'/></interface>"
    return domain_xml("op", nic, page="op/own", ips=("10.50.0.104/24",))


def take_over(p):
    """Defined by an operator, taken over, started; the rest of it when it has booted."""
    p.tap("op")
    p.lv.define(operator_xml())
    p.before = p.lv.virsh("dumpxml", "op")
    spec = {"origin": DOMAIN, "mac": None, "memory": 0, "vcpus": 0}
    with case("a domain is taken over: its interface is shown, then rewritten"):
        r = p.make("op", 104, **spec, dry_run=True)
        same((r["error"], r["mac"]), (0, "52:54:00:00:00:68"), f"dry run: {r.get('message')}")
        check("virbr9" in r["before"] and "sp-op" in r["after"] and "virbr9" not in r["after"], str(r))
        same(p.lv.virsh("dumpxml", "op"), p.before, "the description after a dry run")
        r = p.make("op", 104, **spec)
        same((r["error"], r["memory"], r["vcpus"]), (0, 128, 1), f"made: {r.get('message')}")
    with case("its port is as it was left; where it is not, that is told"):
        port = p.d.ask("port", uuid=r["uuid"])
        same({k: port[k] for k in ("error", "tap", "queues", "mac")},
             {"error": 0, "tap": "sp-op", "queues": 1, "mac": "52:54:00:00:00:68"}, "port")
        now = p.lv.virsh("dumpxml", "op")
        p.lv.define(now.replace("<target dev='sp-op' managed='no'/>", "<target dev='sp-op'/>"))
        code(p.d.ask("port", uuid=r["uuid"]), "EUCLEAN", "managed='', expected no.*virsh edit")
        p.lv.define(now)
        same(p.d.ask("port", uuid=r["uuid"])["error"], 0, "mended")
    p.uuids["op"] = r["uuid"]
    return r["uuid"]


Place.machine_of_operator = take_over


def give_back(p):
    d, u = p.d, p.uuids["op"]
    with case("what runs or is saved is not given back"):
        p.good(u, "start")
        code(d.ask("unmake", uuid=u), "EBUSY", "the domain runs")
        p.good(u, "save")
        code(d.ask("unmake", uuid=u), "EBUSY", "saved image")
        p.good(u, "discard")
    with case("given back, it is what it was, to the letter"):
        r = d.ask("unmake", uuid=u, delete_disk=True)
        same((r["error"], r["state"]), (0, "off"), r["message"])
        same(p.lv.virsh("dumpxml", "op"), p.before, "the description")
        code(d.ask("unmake", uuid=u), "ENODATA", "no mark")
    with case("what cannot be taken over is refused, and untouched"):
        refused = {"nic2": ("<interface type='user'/><interface type='user'/>", "2 network interfaces"),
                   "nic0": ("", "0 network interfaces"),
                   "nich": ("<interface type='hostdev'><source><address type='pci' domain='0' bus='3' slot='16' "
                            "function='1'/></source></interface>", "device of the host")}
        for name, (nic, words) in refused.items():
            p.lv.define(domain_xml(name, nic))
            before = p.lv.virsh("dumpxml", name)
            code(p.make(name, 120, DOMAIN), "EINVAL", words)
            same(p.lv.virsh("dumpxml", name), before, name)
        p.lv.define(p.before.replace("<memory ", "<metadata><s:machine xmlns:s='urn:sallyport:machine:1' server='other' "
                                     "user='u' name='n' id='1' origin='domain'/></metadata><memory ", 1))
        code(p.make("op", 104, DOMAIN), "EINVAL", "of server 'other'")
        code(p.make("nothing", 121, DOMAIN), "ENODEV")


# --- images ---

def images(p):
    d = p.d
    with open(GUEST + "/disk.qcow2", "rb") as f:
        base = f.read()
    digest = hashlib.sha256(base).hexdigest()
    there = p.lv.dir + "/lib"
    os.mkdir(there + "/bases")
    net.run("qemu-img", "convert", "-O", "raw", GUEST + "/disk.qcow2", there + "/bases/raw")
    with open(there + "/bases/broken.qcow2", "wb") as f:
        f.write(base[:4] + b"\xff" * 100 + base[104:4096])
    with case("a machine on an image: a dry run changes nothing"):
        same(p.make("one", 105, IMAGE, dry_run=True)["error"], 0, "dry run")
        same((p.lv.virsh("pool-list", "--all", "--name"), os.path.exists(there + "/sally")), ("", False), "pools")
    with case("two machines, made at once, share one base; each has its own disk"):
        p.tap("one")
        p.tap("two")
        made = [d.reply(i) for i in (p.send_make("one", 105, IMAGE), p.send_make("two", 106, IMAGE, disk_bytes=1 << 30))]
        same([m["error"] for m in made], [0, 0], f"made: {made}")
        one, two = (m["uuid"] for m in made)
        p.good(one, "start")
        p.good(two, "start")
        same(sorted(os.listdir(there + "/sally")), ["one.qcow2", "two.qcow2"], "disks")
    bad_images(p)
    with case("they boot from it, and write to their own"):
        for n in (105, 106):
            same(wait_page(net.HOST, f"10.50.0.{n}", 60), f"machine 52:54:00:00:00:{n:02x}", "page")
        same(http_get(net.HOST, "10.50.0.105", 5, "/disk/boots"), "1", "boots")
        p.good(one, "shutdown")
        p.until(one, "off")
        p.good(one, "start")
        wait_page(net.HOST, "10.50.0.105", 60)
        same([http_get(net.HOST, f"10.50.0.{n}", 5, "/disk/boots") for n in (105, 106)], ["2", "1"], "boots")
        with open(GUEST + "/disk.qcow2", "rb") as f:
            same(hashlib.sha256(f.read()).hexdigest(), digest, "the base")
    with case("removed: the domain, and the disk only where that is said"):
        code(d.ask("unmake", uuid=one, delete_disk=True), "EBUSY")
        for u, gone in ((one, True), (two, False)):
            p.good(u, "destroy")
            same(d.ask("unmake", uuid=u, delete_disk=gone)["error"], 0, "unmake")
            same(d.ask("unmake", uuid=u, delete_disk=gone)["error"], 0, "again")
            same(p.state(u), "absent", "state")
        same(os.listdir(there + "/sally"), ["two.qcow2"], "disks")
        code(p.make("two", 106, IMAGE), "EEXIST", "two.qcow2")


def bad_images(p):
    with case("an image that is missing, broken or not what it is said to be: clear words, nothing made"):
        bases = "/var/lib/libvirt/bases"
        for words, name, kw in (("'/none'", "ENOENT", {"image": "/none/x"}),
                                ("no file .*/y", "ENOENT", {"image": GUEST + "/y"}),
                                ("format raw, not qcow2", "EINVAL", {"image": bases + "/raw"}),
                                ("format qcow2, not raw", "EINVAL", {"format": "raw"}),
                                ("'vmdk': expected qcow2 or raw", "EINVAL", {"format": "vmdk"}),
                                ("absolute path", "EINVAL", {"image": "x.qcow2"}),
                                ("absolute path", "EINVAL", {"image_dir": "x"}),
                                ("smaller than its base", "EINVAL", {"disk_bytes": 4096})):
            code(p.make("bad", 107, IMAGE, **kw), name, words)
        r = p.make("bad", 107, IMAGE, image=bases + "/broken.qcow2")
        check(r["error"] < 0, "a broken image was taken")
        say(f"broken: {r['message']}")
        check("bad" not in p.lv.domains() and "bad.qcow2" not in os.listdir(p.lv.dir + "/lib/sally"), "it was made")
    with case("a disk that is gone or broken is told at the start"):
        u = p.machine("bad", 107, IMAGE)
        disk = p.lv.dir + "/lib/sally/bad.qcow2"
        os.rename(disk, disk + "x")
        code(p.d.do(u, "start"), "ENOENT", "bad.qcow2.*No such file")
        os.rename(disk + "x", disk)
        with open(disk, "r+b") as f:
            f.write(b"x" * 4096)
        code(p.d.do(u, "start"), "EUCLEAN", "not in qcow2 format")
        same(p.d.ask("unmake", uuid=u, delete_disk=True)["error"], 0, "unmake")


# --- trouble with libvirtd ---

def many(p):
    d = p.d
    with case("twenty calls at once: each is answered once"):
        names = [f"n{i}" for i in range(5)]
        us = [p.machine(n, 110 + i) for i, n in enumerate(names)]
        ids = [d.send("do", uuid=u, verb=v) for u in us for v in ("start", "look", "suspend", "look")]
        answers = [d.reply(i) for i in ids]
        same(len(answers), 20, "answers")
        same([a["error"] for a in answers[0::4]], [0] * 5, "starts")
        same([a["error"] for a in answers[1::4]], [0] * 5, "looks")
        for u in us:
            p.good(u, "destroy")
        p.many = us


def killed(p):
    d = p.d
    u = p.uuids["web"]
    p.good(u, "start")
    with case("libvirtd is killed in the middle of calls: they end, the guests live on"):
        m = d.mark()
        qemu = p.lv.qemu_pid("web")
        ids = [d.send("do", uuid=x, verb="start") for x in p.many]
        d.event("started", p.many[0], m)
        p.lv.kill9()
        since = time.monotonic()
        answers = [d.reply(i, 10) for i in ids]
        say(f"ended within {time.monotonic() - since:.3f} s")
        check(any(a["error"] == -errno.ENOTCONN for a in answers), str(answers))
        check(all(a["error"] in (0, -errno.ENOTCONN) for a in answers), str(answers))
        d.down(m)
        same(d.do(u, "look")["error"], -errno.ENOTCONN, "look")
        os.kill(qemu, 0)
    with case("it comes back: so does the connection, and events with it"):
        m = d.mark()
        since = time.monotonic()
        p.lv.start()
        d.up(m)
        say(f"up {time.monotonic() - since:.2f} s after its start")
        same(p.state(u), "running", "state")
        p.lv.virsh("suspend", "web")
        d.event("suspended", u, m)
        p.good(u, "resume")
        for x in p.many:
            d.do(x, "destroy")


def frozen(p):
    d = p.d
    with case("libvirtd answers no more: every call ends, the loop never waits"):
        d.ask("state")
        m = d.mark()
        p.lv.freeze()
        since = time.monotonic()
        ids = [d.send("do", uuid=x, verb=v) for x in p.many for v in ("look", "destroy")] + [d.send("list")]
        answers = [d.reply(i, 30) for i in ids]
        took = time.monotonic() - since
        check(all(a["error"] in (-errno.ENOTCONN, -1) for a in answers), str(answers))
        check(took < 3 * KEEPALIVE + 4, f"it took {took:.1f} s")
        said = d.down(m)["down"]
        same(said, "libvirt did not answer any more", "why")
        longest = d.ask("state")["longest_us"]
        check(longest < TURN_MAX_US, f"a turn of the loop took {longest} us")
        say(f"ended after {took:.1f} s; longest turn {longest} us")
    with case("nor is it waited for where it takes the connection and says nothing"):
        net.wait_for(lambda: "did not answer within" in d.ask("state")["trouble"], 20, "the deadline", 0.2)
        p.lv.thaw()
        d.up(m)
        same(p.state(p.uuids["web"]), "running", "state")


def end_of(p):
    d = p.d
    with case("the end: also while libvirtd is frozen and calls wait; nothing leaks"):
        d.send("console", uuid=p.uuids["web"])
        p.lv.freeze()
        for x in p.many:
            d.send("do", uuid=x, verb="start")
            d.send("do", uuid=x, verb="look")
        took = d.stop()
        say(f"ended within {took * 1000:.0f} ms")
        check(took < 3, f"it took {took:.1f} s")
        p.lv.thaw()


def life():
    p = Place(disk="600m")
    connect(p)
    make_kernel(p)
    boots(p)
    verbs(p)
    shrink(p)
    save(p)
    no_space(p)
    bad_image(p)
    console(p)
    give_back(p)
    images(p)
    many(p)
    killed(p)
    frozen(p)
    end_of(p)
    p.lv.stop()


# --- KVM ---

def kvm_truth(kernel):
    """Does QEMU itself get a kernel through under KVM? None: it cannot be asked."""
    if not os.path.exists("/dev/kvm"):
        return False
    with open(worlds.STATE + "/truth", "wb") as out:
        q = net.start("qemu-system-x86_64", "-machine", "q35,accel=kvm", "-cpu", "host", "-m", "32", "-display", "none",
                      "-nodefaults", "-serial", "stdio", "-kernel", kernel, stdout=out, stderr=out)
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline and q.poll() is None and not spoke(worlds.STATE + "/truth"):
            time.sleep(0.05)
        net.stop(q)
    return spoke(worlds.STATE + "/truth")


def spoke(path):
    with open(path, "rb") as f:
        return b"sallyport-long-mode" in f.read()


def accel(kvm):
    p = Place(kvm=kvm)
    p.lv.start()
    kernel = worlds.STATE + "/probe-kernel"
    with open(BUILD + "/probe-kernel", "rb") as f, open(kernel, "wb") as to:
        to.write(f.read())
    os.chmod(kernel, 0o644)
    before = os.stat(kernel)
    want = "kvm" if kvm and kvm_truth(kernel) else "tcg"
    with case(f"{'a' if kvm else 'no'} /dev/kvm: {want}, with the reason, and nothing stays"):
        p.d = Drive(BUILD, p.lv.uri, accel="auto", probe=kernel, keepalive=KEEPALIVE)
        p.d.up()
        same(p.d.ask("list")["items"], [], "domains while it is found out")
        p.d.wait("settled", 0, settled=True, up=True)
        found = net.wait_for(lambda: [s for s in [p.d.ask("state")] if s["accel"] != "unknown"], 1, "the accelerator",
                             0.1)[0]
        say(f"{found['accel']}: {found['why']}")
        same(found["accel"], want, "accelerator")
        check(len(found["why"]) > 20, "no reason")
        net.wait_for(lambda: p.lv.domains() == [], 10, "the probe's domain to go")
        after = os.stat(kernel)
        same((after.st_uid, after.st_mode), (before.st_uid, before.st_mode), "the kernel's owner and mode")
        same([s for s in p.d.heard if "event" in s], [], "events of the probe")
        p.d.stop()
    if not kvm:
        with case("the probe kernel itself speaks, under TCG"):
            p.lv.define(f"<domain type='qemu'><name>probe</name><memory unit='MiB'>32</memory><vcpu>1</vcpu><os>"
                        f"<type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel></os><devices>"
                        f"<serial type='file'><source path='/var/log/libvirt/probe.log'/></serial></devices></domain>")
            p.lv.virsh("start", "probe")
            net.wait_for(lambda: spoke(p.lv.dir + "/log/probe.log"), 60, "the mark")
    p.lv.stop()


main((life,), (accel, False), (accel, True))
