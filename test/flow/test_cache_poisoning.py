# SPDX-License-Identifier: BSD-2-Clause
"""What one client says of its request, or may fetch, changes nothing of what others get from the
cache (modes/look_up*.c, modes/fetch*.c, modes/keep*.c)."""

from bascule_flow import (REVERSE, Client, Daemon, Origin, Way, answer, check, equal, get, main,
                          once, test)
from caching import Front, Page, is_forwarded, is_hit, tell, unique
from certs import Certificates
from peers import HttpParent
from secure import TlsClient, trusting

CONF = """
workers = 2;
forward_to_sites = false;
stores = ( { name = "main"; memory = "64M"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; forwarding = "forwarded";
      tls = { certificates = "@PEM@"; }; },
    { name = "plain"; mode = "reverse"; listen = "127.0.0.1:0"; forwarding = "forwarded"; },
    { name = "behind"; mode = "reverse"; listen = "127.0.0.1:0"; forwarding = "both";
      trusted_proxies = [ "127.0.0.1" ]; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; anonymity = "off"; cache = "main"; },
    { name = "narrow"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      cache = "main"; },
    { name = "denying"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; deny_destination = "127.0.0.1"; cache = "main"; },
    { name = "relayed"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; upstream_proxy = "http://127.0.0.1:@PARENT@";
      cache = { store = "main"; query_ignore = "utm_*"; }; }
);
groups = (
    { name = "site"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "site"; default = true; hosts = [ "site.test" ]; group = "site";
      cache = "main";
      routes = (
        { path_prefix = "/ignore/"; cache = { store = "main"; query_ignore = "utm_*"; }; },
        { path_prefix = "/static/"; cache = { store = "main"; default = "60s"; }; },
        { path_prefix = "/beta/"; headers = ( { name = "X-Beta"; } ); cache = "main"; }
    ); }
);
"""
WEB = Front(REVERSE, "HTTP/1.1")
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
    return certificates().issue("site", "root", ["DNS:site.test"])


@once
def parent():
    return HttpParent()


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, PEM=pem(), PARENT=parent().port)


def visit(path, *fields, front=WEB, **more):
    return front.ask(proxy(), origin().port, path, *fields, **more)


def browse(listener, path, *fields):
    """By way of a forward listener."""
    return Front(Way("forward", listener), "HTTP/1.1").ask(proxy(), origin().port, path, *fields)


# ---- whose rules


@test("what one forward listener may fetch is not given by another that may not")
def _():
    it = Page(origin(), FRESH)
    browse("out", it.path)
    is_hit(browse("out", it.path), b"number 1")
    for listener in ("narrow", "denying"):
        found = browse(listener, it.path)
        check(found.status == 403 and b"number" not in found.body,
              f"{listener} answers {found.status} {found.body}")
        equal(browse(listener, it.path, "Cache-Control: only-if-cached").status, 504, listener)
    equal(it.count, 1, "requests at the origin")


# ---- planting


@test("a group may have any name: what comes from the internet is not its own")
def _():
    conf = CONF.replace('name = "site"; max_fails', 'name = "internet"; max_fails')
    planter = Origin(lambda request, link: answer(b"planted", FRESH))
    host = f"127.0.0.1:{planter.port}"
    with Daemon(conf.replace('group = "site"', 'group = "internet"')
                    .replace('"narrow"; mode = "forward"; listen = "127.0.0.1:0";',
                             '"narrow"; mode = "forward"; listen = "127.0.0.1:0"; '
                             'upstream_proxy = "http://127.0.0.1:@PARENT@";'),
                ORIGIN=origin().port, PEM=pem(), PARENT=planter.port) as daemon:
        for listener in ("out", "relayed"):
            path = unique()
            front = Front(Way("forward", listener), "HTTP/1.1")
            equal(front.ask(daemon, 0, path, host=host).body, b"planted", f"by way of {listener}")
            check(WEB.ask(daemon, 0, path, host=host).body != b"planted", "the page is the site's")
    planter.close()


@test("what the query's rules leave out is not in what goes alone, and is stored for others")
def _():
    path = unique("ignore/page")
    visit(f"{path}?utm_source=evil", "Range: bytes=5000000-")  # goes alone, and is given the whole
    found = visit(path)
    check(b"evil" not in found.body, f"others are told {found.body}")
    path = unique("ignore/page")
    origin().on(f"{path}?utm_source=evil",
                answer(b"evil", FRESH, f"Content-Location: {path}?utm_source=evil"))
    visit(f"{path}?utm_source=evil", method="POST", body=b"x")
    check(b"evil" not in visit(path).body, "others are told by POST")


