#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What can a guest do that is hostile? Real guests send what an honest stack would not (I6): in
another's name, in a router's or a DHCP server's, and as fast as they can.

After each bad frame the same guest sends a good one: frames keep their order, so whoever has seen
the good one would have seen the bad one."""

import contextlib
import os
import sqlite3
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, probe, same, say  # noqa: E402
from sally.console import Console  # noqa: E402
from sally.frames import BROADCAST, token  # noqa: E402
from sally.machines import MachineLab, TapEnd  # noqa: E402
from sally.sniff import Sniffers  # noqa: E402

# pylint: disable=wrong-import-order
from scapy.layers.dhcp import BOOTP, DHCP  # noqa: E402
from scapy.layers.dhcp6 import DHCP6_Advertise, DHCP6_Solicit  # noqa: E402
from scapy.layers.inet import ICMP, IP, UDP, IPOption  # noqa: E402
from scapy.layers.inet6 import (ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect,  # noqa: E402
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment)
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

WEB, DB, DEVICE, FREE = "10.50.0.101", "10.50.0.102", "10.50.0.10", "10.50.0.77"
WEB6, DB6, DEVICE6 = "fd50::101", "fd50::102", "fd50::10"
BEYOND, BEYOND6 = "198.51.100.7", "2001:db8::7"  # what lies behind a router
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
COPIES = 3
RATE, BURST, FLOOD = 2000, 500, 20000
SEGMENT = {"alice", "alice/db"}  # who hears what alice/web says to all


class Attacker:
    """The guest of alice/web, by its console."""

    def __init__(self, lab):
        self.lab = lab
        self.mac = lab.machines["alice/web"].show()["mac"]

    def run(self, command):
        # A new one each time: when a case has failed, the report has taken the one before.
        with Console(self.lab, "alice", "web", force=True) as c:
            return c.run(command, 120)

    def send(self, frame, count=1):
        out = self.run(f"sendframe eth0 {frame.hex()} {count}")
        check(f"sent {count}" in out, out)

    def attempt(self, make, reason, may=()):
        """Nobody but MAY has what MAKE(token) is; REASON counts it."""
        before = self.lab.reasons()
        bad, good = token("bad"), token("good")
        ends = {**self.lab.clients, **{n: TapEnd(m) for n, m in self.lab.machines.items() if n != "alice/web"}}
        with Sniffers(ends) as s:
            last = frames.udp4(self.mac, BROADCAST, good, sip=WEB, dip="255.255.255.255")
            self.run(f"sendframe eth0 {make(bad).hex()} {COPIES}; sendframe eth0 {last.hex()}")
            s.wait(good, SEGMENT, 20)
            same(s.who(bad), set(may), f"who received {bad!r}")
        if reason:
            self.lab.moved(reason, before, COPIES)


def ip4(me, tok, sip, dst=BROADCAST, dip="255.255.255.255"):
    return frames.udp4(me, dst, tok, sip=sip, dip=dip)


def ip6(me, tok, sip, dst=ALL_NODES_MAC, dip=ALL_NODES):
    return frames.udp6(me, dst, tok, sip=sip, dip=dip)


def arp(me, tok, claimed, hwsrc=None, op=2):
    return bytes(Ether(src=me, dst=BROADCAST) / ARP(op=op, hwsrc=hwsrc or me, psrc=claimed, hwdst=BROADCAST,
                                                    pdst=DEVICE) / Raw(tok))


def icmp6(me, tok, message, *options, sip="fe80::bad", hops=255, ext=()):
    """TOK behind the message: as an option of neighbor discovery's that nobody knows."""
    whole = Ether(src=me, dst=ALL_NODES_MAC) / IPv6(src=sip, dst=ALL_NODES, hlim=hops)
    for e in ext:
        whole = whole / e
    whole = whole / message
    for o in options:
        whole = whole / o
    size = (len(tok) + 2 + 7) // 8
    return bytes(whole / Raw(bytes([200, size]) + tok.ljust(8 * size - 2, b"\0")))


def na(me, tok, claimed, mac=None):
    return icmp6(me, tok, ICMPv6ND_NA(tgt=claimed, R=0, S=0, O=1), ICMPv6NDOptDstLLAddr(lladdr=mac or me), sip=WEB6)


