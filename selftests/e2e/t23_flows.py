#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the flows of machines live as long as they shall: over a killed daemon, a pause, a save; not longer than
their machine; within the segment's budget? And what does `sallyport flow` say and do? Real guests, and an
OpenVPN client in front."""

import json
import os
import re
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, same  # noqa: E402
from sally.machines import MachineLab  # noqa: E402

USER, WEB, IP, ALICE = "alice", "web", "10.50.0.101", "10.50.0.10"
DONE, REFUSED, USAGE = 0, 1, 2
ECHO, PAGE = 7, 80
LIFE = 6  # seconds that an established connection lives without a packet
POLICY = "default in drop\naccept in tcp dport 7\naccept in udp\n"


class Place:
    def __init__(self):
        self.lab = MachineLab(daemon={"firewall": {
            "timeout-tcp-established": f"{LIFE}s", "timeout-udp": "2s", "flows": "1000", "new-flows": "0"}})
        self.lab.up()
        self.lab.user(USER, ALICE + "/24")
        self.alice = self.lab.client(USER, mac="02:00:00:00:00:01")
        self.lab.ready()
        self.web = self.lab.machine(USER, WEB, IP + "/24", add=("--start", "manual"))
        with open("/run/web.policy", "w") as f:
            f.write(POLICY)
        self.run("policy", "set", USER, WEB, "/run/web.policy")

    def run(self, *args, want=DONE):
        p = self.lab.sallyport(*args, check=False)
        check(p.returncode == want, f"sallyport {' '.join(args)}: status {p.returncode}, expected {want}: "
              f"{p.stdout}{p.stderr}")
        return p

    def flows(self, *filters):
        return self.lab.json("flow", "list", *filters)

    def count(self, *filters):
        return self.lab.json("flow", "count", *filters)

    def of(self, s):
        """The flow of the connection S; None: there is none."""
        found = self.flows("--from-port", str(s.getsockname()[1]), "--to", IP)
        check(len(found) < 2, f"{found}")
        return found[0] if found else None

    def connect(self, port=ECHO, timeout=1.0):
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

    def datagrams(self, ports):
        with net.in_ns(self.alice.ns):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for p in ports:
            s.sendto(b"x", (IP, p))
        port = s.getsockname()[1]
        s.close()
        return port

    @staticmethod
    def pins():
        """The tables that are pinned, by the segments' slots."""
        where = [d for d, _, _ in os.walk("/sys/fs/bpf") if d.endswith("/flows")]
        return sorted({int(n.split("-")[0]) for n in os.listdir(where[0])}) if where else []

    def port(self):
        return self.web.show()["port"]


def talks(s, patience=10):
    """Does the echo come back? A guest without KVM takes its time to start what answers."""
    try:
        s.settimeout(patience)
        s.sendall(b"x")
        return s.recv(1) == b"x"
    except OSError:
        return False


def is_dead(s):
    return not talks(s, 1)


def let_pass(seconds):
    """Time is what is tested: nothing would tell that it has passed and that nothing happened."""
    time.sleep(seconds)


def before(p):
    with case("without a machine that is up there are no tables, and no flows"):
        same((p.pins(), p.flows()), ([], []), "pins, flows")
        same(p.run("flow", "list").stdout, "no flows\n", "the list")
        c = p.count()
        same((c["flows"], c["max"], c["states"]), (0, 0, {}), "counts")
    with case("with the machine come its segment's tables, with its budget"):
        p.alice.connect()
        p.web.start()
        net.wait_for(lambda: p.opens(ECHO), 60, lambda: f"port 7; dropped: {p.lab.reasons()}", 0.2)
        same(p.pins(), [1], "slots that are pinned")
        same(p.count()["max"], 1000, "the budget")


