# SPDX-License-Identifier: BSD-2-Clause
"""Clients that use HTTP/2 against us: each gets no further than a limit, is counted, and has its
connection closed with the error that says why, while others are served."""

import threading

import hpack
from bascule_flow import (FACTOR, Daemon, Origin, answer, check, equal, head, main, once, one_of,
                          test)
from h2 import (ACK, END_HEADERS, END_STREAM, PADDED, WINDOW_MAX, Error, Kind, Setting, frame, h2c,
                request, settings_of, u32)
from peers import SilentPort, until
from wire import CutShort

CONF = """
workers = 1; # so that everybody is served by the thread that is attacked
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0";
      http2 = { streams = 32; resets = 20; control_frames = 100; rate = "60s"; }; },
    { name = "patient"; mode = "reverse"; listen = "127.0.0.1:0";
      http2 = { resets = 100000; control_frames = 1000000; output = "16K"; }; },
    { name = "hasty"; mode = "reverse"; listen = "127.0.0.1:0";
      timeouts = { head = "@MS@ms"; body = "1s"; write = "1s"; }; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; },
    { name = "stuck"; max_fails = 0; endpoints = [ "127.0.0.1:@SILENT@" ];
      timeouts = { connect = "60s"; }; }
);
sites = (
    { name = "all"; default = true; group = "origin"; },
    { name = "stuck"; hosts = [ "stuck.test" ]; group = "stuck"; }
);
"""
CALM = Error.ENHANCE_YOUR_CALM
BIG = 2_000_000

silent = once(SilentPort)


@once
def origin():
    server = Origin()
    server.on("/big", answer(bytes(BIG)))
    server.on("/echo", lambda request, link: answer(request.body))
    return server


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, SILENT=silent().port, MS=int(400 * FACTOR))


def client(listener="web", settings=(), **options):
    return h2c(proxy().address(listener), settings, **options).greet()


def memory():
    """KiB that the worker process has resident."""
    pages = 0
    for pid in proxy().children():
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            pages += int(file.read().split()[1])
    return pages * 4


def grown(before, most):
    """Checks that memory has grown by so many KiB at most; under sanitizers that says nothing."""
    with open(f"/proc/{proxy().children()[0]}/maps", encoding="utf-8") as file:
        text = file.read()
    now = memory()
    check("libasan" in text or "libtsan" in text or now - before < most,
          f"memory went from {before} to {now} KiB")


def counted(name):
    return sum(value for key, value in proxy().metrics().items() if key.startswith(name))


class Others:
    """A connection beside the attacker's, which must be served before and after. counter:
    what must have been counted meanwhile."""

    def __init__(self, *counters):
        self.counters = counters or ("bascule_limits_hit_total", "bascule_h2_floods_total")

    def __enter__(self):
        self.client = client("patient")
        equal(self.client.ask(request()).status, 200, "status before the attack")
        self.before = proxy().metrics()
        return self

    def __exit__(self, kind, *_):
        with self.client:
            if kind is None:
                equal(self.client.ask(request()).status, 200, "status for others")
                for name in self.counters:
                    until(lambda name=name: proxy().metrics().get(name, 0) >
                          self.before.get(name, 0), f"{name} counts it")


def flood(c, data, most):
    """Sends the bytes again and again until the connection ends, most times at most."""
    for i in range(most):
        if not c.try_send(data):
            return i
    return most


def is_closed(c, *errors):
    """The connection ends, with one of these errors when there is time to read it."""
    try:
        one_of(c.end(), errors, "the error of GOAWAY")
    except CutShort as cut:
        check(cut.was_reset, "the connection ended without a word")


# ---- streams


@test("rapid reset: streams opened and reset at once")
def _():
    with Others(), client() as c:
        block = hpack.block(request())
        data = b"".join(frame(Kind.HEADERS, END_STREAM | END_HEADERS, stream, block) +
                        frame(Kind.RST_STREAM, 0, stream, u32(Error.CANCEL))
                        for stream in range(1, 101, 2))
        for stream in range(1, 101, 2):
            c.watch(stream)
        c.try_send(data)
        c.expect_end(CALM)
        check(c.goaway[0] < 99, f"all streams up to {c.goaway[0]} were looked at")


