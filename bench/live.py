# SPDX-License-Identifier: GPL-2.0-or-later
"""How does the whole of it behave: daemon, OpenVPN, clients? Runs inside a world of the end-to-end
tests' harness; each function takes EMIT, which is called with one row at a time."""

import contextlib
import fcntl
import json
import os
import re
import signal
import sqlite3
import statistics
import struct
import subprocess
import time

from sally import net, worlds
from sally.daemon import Daemon
from sally.lab import Lab
from sally.mariadb import MariaDB

REFUSED_MAC = "02:be:ff:ff:ff:01"
PRODUCTION = {"daemon": {"log-level": "info"}, "store": {"timeout": "10000"},
              "dataplane": {"sample-interval": "10"}}


def _sections(**more):
    merged = {k: dict(v) for k, v in PRODUCTION.items()}
    for name, keys in more.items():
        merged.setdefault(name, {}).update(keys)
    return merged


@contextlib.contextmanager
def _closing(lab):
    """The lab ends with the block; if that failed, its logs are shown first."""
    try:
        yield lab
    except Exception:
        lab.report()
        raise
    finally:
        lab.close()


LEARN_RATE = 1000  # a second


def _program(lab, name, *args, timeout=120):
    """Run a bench program; its rows."""
    out = net.run(f"{lab.build}/bench/{name}", *args, timeout=timeout).stdout
    return [json.loads(line) for line in out.splitlines()]


def _session_key(lab, user):
    """A live session as bench/session.h takes it."""
    s = lab.sessions(user)[0]
    ip, port = s["remote"].rsplit(":", 1)
    return [lab.socket, s["instance"], s["common_name"], ip, port, s["time_unix"],
            lab.servers[s["instance"]].process.pid, s["vid"]]


def hooks(emit, wanted):
    """learn.* and plugin.refuse, on the session of a real client."""
    with _closing(Lab("vlan", daemon=_sections(session={"reserved-macs": REFUSED_MAC}))) as lab:
        lab.up()
        lab.user("alice", "10.50.0.10/24")
        lab.client("alice").connect()
        key = _session_key(lab, "alice")
        if wanted("learn"):
            for row in _program(lab, "bench_learn", *key, LEARN_RATE):
                emit(row)
        if wanted("plugin"):
            so = f"{lab.build}/hooks/openvpn-plugin-sallyport.so"
            for row in _program(lab, "bench_plugin", so, REFUSED_MAC, *key):
                emit(row)


CLAIM_RATE = 100  # a second: two transactions each


def learn_mysql(emit, _wanted):
    """The same with users in MariaDB, where a MAC is claimed before it is bound."""
    db = MariaDB(worlds.STATE + "/mariadb")
    db.install()
    db.start("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M")  # the defaults of 10.11
    db.sql("CREATE DATABASE sallyport")
    store = {"type": "mysql", "path": None, "socket": db.socket, "user": "root", "database": "sallyport"}
    with _closing(Lab("vlan", daemon=_sections(store=store))) as lab:
        lab.daemon.write_config()
        lab.sallyport("store", "init", "--config", lab.daemon.config)
        lab.up()
        lab.user("alice", "10.50.0.10/24")
        lab.client("alice").connect()
        for row in _program(lab, "bench_learn", *_session_key(lab, "alice"), CLAIM_RATE):
            emit(dict(row, name=row["name"].replace("learn.", "learn.mysql.")))
    db.stop()


# --- connect.stall ---

ROUNDS = 3
LOCKED_S = 5.5  # from the client's start: its connect comes some 0.3 s later
WINDOW_S = 7.0
INTERVAL_S = 0.01


class Pings:
    """Round-trip times as the kernel stamped them, one ping after the other."""

    def __init__(self, ns, address):
        self.p = net.start("ping", "-n", "-i", INTERVAL_S, address, ns=ns, stdout=subprocess.PIPE,
                           text=True)

    def worst_ms(self):
        time.sleep(0.2)
        self.p.send_signal(signal.SIGINT)
        out, _ = self.p.communicate(timeout=10)
        times = [float(t) for t in re.findall(r"time=([\d.]+) ms", out)]
        m = re.search(r"(\d+) packets transmitted, (\d+) received", out)
        # The last one may be on its way when ping ends.
        if not times or not m or int(m[1]) - int(m[2]) > 1:
            raise AssertionError(f"pings were lost: {m[0] if m else out[-200:]}")
        return max(times)


