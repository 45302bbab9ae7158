#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is left after a storm? Twenty users with a machine each, all of the same addresses, connect and
disconnect ten times as fast as they can, some of them without a word. Afterwards each machine is where
its policy says, nothing is left over, and nobody has ever had a frame of another's."""

import concurrent.futures
import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, same, say  # noqa: E402
from sally.machines import MachineLab, consistent  # noqa: E402
from sally.sniff import Sniffers  # noqa: E402

USERS, ROUNDS = 20, 10
WEB = "10.50.0.101"
# How it is left, and where that ends.
LADDERS = (("pause", "paused"), ("save", "saved"), ("stop", "off"), ("pause 1s then save", "saved"),
           ("pause 1s then stop", "off"))


class Member:
    """A user with one device, one machine, and an ear on the segment that is always there."""

    def __init__(self, lab, n):
        self.lab, self.n, self.name = lab, n, f"u{n:02}"
        self.random = random.Random(n)
        self.word = f"<of-{self.name}-".encode()  # in all that its device says to everybody
        self.page = f"page-of-{self.name}"
        ladder, self.end = LADDERS[n % len(LADDERS)]
        # Where nobody is there for longer than the grace, one of four is woken by traffic alone.
        start = "traffic" if n % 4 == 3 else "connect"
        lab.user(self.name, "10.50.0.10/24")
        self.client = lab.client(self.name, self.name, "02:00:00:00:00:0a", farewell=n % 3 != 2)
        self.machine = lab.machine(self.name, "web", WEB + "/24", page=self.page,
                                   add=("--start", start, "--stop", ladder, "--grace", f"{n % 2}s"))
        self.ear = lab.workload(self.name, "ear", "52:54:00:00:00:0e", "10.50.0.102/24")
        # A device that outlives its sessions, so that it can be listened to all the time.
        net.ip("tuntap", "add", "dev", self.client.dev, "mode", "tap", ns=self.client.ns)
        self.pages, self.wrong = 0, []

    def say_hello(self):
        tok = frames.token(f"of-{self.name}")
        net.inject(self.client.ns, self.client.dev, frames.udp4(self.client.mac, frames.BROADCAST, tok,
                                                                dip="255.255.255.255"))

    def ask(self, timeout):
        page = self.machine.fetch(self.client, timeout)
        if page is not None:
            self.pages += 1
            if page != self.page:
                self.wrong.append(page)
        return page

    def come_and_go(self, i):
        self.client.connect(120)
        self.say_hello()
        self.ask(self.random.uniform(0.05, 1.5))  # it stays until it has its page, or for so long
        if (i + self.n) % 3 == 0:
            self.client.kill9()
        else:
            self.client.stop()

    def rounds(self):
        for i in range(ROUNDS):
            self.come_and_go(i)


def descriptors(lab):
    return len(os.listdir(f"/proc/{lab.daemon.process.pid}/fd"))


def inventory(lab):
    """What the daemon and the kernel have while nobody is there and every machine is off."""
    return {"domains": sorted(lab.libvirt.domains()), "taps": lab.taps(), "processes": lab.qemus(),
            "ports": sorted(p["name"] for p in lab.ask("counters")["items"]),
            "devices": sorted(os.listdir("/sys/class/net")), "sessions": lab.sessions()}


def whose(members, sniffers):
    """Each heard all the time what was theirs, and never anything else."""
    for m in members:
        words = sniffers.who(m.word)
        same(words, {m.name + "/ear"}, f"who heard what {m.name}'s device said to all")
        pages = sniffers.who(m.page.encode())
        check(pages <= {m.name}, f"the page of {m.name} was sent to {pages - {m.name}}")
        same(m.wrong, [], f"pages that {m.name} should not have had")


def everybody(members, what, timeout=300):
    """WHAT of each at once; the first failure is told."""
    with concurrent.futures.ThreadPoolExecutor(len(members)) as pool:
        for job in [pool.submit(what, m) for m in members]:
            job.result(timeout)


def blow(lab, members):
    with case(f"{USERS * ROUNDS} connects of {USERS} users, as fast as they can: each of them succeeds"):
        began = time.monotonic()
        everybody(members, Member.rounds)
        took = time.monotonic() - began
        say(f"{USERS * ROUNDS} in {took:.1f} s: {60 * USERS * ROUNDS / took:.0f} a minute; "
            f"{sum(m.pages for m in members)} pages; load {os.getloadavg()[0]:.1f}")
        lab.wait_gone(lambda s: True, "all sessions to end", 60)


def calm(lab, members):
    with case("each machine ends where its policy says"):
        for m in members:
            m.machine.wait(m.end, *(["off"] if m.machine.show()["start"] == "traffic" else []), timeout=180)
        same([m["name"] for m in lab.ask("machine-list")["items"] if m.get("reason")], [], "machines with a trouble")
    with case("each that is up has one process and one tap, and there is nothing else"):
        consistent(lab, "after the storm")


def again(lab, members):
    def come(m):
        m.client.connect(120)
        m.say_hello()

    with case("everybody comes at once, and has the own page"):
        everybody(members, come)
        everybody(members, lambda m: net.wait_for(lambda: m.ask(1), 240, lambda: f"{m.machine.show()}"))
        same(len(lab.sessions()), USERS, "sessions")
        consistent(lab, "with everybody there")


def clear(lab, members, before, fds):
    def leave(m):
        m.client.stop()
        m.machine.stop("--now")

    with case("they leave, their machines are turned off: nothing is left that was not there before"):
        everybody(members, leave)
        lab.wait_gone(lambda s: True, "all sessions to end", 60)
        net.wait_for(lambda: inventory(lab) == before, 30, lambda: f"{before}; there is {inventory(lab)}", 0.2)
        net.wait_for(lambda: descriptors(lab) <= fds, 30, lambda: f"{fds} descriptors; there are {descriptors(lab)}")
        odd = {k: v for k, v in lab.reasons().items() if v and k in ("tag-failed", "clone-failed", "port-unknown")}
        check(not odd, f"drops that nothing explains: {odd}")


def storm(mode):
    lab = MachineLab(mode)
    lab.up()
    lab.ready()
    members = [Member(lab, n) for n in range(USERS)]
    before, fds = inventory(lab), descriptors(lab)
    ends = {**lab.clients, **lab.workloads}
    with Sniffers(ends) as s:
        blow(lab, members)
        calm(lab, members)
        again(lab, members)
        with case("nobody has ever had a frame of another user's"):
            whose(members, s)
    clear(lab, members, before, fds)
    lab.close()


main((storm, "vlan"))
