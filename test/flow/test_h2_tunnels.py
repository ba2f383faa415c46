# SPDX-License-Identifier: BSD-2-Clause
"""Tunnels in HTTP/2 streams: CONNECT at forward listeners, WebSocket (RFC 8441) to origins that
speak HTTP/1.1."""

import base64
import hashlib
import os

from bascule_flow import FACTOR, Daemon, Origin, check, equal, head, main, once, one_of, test
from h2 import END_STREAM, Error, Kind, Setting, h2c, request
from peers import Backend, DeadPort, until
from wire import CutShort

CONF = """
workers = 2;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.1" ]; },
    { name = "idle"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.1" ]; timeouts = { tunnel_idle = "@MS@ms"; }; },
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; } );
sites = ( { name = "all"; default = true; group = "origin"; } );
"""
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

backend = once(Backend)
dead = once(DeadPort)


def echo(link):
    while link.fill():
        link.send(link.exactly(len(link.buffer)))
    link.half_close()


def accept(request_, link):
    """An origin's side of RFC 6455, strict; then an echo."""
    key = request_.get("Sec-WebSocket-Key")
    check(request_.method == "GET" and request_.get("Upgrade").lower() == "websocket" and
          "upgrade" in request_.get("Connection").lower() and
          request_.get("Sec-WebSocket-Version") == "13" and len(base64.b64decode(key)) == 16,
          f"no WebSocket handshake: {request_}")
    token = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
    link.send(head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                   f"Sec-WebSocket-Accept: {token}", "Sec-WebSocket-Protocol: chat"))
    echo(link)
    link.close()


@once
def origin():
    server = Origin()
    server.on("/socket", accept)
    server.on("/no", head("HTTP/1.1 403 Forbidden", "Content-Length: 2") + b"no")
    server.on("/plain", head("HTTP/1.1 200 OK", "Content-Length: 2") + b"ok")
    server.on("/wrong", head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                             "Connection: Upgrade", "Sec-WebSocket-Accept: AAAA"))
    return server


@once
def echo_server():
    return Origin(serve=lambda link: setattr(link, "wait", 600) or echo(link))


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, MS=int(400 * FACTOR))


def client(listener="out", settings=()):
    return h2c(proxy().address(listener), settings).greet()


def connect(c, port, *fields):
    """Asks for a tunnel; the stream's number."""
    return c.open([(":method", "CONNECT"), (":authority", f"127.0.0.1:{port}"), *fields], end=False)


def opened(c, port):
    stream = connect(c, port)
    equal(c.head(stream).status, 200, "status of CONNECT")
    return stream


def says(c, stream, text, end=False):
    """Sends text and waits for its echo."""
    have = len(c.answers[stream].body)
    c.send_data(stream, text, end)
    c.until(lambda: len(c.answers[stream].body) >= have + len(text), "the echo")
    equal(c.answers[stream].body[have:], text, "echo")


def web_socket(c, path="/socket", *fields):
    return c.open([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                   (":path", path), (":authority", "site.test"), ("sec-websocket-version", "13"),
                   ("sec-websocket-protocol", "chat"), ("origin", "http://site.test"), *fields],
                  end=False)


# ---- CONNECT


@test("CONNECT: bytes pass both ways, and the end of each side is passed on")
def _():
    with client() as c:
        stream = connect(c, backend().port)
        server = backend().accept()
        found = c.head(stream)
        equal((found.status, found.has("content-length"), found.has("transfer-encoding")),
              (200, False, False), "head")
        c.send_data(stream, b"hello", end=False)
        equal(server.exactly(5), b"hello", "at the server")
        server.send(b"hello yourself")
        c.until(lambda: c.answers[stream].body == b"hello yourself", "the answer")
        c.put(Kind.DATA, END_STREAM, stream, b"last")
        equal(server.rest(), b"last", "until the client's end")
        server.send(b"words")
        server.close()
        equal(c.answer(stream).body, b"hello yourselfwords", "until the server's end")
    equal(proxy().wait_record(f"127.0.0.1:{backend().port}")["status"], 200, "status in the log")


