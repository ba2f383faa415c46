# SPDX-License-Identifier: BSD-2-Clause
"""Users whom a directory knows (server/users/ldap_users.c): a real slapd is asked."""

import base64
import concurrent.futures

from bascule_flow import Daemon, Origin, ask, check, equal, get, main, once, test
from certs import Certificates
from directory import Directory
from peers import until

LDIF = r"""
dn: dc=site,dc=test
objectClass: dcObject
objectClass: organization
o: site

dn: cn=reader,dc=site,dc=test
objectClass: organizationalRole
objectClass: simpleSecurityObject
userPassword: reads

dn: ou=people,dc=site,dc=test
objectClass: organizationalUnit

dn: ou=groups,dc=site,dc=test
objectClass: organizationalUnit

dn: uid=ann,ou=people,dc=site,dc=test
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: A
userPassword: horse

dn: uid=bob,ou=people,dc=site,dc=test
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: B
userPassword: battery

dn: uid=eve\2c(x)*,ou=people,dc=site,dc=test
objectClass: inetOrgPerson
uid: eve,(x)*
cn: Eve
sn: E
userPassword: staple

dn: uid=twin,ou=people,dc=site,dc=test
objectClass: inetOrgPerson
uid: twin
cn: One
sn: T
userPassword: twin

dn: cn=Two,ou=people,dc=site,dc=test
objectClass: inetOrgPerson
uid: twin
cn: Two
sn: T
userPassword: twin

dn: cn=staff,ou=groups,dc=site,dc=test
objectClass: groupOfNames
cn: staff
member: uid=ann,ou=people,dc=site,dc=test
member: uid=eve\2c(x)*,ou=people,dc=site,dc=test

dn: cn=company,ou=groups,dc=site,dc=test
objectClass: groupOfNames
cn: company
member: cn=staff,ou=groups,dc=site,dc=test
member: cn=company,ou=groups,dc=site,dc=test
"""

USERS = """
    { name = "@NAME@"; kind = "ldap"; url = "@URL@"; ca = "@CA@";
      timeout = "@TIMEOUT@"; user_field = "X-User"; @MORE@ },"""

SEARCH = """base = "ou=people,dc=site,dc=test"; bind_dn = "cn=reader,dc=site,dc=test";
      bind_password_file = "@SECRET@"; group_base = "ou=groups,dc=site,dc=test";"""
EACH = SEARCH + 'cache = "0"; max_failures = 0;'  # every password is proved anew

# name: what is special about it
KINDS = {
    "search": EACH + "group_depth = 3;",
    "direct": EACH,
    "template": 'dn = "uid=%u,ou=people,dc=site,dc=test"; cache = "0"; max_failures = 0; '
                'group_base = "ou=groups,dc=site,dc=test";',
    "lock": SEARCH + 'cache = "0"; max_failures = 3;',
    "cached": SEARCH + 'cache = "1m";',
    "plain": EACH + "starttls = false;",
    "ldaps": EACH,
    "hasty": EACH,
}


def conf(kinds):
    users, policies, listeners = "", "", ""
    for name, more in kinds.items():
        url = "ldaps://127.0.0.1:@TLS_PORT@" if name == "ldaps" else "ldap://127.0.0.1:@PORT@"
        timeout = "500ms" if name == "hasty" else "30s"
        users += USERS.replace("@MORE@", more).replace("@NAME@", name).replace("@URL@", url) \
            .replace("@TIMEOUT@", timeout)
        policies += f"""
    {{ name = "{name}"; users = "{name}"; rules = (
        {{ name = "who"; action = "authenticate"; }},
        {{ name = "no-ann"; when = {{ path = "/notann"; user = "ann"; }}; action = "deny"; }},
        {{ name = "company"; when = {{ path = "/company";
           not = ( {{ user_group = "company"; }} ); }}; action = "deny"; }},
        {{ name = "staff"; when = {{ path = "/staff";
           not = ( {{ user_group = "staff"; }} ); }}; action = "deny"; }} ); }},"""
        listeners += f"""
    {{ name = "{name}"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "{name}"; }},"""
    return f"""
access_logs = ( {{ name = "all"; to = "@DIR@/access.log"; format = "json"; }} );
groups = ( {{ name = "app"; endpoints = ( {{ to = "127.0.0.1:@ORIGIN@"; }} ); }} );
users = ( {users.rstrip(',')} );
policies = ( {policies.rstrip(',')} );
listeners = ( {listeners.rstrip(',')} );
sites = ( {{ name = "all"; default = true; group = "app"; }} );
"""


origin = once(Origin)


@once
def certificates() -> Certificates:
    made = Certificates()
    made.authority("directories")
    made.issue("slapd", "directories", ["IP:127.0.0.1"])
    made.authority("others")
    made.write("secret", "reads\n")
    return made


@once
def directory() -> Directory:
    return Directory(LDIF.lstrip(), (certificates().path("slapd.pem"),
                                     certificates().path("slapd.key")))


def started(kinds, ca="directories"):
    return Daemon(conf(kinds), ORIGIN=origin().port, PORT=directory().port,
                  TLS_PORT=directory().tls_port,
                  CA=certificates().path(f"{ca}.pem"), SECRET=certificates().path("secret"))


@once
def proxy() -> Daemon:
    return started(KINDS)


def ask_as(pair, target="/", listener="search", daemon=None):
    text = base64.b64encode(pair.encode()).decode()
    return ask((daemon or proxy()).address(listener), get(target, f"Authorization: Basic {text}"))


