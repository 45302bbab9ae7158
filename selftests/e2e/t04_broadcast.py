#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who hears a broadcast? Everybody of the sender's own segment, once, and nobody else (I3)."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, same  # noqa: E402
from sally.sniff import Sniffers, barrier  # noqa: E402
from sally.town import town  # noqa: E402

GROUPS = (("broadcast", "ff:ff:ff:ff:ff:ff"), ("IPv4 multicast", "01:00:5e:7f:00:01"),
          ("IPv6 multicast", "33:33:00:00:00:fb"))


def hear(lab, sender, dst, make):
    """One frame from SENDER; exactly the others of the segment get it, each one copy."""
    me = lab.endpoints()[sender]
    want = lab.segments()[me.user] - {sender}
    with Sniffers(lab.endpoints()) as s:
        tok = frames.token("group")
        net.inject(me.ns, me.dev, make(me.mac, dst, tok))
        s.wait(tok, want)
        barrier(lab, s)
        same(s.who(tok), want, "who heard it")
        for name in want:
            same(len(s.frames(name, tok)), 1, f"copies at {name}")


def unknown(lab, sender):
    """A unicast frame for nobody is not flooded: it dies, with a reason."""
    me = lab.endpoints()[sender]
    before = lab.reasons()
    with Sniffers(lab.endpoints()) as s:
        tok = frames.token("unknown")
        net.inject(me.ns, me.dev, frames.udp4(me.mac, "02:00:00:77:77:77", tok))
        barrier(lab, s)
        same(s.who(tok), set(), "who received it")
    lab.moved("dst-unknown", before)


def lonely(lab):
    """A segment of one: a broadcast has no listener, and that is a reason too."""
    lab.user("dave", "10.50.0.40/24")
    w = lab.workload("dave", "web", "52:54:00:00:00:44", "10.50.0.144/24")
    before = lab.reasons()
    with Sniffers({n: e for n, e in lab.endpoints().items() if e.user != "dave"}) as s:
        tok = frames.token("lonely")
        net.inject(w.ns, w.dev, frames.udp4(w.mac, "ff:ff:ff:ff:ff:ff", tok))
        lab.moved("no-listener", before)
        check(not s.who(tok), "somebody of another segment heard it")
    del lab.workloads[w.name]


def broadcast(mode):
    lab = town(mode)
    for sender in ("alice/web", "bob/web", "alice", "carol"):
        for what, dst in GROUPS:
            make = frames.udp6 if dst.startswith("33") else frames.udp4
            with case(f"{mode}: {what} from {sender}: heard by its own segment only"):
                hear(lab, sender, dst, make)
    for sender in ("alice/web", "alice"):
        with case(f"{mode}: an unknown destination from {sender} is not flooded"):
            unknown(lab, sender)
    with case(f"{mode}: a broadcast on a segment of one dies: no-listener"):
        lonely(lab)
    lab.close()


main((broadcast, "vlan"), (broadcast, "mac"))
