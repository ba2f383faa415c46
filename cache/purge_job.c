/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_job.c - counts down what waits. */
#include "config.h"

#include "cache/purge_job.h"

#include "cache/store.h"

#include <stdlib.h>

struct purge_item {
    struct purge purge;
    struct purge_item *next;
    struct purge_job *job;
    struct store *store;
    char text[];
};

struct purge_job *
purge_job_new(struct loop *home, void (*on_done)(struct purge_job *), void *arg)
{
    struct purge_job *job = calloc(1, sizeof(*job));

    if (job != NULL)
        *job = (struct purge_job){ .home = home, .on_done = on_done, .arg = arg };
    return job;
}

static bool
has(const struct purge_job *job, const struct store *store, enum purge_kind kind,
    struct slice text)
{
    for (const struct purge_item *item = job->items; item != NULL; item = item->next)
        if (item->store == store && item->purge.kind == kind &&
            slice_equal(item->purge.text, text))
            return true;
    return false;
}

static void
on_durable(struct purge *purge)
{
    struct purge_job *job = container_of(purge, struct purge_item, purge)->job;

    if (purge->error != 0)
        job->error = purge->error;
    if (--job->waiting == 0)
        job->on_done(job);
}

void
purge_job_add(struct purge_job *job, struct store *store, enum purge_kind kind, bool is_soft,
              struct slice text)
{
    struct purge_item *item;

    if (has(job, store, kind, text))
        return;
    item = malloc(sizeof(*item) + text.bytes);
    if (item == NULL) {
        job->is_short = true;
        return;
    }
    if (text.bytes > 0)
        memcpy(item->text, text.data, text.bytes);
    item->purge = (struct purge){
        .home = job->home,
        .kind = kind,
        .is_soft = is_soft,
        .text = slice_make(item->text, text.bytes),
        .on_done = on_durable,
    };
    item->store = store;
    item->job = job;
    item->next = job->items;
    job->items = item;
    job->count++;
}

bool
purge_job_start(struct purge_job *job)
{
    struct err err;

    if (job->is_short) {
        err_set(&job->err, "out of memory");
        return false;
    }
    /* on_durable comes by mail, so not before all are counted. */
    for (struct purge_item *item = job->items; item != NULL; item = item->next) {
        if (purges_add(store_purges(item->store), &item->purge, &err) == 0)
            job->waiting++;
        else if (job->err.text[0] == '\0')
            err_set(&job->err, "store \"%s\": %s", store_name(item->store), err.text);
    }
    return job->waiting > 0;
}

void
purge_job_free(struct purge_job *job)
{
    if (job == NULL)
        return;
    while (job->items != NULL) {
        struct purge_item *item = job->items;

        job->items = item->next;
        free(item);
    }
    free(job);
}

bool
purge_job_is_good(struct purge_job *job)
{
    if (job->err.text[0] != '\0')
        return false;
    if (job->error == 0)
        return true;
    err_set(&job->err, "it is in effect, but could not be written down, and a crash would undo "
            "it: %s", strerrordesc_np(job->error));
    return false;
}
