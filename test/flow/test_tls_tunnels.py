# SPDX-License-Identifier: BSD-2-Clause
"""Tunnels of which one side or both speak TLS: port mode, CONNECT through an HTTPS proxy,
Upgrade (server/net/tunnel.c, modes/relay.c)."""

import hashlib
import os
import socket
import ssl
import subprocess
import threading

from bascule_flow import (WAIT, Client, Daemon, Failure, answer, check, equal, get, head, main,
                          once, read_response, test)
from certs import Certificates
from peers import Backend, LogReader, TlsOrigin
from secure import TlsClient, TlsStream, trusting
from wire import read_request_head

CONF = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "ends"; mode = "port"; listen = "127.0.0.1:0"; group = "plain";
      tls = { certificates = "@PEM@/default.pem"; }; },
    { name = "begins"; mode = "port"; listen = "127.0.0.1:0"; group = "tls"; },
    { name = "both"; mode = "port"; listen = "127.0.0.1:0"; group = "tls";
      tls = { certificates = "@PEM@/default.pem"; }; },
    { name = "distrusts"; mode = "port"; listen = "127.0.0.1:0"; group = "distrusted"; },
    { name = "closed"; mode = "port"; listen = "127.0.0.1:0"; group = "plain";
      allow_client = [ "192.0.2.0/24" ]; tls = { certificates = "@PEM@/default.pem"; }; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535";
      tls = { certificates = "@PEM@/default.pem"; }; },
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { certificates = "@PEM@/default.pem"; }; }
);
groups = (
    { name = "plain"; max_fails = 0; endpoints = [ "127.0.0.1:@PLAIN@" ]; },
    { name = "tls"; max_fails = 0; endpoints = [ "127.0.0.1:@TLS@" ];
      tls = { ca = "@PEM@/root.pem"; name = "origin.test"; }; },
    { name = "distrusted"; max_fails = 0; endpoints = [ "127.0.0.1:@TLS@" ];
      tls = { ca = "@PEM@/root.pem"; name = "other.test"; }; }
);
sites = ( { name = "all"; default = true; group = "tls"; } );
"""


class TlsBackend(Backend):
    """The same by TLS: to be accepted while the proxy shakes hands."""

    def __init__(self, certificate):
        super().__init__()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)

    def accept(self):
        sock = super().accept().sock
        sock.settimeout(WAIT)
        return TlsStream(self.context.wrap_socket(sock, server_side=True,
                                                  suppress_ragged_eofs=False))


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.issue("default", "root", ["DNS:site.test", "DNS:localhost", "IP:127.0.0.1"])
    made.issue("origin", "root", ["DNS:origin.test", "IP:127.0.0.1"])
    return made


plain = once(Backend)


@once
def secured():
    return TlsBackend(certificates().path("origin.pem"))


@once
def origin():
    return TlsOrigin(certificates().path("origin.pem"), lambda request, link: answer(b"hello\n"))


@once
def proxy():
    return Daemon(CONF, PEM=certificates().dir, PLAIN=plain().port, TLS=secured().port)


@once
def log():
    return LogReader(proxy().path("access.log"))


@once
def context():
    return trusting(certificates().path("root.pem"))


def dial(listener):
    if listener in ("ends", "both"):
        return TlsClient(proxy().address(listener), context())
    return Client(proxy().address(listener))


class Pair:
    """A client connection through a listener, and the backend's end of it."""

    def __init__(self, listener):
        server = []
        # the backend's handshake needs somebody who waits for it
        accepting = threading.Thread(target=lambda: server.append(
            (plain() if listener == "ends" else secured()).accept()))
        accepting.start()
        self.client = dial(listener)
        accepting.join(WAIT)
        if not server:
            self.client.close()
            raise Failure(f"nobody came to the backend of {listener}")
        self.server = server[0]

    def __enter__(self):
        return self.client, self.server

    def __exit__(self, *_):
        self.client.close()
        self.server.close()


def end_way(stream):
    """Says that no more is sent: FIN, or close_notify."""
    if isinstance(stream.sock, ssl.SSLSocket):
        stream.sock.settimeout(0.01)
        try:
            stream.sock.unwrap()
        except (ssl.SSLError, OSError):
            pass  # the other side has not ended yet
        stream.sock.settimeout(WAIT)
    else:
        stream.half_close()


LISTENERS = ("ends", "begins", "both")


def each(promise):
    """A test for a client, a backend, or both by TLS."""

    def add(function):
        for listener in LISTENERS:
            test(f"{promise}: {listener}")(lambda listener=listener: function(listener))
        return function

    return add


@each("port mode: bytes pass both ways, whoever speaks first")
def _(listener):
    with Pair(listener) as (client, server):
        server.send(b"220 ready")
        equal(client.exactly(9), b"220 ready", "greeting")
        client.send(b"\0\xff ping")
        equal(server.exactly(7), b"\0\xff ping", "to the backend")


