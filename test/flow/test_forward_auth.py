# SPDX-License-Identifier: BSD-2-Clause
"""Users whom another server knows: it is asked about each request, and without its word
nobody gets in."""

import contextlib
import signal
import threading

from bascule_flow import (WAIT, Client, Daemon, Origin, answer, ask, canned, check, equal, get,
                          head, main, once, post, test)
from certs import Certificates

CONF = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
groups = (
    { name = "app"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "gate"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@AUTH@"; } ); }
);
users = (
    { name = "each"; kind = "forward_auth"; to = "http://127.0.0.1:@AUTH@/verify?x=1";
      copy_fields = [ "Remote-Email", "X-Role" ]; user_field = "X-User"; timeout = "1m";
      max_answer = "4K"; },
    { name = "kept"; kind = "forward_auth"; to = "http://gate.test/kept"; group = "gate";
      cache = "1m"; user_field = "X-User"; copy_fields = "X-Role"; timeout = "1m"; },
    { name = "hasty"; kind = "forward_auth"; to = "/hasty"; group = "gate"; timeout = "300ms"; },
    { name = "nobody"; kind = "forward_auth"; to = "http://127.0.0.1:1/"; }
);
policies = (
    { name = "each"; users = "each"; rules = (
        { name = "free"; when = { path = "/free*"; }; action = "allow"; },
        { name = "who"; action = "authenticate"; },
        { name = "staff-only"; when = { path = "/staff*"; not = ( { user_group = "staff"; } ); };
          action = "deny"; } ); },
    { name = "kept"; users = "kept"; rules = ( { action = "authenticate"; } ); },
    { name = "hasty"; users = "hasty"; rules = ( { action = "authenticate"; } ); },
    { name = "nobody"; users = "nobody"; rules = ( { action = "authenticate"; } ); }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "each"; },
    { name = "kept"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "kept"; },
    { name = "hasty"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "hasty"; },
    { name = "nobody"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "nobody"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "each";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535";
      http_ports = "1-65535"; }
);
sites = ( { name = "all"; default = true; group = "app"; } );
"""


def verify(request, _link):
    """Who has the right cookie, or password, is alice."""
    if request.get("Cookie") == "session=good" or request.get("Authorization") == "Basic Z29vZA==":
        return answer(b"", "Remote-User: alice", "Remote-Groups: staff, night",
                      "Remote-Email: alice@site.test", "X-Role: one", "X-Role: two")
    if request.get("Cookie") == "session=guest":
        return answer(b"", "Remote-User: guest", status="204 No Content")
    if request.get("Cookie") == "session=old":
        return head("HTTP/1.1 302 Found", "Location: https://login.test/?rd=1",
                    "Set-Cookie: a=1", "Set-Cookie: b=2", "Content-Length: 0")
    return answer(b"<p>who are you?</p>", "Content-Type: text/html", "Server: secret/1.0",
                  'WWW-Authenticate: Basic realm="gate"', "Set-Cookie: seen=1",
                  status="401 Unauthorized")


origin = once(Origin)


@once
def auth() -> Origin:
    server = Origin()
    server.on("/verify?x=1", verify)
    return server


@once
def proxy() -> Daemon:
    return Daemon(CONF, ORIGIN=origin().port, AUTH=auth().port)


GOOD = "Cookie: session=good"


@test("who is let in goes on, and the origin is told what the server says, not the client")
def _():
    before = len(auth().seen("/verify?x=1"))
    response = ask(proxy().address("web"),
                   post("/in?a=b", b"content", GOOD, "Remote_User: root", "remote-email: planted",
                        "X-User: root", "X-Role: king", "Remote-Groups: wheel",
                        "X-Forwarded-Uri: /planted", "X-Forwarded-For: 192.0.2.66"))
    equal(response.status, 200, "status")
    seen = origin().wait_request("/in?a=b")
    equal(seen.all("Remote-Email"), ["alice@site.test"], "copied field")
    equal(seen.all("X-Role"), ["one, two"], "copied field of two lines")
    equal(seen.all("X-User"), ["alice"], "the user's name")
    for name in ("Remote_User", "Remote-Groups", "Remote-User"):
        check(not seen.has(name), f"{name} was passed on")
    equal(seen.body, b"content", "content")
    questions = auth().seen("/verify?x=1")[before:]
    equal(len(questions), 1, "questions")
    equal(questions[0].method, "GET", "method of the question")
    equal(questions[0].body, b"", "content of the question")
    for name, value in (("X-Forwarded-Method", "POST"), ("X-Forwarded-Uri", "/in?a=b"),
                        ("X-Forwarded-Host", "site.test"), ("X-Forwarded-Proto", "http"),
                        ("X-Forwarded-For", "127.0.0.1"), ("X-Original-Method", "POST"),
                        ("X-Original-URL", "http://site.test/in?a=b"),
                        ("Cookie", "session=good")):
        equal(questions[0].all(name), [value], name)
    for name in ("Remote_User", "Remote-Email", "X-Role", "Remote-Groups", "Content-Type"):
        check(not questions[0].has(name), f"the server was shown {name}")


@test("what clients claim to be is taken out where nobody is asked, too")
def _():
    before = len(auth().seen("/verify?x=1"))
    response = ask(proxy().address("web"), get("/free", "Remote-User: root", "X-User: root",
                                               "x_role: king", "Accept: x/y"))
    equal(response.status, 200, "status")
    seen = origin().wait_request("/free")
    equal(seen.get("Accept"), "x/y", "another field")
    for name in ("Remote-User", "X-User", "X_Role", "X-Role"):
        check(not seen.has(name), f"{name} was passed on")
    equal(len(auth().seen("/verify?x=1")), before, "questions")


@test("groups that the server names are known to rules")
def _():
    web = proxy().address("web")
    equal(ask(web, get("/staff", GOOD)).status, 200, "of the group")
    equal(ask(web, get("/staff", "Cookie: session=guest")).status, 403, "not of the group")
    equal(ask(web, get("/other", "Cookie: session=guest")).status, 200, "elsewhere")


@test("a refusal is the server's: status, content, challenge and cookies")
def _():
    response = ask(proxy().address("web"), get("/no"))
    equal(response.status, 401, "status")
    equal(response.body, b"<p>who are you?</p>", "content")
    equal(response.get("Content-Type"), "text/html", "type")
    equal(response.get("WWW-Authenticate"), 'Basic realm="gate"', "challenge")
    equal(response.get("Set-Cookie"), "seen=1", "cookie")
    equal(response.get("Cache-Control"), "no-store", "Cache-Control")
    check(not response.has("Server"), "the server is named")
    check(not origin().seen("/no"), "the origin was asked")
    equal(proxy().wait_record("/no")["end"], "denied", "end")


@test("a redirect to log in goes to the client, with all cookies")
def _():
    response = ask(proxy().address("web"), get("/again", "Cookie: session=old"))
    equal(response.status, 302, "status")
    equal(response.get("Location"), "https://login.test/?rd=1", "Location")
    equal(response.all("Set-Cookie"), ["a=1", "b=2"], "cookies")


@test("one connection carries one question after another")
def _():
    web = proxy().address("web")
    equal(ask(web, get("/warm", GOOD)).status, 200, "status")
    before = auth().connections
    with Client(web) as client:
        for _ in range(5):
            equal(client.ask(get("/again", GOOD)).status, 200, "status")
    equal(auth().connections, before, "connections to the server")


# ---- without an answer

# Lines of one kind are few in a second.
SOME_MORE = r"\.\.\. and \d+ more like: users"


def refused(listener, target="/broken", *fields):
    before = len(origin().requests)
    response = ask(proxy().address(listener), get(target, *fields))
    equal(response.status, 503, "status")
    equal(len(origin().requests), before, "requests to the origin")


BAD = {
    "an error": canned(answer(b"x", status="500 Internal Server Error")),
    "a status that means nothing here": canned(answer(b"", status="404 Not Found")),
    "304, which nobody asked for": canned(head("HTTP/1.1 304 Not Modified")),
    "what is no HTTP": canned(b"let them in\r\n\r\n", "close"),
    "half a head": canned(b"HTTP/1.1 200 OK\r\nRemote-", "close"),
    "half its content": canned(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "close"),
    "a reset": canned(b"", "reset"),
    "a user that cannot be one": canned(answer(b"", "Remote-User: a\tb")),
}


@test("an answer that makes no sense lets nobody in")
def _():
    for what, handler in BAD.items():
        auth().on("/kept", handler)
        try:
            refused("kept", "/broken", "X-Case: " + what)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
    proxy().wait_log(r"users kept: http://gate.test/kept: it answers 500: requests are refused")


@test("a server that says nothing is waited for no longer than configured")
def _():
    done = threading.Event()
    auth().on("/hasty", lambda _request, _link: (done.wait(WAIT), None)[1])
    try:
        refused("hasty")
        proxy().wait_log(rf"users hasty: /hasty: no whole answer in time|{SOME_MORE}")
    finally:
        done.set()


@test("where there is no server nobody gets in")
def _():
    refused("nobody")
    proxy().wait_log(rf"users nobody: http://127.0.0.1:1/: .*: requests are refused|{SOME_MORE}")


@test("content without an end costs no more than its limit, and its status counts")
def _():
    def endless(_request, link):
        link.send(head("HTTP/1.1 403 Forbidden", "Transfer-Encoding: chunked"))
        while link.try_send(b"1000\r\n" + b"x" * 4096 + b"\r\n"):
            pass

    auth().on("/verify?x=1", endless)
    try:
        response = ask(proxy().address("web"), get("/endless"))
        equal(response.status, 403, "status")
        check(b"xxxx" not in response.body, "half a page was passed on")
    finally:
        auth().on("/verify?x=1", verify)


# ---- ends


@test("a client that leaves ends its question, and others go on")
def _():
    pause = threading.Event()

    def slow(request, link):
        if request.get("X-Slow"):
            pause.wait(WAIT)
        return verify(request, link)

    auth().on("/verify?x=1", slow, at="end")
    try:
        client = Client(proxy().address("web"))
        client.send(get("/leaver", GOOD, "X-Slow: 1"))
        auth().wait_for(lambda: any(r.get("X-Slow") for r in auth().requests), "the slow question")
        client.reset()
        equal(proxy().wait_record("/leaver")["end"], "client_abort", "end")
        equal(ask(proxy().address("web"), get("/stayer", GOOD)).status, 200, "another's status")
    finally:
        pause.set()
        auth().on("/verify?x=1", verify)


@contextlib.contextmanager
def waiting(target):
    """A daemon of its own, a client that waits for the server's word, and what lets it come."""
    pause = threading.Event()
    gate = Origin(lambda request, link: (pause.wait(WAIT), verify(request, link))[1])
    daemon = Daemon(CONF, ORIGIN=origin().port, AUTH=gate.port)
    try:
        with Client(daemon.address("web")) as client:
            client.send(get(target, GOOD))
            gate.wait_for(lambda: gate.requests, "a question")
            yield daemon, client, pause
    finally:
        pause.set()
        daemon.close()
        gate.close()


