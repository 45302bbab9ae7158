#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Is a machine's policy in force before its first frame, replaced in one step, kept over restarts, and does
each command say what is so? A real guest behind it, an OpenVPN client in front."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same  # noqa: E402
from sally.control import Control, Refused  # noqa: E402
from sally.machines import MachineLab  # noqa: E402

USER, WEB, IP = "alice", "web", "10.50.0.101"
DONE, REFUSED, USAGE = 0, 1, 2
SHUT = "default in drop\n"
ECHO = SHUT + "accept in tcp dport 7 comment \"echo\"\n"
BOTH = ECHO + "accept in tcp dport 80\n"


class Place:
    def __init__(self):
        self.default = "/run/default.policy"
        self.write(self.default, "default in drop\naccept in icmp\n")
        self.lab = MachineLab(daemon={"firewall": {"default-policy": self.default},
                                      "dataplane": {"max-rules": "1500"}})
        self.lab.up()
        self.lab.user(USER, "10.50.0.10/24")
        self.alice = self.lab.client(USER, mac="02:00:00:00:00:01")
        self.lab.ready()
        self.web = self.lab.machine(USER, WEB, IP + "/24", add=("--start", "manual"))
        self.file = "/run/web.policy"

    @staticmethod
    def write(path, text):
        with open(path, "w") as f:
            f.write(text)

    def run(self, *args, want=DONE, **kw):
        p = self.lab.sallyport(*args, check=False, **kw)
        check(p.returncode == want, f"sallyport {' '.join(args)}: status {p.returncode}, expected {want}: "
              f"{p.stdout}{p.stderr}")
        return p

    def set(self, text, *options, want=DONE):
        self.write(self.file, text)
        p = self.run("--json", "policy", "set", USER, WEB, self.file, *options, want=want)
        return json.loads(p.stdout) if want == DONE else p

    def show(self):
        return self.lab.json("policy", "show", USER, WEB)

    def connect(self, port, timeout=1.0):
        """A connection from the client to the guest; None: nobody answers."""
        with net.in_ns(self.alice.ns):
            s = socket.socket()
        s.settimeout(timeout)
        try:
            s.connect((IP, port))
            return s
        except OSError:
            s.close()
            return None

    def opens(self, port):
        s = self.connect(port)
        if s:
            s.close()
        return s is not None

    @staticmethod
    def policy_ports():
        """Port numbers that have a policy, as what is pinned says."""
        where = [d for d, _, _ in os.walk("/sys/fs/bpf") if d.endswith("/policies")]
        return sorted(os.listdir(where[0]))


def talks(s):
    """Does the echo come back?"""
    try:
        s.sendall(b"x")
        return s.recv(1) == b"x"
    except OSError:
        return False


def before(p):
    """The machine is off: it has no port."""
    with case("without a policy of its own it has the host's default"):
        shown = p.show()
        same((shown["default"], shown["generation"]), (True, 0), "default, generation")
        same(shown["text"], "default in drop\naccept in icmp\n", "the text")
        same(p.run("policy", "show").stdout, shown["text"], "the host's")
    with case("a policy that is set while it is off is in the store, and in force when it has a port"):
        same(p.set(ECHO)["in_force"], False, "in force")
        shown = p.show()
        same((shown["default"], shown["generation"], shown["text"]), (False, 1, ECHO), "what is shown")
        same(p.run("policy", "show", USER, WEB).stdout, ECHO, "the text, as it was written")
    with case("a mistake is told by file, line and column, and changes nothing"):
        r = p.set("accept inn\n", want=REFUSED)
        check(f"{p.file}:1:8: 'inn': expected in" in r.stderr, r.stderr)
        r = p.set(ECHO + "expect allow in tcp from 192.0.2.1 dport 9\n", want=REFUSED)
        check(f"{p.file}:3: expected allow" in r.stderr, r.stderr)
        same(p.show()["text"], ECHO, "the text")
    with case("who does not know the last change is refused"):
        r = p.set(BOTH, "--generation", "0", want=REFUSED)
        check("somebody has changed the policy meanwhile: its generation is 1" in r.stderr, r.stderr)
        same(p.show()["generation"], 1, "generation")
    with case("a dry run changes nothing"):
        same(p.set(SHUT, "--dry-run")["takes_away"], True, "takes_away")
        same(p.show()["text"], ECHO, "the text")


