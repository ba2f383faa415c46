/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fill.c - an object that grows while others read it: what they see of it,
 * how it ends, and what comes of it. */
#include "config.h"

#include "test/unit/fill_bench.h"
#include "test/unit/suites.h"

static void
content_of_known_length_grows_in_its_object(void)
{
    struct object *object;

    set_up(&in_memory);
    CU_ASSERT_EQUAL(fill_state(fill), FILL_ASKING);
    begin(100000, 100000);
    CU_ASSERT_EQUAL(fill_state(fill), FILL_FLOWING);
    CU_ASSERT_FALSE(fill_is_validated(fill));
    read_on(0, UINT64_MAX);
    CU_ASSERT_EQUAL(feed(40000, false), FLOW_MORE);
    turn();
    CU_ASSERT_EQUAL(visitors[0].at, 40000);
    CU_ASSERT_EQUAL(feed(100000, true), FLOW_END);
    CU_ASSERT_EQUAL(fill_state(fill), FILL_WHOLE);
    turn();
    CU_ASSERT_TRUE(has_all(&visitors[0], 100000));
    object = fill_take_object(fill);
    CU_ASSERT_PTR_EQUAL(object, fill_object(fill));
    CU_ASSERT_TRUE(is_content(object->body, 100000, 0));
    CU_ASSERT_PTR_NULL(fill_take_object(fill));
    object_unref(object);
    tear_down();
}

/* RFC 9112 section 8: content is complete when as much came as was announced. */
static void
content_is_whole_when_all_that_was_announced_is_there(void)
{
    set_up(&in_memory);
    begin(1000, 1000);
    CU_ASSERT_EQUAL(feed(1000, false), FLOW_MORE);
    CU_ASSERT_EQUAL(fill_state(fill), FILL_WHOLE);
    leave(0); /* nobody reads any more, and nothing more is to come */
    turn();
    CU_ASSERT_EQUAL(abandoned, 0);
    CU_ASSERT_EQUAL(end(), FLOW_END);
    tear_down();
}

static void
content_of_unknown_length_becomes_one_piece(void)
{
    static const uint64_t lengths[] = { 0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 300000, 1 << 20 };

    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        uint64_t length = lengths[i];
        struct object *object;

        set_up(&in_memory);
        begin(LENGTH_UNKNOWN, 0);
        read_on(0, UINT64_MAX);
        if (length > 0)
            CU_ASSERT_EQUAL(feed(length / 2, false), FLOW_MORE);
        if (length > 0)
            CU_ASSERT_EQUAL(feed(length, i % 2), i % 2 ? FLOW_END : FLOW_MORE);
        CU_ASSERT_EQUAL(end(), FLOW_END);
        object = fill_take_object(fill);
        CU_ASSERT_PTR_NOT_NULL_FATAL(object);
        CU_ASSERT_EQUAL(object->body_bytes, length);
        CU_ASSERT_TRUE(is_content(object->body, (size_t)length, 0));
        CU_ASSERT_EQUAL(object->status, 200);
        object_unref(object);
        turn();
        CU_ASSERT_TRUE(has_all(&visitors[0], length));
        tear_down();
    }
}

static void
who_comes_late_reads_from_the_beginning(void)
{
    for (int known = 0; known < 2; known++) {
        set_up(&in_memory);
        CU_ASSERT_FALSE(fill_join(fills, HASH, KEY, true, &worker, &readers[1]));
        begin(known ? 200000 : LENGTH_UNKNOWN, known ? 200000 : 0);
        read_on(0, UINT64_MAX);
        feed(150000, false);
        turn();
        CU_ASSERT_TRUE_FATAL(fill_join(fills, HASH, KEY, true, &worker, &readers[1]));
        read_on(1, UINT64_MAX);
        CU_ASSERT_EQUAL(visitors[1].at, 150000);
        feed(200000, true);
        CU_ASSERT_TRUE_FATAL(join(2)); /* it is whole, and not in the store yet */
        read_on(2, UINT64_MAX);
        turn();
        for (unsigned i = 0; i < 3; i++)
            CU_ASSERT_TRUE(has_all(&visitors[i], 200000));
        fill_unref(fill);
        fill = NULL;
        CU_ASSERT_FALSE(join(3));
        tear_down();
    }
}

