# SPDX-License-Identifier: BSD-2-Clause
"""Which upstream connections are used again, in which order, and what happens when one has died
(server/upstream/pool.c, server/http/h1_upstream.c); and what a client's connection is kept for."""

import re
import socket
import threading
import time

from bascule_flow import (WAIT, Client, CutShort, Daemon, Origin, answer, answer_chunked, check,
                          equal, get, head, main, once, post, test)
from peers import until

CONF = """
workers = 1;
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
groups = (
    { name = "kept"; max_fails = 0; endpoints = [ "127.0.0.1:@KEPT@" ]; },
    { name = "two"; max_fails = 0; max_idle = 2; endpoints = [ "127.0.0.1:@TWO@" ]; },
    { name = "brief"; max_fails = 0; timeouts = { idle = "300ms"; };
      endpoints = [ "127.0.0.1:@TWO@" ]; },
    { name = "none"; max_fails = 0; max_idle = 0; endpoints = [ "127.0.0.1:@TWO@" ]; },
    { name = "fails"; max_fails = 1; fail_timeout = "1h"; endpoints = [ "127.0.0.1:@KEPT@" ]; }
);
sites = (
    { name = "kept"; default = true; group = "kept"; },
    { name = "two"; hosts = [ "two.test" ]; group = "two"; },
    { name = "brief"; hosts = [ "brief.test" ]; group = "brief"; },
    { name = "none"; hosts = [ "none.test" ]; group = "none"; },
    { name = "fails"; hosts = [ "fails.test" ]; group = "fails"; }
);
"""


def number(_request, link):
    """Answers with the number of the connection."""
    link.is_used = True
    return answer(b"%d" % link.number)


@once
def kept():
    return Origin(number)


@once
def two():
    return Origin(number)


@once
def proxy():
    return Daemon(CONF, KEPT=kept().port, TWO=two().port)


def client():
    return Client(proxy().address("web"))


def metric(name):
    return proxy().metrics()[f"bascule_{name}"]


def link_used(target="/", host="kept.test"):
    """The number of the connection that a request from a client of its own goes over."""
    with client() as c:
        response = c.ask(get(target, host=host))
        equal(response.status, 200, "status")
        return int(response.body)


def settle():
    """Until the only thread has done what it was at when it answered last: it answers again."""
    with client() as c:
        equal(c.ask(get("/%zz")).status, 400, "status")


def held(origin, count, host):
    """So many exchanges at a time, ended one after the other. The numbers of their connections."""
    gates = [threading.Event() for _ in range(count)]

    def hold(request, link):
        gates[int(request.target[-1])].wait(WAIT)
        return number(request, link)

    clients = [client() for _ in range(count)]
    for i, c in enumerate(clients):
        origin.on(f"/held/{i}", hold)
        c.send(get(f"/held/{i}", host=host))
        origin.wait_request(f"/held/{i}")
    numbers = []
    for c, gate in zip(clients, gates):
        gate.set()
        numbers.append(int(c.read().body))
        c.close()
    settle()
    origin.forget()
    return numbers


# ---- in the pool


@test("requests of many clients go over one connection")
def _():
    reuses = metric("upstream_reuses_total")
    numbers = {link_used() for _ in range(10)}
    equal(len(numbers), 1, "connections")
    check(metric("upstream_reuses_total") - reuses >= 9, "reuses are not counted")


@test("the connection used last is used first")
def _():
    numbers = held(kept(), 3, "kept.test")
    equal(len(set(numbers)), 3, "connections at a time")
    equal(metric("upstream_connections_idle"), 3, "idle connections")
    equal([link_used() for _ in range(5)], [numbers[2]] * 5, "connections used")
    equal(held(kept(), 2, "kept.test"), [numbers[2], numbers[1]], "two at a time")


@test("no more than max_idle connections are kept, and none longer than the option says")
def _():
    numbers = held(two(), 3, "two.test")
    links = [two().links[n] for n in numbers]
    until(lambda: not links[2].is_open, "the third is closed")
    equal([link.is_open for link in links], [True, True, False], "open connections")
    equal(link_used(host="two.test"), numbers[1], "the connection used")
    brief = two().links[link_used(host="brief.test")]
    until(lambda: not brief.is_open, "an idle one is closed")
    brief = two().links[link_used(host="brief.test")]  # a new one, or it would fail
    until(lambda: not brief.is_open, "it is closed, too")
    equal([link.is_open for link in links], [True, True, False], "of the patient group")


@test("with max_idle 0 every exchange has its own connection")
def _():
    numbers = [link_used(host="none.test") for _ in range(3)]
    equal(len(set(numbers)), 3, "connections")
    until(lambda: not any(two().links[n].is_open for n in numbers), "they are closed")


