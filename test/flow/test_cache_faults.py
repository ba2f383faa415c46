# SPDX-License-Identifier: BSD-2-Clause
"""The cache on a disk that fails, hangs or runs full: answers stay right, and come
(cache/disk.h, modes/finding.h)."""

import glob
import mmap
import os
import random
import shutil
import socket
import subprocess
import time

from bascule_flow import (REVERSE, WAIT, Client, CutShort, Daemon, Failure, Origin, Skip, answer,
                          check, equal, get, main, once, test)
from caching import Front, canary, is_hit, outcome
from daemon import open_folder
from peers import until

CONF = """
workers = 2;
stop_timeout = "2s";
stores = (
    { name = "main"; path = "@FOLDER@/main"; memory = "@MEMORY@"; max_memory_object = "128K";
      disk = "@DISK@"; segment = "2M"; min_free = "0"; threads = 2; verify = "@VERIFY@"; }
);
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } @MORE@
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = [ "127.0.0.1:@ORIGIN@" ]; }
);
sites = (
    { name = "all"; default = true; group = "origin"; cache = "main"; }
);
"""
WEB = Front(REVERSE, "HTTP/1.1")
FRESH = "Cache-Control: max-age=6000"
SIZES = (100, 5000, 60_000, 300_000, 900_000)

# What is done to segments fails or waits as the bytes of a file say: how many of a hundred
# reads, of a hundred writes, of a hundred syncs fail; whether all of them wait.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READS, WRITES, SYNCS, WAITS, OPENS };

static volatile unsigned char *plan;

static int
fails(int fd, int what)
{
    static _Thread_local unsigned seed;
    char link[64], target[512];
    ssize_t bytes;

    if (plan == NULL) {
        int file = open(getenv("FAULT_PLAN"), O_RDONLY | O_CLOEXEC);

        plan = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
        close(file);
    }
    if (plan[what] == 0 && plan[WAITS] == 0)
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    bytes = readlink(link, target, sizeof(target) - 1);
    target[bytes > 0 ? bytes : 0] = '\0';
    if (strstr(target, ".seg") == NULL)
        return 0;
    while (plan[WAITS] != 0)
        usleep(2000);
    if (seed == 0)
        seed = (unsigned)gettid();
    if ((unsigned)rand_r(&seed) / 7 % 100 >= plan[what])
        return 0;
    errno = EIO;
    return 1;
}

#define NEXT(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
#define SHIMS(suffix) \
    ssize_t pread##suffix(int fd, void *to, size_t n, off_t at) \
    { \
        return fails(fd, READS) ? -1 : NEXT(ssize_t, "pread64", int, void *, size_t, off_t) \
                                           (fd, to, n, at); \
    } \
    ssize_t pwrite##suffix(int fd, const void *from, size_t n, off_t at) \
    { \
        return fails(fd, WRITES) ? -1 : NEXT(ssize_t, "pwrite64", int, const void *, size_t, \
                                             off_t)(fd, from, n, at); \
    } \
    ssize_t pwritev##suffix(int fd, const struct iovec *iov, int n, off_t at) \
    { \
        return fails(fd, WRITES) ? -1 : NEXT(ssize_t, "pwritev64", int, const struct iovec *, \
                                             int, off_t)(fd, iov, n, at); \
    }
SHIMS()
SHIMS(64)

/* The store's lock, which is opened when the store is, on a disk that is read-only. */
int
openat(int folder, const char *name, int flags, ...)
{
    va_list more;
    int mode;

    va_start(more, flags);
    mode = va_arg(more, int);
    va_end(more);
    if (strcmp(name, "lock") == 0) {
        fails(folder, READS); /* for the plan */
        if (plan[OPENS] != 0) {
            errno = EROFS;
            return -1;
        }
    }
    return NEXT(int, "openat64", int, const char *, int, ...)(folder, name, flags, mode);
}

