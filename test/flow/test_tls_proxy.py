# SPDX-License-Identifier: BSD-2-Clause
"""A forward listener that is an HTTPS proxy: for raw clients, curl and Chromium."""

import os
import shutil
import ssl
import subprocess
import tempfile

from bascule_flow import (FACTOR, Daemon, Origin, Skip, answer, check, equal, get, head, main, once,
                          test)
from certs import Certificates
from h2 import h2s, request
from peers import TlsOrigin
from secure import TlsClient, TlsStream, handshake, trusting
from wire import read_response

CONF = """
workers = 2;
forward_to_sites = false;
access_logs = ( { name = "all"; to = "@DIR@/access.log"; format = "json"; } );
listeners = (
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.1" ]; tls = { certificates = "@PEM@/proxy.pem"; }; }
);
"""


@once
def certificates():
    made = Certificates()
    made.authority("root")
    made.issue("proxy", "root", ["IP:127.0.0.1", "DNS:proxy.test"])
    made.issue("origin", "root", ["IP:127.0.0.1"])
    return made


origin = once(Origin)


@once
def secure_origin():
    return TlsOrigin(certificates().path("origin.pem"),
                     lambda *_: answer(b"<p>secret</p>", "Content-Type: text/html"))


@once
def proxy():
    return Daemon(CONF, PEM=certificates().dir)


def context(**options):
    return trusting(certificates().path("root.pem"), **options)


@test("http:// URLs and CONNECT, by HTTP/1.1 over TLS")
def _():
    address = proxy().address("out")
    with TlsClient(address, context(), "proxy.test") as c:
        equal(c.ask(get(f"http://127.0.0.1:{origin().port}/relayed")).body, b"hello\n", "content")
    with TlsStream(handshake(address, context(), "proxy.test")) as c:
        c.send(head(f"CONNECT 127.0.0.1:{origin().port} HTTP/1.1", "Host: x"))
        equal(read_response(c, "CONNECT").status, 200, "status of CONNECT")
        c.send(get("/tunnelled"))
        equal(read_response(c).body, b"hello\n", "content in the tunnel")


@test("the same by HTTP/2, many at a time")
def _():
    with h2s(proxy().address("out"), context=context(alpn=("h2",)), name="proxy.test") as c:
        c.greet()
        authority = f"127.0.0.1:{origin().port}"
        streams = [c.open(request(f"/h2/{i}", authority=authority)) for i in range(20)]
        for stream in streams:
            equal(c.answer(stream).body, b"hello\n", "content")
        tunnels = [c.open([(":method", "CONNECT"), (":authority", authority)], end=False)
                   for _ in range(20)]
        for tunnel in tunnels:
            equal(c.head(tunnel).status, 200, "status of CONNECT")
            c.send_data(tunnel, get("/in-tunnel", "Connection: close"), end=False)
        for tunnel in tunnels:
            c.until(lambda tunnel=tunnel: c.answers[tunnel].body.endswith(b"hello\n"), "the answer")


@test("TLS in a tunnel in TLS")
def _():
    address = proxy().address("out")
    outer = handshake(address, context(), "proxy.test")
    with TlsStream(outer) as c:
        c.send(head(f"CONNECT 127.0.0.1:{secure_origin().port} HTTP/1.1", "Host: x"))
        equal(read_response(c, "CONNECT").status, 200, "status of CONNECT")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inner = context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")

        def talk(step):
            while True:
                try:
                    found = step()
                    c.send(outgoing.read())
                    return found
                except ssl.SSLWantReadError:
                    c.send(outgoing.read())
                    check(c.fill(), "the tunnel ended")
                    incoming.write(bytes(c.buffer))
                    c.buffer.clear()

        talk(inner.do_handshake)
        inner.write(get("/inner"))
        check(talk(lambda: inner.read(65536)).startswith(b"HTTP/1.1 200"), "no answer inside")


def run(program, *words, wait=30):
    path = shutil.which(program)
    if path is None:
        raise Skip(f"there is no {program} here")
    environ = {name: value for name, value in os.environ.items()
               if not name.lower().endswith("_proxy")}
    done = subprocess.run([path, *words], env=environ, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=wait * FACTOR, check=False)
    equal(done.returncode, 0, f"exit status of {program} ({done.stderr.decode()[-600:]})")
    return done.stdout


@test("curl: http:// and https:// through it")
def _():
    root = certificates().path("root.pem")
    for url, wanted in ((f"http://127.0.0.1:{origin().port}/curl", b"hello\n"),
                        (f"https://127.0.0.1:{secure_origin().port}/curl", b"<p>secret</p>")):
        found = run("curl", "-q", "-sS", "--proxy", f"https://{proxy().address('out')}",
                    "--proxy-cacert", root, "--cacert", root, url)
        equal(found, wanted, url)


@test("Chromium: http:// and https:// through it", timeout=140)
def _():
    origin().on("/page", answer(b"<p>found</p>", "Content-Type: text/html"))
    name = next((n for n in ("chromium", "chromium-browser", "google-chrome") if shutil.which(n)),
                "chromium")
    for url, wanted in ((f"http://127.0.0.1:{origin().port}/page", "<p>found</p>"),
                        (f"https://127.0.0.1:{secure_origin().port}/page", "<p>secret</p>")):
        profile = tempfile.mkdtemp(prefix="bascule-chromium-")
        try:
            page = run(name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                       "--no-first-run", "--disable-background-networking", "--disable-sync",
                       "--disable-component-update", "--disable-dev-shm-usage",
                       "--ignore-certificate-errors", "--virtual-time-budget=10000",
                       f"--user-data-dir={profile}", "--proxy-bypass-list=<-loopback>",
                       f"--proxy-server=https://{proxy().address('out')}", "--dump-dom", url,
                       wait=60).decode()
        finally:
            shutil.rmtree(profile, ignore_errors=True)
        check(wanted in page, page[-600:])


main()
