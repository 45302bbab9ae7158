# SPDX-License-Identifier: GPL-2.0-or-later
"""Control groups for what a test starts: of its own, in whatever hierarchies this machine has.

libvirt wants to make groups for its guests. It gets a cgroup namespace whose root is a group of the
test's, so that it neither sees nor touches the machine's own; the group goes when the test's last
process is gone. Version 1, version 2 and both together.
"""

import contextlib
import errno
import os
import time

from . import worlds

PREFIX = "sally-"
CLONE_NEWCGROUP = 0x02000000


class Hierarchy:
    def __init__(self, kind, option):
        self.kind = kind  # "cgroup" or "cgroup2"
        self.option = option  # what it is mounted with: "cpu", "none,name=systemd", ""
        self.name = option.split("name=")[-1] or "unified"

    def mount(self, target):
        os.makedirs(target, exist_ok=True)
        worlds.mount(self.kind, target, self.kind, data=self.option or None)


def hierarchies():
    """What is mounted anywhere, shadowed or not."""
    found = {}
    with open("/proc/self/mountinfo") as f:
        for line in f:
            kind, _, options = line.split(" - ")[1].split()[:3]
            if kind == "cgroup2":
                found[""] = Hierarchy(kind, "")
            elif kind == "cgroup":
                words = [o for o in options.split(",") if o not in ("rw", "ro") and
                         (o.startswith("name=") or "=" not in o) and o not in ("xattr", "clone_children")]
                named = any(w.startswith("name=") for w in words)
                option = ",".join((["none"] if named else []) + words)
                found[option] = Hierarchy(kind, option)
    return [found[k] for k in sorted(found)]


def own_name(pid):
    """Of the group of the script with this PID (as the host has it)."""
    return f"{PREFIX}{pid}"


def _write(path, text):
    with contextlib.suppress(OSError), open(path, "w") as f:
        f.write(text)


def _make(h, root, path):
    """A group PATH below ROOT that can have processes, and groups with controllers of their own."""
    where = root
    for part in path.split("/"):
        parent, where = where, f"{where}/{part}"
        if h.kind == "cgroup2":
            for controller in ("cpu", "cpuset", "memory", "io", "pids"):
                _write(parent + "/cgroup.subtree_control", "+" + controller)
        os.makedirs(where, exist_ok=True)
        for f in ("cpuset.cpus", "cpuset.mems"):  # version 1: without these nobody can join
            if h.kind == "cgroup" and os.path.exists(f"{parent}/{f}"):
                with open(f"{parent}/{f}") as source:
                    _write(f"{where}/{f}", source.read())
    return where


def enter(base, path):
    """The calling process into the group PATH of every hierarchy and into a cgroup namespace that
    begins there. BASE: an empty directory for mounts. Before a mount namespace is furnished."""
    present = hierarchies()
    for h in present:
        root = f"{base}/{h.name}"
        h.mount(root)
        _write(_make(h, root, path) + "/cgroup.procs", "0")
    worlds.unshare(CLONE_NEWCGROUP)
    for h in present:
        if h.kind == "cgroup2":  # a group with processes cannot give controllers to its children
            leaf = f"{base}/{h.name}/{path}/daemon"
            os.makedirs(leaf, exist_ok=True)
            _write(leaf + "/cgroup.procs", "0")
        worlds.umount(f"{base}/{h.name}")


def furnish():
    """What the process sees of control groups from now on: /sys/fs/cgroup, from its own root down.
    To be called in a mount namespace of its own with a fresh /sys."""
    present = hierarchies()
    if [h.kind for h in present] == ["cgroup2"]:
        present[0].mount("/sys/fs/cgroup")
        return
    worlds.mount("tmpfs", "/sys/fs/cgroup", "tmpfs", data="mode=755")
    for h in present:
        h.mount(f"/sys/fs/cgroup/{h.name}")


def _remove_tree(path):
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            _remove_tree(entry.path)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)


def _roots():
    with open("/proc/self/mountinfo") as f:
        return [line.split()[4] for line in f if line.split(" - ")[1].split()[0] in ("cgroup", "cgroup2")]


def _is_stale(name):
    number = name[len(PREFIX):]
    return name.startswith(PREFIX) and number.isdigit() and not os.path.exists(f"/proc/{number}")


def _remove(path, timeout=3):
    """A process that has ended may still be in it for a moment."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return _remove_tree(path)
        except OSError as e:
            if e.errno != errno.EBUSY or time.monotonic() > deadline:
                return None
        time.sleep(0.02)


def remove(name):
    """On the host, after the end of all that was in it; and what a killed script left."""
    for root in _roots():
        try:
            entries = os.listdir(root)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.EACCES):
                continue
            raise
        for entry in entries:
            if entry == name or _is_stale(entry):
                _remove(f"{root}/{entry}")


def left(name):
    """Where there still is a group NAME."""
    found = set()
    for root in _roots():
        with contextlib.suppress(OSError):
            found |= {f"cgroup {root}/{e}" for e in os.listdir(root) if e == name}
    return found
