# SPDX-License-Identifier: BSD-2-Clause
"""Interim responses (1xx): what of them passes, and what they may cost (RFC 9110 section 15.2)."""

import threading

from bascule_flow import (WAIT, Client, Daemon, Origin, answer, ask, check, equal, get, head, main,
                          once, one_of, test)

CONF = """
workers = 1;
forward_to_sites = false;
stores = ( { name = "main"; memory = "16M"; } );
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "roomy"; mode = "reverse"; listen = "unix:@DIR@/roomy.sock";
      limits = { memory = "16M"; }; timeouts = { write = "1s"; write_bytes = "1K"; }; },
    { name = "tight"; mode = "reverse"; listen = "127.0.0.1:0"; limits = { memory = "256K"; };
      filters = ( { filter = "headers"; response = { set = [ @GUARDS@ ]; }; } ); }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); }
);
sites = (
    { name = "all"; default = true; group = "origin"; routes = (
        { path_prefix = "/hides/"; cache = "main";
          filters = ( { filter = "headers"; response = { remove = "X-Inside"; }; } ); } ); }
);
"""

origin = once(Origin)


@once
def proxy() -> Daemon:
    guards = ", ".join(f'"X-Guard-{i}: %{{listener}}"' for i in range(40))
    return Daemon(CONF, ORIGIN=origin().port, GUARDS=guards)


def fields(count, each):
    return [f"X-Long-{i}: " + "x" * each for i in range(count)]


@test("a client that takes no interim responses is let go of, like one that takes no answer")
def _():
    done = threading.Event()

    def flood(_request, link):
        link.try_send(head("HTTP/1.1 103 Early Hints", *["Link: " + "x" * 15000] * 8) * 32)
        done.wait(WAIT)

    origin().on("/flood", flood)
    client = Client(proxy().address("roomy")) # the kernel holds little for a unix socket
    try:
        client.send(get("/flood"))
        equal(proxy().wait_record("/flood")["end"], "client_timeout", "end")
    finally:
        done.set()
        client.close()


@test("an answer that memory is too short for is refused as a whole, never without some fields")
def _():
    seen = set()
    for size in range(15000, 7000, -100):
        data = head("HTTP/1.1 103 Early Hints", *fields(8, 15000)) + \
            head("HTTP/1.1 103 Early Hints", *fields(2, 12000)) + \
            answer(b"ok", *fields(8, size), "X-Last: end")
        origin().on(f"/tight/{size}", lambda _request, link, data=data: link.send(data))
        with Client(proxy().address("tight")) as c:
            response = c.ask(get(f"/tight/{size}"))
        seen.add(response.status)
        if response.status == 200:
            guards = [response.get(f"X-Guard-{i}") for i in range(40)]
            equal((guards, response.get("X-Last"), response.body),
                  (["tight"] * 40, "end", b"ok"), f"answer of {size}")
        else:
            one_of(response.status, {502, 503}, "status")
    check(200 in seen and len(seen) > 1, f"all answers alike: {seen}")


@test("filters do not see interim responses: where there are some, only hints pass")
def _():
    origin().on("/hints", lambda _request, link: link.send(
        head("HTTP/1.1 103 Early Hints", "Link: </a>", "Server: secret/1", "X-Powered-By: it") +
        answer(b"ok")))
    with Client(proxy().address("tight")) as c:
        response = c.ask(get("/hints"))
    equal([(i.status, i.get("Link"), i.get("Server"), i.get("X-Powered-By"))
           for i in response.interim], [(103, "</a>", None, None)], "interim responses")


@test("the same holds for what is fetched for the cache")
def _():
    origin().on("/hides/page", head("HTTP/1.1 103 Early Hints", "Link: </x.css>",
                                    "X-Inside: secret") +
                answer(b"final", "Cache-Control: max-age=60", "X-Inside: secret"))
    response = ask(proxy().address("web"), get("/hides/page"))
    equal([(i.get("Link"), i.get("X-Inside")) for i in response.interim], [("</x.css>", None)],
          "interim responses")
    equal(response.get("X-Inside"), None, "in the final one")


main()
