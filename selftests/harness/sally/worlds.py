# SPDX-License-Identifier: GPL-2.0-or-later
"""Where does a test run, and how is it certain that nothing of it stays?

In namespaces of its own: mounts (with its own /run, /sys/fs/bpf, /dev/net/tun), network, processes, IPC.
Whatever ends the script ends the first process of the PID namespace, and the kernel ends the rest;
taps, veths, pins and mounts go with the namespaces that hold them.

    script (outer) -> keeper, in the host's PID namespace -> init, pid 1 of the world -> the test
"""

import ctypes
import os
import signal
import stat
import sys
import time
import traceback

from . import cgroups, tap

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
CLONE_NEWPID = 0x20000000
MS_REC_PRIVATE = 0x4000 | 0x40000
MS_BIND = 0x1000
PR_SET_PDEATHSIG = 1

STATE = "/run/lab"  # inside the world: logs, sockets, stores

host_pid = 0  # of the world's init, as the host sees it: for nsenter
cgroup = ""  # the group that is the world's where it wants one, in every hierarchy


def _call(name, *args):
    if getattr(_libc, name)(*args) != 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{name}: {os.strerror(err)}")


def unshare(flags):
    _call("unshare", flags)


def setns(fd, kind):
    _call("setns", fd, kind)


def mount(source, target, kind=None, flags=0, data=None):
    def enc(s):
        return None if s is None else s.encode()

    _call("mount", enc(source), enc(target), enc(kind), ctypes.c_ulong(flags), enc(data))


def umount(target):
    _call("umount2", target.encode(), 0)


def _die_with_parent(parent):
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def _furnish():
    """Mounts of the world. Nothing here is visible outside: propagation is private."""
    mount("none", "/", None, MS_REC_PRIVATE)
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")  # shows the devices of the new network namespace
    mount("bpf", "/sys/fs/bpf", "bpf", data="mode=0755")
    mount("run", "/run", "tmpfs", data="mode=755,size=256m")
    for d in ("/run/netns", "/run/lock", "/run/sallyport", STATE, STATE + "/tmp"):
        os.makedirs(d, 0o755)
    os.chmod(STATE + "/tmp", 0o1777)
    # Debian's udev gives everybody this node; a container may not have udev.
    node = STATE + "/tun"
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(10, 200))
    os.chmod(node, 0o666)
    if not os.path.exists("/dev/net/tun"):
        mount("net", "/dev/net", "tmpfs")
        open("/dev/net/tun", "w").close()
    mount(node, "/dev/net/tun", None, MS_BIND)
    os.environ["TMPDIR"] = STATE + "/tmp"
    os.environ.pop("NOTIFY_SOCKET", None)


def _run_test(fn, args):
    """The test itself; returns its exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        fn(*args)
        return 0
    except KeyboardInterrupt:
        return 130
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 1
    except BaseException as e:
        tap.result(False, f"{fn.__name__}{args if args else ''} ran to its end")
        tap.say(f"stopped by {type(e).__name__}: {e}")
        tap.say("".join(traceback.format_tb(e.__traceback__)))
        tap.explain()
        return 1


def _init(fn, args):
    """Pid 1: starts the test, buries whatever is orphaned, ends with the test."""
    _furnish()
    test = os.fork()
    if test == 0:
        status = _run_test(fn, args)
        sys.stdout.flush()
        os._exit(status)
    while True:
        pid, status = os.wait()
        if pid == test:
            return os.waitstatus_to_exitcode(status)


def _keeper(fn, args, report):
    """Makes the namespaces; lives in the host's PID namespace."""
    global host_pid
    unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID)
    first = os.fork()
    if first == 0:
        status = 1
        try:
            # getppid() is 0 across the border of a PID namespace: nothing to compare with.
            _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            host_pid = int(os.readlink("/proc/self"))
            spaces = [os.readlink(f"/proc/self/ns/{n}") for n in ("pid", "net", "mnt")]
            os.write(report, " ".join(spaces).encode())
            os.close(report)
            status = _init(fn, args)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status if status >= 0 else 128 - status)
    os.close(report)
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


def _members(spaces):
    """Processes, as the host sees them, in one of these namespaces."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for kind in ("pid", "net", "mnt"):
            try:
                if os.readlink(f"/proc/{pid}/ns/{kind}") in spaces:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        found.append(f"{pid} {f.read().replace(bytes(1), b' ').decode()}")
                    break
            except OSError:
                continue
    return found


def _host_things():
    """What a careless test could leave on the host: mounts, names of namespaces, devices."""
    with open("/proc/self/mountinfo") as f:
        things = {"mount " + line.split()[4] for line in f
                  if any(t in line for t in (STATE, "/run/netns/c-", "/run/netns/w-"))}
    if os.path.isdir("/run/netns"):
        things |= {f"netns {n}" for n in os.listdir("/run/netns") if n[:2] in ("c-", "w-")}
    with open("/proc/net/dev") as f:
        things |= {"device " + n for n in (line.split(":")[0].strip() for line in f)
                   if n.startswith(("sp-", "spv", "ul-"))}
    if os.path.isdir("/sys/fs/bpf/sallyport"):
        things.add("pin /sys/fs/bpf/sallyport")
    if os.path.exists(STATE):
        things.add("directory " + STATE)
    return things | cgroups.left(cgroup)


def leaks(spaces, before):
    """Empty, or what is left of the world; killed processes get a moment to be gone."""
    deadline = time.monotonic() + 5
    left = _members(spaces)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = _members(spaces)
    cgroups.remove(cgroup)
    return ["process " + p for p in left] + sorted(_host_things() - before)


class Outcome:
    """How a world ended."""

    def __init__(self, status, left, interrupted):
        self.status = status  # of the test inside
        self.left = left  # what should have gone and did not
        self.interrupted = interrupted


def run(fn, *args):
    """Run FN(*ARGS) in a world of its own, and look whether anything of it stayed."""
    global cgroup
    cgroup = cgroups.own_name(os.getpid())
    cgroups.remove(cgroup)  # and what a script that was killed left
    before = _host_things()
    sys.stdout.flush()
    r, w = os.pipe()
    parent = os.getpid()
    keeper = os.fork()
    if keeper == 0:
        status = 1
        try:
            os.close(r)
            _die_with_parent(parent)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            status = _keeper(fn, args, w)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status if status >= 0 else 128 - status)
    os.close(w)
    while True:
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
            break
        except KeyboardInterrupt:  # the test got it too, and ends as it sees fit
            continue
    with os.fdopen(r) as f:
        spaces = f.read().split()
    left = leaks(spaces, before) if spaces else ["no world was made"]
    return Outcome(status, left, status == 130)


def world(fn, *args):
    """The same for a test: the outcome is a result of its own."""
    outcome = run(fn, *args)
    tap.result(not outcome.left, f"nothing is left of {fn.__name__} {' '.join(map(str, args))}")
    for thing in outcome.left:
        tap.say("left: " + thing)
    if outcome.interrupted:
        print("Bail out! interrupted")
        sys.stdout.flush()
        sys.exit(130)
    if outcome.status and tap.counts()[1] == 0:
        tap.result(False, f"{fn.__name__} ended with status {outcome.status}")
