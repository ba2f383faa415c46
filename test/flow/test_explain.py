# SPDX-License-Identifier: BSD-2-Clause
"""Why a request is allowed, refused or sent somewhere: bascule explain (modes/explain.h), the trail
of what was decided (modes/trail.h), and what a configuration is expected to do
(modes/expectations.h)."""

import json
import random
import re
import socket
import subprocess

from bascule_flow import (WAIT, Client, Daemon, Failure, Origin, answer, check, equal, get, head,
                          main, once, program, test)
from peers import until

POLICIES = """
lists = (
    { name = "ads"; kind = "domains"; items = [ "ads.test", "banner.test" ]; },
    { name = "here"; kind = "networks"; items = [ "127.0.0.0/8" ]; }
);
limits = ( { name = "few"; key = "client"; rate = "2/1h"; burst = 2; } );
policies = (
    { name = "office"; default = "deny"; rules = (
        { name = "audit"; when = { method = "DELETE"; }; log_only = true; action = "deny"; },
        { name = "no-ads"; when = { host_in = "ads"; }; action = "deny"; status = 451;
          why = "Advertising is filtered here."; },
        { name = "moved"; when = { path = "/moved/*"; }; action = "redirect";
          redirect = "http://127.0.0.1:@ORIGIN@/new"; },
        { name = "few-only"; when = { path = "/few"; over = "few"; }; action = "deny";
          status = 429; },
        { name = "team"; when = { header = ( { name = "X-Team"; value = "red"; } ); };
          set_request = "X-Seen: %{host}"; tags = "red"; },
        { name = "no-search"; when = { query = ( { name = "q"; value = "secret"; } ); };
          action = "deny"; },
        { name = "local"; when = { destination_in = "here"; }; action = "allow"; } ); },
    { name = "shop"; rules = (
        { name = "read-only"; when = { method = [ "PUT", "DELETE" ]; }; action = "deny";
          status = 405; },
        { name = "private"; action = "deny"; when = { path = "/private/*";
            not = ( { header = ( { name = "X-Team"; value = "red"; } ); } ); }; },
        { when = { path_regex = "\\\\.(php|asp)$"; }; action = "deny"; status = 404; },
        { name = "other"; when = { path = "/other*"; }; group = "other"; } ); }
);
"""

CONF = POLICIES + """
workers = 2;
forward_to_sites = false;
trail = "@TRAIL@";
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.0/8" ]; policy = "office"; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@", "127.0.0.2:@ORIGIN@" ]; },
    { name = "other"; max_fails = 0; endpoints = "127.0.0.1:@ORIGIN@"; }
);
sites = (
    { name = "www"; hosts = "shop.test"; group = "origin"; policy = "shop";
      routes = ( { name = "api"; path_prefix = "/api"; group = "other"; } ); }
);
@MORE@
"""


@once
def origin():
    return Origin(lambda request, link: answer(b"hello"), host="0.0.0.0")


@once
def proxy():
    return Daemon(CONF, ORIGIN=origin().port, TRAIL="1M", MORE="")


def explain(daemon, *words, status=0):
    """What `bascule explain` says of the running daemon; on standard error when it fails."""
    done = subprocess.run([program(), "explain", *words, "--control", daemon.path("control")],
                          capture_output=True, text=True, timeout=WAIT, check=False,
                          stdin=subprocess.DEVNULL)
    equal(done.returncode, status, f"exit status of explain {' '.join(words)}: {done.stderr}")
    return done.stdout if status == 0 else done.stderr


