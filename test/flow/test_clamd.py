# SPDX-License-Identifier: BSD-2-Clause
"""Malware is found by clamd in what is downloaded and uploaded (filter clamd)."""

import gzip
import io
import random
import threading
import zipfile
import zlib

from bascule_flow import (WAIT, Client, CutShort, Daemon, Failure, Origin, Skip, answer,
                          answer_chunked, ask, check, chunks, equal, get, head, main, once, one_of,
                          post, test)
from caching import FRONTS, test_fronts, unique
from clamd import EICAR, NAME, Clamd, ScriptedClamd, judge
from h2 import WINDOW, h2c, request

K = 1024

# What is up to 64 KB is held whole; of what is longer the last 16 KB.
LISTENERS = """
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "all";
      filters = ( { filter = "clamd"; to = "@CLAMD@"; whole = "64K"; hold = "16K";
                    max_size = "3M"; } ); },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; access_log = "all";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535";
      filters = ( { filter = "clamd"; to = "@CLAMD@"; whole = "64K"; hold = "16K";
                    max_size = "3M"; } ); }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
forward_to_sites = false;
"""

CONF = LISTENERS + """
workers = 2;
sites = ( { name = "all"; default = true; group = "origin"; } );
"""


def filler(bytes_):
    """That does not compress."""
    return random.Random(bytes_).randbytes(bytes_)


def brotli(data):
    """Without compression: RFC 7932 section 9.2."""
    start = (len(data) - 1) << 4 | 1 << 20
    return start.to_bytes(3, "little") + data + b"\x03"


def zipped(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", data)
    return file.getvalue()


def form(*parts, boundary="xyz"):
    """multipart/form-data: (header lines, content) each part."""
    text = b""
    for lines, content in parts:
        text += b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), lines.encode(), content)
    return text + b"--%s--\r\n" % boundary.encode()


def file_part(name, content, kind="application/octet-stream"):
    return (f'Content-Disposition: form-data; name="f"; filename="{name}"\r\n'
            f"Content-Type: {kind}", content)


FORM = "Content-Type: multipart/form-data; boundary=xyz"

origin = once(Origin)
clamd = once(Clamd)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, CLAMD=clamd().address)


def counts(daemon):
    found = {}
    for name, value in daemon.metrics().items():
        if name.startswith('bascule_filter_events_total{filter="clamd"'):
            found[name.split('event="')[1].split('"')[0]] = value
    return found


def difference(daemon, function):
    before = counts(daemon)
    result = function()
    after = counts(daemon)
    return result, {name: int(after[name] - before.get(name, 0)) for name in after
                    if after[name] != before.get(name, 0)}


def fetch(front, body, *fields, path=None, daemon=None, asking=(), **more):
    path = path or unique("download")
    origin().on(path, answer(body, *fields))
    return front.ask(daemon or proxy(), origin().port, path, *asking, **more)


def is_refused(response):
    equal(response.status, 403, "status")
    check(NAME.encode() in response.body, f"the page does not name what was found: {response.body}")
    equal(response.get("Cache-Control"), "no-store", "Cache-Control of the page")


def is_cut(front, body, path=None, respond=None):
    """The head comes, and content, but not all of it, and the client can tell."""
    path = path or unique("cut")
    origin().on(path, respond or answer(body))
    with front.open(proxy()) as asker:
        try:
            asker.ask(origin().port, path)
        except CutShort:
            return
    raise Failure("infected content came whole")


# ---- downloads


@test_fronts("clean content passes, whatever its length")
def _(front):
    for bytes_ in (1, 100, 64 * K, 64 * K + 1, 64 * K + 16 * K, 300 * K):
        body = filler(bytes_)
        response, events = difference(proxy(), lambda body=body: fetch(front, body))
        equal(response.status, 200, "status")
        check(response.body == body, f"content of {bytes_} bytes is damaged")
        equal(response.get("Content-Length"), str(bytes_), "Content-Length")
        equal(events, {"scanned": 1, "clean": 1}, "events")


