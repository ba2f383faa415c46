# SPDX-License-Identifier: BSD-2-Clause
"""The forward mode: URLs, ports, clients, destinations, names, sites (modes/forward.c)."""

import json
import os

from bascule_flow import (Client, Daemon, Failure, Origin, answer, ask, check, equal, get,
                          head, main, once, one_of, test)
from peers import (DeadPort, LogReader, NameServer, SilentPort, Trap, becomes, free_port,
                   need_ipv6)

CONF = """
workers = 1; # so that idle connections are where they are looked for
resolver = {
    servers = [ "127.0.0.1:@DNS@" ];
    timeout = "@DNS_TIME@"; tries = 1; limit = "@DNS_TIME@";
    min_ttl = "0s"; negative_ttl = "0s"; stale = "0s";
};
access_logs = (
    { name = "all"; to = "@DIR@/access.log"; format = "json"; },
    { name = "squid"; to = "@DIR@/squid.log"; format = "squid"; }
);
listeners = (
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8", "::1" ]; },
    { name = "hasty"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; upstream = { connect = "300ms"; }; },
    { name = "logged"; mode = "forward"; listen = "127.0.0.1:0"; access_log = "squid";
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "open"; mode = "forward"; listen = "127.0.0.1:0"; anonymity = "off";
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "guard"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535"; },
    { name = "partly"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.2" ]; },
    { name = "listed"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; deny_destination = [ "127.0.0.1", @DENIED@ ]; },
    { name = "closed"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; allow_client = [ "127.0.0.5" ]; },
    { name = "fronted"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ];
      proxy_protocol = true; proxy_protocol_from = [ "127.0.0.0/8" ]; },
    { name = "ports"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ];
      http_ports = [ 80, "@LOW@-@HIGH@" ]; connect_ports = [ "@LOW@-@HIGH@", 443 ]; },
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:@WEB@"; }
);
groups = ( { name = "own"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@OWN@"; } ); } );
sites = ( { name = "own"; hosts = [ "own.test" ]; group = "own"; } );
@MORE@
"""



def lasting(address):
    """What a name server says that may be remembered; for lists of addresses it may not."""
    return {"addresses": [address], "ttl": 60}


@once
def names():
    return NameServer(
        a=lasting("127.0.0.1"), b=lasting("127.0.0.1"), own=["127.0.0.1"],
        loop=["127.0.0.1"], loop6=["::1"], private=["10.1.2.3"], shared=["100.64.0.1"],
        metadata=["169.254.169.254"], linked=["fe80::1"], local=["fd00::1"],
        multicast=["224.0.0.1"], zero=["0.0.0.0", "::"], mapped=["::ffff:127.0.0.1"],
        nat64=["64:ff9b::7f00:1"], sixtofour=["2002:7f00:1::1"], compatible=["::127.0.0.1"],
        alias={"alias": "loop.test"}, all_bad=["127.0.0.1", "10.0.0.1", "::1"],
        mixed=["127.0.0.1", "127.0.0.2"], rebind=["127.0.0.2"],
        broken={"answer": "servfail"}, silent={"answer": "silent"}, empty=[],
        dual=["::1", "127.0.0.1"])


origin = once(Origin)
own = once(Origin)


def pair_of_ports(make_one, make_other):
    """Two things on the same port of two addresses."""
    for _ in range(50):
        one = make_one()
        try:
            return one, make_other(one.port)
        except OSError:
            one.close()
    raise Failure("no port is free on both addresses")


@once
def neighbours():
    """An origin on 127.0.0.2, and a trap on the same port of 127.0.0.1."""
    return pair_of_ports(lambda: Origin(host="127.0.0.2"), lambda port: Trap("127.0.0.1", port))


@once
def web_port():
    return free_port()


@once
def proxy():
    return Daemon(CONF, DNS=names().port, DNS_TIME="1m", LOW=origin().port - 1,
                  HIGH=origin().port + 1, WEB=web_port(), OWN=own().port, MORE="",
                  DENIED='"192.0.2.0/24"')


