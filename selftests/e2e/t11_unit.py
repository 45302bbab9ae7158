#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the hardened unit leave sallyportd what it needs, and nothing else?

The daemon runs with the capabilities, the system calls and the mounts of the unit, the kernel
enforcing them (sally/confine.py); taps, BPF, veths, the store and restarts have to work."""

import functools
import os
import platform
import re
import sys
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same, skip, worlds  # noqa: E402
from sally.lab import ROOT, Lab  # noqa: E402
from sally.town import settle  # noqa: E402

CONFINE = ROOT + "/selftests/harness/sally/confine.py"
SOCKET = "/run/sallyport/control.sock"
CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF = 12, 38, 39
MS_REC, MS_SHARED = 0x4000, 0x100000


def render():
    """The unit as it is installed."""
    unit = worlds.STATE + "/sallyportd.service"
    with open(ROOT + "/systemd/sallyportd.service.in") as f, open(unit, "w") as to:
        to.write(f.read().replace("@PREFIX@", "/usr/local").replace("@SYSCONFDIR@", "/etc"))
    return unit


def wrap(unit, *options):
    return (sys.executable, CONFINE, unit, "--writable", worlds.STATE + "/store", *options)


def refused(unit, name, code, *options):
    """CODE (Python) must fail inside; the same without the unit's limits must not."""
    with case(name):
        free = net.run(sys.executable, "-c", code, check=False)
        same(free.returncode, 0, f"unconfined, or else this proves nothing: {free.stderr}")
        p = net.run(*wrap(unit, *options), sys.executable, "-c", code, check=False)
        check(p.returncode != 0, f"the unit allows: {code}")


def limits(unit):
    os.makedirs(worlds.STATE + "/store", exist_ok=True)
    with case("the unit's limits let an ordinary program run"):
        p = net.run(*wrap(unit), sys.executable, "-c",
                    "import os, socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); "
                    f"open('{worlds.STATE}/store/x', 'w'); os.mkdir('/sys/fs/bpf/x'); os.rmdir('/sys/fs/bpf/x')",
                    check=False)
        same(p.returncode, 0, f"exit status; {p.stderr}")
    refused(unit, "no files outside its directories", "open('/run/lab/other', 'w')")
    refused(unit, "no files of other users",
            "import os; os.chown('/run/lab/other', 65534, 65534); os.chmod('/run/lab/other', 0o600); "
            "open('/run/lab/other')")
    refused(unit, "no packet sockets", "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)")
    # IP is left for a database server; where to, the manager's IPAddressAllow= decides.
    refused(unit, "no sockets of other families", "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)")
    refused(unit, "no namespaces", "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x04000000) != 0)")
    refused(unit, "no mounts", "import ctypes, sys; "
            "sys.exit(ctypes.CDLL(None).mount(b'x', b'/run/lab/store', b'tmpfs', 0, None) != 0)")
    refused(unit, "no memory both writable and executable", "import mmap; mmap.mmap(-1, 4096, prot=7)")


def starve(lab, unit):
    """What the unit grants is needed: the test of the limits can fail."""
    for cap in ("CAP_NET_ADMIN", "CAP_BPF"):
        with case(f"sallyportd does not start without {cap}"):
            try:
                lab.daemon.start(wrap=wrap(unit, "--socket", SOCKET, "--drop-cap", cap))
            except AssertionError as e:
                check("ended at once" in str(e), str(e))
            else:
                lab.daemon.stop()
                check(False, "it started")


def status_field(pid, name):
    with open(f"/proc/{pid}/status") as f:
        return next(line.split()[1] for line in f if line.startswith(name + ":"))


def start(lab):
    with case("sallyportd starts, on a socket that is handed to it"):
        lab.up()
        same(lab.ask("status")["instances"][0]["name"], "main", "instance")
    with case("it holds the unit's capabilities and no other"):
        want = 1 << CAP_NET_ADMIN | 1 << CAP_PERFMON | 1 << CAP_BPF
        for field in ("CapEff", "CapPrm", "CapBnd"):
            same(int(status_field(lab.daemon.process.pid, field), 16), want, field)
        same((status_field(lab.daemon.process.pid, "NoNewPrivs"), status_field(lab.daemon.process.pid, "Seccomp")),
             ("1", "2"), "NoNewPrivs, Seccomp")


def work(lab):
    with case("users, a workload in a namespace made after the start, a client that reaches it"):
        lab.user("alice", "10.50.0.10/24", "fd50::10/64")
        lab.workload("alice", "web", "52:54:00:00:00:01", "10.50.0.101/24", "fd50::101/64")
        alice = lab.client("alice", "alice", "02:00:00:00:00:0a")
        alice.connect()
        settle(lab)
        sent, got = probe.ping(alice.ns, "10.50.0.101", "-i", "0.1", count=5)
        same(got, sent, "replies")
        same(lab.ask("status")["instances"][0]["management"], "connected", "management socket")
    with case("the workload's veth is removed and made again"):
        lab.ask("workload-remove", user="alice", name="web")
        check(not net.link_exists("w-alice-web", "eth0"), "eth0 is still there")
        lab.ask("workload-add", user="alice", name="web", netns="w-alice-web", mac="52:54:00:00:00:01")
        lab.furnish(lab.workloads["alice/web"])
        sent, got = probe.ping(alice.ns, "10.50.0.101", "-i", "0.1", count=5)
        same(got, sent, "replies")


def look(lab):
    with case("the metrics over HTTP"):
        with urllib.request.urlopen("http://127.0.0.1:9469/metrics", timeout=5) as r:
            text = r.read().decode()
        check(re.search(r'^sallyport_sessions\{openvpn="main"\} 1$', text, re.M), text[:300])
        check(re.search(r"^process_open_fds [1-9]", text, re.M), "it may not see its own descriptors")


def again(lab):
    with case("killed and started again it takes over what is pinned"):
        before = lab.sessions()
        lab.daemon.kill9()
        lab.daemon.start()
        same([s["id"] for s in lab.sessions()], [s["id"] for s in before], "sessions")
        alice = lab.clients["alice"]
        sent, got = probe.ping(alice.ns, "10.50.0.101", "-i", "0.1", count=5)
        same(got, sent, "replies")
    with case("reload and session-kill"):
        lab.ask("reload")
        lab.ask("session-kill", session=lab.sessions()[0]["id"])
        net.wait_for(lambda: lab.clients["alice"] and not lab.sessions("alice"), 10, "the session to end")


def unit_test():
    # Mounts made here later must come through to the daemon's namespace, as from systemd's host.
    worlds.mount("none", "/run", None, MS_REC | MS_SHARED)
    unit = render()
    limits(unit)
    lab = Lab("vlan", daemon={"metrics": {"listen": "127.0.0.1:9469"}})
    starve(lab, unit)
    lab.daemon.start = functools.partial(lab.daemon.start, wrap=wrap(unit, "--socket", SOCKET))
    start(lab)
    work(lab)
    look(lab)
    again(lab)
    lab.close()


# The unit is for the release build: the sanitizers' runtime wants more than it grants.
build = os.environ.get("SP_BUILD", "")
if os.path.basename(build) == "san" and os.path.exists(os.path.dirname(build) + "/sallyportd"):
    os.environ["SP_BUILD"] = os.path.dirname(build)
if platform.machine() != "x86_64":
    print("1..0 # SKIP the system call filter of this test is for x86-64")
    sys.exit(0)
main((unit_test,))