def listing(p):
    s = p.connect()
    check(talks(s), "no echo")
    port = str(s.getsockname()[1])
    with case("a connection is one flow, and the list says which"):
        f = p.of(s)
        same({k: f[k] for k in ("user", "family", "protocol", "state", "source", "source_port", "destination",
                                "destination_port", "from_machine", "to_machine", "assured", "frozen")},
             {"user": USER, "family": 4, "protocol": "tcp", "state": "established", "source": ALICE,
              "source_port": int(port), "destination": IP, "destination_port": ECHO, "from_machine": None,
              "to_machine": WEB, "assured": True, "frozen": False}, "the flow")
        check(0 < f["left_ms"] <= LIFE * 1000, f"left: {f['left_ms']} ms")
        text = p.run("flow", "list", "--to-port", "7", "--from-port", port).stdout
        check(f"{ALICE}:{port}" in text and f"{IP}:7" in text and "established" in text, text)
    with case("filters: what fits is listed, what does not is not"):
        yes = (("--user", USER), ("--user", USER, "--machine", WEB), ("-p", "tcp"), ("-p", "6"), ("-s", "established"),
               ("-4",), ("-a", "10.50.0.96/27"), ("-a", ALICE), ("--from", "10.50.0.0/28"), ("--to", IP),
               ("--port", "7"), ("--port", port), ("--to-port", "7"))
        no = (("-p", "udp"), ("-s", "syn-sent"), ("-6",), ("-a", "10.50.0.64/27"), ("--from", IP), ("--to", ALICE),
              ("--port", "8"), ("--to-port", port), ("-a", "::/0", "-6"))
        for q in yes:
            check(p.flows("--from-port", port, *q), f"not listed: {q}")
        for q in no:
            same(p.flows("--from-port", port, *q), [], f"{q}")
        same(p.count("--from-port", port)["states"], {"established": 1}, "the count")
    with case("what cannot be meant is refused, with what was expected"):
        for args, want, words in ((("-p", "tpc"), REFUSED, "'tpc': expected tcp, udp"),
                                  (("-s", "open"), REFUSED, "'open': expected syn-sent"),
                                  (("-a", "10.0.0.0/33"), REFUSED, "'10.0.0.0/33': expected an address"),
                                  (("--user", "nobody"), REFUSED, "nobody: there is no such machine"),
                                  (("--port", "65536"), USAGE, "'65536': expected a port"),
                                  (("-4", "-6"), USAGE, "one of --ipv4 and --ipv6"),
                                  (("--machine", WEB), USAGE, "expected --user")):
            err = p.run("flow", "list", *args, want=want).stderr
            check(words in err, f"{args}: {err}")
    s.close()


def killing(p):
    with case("kill: the flow that is meant ends, and no other; it is in the audit trail"):
        a, b = p.connect(), p.connect()
        check(talks(a) and talks(b), "no echo")
        r = p.run("flow", "kill", "--user", USER, "--from-port", str(a.getsockname()[1])).stdout
        same(r, "1 flows ended\n", "the answer")
        same(p.of(a), None, "the flow")
        check(is_dead(a), "it goes on")
        check(talks(b), "another one was ended")
        last = p.lab.ask("audit-list", limit=1)["items"][0]
        same((last["what"], last["object"], last["detail"]), ("flow-kill", USER, "1 flows ended"), "the audit line")
        a.close()
        b.close()
    with case("kill asks for what is meant"):
        check("--all alone" in p.run("flow", "kill", want=USAGE).stderr, "nothing")
        p.run("flow", "kill", "--all", "-p", "tcp", want=USAGE)
        b = p.connect()
        check(json.loads(p.run("--json", "flow", "kill", "--all").stdout)["ended"] >= 1, "none ended")
        same(p.flows(), [], "flows")
        check(is_dead(b), "it goes on")
        b.close()


def budget(p):
    lab = p.lab
    with case("a budget that is full refuses what is new, keeps what is there, and says so"):
        s = p.connect()
        check(talks(s), "no echo")
        lab.daemon.sections["firewall"]["flows"] = "16"
        lab.daemon.write_config()
        p.run("reload")
        dropped = lab.reasons()
        p.datagrams(range(2000, 2100))
        lab.moved("flow-table-full", dropped, 80)
        check(talks(s), "the flow that was there")
        c = p.count()
        same(c["max"], 16, "the budget")
        check(c["refused_full"] >= 80 and c["in_use"] <= 16, f"{c}")
        check("for want of room" in p.run("status").stdout, p.run("status").stdout)
        lab.daemon.sections["firewall"]["flows"] = "1000"
        lab.daemon.sections["firewall"]["new-flows"] = "10"
        lab.daemon.sections["firewall"]["new-flows-burst"] = "10"
        lab.daemon.write_config()
        p.run("reload")
        dropped = lab.reasons()
        p.datagrams(range(3000, 3100))
        lab.moved("flow-rate", dropped, 60)
        check(talks(s), "the flow that was there")
        lab.daemon.sections["firewall"]["new-flows"] = "0"
        lab.daemon.write_config()
        p.run("reload")
        s.close()
    with case("a configuration whose budget is above what tables can be is refused"):
        lab.daemon.sections["firewall"]["max-flows"] = "999"
        lab.daemon.write_config()
        p.run("reload", want=REFUSED)
        check("expected at most max-flows, which is 999" in "".join(lab.daemon.log.tail(20)), "the log")
        del lab.daemon.sections["firewall"]["max-flows"]
        lab.daemon.write_config()


