#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the hook programs do what the plugin does, and do two instances at once keep apart?"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, probe, same  # noqa: E402
from sally.events import Events  # noqa: E402
from sally.lab import Lab  # noqa: E402
from sally.sniff import Sniffers, nobody  # noqa: E402
from sally.town import ALICE, BOB, CAROL, addresses, greet, matrix, settle, town  # noqa: E402


def programs(mode):
    """The four programs instead of the plugin."""
    with case(f"{mode}: everybody connects through the programs"):
        lab = town(mode, hooks="exec")
        same(sorted(s["common_name"] for s in lab.sessions()), sorted(lab.clients), "sessions")
    with case(f"{mode}: the matrix"):
        missing, unexpected = matrix(lab)
        check(not missing and not unexpected, f"missing {missing}, unexpected {unexpected}")
    with case(f"{mode}: learn-address: a workload's MAC is refused"):
        me = lab.clients[ALICE]
        mac = lab.workloads["alice/db"].mac
        with Events(lab.socket) as events, Sniffers(lab.endpoints()) as s:
            tok = frames.token("thief")
            net.inject(me.ns, me.dev, frames.udp4(mac, lab.workloads["alice/web"].mac, tok))
            events.wait(type="refuse", mac=mac)
            nobody(lab, s, tok)
    with case(f"{mode}: learn-address: a second MAC of one's own is learned"):
        mac = "02:00:00:00:aa:01"
        with Sniffers(lab.endpoints()) as s:
            tok = frames.token("second")
            net.inject(me.ns, me.dev, frames.udp4(mac, lab.workloads["alice/web"].mac, tok))
            s.wait(tok, {"alice/web"})
        same(mac in next(x["macs"] for x in lab.sessions() if x["common_name"] == ALICE), True, "it is listed")
    with case(f"{mode}: client-disconnect ends the session"):
        lab.clients[BOB].stop()
        net.wait_for(lambda: not lab.sessions(BOB), 15, "bob's session to end", 0.05)
        lab.clients[BOB].connect()
        settle(lab, lab.clients[BOB])
    with case(f"{mode}: a wrong password is refused"):
        c = lab.client("wrong", BOB, password="guess")
        c.start()
        c.log.wait("AUTH_FAILED", 20)
        del lab.clients["wrong"]
    lab.close()


def instances(mode):
    """Two OpenVPN processes on one host, one user on both."""
    with case(f"{mode}: two instances start"):
        lab = Lab(mode, instances=("one", "two")).up()
        for u, n in ((ALICE, 10), (CAROL, 30)):
            lab.user(u, f"10.50.0.{n}/24", f"fd50::{n}/64")
        lab.workload(ALICE, "web", "52:54:00:00:00:01", "10.50.0.101/24", "fd50::101/64")
        lab.workload(CAROL, "web", "52:54:00:00:00:03", "10.50.0.103/24", "fd50::103/64")
        one, two = lab.servers["one"], lab.servers["two"]
        lab.client(ALICE, ALICE, "02:00:00:00:00:0a", server=one)
        lab.client("alice-phone", ALICE, "02:00:00:00:00:0b", server=two)
        lab.client(CAROL, CAROL, "02:00:00:00:00:0c", server=two)
        for c in lab.clients.values():
            c.connect()
        settle(lab)
        same(sorted((s["common_name"], s["instance"]) for s in lab.sessions()),
             [("alice", "one"), ("alice-phone", "two"), ("carol", "two")], "who is where")
    with case(f"{mode}: a user on both instances has one segment, with its own address on each"):
        same(addresses(lab.clients[ALICE])[0], "10.50.0.10", "first")
        same(addresses(lab.clients["alice-phone"])[0], "10.50.0.11", "second")
        missing, unexpected = matrix(lab)
        check(not missing and not unexpected, f"missing {missing}, unexpected {unexpected}")
    with case(f"{mode}: a MAC goes with its user to the other instance, and back"):
        c = lab.clients["alice-phone"]
        with Events(lab.socket) as events:
            net.inject(c.ns, c.dev, frames.udp4(lab.clients[ALICE].mac, frames.BROADCAST, frames.token()))
            events.wait(type="learn", mac=lab.clients[ALICE].mac)
        holders = [s["common_name"] for s in lab.sessions() if lab.clients[ALICE].mac in s["macs"]]
        same(holders, ["alice-phone"], "who holds it")
        lab.clients[ALICE].stop()
        lab.clients[ALICE].connect()
        greet(lab, lab.clients[ALICE])
    with case(f"{mode}: one instance killed: the other's sessions do not notice"):
        pinger = probe.Pinger(lab.clients[ALICE].ns, "10.50.0.101")
        two.kill9()
        net.wait_for(lambda: {s["instance"] for s in lab.sessions()} == {"one"}, 15, "its sessions to go", 0.05)
        sent, got = pinger.finish()
        check(sent == got, f"alice lost {sent - got} of {sent}")
        states = {i["name"]: i["state"] for i in lab.ask("status")["instances"]}
        same(states, {"one": "up", "two": "idle"}, "states")
    lab.close()


def one_certificate(mode):
    """duplicate-cn: two devices with one certificate are two sessions."""
    with case(f"{mode}: two devices with the same certificate"):
        lab = Lab(mode, server_extra="duplicate-cn\n").up()
        lab.user(ALICE, "10.50.0.10/24")
        lab.workload(ALICE, "web", "52:54:00:00:00:01", "10.50.0.101/24")
        lab.client("first", ALICE, "02:00:00:00:00:0a", cn=ALICE).connect()
        lab.client("second", ALICE, "02:00:00:00:00:0b", cn=ALICE).connect()
        settle(lab)
        same(len(lab.sessions()), 2, "sessions")
        missing, unexpected = matrix(lab)
        check(not missing and not unexpected, f"missing {missing}, unexpected {unexpected}")
    with case(f"{mode}: one of them leaves, the other stays"):
        lab.clients["first"].stop()
        net.wait_for(lambda: len(lab.sessions()) == 1, 15, "its session to end", 0.05)
        greet(lab, lab.clients["second"])
    lab.close()


main((programs, "vlan"), (programs, "mac"), (instances, "vlan"), (one_certificate, "vlan"))
