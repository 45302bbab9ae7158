# SPDX-License-Identifier: GPL-2.0-or-later
"""How long until a user's machine answers, and what does a user cost? Real OpenVPN, libvirt, QEMU; runs
inside a world of the end-to-end tests' harness, as live.py."""

import glob
import json
import os
import re
import shutil
import statistics
import threading
import time

from live import _closing, _sections
from sally import net
from sally.machines import MEMORY, MachineLab
from sally.virt import GUEST, http_get, tap_device

ROUNDS = 3
STATES = {"cold": ("stop", "--now"), "saved": ("stop", "--save"), "paused": ("stop", "--pause")}
AFTER = {"cold": "off", "saved": "saved", "paused": "paused"}
PEER_ADDRESS = "10.77.0.2"
ANSWER_MAX_S = 120


def _first_answer(ns, address, began, into, key):
    """Seconds from BEGAN until http://ADDRESS/ has answered for the first time."""
    while time.monotonic() - began < ANSWER_MAX_S:
        if http_get(ns, address, 0.1) is not None:
            into[key] = time.monotonic() - began
            return
        time.sleep(0.001)


def _login(client, addresses):
    """Seconds from the client's start until each of ADDRESSES has answered."""
    took, began = {}, time.monotonic()
    client.start()
    askers = [threading.Thread(target=_first_answer, args=(client.ns, a, began, took, a)) for a in addresses]
    for t in askers:
        t.start()
    for t in askers:
        t.join()
    if len(took) != len(addresses):
        raise AssertionError(f"no answer within {ANSWER_MAX_S} s from {set(addresses) - set(took)}")
    client.wait()
    return max(took.values())


def _logout(lab, client):
    client.stop()
    lab.wait_gone(lambda s: s["user"] == client.user, "the session to end")


# --- the peer: the same domain, started by hand ---

def _peer_define(lab, machine):
    """A twin of MACHINE's domain, its address another, on a tap without us."""
    xml = lab.libvirt.virsh("dumpxml", machine.domain, "--inactive")
    for pattern, text in ((r"<name>[^<]*", "<name>peer"), (r"<uuid>[^<]*", "<uuid>dddddddd-1111-4111-8111-000000000001"),
                          (r"(?s)<metadata>.*</metadata>", ""), (r"mac address='[^']*'", "mac address='52:54:00:77:00:02'"),
                          (r"target dev='spm[^']*'", "target dev='peer0'"), (r"sp\.ip=\S*", f"sp.ip={PEER_ADDRESS}/24")):
        xml, n = re.subn(pattern, text, xml)
        if n != 1 and "metadata" not in pattern:
            raise AssertionError(f"{pattern} was found {n} times in: {xml}")
    net.netns_add("peer")
    tap_device("peer0", address="10.77.0.1/24")
    lab.libvirt.define(xml)


def _peer_start(lab):
    took, began = {}, time.monotonic()
    asker = threading.Thread(target=_first_answer, args=(net.HOST, PEER_ADDRESS, began, took, "peer"))
    asker.start()
    lab.libvirt.virsh("start", "peer")
    asker.join()
    lab.libvirt.virsh("destroy", "peer")
    if not took:
        raise AssertionError("the peer did not answer")
    return took["peer"]


# --- what we add ---

def _overheads(lab, user):
    """Of each machine of the newest trace, ms from the password's answer until it runs behind its port, less the
    time within libvirt's own calls."""
    session = lab.sessions(user)[0]["id"]
    events = lab.ask("trace", session=session)["trace"]["events"]
    at = {}
    for e in events:
        if "object" in e:
            at.setdefault(e["object"], {}).setdefault(e["stage"], e["us"])
    asked = {e["stage"]: e["us"] for e in events if e["stage"] == "auth-done"}["auth-done"]
    within = {f"{m['user']}/{m['name']}": m["libvirt_us"] for m in lab.ask("machine-list", user=user)["items"]}
    return [(max(m["domain-up"], m.get("port-up", 0)) - asked - within[name]) / 1000
            for name, m in at.items() if "domain-up" in m]


# --- the figures ---

def _settle(lab, machines, state):
    for m in machines:
        m.stop(*STATES[state][1:], wait=False)
    for m in machines:
        m.wait(AFTER[state], timeout=ANSWER_MAX_S)
    if state == "saved":
        os.sync()


def _furnish(lab):
    """alice has one machine, carol three, bob a namespace with a page."""
    lab.up()
    for i, user in enumerate(("alice", "bob", "carol")):
        lab.user(user, f"10.50.{i}.10/24")
        lab.client(user)
    one = lab.machine("alice", "web", "10.50.0.101/24")
    three = [lab.machine("carol", f"web{i}", f"10.50.2.{101 + i}/24") for i in range(3)]
    page = lab.workload("bob", "web", "02:01:00:00:00:01", "10.50.1.101/24")
    return one, three, page


def _round(lab, one, three, took, overheads):
    alice, bob, carol = (lab.clients[n] for n in ("alice", "bob", "carol"))
    took["peer"].append(_peer_start(lab))
    took["tunnel"].append(_login(bob, ["10.50.1.101"]))
    _logout(lab, bob)
    for state in STATES:
        _settle(lab, [one], state)
        took[state].append(_login(alice, [one.address()]))
        overheads += _overheads(lab, "alice")
        _logout(lab, alice)
    for state in ("first", *STATES):
        _settle(lab, three, "cold" if state == "first" else state)
        if state == "first":
            _evict()
        took["three_" + state].append(_login(carol, [m.address() for m in three]))
        overheads += _overheads(lab, "carol")
        _logout(lab, carol)


