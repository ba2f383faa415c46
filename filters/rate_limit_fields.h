/* SPDX-License-Identifier: BSD-2-Clause */
/* rate_limit_fields.h - what clients are told of limits: RateLimit and RateLimit-Policy
 * (draft-ietf-httpapi-ratelimit-headers-10).
 */
#ifndef BASCULE_RATE_LIMIT_FIELDS_H
#define BASCULE_RATE_LIMIT_FIELDS_H

#include "server/http/header.h"
#include "server/policy/limit.h"

/* One limit, and what it said of the exchange. */
struct rate_limit_said {
    const struct limit_conf *conf; /* NULL: nothing, the exchange has no such key */
    struct limit_state state;
};

/* Adds both fields, with a member for each limit that said something. */
void rate_limit_add_fields(struct fields *fields, struct arena *arena,
                           const struct rate_limit_said *said, unsigned count);

#endif
