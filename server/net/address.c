/* SPDX-License-Identifier: BSD-2-Clause */
/* address.c - reading and writing socket addresses.
 *
 * Text is written by hand rather than with inet_ntop(), because the access
 * log writes an address for every request.
 */
#include "config.h"

#include "server/net/address.h"

#include "server/base/hex.h"
#include "server/base/must.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

#define PORT_MAX 65535u

/* ---- writing */

static char *
write_decimal(char *at, uint32_t n)
{
    char digits[10];
    int count = 0;

    do {
        digits[count++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

static char *
write_ipv4(char *at, const uint8_t *bytes)
{
    for (int i = 0; i < 4; i++) {
        unsigned n = bytes[i];

        if (i > 0)
            *at++ = '.';
        if (n >= 100)
            *at++ = (char)('0' + n / 100);
        if (n >= 10)
            *at++ = (char)('0' + n / 10 % 10);
        *at++ = (char)('0' + n % 10);
    }
    return at;
}

/* The longest run of at least two zero fields, the first of equals
 * (RFC 5952 section 4.2). Returns its length, 0 when there is none. */
static int
longest_zeros(const unsigned *fields, int *start)
{
    int best = 1;

    for (int i = 0, run = 0; i < 8; i++) {
        run = fields[i] == 0 ? run + 1 : 0;
        if (run > best) {
            best = run;
            *start = i + 1 - run;
        }
    }
    return best > 1 ? best : 0;
}

static char *
write_ipv6(char *at, const uint8_t *bytes)
{
    unsigned fields[8];
    int zeros, start = -1;

    for (int i = 0; i < 8; i++)
        fields[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
    zeros = longest_zeros(fields, &start);
    for (int i = 0; i < 8; i++) {
        if (i == start) {
            *at++ = ':';
            *at++ = ':';
            i += zeros - 1;
            continue;
        }
        if (i > 0 && i != start + zeros)
            *at++ = ':';
        at = hex_put_number(at, fields[i]);
    }
    return at;
}

static char *
write_host(char *at, const struct ip *ip)
{
    if (ip->family == 4)
        return write_ipv4(at, ip->bytes);
    if (ip->family != 6)
        return stpcpy(at, "unix");
    at = write_ipv6(at, ip->bytes);
    if (ip->scope != 0) {
        *at++ = '%';
        at = write_decimal(at, ip->scope);
    }
    return at;
}

size_t
ip_text(const struct ip *ip, char *text)
{
    char *end = write_host(text, ip);

    *end = '\0';
    return (size_t)(end - text);
}

size_t
ip_port_text(const struct ip *ip, char *text)
{
    char *at = text;

    if (ip->family == 6)
        *at++ = '[';
    at = write_host(at, ip);
    if (ip->family == 6)
        *at++ = ']';
    if (ip->family != 0) {
        *at++ = ':';
        at = write_decimal(at, ip->port);
    }
    *at = '\0';
    return (size_t)(at - text);
}

/* ---- addresses */

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* Stores 16 bytes; an IPv4-mapped address (RFC 4291 section 2.5.5.2) as the
 * IPv4 address it is. */
static void
set_ipv6(struct ip *ip, const uint8_t *bytes)
{
    if (memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        ip->family = 4;
        memcpy(ip->bytes, bytes + sizeof(mapped_prefix), 4);
    } else {
        ip->family = 6;
        memcpy(ip->bytes, bytes, 16);
    }
}

bool
ip_parse(struct slice text, struct ip *ip)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    /* A NUL inside would hide what follows it. */
    if (text.bytes == 0 || text.bytes >= sizeof(copy) || memchr(text.data, '\0', text.bytes))
        return false;
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    memset(ip, 0, sizeof(*ip));
    /* inet_pton() takes neither short forms, leading zeros, octal nor hex. */
    if (inet_pton(AF_INET, copy, bytes) == 1) {
        ip->family = 4;
        memcpy(ip->bytes, bytes, 4);
        return true;
    }
    if (inet_pton(AF_INET6, copy, bytes) != 1)
        return false;
    set_ipv6(ip, bytes);
    return true;
}

bool
ip_equal_host(const struct ip *a, const struct ip *b)
{
    if (a->family != b->family || a->scope != b->scope)
        return false;
    return a->family == 0 || memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16) == 0;
}

bool
ip_equal(const struct ip *a, const struct ip *b)
{
    return a->port == b->port && ip_equal_host(a, b);
}

void
ip_from_sockaddr(struct ip *ip, const struct sockaddr *sa)
{
    memset(ip, 0, sizeof(*ip));
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof(in));
        ip->family = 4;
        ip->port = ntohs(in.sin_port);
        memcpy(ip->bytes, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof(in6));
        ip->port = ntohs(in6.sin6_port);
        set_ipv6(ip, in6.sin6_addr.s6_addr);
        if (ip->family == 6)
            ip->scope = in6.sin6_scope_id;
    }
}

