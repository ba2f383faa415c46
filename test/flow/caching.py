# SPDX-License-Identifier: BSD-2-Clause
"""caching - what the tests of the cache share: the ways in, pages that change, waiting for events.

Nothing here waits for things to get old: an origin that says "Age" sends what is old already.
"""

import itertools
import json
import re
import threading
from typing import NamedTuple

from bascule_flow import (FORWARD, REVERSE, WAIT, Client, Failure, Way, answer, check, equal, get,
                          head, post, test)
from h2 import h2c, request

_numbers = itertools.count(1)


def unique(words="page"):
    """A path that no other test uses."""
    return f"/{words}-{next(_numbers)}"


class Front(NamedTuple):
    """A mode and a protocol, by which clients ask."""

    way: Way
    protocol: str

    def __str__(self):
        return f"{self.way.name}, {self.protocol}"

    def open(self, daemon):
        """A connection for several requests, one after the other or (HTTP/2) at once."""
        return Asker(self, daemon)

    def ask(self, daemon, port, path, *fields, **more):
        """One request on a connection of its own; "Name: value" each field."""
        with self.open(daemon) as asker:
            return asker.ask(port, path, *fields, **more)


class Asker:
    """A client of a daemon, in either protocol."""

    def __init__(self, front, daemon):
        self.front = front
        address = daemon.address(front.way.listener)
        self.stream = h2c(address).greet() if front.protocol == "HTTP/2" else Client(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stream.close()

    def reset(self):
        self.stream.reset()

    def _is_forward(self):
        return self.front.way.name == "forward"

    def start(self, port, path, *fields, method="GET", body=None, host=None):
        """Sends a request; its stream in HTTP/2."""
        host = host or (f"127.0.0.1:{port}" if self._is_forward() else "site.test")
        if self.front.protocol == "HTTP/2":
            pairs = [(n.lower(), v) for n, _, v in (line.partition(": ") for line in fields)]
            if body is not None:
                pairs.append(("content-length", str(len(body))))
            stream = self.stream.open(request(path, *pairs, method=method, authority=host),
                                      end=body is None)
            if body is not None:
                self.stream.send_data(stream, body)
            return stream
        target = f"http://{host}{path}" if self._is_forward() else path
        if body is not None:
            self.stream.send(post(target, body, *fields, host=host, method=method))
        else:
            self.stream.send(get(target, *fields, host=host, method=method))
        return None

    def ask(self, port, path, *fields, method="GET", body=None, host=None):
        stream = self.start(port, path, *fields, method=method, body=body, host=host)
        if self.front.protocol == "HTTP/2":
            return self.stream.answer(stream)
        return self.stream.read(method)


FRONTS = tuple(Front(way, protocol) for way in (REVERSE, FORWARD)
               for protocol in ("HTTP/1.1", "HTTP/2"))


def test_fronts(promise, **options):
    """Makes a function of a front four tests: both modes, both protocols."""

    def add(function):
        for front in FRONTS:
            test(f"{promise} ({front})", **options)(lambda front=front: function(front))
        return function

    return add


# ---- origins


def tell(request, _link):
    """A fresh page that tells all that the origin was told."""
    return answer(json.dumps([request.target, request.fields]).encode(),
                  "Cache-Control: max-age=60")


def canary(path):
    """Content that says whose it is, everywhere: of "/NAME-SIZE"."""
    size = int(path.rpartition("-")[2])
    word = f"{path} is {size} long|".encode()
    return (word * (size // len(word) + 1))[:size]


class Page:
    """A page of an origin: counts its requests, and validates if it has an ETag.

    fields, status, etag and body may be changed at any time; @N@ in the body is the number of
    the request. is_down: hangs up instead. hold(): what comes from then on waits.
    """

    def __init__(self, origin, *fields, body="number @N@", status="200 OK", etag=None, path=None):
        self.path = path or unique()
        self.fields, self.body, self.status, self.etag = list(fields), body, status, etag
        self.is_down = False
        self.requests = []
        self.origin = origin
        self._may_go = threading.Event()
        self._may_go.set()
        origin.on(self.path, self.serve)

    @property
    def count(self):
        return len(self.requests)

    def hold(self):
        self._may_go.clear()

    def go(self):
        self._may_go.set()

    def wait_count(self, count):
        """Waits until this many requests have come."""
        self.origin.wait_for(lambda: self.count >= count,
                             f"{count} requests for {self.path}, but {self.count}")

    def serve(self, request, link):
        with self.origin.changed:
            self.requests.append(request)
            number = self.count
            self.origin.changed.notify_all()
        if not self._may_go.wait(3 * WAIT):
            raise Failure(f"nobody let the answer to {self.path} go")
        if self.is_down:
            link.close()
            return None
        fields = list(self.fields)
        if self.etag is not None:
            fields.append(f"ETag: {self.etag}")
            if self.etag in (request.get("If-None-Match") or ""):
                return head("HTTP/1.1 304 Not Modified", *fields)
        body = self.body.replace("@N@", str(number)).encode()
        data = answer(body, *fields, status=self.status)
        return data[:-len(body)] if request.method == "HEAD" and body else data


class Trickle:
    """An answer whose pieces are sent when the test says so.

    length: what Content-Length says; None: it is chunked. Asked for several times, it serves the
    first; others get what `other` makes.
    """

    def __init__(self, origin, *fields, length=None, other=None, path=None):
        self.path = path or unique("trickle")
        self.fields, self.length, self.other = fields, length, other
        self.origin = origin
        self.link = None
        self.count = 0
        self.done = threading.Event()
        self.began = threading.Event()
        origin.on(self.path, self.serve)

    def serve(self, request, link):
        with self.origin.changed:
            self.count += 1
            is_first = self.count == 1
            self.origin.changed.notify_all()
        if not is_first and self.other is not None:
            return self.other(request, link)
        self.link = link
        self.began.set()
        self.done.wait(3 * WAIT)
        return None

    def wait(self):
        """Until the request is there."""
        check(self.began.wait(WAIT), f"{self.path} was never asked for")

    def head(self):
        framing = ("Transfer-Encoding: chunked" if self.length is None else
                   f"Content-Length: {self.length}")
        self.link.send(head("HTTP/1.1 200 OK", framing, *self.fields))

    def piece(self, data):
        self.link.send(b"%x\r\n%s\r\n" % (len(data), data) if self.length is None else data)

    def end(self):
        if self.length is None:
            self.link.send(b"0\r\n\r\n")
        self.done.set()

    def cut(self, how="close"):
        """Ends the connection in the middle."""
        if how == "close":
            self.link.half_close()
        getattr(self.link, how)()
        self.done.set()


# ---- what the answers say


def outcome(response):
    """The parameters of the Cache-Status of ours: {"hit": True, "ttl": 60}."""
    value = response.get("Cache-Status")
    check(value is not None, f"no Cache-Status in {response.fields}")
    name, *words = value.split("; ")
    check(re.fullmatch(r"bascule-[0-9a-f]{8}", name), f"the name in Cache-Status: {value}")
    found = {}
    for word in words:
        key, mark, text = word.partition("=")
        found[key] = int(text) if re.fullmatch(r"-?\d+", text) else text.strip('"') or not mark
    return found


def is_hit(response, body=None):
    """Checks that it came from the cache, unasked and fresh or not."""
    check("hit" in outcome(response), f"not a hit: {response.get('Cache-Status')}")
    if body is not None:
        equal(response.body, body, "content of a hit")
    return response


def is_forwarded(response, reason, body=None):
    """Checks that somebody was asked, and why."""
    equal(outcome(response).get("fwd"), reason, f"why it went on ({response.get('Cache-Status')})")
    if body is not None:
        equal(response.body, body, "content")
    return response


def near(found, expected, what, late=20):
    """A number of seconds: the clock goes on meanwhile, by as much as this."""
    check(found is not None and expected <= int(found) <= expected + late,
          f"{what}: expected {expected} (or up to {late} more), found {found}")
