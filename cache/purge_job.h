/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_job.h - purges that are acknowledged together: several tags, or one
 * thing in several stores.
 *
 * They take effect one after the other, at once; done is when the last is
 * durable.
 */
#ifndef BASCULE_CACHE_PURGE_JOB_H
#define BASCULE_CACHE_PURGE_JOB_H

#include "cache/purge.h"

struct purge_item;
struct store;

struct purge_job {
    struct loop *home;
    void (*on_done)(struct purge_job *job); /* on home's thread, once, after a start */
    void *arg;
    struct purge_item *items;
    unsigned count;    /* purges in all */
    unsigned waiting;  /* not durable yet */
    int error;         /* errno: all that were taken are in effect, but would not survive a crash */
    struct err err;    /* why some were not taken; empty: all were */
    bool is_short;     /* memory was */
};

/* A job without purges, on the heap. NULL when memory is short. */
struct purge_job *purge_job_new(struct loop *home, void (*on_done)(struct purge_job *),
                                void *arg);

/* Adds a purge, unless the job has it already. Copies text, as struct purge wants it. The
 * store has to stay until on_done. */
void purge_job_add(struct purge_job *job, struct store *store, enum purge_kind kind, bool is_soft,
                   struct slice text);

/* True: on_done will be called. False: nothing was purged, err says why. */
bool purge_job_start(struct purge_job *job);

/* Before it is started, or from on_done on. NULL is fine. */
void purge_job_free(struct purge_job *job);

/* Whether all went well; otherwise err says what did not. */
bool purge_job_is_good(struct purge_job *job);

#endif
