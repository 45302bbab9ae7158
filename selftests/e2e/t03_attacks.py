#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What can a hostile client or workload do to others? Nothing, and each try is counted by its reason.

Every row sends bad frames, then the barrier (good frames that everybody must see), then asks who
received a bad one, and whether the named counter moved (I1, I2, I3, I6, I9).
"""

import multiprocessing
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, probe, same  # noqa: E402
from sally.events import Events  # noqa: E402
from sally.frames import BROADCAST, token  # noqa: E402
from sally.sniff import Sniffers, nobody  # noqa: E402
from sally.town import ALICE, BOB, CAROL, PHONE, settle, town  # noqa: E402

COPIES = 5
OTHER_IP = "10.50.0.103"  # carol's workload
MY_SEGMENT = {ALICE, PHONE, "alice/web", "alice/db"}


def attempt(lab, sender, make, reason, may=()):
    """MAKE(token) is a frame or a list of them; only MAY may receive; REASON (if any) must count."""
    before = lab.reasons()
    with Sniffers(lab.endpoints()) as s:
        toks = [token("bad") for _ in range(COPIES)]
        for t in toks:
            made = make(t)
            net.inject(sender.ns, sender.dev, *(made if isinstance(made, list) else [made]))
        nobody(lab, s, *toks, but=may)
    if reason:
        lab.moved(reason, before, COPIES)


def client_rows(lab, mode):
    """name, frame, reason (None: OpenVPN itself drops it), who may receive."""
    me, web = lab.clients[ALICE], lab.workloads["alice/web"]
    carol, theirs = lab.clients[CAROL], lab.workloads["carol/web"]
    src, dst = me.mac, web.mac
    vlan = mode == "vlan"
    vid = next((s["vid"] for s in lab.sessions(CAROL)), 0) or 7
    return (
        ("a frame to another user's device", lambda t: frames.udp4(src, carol.mac, t, dip="10.50.0.30"),
         "dst-unknown", ()),
        ("a frame to another user's workload", lambda t: frames.udp4(src, theirs.mac, t, dip=OTHER_IP),
         "dst-unknown", ()),
        ("the same, IPv6", lambda t: frames.udp6(src, theirs.mac, t, dip="fd50::103"), "dst-unknown", ()),
        ("fragments to another user's workload",
         lambda t: frames.fragments4(src, theirs.mac, t, "10.50.0.10", OTHER_IP), "dst-unknown", ()),
        ("an 802.1Q tag with another user's VLAN id", lambda t: frames.tagged(src, dst, t, vid),
         None if vlan else "tag-unexpected", ()),
        ("the same as a broadcast", lambda t: frames.tagged(src, BROADCAST, t, vid),
         None if vlan else "tag-unexpected", ()),
        # OpenVPN replaces an outer priority tag by the session's own: the frame stays at home.
        ("a priority tag", lambda t: frames.tagged(src, dst, t, 0), None if vlan else "tag-priority",
         MY_SEGMENT if vlan else ()),
        ("an 802.1ad tag", lambda t: frames.tagged(src, dst, t, vid, proto=0x88A8),
         "inner-tag" if vlan else "tag-proto", ()),
        ("two tags, the outer one for OpenVPN", lambda t: frames.tagged(src, dst, t, 0, vid),
         "inner-tag" if vlan else "tag-priority", ()),
        ("three tags", lambda t: frames.tagged(src, dst, t, 0 if vlan else vid, vid, vid), "inner-tag", ()),
        ("an ethertype nobody uses", lambda t: frames.ethertype(src, dst, t, 0x88B5), "ethertype", ()),
        ("PPPoE, MPLS, LLDP: not for us", lambda t: [frames.ethertype(src, dst, t, k)
                                                    for k in (0x8863, 0x8847, 0x88CC)], "ethertype", ()),
        ("a runt: an Ethernet header and nothing else", lambda t: frames.runt(src, dst), "runt", ()),
        ("half an ARP", lambda t: frames.runt(src, BROADCAST, 0x0806) + bytes(12), "runt", ()),
        ("half an IPv6 header", lambda t: frames.runt(src, dst, 0x86DD) + bytes(30), "runt", ()),
        ("a group address as the source", lambda t: frames.udp4("01:00:5e:00:00:01", dst, t), None, ()),
        ("broadcast as the source", lambda t: frames.udp4(BROADCAST, dst, t), None, ()),
        ("zero as the source", lambda t: frames.udp4("00:00:00:00:00:00", dst, t), None, ()),
        ("to an address that no bridge forwards", lambda t: frames.udp4(src, "01:80:c2:00:00:00", t),
         "dst-reserved", ()),
    )


def workload_rows(lab):
    me, mate = lab.workloads["alice/web"], lab.clients[ALICE]
    carol, theirs = lab.clients[CAROL], lab.workloads["carol/web"]
    vid = next((s["vid"] for s in lab.sessions(CAROL)), 0) or 7
    src, dst = me.mac, mate.mac
    return (
        ("a frame to another user's device", lambda t: frames.udp4(src, carol.mac, t), "dst-unknown"),
        ("a frame to another user's workload", lambda t: frames.udp4(src, theirs.mac, t), "dst-unknown"),
        ("another user's VLAN id", lambda t: frames.tagged(src, carol.mac, t, vid), "tag-unexpected"),
        ("the same as a broadcast", lambda t: frames.tagged(src, BROADCAST, t, vid), "tag-unexpected"),
        ("a priority tag", lambda t: frames.tagged(src, dst, t, 0), "tag-priority"),
        ("an 802.1ad tag", lambda t: frames.tagged(src, dst, t, vid, proto=0x88A8), "tag-proto"),
        ("two tags", lambda t: frames.tagged(src, dst, t, vid, vid), "inner-tag"),
        ("a source MAC of its user's device", lambda t: frames.udp4(mate.mac, dst, t), "src-unbound"),
        ("a source MAC of its neighbour", lambda t: frames.udp4(lab.workloads["alice/db"].mac, dst, t),
         "src-unbound"),
        ("a source MAC of another user's device", lambda t: frames.udp4(carol.mac, BROADCAST, t), "src-unbound"),
        ("a source MAC of another user's workload", lambda t: frames.udp6(theirs.mac, dst, t), "src-unbound"),
        ("a source MAC that nobody has", lambda t: frames.udp4("02:de:ad:00:00:01", BROADCAST, t), "src-unbound"),
        ("a group address as the source", lambda t: frames.udp4("01:00:5e:00:00:01", dst, t), "src-group"),
        ("zero as the source", lambda t: frames.udp4("00:00:00:00:00:00", dst, t), "src-group"),
        ("an ethertype nobody uses", lambda t: frames.ethertype(src, BROADCAST, t, 0x88B5), "ethertype"),
        ("a runt", lambda t: frames.runt(src, dst), "runt"),
        ("to an address that no bridge forwards", lambda t: frames.udp4(src, "01:80:c2:00:00:0e", t),
         "dst-reserved"),
    )


def lies(lab, sender, who):
    """ARP and neighbour discovery: a lie stays in the liar's own segment."""
    carol, theirs = lab.clients[CAROL], lab.workloads["carol/web"]
    probe.ping(carol.ns, OTHER_IP, "-i", "0.1", count=2)
    probe.ping(carol.ns, "fd50::103", "-i", "0.1", count=2)
    src = sender.mac
    rows = [frames.arp_lie(src, dst, OTHER_IP, src, "10.50.0.30", op)
            for dst in (BROADCAST, carol.mac) for op in (1, 2)]
    rows += [frames.na_lie(src, dst, "fd50::103", src) for dst in ("33:33:00:00:00:01", carol.mac)]
    rows += [frames.ra_lie(src, "33:33:00:00:00:01"), frames.ns_ask(src, "fd50::10", "fd50::103")]
    with case(f"ARP, ND and RA lies of {who} reach nobody of another user"):
        before = lab.reasons()
        with Sniffers(lab.endpoints()) as s:
            net.inject(sender.ns, sender.dev, *(f for _, f in rows))
            nobody(lab, s, *(t for t, _ in rows), but=MY_SEGMENT)
            same(len([1 for t, _ in rows[:2] if s.who(t)]), 2, "lies that her own segment heard")
        lab.moved("dst-unknown", before, 3)  # the ones addressed to carol herself
    with case("and carol still believes the truth"):
        table = net.run("ip", "neigh", "show", "dev", carol.dev, ns=carol.ns).stdout
        for address in (OTHER_IP, "fd50::103"):
            line = next((x for x in table.splitlines() if x.startswith(address + " ")), "")
            check(theirs.mac in line, f"her neighbours: {table}")
        same(probe.ping(carol.ns, OTHER_IP, "-i", "0.1"), (3, 3), "her pings")
        check("2001:db8:bad" not in net.run("ip", "addr", ns=carol.ns).stdout, "she took the false prefix")


