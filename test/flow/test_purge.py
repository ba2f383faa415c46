# SPDX-License-Identifier: BSD-2-Clause
"""What is purged is gone, or stale, for good: by the method PURGE (modes/purge_request.c) and
by command (modes/cache_purge.c), in both modes."""

import contextlib
import json
import os
import signal
import subprocess
import threading

from bascule_flow import (REVERSE, WAIT, WAYS, Client, Daemon, Origin, answer, ask, check, equal,
                          get, main, once, program, test)
from caching import FRONTS, Page, is_forwarded, outcome
from peers import becomes

CONF = """
workers = 2;
forward_to_sites = false; # what is asked of "out" goes out
access_logs = ( { name = "main"; to = "@DIR@/access.log"; format = "json"; } );
stores = (
    { name = "main"; memory = "16M"; path = "@DIR@/store"; disk = "64M"; segment = "4M";
      min_free = "0"; },
    { name = "small"; memory = "4M"; max_memory_object = "64K"; }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ];
      cache = { store = "main"; purge_from = "127.0.0.1"; }; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); }
);
sites = (
    { name = "www"; default = true; group = "origin";
      cache = { store = "main"; purge_from = "127.0.0.1"; };
      routes = (
        { path_prefix = "/tracked"; group = "origin";
          cache = { store = "small"; purge_from = "127.0.0.1"; query_ignore = [ "utm_*" ]; }; },
        { path_prefix = "/plain"; group = "origin"; cache = "off"; }
      ); },
    { name = "other"; hosts = [ "other.test" ]; group = "origin"; cache = "main"; }
);
"""


class Numbered:
    """Answers with how often it was asked for a target; "?tags=a,b" makes tags, "?soft" an
    answer with an ETag that can be validated."""

    def __init__(self):
        self.counts = {}
        self.lock = threading.Lock()
        self.is_down = False

    def __call__(self, request, _link):
        with self.lock:
            count = self.counts[request.target] = self.counts.get(request.target, 0) + 1
        fields = ["Cache-Control: max-age=600", 'ETag: "1"']
        if self.is_down:
            return answer(b"down", status="503 Service Unavailable")
        if "tags=" in request.target:
            fields.append("Cache-Tag: " + request.target.partition("tags=")[2])
        if "vary" in request.target:
            fields.append("Vary: Accept-Encoding")
        if request.has("If-None-Match"):
            return answer(b"", *fields, status="304 Not Modified").replace(
                b"Content-Length: 0\r\n", b"")
        return answer(b"%d" % count, *fields)


numbered = Numbered()


@once
def origin():
    return Origin(numbered)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port)


def fetch(way, path, *fields, host=None):
    """The content that a client gets: how often the origin was asked."""
    response = ask(proxy().address(way.listener),
                   get(way.target(origin(), path), *fields, host=host or way.host(origin())))
    equal(response.status, 200, f"status of {path}")
    return response.body


def purge(way, path, *fields, status=200, source=None):
    with Client(proxy().address(way.listener), source=source) as client:
        response = client.ask(get(way.target(origin(), path), *fields, host=way.host(origin()),
                                  method="PURGE"), "PURGE")
    equal(response.status, status, f"status of PURGE {path}")
    return json.loads(response.body) if status == 200 else response


def url(path):
    """How clients of both listeners call it."""
    return f"http://127.0.0.1:{origin().port}{path}"


