# SPDX-License-Identifier: BSD-2-Clause
"""Processes and threads: start, reload, restart, stop, the control socket, privileges."""

import contextlib
import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

from bascule_flow import (WAIT, Client, Daemon, Failure, Origin, Skip, answer, ask, check, connect,
                          equal, get, main, once, program, test)
from certs import Certificates
from peers import free_port, freeze
from secure import TlsClient, trusting

os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"  # a name that nobody knows is soon given up

WELCOME = """
workers = @WORKERS@;
listeners = (
    { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; }
    @LISTENER@
);
sites = ( { name = "all"; default = true; welcome = true; } );
@MORE@
"""

SLOW = """
workers = 2;
stop_timeout = "@STOP@";
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; } );
groups = ( { name = "origin"; endpoints = ( { to = "127.0.0.1:@ORIGIN@"; } ); } );
sites = ( { name = "all"; default = true; group = "origin"; } );
"""


def welcome(listener="", more="", workers=2, **values):
    return Daemon(WELCOME, LISTENER=listener, MORE=more, WORKERS=workers, **values)


def is_served(address):
    return ask(address, get("/")).status == 200


def is_refused(address):
    try:
        connect(address).close()
    except (ConnectionRefusedError, ConnectionResetError, FileNotFoundError):
        return True # reset: the socket was closed between its queue and us
    return False


def until(question, words, wait=WAIT):
    """Waits until question() is true."""
    end = time.monotonic() + wait
    while not (found := question()):
        check(time.monotonic() < end, f"{words}: not within {wait:g} s")
        time.sleep(0.01)
    return found


def run(*words, **more):
    return subprocess.run([program(), *words], capture_output=True, text=True, timeout=WAIT,
                          stdin=subprocess.DEVNULL, check=False, **more)


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def status_of(pid):
    """/proc/PID/status as a dictionary."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return {k: v.strip() for k, _, v in (line.partition(":") for line in file)}


class Load:
    """Clients that make a connection for each request, as fast as they can."""

    def __init__(self, address, threads=4):
        self.address = address
        self.done = 0
        self.failures = []
        self.is_over = False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self.is_over:
            try:
                response = ask(self.address, get("/", "Connection: close"))
                check(response.status == 200, response.start)
                with self.lock:
                    self.done += 1
            except (Failure, OSError) as error:
                with self.lock:
                    self.failures.append(f"{type(error).__name__}: {error}")

    def more(self, count):
        """Waits for so many more answers."""
        wanted = self.done + count
        until(lambda: self.done >= wanted or self.failures, "answers under load", 4 * WAIT)

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(WAIT)
        equal(self.failures[:3], [], f"failures among {self.done} requests")


@contextlib.contextmanager
def load(address):
    clients = Load(address)
    try:
        yield clients
    finally:
        clients.is_over = True
    clients.end()


def has_ended(pid):
    try:
        return status_of(pid)["State"].startswith("Z")  # whoever inherits it may be slow
    except FileNotFoundError:
        return True


# ---- start


def started_with(conf):
    """The outcome of bascule run with a configuration that it must refuse."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bascule.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'control = "{folder}/control";\n{conf}')
        done = run("run", "-c", path)
    equal(done.returncode, 1, f"exit status ({done.stderr})")
    return done.stderr, path


@test("a start with a mistake in the file says which and where")
def _():
    words, path = started_with('workers = 2;\nlisteners = (\n  { name = "a"; mode = "revers"; '
                               'listen = "127.0.0.1:0"; } );\n')
    check(f"{path}:4: " in words and "revers" in words, f"it said {words!r}")


@test("a start at an address in use says which address")
def _():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words, _ = started_with(f'listeners = ( {{ name = "a"; mode = "forward"; '
                                f'listen = "127.0.0.1:{port}"; }} );\n')
    check(f"cannot listen on 127.0.0.1:{port}: Address already in use" in words,
          f"it said {words!r}")


