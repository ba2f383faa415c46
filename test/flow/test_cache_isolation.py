# SPDX-License-Identifier: BSD-2-Clause
"""Nobody plants anything for others: what is under a site's URL came from that site's servers,
for what anybody might have sent (modes/look_up.c, modes/keep.c, cache/cache_key.h)."""

import json
import posixpath
import urllib.parse

from bascule_flow import (FORWARD, REVERSE, Client, Daemon, Failure, Origin, Way, answer, check,
                          equal, get, head, main, once, one_of, test)
from caching import FRONTS, Front, Page, is_forwarded, is_hit, outcome, tell, test_fronts, unique
from certs import Certificates
from peers import NameServer, free_port
from secure import TlsClient, trusting

CONF = """
workers = 2;
forward_to_sites = @TO_SITES@;
resolver = { servers = [ "127.0.0.1:@DNS@" ]; min_ttl = "0s"; stale = "0s"; };
stores = ( { name = "main"; memory = "64M"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = [ "127.0.0.1:@WEB@" ]; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; client_cert = true;
      tls = { certificates = "@PEM@"; }; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      http_ports = "1-65535"; allow_destination = [ "127.0.0.0/8" ]; cache = "main"; },
    { name = "behind"; mode = "reverse"; listen = "127.0.0.1:0"; forwarding = "both";
      trusted_proxies = [ "127.0.0.1" ]; },
    { name = "open"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; anonymity = "off"; cache = "main"; },
    { name = "other"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "main"; },
    { name = "hiding"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "main";
      filters = ( { filter = "hide_server"; } ); },
    { name = "hiding-too"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "main";
      filters = ( { filter = "hide_server"; } ); }
);
groups = (
    { name = "site"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "site"; default = true; hosts = [ "site.test" ]; group = "site"; cache = "main";
      routes = (
        { path_prefix = "/static/"; cache = { store = "main"; default = "60s"; }; },
        { path_prefix = "/ignore/";
          cache = { store = "main"; query_ignore = [ "utm_*", "id" ]; }; },
        { path_prefix = "/only/"; cache = { store = "main"; query_only = [ "page" ]; }; },
        { path_prefix = "/sort/"; cache = { store = "main"; query_sort = true; }; },
        { path_prefix = "/none/"; cache = { store = "main"; query_off = true; }; }
    ); },
    { name = "named"; hosts = [ "named.test", "also.test" ]; group = "site"; host = "site.test";
      cache = "main"; },
    { name = "clients"; hosts = [ "clients.test" ]; group = "site"; cache = "main";
      client_certificates = { mode = "optional"; ca = "@CLIENTS@"; }; },
    { name = "inner"; hosts = [ "inner.test" ]; group = "site"; host = "endpoint";
      cache = "main"; },
    { name = "else"; hosts = [ "else.test" ]; group = "site"; host = "endpoint"; cache = "main"; }
);
"""
WEB = Front(REVERSE, "HTTP/1.1")
OUT = Front(FORWARD, "HTTP/1.1")
FRESH = "Cache-Control: max-age=60"


@once
def origin():
    return Origin(tell)


@once
def certificates():
    return Certificates()


@once
def pem():
    certificates().authority("root")
    return certificates().issue("site", "root", ["DNS:site.test", "DNS:clients.test"])


def client_ca():
    certificates().client("alice")
    certificates().client("bob")
    return certificates().path("clients.pem")


@once
def names():
    return NameServer(site=["127.0.0.2"], evil=["127.0.0.2"], named=["127.0.0.2"])


@once
def planter():
    """Who answers in the site's name, on the port of the daemon's, if names lie."""
    for _ in range(50):
        try:
            return Origin(lambda request, link: answer(b"planted", FRESH), host="127.0.0.2",
                          port=free_port())
        except OSError:
            pass
    raise Failure("no port is free on both addresses")


def start(to_sites, web):
    return Daemon(CONF, TO_SITES=to_sites, DNS=names().port, WEB=web, PEM=pem(),
                  CLIENTS=client_ca(), ORIGIN=origin().port)


@once
def proxy():
    """What is asked of "out" goes to whom the name server names."""
    return start("false", planter().port)


def site(port=None):
    return f"site.test:{planter().port if port is None else port}"


def visit(path, *fields, front=WEB, host=None, daemon=None, **more):
    """What visitors of the site see."""
    return front.ask(daemon or proxy(), 0, path, *fields, host=host or site(), **more)


