# SPDX-License-Identifier: BSD-2-Clause
"""Limits: what is too long or too much is refused in a clear way, and what fits passes."""

import contextlib
import threading
import time

from bascule_flow import (WAIT, Client, CutShort, Daemon, Origin, answer, both, check, chunks,
                          equal, get, head, main, once, one_of, test)

CONF = """
workers = 2;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; limits = @LIMITS@ },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; limits = @LIMITS@
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "few"; mode = "reverse"; listen = "127.0.0.1:0"; max_connections = 3; },
    { name = "three"; mode = "reverse"; listen = "127.0.0.1:0"; limits = { requests = 3; }; },
    { name = "unlimited"; mode = "reverse"; listen = "127.0.0.1:0"; limits = { drain = "64K"; };
      timeouts = { body = "1m"; }; },
    { name = "small"; mode = "reverse"; listen = "127.0.0.1:0";
      limits = { memory = "256K"; head = "64K"; line = "60K"; fields = 1000; }; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "single"; max_fails = 0;
      endpoints = ( { to = "127.0.0.1:@ORIGIN@"; max_connections = 1; } ); }
);
sites = (
    { name = "all"; default = true; group = "origin"; routes = (
        { path_prefix = "/single/"; group = "single"; },
        { path_prefix = "/long/"; strip_prefix = "/long"; add_prefix = "/longer"; } ); }
);
"""
LIMITS = '{ line = "400"; head = "1K"; fields = 10; body = "10K"; drain = "64K"; };'

origin = once(Origin)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, LIMITS=LIMITS)


def client(listener):
    return Client(proxy().address(listener))


def counter(name):
    return proxy().metrics()[name]


def request_head(way, method, path, *fields):
    return head(f"{method} {way.target(origin(), path)} HTTP/1.1", f"Host: {way.host(origin())}",
                *fields)


def fitting(way, limit, build):
    """build(n) for the n that makes it exactly limit bytes long."""
    return build(limit - len(build(0)))


# ---- heads


def refused(way, data, status, path):
    """Refused, whole or bytewise, and the end of the connection; nothing reached the origin."""
    for bytewise in (False, True):
        with client(way.listener) as c:
            c.try_send(data + request_head(way, "GET", "/behind"), bytewise)
            equal(c.read().status, status, f"status ({'bytewise' if bytewise else 'whole'})")
            equal(c.rest(), b"", "what follows the refusal")
    seen = {r.target for r in origin().heads}
    check(not any(t.startswith(path) or t == "/behind" for t in seen), "it reached the origin")


@both("a request line of the limit passes, a longer one is 414")
def _(way):
    def line(n):
        return f"GET {way.target(origin(), '/line' + 'x' * n)} HTTP/1.1"

    fields = (f"Host: {way.host(origin())}",)
    with client(way.listener) as c:
        equal(c.ask(head(fitting(way, 400, line), *fields)).status, 200, "status at the limit")
    origin().forget()
    refused(way, head(fitting(way, 401, line), *fields), 414, "/line")
    refused(way, head(fitting(way, 5000, line), *fields), 414, "/line")


@both("a head of the limit passes, a longer one is 431")
def _(way):
    def whole(n):
        return request_head(way, "GET", "/head", "X: " + "y" * n)

    with client(way.listener) as c:
        equal(c.ask(fitting(way, 1024, whole)).status, 200, "status at the limit")
    origin().forget()
    refused(way, fitting(way, 1025, whole), 431, "/head")
    refused(way, fitting(way, 5000, whole), 431, "/head")


@both("as many fields as allowed pass, one more is 431")
def _(way):
    def fields(count):
        return request_head(way, "GET", "/count", *(["X: y"] * (count - 1)))  # and Host

    with client(way.listener) as c:
        equal(c.ask(fields(10)).status, 200, "status at the limit")
    origin().forget()
    refused(way, fields(11), 431, "/count")


@test("refusals over a limit are in the log, and counted")
def _():
    before = counter("bascule_requests_bad_total")
    with client("web") as c:
        equal(c.ask(get("/" + "x" * 400)).status, 414, "status")
        equal(c.rest(), b"", "what follows")
    equal(counter("bascule_requests_bad_total"), before + 1, "requests_bad")
    record = proxy().wait_record("-")
    equal(record["end"], "bad_request", "end word")


# ---- content


@both("content of the limit passes")
def _(way):
    body = b"b" * 10240
    for path, framing, data in (("/fits", f"Content-Length: {len(body)}", body),
                                ("/fits-chunks", "Transfer-Encoding: chunked",
                                 chunks(body[:5000], body[5000:]))):
        with client(way.listener) as c:
            equal(c.ask(request_head(way, "POST", path, framing) + data).status, 200, "status")
        check(origin().wait_request(path).body == body, "the content differs")


