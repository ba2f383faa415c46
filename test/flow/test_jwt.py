# SPDX-License-Identifier: BSD-2-Clause
"""Users who show a signed token (server/users/jwt_user.c): RFC 6750, 7519, 8725."""

import hashlib
import hmac
import time

from bascule_flow import Client, Daemon, Origin, answer, ask, check, equal, get, main, once, test
from peers import until
from tokens import Issuer, forged, url64

CONF = """
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
groups = (
    { name = "app"; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "id"; endpoints = ( { to = "127.0.0.1:@IDP@"; } ); }
);
users = (
    { name = "api"; kind = "jwt"; keys = "@KEYS@"; issuer = "https://id.test"; audience = "shop";
      groups_claim = "realm_access.roles"; user_field = "X-User";
      fields = ( { claim = "email"; field = "X-Email"; } ); },
    { name = "site"; kind = "jwt"; keys = "@KEYS@"; audience = "*"; token_cookie = "sid"; },
    { name = "far"; kind = "jwt"; keys_url = "http://id.test/keys"; keys_group = "id";
      keys_retry = "1s"; }
);
policies = (
    { name = "api"; users = "api"; rules = (
        { name = "free"; when = { path = "/free"; }; action = "allow"; },
        { name = "who"; action = "authenticate"; },
        { name = "admins"; when = { path = "/admin"; not = ( { user_group = "admin"; } ); };
          action = "deny"; },
        { name = "no-bob"; when = { user = "bob"; }; action = "deny"; } ); },
    { name = "site"; users = "site"; rules = ( { action = "authenticate"; } ); },
    { name = "far"; users = "far"; rules = ( { action = "authenticate"; } ); }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "api"; },
    { name = "site"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "site"; },
    { name = "far"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "far"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "api";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; http_ports = "1-65535"; }
);
sites = ( { name = "all"; default = true; group = "app"; } );
"""

OURS = {"iss": "https://id.test", "aud": "shop"}

origin = once(Origin)
idp = once(Origin)


@once
def issuer() -> Issuer:
    made = Issuer()
    for name in ("rs", "es", "ed"):
        made.key(name, name)
    for name in ("stranger", "second", "third"):
        made.key(name)
    made.files.write("keys.json", made.document("rs", "es", "ed"))
    return made


@once
def proxy() -> Daemon:
    idp().on("/keys", lambda _request, _link: answer(issuer().document("es").encode(),
                                                     "Content-Type: application/json"))
    return Daemon(CONF, ORIGIN=origin().port, IDP=idp().port,
                  KEYS=issuer().files.path("keys.json"))


def ask_with(token, target="/", *fields, listener="web"):
    return ask(proxy().address(listener),
               get(target, f"Authorization: Bearer {token}", *fields))


@test("tokens of RSA, ECDSA and Ed25519 let in")
def _():
    for name in ("rs", "es", "ed"):
        equal(ask_with(issuer().token(name, **OURS), f"/{name}").status, 200, name)
        equal(proxy().wait_record(f"/{name}")["user"], "ann", "user in the log")


@test("the origin is told who it is, not the token, and nobody else tells it")
def _():
    token = issuer().token("es", **OURS, email="ann@site.test")
    equal(ask_with(token, "/told", "X-User: root", "x_email: root@site.test").status, 200, "status")
    seen = origin().wait_request("/told")
    equal(seen.all("X-User"), ["ann"], "X-User")
    equal(seen.all("X-Email"), ["ann@site.test"], "X-Email")
    for name in ("Authorization", "x_email"):
        check(not seen.has(name), f"{name} was passed on")
    equal(ask(proxy().address("web"), get("/free", "X-User: root", "X-Email: r")).status, 200,
          "not asked")
    seen = origin().wait_request("/free")
    for name in ("X-User", "X-Email"):
        check(not seen.has(name), f"{name} was passed on where nobody is asked")


@test("without a token: 401, and a challenge without an error")
def _():
    response = ask(proxy().address("web"), get("/none"))
    equal(response.status, 401, "status")
    equal(response.get("WWW-Authenticate"), 'Bearer realm="api"', "challenge")
    check(not origin().seen("/none"), "the origin was asked")


@test("a bad token: 401, with what is wrong")
def _():
    now = int(time.time())
    for claims, words in (({**OURS, "exp": now - 61}, "has expired"),
                          ({**OURS, "nbf": now + 90}, "is not valid yet"),
                          ({**OURS, "iss": "https://evil.test"}, "accepted issuer"),
                          ({**OURS, "aud": "other"}, "another audience"),
                          ({**OURS, "sub": 7}, "does not name a user")):
        response = ask_with(issuer().token("es", **claims), "/bad")
        equal(response.status, 401, f"status of {claims}")
        challenge = response.get("WWW-Authenticate")
        check('error="invalid_token"' in challenge and words in challenge, challenge)
    check(not origin().seen("/bad"), "the origin was asked")


