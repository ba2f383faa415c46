/* SPDX-License-Identifier: BSD-2-Clause */
/* shared_der.c - a hash table of byte strings that are counted by reference.
 *
 * Authorities are few, and only loading and forgetting a certificate comes here:
 * one lock and a table of fixed size will do.
 */
#include "config.h"

#include "server/certificates/shared_der.h"

#include "server/base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 256u

struct shared_der {
    struct shared_der *next;
    uint64_t hash;
    size_t references, bytes;
    char data[];
};

/* lock guards all of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared_der *buckets[BUCKETS];
static struct shared_der_counts counts;
static struct hash_key key;

static uint64_t
hash_of(struct slice der)
{
    if (key.half[0] == 0 && key.half[1] == 0)
        hash_key_random(&key);
    return hash_bytes(der, &key);
}

static struct shared_der *
find(struct slice der, uint64_t hash)
{
    struct shared_der *shared = buckets[hash % BUCKETS];

    while (shared != NULL &&
           (shared->hash != hash || !slice_equal(slice_make(shared->data, shared->bytes), der)))
        shared = shared->next;
    return shared;
}

static struct shared_der *
make(struct slice der, uint64_t hash)
{
    struct shared_der *shared = malloc(sizeof(*shared) + der.bytes);

    if (shared == NULL)
        return NULL;
    *shared = (struct shared_der){ .next = buckets[hash % BUCKETS], .hash = hash,
                                   .bytes = der.bytes };
    memcpy(shared->data, der.data, der.bytes);
    buckets[hash % BUCKETS] = shared;
    counts.count++;
    counts.bytes += der.bytes;
    return shared;
}

struct slice
shared_der_take(struct slice der)
{
    struct slice result = { NULL, 0 };
    struct shared_der *shared;
    uint64_t hash;

    pthread_mutex_lock(&lock);
    hash = hash_of(der);
    shared = find(der, hash);
    if (shared == NULL)
        shared = make(der, hash);
    if (shared != NULL) {
        shared->references++;
        result = slice_make(shared->data, shared->bytes);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void
discard(struct shared_der *shared)
{
    struct shared_der **at = &buckets[shared->hash % BUCKETS];

    while (*at != shared)
        at = &(*at)->next;
    *at = shared->next;
    counts.count--;
    counts.bytes -= shared->bytes;
    free(shared);
}

void
shared_der_give(struct slice der)
{
    struct shared_der *shared;

    if (der.data == NULL)
        return;
    shared = container_of(der.data, struct shared_der, data);
    pthread_mutex_lock(&lock);
    must(shared->references > 0);
    if (--shared->references == 0)
        discard(shared);
    pthread_mutex_unlock(&lock);
}

struct shared_der_counts
shared_der_counts(void)
{
    struct shared_der_counts now;

    pthread_mutex_lock(&lock);
    now = counts;
    pthread_mutex_unlock(&lock);
    return now;
}
