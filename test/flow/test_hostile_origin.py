# SPDX-License-Identifier: BSD-2-Clause
"""Origins are hostile too: what is wrong is 502, and nothing of it is believed later."""

import fcntl
import select
import struct
import termios
import threading

from bascule_flow import (WAIT, WAYS, Client, CutShort, Daemon, Origin, answer, both, both_modes,
                          canned, check, chunks, equal, get, head, main, once, one_of, test)
from peers import until

origin = once(Origin)


@once
def proxy() -> Daemon:
    return both_modes(origin())


def request(way, path, *fields, method="GET"):
    return get(way.target(origin(), path), *fields, host=way.host(origin()), method=method)


def client(way):
    return Client(proxy().address(way.listener))


OK = "HTTP/1.1 200 OK"
CODED = "Transfer-Encoding: chunked"

# What the origin says instead of an answer; the client must see 502 and nothing of it.
BAD_HEADS = [
    ("Content-Length and Transfer-Encoding",
     head(OK, "Content-Length: 5", CODED) + b"5\r\nEVIL!\r\n0\r\n\r\n"),
    ("lengths that differ", head(OK, "Content-Length: 5", "Content-Length: 6") + b"EVIL!!"),
    ("a list of lengths that differ", head(OK, "Content-Length: 5, 6") + b"EVIL!!"),
    ("a length with a sign", head(OK, "Content-Length: +5") + b"EVIL!"),
    ("a length in hexadecimal", head(OK, "Content-Length: 0x5") + b"EVIL!"),
    ("an empty length", head(OK, "Content-Length:") + b"EVIL!"),
    ("a length beyond 64 bits", head(OK, "Content-Length: 18446744073709551621") + b"EVIL!"),
    ("a coding after chunked", head(OK, "Transfer-Encoding: chunked, gzip") + b"EVIL!"),
    ("chunked twice", head(OK, "Transfer-Encoding: chunked, chunked") + b"EVIL!"),
    ("chunked in HTTP/1.0", head("HTTP/1.0 200 OK", CODED) + b"5\r\nEVIL!\r\n0\r\n\r\n"),
    ("a bare LF in the head", b"HTTP/1.1 200 OK\r\nX-A: b\nX-EVIL: c\r\nContent-Length: 0\r\n\r\n"),
    ("a bare CR in the head", b"HTTP/1.1 200 OK\r\nX-A: b\rX-EVIL: c\r\nContent-Length: 0\r\n\r\n"),
    ("a continued field", b"HTTP/1.1 200 OK\r\nX-A: b\r\n EVIL\r\nContent-Length: 0\r\n\r\n"),
    ("a space before the colon", b"HTTP/1.1 200 OK\r\nX-EVIL : b\r\nContent-Length: 0\r\n\r\n"),
    ("a field without a colon", b"HTTP/1.1 200 OK\r\nEVIL\r\nContent-Length: 0\r\n\r\n"),
    ("NUL in a value", b"HTTP/1.1 200 OK\r\nX-A: EVIL\0\r\nContent-Length: 0\r\n\r\n"),
    ("a status of two digits", b"HTTP/1.1 20 EVIL\r\nContent-Length: 0\r\n\r\n"),
    ("a status of four digits", b"HTTP/1.1 2000 EVIL\r\nContent-Length: 0\r\n\r\n"),
    ("a status below 100", b"HTTP/1.1 099 EVIL\r\nContent-Length: 0\r\n\r\n"),
    ("a status of letters", b"HTTP/1.1 EVIL OK\r\nContent-Length: 0\r\n\r\n"),
    ("another protocol", b"EVIL/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("another version", b"HTTP/3.1 200 EVIL\r\nContent-Length: 0\r\n\r\n"),
    ("a control character in the reason", b"HTTP/1.1 200 EVIL\x01\r\nContent-Length: 0\r\n\r\n"),
    ("no HTTP at all", b"220 EVIL mail server ready\r\n"),
    ("content without a head", b"<html>EVIL</html>\r\n\r\n"),
    ("an endless status line", b"HTTP/1.1 200 " + b"EVIL" * 100000),
    ("an endless field", b"HTTP/1.1 200 OK\r\nX-A: " + b"EVIL" * 100000),
    ("twenty thousand fields", b"HTTP/1.1 200 OK\r\n" + b"X-EVIL: b\r\n" * 20000),
    ("a huge head", b"HTTP/1.1 200 OK\r\n" + b"X-EVIL: %s\r\n" % (b"b" * 4000) * 100 +
     b"Content-Length: 0\r\n\r\n"),
    ("a thousand interim answers", head("HTTP/1.1 102 Processing", "X-Note: b") * 1000),
    ("an interim answer with a huge head", b"HTTP/1.1 103 Early Hints\r\n" +
     b"X-EVIL: %s\r\n" % (b"b" * 4000) * 100 + b"\r\n"),
    ("an upgrade nobody asked for", head("HTTP/1.1 101 Switching Protocols", "Upgrade: evil",
                                         "Connection: upgrade") + b"EVIL"),
]

# Wrong within the content, of which a part may have been passed on by then.
BAD_BODIES = [
    ("a chunk size that is no number", b"5\r\nhello\r\nx\r\nEVIL!\r\n0\r\n\r\n"),
    ("a chunk size with a sign", b"5\r\nhello\r\n+5\r\nEVIL!\r\n0\r\n\r\n"),
    ("a chunk size beyond 64 bits", b"5\r\nhello\r\n10000000000000005\r\nEVIL!\r\n0\r\n\r\n"),
    ("a chunk longer than its size", b"5\r\nhelloEVIL\r\n0\r\n\r\n"),
    ("a chunk size ended by bare LF", b"5\r\nhello\r\n5\nEVIL!\r\n0\r\n\r\n"),
    ("an endless chunk extension", b"5\r\nhello\r\n5;" + b"EVIL" * 50000),
    ("a trailer without a colon", b"5\r\nhello\r\n0\r\nEVIL\r\n\r\n"),
    ("an endless trailer", b"5\r\nhello\r\n0\r\nX-EVIL: " + b"EVIL" * 50000),
    ("twenty thousand trailers", b"5\r\nhello\r\n0\r\n" + b"X-EVIL: b\r\n" * 20000 + b"\r\n"),
]


def say(path, data):
    """Makes the origin send data, whatever happens to it, and wait for the end."""

    def handler(_request, link):
        if link.try_send(data):
            try:
                link.rest(WAIT)
            except AssertionError:
                pass
        link.close()

    origin().on(path, handler)


def add_bad_head(way, number, name, data):
    @test(f"{way.name}: {name} is 502")
    def _():
        path = f"/head{number}"
        say(path, data)
        before = proxy().metrics()["bascule_upstream_failures_total"]
        with client(way) as c:
            response = c.ask(request(way, path))
            equal(response.status, 502, "status")
            check(b"EVIL" not in c.received, "the client saw some of it")
        goes_on(way)
        check(proxy().metrics()["bascule_upstream_failures_total"] > before, "it was not counted")


def add_bad_body(way, number, name, body):
    @test(f"{way.name}: {name} breaks the answer off")
    def _():
        path = f"/body{number}"
        say(path, head(OK, CODED) + body)
        with client(way) as c:
            c.send(request(way, path))
            try:
                equal(c.read().status, 502, "a whole answer with status")
            except CutShort:
                pass
            check(b"EVIL!" not in c.received, "the client saw what came after the fault")
        goes_on(way)


def goes_on(way):
    """The next request is not confused by what came before."""
    with client(way) as c:
        equal(c.ask(request(way, "/decent")).body, b"hello\n", "the next answer")


for each in WAYS:
    for number_, case in enumerate(BAD_HEADS):
        add_bad_head(each, number_, *case)
    for number_, case in enumerate(BAD_BODIES):
        add_bad_body(each, number_, *case)


@both("a few interim answers are passed on")
def _(way):
    origin().on("/interim", canned(head("HTTP/1.1 103 Early Hints", "Link: </a>") * 3 +
                                   answer(b"final")))
    with client(way) as c:
        response = c.ask(request(way, "/interim"))
        equal((len(response.interim), response.body), (3, b"final"), "answer")


# What an origin says before it is asked would become the answer to somebody else's request.
@both("bytes after a complete answer end the upstream connection")
def _(way):
    path = "/more-than-asked"
    origin().on(path, canned(answer(b"good") + answer(b"EVIL")))
    with client(way) as c:
        equal(c.ask(request(way, path)).body, b"good", "answer")
        for _ in range(5):
            equal(c.ask(request(way, "/decent")).body, b"hello\n", "the next answer")
        check(b"EVIL" not in c.received, "the client saw some of it")
    link = next(l for l in origin().links if b"more-than-asked" in l.received)
    check(link.received.endswith(b"\r\n\r\n") and b"/decent" not in
          link.received.split(b"more-than-asked")[1], "the connection was used again")


@both("bytes after an answer without content end the upstream connection")
def _(way):
    for number, first in enumerate((head("HTTP/1.1 204 No Content"),
                                    head("HTTP/1.1 304 Not Modified", "Content-Length: 4"))):
        path = f"/after-nothing{number}"
        origin().on(path, canned(first + b"EVIL"))
        with client(way) as c:
            check(c.ask(request(way, path)).status in (204, 304), "status")
            equal(c.ask(request(way, "/decent")).body, b"hello\n", "the next answer")
            check(b"EVIL" not in c.received, "the client saw some of it")


@both("content in answer to HEAD is not believed")
def _(way):
    origin().on("/head", canned(answer(b"EVIL")))
    with client(way) as c:
        equal(c.ask(request(way, "/head", method="HEAD"), "HEAD").status, 200, "status")
        equal(c.ask(request(way, "/decent")).body, b"hello\n", "the next answer")
        check(b"EVIL" not in c.received, "the client saw some of it")


def has_arrived(stream):
    """Whether the peer's kernel has all that was sent, or the peer has ended the stream."""
    unacknowledged, = struct.unpack("i", fcntl.ioctl(stream.sock, termios.TIOCOUTQ, bytes(4)))
    return unacknowledged == 0 or select.select([stream.sock], [], [], 0)[0]


@both("bytes that come while the connection is idle are not the next answer")
def _(way):
    idle = threading.Event()
    sent = threading.Event()

    def handler(_request, link):
        link.send(answer(b"good"))
        idle.wait(WAIT)
        link.try_send(answer(b"EVIL"))
        until(lambda: has_arrived(link), "the bytes arrive")
        sent.set()

    origin().on("/idle", handler)
    with client(way) as c:
        equal(c.ask(request(way, "/idle")).body, b"good", "answer")
        idle.set()
        check(sent.wait(WAIT), "the origin never spoke")
        for _ in range(5):
            equal(c.ask(request(way, "/decent")).body, b"hello\n", "the next answer")
        check(b"EVIL" not in c.received, "the client saw some of it")


@both("an origin that hangs up without an answer is 502")
def _(way):
    for end in ("close", "reset"):
        origin().on(f"/hangs-up-{end}", canned(b"", end))
        with client(way) as c:
            equal(c.ask(request(way, f"/hangs-up-{end}", method="POST")).status, 502, "status")


@both("a failed answer says so to programs and to browsers")
def _(way):
    say("/words", b"EVIL\r\n\r\n")
    with client(way) as c:
        response = c.ask(request(way, "/words", "Accept: text/html"))
        one_of(response.get("Content-Type").split(";")[0], ("text/html",), "content type")
        check(response.has("Proxy-Status"), "no Proxy-Status")
    with client(way) as c:
        response = c.ask(request(way, "/words", "Accept: application/json"))
        equal(response.get("Content-Type"), "application/problem+json", "content type")


@both("a second last chunk ends the upstream connection")
def _(way):
    origin().on("/two-ends", canned(head(OK, CODED) + chunks(b"abc") + b"0\r\n\r\n"))
    with client(way) as c:
        equal(c.ask(request(way, "/two-ends")).body, b"abc", "answer")
        equal(c.ask(request(way, "/decent")).body, b"hello\n", "the next answer")


main()
