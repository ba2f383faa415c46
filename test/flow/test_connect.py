# SPDX-License-Identifier: BSD-2-Clause
"""Tunnels: CONNECT, and Upgrade in both modes (modes/tunnels.c, server/net/tunnel.c)."""

import hashlib
import itertools
import os
import signal
import socket
import threading

from bascule_flow import (FACTOR, WAYS, Client, CutShort, Daemon, answer, both, check, equal, get,
                          head, main, once, test)
from peers import Backend, LogReader, SilentPort, becomes, need_ipv6, until
from wire import read_request_head

CONF = """
workers = 2;
forward_to_sites = false;
stop_timeout = "@STOP_MS@ms";
access_logs = (
    { name = "all"; to = "@DIR@/access.log"; format = "json"; },
    { name = "squid"; to = "@DIR@/squid.log"; format = "squid"; }
);
listeners = (
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8", "::1" ]; @DENY@ },
    { name = "logged"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; access_log = "squid"; },
    { name = "idle"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; timeouts = { tunnel_idle = "@SHORT_MS@ms"; }; },
    { name = "half"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; timeouts = { tunnel_half_close = "@SHORT_MS@ms"; }; },
    { name = "life"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; timeouts = { tunnel_life = "@SHORT_MS@ms"; }; },
    { name = "few"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; max_connections = 2; },
    { name = "slow"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; upstream = { connect = "10m"; }; },
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; }
);
groups = ( { name = "backend"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@PORT@"; } ); } );
sites = ( { name = "all"; default = true; group = "backend"; } );
"""

SHORT_MS = int(300 * FACTOR)

backend = once(Backend)


def daemon():
    return Daemon(CONF, PORT=backend().port, SHORT_MS=SHORT_MS, STOP_MS=SHORT_MS, DENY="")


@once
def proxy():
    return daemon()


@once
def log():
    return LogReader(proxy().path("access.log"))


def connect_head(to=None, *fields, version="1.1"):
    target = to or backend().address
    return head(f"CONNECT {target} HTTP/{version}", f"Host: {target}", *fields)


agents = itertools.count(1)


def client_of(listener, at=None):
    """A client with a User-Agent by which the log can be searched."""
    client = Client((at or proxy()).address(listener))
    client.agent = f"test/{next(agents)}"
    return client


def pair(listener="out", at=None):
    """A client whose CONNECT has succeeded, and the backend's end of the tunnel."""
    client = client_of(listener, at)
    request = connect_head(None, f"User-Agent: {client.agent}")
    equal(client.ask(request, "CONNECT").status, 200, "status of CONNECT")
    return client, backend().accept()


def record_of(client):
    return log().record(user_agent=client.agent)


def ping(client, server, word=b"ping"):
    client.send(word)
    equal(server.exactly(len(word)), word, "to the backend")
    server.send(word[::-1])
    equal(client.exactly(len(word)), word[::-1], "to the client")


def was_reset(stream):
    while stream.fill():
        pass
    return stream.was_reset


def exchange_bulk(client, server, data):
    """Sends data both ways at once, half-closing behind it. The digests that arrived."""
    found = {}

    def send(stream):
        stream.send(data)
        stream.half_close()

    def receive(name, stream):
        digest = hashlib.sha256(stream.buffer)
        stream.sock.settimeout(stream.wait)
        while piece := stream.sock.recv(1 << 20):
            digest.update(piece)
        found[name] = digest.digest()

    threads = [threading.Thread(target=send, args=(s,), daemon=True) for s in (client, server)]
    threads += [threading.Thread(target=receive, args=args, daemon=True)
                for args in (("up", server), ("down", client))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * FACTOR)
    return found.get("up"), found.get("down")


# ---- the answer, and first bytes


@test("CONNECT is answered 200 without framing, and bytes pass both ways")
def _():
    with Client(proxy().address("out")) as client:
        response = client.ask(connect_head(), "CONNECT")
        equal(response.status, 200, "status")
        for name in ("Content-Length", "Transfer-Encoding", "Content-Type"):
            check(not response.has(name), f"the answer has {name}")
        with backend().accept() as server:
            ping(client, server, b"\0\r\n\xff GET / HTTP/1.1\r\n\r\n")


