# SPDX-License-Identifier: BSD-2-Clause
"""Parent proxies: HTTP and SOCKS5, their refusals and failures (server/upstream/parent.c)."""

import base64
import os

from bascule_flow import (Client, Daemon, Origin, answer, ask, canned, check, connect_head, equal,
                          get, head, main, once, test)
from peers import Backend, DeadPort, HttpParent, LogReader, SilentPort, Socks5Parent
from wire import read_request_head

# No name server answers: a name that is looked up here is an error.
CONF = """
workers = 1;
resolver = { servers = [ "127.0.0.1:@DEAD@" ]; timeout = "50ms"; tries = 1; limit = "50ms"; };
access_logs = (
    { name = "squid"; to = "@DIR@/squid.log"; format = "squid"; }
);
listeners = (
    { name = "http"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "http://127.0.0.1:@HTTP@"; },
    { name = "hasty-http"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "http://127.0.0.1:@HTTP@"; upstream = { connect = "500ms"; }; },
    { name = "login"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "http://us%65r:p%40ss:w@127.0.0.1:@LOGIN@"; },
    { name = "stranger"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "http://user:wrong@127.0.0.1:@LOGIN@"; },
    { name = "nobody"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "http://127.0.0.1:@LOGIN@"; },
    { name = "socks"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "socks5://127.0.0.1:@SOCKS@"; },
    { name = "hasty-socks"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "socks5://127.0.0.1:@SOCKS@"; upstream = { connect = "500ms"; }; },
    { name = "socks-login"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "socks5://user:p%40ss:w@127.0.0.1:@SOCKSLOGIN@"; },
    { name = "socks-stranger"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "socks5://user:wrong@127.0.0.1:@SOCKSLOGIN@"; },
    { name = "socks-nobody"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "socks5://127.0.0.1:@SOCKSLOGIN@"; },
    { name = "dead"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "http://127.0.0.1:@DEAD@"; },
    { name = "silent"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "socks5://127.0.0.1:@SILENT@"; upstream = { connect = "500ms"; }; },
    { name = "lost"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "http://parent.test:3128"; },
    { name = "inner"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      upstream_proxy = "http://127.0.0.1:@HTTP@"; allow_destination = [ "10.0.0.0/8" ]; }
);
"""

USER, PASSWORD = "user", "p@ss:w"
KINDS = ("http", "socks")

http_parent = once(HttpParent)
socks_parent = once(Socks5Parent)
backend = once(Backend)
origin = once(Origin)
dead = once(DeadPort)
silent = once(SilentPort)


@once
def login_parent():
    return HttpParent(user=USER, password=PASSWORD)


@once
def socks_login_parent():
    return Socks5Parent(user=USER, password=PASSWORD)


@once
def proxy():
    return Daemon(CONF, HTTP=http_parent().port, LOGIN=login_parent().port,
                  SOCKS=socks_parent().port, SOCKSLOGIN=socks_login_parent().port,
                  DEAD=dead().port, SILENT=silent().port)


def parent_of(kind):
    return http_parent() if kind == "http" else socks_parent()


def go(listener, target, *fields, method="GET"):
    return ask(proxy().address(listener), get(target, *fields, host="x", method=method), method)


def go_connect(listener, target):
    """The answer to a CONNECT, and what was sent behind it until the end."""
    with Client(proxy().address(listener)) as client:
        return client.ask(connect_head(target), "CONNECT")


def check_refused(response, status, error, what):
    equal(response.status, status, f"status: {what}")
    value = response.get("Proxy-Status")
    check(f"error={error}" in value.split("; "), f"Proxy-Status: {what}: {value}")


def ping(client, server, word=b"ping"):
    client.send(word)
    equal(server.exactly(len(word)), word, "to the backend")
    server.send(word[::-1])
    equal(client.exactly(len(word)), word[::-1], "to the client")


def both(promise, **options):
    """A test for each kind of parent; the function is given the name of its listener."""

    def add(function):
        for kind in KINDS:
            test(f"{kind}: {promise}", **options)(lambda kind=kind: function(kind))
        return function

    return add


# ---- http:// by way of an HTTP parent


