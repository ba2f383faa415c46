# SPDX-License-Identifier: BSD-2-Clause
"""Keys of tokens that are fetched from who issues them: what is good stays, whatever comes
later, and nobody is believed who cannot show a certificate."""

import threading

from bascule_flow import (WAIT, Daemon, Origin, answer, ask, canned, equal, get, head, main,
                          once, test)
from certs import Certificates
from peers import until
from tokens import Issuer

CONF = """
workers = 2;
groups = (
    { name = "app"; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "id"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@IDP@"; } ); }
);
users = (
    { name = "plain"; kind = "jwt"; keys_url = "http://id.test/plain?v=1"; keys_group = "id";
      keys_retry = "1s"; algorithms = "ES256"; cache = "off"; },
    { name = "sound"; kind = "jwt"; keys_url = "https://localhost:@TLS@/sound"; keys_ca = "@CA@"; },
    { name = "unsound"; kind = "jwt"; keys_url = "https://localhost:@TLS@/unsound"; }
);
policies = (
    { name = "plain"; users = "plain"; rules = ( { action = "authenticate"; } ); },
    { name = "sound"; users = "sound"; rules = ( { action = "authenticate"; } ); },
    { name = "unsound"; users = "unsound"; rules = ( { action = "authenticate"; } ); }
);
listeners = (
    { name = "plain"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "plain"; },
    { name = "sound"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "sound"; },
    { name = "unsound"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "unsound"; }
);
sites = ( { name = "all"; default = true; group = "app"; } );
"""

# Speaks TLS for the issuer.
DOOR = """
workers = 1;
listeners = ( { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0";
                tls = { certificates = ( { chain = "@CHAIN@"; key = "@KEY@"; } ); }; } );
groups = ( { name = "idp"; endpoints = ( { to = "127.0.0.1:@IDP@"; } ); } );
sites = ( { name = "all"; default = true; group = "idp"; } );
"""

origin = once(Origin)
idp = once(Origin)
certificates = once(Certificates)


@once
def issuer() -> Issuer:
    made = Issuer()
    for name in ("first", "other"):
        made.key(name)
    return made


@once
def door() -> Daemon:
    certificates().authority("root")
    certificates().issue("door", "root", ["DNS:localhost"])
    return Daemon(DOOR, IDP=idp().port, CHAIN=certificates().path("door.pem"),
                  KEY=certificates().path("door.key"))


def start():
    tls = door().address("tls").rsplit(":", 1)[1]
    return Daemon(CONF, ORIGIN=origin().port, IDP=idp().port, TLS=tls,
                  CA=certificates().path("root.pem"))


def document(*names):
    return answer(issuer().document(*names).encode(), "Content-Type: application/json")


@once
def proxy() -> Daemon:
    for target in ("/plain?v=1", "/sound", "/unsound"):
        idp().on(target, document("first"))
    return start()


def status(name, listener="plain", daemon=None):
    token = issuer().token(name)
    address = (daemon or proxy()).address(listener)
    return ask(address, get("/", f"Authorization: Bearer {token}")).status


@test("keys are fetched at the start, once for all threads")
def _():
    equal(status("first"), 200, "status")
    seen = idp().seen("/plain?v=1")
    equal(len(seen), 1, "fetches")
    equal(seen[0].get("Host"), "id.test", "Host")


@test("a server has to show who it is")
def _():
    equal(status("first", "sound"), 200, "status with its certificate")
    equal(status("first", "unsound"), 503, "status with one that nobody vouches for")
    proxy().wait_log("keys of tokens: https://localhost:[0-9]+/unsound: ")
    equal(idp().seen("/unsound"), [], "requests over a connection that is not trusted")


BAD = {
    "it answers 500": answer(b"", status="500 Internal Server Error"),
    "a redirect": head("HTTP/1.1 302 Found", "Location: http://evil.test/", "Content-Length: 0"),
    "no keys": answer(b'{"keys":[]}'),
    "no JSON": answer(b"keys"),
}


@test("until there are good keys nobody gets in; what is good is used at once")
def _():
    for what, data in BAD.items():
        idp().on("/plain?v=1", data)
        with start() as daemon:
            equal(status("first", daemon=daemon), 503, what)
            daemon.wait_log("keys of tokens: http://id.test/plain.v=1: ")
    idp().on("/plain?v=1", document("first"))


@test("what is larger than any set of keys is not read to its end")
def _():
    def endless(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
        while link.try_send(b"1000\r\n" + b" " * 4096 + b"\r\n"):
            pass

    idp().on("/plain?v=1", endless)
    with start() as daemon:
        daemon.wait_log("keys of tokens: .*: there are too many of them")
    idp().on("/plain?v=1", document("first"))


@test("what was good stays when the next fetch fails")
def _():
    idp().on("/plain?v=1", document("first"))
    with start() as daemon:
        equal(status("first", daemon=daemon), 200, "status")
        idp().on("/plain?v=1", canned(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "reset"))
        before = len(idp().seen("/plain?v=1"))
        def is_fetched():
            equal(status("other", daemon=daemon), 401, "status with a key that is not known")
            return len(idp().seen("/plain?v=1")) > before
        until(is_fetched, "newer keys are fetched")
        equal(status("first", daemon=daemon), 200, "status with the key of before")
    idp().on("/plain?v=1", document("first"))


@test("a daemon that is stopped does not wait for keys")
def _():
    pause = threading.Event()
    idp().on("/plain?v=1", lambda _request, _link: (pause.wait(WAIT), None)[1])
    before = len(idp().heads)
    with start() as daemon:
        idp().wait_for(lambda: len(idp().heads) > before, "a fetch")
        equal(daemon.stop(), 0, "status of the daemon")
    pause.set()


main()
