# SPDX-License-Identifier: GPL-2.0-or-later
"""loader/virt/ under test: selftests/virt/drive, which runs it on an event loop, and a script's end of it."""

import contextlib
import json
import os
import select
import subprocess
import time

from . import tap, worlds
from .logfile import Log


class Drive:
    def __init__(self, build, uri, accel="tcg", probe=None, keepalive=5, slow=4, swift=2):
        self.log = Log(f"{worlds.STATE}/drive.log")
        with open(self.log.path, "ab") as f:
            self.process = subprocess.Popen(
                [f"{build}/selftests/virt/drive", uri, probe or f"{build}/probe-kernel", accel, str(keepalive),
                 str(slow), str(swift)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=f)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.replies, self.heard = {}, []
        self._text, self._last = b"", 0
        tap.on_failure(self.report)

    # --- talking ---

    def _pump(self, timeout):
        """Whatever it says within TIMEOUT, as soon as it says something."""
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            return
        data = self.process.stdout.read()
        if not data:
            if data == b"":
                raise AssertionError(f"drive ended, status {self.process.wait()}: {self.log.tail()}")
            return
        self._text += data
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            said = json.loads(line)
            said["at"] = time.monotonic()
            if "id" in said:
                self.replies[said["id"]] = said
            else:
                self.heard.append(said)

    def _until(self, look, timeout, what):
        deadline = time.monotonic() + timeout
        while True:
            value = look()
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"waited {timeout} s for {what() if callable(what) else what}")
            self._pump(left)

    def send(self, op, **args):
        """The number of the request."""
        self._last += 1
        text = json.dumps({"id": self._last, "op": op, **args}) + "\n"
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()
        return self._last

    def reply(self, number, timeout=60):
        return self._until(lambda: self.replies.pop(number, None), timeout, f"the answer to request {number}")

    def ask(self, op, timeout=60, **args):
        return self.reply(self.send(op, **args), timeout)

    def do(self, uuid, verb, timeout=60, **args):
        return self.ask("do", timeout, uuid=uuid, verb=verb, **args)

    # --- listening ---

    def mark(self):
        self.drain()
        return len(self.heard)

    def drain(self):
        while select.select([self.process.stdout], [], [], 0)[0]:
            self._pump(0)

    def wait(self, what, since=0, timeout=30, **want):
        """The first thing heard since a mark that has all of WANT."""
        def look():
            for said in self.heard[since:]:
                if all(said.get(k) == v for k, v in want.items()) and (want or what in said):
                    return said
            return None

        return self._until(look, timeout, lambda: f"{what} {want}; heard: {self.heard[since:]}")

    def up(self, since=0, timeout=30):
        return self.wait("up", since, timeout, up=True, settled=None)

    def down(self, since=0, timeout=60):
        return self.wait("down", since, timeout)

    def event(self, name, uuid, since=0, timeout=30):
        return self.wait("event", since, timeout, event=name, uuid=uuid)

    def events(self, uuid, since=0):
        self.drain()
        return [s["event"] for s in self.heard[since:] if s.get("uuid") == uuid and "event" in s]

    # --- consoles ---

    def text(self, console, since=0):
        return "".join(s["data"] for s in self.heard[since:] if s.get("console") == console and "data" in s)

    def expect(self, console, text, since=0, timeout=20):
        self._until(lambda: text in self.text(console, since), timeout,
                    lambda: f"'{text}' on the console; there was: {self.text(console, since)[-300:]!r}")

    # --- its end ---

    def stop(self, timeout=20):
        """How long it took to end, in seconds; its exit status must be 0 (no leak, no error)."""
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"drive did not end within {timeout} s") from None
        took = time.monotonic() - began
        tap.forget_reporter(self.report)
        if status != 0:
            raise AssertionError(f"drive ended with status {status}: " + "\n".join(self.log.tail(60)))
        return took

    def report(self):
        tap.say("--- drive")
        tap.say("\n".join(self.log.tail(20)))