@test("with rules for the query, a parent proxy is still asked for a whole URL")
def _():
    path = unique()
    url = f"http://127.0.0.1:{origin().port}{path}?a=1"
    parent().on(url, answer(b"relayed", FRESH))
    is_forwarded(browse("relayed", f"{path}?a=1&utm_source=x"), "uri-miss", b"relayed")
    is_hit(browse("relayed", f"{path}?a=1"), b"relayed")


@test("the scheme of a URL is that of the connection, whatever the request line says")
def _():
    context = trusting(certificates().path("root.pem"))

    def proto(request, _link):
        return answer((request.get("Forwarded") or "").rpartition("proto=")[2].encode(), FRESH)

    path = unique()
    origin().on(path, proto)
    with Client(proxy().address("plain")) as client:
        client.ask(get(f"https://site.test{path}"))
    with TlsClient(proxy().address("tls"), context) as client:
        equal(client.ask(get(path)).body, b"https", "the page by https://")
    path = unique()
    origin().on(path, proto)
    with TlsClient(proxy().address("tls"), context) as client:
        client.ask(get(f"http://site.test{path}"))
    with Client(proxy().address("plain")) as client:
        equal(client.ask(get(path)).body, b"http", "the page by http://")


@test("whatever else is said to have been forwarded changes nothing for others")
def _():
    for line in ("X-Forwarded-Protocol: evil", "X-Forwarded-URI: /evil", "X-Forwarded-User: evil",
                 "X-Forwarded-By: evil", "X-Original-URI: /evil", "X-URL-Scheme: evil",
                 "X-HTTP-Path-Override: /evil"):
        path = unique()
        visit(path, line)
        found = visit(path)
        check(b"evil" not in found.body, f"{line}: others are told {found.body}")
        browse("out", path, line)
        check(b"evil" not in browse("out", path).body, f"{line}: others are told, forward")


@test("what Forwarded of a trusted proxy says that was asked for makes another page of it")
def _():
    front = Front(Way("reverse", "behind"), "HTTP/1.1")
    path = unique()
    visit(path, front=front)
    for line in ("Forwarded: for=192.0.2.1;host=evil.test", "Forwarded: proto=evil",
                 'Forwarded: for=192.0.2.1, for="[2001:db8::1]";Host="evil.test"'):
        path = unique()
        visit(path, line, front=front)
        found = visit(path, front=front)
        check(b"evil" not in found.body, f"{line}: others are told {found.body}")
    path = unique()
    visit(path, "Forwarded: for=192.0.2.1", front=front)
    is_hit(visit(path, "Forwarded: for=192.0.2.2", front=front))


@test("an answer to a request for an upgrade is nobody else's")
def _():
    path = unique("static/page")
    visit(path, "Connection: Upgrade", "Upgrade: evil")
    is_forwarded(visit(path), "uri-miss")


@test("what a route was chosen by makes another page of it")
def _():
    path = unique("beta/page")
    visit(path, "X-Beta: evil")
    check(b"evil" not in visit(path).body, "others are told")
    check(b"evil" not in visit(path, "X-Beta: good").body, "others of that route are told")
    is_hit(visit(path, "X-Beta: good"))


@test("Access-Control-Allow-Origin that names the asker is for that Origin")
def _():
    def cors(request, _link):
        return answer(b"data", FRESH,
                      f"Access-Control-Allow-Origin: {request.get('Origin') or '*'}")

    path = unique()
    origin().on(path, cors)
    for who in ("https://evil.test", "https://good.test"):
        found = visit(path, f"Origin: {who}")
        equal(found.get("Access-Control-Allow-Origin"), who, "who may read it")
        found = is_hit(visit(path, f"Origin: {who}"))
        equal(found.get("Access-Control-Allow-Origin"), who, "who may read it, again")


@test("a coding that the client did not ask for is not given, though Vary is missing")
def _():
    def coded(request, _link):
        coding = "br" if "br" in (request.get("Accept-Encoding") or "") else "identity"
        return answer(coding.encode(), FRESH,
                      *(["Content-Encoding: br"] if coding == "br" else []))

    path = unique()
    origin().on(path, coded)
    visit(path, "Accept-Encoding: br")
    equal(visit(path).body, b"identity", "for who accepts no coding")
    is_hit(visit(path, "Accept-Encoding: br"), b"br")


main()
