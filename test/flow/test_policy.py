# SPDX-License-Identifier: BSD-2-Clause
"""Rules: every fact and every action, in each mode where it makes sense (modes/judge.c,
server/policy)."""

import json
import threading
import time

from bascule_flow import (FORWARD, REVERSE, WAYS, Client, CutShort, Daemon, Origin, answer, check,
                          equal, get, main, once, test)
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
    "forward-mode": ('path = "/mode"; mode = "forward";', None, None),
    "listener": ('path = "/listener"; listener = "web";', None, None),
    "always": ('path = "/time"; time = "Mon-Sun 00:00-24:00";', ("/time", [], "GET"), None),
    "never": ('path = "/notime"; time = "2001-01-01";', None, ("/notime", [], "GET")),
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
        { name = "tarnished"; when = { path = "/deny"; }; action = "deny"; status = 451;
          why = "For reasons of law."; },
        { name = "drop"; when = { path = "/drop"; }; action = "drop"; },
        { name = "redirect"; when = { path = "/redirect"; }; action = "redirect"; status = 307;
          redirect = "http://elsewhere.test/blocked?from=%{path}"; },
        { name = "allowed"; when = { path = "/first"; }; action = "allow"; },
        { name = "not-reached"; when = { path = "/first"; }; action = "deny"; },
        { name = "would"; when = { path = "/logonly"; }; action = "deny"; log_only = true; },
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
        return answer(b"x", "Content-Type: " + ("video/mp4" if "video" in path else "text/plain"))
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


def rule_of(response):
    """Name of the rule that refused; None: nothing did."""
    if response.status < 400:
        return None
    return json.loads(response.body)["rule"] if b'"rule"' in response.body else None


def both(promise, **more):
    def add(function):
        for way in WAYS:
            test(f"{promise} ({way.name})", **more)(lambda way=way: function(way))
        return function
    return add


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


@test("a rule asks for the port (forward)")
def _():
    response = ask(FORWARD, "/", host="127.0.0.1:9")
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


def logged(target):
    def lines():
        try:
            with open(proxy().path("access.log"), encoding="utf-8") as file:
                return [entry for entry in map(json.loads, file) if entry["target"].endswith(target)]
        except (FileNotFoundError, json.JSONDecodeError):
            return []
    until(lines, f"a log line for {target}")
    return lines()[-1]


@both("log_only does nothing")
def _(way):
    equal(ask(way, "/logonly").status, 200, "status")


@both("tags are in the log, of all rules that were true")
def _(way):
    equal(ask(way, "/tags?" + way.name).status, 200, "status")
    equal(logged("/tags?" + way.name)["tags"], "one,two,three", "tags")


@both("the rule that decided is in the log")
def _(way):
    ask(way, "/deny?" + way.name)
    equal(logged("/deny?" + way.name)["rule"], "tarnished", "rule")


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
        check(gate.wait(30), "the gate opens")
        return answer(b"held")

    paths = [f"/atonce-{way.name}-{n}" for n in range(2)]
    for path in paths:
        origin().on(path, hold)
    with Client(proxy().address(way.listener)) as one, Client(proxy().address(way.listener)) as two:
        for client, path in zip((one, two), paths):
            client.send(get(way.target(origin(), path), host=way.host(origin())))
            check(here.acquire(timeout=20), "it is at the origin")
        equal(ask(way, "/atonce-third").status, 429, "a third one")
        gate.set()
        equal((one.read().status, two.read().status), (200, 200), "those that were in")
    until(lambda: ask(way, "/atonce-third").status == 200, "there is room again")


@both("a quota counts bytes")
def _(way):
    key = f"X-Key: quota-{way.name}"
    equal(ask(way, "/quota", key).status, 200, "the first")
    until(lambda: ask(way, "/quota", key).status == 429, "it is spent")


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


# ---- destinations, tunnels


TUNNELS = """
workers = 2;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
policies = (
    { name = "out"; sni_wait = "@WAIT@"; @DEFAULT@ rules = ( @RULES@ ); }
);
listeners = (
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "out";
      allow_destination = [ "127.0.0.0/8" ]; http_ports = "1-65535"; connect_ports = "1-65535"; }
);
"""


def tunnels(rules, default="", wait="20s", **more):
    return Daemon(TUNNELS, RULES=rules, DEFAULT=default, WAIT=wait, **more)


