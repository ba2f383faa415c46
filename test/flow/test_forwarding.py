# SPDX-License-Identifier: BSD-2-Clause
"""Who the client is, as the origin is told and as Bascule itself sees it: X-Forwarded-*, Forwarded
(RFC 7239), PROXY protocol in and out, unix sockets (modes/site_route.c, server/net/listener.c)."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile

from bascule_flow import (WAIT, Client, Daemon, Origin, Skip, answer, check, equal, get, head, main,
                          once, post, test)
from peers import LogReader, becomes

CONF = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = [ "127.0.0.1:0", "[::1]:0" ]; },
    { name = "standard"; mode = "reverse"; listen = [ "127.0.0.1:0", "[::1]:0" ];
      forwarding = "forwarded"; },
    { name = "both"; mode = "reverse"; listen = [ "127.0.0.1:0", "[::1]:0" ]; forwarding = "both";
      trusted_proxies = [ "127.0.0.1", "::1", "192.0.2.0/24" ]; },
    { name = "off"; mode = "reverse"; listen = "127.0.0.1:0"; forwarding = "off";
      trusted_proxies = [ "127.0.0.1" ]; },
    { name = "picky"; mode = "reverse"; listen = "127.0.0.1:0"; trusted_proxies = [ "127.0.0.1" ];
      allow_client = [ "203.0.113.0/24", "2001:db8::/32" ]; },
    { name = "proxied"; mode = "reverse"; listen = [ "127.0.0.1:0", "unix:@DIR@/proxied" ];
      proxy_protocol = true; proxy_protocol_from = [ "127.0.0.1" ];
      trusted_proxies = [ "198.51.100.0/24" ]; },
    { name = "hasty"; mode = "reverse"; listen = "127.0.0.1:0"; proxy_protocol = true;
      proxy_protocol_from = [ "127.0.0.1" ]; timeouts = { head = "300ms"; }; },
    { name = "local"; mode = "reverse"; listen = "unix:@DIR@/local"; forwarding = "both";
      allow_client = [ "203.0.113.0/24" ]; },
    { name = "behind"; mode = "reverse"; listen = "unix:@DIR@/behind"; forwarding = "both";
      trusted_proxies = [ "192.0.2.0/24" ]; },
    { name = "out"; mode = "forward"; listen = "unix:@DIR@/out";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; }
);
groups = (
    { name = "plain"; max_fails = 0; endpoints = [ "127.0.0.1:@PLAIN@" ]; },
    { name = "v1"; max_fails = 0; send_proxy = "v1"; endpoints = [ "127.0.0.1:@PROXIED@" ]; },
    { name = "v2"; max_fails = 0; send_proxy = "v2"; endpoints = [ "127.0.0.1:@PROXIED@" ]; },
    { name = "unix"; max_fails = 0; endpoints = [ "unix:@FOLDER@/origin" ]; }
);
sites = (
    { name = "plain"; default = true; group = "plain"; },
    { name = "v1"; hosts = [ "v1.test" ]; group = "v1"; },
    { name = "v2"; hosts = [ "v2.test" ]; group = "v2"; },
    { name = "unix"; hosts = [ "unix.test" ]; group = "unix"; host = "endpoint"; }
);
"""

TOLD = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded")
CLAIMS = ("X-Forwarded-For: 203.0.113.1", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https",
          "X-Forwarded-Port: 443", "X-Forwarded-Prefix: /admin", "X-Forwarded: for=203.0.113.1",
          "Forwarded: for=203.0.113.1;proto=https;host=evil.test", "X-Real-IP: 203.0.113.1",
          "Client-IP: 203.0.113.1", "X-Client-IP: 203.0.113.1", "True-Client-IP: 203.0.113.1",
          "CF-Connecting-IP: 203.0.113.1", "X-Cluster-Client-IP: 203.0.113.1",
          "Client-Cert: :YQ==:")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class ProxiedOrigin(Origin):
    """An origin whose connections begin with a PROXY header; the answer tells it."""

    def __init__(self):
        super().__init__(lambda request, link: answer(link.header.encode("latin-1")))

    def _serve(self, link):
        start = link.exactly(13, "a PROXY header")
        if start[:12] == SIGNATURE:
            command, family, bytes_ = start[12], *struct.unpack("!BH", link.exactly(3))
            link.header = f"v2 {command:#x} {family:#x} {link.exactly(bytes_).hex()}"
        else:
            link.buffer[:0] = start
            link.header = link.line("a PROXY header").decode("latin-1")
        super()._serve(link)


