# SPDX-License-Identifier: BSD-2-Clause
"""The file that tells browsers when to use the proxy: served, run by an engine for JavaScript,
and followed by Chromium (modes/pac.c, modes/pac_script.c)."""

import json
import shutil
import subprocess
import tempfile

from bascule_flow import (FACTOR, WAIT, Client, Daemon, Failure, Origin, Skip, answer, check, equal,
                          get, main, once, program, test)
from certs import Certificates
from peers import NameServer
from secure import TlsStream, handshake, trusting
from wire import read_response

CONF = """
workers = 1;
resolver = { servers = [ "127.0.0.1:@DNS@" ]; };
lists = (
    { name = "intranet"; kind = "domains"; items = [ "intranet.example", "wiki.test" ]; }
);
sets = ( { name = "inside"; when = { host_in = "intranet"; }; } );
policies = (
    { name = "office"; rules = (
        { name = "no-games"; action = "deny"; why = "Games are not for the office.";
          when = { host = [ "games.test", "games.cdn.test" ]; }; },
        { name = "interns"; action = "deny"; when = { host = "x.cdn.test"; method = "DELETE"; }; },
        { name = "no-put"; action = "deny"; when = { method = "PUT"; }; },
        { name = "inside"; direct = true; when = { set = "inside"; }; },
        { name = "cdn"; direct = true;
          when = { host = "*.cdn.test"; not = ( { host = "private.cdn.test"; } ); }; },
        { name = "plainly"; direct = true;
          when = { host = "ports.test"; scheme = "http"; port = [ 80, "8000-8999" ]; }; },
        { name = "lab"; direct = true; when = { host = "lab.test"; client = "127.0.0.9"; }; },
        { name = "there"; direct = true;
          when = { destination = [ "192.0.2.0/24", "2001:db8::/32" ]; }; },
        { name = "direct"; direct = true; when = { host = "direct.test"; }; },
        { name = "post"; direct = true; when = { host = "post.test"; method = "POST"; }; }
    ); }
);
listeners = (
    { name = "office"; mode = "forward"; listen = "127.0.0.1:0"; policy = "office";
      allow_destination = "127.0.0.0/8"; pac = { }; },
    { name = "named"; mode = "forward"; listen = "127.0.0.1:0";
      pac = { proxy = [ "one.example:3128", "two.example:3128" ]; fallback = "direct";
              scheme = "https";
              direct = [ "plain", "*.Local.example", "10.0.0.0/8", "fd00::/8" ]; };
    },
    { name = "short"; mode = "forward"; listen = "127.0.0.1:0"; pac = "proxy.example:3128"; },
    { name = "bare"; mode = "forward"; listen = "127.0.0.1:0"; },
    { name = "few"; mode = "forward"; listen = "127.0.0.1:0"; allow_client = "192.0.2.0/24";
      pac = "proxy.example:3128"; },
    { name = "tls"; mode = "forward"; listen = "127.0.0.1:0"; pac = { };
      tls = { certificates = "@CERTIFICATE@"; }; }
);
"""

# What scripts may call, as browsers have it, besides what would ask the DNS.
REFERENCE = """
var say = typeof print == "function" ? print : console.log;
function isPlainHostName(host) { return host.indexOf(".") < 0; }
function dnsDomainIs(host, domain) {
  return host.length >= domain.length && host.substring(host.length - domain.length) == domain;
}
function shExpMatch(text, pattern) {
  pattern = pattern.replace(/[.+^${}()|\\[\\]\\\\]/g, "\\\\$&").replace(/\\*/g, ".*");
  return new RegExp("^" + pattern.replace(/\\?/g, ".") + "$").test(text);
}
function leak() { throw new Error("the script asks the DNS"); }
var dnsResolve = leak, isResolvable = leak, isInNet = leak, myIpAddress = leak;
var dnsResolveEx = leak, isResolvableEx = leak, isInNetEx = leak, myIpAddressEx = leak;
"""


@once
def certificates():
    made = Certificates()
    made.authority("ca")
    return made


@once
def names():
    found = NameServer()
    found.set(**{name: ["127.0.0.1"] for name in ("proxied", "games", "direct")})
    return found


@once
def origin():
    def show(request, _):
        way = (request.get("Via") or "none").encode()
        return answer(b"<p id=way>" + way + b"</p>", "Content-Type: text/html")
    return Origin(show)


@once
def proxy():
    return Daemon(CONF, DNS=names().port,
                  CERTIFICATE=certificates().issue("proxy", "ca", ["DNS:proxy.test",
                                                                   "IP:127.0.0.1"]))


def fetch(listener, *fields, path="/proxy.pac", source=None, method="GET", host=None):
    address = proxy().address(listener)
    with Client(address, source=source) as client:
        client.send(get(path, *fields, host=host or address, method=method))
        return client.read(method)


