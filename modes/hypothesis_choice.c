/* SPDX-License-Identifier: BSD-2-Clause */
/* hypothesis_choice.c - which endpoint it would be now, and what the cache would look
 * under.
 */
#include "config.h"

#include "modes/hypothesis_inside.h"

#include "cache/cache_conf.h"
#include "modes/judge.h"
#include "modes/look_up.h"
#include "server/base/clock.h"
#include "server/upstream/balance.h"

/* ---- endpoints */

static int
pick(const struct group_conf *group, uint64_t now_ms, bool is_last_resort)
{
    struct pick none;
    const struct candidates candidates = { group, &none, now_ms, is_last_resort };

    pick_start(&none, group);
    return balancers[group->balance]->pick(&candidates);
}

/* A balancer writes nothing but whose turn it is: so it is asked about a copy of the
 * group, and nobody loses a turn. */
static int
next_of(const struct group_conf *conf, uint64_t now_ms)
{
    struct group group;
    struct group_conf copy = *conf;
    int position;

    memset(&group, 0, sizeof(group));
    atomic_init(&group.turn, atomic_load_explicit(&conf->group->turn, memory_order_relaxed));
    copy.group = &group;
    position = pick(&copy, now_ms, false);
    return position >= 0 ? position : pick(&copy, now_ms, true);
}

void
hypothesis_choose(struct hypothesis *h)
{
    const struct group_conf *group = h->ex.to.group;
    uint64_t now_ms = clock_monotonic_ms();
    int next = -1;

    if (group == NULL)
        return;
    h->endpoints = arena_zalloc(&h->ex.arena, group->endpoints.count * sizeof(*h->endpoints));
    if (h->endpoints == NULL)
        return;
    if (h->is_served && !group->maintenance)
        next = next_of(group, now_ms);
    h->endpoint_count = (unsigned)group->endpoints.count;
    for (unsigned i = 0; i < h->endpoint_count; i++) {
        struct hypothesis_endpoint *endpoint = &h->endpoints[i];

        endpoint->conf = group->endpoints.items[i];
        endpoint->is_known = h->is_served;
        endpoint->is_next = next == (int)i;
        if (!h->is_served)
            continue;
        endpoint->is_full = endpoint_is_full(endpoint->conf);
        endpoint_read(endpoint->conf->endpoint, now_ms, &endpoint->numbers);
    }
}

/* ---- the cache */

static bool
is_cacheable(const struct exchange *ex)
{
    const struct request *request = &ex->request;

    return (request->method == METHOD_GET || request->method == METHOD_HEAD) &&
           !request->has_body && !look_up_is_told_more(ex);
}

void
hypothesis_look_up(struct hypothesis *h)
{
    struct exchange *ex = &h->ex;
    const struct cache_conf *conf = ex->route != NULL ? &ex->route->cache : &ex->listener->cache;
    struct key_parts parts;

    if (conf->store != NULL)
        conf = judge_cache(ex, conf);
    if (conf == NULL || conf->store == NULL || !is_cacheable(ex))
        return;
    parts = look_up_parts(ex);
    h->cache = conf;
    h->key = cache_key_make(&ex->arena, &conf->key, &parts);
}
