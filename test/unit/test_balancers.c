/* SPDX-License-Identifier: BSD-2-Clause */
/* test_balancers.c - how exchanges are spread (server/upstream/balancers.h). */
#include "config.h"

#include "server/upstream/balancers.h"
#include "test/unit/suites.h"

#include <pthread.h>

#include "test/unit/upstream_fixture.h"

enum { ROUND_ROBIN, LEAST_CONN };

/* Picks and gives back at once; counts who was picked. */
static void
pick_many(struct group_fixture *f, unsigned picks, unsigned *counts)
{
    unsigned i;

    for (i = 0; i < picks; i++) {
        int position = fixture_pick(f, 1);

        CU_ASSERT_FATAL(position >= 0);
        counts[position]++;
        endpoint_release(fixture_endpoint(f, (size_t)position));
    }
}

static void
words_and_members_are_in_the_same_order(void)
{
    size_t i;

    for (i = 0; balancers[i] != NULL; i++)
        CU_ASSERT_STRING_EQUAL(balancers[i]->name, balancer_words[i]);
    CU_ASSERT_PTR_NULL(balancer_words[i]);
}

static void
round_robin_is_exact_for_every_period(void)
{
    const int weights[] = { 5, 1, 3, 1 };
    struct group_fixture f;
    unsigned period;

    fixture_init(&f, ROUND_ROBIN, weights, 4);
    for (period = 0; period < 50; period++) {
        unsigned counts[4] = { 0 };

        pick_many(&f, 10, counts);
        CU_ASSERT_EQUAL(counts[0], 5);
        CU_ASSERT_EQUAL(counts[1], 1);
        CU_ASSERT_EQUAL(counts[2], 3);
        CU_ASSERT_EQUAL(counts[3], 1);
    }
    fixture_fini(&f);
}

static void
round_robin_spreads_a_heavy_endpoint_over_the_period(void)
{
    const int weights[] = { 4, 2, 2 };
    struct group_fixture f;
    int last = -1, run = 0, longest = 0, i;

    fixture_init(&f, ROUND_ROBIN, weights, 3);
    for (i = 0; i < 80; i++) {
        int position = fixture_pick(&f, 1);

        run = position == last ? run + 1 : 1;
        longest = run > longest ? run : longest;
        last = position;
    }
    CU_ASSERT(longest <= 2);
    fixture_fini(&f);
}

static void
equal_weights_take_turns_one_by_one(void)
{
    const int weights[] = { 7, 7, 7 };
    struct group_fixture f;
    int i;

    fixture_init(&f, ROUND_ROBIN, weights, 3);
    CU_ASSERT_EQUAL(f.conf.schedule_count, 3);
    for (i = 0; i < 9; i++)
        CU_ASSERT_EQUAL(fixture_pick(&f, 1), i % 3);
    fixture_fini(&f);
}

static void
round_robin_shares_the_turns_of_a_lost_endpoint_among_the_others(void)
{
    const int weights[] = { 1, 1, 1, 1 };
    unsigned counts[4] = { 0 };
    struct group_fixture f;

    fixture_init(&f, ROUND_ROBIN, weights, 4);
    endpoint_failed(fixture_endpoint(&f, 1), &f.conf, 1, "refused");
    pick_many(&f, 300, counts);
    CU_ASSERT_EQUAL(counts[1], 0);
    CU_ASSERT_EQUAL(counts[0], 100);
    CU_ASSERT_EQUAL(counts[2], 100);
    CU_ASSERT_EQUAL(counts[3], 100);
    fixture_fini(&f);
}

static void
least_conn_takes_the_least_busy_for_its_weight(void)
{
    const int weights[] = { 1, 3 };
    unsigned counts[2] = { 0 };
    struct group_fixture f;
    int i;

    fixture_init(&f, LEAST_CONN, weights, 2);
    for (i = 0; i < 40; i++) { /* none ends */
        int position = fixture_pick(&f, 1);

        CU_ASSERT_FATAL(position >= 0);
        counts[position]++;
    }
    CU_ASSERT_EQUAL(counts[0], 10);
    CU_ASSERT_EQUAL(counts[1], 30);
    endpoint_release(fixture_endpoint(&f, 0));
    endpoint_release(fixture_endpoint(&f, 0));
    CU_ASSERT_EQUAL(fixture_pick(&f, 1), 0);
    fixture_fini(&f);
}

static void
least_conn_lets_equals_take_turns(void)
{
    const int weights[] = { 1, 1, 1 };
    unsigned counts[3] = { 0 };
    struct group_fixture f;

    fixture_init(&f, LEAST_CONN, weights, 3);
    pick_many(&f, 300, counts);
    CU_ASSERT_EQUAL(counts[0], 100);
    CU_ASSERT_EQUAL(counts[1], 100);
    CU_ASSERT_EQUAL(counts[2], 100);
    fixture_fini(&f);
}

static void *
pick_on_a_thread(void *arg)
{
    struct group_fixture *f = arg;
    int i;

    for (i = 0; i < 5000; i++) {
        int position = fixture_pick(f, 1);

        if (position >= 0)
            endpoint_release(fixture_endpoint(f, (size_t)position));
    }
    return NULL;
}

static void
proportions_hold_over_all_threads_together(void)
{
    const int weights[] = { 3, 1 };
    struct endpoint_numbers heavy, light;
    struct group_fixture f;
    pthread_t thread;

    fixture_init(&f, ROUND_ROBIN, weights, 2);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, pick_on_a_thread, &f), 0);
    pick_on_a_thread(&f);
    pthread_join(thread, NULL);
    endpoint_read(fixture_endpoint(&f, 0), 1, &heavy);
    endpoint_read(fixture_endpoint(&f, 1), 1, &light);
    CU_ASSERT_EQUAL(heavy.picked, 7500);
    CU_ASSERT_EQUAL(light.picked, 2500);
    CU_ASSERT_EQUAL(heavy.in_flight + light.in_flight, 0);
    fixture_fini(&f);
}

void
suite_balancers(void)
{
    CU_pSuite s = CU_add_suite("balancers", NULL, NULL);

    CU_add_test(s, "words and members are in the same order",
                words_and_members_are_in_the_same_order);
    CU_add_test(s, "round_robin is exact for every period", round_robin_is_exact_for_every_period);
    CU_add_test(s, "round_robin spreads a heavy endpoint over the period",
                round_robin_spreads_a_heavy_endpoint_over_the_period);
    CU_add_test(s, "equal weights take turns one by one", equal_weights_take_turns_one_by_one);
    CU_add_test(s, "round_robin shares the turns of a lost endpoint among the others",
                round_robin_shares_the_turns_of_a_lost_endpoint_among_the_others);
    CU_add_test(s, "least_conn takes the least busy for its weight",
                least_conn_takes_the_least_busy_for_its_weight);
    CU_add_test(s, "least_conn lets equals take turns", least_conn_lets_equals_take_turns);
    CU_add_test(s, "proportions hold over all threads together",
                proportions_hold_over_all_threads_together);
}
