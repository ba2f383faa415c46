# SPDX-License-Identifier: BSD-2-Clause
"""What content is refused for what it is: by type, name, first bytes, size (filter content)."""

import gzip
import os
import shutil
import subprocess
import threading

from bascule_flow import (REVERSE, Client, CutShort, Daemon, Origin, Skip, answer, answer_chunked,
                          bytewise, check, equal, get, head, main, once, test)
from caching import FRONTS, is_hit, test_fronts, unique

CONF = """
workers = 1;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
stores = ( { name = "main"; memory = "64M"; max_memory_object = "1M"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; @FILTERS@ },
    { name = "plain"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "careful"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "content"; deny_true_types = "pe"; log_only = true; } ); },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "main"; @FILTERS@ }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; } );
sites = ( { name = "all"; default = true; group = "origin"; cache = "main"; } );
"""

FILTERS = """
filters = ( { filter = "content"; deny_types = [ "video/*" ]; deny_extensions = [ "scr" ];
              deny_true_types = [ "executable" ]; on_mismatch = "deny"; max_size = "30K";
              uploads = true; } );
"""

EXE = b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + os.urandom(9000)
JPEG = b"\xff\xd8\xff\xe0" + os.urandom(20000)
BOUNDARY = "----bascule7"

origin = once(Origin)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, FILTERS=FILTERS)


def fetch(front, body, *fields, path=None, method="GET", ask=(), handler=None):
    """Asks for a new page with these fields and content."""
    path = path or unique()
    origin().on(path, handler or answer(body, *fields))
    return front.ask(proxy(), origin().port, path, *ask, method=method)


def form(*parts):
    """Content of a form: (parameters, bytes) each."""
    whole = b"".join(f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"f\"{words}\r\n"
                     "Content-Type: application/octet-stream\r\n\r\n".encode() + data + b"\r\n"
                     for words, data in parts)
    return whole + f"--{BOUNDARY}--\r\n".encode()


def upload(front, body, kind=f"multipart/form-data; boundary={BOUNDARY}", path=None,
           method="POST"):
    return front.ask(proxy(), origin().port, path or unique("up"), f"Content-Type: {kind}",
                     method=method, body=body)


# ---- responses


@test_fronts("a program that is called an image is refused, an image passes")
def _(front):
    response = fetch(front, EXE, "Content-Type: image/jpeg", path=unique("a") + ".jpg")
    equal(response.status, 403, "status of a program")
    check(b"pe" in response.body and b"not allowed" in response.body, "the page says no reason")
    response = fetch(front, JPEG, "Content-Type: image/jpeg", path=unique("a") + ".jpg")
    equal((response.status, response.body), (200, JPEG), "an image")


@test_fronts("types, names and mismatches are refused")
def _(front):
    equal(fetch(front, b"x", "Content-Type: Video/mp4").status, 403, "a type")
    equal(fetch(front, b"x", path=unique("a") + ".SCR").status, 403, "an extension")
    equal(fetch(front, b"x", "Content-Disposition: attachment; filename*=utf-8''a.s%63r").status,
          403, "a name in Content-Disposition")
    equal(fetch(front, b"%PDF-1.7", "Content-Type: image/png").status, 403, "a mismatch")
    equal(fetch(front, b"x", "Content-Type: text/plain").status, 200, "text")
    equal(fetch(front, b"", "Content-Type: image/png").status, 200, "nothing")


@test_fronts("first bytes that come one at a time are looked at, and passed on")
def _(front):
    small = EXE[:200]
    equal(fetch(front, None, handler=bytewise(answer(small))).status, 403, "a program")
    equal(fetch(front, None, handler=bytewise(answer_chunked(small))).status, 403, "in chunks")
    text = b"hello " * 40
    equal(fetch(front, None, handler=bytewise(answer_chunked(text))).body, text, "text")


@test_fronts("a content coding hides nothing")
def _(front):
    equal(fetch(front, gzip.compress(EXE), "Content-Encoding: gzip").status, 403, "a program")
    coded = gzip.compress(b"text " * 5000)
    response = fetch(front, coded, "Content-Encoding: gzip", "Content-Type: text/plain")
    equal((response.status, response.body), (200, coded), "text")
    equal(fetch(front, b"?", "Content-Encoding: unknown").status, 403, "an unknown coding")


