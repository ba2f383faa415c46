# SPDX-License-Identifier: BSD-2-Clause
"""Rules on where requests and tunnels of a forward proxy go, and rules that send them another way:
addresses, parent proxies, the address that is connected from (modes/judge*.c)."""

import json

from bascule_flow import FORWARD, REVERSE, Client, Daemon, Origin, answer, check, equal, main, test
from judging import (GEO, GeoDaemon, Staff, STAFF, ask, ask_tunnel, echo, open_tunnel, origin, play,
                     request_of, rule_of, start)
from peers import HttpParent, NameServer, until


def deny(name, condition):
    return f'{{ name = "{name}"; when = {{ {condition} }}; action = "deny"; }}'


def denied_by(daemon, host):
    """Which rule denies a request, and which one a tunnel."""
    return (rule_of(ask(daemon, FORWARD, "/", host=f"{host}:{origin().port}")),
            rule_of(ask_tunnel(daemon, f"{host}:{echo().port}")))


# ---- where it goes


@test("requests and tunnels are judged by the address behind the name")
def _():
    with start(deny("inside", 'destination = "127.0.0.0/8";')) as daemon:
        for host in ("localhost", "127.0.0.1"):
            equal(denied_by(daemon, host), ("inside", "inside"), host)
    with start(deny("elsewhere", 'destination = "127.0.0.2";')) as daemon:
        for host in ("localhost", "127.0.0.1"):
            equal(denied_by(daemon, host), (None, None), host)


@test("rules ask for the country and the network of the destination")
def _():
    rules = ",".join((deny("to-nl", 'destination_country = "NL";'),
                      deny("to-as", "destination_as = 64500;"),
                      deny("to-de", 'destination_country = "DE"; header = "X-Strict";')))
    with start(rules, GEO, kind=GeoDaemon) as daemon:
        for host, rule in (("127.0.0.9", "to-nl"), ("127.0.0.2", "to-as"), ("127.0.0.1", None)):
            equal(denied_by(daemon, host), (rule, rule), host)
        equal(rule_of(ask(daemon, FORWARD, "/", "X-Strict: x")), "to-de", "another country")
        equal(ask(daemon, REVERSE, "/", "X-Strict: x").status, 200,
              "the endpoints of a group are nobody's affair")


@test("rules ask whether lists of networks have the destination")
def _():
    with start(deny("near", 'destination_in = "near";'),
               'lists = ( { name = "near"; kind = "networks"; items = "127.0.0.8/31"; } );') \
            as daemon:
        equal(denied_by(daemon, "127.0.0.9"), ("near", "near"), "in it")
        equal(denied_by(daemon, "127.0.0.1"), (None, None), "not in it")


@test("an address has one spelling for rules")
def _():
    with start(deny("to", 'destination = "127.0.0.0/8";')) as daemon:
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1."):
            for response in (ask_tunnel(daemon, f"{host}:{echo().port}"),
                             ask(daemon, FORWARD, "/", host=f"{host}:{echo().port}")):
                check(response.status in (400, 403), f"{host}: {response.status}")


@test("addresses of which rules say something else than of the first are not connected to")
def _():
    rules = """{ when = { destination = "127.0.0.3"; }; action = "authenticate"; },
               { when = { destination = "127.0.0.4"; sni = ""; }; action = "deny"; }"""
    names = NameServer(two=["127.0.0.2", "127.0.0.3"], three=["127.0.0.2", "127.0.0.4"],
                       inside=["127.0.0.3"])
    resolver = 'resolver = { servers = [ "127.0.0.1:%d" ]; min_ttl = "0s"; };' % names.port
    listener = Origin(play, host="127.0.0.3")
    silent = Origin(host="127.0.0.4")
    with start(rules, STAFF + resolver, 'users = "staff";', kind=Staff) as daemon:
        equal(ask(daemon, FORWARD, "/", host=f"inside.test:{listener.port}").status, 407, "inside")
        equal(ask(daemon, FORWARD, "/", host=f"two.test:{listener.port}").status, 502,
              "the first is not there, and the second is not for everybody")
        equal(ask_tunnel(daemon, f"three.test:{silent.port}").status, 502, "a tunnel")
    equal((listener.connections, silent.connections), (0, 0), "connections")
    for server in (listener, silent, names):
        server.close()


@test("an address that is found only after the rules were asked is not connected")
def _():
    names = NameServer(late={"addresses": ["127.0.0.1"], "ttl": 0, "fails_first": 1})
    resolver = ('resolver = { servers = [ "127.0.0.1:%d" ]; tries = 1; min_ttl = "0s"; };'
                % names.port)
    count = len(origin().requests)
    try:
        with start(deny("inside", 'destination = "127.0.0.0/8";'), resolver) as daemon:
            def status():
                return ask(daemon, FORWARD, "/", host=f"late.test:{origin().port}").status

            check(status() in (403, 502), "the name server's answer comes too late")
            until(lambda: status() == 403, "once it answers, the rule decides")
    finally:
        names.close()
    equal(len(origin().requests), count, "requests that reached the origin")


