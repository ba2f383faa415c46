# SPDX-License-Identifier: BSD-2-Clause
"""Rules on requests: what they ask and what they do, in both modes (modes/judge.c, server/policy).

Who is asking, and over what, is in test_policy_clients.py; where it goes in
test_policy_destinations.py; tunnels and TCP forwards in test_policy_tunnels.py and
test_policy_port.py."""

import json
import re
import threading
import time

import judging
from bascule_flow import (FORWARD, REVERSE, WAIT, Client, Daemon, Origin, answer, both, check,
                          equal, get, main, once, test)
from judging import UPGRADE, rule_of
from peers import until

# One policy for both modes. Each rule is for paths of its own, so that they keep out of each
# other's way: what refuses is told by its name.
FACTS = {
    # name: (conditions, what makes them true, what does not): (path, fields, method)
    "method": ('method = [ "POST", "PUT" ];', ("/method", [], "PUT"), ("/method", [], "GET")),
    "scheme": ('scheme = "http"; path = "/scheme";', ("/scheme", [], "GET"), None),
    "not-scheme": ('scheme = "https"; path = "/noscheme";', None, ("/noscheme", [], "GET")),
    "path": ('path = "/exact";', ("/exact", [], "GET"), ("/exact/more", [], "GET")),
    "path-start": ('path = "/start/*";', ("/start/more", [], "GET"), ("/start", [], "GET")),
    "path-dots": ('path = "/admin/*";', ("/public/../admin/x", [], "GET"),
                  ("/public/admin/x", [], "GET")),
    "path-escape": ('path = "/secret";', ("/%73ecret", [], "GET"), ("/%2573ecret", [], "GET")),
    "path-slashes": ('path = "/two/slashes";', ("//two///slashes", [], "GET"),
                     ("/two/slashes/", [], "GET")),
    "path-regex": ('path_regex = "^/user/[0-9]+$";', ("/user/42", [], "GET"),
                   ("/user/x", [], "GET")),
    "url-regex": ('url_regex = "^http://[^/]+/search[?]q=secret";',
                  ("/search?q=secret", [], "GET"), ("/search?q=open", [], "GET")),
    "query": ('path = "/query"; query = ( { name = "a"; value = "1"; } );',
              ("/query?b=2&a=1", [], "GET"), ("/query?a=2", [], "GET")),
    "query-any": ('path = "/anyquery"; query = "debug";', ("/anyquery?debug", [], "GET"),
                  ("/anyquery?debugging=1", [], "GET")),
    "header": ('path = "/header"; header = ( { name = "X-Tool"; value = "crawler"; } );',
               ("/header", ["x-tool: crawler"], "GET"), ("/header", ["X-Tool: browser"], "GET")),
    "header-regex": ('path = "/agent"; header = ( { name = "User-Agent"; regex = "(?i)bot"; } );',
                     ("/agent", ["User-Agent: SuperBot/1"], "GET"),
                     ("/agent", ["User-Agent: Mozilla"], "GET")),
    "no-header": ('path = "/noheader"; not = ( { header = "Accept-Language"; } );',
                  ("/noheader", [], "GET"), ("/noheader", ["Accept-Language: de"], "GET")),
    "cookie": ('path = "/cookie"; cookie = ( { name = "beta"; value = "1"; } );',
               ("/cookie", ["Cookie: a=b; beta=1"], "GET"),
               ("/cookie", ["Cookie: xbeta=1; beta=10"], "GET")),
    "client": ('path = "/client"; client = "127.0.0.0/8";', ("/client", [], "GET"), None),
    "other-client": ('path = "/otherclient"; client = "192.0.2.0/24";', None,
                     ("/otherclient", [], "GET")),
    "client-in": ('path = "/clientin"; client_in = "loopbacks";', ("/clientin", [], "GET"), None),
    "always": ('path = "/time"; time = "Mon-Sun 00:00-24:00";', ("/time", [], "GET"), None),
    "never": ('path = "/notime"; time = "2001-01-01";', None, ("/notime", [], "GET")),
    # Forenoon in one zone is always afternoon in the other.
    "time-zone": ('path = "/zone"; any = ( { all = ( @ZONES@ ); }, { not = ( @ZONES@ ); } );'
                  .replace("@ZONES@", '{ time = "00:00-12:00"; time_zone = "UTC"; }, '
                                      '{ time = "12:00-24:00"; time_zone = "Etc/GMT-12"; }'),
                  ("/zone", [], "GET"), None),
    "url-in": ('url_in = "pages";', ("/listed/page?x=1", [], "GET"), ("/listedpage", [], "GET")),
    "any": ('path = "/any"; any = ( { method = "DELETE"; }, { query = "kill"; } );',
            ("/any?kill=1", [], "GET"), ("/any", [], "GET")),
    "all": ('path = "/all"; all = ( { method = "GET"; }, { query = "x"; } );',
            ("/all?x", [], "GET"), ("/all?y", [], "GET")),
    "set": ('path = "/set"; set = "dangerous";', ("/set?x=rm", [], "GET"),
            ("/set?x=ls", [], "GET")),
    "status": ('path = "/status*"; status = [ "404", "500-599" ];', ("/status503", [], "GET"),
               ("/status200", [], "GET")),
    "content-type": ('path = "/type*"; content_type = [ "application/x-*", "video/*" ];',
                     ("/type-video", [], "GET"), ("/type-text", [], "GET")),
    "longer-than": ('path = "/long*"; longer_than = "1000";', ("/long-2000", [], "GET"),
                    ("/long-1000", [], "GET")),
}