def thousand(first=1):
    return "".join(f"accept in tcp from 10.{i // 250}.{i % 250}.0/24 dport {i + first} "
                   f"comment \"rule number {i} \u00e4\u20ac \\\"quoted\\\"\"\n" for i in range(1000))


def large(p):
    with case("a policy of 1,000 rules, longer than a message, goes there and back as it was"):
        text = thousand()
        check(len(text.encode()) > 65536, "it is short")
        same(p.set(text)["rules"], 1000, "rules")
        same(p.run("policy", "show", USER, WEB).stdout, text, "the text")
        same(p.set(ECHO)["rules"], 1, "rules")


def programs(p):
    with case("the daemon refuses by itself what the command would not have sent"):
        for args, code in (({"text": "accept inn"}, "EINVAL"), ({}, "EINVAL"), ({"text": "", "default": True}, "EINVAL"),
                           ({"text": "default in drop\nexpect allow in tcp dport 1"}, "EINVAL")):
            try:
                p.lab.ask("policy-set", user=USER, name=WEB, **args)
                check(False, f"{args} was taken")
            except Refused as e:
                same(e.code, code, f"{args}: {e}")
        try:
            p.lab.ask("policy-put", text="accept in")
            check(False, "a piece of nothing was taken")
        except Refused as e:
            same(e.code, "ENOTCONN", str(e))


def pieces(p):
    with case("a text in pieces: no more of it than was said, one at a time, and none of it where the caller goes away"):
        def refused(c, code, op, **args):
            try:
                c.ask(op, **args)
                check(False, f"{op} was taken")
            except Refused as e:
                same(e.code, code, str(e))

        name = {"user": USER, "name": WEB}
        with Control(p.lab.socket) as c:
            c.send("policy-set", **name, bytes=100)
            same(c.ask("policy-put", text="accept in\n")["bytes"], 10, "bytes that are there")
            refused(c, "EBUSY", "policy-set", **name, bytes=5)
            refused(c, "E2BIG", "policy-put", text="#" * 91)
            same(c.ask("policy-put", text="#" * 89)["bytes"], 99, "bytes that are there")
        same(p.show()["text"], ECHO, "the text")
        with Control(p.lab.socket) as c:
            c.send("policy-set", **name, bytes=len(ECHO), dry_run=True)
            same(c.ask("policy-put", text=ECHO[:20])["bytes"], 20, "bytes that are there")
            same(c.ask("policy-put", text=ECHO[20:])["bytes"], len(ECHO), "bytes that are there")
            same(c.receive()["rules"], 1, "rules of the whole")


def force(p):
    lab = p.lab
    with case("in force before its first frame: what it allows passes, all else does not"):
        p.alice.connect()
        p.web.start()
        shown = p.show()
        same((shown["in_force"], shown["default"]), (True, False), "in_force, default")
        net.wait_for(lambda: p.opens(7), 60, lambda: f"port 7 to answer; dropped: {lab.reasons()}", 0.2)
        dropped = lab.reasons()
        check(not p.opens(80), "port 80 answered")
        same(probe.ping(p.alice.ns, IP, wait=1), (3, 0), "pings")
        lab.moved("policy", dropped, 4)
    with case("each rule has counted"):
        rules = {r["says"]: r for r in p.show()["rules"]}
        check(rules["accept in tcp dport 7 comment \"echo\""]["packets"] >= 1, f"{rules}")
        check(rules["default in drop"]["packets"] >= 4, f"{rules}")
        check("default in drop" in p.run("policy", "show", USER, WEB, "--counters").stdout, "the table")
    with case("replaced while it runs: in force when the answer is there"):
        r = p.set(BOTH)
        same((r["in_force"], r["takes_away"], r["strict"]), (True, False, False), "in_force, takes_away, strict")
        check(p.opens(80), "port 80 does not answer")
        rules = {r["says"]: r for r in p.show()["rules"]}
        check(rules["accept in tcp dport 7 comment \"echo\""]["packets"] >= 1, f"it forgot: {rules}")