def dhcp4(me, tok, kind, sip, sport, dport):
    """TOK as the boot file's name."""
    return bytes(Ether(src=me, dst=BROADCAST) / IP(src=sip, dst="255.255.255.255") / UDP(sport=sport, dport=dport)
                 / BOOTP(op=2 if dport == 68 else 1, yiaddr=FREE if dport == 68 else "0.0.0.0", file=tok)
                 / DHCP(options=[("message-type", kind), "end"]))


def dhcp6(me, tok, message, sip, sport, dport, dip="ff02::1:2"):
    return bytes(Ether(src=me, dst=ALL_NODES_MAC) / IPv6(src=sip, dst=dip) / UDP(sport=sport, dport=dport)
                 / message / Raw(tok))


def names(lab, me):
    """What it may not call itself on the wire: frame, reason."""
    db, bob = lab.machines["alice/db"].show()["mac"], lab.clients["bob"].mac
    alice = lab.clients["alice"].mac
    return (
        ("its sister's MAC", lambda t: ip4(db, t, WEB), "src-unbound"),
        ("its user's device's MAC", lambda t: ip4(alice, t, WEB), "src-unbound"),
        ("a MAC that nobody has", lambda t: ip6("02:de:ad:00:00:01", t, WEB6), "src-unbound"),
        ("a group address as its MAC", lambda t: ip4("01:00:5e:00:00:01", t, WEB), "src-group"),
        ("its sister's IPv4 address", lambda t: ip4(me, t, DB), "spoof-ip"),
        ("its sister's IPv6 address", lambda t: ip6(me, t, DB6), "spoof-ip"),
        ("the loopback address", lambda t: ip4(me, t, "127.0.0.1"), "spoof-ip"),
        ("a group address as its IPv4 address", lambda t: ip4(me, t, "224.0.0.1"), "spoof-ip"),
        ("no IPv4 address, in what asks no DHCP server", lambda t: ip4(me, t, "0.0.0.0"), "spoof-ip"),
        ("no IPv6 address, in what discovers no neighbor", lambda t: ip6(me, t, "::"), "spoof-ip"),
        ("its sister's IPv4 address by an ARP reply", lambda t: arp(me, t, DB), "spoof-arp"),
        ("its sister's IPv4 address by an ARP request", lambda t: arp(me, t, DB, op=1), "spoof-arp"),
        ("its own IPv4 address, at another MAC", lambda t: arp(me, t, WEB, hwsrc=db), "spoof-arp"),
        ("to another user's device", lambda t: ip4(me, t, WEB, bob, DEVICE), "dst-unknown"),
        ("another user's VLAN id", lambda t: frames.tagged(me, bob, t, lab.sessions("bob")[0]["vid"]), "tag-unexpected"),
        ("a priority tag", lambda t: frames.tagged(me, BROADCAST, t, 0), "tag-priority"),
        ("an ethertype that nobody uses", lambda t: frames.ethertype(me, BROADCAST, t, 0x88B5), "ethertype"),
        ("to an address that no bridge forwards",
         lambda t: ip4(me, t, WEB, "01:80:c2:00:00:0e"), "dst-reserved"),
    )


