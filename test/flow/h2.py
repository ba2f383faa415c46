# SPDX-License-Identifier: BSD-2-Clause
"""h2 - an HTTP/2 client (RFC 9113) that judges every frame it gets, and sends any it is told."""

import enum
import struct
from typing import NamedTuple

import hpack
from secure import TlsStream, handshake, trusting
from wire import CutShort, Failure, Message, check, connect, equal, one_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 65535       # until SETTINGS say something else
WINDOW_MAX = 2**31 - 1
FRAME_MAX = 16384


class Kind(enum.IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    PRIORITY_UPDATE = 16


class Error(enum.IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(enum.IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8
    NO_RFC7540_PRIORITIES = 9


END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 0x20
FORBIDDEN = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """The bytes of a frame; length: what it says about its length instead of the truth."""
    size = len(payload) if length is None else length
    return struct.pack("!I", size)[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def settings_of(pairs):
    return b"".join(struct.pack("!HI", key, value) for key, value in pairs)


def u32(value):
    return struct.pack("!I", value)


def request(path="/", *fields, method="GET", authority="site.test", scheme="http"):
    """The fields of a request, as pairs; None instead of a pseudo-header leaves it out."""
    pseudo = ((":method", method), (":scheme", scheme), (":authority", authority),
              (":path", path))
    return [pair for pair in pseudo if pair[1] is not None] + list(fields)


class Answer(Message):
    """The response on a stream, as far as it has come. reset: the error it ended with."""

    def __init__(self):
        super().__init__("", [])
        self.reset = None
        self.is_complete = False
        self.has_head = False
        self.received = 0  # bytes of DATA, padding too


class H2(TlsStream):
    """A connection. Answers SETTINGS and PING, and gives back the credit for what it reads
    unless is_generous is made False."""

    def __init__(self, sock, settings=(), preface=PREFACE):
        super().__init__(sock)
        self.decoder = hpack.Decoder()
        self.is_polite = True
        self.is_generous = True
        self.settings = dict(settings)         # ours
        self.unacknowledged = []
        self.peer = {}                         # the server's
        self.acks = 0
        self.goaway = None                     # (last stream, error, words)
        self.answers = {}
        self.pings = []                        # payloads of the acknowledgements that came
        self.next_id = 1
        self.credit = WINDOW                   # what the server may send
        self.stream_credit = {}
        self.debt = WINDOW                     # what we may send
        self.stream_debt = {}
        self.fragments = None
        self.has_ended_by_itself = False
        if preface is not None:
            self.send(preface)
            self.send_settings(settings)

    # sending

    def put(self, kind, flags=0, stream=0, payload=b"", length=None):
        self.try_send(frame(kind, flags, stream, payload, length))

    def send_settings(self, pairs=()):
        pairs = list(dict(pairs).items())
        before = self.settings.get(Setting.INITIAL_WINDOW_SIZE, WINDOW)
        self.settings.update(pairs)
        change = self.settings.get(Setting.INITIAL_WINDOW_SIZE, WINDOW) - before
        if change > 0:
            self._change_credit(change)
        self.unacknowledged.append(change)
        self.put(Kind.SETTINGS, 0, 0, settings_of(pairs))

    def _change_credit(self, change):
        for stream in self.stream_credit:
            self.stream_credit[stream] += change

    def open(self, fields, end=True, stream=None):
        """Sends a request's head. The stream's number."""
        return self.open_block(hpack.block(fields), end, stream)

    def open_block(self, data, end=True, stream=None):
        stream = self.new_stream() if stream is None else stream
        parts = [data[i : i + FRAME_MAX] for i in range(0, len(data), FRAME_MAX)] or [b""]
        for i, part in enumerate(parts):
            self.put(Kind.CONTINUATION if i else Kind.HEADERS,
                     (END_STREAM if end and not i else 0) |
                     (END_HEADERS if i == len(parts) - 1 else 0), stream, part)
        return stream

    def new_stream(self):
        """The number of the next stream, which is then watched."""
        stream = self.next_id
        self.next_id += 2
        self.watch(stream)
        return stream

    def watch(self, stream):
        self.answers[stream] = Answer()
        self.stream_credit[stream] = self.settings.get(Setting.INITIAL_WINDOW_SIZE, WINDOW)
        self.stream_debt[stream] = self.peer.get(Setting.INITIAL_WINDOW_SIZE, WINDOW)

    def send_data(self, stream, data, end=True):
        """Sends content as the server's credit allows; False when it reset the stream."""
        at = 0
        while at < len(data):
            room = min(self.debt, self.stream_debt[stream], FRAME_MAX)
            if self.answers[stream].reset is not None:
                return False
            if room <= 0:
                check(self.next() is not None, "the connection ended where credit was awaited")
                continue
            piece = data[at : at + room]
            at += len(piece)
            self.debt -= len(piece)
            self.stream_debt[stream] -= len(piece)
            self.put(Kind.DATA, END_STREAM if end and at == len(data) else 0, stream, piece)
        if not data and end:
            self.put(Kind.DATA, END_STREAM, stream)
        return True

    def trailers(self, stream, fields):
        self.put(Kind.HEADERS, END_STREAM | END_HEADERS, stream, hpack.block(fields))

    def reset_stream(self, stream, error=Error.CANCEL):
        self.put(Kind.RST_STREAM, 0, stream, u32(error))

    def give_credit(self, stream, bytes_):
        if stream == 0:
            self.credit += bytes_
        else:
            self.stream_credit[stream] += bytes_
        self.put(Kind.WINDOW_UPDATE, 0, stream, u32(bytes_))

    # receiving

    def next(self):
        """The next frame, judged and accounted for; None at the end of the connection."""
        if not self.buffer and not self.fill():
            return None
        top = self.exactly(9, "a frame's head")
        length = int.from_bytes(top[:3], "big")
        kind, flags, stream = struct.unpack("!BBI", top[3:])
        if length > self.settings.get(Setting.MAX_FRAME_SIZE, FRAME_MAX):
            raise Failure(f"a frame of {length} bytes")
        found = Frame(Kind(kind) if kind in Kind._value2member_map_ else kind, flags,
                      stream & WINDOW_MAX, self.exactly(length, "a frame"))
        if self.fragments is not None and found.kind != Kind.CONTINUATION:
            raise Failure(f"{found} within a header block")
        handler = HANDLERS.get(found.kind)
        if handler is not None:
            handler(self, found)
        return found

    def _answer(self, found):
        if found.stream not in self.answers:
            raise Failure(f"{found} on a stream that was never opened")
        answer = self.answers[found.stream]
        if answer.is_complete or answer.reset is not None:
            raise Failure(f"{found} on a stream that has ended")
        return answer

    def _content(self, found):
        """The payload without padding."""
        if not found.flags & PADDED:
            return found.payload
        padding = found.payload[0]
        check(padding < len(found.payload), f"padding of {padding} in {found}")
        return found.payload[1 : len(found.payload) - padding]

    def _data(self, found):
        answer = self._answer(found)
        size = len(found.payload)
        check(answer.has_head, f"{found} before HEADERS")
        self.credit -= size
        self.stream_credit[found.stream] -= size
        if size and (self.credit < 0 or self.stream_credit[found.stream] < 0):
            raise Failure(f"{size} bytes of DATA beyond the window of stream {found.stream}")
        answer.body += self._content(found)
        answer.received += size
        answer.is_complete = bool(found.flags & END_STREAM)
        if self.is_generous and size:
            self.give_credit(0, size)
            if not answer.is_complete:
                self.give_credit(found.stream, size)

    def _headers(self, found):
        self._answer(found)
        data = self._content(found)
        if found.flags & PRIORITY_FLAG:
            data = data[5:]
        self.fragments = (found.stream, bool(found.flags & END_STREAM), data)
        self._end_block(found)

    def _continuation(self, found):
        check(self.fragments is not None and self.fragments[0] == found.stream,
              f"{found} that continues nothing")
        self.fragments = (*self.fragments[:2], self.fragments[2] + found.payload)
        self._end_block(found)

    def _end_block(self, found):
        if not found.flags & END_HEADERS:
            return
        stream, ends, data = self.fragments
        self.fragments = None
        fields = self.decoder.read(data)
        self._take_fields(self.answers[stream], fields, ends)

    def _take_fields(self, answer, fields, ends):
        judge_fields(fields, is_trailer=answer.has_head)
        answer.is_complete = ends
        if answer.has_head:
            check(ends, f"trailers {fields} without END_STREAM")
            answer.trailers = fields
            return
        status = int(fields[0][1])
        if status < 200:
            check(not ends, f"a stream ends with status {status}")
            interim = Message(f"HTTP/2 {status}", fields[1:], status=status)
            answer.interim.append(interim)
            return
        answer.has_head = True
        answer.start, answer.status, answer.fields = f"HTTP/2 {status}", status, fields[1:]

    def _rst_stream(self, found):
        equal(len(found.payload), 4, "length of RST_STREAM")
        if found.stream in self.answers:
            self.answers[found.stream].reset = error_of(found.payload)

    def _settings(self, found):
        equal(found.stream, 0, "stream of SETTINGS")
        if found.flags & ACK:
            equal(found.payload, b"", "payload of an acknowledgement")
            check(self.unacknowledged, "an acknowledgement too many")
            self.acks += 1
            change = self.unacknowledged.pop(0)
            if change < 0:
                self._change_credit(change)
            return
        for i in range(0, len(found.payload), 6):
            key, value = struct.unpack("!HI", found.payload[i : i + 6])
            if key == Setting.INITIAL_WINDOW_SIZE:
                for stream in self.stream_debt:
                    self.stream_debt[stream] += value - self.peer.get(key, WINDOW)
            self.peer[key] = value
        if self.is_polite:
            self.put(Kind.SETTINGS, ACK)

    def _ping(self, found):
        equal((found.stream, len(found.payload)), (0, 8), "stream and length of PING")
        if found.flags & ACK:
            self.pings.append(found.payload)
        elif self.is_polite:
            self.put(Kind.PING, ACK, 0, found.payload)

    def _goaway(self, found):
        equal(found.stream, 0, "stream of GOAWAY")
        last = struct.unpack("!I", found.payload[:4])[0]
        check(self.goaway is None or last <= self.goaway[0], "GOAWAY takes more than before")
        self.goaway = (last, error_of(found.payload[4:8]), found.payload[8:])

    def _window_update(self, found):
        step = int.from_bytes(found.payload, "big")
        check(len(found.payload) == 4 and 0 < step <= WINDOW_MAX, f"bad {found}")
        if found.stream == 0:
            self.debt += step
            check(self.debt <= WINDOW_MAX, "a window beyond the largest")
        elif found.stream in self.stream_debt:
            self.stream_debt[found.stream] += step

    def _push_promise(self, found):
        raise Failure("PUSH_PROMISE that nobody wanted")

    # conversations

    def greet(self):
        """Waits until the server's SETTINGS came and ours are acknowledged."""
        while not self.peer and self.acks == 0 or self.unacknowledged:
            if self.next() is None:
                raise CutShort("the connection ended within the greeting")
        return self

    def until(self, question, what):
        """Reads until question() is true."""
        while not question():
            if self.next() is None:
                raise CutShort(f"the connection ended before {what} (GOAWAY: {self.goaway})")

    def answer(self, stream):
        """The whole response on a stream."""
        answer = self.answers[stream]
        self.until(lambda: answer.is_complete or answer.reset is not None,
                   f"the response on stream {stream}")
        if not answer.is_complete:
            raise CutShort(f"stream {stream} was reset: {answer.reset!r}")
        return answer

    def head(self, stream):
        """The response on a stream as soon as its head is there."""
        answer = self.answers[stream]
        self.until(lambda: answer.has_head or answer.reset is not None,
                   f"a response on stream {stream}")
        check(answer.has_head, f"stream {stream} was reset: {answer.reset!r}")
        return answer

    def ask(self, fields, body=None):
        stream = self.open(fields, end=body is None)
        if body is not None:
            self.send_data(stream, body)
        return self.answer(stream)

    def ping(self, payload=b"are you "):
        """Whether the server is there: a PING is acknowledged."""
        self.pings.clear()
        self.put(Kind.PING, 0, 0, payload)
        self.until(lambda: payload in self.pings, "the acknowledgement of a PING")

    def reset_of(self, stream):
        """The error that a stream is reset with."""
        answer = self.answers[stream]
        self.until(lambda: answer.reset is not None or answer.is_complete, f"RST_STREAM {stream}")
        if answer.reset is None:
            raise Failure(f"stream {stream} is not reset: it is answered with {answer.status}")
        return answer.reset

    def end(self):
        """Reads to the end of the connection. The error of GOAWAY."""
        while self.next() is not None:
            pass
        if self.goaway is None:
            raise CutShort("the connection ended without GOAWAY", was_reset=self.was_reset)
        return self.goaway[1]

    def expect_end(self, *errors):
        """A connection error: GOAWAY with one of these, and the end."""
        one_of(self.end(), errors, "the error of GOAWAY")

    def expect_reset(self, stream, *errors):
        """A stream error: RST_STREAM with one of these, or all of the connection's."""
        answer = self.answers[stream]
        while answer.reset is None:
            found = self.next()
            if found is None or self.goaway is not None and self.goaway[1] != Error.NO_ERROR:
                self.expect_end(*errors)
                return
        one_of(answer.reset, errors, f"the error of stream {stream}")


HANDLERS = {kind: getattr(H2, f"_{kind.name.lower()}") for kind in Kind
            if hasattr(H2, f"_{kind.name.lower()}")}


def error_of(payload):
    value = int.from_bytes(payload, "big")
    return Error(value) if value in Error._value2member_map_ else value


def judge_fields(fields, is_trailer):
    """What RFC 9113 section 8 demands of the fields of a response."""
    for i, (name, value) in enumerate(fields):
        if name.startswith(":"):
            check(not is_trailer and i == 0 and name == ":status", f"{name} at {i} of {fields}")
            check(value.isdigit() and 100 <= int(value) <= 599 and value != "101",
                  f":status {value}")
            continue
        check(name == name.lower() and hpack_token(name), f"field name {name!r}")
        check(name not in FORBIDDEN, f"{name} in HTTP/2")
        check(not any(c in value for c in "\r\n\0") and value == value.strip(" \t"),
              f"value of {name}: {value!r}")
    check(is_trailer or fields and fields[0][0] == ":status", f"no :status in {fields}")


def hpack_token(name):
    return bool(name) and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)


def h2c(address, settings=(), **options):
    """A connection without TLS, by prior knowledge."""
    return H2(connect(address), settings, **options)


def h2s(address, settings=(), context=None, name="site.test", **options):
    """A connection by TLS; HTTP/2 must be agreed on by ALPN."""
    sock = handshake(address, context or trusting(alpn=("h2", "http/1.1")), name)
    equal(sock.selected_alpn_protocol(), "h2", "the protocol agreed on by ALPN")
    return H2(sock, settings, **options)
