# SPDX-License-Identifier: BSD-2-Clause
"""What is given again without asking upstream, when it is asked, and who is never given what:
RFC 9111, 9211 and 5861 (modes/look_up.c, modes/cache_answer.c, modes/fetch.c, modes/keep.c)."""

import threading

from bascule_flow import (REVERSE, CutShort, Daemon, Origin, answer, answer_chunked, check, equal,
                          head, main, once, one_of, test)
from caching import (FRONTS, Front, Page, Trickle, is_forwarded, is_hit, near, outcome,
                     test_fronts, unique)
from peers import becomes, until

CONF = """
workers = 2;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
stores = ( { name = "main"; memory = "64M"; max_memory_object = "1M"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "main"; }
);
groups = (
    { name = "origin"; max_fails = 0; @MAINTENANCE@ endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "all"; default = true; group = "origin"; cache = "main"; routes = (
        { path_prefix = "/swr/"; cache = { store = "main"; stale_while_revalidate = "1h"; }; },
        { path_prefix = "/quiet/"; cache = { store = "main"; status = false; }; },
        { path_prefix = "/devices/"; cache = { store = "main"; device = true; }; },
        { path_prefix = "/cookies/"; cache = { store = "main"; cookies = true;
                                               default = "60s"; }; },
        { path_prefix = "/off/"; cache = "off"; }
    ); }
);
"""
WEB = Front(REVERSE, "HTTP/1.1")
STALE = ("Cache-Control: max-age=10", "Age: 100")  # on arrival

origin = once(Origin)


def start(maintenance=""):
    return Daemon(CONF, ORIGIN=origin().port, MAINTENANCE=maintenance)


@once
def proxy():
    return start()


def page(*fields, **more):
    return Page(origin(), *(fields or ("Cache-Control: max-age=60",)), **more)


def ask(front, page_, *fields, **more):
    return front.ask(proxy(), origin().port, getattr(page_, "path", page_), *fields, **more)


# ---- what is given again


@test_fronts("a fresh answer is given again, whole, with its age and what happened")
def _(front):
    it = page("Cache-Control: max-age=600", "X-Own: kept", "Age: 30")
    first = is_forwarded(ask(front, it), "uri-miss", b"number 1")
    near(outcome(first)["ttl"], 550, "ttl when it was stored")
    equal(outcome(first).get("stored"), True, "whether it says that it stored it")
    equal(first.get("Age"), "30", "the origin's Age")
    for _ in range(2):
        again = is_hit(ask(front, it), b"number 1")
        equal((again.status, again.get("X-Own")), (200, "kept"), "status and field")
        near(again.get("Age"), 30, "Age")
        equal(int(again.get("Age")) + outcome(again)["ttl"], 600, "Age and ttl together")
        equal(sorted(outcome(again)), ["hit", "ttl"], "what Cache-Status tells")
    equal(it.count, 1, "requests at the origin")


@test("Cache-Status can be left out, and a route can do without the cache")
def _():
    it = page(path=unique("quiet/page"))
    for _ in range(2):
        equal(ask(WEB, it).get("Cache-Status"), None, "Cache-Status")
    equal(it.count, 1, "requests at the origin")
    it = page(path=unique("off/page"))
    equal([ask(WEB, it).body for _ in range(2)], [b"number 1", b"number 2"], "what is not cached")


@test_fronts("content that came in chunks is given again with its length")
def _(front):
    path = unique()
    origin().on(path, answer_chunked(b"one", b"two", fields=("Cache-Control: max-age=60",)))
    equal(ask(front, path).body, b"onetwo", "content")
    again = is_hit(ask(front, path), b"onetwo")
    equal(again.get("Content-Length"), "6", "Content-Length")


@test_fronts("neither no-store, private, Vary: * nor an answer that says nothing is stored")
def _(front):
    for fields in (("Cache-Control: no-store, max-age=60",),
                   ("Cache-Control: private, max-age=60",),
                   ("Cache-Control: max-age=60", "Vary: *"), ("X-Nothing: said",),
                   ("Cache-Control: max-age=60", "Set-Cookie: a=b")):
        it = page(*fields)
        found = [ask(front, it) for _ in range(3)]
        equal([r.body for r in found], [b"number 1", b"number 2", b"number 3"], f"with {fields}")
        check(not any("stored" in outcome(r) for r in found), f"{fields} says it was stored")


