# SPDX-License-Identifier: GPL-2.0-or-later
"""Three nodes of a real Galera cluster on the loopback of the world, and what is done to them."""

import os
import shutil

from . import net, worlds
from .mariadb import MariaDB

USER = "mysql"  # its package's: the transfer of states does not work as root
PROVIDER = "/usr/lib/galera/libgalera_smm.so"
# A node that is gone is missed after two seconds, not five; less, and they flap.
TIMEOUTS = ("evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.inactive_check_period=PT0.5S;"
            "evs.keepalive_period=PT0.5S;evs.install_timeout=PT4S;gcache.size=8M")


class Node(MariaDB):
    """One server; NUMBER from 0. Clients reach it at 127.0.0.1, port 3306 + NUMBER."""

    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.port = 3306 + number
        self.group = 4567 + 10 * number
        super().__init__(f"{cluster.dir}/{number}", USER)
        shutil.chown(self.dir, USER, USER)

    def start(self, first=False, wait=True):  # pylint: disable=arguments-differ
        """FIRST: it is a cluster by itself, which others join."""
        others = ",".join(f"127.0.0.1:{n.group}" for n in self.cluster.nodes)
        super().start(
            f"--port={self.port}", "--bind-address=127.0.0.1",
            "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON",
            f"--wsrep-provider={PROVIDER}", f"--wsrep-node-name=n{self.number}", "--wsrep-cluster-name=lab",
            f"--wsrep-node-address=127.0.0.1:{self.group}", f"--wsrep-cluster-address=gcomm://{others}",
            "--wsrep-provider-options=base_host=127.0.0.1;base_port=%d;gmcast.listen_addr=tcp://127.0.0.1:%d;"
            "ist.recv_addr=127.0.0.1:%d;%s" % (self.group, self.group, self.group + 1, TIMEOUTS),
            "--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address=127.0.0.1:{self.group + 2}",
            *(["--wsrep-new-cluster"] if first else []), wait=wait)

    def status(self, name):
        return self.sql(f"SHOW STATUS LIKE '{name}'")[0][1]


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
        first.install()
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