@both("content known to be too long is 413, and nothing of it reaches the origin")
def _(way):
    before = counter("bascule_limits_hit_total")
    with client(way.listener) as c:
        start = request_head(way, "POST", "/too-long", "Content-Length: 10241")
        response = c.ask(start)  # before any content was sent
        equal(response.status, 413, "status")
        # There is little of it, so it is read away and the connection goes on.
        equal(response.get("Connection"), None, "Connection")
        equal(c.ask(b"b" * 10241 + request_head(way, "GET", "/after-413")).status, 200,
              "status of the next request")
    equal(counter("bascule_limits_hit_total"), before + 1, "limits_hit")
    check(not any(r.target == "/too-long" for r in origin().heads), "it reached the origin")
    equal(proxy().wait_record(way.target(origin(), "/too-long"))["end"], "limit", "end word")


@both("content far too long is 413, and the end of the connection")
def _(way):
    with client(way.listener) as c:
        response = c.ask(request_head(way, "POST", "/huge", "Content-Length: 999999999"))
        equal(response.status, 413, "status")
        equal(response.get("Connection"), "close", "Connection")
        c.try_send(b"b" * 100000)
        equal(c.rest(), b"", "what follows")
    check(not any(r.target == "/huge" for r in origin().heads), "it reached the origin")


@both("a client that asks before it sends too much is told 413 instead of 100")
def _(way):
    with client(way.listener) as c:
        response = c.ask(request_head(way, "POST", "/asks", "Content-Length: 20000",
                                      "Expect: 100-continue"))
        equal((response.status, response.interim), (413, []), "answer")
        equal(c.rest(), b"", "what follows")


@both("chunks over the limit are 413, and the origin never sees a whole request")
def _(way):
    before = counter("bascule_limits_hit_total")
    for path, data in (("/chunks-at-once", chunks(b"c" * 10241)),
                       ("/chunks-many", chunks(*[b"c" * 1000] * 11)),
                       ("/chunks-endless", b"1000\r\n" + b"c" * 4096 + b"\r\n" +
                        b"ffffffff\r\n" + b"c" * 10000)):
        with client(way.listener) as c:
            c.try_send(request_head(way, "POST", path, "Transfer-Encoding: chunked") + data +
                       request_head(way, "GET", "/behind"))
            response = c.read()
            equal(response.status, 413, f"status of {path}")
            equal(response.get("Connection"), "close", "Connection")
            equal(c.rest(), b"", "what follows")
        equal(proxy().wait_record(way.target(origin(), path))["end"], "limit", "end word")
        equal(origin().seen(path), [], "whole requests at the origin")
    equal(counter("bascule_limits_hit_total"), before + 3, "limits_hit")
    check(not any(r.target == "/behind" for r in origin().heads), "what followed was a request")


@both("the limit holds for an answer that has begun: it is broken off")
def _(way):
    def early(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        link.give_up_body()
        link.rest()

    origin().on("/early-chunks", early, at="head")
    with client(way.listener) as c:
        c.send(request_head(way, "POST", "/early-chunks", "Transfer-Encoding: chunked"))
        while b"abc" not in c.received:
            check(c.fill(), "it ended before the answer")
        c.try_send(chunks(b"c" * 10241))
        try:
            c.read()
        except CutShort as cut:
            check(cut.was_reset, "it ended as if it were whole")
        else:
            check(False, "the answer was completed")
    equal(origin().seen("/early-chunks"), [], "whole requests at the origin")


# ---- unread content after an early answer


def answer_early(path):
    def early(_request, link):
        link.send(answer(b"early"))
        link.give_up_body()
        link.rest()

    origin().on(path, early, at="head")


@test("after an early answer a little content is read away, and the connection goes on")
def _():
    for path, framing, rest in (
            ("/early", "Content-Length: 65536", b"d" * 65536),
            ("/early-chunked", "Transfer-Encoding: chunked",
             chunks(*[b"d" * 1000] * 60, trailers=["X-Sum: 1"]))):
        answer_early(path)
        with client("unlimited") as c:
            response = c.ask(head(f"POST {path} HTTP/1.1", "Host: a", framing))
            equal(response.body, b"early", "answer")
            equal(response.get("Connection"), None, "Connection")
            for i in range(0, len(rest), 9999):  # in pieces, after the exchange has ended
                c.send(rest[i : i + 9999])
            equal(c.ask(get("/after-early")).status, 200, f"status after {path}")
        equal(origin().seen(path), [], "whole requests at the origin")


@test("after an early answer much content ends the connection, behind the whole answer")
def _():
    body = b"e" * 300000

    def early(_request, link):
        link.send(answer(body))
        link.give_up_body()
        link.rest()

    for path, framing, rest in (
            ("/much", "Content-Length: 10000000", b"d" * 10000000),
            ("/much-chunked", "Transfer-Encoding: chunked", chunks(*[b"d" * 100000] * 100))):
        origin().on(path, early, at="head")
        with client("unlimited") as c:
            sender = threading.Thread(target=c.try_send, args=(
                head(f"POST {path} HTTP/1.1", "Host: a", framing) + rest +
                get("/behind-much"),))
            sender.start()
            check(c.read().body == body, "the answer differs")
            c.rest()
            sender.join(WAIT)
        equal(origin().seen(path), [], "whole requests at the origin")
    check(not any(r.target == "/behind-much" for r in origin().heads),
          "what followed was taken for a request")


@test("broken chunks after an early answer end the connection")
def _():
    answer_early("/early-broken")
    with client("unlimited") as c:
        equal(c.ask(head("POST /early-broken HTTP/1.1", "Host: a",
                         "Transfer-Encoding: chunked")).body, b"early", "answer")
        c.try_send(b"3\r\nabcGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")
        equal(c.rest(), b"", "what follows")
    check(not any(r.target == "/hidden" for r in origin().heads), "it was taken for a request")


# ---- connections, requests on one


@test("a listener has so many connections at a time, and the others are not affected")
def _():
    refused_name = 'bascule_listener_connections_refused_total{listener="few"}'
    before = proxy().metrics()
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(client("few")) for _ in range(3)]
        for c in first:
            equal(c.ask(get("/few")).status, 200, "status")
        for _ in range(2):
            with client("few") as late:
                late.try_send(get("/late"))
                equal(late.rest(), b"", "what a connection over the limit got")
        after = proxy().metrics()
        equal(after[refused_name] - before.get(refused_name, 0), 2, "refused")
        equal(after["bascule_limits_hit_total"] - before["bascule_limits_hit_total"], 2,
              "limits_hit")
        with client("unlimited") as other:
            equal(other.ask(get("/other")).status, 200, "status at another listener")
        for c in first:
            equal(c.ask(get("/few")).status, 200, "status of those that are open")
        first[0].half_close()
        check(first[0].has_ended(), "it was not closed")
        end = time.monotonic() + WAIT
        while counter('bascule_listener_connections_open{listener="few"}') > 2:
            check(time.monotonic() < end, "it is still counted")
        with client("few") as next_one:
            equal(next_one.ask(get("/next")).status, 200, "status once there is room")
    check(not any(r.target == "/late" for r in origin().heads), "it reached the origin")