@test("a daemon that is stopped answers who waits for the server, and ends")
def _():
    with waiting("/waiting") as (daemon, client, pause):
        daemon.signal(signal.SIGTERM)
        pause.set()
        equal(client.read().status, 200, "status")
        client.close()
        equal(daemon.wait_end(), 0, "status of the daemon")


@test("after a reload questions that run are ended as they were begun")
def _():
    with waiting("/reloaded") as (daemon, client, pause):
        daemon.reload(CONF.replace('"gate"', '"door"').replace("/verify?x=1", "/else"))
        pause.set()
        equal(client.read().status, 200, "status")


# ---- kept for a short while


def kept(*fields, target="/kept-page"):
    response = ask(proxy().address("kept"), get(target, *fields))
    return response.status


def questions():
    return len(auth().seen("/kept"))


@test("an answer counts for equal requests, with all that came with it")
def _():
    auth().on("/kept", verify)
    before = questions()
    for number in range(3):
        equal(kept(GOOD, f"X-Number: {number}"), 200, "status")
    equal(questions(), before + 1, "questions")
    equal([r.get("X-Role") for r in origin().seen("/kept-page")][-3:], ["one, two"] * 3,
          "copied fields")
    equal(auth().seen("/kept")[-1].get("Host"), "gate.test", "Host")


