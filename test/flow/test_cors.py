# SPDX-License-Identifier: BSD-2-Clause
"""Which other origins' pages may read answers: filter cors."""

from bascule_flow import Client, Daemon, Origin, answer, check, equal, get, main, once, test
from caching import test_fronts, unique
from daemon import both_modes
from judging import STAFF, Staff

FILTER = """
filters = ( { filter = "cors"; origins = [ "https://app.test", "https://*.example.org" ];
              methods = [ "GET", "PUT" ]; headers = "Content-Type"; expose = "X-Total";
              credentials = true; max_age = "1h"; } );
"""
CACHED = """
workers = 1;
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
stores = ( { name = "main"; } );
sites = ( { name = "all"; default = true; group = "origin"; cache = "main";
            filters = ( { filter = "cors"; origins = [ "https://app.test" ]; } ); } );
"""
GUARDED = STAFF + """
workers = 1;
policies = ( { name = "who"; users = "staff"; rules = ( { action = "authenticate"; } ); } );
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; policy = "who";
            filters = ( { filter = "cors"; origins = [ "https://app.test" ];
                          headers = "Authorization"; credentials = true; } ); } );
"""
OTHERS = ("https://evil.test", "https://app.test.evil.test", "http://app.test", "null",
          "https://example.org")
OF_SERVER = ("Access-Control-Allow-Origin: https://evil.test",
             "Access-Control-Allow-Credentials: true", "Access-Control-Allow-Headers: X-Evil")

origin = once(Origin)


@once
def proxy() -> Daemon:
    return both_modes(origin(), FILTER)


def allowed(response):
    return response.get("Access-Control-Allow-Origin")


@test_fronts("a preflight is answered, and never goes upstream")
def _(front):
    path = unique("preflight")
    for asker in ("https://app.test", "https://a.b.example.org"):
        response = front.ask(proxy(), origin().port, path, f"Origin: {asker}",
                             "Access-Control-Request-Method: PUT",
                             "Access-Control-Request-Headers: content-type", method="OPTIONS")
        equal((response.status, allowed(response)), (204, asker), "answer")
        equal([response.get(f"Access-Control-{name}") for name in
               ("Allow-Methods", "Allow-Headers", "Allow-Credentials", "Max-Age")],
              ["GET, PUT", "Content-Type", "true", "3600"], "leave")
        equal((response.get("Vary"), response.body), ("Origin", b""), "Vary and content")
    equal(origin().seen(path), [], "requests upstream")


@test("preflights, which have no credentials, are answered where a policy asks for them")
def _():
    path = unique("guarded")
    with Staff(GUARDED, ORIGIN=origin().port) as daemon, Client(daemon.address("web")) as client:
        wish = ("Access-Control-Request-Method: GET",
                "Access-Control-Request-Headers: authorization")
        for asker, leave in (("https://app.test", "https://app.test"), ("https://evil.test", None)):
            response = client.ask(get(path, f"Origin: {asker}", *wish, method="OPTIONS"))
            equal((response.status, allowed(response), response.get("WWW-Authenticate")),
                  (204, leave, None), f"preflight of {asker}")
        response = client.ask(get(path, "Origin: https://app.test"))
        equal((response.status, allowed(response)), (401, "https://app.test"), "the request itself")
    equal(origin().seen(path), [], "requests upstream")


@test_fronts("other origins are told nothing, whatever the server says")
def _(front):
    path = unique("other")
    origin().on(path, answer(b"content", *OF_SERVER))
    for other in OTHERS:
        response = front.ask(proxy(), origin().port, path, f"Origin: {other}",
                             "Access-Control-Request-Method: PUT", method="OPTIONS")
        equal((response.status, allowed(response)), (204, None), f"preflight of {other}")
        if front.way.name == "reverse":
            response = front.ask(proxy(), origin().port, path, f"Origin: {other}")
            equal((response.body, allowed(response)), (b"content", None), f"answer to {other}")
            check(not any(n.lower().startswith("access-control-") for n, _ in response.fields),
                  "what the server says of CORS got out")
            equal(response.get("Vary"), "Origin", "Vary")


@test_fronts("an allowed origin's page may read answers, whatever they are")
def _(front):
    for status in ("200 OK", "404 Not Found", "304 Not Modified", "206 Partial Content"):
        path = unique("answer")
        fields = ["Content-Range: bytes 0-6/9"] if status.startswith("206") else []
        body = b"" if status.startswith("304") else b"content"
        origin().on(path, answer(body, *OF_SERVER, "Vary: Accept", *fields, status=status))
        for method in ("GET", "HEAD"):
            response = front.ask(proxy(), origin().port, path, "Origin: https://app.test",
                                 method=method)
            equal(allowed(response), "https://app.test", status)
            equal((response.get("Access-Control-Allow-Credentials"),
                   response.get("Access-Control-Expose-Headers")), ("true", "X-Total"), "fields")
            equal(", ".join(response.all("Vary")), "Accept, Origin", "Vary")
            equal(response.get("Access-Control-Allow-Headers"), None, "of the server")


@test_fronts("an OPTIONS that is no preflight goes upstream")
def _(front):
    path = unique("options")
    origin().on(path, answer(b"", "Allow: GET"))
    response = front.ask(proxy(), origin().port, path, "Origin: https://app.test",
                         method="OPTIONS")
    equal((response.get("Allow"), allowed(response)), ("GET", "https://app.test"), "answer")
    equal(len(origin().seen(path)), 1, "requests upstream")


@test("what is stored is given to each origin with its own leave")
def _():
    path = unique("stored")
    origin().on(path, answer(b"content", "Cache-Control: max-age=60", *OF_SERVER))
    with Daemon(CACHED, ORIGIN=origin().port) as daemon, Client(daemon.address("web")) as client:
        for asker, leave in (("https://app.test", "https://app.test"), ("https://evil.test", None),
                             ("https://app.test", "https://app.test")):
            response = client.ask(get(path, f"Origin: {asker}"))
            equal((response.body, allowed(response), response.get("Vary")),
                  (b"content", leave, "Origin"), asker)
    equal(len(origin().seen(path)), 1, "requests upstream")


@test("what was done is counted, also behind a reload")
def _():
    path = unique("counted")
    origin().on(path, answer(b"content"))
    with both_modes(origin(), FILTER) as daemon:
        for _ in range(2):
            with Client(daemon.address("web")) as client:
                client.ask(get(path, "Origin: https://app.test"))
                client.ask(get(path, "Origin: https://evil.test"))
            daemon.reload()
        counts = daemon.metrics()
        name = 'bascule_filter_events_total{filter="cors",event="%s"}'
        equal([counts.get(name % event) for event in ("allowed", "refused", "preflight")],
              [2, 2, 0], "counts")


main()
