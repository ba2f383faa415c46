# SPDX-License-Identifier: BSD-2-Clause
"""TLS towards clients: which certificate, which version, which cipher, which protocol; sessions
that are resumed, redirects to https://, early data, and who is refused."""

import hashlib
import os
import signal
import ssl
import threading

from bascule_flow import (FACTOR, WAIT, Daemon, Origin, Skip, answer, ask, check, equal, get, main,
                          once, post, test)
from certs import Certificates
from secure import SClient, TlsClient, TlsStream, client_hello, handshake, refusal, trusting
from wire import Stream, connect, read_response

CONF = """
workers = 2;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "plain"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; timeouts = { idle = "600s"; };
      tls = { certificates = "@PEM@/default.pem"; }; },
    { name = "refuse"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { unknown_name = "refuse"; }; },
    { name = "modern"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { preset = "modern"; certificates = "@PEM@/default.pem"; }; },
    { name = "h1"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { http2 = false; certificates = "@PEM@/default.pem"; }; },
    { name = "cache"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { tickets = false; certificates = "@PEM@/default.pem"; }; },
    { name = "hasty"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { handshake = "@MS@ms"; certificates = "@PEM@/default.pem"; }; },
    { name = "early"; mode = "reverse"; listen = "127.0.0.1:0";
      tls = { early_data = true; certificates = "@PEM@/default.pem"; }; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; } );
sites = (
    { name = "all"; default = true; group = "origin"; },
    { name = "a"; hosts = [ "a.test" ]; group = "origin"; hsts = true;
      certificates = ( { chain = "@PEM@/a-ec.pem"; }, { chain = "@PEM@/a-rsa.pem"; } ); },
    { name = "wild"; hosts = [ "*.wild.test" ]; group = "origin"; hsts = "30d";
      certificates = "@PEM@/wild.pem"; },
    { name = "locked"; hosts = [ "locked.test" ]; group = "origin";
      certificates = { chain = "@PEM@/locked.crt"; key = "@PEM@/locked.key";
                       key_command = "/bin/cat @PEM@/passphrase"; }; },
    { name = "secure"; hosts = [ "secure.test" ]; group = "origin"; https = true; }
);
"""


@once
def origin():
    return Origin()


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.authority("middle", "root")
    made.issue("default", "root", ["DNS:site.test", "DNS:other.test"])
    made.issue("a-ec", "middle", ["DNS:a.test"], chain=["middle"])
    made.issue("a-rsa", "middle", ["DNS:a.test"], key="rsa", chain=["middle"])
    made.issue("wild", "root", ["DNS:*.wild.test"], key="p384")
    made.issue("locked", "root", ["DNS:locked.test"])
    made.openssl("pkey", "-in", "locked.key", "-aes256", "-passout", "pass:open sesame",
                 "-out", "secret.key")
    made.write("locked.key", made.read("secret.key"))
    made.write("passphrase", "open sesame\n")
    return made


@once
def proxy():
    return Daemon(CONF, PEM=certificates().dir, ORIGIN=origin().port, MS=int(400 * FACTOR))


@once
def context():
    return trusting(certificates().path("root.pem"))


def at(listener):
    return proxy().address(listener)


def print_of(sock):
    """The fingerprint of the certificate that the server showed."""
    return hashlib.sha256(sock.getpeercert(True)).hexdigest()


def shown(name, listener="tls"):
    """The certificate that is shown to who asks for this name."""
    with handshake(at(listener), trusting(), name) as sock:
        return print_of(sock)


def is_refused(why, alert):
    """By this alert, however the library spells it."""
    check(alert in why.lower().replace("_", " "), f"refused by {why}, not by {alert}")


# ---- certificates by name


@test("the name in SNI chooses the certificate: exact, wildcard, in any case, or the default")
def _():
    for name, wanted in (("a.test", "a-ec"), ("A.TEST", "a-ec"), ("x.wild.test", "wild"),
                         ("site.test", "default"), ("unknown.test", "default"), (None, "default"),
                         ("secure.test", "default"), ("locked.test", "locked")):
        equal(shown(name), certificates().fingerprint(wanted), f"certificate for {name}")


@test("who asks for no name we have is refused, where that is wanted")
def _():
    equal(shown("a.test", "refuse"), certificates().fingerprint("a-ec"), "a name we have")
    for name in ("unknown.test", None):
        is_refused(refusal(at("refuse"), trusting(), name), "unrecognized name")


