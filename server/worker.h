/* SPDX-License-Identifier: BSD-2-Clause */
/* worker.h - one worker thread: a loop and everything that only it touches. */
#ifndef BASCULE_WORKER_H
#define BASCULE_WORKER_H

#include "server/admin/counters.h"
#include "server/base/arena.h"
#include "server/http/date.h"
#include "server/net/conn.h"
#include "server/net/loop.h"

struct listener_conf;
struct resolver;
struct snapshot;
struct ip;
struct tls_thread;

#define SCRATCH_BYTES (256u * 1024)
#define WORKERS_MAX 256

struct worker {
    unsigned id; /* 0.. ; index of per-worker parts in the registry */
    struct loop *loop;
    struct block_pool blocks;
    struct pipe_pool pipes;
    struct resolver *resolver;
    struct tls_thread *tls; /* of handshakes with clients; NULL until the first */
    struct snapshot *snapshot; /* of the current generation; exchanges hold their own */
    struct generation *generation;
    struct counters *counters; /* its own: written by this thread only */
    char *in;                  /* SCRATCH_BYTES: where connections read; good until the next read */
    struct h1_reader *in_owner; /* whose unread bytes are in it; moves them before others read */
    char *out;                 /* SCRATCH_BYTES: where heads are written, to be sent at once */
    struct h1_writer *out_owner; /* whose head is in it; moves it out before others write */
    struct date_cache date;    /* for Date fields */
    uint64_t next_exchange_id;
    unsigned connections;      /* downstream connections open on this thread */
    unsigned crowd;            /* the most there were, if many, since the heap was trimmed */
    struct timer calm;         /* from the end of the crowd until then */
    bool is_retiring;          /* this thread is to go: answer with Connection: close */
    bool is_draining;          /* the process is to stop */
    struct list clients;       /* of struct client_conn: all open ones of HTTP modes */
    struct list tunnels;       /* of struct tunnel.link: judged again on reload */
    struct list solos;         /* exchanges without a client (modes/solo.h) */
    unsigned errands;          /* asked of other threads, which will answer by mail */
};

/* The worker of the calling thread; NULL elsewhere. */
extern _Thread_local struct worker *this_worker;

#endif
