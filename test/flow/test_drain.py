# SPDX-License-Identifier: BSD-2-Clause
"""The orderly stop: what runs is finished, what is idle is closed, and then nothing is left."""

import contextlib
import signal
import threading
import time

from bascule_flow import (WAIT, Client, Daemon, Origin, answer, check, equal, get, head, main, once,
                          test)
from peers import becomes

CONF = """
workers = 2;
stop_timeout = "@STOP@";
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0";
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; },
    { name = "port"; mode = "port"; listen = "127.0.0.1:0"; group = "echo"; }
);
groups = (
    { name = "origin"; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); },
    { name = "echo"; endpoints = ( { to = "127.0.0.1:@ECHO@"; } ); }
);
sites = ( { name = "all"; default = true; group = "origin"; } );
"""


def echo(link):
    link.wait = 600
    while link.fill():
        link.send(link.exactly(len(link.buffer)))
    link.half_close()


class Held(Origin):
    """Answers in two parts; the second when go() was called."""

    def __init__(self):
        self.may_go = threading.Event()
        super().__init__()
        self.on("/awaited", lambda *_: self.may_go.wait(WAIT) and answer(b"at last"))
        self.on("/begun", self.in_parts)
        self.on("/early", self.early, at="head")

    def in_parts(self, _request, link):
        link.send(head("HTTP/1.1 200 OK", "Content-Length: 8") + b"half")
        self.may_go.wait(WAIT)
        link.send(b"done")

    @staticmethod
    def early(_request, link):
        link.send(answer(b"early"))
        link.give_up_body()
        link.rest()

    def go(self):
        self.may_go.set()

    def close(self):
        self.go()
        super().close()


@once
def echoes():
    return Origin(serve=echo)


@contextlib.contextmanager
def running(stop="1h"):
    """A daemon, its origin, and a way to open clients that are closed at the end."""
    with contextlib.closing(Held()) as origin, contextlib.ExitStack() as stack, \
            Daemon(CONF, ORIGIN=origin.port, ECHO=echoes().port, STOP=stop) as daemon:
        daemon.known = {name: daemon.address(name) for name in ("web", "out", "port")}
        yield daemon, origin, lambda name="web": stack.enter_context(Client(daemon.known[name]))


def begin_stop(daemon):
    daemon.signal(signal.SIGTERM)
    daemon.wait_notice("STOPPING=1")
    daemon.wait_log("stopping")


