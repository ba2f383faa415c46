/* SPDX-License-Identifier: BSD-2-Clause */
/* store_facts.c - asks all parts of a store. */
#include "config.h"

#include "cache/store_facts.h"

#include "cache/cache_conf.h"
#include "server/schema.h"

static const char *
state_of(struct disk *disk)
{
    static const char *const words[] = {
        [DISK_LOADING] = "loading",
        [DISK_READY] = "ready",
        [DISK_FAILED] = "failed",
    };

    return disk != NULL ? words[disk_state(disk)] : "memory";
}

void
store_facts(const struct store_conf *conf, struct store_facts *facts)
{
    struct store *store = conf->store;
    struct disk *disk = store_disk(store);

    *facts = (struct store_facts){
        .conf = conf,
        .fills = fills_count(store_fills(store)),
        .state = state_of(disk),
    };
    memory_facts(store_memory(store), &facts->memory);
    purges_facts(store_purges(store), &facts->purges);
    if (disk != NULL)
        disk_facts(disk, &facts->disk);
}

void
store_each_account(const struct conf *conf,
                   void (*each)(void *arg, const char *name,
                                const struct traffic_account *account),
                   void *arg)
{
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];

        if (site->all.cache.account != NULL)
            each(arg, site->name, site->all.cache.account);
    }
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        if (listener->cache.account != NULL)
            each(arg, listener->name, listener->cache.account);
    }
}
