# SPDX-License-Identifier: BSD-2-Clause
"""Reloads: tunnels and upgraded connections are judged again by the new rules, and what these let
live flows on (modes/judge_tunnel.c, modes/tunnels.c)."""

import os

from bascule_flow import both, check, equal, main, test
from judging import BOTH, LIMITS, ask, echo, open_tunnel, origin, reload, start, upgrade
from peers import HttpParent, until


@test("tunnels are judged again: what new rules deny is closed, the rest lives")
def _():
    with start('{ when = { host = "nowhere.test"; }; action = "deny"; }') as daemon:
        with open_tunnel(daemon) as client, \
                open_tunnel(daemon, f"localhost:{echo().port}") as other:
            check(client.echoes(b"one") and other.echoes(b"one"), "both flow")
            reload(daemon, '{ name = "now"; when = { host = "127.0.0.1"; }; action = "deny"; }')
            check(client.has_ended(), "it is not closed")
            daemon.wait_log("tunnel of client .* closed after reload: .*now")
            check(other.echoes(b"two"), "the other one lives")
            reload(daemon, '{ when = { destination = "127.0.0.0/8"; }; action = "deny"; }')
            check(other.has_ended(), "it is not closed for its address")


@both("upgraded connections are judged again")
def _(way):
    with start('{ when = { path = "/none"; }; action = "deny"; }') as daemon:
        with upgrade(daemon, way, "/closed") as closed, upgrade(daemon, way, "/kept") as kept:
            check(closed.echoes(b"one") and kept.echoes(b"one"), "both flow")
            reload(daemon, '{ name = "no"; when = { path = "/closed"; }; action = "deny"; }')
            check(closed.has_ended(), "what is denied now goes on")
            check(kept.echoes(b"two"), "what is not does not")


@both("an upgraded connection on the way of a cache ends like others")
def _(way):
    with start('{ when = { path = "/none"; }; action = "deny"; }', WORKERS=1) as daemon:
        with upgrade(daemon, way, "/ws") as client:
            check(client.echoes(b"one"), "it flows")
            daemon.reload()
            daemon.reload()
            check(client.echoes(b"two"), "it flows on")
        daemon.wait_record(way.target(origin(), "/ws"))
        equal(ask(daemon, way, "/after").status, 200, "the next one")


@test("a reload takes a tunnel's parent for no destination")
def _():
    parent = HttpParent()
    inside = '{ name = "inside"; when = { destination = "127.0.0.0/8"; }; action = "deny"; }'
    elsewhere = '{ upstream_proxy = "http://127.0.0.1:%d"; }' % parent.port
    guarded = BOTH.replace('allow_destination = [ "127.0.0.0/8" ];', "")
    for conf, rules in ((BOTH, f"{elsewhere}, {inside}"), (guarded, elsewhere)):
        with start(rules, conf=conf) as daemon:
            with open_tunnel(daemon, f"somewhere.test:{echo().port}") as client:
                check(client.echoes(b"one"), "it flows")
                for _ in range(2):
                    daemon.reload()
                    check(client.echoes(b"two"), "it goes on")
    parent.close()


def resident(daemon):
    """Bytes in memory of the worker process."""
    with open(f"/proc/{daemon.children()[0]}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@test("a hundred reloads with open tunnels: they flow on, and memory stays", timeout=180,
      heavy=True)
def _():
    names = ",".join(f'"host{n}.test"' for n in range(2000))
    more = f'lists = ( {{ name = "many"; kind = "domains"; items = [ {names} ]; }} );{LIMITS}'
    rules = """{ when = { host_in = "many"; }; action = "deny"; }, { limit = "three"; },
               { when = { sni = "bad.test"; }; action = "deny"; },
               { set_response = "X-Is: %{host}"; tags = [ "one", "two" ]; }"""
    with start(rules, more, 'sni_wait = "100ms";') as daemon:
        tunnels = [open_tunnel(daemon) for _ in range(20)]
        check(all(tunnel.echoes(b"one") for tunnel in tunnels), "all flow")
        for _ in range(20):
            daemon.reload()
        before = resident(daemon)
        for _ in range(80):
            daemon.reload()
        check(all(tunnel.echoes(b"two") for tunnel in tunnels), "all flow on")
        until(lambda: resident(daemon) - before < 4 << 20, "no more than 4 MiB remain")
        for tunnel in tunnels:
            tunnel.close()


main()
