# SPDX-License-Identifier: GPL-2.0-or-later
"""Traffic that goes on by itself, in a process of its own, beside what a test does: echo requests that are each a
connection of their own, bytes that come back, a flood. What it saw is there when it is finished.
"""

import contextlib
import hashlib
import json
import os
import random
import select
import signal
import socket
import struct
import time

from . import net
from .probe import _checksum

SO_TIMESTAMPNS = 35
URGENT = -15


def go_first(pid):
    """All threads of process PID get the CPU before others do: it is not what is measured."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):  # one that has just ended
            os.setpriority(os.PRIO_PROCESS, int(thread), URGENT)


class Beside:
    """
    RUN(stop) in a child: STOP is readable when it shall end; what it returns is finish()'s result. FIRST: it gets the
    CPU before others do.
    """

    def __init__(self, run, first=False):
        self.result, there = os.pipe()
        stop, self.stop = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.setpgid(0, 0)
                os.close(self.result)
                os.close(self.stop)
                if first:
                    os.nice(URGENT)
                os.write(there, json.dumps(self._outcome(run, stop)).encode())
                status = 0
            finally:
                os._exit(status)
        with contextlib.suppress(PermissionError):  # both sides do it: none is too late
            os.setpgid(self.pid, self.pid)
        os.close(there)
        os.close(stop)

    @staticmethod
    def _outcome(run, stop):
        try:
            return {"result": run(stop)}
        except Exception as e:
            return {"error": f"{type(e).__name__}: {e}"}

    def ended(self):
        """By itself: before it was asked to."""
        return bool(select.select([self.result], [], [], 0)[0])

    def kill(self):
        """And whatever it has started."""
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.stop)
        os.close(self.result)
        self.pid = None

    def finish(self, timeout=30):
        """The result; an error of the child is one of the test."""
        if self.pid is None:
            raise AssertionError("it is finished already")
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            os.write(self.stop, b"x")  # what was forked later has this end of the pipe, too
        os.close(self.stop)
        there = select.select([self.result], [], [], timeout)[0]
        if not there:
            os.killpg(self.pid, signal.SIGKILL)
        with os.fdopen(self.result, "rb") as f:
            data = f.read()
        os.waitpid(self.pid, 0)
        self.pid = None
        outcome = json.loads(data) if data else {"error": f"it did not end in {timeout} s"}
        if "error" in outcome:
            raise AssertionError(f"what ran beside the test: {outcome['error']}")
        return outcome["result"]


def _is_over(stop):
    return bool(select.select([stop], [], [], 0)[0])


class Beat(Beside):
    """
    An echo request each INTERVAL seconds, every one with an identifier of its own: the firewall sees a new
    connection each time, and asks the policy. When an answer came is the kernel's word, not when Python woke
    up. finish(): {sent, got, slowest}, the last in seconds.
    """

    def __init__(self, ns, address, interval):
        with net.in_ns(ns):
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        s.connect((address, 0))
        s.setblocking(False)
        self.s, self.interval = s, interval
        self.sent, self.took = {}, {}
        super().__init__(self._run, first=True)
        s.close()

    def _send(self):
        n = len(self.sent)
        body = struct.pack("!Q", n) + bytes(48)
        head = struct.pack("!BBHHH", 8, 0, 0, n & 0xFFFF, 1)
        head = struct.pack("!BBHHH", 8, 0, _checksum(head + body), n & 0xFFFF, 1)
        self.sent[n] = time.clock_gettime(time.CLOCK_REALTIME)
        with contextlib.suppress(OSError):  # a full queue: that is a loss
            self.s.send(head + body)

    def _receive(self, timeout):
        if not select.select([self.s], [], [], max(0, timeout))[0]:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                data, words, _, _ = self.s.recvmsg(2048, 64)
                icmp = data[(data[0] & 15) * 4:]
                if len(icmp) < 16 or icmp[0] != 0:
                    continue
                n = struct.unpack("!Q", icmp[8:16])[0]
                sec, nsec = struct.unpack("qq", words[0][2])
                self.took.setdefault(n, sec + nsec / 1e9 - self.sent[n])

    def _run(self, stop):
        due = time.monotonic()
        while not _is_over(stop):
            self._send()
            due = max(due + self.interval, time.monotonic() - self.interval)
            while (left := due - time.monotonic()) > 0:
                self._receive(left)
        deadline = time.monotonic() + 3
        while len(self.took) < len(self.sent) and time.monotonic() < deadline:
            self._receive(0.1)
        return {"sent": len(self.sent), "got": len(self.took), "slowest": max(self.took.values(), default=0)}


class Mirror(Beside):
    """
    A connection to an echo server that is never quiet: random bytes at RATE bytes/s, each of which must come back
    in its place. finish(): {sent, whole}; whole: the digests of both ways are the same.
    """

    CHUNK = 16384

    def __init__(self, ns, address, port=7, rate=1 << 21):
        with net.in_ns(ns):
            self.s = socket.socket()
        self.s.settimeout(10)
        self.s.connect((address, port))
        self.s.setblocking(False)
        self.pause = self.CHUNK / rate
        self.out, self.back, self.sent, self.got = hashlib.sha256(), hashlib.sha256(), 0, 0
        super().__init__(self._run)
        self.s.close()

    def _turn(self, pending, timeout):
        """What can be sent and received now; what is left of PENDING."""
        r, w, _ = select.select([self.s], [self.s] if pending else [], [], max(0, timeout))
        if r:
            data = self.s.recv(1 << 18)
            if not data:
                raise AssertionError(f"the echo ended after {self.got} of {self.sent} bytes")
            self.back.update(data)
            self.got += len(data)
        if w:
            n = self.s.send(pending)
            self.sent += n
            pending = pending[n:]
        return pending

    def _run(self, stop):
        due = time.monotonic()
        while not _is_over(stop):
            pending = random.randbytes(self.CHUNK)
            self.out.update(pending)
            due = max(due + self.pause, time.monotonic() - 1)
            while pending or due > time.monotonic():
                pending = self._turn(pending, due - time.monotonic() if not pending else 1)
        deadline = time.monotonic() + 20
        while self.got < self.sent and time.monotonic() < deadline:
            self._turn(b"", 1)
        return {"sent": self.sent, "whole": self.got == self.sent and self.out.digest() == self.back.digest()}


class Flood(Beside):
    """
    UDP datagrams from a raw socket on a device, as fast as they go, no two with the same ports: each asks for a
    flow. finish(): how many.
    """

    def __init__(self, ns, dev, frame):
        """FRAME: bytes of Ethernet, IPv4 without options, UDP; its ports are changed."""
        self.s = net.packet_socket(ns, dev, receive=False)
        self.s.setblocking(True)
        self.frame = bytearray(frame)
        super().__init__(self._run)
        self.s.close()

    def _run(self, stop):
        n = 0
        while not _is_over(stop):
            for i in range(n, n + 256):
                struct.pack_into("!HH", self.frame, 34, 1024 + i % 60000, 1024 + i // 60000 % 60000)
                net.send_or_refused(self.s, self.frame)
            n += 256
        return n
