/* SPDX-License-Identifier: BSD-2-Clause */
/* invalidate.h - what an unsafe request makes out of date (RFC 9111 section 4.4).
 */
#ifndef BASCULE_INVALIDATE_H
#define BASCULE_INVALIDATE_H

#include "server/base/arena.h"
#include "server/http/message.h"

#define INVALIDATE_MAX 3

/* Where the request went: what it has in common with all that it may make out
 * of date. */
struct invalidate_target {
    struct slice scheme; /* lower case */
    struct slice host;   /* lower case, brackets of IPv6 kept off */
    uint16_t port;       /* always given */
    struct slice url;    /* path and query as they went upstream */
};

/* The URLs (paths and queries at the target's origin, as in key_parts) whose
 * stored responses a response of this status to the method makes out of date:
 * the target, and what Location and Content-Location name (resolved: RFC 3986
 * section 5.2), unless that is at another origin. Each once. Returns how many
 * there are: none for a safe method, or unless the status is 2xx or 3xx. When
 * the arena is spent, some are missing and the arena remembers. */
unsigned invalidate_targets(struct arena *arena, enum method method, unsigned status,
                            const struct invalidate_target *target,
                            const struct fields *response,
                            struct slice out[INVALIDATE_MAX]);

/* Resolves a reference against the target: path and query of the URL that it
 * means, dot segments removed. { NULL, 0 } for another origin, a reference that
 * is none, or when the arena is spent. */
struct slice invalidate_resolve(struct arena *arena, const struct invalidate_target *target,
                                struct slice reference);

#endif
