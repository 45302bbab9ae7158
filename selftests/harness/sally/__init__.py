# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness of the end-to-end tests: a private world, a real network in it, TAP out of it."""

import os
import sys

from . import frames, net, probe, tap, worlds
from .tap import case, check, finish, same, say, skip
from .worlds import world


def main(*suites):
    """Each suite is (function, arguments...), run in a world of its own. Ends the script."""
    if os.geteuid() != 0:
        print("1..0 # SKIP root is needed for namespaces and BPF")
        sys.exit(0)
    for fn, *args in suites:
        world(fn, *args)
    sys.exit(finish())


__all__ = ["case", "check", "finish", "frames", "main", "net", "probe", "same", "say", "skip", "tap", "world", "worlds"]
