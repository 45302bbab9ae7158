#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenVPN or a client dies, restarts, comes back by the dozen: is anything stale, anybody disturbed (I1, I5)?"""

import json
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same  # noqa: E402
from sally.town import ALICE, BOB, CAROL, PHONE, greet, matrix, settle, town  # noqa: E402


def reconnected(c, mark, timeout=30):
    c.log.wait("Initialization Sequence Completed", timeout, mark, c.process)


def find_map(name):
    for top, _, files in os.walk("/sys/fs/bpf"):
        if name in files:
            return f"{top}/{name}"
    raise AssertionError(f"no pinned map {name}")


def openvpn_killed(lab):
    """kill -9 fires no hook: the daemon must notice by itself."""
    server = lab.servers["main"]
    with case("kill -9 of OpenVPN: its sessions and bindings are flushed"):
        marks = {c: c.log.mark() for c in lab.clients.values()}
        old = {s["id"] for s in lab.sessions()}
        server.kill9()
        lab.wait_gone(lambda s: True, "all sessions to be flushed")
        for name in ("bindings", "vids"):
            dump = net.run("bpftool", "-j", "map", "dump", "pinned", find_map(name)).stdout
            tap = int(open(f"/sys/class/net/{server.tap}/ifindex").read())
            left = [e for e in json.loads(dump) if f'"ifindex": {tap},' in json.dumps(e)]
            check(not left, f"{name} still has {left[:3]}")
    with case("clients come back by themselves, nothing is stale"):
        server.start()
        for c, mark in marks.items():
            reconnected(c, mark)
        settle(lab)
        now = lab.sessions()
        same(len(now), len(lab.clients), "sessions")
        check(not old & {s["id"] for s in now}, "an old session is still there")
        missing, unexpected = matrix(lab)
        check(not missing and not unexpected, f"missing {missing}, unexpected {unexpected}")


def openvpn_signals(lab):
    server = lab.servers["main"]
    for sig in (signal.SIGUSR1, signal.SIGHUP):
        with case(f"{sig.name} of OpenVPN: clients are back, no old session stays"):
            old = {s["id"] for s in lab.sessions()}
            marks = {c: c.log.mark() for c in lab.clients.values()}
            mark = server.log.mark()
            server.signal(sig)
            server.log.wait("Initialization Sequence Completed", 15, mark, server.process)
            for c, m in marks.items():
                reconnected(c, m)
            settle(lab)
            lab.wait_gone(lambda s: s["id"] in old, "the old sessions to be gone")
            same(len(lab.sessions()), len(lab.clients), "sessions")


def client_killed(lab):
    with case("a client killed: its session ends, its user's other device does not notice"):
        a, w = lab.clients[ALICE], lab.workloads["alice/web"]
        pinger = probe.Pinger(a.ns, "10.50.0.101")
        lab.clients[PHONE].kill9()
        lab.wait_gone(lambda s: s["common_name"] == PHONE, "the session to end", 25)
        sent, got = pinger.finish()
        check(sent == got, f"alice lost {sent - got} of {sent}")
        lab.clients[PHONE].connect()
        settle(lab, lab.clients[PHONE])
        check(w.mac, "a workload without a MAC")


def newest(lab):
    """ids of the last session of every device."""
    return {max(s["id"] for s in lab.sessions() if s["common_name"] == c.cn) for c in lab.clients.values()}


def storm(lab):
    with case("a reconnect storm: 16 logins of two devices, killed without a farewell"):
        for _ in range(8):
            for name in (BOB, CAROL):
                c = lab.clients[name]
                if c.process.poll() is None:
                    c.kill9()
                c.start()
            for name in (BOB, CAROL):
                lab.clients[name].wait(30)
        settle(lab, lab.clients[BOB], lab.clients[CAROL])
        lab.wait_gone(lambda s: s["id"] not in newest(lab), "sessions of the dead", 30)
        same(len(lab.sessions()), len(lab.clients), "sessions")
    with case("nobody else noticed, and no VLAN id was given out twice"):
        greet(lab, lab.clients[ALICE])
        vids = [s["vid"] for s in lab.sessions() if s["vid"]]
        same(len(set(vids)), len(vids), "distinct VLAN ids")


def openvpn(mode):
    lab = town(mode)
    openvpn_killed(lab)
    if mode == "vlan":
        openvpn_signals(lab)
        client_killed(lab)
        storm(lab)
    lab.close()


main((openvpn, "vlan"), (openvpn, "mac"))
