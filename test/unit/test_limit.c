/* SPDX-License-Identifier: BSD-2-Clause */
/* test_limit.c - everybody gets what is allowed and nobody more. */
#include "config.h"

#include "server/policy/limit.h"

#include "test/unit/limit_fixture.h"
#include "test/unit/suites.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- rates */

static void
a_burst_passes_then_one_every_interval(void)
{
    const struct limit_conf conf = limit_of(10, 60000, 3);
    struct limit_state state;
    struct table table;
    struct limit *limit = begin(&table, &conf);

    CU_ASSERT_TRUE(limit_take(limit, 1, NOW, &state));
    CU_ASSERT(state.limit == 3 && state.remaining == 2 && state.reset_ms == 6000);
    CU_ASSERT_EQUAL(take_many(limit, 1, NOW, 5), 2);
    CU_ASSERT_FALSE(limit_take(limit, 1, NOW, &state));
    CU_ASSERT(state.is_over && state.remaining == 0);
    CU_ASSERT_EQUAL(state.retry_ms, 6000);
    CU_ASSERT_EQUAL(state.reset_ms, 18000);
    CU_ASSERT_EQUAL(take_many(limit, 1, NOW + 5999, 5), 0);
    CU_ASSERT_EQUAL(take_many(limit, 1, NOW + 6000, 5), 1);
    CU_ASSERT_EQUAL(take_many(limit, 1, NOW + 17999, 5), 1);
    CU_ASSERT_EQUAL(take_many(limit, 1, NOW + 1000000, 9), 3); /* as if never seen */
    CU_ASSERT_EQUAL(take_many(limit, 2, NOW, 9), 3);           /* somebody else */
    end(&table);
}

static void
without_a_burst_as_many_as_the_rate_says_pass_at_once(void)
{
    const struct limit_conf conf = limit_of(10, 60000, 0);
    struct table table;
    struct limit *limit = begin(&table, &conf);

    CU_ASSERT_EQUAL(take_many(limit, 1, NOW, 50), 10);
    CU_ASSERT_EQUAL(take_many(limit, 1, NOW + 60000, 50), 10);
    end(&table);
}

static void
a_burst_of_one_spaces_requests_evenly(void)
{
    const struct limit_conf conf = limit_of(4, 1000, 1);
    struct table table;
    struct limit *limit = begin(&table, &conf);
    unsigned taken = 0;

    for (uint64_t ms = 0; ms < 1000; ms++) {
        bool passes = limit_take(limit, 1, NOW + ms, NULL);

        CU_ASSERT_EQUAL(passes, ms % 250 == 0);
        taken += passes;
    }
    CU_ASSERT_EQUAL(taken, 4);
    end(&table);
}

static void
one_a_day_is_one_a_day(void)
{
    const struct limit_conf conf = limit_of(1, DAY_MS, 1);
    struct limit_state state;
    struct table table;
    struct limit *limit = begin(&table, &conf);

    CU_ASSERT_TRUE(limit_take(limit, 1, NOW, NULL));
    CU_ASSERT_FALSE(limit_take(limit, 1, NOW + 1, &state));
    CU_ASSERT_EQUAL(state.retry_ms, DAY_MS - 1);
    CU_ASSERT_FALSE(limit_take(limit, 1, NOW + DAY_MS - 1, NULL));
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW + DAY_MS, NULL));
    end(&table);
}

static void
a_hundred_a_microsecond_are_counted_as_well(void)
{
    const struct limit_conf conf = limit_of(1000000, 10, 200000);
    struct table table;
    struct limit *limit = begin(&table, &conf);
    unsigned taken;

    CU_ASSERT_EQUAL(take_many(limit, 1, NOW, 300000), 200000);
    taken = take_many(limit, 1, NOW + 1, 300000);
    CU_ASSERT(taken > 99500 && taken < 100500);
    end(&table);
}

