# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirt of the test's own, inside its world: a real libvirtd, real QEMU, nothing of the machine's.

It has its own /etc/libvirt, /run/libvirt, /var/lib/libvirt, /var/log/libvirt, /var/cache/libvirt, a
/dev without kvm (QEMU would be probed again at each look-up where it may not use it), its own control
groups and host name. Its network is the world's, or a namespace's. QEMU runs as a user without
rights, as on a real host. Kill the world and all of it is gone.

    lv = Libvirt(); lv.start(); lv.virsh("list"); lv.kill9(); lv.start(); lv.stop()
"""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import traceback

from . import cgroups, net, tap, worlds
from .logfile import Log

ROOT = os.path.realpath(os.path.dirname(__file__) + "/../../..")
MS_RDONLY, MS_REMOUNT = 1, 32
CLONE_NEWUTS = 0x04000000
QEMU = "libvirt-qemu"  # Debian's user for it, made by a package that would also start services
QEMU_ID = 64055
DIRS = {"etc": "/etc/libvirt", "run": "/run/libvirt", "lib": "/var/lib/libvirt", "log": "/var/log/libvirt",
        "cache": "/var/cache/libvirt"}
GUEST = worlds.STATE + "/guest"  # what scripts/guest makes; read-only
# Half of what the kernel does at its start, without KVM, is to test its ciphers. On a busy host it may
# find its timer too slow, and stop for good: a hypervisor's timer needs no such test.
BOOT = "console=ttyS0 quiet cryptomgr.notests no_timer_check"

_LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = {tcp}
listen_addr = "{address}"
tcp_port = "16509"
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
host_uuid = "{uuid}"
log_level = {level}
log_outputs = "{level}:file:/var/log/libvirt/libvirtd.log"
"""
_QEMU_CONF = """\
stdio_handler = "file"
security_driver = "none"
namespaces = []
"""


def guest_files():
    """Build the guest where it is not up to date, and show it read-only: libvirt changes no owner."""
    build = ROOT + "/build"
    net.run(ROOT + "/scripts/guest", build, timeout=600)
    if not os.path.ismount(GUEST):
        os.makedirs(GUEST, exist_ok=True)
        worlds.mount(build + "/guest", GUEST, None, worlds.MS_BIND)
        worlds.mount(None, GUEST, None, worlds.MS_BIND | MS_REMOUNT | MS_RDONLY)
    return GUEST


