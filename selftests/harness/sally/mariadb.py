# SPDX-License-Identifier: GPL-2.0-or-later
"""A real MariaDB of the test's own: data, socket and log in one directory, no network unless asked for.

    db = MariaDB(worlds.STATE + "/db"); db.install(); db.start(); db.sql("SELECT 1"); db.stop()
"""

import os
import signal
import socket

from . import net
from .logfile import Log

SMALL = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--performance-schema=OFF")


class MariaDB:
    def __init__(self, directory, user="root"):
        self.dir, self.user = directory, user
        os.makedirs(directory, exist_ok=True)
        self.socket = f"{directory}/socket"
        self.log = Log(f"{directory}/log")
        self.process = None

    def install(self):
        """An empty data directory: root comes in by the socket, without a password."""
        net.run("mariadb-install-db", "--no-defaults", f"--datadir={self.dir}/data", f"--tmpdir={self.dir}",
                f"--user={self.user}", "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=8M")

    def start(self, *options, wait=True):
        notify = f"{self.dir}/notify"
        if os.path.exists(notify):
            os.unlink(notify)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(notify)
        self._notify.settimeout(0.05)
        os.chmod(notify, 0o666)
        with open(self.log.path, "ab") as f:
            self.process = net.start(
                "mariadbd", "--no-defaults", f"--datadir={self.dir}/data", f"--socket={self.socket}",
                f"--pid-file={self.dir}/pid", f"--tmpdir={self.dir}", f"--user={self.user}", *SMALL,
                *(options or ["--skip-networking"]), stdout=f, stderr=f, env=dict(os.environ, NOTIFY_SOCKET=notify))
        if wait:
            self.wait()

    def wait(self, timeout=40):
        net.wait_for(self._ready, timeout, lambda: f"mariadbd in {self.dir}: {self.log.tail(5)}")
        self._notify.close()

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"mariadbd in {self.dir} ended: {self.log.tail(8)}")
        try:
            return b"READY=1" in self._notify.recv(4096).split(b"\n")
        except socket.timeout:
            return False

    def sql(self, text, database=None):
        """Rows as lists of text."""
        out = net.run("mariadb", "--no-defaults", "-uroot", "-S", self.socket, "-N", "-B",
                      *([database] if database else []), "-e", text).stdout
        return [line.split("\t") for line in out.splitlines()]

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        net.stop(self.process, signal.SIGTERM)