@test_fronts("a request that says no-store is answered from upstream, and not stored")
def _(front):
    it = page()
    is_forwarded(ask(front, it, "Cache-Control: no-store"), "uri-miss", b"number 1")
    is_forwarded(ask(front, it), "uri-miss", b"number 2")
    is_hit(ask(front, it), b"number 2")


@test_fronts("HEAD is answered from what GET stored; what HEAD fetched is nobody's content")
def _(front):
    it = page(etag='"one"')
    is_forwarded(ask(front, it, method="HEAD"), "uri-miss", b"")
    is_forwarded(ask(front, it), "uri-miss", b"number 2")
    found = is_hit(ask(front, it, method="HEAD"), b"")
    equal((found.status, found.get("Content-Length"), found.get("ETag")), (200, "8", '"one"'),
          "status, length and ETag")
    equal(it.count, 2, "requests at the origin")


@test("one in the middle of another's HEAD gets content")
def _():
    it = page()
    it.hold()
    with WEB.open(proxy()) as one, WEB.open(proxy()) as other:
        one.start(origin().port, it.path, method="HEAD")
        it.wait_count(1)
        other.start(origin().port, it.path)
        it.wait_count(2)
        it.go()
        equal(other.stream.read().body, b"number 2", "content")
        equal(one.stream.read("HEAD").body, b"", "content of HEAD")


@test_fronts("answers of all kinds of status are kept as such")
def _(front):
    for status in ("204 No Content", "301 Moved", "404 Not Found", "410 Gone", "500 Oops"):
        it = page("Cache-Control: max-age=60", "Location: /x", status=status,
                  body="" if status.startswith("204") else "number @N@")
        if status.startswith("204"):
            origin().on(it.path, head(f"HTTP/1.1 {status}", "Cache-Control: max-age=60"))
        first = ask(front, it)
        again = is_hit(ask(front, it), first.body)
        equal(again.status, int(status[:3]), "status")


@test_fronts("more than max_object is passed on whole, and not stored")
def _(front):
    big = bytes(range(256)) * 8192  # 2 MB
    for data in (answer(big, "Cache-Control: max-age=60"),
                 answer_chunked(*[big[i:i + 99999] for i in range(0, len(big), 99999)],
                                fields=("Cache-Control: max-age=60",))):
        path = unique()
        origin().on(path, data)
        for n in (1, 2):
            found = ask(front, path)
            equal(found.body == big, True, "whether all came")
            check("hit" not in outcome(found), "it was stored")
            equal(len(origin().seen(path)), n, "requests at the origin")


# ---- variants


@test_fronts("variants are kept side by side, by what the answer varies on")
def _(front):
    it = page("Cache-Control: max-age=60", "Vary: X-Kind")
    is_forwarded(ask(front, it, "X-Kind: a"), "uri-miss", b"number 1")
    is_forwarded(ask(front, it, "X-Kind: b"), "vary-miss", b"number 2")
    is_forwarded(ask(front, it), "vary-miss", b"number 3")
    is_forwarded(ask(front, it, "X-Kind: "), "vary-miss", b"number 4")  # empty is not absent
    is_hit(ask(front, it, "X-Kind: a"), b"number 1")
    is_hit(ask(front, it, "X-Kind: b", "X-Other: c"), b"number 2")
    is_hit(ask(front, it), b"number 3")


@test_fronts("what means the same to the origin is one variant")
def _(front):
    it = page("Cache-Control: max-age=60", "Vary: Accept-Encoding, Accept-Language")
    ask(front, it, "Accept-Encoding: gzip, deflate, br", "Accept-Language: de, en;q=0.5")
    sent = it.requests[0].get("Accept-Encoding").replace(" ", "").split(",")
    equal((sorted(sent), "deflate" in sent), (["br", "gzip"], False), "codings asked for upstream")
    is_hit(ask(front, it, "Accept-Encoding: br,gzip", "Accept-Language: EN;q=0.5,DE"), b"number 1")
    is_hit(ask(front, it, "Accept-Encoding: gzip;q=0.9, br;q=1", "Accept-Language: de,en;q=0.5"),
           b"number 1")
    is_forwarded(ask(front, it, "Accept-Encoding: gzip", "Accept-Language: de, en;q=0.5"),
                 "vary-miss", b"number 2")
    is_forwarded(ask(front, it, "Accept-Encoding: br, gzip", "Accept-Language: en"),
                 "vary-miss", b"number 3")


