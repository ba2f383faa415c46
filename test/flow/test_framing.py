# SPDX-License-Identifier: BSD-2-Clause
"""Where messages begin and end, in both directions and both modes (RFC 9112 sections 6 to 9)."""

import threading

from bascule_flow import (FORWARD, REVERSE, WAIT, WAYS, Client, CutShort, Daemon, Origin, answer,
                          answer_chunked, ask, both, both_modes, bytewise, canned, check, chunks,
                          equal, head, main, once, one_of, test)
from peers import becomes, until

origin = once(Origin)


@once
def proxy() -> Daemon:
    return both_modes(origin())


def client(way):
    return Client(proxy().address(way.listener))


def request_head(way, method, path, *fields, version="1.1"):
    return head(f"{method} {way.target(origin(), path)} HTTP/{version}",
                f"Host: {way.host(origin())}", *fields)


# ---- whole messages


@both("an answer with a length arrives as it is")
def _(way):
    origin().on("/length", answer(b"abc\0def", "X-Test: yes"))
    with client(way) as c:
        response = c.ask(request_head(way, "GET", "/length"))
        equal((response.status, response.framing, response.body), (200, "length", b"abc\0def"),
              "answer")
        equal(response.get("X-Test"), "yes", "X-Test")


@both("an empty answer keeps the connection")
def _(way):
    origin().on("/empty", answer())
    with client(way) as c:
        for _ in range(2):
            equal(c.ask(request_head(way, "GET", "/empty")).body, b"", "content")


@both("a chunked answer arrives whole, fed whole or a byte at a time")
def _(way):
    data = answer_chunked(b"first ", b"second", b"!" * 5000)
    origin().on("/chunked", data)
    origin().on("/chunked-bytewise", bytewise(data))
    with client(way) as c:
        for path in ("/chunked", "/chunked-bytewise"):
            response = c.ask(request_head(way, "GET", path))
            equal(response.framing, "chunked", "framing")
            equal(response.body, b"first second" + b"!" * 5000, "content")


@both("a chunked answer of several megabytes is byte-exact")
def _(way):
    pieces = [bytes([i]) * (1 + i * 997) for i in range(120)]
    origin().on("/big-chunked", answer_chunked(*pieces))
    with client(way) as c:
        equal(c.ask(request_head(way, "GET", "/big-chunked")).body, b"".join(pieces), "content")


@both("an answer of 20 MB with a length is byte-exact")
def _(way):
    body = bytes(range(256)) * 80000
    origin().on("/big", answer(body))
    with client(way) as c:
        check(c.ask(request_head(way, "GET", "/big")).body == body, "the content differs")


@both("trailers of an answer are passed on as trailers, never as fields")
def _(way):
    origin().on("/trailers", answer_chunked(b"abc", trailers=["X-Sum: 1", "X-Sum: 2"],
                                            fields=["Trailer: X-Sum"]))
    with client(way) as c:
        response = c.ask(request_head(way, "GET", "/trailers", "TE: trailers"))
        check(not response.has("X-Sum"), "a trailer was merged into the fields")
        one_of(response.trailers, ([], [("X-Sum", "1"), ("X-Sum", "2")]), "trailers")


@both("an upload with a length arrives as it is")
def _(way):
    body = bytes(range(256)) * 1000
    with client(way) as c:
        equal(c.ask(request_head(way, "POST", "/up", f"Content-Length: {len(body)}") + body).status,
              200, "status")
    request = origin().wait_request("/up")
    equal((request.framing, request.body == body), ("length", True), "upload")


@both("a chunked upload arrives whole, fed whole or a byte at a time")
def _(way):
    data = chunks(b"abc", b"defgh", trailers=["X-Sum: 1"])
    for path, slowly in (("/up-chunked", False), ("/up-bytewise", True)):
        with client(way) as c:
            up = request_head(way, "POST", path, "Transfer-Encoding: chunked") + data
            equal(c.ask(up, bytewise=slowly).status, 200, "status")
        request = origin().wait_request(path)
        equal((request.framing, request.body), ("chunked", b"abcdefgh"), "upload")
        check(not request.has("X-Sum"), "a trailer was merged into the fields")


