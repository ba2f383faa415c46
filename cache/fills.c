/* SPDX-License-Identifier: BSD-2-Clause */
/* fills.c - the table of fills under way, in shards with a lock each.
 *
 * A fill is in it at most as long as its fetch goes on, so the table needs no
 * reference: what is found under the lock is there.
 */
#include "config.h"

#include "cache/fill_inside.h"

#include <stdlib.h>

#define SHARDS 64
#define BUCKETS 32 /* of a shard */

struct shard {
    pthread_mutex_t lock; /* guards buckets and what fills say of the table */
    struct list buckets[BUCKETS];
};

struct fills {
    _Atomic uint64_t count;
    struct shard shards[SHARDS];
};

struct fills *
fills_new(void)
{
    struct fills *fills = calloc(1, sizeof(*fills));

    if (fills == NULL)
        return NULL;
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&fills->shards[i].lock, NULL);
        for (unsigned j = 0; j < BUCKETS; j++)
            list_init(&fills->shards[i].buckets[j]);
    }
    return fills;
}

void
fills_free(struct fills *fills)
{
    if (fills == NULL)
        return;
    must(fills_count(fills) == 0);
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&fills->shards[i].lock);
    free(fills);
}

uint64_t
fills_count(const struct fills *fills)
{
    return atomic_load_explicit(&fills->count, memory_order_relaxed);
}

static struct shard *
shard_of(struct fills *fills, uint64_t hash)
{
    return &fills->shards[hash % SHARDS];
}

static struct fill *
find(struct shard *shard, uint64_t hash, struct slice key)
{
    list_each(link, &shard->buckets[hash / SHARDS % BUCKETS]) {
        struct fill *fill = container_of(link, struct fill, link);

        if (fill->hash == hash && slice_equal(fill->key, key))
            return fill;
    }
    return NULL;
}

bool
fills_list(struct fill *fill)
{
    struct shard *shard = shard_of(fill->fills, fill->hash);
    bool is_first;

    pthread_mutex_lock(&shard->lock);
    is_first = find(shard, fill->hash, fill->key) == NULL;
    fill->is_listed = is_first;
    if (is_first) {
        list_push_back(&shard->buckets[fill->hash / SHARDS % BUCKETS], &fill->link);
        atomic_fetch_add_explicit(&fill->fills->count, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&shard->lock);
    return is_first; /* it may have been forgotten since */
}

static void
unlist(struct fill *fill)
{
    if (!fill->is_listed)
        return;
    fill->is_listed = false;
    list_remove(&fill->link);
    atomic_fetch_sub_explicit(&fill->fills->count, 1, memory_order_relaxed);
}

void
fills_unlist(struct fill *fill)
{
    struct shard *shard = shard_of(fill->fills, fill->hash);

    pthread_mutex_lock(&shard->lock);
    unlist(fill);
    pthread_mutex_unlock(&shard->lock);
}

bool
fills_unlist_unread(struct fill *fill)
{
    struct shard *shard = shard_of(fill->fills, fill->hash);
    bool is_unread;

    pthread_mutex_lock(&shard->lock);
    pthread_mutex_lock(&fill->lock);
    is_unread = fill_is_unread(fill);
    pthread_mutex_unlock(&fill->lock);
    if (is_unread)
        unlist(fill);
    pthread_mutex_unlock(&shard->lock);
    return is_unread;
}

static bool
may_join(const struct fill *fill, bool only_flowing)
{
    enum fill_state state = fill_state(fill);

    return state == FILL_FLOWING || state == FILL_WHOLE ||
           (state == FILL_ASKING && !only_flowing);
}

bool
fill_join(struct fills *fills, uint64_t hash, struct slice key, bool only_flowing,
          struct worker *worker, struct fill_reader *reader)
{
    struct shard *shard = shard_of(fills, hash);
    bool is_joined = false;
    struct fill *fill;

    pthread_mutex_lock(&shard->lock);
    fill = find(shard, hash, key);
    if (fill != NULL && may_join(fill, only_flowing))
        is_joined = fill_enter(fill, worker, reader);
    pthread_mutex_unlock(&shard->lock);
    return is_joined;
}

void
fill_forget(struct fills *fills, uint64_t hash, struct slice key)
{
    struct shard *shard = shard_of(fills, hash);
    struct fill *fill;

    pthread_mutex_lock(&shard->lock);
    fill = find(shard, hash, key);
    if (fill != NULL) {
        unlist(fill);
        pthread_mutex_lock(&fill->lock);
        fill->is_forgotten = true;
        if (fill->taken != NULL)
            atomic_store_explicit(&fill->taken->is_gone, true, memory_order_release);
        fill_check_read(fill, NULL);
        pthread_mutex_unlock(&fill->lock);
    }
    pthread_mutex_unlock(&shard->lock);
}
