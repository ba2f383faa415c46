# SPDX-License-Identifier: BSD-2-Clause
"""https:// URLs asked of the forward mode: who is trusted, what TLS promises (server/tls/)."""

import os
import ssl
import threading

from bascule_flow import (WAIT, Client, CutShort, Daemon, Failure, answer, answer_chunked,
                          ask, canned, check, equal, get, head, main, once, test)
from certs import Certificates
from peers import (Backend, DeadPort, HttpParent, LogReader, NameServer, Socks5Parent, TlsOrigin,
                   end_session)
from wire import read_request_head

CONF = """
workers = 1; # so that idle connections are where they are looked for
resolver = { servers = [ "127.0.0.1:@DNS@" ]; };
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; tls_ca = "@CA@"; upstream = { connect = "1h"; }; },
    { name = "hasty"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; tls_ca = "@CA@"; upstream = { connect = "500ms"; }; },
    { name = "same"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; tls_ca = "@CA@"; },
    { name = "other"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; tls_ca = "@OTHER@"; },
    { name = "system"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "http"; mode = "forward"; listen = "127.0.0.1:0"; tls_ca = "@CA@";
      upstream_proxy = "http://127.0.0.1:@HTTP@"; },
    { name = "socks"; mode = "forward"; listen = "127.0.0.1:0"; tls_ca = "@CA@";
      upstream_proxy = "socks5://127.0.0.1:@SOCKS@"; }
);
"""

NAMES = ["DNS:a.test", "DNS:b.test", "DNS:*.wild.test", "IP:127.0.0.1"]

certificates = once(Certificates)
http_parent = once(HttpParent)
socks_parent = once(Socks5Parent)


@once
def ca():
    return certificates().authority("ca")


@once
def other_ca():
    return certificates().authority("other")


def certificate(name, names, by="ca", **options):
    (ca if by == "ca" else other_ca)()
    return certificates().issue(name, by, names, **options)


@once
def good():
    """A certificate that the listener "out" trusts, for NAMES."""
    return certificate("good", NAMES)


@once
def origin():
    return TlsOrigin(good())


@once
def names():
    wanted = {name: {"addresses": ["127.0.0.1"], "ttl": 60} for name in ("a", "b", "else")}
    server = NameServer(**wanted)
    server.set(**{"x.wild": ["127.0.0.1"], "x.y.wild": ["127.0.0.1"], "wild": ["127.0.0.1"]})
    return server


@once
def proxy():
    return Daemon(CONF, DNS=names().port, CA=ca(), OTHER=other_ca(),
                  HTTP=http_parent().port, SOCKS=socks_parent().port)


def url(path="/", host="a.test", at=None, scheme="https"):
    return f"{scheme}://{host}:{(at or origin()).port}{path}"


def go(target, *fields, listener="out", method="GET"):
    return ask(proxy().address(listener), get(target, *fields, host="x", method=method), method)


def check_refused(response, status, error, what):
    equal(response.status, status, f"status: {what}")
    value = response.get("Proxy-Status")
    check(f"error={error}" in value.split("; "), f"Proxy-Status: {what}: {value}")


# ---- what is asked, and what of


@test("https:// is fetched by TLS, with the name in SNI, and as a path")
def _():
    equal(go(url("/a?b")).status, 200, "status")
    request = origin().wait_request("/a?b")
    equal(request.get("Host"), f"a.test:{origin().port}", "Host")
    check(request.get("Via").startswith("1.1 bascule"), "no Via")
    equal(origin().server_names[-1], "a.test", "SNI")
    equal(origin().versions[-1], "TLSv1.3", "version")


@test("a certificate may be for an address, a wildcard, or a name in any case")
def _():
    for host, name in (("127.0.0.1", None), ("x.wild.test", "x.wild.test"), ("A.TEST", "a.test"),
                       ("b.test.", "b.test")):
        origin().server_names.clear()
        equal(go(url("/named", host)).status, 200, f"status for {host}")
        check(origin().server_names in ([name], []), f"SNI for {host}: {origin().server_names}")


@test("a server that knows no more than TLS 1.2 is fine")
def _():
    old = TlsOrigin(good(), newest=ssl.TLSVersion.TLSv1_2)
    try:
        for _ in range(2):
            equal(go(url("/old", at=old)).status, 200, "status")
        equal((old.versions, old.connections), (["TLSv1.2"], 1), "versions and connections")
    finally:
        old.close()


# ---- whom not to trust


def refused_by(certificate_path, host, listener="out"):
    """Asks an origin with this certificate, which must be refused before anything is sent."""
    server = TlsOrigin(certificate_path)
    try:
        request = head(f"POST {url('/secret', host, server)} HTTP/1.1", "Host: x",
                       "Cookie: secret", "Content-Length: 6") + b"secret"
        response = ask(proxy().address(listener), request)
        check_refused(response, 502, "tls_certificate_error", f"{host} by {listener}")
        server.wait_for(lambda: server.failed == 1, "a failed handshake")
        equal((len(server.heads), server.connections), (0, 1), "requests and connections")
        return response
    finally:
        server.close()


