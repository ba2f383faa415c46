/* SPDX-License-Identifier: BSD-2-Clause */
/* index.c - ordered linear probing.
 *
 * The upper ten bits of a hash choose the shard, the others its home: they are
 * scaled to the table's size, so the order of homes is the order of hashes, and
 * a table of any size will do. Every entry lies at or behind its home, in
 * order, with no gap between: looking up ends at the first hash that is larger.
 * Some slots behind the last home take what is pushed there; nothing wraps.
 *
 * Tables of several pages come straight from the kernel in whole pages: growing
 * a thousand of them in turn would leave the heap full of holes.
 */
#include "config.h"

#include "cache/index.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "server/base/must.h"

#define SHARD_BITS 10
#define SHARDS (1u << SHARD_BITS)
#define FIRST_SLOTS 16u
#define PAGE_BYTES 4096u
#define MAPPED_BYTES (4 * PAGE_BYTES) /* tables from here on are mapped */

struct entry {
    uint64_t hash;
    uint64_t place;            /* packed; 0: empty, since no segment's slot is 0 */
};

struct shard {
    pthread_mutex_t lock;      /* guards the rest */
    struct entry *entries;
    uint32_t homes;            /* slots but for the spare ones */
    uint32_t count;
} __attribute__((aligned(64)));

struct index {
    struct shard shards[SHARDS];
    _Atomic uint64_t memory;
};

/* ---- places, packed */

static uint64_t
pack(const struct place *p)
{
    must(p->slot != 0 && p->site < INDEX_SITES && p->unit < 1u << 25);
    return (uint64_t)p->slot << 48 | (uint64_t)p->unit << 23 | (uint64_t)p->size_class << 15 |
           (uint64_t)p->site << 3 | (uint64_t)p->is_mark << 2 | (uint64_t)p->is_long << 1 |
           (uint64_t)p->is_read;
}

static struct place
unpack(uint64_t packed)
{
    return (struct place){
        .slot = (uint16_t)(packed >> 48),
        .unit = (uint32_t)(packed >> 23) & ((1u << 25) - 1),
        .size_class = (uint8_t)(packed >> 15),
        .site = (uint16_t)((packed >> 3) & (INDEX_SITES - 1)),
        .is_mark = packed >> 2 & 1,
        .is_long = packed >> 1 & 1,
        .is_read = packed & 1,
    };
}

/* ---- a shard's table */

/* Those behind the last home as well. */
static inline uint32_t
slots_of(uint32_t homes)
{
    return homes > 0 ? homes + homes / 64 + 8 : 0;
}

static size_t
table_bytes(uint32_t homes)
{
    return slots_of(homes) * sizeof(struct entry);
}

static struct entry *
table_new(struct index *index, uint32_t homes)
{
    size_t bytes = table_bytes(homes);
    void *table;

    if (bytes < MAPPED_BYTES) {
        table = calloc(1, bytes);
    } else { /* populated: faults would be taken under the lock */
        table = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (table == MAP_FAILED)
            table = NULL;
    }
    if (table != NULL)
        atomic_fetch_add_explicit(&index->memory, bytes, memory_order_relaxed);
    return table;
}

static void
table_free(struct index *index, struct entry *table, uint32_t homes)
{
    size_t bytes = table_bytes(homes);

    if (table == NULL)
        return;
    atomic_fetch_sub_explicit(&index->memory, bytes, memory_order_relaxed);
    if (bytes < MAPPED_BYTES)
        free(table);
    else
        munmap(table, bytes);
}

/* A fifth more; tables that are mapped fill their pages. */
static uint32_t
grown(uint32_t homes)
{
    uint32_t more = homes == 0 ? FIRST_SLOTS : homes + homes / 5 + 1;
    size_t pages = table_bytes(more) / PAGE_BYTES;
    size_t pages_now = (table_bytes(homes) + PAGE_BYTES - 1) / PAGE_BYTES;

    if (table_bytes(more) < MAPPED_BYTES)
        return more;
    pages = pages > pages_now ? pages : pages_now + 1;
    return (uint32_t)((pages * PAGE_BYTES / sizeof(struct entry) - 8) * 64 / 65);
}

