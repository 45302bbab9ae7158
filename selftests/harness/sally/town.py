# SPDX-License-Identifier: GPL-2.0-or-later
"""The usual inhabitants: three users, one of them with two devices and two workloads.

In VLAN mode alice and bob have the same addresses and the same MACs, on purpose: isolation must not
rest on anything that a user can choose. In MAC mode every MAC has one owner, so they differ.
"""

import json

from . import net, probe
from .lab import Lab

ALICE, PHONE, BOB, CAROL = "alice", "alice-phone", "bob", "carol"

_VLAN = {
    "users": {ALICE: 10, BOB: 10, CAROL: 30},
    "clients": {ALICE: (ALICE, "02:00:00:00:00:0a"), PHONE: (ALICE, "02:00:00:00:00:0b"),
                BOB: (BOB, "02:00:00:00:00:0a"), CAROL: (CAROL, "02:00:00:00:00:0c")},
    "workloads": {(ALICE, "web"): (1, 101), (ALICE, "db"): (2, 102), (BOB, "web"): (1, 101),
                  (CAROL, "web"): (3, 103)},
}
_MAC = {
    "users": {ALICE: 10, BOB: 20, CAROL: 30},
    "clients": {ALICE: (ALICE, "02:00:00:00:00:0a"), PHONE: (ALICE, "02:00:00:00:00:0b"),
                BOB: (BOB, "02:00:00:00:00:0d"), CAROL: (CAROL, "02:00:00:00:00:0c")},
    "workloads": {(ALICE, "web"): (1, 101), (ALICE, "db"): (2, 102), (BOB, "web"): (4, 104),
                  (CAROL, "web"): (3, 103)},
}


def people(lab, plan):
    for name, n in plan["users"].items():
        lab.user(name, f"10.50.0.{n}/24", f"fd50::{n}/64")


def workloads(lab, plan):
    for (user, short), (m, n) in plan["workloads"].items():
        lab.workload(user, short, f"52:54:00:00:00:{m:02x}", f"10.50.0.{n}/24", f"fd50::{n}/64")


def town(mode="vlan", phone=True, connect=True, **kw):
    """A lab with everybody in it, connected and learned."""
    lab = Lab(mode, **kw).up()
    plan = _VLAN if mode == "vlan" else _MAC
    people(lab, plan)
    workloads(lab, plan)
    for name, (user, mac) in plan["clients"].items():
        if name != PHONE or phone:
            lab.client(name, user, mac)
    if connect:
        for name, c in lab.clients.items():
            if name != PHONE:
                c.start()
        for name, c in lab.clients.items():
            c.wait() if name != PHONE else c.connect()  # the second device gets the second address
        settle(lab)
    return lab


def settle(lab, *clients):
    """Until the daemon has learned every client's own MAC: each sends something first."""
    chosen = clients or tuple(lab.clients.values())
    for c in chosen:
        greet(lab, c)

    def learned():
        macs = {(s["common_name"], m) for s in lab.sessions() for m in s["macs"]}
        return all((c.cn, c.mac) in macs for c in chosen)

    net.wait_for(learned, 10, lambda: f"all MACs to be learned; sessions: {lab.sessions()}")


def greet(lab, c):
    """A frame from the client, so that OpenVPN learns its MAC: an echo request to a workload of its user.
    A MAC that was put off (the store did not answer in time) is asked for again with the next one."""
    own = [w for w in lab.workloads.values() if w.user == c.user]
    if own:
        address = own[0].addresses[0].split("/")[0]
        net.wait_for(lambda: probe.ping(c.ns, address, "-i", "0.2", count=3)[1] > 0, 10,
                     f"{c.name} to reach {own[0].name}")


def addresses(e):
    """The global addresses of an endpoint, as its own kernel has them."""
    out = json.loads(net.run("ip", "-j", "addr", "show", "dev", e.dev, ns=e.ns).stdout)
    return [a["local"] for a in out[0]["addr_info"] if a["scope"] == "global"]


def expected(lab, known):
    """(asker, address, answerer) for every pair on one segment, and for no other."""
    want = set()
    for group in lab.segments().values():
        for a in group:
            for b in group - {a}:
                want |= {(a, address, b) for address in known[b]}
    return want


def matrix(lab, quiet=1.0):
    """(missing, unexpected) of the full reachability matrix, IPv4 and IPv6."""
    ends = lab.endpoints()
    known = {name: addresses(e) for name, e in ends.items()}
    with probe.Matrix(ends, known) as m:
        return m.run(expected(lab, known), quiet=quiet)
