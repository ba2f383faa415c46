# SPDX-License-Identifier: BSD-2-Clause
"""Certificates of clients: who is let in, who is not and why, and what origins, headers and logs
are told. Connections and sessions do not carry an identity to where it was not shown."""

import base64
import re
import ssl

from bascule_flow import Client, Daemon, Failure, Origin, check, equal, get, main, once, test
from certs import Certificates
from h2 import h2s, request
from peers import until
from secure import TlsClient, handshake, refusal, trusting

CONF = """
workers = 2;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "plain"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; client_cert = true;
      tls = { certificates = "@PEM@/server.pem"; }; },
    { name = "untold"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { certificates = "@PEM@/server.pem";
              client_certificates = { mode = "optional"; ca = "@PEM@/clients.pem"; }; }; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; } );
sites = (
    { name = "all"; default = true; group = "origin"; },
    { name = "own"; hosts = [ "own.test" ]; group = "origin"; certificates = "@PEM@/own.pem"; },
    { name = "must"; hosts = [ "must.test" ]; group = "origin";
      client_certificates = { ca = "@PEM@/clients.pem"; crl = "@PEM@/clients.crl"; };
      filters = ( { filter = "headers";
                    request = { set = [ "X-Who: %{client_cert_subject}" ]; }; } ); },
    { name = "may"; hosts = [ "may.test" ]; group = "origin";
      client_certificates = { mode = "optional"; ca = "@PEM@/clients.pem";
                              crl = "@PEM@/clients.crl"; }; },
    { name = "same"; hosts = [ "same.test" ]; group = "origin";
      client_certificates = { ca = "@PEM@/clients.pem"; crl = "@PEM@/clients.crl"; }; },
    { name = "deep"; hosts = [ "deep.test" ]; group = "origin";
      client_certificates = { ca = "@PEM@/clients.pem"; }; },
    { name = "short"; hosts = [ "short.test" ]; group = "origin";
      client_certificates = { ca = "@PEM@/clients.pem"; depth = 1; }; }
);
"""

origin = once(Origin)


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.issue("server", "root", [f"DNS:{name}.test" for name in
                                  ("site", "other", "must", "may", "same", "short", "deep")])
    made.issue("own", "root", ["DNS:own.test"])
    made.client("alice")
    made.client("bob")
    made.client("late", days=-1)
    made.client("mallory", by="strangers")
    made.authority("branch", "clients")
    made.client("carol", by="branch", chain=["branch"])
    made.issue("server-only", "clients", ["email:x@clients.test"], usage="serverAuth")
    made.crl("clients", "bob")
    return made


@once
def proxy():
    return Daemon(CONF, PEM=certificates().dir, ORIGIN=origin().port)


def at(listener="tls"):
    return proxy().address(listener)


def client(who=None, **options):
    """A context that shows this client's certificate."""
    certificate = certificates().path(f"{who}.pem") if who else None
    return trusting(certificates().path("root.pem"), certificate=certificate, **options)


def ask(who, name, *fields, target="/", listener="tls", host=None, **options):
    with TlsClient(at(listener), client(who, **options), name) as c:
        return c.ask(get(target, *fields, host=host or name))


BOTH = ({}, {"newest": ssl.TLSVersion.TLSv1_2})


# ---- who gets in


@test("required: who shows a good certificate is served, others get no connection")
def _():
    for options in BOTH:
        equal(ask("alice", "must.test", **options).status, 200, f"alice by {options}")
        check("200" not in refusal(at(), client(None, **options), "must.test", get("/")),
              "nobody is served")
    proxy().wait_log(r'client 127\.0\.0\.1 for must\.test: TLS handshake: .*no certificate')


@test("required: who comes without TLS is not served, optional: he is")
def _():
    with Client(at("plain")) as c:
        equal(c.ask(get("/naked", host="must.test")).status, 421, "required")
        equal(c.ask(get("/", host="may.test")).status, 200, "optional")
        equal(c.ask(get("/", host="site.test")).status, 200, "not asked for")
    equal(origin().seen("/naked"), [], "requests at the origin")


