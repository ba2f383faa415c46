# SPDX-License-Identifier: BSD-2-Clause
"""judging - what the tests of policies share: both modes with one policy, an origin that says what
it was told, tunnels and upgrades, who decided."""

import json
import os
import subprocess
import threading

from bascule_flow import (FORWARD, WAIT, Client, Daemon, Failure, Origin, Skip, answer,
                          connect_head, equal, get, head, once, program, send_back)

BOTH = """
workers = @WORKERS@;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
stores = ( { name = "main"; memory = "16M"; } );
@MORE@
policies = ( { name = "shared"; @POLICY@ rules = ( @RULES@ ); } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "shared"; @WEB@ },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "shared"; cache = "main";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; http_ports = "1-65535";
      @OUT@ }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "second"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@SECOND@"; } ); }
);
sites = ( { name = "all"; default = true; group = "origin"; cache = "main"; } );
"""

# Of which each client, or each key, may have so many.
LIMITS = """
limits = (
    { name = "one"; key = "client"; concurrency = 1; },
    { name = "three"; key = "header:X-Key"; rate = "3/1h"; }
);
"""

UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
SWITCH = head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


def play(request, link):
    """Says what it was told, or how often anybody asked it; sends back what comes to an upgrade."""
    if request.has("Upgrade"):
        link.send(SWITCH)
        send_back(link)
        return None
    if request.target.startswith("/cached"):
        number = len(origin().seen(request.target))
        return answer(b"number %d for %s" % (number, (request.get("X-Rule") or "-").encode()),
                      "Cache-Control: max-age=60")
    if request.target.startswith("/plain"):
        return answer(b"number %d" % len(origin().seen(request.target)))
    seen = {name.lower(): value for name, value in request.fields}
    return answer(json.dumps({"target": request.target, "from": link.sock.getpeername()[0],
                              **seen}).encode())


@once
def origin():
    return Origin(play)


@once
def second():
    return Origin(lambda request, link: answer(b"second", "Cache-Control: max-age=60"))


@once
def echo():
    return Origin(serve=send_back)


def start(rules, more="", policy="", kind=Daemon, conf=BOTH, **values):
    """A daemon of kind with these rules; more: at the top of the configuration."""
    return kind(conf, RULES=rules, MORE=more, POLICY=policy, ORIGIN=origin().port,
                SECOND=second().port, **{"WORKERS": 2, "WEB": "", "OUT": "", **values})


def reload(daemon, rules):
    """With other rules, everything else as it was."""
    daemon.reload(BOTH, RULES=rules)


def request_of(way, path, *fields, host=None):
    host = host or way.host(origin())
    return get(f"http://{host}{path}" if way is FORWARD else path, *fields, host=host)


def ask(daemon, way, path, *fields, host=None, source=None):
    with Client(daemon.address(way.listener), source=source) as client:
        return client.ask(request_of(way, path, *fields, host=host))


def rule_of(response):
    """Name of the rule that refused; None: nothing did."""
    if response.status < 400:
        return None
    return json.loads(response.body)["rule"] if b'"rule"' in response.body else None


def ask_tunnel(daemon, target, *fields):
    with Client(daemon.address("out")) as client:
        return client.ask(connect_head(target, *fields), "CONNECT")


def open_tunnel(daemon, target=None):
    """A client with a tunnel; without a target: to the echo."""
    target = target or f"127.0.0.1:{echo().port}"
    client = Client(daemon.address("out"))
    response = client.ask(connect_head(target), "CONNECT")
    equal(response.status, 200, f"status of CONNECT {target}")
    return client


def upgrade(daemon, way, path):
    """A client whose connection is one of WebSocket now."""
    client = Client(daemon.address(way.listener))
    equal(client.ask(request_of(way, path, *UPGRADE)).status, 101, "status of the upgrade")
    return client


# ---- who is asking


def write_mmdb(path, *pairs):
    tool = os.path.join(os.path.dirname(os.path.abspath(program())), "test/support/write_mmdb")
    if not os.access(tool, os.X_OK):
        raise Skip("write_mmdb was not made")
    subprocess.run([tool, path, *pairs], check=True, timeout=WAIT)


GEO = 'geo = { country = "@DIR@/country.mmdb"; as = "@DIR@/as.mmdb"; };'


class GeoDaemon(Daemon):
    """Who knows that this machine is in Germany, 127.0.0.2 in France in AS 64500, and 127.0.0.9
    in the Netherlands in AS 64501."""

    def __init__(self, conf, **values):
        try:
            super().__init__(conf, **values)
        except Failure as failure:
            if "libmaxminddb" in str(failure):
                raise Skip("built without libmaxminddb") from None
            raise

    def write_conf(self, conf, **values):
        write_mmdb(self.path("country.mmdb"), "127.0.0.0/8=DE", "127.0.0.2/32=FR",
                   "127.0.0.9/32=NL")
        write_mmdb(self.path("as.mmdb"), "127.0.0.2/32=64500", "127.0.0.9/32=64501")
        super().write_conf(conf, **values)


STAFF = """users = ( { name = "staff"; kind = "htpasswd"; file = "@DIR@/htpasswd";
                       groups = "@DIR@/groups"; } );"""


class Staff(Daemon):
    """With users ann and ben, whose passwords are their names, ann in group "audit"."""

    def write_conf(self, conf, **values):
        for name, text in (("htpasswd", "".join(self.line(name) for name in ("ann", "ben"))),
                           ("groups", "audit: ann\n")):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(text)
        super().write_conf(conf, **values)

    @staticmethod
    def line(name):
        made = subprocess.run(["openssl", "passwd", "-5", "-salt", "s", name], check=True,
                              capture_output=True, text=True, timeout=WAIT)
        return f"{name}:{made.stdout.strip()}\n"


class Gate:
    """Whom a log-in is asked of (forward_auth): says that it is ann, when it is told to."""

    def __init__(self):
        self.asked, self.go = threading.Event(), threading.Event()
        self.origin = Origin(self.play)

    @property
    def users(self):
        return """users = ( { name = "gate"; kind = "forward_auth"; timeout = "1m";
                              to = "http://127.0.0.1:%d/verify"; } );""" % self.origin.port

    def play(self, _request, _link):
        self.asked.set()
        self.go.wait(6 * WAIT)
        return answer(b"", "Remote-User: ann")

    def close(self):
        self.origin.close()