static inline uint32_t
home_of(uint64_t hash, uint32_t homes)
{
    return (uint32_t)(((hash >> (32 - SHARD_BITS) & UINT32_MAX) * homes) >> 32);
}

static inline struct shard *
shard_of(struct index *index, uint64_t hash)
{
    return &index->shards[hash >> (64 - SHARD_BITS)];
}

/* The slot where hash is, or where it would have to be. */
static inline uint32_t
seek(const struct shard *shard, uint64_t hash)
{
    uint32_t i = home_of(hash, shard->homes);
    uint32_t end = slots_of(shard->homes);

    while (i < end && shard->entries[i].place != 0 && shard->entries[i].hash < hash)
        i++;
    return i;
}

static struct entry *
find(const struct shard *shard, uint64_t hash)
{
    uint32_t i;

    if (shard->homes == 0)
        return NULL;
    i = seek(shard, hash);
    if (i == slots_of(shard->homes) || shard->entries[i].place == 0 ||
        shard->entries[i].hash != hash)
        return NULL;
    return &shard->entries[i];
}

/* Adds a hash that is not there. False: the table has to grow first. */
static bool
insert(struct shard *shard, uint64_t hash, uint64_t place)
{
    uint32_t end = slots_of(shard->homes);
    uint32_t i, gap;

    if (shard->count >= shard->homes - shard->homes / 10)
        return false;
    i = seek(shard, hash);
    for (gap = i; gap < end && shard->entries[gap].place != 0; gap++)
        ;
    if (gap == end)
        return false;
    memmove(&shard->entries[i + 1], &shard->entries[i], (gap - i) * sizeof(struct entry));
    shard->entries[i] = (struct entry){ hash, place };
    shard->count++;
    return true;
}

/* What lies behind it and away from home moves up. */
static void
erase(struct shard *shard, uint32_t i)
{
    uint32_t end = slots_of(shard->homes);
    uint32_t last = i;

    while (last + 1 < end && shard->entries[last + 1].place != 0 &&
           home_of(shard->entries[last + 1].hash, shard->homes) <= last)
        last++;
    memmove(&shard->entries[i], &shard->entries[i + 1], (last - i) * sizeof(struct entry));
    shard->entries[last] = (struct entry){ 0, 0 };
    shard->count--;
}

/* Copies all entries to an empty table. False: they do not fit (the spare slots). */
static bool
copy(const struct shard *shard, struct entry *to, uint32_t homes)
{
    uint32_t slots = slots_of(homes), next = 0;

    for (uint32_t i = 0; i < slots_of(shard->homes); i++) {
        uint32_t home;

        if (shard->entries[i].place == 0)
            continue;
        home = home_of(shard->entries[i].hash, homes);
        next = home > next ? home : next;
        if (next == slots)
            return false;
        to[next++] = shard->entries[i];
    }
    return true;
}

/* Makes a shard larger unless another thread has already. Memory is taken and
 * given back outside the lock. False when there is none, or it would not help. */
static bool
grow(struct index *index, struct shard *shard, uint32_t homes_seen)
{
    uint32_t homes = grown(homes_seen);
    struct entry *table = table_new(index, homes);
    bool is_tight = false;     /* still too many at one home: no size would do */

    if (table == NULL)
        return false;
    pthread_mutex_lock(&shard->lock);
    if (shard->homes == homes_seen) {
        is_tight = shard->homes / 4 > shard->count + FIRST_SLOTS || !copy(shard, table, homes);
        if (!is_tight) {
            struct entry *old = shard->entries;

            shard->entries = table;
            shard->homes = homes;
            table = old;
            homes = homes_seen;
        }
    }
    pthread_mutex_unlock(&shard->lock);
    table_free(index, table, homes);
    return !is_tight;
}

