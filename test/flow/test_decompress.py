# SPDX-License-Identifier: BSD-2-Clause
"""The filter decompress: content decoded for clients, filters and servers, within bounds."""

import gzip
import zlib

from bascule_flow import (Client, CutShort, Daemon, Origin, answer, answer_chunked, ask, both,
                          check, equal, get, head, main, once, post, test)
from caching import is_hit, test_fronts, unique
from codings import PAGE, code, decode, has_coding
from peers import becomes

CONF = """
workers = 1;
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; @FILTERS@ },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; @FILTERS@
      allow_destination = [ "127.0.0.0/8" ]; cache = "main"; }
);
stores = ( { name = "main"; } );
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = (
    { name = "site"; default = true; group = "origin"; cache = "main"; },
    { name = "fetched"; hosts = [ "fetched.test" ]; group = "origin"; cache = "main";
      filters = ( { filter = "decompress"; responses = "fetched"; } ); },
    { name = "both"; hosts = [ "both.test" ]; group = "origin";
      filters = ( { filter = "compress"; codings = "gzip"; },
                  { filter = "decompress"; responses = "delivered"; } ); }
);
"""

FILTERS = """
    filters = ( { filter = "decompress"; requests = true; max = "100M"; max_ratio = 100; } );
"""

HTML = "Content-Type: text/html"
STORED = "Cache-Control: max-age=600"

origin = once(Origin)


@once
def proxy() -> Daemon:
    return Daemon(CONF, ORIGIN=origin().port, FILTERS=FILTERS)


def ask_front(front, path, *fields, **more):
    return front.ask(proxy(), origin().port, path, *fields, **more)


def codings():
    return [c for c in ("gzip", "deflate", "br", "zstd")
            if c == "deflate" or has_coding(c)]


def serve(coding, body=PAGE, *fields):
    path = unique()
    data = body
    for word in coding.split(", "):
        data = code(word, data)
    origin().on(path, answer(data, HTML, f"Content-Encoding: {coding}", *fields))
    return path


# ---- responses


@test_fronts("who does not accept the origin's coding gets the content as it is")
def _(front):
    for coding in codings() + ["deflate, gzip"]:
        path = serve(coding, PAGE, 'ETag: "abc"', "Content-MD5: x")
        for method in ("GET", "HEAD"):
            response = ask_front(front, path, method=method)
            equal(response.body, PAGE if method == "GET" else b"", f"{coding}, {method}")
            for name in ("Content-Encoding", "Content-MD5", "Content-Length"):
                check(not response.has(name), f"{coding}, {method}: {name}")
            equal((response.get("ETag"), response.get("Vary")), ('W/"abc"', "Accept-Encoding"),
                  f"{coding}, {method}")
        response = ask_front(front, path, f"Accept-Encoding: {coding}")
        equal(response.get("Content-Encoding"), coding, "for who accepts it")
        equal((response.get("ETag"), response.get("Vary")), ('"abc"', "Accept-Encoding"), "fields")


@test_fronts("the weak tag of decoded content means the origin's strong one")
def _(front):
    path = unique()
    asked = []

    def serve_tag(request, _link):
        if request.has("If-Match"):
            asked.append(request.get("If-Match"))
        if '"abc"' in (request.get("If-None-Match") or ""):
            return head("HTTP/1.1 304 Not Modified", 'ETag: "abc"')
        return answer(gzip.compress(PAGE), HTML, "Content-Encoding: gzip", 'ETag: "abc"')

    origin().on(path, serve_tag)
    response = ask_front(front, path)
    equal((response.body, response.get("ETag")), (PAGE, 'W/"abc"'), "decoded")
    response = ask_front(front, path, 'If-None-Match: W/"abc"')
    equal((response.status, response.get("ETag")), (304, 'W/"abc"'), "known again")
    equal(response.get("Vary"), "Accept-Encoding", "Vary of a 304")
    ask_front(front, path, 'If-Match: W/"abc"', method="PUT", body=b"x")
    equal(asked, ['"abc"'], "If-Match")


