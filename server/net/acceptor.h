/* SPDX-License-Identifier: BSD-2-Clause */
/* acceptor.h - accepting client connections and handing them to their mode.
 *
 *     sockets (an address's, of the process) --> acceptor (a thread's) --> arrival --> mode
 *
 * Each worker thread has one acceptor for every address. It watches its share of
 * the address's sockets, and it also takes connections that another thread
 * accepted but had too many of already.
 */
#ifndef BASCULE_ACCEPTOR_H
#define BASCULE_ACCEPTOR_H

#include "server/net/arrival.h"
#include "server/net/loop.h"

struct counters;
struct listener_conf;
struct sockets;
struct worker;

/* ---- who listens where: one plan for all threads, read-only */

struct acceptors;

struct listen_item {
    struct sockets *sockets; /* borrowed, like everything here */
    struct listener_conf *conf;
};

/* A thread that takes new connections. */
struct listen_peer {
    struct loop *loop;
    struct counters *counters;
    struct acceptors *acceptors;
};

struct listen_plan {
    uint64_t max_connections; /* of the process */
    unsigned peer_count;      /* thread 0 .. peer_count - 1 share the sockets */
    struct listen_peer *peers;
    size_t count;
    struct listen_item *items;
};

/* ---- a thread's share */

struct acceptors {
    struct worker *worker;
    const struct listen_plan *plan; /* NULL: none yet */
    struct list all;                /* of struct acceptor */
    struct arrivals arrivals;       /* accepted, and not with their mode yet */
};

void acceptors_init(struct acceptors *acceptors, struct worker *worker);

/* Listens as the plan says from now on. What it no longer names is accepted to
 * the last queued connection and then let go. The worker's snapshot must still be
 * the old one. The old plan may go when all its threads follow the new one. */
void acceptors_follow(struct acceptors *acceptors, const struct listen_plan *plan);

/* Connections that are not with their mode yet are closed now. */
void acceptors_kill(struct acceptors *acceptors);

/* Lets go of everything. Sockets stay open: they are the process's. */
void acceptors_fini(struct acceptors *acceptors);

#endif
