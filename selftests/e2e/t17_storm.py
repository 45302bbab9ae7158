#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is left after a storm? Twenty users, all of the same addresses and eight of them with a machine,
connect and disconnect ten times as fast as they can, some of them without a word. Afterwards each
machine is where its policy says, nothing is left over, and nobody has ever had a frame of another's."""

import collections
import concurrent.futures
import contextlib
import os
import random
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, same, say  # noqa: E402
from sally.machines import MachineLab, consistent  # noqa: E402
from sally.sniff import Sniffers  # noqa: E402

USERS, MACHINES, ROUNDS = 20, 8, 10
WEB = "10.50.0.101"
# How it is left, and where that ends.
LADDERS = (("pause", "paused"), ("save", "saved"), ("pause 1s then save", "saved"), ("pause 1s then stop", "off"))


class Member:
    """A user with one device, perhaps a machine, and an ear on the segment that is always there."""

    def __init__(self, lab, n):
        self.lab, self.n, self.name = lab, n, f"u{n:02}"
        self.random = random.Random(n)
        self.word = f"<of-{self.name}-".encode()  # in all that its device says to everybody
        self.page = f"page-of-{self.name}"
        self.machine = None
        lab.user(self.name, "10.50.0.10/24")
        self.client = lab.client(self.name, self.name, "02:00:00:00:00:0a", farewell=n % 3 != 2)
        if n < MACHINES:
            ladder, self.end = LADDERS[n % len(LADDERS)]
            self.machine = lab.machine(self.name, "web", WEB + "/24", page=self.page,
                                       add=("--stop", ladder, "--grace", f"{n // len(LADDERS) % 2}s"))
        self.ear = lab.workload(self.name, "ear", "52:54:00:00:00:0e", "10.50.0.102/24")
        # A device that outlives its sessions, so that it can be listened to all the time.
        net.ip("tuntap", "add", "dev", self.client.dev, "mode", "tap", ns=self.client.ns)
        self.pages, self.wrong = 0, []

    def say_hello(self):
        tok = frames.token(f"of-{self.name}")
        net.inject(self.client.ns, self.client.dev, frames.udp4(self.client.mac, frames.BROADCAST, tok,
                                                                dip="255.255.255.255"))

    def ask(self, timeout):
        """The own page, or None. One of another's is noted, and is none that was waited for."""
        page = self.machine.fetch(self.client, timeout)
        if page is not None:
            self.pages += 1
            if page != self.page:
                self.wrong.append(page)
        return page == self.page

    def come(self):
        self.client.connect(120)
        self.say_hello()

    def settle(self):
        """Until it has all that is its own."""
        self.come()
        if self.machine:
            net.wait_for(lambda: self.ask(1), 300, lambda: f"the page of {self.machine.show()}")

    def leave(self):
        self.client.stop()
        if self.machine:
            self.machine.stop("--now")

    def come_and_go(self, i):
        self.come()
        if self.machine:
            self.ask(self.random.uniform(0.05, 1.5))  # it stays until it has its page, or for so long
        if (i + self.n) % 3 == 0:
            self.client.kill9()
        else:
            self.client.stop()

    def rounds(self):
        for i in range(ROUNDS):
            self.come_and_go(i)


def descriptors(lab):
    """How many the daemon has, by what they are."""
    there, kinds = f"/proc/{lab.daemon.process.pid}/fd", []
    for fd in os.listdir(there):
        with contextlib.suppress(FileNotFoundError):
            kinds.append(re.sub(r":\[\d+\]$", "", os.readlink(f"{there}/{fd}")))
    return collections.Counter(kinds)


def inventory(lab):
    """What the daemon and the kernel have while nobody is there and every machine is off."""
    return {"domains": sorted(lab.libvirt.domains()), "taps": lab.taps(), "processes": lab.qemus(),
            "ports": ports(lab),
            "devices": sorted(os.listdir("/sys/class/net")), "sessions": lab.sessions()}


def whose(members, sniffers):
    """Each heard all the time what was theirs, and never anything else."""
    for m in members:
        words = sniffers.who(m.word)
        same(words, {m.name + "/ear"}, f"who heard what {m.name}'s device said to all")
        pages = sniffers.who(m.page.encode())
        check(pages == ({m.name} if m.machine else set()), f"the page of {m.name} was sent to {pages}")
        same(m.wrong, [], f"pages that {m.name} should not have had")


def everybody(members, what, timeout=400):
    """WHAT of each at once; the first failure is told."""
    with concurrent.futures.ThreadPoolExecutor(len(members)) as pool:
        for job in [pool.submit(what, m) for m in members]:
            job.result(timeout)


def ports(lab):
    return sorted(p["name"] for p in lab.ask("counters")["items"])


def blow(lab, members):
    had = sum(m.pages for m in members)
    with case(f"{USERS * ROUNDS} connects of {USERS} users, as fast as they can: each of them succeeds"):
        began = time.monotonic()
        everybody(members, Member.rounds)
        took = time.monotonic() - began
        had = sum(m.pages for m in members) - had
        say(f"{USERS * ROUNDS} in {took:.1f} s: {60 * USERS * ROUNDS / took:.0f} a minute; {had} pages; "
            f"load {os.getloadavg()[0]:.1f}")
        check(had > MACHINES, f"{had} pages: that was no traffic")
        lab.wait_gone(lambda s: True, "all sessions to end", 60)


def calm(lab, members):
    with case("each machine ends where its policy says"):
        for m in members:
            if m.machine:
                m.machine.wait(m.end, timeout=120)
        same([m["name"] for m in lab.ask("machine-list")["items"] if m.get("reason")], [], "machines with a trouble")
    with case("each that is up has one process and one tap, and there is nothing else"):
        consistent(lab, "after the storm")


def clear(lab, members, before, fds):
    with case("they leave, their machines are turned off: nothing is left that was not there before"):
        everybody(members, Member.leave)
        lab.wait_gone(lambda s: True, "all sessions to end", 60)
        net.wait_for(lambda: inventory(lab) == before, 30, lambda: f"{before}; there is {inventory(lab)}", 0.2)
        fds["socket"] += 1  # OpenVPN's plugin may keep its connection
        net.wait_for(lambda: not descriptors(lab) - fds, 30,
                     lambda: f"no more descriptors than before; there are {descriptors(lab) - fds} more")
        # A copy may be refused by the kernel: by a tap whose guest has just gone.
        odd = {k: v for k, v in lab.reasons().items() if v and k in ("tag-failed", "port-unknown")}
        check(not odd, f"drops that nothing explains: {odd}")


def storm(mode):
    lab = MachineLab(mode)
    lab.up()
    lab.ready()
    members = [Member(lab, n) for n in range(USERS)]
    # A machine is on the segment until its user has been away for the grace, from the beginning.
    net.wait_for(lambda: not [p for p in ports(lab) if p.endswith("/web")], 20, lambda: f"no port: {ports(lab)}")
    before, fds = inventory(lab), descriptors(lab)
    with Sniffers({**lab.clients, **lab.workloads}) as s:
        with case("everybody comes at once, and has the own page"):
            everybody(members, Member.settle)
            same(len(lab.sessions()), USERS, "sessions")
        everybody(members, lambda m: m.client.stop())
        blow(lab, members)
        calm(lab, members)
        with case("everybody comes once more, and has the own page"):
            everybody(members, Member.settle)
            same(len(lab.sessions()), USERS, "sessions")
            consistent(lab, "with everybody there")
        with case("nobody has ever had a frame of another user's"):
            whose(members, s)
    clear(lab, members, before, fds)
    lab.close()


main((storm, "vlan"))
