# SPDX-License-Identifier: GPL-2.0-or-later
"""Certificates for test networks: made once by openssl, kept below the build directory."""

import fcntl
import os

from . import net


class Pki:
    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        with open(directory + "/lock", "w") as lock:  # scripts may run side by side
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(self.file("ca", "crt")):
                self._make_ca()
            if not os.path.exists(self.file("ta", "key")):
                net.run("openvpn", "--genkey", "tls-crypt", self.file("ta", "key"))
            self._issue("server", "serverAuth")

    def file(self, name, kind):
        return f"{self.dir}/{name}.{kind}"

    def client(self, name):
        """Paths of a client's certificate and key; NAME is the common name."""
        with open(self.dir + "/lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._issue(name, "clientAuth")

    def _key(self, name):
        net.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-out", self.file(name, "key"))

    def _make_ca(self):
        self._key("ca")
        net.run("openssl", "req", "-x509", "-new", "-key", self.file("ca", "key"), "-days", "3650",
                "-subj", "/CN=sallyport-test-ca", "-out", self.file("ca", "new"))
        os.rename(self.file("ca", "new"), self.file("ca", "crt"))

    def _issue(self, name, usage):
        crt, key = self.file(name, "crt"), self.file(name, "key")
        if os.path.exists(crt):
            return crt, key
        self._key(name)
        with open(self.file(name, "ext"), "w") as f:
            f.write(f"extendedKeyUsage={usage}\nkeyUsage=digitalSignature\n")
        net.run("openssl", "req", "-new", "-key", key, "-subj", f"/O=lab/CN={name}",
                "-out", self.file(name, "csr"))
        net.run("openssl", "x509", "-req", "-in", self.file(name, "csr"), "-CA", self.file("ca", "crt"),
                "-CAkey", self.file("ca", "key"), "-CAcreateserial", "-days", "3650",
                "-extfile", self.file(name, "ext"), "-out", crt + ".new")
        os.rename(crt + ".new", crt)
        return crt, key
