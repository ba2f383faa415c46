# SPDX-License-Identifier: BSD-2-Clause
"""Parts of long content: in slices that are fetched once each, completed, combined, and read
while the whole arrives (modes/slices.c, modes/fetch_deliver.c, modes/keep_passing.c, cache/part.c;
RFC 9110 section 14, RFC 9111 sections 3.3 and 3.4)."""

import functools
import json
import os
import random
import re
import tempfile
import threading

from bascule_flow import (FORWARD, REVERSE, WAIT, CutShort, Daemon, Origin, check, equal, head,
                          main, once, test)
from caching import Front, Trickle, is_forwarded, is_hit, outcome, test_fronts, unique
from peers import until

CONF = """
workers = 2;
forward_to_sites = false;
stores = ( { name = "main"; memory = "128M"; max_memory_object = "1M"; window = "256K"; @STORE@ } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = { store = "main"; slice = "1M"; }; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "all"; default = true; group = "origin"; cache = "main"; routes = (
        { path_prefix = "/film/"; cache = { store = "main"; slice = "1M";
                                           purge_from = [ "127.0.0.0/8" ]; }; }
    ); }
);
"""
MB = 1024 * 1024
WEB = Front(REVERSE, "HTTP/1.1")
OUT = Front(FORWARD, "HTTP/1.1")
FRESH = "Cache-Control: max-age=600"
STALE = ("Cache-Control: max-age=10", "Age: 100")  # on arrival

origin = once(Origin)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, STORE="")


@functools.cache
def content(length, seed=1):
    """Bytes of which no two ranges are alike."""
    return random.Random(seed).randbytes(length)


