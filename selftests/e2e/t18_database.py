#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Users in a real MariaDB: does a login need it, does a live session not (I4, I5), what becomes of a
database that hangs, dies, comes back, or answers when nobody waits for it any more?"""

import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, probe, same, worlds  # noqa: E402
from sally.events import Events  # noqa: E402
from sally.lab import Lab  # noqa: E402
from sally.mariadb import MariaDB  # noqa: E402
from sally.town import ALICE, BOB, settle  # noqa: E402

RETRY = r"AUTH_FAILED,TEMP|auth-failure|auth-temp"
HOSTILE = ("x'; DROP TABLE user; -- ", 'x" OR "1"="1', "x\\' OR 1=1 -- ", "x`; SELECT 1; `", "a%b_c", "\u00e4\u20ac")


def make(db):
    db.install()
    db.start()
    db.sql("CREATE DATABASE sallyport; CREATE USER sallyport@localhost IDENTIFIED BY 'it is ''secret'''; "
           "GRANT ALL ON sallyport.* TO sallyport@localhost")
    store = {"type": "mysql", "path": None, "socket": db.socket, "user": "sallyport", "database": "sallyport",
             "password-file": worlds.STATE + "/password"}
    with open(store["password-file"], "w") as f:
        f.write("it is 'secret'\n")
    os.chmod(store["password-file"], 0o600)
    return Lab("vlan", daemon={"store": store})


def begin(lab):
    with case("the schema is made by the command, and is not made twice"):
        lab.daemon.write_config()
        lab.sallyport("store", "init", "--config", lab.daemon.config)
        p = lab.sallyport("store", "init", "--config", lab.daemon.config, check=False)
        check(p.returncode != 0 and "there is a store in the database" in p.stderr, p.stderr)
    with case("users log in, and are on their segments"):
        lab.up()
        for user in (ALICE, BOB):
            lab.user(user, "10.50.0.10/24")
            lab.workload(user, "web", "52:54:00:00:00:01", "10.50.0.101/24")
            lab.client(user, user, "02:00:00:00:00:0a")
        lab.clients[ALICE].connect()
        settle(lab, lab.clients[ALICE])


def hostile(lab, db):
    with case("hostile names: refused by their form, or kept as they are; nothing is run"):
        for name in HOSTILE:
            p = lab.sallyport("user", "add", name, "--password-stdin", check=False, input="p")
            check(p.returncode != 0 and "name" in p.stderr, f"{name}: {p.stderr}")
        for name in HOSTILE:
            password = name + " as a password"
            lab.ask("user-add", name="odd", password=password)
            same([u["has_password"] for u in lab.ask("user-list")["items"] if u["name"] == "odd"], [True], "user-list")
            lab.ask("user-delete", name="odd")
        trail = [r for r in db.sql("SELECT what, count(*) FROM audit WHERE object = 'odd' GROUP BY what", "sallyport")]
        same(dict(trail), {"user-add": str(len(HOSTILE)), "user-delete": str(len(HOSTILE))}, "the audit trail")
        same(sorted(u["name"] for u in lab.ask("user-list")["items"]), [ALICE, BOB], "users")


def refused_mac(lab, mac):
    """A new MAC of a live session, while nothing can be claimed: refused, and not for good."""
    alice = lab.clients[ALICE]
    frame = frames.udp4(mac, lab.workloads["alice/web"].mac, frames.token("new"))
    with Events(lab.socket) as events:
        net.inject(alice.ns, alice.dev, frame)
        e = events.wait(type="refuse", mac=mac)
    check("user database does not answer" in e["reason"], e)
    return frame


def bound(lab, mac, frame):
    def learned():
        net.inject(lab.clients[ALICE].ns, lab.clients[ALICE].dev, frame)
        return any(mac in s["macs"] for s in lab.sessions(ALICE))

    net.wait_for(learned, 15, f"{mac} to be learned", 0.2)


def away(lab, db, what, mac, take, give):
    """Bob tries while the database is gone; alice is there."""
    alice, bob = lab.clients[ALICE], lab.clients[BOB]
    pinger = probe.Pinger(alice.ns, "10.50.0.101")
    try:
        with case(f"{what}: who logs in is told to try again, who is in loses nothing"):
            take()
            bob.start()
            bob.log.wait(RETRY, 40, bob._mark, bob.process)
            check(not bob.connected(), "he got in")
            check(bob.process.poll() is None, "the client gave up instead of trying again")
        with case(f"{what}: a new MAC of a live session is refused, an operator told why"):
            frame = refused_mac(lab, mac)
            p = lab.sallyport("--timeout", "20", "user", "list", check=False)
            check(p.returncode != 0 and p.stderr.strip(), p.stderr)
            same(lab.json("status")["store"]["ok"], False, "status")
    finally:
        give()
    try:
        with case(f"{what}: it is back, and so is everything"):
            bob.wait(40)
            settle(lab, bob)
            bound(lab, mac, frame)
            net.wait_for(lambda: lab.json("status")["store"]["ok"], 10, "status to be well")
            sent, got = pinger.finish()
            check(sent > 50 and sent == got, f"alice lost {sent - got} of {sent}")
        with case(f"{what}: the store has the live sessions, and no others"):
            wait_stored(lab, db)
    finally:
        pinger.close()
        bob.stop()
        lab.wait_gone(lambda s: s["user"] == BOB, "bob's session to end", 20)


def stored(db):
    return sorted(int(r[0]) for r in db.sql("SELECT id FROM session WHERE ended = 0", "sallyport"))


def wait_stored(lab, db):
    net.wait_for(lambda: stored(db) == sorted(s["id"] for s in lab.sessions()), 15,
                 lambda: f"sessions {lab.sessions()}; the store has {stored(db)}", 0.2)


def database():
    db = MariaDB(worlds.STATE + "/mariadb")
    net.ip("link", "set", "lo", "up")
    lab = make(db)
    begin(lab)
    hostile(lab, db)
    away(lab, db, "hung", "02:00:00:00:00:77", lambda: db.process.send_signal(signal.SIGSTOP),
         lambda: db.process.send_signal(signal.SIGCONT))
    away(lab, db, "killed", "02:00:00:00:00:78", db.kill9, db.start)
    with case("a restart of the daemon adopts what is live"):
        wait_stored(lab, db)  # that bob has gone, too
        lab.daemon.kill9()
        lab.daemon.start()
        same([s["user"] for s in lab.sessions()], [ALICE], "sessions")
        same(probe.ping(lab.clients[ALICE].ns, "10.50.0.101"), (3, 3), "alice's pings")
    with case("without a database the daemon says so, and ends"):
        lab.daemon.stop()
        db.stop()
        p = net.run(f"{lab.build}/sallyportd", "--config", lab.daemon.config, check=False, timeout=30)
        check(p.returncode != 0, "it started")
        check("MariaDB" in p.stderr or "mysql" in p.stderr.lower() or "socket" in p.stderr, p.stderr)
    lab.close()


main((database,))
