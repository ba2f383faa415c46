# SPDX-License-Identifier: BSD-2-Clause
"""wire - streams, messages and the client: bytes as they are, judged strictly."""

import dataclasses
import os
import re
import select
import socket
import struct

FACTOR = float(os.environ.get("BASCULE_TEST_FACTOR") or 1)
WAIT = 10.0 * FACTOR  # seconds that any single wait may take


class Failure(AssertionError):
    """A promise that was not kept."""


class CutShort(Failure):
    """The stream ended, or was reset, in the middle of a message."""

    def __init__(self, words, partial=b"", was_reset=False):
        super().__init__(words)
        self.partial = bytes(partial)
        self.was_reset = was_reset


class Malformed(Failure):
    """Bytes that are not strictly HTTP/1.1."""


class Skip(Exception):
    """A test that cannot be run here, with the reason."""


def check(condition, words):
    if not condition:
        raise Failure(words)


def equal(found, expected, what):
    if found != expected:
        raise Failure(f"{what}: expected {expected!r}, found {found!r}")


def one_of(found, expected, what):
    if found not in expected:
        raise Failure(f"{what}: expected one of {sorted(expected)!r}, found {found!r}")


# ---- streams and messages


class Stream:
    """A connected socket with a read buffer. Keeps every byte it read."""

    def __init__(self, sock, wait=None):
        self.sock = sock
        self.wait = WAIT if wait is None else wait
        self.buffer = bytearray()
        self.received = bytearray()
        self.was_reset = False
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # sending

    def send(self, data, bytewise=False):
        """Sends all of it; bytewise: each byte in a segment of its own."""
        self.sock.settimeout(self.wait)
        if bytewise:
            for i in range(len(data)):
                self.sock.sendall(data[i : i + 1])
        else:
            self.sock.sendall(data)

    def try_send(self, data, bytewise=False):
        """The same, to a peer that may stop listening. Whether all was sent."""
        try:
            self.send(data, bytewise)
            return True
        except (BrokenPipeError, ConnectionResetError):
            self.was_reset = True  # which receiving would not tell again
            return False
        except socket.timeout:
            return False

    def echoes(self, data):
        """Whether a peer that sends back what it gets gets this."""
        self.send(data)
        return self.exactly(len(data), "the echo") == data

    def half_close(self):
        """Says that we send no more (FIN)."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # receiving

    def fill(self, wait=None):
        """Reads what there is. False at the end of the stream."""
        self.sock.settimeout(self.wait if wait is None else wait)
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True
            return False
        except socket.timeout:
            raise Failure(f"nothing came for {self.wait if wait is None else wait:g} s "
                          f"(so far: {bytes(self.received[-200:])!r})") from None
        self.buffer += data
        self.received += data
        return len(data) > 0

    def _need(self, what):
        if not self.fill():
            end = "reset" if self.was_reset else "ended"
            raise CutShort(f"the connection {end} within {what}: {bytes(self.buffer[-200:])!r}",
                           self.buffer, self.was_reset)

    def line(self, what, limit=1 << 20):
        """A line without its CRLF. Bare CR and LF are malformed."""
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > limit:
                raise Malformed(f"{what} is longer than {limit} bytes")
            self._need(what)
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        if b"\n" in line or b"\r" in line:
            raise Malformed(f"bare CR or LF in {what}: {line!r}")
        return line

    def exactly(self, count, what="content"):
        while len(self.buffer) < count:
            self._need(f"{what} ({len(self.buffer)} of {count} bytes)")
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def rest(self, wait=None):
        """Everything up to the end of the stream."""
        while self.fill(wait):
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def has_ended(self):
        """Waits for the peer to end or reset the stream; False when bytes come instead."""
        return not self.buffer and not self.fill()

    def is_quiet(self, seconds=0.3):
        """Nothing comes within this time, and the stream goes on."""
        if self.buffer:
            return False
        readable, _, _ = select.select([self.sock], [], [], seconds)
        return not readable


@dataclasses.dataclass
class Message:
    """A request or a response, with its fields as they were on the wire."""

    start: str
    fields: list
    version: str = ""
    method: str = ""
    target: str = ""
    status: int = 0
    reason: str = ""
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    framing: str = "none"  # none, length, chunked, close
    chunks: list = dataclasses.field(default_factory=list)
    interim: list = dataclasses.field(default_factory=list)  # 1xx before a response

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name):
        """The value of the field, None if it is absent. It must not come twice."""
        values = self.all(name)
        if len(values) > 1:
            raise Failure(f"{name} comes {len(values)} times: {values}")
        return values[0] if values else None

    def has(self, name):
        return bool(self.all(name))


TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
STATUS_LINE = re.compile(r"HTTP/(1\.[01]) ([1-9][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)\Z")
REQUEST_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/(1\.[01])\Z")


def _read_fields(stream, what):
    fields = []
    while line := stream.line(what):
        text = line.decode("latin-1")
        name, colon, value = text.partition(":")
        if not colon or not TOKEN.match(name):
            raise Malformed(f"{what}: bad field line {text!r}")
        value = value.strip(" \t")
        if any(ord(c) < 0x20 and c != "\t" or ord(c) == 0x7F for c in value):
            raise Malformed(f"{what}: control character in {text!r}")
        fields.append((name, value))
    return fields


def _read_chunked(stream, message, what):
    while True:
        line = stream.line(f"a chunk size of {what}")
        if not re.match(rb"[0-9A-Fa-f]{1,16}(;.*)?\Z", line):
            raise Malformed(f"{what}: bad chunk size {line!r}")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            message.trailers = _read_fields(stream, f"trailers of {what}")
            return
        data = stream.exactly(size, f"a chunk of {what}")
        if stream.exactly(2, f"the end of a chunk of {what}") != b"\r\n":
            raise Malformed(f"{what}: a chunk does not end in CRLF")
        message.chunks.append(data)
        message.body += data


def _framing(message, what):
    """The framing its fields declare: ("chunked", None), ("length", n) or None."""
    codings = message.all("Transfer-Encoding")
    lengths = message.all("Content-Length")
    if codings and lengths:
        raise Malformed(f"{what} has both Transfer-Encoding and Content-Length")
    if codings:
        if len(codings) > 1 or codings[0].lower() != "chunked":
            raise Malformed(f"{what} has Transfer-Encoding {codings}")
        if message.version != "1.1":
            raise Malformed(f"{what} is chunked in HTTP/{message.version}")
        return "chunked", None
    if lengths:
        if len(lengths) > 1 or not re.match(r"[0-9]+\Z", lengths[0]):
            raise Malformed(f"{what} has Content-Length {lengths}")
        return "length", int(lengths[0])
    return None


def _read_body(stream, message, what):
    framing = _framing(message, what)
    if framing is None:
        return False
    message.framing, length = framing
    if message.framing == "chunked":
        _read_chunked(stream, message, what)
    else:
        message.body = stream.exactly(length, f"the content of {what}")
    return True


def read_response_head(stream):
    line = stream.line("a status line").decode("latin-1")
    match = STATUS_LINE.match(line)
    if not match:
        raise Malformed(f"bad status line {line!r}")
    fields = _read_fields(stream, "a response head")
    return Message(line, fields, version=match[1], status=int(match[2]), reason=match[3])


def read_response(stream, method="GET"):
    """A whole final response, strictly; what came before it is in .interim."""
    interim = []
    while True:
        response = read_response_head(stream)
        if response.status >= 200 or response.status == 101:
            break
        if response.has("Content-Length") or response.has("Transfer-Encoding"):
            raise Malformed(f"{response.start}: an interim response with framing")
        interim.append(response)
    response.interim = interim
    what = f"the response {response.start!r}"
    if method == "CONNECT" and response.status // 100 == 2 or response.status == 101:
        return response
    if method == "HEAD" or response.status in (204, 304):
        _framing(response, what)
        return response
    if not _read_body(stream, response, what):
        response.framing = "close"
        response.body = stream.rest()
        if stream.was_reset:
            raise CutShort(f"reset within {what}", response.body, True)
    return response


def read_request_head(stream):
    """The head of a request, or None when the stream ends before it begins."""
    if not stream.buffer and not stream.fill():
        return None
    line = stream.line("a request line").decode("latin-1")
    match = REQUEST_LINE.match(line)
    if not match:
        raise Malformed(f"bad request line {line!r}")
    fields = _read_fields(stream, "a request head")
    request = Message(line, fields, version=match[3], method=match[1], target=match[2])
    if request.version == "1.1" and len(request.all("Host")) != 1:
        raise Malformed(f"{line!r} has {len(request.all('Host'))} Host fields")
    return request


def read_request_body(stream, request):
    _read_body(stream, request, f"the request {request.start!r}")


# ---- building messages


def head(start, *fields):
    """The bytes of a head: a start line and fields as written."""
    return "".join(f"{line}\r\n" for line in (start, *fields, "")).encode("latin-1")


def get(target="/", *fields, host="site.test", method="GET"):
    """The bytes of a request without content."""
    return head(f"{method} {target} HTTP/1.1", f"Host: {host}", *fields)


def post(target, body, *fields, host="site.test", method="POST"):
    return head(f"{method} {target} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}",
                *fields) + body


def connect_head(target, *fields):
    """The bytes of a request for a tunnel."""
    return head(f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields)


def chunks(*pieces, trailers=()):
    """The bytes of a chunked content, complete."""
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return coded + b"0\r\n" + "".join(f"{line}\r\n" for line in trailers).encode() + b"\r\n"


def answer(body=b"", *fields, status="200 OK"):
    """The bytes of a response whose content has a length."""
    return head(f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields) + body


def answer_chunked(*pieces, trailers=(), fields=()):
    return head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields) + \
        chunks(*pieces, trailers=trailers)


# ---- the client


def connect(address, source=None):
    """A socket connected to "127.0.0.1:80", "[::1]:80" or "unix:/path"."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(WAIT)
        sock.connect(address[5:])
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), WAIT,
                                    (source, 0) if source else None)


class Client(Stream):
    """A raw client connection."""

    def __init__(self, address, source=None, wait=None):
        super().__init__(connect(address, source), wait)

    def ask(self, request, method="GET", bytewise=False):
        """Sends a request and reads its response."""
        self.try_send(request, bytewise)
        return self.read(method)

    def read(self, method="GET"):
        return read_response(self, method)


def ask(address, request, method="GET", bytewise=False):
    """One request on a connection of its own."""
    with Client(address) as client:
        return client.ask(request, method, bytewise)
