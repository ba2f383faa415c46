/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy_protocol.c - reading and writing PROXY headers.
 *
 *   version 1: "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", 107 bytes at most
 *   version 2: signature (12), version and command, family, length (2),
 *              addresses and ports, extensions (type, length (2), value)
 *
 * Every judgement depends only on bytes in front of it, so that a header that
 * comes byte by byte gets the same verdict as a whole one. Section numbers are
 * of the specification named in the header.
 */
#include "config.h"

#include "server/net/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdio.h>

#define V1_MAX 107
#define V2_HEAD_BYTES 16
#define UNIX_BYTES 216 /* two paths of 108 */

static const struct slice v1_prefix = SLICE_INIT("PROXY");
static const struct slice v2_signature = SLICE_INIT("\r\n\r\n\0\r\nQUIT\n");

static bool
may_become(struct slice bytes, struct slice prefix)
{
    size_t n = bytes.bytes < prefix.bytes ? bytes.bytes : prefix.bytes;

    return memcmp(bytes.data, prefix.data, n) == 0;
}

/* ---- version 1 (section 2.1) */

/* Takes what precedes the next single space, or all; false when it is empty. */
static bool
take_word(struct slice *line, struct slice *word)
{
    ptrdiff_t space = slice_find(*line, ' ');

    *word = slice_make(line->data, space < 0 ? line->bytes : (size_t)space);
    *line = slice_skip(*line, word->bytes + (space < 0 ? 0 : 1));
    return word->bytes > 0;
}

static bool
parse_v1_address(struct slice text, bool is_v6, struct ip *ip)
{
    /* An IPv4-mapped address is kept as IPv4, so the text tells the family. */
    return (slice_find(text, ':') >= 0) == is_v6 && slice_find(text, '%') < 0 &&
           ip_parse(text, ip);
}

static bool
parse_v1_port(struct slice text, uint16_t *port)
{
    uint64_t value;

    if (!slice_to_u64(text, 65535, &value) || (text.data[0] == '0' && text.bytes > 1))
        return false;
    *port = (uint16_t)value;
    return true;
}

/* The line without its CRLF. */
static enum proxy_protocol_result
parse_v1_line(struct slice line, struct ip *source, struct ip *destination)
{
    struct slice word, from, to, from_port, to_port;
    bool is_v6;

    if (!take_word(&line, &word) || !slice_equal(word, v1_prefix) || !take_word(&line, &word))
        return PROXY_PROTOCOL_BAD;
    if (slice_equal(word, SLICE("UNKNOWN"))) /* whatever follows is to be ignored */
        return PROXY_PROTOCOL_OK;
    is_v6 = slice_equal(word, SLICE("TCP6"));
    if (!is_v6 && !slice_equal(word, SLICE("TCP4")))
        return PROXY_PROTOCOL_BAD;
    if (!take_word(&line, &from) || !take_word(&line, &to) || !take_word(&line, &from_port))
        return PROXY_PROTOCOL_BAD;
    to_port = line; /* a space in it is no digit */
    if (!parse_v1_address(from, is_v6, source) || !parse_v1_address(to, is_v6, destination) ||
        !parse_v1_port(from_port, &source->port) || !parse_v1_port(to_port, &destination->port))
        return PROXY_PROTOCOL_BAD;
    return PROXY_PROTOCOL_OK;
}

static enum proxy_protocol_result
parse_v1(struct slice bytes, struct ip *source, struct ip *destination, size_t *header_bytes)
{
    size_t seen = bytes.bytes < V1_MAX ? bytes.bytes : V1_MAX;
    size_t end = 0;

    while (end < seen && bytes.data[end] != '\r' && bytes.data[end] != '\n')
        end++;
    if (end < seen && bytes.data[end] == '\n')
        return PROXY_PROTOCOL_BAD;
    if (end + 1 >= seen)
        return seen == V1_MAX ? PROXY_PROTOCOL_BAD : PROXY_PROTOCOL_MORE;
    if (bytes.data[end + 1] != '\n')
        return PROXY_PROTOCOL_BAD;
    *header_bytes = end + 2;
    return parse_v1_line(slice_make(bytes.data, end), source, destination);
}

