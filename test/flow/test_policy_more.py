# SPDX-License-Identifier: BSD-2-Clause
"""Rules, where they need company: databases of addresses, certificates, users, parent proxies, the
cache, lists that change, and reloads (modes/judge.c, server/policy, server/users)."""

import base64
import json
import os
import ssl
import subprocess

from bascule_flow import (FORWARD, REVERSE, WAYS, Client, CutShort, Daemon, Origin, Skip, answer,
                          check, equal, get, head, main, once, program, test)
from caching import is_hit, outcome, unique
from certs import Certificates
from peers import HttpParent, until
from secure import TlsClient, trusting

# The part of a configuration that most tests here share: both modes, one policy, one cache.
BOTH = """
workers = 2;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
stores = ( { name = "main"; memory = "16M"; } );
@MORE@
policies = ( { name = "shared"; @POLICY@ rules = ( @RULES@ ); } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "shared"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "shared"; cache = "main";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; @OUT@ }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "second"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@SECOND@"; } ); }
);
sites = ( { name = "all"; default = true; group = "origin"; cache = "main"; } );
"""


def play(request, link):
    """Says what it was told, and how often anybody asked it."""
    if request.target.startswith("/cached"):
        number = len(origin().seen(request.target))
        return answer(b"number %d for %s" % (number, (request.get("X-Rule") or "-").encode()),
                      "Cache-Control: max-age=60")
    if request.target.startswith("/plain"):
        return answer(b"number %d" % len(origin().seen(request.target)))
    seen = {name.lower(): value for name, value in request.fields}
    return answer(json.dumps({"from": link.sock.getpeername()[0], **seen}).encode())


@once
def origin():
    return Origin(play)


@once
def second():
    return Origin(lambda request, link: answer(b"second", "Cache-Control: max-age=60"))


@once
def echo():
    def serve(link):
        while True:
            data = link.sock.recv(65536)
            if not data:
                return
            link.sock.sendall(data)
    return Origin(serve=serve)


def start(rules, more="", policy="", out="", kind=Daemon, **values):
    return kind(BOTH, RULES=rules, MORE=more, POLICY=policy, OUT=out, ORIGIN=origin().port,
                SECOND=second().port, **values)


def reload(daemon, rules, more="", policy="", out=""):
    daemon.reload(BOTH, RULES=rules, MORE=more, POLICY=policy, OUT=out)


def ask(daemon, way, path, *fields, host=None, source=None):
    host = host or way.host(origin())
    target = f"http://{host}{path}" if way is FORWARD else path
    with Client(daemon.address(way.listener), source=source) as client:
        return client.ask(get(target, *fields, host=host))


def rule_of(response):
    """Name of the rule that refused; None: nothing did."""
    if response.status < 400:
        return None
    return json.loads(response.body)["rule"] if b'"rule"' in response.body else None


def both(promise, **options):
    def add(function):
        for way in WAYS:
            test(f"{promise} ({way.name})", **options)(lambda way=way: function(way))
        return function
    return add


