# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/2 as RFC 9113 and RFC 7541 demand it of a server, section by section: what must be
accepted, and which error each breach must have. All of it with and without TLS."""

import threading

import hpack
from bascule_flow import (WAIT, Daemon, Failure, Origin, answer, check, equal, head, main, once,
                          one_of, test)
from certs import Certificates
from h2 import (ACK, END_HEADERS, END_STREAM, FRAME_MAX, PADDED, PREFACE, PRIORITY_FLAG, WINDOW_MAX,
                Error, Kind, Setting, frame, h2c, h2s, request, settings_of, u32)
from peers import SilentPort
from secure import trusting

CONF = """
workers = 1;
listeners = (
    { name = "clear"; mode = "reverse"; listen = "127.0.0.1:0"; http2 = { streams = @STREAMS@; }; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; http2 = { streams = @STREAMS@; };
      tls = { certificates = "@CERTIFICATE@"; }; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; },
    { name = "stuck"; max_fails = 0; endpoints = [ "127.0.0.1:@SILENT@" ]; }
);
sites = (
    { name = "all"; default = true; group = "origin"; },
    { name = "stuck"; hosts = [ "stuck.test" ]; group = "stuck"; }
);
"""
STREAMS = 16
PLAIN = hpack.block(request())
DATA, HEADERS, PRIORITY, CONTINUATION = Kind.DATA, Kind.HEADERS, Kind.PRIORITY, Kind.CONTINUATION
RST_STREAM, SETTINGS, PING, GOAWAY = Kind.RST_STREAM, Kind.SETTINGS, Kind.PING, Kind.GOAWAY
WINDOW_UPDATE, PUSH_PROMISE = Kind.WINDOW_UPDATE, Kind.PUSH_PROMISE

may_answer = threading.Event()


def hold(_request, _link):
    """An answer that comes when the test is over."""
    may_answer.wait(WAIT)
    return answer(b"held\n")


@once
def origin():
    server = Origin()
    server.on("/hold", hold)
    server.on("/echo", lambda request, link: answer(request.body))
    server.on("/big", answer(b"b" * 200000))
    server.on("/trailers", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum") +
              b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
    return server


@once
def silent():
    return SilentPort()


@once
def certificates():
    return Certificates()


@once
def proxy():
    certificates().authority("ca")
    return Daemon(CONF, ORIGIN=origin().port, STREAMS=STREAMS, SILENT=silent().port,
                  CERTIFICATE=certificates().issue("site", "ca", ["DNS:site.test"]))


@once
def context():
    return trusting(certificates().path("ca.pem"), alpn=("h2",))


def clear(*args, **options):
    return h2c(proxy().address("clear"), *args, **options)


def secure(*args, **options):
    return h2s(proxy().address("tls"), *args, context=context(), **options)


def conform(section, promise, settings=()):
    """A test over both kinds of connection, given one that has greeted."""

    def add(function):
        for name, make in (("h2c", clear), ("TLS", secure)):
            def run(make=make):
                may_answer.clear()
                with make(settings) as c:
                    try:
                        function(c.greet())
                    finally:
                        may_answer.set()
            test(f"{name}: {section}: {promise}")(run)
        return function

    return add


def breach(section, promise, *errors, settings=()):
    """A breach that must end the connection with one of these errors."""

    def add(function):
        def run(c):
            function(c)
            c.expect_end(*errors)
        conform(section, promise, settings)(run)
        return function

    return add


def slip(section, promise, *errors):
    """A breach that must end the stream (which the function returns), or the connection."""

    def add(function):
        conform(section, promise)(lambda c: c.expect_reset(function(c), *errors))
        return function

    return add


def fine(section, promise):
    """What must not disturb: the connection goes on serving."""

    def add(function):
        def run(c):
            function(c)
            equal(c.ask(request()).status, 200, "status of the next request")
        conform(section, promise)(run)
        return function

    return add


# ---- RFC 9113 section 3: starting


@conform("3.4", "the server's preface is SETTINGS, and ours is acknowledged")
def _(c):
    equal((c.acks, c.peer.get(Setting.ENABLE_PUSH, 0)), (1, 0), "acknowledgements and push")
    equal(c.peer[Setting.MAX_CONCURRENT_STREAMS], STREAMS, "streams")


@test("h2c: 3.4: the preface may come in single bytes")
def _():
    with h2c(proxy().address("clear"), preface=None) as c:
        c.send(PREFACE + frame(SETTINGS), bytewise=True)
        c.unacknowledged.append(0)
        equal(c.greet().ask(request()).status, 200, "status")


@test("TLS: 3.4: a preface that is none ends the connection")
def _():
    with secure(preface=None) as c:
        c.try_send(b"INVALID CONNECTION PREFACE\r\n\r\n")
        while c.next() is not None:
            pass
        check(c.goaway is None or c.goaway[1] == Error.PROTOCOL_ERROR, f"GOAWAY {c.goaway}")


@test("TLS: 3.4: the preface must be followed by SETTINGS")
def _():
    with secure(preface=None) as c:
        c.try_send(PREFACE + frame(PING, 0, 0, b"12345678"))
        c.expect_end(Error.PROTOCOL_ERROR)


@test("h2c: 3.4: a preface that goes wrong is no HTTP/1.1 request either")
def _():
    for start in (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
                  b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        with h2c(proxy().address("clear"), preface=None) as c:
            c.send(start)
            found = c.rest()
            check(b"HTTP/1.1 4" in found or b"HTTP/1.1 5" in found or not found or
                  found[3:4] in (b"\4", b"\7"), f"{start!r} is answered with {found!r}")
            check(b"200 OK" not in found, f"{start!r} is served")


# ---- section 4: frames


@fine("4.1", "a frame of unknown type is ignored")
def _(c):
    c.put(0xFA, 0xFF, 0, b"unknown")
    c.put(0xFB, 0xFF, 7, b"")
    c.ping()


@fine("4.1", "flags without meaning are ignored")
def _(c):
    c.put(PING, 0x16, 0, b"12345678")
    c.until(lambda: c.pings, "the acknowledgement")


@fine("4.1", "the reserved bit is ignored")
def _(c):
    c.put(PING, 0, 0x80000000, b"12345678")
    c.until(lambda: c.pings, "the acknowledgement")


@conform("4.2", "a DATA frame of the largest size is taken")
def _(c):
    stream = c.open(request("/echo", method="POST"), end=False)
    c.put(DATA, END_STREAM, stream, bytes(FRAME_MAX))
    equal(c.answer(stream).body, bytes(FRAME_MAX), "content")


@slip("4.2", "a larger one is an error of size", Error.FRAME_SIZE_ERROR)
def _(c):
    stream = c.open(request("/echo", method="POST"), end=False)
    c.put(DATA, END_STREAM, stream, bytes(FRAME_MAX + 1))
    return stream


@breach("4.2", "a larger HEADERS is an error of the connection", Error.FRAME_SIZE_ERROR)
def _(c):
    c.put(HEADERS, END_STREAM | END_HEADERS, c.new_stream(),
          PLAIN + hpack.field("x", "y" * FRAME_MAX))


@breach("4.2", "a frame that only announces to be larger is refused at once",
        Error.FRAME_SIZE_ERROR)
def _(c):
    c.put(SETTINGS, 0, 0, b"", length=0xFFFFFF)


@breach("4.3", "a block that cannot be read", Error.COMPRESSION_ERROR)
def _(c):
    c.put(HEADERS, END_STREAM | END_HEADERS, c.new_stream(), PLAIN + b"\xff\xff\xff\xff\xff\xff")


@breach("4.3", "PRIORITY within a block", Error.PROTOCOL_ERROR)
def _(c):
    stream = c.new_stream()
    c.put(HEADERS, END_STREAM, stream, PLAIN)
    c.put(PRIORITY, 0, stream, u32(0) + b"\xff")
    c.put(CONTINUATION, END_HEADERS, stream, hpack.field("x", "y"))


@breach("4.3", "HEADERS of another stream within a block", Error.PROTOCOL_ERROR)
def _(c):
    c.put(HEADERS, END_STREAM, c.new_stream(), PLAIN)
    c.put(HEADERS, END_STREAM | END_HEADERS, c.new_stream(), PLAIN)


@breach("4.3", "an unknown frame within a block", Error.PROTOCOL_ERROR)
def _(c):
    stream = c.new_stream()
    c.put(HEADERS, END_STREAM, stream, PLAIN)
    c.put(0xFA, 0, stream, b"")
    c.put(CONTINUATION, END_HEADERS, stream, b"")


@conform("4.3", "a block may be cut anywhere, also into empty parts")
def _(c):
    stream = c.new_stream()
    c.put(HEADERS, END_STREAM, stream, b"")
    for i in range(0, len(PLAIN), 16): # few: nobody is fond of many (CVE-2024-28182)
        c.put(CONTINUATION, 0, stream, PLAIN[i : i + 16])
    c.put(CONTINUATION, END_HEADERS, stream, b"")
    equal(c.answer(stream).status, 200, "status")


# ---- section 5.1: states of streams

for kind, payload in ((DATA, b"test"), (RST_STREAM, u32(8)), (WINDOW_UPDATE, u32(100)),
                      (CONTINUATION, PLAIN)):
    @breach("5.1", f"{kind.name} on an idle stream", Error.PROTOCOL_ERROR)
    def _(c, kind=kind, payload=payload):
        c.put(kind, END_HEADERS if kind == CONTINUATION else 0, 1, payload)


@fine("5.1", "PRIORITY on an idle stream")
def _(c):
    c.put(PRIORITY, 0, 101, u32(0) + b"\x0f")
    c.put(PRIORITY, 0, 3, u32(1) + b"\x0f")


for kind, flags, payload in ((DATA, END_STREAM, b"test"), (HEADERS, 5, PLAIN)):
    @slip("5.1", f"{kind.name} on a half-closed stream", Error.STREAM_CLOSED)
    def _(c, kind=kind, flags=flags, payload=payload):
        stream = c.open(request("/hold"))
        c.put(kind, flags, stream, payload)
        return stream

    @breach("5.1", f"{kind.name} on a stream that ended by END_STREAM",
            Error.STREAM_CLOSED)
    def _(c, kind=kind, flags=flags, payload=payload):
        stream = c.open(request("/"))
        c.answer(stream)
        c.put(kind, flags, stream, payload)


for kind, flags, payload in ((DATA, END_STREAM, b"test"), (HEADERS, 5, PLAIN)):
    @conform("5.1", f"{kind.name} on a stream that the client reset is an error or ignored")
    def _(c, kind=kind, flags=flags, payload=payload):
        stream = c.open(request("/hold"), end=False)
        c.reset_stream(stream)
        c.put(kind, flags, stream, payload)
        c.put(PING, 0, 0, b"are you ")
        try:
            c.until(lambda: c.pings or c.answers[stream].reset, "an answer")
        except Failure:
            equal(c.goaway[1], Error.STREAM_CLOSED, "the error of GOAWAY")
            return
        one_of(c.answers[stream].reset, (None, Error.STREAM_CLOSED), "the error of the stream")
        check(not c.answers[stream].has_head, "a stream that was reset is answered")


@fine("5.1", "WINDOW_UPDATE, PRIORITY and RST_STREAM on a half-closed stream")
def _(c):
    stream = c.open(request("/hold"))
    c.put(WINDOW_UPDATE, 0, stream, u32(100))
    c.put(PRIORITY, 0, stream, u32(0) + b"\x0f")
    c.reset_stream(stream)


@fine("5.1", "WINDOW_UPDATE, PRIORITY and RST_STREAM on a stream that has just ended")
def _(c):
    stream = c.open(request("/"))
    c.answer(stream)
    c.put(WINDOW_UPDATE, 0, stream, u32(100))
    c.put(PRIORITY, 0, stream, u32(0) + b"\x0f")
    c.reset_stream(stream)
    c.ping()


@breach("5.1.1", "a stream with an even number", Error.PROTOCOL_ERROR)
def _(c):
    c.open(request(), stream=2)


@breach("5.1.1", "a stream with a smaller number than the last one", Error.PROTOCOL_ERROR)
def _(c):
    c.watch(5)
    c.open(request(), stream=5)
    c.answer(5)
    c.open(request(), stream=3)


@slip("5.1.2", "a stream beyond the limit is refused", Error.REFUSED_STREAM, Error.PROTOCOL_ERROR)
def _(c):
    return [c.open(request("/hold")) for _ in range(STREAMS + 1)][-1]


@conform("5.1.2", "the limit counts streams that are open, not those that were")
def _(c):
    for _ in range(3):
        streams = [c.open(request()) for _ in range(STREAMS)]
        equal([c.answer(stream).status for stream in streams], [200] * STREAMS, "statuses")


for kind in (PRIORITY, HEADERS):
    @conform("5.3", f"a {kind.name} that makes a stream depend on itself is an error or ignored")
    def _(c, kind=kind):
        stream = c.new_stream()
        if kind == PRIORITY:
            c.put(PRIORITY, 0, stream, u32(stream) + b"\xff")
        c.put(HEADERS, END_STREAM | END_HEADERS | (PRIORITY_FLAG if kind == HEADERS else 0), stream,
              (u32(stream) + b"\xff" if kind == HEADERS else b"") + PLAIN)
        try:
            equal(c.answer(stream).status, 200, "status")
        except Failure:
            one_of(Error.PROTOCOL_ERROR, (c.answers[stream].reset, c.goaway and c.goaway[1]),
                   "the error")


@conform("5.4.1", "GOAWAY names the last stream that was looked at")
def _(c):
    c.ask(request())
    c.ask(request())
    c.put(PING, 0, 0, b"short")
    c.expect_end(Error.FRAME_SIZE_ERROR)
    equal(c.goaway[0], 3, "last stream")


# ---- section 6.1: DATA


@conform("6.1", "content comes in many frames, padded or empty ones too")
def _(c):
    stream = c.open(request("/echo", method="POST"), end=False)
    c.put(DATA, 0, stream, b"one ")
    c.put(DATA, 0, stream)
    c.put(DATA, PADDED, stream, b"\x05two " + bytes(5))
    c.put(DATA, PADDED, stream, b"\xff" + bytes(255))
    c.put(DATA, PADDED | END_STREAM, stream, b"\0three")
    equal(c.answer(stream).body, b"one two three", "content")


@breach("6.1", "DATA on stream 0", Error.PROTOCOL_ERROR)
def _(c):
    c.put(DATA, END_STREAM, 0, b"test")


@breach("6.1", "padding longer than the frame", Error.PROTOCOL_ERROR)
def _(c):
    stream = c.open(request("/echo", method="POST"), end=False)
    c.put(DATA, END_STREAM | PADDED, stream, b"\x06test")


@breach("6.1", "a padded frame without room for the padding's length",
        Error.PROTOCOL_ERROR, Error.FRAME_SIZE_ERROR)
def _(c):
    stream = c.open(request("/echo", method="POST"), end=False)
    c.put(DATA, END_STREAM | PADDED, stream)


# ---- section 6.2: HEADERS


@conform("6.2", "HEADERS may be padded and have a priority")
def _(c):
    for flags, top, tail in ((PADDED, b"\x08", bytes(8)), (PRIORITY_FLAG, u32(0) + b"\xff", b""),
                             (PADDED | PRIORITY_FLAG, b"\x01" + u32(0x80000001) + b"\0", b"\0")):
        stream = c.new_stream()
        if stream == 5:
            c.next_id = 9
        c.put(HEADERS, END_STREAM | END_HEADERS | flags, stream, top + PLAIN + tail)
        equal(c.answer(stream).status, 200, "status")


@breach("6.2", "HEADERS on stream 0", Error.PROTOCOL_ERROR)
def _(c):
    c.put(HEADERS, END_STREAM | END_HEADERS, 0, PLAIN)


@breach("6.2", "padding longer than the frame", Error.PROTOCOL_ERROR)
def _(c):
    c.put(HEADERS, END_STREAM | END_HEADERS | PADDED, c.new_stream(),
          bytes([len(PLAIN) + 1]) + PLAIN)


@breach("6.2", "HEADERS too short for the priority", Error.FRAME_SIZE_ERROR, Error.PROTOCOL_ERROR)
def _(c):
    c.put(HEADERS, END_STREAM | END_HEADERS | PRIORITY_FLAG, c.new_stream(), b"\0\0\0")


# ---- sections 6.3 and 6.4: PRIORITY, RST_STREAM


@fine("6.3", "PRIORITY of any weight, exclusive or on streams unheard of")
def _(c):
    for i, payload in enumerate((u32(0) + b"\0", u32(0) + b"\xff", u32(0x80000000) + b"\x10",
                                 u32(0x7FFFFFFF) + b"\x10", u32(0x80000063) + b"\x10")):
        c.put(PRIORITY, 0, 2 * i + 101, payload)


@breach("6.3", "PRIORITY on stream 0", Error.PROTOCOL_ERROR)
def _(c):
    c.put(PRIORITY, 0, 0, u32(0) + b"\xff")


for bytes_ in (4, 6):
    @slip("6.3", f"PRIORITY of {bytes_} bytes", Error.FRAME_SIZE_ERROR)
    def _(c, bytes_=bytes_):
        stream = c.open(request("/hold"), end=False)
        c.put(PRIORITY, 0, stream, bytes(bytes_))
        return stream

    @breach("6.4", f"RST_STREAM of {bytes_ - 1} bytes", Error.FRAME_SIZE_ERROR)
    def _(c, bytes_=bytes_):
        c.put(RST_STREAM, 0, c.open(request("/hold")), bytes(bytes_ - 1))


@breach("6.4", "RST_STREAM on stream 0", Error.PROTOCOL_ERROR)
def _(c):
    c.put(RST_STREAM, 0, 0, u32(8))


@breach("6.4", "RST_STREAM on an idle stream", Error.PROTOCOL_ERROR)
def _(c):
    c.put(RST_STREAM, 0, 7, u32(8))


@fine("6.4", "RST_STREAM with an error nobody knows")
def _(c):
    c.reset_stream(c.open(request("/hold")), 0xDEADBEEF)


# ---- section 6.5: SETTINGS


@breach("6.5", "an acknowledgement with a payload", Error.FRAME_SIZE_ERROR)
def _(c):
    c.put(SETTINGS, ACK, 0, settings_of([(1, 4096)]))


@breach("6.5", "SETTINGS on a stream", Error.PROTOCOL_ERROR)
def _(c):
    c.put(SETTINGS, 0, 1, settings_of([(3, 100)]))


for bytes_ in (3, 7):
    @breach("6.5", f"SETTINGS of {bytes_} bytes", Error.FRAME_SIZE_ERROR)
    def _(c, bytes_=bytes_):
        c.put(SETTINGS, 0, 0, bytes(bytes_))


for name, value, error in (("ENABLE_PUSH", 2, "PROTOCOL"),
                           ("INITIAL_WINDOW_SIZE", 2**31, "FLOW_CONTROL"),
                           ("INITIAL_WINDOW_SIZE", 2**32 - 1, "FLOW_CONTROL"),
                           ("MAX_FRAME_SIZE", 2**14 - 1, "PROTOCOL"),
                           ("MAX_FRAME_SIZE", 0, "PROTOCOL"), ("MAX_FRAME_SIZE", 2**24, "PROTOCOL"),
                           ("ENABLE_CONNECT_PROTOCOL", 2, "PROTOCOL")):
    @breach("6.5.2", f"{name} = {value}", Error[f"{error}_ERROR"])
    def _(c, name=name, value=value):
        c.unacknowledged.append(0)
        c.put(SETTINGS, 0, 0, settings_of([(Setting[name], value)]))


@fine("6.5.2", "settings nobody knows, and those at the edge of what is allowed")
def _(c):
    c.send_settings([(0xFF, 1), (0xFFFF, 2**32 - 1)])
    c.send_settings([(Setting.MAX_FRAME_SIZE, 2**24 - 1), (Setting.HEADER_TABLE_SIZE, 0),
                     (Setting.MAX_CONCURRENT_STREAMS, 0),
                     (Setting.MAX_HEADER_LIST_SIZE, 2**32 - 1)])
    c.decoder.limit = 0
    c.greet()


@conform("6.5.3", "settings are taken in order, and each frame of them is acknowledged")
def _(c):
    c.put(SETTINGS, 0, 0, settings_of([(4, 100), (4, 1)]))
    c.unacknowledged.append(0)
    c.send_settings()
    c.send_settings()
    c.greet()
    equal(c.acks, 4, "acknowledgements")
    c.is_generous = False
    stream = c.open(request())
    c.until(lambda: c.answers[stream].body, "the first byte")
    c.ping()
    equal(len(c.answers[stream].body), 1, "bytes of content within the window")


# ---- sections 6.6 to 6.8: PUSH_PROMISE, PING, GOAWAY


@breach("6.6", "PUSH_PROMISE from a client", Error.PROTOCOL_ERROR)
def _(c):
    stream = c.open(request("/hold"))
    c.put(PUSH_PROMISE, END_HEADERS, stream, u32(2) + PLAIN)


@fine("6.7", "PING is acknowledged with the same payload")
def _(c):
    c.ping(b"\0\1\2\3\xfc\xfd\xfe\xff")


@fine("6.7", "the acknowledgement of a PING is not answered")
def _(c):
    c.put(PING, ACK, 0, b"nobody's")
    c.ping()
    equal(c.pings, [b"are you "], "acknowledgements")


@breach("6.7", "PING on a stream", Error.PROTOCOL_ERROR)
def _(c):
    c.put(PING, 0, 1, b"12345678")


for bytes_ in (6, 9):
    @breach("6.7", f"PING of {bytes_} bytes", Error.FRAME_SIZE_ERROR)
    def _(c, bytes_=bytes_):
        c.put(PING, 0, 0, bytes(bytes_))


@breach("6.8", "GOAWAY on a stream", Error.PROTOCOL_ERROR)
def _(c):
    c.put(GOAWAY, 0, 1, u32(0) + u32(0))


@breach("6.8", "GOAWAY too short", Error.FRAME_SIZE_ERROR)
def _(c):
    c.put(GOAWAY, 0, 0, u32(0))


@conform("6.8", "after the client's GOAWAY its streams are finished, and the connection ends")
def _(c):
    stream = c.open(request("/hold"))
    c.put(GOAWAY, 0, 0, u32(0) + u32(0xDEADBEEF) + b"bye")
    c.ping()
    may_answer.set()
    equal(c.answer(stream).body, b"held\n", "content")
    while c.next() is not None:
        pass
    check(c.goaway is None or c.goaway[1] == Error.NO_ERROR, f"GOAWAY {c.goaway}")


# ---- section 6.9: WINDOW_UPDATE and flow control


@breach("6.9", "an increment of 0 for the connection", Error.PROTOCOL_ERROR)
def _(c):
    c.put(WINDOW_UPDATE, 0, 0, u32(0))


@slip("6.9", "an increment of 0 for a stream", Error.PROTOCOL_ERROR)
def _(c):
    stream = c.open(request("/hold"))
    c.put(WINDOW_UPDATE, 0, stream, u32(0))
    return stream


for bytes_ in (3, 5):
    @breach("6.9", f"WINDOW_UPDATE of {bytes_} bytes", Error.FRAME_SIZE_ERROR)
    def _(c, bytes_=bytes_):
        c.put(WINDOW_UPDATE, 0, 0, b"\1" * bytes_)


@breach("6.9.1", "a window of the connection beyond 2^31-1", Error.FLOW_CONTROL_ERROR)
def _(c):
    c.put(WINDOW_UPDATE, 0, 0, u32(WINDOW_MAX))
    c.put(WINDOW_UPDATE, 0, 0, u32(WINDOW_MAX))


@slip("6.9.1", "a window of a stream beyond 2^31-1", Error.FLOW_CONTROL_ERROR)
def _(c):
    stream = c.open(request("/hold"))
    c.put(WINDOW_UPDATE, 0, stream, u32(WINDOW_MAX))
    return stream


@conform("6.9.1", "content stops where the window of the stream does", settings=[(4, 1)])
def _(c):
    c.is_generous = False
    stream = c.open(request("/echo", method="POST"), end=False)
    c.send_data(stream, b"abcdef")
    for i in range(1, 4):
        c.until(lambda i=i: len(c.answers[stream].body) == i, f"{i} bytes")
        c.ping()
        equal(len(c.answers[stream].body), i, "bytes of content")
        c.give_credit(stream, 1)


@conform("6.9.1", "content stops where the window of the connection does",
         settings=[(4, WINDOW_MAX)])
def _(c):
    c.is_generous = False
    stream = c.open(request("/big"))
    c.until(lambda: c.credit == 0, "all that is allowed")
    other = c.open(request())
    c.head(other)
    c.ping()
    equal(c.answers[other].body, b"", "content of another stream")
    c.is_generous = True
    c.give_credit(0, 300000)
    equal(len(c.answer(stream).body), 200000, "bytes of content")
    equal(c.answer(other).body, b"hello\n", "content of the other stream")


@conform("6.9.2", "a new INITIAL_WINDOW_SIZE changes the windows of open streams",
         settings=[(4, 0)])
def _(c):
    c.is_generous = False
    stream = c.open(request("/big"))
    c.head(stream)
    c.ping()
    equal(c.answers[stream].body, b"", "content without a window")
    c.send_settings([(4, 10)])
    c.until(lambda: len(c.answers[stream].body) == 10, "10 bytes")


@conform("6.9.2", "a window may become negative", settings=[(4, 3)])
def _(c):
    c.is_generous = False
    stream = c.open(request("/big"))
    c.until(lambda: len(c.answers[stream].body) == 3, "3 bytes")
    c.send_settings([(4, 2)])
    c.greet()
    c.give_credit(stream, 1)
    c.ping()
    equal(len(c.answers[stream].body), 3, "bytes of content")
    c.give_credit(stream, 1)
    c.until(lambda: len(c.answers[stream].body) == 4, "1 byte more")


@breach("6.9.2", "an INITIAL_WINDOW_SIZE that makes a window too large", Error.FLOW_CONTROL_ERROR)
def _(c):
    stream = c.open(request("/hold"))
    c.put(WINDOW_UPDATE, 0, stream, u32(2**30))
    c.send_settings([(4, WINDOW_MAX)])


@slip("6.9.1", "content beyond the window of a stream is refused", Error.FLOW_CONTROL_ERROR)
def _(c):
    stream = c.open(request(method="POST", authority="stuck.test"), end=False)
    for _ in range(c.stream_debt[stream] // FRAME_MAX + 1):
        c.put(DATA, 0, stream, bytes(FRAME_MAX))
    return stream


# ---- section 6.10: CONTINUATION


@breach("6.10", "CONTINUATION on stream 0", Error.PROTOCOL_ERROR)
def _(c):
    c.put(HEADERS, END_STREAM, c.new_stream(), PLAIN)
    c.put(CONTINUATION, END_HEADERS, 0, hpack.field("x", "y"))


@breach("6.10", "CONTINUATION of another stream", Error.PROTOCOL_ERROR)
def _(c):
    c.put(HEADERS, END_STREAM, c.new_stream(), PLAIN)
    c.put(CONTINUATION, END_HEADERS, c.new_stream(), hpack.field("x", "y"))


@breach("6.10", "CONTINUATION after the end of the block", Error.PROTOCOL_ERROR,
        Error.STREAM_CLOSED)
def _(c):
    stream = c.open(request("/hold"))
    c.put(CONTINUATION, END_HEADERS, stream, hpack.field("x", "y"))


@breach("6.10", "CONTINUATION after a CONTINUATION that ended the block", Error.PROTOCOL_ERROR,
        Error.STREAM_CLOSED)
def _(c):
    stream = c.new_stream()
    c.put(HEADERS, END_STREAM, stream, PLAIN)
    c.put(CONTINUATION, END_HEADERS, stream, hpack.field("x", "y"))
    c.put(CONTINUATION, END_HEADERS, stream, hpack.field("x", "y"))


@breach("6.10", "CONTINUATION after DATA", Error.PROTOCOL_ERROR)
def _(c):
    stream = c.open(request("/hold", method="POST"), end=False)
    c.put(DATA, 0, stream, b"test")
    c.put(CONTINUATION, END_HEADERS, stream, hpack.field("x", "y"))


@breach("6.10", "DATA within a block", Error.PROTOCOL_ERROR)
def _(c):
    stream = c.new_stream()
    c.put(HEADERS, 0, stream, PLAIN)
    c.put(DATA, END_STREAM, stream, b"test")


# ---- section 8: messages


def is_refused(c, stream, path):
    """Malformed (section 8.1.1): the stream is reset, or answered with 400; nothing of it
    gets whole to the origin; the connection goes on."""
    found = c.answers[stream]
    c.until(lambda: found.reset is not None or found.is_complete, "an answer")
    check(found.reset == Error.PROTOCOL_ERROR or found.status == 400,
          f"not refused: status {found.status}, reset {found.reset!r}")
    equal(c.ask(request()).status, 200, "status of the next request")
    check(not origin().seen(path), "the origin got it")


def malformed(section, promise, fields, path="/bad"):
    @conform(section, f"refused: {promise}")
    def _(c):
        origin().forget()
        is_refused(c, c.open(fields), path)


def welcome(section, promise, fields, look=lambda seen: None, target="/good"):
    @conform(section, promise)
    def _(c):
        origin().forget()
        equal(c.ask(fields).status, 200, "status")
        look(origin().wait_request(target))


def bad(*fields, **options):
    return request(options.pop("path", "/bad"), *fields, **options)


def good(*fields, **options):
    return request("/good", *fields, **options)


@conform("8.1", "GET, HEAD and POST are answered as they should")
def _(c):
    equal(c.ask(request()).body, b"hello\n", "GET")
    found = c.ask(request(method="HEAD"))
    equal((found.status, found.get("content-length"), found.body), (200, "6", b""), "HEAD")
    equal(c.ask(request("/echo", method="POST"), b"content").body, b"content", "POST")


@conform("8.1", "trailers of requests and responses are passed on")
def _(c):
    stream = c.open(request("/echo", ("te", "trailers"), method="POST"), end=False)
    c.put(DATA, 0, stream, b"content")
    c.trailers(stream, [("x-sum", "7")])
    equal(c.answer(stream).body, b"content", "content")
    found = c.ask(request("/trailers", ("te", "trailers")))
    equal((found.body, found.trailers), (b"ok", [("x-sum", "1")]), "content and trailers")


@conform("8.1", "refused: a second HEADERS that does not end the stream")
def _(c):
    stream = c.open(request("/bad", method="POST"), end=False)
    c.put(HEADERS, END_HEADERS, stream, hpack.field("x-sum", "7"))
    is_refused(c, stream, "/bad")


for name, fields in (("a pseudo-header", [(":method", "POST")]),
                     ("an uppercase name", [("X-Sum", "1")]),
                     ("a connection field", [("connection", "close")])):
    @conform("8.1", f"refused: {name} in trailers")
    def _(c, fields=fields):
        origin().forget()
        stream = c.open(request("/bad", method="POST"), end=False)
        c.put(DATA, 0, stream, b"content")
        c.trailers(stream, fields)
        is_refused(c, stream, "/bad")


for name in ("X-Upper", "", "a b", "a:b", "a\0b", "a\rb", "a\nb", "a\x7fb", "a\xe9b", "a\x01b",
             "a ", " a", "a\tb"):
    malformed("8.2.1", f"the field name {name!r}", bad((name, "1")))
for value in ("a\0b", "a\rb", "a\nb", "a\r\nhost: evil", "\n", "a\r\n b"):
    malformed("8.2.1", f"the field value {value!r}", bad(("x-value", value)))
for value in (" a", "a ", "\ta", "a\t"):
    malformed("8.2.1", f"the field value {value!r}", bad(("x-value", value)))
for name in (":path", ":authority", ":method", ":scheme"):
    for junk in ("\r\n", "\0", " a", "\n"):
        fields = [(n, (v + junk if n == name else v)) for n, v in bad()]
        malformed("8.2.1", f"{name} with {junk!r}", fields, "/bad" + junk)

for name, value in (("connection", "keep-alive"), ("keep-alive", "timeout=5"),
                    ("proxy-connection", "keep-alive"), ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "identity"), ("upgrade", "websocket"),
                    ("te", "trailers, deflate"), ("te", "gzip")):
    malformed("8.2.2", f"{name}: {value}", bad((name, value)))

welcome("8.2.2", "te: trailers", good(("te", "trailers")))
welcome("8.2.3", "cookies in parts become one again", good(("cookie", "a=b"), ("cookie", "c=d")),
        lambda seen: equal(seen.get("cookie"), "a=b; c=d", "Cookie"))

malformed("8.3", "an unknown pseudo-header", bad((":test", "ok")))
malformed("8.3", "a pseudo-header of responses", bad((":status", "200")))
malformed("8.3", "a pseudo-header after a field", [("x-first", "1")] + bad())
for name in (":method", ":scheme", ":path"):
    malformed("8.3.1", f"{name} is missing", [f for f in bad() if f[0] != name])
for name in (":method", ":scheme", ":path", ":authority"):
    malformed("8.3.1", f"{name} comes twice", [f for f in bad() if f[0] == name] + bad())
malformed("8.3.1", "an empty :path", bad(path=""))
malformed("8.3.1", "an empty :method", bad(method=""))
malformed("8.3.1", "an empty :scheme", bad(scheme=""))
malformed("8.3.1", ":path without a slash", bad(path="bad"), "bad")
malformed("8.3.1", ":path * of another method than OPTIONS", bad(path="*"), "*")
malformed("8.3.1", "a :path with a fragment", bad(path="/bad#a"), "/bad#a")
malformed("8.3.1", "a :method that is no token", bad(method="GE T"))
malformed("8.3.1", "an :authority with user information", bad(authority="me@site.test"))
malformed("8.3.1", "an :authority with a path", bad(authority="site.test/x"))
malformed("8.3.1", "a Host that differs from :authority", bad(("host", "other.test")))
malformed("8.3.1", "neither :authority nor Host", bad(authority=None))
malformed("8.3.1", "two Host fields",
          bad(("host", "site.test"), ("host", "site.test"), authority=None))
welcome("8.3.1", "Host instead of :authority", good(("host", "site.test"), authority=None),
        lambda seen: equal(seen.get("Host"), "site.test", "Host"))
welcome("8.3.1", "Host beside an equal :authority", good(("host", "site.test")),
        lambda seen: equal(seen.get("Host"), "site.test", "Host"))
welcome("8.3.1", "OPTIONS * is passed on as such", request("*", method="OPTIONS"), target="*")
malformed("8.5", "CONNECT with :path", bad(method="CONNECT"))
malformed("8.5", "CONNECT with :scheme alone",
          [(":method", "CONNECT"), (":scheme", "http"), (":authority", "site.test:443")])
malformed("8.5", "CONNECT without :authority", [(":method", "CONNECT")])

for value, content in (("1", b""), ("1", b"test"), ("5", b"test"), ("0", b"test")):
    @conform("8.1.1", f"refused: content-length: {value} with {len(content)} bytes of content")
    def _(c, value=value, content=content):
        origin().forget()
        stream = c.new_stream()
        fields = hpack.block(bad(("content-length", value), method="POST"))
        pieces = [content[i : i + 1] for i in range(len(content))] or [b""]
        c.send(frame(HEADERS, END_HEADERS, stream, fields) +
               b"".join(frame(DATA, 0, stream, piece) for piece in pieces[:-1]) +
               frame(DATA, END_STREAM, stream, pieces[-1]))
        is_refused(c, stream, "/bad")


@conform("8.1.1", "refused: content-length that is not kept to by HEADERS alone or trailers")
def _(c):
    origin().forget()
    is_refused(c, c.open(bad(("content-length", "5"), method="POST")), "/bad")
    stream = c.open(bad(("content-length", "5"), method="POST"), end=False)
    c.put(DATA, 0, stream, b"test")
    c.trailers(stream, [("x-sum", "1")])
    is_refused(c, stream, "/bad")


for value in ("-1", "+4", "4 ", "0x4", "four", "", "99999999999999999999", "4,4", "4, 5"):
    malformed("8.1.1", f"content-length: {value!r}", bad(("content-length", value), method="POST"))
malformed("8.1.1", "two content-lengths that differ",
          bad(("content-length", "0"), ("content-length", "4"), method="POST"))


# ---- RFC 7541

@conform("HPACK 2.3", "fields from the dynamic table are the same again, and in order")
def _(c):
    origin().forget()
    first = hpack.block(good()) + hpack.field("x-one", "1", "with") + \
        hpack.field("x-two", "2", "with", huffman=True)
    equal(c.answer(c.open_block(first)).status, 200, "status")
    second = hpack.block(good()) + hpack.indexed(63) + hpack.indexed(62) + \
        hpack.field("", "3", "without", index=63) + hpack.field("", "4", "never", index=62)
    equal(c.answer(c.open_block(second)).status, 200, "status")
    fields = [pair for pair in origin().seen("/good")[-1].fields if pair[0].startswith("x-")]
    equal([pair for pair in fields if pair[0] in ("x-one", "x-two")],
          [("x-one", "1"), ("x-two", "2"), ("x-one", "3"), ("x-two", "4")], "fields")


@conform("HPACK 2.3", "a request of static entries only")
def _(c):
    data = hpack.indexed(2) + hpack.indexed(6) + hpack.indexed(4) + \
        hpack.field("", "site.test", "with", huffman=True, index=1) + hpack.indexed(16)
    equal(c.answer(c.open_block(data)).status, 200, "status")


@conform("HPACK 4.3", "the table's size may change, twice at the start of a block")
def _(c):
    data = hpack.field("x-one", "1", "with")
    for sizes in ((), (0,), (0, 4096), (100, 50)):
        block = b"".join(hpack.table_size(size) for size in sizes) + PLAIN + data
        equal(c.answer(c.open_block(block)).status, 200, f"status after {sizes}")


def torn(section, promise, data, settings=()):
    @breach(section, promise, Error.COMPRESSION_ERROR, settings=settings)
    def _(c):
        c.open_block(PLAIN + data)


torn("HPACK 2.3.3", "an index beyond both tables", hpack.indexed(70))
torn("HPACK 2.3.3", "an index of a name beyond both tables", hpack.field("", "x", index=70))
torn("HPACK 4.2", "a change of the table's size at the end of a block", hpack.table_size(1))
torn("HPACK 5.1", "an integer beyond any sense", b"\xff" * 12)
torn("HPACK 5.2", "a string that is cut short", b"\0\x05abc")
torn("HPACK 5.2", "Huffman padding of more than 7 bits",
     b"\0\1x" + hpack.integer(2, 7, 0x80) + hpack.packed(hpack.huffman_bits(b"0")) + b"\xff")
torn("HPACK 5.2", "Huffman padding that is not the start of EOS",
     b"\0\1x" + hpack.integer(1, 7, 0x80) + hpack.packed(hpack.huffman_bits(b"0"), "0"))
torn("HPACK 5.2", "EOS in a Huffman string",
     b"\0\1x" + hpack.integer(4, 7, 0x80) + hpack.packed(hpack.huffman_bits([hpack.EOS])))
torn("HPACK 6.1", "index 0", b"\x80")


@breach("HPACK 6.3", "a table larger than the settings allow", Error.COMPRESSION_ERROR)
def _(c):
    limit = c.peer.get(Setting.HEADER_TABLE_SIZE, 4096)
    c.open_block(hpack.table_size(limit + 1) + PLAIN)


@conform("HPACK 4.2", "our encoder keeps to the table that the client allows",
         settings=[(Setting.HEADER_TABLE_SIZE, 0)])
def _(c):
    c.decoder.limit = 0
    for _ in range(3):
        equal(c.ask(request()).status, 200, "status")
    equal(c.decoder.dynamic, [], "the table")


main()
