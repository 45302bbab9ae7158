# SPDX-License-Identifier: GPL-2.0-or-later
"""Who received it? A raw socket at every client and workload at once.

"Nobody received it" is believed only after a barrier: a good frame from every segment, sent after
the bad one, that everybody has seen. Frames keep their order on the way, so what was going to
arrive has arrived; and a sniffer that is deaf fails the test instead of passing it.
"""

import errno
import select
import time

from . import frames, net
from .tap import check


PACKET_OUTGOING = 4


class Sniffers:
    def __init__(self, endpoints):
        """ENDPOINTS: name -> something with ns and dev. Where it is the near end of a machine's tap
        (leaving), what leaves by it is what its guest receives."""
        self.leaving = {name for name, e in endpoints.items() if getattr(e, "leaving", False)}
        self.sockets = {net.packet_socket(e.ns, e.dev, leaving=name in self.leaving): name
                        for name, e in endpoints.items()}
        self.seen = {name: [] for name in endpoints}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for s in self.sockets:
            s.close()

    def _take(self, s, name):
        """All that is in the queue of S."""
        while True:
            try:
                data, peer = s.recvfrom(65536)
            except BlockingIOError:
                return
            except OSError as e:
                if e.errno != errno.ENETDOWN:
                    raise
                continue  # a device that has gone down says so once, before what it had received
            if (peer[2] == PACKET_OUTGOING) == (name in self.leaving):
                self.seen[name].append(data)

    def collect(self, timeout=0.0):
        ready, _, _ = select.select(list(self.sockets), [], [], timeout)
        for s in ready:
            self._take(s, self.sockets[s])
        return bool(ready)

    def who(self, token):
        """Names of those that have received a frame with this token."""
        self.collect()
        return {name for name, got in self.seen.items() if any(token in f for f in got)}

    def frames(self, name, token):
        self.collect()
        return [f for f in self.seen[name] if token in f]

    def wait(self, token, want, timeout=5, exactly=True):
        """Until all of WANT have it. EXACTLY: and nobody else does by then."""
        want = set(want)
        deadline = time.monotonic() + timeout
        while True:
            got = self.who(token)
            if got >= want:
                break
            left = deadline - time.monotonic()
            check(left > 0, f"{token!r}: seen by {sorted(got)}, not by {sorted(want - got)}")
            self.collect(min(left, 0.2))
        if exactly:
            check(got == want, f"{token!r}: seen also by {sorted(got - want)}")


def barrier(lab, sniffers, timeout=5):
    """
    A broadcast from one client and one workload of each segment; everybody must see those of
    their segment, and nobody any other.
    """
    sent = []
    for group in lab.segments().values():
        for kind in (lab.clients, lab.workloads):
            sender = next((n for n in group if n in kind), None)
            if sender is None:
                continue
            tok = frames.token("barrier")
            e = kind[sender]
            net.inject(e.ns, e.dev, frames.udp4(e.mac, frames.BROADCAST, tok, dip="255.255.255.255"))
            sent.append((tok, group - {sender}))
    for tok, want in sent:
        sniffers.wait(tok, want, timeout)


def nobody(lab, sniffers, *tokens, but=()):
    """None of TOKENS was received by anybody, or only by those in BUT."""
    barrier(lab, sniffers)
    for tok in tokens:
        got = sniffers.who(tok)
        check(got <= set(but), f"{tok!r} reached {sorted(got - set(but))}")
