/* SPDX-License-Identifier: BSD-2-Clause */
/* test_memory.c - the memory tier (cache/memory.h). */
#include "config.h"

#include "cache/memory.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <pthread.h>
#include <stdio.h>

#include "server/base/hash.h"
#include "server/base/must.h"

static const struct hash_key secret = { { 0x1234, 0x5678 } };

struct name {
    char text[32];
    struct slice key;
    uint64_t hash;
};

static void
name_init(struct name *name, unsigned number)
{
    int bytes = snprintf(name->text, sizeof(name->text), "http://example/%u", number);

    name->key = slice_make(name->text, (size_t)bytes);
    name->hash = hash_bytes(name->key, &secret);
}

static struct object *
make(const struct name *name, uint64_t body_bytes, uint64_t seq)
{
    struct object_head head = { .site = 7, .hash = name->hash, .seq = seq, .key = name->key };
    struct object *object = object_new(&head, body_bytes);

    must(object != NULL);
    return object;
}

/* Puts an object of its own under the number; the tier alone has it then. */
static bool
put(struct memory *memory, unsigned number, uint64_t body_bytes)
{
    struct name name;
    struct object *object;
    bool is_there;

    name_init(&name, number);
    object = make(&name, body_bytes, 1);
    is_there = memory_put(memory, object);
    object_unref(object);
    return is_there;
}

static bool
hit(struct memory *memory, unsigned number)
{
    struct name name;
    struct object *object;

    name_init(&name, number);
    object = memory_find(memory, name.hash, name.key);
    object_unref(object);
    return object != NULL;
}

static unsigned
hits(struct memory *memory, unsigned from, unsigned to)
{
    unsigned count = 0;

    for (; from < to; from++)
        count += hit(memory, from);
    return count;
}

static struct memory_facts
facts_of(struct memory *memory)
{
    struct memory_facts facts;

    memory_facts(memory, &facts);
    return facts;
}

static void
finds_what_was_put_and_counts_a_reference(void)
{
    struct memory *memory = memory_new(1 << 20);
    struct object *object, *found;
    struct name name;

    name_init(&name, 1);
    object = make(&name, 100, 1);
    CU_ASSERT(memory_put(memory, object));
    CU_ASSERT(memory_put(memory, object)); /* again: it is here */
    CU_ASSERT_EQUAL(object->references, 2);
    CU_ASSERT(memory_has(memory, name.hash));
    CU_ASSERT_FALSE(memory_has(memory, name.hash + 1));
    found = memory_find(memory, name.hash, name.key);
    CU_ASSERT_PTR_EQUAL(found, object);
    CU_ASSERT_EQUAL(object->references, 3);
    CU_ASSERT_EQUAL(facts_of(memory).objects, 1);
    CU_ASSERT_EQUAL(facts_of(memory).bytes, object_memory(object));
    memory_free(memory);
    CU_ASSERT_EQUAL(object->references, 2);
    object_unref(found);
    object_unref(object);
}

static void
compares_the_whole_key_not_only_its_hash(void)
{
    struct memory *memory = memory_new(1 << 20);
    struct object *one, *two;
    struct name a, b, c;

    name_init(&a, 1);
    name_init(&b, 2);
    name_init(&c, 3);
    b.hash = c.hash = a.hash;
    one = make(&a, 10, 1);
    two = make(&b, 10, 1);
    CU_ASSERT(memory_put(memory, one) && memory_put(memory, two));
    CU_ASSERT_PTR_NULL(memory_find(memory, c.hash, c.key));
    CU_ASSERT(memory_forget(memory, a.hash, a.key));
    CU_ASSERT_PTR_NULL(memory_find(memory, a.hash, a.key));
    CU_ASSERT(memory_find(memory, b.hash, b.key) == two);
    object_unref(two);
    object_unref(one);
    object_unref(two);
    memory_free(memory);
}

/* A hundred times as many as there were buckets: all are where they are looked for. */
static void
finds_all_however_many_there_are(void)
{
    const unsigned count = 400000;
    struct memory *memory = memory_new(1u << 30);

    for (unsigned i = 0; i < count; i++)
        put(memory, i, 1);
    CU_ASSERT_EQUAL(facts_of(memory).objects, count);
    CU_ASSERT_EQUAL(hits(memory, 0, count), count);
    CU_ASSERT_EQUAL(hits(memory, count, count * 2), 0);
    memory_free(memory);
}

