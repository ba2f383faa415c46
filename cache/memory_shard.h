/* SPDX-License-Identifier: BSD-2-Clause */
/* memory_shard.h - one part of the memory tier's table, with its lock and queues.
 *
 * The table grows bucket by bucket (linear hashing), so that nobody waits for a
 * whole one to be copied. For memory.c alone, which moves objects through the
 * queues; what is here inline is what a hit does.
 */
#ifndef BASCULE_CACHE_MEMORY_SHARD_H
#define BASCULE_CACHE_MEMORY_SHARD_H

#include <sched.h>

#include "cache/ghosts.h"
#include "cache/object.h"
#include "server/base/must.h"

#define SHARD_SPINS_MAX 64

enum queue { QUEUE_NONE, QUEUE_SMALL, QUEUE_MAIN, QUEUES };

struct shard {
    _Alignas(64) _Atomic bool is_locked; /* guards what follows, and its objects' resident */
    size_t buckets_used, buckets_room;
    size_t mask;                         /* the power of two above or at buckets_used, less 1 */
    struct object **buckets;
    struct list queues[QUEUES];          /* newest first */
    struct ghosts ghosts;
    uint64_t evicted, refused;
    _Atomic size_t counts[QUEUES];       /* objects in each; read without the lock too */
};

/* False when memory is short. */
bool shard_init(struct shard *shard) MUST_USE;

/* Its objects are gone already. */
void shard_fini(struct shard *shard);

/* One more bucket: takes its objects out of the one that had them until now.
 * When memory is short chains get longer instead. */
void shard_grow(struct shard *shard);

/* ---- the lock: held so shortly that whoever does not get it was interrupted */

static inline void
shard_pause(unsigned tries)
{
    if (tries >= SHARD_SPINS_MAX) {
        sched_yield();
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void
shard_lock(struct shard *shard)
{
    unsigned tries = 0;

    while (unlikely(atomic_exchange_explicit(&shard->is_locked, true, memory_order_acquire)))
        while (atomic_load_explicit(&shard->is_locked, memory_order_relaxed))
            shard_pause(tries++);
}

static inline void
shard_unlock(struct shard *shard)
{
    atomic_store_explicit(&shard->is_locked, false, memory_order_release);
}

/* ---- finding; the lock is held */

static inline struct object **
shard_bucket(const struct shard *shard, uint64_t hash)
{
    size_t at = hash & shard->mask;

    return &shard->buckets[at < shard->buckets_used ? at : at & shard->mask >> 1];
}

/* Where the object under key is, or would be. */
static inline struct object **
shard_place(const struct shard *shard, uint64_t hash, struct slice key)
{
    struct object **at = shard_bucket(shard, hash);

    while (*at != NULL && ((*at)->hash != hash || !slice_equal((*at)->key, key)))
        at = &(*at)->resident.next;
    return at;
}

static inline size_t
shard_count(const struct shard *shard, enum queue queue)
{
    return atomic_load_explicit(&shard->counts[queue], memory_order_relaxed);
}

static inline size_t
shard_objects(const struct shard *shard)
{
    return shard_count(shard, QUEUE_SMALL) + shard_count(shard, QUEUE_MAIN);
}

#endif
