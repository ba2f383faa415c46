/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fair_share.c - flows of one key take turns at a rate; time is made up. */
#include "config.h"

#include "server/policy/fair_share.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <pthread.h>
#include <stdlib.h>

#define FLOWS 8
#define SECOND_NS UINT64_C(1000000000)
#define RATE 1000000
#define BURST 20000

static const struct fair_rate rate = { RATE, BURST };
static struct fair_share *table;
static uint64_t now_ns;

static struct fair_share *
adopt(const char *identity, uint64_t max_keys)
{
    struct err err;
    struct fair_share *share = fair_share_adopt(identity, max_keys, &err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(share);
    return share;
}

static void
begin(void)
{
    now_ns = 5 * SECOND_NS;
    table = adopt("test", 100);
}

static void
end(void)
{
    fair_share_unref(table);
}

/* Flows that always have something to send, so many bytes at a time. */
struct load {
    struct fair_flow flows[FLOWS];
    uint64_t due_ns[FLOWS], sent[FLOWS], quanta[FLOWS];
    bool is_quick[FLOWS];
    unsigned count;
};

static struct load *
load_begin(unsigned count, uint64_t key, uint64_t bytes)
{
    struct load *load = calloc(1, sizeof(*load));

    CU_ASSERT_PTR_NOT_NULL_FATAL(load);
    load->count = count;
    for (unsigned i = 0; i < count; i++) {
        CU_ASSERT_TRUE(fair_flow_begin(&load->flows[i], table, key, now_ns));
        load->quanta[i] = bytes;
    }
    return load;
}

static void
load_end(struct load *load)
{
    for (unsigned i = 0; i < load->count; i++)
        fair_flow_end(&load->flows[i]);
    free(load);
}

static void
step(struct load *load, unsigned i)
{
    uint64_t wait_ns = 0;

    while (load->due_ns[i] <= now_ns) {
        wait_ns = fair_flow_ask(&load->flows[i], &rate, load->quanta[i], load->is_quick[i], now_ns);
        if (wait_ns == 0)
            load->sent[i] += load->quanta[i];
        else
            load->due_ns[i] = now_ns + wait_ns;
    }
}

/* Whoever is asked first in a turn is another one each time. */
static void
load_run(struct load *load, uint64_t ns)
{
    for (uint64_t turn = 0, until = now_ns + ns; now_ns < until; now_ns += 1000000, turn++)
        for (unsigned i = 0; i < load->count; i++)
            step(load, (unsigned)((turn + i) % load->count));
}

static uint64_t
total(const struct load *load)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < load->count; i++)
        bytes += load->sent[i];
    return bytes;
}

static bool
is_near(uint64_t found, uint64_t wanted)
{
    return found * 100 >= wanted * 90 && found * 100 <= wanted * 110;
}

/* ---- promises */

static void
flows_get_equal_parts_and_the_rate_together(void)
{
    struct load *load;

    begin();
    load = load_begin(4, 7, 5000);
    load_run(load, 2 * SECOND_NS);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_TRUE(is_near(load->sent[i], 2 * RATE / 4));
    CU_ASSERT_TRUE(total(load) <= 2 * RATE + BURST);
    CU_ASSERT_TRUE(total(load) >= 2 * RATE * 95 / 100);
    load_end(load);
    end();
}

static void
weight_is_bytes_at_a_time(void)
{
    struct load *load;

    begin();
    load = load_begin(3, 7, 4000);
    load->quanta[0] = 12000;
    load_run(load, 2 * SECOND_NS);
    CU_ASSERT_TRUE(is_near(load->sent[0], 2 * RATE * 3 / 5));
    CU_ASSERT_TRUE(is_near(load->sent[1], 2 * RATE / 5));
    load_end(load);
    end();
}

static void
a_flow_that_ends_leaves_its_part_to_the_others(void)
{
    struct load *load;

    begin();
    load = load_begin(2, 7, 5000);
    load_run(load, SECOND_NS);
    fair_flow_end(&load->flows[1]);
    load->count = 1;
    load->sent[0] = 0;
    load_run(load, SECOND_NS);
    CU_ASSERT_TRUE(is_near(load->sent[0], RATE));
    load_end(load);
    end();
}

static void
keys_have_a_rate_each(void)
{
    struct load *a, *b;

    begin();
    a = load_begin(1, 7, 5000);
    b = load_begin(2, UINT64_C(7) << 40, 5000);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t at = now_ns;

        load_run(a, 1000000);
        now_ns = at;
        load_run(b, 1000000);
    }
    CU_ASSERT_TRUE(is_near(total(a), RATE) && is_near(total(b), RATE));
    load_end(a);
    load_end(b);
    end();
}

static void
after_a_pause_no_more_than_a_burst_passes_at_once(void)
{
    struct fair_flow flow;
    uint64_t passed = 0;

    begin();
    fair_flow_begin(&flow, table, 7, now_ns);
    CU_ASSERT_EQUAL(fair_flow_ask(&flow, &rate, 1000, false, now_ns), 0);
    now_ns += 100 * SECOND_NS;
    while (fair_flow_ask(&flow, &rate, 1000, false, now_ns) == 0)
        passed += 1000;
    CU_ASSERT_EQUAL(passed, BURST);
    fair_flow_end(&flow);
    end();
}

