/* SPDX-License-Identifier: BSD-2-Clause */
/* balance.h - how a group chooses among its endpoints.
 *
 * A balancer proposes; group_pick() reserves the slot and asks again when
 * another thread was faster. Endpoints are named by their position in the
 * group's list.
 */
#ifndef BASCULE_BALANCE_H
#define BASCULE_BALANCE_H

#include "server/upstream/group.h"

/* What a balancer chooses from. */
struct candidates {
    const struct group_conf *group;
    const struct pick *pick;
    uint64_t now_ms;
    bool is_last_resort; /* those that are down count too */
};

struct balancer_ops {
    const char *name; /* as written in the configuration */
    const char *text; /* one sentence */
    /* The position of an endpoint for which candidate_is_good(), or -1. */
    int (*pick)(const struct candidates *candidates);
};

/* All balancers, in the order of the manual; ends with NULL. Their names, for
 * the option's table, in the same order. */
extern const struct balancer_ops *const balancers[];
extern const char *const balancer_words[];

static inline struct endpoint_conf *
candidate(const struct candidates *candidates, unsigned position)
{
    return candidates->group->endpoints.items[position];
}

/* Not tried yet, below its limit, and up (or due to be tried again). */
static inline bool
candidate_is_good(const struct candidates *candidates, unsigned position)
{
    const struct endpoint_conf *conf = candidate(candidates, position);
    const struct pick *pick = candidates->pick;
    unsigned i;

    for (i = 0; i < pick->tries; i++) {
        if (pick->tried[i] == position)
            return false;
    }
    if (endpoint_is_full(conf))
        return false;
    return candidates->is_last_resort || endpoint_is_due(conf->endpoint, candidates->now_ms);
}

/* The position whose turn it is; the next call gets the one after it. */
static inline unsigned
candidates_turn(const struct candidates *candidates)
{
    const struct group_conf *group = candidates->group;

    if (group->schedule_count <= 1)
        return 0;
    return group->schedule[atomic_fetch_add_explicit(&group->group->turn, 1,
                                                     memory_order_relaxed) %
                           group->schedule_count];
}

#endif