@test("an answer counts for no other user, URL or method")
def _():
    auth().on("/kept", verify)
    equal(kept(GOOD), 200, "status")
    before = questions()
    equal(kept("Cookie: session=guest"), 200, "another user's status")
    equal(kept(), 401, "nobody's status")
    equal(kept(GOOD, target="/kept-page?2"), 200, "status of another URL")
    equal(ask(proxy().address("kept"), get("/kept-page", GOOD, method="DELETE")).status, 200,
          "status of another method")
    equal(questions(), before + 4, "questions")


@test("what may not be stored, or brings a cookie, is not kept; neither are refusals")
def _():
    def picky(request, link):
        number = request.get("X-Number")
        if number == "1":
            return answer(b"", "Remote-User: a", "Cache-Control: private, no-store")
        if number == "2":
            return answer(b"", "Remote-User: a", "Set-Cookie: a=b")
        return answer(b"no", status="403 Forbidden")

    auth().on("/kept", picky)
    before = questions()
    for number, status in ((1, 200), (2, 200), (3, 403)):
        for _ in range(2):
            equal(kept("Cookie: picky", f"X-Number: {number}", target=f"/picky{number}"), status,
                  "status")
    equal(questions(), before + 6, "questions")


@test("equal requests at a time wait for one answer; one that leaves does not end it")
def _():
    pause = threading.Event()
    auth().on("/kept", lambda request, link: (pause.wait(WAIT), verify(request, link))[1])
    before = questions()
    clients = [Client(proxy().address("kept")) for _ in range(8)]
    try:
        for client in clients:
            client.send(get("/joined", GOOD))
        auth().wait_for(lambda: questions() > before, "a question")
        clients.pop(0).reset()
        equal(proxy().wait_record("/joined")["end"], "client_abort", "end of who left")
        pause.set()
        for client in clients:
            equal(client.read().status, 200, "status")
        equal(questions(), before + 1, "questions")
    finally:
        pause.set()
        for client in clients:
            client.close()


