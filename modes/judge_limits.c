/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_limits.c - what an exchange takes from limits, and gives back. */
#include "config.h"

#include "modes/judge_inside.h"

#include <stdlib.h>

static void
keep(struct limit_hold *hold, uint64_t now_ms, struct arena *arena, struct judge_hold **holds)
{
    struct judge_hold *kept = arena != NULL ? arena_alloc(arena, sizeof(*kept))
                                            : malloc(sizeof(*kept));

    if (kept == NULL) {
        limit_hold_give_back(hold, 0, now_ms);
        return;
    }
    *kept = (struct judge_hold){ .next = *holds, .held = *hold };
    *holds = kept;
}

const struct limit_conf *
judge_take_all(const struct rule_conf *rule, const struct facts *facts, uint64_t now_ms,
               struct arena *arena, struct judge_hold **holds, struct limit_state *state)
{
    for (const struct limit_conf **limit = rule->limits; *limit != NULL; limit++) {
        struct limit_hold hold;
        uint64_t key;

        if (!limit_key(*limit, facts, &key))
            continue;
        if (!limit_hold_take(&hold, *limit, key, now_ms, state))
            return *limit;
        if (hold.limit != NULL)
            keep(&hold, now_ms, arena, holds);
    }
    return NULL;
}

void
judge_give_back(struct judge_hold *hold, uint64_t bytes, uint64_t now_ms)
{
    limit_hold_give_back(&hold->held, bytes, now_ms);
}
