# SPDX-License-Identifier: GPL-2.0-or-later
"""Does everybody reach what is theirs, with every kind of traffic, and nobody else's? Both modes."""

from . import frames, net, probe, tap
from .sniff import Sniffers, barrier
from .tap import case, check, same
from .town import ALICE, BOB, PHONE, addresses, expected, matrix, town


def _matrix_cases(lab):
    with case("every client has the address of its user, in both families"):
        same(addresses(lab.clients[ALICE]), ["10.50.0.10", "fd50::10"], "alice")
        same(addresses(lab.clients[PHONE]), ["10.50.0.11", "fd50::11"], "alice's second device")
    with case("the full matrix: own devices and workloads answer, nobody else does (I2)"):
        known = {n: addresses(e) for n, e in lab.endpoints().items()}
        check(len(expected(lab, known)) >= 28, "the matrix is too small to say anything")
        missing, unexpected = matrix(lab)
        check(not missing and not unexpected, f"missing {sorted(missing)}, unexpected {sorted(unexpected)}")
    with case("between two devices of one user: a hairpin through the tap, seen by nobody else"):
        a, p = lab.clients[ALICE], lab.clients[PHONE]
        with Sniffers(lab.endpoints()) as s:
            tok = frames.token("hairpin")
            net.inject(a.ns, a.dev, frames.udp4(a.mac, p.mac, tok, dip="10.50.0.11"))
            s.wait(tok, {PHONE})
            barrier(lab, s)
            same(s.who(tok), {PHONE}, "who received it")
            same(len(s.frames(PHONE, tok)), 1, "copies of it")


def _size_cases(lab):
    a, w = lab.clients[ALICE], lab.workloads["alice/web"]
    rows = (("frames of 1514 bytes that may not be fragmented, IPv4", a.ns, "10.50.0.101", "-M", "do", "-s", "1472"),
            ("the same, IPv6", a.ns, "fd50::101", "-M", "do", "-s", "1452"),
            ("the same from the workload", w.ns, "10.50.0.10", "-M", "do", "-s", "1472"),
            ("the same between two devices of one user", a.ns, "10.50.0.11", "-M", "do", "-s", "1472"),
            ("fragments, IPv4", a.ns, "10.50.0.101", "-s", "5000"),
            ("fragments, IPv6", a.ns, "fd50::101", "-s", "5000"),
            ("fragments from the workload", w.ns, "10.50.0.10", "-s", "5000"))
    for what, ns, address, *args in rows:
        with case(what):
            sent, got = probe.ping(ns, address, *args, "-i", "0.05", count=5)
            same((sent, got), (5, 5), "sent, received")


def _jumbo(lab):
    """The MTU of a veth was raised behind our back; the destination's limit still holds."""
    a, w = lab.clients[ALICE], lab.workloads["alice/web"]
    near = next(i["device"] for i in lab.ask("workload-list", user=ALICE)["items"] if i["name"] == "web")
    net.ip("link", "set", near, "mtu", 9000)
    net.ip("link", "set", w.dev, "mtu", 9000, ns=w.ns)
    try:
        before = lab.reasons()
        with Sniffers(lab.endpoints()) as s:
            toks = [frames.token("jumbo") for _ in range(3)]
            net.inject(w.ns, w.dev, *(frames.udp4(w.mac, a.mac, t, size=3000) for t in toks))
            barrier(lab, s)
            for t in toks:
                same(s.who(t), set(), "who received a jumbo frame")
        lab.moved("too-long", before, 3)
    finally:
        net.ip("link", "set", w.dev, "mtu", 1500, ns=w.ns)
        net.ip("link", "set", near, "mtu", 1500)


def _gso_share(lab, run):
    """Bytes for each frame that the workload's port took in during RUN."""
    def port():
        return next(p["counters"] for p in lab.ask("counters")["items"] if p["name"] == "alice/web")

    before = port()
    run()
    after = port()
    n = after["rx_frames"] - before["rx_frames"]
    return (after["rx_bytes"] - before["rx_bytes"]) / max(1, n)


def _tcp_cases(lab):
    a, w, d = lab.clients[ALICE], lab.workloads["alice/web"], lab.workloads["alice/db"]
    size = 8 << 20
    with case("TCP from the client to the workload: every byte, in order"):
        probe.tcp(a.ns, w.ns, "10.50.0.101", size)
    with case("TCP from the workload to the client, in segments larger than the MTU (GSO survives)"):
        average = _gso_share(lab, lambda: probe.tcp(w.ns, a.ns, "10.50.0.10", size))
        check(average > 2000, f"{average:.0f} bytes for each frame: segmentation offload was lost")
    with case("TCP between two workloads of one user, IPv6, offload intact"):
        average = _gso_share(lab, lambda: probe.tcp(w.ns, d.ns, "fd50::102", 4 * size))
        check(average > 2000, f"{average:.0f} bytes for each frame: segmentation offload was lost")


def _same_addresses(lab):
    with case("alice's and bob's devices have the same addresses and MACs"):
        same(addresses(lab.clients[ALICE]), addresses(lab.clients[BOB]), "addresses")
        same(lab.clients[ALICE].mac, lab.clients[BOB].mac, "MACs")
        same(lab.workloads["alice/web"].mac, lab.workloads["bob/web"].mac, "MACs of the workloads")
    with case("both talk at once, each to their own"):
        streams = [probe.Stream(lab.clients[u], "10.50.0.10", lab.workloads[u + "/web"], "10.50.0.101",
                                rate=100).start() for u in (ALICE, BOB)]
        for s in streams:
            s.progressed(100)
        for s in streams:
            sent, lost = s.finish()
            check(sent > 200 and lost == 0, f"{lost} of {sent} frames lost")


def _no_odd_drops(lab, *reasons):
    with case(f"nothing was dropped as {', '.join(reasons)}"):
        odd = {k: v for k, v in lab.reasons().items() if v and k in reasons}
        check(not odd, f"{odd}")


def reach(mode):
    lab = town(mode)
    _matrix_cases(lab)
    if mode == "vlan":
        _same_addresses(lab)
    else:
        _unicast_conversion(lab)
    _size_cases(lab)
    with case("a jumbo frame is refused: too-long"):
        _jumbo(lab)
    _no_odd_drops(lab, "clone-failed")
    # A stream fills the tap's queue, and then the kernel may refuse the copy of a group frame.
    _tcp_cases(lab)
    _no_odd_drops(lab, "tag-failed", "port-unknown", "tag-missing")
    tap.say(f"{len(lab.endpoints())} endpoints, {len(lab.sessions())} sessions")
    lab.close()


def _unicast_conversion(lab):
    """MAC mode: OpenVPN would show a group frame to everybody, so none is ever given to it (I3)."""
    w = lab.workloads["alice/web"]
    for what, dst in (("broadcast", frames.BROADCAST), ("multicast", "01:00:5e:00:00:fb")):
        with case(f"a {what} reaches each device of its user once, addressed to that device alone"):
            with Sniffers(lab.endpoints()) as s:
                tok = frames.token(what)
                net.inject(w.ns, w.dev, frames.udp4(w.mac, dst, tok, dip="255.255.255.255"))
                s.wait(tok, {ALICE, PHONE, "alice/db"})
                barrier(lab, s)
                same(s.who(tok), {ALICE, PHONE, "alice/db"}, "who received it")
                for name in (ALICE, PHONE):
                    got = s.frames(name, tok)
                    same(len(got), 1, f"copies at {name}")
                    same(":".join(f"{b:02x}" for b in got[0][:6]), lab.clients[name].mac, "its destination")
