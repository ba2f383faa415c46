# SPDX-License-Identifier: BSD-2-Clause
"""The filter rate_limit: who asks too often waits, or is told to; and what clients are told."""

import itertools
import re
import time

from bascule_flow import (FORWARD, Client, Daemon, Origin, answer, check, connect_head, equal,
                          main, once, test)
from caching import FRONTS, Page, test_fronts, unique
from peers import until

CONF = """
workers = 1;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
stores = ( { name = "main"; memory = "16M"; } );
limits = (
    { name = "hundred"; key = "header:X-Hundred"; rate = "60/10h"; },
    { name = "busy"; key = "header:X-Busy"; concurrency = 2; },
    { name = "slow"; key = "header:X-Slow"; rate = "4/1s"; burst = 1; },
    { name = "few"; key = "header:X-Few"; rate = "6/1h"; burst = 1; },
    { name = "late"; key = "header:X-Late"; rate = "6/1h"; burst = 1; },
    { name = "told"; key = "header:X-Told"; rate = "1/1h"; },
    { name = "bytes"; key = "header:X-Bytes"; quota = "1000/1h"; },
    { name = "path"; key = [ "header:X-Path", "path" ]; rate = "1/1h"; },
    { name = "upgrade"; key = "header:X-Upgrade"; concurrency = 1; },
    { name = "route"; key = "header:X-Route"; rate = "2/1h"; }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; filters = @FILTERS@; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "main"; filters = @FILTERS@; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; cache = "main"; routes = (
    { path_prefix = "/few/"; filters = ( { filter = "rate_limit"; limit = "route"; } ); },
    { path_prefix = "/few-too/"; filters = ( { filter = "rate_limit"; limit = "route"; } ); } );
} );
"""
FILTERS = """(
    { filter = "rate_limit"; limit = [ "hundred", "path" ]; },
    { filter = "rate_limit"; limit = [ "busy", "upgrade" ]; },
    { filter = "rate_limit"; limit = "slow"; on_limit = "delay"; max_delay = "1h"; },
    { filter = "rate_limit"; limit = "few"; on_limit = "delay"; max_delay = "1h";
      max_delayed = 2; },
    { filter = "rate_limit"; limit = "late"; on_limit = "delay"; max_delay = "5m"; },
    { filter = "rate_limit"; limit = "told"; on_limit = "log"; },
    { filter = "rate_limit"; limit = "bytes"; status = 503; fields = false; }
)"""

origin = once(Origin)
_keys = itertools.count(1)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, FILTERS=FILTERS)


def key(name):
    """A field with a value that no other test has."""
    return f"X-{name}: k{next(_keys)}"


def events(event):
    return proxy().metrics().get(
        f'bascule_filter_events_total{{filter="rate_limit",event="{event}"}}', 0)


def told(response, name):
    """Remaining requests, and seconds, of what the response tells of a limit."""
    found = re.fullmatch(rf'"{name}";r=(\d+);t=(\d+)', response.get("RateLimit") or "")
    check(found, f"RateLimit: {response.get('RateLimit')!r}")
    return int(found[1]), int(found[2])


# ---- rates


@test_fronts("a hundred requests: fields say what the limiter does, one by one")
def _(front):
    field = key("Hundred")
    path = unique()
    origin().on(path, answer(b"fine"))
    start = time.monotonic()
    with front.open(proxy()) as asker:
        for i in range(1, 101):
            response = asker.ask(origin().port, path, field)
            took = time.monotonic() - start
            equal(response.get("RateLimit-Policy"), '"hundred";q=60;w=36000', "policy")
            left, seconds = told(response, "hundred")
            equal((response.status, left), (200, 60 - i) if i <= 60 else (429, 0), f"request {i}")
            most = min(i, 60) * 600  # until all has grown again
            check(most - took - 1 <= seconds <= most, f"t={seconds} at {i}")
            retry = response.get("Retry-After")
            equal(retry is not None, i > 60, f"whether there is Retry-After at {i}")
            check(retry is None or 0 < int(retry) <= 600, f"Retry-After: {retry}")
    equal(len(origin().seen(path)), 60, "requests at the origin")


@test_fronts("what the cache answers counts, too")
def _(front):
    it = Page(origin(), "Cache-Control: max-age=60")
    field = key("Hundred")
    left = [told(front.ask(proxy(), origin().port, it.path, field), "hundred")[0]
            for _ in range(3)]
    equal((left, it.count), ([59, 58, 57], 1), "what is left, and fetches")


@test_fronts("keys can be combined, and paths are compared in their normal form")
def _(front):
    field, path = key("Path"), unique()
    found = [front.ask(proxy(), origin().port, p, field).status
             for p in (path, path + "-b", "/x/.." + path, path)]
    check(found[0] != 429 and found[1] != 429, f"first ones: {found}")
    equal(found[2:], [429, 429], "the same paths")