int fdatasync(int fd) { return fails(fd, SYNCS) ? -1 : NEXT(int, "fdatasync", int)(fd); }
"""
READS, WRITES, SYNCS, WAITS, OPENS = range(5)


@once
def origin():
    return Origin(lambda request, link: answer(canary(request.target), FRESH))


class Faults:
    """A disk that does as it is told, and a folder on it."""

    def __init__(self):
        if shutil.which("cc") is None:
            raise Skip("no compiler")
        self.folder = open_folder("bascule-faults-")
        self.plan_path = f"{self.folder}/plan"
        self.shim = f"{self.folder}/shim.so"
        with open(self.plan_path, "wb") as file:
            file.write(bytes(4096))
        os.chmod(self.plan_path, 0o644)
        with open(f"{self.folder}/shim.c", "w", encoding="ascii") as file:
            file.write(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.shim, f"{self.folder}/shim.c",
                        "-ldl"], check=True, timeout=60)
        with open(self.plan_path, "r+b") as file:
            self.plan = mmap.mmap(file.fileno(), 4096)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.set()
        shutil.rmtree(self.folder, ignore_errors=True)

    def set(self, **values):
        """Percentages by name; waits=1: all waits until it is 0 again. What is not said is 0."""
        for number, name in enumerate(("reads", "writes", "syncs", "waits", "opens")):
            self.plan[number] = values.get(name, 0)

    def start(self, **values):
        env = dict(os.environ, LD_PRELOAD=self.shim, FAULT_PLAN=self.plan_path)
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return Daemon(CONF, env=env, ORIGIN=origin().port, FOLDER=self.folder,
                      **{"DISK": "64M", "VERIFY": "once", "MEMORY": "4M", "MORE": "",
                         **values})


def ask(daemon, path):
    """The answer, whose content is checked."""
    found = WEB.ask(daemon, 0, path, host="site.test")
    equal(found.status, 200, f"status for {path}")
    check(found.body == canary(path), f"{path}: {len(found.body)} bytes that are not its own, "
                                      f"such as {bytes(found.body[:60])!r}")
    return found


def disk(daemon, name):
    return daemon.metrics()[f'bascule_store_disk_{name}{{store="main"}}']


def wait_loaded(daemon):
    until(lambda: disk(daemon, "ready") == 1, "the disk is ready")


def nameless(daemon):
    """Segments that are open but have no name any more."""
    count = 0
    for child in daemon.children():
        for link in glob.glob(f"/proc/{child}/fd/*"):
            try:
                count += ".seg (deleted)" in os.readlink(link)
            except OSError:
                pass  # closed meanwhile
    return count


@test("the space of reclaimed segments is given back, also while heads of what was there are "
      "in memory", timeout=120)
def _():
    with Faults() as faults, faults.start(DISK="16M") as daemon:
        for n in range(100):
            ask(daemon, f"/long{n}-400000")
        until(lambda: disk(daemon, "reclaimed_segments_total") > 8, "segments are reclaimed")
        until(lambda: nameless(daemon) == 0, "all of them are closed")


@test("a disk that cannot be used at the start is no reason not to serve")
def _():
    with Faults() as faults:
        faults.set(opens=1)
        with faults.start() as daemon:
            ask(daemon, "/kept-500")
            check("hit" in outcome(ask(daemon, "/kept-500")), "memory answers")
            daemon.wait_log("Read-only file system: it keeps things in memory only")


def shake(daemon, seed, rounds):
    """Asks for all kinds of things; they are right, or cut. How many were cut."""
    dice = random.Random(seed)
    cut = 0
    for _ in range(rounds):
        n = dice.randrange(100)
        try:
            ask(daemon, f"/shaken{n}-{SIZES[n % 5]}")
        except CutShort:
            cut += 1
    return cut


@test("a reload that is refused leaves the limits of stores as they were")
def _():
    missing = ', { name = "tls"; mode = "reverse"; listen = "127.0.0.1:0"; ' \
              'tls = { certificates = "/nowhere/at/all.pem"; }; }'
    limit = 'bascule_store_memory_max_bytes{store="main"}'

    with Faults() as faults, faults.start() as daemon:
        daemon.reload(CONF, MEMORY="1M", MORE=missing)
        daemon.wait_log("error .*serves on")
        equal(daemon.metrics()[limit], 4 << 20, "memory")
        daemon.reload(CONF, MEMORY="1M", MORE="")
        equal(daemon.metrics()[limit], 1 << 20, "memory")


@test("a disk that fails now and then makes no answer wrong, and is used again when it does not",
      timeout=120)
def _():
    for verify in ("once", "always"):
        with Faults() as faults:
            with faults.start(VERIFY=verify) as daemon:
                for plan in ({"reads": 20}, {"writes": 20}, {"syncs": 50},
                             {"reads": 10, "writes": 10, "syncs": 10}, {"writes": 100}):
                    shake(daemon, 1, 60)
                    faults.set(**plan)
                    shake(daemon, 2, 100)
                    faults.set()
                wait_loaded(daemon)
            with faults.start(VERIFY=verify) as daemon:
                wait_loaded(daemon)
                equal(shake(daemon, 3, 100), 0, "answers that were cut by a good disk")
                shake(daemon, 3, 100)
                is_hit(ask(daemon, "/shaken0-100"))
                ask(daemon, "/shaken4-900000")
                is_hit(ask(daemon, "/shaken4-900000"))


@test("a disk that hangs holds up nobody for long, and nothing that is in memory", timeout=120)
def _():
    with Faults() as faults:
        with faults.start() as daemon:
            for n in range(10):
                ask(daemon, f"/cold{n}-5000")
        with faults.start() as daemon:
            wait_loaded(daemon)
            ask(daemon, "/warm-5000")
            faults.set(waits=1)
            is_hit(ask(daemon, "/warm-5000"))
            ask(daemon, "/new-5000")
            ask(daemon, "/new-900000")
            begin = time.monotonic()
            ask(daemon, "/cold1-5000")
            check(time.monotonic() - begin < 10, "an answer took too long")
            faults.set()
            until(lambda: "hit" in outcome(ask(daemon, "/cold2-5000")), "the disk is used again")


@test("content that a hanging disk does not give any more is cut", timeout=120, timely=True)
def _():
    with Faults() as faults:
        with faults.start(VERIFY="always") as daemon:
            ask(daemon, "/cold-6000000")
        with faults.start(VERIFY="always") as daemon, Client(daemon.address("web")) as client:
            wait_loaded(daemon)
            # More than sockets take: not all of it is on its way when the disk begins to hang.
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send(get("/cold-6000000", "Range: bytes=0-5999999"))
            equal(client.fill(), True, "something came")
            faults.set(waits=1)
            begin = time.monotonic()
            try:
                while len(client.buffer) < 6_000_000 and client.fill(wait=3 * WAIT):
                    pass
            except Failure as failure:
                check(False, f"it is not cut: {failure}")
            check(len(client.buffer) < 6_000_000, "all of it came")
            check(time.monotonic() - begin < 2 * WAIT, "it took too long")
            faults.set()
            until(lambda: "hit" in outcome(ask(daemon, "/cold-6000000")), "the disk is used again")


@test("it can be stopped while the disk hangs", timeout=120)
def _():
    with Faults() as faults:
        with faults.start() as daemon:
            ask(daemon, "/cold-5000")
        daemon = faults.start()
        try:
            wait_loaded(daemon)
            faults.set(waits=1)
            with Client(daemon.address("web")) as client:
                client.send(get("/cold-5000"))
                ask(daemon, "/new-900000")
                begin = time.monotonic()
                daemon.stop(wait=30)
                check(time.monotonic() - begin < 15, "it took too long")
        finally:
            faults.set()
            daemon.kill()


main()
