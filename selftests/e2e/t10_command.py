#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does every command of sallyport do what it says, for people and (--json) for programs?"""

import contextlib
import json
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, same  # noqa: E402
from sally.control import Refused  # noqa: E402
from sally.lab import ROOT  # noqa: E402
from sally.ovpn import Client  # noqa: E402
from sally.town import ALICE, BOB, settle, town  # noqa: E402

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3


def status_of(lab, want, *args, **kw):
    p = lab.sallyport(*args, check=False, **kw)
    check(p.returncode == want, f"sallyport {' '.join(args)}: status {p.returncode}, expected {want}: "
          f"{p.stdout}{p.stderr}")
    if want != DONE:
        check(p.stderr.strip(), f"sallyport {' '.join(args)}: failed without a word")
    return p


def items(reply):
    return reply["items"] if isinstance(reply, dict) else reply


def users(lab):
    with case("user add, list, set, passwd, disable, enable, delete"):
        status_of(lab, DONE, "user", "add", "erin", "--password-stdin", "--address", "10.50.0.50/24",
                  "--address6", "fd50::50/64", input="a word\n")
        status_of(lab, REFUSED, "user", "add", "erin", "--password-stdin", input="a word\n")
        erin = next(u for u in items(lab.json("user", "list")) if u["name"] == "erin")
        same((erin["address"], erin["address6"], erin["has_password"]), ("10.50.0.50/24", "fd50::50/64", True),
             "what was stored")
        status_of(lab, DONE, "user", "set", "erin", "--max-sessions", "2")
        erin = items(lab.json("user", "list", "erin"))[0]
        same((erin["max_sessions"], erin["address"], erin["address6"]), (2, "10.50.0.50/24", "fd50::50/64"),
             "what was set, and what was not")
        path = lab.state + "/password"
        with open(path, "w") as f:
            f.write("another word\n")
        status_of(lab, DONE, "user", "passwd", "erin", "--password-file", path)
        status_of(lab, DONE, "user", "disable", "erin")
        same(items(lab.json("user", "list", "erin"))[0]["disabled"], True, "disabled")
        status_of(lab, DONE, "user", "enable", "erin")
        check("erin" in lab.sallyport("user", "list").stdout, "the table does not show erin")
        status_of(lab, DONE, "user", "delete", "erin")
        same([u for u in items(lab.json("user", "list")) if u["name"] == "erin"], [], "erin after the end")
    with case("a user who is there is refused, each time: no answer overtakes the store's (I8)"):
        for i in range(25):
            lab.user(f"twin{i}")
            try:
                lab.user(f"twin{i}")
            except Refused as e:
                same(e.code, "EEXIST", "the refusal")
            else:
                check(False, f"twin{i} was added twice")
            lab.ask("user-delete", name=f"twin{i}")
    with case("a password set by the command is the one that lets a client in"):
        status_of(lab, DONE, "user", "add", "frank", "--password-stdin", "--address", "10.50.0.60/24",
                  input="frank's own\n")
        c = Client(lab, "frank", "frank", "02:00:00:00:00:0f", password="frank's own")
        c.connect()
        status_of(lab, REFUSED, "user", "delete", "frank")  # busy: a session is live
        c.stop()
        net.wait_for(lambda: not lab.sessions("frank"), 15, "frank's session to end", 0.05)
        status_of(lab, DONE, "user", "delete", "frank")
    with case("mistakes: 1 refused, 2 usage, 3 not reachable, each with a sentence"):
        status_of(lab, REFUSED, "user", "delete", "nobody-of-this-name")
        status_of(lab, REFUSED, "workload", "add", ALICE, "web", "--netns", "w-alice-web")
        status_of(lab, REFUSED, "session", "kill", "999999")
        status_of(lab, USAGE, "no-such-command")
        status_of(lab, USAGE, "user", "add")
        status_of(lab, USAGE, "user", "list", "--no-such-option")
        p = net.run(f"{lab.build}/sallyport", "--socket", "/run/nothing", "status", check=False)
        same(p.returncode, UNREACHABLE, "status without a daemon")
        check("/run/nothing" in p.stderr, f"it does not say where it looked: {p.stderr}")


def workloads(lab):
    with case("workload add (MAC chosen, waiting for its namespace), list, remove"):
        status_of(lab, DONE, "workload", "add", BOB, "extra", "--netns", "w-bob-extra")

        def extra():
            return next((w for w in items(lab.json("workload", "list", "--user", BOB))
                         if w["name"] == "extra"), None)

        same(extra()["state"], "waiting", "state without the namespace")
        net.netns_add("w-bob-extra")
        net.wait_for(lambda: extra()["state"] == "up", 10, "the workload to come up", 0.1)
        same(net.link_mac("w-bob-extra", "eth0"), extra()["mac"], "the MAC inside")
        check("extra" in lab.sallyport("workload", "list").stdout, "the table does not show it")
        device = extra()["device"]
        status_of(lab, DONE, "workload", "remove", BOB, "extra")
        same(extra(), None, "the workload after its end")
        check(not net.link_exists(net.HOST, device), f"{device} is still there")


def sessions(lab):
    with case("session list, and session kill: the client is out and may come back"):
        listed = items(lab.json("session", "list", "--user", BOB))
        same([s["common_name"] for s in listed], [BOB], "bob's sessions")
        table = lab.sallyport("session", "list").stdout
        check(all(n in table for n in lab.clients), f"the table: {table}")
        mark = lab.clients[BOB].log.mark()
        status_of(lab, DONE, "session", "kill", str(listed[0]["id"]))
        net.wait_for(lambda: listed[0]["id"] not in {s["id"] for s in lab.sessions()}, 10, "the session to end")
        lab.clients[BOB].log.wait("Initialization Sequence Completed", 30, mark)
        settle(lab, lab.clients[BOB])


