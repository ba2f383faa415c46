# SPDX-License-Identifier: BSD-2-Clause
"""The filter compress: who gets which coding of what, in both modes and protocols."""

import shutil
import subprocess
import tempfile
import time
import zlib

from bascule_flow import (FACTOR, WAIT, Client, CutShort, Daemon, Failure, Origin, Skip,
                          answer, answer_chunked, ask, both, check, equal, get, head, main, once,
                          test)
from caching import Trickle, is_hit, test_fronts, unique
from codings import PAGE, decode, has_coding

CONF = """
workers = 1;
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; filters = ( @COMPRESS@ ); },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; filters = ( @COMPRESS@ );
      allow_destination = [ "127.0.0.0/8" ]; cache = "main"; },
    { name = "six"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "compress"; codings = "gzip"; gzip = 6; flush = "10s"; } ); }
);
stores = ( { name = "main"; } );
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = (
    { name = "all"; default = true; group = "origin"; cache = "main"; },
    { name = "plain"; hosts = [ "plain.test" ]; group = "origin"; }
);
"""

HTML = "Content-Type: text/html; charset=utf-8"
ACCEPT = "Accept-Encoding: gzip"
STORED = "Cache-Control: max-age=600"

origin = once(Origin)


@once
def proxy() -> Daemon:
    return Daemon(CONF, ORIGIN=origin().port, COMPRESS='{ filter = "compress"; }')


def ask_front(front, path, *fields, **more):
    return front.ask(proxy(), origin().port, path, *fields, **more)


def serve(body=PAGE, *fields, **more):
    path = unique()
    origin().on(path, answer(body, *(fields or (HTML,)), **more))
    return path


def expect_coded(response, coding, body=PAGE):
    equal(response.get("Content-Encoding"), coding, "Content-Encoding")
    equal(decode(coding, response.body), body, "content")


# ---- who gets what


@test_fronts("each client gets the coding that it likes best")
def _(front):
    path = serve()
    for accept, coding in (("gzip, deflate, br, zstd", "zstd"), ("gzip, deflate, br", "br"),
                           ("gzip", "gzip"), ("br;q=0.5, gzip", "gzip"), ("*;q=0", None),
                           ("identity, gzip;q=0.9", None), (None, None)):
        if coding is not None and not has_coding(coding):
            continue
        fields = [] if accept is None else [f"Accept-Encoding: {accept}"]
        response = ask_front(front, path, *fields)
        expect_coded(response, coding)
        equal(response.get("Vary"), "Accept-Encoding", "Vary")
        equal(response.has("Content-Length"), coding is None, "a length")
        check(coding is None or len(response.body) * 4 < len(PAGE), "it is hardly shorter")


@test_fronts("what may not be changed, or is of no use, passes as it is")
def _(front):
    for what, path in {
        "no-transform": serve(PAGE, HTML, "Cache-Control: no-transform"),
        "coded already": serve(PAGE, HTML, "Content-Encoding: aes128gcm"),
        "a picture": serve(PAGE, "Content-Type: image/png"),
        "no type": serve(PAGE, "X-Nothing: 1"),
        "short": serve(PAGE[:1000]),
    }.items():
        response = ask_front(front, path, ACCEPT)
        check(response.get("Content-Encoding") in (None, "aes128gcm"), f"{what} was coded")
        check(response.body in (PAGE, PAGE[:1000]), f"{what}: other content")
        check(not response.has("Vary"), f"{what}: Vary {response.all('Vary')}")
    path = serve()
    response = ask_front(front, path, ACCEPT, "Cache-Control: no-transform")
    expect_coded(response, None)
    equal(response.get("Vary"), "Accept-Encoding", "Vary, as others get it coded")


@test_fronts("fields tell of the coded content, and HEAD says what GET would")
def _(front):
    path = serve(PAGE, HTML, 'ETag: "abc"', "Accept-Ranges: bytes", "Content-MD5: x",
                 "Repr-Digest: sha-256=:x:", "Vary: Origin")
    for method in ("GET", "HEAD"):
        response = ask_front(front, path, ACCEPT, method=method)
        equal(response.get("Content-Encoding"), "gzip", method)
        equal(response.get("ETag"), 'W/"abc"', method)
        equal(", ".join(response.all("Vary")), "Origin, Accept-Encoding", method)
        for name in ("Accept-Ranges", "Content-MD5", "Repr-Digest", "Content-Length"):
            check(not response.has(name), f"{method}: {name}")
        response = ask_front(front, path, method=method)
        equal(response.get("ETag"), '"abc"', f"{method}, as it is")
        equal(response.get("Content-Length"), str(len(PAGE)), f"{method}, as it is")


