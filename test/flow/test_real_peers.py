# SPDX-License-Identifier: BSD-2-Clause
"""Programs that others wrote: nginx as origin, curl, wget and Chromium as clients, through both
modes. A test whose program is missing is skipped."""

import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import zlib

from bascule_flow import (FACTOR, WAIT, Client, Daemon, Failure, Skip, check, connect, equal, get,
                          main, once, test)
from certs import Certificates
from peers import DeadPort, free_port, until

CONF = """
workers = 2;
forward_to_sites = false;
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; connect_ports = "1-65535";
      allow_destination = [ "127.0.0.1" ]; }
);
groups = (
    { name = "nginx"; max_fails = 0; endpoints = [ "127.0.0.1:@PLAIN@" ]; },
    { name = "v1"; max_fails = 0; send_proxy = "v1"; endpoints = [ "127.0.0.1:@PROXIED@" ]; },
    { name = "v2"; max_fails = 0; send_proxy = "v2"; endpoints = [ "127.0.0.1:@PROXIED@" ]; },
    { name = "dead"; max_fails = 0; endpoints = [ "127.0.0.1:@DEAD@" ]; }
);
sites = (
    { name = "nginx"; default = true; group = "nginx"; },
    { name = "v1"; hosts = [ "v1.test" ]; group = "v1"; },
    { name = "v2"; hosts = [ "v2.test" ]; group = "v2"; },
    { name = "dead"; hosts = [ "dead.test" ]; group = "dead"; },
    { name = "welcome"; hosts = [ "welcome.test" ]; welcome = true; }
);
"""

NGINX = """
daemon off;
master_process off;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log;
events { worker_connections 512; }
http {
    access_log @DIR@/access.log;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    client_max_body_size 0;
    gzip on;
    gzip_min_length 100;
    gzip_types text/plain application/json;
    gzip_vary on;
    gzip_proxied any;
    types { text/html html; text/css css; text/javascript js; image/png png; text/plain txt;
            application/json json; }
    server {
        listen 127.0.0.1:@PLAIN@;
        listen 127.0.0.1:@TLS@ ssl;
        ssl_certificate @CERTIFICATE@;
        ssl_certificate_key @CERTIFICATE@;
        root @DIR@/www;
        location /up/ { dav_methods PUT DELETE; create_full_put_path on; }
        location = /who { return 200 "$remote_addr $http_host $http_x_forwarded_for $http_via"; }
        location = /away { return 302 /text.txt; }
    }
    server {
        listen 127.0.0.1:@PROXIED@ proxy_protocol;
        location / { return 200 "$proxy_protocol_addr $proxy_protocol_port"; }
    }
}
"""

PAGE = """<!DOCTYPE html>
<html><head><title>waiting</title><link rel="stylesheet" href="/style.css"></head>
<body><p id="found">nothing yet</p>
@IMAGES@
<script src="/script.js"></script></body></html>
"""
SCRIPT = """
addEventListener("load", async () => {
    const images = [...document.images].filter(i => i.naturalWidth === 3).length;
    const json = await (await fetch("/data.json")).json();
    const bytes = (await (await fetch("/blob")).arrayBuffer()).byteLength;
    const body = "x".repeat(300000);
    const put = (await fetch("/up/from-page", { method: "PUT", body })).status;
    const colour = getComputedStyle(document.getElementById("found")).color;
    document.getElementById("found").textContent =
        `images ${images}, json ${json.length}, bytes ${bytes}, put ${put}, ${colour}`;
});
"""
FOUND = "images 24, json 1000, bytes 2000000, put 201, rgb(1, 2, 3)"
BIG_BYTES = 100 * 1024 * 1024


