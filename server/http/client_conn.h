/* SPDX-License-Identifier: BSD-2-Clause */
/* client_conn.h - what client connections have in common, whatever they speak: what a
 * worker can ask of them, and how they begin and end.
 */
#ifndef BASCULE_CLIENT_CONN_H
#define BASCULE_CLIENT_CONN_H

#include "server/base/list.h"
#include "server/http/body.h"
#include "server/net/conn.h"

struct accepted;
struct client_conn;
struct listener;
struct listener_conf;
struct worker;

struct client_conn_ops {
    /* worker->snapshot is new: finds its listener there, or ends when it has gone. */
    void (*republish)(struct client_conn *client);
    /* Ends as soon as nothing is in progress, telling the client so. */
    void (*drain)(struct client_conn *client);
    /* Ends now. */
    void (*kill)(struct client_conn *client);
};

struct client_conn {
    struct list link; /* worker->clients */
    const struct client_conn_ops *ops;
};

/* A client that connected and has sent nothing is about to: so much time is left to
 * it while we are draining. */
#define LAST_REQUEST_MS 1000u

/* No memory for it: closes what was accepted, and counts it. */
void client_conn_refuse(struct worker *worker, const struct listener_conf *listener,
                        const struct accepted *accepted);

/* The listener with which a connection goes on: that of the worker's current snapshot
 * by which it was counted, if it still is for the same; NULL: it is gone. */
struct listener_conf *client_conn_listener(const struct worker *worker,
                                           const struct listener *counted_by,
                                           const struct listener_conf *before);

/* ---- the end that a client is to hear of
 *
 * Closing with unread bytes would reset the connection and take the answer with it.
 * So we say that no more will be sent, and read until the client has seen it: for a
 * moment, and as long as it still takes the answer. conn->timer is the clock of this. */

struct client_linger {
    uint32_t taken_bytes; /* by the client when the clock was set, modulo 2^32 */
};

/* Says it and sets the clock; client_linger_read() is next. 0, or -1: close it. */
MUST_USE int client_linger_start(struct client_linger *linger, struct conn *conn);

/* Reads away what is there. FLOW_MORE: call again in another turn; FLOW_WAIT;
 * FLOW_END: close it. */
MUST_USE enum flow client_linger_read(struct conn *conn);

/* The clock is due: whether the client is still busy with the answer. Then it is set
 * again; otherwise close the connection. */
MUST_USE bool client_linger_goes_on(struct client_linger *linger, struct conn *conn);

#endif
