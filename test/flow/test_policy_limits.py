# SPDX-License-Identifier: BSD-2-Clause
"""Limits of rules over time: what counts stays over a reload, and what was taken is given back
whatever the end (modes/judge_limits.c, server/policy/limit.c)."""

import h2
from bascule_flow import FORWARD, CutShort, both, check, equal, main, test
from judging import LIMITS, ask, ask_tunnel, echo, open_tunnel, origin, start
from peers import until
from secure import client_hello


@both("a reload forgets nothing of what limits have counted")
def _(way):
    rule = '{ name = "limited"; limit = "three"; }'
    with start(rule, LIMITS) as daemon:
        statuses = [ask(daemon, way, "/", "X-Key: a").status for _ in range(2)]
        daemon.reload()
        statuses += [ask(daemon, way, "/", "X-Key: a").status for _ in range(2)]
        equal(statuses, [200, 200, 200, 429], "statuses")


@both("log_only of a limit counts, says so in the log, and refuses nothing")
def _(way):
    with start('{ name = "trial"; limit = "three"; log_only = true; }', LIMITS) as daemon:
        found = [ask(daemon, way, f"/{n}", "X-Key: a").status for n in range(5)]
        equal(found, [200] * 5, "statuses")
        records = [daemon.wait_record(way.target(origin(), f"/{n}")) for n in range(5)]
        trails = [daemon.command("explain", record["id"]) for record in records]
        said = ["limit three is exceeded" in trail for trail in trails]
        equal(said, [False] * 3 + [True] * 2, f"which were over the limit: {trails}")


# ---- tunnels


@test("a limit that is over closes no tunnel that it let in")
def _():
    with start('{ name = "over"; when = { over = "few"; }; action = "deny"; }',
               'limits = ( { name = "few"; key = "client"; rate = "1/1h"; } );') as daemon:
        with open_tunnel(daemon) as client:
            equal(ask(daemon, FORWARD, "/").status, 403, "the next one")
            daemon.reload()
            check(client.echoes(b"two"), "it goes on")


@test("a tunnel that waits for a name while there is a reload gives back what it had of a limit")
def _():
    rules = '{ limit = "one"; }, { when = { sni = "bad.test"; }; action = "deny"; }'
    with start(rules, LIMITS, 'sni_wait = "20s";') as daemon:
        with open_tunnel(daemon) as client:
            equal(ask(daemon, FORWARD, "/").status, 429, "there is no room")
            daemon.reload()
            equal(ask(daemon, FORWARD, "/").status, 429, "it still counts")
            check(client.echoes(b"SSH-2.0-x\r\n"), "it goes on")
        until(lambda: ask(daemon, FORWARD, "/").status == 200, "there is room again")


@test("a reload while the first bytes are awaited gives a limit back when the tunnel ends")
def _():
    rules = '{ limit = "one"; tags = "kept"; }, { when = { sni = "bad.test"; }; action = "deny"; }'
    with start(rules, LIMITS, 'sni_wait = "30s";', WORKERS=1) as daemon:
        with open_tunnel(daemon) as client:
            daemon.reload()
            daemon.reload()
            check(client.echoes(client_hello("good.test")), "the new rules let it on")
            equal(ask_tunnel(daemon, "127.0.0.1:1").status, 429, "a second one meanwhile")
        record = daemon.wait_record(f"127.0.0.1:{echo().port}")
        equal(record["tags"], "kept", "tags")
        open_tunnel(daemon).close()


# ---- ends


@both("whatever the end, a limit on how many at a time is given back")
def _(way):
    rules = """{ limit = "one"; },
               { when = { path = "/deny"; }; action = "deny"; },
               { when = { path = "/drop"; }; action = "drop"; },
               { when = { path = "/late"; status = "200"; }; action = "drop"; },
               { when = { path = "/redirect"; }; action = "redirect"; redirect = "/"; }"""
    with start(rules, LIMITS, WORKERS=1) as daemon:
        for path in ("/", "/deny", "/drop", "/late", "/redirect"):
            for _ in range(2):
                try:
                    status = ask(daemon, way, path).status
                except (CutShort, ConnectionError):
                    status = None
                check(status != 429, f"{path}: {status}")


@both("dropped requests leave other streams of HTTP/2 alone, and give limits back")
def _(way):
    with start('{ limit = "one"; }, { when = { path = "/drop"; }; action = "drop"; }',
               LIMITS) as daemon:
        client = h2.h2c(daemon.address(way.listener))
        client.greet()
        host = f"127.0.0.1:{origin().port}"
        for _ in range(3):
            client.expect_reset(client.open(h2.request("/drop", authority=host)), *h2.Error)
            client.reset_stream(client.open(h2.request("/gone", authority=host)))
        client.ping()
        equal(client.ask(h2.request("/", authority=host)).status, 200, "another one")


main()