def views(lab):
    with case("status, counters, audit, version: tables and JSON"):
        state = lab.json("status")
        same(state["pid"], lab.daemon.process.pid, "pid")
        same([(i["name"], i["state"]) for i in state["instances"]], [("main", "up")], "instances")
        names = {r["name"] for r in lab.json("counters")["reasons"]}
        check({"src-unbound", "not-ours", "dst-unknown"} <= names, f"reasons: {names}")
        check("alice/web" in lab.sallyport("counters").stdout, "counters do not show a workload")
        check(any(e["what"] and e["object"] for e in items(lab.json("audit"))), "the audit is empty")
        check(lab.json("version")["version"], "no version")
        for args in (("status",), ("counters", "--all"), ("audit", "--limit", "5"), ("version",), ("help",),
                     ("help", "user", "add"), ("user", "add", "--help")):
            check(status_of(lab, DONE, *args).stdout.strip(), f"{args}: nothing was printed")
    with case("top in batch mode shows two pictures"):
        text = lab.sallyport("top", "--batch", "--count", "2", "--delay", "0.3", timeout=15).stdout
        check("alice" in text, f"no session in it: {text}")
    with case("reload"):
        status_of(lab, DONE, "reload")


@contextlib.contextmanager
def monitoring(lab, *args):
    p = net.start(f"{lab.build}/sallyport", "--socket", lab.socket, *args, stdout=subprocess.PIPE,
                  stderr=subprocess.PIPE, text=True)
    try:
        yield p
    finally:
        net.stop(p, signal.SIGINT)


def monitor(lab):
    w = lab.workloads["alice/web"]
    pcap = lab.state + "/drops.pcap"
    tok = frames.token("monitored")

    def bad():
        net.inject(w.ns, w.dev, frames.udp4("02:de:ad:be:ef:00", lab.clients[ALICE].mac, tok))
        return os.path.exists(pcap) and tok in open(pcap, "rb").read()

    with case("monitor shows a drop with its reason, and a pcap that tcpdump reads"):
        with monitoring(lab, "monitor", "--pcap", pcap) as p:
            net.wait_for(bad, 10, "the dropped frame in the pcap", 0.2)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=10)
        check("src-unbound" in out + err, f"no reason shown: {out[-500:]} {err[-500:]}")
        text = net.run("tcpdump", "-e", "-n", "-A", "-r", pcap).stdout
        check("02:de:ad:be:ef:00" in text and tok.decode() in text, f"tcpdump reads: {text[:500]}")
    with case("monitor --json: one object a line"):
        with monitoring(lab, "--json", "monitor", "--drops") as p:
            os.set_blocking(p.stdout.fileno(), False)
            lines = []

            def drop_seen():
                net.inject(w.ns, w.dev, frames.udp4("02:de:ad:be:ef:00", lab.clients[ALICE].mac, tok))
                lines.extend(p.stdout.readlines())
                return any("src-unbound" in x for x in lines)

            net.wait_for(drop_seen, 10, "a drop", 0.2)
            events = [json.loads(x) for x in lines]
            check(any(tok.hex() in json.dumps(e) for e in events), f"the frame's bytes: {events[:2]}")


def doctor(lab):
    with case("doctor: each line is OK or says what to do"):
        p = lab.sallyport("doctor", "--config", lab.daemon.config, check=False)
        check(p.returncode in (DONE, REFUSED), f"status {p.returncode}: {p.stderr}")
        check(p.stdout.count("OK") >= 5, f"it found little in order: {p.stdout}")
        found = json.loads(lab.sallyport("--json", "doctor", "--config", lab.daemon.config, check=False).stdout)
        check(found, "--json is empty")
    with case("doctor finds what is wrong: a dangerous OpenVPN option"):
        server = lab.servers["main"]
        with open(server.config, "a") as f:
            f.write("client-to-client\n")
        p = lab.sallyport("doctor", "--config", lab.daemon.config, check=False)
        same(p.returncode, REFUSED, "exit status")
        check("client-to-client" in p.stdout + p.stderr, f"it does not say so: {p.stdout}")


def complete(*words):
    """What bash would offer for the last of WORDS."""
    script = (f"source {ROOT}/completion/sallyport.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); "
              "COMP_LINE=\"$*\"; COMP_POINT=${#COMP_LINE}; "
              "f=$(complete -p sallyport | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \"$f\"; printf '%s\\n' \"${COMPREPLY[@]}\"")
    return set(net.run("bash", "-c", script, "-", "sallyport", *words, check=False).stdout.split())


def completion(lab):
    with case("completion knows commands, subcommands and options"):
        os.environ["PATH"] = lab.build + ":" + os.environ["PATH"]
        check({"user", "workload", "session", "status", "doctor"} <= complete(""), f"{complete('')}")
        check({"add", "list", "delete"} <= complete("user", ""), f"{complete('user', '')}")
        check("--password-stdin" in complete("user", "add", "x", "--pass"), f"{complete('user', 'add', 'x', '--pass')}")


def command(mode):
    lab = town(mode, phone=False)
    for part in (users, workloads, sessions, views, monitor, doctor, completion):
        part(lab)
    lab.close()


main((command, "vlan"))