def open_tunnel(daemon, target, listener="out"):
    client = Client(daemon.address(listener))
    response = client.ask(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"), method="CONNECT")
    equal(response.status, 200, f"status of CONNECT {target}")
    return client


def echoed(client, sent):
    client.send(sent)
    return client.exactly(len(sent), "the echo") == sent


def is_closed(client):
    """Whether the other side ends the connection, or resets it, and says nothing before."""
    try:
        return client.rest() == b""
    except (CutShort, ConnectionError):
        return True


# ---- where addresses are


def write_mmdb(path, *pairs):
    tool = os.path.join(os.path.dirname(os.path.abspath(program())), "test/support/write_mmdb")
    if not os.access(tool, os.X_OK):
        raise Skip("write_mmdb was not made")
    subprocess.run([tool, path, *pairs], check=True, timeout=20)


class GeoDaemon(Daemon):
    def write_conf(self, conf, **values):
        write_mmdb(self.path("country.mmdb"), "127.0.0.0/8=DE", "127.0.0.2/32=FR",
                   "127.0.0.9/32=NL")
        write_mmdb(self.path("as.mmdb"), "127.0.0.2/32=64500", "127.0.0.9/32=64501")
        super().write_conf(conf, **values)


GEO = 'geo = { country = "@DIR@/country.mmdb"; as = "@DIR@/as.mmdb"; };'
GEO_RULES = """
    { name = "french"; when = { country = "FR"; path = "/country"; }; action = "deny"; },
    { name = "as"; when = { as = [ 64496, "AS64500" ]; path = "/as"; }; action = "deny"; },
    { name = "to-nl"; when = { destination_country = "NL"; }; action = "deny"; },
    { name = "to-as"; when = { destination_as = 64500; }; action = "deny"; }
"""


@once
def geo():
    try:
        return start(GEO_RULES, GEO, kind=GeoDaemon)
    except Exception as error:
        if "libmaxminddb" in str(error):
            raise Skip("built without libmaxminddb") from None
        raise


@both("rules ask for the country and the network of the client")
def _(way):
    for path, rule in (("/country", "french"), ("/as", "as")):
        response = ask(geo(), way, path, source="127.0.0.2")
        equal((response.status, rule_of(response)), (403, rule), path)
        equal(ask(geo(), way, path, source="127.0.0.9").status, 200, f"{path} from elsewhere")


@test("rules ask for the country and the network of the destination (forward)")
def _():
    for host, rule in (("127.0.0.9", "to-nl"), ("127.0.0.2", "to-as")):
        response = ask(geo(), FORWARD, "/", host=f"{host}:{origin().port}")
        equal((response.status, rule_of(response)), (403, rule), host)
    equal(ask(geo(), FORWARD, "/").status, 200, "another country")
    equal(ask(geo(), REVERSE, "/").status, 200, "the endpoints of a group are nobody's affair")


# ---- lists of destinations, of names


@test("rules ask whether lists of networks have the destination (forward)")
def _():
    with start('{ name = "near"; when = { destination_in = "near"; }; action = "deny"; }',
               'lists = ( { name = "near"; kind = "networks"; items = "127.0.0.8/31"; } );') \
            as daemon:
        equal(rule_of(ask(daemon, FORWARD, "/", host=f"127.0.0.9:{origin().port}")), "near", "in")
        equal(ask(daemon, FORWARD, "/").status, 200, "not in it")


def client_hello(name):
    """The first message of a TLS client that asks for name."""
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


@test("rules ask whether lists of domains have the name in a tunnel")
def _():
    with start('{ name = "listed"; when = { sni_in = "bad"; }; action = "deny"; }',
               'lists = ( { name = "bad"; kind = "domains"; items = "bad.test"; } );',
               'sni_wait = "20s";') as daemon:
        client = open_tunnel(daemon, f"127.0.0.1:{echo().port}")
        check(echoed(client, client_hello("notbad.test")), "another name passes")
        client.close()
        client = open_tunnel(daemon, f"127.0.0.1:{echo().port}")
        client.try_send(client_hello("www.BAD.test"))
        check(is_closed(client), "one below a name in the list is closed")


# ---- certificates of clients


CERTIFICATES = """
workers = 2;
policies = ( { name = "badges"; rules = (
    { name = "ann"; when = { path = "/ann"; not = ( { client_certificate = "ann"; } ); };
      action = "deny"; },
    { name = "mail"; when = { path = "/mail";
                              not = ( { client_certificate = "ann@clients.test"; } ); };
      action = "deny"; },
    { name = "anybody"; when = { path = "/any"; not = ( { client_certificate = "*"; } ); };
      action = "deny"; },
    { name = "issuer"; when = { path = "/issuer";
                                not = ( { client_certificate_issuer = "CN=clients"; } ); };
      action = "deny"; }
); } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; client_cert = true;
      policy = "badges"; tls = { certificates = "@PEM@/site.pem"; client_certificates = @CA@ }; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "badges";
      allow_destination = [ "127.0.0.0/8" ]; http_ports = "1-65535";
      tls = { certificates = "@PEM@/site.pem"; client_certificates = @CA@ }; }
);
groups = ( { name = "origin"; endpoints = "127.0.0.1:@ORIGIN@"; } );
sites = ( { name = "all"; default = true; group = "origin"; } );
"""


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.issue("site", "root", ["DNS:site.test"])
    made.client("ann")
    made.client("ben")
    return made


@once
def badges():
    ca = f'{{ mode = "optional"; ca = "{certificates().path("clients.pem")}"; }};'
    return Daemon(CERTIFICATES, PEM=certificates().dir, CA=ca, ORIGIN=origin().port)


@both("rules ask for the names and the issuer of the client's certificate")
def _(way):
    paths = ("/ann", "/mail", "/any", "/issuer")
    for name, statuses in (("ann", [200] * 4), ("ben", [403, 403, 200, 200]), (None, [403] * 4)):
        context = trusting(certificate=certificates().path(f"{name}.pem") if name else None)
        with TlsClient(badges().address(way.listener), context) as client:
            equal([client.ask(get(way.target(origin(), path), host=way.host(origin()))).status
                   for path in paths], statuses, f"statuses of {name}")


# ---- users


class Staff(Daemon):
    """With ann and ben, whose passwords are their names, ann in group "audit"."""

    def write_conf(self, conf, **values):
        for name, text in (("htpasswd", "".join(self.line(name) for name in ("ann", "ben"))),
                           ("groups", "audit: ann\n")):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(text)
        super().write_conf(conf, **values)

    @staticmethod
    def line(name):
        made = subprocess.run(["openssl", "passwd", "-5", "-salt", "s", name], check=True,
                              capture_output=True, text=True, timeout=20)
        return f"{name}:{made.stdout.strip()}\n"


STAFF = """users = ( { name = "staff"; kind = "htpasswd"; file = "@DIR@/htpasswd";
                       groups = "@DIR@/groups"; } );"""
STAFF_RULES = """
    { name = "open"; when = { path = "/open"; }; action = "allow"; },
    { name = "who"; action = "authenticate"; },
    { name = "ben"; when = { user = "ben"; path = "/ben"; }; action = "deny"; },
    { name = "audit"; when = { path = "/audit"; not = ( { user_group = "audit"; } ); };
      action = "deny"; },
    { name = "known"; when = { user = "*"; path = "/known"; }; action = "redirect";
      redirect = "http://home.test%{path}"; }
"""


@once
def staff():
    return start(STAFF_RULES, STAFF, 'users = "staff";', kind=Staff)


def as_user(way, name):
    token = base64.b64encode(f"{name}:{name}".encode()).decode()
    return f"{'Proxy-' if way is FORWARD else ''}Authorization: Basic {token}"


@both("rules ask who is asking, and in which group that is")
def _(way):
    for path, ann, ben in (("/ben", 200, 403), ("/audit", 200, 403), ("/known", 302, 302)):
        found = tuple(ask(staff(), way, path, as_user(way, name)).status
                      for name in ("ann", "ben"))
        equal(found, (ann, ben), f"{path} of ann and ben")
    equal(ask(staff(), way, "/known", as_user(way, "ann")).get("Location"),
          "http://home.test/known", "where to")


@both("who has not proved who it is is asked, but not by rules that decided before")
def _(way):
    equal(ask(staff(), way, "/open").status, 200, "decided before")
    equal(ask(staff(), way, "/x").status, 407 if way is FORWARD else 401, "asked")
    equal(ask(staff(), way, "/x", as_user(way, "eve")).status, 407 if way is FORWARD else 401,
          "who is not known")


# ---- ways to the origin


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
            client = open_tunnel(daemon, f"127.0.0.1:{echo().port}")
            check(echoed(client, b"one"), "a tunnel through the parent")
            client.close()
            until(lambda: any(r["method"] == "CONNECT" for r in parent.records()),
                  "the parent's log has the tunnel")


PARENT = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
policies = ( { name = "mark"; rules = ( { set_request = "X-Parent: seen"; } ); } );
listeners = ( { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "mark";
                allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535";
                http_ports = "1-65535"; } );
"""


@test("upstream_proxy = \"direct\" passes a listener's own parent by")
def _():
    parent = HttpParent()
    with start('{ when = { path = "/direct"; }; upstream_proxy = "direct"; }',
               out=f'upstream_proxy = "http://127.0.0.1:{parent.port}";') as daemon:
        equal(ask(daemon, FORWARD, "/parent").body, b"hello\n", "the parent answers")
        check(b"from" in ask(daemon, FORWARD, "/direct").body, "the origin answers")
    parent.close()


@test("source: the connection comes from that address (forward)")
def _():
    with start('{ when = { path = "/from"; }; source = "127.0.0.2"; }') as daemon:
        for path, address in (("/from", "127.0.0.2"), ("/other", "127.0.0.1"),
                              ("/from", "127.0.0.2")):
            equal(json.loads(ask(daemon, FORWARD, path).body)["from"], address, path)


@test("source: connections to a parent proxy come from that address, and from no other")
def _():
    seen = {}
    def tell(request, link):
        seen[request.target.rpartition("/")[2]] = link.sock.getpeername()[0]
        return answer(b"ok")
    parent = HttpParent()
    parent.handler = tell
    with start('{ when = { path = "/from"; }; source = "127.0.0.2"; }',
               out=f'upstream_proxy = "http://127.0.0.1:{parent.port}";') as daemon:
        with Client(daemon.address("out")) as client: # one: its worker has the connections
            for path in ("/other", "/from", "/other"):
                equal(client.ask(get(FORWARD.target(origin(), path))).status, 200, path)
    parent.close()
    equal(seen, {"other": "127.0.0.1", "from": "127.0.0.2"}, "where they came from")


# ---- the cache


CACHE_RULES = """
    { when = { query = "bypass"; }; cache = "bypass"; },
    { when = { path = "/plain*"; }; cache = "force"; cache_time = "60s"; },
    { when = { header = ( { name = "X-Key"; value = "a"; } ); }; set_request = "X-Rule: a"; }, \
    { when = { header = ( { name = "X-Key"; value = "b"; } ); }; set_request = "X-Rule: b"; },
    { when = { header = ( { name = "X-Key"; value = "own"; } ); };
      set_request = "X-Rule: %{id}"; },
    { when = { header = ( { name = "X-Key"; value = "deny"; } ); }; action = "deny"; },
    { name = "typed"; when = { header = ( { name = "X-Key"; value = "type"; } ); status = 200; };
      action = "deny"; },
    { when = { header = ( { name = "X-Key"; value = "second"; } ); }; group = "second"; }
"""


@once
def caching():
    return start(CACHE_RULES)


@both("cache = bypass neither looks up nor stores")
def _(way):
    path = unique("cached") + "?bypass"
    equal([ask(caching(), way, path).body[:8] for _ in range(2)], [b"number 1", b"number 2"],
          "each from the origin")


@both("cache = force stores what says nothing about it")
def _(way):
    path = unique("plain")
    ask(caching(), way, path)
    is_hit(ask(caching(), way, path), b"number 1")


@both("what a rule tells the origin is for no request of another rule")
def _(way):
    path = unique("cached")
    bodies = {key: ask(caching(), way, path, f"X-Key: {key}").body for key in ("-", "a", "b")}
    equal([body.rpartition(b" ")[2] for body in bodies.values()], [b"-", b"a", b"b"],
          "whose answer each got")
    for key, body in bodies.items():
        is_hit(ask(caching(), way, path, f"X-Key: {key}"), body)


@both("what the origin was told of one request is for no other one")
def _(way):
    path = unique("cached")
    for _ in range(2):
        check("hit" not in outcome(ask(caching(), way, path, "X-Key: own")), "from the cache")


@both("what is told by other rules after a reload is asked for again")
def _(way):
    rules = '{ set_request = "X-Rule: %s"; }'
    path = unique("cached")
    with start(rules % "old") as daemon:
        equal(ask(daemon, way, path).body, b"number 1 for old", "before")
        reload(daemon, rules % "new")
        equal(ask(daemon, way, path).body, b"number 2 for new", "after")
        reload(daemon, "\n\n" + rules % "new")
        is_hit(ask(daemon, way, path), b"number 2 for new")


@both("cached answers are judged like others: at the head, and at the response")
def _(way):
    path = unique("cached")
    ask(caching(), way, path)
    is_hit(ask(caching(), way, path))
    equal(ask(caching(), way, path, "X-Key: deny").status, 403, "at the head")
    equal(rule_of(ask(caching(), way, path, "X-Key: type")), "typed", "at the response")


@both("what another group answers is for nobody else")
def _(way):
    path = unique("cached")
    ask(caching(), way, path)
    equal(ask(caching(), way, path, "X-Key: second").body, b"second", "of the other group")
    check(ask(caching(), way, path).body.startswith(b"number 1"), "of its own")


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
            response = ask(daemon, FORWARD, path, host="site.test")
            equal((response.status, rule_of(response)), (status, rule), path)
        equal(daemon.wait_record("http://site.test/both")["tags"], "office,guard", "tags")
        equal(ask(daemon, REVERSE, "/office", host="site.test").status, 200, "the site's alone")


# ---- lists


LIST_RULES = """
    { name = "listed"; when = { host_in = "listed"; }; action = "deny"; },
    { name = "pages"; when = { url_in = "pages"; }; action = "deny"; }
"""


class Listed(Daemon):
    """Whose lists are there before it starts: files = {name: text}."""

    def __init__(self, conf, files=None, **values):
        self.files = files
        super().__init__(conf, **values)

    def write_conf(self, conf, **values):
        for name, text in (self.files or {}).items():
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            self.write_file(name, text)
        self.files = None
        super().write_conf(conf, **values)

    def write_file(self, name, text):
        with open(self.path(f"{name}.new"), "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.path(f"{name}.new"), self.path(name))


def listed(text, more="", pages='items = "nowhere.test/";', name="list", **files):
    lists = f"""lists = ( {{ name = "listed"; kind = "domains"; files = "@DIR@/{name}"; {more} }},
                          {{ name = "pages"; kind = "urls"; {pages} }} );"""
    return start(LIST_RULES, lists, kind=Listed, files={name: text, **files} if text else files)


def refused(daemon, *hosts, path="/"):
    """Which of them are."""
    return [host for host in hosts
            if rule_of(ask(daemon, REVERSE, path, host=host)) is not None]


@test("a list's file that changes counts without a reload")
def _():
    with listed("one.test\n") as daemon:
        equal(refused(daemon, "one.test", "two.test"), ["one.test"], "before")
        daemon.write_file("list", "two.test # a remark\n")
        daemon.wait_log('list "listed": has changed: 1 entries')
        equal(refused(daemon, "one.test", "two.test"), ["two.test"], "after")
        with open(daemon.path("list"), "a", encoding="utf-8") as file:
            file.write("three.test\n") # in place, as editors do
        daemon.wait_log('list "listed": has changed: 2 entries')
        equal(refused(daemon, "two.test", "three.test"), ["two.test", "three.test"], "appended")


@test("a list's file that is bad, empty or gone leaves the last good content, and the log says why")
def _():
    with listed("one.test\n", "max_bad_lines = 0;") as daemon:
        daemon.write_file("list", "two.test\nthree..test\n")
        daemon.wait_log("list:2: .*three..test.*: what was there before is still used")
        equal(refused(daemon, "one.test", "two.test"), ["one.test"], "a bad line")
        daemon.write_file("list", "")
        daemon.wait_log("list: is empty")
        os.unlink(daemon.path("list"))
        daemon.wait_log("list: .*No such file.*: what was there before is still used")
        equal(refused(daemon, "one.test"), ["one.test"], "gone")
        reload(daemon, LIST_RULES, daemon.values["MORE"])
        equal(refused(daemon, "one.test"), ["one.test"], "a reload does not need it")
        daemon.write_file("list", "two.test\n")
        daemon.wait_log("has changed: 1 entries")
        equal(refused(daemon, "one.test", "two.test"), ["two.test"], "good again")


@test("hosts files, rules of filter lists and response policy zones are lists")
def _():
    hosts = ("bad.test", "www.bad.test", "good.bad.test", "other.test", "localhost")
    for text, expected in (
            ("# hosts\n127.0.0.1 localhost\n0.0.0.0 bad.test other.test\n",
             ["bad.test", "www.bad.test", "good.bad.test", "other.test"]),
            ("[Adblock Plus 2.0]\n! remark\n||bad.test^\n@@||good.bad.test^\n"
             "||other.test^$third-party\n/banner\n##.ad\n", ["bad.test", "www.bad.test"]),
            ("$TTL 60\n$ORIGIN rpz.test.\n@ SOA a.test. b.test. 1 2 3 4 5\n  NS a.test.\n"
             "bad.test CNAME .\n*.bad.test CNAME .\ngood.bad.test CNAME rpz-passthru.\n",
             ["bad.test", "www.bad.test"])):
        with listed(text) as daemon:
            equal(refused(daemon, *hosts), expected, text.split("\n", maxsplit=1)[0])


@test("folders of squidGuard are lists of domains, and of URLs")
def _():
    with listed(None, name="ut1", pages='files = "@DIR@/ut1";',
                **{"ut1/domains": "bad.test\n", "ut1/urls": "half.test/bad\n",
                   "ut1/expressions": "(casino|poker)\\.\n"}) as daemon:
        equal(refused(daemon, "www.bad.test", "half.test", "casino.test", "x.test"),
              ["www.bad.test", "casino.test"], "hosts")
        equal(refused(daemon, "half.test", "x.test", path="/bad/page"), ["half.test"], "URLs")
        daemon.write_file("ut1/domains", "worse.test\n")
        daemon.wait_log('list "pages": has changed')
        daemon.wait_log('list "listed": has changed')
        equal(refused(daemon, "bad.test", "worse.test"), ["worse.test"], "after a change")


# ---- limits


LIMITS = """limits = ( { name = "three"; key = "header:X-Key"; rate = "3/1h"; },
                       { name = "one"; key = "header:X-Key"; concurrency = 1; } );"""


@both("a reload forgets nothing of what limits have counted")
def _(way):
    rule = '{ name = "limited"; limit = "three"; }'
    with start(rule, LIMITS) as daemon:
        statuses = [ask(daemon, way, "/", "X-Key: a").status for _ in range(2)]
        reload(daemon, rule, LIMITS)
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


# ---- reloads


UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


@once
def talker():
    """Takes upgrades, and then sends back what it gets."""
    def play_upgrade(request, link):
        link.send(head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                       "Connection: Upgrade",
                       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        while True:
            data = link.sock.recv(65536)
            if not data:
                link.is_open = False
                return None
            link.sock.sendall(data)
    return Origin(play_upgrade)


def upgrade(daemon, way, path):
    client = Client(daemon.address(way.listener))
    response = client.ask(get(way.target(talker(), path), *UPGRADE, host="127.0.0.1"))
    equal(response.status, 101, "status")
    check(echoed(client, b"one"), "it flows")
    return client


@both("upgraded connections are judged again on reload")
def _(way):
    with start('{ when = { path = "/none"; }; action = "deny"; }') as daemon:
        daemon.reload(BOTH, ORIGIN=talker().port)
        closed, kept = (upgrade(daemon, way, path) for path in ("/closed", "/kept"))
        reload(daemon, '{ name = "no"; when = { path = "/closed"; }; action = "deny"; }')
        check(is_closed(closed), "what is denied now is closed")
        check(echoed(kept, b"two"), "what is not lives on")
        kept.close()


@test("a reload takes a tunnel's parent for no destination")
def _():
    parent = HttpParent()
    rules = """{ name = "inside"; when = { destination = "127.0.0.0/8"; }; action = "deny"; },
               { upstream_proxy = "http://127.0.0.1:%d"; }""" % parent.port
    guarded = BOTH.replace('allow_destination = [ "127.0.0.0/8" ];', "")
    for conf, rule in ((BOTH, ",".join(reversed(rules.split(",\n")))), (guarded, rules)):
        with Daemon(conf, RULES=rule.split(",\n")[-1] if conf is guarded else rule, MORE="",
                    POLICY="", OUT="", ORIGIN=origin().port, SECOND=second().port) as daemon:
            client = open_tunnel(daemon, f"somewhere.test:{echo().port}")
            check(echoed(client, b"one"), "it flows")
            for _ in range(2):
                daemon.reload()
                check(echoed(client, b"two"), "it goes on")
            client.close()
    parent.close()


@test("a tunnel that waits for a name while there is a reload gives back what it had of a limit")
def _():
    limit = 'limits = ( { name = "one"; key = "client"; concurrency = 1; } );'
    rule = '{ limit = "one"; }, { when = { sni = "bad.test"; }; action = "deny"; }'
    with start(rule, limit, 'sni_wait = "20s";') as daemon:
        client = open_tunnel(daemon, f"127.0.0.1:{echo().port}")
        equal(ask(daemon, FORWARD, "/").status, 429, "there is no room")
        reload(daemon, rule, limit, 'sni_wait = "20s";')
        equal(ask(daemon, FORWARD, "/").status, 429, "it still counts")
        check(echoed(client, b"SSH-2.0-x\r\n"), "it goes on")
        client.close()
        until(lambda: ask(daemon, FORWARD, "/").status == 200, "there is room again")


@test("a limit that is over closes no tunnel that it let in")
def _():
    limit = 'limits = ( { name = "one"; key = "client"; rate = "1/1h"; } );'
    rule = '{ name = "over"; when = { over = "one"; }; action = "deny"; }'
    with start(rule, limit) as daemon:
        client = open_tunnel(daemon, f"127.0.0.1:{echo().port}")
        equal(ask(daemon, FORWARD, "/").status, 403, "the next one")
        reload(daemon, rule, limit)
        check(echoed(client, b"two"), "it goes on")
        client.close()


def resident(daemon):
    """Bytes in memory of the worker process."""
    with open(f"/proc/{daemon.children()[0]}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@test("a hundred reloads with open tunnels: they flow on, and memory stays", timeout=90, heavy=True)
def _():
    names = ",".join(f'"host{n}.test"' for n in range(2000))
    more = f'lists = ( {{ name = "many"; kind = "domains"; items = [ {names} ]; }} );{LIMITS}'
    rules = """{ when = { host_in = "many"; }; action = "deny"; }, { limit = "three"; },
               { when = { sni = "bad.test"; }; action = "deny"; },
               { set_response = "X-Is: %{host}"; tags = [ "one", "two" ]; }"""
    with start(rules, more, 'sni_wait = "100ms";') as daemon:
        tunnels = [open_tunnel(daemon, f"127.0.0.1:{echo().port}") for _ in range(20)]
        check(all(echoed(tunnel, b"one") for tunnel in tunnels), "all flow")
        for _ in range(20):
            daemon.reload()
        before = resident(daemon)
        for _ in range(80):
            daemon.reload()
        grown = resident(daemon) - before
        check(all(echoed(tunnel, b"two") for tunnel in tunnels), "all flow on")
        check(grown < 4 << 20, f"it has grown by {grown} bytes")
        for tunnel in tunnels:
            tunnel.close()


main()