@test_fronts("no other words about it let a program pass")
def _(front):
    for kind in ("text/event-stream", "application/grpc", "multipart/x-mixed-replace"):
        body = b"\x50\x4b\3\4" + bytes(26) + b"META-INF/MANIFEST.MF" + bytes(500)
        equal(fetch(front, body, f"Content-Type: {kind}").status, 403, f"a jar called {kind}")
    for status in ("300 Multiple Choices", "302 Found", "404 Not Found"):
        equal(fetch(front, None, handler=answer(EXE, "Location: /x", status=status)).status, 403,
              status)
    for fields in (("Content-Type: text/plain", "Content-Type: video/mp4"),
                   ("Content-Type: text/plain, video/mp4",), ("Content-Type: video/mp4, x",),
                   ("Content-Disposition: inline", "Content-Disposition: a; filename=x.scr")):
        equal(fetch(front, b"x", *fields).status, 403, str(fields))
    equal(fetch(front, b"x", path=unique("a") + ".s%63r").status, 403, "an escaped path")
    equal(fetch(front, b"\x7fELF\n%PDF-1.4\n", "Content-Type: application/pdf").status, 403,
          "a program that has PDF in it")


@test_fronts("what was cached by way of others is judged like all")
def _(front):
    for body, status in ((EXE, 403), (b"fine", 200)):
        path = unique("cached")
        origin().on(path, answer(body, "Cache-Control: max-age=60"))
        if front.way is REVERSE:
            with Client(proxy().address("plain")) as client:
                equal(client.ask(get(path)).body, body, "without the filter")
                is_hit(client.ask(get(path)), body)
        for _ in range(3):
            response = front.ask(proxy(), origin().port, path)
            equal(response.status, status, "status")
            check((body == response.body) == (status == 200), "content")
            ranged = front.ask(proxy(), origin().port, path, "Range: bytes=2-")
            equal(ranged.status, status, "status of a part")


@test_fronts("size: what is known is refused, what is not is cut")
def _(front):
    big = b"x" * 40000
    equal(fetch(front, big, "Content-Type: text/plain").status, 403, "status")
    equal(fetch(front, big[:30720], "Content-Type: text/plain").status, 200, "status at the limit")
    try:
        response = fetch(front, None, handler=answer_chunked(*[big[:10000]] * 4))
        equal(response.status, 403, "status of what was cut")
    except CutShort:
        pass


@test_fronts("HEAD, 304 and redirects")
def _(front):
    equal(fetch(front, None, method="HEAD", handler=head(
        "HTTP/1.1 200 OK", "Content-Length: 5", "Content-Type: video/mp4")).status, 403, "HEAD")
    equal(fetch(front, None, method="HEAD", handler=head(
        "HTTP/1.1 200 OK", "Content-Length: 500000")).status, 403, "HEAD of what is too long")
    equal(fetch(front, None, method="HEAD", handler=head(
        "HTTP/1.1 200 OK", "Content-Length: 5", "Content-Type: image/png")).status, 200, "HEAD")
    equal(fetch(front, None, ask=('If-None-Match: "a"',), handler=head(
        "HTTP/1.1 304 Not Modified", 'ETag: "a"', "Content-Type: video/mp4")).status, 304, "304")
    equal(fetch(front, None, handler=answer(b"", "Location: /x.scr", status="302 Found")).status,
          302, "redirect")


