/* SPDX-License-Identifier: BSD-2-Clause */
/* registry.c - a hash table of reference-counted objects, under one lock.
 *
 * A reference is dropped without the lock unless it is the last one: going
 * from one to none happens under the lock, so that nobody can adopt an object
 * that is about to be freed. An empty registry holds no memory.
 */
#include "config.h"

#include "server/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/hash.h"

#define BUCKETS_MIN 64u

/* lock guards all of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct registered **buckets;
static size_t bucket_count, object_count;
static struct hash_key key;

static struct registered **
bucket_of(uint64_t hash)
{
    return &buckets[hash & (bucket_count - 1)];
}

static uint64_t
hash_of(const struct registry_kind *kind, const char *identity)
{
    return hash_bytes(slice_of(identity), &key) ^ (uintptr_t)kind;
}

static int
resize(size_t count)
{
    struct registered **old = buckets;
    size_t old_count = bucket_count, i;
    struct registered **fresh = calloc(count, sizeof(*fresh));

    if (fresh == NULL)
        return -1;
    buckets = fresh;
    bucket_count = count;
    for (i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct registered *object = old[i];

            old[i] = object->next;
            object->next = *bucket_of(object->hash);
            *bucket_of(object->hash) = object;
        }
    }
    free(old);
    return 0;
}

/* Room for one more. A table that cannot grow is slower, not wrong. */
static int
make_room(void)
{
    if (bucket_count == 0) {
        hash_key_random(&key);
        return resize(BUCKETS_MIN);
    }
    if (object_count >= bucket_count)
        (void)resize(bucket_count * 2);
    return 0;
}

static struct registered *
find(const struct registry_kind *kind, const char *identity)
{
    uint64_t hash = hash_of(kind, identity);
    struct registered *object;

    for (object = *bucket_of(hash); object != NULL; object = object->next) {
        if (object->hash == hash && object->kind == kind && strcmp(object->identity, identity) == 0)
            return object;
    }
    return NULL;
}

static struct registered *
make(const struct registry_kind *kind, const char *identity, const void *conf, struct err *err)
{
    char *copy = strdup(identity);
    struct registered *object;

    if (copy == NULL) {
        err_set(err, "%s \"%s\": out of memory", kind->name, identity);
        return NULL;
    }
    object = kind->make(conf, err);
    if (object == NULL) {
        free(copy);
        return NULL;
    }
    object->kind = kind;
    object->identity = copy;
    object->hash = hash_of(kind, identity);
    atomic_init(&object->references, 0);
    object->next = *bucket_of(object->hash);
    *bucket_of(object->hash) = object;
    object_count++;
    return object;
}

static struct registered *
adopt(const struct registry_kind *kind, const char *identity, const void *conf, struct err *err)
{
    struct registered *object;

    if (make_room() < 0) {
        err_set(err, "%s \"%s\": out of memory", kind->name, identity);
        return NULL;
    }
    object = find(kind, identity);
    if (object == NULL)
        object = make(kind, identity, conf, err);
    return object != NULL ? registered_ref(object) : NULL;
}

static void
discard_empty_table(void)
{
    if (object_count > 0)
        return;
    free(buckets);
    buckets = NULL;
    bucket_count = 0;
}

static void
remove_object(struct registered *object)
{
    struct registered **at = bucket_of(object->hash);

    while (*at != object)
        at = &(*at)->next;
    *at = object->next;
    object_count--;
    free(object->identity);
    object->kind->free(object);
}

struct registered *
registry_adopt(const struct registry_kind *kind, const char *identity, const void *conf,
               struct err *err)
{
    struct registered *object;

    pthread_mutex_lock(&lock);
    object = adopt(kind, identity, conf, err);
    discard_empty_table(); /* when the first object could not be made */
    pthread_mutex_unlock(&lock);
    return object;
}

struct registered *
registered_ref(struct registered *object)
{
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

bool
registered_try_ref(struct registered *object)
{
    unsigned references = atomic_load_explicit(&object->references, memory_order_relaxed);

    while (references > 0)
        if (atomic_compare_exchange_weak_explicit(&object->references, &references, references + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

void
registered_unref(struct registered *object)
{
    unsigned references;

    if (object == NULL)
        return;
    references = atomic_load_explicit(&object->references, memory_order_relaxed);
    while (references > 1) {
        if (atomic_compare_exchange_weak_explicit(&object->references, &references, references - 1,
                                                  memory_order_release, memory_order_relaxed))
            return;
    }
    pthread_mutex_lock(&lock);
    references = atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel);
    must(references > 0);
    if (references == 1) {
        remove_object(object);
        discard_empty_table();
    }
    pthread_mutex_unlock(&lock);
}

size_t
registry_count(const struct registry_kind *kind)
{
    size_t count = 0, i;
    struct registered *object;

    pthread_mutex_lock(&lock);
    for (i = 0; i < bucket_count; i++) {
        for (object = buckets[i]; object != NULL; object = object->next)
            count += kind == NULL || object->kind == kind;
    }
    pthread_mutex_unlock(&lock);
    return count;
}