static void
refuses_what_is_longer_than_a_sixteenth_and_drops_what_it_was_to_replace(void)
{
    struct memory *memory = memory_new(1 << 20);

    CU_ASSERT(put(memory, 1, 10));
    CU_ASSERT(put(memory, 2, 60000));
    CU_ASSERT_FALSE(put(memory, 1, 1 << 16));
    CU_ASSERT_FALSE(hit(memory, 1));
    CU_ASSERT(hit(memory, 2));
    CU_ASSERT_EQUAL(facts_of(memory).refused, 1);
    CU_ASSERT_EQUAL(facts_of(memory).objects, 1);
    memory_free(memory);
}

static void
stays_within_its_bytes(void)
{
    struct memory *memory = memory_new(1 << 20);

    for (unsigned i = 0; i < 20000; i++) {
        put(memory, i, i % 7 == 0 ? 50000 : 500);
        if (i % 3 == 0)
            hits(memory, i > 50 ? i - 50 : 0, i);
        if (facts_of(memory).bytes > 1 << 20)
            CU_FAIL_FATAL("more bytes than allowed");
    }
    CU_ASSERT(facts_of(memory).bytes > (1 << 20) * 3 / 4); /* and makes use of them */
    CU_ASSERT_EQUAL(facts_of(memory).evicted + facts_of(memory).objects, 20000);
    memory_free(memory);
}

/* What is found all the time is the hardest to find a victim among. */
static void
evicts_even_when_all_is_hot(void)
{
    struct memory *memory = memory_new(1 << 20);

    for (unsigned i = 0; i < 3000; i++) {
        put(memory, i, 1000);
        for (unsigned again = 0; again < 3; again++)
            hits(memory, 0, i + 1);
        if (i > 1000)
            i += 50;
    }
    CU_ASSERT(facts_of(memory).bytes <= 1 << 20);
    memory_free(memory);
}

static void
keeps_what_is_hot_while_a_scan_passes(void)
{
    struct memory *memory = memory_new(4 << 20);

    for (unsigned i = 0; i < 1000; i++) {
        put(memory, i, 1000);
        hit(memory, i);
        hit(memory, i);
    }
    for (unsigned i = 0; i < 100000; i++)
        put(memory, 1000000 + i, 1000);
    CU_ASSERT(hits(memory, 0, 1000) >= 990);
    memory_free(memory);
}

/* Hits among requests that ask for few objects often and for many rarely. */
static unsigned
skewed_hits(struct memory *memory, unsigned requests)
{
    static unsigned state = 1;
    unsigned count = 0;

    for (unsigned i = 0; i < requests; i++) {
        uint64_t x = (state = state * 1103515245 + 12345) >> 8; /* 24 bits */
        unsigned number = (unsigned)(x * x >> 24) * (x & 0xff) >> 16;
        bool is_hit = hit(memory, number);

        count += is_hit;
        if (!is_hit)
            put(memory, number, 100);
    }
    return count;
}

/* Were shards not kept equally full, some would grow for good at the others' cost. */
static void
is_as_good_after_a_long_time(void)
{
    struct memory *memory = memory_new(1 << 20);
    unsigned early, late;

    skewed_hits(memory, 100000);
    early = skewed_hits(memory, 100000);
    skewed_hits(memory, 800000);
    late = skewed_hits(memory, 100000);
    CU_ASSERT(early > 10000);
    CU_ASSERT(late > early - early / 20);
    memory_free(memory);
}

static void
keeps_longer_what_comes_back_soon_after_it_left(void)
{
    struct memory *memory = memory_new(4 << 20);
    unsigned next = 1000000;

    while (facts_of(memory).evicted < 1000)
        put(memory, next++, 1000);
    put(memory, 1, 1000); /* new: passes through the small queue */
    for (unsigned i = 0; i < 4000; i++)
        put(memory, next++, 1000);
    CU_ASSERT_FALSE(hit(memory, 1));
    put(memory, 1, 1000); /* its ghost is remembered: goes to the main queue */
    for (unsigned i = 0; i < 4000; i++)
        put(memory, next++, 1000);
    CU_ASSERT(hit(memory, 1));
    memory_free(memory);
}

static void
lets_a_new_version_take_the_place_of_the_old(void)
{
    struct memory *memory = memory_new(4 << 20);
    unsigned next = 1000000;

    for (unsigned i = 0; i < 3; i++) {
        put(memory, 1, 1000);
        hit(memory, 1);
    }
    put(memory, 1, 2000); /* is as hot as what it replaces */
    CU_ASSERT_EQUAL(facts_of(memory).objects, 1);
    for (unsigned i = 0; i < 20000; i++)
        put(memory, next++, 1000);
    CU_ASSERT(hit(memory, 1));
    memory_free(memory);
}

