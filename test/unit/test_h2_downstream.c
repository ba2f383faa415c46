/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_downstream.c - a client's HTTP/2 connection, frame by frame. */
#include "config.h"

#include "server/http/h2_downstream.h"

#include "test/unit/h2_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

/* ---- exchanges */

static void
serves_a_request(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    get(f, 1, "/a?b");
    turn(f);
    CU_ASSERT_EQUAL(f->requests, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(f->last_request, "GET http a.test /a?b\n"));
    CU_ASSERT_EQUAL(seen->status, 200);
    CU_ASSERT(seen->is_ended && !seen->is_reset);
    CU_ASSERT(seen->body_bytes == 5 && memcmp(seen->body, "hello", 5) == 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(seen->fields, "content-length: 5\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(seen->fields, "date: "));
    fixture_free(f);
}

static void
serves_a_connection_read_ahead(void)
{
    struct h2_fixture *f = fixture_new();

    fixture_connect(f);
    for (const char *at = NGHTTP2_CLIENT_MAGIC; *at != '\0'; at++) {
        send_bytes(f, at, 1);
        turn(f);
    }
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    get(f, 1, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_ended);
    fixture_free(f);
}

static void
answers_many_at_once(void)
{
    struct h2_fixture *f = fixture_open();

    for (uint32_t id = 1; id < 32; id += 2)
        get(f, id, "/");
    turn(f);
    for (uint32_t id = 1; id < 32; id += 2)
        CU_ASSERT(seen_of(f, id)->is_ended && seen_of(f, id)->body_bytes == 5);
    CU_ASSERT_EQUAL(f->requests, 16);
    fixture_free(f);
}

static void
has_no_content_for_head(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    send_head(f, 1, true, HEAD_OF("HEAD", "/"));
    turn(f);
    CU_ASSERT(seen->status == 200 && seen->is_ended && seen->body_bytes == 0);
    CU_ASSERT_EQUAL(f->frames[NGHTTP2_DATA], 0);
    fixture_free(f);
}

static void
passes_content_and_trailers(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);
    char block[256];
    size_t bytes = encode("grpc-status: 0\n", block);

    send_head(f, 1, false, HEAD_OF("POST", "/echo"));
    send_frame(f, NGHTTP2_DATA, 0, 1, "abc", 3);
    turn(f);
    CU_ASSERT_EQUAL(seen->heads, 0);
    send_frame(f, NGHTTP2_DATA, 0, 1, "def", 3);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block,
               bytes);
    turn(f);
    CU_ASSERT(seen->heads == 2 && seen->is_ended);
    CU_ASSERT(seen->body_bytes == 6 && memcmp(seen->body, "abcdef", 6) == 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(seen->fields, "grpc-status: 0\n"));
    fixture_free(f);
}

/* Ends at once, and leaves no memory for the trailers' lines. */
static enum flow
spend_memory(struct source *source, unsigned forms, struct piece *piece)
{
    (void)source;
    (void)forms;
    (void)piece;
    for (size_t bytes = 1u << 16; bytes > 0; bytes /= 2)
        while (arena_alloc(&fixture->held->arena, bytes) != NULL)
            continue;
    return FLOW_END;
}

/* Its own failure is not the others'. */
static void
resets_only_the_stream_whose_trailers_cannot_be_sent(void)
{
    static const struct source_ops spender = { .offer = spend_memory };
    struct h2_fixture *f = fixture_open();
    struct fields trailers = { .count = 0 };
    struct source source = { .ops = &spender, .trailers = &trailers };
    struct exchange *ex;

    get(f, 1, "/hold");
    turn(f);
    ex = f->held;
    CU_ASSERT_PTR_NOT_NULL_FATAL(ex);
    fields_add_name(&trailers, &ex->arena, SLICE("grpc-status"), SLICE("0"));
    exchange_answer_with(ex, 200, END_DONE, NULL, slice_make(NULL, 0));
    ex->response.has_body = true;
    ex->response.length = LENGTH_UNKNOWN;
    ex->response.body = &source;
    deliver(ex);
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && seen_of(f, 1)->error == NGHTTP2_INTERNAL_ERROR);
    CU_ASSERT(!seen_of(f, 1)->is_ended);
    CU_ASSERT(seen_of(f, 3)->is_ended && f->goaways == 0 && !f->saw_end);
    fixture_free(f);
}

/* RFC 9110 section 10.1.1. */
static void
relays_interim_responses(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    send_head(f, 1, false, HEAD_OF("POST", "/hold") "content-length: 2\nexpect: 100-continue\n");
    turn(f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->held);
    CU_ASSERT(f->held->request.expects_continue);
    f->held->down->ops->interim(f->held, 100, &(struct fields){ .count = 0 });
    turn(f);
    CU_ASSERT(seen->heads == 1 && seen->status == 100 && !seen->is_ended);
    answer(f->held, 200, "ok", 2);
    turn(f);
    CU_ASSERT(seen->heads == 2 && seen->status == 200 && seen->is_ended);
    fixture_free(f);
}

/* RFC 9113 section 8.1: the answer is whole, the request need not be. */
static void
resets_without_error_after_an_early_answer(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    send_head(f, 1, false, HEAD_OF("POST", "/"));
    turn(f);
    CU_ASSERT(seen->status == 200 && seen->is_ended);
    CU_ASSERT(seen->is_reset && seen->error == NGHTTP2_NO_ERROR);
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_ended);
    fixture_free(f);
}

static void
tells_the_road_of_a_client_that_is_gone(void)
{
    struct h2_fixture *f = fixture_open();
    char cancel[4] = { 0, 0, 0, NGHTTP2_CANCEL };

    get(f, 1, "/hold");
    turn(f);
    send_frame(f, NGHTTP2_RST_STREAM, 0, 1, cancel, 4);
    turn(f);
    CU_ASSERT(f->gone == 1 && f->last_end == END_CLIENT_ABORT && f->held == NULL);
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_ended);
    fixture_free(f);
}