@test("an idle connection that the origin ends is noticed at once and not used")
def _():
    for end in ("half_close", "reset"):
        numbers = held(kept(), 2, "kept.test")
        retries = metric("upstream_retries_total")
        idle = metric("upstream_connections_idle")
        for n in numbers:
            sock = kept().links[n].sock
            if end == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.shutdown(socket.SHUT_WR if end == "half_close" else socket.SHUT_RDWR)
        until(lambda: metric("upstream_connections_idle") == idle - 2, "idle connections go")
        check(link_used() not in numbers, f"used after {end}")
        equal(metric("upstream_retries_total"), retries, "retries")


# ---- the race: a connection dies as it is used again


@once
def mortal():
    """Targets under which connections that were used before die, and new ones answer."""
    for how in ("close", "reset"):

        def die(request, link, how=how):
            if getattr(link, "is_used", False):
                getattr(link, how)()
                return None
            return number(request, link)

        kept().on(f"/mortal/{how}", die)
        kept().on(f"/mortal/{how}/head", die, at="head")

    def partly(data):
        def handler(request, link):
            if not getattr(link, "is_used", False):
                return number(request, link)
            link.send(data)
            link.close()
            return None
        return handler

    kept().on("/partly/line", partly(b"HTTP/1.1 200 OK\r\nContent-Le"))
    kept().on("/partly/byte", partly(b"H"))
    kept().on("/partly/interim", partly(head("HTTP/1.1 103 Early Hints", "Link: </a>")))
    kept().on("/partly/content", partly(head("HTTP/1.1 200 OK", "Content-Length: 10") + b"12345"))


def race(request, method="GET"):
    """The answer to a request over a used connection that dies; and how often it was sent."""
    mortal()
    link_used()
    kept().forget()
    retries = metric("upstream_retries_total")
    with client() as c:
        response = c.ask(request, method)
    return response, len(kept().heads), int(metric("upstream_retries_total") - retries)


@test("an idempotent request without content is sent once more, on a new connection")
def _():
    for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PUT", "TRACE"):
        for how in ("close", "reset"):
            response, sent, retries = race(get(f"/mortal/{how}", method=method), method)
            equal((response.status, sent, retries), (200, 2, 1), f"{method}, {how}")


@test("a request that may not be repeated is not")
def _():
    for how in ("close", "reset"):
        for request in (get(f"/mortal/{how}", method="POST"), get(f"/mortal/{how}", method="PATCH"),
                        get(f"/mortal/{how}", method="LOCK"),
                        post(f"/mortal/{how}", b""), post(f"/mortal/{how}", b"content"),
                        post(f"/mortal/{how}/head", b"content" * 100000)):
            response, sent, retries = race(request)
            equal((response.status, sent, retries), (502, 1, 0), str(request[:60]))
            check("connection_terminated" in response.get("Proxy-Status"),
                  response.get("Proxy-Status"))


@test("nor is one whose content was sent, whatever its method")
def _():
    for how in ("close", "reset"):
        for target in (f"/mortal/{how}", f"/mortal/{how}/head"):
            response, sent, retries = race(post(target, b"content", method="PUT"))
            equal((response.status, sent, retries), (502, 1, 0), target)


@test("nor is one that got any part of an answer")
def _():
    for what in ("line", "byte", "interim"):
        response, sent, retries = race(get(f"/partly/{what}"))
        equal((response.status, sent, retries), (502, 1, 0), what)
    try:
        response, sent, _ = race(get("/partly/content"))
        check(False, f"a cut answer was completed: {response.start} {response.body}")
    except CutShort as cut:
        check(cut.partial.endswith(b"12345"), f"partial: {cut.partial}")
    equal(len(kept().seen("/partly/content")), 1, "requests")


@test("it is sent once more, not twice")
def _():
    kept().on("/deadly", lambda request, link: link.close())
    response, sent, retries = race(get("/deadly"))
    equal((response.status, sent, retries), (502, 2, 1), "a new connection dies too")


def close_idle():
    """Ends what is idle at the origins; how many idle connections Bascule still has."""
    for link in (*kept().links, *two().links):
        if link.is_open:
            try:
                link.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
    return metric("upstream_connections_idle")


@test("a new connection that dies is no such race")
def _():
    kept().on("/deadly", lambda request, link: link.close())
    until(lambda: close_idle() == 0, "no idle connections")
    kept().forget()
    with client() as c:
        equal(c.ask(get("/deadly")).status, 502, "status")
    equal(len(kept().heads), 1, "requests")


@test("a connection that died while idle is no failure of its endpoint")
def _():
    mortal()
    for _ in range(2):
        link_used(host="fails.test")
        link_used("/mortal/close", host="fails.test")
    groups = {g["name"]: g for g in proxy().status()["groups"]}
    equal((groups["fails"]["endpoints"][0]["up"], groups["fails"]["endpoints"][0]["failed"]),
          (True, 0), "the endpoint")


# ---- what may not go back


