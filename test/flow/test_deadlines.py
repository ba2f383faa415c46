# SPDX-License-Identifier: BSD-2-Clause
"""Deadlines: each wait for a peer ends, in a clear way, and runs only while we wait for that peer.

Lengths are short here; what has to pass keeps well clear of them.
"""

import contextlib
import os
import select
import socket
import threading
import time

from bascule_flow import (WAIT, Client, CutShort, Daemon, Failure, Origin, Stream, answer,
                          chunks, check, equal, get, head, main, once, one_of, test)
from peers import becomes

CONF = """
workers = 1;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "patient"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "head"; mode = "reverse"; listen = "127.0.0.1:0"; timeouts = { head = "300ms"; }; },
    { name = "idle"; mode = "reverse"; listen = "127.0.0.1:0"; timeouts = { idle = "300ms"; }; },
    { name = "body"; mode = "reverse"; listen = "127.0.0.1:0";
      timeouts = { head = "1s"; body = "1s"; body_bytes = "200"; }; },
    { name = "write"; mode = "reverse"; listen = "127.0.0.1:0";
      timeouts = { write = "1s"; write_bytes = "1K"; }; },
    { name = "strict"; mode = "reverse"; listen = "127.0.0.1:0"; timeouts = {
        head = "500ms"; idle = "500ms"; body = "1s"; body_bytes = "1K";
        write = "1s"; write_bytes = "1K"; }; },
    { name = "whole"; mode = "reverse"; listen = "127.0.0.1:0";
      timeouts = { exchange = "500ms"; }; },
    { name = "proxied"; mode = "reverse"; listen = "127.0.0.1:0"; proxy_protocol = true;
      proxy_protocol_from = [ "127.0.0.0/8" ]; timeouts = { head = "300ms"; }; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535";
      upstream = { connect = "300ms"; head = "300ms"; body = "300ms"; };
      timeouts = { exchange = "1s"; tunnel_idle = "500ms"; tunnel_half_close = "500ms"; }; },
    { name = "half"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535";
      timeouts = { tunnel_half_close = "300ms"; }; },
    { name = "life"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535";
      timeouts = { tunnel_life = "600ms"; }; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "hasty"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } );
      timeouts = { connect = "300ms"; head = "300ms"; body = "300ms"; write = "300ms"; }; },
    { name = "deaf"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@DEAF@"; } );
      timeouts = { connect = "300ms"; }; }
);
sites = (
    { name = "all"; default = true; group = "origin"; routes = (
        { path_prefix = "/hasty/"; group = "hasty"; },
        { path_prefix = "/deaf/"; group = "deaf"; } ); }
);
"""

BIG = bytes(1 << 20) * 24  # more than sockets and pipes on the way can hold
PAUSE = 1.2                # longer than any deadline above


class Deaf:
    """A port on which connections never come about: its queue is full."""

    def __init__(self):
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(0)
        self.port = self.listening.getsockname()[1]
        self.queued = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self.queued.append(sock)

    def close(self):
        for sock in (*self.queued, self.listening):
            sock.close()


origin = once(Origin)
deaf = once(Deaf)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, DEAF=deaf().port)


def client(listener="patient"):
    return Client(proxy().address(listener))


@contextlib.contextmanager
def counted(*names, by=1):
    """Each of these counters grows by so much meanwhile."""
    before = proxy().metrics()
    yield
    for name in names:
        name = f"bascule_{name}_total"
        becomes(lambda name=name: proxy().metrics()[name] - before[name], by, name)


def ends_as(target, end, status=None):
    record = proxy().wait_record(target)
    equal(record["end"], end, f"end word of {target}")
    if status is not None:
        equal(record["status"], status, f"status of {target} in the log")