@test("required since a reload: an old connection to a forward proxy must prove it, too")
def _():
    conf = """
workers = 1;
listeners = (
    { name = "way"; mode = "forward"; listen = "127.0.0.1:0"; http_ports = "1-65535";
      allow_destination = "127.0.0.0/8";
      tls = { certificates = "@PEM@/server.pem"; @DEMAND@ }; }
);
"""
    demand = f'client_certificates = {{ ca = "{certificates().path("clients.pem")}"; }};'
    target = f"http://127.0.0.1:{origin().port}/demanded"
    with Daemon(conf, PEM=certificates().dir, DEMAND="") as d, \
            TlsClient(d.address("way"), client("alice"), "site.test") as c:
        equal(c.ask(get(target)).status, 200, "before")
        late = get(target)
        c.send(late[:-2])
        d.write_conf(conf, DEMAND=demand)
        d.reload()
        equal(c.ask(late[-2:]).status, 421, "by the old connection")
        check(not c.fill(), "it goes on")
        with TlsClient(d.address("way"), client("alice"), "site.test") as fresh:
            equal(fresh.ask(get(target)).status, 200, "by one that proves it")
        d.write_conf(conf, DEMAND="")
        d.reload()


@test("optional: who shows none is served, who shows a bad one is not")
def _():
    for options in BOTH:
        equal(ask("alice", "may.test", **options).status, 200, "alice")
        equal(ask(None, "may.test", **options).status, 200, "nobody")
        refusal(at(), client("mallory", **options), "may.test", get("/"))


@test("revoked, expired, by a stranger, not for this use: each has its own words in the log")
def _():
    for who, words in (("bob", "revoked"), ("late", "expired"), ("mallory", "another authority"),
                       ("server-only", "not for this use")):
        def is_said(who=who, words=words): # again and again, as the log leaves out repetitions
            for options in BOTH:
                refusal(at(), client(who, **options), "must.test", get("/"))
            return any(re.search(f"must.test: TLS handshake: .*({words})", line)
                       for line in proxy().log_lines)

        until(is_said, f"the log says why not {who}")


@test("a chain is as long as was allowed")
def _():
    equal(ask("carol", "deep.test").status, 200, "through an authority in between")
    refusal(at(), client("carol"), "short.test", get("/"))
    equal(ask("alice", "short.test").status, 200, "directly")


@test("a list of revoked certificates that changes counts without a reload")
def _():
    made = certificates()
    made.client("dave")
    equal(ask("dave", "must.test").status, 200, "status before")
    made.crl("clients", "dave")

    def is_refused():
        try:
            ask("dave", "must.test")
        except (ssl.SSLError, OSError, Failure):
            return True
        return False

    until(is_refused, "dave is refused")
    equal(ask("alice", "must.test").status, 200, "alice")


# ---- what is told


@test("the origin, headers and the log are told who it was")
def _():
    equal(ask("alice", "must.test", target="/told").status, 200, "status")
    seen = origin().wait_request("/told")
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(certificates().read("alice.crt"))).decode()
    equal(seen.get("Client-Cert"), f":{der}:", "Client-Cert")
    equal(seen.get("X-Who"), "CN=alice", "a header made of the subject")
    record = proxy().wait_record("/told")
    equal((record["client_cert_subject"], record["client_cert_fingerprint"]),
          ("CN=alice", certificates().fingerprint("alice")), "in the log")


@test("Client-Cert of clients is removed, whoever they are")
def _():
    lies = ("Client-Cert: :bGllcw==:", "Client-Cert-Chain: :bGllcw==:")
    for who, name, listener in ((None, "site.test", "tls"), (None, "may.test", "tls"),
                                ("alice", "may.test", "tls"), ("alice", "site.test", "untold")):
        target = f"/lies/{who}/{name}/{listener}"
        equal(ask(who, name, *lies, target=target, listener=listener).status, 200, target)
        seen = origin().wait_request(target)
        check("bGllcw" not in str(seen.fields), f"{target}: {seen.fields}")
        equal(seen.has("Client-Cert"), who is not None and listener == "tls", f"at {target}")


