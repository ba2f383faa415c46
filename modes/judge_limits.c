/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_limits.c - what an exchange takes from limits, and gives back. */
#include "config.h"

#include "modes/judge_inside.h"

#include <stdlib.h>

/* False: that was one too many. What has to be given back is put into hold: then
 * hold->limit is not NULL. */
static bool
take(const struct limit_conf *conf, const struct facts *facts, uint64_t now_ms,
     struct judge_hold *hold, struct limit_state *state)
{
    uint64_t key;

    if (!limit_key(conf, facts, &key))
        return true;
    if (!limit_take(conf->limit, key, now_ms, state))
        return false;
    if (conf->concurrency > 0 && !limit_enter(conf->limit, key)) {
        state->is_over = true;
        state->retry_ms = 1000;
        return false;
    }
    if (conf->concurrency > 0 || conf->quota_bytes > 0)
        *hold = (struct judge_hold){
            .limit = limit_ref(conf->limit),
            .key = key,
            .is_inside = conf->concurrency > 0,
            .has_quota = conf->quota_bytes > 0,
        };
    return true;
}

static void
keep(struct judge_hold *hold, uint64_t now_ms, struct arena *arena, struct judge_hold **holds)
{
    struct judge_hold *kept = arena != NULL ? arena_alloc(arena, sizeof(*kept))
                                            : malloc(sizeof(*kept));

    if (kept == NULL) {
        judge_give_back(hold, 0, now_ms);
        return;
    }
    *kept = *hold;
    kept->next = *holds;
    *holds = kept;
}

const struct limit_conf *
judge_take_all(const struct rule_conf *rule, const struct facts *facts, uint64_t now_ms,
               struct arena *arena, struct judge_hold **holds, struct limit_state *state)
{
    for (const struct limit_conf **limit = rule->limits; *limit != NULL; limit++) {
        struct judge_hold hold = { 0 };

        if (!take(*limit, facts, now_ms, &hold, state))
            return *limit;
        if (hold.limit != NULL)
            keep(&hold, now_ms, arena, holds);
    }
    return NULL;
}

void
judge_give_back(struct judge_hold *hold, uint64_t bytes, uint64_t now_ms)
{
    if (hold->has_quota && bytes > 0)
        limit_spend(hold->limit, hold->key, bytes, now_ms);
    if (hold->is_inside)
        limit_leave(hold->limit, hold->key);
    limit_unref(hold->limit);
    hold->limit = NULL;
}
