# SPDX-License-Identifier: BSD-2-Clause
"""Who logs in, with what, and what of it others get to know (server/users, modes/judge_learn.c):
passwords and digests in both modes, names from proxies in front."""

import base64
import hashlib
import os
import re
import shutil
import subprocess

from bascule_flow import (WAIT, WAYS, Client, Daemon, Origin, Skip, answer, check, equal, get, head,
                          main, once, one_of, program, test)
from peers import becomes, until

CONF = """
workers = 2;
forward_to_sites = false;
log = { level = "debug"; };
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
users = (
    { name = "staff"; kind = "htpasswd"; file = "@DIR@/htpasswd"; groups = "@DIR@/groups";
      user_field = "X-Remote-User"; max_failures = 3; lock_time = "10m"; },
    { name = "known"; kind = "digest"; realm = "staff"; file = "@DIR@/htdigest";
      user_field = "X-Remote-User"; },
    { name = "front"; kind = "trusted_field"; user_header = "X-User"; groups_header = "X-Groups";
      from = "127.0.0.9"; user_field = "X-Remote-User"; },
    { name = "slow"; kind = "htpasswd"; file = "@DIR@/slow"; max_failures = 0; max_logins = 6; }
);
policies = (
    { name = "basic"; users = "staff"; rules = (
        { name = "open"; when = { path = "/open"; }; action = "allow"; },
        { name = "admins"; when = { path = "/admin"; not = ( { user_group = "admins"; } ); };
          action = "deny"; },
        { name = "who"; action = "authenticate"; } ); },
    { name = "digest"; users = "known"; rules = ( { name = "who"; action = "authenticate"; } ); },
    { name = "front"; users = "front"; rules = ( { name = "who"; action = "authenticate"; } ); },
    { name = "slow"; users = "slow"; rules = ( { name = "who"; action = "authenticate"; } ); }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "basic"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "basic";
      allow_destination = "127.0.0.0/8"; connect_ports = "1-65535";
      anonymity = "off"; }, # which would take the name out
    { name = "web-digest"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "digest"; },
    { name = "out-digest"; mode = "forward"; listen = "127.0.0.1:0"; policy = "digest";
      allow_destination = "127.0.0.0/8"; connect_ports = "1-65535";
      anonymity = "off"; }, # which would take the name out
    { name = "front"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "front"; },
    { name = "slow"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "slow"; }
);
groups = ( { name = "origin"; endpoints = "127.0.0.1:@ORIGIN@"; } );
sites = ( { name = "all"; default = true; group = "origin"; } );
"""

PASSWORD = "open: sesame \u00a3"
REALM = "staff"


def openssl(password):
    return subprocess.run(["openssl", "passwd", "-5", "-stdin"], input=password, check=True,
                          capture_output=True, text=True).stdout.strip()


def slow_hash():
    """One that nobody's password makes; a tenth of a second of work, or two."""
    return f"$5$rounds=200000$abcdefgh${'a' * 43}"


class Proxy(Daemon):
    """With files that are there before it starts, and that its worker process may not open."""

    def write_conf(self, conf, **values):
        digest = hashlib.sha256(f"mufasa:{REALM}:{PASSWORD}".encode()).hexdigest()
        self.write_file("htpasswd", "".join(f"{name}:{openssl(PASSWORD)}\n"
                                            for name in ("ann", "ben", "carl", "dora")))
        self.write_file("groups", "admins: ann\n")
        self.write_file("htdigest", f"mufasa:{REALM}:{digest}\n")
        self.write_file("slow", f"eve:{slow_hash()}\n")
        super().write_conf(conf, **values)

    def write_file(self, name, text):
        path = self.path(f"{name}.new")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        os.rename(path, self.path(name))


def show(request, _link):
    """What the origin was told."""
    fields = ["Authorization", "Proxy-Authorization", "X-Remote-User", "X-User", "X-Groups"]
    return answer("".join(f"{name}={','.join(request.all(name))}\n"
                          for name in fields if request.has(name)).encode())


@once
def origin():
    return Origin(show)


@once
def proxy():
    return Proxy(CONF, ORIGIN=origin().port)


def basic(name, password=PASSWORD):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def field_of(way):
    return "Proxy-Authorization" if way.name == "forward" else "Authorization"


def asking(way, path, *fields):
    return get(way.target(origin(), path), *fields, host=way.host(origin()))


def ask(way, path, *fields, suffix="", source=None):
    with Client(proxy().address(way.listener + suffix), source=source) as client:
        return client.ask(asking(way, path, *fields))


