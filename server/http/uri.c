/* SPDX-License-Identifier: BSD-2-Clause */
/* uri.c - URIs of RFC 3986, as far as http and https need them. */
#include "config.h"

#include "server/http/uri.h"

#include "server/base/hex.h"
#include "server/http/scan.h"

#include <arpa/inet.h>
#include <stdint.h>

enum { HOST_MAX = 255 };

/* ---- authority */

/* The place behind the host, or NULL. One pass: letters that are allowed, and
 * no dot at the start or behind another. */
static const char *
skip_name(const char *at, const char *end)
{
    const char *start = at;
    char before = '.';

    for (; at < end && char_is(*at, CHAR_HOST); at++) {
        if (*at == '.' && before == '.')
            return NULL;
        before = *at;
    }
    return at > start && at - start <= HOST_MAX ? at : NULL;
}

static bool
is_ipv6(struct slice text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (text.bytes >= sizeof(copy) || memchr(text.data, '\0', text.bytes) != NULL)
        return false;
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1;
}

static int
parse_port(struct slice text, int *port)
{
    int number = 0;

    *port = -1;
    if (text.bytes == 0)
        return 0;
    for (size_t i = 0; i < text.bytes; i++) {
        if (!ascii_is_digit(text.data[i]))
            return -1;
        number = number * 10 + (text.data[i] - '0');
        if (number > 65535)
            return -1;
    }
    if (number == 0)
        return -1;
    *port = number;
    return 0;
}

int
uri_parse_authority(struct slice authority, struct slice *host, int *port)
{
    const char *end = authority.data + authority.bytes, *at;

    *port = -1;
    if (authority.bytes == 0)
        return -1;
    if (authority.data[0] == '[') {
        at = memchr(authority.data, ']', authority.bytes);
        if (at == NULL)
            return -1;
        *host = slice_make(authority.data + 1, (size_t)(at - authority.data) - 1);
        if (!is_ipv6(*host))
            return -1;
        at++;
    } else {
        at = skip_name(authority.data, end);
        if (at == NULL)
            return -1;
        *host = slice_make(authority.data, (size_t)(at - authority.data));
    }
    if (at == end)
        return 0;
    if (*at != ':')
        return -1;
    return parse_port(slice_make(at + 1, (size_t)(end - at) - 1), port);
}

struct slice
uri_normal_host(struct slice host, struct arena *arena)
{
    unsigned classes = 0;
    char *copy;

    if (host.bytes > 1 && host.data[host.bytes - 1] == '.')
        host.bytes--;
    for (size_t i = 0; i < host.bytes; i++)
        classes |= char_classes[(unsigned char)host.data[i]];
    if (!(classes & CHAR_UPPER))
        return host;
    copy = arena_alloc(arena, host.bytes);
    if (copy == NULL)
        return slice_make(NULL, 0);
    for (size_t i = 0; i < host.bytes; i++)
        copy[i] = ascii_lower(host.data[i]);
    return slice_make(copy, host.bytes);
}

/* ---- IPv4 in disguise */

/* Digits, or 0x and hexadecimal digits, perhaps none: what inet_aton() and
 * browsers take for a number. */
static bool
is_number(struct slice label)
{
    bool is_hex = label.bytes >= 2 && label.data[0] == '0' && (label.data[1] | 0x20) == 'x';

    for (size_t i = is_hex ? 2 : 0; i < label.bytes; i++)
        if (!(is_hex ? hex_value(label.data[i]) >= 0 : ascii_is_digit(label.data[i])))
            return false;
    return label.bytes > 0;
}

/* Four numbers up to 255, without zeros in front. */
static bool
is_plain_ipv4(struct slice host)
{
    unsigned dots = 0, digits = 0, number = 0;

    for (size_t i = 0; i < host.bytes; i++) {
        char c = host.data[i];

        if (c == '.' && digits > 0) {
            dots++;
            digits = number = 0;
            continue;
        }
        if (!ascii_is_digit(c) || (digits > 0 && number == 0))
            return false;
        number = number * 10 + (unsigned)(c - '0');
        digits++;
        if (number > 255)
            return false;
    }
    return dots == 3 && digits > 0;
}

bool
uri_host_is_odd_ip(struct slice host)
{
    struct slice last;
    const char *dot;

    if (slice_find(host, ':') >= 0) /* IPv6, whose tail may be four decimal numbers */
        return false;
    if (host.bytes > 0 && host.data[host.bytes - 1] == '.')
        host.bytes--;
    dot = host.bytes > 0 ? memrchr(host.data, '.', host.bytes) : NULL;
    last = dot != NULL ? slice_skip(host, (size_t)(dot - host.data) + 1) : host;
    return is_number(last) && !is_plain_ipv4(host);
}

/* ---- the whole */

void
uri_split_query(struct slice path_and_query, struct slice *path, struct slice *query)
{
    ptrdiff_t mark = slice_find(path_and_query, '?');

    *path = path_and_query;
    *query = slice_make(NULL, 0);
    if (mark >= 0) {
        path->bytes = (size_t)mark;
        *query = slice_skip(path_and_query, (size_t)mark + 1);
    }
}