CONF = """
workers = 2;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
lists = (
    { name = "loopbacks"; kind = "networks"; items = [ "127.0.0.0/8", "::1" ]; },
    { name = "pages"; kind = "urls"; items = [ "127.0.0.1/listed/", "site.test/listed/" ]; },
    { name = "bad-hosts"; kind = "domains"; items = [ "bad.test" ]; }
);
sets = ( { name = "dangerous"; when = { query = ( { name = "x"; value = "rm"; } ); }; } );
limits = (
    { name = "three"; key = "header:X-Key"; rate = "3/1h"; },
    { name = "three-more"; key = "header:X-Key"; rate = "3/1h"; },
    { name = "two-at-once"; key = "listener"; concurrency = 2; },
    { name = "little"; key = "header:X-Key"; quota = "1000/1h"; }
);
policies = (
    { name = "shared"; rules = ( @FACTS@,
        { name = "mode"; when = { path = "/mode"; mode = "forward"; }; action = "deny"; },
        { name = "listener"; when = { path = "/listener"; listener = "web"; }; action = "deny"; },
        { name = "tarnished"; when = { path = "/deny"; }; action = "deny"; status = 451;
          why = "For reasons of law."; },
        { name = "drop"; when = { path = "/drop"; }; action = "drop"; },
        { name = "redirect"; when = { path = "/redirect"; }; action = "redirect"; status = 307;
          redirect = "http://elsewhere.test/blocked?from=%{path}"; },
        { name = "allowed"; when = { path = "/first"; }; action = "allow"; },
        { name = "not-reached"; when = { path = "/first"; }; action = "deny"; },
        { name = "seen"; when = { path = "/logonly"; }; tags = "seen"; },
        { name = "would"; when = { path = "/logonly"; }; action = "deny"; tags = "untold";
          log_only = true; },
        { when = { path = "/logonly"; }; action = "drop"; log_only = true; },
        { name = "would-not"; when = { path = "/nowhere"; }; action = "deny"; log_only = true; },
        { name = "tags"; when = { path = "/tags"; }; tags = [ "one", "two" ]; },
        { name = "more-tags"; when = { path = "/tags"; }; tags = "three"; },
        { name = "sets"; when = { path = "/fields"; };
          set_request = [ "X-Rule: seen", "X-Who: %{client_ip}", "X-Away:" ];
          set_response = [ "X-Answer: %{path}", "X-Origin:" ]; },
        { name = "limited"; when = { path = "/limited"; }; limit = "three"; },
        { name = "over"; when = { path = "/over"; over = "three-more"; }; action = "deny";
          status = 403; why = "Enough."; },
        { name = "at-once"; when = { path = "/atonce*"; }; limit = "two-at-once"; },
        { name = "quota"; when = { path = "/quota"; }; limit = "little"; },
        { name = "paced"; when = { path = "/paced*"; }; bandwidth = "50K"; },
        { name = "other-group"; when = { path = "/group"; }; group = "second"; },
        { name = "hosts"; when = { host_in = "bad-hosts"; }; action = "deny"; },
        { name = "host"; when = { host = [ "*.wild.test", "plain.test" ]; }; action = "deny"; },
        { name = "port"; when = { host = "127.0.0.1"; port = 9; }; action = "deny"; }
      ); }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "shared"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "shared";
      allow_destination = [ "127.0.0.0/8" ]; http_ports = "1-65535"; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "second"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@SECOND@"; } ); }
);
sites = ( { name = "all"; default = true; group = "origin"; } );
"""


