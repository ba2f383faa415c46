/* SPDX-License-Identifier: BSD-2-Clause */
/* site_slots.c - open addressing by site id, with nothing but atomics. */
#include "config.h"

#include "cache/site_slots.h"

#include "cache/record.h"

#define PROBES 64u /* a full neighbourhood is a full table */

uint16_t
site_slot_of(struct site_slots *slots, uint32_t site)
{
    uint32_t at = site * 2654435761u >> 20; /* twelve bits */

    if (site == 0)
        return 0;
    for (unsigned i = 0; i < PROBES; i++, at = (at + 1) % INDEX_SITES) {
        uint32_t there = 0;

        if (at == 0)
            continue;
        if (atomic_compare_exchange_strong(&slots->items[at].site, &there, site) ||
            there == site)
            return (uint16_t)at;
    }
    return 0;
}

void
site_slot_count(struct site_slots *slots, uint16_t number, uint8_t size_class)
{
    atomic_fetch_add_explicit(&slots->items[number].bytes, size_class_bytes(size_class),
                              memory_order_relaxed);
}

void
site_slot_discount(struct site_slots *slots, uint16_t number, uint8_t size_class)
{
    atomic_fetch_sub_explicit(&slots->items[number].bytes, size_class_bytes(size_class),
                              memory_order_relaxed);
}

void
site_slot_set_quota(struct site_slots *slots, uint16_t number, uint64_t max_bytes)
{
    uint64_t before = atomic_exchange(&slots->items[number].quota, max_bytes);

    if (before == 0 && max_bytes != 0)
        atomic_fetch_add(&slots->quotas, 1);
    if (before != 0 && max_bytes == 0)
        atomic_fetch_sub(&slots->quotas, 1);
}

uint16_t
site_slot_over_quota(struct site_slots *slots)
{
    if (atomic_load_explicit(&slots->quotas, memory_order_relaxed) == 0)
        return 0;
    for (uint16_t i = 1; i < INDEX_SITES; i++) {
        uint64_t quota = atomic_load_explicit(&slots->items[i].quota, memory_order_relaxed);

        if (quota != 0 &&
            atomic_load_explicit(&slots->items[i].bytes, memory_order_relaxed) > quota)
            return i;
    }
    return 0;
}
