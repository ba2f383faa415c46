/* SPDX-License-Identifier: BSD-2-Clause */
/* site_slots.h - small numbers for sites, and what each has on disk.
 *
 * An index entry has room for twelve bits, not for a site's id. Numbers are
 * given out and never taken back, so nothing here needs a lock; the sites of
 * a configuration are few. Number 0 is for those that came too late: they are
 * counted together and have no quota.
 */
#ifndef BASCULE_CACHE_SITE_SLOTS_H
#define BASCULE_CACHE_SITE_SLOTS_H

#include <stdatomic.h>

#include "cache/index.h"

struct site_slot {
    _Atomic uint32_t site;        /* its id; 0: free */
    _Atomic uint64_t bytes;       /* of its objects, rounded up to their size classes */
    _Atomic uint64_t quota;       /* 0: none */
    uint64_t swept_to;            /* no segment below this number has any of its objects;
                                     whoever sweeps has it to himself */
};

struct site_slots {
    struct site_slot items[INDEX_SITES];
    _Atomic unsigned quotas;      /* sites that have one */
};

/* The number of a site, now or from now on. */
uint16_t site_slot_of(struct site_slots *slots, uint32_t site);

/* Counts an object of this class at a number, or no longer. */
void site_slot_count(struct site_slots *slots, uint16_t number, uint8_t size_class);
void site_slot_discount(struct site_slots *slots, uint16_t number, uint8_t size_class);

/* Sets the quota of a number; 0: none. */
void site_slot_set_quota(struct site_slots *slots, uint16_t number, uint64_t max_bytes);

/* A number whose site is over its quota; 0: none. */
uint16_t site_slot_over_quota(struct site_slots *slots);

#endif
