# SPDX-License-Identifier: BSD-2-Clause
"""Rules on who is asking: country and network, TLS and its certificate, user and group; of requests
in both modes and of CONNECT (modes/judge.c, modes/judge_learn.c, server/policy)."""

import base64
import time

import h2
from bascule_flow import (FORWARD, REVERSE, WAIT, Client, both, check, connect_head, equal, main,
                          once, test)
from certs import Certificates
from judging import (BOTH, GEO, LIMITS, STAFF, Gate, GeoDaemon, Staff, ask, echo, origin,
                     request_of, rule_of, start)
from secure import TlsClient, trusting

HOWS = {"reverse": REVERSE, "forward": FORWARD, "tunnel": None}


def each_way(promise):
    """Makes a function of how it is asked three tests."""

    def add(function):
        for how in HOWS:
            test(f"{how}: {promise}")(lambda how=how: function(how))
        return function

    return add


def ask_case(daemon, how, case, *fields, source=None, context=None):
    """The answer to a request, or a CONNECT, that rules tell from others by its X-Case."""
    fields = (f"X-Case: {case}", *fields)
    address = daemon.address("web" if how == "reverse" else "out")
    with TlsClient(address, context) if context else Client(address, source) as client:
        if how == "tunnel":
            return client.ask(connect_head(f"127.0.0.1:{echo().port}", *fields), "CONNECT")
        return client.ask(request_of(HOWS[how], "/", *fields))


def deny(case, condition):
    return f"""{{ name = "{case}"; action = "deny";
                  when = {{ header = ( {{ name = "X-Case"; value = "{case}"; }} );
                           {condition} }}; }}"""


# ---- where the client is


@once
def geo():
    return start(",".join((deny("country", 'country = "FR";'),
                           deny("as", 'as = [ 64496, "AS64500" ];'))), GEO, kind=GeoDaemon)


@each_way("rules ask for the country and the network of the client")
def _(how):
    for case in ("country", "as"):
        response = ask_case(geo(), how, case, source="127.0.0.2")
        equal((response.status, rule_of(response)), (403, case), case)
        equal(ask_case(geo(), how, case, source="127.0.0.9").status, 200, f"{case} elsewhere")


# ---- its TLS


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.issue("site", "root", ["DNS:site.test"])
    made.client("ann")
    made.client("ben")
    return made


TLS_RULES = (
    ("ann", 'not = ( { client_certificate = "ann"; } );'),
    ("mail", 'not = ( { client_certificate = "ann@clients.test"; } );'),
    ("anybody", 'not = ( { client_certificate = "*"; } );'),
    ("issuer", 'not = ( { client_certificate_issuer = "CN=clients"; } );'),
    ("name", 'path = "/"; sni = "site.test";'),
    ("another-name", 'path = "/"; sni = "other.test";'),
    ("secure", 'scheme = "https";'),
)


@once
def badges():
    tls = f"""tls = {{
        certificates = "{certificates().path("site.pem")}";
        client_certificates = {{ mode = "optional"; ca = "{certificates().path("clients.pem")}"; }};
    }};"""
    return start(",".join(deny(*rule) for rule in TLS_RULES), WEB=f"client_cert = true; {tls}",
                 OUT=tls)


@each_way("rules ask for the names and the issuer of the client's certificate")
def _(how):
    cases = ("ann", "mail", "anybody", "issuer")
    for name, statuses in (("ann", [200] * 4), ("ben", [403, 403, 200, 200]), (None, [403] * 4)):
        context = trusting(certificate=certificates().path(f"{name}.pem") if name else None)
        equal([ask_case(badges(), how, case, context=context).status for case in cases], statuses,
              f"statuses of {name}")


@both("rules ask for the name that the client's own TLS asks for")
def _(way):
    for case, status in (("name", 403), ("another-name", 200)):
        equal(ask_case(badges(), way.name, case, context=trusting()).status, status, case)


@both("the scheme is that of the URL, not of the way to a proxy")
def _(way):
    equal(ask_case(badges(), way.name, "secure", context=trusting()).status,
          403 if way is REVERSE else 200, "status")


