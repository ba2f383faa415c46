# SPDX-License-Identifier: BSD-2-Clause
"""Reloads: nothing is lost, nothing grows, and only what the new configuration denies is closed."""

import contextlib
import os
import resource
import socket
import subprocess
import threading
import time

from bascule_flow import (FACTOR, WAIT, Client, Daemon, Origin, answer, ask, check, chunks, equal,
                          get, head, main, once, post, program, test)

CONF = """
workers = 2;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; @WEB@ },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; @OUT@
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "@PORTS@"; }
    @MORE@
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "single"; max_fails = 0;
      endpoints = ( { to = "127.0.0.1:@SINGLE@"; max_connections = 1; } ); },
    { name = "dead"; max_fails = 1; fail_timeout = "1h";
      endpoints = [ "127.0.0.1:@DEAD@", "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "all"; default = true; group = "origin"; routes = (
        { path_prefix = "/single/"; group = "single"; },
        { path_prefix = "/dead/"; group = "dead"; } @ROUTES@ ); }
);
"""
DEFAULTS = {"WEB": "", "OUT": "", "PORTS": "1-65535", "MORE": "", "ROUTES": "", "DEAD": 1}


def echo(link):
    """Sends back what it gets, and ends when the peer does."""
    while link.fill():
        link.send(link.exactly(len(link.buffer)))
    link.half_close()


def switch(_request, link):
    """Becomes a WebSocket, as far as a proxy is concerned."""
    link.send(head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade",
                   "Upgrade: websocket"))
    echo(link)


class Echo(Origin):
    def __init__(self):
        super().__init__(serve=self.serve_echo)

    @staticmethod
    def serve_echo(link):
        link.wait = 600
        echo(link)


origin = once(Origin)
echoes = once(Echo)


def start(**values):
    origin().on("/socket", switch)
    port = origin().port
    return Daemon(CONF, ORIGIN=port, SINGLE=port, **{**DEFAULTS, **values})


@once
def proxy():
    return start()


def connect_tunnel(daemon, listener="out"):
    stream = Client(daemon.address(listener))
    target = f"127.0.0.1:{echoes().port}"
    response = stream.ask(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"), "CONNECT")
    equal(response.status, 200, "status of CONNECT")
    return stream


def web_socket(daemon, listener="web"):
    stream = Client(daemon.address(listener))
    response = stream.ask(head("GET /socket HTTP/1.1", "Host: a", "Connection: Upgrade",
                               "Upgrade: websocket"))
    equal(response.status, 101, "status of the upgrade")
    return stream


def lives(stream, text=b"ping"):
    stream.send(text)
    equal(stream.exactly(len(text)), text, "what came back through the tunnel")


def is_closed(stream):
    """Waits for its end. True: it came by a reset."""
    while stream.fill():
        pass
    return stream.was_reset


def until(question, words):
    end = time.monotonic() + WAIT
    while not question():
        check(time.monotonic() < end, f"{words}: not within {WAIT:g} s")
        time.sleep(0.02)


def ends_of_tunnels(daemon):
    targets = ("/socket", f"127.0.0.1:{echoes().port}")
    return [r["end"] for r in daemon.records() if r["target"] in targets]


# ---- nothing is lost


class Load:
    """Threads that ask as fast as they can; half of them connect for each request."""

    def __init__(self, daemon, threads=8):
        self.over = threading.Event()
        self.counts = [0] * threads
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=(i, daemon))
                        for i in range(threads)]
        self.addresses = (daemon.address("web"), daemon.address("out"))
        for thread in self.threads:
            thread.start()

    def ask(self, client, i):
        """A request of its own kind for each number; none may be sent twice."""
        target = "/load" if i % 4 < 2 else f"http://127.0.0.1:{origin().port}/load"
        host = f"127.0.0.1:{origin().port}"
        if i % 8 < 4:
            request = post(target, b"x" * 3000, host=host)
        else:
            request = (head(f"PUT {target} HTTP/1.1", f"Host: {host}",
                            "Transfer-Encoding: chunked") + chunks(b"y" * 2000, b"z"))
        response = client.ask(request)
        equal((response.status, response.body), (200, b"hello\n"), "answer")
        self.counts[i] += 1
        return response

    def run(self, i, daemon):
        address = self.addresses[i % 4 >= 2]
        try:
            while not self.over.is_set():
                with Client(address) as client:
                    while self.ask(client, i).get("Connection") != "close":
                        if i % 2 or self.over.is_set():
                            break
        except Exception as error:
            self.failures.append(f"thread {i}, request {self.counts[i]}: "
                                 f"{type(error).__name__}: {error}")

    def more(self):
        """Waits until each thread has had another answer."""
        before = list(self.counts)
        until(lambda: self.failures or all(n > b for n, b in zip(self.counts, before)),
              "answers to each thread")

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(WAIT)
        equal(self.failures, [], f"failures among {sum(self.counts)} requests")