def connect_to(daemon, target):
    client = Client(daemon.address("out"))
    response = client.ask(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" %
                          (target.encode(), target.encode()), method="CONNECT")
    return client, response


def is_closed(client):
    """Whether the other side ends the connection, or resets it, and says nothing before."""
    try:
        return client.rest() == b""
    except (CutShort, ConnectionError):
        return True


def client_hello(name):
    """The first message of a TLS client that asks for name."""
    import ssl
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def echoed(client, sent):
    """Whether the backend at the other end got the bytes: it sends them back."""
    client.send(sent)
    return client.exactly(len(sent), "the echo") == sent


@once
def echo():
    def serve(link):
        while True:
            data = link.sock.recv(65536)
            if not data:
                return
            link.sock.sendall(data)
    return Origin(serve=serve)


@test("CONNECT is judged by host before anything is connected")
def _():
    with tunnels('{ when = { host = "127.0.0.1"; port = %d; }; action = "deny"; }' % echo().port) \
            as daemon:
        before = echo().connections
        client, response = connect_to(daemon, f"127.0.0.1:{echo().port}")
        equal((response.status, echo().connections), (403, before), "answer and connections")
        client.close()


@test("requests and tunnels are judged by the address behind the name")
def _():
    rule = '{ name = "inside"; when = { destination = "127.0.0.0/8"; }; action = "deny"; }'
    with tunnels(rule) as daemon:
        for host in ("localhost", "127.0.0.1"):
            client, response = connect_to(daemon, f"{host}:{echo().port}")
            equal((response.status, rule_of(response)), (403, "inside"), host)
            client.close()
            with Client(daemon.address("out")) as client:
                response = client.ask(get(f"http://{host}:{echo().port}/", host=host))
                equal((response.status, rule_of(response)), (403, "inside"), host)


@test("a tunnel is judged by the name in the TLS inside it")
def _():
    rules = '{ name = "bad"; when = { sni = "*.bad.test"; }; action = "deny"; }'
    with tunnels(rules) as daemon:
        client, response = connect_to(daemon, f"127.0.0.1:{echo().port}")
        equal(response.status, 200, "status")
        check(echoed(client, client_hello("good.test")), "another name passes")
        check(echoed(client, b"more"), "and what follows")
        client.close()
        before = echo().bytes_received()
        client, response = connect_to(daemon, f"127.0.0.1:{echo().port}")
        equal(response.status, 200, "status")
        client.try_send(client_hello("www.bad.test"))
        check(is_closed(client), "it is closed")
        daemon.wait_log("tunnel of client .* closed: .*bad")
        equal(echo().bytes_received(), before, "bytes that reached the other side")


@test("a ClientHello that comes in pieces is judged as well")
def _():
    with tunnels('{ when = { sni = "bad.test"; }; action = "deny"; }') as daemon:
        hello = client_hello("bad.test")
        client, _ = connect_to(daemon, f"127.0.0.1:{echo().port}")
        client.send(hello[:50])
        client.send(hello[50:100])
        client.try_send(hello[100:])
        check(is_closed(client), "it is closed")


@test("what is no TLS has no name, and goes on")
def _():
    with tunnels('{ when = { sni = "bad.test"; }; action = "deny"; }') as daemon:
        client, _ = connect_to(daemon, f"127.0.0.1:{echo().port}")
        check(echoed(client, b"SSH-2.0-x\r\n"), "it passes")
        client.close()


@test("a server that speaks first is heard, and a client that says nothing is let through in time")
def _():
    talker = Origin(serve=lambda link: (link.sock.sendall(b"220 hello\r\n"),
                                        link.sock.recv(100), link.sock.sendall(b"250 ok\r\n")))
    with tunnels('{ when = { sni = "bad.test"; }; action = "deny"; }', wait="300ms") as daemon:
        client, _ = connect_to(daemon, f"127.0.0.1:{talker.port}")
        equal(client.exactly(11), b"220 hello\r\n", "the greeting")
        client.send(b"EHLO\r\n")
        equal(client.exactly(8), b"250 ok\r\n", "the answer")
        client.close()
    talker.close()


