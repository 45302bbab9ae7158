# SPDX-License-Identifier: GPL-2.0-or-later
"""What did a process write since? A log that grows, searched from a mark."""

import os
import re

from . import net


class Log:
    def __init__(self, path):
        self.path = path
        open(path, "a").close()

    def mark(self):
        return os.path.getsize(self.path)

    def since(self, mark=0):
        with open(self.path, errors="replace") as f:
            f.seek(mark)
            return f.read()

    def find(self, pattern, mark=0):
        return re.search(pattern, self.since(mark))

    def count(self, pattern, mark=0):
        return len(re.findall(pattern, self.since(mark)))

    def wait(self, pattern, timeout, mark=0, alive=None):
        """The match; fails early when the writer (a Popen) has ended without it."""
        def look():
            m = self.find(pattern, mark)
            if not m and alive is not None and alive.poll() is not None:
                m = self.find(pattern, mark)
                if not m:
                    raise AssertionError(f"{self.path}: its process ended (status {alive.returncode}) "
                                         f"before /{pattern}/")
            return m

        return net.wait_for(look, timeout, f"/{pattern}/ in {self.path}")

    def tail(self, lines=15):
        return self.since()[-20000:].splitlines()[-lines:]
