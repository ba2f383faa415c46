# SPDX-License-Identifier: BSD-2-Clause
"""The filter bandwidth: exchanges share a rate, each its fair part, and nothing is lost."""

import contextlib
import threading
import time

from bascule_flow import (WAIT, Daemon, Failure, Origin, answer, answer_chunked, check, equal,
                          main, once, test)
from caching import FRONTS, Page, canary, test_fronts, unique
from h2 import H2
from peers import until

RATE = 1 << 20  # 8 Mbit/s
CONF = """
workers = 2;
forward_to_sites = false;
stores = ( { name = "main"; memory = "64M"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; filters = @FILTERS@; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; cache = "main";
      allow_destination = [ "127.0.0.0/8" ]; filters = @FILTERS@; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; cache = "main"; } );
"""
FILTERS = """(
    { filter = "bandwidth"; rate = "1M"; per = "header:X-Line"; interactive = "32K"; },
    { filter = "bandwidth"; rate = "1M"; per = "header:X-Send"; direction = "upload"; },
    { filter = "bandwidth"; rate = "1M"; per = "header:X-Class"; share = "classes"; weight = 1; }
)"""

origin = once(Origin)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, FILTERS=FILTERS)


def events(event):
    return proxy().metrics().get(
        f'bascule_filter_events_total{{filter="bandwidth",event="{event}"}}', 0)


class Downloads:
    """Clients that read what comes, and how many bytes each got in a while they all shared."""

    def __init__(self, front, path, field, count):
        self.askers = [front.open(proxy()) for _ in range(count)]
        self.got = [0] * count
        self.is_over = False
        self.begun = time.monotonic()
        for asker in self.askers:
            asker.start(origin().port, path, field)
        self.threads = [threading.Thread(target=self.read, args=(i,)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def read(self, i):
        with contextlib.suppress(OSError, Failure):  # until it is closed
            while not self.is_over and (bytes_ := self.read_some(self.askers[i].stream)):
                self.got[i] += bytes_

    @staticmethod
    def read_some(stream):
        if isinstance(stream, H2):
            frame = stream.next()
            return len(frame.payload) + 9 if frame is not None else 0
        stream.buffer.clear()
        before = len(stream.received)
        return len(stream.received) - before if stream.fill() else 0

    def wait_all(self):
        until(lambda: min(self.got) > 0, "each gets something")

    def measure(self, seconds):
        """What each got within this time."""
        start = list(self.got)
        time.sleep(seconds)
        return [now - then for now, then in zip(list(self.got), start)]

    def keep_to_rate(self):
        """Checks that since the first was asked for all together got no more than may be."""
        got = sum(self.got)
        seconds = time.monotonic() - self.begun  # later than what is counted
        check(got <= RATE * seconds * 1.1 + (256 << 10), f"{got} bytes in {seconds:.2f} s")

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(WAIT)
        for asker in self.askers:
            with contextlib.suppress(OSError):  # it is closed already
                asker.reset()


@test_fronts("four clients share 8 Mbit/s fairly")
def _(front):
    path = unique()
    origin().on(path, answer(b"x" * (8 << 20), "Cache-Control: no-store"))
    shares = []

    def is_fair():
        """In some while: clients and threads that were held up have other shares meanwhile."""
        shares[:] = downloads.measure(0.5)
        mean = sum(shares) / 4
        return mean > 0 and all(0.75 * mean <= got <= 1.25 * mean for got in shares)

    downloads = Downloads(front, path, f"X-Line: {path}", 4)
    try:
        downloads.wait_all()
        until(is_fair, "fair shares")
        downloads.keep_to_rate()
    finally:
        downloads.end()


@test_fronts("content is whole, whatever its form")
def _(front):
    path = unique("sized") + "-100000"
    origin().on(path, answer(canary(path), "Cache-Control: no-store"))
    chunked = unique()
    origin().on(chunked, answer_chunked(*[canary(path)[i : i + 7000]
                                          for i in range(0, 100000, 7000)]))
    cached = Page(origin(), "Cache-Control: max-age=60", body=canary(path).decode())
    for asked in (path, chunked, cached.path, cached.path):
        response = front.ask(proxy(), origin().port, asked, f"X-Line: {path}")
        check(response.body == canary(path), f"the content of {asked} differs")
    equal(cached.count, 1, "fetches")
    empty = unique()
    origin().on(empty, answer(b""))
    equal(front.ask(proxy(), origin().port, empty, f"X-Line: {path}").body, b"", "empty content")
    equal(front.ask(proxy(), origin().port, path, f"X-Line: {path}", method="HEAD").status, 200,
          "HEAD")


@test_fronts("uploads are slowed down, and whole", timely=True)
def _(front):
    path = unique("up") + "-250000"
    body = canary(path)
    before = events("waited")
    origin().on(path, answer(b"taken"))
    begun = time.monotonic()
    response = front.ask(proxy(), origin().port, path, f"X-Send: {path}", method="POST", body=body)
    equal(response.body, b"taken", "answer")
    check(time.monotonic() - begun > (250000 - 128 * 1024) / RATE / 2, "it was too fast")
    check(origin().wait_request(path).body == body, "the content differs")
    check(events("waited") > before, "nobody waited")


@test("a client that breaks off leaves its part to others, over a reload, too")
def _():
    front, path = FRONTS[0], unique()
    origin().on(path, answer(b"x" * (8 << 20), "Cache-Control: no-store"))
    downloads = Downloads(front, path, f"X-Line: {path}", 4)
    try:
        downloads.wait_all()
        proxy().reload()
        for asker in downloads.askers[1:]:
            asker.reset()
        until(lambda: downloads.measure(0.3)[0] > 0.75 * 0.3 * RATE, "all of the rate for it")
        downloads.keep_to_rate()
    finally:
        downloads.end()


@test("exchanges without the key are not slowed down")
def _():
    before = events("shaped")
    path = unique()
    origin().on(path, answer(b"x" * 3000000, "Cache-Control: no-store"))
    equal(len(FRONTS[0].ask(proxy(), origin().port, path).body), 3000000, "content")
    equal(events("shaped"), before, "shaped")


main()
