/* SPDX-License-Identifier: BSD-2-Clause */
/* test_hold.c - promises of filters/hold.h. */
#include "config.h"

#include "filters/hold.h"

#include "test/unit/content_fixture.h"
#include "test/unit/suites.h"

static unsigned resumes, cuts, interims;
static struct hold hold;
static char text[100000];

static void
on_resume(struct exchange *ex)
{
    (void)ex;
    resumes++;
}

static void
on_request_cut(struct exchange *ex, enum end_reason reason)
{
    (void)ex;
    CU_ASSERT_EQUAL(reason, END_CLIENT_ABORT);
    cuts++;
}

static const struct road_ops road = { .on_resume = on_resume, .on_request_cut = on_request_cut };

static void
count_interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    (void)ex;
    CU_ASSERT_EQUAL(status, 100);
    CU_ASSERT_EQUAL(fields->count, 0);
    interims++;
}

static const struct downstream_ops down_ops = { .interim = count_interim };
static struct downstream down = { .ops = &down_ops };

static void
begin(size_t bytes, size_t step)
{
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i * 7 % 26);
    content_begin();
    hold = (struct hold){ 0 };
    resumes = cuts = interims = 0;
    content.ex.road = &road;
    content.ex.down = &down;
    content.ex.response.body = content.ex.request.body = &content.source;
    content_script(text, bytes, step);
}

/* As a head hook that is called again does. */
static void
hold_all(bool (*ask)(struct hold *, struct exchange *, size_t), size_t max_bytes)
{
    for (unsigned i = 0; i < 200000 && !ask(&hold, &content.ex, max_bytes) && cuts == 0; i++)
        loop_turn(content.worker.loop, 0);
}

static size_t
length_of_chunks(void)
{
    size_t bytes = 0;

    for (const struct hold_chunk *c = hold_next(&hold, NULL); c != NULL; c = hold_next(&hold, c)) {
        CU_ASSERT_EQUAL(memcmp(c->data, text + bytes, c->bytes), 0);
        bytes += c->bytes;
    }
    return bytes;
}