def trickle(stream, piece):
    """Sends the piece again and again, until the peer says something or has gone."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if not stream.try_send(piece):
            return
        if select.select([stream.sock], [], [], 0.05)[0]:
            return
    raise Failure(f"sent slowly for {WAIT:g} s, and nothing happened")


def connect_tunnel(listener, to):
    stream = client(listener)
    target = f"127.0.0.1:{to.port}"
    response = stream.ask(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"), "CONNECT")
    equal(response.status, 200, "status of CONNECT")
    return stream


def was_reset(stream):
    while stream.fill():
        pass
    return stream.was_reset


class Echo(Origin):
    """Sends back what it gets, and ends when the peer does."""

    def __init__(self):
        super().__init__(serve=self.echo)

    @staticmethod
    def echo(link):
        link.wait = 600
        while link.fill():
            link.send(link.exactly(len(link.buffer)))
        link.half_close()


echo = once(Echo)


# ---- the client's head


@test("a head sent one byte at a time ends in 408", timely=True)
def _():
    with counted("client_timeouts"), client("head") as c:
        c.send(b"GET /slow-head HTTP/1.1\r\nX: ")
        trickle(c, b"a")
        equal(c.read().status, 408, "status")
        equal(c.rest(), b"", "what follows")
        ends_as("-", "client_timeout", 408)
    check(not any(r.target == "/slow-head" for r in origin().heads), "it reached the origin")


@test("the deadline for a head holds for later requests as well", timely=True)
def _():
    with client("head") as c:
        equal(c.ask(get("/first")).status, 200, "status of the first request")
        c.send(b"GET /second HTTP/1.1\r\nX: ")
        trickle(c, b"a")
        equal(c.read().status, 408, "status of the second request")
        equal(c.rest(), b"", "what follows")


@test("a connection that never asks is closed without a word")
def _():
    with client("head") as c:
        equal(c.rest(), b"", "what came")


@test("a PROXY header that does not come closes the connection", timely=True)
def _():
    with counted("client_timeouts"), client("proxied") as c:
        c.send(b"PROXY TCP4 ")
        equal(c.rest(), b"", "what came")


@test("an idle connection is closed after its time, and not before", timely=True)
def _():
    with client("idle") as short, client() as long:
        for c in (short, long):
            for _ in range(3):
                equal(c.ask(get("/idle")).status, 200, "status")
                time.sleep(0.05)
        check(short.has_ended(), "bytes came on an idle connection")
        equal(long.ask(get("/idle")).status, 200, "on the patient listener")


# ---- the client's content


@test("content that comes too slowly ends in 408, and the origin sees it cut short", timely=True)
def _():
    ways = (("/slow-length", "Content-Length: 100000", b"x"),
            ("/slow-chunks", "Transfer-Encoding: chunked", b"1\r\nx\r\n"))
    with counted("client_timeouts", by=2), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client("body")) for _ in ways]
        for c, (target, framing, _) in zip(clients, ways):
            c.send(head(f"POST {target} HTTP/1.1", "Host: a", framing))
        end = time.monotonic() + WAIT
        while len(select.select([c.sock for c in clients], [], [], 0)[0]) < len(clients):
            check(time.monotonic() < end, f"it takes slow content for {WAIT:g} s")
            for c, (_, _, piece) in zip(clients, ways):
                c.try_send(piece)
            time.sleep(0.05)
        for c, (target, _, _) in zip(clients, ways):
            equal(c.read().status, 408, "status")
            equal(c.rest(), b"", "what follows")
            ends_as(target, "client_timeout", 408)
            origin().wait_aborted(target)
            equal(origin().seen(target), [], "complete requests at the origin")


@test("content that stops coming after the answer has begun breaks the exchange off", timely=True)
def _():
    def begin(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
        link.give_up_body()
        link.rest()

    origin().on("/both", begin, at="head")
    with client("body") as c:
        c.send(head("POST /both HTTP/1.1", "Host: a", "Content-Length: 100000"))
        try:
            response = c.read()
        except CutShort as cut:
            check(cut.was_reset, "it ended as if it were whole")
        else:
            raise Failure(f"it was completed: {response.body!r}")
        ends_as("/both", "client_timeout", 200)


@test("content that comes slowly, yet fast enough, arrives", timely=True)
def _():
    piece = b"y" * 1000  # every tenth of a second: fifty times the least that is allowed
    with client("body") as c:
        c.send(head("POST /steady HTTP/1.1", "Host: a", f"Content-Length: {16 * len(piece)}"))
        for _ in range(16):
            c.send(piece)
            time.sleep(0.1)
        equal(c.read().status, 200, "status")
    equal(len(origin().wait_request("/steady").body), 16000, "bytes at the origin")


@test("content nobody wants is not awaited for ever", timely=True)
def _():
    def early(_request, link):
        link.send(answer(b"no thanks"))
        link.give_up_body()
        link.rest()

    origin().on("/unwanted", early, at="head")
    with client("body") as c:
        response = c.ask(head("POST /unwanted HTTP/1.1", "Host: a", "Content-Length: 1000") + b"x")
        equal(response.body, b"no thanks", "answer")
        trickle(c, b"x")
        equal(c.rest(), b"", "what follows")


# ---- the client's reading


@test("a client that does not read is cut off")
def _():
    ways = (("/unread", f"Content-Length: {len(BIG)}", BIG),
            ("/unread-chunks", "Transfer-Encoding: chunked", chunks(BIG)))
    with counted("client_timeouts", by=2), contextlib.ExitStack() as stack:
        clients = []
        for target, framing, body in ways:
            origin().on(target, head("HTTP/1.1 200 OK", framing) + body)
            clients.append(stack.enter_context(client("write")))
            clients[-1].send(get(target))
        for target, _, _ in ways:
            ends_as(target, "client_timeout", 200)
        for c in clients:
            try:
                response = c.read()
            except CutShort as cut:
                check(cut.was_reset, "it ended as if it were whole")
            else:
                raise Failure(f"{len(response.body)} bytes came as if they were the whole")


@test("a client that reads slowly, yet fast enough, gets everything", timely=True)
def _():
    body = os.urandom(1 << 20) * 6
    origin().on("/slow-reader", answer(body))
    with client("write") as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        c.send(get("/slow-reader"))
        end = time.monotonic() + 1.7
        while time.monotonic() < end and len(c.received) < len(body):
            c.fill()
            time.sleep(0.05)
        check(c.read().body == body, "the content differs")


def worker_pages(daemon):
    """Resident memory of the worker process, in bytes."""
    with open(f"/proc/{daemon.children()[0]}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def is_sanitized(daemon):
    with open(f"/proc/{daemon.children()[0]}/maps", encoding="utf-8") as file:
        return any(name in file.read() for name in ("libasan", "libtsan"))


@test("200 clients that do not read cost little memory, and all are cut off", timeout=90,
      heavy=True)
def _():
    block = bytes(1 << 20)

    def flood(request, link):
        if "chunks" in request.target:
            link.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
            for _ in range(100):
                link.send(b"100000\r\n" + block + b"\r\n")
            link.send(b"0\r\n\r\n")
        else:
            link.send(head("HTTP/1.1 200 OK", "Content-Length: 104857600"))
            for _ in range(100):
                link.send(block)

    flooding = Origin(flood)
    before = worker_pages(proxy())
    timeouts = proxy().metrics()["bascule_client_timeouts_total"]
    most = 0
    try:
        proxy().reload(CONF, ORIGIN=flooding.port)
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(client("write")) for _ in range(200)]
            for i, reader in enumerate(readers):
                reader.send(get("/flood-chunks" if i % 2 else "/flood"))
            flooding.wait_for(lambda: len(flooding.heads) == 200, "200 requests", 3 * WAIT)
            end = time.monotonic() + 3 * WAIT
            while proxy().metrics()["bascule_client_timeouts_total"] < timeouts + 200:
                most = max(most, worker_pages(proxy()))
                check(time.monotonic() < end, "they are not cut off")
    finally:
        flooding.close()
        proxy().reload(CONF, ORIGIN=origin().port)
    if not is_sanitized(proxy()):
        # A piece of 64 KiB for each, at most: 12.5 MiB.
        check(most - before < 200 * (64 + 16) * 1024, f"it took {(most - before) >> 10} KiB more")


# ---- connecting


@test("a connection that does not come about is 504", timely=True)
def _():
    to = f"127.0.0.1:{deaf().port}"
    ways = (("patient", "/deaf/", "GET"), ("out", f"http://{to}/", "GET"), ("out", to, "CONNECT"))
    with counted("upstream_connect_failures", by=3), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(listener)) for listener, _, _ in ways]
        for c, (_, target, method) in zip(clients, ways):
            c.send(get(target, host=to, method=method))
        for c, (_, target, method) in zip(clients, ways):
            response = c.read(method)
            equal(response.status, 504, f"status of {method} {target}")
            check("connection_timeout" in response.get("Proxy-Status"), "Proxy-Status")
            ends_as(target, "connect_timeout", 504)


# ---- the upstream's answer


@test("an upstream that does not answer is 504, however it spends its time")
def _():
    def dribble(start, piece):
        def handler(_request, link):
            link.send(start)
            while link.try_send(piece):
                time.sleep(0.05)
        return handler

    silence = threading.Event()
    ways = {"/hasty/silent": lambda _request, _link: (silence.wait(WAIT), None)[1],
            "/hasty/head": dribble(b"HTTP/1.1 200 OK\r\nX: ", b"a"),
            "/hasty/interim": dribble(b"", b"HTTP/1.1 103 Early Hints\r\nX: a\r\n\r\n")}
    with counted("upstream_timeouts", by=3), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client()) for _ in ways]
        for c, (target, handler) in zip(clients, ways.items()):
            origin().on(target, handler)
            c.send(get(target))
        for c, target in zip(clients, ways):
            response = c.read()
            equal(response.status, 504, f"status of {target}")
            check("http_response_timeout" in response.get("Proxy-Status"), "Proxy-Status")
            ends_as(target, "upstream_timeout", 504)
            equal(c.ask(get("/next")).status, 200, "of the next request of that client")
    silence.set()


@test("forward: an upstream that does not answer is 504", timely=True)
def _():
    done = threading.Event()
    origin().on("/out-silent", lambda _request, _link: (done.wait(WAIT), None)[1])
    target = f"http://127.0.0.1:{origin().port}/out-silent"
    with client("out") as c:
        equal(c.ask(get(target, host=f"127.0.0.1:{origin().port}")).status, 504, "status")
    ends_as(target, "upstream_timeout", 504)
    done.set()


@test("an answer that stops coming is broken off", timely=True)
def _():
    ways = {"/hasty/stop": head("HTTP/1.1 200 OK", "Content-Length: 100000"),
            "/hasty/stop-chunks": head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"10\r\n",
            "/hasty/stop-close": head("HTTP/1.1 200 OK", "Connection: close")}

    def stop(request, link):
        link.send(ways[request.target] + b"abc")
        link.rest()

    with counted("upstream_timeouts", by=3), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client()) for _ in ways]
        for c, target in zip(clients, ways):
            origin().on(target, stop)
            c.send(get(target))
        for c, target in zip(clients, ways):
            try:
                response = c.read()
            except CutShort as cut:
                check(b"abc" in c.received and cut.was_reset, "what came is gone, or seems whole")
            else:
                raise Failure(f"{response.start}: it was completed")
            ends_as(target, "upstream_timeout", 200)


@test("an upstream that takes nothing of the request is 504", timely=True)
def _():
    may_go = threading.Event()
    origin().on("/hasty/full", lambda _request, link: (may_go.wait(WAIT), link.close())[1],
                at="head")
    with counted("upstream_timeouts"), client() as c:
        sender = threading.Thread(
            target=c.try_send, args=(head("POST /hasty/full HTTP/1.1", "Host: a",
                                          f"Content-Length: {len(BIG)}") + BIG,))
        sender.start()
        equal(c.read().status, 504, "status")
        ends_as("/hasty/full", "upstream_timeout", 504)
        sender.join(WAIT)
    may_go.set()
    equal(origin().seen("/hasty/full"), [], "complete requests at the origin")


# ---- a deadline runs only while we wait for that peer


@test("a slow client does not make the upstream late", timely=True)
def _():
    body = os.urandom(1 << 20) * 24
    origin().on("/hasty/reader", answer(body))
    origin().on("/hasty/reader-chunks",
                head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunks(body))
    with client() as sender, client() as reader, client() as other:
        sender.send(head("POST /hasty/sender HTTP/1.1", "Host: a", "Content-Length: 8") + b"half")
        origin().wait_head("/hasty/sender")
        reader.send(get("/hasty/reader"))
        other.send(get("/hasty/reader-chunks"))
        time.sleep(PAUSE)
        sender.send(b"done")
        equal(sender.read().status, 200, "status of the slow upload")
        check(reader.read().body == body, "the content differs")
        check(other.read().body == body, "the content in chunks differs")


@test("a slow upstream does not make the client late", timely=True)
def _():
    body = os.urandom(1 << 20) * 24

    def late_head(_request, _link):
        time.sleep(PAUSE)
        return answer(b"at last")

    def late_rest(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 8") + b"half")
        time.sleep(PAUSE)
        link.send(b"done")

    def late_read(request, link):
        time.sleep(PAUSE)
        link.read_body(request)
        return answer(b"read")

    origin().on("/late-head", late_head)
    origin().on("/late-rest", late_rest)
    origin().on("/late-read", late_read, at="head")
    with client("strict") as one, client("strict") as two, client("strict") as three:
        one.send(get("/late-head"))
        two.send(get("/late-rest"))
        three.send(head("POST /late-read HTTP/1.1", "Host: a", f"Content-Length: {len(body)}") +
                   body)
        equal(one.read().body, b"at last", "answer")
        equal(two.read().body, b"halfdone", "answer in two parts")
        equal(three.read().body, b"read", "answer to the upload")
        equal(len(origin().wait_request("/late-read").body), len(body), "bytes of the upload")


@test("a client that waits for 100 Continue is not late", timely=True)
def _():
    def later(request, link):
        time.sleep(PAUSE)
        link.send(head("HTTP/1.1 100 Continue"))
        link.read_body(request)
        return answer(request.body)

    origin().on("/continue", later, at="head")
    with client("body") as c:
        c.send(head("POST /continue HTTP/1.1", "Host: a", "Content-Length: 4",
                    "Expect: 100-continue"))
        equal(c.line("an interim response"), b"HTTP/1.1 100 Continue", "interim response")
        while c.line("an interim response"):
            pass
        c.send(b"body")
        equal(c.read().body, b"body", "answer")


@test("after 100 Continue the client's deadline runs", timely=True)
def _():
    def now(_request, link):
        link.send(head("HTTP/1.1 100 Continue"))
        link.give_up_body()
        link.rest()

    origin().on("/continue-then-nothing", now, at="head")
    with client("body") as c:
        c.send(head("POST /continue-then-nothing HTTP/1.1", "Host: a", "Content-Length: 4",
                    "Expect: 100-continue"))
        equal(c.read().status, 408, "status")
    ends_as("/continue-then-nothing", "client_timeout", 408)


def read_without_continue(count):
    """A handler that reads so much content and never says 100."""
    def handler(_request, link):
        link.exactly(count)
        return answer(b"read")

    return handler


@test("a client that does not wait for 100 Continue has the deadline of any other", timely=True)
def _():
    origin().on("/no-continue", read_without_continue(1000), at="head")
    with client("body") as c:
        c.send(head("POST /no-continue HTTP/1.1", "Host: a", "Content-Length: 1000",
                    "Expect: 100-continue") + b"x")
        equal(c.read().status, 408, "status")
    ends_as("/no-continue", "client_timeout", 408)


@test("a client that does not wait for 100 Continue does not make the upstream late", timely=True)
def _():
    origin().on("/hasty/no-continue", read_without_continue(4000), at="head")
    with client() as c:
        c.send(head("POST /hasty/no-continue HTTP/1.1", "Host: a", "Content-Length: 4000",
                    "Expect: 100-continue"))
        for _ in range(10):
            c.send(b"x" * 400)
            time.sleep(PAUSE / 10)
        equal(c.read().body, b"read", "answer")


@test("an upstream that never says 100, to a client that waits for it, is 504", timely=True)
def _():
    origin().on("/hasty/waits", read_without_continue(4), at="head")
    with counted("upstream_timeouts"), client() as c:
        c.send(head("POST /hasty/waits HTTP/1.1", "Host: a", "Content-Length: 4",
                    "Expect: 100-continue"))
        equal(c.read().status, 504, "status")
    ends_as("/hasty/waits", "upstream_timeout", 504)


@test("an early answer is finished although its server takes no more of the request", timely=True)
def _():
    size = 64 << 20
    pause = threading.Event()

    def early(_request, link):
        link.send(head("HTTP/1.1 413 Content Too Large", "Content-Length: 6"))
        for byte in b"enough":
            pause.wait(0.1)
            link.send(bytes([byte]))
        link.reset()

    origin().on("/hasty/early", early, at="head")
    with Client(proxy().address("patient")) as c:
        upload = threading.Thread(target=c.try_send, args=(
            head("POST /hasty/early HTTP/1.1", "Host: a", f"Content-Length: {size}") +
            b"x" * size,))
        upload.start()
        try:
            equal(c.read("POST").body, b"enough", "content")
        finally:
            c.sock.shutdown(socket.SHUT_RDWR)
            upload.join(WAIT)


# ---- the whole exchange


@test("an exchange that takes too long before its answer is 504")
def _():
    done = threading.Event()
    origin().on("/whole", lambda _request, _link: (done.wait(WAIT), None)[1])
    with counted("limits_hit"), client("whole") as c:
        equal(c.ask(get("/whole")).status, 504, "status")
        ends_as("/whole", "limit", 504)
    done.set()


@test("an exchange that takes too long within its answer is broken off", timely=True)
def _():
    def drip(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 100000"))
        while link.try_send(b"x"):
            time.sleep(0.05)

    origin().on("/whole-drip", drip)
    with client("whole") as c:
        try:
            c.ask(get("/whole-drip"))
        except CutShort as cut:
            check(cut.was_reset, "it ended as if it were whole")
        else:
            raise Failure("it was completed")
        ends_as("/whole-drip", "limit", 200)


# ---- tunnels


def upgrade_tunnel(listener, target):
    """A WebSocket's way through a listener; the origin echoes."""
    def switch(_request, link):
        link.send(head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade",
                       "Upgrade: websocket"))
        Echo.echo(link)

    origin().on(target, switch)
    stream = client(listener)
    response = stream.ask(head(f"GET {target} HTTP/1.1", "Host: a", "Connection: Upgrade",
                               "Upgrade: websocket"))
    equal(response.status, 101, "status of the upgrade")
    return stream


