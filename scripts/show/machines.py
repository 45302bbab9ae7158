# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines that are there when their user is: real libvirt and QEMU, three users, three machines
each, two users with the same addresses."""

import os
import time

from sally.machines import MachineLab
from sally.virt import http_get

from . import outcome, step, title

PROBE = os.path.realpath(os.environ.get("SP_BUILD") or "build") + "/probe-kernel"
NAMES = ("web", "wiki", "db")
PLAN = {  # user: network, policy
    "alice": ("10.50.0", {"start": "connect", "stop": "pause 3s then save 3s then stop"}),
    "bob": ("10.50.0", {"start": "connect", "stop": "save"}),
    "carol": ("10.50.3", {"start": "traffic", "stop": "pause"}),
}


def since(began):
    return f"{time.monotonic() - began:.1f} s"


def mine(lab, user):
    return [lab.machines[f"{user}/{n}"] for n in NAMES]


def furnish(lab):
    lab.up()
    for user, (network, policy) in PLAN.items():
        lab.user(user, f"{network}.10/24")
        lab.client(user)
        for i, name in enumerate(NAMES):
            lab.machine(user, name, f"{network}.{101 + i}/24", page=f"{name}-of-{user}").policy(**policy)
    running = lab.active()
    outcome(not running, "nine machines, from one kernel and initrd; none of them runs")


def log_in(lab):
    """alice and bob: their machines begin to boot before the tunnel is up."""
    began = time.monotonic()
    for user in ("alice", "bob"):
        lab.clients[user].start()
    for user in ("alice", "bob"):
        lab.clients[user].wait(60)
    print(f"        tunnels are up after {since(began)}, machines are booting ...", flush=True)
    for user in ("alice", "bob"):
        for m in mine(lab, user):
            m.wait_page(lab.clients[user])
    return f"all six answer their users {since(began)} after the clients were started"


def pages(lab):
    """What each user gets at each address that anybody's machine has."""
    addresses = sorted({m.address() for m in lab.machines.values()})
    width = max(len(m.page_text) for m in lab.machines.values()) + 2
    print("  " + " " * 8 + "".join(a.ljust(width) for a in addresses))
    wrong = []
    for user, client in lab.clients.items():
        got = [m_page(client, a) for a in addresses]
        print("  " + user.ljust(8) + "".join((g or ".").ljust(width) for g in got))
        want = {m.address(): m.page_text for m in mine(lab, user)}
        wrong += [f"{user} at {a}: {g}" for a, g in zip(addresses, got) if g != want.get(a)]
    print("  rows ask, \".\": silence; alice and bob use the same addresses")
    outcome(not wrong, "everybody gets the own pages and no others" + (f": {wrong}" if wrong else ""))


def m_page(client, address):
    return http_get(client.ns, address, 1)


def wake(lab):
    client = lab.clients["carol"].connect()
    states = {m.state() for m in mine(lab, "carol")}
    if states != {"off"}:
        raise AssertionError(f"they are {states}")
    took = []
    for m in mine(lab, "carol"):
        began = time.monotonic()
        text = m.fetch(client, timeout=60)
        if text != m.page_text:
            raise AssertionError(f"{m.name} answered {text}")
        took.append(since(began))
    return f"one connection each, never repeated by us: answered after {', '.join(took)}"


def doze(lab):
    m = mine(lab, "carol")[0]
    m.policy(idle="2s")
    m.wait("paused")
    began = time.monotonic()
    if m.fetch(lab.clients["carol"], timeout=20) != m.page_text:
        raise AssertionError("no page")
    return f"paused after 2 s without traffic, and the next request was answered in {(time.monotonic() - began) * 1000:.0f} ms"


def down_the_ladder(lab):
    began = time.monotonic()
    lab.clients["alice"].stop()
    seen = []
    for state in ("paused", "saved", "off"):
        for m in mine(lab, "alice"):
            m.wait(state)
        seen.append(f"{state} after {since(began)}")
    return ", ".join(seen)


def come_back(lab):
    """From a saved image, while the tunnel is being made."""
    lab.clients["bob"].stop()
    for m in mine(lab, "bob"):
        m.wait("saved")
    began = time.monotonic()
    lab.clients["bob"].connect()
    tunnel = time.monotonic() - began
    for m in mine(lab, "bob"):
        m.wait_page(lab.clients["bob"])
    return f"the tunnel took {tunnel:.1f} s, all three pages {time.monotonic() - began:.1f} s"


def story(lab):
    session = lab.sessions("carol")[0]["id"]
    for line in lab.sallyport("trace", str(session)).stdout.splitlines():
        print("  " + line)


def show(explore):
    title("Virtual machines: three users, three machines each")
    print("        starting libvirtd, sallyportd, OpenVPN ...", flush=True)
    lab = MachineLab(machines={"probe-kernel": PROBE})
    furnish(lab)
    title("They are there when their users are")
    step("alice and bob log in", log_in, lab)
    step("carol logs in; hers start with the first frame that is for them", wake, lab)
    title("Who gets which page")
    pages(lab)
    title("And cost nothing when not")
    step("one of carol's", doze, lab)
    step("alice logs out, her policy is pause 3s then save 3s then stop", down_the_ladder, lab)
    step("bob logs out and comes back, his policy is save", come_back, lab)
    title("Where the time went: carol's trace")
    story(lab)
    if explore:
        explore(lab)
    lab.close()
