# SPDX-License-Identifier: BSD-2-Clause
"""The disk tier: what it keeps over restarts, crashes and damage, and that nothing it gives is ever
another thing than what was stored (cache/disk.h, cache/segment.h)."""

import contextlib
import glob
import os
import random
import resource
import shutil
import signal
import socket
import threading
import time

from bascule_flow import (FACTOR, REVERSE, WAIT, Client, CutShort, Daemon, Failure, Origin, answer,
                          check, equal, get, main, once, test)
from caching import Front, is_hit, outcome
from certs import Certificates
from daemon import open_folder
from h2 import h2s, request
from peers import until
from secure import TlsClient, trusting

CONF = """
workers = 2;
stores = (
    { name = "main"; path = "@FOLDER@/main"; memory = "1M"; max_memory_object = "128K";
      disk = "@DISK@"; segment = "@SEGMENT@"; min_free = "0"; verify = "@VERIFY@"; },
    { name = "second"; path = "@FOLDER@/second"; memory = "1M"; max_memory_object = "128K";
      disk = "16M"; segment = "1M"; min_free = "0"; }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; },
    { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; tls = { certificates = "@PEM@"; }; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "all"; default = true; group = "origin"; cache = "main"; routes = (
        { path_prefix = "/second/"; cache = "second"; } ); }
);
"""
WEB = Front(REVERSE, "HTTP/1.1")
WEB2 = Front(REVERSE, "HTTP/2")
FRESH = "Cache-Control: max-age=6000"
KILLS = 50