def needed(name):
    """The path of a program, or the reason to skip."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise Skip(f"there is no {name} here")
    return path


def png(pixels):
    """A picture of so many pixels in a row."""

    def chunk(kind, data):
        return struct.pack("!I", len(data)) + kind + data + \
            struct.pack("!I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack("!IIBBBBB", pixels, 1, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(b"\0" + b"\x80" * 3 * pixels)) + chunk(b"IEND", b""))


class Nginx:
    """An nginx with a folder, ports and a certificate of its own."""

    def __init__(self):
        program = needed("nginx")
        self.certificates = Certificates()
        self.dir = tempfile.mkdtemp(prefix="bascule-nginx-")
        self.plain, self.tls, self.proxied = free_port(), free_port(), free_port()
        self.certificates.authority("root")
        self.fill()
        text = NGINX
        for name, value in {"DIR": self.dir, "PLAIN": self.plain, "TLS": self.tls,
                            "PROXIED": self.proxied,
                            "CERTIFICATE": self.certificates.issue(
                                "nginx", "root", ["IP:127.0.0.1", "DNS:site.test"])}.items():
            text = text.replace(f"@{name}@", str(value))
        with open(self.path("nginx.conf"), "w", encoding="ascii") as file:
            file.write(text)
        self.process = subprocess.Popen([program, "-p", self.dir, "-c", self.path("nginx.conf"),
                                         "-e", self.path("error.log")], stdin=subprocess.DEVNULL)
        try:
            until(self.is_ready, "nginx listens")
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.dir, name)

    def is_ready(self):
        if self.process.poll() is not None:
            with open(self.path("error.log"), encoding="utf-8") as file:
                raise Failure(f"nginx ended: {file.read()}")
        try:
            connect(f"127.0.0.1:{self.proxied}").close()
            return True
        except OSError:
            return False

    def fill(self):
        os.makedirs(self.path("www/up"))
        images = "\n".join(f'<img src="/image{i}.png" alt="">' for i in range(24))
        for name, data in {
                "index.html": PAGE.replace("@IMAGES@", images).encode(),
                "script.js": SCRIPT.encode(), "style.css": b"#found { color: rgb(1, 2, 3); }",
                "data.json": json.dumps(list(range(1000))).encode(), "blob": os.urandom(2000000),
                "text.txt": b"".join(b"line %d\n" % i for i in range(5000)),
                **{f"image{i}.png": png(3) for i in range(24)}}.items():
            with open(self.path(f"www/{name}"), "wb") as file:
                file.write(data)

    def fill_big(self):
        """Makes /big. The SHA-256 of it."""
        digest, rest = hashlib.sha256(), os.urandom(1024 * 1024 - 4)
        with open(self.path("www/big"), "wb") as file:
            for i in range(BIG_BYTES // (1024 * 1024)):
                piece = struct.pack("!I", i) + rest
                digest.update(piece)
                file.write(piece)
        return digest.digest()

    def content(self, name):
        with open(self.path(f"www/{name}"), "rb") as file:
            return file.read()

    def log(self):
        with open(self.path("access.log"), encoding="utf-8") as file:
            return file.read()

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.certificates.close()
        shutil.rmtree(self.dir, ignore_errors=True)


@once
def nginx():
    return Nginx()


@once
def dead():
    return DeadPort()


@once
def proxy():
    return Daemon(CONF, PLAIN=nginx().plain, PROXIED=nginx().proxied, DEAD=dead().port)


def run(program, *words, status=0, env=None, wait=30, **options):
    """Runs a program, without the machine's own proxy settings. Its standard output."""
    environ = {name: value for name, value in os.environ.items()
               if not name.lower().endswith("_proxy")}
    done = subprocess.run([needed(program), *words], env={**environ, **(env or {})},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=wait * FACTOR,
                          check=False, **options)
    equal(done.returncode, status, f"exit status of {program} ({done.stderr.decode()[-600:]})")
    return done.stdout


def curl(*words, status=0):
    return run("curl", "-q", "-sS", *words, status=status)


class Way:
    """How curl and the others get to nginx, and what they call it."""

    def __init__(self, name, words, base):
        self.name, self.words, self.base = name, words, base

    def curl(self, path, *words, status=0):
        return curl(*self.words(), *words, self.base() + path, status=status)


def out():
    return f"http://{proxy().address('out')}"


REVERSE = Way("reverse", lambda: (), lambda: f"http://{proxy().address('web')}")
FORWARD = Way("forward", lambda: ("-x", out()), lambda: f"http://127.0.0.1:{nginx().plain}")
TUNNEL = Way("tunnel", lambda: ("--proxytunnel", "-x", out()),
             lambda: f"http://127.0.0.1:{nginx().plain}")
TLS = Way("TLS tunnel", lambda: ("-x", out(), "--cacert", nginx().certificates.path("root.pem")),
          lambda: f"https://127.0.0.1:{nginx().tls}")
WAYS = (REVERSE, FORWARD, TUNNEL, TLS)


def each(promise, ways=WAYS, **options):
    """A test for each way to nginx."""

    def add(function):
        for way in ways:
            test(f"{way.name}: {promise}", **options)(lambda way=way: function(way))
        return function

    return add


def parts(answer):
    """The fields of the last head in curl -i's output, in lower case, and the content."""
    while True:
        top, _, answer = answer.partition(b"\r\n\r\n")
        if not re.match(rb"HTTP/1.1 (1\d\d|200 Connection established)", top, re.I):
            break
    lines = top.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        fields[name.lower()] = value
    return int(lines[0].split()[1]), fields, answer


