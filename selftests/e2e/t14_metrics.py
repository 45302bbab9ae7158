#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do traces and metrics tell what happened, and do Prometheus and the dashboard understand them?

A real Prometheus scrapes the daemon's listener while a user logs in; every query of the dashboard is
put to it. Nobody who holds the listener's connections holds up the daemon."""

import contextlib
import json
import math
import os
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, frames, main, net, probe, same  # noqa: E402
from sally.control import Refused  # noqa: E402
from sally.lab import ROOT  # noqa: E402
from sally.machines import MachineLab  # noqa: E402
from sally.town import settle  # noqa: E402

LISTEN = ("127.0.0.1", 9469)
URL = "http://127.0.0.1:9469/metrics"
PROMETHEUS = "http://127.0.0.1:9090"
DASHBOARD = ROOT + "/docs/grafana/sallyport.json"
ALICE_MAC, WEB = "02:00:00:00:00:0a", "10.50.0.101"
MACHINE_STAGES = ["machine-wanted", "domain-call", "domain-up", "machine-spoke"]
STAGES = ["auth", "auth-store", "auth-done", "connect", "connect-store", "connected", "first-mac"]


# --- Prometheus ---

class Prometheus:
    def __init__(self, lab):
        self.dir = lab.state + "/prometheus"
        os.makedirs(self.dir)
        with open(self.dir + "/prometheus.yml", "w") as f:
            f.write("global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
                    "scrape_configs: [{job_name: sallyport, static_configs: [{targets: ['%s:%d']}]}]\n" % LISTEN)
        with open(self.dir + "/log", "w") as f:
            self.process = net.start("prometheus", f"--config.file={self.dir}/prometheus.yml",
                                     f"--storage.tsdb.path={self.dir}/data", "--web.listen-address=127.0.0.1:9090",
                                     "--log.level=warn", stdout=f, stderr=f)

    def query(self, expr):
        """[(labels, value)] of an instant query; its error is a failure."""
        url = PROMETHEUS + "/api/v1/query?" + urllib.parse.urlencode({"query": expr})
        try:
            with urllib.request.urlopen(url, timeout=5) as r:
                reply = json.load(r)
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{expr}: {e.read().decode()}") from e
        same(reply["status"], "success", expr)
        check(not reply.get("warnings"), f"{expr}: {reply.get('warnings')}")
        return [(r["metric"], float(r["value"][1])) for r in reply["data"]["result"]]

    def value(self, expr):
        found = self.query(expr)
        return found[0][1] if found else None

    def scraped(self):
        """When it last read the daemon, or 0: it has not."""
        try:
            return self.value("timestamp(up == 1)") or 0
        except (OSError, AssertionError):
            check(self.process.poll() is None, "prometheus ended")
            return 0

    def wait(self, since):
        net.wait_for(lambda: self.scraped() > since, 15, f"a scrape by prometheus: {self.tail()}", 0.1)

    def tail(self):
        with open(self.dir + "/log") as f:
            return f.read()[-500:]

    def stop(self):
        net.stop(self.process)


# --- what is read over HTTP ---

