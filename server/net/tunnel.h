/* SPDX-License-Identifier: BSD-2-Clause */
/* tunnel.h - carries bytes both ways between two connections until both ends
 * are done: CONNECT, Upgrade, TCP forwards.
 *
 * A tunnel belongs to one worker. Either side may speak TLS. The end of a stream
 * is passed on once all its bytes are (half-close: FIN, or close_notify); a reset
 * is passed on at once, and a stream of TLS that ends without close_notify is no
 * better (RFC 8446 section 6.1).
 */
#ifndef BASCULE_TUNNEL_H
#define BASCULE_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/list.h"
#include "server/base/slice.h"
#include "server/net/conn.h"

struct accepted;
struct tunnel;
struct worker;

/* What somebody who looks at the client's first bytes says of them. */
enum tunnel_look {
    TUNNEL_LOOK_ON,   /* seen enough: they are passed on, and nothing more is shown */
    TUNNEL_LOOK_MORE, /* show me more; if there are none, as ON */
    TUNNEL_LOOK_DENY, /* closed by policy */
};

struct tunnel_conf {
    uint32_t idle_ms;            /* no byte either way; 0: no limit */
    uint32_t half_close_idle_ms; /* the same once one side has ended; 0: as idle_ms */
    uint32_t life_ms;            /* from start to end; 0: no limit */
    /* Shown the client's first bytes, before any of them is passed on: all there are so
     * far, until it has seen enough. is_last: no more will come, for they are look_bytes,
     * the stream has ended, or look_ms are over. What upstream says flows meanwhile. NULL: none. */
    enum tunnel_look (*look)(struct tunnel *tunnel, struct slice bytes, bool is_last);
    uint32_t look_ms, look_bytes;
};

enum tunnel_end {
    TUNNEL_DONE,           /* both sides ended */
    TUNNEL_CLIENT_RESET,   /* the client reset its connection, or it broke */
    TUNNEL_UPSTREAM_RESET,
    TUNNEL_IDLE,
    TUNNEL_LIFE,
    TUNNEL_DENIED,         /* by a new policy */
    TUNNEL_STOPPED,        /* by the operator */
    TUNNEL_NO_MEMORY,
    TUNNEL_END_COUNT
};

/* One word, as logs have it: "done", "client_reset" ... */
const char *tunnel_end_word(enum tunnel_end end);

/* One of the two directions. */
struct tunnel_way {
    struct conn *from, *to;
    struct pipe *pipe;     /* holds bytes between two turns, and never while empty */
    char *held;            /* read by copying but not sent yet */
    uint32_t held_at, held_end;
    uint64_t bytes;        /* carried so far */
    uint8_t full_reads;    /* in a row */
    bool is_bulky;         /* spliced rather than copied */
    bool is_done;          /* from ended, and to was told */
};

typedef void tunnel_done_fn(struct tunnel *tunnel, enum tunnel_end end);

struct tunnel {
    struct list link; /* worker->tunnels */
    struct worker *worker;
    struct conn client, upstream;
    struct tunnel_way up, down; /* client to upstream, upstream to client */
    struct task task;
    struct tunnel_conf conf;
    struct timer look_timer;
    bool is_looking;       /* at the client's first bytes: conf.look */
    bool is_look_late;     /* look_ms are over */
    bool is_closed;
    tunnel_done_fn *on_done;
    void *arg; /* the owner's */
};

/* Joins two connected, non-blocking stream sockets. Of both takes descriptor and
 * TLS session, and copies head, which was read ahead and goes first. on_done is
 * called once, never from here: the byte counts can be read there, and after
 * it the tunnel closes both sides and frees itself at the end of the turn.
 * NULL when memory or descriptors are short: then both are closed. */
struct tunnel *tunnel_start(struct worker *worker, const struct accepted *client,
                            const struct accepted *upstream, const struct tunnel_conf *conf,
                            tunnel_done_fn *on_done, void *arg) MUST_USE;

/* Ends the tunnel now and calls on_done. Both sides are reset unless end is
 * TUNNEL_DONE, so that neither takes what it has for the whole. Harmless when
 * it has ended already in this turn. */
void tunnel_close(struct tunnel *tunnel, enum tunnel_end end);

/* The client's first bytes need not be looked at any more. */
void tunnel_stop_looking(struct tunnel *tunnel);

/* Visits the worker's tunnels; visit may close the one it is given. */
void tunnel_each(struct worker *worker, void (*visit)(struct tunnel *tunnel, void *arg),
                 void *arg);

#endif
