/* SPDX-License-Identifier: BSD-2-Clause */
/* test_group.c - choosing an endpoint, its limits and its health (server/upstream/group.h). */
#include "config.h"

#include "server/upstream/group.h"
#include "test/unit/suites.h"

#include <pthread.h>

#include "test/unit/upstream_fixture.h"

static const int equal[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };

static bool
is_up(struct group_fixture *f, size_t position, uint64_t now_ms)
{
    struct endpoint_numbers numbers;

    endpoint_read(fixture_endpoint(f, position), now_ms, &numbers);
    return numbers.is_up;
}

static void
a_pick_never_gets_the_same_endpoint_twice(void)
{
    struct group_fixture f;
    enum pick_failure why;
    unsigned seen = 0;
    struct pick pick;
    int i;

    fixture_init(&f, 0, equal, 3);
    pick_start(&pick, &f.conf);
    for (i = 0; i < 3; i++) {
        struct endpoint_conf *endpoint = group_pick(&pick, 1, &why);

        CU_ASSERT_PTR_NOT_NULL_FATAL(endpoint);
        CU_ASSERT_PTR_EQUAL(endpoint, pick.endpoint);
        seen |= 1u << (endpoint - f.endpoints);
        endpoint_release(endpoint->endpoint);
    }
    CU_ASSERT_EQUAL(seen, 7);
    f.conf.tries = 5;
    CU_ASSERT_PTR_NULL(group_pick(&pick, 1, &why));
    CU_ASSERT_EQUAL(why, PICK_ALL_TRIED);
    fixture_fini(&f);
}

static void
a_pick_ends_with_the_number_of_tries(void)
{
    struct group_fixture f;
    enum pick_failure why;
    struct pick pick;

    fixture_init(&f, 0, equal, 3);
    f.conf.tries = 2;
    pick_start(&pick, &f.conf);
    CU_ASSERT_PTR_NOT_NULL(group_pick(&pick, 1, &why));
    CU_ASSERT_PTR_NOT_NULL(group_pick(&pick, 1, &why));
    CU_ASSERT_PTR_NULL(group_pick(&pick, 1, &why));
    CU_ASSERT_EQUAL(why, PICK_ALL_TRIED);
    fixture_fini(&f);
}

static void
an_endpoint_gets_no_more_than_its_limit(void)
{
    struct group_fixture f;
    enum pick_failure why;
    struct pick pick;
    int i;

    for (i = 0; i < 2; i++) {
        fixture_init(&f, i, equal, 2);
        f.endpoints[0].max_connections = 2;
        f.endpoints[1].max_connections = 1;
        CU_ASSERT(fixture_pick(&f, 1) >= 0);
        CU_ASSERT(fixture_pick(&f, 1) >= 0);
        CU_ASSERT(fixture_pick(&f, 1) >= 0);
        pick_start(&pick, &f.conf);
        CU_ASSERT_PTR_NULL(group_pick(&pick, 1, &why));
        CU_ASSERT_EQUAL(why, PICK_ALL_FULL);
        CU_ASSERT_EQUAL(endpoint_in_flight(fixture_endpoint(&f, 0)), 2);
        endpoint_release(fixture_endpoint(&f, 1));
        CU_ASSERT_EQUAL(fixture_pick(&f, 1), 1);
        fixture_fini(&f);
    }
}

static _Atomic unsigned over_limit;

static void *
hold_and_release(void *arg)
{
    struct group_fixture *f = arg;
    int i;

    for (i = 0; i < 20000; i++) {
        int position = fixture_pick(f, 1);

        if (position < 0)
            continue;
        if (endpoint_in_flight(fixture_endpoint(f, (size_t)position)) > 1)
            over_limit++;
        endpoint_release(fixture_endpoint(f, (size_t)position));
    }
    return NULL;
}

static void
the_limit_is_exact_across_threads(void)
{
    struct group_fixture f;
    pthread_t threads[2];

    over_limit = 0;
    fixture_init(&f, 0, equal, 1);
    f.endpoints[0].max_connections = 1;
    pthread_create(&threads[0], NULL, hold_and_release, &f);
    pthread_create(&threads[1], NULL, hold_and_release, &f);
    hold_and_release(&f);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    CU_ASSERT_EQUAL(over_limit, 0);
    CU_ASSERT_EQUAL(endpoint_in_flight(fixture_endpoint(&f, 0)), 0);
    fixture_fini(&f);
}

