/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_upstream.h - an HTTP/1.1 connection to an origin. */
#ifndef BASCULE_H1_UPSTREAM_H
#define BASCULE_H1_UPSTREAM_H

#include "server/http/exchange.h"
#include "server/upstream/pool.h"

/* Where a connection returns to when an exchange is over, and its deadlines;
 * copied where they outlive the exchange. */
struct h1_upstream_conf {
    const struct group_conf *group; /* with endpoint: its pool */
    struct endpoint *endpoint;
    struct slice key;               /* otherwise: of the destination's pool; empty: never pooled */
    struct upstream_timeouts timeouts;
    struct ip ip;
    uint64_t until_ms;              /* of a new one: no exchange begins on it afterwards */
    struct tls_session *session;    /* the connection speaks TLS through it; taken. NULL: plain */
};

/* An upstream over a connected descriptor. Takes fd; NULL (fd closed) when
 * memory is short. */
struct upstream *h1_upstream_new(struct worker *worker, int fd, const struct h1_upstream_conf *conf);

/* Takes an idle connection of the pool; NULL when there is none. */
struct upstream *h1_upstream_reuse(struct pool *pool, const struct h1_upstream_conf *conf);

#endif
