# SPDX-License-Identifier: BSD-2-Clause
"""Which site and which route a request gets, and what is made of it (modes/reverse.c,
modes/site_route.c)."""

import json

from bascule_flow import (Client, Daemon, Origin, answer, ask, check, equal, get, head, main, once,
                          post, test)

CONF = r"""
workers = 1;
listeners = (
    { name = "web"; mode = "reverse"; listen = [ "127.0.0.1:0", "[::1]:0" ]; },
    { name = "strict"; mode = "reverse"; listen = "127.0.0.1:0"; sites = [ "exact", "deep" ]; }
);
groups = (
    { name = "a"; endpoints = [ "127.0.0.1:@A@" ]; },
    { name = "b"; endpoints = [ "127.0.0.1:@B@" ]; },
    { name = "c"; endpoints = [ "127.0.0.1:@C@" ]; },
    { name = "local"; endpoints = [ "unix:@DIR@/nobody" ]; }
);
sites = (
    { name = "rest"; default = true; group = "a"; },
    { name = "exact"; hosts = [ "WWW.Site.test", "192.0.2.7", "[2001:db8::7]" ]; group = "b"; },
    { name = "short"; hosts = [ "*.site.test" ]; group = "c"; },
    { name = "deep"; hosts = [ "*.deep.site.test" ]; group = "b"; host = "deep.internal"; },
    { name = "routed"; hosts = [ "routed.test" ]; group = "a"; routes = (
        { path = "/exact"; group = "b"; },
        { path_prefix = "/api"; methods = [ "POST" ]; group = "c"; },
        { path_prefix = "/api/"; group = "b"; },
        { path_regex = "\\.php$"; group = "b"; },
        { path_prefix = "/get"; methods = [ "GET" ]; group = "b"; },
        { path_prefix = "/kind"; headers = ( { name = "x-kind"; value = "blue"; } ); group = "b"; },
        { path_prefix = "/kind"; headers = ( { name = "X-Kind"; regex = "^re"; },
                                             { name = "X-Also"; } ); group = "c"; },
        { path_prefix = "/a%20b"; group = "b"; },
        { path_prefix = "/caf%c3%a9/%7Emenu"; group = "b"; }
    ); },
    { name = "only"; hosts = [ "only.test" ]; routes = (
        { path_prefix = "/here"; group = "b"; }
    ); },
    { name = "rewritten"; hosts = [ "rewritten.test" ]; group = "a"; routes = (
        { path_prefix = "/strip"; strip_prefix = "/strip"; group = "b"; },
        { path_prefix = "/slash/"; strip_prefix = "/slash/"; group = "b"; },
        { path_prefix = "/add"; add_prefix = "/front"; group = "b"; },
        { path_prefix = "/both"; strip_prefix = "/both"; add_prefix = "/other/"; group = "b"; },
        { path_prefix = "/odd+name"; strip_prefix = "/odd+name"; group = "b"; }
    ); },
    { name = "moved"; hosts = [ "moved.test" ]; redirect = { to = "https://www.site.test"; };
      routes = (
        { path = "/one"; redirect = { to = "/two"; status = 301; }; },
        { path_prefix = "/old/"; redirect = { to = "/new/"; status = 308; }; },
        { path_prefix = "/out"; redirect = { to = "https://else.test/in"; status = 307; }; },
        { path_prefix = "/top"; redirect = { to = "/"; status = 303; }; },
        { path_prefix = "/fixed"; redirect = { to = "https://else.test/?x=1"; exact = true; }; }
    ); },
    { name = "hosts"; hosts = [ "hosts.test" ]; group = "a"; host = "endpoint"; routes = (
        { path = "/named"; host = "inside.example:8081"; },
        { path = "/client"; host = "client"; },
        { path = "/local"; group = "local"; }
    ); },
    { name = "hello"; hosts = [ "hello.test" ]; welcome = true; }
);
"""


def echo(name):
    """Answers with its name and what it was asked for."""

    def handler(request, _link):
        return answer(json.dumps({"name": name, "method": request.method,
                                  "target": request.target, "host": request.get("Host")}).encode())

    return Origin(handler)


@once
def a():
    return echo("a")


@once
def b():
    return echo("b")


@once
def c():
    return echo("c")


@once
def proxy():
    return Daemon(CONF, A=a().port, B=b().port, C=c().port)


def asked(request, listener="web", method="GET"):
    return ask(proxy().address(listener), request, method)


def seen(target, *fields, host, method="GET", listener="web"):
    """What the origin was asked for, or the status when none was."""
    response = asked(get(target, *fields, host=host, method=method), listener)
    return json.loads(response.body) if response.status == 200 else response.status


