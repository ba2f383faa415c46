# SPDX-License-Identifier: BSD-2-Clause
"""Rules on connections that carry no HTTP, or none that is read: TCP forwards, and TLS that is
passed through (modes/judge_flow.c, modes/relay.c)."""

from bascule_flow import Client, CutShort, Daemon, Origin, check, equal, main, once, send_back, test
from certs import Certificates
from judging import GEO, GeoDaemon, echo
from peers import until
from secure import TlsClient, client_hello, trusting

CONF = """
workers = 2;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
lists = ( { name = "near"; kind = "networks"; items = "127.0.0.0/8"; },
          { name = "far"; kind = "networks"; items = "192.0.2.0/24"; } );
sets = ( { name = "usual"; when = { mode = "port"; }; },
         { name = "unusual"; when = { mode = "forward"; }; } );
limits = ( { name = "one"; key = "listener"; concurrency = 1; },
           { name = "none"; key = "listener"; rate = "1/1h"; },
           { name = "three"; key = "listener"; rate = "3/1h"; },
           { name = "little"; key = "listener"; quota = "1000/1h"; } );
@MORE@
policies = ( @POLICIES@ );
listeners = ( @LISTENERS@ );
groups = ( { name = "echo"; endpoints = "127.0.0.1:@ECHO@"; },
           { name = "other"; endpoints = "127.0.0.1:@OTHER@"; } );
@SITES@
"""


@once
def other():
    """Says that it is another one; then sends back, too."""
    def serve(link):
        link.send(b"other ")
        send_back(link)
    return Origin(serve=serve)


def configuration(policies, tls="", default="allow"):
    """{name: rules}: for each a policy, and a listener of that name."""
    return {
        "POLICIES": ",\n".join(f'{{ name = "{name}"; default = "{default}"; rules = ( {rules} ); }}'
                               for name, rules in policies.items()),
        "LISTENERS": ",\n".join(f'{{ name = "{name}"; mode = "port"; listen = "127.0.0.1:0"; '
                                f'group = "echo"; policy = "{name}"; {tls} }}'
                                for name in policies)}


def start(policies, more="", kind=Daemon, tls="", default="allow"):
    return kind(CONF, ECHO=echo().port, OTHER=other().port, MORE=more, SITES="",
                **configuration(policies, tls, default))


def flows(daemon, listener, source=None):
    """Whether a connection is joined with the group's server."""
    try:
        with Client(daemon.address(listener), source) as client:
            return client.try_send(b"hello") and client.exactly(5) == b"hello"
    except (CutShort, ConnectionError):
        return False


def record_of(daemon, listener):
    """What the log says of the first connection that came to it."""
    return until(lambda: next((r for r in daemon.records() if r["listener"] == listener), None),
                 f"a line of {listener} in the log")


def rule_of(record):
    """Name of the rule that decided; None: none did."""
    return record.get("rule") or None


# ---- facts


# name: (conditions that are true of a TCP forward, conditions that are false)
FACTS = {
    "listener": ('listener = "listener";', 'listener = "mode";'),
    "mode": ('mode = "port";', 'mode = [ "forward", "reverse" ];'),
    "client": ('client = "127.0.0.0/8";', 'client = "192.0.2.0/24";'),
    "client_in": ('client_in = "near";', 'client_in = "far";'),
    "time": ('time = "00:00-24:00";', 'time = "2001-01-01";'),
    "sni": ('sni = "";', 'sni = "*.test";'),
    "set": ('set = "usual";', 'set = "unusual";'),
    "any": ('any = ( { mode = "port"; }, { mode = "reverse"; } );',
            'any = ( { mode = "forward"; }, { mode = "reverse"; } );'),
    "all": ('all = ( { mode = "port"; }, { client_in = "near"; } );',
            'all = ( { mode = "port"; }, { client_in = "far"; } );'),
    "over": ('not = ( { over = "none"; } );', 'over = "three";'),
}