@test("CONNECT works in HTTP/1.0, with Connection: close, and a byte at a time")
def _():
    for data, slowly in ((connect_head(version="1.0"), False),
                         (connect_head(None, "Connection: close"), False),
                         (connect_head(None, "Proxy-Connection: keep-alive"), True)):
        with Client(proxy().address("out")) as client:
            equal(client.ask(data, "CONNECT", bytewise=slowly).status, 200, "status")
            with backend().accept() as server:
                ping(client, server)


@test("CONNECT to an IPv6 address")
def _():
    need_ipv6()
    six = Backend("::1")
    try:
        with Client(proxy().address("out")) as client:
            equal(client.ask(connect_head(f"[::1]:{six.port}"), "CONNECT").status, 200, "status")
            with six.accept() as server:
                ping(client, server)
    finally:
        six.close()


@test("what the client sends along with CONNECT is delivered")
def _():
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(range(256)) * 2
    for early in (hello, os.urandom(9_000), os.urandom(100_000)):
        with Client(proxy().address("out")) as client:
            client.send(connect_head() + early)
            equal(client.read("CONNECT").status, 200, "status")
            with backend().accept() as server:
                check(server.exactly(len(early)) == early, "the first bytes differ")
                ping(client, server)


@test("what the client sends along with CONNECT never leaves when it is refused")
def _():
    with Client(proxy().address("web")) as client:
        client.send(connect_head() + b"secret")
        equal(client.read("CONNECT").status, 405, "status")
    with Client(proxy().address("out")) as client:
        client.send(connect_head("10.0.0.1:443") + b"\x16\x03\x01\0\x05hello")
        equal(client.read().status, 403, "status")


@test("a server that speaks first is heard")
def _():
    with Client(proxy().address("out")) as client:
        client.send(connect_head())
        with backend().accept() as server:
            server.send(b"220 ready\r\n")
            equal(client.read("CONNECT").status, 200, "status")
            equal(client.line("a greeting"), b"220 ready", "greeting")
            ping(client, server)


@test("what was sent behind a refused CONNECT is not taken for a request")
def _():
    with Client(proxy().address("out")) as client:
        client.send(connect_head("10.0.0.1:443") + connect_head())
        response = client.read("CONNECT")
        equal((response.status, response.get("Connection")), (403, "close"), "answer")
        check(client.has_ended(), "the connection goes on")


# ---- bulk


@test("64 MB each way at once are byte-exact")
def _():
    client, server = pair()
    data = os.urandom(1 << 20) * 64
    with client, server:
        wanted = hashlib.sha256(data).digest()
        up, down = exchange_bulk(client, server, data)
        check(up == wanted, "what the backend received differs")
        check(down == wanted, "what the client received differs")


@test("odd pieces in turns arrive as they were sent")
def _():
    client, server = pair()
    with client, server:
        for size in (1, 65_535, 65_536, 65_537, 3, 200_001, 131_072, 7):
            data = os.urandom(size)
            client.send(data)
            check(server.exactly(size) == data, f"{size} bytes differ at the backend")
            server.send(data)
            check(client.exactly(size) == data, f"{size} bytes differ at the client")


@test("a receiver that stops stops the sender, and nothing is lost")
def _():
    client, server = pair()
    with client, server:
        piece = os.urandom(1 << 20)
        sent = hashlib.sha256()
        server.sock.settimeout(1.0 * FACTOR)
        count = 0
        try:
            while count < 256 << 20:
                n = server.sock.send(piece)
                sent.update(piece[:n])
                count += n
        except socket.timeout:
            pass
        check(count < 64 << 20, f"{count} bytes went to a client that reads nothing")
        ping_up = b"still here"
        client.send(ping_up)
        equal(server.exactly(len(ping_up)), ping_up, "the other way")
        server.half_close()
        found = hashlib.sha256()
        while data := client.sock.recv(1 << 20):
            found.update(data)
        check(found.digest() == sent.digest(), "what the client received differs")


# ---- ends