def command(*words, status=0):
    done = subprocess.run([program(), *words, "-c", proxy().conf_path], capture_output=True,
                          text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
    equal(done.returncode, status, f"exit status of {' '.join(words)} ({done.stderr.strip()})")
    return done.stdout + done.stderr


def stored(way, *paths):
    """Brings them into the store."""
    for path in paths:
        equal(fetch(way, path), b"1", f"first answer for {path}")
        equal(fetch(way, path), b"1", f"second answer for {path}")


def both(promise, **more):
    """Makes a function a test in each mode."""
    def add(function):
        for way in WAYS:
            test(f"{way.name}: {promise}", **more)(lambda way=way: function(way, f"/{way.name}"))
        return function
    return add


# ---- the method


@both("PURGE makes the URL forgotten, and no other")
def _(way, at):
    stored(way, f"{at}/one", f"{at}/two", f"{at}/one?q")
    told = purge(way, f"{at}/one")
    equal(told, {"purged": "url", "soft": False, "what": url(f"{at}/one")}, "answer")
    equal(fetch(way, f"{at}/one"), b"2", "what was purged")
    equal(fetch(way, f"{at}/two"), b"1", "another path")
    equal(fetch(way, f"{at}/one?q"), b"1", "another query")


for each_front in FRONTS:
    @test(f"PURGE works by all ways in ({each_front})")
    def _(front=each_front):
        path = f"/front/{front.way.name}/{front.protocol}"
        equal([front.ask(proxy(), origin().port, path).body for _ in range(2)], [b"1"] * 2,
              "what is stored")
        equal(front.ask(proxy(), origin().port, path, method="PURGE").status, 200, "status")
        equal(front.ask(proxy(), origin().port, path).body, b"2", "after the purge")


@both("PURGE reaches all variants of a URL")
def _(way, at):
    for coding in ("gzip", "br"):
        fetch(way, f"{at}/vary", f"Accept-Encoding: {coding}")
    equal(fetch(way, f"{at}/vary", "Accept-Encoding: gzip"), b"1", "stored variant")
    equal(fetch(way, f"{at}/vary", "Accept-Encoding: br"), b"2", "another stored variant")
    purge(way, f"{at}/vary")
    equal(fetch(way, f"{at}/vary", "Accept-Encoding: gzip"), b"3", "after the purge")
    equal(fetch(way, f"{at}/vary", "Accept-Encoding: br"), b"4", "another after the purge")


@both("who is not in purge_from may not PURGE")
def _(way, at):
    stored(way, f"{at}/kept")
    before = proxy().metrics()["bascule_requests_denied_total"]
    response = purge(way, f"{at}/kept", status=403, source="127.0.0.2")
    check(b"purge" in response.body, f"said {response.body!r}")
    equal(fetch(way, f"{at}/kept"), b"1", "what was not purged")
    becomes(lambda: proxy().metrics()["bascule_requests_denied_total"] - before, 1,
            "refusals counted")


@test("reverse: nobody may PURGE a cached site without purge_from")
def _():
    response = ask(proxy().address("web"), get("/", host="other.test", method="PURGE"), "PURGE")
    equal(response.status, 403, "status")


@test("reverse: where nothing is cached PURGE is passed on")
def _():
    way = WAYS[0]
    response = ask(proxy().address("web"), get("/plain", method="PURGE"), "PURGE")
    equal(response.status, 200, "status")
    equal(origin().wait_request("/plain").method, "PURGE", "method at the origin")
    equal(fetch(way, "/plain"), b"2", "another answer")


@both("PURGE with Cache-Tag makes all forgotten that has one of the tags")
def _(way, at):
    red, blue, both_tags = f"{at}/t1?tags=red", f"{at}/t2?tags=blue", f"{at}/t3?tags=blue,red"
    stored(way, red, blue, both_tags, f"{at}/t4?tags=redder")
    told = purge(way, at, "Cache-Tag: red, green")
    equal((told["purged"], told["what"]), ("tag", "red, green"), "answer")
    equal(fetch(way, red), b"2", "what has the tag")
    equal(fetch(way, both_tags), b"2", "what has the tag beside another")
    equal(fetch(way, blue), b"1", "what has not")
    equal(fetch(way, f"{at}/t4?tags=redder"), b"1", "what has a longer tag")


@both("PURGE with Surrogate-Key does the same")
def _(way, at):
    stored(way, f"{at}/k1?tags=k1", f"{at}/k2?tags=k2", f"{at}/k3?tags=k3")
    purge(way, at, "Surrogate-Key: k1 k2")
    equal([fetch(way, f"{at}/k{n}?tags=k{n}") for n in (1, 2, 3)], [b"2", b"2", b"1"], "answers")


@test("tags are of one site")
def _():
    reverse, forward = WAYS
    stored(reverse, "/mine?tags=shared")
    stored(forward, "/theirs?tags=shared")
    purge(reverse, "/", "Cache-Tag: shared")
    equal(fetch(reverse, "/mine?tags=shared"), b"2", "of the site")
    equal(fetch(forward, "/theirs?tags=shared"), b"1", "of the forward listener")


@both("PURGE with Purge-Kind: prefix makes all forgotten that begins like this")
def _(way, at):
    stored(way, f"{at}/p/a", f"{at}/p/b?c", f"{at}/pq")
    equal(purge(way, f"{at}/p/", "Purge-Kind: prefix")["purged"], "prefix", "answer")
    equal(fetch(way, f"{at}/p/a"), b"2", "a path below")
    equal(fetch(way, f"{at}/p/b?c"), b"2", "another with a query")
    equal(fetch(way, f"{at}/pq"), b"1", "a path beside")


@both("PURGE with Purge-Kind: site makes everything of the site forgotten, and nothing else")
def _(way, at):
    other = WAYS[1 - WAYS.index(way)]
    stored(way, f"{at}/site")
    stored(other, f"{at}/elsewhere")
    told = purge(way, "/", "Purge-Kind: site")
    equal(told["what"], "www" if way.name == "reverse" else "out", "name")
    equal(fetch(way, f"{at}/site"), b"2", "what is of the site")
    equal(fetch(other, f"{at}/elsewhere"), b"1", "what is not")


@both("a soft PURGE makes it stale: it is validated, and stands in for an origin that is down")
def _(way, at):
    for n, field in enumerate(("Purge-Soft: 1", "Fastly-Soft-Purge: 1")):
        stored(way, f"{at}/soft{n}")
        equal(purge(way, f"{at}/soft{n}", field)["soft"], True, "answer")
        equal(fetch(way, f"{at}/soft{n}"), b"1", "after it was validated")
        check(origin().seen(f"{at}/soft{n}")[-1].has("If-None-Match"), "it was not validated")
        purge(way, f"{at}/soft{n}", field)
        numbered.is_down = True
        try:
            equal(fetch(way, f"{at}/soft{n}"), b"1", "while the origin is down")
        finally:
            numbered.is_down = False


@both("a PURGE that means nothing is refused")
def _(way, at):
    purge(way, at, "Purge-Kind: everything", status=400)
    purge(way, at, "Cache-Tag: ,", status=400)
    purge(way, at, "Cache-Tag: " + ",".join(f"t{n}" for n in range(300)), status=400)


@test("PURGE reaches what is stored for the URL by rules on its query")
def _():
    way = WAYS[0]
    paths = [f"/tracked?a=1{more}" for more in ("&utm_source=x", "&utm_source=y", "")]
    fetched = lambda: {fetch(way, path) for path in paths}
    before = fetched()
    equal(len(before), 1, "answers that are the same by the rules")
    purge(way, "/tracked?a=1")
    after = fetched()
    equal((len(after), after & before), (1, set()), "after the method")
    command("purge", url("/tracked?utm_medium=z&a=1"))
    equal(fetched() & (before | after), set(), "after the command")


@both("who asks after a PURGE is not given what was being fetched before")
def _(way, at):
    begun, released = threading.Event(), threading.Event()
    path = f"{at}/slow"
    answers = []

    def slow(request, link):
        if not begun.is_set():
            begun.set()
            check(released.wait(WAIT), "it was never released")
            return answer(b"old", "Cache-Control: max-age=600")
        return answer(b"new", "Cache-Control: max-age=600")

    origin().on(path, slow)
    first = threading.Thread(target=lambda: answers.append(fetch(way, path)))
    first.start()
    check(begun.wait(WAIT), "the origin was never asked")
    purge(way, path)
    second = threading.Thread(target=lambda: answers.append(fetch(way, path)))
    second.start()
    released.set()
    first.join(WAIT)
    second.join(WAIT)
    check(b"new" in answers, f"answers are {answers}")
    equal(fetch(way, path), b"new", "what is stored")


@both("a client that goes while its PURGE is written down does not stop it")
def _(way, at):
    stored(way, f"{at}/gone")
    while True:  # at most until the test's time is over: some are gone before they are read
        client = Client(proxy().address(way.listener))
        client.send(get(way.target(origin(), f"{at}/gone"), host=way.host(origin()),
                        method="PURGE"))
        client.reset()
        if fetch(way, f"{at}/gone") == b"2":
            break


# ---- the command


@both("bascule purge URL makes the URL forgotten")
def _(way, at):
    stored(way, f"{at}/c/one", f"{at}/c/two")
    told = command("purge", url(f"{at}/c/one").replace("http", "HTTP"))
    check(told.startswith("purged: url "), f"said {told!r}")
    equal(fetch(way, f"{at}/c/one"), b"2", "what was purged")
    equal(fetch(way, f"{at}/c/two"), b"1", "what was not")


@both("bascule purge --prefix, --tag and --site do what they say")
def _(way, at):
    name = "www" if way.name == "reverse" else "out"
    paths = [f"{at}/d/1?tags=d", f"{at}/d/2", f"{at}/e/1?tags=d"]
    stored(way, *paths)
    command("purge", "--prefix", url(f"{at}/d/"))
    equal([fetch(way, path) for path in paths], [b"2", b"2", b"1"], "after the prefix")
    command("purge", "--tag", name, "d")
    equal([fetch(way, path) for path in paths], [b"3", b"2", b"2"], "after the tag")
    command("purge", "--site", name)
    equal([fetch(way, path) for path in paths], [b"4", b"3", b"3"], "after the site")


@both("bascule purge --soft makes it stale")
def _(way, at):
    stored(way, f"{at}/f")
    command("purge", "--soft", url(f"{at}/f"))
    equal(fetch(way, f"{at}/f"), b"1", "after it was validated")
    check(origin().seen(f"{at}/f")[-1].has("If-None-Match"), "it was not validated")


@test("bascule purge --store leaves other stores alone")
def _():
    way = WAYS[0]
    stored(way, "/tracked/store", "/store")
    command("purge", "--store", "main", "--site", "www")
    equal(fetch(way, "/tracked/store"), b"1", "in the other store")
    equal(fetch(way, "/store"), b"2", "in this one")


@test("bascule purge says what is wrong with what it is given")
def _():
    check("www" in command("purge", "--site", "ww", status=1), "no hint at the site")
    check("main" in command("purge", "--store", "mian", url("/"), status=1), "no hint at the store")
    check("not a URL" in command("purge", "/path", status=1), "a path was taken")
    check("ftp" in command("purge", "ftp://site.test/", status=1), "another scheme was taken")
    check("TAG" in command("purge", "--tag", "www", status=1), "a tag without a site was taken")
    check("control" in command("purge", "http://a.test/\n", status=1), "a line feed was taken")
    command("purge", "--tag", "--site", "www", status=1)
    command("purge", status=1)


# ---- durability


def stored_in(daemon, path):
    """Asks until it comes from the store, and is on disk."""
    response = ask(daemon.address("web"), get(path))
    while "hit" not in (response.get("Cache-Status") or ""):
        response = ask(daemon.address("web"), get(path))
    while "disk" not in daemon.command("cache", "get", "http://site.test" + path):
        pass
    return response.body


def loaded(daemon):
    """Waits until the index is there."""
    while json.loads(daemon.command("cache", "--json"))["stores"][0]["state"] != "ready":
        pass


DURABLE = {
    "PURGE": lambda daemon, path: equal(
        ask(daemon.address("web"), get(path, method="PURGE"), "PURGE").status, 200, "status"),
    "PURGE of a tag": lambda daemon, path: equal(
        ask(daemon.address("web"), get("/", "Cache-Tag: durable", method="PURGE"),
            "PURGE").status, 200, "status"),
    "bascule purge": lambda daemon, path: daemon.command("purge", "http://site.test" + path),
    "bascule purge --prefix": lambda daemon, path: daemon.command("purge", "--prefix",
                                                                  "http://site.test/dur"),
    "bascule purge --site": lambda daemon, path: daemon.command("purge", "--site", "www"),
}


def survives(name, kill):
    for words, carry_out in DURABLE.items():
        @test(f"{words} survives kill -9 of {name} right after it was acknowledged")
        def _(words=words, carry_out=carry_out):
            with contextlib.closing(Origin(Numbered())) as source, \
                    Daemon(CONF, ORIGIN=source.port) as daemon:
                path = "/durable?tags=durable"
                loaded(daemon)
                equal(stored_in(daemon, path), b"1", "what is stored")
                equal(stored_in(daemon, "/other"), b"1", "what else is stored")
                carry_out(daemon, path)
                kill(daemon)
                loaded(daemon)
                equal(ask(daemon.address("web"), get(path)).body, b"2", "after the crash")
                kept = ask(daemon.address("web"), get("/other"))
                if "--site" not in words:
                    equal(kept.body, b"1", "what was not purged")


def kill_worker(daemon):
    daemon.may_restart = True
    worker = daemon.children()[0]
    os.kill(worker, signal.SIGKILL)
    daemon.wait_log(rf"worker process {worker} was killed")


def kill_daemon(daemon):
    daemon.kill_at_once()
    daemon.start_again()


survives("the worker process", kill_worker)
survives("the daemon", kill_daemon)


# ---- what a purge has to reach


WEB = FRONTS[0]


def visit(path, *fields, **more):
    return WEB.ask(proxy(), 0, path, *fields, host=REVERSE.host(origin()), **more)


@test("what was asked for before a purge is not stored after it, by whatever way it comes")
def _():
    it = Page(origin(), "Cache-Control: max-age=60")
    it.hold()
    with WEB.open(proxy()) as client:
        client.start(0, it.path, "Range: bytes=5000000-")  # goes alone, and is given the whole
        it.wait_count(1)
        equal(visit(it.path, method="PURGE").status, 200, "of PURGE")
        it.go()
        client.stream.read("GET")
    is_forwarded(visit(it.path), "uri-miss", b"number 2")


@test("what has more tags than can be remembered is not stored: no purge could reach it by all")
def _():
    for count, is_stored in ((126, True), (127, False)):
        it = Page(origin(), "Cache-Control: max-age=60",
                  "Cache-Tag: " + ",".join(f"t{i}" for i in range(count)))
        visit(it.path)
        equal("hit" in outcome(visit(it.path)), is_stored, f"with {count} tags")
        visit("/", f"Cache-Tag: t{count - 1}", method="PURGE")
        check("hit" not in outcome(visit(it.path)), "after a purge by the last")


main()