/* ---- public */

struct index *
index_new(void)
{
    struct index *index = aligned_alloc(64, sizeof(*index));

    if (index == NULL)
        return NULL;
    memset(index, 0, sizeof(*index));
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_init(&index->shards[i].lock, NULL);
    atomic_init(&index->memory, sizeof(*index));
    return index;
}

void
index_free(struct index *index)
{
    if (index == NULL)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        table_free(index, index->shards[i].entries, index->shards[i].homes);
        pthread_mutex_destroy(&index->shards[i].lock);
    }
    free(index);
}

bool
index_find(struct index *index, uint64_t hash, struct place *place)
{
    struct shard *shard = shard_of(index, hash);
    struct entry *entry;

    pthread_mutex_lock(&shard->lock);
    entry = find(shard, hash);
    if (entry != NULL)
        *place = unpack(entry->place);
    pthread_mutex_unlock(&shard->lock);
    return entry != NULL && !place->is_mark;
}

enum index_put
index_put_unless(struct index *index, uint64_t hash, const struct place *place,
                 bool (*is_newer)(const struct place *, void *), void *arg, struct place *old)
{
    struct shard *shard = shard_of(index, hash);
    enum index_put result = INDEX_ADDED;
    struct entry *entry;
    uint32_t homes;

    for (;;) {
        bool has_room = true;

        pthread_mutex_lock(&shard->lock);
        homes = shard->homes;
        entry = find(shard, hash);
        if (entry != NULL) {
            *old = unpack(entry->place);
            result = is_newer != NULL && is_newer(old, arg) ? INDEX_REFUSED : INDEX_REPLACED;
            if (result == INDEX_REPLACED)
                entry->place = pack(place);
        } else {
            has_room = homes > 0 && insert(shard, hash, pack(place));
        }
        pthread_mutex_unlock(&shard->lock);
        if (has_room)
            return result;
        if (!grow(index, shard, homes))
            return INDEX_REFUSED;
    }
}

enum index_put
index_put(struct index *index, uint64_t hash, const struct place *place, struct place *old)
{
    return index_put_unless(index, hash, place, NULL, NULL, old);
}

bool
index_remove(struct index *index, uint64_t hash, const struct place *at, struct place *old)
{
    struct shard *shard = shard_of(index, hash);
    struct entry *entry;
    bool is_removed = false;

    pthread_mutex_lock(&shard->lock);
    entry = find(shard, hash);
    if (entry != NULL) {
        *old = unpack(entry->place);
        is_removed = at == NULL || place_equal(old, at);
        if (is_removed)
            erase(shard, (uint32_t)(entry - shard->entries));
    }
    pthread_mutex_unlock(&shard->lock);
    return is_removed;
}

void
index_touch(struct index *index, uint64_t hash)
{
    struct shard *shard = shard_of(index, hash);
    struct entry *entry;

    pthread_mutex_lock(&shard->lock);
    entry = find(shard, hash);
    if (entry != NULL)
        entry->place |= 1;
    pthread_mutex_unlock(&shard->lock);
}

void
index_drop_marks(struct index *index)
{
    for (unsigned s = 0; s < SHARDS; s++) {
        struct shard *shard = &index->shards[s];

        pthread_mutex_lock(&shard->lock);
        for (uint32_t i = slots_of(shard->homes); i-- > 0;)
            if (shard->entries[i].place != 0 && unpack(shard->entries[i].place).is_mark)
                erase(shard, i);
        pthread_mutex_unlock(&shard->lock);
    }
}

uint64_t
index_count(struct index *index)
{
    uint64_t count = 0;

    for (unsigned s = 0; s < SHARDS; s++) {
        pthread_mutex_lock(&index->shards[s].lock);
        count += index->shards[s].count;
        pthread_mutex_unlock(&index->shards[s].lock);
    }
    return count;
}

uint64_t
index_memory(const struct index *index)
{
    return atomic_load_explicit(&index->memory, memory_order_relaxed);
}
