# SPDX-License-Identifier: BSD-2-Clause
"""Rules that somebody tries to get past, and exchanges that end in the middle of being judged
(modes/judge.c, modes/tunnels.c, server/net/tunnel.c)."""

import json
import ssl
import threading
import time

import h2
from bascule_flow import (FORWARD, REVERSE, WAYS, Client, CutShort, Daemon, Origin, answer, check,
                          equal, get, head, main, once, test)
from peers import HttpParent, NameServer

CONF = """
workers = 1;
forward_to_sites = false;
resolver = { servers = [ "127.0.0.1:@DNS@" ]; min_ttl = "0s"; stale = "0s"; };
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
stores = ( { name = "main"; memory = "16M"; } );
@MORE@
policies = ( { name = "shared"; @POLICY@ rules = ( @RULES@ ); } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "shared"; @WEB@ },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "shared";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; http_ports = "1-65535";
      @OUT@ }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; cache = "main"; } );
"""


def play(request, link):
    if request.has("Upgrade"):
        link.send(head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                       "Connection: Upgrade",
                       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        send_back(link)
        return None
    if request.target.endswith("/video"):
        kind = "multipart/byteranges; boundary=x" if "," in (request.get("Range") or "") \
               else "video/mp4"
        return answer(b"video", f"Content-Type: {kind}")
    fields = {name.lower(): value for name, value in request.fields}
    return answer(json.dumps({"target": request.target, **fields}).encode())


def send_back(link):
    while True:
        data = link.sock.recv(65536)
        if not data:
            link.is_open = False
            return
        link.sock.sendall(data)


@once
def origin():
    return Origin(play)


@once
def echo():
    return Origin(serve=send_back)


@once
def names():
    return NameServer()


def start(rules, more="", policy="", out="", web=""):
    return Daemon(CONF, RULES=rules, MORE=more, POLICY=policy, OUT=out, WEB=web,
                  ORIGIN=origin().port, DNS=names().port)


def ask(daemon, way, path, *fields, host=None):
    host = host or f"127.0.0.1:{origin().port}"
    target = f"http://{host}{path}" if way is FORWARD else path
    with Client(daemon.address(way.listener)) as client:
        return client.ask(get(target, *fields, host=host))


def both(promise, **options):
    def add(function):
        for way in WAYS:
            test(f"{promise} ({way.name})", **options)(lambda way=way: function(way))
        return function
    return add


def connect_head(target):
    return head(f"CONNECT {target} HTTP/1.1", f"Host: {target}")


def open_tunnel(daemon, target=None):
    target = target or f"127.0.0.1:{echo().port}"
    client = Client(daemon.address("out"))
    response = client.ask(connect_head(target), method="CONNECT")
    equal(response.status, 200, f"status of CONNECT {target}")
    return client


def echoed(client, sent):
    client.send(sent)
    return client.exactly(len(sent), "the echo") == sent


def is_closed(client):
    try:
        return client.rest() == b""
    except (CutShort, ConnectionError):
        return True


def client_hello(name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


# ---- where it goes

AFTER_DESTINATION = '{ when = { destination = "192.0.2.0/24"; }; action = "deny"; }, '


@test("what a rule behind one on the destination sends directly is asked as origins are, without "
      "the parent's password")
def _():
    parent = HttpParent(user="us", password="secret")
    with start(AFTER_DESTINATION + '{ when = { path = "/direct"; }; upstream_proxy = "direct"; }',
               out=f'upstream_proxy = "http://us:secret@127.0.0.1:{parent.port}";') as daemon:
        seen = json.loads(ask(daemon, FORWARD, "/direct").body)
        equal(seen["target"], "/direct", "the target")
        check("proxy-authorization" not in seen, "the origin was told the parent's password")
        equal(ask(daemon, FORWARD, "/other").body, b"hello\n", "others go by the parent")
    parent.close()


@test("what a rule behind one on the destination sends to a parent is asked as parents are")
def _():
    parent = HttpParent(user="us", password="secret")
    with start(AFTER_DESTINATION + '{ upstream_proxy = "http://us:secret@127.0.0.1:%d"; }'
               % parent.port) as daemon:
        equal(ask(daemon, FORWARD, "/by").body, b"hello\n", "the parent answers")
    parent.close()


@test("addresses of which rules say something else than of the first are not connected to")
def _():
    users = """users = ( { name = "staff"; kind = "htpasswd"; file = "@DIR@/htpasswd"; } );"""
    rules = """{ when = { destination = "127.0.0.3"; }; action = "authenticate"; },
               { when = { destination = "127.0.0.4"; sni = ""; }; action = "deny"; }"""
    names().set(two=["127.0.0.2", "127.0.0.3"], three=["127.0.0.2", "127.0.0.4"],
                inside=["127.0.0.3"])
    listener = Origin(play, host="127.0.0.3")
    silent = Origin(serve=send_back, host="127.0.0.4")

    class Staff(Daemon):
        def write_conf(self, conf, **values):
            with open(self.path("htpasswd"), "w", encoding="ascii") as file:
                file.write("ann:$apr1$abcdefgh$xxxxxxxxxxxxxxxxxxxxxx\n")
            super().write_conf(conf, **values)

    with Staff(CONF, RULES=rules, MORE=users, POLICY='users = "staff";', OUT="", WEB="",
               ORIGIN=origin().port, DNS=names().port) as daemon:
        equal(ask(daemon, FORWARD, "/", host=f"inside.test:{listener.port}").status, 407, "inside")
        equal(ask(daemon, FORWARD, "/", host=f"two.test:{listener.port}").status, 502,
              "the first is not there, and the second is not for everybody")
        with Client(daemon.address("out")) as client:
            target = f"three.test:{silent.port}"
            equal(client.ask(connect_head(target), method="CONNECT").status, 502, "a tunnel")
    listener.close()
    silent.close()


# ---- tunnels

AT_ONCE = 'limits = ( { name = "one"; key = "client"; concurrency = 1; } );'


@test("a reload while the first bytes are awaited gives a limit back when the tunnel ends")
def _():
    rules = '{ limit = "one"; tags = "kept"; }, { when = { sni = "bad.test"; }; action = "deny"; }'
    with start(rules, AT_ONCE, 'sni_wait = "30s";') as daemon:
        client = open_tunnel(daemon)
        daemon.reload()
        daemon.reload()
        check(echoed(client, client_hello("good.test")), "the new rules let it on")
        with Client(daemon.address("out")) as other:
            equal(other.ask(connect_head("127.0.0.1:1"), method="CONNECT").status, 429,
                  "a second one meanwhile")
        client.close()
        record = daemon.wait_record(f"127.0.0.1:{echo().port}")
        equal(record["tags"], "kept", "tags")
        open_tunnel(daemon).close()


@test("a ClientHello that is not whole in time is not let on")
def _():
    with start('{ name = "bad"; when = { sni = "bad.test"; }; action = "deny"; }', "",
               'sni_wait = "200ms";') as daemon:
        hello = client_hello("bad.test")
        for first in (1, 3, 60, len(hello) - 1):
            client = open_tunnel(daemon)
            client.send(hello[:first])
            check(is_closed(client), f"{first} bytes of it, and then nothing")
        client = open_tunnel(daemon)
        check(echoed(client, b"SSH-2.0-x\r\n"), "what is no TLS flows")
        client.close()
        client = open_tunnel(daemon)
        time.sleep(0.4)
        check(echoed(client, b"late"), "who says nothing is not held up for long")
        client.close()


@test("the name in a tunnel is the same with a dot at its end")
def _():
    with start('{ name = "bad"; when = { sni = "bad.test"; }; action = "deny"; }', "",
               'sni_wait = "20s";') as daemon:
        client = open_tunnel(daemon)
        client.try_send(client_hello("bad.test"))
        check(is_closed(client), "without")
        client = open_tunnel(daemon)
        client.try_send(client_hello("bad.testX").replace(b"bad.testX", b"bad.test."))
        check(is_closed(client), "with a dot")


@test("what rules on the name in a tunnel say besides no closes it")
def _():
    users = 'users = ( { name = "cards"; kind = "certificate"; } );'
    with start("""{ name = "drop"; when = { sni = "drop.test"; }; action = "drop"; },
                  { name = "who"; when = { sni = "who.test"; }; action = "authenticate"; },
                  { name = "away"; when = { sni = "away.test"; }; action = "redirect";
                    redirect = "http://elsewhere.test/"; },
                  { name = "one"; when = { sni = "one.test"; }; limit = "one"; }""",
               users + AT_ONCE, 'users = "cards"; sni_wait = "20s";') as daemon:
        for name in ("drop", "who", "away"):
            client = open_tunnel(daemon)
            client.try_send(client_hello(f"{name}.test"))
            check(is_closed(client), name)
        first = open_tunnel(daemon)
        check(echoed(first, client_hello("one.test")), "within the limit")
        client = open_tunnel(daemon)
        client.try_send(client_hello("one.test"))
        check(is_closed(client), "over the limit")
        first.close()


@test("a ClientHello is seen byte by byte, and behind its CONNECT")
def _():
    with start('{ name = "bad"; when = { sni = "bad.test"; }; action = "deny"; }', "",
               'sni_wait = "20s";') as daemon:
        hello = client_hello("bad.test")
        client = open_tunnel(daemon)
        for byte in hello[:-1]:
            client.send(bytes([byte]))
        client.try_send(hello[-1:])
        check(is_closed(client), "byte by byte")
        client = Client(daemon.address("out"))
        client.send(connect_head(f"127.0.0.1:{echo().port}") + hello)
        equal(client.read("CONNECT").status, 200, "status")
        check(is_closed(client), "behind")


@test("the name in a tunnel is seen in a stream of HTTP/2 as well")
def _():
    with start('{ name = "bad"; when = { sni = "bad.test"; }; action = "deny"; }', "",
               'sni_wait = "20s";') as daemon:
        client = h2.h2c(daemon.address("out"))
        client.greet()
        target = f"127.0.0.1:{echo().port}"
        fields = h2.request(None, method="CONNECT", authority=target, scheme=None)
        bad, good = client.open(fields, end=False), client.open(fields, end=False)
        for stream in (bad, good):
            equal(client.head(stream).status, 200, "status")
        hello = client_hello("good.test")
        client.send_data(bad, client_hello("bad.test"), end=False)
        client.expect_reset(bad, *h2.Error)
        client.send_data(good, hello, end=False)
        client.until(lambda: len(client.answers[good].body) >= len(hello), "the echo")
        client.close()


# ---- responses

UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


@both("an upgraded connection on the way of a cache ends like others")
def _(way):
    with start('{ when = { path = "/none"; }; action = "deny"; }', out='cache = "main";') as daemon:
        client = Client(daemon.address(way.listener))
        target = f"http://127.0.0.1:{origin().port}/ws" if way is FORWARD else "/ws"
        equal(client.ask(get(target, *UPGRADE, host="127.0.0.1")).status, 101, "status")
        check(echoed(client, b"one"), "it flows")
        daemon.reload()
        daemon.reload()
        check(echoed(client, b"two"), "it flows on")
        client.close()
        daemon.wait_record(target)
        equal(ask(daemon, way, "/after").status, 200, "the next one")


@both("a rule on the status refuses an upgrade")
def _(way):
    with start('{ name = "no"; when = { status = "101"; }; action = "deny"; }') as daemon:
        target = f"http://127.0.0.1:{origin().port}/ws" if way is FORWARD else "/ws"
        with Client(daemon.address(way.listener)) as client:
            equal(client.ask(get(target, *UPGRADE, host="127.0.0.1")).status, 403, "status")


@both("several ranges at once hide no content type")
def _(way):
    with start('{ name = "no"; when = { content_type = "video/*"; }; action = "deny"; }') as daemon:
        for fields in (("Range: bytes=0-1",), ("Range: bytes=0-1,3-4",),
                       ("Range: bytes=0-1", "Range: bytes=3-4")):
            response = ask(daemon, way, "/video", *fields)
            check(response.status in (400, 403), f"{fields}: {response.status}")
        equal(ask(daemon, way, "/text", "Range: bytes=0-1,3-4").status, 200, "other content")


# ---- ends

class Gate:
    """Answers who it is when it is told to."""

    def __init__(self):
        self.asked, self.go = threading.Event(), threading.Event()
        self.origin = Origin(self.play)

    def play(self, request, link):
        self.asked.set()
        self.go.wait(15)
        return answer(b"", "Remote-User: ann")


@test("a log-in that ends after its exchange was answered for it changes nothing")
def _():
    gate = Gate()
    users = """users = ( { name = "gate"; kind = "forward_auth"; timeout = "20s";
                           to = "http://127.0.0.1:%d/verify"; } );""" % gate.origin.port
    with start('{ action = "authenticate"; }', users, 'users = "gate";',
               web='timeouts = { exchange = "500ms"; };') as daemon:
        client = h2.h2c(daemon.address("web"), {h2.Setting.INITIAL_WINDOW_SIZE: 0})
        client.is_generous = False
        client.greet()
        stream = client.open(h2.request())
        client.head(stream)
        check(gate.asked.is_set(), "it was asked")
        gate.go.set()
        time.sleep(0.5)
        client.ping()
        client.give_credit(stream, 100_000)
        equal(client.answer(stream).status, 504, "status")
    gate.origin.close()


@both("whatever the end, a limit on how many at a time is given back")
def _(way):
    rules = """{ limit = "one"; },
               { when = { path = "/deny"; }; action = "deny"; },
               { when = { path = "/drop"; }; action = "drop"; },
               { when = { path = "/late"; status = "200"; }; action = "drop"; },
               { when = { path = "/redirect"; }; action = "redirect"; redirect = "/"; }"""
    with start(rules, AT_ONCE) as daemon:
        for path in ("/", "/deny", "/drop", "/late", "/redirect"):
            for _ in range(2):
                try:
                    status = ask(daemon, way, path).status
                except (CutShort, ConnectionError):
                    status = None
                check(status != 429, f"{path}: {status}")


@both("dropped requests leave other streams of HTTP/2 alone, and give limits back")
def _(way):
    with start('{ limit = "one"; }, { when = { path = "/drop"; }; action = "drop"; }',
               AT_ONCE) as daemon:
        client = h2.h2c(daemon.address(way.listener))
        client.greet()
        host = f"127.0.0.1:{origin().port}"
        for _ in range(3):
            client.expect_reset(client.open(h2.request("/drop", authority=host)), *h2.Error)
            client.reset_stream(client.open(h2.request("/gone", authority=host)))
        client.ping()
        equal(client.ask(h2.request("/", authority=host)).status, 200, "another one")


@test("passwords never reach origins, also where no rule has asked for them")
def _():
    users = 'users = ( { name = "staff"; kind = "htpasswd"; file = "@DIR@/htpasswd"; } );'

    class Staff(Daemon):
        def write_conf(self, conf, **values):
            with open(self.path("htpasswd"), "w", encoding="ascii") as file:
                file.write("ann:$apr1$abcdefgh$xxxxxxxxxxxxxxxxxxxxxx\n")
            super().write_conf(conf, **values)

    rules = '{ when = { path = "/free"; }; action = "allow"; }, { action = "authenticate"; }'
    with Staff(CONF, RULES=rules, MORE=users, POLICY='users = "staff";', OUT="", WEB="",
               ORIGIN=origin().port, DNS=names().port) as daemon:
        for way, field in ((REVERSE, "Authorization"), (FORWARD, "Proxy-Authorization")):
            response = ask(daemon, way, "/free", f"{field}: Basic YW5uOnNlY3JldA==",
                           f"{field}: Basic YW5uOnNlY3JldDI=")
            check(response.status in (200, 400), f"status {response.status}")
            check(b"YW5uOn" not in response.body, f"{field} reached the origin: {response.body}")


@test("an address has one spelling for rules")
def _():
    with start("""{ name = "to"; when = { destination = "127.0.0.0/8"; }; action = "deny"; }""",
               out="") as daemon:
        port = echo().port
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1."):
            with Client(daemon.address("out")) as client:
                status = client.ask(connect_head(f"{host}:{port}"), method="CONNECT").status
                check(status in (400, 403), f"{host}: {status}")
            check(ask(daemon, FORWARD, "/", host=f"{host}:{port}").status in (400, 403), host)


@both("an exchange that waits for its log-in while the configuration changes ends as it began")
def _(way):
    gate = Gate()
    users = """users = ( { name = "gate"; kind = "forward_auth"; timeout = "20s";
                           to = "http://127.0.0.1:%d/verify"; } );""" % gate.origin.port
    rules = """{ limit = "one"; }, { action = "authenticate"; },
               { when = { user = "ann"; }; tags = "ann"; }"""
    with start(rules, users + AT_ONCE, 'users = "gate";') as daemon:
        host = f"127.0.0.1:{origin().port}"
        target = f"http://{host}/slow" if way is FORWARD else "/slow"
        gone = Client(daemon.address(way.listener))
        gone.send(get(target + "er", host=host))
        check(gate.asked.wait(10), "it was asked")
        gate.asked.clear()
        gone.reset()
        daemon.wait_record(target + "er")
        client = Client(daemon.address(way.listener))
        client.send(get(target, host=host))
        check(gate.asked.wait(10), "it was asked again")
        daemon.reload(CONF, RULES='{ action = "deny"; }', MORE="", POLICY="")
        daemon.reload()
        gate.go.set()
        equal(client.read().status, 200, "status")
        client.close()
        equal(ask(daemon, way, "/").status, 403, "the new rules")
    gate.origin.close()


main()