static void
never_adds_in_place_of_what_is_as_new(void)
{
    struct memory *memory = memory_new(1 << 20);
    struct name name;
    struct object *old, *now, *later;

    name_init(&name, 1);
    old = make(&name, 10, 5);
    now = make(&name, 10, 6);
    later = make(&name, 10, 7);
    CU_ASSERT(memory_add(memory, now));
    CU_ASSERT_FALSE(memory_add(memory, old));
    CU_ASSERT_EQUAL(old->references, 1);
    CU_ASSERT(memory_add(memory, later));
    CU_ASSERT_EQUAL(now->references, 1);
    CU_ASSERT_FALSE(memory_add(memory, now));
    CU_ASSERT(memory_put(memory, old)); /* put asks nothing */
    CU_ASSERT_EQUAL(later->references, 1);
    object_unref(old);
    object_unref(now);
    object_unref(later);
    memory_free(memory);
}

static void
does_not_take_back_what_was_forgotten(void)
{
    struct memory *memory = memory_new(1 << 20);
    struct name name;
    struct object *object;

    name_init(&name, 1);
    object = make(&name, 10, 1);
    CU_ASSERT_FALSE(memory_forget(memory, name.hash, name.key));
    CU_ASSERT(memory_put(memory, object));
    CU_ASSERT(memory_forget(memory, name.hash, name.key));
    CU_ASSERT(object->is_gone);
    CU_ASSERT_FALSE(memory_put(memory, object));
    CU_ASSERT_FALSE(memory_add(memory, object));
    CU_ASSERT_EQUAL(object->references, 1);
    CU_ASSERT(put(memory, 1, 10)); /* a new one may come */
    CU_ASSERT(hit(memory, 1));
    object_unref(object);
    memory_free(memory);
}

static void
removes_this_very_object_only(void)
{
    struct memory *memory = memory_new(1 << 20);
    struct name name;
    struct object *one, *other;

    name_init(&name, 1);
    one = make(&name, 10, 1);
    other = make(&name, 10, 1);
    CU_ASSERT(memory_put(memory, one));
    memory_remove(memory, other);
    CU_ASSERT(hit(memory, 1));
    memory_remove(memory, one);
    CU_ASSERT_FALSE(hit(memory, 1));
    memory_remove(memory, one); /* is not there any more */
    CU_ASSERT_EQUAL(one->references, 1);
    object_unref(one);
    object_unref(other);
    memory_free(memory);
}

static void
adopts_another_size_at_once(void)
{
    struct memory *memory = memory_new(4 << 20);

    for (unsigned i = 0; i < 2000; i++)
        put(memory, i, 1000);
    memory_resize(memory, 1 << 20);
    CU_ASSERT(facts_of(memory).bytes <= 1 << 20);
    CU_ASSERT_EQUAL(facts_of(memory).max_bytes, 1 << 20);
    CU_ASSERT(facts_of(memory).objects > 500);
    memory_resize(memory, 0);
    CU_ASSERT_EQUAL(facts_of(memory).objects, 0);
    CU_ASSERT_FALSE(put(memory, 1, 10));
    memory_free(memory);
}

static void
counts_bytes_by_site(void)
{
    struct memory *memory = memory_new(1 << 20);
    struct name name;
    struct object *object;

    put(memory, 1, 100);
    put(memory, 2, 200);
    name_init(&name, 3);
    object = make(&name, 300, 1);
    object->site = 8;
    CU_ASSERT(memory_put(memory, object));
    CU_ASSERT_EQUAL(memory_site_bytes(memory, 8), object_memory(object));
    CU_ASSERT_EQUAL(memory_site_bytes(memory, 7) + memory_site_bytes(memory, 8),
                    facts_of(memory).bytes);
    CU_ASSERT_EQUAL(memory_site_bytes(memory, 9), 0);
    for (unsigned i = 0; i < 5000; i++)
        put(memory, i + 10, 1000);
    CU_ASSERT_EQUAL(memory_site_bytes(memory, 7) + memory_site_bytes(memory, 8),
                    facts_of(memory).bytes);
    memory_resize(memory, 0);
    CU_ASSERT_EQUAL(memory_site_bytes(memory, 7), 0);
    object_unref(object);
    memory_free(memory);
}

struct visit {
    unsigned count, stop_at;
    bool seen[3000];
};