def fetch(url=URL, method="GET"):
    """(status, headers, text)."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as r:
            return r.status, r.headers, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode()


def scrape():
    status, headers, text = fetch()
    same((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"), "status, type")
    return text


def families(text):
    """name -> (type, names of labels)."""
    found, labels = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            found[name] = kind
        elif not line.startswith("#"):
            name = re.match(r"[a-z_]+", line)[0]
            base = name if name in found else re.sub(r"_(bucket|sum|count)$", "", name)
            labels.setdefault(base, set()).update(re.findall(r'[{,]([a-z_]+)="', line))
    return {n: (kind, labels.get(n, set()) - {"le"}) for n, kind in found.items()}


def value(text, series):
    m = re.search("^" + re.escape(series) + r" (\S+)$", text, re.M)
    return float(m[1]) if m else None


def documented():
    """The table of docs/metrics.md, in the same form."""
    found = {}
    with open(ROOT + "/docs/metrics.md") as f:
        for line in f:
            m = re.match(r"\| `([a-z_]+)` \| (\w+) \| (.*?) \|", line)
            if m:
                found[m[1]] = (m[2], m[3])
    return found


def expressions():
    """(panel, query) of the whole dashboard."""
    with open(DASHBOARD) as f:
        board = json.load(f)
    return [(p["title"], t["expr"]) for p in board["panels"] for t in p.get("targets", [])]


def names(lab):
    with case("promtool has nothing to say against the text"):
        text = scrape()
        p = net.run("promtool", "check", "metrics", input=text, check=False)
        same((p.returncode, p.stdout + p.stderr), (0, ""), "promtool")
        broken = net.run("promtool", "check", "metrics", input=text.replace("_total", "_all"), check=False)
        check(broken.returncode != 0, "it would not have said anything")
    with case("docs/metrics.md and the output have the same names, types and labels"):
        out, docs = families(text), documented()
        same(sorted(out), sorted(docs), "names")
        for name, (kind, labels) in out.items():
            same(kind, docs[name][0], f"type of {name}")
            for label in labels:
                check(f"`{label}`" in docs[name][1], f"label {label} of {name} is not documented")
    with case("every name in the dashboard is one of them, and every panel has a query"):
        for panel, expr in expressions():
            used = set(re.findall(r"\b(?:sallyport|process)_[a-z_]+", expr))
            check(used, f"{panel}: {expr}: no metric in it")
            unknown = {u for u in used if u not in out and re.sub(r"_(bucket|sum|count)$", "", u) not in out}
            check(not unknown, f"{panel}: {unknown} is nowhere")
        check(len(expressions()) > 20, "there are few panels")
    with case("sallyport metrics prints the same text, in pages"):
        printed = lab.sallyport("metrics").stdout
        same(families(printed), families(text), "families")
        same(lab.json("metrics")[0], text.splitlines()[0], "the first line as JSON")
        check(len(printed) > 1 << 14, f"{len(printed)} bytes: one page would do")


# --- Prometheus and the dashboard ---

def history(prometheus):
    with case("what Prometheus has is what happened"):
        same(prometheus.value('sallyport_auth_total{result="accept"}'), 1, "logins")
        same(prometheus.query("sallyport_sessions")[0][0]["openvpn"], "main", "label of the instance")
        login = 'sallyport_span_seconds_sum{span="login"}'
        net.wait_for(lambda: prometheus.value(login) > 0, 15, "a reading from after the login's end", 0.1)
        took = prometheus.value(login)
        check(0.01 < took < 10, f"the login took {took} s")
        same(prometheus.value('sum(sallyport_stage_seconds_count{stage="first-mac"})'), 1, "first MACs")
        check(not prometheus.query('{__name__=~".+", exported_instance=~".+"}'), "a label clashes with Prometheus's own")


def dashboard(lab, prometheus):
    """Bob has a machine, so that there is nothing that a query could ask in vain."""
    lab.user("bob", "10.50.0.10/24")
    lab.ready()
    vm = lab.machine("bob", "vm", WEB + "/24")
    bob = lab.client("bob", "bob", ALICE_MAC)
    with case("a login starts a machine, and Prometheus has read how long that took"):
        prometheus.wait(time.time())
        bob.connect(60)
        vm.wait_page(bob, 120)
        net.wait_for(lambda: value(scrape(), 'sallyport_machines{state="running"}') == 1, 10, "it in the metrics")
        prometheus.wait(time.time())
    with case("each query of the dashboard has an answer"):
        for panel, expr in expressions():
            found = prometheus.query(expr.replace("$__rate_interval", "1m"))
            check([v for _, v in found if not math.isnan(v)], f"{panel}: {expr}: {found or 'nothing'}")
    with case("the trace of the login has the machine's stages, in order"):
        trace = lab.json("trace", next(s for s in lab.sessions("bob"))["trace"])
        mine = [e["stage"] for e in trace["events"] if e.get("object") == "bob/vm"]
        # Its tap gets behind the programs while libvirt starts it.
        check(mine.index("machine-wanted") < mine.index("port-up"), f"{mine}")
        same([x for x in mine if x in MACHINE_STAGES], MACHINE_STAGES, "how it came up")
        same([x for x in mine if x not in (*MACHINE_STAGES, "port-up")], ["first-frame", "first-answer"], "what it was asked")
    bob.stop()
    lab.wait_gone(lambda s: s["user"] == "bob", "bob's session to end")
    vm.stop("--now")


# --- traces ---

def traces(lab):
    server = lab.servers["main"]
    session = lab.sessions()[0]
    log = lab.daemon.log
    with case("a session's trace, by its number and by its id: each stage, in order"):
        trace = lab.json("trace", str(session["id"]))
        same(trace["id"], session["trace"], "id in session list")
        same(lab.json("trace", session["trace"]), trace, "by id")
        same([e["stage"] for e in trace["events"]], STAGES, "stages")
        times = [e["us"] for e in trace["events"]]
        same(times, sorted(times), "times")
        same(trace["events"][-1]["object"], ALICE_MAC, "the first MAC")
        same((trace["user"], trace["remote"], trace["lost"]), ("alice", session["remote"], 0), "whose it is")
        whole = sum(e.get("took_us", 0) for e in trace["events"])
        same(whole, times[-1], "the stages' times make up the whole")
    with case("for people: one line for each, and the summary in status"):
        text = lab.sallyport("trace", str(session["id"])).stdout
        for stage in STAGES:
            same(len(re.findall(rf"^ *\d+\.\d .* {stage} ", text, re.M)), 1, f"lines of {stage}")
        status = lab.sallyport("status").stdout
        check(re.search(r"^login +1 +\d+\.\d", status, re.M), f"no stages: {status}")
        check(f"metrics    {URL}" in status, f"no listener: {status}")
    with case("the log has the id at the login and at the session's start"):
        check(log.find(f"auth USER=alice RESULT=accept.*TRACE={trace['id']}"), "not at the login")
        check(log.find(f"session started .*TRACE={trace['id']}"), "not at the start")
    with case("a wrong password has a trace, without a session, up to where it was judged"):
        lab.ask("hook-auth", **login(lab, server, "203.0.113.5", 4000, password="wrong"))
        failed = log.wait("auth USER=alice RESULT=reject.*TRACE=([0-9a-f]{16})", 5)[1]
        trace = lab.json("trace", failed)
        same(([e["stage"] for e in trace["events"]], trace["remote"], trace.get("session")),
             (STAGES[:2], "203.0.113.5:4000", None), "stages, remote, session")
    with case("a renewal of the session's keys begins none; a second device does"):
        ip, _, port = session["remote"].rpartition(":")
        for remote, want in (((ip, int(port)), '""'), ((ip, int(port) + 1), "[0-9a-f]{16}$"), ((None, None), '""')):
            mark = log.mark()
            lab.ask("hook-auth", **login(lab, server, *remote))
            log.wait(f"(?m)auth USER=alice RESULT=accept.*TRACE={want}", 5, mark)
    with case("what is not there is said"):
        for arg, word in (("4711", "4711"), ("0123456789abcdef", "0123456789abcdef")):
            p = lab.sallyport("trace", arg, check=False)
            same(p.returncode, 1, "exit status")
            check(word in p.stderr and "1024" in p.stderr, p.stderr)
        same(lab.sallyport("trace", "alice", check=False).returncode, 2, "exit status")


def login(lab, server, ip, port, password=None):
    args = {"instance": "main", "deadline_us": 1 << 60, "daemon_pid": server.process.pid, "username": "alice",
            "common_name": "alice", "password": password or lab.password("alice")}
    if ip:
        args.update(untrusted_ip=ip, untrusted_port=port)
    return args


# --- numbers against what the control socket says ---

def numbers(lab, alice):
    w = lab.workloads["alice/web"]
    with case("drops and traffic: the same as counters says"):
        before = lab.reasons()
        for _ in range(7):
            net.inject(w.ns, w.dev, frames.udp4("02:de:ad:be:ef:00", alice.mac, frames.token("x")))
        lab.moved("src-unbound", before, 7)
        text = scrape()
        for name, n in lab.reasons().items():
            same(value(text, f'sallyport_drops_total{{reason="{name}"}}'), n, name)
        rx = {"vpn": 0, "netns": 0, "machine": 0}
        for port in lab.ask("counters")["items"]:
            rx[port["kind"]] += port["counters"]["rx_frames"]
        check(rx["netns"] > 0, "there was no traffic")
        for kind, n in rx.items():
            same(value(text, f'sallyport_port_frames_total{{kind="{kind}",direction="rx"}}'), n, kind)
    with case("a session that ends takes nothing from the sums"):
        was = value(scrape(), 'sallyport_port_frames_total{kind="vpn",direction="rx"}')
        lab.ask("session-kill", session=lab.sessions()[0]["id"])
        text = scrape()
        same(value(text, 'sallyport_sessions{openvpn="main"}'), 0, "sessions")
        now = value(text, 'sallyport_port_frames_total{kind="vpn",direction="rx"}')
        check(now >= was > 0, f"{was} frames before, {now} after")
        check(lab.daemon.log.find("session ended .*TRACE=[0-9a-f]{16}"), "no id in the log of the end")
    with case("wrong MACs are counted"):
        was = value(scrape(), 'sallyport_macs_total{result="refuse"}')
        lab.ask("hook-learn", instance="main", deadline_us=1 << 60, daemon_pid=lab.servers["main"].process.pid,
                common_name="nobody", trusted_ip="203.0.113.5", trusted_port=1, time_unix=1, event="add",
                mac="02:00:00:00:00:77", vid=7)
        same(value(scrape(), 'sallyport_macs_total{result="refuse"}'), was + 1, "refused")


# --- the listener ---

def dial():
    s = socket.create_connection(LISTEN, timeout=25)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


class Drip:
    """A request that never ends, a byte now and then; how long it was borne."""

    def __init__(self):
        self.began, self.lasted = time.monotonic(), None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with dial() as s, contextlib.suppress(OSError):
            s.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            while self.lasted is None:
                s.sendall(b"y")
                s.settimeout(0.5)
                with contextlib.suppress(socket.timeout):
                    if s.recv(100) == b"":
                        break
        self.lasted = time.monotonic() - self.began


def hear(s):
    try:
        return s.recv(100)
    except ConnectionResetError:
        return b""


def refused(address):
    with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)) as s:
        s.settimeout(2)
        return s.connect_ex(address) != 0


def listener(lab, alice):
    with case("404 elsewhere, 405 for other methods, HEAD without a body"):
        same(fetch("http://127.0.0.1:9469/")[0], 404, "/")
        status, headers, _ = fetch(method="POST")
        same((status, headers["Allow"]), (405, "GET, HEAD"), "POST")
        status, headers, text = fetch(method="HEAD")
        same((status, text), (200, ""), "HEAD")
        check(int(headers["Content-Length"]) > 1000, "no length")
    with case("it is on loopback and nowhere else"):
        lines = [line for line in net.run("ss", "-Hltn").stdout.splitlines() if ":9469" in line]
        check(len(lines) == 1 and "127.0.0.1:9469" in lines[0], f"{lines}")
        with net.in_ns(alice.ns):
            check(refused(("10.9.0.1", 9469)), "a client reaches it")
    with case("more callers than connections: the daemon goes on, they have their turn or are turned away"):
        with contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(dial()) for _ in range(40)]
            for s in crowd:
                s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            began = time.monotonic()
            lab.ask("status")
            check(time.monotonic() - began < 1, "status waited")
            answers = [hear(s) for s in crowd]
            check(all(not a or a.startswith(b"HTTP/1.1 200 ") for a in answers), f"{answers}")
            check(len([a for a in answers if a]) >= 16, f"{answers}")
        scrape()


def reload_to(lab, listen):
    lab.daemon.sections["metrics"] = {"listen": listen}
    lab.daemon.write_config()
    lab.ask("reload")


def reload(lab):
    with case("reload moves it, takes it away, and brings it back"):
        reload_to(lab, "[::1]:9470")
        check(refused(LISTEN), "the old one is still there")
        same(fetch("http://[::1]:9470/metrics")[0], 200, "the new one")
        reload_to(lab, "none")
        check(refused(("::1", 9470)), "it is still there")
        check("metrics" not in lab.ask("status"), "status has it still")
    with case("an address that others could reach is a mistake, and changes nothing"):
        try:
            reload_to(lab, "0.0.0.0:9469")
            check(False, "it was taken")
        except Refused as e:
            same(e.code, "EINVAL", "the refusal")
        lab.daemon.log.wait("listen: '0.0.0.0:9469': expected none, or a loopback address", 5)
        check(refused(LISTEN), "it listens")
    with case("an address that is taken: the daemon goes on, says so, and tries again on reload"):
        with socket.create_server(LISTEN):
            reload_to(lab, "127.0.0.1:9469")
            check("in use" in lab.ask("status")["metrics"]["error"], "status does not say so")
            p = lab.sallyport("status").stdout
            check("/metrics FAILED: " in p, p)
        lab.ask("reload")
        check("error" not in lab.ask("status")["metrics"], "the error stays")
        scrape()


def metrics(mode):
    lab = MachineLab(mode, daemon={"metrics": {"listen": "127.0.0.1:9469"}}).up()
    prometheus = Prometheus(lab)
    lab.user("alice", "10.50.0.10/24")
    lab.workload("alice", "web", "52:54:00:00:00:01", WEB + "/24")
    alice = lab.client("alice", "alice", ALICE_MAC)
    with case("Prometheus reads the daemon before the first login, and after it"):
        prometheus.wait(0)
        drip = Drip()
        alice.connect()
        settle(lab)
        sent, got = probe.ping(alice.ns, WEB, "-i", "0.1", count=5)
        same(got, sent, "replies")
        prometheus.wait(time.time())
    history(prometheus)
    names(lab)
    traces(lab)
    numbers(lab, alice)
    dashboard(lab, prometheus)
    prometheus.stop()
    listener(lab, alice)
    with case("a caller that sends a byte now and then is cut off after 10 s"):
        drip.thread.join(20)
        check(drip.lasted and 9 < drip.lasted < 14, f"it lasted {drip.lasted} s")
    reload(lab)
    lab.close()


main((metrics, "vlan"))