@test("CONNECT: the server may end first")
def _():
    with client() as c:
        stream = connect(c, backend().port)
        server = backend().accept()
        c.head(stream)
        server.send(b"first and last")
        server.half_close()
        equal(c.answer(stream).body, b"first and last", "what it said")
        c.send_data(stream, b"still", end=False)
        equal(server.exactly(5), b"still", "at the server")
        c.put(Kind.DATA, END_STREAM, stream)
        check(server.has_ended(), "the client's end is not passed on")
        server.close()


@test("CONNECT: a reset is passed on, either way")
def _():
    with client() as c:
        stream = connect(c, backend().port)
        server = backend().accept()
        c.head(stream)
        c.reset_stream(stream)
        check(server.has_ended(), "bytes instead of an end")
        stream = connect(c, backend().port)
        server = backend().accept()
        c.head(stream)
        server.reset()
        one_of(c.reset_of(stream), (Error.CONNECT_ERROR, Error.CANCEL, Error.INTERNAL_ERROR),
               "error")
        says(c, opened(c, echo_server().port), b"alive")


@test("CONNECT: what is refused has a status, and the connection goes on")
def _():
    with client() as c:
        for target, status in ((f"127.0.0.1:{dead().port}", 502), ("10.0.0.1:443", 403)):
            stream = c.open([(":method", "CONNECT"), (":authority", target)], end=False)
            equal(c.head(stream).status, status, f"status for {target}")
        says(c, opened(c, echo_server().port), b"alive")


@test("CONNECT: many tunnels on one connection, large and small")
def _():
    data = os.urandom(500_000)
    with client() as c:
        before = proxy().metrics()["bascule_tunnels_opened_total"]
        streams = [connect(c, echo_server().port) for _ in range(60)]
        for stream in streams:
            equal(c.head(stream).status, 200, "status")
        for stream in streams:
            says(c, stream, b"tunnel %d" % stream)
        for stream in streams[:4]:
            says(c, stream, data)
        equal(proxy().metrics()["bascule_tunnels_opened_total"], before + 60, "tunnels")
        for stream in streams:
            c.put(Kind.DATA, END_STREAM, stream)
            c.answer(stream)
    until(lambda: proxy().metrics()["bascule_tunnels_open"] == 0, "no tunnel is left")


@test("CONNECT: one that nobody reads holds back its server, not the others")
def _():
    sent = []

    def pour(link):
        link.wait = 60
        for _ in range(100):
            link.send(bytes(1_000_000))
            sent.append(1_000_000)

    fountain = Origin(serve=pour)
    try:
        with client() as c:
            other = opened(c, echo_server().port)
            c.is_generous = False # from the first byte on
            slow = opened(c, fountain.port)
            c.until(lambda: c.stream_credit[slow] == 0, "what the window allows")
            c.is_generous = True
            c.give_credit(0, c.answers[slow].received)
            for _ in range(3):
                says(c, other, os.urandom(100_000))
            check(sum(sent) < 20_000_000, f"{sum(sent)} bytes were taken for who does not read")
            equal(c.answers[slow].received, 65535, "bytes of the slow one")
    finally:
        fountain.close()


@test("CONNECT: a server that does not take what is sent holds back its client, not the others")
def _():
    with client() as c:
        stream = connect(c, backend().port)
        server = backend().accept()
        c.head(stream)
        sent = 0
        while True: # until neither the kernel's buffers nor ours take more
            while (room := min(c.debt, c.stream_debt[stream], 16384)) > 0:
                c.debt -= room
                c.stream_debt[stream] -= room
                c.put(Kind.DATA, 0, stream, bytes(room))
                sent += room
            check(sent < 50_000_000, "no end of what is taken for a server that does not read")
            c.ping()
            if c.stream_debt[stream] == 0 and c.is_quiet(0.5):
                break
        check(c.debt > 0, "the window of the connection is used up by one stream")
        says(c, opened(c, echo_server().port), b"alive")
        equal(len(server.exactly(sent)), sent, "bytes that arrived in the end")
        server.close()