@test("20 reloads under load lose no request", timeout=120)
def _():
    before = proxy().metrics()
    origin().forget()
    load = Load(proxy())
    try:
        for i in range(20):
            load.more()
            # Each changes something that requests meet.
            proxy().reload(CONF, ROUTES=f', {{ path = "/{i}"; group = "origin"; }}',
                           WEB=f'limits = {{ line = "{i + 4}K"; }};')
    finally:
        load.over.set()
    load.end()
    after = proxy().metrics()
    equal(len(origin().seen("/load")) + len(origin().seen("http://x/load")), sum(load.counts),
          "requests at the origin")
    for name in ("upstream_failures", "upstream_connect_failures", "client_aborts"):
        name = f"bascule_{name}_total"
        equal(after[name], before[name], name)
    equal(proxy().status()["generation"] >= 21, True, "generation is counted")


def memory(daemon):
    """What the worker process holds for itself, in KiB."""
    with open(f"/proc/{daemon.children()[0]}/smaps_rollup", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    return int(fields["Anonymous"].split()[0])


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.children()[0]}/fd"))


def is_sanitized(daemon):
    with open(f"/proc/{daemon.children()[0]}/maps", encoding="utf-8") as file:
        text = file.read()
    return "libasan" in text or "libtsan" in text


@test("100 reloads with 500 open tunnels drop none, and memory stays", timeout=120)
def _():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with start() as daemon, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(connect_tunnel(daemon) if i % 2 else web_socket(daemon))
                   for i in range(500)]
        count = 100 if FACTOR == 1 else 40
        for i in range(count):
            daemon.reload(CONF, ROUTES=f', {{ path = "/{i}"; group = "origin"; }}')
            if i == 19:
                before, open_before = memory(daemon), descriptors(daemon)
            lives(streams[i * 5 % 500], b"%d" % i)
        for stream in streams:
            lives(stream)
        equal(daemon.metrics()["bascule_tunnels_open"], 500, "tunnels")
        until(lambda: descriptors(daemon) <= open_before, f"{open_before} descriptors are open")
        until(lambda: is_sanitized(daemon) or memory(daemon) - before < before * 0.05,
              f"memory is what it was after 20 reloads: {before} KiB")
        for stream in streams:
            stream.half_close()
        for stream in streams:
            equal(stream.rest(), b"", "after the end")
        until(lambda: len(ends_of_tunnels(daemon)) == 500, "their log lines")
        equal(set(ends_of_tunnels(daemon)), {"done"}, "end words")


# ---- what runs, runs on as it began


@test("running exchanges finish on the old configuration, new ones begin on the new one")
def _():
    old, new = Origin(), Origin(lambda *_: answer(b"new"))
    may_go = threading.Event()
    old.on("/waiting", lambda *_: may_go.wait(WAIT) and answer(b"old"))

    def in_parts(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"3\r\nol")
        may_go.wait(WAIT)
        link.send(b"d\r\n0\r\n\r\n")

    old.on("/flowing", in_parts)
    with start() as daemon, contextlib.ExitStack() as stack:
        stack.callback(old.close)
        stack.callback(new.close)
        daemon.reload(CONF, ORIGIN=old.port)
        waiting, flowing, uploading = (stack.enter_context(Client(daemon.address("web")))
                                       for _ in range(3))
        waiting.send(get("/waiting"))
        flowing.send(get("/flowing"))
        uploading.send(head("POST /uploading HTTP/1.1", "Host: a", "Content-Length: 2000") +
                       b"x" * 1000)
        while b"ol" not in flowing.received:
            flowing.fill()
        for target in ("/waiting", "/uploading"):
            old.wait_head(target)
        daemon.reload(CONF, ORIGIN=new.port, WEB='limits = { body = "10"; line = "300"; };')
        equal(ask(daemon.address("web"), get("/new")).body, b"new", "a new connection's answer")
        may_go.set()
        uploading.send(b"x" * 1000)
        equal(waiting.read().body, b"old", "answer that was awaited")
        equal(flowing.read().body, b"old", "answer that had begun")
        equal(uploading.read().status, 200, "status of the upload")
        equal(len(old.wait_request("/uploading").body), 2000, "bytes of the upload")
        # The same connections meet the new configuration with their next request.
        equal(waiting.ask(get("/next")).body, b"new", "next answer")
        equal(flowing.ask(get("/" + "x" * 300)).status, 414, "status over the new limit")
        equal(uploading.ask(post("/", b"x" * 11)).status, 413, "status over the other new limit")


