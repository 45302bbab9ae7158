#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does `sallyport explain` say what becomes of a frame, for every kind of port, and nothing come of it? A real
guest, a namespace, an OpenVPN client."""

import contextlib
import os
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, same  # noqa: E402
from sally.machines import MachineLab  # noqa: E402

POLICY = """default in drop
accept in tcp from 10.50.0.10 dport 80
reject in tcp dport 7
default out accept
"""


class Place:
    def __init__(self):
        self.lab = lab = MachineLab()
        lab.up()
        lab.user("alice", "10.50.0.10/24")
        lab.user("bob", "10.50.1.10/24")
        self.alice = lab.client("alice", mac="02:00:00:00:00:01").connect()
        self.box = lab.workload("alice", "box", "02:01:00:00:00:01", "10.50.0.102/24")
        lab.workload("bob", "box", "02:01:00:00:00:02", "10.50.1.102/24")
        lab.ready()
        self.web = lab.machine("alice", "web", "10.50.0.101/24", add=("--start", "manual"))
        with open("/run/web.policy", "w") as f:
            f.write(POLICY)
        lab.sallyport("policy", "set", "alice", "web", "/run/web.policy")

    def explain(self, *words):
        return self.lab.json("explain", *words)

    def refused(self, status, text, *words):
        p = self.lab.sallyport("explain", *words, check=False)
        check(p.returncode == status and text in p.stderr, f"explain {words}: status {p.returncode}: {p.stderr}")


def steps(reply):
    return [s["step"] for s in reply["steps"]]


def _asleep(place):
    with case("a machine that is off: what its policy lets in would wait for it, and it is not woken"):
        place.web.policy(start="traffic")
        net.wait_for(lambda: place.lab.sallyport("explain", "alice", "alice/web", check=False).returncode == 0, 20,
                     "the machine to be in its segment")
        reply = place.explain("alice", "alice/web", "--tcp", "--dport", "80")
        same((reply["verdict"], steps(reply)),
             ("waits", ["guard", "binding", "destination", "flow", "policy", "wait"]), "verdict and steps")
        reply = place.explain("alice", "alice/web", "--tcp", "--dport", "22")
        same((reply["verdict"], reply["reason"]), ("dropped", "policy"), "verdict and reason")
        same(place.web.state(), "off", "its state")
    with case("a machine that is off sends nothing: what to do is said"):
        place.refused(1, "it is off, and nothing comes from it; start it", "alice/web", "alice")
        place.web.policy(start="manual")
        place.refused(1, "start it, or let traffic start it", "alice", "alice/web")


def _allowed(place):
    place.web.start()
    place.web.wait_page(place.alice)
    with case("allowed: from the session to the machine, by the rule, which is quoted"):
        reply = place.explain("alice", "alice/web", "--tcp", "--dport", "80")
        same(reply["verdict"], "passes", "the verdict")
        same(steps(reply), ["guard", "binding", "destination", "flow", "policy", "send"], "the steps")
        policy = reply["steps"][4]
        same((policy["rule"], policy["says"], policy["direction"], policy["accepted"]),
             (1, "accept in tcp from 10.50.0.10 dport 80", "in", True), "the rule")
    with case("by an address instead of a name"):
        reply = place.explain("alice", "10.50.0.101")
        same((reply["verdict"], reply["frame"]["to"]["name"]), ("passes", "alice/web"), "verdict and receiver")
    with case("from the machine to a namespace: its policy, out"):
        reply = place.explain("alice/web", "alice/box", "--udp", "--dport", "53", "--dst", "10.50.0.102")
        same((reply["verdict"], steps(reply)), ("passes", ["binding", "destination", "flow", "policy", "send"]),
             "verdict and steps")
        same(reply["steps"][3]["says"], "default out accept", "the rule")
    with case("between a namespace and a session there is no firewall"):
        reply = place.explain("alice/box", "alice", "--icmp", "--src", "10.50.0.102")
        same((reply["verdict"], steps(reply)), ("passes", ["binding", "destination", "send"]), "verdict and steps")


def _refused(place):
    with case("rejected by a rule"):
        reply = place.explain("alice", "alice/web", "--tcp", "--dport", "7")
        same((reply["verdict"], reply["reason"], steps(reply)[-1]), ("dropped", "policy-reject", "reject"), "it")
    with case("dropped by the default"):
        reply = place.explain("alice", "alice/web", "--tcp", "--dport", "22")
        same((reply["verdict"], reply["reason"]), ("dropped", "policy"), "verdict and reason")
        same(reply["steps"][-2]["says"], "default in drop", "the rule")
    with case("a forged source of a machine"):
        place.lab.sallyport("machine", "policy", "alice", "web", "--pinned", "yes")
        reply = place.explain("alice/web", "alice", "--src", "10.50.0.99")
        same((reply["verdict"], reply["reason"]), ("dropped", "spoof-ip"), "verdict and reason")
    with case("another user's workload: nobody here has its address (I2)"):
        reply = place.explain("alice", "bob/box", "--dst", "10.50.1.102")
        same((reply["verdict"], reply["reason"]), ("dropped", "dst-unknown"), "verdict and reason")


def _connection(place):
    with case("a segment of a connection that is there passes by its flow, and the flow stays as it was"):
        with net.in_ns(place.alice.ns):
            s = socket.create_connection(("10.50.0.101", 80), 10)
        with contextlib.closing(s):
            words = ("alice", "alice/web", "--tcp", "--sport", str(s.getsockname()[1]), "--flags", "A")
            for _ in range(2):
                reply = place.explain(*words)
                same((reply["verdict"], steps(reply)),
                     ("passes", ["guard", "binding", "destination", "flow", "send"]), "verdict and steps")
                same(reply["steps"][3]["state"], "ESTABLISHED", "the flow")
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            check(s.recv(4096), "the connection is dead")


def _nothing_comes_of_it(place):
    with case("nothing is counted, and nobody's rule has judged anything"):
        before = place.lab.ask("counters"), place.lab.json("policy", "show", "alice", "web", "--counters")
        for dport in ("80", "7", "22"):
            place.explain("alice", "alice/web", "--dport", dport)
        after = place.lab.ask("counters"), place.lab.json("policy", "show", "alice", "web", "--counters")
        same(after[1], before[1], "what rules have counted")
        for reason in ("policy", "policy-reject"):
            same(*({r["name"]: r["frames"] for r in x[0]["reasons"]}.get(reason, 0) for x in (before, after)), reason)


def _mistakes(place):
    with case("mistakes are named: who, which address, which option"):
        place.refused(1, "no such machine or workload", "alice", "alice/nothing")
        place.refused(1, "no user of that name has a session", "bob", "alice/web")
        place.refused(1, "nobody in this segment is known to have it", "alice", "10.50.0.77")
        place.refused(1, "which IP address alice/box has is not known", "alice", "alice/box")
        place.refused(1, "expected the IP address of a host", "alice", "alice/web", "--dst", "224.0.0.1")
        place.refused(1, "expected letters of FSRPAU", "alice", "alice/web", "--flags", "X")
        place.refused(2, "expected one of --tcp, --udp, --icmp, --proto", "alice", "alice/web", "--tcp", "--udp")
        place.refused(2, "expected a number from 0 to 65535", "alice", "alice/web", "--dport", "65536")


def explain():
    place = Place()
    _asleep(place)
    _allowed(place)
    _refused(place)
    _connection(place)
    _nothing_comes_of_it(place)
    _mistakes(place)
    place.lab.close()


main((explain,))