def lonely(port):
    """One that has another name server, and waits for it but a short time."""
    return Daemon(CONF, DNS=port, DNS_TIME="300ms", LOW=1, HIGH=2, WEB=0, OWN=own().port, MORE="",
                  DENIED='"192.0.2.0/24"')


@once
def log():
    return LogReader(proxy().path("access.log"))


def url(path="/", host="127.0.0.1", port=None):
    return f"http://{host}:{origin().port if port is None else port}{path}"


def go(listener, target, *fields, method="GET", host="unused.test", at=None):
    """One request on a connection of its own."""
    return ask((at or proxy()).address(listener), get(target, *fields, host=host, method=method),
               method)


def go_connect(listener, target, *fields, at=None):
    with Client((at or proxy()).address(listener)) as client:
        return client.ask(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields), "CONNECT")


def at_origin(path, *fields, listener="out", method="GET", body=None):
    """What the origin sees of a request."""
    response = go(listener, url(path), *fields, method=method)
    equal(response.status, 200, "status")
    return origin().wait_request(path)


def error_of(response):
    """The error type of Proxy-Status (RFC 9209 section 2.3), and who says so."""
    value = response.get("Proxy-Status")
    check(value is not None, f"{response.start} without Proxy-Status")
    name, *parameters = value.split("; ")
    check(name.startswith("bascule"), f"Proxy-Status is by {name}")
    return dict(p.split("=", 1) for p in parameters).get("error")


def check_refused(response, status, error, what):
    equal((response.status, error_of(response)), (status, error), what)


# ---- what the origin gets


@test("an absolute URL becomes a path, and its authority the Host")
def _():
    port = origin().port
    for target, path in (
            (f"http://127.0.0.1:{port}/a/b?c=d&e", "/a/b?c=d&e"),
            (f"http://127.0.0.1:{port}", "/"),
            (f"http://127.0.0.1:{port}?q=1", "/?q=1"),
            (f"http://127.0.0.1:{port}/", "/"),
            (f"HTTP://127.0.0.1:{port}/Upper", "/Upper"),
            (f"http://127.0.0.1:{port}/x//y/../z/./%7e%2F", "/x//y/../z/./%7e%2F"),
            (f"http://127.0.0.1:{port}/http://other.test/", "/http://other.test/")):
        origin().forget()
        equal(go("out", target, host="other.test").status, 200, target)
        request = origin().requests[-1]
        equal((request.target, request.get("Host")), (path, f"127.0.0.1:{port}"), target)


@test("OPTIONS for a URL without a path is for the whole server")
def _():
    # RFC 9112 section 3.2.4
    origin().on("*", answer(b"", "Allow: GET"))
    equal(go("out", f"http://127.0.0.1:{origin().port}", method="OPTIONS").status, 200, "status")
    origin().wait_request("*")


@test("a Host that differs from the URL is replaced, a malformed one refused")
def _():
    request = at_origin("/host")
    equal(request.get("Host"), f"127.0.0.1:{origin().port}", "Host")
    for host in ("a b", "a.test:99999", "a.test/", "user@a.test", "[::1"):
        response = go("out", url("/bad-host"), host=host)
        equal(response.status, 400, f"status for Host: {host}")
    check(not origin().seen("/bad-host"), "a request with a bad Host reached the origin")


@test("fields between client and proxy do not reach the origin")
def _():
    request = at_origin(
        "/hops", "Connection: keep-alive, X-Nominated", "X-Nominated: 1", "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic c2VjcmV0", "TE: gzip",
        "Upgrade: websocket", "HTTP2-Settings: AAMAAABk", "Proxy: http://evil.test", "X-Kept: 1")
    for name in ("Connection", "X-Nominated", "Keep-Alive", "Proxy-Connection",
                 "Proxy-Authorization", "TE", "Upgrade", "HTTP2-Settings", "Proxy"):
        check(not request.has(name), f"{name} reached the origin")
    equal(request.get("X-Kept"), "1", "a field for the origin")


