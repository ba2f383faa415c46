/* SPDX-License-Identifier: BSD-2-Clause */
/* group.h - endpoints that do the same work, and the choice of one of them.
 *
 *     struct pick pick;
 *     pick_start(&pick, group_conf);
 *     while ((endpoint = group_pick(&pick, now_ms, &why)) != NULL) {
 *         ... connect; good: endpoint_succeeded(), leave ...
 *         endpoint_failed(endpoint->endpoint, group_conf, now_ms, why);
 *         endpoint_release(endpoint->endpoint);
 *     }
 *
 * What a group needs to remember beyond its endpoints (whose turn it is) is in
 * the registry. For any thread.
 */
#ifndef BASCULE_GROUP_H
#define BASCULE_GROUP_H

#include "server/upstream/endpoint.h"

#define TRIES_MAX 16 /* upper end of the option tries */
#define GROUP_ENDPOINTS_MAX 4096
#define GROUP_WEIGHTS_MAX 65536 /* sum of the weights, their common divisor taken out */

struct group {
    struct registered registered;
    alignas(64) _Atomic uint32_t turn; /* position in group_conf.schedule */
};

/* The choices made for one exchange. */
struct pick {
    const struct group_conf *conf;
    struct endpoint_conf *endpoint; /* the last one chosen */
    uint16_t tried[TRIES_MAX];      /* positions in conf->endpoints */
    uint8_t tries;
};

enum pick_failure {
    PICK_ALL_DOWN,  /* those not tried yet are down, or at their limits */
    PICK_ALL_FULL,  /* all that are up are at their limits */
    PICK_ALL_TRIED, /* none is left, or the group's number of tries is used up */
};

static inline void
pick_start(struct pick *pick, const struct group_conf *conf)
{
    pick->conf = conf;
    pick->endpoint = NULL;
    pick->tries = 0;
}

/* Chooses an endpoint that is up, not tried by this pick and below its limit,
 * and reserves a slot of it, to be given back by endpoint_release(). When all
 * are down, the first pick gets one of them all the same. NULL: *why says
 * what stood in the way. */
struct endpoint_conf *group_pick(struct pick *pick, uint64_t now_ms, enum pick_failure *why);

/* Works out in which order endpoints take turns: every endpoint as often as its
 * weight says, evenly spread. Called once when the configuration is linked. */
int group_schedule(struct group_conf *conf, struct arena *arena, struct err *err);

/* Finds or makes the group and its endpoints in the registry, each reference
 * tied to the arena that holds conf. */
int group_adopt(struct group_conf *conf, struct arena *arena, uint64_t generation,
                struct err *err);

extern const struct registry_kind group_kind;

#endif
