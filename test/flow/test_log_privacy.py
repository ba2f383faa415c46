# SPDX-License-Identifier: BSD-2-Clause
"""What logs do not tell of the people behind requests (server/log/log_privacy.c)."""

import base64
import os
import re
import subprocess

from bascule_flow import Client, Daemon, Origin, check, equal, get, main, once, test
from peers import until

CONF = """
workers = 1;
users = ( { name = "staff"; kind = "htpasswd"; file = "@DIR@/htpasswd"; } );
policies = (
    { name = "known"; users = "staff"; rules = (
        { name = "who"; action = "authenticate"; },
        { name = "all"; action = "allow"; tags = [ "seen", "known" ]; }
    ); }
);
access_logs = (
    { name = "full"; to = "@DIR@/full.log"; format = "json"; },
    { name = "truncated"; to = "@DIR@/truncated.log"; format = "json"; clients = "truncated"; },
    { name = "pseudonyms"; to = "@DIR@/pseudonyms.log"; format = "json"; clients = "pseudonyms";
      users = "pseudonyms"; },
    { name = "nobody"; to = "@DIR@/nobody.log"; format = "json"; users = "off"; },
    { name = "keyed"; to = "@DIR@/keyed.log"; format = "json"; clients = "pseudonyms";
      pseudonym_key = "@DIR@/key"; },
    { name = "combined"; to = "@DIR@/combined.log"; clients = "truncated"; queries = false; },
    { name = "squid"; to = "@DIR@/squid.log"; format = "squid"; clients = "pseudonyms";
      queries = false; }
);
listeners = (
    { name = "full"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "full"; },
    { name = "truncated"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "truncated"; },
    { name = "pseudonyms"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "pseudonyms"; },
    { name = "keyed"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "keyed"; },
    { name = "combined"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "combined"; },
    { name = "squid"; mode = "forward"; listen = "127.0.0.1:0"; access_log = "squid";
      allow_destination = "127.0.0.0/8"; },
    { name = "known"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "pseudonyms";
      policy = "known"; },
    { name = "named"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "full";
      policy = "known"; },
    { name = "nobody"; mode = "reverse"; listen = "127.0.0.1:0"; access_log = "nobody";
      policy = "known"; },
    { name = "port"; mode = "port"; listen = "127.0.0.1:0"; access_log = "pseudonyms";
      group = "origin"; allow_client = "192.0.2.0/24"; },
    { name = "open-port"; mode = "port"; listen = "127.0.0.1:0"; access_log = "full";
      group = "origin"; allow_client = "192.0.2.0/24"; }
);
groups = ( { name = "origin"; endpoints = [ "127.0.0.1:@ORIGIN@" ]; } );
sites = ( { name = "all"; default = true; group = "origin"; } );
"""

origin = once(Origin)


class Proxy(Daemon):
    """With files that are there before it starts, and that its worker process may not open."""

    def write_conf(self, conf, **values):
        word = subprocess.run(["openssl", "passwd", "-5", "-stdin"], input="sesame", check=True,
                              capture_output=True, text=True).stdout.strip()
        for name, text in {"key": "0123456789abcdef0123456789abcdef",
                           "htpasswd": f"ann.example:{word}"}.items():
            with open(self.path(name), "w", encoding="ascii") as file:
                file.write(f"{text}\n")
            os.chmod(self.path(name), 0o600)
        super().write_conf(conf, **values)


@once
def proxy():
    return Proxy(CONF, ORIGIN=origin().port)


def ask(listener, path, *fields, source=None, daemon=None):
    with Client((daemon or proxy()).address(listener), source=source) as client:
        equal(client.ask(get(path, *fields, host=f"127.0.0.1:{origin().port}")).status, 200, path)


def record(listener, path, **options):
    daemon = options.get("daemon") or proxy()
    ask(listener, path, **options)
    return daemon.wait_record(path, f"{listener}.log")


