# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines in the lab: a libvirt of the test's own, guests that serve a page with their name.

    lab = MachineLab(); lab.up(); lab.user(...); web = lab.machine("alice", "web", 101)
    web.state(); web.page(lab.clients["alice"]); lab.wait_state(web, "running")
"""

import contextlib
import os
import re
import select
import threading
import time

from . import net, tap
from .console import Console
from .events import Events
from .lab import Lab
from .virt import BOOT, GUEST, Libvirt, guest_files, http_get

MEMORY = 128  # MiB: the kernel is not compressed
UP = ("running", "shrunk", "paused", "starting", "resuming", "pausing", "saving", "stopping")
QUICK = {"grace": "1s", "min-up": "0", "stop-timeout": "15s"}


class Machine:
    """What sallyport knows as USER/NAME; the guest has ADDRESSES and serves PAGE."""

    def __init__(self, lab, user, short, addresses, page):
        self.lab, self.user, self.short, self.addresses, self.page_text = lab, user, short, addresses, page
        self.name = f"{user}/{short}"

    def show(self):
        return self.lab.ask("machine-show", user=self.user, name=self.short)["machine"]

    @property
    def id(self):
        return self.show()["id"]

    def state(self):
        return self.show()["state"]

    @property
    def domain(self):
        return self.show()["domain"]

    def address(self):
        return self.addresses[0].split("/")[0]

    def fetch(self, client, timeout=0.5, path="/"):
        """The page as CLIENT gets it; None: no answer."""
        return http_get(client.ns, self.address(), timeout, path)

    def wait_page(self, client, timeout=60):
        """Until CLIENT gets this machine's own page."""
        def got():
            text = self.fetch(client)
            if text is not None and self.page_text not in text:
                raise AssertionError(f"{client.name} asked {self.name} and got: {text}")
            return text
        return net.wait_for(got, timeout, f"the page of {self.name} at {client.name}; it is {self.show()}")

    def wait(self, *states, timeout=60):
        net.wait_for(lambda: self.state() in states, timeout,
                     lambda: f"{self.name} to be {' or '.join(states)}; it is {self.show()}", 0.05)
        return self.show()

    def start(self, wait=True, check=True):
        return self.lab.sallyport("--timeout", "120", "machine", "start", self.user, self.short,
                                  *(["--wait"] if wait else []), check=check)

    def stop(self, *how, wait=True, check=True, timeout=120):
        return self.lab.sallyport("--timeout", timeout, "machine", "stop", self.user, self.short, *how,
                                  *(["--wait"] if wait else []), check=check)

    def policy(self, **options):
        args = [x for k, v in options.items() for x in (f"--{k.replace('_', '-')}", v)]
        return self.lab.sallyport("machine", "policy", self.user, self.short, *args)


def consistent(lab, what):
    """As sallyport says, so it is: each machine that is up has one process and one tap, and nothing else is there."""
    def look():
        up = {m["domain"] for m in lab.ask("machine-list")["items"] if m["state"] in UP}
        taps = {f"spm{m['id']}" for m in lab.ask("machine-list")["items"] if m["state"] in UP}
        found = (lab.qemus(), lab.active(), lab.taps(), lab.ask("status")["libvirt"]["orphans"])
        lab.found = f"up {up}, found {found}"
        return found[0].keys() == up == found[1] and found[2] == taps and found[3] == 0 and \
            all(len(pids) == 1 for pids in found[0].values())

    net.wait_for(look, 30, lambda: f"one process and one tap for what is up, {what}: {lab.found}", 0.1)