@both("chunk extensions are read and not passed on")
def _(way):
    with client(way) as c:
        up = (request_head(way, "POST", "/extension", "Transfer-Encoding: Chunked") +
              b'5;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n')
        equal(c.ask(up).status, 200, "status")
    equal(origin().wait_request("/extension").body, b"hello", "upload")
    check(b"last" not in b"".join(link.received for link in origin().links), "extension passed on")


@both("two equal lengths become one, or are refused")
def _(way):
    with client(way) as c:
        lengths = ("Content-Length: 5", "Content-Length: 5")
        response = c.ask(request_head(way, "POST", "/lengths", *lengths) + b"hello")
        one_of(response.status, (200, 400), "status")
    for request in origin().seen("/lengths"):
        equal(request.get("Content-Length"), "5", "length upstream")  # the parser took one only


# ---- answers without content


@both("HEAD has the fields of GET and no content")
def _(way):
    origin().on("/head", canned(head("HTTP/1.1 200 OK", "Content-Length: 12345")))
    with client(way) as c:
        response = c.ask(request_head(way, "HEAD", "/head"), "HEAD")
        equal(response.get("Content-Length"), "12345", "length")
        equal(c.ask(request_head(way, "GET", "/after-head")).body, b"hello\n", "the next answer")


@both("HEAD of a chunked resource has no content")
def _(way):
    origin().on("/head-chunked", canned(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")))
    with client(way) as c:
        equal(c.ask(request_head(way, "HEAD", "/head-chunked"), "HEAD").status, 200, "status")
        equal(c.ask(request_head(way, "GET", "/after-head")).body, b"hello\n", "the next answer")


@both("204 and 304 have no content and keep the connection")
def _(way):
    origin().on("/204", canned(head("HTTP/1.1 204 No Content")))
    origin().on("/304", canned(head("HTTP/1.1 304 Not Modified", 'ETag: "x"',
                                    "Content-Length: 99")))
    with client(way) as c:
        equal(c.ask(request_head(way, "GET", "/204")).status, 204, "status")
        response = c.ask(request_head(way, "GET", "/304", 'If-None-Match: "x"'))
        equal((response.status, response.get("ETag")), (304, '"x"'), "answer")
        equal(c.ask(request_head(way, "GET", "/after-304")).body, b"hello\n", "the next answer")


# ---- HTTP/1.0 and the end of connections


@both("an answer that ends with its connection is passed on whole")
def _(way):
    origin().on("/until-close", canned(b"HTTP/1.1 200 OK\r\n\r\nall of it", "close"))
    origin().on("/until-close-1.0", canned(b"HTTP/1.0 200 OK\r\n\r\nall of it", "close"))
    for path in ("/until-close", "/until-close-1.0"):
        with client(way) as c:
            response = c.ask(request_head(way, "GET", path))
            equal(response.body, b"all of it", "content")
            equal(response.version, "1.1", "version")


@both("a client of HTTP/1.0 never gets chunks")
def _(way):
    origin().on("/to-1.0", answer_chunked(b"abc", b"def"))
    with client(way) as c:
        response = c.ask(request_head(way, "GET", "/to-1.0", version="1.0"))
        equal((response.framing, response.body), ("close", b"abcdef"), "answer")


@both("a client of HTTP/1.0 gets its connection closed")
def _(way):
    with client(way) as c:
        equal(c.ask(request_head(way, "GET", "/old", version="1.0")).body, b"hello\n", "content")
        check(c.has_ended(), "the connection goes on")


@both("Connection: close ends the connection after the answer")
def _(way):
    with client(way) as c:
        response = c.ask(request_head(way, "GET", "/close", "Connection: close"))
        equal(response.get("Connection"), "close", "Connection")
        check(c.has_ended(), "the connection goes on")


@both("an origin's Connection: close is its own affair")
def _(way):
    origin().on("/origin-closes", canned(answer(b"bye", "Connection: close"), "close"))
    with client(way) as c:
        equal(c.ask(request_head(way, "GET", "/origin-closes")).body, b"bye", "content")
        equal(c.ask(request_head(way, "GET", "/next")).body, b"hello\n", "the next answer")


@test("reverse: upstream connections are used again")
def _():
    with client(REVERSE) as c:
        for _ in range(5):
            c.ask(request_head(REVERSE, "GET", "/again"))
        before = origin().connections
        for _ in range(20):
            c.ask(request_head(REVERSE, "GET", "/again"))
        equal(origin().connections, before, "connections of the origin")


# ---- pipelining


@both("pipelined requests are answered in order")
def _(way):
    for i in range(5):
        origin().on(f"/pipe{i}", answer(b"%d" % i))
    with client(way) as c:
        c.send(b"".join(request_head(way, "GET", f"/pipe{i}") for i in range(5)))
        equal([c.read().body for _ in range(5)], [b"0", b"1", b"2", b"3", b"4"], "answers")


@both("a request right behind an upload is the next request")
def _(way):
    with client(way) as c:
        c.send(request_head(way, "POST", "/pipe-up", "Content-Length: 5") + b"hello" +
               request_head(way, "GET", "/pipe-next"))
        equal([c.read().status for _ in range(2)], [200, 200], "answers")
    equal(origin().wait_request("/pipe-up").body, b"hello", "upload")
    origin().wait_request("/pipe-next")


@both("requests sent with half-close behind them are all answered")
def _(way):
    with client(way) as c:
        c.send(request_head(way, "GET", "/half0") + request_head(way, "GET", "/half1"))
        c.half_close()
        equal([c.read().status for _ in range(2)], [200, 200], "answers")
        check(c.has_ended(), "the connection goes on")


# ---- expectations and interim answers


@both("a client that expects 100 gets it and then sends")
def _(way):
    with client(way) as c:
        c.send(request_head(way, "POST", "/expect", "Content-Length: 5", "Expect: 100-continue"))
        c.line("an interim status line")  # 100, from Bascule or from the origin
        check(c.line("the rest of the interim head") == b"", "an interim head with fields")
        c.send(b"hello")
        equal(c.read().status, 200, "status")
    equal(origin().wait_request("/expect").body, b"hello", "upload")


@both("a client that does not wait for 100 is served as well")
def _(way):
    with client(way) as c:
        c.send(request_head(way, "POST", "/expect-not", "Content-Length: 5",
                            "Expect: 100-continue") + b"hello")
        equal(c.read().status, 200, "status")
    equal(origin().wait_request("/expect-not").body, b"hello", "upload")


@both("interim answers are passed on before the final one")
def _(way):
    origin().on("/hints", canned(head("HTTP/1.1 103 Early Hints", "Link: </a>; rel=preload") +
                                 answer(b"final")))
    with client(way) as c:
        response = c.ask(request_head(way, "GET", "/hints"))
        equal([(i.status, i.get("Link")) for i in response.interim], [(103, "</a>; rel=preload")],
              "interim answers")
        equal(response.body, b"final", "content")


@both("a client of HTTP/1.0 gets no interim answer")
def _(way):
    origin().on("/hints-1.0", canned(head("HTTP/1.1 103 Early Hints") + answer(b"final")))
    with client(way) as c:
        response = c.ask(request_head(way, "GET", "/hints-1.0", version="1.0"))
        equal((response.interim, response.body), ([], b"final"), "answer")


# ---- early answers


@both("an answer during an upload arrives, and the upload is never completed by force")
def _(way):
    def early(_request, link):
        link.send(answer(b"no", "Connection: close", status="403 Forbidden"))
        link.give_up_body()
        link.half_close()

    origin().on("/early", early, at="head")
    with client(way) as c:
        c.send(request_head(way, "POST", "/early", "Content-Length: 100000") + b"x" * 1000)
        response = c.read()
        equal((response.status, response.body), (403, b"no"), "answer")
    equal(origin().seen("/early"), [], "complete uploads")


@both("after an early answer the connection is drained or closed, never confused")
def _(way):
    def early(request, link):
        link.send(answer(b"early"))
        link.read_body(request)

    origin().on("/early-drain", early, at="head")
    with client(way) as c:
        c.send(request_head(way, "POST", "/early-drain", "Content-Length: 3000"))
        equal(c.read().body, b"early", "answer")
        c.try_send(b"GET /inside HTTP/1.1\r\n" + b"x" * (3000 - 22))
        c.try_send(request_head(way, "GET", "/after-early"))
        if c.fill():
            equal(c.read().body, b"hello\n", "the next answer")
    equal(origin().seen("/inside"), [], "content taken for a request")


# ---- messages cut short are never completed


def cut_answer(way, path, data, end):
    """What a client sees of an answer the origin breaks off."""
    origin().on(path, canned(data, end))
    with client(way) as c:
        c.send(request_head(way, "GET", path))
        try:
            response = c.read()
        except CutShort:
            return "broken"
        return response.status


CUT_ANSWERS = [
    ("within the status line", b"HTTP/1.1 20", {502}),
    ("within its head", b"HTTP/1.1 200 OK\r\nContent-Le", {502}),
    ("before its head ends", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", {502}),
    ("after an interim head", head("HTTP/1.1 103 Early Hints"), {502, "broken"}),
    ("with a length", head("HTTP/1.1 200 OK", "Content-Length: 10") + b"short", {502, "broken"}),
    ("before any content", head("HTTP/1.1 200 OK", "Content-Length: 10"), {502, "broken"}),
    ("with a large length", head("HTTP/1.1 200 OK", "Content-Length: 300000") + b"x" * 200000,
     {"broken"}),
    ("within a chunk", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"a\r\nshort",
     {502, "broken"}),
    ("between chunks", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n",
     {502, "broken"}),
    ("before the last line", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") +
     b"5\r\nhello\r\n0\r\n", {502, "broken"}),
    ("within a trailer", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") +
     b"5\r\nhello\r\n0\r\nX-A: b", {502, "broken"}),
]


def add_cut_answer(way, number, name, data, outcomes):
    for end in ("close", "reset"):
        @test(f"{way.name}: an answer cut {name} by {end} is not completed")
        def _(end=end):
            one_of(str(cut_answer(way, f"/cut{number}-{end}", data, end)),
                   {str(outcome) for outcome in outcomes}, "outcome")


for each in WAYS:
    for number_, case in enumerate(CUT_ANSWERS):
        add_cut_answer(each, number_, *case)


# A reset is no end: without length or chunks it is all that tells a cut from the whole.
@both("an answer until close that ends in a reset is not completed")
def _(way):
    got_some = threading.Event()

    def reset_later(_request, link):
        link.send(b"HTTP/1.1 200 OK\r\n\r\nsome of it")
        got_some.wait(WAIT)
        link.reset()

    origin().on("/reset-until-close", reset_later)
    with client(way) as c:
        c.send(request_head(way, "GET", "/reset-until-close"))
        while b"some of it" not in c.received:
            check(c.fill(), "the beginning never came")
        got_some.set()
        try:
            equal(c.read().body, None, "a cut answer, seen as whole")
        except CutShort:
            pass


CUT_UPLOADS = [
    ("with a length", ["Content-Length: 10"], b"short"),
    ("with a length before any content", ["Content-Length: 10"], b""),
    ("within a chunk", ["Transfer-Encoding: chunked"], b"a\r\nshort"),
    ("between chunks", ["Transfer-Encoding: chunked"], b"5\r\nhello\r\n"),
    ("within a chunk size", ["Transfer-Encoding: chunked"], b"5\r\nhello\r\n1"),
    ("before the last line", ["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n"),
    ("within a trailer", ["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\nX-A: b"),
]


def add_cut_upload(way, number, name, fields, body):
    for end in ("close", "reset", "half_close"):
        @test(f"{way.name}: an upload cut {name} by {end} is not completed")
        def _(end=end):
            path = f"/up-cut{number}-{end}"
            with client(way) as c:
                c.send(request_head(way, "POST", path, *fields) + body)
                if body:
                    origin().wait_head(path)
                getattr(c, end)()
                if end == "half_close":
                    # The connection ends, with an answer that says why or without one.
                    data = c.rest()
                    check(not data or data.startswith(b"HTTP/1.1 400 "), f"answer {data[:80]!r}")
            if body:
                origin().wait_aborted(path)
            fence(way)
            equal(origin().seen(path), [], "complete uploads at the origin")


def fence(way):
    """A decent request: when it is answered, what came before it has been dealt with."""
    equal(ask(proxy().address(way.listener), request_head(way, "GET", "/fence")).status, 200,
          "a decent request")


for each in WAYS:
    for number_, case in enumerate(CUT_UPLOADS):
        add_cut_upload(each, number_, *case)


# ---- methods that ask about the way itself


@test("reverse: OPTIONS * is answered")
def _():
    with client(REVERSE) as c:
        response = c.ask(head("OPTIONS * HTTP/1.1", f"Host: {REVERSE.host(origin())}"))
        one_of(response.status, (200, 204), "status")


# RFC 9110 section 7.6.2: a recipient that finds 0 answers by itself.
@both("Max-Forwards of zero is answered without asking the origin")
def _(way):
    for method in ("TRACE", "OPTIONS"):
        path = f"/max-{method}"
        with client(way) as c:
            response = c.ask(request_head(way, method, path, "Max-Forwards: 0"))
            check(response.status < 500, f"{method}: status {response.status}")
        fence(way)
        equal(origin().seen(path), [], f"{method} at the origin")


@both("Max-Forwards is counted down")
def _(way):
    with client(way) as c:
        c.ask(request_head(way, "OPTIONS", "/max-3", "Max-Forwards: 3"))
    equal(origin().wait_request("/max-3").get("Max-Forwards"), "2", "Max-Forwards upstream")


# ---- fields of the connection


@both("fields of the connection are not passed on, in either direction")
def _(way):
    origin().on("/hop", answer(b"x", "Keep-Alive: timeout=9", "Connection: X-Mine, keep-alive",
                               "X-Mine: yes", "Proxy-Connection: close", "X-Kept: yes"))
    with client(way) as c:
        response = c.ask(request_head(way, "GET", "/hop", "Connection: X-Private, keep-alive",
                                      "X-Private: secret", "Keep-Alive: 300", "TE: gzip",
                                      "Proxy-Connection: keep-alive", "X-Kept: yes"))
    request = origin().wait_request("/hop")
    for name in ("X-Private", "Keep-Alive", "Proxy-Connection"):
        check(not request.has(name), f"{name} reached the origin")
    for name in ("X-Mine", "Keep-Alive", "Proxy-Connection"):
        check(not response.has(name), f"{name} reached the client")
    equal((request.get("X-Kept"), response.get("X-Kept")), ("yes", "yes"), "X-Kept")


# RFC 9110 section 7.6.1: nobody may have these removed by naming them.
@both("naming Host, framing or the like in Connection removes nothing")
def _(way):
    with client(way) as c:
        names = "Connection: Host, Content-Length, Content-Type, Authorization, Cookie"
        c.ask(request_head(way, "POST", "/nominated", names, "Content-Length: 5", "Cookie: a=b",
                           "Content-Type: text/plain", "Authorization: Basic eDp5") + b"hello")
    request = origin().wait_request("/nominated")
    equal(request.body, b"hello", "upload")
    for name in ("Host", "Content-Type", "Authorization", "Cookie"):
        check(request.has(name), f"{name} was removed")


# ---- what goes upstream is one canonical form


@both("what goes upstream is written anew")
def _(way):
    with client(way) as c:
        c.ask(request_head(way, "GET", "/canonical?q=%20", "x-odd:   spaced \t", "X-Empty:"))
    request = origin().wait_request("/canonical?q=%20")
    equal(request.start, "GET /canonical?q=%20 HTTP/1.1", "request line")
    equal((request.get("X-Odd"), request.get("X-Empty")), ("spaced", ""), "values")
    raw = b"".join(link.received for link in origin().links)
    check(b"spaced \t" not in raw, "blanks around a value were passed on")


@test("the counters tell what happened")
def _():
    until(lambda: proxy().metrics()["bascule_connections_open"] == 0, "nobody else is there")
    before = proxy().metrics()
    with client(FORWARD) as c:
        c.ask(request_head(FORWARD, "GET", "/counted"))
    for name in ("bascule_requests_total", "bascule_responses_2xx_total",
                 "bascule_connections_accepted_total"):
        becomes(lambda name=name: proxy().metrics()[name] - before[name], 1, name)


main()