def play(request, link):
    path = request.target
    if path.startswith("/status"):
        return answer(b"x", status=f"{path[7:10]} Status")
    if path.startswith("/type"):
        kind = "video/mp4" if "video" in path else "text/plain"
        is_several = "video" in path and "," in (request.get("Range") or "")
        return answer(b"x", "Content-Type: " + ("multipart/byteranges; boundary=x" if is_several
                                                else kind))
    if path.startswith("/long"):
        return answer(b"x" * int(path[6:]))
    if path.startswith("/paced"):
        return answer(b"x" * 100_000)
    if path.startswith("/quota"):
        return answer(b"x" * 600)
    seen = {name.lower(): value for name, value in request.fields}
    return answer(json.dumps(seen).encode(), "X-Origin: yes")


@once
def origin():
    return Origin(play)


@once
def second():
    return Origin(lambda request, link: answer(b"second"))


def rules():
    return ",\n        ".join(
        f'{{ name = "{name}"; when = {{ {conditions} }}; action = "deny"; }}'
        for name, (conditions, _, _) in FACTS.items())


def values():
    return {"ORIGIN": origin().port, "SECOND": second().port, "FACTS": rules()}


@once
def proxy():
    return Daemon(CONF, **values())


def ask(way, path, *fields, method="GET", host=None, client=None):
    target = way.target(origin(), path)
    host = host or way.host(origin())
    if way is FORWARD and host != way.host(origin()):
        target = f"http://{host}{path}"
    request = get(target, *fields, host=host, method=method)
    if client is not None:
        return client.ask(request)
    with Client(proxy().address(way.listener)) as client:
        return client.ask(request)


# ---- facts


def fact(name):
    conditions, hit, miss = FACTS[name]

    def judge(way):
        if hit is not None:
            path, fields, method = hit
            response = ask(way, path, *fields, method=method)
            equal((response.status, rule_of(response)), (403, name), "what is meant")
        if miss is not None:
            path, fields, method = miss
            response = ask(way, path, *fields, method=method)
            check(rule_of(response) != name, "what is not meant is left alone")

    both(f"a rule asks for {name}: {conditions}")(judge)


for name in FACTS:
    fact(name)


@both("a rule for one mode or one listener is for no other")
def _(way):
    equal(ask(way, "/mode").status, 403 if way is FORWARD else 200, "mode = forward")
    equal(ask(way, "/listener").status, 403 if way is REVERSE else 200, "listener = web")


@both("hosts: by name, below a name, by list")
def _(way):
    for host, rule in (("plain.test", "host"), ("a.wild.test", "host"), ("a.b.wild.test", "host"),
                       ("PLAIN.test", "host"), ("bad.test", "hosts"), ("www.bad.test", "hosts")):
        response = ask(way, "/", host=host)
        equal((response.status, rule_of(response)), (403, rule), host)
    for host in ("wild.test", "xplain.test", "notbad.test"):
        check(rule_of(ask(way, "/x", host=host)) is None, f"{host} is left alone")


