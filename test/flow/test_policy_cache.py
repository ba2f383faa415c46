# SPDX-License-Identifier: BSD-2-Clause
"""Rules and the cache: what they let pass it by or force into it, and that no answer is given to
those for whom rules made another (modes/judge_effects.c, modes/look_up.c)."""

from bascule_flow import both, check, equal, main, once
from caching import is_hit, outcome, unique
from judging import ask, reload, rule_of, start

CACHE_RULES = """
    { when = { query = "bypass"; }; cache = "bypass"; },
    { when = { path = "/plain*"; }; cache = "force"; cache_time = "60s"; },
    { when = { header = ( { name = "X-Key"; value = "a"; } ); }; set_request = "X-Rule: a"; },
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
        reload(daemon, "\n\n" + rules % "new") # the same, elsewhere in the file
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


main()
