# SPDX-License-Identifier: GPL-2.0-or-later
"""sallyportd under test: its configuration, its start (it says when it is ready), its end."""

import os
import signal
import socket
import time

from . import control, net
from .logfile import Log


class Daemon:
    def __init__(self, lab, sections=None, store=None):
        self.lab = lab
        self.socket = lab.socket
        self.config = f"{lab.state}/sallyportd.conf"
        self.store = store or f"{lab.state}/store/sallyport.db"
        os.makedirs(os.path.dirname(self.store), exist_ok=True)
        self.sections = sections or {}
        self.log = Log(f"{lab.state}/sallyportd.log")
        self.process = None
        self._notify = None

    def write_config(self):
        sections = {
            "daemon": {"socket": self.socket, "log-level": "debug"},
            "store": {"path": self.store, "timeout": "1000"},
            "dataplane": {"bpffs": "/sys/fs/bpf", "sample-interval": "0"},
            "session": {},
        }
        for server in self.lab.servers.values():
            sections[f"instance {server.name}"] = {
                "mode": server.mode, "tap": server.tap, "config": server.config,
                "management": f"{server.dir}/mgmt.sock", "user": "nobody", "group": "nogroup",
            }
        for name, keys in self.sections.items():
            sections.setdefault(name, {}).update(keys)
        with open(self.config, "w") as f:
            for name, keys in sections.items():
                if keys:
                    f.write(f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()
                                                    if v is not None) + "\n")

    def start(self, timeout=20, wrap=()):
        """Until READY=1. Returns how long that took, in seconds."""
        self.write_config()
        path = f"{self.lab.state}/notify.sock"
        if os.path.exists(path):
            os.unlink(path)
        if self._notify:
            self._notify.close()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(path)
        self._notify.settimeout(0.1)
        env = dict(os.environ, NOTIFY_SOCKET=path)
        began = time.monotonic()
        with open(self.log.path, "ab") as f:
            self.process = net.start(*wrap, f"{self.lab.build}/sallyportd", "--config", self.config,
                                     stdout=f, stderr=f, env=env)
        net.wait_for(self._ready, timeout, "READY=1 of sallyportd")
        return time.monotonic() - began

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"sallyportd ended at once, status {self.process.returncode}")
        try:
            return b"READY=1" in self._notify.recv(4096).split(b"\n")
        except socket.timeout:
            return False

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=20):
        """Until it has ended, well: no leak, nothing for a sanitizer to say. Returns how long that took."""
        began = time.monotonic()
        ran = self.process is not None and self.process.poll() is None
        net.stop(self.process, signal.SIGTERM, timeout)
        if self._notify:
            self._notify.close()
            self._notify = None
        if ran and self.process.returncode != 0:
            raise AssertionError(f"sallyportd ended with status {self.process.returncode} after "
                                 f"{time.monotonic() - began:.1f} s: " + "\n".join(self.log.tail(30)))
        return time.monotonic() - began

    def ask(self, op, **args):
        return control.ask(self.socket, op, **args)

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