def _connect_once(lab, bystander, client, lock):
    """The bystander's worst RTT while CLIENT connects, and how long the connect took."""
    db = sqlite3.connect(lab.daemon.store, isolation_level=None, timeout=5)
    try:
        pings = Pings(bystander.ns, "10.50.0.101")
        time.sleep(0.3)
        began = time.monotonic()
        if lock:
            db.execute("BEGIN EXCLUSIVE")
        client.start()
        if lock:
            time.sleep(LOCKED_S)
            db.execute("ROLLBACK")
        client.wait(15)
        took = time.monotonic() - began
        time.sleep(max(0, WINDOW_S - took))
        worst = pings.worst_ms()
    finally:
        db.close()
    client.kill9()
    for s in lab.sessions(client.user):
        lab.ask("session-kill", session=s["id"])
    net.wait_for(lambda: not lab.sessions(client.user), 20, "the session to end")
    return worst, took


def stall(emit, _wanted):
    with _closing(Lab("vlan", daemon=_sections())) as lab:
        lab.up()
        lab.user("slow", "10.50.0.10/24")
        lab.user("other", "10.50.0.20/24")
        lab.workload("other", "web", "02:01:00:00:00:01", "10.50.0.101/24")
        slow, other = lab.client("slow"), lab.client("other")
        other.connect()
        net.wait_for(lambda: net.run("ping", "-c", 1, "-W", 1, "10.50.0.101", ns=other.ns,
                                     check=False).returncode == 0, 10, "the workload to answer")
        base, locked = [], []
        _connect_once(lab, other, slow, False)
        for _ in range(ROUNDS):
            base.append(_connect_once(lab, other, slow, False)[0])
            worst, took = _connect_once(lab, other, slow, True)
            if took < LOCKED_S:
                raise AssertionError(f"the connect took {took:.1f} s: the lock held nothing up")
            locked.append(worst)
        extra = [b - a for a, b in zip(base, locked)]
        emit({"name": "connect.stall", "value": max(0.0, statistics.median(extra)), "unit": "ms",
              "peer": "RTT, quick connect", "peer_value": statistics.median(base),
              "ratio": statistics.median(b / a for a, b in zip(base, locked))})


# --- daemon.memory, daemon.start ---

SIZES = (10, 10000, 100000)
STARTS = 3
START_MAX_S = 30
TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x0002 | 0x1000


class BareDaemon(Daemon):
    """Without a management socket: there is no OpenVPN behind the tap, only this process."""

    def write_config(self):
        super().write_config()
        with open(self.config) as f:
            lines = [line for line in f if not line.startswith("management")]
        with open(self.config, "w") as f:
            f.writelines(lines)


def _hold_tap(name):
    """As OpenVPN would: the tap has a carrier as long as this is open."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return fd


def _check_state(daemon, n):
    s = daemon.ask("status")
    if s["sessions"] != n or s["bindings"] < n:
        raise AssertionError(f"{s['sessions']} sessions, {s['bindings']} bindings; expected {n}")


def scale(emit, _wanted, n, before):
    """N users and bindings, in a world of its own. BEFORE: the size before, and what it took."""
    lab = Lab("mac", daemon=_sections(
        dataplane={"max-bindings": "262144", "max-ports": "262144"}))
    lab.daemon = BareDaemon(lab, lab.daemon.sections, f"{lab.state}/store-{n}/sallyport.db")
    fill = f"{lab.build}/bench/bench_fill"
    with _closing(lab), contextlib.ExitStack() as held:
        net.run(fill, "users", lab.daemon.store, n, timeout=300)
        lab.daemon.start(60)
        held.callback(os.close, _hold_tap(lab.servers["main"].tap))
        net.run(fill, "sessions", lab.socket, "main", n, os.getpid(), timeout=300)
        _check_state(lab.daemon, n)
        starts = []
        for _ in range(STARTS):
            lab.daemon.stop()
            starts.append(lab.daemon.start(START_MAX_S) * 1000)
            _check_state(lab.daemon, n)
        after = {"memory": lab.daemon.rss_kib() / 1024, "start": statistics.median(starts)}
    for what, unit in (("memory", "MiB"), ("start", "ms")):
        row = {"name": f"daemon.{what}.{n}", "value": after[what], "unit": unit}
        if before:
            size, values = before
            row.update(peer=f"{size} users", peer_value=values[what],
                       ratio=after[what] / values[what])
        emit(row)
