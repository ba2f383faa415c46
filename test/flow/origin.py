# SPDX-License-Identifier: BSD-2-Clause
"""origin - servers that answer as they are told, and remember every byte they got."""

import socket
import threading

from wire import (WAIT, CutShort, Failure, Stream, answer, read_request_body, read_request_head)


class Link(Stream):
    """A connection that an origin accepted."""

    def __init__(self, origin, sock, number):
        super().__init__(sock)
        self.origin = origin
        self.number = number
        self.is_open = True

    def close(self):
        self.is_open = False
        super().close()

    def reset(self):
        self.is_open = False
        super().reset()

    def read_body(self, request):
        """For handlers asked at the head: the request's content."""
        if (request.get("Expect") or "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        read_request_body(self, request)
        self.origin.complete(request)

    def give_up_body(self):
        """For handlers asked at the head that leave the content unread."""
        self.is_open = False


class Origin:
    """A server on a port of its own that answers as it is told.

    handler(request, link) returns the bytes of the answer, or None when it has
    sent what it wanted by itself. Which handler: the one that on() was given for
    the request's target, else the default. Requests that are malformed, and
    handlers that fail, fail the test file when the origin is closed.
    """

    def __init__(self, handler=None, serve=None, host="127.0.0.1", port=0):
        self.handler = handler or (lambda request, link: answer(b"hello\n"))
        self.serve = serve or self._serve
        self.handlers = {}
        self.at_head = set()
        self.requests = []     # complete ones, in the order they became so
        self.heads = []        # every one whose head was read
        self.aborted = []      # (request or None, bytes of the stream) cut short
        self.links = []
        self.errors = []
        self.changed = threading.Condition()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listening = socket.create_server((host, port), family=family, backlog=512)
        self.port = self.listening.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    # telling it what to do

    def on(self, target, handler, at="end"):
        """Uses handler for this target; at "head": before the content was read.
        Bytes instead of a handler are sent as they are."""
        if isinstance(handler, bytes):
            handler = canned(handler)
        self.handlers[target] = handler
        if at == "head":
            self.at_head.add(target)

    # asking it what it saw

    @property
    def connections(self):
        return len(self.links)

    def seen(self, target):
        """The complete requests for a target."""
        with self.changed:
            return [r for r in self.requests if r.target == target]

    def bytes_received(self):
        return sum(len(link.received) for link in self.links)

    def forget(self):
        """Starts counting anew: nothing was requested, nothing received."""
        with self.changed:
            for seen in (self.requests, self.heads, self.aborted):
                seen.clear()
            for link in self.links:
                link.received.clear()

    def wait_for(self, condition, what, wait=None):
        """Waits until condition() holds; it is asked after every event."""
        with self.changed:
            if not self.changed.wait_for(condition, WAIT if wait is None else wait):
                raise Failure(f"the origin never saw {what}; requests: "
                              f"{[r.start for r in self.requests]}, aborted: "
                              f"{[r.start if r else None for r, _ in self.aborted]}")

    def wait_request(self, target):
        self.wait_for(lambda: any(r.target == target for r in self.requests),
                      f"a request for {target}")
        return self.seen(target)[-1]

    def wait_head(self, target):
        self.wait_for(lambda: any(r.target == target for r in self.heads),
                      f"the head of a request for {target}")

    def wait_aborted(self, target):
        self.wait_for(lambda: any(r and r.target == target for r, _ in self.aborted),
                      f"an aborted request for {target}")

    # inside

    def _accept(self):
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            with self.changed:
                link = Link(self, sock, len(self.links))
                self.links.append(link)
                self.changed.notify_all()
            threading.Thread(target=self._run, args=(link,), daemon=True).start()

    def _run(self, link):
        try:
            self.serve(link)
        except CutShort:
            with self.changed:
                self.aborted.append((getattr(link, "request", None), bytes(link.received)))
                self.changed.notify_all()
        except OSError:
            pass  # the proxy hung up, or the test closed the origin
        except Exception as error:  # reported at close()
            if link.is_open:
                self.errors.append(f"{type(error).__name__}: {error}")
        finally:
            link.close()

    def _serve(self, link):
        link.wait = 600  # an idle connection is the proxy's affair
        while link.is_open:
            link.request = None
            request = read_request_head(link)
            if request is None:
                return
            link.request = request
            with self.changed:
                self.heads.append(request)
                self.changed.notify_all()
            if request.target not in self.at_head:
                link.read_body(request)
            handler = self.handlers.get(request.target, self.handler)
            data = handler(request, link)
            if data is not None:
                link.send(data)

    def complete(self, request):
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()

    def close(self):
        try:
            self.listening.shutdown(socket.SHUT_RDWR)  # else whoever waits in accept() holds it
        except OSError:
            pass  # it never listened
        self.listening.close()
        for link in self.links:
            link.is_open = False
            try:
                link.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if self.errors:
            raise Failure("at the origin: " + "; ".join(self.errors[:5]))


def send_back(link):
    """Serves a connection that carries no HTTP, or none any more: sends back what it gets."""
    link.wait = 600  # an idle connection is the proxy's affair
    while link.buffer or link.fill():
        link.send(link.exactly(len(link.buffer)))
    link.is_open = False


def canned(data, end=None):
    """A handler that sends these bytes, then does what end says: "close",
    "reset", "half_close" or nothing."""

    def handler(_request, link):
        link.send(data)
        if end is not None:
            getattr(link, end)()

    return handler


def bytewise(data):
    """A handler that sends each byte in a segment of its own."""
    return lambda _request, link: link.send(data, bytewise=True)