def canary(path):
    """Content that says whose it is, everywhere: "/NAME-SIZE"."""
    size = int(path.rpartition("-")[2])
    word = f"{path} is {size} long|".encode()
    return (word * (size // len(word) + 1))[:size]


@once
def origin():
    return Origin(lambda request, link: answer(canary(request.target), FRESH))


@once
def certificates():
    return Certificates()


@once
def pem():
    certificates().authority("root")
    return certificates().issue("site", "root", ["DNS:site.test"])


class Folder:
    """Of stores, for daemons one after the other."""

    def __init__(self):
        self.path = open_folder("bascule-stores-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def start(self, **values):
        return Daemon(CONF, ORIGIN=origin().port, PEM=pem(), FOLDER=self.path,
                      **{"DISK": "256M", "SEGMENT": "4M", "VERIFY": "once", **values})

    def segments(self, name="main"):
        return sorted(glob.glob(f"{self.path}/{name}/**/*.seg", recursive=True))

    def bytes(self):
        """How long all segments are together."""
        total = 0
        for path in self.segments():
            with contextlib.suppress(FileNotFoundError):  # it was reclaimed meanwhile
                total += os.path.getsize(path)
        return total


def ask(daemon, path, front=WEB):
    """The answer, whose content is checked."""
    found = front.ask(daemon, 0, path, host="site.test")
    equal(found.status, 200, f"status for {path}")
    check(found.body == canary(path), f"{path}: {len(found.body)} bytes that are not its own, "
                                      f"such as {bytes(found.body[:60])!r}")
    return found


def hits(daemon, paths):
    return sum("hit" in outcome(ask(daemon, path)) for path in paths)


def disk(daemon, name, store="main"):
    return daemon.metrics()[f'bascule_store_disk_{name}{{store="{store}"}}']


def wait_loaded(daemon):
    until(lambda: disk(daemon, "ready") == 1, "the disk is ready")


def paths_of(words, sizes, count):
    return [f"/{words}{n}-{sizes[n % len(sizes)]}" for n in range(count)]


SIZES = (1, 100, 5000, 60_000, 127_000, 300_000)


# ---- what stays


@test("what is stored is there after a restart, small and large, also what was just written")
def _():
    paths = paths_of("a", SIZES, 60) + ["/big-3000000", "/bigger-6000001"]
    with Folder() as folder:
        with folder.start() as daemon:
            equal(hits(daemon, paths), 0, "hits before")
        for _ in range(2):
            with folder.start() as daemon:
                wait_loaded(daemon)
                count = len(origin().requests)
                equal(hits(daemon, paths), len(paths), "hits after a restart")
                equal(hits(daemon, paths), len(paths), "hits again")
                equal(len(origin().requests), count, "requests at the origin")
                check(disk(daemon, "reads_total") > 0, "nothing was read from disk")


@test("it serves before its index is loaded, and HEAD, ranges and conditions from disk")
def _():
    paths = paths_of("b", SIZES, 30)
    with Folder() as folder:
        with folder.start() as daemon:
            hits(daemon, paths)
        with folder.start() as daemon:
            for path in paths[:3]:
                ask(daemon, path)
            wait_loaded(daemon)
            for path in paths[3:]:
                found = WEB.ask(daemon, 0, path, host="site.test", method="HEAD")
                size = len(canary(path))
                is_hit(found)
                equal(found.get("Content-Length"), str(size), "Content-Length of HEAD")
                if size > 20:
                    found = is_hit(WEB.ask(daemon, 0, path, f"Range: bytes=10-{size - 5}",
                                           host="site.test"))
                    equal((found.status, found.body == canary(path)[10:size - 4]), (206, True),
                          f"a range of {path}")


@test("large content is the same by sendfile, by TLS and by HTTP/2, cold and warm")
def _():
    path = "/large-2500011"
    context = trusting(certificates().path("root.pem"))
    with Folder() as folder:
        with folder.start() as daemon:
            ask(daemon, path)

        def by_tls(daemon):
            with TlsClient(daemon.address("tls"), context) as client:
                return client.ask(get(path))

        def by_h2s(daemon):
            with h2s(daemon.address("tls"), context=trusting(certificates().path("root.pem"),
                                                             alpn=("h2",))) as client:
                return client.greet().ask(request(path, scheme="https"))

        with folder.start() as daemon:  # another key than http://
            for way in (by_tls, by_h2s):
                equal(way(daemon).body == canary(path), True, "content by https://")
        for verify in ("once", "always"):
            for way in (lambda d: ask(d, path), lambda d: ask(d, path, WEB2), by_tls, by_h2s):
                with folder.start(VERIFY=verify) as daemon:
                    wait_loaded(daemon)
                    for _ in range(2):
                        found = is_hit(way(daemon))
                        equal(found.body == canary(path), True, "content")


@test("what has just been fetched is given again while it is still being written")
def _():
    failures = []

    def fetch(daemon, number):
        try:
            for n in range(25):
                for _ in range(2):
                    ask(daemon, f"/soon{number}x{n}-700000")
        except Exception as error:
            failures.append(f"{type(error).__name__}: {str(error)[:200]}")

    with Folder() as folder, folder.start(DISK="16M", SEGMENT="2M") as daemon:
        threads = [threading.Thread(target=fetch, args=(daemon, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    equal(failures, [], "failures")


@test("two stores keep apart, and a folder belongs to one daemon")
def _():
    with Folder() as folder:
        with folder.start() as daemon:
            paths = paths_of("second/a", SIZES, 12)
            hits(daemon, paths)
            until(lambda: disk(daemon, "writes_total", "second") >= 12, "they are written")
            equal(disk(daemon, "objects"), 0, "objects in the other store")
            try:
                folder.start().kill()
                check(False, "a second daemon took the same folder")
            except Failure as failure:
                check(folder.path in str(failure) and "READY" in str(failure),
                      f"it says: {failure}")
            equal(hits(daemon, paths), 12, "hits afterwards")


# ---- crashes


class Load:
    """Clients that ask for all kinds of things, and judge what they get."""

    def __init__(self, daemon, words, seed):
        self.daemon, self.words, self.seed = daemon, words, seed
        self.over = threading.Event()
        self.wrong = []
        self.count = 0
        address = daemon.address("web")
        self.threads = [threading.Thread(target=self.run, args=(n, address)) for n in range(3)]
        for thread in self.threads:
            thread.start()

    def run(self, number, address):
        dice = random.Random(self.seed * 10 + number)
        while not self.over.is_set():
            try:
                with Client(address) as client:
                    while not self.over.is_set():
                        n = dice.randrange(80)
                        path = f"/{self.words}{n}-{(1_500_000, *SIZES)[n % 7]}"
                        found = client.ask(get(path))
                        if found.status == 200 and found.body != canary(path):
                            self.wrong.append((path, bytes(found.body[:50]), len(found.body)))
                        self.count += 1
            except (OSError, CutShort, Failure):
                pass  # it was killed

    def wait(self, count):
        end = time.monotonic() + WAIT
        goal = self.count + count
        while self.count < goal and time.monotonic() < end:
            time.sleep(0.002)  # a crash comes at any time

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


@test("killed at any moment under load, it never gives a wrong or a cut answer as a whole one",
      timeout=150)
def _():
    with Folder() as folder:
        wrong = []
        kept = 0
        end = time.monotonic() + 40 * FACTOR
        for n in range(KILLS):
            if n > KILLS // 3 and time.monotonic() > end:
                break  # a slow machine has not all day
            daemon = folder.start(DISK="64M")
            try:
                load = Load(daemon, "k", n)
                load.wait(5 + n % 40)
                if n % 2:
                    wait_loaded(daemon)
                    kept = max(kept, disk(daemon, "objects"))
                os.kill(daemon.children()[0], signal.SIGKILL)
                daemon.signal(signal.SIGKILL)
                daemon.process.wait()
                load.end()
                wrong += load.wrong
            finally:
                load.end()
                daemon.kill()
        equal(wrong[:3], [], f"wrong answers, of {len(wrong)}")
        check(kept > 20, f"hardly anything survived: {kept} objects")
        with folder.start(DISK="64M") as daemon:
            wait_loaded(daemon)
            for n in range(80):
                ask(daemon, f"/k{n}-{(1_500_000, *SIZES)[n % 7]}")


@test("when its worker process is killed, the next one finds what was stored", timeout=120)
def _():
    paths = paths_of("w", SIZES, 30)
    with Folder() as folder, folder.start() as daemon:
        daemon.may_restart = True
        hits(daemon, paths)
        until(lambda: disk(daemon, "writes_total") >= 30, "all is written")
        for _ in range(3):
            child = daemon.children()[0]
            os.kill(child, signal.SIGKILL)
            until(lambda child=child: daemon.children() and child not in daemon.children(),
                  "another worker process")

            def is_ready():
                try:
                    daemon.known_addresses = None
                    return disk(daemon, "ready") == 1
                except (Failure, KeyError):
                    return False  # it has just begun

            until(is_ready, "the disk is ready")
            equal(hits(daemon, paths), 30, "hits after a kill")


# ---- damage


def ask_twice(daemon, path):
    """What was begun and turns out to be damaged is cut; then it is fetched. True: a hit."""
    try:
        return "hit" in outcome(ask(daemon, path))
    except CutShort:
        ask(daemon, path)
        return False


def damaged(damage, verify="once"):
    """All that is asked for is right, whatever damage() did to the segments. The number of hits."""
    paths = paths_of("d", SIZES, 60) + ["/dbig-2000000"]
    with Folder() as folder:
        with folder.start() as daemon:
            hits(daemon, paths)
        damage(folder)
        with folder.start(VERIFY=verify) as daemon:
            wait_loaded(daemon)
            found = sum(ask_twice(daemon, path) for path in paths)
            hits(daemon, paths)
            equal(hits(daemon, paths), len(paths), "hits when all was fetched again")
            return found


@test("flipped bytes in segments are never given", timeout=120)
def _():
    dice = random.Random(1)

    def flip(folder, count):
        for path in folder.segments():
            with open(path, "r+b") as file:
                size = os.path.getsize(path)
                for _ in range(count):
                    at = dice.randrange(size)
                    file.seek(at)
                    byte = file.read(1)
                    file.seek(at)
                    file.write(bytes([byte[0] ^ 1 << dice.randrange(8)]))

    for count in (1, 30, 1000):
        for verify in ("once", "always"):
            found = damaged(lambda folder, count=count: flip(folder, count), verify)
            check(found > 0 or count > 30, "one byte made all of it useless")


@test("segments that are cut, empty, made of zeros, or of another folder hurt nobody", timeout=120)
def _():
    def each(do):
        def damage(folder):
            for n, path in enumerate(folder.segments()):
                do(n, path, os.path.getsize(path))
        return damage

    def zero(_n, path, size):
        with open(path, "r+b") as file:
            file.seek(size // 2)
            file.write(bytes(size // 4))

    def swap(folder):
        one, other = folder.segments()[:2]
        os.rename(one, one + ".x")
        os.rename(other, one)
        os.rename(one + ".x", other)

    def repeat(folder):
        for path in folder.segments():
            with open(path, "r+b") as file:
                data = file.read()
                file.write(data)

    for damage in (each(lambda n, path, size: os.truncate(path, size // 2)),
                   each(lambda n, path, size: os.truncate(path, size - 1)),
                   each(lambda n, path, size: os.truncate(path, 0)), each(zero), swap, repeat,
                   each(lambda n, path, size: os.unlink(path) if n % 2 else None)):
        damaged(damage)


@test("bytes that change under a running daemon are never given, if it verifies always")
def _():
    paths = paths_of("r", (300_000, 2_000_000), 8)
    with Folder() as folder, folder.start(VERIFY="always") as daemon:
        for _ in range(2):
            hits(daemon, paths)
        until(lambda: disk(daemon, "writes_total") >= 8, "all is written")
        for path in folder.segments():
            with open(path, "r+b") as file:
                for at in range(5000, os.path.getsize(path), 50_000):
                    file.seek(at)
                    file.write(b"\0WRONG\0")
        equal(sum(ask_twice(daemon, path) for path in paths), 0, "hits, where all is damaged")
        equal(hits(daemon, paths), len(paths), "hits when all was fetched again")


def full(folder, daemon):
    paths = paths_of("f", (100_000, 300_000), 40)
    for path in paths:
        ask(daemon, path)
    daemon.wait_log(r"error .*" + folder.path)
    for path in paths:
        ask(daemon, path)
    for front in (WEB, WEB2):
        ask(daemon, "/after-3000000", front)


@test("a disk that takes nothing more is said in the log, and no request fails")
def _():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Folder() as folder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        try:
            daemon = folder.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        with daemon:
            full(folder, daemon)


@test("no more is on disk than may be, and who reads what is reclaimed gets all of it", timeout=120)
def _():
    path = "/stalled-900000"
    with Folder() as folder, folder.start(DISK="16M", SEGMENT="2M") as daemon:
        ask(daemon, path)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(WAIT)
        host, _, port = daemon.address("web").rpartition(":")
        sock.connect((host, int(port)))
        with Client.__new__(Client) as stalled:
            super(Client, stalled).__init__(sock)
            stalled.send(get(path))
            check(stalled.fill(), "the answer begins")
            for n in range(120):
                ask(daemon, f"/other{n}-400000")
            until(lambda: disk(daemon, "reclaimed_segments_total") > 8, "segments are reclaimed")
            found = stalled.read()
            is_hit(found)
            equal(found.body == canary(path), True, "what the stalled client got")
        until(lambda: folder.bytes() <= 18 << 20, "no more is on disk than may be")


main()