# ---- curl and nginx


@once
def big():
    return nginx().fill_big()


@each("a file of 100 MB is byte-exact", heavy=True)
def _(way):
    expected = big()
    path = nginx().path("download")
    way.curl("/big", "-o", path)
    with open(path, "rb") as file:
        check(hashlib.file_digest(file, "sha256").digest() == expected, "the content differs")


@each("ranges, also several at once, are what was asked for")
def _(way):
    text = nginx().content("text.txt")
    status, fields, body = parts(way.curl("/text.txt", "-i", "-r", "1000-1999"))
    equal((status, fields["content-range"], body), (206, f"bytes 1000-1999/{len(text)}",
                                                    text[1000:2000]), "one range")
    equal(way.curl("/text.txt", "-r", "-100"), text[-100:], "the end")
    status, fields, body = parts(way.curl("/text.txt", "-i", "-r", "0-9,100-109"))
    check(status == 206 and fields["content-type"].startswith("multipart/byteranges"), f"{fields}")
    check(text[:10] in body and text[100:110] in body, "a part is missing")
    equal(parts(way.curl("/text.txt", "-i", "-r", "9999999-"))[0], 416, "beyond the end")


@each("compressed content passes as it is, and only to who wants it")
def _(way):
    text = nginx().content("text.txt")
    status, fields, body = parts(way.curl("/text.txt", "-i", "-H", "Accept-Encoding: gzip"))
    equal((status, fields.get("content-encoding"), fields.get("vary")),
          (200, "gzip", "Accept-Encoding"), "the head")
    check(len(body) < len(text) / 2 and gzip.decompress(body) == text, "the content differs")
    equal(way.curl("/text.txt", "--compressed"), text, "curl --compressed")
    status, fields, body = parts(way.curl("/text.txt", "-i"))
    equal((fields.get("content-encoding"), body), (None, text), "without compression")


@each("HEAD, validators and 304 are nginx's own")
def _(way):
    _, fields, body = parts(way.curl("/text.txt", "-I"))
    equal((fields["content-length"], body), (str(len(nginx().content("text.txt"))), b""), "HEAD")
    status, found, body = parts(way.curl("/text.txt", "-i", "-H",
                                         f"If-None-Match: {fields['etag']}"))
    equal((status, found["etag"], body), (304, fields["etag"], b""), "304")
    equal(parts(way.curl("/missing", "-i"))[0], 404, "what is missing")


@each("many requests go over one connection")
def _(way):
    paths = ("/text.txt", "/missing", "/blob", "/image1.png")
    words = [word for path in paths for word in ("-o", os.devnull, way.base() + path)]
    found = way.curl("/data.json", "-w", "%{num_connects} %{http_code}\n", *words, "-o", os.devnull)
    equal(found.split(b"\n")[:-1], [b"1 200", b"0 404", b"0 200", b"0 200", b"0 200"],
          "new connections and statuses")


@each("a PUT that waits for 100 Continue, one that does not, and a chunked one arrive whole")
def _(way):
    data = nginx().content("blob")
    for name, words in (("waits", ("-H", "Expect: 100-continue", "--expect100-timeout", "20")),
                        ("goes", ("-H", "Expect:")),
                        ("chunked", ("-H", "Transfer-Encoding: chunked", "-H", "Expect:"))):
        target = f"/up/{way.name.replace(' ', '')}-{name}"
        status = way.curl(target, "-T", nginx().path("www/blob"), *words, "-o", os.devnull,
                          "-w", "%{http_code}")
        equal(status, b"201", f"status of the one that {name}")
        check(nginx().content(target[1:]) == data, f"{target} differs")


@each("HTTP/1.0 and an offer of HTTP/2 are answered in HTTP/1.1", ways=(REVERSE, FORWARD))
def _(way):
    for words in (("--http1.0",), ("--http2",)):
        equal(way.curl("/data.json", *words), nginx().content("data.json"), str(words))


@test("reverse: nginx is told the client, the host and the way; a redirect leads back here")
def _():
    found = REVERSE.curl("/who", "-H", "Host: site.test", "-H", "X-Forwarded-For: 6.6.6.6").decode()
    check(re.fullmatch(r"127\.0\.0\.1 site\.test 127\.0\.0\.1 1\.1 \S+", found), f"told {found}")
    equal(REVERSE.curl("/away", "-o", os.devnull, "-w", "%{redirect_url}").decode(),
          REVERSE.base() + "/text.txt", "the redirect")


