/* SPDX-License-Identifier: BSD-2-Clause */
/* upstream_failure.c - failures of origins, as clients and logs hear of them. */
#include "config.h"

#include "server/http/upstream_failure.h"

#include <string.h>

const struct h1_limits upstream_response_limits = { 16 * 1024, 128 * 1024, 256 };

struct failure
failure_bad_response(const char *why)
{
    return (struct failure){ END_UPSTREAM_BAD, 502, "http_protocol_error", why };
}

struct failure
failure_late(struct worker *worker, const char *proxy_error, const char *why)
{
    counter_up(worker->counters, upstream_timeouts);
    return (struct failure){ END_UPSTREAM_TIMEOUT, 504, proxy_error, why };
}

struct failure
failure_broken(struct conn *conn, struct tls_failure *why)
{
    struct failure failure = { END_UPSTREAM_FAILED, 502, "connection_terminated",
                               "closed before a response" };

    if (tls_client_explain(conn, why)) {
        failure.proxy_error = why->proxy_error;
        failure.detail = why->detail;
    } else if (conn->error != 0) {
        failure.detail = strerrordesc_np(conn->error);
    }
    return failure;
}

struct failure
failure_large_head(void)
{
    return (struct failure){ END_LIMIT, 431, "http_request_error",
                             "the request head is too large to send on" };
}

void
upstream_give_up_request(struct exchange *ex)
{
    struct pump *pump = &ex->request_pump;

    if (pump->source != NULL)
        source_cancel(pump->source);
    pump_stop(pump);
}
