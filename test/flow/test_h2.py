# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/2 from clients, raw and real ones: messages whole both ways, streams that do not stand in
each other's way, limits, and an orderly end."""

import os
import re
import shutil
import subprocess
import tempfile
import threading

from bascule_flow import (FACTOR, WAIT, Daemon, Origin, Skip, answer, answer_chunked, check, equal,
                          head, main, once, one_of, test)
from certs import Certificates
from h2 import END_STREAM, Error, Kind, Setting, h2c, request
from peers import SilentPort, until
from wire import CutShort

CONF = """
workers = 2;
stop_timeout = "20s";
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; tls = { certificates = "@PEM@"; }; },
    { name = "tight"; mode = "reverse"; listen = "127.0.0.1:0";
      limits = { line = "400"; head = "2K"; fields = 20; body = "10K"; requests = 5; };
      http2 = { window = "16K"; buffer = "64K"; }; },
    { name = "hasty"; mode = "reverse"; listen = "127.0.0.1:0";
      timeouts = { head = "@MS@ms"; idle = "@MS@ms"; }; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; },
    { name = "stuck"; max_fails = 0; endpoints = [ "127.0.0.1:@SILENT@" ];
      timeouts = { connect = "60s"; }; }
);
sites = (
    { name = "all"; default = true; group = "origin"; },
    { name = "stuck"; hosts = [ "stuck.test" ]; group = "stuck"; }
);
"""
BLOB = os.urandom(3_000_000)

silent = once(SilentPort)


@once
def origin():
    server = Origin()
    server.on("/echo", lambda request, link: answer(request.body))
    server.on("/blob", answer(BLOB))
    server.on("/chunked", answer_chunked(b"one", b"two", trailers=("X-Sum: 6",),
                                         fields=("Trailer: X-Sum",)))
    server.on("/hints", head("HTTP/1.1 103 Early Hints", "Link: </style.css>") +
              head("HTTP/1.1 103 Early Hints", "Link: </more.css>") + answer(b"final"))
    return server


@once
def certificates():
    return Certificates()


@once
def pem():
    certificates().authority("root")
    return certificates().issue("site", "root", ["DNS:site.test", "IP:127.0.0.1"])


def start(conf=CONF):
    return Daemon(conf, ORIGIN=origin().port, SILENT=silent().port, PEM=pem(),
                  MS=int(400 * FACTOR))


@once
def proxy():
    return start()


def client(settings=(), listener="web", daemon=None):
    return h2c((daemon or proxy()).address(listener), settings).greet()


