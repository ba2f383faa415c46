# SPDX-License-Identifier: BSD-2-Clause
"""Rules on tunnels: what they ask and do of CONNECT, and of the name in the TLS that flows inside,
which is read without being opened (modes/judge*.c, modes/tunnels.c, server/net/tunnel.c)."""

import time

import h2
from bascule_flow import Client, Origin, check, connect_head, equal, main, once, test
from judging import LIMITS, ask_tunnel, echo, open_tunnel, rule_of, start
from peers import until
from secure import client_hello

DENY_BAD = '{ name = "bad"; when = { sni = "bad.test"; }; action = "deny"; }'


def tunnels(rules, more="", wait="20s", policy=""):
    return start(rules, more, f'sni_wait = "{wait}"; {policy}')


def is_refused(client, name):
    """Whether a tunnel is closed for the name that TLS asks for in it."""
    client.try_send(client_hello(name))
    return client.has_ended()


# ---- CONNECT


# name: (conditions that are true of CONNECT www.bad.test:443, conditions that are false)
FACTS = {
    "listener": ('listener = "out";', 'listener = "web";'),
    "mode": ('mode = "forward";', 'mode = [ "reverse", "port" ];'),
    "client": ('client = "127.0.0.0/8";', 'client = "192.0.2.0/24";'),
    "client_in": ('client_in = "near";', 'client_in = "far";'),
    "time": ('time = "00:00-24:00";', 'time = "2001-01-01";'),
    "method": ('method = "CONNECT";', 'method = [ "GET", "POST" ];'),
    "host": ('host = "*.bad.test";', 'host = "bad.test";'),
    "host_in": ('host_in = "bad-hosts";', 'host_in = "good-hosts";'),
    "port": ('port = 443;', 'port = 80;'),
    "url_regex": ('url_regex = "^www[.]bad[.]test:443$";', 'url_regex = "/";'),
    "header": ('header = ( { name = "User-Agent"; regex = "bot"; } );',
               'header = ( { name = "User-Agent"; value = "bot"; } );'),
    "set": ('set = "secure";', 'set = "plain";'),
    "any": ('any = ( { port = 80; }, { port = 443; } );',
            'any = ( { port = 80; }, { port = 81; } );'),
    "all": ('all = ( { port = 443; }, { method = "CONNECT"; } );',
            'all = ( { port = 443; }, { method = "GET"; } );'),
    "over": ('not = ( { over = "three"; } );', 'over = "three";'),
    # What it does not have: a path, a query, a response.
    "path": ('not = ( { path = "/*"; } );', 'path = "/*";'),
    "path_regex": ('not = ( { path_regex = "."; } );', 'path_regex = ".";'),
    "query": ('not = ( { query = "x"; } );', 'query = "x";'),
    "status": ('not = ( { status = "100-599"; } );', 'status = "100-599";'),
    "content_type": ('not = ( { content_type = "*/*"; } );', 'content_type = "text/*";'),
    "longer_than": ('not = ( { longer_than = "1"; } );', 'longer_than = "1";'),
}

CONNECT_MORE = LIMITS + """
lists = ( { name = "near"; kind = "networks"; items = "127.0.0.0/8"; },
          { name = "far"; kind = "networks"; items = "192.0.2.0/24"; },
          { name = "bad-hosts"; kind = "domains"; items = "bad.test"; },
          { name = "good-hosts"; kind = "domains"; items = "good.test"; } );
sets = ( { name = "secure"; when = { port = 443; }; },
         { name = "plain"; when = { port = 80; }; } );
"""


def of_case(name, condition, action):
    """A rule for those whose X-Case it is."""
    return f"""{{ name = "{name}"; {action}
                  when = {{ header = ( {{ name = "X-Case"; value = "{name.partition(".")[0]}"; }} );
                           all = ( {{ {condition} }} ); }}; }}"""


ACTIONS = {
    "allow": 'action = "allow"; tags = "seen";',
    "deny": 'action = "deny"; status = 451; why = "For reasons of law.";',
    "drop": 'action = "drop";',
    "redirect": 'action = "redirect"; redirect = "http://elsewhere.test/?h=%{host}";',
    "tell": 'set_response = "X-Rule: told";',
    "limit": 'limit = "three";',
    "group": 'group = "second";',
    "trial": 'action = "deny"; log_only = true;',
}


@once
def connects():
    rules = [of_case(name + suffix, condition, 'action = "deny";')
             for name, conditions in FACTS.items()
             for suffix, condition in zip((".false", ""), reversed(conditions))]
    rules += [of_case(f"to-{name}", 'method = "CONNECT";', action)
              for name, action in ACTIONS.items()]
    return start(",".join([*rules, '{ name = "last"; when = { header = '
                           '( { name = "X-Case"; value = "to-allow"; } ); }; action = "deny"; }']),
                 CONNECT_MORE)


