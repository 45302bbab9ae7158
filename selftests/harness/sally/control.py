# SPDX-License-Identifier: GPL-2.0-or-later
"""What does the daemon say? A client of the control socket that can also speak nonsense."""

import json
import os
import socket

HOOK_FIELDS = ("common_name", "trusted_ip", "trusted_port", "time_unix")


class Refused(AssertionError):
    """The daemon answered with an error."""

    def __init__(self, op, error):
        self.code = error.get("code")
        self.error = error
        super().__init__(f"{op}: {error}")


class Control:
    """One connection. Requests are answered in order."""

    def __init__(self, path, timeout=10):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(timeout)
        try:
            self.s.connect(path)
        except OSError:
            self.s.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.s.close()

    def send_raw(self, data):
        self.s.send(data)

    def receive(self):
        """One message, or None at the end."""
        data = self.s.recv(1 << 17)
        return json.loads(data) if data else None

    def send(self, op, **args):
        self.s.send(json.dumps({"v": 1, "op": op, **args}).encode())

    def ask(self, op, **args):
        """One request; lists are collected whole under "items"."""
        self.send(op, **args)
        whole = None
        while True:
            reply = self.receive()
            if reply is None:
                raise AssertionError(f"{op}: the daemon closed the connection")
            if not reply["ok"]:
                raise Refused(op, reply["error"])
            if whole is None:
                whole = reply
            else:
                whole["items"] = whole.get("items", []) + reply.get("items", [])
            if not reply.get("more"):
                return whole


def ask(path, op, **args):
    with Control(path) as c:
        return c.ask(op, **args)


def as_uid(uid, fn):
    """FN's JSON result, called in a process of another user (for peer credentials)."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(r)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(w, json.dumps(fn()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    return json.loads(data) if data else None
