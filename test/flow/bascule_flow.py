# SPDX-License-Identifier: BSD-2-Clause
"""bascule_flow - plays client and origin around a real Bascule.

A test file declares what its tests share, and a function for each promise:

    from bascule_flow import Client, Daemon, Origin, equal, main, once, test

    origin = once(Origin)

    @once
    def proxy():
        return Daemon(CONF, ORIGIN=origin().port)

    @test("a request is answered")
    def _():
        response = Client(proxy().address("web")).ask(get("/"))
        equal(response.status, 200, "status")

    main()

What once() makes is closed when the file ends, last first; a daemon must then end
with status 0, having logged no report of a sanitizer and no broken must(). Results are
written as TAP (Test Anything Protocol). Every wait is bounded, and nothing sleeps:
a daemon says when it is ready, and origins when a request has come.

A loaded machine may hold up everybody for a second. A test may wait longer for what
comes late, but what has to happen before a deadline strikes can then not be shown: such
tests are marked timely, and one that failed is run again if it was held up meanwhile.

The parts are in wire.py (streams, messages, the client), origin.py and daemon.py.

Environment: BASCULE, the program to test; BASCULE_TEST_FACTOR, how much more time to
give (sanitizers are slow); BASCULE_TEST_LIGHT, leave out tests marked heavy.
"""

import dataclasses
import os
import signal
import sys
import threading
import time
import traceback

from daemon import (BOTH_MODES, FORWARD, REVERSE, WAYS, Daemon, Way, both_modes, last_words,
                    program, running, stolen, waits)
from origin import Link, Origin, bytewise, canned, send_back
from wire import (FACTOR, WAIT, Client, CutShort, Failure, Malformed, Skip, Stream, answer,
                  answer_chunked, ask, check, chunks, connect, connect_head, equal, get, head,
                  one_of, post, read_response)

__all__ = [
    "BOTH_MODES", "FACTOR", "FORWARD", "REVERSE", "WAIT", "WAYS", "Client", "CutShort", "Daemon",
    "Failure", "Link", "Malformed", "Origin", "Skip", "Stream", "Way", "answer", "answer_chunked",
    "ask", "both", "both_modes", "bytewise", "canned", "check", "chunks", "connect", "connect_head",
    "equal", "get", "head", "main", "once", "one_of", "post", "program", "read_response",
    "send_back", "test",
]


@dataclasses.dataclass
class Test:
    promise: str
    run: object
    timeout: float
    heavy: bool
    timely: bool


_tests = []
_shared = []


def test(promise, timeout=60, heavy=False, timely=False):
    """Makes a function a test of this promise; heavy: left out under the sanitizers; timely:
    it keeps clear of a short deadline, if the machine lets it."""

    def add(function):
        _tests.append(Test(promise, function, timeout * FACTOR, heavy, timely))
        return function

    return add


def both(promise, **options):
    """Makes a function of a way to the origin two tests, one for each mode."""

    def add(function):
        for way in WAYS:
            test(f"{way.name}: {promise}", **options)(lambda way=way: function(way))
        return function

    return add


def once(make):
    """A function that makes something on its first call and then lends it. What it
    made is closed at the end of the file; failing to make it fails every user."""
    made = []

    def lend():
        if not made:
            try:
                thing = make()
            except Exception as error:
                made.append((None, error if isinstance(error, Skip) else
                             Failure(f"{make.__name__}() failed: {error}")))
                raise
            made.append((thing, None))
            _shared.append((make.__name__, thing))
        thing, failure = made[0]
        if failure is not None:
            raise failure
        return thing

    return lend


