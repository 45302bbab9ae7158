# SPDX-License-Identifier: GPL-2.0-or-later
"""The network under test: one host with sallyportd and OpenVPN, clients, workloads, all real.

    lab = Lab("vlan"); lab.up(); lab.user("alice", "10.50.0.10/24"); lab.workload("alice", "web", ...)
    alice = lab.client("alice"); alice.connect()
"""

import json
import os
import shutil
import sys

from . import control, net, tap, worlds
from .daemon import Daemon
from .ovpn import ADDRESS, Client, Server
from .pki import Pki

ROOT = os.path.realpath(os.path.dirname(__file__) + "/../../..")


class Workload:
    """A namespace with a veth of sallyport's into it."""

    def __init__(self, user, name, mac, addresses):
        self.user, self.short, self.mac, self.addresses = user, name, mac, addresses
        self.name = f"{user}/{name}"
        self.ns = f"w-{user}-{name}"
        self.dev = "eth0"


class Lab:
    def __init__(self, mode="vlan", hooks="plugin", instances=("main",), daemon=None, store=None,
                 server_extra="", timeout=6):
        self.mode = mode
        self.state = worlds.STATE
        self.build = os.path.realpath(os.environ.get("SP_BUILD") or ROOT + "/build")
        self.socket = "/run/sallyport/control.sock"
        self.hooks = self._publish_hooks()
        self.pki = Pki(ROOT + "/build/pki")
        self.servers = {}
        for i, name in enumerate(instances):
            self.servers[name] = Server(self, name, mode, 1194 + i, hooks, server_extra, timeout=timeout)
        self.daemon = Daemon(self, daemon, store)
        self.users, self.clients, self.workloads = {}, {}, {}
        self._links = 0
        tap.on_failure(self.report)

    def _publish_hooks(self):
        """Where user nobody can read them, wherever the build directory is."""
        target = self.state + "/hooks"
        os.makedirs(target, exist_ok=True)
        source = self.build + "/hooks"
        for f in os.listdir(source) if os.path.isdir(source) else ():
            shutil.copy(f"{source}/{f}", target)
            os.chmod(f"{target}/{f}", 0o755)
        return target

    # --- building it ---

    def up(self):
        """The daemon first: it makes the taps; then OpenVPN."""
        net.quiet()
        net.ip("link", "set", "lo", "up")
        net.ip("addr", "add", f"{ADDRESS}/32", "dev", "lo")
        self.daemon.start()
        for server in self.servers.values():
            server.start()
        return self

    def underlay(self, ns):
        """A namespace with a route to the endpoint, and nothing else that could carry a frame."""
        if os.path.exists(f"/run/netns/{ns}"):
            return
        self._links += 1
        n = self._links
        net.netns_add(ns)
        net.ip("link", "add", f"ul-{n}", "type", "veth", "peer", "name", "up0", "netns", ns)
        net.ip("addr", "add", f"10.9.{n}.1/30", "dev", f"ul-{n}")
        net.ip("link", "set", f"ul-{n}", "up")
        net.quiet(ns, "up0")
        net.ip("addr", "add", f"10.9.{n}.2/30", "dev", "up0", ns=ns)
        net.ip("link", "set", "up0", "up", ns=ns)
        net.ip("route", "add", f"{ADDRESS}/32", "via", f"10.9.{n}.1", ns=ns)

    def password(self, user):
        return f"secret of {user}"

    def user(self, name, address=None, address6=None, **args):
        extra = {k: v for k, v in (("address", address), ("address6", address6)) if v}
        self.daemon.ask("user-add", name=name, password=self.password(name), **extra, **args)
        self.users[name] = address

    def client(self, name, user=None, mac=None, **kw):
        c = Client(self, name, user or name, mac, **kw)
        self.clients[name] = c
        return c

    def workload(self, user, name, mac, *addresses):
        w = Workload(user, name, mac, addresses)
        net.netns_add(w.ns)
        self.daemon.ask("workload-add", user=user, name=name, netns=w.ns, mac=mac)
        self.furnish(w)
        self.workloads[w.name] = w
        return w

    def furnish(self, w):
        """What the owner of a namespace does once the veth is there: addresses, up."""
        net.wait_for(lambda: net.link_exists(w.ns, w.dev), 5, f"{w.dev} in {w.ns}")
        for a in w.addresses:
            nodad = ["nodad"] if ":" in a else []
            net.ip("addr", "add", a, "dev", w.dev, *nodad, ns=w.ns)
        net.ip("link", "set", w.dev, "up", ns=w.ns)

    def endpoints(self):
        """Everybody who can receive: clients and workloads, by name."""
        return {**self.clients, **self.workloads}

    def segments(self):
        """user -> names of everybody on the user's segment."""
        found = {}
        for name, e in self.endpoints().items():
            found.setdefault(e.user, set()).add(name)
        return found

    # --- asking it ---

    def ask(self, op, **args):
        return self.daemon.ask(op, **args)

    def sessions(self, user=None):
        return self.ask("session-list", **({"user": user} if user else {}))["items"]

    def wait_gone(self, predicate, what, timeout=15):
        """Until no session is as PREDICATE says."""
        net.wait_for(lambda: not [s for s in self.sessions() if predicate(s)], timeout, what, 0.05)

    def reasons(self):
        return {r["name"]: r["frames"] for r in self.ask("counters")["reasons"]}

    def moved(self, reason, before, by=1, timeout=5):
        """Wait until the counter of REASON is BY above what it was in BEFORE."""
        def now():
            return self.reasons().get(reason, 0) - before.get(reason, 0) >= by

        def story():
            after = self.reasons()
            delta = {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
            return f"reason {reason} to move by {by}; what moved: {delta}"

        net.wait_for(now, timeout, story, 0.05)

    def sallyport(self, *args, check=True, **kw):
        """The command line, as an operator calls it."""
        return net.run(f"{self.build}/sallyport", "--socket", self.socket, *args, check=check, **kw)

    def json(self, *args):
        return json.loads(self.sallyport("--json", *args).stdout)

    # --- ending it ---

    def close(self):
        for c in self.clients.values():
            if c.process is not None and c.process.poll() is None:
                c.process.kill()
        for server in self.servers.values():
            server.stop()
        self.daemon.stop()
        tap.forget_reporter(self.report)

    def report(self):
        """The ends of all logs, as comments; the whole of them below build/e2e-logs."""
        keep = f"{ROOT}/build/e2e-logs/{os.path.basename(sys.argv[0])}"
        shutil.rmtree(keep, ignore_errors=True)
        os.makedirs(keep)
        logs = [self.daemon.log] + [s.log for s in self.servers.values()] + \
            [c.log for c in self.clients.values()]
        for log in logs:
            shutil.copy(log.path, f"{keep}/{log.path[len(self.state) + 1:].replace('/', '_')}")
            lines = log.tail(10 if log.path.endswith(('d.log', 'server.log')) else 4)
            if lines:
                tap.say(f"--- {log.path}")
                tap.say("\n".join(lines))
        tap.say(f"whole logs: {keep}")