def logged(p):
    with case("what a rule logs is shown as it happens, with the rule's number; what passes unsaid is not"):
        p.set(SHUT + "accept in tcp dport 80\naccept in tcp dport 7 log\n")
        seen = []
        m = net.start(f"{p.lab.build}/sallyport", "--socket", p.lab.socket, "--json", "monitor",
                      stdout=subprocess.PIPE, text=True)
        try:
            os.set_blocking(m.stdout.fileno(), False)

            def told():
                check(p.opens(80) and p.opens(7), "a port does not answer")
                seen.extend(json.loads(line) for line in m.stdout.readlines())
                return any(e["type"] == "log" for e in seen)

            net.wait_for(told, 20, "an event of the rule", 0.2)
        finally:
            net.stop(m, signal.SIGINT)
        events = [e for e in seen if e["type"] == "log"]
        same({(e["rule"], e["reason"]) for e in events}, {(2, "none")}, "rules and what they came to")
        check(all(bytes.fromhex(e["data"])[36:38] == b"\0\x07" for e in events), f"frames to port 7: {events}")
    p.set(BOTH)


def full(p):
    with case("what cannot be put in force is refused, and the one before stays: in force and in the store"):
        text = ECHO + thousand().split("\n", 1)[1]
        p.set(text)
        generation = p.show()["generation"]
        r = p.set(ECHO + thousand(2000).split("\n", 1)[1], want=REFUSED)
        check("no more counters for rules" in r.stderr and "the policy of before is in force" in r.stderr, r.stderr)
        shown = p.show()
        same((shown["text"], shown["in_force"]), (text, True), "text, in_force")
        check(shown["generation"] > generation, "a generation was given twice")
        check("trouble" not in shown and p.opens(7), f"{shown.get('trouble')}")
        p.set(ECHO)
        check(p.lab.ask("status")["rules"]["used"] < 20, f"{p.lab.ask('status')['rules']}")


def strict(p):
    with case("an accept that is taken away ends the flows that it had let in, and no others"):
        p.set(BOTH)
        echo, page = p.connect(7), p.connect(80)
        check(talks(echo), "no echo")
        r = p.set(ECHO)
        same((r["takes_away"], r["strict"]), (True, True), "takes_away, strict")
        check(r["ended_flows"] >= 1, f"{r}")
        check(talks(echo), "the flow that it allows was ended")
        page.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(OSError):
            check(not page.recv(1), "the flow that it does not allow goes on")
        echo.close()
        page.close()
    with case("--no-strict: what is established goes on, and nothing new is let in"):
        echo = p.connect(7)
        check(talks(echo), "no echo")
        same(p.set(SHUT, "--no-strict")["ended_flows"], 0, "flows ended")
        check(talks(echo), "it was ended")
        check(not p.opens(7), "a new one was let in")
        r = p.set(SHUT, "--strict")
        check(r["ended_flows"] >= 1, f"{r}")
        check(not talks(echo), "it goes on")
        echo.close()


def restart(p):
    lab = p.lab
    with case("the daemon killed: the policy goes on, and the next daemon leaves it as it is"):
        p.set(ECHO)
        check(p.opens(7), "port 7 does not answer")
        n = {r["says"]: r["packets"] for r in p.show()["rules"]}
        lab.daemon.kill9()
        check(p.opens(7) and not p.opens(80), "it is not in force")
        lab.daemon.start()
        shown = p.show()
        same((shown["in_force"], shown["generation"]), (True, shown["generation"]), "in_force")
        again = {r["says"]: r["packets"] for r in shown["rules"]}
        key = "accept in tcp dport 7 comment \"echo\""
        check(again[key] > n[key], f"counters: {n}, then {again}")
        check(p.opens(7) and not p.opens(80), "it is not in force afterwards")