def name(target, *fields, host, method="GET", listener="web"):
    """The name of the origin that answered, or the status when none did."""
    found = seen(target, *fields, host=host, method=method, listener=listener)
    return found["name"] if isinstance(found, dict) else found


def refused(response, status):
    equal(response.status, status, "status")
    problem = json.loads(response.body)
    equal((response.get("Content-Type"), problem["status"]), ("application/problem+json", status),
          "the problem")
    return problem


# ---- sites by host name


@test("an exact name comes before a wildcard, whatever its case, port and last dot")
def _():
    for host in ("www.site.test", "WWW.SITE.TEST", "www.site.test.", "www.site.test:8080",
                 "Www.Site.Test.:1"):
        equal(name("/", host=host), "b", host)


@test("a wildcard stands for one label or several, but not for none")
def _():
    for host in ("a.site.test", "A.B.site.test", "a.b.c.d.site.test:99", "wwww.site.test"):
        equal(name("/", host=host), "c", host)
    for host in ("site.test", "asite.test", "a.site.test.org"):
        equal(name("/", host=host), "a", host)


@test("the longest wildcard decides")
def _():
    for host, expected in (("x.deep.site.test", "b"), ("y.x.deep.site.test.", "b"),
                           ("deep.site.test", "c"), ("xdeep.site.test", "c")):
        equal(name("/", host=host), expected, host)


@test("addresses are names too")
def _():
    for host in ("192.0.2.7", "192.0.2.7:8080", "[2001:db8::7]", "[2001:DB8::7]:80"):
        equal(name("/", host=host), "b", host)
    equal(name("/", host="192.0.2.8"), "a", "another address")


@test("what no site has goes to the default site")
def _():
    for host in ("unknown.test", "127.0.0.1", "[::1]:80", "localhost"):
        equal(name("/", host=host), "a", host)


@test("a listener with sites serves these alone: 421 for others, and nothing reaches an origin")
def _():
    equal(name("/", host="www.site.test", listener="strict"), "b", "a site of the listener")
    equal(name("/", host="x.deep.site.test", listener="strict"), "b", "a site of the listener")
    before = [origin().connections for origin in (a, b, c)]
    for host in ("routed.test", "a.site.test", "unknown.test"):
        refused(asked(get("/", host=host), "strict"), 421)
    equal([origin().connections for origin in (a, b, c)], before, "connections to origins")


@test("the target of an absolute-form request is judged, not Host")
def _():
    response = asked(head("GET http://www.site.test/abs?q HTTP/1.1", "Host: a.site.test"))
    equal(json.loads(response.body), {"name": "b", "method": "GET", "target": "/abs?q",
                                      "host": "www.site.test"}, "what the origin saw")
    response = asked(head("GET http://www.site.test HTTP/1.1", "Host: www.site.test"))
    equal(json.loads(response.body)["target"], "/", "an absent path")
    response = asked(head("GET http://www.site.test?q=/x HTTP/1.1", "Host: www.site.test"))
    equal(json.loads(response.body)["target"], "/?q=/x", "an absent path with a query")


@test("HTTP/1.0 without Host gets the default site, or 421 where there is none")
def _():
    response = asked(head("GET /old HTTP/1.0"))
    equal(json.loads(response.body)["host"], f"127.0.0.1:{a().port}", "Host of the endpoint")
    refused(asked(head("GET /old HTTP/1.0"), "strict"), 421)


@test("a proxy's requests are refused: CONNECT is no method of a site")
def _():
    refused(asked(head("CONNECT www.site.test:443 HTTP/1.1", "Host: www.site.test:443"),
                  method="CONNECT"), 405)


# ---- routes


@test("an exact path is only itself, with any query")
def _():
    for path, expected in (("/exact", "b"), ("/exact?a=/b", "b"), ("/exact/", "a"),
                           ("/exact/x", "a"), ("/exactly", "a"), ("/Exact", "a")):
        equal(name(path, host="routed.test"), expected, path)


@test("a prefix ends where a segment does")
def _():
    for path, expected in (("/api", "c"), ("/api/", "c"), ("/api/x", "c"), ("/apiary", "a"),
                           ("/api.x", "a"), ("/API", "a")):
        equal(name(path, host="routed.test", method="POST"), expected, path)


@test("the first route that matches decides, and its method is part of that")
def _():
    for path, expected in (("/api", "a"), ("/api/", "b"), ("/api/x", "b")):
        equal(name(path, host="routed.test"), expected, path)
    equal(name("/api/x", host="routed.test", method="DELETE"), "b", "DELETE /api/x")
    equal(name("/api/x.php", host="routed.test", method="POST"), "c", "POST /api/x.php")


@test("an expression is found in the path, not in the query")
def _():
    for path, expected in (("/x.php", "b"), ("/x.php?y", "b"), ("/x.php/y", "a"),
                           ("/x?y=z.php", "a"), ("/xphp", "a"), ("/x%2ephp", "b")):
        equal(name(path, host="routed.test"), expected, path)


