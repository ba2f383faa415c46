/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fill_flow.c - a fill that is read at different speeds: who waits for whom,
 * what is woken, and what is read from where. */
#include "config.h"

#include "test/unit/fill_bench.h"
#include "test/unit/suites.h"

static void
what_is_not_stored_waits_for_the_slowest(void)
{
    uint64_t length = 40 * CHUNK_BYTES, fed = 0;

    set_up(&in_memory);
    CU_ASSERT_TRUE_FATAL(join(1));
    begin(length, 0);
    CU_ASSERT_FALSE(join(2)); /* nothing is kept for it */
    read_on(0, UINT64_MAX);
    read_on(1, CHUNK_BYTES / 2);
    CU_ASSERT_EQUAL(feed(length, true), FLOW_WAIT);
    fed = atomic_load(&fill->published);
    CU_ASSERT_EQUAL(fed, WINDOW_BYTES);
    turn();
    CU_ASSERT_EQUAL(visitors[0].at, fed);
    CU_ASSERT_EQUAL(visitors[1].at, CHUNK_BYTES / 2);
    CU_ASSERT_EQUAL(feed(length, true), FLOW_WAIT);
    CU_ASSERT_EQUAL(atomic_load(&fill->published), fed);
    visitor_go_on(&visitors[1], 2 * CHUNK_BYTES); /* it reads the third now */
    CU_ASSERT_EQUAL(feed(length, true), FLOW_WAIT);
    CU_ASSERT_EQUAL(atomic_load(&fill->published), fed + 2 * CHUNK_BYTES);
    leave(1); /* and waits for nobody who is gone */
    for (int i = 0; i < 20 && fill_state(fill) != FILL_WHOLE; i++) {
        feed(length, true);
        CU_ASSERT_TRUE(chunk_window_count(&fill->window) <= WINDOW_BYTES / CHUNK_BYTES);
        turn();
    }
    CU_ASSERT_TRUE(has_all(&visitors[0], length));
    CU_ASSERT_PTR_NULL(fill_take_object(fill));
    tear_down();
}

/* A fetch that waits for room is told when there is some. */
struct endless {
    struct source source;
    uint64_t at, end;
    char *data;
};

static enum flow
offer_endless(struct source *source, unsigned forms, struct piece *piece)
{
    struct endless *endless = container_of(source, struct endless, source);
    uint64_t left = endless->end - endless->at;

    (void)forms;
    if (left == 0)
        return FLOW_END;
    piece->form = FORM_SLICES;
    piece->bytes = left < 30000 ? (size_t)left : 30000;
    piece->count = 1;
    piece->is_last = false;
    piece->iov[0] = (struct iovec){ endless->data + endless->at, piece->bytes };
    return FLOW_MORE;
}

static void
take_endless(struct source *source, size_t bytes)
{
    container_of(source, struct endless, source)->at += bytes;
}

static const struct source_ops endless_ops = { .offer = offer_endless, .take = take_endless };

static int fetch_result;

static void
on_fetched(struct pump *pump, enum pump_result result)
{
    (void)pump;
    fetch_result = (int)result;
}

static void
fetch(struct endless *from, struct pump *pump, uint64_t length)
{
    *from = (struct endless){ .source = { .ops = &endless_ops }, .end = length,
                              .data = make_content(0, (size_t)length) };
    fetch_result = -1;
    pump_start(pump, worker.loop, &from->source, fill_sink(fill), on_fetched);
}