def connect_tunnel(client):
    target = f"127.0.0.1:{echoes().port}"
    equal(client.ask(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"), "CONNECT").status, 200,
          "status of CONNECT")
    return client


@test("connections that are idle are closed at once, and then the process ends")
def _():
    with running() as (daemon, _origin, client):
        idle = [client() for _ in range(20)]
        for c in idle:
            equal(c.ask(get("/")).status, 200, "status")
        daemon.signal(signal.SIGTERM)
        for c in idle:
            equal(c.rest(), b"", "what came")
            check(not c.was_reset, "it was reset")
        equal(daemon.wait_end(), 0, "exit status")


@test("running exchanges are finished, and told that theirs is the last")
def _():
    with running() as (daemon, origin, client):
        awaited, begun, upload, partial = client(), client(), client(), client()
        awaited.send(get("/awaited"))
        begun.send(get("/begun"))
        upload.send(head("POST /upload HTTP/1.1", "Host: a", "Content-Length: 8") + b"half")
        partial.send(b"GET /partial HTTP/1.1\r\nHos")
        begun.line("a status line")
        for target in ("/awaited", "/upload"):
            origin.wait_head(target)
        begin_stop(daemon)
        partial.send(b"t: a\r\n\r\n")
        response = partial.read()
        equal((response.status, response.get("Connection")), (200, "close"), "late head's answer")
        upload.send(b"done")
        response = upload.read()
        equal((response.status, response.get("Connection")), (200, "close"), "upload's answer")
        equal(origin.wait_request("/upload").body, b"halfdone", "upload")
        check(daemon.process.poll() is None, "it ended too early")
        origin.go()
        response = awaited.read()
        equal((response.body, response.get("Connection")), (b"at last", "close"), "answer")
        # Its head had left before the order to stop: the end of the stream tells.
        check(begun.rest().endswith(b"halfdone"), "the answer that had begun was cut short")
        for c in (partial, upload, awaited):
            equal(c.rest(), b"", "what follows")
            c.close()
        begun.close()
        equal(daemon.wait_end(), 0, "exit status")
        equal({r["end"] for r in daemon.records()}, {"done"}, "end words")


@test("a request that was pipelined behind a running one is answered too")
def _():
    with running() as (daemon, origin, client):
        c = client()
        c.send(get("/begun") + get("/behind"))
        c.line("a status line")
        begin_stop(daemon)
        origin.go()
        while c.line("a field line"):
            pass
        equal(c.exactly(8), b"halfdone", "first answer")
        response = c.read()
        equal((response.status, response.get("Connection")), (200, "close"), "second answer")
        equal(daemon.wait_end(), 0, "exit status")


@test("a connection whose upload is being read away does not hold up the end")
def _():
    with running() as (daemon, _origin, client):
        c = client()
        equal(c.ask(head("POST /early HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")).body,
              b"early", "answer")
        begin_stop(daemon)
        c.try_send(b"3\r\nabc\r\n0\r\n\r\n")
        equal(c.rest(), b"", "what follows")
        c.close()
        equal(daemon.wait_end(), 0, "exit status")


@test("a connection that has not asked yet may still ask, for a moment", timely=True)
def _():
    with running() as (daemon, _origin, client):
        fresh, silent = client(), client()
        becomes(lambda: daemon.metrics()["bascule_connections_open"], 2, "connections")
        begin_stop(daemon)
        response = fresh.ask(get("/fresh"))
        equal((response.status, response.get("Connection")), (200, "close"), "answer")
        equal(silent.rest(), b"", "what the silent one got")
        equal(daemon.wait_end(), 0, "exit status")


@test("tunnels go on while there is time, and are then closed", timely=True)
def _():
    with running("1s") as (daemon, _origin, client):
        tunnels = [connect_tunnel(client("out")), client("port")]
        for c in tunnels:
            c.send(b"before")
            equal(c.exactly(6), b"before", "echo")
        begin_stop(daemon)
        for c in tunnels:
            c.send(b"meanwhile")
            equal(c.exactly(9), b"meanwhile", "echo")
        for c in tunnels:
            while c.fill():
                pass
            check(c.was_reset, "it ended as if it were whole")
        equal(daemon.wait_end(), 0, "exit status")
        equal([r["end"] for r in daemon.records()], ["stopped", "stopped"], "end words")


@test("the process ends as soon as the last tunnel has")
def _():
    with running() as (daemon, _origin, client):
        tunnels = [connect_tunnel(client("out")), client("port")]
        for c in tunnels:
            c.send(b"x")
            equal(c.exactly(1), b"x", "echo")
        begin_stop(daemon)
        for c in tunnels:
            c.half_close()
            equal(c.rest(), b"", "what follows")
        equal(daemon.wait_end(), 0, "exit status")
        equal([r["end"] for r in daemon.records()], ["done", "done"], "end words")


@test("at stop_timeout what still runs is broken off, with a word in the log")
def _():
    with running("300ms") as (daemon, origin, client):
        awaited, begun = client(), client()
        awaited.send(get("/awaited"))
        begun.send(get("/begun"))
        begun.line("a status line")
        origin.wait_head("/awaited")
        daemon.signal(signal.SIGTERM)
        for c in (awaited, begun):
            while c.fill():
                pass
            check(c.was_reset, "it ended as if it were whole")
        equal(daemon.wait_end(), 0, "exit status")
        equal(daemon.wait_record("/awaited")["end"], "stopped", "end word")
        equal(daemon.wait_record("/begun")["end"], "stopped", "end word")


@test("a stop under load breaks off no answer")
def _():
    with running() as (daemon, _origin, _client):
        outcomes = []
        done = [0] * 4

        def load(i):
            while True:
                client = None
                try:
                    with Client(daemon.known["web"]) as client:
                        response = client.ask(get("/load", "Connection: close"))
                    done[i] += 1
                    outcomes.append(response.status)
                except OSError:
                    return  # refused: nobody listens any more
                except AssertionError as error:
                    if client.received:
                        outcomes.append(f"{type(error).__name__}: {error}")
                    if daemon.process.poll() is not None:
                        return

        threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + WAIT
        while min(done) < 20:
            check(time.monotonic() < end, "the load does not begin")
            time.sleep(0.01)
        daemon.signal(signal.SIGTERM)
        equal(daemon.wait_end(), 0, "exit status")
        for thread in threads:
            thread.join(WAIT)
        equal(set(outcomes), {200}, f"outcomes of {len(outcomes)} requests")


@test("a second SIGTERM ends a stop that waits, tunnels and all")
def _():
    with running() as (daemon, origin, client):
        tunnel, awaited = connect_tunnel(client("out")), client()
        awaited.send(get("/awaited"))
        origin.wait_head("/awaited")
        begin_stop(daemon)
        tunnel.send(b"x")
        equal(tunnel.exactly(1), b"x", "echo")
        daemon.signal(signal.SIGTERM)
        for c in (tunnel, awaited):
            while c.fill():
                pass
        equal(daemon.wait_end(), 0, "exit status")


main()