@test("SNI that differs from the host of CONNECT is a fact")
def _():
    rules = '{ name = "fronting"; when = { sni_differs = true; }; action = "deny"; }'
    with tunnels(rules) as daemon:
        client, _ = connect_to(daemon, f"localhost:{echo().port}")
        check(echoed(client, client_hello("localhost")), "the same name")
        client.close()
        client, _ = connect_to(daemon, f"localhost:{echo().port}")
        client.try_send(client_hello("other.test"))
        check(is_closed(client), "it is closed")


@test("a later rule never overtakes one that waits")
def _():
    rules = ('{ name = "first"; when = { sni = "good.test"; }; action = "allow"; },'
             '{ name = "rest"; action = "deny"; }')
    with tunnels(rules) as daemon:
        client, response = connect_to(daemon, f"127.0.0.1:{echo().port}")
        equal(response.status, 200, "status")
        check(echoed(client, client_hello("good.test")), "allowed by the first")
        client.close()
        client, response = connect_to(daemon, f"127.0.0.1:{echo().port}")
        client.try_send(client_hello("else.test"))
        check(is_closed(client), "it is closed")


@test("tunnels are judged again on reload: what new rules deny is closed, the rest lives")
def _():
    rules = '{ name = "none"; when = { host = "nowhere.test"; }; action = "deny"; }'
    with tunnels(rules) as daemon:
        client, _ = connect_to(daemon, f"127.0.0.1:{echo().port}")
        other, _ = connect_to(daemon, f"localhost:{echo().port}")
        check(echoed(client, b"one") and echoed(other, b"one"), "both flow")
        daemon.reload(TUNNELS, RULES='{ name = "now"; when = { host = "127.0.0.1"; };'
                                     ' action = "deny"; }')
        check(is_closed(client), "it is closed")
        daemon.wait_log("tunnel of client .* closed after reload: .*now")
        check(echoed(other, b"two"), "the other one lives")
        daemon.reload(TUNNELS, RULES='{ name = "address"; when = { destination = "127.0.0.0/8"; };'
                                     ' action = "deny"; }')
        check(is_closed(other), "it is closed")


@test("a default of deny lets only what a rule allows through")
def _():
    with tunnels('{ when = { host = "127.0.0.1"; path = "/good"; }; action = "allow"; }',
                 default='default = "deny";') as daemon:
        with Client(daemon.address("out")) as client:
            base = f"http://127.0.0.1:{origin().port}"
            host = f"127.0.0.1:{origin().port}"
            equal(client.ask(get(f"{base}/good", host=host)).status, 200, "what is allowed")
            equal(client.ask(get(f"{base}/other", host=host)).status, 403, "what is not")


# ---- TCP forwards


PORT = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
policies = ( { name = "flows"; rules = ( @RULES@ ); } );
limits = ( { name = "one"; key = "client"; concurrency = 1; } );
listeners = ( { name = "tcp"; mode = "port"; listen = "127.0.0.1:0"; group = "echo";
                policy = "flows"; } );
groups = ( { name = "echo"; endpoints = ( { to = "127.0.0.1:@ECHO@"; } ); } );
"""


def is_refused(daemon):
    try:
        with Client(daemon.address("tcp")) as client:
            client.try_send(b"two")
            return is_closed(client)
    except ConnectionError:
        return True


@test("TCP forwards are judged by the same rules, and again on reload")
def _():
    allow = '{ when = { client = "127.0.0.1"; mode = "port"; }; action = "allow"; }'
    deny = '{ name = "tcp-no"; when = { client = "127.0.0.1"; }; action = "deny"; }'
    with Daemon(PORT, ECHO=echo().port, RULES=allow) as daemon:
        client = Client(daemon.address("tcp"))
        check(echoed(client, b"one"), "it flows")
        daemon.reload(PORT, RULES=deny)
        check(is_closed(client), "it is closed")
        check(is_refused(daemon), "another one is refused")
        until(lambda: "tcp-no" in open(daemon.path("access.log"), encoding="utf-8").read(),
              "the rule is in the log")


@test("a TCP forward counts for limits until it ends")
def _():
    with Daemon(PORT, ECHO=echo().port, RULES='{ limit = "one"; }') as daemon:
        first = Client(daemon.address("tcp"))
        check(echoed(first, b"one"), "it flows")
        check(is_refused(daemon), "another one is refused")
        first.close()

        def flows():
            try:
                with Client(daemon.address("tcp")) as third:
                    third.try_send(b"three")
                    return third.exactly(5) == b"three"
            except (CutShort, ConnectionError):
                return False
        until(flows, "there is room again")


main()
