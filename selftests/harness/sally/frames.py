# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames to send by hand, good and bad. Each carries a token, by which the sniffers know it."""

import itertools
import logging
import os

logging.getLogger("scapy").setLevel(logging.ERROR)

# pylint: disable=wrong-import-position
from scapy.layers.inet import IP, UDP, fragment  # noqa: E402
from scapy.layers.inet6 import (ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA,  # noqa: E402
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr,
                                IPv6)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

BROADCAST = "ff:ff:ff:ff:ff:ff"
PORT = 7777
_n = itertools.count(1)
_run = os.urandom(4).hex()


def token(label="t"):
    """Bytes that occur in no other frame."""
    return f"<{label}-{_run}-{next(_n)}>".encode()


def _udp():
    """With a wrong checksum: the receiver must not answer with an error that quotes the token."""
    return UDP(sport=PORT, dport=PORT, chksum=0x0BAD)


def udp4(src, dst, tok, sip="10.50.0.10", dip="10.50.0.101", size=0):
    return bytes(Ether(src=src, dst=dst) / IP(src=sip, dst=dip) / _udp()
                 / Raw(tok + bytes(max(0, size - len(tok)))))


def udp6(src, dst, tok, sip="fd50::10", dip="fd50::101"):
    return bytes(Ether(src=src, dst=dst) / IPv6(src=sip, dst=dip) / _udp() / Raw(tok))


def fragments4(src, dst, tok, sip, dip):
    whole = IP(src=sip, dst=dip) / _udp() / Raw(tok * 40)
    return [bytes(Ether(src=src, dst=dst) / part) for part in fragment(whole, fragsize=256)]


def tagged(src, dst, tok, *vids, proto=0x8100):
    """One 802.1Q tag for each of VIDS; the outer one with PROTO."""
    frame = Ether(src=src, dst=dst, type=proto)
    for i, vid in enumerate(vids):
        layer = Dot1AD if i == 0 and proto == 0x88A8 else Dot1Q
        frame = frame / layer(vlan=vid, type=0x8100 if i + 1 < len(vids) else 0x0800)
    return bytes(frame / IP(src="10.50.0.10", dst="10.50.0.101") / _udp() / Raw(tok))


def ethertype(src, dst, tok, kind):
    return bytes(Ether(src=src, dst=dst, type=kind) / Raw(tok + bytes(46)))


def runt(src, dst, kind=0x0800):
    """Says that an IP header follows; nothing does."""
    return bytes(Ether(src=src, dst=dst, type=kind))


def arp_lie(src, dst, ip_claimed, mac_claimed, victim_ip, op=2):
    """ "IP_CLAIMED is at MAC_CLAIMED"; the padding holds a token, which is returned too."""
    tok = token("arp")
    return tok, bytes(Ether(src=src, dst=dst) / ARP(op=op, hwsrc=mac_claimed, psrc=ip_claimed, hwdst=dst,
                                                    pdst=victim_ip) / Raw(tok))


def na_lie(src, dst, ip_claimed, mac_claimed, victim_ip="ff02::1"):
    """An unsolicited neighbour advertisement; the token is an unknown trailing option."""
    tok = token("na")
    return tok, bytes(Ether(src=src, dst=dst) / IPv6(src=ip_claimed, dst=victim_ip, hlim=255)
                      / ICMPv6ND_NA(tgt=ip_claimed, R=0, S=0, O=1)
                      / ICMPv6NDOptDstLLAddr(lladdr=mac_claimed) / Raw(tok))


def ra_lie(src, dst, prefix="2001:db8:bad::"):
    tok = token("ra")
    return tok, bytes(Ether(src=src, dst=dst) / IPv6(src="fe80::bad", dst="ff02::1", hlim=255)
                      / ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=src)
                      / ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64) / Raw(tok))


def ns_ask(src, sip, target):
    """Whose is TARGET? Asked of its solicited-node group."""
    tok = token("ns")
    last = target.rsplit(":", 1)[1].zfill(4)
    group = "33:33:ff:00:" + last[:2] + ":" + last[2:]
    return tok, bytes(Ether(src=src, dst=group) / IPv6(src=sip, dst="ff02::1:ff00:" + last.lstrip("0"),
                                                     hlim=255)
                      / ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=src) / Raw(tok))
