#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A name server that says what a test wants: over UDP and TCP, on one port.

    dns_server.py [--bind 127.0.0.1] [--port 0] [--file NAMES] [--counts COUNTS] [NAME=ADDRESS,...]...

Prints its port in a line of its own and serves until it is terminated. NAMES is
a JSON file, read again whenever it changes:

    { "a.test":    { "addresses": ["127.0.0.1", "::1"], "ttl": 5 },
      "slow.test": { "addresses": ["127.0.0.1"], "delay_ms": 300, "delay_aaaa_ms": 2000 },
      "www.test":  { "alias": "a.test" },
      "bad.test":  { "answer": "servfail" },
      "late.test": { "addresses": ["127.0.0.1"], "fails_first": 1 },
      "*":         { "answer": "nxdomain" } }

"answer" is one of: nxdomain, servfail, refused, silent (none at all), silent_aaaa,
truncated (over UDP: come back over TCP), garbage. "*" stands for every name
"fails_first" is how many questions of each type get servfail before any other answer. "*" stands for every name
that is not listed; without it they do not exist (nxdomain). "ttl" and
"negative_ttl" are seconds, 60 when not given.

COUNTS is a JSON file, rewritten before each answer is sent:

    { "a.test": { "A": 1, "AAAA": 1 }, "*": { "TCP": 0 } }
"""

import argparse
import asyncio
import ipaddress
import json
import os
import signal
import struct
import sys

TYPES = {1: "A", 28: "AAAA"}
CNAME, SOA, IN = 5, 6, 1
CODES = {"nxdomain": 3, "servfail": 2, "refused": 5}
QR_RD_RA, TC = 0x8180, 0x0200


def encode_name(name):
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def encode_record(name, kind, ttl, data):
    return encode_name(name) + struct.pack(">HHIH", kind, IN, ttl, len(data)) + data


def read_question(message):
    """The name in lower case, the type, and where the question ends."""
    at, labels = 12, []
    while message[at] != 0:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("ascii"))
        at += 1 + message[at]
    (kind,) = struct.unpack_from(">H", message, at + 1)
    return ".".join(labels).lower(), kind, at + 5


class Names:
    """What is said about names: arguments, and a file that may change."""

    def __init__(self, fixed, path):
        self.fixed, self.path = fixed, path
        self.stamp, self.listed = None, {}

    def find(self, name):
        self.read_if_changed()
        return self.listed.get(name) or self.fixed.get(name) or self.listed.get("*") or {
            "answer": "nxdomain"
        }

    def read_if_changed(self):
        if self.path is None:
            return
        try:
            status = os.stat(self.path)
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp != self.stamp:
                with open(self.path, encoding="utf-8") as file:
                    self.listed = {name.lower(): rule for name, rule in json.load(file).items()}
                self.stamp = stamp
        except (OSError, ValueError) as error:  # half written: the old rules hold
            print(f"dns_server: {self.path}: {error}", file=sys.stderr)


class Counts:
    def __init__(self, path):
        self.path, self.counts = path, {"*": {"TCP": 0}}

    def add(self, name, kind, is_tcp):
        of_name = self.counts.setdefault(name, {})
        of_name[kind] = of_name.get(kind, 0) + 1
        self.counts["*"]["TCP"] += is_tcp
        if self.path is not None:
            with open(self.path + ".new", "w", encoding="utf-8") as file:
                json.dump(self.counts, file)
            os.replace(self.path + ".new", self.path)
        return of_name[kind]


class Server:
    def __init__(self, names, counts):
        self.names, self.counts = names, counts

    def records(self, name, kind, depth=0):
        """The records for an answer, aliases followed."""
        rule = self.names.find(name)
        ttl = rule.get("ttl", 60)
        if "alias" in rule and depth < 8:
            alias = encode_record(name, CNAME, ttl, encode_name(rule["alias"]))
            return [alias] + self.records(rule["alias"].lower(), kind, depth + 1)
        addresses = [ipaddress.ip_address(text) for text in rule.get("addresses", [])]
        return [
            encode_record(name, kind, ttl, address.packed)
            for address in addresses
            if kind == (1 if address.version == 4 else 28)
        ]

    async def answer(self, message, is_tcp):
        """The answer to a message, or None."""
        try:
            name, kind, end = read_question(message)
        except (IndexError, struct.error, UnicodeDecodeError):
            return None
        rule = self.names.find(name)
        how = rule.get("answer", "")
        asked = self.counts.add(name, TYPES.get(kind, str(kind)), is_tcp)
        if asked <= rule.get("fails_first", 0):
            how = "servfail"
        await asyncio.sleep(self.delay_ms(rule, kind) / 1000)
        if how == "silent" or (how == "silent_aaaa" and kind == 28):
            return None
        if how == "garbage":
            return message[:2] + os.urandom(40)
        records, authority, flags = [], [], QR_RD_RA | CODES.get(how, 0)
        if how == "truncated" and not is_tcp:
            flags |= TC
        elif how not in CODES:
            records = self.records(name, kind)
        if not records and how in ("", "nxdomain", "silent_aaaa"):
            ttl = rule.get("negative_ttl", 60)
            data = b"\0\0" + struct.pack(">IIIII", 1, 60, 60, 60, ttl)
            authority = [encode_record("", SOA, ttl, data)]
        head = message[:2] + struct.pack(">HHHHH", flags, 1, len(records), len(authority), 0)
        return head + message[12:end] + b"".join(records) + b"".join(authority)

    @staticmethod
    def delay_ms(rule, kind):
        delay = rule.get("delay_ms", 0)
        return rule.get("delay_aaaa_ms", delay) if kind == 28 else delay

    async def serve_tcp(self, reader, writer):
        try:
            while True:
                (length,) = struct.unpack(">H", await reader.readexactly(2))
                answer = await self.answer(await reader.readexactly(length), True)
                if answer is not None:
                    writer.write(struct.pack(">H", len(answer)) + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server):
        self.server, self.transport, self.tasks = server, None, set()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        task = asyncio.ensure_future(self.reply(data, addr))
        self.tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self.tasks.discard)

    async def reply(self, data, addr):
        answer = await self.server.answer(data, False)
        if answer is not None:
            self.transport.sendto(answer, addr)


async def open_both(server, address, port):
    """TCP and UDP on one port: with port 0, tried until both are free."""
    loop = asyncio.get_running_loop()
    for _ in range(50):
        tcp = await asyncio.start_server(server.serve_tcp, address, port)
        bound = tcp.sockets[0].getsockname()[1]
        try:
            await loop.create_datagram_endpoint(
                lambda: Datagrams(server), local_addr=(address, bound)
            )
            return bound
        except OSError:
            tcp.close()
            if port != 0:
                raise
    raise OSError("no port is free for both UDP and TCP")


async def serve(options):
    fixed = {}
    for text in options.names:
        name, _, addresses = text.partition("=")
        fixed[name.lower()] = {"addresses": addresses.split(",") if addresses else []}
    server = Server(Names(fixed, options.file), Counts(options.counts))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(await open_both(server, options.bind, options.port), flush=True)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--file", metavar="NAMES")
    parser.add_argument("--counts", metavar="COUNTS")
    parser.add_argument("names", nargs="*", metavar="NAME=ADDRESS,...")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
