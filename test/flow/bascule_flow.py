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

The parts are in wire.py (streams, messages, the client), origin.py and daemon.py.

Environment: BASCULE, the program to test; BASCULE_TEST_FACTOR, how much more time to
give (sanitizers are slow); BASCULE_TEST_LIGHT, leave out tests marked heavy.
"""

import dataclasses
import os
import signal
import sys
import traceback

from daemon import (BOTH_MODES, FORWARD, REVERSE, WAYS, Daemon, Way, both_modes, last_words,
                    program, running)
from origin import Link, Origin, bytewise, canned
from wire import (FACTOR, WAIT, Client, CutShort, Failure, Malformed, Skip, Stream, answer,
                  answer_chunked, ask, check, chunks, connect, equal, get, head, one_of, post,
                  read_response)

__all__ = [
    "BOTH_MODES", "FACTOR", "FORWARD", "REVERSE", "WAIT", "WAYS", "Client", "CutShort", "Daemon",
    "Failure", "Link", "Malformed", "Origin", "Skip", "Stream", "Way", "answer", "answer_chunked",
    "ask", "both_modes", "bytewise", "canned", "check", "chunks", "connect", "equal", "get", "head",
    "main", "once", "one_of", "post", "program", "read_response", "test",
]


@dataclasses.dataclass
class Test:
    promise: str
    run: object
    timeout: float
    heavy: bool


_tests = []
_shared = []


def test(promise, timeout=20, heavy=False):
    """Makes a function a test of this promise; heavy: left out under the thread sanitizer."""

    def add(function):
        _tests.append(Test(promise, function, timeout * FACTOR, heavy))
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


class _Results:
    def __init__(self, name):
        self.name = name
        self.count = 0
        self.failed = 0

    def run(self, promise, timeout, body):
        self.count += 1
        name = f"{self.count} - {self.name}: {promise}".replace("#", "no.")
        try:
            signal.setitimer(signal.ITIMER_REAL, timeout)
            try:
                body()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
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
                results.run(each.promise, each.timeout, each.run)
        while _shared:
            name, thing = _shared.pop()
            if hasattr(thing, "close"):
                what = "bascule ends cleanly" if isinstance(thing, Daemon) else "ends cleanly"
                results.run(f"{name}: {what}", 3 * WAIT, thing.close)
    finally:
        for daemon in list(running):
            daemon.kill()  # a test that was cut off, or one that made its own
    print(f"1..{results.count}")
    sys.exit(1 if results.failed else 0)
