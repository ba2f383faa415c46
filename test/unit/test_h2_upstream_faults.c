/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_upstream_faults.c - exchanges with an HTTP/2 origin in which something goes wrong. */
#include "config.h"

#include "test/unit/h2_origin_fixture.h"
#include "test/unit/suites.h"

/* RFC 9113 section 8.1.1. */
static void
does_not_take_short_content_for_whole(void)
{
    static const nghttp2_nv lines[] = { LINE(":status", "200"), LINE("content-length", "500") };
    struct heard *h = start_with(METHOD_GET, 0);

    answer_with(origin.last_id, lines, 2, 499);
    turns();
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->result, PUMP_SOURCE_FAILED);
    tear_down();
}

static void
notices_a_reset_in_the_middle(void)
{
    struct heard *h = start_with(METHOD_GET, 0);

    origin.answers_cut = true;
    answer_plainly(origin.last_id, 100);
    turns();
    CU_ASSERT_EQUAL(h->result, -1);
    nghttp2_submit_rst_stream(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id,
                              NGHTTP2_INTERNAL_ERROR);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_SOURCE_FAILED);
    tear_down();
}

static void
notices_the_end_of_the_connection(void)
{
    struct heard *h = start_with(METHOD_GET, 0);
    struct heard *other;

    origin.answers_cut = true;
    answer_plainly(origin.last_id, 100);
    turns();
    other = send_another();
    close(origin.fd);
    origin.fd = -1;
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_SOURCE_FAILED);
    CU_ASSERT_EQUAL(other->failures, 1);
    CU_ASSERT_STRING_EQUAL(other->failure.proxy_error, "connection_terminated");
    CU_ASSERT_TRUE(other->can_retry); /* it had come to a connection that was there already */
    CU_ASSERT_FALSE(other->was_refused);
    CU_ASSERT_PTR_NULL(join());
    tear_down();
}

/* RFC 9113 section 8.2.1 and 8.2.2. */
static void
refuses_malformed_responses(void)
{
    static const nghttp2_nv bad[][2] = {
        { LINE(":status", "200"), LINE("a", "b\nc") },
        { LINE(":status", "200"), LINE("Upper", "b") },
        { LINE(":status", "200"), LINE("connection", "close") },
        { LINE(":status", "200"), LINE("transfer-encoding", "chunked") },
        { LINE(":status", "101"), LINE("a", "b") },
        { LINE(":status", "2000"), LINE("a", "b") },
        { LINE("a", "b"), LINE(":status", "200") },
        { LINE("a", "b"), LINE("c", "d") },
    };

    set_up();
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct heard *h = send_first(METHOD_GET, 0);

        answer_with(origin.last_id, bad[i], 2, 0);
        turns();
        CU_ASSERT_EQUAL(h->responses, 0);
        CU_ASSERT_EQUAL(h->failures, 1);
        CU_ASSERT_EQUAL(h->failure.reason, END_UPSTREAM_BAD);
        CU_ASSERT_FALSE(h->can_retry);
        finish();
    }
    fixture_fini(&group);
}

static void
tells_what_is_not_http2(void)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_GET, 0);
    send_off(h);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(write(origin.fd, answer, sizeof(answer) - 1), sizeof(answer) - 1);
    loop_turn(worker.loop, 0);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(h->failures, 1);
    CU_ASSERT_STRING_EQUAL(h->failure.detail, "the server does not speak HTTP/2");
    tear_down();
}

static void
bounds_interim_responses(void)
{
    static const nghttp2_nv hints[] = { LINE(":status", "103"), LINE("link", "</a>") };
    struct heard *h = start_with(METHOD_GET, 0);

    for (int i = 0; i < 40; i++)
        nghttp2_submit_headers(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id, NULL, hints, 2, NULL);
    turns();
    CU_ASSERT_EQUAL(h->failures, 1);
    CU_ASSERT_EQUAL(h->failure.reason, END_UPSTREAM_BAD);
    tear_down();
}

/* RFC 9113 section 8.1: it may have read enough to know. */
static void
takes_an_answer_before_the_end_of_the_request(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_OTHER, 1u << 20);
    origin.holds_content = true;
    send_off(h);
    turns();
    answer_plainly(origin.last_id, 50);
    origin_turn();
    nghttp2_submit_rst_stream(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id, NGHTTP2_NO_ERROR);
    turns();
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->content_bytes, 50);
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_EQUAL(h->failures, 0);
    tear_down();
}

static void
waits_for_an_answer_in_time(void)
{
    struct upstream_conf conf;
    struct heard *h = start_with(METHOD_GET, 0);

    answer_plainly(origin.last_id, 5);
    turns();
    conf = conf_of_group();
    conf.timeouts.head_ms = 20;
    h = request(1, h2_upstream_join(pool_of_endpoint(&worker, conf.endpoint, conf.group), &conf),
                METHOD_GET, 0);
    send_off(h);
    turn_while(h->failures == 0);
    CU_ASSERT_EQUAL(h->failures, 1);
    CU_ASSERT_EQUAL(h->failure.status, 504);
    CU_ASSERT_STRING_EQUAL(h->failure.proxy_error, "http_response_timeout");
    tear_down();
}

void
suite_h2_upstream_faults(void)
{
    CU_pSuite suite = CU_add_suite("h2_upstream_faults", begin, end);

    CU_add_test(suite, "does not take short content for whole",
                does_not_take_short_content_for_whole);
    CU_add_test(suite, "notices a reset in the middle", notices_a_reset_in_the_middle);
    CU_add_test(suite, "notices the end of the connection", notices_the_end_of_the_connection);
    CU_add_test(suite, "refuses malformed responses", refuses_malformed_responses);
    CU_add_test(suite, "tells what is not HTTP/2", tells_what_is_not_http2);
    CU_add_test(suite, "bounds interim responses", bounds_interim_responses);
    CU_add_test(suite, "takes an answer before the end of the request",
                takes_an_answer_before_the_end_of_the_request);
    CU_add_test(suite, "waits for an answer in time", waits_for_an_answer_in_time);
}
