/* SPDX-License-Identifier: BSD-2-Clause */
/* finding.c - an object of the store looked for. */
#include "config.h"

#include "modes/finding.h"

#include "cache/cache_conf.h"

#include <stdlib.h>

#define PATIENCE_MS 3000 /* a disk that takes longer is passed by */

struct finding {
    struct disk_query query;
    struct worker *worker;
    struct store *store;     /* counted: the exchange, and its snapshot, may go first */
    void (*on_found)(void *arg); /* NULL: forgotten */
    void *arg;
    struct timer patience;
    bool is_answered, is_late;
    char key[];
};

static void
free_finding(struct finding *finding)
{
    store_unref(finding->store);
    free(finding);
}

static void
on_answer(struct disk_query *query)
{
    struct finding *finding = container_of(query, struct finding, query);

    finding->worker->errands--;
    finding->is_answered = true;
    timer_disarm(&finding->patience);
    if (query->found != NULL)
        store_found(finding->store, query->found);
    if (finding->on_found == NULL)
        finding_forget(finding);
    else if (!finding->is_late)
        finding->on_found(finding->arg);
}

static void
on_late(struct timer *timer)
{
    struct finding *finding = container_of(timer, struct finding, patience);

    finding->is_late = true;
    finding->on_found(finding->arg);
}

static struct finding *
ask_disk(const struct cached *cached, uint64_t hash, struct slice key)
{
    struct worker *worker = cached->ex->worker;
    struct finding *finding;

    if (!store_may_have(cached->store, hash))
        return NULL;
    finding = calloc(1, sizeof(*finding) + key.bytes);
    if (finding == NULL)
        return NULL;
    memcpy(finding->key, key.data, key.bytes);
    timer_init(&finding->patience, on_late);
    finding->worker = worker;
    finding->store = store_ref(cached->store);
    finding->query = (struct disk_query){
        .home = worker->loop,
        .hash = hash,
        .key = slice_make(finding->key, key.bytes),
        .body_room = cached->conf->store->memory_object_bytes,
        .on_found = on_answer,
    };
    if (!store_ask(cached->store, &finding->query)) {
        free_finding(finding);
        return NULL;
    }
    worker->errands++;
    timer_arm(worker->loop, &finding->patience, PATIENCE_MS);
    return finding;
}

struct finding *
finding_start(const struct cached *cached, uint64_t hash, struct slice key,
              void (*on_found)(void *arg), void *arg, struct object **object)
{
    struct finding *finding;

    *object = store_find(cached->store, hash, key);
    if (*object != NULL)
        return NULL;
    finding = ask_disk(cached, hash, key);
    if (finding != NULL) {
        finding->on_found = on_found;
        finding->arg = arg;
    }
    return finding;
}

struct object *
finding_take(struct finding *finding)
{
    struct object *object;

    must(finding->is_answered || finding->is_late);
    if (!finding->is_answered) {
        finding_forget(finding);
        return NULL;
    }
    object = finding->query.found;
    free_finding(finding);
    return object;
}

void
finding_forget(struct finding *finding)
{
    if (finding == NULL)
        return;
    finding->on_found = NULL;
    timer_disarm(&finding->patience);
    if (!finding->is_answered)
        return; /* on_answer() frees it */
    object_unref(finding->query.found);
    free_finding(finding);
}