@test("kinds of device are told apart where that is wanted, fetched at once too")
def _():
    it = page(path=unique("devices/page"))
    phone = "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148"
    desktop = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Firefox/120.0"
    it.hold()
    with WEB.open(proxy()) as one, WEB.open(proxy()) as other:
        one.start(origin().port, it.path, phone)
        it.wait_count(1)
        other.start(origin().port, it.path, desktop)
        until(lambda: it.count == 2 or proxy().metrics()["bascule_cache_collapsed_total"] > 0,
              "the second goes upstream, or waits")
        it.go()
        equal(one.stream.read().body, b"number 1", "what the phone got")
        equal(other.stream.read().body, b"number 2", "what the desktop got")
    is_hit(ask(WEB, it, phone), b"number 1")
    is_hit(ask(WEB, it, desktop), b"number 2")


# ---- validation


@test_fronts("a client that has it is told so: 304")
def _(front):
    it = page("Cache-Control: max-age=60", "Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT",
              "Content-Type: text/plain", etag='"one"')
    ask(front, it)
    for line in ('If-None-Match: "one"', 'If-None-Match: "zero", W/"one"', "If-None-Match: *",
                 "If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT"):
        found = is_hit(ask(front, it, line), b"")
        equal((found.status, found.get("ETag")), (304, '"one"'), f"status and ETag for {line}")
        equal(found.get("Content-Type"), None, "Content-Type of a 304")
    for line in ('If-None-Match: "two"', "If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT"):
        equal(is_hit(ask(front, it, line), b"number 1").status, 200, f"status for {line}")
    equal(it.count, 1, "requests at the origin")


@test_fronts("a stale answer is validated: with 304 it is good again, with 200 it is replaced")
def _(front):
    it = page(*STALE, etag='"one"')
    ask(front, it)
    it.fields = ["Cache-Control: max-age=600", "X-New: yes"]
    found = is_forwarded(ask(front, it), "stale", b"number 1")
    equal((found.status, outcome(found).get("fwd-status")), (200, 304), "status, and the origin's")
    equal(found.get("X-New"), "yes", "a field of the 304")
    equal(it.requests[1].get("If-None-Match"), '"one"', "If-None-Match sent upstream")
    again = is_hit(ask(front, it), b"number 1")
    equal(again.get("X-New"), "yes", "a field of the 304, later")
    near(again.get("Age"), 0, "Age since the 304")
    equal(it.count, 2, "requests at the origin")

    it = page(*STALE, etag='"one"')
    ask(front, it)
    it.etag, it.fields = '"two"', ["Cache-Control: max-age=600"]
    is_forwarded(ask(front, it), "stale", b"number 2")
    found = is_hit(ask(front, it), b"number 2")
    equal(found.get("ETag"), '"two"', "ETag")


@test_fronts("no-cache is kept, and asked for every time")
def _(front):
    it = page("Cache-Control: no-cache", etag='"one"')
    for n in range(3):
        found = ask(front, it)
        equal((found.status, found.body), (200, b"number 1"), "answer")
        if n > 0:
            is_forwarded(found, "stale")
            equal(it.requests[n].get("If-None-Match"), '"one"', "If-None-Match upstream")
    equal(it.count, 3, "requests at the origin")


@test_fronts("a client's own condition is answered by what validation brought")
def _(front):
    it = page(*STALE, etag='"one"')
    ask(front, it)
    equal(ask(front, it, 'If-None-Match: "one"').status, 304, "status when it has it")
    it.etag = '"two"'
    found = ask(front, it, 'If-None-Match: "two"')
    equal((found.status, found.get("ETag")), (304, '"two"'), "status when it has the new one")
    it.etag = '"three"'
    found = ask(front, it, 'If-None-Match: "one"')
    equal((found.status, found.get("ETag")), (200, '"three"'), "status when it has an old one")


