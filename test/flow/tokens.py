# SPDX-License-Identifier: BSD-2-Clause
"""tokens - an issuer of signed tokens (JWT), whose keys openssl makes."""

import base64
import json
import time

from certs import Certificates


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _integer(der, at):
    """An INTEGER of DER at that place as 32 bytes, and the place behind it."""
    length = der[at + 1]
    return der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0"), at + 2 + length


class Issuer:
    """Signs with keys of its own: rs (RSA), es (P-256), ed (Ed25519) are kinds of them."""

    ALGORITHMS = {"rs": "RS256", "es": "ES256", "ed": "EdDSA"}

    def __init__(self):
        self.files = Certificates()  # a folder with openssl in it
        self.kinds = {}

    def close(self):
        self.files.close()

    def key(self, name, kind="es"):
        """Makes a key of that name."""
        options = {"rs": ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
                   "es": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "ed": ("ED25519",)}[kind]
        self.files.openssl("genpkey", "-algorithm", *options, "-out", f"{name}.key")
        self.kinds[name] = kind

    def public(self, name):
        """The key as a member of a set (RFC 7517)."""
        kind = self.kinds[name]
        der = self.files.openssl("pkey", "-in", f"{name}.key", "-pubout", "-outform", "DER")
        if kind == "es":
            members = {"kty": "EC", "crv": "P-256", "x": url64(der[-64:-32]), "y": url64(der[-32:])}
        elif kind == "ed":
            members = {"kty": "OKP", "crv": "Ed25519", "x": url64(der[-32:])}
        else:
            text = self.files.openssl("rsa", "-in", f"{name}.key", "-noout", "-modulus")
            modulus = bytes.fromhex(text.decode().strip().split("=")[1])
            members = {"kty": "RSA", "n": url64(modulus), "e": "AQAB"}
        return {**members, "kid": name, "use": "sig"}

    def document(self, *names):
        return json.dumps({"keys": [self.public(name) for name in names]})

    def _signature(self, name, text):
        kind = self.kinds[name]
        if kind == "ed":
            self.files.write("text", text.decode("ascii"))
            return self.files.openssl("pkeyutl", "-sign", "-rawin", "-inkey", f"{name}.key",
                                      "-in", "text")
        signature = self.files.openssl("dgst", "-sha256", "-sign", f"{name}.key", data=text)
        if kind == "rs":
            return signature
        first, place = _integer(signature, 2)
        return first + _integer(signature, place)[0]

    def token(self, name, header=None, **claims):
        """A token of ann's, good for five minutes, but for what is given."""
        header = {"alg": self.ALGORITHMS[self.kinds[name]], "kid": name, **(header or {})}
        claims = {"sub": "ann", "exp": int(time.time()) + 300, **claims}
        text = ".".join(url64(json.dumps(part).encode()) for part in (header, claims)).encode()
        return f"{text.decode()}.{url64(self._signature(name, text))}"


def forged(header, claims, signature=b""):
    """A token that nobody signed."""
    return ".".join((url64(json.dumps(header).encode()), url64(json.dumps(claims).encode()),
                     url64(signature)))