static void
max_fails_within_fail_timeout_take_an_endpoint_out(void)
{
    struct group_fixture f;
    int i;

    fixture_init(&f, 0, equal, 2);
    f.conf.max_fails = 3;
    endpoint_failed(fixture_endpoint(&f, 0), &f.conf, 1000, "refused");
    endpoint_failed(fixture_endpoint(&f, 0), &f.conf, 2000, "refused");
    CU_ASSERT(is_up(&f, 0, 2000));
    endpoint_failed(fixture_endpoint(&f, 0), &f.conf, 3000, "refused");
    CU_ASSERT_FALSE(is_up(&f, 0, 3000));
    for (i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(fixture_pick(&f, 12999), 1);
    fixture_fini(&f);
}

static void
failures_further_apart_than_fail_timeout_do_not_add_up(void)
{
    struct group_fixture f;
    uint64_t now_ms;

    fixture_init(&f, 0, equal, 2);
    f.conf.max_fails = 2;
    for (now_ms = 1000; now_ms < 200000; now_ms += 10000)
        endpoint_failed(fixture_endpoint(&f, 0), &f.conf, now_ms, "refused");
    CU_ASSERT(is_up(&f, 0, now_ms));
    f.conf.max_fails = 0;
    endpoint_failed(fixture_endpoint(&f, 1), &f.conf, 1000, "refused");
    CU_ASSERT(is_up(&f, 1, 1000));
    fixture_fini(&f);
}

static void
after_fail_timeout_one_exchange_at_a_time_tries_it(void)
{
    struct group_fixture f;
    int i, tried = 0;

    fixture_init(&f, 0, equal, 2);
    endpoint_failed(fixture_endpoint(&f, 0), &f.conf, 1000, "refused");
    for (i = 0; i < 10; i++)
        tried += fixture_pick(&f, 11000) == 0;
    CU_ASSERT_EQUAL(tried, 1);
    endpoint_failed(fixture_endpoint(&f, 0), &f.conf, 12000, "refused");
    for (i = 0; i < 10; i++)
        tried += fixture_pick(&f, 21999) == 0;
    CU_ASSERT_EQUAL(tried, 1);
    for (i = 0; i < 10; i++)
        tried += fixture_pick(&f, 22000) == 0;
    CU_ASSERT_EQUAL(tried, 2);
    endpoint_succeeded(fixture_endpoint(&f, 0));
    CU_ASSERT(is_up(&f, 0, 22000));
    CU_ASSERT_EQUAL(fixture_pick(&f, 22000) + fixture_pick(&f, 22000), 1);
    fixture_fini(&f);
}

static void
a_success_from_before_does_not_bring_it_up(void)
{
    struct group_fixture f;

    fixture_init(&f, 0, equal, 2);
    endpoint_failed(fixture_endpoint(&f, 0), &f.conf, 1000, "refused");
    endpoint_succeeded(fixture_endpoint(&f, 0));
    CU_ASSERT_FALSE(is_up(&f, 0, 1000));
    fixture_fini(&f);
}

static void
when_all_are_down_one_is_tried_all_the_same(void)
{
    struct group_fixture f;
    struct endpoint_conf *endpoint;
    enum pick_failure why;
    struct pick pick;

    fixture_init(&f, 0, equal, 2);
    endpoint_failed(fixture_endpoint(&f, 0), &f.conf, 1000, "refused");
    endpoint_failed(fixture_endpoint(&f, 1), &f.conf, 1000, "refused");
    pick_start(&pick, &f.conf);
    endpoint = group_pick(&pick, 1001, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(endpoint);
    CU_ASSERT_PTR_NULL(group_pick(&pick, 1001, &why)); /* but only one */
    CU_ASSERT_EQUAL(why, PICK_ALL_DOWN);
    endpoint_succeeded(endpoint->endpoint);
    CU_ASSERT(is_up(&f, (size_t)(endpoint - f.endpoints), 1001));
    CU_ASSERT_EQUAL(fixture_pick(&f, 1002), (int)(endpoint - f.endpoints));
    fixture_fini(&f);
}

static void
a_group_of_one_goes_on_when_it_fails(void)
{
    struct group_fixture f;
    int i;

    fixture_init(&f, 0, equal, 1);
    for (i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(fixture_pick(&f, 1000), 0);
        endpoint_failed(fixture_endpoint(&f, 0), &f.conf, 1000, "refused");
        endpoint_release(fixture_endpoint(&f, 0));
    }
    CU_ASSERT_FALSE(is_up(&f, 0, 1000));
    fixture_fini(&f);
}

static void
state_survives_a_reload_and_ends_with_the_last_reference(void)
{
    struct group_fixture old, fresh;
    struct endpoint *endpoint;

    fixture_init(&old, 0, equal, 2);
    endpoint = endpoint_ref(fixture_endpoint(&old, 0));
    endpoint_failed(endpoint, &old.conf, 1000, "refused");
    CU_ASSERT_EQUAL(fixture_pick(&old, 1000), 1);
    fixture_init(&fresh, 0, equal, 2);
    fixture_fini(&old);
    CU_ASSERT_PTR_EQUAL(fixture_endpoint(&fresh, 0), endpoint);
    CU_ASSERT_FALSE(is_up(&fresh, 0, 1000));
    CU_ASSERT_EQUAL(endpoint_in_flight(fixture_endpoint(&fresh, 1)), 1);
    fixture_fini(&fresh);
    CU_ASSERT_EQUAL(registry_count(&endpoint_kind), 1);
    CU_ASSERT_EQUAL(registry_count(&group_kind), 0);
    endpoint_unref(endpoint);
    CU_ASSERT_EQUAL(registry_count(&endpoint_kind), 0);
}

static void
indexes_stay_small_and_unique(void)
{
    struct group_fixture f;
    int weights[FIXTURE_ENDPOINTS_MAX];
    bool seen[FIXTURE_ENDPOINTS_MAX] = { false };
    size_t i;
    int round;

    for (i = 0; i < FIXTURE_ENDPOINTS_MAX; i++)
        weights[i] = 1;
    for (round = 0; round < 3; round++) {
        fixture_init(&f, 0, weights, FIXTURE_ENDPOINTS_MAX);
        memset(seen, 0, sizeof(seen));
        for (i = 0; i < FIXTURE_ENDPOINTS_MAX; i++) {
            unsigned index = fixture_endpoint(&f, i)->index;

            CU_ASSERT_FATAL(index < FIXTURE_ENDPOINTS_MAX);
            CU_ASSERT_FALSE(seen[index]);
            seen[index] = true;
        }
        fixture_fini(&f);
    }
}

void
suite_group(void)
{
    CU_pSuite s = CU_add_suite("group", NULL, NULL);

    CU_add_test(s, "a pick never gets the same endpoint twice",
                a_pick_never_gets_the_same_endpoint_twice);
    CU_add_test(s, "a pick ends with the number of tries", a_pick_ends_with_the_number_of_tries);
    CU_add_test(s, "an endpoint gets no more than its limit",
                an_endpoint_gets_no_more_than_its_limit);
    CU_add_test(s, "the limit is exact across threads", the_limit_is_exact_across_threads);
    CU_add_test(s, "max_fails within fail_timeout take an endpoint out",
                max_fails_within_fail_timeout_take_an_endpoint_out);
    CU_add_test(s, "failures further apart than fail_timeout do not add up",
                failures_further_apart_than_fail_timeout_do_not_add_up);
    CU_add_test(s, "after fail_timeout one exchange at a time tries it",
                after_fail_timeout_one_exchange_at_a_time_tries_it);
    CU_add_test(s, "a success from before does not bring it up",
                a_success_from_before_does_not_bring_it_up);
    CU_add_test(s, "when all are down, one is tried all the same",
                when_all_are_down_one_is_tried_all_the_same);
    CU_add_test(s, "a group of one goes on when it fails", a_group_of_one_goes_on_when_it_fails);
    CU_add_test(s, "state survives a reload and ends with the last reference",
                state_survives_a_reload_and_ends_with_the_last_reference);
    CU_add_test(s, "indexes stay small and unique", indexes_stay_small_and_unique);
}