@test("a second daemon cannot join the first one's address or control socket")
def _():
    with welcome() as daemon:
        address = daemon.address("web")
        listener = f'listeners = ( {{ name = "a"; mode = "forward"; listen = "%s"; }} );\n'
        words, _ = started_with(listener % address)
        check("Address already in use" in words, f"it said {words!r}")
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(f'control = "{daemon.path("control")}";\n' + listener % "127.0.0.1:0")
            file.flush()
            done = run("run", "-c", file.name)
        equal(done.returncode, 1, "exit status")
        check("/control is in use" in done.stderr, f"it said {done.stderr!r}")
        check(is_served(address), "the first one serves on")
        daemon.status()


# ---- status


@test("status shows what serves, as text, JSON and metrics")
def _():
    with welcome(', { name = "unix"; mode = "reverse"; listen = [ "unix:@DIR@/web", "[::1]:0" ]; }'
                 ) as daemon:
        status = daemon.status()
        equal([(l["name"], l["mode"], len(l["addresses"])) for l in status["listeners"]],
              [("web", "reverse", 1), ("unix", "reverse", 2)], "listeners")
        equal(status["generation"], 1, "generation")
        equal([w["id"] for w in status["workers"]], [0, 1], "workers")
        for address in daemon.addresses("web") + daemon.addresses("unix"):
            check(is_served(address), address)
        with Client(daemon.address("web")) as client:
            client.ask(get("/"))
            until(lambda: daemon.status()["listeners"][0]["connections"] == 1, "one connection")
            until(lambda: daemon.metrics()["bascule_connections_open"] == 1, "one is open")
            metrics = daemon.metrics()
            equal(metrics['bascule_listener_connections_open{listener="web"}'], 1,
                  "of the listener")
            equal(metrics["bascule_connections_accepted_total"], 4, "accepted")
        text = daemon.command("status")
        check("serves generation 1" in text and "unix:" in text, f"status: {text}")


@test("metrics are well-formed, and each has its help and type")
def _():
    with welcome() as daemon:
        known = set()
        for line in daemon.command("status", "--metrics").splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                check(name not in known, f"{name} has two types")
                known.add(name)
                equal(kind == "counter", name.endswith("_total"), f"{name} is a {kind}")
            elif not line.startswith("#"):
                name, value = line.split("{")[0].split(" ")[0], line.rpartition(" ")[2]
                check(name in known, f"{name} has no type")
                float(value)


# ---- reload


@test("a reload opens new addresses, closes old ones and keeps the others")
def _():
    with welcome(', { name = "old"; mode = "reverse"; listen = "127.0.0.1:0"; }') as daemon:
        web, old = daemon.address("web"), daemon.address("old")
        client = Client(web)
        equal(client.ask(get("/")).status, 200, "before")
        daemon.reload(WELCOME, LISTENER=', { name = "new"; mode = "reverse"; '
                                        'listen = [ "127.0.0.1:0", "unix:@DIR@/new" ]; }')
        equal(daemon.address("web"), web, "an address with a port that the kernel chose stays")
        equal(client.ask(get("/")).status, 200, "on a connection from before")
        check(all(is_served(address) for address in daemon.addresses("new")), "the new one serves")
        until(lambda: is_refused(old), "the old one is closed")
        equal(daemon.status()["generation"], 2, "generation")
        client.close()


@test("a reload may widen an address that is served")
def _():
    port = free_port()
    listener = ', {{ name = "b"; mode = "reverse"; listen = "{}:{}"; }}'
    with welcome(listener.format("127.0.0.1", port)) as daemon:
        daemon.reload(WELCOME, LISTENER=listener.format("*", port))
        check(is_served(f"127.0.0.2:{port}"), "at another address")
        check(is_served(f"127.0.0.1:{port}"), "at the old address")


@test("a listener that is renamed keeps its sockets")
def _():
    port = free_port()
    listener = ', {{ name = "{}"; mode = "reverse"; listen = "127.0.0.1:{}"; }}'
    with welcome(listener.format("a", port)) as daemon:
        client = Client(f"127.0.0.1:{port}")
        daemon.reload(WELCOME, LISTENER=listener.format("b", port))
        check(is_served(daemon.address("b")), "under its new name")
        client.close()