def _evict():
    """Nothing of the guest, nor of QEMU, is in the host's page cache."""
    for path in (*glob.glob(GUEST + "/*"), shutil.which("qemu-system-x86_64")):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def ondemand(emit, wanted):
    lab = MachineLab(machines={"grace": "0", "probe-kernel": _probe(), "stop": "keep"},
                     kvm=os.path.exists("/dev/kvm"), daemon=_sections())
    with _closing(lab):
        one, three, page = _furnish(lab)
        accel = lab.ready().ask("status")["libvirt"]["accel"]
        _peer_define(lab, one)
        server = net.start("python3", "-m", "http.server", "80", "--directory", "/run/lab/guest", ns=page.ns)
        took = {k: [] for k in ("peer", "tunnel", *STATES, "three_first", *("three_" + k for k in STATES))}
        overheads = []
        for m in (one, *three):  # once, for the host's caches
            m.start()
        _settle(lab, three, "paused")
        _round(lab, one, three, {k: [] for k in took}, [])
        for _ in range(ROUNDS):
            _round(lab, one, three, took, overheads)
        net.stop(server)
        _report(emit, accel, took, overheads)


def _report(emit, accel, took, overheads):
    peer = statistics.median(took["peer"])
    for state in STATES:
        rest = [a - b for a, b in zip(took[state], took["tunnel"])]
        emit({"name": f"ondemand.{state}", "value": statistics.median(rest) * 1000, "unit": "ms",
              "peer": f"virsh start, {accel}", "peer_value": peer * 1000,
              "ratio": statistics.median(max(a, 0) / b for a, b in zip(rest, took["peer"]))})
    emit({"name": "ondemand.three_paused", "value": statistics.median(took["three_paused"]) * 1000, "unit": "ms",
          "peer": "one paused, tunnel included", "peer_value": statistics.median(took["paused"]) * 1000,
          "ratio": statistics.median(a / b for a, b in zip(took["three_paused"], took["paused"]))})
    for state in ("first", "cold", "saved"):
        emit({"name": f"ondemand.three_{state}", "value": statistics.median(took["three_" + state]) * 1000,
              "unit": "ms"})
    emit({"name": "ondemand.overhead", "value": statistics.median(overheads), "unit": "ms"})
    emit({"name": "ondemand.tunnel", "value": statistics.median(took["tunnel"]) * 1000, "unit": "ms"})


def _probe():
    return os.environ["SP_BUILD"] + "/probe-kernel"


# --- what a user costs ---

USERS, MACHINES_EACH = 50, 3
SMALL = "/run/lab/small"


def _maps_kib(pins):
    """What the kernel has reserved for our maps."""
    total = 0
    for m in json.loads(net.run("bpftool", "-j", "map", "show", timeout=30).stdout):
        total += int(m.get("bytes_memlock", 0)) if m.get("name", "") in pins else 0
    return total / 1024


def _kernel_kib():
    """Memory that is the kernel's own, tables of processes apart."""
    with open("/proc/meminfo") as f:
        kib = {line.split(":")[0]: int(line.split()[1]) for line in f}
    return kib["Slab"] + kib["Percpu"] + kib["VmallocUsed"]


def _devices_kib(n):
    """N taps as machines have them, in a namespace without anything else."""
    net.netns_add("taps")
    before = _kernel_kib()
    for i in range(n):
        tap_device(f"t{i}", ns="taps")
    after = _kernel_kib()
    net.netns_del("taps")
    return max(0, after - before)


def memory(emit, _wanted):
    """USERS users with MACHINES_EACH paused machines: the daemon, its maps, their devices; QEMU apart.
    The guests are the smallest that there are: what runs in one is no matter here."""
    lab = MachineLab(machines={"probe-kernel": _probe(), "stop": "keep"}, kvm=os.path.exists("/dev/kvm"),
                     daemon=_sections())
    with _closing(lab):
        lab.up()
        lab.ready()
        os.makedirs(SMALL)
        shutil.copy(_probe(), SMALL)
        pins = set(os.listdir("/sys/fs/bpf/sallyport/v1"))
        devices = _devices_kib(USERS * MACHINES_EACH)
        daemon, maps = lab.daemon.rss_kib(), _maps_kib(pins)
        for u in range(USERS):
            lab.user(f"u{u}", f"10.50.{u}.10/24")
        machines = [_small_machine(lab, f"u{u}", m) for u in range(USERS) for m in range(MACHINES_EACH)]
        for user, name in machines:
            lab.sallyport("--timeout", "120", "machine", "start", user, name, "--wait")
            lab.sallyport("--timeout", "120", "machine", "stop", user, name, "--pause", "--wait")
        states = lab.ask("status")["machines"]["states"]
        if states.get("paused") != len(machines):
            raise AssertionError(f"not all are paused: {states}")
        parts = {"daemon": lab.daemon.rss_kib() - daemon, "maps": _maps_kib(pins) - maps, "devices": devices}
        emit({"name": "user.memory", "value": sum(parts.values()) / USERS, "unit": "KiB"})
        for part, kib in parts.items():
            emit({"name": f"user.memory.{part}", "value": kib / USERS, "unit": "KiB"})


def _small_machine(lab, user, i):
    name = f"m{i}"
    lab.sallyport("--timeout", "60", "machine", "add", user, name, "--kernel", f"{SMALL}/probe-kernel",
                  "--memory", "16")
    return user, name