static void
a_fetch_that_waits_is_woken(void)
{
    uint64_t length = 40 * CHUNK_BYTES + 7;
    struct endless from;
    struct pump pump;

    set_up(&in_memory);
    CU_ASSERT_TRUE_FATAL(join(1));
    begin(LENGTH_UNKNOWN, 0);
    read_on(0, UINT64_MAX);
    read_on(1, 0);
    fetch(&from, &pump, length);
    for (int i = 0; i < 20; i++)
        turn();
    CU_ASSERT_TRUE(atomic_load(&fill->published) >= in_memory.memory_bytes);
    CU_ASSERT_TRUE(atomic_load(&fill->published) < in_memory.memory_bytes + 2 * CHUNK_BYTES);
    CU_ASSERT_FALSE(join(2));
    for (int i = 0; i < 400 && visitors[1].result < 0; i++) {
        visitor_go_on(&visitors[1], 10000);
        turn();
    }
    CU_ASSERT_EQUAL(fetch_result, PUMP_DONE);
    CU_ASSERT_TRUE(has_all(&visitors[0], length));
    CU_ASSERT_TRUE(has_all(&visitors[1], length));
    free(from.data);
    tear_down();
}

static void
who_stalls_holds_up_nobody_while_content_is_stored(void)
{
    set_up(&in_memory);
    CU_ASSERT_TRUE_FATAL(join(1));
    begin(LENGTH_UNKNOWN, 0);
    read_on(0, UINT64_MAX);
    read_on(1, 10);
    CU_ASSERT_EQUAL(feed(1000000, true), FLOW_END);
    turn();
    CU_ASSERT_TRUE(has_all(&visitors[0], 1000000));
    CU_ASSERT_EQUAL(visitors[1].at, 10);
    visitor_go_on(&visitors[1], UINT64_MAX);
    turn();
    CU_ASSERT_TRUE(has_all(&visitors[1], 1000000));
    tear_down();
}

/* One wake-up for all of a thread's readers, and none when nobody waits. */
static void
readers_of_a_thread_are_woken_together(void)
{
    unsigned before;

    set_up(&in_memory);
    for (unsigned i = 1; i < 8; i++)
        CU_ASSERT_TRUE_FATAL(join(i));
    begin(1000, 1000);
    before = atomic_load(&fill->references);
    feed(100, false);
    CU_ASSERT_EQUAL(atomic_load(&fill->references), before); /* nobody waits */
    for (unsigned i = 0; i < 8; i++)
        read_on(i, UINT64_MAX);
    for (unsigned i = 2; i < 9; i++) {
        feed(i * 100, false);
        CU_ASSERT_EQUAL(atomic_load(&fill->references), before + 1); /* the bell's */
    }
    turn();
    CU_ASSERT_EQUAL(atomic_load(&fill->references), before);
    for (unsigned i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(visitors[i].at, 800);
        CU_ASSERT_EQUAL(visitors[i].puts, 2);
    }
    tear_down();
}

/* ---- ranges */

static void
a_range_ends_before_the_content_does(void)
{
    for (int known = 0; known < 2; known++) {
        set_up(&in_memory);
        CU_ASSERT_TRUE_FATAL(join(1) && join(2));
        begin(300000, known ? 300000 : 0);
        fill_reader_set_range(&readers[0], 5, 100000);
        fill_reader_set_range(&readers[1], 150000, 150001);
        fill_reader_set_range(&readers[2], 200000, 300000);
        for (unsigned i = 0; i < 3; i++)
            visitor_start(&visitors[i], &worker, &readers[i].source, readers[i].at, UINT64_MAX, 0);
        feed(120000, false);
        turn();
        CU_ASSERT_TRUE(has_all(&visitors[0], 100000));
        CU_ASSERT_EQUAL(visitors[1].puts + visitors[2].puts, 0);
        feed(250000, false);
        turn();
        CU_ASSERT_TRUE(has_all(&visitors[1], 150001));
        CU_ASSERT_EQUAL(visitors[2].at, 250000);
        feed(300000, true);
        turn();
        CU_ASSERT_TRUE(has_all(&visitors[2], 300000));
        tear_down();
    }
}