@test("a reload of a bad file changes nothing and says why")
def _():
    with welcome() as daemon:
        address = daemon.address("web")
        daemon.write_conf(WELCOME, MORE="nonsense = 1;")
        done = run("reload", "-c", daemon.conf_path, "--control", daemon.path("control"))
        equal(done.returncode, 1, "exit status of reload")
        check("bascule.conf:" in done.stderr and "nonsense" in done.stderr,
              f"reload said {done.stderr!r}")
        daemon.wait_log(r"reload: .*nonsense.*generation 1 serves on")
        check(is_served(address), "it serves on")
        daemon.write_conf(WELCOME, MORE="")
        equal(daemon.status()["generation"], 1, "generation")
        daemon.command("reload")
        check(daemon.status()["generation"] > 1, "a good file counts again")


@test("a reload that cannot have an address changes nothing and says why")
def _():
    with welcome() as daemon, socket.create_server(("127.0.0.1", 0)) as taken:
        address = daemon.address("web")
        new = free_port()
        daemon.write_conf(WELCOME, LISTENER=f', {{ name = "x"; mode = "reverse"; listen = '
                          f'[ "127.0.0.1:{new}", "127.0.0.1:{taken.getsockname()[1]}" ]; }}')
        done = run("reload", "-c", daemon.conf_path)
        equal(done.returncode, 1, "exit status of reload")
        check('listener "x": cannot listen on' in done.stderr, f"reload said {done.stderr!r}")
        check(is_served(address), "it serves on")
        until(lambda: is_refused(f"127.0.0.1:{new}"), "what could be had is given back")


# A host name is looked up where the log is opened: in the worker process.
NO_SUCH_LOG = 'access_logs = ( { name = "far"; to = "syslog:udp:no-such-host.invalid:514"; } );'


@test("a start that only the worker process finds wrong says why")
def _():
    words, _ = started_with('listeners = ( { name = "a"; mode = "forward"; '
                            'listen = "127.0.0.1:0"; } );\n' + NO_SUCH_LOG)
    check("no-such-host.invalid" in words, f"it said {words!r}")


@test("a reload that only the worker process finds wrong changes nothing and says why")
def _():
    new = free_port()
    with welcome(workers=1) as daemon, load(daemon.address("web")) as clients:
        clients.more(20)
        daemon.write_conf(WELCOME, WORKERS=3, MORE=NO_SUCH_LOG,
                          LISTENER=f', {{ name = "x"; mode = "reverse"; '
                                   f'listen = "127.0.0.1:{new}"; }}')
        done = run("reload", "-c", daemon.conf_path)
        equal(done.returncode, 1, "exit status of reload")
        check("no-such-host.invalid" in done.stderr, f"reload said {done.stderr!r}")
        clients.more(100)  # also on the sockets that came for more workers
        status = daemon.status()
        equal(status["generation"], 1, "generation")
        equal([l["name"] for l in status["listeners"]], ["web"], "listeners")
        until(lambda: is_refused(f"127.0.0.1:{new}"), "what was bound is given back")
        daemon.reload(WELCOME, WORKERS=2, MORE="", LISTENER="")
        clients.more(50)


@test("a reload can move the control socket")
def _():
    with welcome() as daemon:
        old = daemon.path("control")
        daemon.reload('control = "@DIR@/other";\n' + WELCOME)
        until(lambda: not os.path.exists(old), "the old one is removed")
        equal(daemon.status()["generation"], 2, "generation")


@test("workers 4 to 1 to 4 under load reset no connection", timeout=120)
def _():
    with welcome(workers=4) as daemon, load(daemon.address("web")) as clients:
        for count in (1, 4, 2, 4):
            clients.more(100)
            daemon.reload(WELCOME, WORKERS=count)
            until(lambda: len(daemon.status()["workers"]) == count, f"{count} workers")
        clients.more(100)


@test("thirty reloads under load lose nothing", timeout=120)
def _():
    with welcome() as daemon, load(daemon.address("web")) as clients:
        for _ in range(30):
            clients.more(10)
            daemon.reload()


@test("many idle connections are spread over the threads")
def _():
    with welcome(workers=2) as daemon:
        clients = [Client(daemon.address("web")) for _ in range(200)]
        for client in clients:
            client.ask(get("/"))
        found = [w["connections"] for w in daemon.status()["workers"]]
        equal(sum(found), 200, "connections")
        check(max(found) <= 142, f"the connections of the threads are {found}")
        for client in clients:
            client.close()


# ---- the worker process dies


