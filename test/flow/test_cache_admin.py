# SPDX-License-Identifier: BSD-2-Clause
"""What operators are told of the cache: bascule cache, status and metrics (cache/cache_page.c,
cache/cache_metrics.c, cache/traffic.c), bascule cache get (modes/cache_get.c)."""

import json
import threading

from bascule_flow import (FORWARD, REVERSE, WAIT, WAYS, Daemon, Origin, answer, ask, check, equal,
                          get, main, once, post, test)
from peers import becomes, until

CONF = """
workers = 2;
forward_to_sites = false; # what is asked of "out" goes out
stores = (
    { name = "main"; memory = "8M"; path = "@DIR@/store"; disk = "64M"; segment = "4M";
      min_free = "0"; },
    { name = "quick"; memory = "4M"; max_memory_object = "64K"; }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; cache = "quick"; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); }
);
sites = (
    { name = "www"; default = true; group = "origin"; cache = "main";
      routes = (
        { path_prefix = "/app"; strip_prefix = "/app"; group = "origin"; },
        { path_prefix = "/plain"; group = "origin"; cache = "off"; }
      ); },
    { name = "named"; hosts = [ "named.test" ]; host = "inside.test"; group = "origin";
      cache = "quick"; },
    { name = "sliced"; hosts = [ "sliced.test" ]; group = "origin";
      cache = { store = "quick"; slice = "65500"; }; },
    { name = "open"; hosts = [ "open.test" ]; group = "origin"; }
);
@MORE@
"""

BODY = b"x" * 1000


def answers(request, _link):
    """Fresh for ten minutes; "/old" is to be validated, "/vary" has variants."""
    fields = ["Cache-Control: " + ("no-cache" if "old" in request.target else "max-age=600"),
              'ETag: "e"', "Cache-Tag: a, b"]
    if "vary" in request.target:
        fields.append("Vary: Accept-Encoding, Accept-Language")
    if request.has("If-None-Match"):
        return answer(b"", *fields, status="304 Not Modified").replace(
            b"Content-Length: 0\r\n", b"")
    return answer(BODY, *fields)


@once
def origin():
    return Origin(answers)


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, MORE="")


def fetch(way, path, *fields, host=None, of=None, **more):
    response = ask((of or proxy()).address(way.listener),
                   get(way.target(origin(), path), *fields, host=host or way.host(origin()),
                       **more), more.get("method", "GET"))
    equal(response.status, 200, f"status of {path}")
    return response


def page(of=None):
    return json.loads((of or proxy()).command("cache", "--json"))


def url(path):
    return f"http://127.0.0.1:{origin().port}{path}"


def entry(address, *words, of=None):
    return json.loads((of or proxy()).command("cache", "get", address, "--json", *words))


def on_disk(address, of):
    """Waits until all that is stored under the URL is on disk."""
    until(lambda: all("disk" in each["where"] for each in entry(address, of=of)["objects"]),
          f"{address} is on disk")


def grown(after, before, *path):
    """By how much a number of the page has grown."""
    for step in path:
        after, before = after[step], before[step]
    return after - before


def site(of_page, name):
    return next(each["traffic"] for each in of_page["sites"] if each["name"] == name)


# ---- numbers


for each_way in WAYS:
    @test(f"{each_way.name}: hits, misses, validated and passed requests are counted with their "
          "bytes, by mode and by site")
    def _(way=each_way):
        before, metrics = page(), proxy().metrics()
        for _ in range(3):
            fetch(way, f"/{way.name}/fresh")
            fetch(way, f"/{way.name}/old")
        ask(proxy().address(way.listener),
            post(way.target(origin(), f"/{way.name}/post"), b"content",
                 host=way.host(origin())), "POST")
        name = "www" if way.name == "reverse" else "out"
        wanted = {"hit": (2, 2000), "validated": (2, 2000), "miss": (2, 2000), "pass": (1, 1000),
                  "stale": (0, 0), "joined": (0, 0)}

        def all_grown():
            after = page()
            return [{kind: (grown(now, then, kind, "requests"), grown(now, then, kind, "bytes"))
                     for kind in wanted}
                    for now, then in ((after["modes"][way.name], before["modes"][way.name]),
                                      (site(after, name), site(before, name)))]

        becomes(all_grown, [wanted, wanted], "growth of the mode and of the site")
        now = proxy().metrics()
        equal(now["bascule_cache_misses_total"] - metrics["bascule_cache_misses_total"], 4,
              "bascule_cache_misses_total")
        for labels in (f'{{mode="{way.name}",result="hit"}}',):
            equal(now["bascule_cache_requests_total" + labels] -
                  metrics["bascule_cache_requests_total" + labels], 2, f"hits {labels}")
        labels = f'{{site="{name}",mode="{way.name}",result="pass"}}'
        equal(now["bascule_cache_site_bytes_total" + labels], site(page(), name)["pass"]["bytes"],
              "metric of the site")


