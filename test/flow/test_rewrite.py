# SPDX-License-Identifier: BSD-2-Clause
"""Text that is replaced and inserted in content as it passes (filter rewrite)."""

import gzip
import threading
import zlib

from bascule_flow import (REVERSE, WAIT, Client, CutShort, Daemon, Failure, Origin, answer,
                          answer_chunked, bytewise, check, chunks, equal, get, head, main, once,
                          one_of, test)
from caching import is_hit, test_fronts, unique

CONF = """
workers = 1;
forward_to_sites = false;
stores = ( { name = "main"; memory = "64M"; max_memory_object = "1M"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; @FILTERS@ },
    { name = "plain"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "zipped"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "compress"; },
                  { filter = "rewrite"; replace = ( { find = "old"; with = "new"; } ); } ); },
    { name = "strict"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "rewrite"; on_limit = "refuse"; max_size = "8K";
                    replace = ( { regex = "(a+)+b"; with = ""; } ); } ); },
    { name = "patient"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "rewrite"; replace = ( { regex = "(a+)+b"; with = ""; } ); } ); },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "main"; @FILTERS@ }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; } );
sites = (
    { name = "all"; default = true; group = "origin"; cache = "main"; routes = (
        { path_prefix = "/fetch/"; cache = "main";
          filters = ( { filter = "rewrite"; side = "fetch";
                        replace = ( { find = "once"; with = "twice"; } ); } ); } ); }
);
"""

FILTERS = """
filters = ( { filter = "rewrite"; requests = true; fields = [ "Location", "X-App" ];
              replace = ( { find = "old.example"; with = "new.example"; },
                          { regex = "build (\\\\d+)(?=;)"; with = "version \\\\1";
                            ignore_case = true; } );
              insert = ( { at = "head_end"; text = "<script src=/x.js></script>"; },
                         { at = "body_end"; text = "<p>the end"; } ); } );
"""

PAGE = (b"<!DOCTYPE html><html><head><title>old.example</title></head><body class='>'>\n"
        b"<a href=http://old.example/>Build 7; build 8</a><!-- </body> --></body></html>\n")
MADE = (b"<!DOCTYPE html><html><head><title>new.example</title><script src=/x.js></script></head>"
        b"<body class='>'>\n<a href=http://new.example/>version 7; build 8</a><!-- </body> -->"
        b"<p>the end</body></html>\n")
HTML = "Content-Type: text/html; charset=utf-8"

origin = once(Origin)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, FILTERS=FILTERS)


def fetch(front, handler, *ask, path=None, method="GET", body=None):
    path = path or unique()
    origin().on(path, handler)
    return front.ask(proxy(), origin().port, path, *ask, method=method, body=body)


def at(listener, path, *fields, method="GET"):
    with Client(proxy().address(listener)) as client:
        return client.ask(get(path, *fields, method=method), method)


# ---- content


@test_fronts("HTML is changed; what describes the old bytes goes")
def _(front):
    response = fetch(front, answer(PAGE, HTML, 'ETag: "a"', "Accept-Ranges: bytes",
                                   "Content-MD5: x", "Repr-Digest: y", "X-Other: old.example",
                                   "X-App: old.example build 3;"))
    equal(response.body, MADE, "content")
    equal(response.get("ETag"), 'W/"a"', "ETag")
    for name in ("Accept-Ranges", "Content-MD5", "Repr-Digest"):
        check(not response.has(name), f"{name} stayed")
    equal((response.get("X-Other"), response.get("X-App")),
          ("old.example", "new.example version 3;"), "fields")


@test_fronts("content that comes one byte at a time, with a length and in chunks")
def _(front):
    equal(fetch(front, bytewise(answer(PAGE, HTML))).body, MADE, "with a length")
    equal(fetch(front, answer_chunked(*(PAGE[i:i + 1] for i in range(len(PAGE))),
                                      fields=(HTML,))).body, MADE, "in chunks")
    for cut in range(1, len(PAGE), 11):
        equal(fetch(front, answer_chunked(PAGE[:cut], PAGE[cut:], fields=(HTML,))).body, MADE,
              f"cut at {cut}")


@test_fronts("coded content is decoded; other codings are not asked for")
def _(front):
    path = unique()
    coded = gzip.compress(PAGE)
    response = fetch(front, answer(coded, HTML, "Content-Encoding: gzip"),
                     "Accept-Encoding: sdch, gzip;q=0.5, x", path=path)
    equal((response.body, response.get("Content-Encoding")), (MADE, None), "content")
    one_of(origin().seen(path)[-1].get("Accept-Encoding"), ("gzip;q=0.5", "gzip"), "asked for")
    response = fetch(front, bytewise(answer(coded, HTML, "Content-Encoding: gzip")))
    equal(response.body, MADE, "bytewise")
    response = fetch(front, answer(b"old.example", HTML, "Content-Encoding: sdch"))
    equal(response.body, b"old.example", "what cannot be read")


@test_fronts("other types and encodings, no-transform and empty content pass")
def _(front):
    for fields in (("Content-Type: image/png",), (HTML, "Cache-Control: no-transform"),
                   ("Content-Type: text/html; charset=utf-16le",)):
        response = fetch(front, answer(PAGE, 'ETag: "a"', *fields))
        equal((response.body, response.get("ETag")), (PAGE, '"a"'), str(fields))
    equal(fetch(front, answer(b"", HTML)).body, b"", "empty content")
    equal(fetch(front, answer(b"old.example", "Content-Type: application/json")).body,
          b"new.example", "JSON")


