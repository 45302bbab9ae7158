# SPDX-License-Identifier: GPL-2.0-or-later
"""How does a test reach into a network namespace: run a command there, open a socket there?

setns() moves only the calling thread, and a socket stays where it was made: so one process can
hold sockets of every namespace and poll them together.
"""

import errno
import contextlib
import os
import socket
import struct
import subprocess
import time

from . import worlds

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
PACKET_QDISC_BYPASS = 20
HOST = None  # the namespace of the world itself


def wait_for(condition, timeout, what, interval=0.02):
    """What CONDITION returns, once it is true. The one bounded wait of all tests."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s for {what() if callable(what) else what}")
        time.sleep(interval)


@contextlib.contextmanager
def in_ns(name):
    """The calling thread, inside namespace NAME of /run/netns (HOST: no change)."""
    if name is HOST:
        yield
        return
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            worlds.setns(there, worlds.CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            yield
        finally:
            worlds.setns(here, worlds.CLONE_NEWNET)
    finally:
        os.close(here)


def run(*argv, ns=HOST, check=True, timeout=60, **kw):
    """Run to the end; text captured. CHECK: a failure is an exception that quotes the output."""
    with in_ns(ns):
        p = subprocess.run([str(a) for a in argv], stdin=kw.pop("stdin", subprocess.DEVNULL)
                           if "input" not in kw else None, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, timeout=timeout, check=False, **kw)
    if check and p.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: status {p.returncode}: "
                             f"{(p.stderr or p.stdout).strip()}")
    return p


def start(*argv, ns=HOST, **kw):
    with in_ns(ns):
        return subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, **kw)


def stop(process, sig=15, timeout=10):
    """End a process that we started; kill it where it does not follow."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(sig)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ip(*args, ns=HOST):
    where = [] if ns is HOST else ["-n", ns]
    return run("ip", *where, *args)


def quiet(ns=HOST, ifname="default"):
    """No IPv6 of its own on devices that are made from now on."""
    with in_ns(ns), open(f"/proc/sys/net/ipv6/conf/{ifname}/disable_ipv6", "w") as f:
        f.write("1")


def netns_add(name):
    run("ip", "netns", "add", name)
    ip("link", "set", "lo", "up", ns=name)
    # Addresses are usable at once: duplicate address detection would delay every test by 1-2 s.
    with in_ns(name):
        for conf in ("default", "all"):
            for key, value in (("accept_dad", "0"), ("accept_ra", "0"), ("router_solicitations", "0")):
                with open(f"/proc/sys/net/ipv6/conf/{conf}/{key}", "w") as f:
                    f.write(value)


def netns_del(name):
    run("ip", "netns", "del", name, check=False)


def link_exists(ns, ifname):
    with in_ns(ns):
        try:
            socket.if_nametoindex(ifname)
            return True
        except OSError:
            return False


def link_mac(ns, ifname):
    with in_ns(ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        import fcntl
        reply = fcntl.ioctl(s, 0x8927, struct.pack("16s16x", ifname.encode()))  # SIOCGIFHWADDR
    return ":".join(f"{b:02x}" for b in reply[18:24])


def packet_socket(ns, ifname, receive=True, leaving=False):
    """A raw socket on a device; with RECEIVE it sees what arrives, with LEAVING what leaves as well."""
    with in_ns(ns):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        if receive:
            s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 0 if leaving else 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            mreq = struct.pack("iHH8s", socket.if_nametoindex(ifname), 1, 0, b"")  # PROMISC
            s.setsockopt(SOL_PACKET, 1, mreq)
        s.bind((ifname, ETH_P_ALL if receive else 0))
    s.setblocking(False)
    return s


def send_or_refused(s, frame):
    """A program at the device's egress that drops is ENOBUFS to the sender: that is an answer too."""
    try:
        s.send(frame)
    except OSError as e:
        if e.errno != errno.ENOBUFS:
            raise


def inject(ns, ifname, *frames):
    """Put whole frames on the wire of a device, whatever they are."""
    s = packet_socket(ns, ifname, receive=False)
    s.setblocking(True)
    with s:
        for frame in frames:
            send_or_refused(s, frame)


def udp_socket(ns, family, address="", port=0):
    with in_ns(ns):
        s = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
    s.setblocking(False)
    return s