@each("port mode: 10 MB each way are byte-exact")
def _(listener):
    data = os.urandom(1 << 20) * 10
    wanted = hashlib.sha256(data).digest()
    with Pair(listener) as (client, server):
        for sender, receiver in ((client, server), (server, client)):
            thread = threading.Thread(target=sender.send, args=(data,))
            thread.start()
            found = receiver.exactly(len(data))
            thread.join()
            equal(hashlib.sha256(found).digest(), wanted, "digest")


@each("port mode: the end of one way is passed on as an end")
def _(listener):
    with Pair(listener) as (client, server):
        client.send(b"question")
        end_way(client)
        equal(server.rest(), b"question", "to the backend")
        check(not server.was_reset and not getattr(server, "was_cut", False), "no proper end")


@test("port mode: an end without close_notify reaches the backend as a reset")
def _():
    with Pair("ends") as (client, server):
        client.send(b"half")
        equal(server.exactly(4), b"half", "to the backend")
        client.sock.shutdown(socket.SHUT_WR)  # of the socket: a plain FIN
        while server.fill():
            pass
        check(server.was_reset, "it ended as if that were all")


@test("port mode: a backend that is cut off does not end the client's stream properly")
def _():
    with Pair("both") as (client, server):
        server.send(b"half")
        equal(client.exactly(4), b"half", "to the client")
        server.reset()
        while client.fill():
            pass
        check(client.was_reset or client.was_cut, "it ended as if that were all")


@test("port mode: the access log knows the client's TLS")
def _():
    with Pair("ends") as (client, server):
        client.send(b"x")
        server.exactly(1)
    line = log().line_with('"listener":"ends"')
    for words in ('"tls_version":"TLSv1.3"', '"tls_name":"site.test"', '"cache":"TCP_TUNNEL"'):
        while words not in line:
            line = log().line_with('"listener":"ends"')


@test("port mode: a backend that is not who it should be gets no byte")
def _():
    def refuse():
        try:
            secured().accept().close()
        except (ssl.SSLError, OSError):
            pass  # it is refused: that is the point

    accepting = threading.Thread(target=refuse)
    accepting.start()
    try:
        with Client(proxy().address("distrusts")) as client:
            client.try_send(b"secret")
            while client.fill():
                pass
            check(client.was_reset, "it was not reset")
    except ConnectionResetError:
        pass  # before connecting had returned
    accepting.join(WAIT)
    proxy().wait_log('listener "distrusts": endpoint .*: TLS: ')


@test("port mode: who is not in allow_client gets no handshake")
def _():
    try:
        with Client(proxy().address("closed")) as client:
            while client.fill():
                pass
            equal(bytes(client.received), b"", "what came")
    except ConnectionResetError:
        pass  # before connecting had returned


@test("CONNECT through an HTTPS proxy, by curl")
def _():
    done = subprocess.run(
        ["curl", "-sS", "--proxy", f"https://{proxy().address('out')}", "--proxy-cacert",
         certificates().path("root.pem"), "--cacert", certificates().path("root.pem"),
         "--noproxy", "", f"https://127.0.0.1:{origin().port}/"],
        capture_output=True, timeout=WAIT, check=False)
    equal((done.returncode, done.stdout), (0, b"hello\n"), f"curl ({done.stderr.decode()})")


@test("CONNECT through an HTTPS proxy: bytes right behind the request arrive first")
def _():
    with TlsClient(proxy().address("out"), context()) as client:
        client.send(head(f"CONNECT 127.0.0.1:{plain().port} HTTP/1.1",
                         f"Host: 127.0.0.1:{plain().port}") + b"early ")
        with plain().accept() as server:
            equal(read_response(client, "CONNECT").status, 200, "status")
            client.send(b"late")
            equal(server.exactly(10), b"early late", "to the destination")
            server.send(b"answer")
            server.half_close()
            equal(client.rest(), b"answer", "to the client")
            check(not client.was_cut, "the end was no close_notify")


@test("an Upgrade becomes a tunnel with TLS on both sides")
def _():
    upgraded = []

    def serve():
        server = secured().accept()
        upgraded.append(read_request_head(server))
        server.send(head("HTTP/1.1 101 Switching Protocols", "Upgrade: echo",
                         "Connection: Upgrade") + b"early ")
        server.send(server.exactly(4))
        end_way(server)
        server.rest()
        server.close()

    serving = threading.Thread(target=serve)
    serving.start()
    with TlsClient(proxy().address("web"), context()) as client:
        client.send(get("/chat", "Connection: Upgrade", "Upgrade: echo"))
        equal(read_response(client).status, 101, "status")
        client.send(b"ping")
        equal(client.rest(), b"early ping", "from the origin")
        check(not client.was_cut, "the end was no close_notify")
    serving.join(WAIT)
    equal([r.target for r in upgraded], ["/chat"], "the request")


main()