# What it does not have: no condition about it is true.
ABSENT = ('method = "GET";', 'scheme = [ "http", "https" ];', 'host = "*.test";',
          'port = "1-65535";', 'path = "/*";', 'path_regex = ".";', 'url_regex = ".";',
          'header = "Host";', 'cookie = "a";', 'query = "a";', 'destination = "0.0.0.0/0";',
          'status = "100-599";', 'content_type = "text/*";', 'longer_than = "1";')


def deny(name, condition):
    return f'{{ name = "{name}"; when = {{ {condition} }}; action = "deny"; }}'


@once
def facts():
    policies = {name: f"{deny('false', false)}, {deny(name, true)}"
                for name, (true, false) in FACTS.items()}
    policies["absent"] = ",".join(deny(f"absent-{n}", each) for n, each in enumerate(ABSENT))
    return start(policies)


def fact(name):
    @test(f"a rule on TCP forwards asks for {name}: {FACTS[name][0]}")
    def _():
        equal(flows(facts(), name), False, "whether it flows")
        equal(rule_of(record_of(facts(), name)), name, "the rule that refused")


for each in FACTS:
    fact(each)


@test("what only requests have is true of no TCP forward")
def _():
    check(flows(facts(), "absent"), "it is refused")


@test("rules ask for the country and the network of a TCP forward's client")
def _():
    with start({"country": deny("french", 'country = "FR";'), "as": deny("as", "as = 64500;")},
               GEO, kind=GeoDaemon) as daemon:
        for listener in ("country", "as"):
            equal((flows(daemon, listener, "127.0.0.2"), flows(daemon, listener, "127.0.0.9")),
                  (False, True), f"{listener}: from there, and from elsewhere")


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.issue("site", "root", ["DNS:site.test"])
    made.client("ann")
    made.client("ben")
    return made


@test("rules ask for the certificate and the name of a TCP forward that ends TLS")
def _():
    tls = f"""tls = {{
        certificates = "{certificates().path("site.pem")}";
        client_certificates = {{ mode = "optional"; ca = "{certificates().path("clients.pem")}"; }};
    }};"""
    policies = {"name": deny("name", 'client_certificate = "ann";'),
                "issuer": deny("issuer", 'client_certificate_issuer = "CN=clients";'),
                "sni": deny("sni", 'sni = "site.test"; not = ( { client_certificate = "*"; } );')}
    with start(policies, tls=tls) as daemon:
        for listener, expected in (("name", "ben, nobody"), ("issuer", "nobody"),
                                   ("sni", "ann, ben")):
            found = []
            for who in ("ann", "ben", None):
                context = trusting(certificate=who and certificates().path(f"{who}.pem"))
                with TlsClient(daemon.address(listener), context) as client:
                    client.try_send(b"hello")
                    if client.fill():
                        found.append(who or "nobody")
            equal(", ".join(found), expected, f"who gets by {listener}")


# ---- actions


@test("allow lets through what would be denied")
def _():
    with start({"good": '{ when = { client = "127.0.0.1"; }; action = "allow"; }',
                "bad": '{ when = { client = "127.0.0.2"; }; action = "allow"; }'},
               default="deny") as daemon:
        equal((flows(daemon, "good"), flows(daemon, "bad")), (True, False), "what flows")


@test("whatever decides against a TCP forward closes it")
def _():
    rules = {"deny": 'action = "deny";', "drop": 'action = "drop";',
             "redirect": 'action = "redirect"; redirect = "http://elsewhere.test/";'}
    with start({name: f'{{ name = "no-{name}"; {rule} }}' for name, rule in rules.items()}) \
            as daemon:
        for name in rules:
            equal(flows(daemon, name), False, name)
            equal(rule_of(record_of(daemon, name)), f"no-{name}", "rule in the log")


@test("a rule sends a TCP forward to another group")
def _():
    with start({"tcp": '{ when = { client = "127.0.0.2"; }; group = "other"; }'}) as daemon:
        for source, greeting in (("127.0.0.2", b"other "), ("127.0.0.1", b"")):
            with Client(daemon.address("tcp"), source) as client:
                client.send(b"hello")
                equal(client.exactly(len(greeting) + 5), greeting + b"hello", source)


