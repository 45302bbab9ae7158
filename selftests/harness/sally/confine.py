#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a program as a service unit would have it run, where no systemd is there to do it.

    confine.py UNIT [--writable DIR]... [--socket PATH] [--drop-cap NAME]... COMMAND...

Read from UNIT and enforced by the kernel: CapabilityBoundingSet, NoNewPrivileges, SystemCallFilter
with SystemCallErrorNumber, RestrictAddressFamilies, RestrictNamespaces, MemoryDenyWriteExecute,
ProtectSystem=strict with ReadWritePaths, and slave propagation of mounts. --writable stands for
StateDirectory, --socket for the socket unit (LISTEN_FDS); --drop-cap takes a capability from the
unit's, for tests that must fail. A directive that it does not know of is an error: what is added
to the unit has to be thought of here.
"""

import ctypes
import errno
import os
import re
import socket
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEW_ANY = 0x7E020080  # every CLONE_NEW* flag
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 0x1, 0x20, 0x1000, 0x4000, 0x80000
MS_KEPT = {"nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "noatime": 0x400, "nodiratime": 0x800,
           "relatime": 0x200000}
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 22, 24, 38
PROT_WRITE, PROT_EXEC = 2, 4
AUDIT_ARCH_X86_64 = 0xC000003E
X32_BIT = 0x40000000

# BPF instructions of struct seccomp_data: number at 0, architecture at 4, arguments from 16.
LD, JEQ, JGE, JSET, AND, RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

ENFORCED = {"CapabilityBoundingSet", "NoNewPrivileges", "SystemCallFilter", "SystemCallErrorNumber",
            "RestrictAddressFamilies", "RestrictNamespaces", "MemoryDenyWriteExecute", "ProtectSystem",
            "ReadWritePaths", "SystemCallArchitectures", "ProtectControlGroups"}
# Nothing that sallyportd does could meet them, or the manager does them for it.
WITHOUT = {"Type", "ExecStart", "ExecReload", "Restart", "RestartSec", "WatchdogSec", "StateDirectory",
           "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode", "RuntimeDirectoryPreserve",
           "UMask", "LimitNOFILE", "TasksMax", "RestrictSUIDSGID", "LockPersonality", "RestrictRealtime",
           "IPAddressDeny", "IPAddressAllow", "ProtectHome", "PrivateTmp", "PrivateIPC", "KeyringMode", "DevicePolicy",
           "DeviceAllow", "ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
           "ProtectProc", "ReadOnlyPaths", "InaccessiblePaths"}

CAPABILITIES = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21,
                "CAP_PERFMON": 38, "CAP_BPF": 39}


def read_unit(path):
    """Directive -> values in their order, of [Service]."""
    found, section = {}, None
    with open(path) as f:
        for line in map(str.strip, f):
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and line[0] not in "#;":
                key, _, value = line.partition("=")
                if key not in ENFORCED | WITHOUT:
                    sys.exit(f"confine: {path}: '{key}': not known here")
                found.setdefault(key, []).append(value)
    return found


def call(name, *args):
    if getattr(libc, name)(*args) != 0:
        e = ctypes.get_errno()
        sys.exit(f"confine: {name}{args}: {os.strerror(e)}")


# --- system calls ---

def numbers():
    """name -> number, of the kernel's own header."""
    with open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h") as f:
        return {m[1]: int(m[2]) for m in re.finditer(r"#define __NR_(\w+) (\d+)", f.read())}


def expand(name, seen=None):
    """A group's system calls, as systemd has them."""
    if not name.startswith("@"):
        return {name}
    out = subprocess.run(["systemd-analyze", "syscall-filter", name], stdout=subprocess.PIPE, check=True,
                         text=True).stdout
    words = [w.strip() for w in out.splitlines()[1:]]
    return set().union(*(expand(w) for w in words if w and not w.startswith("#")))


