# SPDX-License-Identifier: BSD-2-Clause
"""peers - whom a forward proxy meets: name servers, parent proxies, TLS origins, traps."""

import base64
import json
import os
import random
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

from daemon import open_folder
from origin import Origin
from wire import WAIT, Failure, Skip, Stream, check, equal, head, read_request_head

HERE = os.path.dirname(os.path.abspath(__file__))


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def need_ipv6():
    if not has_ipv6():
        raise Skip("this machine has no ::1")


def free_port(host="127.0.0.1"):
    """A free port for a listener that must know its own. It stays free: the kernel gives
    those below its range for outgoing connections to nobody who does not ask for one."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        lowest = int(file.read().split()[0])
    while True:
        try:
            port = random.randrange(min(10000, lowest // 2), lowest)
            with socket.create_server((host, port), family=family_of(host)):
                return port
        except OSError:
            pass  # taken


def freeze(pid):
    """Stops a process (SIGSTOP), until each of its threads stands still: those that run take
    their time."""

    def is_stopped():
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8") as file:
                    if file.read().rpartition(")")[2].split()[0] != "T":
                        return False
            return True
        except OSError:
            return False  # a thread that has ended meanwhile

    os.kill(pid, signal.SIGSTOP)
    until(is_stopped, "all its threads stand still")


# ---- who must not be reached, and who does not answer


class Trap:
    """A listener that must not be reached: on every address of this machine, or on one."""

    def __init__(self, host=None, port=0):
        if host is None:
            self.listening = socket.create_server(("::", port), family=socket.AF_INET6,
                                                  dualstack_ipv6=True) \
                if has_ipv6() else socket.create_server(("0.0.0.0", port))
        else:
            self.listening = socket.create_server((host, port), family=family_of(host))
        self.listening.setblocking(False)
        self.port = self.listening.getsockname()[1]

    def check_untouched(self, what):
        """The kernel completes a connection by itself: one attempt would wait here."""
        try:
            _, peer = self.listening.accept()
        except BlockingIOError:
            return
        raise Failure(f"{what} reached a listener that is forbidden, from {peer[0]}:{peer[1]}")

    def close(self):
        self.listening.close()


class DeadPort:
    """A port on which nobody listens: bound, so that nobody else gets it."""

    def __init__(self, host="127.0.0.1", port=0):
        self.sock = socket.socket(family_of(host))
        self.sock.bind((host, port))
        self.port = self.sock.getsockname()[1]

    def close(self):
        self.sock.close()


class SilentPort:
    """A port that answers no connection request: its backlog is full."""

    def __init__(self, host="127.0.0.1", port=0):
        self.listening = socket.create_server((host, port), family=family_of(host), backlog=0)
        self.port = self.listening.getsockname()[1]
        self.fillers = [socket.socket(family_of(host)) for _ in range(8)]
        for sock in self.fillers:
            sock.setblocking(False)
            sock.connect_ex((host, self.port))
        # More than there is room for. However late each is: who comes behind them finds none.
        until(lambda: select.select([], self.fillers, [], 0)[1], "the backlog fills")
        check(len(select.select([], self.fillers, [], 0)[1]) < 8, "the backlog is never full")

    def close(self):
        for sock in self.fillers:
            sock.close()
        self.listening.close()


# ---- names


class NameServer:
    """test/support/dns_server.py, with names that a test may change."""

    def __init__(self, **names):
        self.dir = open_folder("bascule-dns-")
        self.names = {}
        self.process = None
        try:
            self.set(**names)
            self.process = subprocess.Popen(
                [sys.executable, "-B", os.path.join(HERE, "..", "support", "dns_server.py"),
                 "--file", self._path("names"), "--counts", self._path("counts")],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.port = int(self.process.stdout.readline())
        except BaseException:
            self.close()
            raise

    def _path(self, name):
        return os.path.join(self.dir, name)

    def set(self, **names):
        """set(www=["127.0.0.1"]) or set(www={"answer": "silent"}), for www.test."""
        for name, rule in names.items():
            rule = {"addresses": rule, "ttl": 0} if isinstance(rule, list) else rule
            self.names[f"{name}.test"] = rule
        with open(self._path("names.new"), "w", encoding="utf-8") as file:
            json.dump(self.names, file)
        os.replace(self._path("names.new"), self._path("names"))

    def asked(self, name):
        """How often the name was asked for, all types together."""
        try:
            with open(self._path("counts"), encoding="utf-8") as file:
                return sum(json.load(file).get(f"{name}.test", {}).values())
        except FileNotFoundError:
            return 0

    def close(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT)
            self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- a server the test talks through itself


class Backend:
    """A server whose connections the test takes one by one."""

    def __init__(self, host="127.0.0.1", port=0):
        self.listening = socket.create_server((host, port), family=family_of(host), backlog=512)
        self.listening.settimeout(WAIT)
        self.port = self.listening.getsockname()[1]
        self.address = f"{host}:{self.port}"

    def accept(self):
        try:
            return Stream(self.listening.accept()[0])
        except socket.timeout:
            raise Failure("nobody connected to the backend") from None

    def close(self):
        self.listening.close()


# ---- parent proxies


def relay(one, other):
    """Joins two sockets until both have ended; what was read ahead goes first."""

    def copy(source, sink):
        try:
            if source.buffer:
                sink.sock.sendall(source.buffer)
            while data := source.sock.recv(65536):
                sink.sock.sendall(data)
            sink.half_close()
        except OSError:
            for stream in (source, sink):
                try:
                    stream.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    for stream in (one, other):
        stream.sock.settimeout(None)
    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()
    other.close()


class Parent(Origin):
    """What parent proxies have in common. Every name is 127.0.0.1 to them.

    do: what it does instead of connecting; a function given the link, or None.
    """

    def __init__(self, user=None, password=None):
        self.user, self.password = user, password
        self.do = None
        self.asked = []  # "host:port" of each tunnel that was asked for
        super().__init__(serve=self.serve_link)

    def serve_link(self, link):
        raise NotImplementedError

    def join(self, link, host, port, accept):
        with self.changed:
            self.asked.append(f"{host}:{port}")
            self.changed.notify_all()
        if self.do is not None:
            self.do(link)
            return
        with Stream(socket.create_connection(("127.0.0.1", port), WAIT)) as server:
            link.send(accept)
            relay(link, server)


class HttpParent(Parent):
    """Tunnels by CONNECT, and relays http:// URLs: those it only remembers, and answers
    as an origin does. connects: the heads of the CONNECT requests."""

    def __init__(self, **options):
        self.connects = []
        super().__init__(**options)

    def is_welcome(self, request):
        if self.user is None:
            return True
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return request.get("Proxy-Authorization") == f"Basic {token}"

    def serve_link(self, link):
        link.wait = 600
        while link.is_open:
            link.request = request = read_request_head(link)
            if request is None:
                return
            if not self.is_welcome(request):
                link.send(head("HTTP/1.1 407 Proxy Authentication Required",
                               'Proxy-Authenticate: Basic realm="parent"', "Content-Length: 0"))
                return
            if request.method == "CONNECT":
                self.connects.append(request)
                host, _, port = request.target.rpartition(":")
                self.join(link, host, int(port), head("HTTP/1.1 200 Connection established"))
                return
            link.read_body(request)
            data = self.handlers.get(request.target, self.handler)(request, link)
            if data is not None:
                link.send(data)


class Socks5Parent(Parent):
    """RFC 1928 with RFC 1929. kinds: the address types that were used."""

    def __init__(self, **options):
        self.kinds = []
        super().__init__(**options)

    def _log_in(self, link):
        version, count = link.exactly(2)
        methods = link.exactly(count)
        if version != 5:
            raise Failure(f"version {version} of SOCKS")
        wanted = 0 if self.user is None else 2
        if wanted not in methods:
            link.send(b"\x05\xff")
            return False
        link.send(bytes([5, wanted]))
        if self.user is None:
            return True
        if link.exactly(1) != b"\x01":
            raise Failure("the log-in is not of version 1")
        user = link.exactly(link.exactly(1)[0]).decode()
        password = link.exactly(link.exactly(1)[0]).decode()
        is_welcome = (user, password) == (self.user, self.password)
        link.send(b"\x01\x00" if is_welcome else b"\x01\x01")
        return is_welcome

    def _read_host(self, link):
        kind = link.exactly(1)[0]
        self.kinds.append(kind)
        if kind == 3:
            return link.exactly(link.exactly(1)[0]).decode()
        return socket.inet_ntop(*((socket.AF_INET, link.exactly(4)) if kind == 1 else
                                  (socket.AF_INET6, link.exactly(16))))

    def serve_link(self, link):
        link.request = None
        if not self._log_in(link):
            return
        if link.exactly(3) != b"\x05\x01\x00":
            raise Failure("no request to connect")
        host = self._read_host(link)
        port = int.from_bytes(link.exactly(2), "big")
        self.join(link, host, port, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")


# ---- TLS


class TlsOrigin(Origin):
    """An origin behind TLS. Every request it gets came through a handshake; server_names:
    what the clients asked for by SNI, None for nothing. failed: handshakes that failed."""

    def __init__(self, certificate, handler=None, newest=None, host="127.0.0.1"):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.sni_callback = lambda sock, name, _: self.server_names.append(name)
        if newest is not None:
            self.context.maximum_version = newest
        self.server_names = []
        self.versions = []
        self.failed = 0
        super().__init__(handler, serve=self.serve_tls, host=host)

    def serve_tls(self, link):
        plain = link.sock
        plain.settimeout(WAIT)
        try:
            link.sock = self.context.wrap_socket(plain, server_side=True,
                                                 suppress_ragged_eofs=False)
        except (ssl.SSLError, OSError):
            with self.changed:
                self.failed += 1
                self.changed.notify_all()
            return
        self.versions.append(link.sock.version())
        try:
            self._serve(link)
        except ssl.SSLEOFError:
            pass  # the proxy hung up without ending the session


def end_session(link):
    """Says goodbye as TLS wants it (close_notify), then closes."""
    try:
        link.sock.settimeout(WAIT)
        link.sock.unwrap().close()
    except OSError:
        pass  # the proxy did not wait for it
    link.close()


# ---- what the access log says


class LogReader:
    """The lines of an access log, each once."""

    def __init__(self, path):
        self.path = path
        self.at = 0

    def next(self):
        """The next line, waited for: a file does not say when it grows."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            if os.path.exists(self.path):
                with open(self.path, "rb") as file:
                    file.seek(self.at)
                    line = file.readline()
                if line.endswith(b"\n"):
                    self.at += len(line)
                    return line.decode()
            time.sleep(0.02)
        raise Failure(f"{self.path} has no new line")

    def line_with(self, words):
        while words not in (line := self.next()):
            pass
        return line

    def record(self, **wanted):
        """The next JSON record whose members are as wanted."""
        while True:
            record = json.loads(self.next())
            if all(record.get(name) == value for name, value in wanted.items()):
                return record


def until(question, what):
    """Waits until question() is true, and returns what it said."""
    end = time.monotonic() + WAIT
    while not (answer := question()):
        if time.monotonic() > end:
            raise Failure(f"never happened: {what}")
        time.sleep(0.02)  # counters and files do not say when they change
    return answer


def becomes(look, expected, what):
    """Waits until look() gives what is expected: counters follow what they count."""
    end = time.monotonic() + WAIT
    while (found := look()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    equal(found, expected, what)
