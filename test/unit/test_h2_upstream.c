/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_upstream.c - exchanges with an HTTP/2 origin that go well, and share connections. */
#include "config.h"

#include "test/unit/h2_origin_fixture.h"
#include "test/unit/suites.h"

/* ---- messages */

/* RFC 9113 section 8.3.1. */
static void
translates_a_request(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_GET, 0);
    fields_add(&h->ex.request.fields, &h->ex.arena, FIELD_ACCEPT, SLICE("text/plain"));
    fields_add(&h->ex.request.fields, &h->ex.arena, FIELD_KEEP_ALIVE, SLICE("5"));
    fields_add(&h->ex.request.fields, &h->ex.arena, FIELD_HOST, SLICE("client.test"));
    send_off(h);
    turns();
    CU_ASSERT_STRING_EQUAL(origin.path, "/a?b");
    CU_ASSERT_STRING_EQUAL(origin.authority, "origin.test:80");
    CU_ASSERT_STRING_EQUAL(origin.scheme, "http");
    CU_ASSERT_STRING_EQUAL(origin.fields, ":method: GET\naccept: text/plain\n");
    CU_ASSERT_EQUAL(origin.ends, 1);
    tear_down();
}

static void
passes_on_a_response(void)
{
    struct heard *h = start_with(METHOD_GET, 0);

    answer_plainly(origin.last_id, 100000);
    turns();
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->ex.response.status, 200);
    CU_ASSERT_TRUE(slice_equal(fields_get(&h->ex.response.fields, FIELD_SERVER), SLICE("test")));
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_EQUAL(h->content_bytes, 100000);
    CU_ASSERT_EQUAL(h->failures, 0);
    tear_down();
}

static void
passes_on_trailers(void)
{
    struct heard *h = start_with(METHOD_GET, 0);

    origin.trailer = "x-sum";
    answer_plainly(origin.last_id, 10);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_TRUE(h->has_trailers);
    tear_down();
}

/* RFC 9113 section 8.1. */
static void
passes_on_interim_responses(void)
{
    static const nghttp2_nv hints[] = { LINE(":status", "103"), LINE("link", "</a>") };
    struct heard *h = start_with(METHOD_GET, 0);

    nghttp2_submit_headers(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id, NULL, hints, 2, NULL);
    answer_plainly(origin.last_id, 5);
    turns();
    CU_ASSERT_EQUAL(h->interims, 1);
    CU_ASSERT_EQUAL(h->interim_status, 103);
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    tear_down();
}

/* RFC 9110 section 9.3.2: the length of an answer to HEAD is not its own. */
static void
knows_answers_without_content(void)
{
    static const nghttp2_nv lines[] = { LINE(":status", "200"), LINE("content-length", "500") };
    struct heard *h = start_with(METHOD_HEAD, 0);

    answer_with(origin.last_id, lines, 2, 0);
    turns();
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_EQUAL(h->content_bytes, 0);
    tear_down();
}

static void
sends_content(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_OTHER, 1u << 20);
    send_off(h);
    for (int i = 0; i < 20; i++)
        turns();
    CU_ASSERT_EQUAL(origin.content_bytes, 1u << 20);
    CU_ASSERT_EQUAL(origin.ends, 1);
    answer_plainly(origin.last_id, 5);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    tear_down();
}

/* ---- flow control: RFC 9113 section 5.2 */

static void
sends_no_more_than_the_window(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_OTHER, 1u << 20);
    origin.holds_content = true;
    send_off(h);
    turns();
    CU_ASSERT_EQUAL(origin.content_bytes, 65535);
    CU_ASSERT_EQUAL(h->ex.request_pump.moved_bytes, 65535);
    tear_down();
}

static void
reads_no_more_than_is_taken(void)
{
    struct heard *slow, *quick;

    set_up();
    slow = open_with(0, METHOD_GET, 0);
    slow->room = 1000;
    send_off(slow);
    turns();
    answer_plainly(origin.last_id, 3u << 20);
    for (int i = 0; i < 20; i++)
        turns();
    CU_ASSERT_EQUAL(slow->content_bytes, 1000);
    CU_ASSERT(origin.answer_bytes >= 2u << 20); /* a window of a megabyte at most */
    quick = request(1, join(), METHOD_GET, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(quick->ex.up);
    send_off(quick);
    turns();
    CU_ASSERT_EQUAL(origin.streams, 2);
    slow->room = SIZE_MAX;
    pump_sink_ready(slow->sink.pump);
    for (int i = 0; i < 20; i++)
        turns();
    CU_ASSERT_EQUAL(slow->content_bytes, 3u << 20);
    CU_ASSERT_EQUAL(slow->result, PUMP_DONE);
    tear_down();
}

/* ---- sharing */

static void
shares_a_connection(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_GET, 0);
    send_off(h);
    CU_ASSERT_PTR_NULL(join()); /* it is not known yet how many streams the origin takes */
    CU_ASSERT_TRUE(pool_is_opening(pool_of_endpoint(&worker, fixture_endpoint(&group, 0),
                                                    &group.conf)));
    turns();
    CU_ASSERT_FALSE(pool_is_opening(pool_of_endpoint(&worker, fixture_endpoint(&group, 0),
                                                     &group.conf)));
    for (unsigned i = 1; i < EXCHANGES; i++) {
        h = request(i, join(), METHOD_GET, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(h->ex.up);
        CU_ASSERT_TRUE(h->ex.up->was_reused);
        send_off(h);
    }
    turns();
    CU_ASSERT_EQUAL(origin.streams, EXCHANGES);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 1);
    tear_down();
}

