/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_key.h - the primary key of a stored response, as bytes.
 *
 *     SOURCE NUL scheme://host[:port]/path?query [NUL addition]...
 *
 * The source comes first, so that what one origin said can never answer for
 * another. NUL is in no part, so that no two requests share a key unless the
 * rules say that they are for the same thing. Without rules the URL is copied,
 * not looked into.
 */
#ifndef BASCULE_CACHE_KEY_H
#define BASCULE_CACHE_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/arena.h"
#include "server/http/header.h"

/* What counts besides the URL, and what of its query does not. Zeroed: no rule.
 * Patterns are matched with names of parameters as they are spelt ("*" stands
 * for any bytes, also none: "utm_*"). */
struct key_conf {
    const struct slice *ignored; /* parameters that do not count */
    unsigned ignored_count;
    const struct slice *only; /* the only parameters that count, when there are any here */
    unsigned only_count;
    const struct slice *headers; /* names of request fields whose values count, lower case */
    unsigned header_count;
    bool sorts_query;    /* parameters of different names may come in any order */
    bool ignores_query;
    bool adds_device;    /* the class of the client's device counts */
    struct slice rules;  /* a name for the query rules, without NUL: those with other rules
                          * and the same source have keys of their own */
};

/* What a request asks for, and where. */
struct key_parts {
    struct slice source;  /* a group's name, or "internet" with parent or egress; no NUL */
    struct slice scheme;  /* lower case */
    struct slice host;    /* lower case, brackets of IPv6 kept off (struct request) */
    uint16_t port;        /* always given; left out of the key when it is the scheme's default */
    struct slice url;     /* path and query exactly as they go upstream */
    const struct fields *request; /* NULL: as if no field were there */
};

/* The key, in one piece of the arena. { NULL, 0 } when the arena is spent. */
struct slice cache_key_make(struct arena *arena, const struct key_conf *conf,
                            const struct key_parts *parts);

/* Parts of a key that cache_key_make() made: the source, and scheme, authority
 * and URL as far as they count. For any bytes, some slices of them. */
struct slice cache_key_source(struct slice key);
struct slice cache_key_url(struct slice key);

/* "phone", "tablet", "desktop" or "bot": what Sec-CH-UA-Mobile or the words of
 * User-Agent say. */
struct slice cache_key_device(const struct fields *request);

/* Whether the text has the form of the pattern, in which "*" stands for any
 * bytes. Time grows with the product of both lengths at worst. */
bool cache_key_matches(struct slice pattern, struct slice text);

#endif