@test("who joins a fetch, and who gets a stale answer, is counted as such")
def _():
    begun, released = threading.Event(), threading.Event()
    before = page()

    def slow(request, link):
        begun.set()
        check(released.wait(WAIT), "it was never released")
        return answer(BODY, "Cache-Control: max-age=600")

    origin().on("/joined", slow)
    threads = [threading.Thread(target=fetch, args=(REVERSE, "/joined")) for _ in range(3)]
    for each in threads:
        each.start()
    check(begun.wait(WAIT), "the origin was never asked")
    until(lambda: proxy().metrics()["bascule_cache_collapsed_total"] >= 2, "two wait")
    released.set()
    for each in threads:
        each.join(WAIT)
    origin().on("/joined", answer(b"", status="503 Service Unavailable"))
    proxy().command("purge", "--soft", url("/joined"))
    fetch(REVERSE, "/joined")

    def numbers():
        after = page()
        return {kind: grown(site(after, "www"), site(before, "www"), kind, "requests")
                for kind in ("joined", "miss", "stale", "hit")}

    becomes(numbers, {"joined": 2, "miss": 1, "stale": 1, "hit": 0}, "requests")


@test("a site that is not cached has no numbers, nor has a route that is not")
def _():
    before = page()
    fetch(REVERSE, "/plain")
    fetch(REVERSE, "/", host="open.test")
    after = page()
    equal(after["modes"], before["modes"], "numbers of the modes")
    check("open" not in [each["name"] for each in after["sites"]], "it has numbers")


@test("the page of people shows stores, modes and sites")
def _():
    fetch(REVERSE, "/shown")
    text = proxy().command("cache")
    for words in ("main: ", "quick: in memory only", "8.0 MB", "64.0 MB", "reverse", "forward",
                  "www", "out", "%"):
        check(words in text, f"nothing on {words!r} in {text}")
    check("\ncache " in proxy().command("status"), "nothing in status")
    becomes(lambda: proxy().status()["cache"] == page()["modes"], True, "status --json is the same")


@test("objects and bytes of stores are told, also as metrics")
def _():
    fetch(REVERSE, "/stored")
    on_disk(url("/stored"), proxy())
    main_store, quick = page()["stores"]
    check(main_store["memory"]["objects"] > 0 and main_store["memory"]["bytes"] > len(BODY),
          f"memory is {main_store['memory']}")
    check(main_store["disk"]["objects"] > 0 and main_store["disk"]["segments"] > 0,
          f"disk is {main_store['disk']}")
    equal((main_store["state"], quick["state"]), ("ready", "memory"), "states")
    metrics = proxy().metrics()
    equal(metrics['bascule_store_memory_max_bytes{store="quick"}'], 4 << 20, "limit")
    equal(metrics['bascule_store_disk_ready{store="main"}'], 1, "bascule_store_disk_ready")
    check('bascule_store_disk_ready{store="quick"}' not in metrics, "it has no disk")


@test("numbers survive a reload, and those of a site that goes stay in its mode's")
def _():
    more = CONF.replace('{ name = "open"', """{ name = "brief"; hosts = [ "brief.test" ];
        group = "origin"; cache = "quick"; }, { name = "open\"""")
    with Daemon(more, ORIGIN=origin().port, MORE="") as daemon:
        fetch(REVERSE, "/a", of=daemon)
        fetch(REVERSE, "/b", of=daemon, host="brief.test")
        becomes(lambda: [site(page(daemon), name)["requests"] for name in ("www", "brief")], [1, 1],
                "requests of the sites")
        before = page(daemon)
        daemon.reload()
        equal((page(daemon)["modes"], page(daemon)["sites"]), (before["modes"], before["sites"]),
              "after a reload")
        daemon.reload(CONF)
        until(lambda: not any("brief" in str(each) for each in page(daemon)["sites"]),
              "the site is gone")
        fetch(REVERSE, "/c", of=daemon, host="named.test")
        becomes(lambda: page(daemon)["modes"]["reverse"]["requests"], 3, "requests of the mode")
        equal(site(page(daemon), "www")["requests"], 1, "requests of the other site")


@test("without stores bascule cache says that nothing is cached")
def _():
    conf = """listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
              sites = ( { name = "all"; default = true; welcome = true; } );"""
    with Daemon(conf) as daemon:
        check("nothing is cached" in daemon.command("cache"), "it says something else")
        equal(page(daemon)["stores"], [], "stores")
        daemon.command("cache", "get", "http://a.test/")
        daemon.command("purge", "http://a.test/", status=1)
        check("bascule_cache_requests_total" not in "".join(daemon.metrics()), "it has metrics")


# ---- one entry


