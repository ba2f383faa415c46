# SPDX-License-Identifier: BSD-2-Clause
"""The filters headers, redirect and body_limit, in both modes, alone and one after the other."""

import re

from bascule_flow import (REVERSE, Client, Daemon, Origin, answer, ask, both, check, chunks, equal,
                          get, head, main, once, post, test)
from peers import until


FILTERS = """
    filters = (
        { filter = "headers";
          request = { set = [ "X-Client: %{client_ip}", "X-Listener: %{listener}" ];
                      add = [ "X-Trail: listener" ]; remove = [ "X-Debug-*", "DNT" ]; };
          response = { set = [ "X-Id: %{id}", "Cache-Control: no-cache" ];
                       add = [ "X-Frame-Options: DENY" ]; remove = [ "X-Inner-*" ]; }; },
        { filter = "body_limit"; max = "1000"; }
    );
"""

CONF = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log";
                  format = "%{method} %{target} %{end} \\"%{filters}\\""; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; @FILTERS@ },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; @FILTERS@
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "plain"; mode = "reverse"; listen = "127.0.0.1:0";
      trusted_proxies = [ "127.0.0.0/8" ];
      filters = ( { filter = "redirect"; to = "https://%{host}%{target}";
                    if_scheme = "http"; } ); },
    { name = "moved"; mode = "forward"; listen = "127.0.0.1:0";
      filters = ( { filter = "redirect"; to = "http://new.test%{path}"; status = 302; } ); }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = (
    { name = "all"; default = true; group = "origin";
      filters = ( { filter = "headers"; request = { add = [ "X-Trail: site" ];
                                                    set = [ "X-Site: %{site}" ]; }; } );
      routes = (
          { name = "small"; path_prefix = "/small/";
            filters = ( { filter = "body_limit"; max = "10"; },
                        { filter = "headers"; request = { add = [ "X-Trail: %{route}" ]; }; } ); },
          { name = "old"; path_prefix = "/old/";
            filters = ( { filter = "redirect"; to = "/new%{path}"; status = 301; } ); }
      ); }
);
"""

origin = once(Origin)


@once
def proxy() -> Daemon:
    return Daemon(CONF, ORIGIN=origin().port, FILTERS=FILTERS)


def address(way):
    return proxy().address(way.listener)


# ---- headers


@both("fields of requests are set, added and removed")
def _(way):
    target = f"/request-{way.name}"
    response = ask(address(way), get(way.target(origin(), target), "X-Client: forged", "DNT: 1",
                                     "X-Debug-A: 1", "X-Debugger: 2", host=way.host(origin())))
    equal(response.status, 200, "status")
    seen = origin().wait_request(target)
    equal(seen.get("X-Client"), "127.0.0.1", "X-Client")
    equal(seen.get("X-Listener"), way.listener, "X-Listener")
    equal((seen.has("DNT"), seen.has("X-Debug-A"), seen.get("X-Debugger")), (False, False, "2"),
          "what was removed")


@both("fields of responses are set, added and removed")
def _(way):
    target = f"/response-{way.name}"
    origin().on(target, answer(b"x", "Cache-Control: public", "X-Frame-Options: SAMEORIGIN",
                               "X-Inner-Host: db", "X-Kept: 1"))
    response = ask(address(way), get(way.target(origin(), target), host=way.host(origin())))
    equal(response.get("Cache-Control"), "no-cache", "Cache-Control")
    equal(response.all("X-Frame-Options"), ["SAMEORIGIN", "DENY"], "X-Frame-Options")
    equal((response.has("X-Inner-Host"), response.get("X-Kept")), (False, "1"), "others")
    check(re.fullmatch(r"[0-9a-f]{16}", response.get("X-Id")), "X-Id is no number of an exchange")


@both("answers that Bascule makes itself have the fields, too")
def _(way):
    target = way.target(origin(), f"/made-up-{way.name}")
    response = ask(address(way), post(target, b"x" * 1001, host=way.host(origin())), "POST")
    equal(response.status, 413, "status")
    equal(response.get("X-Frame-Options"), "DENY", "X-Frame-Options")


@test("filters of listener, site and route act in this order")
def _():
    ask(address(REVERSE), get("/small/trail"))
    seen = origin().wait_request("/small/trail")
    equal(seen.all("X-Trail"), ["listener", "site", "small"], "X-Trail of the route")
    ask(address(REVERSE), get("/trail"))
    seen = origin().wait_request("/trail")
    equal(seen.all("X-Trail"), ["listener", "site"], "X-Trail of the site")
    equal(seen.get("X-Site"), "all", "X-Site")


def wait_line(line):
    """Waits for a line of the access log."""
    with open(proxy().path("access.log"), encoding="ascii") as file:
        seen = []
        until(lambda: line + "\n" in seen or seen.extend(file), "the line in the log")


# ---- body_limit


@both("content of known length over the limit is refused before the origin hears of it")
def _(way):
    target = f"/long-{way.name}"
    with Client(address(way)) as client:
        response = client.ask(post(way.target(origin(), target), b"x" * 1001,
                                   host=way.host(origin())), "POST")
        equal(response.status, 413, "status")
        response = client.ask(post(way.target(origin(), target), b"x" * 1000,
                                   host=way.host(origin())), "POST")
        equal(response.status, 200, "status at the limit")
    equal([len(r.body) for r in origin().seen(target)], [1000], "what arrived")


@both("chunked content over the limit never arrives as a whole request")
def _(way):
    target = f"/chunked-{way.name}"
    start = head(f"POST {way.target(origin(), target)} HTTP/1.1", f"Host: {way.host(origin())}",
                 "Transfer-Encoding: chunked")
    response = ask(address(way), start + chunks(b"x" * 600, b"y" * 600), "POST")
    equal(response.status, 413, "status")
    equal(origin().seen(target), [], "whole requests")


@test("the smallest of several limits counts")
def _():
    equal(ask(address(REVERSE), post("/small/x", b"x" * 11), "POST").status, 413, "over 10")
    equal(ask(address(REVERSE), post("/small/x", b"x" * 10), "POST").status, 200, "10")
    equal([len(r.body) for r in origin().seen("/small/x")], [10], "what arrived")
    wait_line('POST /small/x limit "body_limit: over max"')


# ---- redirect


@test("one line sends everybody from http to https")
def _():
    response = ask(proxy().address("plain"), get("/a/b?c=d%20e", host="www.test:8080"))
    equal(response.status, 308, "status")
    equal(response.get("Location"), "https://www.test/a/b?c=d%20e", "Location")
    equal(response.body, b"", "content")
    equal(origin().seen("/a/b?c=d%20e"), [], "what reached the origin")


@test("who came by https to a trusted proxy is not sent there again")
def _():
    response = ask(proxy().address("plain"), get("/by-https", "X-Forwarded-Proto: https"))
    equal(response.status, 200, "status")
    response = ask(proxy().address("plain"), get("/by-http", "X-Forwarded-Proto: http"))
    equal(response.status, 308, "status")


@test("forward: a redirect answers instead of the destination")
def _():
    response = ask(proxy().address("moved"), get("http://old.test/x?y", host="old.test"))
    equal((response.status, response.get("Location")), (302, "http://new.test/x"), "answer")


@test("a redirect of a route keeps the connection and is logged as answered")
def _():
    with Client(address(REVERSE)) as client:
        response = client.ask(get("/old/page"))
        equal((response.status, response.get("Location")), (301, "/new/old/page"), "answer")
        equal(client.ask(get("/after")).status, 200, "status of the next")
    wait_line('GET /old/page answered "redirect"')


main()