# ---- other ways


@test("a forward proxy's log-in is asked for as proxies do, and shown to the server alone")
def _():
    target = f"http://127.0.0.1:{origin().port}/outside"
    before = len(auth().seen("/verify?x=1"))
    with Client(proxy().address("out")) as client:
        response = client.ask(get(target, "Cookie: session=good", "Authorization: Bearer theirs"))
        equal(response.status, 407, "status")
        equal(response.get("Proxy-Authenticate"), 'Basic realm="gate"', "challenge")
        response = client.ask(get(target, "Proxy-Authorization: Basic Z29vZA==",
                                  "Authorization: Bearer theirs"))
        equal(response.status, 200, "status with a log-in")
    shown = auth().seen("/verify?x=1")[before:]
    check(not shown[0].has("Cookie") and not shown[0].has("Authorization"),
          "the server was shown what is for the origin")
    equal(shown[1].all("Authorization"), ["Basic Z29vZA=="], "the log-in")
    seen = origin().wait_request("/outside")
    equal(seen.all("Authorization"), ["Bearer theirs"], "what is for the origin")
    check(not seen.has("Proxy-Authorization"), "the log-in was passed on")


@test("tunnels are asked about, too")
def _():
    place = f"127.0.0.1:{origin().port}"
    with Client(proxy().address("out")) as client:
        client.send(head(f"CONNECT {place} HTTP/1.1", f"Host: {place}"))
        equal(client.read("CONNECT").status, 407, "status")
    with Client(proxy().address("out")) as client:
        client.send(head(f"CONNECT {place} HTTP/1.1", f"Host: {place}",
                         "Proxy-Authorization: Basic Z29vZA=="))
        equal(client.read("CONNECT").status, 200, "status with a log-in")
        equal(client.ask(get("/inside")).status, 200, "status through it")
    equal(auth().seen("/verify?x=1")[-1].get("X-Forwarded-Uri"), place, "X-Forwarded-Uri")


