# SPDX-License-Identifier: BSD-2-Clause
"""gRPC: a real client and a real server, with HTTP/2 on both sides of us. Skipped where Python
has no grpc (Debian: python3-grpcio)."""

import concurrent.futures
import os
import threading

from bascule_flow import WAIT, Daemon, Skip, check, equal, main, once, test
from certs import Certificates

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
try:
    import grpc
except ImportError:
    grpc = None

CONF = """
workers = 2;
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; tls = { certificates = "@PEM@"; }; }
);
groups = (
    { name = "grpc"; max_fails = 0; protocol = "h2c"; endpoints = [ "127.0.0.1:@PORT@" ]; }
);
sites = ( { name = "all"; default = true; group = "grpc"; } );
"""


class Service:
    """Methods on bytes: no message needs to be compiled."""

    def __init__(self):
        if grpc is None:
            raise Skip("Python has no grpc here")
        self.arrived, self.cancelled = threading.Event(), threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(32)
        self.server = grpc.server(self.pool)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {
            "Once": grpc.unary_unary_rpc_method_handler(self.once),
            "Many": grpc.unary_stream_rpc_method_handler(self.many),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait)}),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    @staticmethod
    def once(data, context):
        context.set_trailing_metadata((("x-sum", str(len(data))),))
        return data

    @staticmethod
    def many(data, _context):
        for i in range(int(data)):
            yield b"%d" % i

    @staticmethod
    def sum(parts, _context):
        return b"%d" % sum(len(part) for part in parts)

    @staticmethod
    def chat(parts, _context):
        for part in parts:
            yield part + b"!"

    @staticmethod
    def fail(_data, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing: 100 %")

    def wait(self, _data, context):
        context.add_callback(self.cancelled.set)
        self.arrived.set()
        self.cancelled.wait(WAIT)
        return b""

    def close(self):
        self.server.stop(None).wait()
        self.pool.shutdown(wait=False)


service = once(Service)
certificates = once(Certificates)


@once
def pem():
    certificates().authority("root")
    return certificates().issue("site", "root", ["DNS:site.test"])


@once
def proxy():
    return Daemon(CONF, PORT=service().port, PEM=pem())


def channel(listener="web"):
    address = proxy().address(listener)
    options = (("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", "site.test"))
    if listener == "web":
        return grpc.insecure_channel(address, options)
    with open(certificates().path("root.pem"), "rb") as file:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()), options)


@test("unary calls, with their trailers")
def _():
    service()
    for listener in ("web", "tls"):
        with channel(listener) as c:
            call = c.unary_unary("/test.Echo/Once")
            for data in (b"", b"hello", os.urandom(2_000_000)):
                found, state = call.with_call(data, timeout=WAIT)
                check(found == data, f"{len(data)} bytes by {listener} differ")
                trailers = {item.key: item.value for item in state.trailing_metadata()}
                equal(trailers.get("x-sum"), str(len(data)), "trailer")


@test("a status other than OK, and its words, come in trailers alone")
def _():
    service()
    with channel() as c:
        try:
            c.unary_unary("/test.Echo/Fail")(b"", timeout=WAIT)
            check(False, "no error")
        except grpc.RpcError as error:
            equal((error.code(), error.details()),
                  (grpc.StatusCode.NOT_FOUND, "there is no such thing: 100 %"), "error")
        try:
            c.unary_unary("/test.Echo/Missing")(b"", timeout=WAIT)
            check(False, "no error")
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.UNIMPLEMENTED, "error")


@test("streams from the server, from the client, and of both in turns")
def _():
    service()
    for listener in ("web", "tls"):
        with channel(listener) as c:
            found = list(c.unary_stream("/test.Echo/Many")(b"1000", timeout=WAIT))
            equal(found, [b"%d" % i for i in range(1000)], "from the server")
            parts = (os.urandom(10_000) for _ in range(100))
            found = c.stream_unary("/test.Echo/Sum")(parts, timeout=WAIT)
            equal(found, b"1000000", "to the server")
            said = threading.Semaphore(1)

            def words():
                for i in range(50):
                    said.acquire(timeout=WAIT)
                    yield b"word %d" % i

            for i, answer in enumerate(c.stream_stream("/test.Echo/Chat")(words(), timeout=WAIT)):
                equal(answer, b"word %d!" % i, "an answer before the next word")
                said.release()
            equal(i, 49, "the last one")


@test("many calls at a time")
def _():
    service()
    with channel() as c:
        call = c.unary_unary("/test.Echo/Once")
        futures = [call.future(b"%d" % i, timeout=WAIT) for i in range(200)]
        equal([future.result() for future in futures], [b"%d" % i for i in range(200)], "answers")


@test("a call that the client gives up is given up at the server")
def _():
    service()
    with channel() as c:
        future = c.unary_unary("/test.Echo/Wait").future(b"", timeout=60)
        check(service().arrived.wait(WAIT), "it never reaches the server")
        check(not service().cancelled.wait(0.1), "given up too soon")
        future.cancel()
        check(service().cancelled.wait(WAIT), "the server goes on")


@test("a deadline is told to the server, and kept by the client")
def _():
    service().cancelled.clear()
    with channel() as c:
        try:
            c.unary_unary("/test.Echo/Wait")(b"", timeout=0.3)
            check(False, "no error")
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "error")


main()