static void
shows_that_a_response_was_cut(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    get(f, 1, "/big");
    turn(f);
    CU_ASSERT(seen->body_bytes == 65535); /* the window it was given */
    fixture->requests = 0;
    get(f, 3, "/hold");
    turn(f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->held);
    end_trip(f->held, false);
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_reset && seen_of(f, 3)->error == NGHTTP2_INTERNAL_ERROR);
    fixture_free(f);
}

/* Of a request that is sent to another connection, as the first one had died. */
static void
keeps_content_until_there_is_a_response(void)
{
    struct h2_fixture *f = fixture_open();
    struct source *body;
    struct piece piece;

    send_head(f, 1, false, HEAD_OF("PUT", "/hold"));
    send_frame(f, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "abc", 3);
    turn(f);
    body = f->held->request.body;
    CU_ASSERT_EQUAL(body->ops->offer(body, FORM_SLICES, &piece), FLOW_MORE);
    body->ops->cancel(body);
    CU_ASSERT_EQUAL(body->ops->offer(body, FORM_SLICES, &piece), FLOW_MORE);
    CU_ASSERT_EQUAL(piece.bytes, 3);
    body->ops->cancel(body);
    answer(f->held, 200, "x", 1);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_ended && !seen_of(f, 1)->is_reset);
    fixture_free(f);
}

/* ---- the end */

/* Section 6.8. */
static void
drains_in_two_steps(void)
{
    struct h2_fixture *f = fixture_open();
    struct client_conn *client = fixture_client_conn(f);

    get(f, 1, "/hold");
    turn(f);
    client->ops->drain(client);
    turn(f);
    CU_ASSERT(f->goaways == 1 && f->goaway_last == 0x7fffffff && !f->saw_end);
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_ended);
    answer(f->held, 200, "x", 1);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_ended && f->goaways == 2 && f->goaway_last == 3);
    CU_ASSERT(f->saw_end);
    fixture_free(f);
}

static void
says_goaway_at_the_last_request(void)
{
    struct h2_fixture *f = fixture_new();

    f->listener.limits.requests = 2;
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    get(f, 1, "/");
    get(f, 3, "/");
    get(f, 5, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_ended && seen_of(f, 3)->is_ended && !seen_of(f, 5)->is_ended);
    CU_ASSERT(f->goaway_last == 3 && f->goaway_error == NGHTTP2_NO_ERROR && f->saw_end);
    fixture_free(f);
}

static void
ends_when_its_listener_is_gone(void)
{
    struct h2_fixture *f = fixture_open();
    struct client_conn *client = fixture_client_conn(f);

    get(f, 1, "/hold");
    turn(f);
    f->snapshot.conf.listeners.count = 0;
    client->ops->republish(client);
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(f->goaways == 1 && f->goaway_last == 1 && f->requests == 1 && !f->saw_end);
    answer(f->held, 200, "x", 1);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_ended && f->saw_end);
    fixture_free(f);
}

static void
refuses_half_a_head_when_its_listener_is_gone(void)
{
    struct h2_fixture *f = fixture_open();
    struct client_conn *client = fixture_client_conn(f);
    char block[256];
    size_t bytes = encode(HEAD_OF("GET", "/"), block);

    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, bytes);
    turn(f);
    f->snapshot.conf.listeners.count = 0;
    client->ops->republish(client);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && seen_of(f, 1)->error == NGHTTP2_REFUSED_STREAM);
    CU_ASSERT(f->requests == 0 && f->saw_end);
    fixture_free(f);
}

static void
answers_after_the_clients_fin(void)
{
    struct h2_fixture *f = fixture_open();

    get(f, 1, "/hold");
    send_head(f, 3, false, HEAD_OF("POST", "/stall"));
    shutdown(f->fd, SHUT_WR);
    turn(f);
    CU_ASSERT(f->gone == 1 && f->held != NULL);
    answer(f->held, 200, "x", 1);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_ended && f->saw_end);
    fixture_free(f);
}

void
suite_h2_downstream(void)
{
    CU_pSuite s = CU_add_suite("h2_downstream", NULL, NULL);

    CU_add_test(s, "serves a request", serves_a_request);
    CU_add_test(s, "serves a connection whose preface comes in pieces",
                serves_a_connection_read_ahead);
    CU_add_test(s, "answers many at once", answers_many_at_once);
    CU_add_test(s, "has no content for HEAD", has_no_content_for_head);
    CU_add_test(s, "passes content and trailers", passes_content_and_trailers);
    CU_add_test(s, "resets only the stream whose trailers cannot be sent",
                resets_only_the_stream_whose_trailers_cannot_be_sent);
    CU_add_test(s, "relays interim responses", relays_interim_responses);
    CU_add_test(s, "resets without error after an early answer",
                resets_without_error_after_an_early_answer);
    CU_add_test(s, "tells the road of a client that is gone",
                tells_the_road_of_a_client_that_is_gone);
    CU_add_test(s, "shows that a response was cut", shows_that_a_response_was_cut);
    CU_add_test(s, "keeps content until there is a response",
                keeps_content_until_there_is_a_response);
    CU_add_test(s, "drains in two steps", drains_in_two_steps);
    CU_add_test(s, "says GOAWAY at the last request", says_goaway_at_the_last_request);
    CU_add_test(s, "ends when its listener is gone", ends_when_its_listener_is_gone);
    CU_add_test(s, "refuses half a head when its listener is gone",
                refuses_half_a_head_when_its_listener_is_gone);
    CU_add_test(s, "answers after the client's FIN", answers_after_the_clients_fin);
}