@test("the chain is sent, so that who knows only the root is content")
def _():
    with TlsClient(at("tls"), context(), "a.test") as c:
        equal(c.ask(get("/", host="a.test")).status, 200, "status")
    found = SClient(at("tls"), "-showcerts", name="a.test")
    equal(found.text.count("BEGIN CERTIFICATE"), 2, "certificates sent, the root not among them")


@test("RSA and ECDSA stand side by side: who cannot verify the one gets the other")
def _():
    for words, wanted in (
            (("-sigalgs", "RSA-PSS+SHA256"), "RSA-PSS"),
            (("-sigalgs", "ECDSA+SHA256"), "ECDSA"), ((), "ECDSA"),
            (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "RSA-PSS"),
            (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "ECDSA")):
        found = SClient(at("tls"), *words, name="a.test")
        equal(found.find(r"^Peer signature type: (\S+)")[1], wanted, f"signature for {words}")


@test("a key may be encrypted; a command says the passphrase")
def _():
    with TlsClient(at("tls"), context(), "locked.test") as c:
        equal(c.ask(get("/", host="locked.test")).status, 200, "status")


@test("a key that only root may read is used by workers that are not root")
def _():
    if os.geteuid() != 0:
        raise Skip("this is not run as root")
    made = certificates()
    made.issue("rooted", "root", ["DNS:site.test"])
    os.chmod(made.path("rooted.key"), 0o600)
    os.chmod(made.path("rooted.pem"), 0o600)
    conf = """
        listeners = ( { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0";
                        tls = { certificates = "@PEM@/rooted.pem"; }; } );
        sites = ( { name = "all"; default = true; welcome = true; } );
        """
    with Daemon(conf, PEM=made.dir) as daemon:
        for _ in range(2):
            with TlsClient(daemon.address("tls"), context()) as c:
                equal(print_of(c.sock), made.fingerprint("rooted"), "certificate")
                equal(c.ask(get()).status, 200, "status")
            made.issue("rooted", "root", ["DNS:site.test"])
            os.chmod(made.path("rooted.pem"), 0o600)
            daemon.reload()
            daemon.wait_log("rooted.pem: taken over")


# ---- versions and ciphers


@test("intermediate speaks TLS 1.3 and 1.2, modern only 1.3, and nobody anything older")
def _():
    for listener, newest, wanted in (("tls", None, "TLSv1.3"), ("modern", None, "TLSv1.3"),
                                     ("tls", ssl.TLSVersion.TLSv1_2, "TLSv1.2")):
        with handshake(at(listener), trusting(newest=newest), "site.test") as sock:
            equal(sock.version(), wanted, f"version of {listener} with {newest}")
    is_refused(refusal(at("modern"), trusting(newest=ssl.TLSVersion.TLSv1_2)), "protocol version")
    for words in (("-tls1_1",), ("-tls1",)):
        found = SClient(at("tls"), *words, "-cipher", "ALL:@SECLEVEL=0")
        found.find(r"alert (protocol version|handshake failure)|unsupported protocol")
        check(not found.has("BEGIN CERTIFICATE"), f"{words} is spoken")


@test("TLS 1.2 has forward secrecy and authenticated encryption, or nothing")
def _():
    for cipher in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"):
        found = SClient(at("tls"), "-tls1_2", "-cipher", cipher)
        equal(found.find(r"Cipher is (\S+)")[1], cipher, "cipher")
    for cipher in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256",
                   "AES128-GCM-SHA256", "AES256-SHA", "AECDH-AES128-SHA", "ECDHE-ECDSA-NULL-SHA",
                   "ECDHE-ECDSA-AES128-CCM8"):
        found = SClient(at("tls"), "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0", name="a.test")
        check(found.has("alert handshake failure") and not found.has(r"Cipher is \w*(SHA|GCM|CCM)"),
              f"{cipher}: {found.text[-600:]}")


@test("the server chooses the cipher, but who prefers ChaCha20 gets it")
def _():
    aes, chacha = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"
    for order, wanted in (((aes, chacha), aes), ((chacha, aes), chacha)):
        found = SClient(at("tls"), "-tls1_2", "-cipher", ":".join(order))
        equal(found.find(r"Cipher is (\S+)")[1], wanted, f"cipher for {order}")
    aes, chacha = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
    for order, wanted in (((aes, chacha), aes), ((chacha, aes), chacha)):
        found = SClient(at("tls"), "-tls1_3", "-ciphersuites", ":".join(order))
        equal(found.find(r"Cipher is (\S+)")[1], wanted, f"cipher for {order}")


