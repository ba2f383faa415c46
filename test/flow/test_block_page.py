# SPDX-License-Identifier: BSD-2-Clause
"""Pages that say why something is refused: the built-in one, and an operator's own
(server/http/error_page.c, server/http/page_template.c, server/error_pages.c)."""

import html
import json
import os
import re
import shutil
import subprocess

from bascule_flow import (WAIT, Client, Daemon, Origin, check, equal, get, main, once, program,
                          test)
from daemon import open_folder
from peers import DeadPort

BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"

CONF = """
workers = 1;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
policies = (
    { name = "office"; rules = (
        { name = "no-games"; action = "deny"; why = "Gl\u00fccksspiel & <games>"; status = 451;
          when = { host = "games.test"; }; },
        { action = "deny"; when = { host = "nameless.test"; }; },
        { name = "fine"; action = "allow"; when = { path = "/fine"; }; }
    ); }
);
listeners = (
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; policy = "office";
      allow_destination = "127.0.0.0/8"; contact = "mailto:it@example.com"; },
    { name = "own"; mode = "forward"; listen = "127.0.0.1:0"; policy = "office";
      error_page = "@PAGES@/out.html"; contact = "https://help.example/form?kind=web";
      allow_destination = "127.0.0.0/8"; },
    { name = "closed"; mode = "forward"; listen = "127.0.0.1:0"; allow_client = "192.0.2.0/24"; },
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; error_page = "@PAGES@/web.html"; }
);
groups = (
    { name = "dead"; max_fails = 0; endpoints = [ "127.0.0.1:@DEAD@" ]; },
    { name = "origin"; endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "one"; hosts = [ "one.test" ]; group = "dead"; },
    { name = "two"; hosts = [ "two.test" ]; group = "dead"; error_page = "@PAGES@/two.html";
      policy = "office"; },
    { name = "rest"; default = true; group = "origin"; policy = "office"; }
);
"""

OUT = """<!DOCTYPE html>
<title>%{status} %{reason}</title>
<style>body { width: 100%; }</style>
<p id="why">%{why}</p><p id="rule">%{rule}</p><p id="id">%{id}</p>
<a id="url" href="%{url}">%{host}</a>
<p id="client">%{client_ip}</p><p id="user">%{user}</p><p id="time">%{time}</p>
<a id="contact" href="%{contact}">ask</a> 100%%
"""


class Pages:
    """A folder of templates, which the worker process may not open itself."""

    def __init__(self):
        self.dir = open_folder("bascule-pages-")
        self.write("out.html", OUT)
        self.write("web.html", "<p>listener %{status}</p>")
        self.write("two.html", "<p>site two %{status} %{why}</p>")

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(os.path.join(self.dir, name), 0o600)

    def close(self):
        shutil.rmtree(self.dir)


pages = once(Pages)
origin = once(Origin)
dead = once(DeadPort)


@once
def proxy():
    return Daemon(CONF, PAGES=pages().dir, DEAD=dead().port, ORIGIN=origin().port)


def refused(listener, url, *fields, status=403):
    with Client(proxy().address(listener)) as client:
        found = client.ask(get(url, *fields, host=url.split("/")[2] if "//" in url else "x.test"))
        equal(found.status, status, f"status of {url}")
        return found


def part(page, name):
    """Text of the element with this id."""
    return html.unescape(re.search(rf'id="{name}"[^>]*>([^<]*)<', page)[1])


def link(page, name):
    return html.unescape(re.search(rf'id="{name}" href="([^"]*)"', page)[1])


@test("a browser is told the reason, the rule, the reference and whom to ask")
def _():
    found = refused("out", "http://games.test/", BROWSER, status=451)
    page = found.body.decode()
    equal(found.get("Content-Type"), "text/html; charset=utf-8", "type")
    check("<dd>Gl\u00fccksspiel &amp; &lt;games&gt;</dd>" in page, f"the reason: {page[-700:]}")
    check("<dt>Rule</dt><dd>no-games</dd>" in page, "the rule")
    reference = re.search(r"<dt>Reference</dt><dd>([0-9a-f]{16})</dd>", page)[1]
    check(f'<a href="mailto:it@example.com?subject=Please%20review%20{reference}">' in page,
          "whom to ask")
    record = proxy().wait_record("http://games.test/")
    equal((record["id"], record["rule"], record["status"]), (reference, "no-games", 451), "the log")