def talk(stream, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stream.send(b"ping")
        equal(stream.exactly(4), b"ping", "echo")
        time.sleep(0.05)


@test("a tunnel is ended when it is idle, and lives while bytes pass", timely=True)
def _():
    with connect_tunnel("out", echo()) as c:
        talk(c, PAUSE)  # longer than tunnel_idle, and than the exchange may take
        check(was_reset(c), "it was not reset")
    ends_as(f"127.0.0.1:{echo().port}", "limit", 200)


@test("a tunnel that is half closed has a deadline of its own", timely=True)
def _():
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(WAIT)
    target = f"127.0.0.1:{server.getsockname()[1]}"
    with server, client("half") as c:
        equal(c.ask(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"), "CONNECT").status, 200,
              "status")
        with Stream(server.accept()[0]) as link:
            time.sleep(PAUSE / 2)  # open both ways it is not in a hurry
            c.half_close()
            equal(link.rest(), b"", "what the origin got")
            end = time.monotonic() + PAUSE / 2
            while time.monotonic() < end:
                link.send(b"more")
                equal(c.exactly(4), b"more", "what comes after the half-close")
                time.sleep(0.05)
            check(was_reset(c), "it was not reset")
    ends_as(target, "limit", 200)


@test("a tunnel does not outlive its lifetime, however busy it is")
def _():
    busy = Echo()
    with connect_tunnel("life", busy) as c:
        end = time.monotonic() + WAIT
        while c.try_send(b"ping") and c.fill():
            check(time.monotonic() < end, "it lives on")
            time.sleep(0.02)
    ends_as(f"127.0.0.1:{busy.port}", "limit", 200)
    busy.close()


@test("the deadline of an exchange does not end a WebSocket", timely=True)
def _():
    with upgrade_tunnel("whole", "/socket") as c:
        talk(c, PAUSE)
        c.half_close()
        equal(c.rest(), b"", "after the end")
    one_of(proxy().wait_record("/socket")["end"], ("done",), "end word")


main()