def last_line(name):
    """The newest line of a log that is not JSON."""
    def read():
        try:
            with open(proxy().path(name), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []
    until(read, f"{name} has a line")
    return read()[-1]


@test("as it is, a log tells the address, the port and the query")
def _():
    found = record("full", "/full?q=1", source="127.0.0.77")
    equal((found["client_ip"], found["client_port"] > 0), ("127.0.0.77", True), "client")


@test("truncated clients are networks, without a port")
def _():
    found = record("truncated", "/truncated?q=1", source="127.0.0.77")
    equal((found["client_ip"], found.get("client_port")), ("127.0.0.0", None), "client")


@test("pseudonyms are the same for the same client, and others for others")
def _():
    one = record("pseudonyms", "/p1", source="127.0.0.77")["client_ip"]
    check(re.fullmatch("c[0-9a-f]{16}", one), one)
    equal(record("pseudonyms", "/p2", source="127.0.0.77")["client_ip"], one, "again")
    check(record("pseudonyms", "/p3", source="127.0.0.78")["client_ip"] != one, "of another")


@test("without a key pseudonyms outlive a reload, but not the process; with one both")
def _():
    with Proxy(CONF, ORIGIN=origin().port) as daemon:
        def pair(path):
            return [record(name, path, source="127.0.0.77", daemon=daemon)["client_ip"]
                    for name in ("pseudonyms", "keyed")]
        first = pair("/before")
        daemon.reload()
        equal(pair("/reloaded"), first, "after a reload")
        daemon.stop()
        daemon.start_again()
        again = pair("/started")
        check(again[0] != first[0], "the random key outlived the process")
        equal(again[1], first[1], "by the key of the file")


@test("users have pseudonyms, or no names at all; the rule and its tags are told")
def _():
    login = base64.b64encode(b"ann.example:sesame").decode()
    found = {}
    for listener, log in (("named", "full"), ("known", "pseudonyms"), ("nobody", "nobody")):
        ask(listener, f"/{listener}", f"Authorization: Basic {login}")
        found[listener] = proxy().wait_record(f"/{listener}", f"{log}.log")
        equal((found[listener]["rule"], found[listener]["tags"]), ("all", "seen,known"), listener)
    equal((found["named"]["user"], found["nobody"].get("user")), ("ann.example", None), "users")
    check(re.fullmatch("u[0-9a-f]{16}", found["known"]["user"]), found["known"]["user"])
    for name in ("pseudonyms.log", "nobody.log"):
        with open(proxy().path(name), encoding="utf-8") as file:
            check("ann.example" not in file.read(), f"{name} has the name")


@test("combined and squid lines conceal the same, Referer and port included")
def _():
    ask("combined", "/combined?secret=1", "Referer: http://search.test/?illness=2",
        source="127.0.0.77")
    line = last_line("combined.log")
    check(line.startswith("127.0.0.0 - - [") and '"GET /combined HTTP/1.1"' in line and
          '"http://search.test/"' in line, line)
    check("secret" not in line and "illness" not in line, line)
    ask("squid", f"http://127.0.0.1:{origin().port}/squid?secret=1", source="127.0.0.77")
    line = last_line("squid.log")
    check("127.0.0.77" not in line and "secret" not in line and
          f" GET http://127.0.0.1:{origin().port}/squid - " in line, line)


@test("lines of the error log about these clients tell no more")
def _():
    for listener in ("port", "open-port"):
        with Client(proxy().address(listener), source="127.0.0.66") as client:
            client.has_ended()
    match = proxy().wait_log(r'listener "port": client (\S+): it is not in allow_client')
    check(re.fullmatch("c[0-9a-f]{16}", match[1]), match[0])
    match = proxy().wait_log(r'listener "open-port": client (\S+): it is not in allow_client')
    equal(match[1], "127.0.0.66", "a client that may be told")
    login = base64.b64encode(b"ann.example:wrong").decode()
    for listener, client_ip, user in (("named", r"127\.0\.0\.66", r"ann\.example"),
                                      ("known", "c[0-9a-f]{16}", "u[0-9a-f]{16}"),
                                      ("nobody", r"127\.0\.0\.66", "-")):
        with Client(proxy().address(listener), source="127.0.0.66") as client:
            equal(client.ask(get("/", f"Authorization: Basic {login}")).status, 401, listener)
        proxy().wait_log(f'listener "{listener}": client {client_ip}: login failed: '
                         f'wrong password: users "staff", user "{user}"')


@test("a key that is gone refuses the reload, and the old one serves on")
def _():
    before = record("keyed", "/k1", source="127.0.0.77")["client_ip"]
    os.rename(proxy().path("key"), proxy().path("key.gone"))
    proxy().command("reload", status=1)
    os.rename(proxy().path("key.gone"), proxy().path("key"))
    equal(record("keyed", "/k2", source="127.0.0.77")["client_ip"], before, "pseudonym")


main()