# ---- whose connection it is


@test("a connection carries no requests for sites with other certificates or other demands")
def _():
    for name, host, status in (
            ("site.test", "other.test", 200), ("site.test", "own.test", 421),
            ("own.test", "site.test", 421), ("site.test", "must.test", 421),
            ("site.test", "may.test", 421)):
        equal(ask(None, name, host=host).status, status, f"{host} by a connection for {name}")
    for name, host, status in (
            ("must.test", "same.test", 200), ("must.test", "site.test", 421),
            ("may.test", "must.test", 421), ("must.test", "may.test", 421),
            ("must.test", "must.test", 200)):
        equal(ask("alice", name, host=host).status, status, f"{host} by a connection for {name}")


@test("a reload that changes what a name shows ends its idle connections, and no others")
def _():
    conf = """
workers = 1;
listeners = (
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { certificates = "@PEM@/server.pem"; }; }
);
sites = (
    { name = "all"; default = true; welcome = true; },
    { name = "own"; hosts = [ "own.test" ]; welcome = true; @OWN@ }
);
"""
    own = f'certificates = "{certificates().path("own.pem")}";'
    h2 = trusting(certificates().path("root.pem"), alpn=("h2",))
    with Daemon(conf, PEM=certificates().dir, OWN=own) as d, \
            TlsClient(d.address("tls"), client(), "own.test") as old, \
            TlsClient(d.address("tls"), client(), "site.test") as other, \
            h2s(d.address("tls"), context=h2, name="own.test") as old_h2:
        equal(old.ask(get("/", host="own.test")).status, 200, "before")
        equal(other.ask(get("/", host="site.test")).status, 200, "before")
        equal(old_h2.greet().ask(request(authority="own.test", scheme="https")).status, 200,
              "before, by HTTP/2")
        d.reload(conf, OWN=own + " hsts = true;")
        equal(old.ask(get("/", host="own.test")).status, 200, "with the same certificates")
        d.reload(conf, OWN="")
        check(not old.fill(), "the connection goes on")
        old_h2.until(lambda: old_h2.goaway, "GOAWAY")
        equal(other.ask(get("/", host="site.test")).status, 200, "another site's")


@test("421 ends a stream of HTTP/2, not its connection")
def _():
    context = trusting(certificates().path("root.pem"), alpn=("h2",))
    with h2s(at(), context=context, name="site.test") as c:
        equal(c.greet().ask(request(authority="must.test", scheme="https")).status, 421, "status")
        equal(c.ask(request(authority="site.test", scheme="https")).status, 200, "status")


def visit(context, name, session=None):
    with TlsClient(at(), context, name, session) as c:
        equal(c.ask(get("/", host=name)).status, 200, f"status of {name}")
        return c.sock.session, c.sock.session_reused


@test("a session is resumed with its identity where it was shown, and nowhere else")
def _():
    for options in BOTH:
        alice = client("alice", **options)
        session, _ = visit(alice, "must.test")
        _, was_resumed = visit(alice, "must.test", session)
        check(was_resumed, f"{options}: not resumed where it was shown")
        for name in ("may.test", "site.test", "short.test"):
            check(not visit(alice, name, session)[1], f"{options}: resumed for {name}")
        with TlsClient(at(), alice, "must.test", session) as c:
            target = f"/resumed/{len(options)}"
            equal(c.ask(get(target, host="must.test")).status, 200, "status")
        equal(origin().wait_request(target).get("X-Who"), "CN=alice", "who resumed it")


@test("a session of nobody opens no door that wants a certificate")
def _():
    for options in BOTH:
        nobody = client(None, **options)
        session, _ = visit(nobody, "may.test")
        try:
            with handshake(at(), nobody, "must.test", session) as sock:
                sock.sendall(get("/door", host="must.test"))
                check(not sock.recv(100), "nobody is answered")
        except (ssl.SSLError, OSError):
            pass
    equal(origin().seen("/door"), [], "requests at the origin")


main()
