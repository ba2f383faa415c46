/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.c - shards of a hash table, whose objects stand in two queues.
 *
 *     put --> small --(used more than once)--> main --(used since)--.
 *               |                               ^ |                 |
 *               '--> gone, its ghost stays      | '--> gone         |
 *     put of what has a ghost ------------------'  '<----- again ---'
 *
 * The bytes of all shards count together, and so does the part of them that is
 * in small queues (a tenth), so that a long object does not have to fit into a
 * shard's part. When there are too many, shards give up objects one by one: of
 * two shards the one with more objects in that queue. Thus queues stay equally
 * long, and what is at the ends of 64 is about what would be at the end of one.
 * (Simply taking turns does not do: a shard whose small queue gets longer than
 * others' finds more in it used again, and grows for good.)
 *
 * Objects are freed without the lock.
 *
 * The lock: an object may be freed by others as soon as it is out of the table,
 * so finding it and counting a reference has to be one step. Doing that without
 * any lock would need every reader to announce itself, which is the same atomic
 * operation as a lock that nobody else holds.
 */
#include "config.h"

#include "cache/memory.h"

#include <stdlib.h>

#include "cache/memory_shard.h"
#include "cache/site_bytes.h"
#include "server/base/must.h"

#define SHARDS 64u       /* by the hash's upper bits; buckets are by its lower ones */
#define USES_MAX 3
#define SMALL_PARTS 10u  /* the small queues' part of the tier: one in so many */
#define LONGEST_PARTS 16u
#define STEPS_MAX 16     /* looked at under one lock to find one that may go */
#define EACH_BUCKETS 256u /* visited before the lock is given up for a moment */

struct memory {
    struct shard shards[SHARDS];
    _Alignas(64) _Atomic uint64_t max_bytes;
    _Atomic uint64_t bytes[QUEUES];    /* in each queue of all shards */
    _Atomic unsigned turn;             /* of the shards to give up an object */
    struct site_bytes sites;
};

static inline struct shard *
shard_of(struct memory *memory, uint64_t hash)
{
    return &memory->shards[hash >> 58];
}

/* ---- queues */

static uint64_t
bytes_of(const struct memory *memory)
{
    return atomic_load_explicit(&memory->bytes[QUEUE_SMALL], memory_order_relaxed) +
           atomic_load_explicit(&memory->bytes[QUEUE_MAIN], memory_order_relaxed);
}

static void
count_in(struct memory *memory, struct shard *shard, const struct object *object)
{
    enum queue queue = object->resident.queue;

    atomic_store_explicit(&shard->counts[queue], shard_count(shard, queue) + 1,
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&memory->bytes[queue], object_memory(object), memory_order_relaxed);
}

static void
count_out(struct memory *memory, struct shard *shard, const struct object *object)
{
    enum queue queue = object->resident.queue;

    atomic_store_explicit(&shard->counts[queue], shard_count(shard, queue) - 1,
                          memory_order_relaxed);
    atomic_fetch_sub_explicit(&memory->bytes[queue], object_memory(object), memory_order_relaxed);
}

static inline uint8_t
uses_of(const struct object *object)
{
    return atomic_load_explicit(&object->resident.uses, memory_order_relaxed);
}

static inline void
set_uses(struct object *object, unsigned uses)
{
    atomic_store_explicit(&object->resident.uses, (uint8_t)uses, memory_order_relaxed);
}

static void
move_to_main(struct memory *memory, struct shard *shard, struct object *object, unsigned uses)
{
    struct resident *resident = &object->resident;

    count_out(memory, shard, object);
    resident->queue = QUEUE_MAIN;
    count_in(memory, shard, object);
    set_uses(object, uses);
    list_remove(&resident->link);
    list_push_front(&shard->queues[QUEUE_MAIN], &resident->link);
}

/* Out of its queue; not out of the table. */
static void
leave(struct memory *memory, struct shard *shard, struct object *object)
{
    list_remove(&object->resident.link);
    count_out(memory, shard, object);
    object->resident.queue = QUEUE_NONE;
}

/* Takes what is at place out of table and queue; the caller gets its reference. */
static struct object *
detach(struct memory *memory, struct shard *shard, struct object **place)
{
    struct object *object = *place;

    *place = object->resident.next;
    leave(memory, shard, object);
    return object;
}

/* ---- eviction */

static enum queue
queue_to_shrink(const struct memory *memory)
{
    uint64_t small = atomic_load_explicit(&memory->bytes[QUEUE_SMALL], memory_order_relaxed);

    return small >= bytes_of(memory) / SMALL_PARTS ? QUEUE_SMALL : QUEUE_MAIN;
}

/* Whether the object at the end of its queue was used enough to stay; then it
 * is moved to where that counts. */
static bool
is_spared(struct memory *memory, struct shard *shard, struct object *object)
{
    unsigned uses = uses_of(object);

    if (object->resident.queue == QUEUE_SMALL && uses > 1) {
        move_to_main(memory, shard, object, 0);
        return true;
    }
    if (object->resident.queue == QUEUE_MAIN && uses > 0) {
        move_to_main(memory, shard, object, uses - 1);
        return true;
    }
    return false;
}

/* Takes out one object of the queue that is too long. NULL: there is none, or
 * those at its end were all used; must_go takes one of the other queue then, and
 * whatever it comes to after a while. */
static struct object *
evict(struct memory *memory, struct shard *shard, bool must_go)
{
    for (unsigned steps = 0; steps < STEPS_MAX || must_go; steps++) {
        enum queue queue = queue_to_shrink(memory);
        struct object *object;

        if (list_is_empty(&shard->queues[queue]) && must_go)
            queue = queue == QUEUE_SMALL ? QUEUE_MAIN : QUEUE_SMALL;
        if (list_is_empty(&shard->queues[queue]))
            return NULL;
        object = container_of(shard->queues[queue].prev, struct object, resident.link);
        if (steps < STEPS_MAX && is_spared(memory, shard, object))
            continue;
        if (queue == QUEUE_SMALL)
            ghosts_add(&shard->ghosts, object->hash, shard_objects(shard));
        shard->evicted++;
        return detach(memory, shard, shard_place(shard, object->hash, object->key));
    }
    return NULL;
}

/* Gives up an object that is out of the table, without the lock. */
static void
let_go(struct memory *memory, struct object *object)
{
    if (object == NULL)
        return;
    site_bytes_subtract(&memory->sites, object->site, object_memory(object));
    object_unref(object);
}

/* Of two shards, others each time, the one that has more in the queue that is
 * too long. */
static struct shard *
shard_to_shrink(struct memory *memory, bool must_go)
{
    unsigned turn = atomic_fetch_add_explicit(&memory->turn, 1, memory_order_relaxed);
    struct shard *one = &memory->shards[turn % SHARDS];
    struct shard *other = &memory->shards[turn * 2654435769u >> 26];
    enum queue queue = queue_to_shrink(memory);

    return must_go || shard_count(one, queue) >= shard_count(other, queue) ? one : other;
}

/* Shards give up objects until there is room. */
static void
make_room(struct memory *memory)
{
    unsigned in_vain = 0;

    while (in_vain < 2 * SHARDS &&
           bytes_of(memory) > atomic_load_explicit(&memory->max_bytes, memory_order_relaxed)) {
        bool must_go = in_vain >= SHARDS;
        struct shard *shard = shard_to_shrink(memory, must_go);
        struct object *object;

        shard_lock(shard);
        object = evict(memory, shard, must_go);
        shard_unlock(shard);
        in_vain = object != NULL ? 0 : in_vain + 1;
        let_go(memory, object);
    }
}

/* ---- finding */

struct object *
memory_find(struct memory *memory, uint64_t hash, struct slice key)
{
    struct shard *shard = shard_of(memory, hash);
    struct object *object;

    shard_lock(shard);
    object = *shard_place(shard, hash, key);
    if (object != NULL) {
        object_ref(object);
        if (uses_of(object) < USES_MAX)
            set_uses(object, uses_of(object) + 1u);
    }
    shard_unlock(shard);
    return object;
}

bool
memory_has(struct memory *memory, uint64_t hash)
{
    struct shard *shard = shard_of(memory, hash);
    const struct object *object;

    shard_lock(shard);
    object = *shard_bucket(shard, hash);
    while (object != NULL && object->hash != hash)
        object = object->resident.next;
    shard_unlock(shard);
    return object != NULL;
}

/* ---- putting */

/* Puts object at place. If another is there it goes, and object takes its place
 * in the queue too, for it is wanted as much. Returns the other. */
static struct object *
attach(struct memory *memory, struct shard *shard, struct object **place, struct object *object)
{
    struct resident *resident = &object->resident;
    struct object *old = *place;

    if (old != NULL) {
        resident->next = old->resident.next;
        resident->queue = old->resident.queue;
        set_uses(object, uses_of(old));
        list_insert_before(&old->resident.link, &resident->link);
        leave(memory, shard, old);
    } else {
        resident->next = NULL;
        resident->queue = ghosts_take(&shard->ghosts, object->hash) ? QUEUE_MAIN : QUEUE_SMALL;
        set_uses(object, 0);
        list_push_front(&shard->queues[resident->queue], &resident->link);
    }
    *place = object;
    count_in(memory, shard, object);
    return old;
}

static bool
is_too_long(const struct memory *memory, const struct object *object)
{
    return object_memory(object) >
           atomic_load_explicit(&memory->max_bytes, memory_order_relaxed) / LONGEST_PARTS;
}

enum outcome { REFUSED, ENTERED, WAS_HERE };

/* Under the lock. What is out of the table afterwards is put into *out. */
static enum outcome
insert(struct memory *memory, struct shard *shard, struct object *object, bool only_newer,
       struct object **out)
{
    struct object **place = shard_place(shard, object->hash, object->key);

    if (*place == object)
        return WAS_HERE;
    if (atomic_load_explicit(&object->is_gone, memory_order_relaxed) ||
        (only_newer && *place != NULL && (*place)->seq >= object->seq))
        return REFUSED;
    if (is_too_long(memory, object)) {
        shard->refused++;
        if (*place != NULL)
            *out = detach(memory, shard, place);
        return REFUSED;
    }
    *out = attach(memory, shard, place, object);
    if (shard_objects(shard) > shard->buckets_used)
        shard_grow(shard);
    return ENTERED;
}

static bool
put(struct memory *memory, struct object *object, bool only_newer)
{
    struct shard *shard = shard_of(memory, object->hash);
    struct object *out = NULL;
    enum outcome outcome;

    /* Counted before others can evict it. */
    site_bytes_add(&memory->sites, object->site, object_memory(object));
    object_ref(object);
    shard_lock(shard);
    outcome = insert(memory, shard, object, only_newer, &out);
    shard_unlock(shard);
    let_go(memory, out);
    if (outcome != ENTERED)
        let_go(memory, object); /* counted for nothing */
    make_room(memory);
    return outcome != REFUSED;
}

bool
memory_put(struct memory *memory, struct object *object)
{
    return put(memory, object, false);
}

bool
memory_add(struct memory *memory, struct object *object)
{
    return put(memory, object, true);
}

/* ---- forgetting */

bool
memory_forget(struct memory *memory, uint64_t hash, struct slice key)
{
    struct shard *shard = shard_of(memory, hash);
    struct object **place, *object = NULL;

    shard_lock(shard);
    place = shard_place(shard, hash, key);
    if (*place != NULL) {
        object = detach(memory, shard, place);
        atomic_store_explicit(&object->is_gone, true, memory_order_relaxed);
    }
    shard_unlock(shard);
    let_go(memory, object);
    return object != NULL;
}

void
memory_remove(struct memory *memory, struct object *object)
{
    struct shard *shard = shard_of(memory, object->hash);
    struct object **place, *out = NULL;

    shard_lock(shard);
    place = shard_place(shard, object->hash, object->key);
    if (*place == object)
        out = detach(memory, shard, place);
    shard_unlock(shard);
    let_go(memory, out);
}

void
memory_prune(struct memory *memory, uint64_t hash, bool (*is_useless)(const struct object *))
{
    struct shard *shard = shard_of(memory, hash);
    struct object **place, *out;

    do {
        shard_lock(shard);
        place = shard_bucket(shard, hash);
        while (*place != NULL && ((*place)->hash != hash || !is_useless(*place)))
            place = &(*place)->resident.next;
        out = *place != NULL ? detach(memory, shard, place) : NULL;
        shard_unlock(shard);
        let_go(memory, out);
    } while (out != NULL);
}

/* ---- the tier */

struct memory *
memory_new(uint64_t max_bytes)
{
    struct memory *memory = aligned_alloc(64, sizeof(*memory));

    if (memory == NULL)
        return NULL;
    memset(memory, 0, sizeof(*memory));
    atomic_init(&memory->max_bytes, max_bytes);
    site_bytes_init(&memory->sites);
    for (unsigned i = 0; i < SHARDS; i++) {
        if (!shard_init(&memory->shards[i])) {
            memory_free(memory);
            return NULL;
        }
    }
    return memory;
}

void
memory_free(struct memory *memory)
{
    if (memory == NULL)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &memory->shards[i];

        for (size_t at = 0; at < shard->buckets_used; at++)
            while (shard->buckets[at] != NULL)
                object_unref(detach(memory, shard, &shard->buckets[at]));
        shard_fini(shard);
    }
    site_bytes_fini(&memory->sites);
    free(memory);
}

