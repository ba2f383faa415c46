/* SPDX-License-Identifier: BSD-2-Clause */
/* least_conn.c - the endpoint with the fewest exchanges for its weight.
 *
 * Counts what all threads have in flight. Among equals the one whose turn it
 * is goes first, so that an idle group is used evenly.
 */
#include "config.h"

#include "server/upstream/balancers.h"

/* Whether a is less busy than b: (flying + 1) / weight, without dividing. */
static bool
is_less_busy(const struct endpoint_conf *a, uint64_t a_flying, const struct endpoint_conf *b,
             uint64_t b_flying)
{
    return (a_flying + 1) * (uint64_t)b->weight < (b_flying + 1) * (uint64_t)a->weight;
}

static int
pick(const struct candidates *candidates)
{
    unsigned count = (unsigned)candidates->group->endpoints.count;
    unsigned position = candidates_turn(candidates), i;
    uint64_t best_flying = 0;
    int best = -1;

    for (i = 0; i < count; i++, position++) {
        const struct endpoint_conf *conf;
        uint64_t flying;

        if (position >= count)
            position = 0;
        conf = candidate(candidates, position);
        flying = endpoint_in_flight(conf->endpoint);
        if (!candidate_is_good(candidates, position))
            continue;
        if (best < 0 ||
            is_less_busy(conf, flying, candidate(candidates, (unsigned)best), best_flying)) {
            best = (int)position;
            best_flying = flying;
        }
    }
    return best;
}

const struct balancer_ops least_conn_balancer = {
    .name = "least_conn",
    .text = "The endpoint with the fewest exchanges in flight for its weight.",
    .pick = pick,
};