def own_budget(p):
    lab = p.lab

    def set_own(**values):
        p.run("user", "set", USER, *(w for k, v in values.items() for w in (f"--{k.replace('_', '-')}", str(v))))
        user = lab.json("user", "list", USER)[0]
        same({k: user[k] for k in values}, values, "what the store says")

    with case("a user's own budget holds at once, also over a reload: what is new is refused above it"):
        s = p.connect()
        check(talks(s), "no echo")
        p.run("flow", "kill", "--user", USER, "-p", "udp")  # of the cases before
        set_own(max_flows=16)
        same(p.count("--user", USER)["max"], 16, "the budget")
        p.run("reload")
        same(p.count()["max"], 16, "the budget after a reload")
        dropped, refused = lab.reasons(), p.count()["refused_full"]
        p.datagrams(range(4000, 4100))
        lab.moved("flow-table-full", dropped, 80)
        check(talks(s), "the flow that was there")
        c = p.count()
        check(c["refused_full"] >= refused + 80 and c["in_use"] <= 16, f"{c}")
        check(re.search(rf"(?m)^{USER} .* 16 +default ", p.run("user", "list").stdout), p.run("user", "list").stdout)
        s.close()
    with case("so does a rate of the user's own, with two seconds' worth at once"):
        set_own(max_flows=0, new_flows=10)
        same(p.count()["max"], 1000, "the budget, again the configuration's")
        dropped = lab.reasons()
        p.datagrams(range(5000, 5100))
        lab.moved("flow-rate", dropped, 60)
        set_own(new_flows=0)
        check(p.opens(ECHO), "a connection without the rate")
    with case("more than tables can be made for is cut, and the log says so"):
        mark = lab.daemon.log.mark()
        set_own(max_flows=100000)
        same(p.count()["max"], 16384, "the budget")
        lab.daemon.log.wait(f"USER={USER} FLOWS=100000 TABLES=16384", 5, mark)
        lab.daemon.log.wait("than the tables of 1 user were made for", 5, mark)
    with case("the next daemon knows it; without one of the user's own the configuration's holds again"):
        set_own(max_flows=500)
        lab.daemon.kill9()
        lab.daemon.start()
        same(p.count()["max"], 500, "the budget")
        set_own(max_flows=0)
        same(p.count()["max"], 1000, "the budget")


def dead(p):
    lab = p.lab
    s = p.connect()
    check(talks(s), "no echo")
    port = p.port()
    p.datagrams([53])
    expired = p.count()["expired"]
    udp = p.flows("-p", "udp", "--to-port", "53")
    lab.daemon.kill9()
    with case("the daemon killed: what is established goes on, what is new is judged"):
        check(talks(s), "the established one")
        check(p.opens(ECHO), "what the policy allows")
        check(not p.opens(PAGE), "what it does not allow")
    with case("timers run, and what has run out is collected, while it is dead"):
        same(len(udp), 1, "the datagram's flow")
        for _ in range(4):
            let_pass(1)
            check(talks(s), "the established one")
        lab.daemon.start()
        same(p.flows("-p", "udp", "--to-port", "53"), [], "the datagram's flow")
        net.wait_for(lambda: p.count()["expired"] > expired, 10, "the collection", 0.1)
    with case("the next daemon finds everything where it was"):
        check(talks(s), "the established one")
        same((p.of(s)["state"], p.port(), p.pins()), ("established", port, [1]), "flow, port, slots")
    s.close()