@test("idle connections to clients and to endpoints are kept")
def _():
    one_thread = CONF.replace("workers = 2;", "workers = 1;")
    with start() as daemon, contextlib.closing(Origin()) as lone:
        daemon.reload(one_thread, ORIGIN=lone.port)
        with Client(daemon.address("web")) as client:
            for i in range(5):
                equal(client.ask(get("/kept")).status, 200, "status")
                daemon.reload(one_thread, ROUTES=f', {{ path = "/{i}"; group = "origin"; }}')
            equal(lone.connections, 1, "connections to the endpoint")


# ---- a bad file


@test("a bad file changes nothing for those who are served")
def _():
    with start() as daemon, connect_tunnel(daemon) as tunnel, \
            Client(daemon.address("web")) as client:
        equal(client.ask(get("/before")).status, 200, "status before")
        for text, words in (("listeners = (\n", ":2: "), ("workers = 2;\nworker = 3;\n", ":3: "),
                            (CONF.replace('group = "origin"', 'group = "orign"'), "orign")):
            daemon.write_conf(text)
            done = subprocess.run([program(), "reload", "--control", daemon.path("control")],
                                  capture_output=True, text=True, timeout=WAIT, check=False)
            equal(done.returncode, 1, "exit status of reload")
            check(f"{daemon.conf_path}:" in done.stderr, f"no file and line in {done.stderr!r}")
            check(words in done.stderr, f"not {words!r} in {done.stderr!r}")
            daemon.wait_log(f"reload: .*{words}.*generation 1 serves on")
            daemon.wait_notice("RELOADING=1")
            daemon.wait_notice("READY=1")
            lives(tunnel)
            equal(client.ask(get("/between")).status, 200, "status after it")
        daemon.reload(CONF)
        equal(daemon.status()["generation"], 2, "generation")
        lives(tunnel)
        equal(client.ask(get("/after")).status, 200, "status after a good one")


# ---- what the new configuration denies


def closes(daemon, denied, kept, **values):
    """These tunnels are closed by a reload with these values, those are not."""
    seen = len(ends_of_tunnels(daemon))
    daemon.reload(CONF, **values)
    for stream in denied:
        check(is_closed(stream), "a tunnel that is denied now saw no reset")
    until(lambda: len(ends_of_tunnels(daemon)) >= seen + len(denied), "their log lines")
    equal(ends_of_tunnels(daemon)[seen:], ["denied"] * len(denied), "end words")
    for stream in kept:
        lives(stream)


@test("tunnels that the new policy denies are closed, others stay")
def _():
    other = f', {{ name = "other"; mode = "forward"; listen = "127.0.0.1:0"; ' \
            f'allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; }}'
    with start(MORE=other) as daemon, contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connect_tunnel(daemon, "other"))]

        def pair():
            return [stack.enter_context(connect_tunnel(daemon)) for _ in range(2)]

        web = stack.enter_context(web_socket(daemon))
        refuse = 'allow_client = [ "192.0.2.0/24" ];'
        closes(daemon, pair(), kept + [web], OUT=refuse)
        daemon.reload(CONF, OUT="")
        closes(daemon, pair(), kept + [web], OUT='deny_destination = [ "127.0.0.1" ];')
        daemon.reload(CONF, OUT="")
        closes(daemon, pair(), kept + [web], PORTS="443")
        daemon.reload(CONF, PORTS="1-65535")
        closes(daemon, [web], kept, WEB=refuse)
        until(lambda: daemon.metrics()["bascule_tunnels_open"] == 1, "one tunnel is left")


@test("a tunnel that was on its way when the policy changed is judged by the new one")
def _():
    may_go = threading.Event()
    origin().on("/late-socket", lambda request, link: may_go.wait(WAIT) and switch(request, link))
    with start() as daemon, Client(daemon.address("web")) as client:
        client.send(head("GET /late-socket HTTP/1.1", "Host: a", "Connection: Upgrade",
                         "Upgrade: websocket"))
        origin().wait_request("/late-socket")
        daemon.reload(CONF, WEB='allow_client = [ "192.0.2.0/24" ];')
        may_go.set()
        check(is_closed(client), "it saw no reset")
        equal(daemon.wait_record("/late-socket")["end"], "denied", "end word")
        until(lambda: daemon.metrics()["bascule_tunnels_open"] == 0, "no tunnel is left")