void
address_from_ip(struct address *address, const struct ip *ip)
{
    memset(address, 0, sizeof(*address));
    if (ip->family == 4) {
        address->bytes = sizeof(address->to.in);
        address->to.in.sin_family = AF_INET;
        address->to.in.sin_port = htons(ip->port);
        memcpy(&address->to.in.sin_addr, ip->bytes, 4);
    } else if (ip->family == 6) {
        address->bytes = sizeof(address->to.in6);
        address->to.in6.sin6_family = AF_INET6;
        address->to.in6.sin6_port = htons(ip->port);
        address->to.in6.sin6_scope_id = ip->scope;
        memcpy(&address->to.in6.sin6_addr, ip->bytes, 16);
    } else {
        address->bytes = sizeof(sa_family_t);
        address->to.any.sa_family = AF_UNSPEC;
    }
}

/* ---- reading what an operator wrote */

static const char accepted[] =
    "write \"127.0.0.1:80\", \"[::1]:80\", \"*:80\" or \"unix:/path\"";

static int
parse_unix(struct address *address, struct slice path, struct err *err)
{
    struct sockaddr_un *un = &address->to.un;

    if (path.bytes == 0 || path.data[0] != '/' || slice_find(path, '\0') >= 0)
        return err_set(err, "\"unix:%.*s\" wants an absolute path, as in \"unix:/run/app.sock\"",
                       SLICE_ARG(path));
    if (path.bytes >= sizeof(un->sun_path))
        return err_set(err, "\"unix:%.*s\" is too long: a socket's path has at most %zu bytes",
                       SLICE_ARG(path), sizeof(un->sun_path) - 1);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.data, path.bytes);
    address->bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.bytes + 1);
    return 0;
}

/* The number or name behind "%" (RFC 4007 section 11). */
static bool
parse_scope(struct slice text, uint32_t *scope)
{
    char name[IF_NAMESIZE];
    uint64_t number;

    if (slice_to_u64(text, UINT32_MAX, &number)) {
        *scope = (uint32_t)number;
        return number > 0;
    }
    if (text.bytes == 0 || text.bytes >= sizeof(name))
        return false;
    memcpy(name, text.data, text.bytes);
    name[text.bytes] = '\0';
    *scope = if_nametoindex(name);
    return *scope > 0;
}

static int
parse_bracketed(struct ip *ip, struct slice host, struct err *err)
{
    ptrdiff_t percent = slice_find(host, '%');
    struct slice literal = host;
    uint32_t scope = 0;

    if (percent >= 0) {
        literal.bytes = (size_t)percent;
        if (!parse_scope(slice_skip(host, literal.bytes + 1), &scope))
            return err_set(err, "\"%.*s\" names no network interface of this machine",
                           SLICE_ARG(host));
    }
    if (!ip_parse(literal, ip) || slice_find(literal, ':') < 0)
        return err_set(err, "\"[%.*s]\" is not an IPv6 address", SLICE_ARG(host));
    ip->scope = scope;
    return 0;
}