static void
keeps_to_the_limits_of_both(void)
{
    set_up();
    group.conf.max_streams = 3;
    origin.max_streams = 2;
    send_first(METHOD_GET, 0);
    send_off(request(1, join(), METHOD_GET, 0));
    CU_ASSERT_PTR_NULL(join());
    finish();
    origin.max_streams = 50;
    send_first(METHOD_GET, 0);
    send_off(request(1, join(), METHOD_GET, 0));
    send_off(request(2, join(), METHOD_GET, 0));
    CU_ASSERT_PTR_NULL(join());
    tear_down();
}

static void
shares_nothing_verified_by_others(void)
{
    struct upstream_conf conf;

    set_up();
    send_off(open_with(0, METHOD_GET, 0));
    turns();
    conf = conf_of_group();
    conf.trust = 77;
    CU_ASSERT_PTR_NULL(h2_upstream_join(pool_of_endpoint(&worker, conf.endpoint, conf.group),
                                        &conf));
    tear_down();
}

/* RFC 9113 section 8.7: whatever the method is. */
static void
knows_what_was_refused(void)
{
    struct heard *h = start_with(METHOD_GET, 0);
    struct heard *other = send_another();

    nghttp2_submit_rst_stream(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id,
                              NGHTTP2_REFUSED_STREAM);
    turns();
    CU_ASSERT_EQUAL(other->failures, 1);
    CU_ASSERT_TRUE(other->can_retry);
    CU_ASSERT_TRUE(other->was_refused);
    CU_ASSERT_EQUAL(h->failures, 0);
    CU_ASSERT_PTR_NULL(join()); /* one is what it takes */
    tear_down();
}

/* RFC 9113 section 6.8. */
static void
obeys_goaway(void)
{
    struct heard *h, *other;
    int32_t first;

    set_up();
    h = send_first(METHOD_GET, 0);
    first = origin.last_id;
    other = send_another();
    nghttp2_submit_goaway(origin.ng, NGHTTP2_FLAG_NONE, first, NGHTTP2_NO_ERROR, NULL, 0);
    turns();
    CU_ASSERT_EQUAL(other->failures, 1);
    CU_ASSERT_TRUE(other->was_refused);
    CU_ASSERT_PTR_NULL(join());
    CU_ASSERT_EQUAL(h->failures, 0);
    answer_plainly(first, 70);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_EQUAL(h->content_bytes, 70);
    end_exchange(h);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 0);
    tear_down();
}

static void
leaves_when_told_to_while_idle(void)
{
    struct heard *h = start_with(METHOD_GET, 0);

    answer_plainly(origin.last_id, 5);
    turns();
    end_exchange(h);
    turns();
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_idle), 1);
    nghttp2_submit_goaway(origin.ng, NGHTTP2_FLAG_NONE, 1, NGHTTP2_NO_ERROR, NULL, 0);
    turns();
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 0);
    tear_down();
}

/* The lines of a head may come with several reads; what was given up in between
 * must not be written to. */
static void
gives_up_in_the_middle_of_a_head(void)
{
    static const uint8_t begin[] = { 0, 0, 1, 1 /* HEADERS */, 0, 0, 0, 0, 1, 0x88 /* 200 */ };
    static const uint8_t rest[] = { 0, 0, 5, 9 /* CONTINUATION */, 4, 0, 0, 0, 1,
                                    0, 1, 'a', 1, 'b' };
    struct heard *h = start_with(METHOD_GET, 0);

    CU_ASSERT_EQUAL(write(origin.fd, begin, sizeof(begin)), sizeof(begin));
    loop_turn(worker.loop, 0);
    end_exchange(h);
    arena_fini(&h->ex.arena);
    h->ex.road = NULL;
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(write(origin.fd, rest, sizeof(rest)), sizeof(rest));
    loop_turn(worker.loop, 0);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(h->responses, 0);
    h = request(1, join(), METHOD_GET, 0);
    CU_ASSERT_PTR_NOT_NULL(h->ex.up); /* the connection goes on */
    tear_down();
}

