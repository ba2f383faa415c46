# SPDX-License-Identifier: BSD-2-Clause
"""Many ask for the same at once: one fetch, which all read as it arrives, each at its own speed
(cache/fill.h, modes/look_up.c, modes/fetch.c)."""

import itertools
import os
import threading

from bascule_flow import (FORWARD, REVERSE, WAIT, CutShort, Daemon, Origin, answer, check, equal,
                          main, once, one_of, test)
from caching import Front, Page, Trickle, is_hit, outcome, test_fronts, unique
from peers import until

CONF = """
workers = 4;
forward_to_sites = false;
stores = ( { name = "main"; memory = "64M"; max_memory_object = "4M"; window = "256K"; @STORE@ } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "main"; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "all"; default = true; group = "origin"; cache = "main"; routes = (
        { path_prefix = "/each/"; cache = { store = "main"; collapse = false; }; },
        { path_prefix = "/finish/"; cache = { store = "main"; finish = true; }; }
    ); }
);
"""
WEB = Front(REVERSE, "HTTP/1.1")
WEB2 = Front(REVERSE, "HTTP/2")
OUT = Front(FORWARD, "HTTP/1.1")
FRESH = "Cache-Control: max-age=60"

origin = once(Origin)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, STORE="")


def ask(front, it, *fields):
    return front.ask(proxy(), origin().port, getattr(it, "path", it), *fields)


def collapsed():
    return proxy().metrics()["bascule_cache_collapsed_total"]


