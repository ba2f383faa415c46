/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_conf.h - what the configuration says of stores, and of caching a site.
 *
 *     stores = ( { name = "main"; memory = "256M"; path = "/var/cache/bascule"; disk = "10G"; } );
 *     sites = ( { ...; cache = "main"; } );
 *
 * Descriptions only: the stores themselves are in the registry (store.h).
 */
#ifndef BASCULE_CACHE_CONF_H
#define BASCULE_CACHE_CONF_H

#include "cache/byte_range.h"
#include "cache/cache_key.h"
#include "cache/freshness.h"
#include "cache/vary.h"
#include "server/config/option.h"

struct prefix_set;
struct store;
struct traffic_account;

struct store_conf {
    struct place place;
    const char *name;
    uint64_t memory_bytes;
    const char *path;           /* absolute; NULL: memory only */
    uint64_t disk_bytes;
    uint64_t min_free_bytes;
    uint64_t segment_bytes;
    uint64_t object_bytes;      /* longest content stored */
    uint64_t memory_object_bytes; /* longest content kept in memory */
    uint64_t queue_bytes;       /* waiting to be written */
    uint64_t window_bytes;      /* of content on its way to readers and disk, per fill */
    int64_t threads;
    int verify;                 /* enum disk_verify */
    int64_t tags, prefixes;     /* purges remembered */
    struct store *store;        /* in the registry */
    bool is_used;               /* by a cache, which says so when it is linked */
};

enum cache_reload { CACHE_RELOAD_AUTO, CACHE_RELOAD_OBEY, CACHE_RELOAD_IGNORE };

/* How the answers of a site, a route or a forward listener are cached. */
struct cache_conf {
    struct place place;         /* line 0: not given here */
    const char *store_name;     /* "off": not at all */
    struct store_conf *store;   /* NULL: not at all */
    uint32_t default_ms, min_ms, max_ms, heuristic_ms;
    uint32_t stale_while_revalidate_ms, stale_if_error_ms;
    struct lifetime_conf life;  /* made of those */
    bool stores_cookies;        /* answers with Set-Cookie too, without that field */
    int reload;                 /* enum cache_reload: a client's no-cache, max-age, min-fresh */
    bool collapses;
    bool finishes;              /* a fetch goes on when nobody waits for it any more */
    bool sends_status;          /* Cache-Status to clients */
    struct strings query_ignore, query_only;
    bool query_sort, query_off;
    struct strings vary_on;     /* request fields that are always varied on */
    bool device;                /* phone, tablet ... */
    struct strings languages;
    struct key_conf key;        /* made of those */
    struct vary_conf vary;
    uint64_t slice_bytes;       /* 0: no slices */
    uint64_t quota_bytes;       /* of the site, on disk; 0: none */
    struct prefix_set *purge_from; /* who may use the method PURGE; NULL: nobody */
    struct traffic_account *account; /* of the site or listener: its numbers */
    struct slice destinations;  /* of a forward listener: a name for where it may go and whom it
                                 * trusts there, if that is not as usual */
};

extern const struct option store_options[];
extern const struct option cache_options[];

/* Checks a store, which has earlier ones before it. 0, or -1 with err. */
int store_conf_finish(struct store_conf *store, void *const *earlier, size_t earlier_count,
                      struct err *err);

/* Checks and links: the store of that name among stores (of struct store_conf). 0, or
 * -1 with err. */
int cache_conf_finish(struct cache_conf *cache, const struct config_list *stores,
                      struct arena *arena, struct err *err);

#endif