static void
all_of_it_or_its_beginning_is_held_and_then_given_on(void)
{
    static const struct { size_t bytes, step, max, room; enum hold_state state; } rows[] = {
        { 0, 1, 100, 0, HOLD_WHOLE },           { 1, 1, 1, 1, HOLD_WHOLE },
        { 100, 1, 100, 7, HOLD_WHOLE },         { 101, 1, 100, 0, HOLD_PART },
        { 5000, 100, 4096, 333, HOLD_PART },    { 100000, 100000, 100000, 0, HOLD_WHOLE },
        { 100000, 999, 50000, 5, HOLD_PART },   { 100000, 16384, 100, 0, HOLD_PART },
        { 40000, 1, 39999, 0, HOLD_PART },
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (unsigned says_last = 0; says_last < 2; says_last++) {
            size_t held = rows[i].bytes > rows[i].max ? rows[i].max + 1 : rows[i].bytes;

            begin(rows[i].bytes, rows[i].step);
            content.says_last = says_last;
            hold_all(hold_response, rows[i].max);
            CU_ASSERT_EQUAL(hold.state, rows[i].state);
            CU_ASSERT_EQUAL(hold.bytes, held);
            CU_ASSERT_EQUAL(length_of_chunks(), held);
            CU_ASSERT(hold_total_bytes() >= held);
            if (held >= 100)
                CU_ASSERT(hold_start(&hold).bytes >= (held < 4096 ? held : 4096));
            content_run(hold_source(&hold), rows[i].room);
            CU_ASSERT_TRUE(content_is(text, rows[i].bytes));
            content_finish();
            CU_ASSERT_EQUAL(hold_total_bytes(), 0);
        }
}

/* The step that asked goes on by itself: resumed, it would be taken twice. */
static void
who_need_not_wait_is_not_called_back(void)
{
    begin(500, 100);
    content.waits = false;
    CU_ASSERT_TRUE(hold_response(&hold, &content.ex, 1000));
    CU_ASSERT_EQUAL(hold.state, HOLD_WHOLE);
    CU_ASSERT_EQUAL(resumes, 0);
    content_finish();

    begin(500, 100);
    hold_all(hold_response, 1000);
    CU_ASSERT_EQUAL(resumes, 1);
    content_finish();

    begin(500, 100);
    content.waits = false;
    CU_ASSERT_TRUE(hold_request(&hold, &content.ex, 1000));
    CU_ASSERT_EQUAL(resumes, 0);
    content_finish();
}

static void
what_is_given_up_is_not_counted_any_more(void)
{
    begin(100000, 1000);
    hold_all(hold_response, 100000);
    CU_ASSERT(hold_total_bytes() >= 100000);
    content_finish();
    CU_ASSERT_EQUAL(hold_total_bytes(), 0);
}

static void
nothing_is_held_beyond_what_the_process_may_hold(void)
{
    begin(100000, 1000);
    content.snapshot.conf.held_bytes = 50000;
    hold_all(hold_response, 100000);
    CU_ASSERT_EQUAL(hold.state, HOLD_REFUSED);
    CU_ASSERT(hold_total_bytes() <= 50000);
    content_run(hold_source(&hold), 0); /* a filter may let it pass */
    CU_ASSERT_TRUE(content_is(text, 100000));
    content_finish();
    CU_ASSERT_EQUAL(hold_total_bytes(), 0);
}

static void
a_response_that_is_cut_short_has_failed(void)
{
    begin(500, 100);
    content.cuts = true;
    hold_all(hold_response, 1000);
    CU_ASSERT_EQUAL(hold.state, HOLD_FAILED);
    content_finish();
}

static void
a_request_that_is_cut_short_ends_and_goes_no_further(void)
{
    begin(500, 100);
    content.cuts = true;
    hold_all(hold_request, 1000);
    CU_ASSERT_EQUAL(cuts, 1);
    CU_ASSERT_FALSE(hold_request(&hold, &content.ex, 1000));
    content_finish();
}

static void
who_waits_for_100_is_told_to_go_on(void)
{
    begin(500, 100);
    content.ex.request.expects_continue = true;
    fields_add(&content.ex.request.fields, &content.ex.arena, FIELD_EXPECT,
               SLICE("100-continue"));
    hold_all(hold_request, 1000);
    CU_ASSERT_EQUAL(hold.state, HOLD_WHOLE);
    CU_ASSERT_EQUAL(interims, 1);
    CU_ASSERT_FALSE(content.ex.request.expects_continue);
    CU_ASSERT_FALSE(fields_has(&content.ex.request.fields, FIELD_EXPECT));
    CU_ASSERT_EQUAL(content.ex.request_pump.moved_bytes, 0);
    content_finish();
}

static void
trailers_of_held_content_pass(void)
{
    static const struct fields trailers;

    begin(100, 10);
    content.trailers = &trailers;
    hold_all(hold_response, 1000);
    CU_ASSERT_PTR_EQUAL(hold.trailers, &trailers);
    content_run(hold_source(&hold), 0);
    CU_ASSERT_TRUE(content_is(text, 100));
    CU_ASSERT_PTR_EQUAL(content.out_trailers, &trailers);
    content_finish();
}

/* As the road does when a deadline ends the wait, with a stale response in its place. */
static void
what_took_the_place_of_a_response_is_held_anew(void)
{
    begin(5000, 100);
    content.stalls = true;
    for (unsigned i = 0; i < 1000; i++) {
        CU_ASSERT_FALSE(hold_response(&hold, &content.ex, 100000));
        loop_turn(content.worker.loop, 0);
    }
    CU_ASSERT_EQUAL(hold.bytes, 5000);
    pump_stop(&content.ex.response_pump);
    content.stalls = false;
    content_script(text, 300, 100);
    hold_all(hold_response, 100000);
    CU_ASSERT_EQUAL(hold.state, HOLD_WHOLE);
    CU_ASSERT_EQUAL(hold.bytes, 300);
    content_run(hold_source(&hold), 0);
    CU_ASSERT_TRUE(content_is(text, 300));
    content_finish();
    CU_ASSERT_EQUAL(hold_total_bytes(), 0);
}

void
suite_hold(void)
{
    CU_pSuite s = CU_add_suite("hold", NULL, NULL);

    CU_add_test(s, "all of it or its beginning is held, and then given on",
                all_of_it_or_its_beginning_is_held_and_then_given_on);
    CU_add_test(s, "who need not wait is not called back", who_need_not_wait_is_not_called_back);
    CU_add_test(s, "what is given up is not counted any more",
                what_is_given_up_is_not_counted_any_more);
    CU_add_test(s, "nothing is held beyond what the process may hold",
                nothing_is_held_beyond_what_the_process_may_hold);
    CU_add_test(s, "a response that is cut short has failed",
                a_response_that_is_cut_short_has_failed);
    CU_add_test(s, "a request that is cut short ends and goes no further",
                a_request_that_is_cut_short_ends_and_goes_no_further);
    CU_add_test(s, "who waits for 100 is told to go on", who_waits_for_100_is_told_to_go_on);
    CU_add_test(s, "what took the place of a response is held anew",
                what_took_the_place_of_a_response_is_held_anew);
    CU_add_test(s, "trailers of held content pass", trailers_of_held_content_pass);
}