def allowed_calls(lines):
    """The lines in their order: one that takes out takes out what an earlier one put in."""
    allowed = expand("@default")
    for line in lines:
        names = set().union(*map(expand, line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def insn(code, k, yes=0, no=0):
    return struct.pack("=HBBI", code, yes, no, k)


def when_call(nr, body):
    """BODY for system call NR; the accumulator holds the number again after it."""
    body = b"".join(body) + insn(LD, 0)
    return insn(JEQ, nr, 0, len(body) // 8) + body


def seccomp_filter(unit):
    nr = numbers()
    deny = ERRNO | getattr(errno, unit["SystemCallErrorNumber"][0])
    eperm = ERRNO | errno.EPERM
    p = [insn(LD, 4), insn(JEQ, AUDIT_ARCH_X86_64, 1, 0), insn(RET, KILL), insn(LD, 0),
         insn(JGE, X32_BIT, 0, 1), insn(RET, KILL)]

    def argument(n):
        return insn(LD, 16 + 8 * n)  # the low half

    families = [getattr(socket, f) for f in unit["RestrictAddressFamilies"][0].split()]
    body = [argument(0)]
    for family in families:
        body += [insn(JEQ, int(family), 0, 1), insn(RET, ALLOW)]
    p.append(when_call(nr["socket"], body + [insn(RET, ERRNO | errno.EAFNOSUPPORT)]))
    if unit["RestrictNamespaces"] == ["yes"]:
        for name in ("unshare", "clone"):
            p.append(when_call(nr[name], [argument(0), insn(JSET, CLONE_NEW_ANY & ~0x80, 0, 1), insn(RET, eperm)]))
        p.append(when_call(nr["setns"], [insn(RET, eperm)]))
        p.append(when_call(nr["clone3"], [insn(RET, ERRNO | errno.ENOSYS)]))
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        both = PROT_WRITE | PROT_EXEC
        p.append(when_call(nr["mmap"], [argument(2), insn(AND, both), insn(JEQ, both, 0, 1), insn(RET, eperm)]))
        for name in ("mprotect", "pkey_mprotect"):
            p.append(when_call(nr[name], [argument(2), insn(JSET, PROT_EXEC, 0, 1), insn(RET, eperm)]))
    for name in sorted(allowed_calls(unit["SystemCallFilter"])):
        if name in nr:
            p += [insn(JEQ, nr[name], 0, 1), insn(RET, ALLOW)]
    return b"".join(p) + insn(RET, deny)


def load_filter(code):
    class Prog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    text = ctypes.create_string_buffer(code, len(code))
    prog = Prog(len(code) // 8, ctypes.addressof(text))
    call("prctl", PR_SET_SECCOMP, 2, ctypes.byref(prog), 0, 0)


# --- files ---

def unescape(path):
    return re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), path)


def mounts():
    with open("/proc/self/mountinfo") as f:
        for line in f:
            fields = line.split()
            yield unescape(fields[4]), fields[5].split(",")


def protect(writable):
    """Everything read-only but WRITABLE, /dev and /proc; mounts of the host still come in."""
    call("unshare", CLONE_NEWNS)
    call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)
    for path in writable:
        call("mount", path.encode(), path.encode(), None, MS_BIND | MS_REC, None)
    kept = tuple(writable) + ("/dev", "/proc")
    for path, options in list(mounts()):
        if any(path == k or path.startswith(k + "/") for k in kept):
            continue
        flags = sum(MS_KEPT.get(o, 0) for o in options)
        if libc.mount(None, path.encode(), None, MS_BIND | MS_REMOUNT | MS_RDONLY | flags, None) != 0 and \
                ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT, errno.EACCES):  # mounted over
            sys.exit(f"confine: {path}: {os.strerror(ctypes.get_errno())}")


# --- all of it ---

def listen(path):
    """As the socket unit: descriptor 3."""
    if os.path.exists(path):
        os.unlink(path)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(path)
    os.chmod(path, 0o666)
    s.listen(512)
    fd = s.detach()
    if fd != 3:
        os.dup2(fd, 3)
        os.close(fd)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))


def main(unit_path, *args):
    args, writable, dropped, sock = list(args), [], set(), None
    while args and args[0].startswith("--"):
        option, value = args.pop(0), args.pop(0)
        if option == "--writable":
            writable.append(value)
        elif option == "--drop-cap":
            dropped.add(value)
        elif option == "--socket":
            sock = value
        else:
            sys.exit(f"confine: '{option}': not an option")
    unit = read_unit(unit_path)
    if unit["ProtectSystem"] != ["strict"] or unit["NoNewPrivileges"] != ["yes"]:
        sys.exit("confine: the unit is not protected as this knows how to")
    keep = {CAPABILITIES[c] for c in unit["CapabilityBoundingSet"][0].split() if c not in dropped}
    code = seccomp_filter(unit)
    if sock:
        listen(sock)
    protect(writable + unit["ReadWritePaths"][0].split())
    with open("/proc/sys/kernel/cap_last_cap") as f:
        last = int(f.read())
    for cap in set(range(last + 1)) - keep:
        call("prctl", PR_CAPBSET_DROP, cap, 0, 0, 0)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    load_filter(code)
    os.execvp(args[0], args)


if __name__ == "__main__":
    main(*sys.argv[1:])
