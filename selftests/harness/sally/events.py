# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened since? A subscriber of the daemon's monitor."""

import select
import time

from .control import Control


class Events:
    def __init__(self, path, drops=False):
        self.control = Control(path)
        self.control.send("monitor", drops=drops, changes=True)
        first = self.control.receive()
        if not first["ok"]:
            raise AssertionError(f"monitor: {first}")
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.control.s.close()

    def collect(self, timeout=0.0):
        while select.select([self.control.s], [], [], timeout)[0]:
            message = self.control.receive()
            if message is None:
                return
            self.seen.append(message["event"])
            timeout = 0.0

    def wait(self, timeout=5, **want):
        """The first event whose fields are as WANT says."""
        deadline = time.monotonic() + timeout
        while True:
            self.collect()
            for e in self.seen:
                if all(e.get(k) == v for k, v in want.items()):
                    return e
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no event {want} in {timeout} s; seen: {self.seen[-20:]}")
            self.collect(min(left, 0.2))
