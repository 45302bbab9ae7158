# SPDX-License-Identifier: GPL-2.0-or-later
"""Who reaches whom, and is anything lost? Answers carry the name of who gave them: two endpoints may
share one address, so that "something answered" proves nothing.
"""

import contextlib
import errno
import hashlib
import os
import re
import select
import socket
import struct
import threading
import time

from . import net

PORT = 7007


class Matrix:
    """Every endpoint asks every address, by UDP; every endpoint answers with its name."""

    def __init__(self, endpoints, addresses):
        """ADDRESSES: name -> list of addresses (no prefix length) that the endpoint has."""
        self.addresses = addresses
        self.sockets = {}
        self.names = {}
        for name, e in endpoints.items():
            for family in (socket.AF_INET, socket.AF_INET6):
                s = net.udp_socket(e.ns, family, port=PORT)
                self.sockets[name, family] = s
                self.names[s] = name
        self.nonce = os.urandom(4).hex()
        self.answers = set()  # (asker, address, who answered)

    def close(self):
        for s in self.names:
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _ask(self, pairs):
        for name, address in pairs:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                self.sockets[name, family].sendto(f"Q {self.nonce} {address}".encode(), (address, PORT))
            except OSError as e:
                if e.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAGAIN,
                                   errno.ECONNREFUSED):
                    raise

    def _serve(self, timeout):
        ready, _, _ = select.select(list(self.names), [], [], timeout)
        for s in ready:
            try:
                data, peer = s.recvfrom(2048)
            except OSError:  # an ICMP error that came back
                continue
            part = data.decode().split()
            if part[0] == "Q":
                s.sendto(f"A {part[1]} {part[2]} {self.names[s]}".encode(), peer)
            elif part[0] == "A" and part[1] == self.nonce:
                self.answers.add((self.names[s], part[2], part[3]))

    def run(self, expected, timeout=10, quiet=1.0):
        """
        Ask everything until EXPECTED, a set of (asker, address, answerer), has come (asking again
        each second), then once more, and listen for QUIET seconds to what should not come.
        Returns (missing, unexpected).
        """
        everything = [(n, a) for n, _ in {(k[0], 0) for k in self.sockets}
                      for own in self.addresses.values() for a in own if a not in self.addresses[n]]
        everything = sorted(set(everything))
        deadline = time.monotonic() + timeout
        ask_at = 0
        while expected - self.answers and time.monotonic() < deadline:
            if time.monotonic() >= ask_at:
                self._ask(everything)
                ask_at = time.monotonic() + 1
            self._serve(0.1)
        self._ask(everything)
        end = time.monotonic() + quiet
        while time.monotonic() < end:
            self._serve(0.05)
        return expected - self.answers, self.answers - expected


def ping(ns, address, *args, count=3, wait=2):
    """(sent, received) as ping itself counts."""
    p = net.run("ping", "-n", "-q", "-c", count, "-W", wait, *args, address, ns=ns, check=False, timeout=60 + wait)
    m = re.search(r"(\d+) packets transmitted, (\d+) received", p.stdout)
    return (int(m[1]), int(m[2])) if m else (0, 0)


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Pinger:
    """
    Echo requests in the background, from the start to finish(). Unlike ping(8), which counts as lost
    what is still on its way when it is stopped, it waits for the last ones: every loss is one.
    """

    def __init__(self, ns, address, interval=0.02):
        with net.in_ns(ns):
            self.s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.s.setblocking(False)
        self.s.connect((address, 0))
        self.id = struct.unpack("!H", os.urandom(2))[0]
        self.interval = interval
        self.sent, self.got, self.slowest = {}, set(), 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _send(self):
        n = len(self.sent)
        head = struct.pack("!BBHHH", 8, 0, 0, self.id, n & 0xFFFF)
        body = struct.pack("!Q", n) + bytes(48)
        head = struct.pack("!BBHHH", 8, 0, _checksum(head + body), self.id, n & 0xFFFF)
        self.sent[n] = time.monotonic()
        with contextlib.suppress(OSError):  # a full queue or no route: that is a loss
            self.s.send(head + body)

    def _receive(self, timeout):
        if not select.select([self.s], [], [], max(0, timeout))[0]:
            return
        with contextlib.suppress(OSError):
            while True:
                data = self.s.recv(2048)
                data = data[(data[0] & 15) * 4:]
                if len(data) >= 16 and data[0] == 0 and struct.unpack("!H", data[4:6])[0] == self.id:
                    n = struct.unpack("!Q", data[8:16])[0]
                    self.got.add(n)
                    self.slowest = max(self.slowest, time.monotonic() - self.sent.get(n, 0))

    def _run(self):
        due = time.monotonic()
        while not self.stopping.is_set():
            self._send()
            due = max(due + self.interval, time.monotonic() - self.interval)
            while (left := due - time.monotonic()) > 0:
                self._receive(left)
            self._receive(0)
        deadline = time.monotonic() + 3
        while len(self.got) < len(self.sent) and time.monotonic() < deadline:
            self._receive(0.1)

    def close(self):
        self.stopping.set()
        self.thread.join()
        self.s.close()

    def finish(self):
        """(sent, received)."""
        self.close()
        return len(self.sent), len(self.got)