def pause(p):
    lab = p.lab
    s = p.connect()
    check(talks(s), "no echo")
    with case("a paused machine's flows stand still, over a killed daemon too"):
        p.web.stop("--pause")
        f = p.of(s)
        same(f["frozen"], True, "frozen")
        lab.daemon.kill9()
        let_pass(LIFE / 2)
        lab.daemon.start()
        let_pass(LIFE / 2 + 1)
        again = p.of(s)
        check(again and again["frozen"] and again["left_ms"] == f["left_ms"], f"{f}, then {again}")
        check("frozen" in p.run("flow", "list").stdout, "the list")
    with case("and go on with it: the connection is as it was"):
        p.web.start()
        check(talks(s), "no echo")
        f = p.of(s)
        same((f["frozen"], f["state"]), (False, "established"), "the flow")
    with case("without a pause it would have run out"):
        let_pass(LIFE + 1)
        same(p.of(s), None, "the flow")
        check(is_dead(s), "the connection")
    s.close()


def save(p):
    lab = p.lab
    s = p.connect()
    check(talks(s), "no echo")
    port = p.port()
    with case("a saved machine whose user has gone keeps its number and its flows, over a restart"):
        p.web.stop("--save")
        p.alice.stop()
        lab.wait_gone(lambda x: True, "the session to end")
        net.wait_for(lambda: not lab.taps(), 10, "no tap", 0.05)
        lab.daemon.stop()
        let_pass(LIFE + 1)
        lab.daemon.start()
        f = p.of(s)
        same((f["state"], f["frozen"], f["to_machine"], p.port()), ("established", True, WEB, port), "flow and port")
    with case("its user comes back, it is restored, and the connection is as it was"):
        p.alice.connect()
        p.web.start()
        net.wait_for(lambda: talks(s, 2), 20, lambda: f"the echo; {p.flows()}, dropped: {lab.reasons()}", 0.2)
        same(p.of(s)["frozen"], False, "frozen")
    s.close()


def idle(p):
    lab = p.lab
    with case("one that was stopped because nobody used it keeps its number; its flows end"):
        lab.daemon.sections["firewall"]["timeout-tcp-established"] = "1h"
        lab.daemon.write_config()
        p.run("reload")
        s = p.connect()
        check(talks(s), "no echo")
        port = p.port()
        check(p.of(s)["left_ms"] > 1000 * 1000, f"{p.of(s)}")
        p.web.policy(start="traffic", stop="stop", idle="2s", grace="0", min_up="0")
        p.run("machine", "start", USER, WEB)
        p.alice.stop()  # an operator's word ends when the user comes
        lab.wait_gone(lambda x: True, "the session to end")
        p.alice.connect()
        p.web.wait("off", timeout=60)
        net.wait_for(lambda: p.of(s) is None, 10, lambda: f"no flow; {p.of(s)}", 0.05)
        same((p.port(), p.pins()), (port, [1]), "port, slots")
        p.web.policy(start="manual")
        s.close()


def off(p):
    with case("a machine that is off has no flows: who boots knows of none"):
        p.web.start()
        net.wait_for(lambda: p.opens(ECHO), 60, "port 7", 0.2)
        s = p.connect()
        check(talks(s), "no echo")
        p.web.stop("--now")
        net.wait_for(lambda: p.of(s) is None, 10, "no flow", 0.05)
        s.close()
    with case("with the last machine that is up go the tables; the metrics keep what they counted"):
        net.wait_for(lambda: p.pins() == [], 10, lambda: f"no pins; {p.pins()}", 0.05)
        text = p.run("metrics").stdout
        value = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line[0] != "#"}
        same((value["sallyport_flows"], value["sallyport_flow_tables"]), (0, 0), "flows, tables")
        check(value["sallyport_flows_opened_total"] > 20, "opened")
        check(value['sallyport_flows_refused_total{why="full"}'] >= 80, "refused")
    with case("a machine that is removed while it runs leaves nothing"):
        p.web.start()
        net.wait_for(lambda: p.opens(ECHO), 60, "port 7", 0.2)
        p.web.stop("--now")
        p.web.wait("off")
        p.run("machine", "remove", USER, WEB)
        net.wait_for(lambda: p.pins() == [], 10, lambda: f"no pins; {p.pins()}", 0.05)


def flows():
    p = Place()
    before(p)
    listing(p)
    killing(p)
    budget(p)
    own_budget(p)
    dead(p)
    pause(p)
    save(p)
    idle(p)
    off(p)
    p.lab.close()


main((flows,))