# ---- planting


@test("a forward client whose names lie plants nothing for the site's visitors")
def _():
    for front in FRONTS[2:]:
        for path in (unique(), unique() + "?a=b"):
            planted = front.ask(proxy(), 0, path, host=site())
            equal(planted.body, b"planted", "what the liar's server said")
            for own in FRONTS[:2]:
                found = visit(path, front=own)
                check(b"planted" not in found.body, "the planted page is the site's now")
            is_hit(front.ask(proxy(), 0, path, host=site()), b"planted")


@test("what the site has is not given to forward clients that do not go to it, nor the other way")
def _():
    path = unique()
    visit(path)
    is_forwarded(OUT.ask(proxy(), 0, path, host=site()), "uri-miss", b"planted")
    check("hit" in outcome(visit(path)), "the site's own is there still")


@test("a Host that is not the URL's changes nothing")
def _():
    path = unique()
    with Client(proxy().address("out")) as client:
        client.send(head(f"GET http://evil.test:{planter().port}{path} HTTP/1.1",
                         f"Host: {site()}"))
        one_of(client.read().status, (200, 400), "status")
    check(b"planted" not in visit(path).body, "planted by Host")
    path = unique()
    with Client(proxy().address("web")) as client:
        client.send(head(f"GET http://named.test{path} HTTP/1.1", f"Host: {site()}"))
        found = client.read()
    one_of(found.status, (200, 400), "status")
    is_forwarded(visit(path), "uri-miss")


@test("what forward clients fetched from a site's own servers is shared with its visitors")
def _():
    port = free_port()
    with start("true", port) as daemon:
        for first, second in ((OUT, WEB), (WEB, OUT), (FRONTS[3], FRONTS[1])):
            path = unique()
            is_forwarded(visit(path, front=first, daemon=daemon, host=site(port)), "uri-miss")
            is_hit(visit(path, front=second, daemon=daemon, host=site(port)))
            equal(len(origin().seen(path)), 1, "requests at the origin")


@test("two forward listeners share what they fetched from the internet")
def _():
    it = Page(origin(), FRESH)
    OUT.ask(proxy(), origin().port, it.path)
    with Client(proxy().address("other")) as client:
        is_hit(client.ask(get(f"http://127.0.0.1:{origin().port}{it.path}",
                              host=f"127.0.0.1:{origin().port}")), b"number 1")


@test("what filters made of a fetched answer is for those who have the same filters")
def _():
    it = Page(origin(), FRESH, "Server: inner/1")
    host = f"127.0.0.1:{origin().port}"
    for listener, server, count in (("out", "inner/1", 1), ("hiding", None, 2),
                                    ("hiding-too", None, 2), ("other", "inner/1", 2)):
        with Client(proxy().address(listener)) as client:
            found = client.ask(get(f"http://{host}{it.path}", host=host))
        equal(found.get("server"), server, f"Server by {listener}")
        equal(len(origin().seen(it.path)), count, f"requests at the origin after {listener}")


POISON = ("X-Forwarded-Host: evil.test", "X-Forwarded-Proto: evil", "X-Forwarded-Port: 6666",
          "X-Forwarded-Prefix: /evil", "X-Forwarded-Server: evil.test", "X-Forwarded-Path: /evil",
          "X-Forwarded-Scheme: evil", "X-Forwarded-SSL: evil", "Forwarded: host=evil.test",
          "X-Original-URL: /evil", "X-Rewrite-URL: /evil", "X-Original-Host: evil.test",
          "X-Host: evil.test", "X-HTTP-Host-Override: evil.test", "X-HTTP-Method-Override: EVIL",
          "X-HTTP-Method: EVIL", "X-Method-Override: EVIL", "X-Real-IP: evil", "Client-IP: evil",
          "True-Client-IP: evil", "TE: evil", "Client-Cert: :ZXZpbA==:",
          "Range: bytes=0-6", "Connection: X-Evil", "Max-Forwards: 7")


@test_fronts("fields that mislead origins never change what others get")
def _(front):
    for line in POISON:
        if front.protocol == "HTTP/2" and line.split(":")[0] in ("Connection", "TE"):
            continue
        path = unique()
        # A forward proxy tells origins what its client says about itself.
        front.ask(proxy(), origin().port, path, line)
        found = front.ask(proxy(), origin().port, path)
        equal(found.status, 200, f"status after {line}")
        check(b"evil" not in found.body.lower() and b"6666" not in found.body,
              f"{line}: others are told {found.body}")
        equal(json.loads(found.body)[0], path, "the whole of it")


