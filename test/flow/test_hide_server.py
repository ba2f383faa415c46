# SPDX-License-Identifier: BSD-2-Clause
"""What a client learns of the servers behind a site: nothing (filter hide_server)."""

from bascule_flow import (Client, CutShort, Daemon, Origin, answer, answer_chunked, ask, bytewise,
                          canned, check, equal, get, head, main, once, post, test)
from h2 import h2c, request

CONF = """
workers = 1;
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0";
      filters = ( { filter = "hide_server"; server = "gate"; } );
      allow_destination = [ "127.0.0.0/8" ]; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = (
    { name = "hidden"; hosts = [ "hidden.test" ]; group = "origin";
      routes = (
          { path_prefix = "/api/"; strip_prefix = "/api"; },
          { path_prefix = "/shop/"; add_prefix = "/app"; },
          { path_prefix = "/named/"; host = "app.internal"; }
      ); },
    { name = "shown"; hosts = [ "shown.test" ]; group = "origin"; hide_server = false; },
    { name = "uniform"; hosts = [ "uniform.test" ]; group = "origin";
      filters = ( { filter = "hide_server"; errors = "5xx"; server = "gate";
                    remove = [ "X-Team" ]; } ); },
    { name = "all"; hosts = [ "all.test" ]; group = "origin";
      filters = ( { filter = "hide_server"; errors = "all"; } ); },
    { name = "content"; hosts = [ "content.test", "other.test" ]; group = "origin";
      cache = { store = "main"; };
      filters = ( { filter = "hide_server"; addresses = true; bodies = true; } ); }
);
stores = ( { name = "main"; } );
"""

TELLING = ["Server: nginx/1.2.3", "X-Powered-By: PHP/5.3", "X-AspNet-Version: 4",
           "X-Generator: Drupal", "X-Runtime: 0.1", "X-Backend-Server: app7.internal",
           "X-Served-By: cache-7", "Via: 1.1 varnish.internal", "X-Varnish: 7"]

origin = once(Origin)


@once
def proxy() -> Daemon:
    return Daemon(CONF, ORIGIN=origin().port)


def internal(path=""):
    return f"http://127.0.0.1:{origin().port}{path}"


def fetch(path, *fields, host="hidden.test", at=None, status="200 OK"):
    """Asks for path; the origin answers there (or at another path) with these fields."""
    origin().on(at or path, answer(b"content", *fields, status=status))
    return ask(proxy().address("web"), get(path, host=host))


# ---- fields


@test("fields that tell of software and machines are taken out, others stay")
def _():
    response = fetch("/telling", *TELLING, "ETag: x", "X-App: 1", "Set-Cookie: a=b; Secure")
    for line in TELLING:
        check(not response.has(line.split(":")[0]), f"{line} got out")
    equal((response.get("ETag"), response.get("X-App"), response.get("Set-Cookie")),
          ("x", "1", "a=b; Secure"), "others")
    equal(response.body, b"content", "content")


@test("a site may show its servers")
def _():
    response = fetch("/shown", *TELLING, f"Location: {internal('/x')}", host="shown.test")
    for line in TELLING:
        name, _, value = line.partition(": ")
        equal(response.get(name), value, name)
    equal(response.get("Location"), internal("/x"), "Location")


@test("a Server of one's own, and further names")
def _():
    response = fetch("/own", *TELLING, "X-Team: seven", host="uniform.test")
    equal((response.all("Server"), response.has("X-Team")), (["gate"], False), "fields")


@test("forward: the filter works there, too, and leaves URLs and our Via alone")
def _():
    origin().on("/forward", answer(b"", *TELLING, f"Location: {internal('/x')}"))
    host = f"127.0.0.1:{origin().port}"
    response = ask(proxy().address("out"), get(internal("/forward"), host=host))
    equal((response.get("Server"), response.get("Location")), ("gate", internal("/x")), "fields")
    check("internal" not in response.get("Via"), "Via tells")


# ---- URLs and cookies


@test("internal URLs lead to us")
def _():
    response = fetch("/redirect", f"Location: {internal('/next?a=b#c')}",
                     f"Content-Location: {internal('/here')}",
                     f"Refresh: 3; url={internal('/later')}", status="302 Found")
    equal((response.get("Location"), response.get("Content-Location"), response.get("Refresh")),
          ("/next?a=b#c", "/here", "3; url=/later"), "URLs")
    port = origin().port
    response = fetch("/port", f"Location: http://hidden.test:{port}/dir/", status="301 Moved")
    equal(response.get("Location"), "/dir/", "Location with the port behind")
    response = fetch("/named/x", "Location: http://app.internal/y", status="302 Found")
    equal(response.get("Location"), "/y", "Location with the name asked by")