/* A billion in 49 days, all at once, at a time that is far in the future. */
static void
the_largest_numbers_do_not_overflow(void)
{
    const struct limit_conf conf = limit_of(1000000000, UINT32_MAX, 1000000000);
    struct limit_state state;
    struct table table;
    struct limit *limit = begin(&table, &conf);

    CU_ASSERT_TRUE(limit_take(limit, 1, UINT64_MAX / 2, &state));
    CU_ASSERT(state.limit == 1000000000 && state.remaining == 999999999);
    CU_ASSERT_EQUAL(take_many(limit, 1, UINT64_MAX / 2, 1000), 1000);
    end(&table);
}

static void
who_is_told_when_to_come_again_is_let_through_then_and_not_before(void)
{
    struct limit_state state;
    unsigned told = 0;

    srandom(7);
    for (unsigned i = 0; i < 200; i++) {
        const struct limit_conf conf = limit_of(1 + random() % 1000, 1 + (uint32_t)random() % 10000,
                                                1 + random() % 50);
        struct table table;
        struct limit *limit = begin(&table, &conf);
        uint64_t now_ms = NOW;

        for (unsigned j = 0; j < 200; j++) {
            if (!limit_take(limit, 1, now_ms, &state)) {
                told++;
                CU_ASSERT_FATAL(state.retry_ms > 0);
                CU_ASSERT_FALSE(limit_take(limit, 1, now_ms + state.retry_ms - 1, NULL));
                now_ms += state.retry_ms;
                CU_ASSERT_TRUE(limit_look(limit, 1, now_ms, &state));
                CU_ASSERT_TRUE(limit_take(limit, 1, now_ms, NULL));
            }
            now_ms += (uint64_t)random() % 4;
        }
        end(&table);
    }
    CU_ASSERT(told > 1000);
}

static void
looking_takes_nothing_and_leaves_no_trace(void)
{
    const struct limit_conf conf = limit_of(2, 1000, 2);
    struct limit_facts facts;
    struct limit_state state;
    struct table table;
    struct limit *limit = begin(&table, &conf);

    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT_TRUE(limit_look(limit, 1, NOW, &state));
    CU_ASSERT(state.remaining == 2 && state.reset_ms == 0);
    limit_facts(limit, &facts);
    CU_ASSERT(facts.keys == 0 && facts.taken == 0 && facts.refused == 0);
    take_many(limit, 1, NOW, 2);
    CU_ASSERT_FALSE(limit_look(limit, 1, NOW, &state));
    CU_ASSERT(state.is_over && state.remaining == 0 && state.retry_ms == 500);
    limit_facts(limit, &facts);
    CU_ASSERT(facts.keys == 1 && facts.taken == 2 && facts.refused == 0);
    end(&table);
}

/* ---- how many at a time */

static void
so_many_are_inside_at_a_time(void)
{
    struct limit_conf conf = limit_of(0, 0, 0);
    struct limit_state state;
    struct table table;
    struct limit *limit;

    conf.concurrency = 2;
    limit = begin(&table, &conf);
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW, &state) && limit_enter(limit, 1));
    CU_ASSERT(state.limit == 2);
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW, NULL) && limit_enter(limit, 1));
    CU_ASSERT_FALSE(limit_take(limit, 1, NOW, &state));
    CU_ASSERT(state.is_over && state.remaining == 0 && state.retry_ms > 0);
    CU_ASSERT_FALSE(limit_enter(limit, 1));
    CU_ASSERT_TRUE(limit_enter(limit, 2));
    limit_leave(limit, 1);
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW, NULL) && limit_enter(limit, 1));
    CU_ASSERT_FALSE(limit_enter(limit, 1));
    limit_leave(limit, 1);
    limit_leave(limit, 1);
    limit_leave(limit, 2);
    end(&table);
}

static void
a_limit_without_concurrency_lets_everybody_in(void)
{
    const struct limit_conf conf = limit_of(1, 1000, 1);
    struct table table;
    struct limit *limit = begin(&table, &conf);

    for (unsigned i = 0; i < 100; i++)
        CU_ASSERT_TRUE(limit_enter(limit, 1));
    limit_leave(limit, 1);
    end(&table);
}

/* ---- quotas */

