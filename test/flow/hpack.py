# SPDX-License-Identifier: BSD-2-Clause
"""hpack - header compression (RFC 7541): blocks as a test wants them, and strict reading."""

from wire import Failure

# Appendix B as the length of each symbol's code, "a" for 5 bits up to "z" for 30: the code
# is canonical, so that the lengths say it all. The last one is EOS.
HUFFMAN_LENGTHS = (
    "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfi"
    "bccccccccccccccccccccccdcdioijbkabababbbaccbbbabcbaabccccckgjixpr"
    "pprrrsrssssststtrstssssqrsrsstrqprrssqsrrtqrssqqrqsrssprrrsrrsvvp"
    "orsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz"
)
EOS = 256

# Appendix A
STATIC = [(name, value) for name, value in (
    line.partition(" ")[::2] for line in """\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate""".split("\n"))]


def _huffman_codes():
    """(code, length) of each symbol."""
    codes = [None] * 257
    code = length = 0
    for symbol in sorted(range(257), key=lambda symbol: (HUFFMAN_LENGTHS[symbol], symbol)):
        bits = ord(HUFFMAN_LENGTHS[symbol]) - ord("a") + 5
        code <<= bits - length
        length = bits
        codes[symbol] = (code, length)
        code += 1
    return codes


HUFFMAN = _huffman_codes()
HUFFMAN_SYMBOLS = {code: symbol for symbol, code in enumerate(HUFFMAN)}

# ---- writing


def huffman_bits(symbols):
    """The codes of the symbols as text of 0 and 1, not padded yet."""
    return "".join(f"{code:0{length}b}" for code, length in (HUFFMAN[s] for s in symbols))


def packed(bits, padding="1"):
    """Bits as bytes, filled up with that padding."""
    bits += padding * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def integer(value, prefix_bits, first=0):
    """Section 5.1; first: the bits above the prefix."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    coded = bytearray([first | most])
    value -= most
    while value >= 128:
        coded.append(value & 127 | 128)
        value >>= 7
    coded.append(value)
    return bytes(coded)


def to_bytes(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def string(text, huffman=False):
    """Section 5.2."""
    data = to_bytes(text)
    if huffman:
        data = packed(huffman_bits(data))
    return integer(len(data), 7, 0x80 if huffman else 0) + data


def indexed(index):
    return integer(index, 7, 0x80)


def table_size(size):
    return integer(size, 5, 0x20)


def field(name, value, kind="without", huffman=False, index=0):
    """A literal field, kind: with (incremental indexing), without, or never (indexed).
    index: of the name, instead of the name itself."""
    bits, first = {"with": (6, 0x40), "without": (4, 0), "never": (4, 0x10)}[kind]
    coded = integer(index, bits, first)
    return coded + (b"" if index else string(name, huffman)) + string(value, huffman)


def block(fields):
    """All fields as literals: what it does not need to know cannot go wrong."""
    return b"".join(field(name, value) for name, value in fields)


# ---- reading


def huffman_text(data):
    bits = "".join(f"{byte:08b}" for byte in data)
    text = bytearray()
    at = 0
    while at < len(bits):
        for length in range(5, 31):
            symbol = HUFFMAN_SYMBOLS.get((int(bits[at : at + length], 2), length))
            if symbol is not None or at + length > len(bits):
                break
        if at + length > len(bits):
            break
        if symbol is None or symbol == EOS:
            raise Failure(f"HPACK: bad Huffman code in {data.hex()}")
        text.append(symbol)
        at += length
    if len(bits) - at > 7 or "0" in bits[at:]:
        raise Failure(f"HPACK: bad Huffman padding in {data.hex()}")
    return bytes(text)


class Decoder:
    """Reads the blocks of one direction of a connection."""

    def __init__(self, limit=4096):
        self.limit = limit   # what our SETTINGS allow
        self.size = limit
        self.dynamic = []    # newest first
        self.data = b""
        self.at = 0

    def _integer(self, bits):
        value = self.data[self.at] & ((1 << bits) - 1)
        self.at += 1
        if value < (1 << bits) - 1:
            return value
        shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value += (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _string(self):
        is_huffman = self.data[self.at] & 0x80
        length = self._integer(7)
        data = self.data[self.at : self.at + length]
        if len(data) < length:
            raise Failure("HPACK: a string is cut short")
        self.at += length
        return huffman_text(data) if is_huffman else data

    def _entry(self, index):
        if index == 0 or index > len(STATIC) + len(self.dynamic):
            raise Failure(f"HPACK: index {index}")
        if index <= len(STATIC):
            return tuple(text.encode() for text in STATIC[index - 1])
        return self.dynamic[index - len(STATIC) - 1]

    def _evict(self):
        while sum(len(name) + len(value) + 32 for name, value in self.dynamic) > self.size:
            self.dynamic.pop()

    def _next(self):
        """The next field, or None for a change of the table's size."""
        first = self.data[self.at]
        if first & 0x80:
            return self._entry(self._integer(7))
        if first & 0xE0 == 0x20:
            self.size = self._integer(5)
            if self.size > self.limit:
                raise Failure(f"HPACK: a table of {self.size} where {self.limit} are allowed")
            self._evict()
            return None
        is_kept = first & 0x40
        index = self._integer(6 if is_kept else 4)
        name = self._entry(index)[0] if index else self._string()
        entry = (name, self._string())
        if is_kept:
            self.dynamic.insert(0, entry)
            self._evict()
        return entry

    def read(self, data):
        """The fields of a block, as text."""
        self.data, self.at = bytes(data), 0
        fields = []
        try:
            while self.at < len(self.data):
                if (entry := self._next()) is not None:
                    fields.append(tuple(part.decode("latin-1") for part in entry))
        except IndexError:
            raise Failure(f"HPACK: a block is cut short: {data.hex()}") from None
        return fields
