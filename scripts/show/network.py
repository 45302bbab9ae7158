# SPDX-License-Identifier: GPL-2.0-or-later
"""Users, devices and workloads on one endpoint: who reaches whom, and which frames die of what."""

import time

from sally import frames, net, probe
from sally.events import Events
from sally.frames import BROADCAST, token
from sally.sniff import Sniffers, barrier
from sally.town import ALICE, BOB, CAROL, PHONE, addresses, expected, town

from . import outcome, step, title


def show_matrix(lab):
    """Who answers whom, as a table; every endpoint asks every address in both families."""
    ends = lab.endpoints()
    known = {n: addresses(e) for n, e in ends.items()}
    want = expected(lab, known)
    with probe.Matrix(ends, known) as m:
        missing, unexpected = m.run(want)
        reached = {(a, b): {x for x in m.answers if (x[0], x[2]) == (a, b)} for a in ends for b in ends}
    names = sorted(ends, key=lambda n: (ends[n].user, "/" in n, n))
    width = max(map(len, names)) + 2
    print("  " + " " * width + "".join(n.ljust(width) for n in names))
    for a in names:
        cells = []
        for b in names:
            families = {":" in x[1] for x in reached[a, b]}
            text = "(self)" if a == b else {0: ".", 1: "one only!", 2: "v4 v6"}[len(families)]
            cells.append(text.ljust(width))
        print("  " + a.ljust(width) + "".join(cells))
    print("  rows ask, columns answer by name; \"v4 v6\": reached, \".\": silence")
    print(f"  alice and bob have the same addresses ({known[ALICE][0]}) and the same MAC ({ends[ALICE].mac})")
    outcome(not missing, f"{len(want)} paths inside the segments all work")
    outcome(not unexpected, "no path between segments" + (f": {sorted(unexpected)}" if unexpected else ""))


def dies(lab, sender, frame, reason, tok, may=()):
    before = lab.reasons()
    with Sniffers(lab.endpoints()) as s:
        net.inject(sender.ns, sender.dev, frame)
        barrier(lab, s)
        got = s.who(tok) - set(may)
        if got:
            raise AssertionError(f"it reached {sorted(got)}")
    lab.moved(reason, before)
    n = lab.reasons()[reason]
    return f"dropped, {reason} {before.get(reason, 0)} -> {n}"


def stolen(lab, me, mac, dst):
    """OpenVPN asks us about each new source MAC; what we refuse never reaches the tap."""
    tok = token("thief")
    with Events(lab.socket) as events, Sniffers(lab.endpoints()) as s:
        net.inject(me.ns, me.dev, frames.udp4(mac, dst, tok))
        e = events.wait(type="refuse", mac=mac)
        barrier(lab, s)
        if s.who(tok):
            raise AssertionError(f"it reached {sorted(s.who(tok))}")
    return f"refused: {e.get('reason')}"


def show_attacks(lab):
    me, carol, web = lab.clients[ALICE], lab.clients[CAROL], lab.workloads["alice/web"]
    theirs = lab.workloads["carol/web"]
    rows = (
        (me, "alice's client, a frame to carol's workload", lambda t: frames.udp4(me.mac, theirs.mac, t), "dst-unknown"),
        (me, "alice's client, a frame to carol's device", lambda t: frames.udp6(me.mac, carol.mac, t), "dst-unknown"),
        (me, "alice's client, a second VLAN tag", lambda t: frames.tagged(me.mac, web.mac, t, 0, 3), "inner-tag"),
        (me, "alice's client, an 802.1ad tag", lambda t: frames.tagged(me.mac, web.mac, t, 3, proto=0x88A8), "inner-tag"),
        (me, "alice's client, an odd ethertype", lambda t: frames.ethertype(me.mac, web.mac, t, 0x88B5), "ethertype"),
        (me, "alice's client, a runt", lambda t: frames.runt(me.mac, web.mac), "runt"),
        (web, "alice's workload, carol's MAC as source", lambda t: frames.udp4(theirs.mac, BROADCAST, t), "src-unbound"),
        (web, "alice's workload, a VLAN tag of another user", lambda t: frames.tagged(web.mac, BROADCAST, t, 3),
         "tag-unexpected"),
        (web, "alice's workload, a group address as source", lambda t: frames.udp4("01:00:5e:00:00:01", me.mac, t),
         "src-group"),
        (web, "alice's workload, to carol's device", lambda t: frames.udp4(web.mac, carol.mac, t), "dst-unknown"),
    )
    for sender, text, make, reason in rows:
        tok = token("bad")
        step(text, dies, lab, sender, make(tok), reason, tok)
    for text, mac in (("alice's client takes her workload's MAC", lab.workloads["alice/db"].mac),
                      ("alice's client takes the tap's MAC", net.link_mac(net.HOST, lab.servers["main"].tap))):
        step(text, stolen, lab, me, mac, web.mac)


