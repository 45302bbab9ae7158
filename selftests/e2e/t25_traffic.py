#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does what people do over a network work through a machine's firewall, and nothing that no rule allows: web pages, a
shell, questions and answers, ping, traceroute, iperf3; while policies are replaced, without the daemon, beside
a flood? A real guest, an OpenVPN client and a namespace in its segment, and another user who floods his own."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, probe, same, say  # noqa: E402
from sally.control import Control  # noqa: E402
from sally.machines import MachineLab  # noqa: E402
from sally.traffic import Beat, Beside, Flood, Mirror, go_first  # noqa: E402

ALICE, WEB, BOX, BEHIND = "10.50.0.10", "10.50.0.101", "10.50.0.102", "10.77.0.1"
BOB_WEB, BOB_BOX, BOB_MAC = "10.50.1.101", "10.50.1.102", "02:01:00:00:00:03"
MTU = 1500
STALL = 0.050
REPLACING = 9  # seconds of it, and as many without
TRIES = 3
RATE = "100M"  # of iperf3 beside something that is measured: a guest without KVM shall not be what is measured
RULES = {
    "http": f"accept in tcp from {ALICE} dport 80",
    "shell": f"accept in tcp from {ALICE} dport 22",
    "echo": f"accept in tcp from {BOX} dport 7",
    "iperf": f"accept in tcp from {BOX} dport 5201",
    "udp": f"accept in udp from {BOX} dport 5201",
    "ping": "accept in icmp type echo-request",
    "trace": f"accept in udp from {BOX} dport 33434-33534",
    "name": f"accept out udp to {BOX} dport 53",
    "out": f"accept out icmp to {ALICE} type echo-request",
    "short": f"accept in udp from {ALICE} dport 9",
}
SHUT = "default in drop\ndefault out drop\n"
STRICT = ("flow-window", "flow-invalid", "fragment", "policy-broken")


class Place:
    def __init__(self):
        self.lab = lab = MachineLab(daemon={"firewall": {"timeout-udp": "2s", "flows": "16384"}})
        lab.up()
        lab.user("alice", ALICE + "/24")
        lab.user("bob", "10.50.1.10/24")
        self.alice = lab.client("alice", mac="02:00:00:00:00:01").connect()
        self.box = lab.workload("alice", "box", "02:01:00:00:00:01", BOX + "/24")
        self.bob = lab.workload("bob", "box", BOB_MAC, BOB_BOX + "/24")
        lab.ready()
        self.web = self._machine("alice", WEB, "sp.shell sp.router")
        self.bobs = self._machine("bob", BOB_WEB, "")
        self.set(*RULES)
        self.web.start(wait=False)
        self.bobs.start(wait=False)
        # What lies behind the guest is one hop further, whether it is there or not.
        net.ip("route", "add", BEHIND, "via", WEB, ns=self.box.ns)

    def _machine(self, user, address, words):
        return self.lab.machine(user, "web", address + "/24", words=words + f" sp.gw={address[:-3]}10",
                                initrd="initrd-iperf3", add=("--start", "manual", "--stop", "keep"))

    def policy(self, *names):
        return SHUT + "".join(RULES[n] + "\n" for n in names)

    def put(self, text, *options):
        with open("/run/web.policy", "w") as f:
            f.write(text)
        self.lab.sallyport("policy", "set", "alice", "web", "/run/web.policy", *options)

    def set(self, *names):
        self.put(self.policy(*names))

    @contextlib.contextmanager
    def without(self, *names):
        """Its rules but these, and all of them again afterwards."""
        self.set(*(n for n in RULES if n not in names))
        try:
            yield
        finally:
            self.set(*RULES)

    @contextlib.contextmanager
    def refused(self, *names, by=1, reason="policy"):
        """Without these rules what is done is counted as refused."""
        with self.without(*names):
            before = self.lab.reasons()
            yield
            self.lab.moved(reason, before, by)

    @contextlib.contextmanager
    def nothing_invalid(self):
        before = self.lab.reasons()
        yield
        after = self.lab.reasons()
        moved = {k: after[k] - before.get(k, 0) for k in STRICT if after.get(k, 0) != before.get(k, 0)}
        same(moved, {}, "frames dropped as none of their connection")

    def connect(self, port, end=None, timeout=1.0):
        """A connection from the client (or END) to the guest; None: nobody answers."""
        with net.in_ns((end or self.alice).ns):
            s = socket.socket()
        s.settimeout(timeout)
        try:
            s.connect((WEB, port))
            return s
        except OSError:
            s.close()
            return None

    def opens(self, port, end=None):
        s = self.connect(port, end)
        if s:
            s.close()
        return s is not None