@test_fronts("no-transform, parts and unknown codings stay")
def _(front):
    data = gzip.compress(PAGE)
    for line, status in (("Cache-Control: no-transform", "200 OK"),
                         ("Content-Range: bytes 0-9/99", "206 Partial Content")):
        path = unique()
        origin().on(path, answer(data, "Content-Encoding: gzip", line, status=status))
        response = ask_front(front, path, "Range: bytes=0-9")
        equal((response.body, response.get("Content-Encoding")), (data, "gzip"), line)
    path = unique()
    origin().on(path, answer(data, "Content-Encoding: aes128gcm, gzip"))
    equal(ask_front(front, path).body, data, "an unknown coding")


@test("fetched content is stored decoded, and is validated by its weak tag")
def _():
    path = unique()
    asked = []

    def serve_tag(request, _link):
        asked.append(request.get("If-None-Match"))
        if '"abc"' in (asked[-1] or ""):
            return head("HTTP/1.1 304 Not Modified", 'ETag: "abc"', STORED)
        return answer(gzip.compress(PAGE), HTML, "Content-Encoding: gzip", 'ETag: "abc"',
                      "Cache-Control: max-age=10", "Age: 20")

    origin().on(path, serve_tag)

    def fetch(*fields):
        response = ask(proxy().address("web"), get(path, *fields, host="fetched.test"))
        if response.status == 200:
            equal((response.body, response.get("ETag")), (PAGE, 'W/"abc"'), "content, tag")
        return response

    fetch()
    fetch("Accept-Encoding: gzip")
    equal(asked, [None, 'W/"abc"'], "what the origin was asked")
    is_hit(fetch())
    response = fetch('If-None-Match: W/"abc"')
    equal((response.status, response.get("ETag")), (304, 'W/"abc"'), "a condition")


@test("decoded by one filter, coded again by the next")
def _():
    for coding in codings():
        response = ask(proxy().address("web"),
                       get(serve(coding), "Accept-Encoding: gzip", host="both.test"))
        equal(decode(response.get("Content-Encoding"), response.body), PAGE, coding)
        equal(response.get("Content-Encoding"), "gzip", coding)


@test_fronts("one byte at a time, in chunks, in several members, and no content at all")
def _(front):
    data = gzip.compress(PAGE[:700]) + gzip.compress(b"") + gzip.compress(PAGE[700:1500])
    path = unique()
    whole = answer(data, HTML, "Content-Encoding: gzip")
    origin().on(path, lambda _, link: link.send(whole, bytewise=True))
    equal(ask_front(front, path).body, PAGE[:1500], "bytewise")
    path = unique()
    origin().on(path, answer_chunked(*(data[i:i + 7] for i in range(0, len(data), 7)),
                                     fields=["Content-Encoding: x-gzip"]))
    equal(ask_front(front, path).body, PAGE[:1500], "in chunks")
    path = unique()
    origin().on(path, answer(b"", "Content-Encoding: gzip"))
    equal(ask_front(front, path).body, b"", "empty")


def is_cut(way, path):
    with Client(proxy().address(way.listener)) as client:
        client.send(get(way.target(origin(), path), host=way.host(origin())))
        try:
            client.read()
        except CutShort:
            return True
    return False


@both("hostile or broken content is cut short, and the next request is served")
def _(way):
    good = gzip.compress(PAGE)
    for what, data in {"cut": good[:-9], "garbage behind": good + b"x", "no gzip": PAGE,
                       "checksum": good[:-8] + bytes(4) + good[-4:],
                       "corrupt": good[:500] + b"\xff" * 50 + good[550:],
                       "dictionary": b"\x78\xbb\x12\x34\x56\x78" + good}.items():
        for coding in ("gzip", "deflate"):
            path = unique()
            origin().on(path, answer(data, HTML, f"Content-Encoding: {coding}"))
            check(is_cut(way, path), f"{what} as {coding} was delivered as whole")
    equal(ask(proxy().address(way.listener),
              get(way.target(origin(), serve("gzip")), host=way.host(origin()))).body, PAGE, "next")


# ---- bombs


@once
def member():
    """100 MB of nothing: 100 KB."""
    coder = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    return b"".join(coder.compress(block) for _ in range(100)) + coder.flush()


