/* SPDX-License-Identifier: BSD-2-Clause */
/* test_index.c - promises of cache/index.h. */
#include "config.h"

#include "cache/index.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/unit/suites.h"

static uint64_t
random_bits(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static struct place
place_at(uint16_t slot, uint32_t unit)
{
    return (struct place){ .slot = slot, .unit = unit };
}

static void
keeps_every_part_of_a_place(void)
{
    struct place widest = { .slot = 65535, .site = 4095, .unit = (1u << 25) - 1,
                            .size_class = 255, .is_long = true, .is_read = false };
    struct place narrow = { .slot = 1, .is_read = true };
    struct index *index = index_new();
    struct place found, old;

    CU_ASSERT_EQUAL(index_put(index, 0, &widest, &old), INDEX_ADDED);
    CU_ASSERT_TRUE(index_find(index, 0, &found));
    CU_ASSERT_TRUE(place_equal(&found, &widest) && found.site == 4095 &&
                   found.size_class == 255 && found.is_long && !found.is_read && !found.is_mark);
    index_touch(index, 0);
    CU_ASSERT_TRUE(index_find(index, 0, &found) && found.is_read);
    CU_ASSERT_EQUAL(index_put(index, 0, &narrow, &old), INDEX_REPLACED);
    CU_ASSERT_TRUE(place_equal(&old, &widest));
    CU_ASSERT_TRUE(index_find(index, 0, &found));
    CU_ASSERT_TRUE(place_equal(&found, &narrow) && found.is_read && !found.is_long);
    CU_ASSERT_FALSE(index_find(index, UINT64_MAX, &found));
    index_free(index);
}

#define MODEL 4096u

/* Hashes in four shards only, and those at both ends. */
static uint64_t
crowded(uint64_t n)
{
    uint64_t state = n;

    if (n < 2)
        return 0 - n;
    return (n % 4) << 54 | random_bits(&state) >> 10;
}

/* Against an array that cannot be wrong. */
static void
agrees_with_a_plain_table(void)
{
    struct index *index = index_new();
    uint32_t *units = calloc(MODEL, sizeof(*units));
    uint64_t state = 1, count = 0;
    struct place found, old;
    unsigned wrong = 0;

    for (unsigned i = 0; i < 300000; i++) {
        uint64_t n = random_bits(&state) % MODEL;
        uint32_t unit = 1 + (uint32_t)(random_bits(&state) % 1000);
        struct place place = place_at(3, unit), there = place_at(3, units[n]);

        if (random_bits(&state) % 3 > 0) {
            wrong += index_put(index, crowded(n), &place, &old) !=
                     (units[n] == 0 ? INDEX_ADDED : INDEX_REPLACED);
            count += units[n] == 0;
            units[n] = unit;
        } else {
            wrong += index_remove(index, crowded(n), i % 2 ? &there : NULL, &old) !=
                     (units[n] != 0);
            count -= units[n] != 0;
            units[n] = 0;
        }
        n = random_bits(&state) % MODEL;
        wrong += index_find(index, crowded(n), &found) != (units[n] != 0);
        wrong += units[n] != 0 && found.unit != units[n];
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(index_count(index), count);
    free(units);
    index_free(index);
}

static void
removes_only_what_is_still_at_the_place(void)
{
    struct index *index = index_new();
    struct place here = place_at(1, 7), elsewhere = place_at(2, 7), old;

    index_put(index, 42, &here, &old);
    CU_ASSERT_FALSE(index_remove(index, 42, &elsewhere, &old));
    CU_ASSERT_TRUE(index_remove(index, 42, &here, &old));
    CU_ASSERT_FALSE(index_remove(index, 42, NULL, &old));
    index_free(index);
}

static bool
is_newer(const struct place *old, void *arg)
{
    return old->unit > *(uint32_t *)arg;
}

static void
marks_hide_what_is_older_until_they_are_dropped(void)
{
    struct place mark = { .slot = 1, .unit = 10, .is_mark = true };
    struct place older = place_at(1, 5), newer = place_at(1, 20), found, old;
    struct index *index = index_new();

    index_put(index, 1, &mark, &old);
    index_put(index, 2, &mark, &old);
    CU_ASSERT_EQUAL(index_put_unless(index, 1, &older, is_newer, &older.unit, &old),
                    INDEX_REFUSED);
    CU_ASSERT_EQUAL(index_put_unless(index, 2, &newer, is_newer, &newer.unit, &old),
                    INDEX_REPLACED);
    CU_ASSERT_FALSE(index_find(index, 1, &found));
    CU_ASSERT_TRUE(index_find(index, 2, &found));
    index_drop_marks(index);
    CU_ASSERT_EQUAL(index_count(index), 1);
    CU_ASSERT_TRUE(index_find(index, 2, &found));
    index_free(index);
}

/* Issue 4: at most 24 bytes per object, at any time. */
static void
takes_at_most_24_bytes_an_object_while_it_grows(void)
{
    struct index *index = index_new();
    struct place place = place_at(1, 1), old;
    uint64_t state = 7, most = 0;
    double worst = 0;

    for (uint64_t n = 1; n <= 1000000; n++) {
        index_put(index, random_bits(&state), &place, &old);
        if (n < 100000 || n % 64 != 0)
            continue;
        most = index_memory(index);
        worst = (double)most / (double)n > worst ? (double)most / (double)n : worst;
    }
    CU_ASSERT_EQUAL(index_count(index), 1000000);
    CU_ASSERT_TRUE(worst <= 24.0);
    printf("# index: %.1f bytes per object at a million, at most %.1f from 100,000 on\n",
           (double)index_memory(index) / 1e6, worst);
    index_free(index);
}

/* Hashes are keyed, so this cannot come from outside; but it must not take all memory. */
static void
refuses_hashes_that_all_belong_at_the_end(void)
{
    struct index *index = index_new();
    struct place place = place_at(1, 1), old;
    unsigned refused = 0;

    for (uint64_t n = 0; n < 1000; n++)
        refused += index_put(index, UINT64_MAX - n, &place, &old) == INDEX_REFUSED;
    CU_ASSERT_TRUE(refused > 0);
    CU_ASSERT_EQUAL(index_count(index), 1000 - refused);
    CU_ASSERT_TRUE(index_memory(index) < 1000000);
    index_free(index);
}

void
suite_index(void)
{
    CU_pSuite s = CU_add_suite("index", NULL, NULL);

    CU_add_test(s, "keeps every part of a place", keeps_every_part_of_a_place);
    CU_add_test(s, "agrees with a plain table", agrees_with_a_plain_table);
    CU_add_test(s, "refuses hashes that all belong at the end",
                refuses_hashes_that_all_belong_at_the_end);
    CU_add_test(s, "removes only what is still at the place",
                removes_only_what_is_still_at_the_place);
    CU_add_test(s, "marks hide what is older until they are dropped",
                marks_hide_what_is_older_until_they_are_dropped);
    CU_add_test(s, "takes at most 24 bytes an object while it grows",
                takes_at_most_24_bytes_an_object_while_it_grows);
}
