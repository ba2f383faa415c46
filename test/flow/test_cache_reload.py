# SPDX-License-Identifier: BSD-2-Clause
"""The cache over reloads, fewer threads and the end: what is stored stays, who waits is served
(cache/store.h, modes/fetch.c)."""

import threading

from bascule_flow import REVERSE, Daemon, Origin, check, equal, main, once, test
from caching import Front, Page, Trickle, is_hit, outcome
from peers import until

CONF = """
workers = @WORKERS@;
stop_timeout = "@STOP@";
@STORES@
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "all"; default = true; group = "origin"; @CACHE@ @MORE@ }
);
"""
STORES = 'stores = ( { name = "main"; memory = "@MEMORY@"; max_memory_object = "256K"; } );'
DEFAULTS = {"WORKERS": 4, "STOP": "20s", "MORE": "", "CACHE": 'cache = "main";',
            "STORES": STORES.replace("@MEMORY@", "64M")}
WEB = Front(REVERSE, "HTTP/1.1")
WEB2 = Front(REVERSE, "HTTP/2")
FRESH = "Cache-Control: max-age=600"

origin = once(Origin)


def start(**values):
    return Daemon(CONF, ORIGIN=origin().port, **{**DEFAULTS, **values})


def ask(daemon, it, front=WEB):
    return front.ask(daemon, 0, getattr(it, "path", it), host="site.test")


def hits(daemon, pages):
    """How many of them are hits; each is checked."""
    count = 0
    for it in pages:
        found = ask(daemon, it)
        equal(found.body[:10], b"x" * 10, "content")
        count += "hit" in outcome(found)
    return count


@test("a reload keeps what is stored, also with another configuration of everything else")
def _():
    with start() as daemon:
        pages = [Page(origin(), FRESH, body="x" * 1000) for _ in range(20)]
        hits(daemon, pages)
        for changes in ({}, {"WORKERS": 2},
                        {"WORKERS": 4, "STOP": "10s"}):
            daemon.reload(CONF, **changes)
            equal(hits(daemon, pages), 20, f"hits after a reload with {changes}")
        equal([it.count for it in pages], [1] * 20, "requests at the origin")


@test("less memory keeps less, and more memory keeps what there is")
def _():
    with start() as daemon:
        pages = [Page(origin(), FRESH, body="x" * 100_000) for _ in range(60)]
        hits(daemon, pages)
        equal(hits(daemon, pages), 60, "hits with room for all")
        daemon.reload(CONF, STORES=STORES.replace("@MEMORY@", "2M"))
        found = hits(daemon, pages)
        check(found < 60, f"{found} hits, where there is room for 20")
        daemon.reload(CONF, STORES=STORES.replace("@MEMORY@", "64M"))
        hits(daemon, pages)
        equal(hits(daemon, pages), 60, "hits with room for all again")


@test("a store can be taken away and brought back, under load")
def _():
    with start() as daemon:
        pages = [Page(origin(), FRESH, body="x" * 1000) for _ in range(10)]
        over = threading.Event()
        failures = []
        rounds = [0]

        def load():
            try:
                while not over.is_set():
                    for it in pages:
                        equal(ask(daemon, it).body, b"x" * 1000, "content")
                    rounds[0] += 1
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")

        address = daemon.address("web")
        thread = threading.Thread(target=load)
        thread.start()
        try:
            for _ in range(4):
                for without in (True, False):
                    now = rounds[0]
                    until(lambda now=now: rounds[0] > now or failures, "a round of requests")
                    daemon.reload(CONF, STORES="" if without else DEFAULTS["STORES"],
                                  CACHE="" if without else DEFAULTS["CACHE"])
                    equal(daemon.address("web"), address, "address")
        finally:
            over.set()
            thread.join()
        equal(failures, [], "failures")
        hits(daemon, pages)
        equal(hits(daemon, pages), 10, "hits in the end")
        daemon.reload(CONF, STORES="", CACHE="")
        equal(ask(daemon, pages[0]).has("Cache-Status"), False, "Cache-Status without a cache")


def readers(daemon, it, count):
    askers = [(WEB2 if n % 3 == 0 else WEB).open(daemon) for n in range(count)]
    return [(asker, asker.start(0, it.path, host="site.test")) for asker in askers]


def read_all(waiting):
    found = [asker.stream.answer(stream) if stream is not None else asker.stream.read()
             for asker, stream in waiting]
    for asker, _ in waiting:
        asker.close()
    return found