class Shell:
    """A session as ssh has it: short lines both ways, and long times in which nobody says anything."""

    def __init__(self, place, patience=20):
        self.s = place.connect(22, timeout=patience)
        check(self.s, "the shell's port does not answer")
        self.text, self.n = b"", 0

    def say(self, line):
        self.s.sendall(line.encode() + b"\n")

    def hear(self, mark, patience=20):
        """What came before MARK, which is taken away with it."""
        self.s.settimeout(patience)
        while mark not in self.text:
            data = self.s.recv(4096)
            check(data, f"the session has ended, after {self.text!r}")
            self.text += data
        said, self.text = self.text.split(mark, 1)
        return said.decode()

    def run(self, line, patience=20):
        self.n += 1
        self.say(f"{line} 2>&1; echo do''ne-{self.n}-")
        return self.hear(f"done-{self.n}-\n".encode(), patience)

    def is_alive(self, patience=20):
        try:
            return self.run("echo it-is", patience) == "it-is\n"
        except (OSError, AssertionError):
            return False

    def close(self):
        """At once: nothing of it is sent again later, when it would be counted as invalid."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()


def let_pass(seconds):
    """Time is what is tested: nothing would tell that it has passed and that nothing happened."""
    time.sleep(seconds)


# --- what people do ---

def pages(p):
    with case("HTTP: 50 short connections, each a page and each a flow; not one is refused"):
        p.web.wait_page(p.alice)
        rule = "accept in tcp from 10.50.0.10 dport 80"
        with p.nothing_invalid():
            before = counted(p, rule)
            for i in range(50):
                same(p.web.fetch(p.alice, timeout=10), "alice-web", f"page {i}")
            check(counted(p, rule) - before >= 50, "fewer connections were judged than were made")
    with case("HTTP: without its rule there is no page"):
        with p.refused("http"):
            same(p.web.fetch(p.alice, timeout=1), None, "the page")
        same(p.web.fetch(p.alice, timeout=10), "alice-web", "the page afterwards")


def counted(p, rule):
    """Packets that RULE has judged."""
    return {r["says"]: r["packets"] for r in p.lab.json("policy", "show", "alice", "web")["rules"]}[rule]


def session(p):
    s = Shell(p)
    with case("a session: lines both ways over seconds, silence between them, and words that nobody asked for"):
        with p.nothing_invalid():
            began = time.monotonic()
            for i in range(12):
                same(s.run(f"echo line $(({i} * 2))"), f"line {i * 2}\n", "the answer")
                let_pass(0.02 * i)
            s.say("(sleep 1; echo un''asked) &")
            s.hear(b"unasked\n")
            check(time.monotonic() - began > 2, "it was short")
    with case("a session ends with its rule, and another does not begin"):
        with p.refused("shell"):
            check(not s.is_alive(1), "it goes on")
            check(not p.opens(22), "another began")
        s.close()


def questions(p):
    with case("UDP: datagrams there and back, none is lost"):
        for way in ((), ("-R",)):
            r = iperf(p, "-u", "-b", "2M", "-l", "1000", "-t", "1", *way)["end"]["sum"]
            check(r["packets"] > 100 and r["lost_packets"] == 0, f"{way}: {r['packets']}, lost {r['lost_packets']}")
        with p.refused("udp"):
            before = p.lab.reasons()
            asking = stream(p, "-u", "-t", "1")  # it waits 30 s for the answer to its first datagram
            p.lab.moved("policy", before, timeout=20)
            check(not asking.ended(), "a datagram was answered")
            asking.kill()
    server = net.start("dnsmasq", "-k", "-C", "/dev/null", "-R", "-h", "-I", "lo", "-a", BOX, "--pid-file=",
                       "--user=root", "--address=/name.test/192.0.2.7", ns=p.box.ns)
    s = Shell(p)
    with case("UDP: the guest's own question is answered; without the rule it gets out no more"):
        net.wait_for(lambda: "192.0.2.7" in s.run(f"nslookup -type=a name.test {BOX}"), 20, "the name's address", 0.1)
        with p.refused("name"):
            check("192.0.2.7" not in s.run(f"timeout 1 nslookup -type=a name.test {BOX}"), "it was answered")
    net.stop(server)
    s.close()


def pings(p):
    s = Shell(p)
    with case("ping: to the guest and from it"):
        for end in (p.alice, p.box):
            same(probe.ping(end.ns, WEB, "-i", "0.05"), (3, 3), f"from {end.name}")
        check(" 3 packets received" in s.run(f"ping -c 3 -W 5 {ALICE}"), "from the guest")
        check(" 0 packets received" in s.run(f"ping -c 1 -W 1 {BOX}"), "no rule lets that out")
    with case("ping: without its rule nobody answers"):
        with p.refused("ping", by=2):
            same(probe.ping(p.alice.ns, WEB, "-i", "0.1", count=2, wait=1), (2, 0), "from the client")
        with p.refused("out"):
            check(" 0 packets received" in s.run(f"ping -c 1 -W 1 {ALICE}"), "from the guest")
    s.close()


def route(p, where, *how):
    """Who answered at each hop, as traceroute has it; None: nobody."""
    text = net.run("traceroute", "-n", "-q", "1", "-w", "2", "-m", "2", *how, where, ns=p.box.ns).stdout
    found = re.findall(r"^ *\d+ +(?:([0-9.]+) |\*)", text, re.M)
    return [x or None for x in found]


def traces(p):
    ways = {"UDP": (), "ICMP": ("-I",)}
    for name, how in ways.items():
        with case(f"traceroute by {name}: to the guest and beyond: errors pass, related to what they are about"):
            with p.nothing_invalid():
                same(route(p, WEB, *how), [WEB], "to the guest")
                same(route(p, BEHIND, "-m", "1", *how), [WEB], "the first hop to what is behind it")
        with case(f"traceroute by {name}: without its rule nobody answers"):
            with p.refused("trace" if name == "UDP" else "ping", by=2):
                same(route(p, WEB, *how), [None] * 2, "to the guest")
    with case("errors that are related pass unless a rule says otherwise"):
        p.put(p.policy(*RULES) + "drop out icmp state related\n")
        before = p.lab.reasons()
        same(route(p, WEB), [None] * 2, "to the guest")
        p.lab.moved("policy-drop", before, 2)
        p.set(*RULES)


# --- iperf3 ---

def iperf_args(*args):
    return ("iperf3", "-J", "-c", WEB, "--connect-timeout", "10000", *args)


def outcome(text):
    r = json.loads(text)
    check("error" not in r, f"iperf3: {r.get('error')}")
    return r


def iperf(p, *args):
    """What it measured. Between two of them the server listens anew: it refuses meanwhile, and resets who was waiting
    at the listener of before."""
    def once():
        text = net.run(*iperf_args(*args), ns=p.box.ns, check=False, timeout=120).stdout
        busy = "Connection refused" in text or "receive control message: Connection reset" in text
        return None if busy else text
    return outcome(net.wait_for(once, 20, "the server of iperf3 to listen", 0.1))


def stream(p, *args):
    """The same, beside what follows: finish() has what it measured."""
    return Beside(lambda stop: iperf(p, *args))


def endless(p):
    """iperf3 that goes on until it is interrupted, and has begun."""
    def begun():
        process = net.start(*iperf_args("-b", RATE, "-t", "600"), ns=p.box.ns, stdout=subprocess.PIPE, text=True)
        net.wait_for(lambda: process.poll() is not None or established() >= 2, 20, "iperf3 to begin", 0.1)
        return process if process.poll() is None else None

    def established():  # one for what is said, one for the bytes
        return p.lab.json("flow", "count", "--to-port", "5201", "-s", "established")["flows"]

    return net.wait_for(begun, 30, "iperf3 to begin", 0.1)


def interrupted(process):
    """It had something to do in each second."""
    process.send_signal(signal.SIGINT)
    r = json.loads(process.communicate(timeout=60)[0])
    same(r.get("error"), "interrupt - the client has terminated", "how iperf3 ended")
    moved = [i["sum"]["bytes"] for i in r["intervals"][:-1]]
    check(len(moved) > 1 and all(moved), f"bytes in each second: {moved}")


def arrived(r):
    """Every byte: what is missing was on its way when the sender said that it is done, and never read."""
    sent, got = r["end"]["sum_sent"]["bytes"], r["end"]["sum_received"]["bytes"]
    check(0 < got <= sent and sent - got <= 8 << 20, f"sent {sent}, received {got}")
    return r


def device(p, counter):
    with open(f"/sys/class/net/{p.web.show()['device']}/statistics/{counter}") as f:
        return int(f.read())


def fast(p):
    for way, options, to in (("to the guest", (), "tx"), ("from the guest", ("-R",), "rx")):
        with case(f"iperf3 {way}: nothing is lost, in frames that are larger than the MTU"):
            with p.nothing_invalid():
                before = device(p, f"{to}_bytes"), device(p, f"{to}_packets")
                r = arrived(iperf(p, "-t", "3", *options))
                size = (device(p, f"{to}_bytes") - before[0]) / (device(p, f"{to}_packets") - before[1])
            say(f"{r['end']['sum_received']['bits_per_second'] / 1e6:.0f} Mbit/s in frames of {size:.0f} bytes")
            check(size > MTU + 14, f"{size:.0f} bytes in a frame")
    with case("each byte that goes there comes back as it was"):
        with p.nothing_invalid():
            m = Mirror(p.box.ns, WEB, rate=1 << 30)
            r = iperf(p, "-t", "1", "--bidir")
            m = m.finish()
        moved = [r["end"][k]["bytes"] for k in ("sum_received", "sum_received_bidir_reverse")]
        check(all(moved), f"bytes there, and back: {moved}")
        check(m["whole"] and m["sent"] > 1 << 20, f"{m}")
    with case("iperf3: without its rule it does not begin"):
        with p.refused("iperf"):
            check(not p.opens(5201, p.box), "it answers")


# --- policies are replaced ---

def thousand(p, first):
    """1,000 rules; those that matter are the last, of which none is where the other policy has it."""
    ours = list(RULES.values())
    if first:
        ours.reverse()
    rest = [f"accept in tcp from 10.{i // 250 + 60 + 10 * first}.{i % 250}.0/24 dport {i + 1}"
            for i in range(1000 - len(ours))]
    return SHUT + "\n".join(rest + ours) + "\n"


def beside(p, seconds, what=lambda until: None):
    """iperf3 both ways, bytes that must come back, echo requests that are each judged; while WHAT(until) is done."""
    both = stream(p, "-b", RATE, "--bidir", "-t", str(seconds))
    mirror = Mirror(p.box.ns, WEB)
    beat = Beat(p.box.ns, WEB, 0.005)
    try:
        done = what(time.monotonic() + seconds - 1)
    finally:
        r, beat, mirror = both.finish(120), beat.finish(), mirror.finish()
    arrived(r)
    check(mirror["whole"], f"the mirror: {mirror}")
    return beat, done


def replace(p, texts):
    def go(until):
        n = 0
        with Control(p.lab.socket, 30) as c:
            while n < 1000 and time.monotonic() < until:
                r = c.ask("policy-set", user="alice", name="web", text=texts[n % 2])
                same((r["in_force"], r["rules"]), (True, 1000), "in_force, rules")
                n += 1
        p.put(texts[0])
        return n + 1
    return go


def once_replaced(p, texts):
    """How much longer the slowest answer took while policies were replaced."""
    before = p.lab.reasons()
    quiet, _ = beside(p, REPLACING)
    busy, n = beside(p, REPLACING, replace(p, texts))
    say(f"{n} replacements; slowest of {busy['sent']} answers {busy['slowest'] * 1e3:.1f} ms, "
        f"of {quiet['sent']} without them {quiet['slowest'] * 1e3:.1f} ms")
    same((busy["sent"] - busy["got"], quiet["sent"] - quiet["got"]), (0, 0), "echo requests that nobody answered")
    same(p.lab.reasons().get("policy", 0) - before.get("policy", 0), 0, "frames that were refused")
    check(n >= 5, f"only {n} replacements")
    return busy["slowest"] - quiet["slowest"]


def replaced(p):
    """The rest of a thousand times: selftests/prog/test_policy_live.c."""
    texts = thousand(p, 0), thousand(p, 1)
    s = Shell(p)
    # With one or two CPUs a guest without KVM waits for one: that is the scheduler's stall, not ours. What
    # replacing does to a frame it does each time; what the scheduler does is not the same twice.
    go_first(p.lab.libvirt.qemu_pid(p.web.domain))
    with case("policies of 1,000 rules replace each other under iperf3: no stall, no connection and no byte lost"):
        p.put(texts[0])
        with p.nothing_invalid():
            check(any(once_replaced(p, texts) <= STALL for _ in range(TRIES)), "they made it stall, each time")
        check(s.is_alive(), "the session is dead")
    p.set(*RULES)
    s.close()


# --- without the daemon ---

def tables():
    """Dumps of the flows' tables of IPv4 and IPv6, slot by slot: path -> keys."""
    where = next(d for d, _, _ in os.walk("/sys/fs/bpf") if d.endswith("/flows"))
    return {f"{where}/{n}": json.loads(net.run("bpftool", "-j", "map", "dump", "pinned", f"{where}/{n}").stdout)
            for n in sorted(os.listdir(where))}


