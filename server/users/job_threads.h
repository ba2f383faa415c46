/* SPDX-License-Identifier: BSD-2-Clause */
/* job_threads.h - threads for work that takes time: hashing passwords, asking
 * directories that may not answer. One pool for each kind of work, so that one does
 * not wait for the other.
 */
#ifndef BASCULE_JOB_THREADS_H
#define BASCULE_JOB_THREADS_H

#include "server/base/list.h"

#include <pthread.h>
#include <stdbool.h>

#define JOB_THREADS_MAX 16

/* Embedded by who has work. */
struct job {
    struct list link;
    void (*run)(struct job *job); /* on a thread of the pool; owns job */
};

struct job_pool {
    const char *name;     /* of the threads: at most 15 bytes */
    unsigned threads_max; /* 0: half of the CPUs, at least 1 and at most 4 */
    unsigned queue_max;   /* jobs that wait */
    bool is_background;   /* the threads give way to others where CPUs are short */

    /* Private. */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t is_work;
    struct list queue;    /* next NULL: not begun */
    unsigned waiting, idle, thread_count;
    bool is_stopping;
    pthread_t threads[JOB_THREADS_MAX];
};

#define JOB_POOL_INIT(name_, threads_max_, queue_max_, is_background_) \
    { .name = (name_), .threads_max = (threads_max_), .queue_max = (queue_max_), \
      .is_background = (is_background_), .lock = PTHREAD_MUTEX_INITIALIZER, \
      .is_work = PTHREAD_COND_INITIALIZER }

/* Has it run, by a thread that is begun for it if need be. False: the queue is full, or
 * there are no threads; job is still the caller's. From any thread. */
bool job_pool_put(struct job_pool *pool, struct job *job);

/* Jobs that wait. */
unsigned job_pool_waiting(struct job_pool *pool);

/* Runs what still waits, and ends the threads. It may be used again afterwards. */
void job_pool_stop(struct job_pool *pool);

#endif