def log_in(way, path, name, password=PASSWORD, *fields, source=None):
    return ask(way, path, f"{field_of(way)}: {basic(name, password)}", *fields, source=source)


def both(promise, **options):
    """A test for each mode."""
    def add(function):
        for way in WAYS:
            test(f"{promise} ({way.name})", **options)(lambda way=way: function(way))
    return add


# ---- Basic


@both("who shows nothing is asked for a password, and told the realm")
def _(way):
    before = proxy().metrics()["bascule_requests_denied_total"]
    response = ask(way, "/")
    becomes(lambda: proxy().metrics()["bascule_requests_denied_total"] - before, 1, "denied")
    equal(response.status, 407 if way.name == "forward" else 401, "status")
    asked = "Proxy-Authenticate" if way.name == "forward" else "WWW-Authenticate"
    equal(response.get(asked), 'Basic realm="staff", charset="UTF-8"', asked)
    equal(ask(way, "/open").status, 200, "status of what is open to all")


@both("who knows the password gets through; the origin learns the name, not the password")
def _(way):
    response = log_in(way, "/x", "ann", PASSWORD, "X-Remote-User: root", "x_remote_user: root")
    equal(response.status, 200, "status")
    equal(response.body, b"X-Remote-User=ann\n", "what the origin was told")
    equal(proxy().wait_record(asking(way, "/x").split()[1].decode())["user"], "ann", "in the log")


@test("what a client of a proxy tells the origin is not the proxy's")
def _():
    way = WAYS[1]
    response = ask(way, "/", f"Proxy-Authorization: {basic('ann')}", "Authorization: Bearer abc")
    equal(response.body, b"Authorization=Bearer abc\nX-Remote-User=ann\n", "at the origin")


@test("what is not for us goes to the origin, what is does not, asked or not")
def _():
    way = WAYS[0]
    equal(ask(way, "/open", "Authorization: Bearer abc").body, b"Authorization=Bearer abc\n",
          "another scheme")
    equal(ask(way, "/open", f"Authorization: {basic('ann', 'guess')}").body, b"", "ours")
    equal(ask(way, "/open", "X-Remote-User: root").body, b"", "a name of one's own")


@both("wrong passwords, unknown users and malformed credentials are asked again")
def _(way):
    status = 407 if way.name == "forward" else 401
    equal(log_in(way, "/", "ann", "wrong", source="127.0.0.11").status, status, "wrong")
    equal(log_in(way, "/", "nobody", source="127.0.0.11").status, status, "unknown")
    for bad in ("Basic", "Basic !!!", "Basic YW5u", "Basic YW5uCjph"):
        equal(ask(way, "/", f"{field_of(way)}: {bad}").status, status, bad)


@both("a failed login is a line of the log, with client, user and why; a good one is none")
def _(way):
    source = f"127.0.0.{31 if way.name == 'forward' else 32}"
    listener = "out" if way.name == "forward" else "web"
    odd = 'x" client 192.0.2.1'
    for name, password in (("ann", "wrong"), ("nobody", "x"), (odd, "x"), ("ben", PASSWORD)):
        log_in(way, "/", name, password, source=source)
    ask(way, "/", f"{field_of(way)}: Basic !!!", source=source)
    ask(way, "/", source=source)
    line = f'listener "{listener}": client {source}: login failed: '
    for said in ('wrong password: users "staff", user "ann"', 'no such user: users "staff", user '
                 '"nobody"', 'no such user: users "staff", user "x\\x22',
                 'malformed credentials: users "staff", user "-"'):
        proxy().wait_log(re.escape(line + said))
    log_in(way, "/", "last", source=source)
    proxy().wait_log(re.escape(f'{line}no such user: users "staff", user "last"'))
    equal(sum(line in said for said in proxy().log_lines), 5, "lines in all")


@test("groups of the file are facts of the policy")
def _():
    equal(log_in(WAYS[0], "/admin", "ann").status, 200, "an admin")
    equal(log_in(WAYS[0], "/admin", "ben").status, 403, "somebody else")


@test("a password is hashed once, for all threads")
def _():
    def hashes():
        return proxy().metrics()["bascule_login_hashes_total"]
    equal(log_in(WAYS[0], "/", "carl").status, 200, "status")
    before = hashes()
    for way in WAYS * 10:
        equal(log_in(way, "/", "carl").status, 200, "status")
    equal(hashes(), before, "hashes made")