class Crowd:
    """Clients that have asked for the same, and not read yet."""

    def __init__(self, front, path, count):
        """HTTP/2: several share a connection."""
        per = 30 if front.protocol == "HTTP/2" else 1
        self.front = front
        self.askers = [front.open(proxy()) for _ in range((count + per - 1) // per)]
        self.streams = [(asker, asker.start(origin().port, path))
                        for asker in (self.askers[n // per] for n in range(count))]

    def read(self):
        """The responses of all."""
        return [asker.stream.answer(stream) if self.front.protocol == "HTTP/2"
                else asker.stream.read() for asker, stream in self.streams]

    def close(self):
        for asker in self.askers:
            asker.close()


@test_fronts("300 who ask at once make one request upstream, and get all of it")
def _(front):
    it = Page(origin(), FRESH, body="x" * 70000 + "@N@")
    it.hold()
    before = collapsed()
    crowd = Crowd(front, it.path, 300)
    it.wait_count(1)
    until(lambda: collapsed() == before + 299, "299 wait for the fetch of another")
    it.go()
    found = crowd.read()
    equal({(r.status, len(r.body), r.body[-1:]) for r in found}, {(200, 70001, b"1")}, "answers")
    equal(it.count, 1, "requests at the origin")
    equal(sum("collapsed" in outcome(r) for r in found), 299, "who are told that they waited")
    equal({outcome(r).get("fwd") for r in found}, {"uri-miss"}, "why they waited")
    crowd.close()
    is_hit(ask(front, it))


@test("both protocols, and all threads, read the same fetch as it arrives")
def _():
    for length in (60, None):
        it = Trickle(origin(), FRESH, length=length)
        crowds = [Crowd(WEB, it.path, 1)]
        it.wait()
        crowds += [Crowd(WEB, it.path, 20), Crowd(WEB2, it.path, 20)]
        it.head()
        sent = b""
        for n in range(3):
            sent += b"%d" % n * 20
            it.piece(b"%d" % n * 20)
            for crowd in crowds:  # each has the piece before the next is sent
                for asker, stream in crowd.streams:
                    if stream is not None:
                        answer_ = asker.stream.head(stream)
                        asker.stream.until(lambda a=answer_: bytes(a.body) == sent, "a piece")
                    else:
                        last = b"%d" % n * 20
                        while last not in asker.stream.buffer:
                            check(asker.stream.fill(), "a piece comes")
        late = Crowd(WEB, it.path, 1)
        while sent[-20:] not in late.askers[0].stream.buffer:
            check(late.askers[0].stream.fill(), "who comes late gets what there is")
        it.end()
        for crowd in (*crowds, late):
            equal({bytes(r.body) for r in crowd.read()}, {sent}, "content")
            crowd.close()
        equal(it.count, 1, "requests at the origin")


@test("when the answer turns out to be private, each gets one of its own")
def _():
    for front in (WEB, WEB2, OUT):
        numbers = itertools.count(1)

        def serve(_request, _link, numbers=numbers):
            return answer(b"for number %d" % next(numbers), "Cache-Control: private")

        it = Trickle(origin(), other=serve, length=9)
        before = collapsed()
        crowd = Crowd(front, it.path, 30)
        it.wait()
        until(lambda before=before: collapsed() == before + 29, "29 wait")
        it.fields = ["Cache-Control: private"]
        it.head()
        it.piece(b"the first")
        it.end()
        bodies = [bytes(r.body) for r in crowd.read()]
        equal(sorted(bodies), sorted([b"the first"] + [b"for number %d" % n for n in range(1, 30)]),
              "what each got")
        crowd.close()


@test("an answer with a cookie, without freshness, or too long to be stored is nobody else's")
def _():
    for fields, size in (((FRESH, "Set-Cookie: a=b"), 10), (("X-None: x",), 10),
                         (("Cache-Control: no-cache", 'ETag: "a"'), 10), ((FRESH,), 5_000_000)):
        it = Page(origin(), *fields, body="x" * size + "@N@")
        it.hold()
        crowd = Crowd(WEB, it.path, 5)
        it.wait_count(1)
        it.go()
        bodies = sorted(bytes(r.body[size:]) for r in crowd.read())
        equal(bodies, sorted(b"%d" % n for n in range(1, 6)), f"answers with {fields}")
        crowd.close()


@test("variants that turn out to differ are fetched each")
def _():
    it = Page(origin(), FRESH, "Vary: X-Kind")
    it.hold()
    askers = [WEB.open(proxy()) for _ in range(6)]
    before = collapsed()
    for n, asker in enumerate(askers):
        asker.start(origin().port, it.path, f"X-Kind: {n % 3}")
    until(lambda: collapsed() == before + 5, "five wait")
    it.go()
    bodies = [asker.stream.read().body for asker in askers]
    for kind in range(3):
        kinds = {request.get("X-Kind") for n, request in enumerate(it.requests, 1)
                 if b"number %d" % n in (bodies[kind], bodies[kind + 3])}
        equal(kinds, {str(kind)}, f"whose answers kind {kind} got")
    for asker in askers:
        asker.close()


@test("a fetch that fails before its head is begun again by the next who waits")
def _():
    for front in (WEB, WEB2):
        it = Trickle(origin(), other=lambda request, link: answer(b"second", FRESH))
        before = collapsed()
        crowd = Crowd(front, it.path, 10)
        it.wait()
        until(lambda before=before: collapsed() == before + 9, "nine wait")
        it.cut("reset")
        found = crowd.read()
        statuses = sorted(r.status for r in found)
        one_of(statuses[-1], (200, 502), "status of who asked first")
        equal(statuses[:9], [200] * 9, "status of the others")
        equal({bytes(r.body) for r in found if r.status == 200}, {b"second"}, "content")
        check(it.count <= 3, f"{it.count} requests at the origin")
        crowd.close()


@test("a fetch that is cut in its content is cut for all, and nothing of it stays")
def _():
    for length in (100, None):
        it = Trickle(origin(), FRESH, length=length,
                     other=lambda request, link: answer(b"second", FRESH))
        before = collapsed()
        crowd = Crowd(WEB, it.path, 10)
        it.wait()
        until(lambda before=before: collapsed() == before + 9, "nine wait")
        it.head()
        it.piece(b"x" * 50)
        for asker, _ in crowd.streams:
            while b"x" * 50 not in asker.stream.buffer:
                check(asker.stream.fill(), "the first piece comes")
        it.cut()
        for asker, _ in crowd.streams:
            try:
                asker.stream.read()
                check(False, "a part was given as the whole")
            except CutShort:
                pass
        equal(ask(WEB, it).body, b"second", "what comes afterwards")
        crowd.close()


@test("when the first leaves before the head, the others get theirs")
def _():
    it = Page(origin(), FRESH)
    it.hold()
    first = WEB.open(proxy())
    first.start(origin().port, it.path)
    it.wait_count(1)
    before = collapsed()
    crowd = Crowd(WEB, it.path, 5)
    until(lambda: collapsed() == before + 5, "five wait")
    aborts = proxy().metrics()["bascule_client_aborts_total"]
    first.reset()
    until(lambda: proxy().metrics()["bascule_client_aborts_total"] > aborts, "it is noticed")
    it.go()
    equal({bytes(r.body) for r in crowd.read()}, {b"number 1"}, "content")
    equal(it.count, 1, "requests at the origin")
    crowd.close()


@test("without collapse each asks, and with finish the fetch goes on without readers")
def _():
    it = Page(origin(), FRESH, path=unique("each/page"))
    it.hold()
    crowd = Crowd(WEB, it.path, 4)
    it.wait_count(4)
    it.go()
    equal(len({bytes(r.body) for r in crowd.read()}), 4, "different answers")
    crowd.close()
    it = Page(origin(), FRESH, path=unique("finish/page"))
    it.hold()
    aborts = proxy().metrics()["bascule_client_aborts_total"]
    crowd = Crowd(WEB, it.path, 1)
    it.wait_count(1)
    crowd.askers[0].reset()
    until(lambda: proxy().metrics()["bascule_client_aborts_total"] > aborts, "the client is gone")
    it.go()
    until(lambda: "hit" in outcome(ask(WEB, it)), "it is stored")
    equal(it.count, 1, "requests at the origin")


def slow_and_fast(daemon, size, length):
    """One reads nothing, others read all of a long answer meanwhile."""
    blob = os.urandom(size)
    it = Trickle(origin(), FRESH, length=size if length else None)
    with WEB.open(daemon) as slow:
        slow.start(origin().port, it.path)
        it.wait()
        it.head()
        it.piece(blob[:1000])
        while blob[:1000] not in slow.stream.buffer:
            check(slow.stream.fill(), "the slow one begins")
        fast = [WEB.open(daemon) for _ in range(3)]
        for asker in fast:
            asker.start(origin().port, it.path)
        sending = threading.Thread(target=lambda: (it.piece(blob[1000:]), it.end()))
        sending.start()
        results = []

        def read(asker):
            results.append(asker.stream.read().body == blob)

        reading = [threading.Thread(target=read, args=(asker,)) for asker in fast]
        for thread in reading:
            thread.start()
        for thread in reading:
            thread.join()
        sending.join()
        equal(results, [True] * 3, "whether each fast one got all, while the slow one read nothing")
        equal(slow.stream.read().body == blob, True, "whether the slow one got all in the end")
        for asker in fast:
            asker.close()
    equal(it.count, 1, "requests at the origin")


@test("what is fetched at once takes a quarter of the store's memory; more is passed on unkept")
def _():
    size = 4_000_000
    its = [Trickle(origin(), FRESH, length=size) for _ in range(5)]
    askers = []
    before = proxy().metrics()["bascule_limits_hit_total"]
    for it in its:
        asker = WEB.open(proxy())
        askers.append(asker)
        asker.start(origin().port, it.path)
        it.wait()
        it.head()
        it.piece(b"begin")
        while b"begin" not in asker.stream.buffer:
            check(asker.stream.fill(), "it begins")
    equal([b"stored" in asker.stream.buffer for asker in askers], [True] * 4 + [False],
          "which are to be stored")
    equal(proxy().metrics()["bascule_limits_hit_total"] - before, 1, "limits hit")
    for it, asker in zip(its, askers):
        sending = threading.Thread(target=lambda it=it: (it.piece(b"x" * (size - 5)), it.end()))
        sending.start()
        equal(len(asker.stream.read().body), size, "bytes, stored or not")
        sending.join()
        asker.close()
    it = Page(origin(), FRESH)
    ask(WEB, it)
    is_hit(ask(WEB, it))  # there is room again


@test("who reads slowly does not hold up who reads fast: kept in memory")
def _():
    slow_and_fast(proxy(), 4_000_000, True)
    slow_and_fast(proxy(), 4_000_000, False)


@test("who reads slowly does not hold up who reads fast: kept on disk")
def _():
    with Daemon(CONF, ORIGIN=origin().port,
                STORE='path = "@DIR@/store"; disk = "64M"; segment = "4M"; min_free = "0";'
                ) as daemon:
        slow_and_fast(daemon, 12_000_000, True)
        slow_and_fast(daemon, 12_000_000, False)


@test("thousands of readers come and go; what stays gets all of it")
def _():
    size = 300_000
    blob = os.urandom(size)
    it = Trickle(origin(), FRESH, length=size)
    with WEB.open(proxy()) as steady:
        steady.start(origin().port, it.path)
        it.wait()
        it.head()
        failures = []

        def come_and_go(n):
            try:
                for i in range(250):
                    front = WEB2 if (i + n) % 5 == 0 else WEB
                    with front.open(proxy()) as asker:
                        asker.start(origin().port, it.path)
                        if i % 3:
                            asker.stream.fill()
                        asker.reset()
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")

        threads = [threading.Thread(target=come_and_go, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for i in range(0, size - 1000, 1000):
            it.piece(blob[i:i + 1000])
        for thread in threads:
            thread.join()
        it.piece(blob[(size - 1) // 1000 * 1000:])
        it.end()
        equal(failures, [], "failures of those who come and go")
        equal(steady.stream.read().body == blob, True, "whether who stayed got all")
    equal(it.count, 1, "requests at the origin")
    equal(is_hit(ask(WEB, it)).body == blob, True, "whether all of it was stored")


@test("those who leave cannot leave any number of fetches behind")
def _():
    count = 300
    may_go = threading.Event()
    path = unique("finish/page")

    def serve(_request, _link):
        may_go.wait(6 * WAIT)
        return answer(b"data", FRESH)

    for i in range(count):
        origin().on(f"{path}-{i}", serve)
    until(lambda: proxy().metrics()["bascule_exchanges_open"] == 0, "nobody else is there")
    clients = []
    for i in range(count):
        clients.append(WEB.open(proxy()))
        clients[-1].start(0, f"{path}-{i}")
    origin().wait_for(lambda: sum(len(origin().seen(f"{path}-{i}")) for i in range(count)) == count,
                      "all are asked for")
    aborts = proxy().metrics()["bascule_client_aborts_total"]
    for client in clients:
        client.reset()
    until(lambda: proxy().metrics()["bascule_client_aborts_total"] >= aborts + count,
          "all are gone")
    may_go.set()
    if_cached = "Cache-Control: only-if-cached"
    until(lambda: ask(WEB, f"{path}-0", if_cached).status == 200, "the first is finished")
    stored = [ask(WEB, f"{path}-{i}", if_cached).status for i in range(count)]
    check(stored.count(200) <= 256, f"{stored.count(200)} are finished")


main()