def heard(lab, sender, frame, tok, want):
    with Sniffers(lab.endpoints()) as s:
        net.inject(sender.ns, sender.dev, frame)
        s.wait(tok, want)
        barrier(lab, s)
        if s.who(tok) != want:
            raise AssertionError(f"also by {sorted(s.who(tok) - want)}")
    return "heard by " + ", ".join(sorted(want)) + " and nobody else"


def show_broadcast(lab):
    web, bob = lab.workloads["alice/web"], lab.workloads["bob/web"]
    for text, w, dst, want in (("a broadcast of alice's workload", web, BROADCAST, {ALICE, PHONE, "alice/db"}),
                               ("a multicast of alice's workload", web, "01:00:5e:00:00:fb", {ALICE, PHONE, "alice/db"}),
                               ("a broadcast of bob's workload", bob, BROADCAST, {BOB})):
        tok = token("group")
        step(text, heard, lab, w, frames.udp4(w.mac, dst, tok), tok, want)

    def chatter():
        before = lab.reasons()
        tok = token("host")
        with Sniffers(lab.endpoints()) as s:
            net.inject(net.HOST, lab.servers["main"].tap, frames.udp4("02:ff:ff:ff:ff:01", BROADCAST, tok))
            barrier(lab, s)
            if s.who(tok):
                raise AssertionError(f"it reached {sorted(s.who(tok))}")
        lab.moved("not-ours", before)
        return f"dropped, not-ours {before['not-ours']} -> {lab.reasons()['not-ours']}"

    step("the host itself sends on the tap", chatter)


def show_restart(lab):
    def killed():
        s = probe.Stream(lab.clients[ALICE], "10.50.0.10", lab.workloads["alice/web"], "10.50.0.101").start()
        s.progressed(50)
        lab.daemon.kill9()
        s.progressed(200)
        took = lab.daemon.start()
        s.progressed(150)
        sent, lost = s.finish()
        if lost:
            raise AssertionError(f"{lost} of {sent} frames lost")
        return f"{sent} frames, 0 lost; back in {took * 1000:.0f} ms with {len(lab.sessions())} sessions"

    step("kill -9 of sallyportd under traffic, and its restart", killed)


def show(explore):
    """EXPLORE: called with the lab at the end, or None."""
    began = time.monotonic()
    title("A host, OpenVPN as user nobody, three users, four devices, four workloads")
    print("        starting sallyportd, OpenVPN and four clients ...", flush=True)
    lab = town("vlan")
    outcome(True, f"everybody is connected after {time.monotonic() - began:.1f} s")
    for s in lab.sessions():
        print(f"        {s['common_name']:12} {s['remote']:18} VLAN {s['vid']:<5} segment {s['segment']:<3} "
              f"{s['address']}  {' '.join(s['macs'])}")
    title("Who reaches whom")
    show_matrix(lab)
    title("Frames that should not be")
    show_attacks(lab)
    title("Broadcast stays at home")
    show_broadcast(lab)
    title("The daemon dies")
    show_restart(lab)
    if explore:
        explore(lab)
    lab.close()
