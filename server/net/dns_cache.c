/* SPDX-License-Identifier: BSD-2-Clause */
/* dns_cache.c - a hash table of names whose resting entries form an LRU list. */
#include "config.h"

#include "server/net/dns_cache.h"

#include "server/base/must.h"

#include <stdlib.h>

/* RFC 9520 section 3.2: a failure is kept for at least a second. */
#define FAILURE_MS 1000

/* RFC 8767 section 5: how long old addresses are given without asking again. */
#define STALE_RECHECK_MS 30000

/* ---- the table */

int
dns_cache_init(struct dns_cache *cache, uint64_t max_count, uint32_t stale_ms)
{
    uint64_t count = 64;

    while (count < max_count)
        count *= 2;
    list_init(&cache->entries);
    cache->max_count = max_count;
    cache->stale_ms = stale_ms;
    cache->count = 0;
    cache->bucket_mask = count - 1;
    cache->buckets = calloc(count, sizeof(*cache->buckets));
    hash_key_random(&cache->key);
    return cache->buckets != NULL ? 0 : -1;
}

uint64_t
dns_cache_hash(const struct dns_cache *cache, struct slice name)
{
    return hash_bytes(name, &cache->key);
}

struct dns_entry *
dns_cache_find(const struct dns_cache *cache, struct slice name, uint64_t hash)
{
    struct dns_entry *entry = cache->buckets[hash & cache->bucket_mask];

    while (entry != NULL && !(entry->hash == hash && entry->name_bytes == name.bytes &&
                              memcmp(entry->name, name.data, name.bytes) == 0))
        entry = entry->next;
    return entry;
}

struct dns_entry *
dns_cache_add(struct dns_cache *cache, struct slice name, uint64_t hash)
{
    struct dns_entry **bucket = &cache->buckets[hash & cache->bucket_mask];
    struct dns_entry *entry = calloc(1, sizeof(*entry) + name.bytes + 1);

    if (entry == NULL)
        return NULL;
    list_init(&entry->link);
    entry->hash = hash;
    entry->name_bytes = (uint8_t)name.bytes;
    memcpy(entry->name, name.data, name.bytes);
    entry->next = *bucket;
    *bucket = entry;
    cache->count++;
    return entry;
}

static void
drop(struct dns_cache *cache, struct dns_entry *entry)
{
    struct dns_entry **at = &cache->buckets[entry->hash & cache->bucket_mask];

    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    list_remove(&entry->link);
    free(entry->ips);
    free(entry);
    cache->count--;
}

void
dns_cache_hold(struct dns_entry *entry)
{
    list_remove(&entry->link);
}

void
dns_cache_rest(struct dns_cache *cache, struct dns_entry *entry)
{
    list_remove(&entry->link);
    list_push_front(&cache->entries, &entry->link);
    while (cache->count > cache->max_count && cache->entries.prev != &entry->link)
        drop(cache, container_of(cache->entries.prev, struct dns_entry, link));
}

void
dns_cache_fini(struct dns_cache *cache)
{
    while (!list_is_empty(&cache->entries))
        drop(cache, container_of(cache->entries.next, struct dns_entry, link));
    must(cache->count == 0);
    free(cache->buckets);
    cache->buckets = NULL;
}

/* ---- what was said */

bool
dns_entry_may_be_stale(const struct dns_entry *entry, uint64_t now_ms)
{
    return entry->count > 0 && entry->stale_until_ms > now_ms;
}

/* IPv6 and IPv4 take turns, so that neither crowds the other out. */
static unsigned
merge(const struct dns_answer *ipv6, const struct dns_answer *ipv4, struct ip *ips)
{
    unsigned count = 0;

    for (unsigned i = 0; i < DNS_ADDRESSES_MAX; i++) {
        if (i < ipv6->count && count < DNS_ADDRESSES_MAX)
            ips[count++] = ipv6->ips[i];
        if (i < ipv4->count && count < DNS_ADDRESSES_MAX)
            ips[count++] = ipv4->ips[i];
    }
    return count;
}

static void
store_nothing(struct dns_entry *entry, enum dns_status status, const char *detail,
              uint64_t until_ms)
{
    free(entry->ips);
    entry->ips = NULL;
    entry->count = 0;
    entry->status = status;
    entry->detail = detail;
    entry->is_stale = false;
    entry->fresh_until_ms = until_ms;
}

/* When the addresses of one family may be kept shorter than the other's, both
 * are asked for again then. */
static void
store_addresses(const struct dns_cache *cache, struct dns_entry *entry,
                const struct dns_finding *ipv6, const struct dns_finding *ipv4)
{
    struct ip ips[DNS_ADDRESSES_MAX];
    unsigned count = merge(&ipv6->answer, &ipv4->answer, ips);
    uint64_t until_ms = UINT64_MAX;
    struct ip *copy = malloc(count * sizeof(*ips));

    if (copy == NULL) {
        store_nothing(entry, DNS_FAILED, "no memory", 0);
        return;
    }
    if (ipv6->answer.count > 0)
        until_ms = ipv6->until_ms;
    if (ipv4->answer.count > 0 && ipv4->until_ms < until_ms)
        until_ms = ipv4->until_ms;
    free(entry->ips);
    entry->ips = memcpy(copy, ips, count * sizeof(*ips));
    entry->count = (uint8_t)count;
    entry->status = DNS_OK;
    entry->detail = "name server";
    entry->is_stale = false;
    entry->fresh_until_ms = until_ms;
    entry->stale_until_ms = until_ms + cache->stale_ms;
}

static void
store_failure(struct dns_entry *entry, enum dns_status status, const char *detail,
              uint64_t now_ms)
{
    if (!dns_entry_may_be_stale(entry, now_ms)) {
        store_nothing(entry, status, detail, now_ms + FAILURE_MS);
        return;
    }
    entry->is_stale = true;
    entry->fresh_until_ms = now_ms + STALE_RECHECK_MS < entry->stale_until_ms
                                ? now_ms + STALE_RECHECK_MS
                                : entry->stale_until_ms;
}

/* The finding that speaks when there are no addresses. NXDOMAIN holds for all
 * types of a name (RFC 8020); a failure may hide addresses, so it weighs more
 * than "no data". */
static const struct dns_finding *
decisive(const struct dns_finding *ipv6, const struct dns_finding *ipv4)
{
    static const uint8_t weights[] = {
        [DNS_OK] = 0,      [DNS_NO_DATA] = 1, [DNS_CLOSED] = 2,
        [DNS_TIMEOUT] = 3, [DNS_FAILED] = 4,  [DNS_NO_NAME] = 5,
    };

    return weights[ipv6->answer.status] > weights[ipv4->answer.status] ? ipv6 : ipv4;
}

void
dns_cache_store(const struct dns_cache *cache, struct dns_entry *entry,
                const struct dns_finding *ipv6, const struct dns_finding *ipv4, uint64_t now_ms)
{
    const struct dns_finding *said = decisive(ipv6, ipv4);

    if (ipv6->answer.count > 0 || ipv4->answer.count > 0) {
        store_addresses(cache, entry, ipv6, ipv4);
        return;
    }
    switch (said->answer.status) {
    case DNS_OK:
    case DNS_NO_DATA:
    case DNS_NO_NAME:
        store_nothing(entry, said->answer.status, said->answer.detail, said->until_ms);
        return;
    case DNS_CLOSED:
    case DNS_TIMEOUT:
        store_failure(entry, DNS_TIMEOUT, "no answer from any name server", now_ms);
        return;
    case DNS_FAILED:
        store_failure(entry, DNS_FAILED, said->answer.detail, now_ms);
        return;
    }
}