def offices(me):
    """What only a router or a DHCP server may say."""
    frag = IPv6ExtHdrFragment(nh=58, offset=0, m=1, id=7)
    return (
        ("a router advertisement", lambda t: icmp6(me, t, ICMPv6ND_RA(), ICMPv6NDOptSrcLLAddr(lladdr=me)), "ra-guard"),
        ("the same behind a header of options",
         lambda t: icmp6(me, t, ICMPv6ND_RA(), ext=[IPv6ExtHdrDestOpt(nh=58)]), "ra-guard"),
        ("the same as a first fragment", lambda t: icmp6(me, t, ICMPv6ND_RA(), ext=[frag]), "ra-guard"),
        ("a router advertisement with a prefix",
         lambda t: icmp6(me, t, ICMPv6ND_RA(), ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64)), "ra-guard"),
        ("a redirect", lambda t: icmp6(me, t, ICMPv6ND_Redirect(tgt=WEB6, dst=DB6)), "ra-guard"),
        ("an ICMP redirect", lambda t: bytes(Ether(src=me, dst=BROADCAST) / IP(src=WEB, dst=DEVICE)
                                             / ICMP(type=5, code=1, gw=WEB) / IP(src=DEVICE, dst=DB) / Raw(t)), "ra-guard"),
        ("an ICMP router advertisement", lambda t: bytes(Ether(src=me, dst=BROADCAST) / IP(src=WEB, dst="224.0.0.1")
                                                         / ICMP(type=9) / Raw(t)), "ra-guard"),
        ("the same behind IP options",
         lambda t: bytes(Ether(src=me, dst=BROADCAST) / IP(src=WEB, dst="224.0.0.1", options=IPOption(b"\x94\x04\0\0"))
                         / ICMP(type=9) / Raw(t)), "ra-guard"),
        ("a DHCP offer", lambda t: dhcp4(me, t, "offer", WEB, 67, 68), "dhcp-guard"),
        ("a DHCP offer from another port", lambda t: dhcp4(me, t, "ack", WEB, 4000, 68), "dhcp-guard"),
        ("a DHCPv6 advertisement",
         lambda t: dhcp6(me, t, DHCP6_Advertise(), WEB6, 547, 546, ALL_NODES), "dhcp-guard"),
        ("neighbor discovery from beyond a router",
         lambda t: icmp6(me, t, ICMPv6ND_NS(tgt=DEVICE6), sip=WEB6, hops=64), "spoof-nd"),
        ("a solicitation with another's MAC in it",
         lambda t: icmp6(me, t, ICMPv6ND_NS(tgt=DEVICE6), ICMPv6NDOptSrcLLAddr(lladdr="02:de:ad:00:00:01"), sip=WEB6),
         "spoof-nd"),
        ("its sister's address, advertised", lambda t: na(me, t, DB6), "spoof-nd"),
        ("its own address, advertised at another's MAC", lambda t: na(me, t, WEB6, "02:de:ad:00:00:01"), "spoof-nd"),
    )


def honest(me):
    """What it may: a guard that stops everything guards nothing."""
    return (
        ("its own IPv4 address", lambda t: ip4(me, t, WEB)),
        ("its own IPv6 address", lambda t: ip6(me, t, WEB6)),
        ("an ARP announcement of its own", lambda t: arp(me, t, WEB, op=1)),
        ("an advertisement of its own", lambda t: na(me, t, WEB6)),
        ("a solicitation of its own",
         lambda t: icmp6(me, t, ICMPv6ND_NS(tgt=DEVICE6), ICMPv6NDOptSrcLLAddr(lladdr=me), sip=WEB6)),
        ("a DHCP client's question", lambda t: dhcp4(me, t, "discover", "0.0.0.0", 68, 67)),
        ("a DHCPv6 client's question", lambda t: dhcp6(me, t, DHCP6_Solicit(), WEB6, 546, 547)),
    )


def believed(lab):
    """The device's and the sister's own kernels, after all the lies."""
    alice, db = lab.clients["alice"], lab.machines["alice/db"].show()["mac"]
    with case("its user's device still believes the truth"):
        for address in (DB, DB6):
            same(probe.ping(alice.ns, address, "-i", "0.2"), (3, 3), f"pings to {address}")
        table = net.run("ip", "neigh", "show", "dev", alice.dev, ns=alice.ns).stdout
        for address in (DB, DB6):
            line = next((x for x in table.splitlines() if x.startswith(address + " ")), "")
            check(db in line, f"its neighbors: {table}")
        check("2001:db8:bad" not in net.run("ip", "addr", ns=alice.ns).stdout, "it took the false prefix")


