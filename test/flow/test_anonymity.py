# SPDX-License-Identifier: BSD-2-Clause
"""What an origin learns of a client of a forward proxy: profiles off, on and strict."""

from bascule_flow import Daemon, Origin, answer, ask, check, equal, get, main, once, post, test
from h2 import h2c, request

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
      filters = ( { filter = "anonymity"; } ); },
    { name = "cached"; mode = "forward"; listen = "127.0.0.1:0"; anonymity = "strict";
      cache = { store = "main"; };
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "sorted"; mode = "forward"; listen = "127.0.0.1:0"; anonymity = "strict";
      cache = { store = "main"; query_sort = true; };
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "session"; mode = "forward"; listen = "127.0.0.1:0";
      filters = ( { filter = "anonymity"; cookies = "session_only"; referer = "same";
                    gpc = "send"; client_hints = "remove"; accept_language = "en-US";
                    tracking_parameters = [ "ref_*" ]; } );
      allow_destination = [ "127.0.0.0/8" ]; }
);
stores = ( { name = "main"; } );
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
    allowed = {line.split(":")[0] for line in passing} | {"Host", "Via", "User-Agent", "Sec-GPC"}
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


def exchange(listener, path, at, *fields, own=()):
    """The origin's request at that target, and the answer with these fields of its own."""
    origin().on(at, answer(b"content", *own))
    host = f"127.0.0.1:{origin().port}"
    response = ask(proxy().address(listener), get(f"http://{host}{path}", *fields, host=host))
    equal((response.status, response.body), (200, b"content"), "answer")
    return origin().wait_request(at), response


@test("strict: what tracks is taken out of URLs, all else is left byte for byte")
def _():
    exchange("strict", "/track?utm_source=a&q=%41+b&&gclid=x&fbclid=y", "/track?q=%41+b&")
    exchange("strict", "/all?utm_source=a", "/all")
    signed = "/signed?utm_source=a&X-Amz-Signature=0a&gclid=1"
    exchange("strict", signed, signed)
    exchange("default", "/track-on?gclid=1", "/track-on?gclid=1")
    exchange("session", "/ref?ref_src=1&gclid=2&ref=3", "/ref?ref=3")


@test("strict: URLs that differ in what tracks are one stored answer")
def _():
    for listener in ("cached", "sorted"):
        path = f"/stored-{listener}"
        for query in ("", "?utm_source=a", "?gclid=b&fbclid=c"):
            exchange(listener, path + query, path, own=["Cache-Control: max-age=60"])
        equal(len(origin().seen(path)), 1, "requests upstream")
        exchange(listener, f"{path}?q=1&utm_source=a", f"{path}?q=1",
                 own=["Cache-Control: max-age=60"])


@test("strict: no cookies between clients and third parties")
def _():
    third = ["Origin: http://elsewhere.test", "Cookie: a=b"]
    seen, response = exchange("strict", "/third", "/third", *third, own=["Set-Cookie: c=d"])
    equal((seen.has("Cookie"), response.has("Set-Cookie")), (False, False), "third party")
    own = [f"Referer: http://127.0.0.1:{origin().port}/", "Cookie: a=b"]
    seen, response = exchange("strict", "/first", "/first", *own, own=["Set-Cookie: c=d"])
    equal((seen.get("Cookie"), response.get("Set-Cookie")), ("a=b", "c=d"), "first party")
    link = ["Referer: http://elsewhere.test/", "Upgrade-Insecure-Requests: 1", "Cookie: a=b"]
    seen, response = exchange("strict", "/followed", "/followed", *link, own=["Set-Cookie: c=d"])
    equal((seen.get("Cookie"), response.get("Set-Cookie")), ("a=b", "c=d"), "a followed link")
    seen, response = exchange("default", "/on-third", "/on-third", *third, own=["Set-Cookie: c=d"])
    equal((seen.get("Cookie"), response.get("Set-Cookie")), ("a=b", "c=d"), "profile on")


@test("what options add to the profile on")
def _():
    seen, response = exchange("session", "/session", "/session", "Referer: http://elsewhere.test/x",
                              "Sec-CH-UA: x", "Accept-Language: de", "X-App: 1", "Cookie: a=b",
                              own=["Set-Cookie: c=d; Max-Age=600; Path=/",
                                   "Set-Cookie: e=; Max-Age=0"])
    equal([seen.get(name) for name in ("Referer", "Sec-CH-UA", "Accept-Language", "X-App",
                                       "Cookie", "Sec-GPC")],
          [None, None, "en-US", "1", "a=b", "1"], "request")
    equal(response.all("Set-Cookie"), ["c=d; Path=/", "e=; Max-Age=0"], "cookies")


@test("by HTTP/2 the same")
def _():
    origin().on("/h2?q=1", answer(b"content", "Set-Cookie: c=d"))
    host = f"127.0.0.1:{origin().port}"
    with h2c(proxy().address("strict")).greet() as client:
        stream = client.open(request("/h2?q=1&utm_source=x", ("origin", "http://elsewhere.test"),
                                     ("cookie", "a=b"), ("x-app", "1"), authority=host), end=True)
        response = client.answer(stream)
    seen = origin().wait_request("/h2?q=1")
    equal((seen.has("Cookie"), seen.has("X-App"), seen.get("Sec-GPC"), response.has("Set-Cookie")),
          (False, False, "1", False), "fields")


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