@test("ALPN: HTTP/2 before HTTP/1.1, what both know, nothing for who asks nothing")
def _():
    for listener, offered, wanted in (
            ("tls", ("http/1.1", "h2"), "h2"), ("tls", ("http/1.1",), "http/1.1"),
            ("tls", ("spdy/3", "http/1.1"), "http/1.1"), ("tls", (), None),
            ("h1", ("h2", "http/1.1"), "http/1.1")):
        with handshake(at(listener), trusting(alpn=offered), "site.test") as sock:
            equal(sock.selected_alpn_protocol(), wanted, f"{listener}, offered {offered}")
    is_refused(refusal(at("tls"), trusting(alpn=("imap",))), "no application protocol")
    is_refused(refusal(at("h1"), trusting(alpn=("h2",))), "no application protocol")


@test("renegotiation is refused")
def _():
    found = SClient(at("tls"), "-tls1_2", request=b"R\n", until=b"never")
    check(found.has("RENEGOTIATING") and
          found.has("no renegotiation|handshake failure|unexpected eof|closed|errno"),
          found.text[-800:])


# ---- requests and responses


@test("requests by TLS are known as such: to the origin, and to the log")
def _():
    with TlsClient(at("tls"), context(), "a.test") as c:
        equal(c.ask(get("/known", host="a.test")).status, 200, "status")
    seen = origin().wait_request("/known")
    equal((seen.get("X-Forwarded-Proto"), seen.get("Host")), ("https", "a.test"), "at the origin")
    record = proxy().wait_record("/known")
    equal((record["tls_version"], record["tls_name"], record["tls_cipher"][:4]),
          ("TLSv1.3", "a.test", "TLS_"), "in the log")


@test("large content passes both ways, in pieces of any size")
def _():
    body = os.urandom(3_000_000)
    origin().on("/large", lambda request, link: answer(request.body))
    for newest in (None, ssl.TLSVersion.TLSv1_2):
        with TlsClient(at("tls"), trusting(newest=newest)) as c:
            c.send(post("/large", body))
            check(read_response(c).body == body, "the content differs")
            c.send(post("/large", b"bytewise"), bytewise=True)
            equal(read_response(c).body, b"bytewise", "content")


@test("the end of a connection is said in TLS (close_notify)")
def _():
    with TlsClient(at("tls"), context()) as c:
        equal(c.ask(get("/", "Connection: close")).status, 200, "status")
        check(c.has_ended(), "more than the response came")
        check(not c.was_cut and c.alert is None, f"cut {c.was_cut}, alert {c.alert}")


@test("Strict-Transport-Security is sent by TLS only, for as long as was said")
def _():
    for host, wanted in (("a.test", "max-age=31536000"), ("x.wild.test", "max-age=2592000"),
                         ("site.test", None)):
        with TlsClient(at("tls"), trusting(), host) as c:
            equal(c.ask(get("/", host=host)).get("Strict-Transport-Security"), wanted, host)
    equal(ask(at("plain"), get("/", host="a.test")).get("Strict-Transport-Security"), None, "plain")


@test("who comes without TLS is sent to https://, method and query kept")
def _():
    port = at("tls").rpartition(":")[2]
    for request in (get("/path?a=b", host="secure.test"),
                    post("/path?a=b", b"x", host="secure.test")):
        found = ask(at("plain"), request)
        equal(found.status, 308, "status")
        check(found.get("Location").startswith("https://secure.test"), found.get("Location"))
        check(found.get("Location").endswith("/path?a=b"), found.get("Location"))
    with TlsClient(at("tls"), trusting(), "secure.test") as c:
        equal(c.ask(get("/", host="secure.test")).status, 200, f"status by TLS at {port}")


# ---- sessions


def visit(listener, context, name="site.test", session=None, address=None):
    """One request. The session afterwards, and whether it was resumed."""
    with TlsClient(address or at(listener), context, name, session) as c:
        found = c.ask(get("/", host=name))
        equal(found.status, 200, f"status of {name}")
        return c.sock.session, c.sock.session_reused


VERSIONS = (("TLS 1.3", {}), ("TLS 1.2", {"newest": ssl.TLSVersion.TLSv1_2}))


@test("sessions are resumed by ticket on every worker thread, also after a reload")
def _():
    for version, options in VERSIONS:
        client = trusting(**options)
        session, was_resumed = visit("tls", client)
        check(not was_resumed, "a new session is no new one")
        for i in range(8):
            session, was_resumed = visit("tls", client, session=session)
            check(was_resumed, f"{version}: visit {i} was not resumed")
        proxy().reload()
        check(visit("tls", client, session=session)[1], f"{version}: not resumed after a reload")