static void
a_spent_quota_is_there_again_when_its_time_is_over(void)
{
    struct limit_conf conf = limit_of(0, 0, 0);
    struct limit_state state;
    struct table table;
    struct limit *limit;

    conf.quota_bytes = 1000;
    conf.quota_ms = 60000;
    limit = begin(&table, &conf);
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW, &state));
    CU_ASSERT(state.limit == 1000 && state.remaining == 1000);
    limit_spend(limit, 1, 999, NOW + 5000);
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW + 6000, &state));
    CU_ASSERT(state.remaining == 1 && state.reset_ms == 59000);
    limit_spend(limit, 1, UINT64_MAX, NOW + 6000); /* what ran could end; sums do not overflow */
    limit_spend(limit, 1, UINT64_MAX, NOW + 6000);
    CU_ASSERT_FALSE(limit_take(limit, 1, NOW + 64999, &state));
    CU_ASSERT(state.is_over && state.remaining == 0 && state.retry_ms == 1);
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW + 65000, &state));
    CU_ASSERT_EQUAL(state.remaining, 1000);
    end(&table);
}

static void
a_larger_quota_counts_from_the_reload_on(void)
{
    struct limit_conf conf = limit_of(100, 1000, 0);
    struct table before, after;
    struct limit *limit;

    conf.quota_bytes = 1000;
    conf.quota_ms = DAY_MS;
    limit = begin(&before, &conf);
    limit_spend(limit, 1, 1500, NOW);
    CU_ASSERT_FALSE(limit_take(limit, 1, NOW + 1, NULL));
    conf.quota_bytes = 2000;
    CU_ASSERT_PTR_EQUAL(begin(&after, &conf), limit);
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW + 2, NULL));
    end(&before);
    end(&after);
}

/* ---- reload */

static void
a_new_rate_keeps_what_was_counted(void)
{
    struct limit_conf conf = limit_of(10, 60000, 0);
    struct limit_state state;
    struct table before, after;
    struct limit *limit = begin(&before, &conf);

    take_many(limit, 1, NOW, 10);
    conf.requests = 20;
    CU_ASSERT_PTR_EQUAL(begin(&after, &conf), limit);
    CU_ASSERT_FALSE(limit_take(limit, 1, NOW, &state)); /* a minute's worth was taken */
    CU_ASSERT(state.limit == 20 && state.retry_ms == 3000);
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW + 3000, NULL));
    end(&before);
    end(&after);
}

static void
the_past_of_a_slow_rate_is_not_felt_for_long(void)
{
    struct limit_conf conf = limit_of(1, DAY_MS, 1);
    struct table before, after;
    struct limit *limit = begin(&before, &conf);

    CU_ASSERT_TRUE(limit_take(limit, 1, NOW, NULL));
    conf.period_ms = 1000;
    CU_ASSERT_PTR_EQUAL(begin(&after, &conf), limit);
    CU_ASSERT_FALSE(limit_take(limit, 1, NOW + 1, NULL));
    CU_ASSERT_TRUE(limit_take(limit, 1, NOW + 1001, NULL));
    end(&before);
    end(&after);
}

static void
another_key_or_form_begins_anew(void)
{
    static struct slice user_part[] = { SLICE_INIT("user") };
    const struct limit_conf conf = limit_of(10, 60000, 0);
    struct limit_conf other[4] = { conf, conf, conf, conf };
    struct table before, after;
    struct limit *limit = begin(&before, &conf);

    other[0].key.items = user_part;
    other[1].max_keys++;
    other[2].concurrency = 5;
    other[3].ipv6_bits = 56;
    for (unsigned i = 0; i < 4; i++) {
        CU_ASSERT_PTR_NOT_EQUAL(begin(&after, &other[i]), limit);
        end(&after);
    }
    end(&before);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
}

/* What is running leaves a limit that no configuration has any more. */
static void
whoever_is_inside_keeps_the_limit(void)
{
    struct limit_conf conf = limit_of(0, 0, 0);
    struct table table;
    struct limit *limit;

    conf.concurrency = 1;
    limit = limit_ref(begin(&table, &conf));
    CU_ASSERT_TRUE(limit_enter(limit, 1));
    end(&table);
    limit_leave(limit, 1);
    limit_unref(limit);
    limit_unref(NULL);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
}