/* What lies before its range is not kept for it. */
static void
a_range_that_is_far_away_holds_nothing_back(void)
{
    uint64_t length = 30 * CHUNK_BYTES;

    set_up(&in_memory);
    begin(length, 0);
    fill_reader_set_range(&readers[0], length - 10, length);
    visitor_start(&visitors[0], &worker, &readers[0].source, length - 10, UINT64_MAX, 0);
    for (int i = 0; i < 50 && fill_state(fill) != FILL_WHOLE; i++) {
        feed(length, true);
        turn();
    }
    CU_ASSERT_TRUE(has_all(&visitors[0], length));
    CU_ASSERT_TRUE(visitors[0].puts <= 2);
    tear_down();
}

/* ---- with a disk */

static struct disk_bench disk;

static void
wait_for_disk(uint64_t bytes)
{
    for (int i = 0; i < 1000 && fill->write != NULL && disk_write_written(fill->write) < bytes; i++)
        loop_turn(worker.loop, 10);
}

/* Feeds up to there, as room comes. */
static void
feed_slowly(uint64_t end_at, bool is_last)
{
    for (int i = 0; i < 5000 && atomic_load(&fill->published) < end_at; i++) {
        uint64_t to = atomic_load(&fill->published) + 100000;

        feed(to < end_at ? to : end_at, is_last && to >= end_at);
        loop_turn(worker.loop, 1);
    }
    CU_ASSERT_EQUAL(atomic_load(&fill->published), end_at);
    CU_ASSERT_EQUAL(fill_state(fill), is_last ? FILL_WHOLE : FILL_FLOWING);
}

static void
run_until_done(unsigned i)
{
    for (int turns = 0; turns < 1000 && visitors[i].result < 0; turns++)
        loop_turn(worker.loop, 10);
}

static void
laggards_read_from_disk(void)
{
    const uint64_t length = 3000001;

    for (int known = 0; known < 2; known++) {
        for (int verify = 0; verify < 2; verify++) {
            struct fill_conf conf = in_memory;
            struct object *object;

            disk_set_up(&disk, 64u << 20, verify ? DISK_VERIFY_ALWAYS : DISK_VERIFY_ONCE);
            conf.disk = disk.disk;
            conf.object_bytes = length;
            set_up(&conf);
            CU_ASSERT_TRUE_FATAL(join(1) && join(2));
            begin(known ? length : LENGTH_UNKNOWN, 0);
            read_on(0, UINT64_MAX);
            read_on(1, 1000);
            visitor_start(&visitors[2], &worker, &readers[2].source, 0, 0, FORM_FILE);
            feed_slowly(2000000, false);
            wait_for_disk(2000000 / CHUNK_BYTES * CHUNK_BYTES);
            turn();
            CU_ASSERT_TRUE(chunk_window_count(&fill->window) <= WINDOW_BYTES / CHUNK_BYTES + 1);
            CU_ASSERT_TRUE_FATAL(join(3));
            read_on(3, UINT64_MAX); /* its beginning is on disk only */
            visitor_go_on(&visitors[2], UINT64_MAX);
            feed_slowly(length, true);
            object = fill_take_object(fill);
            CU_ASSERT_PTR_NOT_NULL_FATAL(object);
            CU_ASSERT_PTR_NOT_NULL(atomic_load(&object->on_disk));
            CU_ASSERT_EQUAL(object->body_bytes, length);
            visitor_go_on(&visitors[1], UINT64_MAX);
            for (unsigned i = 0; i < 4; i++) {
                run_until_done(i);
                CU_ASSERT_TRUE(has_all(&visitors[i], length));
            }
            CU_ASSERT_TRUE(verify || visitors[2].files > 0);
            CU_ASSERT_TRUE(visitors[1].files == 0 && visitors[3].files == 0);
            object_unref(object);
            tear_down();
            disk_tear_down(&disk);
        }
    }
}

