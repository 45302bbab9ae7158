# SPDX-License-Identifier: GPL-2.0-or-later
"""How does a test say what it found? TAP on stdout, with whatever helps to explain a failure."""

import contextlib
import mmap
import struct
import sys
import time
import traceback

# Shared by every process that forks from the script: how many results, how many were failures.
_shared = mmap.mmap(-1, 16)
_reporters = []  # callables that print diagnostics when something fails


def counts():
    return struct.unpack("qq", _shared[:16])


def count(failed):
    n, bad = counts()
    _shared[:16] = struct.pack("qq", n + 1, bad + (1 if failed else 0))
    return n + 1


def say(text):
    """A comment in the output: progress, diagnostics."""
    for line in str(text).rstrip("\n").split("\n"):
        print("# " + line)
    sys.stdout.flush()


def result(good, name, directive=""):
    n = count(not good)
    print(f"{'ok' if good else 'not ok'} {n} - {name.replace('#', '')}{directive}")
    sys.stdout.flush()


def skip(name, reason):
    result(True, name, f" # SKIP {reason}")


def on_failure(reporter):
    _reporters.append(reporter)


def forget_reporter(reporter):
    if reporter in _reporters:
        _reporters.remove(reporter)


def explain():
    for reporter in list(_reporters):
        try:
            reporter()
        except Exception as e:  # a report must not hide the failure that it is about
            say(f"(no report: {e!r})")


@contextlib.contextmanager
def case(name):
    """One result. An exception inside is the failure; the script goes on with the next case."""
    start = time.monotonic()
    try:
        yield
    except Exception as e:
        result(False, name)
        kind = "" if isinstance(e, AssertionError) else f"{type(e).__name__}: "
        say(f"failed: {kind}{e}")
        frames = traceback.extract_tb(e.__traceback__)
        say("\n".join(f"  {f.filename.rsplit('/', 1)[-1]}:{f.lineno}: {f.line}" for f in frames[1:]))
        explain()
    else:
        result(True, name)
        took = time.monotonic() - start
        if took > 5:
            say(f"took {took:.1f} s")


def check(condition, message):
    """An assertion that python -O cannot remove."""
    if not condition:
        raise AssertionError(message)


def same(got, want, what):
    check(got == want, f"{what}: got {got!r}, expected {want!r}")


def finish():
    """Print the plan; the exit status of the script."""
    n, bad = counts()
    print(f"1..{n}")
    sys.stdout.flush()
    return 1 if bad or n == 0 else 0