/* ---- threads */

#define THREADS 4
#define TAKES 20000

struct crowd {
    struct limit *limit;
    _Atomic unsigned taken, inside, most_inside, entered;
};

static void *
crowd_in(void *arg)
{
    struct crowd *crowd = arg;

    for (unsigned i = 0; i < TAKES; i++) {
        uint64_t key = 1 + i % 3;

        crowd->taken += limit_take(crowd->limit, key, NOW, NULL);
        limit_spend(crowd->limit, key + 10, 1, NOW);
        if (!limit_enter(crowd->limit, 77))
            continue;
        crowd->entered++;
        if (++crowd->inside > 2)
            crowd->most_inside = 3;
        --crowd->inside;
        limit_leave(crowd->limit, 77);
    }
    return NULL;
}

static void
threads_together_get_no_more_than_one_alone(void)
{
    struct limit_conf conf = limit_of(1000, DAY_MS, 1000);
    pthread_t threads[THREADS];
    struct limit_state state;
    struct limit_facts facts;
    struct crowd crowd = { 0 };
    struct table table;

    conf.concurrency = 2;
    conf.quota_bytes = (uint64_t)1 << 40;
    conf.quota_ms = DAY_MS;
    conf.max_keys = 12; /* all in one bucket */
    crowd.limit = begin(&table, &conf);
    for (unsigned i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, crowd_in, &crowd), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(crowd.taken, 3 * 1000);
    CU_ASSERT_EQUAL(crowd.most_inside, 0);
    CU_ASSERT(crowd.entered >= TAKES);
    limit_facts(crowd.limit, &facts);
    CU_ASSERT_EQUAL(facts.taken, crowd.taken);
    CU_ASSERT_EQUAL(facts.keys, 7);
    CU_ASSERT_TRUE(limit_look(crowd.limit, 11, NOW, &state));
    end(&table);
}

void
suite_limit(void)
{
    CU_pSuite s = CU_add_suite("limit", NULL, NULL);

    CU_add_test(s, "a burst passes, then one every interval",
                a_burst_passes_then_one_every_interval);
    CU_add_test(s, "without a burst as many as the rate says pass at once",
                without_a_burst_as_many_as_the_rate_says_pass_at_once);
    CU_add_test(s, "a burst of one spaces requests evenly", a_burst_of_one_spaces_requests_evenly);
    CU_add_test(s, "one a day is one a day", one_a_day_is_one_a_day);
    CU_add_test(s, "a hundred a microsecond are counted as well",
                a_hundred_a_microsecond_are_counted_as_well);
    CU_add_test(s, "the largest numbers do not overflow", the_largest_numbers_do_not_overflow);
    CU_add_test(s, "who is told when to come again is let through then and not before",
                who_is_told_when_to_come_again_is_let_through_then_and_not_before);
    CU_add_test(s, "looking takes nothing and leaves no trace",
                looking_takes_nothing_and_leaves_no_trace);
    CU_add_test(s, "so many are inside at a time", so_many_are_inside_at_a_time);
    CU_add_test(s, "a limit without concurrency lets everybody in",
                a_limit_without_concurrency_lets_everybody_in);
    CU_add_test(s, "a spent quota is there again when its time is over",
                a_spent_quota_is_there_again_when_its_time_is_over);
    CU_add_test(s, "a larger quota counts from the reload on",
                a_larger_quota_counts_from_the_reload_on);
    CU_add_test(s, "a new rate keeps what was counted", a_new_rate_keeps_what_was_counted);
    CU_add_test(s, "the past of a slow rate is not felt for long",
                the_past_of_a_slow_rate_is_not_felt_for_long);
    CU_add_test(s, "another key or form begins anew", another_key_or_form_begins_anew);
    CU_add_test(s, "whoever is inside keeps the limit", whoever_is_inside_keeps_the_limit);
    CU_add_test(s, "threads together get no more than one alone",
                threads_together_get_no_more_than_one_alone);
}