@both("answers to HTTP/1.0 end with the connection")
def _(way):
    path = serve()
    with Client(proxy().address(way.listener)) as client:
        client.send(head(f"GET {way.target(origin(), path)} HTTP/1.0",
                         f"Host: {way.host(origin())}", ACCEPT))
        response = client.read()
    equal(response.framing, "close", "framing")
    expect_coded(response, "gzip")


# ---- conditions and parts


@test_fronts("the weak tag of coded content is known again: 304, from the origin and the cache")
def _(front):
    for stored in (False, True):
        path = unique()
        asked = []

        def serve_tag(request, _link):
            asked.append(request.get("If-None-Match"))
            if '"abc"' in (request.get("If-None-Match") or ""):
                return head("HTTP/1.1 304 Not Modified", 'ETag: "abc"')
            return answer(PAGE, HTML, 'ETag: "abc"', *([STORED] if stored else []))

        origin().on(path, serve_tag)
        etag = ask_front(front, path, ACCEPT).get("ETag")
        equal(etag, 'W/"abc"', "tag of the coded content")
        response = ask_front(front, path, ACCEPT, f"If-None-Match: {etag}")
        equal((response.status, response.get("ETag")), (304, etag), "known again")
        equal(response.get("Vary"), "Accept-Encoding", "Vary of a 304")
        response = ask_front(front, path, 'If-None-Match: "abc"')
        equal((response.status, response.get("ETag")), (304, '"abc"'), "of who has it as it is")
        equal(len(asked), 1 if stored else 3, "requests to the origin")


@test_fronts("If-Match with the weak tag of ours means the origin's strong one")
def _(front):
    path = unique()
    origin().on(path, answer(b"done"))
    ask_front(front, path, 'If-Match: W/"aW/", "b",W/"c"', method="PUT", body=b"x")
    equal(origin().wait_request(path).get("If-Match"), '"aW/", "b","c"', "If-Match")


@test_fronts("parts are never coded, nor what answers a request for one")
def _(front):
    path = unique()

    def serve_part(request, _link):
        if request.has("Range"):
            return answer(PAGE[:2000], HTML, f"Content-Range: bytes 0-1999/{len(PAGE)}",
                          'ETag: "x"', status="206 Partial Content")
        return answer(PAGE, HTML, 'ETag: "x"', STORED)

    origin().on(path, serve_part)
    for _ in range(2):  # from the origin, then from the cache
        response = ask_front(front, path, ACCEPT, "Range: bytes=0-1999")
        equal((response.status, response.get("Content-Encoding")), (206, None), "a part")
        equal((response.body, response.get("ETag")), (PAGE[:2000], '"x"'), "a part")
        equal(response.get("Vary"), "Accept-Encoding", "Vary, as the whole has it")
        expect_coded(ask_front(front, path, ACCEPT), "gzip")
    path = serve()
    expect_coded(ask_front(front, path, ACCEPT, "Range: lines=1-2"), None)


# ---- the cache


@test_fronts("what is stored once is coded for each client")
def _(front):
    path = unique()
    count = []
    origin().on(path, lambda *_: count.append(1) or answer(PAGE, HTML, STORED, 'ETag: "x"'))
    expect_coded(ask_front(front, path), None)
    for coding in ("gzip", "br", "zstd", None, "gzip"):
        if coding is not None and not has_coding(coding):
            continue
        response = ask_front(front, path, f"Accept-Encoding: {coding or 'identity'}")
        is_hit(response)
        expect_coded(response, coding)
    equal(len(count), 1, "requests to the origin")


@test_fronts("precompressed responses pass, and are stored by Vary")
def _(front):
    path = unique()

    def serve_best(request, _link):
        fields = [HTML, STORED, "Vary: Accept-Encoding"]
        if "br" in (request.get("Accept-Encoding") or ""):
            return answer(b"not really brotli" * 100, "Content-Encoding: br", *fields)
        return answer(PAGE, *fields)

    origin().on(path, serve_best)
    for _ in range(2):
        response = ask_front(front, path, "Accept-Encoding: br")
        equal((response.get("Content-Encoding"), len(response.body)), ("br", 1700), "precoded")
        equal(response.get("Vary"), "Accept-Encoding", "Vary")
        expect_coded(ask_front(front, path, ACCEPT), "gzip")


# ---- how it comes


