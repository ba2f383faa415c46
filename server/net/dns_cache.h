/* SPDX-License-Identifier: BSD-2-Clause */
/* dns_cache.h - what name servers said about names, and until when it counts.
 *
 * A bounded table that drops the name unused longest. Knows neither sockets
 * nor clock. Belongs to one worker thread.
 */
#ifndef BASCULE_DNS_CACHE_H
#define BASCULE_DNS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/hash.h"
#include "server/base/list.h"
#include "server/base/slice.h"
#include "server/net/dns.h"

struct lookup;

struct dns_entry {
    struct list link;       /* unlinked while a look-up holds the entry */
    struct dns_entry *next; /* in its bucket */
    struct lookup *lookup;  /* who holds it, for resolve.c */
    uint64_t hash;
    uint64_t fresh_until_ms; /* 0: nothing was said yet */
    uint64_t stale_until_ms;
    struct ip *ips;
    const char *detail;
    enum dns_status status; /* DNS_OK when there are addresses, never DNS_CLOSED */
    uint8_t count;
    bool is_stale;
    uint8_t name_bytes;
    char name[]; /* NUL-terminated */
};

struct dns_cache {
    struct dns_entry **buckets;
    uint64_t bucket_mask;
    struct hash_key key;
    struct list entries; /* not held; used last comes first */
    uint64_t max_count;
    uint32_t stale_ms;
    unsigned count;
};

/* Makes an empty cache of at most max_count entries (those that are held
 * count, but cannot be dropped) whose answers may serve stale_ms past their
 * time. -1 when memory is short; then only dns_cache_fini() is left. */
int dns_cache_init(struct dns_cache *cache, uint64_t max_count, uint32_t stale_ms);

/* No entry may be held. */
void dns_cache_fini(struct dns_cache *cache);

/* Keyed, since clients choose the names. */
uint64_t dns_cache_hash(const struct dns_cache *cache, struct slice name);

/* The name's entry, or NULL. */
struct dns_entry *dns_cache_find(const struct dns_cache *cache, struct slice name, uint64_t hash);

/* A new entry, held. name is at most 253 bytes and copied. NULL when memory is
 * short. */
struct dns_entry *dns_cache_add(struct dns_cache *cache, struct slice name, uint64_t hash);

/* While an entry is held it is not dropped. */
void dns_cache_hold(struct dns_entry *entry);

/* The entry was used last and may be dropped from now on; others may be
 * dropped to make room. */
void dns_cache_rest(struct dns_cache *cache, struct dns_entry *entry);

/* Whether the entry has addresses that may serve past their time. */
bool dns_entry_may_be_stale(const struct dns_entry *entry, uint64_t now_ms);

/* What was said of one family. */
struct dns_finding {
    struct dns_answer answer;
    uint64_t until_ms; /* it counts */
};

/* Puts both findings into the entry. Addresses of either family make it
 * DNS_OK; when name servers failed, old addresses go on serving if they may
 * (RFC 8767). */
void dns_cache_store(const struct dns_cache *cache, struct dns_entry *entry,
                     const struct dns_finding *ipv6, const struct dns_finding *ipv4,
                     uint64_t now_ms);

#endif
