# SPDX-License-Identifier: BSD-2-Clause
"""Attacks: with the shipped defaults everyone else is served meanwhile, and memory comes back."""

import contextlib
import resource
import select
import socket
import threading
import time

from bascule_flow import (FACTOR, WAIT, Client, Daemon, Origin, Skip, Stream, answer, check, equal,
                          get, head, main, once, one_of, test)

# Nothing here is tuned: an attacker meets what everybody has.
CONF = """
workers = @WORKERS@;
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
groups = ( { name = "origin"; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; routes = (
    { path = "/here"; redirect = { to = "/there"; }; } ); } );
"""

PROMPT = 2.0 * FACTOR  # seconds in which a decent request has to be answered

origin = once(Origin)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, WORKERS=2)


@once
def descriptors():
    """How many we may have, after asking for all."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def need_descriptors(count):
    if descriptors() < count:
        raise Skip(f"needs {count} descriptors, and may have {descriptors()}")


def client(daemon=None):
    return Client((daemon or proxy()).address("web"))


def memory(daemon):
    """What the worker process holds, in KiB."""
    with open(f"/proc/{daemon.children()[0]}/smaps_rollup", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    return int(fields["Pss"].split()[0])


def is_sanitized(daemon):
    with open(f"/proc/{daemon.children()[0]}/maps", encoding="utf-8") as file:
        text = file.read()
    return "libasan" in text or "libtsan" in text


def narrow(address):
    """A connection that takes little without reading, as one across a network does."""
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)  # ours are 64 KiB long
    sock.settimeout(WAIT)
    sock.connect((host, int(port)))
    return sock


def until(question, words, wait=WAIT):
    end = time.monotonic() + wait
    while not question():
        check(time.monotonic() < end, f"{words}: not within {wait:g} s")
        time.sleep(0.02)


def open_connections(daemon):
    return daemon.metrics()["bascule_connections_open"]


def serves_promptly(daemon, count=20):
    """Decent requests, each on a connection of its own, are answered in time. One that was
    late is asked again, since the machine may have held up everybody, but not every time."""
    late = 0
    while count > 0:
        start = time.monotonic()
        with client(daemon) as c:
            equal(c.ask(get("/decent")).status, 200, "status of a decent request")
        took = time.monotonic() - start
        late = 0 if took < PROMPT else late + 1
        count -= took < PROMPT
        check(late < 4, f"a decent request took {took:.1f} s")


@contextlib.contextmanager
def memory_returns(daemon, at_most_kib=8192):
    """Once all connections are closed, memory is near what it was."""
    serves_promptly(daemon)
    before = memory(daemon)
    yield
    until(lambda: open_connections(daemon) == 0, "all connections are closed")
    serves_promptly(daemon)
    if not is_sanitized(daemon):
        until(lambda: memory(daemon) - before < at_most_kib,
              f"it holds no more than {at_most_kib} KiB more than before")


# ---- many at a time


@test("1,000 slow senders, 1,000 slow readers and 3,000 idle ones delay nobody", timeout=120,
      heavy=True)
def _():
    need_descriptors(16000)
    body = answer(bytes(1 << 20))

    def big(_request, link):
        link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        link.wait = 600
        link.send(body)

    origin().on("/big", big)
    with memory_returns(proxy(), 3072), contextlib.ExitStack() as stack:
        everybody = [narrow(proxy().address("web")) for _ in range(5000)]
        stack.callback(lambda: [sock.close() for sock in everybody])
        senders, readers, idle = everybody[:1000], everybody[1000:2000], everybody[2000:]
        for sock in idle:
            sock.sendall(get("/here"))
        for sock in idle:
            equal(Stream(sock).line("a status line"), b"HTTP/1.1 302 Found", "first answer")
        for sock in readers:
            sock.sendall(get("/big"))
        for sock in senders:
            sock.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        origin().wait_for(lambda: sum(r.target == "/big" for r in origin().heads) == 1000,
                          "all slow readers' requests", 30 * FACTOR)
        for _ in range(5):
            for sock in senders:
                with contextlib.suppress(OSError):  # it may have got its 408
                    sock.send(b"x")
            serves_promptly(proxy(), 10)
        found = proxy().metrics()
        check(found["bascule_exchanges_open"] > 900, "the readers were not slow")
        check(found["bascule_connections_open"] > 3900, "they were not kept up")


@test("5,000 connections in short order leave nothing behind")
def _():
    ways = (
        lambda c: None,                                    # nothing at all
        lambda c: c.send(b"GET / HT"),                     # a beginning
        lambda c: c.ask(get("/churn", "Connection: close")),
        lambda c: c.send(get("/churn")),                   # not waiting for the answer
        lambda c: c.send(b"\x16\x03\x01\x02\x00\x01" + bytes(300)),
    )

    def churn(first):
        for i in range(first, 5000, 4):
            try:
                with client() as c:
                    ways[i % len(ways)](c)
                    if i % 3 == 0:
                        c.reset()
            except (ConnectionResetError, BrokenPipeError):
                pass

    with memory_returns(proxy()):
        before = proxy().metrics()["bascule_connections_accepted_total"]
        threads = [threading.Thread(target=churn, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            serves_promptly(proxy(), 3)
        until(lambda: proxy().metrics()["bascule_connections_accepted_total"] - before >= 5000,
              "all connections are accepted")
    until(lambda: proxy().metrics()["bascule_exchanges_open"] == 0, "no exchange is left open")


# ---- on one connection


@test("20,000 header lines are 431")
def _():
    with memory_returns(proxy()):
        for _ in range(20):
            with client() as c:
                c.try_send(head("GET /many HTTP/1.1", "Host: a",
                                *[f"X-{i}: y" for i in range(20000)]))
                equal(c.read().status, 431, "status")
                equal(c.rest(), b"", "what follows")
    check(not any(r.target == "/many" for r in origin().heads), "it reached the origin")


@test("a head without an end is refused, whatever it is made of")
def _():
    start = b"GET /endless HTTP/1.1\r\nHost: a\r\n"
    for first, piece, statuses in ((b"", b"G" * 4096, (400, 414)), (b"GET /", b"e" * 4096, (414,)),
                                   (start, b"X: y\r\n" * 700, (431,)),
                                   (start + b"X: ", b"y" * 4096, (431,)),
                                   (start, b"y" * 4096, (400, 431)),
                                   (b"", b"\r\n" * 2048, (400,)), (b"", b"\0" * 4096, (400,))):
        with client() as c:
            sent = 0
            c.send(first)
            while not select.select([c.sock], [], [], 0)[0] and c.try_send(piece):
                sent += len(piece)
                check(sent < 64 << 20, f"{sent} bytes were taken without a word")
            one_of(c.read().status, statuses, f"status of {piece[:8]!r} ...")
        serves_promptly(proxy(), 1)
    check(not any(r.target.startswith("/endless") for r in origin().heads),
          "it reached the origin")


@test("a body of the smallest chunks passes, and delays nobody")
def _():
    count = 200000
    body = b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    with client() as c:
        sender = threading.Thread(target=c.try_send, args=(
            head("POST /crumbs HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + body,))
        sender.start()
        serves_promptly(proxy(), 5)
        sender.join(WAIT)
        equal(c.read().status, 200, "status")
    equal(len(origin().wait_request("/crumbs").body), count, "bytes at the origin")


@test("10,000 pipelined requests are answered in order, and delay nobody")
def _():
    count = 10000
    with memory_returns(proxy()), client() as c:
        sender = threading.Thread(target=c.try_send, args=(get("/here") * count + get("/last"),))
        sender.start()
        found = 0

        def read():
            nonlocal found
            while found < count and c.read().status == 302:
                c.received.clear()
                found += 1

        reader = threading.Thread(target=read)
        reader.start()
        serves_promptly(proxy(), 10)
        reader.join(50 * FACTOR)
        sender.join(WAIT)
        equal(found, count, "answers")
        equal(c.read().status, 200, "status of the last request")


@test("pipelined requests whose answers nobody reads are held back")
def _():
    with memory_returns(proxy()), client() as c:
        c.wait = 1.0
        requests = get("/here") * 1000
        sent = 0
        while c.try_send(requests) and sent < 64 << 20:
            sent += len(requests)
        check(sent < 64 << 20, "it takes requests without end")
        serves_promptly(proxy(), 5)


# ---- large streams


def big_stream(daemon, way, size):
    """One big answer; how many small requests were answered meanwhile."""
    block = bytes(1 << 20)
    received = 0

    def send(_request, link):
        if way == "length":
            link.send(head("HTTP/1.1 200 OK", f"Content-Length: {size}"))
            for _ in range(size >> 20):
                link.send(block)
        else:
            link.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
            for _ in range(size >> 20):
                link.send(b"100000\r\n" + block + b"\r\n")
            link.send(b"0\r\n\r\n")

    def receive(sock):
        nonlocal received
        room = bytearray(1 << 20)
        while (got := sock.recv_into(room)) > 0:
            received += got

    origin().on("/stream-" + way, send)
    with client(daemon) as big:
        big.send(get("/stream-" + way, "Connection: close"))
        reader = threading.Thread(target=receive, args=(big.sock,))
        reader.start()
        count = 0
        while reader.is_alive():
            serves_promptly(daemon, 1)
            count += 1
        reader.join()
    check(received > size, f"{received} bytes came of {size}")
    return count


@test("a stream of 1 GB does not delay small requests on the same thread", timeout=120,
      timely=True)
def _():
    with Daemon(CONF, ORIGIN=origin().port, WORKERS=1) as daemon:
        size = 1 << 30 if FACTOR == 1 and not is_sanitized(daemon) else 1 << 28
        for way in ("length", "chunks"):
            count = big_stream(daemon, way, size)
            check(count >= 5, f"only {count} small requests were answered meanwhile")


main()
