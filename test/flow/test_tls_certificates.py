# SPDX-License-Identifier: BSD-2-Clause
"""Certificates while they are served: replaced, damaged, stapled, by the thousand."""

import hashlib
import os
import signal
import time

from bascule_flow import FACTOR, Daemon, check, equal, get, main, once, test
from certs import Certificates, OcspResponder
from peers import until
from secure import SClient, TlsClient, handshake, trusting

ONE = """
workers = 2;
listeners = ( { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; @TLS@ } );
sites = ( { name = "all"; default = true; welcome = true; } @SITES@ );
"""


@once
def certificates():
    made = Certificates()
    made.authority("root")
    return made


@once
def responder():
    return OcspResponder(certificates(), "root")


def start(tls, sites=""):
    return Daemon(ONE.replace("@TLS@", tls).replace("@SITES@", sites), PEM=certificates().dir)


def shown(daemon, name="site.test"):
    with handshake(daemon.address("tls"), trusting(), name) as sock:
        return hashlib.sha256(sock.getpeercert(True)).hexdigest()


def time_until(question, what):
    """The seconds it takes to come true."""
    begin = time.monotonic()
    until(question, what)
    return time.monotonic() - begin


def worked(daemon):
    """Seconds that the daemon has worked so far, however long it was kept from it."""
    ticks = 0
    for pid in (daemon.pid, *daemon.children()):
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


# ---- files that change


@test("a certificate that is replaced is shown within a second, without a reload", timely=True)
def _():
    made = certificates()
    made.issue("swap", "root", ["DNS:site.test"])
    with start('tls = { certificates = "@PEM@/swap.pem"; };') as daemon:
        with TlsClient(daemon.address("tls"), trusting()) as old:
            equal(shown(daemon), made.fingerprint("swap"), "certificate at first")
            times = []
            for kind in ("ec", "rsa", "ec"):
                made.issue("swap", "root", ["DNS:site.test"], key=kind)
                wanted = made.fingerprint("swap")
                times.append(time_until(lambda wanted=wanted: shown(daemon) == wanted,
                                        "the new one is shown"))
            check(min(times) < 1.5 * FACTOR, f"it took {times} s")
            equal(old.ask(get()).status, 200, "status on a connection of before")
        daemon.wait_log("swap.pem: taken over")


@test("certificate and key in two files may be replaced one after the other")
def _():
    made = certificates()
    made.issue("pair", "root", ["DNS:site.test"])
    files = '( { chain = "@PEM@/pair.crt"; key = "@PEM@/pair.key"; } )'
    with start(f"tls = {{ certificates = {files}; }};") as daemon:
        equal(shown(daemon), made.fingerprint("pair"), "certificate at first")
        old = made.fingerprint("pair")
        made.issue("next", "root", ["DNS:site.test"])
        made.write("pair.crt", made.read("next.crt"))
        daemon.wait_log("pair.*the one that was there serves on")
        equal(shown(daemon), old, "certificate with the key of another")
        made.write("pair.key", made.read("next.key"))
        wanted = made.fingerprint("next")
        until(lambda: shown(daemon) == wanted, "the new one is shown")


BAD = {"cut": "damaged|cut off", "junk": "no certificate", "empty": "no certificate|empty",
       "wrong": "key is not that of", "keyless": "no private key", "weak": "1024 bits",
       "gone": "No such file"}


@test("a replacement that is no good is reported, and the one that was there serves on")
def _():
    made = certificates()
    sites = ""
    for name in (*BAD, "tiny", "other"):
        made.issue(name, "root", [f"DNS:{name}.test"], key="rsa1024" if name == "tiny" else "ec")
    good = {name: (made.read(f"{name}.pem"), made.fingerprint(name)) for name in BAD}
    bad = {"cut": good["cut"][0][:300], "junk": "junk", "empty": "", "weak": made.read("tiny.pem"),
           "wrong": made.read("other.crt") + made.read("wrong.key"),
           "keyless": made.read("keyless.crt")}
    for name in BAD:
        sites += f', {{ name = "{name}"; hosts = [ "{name}.test" ]; welcome = true; ' \
                 f'certificates = "@PEM@/{name}.pem"; }}'
    made.issue("sound", "root", ["DNS:site.test"])
    with start('tls = { certificates = "@PEM@/sound.pem"; };', sites) as daemon:
        for name in BAD:
            equal(shown(daemon, f"{name}.test"), good[name][1], f"certificate of {name} at first")
        for name, text in bad.items():
            made.write(f"{name}.pem", text)
        os.unlink(made.path("gone.pem"))
        for name, words in BAD.items():
            daemon.wait_log(f"{name}.pem.*({words}).*serves on")
            equal(shown(daemon, f"{name}.test"), good[name][1], f"certificate of {name}")
        with TlsClient(daemon.address("tls"), trusting(), "cut.test") as c:
            equal(c.ask(get(host="cut.test")).status, 200, "status")
        daemon.reload()
        for name in BAD:
            equal(shown(daemon, f"{name}.test"), good[name][1], f"{name} after a reload")
            made.write(f"{name}.pem", good[name][0])
            daemon.wait_log(f"{name}.pem: (is good again|taken over)")