/* Nobody reads, so nothing else wakes it. */
static void
a_fetch_that_waits_for_the_disk_is_woken(void)
{
    const uint64_t length = 4000000;
    struct fill_conf conf = in_memory;
    struct object *object;
    struct endless from;
    struct pump pump;

    disk_set_up(&disk, 64u << 20, DISK_VERIFY_ONCE);
    conf.disk = disk.disk;
    conf.object_bytes = length;
    set_up(&conf);
    begin(length, 0);
    fetch(&from, &pump, length);
    CU_ASSERT_TRUE(atomic_load(&fill->published) < length);
    for (int i = 0; i < 1000 && fetch_result < 0; i++)
        loop_turn(worker.loop, 10);
    CU_ASSERT_EQUAL(fetch_result, PUMP_DONE);
    object = fill_take_object(fill);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    object_unref(object);
    free(from.data);
    tear_down();
    disk_tear_down(&disk);
}

static void
short_content_stays_in_memory_though_there_is_a_disk(void)
{
    struct fill_conf conf = in_memory;
    struct object *object;

    disk_set_up(&disk, 64u << 20, DISK_VERIFY_ONCE);
    conf.disk = disk.disk;
    set_up(&conf);
    begin(LENGTH_UNKNOWN, 0);
    feed_slowly(1000, true);
    object = fill_take_object(fill);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    CU_ASSERT_TRUE(is_content(object->body, 1000, 0));
    object_unref(object);
    tear_down();
    disk_tear_down(&disk);
}

/* What cannot be stored is passed on all the same. */
static void
a_disk_that_takes_no_more_fails_nobody(void)
{
    for (int too_long = 0; too_long < 2; too_long++) {
        const uint64_t length = 6000000;
        struct fill_conf conf = in_memory;

        disk_set_up(&disk, too_long ? 64u << 20 : 3 * CHUNK_BYTES, DISK_VERIFY_ONCE);
        conf.disk = disk.disk;
        conf.object_bytes = too_long ? 2u << 20 : 64u << 20;
        set_up(&conf);
        CU_ASSERT_TRUE_FATAL(join(1));
        begin(LENGTH_UNKNOWN, 0);
        read_on(0, UINT64_MAX);
        read_on(1, 100);
        feed(1000000, false);
        visitor_go_on(&visitors[1], 1000000);
        feed(1500000, false); /* at once: more than such a queue takes */
        visitor_go_on(&visitors[1], UINT64_MAX);
        feed_slowly(length, true);
        CU_ASSERT_PTR_NULL(fill_take_object(fill));
        for (unsigned i = 0; i < 2; i++) {
            run_until_done(i);
            CU_ASSERT_TRUE(has_all(&visitors[i], length));
        }
        tear_down();
        disk_tear_down(&disk);
    }
}

void
suite_fill_flow(void)
{
    CU_pSuite s = CU_add_suite("fill_flow", NULL, NULL);

    CU_add_test(s, "what is not stored waits for the slowest",
                what_is_not_stored_waits_for_the_slowest);
    CU_add_test(s, "a fetch that waits is woken", a_fetch_that_waits_is_woken);
    CU_add_test(s, "who stalls holds up nobody while content is stored",
                who_stalls_holds_up_nobody_while_content_is_stored);
    CU_add_test(s, "readers of a thread are woken together",
                readers_of_a_thread_are_woken_together);
    CU_add_test(s, "a range ends before the content does", a_range_ends_before_the_content_does);
    CU_add_test(s, "a range that is far away holds nothing back",
                a_range_that_is_far_away_holds_nothing_back);
    CU_add_test(s, "laggards read from disk", laggards_read_from_disk);
    CU_add_test(s, "short content stays in memory though there is a disk",
                short_content_stays_in_memory_though_there_is_a_disk);
    CU_add_test(s, "a disk that takes no more fails nobody",
                a_disk_that_takes_no_more_fails_nobody);
    CU_add_test(s, "a fetch that waits for the disk is woken",
                a_fetch_that_waits_for_the_disk_is_woken);
}