def stolen_macs(lab, mode):
    """A client's frames with a MAC that is not its own to take (I6)."""
    me, web = lab.clients[ALICE], lab.workloads["alice/web"]
    tap_mac = net.link_mac(net.HOST, lab.servers["main"].tap)
    rows = [("her own workload's MAC", lab.workloads["alice/db"].mac, True),
            ("the tap's MAC", tap_mac, True),
            ("the reserved MAC of a gateway", "02:00:00:99:99:99", True),
            ("another user's device's MAC", lab.clients[CAROL].mac, mode == "mac"),
            ("another user's workload's MAC", lab.workloads["carol/web"].mac, mode == "mac")]
    for what, mac, refused in rows:
        with case(f"a client takes {what}: " + ("refused" if refused else "worth nothing outside her segment")):
            pinger = probe.Pinger(lab.clients[CAROL].ns, OTHER_IP)
            with Events(lab.socket) as events, Sniffers(lab.endpoints()) as s:
                toks = [token("thief") for _ in range(COPIES)]
                for t in toks:
                    net.inject(me.ns, me.dev, frames.udp4(mac, web.mac, t), frames.udp4(mac, BROADCAST, t))
                nobody(lab, s, *toks, but=() if refused else MY_SEGMENT)
                if refused:
                    e = events.wait(type="refuse", mac=mac)
                    check(e.get("reason"), f"a refusal without a reason: {e}")
            sent, got = pinger.finish()
            check(sent == got, f"carol lost {sent - got} of {sent}")


