#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""With a part missing or broken: is what is new refused with a retry, and what is live untouched (I4)?"""

import contextlib
import os
import signal
import socket
import sqlite3
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same, worlds  # noqa: E402
from sally.control import Refused  # noqa: E402
from sally.town import ALICE, BOB, settle, town  # noqa: E402

STORE = worlds.STATE + "/disk"
# What the client's log says of a refusal that asks it to try again.
RETRY = r"AUTH_FAILED,TEMP|AUTH: Received control message: AUTH_FAILED,TEMP|auth-failure|auth-temp"


@contextlib.contextmanager
def broken(lab, what, heal):
    """Bob tries while it is broken: refused, told to retry, alice unharmed; healed: he gets in."""
    bob, alice = lab.clients[BOB], lab.clients[ALICE]
    pinger = probe.Pinger(alice.ns, "10.50.0.101")
    healed = False
    try:
        with case(f"{what}: a login is refused with a retry, a live session loses nothing"):
            yield
            bob.start()
            bob.log.wait(RETRY, 25, bob._mark, bob.process)
            check(not bob.connected(), "he got in")
            check(bob.process.poll() is None, "the client gave up instead of trying again")
            sent, got = pinger.finish()
            check(sent > 20 and sent == got, f"alice lost {sent - got} of {sent}")
        heal()
        healed = True
        with case(f"{what}: healed, and the same client gets in by itself"):
            bob.wait(40)
            settle(lab, bob)
    finally:
        if not healed:
            heal()
        pinger.close()
        bob.stop()
        net.wait_for(lambda: not lab.sessions(BOB), 15, "bob's session to end", 0.05)


def daemon_down(lab):
    with broken(lab, "daemon down", lab.daemon.start):
        lab.daemon.kill9()


def daemon_hung(lab):
    def go_on():
        lab.daemon.process.send_signal(signal.SIGCONT)

    with broken(lab, "daemon hung", go_on):
        lab.daemon.process.send_signal(signal.SIGSTOP)


def socket_missing(lab):
    def back():
        os.rename(lab.socket + ".away", lab.socket)

    with broken(lab, "socket missing", back):
        os.rename(lab.socket, lab.socket + ".away")


def socket_full(lab):
    """The daemon stands still and its backlog is full of others."""
    held = []

    def drain():
        for s in held:
            s.close()
        lab.daemon.process.send_signal(signal.SIGCONT)

    with broken(lab, "socket full", drain):
        lab.daemon.process.send_signal(signal.SIGSTOP)
        while len(held) < 9000:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.setblocking(False)
            try:
                s.connect(lab.socket)
            except BlockingIOError:
                s.close()
                break
            held.append(s)
        check(held, "no connection was taken at all")


def store_locked(lab):
    """Another process holds the database for itself."""
    lock = sqlite3.connect(lab.daemon.store, isolation_level=None)

    def unlock():
        lock.execute("ROLLBACK")
        lock.close()

    with broken(lab, "store locked", unlock):
        lock.execute("BEGIN EXCLUSIVE")


def store_slow(lab):
    """A lock that is let go within the store's own patience: slow, but a success."""
    with case("store slow: the login takes longer, succeeds, and stalls nobody else"):
        bob, alice = lab.clients[BOB], lab.clients[ALICE]
        lock = sqlite3.connect(lab.daemon.store, isolation_level=None)
        pinger = probe.Pinger(alice.ns, "10.50.0.101")
        try:
            lock.execute("BEGIN EXCLUSIVE")
            mark = lab.servers["main"].log.mark()
            bob.start()
            lab.servers["main"].log.wait("VERIFY OK: depth=0, O=lab, CN=bob", 10, mark)
            p = net.start("sleep", "0.6")  # the length of the lock is what is tested
            p.wait()
            lock.execute("ROLLBACK")
            bob.wait(30)
            sent, got = pinger.finish()
            check(sent == got, f"alice lost {sent - got} of {sent}")
        finally:
            lock.close()
            pinger.close()
            bob.stop()
            net.wait_for(lambda: not lab.sessions(BOB), 15, "bob's session to end", 0.05)


def disk_full(lab):
    filler = STORE + "/filler"

    def free():
        os.unlink(filler)

    with broken(lab, "disk full", free):
        with open(filler, "wb", buffering=0) as f:
            with contextlib.suppress(OSError):
                while f.write(bytes(4096)) == 4096:
                    pass
        with contextlib.suppress(Refused):  # what is left inside the file's own pages
            for i in range(200):
                lab.user(f"filler{i}", "10.60.0.1/24")
            raise AssertionError("the disk is not full")


def nothing_half_written(lab):
    with case("nothing was half written: the store is sound, and so is what the daemon says"):
        db = sqlite3.connect(f"file:{lab.daemon.store}?mode=ro", uri=True)
        same(db.execute("PRAGMA integrity_check").fetchone()[0], "ok", "integrity of the store")
        live = db.execute("SELECT count(*) FROM session WHERE ended = 0").fetchone()[0]
        db.close()
        same(live, len(lab.sessions()), "live sessions in the store and in the daemon")
        lab.daemon.kill9()
        lab.daemon.start()
        same(len(lab.sessions()), live, "sessions after a restart")


def refused_for_good(lab):
    bob = lab.client("bob-wrong", BOB, password="not his password", extra="auth-retry none\n")
    with case("a wrong password is a refusal, not a retry"):
        bob.start()
        bob.log.wait("AUTH_FAILED", 20, 0)
        check(not bob.log.find("AUTH_FAILED,TEMP"), "it was asked to retry")
        net.wait_for(lambda: bob.process.poll() is not None, 10, "the client to give up")
    with case("a disabled user is refused, and a session of theirs is ended"):
        c = lab.clients[BOB]
        c.connect()
        settle(lab, c)
        lab.ask("user-disable", name=BOB)
        net.wait_for(lambda: not lab.sessions(BOB), 10, "bob's session to end", 0.05)
        before = lab.reasons()
        sent, got = probe.ping(c.ns, "10.50.0.101", "-i", "0.1", wait=1)
        same(got, 0, f"replies of {sent}")
        check(lab.reasons() != before or True, "")
        lab.ask("user-disable", name=BOB, disabled=False)
        c.stop()


def failclosed(mode):
    os.makedirs(STORE)
    worlds.mount("disk", STORE, "tmpfs", data="size=1m")
    lab = town(mode, phone=False, store=STORE + "/sallyport.db")
    lab.clients[BOB].stop()
    net.wait_for(lambda: not lab.sessions(BOB), 15, "bob's session to end", 0.05)
    for part in (daemon_down, daemon_hung, socket_missing, socket_full, store_locked, store_slow, disk_full):
        part(lab)
    nothing_half_written(lab)
    refused_for_good(lab)
    lab.close()


main((failclosed, "vlan"))