@test("a client that sends no more still gets the whole answer")
def _():
    client, server = pair()
    with client, server:
        client.send(b"question")
        client.half_close()
        equal(server.rest(), b"question", "to the backend")
        check(not server.was_reset, "the backend was reset")
        server.send(b"a" * 3_000_000)
        server.close()
        equal(len(client.rest()), 3_000_000, "bytes of the answer")
        check(not client.was_reset, "the client was reset")


@test("a client that ends its stream along with CONNECT still gets the whole answer")
def _():
    with Client(proxy().address("out")) as client:
        client.send(connect_head() + b"question")
        client.half_close()
        with backend().accept() as server:
            equal(server.rest(), b"question", "to the backend")
            server.send(b"answer")
        equal(client.read("CONNECT").status, 200, "status")
        equal(client.rest(), b"answer", "to the client")
        check(not client.was_reset, "the client was reset")


@test("a server that sends no more still gets everything")
def _():
    client, server = pair()
    with client, server:
        server.send(b"bye")
        server.half_close()
        equal(client.rest(), b"bye", "to the client")
        check(not client.was_reset, "the client was reset")
        client.send(b"b" * 3_000_000)
        client.close()
        equal(len(server.rest()), 3_000_000, "bytes to the backend")
        check(not server.was_reset, "the backend was reset")


@test("what a server says before it closes at once arrives")
def _():
    for say in (b"", b"421 go away\r\n", b"x" * 300_000):
        with Client(proxy().address("out")) as client:
            client.send(connect_head())
            with backend().accept() as server:
                server.send(say)
            equal(client.read("CONNECT").status, 200, "status")
            equal(client.rest(), say, "to the client")
            check(not client.was_reset, "the client was reset")


@test("a reset is passed on at once, either way")
def _():
    client, server = pair()
    with server:
        ping(client, server)
        client.reset()
        check(was_reset(server), "the backend saw no reset")
    client, server = pair()
    with client:
        ping(client, server)
        server.reset()
        check(was_reset(client), "the client saw no reset")


@test("a reset ends a tunnel even when the other way is stuck")
def _():
    client, server = pair()
    with client:
        server.sock.settimeout(0.5 * FACTOR)
        try:
            while True:
                server.sock.send(bytes(1 << 20))
        except socket.timeout:
            pass
        server.reset()
        until(lambda: proxy().metrics()["bascule_tunnels_open"] == 0, "the end of the tunnel")


@test("a tunnel without a byte is ended", timely=True)
def _():
    client, server = pair("idle")
    with client, server:
        ping(client, server)
        check(was_reset(client), "the client saw no reset")
        check(was_reset(server), "the backend saw no reset")
    record = record_of(client)
    equal(record["end"], "limit", "end")
    check(record["duration_us"] >= SHORT_MS * 990, "it ended too soon")


@test("a half-closed tunnel has an idle limit of its own", timely=True)
def _():
    client, server = pair("half")
    with client, server:
        client.half_close()
        check(server.has_ended(), "the end was not passed on")
        check(was_reset(client), "the client saw no reset")
    until(lambda: proxy().metrics()["bascule_tunnels_open"] == 0, "the end of the tunnel")


@test("a tunnel has a longest life, busy or not", timely=True)
def _():
    client, server = pair("life")
    with client, server:
        try:
            while client.try_send(b"x") and server.exactly(1):
                pass
        except CutShort:
            pass
        check(was_reset(client), "the client saw no reset")
    record = record_of(client)
    equal(record["end"], "limit", "end")
    check(record["duration_us"] >= SHORT_MS * 990, "it ended too soon")


@test("a client that goes while its CONNECT is under way leaves nothing behind")
def _():
    silent = SilentPort()
    try:
        before = proxy().metrics()["bascule_client_aborts_total"]
        client = Client(proxy().address("slow"))
        client.send(connect_head(f"127.0.0.1:{silent.port}"))
        until(lambda: proxy().metrics()["bascule_exchanges_open"] == 1, "the exchange")
        client.reset()
        until(lambda: proxy().metrics()["bascule_exchanges_open"] == 0, "its end")
        becomes(lambda: proxy().metrics()["bascule_client_aborts_total"] - before, 1,
                "clients gone")
    finally:
        silent.close()


# ---- counts and the log


