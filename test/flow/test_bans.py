# SPDX-License-Identifier: BSD-2-Clause
"""Bans: who fails too often, or is named by hand, is kept out for a time (filter bans)."""

import base64
import itertools
import json
import os
import re
import subprocess
import time

from bascule_flow import (WAIT, Client, Daemon, Origin, answer, ask, check, equal, get, main, once,
                          program, test)
from caching import FRONTS, test_fronts, unique
from judging import STAFF, Staff
from peers import until

CONF = """
workers = 2;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
limits = ( { name = "few"; key = "header:X-Limited"; rate = "1/1h"; } );
bans = (
    { name = "who"; key = "header:X-Who"; threshold = 3; time = "1h";
      save = "@DIR@/saved/who.json"; @NEVER@ },
    { name = "quick"; key = "header:X-Quick"; threshold = 1; time = "1s"; @NEVER@ },
    { name = "drop"; key = "header:X-Drop"; threshold = 1; @NEVER@ },
    { name = "tar"; key = "header:X-Tar"; threshold = 1; @NEVER@ },
    { name = "trial"; key = "header:X-Trial"; threshold = 1; @NEVER@ },
    { name = "limited"; key = "header:X-Limited"; threshold = 2; @NEVER@ },
    { name = "clients"; threshold = 2; never = [ "192.0.2.0/24", "127.0.0.1" ]; },
    { name = "exempt"; key = "header:X-Exempt"; threshold = 1; }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; filters = @FILTERS@; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; filters = @FILTERS@; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; } );
"""
NEVER = 'never = "192.0.2.0/24";'  # and not loopback, where all the clients here are
FILTERS = """(
    { filter = "bans"; table = "who"; count = [ "401", "404" ]; },
    { filter = "bans"; table = "quick"; count = "4xx"; },
    { filter = "bans"; table = "drop"; count = "4xx"; action = "drop"; },
    { filter = "bans"; table = "tar"; count = "4xx"; action = "tarpit"; delay = "@DELAY@";
      max_delayed = 1; },
    { filter = "bans"; table = "trial"; count = "4xx"; log_only = true; },
    { filter = "bans"; table = "clients"; count = "bad_request"; },
    { filter = "bans"; table = "exempt"; count = "4xx"; },
    { filter = "bans"; table = "limited"; },
    { filter = "rate_limit"; limit = "few"; ban = "limited"; }
)"""
# Whoever asks is asked for a password first; then filters are run.
GUARDED = STAFF + """
workers = 1;
bans = ( { name = "guess"; threshold = 2; @NEVER@ } );
policies = ( { name = "who"; users = "staff"; rules = ( { action = "authenticate"; } ); } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "who";
      filters = ( { filter = "bans"; table = "guess"; count = [ "401", "407" ]; } ); },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "who";
      allow_destination = [ "127.0.0.0/8" ];
      filters = ( { filter = "bans"; table = "guess"; count = [ "401", "407" ]; } ); }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; } );
"""

PAGE, MISSING = unique(), unique()

_keys = itertools.count(1)


@once
def origin():
    made = Origin()
    made.on(PAGE, answer(b"page"))
    made.on(MISSING, answer(b"", status="404 Not Found"))
    return made


def start(delay="20ms"):
    daemon = Daemon(CONF, ORIGIN=origin().port, NEVER=NEVER,
                    FILTERS=FILTERS.replace("@DELAY@", delay))
    os.mkdir(daemon.path("saved"))
    os.chmod(daemon.path("saved"), 0o777)  # whoever the worker process runs as
    return daemon


proxy = once(start)


def key(name):
    value = f"k{next(_keys)}"
    return value, f"X-{name}: {value}"


def get_page(front, field, daemon=None):
    return front.ask(daemon or proxy(), origin().port, PAGE, field).status


def get_missing(front, field, daemon=None):
    return front.ask(daemon or proxy(), origin().port, MISSING, field).status