@test("a rule without a name is called by its place in the log; no page names files")
def _():
    for listener, url in (("out", "http://nameless.test/page"), ("closed", "http://any.test/")):
        for fields in ([BROWSER], []):
            found = refused(listener, url, *fields).body.decode()
            check("bascule.conf" not in found and "<dt>Rule" not in found and
                  '"rule"' not in found, found[-500:])
    refused("out", "http://nameless.test/", BROWSER)
    record = proxy().wait_record("http://nameless.test/")
    check(re.search(r"bascule\.conf:\d+$", record["rule"]), record["rule"])


@test("the log names the rule that allowed, too")
def _():
    with Client(proxy().address("web")) as client:
        equal(client.ask(get("/fine", host="x.test")).status, 200, "status")
    equal(proxy().wait_record("/fine")["rule"], "fine", "rule")


@test("programs are told the same as problem details")
def _():
    found = refused("out", "http://games.test/json", status=451)
    equal(found.get("Content-Type"), "application/problem+json", "type")
    problem = json.loads(found.body)
    equal((problem["status"], problem["detail"], problem["rule"], "why" in problem),
          (451, "Gl\u00fccksspiel & <games>", "no-games", False), "members")
    equal(problem["instance"], f"#exchange-{problem['id']}", "instance")
    check(problem["contact"].endswith(problem["id"]), problem["contact"])


@test("a template shows what happened; nothing of it is markup")
def _():
    url = "http://games.test/a?b=\"<c>'&d"
    page = refused("own", url, BROWSER, status=451).body.decode()
    equal(part(page, "why"), "Gl\u00fccksspiel & <games>", "why")
    equal(part(page, "rule"), "no-games", "rule")
    equal(link(page, "url"), url, "url")
    equal(part(page, "url"), "games.test", "host")
    equal((part(page, "client"), part(page, "user")), ("127.0.0.1", ""), "client and user")
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", part(page, "time")), "time")
    equal(link(page, "contact"), "https://help.example/form?kind=web&reference="
          + part(page, "id"), "contact")
    check("<title>451 " in page and "width: 100%;" in page and page.endswith("100%\n"), page)
    check("<c>" not in page, "the URL is markup")


@test("a site's page comes before its listener's; failures have one too, with no review to ask for")
def _():
    with Client(proxy().address("web")) as client:
        equal(client.ask(get("/", BROWSER, host="one.test")).body, b"<p>listener 502</p>", "one")
        check(client.ask(get("/", BROWSER, host="two.test")).body.startswith(b"<p>site two 502 "),
              "two")
        equal(client.ask(get("/", BROWSER, host="games.test")).body, b"<p>listener 451</p>",
              "a rule of a site")
    check(b"it@example.com" not in refused("out", f"http://127.0.0.1:{dead().port}/", BROWSER,
                                           status=502).body, "a contact for a failure")
    page = refused("own", f"http://127.0.0.1:{dead().port}/", BROWSER, status=502).body.decode()
    check(link(page, "contact").startswith("https://help.example/"), "a page of one's own has it")


@test("a reload brings a new page; a bad one is refused with its line, and the old one stays")
def _():
    pages().write("web.html", "<p>new %{status}</p>")
    proxy().reload()
    with Client(proxy().address("web")) as client:
        equal(client.ask(get("/", BROWSER, host="one.test")).body, b"<p>new 502</p>", "new page")
    pages().write("web.html", "<p>\n%{stauts}</p>")
    done = subprocess.run([program(), "reload", "-c", proxy().conf_path], capture_output=True,
                          text=True, check=False, timeout=WAIT)
    check(done.returncode != 0 and 'web.html:2: unknown name %{stauts}; did you mean "status"?'
          in done.stderr, f"reload: {done.stderr}")
    done = subprocess.run([program(), "check", "-c", proxy().conf_path], capture_output=True,
                          text=True, check=False, timeout=WAIT)
    check(done.returncode == 1 and "web.html:2: unknown name" in done.stderr,
          f"check: {done.stderr}")
    with Client(proxy().address("web")) as client:
        equal(client.ask(get("/", BROWSER, host="one.test")).body, b"<p>new 502</p>", "old page")


main()