@test("the log and the counters tell how much was carried")
def _():
    until(lambda: proxy().metrics()["bascule_exchanges_open"] == 0, "nothing else is going on")
    before = proxy().metrics()
    client, server = pair()
    equal(proxy().metrics()["bascule_tunnels_open"], before["bascule_tunnels_open"] + 1,
          "tunnels open")
    with client, server:
        client.send(b"u" * 123_456)
        server.exactly(123_456)
        server.send(b"d" * 654_321)
        client.exactly(654_321)
    record = record_of(client)
    equal((record["method"], record["status"], record["end"], record["cache"]),
          ("CONNECT", 200, "done", "TCP_TUNNEL"), "access record")
    equal((record["bytes_in"], record["bytes_out"]), (123_456, 654_321), "bytes in the record")
    equal(record["target"], backend().address, "target")
    wanted = {"tunnels_open": 0, "tunnels_opened_total": 1,
              "tunnel_bytes_to_upstream_total": 123_456, "tunnel_bytes_to_client_total": 654_321,
              "requests_total": 1, "responses_2xx_total": 1, "exchanges_open": 0}

    def grown():
        after = proxy().metrics()
        return {name: after[f"bascule_{name}"] - before[f"bascule_{name}"] for name in wanted}

    becomes(grown, wanted, "counters")


@test("the log in squid's format has a line for a tunnel")
def _():
    squid = LogReader(proxy().path("squid.log"))
    client, server = pair("logged")
    with client, server:
        server.send(b"x" * 1000)
        client.exactly(1000)
    fields = squid.line_with(backend().address).split()
    equal(fields[2:4] + fields[5:9], ["127.0.0.1", "TCP_TUNNEL/200", "CONNECT", backend().address,
                                      "-", "HIER_DIRECT/127.0.0.1"], "line")
    check(int(fields[4]) >= 1000, f"{fields[4]} bytes are too few")


@test("how a tunnel was broken off is logged")
def _():
    for breaker, end in (("client", "client_abort"), ("server", "upstream_failed")):
        client, server = pair()
        ping(client, server)
        first, second = (client, server) if breaker == "client" else (server, client)
        first.reset()
        was_reset(second)
        second.close()
        equal(record_of(client)["end"], end, f"end when the {breaker} breaks off")


@test("two hundred tunnels at once")
def _():
    pairs = [pair() for _ in range(200)]
    try:
        for name, what in (("tunnels_open", "tunnels open"),
                           ('listener_connections_open{listener="out"}', "of the listener")):
            becomes(lambda name=name: proxy().metrics()[f"bascule_{name}"], 200, what)
        for i, (client, server) in enumerate(pairs):
            client.send(b"%d" % i)
            server.send(b"%d" % (i + 1))
        for i, (client, server) in enumerate(pairs):
            equal(server.exactly(len(b"%d" % i)), b"%d" % i, "to the backend")
            equal(client.exactly(len(b"%d" % (i + 1))), b"%d" % (i + 1), "to the client")
    finally:
        for client, server in pairs:
            client.close()
            server.close()
    until(lambda: proxy().metrics()["bascule_tunnels_open"] == 0, "the end of all tunnels")
    becomes(lambda: proxy().metrics()["bascule_exchanges_open"], 0, "exchanges open")


@test("tunnels count as connections of their listener")
def _():
    held = [pair("few"), pair("few")]
    try:
        with Client(proxy().address("few")) as third:
            third.try_send(connect_head())
            equal(third.rest(), b"", "what a third client is told")
        for stream in held.pop():
            stream.close()
        name = 'bascule_listener_connections_open{listener="few"}'
        until(lambda: proxy().metrics()[name] == 1, "the end of a tunnel")
        held.append(pair("few"))
        ping(*held[-1])
    finally:
        for streams in held:
            for stream in streams:
                stream.close()


# ---- reload and stop


@test("tunnels outlive reloads; those that are refused now are closed, and the log says why")
def _():
    client, server = pair()
    other, other_server = pair("logged")
    with client, server, other, other_server:
        for i in range(5):
            proxy().reload()
            ping(client, server, b"%d" % i)
        proxy().reload(CONF, DENY='deny_destination = [ "127.0.0.1" ];')
        try:
            check(was_reset(client), "the client saw no reset")
            check(was_reset(server), "the backend saw no reset")
            equal(record_of(client)["end"], "denied", "end")
            ping(other, other_server)
        finally:
            proxy().reload(CONF, DENY="")