@test("a connection is closed after so many requests, whether pipelined or not")
def _():
    with client("three") as c:
        found = [c.ask(get("/three")).get("Connection") for _ in range(3)]
        equal(found, [None, None, "close"], "Connection of the answers")
        equal(c.rest(), b"", "what follows")
    origin().forget()
    with client("three") as c:
        c.send(get("/three") * 5)
        found = [c.read().get("Connection") for _ in range(3)]
        equal(found, [None, None, "close"], "Connection of the answers")
        equal(c.rest(), b"", "what follows")
    equal(len(origin().seen("/three")), 3, "requests at the origin")


@test("an endpoint has so many exchanges at a time: the next one is 503")
def _():
    may_go = threading.Event()
    origin().on("/single/held", lambda *_: may_go.wait(WAIT) and answer(b"held"))
    with client("unlimited") as first, client("unlimited") as second:
        first.send(get("/single/held"))
        origin().wait_request("/single/held")
        equal(second.ask(get("/single/late")).status, 503, "status at the limit")
        equal(proxy().wait_record("/single/late")["end"], "no_endpoint", "end word")
        may_go.set()
        equal(first.read().body, b"held", "answer")
        in_flight = [k for k in proxy().metrics() if "endpoint_in_flight" in k and '"single"' in k]
        end = time.monotonic() + WAIT
        while counter(*in_flight) > 0:  # it is let go after the answer, maybe by another thread
            check(time.monotonic() < end, "it is still in flight")
        equal(second.ask(get("/single/next")).status, 200, "status once there is room")


# ---- the memory of an exchange


@test("a request that needs too much memory is 431")
def _():
    before = counter("bascule_limits_hit_total")
    origin().forget()
    with client("small") as c:
        # The head, its path in normal form, the path to send and the list of fields.
        response = c.ask(head(f"GET /long/%41{'a' * 58000} HTTP/1.1", "Host: a", *["b:"] * 900))
        equal(response.status, 431, "status")
    equal(counter("bascule_limits_hit_total"), before + 1, "limits_hit")
    equal(origin().heads, [], "requests at the origin")
    with client("small") as c:
        equal(c.ask(get("/long/enough")).status, 200, "status of a decent request")


@test("an origin whose interim answers need too much memory is 502")
def _():
    hint = head("HTTP/1.1 103 Early Hints", "Link: " + "x" * 15000)
    origin().on("/hints", hint * 25 + answer(b"done"))
    with client("small") as c:
        c.send(get("/hints"))
        response = c.read()
        equal(response.status, 502, "status")
        one_of(len(response.interim), range(5, 25), "interim answers that were passed on")
        equal(c.ask(get("/after-hints")).status, 200, "status of the next request")


main()