@test("forged tokens: none, HMAC with the public key, a stranger's key, another's signature")
def _():
    claims = {**OURS, "sub": "ann", "exp": int(time.time()) + 300}
    head = url64(b'{"alg":"HS256","kid":"es"}') + "." + url64(b'{"sub":"ann","exp":9999999999}')
    with open(issuer().files.path("keys.json"), "rb") as file:
        mac = hmac.new(file.read(), head.encode(), hashlib.sha256).digest()
    good = issuer().token("es", **OURS)
    stranger = issuer().public("stranger")
    for token in (forged({"alg": "none"}, claims), forged({"alg": "None", "kid": "es"}, claims),
                  f"{head}.{url64(mac)}",
                  issuer().token("stranger", **OURS),
                  issuer().token("stranger", {"kid": "es"}, **OURS),
                  issuer().token("stranger", {"kid": "es", "jwk": stranger}, **OURS),
                  issuer().token("es", {"alg": "EdDSA"}, **OURS),
                  issuer().token("es", {"kid": "rs"}, **OURS),
                  issuer().token("es", {"crit": ["exp"]}, **OURS),
                  issuer().token("es", {"kid": "../../../dev/null"}, **OURS),
                  good[:-4] + "AAAA", "a.b.c", "...", "x" * 9000):
        equal(ask_with(token, "/forged").status, 401, token[:60])
    check(not origin().seen("/forged"), "the origin was asked")


@test("groups and names in tokens are known to rules")
def _():
    admin = issuer().token("es", **OURS, realm_access={"roles": ["user", "admin"]})
    user = issuer().token("es", **OURS, realm_access={"roles": ["user"]})
    equal(ask_with(admin, "/admin").status, 200, "of the group")
    equal(ask_with(user, "/admin").status, 403, "not of the group")
    equal(ask_with(issuer().token("es", **{**OURS, "sub": "bob"}), "/").status, 403, "bob")


@test("a cookie carries it, and only that cookie stays here")
def _():
    token = issuer().token("ed")
    response = ask(proxy().address("site"), get("/cookie", f"Cookie: a=1; sid={token}; b=2"))
    equal(response.status, 200, "status")
    equal(origin().wait_request("/cookie").all("Cookie"), ["a=1; b=2"], "cookies")
    response = ask(proxy().address("site"), get("/cookies", f"Cookie: sid={token}; sid=x"))
    equal(response.status, 401, "status of two")


@test("a forward proxy asks for it in fields of its own")
def _():
    token = issuer().token("es", **OURS)
    url = f"http://127.0.0.1:{origin().port}/out"
    with Client(proxy().address("out")) as client:
        host = f"127.0.0.1:{origin().port}"
        response = client.ask(get(url, f"Authorization: Bearer {token}", host=host))
        equal(response.status, 407, "status without")
        equal(response.get("Proxy-Authenticate"), 'Bearer realm="api"', "challenge")
    response = ask(proxy().address("out"), get(url, f"Proxy-Authorization: Bearer {token}",
                                               "Authorization: Bearer of-the-origin", host=host))
    equal(response.status, 200, "status")
    seen = origin().wait_request("/out")
    equal(seen.get("Authorization"), "Bearer of-the-origin", "Authorization")
    check(not seen.has("Proxy-Authorization"), "Proxy-Authorization was passed on")


@test("a file of keys is read again when it changes; a bad one changes nothing")
def _():
    second, old = issuer().token("second", **OURS), issuer().token("es", **OURS)
    equal(ask_with(second).status, 401, "before")
    equal(ask_with(old).status, 200, "before")
    try:
        issuer().files.write("keys.json", issuer().document("second"))
        until(lambda: ask_with(second).status == 200, "the new key counts")
        equal(ask_with(old).status, 401, "the old key, though its token was remembered")
        issuer().files.write("keys.json", '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}')
        proxy().wait_log(r"keys\.json: key 1: has 17 bits.*still used")
        equal(ask_with(second).status, 200, "after a bad file")
    finally:
        issuer().files.write("keys.json", issuer().document("rs", "es", "ed"))
        until(lambda: ask_with(old).status == 200, "the old keys count again")


@test("keys are fetched from a URL, and again for a key that is not known")
def _():
    third = issuer().token("third")
    equal(ask_with(issuer().token("es"), listener="far").status, 200, "the first keys")
    check(idp().seen("/keys"), "nobody fetched the keys")
    idp().on("/keys", lambda _request, _link: answer(issuer().document("third").encode()))
    until(lambda: ask_with(third, listener="far").status == 200, "the new key is fetched")
    equal(ask_with(issuer().token("es"), listener="far").status, 401, "the old key")
    fetched, start = len(idp().seen("/keys")), time.monotonic()
    for _number in range(20):
        equal(ask_with(issuer().token("stranger"), listener="far").status, 401, "a stranger's")
    # One a second; another may have been under way when we began to count.
    check(len(idp().seen("/keys")) <= fetched + 2 + time.monotonic() - start,
          "tokens of strangers make us fetch all the time")


main()