@test("an order to stop waits for tunnels as long as it was told to, then closes them", timely=True)
def _():
    with daemon() as stopped:
        client, server = pair(at=stopped)
        websocket, origin = upgrade(WAYS[0], stopped)
        with client, server, websocket, origin:
            stopped.signal(signal.SIGTERM)
            until(lambda: not is_listening(stopped.address("out")), "the end of listening")
            ping(client, server)
            ping(websocket, origin)
            check(was_reset(client) and was_reset(server), "a tunnel was not reset")
            check(was_reset(websocket) and was_reset(origin), "a WebSocket was not reset")
            equal(stopped.wait_end(), 0, "exit status")


def is_listening(address):
    try:
        Client(address).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was queued meanwhile
        return False
    return True


# ---- Upgrade

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def upgrade_head(way, *fields, protocol="websocket", method="GET", version="1.1"):
    return head(f"{method} {way.target(backend(), '/chat')} HTTP/{version}",
                f"Host: {way.host(backend())}", "Connection: keep-alive, Upgrade",
                f"Upgrade: {protocol}", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Protocol: chat, superchat",
                "Sec-WebSocket-Extensions: permessage-deflate", *fields)


def switch_head(*fields, protocol="websocket"):
    return head("HTTP/1.1 101 Switching Protocols", f"Upgrade: {protocol}", "Connection: Upgrade",
                f"Sec-WebSocket-Accept: {ACCEPT}", "Sec-WebSocket-Protocol: chat", *fields)


def upgrade(way, at=None):
    """A client that has switched protocols, and the backend's end."""
    client = client_of(way.listener, at)
    client.send(upgrade_head(way, f"User-Agent: {client.agent}"))
    server = backend().accept()
    read_request_head(server)
    server.send(switch_head())
    equal(client.read().status, 101, "status")
    return client, server


@both("an Upgrade is relayed with its fields, and bytes pass both ways")
def _(way):
    with Client(proxy().address(way.listener)) as client:
        client.send(upgrade_head(way))
        with backend().accept() as server:
            request = read_request_head(server)
            equal((request.get("Upgrade"), request.get("Connection").lower()),
                  ("websocket", "upgrade"), "Upgrade and Connection at the backend")
            for name, value in (("Key", KEY), ("Version", "13"), ("Protocol", "chat, superchat"),
                                ("Extensions", "permessage-deflate")):
                equal(request.get(f"Sec-WebSocket-{name}"), value, f"Sec-WebSocket-{name}")
            server.send(switch_head())
            response = client.read()
            equal((response.status, response.get("Upgrade"), response.get("Connection").lower()),
                  (101, "websocket", "upgrade"), "answer")
            equal((response.get("Sec-WebSocket-Accept"), response.get("Sec-WebSocket-Protocol")),
                  (ACCEPT, "chat"), "Sec-WebSocket fields of the answer")
            check(not response.has("Content-Length") and not response.has("Transfer-Encoding"),
                  "the answer has framing")
            ping(client, server, b"\x81\x05hello")


@both("bytes right behind an Upgrade and behind its answer arrive")
def _(way):
    early_up, early_down = os.urandom(5_000), os.urandom(70_000)
    with Client(proxy().address(way.listener)) as client:
        client.send(upgrade_head(way) + early_up)
        with backend().accept() as server:
            read_request_head(server)
            server.send(switch_head() + early_down)
            equal(client.read().status, 101, "status")
            check(client.exactly(len(early_down)) == early_down, "the bytes to the client differ")
            check(server.exactly(len(early_up)) == early_up, "the bytes to the backend differ")
            ping(client, server)


@both("an upgraded connection carries megabytes both ways, and ends as a tunnel does")
def _(way):
    client, server = upgrade(way)
    data = os.urandom(1 << 20) * 8
    with client, server:
        wanted = hashlib.sha256(data).digest()
        equal(exchange_bulk(client, server, data), (wanted, wanted), "digests of what arrived")
    client, server = upgrade(way)
    with server:
        client.reset()
        check(was_reset(server), "the backend saw no reset")