@test("an HTTP parent is asked with the whole URL")
def _():
    parent = http_parent()
    target = "http://www.origin.test:8080/path?query"
    parent.on(target, answer(b"from far", "X-Far: 1"))
    response = go("http", target, "X-Forwarded-For: 10.1.1.1", "Proxy-Authorization: Basic eDp5",
                  "Proxy-Connection: keep-alive")
    equal((response.status, response.body, response.get("X-Far")), (200, b"from far", "1"),
          "answer")
    request = parent.wait_request(target)
    equal(request.get("Host"), "www.origin.test:8080", "Host")
    check(request.get("Via").startswith("1.1 bascule"), "no Via")
    for name in ("X-Forwarded-For", "Proxy-Authorization", "Proxy-Connection"):
        check(not request.has(name), f"{name} reached the parent")


@test("an HTTP parent gets our credentials, and never the client's")
def _():
    target = "http://www.origin.test/login"
    equal(go("login", target, "Proxy-Authorization: Basic eDp5").status, 200, "status")
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    equal(login_parent().wait_request(target).get("Proxy-Authorization"), f"Basic {token}",
          "Proxy-Authorization")


@test("a connection to an HTTP parent serves URLs of all hosts")
def _():
    parent = http_parent()
    go("http", "http://warm.test/")
    before = parent.connections
    for host in ("a.test", "b.test", "c.test:81"):
        go("http", f"http://{host}/shared")
    equal(parent.connections - before, 0, "new connections")


@test("an upload goes by way of an HTTP parent")
def _():
    target, body = "http://www.origin.test/upload", os.urandom(300_000)
    request = head(f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}") + body
    equal(ask(proxy().address("http"), request).status, 200, "status")
    check(http_parent().wait_request(target).body == body, "the upload differs")


@test("407 of an HTTP parent is ours to answer: the client gets 502")
def _():
    for listener in ("stranger", "nobody"):
        response = go(listener, "http://www.origin.test/")
        check_refused(response, 502, "proxy_configuration_error", listener)
        check(not response.has("Proxy-Authenticate"), "the client is challenged")


# ---- tunnels


@both("a tunnel is joined by way of the parent")
def _(kind):
    parent = parent_of(kind)
    target = f"name.test:{backend().port}"
    with Client(proxy().address(kind)) as client:
        client.send(connect_head(target) + b"early")
        with backend().accept() as server:
            equal(client.read("CONNECT").status, 200, "status")
            equal(server.exactly(5), b"early", "what was sent along with CONNECT")
            ping(client, server)
            client.half_close()
            equal(server.rest(), b"", "to the backend")
            server.send(b"late" * 100_000)
            server.half_close()
            check(client.rest() == b"late" * 100_000, "the answer after the half-close differs")
    equal(parent.asked[-1], target, "what the parent was asked for")


@test("an HTTP parent is asked with Host and Via, and with credentials if there are any")
def _():
    target = f"name.test:{backend().port}"
    for listener, parent in (("http", http_parent()), ("login", login_parent())):
        with Client(proxy().address(listener)) as client:
            client.send(connect_head(target, "Proxy-Authorization: Basic eDp5",
                                     "User-Agent: secret"))
            with backend().accept() as server:
                equal(client.read("CONNECT").status, 200, "status")
                ping(client, server)
        request = parent.connects[-1]
        equal(request.target, target, "target")
        equal(request.get("Host"), target, "Host")
        check(request.get("Via").startswith("1.1 bascule"), "no Via")
        check(not request.has("User-Agent"), "the parent learnt the User-Agent")
        equal(request.has("Proxy-Authorization"), listener == "login", "credentials sent")


@test("a SOCKS5 parent is given names as names and addresses as addresses")
def _():
    for host, kind in (("name.test", 3), ("8.8.8.8", 1), ("[2600::1]", 4)):
        with Client(proxy().address("socks")) as client:
            client.send(connect_head(f"{host}:{backend().port}"))
            with backend().accept() as server:
                equal(client.read("CONNECT").status, 200, "status")
                ping(client, server)
        equal((socks_parent().kinds[-1], socks_parent().asked[-1]),
              (kind, f"{host.strip('[]')}:{backend().port}"), f"what was asked for {host}")