def script(listener, **options):
    response = fetch(listener, **options)
    equal(response.status, 200, "status")
    equal(response.get("Content-Type"), "application/x-ns-proxy-autoconfig", "type")
    return response.body.decode("ascii")


def run(text, urls):
    """What the script says about each URL, by an engine for JavaScript."""
    engine = shutil.which("duk") or shutil.which("node") or shutil.which("nodejs")
    if engine is None:
        raise Skip("there is no duk (duktape) here, nor node")
    asked = [(url, host(url)) for url in urls]
    text = (REFERENCE + text + f"\nvar asked = {json.dumps(asked)};\n"
            "for (var i = 0; i < asked.length; i++)\n"
            "  say(FindProxyForURL(asked[i][0], asked[i][1]));\n")
    with tempfile.NamedTemporaryFile("w", suffix=".js", encoding="ascii") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([engine, file.name], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=WAIT)
    equal(done.returncode, 0, f"exit status ({done.stderr}{done.stdout[-300:]})")
    return dict(zip(urls, done.stdout.splitlines(), strict=True))


def host(url):
    """As browsers tell it: without port, addresses of IPv6 in brackets or not."""
    authority = url.split("://")[1].split("/")[0].split("@")[-1]
    if authority.startswith("["):
        return authority[1:authority.index("]")]
    return authority.split(":")[0]


def compare(text, proxied, directly, by):
    found = run(text, [*proxied, *directly])
    for url in proxied:
        equal(found[url], by, url)
    for url in directly:
        equal(found[url], "DIRECT", url)


# ---- what it says


@test("what rules say is direct is direct, the rest goes through the proxy; rules keep their order")
def _():
    compare(script("office"), by=f"PROXY {proxy().address('office')}", proxied=[
        "http://www.example.com/", "https://www.example.com/",
        "http://games.cdn.test/", "http://x.cdn.test/", "http://private.cdn.test/",
        "http://cdn.test/", "http://notcdn.test/", "http://xcdn.test/",
        "http://notintranet.example/", "http://intranet.example.net/",
        "https://ports.test/", "http://ports.test:81/", "http://ports.test:9000/",
        "http://lab.test/", "http://post.test/",
        "http://192.0.3.1/", "http://1.2.3.4.5/", "http://[2001:db9::1]/", "http://[::1]/",
        "http://192.0.2.300/", "http://[::ffff:192.0.3.1]/", "ftp://ports.test/",
    ], directly=[
        "http://a.cdn.test/", "https://b.a.cdn.test:8443/x?y", "wss://a.cdn.test/",
        "http://A.CDN.test/", "http://a.cdn.test./",
        "http://intranet.example/", "https://www.intranet.example/", "http://wiki.test:81/",
        "http://ports.test/", "http://ports.test:80/a:81/", "http://ports.test:8080/?:9",
        "ws://ports.test/", "http://192.0.2.1/", "https://192.0.2.255:8443/",
        "http://[2001:db8::1]/", "http://[2001:DB8:0:0:1:2:3:4]:81/", "http://[2001:db8::]/",
        "http://[::ffff:192.0.2.1]/", "http://[::ffff:c000:201]/", "http://direct.test/",
    ])


@test("each client gets the file that is meant for it")
def _():
    url = "http://lab.test/"
    check(run(script("office"), [url])[url].startswith("PROXY "), "not from here")
    equal(run(script("office", source="127.0.0.9"), [url])[url], "DIRECT", "from the lab")


@test("what is configured for the file alone is direct; proxies come in their order")
def _():
    compare(script("named"), by="HTTPS one.example:3128; HTTPS two.example:3128; DIRECT", proxied=[
        "http://www.example.com/", "http://local.example/", "http://11.0.0.1/",
        "http://[fe00::1]/",
    ], directly=[
        "http://printer/", "https://printer:8443/", "http://a.local.example/",
        "http://10.1.2.3/", "http://[fd12::1]/",
    ])
    url = "http://www.example.com/"
    equal(run(script("short"), [url])[url], "PROXY proxy.example:3128", "the short form")


@test("the proxy is called what the client called it, and by TLS where it speaks TLS")
def _():
    url = "http://www.example.com/"
    equal(run(script("office", host="wpad.corp.example", path="/wpad.dat"), [url])[url],
          "PROXY wpad.corp.example:80", "by WPAD")
    equal(run(script("office", host="[2001:db8::7]:3128"), [url])[url],
          "PROXY [2001:db8::7]:3128", "by IPv6")
    address = proxy().address("tls")
    with TlsStream(handshake(address, trusting(certificates().path("ca.pem")),
                             "proxy.test")) as stream:
        stream.send(get("/proxy.pac", host="proxy.test:3128"))
        equal(run(read_response(stream).body.decode("ascii"), [url])[url],
              "HTTPS proxy.test:3128", "by TLS")