def _storm(ns, dev, seconds, dst):
    """Frames with random sources as fast as this process can write them."""
    s = net.packet_socket(ns, dev, receive=False)
    s.setblocking(True)
    body = frames.udp4("02:00:00:00:00:00", dst, b"storm")
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        r = os.urandom(5 * 64)
        for i in range(0, len(r), 5):
            try:
                s.send(body[:6] + b"\x02" + r[i:i + 5] + body[12:])
                n += 1
            except OSError:  # the device's queue is full
                pass
    os._exit(0 if n > 1000 else 1)


def storm(lab, seconds=4):
    with case("random source MACs at full speed: another user's ping loses nothing"):
        me, bob = lab.clients[ALICE], lab.clients[BOB]
        address = lab.workloads["bob/web"].addresses[0].split("/")[0]
        pinger = probe.Pinger(bob.ns, address, 0.02)
        with Sniffers({n: e for n, e in lab.endpoints().items() if e.user != ALICE}) as s:
            p = multiprocessing.Process(target=_storm, args=(me.ns, me.dev, seconds, BROADCAST))
            p.start()
            p.join(seconds + 20)
            same(p.exitcode, 0, "the storm")
            sent, got = pinger.finish()
            check(sent > seconds * 20, f"only {sent} pings in {seconds} s: the server was stalled")
            check(sent == got, f"bob lost {sent - got} of {sent}")
            same(s.who(b"storm"), set(), "who received the storm")
    with case("and the session holds no more MACs than it may"):
        for session in lab.sessions(ALICE):
            check(len(session["macs"]) <= 8, f"{len(session['macs'])} MACs: {session['macs']}")


def attacks(mode):
    lab = town(mode, daemon={"session": {"reserved-macs": "02:00:00:99:99:99"}})
    me = lab.clients[ALICE]
    for what, make, reason, may in client_rows(lab, mode):
        with case(f"{mode}: a client sends {what}: {reason or 'OpenVPN ends it'}"):
            attempt(lab, me, make, reason, may)
    for what, make, reason in workload_rows(lab):
        with case(f"{mode}: a workload sends {what}: {reason}"):
            attempt(lab, lab.workloads["alice/web"], make, reason)
    lies(lab, me, "a client")
    lies(lab, lab.workloads["alice/web"], "a workload")
    stolen_macs(lab, mode)
    storm(lab)
    with case(f"{mode}: after all that, everybody works"):
        settle(lab, lab.clients[BOB], lab.clients[CAROL])
        same(len(lab.sessions()), 4, "sessions")
    lab.close()


main((attacks, "vlan"), (attacks, "mac"))