class Watch:
    """What the daemon's monitor says of machines, and when it came: since it was begun."""

    def __init__(self, lab):
        self.events = Events(lab.socket)
        self.seen = [(time.monotonic(), f"{m['user']}/{m['name']}", m["state"]) for m in lab.ask("machine-list")["items"]]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()
        self.events.control.s.close()

    def _run(self):
        known = 0
        while not self._stop.is_set():
            if not select.select([self.events.control.s], [], [], 0.2)[0]:
                continue
            self.events.collect()
            now = time.monotonic()
            if known == len(self.events.seen):
                return  # the daemon has closed it
            for e in self.events.seen[known:]:
                if e["type"] == "machine":
                    self.seen.append((now, e["name"], e["state"]))
            known = len(self.events.seen)

    def mark(self):
        return len(self.seen)

    def of(self, machine, since=0):
        """[(when, state)] of this one; a state that was told again, for another reason, is none."""
        found, last = [], None
        for i, (when, name, state) in enumerate(self.seen):
            if name == machine.name and state != last:
                last = state
                if i >= since:
                    found.append((when, state))
        return found

    def states(self, machine, since=0):
        return [state for _, state in self.of(machine, since)]

    def wait(self, machine, *states, since=0, timeout=60):
        """When it was first said to be in one of STATES."""
        def look():
            return next((when for when, state in self.of(machine, since) if state in states), None)

        return net.wait_for(look, timeout, lambda: f"{machine.name} to become {' or '.join(states)}; "
                            f"it was {self.states(machine, since)} and is {machine.show()}")


class TapEnd:
    """A machine's tap, for a sniffer: what is sent to its guest."""

    def __init__(self, machine):
        self.ns, self.dev, self.leaving = net.HOST, machine.show()["device"], True


class MachineLab(Lab):
    def __init__(self, mode="vlan", machines=None, daemon=None, kvm=False, **kw):
        guest_files()
        self.libvirt = Libvirt(kvm=kvm)
        sections = {k: dict(v) for k, v in (daemon or {}).items()}
        sections.setdefault("machines", {}).update({
            "uri": self.libvirt.uri, "image-dir": self.libvirt.images(), **QUICK, **(machines or {})})
        super().__init__(mode, daemon=sections, **kw)
        self.machines = {}

    def up(self):
        self.libvirt.start()
        return super().up()

    def machine(self, user, short, *addresses, page=None, words="", memory=MEMORY, add=(), known=True,
                initrd="initrd"):
        """A machine that boots the guest's kernel directly. KNOWN: its addresses are told, too."""
        page = page or f"{user}-{short}"
        line = f"{BOOT} sp.ip={','.join(addresses)} sp.page={page} {words}"
        told = ["--address", ",".join(a.split("/")[0] for a in addresses)] if known and addresses else []
        self.sallyport("--timeout", "60", "machine", "add", user, short, "--kernel", f"{GUEST}/vmlinux",
                       "--initrd", f"{GUEST}/{initrd}", "--cmdline", line, "--memory", str(memory), *told, *add)
        m = Machine(self, user, short, addresses, page)
        self.machines[m.name] = m
        return m

    def ready(self, timeout=30):
        """Until libvirt is there, and what it can do is known."""
        def known():
            v = self.ask("status")["libvirt"]
            return v["state"] == "connected" and v["accel"] != "unknown"

        if self.ask("status")["libvirt"]["state"] == "not asked yet":
            self.sallyport("machine", "add", "nobody", "nothing", "--domain", "none", check=False)
        net.wait_for(known, timeout, lambda: f"libvirt; it is {self.ask('status')['libvirt']}", 0.05)
        return self

    def report(self):
        """And what the machines are, and their guests see."""
        super().report()
        for m in self.machines.values():
            with contextlib.suppress(AssertionError, OSError):
                show = m.show()
                tap.say(f"{m.name}: {show}")
                if show["state"] in ("running", "shrunk"):
                    with Console(self, m.user, m.short, force=True) as c:
                        tap.say(c.run("cat /proc/uptime; ip addr show eth0; ip neigh; dmesg | tail -n 3", 5))

    def active(self):
        """Domains that have a QEMU, as libvirt says."""
        return set(self.libvirt.virsh("list", "--name").split())

    def qemus(self):
        """domain -> pids of the QEMU processes that are there, whatever libvirt says."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
                m = re.match(rb"\S*qemu-system\S*?\0-name\0guest=([^,\0]+)", f.read())
                if m:
                    found.setdefault(m[1].decode(), []).append(int(pid))
        return found

    def watch(self):
        return Watch(self)

    def taps(self):
        return {n for n in os.listdir("/sys/class/net") if n.startswith("spm")}

    def close(self):
        super().close()
        self.libvirt.clear()
        self.libvirt.stop()