class _Hindrance(threading.Thread):
    """Notices when the machine holds up this process, or a daemon, for longer than a test that
    keeps clear of deadlines reckons with."""

    MOST = 0.1  # seconds
    TICK = 0.02

    def __init__(self):
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.longest = 0.0
        self.waits = {}
        self.waited = 0.0

    def __enter__(self):
        self.waits = self._all_waits()
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
        self.waited = sum(seconds - self.waits.get(who, 0)
                          for who, seconds in self._all_waits().items())

    def run(self):
        last = time.monotonic()
        while not self.ended.wait(self.TICK):
            now = time.monotonic()
            self.longest = max(self.longest, now - last - self.TICK)
            last = now
        self.longest = max(self.longest, time.monotonic() - last - self.TICK)

    @staticmethod
    def _all_waits():
        """Seconds that threads, of ours and of all daemons, waited for a processor, and that
        processors were with other guests of the machine."""
        found = {"others": stolen(), **waits(os.getpid())}
        for daemon in running:
            found.update(daemon.waits())
        return found

    @property
    def was_felt(self):
        return max(self.longest, self.waited) > self.MOST


class _TooLong(BaseException):
    """Raised by the alarm; not an Exception, so that no test catches it."""


def _on_alarm(*_):
    raise _TooLong()


def _on_term(*_):
    sys.exit(1)


def _why(error):
    if isinstance(error, _TooLong):
        where = traceback.extract_tb(error.__traceback__)
        place = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(where[-5:-1]))
        return f"took too long, in {place}"
    where = [f for f in traceback.extract_tb(error.__traceback__)
             if os.path.basename(f.filename).startswith("test_")]
    place = f" ({os.path.basename(where[-1].filename)}:{where[-1].lineno})" if where else ""
    kind = "" if isinstance(error, Failure) else f"{type(error).__name__}: "
    return f"{kind}{error}{place}"


def _note(text):
    for line in text.splitlines():
        print(f"#   {line}")


ATTEMPTS = 8  # for a timely test


def _attempt(timeout, body):
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        body()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _forget(errors):
    """Leaves no trace of an attempt that does not count."""
    last_words.clear()
    for daemon in running:
        daemon.forget_records()
    for thing, count in errors:
        del thing.errors[count:]


def _attempt_timely(timeout, body):
    """The same until it succeeds, or fails although nothing held it up."""
    for _ in range(ATTEMPTS - 1):
        errors = [(thing, len(thing.errors)) for _, thing in _shared if hasattr(thing, "errors")]
        with _Hindrance() as hindrance:
            try:
                return _attempt(timeout, body)
            except (Failure, OSError) as error:
                failure = error
        if not hindrance.was_felt:
            raise failure
        _forget(errors)
    return _attempt(timeout, body)


class _Results:
    def __init__(self, name):
        self.name = name
        self.count = 0
        self.failed = 0

    def run(self, promise, timeout, body, timely=False):
        self.count += 1
        name = f"{self.count} - {self.name}: {promise}".replace("#", "no.")
        try:
            (_attempt_timely if timely else _attempt)(timeout, body)
        except Skip as reason:
            print(f"ok {name} # SKIP {reason}")
        except (Exception, _TooLong) as error:
            self.failed += 1
            print(f"not ok {name}")
            _note(_why(error))
            for log in [*last_words, *(daemon.log(30) for daemon in running)]:
                if log:
                    _note(f"--- log of bascule\n{log}")
            last_words.clear()
        else:
            print(f"ok {name}")
        sys.stdout.flush()


def main():
    """Runs the tests of the calling file; with arguments, those whose promise has one."""
    words = sys.argv[1:]
    light = bool(os.environ.get("BASCULE_TEST_LIGHT"))
    results = _Results(os.path.basename(sys.argv[0]).removesuffix(".py").removeprefix("test_"))
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.signal(signal.SIGTERM, _on_term)
    try:
        for each in _tests:
            if words and not any(word in each.promise for word in words):
                continue
            if not (each.heavy and light):
                results.run(each.promise, each.timeout, each.run, each.timely)
        while _shared:
            name, thing = _shared.pop()
            if hasattr(thing, "close"):
                what = "bascule ends cleanly" if isinstance(thing, Daemon) else "ends cleanly"
                results.run(f"{name}: {what}", 6 * WAIT, thing.close)
    finally:
        for daemon in list(running):
            daemon.kill()  # a test that was cut off, or one that made its own
    print(f"1..{results.count}")
    sys.exit(1 if results.failed else 0)
