/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_hold.c - takes from a limit, and gives back. */
#include "config.h"

#include "server/policy/limit_hold.h"

#define CONCURRENCY_RETRY_MS 1000 /* nobody knows when one leaves */

bool
limit_hold_take(struct limit_hold *hold, const struct limit_conf *conf, uint64_t key,
                uint64_t now_ms, struct limit_state *state)
{
    *hold = (struct limit_hold){ .limit = NULL };
    if (!limit_take(conf->limit, key, now_ms, state))
        return false;
    if (conf->concurrency > 0 && !limit_enter(conf->limit, key)) {
        state->is_over = true;
        state->retry_ms = CONCURRENCY_RETRY_MS;
        return false;
    }
    if (conf->concurrency > 0 || conf->quota_bytes > 0)
        *hold = (struct limit_hold){
            .limit = limit_ref(conf->limit),
            .key = key,
            .is_inside = conf->concurrency > 0,
            .has_quota = conf->quota_bytes > 0,
        };
    return true;
}

void
limit_hold_give_back(struct limit_hold *hold, uint64_t bytes, uint64_t now_ms)
{
    if (hold->limit == NULL)
        return;
    if (hold->has_quota && bytes > 0)
        limit_spend(hold->limit, hold->key, bytes, now_ms);
    if (hold->is_inside)
        limit_leave(hold->limit, hold->key);
    limit_unref(hold->limit);
    hold->limit = NULL;
}
