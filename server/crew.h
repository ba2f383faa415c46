/* SPDX-License-Identifier: BSD-2-Clause */
/* crew.h - all worker threads of the process, by number.
 *
 *     EMPTY --start--> RETIRING --publish--> SERVING
 *       ^                 |  ^                  |
 *       |              (idle) '----publish------'
 *       '---(it is)--- ENDING
 *
 * A thread that has to go keeps its number until its last connection is over,
 * and is called back when it is needed again before that. Main thread only.
 */
#ifndef BASCULE_CREW_H
#define BASCULE_CREW_H

#include "server/admin/status.h"
#include "server/worker_thread.h"

struct crew;

struct crew_events {
    void (*on_all_followed)(struct crew *crew); /* crew_publish() is done */
    void (*on_thread_gone)(struct crew *crew);  /* a thread ended, or is not to end after all */
    void (*on_all_reported)(struct crew *crew); /* crew_report() is done */
};

enum crew_state {
    CREW_EMPTY,
    CREW_SERVING,
    CREW_RETIRING,
    CREW_ENDING, /* was asked to end, and is still to answer: no orders meanwhile */
};

struct crew {
    struct worker_setting setting;
    const struct crew_events *events;
    struct crew_member {
        struct worker_thread *thread;
        enum crew_state state;
        bool is_idle; /* it has said so, and waits for our answer */
    } members[WORKERS_MAX];
    unsigned count;      /* numbers ever used */
    unsigned unfollowed, unreported;
    bool is_killed;
};

void crew_init(struct crew *crew, struct loop *home, const struct worker_hooks *hooks,
               const struct crew_events *events);

/* Makes sure that there are threads 0 .. count - 1. New ones do nothing yet. 0 or -1. */
int crew_start(struct crew *crew, unsigned count, const struct resolver_conf *resolver,
               unsigned pipes_max, struct err *err);

/* Gives every thread the snapshot and the plan; threads from workers on have to
 * go. drains: all have to, as the process stops. Borrows plan, and the last
 * one until on_all_followed. Not while crew_is_ending(). */
void crew_publish(struct crew *crew, struct snapshot *snapshot, const struct listen_plan *plan,
                  unsigned workers, bool drains);

/* Whether threads have not followed the last publish yet. */
bool crew_is_following(const struct crew *crew);

/* Whether a thread is about to end. */
bool crew_is_ending(const struct crew *crew);

bool crew_is_empty(const struct crew *crew);

/* Closes everything that runs. Once. */
void crew_kill(struct crew *crew);

/* Asks all threads for their numbers. */
void crew_report(struct crew *crew);

/* What is known of each thread, into workers[WORKERS_MAX]. Returns how many. */
size_t crew_facts(const struct crew *crew, struct worker_facts *workers);

/* The counters of all threads there ever were. */
const struct counter_slot *crew_counters(void);

#endif