class UnixOrigin(Origin):
    """An origin at a unix socket."""

    def __init__(self, path):
        self.path = path
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(path)
        os.chmod(path, 0o777)  # started by root, Bascule connects as somebody else
        self.local.listen(64)
        super().__init__()

    def _accept(self):
        self.listening.close()
        self.listening = self.local
        super()._accept()

    def close(self):
        super().close()
        os.unlink(self.path)


class Folder:
    """A folder that anybody may look into."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="bascule-socket-")
        os.chmod(self.path, 0o755)

    def close(self):
        shutil.rmtree(self.path)


@once
def folder():
    return Folder()


@once
def origin():
    return Origin()


@once
def proxied_origin():
    return ProxiedOrigin()


@once
def proxy():
    return Daemon(CONF, PLAIN=origin().port, PROXIED=proxied_origin().port,
                  FOLDER=folder().path)


def client(listener, source=None, family=4):
    wanted = "[" if family == 6 else "127."
    addresses = proxy().addresses(listener)
    address = next((a for a in addresses if a.startswith(wanted)), addresses[0])
    return Client(address, source)


def told(listener, *fields, source=None, family=4, request=None):
    """What the origin was told about the client: the fields, and where it sent them."""
    origin().forget()
    with client(listener, source, family) as c:
        equal(c.ask(request or get("/who", *fields)).status, 200, "status")
        sent_from = c.sock.getsockname()
    request = origin().requests[0]
    return {name: request.get(name) for name in TOLD if request.has(name)}, sent_from


def client_ip(listener, target):
    """The client of the exchange for this target, as the access log has it."""
    return LogReader(proxy().path("access.log")).record(listener=listener,
                                                        target=target)["client_ip"]


# ---- who may say what


@test("the origin is told the peer, the scheme and the host asked for")
def _():
    equal(told("web")[0], {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http",
                           "x-forwarded-host": "site.test"}, "the fields")
    equal(told("web", request=get("/", host="Site.Test:8080"))[0]["x-forwarded-host"],
          "Site.Test:8080", "the host")
    equal(told("web", request=head("GET / HTTP/1.0"))[0],
          {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http"}, "without Host")


@test("or, by option, in the field Forwarded")
def _():
    equal(told("standard")[0], {"forwarded": 'for=127.0.0.1;host="site.test";proto=http'}, "IPv4")
    equal(told("standard", family=6)[0],
          {"forwarded": 'for="[::1]";host="site.test";proto=http'}, "IPv6")
    equal(told("standard", request=head("GET / HTTP/1.0"))[0],
          {"forwarded": "for=127.0.0.1;proto=http"}, "without Host")


@test("what any client claims about itself is dropped")
def _():
    for listener in ("web", "standard"):
        found, _ = told(listener, *CLAIMS)
        check("203.0.113.1" not in str(found) and "evil" not in str(found), f"told {found}")
        request = origin().requests[0]
        for claim in CLAIMS:
            name, _, value = claim.partition(": ")
            check(value not in request.all(name), f"{claim} went through {listener}")
    told("both", *CLAIMS, source="127.0.0.2")
    check(b"203.0.113.1" not in b"".join(link.received for link in origin().links),
          "a claim of an untrusted client went through")


@test("claims in several lines, odd cases and nominated by Connection are dropped too")
def _():
    found, _ = told("web", "x-forwarded-FOR: 203.0.113.1", "X-Forwarded-For: 203.0.113.2",
                    "Connection: x-forwarded-for, x-real-ip", "x-real-ip: 203.0.113.3",
                    "X_Forwarded_For: 203.0.113.4")
    equal(found["x-forwarded-for"], "127.0.0.1", "X-Forwarded-For")
    check(not origin().requests[0].has("X-Real-IP"), "X-Real-IP went through")


@test("a trusted proxy's claims are kept, and its address put behind them")
def _():
    found, _ = told("both", "X-Forwarded-For: 203.0.113.1, 192.0.2.9", "X-Forwarded-Proto: https",
                    "X-Forwarded-Host: outer.test", "Forwarded: for=203.0.113.1;proto=https")
    equal(found, {"x-forwarded-for": "203.0.113.1, 192.0.2.9, 127.0.0.1",
                  "x-forwarded-proto": "https", "x-forwarded-host": "outer.test",
                  "forwarded": "for=203.0.113.1;proto=https, "
                               'for=127.0.0.1;host="site.test";proto=http'}, "the fields")
    found, _ = told("both", "X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 192.0.2.9", family=6)
    equal((found["x-forwarded-for"], found["forwarded"]),
          ("203.0.113.1, 192.0.2.9, ::1", 'for="[::1]";host="site.test";proto=http'), "two lines")
    found, _ = told("both", "X-Forwarded-For:")
    equal(found["x-forwarded-for"], "127.0.0.1", "an empty claim")


@test("with forwarding off nothing is added, and only trusted claims pass")
def _():
    equal(told("off")[0], {}, "nothing claimed")
    equal(told("off", "X-Forwarded-For: 203.0.113.1")[0], {"x-forwarded-for": "203.0.113.1"},
          "claimed by a trusted proxy")
    equal(told("off", *CLAIMS, source="127.0.0.2")[0], {}, "claimed by a client")


# ---- who the client is


@test("the client is found from right to left, as far as proxies are trusted")
def _():
    cases = (
        (["X-Forwarded-For: 203.0.113.1"], "203.0.113.1"),
        (["X-Forwarded-For: 203.0.113.1, 203.0.113.2"], "203.0.113.2"),
        (["X-Forwarded-For: 203.0.113.1, 192.0.2.1,192.0.2.2"], "203.0.113.1"),
        (["X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 203.0.113.3, 192.0.2.1"],
         "203.0.113.3"),
        (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
        (["X-Forwarded-For: [2001:db8::2]:443"], "2001:db8::2"),
        (["X-Forwarded-For: 203.0.113.4:5678"], "203.0.113.4"),
        (["X-Forwarded-For: 203.0.113.1, unknown"], "127.0.0.1"),
        (["X-Forwarded-For: 203.0.113.1, 192.0.2.7, <script>"], "127.0.0.1"),
        (["X-Forwarded-For: 203.0.113.1, unknown, 192.0.2.7"], "192.0.2.7"),
        (["X-Forwarded-For: 203.0.113.1,"], "127.0.0.1"),
        (["Forwarded: for=203.0.113.5"], "203.0.113.5"),
        (["Forwarded: proto=https;For=\"[2001:db8::3]:1\";by=x, for=192.0.2.1"], "2001:db8::3"),
        (["Forwarded: for=203.0.113.1, for=_hidden"], "127.0.0.1"),
        (["Forwarded: for=203.0.113.1, proto=http"], "127.0.0.1"),
        (["X-Forwarded-For: 203.0.113.6", "Forwarded: for=203.0.113.7"], "203.0.113.6"),
        ([], "127.0.0.1"),
    )
    for i, (fields, expected) in enumerate(cases):
        told("both", request=get(f"/right/{i}", *fields))
        equal(client_ip("both", f"/right/{i}"), expected, str(fields))


@test("an untrusted client is who it is")
def _():
    told("both", request=get("/wrong", *CLAIMS), source="127.0.0.3")
    equal(client_ip("both", "/wrong"), "127.0.0.3", "the client")


@test("the client so found is the one that allow_client judges")
def _():
    before = proxy().metrics()["bascule_requests_denied_total"]
    origin().forget()
    for fields, status in ((["X-Forwarded-For: 203.0.113.9"], 200), ([], 403),
                           (["X-Forwarded-For: 2001:db8::1"], 200),
                           (["X-Forwarded-For: 203.0.113.9, 198.51.100.1"], 403)):
        with client("picky") as c:
            equal(c.ask(get("/", *fields)).status, status, str(fields))
    with client("picky", source="127.0.0.2") as c:
        equal(c.ask(get("/", "X-Forwarded-For: 203.0.113.9")).status, 403, "a claim")
    equal(len(origin().requests), 2, "requests at the origin")
    becomes(lambda: proxy().metrics()["bascule_requests_denied_total"] - before, 3, "denied")


# ---- PROXY protocol in


def v2(command, family, addresses):
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(addresses)) + addresses


def v2_ipv4(source, destination):
    return v2(1, 0x11, socket.inet_aton(source[0]) + socket.inet_aton(destination[0]) +
              struct.pack("!HH", source[1], destination[1]))


HEADERS = (
    (b"PROXY TCP4 203.0.113.20 203.0.113.80 4000 80\r\n", "203.0.113.20"),
    (b"PROXY TCP6 2001:db8::20 2001:db8::80 4000 80\r\n", "2001:db8::20"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (v2_ipv4(("203.0.113.21", 4001), ("203.0.113.80", 80)), "203.0.113.21"),
    (v2(1, 0x21, socket.inet_pton(socket.AF_INET6, "2001:db8::21") +
        socket.inet_pton(socket.AF_INET6, "2001:db8::80") + struct.pack("!HH", 4001, 80)),
     "2001:db8::21"),
    (v2(0, 0x00, b""), "127.0.0.1"),
)


@test("a PROXY header names the client, whole with the request or a byte at a time")
def _():
    for header, expected in HEADERS:
        for bytewise in (False, True):
            origin().forget()
            with client("proxied") as c:
                c.send(header + get("/who"), bytewise)
                equal(c.read().status, 200, "status")
                equal(origin().requests[0].get("X-Forwarded-For"), expected, str(header))
                c.send(get("/again"))
                equal(c.read().status, 200, "status of the next")
                equal(origin().requests[1].get("X-Forwarded-For"), expected, "the next request")


@test("the client that a PROXY header names is judged and logged")
def _():
    with client("proxied") as c:
        c.send(HEADERS[0][0] + get("/named", "X-Forwarded-For: 203.0.113.99"))
        equal(c.read().status, 200, "status")
    equal(client_ip("proxied", "/named"), "203.0.113.20", "the client")
    with client("proxied") as c:
        c.send(b"PROXY TCP4 198.51.100.1 127.0.0.1 1 2\r\n" +
               get("/chained", "X-Forwarded-For: 203.0.113.99"))
        equal(c.read().status, 200, "status")
    equal(client_ip("proxied", "/chained"), "203.0.113.99", "the client of a trusted proxy")


@test("what does not begin with a PROXY header is closed without an answer")
def _():
    origin().forget()
    for data in (get("/naked"), b"PROXY TCP4 1.2.3.4\r\n" + get("/naked"), b"\r\n\r\n\0\r\nQUIX",
                 b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + get("/naked"), SIGNATURE + b"\x31\x11\0\0"):
        with client("proxied") as c:
            c.try_send(data)
            equal(c.rest(), b"", f"the answer to {data[:40]}")
    equal(origin().heads, [], "requests at the origin")


@test("a PROXY header from elsewhere, or one that does not come, closes the connection",
      timely=True)
def _():
    before = proxy().metrics()["bascule_connections_refused_total"]
    with client("proxied", source="127.0.0.2") as c:
        c.try_send(HEADERS[0][0] + get("/naked"))
        equal(c.rest(), b"", "the answer")
    with client("hasty") as c:
        c.try_send(HEADERS[0][0][:10])
        equal(c.rest(), b"", "the answer")
    becomes(lambda: proxy().metrics()["bascule_connections_refused_total"] - before, 2, "refused")


# ---- PROXY protocol out


def header_sent(c, host):
    response = c.ask(get("/", host=host))
    equal(response.status, 200, "status")
    return response.body.decode("latin-1")


@test("an endpoint gets a PROXY header of version 1 with the client's address and port")
def _():
    for family, words in ((4, "TCP4 127.0.0.1 127.0.0.1"), (6, "TCP6 ::1 ::1")):
        with client("web", family=family) as c:
            ports = f"{c.sock.getsockname()[1]} {c.sock.getpeername()[1]}"
            equal(header_sent(c, "v1.test"), f"PROXY {words} {ports}", "the header")


@test("an endpoint gets a PROXY header of version 2 with the client's address and port")
def _():
    with client("web") as c:
        ports = struct.pack("!HH", c.sock.getsockname()[1], c.sock.getpeername()[1]).hex()
        equal(header_sent(c, "v2.test"), f"v2 0x21 0x11 7f0000017f000001{ports}", "the header")
    with client("web", family=6) as c:
        ports = struct.pack("!HH", c.sock.getsockname()[1], c.sock.getpeername()[1]).hex()
        loopback = "00" * 15 + "01"
        equal(header_sent(c, "v2.test"), f"v2 0x21 0x21 {loopback}{loopback}{ports}", "the header")


@test("a PROXY header that came in goes out")
def _():
    with client("proxied") as c:
        c.send(HEADERS[0][0] + get("/", host="v1.test"))
        equal(c.read().body, HEADERS[0][0].rstrip(), "the header")
    with client("proxied") as c:
        c.send(HEADERS[3][0] + get("/", host="v2.test"))
        equal(c.read().body.decode(), f"v2 0x21 0x11 {HEADERS[3][0][16:].hex()}", "the header")


@test("a connection with a PROXY header speaks for one client and is never shared")
def _():
    before = proxied_origin().connections
    for _ in range(3):
        with client("web") as c:
            port = str(c.sock.getsockname()[1])
            check(port in header_sent(c, "v1.test").split(), "the header is another client's")
    equal(proxied_origin().connections - before, 3, "connections")


@test("the client of a unix socket has no address: UNKNOWN, unspecified")
def _():
    with client("behind") as c:
        equal(header_sent(c, "v1.test"), "PROXY UNKNOWN", "version 1")
        check(header_sent(c, "v2.test").startswith("v2 0x2"), "version 2")


# ---- unix sockets


@test("a unix socket serves whoever may open it")
def _():
    equal(told("local", *CLAIMS)[0],
          {"x-forwarded-proto": "http", "x-forwarded-host": "site.test",
           "forwarded": 'for=unknown;host="site.test";proto=http'}, "what the origin is told")
    told("local", request=get("/at-home"))
    equal(client_ip("local", "/at-home"), "unix", "the client")


@test("where proxies are trusted, one at a unix socket is")
def _():
    found, _ = told("behind", request=get("/hidden", "X-Forwarded-For: 203.0.113.30, 192.0.2.1"))
    equal((found["x-forwarded-for"], found["forwarded"]),
          ("203.0.113.30, 192.0.2.1", 'for=unknown;host="site.test";proto=http'), "the fields")
    equal(client_ip("behind", "/hidden"), "203.0.113.30", "the client")


@test("a unix socket takes PROXY headers")
def _():
    with Client(f"unix:{proxy().path('proxied')}") as c:
        c.send(HEADERS[1][0] + get("/from-afar"))
        equal(c.read().status, 200, "status")
    equal(client_ip("proxied", "/from-afar"), "2001:db8::20", "the client")


@test("a forward listener at a unix socket serves whoever may open it")
def _():
    with client("out") as c:
        target = f"http://127.0.0.1:{origin().port}/out"
        equal(c.ask(get(target, host=f"127.0.0.1:{origin().port}")).body, b"hello\n", "content")


@test("an endpoint may be a unix socket, and its connections are kept")
def _():
    server = UnixOrigin(os.path.join(folder().path, "origin"))
    try:
        with client("web") as c:
            for i in range(3):
                equal(c.ask(get(f"/{i}", host="unix.test")).body, b"hello\n", "content")
            equal(c.ask(post("/up", b"x" * 300000, host="unix.test")).status, 200, "upload")
        equal(server.connections, 1, "connections")
        equal(server.requests[0].get("Host"), "localhost", "Host of an endpoint without a name")
        equal(server.requests[3].body, b"x" * 300000, "upload")
    finally:
        server.close()
    with client("web") as c:
        equal(c.ask(get("/gone", host="unix.test")).status, 502, "when it is gone")


@test("curl speaks to unix sockets")
def _():
    curl = shutil.which("curl")
    if curl is None:
        raise Skip("no curl")
    done = subprocess.run([curl, "-q", "-s", "--unix-socket", proxy().path("local"),
                           "http://site.test/c"], capture_output=True, timeout=WAIT, check=True)
    equal(done.stdout, b"hello\n", "content")


main()
