/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fill_range.c - who reads a range of what grows gets that and no more, as soon as
 * it is there, and holds up nobody until then.
 */
#include "config.h"

#include "test/unit/fill_bench.h"
#include "test/unit/suites.h"

static void
read_range(unsigned i, uint64_t first, uint64_t last)
{
    fill_reader_set_range(&readers[i], first, last + 1);
    visitor_start(&visitors[i], &worker, &readers[i].source, first, UINT64_MAX, 0);
}

static bool
has_range(const struct visitor *visitor, uint64_t last)
{
    return visitor->result == PUMP_DONE && visitor->at == last + 1 && !visitor->is_wrong;
}

/* Feeds all, as fast as the fill takes it. Who has had its range leaves. */
static void
feed_slowly(uint64_t length)
{
    for (int i = 0; i < 1000 && fill_state(fill) == FILL_FLOWING; i++) {
        uint64_t to = atomic_load(&fill->published) + CHUNK_BYTES / 2;

        (void)feed(to < length ? to : length, to >= length);
        turn();
        if (readers[1].fill != NULL && visitors[1].result >= 0)
            leave(1);
    }
    CU_ASSERT_EQUAL(fill_state(fill), FILL_WHOLE);
}

static void
a_range_is_read_as_soon_as_it_is_there(void)
{
    set_up(&in_memory);
    CU_ASSERT_TRUE_FATAL(join(1));
    begin(100000, 100000);
    CU_ASSERT_EQUAL(feed(30000, false), FLOW_MORE);
    read_on(0, UINT64_MAX);
    read_range(1, 40000, 49999);
    turn();
    CU_ASSERT_EQUAL(visitors[1].at, 40000);
    CU_ASSERT_EQUAL(feed(45000, false), FLOW_MORE);
    turn();
    CU_ASSERT_EQUAL(visitors[1].at, 45000);
    CU_ASSERT_EQUAL(feed(60000, false), FLOW_MORE);
    turn();
    CU_ASSERT_TRUE(has_range(&visitors[1], 49999));
    CU_ASSERT_EQUAL(visitors[0].result, -1);
    CU_ASSERT_EQUAL(feed(100000, true), FLOW_END);
    turn();
    CU_ASSERT_TRUE(has_all(&visitors[0], 100000));
    tear_down();
}

static void
ranges_of_what_is_there_already_end_where_they_should(void)
{
    static const struct { uint64_t first, last; } ranges[] = {
        { 0, 0 }, { 0, 99999 }, { 99999, 99999 }, { CHUNK_BYTES - 1, CHUNK_BYTES }, { 5, 70000 },
    };

    set_up(&in_memory);
    begin(100000, 100000);
    CU_ASSERT_EQUAL(feed(100000, true), FLOW_END);
    for (unsigned i = 0; i < ARRAY_COUNT(ranges); i++) {
        CU_ASSERT_TRUE_FATAL(join(i + 1));
        read_range(i + 1, ranges[i].first, ranges[i].last);
        turn();
        CU_ASSERT_TRUE(has_range(&visitors[i + 1], ranges[i].last));
    }
    tear_down();
}

/* What is not stored is kept until all have read it: not for who waits further on. */
static void
who_waits_for_a_later_range_holds_up_nobody(void)
{
    uint64_t length = 40 * CHUNK_BYTES + 7, first = 30 * CHUNK_BYTES + 5;

    set_up(&in_memory);
    CU_ASSERT_TRUE_FATAL(join(1));
    begin(length, 0);
    read_on(0, UINT64_MAX);
    read_range(1, first, first + 3 * CHUNK_BYTES);
    feed_slowly(length);
    CU_ASSERT_TRUE(has_all(&visitors[0], length));
    CU_ASSERT_TRUE(has_range(&visitors[1], first + 3 * CHUNK_BYTES));
    tear_down();
}

static void
who_has_had_the_range_or_leaves_before_it_holds_up_nobody(void)
{
    uint64_t length = 40 * CHUNK_BYTES;

    set_up(&in_memory);
    CU_ASSERT_TRUE_FATAL(join(1));
    CU_ASSERT_TRUE_FATAL(join(2));
    begin(length, 0);
    read_on(0, UINT64_MAX);
    read_range(1, 10, 20);
    read_range(2, 20 * CHUNK_BYTES, 21 * CHUNK_BYTES);
    (void)feed(CHUNK_BYTES, false);
    turn();
    CU_ASSERT_TRUE(has_range(&visitors[1], 20));
    leave(1);
    leave(2);
    feed_slowly(length);
    CU_ASSERT_TRUE(has_all(&visitors[0], length));
    tear_down();
}

static void
a_range_that_is_cut_short_fails(void)
{
    static const struct failure cut = { .reason = END_UPSTREAM_FAILED, .status = 502 };

    set_up(&in_memory);
    CU_ASSERT_TRUE_FATAL(join(1));
    CU_ASSERT_TRUE_FATAL(join(2));
    begin(100000, 100000);
    (void)feed(30000, false);
    read_range(1, 20000, 29999);
    read_range(2, 20000, 30000);
    turn();
    fill_fail(fill, &cut);
    turn();
    CU_ASSERT_TRUE(has_range(&visitors[1], 29999));
    CU_ASSERT_EQUAL(visitors[2].result, PUMP_SOURCE_FAILED);
    tear_down();
}

void
suite_fill_range(void)
{
    CU_pSuite s = CU_add_suite("fill_range", NULL, NULL);

    CU_add_test(s, "a range is read as soon as it is there",
                a_range_is_read_as_soon_as_it_is_there);
    CU_add_test(s, "ranges of what is there already end where they should",
                ranges_of_what_is_there_already_end_where_they_should);
    CU_add_test(s, "who waits for a later range holds up nobody",
                who_waits_for_a_later_range_holds_up_nobody);
    CU_add_test(s, "who has had the range, or leaves before it, holds up nobody",
                who_has_had_the_range_or_leaves_before_it_holds_up_nobody);
    CU_add_test(s, "a range that is cut short fails", a_range_that_is_cut_short_fails);
}