@test("a forward listener that hides nothing lets nobody mislead origins for others either")
def _():
    front = Front(Way("forward", "open"), "HTTP/1.1")
    for line in POISON:
        path = unique()
        front.ask(proxy(), origin().port, path, line, host=f"127.0.0.1:{origin().port}")
        found = front.ask(proxy(), origin().port, path, host=f"127.0.0.1:{origin().port}")
        told = b"x-forwarded" in found.body.lower() or b"forwarded" in found.body.lower()
        check(not told and b"/evil" not in found.body, f"{line}: others are told {found.body}")


@test("what a trusted proxy says that was asked for makes another page of it")
def _():
    front = Front(Way("reverse", "behind"), "HTTP/1.1")
    path = unique()
    bodies = set()
    for line in ("X-Other: x", "X-Forwarded-Proto: https", "X-Forwarded-Host: www.test",
                 "X-Forwarded-Port: 8443", "X-Forwarded-Prefix: /shop"):
        found = is_forwarded(front.ask(proxy(), 0, path, line), "uri-miss")
        is_hit(front.ask(proxy(), 0, path, line), found.body)
        bodies.add(found.body)
    equal(len(bodies), 5, "different pages")


@test("the site's pages by http:// and by https:// are different")
def _():
    path = unique()
    context = trusting(certificates().path("root.pem"))
    visit(path, host="site.test")
    with TlsClient(proxy().address("tls"), context) as client:
        found = is_forwarded(client.ask(get(path)), "uri-miss")
        check(b'"https"' in found.body, "the origin is told that it is https://")
        is_hit(client.ask(get(path)))
    check(b'"http"' in visit(path, host="site.test").body, "the page by http:// is there still")


@test("what was made for a client's certificate is nobody else's, nor the other way")
def _():
    def visit_as(who, path):
        context = trusting(certificates().path("root.pem"),
                           certificate=who and certificates().path(f"{who}.pem"))
        with TlsClient(proxy().address("tls"), context, name="clients.test") as client:
            return client.ask(get(path, host="clients.test"))

    for first in ("alice", None):
        path = unique()
        bodies = {who: visit_as(who, path).body for who in (first, "bob", "alice", None)}
        equal(len(set(bodies.values())), 3, "different pages for alice, bob and nobody")
        check(b"client-cert" not in bodies[None].lower(), "what nobody got")
        equal([visit_as(who, path).body == bodies[who] for who in bodies], [True] * 3, "again")


# ---- paths


class Careless(Origin):
    """Servers that see another path than the proxy: some decode twice, cut at NUL or semicolon,
    or take backslashes for slashes. /account is somebody's own, and does not say so."""

    def __init__(self):
        super().__init__(self.serve)

    @staticmethod
    def resolve(target):
        path = target.split("?")[0]
        for _ in range(2):
            path = urllib.parse.unquote(path, "latin-1").replace("\\", "/")
        path = "/".join(part.split(";")[0] for part in path.split("\0")[0].split("/"))
        return posixpath.normpath("/" + path.lstrip("/"))

    def serve(self, request, _link):
        who = request.get("Cookie") or "nobody"
        if self.resolve(request.target).startswith("/account"):
            return answer(f"account of {who}".encode())
        return answer(b"static")


CONFUSING = (
    "/account", "/account/x.css", "/account;x.css", "/account;/static/x.css", "//account",
    "/account%2f..%2fstatic.css", "/account%2f..%2fstatic%2fx.css", "/account%00/static/x.css",
    "/static/../account", "/static/..%2faccount", "/static/%2e%2e/account",
    "/static/%2e%2e%2faccount", "/static/..%2Faccount%2Fx.css", "/static/./../account",
    "/static//../account", "/static//..%2f..%2faccount", "//static/..%2faccount",
    "/static/..;/account", "/static/..;x=y/account", "/static/..%3b/account",
    "/static/..%5caccount", "/static/..%5C..%5caccount", "/static/x/..%5c..%5caccount",
    "/static/%252e%252e/account", "/static/..%252faccount", "/static/x%2f..%2f..%2faccount",
    "/static/%2e%2e;/account/", "/x/../static/..%2faccount", "/static/..\\account",
    "/./static/..%2faccount", "/static%2f..%2faccount", "/static/%2e./account?x.css",
)


