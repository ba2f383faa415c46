# SPDX-License-Identifier: BSD-2-Clause
"""icap - ICAP servers for tests: one that follows a script, and Debian's c-icap."""

import os
import shutil
import subprocess
import tempfile
import time

from bascule_flow import WAIT, Failure, Origin, Skip, connect, head
from peers import free_port

MODULES = "/usr/lib/x86_64-linux-gnu/c_icap"


class Question:
    """What the client asked: an ICAP request with what it encapsulates."""

    def __init__(self, line, fields):
        self.method, self.uri, _ = line.split(" ")
        self.fields = fields
        self.request = self.response = b""  # heads
        self.content = b""                  # so far
        self.has_body = False
        self.is_whole = True                # False: only a preview of the content has come

    def get(self, name):
        return self.fields.get(name.lower())

    @property
    def path(self):
        """Of the URL of the encapsulated request."""
        target = self.request.split(b" ", 2)[1].decode()
        return "/" + target.split("/", 3)[3] if "://" in target else target


def _read_head(link):
    lines = []
    while True:
        line = link.line("an ICAP head").decode("latin-1")
        if not line:
            return lines
        lines.append(line)


def _read_chunks(link):
    """The content up to its end; whether that was said to be all there is (ieof)."""
    content = b""
    while True:
        size, _, extension = link.line("a chunk size").decode().partition(";")
        data = link.exactly(int(size, 16))
        link.line("the end of a chunk")
        content += data
        if not data:
            return content, extension.strip() == "ieof"


def read_question(link):
    """The next one, or None when the stream ends before it begins."""
    if not link.buffer and not link.fill():
        return None
    lines = _read_head(link)
    pairs = (line.partition(":") for line in lines[1:])
    question = Question(lines[0], {name.lower(): value.strip() for name, _, value in pairs})
    parts = [part.strip().partition("=")
             for part in (question.get("Encapsulated") or "").split(",")]
    for (name, _, at), after in zip(parts, parts[1:]):
        part = link.exactly(int(after[2]) - int(at))
        if name == "req-hdr":
            question.request = part
        else:
            question.response = part
    if parts[-1][0] in ("req-body", "res-body"):
        question.has_body = True
        question.content, ieof = _read_chunks(link)
        question.is_whole = ieof or question.get("Preview") is None
    return question


def go_on(question, link):
    """Asks for the rest of the content: 100 Continue."""
    link.send(b"ICAP/1.0 100 Continue\r\n\r\n")
    rest, _ = _read_chunks(link)
    question.content += rest
    question.is_whole = True


def unchanged(*fields):
    """The bytes of an answer: 204."""
    return head("ICAP/1.0 204 No Content", 'ISTag: "t1"', *fields)


def changed(http_head, content=None, *fields, status="200 OK", is_request=False, end=""):
    """The bytes of an answer with a new head and content; end: an extension of the last chunk."""
    name = "req" if is_request else "res"
    body = f"{name}-body" if content is not None else "null-body"
    data = head(f"ICAP/1.0 {status}", 'ISTag: "t1"', *fields,
                f"Encapsulated: {name}-hdr=0, {body}={len(http_head)}") + http_head
    if content is None:
        return data
    if content:
        data += b"%x\r\n%s\r\n" % (len(content), content)
    return data + f"0{end}\r\n\r\n".encode()


class IcapServer(Origin):
    """A server on a port of its own; on(path, handler) says what becomes of a message by the
    path of its URL: handler(question, link) returns the bytes of the answer, or None when it
    has sent what it wanted by itself. Others are left unchanged."""

    def __init__(self, *options):
        self.options = options or ("Methods: REQMOD, RESPMOD", "Preview: 32", "Allow: 204, 206",
                                   "Transfer-Preview: *", "Transfer-Ignore: gif",
                                   "Transfer-Complete: zip",
                                   "Options-TTL: 3600")
        self.questions = []
        self.asked_options = 0
        super().__init__(serve=self._serve_icap)

    def on(self, path, handler, at="end"):
        self.handlers[path] = handler if callable(handler) else lambda *_: handler

    def asked(self, path, method=None):
        """The questions about this path so far."""
        with self.changed:
            return [q for q in self.questions
                    if q.path == path and method in (None, q.method)]

    def _serve_icap(self, link):
        link.wait = 600
        while link.is_open:
            question = read_question(link)
            if question is None:
                return
            if question.method == "OPTIONS":
                self.asked_options += 1
                link.send(head("ICAP/1.0 200 OK", *self.options, 'ISTag: "t1"',
                               "Encapsulated: null-body=0"))
                continue
            with self.changed:
                self.questions.append(question)
                self.changed.notify_all()
            handler = self.handlers.get(question.path, lambda *_: unchanged())
            data = handler(question, link)
            if data is not None:
                link.send(data)


CONF = """
PidFile {dir}/pid
CommandsSocket {dir}/control
Port 127.0.0.1:{port}
StartServers 1
MaxServers 1
MinSpareThreads 4
MaxSpareThreads 8
ThreadsPerChild 8
MaxKeepAliveRequests 100
KeepAliveTimeout 600
Timeout 300
TmpDir {dir}
ModulesDir {modules}
ServicesDir {modules}
LoadMagicFile /etc/c-icap/c-icap.magic
ServerLog {dir}/server.log
AccessLog {dir}/access.log
Service echo srv_echo.so
Service ex206 srv_ex206.so
"""


class CIcap:
    """Debian's c-icap with its services echo and ex206."""

    def __init__(self):
        program = shutil.which("c-icap")
        if program is None or not os.path.exists(f"{MODULES}/srv_ex206.so"):
            raise Skip("c-icap is not installed")
        self.dir = tempfile.mkdtemp(prefix="c-icap-")
        self.port = free_port()
        path = os.path.join(self.dir, "conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONF.format(dir=self.dir, port=self.port, modules=MODULES))
        self.process = subprocess.Popen([program, "-N", "-f", path], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_ready()

    def _wait_ready(self):
        end = time.monotonic() + WAIT
        while time.monotonic() < end and self.process.poll() is None:
            try:
                connect(f"127.0.0.1:{self.port}").close()
                return
            except OSError:
                time.sleep(0.02)  # it does not say when it is ready
        self.close()
        raise Failure("c-icap did not start")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
