/* SPDX-License-Identifier: BSD-2-Clause */
/* generation.c - counting a worker's exchanges by snapshot. */
#include "config.h"

#include "server/generation.h"

#include "server/snapshot.h"
#include "server/worker.h"

#include <stdlib.h>

static void
free_if_unused(struct generation *generation)
{
    if (generation->exchanges > 0 || generation == generation->worker->generation)
        return;
    snapshot_unref(generation->snapshot);
    free(generation);
}

int
generation_publish(struct worker *worker, struct snapshot *snapshot)
{
    struct generation *old = worker->generation;
    struct generation *generation = NULL;

    if (snapshot != NULL) {
        generation = calloc(1, sizeof(*generation));
        if (generation == NULL)
            return -1;
        generation->snapshot = snapshot_ref(snapshot);
        generation->worker = worker;
    }
    worker->generation = generation;
    worker->snapshot = snapshot;
    if (old != NULL)
        free_if_unused(old);
    return 0;
}

struct generation *
generation_hold(struct worker *worker)
{
    worker->generation->exchanges++;
    return worker->generation;
}

struct generation *
generation_share(struct generation *generation)
{
    generation->exchanges++;
    return generation;
}

void
generation_release(struct generation *generation)
{
    must(generation->exchanges > 0);
    generation->exchanges--;
    free_if_unused(generation);
}
