# SPDX-License-Identifier: BSD-2-Clause
"""Lists of domains and URLs that rules ask: what their files may look like, and files that change
(server/policy/list*.c)."""

import os

from bascule_flow import REVERSE, Daemon, equal, main, test
from judging import ask, rule_of, start

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
        daemon.reload()
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


main()