@test("fields between origin and proxy do not reach the client")
def _():
    origin().on("/hops-back", answer(
        b"", "Connection: X-Nominated, keep-alive", "X-Nominated: 1", "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic realm=\"steal\"", "Proxy-Connection: keep-alive",
        "Upgrade: h2c", "X-Kept: 1"))
    response = go("out", url("/hops-back"))
    for name in ("X-Nominated", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Upgrade"):
        check(not response.has(name), f"{name} reached the client")
    equal(response.get("X-Kept"), "1", "a field for the client")


@test("Connection cannot take away what every recipient relies on")
def _():
    request = at_origin("/nominated", "Connection: Cookie, Authorization, Host, Cache-Control",
                        "Cookie: a=1", "Authorization: Basic eDp5", "Cache-Control: no-store")
    equal((request.get("Cookie"), request.get("Authorization"), request.get("Cache-Control")),
          ("a=1", "Basic eDp5", "no-store"), "fields at the origin")


@test("nothing that identifies the client leaves")
def _():
    telling = ["X-Forwarded-For: 10.1.1.1", "Forwarded: for=10.1.1.1", "Client-IP: 10.1.1.1",
               "X-Real-IP: 10.1.1.1", "From: me@office.test", "Via: 1.1 office-proxy",
               "Proxy-Client-IP: 10.1.1.1", "X-Forwarded-Host: office.test"]
    request = at_origin("/anonymous", *telling)
    for field in telling:
        name, value = field.split(": ")
        check(value not in request.all(name), f"{field} reached the origin")
    check("127.0.0.1" not in str([f for f in request.fields if f[0] != "Host"]),
          "the client's address reached the origin")


# ---- Via and loops


@test("Via has a pseudonym, both ways")
def _():
    origin().on("/via", answer(b"", "Via: 1.0 fred"))
    response = go("out", url("/via"))
    via = origin().wait_request("/via").get("Via")
    version, name = via.split(" ")
    equal(version, "1.1", "version in Via")
    check(name.startswith("bascule"), f"Via has the name {name}")
    check("127.0.0.1" not in via and os.uname().nodename not in via, f"Via tells who we are: {via}")
    equal(", ".join(response.all("Via")), f"1.0 fred, {via}", "Via of the response")


@test("without anonymity the client's Via is kept in front of ours")
def _():
    via = at_origin("/via-open", "Via: 1.0 fred (a comment)", listener="open").all("Via")
    equal(via[0], "1.0 fred (a comment)", "the first member of Via")
    check(via[-1].startswith("1.1 bascule"), f"ours is not the last of {via}")


@test("a request that was here before is refused")
def _():
    via = at_origin("/via-own").get("Via")
    for fields in ([f"Via: {via}"], ["Via: 1.1 fred", f"Via: 1.0 x, {via} (y), 1.1 z"]):
        check_refused(go("open", url("/looped"), *fields), 508, "proxy_loop_detected", "refusal")
    response = go_connect("out", f"127.0.0.1:{origin().port}", f"Via: {via}")
    check_refused(response, 508, "proxy_loop_detected", "refusal of CONNECT")
    check(not origin().seen("/looped"), "a looping request reached the origin")


CHAINED = """
workers = 1;
listeners = ( { name = "out"; mode = "forward"; listen = "127.0.0.1:0";
                upstream_proxy = "http://@PARENT@"; allow_destination = "127.0.0.0/8"; } );
"""


@test("two of us in a row are no loop")
def _():
    origin().on("/chained", answer(b""))
    with Daemon(CHAINED, PARENT=proxy().address("open")) as first:
        equal(ask(first.address("out"), get(url("/chained"))).status, 200, "status")
    names = {via.split(" ")[-1] for via in origin().wait_request("/chained").all("Via")}
    equal(len(names), 2, "pseudonyms in Via")


LOOPED = """
workers = 2;
listeners = ( { name = "out"; mode = "forward"; listen = "127.0.0.1:@PORT@";
                connect_ports = "1-65535"; upstream_proxy = "http://127.0.0.1:@PORT@"; } );
"""


@test("a proxy that is its own parent finds the loop at once")
def _():
    with Daemon(LOOPED, PORT=free_port()) as looped:
        address = looped.address("out")
        response = ask(address, get("http://www.example.com/", host="x"))
        check_refused(response, 508, "proxy_loop_detected", "http://")
        equal(looped.metrics()["bascule_requests_total"], 2, "requests")
        with Client(address) as client:
            response = client.ask(head("CONNECT www.example.com:443 HTTP/1.1", "Host: x"),
                                  "CONNECT")
        check_refused(response, 502, "proxy_loop_detected", "CONNECT")
        response = ask(address, get("https://www.example.com/", host="x"))
        check_refused(response, 502, "proxy_loop_detected", "https://")
        equal(looped.metrics()["bascule_requests_total"], 6, "requests")


# ---- what is no request for a proxy


@test("a page asked of the proxy itself gets 400 with a hint")
def _():
    response = go("out", "/", "Accept: text/html", host="localhost")
    equal(response.status, 400, "status")
    check(b"proxy of your browser" in response.body, "the page has no hint")
    equal(error_of(response), "http_request_error", "Proxy-Status")
    equal(go("out", "*", method="OPTIONS").status, 400, "status of OPTIONS *")


@test("targets that are no URL of ours are refused")
def _():
    for target in ("ftp://127.0.0.1/", "gopher://127.0.0.1/", "file:///etc/passwd", "127.0.0.1",
                   "http:/127.0.0.1/", "http://", "http:///x", "http://@127.0.0.1/",
                   "http://a.test:0/", "http://a.test:65536/",
                   "http://a.test:8o/", "http://user:pw@127.0.0.1/",
                   "http://a..test/", "http://.test/", "http://[::1/", "http://::1/",
                   "http://[127.0.0.1]/", "http://[::1%25lo]/", "http://[fe80::1%251]/",
                   "http://%31%32%37.0.0.1/", "http://127.0.0.1#@a.test/",
                   "http://127.0.0.1\\@a.test/", "http://a.test%00.b.test/", "//127.0.0.1/"):
        equal(go("out", target).status, 400, f"status for {target}")


@test("CONNECT for anything but host:port is refused")
def _():
    for target in ("127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", ":443", "/",
                   "http://127.0.0.1:443", "127.0.0.1:443/", "user@127.0.0.1:443", "*",
                   "127.0.0.1:443:443", "::1:443", "[::1:443"):
        with Client(proxy().address("out")) as client:
            response = client.ask(head(f"CONNECT {target} HTTP/1.1", "Host: x"), "CONNECT")
        equal(response.status, 400, f"status for CONNECT {target}")


@test("CONNECT with content is refused")
def _():
    target = f"127.0.0.1:{origin().port}"
    for field in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        equal(go_connect("out", target, field).status, 400, f"status with {field}")


# ---- ports


@test("ports outside http_ports are refused, and nothing is connected")
def _():
    before = proxy().metrics()
    equal(go("ports", url("/port", host="localhost")).status, 200, "status of a port in the range")
    for port in (origin().port + 2, origin().port - 2, 81, 443):
        check_refused(go("ports", url("/port", port=port)), 403, "http_request_denied",
                      f"port {port}")
    check_refused(go("ports", "https://127.0.0.1/"), 403, "http_request_denied", "https://")
    check_refused(go("guard", url("/port", port=25)), 403, "http_request_denied",
                  "a port that is not in the default")
    becomes(lambda: proxy().metrics()["bascule_requests_denied_total"] -
            before["bascule_requests_denied_total"], 6, "requests denied")
    after = proxy().metrics()
    equal(after["bascule_upstream_connects_total"] - before["bascule_upstream_connects_total"], 1,
          "connections")


@test("ports outside connect_ports are refused, by default all but 443 and 8443")
def _():
    equal(go_connect("ports", f"127.0.0.1:{origin().port}").status, 200, "status in the range")
    for listener, port in (("ports", origin().port + 2), ("ports", 8443), ("logged", 80),
                           ("logged", 22), ("logged", origin().port), ("logged", 444)):
        response = go_connect(listener, f"127.0.0.1:{port}")
        check_refused(response, 403, "http_request_denied", f"port {port} of {listener}")
    for port in (443, 8443):  # allowed as ports; the address is not
        response = go_connect("guard", f"127.0.0.1:{port}")
        equal(error_of(response), "destination_ip_prohibited", f"port {port}")


# ---- clients


@test("clients outside allow_client get a page that says so")
def _():
    before = proxy().metrics()["bascule_requests_denied_total"]
    response = go("closed", url("/closed"), "Accept: text/html,*/*;q=0.8", "User-Agent: refused")
    check_refused(response, 403, "http_request_denied", "refusal of a browser")
    check(response.get("Content-Type").startswith("text/html"), "the page is no HTML")
    check(b"<html" in response.body and b"Your address may not use this proxy" in response.body,
          f"the page says {response.body!r}")
    record = log().record(user_agent="refused")
    equal((record["end"], record["status"], record["cache"]), ("denied", 403, "TCP_DENIED"),
          "access record")
    check(record["rule"].startswith(proxy().conf_path + ":"), f"the rule is {record.get('rule')!r}")
    with open(proxy().conf_path, encoding="utf-8") as file:
        line = file.read().split("\n")[int(record["rule"].rpartition(":")[2]) - 1]
    check('name = "closed"' in line, f"the rule leads to the line {line!r}")
    response = go("closed", url("/closed"), "Accept: application/json")
    equal(response.get("Content-Type"), "application/problem+json", "type for a program")
    equal(json.loads(response.body)["status"], 403, "status in the problem")
    equal(error_of(response), "http_request_denied", "Proxy-Status")
    equal(go_connect("closed", f"127.0.0.1:{origin().port}").status, 403, "status of CONNECT")
    equal(go("closed", "/").status, 403, "status of a page of the proxy itself")
    becomes(lambda: proxy().metrics()["bascule_requests_denied_total"] - before, 4,
            "requests denied")
    check(not origin().seen("/closed"), "the request reached the origin")


@test("clients in allow_client are served")
def _():
    with Client(proxy().address("closed"), source="127.0.0.5") as client:
        equal(client.ask(get(url("/closed-ok"), host="x")).status, 200, "status")


@test("by default only clients of private networks are served")
def _():
    for address, status in (("8.8.8.8", 403), ("198.51.100.1", 403), ("2600::1", 403),
                            ("10.0.0.9", 200), ("192.168.7.7", 200), ("172.31.0.1", 200),
                            ("127.0.0.1", 200), ("fd00::9", 200), ("fe80::1", 200), ("::1", 200)):
        family, local = ("TCP6", "::1") if ":" in address else ("TCP4", "127.0.0.1")
        with Client(proxy().address("fronted")) as client:
            client.send(f"PROXY {family} {address} {local} 1 2\r\n".encode())
            response = client.ask(get(url("/fronted"), host="x"))
            equal(response.status, status, f"status for a client at {address}")


# ---- the guard

FORBIDDEN = [
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1",
    "192.168.0.1", "100.64.0.1", "169.254.169.254", "169.254.0.1", "168.63.129.16", "192.0.0.192",
    "198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "127.0.0.1.",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:FFFF:127.0.0.1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
    "[::ffff:169.254.169.254]", "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::1]", "[2002:a9fe:a9fe::1]", "[2002:c0a8:1::]", "[2001:0:7f00:1::]", "[fe80::1]",
    "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]", "[100::1]",
    "localhost", "LocalHost", "localhost.",
]
ODD = [
    "0x7f.1", "0x7f000001", "0X7F.0.0.1", "2130706433", "017700000001", "0177.0.0.1", "127.1",
    "127.0.1", "127.0.0.01", "00127.0.0.1", "0", "0x0", "127.0.0.0x1", "169.254.43518",
    "2852039166", "0xa9fea9fe", "1.2.3.4.5", "256.256.256.256", "127.0.0.1.2", "0x", "2130706433.",
]


@test("forbidden addresses are refused in every spelling")
def _():
    trap = Trap()
    try:
        for host in FORBIDDEN + ODD:
            status = 400 if host in ODD else 403
            for response in (go("guard", f"http://{host}:{trap.port}/"),
                             go_connect("guard", f"{host}:{trap.port}"),
                             go("guard", f"https://{host}:{trap.port}/")):
                equal(response.status, status, f"status for {host}")
                check(response.has("Proxy-Status"), f"no Proxy-Status for {host}")
            trap.check_untouched(host)
    finally:
        trap.close()


@test("names that lead to forbidden addresses are refused")
def _():
    trap = Trap()
    try:
        for name in ("loop", "loop6", "private", "shared", "metadata", "linked", "local",
                     "multicast", "mapped", "nat64", "sixtofour", "compatible", "alias",
                     "all_bad"):
            for host in (f"{name}.test", f"{name}.TEST."):
                for response in (go("guard", f"http://{host}:{trap.port}/"),
                                 go_connect("guard", f"{host}:{trap.port}")):
                    check_refused(response, 403, "destination_ip_prohibited", host)
                trap.check_untouched(host)
    finally:
        trap.close()


@test("a refusal by the guard is logged with its rule, and counted as denied")
def _():
    before = proxy().metrics()
    go("guard", "http://loop.test:8080/", "User-Agent: guarded")
    record = log().record(user_agent="guarded")
    equal((record["end"], record["status"], record["cache"]), ("denied", 403, "TCP_DENIED"),
          "access record")
    check(record["rule"].startswith(proxy().conf_path + ":"), f"the rule is {record.get('rule')!r}")
    after = proxy().metrics()
    for name, more in (("requests_denied", 1), ("upstream_connect_failures", 0)):
        name = f"bascule_{name}_total"
        equal(after[name] - before[name], more, name)


@test("of a name's addresses only allowed ones are connected")
def _():
    server, trap = neighbours()
    for _ in range(3):
        response = go("partly", f"http://mixed.test:{server.port}/mixed")
        equal(response.status, 200, "status")
    equal(go_connect("partly", f"mixed.test:{server.port}").status, 200, "status of CONNECT")
    trap.check_untouched("mixed.test")
    equal(len(server.seen("/mixed")), 3, "requests at the allowed address")


@test("a name that moves to a forbidden address is judged anew")
def _():
    server, trap = neighbours()
    for _ in range(3):
        names().set(rebind=["127.0.0.2"])
        equal(go("partly", f"http://rebind.test:{server.port}/rebind").status, 200, "status")
        names().set(rebind=["127.0.0.1"])
        for response in (go("partly", f"http://rebind.test:{server.port}/rebind"),
                         go_connect("partly", f"rebind.test:{server.port}")):
            check_refused(response, 403, "destination_ip_prohibited", "after the move")
    trap.check_untouched("rebind.test")


@test("idle connections are judged by the new configuration before they are used again")
def _():
    names().set(kept=lasting("127.0.0.3"))
    server = Origin(host="127.0.0.3")
    try:
        target = f"http://kept.test:{server.port}/kept"
        for _ in range(2):
            equal(go("listed", target).status, 200, "status")
        equal(server.connections, 1, "connections")
        proxy().reload(CONF, DENIED='"127.0.0.3"')
        check_refused(go("listed", target), 403, "destination_ip_prohibited", "after the reload")
        equal((server.connections, len(server.seen("/kept"))), (1, 2), "connections and requests")
    finally:
        proxy().reload(CONF, DENIED='"192.0.2.0/24"')
        server.close()


@test("deny_destination comes before allow_destination")
def _():
    server, _ = neighbours()
    trap = Trap("127.0.0.1")
    try:
        equal(go("listed", f"http://127.0.0.2:{server.port}/listed").status, 200, "status")
        for host in ("127.0.0.1", "loop.test", "[::ffff:127.0.0.1]"):
            check_refused(go("listed", f"http://{host}:{trap.port}/"), 403,
                          "destination_ip_prohibited", host)
            check_refused(go_connect("listed", f"{host}:{trap.port}"), 403,
                          "destination_ip_prohibited", f"CONNECT {host}")
        trap.check_untouched("a denied destination")
    finally:
        trap.close()


# ---- names


@test("a name that does not exist is 502")
def _():
    # an unspecified address is a way to say that there is none
    for name in ("nothing.test", "empty.test", "zero.test", "under_score.nothing.test"):
        for response in (go("out", f"http://{name}/"), go_connect("out", f"{name}:443")):
            check_refused(response, 502, "dns_error", name)


@test("name servers that fail are 502, ones that are silent 504, in bounded time")
def _():
    for response in (go("out", "http://broken.test/"), go_connect("out", "broken.test:443")):
        check_refused(response, 502, "dns_error", "servfail")
    with lonely(names().port) as daemon:
        for response in (go("out", "http://silent.test/", at=daemon),
                         go_connect("out", "silent.test:443", at=daemon)):
            check_refused(response, 504, "dns_timeout", "silence")


@test("without a name server that listens requests fail at once, and addresses go on")
def _():
    dead = DeadPort()
    try:
        with lonely(dead.port) as daemon:
            response = go("out", "http://a.test/", at=daemon)
            one_of((response.status, error_of(response)),
                   {(502, "dns_error"), (504, "dns_timeout")}, "refusal")
            equal(go("out", url("/lonely"), at=daemon).status, 200, "status of an address")
    finally:
        dead.close()


@test("the log says how long names and connections took")
def _():
    names().set(slow={"addresses": ["127.0.0.1"], "delay_ms": 60, "ttl": 0})
    target = url("/slow-name", host="slow.test")
    equal(go("out", target, "User-Agent: slow").status, 200, "status")
    record = log().record(user_agent="slow")
    check(record["dns_us"] >= 50_000, f"dns_us is {record['dns_us']}")
    check(record["duration_us"] >= record["dns_us"] + record["connect_us"], "the total is less")
    check("first_byte_us" in record, "no first_byte_us")


# ---- connecting


@test("IPv6 comes first where it works", timely=True)
def _():
    need_ipv6()
    six, four = pair_of_ports(lambda: Origin(host="::1"),
                              lambda port: Trap("127.0.0.1", port))
    try:
        equal(go("out", f"http://dual.test:{six.port}/six").status, 200, "status")
        equal(six.wait_request("/six").get("Host"), f"dual.test:{six.port}", "Host")
        four.check_untouched("a request that IPv6 can serve")
    finally:
        six.close()
        four.close()


@test("IPv4 takes over where IPv6 refuses or is silent")
def _():
    need_ipv6()
    for make in (lambda: DeadPort("::1"), lambda: SilentPort("::1")):
        six, four = pair_of_ports(make, lambda port: Origin(port=port))
        try:
            equal(go("out", f"http://dual.test:{four.port}/raced").status, 200, "status")
            equal(len(four.seen("/raced")), 1, "requests by way of IPv4")
        finally:
            four.close()
            six.close()


@test("a destination that refuses is 502, one that is silent 504", timely=True)
def _():
    dead, silent = DeadPort(), SilentPort()
    try:
        for what in (dead, silent):
            status, error = (502, "connection_refused") if what is dead else \
                (504, "connection_timeout")
            for response in (go("hasty", url("/", port=what.port)),
                             go_connect("hasty", f"127.0.0.1:{what.port}")):
                check_refused(response, status, error, type(what).__name__)
    finally:
        dead.close()
        silent.close()


@test("an idle connection is not used longer than its name's address is good")
def _():
    server = Origin()
    try:
        names().set(brief=["127.0.0.1"])  # for this moment only
        for _ in range(2):
            target = url("/brief", host="brief.test", port=server.port)
            equal(go("out", target).status, 200, "status")
        equal(server.connections, 2, "connections")
    finally:
        server.close()


@test("connections to a destination are used again, and shared by no two names")
def _():
    server = Origin()
    try:
        before = proxy().metrics()["bascule_upstream_reuses_total"]
        for _ in range(3):
            equal(go("out", url("/again", host="a.test", port=server.port)).status, 200, "status")
        equal(server.connections, 1, "connections for one name")
        equal(proxy().metrics()["bascule_upstream_reuses_total"] - before, 2, "reuses")
        equal(go("out", url("/again", host="b.test", port=server.port)).status, 200, "status")
        equal(go("out", url("/again", port=server.port)).status, 200, "status")
        equal(server.connections, 3, "connections for three names")
        equal(go("out", url("/again", host="A.Test.", port=server.port)).status, 200, "status")
        equal(server.connections, 3, "connections after another spelling of a name")
    finally:
        server.close()


# ---- sites of our own


@test("a site of ours is asked without leaving the house")
def _():
    for target in ("http://own.test/site", f"http://own.test:{web_port()}/site",
                   "http://OWN.TEST./site"):
        own().forget()
        equal(go("guard", target).status, 200, f"status of {target}")
        request = own().wait_request("/site")
        equal(request.get("X-Forwarded-For"), "127.0.0.1", "the client at the site")
        check(request.get("Host").lower().startswith("own.test"), "Host at the site")
    equal(names().asked("own"), 0, "look-ups of the site's name")


@test("the rules of the forward listener hold for sites, too")
def _():
    own().forget()
    equal(go("closed", "http://own.test/closed-site").status, 403, "status of a refused client")
    equal(go("ports", f"http://own.test:{web_port()}/").status, 403, "status of a refused port")
    equal(len(own().requests), 0, "requests at the site")


@test("another port or scheme of a site's name is the internet's")
def _():
    own().forget()
    trap = Trap("127.0.0.1")
    try:
        for response in (go("guard", f"http://own.test:{trap.port}/"),
                         go("guard", f"https://own.test:{trap.port}/"),
                         go_connect("guard", f"own.test:{web_port()}")):
            check_refused(response, 403, "destination_ip_prohibited", "own.test elsewhere")
        trap.check_untouched("own.test")
        equal(len(own().requests), 0, "requests at the site")
    finally:
        trap.close()


@test("forward_to_sites = false sends requests for sites out")
def _():
    own().forget()
    proxy().reload(CONF, MORE="forward_to_sites = false;")
    try:
        check_refused(go("guard", "http://own.test/site"), 403, "destination_ip_prohibited",
                      "the site's name")
        equal(len(own().requests), 0, "requests at the site")
    finally:
        proxy().reload(CONF, MORE="")


# ---- the log as squid has it


@test("the log in squid's format says what was fetched, and what denied")
def _():
    squid = LogReader(proxy().path("squid.log"))
    body = b"x" * 1000
    origin().on("/squid", answer(body, "Content-Type: text/plain; charset=utf-8"))
    equal(go("logged", url("/squid")).status, 200, "status")
    fields = squid.line_with("/squid").split()
    equal(fields[2:4] + fields[5:], ["127.0.0.1", "TCP_MISS/200", "GET", url("/squid"), "-",
                                     "HIER_DIRECT/127.0.0.1", "text/plain"], "line of a GET")
    check(int(fields[4]) >= len(body), f"{fields[4]} bytes are too few")
    equal(go_connect("logged", "127.0.0.1:22").status, 403, "status")
    fields = LogReader(squid.path).line_with("127.0.0.1:22").split()
    equal(fields[2:4] + fields[5:9], ["127.0.0.1", "TCP_DENIED/403", "CONNECT", "127.0.0.1:22",
                                      "-", "HIER_NONE/-"], "line of a denied CONNECT")


main()