# ---- parent proxies


PARENT = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
policies = ( { name = "mark"; rules = ( { set_request = "X-Parent: seen"; } ); } );
listeners = ( { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "mark";
                allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535";
                http_ports = "1-65535"; } );
"""


@test("upstream_proxy goes by way of a parent, and direct by none")
def _():
    with Daemon(PARENT) as parent:
        rules = """{ when = { path = "/direct"; }; upstream_proxy = "direct"; },
                   { when = { any = ( { path = "/parent"; }, { port = %d; } ); };
                     upstream_proxy = "http://%s"; }""" % (echo().port, parent.address("out"))
        with start(rules) as daemon:
            for path in ("/parent", "/direct"):
                body = json.loads(ask(daemon, FORWARD, path).body)
                equal("x-parent" in body, path == "/parent", f"{path} was seen by the parent")
            client = open_tunnel(daemon)
            check(client.echoes(b"one"), "a tunnel through the parent")
            client.close()
            until(lambda: any(r["method"] == "CONNECT" for r in parent.records()),
                  "the parent's log has the tunnel")


@test("upstream_proxy = \"direct\" passes a listener's own parent by")
def _():
    parent = HttpParent()
    with start('{ when = { any = ( { path = "/direct"; }, { port = %d; } ); }; '
               'upstream_proxy = "direct"; }' % echo().port,
               OUT=f'upstream_proxy = "http://127.0.0.1:{parent.port}";') as daemon:
        equal(ask(daemon, FORWARD, "/parent").body, b"hello\n", "the parent answers")
        check(b"from" in ask(daemon, FORWARD, "/direct").body, "the origin answers")
        with open_tunnel(daemon) as client:
            check(client.echoes(b"one"), "a tunnel")
        equal(parent.asked, [], "tunnels that the parent was asked for")
    parent.close()


AFTER_DESTINATION = '{ when = { destination = "192.0.2.0/24"; }; action = "deny"; }, '


@test("what a rule behind one on the destination sends directly is asked as origins are, without "
      "the parent's password")
def _():
    parent = HttpParent(user="us", password="secret")
    with start(AFTER_DESTINATION + '{ when = { path = "/direct"; }; upstream_proxy = "direct"; }',
               OUT=f'upstream_proxy = "http://us:secret@127.0.0.1:{parent.port}";') as daemon:
        seen = json.loads(ask(daemon, FORWARD, "/direct").body)
        equal(seen["target"], "/direct", "the target")
        check("proxy-authorization" not in seen, "the origin was told the parent's password")
        equal(ask(daemon, FORWARD, "/other").body, b"hello\n", "others go by the parent")
    parent.close()


@test("what a rule behind one on the destination sends to a parent is asked as parents are")
def _():
    parent = HttpParent(user="us", password="secret")
    with start(AFTER_DESTINATION + '{ upstream_proxy = "http://us:secret@127.0.0.1:%d"; }'
               % parent.port) as daemon:
        equal(ask(daemon, FORWARD, "/by").body, b"hello\n", "the parent answers")
    parent.close()


# ---- where it comes from


@test("source: the connection comes from that address, for a request or a tunnel")
def _():
    seen = []
    listener = Origin(serve=lambda link: seen.append(link.sock.getpeername()[0]))
    with start('{ when = { any = ( { path = "/from"; }, { port = %d; } ); }; '
               'source = "127.0.0.2"; }' % listener.port) as daemon:
        for path, address in (("/from", "127.0.0.2"), ("/other", "127.0.0.1"),
                              ("/from", "127.0.0.2")):
            equal(json.loads(ask(daemon, FORWARD, path).body)["from"], address, path)
        with open_tunnel(daemon, f"127.0.0.1:{listener.port}") as client:
            check(client.has_ended(), "the tunnel ends")
    equal(seen, ["127.0.0.2"], "where the tunnel came from")
    listener.close()


@test("source: connections to a parent proxy come from that address, and from no other")
def _():
    seen = {}

    def tell(request, link):
        seen[request.target.rpartition("/")[2]] = link.sock.getpeername()[0]
        return answer(b"ok")

    parent = HttpParent()
    parent.handler = tell
    with start('{ when = { path = "/from"; }; source = "127.0.0.2"; }',
               OUT=f'upstream_proxy = "http://127.0.0.1:{parent.port}";') as daemon:
        with Client(daemon.address("out")) as client: # one: its worker has the connections
            for path in ("/other", "/from", "/other"):
                equal(client.ask(request_of(FORWARD, path)).status, 200, path)
    parent.close()
    equal(seen, {"other": "127.0.0.1", "from": "127.0.0.2"}, "where they came from")


main()