static bool
is_scheme(struct slice scheme)
{
    if (scheme.bytes == 0 || (scheme.data[0] | 0x20) < 'a' || (scheme.data[0] | 0x20) > 'z')
        return false;
    for (size_t i = 0; i < scheme.bytes; i++) {
        char c = scheme.data[i];

        if ((!char_is(c, CHAR_HOST) && c != '+') || c == '_')
            return false;
    }
    return true;
}

int
uri_parse_absolute(struct slice uri, struct slice *scheme, struct slice *authority,
                   struct slice *path, struct slice *query)
{
    ptrdiff_t colon = slice_find(uri, ':');
    size_t bytes = 0;
    struct slice rest;

    if (colon < 0 || slice_find(uri, '#') >= 0)
        return -1;
    *scheme = slice_make(uri.data, (size_t)colon);
    rest = slice_skip(uri, (size_t)colon);
    if (!is_scheme(*scheme) || !slice_starts_with(rest, SLICE("://")))
        return -1;
    rest = slice_skip(rest, 3);
    while (bytes < rest.bytes && rest.data[bytes] != '/' && rest.data[bytes] != '?')
        bytes++;
    *authority = slice_make(rest.data, bytes);
    uri_split_query(slice_skip(rest, bytes), path, query);
    return 0;
}

/* ---- the normal path */

static bool
is_decodable(int c)
{
    return c > 0x20 && c < 0x7f && c != '%' && c != '/' && c != '?' && c != '#';
}

/* Whether the path may differ from its normal form. */
static bool
is_suspect(struct slice path)
{
    for (size_t i = 0; i < path.bytes; i++)
        if (path.data[i] == '%' ||
            (path.data[i] == '/' && i + 1 < path.bytes &&
             (path.data[i + 1] == '/' || path.data[i + 1] == '.')))
            return true;
    return false;
}

/* What becomes of escapes when a path is copied. */
enum spelling {
    SPELT_NORMAL,   /* the form for matching */
    SPELT_RECEIVED, /* as they came, but for dots, which have to be seen */
};

/* Copies up to the next slash. Returns the place in the path where it stopped,
 * NULL at an escape that is none. */
static const char *
copy_segment(const char *at, const char *end, enum spelling spelling, char **out)
{
    while (at < end && *at != '/') {
        int c;

        if (*at != '%') {
            *(*out)++ = *at++;
            continue;
        }
        c = hex_unescape(slice_make(at, (size_t)(end - at)));
        if (c < 0)
            return NULL;
        if (spelling == SPELT_NORMAL ? is_decodable(c) : c == '.') {
            *(*out)++ = (char)c;
        } else if (spelling == SPELT_NORMAL) {
            *(*out)++ = '%';
            *out = hex_put_upper(*out, (uint8_t)c);
        } else {
            *out = mempcpy(*out, at, 3);
        }
        at += 3;
    }
    return at;
}

/* The end of what is left of out when the segment that starts at segment is
 * done: dot segments go, and ".." takes the one before with it. Every segment
 * has its slash in front of it. */
static char *
fold_dots(char *start, char *segment, char *out)
{
    struct slice text = slice_make(segment, (size_t)(out - segment));

    if (slice_equal(text, SLICE(".")))
        return segment;
    if (!slice_equal(text, SLICE("..")))
        return out;
    out = segment - 1; /* its slash */
    while (out > start && out[-1] != '/')
        out--;
    return out > start ? out : start + 1;
}

static struct slice
normalise(struct slice path, enum spelling spelling, char *start)
{
    const char *at = path.data, *end = path.data + path.bytes;
    char *out = start;

    *out++ = '/';
    for (;;) {
        char *segment = out;

        while (at < end && *at == '/')
            at++;
        at = copy_segment(at, end, spelling, &out);
        if (at == NULL)
            return slice_make(NULL, 0);
        out = fold_dots(start, segment, out);
        if (at == end)
            return slice_make(start, (size_t)(out - start));
        if (out[-1] != '/')
            *out++ = '/';
    }
}

struct slice
uri_normal_path(struct slice path, struct arena *arena)
{
    struct slice form;
    char *room;

    if (slice_equal(path, SLICE("*")))
        return path;
    if (path.bytes == 0 || path.data[0] != '/')
        return slice_make(NULL, 0);
    if (!is_suspect(path))
        return path;
    room = arena_alloc(arena, path.bytes);
    if (room == NULL)
        return slice_make(NULL, 0);
    form = normalise(path, SPELT_NORMAL, room);
    return form.data != NULL && slice_equal(form, path) ? path : form;
}

struct slice
uri_path_behind(struct slice path, size_t normal_bytes, struct arena *arena)
{
    struct slice form = path;
    size_t at = 0, passed = 0;

    if (is_suspect(path)) {
        char *room = arena_alloc(arena, path.bytes);

        form = room != NULL ? normalise(path, SPELT_RECEIVED, room) : slice_make(NULL, 0);
    }
    while (passed < normal_bytes && at < form.bytes) {
        int escaped = hex_unescape(slice_skip(form, at));

        passed += escaped >= 0 && !is_decodable(escaped) ? 3 : 1;
        at += escaped >= 0 ? 3 : 1;
    }
    return slice_skip(form, at);
}