@test_fronts("content comes whole, however it was cut")
def _(front):
    for coding in ("gzip", "br", "zstd"):
        if not has_coding(coding):
            continue
        for body in (PAGE[:3000], PAGE * 20):
            path = unique()
            pieces = [body[i:i + 1013] for i in range(0, len(body), 1013)]
            origin().on(path, answer_chunked(*pieces, fields=[HTML]))
            expect_coded(ask_front(front, path, f"Accept-Encoding: {coding}"), coding, body)


@test_fronts("one byte at a time, and chunked content of any length, even none")
def _(front):
    path = unique()
    data = answer(PAGE[:1500], HTML)
    origin().on(path, lambda _, link: link.send(data, bytewise=True))
    expect_coded(ask_front(front, path, ACCEPT), "gzip", PAGE[:1500])
    path = unique()
    origin().on(path, answer_chunked(fields=[HTML]))
    expect_coded(ask_front(front, path, ACCEPT), "gzip", b"")


@test("trailers come behind coded content")
def _():
    path = unique()
    origin().on(path, answer_chunked(PAGE, trailers=["X-Sum: 7"], fields=[HTML, "Trailer: X-Sum"]))
    response = ask(proxy().address("web"), get(path, ACCEPT, "TE: trailers", host="plain.test"))
    expect_coded(response, "gzip")
    equal(response.trailers, [("X-Sum", "7")], "trailers")


@both("content that is cut short is cut short for the client")
def _(way):
    for trickle in (Trickle(origin(), HTML), Trickle(origin(), HTML, length=100000)):
        with Client(proxy().address(way.listener)) as client:
            client.send(get(way.target(origin(), trickle.path), ACCEPT, host=way.host(origin())))
            trickle.wait()
            trickle.head()
            trickle.piece(PAGE)
            trickle.cut()
            try:
                client.read()
            except CutShort:
                continue
            raise Failure("the response was whole")


@both("a client that goes away in the middle leaves nothing behind")
def _(way):
    trickle = Trickle(origin(), HTML)
    with Client(proxy().address(way.listener)) as client:
        client.send(get(way.target(origin(), trickle.path), ACCEPT, host=way.host(origin())))
        trickle.wait()
        trickle.head()
        trickle.piece(PAGE)
        client.reset()
    trickle.end()
    expect_coded(ask(proxy().address(way.listener),
                     get(way.target(origin(), serve()), ACCEPT, host=way.host(origin()))), "gzip")


def read_events(client, trickle, event, count=3):
    """Sends events; each has to arrive before the next one is sent."""
    decoder = zlib.decompressobj(31)
    seen = wanted = b""
    for number in range(count):
        piece = event % number
        trickle.piece(piece)
        wanted += piece
        while seen != wanted:
            size = int(client.line("a chunk size"), 16)
            seen += decoder.decompress(client.exactly(size, "a chunk"))
            client.exactly(2, "its end")


@both("events arrive one by one, coded; and so does what pauses for longer than flush")
def _(way):
    for listener, type_ in ((way.listener, "text/event-stream"), (way.listener, "text/html"),
                            ("six", "text/event-stream")):
        trickle = Trickle(origin(), f"Content-Type: {type_}")
        target = trickle.path if listener == "six" else way.target(origin(), trickle.path)
        with Client(proxy().address(listener)) as client:
            client.send(get(target, ACCEPT, host=way.host(origin())))
            trickle.wait()
            trickle.head()
            while client.line("the head"):
                pass
            read_events(client, trickle, b"data: %d\n\n")
        trickle.end()


@test("content that is gathered whole is coded whole, even if it trickles")
def _():
    trickle = Trickle(origin(), HTML, length=len(PAGE))
    with Client(proxy().address("six")) as client:
        client.send(get(trickle.path, ACCEPT))
        trickle.wait()
        trickle.head()
        trickle.piece(PAGE[:10000])
        trickle.piece(PAGE[10000:])
        trickle.end()
        expect_coded(client.read(), "gzip")
    big = PAGE * 30  # more than is gathered
    for fields in ([HTML], [HTML, "X-More: 1"]):
        path = unique()
        origin().on(path, answer(big, *fields) if len(fields) > 1 else
                    answer_chunked(big[:400000], big[400000:], fields=fields))
        expect_coded(ask(proxy().address("six"), get(path, ACCEPT)), "gzip", big)


# ---- with others


