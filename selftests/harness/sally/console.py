# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine's serial console, as a test uses it: a command into the guest's shell, what it printed out of it.

    with Console(lab, "alice", "web") as c: print(c.run("ip addr"))
"""

import itertools
import re
import time

from .control import Control, Refused

PIECE = 512


class Console:
    def __init__(self, lab, user, name, force=False):
        self.name = f"{user}/{name}"
        self.control = Control(lab.socket, timeout=20)
        self.control.send("machine-console", user=user, name=name, force=force)
        first = self.control.receive()
        if not first["ok"]:
            self.control.s.close()
            raise Refused("machine-console", first["error"])
        self.text, self.ended = "", None
        self._taken = []
        self._n = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.control.s.close()

    def _read(self, deadline, what):
        """One message of the daemon's."""
        self.control.s.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            m = self.control.receive()
        except TimeoutError:
            raise AssertionError(f"console of {self.name}: {what()}; it printed: {self.text[-400:]!r}") from None
        if m is None or not m["ok"]:
            raise AssertionError(f"console of {self.name}: {m}")
        self.text += bytes.fromhex(m.get("data", "")).decode(errors="replace")
        self.ended = m.get("end", self.ended)
        if "taken" in m:
            self._taken.append(m["taken"])

    def _until(self, condition, timeout, what):
        deadline = time.monotonic() + timeout
        while not condition():
            if self.ended:
                raise AssertionError(f"console of {self.name} ended: {self.ended}; it printed: {self.text[-400:]!r}")
            self._read(deadline, what)

    def type(self, text, timeout=20):
        data = text.encode()
        while data:
            self._taken.clear()
            self.control.send("machine-input", data=data[:PIECE].hex())
            self._until(lambda: self._taken, timeout, lambda: "nothing is taken")
            data = data[self._taken[0]:]

    def wait_end(self, timeout=20):
        """Why it ended."""
        deadline = time.monotonic() + timeout
        while not self.ended:
            self._read(deadline, lambda: "it has not ended")
        return self.ended

    def run(self, command, timeout=60, ok=True):
        """What COMMAND printed. The shell echoes what is typed: the marks are not written out there."""
        n = next(self._n)
        self.type(f"echo B''EGIN-{n}-; {command}; echo E''ND-{n}-$?-\n")
        pattern = re.compile(rf"BEGIN-{n}-\r?\n(.*)END-{n}-(\d+)-", re.S)
        self._until(lambda: pattern.search(self.text), timeout, lambda: f"no end of: {command}")
        m = pattern.search(self.text)
        if ok and m[2] != "0":
            raise AssertionError(f"console of {self.name}: {command}: status {m[2]}: {m[1][-400:]}")
        return m[1].replace("\r", "")