@test("who lets GET through lets HEAD through, and nothing else")
def _():
    before = len(b().requests)
    response = asked(get("/get", host="routed.test", method="HEAD"), method="HEAD")
    equal(response.status, 200, "status")
    b().wait_for(lambda: len(b().requests) == before + 1, "HEAD /get")
    for method in ("POST", "PUT", "get", "GETS"):
        equal(name("/get", host="routed.test", method=method), "a", method)


@test("header fields decide by value, by expression, and by being there")
def _():
    for fields, expected in (
            (["X-Kind: blue"], "b"), (["x-KIND:   blue  "], "b"), (["X-Kind: blues"], "a"),
            (["X-Kind: Blue"], "a"), ([], "a"), (["X-Kind: red"], "a"),
            (["X-Kind: red", "X-Also: "], "c"), (["X-Also: 1", "X-Kind: reddish"], "c"),
            (["X-Also: 1", "X-Kind: dark red"], "a")):
        equal(name("/kind", *fields, host="routed.test"), expected, str(fields))


@test("a field that comes in several lines is looked at in each of them")
def _():
    for fields, expected in ((["X-Kind: green", "X-Kind: blue"], "b"),
                             (["X-Kind: green", "X-Also: 1", "X-Kind: red"], "c"),
                             (["X-Kind: green", "X-Kind: brown"], "a")):
        equal(name("/kind", *fields, host="routed.test"), expected, str(fields))


@test("a path has one normal form for matching; what the client sent goes upstream")
def _():
    for path, expected in (
            ("/x/../exact", "b"), ("//exact", "b"), ("/x/%2e%2e/exact", "b"), ("/%65xact", "b"),
            ("/./exact", "b"), ("/x/.%2E/%2e/exact", "b"), ("/exact/x/..", "a"),
            ("/../exact", "b"), ("/exact%2f", "a"), ("/exact%3f", "a"), ("/%2565xact", "a"),
            ("/api/%2e%2e/exact", "b"), ("/x//..//exact", "b"), ("/api/../api2", "a"),
            ("/api%2fx", "a"), ("/api//..", "a"), ("/exact/../api/x?a=../b", "b"),
            ("/a%20b/c", "b")):
        found = seen(path, host="routed.test")
        equal((found["name"], found["target"]), (expected, path), path)


@test("a path in the configuration is meant in any of its spellings")
def _():
    for path, expected in (("/caf%C3%A9/~menu", "b"), ("/caf%c3%a9/%7emenu/x", "b"),
                           ("/caf%C3%A9/menu", "a")):
        equal(name(path, host="routed.test"), expected, path)


@test("an escape that is none is refused")
def _():
    before = [origin().connections for origin in (a, b, c)]
    for path in ("/%", "/%4", "/%zz", "/exact/%-1", "/x%u0041"):
        refused(asked(get(path, host="routed.test")), 400)
    equal([origin().connections for origin in (a, b, c)], before, "connections to origins")


@test("without a route there is nothing: 404")
def _():
    equal(name("/here/x", host="only.test"), "b", "the route")
    problem = refused(asked(get("/there", host="only.test")), 404)
    check("route" in problem["detail"], f"the detail names no route: {problem}")


@test("OPTIONS * and TRACE go to the site's group")
def _():
    equal(seen("*", host="routed.test", method="OPTIONS"),
          {"name": "a", "method": "OPTIONS", "target": "*", "host": "routed.test"}, "OPTIONS *")
    equal(seen("/exact", host="routed.test", method="TRACE")["method"], "TRACE", "TRACE")


# ---- what goes upstream


@test("a prefix is stripped, added, or replaced, and the query kept")
def _():
    for path, expected in (
            ("/strip", "/"), ("/strip/", "/"), ("/strip/x/y?q=/strip", "/x/y?q=/strip"),
            ("/strip?q", "/?q"), ("/slash/x", "/x"), ("/slash/", "/"),
            ("/add/x?q", "/front/add/x?q"),
            ("/both/x", "/other/x"), ("/both", "/other/"), ("/both?q", "/other/?q"),
            ("/unchanged?", "/unchanged?")):
        equal(seen(path, host="rewritten.test")["target"], expected, path)


@test("behind a stripped prefix escapes stay as the client sent them")
def _():
    for path, expected in (
            ("/strip/%41%2f%20%3b", "/%41%2f%20%3b"), ("/odd+name/x%2By", "/x%2By"),
            ("/odd%2Bname/x%2By%22%3c", "/x%2By%22%3c"),
            ("/%73trip/a%2Fb%7Ec%3d", "/a%2Fb%7Ec%3d")):
        equal(seen(path, host="rewritten.test")["target"], expected, path)


