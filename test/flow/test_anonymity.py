# SPDX-License-Identifier: BSD-2-Clause
"""What an origin learns of a client of a forward proxy: profiles off, on and strict."""

from bascule_flow import Daemon, Origin, ask, check, equal, get, main, once, post, test

CONF = """
workers = 1;
listeners = (
    { name = "default"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "off"; mode = "forward"; listen = "127.0.0.1:0"; anonymity = "off";
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "strict"; mode = "forward"; listen = "127.0.0.1:0"; anonymity = "strict";
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "own"; mode = "forward"; listen = "127.0.0.1:0"; anonymity = "off";
      filters = ( { filter = "anonymity"; profile = "strict"; user_agent = "uniform";
                    keep = [ "X-CSRF-*" ]; } );
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "front"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "anonymity"; } ); }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "site"; hosts = [ "site.test" ]; group = "origin"; } );
"""

# What proxies, gateways and mobile networks are known to say of a client.
IDENTIFYING = """
X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Client-Cert Forwarded X-Real-IP
Client-IP X-Client-IP True-Client-IP CF-Connecting-IP X-Cluster-Client-IP From Proxy-Client-IP
X-ProxyUser-Ip X-Proxy-User Client-Cert Client-Cert-Chain X-Original-Forwarded-For
X-Originating-IP X-Remote-Addr WL-Proxy-Client-IP X-SSL-Client-Cert Forwarded-For X-MSISDN
Via
""".split()

origin = once(Origin)


@once
def proxy() -> Daemon:
    return Daemon(CONF, ORIGIN=origin().port)


def send(listener, path, *fields):
    """A request by way of the listener, as the origin saw it."""
    host = f"127.0.0.1:{origin().port}"
    response = ask(proxy().address(listener), get(f"http://{host}{path}", *fields, host=host))
    equal(response.status, 200, "status")
    return origin().wait_request(path)


def identifiers():
    return [f"{name}: 10.77.1.2" for name in IDENTIFYING]


@test("by default nothing that identifies the client leaves")
def _():
    seen = send("default", "/on", *identifiers(), "Proxy-Authorization: Basic eDp5",
                "Proxy-Connection: keep-alive", "Cookie: a=b", "User-Agent: mine", "X-App: 1",
                "DNT: 1", "Referer: http://elsewhere.test/deep")
    for name in IDENTIFYING[:-1]:
        check(not seen.has(name), f"{name} left")
    check(not any("10.77.1.2" in value for _, value in seen.fields), "the address left")
    check(not any(name.lower().startswith("proxy-") for name, _ in seen.fields), "Proxy-* left")
    for name in ("Cookie", "User-Agent", "X-App", "DNT", "Referer"):
        check(seen.has(name), f"{name} is missing")


@test("our own Via leaves: one pseudonym, the same for all clients")
def _():
    first, second = send("default", "/via-1", "Via: 1.1 laptop"), send("strict", "/via-2")
    equal(first.get("Via"), second.get("Via"), "Via")
    check("laptop" not in first.get("Via") and "127.0.0.1" not in first.get("Via"), "Via tells")


@test("off: what clients say passes")
def _():
    seen = send("off", "/off", "X-Forwarded-For: 10.77.1.2", "From: me@home.test", "X-App: 1")
    equal((seen.get("X-Forwarded-For"), seen.get("From")), ("10.77.1.2", "me@home.test"), "fields")


@test("strict: of two hundred fields only those that browsing needs leave")
def _():
    passing = ["Accept: text/html", "Accept-Encoding: gzip", "Cookie: a=b",
               "Authorization: Basic eDp5", "Origin: http://a.test", "Range: bytes=0-9",
               "If-None-Match: x", "Sec-Fetch-Mode: navigate", "Upgrade-Insecure-Requests: 1",
               "Cache-Control: no-cache", "Pragma: no-cache"]
    random = [f"X-Field-{i}: 1" for i in range(80)]
    hints = ["Sec-CH-UA: x", "Sec-CH-UA-Platform: y", "DNT: 1", "Traceparent: 00-1-2-3"]
    seen = send("strict", "/strict", *identifiers()[:-1], *passing, *random[:60], *hints)
    allowed = {line.split(":")[0] for line in passing} | {"Host", "Via", "User-Agent"}
    equal({name for name, _ in seen.fields} - allowed, set(), "fields that left")
    for line in passing:
        name, _, value = line.partition(": ")
        equal(seen.get(name), value, name)


@test("strict: two browsers look alike")
def _():
    one = send("strict", "/browser-1", "User-Agent: Mozilla/5.0 (X11; Linux) Firefox/131",
               "Accept-Language: de-DE,de;q=0.9,en;q=0.5", "Accept: */*", "X-One: 1")
    two = send("strict", "/browser-2", "Accept: */*", "Sec-CH-UA: Chromium",
               "Accept-Language: de-DE, fr;q=0.3", "User-Agent: Chrome/130", "Priority: u=1")
    equal(sorted(one.fields), sorted(two.fields), "fields")
    check(one.get("User-Agent").startswith("Mozilla/5.0 ("), "User-Agent")
    equal(one.get("Accept-Language"), "de-DE", "Accept-Language")


@test("strict: a Referer of another origin is cut, of the same one whole")
def _():
    here = f"http://127.0.0.1:{origin().port}/page?q=1"
    equal(send("strict", "/referer-1", f"Referer: {here}").get("Referer"), here, "the same")
    equal(send("strict", "/referer-2", "Referer: http://a.test/deep?q=1").get("Referer"),
          "http://a.test/", "another")
    equal(send("strict", "/referer-3", "Referer: https://a.test/deep").get("Referer"), None,
          "from https to http")


@test("strict: uploads arrive whole")
def _():
    host = f"127.0.0.1:{origin().port}"
    body = b"x" * 100000
    response = ask(proxy().address("strict"),
                   post(f"http://{host}/upload", body, "Content-Type: text/plain", host=host),
                   "POST")
    equal(response.status, 200, "status")
    seen = origin().wait_request("/upload")
    equal((len(seen.body), seen.get("Content-Type")), (len(body), "text/plain"), "the upload")


@test("a filter of one's own has its options")
def _():
    seen = send("own", "/own", "X-CSRF-Token: t", "X-Other: o", "User-Agent: mine")
    equal((seen.get("X-CSRF-Token"), seen.has("X-Other"), seen.get("User-Agent")),
          ("t", False, "uniform"), "fields")


@test("our own site sees its visitor, whatever the forward listener's profile")
def _():
    for listener in ("default", "strict"):
        path = f"/site-{listener}"
        response = ask(proxy().address(listener),
                       get(f"http://site.test{path}", "X-App: 1", host="site.test"))
        equal(response.status, 200, "status")
        seen = origin().wait_request(path)
        equal((seen.get("X-Forwarded-For"), seen.get("X-App")), ("127.0.0.1", "1"), "fields")


@test("reverse: a site can be kept from knowing its visitors, too")
def _():
    response = ask(proxy().address("front"), get("/hidden", host="site.test"))
    equal(response.status, 200, "status")
    seen = origin().wait_request("/hidden")
    check(not any("127.0.0.1" in value for _, value in seen.fields), "the address left")


main()
