/* SPDX-License-Identifier: BSD-2-Clause */
/* group.c - asks the balancer, reserves the slot, says why there was none. */
#include "config.h"

#include "server/upstream/group.h"

#include <stdlib.h>

#include "server/upstream/balance.h"

/* ---- in the registry */

static struct registered *
make(const void *conf, struct err *err)
{
    struct group *group = aligned_alloc(alignof(struct group), sizeof(*group));

    (void)conf;
    if (group == NULL) {
        err_set(err, "out of memory for a group");
        return NULL;
    }
    memset(group, 0, sizeof(*group));
    return &group->registered;
}

static void
discard(struct registered *object)
{
    must(object->kind == &group_kind);
    free(container_of(object, struct group, registered));
}

const struct registry_kind group_kind = {
    .name = "group",
    .make = make,
    .free = discard,
};

static void
let_go(void *object)
{
    registered_unref(object);
}

int
group_adopt(struct group_conf *conf, struct arena *arena, uint64_t generation, struct err *err)
{
    struct registered *object = registry_adopt(&group_kind, conf->name, conf, err);
    size_t i;

    if (object == NULL)
        return -1;
    if (arena_defer(arena, let_go, object) < 0)
        return err_set(err, "group \"%s\": out of memory", conf->name);
    conf->group = container_of(object, struct group, registered);
    for (i = 0; i < conf->endpoints.count; i++) {
        struct endpoint_conf *endpoint = conf->endpoints.items[i];

        if (endpoint_adopt(endpoint, conf, generation, err) < 0)
            return -1;
        if (arena_defer(arena, let_go, &endpoint->endpoint->registered) < 0)
            return err_set(err, "group \"%s\": out of memory", conf->name);
    }
    return 0;
}

/* ---- the order of turns */

static uint64_t
common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* A turn falls due when its endpoint has had its share: the k-th of an endpoint
 * of weight w at (k + phase) / w of the way, where phases differ between
 * endpoints so that equals alternate. */
struct turn {
    uint64_t due;    /* numerator */
    uint32_t weight; /* denominator */
    uint16_t position;
};

static int
compare_turns(const void *left, const void *right)
{
    const struct turn *a = left, *b = right;
    uint64_t a_due = a->due * b->weight, b_due = b->due * a->weight;

    if (a_due != b_due)
        return a_due < b_due ? -1 : 1;
    return (a->position > b->position) - (a->position < b->position);
}

static uint64_t
weight_of(const struct group_conf *conf, size_t position)
{
    const struct endpoint_conf *endpoint = conf->endpoints.items[position];

    return (uint64_t)endpoint->weight;
}

static void
fill_turns(const struct group_conf *conf, uint64_t divisor, struct turn *turns)
{
    size_t count = conf->endpoints.count, i, n = 0;
    uint64_t k;

    for (i = 0; i < count; i++) {
        uint64_t weight = weight_of(conf, i) / divisor;

        for (k = 0; k < weight; k++)
            turns[n++] = (struct turn){ .due = k * 2 * count + 2 * i + 1,
                                        .weight = (uint32_t)weight,
                                        .position = (uint16_t)i };
    }
    qsort(turns, n, sizeof(*turns), compare_turns);
}

int
group_schedule(struct group_conf *conf, struct arena *arena, struct err *err)
{
    uint64_t divisor = 0, sum = 0;
    struct turn *turns;
    size_t i;

    for (i = 0; i < conf->endpoints.count; i++) {
        divisor = common_divisor(weight_of(conf, i), divisor);
        sum += weight_of(conf, i);
    }
    must(divisor > 0);
    sum /= divisor;
    if (sum > GROUP_WEIGHTS_MAX)
        return err_set(err, "the weights of its endpoints add up to more than %d",
                       GROUP_WEIGHTS_MAX);
    conf->schedule_count = (uint32_t)sum;
    if (sum == 1)
        return 0;
    conf->schedule = arena_alloc(arena, sum * sizeof(*conf->schedule));
    turns = malloc(sum * sizeof(*turns));
    if (conf->schedule == NULL || turns == NULL) {
        free(turns);
        return err_set(err, "out of memory");
    }
    fill_turns(conf, divisor, turns);
    for (i = 0; i < sum; i++)
        conf->schedule[i] = turns[i].position;
    free(turns);
    return 0;
}

/* ---- the choice */

static bool
was_tried(const struct pick *pick, size_t position)
{
    unsigned i;

    for (i = 0; i < pick->tries; i++) {
        if (pick->tried[i] == position)
            return true;
    }
    return false;
}

/* Why no endpoint would do. */
static enum pick_failure
reason(const struct pick *pick, uint64_t now_ms)
{
    const struct group_conf *conf = pick->conf;
    enum pick_failure why = PICK_ALL_TRIED;
    size_t i;

    for (i = 0; i < conf->endpoints.count; i++) {
        const struct endpoint_conf *endpoint = conf->endpoints.items[i];

        if (was_tried(pick, i))
            continue;
        if (endpoint_is_due(endpoint->endpoint, now_ms))
            return PICK_ALL_FULL;
        why = PICK_ALL_DOWN;
    }
    return why;
}

/* Asks until the proposed endpoint could be reserved. Each round lost was won
 * by another thread; after many, the group counts as full. */
static struct endpoint_conf *
propose(struct pick *pick, const struct candidates *candidates)
{
    const struct group_conf *conf = pick->conf;
    size_t rounds = conf->endpoints.count + 8;

    while (rounds-- > 0) {
        int position = balancers[conf->balance]->pick(candidates);
        struct endpoint_conf *endpoint;

        if (position < 0)
            return NULL;
        endpoint = conf->endpoints.items[position];
        if (likely(endpoint_take(endpoint, conf, candidates->is_last_resort,
                                 candidates->now_ms))) {
            pick->tried[pick->tries++] = (uint16_t)position;
            return endpoint;
        }
    }
    return NULL;
}

struct endpoint_conf *
group_pick(struct pick *pick, uint64_t now_ms, enum pick_failure *why)
{
    struct candidates candidates = { .group = pick->conf, .pick = pick, .now_ms = now_ms };

    *why = PICK_ALL_TRIED;
    pick->endpoint = NULL;
    if (pick->tries >= TRIES_MAX || pick->tries >= pick->conf->tries)
        return NULL;
    pick->endpoint = propose(pick, &candidates);
    if (likely(pick->endpoint != NULL))
        return pick->endpoint;
    *why = reason(pick, now_ms);
    if (*why == PICK_ALL_DOWN && pick->tries == 0) {
        candidates.is_last_resort = true;
        pick->endpoint = propose(pick, &candidates);
    }
    return pick->endpoint;
}