@test("a start, or a check, without a good certificate says what is wrong")
def _():
    made = certificates()
    made.issue("first", "root", ["DNS:site.test"])
    with start('tls = { certificates = "@PEM@/first.pem"; };') as daemon:
        made.write("first.pem", "nothing")
        done = daemon.command("check", status=1)
        check("Traceback" not in done, done)
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("first.pem.*no certificate")


@test("an expired certificate is told of, in the log and in the metrics")
def _():
    made = certificates()
    made.issue("old", "root", ["DNS:site.test"], days=-1)
    with start('tls = { certificates = "@PEM@/old.pem"; };') as daemon:
        daemon.wait_log("old.pem: (has )?expired")
        until(lambda: any("certificate" in name and "expired" in name and value == 1
                          for name, value in daemon.metrics().items()), "it is in the metrics")


# ---- OCSP


def stapled(daemon, name="site.test"):
    """What s_client says of the response that was stapled."""
    found = SClient(daemon.address("tls"), "-status", name=name)
    if found.has("OCSP response: no response sent"):
        return None
    return found.find(r"Cert Status: (\w+)")[1]


@test("OCSP: the responder's answer is stapled, and stays when the responder is down")
def _():
    made = certificates()
    made.issue("staple", "root", ["DNS:site.test"], chain=["root"],
               more=[f"authorityInfoAccess=OCSP;URI:{responder().url()}"])
    with start('tls = { certificates = "@PEM@/staple.pem"; };') as daemon:
        stapled(daemon)
        until(lambda: stapled(daemon) == "good", "a response is stapled")
        responder().is_down = True
        asked = responder().asked
        try:
            daemon.reload()
            for _ in range(3):
                equal(stapled(daemon), "good", "stapled while the responder is down")
        finally:
            responder().is_down = False
        check(responder().asked <= asked + 2, "the responder is asked again and again")


@test("OCSP: nothing is stapled where that is not wanted, or the responder says nothing good")
def _():
    made = certificates()
    made.issue("silent", "root", ["DNS:site.test"], chain=["root"],
               more=[f"authorityInfoAccess=OCSP;URI:{responder().url()}"])
    asked = responder().asked
    with start('tls = { staple = false; certificates = "@PEM@/silent.pem"; };') as daemon:
        equal(stapled(daemon), None, "stapled")
        equal(responder().asked, asked, "questions")
    responder().is_down = True
    try:
        with start('tls = { certificates = "@PEM@/silent.pem"; };') as daemon:
            stapled(daemon)
            until(lambda: responder().asked > asked, "the responder is asked")
            equal(stapled(daemon), None, "stapled")
            daemon.wait_log("OCSP|ocsp")
    finally:
        responder().is_down = False


# ---- many


def resident(daemon):
    """MiB of the worker process."""
    pages = 0
    for pid in daemon.children():
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            pages += int(file.read().split()[1])
    return pages / 256


def is_sanitized(daemon):
    with open(f"/proc/{daemon.children()[0]}/maps", encoding="utf-8") as file:
        text = file.read()
    return "libasan" in text or "libtsan" in text


def many(count):
    """Sites with a file each: different keys for some, the same certificate under many names
    for the rest, as making ten thousand takes longer than any test may."""
    made = certificates()
    if not os.path.exists(made.path("kind0.pem")):
        for i in range(8):
            made.issue(f"kind{i}", "root", ["DNS:*.many.test"], key="rsa" if i == 0 else "ec")
    folder = made.path(f"many{count}")
    os.mkdir(folder)
    for i in range(count):
        os.link(made.path(f"kind{i % 8}.pem"), f"{folder}/{i}.pem")
    return "".join(f',{{ name = "s{i}"; hosts = [ "s{i}.many.test" ]; welcome = true; '
                   f'certificates = "{folder}/{i}.pem"; }}\n' for i in range(count))


def serve_many(count, most_mib):
    made = certificates()
    sites = many(count)
    made.issue("rest", "root", ["DNS:site.test"])
    with start('tls = { certificates = "@PEM@/rest.pem"; };', sites) as daemon:
        took = worked(daemon)
        check(took < 4 * FACTOR + count / 2500, f"the start took {took:.1f} s of work")
        empty = resident(daemon)
        step = max(1, count // 200)
        for i in range(0, count, step):
            equal(shown(daemon, f"s{i}.many.test"), made.fingerprint(f"kind{i % 8}"), f"site {i}")
        check(is_sanitized(daemon) or resident(daemon) - empty < most_mib,
              f"memory went from {empty:.0f} to {resident(daemon):.0f} MiB")
        last = count - 1
        with open(made.path("many.new"), "w", encoding="ascii") as file:
            file.write(made.read("kind0.pem" if last % 8 else "kind1.pem"))
        os.chmod(made.path("many.new"), 0o644)
        shown(daemon, f"s{last}.many.test")
        os.replace(made.path("many.new"), made.path(f"many{count}/{last}.pem"))
        wanted = made.fingerprint("kind0" if last % 8 else "kind1")
        until(lambda: shown(daemon, f"s{last}.many.test") == wanted, "the swap is seen")


@test("500 certificates")
def _():
    serve_many(500, 40)


@test("10,000 certificates: a quick start, and a swap among them", timeout=180, heavy=True)
def _():
    serve_many(10_000, 100)


main()