def events(event, daemon=None):
    return (daemon or proxy()).metrics().get(
        f'bascule_filter_events_total{{filter="bans",event="{event}"}}', 0)


def listed(table, daemon=None):
    lines = (daemon or proxy()).command("ban", "list", "--table", table, "--json").splitlines()
    return {line["key"]: line for line in map(json.loads, lines)}


def explain(daemon, front, *words):
    """What the running daemon says, who knows of bans."""
    return subprocess.run([program(), "explain", "--control", daemon.path("control"),
                           "--listener", front.way.listener, *words], capture_output=True,
                          text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=True).stdout


def ban(front, table, daemon=None):
    """The field of somebody who has got banned."""
    who, field = key(table)
    get_missing(front, field, daemon)
    until(lambda: who in listed(table.lower(), daemon), "it is not banned")
    return field


# ---- failures


@test_fronts("who fails too often is kept out; others are not")
def _(front):
    who, field = key("Who")
    equal([get_missing(front, field) for _ in range(3)], [404] * 3, "failures")
    until(lambda: get_page(front, field) == 403, "it is not banned")
    with front.open(proxy()) as asker:
        response = asker.ask(origin().port, PAGE, field)
        check(response.status == 403 and b"blocked" in response.body, "the page")
    equal(get_page(front, key("Who")[1]), 200, "somebody else")
    found = listed("who")[who]
    equal((found["times"], found["cause"]), (1, "status 404"), "what is told of it")
    check(3500 < found["until"] - found["since"] <= 3601, "how long")


@test_fronts("successes and few failures do no harm")
def _(front):
    _, field = key("Who")
    found = [get_missing(front, field) for _ in range(2)] + [get_page(front, field)
                                                             for _ in range(5)]
    equal(found, [404, 404] + [200] * 5, "status")


@test("a ban ends with its time, and the next one is longer", timely=True)
def _():
    front = FRONTS[0]
    quick, field = key("Quick")
    equal(get_missing(front, field), 404, "the failure")
    until(lambda: get_page(front, field) == 403, "it is not banned")
    until(lambda: get_page(front, field) == 200, "it is banned for good")
    get_missing(front, field)
    until(lambda: quick in listed("quick"), "it is not banned again")
    found = listed("quick")[quick]
    equal((found["times"], found["until"] - found["since"] >= 2), (2, True), "times, length")


@test_fronts("rejections of a limit can ban")
def _(front):
    _, field = key("Limited")
    equal([get_page(front, field) for _ in range(4)], [200, 429, 429, 403], "status")