def memory(daemon):
    """What the worker process holds, in KiB."""
    with open(f"/proc/{daemon.children()[0]}/smaps_rollup", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    return int(fields["Pss"].split()[0])


def serve_bomb(data, coding="gzip"):
    path = unique("bomb")

    def send(_request, link):
        link.try_send(answer(data, f"Content-Encoding: {coding}"))

    origin().on(path, send)
    return path


@both("a bomb of 10 MB that would be 10 GB is stopped, with memory flat")
def _(way):
    bomb = member() * 100  # members one behind the other
    nested = gzip.compress(member(), 9)
    warm = serve("gzip")
    ask(proxy().address(way.listener), get(way.target(origin(), warm), host=way.host(origin())))
    before = memory(proxy())
    for data, coding in ((bomb, "gzip"), (nested, "gzip, gzip"), (member(), "gzip")):
        check(is_cut(way, serve_bomb(data, coding)), "the bomb was delivered")
    grown = memory(proxy()) - before
    check(grown < 16 * 1024, f"memory has grown by {grown} KiB")


@test("content up to the bound passes, more does not")
def _():
    conf = CONF.replace("@FILTERS@", 'filters = ( { filter = "decompress"; max = "100000"; '
                                     'requests = true; } );')
    with Daemon(conf, ORIGIN=origin().port) as daemon:
        for bytes_ in (100000, 100001):
            path = serve("gzip", bytes(bytes_))
            with Client(daemon.address("web")) as client:
                client.send(get(path))
                try:
                    equal(len(client.read().body), 100000, "content")
                    equal(bytes_, 100000, "what passes")
                except CutShort as error:
                    equal(bytes_, 100001, f"what is cut short: {error}")
        for name, wanted in (('filter_events_total{filter="decompress",event="stopped"}', 1),
                             ("decoders_bytes", 0)):
            becomes(lambda name=name: daemon.metrics().get(f"bascule_{name}"), wanted, name)


# ---- requests


@test_fronts("coded requests are decoded for the origin")
def _(front):
    for coding in codings() + ["deflate, gzip"]:
        path = unique()
        data = PAGE
        for word in coding.split(", "):
            data = code(word, data)
        response = ask_front(front, path, f"Content-Encoding: {coding}", method="POST", body=data)
        equal(response.status, 200, coding)
        request = origin().wait_request(path)
        equal(request.body, PAGE, coding)
        check(not request.has("Content-Encoding") and not request.has("Content-Length"),
              f"{coding}: {request.fields}")


@test_fronts("codings that are not known get 415 and those that are")
def _(front):
    for coding in ("aes128gcm", "gzip, gzip, gzip, gzip, gzip"):
        path = unique()
        response = ask_front(front, path, f"Content-Encoding: {coding}", method="POST", body=b"x")
        equal((response.status, response.get("Accept-Encoding")),
              (415, "gzip, deflate" + "".join(f", {c}" for c in codings()[2:])), coding)
        equal(origin().seen(path), [], "requests to the origin")


@test_fronts("broken requests get 400, bombs 413, and the origin takes neither for whole")
def _(front):
    good = gzip.compress(PAGE)
    for data, status in ((good[:-3], 400), (good + b"x", 400), (b"not gzip at all", 400),
                         (member(), 413)):
        path = unique()
        response = ask_front(front, path, "Content-Encoding: gzip", method="POST", body=data)
        equal(response.status, status, "status")
        equal(origin().seen(path), [], "whole requests at the origin")


@test("the limit of request content counts for what is decoded")
def _():
    conf = CONF.replace("@FILTERS@", 'filters = ( { filter = "body_limit"; max = "2000"; }, '
                                     '{ filter = "decompress"; requests = true; } );')
    with Daemon(conf, ORIGIN=origin().port) as daemon:
        for bytes_, status in ((2000, 200), (2001, 413)):
            response = ask(daemon.address("web"),
                           post("/limit", gzip.compress(bytes(bytes_)), "Content-Encoding: gzip"),
                           "POST")
            equal(response.status, status, f"{bytes_} bytes")


@both("a client that stops in the middle of a coded request")
def _(way):
    path = unique()
    with Client(proxy().address(way.listener)) as client:
        client.send(head(f"POST {way.target(origin(), path)} HTTP/1.1",
                         f"Host: {way.host(origin())}", "Content-Encoding: gzip",
                         "Content-Length: 1000") + gzip.compress(PAGE)[:500])
        client.reset()
    equal(ask(proxy().address(way.listener),
              get(way.target(origin(), serve("gzip")), host=way.host(origin()))).body, PAGE, "next")
    equal(origin().seen(path), [], "whole requests at the origin")


main()