@test("a certificate for another name is refused, and nothing is sent")
def _():
    for host in ("else.test", "x.y.wild.test", "wild.test"):
        refused_by(good(), host)
    refused_by(certificate("names-only", ["DNS:a.test", "DNS:127.0.0.1"]), "127.0.0.1")


@test("a certificate of an unknown authority is refused, and nothing is sent")
def _():
    refused_by(certificate("untrusted", NAMES, by="other"), "a.test")
    refused_by(good(), "a.test", listener="other")
    refused_by(good(), "a.test", listener="system")


@test("a certificate that has expired is refused, and nothing is sent")
def _():
    response = refused_by(certificate("expired", NAMES, days=-1), "a.test")
    check("expired" in response.get("Proxy-Status"), "Proxy-Status does not say why")


@test("a certificate that is nobody's but its own is refused")
def _():
    certificates().authority("self")
    with open(certificates().path("self.key"), encoding="ascii") as key, \
            open(certificates().path("self.pem"), "a", encoding="ascii") as both:
        both.write(key.read())
    refused_by(certificates().path("self.pem"), "a.test")


@test("a refused certificate is logged as a failure to connect")
def _():
    server = TlsOrigin(good())
    try:
        go(url("/", "else.test", server), "User-Agent: logged")
        record = LogReader(proxy().path("access.log")).record(user_agent="logged")
        equal((record["status"], record["end"]), (502, "connect_failed"), "access record")
    finally:
        server.close()


# ---- who speaks no TLS


def at_backend(play, listener="out"):
    """The answer for https:// at a server that plays this with its connection."""
    backend = Backend()
    try:
        with Client(proxy().address(listener)) as client:
            client.send(get(url("/secret", at=backend), "Cookie: secret", host="x"))
            with backend.accept() as server:
                play(server)
                response = client.read()
                check(b"secret" not in server.received, "the request was sent in the clear")
                return response
    finally:
        backend.close()


@test("a server that speaks no TLS is 502, one that is silent 504")
def _():
    for said in (answer(b"plain"), b"220 mail.test ESMTP\r\n",
                 b"\x16\x03\x03\x00\x20" + b"\xff" * 32, b"\0" * 100):
        check_refused(at_backend(lambda server, data=said: server.send(data)), 502,
                      "tls_protocol_error", repr(said[:20]))
    alert = b"\x15\x03\x01\x00\x02\x02\x28"
    check_refused(at_backend(lambda server: server.send(alert)), 502, "tls_alert_received", "alert")
    for end in ("reset", "half_close"):
        def leave(server, end=end):
            server.exactly(1)
            getattr(server, end)()

        check_refused(at_backend(leave), 502, "tls_protocol_error", end)
    check_refused(at_backend(lambda server: None, "hasty"), 504, "connection_timeout", "silence")


@test("a port where nobody listens is 502")
def _():
    dead = DeadPort()
    try:
        check_refused(go(url("/", at=dead)), 502, "connection_refused", "https://")
    finally:
        dead.close()


def copy(source, sink, most):
    """Passes bytes on, at most so many at a time, until the end."""
    source.sock.settimeout(source.wait)
    while data := source.sock.recv(most):
        sink.send(data)
    sink.half_close()


@test("a handshake and an answer that come a byte at a time are as good")
def _():
    backend = Backend()
    origin().on("/trickle", answer(b"slowly", "Connection: close"))

    def trickle():
        with backend.accept() as near, Client(f"127.0.0.1:{origin().port}") as far:
            up = threading.Thread(target=copy, args=(near, far, 1 << 16), daemon=True)
            up.start()
            copy(far, near, 1)
            up.join(WAIT)

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    try:
        response = go(url("/trickle", at=backend))
        equal((response.status, response.body), (200, b"slowly"), "answer")
        thread.join(WAIT)
        check(not thread.is_alive(), "the connection to the origin was not ended")
    finally:
        backend.close()


# ---- connections


@test("connections by TLS are used again, one after the other")
def _():
    server = TlsOrigin(good())
    try:
        before = proxy().metrics()["bascule_upstream_reuses_total"]
        for listener in ("out", "out", "same", "out"):
            equal(go(url("/again", at=server), listener=listener).status, 200, "status")
        equal((server.connections, len(server.requests)), (1, 4), "connections and requests")
        equal(proxy().metrics()["bascule_upstream_reuses_total"] - before, 3, "reuses")
        equal(go(url("/again", "b.test", server)).status, 200, "status")
        equal(server.connections, 2, "connections for another name")
    finally:
        server.close()


@test("listeners that trust others share no connection, nor does a new configuration")
def _():
    server = TlsOrigin(good())
    try:
        equal(go(url("/trusted", at=server)).status, 200, "status")
        for listener in ("other", "system"):
            check_refused(go(url("/trusted", at=server), listener=listener), 502,
                          "tls_certificate_error", listener)
        proxy().reload(CONF, CA=other_ca())
        try:
            check_refused(go(url("/trusted", at=server)), 502, "tls_certificate_error",
                          "after the reload")
        finally:
            proxy().reload(CONF, CA=ca())
        equal(len(server.requests), 1, "requests")
    finally:
        server.close()