class Held:
    """An answer, its content too, that waits until go()."""

    def __init__(self, target):
        self.may_go = threading.Event()
        origin().on(target, self.serve)

    def serve(self, _request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 8") + b"half")
        self.may_go.wait(WAIT)
        link.send(b"done")

    def go(self):
        self.may_go.set()


# ---- messages


@test("what a request says gets to the origin as HTTP/1.1, and back")
def _():
    with client() as c:
        found = c.ask(request("/echo?a=b", ("x-one", "1"), ("x-one", "2"), ("accept", "*/*"),
                              ("cookie", "a=b"), ("cookie", "c=d"), method="PUT"), b"content")
    equal(found.status, 200, "status")
    seen = origin().wait_request("/echo?a=b")
    equal((seen.method, seen.version, seen.get("Host"), seen.all("x-one"), seen.get("cookie"),
           seen.get("X-Forwarded-Proto"), seen.body),
          ("PUT", "1.1", "site.test", ["1", "2"], "a=b; c=d", "http", b"content"), "the request")
    check(seen.get("Via").startswith("2 "), f"Via: {seen.get('Via')}")
    record = proxy().wait_record("/echo?a=b")
    check("2" in record["version"], f"protocol in the log: {record['version']}")


@test("content with and without a length is passed on, with its trailers")
def _():
    with client() as c:
        stream = c.open(request("/echo", method="POST"), end=False)
        c.put(Kind.DATA, 0, stream, b"one")
        c.put(Kind.DATA, 0, stream, b"two")
        c.trailers(stream, [("x-sum", "6")])
        equal(c.answer(stream).body, b"onetwo", "content")
        seen = origin().seen("/echo")[-1]
        equal((seen.framing, seen.trailers), ("chunked", [("x-sum", "6")]), "at the origin")
        stream = c.open(request("/echo", ("content-length", "3"), method="POST"), end=False)
        c.send_data(stream, b"two")
        equal(c.answer(stream).body, b"two", "content")
        equal(origin().seen("/echo")[-1].framing, "length", "framing at the origin")
        found = c.ask(request("/chunked", ("te", "trailers")))
        equal((found.body, found.trailers), (b"onetwo", [("x-sum", "6")]), "response")
        check(not found.has("transfer-encoding"), "Transfer-Encoding in HTTP/2")


@test("HEAD, 204 and 304 have no content, and their streams end with the head")
def _():
    origin().on("/204", head("HTTP/1.1 204 No Content"))
    origin().on("/304", head("HTTP/1.1 304 Not Modified", 'ETag: "x"'))
    origin().on("/length", lambda request, link: answer(b"content")[:-7]
                if request.method == "HEAD" else answer(b"content"))
    with client() as c:
        found = c.ask(request("/length", method="HEAD"))
        equal((found.get("content-length"), found.received), ("7", 0), "HEAD")
        for status in (204, 304):
            found = c.ask(request(f"/{status}"))
            equal((found.status, found.body), (status, b""), "head and content")


@test("interim responses come before the final one; 100 comes when it is asked for")
def _():
    with client() as c:
        found = c.ask(request("/hints"))
        equal([(i.status, i.get("link")) for i in found.interim],
              [(103, "</style.css>"), (103, "</more.css>")], "interim responses")
        equal(found.body, b"final", "content")
        stream = c.open(request("/echo", ("expect", "100-continue"), method="POST"), end=False)
        c.until(lambda: c.answers[stream].interim, "100")
        equal(c.answers[stream].interim[0].status, 100, "status")
        c.send_data(stream, b"content")
        equal(c.answer(stream).body, b"content", "content")


@test("a response that is cut short resets its stream, and only that")
def _():
    def cut(_request, link):
        link.send(answer(b"x" * 1000)[:-500])
        link.reset()

    origin().on("/cut", cut)
    with client() as c:
        other = c.open(request("/echo", method="POST"), end=False)
        stream = c.open(request("/cut"))
        one_of(c.reset_of(stream), (Error.INTERNAL_ERROR, Error.CANCEL), "error")
        c.send_data(other, b"alive")
        equal(c.answer(other).body, b"alive", "content of another stream")


@test("a client that resets a stream ends the request at the origin, and only that")
def _():
    seen = []
    origin().on("/wait", lambda request, link: seen.append(link.rest()) or link.close())
    with client() as c:
        before = proxy().metrics()["bascule_client_aborts_total"]
        stream = c.open(request("/wait"))
        origin().wait_request("/wait")
        c.reset_stream(stream)
        until(lambda: seen, "the origin notices")
        equal(c.ask(request()).status, 200, "status of another")
        until(lambda: proxy().metrics()["bascule_client_aborts_total"] > before, "the count")


# ---- many streams


@test("a hundred streams at a time, answered as they come")
def _():
    gates = [threading.Event() for _ in range(100)]
    for i, gate in enumerate(gates):
        origin().on(f"/gate{i}", lambda request, link, i=i, gate=gate:
                    gate.wait(WAIT) and answer(b"%d" % i))
    with client() as c:
        streams = [c.open(request(f"/gate{i}")) for i in range(100)]
        for i in range(100):
            origin().wait_request(f"/gate{i}")
        for i in reversed(range(100)):
            gates[i].set()
            equal(c.answer(streams[i]).body, b"%d" % i, f"content of stream {streams[i]}")


@test("one slow reader: the others go on, and what waits for it is bounded")
def _():
    sent = []

    def endless(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 100000000"))
        link.wait = 60
        for _ in range(100):
            link.send(bytes(1_000_000))
            sent.append(1_000_000)

    origin().on("/endless", endless)
    with client() as c:
        c.is_generous = False
        slow = c.open(request("/endless"))
        c.until(lambda: c.stream_credit[slow] == 0, "what the window allows")
        c.is_generous = True
        c.give_credit(0, c.answers[slow].received)
        for _ in range(5):
            found = c.ask(request("/blob"))
            check(found.body == BLOB, "the content of another stream differs")
        check(sum(sent) < 20_000_000, f"{sum(sent)} bytes were taken for who does not read")
        equal(c.answers[slow].received, 65535, "bytes of the slow stream")
        c.reset_stream(slow)
        equal(c.ask(request()).status, 200, "status afterwards")


@test("one slow taker: content waits within its window, the others go on")
def _():
    with client() as c:
        stuck = c.open(request("/stuck", method="POST", authority="stuck.test"), end=False)
        room = c.stream_debt[stuck]
        c.send_data(stuck, bytes(room), end=False)
        c.ping()
        equal(c.stream_debt[stuck], 0, "credit for what nobody takes")
        for _ in range(3):
            found = c.ask(request("/echo", method="POST"), BLOB)
            check(found.body == BLOB, "the content of another stream differs")
        equal(c.stream_debt[stuck], 0, "credit for what nobody takes")
        c.reset_stream(stuck)


@test("what all streams hold together is bounded, and given back when they end")
def _():
    with client(listener="tight") as c:
        stuck = [c.open(request("/stuck", method="POST", authority="stuck.test"), end=False)
                 for _ in range(8)]
        sent = 0
        for stream in stuck:
            while c.debt > 0 and c.stream_debt[stream] > 0:
                piece = min(c.debt, c.stream_debt[stream], 10_000)
                c.debt -= piece
                c.stream_debt[stream] -= piece
                c.put(Kind.DATA, 0, stream, bytes(piece))
                sent += piece
                if c.answers[stream].reset is not None:
                    break
            c.ping()
        check(sent <= 65536 + 65535, f"{sent} bytes were taken where 64K are the budget")
        for stream in stuck:
            c.reset_stream(stream)
    with client(listener="tight") as c:
        equal(c.ask(request("/echo", method="POST"), bytes(5000)).body, bytes(5000), "content")


@test("who is more urgent is sent first (RFC 9218)", timely=True)
def _():
    origin().on("/wide", answer(bytes(1_000_000)))
    with client([(Setting.INITIAL_WINDOW_SIZE, 2**30)]) as c:
        c.is_generous = False
        late = c.open(request("/wide", ("priority", "u=7")))
        c.until(lambda: c.credit == 0, "the connection's window is full")
        early = c.open(request("/wide", ("priority", "u=0")))
        c.head(early)
        before = c.answers[late].received
        for _ in range(20):
            c.ping()  # the urgent one's next piece comes from the origin
            c.give_credit(0, 15_000)
            c.until(lambda: c.credit == 0, "the connection's window is full")
        got = c.answers[early].received
        check(got > 200_000 > c.answers[late].received - before,
              f"urgent {got}, other {c.answers[late].received - before}")


@test("the whole of many large contents passes, both ways at once, in tiny frames too")
def _():
    with client([(Setting.INITIAL_WINDOW_SIZE, 1000)]) as c:
        streams = [c.open(request("/echo", method="POST"), end=False) for _ in range(10)]
        pieces = [BLOB[i * 10_000 : (i + 1) * 10_000] for i in range(10)]
        for at in range(0, 10_000, 1000):
            for stream, piece in zip(streams, pieces):
                c.send_data(stream, piece[at : at + 1000], end=at == 9000)
        for stream, piece in zip(streams, pieces):
            equal(c.answer(stream).body, piece, f"content of stream {stream}")


# ---- limits


@test("what is too long or too much is 414, 431 or 413, and its stream alone ends")
def _():
    for fields, body, status in (
            (request("/" + "x" * 500), None, 414),
            (request("/", ("x-long", "x" * 3000)), None, 431),
            (request("/", *((f"x-{i}", "1") for i in range(30))), None, 431),
            (request("/echo", ("content-length", "20000"), method="POST"), None, 413),
            (request("/echo", method="POST"), bytes(20_000), 413)):
        with client(listener="tight") as c:
            stream = c.open(fields, end=body is None and fields[0][1] != "POST")
            if body is not None:
                c.send_data(stream, body)
            equal(c.head(stream).status, status, f"status of {str(fields)[:80]}")
            c.reset_stream(stream)
            equal(c.ask(request()).status, 200, "status of the next")


@test("a connection that had its share of requests ends with GOAWAY")
def _():
    with client(listener="tight") as c:
        for _ in range(5):
            equal(c.ask(request()).status, 200, "status")
        c.expect_end(Error.NO_ERROR)


@test("an idle connection ends with GOAWAY", timely=True)
def _():
    with client(listener="hasty") as c:
        equal(c.ask(request()).status, 200, "status")
        c.expect_end(Error.NO_ERROR)


@test("a head that never ends, and a preface that never comes, have a deadline", timely=True)
def _():
    with client(listener="hasty") as c:
        c.put(Kind.HEADERS, END_STREAM, 1, b"\x82")
        while c.next() is not None:
            pass
    with h2c(proxy().address("hasty"), preface=b"PRI * HTTP/2.0\r\n") as c:
        c.rest()


# ---- the end


@test("a stop finishes the streams, and says GOAWAY")
def _():
    held = Held("/held")
    with start() as daemon, client(daemon=daemon) as c:
        stream = c.open(request("/held"))
        c.until(lambda: c.answers[stream].body == b"half", "the first half")
        stopping = threading.Thread(target=daemon.stop)
        stopping.start()
        c.until(lambda: c.goaway is not None, "GOAWAY")
        equal(c.goaway[1], Error.NO_ERROR, "error")
        held.go()
        equal(c.answer(stream).body, b"halfdone", "content")
        equal(c.end(), Error.NO_ERROR, "error")
        equal(c.goaway[0], stream, "the last stream")
        c.close()
        stopping.join(WAIT)


@test("a reload disturbs no stream; without its listener a connection ends when they have",
      timely=True)
def _():
    held = Held("/held")
    with start() as daemon, client(daemon=daemon) as c, \
            client(listener="hasty", daemon=daemon) as d:
        stream, other = c.open(request("/held")), d.open(request("/held"))
        for each, number in ((c, stream), (d, other)):
            found = each.answers[number]
            each.until(lambda found=found: found.body == b"half", "the first half")
        daemon.reload(re.sub(r'(?s),\s*\{ name = "hasty".*?\}\s*\n\);', "\n);", CONF, 1))
        held.go()
        equal((c.answer(stream).body, d.answer(other).body), (b"halfdone",) * 2, "content")
        d.expect_end(Error.NO_ERROR)
        try:
            equal(c.ask(request()).status, 200, "status after the reload")
        except CutShort:
            equal(c.end(), Error.NO_ERROR, "error after the reload")


# ---- real clients


def needed(name):
    path = shutil.which(name)
    if path is None:
        raise Skip(f"there is no {name} here")
    return path


def run(program, *words, wait=30):
    environ = {name: value for name, value in os.environ.items()
               if not name.lower().endswith("_proxy")}
    done = subprocess.run([needed(program), *words], env=environ, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=wait * FACTOR, check=False)
    equal(done.returncode, 0, f"exit status of {program} ({done.stderr.decode()[-600:]})")
    return done.stdout


def curl(listener, path, *words):
    base = f"{'https' if listener == 'tls' else 'http'}://{proxy().address(listener)}"
    first = ("--http2", "--cacert", certificates().path("root.pem")) if listener == "tls" else \
        ("--http2-prior-knowledge",)
    return run("curl", "-q", "-sS", *first, *words, base + path)


@test("curl: GET, HEAD, POST and PUT, with and without TLS")
def _():
    for listener in ("web", "tls"):
        found = curl(listener, "/", "-w", " %{http_version} %{http_code}")
        equal(found, b"hello\n 2 200", listener)
        check(curl(listener, "/blob") == BLOB, "the content differs")
        found = curl(listener, "/", "-I").decode()
        check(found.startswith("HTTP/2 200") and "content-length: 6" in found, found)
        equal(curl(listener, "/echo", "-d", "form=1"), b"form=1", "POST")
        path = certificates().path("blob")
        with open(path, "wb") as file:
            file.write(BLOB)
        check(curl(listener, "/echo", "-T", path) == BLOB, "PUT")
        check(curl(listener, "/echo", "-T", path, "-H", "Expect: 100-continue") == BLOB, "Expect")


@test("curl: that it hangs up without TLS's own end is no error of HTTP/2")
def _():
    before = proxy().metrics()
    equal(curl("tls", "/"), b"hello\n", "what is there")
    until(lambda: proxy().metrics()["bascule_connections_open"] <=
          before["bascule_connections_open"], "the connection closed")
    equal(proxy().metrics()["bascule_h2_errors_total"], before["bascule_h2_errors_total"],
          "connections that broke the protocol")


@test("curl: many transfers over one connection")
def _():
    # Small ones: curl 7.88 can forget long ones of which it holds all that there is to read.
    base = f"https://{proxy().address('tls')}"
    found = curl("tls", "/", "--parallel", "-w", "%{num_connects}\n",
                 *(word for i in range(40) for word in ("-o", os.devnull, f"{base}/part?{i}")),
                 "-o", os.devnull)
    check(sum(int(line) for line in found.split()) <= 2, f"connections: {found}")


@test("nghttp: a page with its parts, trailers, and priorities")
def _():
    for listener, scheme in (("web", "http"), ("tls", "https")):
        base = f"{scheme}://{proxy().address(listener)}"
        equal(run("nghttp", base + "/"), b"hello\n", listener)
        found = run("nghttp", "-nv", "-m", "20", "--no-verify-peer", base + "/", base + "/blob",
                    base + "/hints").decode()
        check(found.count(":status: 200") >= 41 and ":status: 103" in found, found[-2000:])
        path = certificates().path("blob")
        with open(path, "wb") as file:
            file.write(BLOB)
        check(run("nghttp", "-d", path, "--trailer", "x-sum: 1", base + "/echo") == BLOB, "echo")


@test("h2load: every request of many streams succeeds")
def _():
    for listener, scheme in (("web", "http"), ("tls", "https")):
        found = run("h2load", "-n", "2000", "-c", "8", "-m", "32",
                    f"{scheme}://{proxy().address(listener)}/").decode()
        check("2000 succeeded, 0 failed, 0 errored, 0 timeout" in found and
              "status codes: 2000 2xx" in found, found)


PAGE = b"""<!DOCTYPE html><html><body><p id="found">nothing yet</p><script>
addEventListener("load", async () => {
    const parts = await Promise.all([...Array(30).keys()].map(
        async i => (await (await fetch("/part?" + i)).text()).length));
    const body = "x".repeat(300000);
    const back = await (await fetch("/echo", { method: "POST", body })).text();
    const seen = performance.getEntriesByType("resource").map(e => e.nextHopProtocol);
    document.getElementById("found").textContent =
        `parts ${parts.length}, back ${back.length}, ${[...new Set(seen)].join(" ")}`;
});
</script></body></html>"""


@test("Chromium: a page by HTTP/2", timeout=90)
def _():
    name = next((n for n in ("chromium", "chromium-browser", "google-chrome") if shutil.which(n)),
                "chromium")
    origin().on("/page", answer(PAGE, "Content-Type: text/html"))
    profile = tempfile.mkdtemp(prefix="bascule-chromium-")
    try:
        page = run(name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                   "--no-first-run", "--disable-background-networking", "--disable-sync",
                   "--disable-component-update", "--disable-dev-shm-usage",
                   "--ignore-certificate-errors", "--virtual-time-budget=10000",
                   f"--user-data-dir={profile}",
                   f"--host-resolver-rules=MAP * {proxy().address('tls')}", "--dump-dom",
                   "https://site.test/page", wait=60).decode()
    finally:
        shutil.rmtree(profile, ignore_errors=True)
    check("parts 30, back 300000, h2" in page, page[-600:])


main()
