/* SPDX-License-Identifier: BSD-2-Clause */
/* upstream_failure.h - what an origin may do, whatever it speaks, and what is said of one
 * that does not.
 */
#ifndef BASCULE_UPSTREAM_FAILURE_H
#define BASCULE_UPSTREAM_FAILURE_H

#include "server/http/exchange.h"
#include "server/http/h1_parse.h"
#include "server/tls/tls_client.h"

/* Of responses; requests have the listener's. */
extern const struct h1_limits upstream_response_limits;
#define UPSTREAM_INTERIM_MAX 32 /* interim responses of one exchange */

/* What it sends breaks the rules. Borrows why. */
struct failure failure_bad_response(const char *why);

/* It took too long; counted. Borrows both. */
struct failure failure_late(struct worker *worker, const char *proxy_error, const char *why);

/* The connection died before there was a response; what is said of it may be in *why. */
struct failure failure_broken(struct conn *conn, struct tls_failure *why);

/* The request's head does not fit. */
struct failure failure_large_head(void);

/* For a guard: a byte in any time of this length; 0: it never strikes. */
static inline struct min_rate
upstream_pace(uint32_t ms)
{
    return (struct min_rate){ ms > 0, ms };
}

/* The response goes on without the rest of the request. */
void upstream_give_up_request(struct exchange *ex);

#endif