class Libvirt:
    def __init__(self, name="host", kvm=False, ns=net.HOST, address=None, log_level=3, disk="2g"):
        """ADDRESS: it also listens there, for migrations. DISK: what its /var/lib/libvirt has."""
        self.name, self.kvm, self.ns, self.address, self.log_level = name, kvm, ns, address, log_level
        self.dir = f"{worlds.STATE}/libvirt-{name}"
        self.socket = f"{self.dir}/run/libvirt-sock"
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        self.process = None
        for d in (*DIRS, "dev", "cgroup"):
            os.makedirs(f"{self.dir}/{d}", exist_ok=True)
        worlds.mount("lib", self.dir + "/lib", "tmpfs", data=f"mode=755,size={disk}")
        # QEMU, which is nobody's friend here, walks through these.
        os.chmod(self.dir, 0o755)
        self._configure()
        self.log = Log(f"{self.dir}/log/libvirtd.log")
        tap.on_failure(self.report)

    def _configure(self):
        uuid = "aaaaaaaa-1111-4111-8111-" + self.name.encode().hex()[:12].ljust(12, "0")
        with open(f"{self.dir}/etc/libvirtd.conf", "w") as f:
            f.write(_LIBVIRTD_CONF.format(tcp=int(bool(self.address)), address=self.address or "127.0.0.1",
                                          uuid=uuid, level=self.log_level))
        with open(f"{self.dir}/etc/qemu.conf", "w") as f:
            f.write(_QEMU_CONF)

    # --- its namespace ---

    def _dev(self):
        dev = self.dir + "/dev"
        worlds.mount("dev", dev, "tmpfs", data="mode=755")
        nodes = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
        if self.kvm:
            nodes["kvm"] = (10, 232)
        for node, (major, minor) in nodes.items():
            os.mknod(f"{dev}/{node}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
            os.chmod(f"{dev}/{node}", 0o666)
        for d in ("net", "pts", "shm"):
            os.mkdir(f"{dev}/{d}")
        os.mknod(dev + "/net/tun", 0o600 | stat.S_IFCHR, os.makedev(10, 200))  # libvirtd opens it
        worlds.mount("devpts", dev + "/pts", "devpts", data="newinstance,ptmxmode=0666,mode=620,gid=5")
        worlds.mount("shm", dev + "/shm", "tmpfs")
        os.symlink("pts/ptmx", dev + "/ptmx")
        os.symlink("/proc/self/fd", dev + "/fd")
        worlds.mount(dev, "/dev", None, worlds.MS_BIND | 0x4000)  # and what is below

    def _accounts(self):
        for name, line in (("passwd", f"{QEMU}:x:{QEMU_ID}:{QEMU_ID}::/:/bin/false\n"), ("group", f"{QEMU}:x:{QEMU_ID}:\n")):
            with open(f"/etc/{name}") as f:
                text = f.read()
            if f"\n{QEMU}:" not in text:
                with open(f"{self.dir}/{name}", "w") as f:
                    f.write(text + line)
                worlds.mount(f"{self.dir}/{name}", f"/etc/{name}", None, worlds.MS_BIND)

    def _enter(self):
        """In the child, before it becomes libvirtd. What goes wrong is in its output."""
        try:
            self._furnish()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            raise

    def _furnish(self):
        cgroups.enter(self.dir + "/cgroup", f"{worlds.cgroup}/{self.name}")
        worlds.unshare(worlds.CLONE_NEWNS | CLONE_NEWUTS)
        socket.sethostname(self.name)
        worlds.mount("none", "/", None, worlds.MS_REC_PRIVATE)
        for d, where in DIRS.items():
            if not os.path.isdir(where):  # the machine never had a libvirt
                if not where.startswith("/run/"):
                    worlds.mount("none", os.path.dirname(where), "tmpfs")
                os.mkdir(where)
            worlds.mount(f"{self.dir}/{d}", where, None, worlds.MS_BIND)
        self._accounts()
        self._dev()
        if self.ns is not net.HOST:  # else it is the world's, which is there
            worlds.mount("sysfs", "/sys", "sysfs")
        cgroups.furnish()
        os.umask(0o022)

    def images(self):
        """A directory for disk images, where libvirt looks for it and where the world does."""
        return "/var/lib/libvirt/images/sallyport"

    # --- its life ---

    def start(self, timeout=30):
        """Until its socket answers."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.dir}/run/libvirtd.pid")
        argv = ["/usr/sbin/libvirtd", "-f", "/etc/libvirt/libvirtd.conf", "-p", "/run/libvirt/libvirtd.pid"]
        if self.address:
            argv.insert(1, "--listen")
        with open(f"{self.dir}/log/stdout", "ab") as f:
            try:
                self.process = net.start(*argv, ns=self.ns, stdout=f, stderr=f, preexec_fn=self._enter)
            except subprocess.SubprocessError as e:
                raise AssertionError(f"no place for libvirtd: {self._last_words()}") from e
        net.wait_for(self._answers, timeout, "libvirtd to listen")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"libvirtd ended at once, status {self.process.returncode}: {self._last_words()}")
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(self.socket)
                return True
            except OSError:
                return False

    def _last_words(self):
        with open(f"{self.dir}/log/stdout", errors="replace") as f:
            return f.read()[-500:]

    def kill9(self):
        """libvirtd alone: the guests run on."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        net.stop(self.process)
        tap.forget_reporter(self.report)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    # --- asking it ---

    def virsh(self, *args, check=True, **kw):
        return net.run("virsh", "-q", "-c", self.uri, *args, check=check, **kw).stdout.strip()

    def state(self, domain):
        return self.virsh("domstate", domain, check=False)

    def domains(self):
        return self.virsh("list", "--all", "--name").split()

    def define(self, xml):
        path = f"{self.dir}/define.xml"
        with open(path, "w") as f:
            f.write(xml)
        self.virsh("define", path)

    def qemu_pid(self, domain):
        with open(f"{self.dir}/run/qemu/{domain}.pid") as f:
            return int(f.read())

    def clear(self):
        """No domain is left."""
        for d in self.domains():
            self.virsh("destroy", d, check=False)
            self.virsh("undefine", d, "--managed-save", check=False)

    def report(self):
        tap.say("--- libvirtd")
        tap.say("\n".join(self.log.tail(15)))
        keep = f"{ROOT}/build/e2e-logs/{os.path.basename(sys.argv[0])}-libvirt-{self.name}"
        shutil.rmtree(keep, ignore_errors=True)
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(f"{self.dir}/log", keep)


def domain_xml(name, interface, memory=128, vcpus=1, page=None, ips=(), words="", extra=""):
    """An operator's own domain, with the guest in it. INTERFACE: its XML."""
    line = f"{BOOT} sp.ip={','.join(ips)} sp.page={page or name} {words}"
    return f"""<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{GUEST}/vmlinux</kernel><initrd>{GUEST}/initrd</initrd><cmdline>{line}</cmdline></os>
  <features><acpi/></features>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    <serial type='pty'/>
    <memballoon model='virtio'/>
    <panic model='isa'/>
    {interface}
    {extra}
  </devices>
</domain>
"""


def http_get(ns, address, timeout=0.5, path="/"):
    """The page that a guest serves, as it is reached from namespace NS; None: no answer."""
    with net.in_ns(ns):
        c = http.client.HTTPConnection(address, 80, timeout=timeout)
        try:
            c.connect()
        except OSError:
            return None
    try:
        c.request("GET", path)
        return c.getresponse().read().decode().strip()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        c.close()


def wait_page(ns, address, timeout=120, path="/"):
    return net.wait_for(lambda: http_get(ns, address, 0.3, path), timeout, f"http://{address}{path}")


def tap_device(name, queues=1, address=None, ns=net.HOST):
    """As sallyportd makes a machine's: there before the domain, with a virtio header."""
    net.ip("tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr", *(["multi_queue"] if queues > 1 else []), ns=ns)
    if address:
        net.ip("addr", "add", address, "dev", name, ns=ns)
    net.ip("link", "set", name, "up", ns=ns)


__all__ = ["BOOT", "GUEST", "Libvirt", "domain_xml", "guest_files", "http_get", "tap_device", "wait_page"]
