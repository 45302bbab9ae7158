# SPDX-License-Identifier: GPL-2.0-or-later
"""Real OpenVPN on both ends: the servers as an unprivileged user, each client in its own namespace."""

import os
import pwd
import signal
import socket

from . import net
from .logfile import Log

ADDRESS = "10.9.0.1"  # the endpoint, on the host's loopback; clients have a route to it
NOBODY = pwd.getpwnam("nobody")

SERVER = """\
mode server
tls-server
dev {tap}
dev-type tap
proto udp4
local {address}
port {port}
tun-mtu {mtu}
ca {pki}/ca.crt
cert {pki}/server.crt
key {pki}/server.key
dh none
tls-crypt {pki}/ta.key
remote-cert-tls client
data-ciphers AES-256-GCM
keepalive 1 {timeout}
persist-key
persist-tun
user nobody
group nogroup
script-security 2
max-routes-per-client {routes}
tmp-dir {dir}
management {dir}/mgmt.sock unix
status-version 2
verb 2
mute 20
log-append {dir}/server.log
sndbuf 4194304
rcvbuf 4194304
"""

CLIENT = """\
client
dev tap0
dev-type tap
proto udp4
remote {address} {port}
nobind
ca {pki}/ca.crt
cert {crt}
key {key}
tls-crypt {pki}/ta.key
remote-cert-tls server
data-ciphers AES-256-GCM
auth-user-pass {login}
persist-key
persist-tun
connect-retry 1 2
connect-timeout 5
verb 3
"""


def _copy(source, target, owner=None):
    with open(source, "rb") as f, open(target, "wb") as g:
        g.write(f.read())
    if owner:
        os.chown(target, owner.pw_uid, owner.pw_gid)
    os.chmod(target, 0o600)


class Server:
    """One instance. HOOKS: "plugin", "exec" or None (plain OpenVPN: it must be wrong without us)."""

    def __init__(self, lab, name="main", mode="vlan", port=1194, hooks="plugin", extra="", mtu=1500,
                 timeout=6):
        self.lab, self.name, self.mode, self.port = lab, name, mode, port
        self.dir = f"{lab.state}/{name}"
        self.tap = f"sp-{name}"[:15]
        os.makedirs(self.dir, exist_ok=True)
        os.chown(self.dir, NOBODY.pw_uid, NOBODY.pw_gid)
        # After a SIGHUP the server reads them again, as nobody.
        for f in ("ca.crt", "server.crt", "server.key", "ta.key"):
            _copy(f"{lab.pki.dir}/{f}", f"{self.dir}/{f}", NOBODY)
        self.config = f"{self.dir}/server.conf"
        text = SERVER.format(tap=self.tap, address=ADDRESS, port=port, pki=self.dir, dir=self.dir,
                             mtu=mtu, timeout=timeout, routes=8)
        if mode == "vlan":
            text += "vlan-tagging\nvlan-accept tagged\n"
        text += self._hooks(hooks) + extra
        with open(self.config, "w") as f:
            f.write(text)
        self.log = Log(f"{self.dir}/server.log")
        os.chown(self.log.path, NOBODY.pw_uid, NOBODY.pw_gid)
        self.process = None

    def _hooks(self, kind):
        args = f"--instance {self.name} --socket {self.lab.socket}"
        d = self.lab.hooks
        if kind == "plugin":
            return (f"plugin {d}/openvpn-plugin-sallyport.so instance={self.name} "
                    f"socket={self.lab.socket}\n")
        if kind == "exec":
            return (f'auth-user-pass-verify "{d}/sallyport-auth {args}" via-file\n'
                    f'client-connect "{d}/sallyport-connect {args}"\n'
                    f'client-disconnect "{d}/sallyport-disconnect {args}"\n'
                    f'learn-address "{d}/sallyport-learn-address {args}"\n')
        return ""

    def start(self):
        mark = self.log.mark()
        err = open(f"{self.dir}/server.err", "ab")
        with err:
            self.process = net.start("openvpn", "--config", self.config, stdout=err, stderr=err)
        self.log.wait("Initialization Sequence Completed", 15, mark, self.process)

    def signal(self, sig):
        os.kill(self.process.pid, sig)

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        net.stop(self.process, signal.SIGTERM)

    def manage(self, command):
        """One command by the management socket: only where the daemon does not hold it."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(f"{self.dir}/mgmt.sock")
            s.sendall(command.encode() + b"\nquit\n")
            text = b""
            while True:
                part = s.recv(65536)
                if not part:
                    return text.decode()
                text += part


class Client:
    """A stock client. NAME is its certificate's common name unless CN says otherwise."""

    def __init__(self, lab, name, user, mac, password=None, cn=None, server=None, extra="",
                 farewell=True):
        self.lab, self.name, self.user, self.mac = lab, name, user, mac
        self.cn = cn or name
        self.server = server or lab.servers["main"]
        self.ns = "c-" + name
        self.dev = "tap0"
        self.dir = f"{lab.state}/{self.ns}"
        os.makedirs(self.dir, exist_ok=True)
        crt, key = lab.pki.client(self.cn)
        login = f"{self.dir}/login"
        with open(login, "w") as f:
            f.write(f"{user}\n{password or lab.password(user)}\n")
        os.chmod(login, 0o600)
        text = CLIENT.format(address=ADDRESS, port=self.server.port, pki=lab.pki.dir, crt=crt, key=key,
                             login=login)
        if mac:
            text += f"lladdr {mac}\n"
        if farewell:
            text += "explicit-exit-notify 1\n"
        self.config = f"{self.dir}/client.conf"
        with open(self.config, "w") as f:
            f.write(text + extra)
        self.log = Log(f"{self.dir}/client.log")
        self.process = None
        self._mark = 0
        lab.underlay(self.ns)

    def start(self):
        self._mark = self.log.mark()
        with open(self.log.path, "ab") as f:
            self.process = net.start("openvpn", "--config", self.config, ns=self.ns, stdout=f, stderr=f)

    def wait(self, timeout=20, mark=None):
        """Until it is connected (since MARK, or since its start)."""
        mark = self._mark if mark is None else mark
        self.log.wait("Initialization Sequence Completed", timeout, mark, self.process)
        net.wait_for(lambda: net.link_exists(self.ns, self.dev), 5, f"{self.dev} of {self.name}")
        return self

    def connect(self, timeout=20):
        self.start()
        return self.wait(timeout)

    def connected(self):
        return bool(self.log.find("Initialization Sequence Completed", self._mark))

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        net.stop(self.process, signal.SIGTERM)