def default(p):
    with case("back to the host's default; a new one of that is in force after a reload"):
        r = json.loads(p.run("--json", "policy", "set", USER, WEB, "--default").stdout)
        same(r["in_force"], True, "in_force")
        same(p.show()["default"], True, "default")
        same(probe.ping(p.alice.ns, IP), (3, 3), "pings")
        check(not p.opens(7), "port 7 answered")
        p.write(p.default, "default in drop\naccept in tcp dport 7\n")
        p.run("reload")
        net.wait_for(lambda: p.opens(7), 10, "the new default", 0.1)
        same(probe.ping(p.alice.ns, IP, wait=1), (3, 0), "pings")
    with case("a default policy with a mistake is refused, and the old one stays"):
        p.write(p.default, "accept everything\n")
        p.run("reload", want=REFUSED)
        check(p.opens(7), "port 7 does not answer")
        p.write(p.default, "default in drop\naccept in tcp dport 7\n")
        p.run("reload")


def edit(p):
    editor = "/run/editor"
    env = {**os.environ, "VISUAL": editor}

    def script(body):
        p.write(editor, "#!/bin/sh\n" + body)
        os.chmod(editor, stat.S_IRWXU)

    p.set(ECHO)
    with case("edit: what comes out of the editor is in force"):
        script("echo 'accept in tcp dport 80' >>\"$1\"\n")
        p.run("policy", "edit", USER, WEB, env=env)
        same(p.show()["text"], ECHO + "accept in tcp dport 80\n", "the text")
    with case("edit: nothing changed is nothing done"):
        generation = p.show()["generation"]
        script("exit 0\n")
        check("not changed" in p.run("policy", "edit", USER, WEB, env=env).stdout, "it does not say so")
        same(p.show()["generation"], generation, "generation")
    with case("edit: a mistake keeps what was written, and says where"):
        script("echo nonsense >>\"$1\"\n")
        r = p.run("policy", "edit", USER, WEB, want=REFUSED, env=env, stdin=-3)
        path = r.stderr.rsplit("what was written is in ", 1)[-1].strip()
        with open(path) as f:
            check(f.read().endswith("nonsense\n"), "what was written")
        os.unlink(path)
    with case("edit: somebody else was faster: nothing of theirs is lost"):
        script(f"{p.lab.build}/sallyport -q --socket {p.lab.socket} policy set {USER} {WEB} {p.file}\n"
               "echo 'accept in udp' >>\"$1\"\n")
        p.write(p.file, BOTH)
        r = p.run("policy", "edit", USER, WEB, want=REFUSED, env=env)
        check("somebody has changed the policy meanwhile" in r.stderr, r.stderr)
        os.unlink(r.stderr.rsplit("what was written is in ", 1)[-1].strip())
        same(p.show()["text"], BOTH, "the text")
    with case("diff: what a file would change, in the one way to write it"):
        p.write(p.file, SHUT + "accept in tcp  dport 80\naccept in udp dport 53")
        r = p.run("policy", "diff", USER, WEB, p.file).stdout
        check("-accept in tcp dport 7 comment \"echo\"\n" in r and "+accept in udp dport 53\n" in r, r)
        check(" accept in tcp dport 80\n" in r and "it takes something away" in r, r)
        d = p.lab.json("policy", "diff", USER, WEB, p.file)
        same((d["same"], d["takes_away"], d["added"]), (False, True, ["accept in udp dport 53"]), "as JSON")


