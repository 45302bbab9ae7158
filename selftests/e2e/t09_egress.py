#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does anything leave on a VPN tap or a veth that we did not put there? The host's own chatter (I4)."""

import os
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, frames, main, net, same  # noqa: E402
from sally.sniff import Sniffers, barrier  # noqa: E402
from sally.town import ALICE, town  # noqa: E402

HOST_MAC = "02:ff:ff:ff:ff:01"


def silent(lab, what, act, tokens=(), mac=None):
    """ACT makes the host send; nobody receives it, not-ours counts it."""
    with case(what):
        before = lab.reasons()
        with Sniffers(lab.endpoints()) as s:
            act()
            lab.moved("not-ours", before)
            barrier(lab, s)
            for t in tokens:
                same(s.who(t), set(), f"who received {t!r}")
            if mac:
                raw = bytes.fromhex(mac.replace(":", ""))
                same({n for n, got in s.seen.items() if any(f[6:12] == raw for f in got)}, set(),
                     "who heard the host")


def host_ping6(dev):
    """The host's stack, given an address on the device by a careless hand."""
    for key in ("disable_ipv6", "accept_dad", "addr_gen_mode"):
        with open(f"/proc/sys/net/ipv6/conf/{dev}/{key}", "w") as f:
            f.write("0")
    net.run("ip", "-6", "addr", "add", "fd50::1/64", "dev", dev, "nodad", check=False)
    net.run("ping", "-6", "-c", "3", "-i", "0.2", "-W", "1", "-I", dev, "ff02::1", check=False)
    net.run("ping", "-6", "-c", "2", "-i", "0.2", "-W", "1", "-I", dev, "fd50::10", check=False)


def host_ping4(dev):
    net.run("ip", "addr", "add", "10.50.0.1/24", "dev", dev, check=False)
    net.run("ping", "-c", "2", "-i", "0.2", "-W", "1", "-I", dev, "10.50.0.10", check=False)
    net.run("ip", "addr", "del", "10.50.0.1/24", "dev", dev, check=False)


def send_marked(dev, frame, marks):
    """Marks that a guess, or another program on the host, might set."""
    s = net.packet_socket(net.HOST, dev, receive=False)
    s.setblocking(True)
    with s:
        for mark in marks:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", mark))
            net.send_or_refused(s, frame)


def egress(mode):
    lab = town(mode)
    tap = lab.servers["main"].tap
    veth = next(w["device"] for w in lab.ask("workload-list", user=ALICE)["items"] if w["name"] == "web")
    vid = next(s["vid"] for s in lab.sessions(ALICE)) or 0
    me = lab.clients[ALICE]
    for dev, name in ((tap, "the tap"), (veth, "a workload's veth")):
        mac = net.link_mac(net.HOST, dev)
        silent(lab, f"{mode}: the host pings IPv6 on {name}", lambda d=dev: host_ping6(d), mac=mac)
        silent(lab, f"{mode}: the host asks ARP on {name}", lambda d=dev: host_ping4(d), mac=mac)
        toks = [frames.token("host") for _ in range(3)]
        rows = [frames.udp4(HOST_MAC, frames.BROADCAST, toks[0]), frames.udp4(HOST_MAC, me.mac, toks[1]),
                frames.tagged(HOST_MAC, me.mac, toks[2], vid or 5)]
        silent(lab, f"{mode}: a raw socket on {name}", lambda d=dev, r=rows: net.inject(net.HOST, d, *r), toks)
        tok = frames.token("marked")
        row = frames.udp4(HOST_MAC, frames.BROADCAST, tok)
        marks = [0, 1, 2, 0xff, 0x100, 0xffff, 0x5a11, 0xdeadbeef, 0xffffffff]
        silent(lab, f"{mode}: marks that others use do not open {name}",
               lambda d=dev, r=row, m=marks: send_marked(d, r, m), [tok])
    lab.close()


main((egress, "vlan"), (egress, "mac"))
