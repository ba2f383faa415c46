/* SPDX-License-Identifier: BSD-2-Clause */
/* client_exchange.h - the client's side of an exchange, whatever carries it. */
#ifndef BASCULE_CLIENT_EXCHANGE_H
#define BASCULE_CLIENT_EXCHANGE_H

#include "server/http/exchange.h"
#include "server/http/h1_parse.h"
#include "server/http/rate_guard.h"

/* How far the client has come, as its protocol counts it. */
struct client_progress {
    uint64_t (*sent)(struct exchange *ex);  /* by the client: content of the request */
    uint64_t (*taken)(struct exchange *ex); /* by the client, of what we sent */
};

/* How slow it may be: as its listener says. Who waits for the client to send watches
 * with body, who waits for it to take with write; the road hears when it is too slow. */
struct client_guards {
    struct rate_guard body, write;
    struct exchange *ex;
    const struct client_progress *progress;
};

/* Borrows ex, which must outlive it, and progress. Stop it, or both guards. */
void client_guards_init(struct client_guards *guards, struct exchange *ex,
                        const struct client_progress *progress);
void client_guards_stop(struct client_guards *guards);

/* What could not be read as a request is an exchange too: it is answered with a page
 * and logged like any other. The caller sets what this means for its connection. */
void client_refuse(struct exchange *ex, const struct h1_refusal *refusal);

#endif
