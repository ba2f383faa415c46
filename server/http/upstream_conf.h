/* SPDX-License-Identifier: BSD-2-Clause */
/* upstream_conf.h - what a connection to an origin is made with, whatever its
 * protocol: where it belongs, and how long it may take.
 */
#ifndef BASCULE_UPSTREAM_CONF_H
#define BASCULE_UPSTREAM_CONF_H

#include "server/http/exchange.h"
#include "server/upstream/pool.h"

/* Copied where it outlives the exchange. */
struct upstream_conf {
    const struct group_conf *group; /* with endpoint: its pool */
    struct endpoint *endpoint;
    struct slice key;               /* otherwise: of the destination's pool; empty: never pooled */
    struct upstream_timeouts timeouts;
    struct ip ip;
    uint64_t until_ms;              /* of a new one: no exchange begins on it afterwards */
    uint64_t trust;                 /* the tls_context_id() it is verified by; 0: plain */
    struct tls_session *session;    /* the connection speaks TLS through it; taken. NULL: plain */
};

#endif
