# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/2 towards origins: many exchanges on few connections, whole messages, and origins that
end, refuse or misbehave."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading

import hpack
from bascule_flow import (FACTOR, WAIT, Client, Daemon, Failure, Skip, ask, check, chunks, equal,
                          get, head, main, once, one_of, post, test)
from certs import Certificates
from h2 import (ACK, END_HEADERS, END_STREAM, PREFACE, Error, Kind, Setting, frame, h2c, request,
                settings_of, u32)
from peers import Backend, SilentPort, free_port, until
from wire import connect

CONF = """
workers = 1; # so that all exchanges may share connections
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; http2 = { streams = 200; }; }
);
groups = (
    { name = "h2c"; max_fails = 0; protocol = "h2c"; endpoints = [ "127.0.0.1:@PLAIN@" ]; },
    { name = "h2"; max_fails = 0; protocol = "h2"; endpoints = [ "127.0.0.1:@TLS@" ];
      tls = { ca = "@CA@"; }; },
    { name = "auto"; max_fails = 0; endpoints = [ "127.0.0.1:@TLS@" ]; tls = { ca = "@CA@"; }; },
    { name = "old"; max_fails = 0; protocol = "http/1.1"; endpoints = [ "127.0.0.1:@TLS@" ];
      tls = { ca = "@CA@"; }; },
    { name = "raw"; max_fails = 0; protocol = "h2c"; endpoints = [ "127.0.0.1:@RAW@" ];
      timeouts = { head = "1h"; body = "1h"; }; },
    { name = "hush"; max_fails = 0; protocol = "h2c"; endpoints = [ "127.0.0.1:@RAW@" ];
      timeouts = { head = "300ms"; }; },
    { name = "down"; max_fails = 0; protocol = "h2c"; endpoints = [ "127.0.0.1:@SILENT@" ];
      timeouts = { connect = "@MS@ms"; }; },
    { name = "few"; max_fails = 0; protocol = "h2c"; max_streams = 10;
      endpoints = [ "127.0.0.1:@PLAIN@" ]; }
);
sites = (
    { name = "h2c"; default = true; group = "h2c"; },
    { name = "h2"; hosts = [ "h2.test" ]; group = "h2"; },
    { name = "auto"; hosts = [ "auto.test" ]; group = "auto"; },
    { name = "old"; hosts = [ "old.test" ]; group = "old"; },
    { name = "raw"; hosts = [ "raw.test" ]; group = "raw"; },
    { name = "hush"; hosts = [ "hush.test" ]; group = "hush"; },
    { name = "down"; hosts = [ "down.test" ]; group = "down"; },
    { name = "few"; hosts = [ "few.test" ]; group = "few"; }
);
"""
BLOB = os.urandom(200_000)


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.issue("origin", "root", ["IP:127.0.0.1"])
    return made