@test("sessions are resumed from the cache, by who knows no tickets")
def _():
    client = trusting(newest=ssl.TLSVersion.TLSv1_2)
    client.options |= ssl.OP_NO_TICKET
    session = None
    for _ in range(50): # of the threads, each remembers its own
        with TlsClient(at("cache"), client, session=session) as c:
            equal(c.ask(get()).status, 200, "status")
            if c.sock.session_reused:
                return
            session = c.sock.session
            c.sock.unwrap()
    check(False, "never resumed")


@test("a session is not resumed at a listener of another configuration, nor for another site")
def _():
    client = trusting()
    session, _ = visit("tls", client)
    for listener, name in (("cache", "site.test"), ("tls", "a.test")):
        check(not visit(listener, client, name, session)[1], f"resumed at {listener} for {name}")


NODE = """
listeners = ( { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0";
                tls = { certificates = "@PEM@/default.pem"; ticket_keys = "@PEM@/tickets"; }; } );
sites = ( { name = "all"; default = true; welcome = true; } );
"""


def write_keys(*keys):
    path = certificates().path("tickets.new")
    with open(path, "wb") as file:
        file.write(b"".join(keys))
    os.chmod(path, 0o644)
    os.replace(path, certificates().path("tickets"))


@test("nodes that share a file of ticket keys resume each other's sessions; keys may be rotated")
def _():
    first, second = os.urandom(80), os.urandom(80)
    write_keys(first)
    with Daemon(NODE, PEM=certificates().dir) as one, Daemon(NODE, PEM=certificates().dir) as two:
        for version, options in VERSIONS:
            client = trusting(**options)

            def go(node, session, client=client):
                return visit(None, client, session=session, address=node.address("tls"))

            write_keys(first)
            for node in (one, two):
                node.reload()
            old, _ = go(one, None)
            check(go(two, old)[1], f"{version}: the other node does not resume it")
            write_keys(second, first)
            for node in (one, two):
                node.reload()
            new, was_resumed = go(two, old)
            check(was_resumed, f"{version}: an older key of the file is not taken")
            check(go(one, new)[1], f"{version}: the newer key is not taken")
            write_keys(second)
            for node in (one, two):
                node.reload()
            check(not go(one, old)[1], f"{version}: a key that is gone is still taken")
            check(go(one, new)[1], f"{version}: the key that stayed is not taken")


@test("a file of ticket keys that is none is refused at start, and at reload the old one serves on")
def _():
    write_keys(os.urandom(80))
    with Daemon(NODE, PEM=certificates().dir) as node:
        client = trusting()
        session, _ = visit(None, client, address=node.address("tls"))
        write_keys(b"too short")
        node.command("check", status=1)
        node.signal(signal.SIGHUP)
        node.wait_log("tickets")
        check(visit(None, client, session=session, address=node.address("tls"))[1],
              "the session is not resumed")


# ---- early data


def hold_second_flight(link, flights):
    """Lets pass what a client sends up to its early data, and all that it is sent."""
    with Stream(connect(at("early"))) as server:
        back = threading.Thread(target=lambda: server.fill() and copy(server, link), daemon=True)
        back.start()
        kind = None
        while kind != 23:
            top = link.exactly(5)
            kind = top[0]
            server.send(top + link.exactly(int.from_bytes(top[3:], "big")))
        flights.append(bytes(link.received))
        link.wait = 600
        link.rest()


def copy(source, sink):
    try:
        sink.send(bytes(source.buffer))
        source.buffer.clear()
        while source.fill():
            sink.send(bytes(source.buffer))
            source.buffer.clear()
    except OSError:
        pass # the test is over


def early(request, name="site.test", flights=None):
    """Sends a request as early data, and nothing after it: the handshake is not finished when
    it is answered. What s_client shows of that; flights gets the bytes it sent."""
    made = certificates()
    path = made.path("session")
    SClient(at("early"), "-sess_out", path, "-ign_eof", name=name, request=get("/"), until=b"hello")
    with open(made.path("request"), "wb") as file:
        file.write(request)
    flights = [] if flights is None else flights
    middle = Origin(serve=lambda link: hold_second_flight(link, flights))
    try:
        return SClient(f"127.0.0.1:{middle.port}", "-sess_in", path, "-early_data",
                       made.path("request"), "-ign_eof", name=name, request=b"")
    finally:
        middle.close()


