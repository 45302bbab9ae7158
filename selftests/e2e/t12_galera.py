#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Several servers share a store on a Galera cluster of three real nodes. When a node is killed: is
nothing that was acknowledged lost (I8), is no MAC bound twice (I6), do live sessions go on (I5), and
does the store go on with the next host?"""

import errno
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same, say, skip, worlds  # noqa: E402
from sally.galera import PROVIDER, Cluster  # noqa: E402
from sally.lab import Lab  # noqa: E402
from sally.town import settle  # noqa: E402

ALICE, BOB = "alice", "bob"
ROUNDS = 60


class Storm:
    """A server that is busy; what it was answered, in its order."""

    def __init__(self, lab, cluster, name, first):
        self.name = name
        self.path = f"{worlds.STATE}/storm-{name}"
        with open(self.path, "wb") as f, open(self.path + ".err", "wb") as err:
            self.process = subprocess.Popen(
                [f"{lab.build}/selftests/e2e/storm", cluster.hosts(first), "sallyport", name],
                stdin=subprocess.PIPE, stdout=f, stderr=err)
        net.wait_for(lambda: len(self.calls()) > 50, 20, lambda: f"{name} to be busy: {self.error()}", 0.05)

    def error(self):
        with open(self.path + ".err", errors="replace") as f:
            return f.read()[-2000:]

    def calls(self):
        """(what, session, mac, began, returned, result, from, words)"""
        with open(self.path) as f:
            lines = f.read().split("\n")[1:-1]
        found = []
        for line in lines:
            what, session, mac, t0, t1, r, other, words = line.split(" ", 7)
            found.append((what, int(session), int(mac), float(t0), float(t1), int(r), int(other), words))
        return found

    def stop(self):
        self.process.stdin.close()
        same(self.process.wait(20), 0, f"status of {self.name}: {self.error()}")


REFUSALS = (-errno.EEXIST, -errno.ENOENT)  # the store has answered: nothing was changed


def held(storm):
    """For each MAC, the times from when a claim of this server was acknowledged until it was let go:
    [(mac, session, since, until)]; until None: it still is."""
    open_, done = {}, []

    def close(key, at):
        if key in open_:
            done.append((*key, open_.pop(key), at))

    for what, session, mac, began, returned, r, other, _ in storm.calls():
        if what == "claim" and r == 0:
            if other:  # from another session of the same user: that one's is over
                close((mac, other), began)
            open_.setdefault((mac, session), returned)
        elif what == "claim" and r not in REFUSALS:
            for key in [k for k in open_ if k[0] == mac]:  # it may have been done, and taken from another session
                close(key, began)
        elif what == "release":
            close((mac, session), began)  # whatever was answered: from here on it may be free
        elif what == "end":
            for key in [k for k in open_ if k[1] == session]:
                close(key, began)
    return done + [(*key, since, None) for key, since in open_.items()]


def judge(storms, cluster):
    node = cluster.living()[0]
    sessions = {int(i): int(ended) for i, ended in node.sql("SELECT id, ended FROM session", "sallyport")}
    macs = {int(m[10:], 16): int(x) for m, x in
            node.sql("SELECT hex(mac_addr), session_id FROM mac WHERE scope = 0 AND session_id IS NOT NULL",
                     "sallyport") if m.startswith("0200000000")}
    calls = [(s, c) for s in storms for c in s.calls()]
    with case("no session that was acknowledged is lost, no end of one, and no id was given twice"):
        begun = [c[1] for s, c in calls if c[0] == "begin" and c[5] == 0]
        ended = {c[1] for s, c in calls if c[0] == "end" and c[5] == 0}
        tried = {c[1] for s, c in calls if c[0] == "end"}
        check(len(begun) > 20 and len(ended) > 20, f"the storm was a breeze: {len(begun)}, {len(ended)}")
        same(len(begun), len(set(begun)), "ids given")
        same([x for x in begun if x not in sessions], [], "sessions lost")
        same([x for x in ended if sessions[x] == 0], [], "ends lost")
        same([x for x in begun if x not in tried and sessions[x]], [], "sessions that nobody ended")
    with case("no claim that was acknowledged and not given up is lost"):
        kept = {(m, x) for s in storms for m, x, since, until in held(s) if until is None}
        same([(m, x) for m, x in kept if macs.get(m) != x], [], f"claims lost, of {len(kept)}")
    with case("no MAC was bound twice, at any instant"):
        spans = sorted((m, since, until if until is not None else float("inf"), s.name, x)
                       for s in storms for m, x, since, until in held(s))
        clashes = [(a, b) for a, b in zip(spans, spans[1:])
                   if a[0] == b[0] and b[1] < a[2] and a[3] != b[3]]
        same(clashes, [], "clashes")
        check(len(spans) > 100 and len({s[3] for s in spans}) == len(storms), f"only {len(spans)} claims")
    with case("the store is in order, at every node that lives"):
        for n in cluster.living():
            same([c[0] for c in n.sql("SELECT count(*) FROM mac m JOIN session x ON x.id = m.session_id "
                                      "WHERE x.ended > 0", "sallyport")], ["0"], f"dangling claims at node {n.number}")
        first = [n.sql("SELECT count(*), max(id), sum(ended > 0) FROM session", "sallyport") for n in cluster.living()]
        check(all(x == first[0] for x in first), f"nodes differ: {first}")
    errors = {}
    for s, c in calls:
        if c[5] not in (0, -17):
            errors.setdefault(f"{c[0]} {c[5]} {c[7]}"[:150], []).append(s.name)
    for text, who in sorted(errors.items()):
        say(f"answered {len(who)} times: {text}")
    slow = max(c[4] - c[3] for s, c in calls)
    say(f"{len(calls)} calls, the longest took {slow:.2f} s")
    check(slow < 11.5, "a call outlived its deadline")


def store_section(cluster):
    return {"type": "mysql", "path": None, "hosts": cluster.hosts(), "user": "sallyport", "database": "sallyport",
            "tls": "no", "timeout": "8000", "server": "gate"}


def make(lab, cluster):
    with case("three nodes; the store is made by the command, at one, and is there at all"):
        cluster.start()
        cluster.account("sallyport")
        lab.daemon.write_config()
        lab.sallyport("store", "init", "--config", lab.daemon.config)
        for n in cluster.nodes:
            net.wait_for(lambda n=n: n.sql("SELECT version FROM sallyport", "sallyport") == [["4"]], 10,
                         f"the store at node {n.number}")


def at_once(lab, cluster):
    with case("at two nodes at the same instant: one MAC, one place, the end of a session; one gets it"):
        a, b = (f"127.0.0.1:{n.port}" for n in cluster.nodes[:2])
        out = net.run(f"{lab.build}/selftests/e2e/nodes", a, b, "sallyport", ROUNDS).stdout
        same(out.split("\n")[:-1], [f"{what} {ROUNDS} 0" for what in ("claims", "ends", "quota")], "rounds, breaches")
        same(cluster.nodes[2].sql("SELECT count(*) FROM mac m JOIN session x ON x.id = m.session_id WHERE "
                                  "x.ended > 0", "sallyport"), [["0"]], "claims of sessions that have ended")


def log_in(lab):
    with case("a user of the cluster logs in, and is on the segment"):
        lab.up()
        for user in (ALICE, BOB):
            lab.user(user, "10.50.0.10/24")
        lab.workload(ALICE, "web", "52:54:00:00:00:01", "10.50.0.101/24")
        lab.workload(BOB, "web", "52:54:00:00:00:01", "10.50.0.101/24")
        lab.client(ALICE, ALICE, "02:00:00:00:00:0a").connect()
        settle(lab, lab.clients[ALICE])
        lab.client(BOB, BOB, "02:00:00:00:00:0b")
        check("MariaDB" in lab.json("status")["store"]["description"], "status does not say which store it is")


def node_killed(lab, cluster, storms):
    alice, bob = lab.clients[ALICE], lab.clients[BOB]
    pinger = probe.Pinger(alice.ns, "10.50.0.101")
    try:
        with case("the node that all use first is killed: who logs in gets in, who is in loses nothing"):
            before = sum(len(s.calls()) for s in storms)
            bob.start()
            cluster.nodes[0].kill9()
            bob.wait(40)
            settle(lab, bob)
            cluster.wait_size(2)
            net.wait_for(lambda: sum(len(s.calls()) for s in storms) > before + 300, 20, "the storms to go on", 0.05)
            sent, got = pinger.finish()
            check(sent > 10 and sent == got, f"alice lost {sent - got} of {sent}")
    finally:
        pinger.close()
        for s in storms:
            s.stop()
    with case("and the daemon's sessions are in the store that is left"):
        rows = cluster.nodes[1].sql("SELECT x.id FROM session x JOIN server v ON v.id = x.server_id "
                                    "WHERE v.name = 'gate' AND x.ended = 0", "sallyport")
        same(sorted(int(r[0]) for r in rows), sorted(s["id"] for s in lab.sessions()), "live sessions")


def majority_lost(lab, cluster):
    alice, bob = lab.clients[ALICE], lab.clients[BOB]
    bob.stop()
    lab.wait_gone(lambda s: s["user"] == BOB, "bob's session to end")
    pinger = probe.Pinger(alice.ns, "10.50.0.101")
    try:
        with case("one node of three is left: it may decide nothing, logins are put off, live ones go on"):
            cluster.nodes[1].kill9()
            left = cluster.nodes[2]
            net.wait_for(lambda: left.status("wsrep_cluster_status") == "non-Primary", 20, "the last one to know", 0.1)
            bob.start()
            bob.log.wait(r"AUTH_FAILED,TEMP|auth-failure|auth-temp", 25, bob._mark, bob.process)
            check(not bob.connected(), "he got in")
            sent, got = pinger.finish()
            check(sent > 10 and sent == got, f"alice lost {sent - got} of {sent}")
    finally:
        pinger.close()
    with case("an operator says that it is the cluster now, and the same client gets in by itself"):
        left.sql("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=1'")
        bob.wait(40)
        settle(lab, bob)


def galera():
    cluster = Cluster()
    lab = Lab("vlan", daemon={"store": store_section(cluster)})
    net.ip("link", "set", "lo", "up")
    make(lab, cluster)
    at_once(lab, cluster)
    log_in(lab)
    storms = [Storm(lab, cluster, name, first) for name, first in (("east", 0), ("west", 0), ("south", 1))]
    node_killed(lab, cluster, storms)
    judge(storms, cluster)
    majority_lost(lab, cluster)
    lab.close()
    cluster.close()


if not os.path.exists(PROVIDER):
    skip("galera", "galera-4 is not installed")
main((galera,))