@test_fronts("ranges are not asked for; HEAD and 304 say what GET would")
def _(front):
    path = unique()
    response = fetch(front, answer(PAGE, HTML), "Range: bytes=5-9", 'If-Range: "a"', path=path)
    equal((response.status, response.body), (200, MADE), "a part")
    check(not origin().seen(path)[-1].has("Range"), "a part was asked for")
    response = fetch(front, head("HTTP/1.1 200 OK", HTML, 'ETag: "a"',
                                 f"Content-Length: {len(PAGE)}"), method="HEAD")
    equal((response.get("ETag"), response.get("Content-Length")), ('W/"a"', None), "HEAD")
    response = fetch(front, head("HTTP/1.1 304 Not Modified", 'ETag: "a"'), 'If-None-Match: "a"')
    equal((response.status, response.body), (304, b""), "304")
    response = fetch(front, head("HTTP/1.1 304 Not Modified", 'ETag: "a"'), 'If-None-Match: W/"a"')
    equal((response.status, response.get("ETag")), (304, 'W/"a"'), "304 of what was changed")


@test_fronts("what is cached stays as it came: each listener makes its own of it")
def _(front):
    path = unique("cached")
    fields = (HTML, "Cache-Control: max-age=60", 'ETag: "a"')
    equal(fetch(front, answer(PAGE, *fields), path=path).body, MADE, "the first")
    is_hit(front.ask(proxy(), origin().port, path), MADE)
    equal(len(origin().seen(path)), 1, "requests")
    if front.way is REVERSE:
        is_hit(at("plain", path), PAGE)
    if front.way is REVERSE:
        path = "/fetch" + unique()
        origin().on(path, answer(b"only once", *fields))
        equal(at("plain", path).body, b"only twice", "on the side of fetch")
        is_hit(at("plain", path), b"only twice")


@test_fronts("a response that is cut short stays so")
def _(front):
    def short(_request, link):
        link.send(head("HTTP/1.1 200 OK", HTML, "Content-Length: 5000") + PAGE)
        link.half_close()

    try:
        fetch(front, short)
    except CutShort:
        return
    raise Failure("it was told as whole")


@test_fronts("requests are changed, too")
def _(front):
    path = unique("up")
    origin().on(path, answer(b"thanks"))
    front.ask(proxy(), origin().port, path, "Content-Type: text/html", method="POST",
              body=b"at old.example <body> build 1;")
    equal(origin().seen(path)[-1].body, b"at new.example <body> version 1;", "content")
    front.ask(proxy(), origin().port, path, "Content-Type: text/plain", method="POST",
              body=b"at old.example")
    equal(origin().seen(path)[-1].body, b"at old.example", "of another type")


@test("replaced first, compressed then")
def _():
    path = unique()
    origin().on(path, answer(b"old " * 1000, HTML))
    response = at("zipped", path, "Accept-Encoding: gzip")
    equal((response.get("Content-Encoding"), gzip.decompress(response.body)),
          ("gzip", b"new " * 1000), "content")
    origin().on(path, answer(zlib.compress(b"old " * 1000), HTML, "Content-Encoding: deflate"))
    equal(gzip.decompress(at("zipped", path, "Accept-Encoding: gzip").body), b"new " * 1000,
          "of another coding")


@test("content that takes an expression too much work passes, or is cut")
def _():
    path = unique()
    hostile = (b"a" * 30 + b"c") * 200
    origin().on(path, answer(hostile, HTML))
    equal(at("patient", path).body, hostile, "content")
    try:
        at("strict", path)
        check(False, "it was told as whole")
    except CutShort:
        pass
    origin().on(path, answer(b"x" * 9000, HTML))
    equal(at("strict", path).status, 502, "over max_size")
    check('filter="rewrite",event="limits"' in str(proxy().metrics()), "it is not counted")


@test("a stream is not held up by what cannot match")
def _():
    seen = threading.Event()

    def stream(_request, link):
        link.send(head("HTTP/1.1 200 OK", HTML, "Transfer-Encoding: chunked")
                  + b"6\r\nhi the\r\n")
        seen.wait(WAIT)
        link.send(chunks(b"re old.example"))

    path = unique()
    origin().on(path, stream)
    with Client(proxy().address("web")) as client:
        client.send(get(path))
        while b"hi the" not in client.buffer:
            client.fill()
        seen.set()
        check(client.read().body.endswith(b"hi there new.example<p>the end"), "content")


@test("a reload while content passes")
def _():
    with Daemon(CONF, ORIGIN=origin().port, FILTERS=FILTERS) as daemon:
        path = unique()

        def slow(_request, link):
            link.send(head("HTTP/1.1 200 OK", HTML, f"Content-Length: {len(PAGE)}") + PAGE[:60])
            daemon.reload()
            link.send(PAGE[60:])

        origin().on(path, slow)
        with Client(daemon.address("web")) as client:
            equal(client.ask(get(path)).body, MADE, "content")


main()
