# SPDX-License-Identifier: BSD-2-Clause
"""What a client learns of the servers behind a site: nothing (filter hide_server)."""

from bascule_flow import (Client, Daemon, Origin, answer, ask, check, equal, get, head, main,
                          once, post, test)

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
      filters = ( { filter = "hide_server"; errors = "all"; } ); }
);
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