@test("a SOCKS5 parent is logged in to")
def _():
    with Client(proxy().address("socks-login")) as client:
        client.send(connect_head(f"name.test:{backend().port}"))
        with backend().accept() as server:
            equal(client.read("CONNECT").status, 200, "status")
            ping(client, server)


@test("http:// by way of a SOCKS5 parent is asked of the origin itself")
def _():
    target = f"http://name.test:{origin().port}/by-socks?q"
    joined, connections = len(socks_parent().asked), origin().connections
    for _ in range(3):
        equal(go("socks", target).status, 200, "status")
    request = origin().wait_request("/by-socks?q")
    equal(request.get("Host"), f"name.test:{origin().port}", "Host")
    check(not request.has("Proxy-Authorization"), "credentials for the parent reached the origin")
    equal((len(socks_parent().asked) - joined, origin().connections - connections), (1, 1),
          "connections for one name")
    equal(go("socks", f"http://other.test:{origin().port}/by-socks").status, 200, "status")
    equal(len(socks_parent().asked) - joined, 2, "connections for two names")


@both("the parent's answer may come a byte at a time, with the server's first words behind it")
def _(kind):
    parent = parent_of(kind)
    accepted = head("HTTP/1.1 200 OK", "Via: 1.1 parent", "Content-Length: 7") if kind == "http" \
        else b"\x05\x00\x00\x03\x09localhost\x00\x50"

    def do(link):
        link.send(accepted + b"220 he", bytewise=True)
        link.send(b"llo\r\n")
        link.rest()

    parent.do = do
    try:
        with Client(proxy().address(kind)) as client:
            equal(client.ask(connect_head("name.test:25"), "CONNECT").status, 200, "status")
            equal(client.line("a greeting"), b"220 hello", "greeting")
    finally:
        parent.do = None


# ---- refusals and failures


@test("a wrong log-in to a parent is 502, and says so")
def _():
    for listener in ("stranger", "nobody", "socks-stranger", "socks-nobody"):
        check_refused(go_connect(listener, "name.test:443"), 502, "proxy_configuration_error",
                      listener)


def say(data):
    return lambda link: link.send(data)


@test("what an HTTP parent refuses is 502 with its reason")
def _():
    try:
        for answered, error in (
                ("403 Forbidden", "http_request_denied"),
                ("504 Gateway Timeout", "connection_timeout"),
                ("502 Bad Gateway", "destination_unavailable"),
                ("302 Found", "destination_unavailable"),
                ("101 Switching Protocols", "destination_unavailable")):
            http_parent().do = say(head(f"HTTP/1.1 {answered}", "Content-Length: 0"))
            check_refused(go_connect("http", "name.test:443"), 502, error, answered)
    finally:
        http_parent().do = None


@test("what a SOCKS5 parent refuses is 502 with its reason")
def _():
    try:
        for code, error in ((1, "destination_unavailable"), (2, "http_request_denied"),
                            (3, "destination_ip_unroutable"), (4, "destination_ip_unroutable"),
                            (5, "connection_refused"), (6, "connection_timeout"),
                            (7, "proxy_configuration_error"), (8, "proxy_configuration_error"),
                            (77, "destination_unavailable")):
            socks_parent().do = say(bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))
            for response in (go_connect("socks", "name.test:443"),
                             go("socks", "http://name.test/")):
                check_refused(response, 502, error, f"code {code}")
    finally:
        socks_parent().do = None


@both("a parent that makes no sense, or breaks off, is 502")
def _(kind):
    parent = parent_of(kind)
    nonsense = [b"220 mail.test ESMTP\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
                b"HTTP/1.1 200 OK\nVia: x\r\n\r\n", b"\0" * 64,
                b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
                head("HTTP/1.1 200 OK", *[f"X-{i}: {'x' * 200}" for i in range(200)])] \
        if kind == "http" else \
        [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x04\x5a\0\0\0\0\0\0",
         b"\x05\x00\x00\x09\0\0\0\0\0\0"]
    broken = [lambda link: link.reset(), lambda link: link.close(),
              lambda link: (link.send(b"HTTP/1.1 200" if kind == "http" else b"\x05\x00"),
                            link.close())]
    try:
        for do in [say(data) for data in nonsense] + broken:
            parent.do = do
            equal(go_connect(kind, "name.test:443").status, 502, "status")
    finally:
        parent.do = None