/* ---- version 2 (section 2.2) */

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 }; /* version in the high bits */

enum { FAMILY_UNSPECIFIED = 0x00, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21, FAMILY_UNIX = 0x31 };

enum { EXTENSION_CRC32C = 0x03 };

static unsigned
u8_at(struct slice bytes, size_t at)
{
    return (unsigned char)bytes.data[at];
}

static unsigned
u16_at(struct slice bytes, size_t at)
{
    return u8_at(bytes, at) << 8 | u8_at(bytes, at + 1);
}

static uint32_t
crc32c_add(uint32_t crc, unsigned byte)
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    return crc;
}

/* Section 2.2.2: the checksum of the whole header, its own value taken as 0. */
static bool
checksum_is_right(struct slice header, size_t at)
{
    uint32_t stated = (uint32_t)u16_at(header, at) << 16 | u16_at(header, at + 2);
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < header.bytes; i++)
        crc = crc32c_add(crc, i >= at && i < at + 4 ? 0 : u8_at(header, i));
    return ~crc == stated;
}

/* Extensions fill the header from at to its end exactly. */
static bool
extensions_are_good(struct slice header, size_t at)
{
    bool has_checksum = false;

    while (at < header.bytes) {
        size_t bytes;

        if (header.bytes - at < 3)
            return false;
        bytes = u16_at(header, at + 1);
        if (header.bytes - at - 3 < bytes)
            return false;
        if (u8_at(header, at) == EXTENSION_CRC32C) {
            if (has_checksum || bytes != 4 || !checksum_is_right(header, at + 3))
                return false;
            has_checksum = true;
        }
        at += 3 + bytes;
    }
    return true;
}

/* The bytes that a family's addresses take; -1: not a family of TCP streams. */
static int
family_bytes(unsigned family)
{
    switch (family) {
    case FAMILY_UNSPECIFIED:
        return 0;
    case FAMILY_TCP4:
        return 12;
    case FAMILY_TCP6:
        return 36;
    case FAMILY_UNIX:
        return UNIX_BYTES;
    }
    return -1;
}

static void
read_v4(struct slice header, size_t at, size_t port_at, struct ip *ip)
{
    ip->family = 4;
    memcpy(ip->bytes, header.data + at, 4);
    ip->port = (uint16_t)u16_at(header, port_at);
}

static void
read_v6(struct slice header, size_t at, size_t port_at, struct ip *ip)
{
    struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)u16_at(header, port_at)) };

    memcpy(&sa.sin6_addr, header.data + at, 16);
    ip_from_sockaddr(ip, (const struct sockaddr *)&sa); /* knows IPv4-mapped */
}

/* The whole header is there. */
static enum proxy_protocol_result
parse_v2_body(struct slice header, struct ip *source, struct ip *destination)
{
    unsigned family = u8_at(header, 13);
    size_t addresses = (size_t)family_bytes(family);

    if (u8_at(header, 12) == COMMAND_LOCAL) /* a health check: everything else is to be ignored */
        return PROXY_PROTOCOL_OK;
    if (family == FAMILY_UNSPECIFIED) /* what follows may be addresses of any form */
        return PROXY_PROTOCOL_OK;
    if (!extensions_are_good(header, V2_HEAD_BYTES + addresses))
        return PROXY_PROTOCOL_BAD;
    if (family == FAMILY_TCP4) {
        read_v4(header, 16, 24, source);
        read_v4(header, 20, 26, destination);
    } else if (family == FAMILY_TCP6) {
        read_v6(header, 16, 48, source);
        read_v6(header, 32, 50, destination);
    }
    return PROXY_PROTOCOL_OK;
}