@both("what other filters make of content is what is coded; reload while it comes")
def _(way):
    conf = CONF.replace('filters = ( @COMPRESS@ );',
                        'filters = ( { filter = "compress"; codings = "gzip"; min = 0; }, '
                        '{ filter = "headers"; response = { set = [ "X-Late: 1" ]; }; } );')
    with Daemon(conf, ORIGIN=origin().port) as daemon:
        trickle = Trickle(origin(), HTML)
        with Client(daemon.address(way.listener)) as client:
            client.send(get(way.target(origin(), trickle.path), "Accept-Encoding: br, gzip",
                            host=way.host(origin())))
            trickle.wait()
            trickle.head()
            trickle.piece(PAGE)
            daemon.reload(conf)
            trickle.piece(PAGE)
            trickle.end()
            response = client.read()
        expect_coded(response, "gzip", PAGE * 2)
        equal(response.get("X-Late"), "1", "the other filter")


@test("it is counted and told")
def _():
    with Daemon(CONF, ORIGIN=origin().port,
                COMPRESS='{ filter = "compress"; codings = "gzip"; }') as daemon:
        path = serve()
        ask(daemon.address("web"), get(path, ACCEPT))
        response = ask(daemon.address("web"), get(path))
        expect_coded(response, None)
        wanted = 'bascule_filter_events_total{filter="compress",event="%s"}'
        end = time.monotonic() + WAIT
        while True:  # bytes are counted when the exchange is over
            metrics = daemon.command("status", "--metrics")
            found = {line.rpartition(" ")[0]: line.rpartition(" ")[2]
                     for line in metrics.splitlines()}
            if found.get(wanted % "bytes_in") == str(len(PAGE)) or time.monotonic() > end:
                break
        equal([found.get(wanted % event) for event in ("gzip", "not_accepted", "bytes_in")],
              ["1", "1", str(len(PAGE))], "counted")
        check(0 < int(found[wanted % "bytes_out"]) < len(PAGE) / 4, "bytes out")


@test("when its memory is used up, content passes as it is")
def _():
    with Daemon(CONF, ORIGIN=origin().port,
                COMPRESS='{ filter = "compress"; br = 11; memory = "1M"; }') as daemon:
        if not has_coding("br"):
            raise Skip("this build has no brotli")
        response = ask(daemon.address("web"), get(serve(PAGE * 30), "Accept-Encoding: br"))
        expect_coded(response, None, PAGE * 30)
        equal(response.get("Vary"), "Accept-Encoding", "Vary")


# ---- real clients


@both("curl reads what it asked for")
def _(way):
    if shutil.which("curl") is None:
        raise Skip("there is no curl here")
    address = proxy().address(way.listener)
    path = serve()
    words = ["-x", f"http://{address}"] if way.name == "forward" else []
    url = f"http://127.0.0.1:{origin().port}{path}" if words else f"http://{address}{path}"
    done = subprocess.run(["curl", "-sS", "--compressed", "--max-time", str(10 * FACTOR), *words,
                           "-o", "-", "-w", "%{stderr}%{size_download}", url],
                          capture_output=True, check=False, timeout=60 * FACTOR)
    equal((done.returncode, done.stdout), (0, PAGE), f"curl: {done.stderr}")
    check(int(done.stderr) < len(PAGE) / 4, f"curl got {done.stderr} bytes")


@test("Chromium shows compressed pages, scripts and styles", timeout=100)
def _():
    name = next((name for name in ("chromium", "chromium-browser", "google-chrome")
                 if shutil.which(name)), None)
    if name is None:
        raise Skip("there is no chromium here")
    script = serve(b"document.getElementById('x').textContent = 'script ' + 'ran';" + b" " * 3000,
                   "Content-Type: application/javascript")
    page = serve(b'<!DOCTYPE html><p id="x">nothing</p>' + PAGE +
                 b'<script src="%s"></script>' % script.encode())
    profile = tempfile.mkdtemp(prefix="bascule-chromium-")
    try:
        done = subprocess.run(
            [name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-dev-shm-usage", "--virtual-time-budget=10000",
             f"--user-data-dir={profile}", "--dump-dom",
             f"http://{proxy().address('web')}{page}"], capture_output=True, text=True,
            check=False, stdin=subprocess.DEVNULL, timeout=60 * FACTOR)
    except subprocess.TimeoutExpired:
        raise Failure("chromium did not show the page") from None
    finally:
        shutil.rmtree(profile, ignore_errors=True)
    check("script ran" in done.stdout and "Paragraph 599" in done.stdout,
          f"chromium showed {done.stdout[-300:]}")


main()
