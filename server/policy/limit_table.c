/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_table.c - buckets of 15 slots.
 *
 * An empty slot has the tag 0, and fresh pages of the kernel are empty slots: nothing
 * is initialised. Slots are never given back one by one: one of which nothing counts
 * any more is simply the first to be used again.
 */
#include "config.h"

#include "server/policy/limit_table.h"

#include <assert.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "server/base/must.h"

#define SLOTS 15
#define KEYS_PER_BUCKET 12 /* meant to be; the rest is room for chance */
#define LINE_BYTES 64
#define SPINS_MAX 100      /* then whoever holds the lock may need this processor */

struct limit_bucket {
    alignas(LINE_BYTES) _Atomic uint32_t is_locked;
    uint32_t tags[SLOTS];       /* 0: empty */
    uint64_t busy_until[SLOTS]; /* ticks */
};

static_assert(sizeof(struct limit_bucket) == 3 * LINE_BYTES, "no line is touched for nothing");
static_assert(SLOTS * sizeof(struct limit_quota) <= 4 * LINE_BYTES, "as in the drawing");

int
limit_table_init(struct limit_table *table, uint64_t max_keys, bool has_in_use, bool has_quota)
{
    size_t bytes = sizeof(struct limit_bucket), count;

    *table = (struct limit_table){ .buckets = NULL };
    if (has_in_use) {
        table->in_use_offset = (uint16_t)bytes;
        bytes += LINE_BYTES;
    }
    if (has_quota) {
        table->quota_offset = (uint16_t)bytes;
        bytes += 4 * LINE_BYTES;
    }
    count = (size_t)((max_keys + KEYS_PER_BUCKET - 1) / KEYS_PER_BUCKET);
    must(count > 0 && count <= UINT32_MAX);
    table->bucket_bytes = bytes;
    table->bucket_count = (uint32_t)count;
    table->total_bytes = bytes * count;
    table->buckets = mmap(NULL, table->total_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table->buckets != MAP_FAILED)
        return 0;
    table->buckets = NULL;
    return -1;
}

void
limit_table_fini(struct limit_table *table)
{
    if (table->buckets != NULL)
        munmap(table->buckets, table->total_bytes);
    table->buckets = NULL;
}

/* ---- one bucket */

static void
lock(struct limit_bucket *bucket)
{
    unsigned spins = 0;

    while (unlikely(atomic_exchange_explicit(&bucket->is_locked, 1, memory_order_acquire) != 0)) {
        while (atomic_load_explicit(&bucket->is_locked, memory_order_relaxed) != 0)
            if (++spins % SPINS_MAX == 0)
                sched_yield();
    }
}

void
limit_table_unlock(struct limit_slot *slot)
{
    atomic_store_explicit(&slot->bucket->is_locked, 0, memory_order_release);
}

/* The high bits choose the bucket, the low ones are the tag. */
static struct limit_bucket *
bucket_of(const struct limit_table *table, uint64_t key)
{
    size_t i = (size_t)(((key >> 32) * table->bucket_count) >> 32);

    return (struct limit_bucket *)(void *)(table->buckets + i * table->bucket_bytes);
}

static uint32_t
tag_of(uint64_t key)
{
    return (uint32_t)key != 0 ? (uint32_t)key : 1;
}

/* Four tags side by side. */
typedef uint32_t tags4 __attribute__((vector_size(16)));

/* A bit for each of the four tags from there on that is the one. */
static tags4
compare(const uint32_t *tags, uint32_t tag, unsigned first)
{
    const tags4 one = { tag, tag, tag, tag }, bits = { 1, 2, 4, 8 };
    tags4 four;

    memcpy(&four, tags + first, sizeof(four));
    return (tags4)(four == one) & (bits << first);
}