def has_flow(port):
    """Is there an entry whose key has PORT and the guest's port 9 in it?"""
    ports = {port.to_bytes(2, "big"), (9).to_bytes(2, "big")}
    for entries in tables().values():
        for e in entries:
            key = bytes(int(x, 16) for x in e["key"])
            if len(key) == 16 and {key[8:10], key[10:12]} == ports:
                return True
    return False


def dead(p):
    lab = p.lab
    s = Shell(p)
    there = endless(p)
    mirror = Mirror(p.box.ns, WEB)
    with net.in_ns(p.alice.ns):
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.connect((WEB, 9))
    with case("the daemon killed: a datagram's flow is in the table, and gone when its time is over"):
        datagram.send(b"x")
        net.wait_for(lambda: has_flow(datagram.getsockname()[1]), 5, "the flow")
        lab.daemon.kill9()
        net.wait_for(lambda: not has_flow(datagram.getsockname()[1]), 20, "the flow to be gone", 0.1)
    with case("the daemon killed: what goes on goes on, what is new is judged"):
        check(s.is_alive(), "the session is dead")
        for _ in range(10):
            same(p.web.fetch(p.alice, timeout=10), "alice-web", "the page")
        check(not p.opens(7) and not p.opens(80, p.box), "what no rule allows was let in")
        same(probe.ping(p.box.ns, WEB, "-i", "0.05"), (3, 3), "pings")
        check(there.poll() is None and not mirror.ended(), "iperf3 or the mirror has ended")
    with case("the next daemon: everything goes on"):
        lab.daemon.start()
        check(s.is_alive(), "the session is dead")
        m = mirror.finish()
        check(m["whole"] and m["sent"] > 1 << 20, f"{m}")
        interrupted(there)
        same(p.web.fetch(p.alice, timeout=10), "alice-web", "the page")
        check(not p.opens(7), "what no rule allows was let in")
    net.stop(there)
    datagram.close()
    s.close()


