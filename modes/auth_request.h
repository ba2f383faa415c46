/* SPDX-License-Identifier: BSD-2-Clause */
/* auth_request.h - what an authentication server is told of a request that it is to judge.
 *
 *     the client's fields, but for content, ranges, conditions and what is hop-by-hop
 *     X-Forwarded-Method, -Proto, -Host, -Uri, -For; X-Original-Method, X-Original-URL
 *
 * What the server itself tells (names of users, groups) is never believed of a client:
 * such fields go neither to it nor, by that client's word, to the origin.
 */
#ifndef BASCULE_AUTH_REQUEST_H
#define BASCULE_AUTH_REQUEST_H

#include "server/http/exchange.h"
#include "server/users/login_cache.h"

struct auth_request_conf {
    struct strings send_fields;  /* of the client's, only these; none: all */
    struct strings key_fields;   /* of those sent, what an answer kept for later is for */
    struct strings copy_fields;  /* of the server's answer, for the origin */
    const char *user_field;      /* in which it names the user ... */
    const char *groups_field;    /* ... and the groups */
};

/* The fields to send, in ex's arena, with names and values borrowed from ex's request.
 * is_proxy: the log-in is that for us (Proxy-Authorization), which is sent as
 * Authorization; what is for the origin, cookies too unless listed, is not shown.
 * NULL: the arena is spent. */
struct fields *auth_request_fields(struct exchange *ex, const struct auth_request_conf *conf,
                                   bool is_proxy);

/* By what an answer to these fields is found again, made against this version. False:
 * memory is short. */
MUST_USE bool auth_request_key(struct login_key *key, uint64_t version,
                               const struct fields *sent, const struct auth_request_conf *conf,
                               struct arena *arena);

/* Takes what only the server may tell out of the fields; "_" counts as "-", as it does
 * for those that make variables of names (RFC 3875 section 4.1.18). */
void auth_request_remove_claims(struct fields *fields, const struct auth_request_conf *conf);

#endif
