# SPDX-License-Identifier: BSD-2-Clause
"""certs - authorities, certificates, revocation: all that openssl(1) makes, for one run."""

import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile
import time

from daemon import open_folder
from origin import Origin
from wire import WAIT, Failure, Skip, head

KEYS = {"ec": ("ec", "ec_paramgen_curve:P-256"), "p384": ("ec", "ec_paramgen_curve:P-384"),
        "rsa": ("rsa", "rsa_keygen_bits:2048"), "rsa1024": ("rsa", "rsa_keygen_bits:1024"),
        "ed25519": ("ed25519", None)}

CRL_CONF = """
[ca]
default_ca = it
[it]
database = @NAME@.index
default_md = sha256
default_crl_days = 1
certificate = @NAME@.pem
private_key = @NAME@.key
"""


class Certificates:
    """A folder of certificates and keys, each made when it is asked for."""

    def __init__(self):
        if shutil.which("openssl") is None:
            raise Skip("there is no openssl program to make certificates with")
        self.dir = open_folder("bascule-tls-")
        self.count = 0
        self.issued = {}  # name: (authority, serial number)
        self.revoked = set()

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), encoding="ascii") as file:
            return file.read()

    def write(self, name, text, mode=0o644):
        """Replaces a file at once, as those who look after certificates should."""
        handle, temporary = tempfile.mkstemp(dir=self.dir)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, self.path(name))
        return self.path(name)

    def openssl(self, *words, data=None):
        done = subprocess.run(["openssl", *words], capture_output=True, timeout=WAIT * 3,
                              cwd=self.dir, input=data, check=False)
        if done.returncode != 0:
            raise Failure(f"openssl {words[0]}: {done.stderr.decode().strip()}")
        return done.stdout

    def key(self, name, kind="ec"):
        algorithm, option = KEYS[kind]
        self.openssl("genpkey", "-algorithm", algorithm, "-out", f"{name}.key",
                     *(("-pkeyopt", option) if option else ()))
        os.chmod(self.path(f"{name}.key"), 0o644)

    def authority(self, name, by=None):
        """Makes NAME.pem and NAME.key, self-signed or below another one; returns the path of
        the former. Once: it is there the next time."""
        if os.path.exists(self.path(f"{name}.pem")):
            return self.path(f"{name}.pem")
        self.key(name)
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",
                      "subjectKeyIdentifier=hash")
        if by is None:
            self.openssl("req", "-x509", "-new", "-key", f"{name}.key", "-out", f"{name}.pem",
                         "-days", "2", "-subj", f"/CN={name}",
                         *(word for line in extensions for word in ("-addext", line)))
        else:
            self._sign(name, by, name, 2, extensions)
        return self.path(f"{name}.pem")

    def _sign(self, name, by, subject, days, extensions):
        self.openssl("req", "-new", "-key", f"{name}.key", "-out", f"{name}.csr",
                     "-subj", f"/CN={subject}")
        self.write(f"{name}.ext", "".join(f"{line}\n" for line in extensions))
        self.count += 1
        self.issued[name] = (by, self.count)
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey",
                     f"{by}.key", "-set_serial", str(self.count), "-out", f"{name}.pem",
                     "-days", str(days), "-extfile", f"{name}.ext")

    def issue(self, name, by, names=(), days=2, key="ec", subject="origin", usage="serverAuth",
              chain=(), more=()):
        """Makes NAME.pem with the chain's certificates and NAME.key in it, for names such as
        "DNS:a.test", "IP:::1". more: lines of further extensions."""
        self.key(name, key)
        extensions = [f"extendedKeyUsage={usage}", *more]
        if names:
            extensions.append(f"subjectAltName={','.join(names)}")
        self._sign(name, by, subject, days, extensions)
        self.write(f"{name}.crt", self.read(f"{name}.pem"))
        parts = [self.read(f"{name}.pem"), *(self.read(f"{link}.pem") for link in chain),
                 self.read(f"{name}.key")]
        return self.write(f"{name}.pem", "".join(parts))

    def client(self, name, by="clients", days=2, **options):
        """The same for a client, whose subject is its name."""
        self.authority(by)
        return self.issue(name, by, [f"email:{name}@clients.test"], days, subject=name,
                          usage="clientAuth", **options)

    # revocation

    def index(self, by):
        """The list of what an authority issued, as openssl ca and ocsp want it."""
        now, later = (time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + after))
                      for after in (-60, 86400))
        lines = []
        for name, (issuer, serial) in self.issued.items():
            if issuer == by:
                is_bad = name in self.revoked
                number = f"{serial:X}"
                lines.append("\t".join(("R" if is_bad else "V", later, now if is_bad else "",
                                        number.zfill(len(number) + len(number) % 2), "unknown",
                                        f"/CN={name}")) + "\n")
        return self.write(f"{by}.index", "".join(lines))

    def crl(self, by, *revoked):
        """Makes BY.crl anew, with these names on it beside earlier ones."""
        self.revoked.update(revoked)
        self.index(by)
        self.write(f"{by}.cnf", CRL_CONF.replace("@NAME@", by))
        text = self.openssl("ca", "-gencrl", "-config", f"{by}.cnf")
        return self.write(f"{by}.crl", text.decode())

    def fingerprint(self, name):
        """SHA-256 of the certificate, in hexadecimal."""
        end = "-----END CERTIFICATE-----\n"
        der = ssl.PEM_cert_to_DER_cert(self.read(f"{name}.pem").partition(end)[0] + end)
        return hashlib.sha256(der).hexdigest()

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class OcspResponder(Origin):
    """Says of an authority's certificates whether they are good. asked: how often; is_down:
    it answers with an error instead."""

    def __init__(self, certificates, by):
        self.certificates, self.by = certificates, by
        self.asked = 0
        self.is_down = False
        super().__init__(self._answer)

    def url(self):
        return f"http://127.0.0.1:{self.port}/ocsp"

    def _answer(self, request, _link):
        with self.changed:
            self.asked += 1
            number = self.asked
            self.changed.notify_all()
        if self.is_down:
            return head("HTTP/1.1 503 Service Unavailable", "Content-Length: 0")
        certificates = self.certificates
        with open(certificates.path(f"ocsp{number}.req"), "wb") as file:
            file.write(request.body)
        certificates.index(self.by)
        certificates.openssl("ocsp", "-index", f"{self.by}.index", "-CA", f"{self.by}.pem",
                             "-rsigner", f"{self.by}.pem", "-rkey", f"{self.by}.key",
                             "-reqin", f"ocsp{number}.req", "-respout", f"ocsp{number}.resp",
                             "-ndays", "1", "-rmd", "sha256")
        with open(certificates.path(f"ocsp{number}.resp"), "rb") as file:
            body = file.read()
        return head("HTTP/1.1 200 OK", "Content-Type: application/ocsp-response",
                    f"Content-Length: {len(body)}") + body