@test("tags of rules are in the log, and what those would have done that only log")
def _():
    with start({"tcp": '{ tags = [ "one", "two" ]; }, '
                       '{ name = "trial"; action = "deny"; tags = "untold"; log_only = true; }, '
                       '{ name = "false"; when = { client = "192.0.2.1"; }; action = "deny"; '
                       'log_only = true; }'}) as daemon:
        check(flows(daemon, "tcp"), "it is refused")
        equal(record_of(daemon, "tcp")["tags"], "one,two,log_only:trial", "tags")


@test("a TCP forward counts for limits until it ends")
def _():
    with start({"tcp": '{ limit = "one"; }'}) as daemon:
        with Client(daemon.address("tcp")) as first:
            check(first.echoes(b"one"), "it flows")
            check(not flows(daemon, "tcp"), "another one is refused")
        until(lambda: flows(daemon, "tcp"), "there is room again")


@test("a TCP forward counts for rates, and its bytes for quotas")
def _():
    with start({"rate": '{ limit = "three"; }', "quota": '{ limit = "little"; }'}) as daemon:
        equal([flows(daemon, "rate") for _ in range(4)], [True, True, True, False], "rate")
        with Client(daemon.address("quota")) as client:
            check(client.echoes(bytes(300)), "600 bytes, both ways together")
        check(flows(daemon, "quota"), "there is some left")
        with Client(daemon.address("quota")) as client:
            check(client.echoes(bytes(300)), "600 more")
        until(lambda: not flows(daemon, "quota"), "it is spent")


@test("TCP forwards are judged again on reload")
def _():
    with start({"kept": '{ tags = "kept"; }', "tcp": '{ tags = "tcp"; }'}) as daemon:
        with Client(daemon.address("tcp")) as client, Client(daemon.address("kept")) as kept:
            check(client.echoes(b"one") and kept.echoes(b"one"), "both flow")
            daemon.reload(CONF, **configuration({
                "kept": deny("far", 'client_in = "far";'),
                "tcp": deny("no", 'client_in = "near";')}))
            check(client.has_ended(), "what is denied now goes on")
            check(kept.echoes(b"two"), "what is not does not")
        equal(flows(daemon, "tcp"), False, "another one")
        until(lambda: "no" in map(rule_of, daemon.records()), "the rule is in the log")


# ---- TLS that is passed through


THROUGH = """
sites = (
    { name = "all"; default = true; welcome = true; },
    { name = "open"; hosts = [ "open.test", "bad.test" ]; pass_through = "echo"; },
    { name = "shut"; hosts = [ "shut.test" ]; pass_through = "echo"; policy = "shut"; }
);
"""


@test("TLS that is passed through is judged by its name: by the listener's policy, and the site's")
def _():
    conf = {"POLICIES": '{ name = "front"; rules = ( { tags = "seen"; }, %s ); }, '
                        '{ name = "shut"; rules = ( %s ); }'
                        % (deny("bad", 'sni = "bad.test"; mode = "reverse";'),
                           deny("shut", 'sni = "*.test"; client = "127.0.0.1";')),
            "LISTENERS": '{ name = "front"; mode = "reverse"; listen = "127.0.0.1:0"; '
                         'policy = "front"; tls = { certificates = "%s"; }; }'
                         % certificates().path("site.pem")}
    with Daemon(CONF, ECHO=echo().port, OTHER=other().port, MORE="", SITES=THROUGH, **conf) \
            as daemon:
        for name, rule in (("open.test", None), ("bad.test", "bad"), ("shut.test", "shut")):
            daemon.forget_records()
            with Client(daemon.address("front")) as client:
                hello = client_hello(name)
                client.try_send(hello)
                if rule is None:
                    equal(client.exactly(len(hello)), hello, "what came back")
                else:
                    check(client.has_ended(), f"{name} is not closed")
            record = record_of(daemon, "front")
            equal((rule_of(record), record["tags"]), (rule, "seen"), f"the log of {name}")


main()