static void
resets_what_nobody_wants_any_more(void)
{
    struct heard *h = start_with(METHOD_GET, 0);
    struct heard *other = send_another();

    end_exchange(other);
    turns();
    CU_ASSERT_EQUAL(origin.resets, 1);
    CU_ASSERT_EQUAL(origin.reset, NGHTTP2_CANCEL);
    answer_plainly(1, 5);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    tear_down();
}

static void
rests_and_ends(void)
{
    struct upstream_conf conf = conf_of_group();
    struct heard *h;

    set_up();
    conf.endpoint = fixture_endpoint(&group, 0);
    h = send_first(METHOD_GET, 0);
    answer_plainly(origin.last_id, 5);
    turns();
    end_exchange(h);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_idle), 1);
    conf.timeouts.idle_ms = 20;
    h = request(1, h2_upstream_join(pool_of_endpoint(&worker, conf.endpoint, conf.group), &conf),
                METHOD_GET, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h->ex.up);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_idle), 0);
    send_off(h);
    turns();
    answer_plainly(origin.last_id, 5);
    turns();
    end_exchange(h);
    turn_while(atomic_load(&counters.upstream_open) > 0);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 0);
    origin_turn();
    CU_ASSERT_EQUAL(origin.goaways, 1);
    tear_down();
}

/* ---- who waits for a connection */

static unsigned woken, let_down;

static void
on_waited(struct pool_waiter *waiter, const struct failure *failure)
{
    (void)waiter;
    woken++;
    let_down += failure != NULL;
}

static void
wakes_those_who_wait(void)
{
    static const struct failure failure = { END_CONNECT_FAILED, 502, NULL, "why" };
    struct pool_opening opening = { 0 };
    struct pool_waiter waiters[2] = { 0 };
    struct pool *pool;

    set_up();
    woken = let_down = 0;
    pool = pool_of_endpoint(&worker, fixture_endpoint(&group, 0), &group.conf);
    pool_opening_start(pool, &opening);
    pool_wait(pool, &waiters[0], PATIENCE_MS, on_waited);
    pool_wait(pool, &waiters[1], PATIENCE_MS, on_waited);
    pool_wait_cancel(&waiters[1]);
    pool_opening_end(&opening, NULL);
    CU_ASSERT_EQUAL(woken, 0);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(woken, 1);
    CU_ASSERT_EQUAL(let_down, 0);
    pool_opening_start(pool, &opening);
    pool_wait(pool, &waiters[0], PATIENCE_MS, on_waited);
    pool_opening_end(&opening, &failure);
    CU_ASSERT_EQUAL(let_down, 1);
    pool_opening_start(pool, &opening);
    pool_wait(pool, &waiters[0], 20, on_waited);
    turn_while(woken < 3);
    CU_ASSERT_EQUAL(woken, 3);
    CU_ASSERT_EQUAL(let_down, 1);
    pool_wait(pool, &waiters[0], PATIENCE_MS, on_waited);
    pools_close(&worker); /* the pool goes, and the opening with it */
    CU_ASSERT_PTR_NULL(opening.pool);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(woken, 4);
    tear_down();
}

void
suite_h2_upstream(void)
{
    CU_pSuite suite = CU_add_suite("h2_upstream", begin, end);

    CU_add_test(suite, "translates a request", translates_a_request);
    CU_add_test(suite, "passes on a response", passes_on_a_response);
    CU_add_test(suite, "passes on trailers", passes_on_trailers);
    CU_add_test(suite, "passes on interim responses", passes_on_interim_responses);
    CU_add_test(suite, "knows answers without content", knows_answers_without_content);
    CU_add_test(suite, "sends content", sends_content);
    CU_add_test(suite, "sends no more than the window", sends_no_more_than_the_window);
    CU_add_test(suite, "reads no more than is taken", reads_no_more_than_is_taken);
    CU_add_test(suite, "shares a connection", shares_a_connection);
    CU_add_test(suite, "keeps to the limits of both", keeps_to_the_limits_of_both);
    CU_add_test(suite, "shares nothing verified by others", shares_nothing_verified_by_others);
    CU_add_test(suite, "knows what was refused", knows_what_was_refused);
    CU_add_test(suite, "obeys GOAWAY", obeys_goaway);
    CU_add_test(suite, "leaves when told to while idle", leaves_when_told_to_while_idle);
    CU_add_test(suite, "gives up in the middle of a head", gives_up_in_the_middle_of_a_head);
    CU_add_test(suite, "resets what nobody wants any more", resets_what_nobody_wants_any_more);
    CU_add_test(suite, "rests and ends", rests_and_ends);
    CU_add_test(suite, "wakes those who wait", wakes_those_who_wait);
}