@both("a rule asks for the port")
def _(way):
    response = ask(way, "/", host="127.0.0.1:9")
    equal((response.status, rule_of(response)), (403, "port"), "answer")


# ---- actions


@both("deny answers with its status and says why, and by which rule")
def _(way):
    response = ask(way, "/deny")
    told = json.loads(response.body)
    equal(response.status, 451, "status")
    equal(told["rule"], "tarnished", "rule")
    check("For reasons of law." in response.body.decode(), "why")
    page = ask(way, "/deny", "Accept: text/html").body.decode()
    check("For reasons of law." in page and "tarnished" in page, "the page for people")


@both("what is denied never reaches the origin")
def _(way):
    ask(way, "/deny?unseen")
    check(not [r for r in origin().requests if "unseen" in r.target], "the origin saw it")


@both("drop closes the connection without a word")
def _(way):
    with Client(proxy().address(way.listener)) as client:
        client.send(get(way.target(origin(), "/drop"), host=way.host(origin())))
        equal(client.rest(), b"", "what came")


@both("redirect sends elsewhere")
def _(way):
    response = ask(way, "/redirect")
    equal((response.status, response.get("Location")),
          (307, "http://elsewhere.test/blocked?from=/redirect"), "answer")


@both("the first decisive rule wins")
def _(way):
    equal(ask(way, "/first").status, 200, "status")


def logged(way, path):
    return proxy().wait_record(way.target(origin(), path))


@both("log_only does nothing, and tells the log by name or place what would have been done")
def _(way):
    equal(ask(way, "/logonly").status, 200, "status")
    tags = logged(way, "/logonly")["tags"].split(",")
    equal(tags[:2], ["seen", "log_only:would"], "tags")
    check(re.fullmatch(r"log_only:.*bascule\.conf:\d+", tags[2]), f"the last tag is {tags[2]}")
    equal(len(tags), 3, "number of tags")


@both("tags are in the log, of all rules that were true")
def _(way):
    equal(ask(way, "/tags").status, 200, "status")
    equal(logged(way, "/tags")["tags"], "one,two,three", "tags")


@both("the rule that decided is in the log")
def _(way):
    ask(way, "/deny?logged")
    equal(logged(way, "/deny?logged")["rule"], "tarnished", "rule")


@both("set_request and set_response set fields, with variables, and take them away")
def _(way):
    response = ask(way, "/fields", "X-Rule: forged", "X-Away: x")
    seen = json.loads(response.body)
    equal((seen["x-rule"], seen["x-who"], "x-away" in seen), ("seen", "127.0.0.1", False),
          "what the origin saw")
    equal((response.get("X-Answer"), response.has("X-Origin")), ("/fields", False),
          "what the client saw")


@both("a limit lets so many through, and says when to come back")
def _(way):
    key = f"X-Key: limit-{way.name}"
    equal([ask(way, "/limited", key).status for _ in range(5)], [200, 200, 200, 429, 429],
          "statuses")
    response = ask(way, "/limited", key)
    check(0 < int(response.get("Retry-After")) <= 3600, "Retry-After")
    equal(rule_of(response), "limited", "rule")
    equal(ask(way, "/limited", f"X-Key: another-{way.name}").status, 200, "another key")


@both("over: a limit is a fact that other rules can use")
def _(way):
    key = f"X-Key: over-{way.name}"
    equal([ask(way, "/over", key).status for _ in range(5)], [200, 200, 200, 403, 403], "statuses")