@test("a killed worker process is replaced, and who was queued is served")
def _():
    with welcome() as daemon:
        daemon.may_restart = True
        address = daemon.address("web")
        worker = daemon.children()[0]
        freeze(worker)
        clients = [Client(address) for _ in range(20)]
        for client in clients:
            client.send(get("/"))
        os.kill(worker, signal.SIGKILL)
        for client in clients:
            equal(client.read().status, 200, "a request that waited")
            client.close()
        daemon.wait_log(rf"worker process {worker} was killed by signal 9 \(Killed\)")
        check(daemon.children() != [worker], "another process")
        equal(daemon.status()["generation"], 1, "generation")
        daemon.reload()
        check(is_served(address), "after a reload")


@test("a worker process that dies again and again is replaced each time")
def _():
    with welcome() as daemon:
        daemon.may_restart = True
        address = daemon.address("web")
        for _ in range(4):
            worker = until(daemon.children, "a worker process")[0]
            os.kill(worker, signal.SIGKILL)
            until(lambda: daemon.children() not in ([], [worker]), "another one")
            check(is_served(address), "it serves")


@test("the worker process dies with its supervisor")
def _():
    daemon = welcome()
    worker = daemon.children()[0]
    daemon.process.kill()
    daemon.process.wait()
    until(lambda: has_ended(worker), "the end of the worker process")
    daemon.kill()


# ---- stop


class Holding:
    """An origin that answers when it is told to."""

    def __init__(self):
        self.may_go = threading.Event()
        self.has_come = threading.Event()
        self.origin = Origin(self._answer)
        self.port = self.origin.port

    def _answer(self, request, link):
        self.has_come.set()
        self.may_go.wait(WAIT)
        return answer(b"at last")

    def close(self):
        self.may_go.set()
        self.origin.close()


@test("SIGTERM lets a running exchange finish, and takes no new connection")
def _():
    with contextlib.closing(Holding()) as origin, \
            Daemon(SLOW, ORIGIN=origin.port, STOP="1h") as daemon:
        address = daemon.address("web")
        idle, busy = Client(address), Client(address)
        idle.send(get("/nothing")[:5])
        busy.send(get("/"))
        check(origin.has_come.wait(WAIT), "the request came")
        daemon.signal(signal.SIGTERM)
        until(lambda: is_refused(address), "new connections are refused")
        check(daemon.process.poll() is None, "it waits")
        origin.may_go.set()
        response = busy.read()
        equal(response.body, b"at last", "content")
        equal(response.get("Connection"), "close", "Connection")
        idle.close()
        equal(daemon.wait_end(), 0, "exit status")


@test("what runs longer than stop_timeout is closed")
def _():
    with contextlib.closing(Holding()) as origin, \
            Daemon(SLOW, ORIGIN=origin.port, STOP="200ms") as daemon:
        busy = Client(daemon.address("web"))
        busy.send(get("/"))
        check(origin.has_come.wait(WAIT), "the request came")
        equal(daemon.stop(), 0, "exit status")
        busy.rest()


@test("a second SIGTERM ends at once")
def _():
    with contextlib.closing(Holding()) as origin, \
            Daemon(SLOW, ORIGIN=origin.port, STOP="1h") as daemon:
        busy = Client(daemon.address("web"))
        busy.send(get("/"))
        check(origin.has_come.wait(WAIT), "the request came")
        daemon.signal(signal.SIGTERM)
        daemon.wait_log("stopping")
        daemon.signal(signal.SIGTERM)
        equal(daemon.wait_end(), 0, "exit status")
        busy.rest()


@test("SIGINT ends at once")
def _():
    with contextlib.closing(Holding()) as origin, \
            Daemon(SLOW, ORIGIN=origin.port, STOP="1h") as daemon:
        busy = Client(daemon.address("web"))
        busy.send(get("/"))
        check(origin.has_come.wait(WAIT), "the request came")
        daemon.signal(signal.SIGINT)
        equal(daemon.wait_end(), 0, "exit status")
        busy.rest()


