/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_state.h - what purge.c and purge_writer.c share of one store's purges.
 *
 * `change` is held by whoever changes the tables, and guards what waits for the
 * writer. `tables` is locked besides for the change itself, so that judges, who
 * take only this one, never wait while a large table is made. Most judges take
 * none: nothing was purged since they last looked.
 */
#ifndef BASCULE_CACHE_PURGE_STATE_H
#define BASCULE_CACHE_PURGE_STATE_H

#include <pthread.h>

#include "cache/purge.h"
#include "cache/purge_log.h"
#include "cache/purge_table.h"

struct purges {
    _Atomic uint64_t newest;    /* number of the newest purge in effect */
    struct hash_key key;
    _Atomic uint64_t *next_seq;

    pthread_rwlock_t tables;    /* guards table against being read while it changes */
    struct purge_table table;

    pthread_mutex_t change;     /* guards table against being changed, and what follows */
    pthread_cond_t work;
    unsigned max_tags, max_prefixes;
    uint64_t generation;        /* of table.tags: another array since */
    struct purge *pending, **pending_end;
    bool is_closing;
    bool is_behind;             /* the log does not hold all that is in effect */
    uint64_t count, log_bytes, log_errors;

    bool is_durable;            /* there is a log, and a thread */
    pthread_t thread;
    struct purge_log log;       /* the thread's own */
};

/* Starts the thread that writes purges->log. 0, or an errno. */
int purge_writer_start(struct purges *purges) MUST_USE;

/* Has it write what waits, and waits for its end. */
void purge_writer_stop(struct purges *purges);

/* The writer has pending purges, or a log to be made shorter. `change` is held. */
void purge_writer_wake(struct purges *purges);

/* Tells who asked for the purge. */
void purge_answer(struct purge *purge, int error);

#endif