@test("after an early answer, with content unread, a connection is not used again")
def _():
    def early(_request, link):
        link.send(answer(b"%d" % link.number, status="403 Forbidden"))
        link.give_up_body()
        link.rest()

    kept().on("/early", early, at="head")
    with client() as c:
        c.send(head("POST /early HTTP/1.1", "Host: kept.test", "Content-Length: 1000000"))
        c.try_send(b"x" * 1000)
        response = c.read()
    equal(response.status, 403, "status")
    early_link = int(response.body)
    check(all(link_used() != early_link for _ in range(5)), "the connection was used again")


@test("an answer that ends the connection, or is of HTTP/1.0, is the connection's last")
def _():
    kept().on("/last", lambda request, link: answer(b"%d" % link.number, "Connection: close"))
    kept().on("/old", lambda request, link: answer(b"%d" % link.number).replace(b"1.1", b"1.0", 1))
    for target in ("/last", "/old"):
        used = link_used(target)
        check(all(link_used() != used for _ in range(3)), f"the connection was used after {target}")


@test("a client that goes away in the middle takes the upstream connection with it")
def _():
    links = []

    def endless(_request, link):
        links.append(link)
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 1000000000"))
        while True:
            link.send(b"x" * 65536)

    kept().on("/endless", endless)
    with client() as c:
        c.send(get("/endless"))
        until(lambda: len(c.received) > 100000 or not c.fill(), "some of it comes")
        c.reset()
    until(lambda: not links[0].is_open, "the upstream is closed")
    link_used()


# ---- the client's connection


@test("ten pipelined requests are answered in order, however long each takes")
def _():
    def slow(request, link):
        time.sleep(0.03 * (int(request.target.rpartition("/")[2]) % 3 == 0))  # some are late
        body = request.target.encode() * (1 + 2000 * (request.target[-1] == "4"))
        return answer_chunked(body) if request.target[-1] in "37" else answer(body)

    for i in range(10):
        kept().on(f"/pipe/{i}", slow)
    with client() as c:
        requests = [post(f"/pipe/{i}", b"up" * i) if i % 4 == 1 else get(f"/pipe/{i}")
                    for i in range(10)]
        c.send(b"".join(requests))
        for i in range(10):
            body = c.read().body
            expected = f"/pipe/{i}".encode() * (2001 if i == 4 else 1)
            check(body == expected, f"answer {i} is {body[:40]}")
        check(c.is_quiet(0.05), "more than ten answers")


@test("a pipeline in which one is refused ends there, and later ones reach no origin")
def _():
    kept().forget()
    with client() as c:
        c.send(get("/pipe-good") + b"GET /pipe-bad HTTP/1.1\r\nHost : kept.test\r\n\r\n" +
               get("/pipe-late"))
        equal(c.read().status, 200, "the first")
        equal(c.read().status, 400, "the second")
        equal(c.rest(), b"", "what follows")
    equal([r.target for r in kept().requests], ["/pipe-good"], "requests at the origin")


@test("a client of HTTP/1.0 keeps its connection if it asks to and the length is known")
def _():
    kept().on("/chunked", answer_chunked(b"abc", b"def"))
    fields = ("Host: kept.test", "Connection: keep-alive")
    with client() as c:
        for i in range(2):
            response = c.ask(head(f"GET /{i} HTTP/1.0", *fields))
            equal((response.status, response.framing, response.get("Connection")),
                  (200, "length", "keep-alive"), "an answer with a length")
        response = c.ask(head("GET /chunked HTTP/1.0", *fields))
        equal((response.framing, response.body, response.get("Connection")),
              ("close", b"abcdef", "close"), "an answer without")
    with client() as c:
        equal(c.ask(head("GET / HTTP/1.0", "Host: kept.test")).get("Connection"), "close",
              "without keep-alive")
        check(c.has_ended(), "the connection is kept")


@test("answers to HEAD and 304 keep their Content-Length, and the connection goes on")
def _():
    kept().on("/page", lambda request, link: head("HTTP/1.1 200 OK", "Content-Length: 12345"))
    kept().on("/same", lambda request, link: head("HTTP/1.1 304 Not Modified", 'ETag: "x"',
                                                  "Content-Length: 12345"))
    with client() as c:
        equal(c.ask(get("/page", method="HEAD"), "HEAD").get("Content-Length"), "12345", "HEAD")
        equal(c.ask(get("/same")).get("Content-Length"), "12345", "304")
        equal(c.ask(get("/same", method="HEAD"), "HEAD").get("Content-Length"), "12345", "both")
        equal(c.ask(get("/")).status, 200, "the next answer")


@test("an answer without Date is given one, and one that has it keeps it")
def _():
    date = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\Z"
    old = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
    kept().on("/dated", answer(b"", old))
    kept().on("/undated-error", answer(b"", status="500 Internal Server Error"))
    with client() as c:
        for target in ("/", "/undated-error"):
            found = c.ask(get(target)).get("Date")
            check(found and re.match(date, found), f"Date of {target}: {found}")
        equal(c.ask(get("/dated")).all("Date"), [old[6:]], "Date of the origin")
        check(re.match(date, c.ask(get("/%zz")).get("Date")), "Date of an error page")


main()