@test("URLs that lead elsewhere are untouched")
def _():
    for i, url in enumerate(["https://other.test/x", "http://127.0.0.1:1/x", "/local?x",
                             "relative", "//other.test/", "http://hidden.test/x",
                             "https://hidden.test/x"]):
        response = fetch(f"/elsewhere-{i}", f"Location: {url}", status="302 Found")
        equal(response.get("Location"), url, "Location")


@test("no path of an internal URL becomes a host")
def _():
    response = fetch("/slashes", f"Location: {internal('//evil.test/')}", status="302 Found")
    equal(response.get("Location"), "/.//evil.test/", "Location")


@test("what a route does to paths is taken back")
def _():
    response = fetch("/api/a", "Location: /login", "Set-Cookie: s=1; Path=/; HttpOnly",
                     at="/a", status="302 Found")
    equal((response.get("Location"), response.get("Set-Cookie")),
          ("/api/login", "s=1; Path=/api; HttpOnly"), "behind strip_prefix")
    response = fetch("/shop/a", f"Location: {internal('/app/shop/b')}",
                     "Set-Cookie: s=1; Path=/app", at="/app/shop/a", status="302 Found")
    equal((response.get("Location"), response.get("Set-Cookie")), ("/shop/b", "s=1; Path=/"),
          "behind add_prefix")


@test("cookies of internal domains are the client's host's; others stay")
def _():
    response = fetch("/cookies", "Set-Cookie: a=1; Domain=127.0.0.1; Path=/",
                     "Set-Cookie: b=2; Domain=.hidden.test", "Set-Cookie: c=3; Domain=other.test")
    equal(response.all("Set-Cookie"),
          ["a=1; Path=/", "b=2; Domain=.hidden.test", "c=3; Domain=other.test"], "Set-Cookie")


@test("URLs of Link lead to us")
def _():
    response = fetch("/link", f"Link: <{internal('/a.css')}>; rel=preload, <https://cdn.test/b>",
                     at="/link")
    equal(response.get("Link"), "</a.css>; rel=preload, <https://cdn.test/b>", "Link")


# ---- names and addresses anywhere


@test("endpoints in other fields become the host that the client asked")
def _():
    port = origin().port
    response = fetch("/fields", f"Access-Control-Allow-Origin: {internal()}",
                     f"Content-Security-Policy: connect-src ws://127.0.0.1:{port} https://cdn.test",
                     f'Report-To: {{"url":"{internal("/r")}"}}', f"X-Node: 127.0.0.1:{port}",
                     "X-Client: 127.0.0.1")
    equal(response.get("Access-Control-Allow-Origin"), "http://hidden.test", "origin")
    equal(response.get("Content-Security-Policy"), "connect-src ws://hidden.test https://cdn.test",
          "policy")
    equal((response.get("Report-To"), response.get("X-Node"), response.get("X-Client")),
          ('{"url":"http://hidden.test/r"}', "hidden.test", "127.0.0.1"), "fields")


@test("private addresses are masked when that is wanted")
def _():
    response = fetch("/masked", "X-Node: 10.1.2.3:80, [fd00::1]:80, 192.0.2.1",
                     "Location: http://192.168.7.7/x", host="content.test", status="302 Found")
    equal((response.get("X-Node"), response.get("Location")),
          ("hidden, hidden, 192.0.2.1", "http://hidden/x"), "fields")


def page():
    port = origin().port
    return (f'<a href="{internal("/x")}">127.0.0.1:{port}</a> 10.7.7.7 '
            f'{{"u":"http:\\/\\/127.0.0.1:{port}\\/"}} http://other.test/ 192.0.2.1').encode()


def page_at(host):
    return (f'<a href="http://{host}/x">{host}</a> hidden {{"u":"http:\\/\\/{host}\\/"}} '
            'http://other.test/ 192.0.2.1').encode()


def content(path, data, *fields, host="content.test"):
    origin().on(path, data)
    return ask(proxy().address("web"), get(path, *fields, host=host))


@test("content: whole, one byte at a time, in chunks, by HTTP/2, and through a cache")
def _():
    plain = answer(page(), "Content-Type: text/html", 'ETag: "1"')
    chunked = answer_chunked(page()[:30], page()[30:31], page()[31:],
                             fields=["Content-Type: text/html"])
    for path, data in (("/c1", plain), ("/c2", bytewise(plain)), ("/c3", bytewise(chunked))):
        response = content(path, data, "Accept-Encoding: gzip", "Range: bytes=0-9")
        equal((response.status, response.body), (200, page_at("content.test")), path)
        seen = origin().wait_request(path)
        check(not seen.has("Accept-Encoding") and not seen.has("Range"), "what was asked for")
    equal(content("/c1", plain).get("ETag"), 'W/"1"', "ETag")
    stored = answer(page(), "Content-Type: text/html", "Cache-Control: max-age=60")
    for host in ("content.test", "other.test", "content.test"):
        equal(content("/c4", stored, host=host).body, page_at(host), f"for {host}")
    with h2c(proxy().address("web")).greet() as client:
        stream = client.open(request("/c1", authority="content.test"), end=True)
        equal(client.answer(stream).body, page_at("content.test"), "by HTTP/2")