static enum proxy_protocol_result
parse_v2(struct slice bytes, struct ip *source, struct ip *destination, size_t *header_bytes)
{
    bool is_local = bytes.bytes > 12 && u8_at(bytes, 12) == COMMAND_LOCAL;
    int addresses;
    size_t whole;

    if (bytes.bytes > 12 && !is_local && u8_at(bytes, 12) != COMMAND_PROXY)
        return PROXY_PROTOCOL_BAD;
    addresses = bytes.bytes > 13 && !is_local ? family_bytes(u8_at(bytes, 13)) : 0;
    if (addresses < 0)
        return PROXY_PROTOCOL_BAD;
    if (bytes.bytes < V2_HEAD_BYTES)
        return PROXY_PROTOCOL_MORE;
    whole = V2_HEAD_BYTES + u16_at(bytes, 14);
    if (whole > PROXY_PROTOCOL_READ_MAX || whole < V2_HEAD_BYTES + (size_t)addresses)
        return PROXY_PROTOCOL_BAD;
    if (bytes.bytes < whole)
        return PROXY_PROTOCOL_MORE;
    *header_bytes = whole;
    return parse_v2_body(slice_make(bytes.data, whole), source, destination);
}

enum proxy_protocol_result
proxy_protocol_parse(struct slice bytes, struct ip *source, struct ip *destination,
                     size_t *header_bytes)
{
    *source = *destination = (struct ip){ .family = 0 };
    if (bytes.bytes == 0)
        return PROXY_PROTOCOL_MORE;
    if (may_become(bytes, v2_signature))
        return parse_v2(bytes, source, destination, header_bytes);
    if (may_become(bytes, v1_prefix))
        return parse_v1(bytes, source, destination, header_bytes);
    return PROXY_PROTOCOL_BAD;
}

/* ---- writing */

/* The 16 bytes of an address as IPv6, IPv4 as mapped. */
static void
as_v6(const struct ip *ip, unsigned char bytes[16])
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (ip->family == 6) {
        memcpy(bytes, ip->bytes, 16);
        return;
    }
    memcpy(bytes, mapped, sizeof(mapped));
    memcpy(bytes + sizeof(mapped), ip->bytes, 4);
}

static void
v1_address(const struct ip *ip, bool is_v6, char text[INET6_ADDRSTRLEN])
{
    unsigned char bytes[16];

    if (is_v6)
        as_v6(ip, bytes);
    else
        memcpy(bytes, ip->bytes, 4);
    inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes, text, INET6_ADDRSTRLEN);
}

static size_t
write_v1(char *out, const struct ip *source, const struct ip *destination, unsigned family)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

    if (family == FAMILY_UNSPECIFIED)
        return (size_t)snprintf(out, PROXY_PROTOCOL_MAX, "PROXY UNKNOWN\r\n");
    v1_address(source, family == FAMILY_TCP6, from);
    v1_address(destination, family == FAMILY_TCP6, to);
    return (size_t)snprintf(out, PROXY_PROTOCOL_MAX, "PROXY TCP%d %s %s %u %u\r\n",
                            family == FAMILY_TCP6 ? 6 : 4, from, to, source->port,
                            destination->port);
}

static unsigned char *
put_u16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
    return at + 2;
}

static size_t
write_v2(char *out, const struct ip *source, const struct ip *destination, unsigned family)
{
    unsigned char *at = (unsigned char *)out;

    memcpy(at, v2_signature.data, v2_signature.bytes);
    at += v2_signature.bytes;
    *at++ = COMMAND_PROXY;
    *at++ = (unsigned char)family;
    at = put_u16(at, (unsigned)family_bytes(family));
    if (family == FAMILY_TCP4) {
        memcpy(at, source->bytes, 4);
        memcpy(at + 4, destination->bytes, 4);
        at += 8;
    } else if (family == FAMILY_TCP6) {
        as_v6(source, at);
        as_v6(destination, at + 16);
        at += 32;
    }
    if (family != FAMILY_UNSPECIFIED)
        at = put_u16(put_u16(at, source->port), destination->port);
    return (size_t)(at - (unsigned char *)out);
}

size_t
proxy_protocol_write(char out[PROXY_PROTOCOL_MAX], int version, const struct ip *source,
                     const struct ip *destination)
{
    unsigned family = source->family == 0 || destination->family == 0   ? FAMILY_UNSPECIFIED
                      : source->family == 4 && destination->family == 4 ? FAMILY_TCP4
                                                                        : FAMILY_TCP6;

    return version == 1 ? write_v1(out, source, destination, family)
                        : write_v2(out, source, destination, family);
}
