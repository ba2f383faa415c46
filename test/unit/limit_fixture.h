/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_fixture.h - one limit in the registry, as a snapshot would have it. */
#ifndef BASCULE_LIMIT_FIXTURE_H
#define BASCULE_LIMIT_FIXTURE_H

#include <CUnit/CUnit.h>

#include "server/policy/limit.h"
#include "server/registry.h"
#include "server/schema.h"

#define NOW 1000000 /* any time will do */
#define DAY_MS 86400000u

static struct slice limit_client_part[] = { SLICE_INIT("client") };

/* What is the same in all limits here. */
static inline struct limit_conf
limit_of(int64_t requests, uint32_t period_ms, int64_t burst)
{
    return (struct limit_conf){
        .place = { .file = "test.conf", .line = 1 },
        .name = "test",
        .key = { limit_client_part, 1 },
        .requests = requests,
        .period_ms = period_ms,
        .burst = burst,
        .max_keys = 1000,
        .ipv4_bits = 32,
        .ipv6_bits = 64,
    };
}

/* The limits of one snapshot, with one in it. */
struct table {
    struct conf conf;
    void *items[1];
    struct limit_conf limit;
};

static inline struct limit *
begin(struct table *table, const struct limit_conf *conf)
{
    struct err err;

    memset(table, 0, sizeof(*table));
    table->limit = *conf;
    table->items[0] = &table->limit;
    table->conf.limits = (struct config_list){ table->items, 1 };
    CU_ASSERT_EQUAL_FATAL(limit_conf_finish(&table->limit, &err), 0);
    CU_ASSERT_EQUAL_FATAL(limits_adopt(&table->conf, &err), 0);
    limits_apply(&table->conf);
    return table->limit.limit;
}

static inline void
end(struct table *table)
{
    limits_release(&table->conf);
    CU_ASSERT_PTR_NULL(table->limit.limit);
}

static inline unsigned
take_many(struct limit *limit, uint64_t key, uint64_t now_ms, unsigned count)
{
    unsigned taken = 0;

    while (count-- > 0)
        taken += limit_take(limit, key, now_ms, NULL);
    return taken;
}

#endif
