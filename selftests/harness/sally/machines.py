# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines in the lab: a libvirt of the test's own, guests that serve a page with their name.

    lab = MachineLab(); lab.up(); lab.user(...); web = lab.machine("alice", "web", 101)
    web.state(); web.page(lab.clients["alice"]); lab.wait_state(web, "running")
"""

import os

from . import net
from .lab import Lab
from .virt import GUEST, Libvirt, guest_files, http_get

MEMORY = 128  # MiB: the kernel is not compressed
QUICK = {"grace": "1s", "min-up": "0", "stop-timeout": "15s"}


class Machine:
    """What sallyport knows as USER/NAME; the guest has ADDRESSES and serves PAGE."""

    def __init__(self, lab, user, short, addresses, page):
        self.lab, self.user, self.short, self.addresses, self.page_text = lab, user, short, addresses, page
        self.name = f"{user}/{short}"

    def show(self):
        return self.lab.ask("machine-show", user=self.user, name=self.short)["machine"]

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

    def start(self, wait=True):
        return self.lab.sallyport("--timeout", "120", "machine", "start", self.user, self.short,
                                  *(["--wait"] if wait else []))

    def stop(self, *how, wait=True):
        return self.lab.sallyport("--timeout", "120", "machine", "stop", self.user, self.short, *how,
                                  *(["--wait"] if wait else []))

    def policy(self, **options):
        args = [x for k, v in options.items() for x in (f"--{k.replace('_', '-')}", v)]
        return self.lab.sallyport("machine", "policy", self.user, self.short, *args)


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
        line = f"console=ttyS0 quiet sp.ip={','.join(addresses)} sp.page={page} {words}"
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

    def active(self):
        """Domains that have a QEMU, as libvirt says."""
        return set(self.libvirt.virsh("list", "--name").split())

    def taps(self):
        return {n for n in os.listdir("/sys/class/net") if n.startswith("spm")}

    def close(self):
        super().close()
        self.libvirt.clear()
        self.libvirt.stop()