class Nghttpd:
    """The server of nghttp2, with and without TLS."""

    def __init__(self):
        program = shutil.which("nghttpd")
        if program is None:
            raise Skip("there is no nghttpd here")
        self.dir = tempfile.mkdtemp(prefix="bascule-nghttpd-")
        for name, data in (("index.html", b"hello\n"), ("blob", BLOB)):
            with open(os.path.join(self.dir, name), "wb") as file:
                file.write(data)
        self.port, self.tls = free_port(), free_port()
        pem = certificates().path("origin.pem")
        words = ["-d", self.dir, "--address=127.0.0.1", "--echo-upload", "--trailer=x-sum: 1"]
        self.processes = [
            subprocess.Popen([program, *words, "--no-tls", str(self.port)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL),
            subprocess.Popen([program, *words, str(self.tls), pem, pem],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)]
        until(lambda: self.is_ready(self.port) and self.is_ready(self.tls), "nghttpd listens")

    @staticmethod
    def is_ready(port):
        try:
            connect(f"127.0.0.1:{port}").close()
            return True
        except OSError:
            return False

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


nghttpd = once(Nghttpd)
raw = once(Backend)
silent = once(SilentPort)


@once
def proxy():
    return Daemon(CONF, PLAIN=nghttpd().port, TLS=nghttpd().tls, RAW=raw().port,
                  SILENT=silent().port, CA=certificates().path("root.pem"), MS=int(500 * FACTOR))


def go(data, method="GET"):
    return ask(proxy().address("web"), data, method)


def connects():
    return proxy().metrics()["bascule_upstream_connects_total"]


# ---- nghttpd


@test("GET, HEAD, POST and what is missing, by h2c, h2, and what ALPN says")
def _():
    for host in ("site.test", "h2.test", "auto.test"):
        found = go(get("/index.html", host=host))
        equal((found.status, found.body), (200, b"hello\n"), f"GET of {host}")
        equal(go(get("/index.html", host=host, method="HEAD"), "HEAD").get("content-length"), "6",
              f"HEAD of {host}")
        check(go(get("/blob", host=host)).body == BLOB, f"content from {host} differs")
        check(go(post("/index.html", BLOB, host=host)).body == BLOB, f"echo of {host} differs")
        found = go(head("POST /index.html HTTP/1.1", f"Host: {host}", "Transfer-Encoding: chunked",
                        "TE: trailers", "Connection: TE") + chunks(BLOB[:70_000], b"x"))
        check(found.body == BLOB[:70_000] + b"x", f"chunked echo of {host} differs")
        equal(go(get("/missing", host=host)).status, 404, f"status of {host}")


@test("a server that offers HTTP/2 alone is not asked in HTTP/1.1")
def _():
    equal(go(get("/index.html", host="old.test")).status, 502, "status")


@test("trailers pass, from HTTP/2 to HTTP/1.1 and to HTTP/2")
def _():
    found = go(head("POST /index.html HTTP/1.1", "Host: site.test", "Transfer-Encoding: chunked",
                    "TE: trailers", "Connection: TE") + chunks(BLOB)) # too much for a length
    equal((found.body == BLOB, found.trailers), (True, [("x-sum", "1")]), "HTTP/1.1")
    with h2c(proxy().address("web")).greet() as c:
        found = c.ask(request("/index.html", ("te", "trailers")))
        equal((found.body, found.trailers), (b"hello\n", [("x-sum", "1")]), "HTTP/2")


@test("a hundred streams use two connections at most")
def _():
    go(get("/index.html"))
    before = connects()
    with h2c(proxy().address("web")).greet() as c:
        for _ in range(3):
            streams = [c.open(request("/blob")) for _ in range(100)]
            for stream in streams:
                check(c.answer(stream).body == BLOB, f"content of stream {stream} differs")
    check(connects() - before <= 1, f"{connects() - before} more connections")


@test("a hundred clients of HTTP/1.1 use few connections, too")
def _():
    go(get("/index.html"))
    before = connects()
    clients = [Client(proxy().address("web")) for _ in range(100)]
    try:
        for c in clients:
            c.send(get("/blob"))
        for c in clients:
            check(c.read().body == BLOB, "content differs")
    finally:
        for c in clients:
            c.close()
    check(connects() - before <= 1, f"{connects() - before} more connections")


@test("a connection that fails while many wait for it is one failure of the endpoint", timely=True)
def _():
    def failed():
        return proxy().metrics().get('bascule_endpoint_failures_total{group="down",'
                                     f'endpoint="127.0.0.1:{silent().port}"}}', 0)

    before = failed()
    with h2c(proxy().address("web")).greet() as c:
        streams = [c.open(request("/", authority="down.test")) for _ in range(50)]
        for stream in streams:
            equal(c.answer(stream).status, 504, "status")
    equal(failed() - before, 1, "failures")


@test("max_streams spreads exchanges over more connections")
def _():
    before = connects()
    with h2c(proxy().address("web")).greet() as c:
        c.is_generous = False
        streams = [c.open(request("/blob", authority="few.test")) for _ in range(40)]
        for stream in streams:
            c.head(stream)
        check(4 <= connects() - before <= 6, f"{connects() - before} connections for 40 streams")
        for stream in streams:
            c.reset_stream(stream)


@test("a slow reader of one stream does not hold up the others of its connection")
def _():
    with h2c(proxy().address("web")).greet() as slow, h2c(proxy().address("web")).greet() as other:
        slow.is_generous = False
        for _ in range(10):
            slow.head(slow.open(request("/blob")))
        for _ in range(5):
            check(other.ask(request("/blob")).body == BLOB, "content differs")


# ---- origins that we play ourselves


class Server:
    """The other side: one connection that was accepted, and greeted."""

    def __init__(self, settings=(), greet=True):
        self.stream = raw().accept()
        self.decoder = hpack.Decoder()
        equal(self.stream.exactly(len(PREFACE)), PREFACE, "preface")
        if greet:
            self.put(Kind.SETTINGS, 0, 0, settings_of(settings))

    def put(self, kind, flags=0, stream=0, payload=b""):
        self.stream.try_send(frame(kind, flags, stream, payload))

    def next(self):
        """(kind, flags, stream, payload) of the next frame that matters."""
        while True:
            top = self.stream.exactly(9, "a frame's head")
            payload = self.stream.exactly(int.from_bytes(top[:3], "big"), "a frame")
            kind, flags, stream = top[3], top[4], int.from_bytes(top[5:9], "big")
            if kind == Kind.SETTINGS and not flags & ACK:
                self.put(Kind.SETTINGS, ACK)
            elif kind == Kind.PING and not flags & ACK:
                self.put(Kind.PING, ACK, 0, payload)
            elif kind not in (Kind.SETTINGS, Kind.WINDOW_UPDATE):
                return kind, flags, stream, payload

    def request(self):
        """The next request's stream and fields; its content, if any, is read."""
        kind, flags, stream, payload = self.next()
        equal(kind, Kind.HEADERS, f"kind of frame ({payload!r})")
        if flags & 0x20:
            payload = payload[5:]
        fields = self.decoder.read(payload)
        body = b""
        while not flags & END_STREAM:
            kind, flags, _, payload = self.next()
            equal(kind, Kind.DATA, "kind of frame")
            body += payload
        return stream, fields, body

    def answer(self, stream, body=b"raw\n", *fields, status="200"):
        self.put(Kind.HEADERS, END_HEADERS, stream, hpack.block([(":status", status), *fields]))
        self.put(Kind.DATA, END_STREAM, stream, body)

    def until_reset(self, stream):
        """The error that we are told for a stream, or in GOAWAY."""
        while True:
            kind, _, number, payload = self.next()
            if kind == Kind.RST_STREAM and number == stream:
                return int.from_bytes(payload, "big")
            if kind == Kind.GOAWAY:
                return int.from_bytes(payload[4:8], "big")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # it is closed, or was reset
            self.stream.half_close()
            self.stream.rest()  # nobody is to be sent here any more
        self.stream.close()


class Asking:
    """A request to raw.test that waits for its answer in a thread."""

    def __init__(self, data=None, method="GET"):
        self.found = None
        self.thread = threading.Thread(target=self._run, args=(data or get("/", host="raw.test"),
                                                               method))
        self.thread.start()

    def _run(self, data, method):
        try:
            self.found = go(data, method)
        except Exception as error:  # told in response()
            self.found = error

    def response(self):
        self.thread.join(WAIT)
        if isinstance(self.found, Exception):
            raise self.found
        if self.found is None:
            raise Failure("no response")
        return self.found


def fresh(settings=()):
    """A server on a connection that no other test used, and a request on its way to it."""
    asking = Asking()
    return asking, Server(settings)


@test("a request is as RFC 9113 has it")
def _():
    asking = Asking(head("POST /path?a=b HTTP/1.1", "Host: raw.test", "Connection: close, X-Hop",
                         "X-Hop: 1", "X-Mixed-Case: Kept", "TE: trailers, deflate",
                         "Cookie: a=b; c=d", "Keep-Alive: 5", "Content-Length: 4") + b"body")
    with Server() as server:
        stream, fields, body = server.request()
        pseudo = dict(fields[:4])
        equal(pseudo, {":method": "POST", ":scheme": "http", ":authority": "raw.test",
                       ":path": "/path?a=b"}, "pseudo-fields come first")
        rest = fields[4:]
        equal((stream % 2, body), (1, b"body"), "stream and content")
        names = [name for name, _ in rest]
        check(all(name == name.lower() and not name.startswith(":") for name in names), str(names))
        for name in ("connection", "x-hop", "keep-alive", "host", "transfer-encoding", "upgrade"):
            check(name not in names, f"{name} is passed on")
        equal(dict(rest).get("x-mixed-case"), "Kept", "a field")
        equal(dict(rest).get("content-length"), "4", "content-length")
        check(dict(rest).get("te") in (None, "trailers"), "te")
        equal("; ".join(value for name, value in rest if name == "cookie"), "a=b; c=d", "cookies")
        server.answer(stream, b"fine", ("x-reply", "1"))
        found = asking.response()
        equal((found.status, found.body, found.get("x-reply")), (200, b"fine", "1"), "response")


@test("GOAWAY: what it leaves out is asked again, what it takes is finished")
def _():
    first, server = fresh()
    with server:
        stream, _, _ = server.request()
        second = Asking(get("/again", host="raw.test"))
        other, _, _ = server.request()
        server.put(Kind.GOAWAY, 0, 0, u32(stream) + u32(0))
        with Server() as successor:
            again, fields, _ = successor.request()
            equal(dict(fields)[":path"], "/again", "the request asked again")
            successor.answer(again, b"second")
            server.answer(stream, b"first")
            equal((first.response().body, second.response().body), (b"first", b"second"),
                  "contents")
            check(other > stream, "the order of streams")


@test("REFUSED_STREAM is asked again; another error is 502")
def _():
    asking, server = fresh()
    with server:
        stream, _, _ = server.request()
        server.put(Kind.RST_STREAM, 0, stream, u32(Error.REFUSED_STREAM))
        stream, _, _ = server.request()
        server.answer(stream)
        equal(asking.response().status, 200, "status of one that was refused")
        asking = Asking(post("/", b"x", host="raw.test"))
        stream, _, _ = server.request()
        server.put(Kind.RST_STREAM, 0, stream, u32(Error.INTERNAL_ERROR))
        equal(asking.response().status, 502, "status of one that was reset")


@test("MAX_CONCURRENT_STREAMS of the origin is kept to")
def _():
    first, server = fresh([(Setting.MAX_CONCURRENT_STREAMS, 1)])
    with server:
        stream, _, _ = server.request()
        second = Asking(get("/second", host="raw.test"))
        with Server([(Setting.MAX_CONCURRENT_STREAMS, 1)]) as another:
            other, _, _ = another.request()
            another.answer(other, b"two")
            server.answer(stream, b"one")
            equal((first.response().body, second.response().body), (b"one", b"two"), "contents")


@test("a response that breaks the rules is 502, and nothing of it passes")
def _():
    for what, fields in (
            ("no :status", [("x-a", "1")]),
            ("a :status of letters", [(":status", "abc")]),
            ("a :status of 4 digits", [(":status", "2000")]),
            ("an uppercase name", [(":status", "200"), ("X-A", "1")]),
            ("a line break in a value", [(":status", "200"), ("x-a", "1\r\nset-cookie: evil=1")]),
            ("NUL in a value", [(":status", "200"), ("x-a", "1\0")]),
            ("a colon in a name", [(":status", "200"), ("x:a", "1")]),
            ("Transfer-Encoding", [(":status", "200"), ("transfer-encoding", "chunked")]),
            ("Connection", [(":status", "200"), ("connection", "close")]),
            ("101", [(":status", "101")]),
            ("a pseudo-field of requests", [(":status", "200"), (":path", "/")]),
            ("a late pseudo-field", [("x-a", "1"), (":status", "200")]),
            ("two content-lengths", [(":status", "200"), ("content-length", "4"),
                                     ("content-length", "5")])):
        asking, server = fresh()
        with server:
            stream, _, _ = server.request()
            server.put(Kind.HEADERS, END_HEADERS, stream, hpack.block(fields))
            server.put(Kind.DATA, END_STREAM, stream, b"test")
            found = asking.response()
            equal(found.status, 502, f"status after {what}")
            check(not found.has("set-cookie") and not found.has("x-a"), f"{what} passes")
            one_of(server.until_reset(stream), (Error.PROTOCOL_ERROR, Error.CANCEL), what)


@test("content that is not as long as was said cuts the response short")
def _():
    for length, body in (("3", b"test"), ("9", b"test")):
        asking, server = fresh()
        with server:
            stream, _, _ = server.request()
            server.answer(stream, body, ("content-length", length))
            try:
                found = asking.response()
            except Failure:
                continue  # cut short: what the client had was the head
            equal(found.status, 502, f"status for {len(body)} of {length} bytes")


@test("an origin that goes away, or breaks the protocol, is 502 for who was waiting")
def _():
    for end in (lambda s, stream: s.stream.reset(), lambda s, stream: s.stream.close(),
                lambda s, stream: s.put(Kind.GOAWAY, 0, 0, u32(stream) + u32(2)) or
                s.stream.close(),
                lambda s, stream: s.put(Kind.DATA, 0, 0, b"test"),
                lambda s, stream: s.put(Kind.PING, 0, 0, b"short"),
                lambda s, stream: s.put(Kind.HEADERS, END_HEADERS, stream, b"\xff" * 6),
                lambda s, stream: s.put(Kind.PUSH_PROMISE, END_HEADERS, stream,
                                        u32(2) + hpack.block(request())),
                lambda s, stream: s.stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")):
        asking = Asking(post("/", b"x", host="raw.test"))
        with Server() as server:
            stream, _, _ = server.request()
            end(server, stream)
            equal(asking.response().status, 502, "status")


@test("an origin that says nothing is 504, and its stream is given up", timely=True)
def _():
    asking = Asking(get("/", host="hush.test"))
    with Server() as server:
        stream, _, _ = server.request()
        equal(asking.response().status, 504, "status")
        equal(server.until_reset(stream), Error.CANCEL, "error")


@test("a client that goes away ends its stream at the origin, and only that")
def _():
    _, server = fresh()
    with server:
        stream, _, _ = server.request()
        server.answer(stream)
        c = Client(proxy().address("web"))
        c.send(get("/gone", host="raw.test"))
        stream, _, _ = server.request()
        c.reset()
        equal(server.until_reset(stream), Error.CANCEL, "error")
        asking = Asking()
        stream, _, _ = server.request()
        server.answer(stream)
        equal(asking.response().status, 200, "status on the same connection")


@test("an endless response to nobody is not read on")
def _():
    _, server = fresh()
    with server, Client(proxy().address("web")) as c:
        stream, _, _ = server.request()
        server.answer(stream)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send(get("/endless", host="raw.test"))
        stream, _, _ = server.request()
        server.put(Kind.HEADERS, END_HEADERS, stream, hpack.block([(":status", "200")]))
        window = sent = 65535
        while sent > 0:
            piece = min(sent, 16384)
            server.put(Kind.DATA, 0, stream, bytes(piece))
            sent -= piece
        check(window < 2**31, "a window without bounds")


main()
