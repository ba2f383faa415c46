# SPDX-License-Identifier: BSD-2-Clause
"""secure - TLS clients: Python's own, and openssl s_client for what that cannot do."""

import re
import select
import ssl
import subprocess

from wire import WAIT, Failure, Stream, connect, read_response


def trusting(*authorities, alpn=("http/1.1",), certificate=None, newest=None, oldest=None):
    """A context that trusts these CA files (none: everyone). certificate: a file with a
    client's chain and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities:
        for path in authorities:
            context.load_verify_locations(path)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if certificate is not None:
        context.load_cert_chain(certificate)
    if newest is not None:
        context.maximum_version = newest
    if oldest is not None:
        context.minimum_version = oldest
    return context


def handshake(address, context, name, session=None):
    """A socket that has shaken hands. ssl.SSLError and OSError as they come."""
    sock = connect(address)
    sock.settimeout(WAIT)
    try:
        return context.wrap_socket(sock, server_hostname=name, session=session,
                                   suppress_ragged_eofs=False)
    except BaseException:
        sock.close()
        raise


def client_hello(name="site.test", **options):
    """The first bytes of a client that asks for name; with options of trusting()."""
    outgoing = ssl.MemoryBIO()
    session = trusting(**options).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class TlsStream(Stream):
    """A Stream whose socket may be one of TLS. alert: why TLS ended it, if it did;
    was_cut: it ended without close_notify."""

    alert = None
    was_cut = False

    def fill(self, wait=None):
        try:
            return super().fill(wait)
        except ssl.SSLEOFError:
            self.was_cut = True
        except ssl.SSLError as error:
            self.alert = error.reason or str(error)
        return False

    def try_send(self, data, bytewise=False):
        try:
            return super().try_send(data, bytewise)
        except ssl.SSLError as error:
            self.alert = error.reason or str(error)
            return False

    def half_close(self):
        try:
            super().half_close()
        except OSError:
            pass  # the peer was faster

    def is_quiet(self, seconds=0.3):
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        return super().is_quiet(seconds)


class TlsClient(TlsStream):
    """A raw HTTP/1.1 client connection over TLS."""

    def __init__(self, address, context, name="site.test", session=None):
        super().__init__(handshake(address, context, name, session))

    def ask(self, request, method="GET"):
        self.try_send(request)
        return read_response(self, method)


def refusal(address, context, name="site.test", request=b""):
    """Why a handshake fails: the name of the alert, such as "TLSV1_ALERT_UNKNOWN_CA", or
    "closed". With TLS 1.3 a server's refusal of a client comes after the handshake, as
    an answer to the request. Failure when it is not refused."""
    try:
        sock = handshake(address, context, name)
    except ssl.SSLCertVerificationError:
        raise
    except (ssl.SSLEOFError, ConnectionResetError):
        return "closed"
    except ssl.SSLError as error:
        return error.reason or str(error)
    with TlsStream(sock) as stream:
        stream.try_send(request)
        if stream.fill():
            raise Failure(f"the handshake was not refused, and answered {bytes(stream.buffer)!r}")
        return stream.alert or "closed"


class SClient:
    """openssl s_client, asked once: what it says about the handshake, and the answer."""

    def __init__(self, address, *words, name="site.test", request=None, until=b"\r\n\r\n"):
        names = () if "-noservername" in words or "-servername" in words else \
            ("-servername", name)
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", address, *names, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output = self._talk(request, until)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.text = output.decode("latin-1")

    def _talk(self, request, until):
        if request is None:
            try:
                return self.process.communicate(b"", WAIT)[0]
            except subprocess.TimeoutExpired:
                raise Failure("openssl s_client never ended") from None
        self.process.stdin.write(request)
        self.process.stdin.flush()
        found = b""
        while until not in found:
            if not select.select([self.process.stdout], [], [], WAIT)[0]:
                raise Failure(f"openssl s_client says nothing more: {found[-500:]!r}")
            data = self.process.stdout.read1(65536)
            if not data:
                break
            found += data
        return found

    def find(self, pattern, what=None):
        match = re.search(pattern, self.text, re.M)
        if not match:
            raise Failure(f"s_client does not say {what or pattern!r}:\n{self.text[-3000:]}")
        return match

    def has(self, pattern):
        return re.search(pattern, self.text, re.M) is not None