@test("a limit of a route: counts there only, together with other routes that name it")
def _():
    for front in (front for front in FRONTS if front.way.name == "reverse"):
        field = key("Route")
        found = [front.ask(proxy(), origin().port, path, field)
                 for path in ("/few/a", "/many", "/few-too/a", "/few/b", "/many")]
        equal([r.status == 429 for r in found], [False, False, False, True, False], "refused")
        equal([r.get("RateLimit") is not None for r in found], [True, False, True, True, False],
              "whether there is RateLimit")


@test("a reload keeps what was counted")
def _():
    front, field = FRONTS[0], key("Hundred")
    equal(told(front.ask(proxy(), origin().port, "/r", field), "hundred")[0], 59, "left")
    proxy().reload()
    equal(told(front.ask(proxy(), origin().port, "/r", field), "hundred")[0], 58, "left")


# ---- log, quota


@test_fronts("log only: everything passes, and what would not have is counted")
def _(front):
    field, path = key("Told"), unique()
    origin().on(path, answer(b"fine"))
    before = events("would_reject")
    equal([front.ask(proxy(), origin().port, path, field).status for _ in range(4)], [200] * 4,
          "status")
    equal(events("would_reject") - before, 3, "would_reject")


@test_fronts("a quota of bytes: who has spent it gets 503, with no more fields than wanted")
def _(front):
    field, path = key("Bytes"), unique()
    origin().on(path, answer(b"b" * 600))
    found = [front.ask(proxy(), origin().port, path, field) for _ in range(3)]
    equal([r.status for r in found], [200, 200, 503], "status")
    check(found[2].has("Retry-After") and not found[2].has("RateLimit"), "fields")


# ---- at a time


def held(path):
    """A page that waits until it may go."""
    page = Page(origin(), path=path)
    page.hold()
    return page


@test_fronts("so many at a time; who leaves, also by breaking off, makes room")
def _(front):
    field = key("Busy")
    pages = [held(unique()) for _ in range(2)]
    with front.open(proxy()) as first, front.open(proxy()) as second:
        for asker, page in zip((first, second), pages):
            asker.start(origin().port, page.path, field)
            origin().wait_head(page.path)
        refused = front.ask(proxy(), origin().port, "/third", field)
        equal((refused.status, refused.get("RateLimit"), refused.get("RateLimit-Policy")),
              (429, '"busy";r=0', '"busy";q=2;qu="concurrent-requests"'), "the third")
        second.reset()
        until(lambda: front.ask(proxy(), origin().port, unique(), field).status != 429,
              "the one that was broken off still counts")
    for page in pages:
        page.go()


@test("forward: a tunnel counts for as long as it lasts")
def _():
    field = key("Upgrade")
    target = f"127.0.0.1:{origin().port}"

    def connect():
        client = Client(proxy().address(FORWARD.listener))
        return client, client.ask(connect_head(target, field), "CONNECT").status

    tunnel, status = connect()
    equal(status, 200, "the first")
    equal(connect()[1], 429, "the second")
    proxy().reload()  # which takes the filters of the first away
    equal(connect()[1], 429, "the third")
    tunnel.close()
    until(lambda: connect()[1] == 200, "the tunnel that has ended still counts")


# ---- delay


@test_fronts("who is over waits its turn")
def _(front):
    field, path = key("Slow"), unique()
    origin().on(path, answer(b"fine"))
    before, start = events("delayed"), time.monotonic()
    askers = [front.open(proxy()) for _ in range(3)]
    streams = [asker.start(origin().port, path, field) for asker in askers]
    for asker, stream in zip(askers, streams):
        equal(answer_to(asker, stream).status, 200, "status")
        asker.close()
    check(time.monotonic() - start > 0.45, "three at four a second, one at a time, take longer")
    check(events("delayed") > before, "nobody waited")


def answer_to(asker, stream):
    return asker.stream.answer(stream) if stream is not None else asker.stream.read()


@test_fronts("who would wait with too many is refused, and who leaves gives its place to another")
def _(front):
    field, path = key("Few"), unique()
    origin().on(path, answer(b"fine"))
    before = events("delayed")
    equal(front.ask(proxy(), origin().port, path, field).status, 200, "the first")
    waiting = [front.open(proxy()) for _ in range(3)]
    for count, asker in enumerate(waiting[:2], 1):
        asker.start(origin().port, path, field)
        until(lambda count=count: events("delayed") - before == count, "it should wait")
    equal(front.ask(proxy(), origin().port, path, field).status, 429, "with two that wait")
    waiting[0].reset()

    def has_place():
        """Asks until it waits: who has left is noticed a little later."""
        stream = waiting[2].start(origin().port, path, field)
        until(lambda: events("delayed") - before == 3 or events("rejected") > rejected, "either")
        if events("delayed") - before == 3:
            return True
        equal(answer_to(waiting[2], stream).status, 429, "status")
        return False

    rejected = events("rejected")
    until(has_place, "its place is free")
    for asker in waiting[1:]:
        asker.reset()
    equal(len(origin().seen(path)), 1, "requests at the origin")


@test_fronts("who would wait too long is refused at once")
def _(front):
    field, path = key("Late"), unique()
    found = [front.ask(proxy(), origin().port, path, field).status for _ in range(3)]
    equal(found, [200, 429, 429], "status")


main()
