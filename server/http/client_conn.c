/* SPDX-License-Identifier: BSD-2-Clause */
/* client_conn.c - how client connections begin, go on after a reload, and end. */
#include "config.h"

#include "server/http/client_conn.h"

#include "modes/mode.h"
#include "server/net/listener.h"
#include "server/snapshot.h"
#include "server/tls/tls_session.h"
#include "server/worker.h"

#include <unistd.h>

#define LINGER_MS 2000u
#define LINGER_BYTES (16u * 1024)   /* of the answer, taken in that time: go on */
#define SWALLOW_BYTES (256u * 1024) /* in one turn */

void
client_conn_refuse(struct worker *worker, const struct listener_conf *listener,
                   const struct accepted *accepted)
{
    tls_session_free(accepted->tls);
    close(accepted->fd);
    listener_leave(worker, listener->listener);
}

struct listener_conf *
client_conn_listener(const struct worker *worker, const struct listener *counted_by,
                     const struct listener_conf *before)
{
    const struct config_list *listeners = &worker->snapshot->conf.listeners;

    for (size_t i = 0; i < listeners->count; i++) {
        struct listener_conf *listener = listeners->items[i];

        if (listener->listener == counted_by && listener->mode == before->mode)
            return listener;
    }
    return NULL;
}

/* ---- the end */

int
client_linger_start(struct client_linger *linger, struct conn *conn)
{
    linger->taken_bytes = (uint32_t)conn_taken_bytes(conn);
    if (conn_shutdown(conn) < 0)
        return -1;
    timer_arm(conn->loop, &conn->timer, LINGER_MS);
    return 0;
}

enum flow
client_linger_read(struct conn *conn)
{
    char scratch[16384];
    size_t swallowed = 0;

    while (swallowed < SWALLOW_BYTES) {
        ssize_t got = conn_recv(conn, scratch, sizeof(scratch));

        if (got <= 0)
            return got == CONN_WAIT ? FLOW_WAIT : FLOW_END;
        swallowed += (size_t)got;
    }
    return FLOW_MORE;
}

bool
client_linger_goes_on(struct client_linger *linger, struct conn *conn)
{
    uint64_t taken = conn_taken_bytes(conn);

    if (taken >= conn->sent_bytes || (uint32_t)taken - linger->taken_bytes < LINGER_BYTES)
        return false;
    linger->taken_bytes = (uint32_t)taken;
    timer_arm(conn->loop, &conn->timer, LINGER_MS);
    return true;
}