def pinned(lab, a):
    """An address that is nobody's: free to take, unless the machine is pinned to its own."""
    web = lab.machines["alice/web"]
    with case("an address that nobody has: it may take it"):
        a.attempt(lambda t: ip4(a.mac, t, FREE), None, may=SEGMENT)
    with case("however many it claims, it holds 8"):
        head = arp(a.mac, b"", "10.50.0.200", op=1).hex()
        at = head.index("0a3200c8") + 6
        a.run(f"for i in 20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f; do "
                      f"sendframe eth0 {head[:at]}${{i}}{head[at + 2:]}; done")
        net.wait_for(lambda: len(web.show()["addresses"]) == 8, 10, lambda: f"8 addresses: {web.show()['addresses']}")
        check({WEB, WEB6} <= set(web.show()["addresses"]), f"it has lost its own: {web.show()['addresses']}")
    with case("pinned to its own it may not, by whatever"):
        web.policy(pinned="yes", address=f"{WEB},{WEB6}")
        for make, reason in ((lambda t: ip4(a.mac, t, FREE), "spoof-ip"), (lambda t: ip6(a.mac, t, "fd50::77"), "spoof-ip"),
                             (lambda t: arp(a.mac, t, FREE), "spoof-arp"), (lambda t: na(a.mac, t, "fd50::77"), "spoof-nd")):
            a.attempt(make, reason)


def roles(me):
    """What its operator may let a machine be: the option, and what it may do then, by frame and reason."""
    return (
        ("router", (
            ("a router advertisement",
             lambda t: icmp6(me, t, ICMPv6ND_RA(routerlifetime=0), ICMPv6NDOptSrcLLAddr(lladdr=me)), "ra-guard"),
            ("what comes from beyond it", lambda t: ip4(me, t, BEYOND), "spoof-ip"),
            ("what comes from beyond it, IPv6", lambda t: ip6(me, t, BEYOND6), "spoof-ip"))),
        ("dhcp_server", (
            ("a DHCP offer", lambda t: dhcp4(me, t, "offer", WEB, 67, 68), "dhcp-guard"),
            ("a DHCPv6 advertisement",
             lambda t: dhcp6(me, t, DHCP6_Advertise(), WEB6, 547, 546, ALL_NODES), "dhcp-guard"))),
    )


def may(lab, a):
    """Each of the two, and not the other; at once, and until the operator says otherwise."""
    web = lab.machines["alice/web"]

    def tries(frames_of, passes):
        for what, make, reason in frames_of:
            say(what)
            a.attempt(make, None if passes else reason, may=SEGMENT if passes else ())

    (router, routed), (server, served) = roles(a.mac)
    for option, own, others in ((router, routed, served), (server, served, routed)):
        with case(f"a machine that may be a {option}: what that one says passes, and no more"):
            web.policy(**{option: "yes"})
            same((web.show()["router"], web.show()["dhcp_server"]), (option == router, option == server), "it may be")
            tries(own, True)
            tries(others, False)
            a.attempt(lambda t: arp(a.mac, t, FREE), "spoof-arp")
            a.attempt(lambda t: na(a.mac, t, DB6), "spoof-nd")
            shown = lab.sallyport("machine", "show", "alice", "web").stdout
            check(f"role       {'router' if option == router else 'DHCP server'}\n" in shown, shown)
        with case(f"a machine that may be no {option} any more: that is dropped again"):
            web.policy(**{option: "no"})
            check("role" not in lab.sallyport("machine", "show", "alice", "web").stdout, "it shows a role")
            tries(own, False)
    with case("what the store has said while the daemon was dead holds when it is back"):
        web.policy(**{server: "yes"})
        lab.daemon.kill9()
        with contextlib.closing(sqlite3.connect(lab.daemon.store)) as db, db:
            same(db.execute("UPDATE machine SET router = 1, dhcp_server = 0 WHERE name = 'web' AND user_id = "
                            "(SELECT user_id FROM user WHERE username = 'alice')").rowcount, 1, "rows")
        lab.daemon.start()
        lab.ready()
        tries(routed, True)
        tries(served, False)
        web.policy(**{router: "no"})