@test("CONNECT needs a password, too")
def _():
    address = proxy().address("out")
    target = f"127.0.0.1:{origin().port}"
    with Client(address) as client:
        equal(client.ask(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}")).status, 407, "bare")
        client.send(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}",
                         f"Proxy-Authorization: {basic('ann')}"))
        equal(client.read("CONNECT").status, 200, "with a password")
        equal(client.ask(get("/in")).body, b"", "what the origin was told in the tunnel")


@both("three failures lock a user and client together")
def _(way):
    source = f"127.0.0.{21 if way.name == 'forward' else 22}"
    before = proxy().metrics()
    for _ in range(3):
        one_of(log_in(way, "/", "dora", "wrong", source=source).status, (401, 407), "status")
    response = log_in(way, "/", "dora", source=source)
    equal(response.status, 429, "status of the right password")
    check(500 <= int(response.get("Retry-After")) <= 600, "Retry-After says when")
    equal(log_in(way, "/", "dora").status, 200, "from elsewhere")
    equal(log_in(way, "/", "ben", source=source).status, 200, "somebody else from there")
    proxy().wait_log(f'user "dora" of client {source} is locked for 600 s after 3 failures')
    after = proxy().metrics()
    equal(after["bascule_login_locks_total"] - before["bascule_login_locks_total"], 1, "locks")
    equal(after["bascule_login_failures_total"] - before["bascule_login_failures_total"], 3,
          "failures")


@test("files made by Apache's htpasswd are read; changes count at once, mistakes do not")
def _():
    htpasswd = shutil.which("htpasswd")
    if htpasswd is None:
        raise Skip("htpasswd (apache2-utils) is not there")
    def made(kind, name):
        return subprocess.run([htpasswd, "-ni", *kind, name], input="word\n", text=True,
                              capture_output=True, check=True).stdout.strip() + "\n"
    with Proxy(CONF, ORIGIN=origin().port) as daemon:
        def status(name):
            with Client(daemon.address("web")) as client:
                return client.ask(get("/", f"Authorization: {basic(name, 'word')}")).status
        kinds = {"b": ["-B", "-C", "4"], "m": ["-m"]}
        if "-5" in subprocess.run([htpasswd], capture_output=True, text=True, check=False).stderr:
            kinds |= {"s": ["-2"], "t": ["-5"]}
        daemon.write_file("htpasswd", "".join(made(kind, name) for name, kind in kinds.items()))
        daemon.wait_log("htpasswd or .*groups: has changed")
        equal([status(name) for name in kinds], [200] * len(kinds), "status of each kind")
        daemon.write_file("htpasswd", made(["-B"], "b") + made(["-s"], "sha"))
        daemon.wait_log("htpasswd:2: user \"sha\": SHA-1 without a salt is not accepted")
        equal(status("m"), 200, "of who was there before")
        daemon.write_file("htpasswd", made(["-B"], "b"))
        until(lambda: status("m") == 401, "who was taken out is out, cached or not")


# ---- Digest


def digest(challenge, way, path, count=1, password=PASSWORD, uri=None, nonce=None):
    """A response as RFC 7616 section 3.4.1 says."""
    def h(text):
        return hashlib.sha256(text.encode()).hexdigest()
    nonce = nonce or challenge.partition('nonce="')[2].partition('"')[0]
    uri = uri or way.target(origin(), path)
    known = h(f"mufasa:{REALM}:{password}")
    response = h(f"{known}:{nonce}:{count:08x}:c:auth:{h(f'GET:{uri}')}")
    return (f'{field_of(way)}: Digest username="mufasa", realm="{REALM}", nonce="{nonce}", '
            f'uri="{uri}", response="{response}", algorithm=SHA-256, cnonce="c", qop=auth, '
            f'nc={count:08x}')


def challenge_of(response):
    return response.get("Proxy-Authenticate") or response.get("WWW-Authenticate")


@both("a digest gets through; the same again does not, and is told that its nonce is stale")
def _(way):
    first = ask(way, "/d", suffix="-digest")
    one_of(first.status, (401, 407), "status")
    challenge = challenge_of(first)
    check("stale" not in challenge, "the first challenge says stale")
    shown = digest(challenge, way, "/d")
    response = ask(way, "/d", shown, suffix="-digest")
    equal((response.status, response.body), (200, b"X-Remote-User=mufasa\n"), "the first time")
    again = ask(way, "/d", shown, suffix="-digest")
    equal(again.status, first.status, "the second time")
    check("stale=true" in challenge_of(again), "the nonce is not called stale")
    more = ask(way, "/d", digest(challenge, way, "/d", count=2), suffix="-digest")
    equal(more.status, 200, "the next number")
    other = ask(way, "/other", digest(challenge, way, "/d", count=3), suffix="-digest")
    equal(other.status, first.status, "for another resource")
    wrong = ask(way, "/d", digest(challenge, way, "/d", count=4, password="x"), suffix="-digest")
    equal(wrong.status, first.status, "with a wrong password")
    check("stale" not in challenge_of(wrong), "a wrong password is called stale")