static int
parse_host(struct ip *ip, struct slice host, struct err *err)
{
    if (host.bytes >= 2 && host.data[0] == '[' && host.data[host.bytes - 1] == ']')
        return parse_bracketed(ip, slice_make(host.data + 1, host.bytes - 2), err);
    if (host.bytes == 0 || slice_equal(host, SLICE("*"))) {
        memset(ip, 0, sizeof(*ip));
        ip->family = 6;
        return 0;
    }
    if (!ip_parse(host, ip))
        return err_set(err, "\"%.*s\" is not an IP address; %s", SLICE_ARG(host), accepted);
    if (slice_find(host, ':') >= 0)
        return err_set(err, "\"%.*s\" is an IPv6 address and goes in brackets, as in \"[::1]:80\"",
                       SLICE_ARG(host));
    return 0;
}

/* Where the colon before the port is; -1 when there is no port. */
static ptrdiff_t
find_port(struct slice text)
{
    ptrdiff_t at = -1;

    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == ']')
            at = -1;
        else if (text.data[i] == ':')
            at = (ptrdiff_t)i;
    }
    return at;
}

int
address_parse(struct address *address, struct slice text, int default_port, struct err *err)
{
    struct slice host = text, port = slice_make(NULL, 0);
    ptrdiff_t colon;
    uint64_t number = 0;
    struct ip ip;

    memset(address, 0, sizeof(*address));
    if (slice_starts_with(text, SLICE("unix:")))
        return parse_unix(address, slice_skip(text, 5), err);
    colon = find_port(text);
    if (slice_to_u64(text, UINT64_MAX, &number)) {
        host.bytes = 0;
        port = text;
    } else if (ip_parse(text, &ip) && ip.family == 6) {
        return err_set(err, "\"%.*s\" is an IPv6 address and goes in brackets: \"[%.*s]:80\"",
                       SLICE_ARG(text), SLICE_ARG(text));
    } else if (colon >= 0) {
        host.bytes = (size_t)colon;
        port = slice_skip(text, (size_t)colon + 1);
    } else if (default_port < 0) {
        return err_set(err, "\"%.*s\" has no port; %s", SLICE_ARG(text), accepted);
    }
    if (parse_host(&ip, host, err) < 0)
        return -1;
    if (port.data == NULL)
        number = (uint64_t)default_port;
    else if (!slice_to_u64(port, UINT64_MAX, &number))
        return err_set(err, "\"%.*s\" is not a port number in \"%.*s\"", SLICE_ARG(port),
                       SLICE_ARG(text));
    if (number > PORT_MAX)
        return err_set(err, "port %.*s is outside 0..%u", SLICE_ARG(port), PORT_MAX);
    ip.port = (uint16_t)number;
    address_from_ip(address, &ip);
    return 0;
}

const char *
address_text(const struct address *address, char *text)
{
    struct ip ip;

    if (address->to.any.sa_family == AF_UNIX) {
        snprintf(text, ADDRESS_TEXT_BYTES, "unix:%s", address->to.un.sun_path);
        return text;
    }
    ip_from_sockaddr(&ip, &address->to.any);
    if (ip.family == 6 && ip.scope == 0 && IN6_IS_ADDR_UNSPECIFIED(&address->to.in6.sin6_addr))
        snprintf(text, ADDRESS_TEXT_BYTES, "*:%u", (unsigned)ip.port);
    else
        ip_port_text(&ip, text);
    return text;
}

bool
address_equal(const struct address *a, const struct address *b)
{
    struct ip ip_a, ip_b;

    if (a->to.any.sa_family == AF_UNIX || b->to.any.sa_family == AF_UNIX)
        return a->to.any.sa_family == b->to.any.sa_family &&
               strcmp(a->to.un.sun_path, b->to.un.sun_path) == 0;
    ip_from_sockaddr(&ip_a, &a->to.any);
    ip_from_sockaddr(&ip_b, &b->to.any);
    return ip_equal(&ip_a, &ip_b);
}