# A second daemon stands before the server, and speaks what Python does not.
DOOR = """
workers = 1;
listeners = (
    { name = "h2c"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { certificates = ( { chain = "@CHAIN@"; key = "@KEY@"; } ); }; }
);
groups = ( { name = "auth"; endpoints = ( { to = "127.0.0.1:@AUTH@"; } ); } );
sites = ( { name = "all"; default = true; group = "auth"; } );
"""

FRONT = """
workers = 1;
listeners = (
    { name = "h2c"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "h2c"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "tls"; },
    { name = "wrong"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "wrong"; }
);
groups = (
    { name = "app"; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "door"; protocol = "h2c"; endpoints = ( { to = "127.0.0.1:@H2C@"; } ); }
);
users = (
    { name = "h2c"; kind = "forward_auth"; to = "/verify?x=1"; group = "door"; },
    { name = "tls"; kind = "forward_auth"; to = "https://localhost:@TLS@/verify?x=1";
      tls_ca = "@CA@"; },
    { name = "wrong"; kind = "forward_auth"; to = "https://127.0.0.2:@TLS@/verify?x=1";
      tls_ca = "@CA@"; }
);
policies = (
    { name = "h2c"; users = "h2c"; rules = ( { action = "authenticate"; } ); },
    { name = "tls"; users = "tls"; rules = ( { action = "authenticate"; } ); },
    { name = "wrong"; users = "wrong"; rules = ( { action = "authenticate"; } ); }
);
sites = ( { name = "all"; default = true; group = "app"; } );
"""

certificates = once(Certificates)


@once
def door() -> Daemon:
    certificates().authority("root")
    certificates().issue("door", "root", ["DNS:localhost"])
    return Daemon(DOOR, AUTH=auth().port, CHAIN=certificates().path("door.pem"),
                  KEY=certificates().path("door.key"))


def port_of(address):
    return address.rsplit(":", 1)[1]


@once
def front() -> Daemon:
    door()
    return Daemon(FRONT, ORIGIN=origin().port, CA=certificates().path("root.pem"),
                  H2C=port_of(door().address("h2c")), TLS=port_of(door().address("tls")))


@test("the server may speak HTTP/2, and TLS if it is who it should be")
def _():
    equal(ask(front().address("h2c"), get("/h2c", GOOD)).status, 200, "status by HTTP/2")
    equal(ask(front().address("h2c"), get("/h2c")).status, 401, "refusal by HTTP/2")
    equal(ask(front().address("tls"), get("/tls", GOOD)).status, 200, "status by TLS")
    equal(ask(front().address("wrong"), get("/tls", GOOD)).status, 503, "status of another name")


@test("a server behind the listener that asks it is found out, not asked for ever")
def _():
    with Daemon(CONF, ORIGIN=origin().port, AUTH=auth().port) as daemon:
        mine = daemon.address("nobody")
        daemon.reload(CONF.replace("http://127.0.0.1:1/", f"http://{mine}/loop")
                      .replace('name = "nobody"; mode = "reverse"; listen = "127.0.0.1:0"',
                               f'name = "nobody"; mode = "reverse"; listen = "{mine}"'))
        equal(ask(mine, get("/loop")).status, 503, "status")
        daemon.wait_log("it answers 508")


main()
