# SPDX-License-Identifier: BSD-2-Clause
"""Fields that make browsers careful: filter security_headers."""

from bascule_flow import Daemon, Origin, answer, ask, check, equal, get, main, once, test
from caching import test_fronts, unique
from daemon import both_modes

BASIC = 'filters = ( { filter = "security_headers"; } );'
SITES = """
workers = 1;
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; trusted_proxies = "127.0.0.1"; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
stores = ( { name = "main"; } );
sites = (
    { name = "strict"; hosts = [ "strict.test" ]; group = "origin"; cache = "main";
      filters = ( { filter = "security_headers"; preset = "strict"; report_only = true; } ); },
    { name = "own"; hosts = [ "own.test" ]; group = "origin";
      filters = ( { filter = "security_headers"; override = true; frame_options = "off";
                    permissions_policy = "camera=()"; } ); },
    { name = "month"; hosts = [ "month.test" ]; group = "origin"; hsts = "30d"; routes = (
          { name = "preset"; path_prefix = "/preset/";
            filters = ( { filter = "security_headers"; preset = "strict"; } ); },
          { name = "override"; path_prefix = "/override/";
            filters = ( { filter = "security_headers"; preset = "strict"; override = true; } ); },
          { name = "named"; path_prefix = "/named/";
            filters = ( { filter = "security_headers"; preset = "strict";
                          strict_transport_security = "max-age=60"; } ); } ); },
    { name = "never"; hosts = [ "never.test" ]; group = "origin"; hsts = false;
      filters = ( { filter = "security_headers"; preset = "strict"; } ); },
    { name = "gone"; hosts = [ "gone.test" ]; redirect = { to = "https://new.test"; };
      filters = ( { filter = "security_headers"; preset = "api"; } ); }
);
"""
EXPECTED = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN",
            "Referrer-Policy": "strict-origin-when-cross-origin",
            "Content-Security-Policy": "frame-ancestors 'self'",
            "Strict-Transport-Security": None}

origin = once(Origin)


@once
def proxy() -> Daemon:
    return both_modes(origin(), BASIC)


@once
def sites() -> Daemon:
    return Daemon(SITES, ORIGIN=origin().port)


@test_fronts("basic: added to every answer, to GET and HEAD alike")
def _(front):
    for status in ("200 OK", "404 Not Found"):
        path = unique("basic")
        origin().on(path, answer(b"content", status=status))
        for method in ("GET", "HEAD"):
            response = front.ask(proxy(), origin().port, path, method=method)
            for name, value in EXPECTED.items():
                equal(response.get(name), value, f"{name} of {status}")


@test_fronts("what the application says itself stays")
def _(front):
    path = unique("own")
    origin().on(path, answer(b"content", "X-Frame-Options: DENY", "referrer-policy: no-referrer",
                             "Content-Security-Policy: default-src 'self'",
                             "Content-Security-Policy: img-src *"))
    response = front.ask(proxy(), origin().port, path)
    equal((response.get("X-Frame-Options"), response.get("Referrer-Policy"),
           response.get("X-Content-Type-Options")), ("DENY", "no-referrer", "nosniff"), "fields")
    equal(response.all("Content-Security-Policy"), ["default-src 'self'", "img-src *"], "policy")


# RFC 9111 section 4.3.4: ours would take the place of what the server's 200 said.
@test_fronts("a 304 that does not repeat what the application says is left alone")
def _(front):
    path = unique("unchanged")
    origin().on(path, answer(b"", status="304 Not Modified"))
    response = front.ask(proxy(), origin().port, path)
    equal([response.get(name) for name in EXPECTED], [None] * len(EXPECTED), "fields")


@test("what the application says is replaced when that is wanted")
def _():
    path = unique("override")
    origin().on(path, answer(b"", "X-Frame-Options: DENY", "Permissions-Policy: camera=*",
                             "Content-Security-Policy: default-src *",
                             "Content-Security-Policy: img-src *"))
    response = ask(sites().address("web"), get(path, host="own.test"))
    equal((response.get("X-Frame-Options"), response.get("Permissions-Policy"),
           response.get("Content-Security-Policy")),
          ("DENY", "camera=()", "frame-ancestors 'self'"), "fields")


@test("strict: over https only where it is, the policy as a trial, from the cache too")
def _():
    path = unique("strict")
    origin().on(path, answer(b"content", "Cache-Control: max-age=60"))
    for scheme, hsts in (("http", None), ("https", "max-age=63072000; includeSubDomains")):
        response = ask(sites().address("web"),
                       get(path, f"X-Forwarded-Proto: {scheme}", host="strict.test"))
        equal(response.get("Strict-Transport-Security"), hsts, scheme)
        equal(response.get("Cross-Origin-Opener-Policy"), "same-origin", "opener")
        check(response.has("Content-Security-Policy-Report-Only") and
              not response.has("Content-Security-Policy"), "the policy is no trial")


@test("a site's hsts comes before a preset, what the filter itself names before both")
def _():
    wanted = (("month", "preset", None, "max-age=2592000"),
              ("month", "override", "max-age=5", "max-age=2592000"),
              ("month", "named", None, "max-age=60"), ("never", "never", None, None))
    for site, kind, own, hsts in wanted:
        path = f"/{kind}" + unique("hsts")
        fields = [] if own is None else ["Strict-Transport-Security: " + own]
        origin().on(path, answer(b"content", *fields))
        response = ask(sites().address("web"),
                       get(path, "X-Forwarded-Proto: https", host=site + ".test"))
        equal(response.all("Strict-Transport-Security"), [] if hsts is None else [hsts], kind)
        equal(response.get("Cross-Origin-Opener-Policy"), "same-origin", "another field")


@test("our own answers have them, too, without a policy that would undress our pages")
def _():
    response = ask(sites().address("web"), get("/", host="gone.test"))
    check(300 <= response.status < 400, "status")
    equal(response.get("X-Content-Type-Options"), "nosniff", "of a redirect")
    response = ask(sites().address("web"), get("/", "Accept: text/html", host="nobody.test"))
    check(response.status >= 400, "status of an unknown site")


main()