@test_fronts("If-Match and If-Unmodified-Since are judged by the origin, where they may not hold")
def _(front):
    held = ['"one"']

    def serve(request, _link):
        wanted = request.get("If-Match")
        if wanted not in (None, held[0]) or request.has("If-Unmodified-Since"):
            return answer(b"no", status="412 Precondition Failed")
        return answer(b"yes", "Cache-Control: max-age=60", f"ETag: {held[0]}")

    for line in ('If-Match: "zero"', "If-Unmodified-Since: Sat, 01 Jan 2022 00:00:00 GMT"):
        path = unique()
        origin().on(path, serve)
        for _ in range(2):
            equal(ask(front, path, line).status, 412, f"status for {line}, nothing stored")
        equal(is_forwarded(ask(front, path), "uri-miss").status, 200, "status without")
        equal(ask(front, path, line).status, 412, f"status for {line}, stored")
        is_hit(ask(front, path, 'If-Match: "one"'), b"yes")


@test("interim answers are for who asked, and are not stored")
def _():
    for front in FRONTS[:2]:
        path = unique()
        origin().on(path, head("HTTP/1.1 103 Early Hints", "Link: </x.css>") +
                    answer(b"final", "Cache-Control: max-age=60"))
        equal([r.status for r in ask(front, path).interim], [103], "before the answer")
        equal(is_hit(ask(front, path), b"final").interim, [], "before a hit")


@test("clients reload what a forward proxy has, not what a site has")
def _():
    for front in FRONTS:
        it = page()
        ask(front, it)
        again = ask(front, it, "Cache-Control: no-cache")
        if front.way is REVERSE:
            is_hit(again, b"number 1")
        else:
            is_forwarded(again, "request", b"number 2")
            is_hit(ask(front, it), b"number 2")


@test_fronts("only-if-cached asks nobody: 504 when it is not there, or stale")
def _(front):
    it = page()
    equal(ask(front, it, "Cache-Control: only-if-cached").status, 504, "status of a miss")
    equal(it.count, 0, "requests at the origin")
    ask(front, it)
    is_hit(ask(front, it, "Cache-Control: only-if-cached"), b"number 1")
    it = page(*STALE, etag='"one"')
    ask(front, it)
    equal(ask(front, it, "Cache-Control: only-if-cached").status, 504, "status of a stale one")
    equal(it.count, 1, "requests at the origin")


# ---- staleness


@test_fronts("while it is revalidated behind, a stale answer is given at once")
def _(front):
    it = page("Cache-Control: max-age=10, stale-while-revalidate=1000", "Age: 100", etag='"one"')
    ask(front, it)
    it.etag, it.fields = '"two"', ["Cache-Control: max-age=600"]
    it.hold()
    for _ in range(5):  # one fetch behind, whoever asks meanwhile
        found = is_hit(ask(front, it), b"number 1")
        check(outcome(found)["ttl"] < 0, f"ttl of a stale answer: {found.get('Cache-Status')}")
        check(int(found.get("Age")) >= 100, f"Age of a stale answer: {found.get('Age')}")
    it.wait_count(2)
    it.go()
    until(lambda: ask(front, it).body == b"number 2", "the new one is there")
    equal(it.count, 2, "requests at the origin")


@test("the site's own stale_while_revalidate counts where the answer is silent")
def _():
    it = page(*STALE, etag='"one"', path=unique("swr/page"))
    ask(WEB, it)
    it.fields = ["Cache-Control: max-age=600"]
    is_hit(ask(WEB, it), b"number 1")
    it.wait_count(2)
    until(lambda: outcome(ask(WEB, it))["ttl"] > 0, "it was freshened behind")
    equal(it.count, 2, "requests at the origin")


@test("what fetches behind never takes credentials along to what others get")
def _():
    it = page(*STALE, etag='"one"', path=unique("swr/page"), body="of @N@")
    ask(WEB, it)
    it.etag, it.fields = '"two"', ["Cache-Control: max-age=600"]
    it.serve_page = it.serve

    def serve(request, link):
        it.body = f"of {request.get('Authorization')} @N@"
        return it.serve_page(request, link)

    origin().on(it.path, serve)
    is_hit(ask(WEB, it, "Authorization: Basic YTpi"), b"of 1")
    ask(WEB, it)
    until(lambda: ask(WEB, it).body != b"of 1", "a new one is there")
    check(b"Basic" not in ask(WEB, it).body, "others get what was fetched with credentials")