@test("dot segments do not lead out of an added prefix")
def _():
    for path, expected in (
            ("/both/../both/x", "/other/x"), ("/both/../../both/x", "/other/x"),
            ("/x/../both/../both/y%2Fz", "/other/y%2Fz"), ("/both/a/%2e%2e/b", "/other/b"),
            ("/add/../add/x", "/front/add/x"), ("/add/%2E%2e/add", "/front/add"),
            ("//strip/..//strip//x", "/x")):
        equal(seen(path, host="rewritten.test")["target"], expected, path)


@test("Host goes upstream as the client's, the endpoint's, or by name")
def _():
    for path, expected in (("/", f"127.0.0.1:{a().port}"), ("/named", "inside.example:8081"),
                           ("/client", "Hosts.test:81")):
        equal(seen(path, host="Hosts.test:81")["host"], expected, path)
    equal(seen("/", host="x.Deep.site.test")["host"], "deep.internal", "host of a site")
    equal(seen("/", host="Unknown.test")["host"], "Unknown.test", "the default")


# ---- answers of our own


def location(path, host="moved.test", method="GET"):
    response = asked(get(path, host=host, method=method), method=method)
    equal(response.body, b"", "content of a redirect")
    return response.status, response.get("Location")


@test("a redirect names the path behind its prefix and the query, with its status")
def _():
    for path, expected in (
            ("/any/where?q=1", (302, "https://www.site.test/any/where?q=1")),
            ("/", (302, "https://www.site.test/")),
            ("/one", (301, "/two")), ("/one?q", (301, "/two?q")),
            ("/old/x/y?z", (308, "/new/x/y?z")), ("/old/", (308, "/new/")),
            ("/out", (307, "https://else.test/in")),
            ("/out/x%20y", (307, "https://else.test/in/x%20y")),
            ("/top/x", (303, "/x")), ("/top", (303, "/")),
            ("/fixed/x?y", (302, "https://else.test/?x=1"))):
        equal(location(path), expected, path)


@test("a redirect to a path never becomes one to another host")
def _():
    for path in ("/top//evil.test", "/top///evil.test/x", "/top/.//evil.test", "/old///evil.test",
                 "/top/%2e//evil.test", "/top/x/..//evil.test"):
        _, to = location(path)
        check(to.startswith("/") and to[1:2] not in ("/", "\\"), f"{path} leads to {to}")
    for path in ("/top/\\evil.test", "/top\\/evil.test"):
        response = asked(get(path, host="moved.test"))
        to = response.get("Location") or ""
        check("\\" not in to, f"{path} leads to {to}")


@test("a redirect answers POST and HEAD too and keeps the connection")
def _():
    with Client(proxy().address("web")) as client:
        equal(client.ask(post("/old/x", b"x" * 5000, host="moved.test")).status, 308, "POST")
        equal(client.ask(get("/one", host="moved.test", method="HEAD"), "HEAD").get("Location"),
              "/two", "HEAD")
        equal(client.ask(get("/one", host="moved.test")).status, 301, "GET")


@test("the welcome page can be read and nothing else")
def _():
    response = asked(get("/", host="hello.test"))
    equal((response.status, response.get("Content-Type")), (200, "text/html; charset=utf-8"),
          "the page")
    check(b"Bascule is running" in response.body, "the page does not say what it is")
    empty = asked(get("/", host="hello.test", method="HEAD"), method="HEAD")
    equal((empty.status, empty.get("Content-Length")), (200, str(len(response.body))), "HEAD")
    response = asked(post("/", b"x", host="hello.test"))
    equal((response.status, response.get("Allow")), (405, "GET, HEAD"), "POST")


@test("a browser is given a page, a program a problem, and who says nothing the latter")
def _():
    chrome = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
    for fields, expected in (([chrome], "text/html; charset=utf-8"),
                             (["Accept: application/json"], "application/problem+json"),
                             (["Accept: */*"], "application/problem+json"),
                             ([], "application/problem+json")):
        response = asked(get("/no", *fields, host="only.test"))
        equal((response.status, response.get("Content-Type")), (404, expected), str(fields))
    check(b"<h1><span>404</span> Not Found</h1>" in
          asked(get("/no", chrome, host="only.test")).body, "the page does not name the status")


@test("what a client sent is no markup in a page")
def _():
    page = asked(get("/<script>alert(1)</script>?<b>", "Accept: text/html", host="only.test")).body
    check(b"<script>alert" not in page and b"<b>" not in page, "markup of the client's")


@test("sites are served on IPv6 too")
def _():
    equal(json.loads(ask(proxy().addresses("web")[1], get("/", host="www.site.test")).body)["name"],
          "b", "the origin")


main()
