# SPDX-License-Identifier: GPL-2.0-or-later
"""A stateful firewall at a machine's port: a policy, what passes, what does not, and why."""

import os
import socket
import time

from sally import net
from sally.machines import MachineLab
from sally.virt import http_get

from . import outcome, step, title

PROBE = os.path.realpath(os.environ.get("SP_BUILD") or "build") + "/probe-kernel"
CLIENT, MACHINE = "10.50.0.10", "10.50.0.101"

POLICY = f"""\
default in drop
accept in tcp from {CLIENT} dport 80 comment "the page"
reject in tcp dport 7 log comment "no echo"
expect allow in tcp from {CLIENT} dport 80
expect deny in tcp from {CLIENT} dport 7
expect deny in tcp from 10.50.0.11 dport 80
"""


def furnish(lab):
    lab.up()
    lab.user("alice", f"{CLIENT}/24")
    lab.client("alice").connect()
    m = lab.machine("alice", "web", f"{MACHINE}/24")
    m.start()
    return m


def write_policy():
    path = "/run/lab/web.policy"
    with open(path, "w") as f:
        f.write(POLICY)
    print("".join(f"        {line}\n" for line in POLICY.splitlines()), end="")
    return path


def say(lab, *words):
    for line in lab.sallyport(*words).stdout.splitlines():
        print("        " + line)


def put_in_force(lab, path):
    lab.sallyport("policy", "test", path)
    lab.sallyport("policy", "set", "alice", "web", path)
    return "its expectations hold; in force, in one step"


def dial(ns, port, timeout):
    """What a connection to the machine's PORT comes to, in words."""
    with net.in_ns(ns):
        s = socket.socket()
    s.settimeout(timeout)
    began = time.monotonic()
    try:
        s.connect((MACHINE, port))
        return "connected"
    except ConnectionRefusedError:
        return f"refused after {(time.monotonic() - began) * 1000:.0f} ms"
    except TimeoutError:
        return "silence"
    finally:
        s.close()


def try_it(lab):
    ns = lab.clients["alice"].ns
    page, echo, other = http_get(ns, MACHINE, 5), dial(ns, 7, 5), dial(ns, 22, 1)
    outcome(bool(page), f"port 80: {page!r}")
    outcome(echo.startswith("refused"), f"port 7, rejected: {echo}")
    outcome(other == "silence", f"port 22, which no rule lets in: {other}")


def explain(lab):
    for port in ("80", "7"):
        print(f"        # sallyport explain alice alice/web --tcp --dport {port}")
        say(lab, "explain", "alice", "alice/web", "--tcp", "--dport", port)
        print()


def show(explore):
    title("A firewall at the port of a machine")
    print("        starting libvirtd, sallyportd, OpenVPN, and a machine ...", flush=True)
    lab = MachineLab(machines={"probe-kernel": PROBE})
    m = furnish(lab)
    m.wait_page(lab.clients["alice"])
    outcome(True, "without a policy of its own it serves its segment")
    title("A policy")
    path = write_policy()
    step("tested, then put in force", put_in_force, lab, path)
    title("What passes")
    try_it(lab)
    title("And why: the programs themselves say it")
    explain(lab)
    title("What is open, and what rules have counted")
    say(lab, "flow", "list")
    say(lab, "policy", "show", "alice", "web", "--counters")
    if explore:
        explore(lab)
    lab.close()