@test_fronts("a route's own freshness never makes a private page public, however it is written")
def _(front):
    if front.way is FORWARD:
        return  # has no routes
    with CarelessProxy() as (daemon, careless):
        for path in CONFUSING:
            first = front.ask(daemon, careless.port, path, "Cookie: victim")
            found = front.ask(daemon, careless.port, path)
            one_of(first.status, (200, 400), f"status for {path}")
            check(b"victim" not in found.body, f"{path}: others get {found.body}")
        is_forwarded(front.ask(daemon, careless.port, "/static/x.css", "Cookie: victim"),
                     "uri-miss", b"static")
        is_hit(front.ask(daemon, careless.port, "/static/x.css"), b"static")


class CarelessProxy:
    def __enter__(self):
        self.careless = Careless()
        self.daemon = Daemon(CONF.replace("127.0.0.1:@WEB@", "127.0.0.1:0"), TO_SITES="false",
                             DNS=names().port, PEM=pem(), CLIENTS=client_ca(),
                             ORIGIN=self.careless.port)
        return self.daemon, self.careless

    def __exit__(self, *error):
        self.daemon.__exit__(*error)
        self.careless.close()


# ---- keys


def same(one, other, are_same):
    """Whether two targets are one object."""
    visit(one)
    found = outcome(visit(other))
    equal("hit" in found, are_same, f"whether {other} is {one}")


@test("queries are the same only as far as the route says")
def _():
    for n, (one, other, are_same) in enumerate((
            ("/plain/@?a=1", "/plain/@?a=2", False), ("/plain/@?a&b", "/plain/@?b&a", False),
            ("/plain/@?", "/plain/@", False), ("/plain/@?a", "/plain/@?a", True),
            ("/plain/@?a=%41", "/plain/@?a=A", False),
            ("/ignore/@?utm_x=1&a=1", "/ignore/@?a=1&utm_y=2", True),
            ("/ignore/@?a=1", "/ignore/@?a=1&id=5", True),
            ("/ignore/@?a=1", "/ignore/@?a=2&id=5", False),
            ("/ignore/@?a=1", "/ignore/@?a=1&identity=5", False),
            ("/ignore/@?a=1", "/ignore/@?a=1%26id=5", False),
            ("/only/@?page=1&x=1", "/only/@?x=2&page=1", True),
            ("/only/@?page=1", "/only/@?page=2", False),
            ("/sort/@?b=2&a=1", "/sort/@?a=1&b=2", True),
            ("/sort/@?a=1&a=2", "/sort/@?a=2&a=1", False),
            ("/sort/@?a=1", "/sort/@?a=2", False),
            ("/none/@?a", "/none/@?b", True), ("/none/@?a", "/none/@", True))):
        same(one.replace("@", f"q{n}"), other.replace("@", f"q{n}"), are_same)


@test("what does not count in the key does not go upstream either, where it could change the page")
def _():
    path = unique("ignore/page")
    found = visit(f"{path}?utm_source=evil&x=1")
    equal(json.loads(found.body)[0], f"{path}?x=1", "what the origin was asked")


@test("sites that tell the same group different hosts do not mix")
def _():
    for first, second in (("site.test", "named.test"), ("named.test", "site.test"),
                          ("named.test", "also.test"), ("inner.test", "else.test"),
                          ("site.test", "inner.test"), ("site.test", "site.test:81"),
                          ("unknown.test", "other.test")):
        path = unique()
        one, other = visit(path, host=first), visit(path, host=second)
        is_forwarded(other, "uri-miss")
        check(one.body != other.body, f"{first} and {second} told the origin the same")
        equal(is_hit(visit(path, host=first)).body, one.body, f"what {first} has")
        equal(is_hit(visit(path, host=second)).body, other.body, f"what {second} has")


@test("hosts are the same whatever their case, and with the port that is meant anyway")
def _():
    path = unique()
    visit(path, host="site.test")
    for host in ("SITE.Test", "site.test:80"):
        is_hit(visit(path, host=host))


@test("POST makes out of date what its own site has, not what other sites have")
def _():
    path = unique()
    for host in ("site.test", "inner.test"):
        visit(path, host=host)
    visit(path, host="inner.test", method="POST", body=b"x")
    is_hit(visit(path, host="site.test"))
    is_forwarded(visit(path, host="inner.test"), "uri-miss")


main()