def forwards(lab):
    """The device and the sister reach each other by way of the guest, there and back."""
    alice, web, db = lab.clients["alice"], lab.machines["alice/web"], lab.machines["alice/db"]

    def flows():
        return lab.ask("flow-list", user="alice", machine="web")["items"]

    with Console(lab, "alice", "db", force=True) as c:
        c.run(f"ip route add {DEVICE}/32 via {WEB}")
    net.ip("route", "add", DB, "via", WEB, ns=alice.ns)
    with case("a guest that forwards and is no router: what goes through it is dropped"):
        before = lab.reasons()
        same(probe.ping(alice.ns, DB, "-i", "0.2", wait=1)[1], 0, "answers")
        lab.moved("spoof-ip", before, 3)
    with case("a router: the flows that passed its port end, and what goes through it passes"):
        web.wait_page(alice)
        check(flows(), "there are no flows")
        web.policy(router="yes")
        net.wait_for(lambda: not flows(), 10, lambda: f"the flows to end: {flows()}", 0.05)
        same(probe.ping(alice.ns, DB, "-i", "0.2"), (3, 3), "pings")
        db.wait_page(alice)
        check(any(x["to_machine"] == "db" or x["from_machine"] == "web" for x in flows()), f"its flows: {flows()}")
    with case("no router any more: it is dropped again"):
        web.policy(router="no")
        before = lab.reasons()
        same(probe.ping(alice.ns, DB, "-i", "0.2", wait=1)[1], 0, "answers")
        lab.moved("spoof-ip", before, 3)
    net.ip("route", "del", DB, ns=alice.ns)
    with Console(lab, "alice", "db", force=True) as c:
        c.run(f"ip route del {DEVICE}/32")


def flood(lab, a):
    bob, alice = lab.clients["bob"], lab.clients["alice"]
    for what, make, reason in (("of good frames", lambda t: ip4(a.mac, t, WEB), "policed"),
                               ("in another's name", lambda t: ip4("02:de:ad:00:00:01", t, WEB), None)):
        with case(f"a flood {what}: what is over its rate is dropped, another user loses nothing"):
            tok = token("flood")
            before, pinger = lab.reasons(), probe.Pinger(bob.ns, WEB)
            with Sniffers({"alice": alice, "bob": bob, "bob/web": TapEnd(lab.machines["bob/web"])}) as s:
                t0 = time.monotonic()
                a.send(make(tok), FLOOD)
                took = time.monotonic() - t0
                sent, got = pinger.finish()
                check(sent == got and sent > 10, f"bob lost {sent - got} of {sent}")
                heard = len(s.frames("alice", tok))
                same(s.who(tok) - {"alice"}, set(), "others who heard of it")
            most = BURST + RATE * (took + 1)
            check(heard <= most, f"alice had {heard} frames in {took:.1f} s, at most {most:.0f} were due")
            check((heard > 0) == bool(reason), f"alice had {heard}")
            if reason:
                check(FLOOD > most, f"{FLOOD} frames in {took:.1f} s are no flood")
                lab.moved(reason, before, FLOOD - int(most))
            else:
                after = lab.reasons()
                same(sum(after[r] - before[r] for r in ("policed", "src-unbound")), FLOOD, "dropped")
            say(f"{FLOOD} frames in {took:.1f} s, {heard} of them arrived")
    with case("and then it is heard again"):
        lab.machines["alice/web"].wait_page(alice)


def guests(mode):
    lab = MachineLab(mode, machines={"rate-frames": str(RATE), "burst-frames": str(BURST)})
    lab.up()
    lab.ready()
    for user in ("alice", "bob"):
        lab.user(user, f"{DEVICE}/24", f"{DEVICE6}/64")
        lab.client(user, user, f"02:00:00:00:00:{0x0a + len(lab.clients):02x}")
    for user, short, *ips in (("alice", "web", WEB, WEB6), ("alice", "db", DB, DB6), ("bob", "web", WEB, WEB6)):
        lab.machine(user, short, *(f"{i}/{24 if '.' in i else 64}" for i in ips),
                    words="sp.router" if (user, short) == ("alice", "web") else "")
    for c in lab.clients.values():
        c.start()
    for c in lab.clients.values():
        c.wait(60)
    with case("three guests, booted by their users' logins"):
        for m in lab.machines.values():
            m.wait_page(lab.clients[m.user], 120)
    a = Attacker(lab)
    for what, make in honest(a.mac):
        with case(f"a guest sends {what}: it arrives"):
            a.attempt(make, None, may=SEGMENT)
    for what, make, reason in names(lab, a.mac) + offices(a.mac):
        with case(f"a guest sends {what}: {reason}"):
            a.attempt(make, reason)
    believed(lab)
    pinned(lab, a)
    may(lab, a)
    forwards(lab)
    flood(lab, a)
    lab.close()


main((guests, "vlan"))