# ---- users


@once
def staff():
    return start(",".join((
        '{ name = "open"; when = { header = ( { name = "X-Case"; value = "open"; } ); }; '
        'action = "allow"; }',
        '{ name = "who"; action = "authenticate"; }', deny("ben", 'user = "ben";'),
        deny("audit", 'not = ( { user_group = "audit"; } );'),
        deny("known", 'user = "*";').replace("deny", "redirect").replace(
            "when", 'redirect = "http://home.test/"; when'))),
        STAFF, 'users = "staff";', kind=Staff)


def as_user(how, name):
    token = base64.b64encode(f"{name}:{name}".encode()).decode()
    return f"{'' if how == 'reverse' else 'Proxy-'}Authorization: Basic {token}"


@each_way("rules ask who is asking, and in which group that is")
def _(how):
    for case, ann, ben in (("ben", 200, 403), ("audit", 200, 403), ("known", 302, 302)):
        found = tuple(ask_case(staff(), how, case, as_user(how, name)).status
                      for name in ("ann", "ben"))
        equal(found, (ann, ben), f"{case}: statuses of ann and ben")
    equal(ask_case(staff(), how, "known", as_user(how, "ann")).get("Location"),
          "http://home.test/", "where to")


@each_way("who has not proved who it is is asked, but not by rules that decided before")
def _(how):
    status = 401 if how == "reverse" else 407
    equal(ask_case(staff(), how, "open").status, 200, "decided before")
    equal(ask_case(staff(), how, "x").status, status, "asked")
    equal(ask_case(staff(), how, "x", as_user(how, "eve")).status, status, "who is not known")


@both("passwords never reach origins, also where no rule has asked for them")
def _(way):
    password = as_user(way.name, "ann")
    word = password.rpartition(" ")[2].encode()
    response = ask_case(staff(), way.name, "open", password)
    equal((response.status, word in response.body), (200, False), "status, and what was told")
    again = ask_case(staff(), way.name, "open", password, as_user(way.name, "eve"))
    check(again.status in (200, 400), f"status with two: {again.status}")
    check(word not in again.body, f"the origin was told {again.body}")


# ---- log-ins that take their time


@test("a log-in that ends after its exchange was answered for it changes nothing", timely=True)
def _():
    gate = Gate()
    with start('{ action = "authenticate"; }', gate.users, 'users = "gate";',
               WEB='timeouts = { exchange = "500ms"; };', WORKERS=1) as daemon:
        client = h2.h2c(daemon.address("web"), {h2.Setting.INITIAL_WINDOW_SIZE: 0})
        client.is_generous = False
        client.greet()
        stream = client.open(h2.request())
        client.head(stream)
        check(gate.asked.wait(WAIT), "it was asked")
        gate.go.set()
        time.sleep(0.5)
        client.ping()
        client.give_credit(stream, 100_000)
        equal(client.answer(stream).status, 504, "status")
    gate.close()


@both("an exchange that waits for its log-in while the configuration changes ends as it began")
def _(way):
    gate = Gate()
    rules = """{ limit = "one"; }, { action = "authenticate"; },
               { when = { user = "ann"; }; tags = "ann"; }"""
    with start(rules, gate.users + LIMITS, 'users = "gate";', WORKERS=1) as daemon:
        gone = Client(daemon.address(way.listener))
        gone.send(request_of(way, "/slower"))
        check(gate.asked.wait(WAIT), "it was asked")
        gate.asked.clear()
        gone.reset()
        daemon.wait_record(way.target(origin(), "/slower"))
        with Client(daemon.address(way.listener)) as client:
            client.send(request_of(way, "/slow"))
            check(gate.asked.wait(WAIT), "it was asked again")
            daemon.reload(BOTH, RULES='{ action = "deny"; }', MORE="", POLICY="")
            daemon.reload()
            gate.go.set()
            equal(client.read().status, 200, "status")
        equal(daemon.wait_record(way.target(origin(), "/slow"))["tags"], "ann", "tags")
        equal(ask(daemon, way, "/").status, 403, "the new rules")
    gate.close()


main()
