/* SPDX-License-Identifier: BSD-2-Clause */
/* worker_thread.h - the life of a worker thread, as the process's main thread
 * directs it.
 *
 *     start --> publish, publish ... --> publish (to go) --> idle --> end
 *                          '<-- publish (to stay after all) --'
 *
 * Orders and answers travel by mail. Only the main thread gives orders, and
 * answers arrive on its loop.
 */
#ifndef BASCULE_WORKER_THREAD_H
#define BASCULE_WORKER_THREAD_H

#include <pthread.h>

#include "server/net/acceptor.h"
#include "server/net/grace.h"
#include "server/net/resolve.h"
#include "server/worker.h"

struct snapshot;
struct topic;
struct worker_thread;

/* What those above server/ do at these moments, on the worker's thread. NULL:
 * nothing. */
struct worker_hooks {
    /* worker->snapshot is a new one, or the first; the old one goes when this returns. */
    void (*on_publish)(struct worker *worker);
    /* worker->is_retiring or is_draining has become true: end what is idle,
     * make the rest its last. */
    void (*on_drain)(struct worker *worker);
    /* Nothing runs that is worth waiting for, besides worker->connections. */
    bool (*is_idle)(struct worker *worker);
    /* The time to finish is over: close everything. */
    void (*on_kill)(struct worker *worker);
    /* The thread ends: free what still hangs on worker (pools, destinations). */
    void (*on_end)(struct worker *worker);
    /* What commands may ask besides; on the main thread. Ends with NULL. */
    const struct topic *const *topics;
    /* Tries what the snapshot is expected to do (server/policy/expect.h); on the main thread.
     * say is told of each that comes out otherwise. Returns how many. */
    unsigned (*expect)(struct snapshot *snapshot, void (*say)(void *arg, const char *sentence),
                       void *arg);
};

enum worker_duty {
    WORKER_SERVE,
    WORKER_RETIRE, /* takes no new connections, ends when it has none */
    WORKER_DRAIN,  /* the same, because the process stops */
};

/* How a thread did, in numbers that only it may read. */
struct worker_report {
    uint64_t turns, events;
    unsigned connections;
    unsigned pipes;
    struct resolver_counts dns;
};

/* On the main thread. */
struct worker_answers {
    void (*on_followed)(struct worker_thread *thread); /* publish is done */
    void (*on_idle)(struct worker_thread *thread);     /* retiring or draining, and nothing left */
    /* Answers worker_thread_end(). True: it is over, call worker_thread_free(). */
    void (*on_end)(struct worker_thread *thread, bool is_over);
    void (*on_reported)(struct worker_thread *thread);
};

/* What all threads of the process are made with. */
struct worker_setting {
    struct loop *home; /* the main thread's */
    const struct worker_hooks *hooks;
    const struct worker_answers *answers;
    unsigned pipes_max; /* open at once on one thread */
};

struct worker_thread {
    struct worker worker;
    struct acceptors acceptors;
    struct grace_reader reader;    /* of lists */
    pthread_t pthread;
    const struct worker_setting *setting;
    struct name_service *names;    /* what worker.resolver belongs to */
    struct list old_names;         /* replaced, with look-ups under way */
    struct timer idle_check;
    bool has_said_idle, is_over;

    /* Orders: mail to the thread with what comes along. One of a kind at a time. */
    struct mail publish, kill, end, report;
    struct snapshot *new_snapshot;
    const struct listen_plan *new_plan;
    enum worker_duty duty;

    /* Answers: mail home. */
    struct mail followed, idle, ended, reported;
    struct worker_report numbers; /* good from on_reported on */
    bool is_reporting;
};

/* Makes and starts thread id. Borrows setting; counters outlive the thread.
 * It does nothing until the first publish. NULL with err. */
struct worker_thread *worker_thread_start(unsigned id, const struct worker_setting *setting,
                                          struct counters *counters,
                                          const struct resolver_conf *resolver, struct err *err);

/* Gives it a snapshot (counts a reference) and its duty. Borrows plan until
 * another has been followed. Answered by on_followed. */
void worker_thread_publish(struct worker_thread *thread, struct snapshot *snapshot,
                           const struct listen_plan *plan, enum worker_duty duty);

/* Closes whatever still runs; on_idle follows. */
void worker_thread_kill(struct worker_thread *thread);

/* Ends the thread if it is still idle; otherwise on_idle will come again. on_end
 * says which; no other order may be given before. */
void worker_thread_end(struct worker_thread *thread);

/* Asks for the numbers. Answered by on_reported. */
void worker_thread_report(struct worker_thread *thread);

/* After on_end said that it is over. */
void worker_thread_free(struct worker_thread *thread);

/* The thread as it appears in a plan. */
struct listen_peer worker_thread_peer(struct worker_thread *thread);

#endif