@test("streams that make us reset them: by their windows, or malformed ones")
def _():
    with Others("bascule_h2_floods_total", "bascule_h2_resets_total"), client() as c:
        for _ in range(30):
            stream = c.open(request("/stuck", authority="stuck.test"))
            c.put(Kind.WINDOW_UPDATE, 0, stream, u32(WINDOW_MAX))
        is_closed(c, CALM)
    with Others(), client() as c:
        for _ in range(30):
            c.open(request("/", ("connection", "close")))
        is_closed(c, CALM)


@test("streams beyond the limit, again and again")
def _():
    with Others("bascule_h2_errors_total"), client() as c:
        for _ in range(32):
            c.open(request("/stuck", authority="stuck.test"))
        for _ in range(40):
            c.open(request())
        is_closed(c, CALM, Error.PROTOCOL_ERROR)


@test("a few resets over time are everyday life")
def _():
    with client() as c:
        for _ in range(15):
            c.reset_stream(c.open(request("/stuck", authority="stuck.test")))
        equal(c.ask(request()).status, 200, "status")


@test("streams that never send their content have a deadline, and others go on", timely=True)
def _():
    with client("hasty") as c:
        streams = [c.open(request("/echo", method="POST"), end=False) for _ in range(50)]
        for stream in streams:
            answer_ = c.answers[stream]
            c.until(lambda a=answer_: a.reset is not None or a.has_head, "an end")
            check(answer_.reset is not None or answer_.status == 408, f"status {answer_.status}")
        until(lambda: not counted("bascule_exchanges_open"), "all exchanges ended")


# ---- header blocks


@test("a block that never ends, of CONTINUATION frames")
def _():
    for part in (hpack.field("x-more", "y" * 1000), b"", hpack.field("x", "y")):
        with Others(), client() as c:
            c.put(Kind.HEADERS, END_STREAM, c.new_stream(), hpack.block(request()))
            flood(c, frame(Kind.CONTINUATION, 0, 1, part), 20_000)
            is_closed(c, CALM, Error.PROTOCOL_ERROR, Error.INTERNAL_ERROR)


@test("fields that unpack to a thousand times their size")
def _():
    block = hpack.block(request()) + hpack.field("x-bomb", "y" * 3900, "with")
    before = memory()
    with Others("bascule_requests_bad_total"), client() as c:
        equal(c.answer(c.open_block(block)).status, 200, "status of one such field")
        for _ in range(5):
            stream = c.open_block(hpack.block(request()) + hpack.indexed(62) * 16_000)
            try:
                equal(c.answer(stream).status, 431, "status of 16,000 such fields")
            except CutShort:
                one_of(c.answers[stream].reset or c.goaway and c.goaway[1],
                       (CALM, Error.PROTOCOL_ERROR, Error.COMPRESSION_ERROR, Error.REFUSED_STREAM,
                        Error.INTERNAL_ERROR), "error")
                break
    grown(before, 16_384)


@test("20,000 fields in one request, or 20,000 crumbs of a cookie")
def _():
    for name in ("x-a", "cookie"):
        with client() as c:
            block = hpack.block(request()) + hpack.field(name, "1") * 20_000
            stream = c.new_stream()
            for i in range(0, len(block), 16_000):
                c.put(Kind.CONTINUATION if i else Kind.HEADERS,
                      (0 if i else END_STREAM) | (END_HEADERS if i + 16_000 >= len(block) else 0),
                      stream, block[i : i + 16_000])
            try:
                equal(c.answer(stream).status, 431, f"status for {name}")
            except CutShort:
                one_of(c.answers[stream].reset or c.goaway and c.goaway[1],
                       (CALM, Error.PROTOCOL_ERROR, Error.INTERNAL_ERROR), "error")


# ---- frames that carry nothing