@test_fronts("what is held whole is refused with a page that names what was found")
def _(front):
    for body in (EICAR, b"x" * 40000 + EICAR, zipped(EICAR)):
        response, events = difference(proxy(), lambda body=body: fetch(front, body))
        is_refused(response)
        equal(events, {"scanned": 1, "infected": 1}, "events")


@test_fronts("what is longer is cut short before its last block")
def _(front):
    for body in (EICAR + filler(200 * K), filler(200 * K) + EICAR):
        is_cut(front, body)


@test_fronts("content that comes byte by byte, or in chunks")
def _(front):
    path = unique("bytewise")
    origin().on(path, lambda _, link: link.send(answer(b"clean " * 20), bytewise=True))
    equal(front.ask(proxy(), origin().port, path).body, b"clean " * 20, "clean content")
    path = unique("bytewise")
    origin().on(path, lambda _, link: link.send(answer(EICAR), bytewise=True))
    is_refused(front.ask(proxy(), origin().port, path))
    path = unique("chunked")
    origin().on(path, answer_chunked(filler(150 * K), EICAR[:30], EICAR[30:]))
    is_cut(front, b"", path, answer_chunked(filler(150 * K), EICAR[:30], EICAR[30:]))
    pieces = [filler(70 * K), filler(70 * K)]
    origin().on(path, answer_chunked(*pieces, trailers=["X-Sum: 1"]))
    check(front.ask(proxy(), origin().port, path).body == b"".join(pieces), "chunked content")


