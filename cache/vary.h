/* SPDX-License-Identifier: BSD-2-Clause */
/* vary.h - the secondary key: what chose among variants (RFC 9111 section 4.1).
 *
 * Two requests with the same key may have the same stored response: the fields
 * that Vary names are there with the same values, or absent, in both; but for
 * spelling that means nothing.
 */
#ifndef BASCULE_VARY_H
#define BASCULE_VARY_H

#include <stdbool.h>

#include "server/base/arena.h"
#include "server/http/header.h"

#define VARY_NAMES_MAX 64

/* Zeroed: only what RFC 9111 allows without knowing the origin. */
struct vary_conf {
    /* The languages that the origin has ("en", "pt-br"), lower case: others in
     * Accept-Language do not count, and weights only by the order they make. */
    const struct slice *languages;
    unsigned language_count;
    /* Requests go upstream with vary_encoding() in place of Accept-Encoding, so
     * that only this counts. Never set it unless they do. */
    bool narrows_encoding;
};

/* The names in the response's Vary lines: lower case, sorted, each once, joined
 * by commas. Empty when there are none; "*" (vary_is_star) when one is "*", and
 * in every doubt: a name that is none, more than VARY_NAMES_MAX, arena spent. */
struct slice vary_names(const struct fields *response, struct arena *arena);

/* Whether no other request can be answered with that response. */
static inline bool
vary_is_star(struct slice names)
{
    return names.bytes == 1 && names.data[0] == '*';
}

/* The request's key for these names (from vary_names, not "*"): for each in its
 * order "-" when absent, "+" and the value otherwise ("!" before one that breaks
 * the grammar of its field), NUL-terminated. Empty for no names. { NULL, 0 } when
 * the arena is spent. One piece of the arena. */
struct slice vary_key(struct slice names, const struct fields *request,
                      const struct vary_conf *conf, struct arena *arena);

/* What a request that may be answered from the cache should send upstream as
 * Accept-Encoding: those of br, zstd and gzip that it accepts, in this order.
 * Empty for none: then without the field. Static. */
struct slice vary_encoding(const struct fields *request);

#endif
