# SPDX-License-Identifier: BSD-2-Clause
"""TCP forwards: bytes as they are, ends as they come, PROXY headers, reloads (modes/port.c)."""

import hashlib
import os
import socket
import threading

from bascule_flow import (WAIT, Client, Daemon, Failure, Stream, check, connect, equal, main, once,
                          test)
from peers import DeadPort, free_port, until


class Backend:
    """A server whose connections the test talks through itself."""

    def __init__(self, family=socket.AF_INET, address=("127.0.0.1", 0)):
        self.listening = socket.socket(family)
        self.listening.bind(address)
        if family == socket.AF_UNIX:
            os.chmod(address, 0o777)  # started by root, Bascule connects as somebody else
        self.listening.listen(64)
        self.listening.settimeout(WAIT)
        self.port = self.listening.getsockname()[1] if family == socket.AF_INET else 0

    def accept(self):
        try:
            return Stream(self.listening.accept()[0])
        except socket.timeout:
            raise Failure("nobody connected to the backend") from None

    def close(self):
        self.listening.close()


CONF = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "plain"; mode = "port"; listen = "127.0.0.1:0"; group = "plain"; @PLAIN@ },
    { name = "v1"; mode = "port"; listen = "127.0.0.1:0"; group = "v1"; },
    { name = "v2"; mode = "port"; listen = "127.0.0.1:0"; group = "v2"; },
    { name = "in"; mode = "port"; listen = "127.0.0.1:0"; group = "v1";
      proxy_protocol = true; proxy_protocol_from = [ "127.0.0.0/8" ]; },
    { name = "local"; mode = "port"; listen = "127.0.0.1:0"; group = "local"; },
    { name = "next"; mode = "port"; listen = "127.0.0.1:0"; group = "next"; },
    { name = "down"; mode = "port"; listen = "127.0.0.1:0"; group = "down"; },
    { name = "hasty"; mode = "port"; listen = "127.0.0.1:0"; group = "plain";
      timeouts = { tunnel_idle = "200ms"; }; },
    { name = "closed"; mode = "port"; listen = "127.0.0.1:0"; group = "plain";
      allow_client = [ "192.0.2.0/24" ]; }
    @LISTENER@
);
groups = (
    { name = "plain"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@PORT@"; } ); },
    { name = "v1"; send_proxy = "v1"; endpoints = ( { to = "127.0.0.1:@PORT@"; } ); },
    { name = "v2"; send_proxy = "v2"; endpoints = ( { to = "127.0.0.1:@PORT@"; } ); },
    { name = "local"; endpoints = ( { to = "unix:@DIR@/backend"; } ); },
    { name = "next"; tries = 3; max_fails = 0;
      endpoints = ( { to = "127.0.0.1:@DEAD@"; }, { to = "127.0.0.1:@PORT@"; } ); },
    { name = "down"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@DEAD@"; } ); }
);
"""
EXTRA = ', { name = "extra"; mode = "port"; listen = "127.0.0.1:@EXTRA@"; group = "plain"; }'

backend = once(Backend)
dead = once(DeadPort)


extra = once(free_port)  # for a listener that comes and goes


@once
def proxy():
    return Daemon(CONF, PORT=backend().port, DEAD=dead().port, PLAIN="",
                  LISTENER=EXTRA.replace("@EXTRA@", str(extra())))


def pair(listener="plain"):
    """A client connection, and the backend's end of it."""
    return Client(proxy().address(listener)), backend().accept()


def records(listener):
    """The access records of a listener so far."""
    return [record for record in proxy().records() if record["listener"] == listener]


def next_record(listener, known):
    """The record behind those that are known already, once it is there."""
    return until(lambda: records(listener)[len(known):], f"a new line of {listener}")[0]


def was_reset(stream):
    while stream.fill():
        pass
    return stream.was_reset


# ---- bytes


@test("bytes pass both ways as they are")
def _():
    client, server = pair()
    with client, server:
        client.send(b"\0\r\n\xff ping")
        equal(server.exactly(9), b"\0\r\n\xff ping", "to the backend")
        server.send(b"pong")
        equal(client.exactly(4), b"pong", "to the client")


@test("a server may speak first")
def _():
    client, server = pair()
    with client, server:
        server.send(b"220 ready\r\n")
        equal(client.line("a greeting"), b"220 ready", "greeting")


@test("64 MB each way at once are byte-exact")
def _():
    client, server = pair()
    data = os.urandom(1 << 20) * 64
    wanted = hashlib.sha256(data).digest()

    def send(stream):
        stream.send(data)
        stream.half_close()

    with client, server:
        senders = [threading.Thread(target=send, args=(s,)) for s in (client, server)]
        found = {}

        def receive(name, stream):
            found[name] = hashlib.sha256(stream.rest()).digest()

        receivers = [threading.Thread(target=receive, args=("up", server)),
                     threading.Thread(target=receive, args=("down", client))]
        for thread in senders + receivers:
            thread.start()
        for thread in senders + receivers:
            thread.join(4 * WAIT)
        equal(found.get("up"), wanted, "what the backend received")
        equal(found.get("down"), wanted, "what the client received")


@test("a long stream does not delay a small one on the same thread")
def _():
    big_client, big_server = pair()

    def flood():
        while big_server.try_send(bytes(1 << 20)):
            pass

    def swallow():
        while big_client.fill():
            big_client.buffer.clear()
            big_client.received.clear()

    threads = [threading.Thread(target=flood), threading.Thread(target=swallow)]
    with big_client, big_server:
        for thread in threads:
            thread.start()
        client, server = pair()
        with client, server:
            for _ in range(50):
                client.send(b"quick")
                equal(server.exactly(5), b"quick", "to the backend")
                server.send(b"there")
                equal(client.exactly(5), b"there", "to the client")
        big_server.sock.shutdown(socket.SHUT_RDWR)  # ends both threads
        for thread in threads:
            thread.join(WAIT)


@test("an endpoint may be a unix socket")
def _():
    local = Backend(socket.AF_UNIX, proxy().path("backend"))
    try:
        client = Client(proxy().address("local"))
        server = local.accept()
        with client:
            client.send(b"ask")
            equal(server.exactly(3), b"ask", "to the backend")
            server.send(b"answer")
            server.close()
            equal(client.rest(), b"answer", "to the client")
            check(not client.was_reset, "the client was reset")
    finally:
        local.close()


# ---- ends


@test("a client that sends no more still gets the whole answer")
def _():
    client, server = pair()
    with client, server:
        client.send(b"question")
        client.half_close()
        equal(server.rest(), b"question", "to the backend")
        server.send(b"a" * 3_000_000)
        server.close()
        equal(len(client.rest()), 3_000_000, "bytes of the answer")
        check(not client.was_reset, "the client was reset")


@test("a backend that sends no more still gets everything")
def _():
    client, server = pair()
    with client, server:
        server.send(b"bye")
        server.half_close()
        equal(client.rest(), b"bye", "to the client")
        client.send(b"b" * 3_000_000)
        client.close()
        equal(len(server.rest()), 3_000_000, "bytes to the backend")


@test("a reset is passed on at once, either way")
def _():
    client, server = pair()
    with server:
        client.send(b"x")
        server.exactly(1)
        client.reset()
        check(was_reset(server), "the backend saw no reset")
    client, server = pair()
    with client:
        client.send(b"x")
        server.exactly(1)
        server.reset()
        check(was_reset(client), "the client saw no reset")


@test("an idle forward is ended", timely=True)
def _():
    known = records("hasty")
    client, server = pair("hasty")
    with client, server:
        client.send(b"x")
        equal(server.exactly(1), b"x", "to the backend")
        check(was_reset(client), "the client saw no reset")
        check(was_reset(server), "the backend saw no reset")
    equal(next_record("hasty", known)["end"], "limit", "end")


# ---- endpoints


@test("the next endpoint is tried when one cannot be connected")
def _():
    for _ in range(4):
        client, server = pair("next")
        with client, server:
            client.send(b"x")
            equal(server.exactly(1), b"x", "to the backend")


@test("without an endpoint the client is reset")
def _():
    known = records("down")
    try:
        with Client(proxy().address("down")) as client:
            check(was_reset(client), "the client saw no reset")
    except ConnectionResetError:
        pass  # before the client had looked
    equal(next_record("down", known)["end"], "connect_failed", "end")


@test("clients outside allow_client are closed")
def _():
    with Client(proxy().address("closed")) as client:
        equal(client.rest(), b"", "to the client")


# ---- PROXY headers


@test("a version 1 header tells the endpoint who the client is")
def _():
    client, server = pair("v1")
    with client, server:
        ip, port = client.sock.getsockname()
        to_ip, to_port = client.sock.getpeername()
        equal(server.line("a PROXY header").decode(),
              f"PROXY TCP4 {ip} {to_ip} {port} {to_port}", "header")
        client.send(b"x")
        equal(server.exactly(1), b"x", "to the backend")


@test("a version 2 header tells the endpoint who the client is")
def _():
    client, server = pair("v2")
    with client, server:
        ip, port = client.sock.getsockname()
        to_ip, to_port = client.sock.getpeername()
        equal(server.exactly(28), b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(ip) +
              socket.inet_aton(to_ip) + port.to_bytes(2, "big") + to_port.to_bytes(2, "big"),
              "header")


@test("a header that came in names the client, and its bytes do not go on")
def _():
    known = records("in")
    client = Client(proxy().address("in"))
    client.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nhello", bytewise=True)
    server = backend().accept()
    with client, server:
        equal(server.line("a PROXY header"), b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443",
              "header")
        equal(server.exactly(5), b"hello", "to the backend")
    equal(next_record("in", known)["client_ip"], "192.0.2.7", "client in the log")


@test("a malformed header closes the connection and reaches nobody")
def _():
    for bad in (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n", b"GET / HTTP/1.1\r\n\r\n",
                b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + bytes(12)):
        with Client(proxy().address("in")) as client:
            client.try_send(bad)
            equal(client.rest(), b"", "to the client")


# ---- the log


@test("a record says who, where to, how much and how it ended")
def _():
    client, server = pair("v1")
    port = int(server.line("a PROXY header").split()[4])
    client.send(b"12345")
    server.exactly(5)
    server.send(b"123")
    client.exactly(3)
    server.close()
    client.close()
    record = until(lambda: next((r for r in records("v1") if r["client_port"] == port), None),
                   "its line")
    equal(record["mode"], "port", "mode")
    equal(record["group"], "v1", "group")
    equal(record["upstream"], f"127.0.0.1:{backend().port}", "endpoint")
    equal(record["end"], "done", "end")
    equal((record["bytes_in"], record["bytes_out"]), (5, 3), "bytes")


# ---- reloads


@test("a forward outlives reloads")
def _():
    client, server = pair()
    with client, server:
        for i in range(5):
            proxy().reload()
            client.send(b"%d" % i)
            equal(server.exactly(1), b"%d" % i, "to the backend")
            server.send(b"ok")
            equal(client.exactly(2), b"ok", "to the client")


@test("a reload closes only what the new configuration refuses, and the log says why")
def _():
    kept = [pair("v2"), pair()]
    with connect(f"127.0.0.1:{extra()}") as sock:
        gone, server = Stream(sock), backend().accept()
        proxy().reload(CONF, LISTENER="")
        check(was_reset(gone), "the client of the listener that is gone saw no reset")
        check(was_reset(server), "the backend saw no reset")
    proxy().wait_log(r'listener "extra".*its listener is gone')
    proxy().reload(CONF, PLAIN='allow_client = [ "192.0.2.0/24" ];')
    (client, server), (refused, _) = kept
    check(was_reset(refused), "the client that is refused now saw no reset")
    proxy().wait_log(r'listener "plain".*not in allow_client')
    with client, server:
        client.send(b"x")
        equal(server.exactly(29)[28:], b"x", "to the backend that was kept")
    equal(next_record("extra", [])["end"], "denied", "end")


main()