@test("bascule stop waits for the end, and leaves no sockets behind")
def _():
    with welcome(', { name = "u"; mode = "reverse"; listen = "unix:@DIR@/web"; }') as daemon:
        equal(daemon.command("stop"), "stopped\n", "output")
        equal(daemon.wait_end(), 0, "exit status")
        check(not os.path.exists(daemon.path("web")), "the listener's path is gone")
        check(not os.path.exists(daemon.path("control")), "the control socket's path is gone")
        done = run("status", "-c", daemon.conf_path)
        equal(done.returncode, 1, "status of nobody")
        check("is it running?" in done.stderr, f"status said {done.stderr!r}")


# ---- logs


@test("SIGUSR1 opens log files again")
def _():
    more = ('access_logs = ( { name = "all"; to = "@DIR@/access.log"; } );\n'
            'log = { to = "@DIR@/error.log"; };')
    with welcome(more=more) as daemon:
        address = daemon.address("web")
        ask(address, get("/first"))
        for name in ("access.log", "error.log"):
            until(lambda: os.path.getsize(daemon.path(name)) > 0, f"lines in {name}")
            os.rename(daemon.path(name), daemon.path(name + ".1"))
        daemon.signal(signal.SIGUSR1)
        for name in ("access.log", "error.log"):
            until(lambda: os.path.exists(daemon.path(name)), f"a new {name}")
        until(lambda: ask(address, get("/second")) and
              "/second" in open(daemon.path("access.log"), encoding="ascii").read(),
              "lines in the new file")
        with open(daemon.path("access.log.1"), encoding="ascii") as old:
            check("/first" in old.read(), "the old file")
        equal(stat.S_IMODE(os.stat(daemon.path("access.log")).st_mode), 0o640, "mode")
        daemon.stop()
        check("stopped" in open(daemon.path("error.log"), encoding="utf-8").read(),
              "the error log goes on in the new file")


# ---- the control socket


@test("the control socket is its owner's alone")
def _():
    with welcome() as daemon:
        mode = os.stat(daemon.path("control")).st_mode
        check(stat.S_ISSOCK(mode), "a socket")
        equal(stat.S_IMODE(mode), 0o600, "mode")


@test("a stranger is refused even where the mode would let him in")
def _():
    need_root()
    with welcome() as daemon:
        os.chmod(daemon.dir, 0o755)
        os.chmod(daemon.path("control"), 0o666)
        script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
                  "s.settimeout(10); s.sendall(b'status\\n'); print(len(s.recv(100)))")
        done = subprocess.run(["python3", "-c", script, daemon.path("control")], user="nobody",
                              capture_output=True, text=True, timeout=WAIT, check=False)
        check(done.stdout.strip() in ("", "0"), f"he got {done.stdout!r}")
        daemon.wait_log("control socket: user .* refused")
        daemon.status()


@test("silent, slow and talkative clients of the control socket bother nobody")
def _():
    with welcome() as daemon:
        address = "unix:" + daemon.path("control")
        silent = [connect(address) for _ in range(20)]
        with Client(address) as client:
            client.try_send(b"x" * 30000)
            check(client.rest() == b"", "an endless request gets no answer")
        with Client(address) as client:
            client.send(b"make coffee\n")
            equal(client.rest(), b"failed\nunknown request\n", "answer")
        daemon.status()
        for sock in silent:
            sock.close()


# ---- privileges


def as_nobody(**values):
    """A daemon whose worker process runs as nobody, in a folder that is root's."""
    need_root()
    return welcome(more='user = "nobody";\n'
                        'access_logs = ( { name = "all"; to = "@DIR@/access.log"; } );', **values)


