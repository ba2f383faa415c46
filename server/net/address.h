/* SPDX-License-Identifier: BSD-2-Clause */
/* address.h - where sockets are: IP addresses with ports, and unix paths. */
#ifndef BASCULE_ADDRESS_H
#define BASCULE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "server/base/err.h"
#include "server/base/slice.h"

/* An IP address and port, compact: what a connection remembers of its peer.
 * IPv4-mapped IPv6 addresses are always stored as IPv4. */
struct ip {
    uint8_t family; /* 4, 6, or 0: not IP (a unix socket) */
    uint16_t port;  /* host order */
    uint32_t scope; /* of a link-local IPv6 address */
    uint8_t bytes[16]; /* network order; 4 or 16 of them */
};

/* Any socket address, for configuration and for connect() and bind(). */
struct address {
    socklen_t bytes;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } to;
};

struct addresses {
    struct address *items;
    size_t count;
};

#define IP_TEXT_BYTES 64

/* Text of the address alone ("10.1.2.3", "2001:db8::1" in RFC 5952 form;
 * "unix" for family 0) or with port ("10.1.2.3:80", "[2001:db8::1]:80") into
 * text[IP_TEXT_BYTES]. A scope follows as a number: "fe80::1%2". Returns the
 * length. */
size_t ip_text(const struct ip *ip, char *text);
size_t ip_port_text(const struct ip *ip, char *text);

/* Reads a literal IPv4 or IPv6 address (without brackets, RFC 4291 text;
 * IPv4 as four decimal numbers without leading zeros: nothing else). Port 0. */
bool ip_parse(struct slice text, struct ip *ip);

bool ip_equal(const struct ip *a, const struct ip *b);      /* address and port */
bool ip_equal_host(const struct ip *a, const struct ip *b); /* address only */

void ip_from_sockaddr(struct ip *ip, const struct sockaddr *sa);
void address_from_ip(struct address *address, const struct ip *ip);

/* Reads "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "*:80" and ":80" (any
 * address: IPv6 and IPv4 at once), "unix:/path"; a bare port "80" too. Port 0
 * is allowed: the kernel chooses. default_port < 0: a port is required. Host
 * names are refused. Returns 0 or -1 with err saying what was found and what
 * would be accepted. */
int address_parse(struct address *address, struct slice text, int default_port, struct err *err);

/* As it would be written in the configuration. Returns text. */
#define ADDRESS_TEXT_BYTES 128
const char *address_text(const struct address *address, char *text);

bool address_equal(const struct address *a, const struct address *b);

#endif
