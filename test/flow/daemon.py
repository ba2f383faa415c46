# SPDX-License-Identifier: BSD-2-Clause
"""daemon - the real Bascule, started, watched and stopped."""

import dataclasses
import glob
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from wire import WAIT, Failure, check, equal


def program():
    """The bascule under test."""
    if os.environ.get("BASCULE"):
        return os.environ["BASCULE"]
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    for place in ("build/bascule", "bascule"):
        if os.access(os.path.join(top, place), os.X_OK):
            return os.path.normpath(os.path.join(top, place))
    raise Failure("no bascule to test: set BASCULE")


def filled(text, values):
    """text with each @NAME@ replaced."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    left = re.search(r"@[A-Z][A-Z0-9_]*@", text)
    if left:
        raise Failure(f"{left[0]} has no value")
    return text


REPORTS = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|"
                     r"this must be true:)")


def open_folder(prefix):
    """A new folder, which worker processes can look into: those of root run as nobody."""
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o755)
    return path


def waits(pid):
    """How many seconds each thread of a process was ready to run and no processor was free."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path, encoding="ascii") as file:
                found[path] = int(file.read().split()[1]) / 1e9
        except (OSError, IndexError):
            pass  # the thread has ended
    return found


def stolen():
    """Seconds that processors of this virtual machine were with others, so far."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0


# Every daemon that has not ended: shown when a test fails, killed when a file is cut off.
running = []

# What those said that a failing test had to itself.
last_words = []


class Daemon:
    """A running bascule with a folder of its own (@DIR@ in its configuration).

    A configuration without a control socket gets one. Ready when made.
    """

    def __init__(self, conf, env=None, **values):
        self.dir = open_folder("bascule-")
        self.conf_path = os.path.join(self.dir, "bascule.conf")
        self.values = values
        self.process = None
        self.log_lines = []
        self.record_starts = {}
        self.log_changed = threading.Condition()
        self.expected_status = 0
        self.may_restart = False  # a test that kills the worker process sets it
        self.write_conf(conf)
        running.append(self)
        try:
            self._start(env)
        except BaseException:
            self.kill()
            raise

    # configuration

    def write_conf(self, conf, **values):
        """Replaces the configuration file; reload() makes it count."""
        self.values.update(values)
        text = filled(conf, {**self.values, "DIR": self.dir})
        if not re.search(r"^\s*control\s*[=:]", text, re.M):
            text = f'control = "{self.dir}/control";\n{text}'
        with open(self.conf_path, "w", encoding="utf-8") as file:
            file.write(text)

    def path(self, name):
        return os.path.join(self.dir, name)

    # life

    def _start(self, env):
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(self.path("notify"))
        # The authorities of the machine prove nothing here, and reading them takes longer than
        # all the rest of a start.
        environ = {**os.environ, "NOTIFY_SOCKET": self.path("notify"),
                   "STATE_DIRECTORY": self.path("state"), "SSL_CERT_FILE": os.devnull,
                   **(env or {})}
        self.process = subprocess.Popen(
            [program(), "run", "-c", self.conf_path], env=environ, cwd=self.dir,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pidfd = os.pidfd_open(self.process.pid)
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        self.wait_notice("READY=1")
        self.known_addresses = None
        self.first_children = self.children()

    def start_again(self):
        """After its end: starts another one with the same folder and configuration."""
        self.process.wait(WAIT)
        self.reader.join(WAIT)
        self.notices.close()
        os.unlink(self.path("notify"))
        self._start(None)

    def kill_at_once(self):
        """SIGKILL to all of it, in the middle of whatever it does."""
        children = self.children()
        self.process.kill()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            last_words.append(self.log(30))
            self.kill()

    def _read_log(self):
        for line in self.process.stdout:
            with self.log_changed:
                self.log_lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.log_changed.notify_all()

    @property
    def pid(self):
        """Of the supervisor."""
        return self.process.pid

    def children(self):
        """Process ids of the supervisor's children."""
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
                return [int(word) for word in file.read().split()]
        except FileNotFoundError:
            return []

    def waits(self):
        """How many seconds each of its threads waited for a processor."""
        return {path: seconds for pid in (self.pid, *self.children())
                for path, seconds in waits(pid).items()}

    def wait_notice(self, wanted):
        """Waits for a line the daemon tells systemd (sd_notify). A start may be much work."""
        wait = 3 * WAIT
        end = time.monotonic() + wait
        while True:
            ready, _, _ = select.select([self.notices, self.pidfd], [], [],
                                        max(0, end - time.monotonic()))
            if self.notices in ready:
                if wanted in self.notices.recv(4096).decode().split("\n"):
                    return
            elif self.pidfd in ready:
                self.process.wait()
                self.reader.join(1)
                raise Failure(f"bascule ended with status {self.process.returncode} "
                              f"instead of saying {wanted}:\n{self.log()}")
            else:
                raise Failure(f"bascule did not say {wanted} within {wait:g} s")

    def signal(self, number):
        os.kill(self.pid, number)

    def reload(self, conf=None, **values):
        """SIGHUP, with a new configuration or the old one, until it is served."""
        if conf is not None:
            self.write_conf(conf, **values)
        self.signal(signal.SIGHUP)
        self.wait_notice("RELOADING=1")
        self.wait_notice("READY=1")
        self.known_addresses = None

    def stop(self, wait=None):
        """SIGTERM, and the end of the process. Its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait_end(wait)

    def wait_end(self, wait=None):
        wait = WAIT if wait is None else wait
        try:
            self.process.wait(wait)
        except subprocess.TimeoutExpired:
            raise Failure(f"bascule did not end within {wait:g} s") from None
        self.reader.join(WAIT)
        return self.process.returncode

    def close(self):
        """Stops it if it runs, and judges how it lived and ended."""
        try:
            if self.process.poll() is None:
                children = self.children()
                self.stop()
                check(self.may_restart or children == self.first_children,
                      "the worker process died and was replaced")
            self.reader.join(WAIT)
            report = next((line for line in self.log_lines if REPORTS.search(line)), None)
            check(report is None, f"in the log: {report}")
            equal(self.process.returncode, self.expected_status, "exit status of bascule")
        finally:
            self.kill()

    def kill(self):
        """Ends it and what it started at once, and forgets its folder."""
        if self.process is not None and self.process.poll() is None:
            for pid in self.children():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.kill()
            self.process.wait()
        if self in running:
            running.remove(self)
        if not os.environ.get("BASCULE_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    # what it says

    def log(self, lines=60):
        with self.log_changed:
            return "\n".join(self.log_lines[-lines:])

    def wait_log(self, pattern):
        """Waits for a log line that the expression is found in, and returns the match."""
        found = None

        def look():
            nonlocal found
            found = next((m for line in self.log_lines if (m := re.search(pattern, line))), None)
            return found

        with self.log_changed:
            if not self.log_changed.wait_for(look, WAIT):
                raise Failure(f"the log never said {pattern!r}")
        return found

    def records(self, name="access.log"):
        """The lines so far of an access log in its folder, format json."""
        try:
            with open(self.path(name), encoding="utf-8") as file:
                file.seek(self.record_starts.get(name, 0))
                return [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def forget_records(self):
        """What the access logs say so far is not looked at any more."""
        for name in os.listdir(self.dir):
            if name.endswith(".log"):
                self.record_starts[name] = os.path.getsize(self.path(name))

    def wait_record(self, target, name="access.log"):
        """The access record of the exchange that asked for this target, once it is there."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            for record in self.records(name):
                if record["target"] == target:
                    return record
            time.sleep(0.02)  # a file does not say when it grows
        raise Failure(f"{name} has no line for {target}")

    def command(self, *words, status=0):
        """Runs bascule WORDS -c CONF. Its standard output."""
        done = subprocess.run([program(), *words, "-c", self.conf_path], capture_output=True,
                              text=True, timeout=WAIT, stdin=subprocess.DEVNULL, check=False)
        if status is not None:
            equal(done.returncode, status, f"exit status of bascule {' '.join(words)} "
                  f"({done.stderr.strip()})")
        return done.stdout

    def status(self):
        return json.loads(self.command("status", "--json"))

    def addresses(self, name):
        """Where a listener listens, with the ports the kernel chose."""
        if self.known_addresses is None:
            self.known_addresses = {l["name"]: l["addresses"] for l in self.status()["listeners"]}
        return self.known_addresses[name]

    def address(self, name):
        return self.addresses(name)[0]

    def metrics(self):
        """Every counter: {"name" or "name{labels}": value}."""
        found = {}
        for line in self.command("status", "--metrics").splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found


# ---- configurations used by many tests

# A reverse listener "web", a forward listener "out" that may go to this machine,
# and one origin at 127.0.0.1:@ORIGIN@. @MORE@ is put at the end, @LISTENER@ into both.
BOTH_MODES = """
workers = 2;
forward_to_sites = false; # what is asked of "out" goes out
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; @LISTENER@ },
    { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; @LISTENER@
      allow_destination = [ "127.0.0.0/8" ]; connect_ports = "1-65535"; }
);
groups = (
    { name = "origin"; max_fails = 0; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); }
);
sites = (
    { name = "all"; default = true; group = "origin"; }
);
@MORE@
"""


def both_modes(origin, listener="", more="", **values):
    return Daemon(BOTH_MODES, ORIGIN=origin.port, LISTENER=listener, MORE=more, **values)


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to the origin: through a listener, with targets as its mode wants them."""

    name: str
    listener: str

    def target(self, origin, path):
        return path if self.name == "reverse" else f"http://127.0.0.1:{origin.port}{path}"

    def host(self, origin):
        return f"127.0.0.1:{origin.port}"


REVERSE = Way("reverse", "web")
FORWARD = Way("forward", "out")
WAYS = (REVERSE, FORWARD)