@test("nothing that stands in Host becomes part of the script")
def _():
    for name in ('a";alert(1);"', "a'b", "a\\b", "<script>"):
        equal(fetch("office", host=name).status, 400, name)


# ---- how it is served


@test("it has a tag and a life; HEAD and conditions are answered")
def _():
    first = fetch("office")
    equal(first.get("Cache-Control"), "private, max-age=300", "Cache-Control")
    tag = first.get("ETag")
    top = fetch("office", method="HEAD")
    equal((top.status, top.get("ETag"), top.get("Content-Length"), top.body),
          (200, tag, str(len(first.body)), b""), "HEAD")
    for condition in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = fetch("office", f"If-None-Match: {condition}")
        equal((again.status, again.get("ETag"), again.body), (304, tag, b""), condition)
    equal(fetch("office", 'If-None-Match: "other"').status, 200, "another tag")
    equal(fetch("office", source="127.0.0.9").get("ETag") == tag, False, "another script's tag")


@test("other paths, methods and listeners are answered as ever")
def _():
    equal(fetch("office", path="/").status, 400, "/")
    equal(fetch("office", path="/proxy.pac/x").status, 400, "a path below")
    equal(fetch("bare").status, 400, "a listener without it")
    equal(fetch("office", method="POST").status, 400, "POST")
    equal(fetch("few").status, 403, "a client that is not allowed")


@test("a browser that has a proxy asks through it: the file is still ours")
def _():
    with Client(proxy().address("office")) as client:
        base = f"http://{proxy().address('office')}"
        found = client.ask(get(f"{base}/proxy.pac", host=proxy().address("office")))
        check(b"FindProxyForURL" in found.body, f"{found.status}")
    with Client(proxy().address("named")) as client:
        found = client.ask(get("http://one.example:3128/wpad.dat", host="one.example:3128"))
        check(b"FindProxyForURL" in found.body, f"{found.status}")
        before = len(origin().requests)
    with Client(proxy().address("office")) as client:
        url = f"http://proxied.test:{origin().port}/proxy.pac"
        client.ask(get(url, host=f"proxied.test:{origin().port}"))
        equal(len(origin().requests), before + 1, "requests at a site with such a file")


@test("by HTTP/2 it is served too")
def _():
    if shutil.which("curl") is None:
        raise Skip("there is no curl here")
    port = proxy().address("tls").rsplit(":", 1)[1]
    done = subprocess.run(
        ["curl", "-q", "-sS", "--http2", "--cacert", certificates().path("ca.pem"), "--resolve",
         f"proxy.test:{port}:127.0.0.1", "-w", "%{http_version}",
         f"https://proxy.test:{port}/proxy.pac"], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=WAIT)
    check("FindProxyForURL" in done.stdout and done.stdout.endswith("2"),
          f"{done.stdout[-200:]}{done.stderr}")


@test("check tells of rules that say direct where no browser can tell when")
def _():
    done = subprocess.run([program(), "check", "-c", proxy().conf_path], capture_output=True,
                          text=True, check=False, timeout=WAIT)
    equal(done.returncode, 0, done.stderr)
    said = [line for line in done.stderr.splitlines() if "pac:" in line]
    check(len(said) == 1 and "method" in said[0], f"said {said}")


# ---- Chromium follows it


def chromium(url, *words):
    name = next((name for name in ("chromium", "chromium-browser", "google-chrome")
                 if shutil.which(name)), None)
    if name is None:
        raise Skip("there is no chromium here")
    profile = tempfile.mkdtemp(prefix="bascule-chromium-")
    try:
        done = subprocess.run(
            [name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-dev-shm-usage", "--virtual-time-budget=10000",
             f"--user-data-dir={profile}",
             f"--proxy-pac-url=http://{proxy().address('office')}/proxy.pac", *words,
             "--dump-dom", url], capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=60 * FACTOR)
    except subprocess.TimeoutExpired:
        raise Failure(f"chromium did not show {url}") from None
    finally:
        shutil.rmtree(profile, ignore_errors=True)
    return done.stdout


@test("Chromium goes through the proxy to one site, directly to another, and shows why not to a "
      "third", timeout=200)
def _():
    resolved = "--host-resolver-rules=MAP direct.test 127.0.0.1"
    page = chromium(f"http://proxied.test:{origin().port}/", resolved)
    check('<p id="way">1.1 ' in page, f"through the proxy: {page[-300:]}")
    page = chromium(f"http://direct.test:{origin().port}/", resolved)
    check('<p id="way">none</p>' in page, f"directly: {page[-300:]}")
    page = chromium("http://games.test/", resolved)
    check("Games are not for the office." in page and "no-games" in page and "403" in page,
          f"the block page: {page[-900:]}")


main()
