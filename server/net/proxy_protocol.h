/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy_protocol.h - who a connection is really from: the PROXY header that
 * proxies put in front of a stream, versions 1 and 2.
 *
 * Source: "The PROXY protocol, Versions 1 & 2" (haproxy.org, 2020), section 2.
 * Pure functions: no socket, no memory.
 */
#ifndef BASCULE_PROXY_PROTOCOL_H
#define BASCULE_PROXY_PROTOCOL_H

#include "server/base/must.h"
#include "server/base/slice.h"
#include "server/net/address.h"

/* No header that is accepted is longer: version 1 ends within 107 bytes, and
 * version 2 is given this much room for its extensions. */
#define PROXY_PROTOCOL_READ_MAX 4096

/* Room for the longest header that is written. */
#define PROXY_PROTOCOL_MAX 108

enum proxy_protocol_result {
    PROXY_PROTOCOL_OK,
    PROXY_PROTOCOL_MORE, /* good so far: come back with more bytes in front of the same */
    PROXY_PROTOCOL_BAD,  /* no header, or a malformed one: close the connection */
};

/* Reads the header at the start of bytes. When it is whole, sets
 * *header_bytes, and *source and *destination to what it says; their family is
 * 0 when it names nobody (LOCAL, UNKNOWN, unix sockets): then the connection's
 * own addresses hold. Extensions are checked for form and passed over, and a
 * checksum among them must be right. */
enum proxy_protocol_result proxy_protocol_parse(struct slice bytes, struct ip *source,
                                                struct ip *destination,
                                                size_t *header_bytes) MUST_USE;

/* Writes a header of version 1 or 2 and returns its length. Addresses of which
 * one is not IP are written as UNKNOWN or unspecified; IPv4 beside IPv6 as
 * IPv4-mapped. */
size_t proxy_protocol_write(char out[PROXY_PROTOCOL_MAX], int version, const struct ip *source,
                            const struct ip *destination);

#endif