def fact(name):
    @test(f"a rule on CONNECT asks for {name}: {FACTS[name][0]}")
    def _():
        response = ask_tunnel(connects(), "www.bad.test:443", f"X-Case: {name}",
                              "User-Agent: SuperbotX/1")
        equal((response.status, rule_of(response)), (403, name), "answer")


for each in FACTS:
    fact(each)


def ask_action(name, *fields):
    """The answer to a CONNECT that would succeed."""
    return ask_tunnel(connects(), f"127.0.0.1:{echo().port}", f"X-Case: to-{name}",
                      f"User-Agent: {name}", *fields)


def record_of(name):
    """What the log says of it."""
    return until(lambda: next((record for record in connects().records()
                               if record.get("user_agent") == name), None), "its line in the log")


@test("allow, deny and redirect answer a CONNECT as they answer a request")
def _():
    equal(ask_action("allow").status, 200, "allowed, whatever comes behind")
    equal((record_of("allow")["tags"], record_of("allow")["rule"]), ("seen", "to-allow"), "the log")
    before = echo().connections
    denied = ask_action("deny")
    equal((denied.status, rule_of(denied)), (451, "to-deny"), "denied")
    equal(echo().connections, before, "nobody is connected for it")
    redirected = ask_action("redirect")
    equal((redirected.status, redirected.get("Location")),
          (302, "http://elsewhere.test/?h=127.0.0.1"), "redirected")


@test("drop closes the connection of a CONNECT without a word")
def _():
    with Client(connects().address("out")) as client:
        client.send(connect_head(f"127.0.0.1:{echo().port}", "X-Case: to-drop"))
        check(client.has_ended(), "something was said")


@test("set_response tells who asked for a tunnel")
def _():
    response = ask_action("tell")
    equal((response.status, response.get("X-Rule")), (200, "told"), "answer")


@test("no group is between a tunnel and whom it was asked for")
def _():
    with Client(connects().address("out")) as client:
        request = connect_head(f"127.0.0.1:{echo().port}", "X-Case: to-group")
        equal(client.ask(request, "CONNECT").status, 200, "status")
        check(client.echoes(b"hello"), "it goes elsewhere")


@test("a limit lets so many tunnels through, and says when to come back")
def _():
    found = [ask_action("limit", "X-Key: tunnels") for _ in range(4)]
    equal([response.status for response in found], [200, 200, 200, 429], "statuses")
    check(found[-1].has("Retry-After"), "when")
    equal(ask_action("limit", "X-Key: others").status, 200, "another key")


@test("log_only does nothing to a tunnel, and tells the log what would have been done")
def _():
    equal(ask_action("trial").status, 200, "status")
    equal(record_of("trial")["tags"], "log_only:to-trial", "tags")


# ---- the name inside


@test("a tunnel is judged by the name in the TLS inside it, and nothing of that goes further")
def _():
    with tunnels('{ name = "bad"; when = { sni = "*.bad.test"; }; action = "deny"; }') as daemon:
        with open_tunnel(daemon) as client:
            check(client.echoes(client_hello("good.test")), "another name passes")
            check(client.echoes(b"more"), "and what follows")
        before = echo().bytes_received()
        with open_tunnel(daemon) as client:
            check(is_refused(client, "www.bad.test"), "it is not closed")
        daemon.wait_log("tunnel of client .* closed: .*bad")
        equal(echo().bytes_received(), before, "bytes that reached the other side")


@test("rules ask whether lists of domains have the name in a tunnel")
def _():
    with tunnels('{ name = "listed"; when = { sni_in = "bad"; }; action = "deny"; }',
                 'lists = ( { name = "bad"; kind = "domains"; items = "bad.test"; } );') as daemon:
        with open_tunnel(daemon) as client:
            check(client.echoes(client_hello("notbad.test")), "another name passes")
        with open_tunnel(daemon) as client:
            check(is_refused(client, "www.BAD.test"), "one below a name in the list is not closed")


@test("a name that differs from the host of CONNECT is a fact")
def _():
    with tunnels('{ name = "fronting"; when = { sni_differs = true; }; action = "deny"; }') \
            as daemon:
        target = f"localhost:{echo().port}"
        with open_tunnel(daemon, target) as client:
            check(client.echoes(client_hello("localhost")), "the same name")
        with open_tunnel(daemon, target) as client:
            check(is_refused(client, "other.test"), "it is not closed")


@test("the name in a tunnel is the same with a dot at its end")
def _():
    with tunnels(DENY_BAD) as daemon:
        with open_tunnel(daemon) as client:
            check(is_refused(client, "bad.test"), "without")
        with open_tunnel(daemon) as client:
            client.try_send(client_hello("bad.testX").replace(b"bad.testX", b"bad.test."))
            check(client.has_ended(), "with a dot")


