/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_downstream_inside.h - where h2_downstream.c (a client's connection) and h2_request.c (its
 * streams, each a request) meet.
 */
#ifndef BASCULE_H2_DOWNSTREAM_INSIDE_H
#define BASCULE_H2_DOWNSTREAM_INSIDE_H

#include "server/http/client_conn.h"
#include "server/http/client_exchange.h"
#include "server/http/h2_flood.h"
#include "server/http/h2_session.h"

enum h2_downstream_state { OPEN, LINGER, CLOSED };

/* What the connection's timer is for. */
enum waiting { FOR_NOTHING, FOR_REQUEST, FOR_HEAD };

struct h2_downstream {
    struct conn conn;
    struct client_conn link;
    struct h2_session session;
    struct client client;
    struct downstream newborn; /* of exchanges whose stream is being made */
    struct worker *worker;
    struct listener_conf *listener; /* of the worker's current snapshot; NULL: it is gone */
    struct listener *counted_by;
    struct list streams; /* of struct h2_request */
    struct list tunnels; /* of struct h2_tunnel */
    struct rate_guard write;
    struct timer drain_timer; /* until the final GOAWAY */
    struct task task;         /* reads on */
    struct h2_flood flood;
    struct client_linger linger;
    uint32_t requests;
    uint32_t head; /* the number of that waited for: session.heads */
    uint8_t state;
    uint8_t waiting;
    bool is_drained;  /* no request after those that are here */
    bool said_goaway; /* with a final number */
};

struct h2_request {
    struct h2_stream h2;
    struct downstream down;
    struct list link;
    struct h2_downstream *d;
    struct exchange *ex;
    struct h2_head head; /* later the trailers */
    struct client_guards guards;
    struct h1_refusal refusal; /* status 0: none */
    char key_accept[H2_ACCEPT_BYTES];
    bool has_begun;
    bool is_malformed; /* and answered nonetheless */
    bool was_reused; /* the connection had carried exchanges before */
};

extern const struct downstream_ops h2_downstream_ops;

static inline struct h2_downstream *
h2_downstream_of(struct h2_session *session)
{
    return container_of(session, struct h2_downstream, session);
}

/* ---- h2_downstream.c */

/* Counts a request that begins: whether others are still wanted behind it is said here. */
void h2_downstream_count(struct h2_downstream *d);

/* A stream or tunnel has ended. */
void h2_downstream_after(struct h2_downstream *d);

/* ---- h2_request.c: as struct h2_session_ops has them */

struct h2_stream *h2_request_open(struct h2_session *session, int32_t id);
struct h2_head *h2_request_head_begin(struct h2_stream *h2, bool is_first);
bool h2_request_head(struct h2_stream *h2, bool is_first);
void h2_request_news(struct h2_stream *h2, unsigned news);

/* Forgets it before the road has seen it, and resets its stream. */
void h2_request_drop(struct h2_request *r, uint32_t error);

/* Tells the road that the client has reset or left it, and counts why. */
void h2_request_lose(struct h2_request *r);

#endif