@test("content: HEAD says what GET does; what is no whole plain text stays")
def _():
    origin().on("/head", answer(page(), "Content-Type: text/html", 'ETag: "1"'))
    with Client(proxy().address("web")) as client:
        response = client.ask(get("/head", host="content.test", method="HEAD"), "HEAD")
        equal((response.get("ETag"), response.get("Content-Length")), ('W/"1"', None), "HEAD")
        for i, fields in enumerate((["Content-Type: image/png"],
                                    ["Content-Type: text/html", "Content-Encoding: gzip"],
                                    ["Content-Type: text/html", "Cache-Control: no-transform"])):
            origin().on(f"/same-{i}", answer(page(), *fields))
            response = client.ask(get(f"/same-{i}", host="content.test"))
            equal(response.body, page(), fields[-1])
        origin().on("/empty", answer(b"", "Content-Type: text/html"))
        equal(client.ask(get("/empty", host="content.test")).body, b"", "empty content")
        origin().on("/304", head("HTTP/1.1 304 Not Modified", 'ETag: "1"'))
        equal(client.ask(get("/304", 'If-None-Match: "1"', host="content.test")).status, 304, "304")


@test("content: what is cut short is not made whole")
def _():
    origin().on("/cut", canned(head("HTTP/1.1 200 OK", "Content-Type: text/html",
                                    "Content-Length: 100000") + b"x" * 50000, "close"))
    with Client(proxy().address("web")) as client:
        client.send(get("/cut", host="content.test"))
        try:
            client.read()
        except CutShort:
            pass
        else:
            check(False, "a cut response looked whole")
    equal(content("/after", answer(b"fine")).body, b"fine", "the next answer")


@test("content: 1 MB passes, with names at every place of a buffer")
def _():
    body = b"".join(b"%d http://127.0.0.1:%d/%s " % (i, origin().port, b"y" * (i % 97))
                    for i in range(14000))
    shown = body.replace(b"127.0.0.1:%d" % origin().port, b"content.test")
    response = content("/big", answer(body, "Content-Type: text/plain"))
    check(response.body == shown, f"{len(response.body)} bytes instead of {len(shown)}")


# ---- error pages


@test("by default error responses pass with their content")
def _():
    response = fetch("/error", "Content-Type: application/problem+json", status="500 Oops")
    equal((response.status, response.body), (500, b"content"), "answer")


@test("error pages are replaced when wanted, and the connection goes on")
def _():
    with Client(proxy().address("web")) as client:
        for status in ("500 Oops", "503 Busy"):
            origin().on("/uniform", answer(b"Traceback: /srv/app7/main.py", "Retry-After: 9",
                                           "Content-Type: text/plain", status=status))
            response = client.ask(get("/uniform", host="uniform.test"))
            equal((response.status, response.get("Retry-After")), (int(status[:3]), "9"), "answer")
            check(b"Traceback" not in response.body and response.body, "the content got out")
            equal(response.get("Server"), "gate", "Server")
        origin().on("/uniform", answer(b"not found", status="404 Not Found"))
        equal(client.ask(get("/uniform", host="uniform.test")).body, b"not found", "content of 404")
    response = fetch("/all", "WWW-Authenticate: Basic realm=x", host="all.test",
                     status="401 Unauthorized")
    equal((response.status, response.get("WWW-Authenticate")), (401, "Basic realm=x"), "answer")
    check(response.body != b"content", "the content got out")


@test("a replaced page does not wait for the content it replaces")
def _():
    def endless(_request, link):
        link.send(head("HTTP/1.1 500 Oops", "Content-Length: 100000000") + b"x" * 1000)

    origin().on("/endless", endless)
    with Client(proxy().address("web")) as client:
        response = client.ask(get("/endless", host="uniform.test"))
        equal(response.status, 500, "status")
        origin().on("/then", answer(b"fine"))
        equal(client.ask(get("/then", host="uniform.test")).body, b"fine", "the next answer")


@test("a page that replaces the answer to an upload is whole")
def _():
    body = b"x" * 300000
    origin().on("/upload", answer(b"no", status="500 Oops"))
    response = ask(proxy().address("web"), post("/upload", body, host="uniform.test"), "POST")
    equal(response.status, 500, "status")
    check(response.body != b"no", "the content got out")


@test("HEAD of a replaced page has no content")
def _():
    origin().on("/head", head("HTTP/1.1 502 Bad", "Content-Length: 77", "Server: nginx"))
    with Client(proxy().address("web")) as client:
        response = client.ask(get("/head", host="uniform.test", method="HEAD"), "HEAD")
        equal((response.status, response.get("Server")), (502, "gate"), "answer")
        equal(fetch("/after-head").status, 200, "status of another")


main()