@test("started by root, the worker process runs as user and without capabilities")
def _():
    with as_nobody() as daemon:
        nobody = pwd.getpwnam("nobody")
        worker = status_of(daemon.children()[0])
        equal(worker["Uid"].split(), [str(nobody.pw_uid)] * 4, "Uid")
        equal(worker["Gid"].split(), [str(nobody.pw_gid)] * 4, "Gid")
        equal([int(worker[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
              [0] * 4, "capabilities")
        equal(worker["NoNewPrivs"], "1", "NoNewPrivs")
        equal(status_of(daemon.pid)["Uid"].split()[0], "0", "Uid of the supervisor")
        equal(os.stat(daemon.path("control")).st_uid, 0, "owner of the control socket")
        check(is_served(daemon.address("web")), "it serves")


@test("started by root, the worker process runs as nobody unless somebody is named")
def _():
    need_root()
    for more, user in (("", "nobody"), ('user = "daemon";', "daemon"), ('user = "root";', "root")):
        with welcome(more=more) as daemon:
            worker = status_of(daemon.children()[0])
            equal(worker["Uid"].split()[0], str(pwd.getpwnam(user).pw_uid), f"Uid with {more!r}")


@test("who reloads is told what has to wait until bascule is started again")
def _():
    with as_nobody() as daemon:
        equal(daemon.command("reload"), "generation 2 is served\n", "what is said")
        daemon.write_conf(WELCOME, MORE='user = "daemon";')
        equal(daemon.command("reload"), "generation 3 is served\nanother user takes effect when "
              "bascule is started again\n", "what is said of another user")
        daemon.write_conf(WELCOME, MORE='user = "nobody";')
        equal(daemon.command("reload"), "generation 4 is served\n", "and with the old one")


def low_port():
    """A free port that only root may have."""
    for port in range(81, 1024):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise Skip("no port below 1024 is free")


@test("a reload adds a port below 1024, and a root-owned log is opened again, with user set")
def _():
    with as_nobody() as daemon:
        low = f"127.0.0.1:{low_port()}"
        daemon.reload(WELCOME, LISTENER=f', {{ name = "low"; mode = "reverse"; '
                                        f'listen = "{low}"; }}')
        check(is_served(low), "the low port serves")
        os.rename(daemon.path("access.log"), daemon.path("access.log.1"))
        daemon.signal(signal.SIGUSR1)
        until(lambda: os.path.exists(daemon.path("access.log")), "a new file")
        equal(os.stat(daemon.path("access.log")).st_uid, 0, "its owner")
        until(lambda: is_served(low) and os.path.getsize(daemon.path("access.log")) > 0,
              "lines in the new file")


@test("a file that only root may read is opened for it, also the forward mode's tls_ca")
def _():
    need_root()
    certificates = Certificates()
    os.chmod(certificates.authority("ca"), 0o600)
    with welcome(', { name = "out"; mode = "forward"; listen = "127.0.0.1:0"; tls_ca = "@CA@"; }',
                 'user = "nobody";', CA=certificates.path("ca.pem")) as daemon:
        check(is_served(daemon.address("web")), "it serves")


@test("check warns of files that the worker process could swap for others")
def _():
    need_root()
    made = Certificates()
    made.authority("ca")
    made.issue("good", "ca", ["DNS:a.test"])
    os.chmod(made.dir, 0o755)
    conf = CHECKED.replace("@SITE@", made.path("good.pem"))
    conf = made.write("swap.conf", conf.replace("@TLS@", "").replace("@GROUP@", ""))
    for mode, uid, is_open in ((0o755, 0, False), (0o777, 0, True), (0o1777, 0, False),
                               (0o755, pwd.getpwnam("nobody").pw_uid, True)):
        os.chmod(made.dir, mode)
        os.chown(made.dir, uid, 0)
        done = run("check", "-c", conf)
        equal(done.returncode, 0, f"exit status ({done.stderr})")
        equal(f"may write in {made.dir}: " in done.stderr, is_open,
              f"warning with mode {mode:o} and owner {uid}")


# ---- systemd


# Starts a program as sd_listen_fds(3) describes it: descriptor 3, and its own process id.
AS_SYSTEMD = """
import os, sys
if sys.argv[1] != "3":
    os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@test("sockets that systemd opened are used")
def _():
    with socket.create_server(("127.0.0.1", 0)) as sock, tempfile.TemporaryDirectory() as folder:
        port = sock.getsockname()[1]
        path = os.path.join(folder, "bascule.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'control = "{folder}/control"; workers = 2; listeners = ( {{ name = "web"; '
                       f'mode = "reverse"; listen = "127.0.0.1:{port}"; }} );\n'
                       'sites = ( { name = "all"; default = true; welcome = true; } );\n')
        early = Client(f"127.0.0.1:{port}")
        early.send(get("/"))
        process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, str(sock.fileno()), program(), "run", "-c", path],
            pass_fds=[sock.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            equal(early.read().status, 200, "who came before the start")
            early.close()
            done = run("status", "--json", "--control", f"{folder}/control")
            equal(json.loads(done.stdout)["listeners"][0]["addresses"], [f"127.0.0.1:{port}"],
                  "addresses")
            for _ in range(10):
                check(is_served(f"127.0.0.1:{port}"), "it serves")
        finally:
            process.terminate()
            equal(process.wait(WAIT), 0, "exit status")


# ---- commands


state = once(tempfile.TemporaryDirectory)  # of the local CA
certificates = once(Certificates)


@contextlib.contextmanager
def direct(*words):
    """bascule forward, reverse or port, without a file; lends its control socket."""
    with tempfile.TemporaryDirectory() as folder:
        control = os.path.join(folder, "control")
        process = subprocess.Popen([program(), *words, "--control", control],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env=dict(os.environ, STATE_DIRECTORY=state().name))
        try:
            def status():
                check(process.poll() is None, "it runs")
                done = run("status", "--json", "--control", control)
                return done.returncode == 0 and json.loads(done.stdout)

            yield until(status, "its start")["listeners"][0]["addresses"], control
        finally:
            process.terminate()
            process.communicate(timeout=WAIT)
        equal(process.returncode, 0, "exit status")


origin = once(Origin)


@test("bascule reverse serves without a file")
def _():
    with direct("reverse", "--listen", "127.0.0.1:0", "--listen=[::1]:0",
                "--to", f"http://127.0.0.1:{origin().port}/", "--workers", "1") as (addresses, _):
        equal(len(addresses), 2, "addresses")
        for address in addresses:
            equal(ask(address, get("/")).body, b"hello\n", "content")


@test("bascule forward serves without a file, and guards as a file's listener does")
def _():
    target = f"http://127.0.0.1:{origin().port}/"
    request = get(target, host=f"127.0.0.1:{origin().port}")
    words = ("forward", "--listen", "127.0.0.1:0")
    with direct(*words) as (addresses, _):
        equal(ask(addresses[0], request).status, 403, "loopback is guarded")
    with direct(*words, "--allow-destination", "127.0.0.0/8", "--connect-ports",
                f"443,{origin().port}") as (addresses, _):
        with Client(addresses[0]) as client:
            authority = f"127.0.0.1:{origin().port}"
            equal(client.ask(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode(),
                             "CONNECT").status, 200, "CONNECT to an allowed port")


@test("bascule port serves without a file, and can be reloaded")
def _():
    with direct("port", "--listen", "127.0.0.1:0", "--to",
                f"127.0.0.1:{origin().port}") as (addresses, control):
        equal(ask(addresses[0], get("/")).body, b"hello\n", "content")
        equal(run("reload", "--control", control).returncode, 0, "exit status of reload")
        equal(ask(addresses[0], get("/")).body, b"hello\n", "content after a reload")


def authority():
    """A file with the certificate of the local CA."""
    path = os.path.join(state().name, "trusted.pem")
    done = run("ca", env=dict(os.environ, STATE_DIRECTORY=state().name))
    equal(done.returncode, 0, "exit status of bascule ca")
    with open(path, "w", encoding="ascii") as file:
        file.write(done.stdout)
    return path


@test("bascule reverse speaks TLS with clients and servers without a file")
def _():
    with direct("reverse", "--tls", "--listen", "127.0.0.1:0",
                "--to", f"http://127.0.0.1:{origin().port}") as (inner, _):
        with TlsClient(inner[0], trusting(authority()), "localhost") as client:
            equal(client.ask(get("/")).body, b"hello\n", "content over TLS")
        to = ("reverse", "--listen", "127.0.0.1:0", "--to", f"https://{inner[0]}/")
        with direct(*to, "--upstream-ca", authority()) as (outer, _):
            equal(ask(outer[0], get("/")).body, b"hello\n", "content from a server over TLS")
        with direct(*to) as (outer, _):
            equal(ask(outer[0], get("/")).status, 502, "a server that nobody vouches for")


@test("bascule forward and port speak TLS without a file")
def _():
    local = os.path.join(state().name, "local.pem")
    target = f"127.0.0.1:{origin().port}"
    with direct("port", "--tls", "--listen", "127.0.0.1:0", "--to", target) as (addresses, _):
        with TlsClient(addresses[0], trusting(authority()), "localhost") as client:
            equal(client.ask(get("/")).body, b"hello\n", "content")
    with direct("forward", "--certificate", f"{local},{local}", "--listen", "127.0.0.1:0",
                "--allow-destination", "loopback") as (addresses, _):
        with TlsClient(addresses[0], trusting(authority()), "localhost") as client:
            equal(client.ask(get(f"http://{target}/", host=target)).body, b"hello\n", "through it")


CHECKED = """
listeners = ( { name = "web"; mode = "reverse"; listen = "127.0.0.1:0"; tls = { @TLS@ }; } );
sites = ( { name = "a"; hosts = "a.test"; welcome = true; certificates = "@SITE@";
            routes = ( { path_prefix = "/g/"; group = "g"; } ); } );
groups = ( { name = "g"; endpoints = "a.test:443"; tls = { @GROUP@ }; } );
"""


@test("bascule check looks into the files for TLS, and warns of what clients would refuse")
def _():
    made = certificates()
    made.authority("ca")
    good = made.issue("good", "ca", ["DNS:a.test"])
    late = made.issue("late", "ca", ["DNS:a.test"], days=-1)
    other = made.issue("other", "ca", ["DNS:b.test"])
    for site, tls, group, status, expected in (
            (good, "", "", 0, None),
            (late, "", "", 0, "expired on"),
            (other, "", "", 0, "is not for the name a.test"),
            (good, 'client_certificates = { ca = "/no/ca.pem"; };', "", 1, "/no/ca.pem"),
            (good, f'ticket_keys = "{good}";', "", 1, "80 bytes"),
            (good, "", 'ca = "/no/ca.pem";', 1, "/no/ca.pem")):
        conf = CHECKED.replace("@SITE@", site).replace("@TLS@", tls).replace("@GROUP@", group)
        done = run("check", "-c", made.write("checked.conf", conf))
        equal(done.returncode, status, f"exit status with {site} {tls} {group}")
        if expected is None:
            equal(done.stderr, "", "complaints")
        else:
            check(expected in done.stderr, f"said {done.stderr!r}")


@test("mistakes on the command line are answered in words")
def _():
    for words, expected in (
            (("revrese",), 'did you mean "reverse"?'),
            (("reverse", "--lsiten", "x"), 'did you mean "--listen"?'),
            (("reverse",), "--to is missing"),
            (("reverse", "--to"), "--to wants a value"),
            (("reverse", "--to", "https://x/y"), "without a path"),
            (("reverse", "--to", "http://x", "--to", "https://y"), "or none of them"),
            (("reverse", "--to", "http://x", "--upstream-ca", "y"), "--to https://"),
            (("reverse", "--to", "http://x", "--tls=yes"), "--tls"),
            (("forward", "--listen", "127.0.0.1:0", "--certificate", "no/such.pem"),
             "/no/such.pem"),
            (("port", "--to", "127.0.0.1:1"), "--listen is missing"),
            (("forward", "--listen", "127.0.0.1:70000"),
             'command line: listener "forward": listen port 70000'),
            (("reverse", "--to", "http://x:99999"), 'command line: endpoint "x:99999": port'),
            (("forward", "--certificate", "/no/such.pem"), "bascule: command line: listener"),
            (("forward", "--listen", "127.0.0.1:0", "--allow-client", "10.0.0.1/8"), "10.0.0.0/8"),
            (("run", "-c", "/no/such/file"), "/no/such/file"),
            (("check", "more"), "one word too many; a file is given as -c FILE"),
            (("ca", "more"), "one word too many\n"),
            (("stat",), 'did you mean "status"?'),
            (("-t",), "a command comes before its flags\nbascule help says which there are"),
            (("status", "--control", "no-such-socket"), "no daemon answers at no-such-socket"),
            (("status", "--json", "--metrics"), "either")):
        done = run(*words)
        equal(done.returncode, 1, f"exit status of {words}")
        check(expected in done.stderr, f"{words} said {done.stderr!r}")


@test("help and version are there for who asks")
def _():
    for words in (("help",), ("--help",), ("help", "reverse"), ("reverse", "--help"), ("version",),
                  ("--version",), ("options", "workers")):
        done = run(*words)
        equal(done.returncode, 0, f"exit status of {words}")
        check(done.stdout and not done.stderr, f"{words} wrote {done.stderr!r}")


main()
