# SPDX-License-Identifier: BSD-2-Clause
"""What is ambiguous is refused, with a clear status, and nothing of it reaches the origin.

Each case is sent whole and a byte at a time, through the reverse and the forward listener,
with a decent request behind it on the same connection that must never be served: that is
how a request would be smuggled (RFC 9112 section 11.2).
"""

import itertools
import re

from bascule_flow import (WAYS, Client, Daemon, Origin, ask, both_modes, check, equal, get, main,
                          once, one_of, test)

BAD = {400}
UNKNOWN_CODING = {400, 501}  # RFC 9112 section 6.1 asks for 501 where it is just unknown

# Name, what is wrong, statuses. {T} is a target for the listener's mode, {H} its host.
GET_LINE = "GET {T} HTTP/1.1\r\n"
POST_LINE = "POST {T} HTTP/1.1\r\n"
HOST = "Host: {H}\r\n"
END = "\r\n"


def field(line):
    return f"{GET_LINE}{HOST}{line}{END}"


def framed(*lines, body="hello"):
    return POST_LINE + HOST + "".join(f"{line}\r\n" for line in lines) + END + body


def host(*lines):
    return GET_LINE + "".join(f"Host: {line}\r\n" for line in lines) + END


HEADS = [
    # Framing: RFC 9112 section 6.3
    ("Content-Length before Transfer-Encoding",
     framed("Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n"), BAD),
    ("Transfer-Encoding before Content-Length",
     framed("Transfer-Encoding: chunked", "Content-Length: 5", body="0\r\n\r\n"), BAD),
    ("two lengths that differ", framed("Content-Length: 5", "Content-Length: 6"), BAD),
    ("a list of lengths that differ", framed("Content-Length: 5, 6"), BAD),
    ("a length with a plus sign", framed("Content-Length: +5"), BAD),
    ("a length with a minus sign", framed("Content-Length: -5"), BAD),
    ("a length in hexadecimal", framed("Content-Length: 0x5"), BAD),
    ("a length with letters behind it", framed("Content-Length: 5x"), BAD),
    ("a length with a space within", framed("Content-Length: 5 5"), BAD),
    ("a length with a fraction", framed("Content-Length: 5.0"), BAD),
    ("an empty length", framed("Content-Length:"), BAD),
    ("a length beyond 64 bits", framed("Content-Length: 18446744073709551621"), BAD | {413}),
    ("an unknown coding", framed("Transfer-Encoding: gzip"), UNKNOWN_CODING),
    ("a coding before chunked", framed("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"),
     UNKNOWN_CODING),
    ("a coding after chunked", framed("Transfer-Encoding: chunked, gzip", body="0\r\n\r\n"),
     UNKNOWN_CODING),
    ("chunked twice", framed("Transfer-Encoding: chunked, chunked", body="0\r\n\r\n"),
     UNKNOWN_CODING),
    ("chunked twice, in two lines",
     framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
     UNKNOWN_CODING),
    ("identity beside chunked",
     framed("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body="0\r\n\r\n"),
     UNKNOWN_CODING),
    ("a coding that looks like chunked", framed("Transfer-Encoding: xchunked", body="0\r\n\r\n"),
     UNKNOWN_CODING),
    ("chunked with a parameter", framed("Transfer-Encoding: chunked;a=b", body="0\r\n\r\n"),
     UNKNOWN_CODING),
    ("chunked in quotes", framed('Transfer-Encoding: "chunked"', body="0\r\n\r\n"),
     UNKNOWN_CODING),
    ("an empty Transfer-Encoding", framed("Transfer-Encoding:"), UNKNOWN_CODING),
    ("a vertical tab before chunked", framed("Transfer-Encoding: \x0bchunked"), BAD),
    ("chunked in HTTP/1.0", "POST {T} HTTP/1.0\r\n" + HOST +
     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),

    # Line ends and characters: RFC 9112 section 2.2, RFC 9110 section 5.5
    ("bare LF after the request line", "GET {T} HTTP/1.1\n" + HOST + END, BAD),
    ("bare LF after a field", field("X-A: b\n"), BAD),
    ("bare LF at the end of the head", GET_LINE + HOST + "\n", BAD),
    ("bare CR in the request line", "GET {T}\r HTTP/1.1\r\n" + HOST + END, BAD),
    ("bare CR in a value", field("X-A: b\rX-B: c\r\n"), BAD),
    ("bare CR at the end of a value", field("X-A: b\r\r\n"), BAD),
    ("CR before a field name", field("\rX-A: b\r\n"), BAD),
    ("NUL in a value", field("X-A: b\0c\r\n"), BAD),
    ("a control character in a value", field("X-A: b\x01c\r\n"), BAD),
    ("DEL in a value", field("X-A: b\x7fc\r\n"), BAD),
    ("NUL in a name", field("X\0A: b\r\n"), BAD),
    ("a control character in a name", field("X\x02A: b\r\n"), BAD),
    ("a line that continues a field", field("X-A: b\r\n c\r\n"), BAD),
    ("a line that continues a field by tab", field("X-A: b\r\n\tc\r\n"), BAD),
    ("a blank before the first field", GET_LINE + " " + HOST + END, BAD),
    ("a space before the colon", field("X-A : b\r\n"), BAD),
    ("a tab before the colon", field("X-A\t: b\r\n"), BAD),
    ("a space before the colon of a length", framed("Content-Length : 5"), BAD),
    ("a space within a name", field("X A: b\r\n"), BAD),
    ("a field without a colon", field("X-A\r\n"), BAD),
    ("a field without a name", field(": b\r\n"), BAD),
    ("a name with a delimiter", field("X(A): b\r\n"), BAD),
    ("a name beyond ASCII", field("X-\xe4: b\r\n"), BAD),

    # Request line: RFC 9112 section 3
    ("a request line without version", "GET {T}\r\n" + HOST + END, BAD | {505}),
    ("a request line of one word", "GET\r\n" + HOST + END, BAD),
    ("two spaces before the target", "GET  {T} HTTP/1.1\r\n" + HOST + END, BAD),
    ("two spaces before the version", "GET {T}  HTTP/1.1\r\n" + HOST + END, BAD),
    ("a space after the version", "GET {T} HTTP/1.1 \r\n" + HOST + END, BAD),
    ("a space before the method", " GET {T} HTTP/1.1\r\n" + HOST + END, BAD),
    ("tabs in the request line", "GET\t{T}\tHTTP/1.1\r\n" + HOST + END, BAD),
    ("a space within the target", "GET {T} x HTTP/1.1\r\n" + HOST + END, BAD),
    ("a control character in the target", "GET {T}\x01 HTTP/1.1\r\n" + HOST + END, BAD),
    ("a target beyond ASCII", "GET {T}\xe4 HTTP/1.1\r\n" + HOST + END, BAD),
    ("a target with a fragment", "GET {T}#top HTTP/1.1\r\n" + HOST + END, BAD),
    ("a target that is no path", "GET nowhere HTTP/1.1\r\n" + HOST + END, BAD),
    ("an asterisk with GET", "GET * HTTP/1.1\r\n" + HOST + END, BAD),
    ("a method with a delimiter", "GE(T {T} HTTP/1.1\r\n" + HOST + END, BAD),
    ("a protocol in lower case", "GET {T} http/1.1\r\n" + HOST + END, BAD | {505}),
    ("another protocol", "GET {T} RTSP/1.0\r\n" + HOST + END, BAD | {505}),
    ("a version of two digits", "GET {T} HTTP/1.10\r\n" + HOST + END, BAD | {505}),
    ("a version without minor", "GET {T} HTTP/1\r\n" + HOST + END, BAD | {505}),
    ("a version this is not", "GET {T} HTTP/2.0\r\n" + HOST + END, {505}),
    ("the opening of HTTP/2 with a field", "PRI * HTTP/2.0\r\n" + HOST + END, BAD | {505}),
    ("the opening of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),

    # Host: RFC 9112 section 3.2
    ("no Host", host(), BAD),
    ("two Hosts that agree", host("{H}", "{H}"), BAD),
    ("two Hosts that differ", host("{H}", "other.test"), BAD),
    ("a Host with a space", host("a b"), BAD),
    ("a Host with a path", host("{H}/x"), BAD),
    ("a Host with a user", host("user@{H}"), BAD),
    ("a Host with a scheme", host("http://{H}"), BAD),
    ("a Host with letters for a port", host("site.test:http"), BAD),
    ("a Host with a port beyond 65535", host("site.test:65536"), BAD),
    ("a Host with two ports", host("site.test:80:80"), BAD),
    ("a Host with an open bracket", host("[::1"), BAD),
    ("a Host with an address that is none", host("[::g]"), BAD),
    ("a Host with quotes", host('"{H}"'), BAD),
    ("a Host with a backslash", host("a\\\\b"), BAD),

    # Limits of the shipped defaults
    ("a request line of 20 KB", "GET {T}" + 20000 * "x" + " HTTP/1.1\r\n" + HOST + END, {414}),
    ("an endless request line", "GET {T}" + 200000 * "x", {414}),
    ("a field of 70 KB", field("X-A: " + 70000 * "b" + "\r\n"), {431}),
    ("an endless field", GET_LINE + HOST + "X-A: " + 200000 * "b", {431}),
    ("200 fields", field(200 * "X-A: b\r\n"), {431}),
    ("twenty thousand fields", field(20000 * "a:b\r\n"), {431}),
    ("a field name of 70 KB", field(70000 * "n" + ": b\r\n"), {431}),
]

# Wrong only within the content: the origin may see the head, never a complete request.
CHUNKED = "POST {T} HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n"
BODIES = [
    ("a chunk size with a plus sign", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size with a minus sign", "-5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size with a space before it", " 5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size that is no number", "g\r\nhello\r\n0\r\n\r\n"),
    ("an empty chunk size", "\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size of extension only", ";a=b\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size ended by bare LF", "5\nhello\r\n0\r\n\r\n"),
    ("a chunk size ended by bare CR", "5\rhello\r\n0\r\n\r\n"),
    ("a chunk longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
    ("a chunk ended by bare LF", "5\r\nhello\n0\r\n\r\n"),
    ("a chunk ended by nothing", "5\r\nhello0\r\n\r\n"),
    ("a chunk extension with bare LF", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("a chunk extension with bare CR", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("a chunk extension with NUL", "5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ("a chunk extension without semicolon", "5 a=b\r\nhello\r\n0\r\n\r\n"),
    ("an endless chunk extension", "5;a=" + 100000 * "b"),
    ("a last chunk ended by bare LF", "5\r\nhello\r\n0\n\r\n"),
    ("a trailer without colon", "5\r\nhello\r\n0\r\nX-A\r\n\r\n"),
    ("a trailer with a space before the colon", "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n"),
    ("a trailer that is continued", "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
    ("a trailer with bare LF", "5\r\nhello\r\n0\r\nX-A: b\n\r\n"),
    ("a trailer with a control character", "5\r\nhello\r\n0\r\nX-A: \x01\r\n\r\n"),
    ("an endless trailer", "5\r\nhello\r\n0\r\nX-A: " + 200000 * "b"),
    ("twenty thousand trailers", "5\r\nhello\r\n0\r\n" + 20000 * "a:b\r\n" + "\r\n"),
]

TARGETS = [
    ("a target with a user", "http://user:secret@{H}/bad", BAD),
    ("a target without a host", "http:///bad", BAD),
    ("a target with a port beyond 65535", "http://127.0.0.1:65536/bad", BAD),
    ("a target with letters for a port", "http://127.0.0.1:http/bad", BAD),
    ("a target with an open bracket", "http://[::1/bad", BAD),
    ("a target of a scheme that is no proxy's", "gopher://{H}/bad", {400, 501}),
]

SMALL = 4000  # longer cases are not sent a byte at a time

origin = once(Origin)


@once
def proxy() -> Daemon:
    return both_modes(origin())


def raw(way, text, path="/bad"):
    return (text.replace("{T}", way.target(origin(), path)).replace("{H}", way.host(origin()))
            .encode("latin-1"))


def good(way, path):
    return get(way.target(origin(), path), host=way.host(origin()))


def refused(way, data, statuses, bytewise):
    """Sends the bad bytes with a decent request behind them, and judges the answer."""
    with Client(proxy().address(way.listener)) as client:
        client.try_send(data + good(way, "/smuggled"), bytewise)
        response = client.read()
        one_of(response.status, statuses, "status")
        equal(client.rest(), b"", "what follows the refusal on its connection")


def nothing_reached(way, path, head_may):
    """Only this decent request, on a connection of its own, is what comes next.

    The origin may see the head of an earlier case late: each case has a path of its own.
    """
    equal(ask(proxy().address(way.listener), good(way, "/fence")).status, 200, "a decent request")
    targets = [request.target for request in origin().requests]
    equal(targets, ["/fence"], "complete requests that reached the origin")
    heads = {request.target for request in origin().heads
             if request.target == path or not re.fullmatch(r"/bad\d+", request.target)}
    check(heads <= ({"/fence", path} if head_may else {"/fence"}), f"heads reached: {heads}")
    check(b"smuggled" not in b"".join(link.received for link in origin().links),
          "the request behind the bad one reached the origin")


case_numbers = itertools.count(1)


def add(way, name, text, statuses, head_may=False):
    path = f"/bad{next(case_numbers)}"

    @test(f"{way.name}: {name} is refused")
    def _():
        data = raw(way, text, path)
        for bytewise in (False, True):
            if bytewise and len(data) > SMALL:
                continue
            origin().forget()
            refused(way, data, statuses, bytewise)
            nothing_reached(way, path, head_may)


for each in WAYS:
    for case in HEADS:
        add(each, *case)
    for name_, body in BODIES:
        add(each, name_, CHUNKED + body, {400, 431}, head_may=True)
    if each.name == "forward":
        for name_, target, wanted in TARGETS:
            add(each, name_, f"GET {target} HTTP/1.1\r\n{HOST}{END}", wanted)


# RFC 9112 section 3.2.2: the target's authority alone is judged, and passed on.
@test("forward: a valid Host that differs from the target is replaced")
def _():
    way = WAYS[1]
    request = get(way.target(origin(), "/replaced"), host="other.test")
    equal(ask(proxy().address("out"), request).status, 200, "status")
    equal(origin().wait_request("/replaced").get("Host"), way.host(origin()), "Host upstream")


# RFC 9112 section 2.2: a robust server ignores an empty line before a request.
@test("reverse: an empty line before a request does no harm")
def _():
    with Client(proxy().address("web")) as client:
        equal(client.ask(b"\r\n" + get("/empty-line")).status, 200, "status")


@test("refusals are counted")
def _():
    before = proxy().metrics()["bascule_requests_bad_total"]
    ask(proxy().address("web"), raw(WAYS[0], field("X A: b\r\n")))
    equal(proxy().metrics()["bascule_requests_bad_total"], before + 1, "requests_bad")


main()