def asleep(p):
    with case("a frame that the policy refuses does not wake a machine that sleeps; one that it allows does"):
        p.set(ECHO)
        p.web.policy(start="traffic", grace="0")
        p.alice.stop()
        p.lab.wait_gone(lambda x: True, "the session to end")
        p.web.stop("--save")
        p.alice.connect()
        check(not p.opens(80), "port 80 answered")
        same(p.web.state(), "saved", "state")
        s = p.connect(7, timeout=30)
        check(s and talks(s), "it was not woken")


def too_many(p):
    with case("a policy that there is no more room for when the domain starts: it is stopped again"):
        shop = p.lab.machine(USER, "shop", "10.50.0.102/24", add=("--start", "manual"))
        p.write(p.file, thousand())
        p.run("policy", "set", USER, "shop", p.file)
        shop.start()
        p.web.stop("--now")
        p.web.wait("off")
        same(p.set(thousand(2000))["in_force"], False, "in_force")
        p.web.start(wait=False)
        net.wait_for(lambda: p.web.state() == "failed" and len(p.lab.qemus()) == len(p.lab.taps()) == 1, 20,
                     lambda: f"nothing of it to be left; {p.web.show()}, {p.lab.qemus()}, {p.lab.taps()}", 0.05)
        shop.stop("--now")
        shop.wait("off")
        p.run("machine", "remove", USER, "shop")
        p.set(BOTH)
        p.web.start()
        p.web.wait_page(p.alice)


def spoil(p):
    p.lab.daemon.kill9()
    with contextlib.closing(sqlite3.connect(p.lab.daemon.store)) as db, db:
        same(db.execute("UPDATE policy SET text = 'nonsense'").rowcount, 1, "rows")


def starts_not(p):
    nothing = ({}, set(), ["0"])
    p.lab.daemon.start()
    p.web.start(wait=False)
    shown = p.web.wait("failed")
    check("its policy is not in force" in shown["reason"], shown["reason"])
    net.wait_for(lambda: (p.lab.qemus(), p.lab.taps(), p.policy_ports()) == nothing, 10,
                 lambda: f"no process, tap or policy; {p.lab.qemus()}, {p.lab.taps()}, {p.policy_ports()}", 0.05)
    same(p.web.state(), "failed", "its state")


def readable(p):
    p.set(BOTH)
    p.web.start()
    p.web.wait_page(p.alice)


def spoilt(p):
    lab = p.lab
    with case("a text in the store that nobody can read: the machine does not start, and no tap is left"):
        p.web.stop("--now")
        p.web.wait("off")
        net.wait_for(lambda: not lab.taps(), 10, "its tap to be gone", 0.05)
        spoil(p)
        starts_not(p)
    with case("and when it can be read, it starts, and is reached as it says"):
        readable(p)
    with case("a guest that runs meanwhile goes on behind the policy that was in force"):
        pid = lab.qemus()
        spoil(p)
        lab.daemon.start()
        p.web.wait("running")
        p.web.wait_page(p.alice)
        same((lab.qemus(), p.web.show()["firewall"]["in_force"]), (pid, False), "process, in_force")
    with case("but the next one does not start, though its tap was there"):
        spoil(p)
        lab.libvirt.virsh("destroy", "alice-web")
        check(lab.taps(), "the tap went with the domain")
        starts_not(p)
    with case("until it can be read again"):
        readable(p)


def gone(p):
    with case("a machine that is removed takes its policy along"):
        p.web.stop("--now")
        p.web.wait("off")
        p.run("machine", "remove", USER, WEB)
        net.wait_for(lambda: p.policy_ports() == ["0"], 10, lambda: f"only the default's; {p.policy_ports()}", 0.05)


def policies():
    p = Place()
    before(p)
    large(p)
    programs(p)
    pieces(p)
    force(p)
    logged(p)
    full(p)
    strict(p)
    restart(p)
    default(p)
    edit(p)
    asleep(p)
    spoilt(p)
    too_many(p)
    gone(p)
    p.lab.close()


main((policies,))