@test("CONNECT: an idle tunnel ends by its deadline, and the connection goes on", timely=True)
def _():
    with client("idle") as c:
        stream = opened(c, echo_server().port)
        says(c, stream, b"alive")
        try:
            c.answer(stream)
        except CutShort:
            check(c.answers[stream].reset is not None, "the connection ended")
        says(c, opened(c, echo_server().port), b"alive")


@test("CONNECT: the client's end of its connection ends all tunnels")
def _():
    c = client()
    servers = []
    for _ in range(5):
        stream = connect(c, backend().port)
        servers.append(backend().accept())
        c.head(stream)
    c.close()
    for server in servers:
        check(server.has_ended(), "bytes instead of an end")
        server.close()


# ---- WebSocket


@test("WebSocket: an extended CONNECT becomes an Upgrade, and bytes pass both ways")
def _():
    with client("web") as c:
        equal(c.peer.get(Setting.ENABLE_CONNECT_PROTOCOL), 1, "ENABLE_CONNECT_PROTOCOL")
        stream = web_socket(c)
        found = c.head(stream)
        equal((found.status, found.get("sec-websocket-protocol")), (200, "chat"), "head")
        for name in ("connection", "upgrade", "sec-websocket-accept"):
            check(not found.has(name), f"{name} in HTTP/2")
        says(c, stream, b"\x81\x85mask\x05\x04\x1f\x07\x02")
        says(c, stream, os.urandom(300_000))
        c.put(Kind.DATA, END_STREAM, stream)
        c.answer(stream)
    seen = origin().wait_request("/socket")
    equal((seen.get("Host"), seen.get("Sec-WebSocket-Protocol"), seen.get("Origin")),
          ("site.test", "chat", "http://site.test"), "the request")


@test("WebSocket: many on one connection")
def _():
    with client("web") as c:
        streams = [web_socket(c) for _ in range(40)]
        for stream in streams:
            equal(c.head(stream).status, 200, "status")
        for stream in reversed(streams):
            says(c, stream, b"socket %d" % stream)
        for stream in streams:
            c.put(Kind.DATA, END_STREAM, stream)
            c.answer(stream)


@test("WebSocket: an origin that does not want to says so in a response")
def _():
    with client("web") as c:
        stream = web_socket(c, "/no")
        found = c.head(stream)
        equal(found.status, 403, "status")
        c.until(lambda: len(found.body) == 2, "the content")
        stream = web_socket(c, "/plain")
        check(c.head(stream).status != 200, "200 tells the client that the socket is open")
        stream = web_socket(c, "/wrong")
        equal(c.head(stream).status, 502, "status of a wrong Sec-WebSocket-Accept")
        equal(c.ask(request("/plain")).body, b"ok", "the next request")


@test("WebSocket: malformed extended CONNECTs are refused")
def _():
    with client("web") as c:
        for fields in (
                [(":method", "GET"), (":protocol", "websocket"), (":scheme", "http"),
                 (":path", "/socket"), (":authority", "site.test")],
                [(":method", "CONNECT"), (":protocol", "websocket"), (":authority", "site.test")],
                [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                 (":authority", "site.test")]):
            stream = c.open(fields, end=False)
            found = c.answers[stream]
            c.until(lambda f=found: f.reset is not None or f.has_head, "an answer")
            check(found.reset == Error.PROTOCOL_ERROR or found.status == 400,
                  f"{fields}: status {found.status}, reset {found.reset!r}")
        stream = c.open([(":method", "CONNECT"), (":protocol", "mystery"), (":scheme", "http"),
                         (":path", "/socket"), (":authority", "site.test")], end=False)
        found = c.answers[stream]
        c.until(lambda: found.reset is not None or found.has_head, "an answer")
        check(found.reset is not None or found.status in (400, 501), f"status {found.status}")
        equal(c.ask(request("/plain")).body, b"ok", "the next request")


main()
