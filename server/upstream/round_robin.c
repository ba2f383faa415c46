/* SPDX-License-Identifier: BSD-2-Clause */
/* round_robin.c - endpoints take turns, as often as their weights say.
 *
 * The order was worked out when the configuration was read (group_schedule()),
 * so a choice is one atomic addition, and exact over all threads together.
 * The turns of an endpoint that will not do are passed over, so that the others
 * take its load in proportion to their weights.
 */
#include "config.h"

#include "server/upstream/balancers.h"

static int
pick(const struct candidates *candidates)
{
    unsigned count = (unsigned)candidates->group->endpoints.count;
    unsigned limit = candidates->group->schedule_count, i;
    unsigned position = candidates_turn(candidates);

    if (likely(candidate_is_good(candidates, position)))
        return (int)position;
    /* Turns of the others: few steps unless most of them are out. */
    for (i = 1; i < limit && i < count * 2; i++) {
        position = candidates_turn(candidates);
        if (candidate_is_good(candidates, position))
            return (int)position;
    }
    for (position = 0; position < count; position++) {
        if (candidate_is_good(candidates, position))
            return (int)position;
    }
    return -1;
}

const struct balancer_ops round_robin_balancer = {
    .name = "round_robin",
    .text = "Endpoints take turns, in proportion to their weights.",
    .pick = pick,
};