@test("tunnels of a site or a listener that is gone are closed")
def _():
    other = ', { name = "other"; mode = "reverse"; listen = "127.0.0.1:0"; }'
    sites = CONF.replace("default = true;", 'hosts = [ "b" ];')
    with start(MORE=other) as daemon, contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connect_tunnel(daemon))]
        of_site = stack.enter_context(web_socket(daemon))
        of_listener = stack.enter_context(web_socket(daemon, "other"))
        closes(daemon, [of_listener], kept + [of_site], MORE="")
        daemon.reload(sites)
        check(is_closed(of_site), "the tunnel of the site that is gone saw no reset")
        lives(kept[0])


@test("connections of a listener that is gone end, with what is in progress")
def _():
    other = ', { name = "other"; mode = "reverse"; listen = "127.0.0.1:0"; }'
    may_go = threading.Event()

    def in_parts(_request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 8") + b"half")
        may_go.wait(WAIT)
        link.send(b"done")

    def early(_request, link):
        link.send(answer(b"early"))
        link.give_up_body()
        link.rest()

    origin().on("/begun", in_parts)
    origin().on("/awaited", lambda *_: may_go.wait(WAIT) and answer(b"at last"))
    origin().on("/early", early, at="head")
    with start(MORE=other) as daemon, contextlib.ExitStack() as stack:
        idle, begun, awaited, partial, draining = (
            stack.enter_context(Client(daemon.address("other"))) for _ in range(5))
        equal(idle.ask(get("/idle")).status, 200, "status")
        begun.send(get("/begun"))
        begun.line("a status line")
        awaited.send(get("/awaited"))
        partial.send(b"GET /never HT")
        equal(draining.ask(head("POST /early HTTP/1.1", "Host: a",
                                "Transfer-Encoding: chunked")).body, b"early", "early answer")
        origin().wait_request("/awaited")
        daemon.reload(CONF, MORE="")
        for stream in (idle, partial, draining):
            equal(stream.rest(), b"", "what came on a connection that ends")
        may_go.set()
        check(begun.rest().endswith(b"halfdone"), "the answer that had begun was cut short")
        response = awaited.read()
        equal((response.body, response.get("Connection")), (b"at last", "close"), "answer")
        equal(awaited.rest(), b"", "what follows")
        until(lambda: daemon.metrics()["bascule_connections_open"] == 0, "they are gone")
    check(not any(r.target == "/never" for r in origin().heads), "half a request was sent on")


# ---- endpoints


def endpoint_metric(daemon, name, port):
    found = [v for k, v in daemon.metrics().items() if k.startswith(name) and f":{port}" in k]
    equal(len(found), 1, f"samples of {name}")
    return found[0]


@test("what is in flight to an endpoint is known after a reload")
def _():
    may_go = threading.Event()
    alone = Origin(lambda *_: may_go.wait(WAIT) and answer(b"held"))
    with start() as daemon, contextlib.ExitStack() as stack:
        stack.callback(alone.close)
        daemon.reload(CONF, SINGLE=alone.port)
        address = daemon.address("web")
        first = stack.enter_context(Client(address))
        first.send(get("/single/held"))
        alone.wait_request("/single/held")
        for i in range(3):
            daemon.reload(CONF, ROUTES=f', {{ path = "/{i}"; group = "origin"; }}')
            equal(ask(address, get("/single/late")).status, 503, "status at the limit")
        may_go.set()
        equal(first.read().body, b"held", "answer")
        until(lambda: endpoint_metric(daemon, "bascule_endpoint_in_flight", alone.port) == 0,
              "none in flight")
        equal(ask(address, get("/single/next")).status, 200, "status once there is room")
        equal(alone.seen("/single/late"), [], "requests over the limit")


@test("an endpoint that is down stays down over a reload")
def _():
    with socket.socket() as nobody:  # a port that is taken, and nobody listens there
        nobody.bind(("127.0.0.1", 0))
        stays_down(nobody.getsockname()[1])


def stays_down(port):
    with start(DEAD=port) as daemon:
        address = daemon.address("web")

        def failures():
            for _ in range(4):
                equal(ask(address, get("/dead/")).status, 200, "status, thanks to the other one")
            equal(endpoint_metric(daemon, "bascule_endpoint_up", port), 0, "endpoint_up")
            return daemon.metrics()["bascule_upstream_connect_failures_total"]

        equal(failures(), 1, "attempts to connect before it was skipped")
        for i in range(3):
            daemon.reload(CONF, ROUTES=f', {{ path = "/{i}"; group = "origin"; }}')
            equal(failures(), 1, "attempts to connect after a reload")


main()
