/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_count.c - an exchange counts once, at its end, when all is known. */
#include "config.h"

#include "modes/cache_count.h"

#include "cache/cache_conf.h"
#include "cache/traffic.h"
#include "modes/cached.h"

static enum traffic_kind
kind_of(const struct cached *cached)
{
    const struct cache_outcome *outcome = &cached->outcome;

    if (outcome->forward == CACHE_FORWARD_METHOD || outcome->forward == CACHE_FORWARD_BYPASS)
        return TRAFFIC_PASS;
    if (cached->is_stale)
        return TRAFFIC_STALE;
    if (outcome->forward == CACHE_FORWARD_NONE && cached->state == CACHED_DONE)
        return TRAFFIC_HIT;
    if (outcome->forward_status == 304)
        return TRAFFIC_VALIDATED;
    return outcome->is_collapsed ? TRAFFIC_JOINED : TRAFFIC_MISS;
}

static bool
went_upstream(enum traffic_kind kind)
{
    return kind == TRAFFIC_VALIDATED || kind == TRAFFIC_JOINED || kind == TRAFFIC_MISS;
}

void
cache_count(struct exchange *ex)
{
    const struct cached *cached = ex->cached;
    struct traffic traffic = { 0 };
    enum traffic_kind kind;

    if (!ex->is_started || ex->solo != NULL || cached->state == CACHED_PURGE)
        return;
    kind = kind_of(cached);
    ex->down->ops->count(ex, &traffic);
    traffic_count(cached->conf->account, ex->worker->id,
                  ex->listener->mode->is_proxy ? TRAFFIC_FORWARD : TRAFFIC_REVERSE, kind,
                  traffic.content_out);
    if (went_upstream(kind))
        counter_up(ex->worker->counters, cache_misses);
}