@test_fronts("content that is cut short while it is looked at is a 502")
def _(front):
    def short(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 5000") + b"GIF89a")
        link.half_close()

    equal(fetch(front, None, handler=short).status, 502, "status")


@test("endless content that is refused is not read on")
def _():
    for front in FRONTS:
        def endless(_request, link):
            link.send(head("HTTP/1.1 200 OK", "Content-Length: 30000") + EXE)

        equal(fetch(front, None, handler=endless).status, 403, "status")


@test("log_only passes what it would refuse, and says so")
def _():
    path = unique("careful")
    origin().on(path, answer(EXE))
    with Client(proxy().address("careful")) as client:
        equal(client.ask(get(path)).body, EXE, "content")
    metrics = proxy().metrics()
    check('filter="content",event="logged"' in str(metrics), "it is not counted")


@test_fronts("a stream is not held up for long")
def _(front):
    seen = threading.Event()

    def stream(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Type: text/event-stream",
                       "Transfer-Encoding: chunked") + b"9\r\ndata: x\n\n\r\n")
        check(seen.wait(10), "the stream was held up")
        link.send(b"0\r\n\r\n")

    path = unique("stream")
    origin().on(path, stream)
    with front.open(proxy()) as asker:
        started = asker.start(origin().port, path)
        if front.protocol == "HTTP/1.1":
            while b" x\n\n" not in asker.stream.buffer:
                asker.stream.fill()
            seen.set()
            equal(asker.stream.read().status, 200, "status")
        else:
            seen.set()
            equal(asker.stream.answer(started).body, b"data: x\n\n", "content")


@test("zstd hides nothing, and passes")
def _():
    if shutil.which("zstd") is None:
        raise Skip("there is no zstd")
    for body, status in ((EXE[:200] + os.urandom(20000), 403), (b"text %d" * 100, 200),
                         (os.urandom(10000).hex().encode(), 200)):
        coded = subprocess.run(["zstd", "-q", "-c"], input=body, stdout=subprocess.PIPE,
                               check=True).stdout
        path = unique("zstd")
        origin().on(path, answer(coded, "Content-Encoding: zstd"))
        with Client(proxy().address("web")) as client:
            equal(client.ask(get(path, "Accept-Encoding: zstd")).status, status, "status")


# ---- uploads


@test_fronts("every file of a form is judged by itself")
def _(front):
    fine = form(("", b"MZ field"), ("; filename=\"a.jpg\"", JPEG))
    path = unique("up")
    equal(upload(front, fine, path=path).status, 200, "a form that is fine")
    equal(origin().seen(path)[-1].body, fine, "what came of it")
    for bad in (form(("", b"x"), ("; filename=\"a.jpg\"", EXE)),
                form(("; filename=\"a.txt\"", b"x"), ("; filename=\"b.scr\"", b"")),
                form(("; filename=\"a.jpg\"", b"%PDF-1.4"))):
        path = unique("up")
        equal(upload(front, bad, path=path).status, 403, "a form that is not")
        equal(origin().seen(path), [], "whole requests at the origin")
    equal(upload(front, fine[:-30]).status, 400, "a form that is cut short")


@test_fronts("plain uploads are judged")
def _(front):
    equal(upload(front, EXE, "application/octet-stream").status, 403, "a program")
    equal(upload(front, b"x", "text/plain", path="/a.scr", method="PUT").status, 403, "a name")
    equal(upload(front, JPEG, "image/jpeg", path="/a.jpg", method="PUT").status, 200, "an image")
    fields = "application/x-www-form-urlencoded"
    equal(upload(front, b"a=b", fields).status, 200, "fields")
    equal(upload(front, EXE, fields).status, 403, "a program called fields")
    equal(upload(front, b"a=b", fields, path="/a.s%63r/", method="PUT").status, 403, "a name")


@test("a form that comes one byte at a time")
def _():
    body = form(("; filename=\"a.jpg\"", b"#!/bin/sh\n"))
    request = (f"POST /slow HTTP/1.1\r\nHost: site.test\r\nContent-Length: {len(body)}\r\n"
               f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n").encode() + body
    with Client(proxy().address("web")) as client:
        equal(client.ask(request, "POST", bytewise=True).status, 403, "status")
    equal(origin().seen("/slow"), [], "whole requests at the origin")


@test("a reload while content is looked at")
def _():
    with Daemon(CONF, ORIGIN=origin().port, FILTERS=FILTERS) as daemon:
        path = unique("slow")

        def slow(_request, link):
            link.send(head("HTTP/1.1 200 OK", "Content-Length: 5000", "Content-Type: image/png")
                      + b"\x7fEL")
            daemon.reload()
            link.send(b"F" + bytes(4996))

        origin().on(path, slow)
        with Client(daemon.address("web")) as client:
            equal(client.ask(get(path)).status, 403, "status")


main()