# --- a flood ---

def flood(p):
    lab = p.lab
    p.bobs.wait("running")
    with case("a flood of flows in one segment: in another every connection is set up; the daemon's memory stays"):
        def count(user):
            return lab.json("flow", "count", "--user", user)

        before, rss = (count("alice"), count("bob")), lab.daemon.rss_kib()
        f = Flood(p.bob.ns, p.bob.dev, frames.udp4(BOB_MAC, p.bobs.show()["mac"], b"flood", BOB_BOX, BOB_WEB))
        tried, until = 0, time.monotonic() + 3
        while tried < 50 or time.monotonic() < until:
            same(p.web.fetch(p.alice, timeout=10), "alice-web", f"page {tried}")
            tried += 1
        check(not f.ended(), "the flood has ended")
        sent, rss = f.finish(), lab.daemon.rss_kib() - rss
        after = count("alice"), count("bob")
        refused = [{k: b[k] - a[k] for k in ("refused_full", "refused_rate")} for a, b in zip(before, after)]
        say(f"{sent} datagrams, of which {sum(refused[1].values())} were refused; {tried} pages; "
            f"the daemon's memory grew by {rss} KiB")
        same(sum(refused[0].values()), 0, "flows of the other that were refused")
        check(sent > 20000 and sum(refused[1].values()) > sent / 2, "it was no flood")
        check(rss < 2048, f"the daemon's memory grew by {rss} KiB")


def traffic():
    p = Place()
    pages(p)
    session(p)
    questions(p)
    pings(p)
    traces(p)
    fast(p)
    replaced(p)
    dead(p)
    flood(p)
    p.lab.close()


main((traffic,))
