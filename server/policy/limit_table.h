/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_table.h - what is counted of each key, in memory that never grows.
 *
 *     bucket   lock | 15 tags | 15 times | 15 numbers in use | 15 quotas
 *              '---64 bytes---'---128----'---64, if any------'---256, if any
 *
 * A key belongs to one bucket, and is known there by 32 of its bits: two keys are
 * taken for one with a chance of 15 in 2^32, which nobody can bring about since keys
 * are keyed hashes. Each bucket has a lock, on the line of memory that is needed
 * anyway, held for some nanoseconds: threads meet only over the same keys.
 *
 * The time of a slot is when its key will be as if it had never been seen: what has
 * the least is forgotten first, since least is lost with it. For each 12 keys wanted
 * there is a bucket, so that few are pushed out before the table is full.
 */
#ifndef BASCULE_LIMIT_TABLE_H
#define BASCULE_LIMIT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct limit_bucket;

struct limit_table {
    char *buckets;
    size_t bucket_bytes, total_bytes;
    uint32_t bucket_count;
    uint16_t in_use_offset, quota_offset; /* in a bucket; 0: it has none */
};

/* Bytes spent in the period that ends then. */
struct limit_quota {
    uint64_t used_bytes;
    uint64_t end_ms : 63, is_spent : 1; /* is_spent: the key is being limited until then */
};

/* One key's, while its bucket is locked. */
struct limit_slot {
    struct limit_bucket *bucket;
    uint64_t *busy_until;      /* in ticks; NULL: the key has no slot */
    uint32_t *in_use;          /* NULL: not counted */
    struct limit_quota *quota; /* the same */
    bool is_new;               /* one key more is in the table */
    bool has_evicted;          /* a key was forgotten of which something still counted */
};

/* Ticks are 2^-22 milliseconds, so that a rate of many a microsecond is exact enough, and
 * 64 bits last for 139 years. */
#define LIMIT_TICK_BITS 22
#define LIMIT_NOW_MAX_MS ((uint64_t)1 << 40)

static inline uint64_t
limit_ticks(uint64_t ms)
{
    return (ms < LIMIT_NOW_MAX_MS ? ms : LIMIT_NOW_MAX_MS) << LIMIT_TICK_BITS;
}

/* Room for max_keys; pages are taken from the kernel as they are touched. -1 when memory is
 * short. */
int limit_table_init(struct limit_table *table, uint64_t max_keys, bool has_in_use,
                     bool has_quota);
void limit_table_fini(struct limit_table *table);

/* Locks the key's bucket and finds its slot. */
void limit_table_find(const struct limit_table *table, uint64_t key, struct limit_slot *slot);

/* The same, and makes a slot where there is none, in place of another if need be. There is
 * still none when all are in use. */
void limit_table_make(struct limit_table *table, uint64_t key, uint64_t now_ms,
                      struct limit_slot *slot);

void limit_table_unlock(struct limit_slot *slot);

#endif
