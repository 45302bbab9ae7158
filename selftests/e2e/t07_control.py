#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Can anything that is said on the control socket harm the daemon? Each bad request gets an error."""

import json
import os
import random
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same, say  # noqa: E402
from sally.control import Control, as_uid  # noqa: E402
from sally.ovpn import NOBODY  # noqa: E402
from sally.town import ALICE, town  # noqa: E402

SEED = int(os.environ.get("SP_SEED", "1"))
LIMIT = 64 * 1024
OPS = ("user-add", "user-passwd", "user-set", "user-disable", "user-delete", "user-list", "workload-add",
       "workload-remove", "session-kill", "hook-auth", "hook-connect", "hook-disconnect", "hook-learn",
       "hook-forget", "counters", "status", "audit-list", "session-list", "version")
WRONG = (None, True, -1, 1 << 62, 1.5, "", "x" * 5000, [], {}, "a\u0000b", "../../etc", "\ud7ff", ["a"] * 50,
         {"a": {"b": {}}}, "' OR 1=1 --", "%s%n", "ff:ff:ff:ff:ff:ff@0")
FIELDS = ("name", "user", "password", "address", "address6", "mac", "vid", "session", "netns", "ifname",
          "instance", "common_name", "trusted_ip", "trusted_port", "time_unix", "daemon_pid", "event",
          "deadline_us", "time_us", "username", "limit", "max_sessions", "nonsense", "v", "op")


def malformed(rng):
    """Text that is no request."""
    good = json.dumps({"v": 1, "op": "version"}).encode()
    kind = rng.randrange(8)
    if kind == 0:
        return good[:rng.randrange(len(good))] or b"{"
    if kind == 1:
        return rng.randbytes(rng.randrange(1, 300))
    if kind == 2:
        return b"[" * rng.randrange(1, 20000)
    if kind == 3:
        return b'{"v":1,"op":"version","op":"status"}'
    if kind == 4:
        return b'{"v":2,"op":"version"}'
    if kind == 5:
        return good + good
    if kind == 6:
        return b'{"v":1,"op":"user-list","name":"\xff\xfe"}'
    return rng.choice((b"null", b"1", b'"op"', b"[]", b"{}", b" ", b"\0", b'{"op":1}', b'{"v":1}'))


def mistyped(rng):
    """A request of the right form with the wrong things in it; never one that would succeed."""
    op = rng.choice(OPS + ("", "no-such-op", "VERSION", "x" * 300))
    request = {"v": 1, "op": op, "nonsense": 1}
    for field in rng.sample(FIELDS, rng.randrange(0, 5)):
        request[field] = rng.choice(WRONG)
    return json.dumps(request).encode()


class Prober:
    """Sends, expects an error reply or the end of the connection; connects again after the end."""

    def __init__(self, path):
        self.path = path
        self.c = None
        self.errors, self.closed = 0, 0

    def send(self, data):
        if self.c is None:
            self.c = Control(self.path)
        try:
            self.c.send_raw(data)
            reply = self.c.receive()
        except (BrokenPipeError, ConnectionResetError):
            reply = None
        if reply is None:
            self.c.s.close()
            self.c = None
            self.closed += 1
            return None
        check(reply.get("v") == 1 and reply.get("ok") is False, f"{data[:200]!r} was answered {reply}")
        error = reply["error"]
        check(error["code"].startswith("E") and error["errno"] > 0 and error["message"], f"a poor error: {error}")
        self.errors += 1
        return error


def alive(lab, pid):
    same(lab.ask("status")["pid"], pid, "the daemon's pid")


def hostile(lab, n, make, what):
    rng = random.Random(SEED)
    with case(f"{n} requests, {what}: an error each, the daemon unharmed (seed {SEED})"):
        pid = lab.daemon.process.pid
        prober = Prober(lab.socket)
        for _ in range(200):  # caches fill before the memory is measured
            prober.send(make(rng))
        rss = lab.daemon.rss_kib()
        for _ in range(n - 200):
            prober.send(make(rng))
        alive(lab, pid)
        grown = lab.daemon.rss_kib() - rss
        say(f"{prober.errors} errors, {prober.closed} connections ended; memory {rss} KiB, grown by {grown} KiB")
        same(prober.errors + prober.closed, n, "refusals")
        check(prober.errors > n // 2, "most should have been answered, not hung up on")
        # The sanitizer's quarantine keeps what was freed.
        check("san" in lab.build or grown < 4096, f"memory grew by {grown} KiB")


def oversized(lab):
    with case("messages at and above the limit"):
        pid = lab.daemon.process.pid
        prober = Prober(lab.socket)
        for size in (LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT, 180000):
            body = b'{"v":1,"op":"' + b"x" * (size - 15) + b'"}'
            same(len(body), size, "size")
            for _ in range(20):
                prober.send(body)
        alive(lab, pid)


def wrong_peer(lab):
    path = lab.socket

    def as_other(op):
        def call():
            try:
                with Control(path) as c:
                    c.send(op)
                    return c.receive()
            except PermissionError:
                return {"ok": False, "error": {"code": "EACCES"}}
            except (BrokenPipeError, ConnectionResetError):
                return None
        return call

    with case("a peer that is nobody of ours is refused, whatever it asks"):
        for op in ("version", "user-list", "status", "counters"):
            reply = as_uid(12345, as_other(op))
            check(reply is None or reply["ok"] is False, f"{op}: {reply}")
    with case("OpenVPN's user may call hooks only"):
        for op in ("user-list", "session-list", "counters", "monitor", "reload"):
            reply = as_uid(NOBODY.pw_uid, as_other(op))
            check(reply is None or (not reply["ok"] and reply["error"]["code"] == "EPERM"), f"{op}: {reply}")


def many_connections(lab):
    with case("more connections than it takes: the surplus waits or ends, and it goes on"):
        pid = lab.daemon.process.pid
        held = []
        for _ in range(700):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.setblocking(False)
            try:
                s.connect(lab.socket)
            except BlockingIOError:
                s.close()
                break
            held.append(s)
        check(len(held) >= 100, f"only {len(held)} connections")
        for s in held:
            s.close()
        net.wait_for(lambda: lab.ask("status")["pid"] == pid, 10, "the daemon to answer")
    with case("a peer that asks and never reads costs nothing to others"):
        deaf = [Control(lab.socket) for _ in range(20)]
        for c in deaf:
            c.s.setblocking(False)
            for _ in range(500):
                try:
                    c.send("counters")
                except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                    break
        alive(lab, lab.daemon.process.pid)
        for c in deaf:
            c.s.close()


def control(mode):
    lab = town(mode, phone=False)
    pinger = probe.Pinger(lab.clients[ALICE].ns, "10.50.0.101")
    users = lab.ask("user-list")["items"]
    hostile(lab, 5000, malformed, "malformed JSON")
    hostile(lab, 5000, mistyped, "wrong types, unknown ops and arguments")
    oversized(lab)
    wrong_peer(lab)
    many_connections(lab)
    with case("nothing of it changed anything, and a live session lost nothing"):
        same(lab.ask("user-list")["items"], users, "users")
        same(len(lab.sessions()), 3, "sessions")
        sent, got = pinger.finish()
        check(sent == got, f"alice lost {sent - got} of {sent}")
    lab.close()


main((control, "vlan"))
