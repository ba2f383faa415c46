/* SPDX-License-Identifier: BSD-2-Clause */
/* lockout.c - failures by keyed hash in sets of a few places.
 *
 * Whoever fills a set with names or addresses of their own pushes out who failed
 * longest ago, and those that are locked last of all.
 */
#include "config.h"

#include "server/users/lockout.h"

#include "server/base/log.h"
#include "server/log/log_privacy.h"
#include "server/users/secrets.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#define SHARDS 16u
#define SETS 512u /* of a shard */
#define PLACES 8u /* of a set */

struct failures {
    uint64_t hash;   /* 0: a free place */
    uint64_t end_ms; /* of the time that they are counted in, or of the lock */
    uint32_t count;
    bool is_locked;
};

struct shard {
    pthread_mutex_t lock;
    struct failures sets[SETS][PLACES];
};

static struct shard shards[SHARDS] = {
    [0 ... SHARDS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER },
};

static _Atomic uint64_t used;   /* places that are not free: mostly none */
static _Atomic uint64_t locked; /* of them */
static _Atomic uint64_t failed, locks; /* so far */

/* ---- keys */

static struct slice
client_part(const struct ip *client)
{
    size_t bytes = client->family == 4 ? 4 : client->family == 6 ? 8 : 0;

    return slice_make((const char *)client->bytes, bytes);
}

struct lockout_key
lockout_key(const struct users_conf *users, struct slice name, const struct ip *client)
{
    struct hash_key key = users_secrets.tables;
    struct lockout_key result;

    result.client = hash_bytes(client_part(client), &key);
    key.half[0] ^= result.client;
    key.half[1] ^= hash_bytes(slice_of(users->name), &users_secrets.tables);
    result.hash = hash_bytes_nocase(name, &key); /* directories take "ANN" for "ann" */
    if (result.hash == 0)
        result.hash = 1;
    return result;
}

/* ---- places, under their shard's lock */

static struct shard *
lock_shard(uint64_t hash)
{
    struct shard *shard = &shards[hash % SHARDS];

    pthread_mutex_lock(&shard->lock);
    return shard;
}

static struct failures *
set_of(struct shard *shard, uint64_t hash)
{
    return shard->sets[hash / SHARDS % SETS];
}

static void
clear(struct failures *place)
{
    if (place->hash == 0)
        return;
    atomic_fetch_sub(&used, 1);
    if (place->is_locked)
        atomic_fetch_sub(&locked, 1);
    *place = (struct failures){ 0 };
}

/* NULL: there is none that still counts. */
static struct failures *
find(struct shard *shard, uint64_t hash, uint64_t now_ms)
{
    struct failures *set = set_of(shard, hash);

    for (unsigned i = 0; i < PLACES; i++) {
        if (set[i].hash != hash)
            continue;
        if (set[i].end_ms > now_ms)
            return &set[i];
        clear(&set[i]);
    }
    return NULL;
}

static bool
goes_before(const struct failures *a, const struct failures *b)
{
    if (a->is_locked != b->is_locked)
        return b->is_locked;
    return a->end_ms < b->end_ms;
}

static struct failures *
make_place(struct shard *shard, uint64_t hash, uint64_t end_ms)
{
    struct failures *set = set_of(shard, hash), *place = set;

    for (unsigned i = 1; i < PLACES && place->hash != 0; i++)
        if (set[i].hash == 0 || goes_before(&set[i], place))
            place = &set[i];
    clear(place);
    atomic_fetch_add(&used, 1);
    *place = (struct failures){ .hash = hash, .end_ms = end_ms };
    return place;
}

/* ---- for everybody */

uint32_t
lockout_left_s(const struct lockout_key *key, uint64_t now_ms)
{
    const struct failures *place;
    struct shard *shard;
    uint64_t left_ms = 0;

    if (atomic_load_explicit(&locked, memory_order_relaxed) == 0)
        return 0;
    shard = lock_shard(key->hash);
    place = find(shard, key->hash, now_ms);
    if (place != NULL && place->is_locked)
        left_ms = place->end_ms - now_ms;
    pthread_mutex_unlock(&shard->lock);
    return (uint32_t)((left_ms + 999) / 1000);
}

static void
tell(const struct users_conf *users, struct slice name, const struct ip *client,
     const struct log_privacy *privacy, uint32_t count)
{
    char text[IP_TEXT_BYTES];

    log_privacy_client_text(privacy, client, text);
    if (privacy != NULL && privacy->users != LOG_USERS_FULL)
        name = SLICE("-");
    log_warn("users \"%s\": user \"%s\" of client %s is locked for %" PRIu32 " s after %" PRIu32
             " failures",
             users->name, log_escape(name), text, users->lock_ms / 1000, count);
}

bool
lockout_fail(const struct users_conf *users, const struct lockout_key *key, struct slice name,
             const struct ip *client, const struct log_privacy *privacy, uint64_t now_ms)
{
    struct failures *place;
    struct shard *shard;
    uint32_t count;
    bool is_new_lock;

    atomic_fetch_add(&failed, 1);
    if (users->max_failures == 0 || users->lock_ms == 0)
        return false;
    shard = lock_shard(key->hash);
    place = find(shard, key->hash, now_ms);
    if (place == NULL)
        place = make_place(shard, key->hash, now_ms + users->lock_ms);
    count = ++place->count;
    is_new_lock = !place->is_locked && count >= (uint64_t)users->max_failures;
    if (is_new_lock) {
        place->is_locked = true;
        place->end_ms = now_ms + users->lock_ms;
        atomic_fetch_add(&locked, 1);
        atomic_fetch_add(&locks, 1);
    }
    pthread_mutex_unlock(&shard->lock);
    if (is_new_lock)
        tell(users, name, client, privacy, count);
    return is_new_lock;
}

void
lockout_forget(const struct lockout_key *key)
{
    struct failures *place;
    struct shard *shard;

    if (atomic_load_explicit(&used, memory_order_relaxed) == 0)
        return;
    shard = lock_shard(key->hash);
    place = find(shard, key->hash, 0);
    if (place != NULL && !place->is_locked)
        clear(place);
    pthread_mutex_unlock(&shard->lock);
}

struct lockout_counts
lockout_counts(void)
{
    return (struct lockout_counts){ .failures = atomic_load(&failed),
                                    .locks = atomic_load(&locks) };
}

const struct log_privacy *
lockout_privacy(const struct exchange *ex)
{
    const struct access_log_conf *log = ex->listener->access_log;

    return log != NULL ? &log->privacy : NULL;
}

void
lockout_clear(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = lock_shard(i);

        for (unsigned j = 0; j < SETS * PLACES; j++)
            clear(&shard->sets[j / PLACES][j % PLACES]);
        pthread_mutex_unlock(&shard->lock);
    }
}