@test("safe requests are taken as early data, and the origin is told")
def _():
    found = early(get("/early"))
    found.find(r"Early data was accepted")
    found.find(r"^HTTP/1.1 200")
    equal(origin().wait_request("/early").get("Early-Data"), "1", "Early-Data")


@test("others get 425 as long as the handshake is not finished, and do not get through")
def _():
    found = early(post("/late", b"x"))
    found.find(r"Early data was accepted")
    found.find(r"^HTTP/1.1 425")
    equal(origin().seen("/late"), [], "requests at the origin")


@test("early data is taken once: a flight that is sent again is not believed")
def _():
    flights = []
    early(get("/replayed"), flights=flights)
    equal(len(origin().seen("/replayed")), 1, "requests at the origin")
    for _ in range(3):
        with Stream(connect(at("early"))) as c:
            c.send(flights[0])
            equal(c.exactly(1), b"\x16", "a handshake record")
            equal(ask(at("plain"), get("/after")).status, 200, "status meanwhile")
    equal(len(origin().seen("/replayed")), 1, "requests at the origin after three more")


@test("early data is not taken unless that is wanted")
def _():
    path = certificates().path("session")
    found = SClient(at("tls"), "-sess_out", path, "-ign_eof", request=get("/"), until=b"hello")
    check(not found.has(r"Max Early Data: [1-9]"), "early data is offered")


# ---- those who go wrong


@test("a handshake has a deadline, whatever of it has come")
def _():
    hello = client_hello()
    before = proxy().metrics()
    for part in (b"", hello[:20], hello[:-1]):
        with TlsStream(connect(at("hasty"))) as c:
            c.send(part)
            c.rest()
    check(proxy().metrics() != before, "nothing was counted")


@test("a ClientHello may come in single bytes, and in many records")
def _():
    hello = client_hello("a.test")[5:]
    pieces = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part
                      for part in (hello[i : i + 50] for i in range(0, len(hello), 50)))
    for data, bytewise in ((b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello, True),
                           (pieces, False)):
        with TlsStream(connect(at("tls"))) as c:
            c.send(data, bytewise)
            equal(c.exactly(1), b"\x16", "a handshake record")


@test("who speaks plain HTTP where TLS is spoken is told so, in plain HTTP")
def _():
    found = ask(at("tls"), get("/"))
    equal(found.status, 400, "status")
    check(b"https://" in found.body, f"the answer: {found.body!r}")


@test("what is no TLS is refused, and nobody else is disturbed")
def _():
    with TlsClient(at("tls"), context()) as other:
        for junk in (get("/"), b"\0" * 64, b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                     b"\x16\x03\x01\x00\x05\x01\xff\xff\xffx\x16\x03\x01\x40\x00" + bytes(81920),
                     b"\x15\x03\x01\x00\x02\x02\x28", client_hello()[:-9] + bytes(9),
                     b"\x80\x2e\x01\x03\x01" + bytes(60)):
            with TlsStream(connect(at("tls"))) as c:
                c.try_send(junk)
                c.half_close()
                check(b"HTTP/1.1 200" not in c.rest(), f"{junk[:40]!r} is served")
        equal(other.ask(get()).status, 200, "status of another")
    equal(shown("a.test"), certificates().fingerprint("a-ec"), "certificate afterwards")


@test("who hangs up in a handshake leaves nothing behind")
def _():
    hello = client_hello()
    for end in ("close", "reset"):
        for part in (hello, hello[:30]):
            for _ in range(20):
                stream = TlsStream(connect(at("tls")))
                stream.send(part)
                getattr(stream, end)()
    equal(shown("a.test"), certificates().fingerprint("a-ec"), "certificate afterwards")


@test("no more handshakes at a time than allowed; the next wait for their turn")
def _():
    conf = """
        workers = 1;
        listeners = ( { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0";
                        tls = { max_handshakes = 2; certificates = "@PEM@/default.pem"; }; } );
        sites = ( { name = "all"; default = true; welcome = true; } );
        """
    with Daemon(conf, PEM=certificates().dir) as daemon:
        slow = [TlsStream(connect(daemon.address("tls"))) for _ in range(2)]
        for stream in slow:
            stream.send(client_hello()[:30])
        answers = []

        def visitor():
            with TlsClient(daemon.address("tls"), trusting()) as c:
                answers.append(c.ask(get()).status)

        third = threading.Thread(target=visitor)
        third.start()
        check(slow[0].is_quiet(), "a handshake was ended before its time")
        equal(answers, [], "answers while others shake hands")
        for stream in slow:
            stream.close()
        third.join(WAIT)
        equal(answers, [200], "answers when it was its turn")


main()
