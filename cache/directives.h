/* SPDX-License-Identifier: BSD-2-Clause */
/* directives.h - what Cache-Control and its kin say (RFC 9111 section 5.2).
 *
 * Read by the grammar: names whatever their case, arguments as tokens or quoted
 * strings, every line of the field. Doubt is resolved towards caching less:
 *
 *     said twice with different numbers      the smaller counts (section 4.2.1);
 *                                            of min-fresh the greater
 *     no number, or none that is valid       0: stale (section 4.2.1), or no leave to be stale
 *     a number beyond DELTA_MAX              DELTA_MAX (section 1.2.2)
 *     no-cache or private with field names   as if without (sections 5.2.2.4, 5.2.2.7)
 *
 * Nothing is allocated.
 */
#ifndef BASCULE_CACHE_DIRECTIVES_H
#define BASCULE_CACHE_DIRECTIVES_H

#include <stdbool.h>
#include <stdint.h>

#include "server/http/header.h"

/* The longest time, in seconds, that is told apart: RFC 9111 section 1.2.2. */
#define DELTA_MAX UINT32_C(2147483648)

enum {
    DIRECTIVE_NO_STORE = 1 << 0,
    DIRECTIVE_NO_CACHE = 1 << 1,
    DIRECTIVE_PRIVATE = 1 << 2,
    DIRECTIVE_PUBLIC = 1 << 3,
    DIRECTIVE_MUST_REVALIDATE = 1 << 4,
    DIRECTIVE_PROXY_REVALIDATE = 1 << 5,
    DIRECTIVE_MUST_UNDERSTAND = 1 << 6,
    DIRECTIVE_IMMUTABLE = 1 << 7, /* RFC 8246 */
    DIRECTIVE_NO_TRANSFORM = 1 << 8,
    DIRECTIVE_ONLY_IF_CACHED = 1 << 9,
    DIRECTIVE_MAX_AGE = 1 << 10, /* from here on with a number */
    DIRECTIVE_S_MAXAGE = 1 << 11,
    DIRECTIVE_MIN_FRESH = 1 << 12,
    DIRECTIVE_MAX_STALE = 1 << 13,
    DIRECTIVE_STALE_WHILE_REVALIDATE = 1 << 14, /* RFC 5861 */
    DIRECTIVE_STALE_IF_ERROR = 1 << 15,
};

struct directives {
    uint32_t present;     /* bits from above */
    uint32_t max_age_s, s_maxage_s, min_fresh_s;
    uint32_t max_stale_s; /* DELTA_MAX when said without a number */
    uint32_t stale_while_revalidate_s, stale_if_error_s;
    bool is_targeted;     /* from CDN-Cache-Control: Cache-Control and Expires do not count */
};

static inline bool
directives_has(const struct directives *directives, uint32_t bits)
{
    return (directives->present & bits) != 0;
}

/* Reads Cache-Control of a request, or Pragma: no-cache where there is none
 * (RFC 9111 section 5.4). */
void directives_of_request(struct directives *directives, const struct fields *fields);

/* Reads CDN-Cache-Control of a response if it is a dictionary with at least one
 * member, all of right form (RFC 9213 section 2.1), otherwise Cache-Control. */
void directives_of_response(struct directives *directives, const struct fields *fields);

#endif