@both("curl logs in by digest")
def _(way):
    curl = shutil.which("curl")
    if curl is None:
        raise Skip("curl is not there")
    if way.name == "forward":
        login = ["--proxy-digest", "--proxy-user", f"mufasa:{PASSWORD}", "-x",
                 f"http://{proxy().address('out-digest')}"]
        calls = [login + [f"http://{way.host(origin())}/a?b=c"] * 3,
                 login + ["-p", f"http://{way.host(origin())}/a?b=c"]]
    else:
        calls = [["--digest", "-u", f"mufasa:{PASSWORD}"] +
                 [f"http://{proxy().address('web-digest')}/a?b=c"] * 3]
    for call in calls:
        done = subprocess.run([curl, "-sS", "-w", "%{http_code}\n", *call], capture_output=True,
                              text=True, timeout=WAIT, check=False)
        told = "" if "-p" in call else "X-Remote-User=mufasa\n"
        equal(done.stdout, (told + "200\n") * (1 if "-p" in call else 3),
              f"what curl got ({done.stderr.strip()})")


# ---- names from in front


@test("a proxy in front is believed by its address, others are not, and the fields go")
def _():
    def ask_front(source, *fields):
        with Client(proxy().address("front"), source=source) as client:
            return client.ask(get("/", *fields))
    fields = ["X-User: zoe", "X-Groups: a, b"]
    equal(ask_front("127.0.0.9", *fields).body, b"X-Remote-User=zoe\nX-User=zoe\nX-Groups=a, b\n",
          "from the front")
    equal(ask_front("127.0.0.1", *fields).status, 403, "from elsewhere")
    equal(ask_front("127.0.0.9").status, 403, "without a name")
    equal(ask_front("127.0.0.9", "X-User: zoe", "X-User: root").status, 403, "with two names")


# ---- while a thread hashes


@test("clients may go, configurations change and the daemon end while a password is hashed")
def _():
    with Proxy(CONF, ORIGIN=origin().port) as daemon:
        def begin(password):
            client = Client(daemon.address("slow"))
            client.send(get("/", f"Authorization: {basic('eve', password)}"))
            return client
        begin("one").reset()
        with begin("two") as client:
            daemon.reload()
            equal(client.read().status, 401, "of one that began before the reload")
        clients = []

        def somebody_waits():
            clients.extend(begin(f"more {len(clients)}") for _ in range(6))
            return daemon.metrics()["bascule_login_hashes_waiting"] > 0

        until(somebody_waits, "somebody waits")
        for client in clients[1:]:
            client.reset()
        equal(daemon.stop(), 0, "exit status")
        clients[0].close()


@test("one client has a share of the queue; the others still get in")
def _():
    with Proxy(CONF, ORIGIN=origin().port) as daemon:
        clients = []

        def some_are_refused():
            for i in range(12):
                clients.append(Client(daemon.address("slow"), source="127.0.0.31"))
                clients[-1].send(get("/", f"Authorization: {basic('eve', f'guess {i}')}"))
            return daemon.metrics()["bascule_login_busy_total"] > 0

        until(some_are_refused, "some are refused")
        with Client(daemon.address("web")) as client:
            equal(client.ask(get("/", f"Authorization: {basic('ann')}")).status, 200,
                  "somebody else")
        found = {client.read().status for client in clients}
        check(found <= {401, 503} and 503 in found, f"the guesser got {found}")
        for client in clients:
            client.close()


# ---- last: what the tests above left behind


@test("no password is in any log")
def _():
    proxy().command("status")
    logs = proxy().log(10000)
    with open(proxy().path("access.log"), encoding="utf-8") as file:
        logs += file.read()
    check("ann" in logs, "the logs say nothing")
    for secret in ("sesame", basic("ann")[6:], basic("dora", "wrong")[6:], "Basic "):
        check(secret not in logs, f"{secret!r} is in a log")


@test("check reads the files, and names the line")
def _():
    proxy().write_file("htpasswd", "ann:plain\n")
    done = subprocess.run([program(), "check", "-c", proxy().conf_path], capture_output=True,
                          text=True, timeout=WAIT, check=False)
    equal(done.returncode, 1, "exit status")
    check('users "staff": ' in done.stderr and "htpasswd:1: user \"ann\": " in done.stderr,
          done.stderr)


main()