class Film:
    """Long content that an origin sends in ranges; what was asked for is remembered.

    etag None: none. has_ranges False: it does not know Range. cuts: so many of the next answers
    break off. may_go: until then answers wait.
    """

    def __init__(self, length=5 * MB, etag='"1"', fields=(FRESH,), path=None):
        self.path = path or unique("film/long")
        self.data, self.etag, self.fields = content(length), etag, list(fields)
        self.has_ranges = self.obeys_if_range = True
        self.cuts = 0
        self.status = None
        self.asked = []
        self.requests = []
        self.may_go = threading.Event()
        self.may_go.set()
        origin().on(self.path, self.serve)

    @property
    def count(self):
        return len(self.asked)

    def slices(self):
        """The numbers of the slices asked for, in order."""
        return sorted(int(re.match(r"bytes=(\d+)-", r)[1]) // MB for r in self.asked)

    def serve(self, request, link):
        value = request.get("Range")
        with origin().changed:
            self.asked.append(value)
            self.requests.append(request)
            origin().changed.notify_all()
        check(self.may_go.wait(4 * WAIT), "the origin may go on")
        if self.status is not None:
            return head(f"HTTP/1.1 {self.status}", "Content-Length: 0")
        fields = [*self.fields, *([f"ETag: {self.etag}"] if self.etag else [])]
        if self.etag and self.etag in (request.get("If-None-Match") or ""):
            return head("HTTP/1.1 304 Not Modified", *fields)
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", value or "")
        is_other = self.obeys_if_range and request.get("If-Range") not in (None, self.etag)
        if not self.has_ranges or not match or is_other:
            return self.send(link, "200 OK", self.data, *fields)
        first, last = match.groups()
        if not first:
            first, last = len(self.data) - int(last), ""
        first, last = int(first), min(int(last or len(self.data)), len(self.data) - 1)
        if first > last:
            return head("HTTP/1.1 416 Range Not Satisfiable", "Content-Length: 0",
                        f"Content-Range: bytes */{len(self.data)}")
        return self.send(link, "206 Partial Content", self.data[first:last + 1], *fields,
                         f"Content-Range: bytes {first}-{last}/{len(self.data)}")

    def send(self, link, status, data, *fields):
        start = head(f"HTTP/1.1 {status}", f"Content-Length: {len(data)}",
                     f"Accept-Ranges: {'bytes' if self.has_ranges else 'none'}", *fields)
        with origin().changed:
            is_cut = self.cuts > 0
            self.cuts -= is_cut
        link.send(start + data[:len(data) // 2 if is_cut else len(data)])
        if is_cut:
            link.close()


def ask(front, film, *fields, daemon=None, **more):
    return front.ask(daemon or proxy(), origin().port, film.path, *fields, **more)


def kept(front, film, *fields, **more):
    """The answer, as soon as it comes from the store: what is fetched may arrive later than
    what was asked for of it."""
    found = []
    until(lambda: found.append(ask(front, film, *fields, **more)) or "hit" in outcome(found[-1]),
          "what was fetched is stored")
    return found[-1]


def is_part(response, film, first, last):
    """Checks that it is this range, both ends included, and right."""
    equal(response.status, 206, "status")
    equal(response.get("Content-Range"), f"bytes {first}-{last}/{len(film.data)}", "Content-Range")
    check(response.body == film.data[first:last + 1], "the content of the range is right")
    return response


# ---- slices


@test_fronts("seeking in a cold film fetches the slices that are needed, once each")
def _(front):
    film = Film(20 * MB)
    seek = [(0, 99), (10 * MB + 5, 10 * MB + 4004), (19 * MB, 20 * MB - 1)]
    for first, last in seek:
        is_part(ask(front, film, f"Range: bytes={first}-{last}"), film, first, last)
    equal(film.asked, ["bytes=0-1048575", "bytes=10485760-11534335", "bytes=19922944-"],
          "what the origin was asked for")
    equal([r.get("If-Range") for r in film.requests], [None, '"1"', '"1"'], "If-Range")
    for first, last in [*seek, (10 * MB + 777, 10 * MB + 100000)]:
        is_part(kept(front, film, f"Range: bytes={first}-{last}"), film, first, last)
    equal(film.count, 3, "requests at the origin")


@test_fronts("a range over several slices is one answer, made of all of them")
def _(front):
    film = Film()
    found = is_part(ask(front, film, f"Range: bytes={MB - 7}-{3 * MB + 12}"), film, MB - 7,
                    3 * MB + 12)
    is_forwarded(found, "uri-miss")
    equal(film.slices(), [0, 1, 2, 3], "slices fetched")
    is_part(kept(front, film, f"Range: bytes={MB}-"), film, MB, 5 * MB - 1)
    equal(film.slices(), [0, 1, 2, 3, 4], "slices fetched")


@test("the end can be asked for before anybody knows where that is")
def _():
    film = Film(3 * MB + 5)
    is_part(ask(WEB, film, "Range: bytes=-10"), film, 3 * MB - 5, 3 * MB + 4)
    equal(film.slices(), [0, 2, 3], "slices fetched")
    found = ask(WEB, film, f"Range: bytes={4 * MB}-")
    equal((found.status, found.get("Content-Range")), (416, f"bytes */{3 * MB + 5}"), "beyond it")
    equal(film.count, 3, "requests at the origin")


@test("all of it, its head and its conditions are answered from the slices, too")
def _():
    film = Film()
    is_part(ask(WEB, film, "Range: bytes=0-0"), film, 0, 0)
    is_part(kept(WEB, film, "Range: bytes=0-0"), film, 0, 0)
    found = is_hit(ask(WEB, film, method="HEAD"))
    equal((found.status, found.get("Content-Length")), (200, str(5 * MB)), "HEAD")
    equal(found.get("Content-Range"), None, "Content-Range of HEAD")
    equal(is_hit(ask(WEB, film, 'If-None-Match: "1"')).status, 304, "a condition that holds")
    equal(is_hit(ask(WEB, film, 'If-None-Match: "1"', "Range: bytes=9-")).status, 304,
          "a condition and a range")
    equal(film.count, 1, "requests at the origin")
    found = ask(WEB, film, "Range: bytes=5-9", 'If-Range: "0"')
    equal((found.status, found.get("Content-Length")), (200, str(5 * MB)), "another ETag's range")
    check(found.body == film.data, "the whole is right")
    equal(film.slices(), [0, 1, 2, 3, 4], "slices fetched")
    check(kept(WEB, film).body == film.data, "and so it is without a range")
    equal(film.count, 5, "requests at the origin")


@test("thirty who ask for the same range at once cause one request for each slice")
def _():
    for front in (WEB, OUT):
        film = Film()
        film.may_go.clear()
        found = []

        def run(film=film, front=front, found=found):
            found.append(ask(front, film, f"Range: bytes={MB // 2}-{4 * MB - 1}"))

        threads = [threading.Thread(target=run) for _ in range(30)]
        for thread in threads:
            thread.start()
        origin().wait_for(lambda film=film: film.count > 0, "the first request")
        film.may_go.set()
        for thread in threads:
            thread.join()
        equal(len(found), 30, "answers")
        for response in found:
            is_part(response, film, MB // 2, 4 * MB - 1)
        equal(film.slices(), [0, 1, 2, 3], "slices fetched")


@test("ranges of the same film that are cold together do not wait for each other's slices")
def _():
    film = Film()
    film.may_go.clear()
    found = {}

    def run(n):
        found[n] = ask(WEB, film, f"Range: bytes={n * MB}-{n * MB + 9}")

    threads = [threading.Thread(target=run, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    origin().wait_for(lambda: film.count > 0, "the first request")
    film.may_go.set()
    for thread in threads:
        thread.join()
    for n in range(5):
        is_part(found[n], film, n * MB, n * MB + 9)
    equal(film.slices(), [0, 1, 2, 3, 4], "slices fetched")


@test_fronts("who leaves in the middle leaves whole slices behind")
def _(front):
    film = Film()
    with front.open(proxy()) as gone:
        gone.start(origin().port, film.path, "Range: bytes=0-")
        origin().wait_for(lambda: film.count > 1, "a request for the second slice")
    is_part(kept(front, film, "Range: bytes=0-1500000"), film, 0, 1500000)
    equal(film.slices()[:2], [0, 1], "slices fetched")
    equal(len(set(film.slices())), film.count, "requests at the origin")


@test("a slice that breaks off is fetched again from where it did, as others need it")
def _():
    film = Film()
    is_part(ask(WEB, film, "Range: bytes=0-9"), film, 0, 9)
    film.cuts = 1
    is_part(ask(WEB, film, f"Range: bytes={MB // 2}-{2 * MB - 1}"), film, MB // 2, 2 * MB - 1)
    equal(film.slices(), [0, 1, 1], "slices fetched")
    film.cuts = 5
    try:
        found = ask(WEB, film, f"Range: bytes={MB}-{4 * MB}")
        check(False, f"what was cut short was given as whole: {len(found.body)} bytes")
    except CutShort:
        pass
    film.cuts = 0
    is_part(ask(WEB, film, f"Range: bytes={MB}-{4 * MB}"), film, MB, 4 * MB)


@test("a film that changes in the middle is cut short, and then fetched anew")
def _():
    for obeys in (True, False):
        film = Film()
        film.obeys_if_range = obeys
        is_part(ask(WEB, film, "Range: bytes=0-9"), film, 0, 9)
        film.data, film.etag = content(5 * MB, 2), '"2"'
        try:
            found = ask(WEB, film, f"Range: bytes=0-{3 * MB}")
            check(False, f"mixed content was given as whole: {len(found.body)} bytes")
        except CutShort:
            pass
        is_part(ask(WEB, film, f"Range: bytes=0-{3 * MB}"), film, 0, 3 * MB)


@test("a film that has changed before the first byte is sent is given as it is now")
def _():
    film = Film()
    is_part(ask(WEB, film, "Range: bytes=0-9"), film, 0, 9)
    film.data, film.etag = content(4 * MB, 2), '"2"'
    is_part(ask(WEB, film, f"Range: bytes={MB}-{2 * MB}"), film, MB, 2 * MB)
    is_part(ask(WEB, film, "Range: bytes=0-9"), film, 0, 9)
    equal(film.asked[-1], f"bytes=0-{MB - 1}", "the old slices are out of reach")


@test("an origin without ranges is asked once, and the range cut out of its answer")
def _():
    film = Film(MB // 2)
    film.has_ranges = False
    is_part(ask(WEB, film, "Range: bytes=100-199"), film, 100, 199)
    is_part(kept(WEB, film, "Range: bytes=-5"), film, MB // 2 - 5, MB // 2 - 1)
    check(kept(WEB, film).body == film.data, "the whole is right")
    equal(film.count, 1, "requests at the origin")


@test("what is no longer than a slice is an ordinary answer")
def _():
    film = Film(1000)
    is_part(ask(WEB, film, "Range: bytes=10-19"), film, 10, 19)
    check(kept(WEB, film).body == film.data, "the whole is right")
    equal(film.asked, [f"bytes=0-{MB - 1}"], "what the origin was asked for")


@test("content without a strong ETag is not put together: each range goes by itself")
def _():
    for etag in (None, 'W/"1"'):
        film = Film(etag=etag)
        for first in (5, 5, 2 * MB):
            is_part(ask(WEB, film, f"Range: bytes={first}-{first + MB}"), film, first, first + MB)
        equal(film.asked[1:], ["bytes=5-1048581", "bytes=5-1048581", "bytes=2097152-3145728"],
              "what the origin was asked for after it had been tried")


@test("no slices are made of what may not be stored, or was asked for with credentials")
def _():
    for fields, more in ((["Cache-Control: no-store"], []), (["Cache-Control: private"], []),
                         ([FRESH], ["Authorization: Basic eDp5"]),
                         ([FRESH], ["Cache-Control: no-store"])):
        film = Film(fields=fields)
        for _ in range(2):
            is_part(ask(WEB, film, f"Range: bytes=5-{MB + 9}", *more), film, 5, MB + 9)
        equal(film.asked[-1], f"bytes=5-{MB + 9}", "what the origin was asked for at last")
        is_part(ask(WEB, film, "Range: bytes=0-2", *more), film, 0, 2)
        equal(film.asked[-1], "bytes=0-2", "what the origin was asked for at last")


@test("only-if-cached makes no slice be fetched, but is told what is known")
def _():
    film = Film()
    equal(ask(WEB, film, "Range: bytes=0-9", "Cache-Control: only-if-cached").status, 504, "status")
    is_part(ask(WEB, film, "Range: bytes=0-9"), film, 0, 9)
    equal(ask(WEB, film, f"Range: bytes=0-{MB}", "Cache-Control: only-if-cached").status, 504,
          "status")
    equal(ask(WEB, film, 'If-None-Match: "1"', "Cache-Control: only-if-cached").status, 304,
          "status of what it has already")
    equal(film.count, 1, "requests at the origin")


@test("variants have slices of their own")
def _():
    film = Film(fields=[FRESH, "Vary: X-Kind"])
    for kind in ("a", "b"):
        film.data, film.etag = content(3 * MB, kind.encode()[0]), f'"{kind}"'
        is_part(ask(WEB, film, "Range: bytes=0-9", f"X-Kind: {kind}"), film, 0, 9)
        is_part(ask(WEB, film, f"Range: bytes={MB}-", f"X-Kind: {kind}"), film, MB, 3 * MB - 1)
    equal(film.slices(), [0, 0, 1, 1, 2, 2], "slices fetched")
    found = kept(WEB, film, f"Range: bytes={MB}-", "X-Kind: a")
    check(found.body == content(3 * MB, ord("a"))[MB:], "the first kind is right")


@test("stale slices are validated by one request, and fetched anew when that says so")
def _():
    film = Film(fields=STALE)
    is_part(ask(WEB, film, f"Range: bytes=0-{MB - 1}"), film, 0, MB - 1)  # to its end
    film.fields = [FRESH]
    found = is_part(ask(WEB, film, "Range: bytes=20-29"), film, 20, 29)
    equal((outcome(found).get("fwd"), outcome(found).get("fwd-status")), ("stale", 304), "why")
    equal(film.requests[-1].get("If-None-Match"), '"1"', "If-None-Match")
    is_part(kept(WEB, film, "Range: bytes=20-29"), film, 20, 29)
    equal(film.count, 2, "requests at the origin")
    film = Film(fields=STALE)
    is_part(ask(WEB, film, f"Range: bytes=0-{MB - 1}"), film, 0, MB - 1)
    film.data, film.etag, film.fields = content(2 * MB, 2), '"2"', [FRESH]
    is_part(ask(WEB, film, f"Range: bytes=0-{MB}"), film, 0, MB)
    is_part(kept(WEB, film, "Range: bytes=5-5"), film, 5, 5)
    equal(film.slices(), [0, 0, 1], "slices fetched")


@test("while the origin fails, stale slices that are there are given")
def _():
    film = Film(fields=["Cache-Control: max-age=10, stale-if-error=600", "Age: 100"])
    is_part(ask(WEB, film, f"Range: bytes=0-{MB - 1}"), film, 0, MB - 1)
    film.status = "503 Service Unavailable"
    is_part(ask(WEB, film, "Range: bytes=3-9"), film, 3, 9)
    equal(ask(WEB, film, f"Range: bytes={MB}-").status // 100, 5, "what is not there")


@test("a purge reaches all slices")
def _():
    film = Film()
    is_part(ask(WEB, film, "Range: bytes=0-"), film, 0, 5 * MB - 1)
    equal(film.count, 5, "requests at the origin")
    equal(ask(WEB, film, method="PURGE").status, 200, "PURGE")
    is_part(ask(WEB, film, f"Range: bytes={2 * MB}-"), film, 2 * MB, 5 * MB - 1)
    equal(film.slices(), [0, 1, 2, 2, 3, 3, 4, 4], "slices fetched")


@test("an answer to an unsafe method puts all slices out of reach")
def _():
    film = Film()
    is_part(ask(WEB, film, f"Range: bytes={MB}-{MB}"), film, MB, MB)
    ask(WEB, film, method="POST", body=b"x")
    is_part(ask(WEB, film, f"Range: bytes={MB}-{MB}"), film, MB, MB)
    equal([r for r in film.asked if r], [f"bytes={MB}-{2 * MB - 1}"] * 2, "slices fetched")


@test("slices on disk are there after a restart")
def _():
    film = Film()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        store = f'path = "{folder}/cache"; disk = "256M";'
        with Daemon(CONF, ORIGIN=origin().port, STORE=store) as daemon:
            is_part(ask(WEB, film, "Range: bytes=0-", daemon=daemon), film, 0, 5 * MB - 1)
        with Daemon(CONF, ORIGIN=origin().port, STORE=store) as daemon:
            until(lambda: json.loads(daemon.command("cache", "--json"))["stores"][0]["state"] ==
                  "ready", "the store is loaded")
            is_part(is_hit(ask(WEB, film, f"Range: bytes={MB // 2}-", daemon=daemon)), film,
                    MB // 2, 5 * MB - 1)
            equal(film.count, 5, "requests at the origin")


# ---- parts without slices


@test("a stored beginning, or end, is completed by asking for the rest")
def _():
    for first, rest in (("bytes=0-599", "bytes=600-"), ("bytes=-600", "bytes=0-399")):
        film = Film(1000, path=unique("part"))
        equal(ask(WEB, film, f"Range: {first}").status, 206, "status")
        found = is_forwarded(ask(WEB, film), "partial")
        equal(found.status, 200, "status")
        check(found.body == film.data, "the whole is right")
        equal((film.asked[-1], film.requests[-1].get("If-Range")), (rest, '"1"'), "what was asked")
        check(kept(WEB, film).body == film.data, "and is kept")
        equal(film.count, 2, "requests at the origin")


@test("what has changed since is not completed, but fetched anew")
def _():
    film = Film(1000, path=unique("part"))
    ask(WEB, film, "Range: bytes=0-599")
    film.data, film.etag = content(1000, 2), '"2"'
    found = ask(WEB, film)
    equal((found.status, found.body), (200, film.data), "the whole")
    equal(kept(WEB, film).body, film.data, "and what is kept")
    equal(film.count, 2, "requests at the origin")


@test("a part with a weak ETag is not completed")
def _():
    film = Film(1000, path=unique("part"), etag='W/"1"')
    ask(WEB, film, "Range: bytes=0-599")
    equal(ask(WEB, film).body, film.data, "the whole")
    equal(film.asked, ["bytes=0-599", None], "what was asked")


@test("parts that touch or overlap are one part afterwards, and at last the whole")
def _():
    film = Film(1000, path=unique("part"))
    for first, last in ((300, 499), (500, 699), (100, 349)):
        is_part(ask(WEB, film, f"Range: bytes={first}-{last}"), film, first, last)
    equal(film.count, 3, "requests at the origin")
    is_part(kept(WEB, film, "Range: bytes=100-699"), film, 100, 699)
    is_part(ask(WEB, film, "Range: bytes=0-99"), film, 0, 99)
    is_part(ask(WEB, film, "Range: bytes=650-"), film, 650, 999)
    equal(kept(WEB, film).body, film.data, "the whole")
    equal(film.count, 5, "requests at the origin")


@test("parts of different representations are not combined")
def _():
    film = Film(1000, path=unique("part"))
    is_part(ask(WEB, film, "Range: bytes=0-499"), film, 0, 499)
    film.data, film.etag = content(1000, 2), '"2"'
    is_part(ask(WEB, film, "Range: bytes=500-999"), film, 500, 999)
    found = ask(WEB, film)
    equal(found.body, film.data, "the whole")
    equal(film.asked[-1], "bytes=0-499", "what was asked for at last")


@test("a part is no answer to a range that another ETag was named for")
def _():
    film = Film(1000, path=unique("part"))
    is_part(ask(WEB, film, "Range: bytes=0-499"), film, 0, 499)
    found = ask(WEB, film, "Range: bytes=0-9", 'If-Range: "0"')
    equal((found.status, found.body), (200, film.data), "the whole")


# ---- ranges of what is on its way


@test("a range of what is fetched right now is cut out as it arrives")
def _():
    data = content(100000)
    it = Trickle(origin(), FRESH, 'ETag: "1"', "Accept-Ranges: bytes", length=len(data))
    with WEB.open(proxy()) as first, WEB.open(proxy()) as second, WEB.open(proxy()) as third:
        first.start(origin().port, it.path)
        it.wait()
        second.start(origin().port, it.path, "Range: bytes=50000-59999")
        third.start(origin().port, it.path, "Range: bytes=-10")
        it.head()
        it.piece(data[:60000])
        found = second.stream.read()
        equal((found.status, found.get("Content-Range")), (206, "bytes 50000-59999/100000"),
              "status and range")
        check(found.body == data[50000:60000], "the range is right")
        it.piece(data[60000:])
        check(third.stream.read().body == data[-10:], "the end is right")
        it.end()
        check(first.stream.read().body == data, "the whole is right")
    equal(it.count, 1, "requests at the origin")


@test("a range far behind what has arrived is asked for by itself")
def _():
    film = Film(900000, path=unique("far"))
    it = Trickle(origin(), FRESH, 'ETag: "1"', "Accept-Ranges: bytes", length=900000,
                 other=film.serve)
    with WEB.open(proxy()) as first:
        first.start(origin().port, it.path)
        it.wait()
        it.head()
        it.piece(film.data[:1000])
        found = WEB.ask(proxy(), origin().port, it.path, "Range: bytes=800000-800099")
        is_part(found, film, 800000, 800099)
        found = WEB.ask(proxy(), origin().port, it.path, "Range: bytes=100-199")
        is_part(found, film, 100, 199)
        it.piece(film.data[1000:])
        it.end()
        check(first.stream.read().body == film.data, "the whole is right")
    equal(it.count, 2, "requests at the origin")


main()