static bool
visit_one(const struct object *object, void *arg)
{
    struct visit *visit = arg;

    if (object->seq < ARRAY_COUNT(visit->seen))
        visit->seen[object->seq] = true;
    return ++visit->count != visit->stop_at;
}

static void
shows_every_object_until_told_to_stop(void)
{
    struct memory *memory = memory_new(16 << 20);
    struct visit all = { .count = 0 }, some = { .stop_at = 10 };

    for (unsigned i = 0; i < 3000; i++) {
        struct name name;
        struct object *object;

        name_init(&name, i);
        object = make(&name, 10, i);
        CU_ASSERT(memory_put(memory, object));
        object_unref(object);
    }
    memory_each(memory, visit_one, &all);
    CU_ASSERT_EQUAL(all.count, 3000);
    for (unsigned i = 0; i < 3000; i++)
        if (!all.seen[i])
            CU_FAIL("an object was passed over");
    memory_each(memory, visit_one, &some);
    CU_ASSERT_EQUAL(some.count, 10);
    memory_free(memory);
}

/* ---- threads */

struct crowd {
    struct memory *memory;
    unsigned from;
    _Atomic unsigned ready;
};

static void *
mingle(void *arg)
{
    struct crowd *crowd = arg;
    unsigned number = atomic_fetch_add(&crowd->ready, 1) * 7919;

    for (unsigned i = 0; i < 20000; i++) {
        struct name name;

        number = number * 1103515245 + 12345;
        name_init(&name, (number >> 16) % 3000);
        if (!hit(crowd->memory, (number >> 16) % 3000))
            put(crowd->memory, (number >> 16) % 3000, 400);
        if (i % 64 == 0)
            memory_forget(crowd->memory, name.hash, name.key);
        if (i % 4096 == 0)
            memory_resize(crowd->memory, (number & 1) ? 1 << 19 : 1 << 20);
    }
    return NULL;
}

static void
bears_many_threads(void)
{
    struct crowd crowd = { .memory = memory_new(1 << 20) };
    struct visit visit = { .count = 0 };
    pthread_t threads[4];

    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        must(pthread_create(&threads[i], NULL, mingle, &crowd) == 0);
    memory_each(crowd.memory, visit_one, &visit);
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    visit.count = 0;
    memory_each(crowd.memory, visit_one, &visit);
    CU_ASSERT_EQUAL(visit.count, facts_of(crowd.memory).objects);
    CU_ASSERT_EQUAL(memory_site_bytes(crowd.memory, 7), facts_of(crowd.memory).bytes);
    memory_resize(crowd.memory, 0);
    CU_ASSERT_EQUAL(facts_of(crowd.memory).bytes, 0);
    CU_ASSERT_EQUAL(memory_site_bytes(crowd.memory, 7), 0);
    memory_free(crowd.memory);
}

void
suite_memory(void)
{
    CU_pSuite s = CU_add_suite("memory", NULL, NULL);

    CU_add_test(s, "finds what was put and counts a reference",
                finds_what_was_put_and_counts_a_reference);
    CU_add_test(s, "compares the whole key, not only its hash",
                compares_the_whole_key_not_only_its_hash);
    CU_add_test(s, "finds all, however many there are", finds_all_however_many_there_are);
    CU_add_test(s, "refuses what is longer than a sixteenth and drops what it was to replace",
                refuses_what_is_longer_than_a_sixteenth_and_drops_what_it_was_to_replace);
    CU_add_test(s, "stays within its bytes", stays_within_its_bytes);
    CU_add_test(s, "evicts even when all is hot", evicts_even_when_all_is_hot);
    CU_add_test(s, "keeps what is hot while a scan passes", keeps_what_is_hot_while_a_scan_passes);
    CU_add_test(s, "is as good after a long time", is_as_good_after_a_long_time);
    CU_add_test(s, "keeps longer what comes back soon after it left",
                keeps_longer_what_comes_back_soon_after_it_left);
    CU_add_test(s, "lets a new version take the place of the old",
                lets_a_new_version_take_the_place_of_the_old);
    CU_add_test(s, "never adds in place of what is as new", never_adds_in_place_of_what_is_as_new);
    CU_add_test(s, "does not take back what was forgotten", does_not_take_back_what_was_forgotten);
    CU_add_test(s, "removes this very object only", removes_this_very_object_only);
    CU_add_test(s, "adopts another size at once", adopts_another_size_at_once);
    CU_add_test(s, "counts bytes by site", counts_bytes_by_site);
    CU_add_test(s, "shows every object until told to stop", shows_every_object_until_told_to_stop);
    CU_add_test(s, "bears many threads", bears_many_threads);
}
