# SPDX-License-Identifier: BSD-2-Clause
"""TLS that is passed on unread, by the name in the ClientHello, beside sites that end it."""

import hashlib
import os
import ssl
import subprocess

from bascule_flow import (FACTOR, WAIT, Client, Daemon, Origin, answer, ask, check, equal, get,
                          main, once, test)
from certs import Certificates
from peers import Backend, DeadPort, LogReader, TlsOrigin, until
from secure import SClient, TlsClient, refusal, trusting

CONF = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "tls"; mode = "reverse"; listen = [ "127.0.0.1:0", "unix:@DIR@/tls" ];
      tls = { certificates = "@PEM@/default.pem"; }; @TLS@ },
    { name = "clear"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "strict"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { certificates = "@PEM@/default.pem"; unknown_name = "refuse"; }; },
    { name = "proxied"; mode = "reverse"; listen = "127.0.0.1:0"; proxy_protocol = true;
      proxy_protocol_from = [ "127.0.0.0/8" ]; tls = { certificates = "@PEM@/default.pem"; }; },
    { name = "hasty"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { certificates = "@PEM@/default.pem"; handshake = "@MS@ms"; }; },
    { name = "closed"; mode = "reverse"; listen = "127.0.0.1:0"; allow_client = [ "192.0.2.0/24" ];
      tls = { certificates = "@PEM@/default.pem"; }; }
);
groups = (
    { name = "plain"; max_fails = 0; endpoints = [ "127.0.0.1:@PLAIN@" ]; },
    { name = "a"; max_fails = 0; tries = 2;
      endpoints = [ "127.0.0.1:@DEAD@", "127.0.0.1:@A@" ]; },
    { name = "b"; max_fails = 0; endpoints = [ "127.0.0.1:@B@" ]; },
    { name = "raw"; max_fails = 0; send_proxy = "v1"; endpoints = [ "127.0.0.1:@RAW@" ]; },
    { name = "down"; max_fails = 0; endpoints = [ "127.0.0.1:@DEAD@" ]; }
);
sites = (
    { name = "all"; default = true; @ALL@ },
    { name = "ended"; hosts = [ "ended.test" ]; group = "plain";
      certificates = "@PEM@/ended.pem"; },
    { name = "a"; hosts = [ "a.test" ]; @A_SITE@ },
    { name = "b"; hosts = [ "*.b.test" ]; pass_through = "b"; },
    { name = "raw"; hosts = [ "raw.test" ]; pass_through = "raw"; },
    { name = "down"; hosts = [ "down.test" ]; pass_through = "down"; }
);
"""
PASSED = 'pass_through = "a";'
ENDED = 'group = "plain";'


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.issue("default", "root", ["DNS:site.test"])
    made.issue("ended", "root", ["DNS:ended.test"])
    made.issue("a", "root", ["DNS:a.test"])
    made.issue("b", "root", ["DNS:*.b.test"])
    return made


plain = once(Origin)
raw = once(Backend)


@once
def origin_a():
    return TlsOrigin(certificates().path("a.pem"), lambda request, link: answer(b"from a\n"))


@once
def origin_b():
    return TlsOrigin(certificates().path("b.pem"), lambda request, link: answer(b"from b\n"))
dead = once(DeadPort)


@once
def proxy():
    return Daemon(CONF, PEM=certificates().dir, PLAIN=plain().port, A=origin_a().port,
                  B=origin_b().port, RAW=raw().port, DEAD=dead().port,
                  MS=int(400 * FACTOR), TLS="", ALL=ENDED, A_SITE=PASSED)


@once
def log():
    return LogReader(proxy().path("access.log"))


@once
def context():
    return trusting(certificates().path("root.pem"))


def fetch(name, listener="tls"):
    with TlsClient(proxy().address(listener), context(), name) as client:
        return client.ask(get("/", host=name)).body


def hello(name):
    """The ClientHello that Python would send."""
    wire = ssl.MemoryBIO()
    session = trusting().wrap_bio(ssl.MemoryBIO(), wire, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return wire.read()


def is_closed(client):
    """Whether it is closed without an answer."""
    while client.fill():
        pass
    return not client.received


# ---- names


@test("names that are passed through and a site that ends TLS share a port")
def _():
    equal(fetch("a.test"), b"from a\n", "from a")
    equal(fetch("x.b.test"), b"from b\n", "from b")
    equal(fetch("ended.test"), b"hello\n", "from the site that ends TLS")
    equal(origin_a().server_names[-1:], ["a.test"], "the name that reached a")
    equal(origin_b().server_names[-1:], ["x.b.test"], "the name that reached b")
    equal([r.get("Host") for r in plain().requests], ["ended.test"], "what reached the plain one")


@test("curl sees the certificate of the server behind")
def _():
    host, _, port = proxy().address("tls").rpartition(":")
    done = subprocess.run(
        ["curl", "-sS", "--cacert", certificates().path("root.pem"), "--resolve",
         f"a.test:{port}:{host}", f"https://a.test:{port}/"],
        capture_output=True, timeout=WAIT, check=False)
    equal((done.returncode, done.stdout), (0, b"from a\n"), f"curl ({done.stderr.decode()})")


@test("openssl s_client is passed through and verifies the certificate behind")
def _():
    said = SClient(proxy().address("tls"), "-CAfile", certificates().path("root.pem"),
                   "-verify_return_error", name="y.b.test", request=get("/", host="y.b.test"),
                   until=b"from b\n")
    said.find("Verification: OK")
    said.find("from b")


@test("a name that no site has, and none, are for the default site or refused")
def _():
    equal(fetch("site.test"), b"hello\n", "from the default site")
    check(refusal(proxy().address("strict"), context(), "stranger.test"), "it was not refused")
    check(refusal(proxy().address("strict"), trusting(), None), "it was not refused")
    equal(fetch("a.test", "strict"), b"from a\n", "from a by the strict listener")


@test("10 MB each way pass as they are")
def _():
    data = os.urandom(10 << 20)
    seen = []

    def echo(request, link):
        seen.append(hashlib.sha256(request.body).digest())
        return answer(request.body)

    origin_b().on("/echo", echo)
    with TlsClient(proxy().address("tls"), context(), "x.b.test") as client:
        request = (f"POST /echo HTTP/1.1\r\nHost: x.b.test\r\nContent-Length: {len(data)}\r\n"
                   "\r\n").encode()
        response = client.ask(request + data, "POST")
    equal(seen, [hashlib.sha256(data).digest()], "what came up")
    check(response.body == data, "what came down differs")


@test("a passed connection leaves a line in the access log, with its name")
def _():
    fetch("a.test")
    line = log().line_with('"tls_name":"a.test"')
    for words in ('"listener":"tls"', '"site":"a"', '"group":"a"', '"cache":"TCP_TUNNEL"',
                  f'"upstream":"127.0.0.1:{origin_a().port}"'):
        check(words in line, f"{words} is not in {line}")
    check('"tls_version"' not in line, f"a version of TLS is in {line}")


@test("no endpoint: the connection is reset, and the log says so")
def _():
    with Client(proxy().address("tls")) as client:
        client.send(hello("down.test"))
        check(is_closed(client) and client.was_reset, "it was not reset")
    line = log().line_with('"tls_name":"down.test"')
    check('"end":"connect_failed"' in line, f"the log says {line}")


# ---- how it comes


@test("a ClientHello may come byte by byte")
def _():
    data = hello("raw.test")
    with Client(proxy().address("tls")) as client:
        client.send(data, bytewise=True)
        with raw().accept() as server:
            check(server.line("a PROXY header").startswith(b"PROXY TCP4 127.0.0.1 "), "header")
            check(server.exactly(len(data)) == data, "the ClientHello differs")


@test("a ClientHello may be spread over records")
def _():
    data = hello("raw.test")
    records = b"".join(data[:3] + len(part).to_bytes(2, "big") + part
                       for part in (data[at : at + 60] for at in range(5, len(data), 60)))
    with Client(proxy().address("tls")) as client:
        client.send(records)
        with raw().accept() as server:
            server.line("a PROXY header")
            check(server.exactly(len(records)) == records, "the ClientHello differs")


@test("clients of a unix socket are passed through, too")
def _():
    data = hello("raw.test")
    with Client(f"unix:{proxy().path('tls')}") as client:
        client.send(data[:100])
        client.send(data[100:])
        with raw().accept() as server:
            equal(server.line("a PROXY header"), b"PROXY UNKNOWN", "header")
            check(server.exactly(len(data)) == data, "the ClientHello differs")


@test("a PROXY header in front names the client to the server behind")
def _():
    data = hello("raw.test")
    with Client(proxy().address("proxied")) as client:
        client.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n" + data)
        with raw().accept() as server:
            equal(server.line("a PROXY header"), b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443",
                  "header")
            check(server.exactly(len(data)) == data, "the ClientHello differs")
            server.send(b"early answer")
            equal(client.exactly(12), b"early answer", "answer")


@test("ends pass both ways, and so does a reset")
def _():
    data = hello("raw.test")
    for reset in (False, True):
        with Client(proxy().address("tls")) as client:
            client.send(data)
            with raw().accept() as server:
                server.line("a PROXY header")
                server.exactly(len(data))
                if reset:
                    server.reset()
                    check(is_closed(client) and client.was_reset, "the client saw no reset")
                    continue
                client.half_close()
                server.rest()
                server.send(b"bye")
                server.half_close()
                equal(client.rest(), b"bye", "the rest")
                check(not client.was_reset, "the client was reset")


# ---- what is closed


@test("bytes that are not TLS are closed, counted and logged")
def _():
    before = proxy().metrics()["bascule_connections_refused_total"]
    with Client(proxy().address("tls")) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        check(is_closed(client), f"it said {bytes(client.received)!r}")
    equal(proxy().metrics()["bascule_connections_refused_total"], before + 1, "refused")
    proxy().wait_log("it does not begin with a ClientHello of TLS: closed")


@test("a ClientHello that is cut off, or has no end, is closed")
def _():
    with Client(proxy().address("tls")) as client:
        client.send(hello("a.test")[:-1])
        client.half_close()
        check(is_closed(client), "the half of one was not closed")
    with Client(proxy().address("tls")) as client:
        client.send(b"\x16\x03\x01\x00\x04\x01\x00\x3f\x00")
        client.try_send(b"\x16\x03\x01\x00\x01\x00" * 4000)
        check(is_closed(client), "the endless one was not closed")


@test("a ClientHello that does not come in time is closed, whole or half")
def _():
    before = proxy().metrics()["bascule_client_timeouts_total"]
    for data in (b"", hello("a.test")[:-1]):
        with Client(proxy().address("hasty")) as client:
            client.send(data)
            check(is_closed(client), "it was not closed")
    equal(proxy().metrics()["bascule_client_timeouts_total"], before + 2, "timeouts")


@test("who is not in allow_client is not passed through, and gets 403 where TLS ends")
def _():
    with Client(proxy().address("closed")) as client:
        client.send(hello("a.test"))
        check(is_closed(client), "it was passed through")
    with TlsClient(proxy().address("closed"), context(), "ended.test") as client:
        equal(client.ask(get("/", host="ended.test")).status, 403, "status")


# ---- reload


@test("a reload lets passed connections live unless their name is passed no more")
def _():
    with TlsClient(proxy().address("tls"), context(), "a.test") as a, \
            TlsClient(proxy().address("tls"), context(), "x.b.test") as b:
        equal(a.ask(get("/", host="a.test")).body, b"from a\n", "from a")
        equal(b.ask(get("/", host="x.b.test")).body, b"from b\n", "from b")
        proxy().reload(CONF)
        equal(a.ask(get("/", host="a.test")).body, b"from a\n", "from a")
        proxy().reload(CONF, A_SITE=ENDED)
        try:
            check(not a.fill(), "a goes on")
        finally:
            proxy().wait_log("closed after reload: its listener passes no such connections")
            equal(b.ask(get("/", host="x.b.test")).body, b"from b\n", "from b")
            proxy().reload(CONF, A_SITE=PASSED)


class Handshake:
    """A TLS handshake whose bytes the test carries."""

    def __init__(self, stream, name):
        self.stream = stream
        self.read, self.wire = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context().wrap_bio(self.read, self.wire, server_hostname=name)

    def step(self):
        """Goes as far as it can. Whether it is done."""
        try:
            self.session.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            self.stream.send(self.wire.read())

    def finish(self):
        while not self.step():
            check(self.stream.fill(), "the handshake was cut off")
            self.read.write(bytes(self.stream.buffer))
            self.stream.buffer.clear()


@test("a handshake that is half done survives a reload")
def _():
    data = hello("raw.test")
    with Client(proxy().address("tls")) as client, Client(proxy().address("tls")) as other:
        handshake = Handshake(other, "ended.test")
        client.send(data[:50])
        handshake.step()
        check(other.fill(), "no ServerHello")
        proxy().reload(CONF)
        client.send(data[50:])
        with raw().accept() as server:
            server.line("a PROXY header")
            check(server.exactly(len(data)) == data, "the ClientHello differs")
        handshake.read.write(bytes(other.buffer))
        other.buffer.clear()
        handshake.finish()


@test("a request for such a site that came another way gets 421")
def _():
    with TlsClient(proxy().address("tls"), context(), "ended.test") as client:
        equal(client.ask(get("/", host="raw.test")).status, 421, "where TLS had ended")
        equal(client.ask(get("/", host="ended.test")).status, 200, "the connection goes on")
    equal(ask(proxy().address("clear"), get("/", host="raw.test")).status, 421, "without TLS")


@test("a default site may pass on all that no other site has")
def _():
    proxy().reload(CONF, ALL='pass_through = "raw";')
    try:
        for name in ("stranger.test", None):
            data = hello(name)
            with Client(proxy().address("tls")) as client:
                client.send(data)
                with raw().accept() as server:
                    server.line("a PROXY header")
                    check(server.exactly(len(data)) == data, "the ClientHello differs")
        check(refusal(proxy().address("strict"), context(), "stranger.test"), "not refused")
    finally:
        proxy().reload(CONF, ALL=ENDED)


@test("connections are counted until they end")
def _():
    with TlsClient(proxy().address("tls"), context(), "a.test") as client:
        client.ask(get("/", host="a.test"))
        until(lambda: proxy().metrics()["bascule_tunnels_open"] == 1, "one tunnel is open")
        check(proxy().metrics()["bascule_connections_open"] >= 1, "connections")
    until(lambda: proxy().metrics()["bascule_connections_open"] == 0, "all are closed")


main()