@both("an upgraded connection is logged and counted as a tunnel")
def _(way):
    before = proxy().metrics()["bascule_tunnels_opened_total"]
    client, server = upgrade(way)
    with client, server:
        client.send(b"12345")
        server.exactly(5)
        server.send(b"123")
        client.exactly(3)
    record = record_of(client)
    equal((record["status"], record["end"], record["cache"], record["bytes_in"],
           record["bytes_out"]), (101, "done", "TCP_TUNNEL", 5, 3), "access record")
    equal(proxy().metrics()["bascule_tunnels_opened_total"] - before, 1, "tunnels opened")


@both("an answer other than 101 is an ordinary one")
def _(way):
    with Client(proxy().address(way.listener)) as client:
        for status in ("200 OK", "426 Upgrade Required"):
            client.send(upgrade_head(way))
            with backend().accept() as server:
                read_request_head(server)
                server.send(answer(b"no", "Upgrade: websocket", "Connection: Upgrade, close",
                                   status=status))
                response = client.read()
            equal((response.status, response.body), (int(status[:3]), b"no"), "answer")


def refused_switch(way, request, response):
    """The answer to a client whose backend switches protocols as it should not."""
    with Client(proxy().address(way.listener)) as client:
        client.send(request)
        with backend().accept() as server:
            read_request_head(server)
            server.send(response + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            found = client.read()
            server.rest()  # the connection is given up
        equal(found.status, 502, "status")
        check("http_protocol_error" in found.get("Proxy-Status"), "Proxy-Status")
        check(b"evil" not in found.body and b"evil" not in client.buffer, "bytes behind the answer")


@both("a switch of protocols that nobody asked for is 502")
def _(way):
    plain = get(way.target(backend(), "/chat"), host=way.host(backend()))
    refused_switch(way, plain, switch_head())
    refused_switch(way, plain, head("HTTP/1.1 101 Switching Protocols"))
    refused_switch(way, upgrade_head(way), switch_head(protocol="h2c"))
    refused_switch(way, upgrade_head(way), switch_head(protocol="websocket, other"))
    refused_switch(way, upgrade_head(way), head("HTTP/1.1 101 Switching Protocols"))
    refused_switch(way, upgrade_head(way), switch_head(protocol=","))


@both("a switch of protocols before the request is complete is 502")
def _(way):
    refused_switch(way, upgrade_head(way, "Content-Length: 10", method="POST") + b"12345",
                   switch_head())


@both("an upgrade to HTTP/2 is not passed on")
def _(way):
    for protocol in ("h2c", "H2C, websocket", "h2"):
        with Client(proxy().address(way.listener)) as client:
            client.send(upgrade_head(way, "HTTP2-Settings: AAMAAABkAAQAAP__",
                                     protocol=protocol))
            with backend().accept() as server:
                request = read_request_head(server)
                for name in ("Upgrade", "HTTP2-Settings", "Connection"):
                    check(not request.has(name), f"{name} reached the backend")
                server.send(answer(b"plain"))
                equal(client.read().body, b"plain", "answer")


@both("Upgrade means nothing in HTTP/1.0 and without Connection: upgrade")
def _(way):
    lone = head(f"GET {way.target(backend(), '/chat')} HTTP/1.1", f"Host: {way.host(backend())}",
                "Upgrade: websocket")
    for request_bytes in (lone, upgrade_head(way, version="1.0")):
        with Client(proxy().address(way.listener)) as client:
            client.send(request_bytes)
            with backend().accept() as server:
                request = read_request_head(server)
                check(not request.has("Upgrade"), "Upgrade reached the backend")
                server.send(answer(b"plain"))
                equal(client.read().body, b"plain", "answer")


@both("a backend that goes before its answer to an Upgrade is 502")
def _(way):
    with Client(proxy().address(way.listener)) as client:
        client.send(upgrade_head(way))
        with backend().accept() as server:
            read_request_head(server)
            server.reset()
        response = client.read()
        equal(response.status, 502, "status")
        check("connection_terminated" in response.get("Proxy-Status"), "Proxy-Status")


main()
