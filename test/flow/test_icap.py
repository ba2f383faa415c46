# SPDX-License-Identifier: BSD-2-Clause
"""Messages are shown to ICAP servers (filter icap): Debian's c-icap, and one by a script."""

import base64
import socket
import threading

from bascule_flow import (FORWARD, REVERSE, WAIT, Client, CutShort, Daemon, Origin, Way, answer,
                          answer_chunked, ask, bytewise, check, chunks, equal, get, head, main,
                          once, post, test)
from caching import FRONTS, Front, test_fronts, unique
from h2 import request
from icap import CIcap, IcapServer, changed, go_on, unchanged
from peers import until

CONF = """
workers = 1;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
users = ( { name = "front"; kind = "trusted_field"; user_header = "X-User"; from = "127.0.0.1"; } );
policies = ( { name = "front"; users = "front";
               rules = ( { name = "who"; action = "authenticate"; } ); } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; @SCRIPTED@ },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; @SCRIPTED@
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; },
    { name = "failover"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "icap"; to = [ "127.0.0.1:@DEAD@", "127.0.0.1:@ICAP@" ];
                    response = "scan"; request = "scan"; } ); },
    { name = "closed"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "icap"; to = "127.0.0.1:@DEAD@"; response = "scan"; } ); },
    { name = "open"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "icap"; to = "127.0.0.1:@DEAD@"; response = "scan"; request = "scan";
                    on_failure = "open"; } ); },
    { name = "hasty"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "icap"; to = "127.0.0.1:@ICAP@"; response = "hasty";
                    timeout = "100ms"; } ); },
    { name = "short"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "icap"; to = "127.0.0.1:@ICAP@"; response = "scan"; request = "scan";
                    max_size = "100"; larger = "refuse"; } ); },
    { name = "told"; mode = "reverse"; listen = "127.0.0.1:0";
      filters = ( { filter = "icap"; to = "127.0.0.1:@ICAP@"; response = "icap://av.test/told?x=1";
                    send_client_ip = false; } ); },
    { name = "named"; mode = "reverse"; listen = "127.0.0.1:0"; policy = "front";
      filters = ( { filter = "icap"; to = "127.0.0.1:@ICAP@"; response = "scan"; request = "scan";
                    send_user = true; send_username = true; max_connections = 1; } ); },
    { name = "limited"; mode = "reverse"; listen = "127.0.0.1:0"; limits = { body = "1000"; };
      filters = ( { filter = "body_limit"; max = "100"; },
                  { filter = "icap"; to = "127.0.0.1:@ICAP@"; request = "scan"; } ); }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
stores = ( { name = "main"; memory = "16M"; } );
sites = (
    { name = "all"; default = true; group = "origin";
      routes = ( { name = "kept"; path_prefix = "/kept/"; cache = { store = "main"; }; } ); }
);
"""

SCRIPTED = """
      filters = ( { filter = "icap"; to = "127.0.0.1:@ICAP@"; request = "scan"; response = "scan";
                    preview = "64"; max_hold = "64K"; } );
"""

BIG = bytes(i * 31 & 255 for i in range(200_000))   # over max_hold of SCRIPTED
MIDDLE = BIG[:40_000]                                # under it

origin = once(Origin)
server = once(IcapServer)
c_icap = once(CIcap)