class Stream:
    """Numbered datagrams at a steady rate, both ways at once; every number must arrive."""

    def __init__(self, a, a_addr, b, b_addr, rate=300, port=7100):
        """A and B have ns; each sends to the other's address."""
        self.period = 1.0 / rate
        self.ends = [(net.udp_socket(a.ns, socket.AF_INET, a_addr, port), (b_addr, port)),
                     (net.udp_socket(b.ns, socket.AF_INET, b_addr, port), (a_addr, port))]
        self.sent = [0, 0]
        self.got = [set(), set()]  # by the end that receives
        self.stopping = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _receive(self, timeout):
        ready, _, _ = select.select([e[0] for e in self.ends], [], [], timeout)
        for i, (s, _) in enumerate(self.ends):
            if s not in ready:
                continue
            try:
                while True:
                    self.got[i].add(struct.unpack("!Q", s.recv(64)[:8])[0])
            except BlockingIOError:
                pass

    def _run(self):
        try:
            due = time.monotonic()
            while not self.stopping.is_set():
                for i, (s, peer) in enumerate(self.ends):
                    s.sendto(struct.pack("!Q", self.sent[i]) + bytes(56), peer)
                    self.sent[i] += 1
                due += self.period
                while (left := due - time.monotonic()) > 0:
                    self._receive(left)
                self._receive(0)
        except OSError as e:
            self.error = e

    def start(self):
        """Also waits until both directions flow: the first frames wait for ARP."""
        self.thread.start()
        net.wait_for(lambda: self.error or all(len(g) > 20 for g in self.got), 10, "the stream to flow")
        self.base = [max(g) for g in self.got]
        return self

    def progressed(self, frames):
        """Wait until FRAMES more were sent: proof that there was traffic in between."""
        target = self.sent[0] + frames
        net.wait_for(lambda: self.error or self.sent[0] >= target, 5 + frames * self.period * 3,
                     f"{frames} more frames")

    def finish(self):
        """(sent, lost) after the start, both directions summed."""
        self.stopping.set()
        self.thread.join()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and self._lost():
            self._receive(0.1)
        for s, _ in self.ends:
            s.close()
        if self.error:
            raise AssertionError(f"the stream broke: {self.error}")
        return sum(self.sent) - sum(self.base), len(self._lost())

    def _lost(self):
        lost = []
        for i in (0, 1):
            lost += [(i, n) for n in range(self.base[i] + 1, self.sent[1 - i]) if n not in self.got[i]]
        return lost


def tcp(src_ns, dst_ns, address, size, port=7200, timeout=60):
    """SIZE bytes through one connection; the receiver's digest must be the sender's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with net.in_ns(dst_ns):
        listener = socket.socket(family, socket.SOCK_STREAM)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1)
        listener.settimeout(timeout)
        result = {}

        def receive():
            digest, n = hashlib.sha256(), 0
            conn, _ = listener.accept()
            conn.settimeout(timeout)
            with conn:
                while part := conn.recv(1 << 18):
                    digest.update(part)
                    n += len(part)
            result["got"] = (n, digest.hexdigest())

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        with net.in_ns(src_ns):
            s = socket.socket(family, socket.SOCK_STREAM)
        with s:
            s.settimeout(timeout)
            s.connect((address, port))
            digest, left = hashlib.sha256(), size
            while left > 0:
                part = os.urandom(min(left, 1 << 18))
                digest.update(part)
                s.sendall(part)
                left -= len(part)
        thread.join(timeout)
        if result.get("got") != (size, digest.hexdigest()):
            raise AssertionError(f"sent {size} bytes, received {result.get('got', ('nothing',))[0]}")
