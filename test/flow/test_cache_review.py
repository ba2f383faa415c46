# SPDX-License-Identifier: BSD-2-Clause
"""What an attacker, or a strict reader of RFC 9111, would try on the cache: each test is a way that
was open once (modes/look_up*.c, modes/fetch*.c, modes/keep*.c)."""

import json
import threading

from bascule_flow import (REVERSE, WAIT, Client, Daemon, Origin, Way, answer, check, equal, get,
                          head, main, once, test)
from caching import Front, Page, is_forwarded, is_hit, outcome, test_fronts, unique
from certs import Certificates
from peers import HttpParent, until
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
      cache = { store = "main"; purge_from = "127.0.0.1"; };
      routes = (
        { path_prefix = "/ignore/"; cache = { store = "main"; query_ignore = "utm_*"; }; },
        { path_prefix = "/static/"; cache = { store = "main"; default = "60s"; }; },
        { path_prefix = "/beta/"; headers = ( { name = "X-Beta"; } ); cache = "main"; },
        { path_prefix = "/finish/"; cache = { store = "main"; finish = true; }; },
        { path_prefix = "/hides/"; cache = "main";
          filters = ( { filter = "headers"; response = { remove = "X-Inside"; }; } ); }
    ); }
);
"""
WEB = Front(REVERSE, "HTTP/1.1")
FRESH = "Cache-Control: max-age=60"


def tell(request, _link):
    """A page that tells all that the origin was told."""
    return answer(json.dumps([request.target, request.fields]).encode(), FRESH)


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


def page(*fields, **more):
    return Page(origin(), *(fields or (FRESH,)), **more)


# ---- whose rules


@test("what one forward listener may fetch is not given by another that may not")
def _():
    it = page()
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


# ---- time


@test("what was asked for before a purge is not stored after it, by whatever way it comes")
def _():
    it = page()
    it.hold()
    with WEB.open(proxy()) as client:
        client.start(0, it.path, "Range: bytes=5000000-")  # goes alone, and is given the whole
        it.wait_count(1)
        equal(visit(it.path, method="PURGE").status, 200, "of PURGE")
        it.go()
        client.stream.read("GET")
    is_forwarded(visit(it.path), "uri-miss", b"number 2")


@test_fronts("a stale answer that stands in tells its age")
def _(front):
    it = page("Cache-Control: max-age=1, stale-if-error=60")
    front.ask(proxy(), origin().port, it.path)
    it.is_down = True
    found = []

    def is_stale():
        found[:] = [front.ask(proxy(), origin().port, it.path)]
        return outcome(found[0]).get("fwd") == "stale"

    until(is_stale, "a stale answer")
    equal((found[0].status, found[0].body), (200, b"number 1"), "the stale answer")
    check(int(found[0].get("Age") or 0) >= 1, f"its Age is {found[0].get('Age')}")


# ---- validation


@test_fronts("a 304 that is of something else is not believed, and not waited for twice")
def _(front):
    path = unique()
    asked = []

    def serve(request, _link):
        asked.append(request)
        if request.get("If-None-Match"):
            return head("HTTP/1.1 304 Not Modified", 'ETag: "other"', FRESH)
        return answer(b"number %d" % len(asked), 'ETag: "own"', "Cache-Control: no-cache")

    origin().on(path, serve)
    equal(front.ask(proxy(), origin().port, path).body, b"number 1", "at first")
    found = front.ask(proxy(), origin().port, path)
    equal((found.status, found.body), (200, b"number 3"), "when it was validated")


@test_fronts("what a 304 says is private now stays with nobody")
def _(front):
    it = page("Cache-Control: max-age=10, stale-if-error=600", "Age: 100", etag='"a"')
    front.ask(proxy(), origin().port, it.path)
    it.fields[:] = ["Cache-Control: private"]
    equal(front.ask(proxy(), origin().port, it.path).body, b"number 1", "who asked")
    it.is_down = True
    found = front.ask(proxy(), origin().port, it.path)
    equal(found.status, 502, "who asks when the origin is down")


@test("what a 304 or a HEAD says is for some only is not said to all of them")
def _():
    for method in ("GET", "HEAD"):
        path = unique()

        def serve(request, _link):
            fields = ["Cache-Control: max-age=60", 'ETag: "a"']
            if request.get("Origin"):
                fields.append(f"Access-Control-Allow-Origin: {request.get('Origin')}")
            elif not request.get("If-None-Match"):
                fields.append("Age: 100")
            if request.get("If-None-Match"):
                return head("HTTP/1.1 304 Not Modified", *fields)
            data = answer(b"data", *fields)
            return data[:-4] if request.method == "HEAD" else data

        origin().on(path, serve)
        visit(path)
        found = visit(path, "Origin: https://evil.test", method=method)
        equal(found.get("Access-Control-Allow-Origin"), "https://evil.test",
                  f"who asked by {method}")
        found = visit(path)
        equal((found.body, found.get("Access-Control-Allow-Origin")), (b"data", None),
              f"others, after {method}")


# ---- how much


@test("what has more tags than can be remembered is not stored: no purge could reach it by all")
def _():
    for count, is_stored in ((126, True), (127, False)):
        it = page(FRESH, "Cache-Tag: " + ",".join(f"t{i}" for i in range(count)))
        visit(it.path)
        equal("hit" in outcome(visit(it.path)), is_stored, f"with {count} tags")
        visit("/", f"Cache-Tag: t{count - 1}", method="PURGE")
        check("hit" not in outcome(visit(it.path)), "after a purge by the last")


@test("those who leave cannot leave any number of fetches behind", timeout=60)
def _():
    count = 300
    may_go = threading.Event()
    path = unique("finish/page")

    def serve(_request, _link):
        may_go.wait(WAIT)
        return answer(b"data", FRESH)

    for i in range(count):
        origin().on(f"{path}-{i}", serve)
    clients = []
    for i in range(count):
        clients.append(WEB.open(proxy()))
        clients[-1].start(0, f"{path}-{i}")
    origin().wait_for(lambda: sum(len(origin().seen(f"{path}-{i}")) for i in range(count)) == count,
                      "all are asked for")
    aborts = proxy().metrics()["bascule_client_aborts_total"]
    for client in clients:
        client.reset()
    until(lambda: proxy().metrics()["bascule_client_aborts_total"] == aborts + count,
          "all are gone")
    may_go.set()
    until(lambda: visit(f"{path}-0", "Cache-Control: only-if-cached").status == 200,
          "the first is finished")
    stored = [visit(f"{path}-{i}", "Cache-Control: only-if-cached").status for i in range(count)]
    check(stored.count(200) <= 256, f"{stored.count(200)} are finished")


# ---- what must not get out


@test("interim answers of what is fetched for the cache have no more than others where there are "
      "filters")
def _():
    path = unique("hides/page")
    origin().on(path, head("HTTP/1.1 103 Early Hints", "Link: </x.css>", "X-Inside: secret") +
                answer(b"final", FRESH, "X-Inside: secret"))
    found = visit(path)
    equal([(r.get("Link"), r.get("X-Inside")) for r in found.interim], [("</x.css>", None)],
          "interim answers")
    equal(found.get("X-Inside"), None, "in the final one")


main()