@test("http:// and https:// of one port share no connection")
def _():
    server = TlsOrigin(good())
    backend = Backend()
    try:
        equal(go(url("/secret", at=server)).status, 200, "status")
        equal(go(url("/secret", at=server, scheme="http")).status, 502, "status of http://")
        equal((server.connections, len(server.requests)), (2, 1), "connections and requests")
        # and the other way round: a plain connection is not taken for one by TLS
        with Client(proxy().address("out")) as client:
            client.send(get(url("/plain", at=backend, scheme="http"), host="x"))
            with backend.accept() as plain:
                read_request_head(plain)
                plain.send(answer(b"plain"))
                equal(client.read().body, b"plain", "answer")
                client.send(get(url("/secret", at=backend), host="x"))
                with backend.accept() as other:
                    equal(other.exactly(1), b"\x16", "the first byte on a connection for https://")
                check(plain.is_quiet() or plain.has_ended(), "https:// went out in the clear")
                equal(client.read().status, 502, "status")
    finally:
        server.close()
        backend.close()


@test("an Upgrade passes by TLS, and bytes pass both ways afterwards")
def _():
    def switch(_request, link):
        link.send(head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                       "Connection: Upgrade"))
        link.send(link.exactly(5)[::-1])

    origin().on("/chat", switch)
    with Client(proxy().address("out")) as client:
        client.send(get(url("/chat"), "Connection: Upgrade", "Upgrade: websocket", host="x"))
        equal(client.read().status, 101, "status")
        client.send(b"hello")
        equal(client.exactly(5), b"olleh", "bytes through the tunnel")


# ---- content


@test("megabytes go up and down by TLS as they are")
def _():
    body = os.urandom(1 << 20) * 8
    origin().on("/echo", lambda request, link: answer_chunked(*[
        request.body[i : i + 300_007] for i in range(0, len(request.body), 300_007)]))
    request = head(f"POST {url('/echo')} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}")
    response = ask(proxy().address("out"), request + body)
    equal(response.status, 200, "status")
    check(origin().wait_request("/echo").body == body, "the upload differs")
    check(response.body == body, "the download differs")


@test("content that ends with the connection is whole only with TLS's own end")
def _():
    text = head("HTTP/1.1 200 OK", "Connection: close") + b"half of it"

    def goodbye(_request, link):
        link.send(text)
        end_session(link)

    origin().on("/whole", goodbye)
    origin().on("/cut", canned(text, "close"))
    origin().on("/reset", canned(text, "reset"))
    equal(go(url("/whole")).body, b"half of it", "content with its end")
    for path in ("/cut", "/reset"):
        try:
            response = go(url(path))
        except CutShort:
            continue
        if response.status != 502:
            raise Failure(f"{path}: a content without its end was completed: {response.body}")


@test("content shorter than its length is not completed")
def _():
    def short(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 100") + b"short")
        end_session(link)

    origin().on("/short", short)
    try:
        response = go(url("/short"))
    except CutShort:
        return
    equal(response.status, 502, "status")


@test("bytes behind a whole answer end the connection, and reach nobody")
def _():
    server = TlsOrigin(good())
    evil = head("HTTP/1.1 200 OK", "Content-Length: 4") + b"evil"
    try:
        for path, data in (("/length", answer(b"good")), ("/chunked", answer_chunked(b"good")),
                           ("/empty", answer())):
            server.on(path, data + evil)
            connections = server.connections
            with Client(proxy().address("out")) as client:
                for _ in range(2):
                    response = client.ask(get(url(path, at=server), host="x"))
                    check(response.body in (b"good", b""), f"content: {response.body}")
            equal(server.connections - connections, 2, "connections")
    finally:
        server.close()


# ---- by way of parents


@test("https:// by way of a parent is verified end to end")
def _():
    for listener, parent in (("http", http_parent()), ("socks", socks_parent())):
        server = TlsOrigin(good())
        try:
            for _ in range(2):
                equal(go(url("/by-parent", at=server), listener=listener).status, 200, "status")
            equal(parent.asked.count(f"a.test:{server.port}"), 1, "tunnels asked for")
            equal((server.connections, server.server_names), (1, ["a.test"]), "connections and SNI")
            check_refused(go(url("/by-parent", "else.test", server), listener=listener), 502,
                          "tls_certificate_error", "another name")
            equal(len(server.requests), 2, "requests")
        finally:
            server.close()


@test("a server that speaks before it was asked is not taken for the origin")
def _():
    for listener, parent, accepted in (
            ("http", http_parent(), head("HTTP/1.1 200 OK")),
            ("socks", socks_parent(), b"\x05\0\0\x01" + bytes(6))):
        parent.do = lambda link, data=accepted: (link.send(data + b"too early"), link.rest())
        try:
            for scheme in ("https", "http") if listener == "socks" else ("https",):
                response = go(url("/early", scheme=scheme), listener=listener)
                equal(response.status, 502, f"status of {scheme}:// by {listener}")
                check("before it was asked" in response.get("Proxy-Status"), "Proxy-Status")
        finally:
            parent.do = None


main()