@both("a parent that says nothing is 504, in bounded time")
def _(kind):
    parent = parent_of(kind)
    parent.do = lambda link: link.rest()
    try:
        check_refused(go_connect(f"hasty-{kind}", "name.test:443"), 504,
                      "connection_read_timeout", "a tunnel")
    finally:
        parent.do = None


@test("a parent that is not there is 502, one that does not answer 504")
def _():
    for response in (go_connect("dead", "name.test:443"), go("dead", "http://name.test/")):
        check_refused(response, 502, "connection_refused", "nobody listens")
    for response in (go_connect("silent", "name.test:443"), go("silent", "http://name.test/")):
        check_refused(response, 504, "connection_timeout", "a full backlog")
    response = go_connect("lost", "name.test:443")
    check(response.status in (502, 504) and "dns" in response.get("Proxy-Status"),
          f"a parent without address: {response.start}")


@both("a tunnel that a parent breaks off is broken off")
def _(kind):
    accepted = head("HTTP/1.1 200 OK") if kind == "http" else b"\x05\0\0\x01" + bytes(6)

    def do(link):
        link.send(accepted)
        link.exactly(4)
        link.reset()

    parent_of(kind).do = do
    try:
        with Client(proxy().address(kind)) as client:
            equal(client.ask(connect_head("name.test:443"), "CONNECT").status, 200, "status")
            client.send(b"ping")
            equal(client.rest(), b"", "to the client")
            check(client.was_reset, "the client saw no reset")
    finally:
        parent_of(kind).do = None


# ---- the guard


@both("forbidden addresses are not asked of a parent")
def _(kind):
    parent = parent_of(kind)
    asked, requests = len(parent.asked), len(parent.requests)
    for host in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]",
                 "[64:ff9b::a9fe:a9fe]", "0.0.0.0", "127.0.0.1."):
        for response in (go(kind, f"http://{host}/"), go(kind, f"https://{host}/"),
                         go_connect(kind, f"{host}:443")):
            check_refused(response, 403, "destination_ip_prohibited", host)
    for host in ("0x7f.1", "2130706433", "127.1"):
        for response in (go(kind, f"http://{host}/"), go_connect(kind, f"{host}:443")):
            equal(response.status, 400, f"status for {host}")
    equal((len(parent.asked), len(parent.requests)), (asked, requests), "what the parent saw")


@test("allow_destination allows addresses behind a parent")
def _():
    equal(go("inner", "http://10.2.3.4/inner").status, 200, "status")
    equal(http_parent().wait_request("http://10.2.3.4/inner").get("Host"), "10.2.3.4", "Host")
    equal(go("inner", "http://192.168.1.1/").status, 403, "status of another network")


# ---- WebSockets, and the log


@both("an Upgrade passes by way of the parent")
def _(kind):
    if kind == "http":
        http_parent().on("http://ws.test/", lambda request, link: switch(link), at="head")
    with Client(proxy().address(kind)) as client:
        port = "" if kind == "http" else f":{backend().port}"
        client.send(get(f"http://ws.test{port}/", "Connection: Upgrade", "Upgrade: websocket",
                        host="x"))
        if kind == "http":
            equal(client.read().status, 101, "status")
            client.send(b"echo")
            equal(client.exactly(4), b"echo", "from the parent")
            return
        with backend().accept() as server:
            read_request_head(server)
            server.send(SWITCH)
            equal(client.read().status, 101, "status")
            ping(client, server)


SWITCH = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")


def switch(link):
    link.send(SWITCH)
    link.send(link.exactly(4))
    link.rest()
    link.is_open = False


@test("the log in squid's format names the parent")
def _():
    http_parent().on("http://logged.test/", canned(answer(b"x")))
    equal(go("http", "http://logged.test/").status, 200, "status")
    line = LogReader(proxy().path("squid.log")).line_with("http://logged.test/")
    equal(line.split()[8], "FIRSTUP_PARENT/127.0.0.1", "peer")


main()
