# SPDX-License-Identifier: GPL-2.0-or-later
"""What the demonstration shows, a chapter in each module, and how it says so."""

import sys

from sally import tap

COLOUR = sys.stdout.isatty()


def title(text):
    print(f"\n\033[1m{text}\033[0m" if COLOUR else f"\n{text}", flush=True)


def outcome(good, text):
    tap.count(not good)
    word = "ok  " if good else "FAIL"
    if COLOUR:
        word = f"\033[{32 if good else 31}m{word}\033[0m"
    print(f"  {word}  {text}", flush=True)


def step(text, fn, *args):
    """One thing that is shown; what FN returns is appended to TEXT."""
    try:
        more = fn(*args)
        outcome(True, text + (f": {more}" if more else ""))
    except Exception as e:
        outcome(False, f"{text}: {e}")