@test_fronts("what is under a content coding is scanned, and passes as it came")
def _(front):
    for coding, encode in (("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli)):
        clean = b"harmless " * 1000
        response = fetch(front, encode(clean), f"Content-Encoding: {coding}")
        equal((response.status, response.get("Content-Encoding")), (200, coding), "clean")
        check(response.body == encode(clean), f"{coding} is not what came")
        is_refused(fetch(front, encode(filler(3000) + EICAR), f"Content-Encoding: {coding}"))
    is_refused(fetch(front, gzip.compress(gzip.compress(EICAR)), "Content-Encoding: gzip, gzip"))
    is_cut(front, b"", respond=answer(gzip.compress(filler(150 * K) + EICAR),
                                      "Content-Encoding: gzip"))
    body = gzip.compress(filler(150 * K))
    check(fetch(front, body, "Content-Encoding: gzip").body == body, "long and clean")


@test_fronts("a coding that is unknown, or broken, is refused")
def _(front):
    for coding, body in (("secret", b"xyz"), ("gzip", b"no gzip"),
                         ("gzip", gzip.compress(b"x" * 5000)[:-9]),
                         ("gzip", gzip.compress(bytes(30 << 20), 9) + b"x")):
        response = fetch(front, body, f"Content-Encoding: {coding}")
        equal(response.status, 403, f"status of {coding} {body[:10]}")
        check(b"cannot be checked" in response.body, f"the page: {response.body}")


@test_fronts("whole content is asked for, in codings that are understood")
def _(front):
    path = unique("range")
    fetch(front, b"whole", path=path, asking=("Range: bytes=1-2", 'If-Range: "x"',
                                              "Accept-Encoding: dcb, gzip;q=0.5, br, *"))
    request = origin().wait_request(path)
    equal((request.has("Range"), request.has("If-Range")), (False, False), "ranges")
    equal(request.get("Accept-Encoding"), "gzip;q=0.5, br", "Accept-Encoding")


@test_fronts("a part of content that nobody asked for is refused")
def _(front):
    path = unique("part")
    origin().on(path, answer(b"part", "Content-Range: bytes 4-7/100",
                             status="206 Partial Content"))
    response, events = difference(proxy(), lambda: front.ask(proxy(), origin().port, path))
    equal((response.status, events), (403, {"partial": 1}), "status and events")


@test_fronts("messages without content are not scanned")
def _(front):
    path = unique("bare")
    origin().on(path, head("HTTP/1.1 200 OK", "Content-Length: 5000"))
    response, events = difference(
        proxy(), lambda: front.ask(proxy(), origin().port, path, method="HEAD"))
    equal((response.status, events), (200, {}), "HEAD")
    for status in ("304 Not Modified", "204 No Content"):
        origin().on(path, head(f"HTTP/1.1 {status}", 'ETag: "a"'))
        response, events = difference(
            proxy(), lambda: front.ask(proxy(), origin().port, path, 'If-None-Match: "a"'))
        equal((response.status, events), (int(status[:3]), {}), status)
    response, events = difference(proxy(), lambda: fetch(front, b""))
    equal((response.status, events), (200, {}), "empty content")


@test_fronts("content that is cut short is not taken for whole")
def _(front):
    for body in (b"x" * 100, filler(200 * K)):
        path = unique("aborted")
        text = head("HTTP/1.1 200 OK", f"Content-Length: {len(body) + 10}") + body

        def broken(_request, link, text=text):
            link.send(text)
            link.close()

        origin().on(path, broken)
        try:
            response = front.ask(proxy(), origin().port, path)
            equal((response.status, len(body)), (502, 100), "status, of what is held")
        except CutShort:
            pass


@test_fronts("of what is longer than max_size the beginning is scanned")
def _(front):
    body = filler((3 << 20) + 50 * K)
    response, events = difference(proxy(), lambda: fetch(front, body))
    check(response.body == body, "content is damaged")
    equal(events, {"scanned": 1, "clean": 1, "too_large": 1}, "events")
    is_cut(front, EICAR + body)


@test("the verdict is in the log, and on the page for browsers")
def _():
    path = unique("log")
    origin().on(path, answer(EICAR))
    ask(proxy().address("web"), get(path, "Accept: text/html"))
    record = proxy().wait_record(path)
    equal((record["rule"], record["filters"]),
          (f"clamd:{NAME}", f"clamd: download has {NAME} in it"), "rule, and what filters did")
    proxy().wait_log(f"{NAME} found in the download of site.test{path} for client 127")


# ---- uploads


@test_fronts("uploads: clean ones arrive, infected ones do not")
def _(front):
    for body in (b"clean", filler(300 * K)):
        path = unique("upload")
        response = front.ask(proxy(), origin().port, path, method="POST", body=body)
        equal(response.status, 200, "status")
        check(origin().wait_request(path).body == body, "what arrived")
    for body in (EICAR, zipped(EICAR), filler(300 * K) + EICAR):
        path = unique("upload")
        response, events = difference(proxy(), lambda body=body, path=path: front.ask(
            proxy(), origin().port, path, method="POST", body=body))
        is_refused(response)
        equal(events.get("infected"), 1, "infected")
        equal(origin().seen(path), [], "whole requests at the origin")
        if len(body) < 64 * K:
            check(all(r.target != path for r in origin().heads), "the origin heard of it")


@test_fronts("each file of a form is scanned, however long the form is")
def _(front):
    for before in (100, 200 * K):
        clean = form(('Content-Disposition: form-data; name="a"', b"text"),
                     file_part("a", filler(before)), file_part("b", b"harmless"),
                     file_part("empty", b""))
        path = unique("form")
        response = front.ask(proxy(), origin().port, path, FORM, method="POST", body=clean)
        equal(response.status, 200, "clean form")
        check(origin().wait_request(path).body == clean, "the form as it came")
        path = unique("form")
        bad = form(file_part("a", filler(before)), file_part("b", b"x"),
                   file_part("c", zipped(EICAR)), file_part("d", b"y"))
        response = front.ask(proxy(), origin().port, path, FORM, method="POST", body=bad)
        is_refused(response)
        equal(origin().seen(path), [], "whole requests at the origin")


@test_fronts("a malformed form is refused")
def _(front):
    for body in (b"no form at all", form(file_part("a", b"x"))[:-4]):
        path = unique("malformed")
        response = front.ask(proxy(), origin().port, path, FORM, method="POST", body=body)
        equal((response.status, origin().seen(path)), (403, []), "status, and what arrived")


@test("uploads in chunks, byte by byte, compressed, and with 100-continue")
def _():
    address = proxy().address("web")
    for body, status in ((b"clean", 200), (EICAR, 403)):
        path = unique("odd")
        start = head(f"POST {path} HTTP/1.1", "Host: site.test", "Transfer-Encoding: chunked")
        equal(ask(address, start + chunks(body[:3], body[3:]), "POST", bytewise=True).status,
              status, "bytewise")
        equal(ask(address, post(path, gzip.compress(body), "Content-Encoding: gzip"),
                  "POST").status, status, "gzip")
        equal(ask(address, post(path, body, "Connection: upgrade", "Upgrade: other"),
                  "POST").status, status, "with a wish to upgrade")
        with Client(address) as client:
            client.send(head(f"POST {path} HTTP/1.1", "Host: site.test", "Expect: 100-continue",
                             f"Content-Length: {len(body)}"))
            equal(client.line("100"), b"HTTP/1.1 100 Continue", "interim")
            client.line("the end of the head")
            client.send(body)
            equal(client.read("POST").status, status, "after 100")


@test("an upload that the client breaks off leaves nothing behind")
def _():
    for bytes_ in (10, 200 * K):
        path = unique("broken")
        with Client(proxy().address("web")) as client:
            client.send(head(f"POST {path} HTTP/1.1", "Host: site.test", "Content-Length: 900000"))
            client.send(filler(bytes_))
        if bytes_ > 64 * K:
            origin().wait_aborted(path)
    equal(ask(proxy().address("web"), get("/after")).status, 200, "the next request")


# ---- cached sites

CACHED = LISTENERS + """
workers = 2;
stores = ( { name = "main"; memory = "32M"; } );
sites = ( { name = "all"; default = true; group = "origin"; cache = "main"; } );
"""


@once
def caching():
    return Daemon(CACHED, ORIGIN=origin().port, CLAMD=clamd().address)


@test("what is cached was scanned once")
def _():
    for body in (b"kept", filler(300 * K)):
        path = unique("kept")
        origin().on(path, answer(body, "Cache-Control: max-age=1000"))
        for front in FRONTS[:2]:
            for _ in range(2):
                response, events = difference(caching(), lambda front=front, path=path: front.ask(
                    caching(), origin().port, path))
                check(response.body == body, "content")
            equal(events, {}, "events of a hit")
        equal(len(origin().seen(path)), 1, "requests at the origin")


@test("what is infected is not cached, nor its page")
def _():
    for body in (EICAR, filler(300 * K) + EICAR):
        path = unique("never")
        for i in range(2):
            origin().on(path, answer(body, "Cache-Control: max-age=1000"))
            try:
                is_refused(FRONTS[i].ask(caching(), origin().port, path))
            except CutShort:
                check(len(body) > 64 * K, "cut short")
        origin().on(path, answer(b"good now", "Cache-Control: max-age=1000"))
        equal(FRONTS[0].ask(caching(), origin().port, path).body, b"good now", "once it is good")


# ---- clamds that follow a script

ODD = """
workers = 1;
held_content = "4M";
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin";
            filters = ( { filter = "clamd"; to = [ @TO@ ]; @OPTIONS@ } ); } );
@MORE@
"""


def odd(options="", *to, more=""):
    return Daemon(ODD, ORIGIN=origin().port, TO=", ".join(f'"{one}"' for one in to),
                  OPTIONS=options, MORE=more)


def download(daemon, body, *fields):
    path = unique("odd")
    origin().on(path, answer(body, *fields))
    return ask(daemon.address("web"), get(path))


def outcome(daemon, body):
    try:
        response = download(daemon, body)
    except CutShort:
        return "cut"
    return response.status if response.status != 200 or response.body == body else "damaged"


LONG = filler(1500 * K)


@test("no verdict: closed refuses, open passes")
def _():
    scripts = (
        lambda talk: talk.all() and talk.say(b"HELLO\0"),
        lambda talk: talk.all() and talk.say(b"x" * 5000),
        lambda talk: talk.all() and talk.say(b"stream: OK"),    # and the end of the stream
        lambda talk: talk.all() and talk.say(b"stream: no memory ERROR\0"),
        lambda talk: talk.chunk(),
        lambda talk: None,
    )
    server = ScriptedClamd()
    with odd("retry = \"1ms\";", server.address) as closed, \
            odd('on_failure = "open"; retry = "1ms";', server.address) as opened:
        for i, script in enumerate(scripts):
            server.script = script
            one_of_both = (outcome(closed, b"short"), outcome(closed, LONG))
            check(one_of_both in ((503, 503), (503, "cut")), f"closed, {i}: {one_of_both}")
            equal((outcome(opened, b"short"), outcome(opened, LONG)), (200, 200), f"open, {i}")
        is_over = threading.Event()
        server.script = lambda talk: talk.say(b"stream: OK\0") or is_over.wait(30)
        check(outcome(closed, filler(16 * K * K)) in (503, "cut"), "clean before it had seen all")
        is_over.set()
        server.script = judge
        equal((outcome(closed, b"short"), outcome(closed, LONG)), (200, 200), "in order again")
        equal(outcome(closed, EICAR), 403, "in order again")
    server.close()


@test("a clamd that says nothing runs into the timeout")
def _():
    server = ScriptedClamd(lambda talk: talk.all() and talk.sock.recv(1))
    with odd('timeout = "50ms"; retry = "1ms";', server.address) as daemon:
        equal(outcome(daemon, b"short"), 503, "short content")
        # 503 if it says nothing from the beginning: nothing is on its way then.
        one_of(outcome(daemon, LONG), ("cut", 503), "long content")
    server.close()


@test("when one clamd fails, the next one is asked")
def _():
    bad = ScriptedClamd(lambda talk: talk.all() and talk.say(b"oops\0"))
    good = ScriptedClamd()
    with odd("", "127.0.0.1:1", bad.address, good.address) as daemon:
        equal(outcome(daemon, b"short"), 200, "clean")
        equal(outcome(daemon, EICAR), 403, "infected")
        equal(len(bad.talks), 1, "times that the bad one was asked")
    bad.close()
    good.close()


@test("clamd is killed while it scans, and comes back")
def _():
    own = Clamd()
    try:
        with odd('retry = "1ms"; whole = "0";', own.address) as daemon:
            equal(outcome(daemon, LONG), 200, "before")
            path = unique("killed")
            text = answer(LONG)
            dead = threading.Event()

            def halves(_request, link):
                link.send(text[:700000])
                own.kill()
                dead.set()
                link.try_send(text[700000:])

            origin().on(path, halves)
            try:
                equal(ask(daemon.address("web"), get(path)).status, 503, "status")
            except CutShort:
                pass
            check(dead.wait(WAIT), "it is not dead")
            equal(outcome(daemon, b"short"), 503, "without it")
            own.start()
            equal((outcome(daemon, b"short"), outcome(daemon, EICAR)), (200, "cut"), "after")
    finally:
        own.close()


@test("longer than clamd's StreamMaxLength: no verdict, or what larger says")
def _():
    body = filler(5 << 20)  # it takes 4 MB
    for options, expected in (('max_size = "20M";', "cut"),
                              ('max_size = "20M"; larger = "pass";', 200),
                              ('max_size = "20M"; larger = "refuse";', "cut"),
                              ('max_size = "20M"; on_failure = "open";', 200),
                              ('max_size = "1M"; larger = "refuse";', 403),
                              ('max_size = "1M"; larger = "pass";', 200)):
        with odd(options, clamd().address) as daemon:
            equal(outcome(daemon, body), expected, options)
            equal(counts(daemon)["too_large"], 1, f"count, {options}")


@test("a slow clamd slows the origin, and not much is held")
def _():
    go = threading.Event()

    def slow(talk):
        for _ in range(4):
            talk.chunk()
        go.wait(WAIT)
        judge(talk)

    server = ScriptedClamd(slow)
    total = 12 << 20
    sent = []

    def big(_request, link):
        link.send(head("HTTP/1.1 200 OK", f"Content-Length: {total}"))
        block = bytes(1 << 16)
        for i in range(total >> 16):
            link.send(block)
            sent.append(i)

    origin().on("/big", big)
    with odd('whole = "128K";', server.address) as daemon:
        with Client(daemon.address("web")) as client:
            client.send(get("/big"))
            server.wait_for(lambda: server.talks and len(server.talks[0].content) > 60000, "it")
            while True:
                before = len(sent)
                if go.wait(0.3) or len(sent) == before:
                    break
            check(len(sent) < (total >> 16), "all of it was taken")
            go.set()
            equal(len(client.read().body), total, "length")
    server.close()


@test("a verdict that comes while an HTTP/2 client gives no credit resets the stream later")
def _():
    go, ended = threading.Event(), threading.Event()

    def finds(talk):
        while len(talk.content) < WINDOW + 64 * K: # all that the window takes may pass
            talk.chunk()
        go.wait(WAIT)
        talk.say(b"stream: Scripted-Test FOUND\0")
        while talk.sock.recv(K):
            pass
        ended.set()

    server = ScriptedClamd(finds)
    path = unique("credit")
    origin().on(path, answer(filler(300 * K)))
    with odd('whole = "16K";', server.address) as daemon:
        with h2c(daemon.address("web")).greet() as stream:
            stream.is_generous = False
            number = stream.open(request(path))
            content = stream.answers[number]
            stream.until(lambda: content.received == WINDOW, "what the window takes")
            go.set()
            check(ended.wait(WAIT), "the scan goes on")
            stream.give_credit(0, WINDOW)
            stream.give_credit(number, WINDOW)
            stream.until(lambda: content.reset is not None, "RST_STREAM")
            equal((content.received, content.is_complete), (WINDOW, False), "content")
    server.close()


@test("patience: the client gets its beginning, then a byte now and then")
def _():
    go = threading.Event()

    def thinks(talk):
        talk.all()
        go.wait(WAIT)
        talk.say(b"stream: OK\0")

    server = ScriptedClamd(thinks)
    body = filler(100 * K)
    path = unique("patience")
    origin().on(path, answer(body))
    with odd('patience = "20ms"; hold = "32K";', server.address) as daemon:
        with Client(daemon.address("web")) as client:
            client.send(get(path))
            start = client.line("a status line")
            equal(start, b"HTTP/1.1 200 OK", "the head")
            while client.line("the head"):
                pass
            early = client.exactly(68 * K + 3)
            go.set()
            check(early + client.exactly(32 * K - 3) == body, "content")
    server.close()


@test("patience: an origin that is slow, with content that would be held whole")
def _():
    go = threading.Event()

    def slow(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 2000") + b"x" * 1000)
        go.wait(WAIT)
        link.send(b"y" * 1000)

    server = ScriptedClamd()
    path = unique("slow")
    origin().on(path, slow)
    with odd('patience = "20ms"; hold = "100";', server.address) as daemon:
        with Client(daemon.address("web")) as client:
            client.send(get(path))
            while client.line("the head"):
                pass
            equal(client.exactly(901), b"x" * 901, "the beginning, and one byte more")
            go.set()
            equal(client.exactly(1099), b"x" * 99 + b"y" * 1000, "the rest")
    server.close()


@test("what cannot be read, and parts: scanned as they come, or not, by option")
def _():
    part = ("Content-Range: bytes 0-3/100",)
    for word, scanned in (("scan", True), ("pass", False)):
        with odd(f'undecodable = "{word}"; partial = "{word}";', clamd().address) as daemon:
            for coding in ("secret", "gzip"):
                response = download(daemon, b"xyz" + EICAR, f"Content-Encoding: {coding}")
                equal(response.status, 403 if scanned else 200, f"{coding}, {word}")
            path = unique("part")
            origin().on(path, answer(EICAR, *part, status="206 Partial Content"))
            equal(ask(daemon.address("web"), get(path)).status, 403 if scanned else 206, word)
            for body, status in ((b"no form " + EICAR, 403), # what is held is scanned as it is, too
                                 (b"no form", 200),
                                 (form(file_part("a", LONG)) + EICAR, 403 if scanned else 200)):
                response = ask(daemon.address("web"), post(unique("form"), body, FORM), "POST")
                equal(response.status, status, f"form, {word}")


@test("types and extensions are passed over, and rules decide otherwise")
def _():
    policy = """
policies = ( { name = "p"; rules = (
    { when = { path = "/always*"; }; scan = "always"; },
    { when = { path = "/never*"; }; scan = "never"; } ); } );
"""
    conf = ODD.replace('name = "all";', 'name = "all"; policy = "p";')
    with Daemon(conf, ORIGIN=origin().port, TO=f'"{clamd().address}"', MORE=policy,
                OPTIONS='skip_types = "image/*"; skip_extensions = [ "mp4" ];') as daemon:
        for path, kind, status in (("/a.mp4", "text/plain", 200), ("/a.exe", "text/plain", 403),
                                   ("/a", "image/png", 200), ("/always.mp4", "image/png", 403),
                                   ("/never", "text/plain", 200)):
            origin().on(path, answer(EICAR, f"Content-Type: {kind}"))
            equal(ask(daemon.address("web"), get(path)).status, status, path)
        equal(counts(daemon)["skipped"], 3, "skipped")


@test("log_only: everything passes and is told")
def _():
    with odd("log_only = true;", clamd().address) as daemon:
        equal((outcome(daemon, EICAR), outcome(daemon, LONG + EICAR)), (200, 200), "downloads")
        equal(ask(daemon.address("web"), post("/trial", EICAR), "POST").status, 200, "upload")
        equal(counts(daemon)["infected"], 3, "counted")
        daemon.wait_log(r"\(log_only\)")
    with odd("log_only = true;", "127.0.0.1:1") as daemon:
        equal(outcome(daemon, b"x"), 200, "without clamd")


@test("a reload while content is scanned")
def _():
    go = threading.Event()
    server = ScriptedClamd(lambda talk: (talk.all(), go.wait(WAIT), talk.say(b"stream: OK\0")))
    path = unique("reload")
    origin().on(path, answer(b"content"))
    with odd("", server.address) as daemon:
        with Client(daemon.address("web")) as client:
            client.send(get(path))
            server.wait_for(lambda: server.talks and server.talks[0].has_end, "it")
            daemon.reload()
            go.set()
            equal(client.read().body, b"content", "content")
    server.close()


@test("a client that goes away while clamd thinks ends the scan")
def _():
    ended = threading.Event()

    def thinks(talk):
        talk.all()
        if not talk.sock.recv(1):
            ended.set()

    server = ScriptedClamd(thinks)
    with odd("", server.address) as daemon:
        for body in (b"short", LONG):
            path = unique("gone")
            origin().on(path, answer(body))
            ended.clear()
            server.forget()
            with Client(daemon.address("web")) as client:
                client.send(get(path))
                server.wait_for(lambda: server.talks and server.talks[0].has_end, "it")
                client.reset()
            check(ended.wait(WAIT), "the scan goes on")
    server.close()


@test("what all wait for is bounded: one scan more than there may be gets 503")
def _():
    go = threading.Event()
    server = ScriptedClamd(lambda talk: (talk.all(), go.wait(WAIT), talk.say(b"stream: OK\0")))
    path = unique("bounded")
    origin().on(path, answer(b"content"))
    with odd("max_connections = 1; max_waiting = 0;", server.address) as daemon:
        with Client(daemon.address("web")) as client:
            client.send(get(path))
            server.wait_for(lambda: server.talks and server.talks[0].has_end, "it")
            equal(ask(daemon.address("web"), get(path)).status, 503, "the second")
            go.set()
            equal(client.read().status, 200, "the first")
    server.close()


main()