def asked(daemon, *words):
    """The same by the control socket, without the command: its JSON."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(WAIT)
        stream.connect(daemon.path("control"))
        stream.sendall("\t".join(("explain", *words)).encode() + b"\n")
        text = b""
        while piece := stream.recv(65536):
            text += piece
    word, _, rest = text.decode().partition("\n")
    equal(word, "ok", f"answer to {words}: {rest}")
    return json.loads(rest)


def forward(path, *fields, method="GET", host=None):
    """A request of a browser to the proxy."""
    host = host or f"127.0.0.1:{origin().port}"
    return get(f"http://{host}{path}", *fields, host=host, method=method)


# ---- what would become of a request

@test("the answer names the rule that decides, with file and line")
def _():
    text = explain(proxy(), "--listener", "out", "GET", "http://www.ads.test/x")
    first = text.splitlines()[0]
    check(re.match(r"DENIED with 451 .* by rule no-ads \(.*bascule\.conf:\d+\)$", first), first)
    check('host "www.ads.test" is in list "ads"' in text, text)
    check(re.search(r"=> +2 +TRUE +no-ads ", text), text)
    check("5 more rules were not reached" in text, text)


@test("the same for programs")
def _():
    told = json.loads(explain(proxy(), "--json", "--listener", "out", "GET", "http://ads.test/"))
    equal(told["verdict"], "deny", "verdict")
    equal(told["status"], 451, "status")
    equal(told["rule"], "no-ads", "rule")
    check(told["file"].endswith("bascule.conf"), "file")
    equal([rule["is"] for rule in told["policies"][0]["rules"]], [False, True], "rules")


@test("a host without a site is named, and the page keeps no rule")
def _():
    text = explain(proxy(), "--listener", "web", "GET", "http://else.test/")
    equal(text.splitlines()[0], "DENIED with 421 Misdirected Request: no site here has the host "
          "else.test", "first line")
    with Client(proxy().address("web")) as client:
        response = client.ask(get("/", host="else.test"))
    equal((response.status, "rule" in json.loads(response.body)), (421, False), "the answer")
    check("no site here has the host else.test" in
          explain(proxy(), json.loads(response.body)["id"]), "the trail does not say it")


@test("route, servers and how they are come with it")
def _():
    told = json.loads(explain(proxy(), "--json", "GET", "http://shop.test/a"))
    equal(told["listener"]["name"], "web", "listener")
    equal((told["verdict"], told["site"]["name"], told["group"]["name"]),
          ("allow", "www", "origin"), "way")
    equal([endpoint["up"] for endpoint in told["endpoints"]], [True, True], "endpoints")
    equal(sum(endpoint["next"] for endpoint in told["endpoints"]), 1, "next")
    told = json.loads(explain(proxy(), "--json", "GET", "http://shop.test/api/x"))
    equal((told["route"]["name"], told["group"]["name"]), ("api", "other"), "way")
    told = json.loads(explain(proxy(), "--json", "GET", "http://shop.test/other"))
    equal(told["group"]["name"], "other", "group that a rule chooses")


def turns(told):
    return [(endpoint["to"], endpoint["next"]) for endpoint in told["endpoints"]]


@test("asking takes no turn of the balancer and nothing from a limit")
def _():
    with Daemon(CONF, ORIGIN=origin().port, TRAIL="0", MORE="") as daemon:
        client = Client(daemon.address("web"))
        seen = []
        for _i in range(4):
            told = asked(daemon, "ask", "json", "method=GET", "url=http://shop.test/")
            again = asked(daemon, "ask", "json", "method=GET", "url=http://shop.test/")
            equal(turns(told), turns(again), "asked twice")
            seen.append([endpoint["next"] for endpoint in told["endpoints"]])
            equal(client.ask(get("/", host="shop.test")).status, 200, "status")
        check(seen[0] != seen[1] and seen[0] == seen[2], f"turns: {seen}")
        few = f"url=http://127.0.0.1:{origin().port}/few"
        for _i in range(10):
            equal(asked(daemon, "ask", "json", "listener=out", "method=GET", few)["verdict"],
                  "allow", "verdict")
        client = Client(daemon.address("out"))
        equal([client.ask(forward("/few")).status for _i in range(3)], [200, 200, 429], "limit")
        told = asked(daemon, "ask", "json", "listener=out", "method=GET", few)
        equal((told["verdict"], told["rule"]), ("deny", "few-only"), "once it is over")
        until(lambda: daemon.metrics()["bascule_exchanges_open"] == 0, "no exchange is open")


@test("a rule that asks for what is not said waits, and the answer tells which flag says it")
def _():
    text = explain(proxy(), "--listener", "out", "GET", "http://www.test/")
    check(text.startswith("NOT DECIDED by rule local ("), text)
    check("--destination IP" in text, text)
    told = json.loads(explain(proxy(), "--json", "--listener", "out", "--destination",
                              "127.0.0.9", "GET", "http://www.test/"))
    equal((told["verdict"], told["rule"]), ("allow", "local"), "with the address")
    told = json.loads(explain(proxy(), "--json", "--listener", "out", "--destination",
                              "203.0.114.9", "GET", "http://www.test/"))
    equal((told["verdict"], told["rule"]), ("deny", "default"), "with another")


@test("--why-not names the condition that is false")
def _():
    text = explain(proxy(), "--listener", "web", "--why-not", "private", "GET",
                   "http://shop.test/public")
    check(re.match(r"rule private \(.*:\d+\) is false: .*path.*\"/public\"", text), text)
    error = explain(proxy(), "--why-not", "privat", "GET", "http://shop.test/", status=1)
    check('did you mean "private"' in error, error)


@test("mistakes in the question say what would do")
def _():
    for words, hint in (
            (("GET", "shop.test"), "http://www.example.com/path"),
            (("CONNECT", "shop.test"), "www.example.com:443"),
            (("--from", "10.0", "GET", "http://shop.test/"), "--from: \"10.0\" is no address"),
            (("--time", "noon", "GET", "http://shop.test/"), "2026-11-23 10:00"),
            (("--listener", "wed", "GET", "http://shop.test/"), 'did you mean "web"'),
            (("--header", "x", "GET", "http://shop.test/"), "User-Agent: curl"),
            ((), "METHOD URL"),
            (("xyz",), "16 hexadecimal digits"), (("http://shop.test/",), "by METHOD URL")):
        error = explain(proxy(), *words, status=1)
        check(hint in error, f"explain {words}: {error}")


@test("a file that nobody serves can be asked")
def _():
    daemon = proxy()
    text = daemon.command("explain", "--listener", "out", "GET", "http://ads.test/")
    check(text.startswith("DENIED with 451"), text)


# ---- the same decision as for real requests

HOSTS = ["", "", "", "ads.test", "x.ads.test", "banner.test"]
PATHS = ["/", "/a", "/moved/x", "/few2", "/private/x", "/private/../a", "/a.php", "/x.asp",
         "/other", "/other/1", "/api/z", "/%70rivate/x", "//private//y", "/a%2fb", "/api"]
QUERIES = ["", "", "?q=secret", "?q=other", "?a=1&q=secret"]
METHODS = ["GET", "GET", "GET", "HEAD", "PUT", "DELETE", "OPTIONS"]
FIELDS = [[], [], ["X-Team: red"], ["X-Team: blue", "Accept: text/html"]]


def chosen(rng, number):
    """A request: (listener, method, URL, its bytes, the fields that rules look at)."""
    path = rng.choice(PATHS) + rng.choice(QUERIES)
    method, fields = rng.choice(METHODS), rng.choice(FIELDS)
    agent = f"User-Agent: n{number}"
    if rng.random() < 0.5:
        return ("web", method, f"http://shop.test{path}",
                get(path, agent, *fields, host="shop.test", method=method), fields)
    host = rng.choice(HOSTS) or f"127.0.0.1:{origin().port}"
    return ("out", method, f"http://{host}{path}",
            forward(path, agent, *fields, method=method, host=host), fields)


def expect_same(daemon, request, record):
    """What explain says of a request, beside what its access record says."""
    listener, method, url, _, fields = request
    told = asked(daemon, "ask", "json", f"listener={listener}", "from=127.0.0.1",
                 f"method={method}", f"url={url}", *(f"header={field}" for field in fields))
    what = f"{method} {url} {fields}: {told}"
    if told["verdict"] == "allow":
        equal(record["status"], 200, what)
        equal(record.get("group") or "", told.get("group", {}).get("name", ""), what)
    else:
        equal(record["status"], told["status"], what)
    rule = told.get("rule", "default")
    equal(record.get("rule") or "default", rule, f"rule that is logged; {what}")
    was = asked(daemon, "id", "json", record["id"])
    equal((was["status"], was["method"], was["listener"]),
          (record["status"], method, listener), f"trail of {what}")
    if told["verdict"] != "allow" and rule != "default":
        denied = [d for d in was["decisions"] if d["kind"] == "deny"]
        equal((denied[-1].get("rule", f"{denied[-1]['file']}:{denied[-1]['line']}"),
               denied[-1]["line"]), (rule, told["line"]), f"trail of {what}")
    return rule


@test("asking about a logged request gives the decision that was recorded", timeout=90)
def _():
    rng = random.Random(7)
    daemon = proxy()
    daemon.forget_records()
    clients = {name: Client(daemon.address(name)) for name in ("web", "out")}
    requests = [chosen(rng, i) for i in range(300)]
    for request in requests:
        response = clients[request[0]].ask(request[3], request[1])
        if "close" in response.all("Connection"):
            clients[request[0]] = Client(daemon.address(request[0]))
    until(lambda: len(daemon.records()) == len(requests), "each request has its record")
    records = {record["user_agent"]: record for record in daemon.records()}
    rules = {expect_same(daemon, request, records[f"n{i}"]) for i, request in enumerate(requests)}
    check({"no-ads", "moved", "no-search", "local", "read-only", "private", "default"} <= rules,
          f"rules that decided: {rules}")


# ---- what was

@test("a tunnel can be explained while it runs, and after a reload")
def _():
    with Daemon(CONF, ORIGIN=origin().port, TRAIL="64K", MORE="") as daemon:
        client = Client(daemon.address("out"))
        request = head(f"CONNECT 127.0.0.1:{origin().port} HTTP/1.1", "Host: x")
        equal(client.ask(request, "CONNECT").status, 200, "status")
        daemon.reload()
        client.close()
        record = daemon.wait_record(f"127.0.0.1:{origin().port}")
        was = asked(daemon, "id", "json", record["id"])
        equal(was["method"], "CONNECT", "method")
        check(any(d.get("rule") == "local" for d in was["decisions"]), was)
        check(was["tunnel"], was)


@test("what is recorded outlives a reload, and its memory is bounded")
def _():
    with Daemon(CONF, ORIGIN=origin().port, TRAIL="16K", MORE="") as daemon:
        client = Client(daemon.address("out"))
        for i in range(300):
            equal(client.ask(forward(f"/n{i}", host="ads.test")).status, 451, "status")
        last = daemon.wait_record("http://ads.test/n299")["id"]
        first = daemon.wait_record("http://ads.test/n0")["id"]
        daemon.reload(CONF, TRAIL="8K")
        text = explain(daemon, last)
        check(text.startswith("451 ") and "by rule no-ads (" in text, text)
        check("http://ads.test/n299" in text, text)
        error = explain(daemon, first, status=1)
        check("not any more" in error, error)
        daemon.reload(CONF, TRAIL="0")
        error = explain(daemon, last, status=1)
        check("the option trail is 0" in error, error)


# ---- expectations

GOOD = """
expect = (
    { request = "GET http://ads.test/"; listener = "out"; verdict = "deny"; rule = "no-ads"; },
    { request = "GET http://shop.test/api"; route = "api"; group = "other"; verdict = "allow"; }
);
"""


@test("a reload that breaks an expectation is refused, with both lines")
def _():
    with Daemon(CONF, ORIGIN=origin().port, TRAIL="64K", MORE=GOOD) as daemon:
        expected = 1 + next(i for i, line in enumerate(open(daemon.conf_path, encoding="utf-8"))
                            if "rule = \"no-ads\"; }" in line)
        daemon.write_conf(CONF.replace('"ads.test", ', ""))
        error = subprocess.run([program(), "reload", "-c", daemon.conf_path], text=True,
                               capture_output=True, timeout=WAIT, check=False)
        equal(error.returncode, 1, "exit status of reload")
        check(f"bascule.conf:{expected}: expect GET http://ads.test/: verdict deny expected"
              in error.stderr, error.stderr)
        check(re.search(r"came: \w+ by rule local \(.*bascule\.conf:\d+\)", error.stderr),
              error.stderr)
        equal(Client(daemon.address("out")).ask(forward("/", host="ads.test")).status, 451,
              "what is served still")
        check(daemon.command("check", status=1) is not None, "check")


@test("a daemon does not begin with an expectation that is broken")
def _():
    try:
        Daemon(CONF, ORIGIN=origin().port, TRAIL="0", MORE=GOOD.replace("deny", "allow"))
    except Failure as failure:
        check("verdict allow expected" in str(failure), failure)
    else:
        raise Failure("it began")


main()