static void
a_key_has_one_fill(void)
{
    struct fill *other;

    set_up(&in_memory);
    CU_ASSERT_PTR_NULL(new_fill(&in_memory));
    other = fill_new(fills, &in_memory, HASH, SLICE("yek"), 0, &worker, &events, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(other);
    CU_ASSERT_EQUAL(fills_count(fills), 2);
    CU_ASSERT_EQUAL(fill_seq(fill), 5);
    fill_unref(other);
    tear_down();
}

/* ---- news, ends */

static unsigned news;

static void
on_news(struct fill_reader *reader)
{
    CU_ASSERT_NOT_EQUAL(fill_state(reader->fill), reader->seen);
    news++;
}

static const struct failure refused = {
    .reason = END_CONNECT_FAILED, .status = 502, .proxy_error = "connection_refused",
    .detail = "nobody listens",
};

static void
news_come_once_and_from_the_loop(void)
{
    set_up(&in_memory);
    news = 0;
    CU_ASSERT_TRUE_FATAL(join(1));
    fill_reader_wait(&readers[0], FILL_ASKING, on_news);
    fill_reader_wait(&readers[1], FILL_ASKING, on_news);
    turn();
    CU_ASSERT_EQUAL(news, 0);
    begin(10, 10);
    CU_ASSERT_EQUAL(news, 0);
    turn();
    CU_ASSERT_EQUAL(news, 2);
    fill_reader_wait(&readers[0], FILL_ASKING, on_news); /* it has changed already */
    CU_ASSERT_EQUAL(news, 2);
    turn();
    CU_ASSERT_EQUAL(news, 3);
    fill_reader_wait(&readers[0], FILL_FLOWING, on_news);
    feed(5, false); /* bytes are no news */
    turn();
    CU_ASSERT_EQUAL(news, 3);
    feed(10, true);
    turn();
    CU_ASSERT_EQUAL(news, 4);
    tear_down();
}

static void
without_a_head_it_fails_and_the_next_begins_anew(void)
{
    char detail[] = "nobody listens";
    struct failure failure = refused;
    struct fill *next;

    set_up(&in_memory);
    news = 0;
    CU_ASSERT_TRUE_FATAL(join(1));
    fill_reader_wait(&readers[1], FILL_ASKING, on_news);
    failure.detail = detail;
    fill_fail(fill, &failure);
    memset(detail, 'x', sizeof(detail) - 1); /* its exchange is gone */
    turn();
    CU_ASSERT_EQUAL(news, 1);
    CU_ASSERT_EQUAL(fill_state(fill), FILL_FAILED);
    CU_ASSERT_EQUAL(fill_failure(fill)->reason, END_CONNECT_FAILED);
    CU_ASSERT_STRING_EQUAL(fill_failure(fill)->detail, "nobody listens");
    CU_ASSERT_FALSE(join(2));
    next = new_fill(&in_memory);
    CU_ASSERT_PTR_NOT_NULL_FATAL(next);
    fill_unref(next);
    tear_down();
}

static void
content_that_was_cut_short_fails_at_its_end(void)
{
    for (int known = 0; known < 2; known++) {
        set_up(&in_memory);
        begin(known ? 200000 : LENGTH_UNKNOWN, known ? 200000 : 0);
        CU_ASSERT_TRUE_FATAL(join(1));
        read_on(0, UINT64_MAX);
        read_on(1, 1000);
        feed(150000, false);
        turn();
        if (known)
            CU_ASSERT_EQUAL(end(), FLOW_FAILED);
        fill_fail(fill, &refused);
        CU_ASSERT_FALSE(join(2));
        CU_ASSERT_PTR_NULL(fill_take_object(fill));
        turn();
        visitor_go_on(&visitors[1], UINT64_MAX);
        for (unsigned i = 0; i < 2; i++) {
            CU_ASSERT_EQUAL(visitors[i].result, PUMP_SOURCE_FAILED);
            CU_ASSERT_EQUAL(visitors[i].at, 150000);
            CU_ASSERT_FALSE(visitors[i].is_wrong);
        }
        tear_down();
    }
}

static void
more_than_was_announced_is_refused(void)
{
    set_up(&in_memory);
    begin(1000, 1000);
    CU_ASSERT_EQUAL(feed(1001, true), FLOW_FAILED);
    CU_ASSERT_EQUAL(atomic_load(&fill->published), 0);
    tear_down();
}

static void
a_private_answer_is_the_first_readers(void)
{
    struct object *object = make_object(0);
    struct piece piece;

    set_up(&in_memory);
    news = 0;
    CU_ASSERT_TRUE_FATAL(join(1));
    fill_reader_wait(&readers[0], FILL_ASKING, on_news);
    fill_reader_wait(&readers[1], FILL_ASKING, on_news);
    fill_set_private(fill, object, 150000);
    object_unref(object);
    CU_ASSERT_FALSE(join(2));
    turn();
    CU_ASSERT_EQUAL(news, 2);
    read_on(0, UINT64_MAX);
    feed(150000, true);
    turn();
    CU_ASSERT_TRUE(has_all(&visitors[0], 150000));
    /* Who looks late sees the same, and none of it. */
    CU_ASSERT_EQUAL(fill_state(fill), FILL_PRIVATE);
    CU_ASSERT_EQUAL(readers[1].source.ops->offer(&readers[1].source, 0, &piece), FLOW_FAILED);
    CU_ASSERT_PTR_NULL(fill_take_object(fill));
    tear_down();
}

static void
an_answer_that_was_there_before_is_read_at_once(void)
{
    struct object *object = make_object(70000), *taken;

    for (size_t i = 0; i < 70000; i++)
        object->body[i] = content_byte(i);
    set_up(&in_memory);
    news = 0;
    fill_reader_wait(&readers[0], FILL_ASKING, on_news);
    fill_set_whole(fill, object);
    turn();
    CU_ASSERT_EQUAL(news, 1);
    CU_ASSERT_PTR_EQUAL(fill_object(fill), object);
    CU_ASSERT_TRUE(fill_is_validated(fill));
    CU_ASSERT_EQUAL(fill_length(fill), 70000);
    CU_ASSERT_EQUAL(fill_published(fill), 70000);
    read_on(0, UINT64_MAX);
    CU_ASSERT_TRUE(has_all(&visitors[0], 70000));
    taken = fill_take_object(fill);
    CU_ASSERT_PTR_EQUAL(taken, object);
    object_unref(taken);
    object_unref(object);
    tear_down();
}

/* ---- nobody reads */

static void
the_last_reader_to_leave_ends_the_fetch(void)
{
    set_up(&in_memory);
    CU_ASSERT_TRUE_FATAL(join(1));
    leave(0);
    turn();
    CU_ASSERT_EQUAL(abandoned, 0);
    leave(1);
    CU_ASSERT_EQUAL(abandoned, 0);
    turn();
    CU_ASSERT_EQUAL(abandoned, 1);
    CU_ASSERT_FALSE(join(2)); /* it has ended: nobody joins it */
    fill_forget(fills, HASH, KEY);
    bell_ring(&fill->fetch, NULL); /* and it is told once */
    turn();
    CU_ASSERT_EQUAL(abandoned, 1);
    tear_down();
}

static void
who_joins_in_time_saves_it(void)
{
    set_up(&in_memory);
    leave(0);
    CU_ASSERT_TRUE_FATAL(join(1));
    turn();
    CU_ASSERT_EQUAL(abandoned, 0);
    tear_down();
}

static void
one_that_outlives_its_readers_goes_on(void)
{
    struct fill_conf conf = in_memory;
    struct object *object;

    conf.outlives_readers = true;
    set_up(&conf);
    begin(LENGTH_UNKNOWN, 0);
    leave(0);
    feed(500000, true);
    turn();
    CU_ASSERT_EQUAL(abandoned, 0);
    object = fill_take_object(fill);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    object_unref(object);
    tear_down();

    set_up(&conf); /* unless it is for nothing */
    begin(LENGTH_UNKNOWN, 0);
    leave(0);
    feed(2 << 20, false);
    turn();
    CU_ASSERT_EQUAL(abandoned, 1);
    tear_down();
}

static void
what_was_forgotten_is_not_stored(void)
{
    struct object *object;

    set_up(&in_memory);
    begin(1000, 1000);
    fill_forget(fills, HASH, SLICE("other"));
    CU_ASSERT_TRUE_FATAL(join(1));
    fill_forget(fills, HASH, KEY);
    CU_ASSERT_FALSE(join(2));
    read_on(0, UINT64_MAX);
    feed(1000, true);
    turn();
    CU_ASSERT_TRUE(has_all(&visitors[0], 1000)); /* who reads it has it */
    CU_ASSERT_PTR_NULL(fill_take_object(fill));
    tear_down();

    set_up(&in_memory); /* nor while it is on its way to the store */
    begin(1000, 1000);
    feed(1000, true);
    object = fill_take_object(fill);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    CU_ASSERT_FALSE(atomic_load(&object->is_gone));
    fill_forget(fills, HASH, KEY);
    CU_ASSERT_TRUE(atomic_load(&object->is_gone));
    object_unref(object);
    tear_down();
}

void
suite_fill(void)
{
    CU_pSuite s = CU_add_suite("fill", NULL, NULL);

    CU_add_test(s, "content of known length grows in its object",
                content_of_known_length_grows_in_its_object);
    CU_add_test(s, "content is whole when all that was announced is there",
                content_is_whole_when_all_that_was_announced_is_there);
    CU_add_test(s, "content of unknown length becomes one piece",
                content_of_unknown_length_becomes_one_piece);
    CU_add_test(s, "who comes late reads from the beginning",
                who_comes_late_reads_from_the_beginning);
    CU_add_test(s, "a key has one fill", a_key_has_one_fill);
    CU_add_test(s, "news come once and from the loop", news_come_once_and_from_the_loop);
    CU_add_test(s, "without a head it fails and the next begins anew",
                without_a_head_it_fails_and_the_next_begins_anew);
    CU_add_test(s, "content that was cut short fails at its end",
                content_that_was_cut_short_fails_at_its_end);
    CU_add_test(s, "more than was announced is refused", more_than_was_announced_is_refused);
    CU_add_test(s, "a private answer is the first reader's", a_private_answer_is_the_first_readers);
    CU_add_test(s, "an answer that was there before is read at once",
                an_answer_that_was_there_before_is_read_at_once);
    CU_add_test(s, "the last reader to leave ends the fetch",
                the_last_reader_to_leave_ends_the_fetch);
    CU_add_test(s, "who joins in time saves it", who_joins_in_time_saves_it);
    CU_add_test(s, "one that outlives its readers goes on", one_that_outlives_its_readers_goes_on);
    CU_add_test(s, "what was forgotten is not stored", what_was_forgotten_is_not_stored);
}