static void
what_is_returned_passes_for_others_at_once(void)
{
    struct fair_flow a, b;

    begin();
    fair_flow_begin(&a, table, 7, now_ns);
    fair_flow_begin(&b, table, 7, now_ns);
    CU_ASSERT_EQUAL(fair_flow_ask(&a, &rate, BURST, false, now_ns), 0);
    CU_ASSERT_TRUE(fair_flow_ask(&b, &rate, 5000, false, now_ns) > 0);
    fair_flow_return(&a, 5000);
    CU_ASSERT_EQUAL(fair_flow_ask(&b, &rate, 5000, false, now_ns), 0);
    fair_flow_end(&a);
    fair_flow_end(&b);
    end();
}

/* A flow that waits and goes away holds up nobody behind it. */
static void
who_gives_up_leaves_its_turn(void)
{
    struct fair_flow a, b, c;

    begin();
    fair_flow_begin(&a, table, 7, now_ns);
    fair_flow_begin(&b, table, 7, now_ns);
    fair_flow_begin(&c, table, 7, now_ns);
    CU_ASSERT_EQUAL(fair_flow_ask(&a, &rate, BURST, false, now_ns), 0);
    CU_ASSERT_TRUE(fair_flow_ask(&b, &rate, RATE, false, now_ns) > 0); /* for a second */
    CU_ASSERT_TRUE(fair_flow_ask(&c, &rate, 1000, false, now_ns) > SECOND_NS);
    fair_flow_end(&b);
    now_ns += SECOND_NS / 500;
    CU_ASSERT_EQUAL(fair_flow_ask(&c, &rate, 1000, false, now_ns), 0);
    fair_flow_end(&a);
    fair_flow_end(&c);
    end();
}

static void
quick_content_goes_before_bulk(void)
{
    struct load *load;
    struct fair_flow quick;
    uint64_t wait_ns;

    begin();
    load = load_begin(FLOWS, 7, 20000); /* a round of them takes 160 ms */
    load_run(load, SECOND_NS);
    fair_flow_begin(&quick, table, 7, now_ns);
    wait_ns = fair_flow_ask(&quick, &rate, 4000, true, now_ns);
    CU_ASSERT_TRUE(wait_ns < SECOND_NS / 20);
    now_ns += wait_ns;
    CU_ASSERT_EQUAL(fair_flow_ask(&quick, &rate, 4000, true, now_ns), 0);
    fair_flow_end(&quick);
    load_end(load);
    end();
}

static void
bulk_keeps_a_quarter_whatever_is_quick(void)
{
    struct load *load;

    begin();
    load = load_begin(4, 7, 5000);
    load->is_quick[0] = load->is_quick[1] = load->is_quick[2] = true;
    load_run(load, 4 * SECOND_NS);
    CU_ASSERT_TRUE(is_near(load->sent[3], RATE));
    CU_ASSERT_TRUE(is_near(total(load), 4 * RATE));
    load_end(load);
    end();
}

static void
a_full_table_lets_the_rest_share_one_rate(void)
{
    struct fair_flow flows[32];
    unsigned crowded = 0;
    uint64_t passed = 0;

    begin();
    fair_share_unref(table);
    table = adopt("small", 6);
    for (unsigned i = 0; i < 32; i++)
        crowded += !fair_flow_begin(&flows[i], table, i + 1, now_ns);
    CU_ASSERT_EQUAL(crowded, 24);
    for (unsigned i = 8; i < 32; i++)
        while (fair_flow_ask(&flows[i], &rate, 1000, false, now_ns) == 0)
            passed += 1000;
    CU_ASSERT_EQUAL(passed, BURST);
    for (unsigned i = 0; i < 32; i++)
        fair_flow_end(&flows[i]);
    CU_ASSERT_TRUE(fair_flow_begin(&flows[0], table, 1000, now_ns)); /* there is room again */
    fair_flow_end(&flows[0]);
    end();
}

static void *
hurry(void *arg)
{
    uint64_t *passed = arg;
    struct fair_flow flow;

    for (unsigned i = 0; i < 2000; i++) {
        fair_flow_begin(&flow, table, 7, now_ns);
        if (fair_flow_ask(&flow, &rate, 10, i % 2 == 0, now_ns) == 0)
            *passed += 10;
        fair_flow_end(&flow);
    }
    return NULL;
}

static void
threads_share_a_clock(void)
{
    pthread_t threads[4];
    uint64_t passed[4] = { 0 };

    begin();
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, hurry, &passed[i]), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(passed[0] + passed[1] + passed[2] + passed[3], BURST);
    end();
}

void
suite_fair_share(void)
{
    CU_pSuite s = CU_add_suite("fair_share", NULL, NULL);

    CU_add_test(s, "flows get equal parts, and the rate together",
                flows_get_equal_parts_and_the_rate_together);
    CU_add_test(s, "weight is bytes at a time", weight_is_bytes_at_a_time);
    CU_add_test(s, "a flow that ends leaves its part to the others",
                a_flow_that_ends_leaves_its_part_to_the_others);
    CU_add_test(s, "keys have a rate each", keys_have_a_rate_each);
    CU_add_test(s, "after a pause no more than a burst passes at once",
                after_a_pause_no_more_than_a_burst_passes_at_once);
    CU_add_test(s, "what is returned passes for others at once",
                what_is_returned_passes_for_others_at_once);
    CU_add_test(s, "who gives up leaves its turn", who_gives_up_leaves_its_turn);
    CU_add_test(s, "quick content goes before bulk", quick_content_goes_before_bulk);
    CU_add_test(s, "bulk keeps a quarter, whatever is quick",
                bulk_keeps_a_quarter_whatever_is_quick);
    CU_add_test(s, "a full table lets the rest share one rate",
                a_full_table_lets_the_rest_share_one_rate);
    CU_add_test(s, "threads share a clock", threads_share_a_clock);
}