@test_fronts("when the origin fails, a stale answer stands in")
def _(front):
    for control in ("max-age=10", "max-age=10, stale-if-error=1000"):
        it = page(f"Cache-Control: {control}", "Age: 100", etag='"one"')
        ask(front, it)
        it.is_down = True
        found = ask(front, it)
        equal((found.status, found.body), (200, b"number 1"), f"with {control}, origin down")
        equal(outcome(found).get("fwd"), "stale", "why it was forwarded")
        check(outcome(found)["ttl"] < 0, "ttl of a stale answer")
        it.is_down, it.etag, it.status, it.body = False, None, "503 Busy", "busy"
        found = ask(front, it)
        equal((found.status, found.body), (200, b"number 1"), f"with {control}, origin says 503")


@test_fronts("when the origin fails, who forbids stale answers gets none")
def _(front):
    for control in ("max-age=10, must-revalidate", "max-age=10, proxy-revalidate", "s-maxage=10",
                    "no-cache", "max-age=10, stale-if-error=0"):
        it = page(f"Cache-Control: {control}", "Age: 100", etag='"one"')
        ask(front, it)
        it.is_down = True
        found = ask(front, it)
        one_of(found.status, (502, 504), f"status with {control}")
        check(b"number" not in found.body, "stale content was given")


@test("in maintenance, what there is is given, and nobody is asked")
def _():
    fresh, stale, strict = page(), page(*STALE), page("Cache-Control: max-age=1, must-revalidate",
                                                      "Age: 50", etag='"x"')
    with start() as daemon:
        def of(it):
            return WEB.ask(daemon, origin().port, it.path)

        stale.etag = '"one"'
        for it in (fresh, stale, strict):
            of(it)
        daemon.reload(CONF, MAINTENANCE="maintenance = true;")
        for it in (fresh, stale):
            equal((of(it).status, of(it).body), (200, b"number 1"), "answer in maintenance")
        equal(of(page()).status, 503, "status of what is not there")
        one_of(of(strict).status, (503, 504), "status of what must be validated")
        equal([it.count for it in (fresh, stale, strict)], [1, 1, 1], "requests at the origin")
        daemon.reload(CONF, MAINTENANCE="")
        of(stale)
        equal(stale.count, 2, "requests afterwards")


# ---- what makes it out of date


@test_fronts("unsafe methods make their URL out of date, if they succeed")
def _(front):
    for method in ("POST", "PUT", "DELETE", "PATCH", "M-SEARCH"):
        it = page()
        ask(front, it)
        it.status = "500 No"
        ask(front, it, method=method, body=b"x")
        it.status = "200 OK"
        is_hit(ask(front, it), b"number 1")
        is_forwarded(ask(front, it, method=method, body=b"x"), "method", b"number 3")
        is_forwarded(ask(front, it), "uri-miss", b"number 4")


@test_fronts("Location and Content-Location go out of date with it, of the same origin only")
def _(front):
    other, also, form = page(), page(), page()
    for it in (other, also):
        ask(front, it)
    form.fields = [f"Location: {other.path}", f"Content-Location: {also.path}"]
    ask(front, form, method="POST", body=b"x")
    is_forwarded(ask(front, other), "uri-miss", b"number 2")
    is_forwarded(ask(front, also), "uri-miss", b"number 2")
    form.fields = [f"Location: http://evil.test{other.path}",
                   f"Content-Location: //evil.test{also.path}"]
    ask(front, form, method="POST", body=b"x")
    is_hit(ask(front, other), b"number 2")
    is_hit(ask(front, also), b"number 2")


@test("all variants go out of date with their URL")
def _():
    it = page("Cache-Control: max-age=60", "Vary: X-Kind")
    for kind in "ab":
        ask(WEB, it, f"X-Kind: {kind}")
    ask(WEB, it, method="POST", body=b"x")
    for n, kind in ((4, b"a"), (5, b"b")):
        equal(ask(WEB, it, f"X-Kind: {kind.decode()}").body, b"number %d" % n, "content")