@test("forward: nginx is not told who asks")
def _():
    found = FORWARD.curl("/who").decode()
    check(re.fullmatch(rf"127\.0\.0\.1 127\.0\.0\.1:{nginx().plain}  1\.1 \S+", found),
          f"told {found!r}")


@test("reverse: nginx reads the PROXY headers of both versions")
def _():
    for host in ("v1.test", "v2.test"):
        with Client(proxy().address("web")) as c:
            port = c.sock.getsockname()[1]
            equal(c.ask(get("/", host=host)).body, b"127.0.0.1 %d" % port, host)


@test("tunnel: a certificate that does not suit is seen by the client, not by us")
def _():
    curl("-x", out(), f"https://127.0.0.1:{nginx().tls}/text.txt", status=60)


@test("forward: what may not be reached is refused, in words that curl shows")
def _():
    status, fields, body = parts(curl("-i", "-x", out(), "http://10.0.0.1/"))
    equal((status, fields["content-type"]), (403, "application/problem+json"), "the answer")
    equal(json.loads(body)["status"], 403, "the problem")
    curl("-x", out(), "https://10.0.0.1/", status=56)


# ---- wget


@test("wget downloads through both modes, recursively and with continuation")
def _():
    text = nginx().content("text.txt")
    quiet = ("--no-config", "-nv", "-t", "1", "-T", str(WAIT))
    equal(run("wget", *quiet, "-O", "-", REVERSE.base() + "/text.txt"), text, "reverse")
    environ = {"http_proxy": out(), "https_proxy": out()}
    equal(run("wget", *quiet, "-O", "-", FORWARD.base() + "/text.txt", env=environ), text,
          "forward")
    equal(run("wget", *quiet, "--ca-certificate", nginx().certificates.path("root.pem"), "-O", "-",
              TLS.base() + "/text.txt", env=environ), text, "tunnel")
    folder = nginx().path("wget")
    os.mkdir(folder)
    with open(os.path.join(folder, "blob"), "wb") as file:
        file.write(nginx().content("blob")[:777777])
    run("wget", *quiet, "-c", REVERSE.base() + "/blob", cwd=folder)
    with open(os.path.join(folder, "blob"), "rb") as file:
        check(file.read() == nginx().content("blob"), "the continued file differs")
    run("wget", *quiet, "-r", "-p", "-nH", FORWARD.base() + "/index.html", env=environ, cwd=folder)
    equal(len([name for name in os.listdir(folder) if name.startswith("image")]), 24, "images")


# ---- Chromium


def chromium(url, *words):
    """The document as it is when the page is complete."""
    name = next((name for name in ("chromium", "chromium-browser", "google-chrome")
                 if shutil.which(name)), "chromium")
    profile = tempfile.mkdtemp(prefix="bascule-chromium-")
    try:
        return run(name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                   "--no-first-run", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                   "--virtual-time-budget=10000", f"--user-data-dir={profile}", *words,
                   "--dump-dom", url, wait=60).decode()
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def resolved():
    """Sends every host name to the reverse listener."""
    return f"--host-resolver-rules=MAP * {proxy().address('web')}"


def via_proxy():
    return f"--proxy-server={out()}", "--proxy-bypass-list=<-loopback>"


@test("Chromium shows a page with all its parts through the reverse listener", timeout=70)
def _():
    check(FOUND in (page := chromium("http://site.test/", resolved())), page[-600:])
    until(lambda: '"PUT /up/from-page HTTP/1.1" 201' in nginx().log(), "the upload gets to nginx")


@test("Chromium shows it through the forward listener, and through a tunnel", timeout=140)
def _():
    page = chromium(f"http://127.0.0.1:{nginx().plain}/", *via_proxy())
    check(FOUND.replace("201", "204") in page or FOUND in page, page[-600:])
    page = chromium(f"https://127.0.0.1:{nginx().tls}/", "--ignore-certificate-errors",
                    *via_proxy())
    check(FOUND.replace("201", "204") in page or FOUND in page, page[-600:])


@test("Chromium shows a page that can be read when the upstream is down, or the site blocked",
      timeout=140)
def _():
    page = chromium("http://dead.test/", resolved())
    check("<h1><span>502</span> Bad Gateway</h1>" in page and "Reference" in page, page[-900:])
    page = chromium("http://10.0.0.1/", *via_proxy())
    check("<h1><span>403</span> Forbidden</h1>" in page and "not allowed" in page, page[-900:])


@test("Chromium shows the welcome page", timeout=70)
def _():
    check("Bascule is running" in chromium("http://welcome.test/", resolved()), "no welcome")


main()