@test("who is in the directory gets in with the right password, and nobody else")
def _():
    for listener in ("search", "template", "plain", "ldaps"):
        equal(ask_as("ann:horse", f"/{listener}", listener).status, 200, f"ann, {listener}")
        equal(origin().wait_request(f"/{listener}").all("X-User"), ["ann"], "user")
        equal(ask_as("bob:battery", listener=listener).status, 200, f"bob, {listener}")
        for pair in ("ann:battery", "ann:Horse", "nobody:horse", ":horse", "reader:reads"):
            response = ask_as(pair, "/wrong", listener)
            equal(response.status, 401, f"{pair}, {listener}")
            check(response.get("WWW-Authenticate").startswith("Basic "), "challenge")
    check(not origin().seen("/wrong"), "the origin was asked")


@test("an empty password is wrong, though a directory would not say so")
def _():
    for listener in ("search", "template", "plain"):
        equal(ask_as("ann:", listener=listener).status, 401, listener)


@test("names that mean something in filters and distinguished names are only names")
def _():
    for listener in ("search", "template"):
        for name in ("*", "a*", "ann)(uid=*", "*)(uid=ann", "ann,ou=people", "ann+cn=Ann",
                     "ann\\2a", "ann)", "(ann", "uid=ann"):
            equal(ask_as(f"{name}:horse", listener=listener).status, 401, f"{name}, {listener}")
        equal(ask_as("eve,(x)*:staple", "/staff", listener).status, 200, f"eve, {listener}")


@test("one entry has to be found, not several")
def _():
    equal(ask_as("twin:twin").status, 401, "status")


@test("a user has one name for rules, however it was written")
def _():
    for listener in ("search", "template"):
        for name in ("ann", "ANN", "Ann"):
            equal(ask_as(f"{name}:horse", listener=listener).status, 200, name)
            equal(ask_as(f"{name}:horse", "/notann", listener).status, 403, name)
        for name in (" ann", "ann ", "  ann"):
            equal(ask_as(f"{name}:horse", listener=listener).status, 401, f'"{name}"')


@test("groups are known to rules, those that groups are in as far as wanted")
def _():
    for listener in ("search", "direct", "template"):
        equal(ask_as("ann:horse", "/staff", listener).status, 200, f"ann, staff, {listener}")
        equal(ask_as("bob:battery", "/staff", listener).status, 403, f"bob, staff, {listener}")
    equal(ask_as("ann:horse", "/company").status, 200, "a group's group")
    equal(ask_as("ann:horse", "/company", "direct").status, 403, "a group's group, depth 1")


@test("after too many failures the directory is not asked")
def _():
    for name in ("bob", "BOB", "Bob"):
        equal(ask_as(f"{name}:wrong", listener="lock").status, 401, "wrong")
    response = ask_as("bob:battery", listener="lock")
    equal(response.status, 429, "status")
    check(int(response.get("Retry-After")) > 0, "Retry-After")
    equal(ask_as("ann:horse", listener="lock").status, 200, "somebody else")


@test("many at a time get their answers")
def _():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        pairs = ["ann:horse", "bob:battery", "ann:no", "bob:no"] * 10
        found = list(pool.map(lambda pair: ask_as(pair).status, pairs))
    equal(found, [200, 200, 401, 401] * 10, "statuses")


@test("credentials go no further, and are in no log")
def _():
    equal(ask_as("ann:horse", "/secret").status, 200, "status")
    check(not origin().wait_request("/secret").has("Authorization"), "Authorization was passed on")
    proxy().wait_record("/secret")
    with open(proxy().path("access.log"), encoding="utf-8") as file:
        check("horse" not in file.read(), "the password is in the access log")
    check("horse" not in proxy().log(1000), "the password is in the log")


@test("a directory that is not vouched for is not shown a password")
def _():
    with started({"search": EACH}, ca="others") as daemon:
        equal(ask_as("ann:horse", daemon=daemon).status, 503, "status")
        daemon.wait_log(r"directory ldap://127\.0\.0\.1:\d+: could not connect: ")


@test("without the directory there is 503, what was proved counts, and it recovers")
def _():
    equal(ask_as("ann:horse", listener="cached").status, 200, "before")
    directory().stop()
    try:
        equal(ask_as("ann:horse").status, 503, "status")
        equal(ask_as("ann:wrong").status, 503, "status of a wrong one")
        equal(ask_as("ann:horse", listener="cached").status, 200, "proved a moment ago")
    finally:
        directory().start()
    until(lambda: ask_as("ann:horse").status == 200, "it answers again")
    equal(ask_as("ann:wrong").status, 401, "a wrong one")
    proxy().wait_log("answers again")


@test("a directory that says nothing ends in 503 in time, and holds up nobody")
def _():
    def gets_in():
        return ask_as("ann:horse", listener="hasty").status == 200

    until(gets_in, "it answers")
    directory().freeze()
    try:
        equal(ask_as("ann:horse", listener="hasty").status, 503, "status") # within WAIT
        equal(ask(proxy().address("hasty"), get("/")).status, 401, "without credentials")
    finally:
        directory().thaw()
    until(gets_in, "it answers again")


@test("the searcher's password is read again when it changes")
def _():
    with started({"search": EACH}) as daemon:
        equal(ask_as("ann:horse", daemon=daemon).status, 200, "before")
        certificates().write("secret", "changed\n")
        try:
            daemon.wait_log("secret: has changed")
            certificates().write("secret", "\n")
            daemon.wait_log("secret: has no password on its first line")
        finally:
            certificates().write("secret", "reads\n")


main()
