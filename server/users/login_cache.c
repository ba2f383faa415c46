/* SPDX-License-Identifier: BSD-2-Clause */
/* login_cache.c - a hash table in shards, each with its lock and a list by age of
 * use; who was found longest ago goes first.
 */
#include "config.h"

#include "server/users/login_cache.h"

#include "server/base/list.h"
#include "server/users/secrets.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>

#define SHARDS 16u
#define BUCKETS 1024u            /* of a shard */
#define LOGINS_MAX 4096u         /* of a shard */
#define SHARD_BYTES_MAX (2u * 1024 * 1024)
#define LOGIN_BYTES_MAX 8192u

struct entry {
    struct entry *next; /* of its bucket */
    struct list link;   /* shard.used */
    struct login_key key;
    uint64_t until_ms;
    struct user *user;
};

struct shard {
    pthread_mutex_t lock; /* guards all of it; nothing waits while it is held */
    struct list used;     /* found longest ago first; next NULL: not begun */
    struct entry *buckets[BUCKETS];
    size_t count, bytes;
};

static struct shard shards[SHARDS] = {
    [0 ... SHARDS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER },
};

/* ---- keys */

bool
login_key_make(struct login_key *key, uint64_t version, const struct slice *parts, unsigned count)
{
    /* The salt comes first and nobody sees the hash: what HMAC would add is a defence
     * against those who do. Lengths keep "ab", "c" apart from "a", "bc". */
    uint64_t numbers[1 + 8] = { version };
    struct slice all[2 + 8] = {
        { (const char *)users_secrets.salt, SECRET_BYTES },
        { (const char *)numbers, sizeof(numbers) },
    };
    unsigned char hash[EVP_MAX_MD_SIZE];

    must(count <= 8);
    for (unsigned i = 0; i < count; i++) {
        numbers[1 + i] = parts[i].bytes;
        all[2 + i] = parts[i];
    }
    if (users_secrets.sha256 == NULL ||
        hash_parts(users_secrets.sha256, all, 2 + count, hash) != sizeof(key->bytes))
        return false;
    memcpy(key->bytes, hash, sizeof(key->bytes));
    return true;
}

bool
login_key_equal(const struct login_key *a, const struct login_key *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* ---- shards, under their locks */

static struct shard *
lock_shard(const struct login_key *key)
{
    struct shard *shard = &shards[key->bytes[0] % SHARDS];

    pthread_mutex_lock(&shard->lock);
    if (shard->used.next == NULL)
        list_init(&shard->used);
    return shard;
}

static void
unlock_shard(struct shard *shard)
{
    pthread_mutex_unlock(&shard->lock);
}

/* Where the pointer to it is, or would be. */
static struct entry **
find(struct shard *shard, const struct login_key *key)
{
    struct entry **at = &shard->buckets[(key->bytes[1] | key->bytes[2] << 8) % BUCKETS];

    while (*at != NULL && !login_key_equal(&(*at)->key, key))
        at = &(*at)->next;
    return at;
}

static size_t
bytes_of(const struct entry *entry)
{
    return sizeof(*entry) + user_bytes(entry->user);
}

static void
drop(struct shard *shard, struct entry **at)
{
    struct entry *entry = *at;

    *at = entry->next;
    list_remove(&entry->link);
    shard->count--;
    shard->bytes -= bytes_of(entry);
    free(entry->user);
    free(entry);
}

static void
drop_oldest(struct shard *shard)
{
    struct entry *oldest = container_of(shard->used.next, struct entry, link);

    drop(shard, find(shard, &oldest->key));
}

static void
add(struct shard *shard, struct entry *entry)
{
    struct entry **at = find(shard, &entry->key);

    if (*at != NULL)
        drop(shard, at);
    while (shard->count > 0 && (shard->count >= LOGINS_MAX ||
                                shard->bytes + bytes_of(entry) > SHARD_BYTES_MAX))
        drop_oldest(shard);
    at = find(shard, &entry->key);
    entry->next = *at;
    *at = entry;
    list_push_back(&shard->used, &entry->link);
    shard->count++;
    shard->bytes += bytes_of(entry);
}

/* ---- for everybody */

bool
login_cache_find(const struct login_key *key, uint64_t now_ms, struct user *user,
                 struct arena *arena)
{
    struct shard *shard = lock_shard(key);
    struct entry **at = find(shard, key), *entry = *at;
    bool is_there = false;

    if (entry != NULL && entry->until_ms <= now_ms) {
        drop(shard, at);
    } else if (entry != NULL) {
        is_there = user_copy(user, entry->user, arena);
        list_remove(&entry->link);
        list_push_back(&shard->used, &entry->link);
    }
    unlock_shard(shard);
    return is_there;
}

void
login_cache_put(const struct login_key *key, const struct user *user, uint64_t now_ms,
                uint32_t for_ms)
{
    struct entry *entry;
    struct shard *shard;

    if (for_ms == 0 || user_bytes(user) > LOGIN_BYTES_MAX)
        return;
    entry = malloc(sizeof(*entry));
    if (entry == NULL)
        return;
    *entry = (struct entry){ .key = *key, .until_ms = now_ms + for_ms, .user = user_keep(user) };
    if (entry->user == NULL) {
        free(entry);
        return;
    }
    shard = lock_shard(key);
    add(shard, entry);
    unlock_shard(shard);
}

void
login_cache_clear(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        const struct login_key any = { { (unsigned char)i } };
        struct shard *shard = lock_shard(&any);

        while (shard->count > 0)
            drop_oldest(shard);
        unlock_shard(shard);
    }
}

size_t
login_cache_count(void)
{
    size_t count = 0;

    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&shards[i].lock);
        count += shards[i].count;
        pthread_mutex_unlock(&shards[i].lock);
    }
    return count;
}