void
memory_resize(struct memory *memory, uint64_t max_bytes)
{
    atomic_store_explicit(&memory->max_bytes, max_bytes, memory_order_relaxed);
    make_room(memory);
}

/* Visits a few buckets. False ends it; *at is where to go on. */
static bool
each_bucket(struct shard *shard, size_t *at, bool (*each)(const struct object *, void *), void *arg)
{
    size_t end = *at + EACH_BUCKETS < shard->buckets_used ? *at + EACH_BUCKETS
                                                          : shard->buckets_used;

    for (; *at < end; ++*at)
        for (const struct object *object = shard->buckets[*at]; object != NULL;
             object = object->resident.next)
            if (!each(object, arg))
                return false;
    return true;
}

void
memory_each(struct memory *memory, bool (*each)(const struct object *, void *), void *arg)
{
    bool goes_on = true;

    for (unsigned i = 0; i < SHARDS && goes_on; i++) {
        struct shard *shard = &memory->shards[i];
        bool has_more = true;

        for (size_t at = 0; goes_on && has_more;) {
            shard_lock(shard);
            goes_on = each_bucket(shard, &at, each, arg);
            has_more = at < shard->buckets_used;
            shard_unlock(shard);
        }
    }
}

void
memory_facts(struct memory *memory, struct memory_facts *facts)
{
    *facts = (struct memory_facts){
        .bytes = bytes_of(memory),
        .max_bytes = atomic_load_explicit(&memory->max_bytes, memory_order_relaxed),
    };
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = &memory->shards[i];

        shard_lock(shard);
        facts->objects += shard_objects(shard);
        facts->evicted += shard->evicted;
        facts->refused += shard->refused;
        shard_unlock(shard);
    }
}

uint64_t
memory_site_bytes(struct memory *memory, uint32_t site)
{
    return site_bytes_get(&memory->sites, site);
}