@test("malformed requests count, and clients are known by their address")
def _():
    def malformed():
        with Client(proxy().address("web"), source="127.0.0.7") as client:
            client.try_send(b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n")
            return client.read().status

    def fine(source):
        with Client(proxy().address("web"), source=source) as client:
            return client.ask(get(PAGE)).status

    equal([malformed(), malformed()], [400, 400], "status")
    until(lambda: fine("127.0.0.7") == 403, "it is not banned")
    equal((fine("127.0.0.8"), fine("127.0.0.1")), (200, 200), "others")
    proxy().command("ban", "remove", "127.0.0.7", "--table", "clients")
    equal(fine("127.0.0.7"), 200, "after it was lifted")


@test("loopback is exempt if nothing else is said, whatever the key")
def _():
    front = FRONTS[0]
    _, field = key("Exempt")
    equal([get_missing(front, field) for _ in range(4)] + [get_page(front, field)],
          [404] * 4 + [200], "status")


@test_fronts("who is banned does not learn which passwords are right")
def _(front):
    name = "Proxy-Authorization" if front.way.listener == "out" else "Authorization"

    def status(password):
        word = base64.b64encode(f"ann:{password}".encode()).decode()
        return front.ask(daemon, origin().port, PAGE, f"{name}: Basic {word}").status

    with Staff(GUARDED, ORIGIN=origin().port, NEVER=NEVER) as daemon:
        equal([status("ann")] + [status("wrong") in (401, 407) for _ in range(2)],
              [200, True, True], "status")
        until(lambda: status("wrong") == 403, "it is not banned")
        equal([status("ann"), status("wrong")], [403, 403], "status of who is banned")
        said = explain(daemon, front, "GET", f"http://127.0.0.1:{origin().port}{PAGE}")
        check(said.startswith("DENIED with 403 Forbidden: banned by guess"), f"explained: {said}")


# ---- what is done


@test_fronts("drop: no answer, and nothing reaches the origin")
def _(front):
    field = ban(front, "Drop")
    path = unique()
    before = events("dropped")
    with front.open(proxy()) as asker:
        stream = asker.start(origin().port, path, field)
        if stream is None:
            equal(asker.stream.rest(), b"", "what came")
        else:
            asker.stream.reset_of(stream)
    equal((events("dropped") - before, origin().seen(path)), (1, []), "dropped, seen")


@test_fronts("tarpit: the answer takes a while")
def _(front):
    field = ban(front, "Tar")
    before = events("tarpitted")
    begun = time.monotonic()
    equal(get_page(front, field), 403, "the answer")
    check(time.monotonic() - begun >= 0.019, "it does not wait")
    equal(events("tarpitted") - before, 1, "how many waited")


@test("in the tarpit are so many at a time, and who leaves it makes room")
def _():
    with start("1h") as daemon:
        for front in FRONTS[:2]:
            field = ban(front, "Tar", daemon)
            for _ in range(2):
                before = events("tarpitted", daemon)
                with front.open(daemon) as asker:
                    asker.start(origin().port, PAGE, field)
                    until(lambda before=before: events("tarpitted", daemon) == before + 1,
                          "it does not wait")
                    equal(get_page(front, field, daemon), 403, "the next one, at once")
                    equal(events("tarpitted", daemon), before + 1, "how many wait")
                    asker.reset()
                until(lambda: daemon.metrics()["bascule_exchanges_open"] == 0, "it has left")


@test("who is in the tarpit does not keep the process from stopping")
def _():
    with start("1h") as daemon:
        daemon.command("ban", "add", "x", "--table", "tar")
        with Client(daemon.address("web")) as client:
            client.send(get(PAGE, "X-Tar: x"))
            until(lambda: daemon.metrics().get(
                'bascule_filter_events_total{filter="bans",event="tarpitted"}'), "it does not wait")
            daemon.stop()


@test_fronts("log only: nobody is kept out, and who would be is counted")
def _(front):
    field = ban(front, "Trial")
    before = events("would_deny")
    equal([get_page(front, field) for _ in range(3)], [200] * 3, "status")
    equal(events("would_deny") - before, 3, "would_deny")


# ---- by hand


@test("bans are added, shown and removed by hand, in both modes at once")
def _():
    who, field = key("Who")
    proxy().command("ban", "add", who, "--table", "who", "--for", "2h", "--cause", "so I say")
    for front in FRONTS:
        equal(get_page(front, field), 403, f"status ({front})")
    found = listed("who")[who]
    equal((found["cause"], found["until"] - found["since"] >= 7199), ("so I say", True), "ban")
    check(f"{who} " in proxy().command("ban", "list"), "it is not in the list")
    proxy().reload()
    equal(get_page(FRONTS[0], field), 403, "status after a reload")
    proxy().command("ban", "remove", who, "--table", "who")
    equal(get_page(FRONTS[0], field), 200, "status after it was removed")
    for words in (("remove", who, "--table", "who"), ("add", who), ("add", who, "--table", "x"),
                  ("add", who, "--table", "who", "--for", "soon"), ("add", "192.0.2.1", "--table",
                  "clients"), ("add", "bob", "--table", "clients"), ("burn", who), ("add",)):
        proxy().command("ban", *words, status=1)
    check('bascule_ban_keys{ban="who"}' in proxy().metrics(), "there are no metrics")


@test_fronts("explain says by which ban somebody is kept out, and until when")
def _(front):
    url = f"http://127.0.0.1:{origin().port}{PAGE}" if front.way.listener == "out" \
        else f"http://shop.test{PAGE}"

    def explained(field):
        return explain(proxy(), front, "--header", field, "GET", url).splitlines()[0]

    who, field = key("Who")
    check(explained(field).startswith("ALLOWED"), f"before: {explained(field)!r}")
    proxy().command("ban", "add", who, "--table", "who", "--for", "2h")
    listing = proxy().command("ban", "list", "--table", "who")
    until_when = re.search(rf"\b{who} .*(until \S+ \S+ UTC)", listing)[1]
    found = explained(field)
    check(re.fullmatch(r"DENIED with 403 Forbidden: banned by who \(\S+/bascule\.conf:\d+\) "
                       + until_when, found), f"banned: {found!r}")
    proxy().command("ban", "remove", who, "--table", "who")
    check(explained(field).startswith("ALLOWED"), "after it was removed")
    equal(explained(ban(front, "Drop")).partition(": ")[0], "DROPPED without an answer", "dropped")
    check(explained(ban(front, "Trial")).startswith("ALLOWED"), "log only")
    check("note       who is banned only the daemon knows" in
          proxy().command("explain", "--listener", front.way.listener, "GET", url),
          "what is said without the daemon")


@test("what list --json writes can be imported, many lines at a time")
def _():
    path = proxy().path("many.json")
    far = 4102444800
    with open(path, "w", encoding="utf-8") as file:
        for i in range(700):
            print(json.dumps({"table": "who", "key": f"import-{i}", "until": far}), file=file)
    proxy().command("ban", "import", path)
    found = [k for k in listed("who") if k.startswith("import-")]
    equal(len(found), 700, "imported")
    equal(get_page(FRONTS[0], "X-Who: import-699"), 403, "the last one")
    with open(path, "w", encoding="utf-8") as file:
        print('{"table":"who","key":7}', file=file)
    proxy().command("ban", "import", path, status=1)
    for i in (0, 699):
        proxy().command("ban", "remove", f"import-{i}", "--table", "who")


@test("the list tells until which second somebody is banned, and for which time")
def _():
    path = proxy().path("often.json")
    often = { 1: "1st", 2: "2nd", 3: "3rd", 11: "11th", 21: "21st", 112: "112th" }
    with open(path, "w", encoding="utf-8") as file:
        for times in often:
            print(json.dumps({"table": "who", "key": f"often-{times}", "until": 4102444801,
                              "times": times}), file=file)
    proxy().command("ban", "import", path)
    shown = proxy().command("ban", "list")
    for times, word in often.items():
        check(re.search(fr"^who +often-{times} +until 2100-01-01 00:00:01 UTC  .*, {word} time$",
                        shown, re.MULTILINE), shown)
        proxy().command("ban", "remove", f"often-{times}", "--table", "who")


@test("saved bans outlive a restart")
def _():
    with start() as daemon:
        equal(daemon.command("ban", "list"), "nobody is banned\n", "the list at first")
        equal(daemon.command("ban", "list", "--json"), "", "the same for programs")
        daemon.command("ban", "add", "stays", "--table", "who")
        daemon.command("ban", "add", "goes", "--table", "drop")
        daemon.stop()
        daemon.wait_end()
        daemon.start_again()
        equal(list(map(lambda line: json.loads(line)["key"],
                       daemon.command("ban", "list", "--json").splitlines())), ["stays"], "bans")
        equal(ask(daemon.address("web"), get(PAGE, "X-Who: stays")).status, 403, "status")
        with open(daemon.path("saved/who.json"), encoding="utf-8") as file:
            check('"stays"' in file.read(), "the file")
        equal(os.stat(daemon.path("saved/who.json")).st_mode & 0o77, 0, "who else may read it")


main()
