/* SPDX-License-Identifier: BSD-2-Clause */
/* test_limit_table.c - in bounded memory those are forgotten who matter least. */
#include "config.h"

#include "server/policy/limit_table.h"

#include "test/unit/limit_fixture.h"
#include "test/unit/suites.h"

/* Twelve keys wanted make one bucket of fifteen slots. */
static void
a_key_that_is_limited_outlives_any_number_of_others(void)
{
    struct limit_conf conf = limit_of(10, 60000, 5);
    struct limit_facts facts;
    struct table table;
    struct limit *limit;

    conf.max_keys = 12;
    limit = begin(&table, &conf);
    CU_ASSERT_EQUAL(take_many(limit, 99, NOW, 9), 5);
    for (uint64_t key = 1000; key < 2000; key++)
        CU_ASSERT_TRUE(limit_take(limit, key, NOW, NULL));
    CU_ASSERT_FALSE(limit_take(limit, 99, NOW, NULL));
    limit_facts(limit, &facts);
    CU_ASSERT_EQUAL(facts.keys, 15);
    CU_ASSERT_EQUAL(facts.evicted, 1000 - 14);
    CU_ASSERT(facts.taken == 1005 && facts.refused == 5);
    end(&table);
}

static void
the_key_that_has_been_quiet_longest_is_forgotten_first(void)
{
    struct limit_conf conf = limit_of(1, 1000, 2);
    struct limit_facts facts;
    struct limit_state state;
    struct table table;
    struct limit *limit;

    conf.max_keys = 12;
    limit = begin(&table, &conf);
    for (uint64_t key = 1; key <= 15; key++)
        limit_take(limit, key, NOW + key, NULL);
    limit_take(limit, 16, NOW + 100, NULL);
    CU_ASSERT_TRUE(limit_look(limit, 1, NOW + 100, &state));
    CU_ASSERT_EQUAL(state.remaining, 2);
    for (uint64_t key = 2; key <= 16; key++) {
        limit_look(limit, key, NOW + 100, &state);
        CU_ASSERT_EQUAL(state.remaining, 1);
    }
    limit_facts(limit, &facts);
    CU_ASSERT_EQUAL(facts.evicted, 1);
    limit_take(limit, 17, NOW + 100000, NULL); /* nothing counts any more: nothing is lost */
    limit_facts(limit, &facts);
    CU_ASSERT(facts.evicted == 1 && facts.keys == 15);
    end(&table);
}

static void
a_key_in_use_is_never_forgotten(void)
{
    struct limit_conf conf = limit_of(1000, 1000, 0);
    struct table table;
    struct limit *limit;

    conf.max_keys = 12;
    conf.concurrency = 1;
    limit = begin(&table, &conf);
    for (uint64_t key = 1; key <= 15; key++)
        CU_ASSERT_TRUE(limit_enter(limit, key));
    CU_ASSERT_FALSE(limit_enter(limit, 16)); /* there is no room to count it */
    for (uint64_t key = 100; key < 200; key++)
        limit_take(limit, key, NOW, NULL);
    for (uint64_t key = 1; key <= 15; key++)
        CU_ASSERT_FALSE(limit_enter(limit, key));
    limit_leave(limit, 3);
    CU_ASSERT_TRUE(limit_enter(limit, 16));
    for (uint64_t key = 1; key <= 16; key++)
        if (key != 3)
            limit_leave(limit, key);
    end(&table);
}

static void
a_spent_quota_is_not_forgotten_for_others(void)
{
    struct limit_conf conf = limit_of(0, 0, 0);
    struct table table;
    struct limit *limit;

    conf.max_keys = 12;
    conf.quota_bytes = 10;
    conf.quota_ms = DAY_MS;
    limit = begin(&table, &conf);
    limit_spend(limit, 99, 10, NOW);
    for (uint64_t key = 1000; key < 2000; key++)
        limit_spend(limit, key, 1, NOW + key);
    CU_ASSERT_FALSE(limit_take(limit, 99, NOW + 3000, NULL));
    end(&table);
}

/* Random keys fall on buckets unevenly: the spare slots make up for it. */
static void
as_many_keys_as_wanted_find_room(void)
{
    struct limit_conf conf = limit_of(1, 60000, 1);
    struct limit_facts facts;
    struct table table;
    struct limit *limit;
    uint64_t key = 88172645463325252u;

    conf.max_keys = 100000;
    limit = begin(&table, &conf);
    for (unsigned i = 0; i < 100000; i++) {
        key ^= key << 13;
        key ^= key >> 7;
        key ^= key << 17;
        limit_take(limit, key, NOW, NULL);
    }
    limit_facts(limit, &facts);
    CU_ASSERT(facts.evicted < 7000);
    CU_ASSERT(facts.keys + facts.evicted >= 99990);
    end(&table);
}

void
suite_limit_table(void)
{
    CU_pSuite s = CU_add_suite("limit_table", NULL, NULL);

    CU_add_test(s, "a key that is limited outlives any number of others",
                a_key_that_is_limited_outlives_any_number_of_others);
    CU_add_test(s, "the key that has been quiet longest is forgotten first",
                the_key_that_has_been_quiet_longest_is_forgotten_first);
    CU_add_test(s, "a key in use is never forgotten", a_key_in_use_is_never_forgotten);
    CU_add_test(s, "a spent quota is not forgotten for others",
                a_spent_quota_is_not_forgotten_for_others);
    CU_add_test(s, "as many keys as wanted find room", as_many_keys_as_wanted_find_room);
}