def collapsed(daemon):
    return daemon.metrics()["bascule_cache_collapsed_total"]


@test("a reload in the middle of a fetch disturbs nobody who reads it, or joins it later")
def _():
    with start() as daemon:
        for length in (30, None):
            it = Trickle(origin(), FRESH, length=length)
            waiting = readers(daemon, it, 12)
            it.wait()
            daemon.reload(CONF, WORKERS=4)
            it.head()
            it.piece(b"x" * 10)
            daemon.reload(CONF, WORKERS=4, STORES=STORES.replace("@MEMORY@", "32M"))
            waiting += readers(daemon, it, 12)
            it.piece(b"y" * 10)
            daemon.reload(CONF, STORES=DEFAULTS["STORES"])
            it.piece(b"z" * 10)
            it.end()
            equal({bytes(r.body) for r in read_all(waiting)},
                  {b"x" * 10 + b"y" * 10 + b"z" * 10}, "content")
            equal(it.count, 1, "requests at the origin")
            is_hit(ask(daemon, it))


@test("fewer threads, while fetches go on and readers wait, disturb nobody")
def _():
    with start() as daemon:
        for n in range(3):
            trickles = [Trickle(origin(), FRESH, length=20 if i % 2 else None) for i in range(6)]
            before = collapsed(daemon)
            waiting = [readers(daemon, it, 10) for it in trickles]
            until(lambda before=before: collapsed(daemon) == before + 54, "all wait")
            for it in trickles:
                it.wait()
            for it in trickles[:3]:
                it.head()
                it.piece(b"x" * 10)
            daemon.reload(CONF, WORKERS=1)
            later = [readers(daemon, it, 3) for it in trickles]
            for it in trickles[3:]:
                it.head()
                it.piece(b"x" * 10)
            for it in trickles:
                it.piece(b"y" * 10)
                it.end()
            for group in waiting + later:
                equal({bytes(r.body) for r in read_all(group)}, {b"x" * 10 + b"y" * 10}, "content")
            equal([it.count for it in trickles], [1] * 6, "requests at the origin")
            for it in trickles:
                is_hit(ask(daemon, it))
            daemon.reload(CONF, WORKERS=4)


@test("its store is taken away in the middle of a fetch: who reads it gets all of it")
def _():
    with start() as daemon:
        it = Trickle(origin(), FRESH, length=20)
        waiting = readers(daemon, it, 6)
        it.wait()
        it.head()
        it.piece(b"x" * 10)
        daemon.reload(CONF, STORES="", CACHE="")
        it.piece(b"y" * 10)
        it.end()
        equal({bytes(r.body) for r in read_all(waiting)}, {b"x" * 10 + b"y" * 10}, "content")


@test("a daemon that is told to stop finishes fetches that somebody reads")
def _():
    with start() as daemon:
        it = Trickle(origin(), FRESH, length=20)
        waiting = readers(daemon, it, 6)
        it.wait()
        it.head()
        it.piece(b"x" * 10)
        for asker, stream in waiting:
            if stream is None:
                asker.stream.line("a status line")
                asker.stream.buffer[:0] = b"HTTP/1.1 200 OK\r\n"
            else:
                asker.stream.head(stream)
        ended = []
        thread = threading.Thread(target=lambda: ended.append(daemon.stop()))
        thread.start()
        daemon.wait_notice("STOPPING=1")
        it.piece(b"y" * 10)
        it.end()
        equal({bytes(r.body) for r in read_all(waiting)}, {b"x" * 10 + b"y" * 10}, "content")
        thread.join()
        equal(ended, [0], "exit status")


@test("a fetch that nobody reads, and one that never ends, do not keep it from stopping")
def _():
    with start(STOP="300ms") as daemon:
        stale = Page(origin(), "Cache-Control: max-age=1, stale-while-revalidate=600", "Age: 9",
                     etag='"one"')
        ask(daemon, stale)
        stale.hold()
        is_hit(ask(daemon, stale))  # is fetched behind
        stale.wait_count(2)
        flowing, asking = (Trickle(origin(), FRESH, length=20) for _ in range(2))
        waiting = readers(daemon, flowing, 6) + readers(daemon, asking, 6)
        flowing.wait()
        asking.wait()
        flowing.head()
        flowing.piece(b"x" * 10)
        equal(daemon.stop(), 0, "exit status")
        for asker, _ in waiting:
            asker.close()
        for it in (flowing, asking):
            it.done.set()
        stale.go()


main()