@test("what rules on the name in a tunnel say besides no closes it")
def _():
    users = 'users = ( { name = "cards"; kind = "certificate"; } );'
    with tunnels("""{ name = "drop"; when = { sni = "drop.test"; }; action = "drop"; },
                    { name = "who"; when = { sni = "who.test"; }; action = "authenticate"; },
                    { name = "away"; when = { sni = "away.test"; }; action = "redirect";
                      redirect = "http://elsewhere.test/"; },
                    { name = "one"; when = { sni = "one.test"; }; limit = "one"; }""",
                 users + LIMITS, policy='users = "cards";') as daemon:
        for name in ("drop", "who", "away"):
            with open_tunnel(daemon) as client:
                check(is_refused(client, f"{name}.test"), name)
        with open_tunnel(daemon) as first, open_tunnel(daemon) as second:
            check(first.echoes(client_hello("one.test")), "within the limit")
            check(is_refused(second, "one.test"), "over the limit")


@test("a later rule never overtakes one that waits")
def _():
    rules = ('{ name = "first"; when = { sni = "good.test"; }; action = "allow"; },'
             '{ name = "rest"; action = "deny"; }')
    with tunnels(rules) as daemon:
        with open_tunnel(daemon) as client:
            check(client.echoes(client_hello("good.test")), "allowed by the first")
        with open_tunnel(daemon) as client:
            check(is_refused(client, "else.test"), "it is not closed")


# ---- how the name comes


@test("a ClientHello is seen in pieces, byte by byte, and behind its CONNECT")
def _():
    with tunnels(DENY_BAD) as daemon:
        hello = client_hello("bad.test")
        for pieces in ((hello[:50], hello[50:100], hello[100:]),
                       [hello[i : i + 1] for i in range(len(hello))]):
            with open_tunnel(daemon) as client:
                for piece in pieces:
                    client.try_send(piece)
                check(client.has_ended(), f"in {len(pieces)} pieces")
        with Client(daemon.address("out")) as client:
            client.send(connect_head(f"127.0.0.1:{echo().port}") + hello)
            equal(client.read("CONNECT").status, 200, "status")
            check(client.has_ended(), "behind")


@test("a ClientHello that is not whole in time is not let on")
def _():
    with tunnels(DENY_BAD, wait="200ms") as daemon:
        hello = client_hello("bad.test")
        for first in (1, 3, 60, len(hello) - 1):
            with Client(daemon.address("out")) as client:
                client.send(connect_head(f"127.0.0.1:{echo().port}") + hello[:first])
                equal(client.read("CONNECT").status, 200, "status")
                check(client.has_ended(), f"{first} bytes of it, and then nothing")
        with open_tunnel(daemon) as client:
            check(client.echoes(b"SSH-2.0-x\r\n"), "what is no TLS flows")
        with open_tunnel(daemon) as client:
            time.sleep(0.4)
            check(client.echoes(b"late"), "who says nothing is not held up for long")


@test("what is no TLS has no name, and is not waited for")
def _():
    with tunnels(DENY_BAD) as daemon, open_tunnel(daemon) as client:
        check(client.echoes(b"SSH-2.0-x\r\n"), "it flows")


@test("a server that speaks first is heard, and a client that says nothing is let through in time")
def _():
    talker = Origin(serve=lambda link: (link.sock.sendall(b"220 hello\r\n"),
                                        link.sock.recv(100), link.sock.sendall(b"250 ok\r\n")))
    with tunnels(DENY_BAD, wait="300ms") as daemon:
        with open_tunnel(daemon, f"127.0.0.1:{talker.port}") as client:
            equal(client.exactly(11), b"220 hello\r\n", "the greeting")
            client.send(b"EHLO\r\n")
            equal(client.exactly(8), b"250 ok\r\n", "the answer")
    talker.close()


@test("the name in a tunnel is seen in a stream of HTTP/2 as well")
def _():
    with tunnels(DENY_BAD) as daemon:
        client = h2.h2c(daemon.address("out"))
        client.greet()
        target = f"127.0.0.1:{echo().port}"
        fields = h2.request(None, method="CONNECT", authority=target, scheme=None)
        bad, good = client.open(fields, end=False), client.open(fields, end=False)
        for stream in (bad, good):
            equal(client.head(stream).status, 200, "status")
        hello = client_hello("good.test")
        client.send_data(bad, client_hello("bad.test"), end=False)
        client.expect_reset(bad, *h2.Error)
        client.send_data(good, hello, end=False)
        client.until(lambda: len(client.answers[good].body) >= len(hello), "the echo")
        client.close()


main()