@once
def dead_port() -> socket.socket:
    """Bound, so that nobody else gets it, and not listening."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@once
def proxy() -> Daemon:
    scripted = SCRIPTED.replace("@ICAP@", str(server().port))
    return Daemon(CONF, SCRIPTED=scripted, ICAP=server().port, ORIGIN=origin().port,
                  DEAD=dead_port().getsockname()[1])


def fetch(front, path, *fields, **more):
    return front.ask(proxy(), origin().port, path, *fields, **more)


def answers_with(path, handler):
    """Only responses are a matter of handler: the request passes."""
    call = handler if callable(handler) else lambda *_: handler
    server().on(path, lambda q, link: unchanged() if q.method == "REQMOD" else call(q, link))


# ---- what the server is shown


@test_fronts("the server sees heads and a preview, and may leave the message as it is")
def _(front):
    path = unique()
    origin().on(path, answer(MIDDLE, "X-App: 1", "Connection: x-hop", "X-Hop: 2", "Keep-Alive: 5"))
    response = fetch(front, path, "X-Asked: yes")
    equal((response.status, response.body, response.get("X-App")), (200, MIDDLE, "1"), "response")
    equal(response.get("Content-Length"), str(len(MIDDLE)), "Content-Length")
    asked, told = server().asked(path, "REQMOD")[0], server().asked(path, "RESPMOD")[0]
    equal((asked.has_body, asked.get("X-Client-IP")), (False, "127.0.0.1"), "REQMOD")
    check(asked.request.startswith(b"GET http://"), "the URL is absolute")
    check(b"\r\nx-asked: yes\r\n" in asked.request.lower(), "the request's fields")
    equal((told.content, told.is_whole), (MIDDLE[:32], False), "preview")
    equal((told.get("Preview"), told.get("Allow")), ("32", "204, 206"), "ICAP fields")
    check(b"\r\nX-App: 1\r\n" in told.response, "the response's fields")
    check(b"Hop" not in told.response and b"Keep-Alive" not in told.response, "hop-by-hop fields")
    check(b"Content-Length: 40000\r\n" in told.response, "its length")


@test("short content is all in the preview, and said to be")
def _():
    path = unique()
    origin().on(path, answer(b"short"))
    equal(fetch(FRONTS[0], path).body, b"short", "content")
    told = server().asked(path, "RESPMOD")[0]
    equal((told.content, told.is_whole), (b"short", True), "content")


@test("the service's URL and what it is told are as configured")
def _():
    path = unique()
    origin().on(path, answer(b"x"))
    equal(ask(proxy().address("told"), get(path)).status, 200, "status")
    told = server().asked(path)[0]
    equal((told.uri, told.get("Host"), told.get("X-Client-IP")),
          ("icap://av.test/told?x=1", "av.test", None), "ICAP head")


@test("the server is told who the user is, if it is to be")
def _():
    path = unique()
    origin().on(path, answer(b"x"))
    equal(ask(proxy().address("named"), get(path, "X-User: jo")).status, 200, "status")
    for told in server().asked(path):
        equal((told.get("X-Authenticated-User"), told.get("X-Client-Username")),
              (base64.b64encode(b"Local://jo").decode(), "jo"), f"names in {told.method}")
    equal(len(server().asked(path)), 2, "questions")
    fetch(FRONTS[0], path)
    equal(server().asked(path)[-1].get("X-Authenticated-User"), None, "name of nobody")


@test("exchanges wait for one of few connections")
def _():
    path = unique()
    origin().on(path, answer(MIDDLE))
    go = threading.Event()
    server().on(path, lambda q, link: go.wait(WAIT) and unchanged())
    clients = [Client(proxy().address("named")) for _i in range(4)]
    for client in clients:
        client.send(get(path, "X-User: jo"))
    server().wait_for(lambda: server().asked(path), "the first question")
    equal(len(server().asked(path)), 1, "questions at a time")
    go.set()
    for client in clients:
        check(client.read().body == MIDDLE, "the content is another one")
        client.close()


@test("nothing is shown of responses without content, nor what the service ignores")
def _():
    path = unique()
    origin().on(path, answer(b""))
    for status in ("204 No Content", "304 Not Modified"):
        origin().on(f"{path}-{status[:3]}", head(f"HTTP/1.1 {status}"))
    origin().on(path + ".gif", answer(b"GIF89a"))
    fetch(FRONTS[0], path)  # by now the options are known
    fetch(FRONTS[0], path, method="HEAD")
    fetch(FRONTS[0], f"{path}-204")
    fetch(FRONTS[0], f"{path}-304")
    equal(fetch(FRONTS[0], path + ".gif").body, b"GIF89a", "content")
    equal([q.method for q in server().asked(path)], ["REQMOD"] * 2, "questions")
    equal(len(server().asked(path + ".gif")), 0, "questions about what is ignored")


@test("a service that wants whole contents gets them at once")
def _():
    for content in (MIDDLE, BIG):
        path = unique() + ".zip"
        origin().on(path, answer(content))
        answers_with(path, lambda q, link: changed(head("HTTP/1.1 200 OK"), q.content + b"!"))
        check(fetch(FRONTS[0], path).body == content + b"!", "the content is another one")
        told = server().asked(path, "RESPMOD")[0]
        equal((told.get("Preview"), told.is_whole), (None, True), "preview")


@test("ranges are not asked for: the server judges whole contents")
def _():
    path = unique()
    origin().on(path, answer(b"0123456789"))
    response = fetch(FRONTS[0], path, "Range: bytes=2-3", 'If-Range: "x"')
    equal((response.status, response.body), (200, b"0123456789"), "response")
    check(not origin().seen(path)[0].has("Range"), "Range was sent")


@test("options are asked for once")
def _():
    before = server().asked_options
    for _i in range(3):
        path = unique()
        origin().on(path, answer(b"x"))
        fetch(FRONTS[0], path)
    equal(server().asked_options, before, "OPTIONS")


# ---- what it may change


@test_fronts("a response is replaced, whatever it says of its framing")
def _(front):
    path = unique()
    origin().on(path, answer(b"virus " * 100))
    bad = head("HTTP/1.1 403 Blocked", "Content-Length: 3", "Connection: close, X-Gone",
               "X-Gone: 1", "X-By: scanner")
    answers_with(path, lambda q, link: link.send(
        changed(bad, b"blocked by the scanner", "X-Infection-Found: Type=0; Threat=Eicar;"),
        bytewise=True))
    response = fetch(front, path)
    equal((response.status, response.body), (403, b"blocked by the scanner"), "response")
    equal((response.get("X-By"), response.has("X-Gone")), ("scanner", False), "fields")
    equal(response.get("Cache-Control"), "no-store", "Cache-Control")


@test("what was exact about the content is so no more, unless the server renewed it")
def _():
    path = unique()
    origin().on(path, answer(b"x", 'ETag: "1"', "Content-MD5: a", "Repr-Digest: b",
                             "Accept-Ranges: bytes"))
    http = head("HTTP/1.1 200 OK", 'ETag: "1"', "Content-MD5: a", "Repr-Digest: new",
                "Accept-Ranges: bytes")
    answers_with(path, changed(http, b"y"))
    response = fetch(FRONTS[0], path)
    equal((response.get("ETag"), response.has("Content-MD5"), response.get("Repr-Digest"),
           response.has("Accept-Ranges")), ('W/"1"', False, "new", False), "fields")


@test_fronts("all of the content is shown when the server wants it, and comes back changed")
def _(front):
    for content in (MIDDLE, BIG):
        path = unique()
        origin().on(path, answer(content))

        def handler(question, link):
            go_on(question, link)
            check(question.content.lower() == content.lower(), "the server got something else")
            return changed(head("HTTP/1.1 200 OK", "X-New: 1"), question.content[::-1])

        answers_with(path, handler)
        response = fetch(front, path)
        check(response.body == content[::-1], "the content is another one")
        equal(response.get("X-New"), "1", "field")


@test_fronts("a server that has seen everything may still change nothing, if we said so")
def _(front):
    path = unique()
    origin().on(path, answer(MIDDLE))
    answers_with(path, lambda q, link: go_on(q, link) or unchanged())
    response = fetch(front, path)
    equal(response.get("Content-Length"), str(len(MIDDLE)), "Content-Length")
    check(response.body == MIDDLE, "the content is another one")


@test_fronts("the server replaces the beginning and lets the rest follow (206)")
def _(front):
    for content in (MIDDLE, BIG):
        path = unique()
        origin().on(path, answer(content))
        answers_with(path, lambda q, link: changed(
            head("HTTP/1.1 200 OK"), b"banner", status="206 Partial Content",
            end="; use-original-body=10"))
        check(fetch(front, path).body == b"banner" + content[10:], "the content is another one")


@test_fronts("a request is refused by the server")
def _(front):
    path = unique()
    server().on(path, changed(head("HTTP/1.1 403 Forbidden", "Content-Type: text/plain"),
                              b"not this one"))
    response = fetch(front, path, method="POST", body=MIDDLE)
    equal((response.status, response.body), (403, b"not this one"), "response")
    equal(len(origin().seen(path)), 0, "requests at the origin")


@test_fronts("a request is changed: path, fields and content")
def _(front):
    path, new = unique(), unique("changed")
    origin().on(new, lambda request, link: answer(request.body))

    def handler(question, link):
        if question.method == "RESPMOD":
            return unchanged()
        go_on(question, link)
        http = question.request.replace(path.encode(), new.encode(), 1)
        http = http.replace(b"\r\n\r\n", b"\r\nX-Added: 1\r\nProxy-Authorization: no\r\n\r\n")
        return changed(http, question.content + b" and more", is_request=True)

    server().on(path, handler)
    response = fetch(front, path, "X-Keep: 1", method="POST", body=MIDDLE)
    check(response.body == MIDDLE + b" and more", "the content is another one")
    seen = origin().seen(new)[0]
    equal((seen.get("X-Added"), seen.get("X-Keep"), seen.has("Proxy-Authorization")),
          ("1", "1", False), "fields")


@test("a request is never sent elsewhere than it was judged to go")
def _():
    path = unique()
    for line in (b"GET http://other.test/x HTTP/1.1", b"POST /x HTTP/1.1", b"GET * HTTP/1.1"):
        server().on(path, lambda q, link, line=line: changed(
            line + b"\r\nHost: other.test\r\n\r\n", is_request=True))
        equal(fetch(FRONTS[0], path).status, 503, f"status after {line}")
    equal(len(origin().seen(path)), 0, "requests at the origin")


@test("content comes and goes byte by byte")
def _():
    path = unique()
    content = BIG[:300]
    origin().on(path, bytewise(answer_chunked(*(content[i:i + 7] for i in range(0, 300, 7)))))

    def handler(question, link):
        go_on(question, link)
        link.send(changed(head("HTTP/1.1 200 OK"), question.content), bytewise=True)

    answers_with(path, handler)
    equal(fetch(FRONTS[0], path).body, content, "content")


@test_fronts("long content flows through in both directions at once")
def _(front):
    path = unique()
    halfway = threading.Event()

    def serve(request, link):
        link.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
        link.send(b"%x\r\n%s\r\n" % (len(BIG), BIG))
        check(halfway.wait(WAIT), "nothing came back before the content was whole")
        link.send(chunks(BIG))

    def handler(question, link):
        link.send(b"ICAP/1.0 100 Continue\r\n\r\n")
        link.send(head("ICAP/1.0 200 OK", "Encapsulated: res-hdr=0, res-body=19"))
        link.send(head("HTTP/1.1 200 OK"))
        content, got = question.content, 0
        while True:
            link.send(b"%x\r\n%s\r\n" % (len(content), content))
            got += len(content)
            if got > 100_000:
                halfway.set()
            size = int(link.line("a chunk size"), 16)
            content = link.exactly(size)
            link.line("the end of a chunk")
            if size == 0:
                link.send(b"0\r\n\r\n")
                return

    origin().on(path, serve)
    answers_with(path, handler)
    response = fetch(front, path)
    check(response.body == BIG + BIG, "the content is another one")


@test_fronts("long uploads are shown, too")
def _(front):
    path = unique()
    origin().on(path, lambda request, link: answer(b"%d" % len(request.body)))

    def handler(question, link):
        if question.method == "RESPMOD":
            return unchanged()
        go_on(question, link)
        return changed(question.request, question.content + b"!", is_request=True)

    server().on(path, handler)
    equal(fetch(front, path, method="PUT", body=BIG).body, b"%d" % (len(BIG) + 1), "bytes")


@test("what is stored was shown once")
def _():
    path = unique("kept/page")
    origin().on(path, answer(MIDDLE, "Cache-Control: max-age=60"))
    for _i in range(3):
        check(fetch(FRONTS[0], path).body == MIDDLE, "the content is another one")
    equal(len(server().asked(path, "RESPMOD")), 1, "questions about the response")
    equal(len(server().asked(path, "REQMOD")), 3, "questions about requests")


@test("what the server finds infected is not stored")
def _():
    path = unique("kept/page")
    origin().on(path, answer(MIDDLE, "Cache-Control: max-age=60"))
    answers_with(path, changed(head("HTTP/1.1 403 x", "Cache-Control: max-age=60"), b"no",
                               "X-Infection-Found: Threat=Eicar;"))
    equal(fetch(FRONTS[0], path).body, b"no", "first content")
    answers_with(path, unchanged())
    check(fetch(FRONTS[0], path).body == MIDDLE, "the content is another one")


@test("whether a tunnel may be opened is asked, too")
def _():
    target = f"127.0.0.1:{origin().port}"
    with Client(proxy().address("out")) as client:
        client.send(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"))
        equal(client.read("CONNECT").status, 200, "status")
    asked = next(q for q in server().questions if q.request.startswith(b"CONNECT"))
    equal((asked.method, asked.has_body), ("REQMOD", False), "question")


@test("a server that answers CONNECT itself opens no tunnel to nowhere")
def _():
    for line, status in (("HTTP/1.1 200 OK", 503), ("HTTP/1.1 403 No", 403)):
        target = f"{line[9:12]}.test:443"
        server().on(target, changed(head(line, "X-By: scanner"), b"said the scanner"))
        with Client(proxy().address("out")) as client:
            client.send(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"))
            equal(client.read("CONNECT").status, status, f"status after {line}")


# ---- connections


@test("a connection is kept after an answer without content")
def _():
    path = unique()
    origin().on(path, answer(b"x"))
    server().on(path, lambda q, link: unchanged() if q.method == "RESPMOD" else
                changed(q.request, is_request=True))
    fetch(FRONTS[0], path)
    before = server().connections
    for _i in range(3):
        equal(fetch(FRONTS[0], path).status, 200, "status")
    equal(server().connections, before, "connections")


@test("options that are no good any more when they come are good for their question")
def _():
    brief = IcapServer("Methods: REQMOD, RESPMOD", "Options-TTL: 0", "Connection: close")
    path = unique()
    origin().on(path, answer(MIDDLE))
    try:
        with Daemon(CONF, SCRIPTED="", ICAP=brief.port, ORIGIN=origin().port,
                    DEAD=dead_port().getsockname()[1]) as daemon:
            check(ask(daemon.address("told"), get(path)).body == MIDDLE, "another content")
        equal(brief.asked_options, 1, "questions about options")
    finally:
        brief.close()


@test("what a server says before it is asked is no answer")
def _():
    hasty = IcapServer()
    hasty.serve = lambda link: link.try_send(
        head("ICAP/1.0 200 OK", "Methods: RESPMOD", "Encapsulated: null-body=0") + unchanged())
    path = unique()
    origin().on(path, answer(MIDDLE))
    try:
        with Daemon(CONF, SCRIPTED="", ICAP=hasty.port, ORIGIN=origin().port,
                    DEAD=dead_port().getsockname()[1]) as daemon:
            equal(ask(daemon.address("told"), get(path)).status, 503, "status")
    finally:
        hasty.close()


@test("a slow upload keeps no connection from others before there is something to ask")
def _():
    path, other = unique() + ".zip", unique()
    origin().on(path, lambda request, link: answer(b"%d" % len(request.body)))
    origin().on(other, answer(b"x"))
    ask(proxy().address("named"), get(other, "X-User: jo"))
    with Client(proxy().address("named")) as slow:
        data = post(path, MIDDLE, "X-User: jo")
        slow.send(data[:-30_000])
        until(lambda: proxy().metrics()["bascule_held_content_bytes"] >= 8_000,
              "the upload's beginning")
        equal(ask(proxy().address("named"), get(other, "X-User: jo")).status, 200, "status")
        slow.send(data[-30_000:])
        equal(slow.read().body, b"%d" % len(MIDDLE), "bytes")


# ---- when it fails


@test("another address is asked when one fails")
def _():
    path = unique()
    origin().on(path, answer(MIDDLE))
    equal(ask(proxy().address("failover"), get(path)).status, 200, "status")
    equal(len(server().asked(path, "RESPMOD")), 1, "questions")


@test("closed: nothing passes that was not shown; open: it does")
def _():
    path = unique()
    origin().on(path, answer(MIDDLE))
    response = ask(proxy().address("closed"), get(path))
    equal((response.status, MIDDLE[:100] in response.body), (503, False), "closed")
    response = ask(proxy().address("open"), get(path))
    check(response.status == 200 and response.body == MIDDLE, "open")
    equal(ask(proxy().address("open"), post(path, BIG)).status, 200, "open, an upload")


@test("an idle connection that died is no failure")
def _():
    path = unique()
    origin().on(path, answer(MIDDLE))

    def once_and_close(question, link):
        link.send(unchanged())
        link.close()

    for _i in range(4):
        answers_with(path, once_and_close)
        equal(fetch(FRONTS[0], path).status, 200, "status")


@test("a server that breaks off is asked once more")
def _():
    path = unique()
    origin().on(path, answer(MIDDLE))
    left = [1]

    def handler(question, link):
        if left:
            left.pop()
            go_on(question, link)
            link.close()
            return None
        return unchanged()

    answers_with(path, handler)
    check(fetch(FRONTS[0], path).body == MIDDLE, "the content is another one")
    equal(len(server().asked(path, "RESPMOD")), 2, "questions")


@test("a server that says nothing is not waited for any longer than configured")
def _():
    path = unique()
    origin().on(path, answer(MIDDLE))
    server().on(path, lambda question, link: link.rest() and None)
    equal(ask(proxy().address("hasty"), get(path)).status, 503, "status")


BAD_ANSWERS = {
    "garbage": b"HTTP/1.1 200 OK\r\n\r\n",
    "two frames": head("ICAP/1.0 200 OK", "Encapsulated: res-hdr=0, null-body=19",
                       "Encapsulated: res-hdr=0, res-body=19") + head("HTTP/1.1 200 OK"),
    "no version": b"ICAP/2.0 204 x\r\n\r\n",
    "a head without end": b"ICAP/1.0 200 OK\r\n" + b"X-Long: yes\r\n" * 3000,
    "a malformed field": b"ICAP/1.0 204 OK\r\nX y\r\n\r\n",
    "no Encapsulated": b"ICAP/1.0 200 OK\r\n\r\n",
    "offsets that go back": head("ICAP/1.0 200 OK", "Encapsulated: res-hdr=9, res-body=0"),
    "an endless offset": head("ICAP/1.0 200 OK", "Encapsulated: res-hdr=0, res-body=99999999"),
    "a head that is none": changed(b"no head at all\r\n\r\n", b"x"),
    "a head that goes on": changed(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", b"x"),
    "two lengths": changed(head("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2"), b"x"),
    "an interim head": changed(head("HTTP/1.1 100 Continue")),
    "content of a request": changed(head("HTTP/1.1 200 OK"), b"x", is_request=True),
    "no such service": head("ICAP/1.0 404 Not Found"),
    "its own failure": head("ICAP/1.0 500 Sorry"),
    "nothing": b"",
    "another 100": b"ICAP/1.0 100 Continue\r\n\r\n" * 3,
}


@test("an answer that makes no sense lets nothing pass")
def _():
    for name, data in BAD_ANSWERS.items():
        path = unique()
        origin().on(path, answer(MIDDLE))
        answers_with(path, lambda q, link, data=data: link.send(data) or link.close())
        response = fetch(FRONTS[0], path)
        equal((response.status, MIDDLE[:100] in response.body), (503, False), name)


@test_fronts("what cannot be checked is refused alike where it would be stored")
def _(front):
    path = unique("kept/page")
    origin().on(path, answer(MIDDLE, "Cache-Control: max-age=60"))
    answers_with(path, head("ICAP/1.0 500 Sorry"))
    equal(fetch(front, path).status, 503, "status")
    answers_with(path, unchanged())
    check(fetch(front, path).body == MIDDLE, "the content is another one")


@test_fronts("content that breaks off never passes for whole")
def _(front):
    for content in (b"5\r\nhello\r\n", b"5\r\nhelloXX", b"zz\r\n",
                    b"5\r\nhello\r\n0; use-original-body=1000\r\n\r\n",
                    b"5\r\nhello\r\n0; use-original-body=999999999\r\n\r\n"):
        path = unique()
        origin().on(path, answer(MIDDLE))
        http = head("HTTP/1.1 200 OK")
        data = head("ICAP/1.0 206 OK", f"Encapsulated: res-hdr=0, res-body={len(http)}")
        answers_with(path, lambda q, link: link.send(data + http + content) or link.close())
        try:
            response = fetch(front, path)
        except CutShort:
            continue
        check(False, f"{content} passed for whole: {response.start}")


@test_fronts("content that breaks off at the origin never passes for whole")
def _(front):
    for sent in (10, 50_000, 150_000):
        path = unique()
        origin().on(path, lambda request, link: link.send(
            head("HTTP/1.1 200 OK", f"Content-Length: {len(BIG)}") + BIG[:sent]) or link.reset())

        def handler(question, link):
            go_on(question, link)
            return changed(head("HTTP/1.1 200 OK"), question.content)

        answers_with(path, handler)
        try:
            equal(fetch(front, path).status, 502, f"status after {sent} bytes")
        except CutShort:
            pass


@test("content over max_size is refused where it is to be")
def _():
    path = unique()
    origin().on(path, answer(bytes(101)))
    equal(ask(proxy().address("short"), get(path)).status, 502, "a response")
    equal(ask(proxy().address("short"), post(path, bytes(101))).status, 413, "a request")
    origin().on(path, answer(bytes(100)))
    equal(ask(proxy().address("short"), get(path)).status, 200, "a response of max_size")


@test("content over a limit is refused, whatever would become of it, and not shown")
def _():
    path = unique()
    server().on(path, lambda q, link: changed(q.request, b"short", is_request=True))
    origin().on(path, answer(b"x"))
    for size in (101, 1001):
        response = ask(proxy().address("limited"), post(path, bytes(size)))
        equal(response.status, 413, f"status of {size} bytes")
    equal(len(server().asked(path)), 0, "questions")
    equal(ask(proxy().address("limited"), post(path, bytes(100))).status, 200, "at the limit")


@test_fronts("a client that goes away while the server is asked leaves nothing behind")
def _(front):
    for content in (MIDDLE, BIG):
        path = unique()
        gone = threading.Event()
        origin().on(path, answer(content))

        def handler(question, link):
            link.send(b"ICAP/1.0 100 Continue\r\n\r\n")
            gone.wait(WAIT)
            link.rest()

        answers_with(path, handler)
        asker = front.open(proxy())
        asker.start(origin().port, path)
        server().wait_for(lambda path=path: server().asked(path, "RESPMOD"), "the question")
        asker.reset()
        gone.set()
        proxy().wait_record(path if front.way == REVERSE else
                            f"http://127.0.0.1:{origin().port}{path}")


@test_fronts("an upload that breaks off is never sent on as if it were whole")
def _(front):
    for sent in (10, 50_000, 150_000):
        path = unique()
        seen = threading.Event()

        def handler(question, link):
            seen.set()
            go_on(question, link)
            return changed(question.request, question.content, is_request=True)

        server().on(path, handler)
        asker = front.open(proxy())
        if front.protocol == "HTTP/2":
            host = "site.test" if front.way == REVERSE else f"127.0.0.1:{origin().port}"
            stream = asker.stream.open(request(path, ("content-length", str(len(BIG))),
                                               method="POST", authority=host), end=False)
            asker.stream.send_data(stream, BIG[:sent][:60_000], end=False)
        else:
            target = front.way.target(origin(), path)
            data = post(target, BIG, host=f"127.0.0.1:{origin().port}")
            asker.stream.send(data[:len(data) - len(BIG) + sent])
        if sent < 64:
            until(lambda: proxy().metrics()["bascule_held_content_bytes"] > 0, "its beginning")
        else:
            check(seen.wait(WAIT), "the server was never asked")
        asker.reset()
        proxy().wait_record(path if front.way == REVERSE else
                            f"http://127.0.0.1:{origin().port}{path}")
        equal(len(origin().seen(path)), 0, "whole requests at the origin")


@test("a reload while the server is asked changes nothing for who waits")
def _():
    path = unique()
    origin().on(path, answer(MIDDLE))
    go = threading.Event()
    answers_with(path, lambda q, link: go.wait(WAIT) and unchanged())
    with Client(proxy().address("web")) as client:
        client.send(get(path))
        server().wait_for(lambda: server().asked(path, "RESPMOD"), "the question")
        proxy().reload()
        go.set()
        check(client.read().body == MIDDLE, "the content is another one")


# ---- what is told


@test("what the server did is counted, and is a decision")
def _():
    before = proxy().metrics()
    path = unique()
    origin().on(path, answer(MIDDLE))
    answers_with(path, lambda q, link: changed(head("HTTP/1.1 403 x"), b"x",
                                               "X-Infection-Found: Threat=Eicar;"))
    fetch(FRONTS[0], path)
    name = 'bascule_filter_events_total{filter="icap",event="%s"}'
    after = proxy().metrics()
    equal([after[name % event] - before[name % event]
           for event in ("shown", "passed", "infected", "failed")], [2, 1, 1, 0], "counts")


@test("what a server says of its services is bounded")
def _():
    endless = IcapServer()
    endless.serve = lambda link: link.try_send(
        head("ICAP/1.0 200 OK", "Encapsulated: opt-body=0") + b"1000\r\n" + bytes(4096) +
        b"\r\n" + (b"1000\r\n" + bytes(4096) + b"\r\n") * 10_000)
    path = unique()
    origin().on(path, answer(MIDDLE))
    try:
        with Daemon(CONF, SCRIPTED="", ICAP=endless.port, ORIGIN=origin().port,
                    DEAD=dead_port().getsockname()[1]) as daemon:
            equal(ask(daemon.address("told"), get(path)).status, 503, "status")
    finally:
        endless.close()


# ---- Debian's c-icap

REAL = """
workers = 2;
forward_to_sites = false;
listeners = (
    { name = "echo"; mode = "reverse"; listen = "127.0.0.1:0"; @ECHO@ },
    { name = "echo_out"; mode = "forward"; listen = "127.0.0.1:0"; @ECHO@
      allow_destination = [ "127.0.0.0/8" ]; },
    { name = "ex206"; mode = "reverse"; listen = "127.0.0.1:0"; @EX206@ },
    { name = "ex206_out"; mode = "forward"; listen = "127.0.0.1:0"; @EX206@
      allow_destination = [ "127.0.0.0/8" ]; }
);
groups = ( { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; } );
"""


def real_filter(service):
    return (f'filters = ( {{ filter = "icap"; to = "127.0.0.1:{c_icap().port}"; '
            f'request = "{service}"; response = "{service}"; max_hold = "64K"; }} );')


@once
def real() -> Daemon:
    return Daemon(REAL, ORIGIN=origin().port, ECHO=real_filter("echo"),
                  EX206=real_filter("ex206"))


def test_real(promise, service):
    """Four tests with c-icap: both modes, both protocols."""

    def add(function):
        for way, listener in ((REVERSE, service), (FORWARD, service + "_out")):
            for protocol in ("HTTP/1.1", "HTTP/2"):
                front = Front(Way(way.name, listener), protocol)
                test(f"c-icap: {promise} ({front})")(lambda front=front: function(front))
        return function

    return add


@test_real("echo gives back what it was shown", "echo")
def _(front):
    for content in (b"", b"short", MIDDLE, BIG, BIG * 5):
        path = unique()
        origin().on(path, lambda request, link: answer(request.body or b"none", "X-App: 1"))
        response = front.ask(real(), origin().port, path, method="POST", body=content)
        equal(response.get("X-App"), "1", "field")
        check(response.body == (content or b"none"), f"{len(content)} bytes came back changed")


@test_real("ex206 changes pages at their beginning", "ex206")
def _(front):
    page = b"<html><body><p>" + b"text " * 40_000 + b"</body></html>"
    path = unique()
    origin().on(path, answer(page, "Content-Type: text/html"))
    response = front.ask(real(), origin().port, path)
    equal(response.status, 200, "status")
    check(response.body != page and response.body.endswith(page[-150_000:]),
          f"the page is not changed at its beginning: {response.body[:80]!r}")


main()
