# SPDX-License-Identifier: BSD-2-Clause
"""What a 304, a HEAD or a server that is down changes of what is stored, and for whom
(modes/fetch*.c, modes/keep*.c; RFC 9111 sections 4.2.4 and 4.3)."""

from bascule_flow import REVERSE, Daemon, Origin, answer, check, equal, head, main, once, test
from caching import FRONTS, Front, Page, outcome, test_fronts, unique
from peers import until

CONF = """
workers = 2;
forward_to_sites = false;
stores = ( { name = "main"; memory = "16M"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; cache = "main";
      allow_destination = [ "127.0.0.0/8" ]; http_ports = "1-65535"; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; } );
sites = ( { name = "all"; default = true; group = "origin"; cache = "main"; } );
"""
WEB = Front(REVERSE, "HTTP/1.1")
FRESH = "Cache-Control: max-age=60"

origin = once(Origin)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port)


def ask(front, path, *fields, **more):
    return front.ask(proxy(), origin().port, path, *fields, **more)


@once
def ageing():
    """A page for each front, which all get stale in one second."""
    pages = {front: Page(origin(), "Cache-Control: max-age=1, stale-if-error=600")
             for front in FRONTS}
    for front, it in pages.items():
        ask(front, it.path)
        it.is_down = True
    return pages


@test_fronts("a stale answer that stands in tells its age")
def _(front):
    it = ageing()[front]
    found = []

    def is_stale():
        found[:] = [ask(front, it.path)]
        return outcome(found[0]).get("fwd") == "stale"

    until(is_stale, "a stale answer")
    equal((found[0].status, found[0].body), (200, b"number 1"), "the stale answer")
    check(int(found[0].get("Age") or 0) >= 1, f"its Age is {found[0].get('Age')}")


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
    equal(ask(front, path).body, b"number 1", "at first")
    found = ask(front, path)
    equal((found.status, found.body), (200, b"number 3"), "when it was validated")


@test_fronts("what a 304 says is private now stays with nobody")
def _(front):
    it = Page(origin(), "Cache-Control: max-age=10, stale-if-error=600", "Age: 100", etag='"a"')
    ask(front, it.path)
    it.fields[:] = ["Cache-Control: private"]
    equal(ask(front, it.path).body, b"number 1", "who asked")
    it.is_down = True
    found = ask(front, it.path)
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
        ask(WEB, path)
        found = ask(WEB, path, "Origin: https://evil.test", method=method)
        equal(found.get("Access-Control-Allow-Origin"), "https://evil.test",
                  f"who asked by {method}")
        found = ask(WEB, path)
        equal((found.body, found.get("Access-Control-Allow-Origin")), (b"data", None),
              f"others, after {method}")


main()
