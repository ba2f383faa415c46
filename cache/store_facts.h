/* SPDX-License-Identifier: BSD-2-Clause */
/* store_facts.h - a store in numbers: its tiers, and what was purged. */
#ifndef BASCULE_CACHE_STORE_FACTS_H
#define BASCULE_CACHE_STORE_FACTS_H

#include "cache/store.h"

struct conf;
struct traffic_account;

struct store_facts {
    const struct store_conf *conf;
    struct memory_facts memory;
    struct disk_facts disk; /* zeroes without a disk */
    struct purge_facts purges;
    uint64_t fills;         /* under way */
    const char *state;      /* "memory", "loading", "ready", "failed" */
};

void store_facts(const struct store_conf *conf, struct store_facts *facts);

/* Calls each for the account of every cached site and of every forward listener with a
 * cache, with its name. */
void store_each_account(const struct conf *conf,
                        void (*each)(void *arg, const char *name,
                                     const struct traffic_account *account),
                        void *arg);

#endif
