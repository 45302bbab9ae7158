# SPDX-License-Identifier: GPL-2.0-or-later
"""Three nodes of a real Galera cluster on the loopback of the world, and what is done to them."""

import os
import shutil
import signal
import socket

from . import net, worlds
from .logfile import Log

USER = "mysql"  # its package's: the transfer of states does not work as root
PROVIDER = "/usr/lib/galera/libgalera_smm.so"
# A node that is gone is missed after two seconds, not five; less, and they flap.
TIMEOUTS = ("evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.inactive_check_period=PT0.5S;"
            "evs.keepalive_period=PT0.5S;evs.install_timeout=PT4S;gcache.size=8M")


class Node:
    """One server; NUMBER from 0. Clients reach it at 127.0.0.1, port 3306 + NUMBER."""

    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.port = 3306 + number
        self.group = 4567 + 10 * number
        self.dir = f"{cluster.dir}/{number}"
        os.makedirs(self.dir, exist_ok=True)
        shutil.chown(self.dir, USER, USER)
        self.socket = f"{self.dir}/socket"
        self.log = Log(f"{self.dir}/log")
        self.process = None

    def start(self, first=False, wait=True):
        """FIRST: it is a cluster by itself, which others join."""
        notify = f"{self.dir}/notify"
        if os.path.exists(notify):
            os.unlink(notify)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(notify)
        self._notify.settimeout(0.05)
        os.chmod(notify, 0o666)
        others = ",".join(f"127.0.0.1:{n.group}" for n in self.cluster.nodes)
        with open(self.log.path, "ab") as f:
            self.process = net.start(
                "mariadbd", "--no-defaults", f"--datadir={self.dir}/data", f"--socket={self.socket}",
                f"--pid-file={self.dir}/pid", f"--user={USER}", f"--port={self.port}", "--bind-address=127.0.0.1",
                "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--performance-schema=OFF",
                "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON",
                f"--wsrep-provider={PROVIDER}", f"--wsrep-node-name=n{self.number}", "--wsrep-cluster-name=lab",
                f"--wsrep-node-address=127.0.0.1:{self.group}", f"--wsrep-cluster-address=gcomm://{others}",
                "--wsrep-provider-options=base_host=127.0.0.1;base_port=%d;gmcast.listen_addr=tcp://127.0.0.1:%d;"
                "ist.recv_addr=127.0.0.1:%d;%s" % (self.group, self.group, self.group + 1, TIMEOUTS),
                "--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address=127.0.0.1:{self.group + 2}",
                *(["--wsrep-new-cluster"] if first else []), stdout=f, stderr=f,
                env=dict(os.environ, NOTIFY_SOCKET=notify))
        if wait:
            self.wait()

    def wait(self, timeout=40):
        net.wait_for(self._ready, timeout, lambda: f"node {self.number}: {self.log.tail(5)}")
        self._notify.close()

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"node {self.number} ended: {self.log.tail(8)}")
        try:
            return b"READY=1" in self._notify.recv(4096).split(b"\n")
        except socket.timeout:
            return False

    def sql(self, text, database=None):
        """Rows as lists of text."""
        out = net.run("mariadb", "--no-defaults", "-uroot", "-S", self.socket, "-N", "-B",
                      *([database] if database else []), "-e", text).stdout
        return [line.split("\t") for line in out.splitlines()]

    def status(self, name):
        return self.sql(f"SHOW STATUS LIKE '{name}'")[0][1]

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        net.stop(self.process, signal.SIGTERM)


class Cluster:
    def __init__(self, count=3):
        self.dir = worlds.STATE + "/galera"
        os.makedirs(self.dir)
        worlds.mount("galera", self.dir, "tmpfs", data="size=1g")
        self.nodes = []
        self.nodes.extend(Node(self, n) for n in range(count))

    def start(self):
        """The nodes begin with the same data, as after a backup: nobody has to send it whole."""
        first = self.nodes[0]
        net.run("mariadb-install-db", "--no-defaults", f"--datadir={first.dir}/data", f"--user={USER}",
                "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=8M")
        first.start(first=True)  # now the data says of which cluster it is, and how far it got
        first.stop()
        for node in self.nodes[1:]:
            net.run("cp", "-a", f"{first.dir}/data", f"{node.dir}/data")
        first.start(first=True)
        for node in self.nodes[1:]:  # two at once would stand in each other's way
            node.start()
        self.wait_size(len(self.nodes))

    def living(self):
        return [n for n in self.nodes if n.process is not None and n.process.poll() is None]

    def wait_size(self, size, nodes=None):
        for n in nodes or self.living():
            net.wait_for(lambda n=n: (n.status("wsrep_cluster_size"), n.status("wsrep_ready")) == (str(size), "ON"),
                         20, f"node {n.number} to be one of {size}", 0.1)

    def hosts(self, first=0):
        """For [store] hosts, beginning with node FIRST."""
        order = self.nodes[first:] + self.nodes[:first]
        return ", ".join(f"127.0.0.1:{n.port}" for n in order)

    def account(self, database):
        """What docs/store.md has an operator do, for clients on this host, without a password."""
        self.nodes[0].sql(f"CREATE DATABASE {database}; CREATE USER sallyport@'127.0.0.1' IDENTIFIED BY ''; "
                          f"GRANT ALL ON {database}.* TO sallyport@'127.0.0.1'")

    def close(self):
        for n in self.living():
            n.kill9()