/* The slot with the tag; SLOTS: none has it. */
static unsigned
find(const struct limit_bucket *bucket, uint32_t tag)
{
    const uint32_t *tags = bucket->tags;
    tags4 bits = compare(tags, tag, 0) | compare(tags, tag, 4) | compare(tags, tag, 8) |
                 compare(tags, tag, SLOTS - 4); /* one of them for the second time */
    unsigned found = bits[0] | bits[1] | bits[2] | bits[3];

    return found != 0 ? (unsigned)__builtin_ctz(found) : SLOTS;
}

static uint32_t *
in_use_at(const struct limit_table *table, struct limit_bucket *bucket, unsigned i)
{
    if (table->in_use_offset == 0)
        return NULL;
    return (uint32_t *)(void *)((char *)bucket + table->in_use_offset) + i;
}

static struct limit_quota *
quota_at(const struct limit_table *table, struct limit_bucket *bucket, unsigned i)
{
    if (table->quota_offset == 0)
        return NULL;
    return (struct limit_quota *)(void *)((char *)bucket + table->quota_offset) + i;
}

static void
point_to(const struct limit_table *table, struct limit_slot *slot, unsigned i)
{
    slot->busy_until = &slot->bucket->busy_until[i];
    slot->in_use = in_use_at(table, slot->bucket, i);
    slot->quota = quota_at(table, slot->bucket, i);
}

/* Until when it is best not forgotten. */
static uint64_t
worth(const struct limit_table *table, struct limit_bucket *bucket, unsigned i)
{
    const struct limit_quota *quota = quota_at(table, bucket, i);
    uint64_t until = quota != NULL && quota->is_spent ? limit_ticks(quota->end_ms) : 0;

    return bucket->busy_until[i] > until ? bucket->busy_until[i] : until;
}

/* An empty one, or that of the key that has been quiet longest; SLOTS: all are in use. */
static unsigned
choose(const struct limit_table *table, struct limit_bucket *bucket)
{
    unsigned best = find(bucket, 0);
    uint64_t least = UINT64_MAX;

    if (best < SLOTS)
        return best;
    for (unsigned i = 0; i < SLOTS; i++) {
        const uint32_t *in_use = in_use_at(table, bucket, i);
        uint64_t is_worth = worth(table, bucket, i);

        if ((in_use == NULL || *in_use == 0) && is_worth < least) {
            least = is_worth;
            best = i;
        }
    }
    return best;
}

static bool
counts_still(const struct limit_slot *slot, uint64_t now_ms)
{
    return *slot->busy_until > limit_ticks(now_ms) ||
           (slot->quota != NULL && slot->quota->used_bytes > 0 && slot->quota->end_ms > now_ms);
}

/* Makes the chosen slot the key's. */
static void
occupy(struct limit_slot *slot, unsigned i, uint32_t tag, uint64_t now_ms)
{
    slot->is_new = slot->bucket->tags[i] == 0;
    slot->has_evicted = !slot->is_new && counts_still(slot, now_ms);
    slot->bucket->tags[i] = tag;
    *slot->busy_until = 0;
    if (slot->quota != NULL)
        *slot->quota = (struct limit_quota){ 0 };
}

/* ---- by key */

void
limit_table_find(const struct limit_table *table, uint64_t key, struct limit_slot *slot)
{
    unsigned i;

    *slot = (struct limit_slot){ .bucket = bucket_of(table, key) };
    __builtin_prefetch(slot->bucket->busy_until);
    __builtin_prefetch(slot->bucket->busy_until + LINE_BYTES / sizeof(uint64_t));
    lock(slot->bucket);
    i = find(slot->bucket, tag_of(key));
    if (i < SLOTS)
        point_to(table, slot, i);
}

void
limit_table_make(struct limit_table *table, uint64_t key, uint64_t now_ms, struct limit_slot *slot)
{
    unsigned i;

    limit_table_find(table, key, slot);
    if (likely(slot->busy_until != NULL))
        return;
    i = choose(table, slot->bucket);
    if (i == SLOTS)
        return;
    point_to(table, slot, i);
    occupy(slot, i, tag_of(key), now_ms);
}
