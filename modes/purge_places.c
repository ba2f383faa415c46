/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_places.c - from a wish to purges; what comes twice is purged once. */
#include "config.h"

#include "modes/purge_places.h"

#include "cache/cache_conf.h"
#include "server/schema.h"

static struct slice
text_of(struct arena *arena, const struct key_conf *rules, const struct purge_wish *wish)
{
    switch (wish->kind) {
    case PURGE_URL:
        return public_url_counting(arena, rules, wish->url);
    case PURGE_PREFIX:
        return public_url_text(arena, wish->url);
    case PURGE_TAG:
    case PURGE_SITE:
        break;
    }
    return wish->text;
}

static void
add(struct purge_job *job, struct arena *arena, const struct store_conf *store,
    const struct key_conf *rules, const struct purge_wish *wish)
{
    if (wish->only == NULL || wish->only == store)
        purge_job_add(job, store->store, wish->kind, wish->is_soft, text_of(arena, rules, wish));
}

static void
add_cache(struct purge_job *job, struct arena *arena, const struct cache_conf *cache,
          const struct purge_wish *wish)
{
    if (cache->store != NULL)
        add(job, arena, cache->store, &cache->key, wish);
}

void
purge_site(struct purge_job *job, struct arena *arena, const struct site_conf *site,
           const struct purge_wish *wish)
{
    add_cache(job, arena, &site->all.cache, wish);
    for (size_t i = 0; i < site->routes.count; i++)
        add_cache(job, arena, &((const struct route_conf *)site->routes.items[i])->cache, wish);
}

void
purge_listener(struct purge_job *job, struct arena *arena, const struct listener_conf *listener,
               const struct purge_wish *wish)
{
    add_cache(job, arena, &listener->cache, wish);
}

void
purge_store(struct purge_job *job, struct arena *arena, const struct store_conf *store,
            const struct purge_wish *wish)
{
    static const struct key_conf no_rules;

    add(job, arena, store, &no_rules, wish);
}
