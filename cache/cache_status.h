/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_status.h - the Cache-Status field: what the cache did with a request,
 * and why (RFC 9211).
 */
#ifndef BASCULE_CACHE_STATUS_H
#define BASCULE_CACHE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/arena.h"

/* Why a request went upstream (section 2.2). */
enum cache_forward {
    CACHE_FORWARD_NONE,      /* it did not: a hit */
    CACHE_FORWARD_BYPASS,    /* configured not to handle it */
    CACHE_FORWARD_METHOD,    /* the method's semantics require it */
    CACHE_FORWARD_URI_MISS,  /* nothing stored for the URL */
    CACHE_FORWARD_VARY_MISS, /* stored for the URL, but none for these fields */
    CACHE_FORWARD_MISS,      /* nothing that can be used, for another or mixed reason */
    CACHE_FORWARD_REQUEST,   /* fresh, but the request's directives require it */
    CACHE_FORWARD_STALE,     /* stored, but stale */
    CACHE_FORWARD_PARTIAL,   /* stored in part, not the part wanted */
};

struct cache_outcome {
    struct slice name;          /* of this cache: the proxy's pseudonym */
    enum cache_forward forward;
    bool is_stored;             /* the forwarded answer went into the cache */
    bool is_collapsed;          /* joined with other requests for the same */
    bool has_ttl;
    uint16_t forward_status;    /* of the answer from upstream, where it differs from ours; 0 */
    int64_t ttl_s;              /* of freshness left; negative when stale */
    struct slice key;           /* empty: not told */
    struct slice detail;        /* empty: none */
};

/* The field's value, in one piece of the arena:
 *
 *     bascule-3f9a01c2; hit; ttl=376
 *     bascule-3f9a01c2; fwd=stale; fwd-status=304; collapsed
 *
 * Whatever name, key and detail hold, it is one valid member of a structured
 * list: what a string cannot have becomes "?" (NUL of a key becomes a space).
 * Empty when the arena is spent. */
struct slice cache_status_text(struct arena *arena, const struct cache_outcome *outcome);

/* "hit", "stale", "uri-miss"...: for logs. */
struct slice cache_status_word(enum cache_forward forward);

#endif
