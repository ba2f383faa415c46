# SPDX-License-Identifier: BSD-2-Clause
"""directory - a real slapd in a folder of its own, on a free port."""

import os
import shutil
import signal
import socket
import subprocess
import time

from daemon import open_folder
from peers import free_port, freeze
from wire import WAIT, Failure, Skip

CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {dir}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
{tls}
database mdb
suffix "dc=site,dc=test"
rootdn "cn=root,dc=site,dc=test"
directory {dir}/data
index objectClass,uid,member eq
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=people,dc=site,dc=test" by dn="cn=reader,dc=site,dc=test" read \
by self read by anonymous auth
access to * by dn="cn=reader,dc=site,dc=test" read by users read by anonymous auth
"""

TLS = """
TLSCertificateFile {chain}
TLSCertificateKeyFile {key}
"""


class Directory:
    """Has the entries of an LDIF text. pair: paths of a certificate and its key."""

    def __init__(self, ldif, pair=None):
        if shutil.which("slapd") is None and not os.access("/usr/sbin/slapd", os.X_OK):
            raise Skip("slapd is not installed")
        if not os.path.isdir("/etc/ldap/schema"):
            raise Skip("slapd's schemas are not where Debian has them")
        self.dir = open_folder("bascule-slapd-")
        self.port, self.tls_port = free_port(), free_port()
        self.has_tls = pair is not None
        self.process = None
        os.mkdir(os.path.join(self.dir, "data"))
        self.conf = self._write("slapd.conf", CONF.format(
            dir=self.dir, tls=TLS.format(chain=pair[0], key=pair[1]) if pair else ""))
        try:
            self._run("slapadd", "-f", self.conf, "-l", self._write("entries.ldif", ldif))
            self.start()
        except BaseException:
            self.close()
            raise

    def _write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    @staticmethod
    def _program(name):
        return shutil.which(name) or f"/usr/sbin/{name}"

    def _run(self, name, *words):
        done = subprocess.run([self._program(name), *words], capture_output=True, timeout=WAIT * 3,
                              text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"{name}: {done.stderr}")

    def urls(self):
        return [f"ldap://127.0.0.1:{self.port}",
                *([f"ldaps://127.0.0.1:{self.tls_port}"] if self.has_tls else [])]

    def start(self):
        # Many descriptors make slapd take much memory for each that there could be.
        self.process = subprocess.Popen(
            ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh", self._program("slapd"), "-d", "0",
             "-f", self.conf, "-h", " ".join(self.urls())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + WAIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise Failure("slapd does not start") from None
                time.sleep(0.02)  # it does not say when it listens

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def freeze(self):
        """From now on it has its port and says nothing."""
        freeze(self.process.pid)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