@both("so many at once, and the next when one has ended")
def _(way):
    gate, here = threading.Event(), threading.Semaphore(0)

    def hold(request, link):
        here.release()
        check(gate.wait(4 * WAIT), "the gate opens")
        return answer(b"held")

    paths = [f"/atonce-{way.name}-{n}" for n in range(2)]
    for path in paths:
        origin().on(path, hold)
    with Client(proxy().address(way.listener)) as one, Client(proxy().address(way.listener)) as two:
        for client, path in zip((one, two), paths):
            client.send(get(way.target(origin(), path), host=way.host(origin())))
            check(here.acquire(timeout=WAIT), "it is at the origin")
        equal(ask(way, "/atonce-third").status, 429, "a third one")
        gate.set()
        equal((one.read().status, two.read().status), (200, 200), "those that were in")
    until(lambda: ask(way, "/atonce-third").status == 200, "there is room again")


@both("a quota counts bytes")
def _(way):
    key = f"X-Key: quota-{way.name}"
    statuses = []

    def is_spent():
        statuses.append(ask(way, "/quota", key).status)
        return statuses[-1] == 429

    until(is_spent, "it is spent")
    equal(statuses[:2], [200, 200], "while 600 of 1000 bytes had been sent")


@both("bandwidth holds a response back")
def _(way):
    begin = time.monotonic()
    equal(len(ask(way, "/paced-" + way.name).body), 100_000, "bytes")
    check(time.monotonic() - begin > 0.8, "100 KB at 50 KB a second take longer")


@both("group sends a request to another group")
def _(way):
    equal(ask(way, "/group").body, b"second", "who answered")


# ---- several requests of one connection


@both("each request of a connection is judged by itself")
def _(way):
    with Client(proxy().address(way.listener)) as client:
        equal([ask(way, path, client=client).status
               for path in ("/x", "/deny", "/y", "/exact", "/z")], [200, 451, 200, 403, 200],
              "statuses")


# ---- responses


@both("a rule on the status refuses an upgrade")
def _(way):
    with judging.start('{ name = "no"; when = { status = "101"; }; action = "deny"; }') as daemon:
        response = judging.ask(daemon, way, "/socket", *UPGRADE)
        equal((response.status, rule_of(response)), (403, "no"), "answer")


@both("several ranges at once hide no content type")
def _(way):
    for fields in (("Range: bytes=0-1",), ("Range: bytes=0-1,3-4",),
                   ("Range: bytes=0-1", "Range: bytes=3-4")):
        response = ask(way, "/type-video", *fields)
        check(response.status in (400, 403), f"{fields}: {response.status}")
    equal(ask(way, "/type-text", "Range: bytes=0-1,3-4").status, 200, "other content")


# ---- two policies


TWO = """
workers = 2;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
policies = (
    { name = "office"; rules = (
        { name = "office-ok"; when = { path = "/both"; }; tags = "office"; action = "allow"; },
        { name = "office-no"; when = { path = "/office"; }; action = "deny"; } ); },
    { name = "guard"; rules = (
        { name = "guard-ok"; when = { path = "/office"; }; action = "allow"; },
        { name = "guard-tag"; when = { path = "/both"; }; tags = "guard"; },
        { name = "guard-no"; when = { path = "/site"; }; action = "deny"; } ); }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "office";
      allow_destination = [ "127.0.0.0/8" ]; }
);
groups = ( { name = "origin"; endpoints = "127.0.0.1:@ORIGIN@"; } );
sites = ( { name = "site"; hosts = "site.test"; group = "origin"; policy = "guard"; } );
"""


@test("a forward request for a site is judged by the listener's policy and by the site's")
def _():
    with Daemon(TWO, ORIGIN=origin().port) as daemon:
        for path, status, rule in (("/both", 200, None), ("/office", 403, "office-no"),
                                   ("/site", 403, "guard-no")):
            response = judging.ask(daemon, FORWARD, path, host="site.test")
            equal((response.status, rule_of(response)), (status, rule), path)
        equal(daemon.wait_record("http://site.test/both")["tags"], "office,guard", "tags")
        equal(judging.ask(daemon, REVERSE, "/office", host="site.test").status, 200,
              "the site's alone")


main()