def idle_flood(name, make, most=20_000):
    """A test for frames of which only so many are taken."""

    @test(f"a flood of {name}")
    def _():
        with Others(), client() as c:
            stream = c.open(request("/stuck", method="POST", authority="stuck.test"), end=False)
            data = make(stream)
            c.unacknowledged += [0] * most # of SETTINGS
            flood(c, data * 10, most // 10)
            is_closed(c, CALM)


idle_flood("PING", lambda _: frame(Kind.PING, 0, 0, b"pingping"))
idle_flood("acknowledged PING", lambda _: frame(Kind.PING, ACK, 0, b"pingping"))
idle_flood("SETTINGS", lambda _: frame(Kind.SETTINGS, 0, 0, settings_of([(4, 1000)])))
idle_flood("empty SETTINGS", lambda _: frame(Kind.SETTINGS))
idle_flood("empty DATA", lambda stream: frame(Kind.DATA, 0, stream))
idle_flood("DATA of padding only", lambda stream: frame(Kind.DATA, PADDED, stream, b"\x02\0\0"))
idle_flood("PRIORITY", lambda stream: frame(Kind.PRIORITY, 0, stream, u32(0) + b"\1"))
idle_flood("PRIORITY_UPDATE",
           lambda stream: frame(Kind.PRIORITY_UPDATE, 0, 0, u32(stream) + b"u=1"))
idle_flood("WINDOW_UPDATE of 1 byte", lambda stream: frame(Kind.WINDOW_UPDATE, 0, stream, u32(1)))


@test("answers to control frames that the client never reads are bounded")
def _():
    with Others(), client("patient") as c:
        before = memory()
        sent = flood(c, frame(Kind.PING, 0, 0, b"pingping") * 1000, 10_000)
        check(sent < 10_000, "10,000,000 PINGs were taken")
        grown(before, 16_384)
        is_closed(c, CALM)


@test("control frames that come with traffic are no flood")
def _():
    with client() as c:
        for i in range(80):
            c.ping(b"ping%04d" % i)
        for _ in range(200):
            equal(c.ask(request()).status, 200, "status")
        found = c.ask(request("/echo", method="POST"), bytes(300_000))
        equal(len(found.body), 300_000, "bytes")
        found = c.ask(request("/big"))
        equal(len(found.body), BIG, "bytes that were paid for by WINDOW_UPDATE")


# ---- windows


@test("tiny windows on many streams cost little memory, and end by a deadline", timely=True)
def _():
    before = memory()
    with client("hasty", [(Setting.INITIAL_WINDOW_SIZE, 0)]) as c:
        streams = [c.open(request("/big")) for _ in range(100)]
        for stream in streams:
            answer_ = c.answers[stream]
            c.until(lambda a=answer_: a.reset is not None, "RST_STREAM")
        grown(before, 65_536)
    until(lambda: not counted("bascule_exchanges_open"), "all exchanges ended")


@test("a window that opens byte by byte does not keep a response alive for ever", timely=True)
def _():
    with client("hasty", [(Setting.INITIAL_WINDOW_SIZE, 1)]) as c:
        c.is_generous = False
        stream = c.open(request("/big"))
        answer_ = c.answers[stream]
        ticking = threading.Event()

        def tick():
            while not ticking.wait(0.05):
                c.try_send(frame(Kind.WINDOW_UPDATE, 0, stream, u32(1)))

        c.stream_credit[stream] = BIG
        ticker = threading.Thread(target=tick)
        ticker.start()
        try:
            c.until(lambda: answer_.reset is not None, "RST_STREAM")
        finally:
            ticking.set()
            ticker.join()
        check(len(answer_.body) < 1000, "bytes before the end")


@test("responses that nobody reads from the socket are bounded, and end", timely=True)
def _():
    with client("hasty", [(Setting.INITIAL_WINDOW_SIZE, 2**30)]) as c:
        c.give_credit(0, 2**30)
        before = memory()
        for _ in range(100):
            c.open(request("/big"))
        until(lambda: counted("bascule_exchanges_open") > 50, "they run")
        grown(before, 65_536)
        until(lambda: not counted("bascule_exchanges_open"), "all exchanges ended")


@test("200 connections that say hello and nothing more cost little")
def _():
    before = memory()
    clients = [h2c(proxy().address("patient")) for _ in range(200)]
    try:
        for c in clients:
            c.greet()
        grown(before, 100 * len(clients))
    finally:
        for c in clients:
            c.close()


@test("connections dropped in the middle of everything leave nothing behind")
def _():
    def begun(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 9"))
        link.rest()
        link.close()

    origin().on("/slow", begun)
    for end in ("close", "reset"):
        for _ in range(10):
            c = client()
            c.open(request("/slow"))
            c.open(request("/big"))
            c.open(request("/stuck", authority="stuck.test", method="POST"), end=False)
            c.put(Kind.HEADERS, END_STREAM, c.new_stream(), b"\x82")
            getattr(c, end)()
    until(lambda: not counted("bascule_exchanges_open"), "all exchanges ended")
    until(lambda: counted("bascule_connections_open") <= 0, "all connections closed")


main()