@test("what was asked for before a POST is not stored after it")
def _():
    it = page()
    it.hold()
    with WEB.open(proxy()) as early:
        early.start(origin().port, it.path)
        it.wait_count(1)
        path = unique("form")
        origin().on(path, answer(b"done", f"Location: {it.path}"))
        ask(WEB, path, method="POST", body=b"x")
        it.go()
        equal(early.stream.read().body, b"number 1", "what was asked for before")
    is_forwarded(ask(WEB, it), "uri-miss", b"number 2")


# ---- what is somebody's own


class Accounts:
    """Pages that are made for who asks, by credentials or cookie."""

    def __init__(self, *fields):
        self.path, self.fields = unique("account"), fields
        origin().on(self.path, self.serve)

    def serve(self, request, _link):
        who = request.get("Authorization") or request.get("Cookie") or "nobody"
        fields = [line.replace("@WHO@", who) for line in self.fields]
        return answer(f"page of {who}".encode(), *fields)

    def cross(self, front, name):
        """Two users, crossed: none ever sees the other's page."""
        failures = []

        def run(who):
            with front.open(proxy()) as asker:
                for _ in range(50):
                    found = asker.ask(origin().port, self.path, f"{name}: {who}")
                    if found.body != f"page of {who}".encode():
                        failures.append(found.body)
                    cookies = found.all("Set-Cookie")
                    if any(who not in cookie for cookie in cookies):
                        failures.append(cookies)

        threads = [threading.Thread(target=run, args=(f"user{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(failures[:3], [], f"what others saw of {self.fields}")


@test_fronts("200 crossed requests of several users leak nothing, whatever says it is theirs")
def _(front):
    Accounts("Cache-Control: max-age=60").cross(front, "Authorization")
    Accounts("Cache-Control: private, max-age=60").cross(front, "Cookie")
    Accounts("Cache-Control: no-store").cross(front, "Cookie")
    Accounts("Cache-Control: max-age=60", "Set-Cookie: id=@WHO@").cross(front, "Cookie")
    Accounts("Cache-Control: max-age=60", "Vary: Cookie").cross(front, "Cookie")


@test_fronts("no-cache, or stale at birth, is never another user's, not even at once")
def _(front):
    Accounts("Cache-Control: no-cache", 'ETag: "@WHO@"').cross(front, "Cookie")
    Accounts("Cache-Control: max-age=0", 'ETag: "@WHO@"').cross(front, "Cookie")


@test_fronts("an answer to credentials is kept only if it says that it is for all")
def _(front):
    for control in ("public, max-age=60", "max-age=60, must-revalidate", "s-maxage=60"):
        it = page(f"Cache-Control: {control}")
        ask(front, it, "Authorization: Basic YTpi")
        until(lambda: proxy().metrics()["bascule_exchanges_open"] == 0, "it is over")
        is_hit(ask(front, it), b"number 1")
    it = page()
    ask(front, it, "Authorization: Basic YTpi")
    is_forwarded(ask(front, it), "uri-miss", b"number 2")


@test("with cookies = true the answer is stored, and its cookies are not")
def _():
    it = page("Cache-Control: max-age=60", "Set-Cookie: id=1", path=unique("cookies/page"))
    equal(ask(WEB, it).get("Set-Cookie"), "id=1", "cookie for who asked")
    equal(is_hit(ask(WEB, it), b"number 1").get("Set-Cookie"), None, "cookie for others")


@test("with cookies = true, who waits for the same does not get the other's cookie")
def _():
    it = page("Cache-Control: max-age=60", "Set-Cookie: id=1", path=unique("cookies/page"))
    before = proxy().metrics()["bascule_cache_collapsed_total"]
    it.hold()
    with WEB.open(proxy()) as one, WEB.open(proxy()) as other:
        one.start(origin().port, it.path)
        it.wait_count(1)
        other.start(origin().port, it.path)
        until(lambda: proxy().metrics()["bascule_cache_collapsed_total"] > before, "one waits")
        it.go()
        one.stream.read()
        equal(other.stream.read().get("Set-Cookie"), None, "cookie for the other")


# ---- what is not whole


def cut_answers():
    """Answers that end too early, and how."""
    control = "Cache-Control: max-age=60"
    yield "length", head("HTTP/1.1 200 OK", "Content-Length: 100", control) + b"x" * 60
    yield "chunk", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", control) + \
        b"64\r\n" + b"x" * 60
    yield "last chunk", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", control) + \
        b"3c\r\n" + b"x" * 60 + b"\r\n"


@test_fronts("an answer that is cut short is never given as a whole one")
def _(front):
    for kind, data in cut_answers():
        for how in ("close", "reset"):
            path = unique("cut")
            count = []

            def serve(_request, link, data=data, how=how, count=count):
                count.append(1)
                if len(count) > 1:
                    return answer(b"whole", "Cache-Control: max-age=60")
                link.send(data)
                getattr(link, how)()
                return None

            origin().on(path, serve)
            try:
                found = ask(front, path)
                one_of(found.status, (200, 502), "status")
                check(b"xxx" not in found.body, f"{kind}: a part was given as the whole")
            except CutShort:
                pass
            found = ask(front, path)
            equal(found.body, b"whole", f"content after one cut in its {kind}")


@test("who leaves in the middle does not end it for others")
def _():
    for length in (20, None):
        it = Trickle(origin(), "Cache-Control: max-age=60", length=length)
        first = WEB.open(proxy())
        first.start(origin().port, it.path)
        it.wait()
        it.head()
        it.piece(b"x" * 10)
        first.stream.line("a status line")
        with WEB.open(proxy()) as other:
            other.start(origin().port, it.path)
            sent = b"x" * 10 + (b"\r\n" if length is None else b"")
            while not other.stream.buffer.endswith(sent):
                check(other.stream.fill(), "the second gets what is there")
            first.reset()
            it.piece(b"y" * 10)
            it.end()
            equal(other.stream.read().body, b"x" * 10 + b"y" * 10, "content")
        until(lambda it=it: "hit" in outcome(ask(WEB, it.path)), "it is stored")
        equal(it.count, 1, "requests at the origin")


@test("when all have left, the fetch ends, and nothing of it stays")
def _():
    it = Trickle(origin(), "Cache-Control: max-age=60", length=20,
                 other=lambda request, link: answer(b"another", "Cache-Control: max-age=60"))
    with WEB.open(proxy()) as only:
        only.start(origin().port, it.path)
        it.wait()
        it.head()
        it.piece(b"x" * 10)
        only.stream.line("a status line")
        only.reset()
    equal(it.link.has_ended(), True, "whether the connection to the origin was ended")
    it.done.set()
    equal(ask(WEB, it.path).body, b"another", "content for the next")


# ---- what is written


@test("the access log says what the cache did")
def _():
    def words(it):
        return [r["cache"] for r in proxy().records() if r["target"] == it.path]

    def ask_for(it, word):
        """Each is waited for: threads write their lines in an order of their own."""
        before = len(words(it))
        ask(WEB, it)
        until(lambda: len(words(it)) > before, "the line is there")
        equal(words(it)[-1], word, f"word for {it.path}")

    it = page()
    ask_for(it, "TCP_MISS")
    ask_for(it, "TCP_HIT")
    it = page(*STALE, etag='"one"')
    ask_for(it, "TCP_MISS")
    ask_for(it, "TCP_REFRESH_UNMODIFIED")
    it.etag = '"two"'
    ask_for(it, "TCP_REFRESH_MODIFIED")
    it.is_down = True
    ask_for(it, "TCP_REFRESH_FAIL_OLD")
    it = page("Cache-Control: max-age=1, stale-while-revalidate=600", "Age: 9", etag='"one"')
    ask_for(it, "TCP_MISS")
    ask_for(it, "TCP_STALE_HIT")


@test("counters add up: hits, stale answers, fetches, validations")
def _():
    names = ("hits", "stale", "fetches", "validated")

    with start() as daemon:
        def counters():
            found = daemon.metrics()
            return [found[f"bascule_cache_{name}_total"] for name in names]

        def ask_for(it, count):
            for _ in range(count):
                WEB.ask(daemon, origin().port, it.path)

        ask_for(page(), 3)
        it = page(*STALE, etag='"one"')
        ask_for(it, 3)
        it.is_down = True
        ask_for(it, 1)
        becomes(counters, [2, 1, 5, 2], f"{names}")


main()