for each_way in WAYS:
    @test(f"{each_way.name}: bascule cache get tells where an object is and what would "
          "become of it")
    def _(way=each_way):
        path = f"/{way.name}/get"
        fetch(way, path)
        fetch(way, path)
        found = entry(url(path))
        equal(len(found["objects"]), 1, "objects")
        told = found["objects"][0]
        check("memory" in told["where"], f"it is in {told['where']}")
        wanted = {"kind": "response", "status": 200, "served": "yes", "fresh_s": 600,
                  "bytes": len(BODY), "purged": "no", "tags": 4, "etag": '"e"',
                  "store": "main" if way.name == "reverse" else "quick",
                  "site": "www" if way.name == "reverse" else "out"}
        equal({name: told[name] for name in wanted}, wanted, "what is told")
        check(590 <= told["left_s"] <= 600 and told["age_s"] <= 10, f"ages are {told}")
        text = proxy().command("cache", "get", url(path))
        check("served      yes" in text and url(path) in text, f"people are told {text!r}")


@test("what has to be validated, what was purged and what was purged softly is told as such")
def _():
    fetch(REVERSE, "/old/1")
    check("no-cache" in entry(url("/old/1"))["objects"][0]["served"], "no-cache is not told")
    fetch(REVERSE, "/entry/1")
    proxy().command("purge", "--soft", url("/entry/1"))
    told = entry(url("/entry/1"))["objects"][0]
    equal((told["purged"], told["served"]),
          ("softly", "after asking the origin; stale when that fails"), "softly purged")
    proxy().command("purge", url("/entry/1"))
    objects = entry(url("/entry/1"))["objects"]
    check(all(each["served"] == "no: it was purged" for each in objects), f"{objects}")


@test("variants are told by the request fields given, and by common codings")
def _():
    fetch(REVERSE, "/vary", "Accept-Encoding: gzip", "Accept-Language: en")
    fetch(REVERSE, "/vary", "Accept-Encoding: br", "Accept-Language: en")
    fetch(REVERSE, "/vary", "Accept-Encoding: gzip")
    kinds = lambda *words: [each["kind"] for each in entry(url("/vary"), *words)["objects"]]
    equal(kinds()[1:], ["response"], "without a language")
    equal(kinds("--field", "Accept-Language: en")[1:], ["response"] * 2, "with one")
    equal(kinds("--field", "Accept-Language: en", "--field", "accept-encoding: br")[1:],
          ["response"], "with a coding")
    equal(kinds("--field", "Accept-Language: de")[1:], [], "with another language")
    equal(entry(url("/vary"))["objects"][0]["vary"], "accept-encoding,accept-language", "names")


@test("of long content in slices it is told how many of them there are")
def _():
    origin().on("/film", lambda request, link: answer(
        BODY[:100] * 655, 'ETag: "f"', "Cache-Control: max-age=600",
        f"Content-Range: bytes {request.get('Range').partition('=')[2]}/1000000",
        status="206 Partial Content"))
    ask(proxy().address("web"), get("/film", "Range: bytes=0-10", host="sliced.test"))
    found = entry("http://sliced.test/film")["objects"]
    check(len(found) == 1 and found[0]["slices"] >= 1 and found[0]["whole_bytes"] == 1000000,
          f"found {found}")


@test("entries of sites with rewritten paths and hosts are found")
def _():
    fetch(REVERSE, "/app/page")
    equal(entry(url("/app/page"))["objects"][0]["key_url"], url("/page"), "key")
    fetch(REVERSE, "/page", host="named.test")
    told = entry("http://named.test/page")["objects"][0]
    equal((told["site"], told["store"]), ("named", "quick"), "place")


@test("where nothing is stored, the places that were looked at are told")
def _():
    found = entry(url("/nothing"))
    equal((found["objects"], sorted(each["store"] for each in found["places"])),
          ([], ["main", "quick"]), "what is told")
    check("nothing in store main" in proxy().command("cache", "get", url("/nothing")), "words")
    proxy().command("cache", "get", "nothing", status=1)
    proxy().command("cache", "get", url("/"), "--field", "no colon", status=1)
    proxy().command("cache", "put", url("/"), status=1)


@test("entries that are on disk only are read from there")
def _():
    with Daemon(CONF, ORIGIN=origin().port, MORE="") as daemon:
        fetch(REVERSE, "/kept", of=daemon)
        fetch(REVERSE, "/kept/vary", "Accept-Encoding: gzip", of=daemon)
        on_disk(url("/kept"), daemon)
        on_disk(url("/kept/vary"), daemon)
        equal(daemon.stop(), 0, "exit status")
        daemon.start_again()
        until(lambda: page(daemon)["stores"][0]["state"] == "ready", "the disk is ready")
        told = entry(url("/kept"), of=daemon)["objects"][0]
        equal((told["where"], told["bytes"], told["served"]), ("disk", len(BODY), "yes"), "entry")
        told = entry(url("/kept/vary"), of=daemon)["objects"]
        equal([each["where"] for each in told], ["disk", "disk"], "variants")
        response = fetch(REVERSE, "/kept", of=daemon)
        check("hit" in response.get("Cache-Status"), "it was not found by a client")


main()
