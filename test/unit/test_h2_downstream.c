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

/* Section 6.9. */
static void
sends_as_the_windows_allow(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);
    char more[4] = { 0x00, 0x7f, 0xff, 0xff };

    get(f, 1, "/big");
    get(f, 3, "/");
    turn(f);
    CU_ASSERT_EQUAL(seen->body_bytes, 65535);
    CU_ASSERT(seen_of(f, 3)->heads == 1 && !seen_of(f, 3)->is_ended);
    send_frame(f, NGHTTP2_WINDOW_UPDATE, 0, 0, more, 4);
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_ended); /* the other waits for its own window only */
    CU_ASSERT_EQUAL(seen->body_bytes, 65535);
    send_frame(f, NGHTTP2_WINDOW_UPDATE, 0, 1, more, 4);
    for (int i = 0; i < 20; i++)
        turn(f);
    CU_ASSERT(seen->is_ended && seen->body_bytes == BIG_BYTES);
    fixture_free(f);
}

/* ---- credit */

static void
holds_no_more_than_a_window_of_a_stream(void)
{
    struct h2_fixture *f = fixture_open();
    char data[16384] = { 0 };

    send_head(f, 1, false, HEAD_OF("POST", "/stall"));
    for (int i = 0; i < 4; i++)
        send_frame(f, NGHTTP2_DATA, 0, 1, data, sizeof(data));
    turn(f);
    CU_ASSERT(!seen_of(f, 1)->is_reset && f->goaways == 0);
    CU_ASSERT_EQUAL(f->frames[NGHTTP2_WINDOW_UPDATE], 2); /* of the start; of the connection */
    send_frame(f, NGHTTP2_DATA, 0, 1, data, 1);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset || f->goaways == 1);
    fixture_free(f);
}

/* What a slow stream holds stops no other, whose content flows on and on. */
static void
lets_others_pass_a_slow_stream(void)
{
    struct h2_fixture *f = fixture_open();
    char data[8192] = { 0 }, more[4] = { 0x10, 0, 0, 0 };
    uint64_t sent = 0;

    send_frame(f, NGHTTP2_WINDOW_UPDATE, 0, 0, more, 4);
    send_head(f, 1, false, HEAD_OF("POST", "/stall"));
    for (int i = 0; i < 8; i++, sent += sizeof(data))
        send_frame(f, NGHTTP2_DATA, 0, 1, data, sizeof(data));
    for (uint32_t id = 3; id < 60; id += 2) {
        send_head(f, id, false, HEAD_OF("POST", "/echo"));
        for (int i = 0; i < 6; i++, sent += sizeof(data))
            send_frame(f, NGHTTP2_DATA, i == 5 ? NGHTTP2_FLAG_END_STREAM : 0, id, data,
                       sizeof(data));
        turn(f);
        CU_ASSERT_FATAL(sent <= 65535 + f->window);
    }
    CU_ASSERT_EQUAL(f->goaways, 0);
    CU_ASSERT_EQUAL(f->finished, 29);
    fixture_free(f);
}

static void
stops_the_connection_when_its_budget_is_held(void)
{
    struct h2_fixture *f = fixture_open();
    char data[16384] = { 0 };
    uint64_t sent = 0;

    for (uint32_t id = 1; id < 12; id += 2) {
        send_head(f, id, false, HEAD_OF("POST", "/stall"));
        for (int i = 0; i < 4 && sent + sizeof(data) <= 65535 + f->window; i++,
             sent += sizeof(data)) {
            send_frame(f, NGHTTP2_DATA, 0, id, data, sizeof(data));
            turn(f);
        }
    }
    CU_ASSERT(sent >= 131072 && sent <= 262144); /* buffer_bytes of the fixture */
    CU_ASSERT_EQUAL(f->goaways, 0);
    fixture_free(f);
}

/* ---- what is against the rules */

/* Section 8.1.1: answered, and reset. */
static void
answers_and_resets_malformed_requests(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    send_head(f, 1, true, HEAD_OF("GET", "/") "connection: close\n");
    turn(f);
    CU_ASSERT(seen->status == 400 && !seen->is_ended);
    CU_ASSERT(seen->is_reset && seen->error == NGHTTP2_PROTOCOL_ERROR);
    CU_ASSERT_EQUAL(f->last_end, END_BAD_REQUEST);
    CU_ASSERT_EQUAL(f->counters.requests_bad, 1);
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_ended);
    fixture_free(f);
}

static void
resets_malformed_requests_with_trailers(void)
{
    struct h2_fixture *f = fixture_open();
    char block[64];
    size_t bytes = encode("x: y\n", block);

    send_head(f, 1, false, HEAD_OF("POST", "/") "connection: close\n");
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block,
               bytes);
    turn(f);
    CU_ASSERT_EQUAL(seen_of(f, 1)->status, 400);
    CU_ASSERT(seen_of(f, 1)->is_reset && seen_of(f, 1)->error == NGHTTP2_PROTOCOL_ERROR);
    fixture_free(f);
}

static void
refuses_content_of_another_length(void)
{
    struct h2_fixture *f = fixture_open();

    send_head(f, 1, false, HEAD_OF("POST", "/hold") "content-length: 2\n");
    turn(f);
    send_frame(f, NGHTTP2_DATA, 0, 1, "abc", 3);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && seen_of(f, 1)->error == NGHTTP2_PROTOCOL_ERROR);
    CU_ASSERT(f->gone == 1 && f->last_end == END_BAD_REQUEST);
    send_head(f, 3, false, HEAD_OF("POST", "/echo") "content-length: 2\n");
    send_frame(f, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, "a", 1);
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_reset && seen_of(f, 3)->error == NGHTTP2_PROTOCOL_ERROR);
    CU_ASSERT_EQUAL(f->goaways, 0);
    fixture_free(f);
}

static void
refuses_trailers_that_do_not_end(void)
{
    struct h2_fixture *f = fixture_open();
    char block[64];
    size_t bytes = encode("x: y\n", block);

    send_head(f, 1, false, HEAD_OF("POST", "/echo"));
    turn(f);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block, bytes);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && seen_of(f, 1)->error == NGHTTP2_PROTOCOL_ERROR);
    fixture_free(f);
}

/* Found by fuzzing: the lines that follow belong to nobody. */
static void
survives_trailers_of_a_stream_that_ended(void)
{
    struct h2_fixture *f = fixture_open();
    char block[64];
    size_t bytes = encode("x: y\n", block);

    send_head(f, 1, false, HEAD_OF("POST", "/hold"));
    turn(f);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, bytes);
    turn(f);
    answer(f->held, 200, "x", 1);
    turn(f);
    send_frame(f, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, block, bytes);
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_ended && seen_of(f, 3)->is_ended);
    fixture_free(f);
}

/* Section 8.5. */
static void
resets_a_tunnel_with_trailers(void)
{
    struct h2_fixture *f = fixture_open();
    char block[64];
    size_t bytes = encode("x: y\n", block);

    send_head(f, 1, false, ":method: CONNECT\n:authority: a.test:443\n");
    turn(f);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS, 1, block,
               bytes);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && seen_of(f, 1)->error == NGHTTP2_PROTOCOL_ERROR);
    fixture_free(f);
}

static void
answers_heads_that_are_too_long(void)
{
    struct h2_fixture *f = fixture_new();
    char block[16384];
    size_t bytes;

    f->listener.limits.h1.head_bytes = 4096;
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    bytes = encode(HEAD_OF("GET", "/"), block);
    for (int i = 0; i < 100; i++)
        bytes += encode("x-long: 0123456789012345678901234567890123456789\n", block + bytes);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block,
               bytes);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->status == 431 && seen_of(f, 1)->is_ended);
    CU_ASSERT_EQUAL(f->goaways, 0);
    for (int i = 0; i < 150; i++)
        bytes += encode("x-long: 0123456789012345678901234567890123456789\n", block + bytes);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 3, block,
               bytes);
    turn(f);
    CU_ASSERT(f->goaways == 1 && f->goaway_error == NGHTTP2_ENHANCE_YOUR_CALM);
    fixture_free(f);
}

static void
ends_a_connection_without_preface(void)
{
    struct h2_fixture *f = fixture_new();

    fixture_connect(f);
    send_bytes(f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    turn(f);
    CU_ASSERT(f->saw_end && f->requests == 0);
    CU_ASSERT_EQUAL(f->counters.h2_errors, 1);
    fixture_free(f);
}

/* ---- floods */

static bool
is_calmed(struct h2_fixture *f)
{
    turn(f);
    return f->goaways > 0 && f->goaway_error == NGHTTP2_ENHANCE_YOUR_CALM && f->saw_end &&
           f->counters.h2_floods == 1;
}

/* CVE-2023-44487. */
static void
ends_a_flood_of_resets(void)
{
    struct h2_fixture *f = fixture_open();
    char cancel[4] = { 0, 0, 0, NGHTTP2_CANCEL };

    for (uint32_t id = 1; id < 100; id += 2) {
        get(f, id, "/hold");
        send_frame(f, NGHTTP2_RST_STREAM, 0, id, cancel, 4);
    }
    CU_ASSERT(is_calmed(f));
    CU_ASSERT(f->requests <= 20);
    fixture_free(f);
}

/* CVE-2025-8671: resets that the client makes us send. */
static void
ends_a_flood_of_provoked_resets(void)
{
    struct h2_fixture *f = fixture_open();

    for (uint32_t id = 1; id < 100; id += 2) {
        get(f, id, "/hold");
        send_frame(f, NGHTTP2_DATA, 0, id, "x", 1); /* behind the end */
    }
    turn(f);
    CU_ASSERT(f->goaways > 0 && f->saw_end);
    fixture_free(f);
}

static void
ends_a_flood_of_malformed_requests(void)
{
    struct h2_fixture *f = fixture_open();

    for (uint32_t id = 1; id < 100; id += 2) {
        send_head(f, id, true, HEAD_OF("GET", "bad"));
        turn(f);
    }
    CU_ASSERT(is_calmed(f));
    fixture_free(f);
}

static void
ends_floods_of_control_frames(void)
{
    static const struct {
        unsigned type, flags;
        uint32_t id;
        size_t bytes;
    } kinds[] = {
        { NGHTTP2_PING, 0, 0, 8 },
        { NGHTTP2_SETTINGS, 0, 0, 0 },
        { NGHTTP2_PRIORITY, 0, 5, 5 },
        { NGHTTP2_DATA, 0, 1, 0 },
        { NGHTTP2_WINDOW_UPDATE, 0, 0, 4 },
        { 0x77, 0, 0, 3 },
    };
    char payload[8] = { 0, 0, 0, 1, 0, 0, 0, 0 };

    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct h2_fixture *f = fixture_open();

        send_head(f, 1, false, HEAD_OF("POST", "/stall"));
        for (int n = 0; n < 150; n++)
            send_frame(f, kinds[i].type, kinds[i].flags, kinds[i].id, payload, kinds[i].bytes);
        CU_ASSERT(is_calmed(f));
        fixture_free(f);
    }
}

/* CVE-2024-27316. */
static void
ends_a_flood_of_continuations(void)
{
    struct h2_fixture *f = fixture_open();
    char block[256];
    size_t bytes = encode(HEAD_OF("GET", "/"), block);

    send_frame(f, NGHTTP2_HEADERS, 0, 1, block, bytes);
    bytes = encode("x: y\n", block);
    for (int i = 0; i < 200; i++)
        send_frame(f, NGHTTP2_CONTINUATION, 0, 1, block, bytes);
    turn(f);
    CU_ASSERT(f->saw_end && f->requests == 0);
    fixture_free(f);
}

static void
ends_a_client_that_does_not_read_its_answers(void)
{
    struct h2_fixture *f = fixture_new();
    char payload[8] = { 0 };
    int small = 1;

    f->listener.h2.control_frames = 1000000;
    fixture_connect(f);
    setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    turn(f);
    f->is_blind = true;
    for (int i = 0; i < 40000 && fixture_client_conn(f) != NULL; i++)
        send_frame(f, NGHTTP2_PING, 0, 0, payload, 8);
    turn(f);
    CU_ASSERT_PTR_NULL(fixture_client_conn(f));
    CU_ASSERT_EQUAL(f->counters.h2_floods, 1);
    fixture_free(f);
}

/* Useful frames pay for the WINDOW_UPDATEs that they need. */
static void
lets_a_long_download_update_its_windows(void)
{
    struct h2_fixture *f = fixture_open();
    char more[4] = { 0, 0, 0x40, 0 };

    for (uint32_t id = 1; id < 4; id += 2) {
        get(f, id, "/big");
        for (int i = 0; i < 64; i++) {
            turn(f);
            send_frame(f, NGHTTP2_WINDOW_UPDATE, 0, 0, more, 4);
            send_frame(f, NGHTTP2_WINDOW_UPDATE, 0, id, more, 4);
        }
        turn(f);
        CU_ASSERT(seen_of(f, id)->is_ended);
    }
    CU_ASSERT_EQUAL(f->goaways, 0);
    fixture_free(f);
}

/* ---- deadlines */

static void
wait_ms(struct h2_fixture *f, int ms)
{
    uint64_t end = loop_now_ms(f->worker.loop) + (uint64_t)ms;

    while (loop_now_ms(f->worker.loop) < end) {
        loop_turn(f->worker.loop, (int)(end - loop_now_ms(f->worker.loop)));
        see(f);
    }
}

static void
ends_what_is_idle_however_it_pings(void)
{
    struct h2_fixture *f = fixture_new();
    char payload[8] = { 0 };

    f->listener.timeouts.idle_ms = 30;
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    get(f, 1, "/");
    turn(f);
    for (int i = 0; i < 5 && f->goaways == 0; i++) {
        wait_ms(f, 10);
        send_frame(f, NGHTTP2_PING, 0, 0, payload, 8);
    }
    turn(f);
    CU_ASSERT(f->goaways == 1 && f->goaway_error == NGHTTP2_NO_ERROR && f->goaway_last == 1);
    CU_ASSERT(f->saw_end);
    fixture_free(f);
}

/* Heads come under no window. */
static void
reads_no_more_than_is_read_of_it(void)
{
    struct h2_fixture *f = fixture_new();
    uint32_t id = 1;
    char head[9 + 256];
    size_t bytes = encode(HEAD_OF("HEAD", "/"), head + 9);

    f->listener.h2.streams = 10000; /* what waits in the socket is read at once later */
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    turn(f);
    f->is_blind = true;
    for (;; id += 2) {
        char frame[9] = { 0, 0, (char)bytes, NGHTTP2_HEADERS,
                          NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                          (char)(id >> 24), (char)(id >> 16), (char)(id >> 8), (char)id };

        memcpy(head, frame, sizeof(frame));
        if (send(f->fd, head, 9 + bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 || id > 1000000)
            break;
        turn(f);
    }
    CU_ASSERT(errno == EAGAIN && f->requests < id / 2);
    f->is_blind = false;
    for (int i = 0; i < 100 && f->requests < id / 2; i++)
        turn(f);
    turn(f);
    CU_ASSERT(f->requests == id / 2 && f->frames[NGHTTP2_HEADERS] == id / 2 && !f->saw_end);
    fixture_free(f);
}

/* RFC 9218 section 10: as long as there is something urgent. */
static void
forgets_the_urgency_of_what_is_gone(void)
{
    struct h2_fixture *f = fixture_open();
    const char small[6] = { 0, 4, 0, 0, 0, 1 }, wide[6] = { 0, 4, 1, 0, 0, 0 };
    const char cancel[4] = { 0, 0, 0, NGHTTP2_CANCEL }, credit[4] = { 1, 0, 0, 0 };

    send_frame(f, NGHTTP2_WINDOW_UPDATE, 0, 0, credit, 4);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, small, 6);
    send_head(f, 1, true, HEAD_OF("GET", "/big") "priority: u=0\n");
    turn(f);
    send_frame(f, NGHTTP2_RST_STREAM, 0, 1, cancel, 4);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, wide, 6);
    turn(f);
    get(f, 3, "/big");
    turn(f);
    CU_ASSERT(seen_of(f, 3)->body_bytes > BIG_BYTES / 4);
    fixture_free(f);
}

static void
ends_a_head_that_does_not_come(void)
{
    struct h2_fixture *f = fixture_new();
    char block[256];
    size_t bytes = encode(HEAD_OF("GET", "/"), block);

    f->listener.timeouts.head_ms = 30;
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    get(f, 1, "/hold"); /* so that it is not idle */
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 3, block, bytes);
    turn(f);
    wait_ms(f, 50);
    turn(f);
    CU_ASSERT(f->saw_end);
    CU_ASSERT_EQUAL(f->counters.client_timeouts, 1);
    fixture_free(f);
}

/* However close one comes behind the other. */
static void
gives_each_head_its_own_time(void)
{
    struct h2_fixture *f = fixture_new();
    char block[256];
    size_t bytes = encode(HEAD_OF("GET", "/hold"), block);

    f->listener.timeouts.head_ms = 300;
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, bytes);
    turn(f);
    wait_ms(f, 180);
    send_frame(f, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, NULL, 0);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 3, block, bytes);
    turn(f);
    wait_ms(f, 180);
    CU_ASSERT(f->requests == 1 && f->counters.client_timeouts == 0);
    send_frame(f, NGHTTP2_CONTINUATION, 0, 3, NULL, 0); /* the same head still */
    wait_ms(f, 180);
    turn(f);
    CU_ASSERT(f->counters.client_timeouts == 1 && f->saw_end);
    fixture_free(f);
}

static void
cuts_content_that_comes_too_slowly(void)
{
    struct h2_fixture *f = fixture_new();

    f->listener.timeouts.body = (struct min_rate){ 100, 30 };
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    send_head(f, 1, false, HEAD_OF("POST", "/echo"));
    turn(f);
    wait_ms(f, 60);
    turn(f);
    CU_ASSERT(f->cut == 1 && seen_of(f, 1)->status == 408 && seen_of(f, 1)->is_ended);
    CU_ASSERT_EQUAL(f->goaways, 0);
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

static void
resets_a_stream_whose_window_stays_shut(void)
{
    struct h2_fixture *f = fixture_new();
    char none[6] = { 0, 4, 0, 0, 0, 0 }; /* SETTINGS_INITIAL_WINDOW_SIZE 0 */

    f->listener.timeouts.write = (struct min_rate){ 100, 30 };
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, none, 6);
    get(f, 1, "/big");
    turn(f);
    CU_ASSERT(seen_of(f, 1)->heads == 1 && seen_of(f, 1)->body_bytes == 0);
    wait_ms(f, 80);
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && f->last_end == END_CLIENT_TIMEOUT);
    CU_ASSERT_EQUAL(f->goaways, 0);
    fixture_free(f);
}

/* A client of which the connection's window is small, and no stream's. */
static struct h2_fixture *
open_with_wide_streams(void)
{
    struct h2_fixture *f = fixture_new();
    char wide[6] = { 0, 4, 0, 0x20, 0, 0 }; /* SETTINGS_INITIAL_WINDOW_SIZE of 2 MB */

    f->listener.timeouts.write = (struct min_rate){ 100, 60 };
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, wide, 6);
    turn(f);
    return f;
}

/* Answers to PING are no content. */
static void
resets_what_takes_nothing_however_it_pings(void)
{
    struct h2_fixture *f = open_with_wide_streams();
    char payload[8] = { 0 };

    get(f, 1, "/big");
    turn(f);
    CU_ASSERT_EQUAL(seen_of(f, 1)->body_bytes, 65535);
    for (int i = 0; i < 12; i++) {
        for (int n = 0; n < 5; n++)
            send_frame(f, NGHTTP2_PING, 0, 0, payload, 8);
        wait_ms(f, 20);
    }
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && f->last_end == END_CLIENT_TIMEOUT);
    CU_ASSERT_EQUAL(f->goaways, 0);
    fixture_free(f);
}

/* Where others take what little the connection's window lets through, a stream
 * whose own window is open is not to blame. */
static void
spares_a_stream_that_waits_for_others(void)
{
    struct h2_fixture *f = open_with_wide_streams();
    char more[4] = { 0, 0, 0, 100 };

    send_head(f, 1, true, HEAD_OF("GET", "/big") "priority: u=0\n");
    turn(f);
    get(f, 3, "/big");
    turn(f);
    for (int i = 0; i < 30; i++) {
        send_frame(f, NGHTTP2_WINDOW_UPDATE, 0, 0, more, 4);
        wait_ms(f, 10);
    }
    CU_ASSERT(seen_of(f, 1)->body_bytes > seen_of(f, 3)->body_bytes);
    CU_ASSERT(!seen_of(f, 1)->is_reset && !seen_of(f, 3)->is_reset && f->gone == 0);
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

/* ---- tunnels */

static bool
comes(int fd, const char *text)
{
    char got[64];
    size_t bytes = strlen(text);

    return recv(fd, got, sizeof(got), MSG_DONTWAIT) == (ssize_t)bytes && memcmp(got, text,
                                                                                bytes) == 0;
}

static void
connect_tunnel(struct h2_fixture *f)
{
    send_head(f, 1, false, ":method: CONNECT\n:authority: a.test:443\n");
    send_frame(f, NGHTTP2_DATA, 0, 1, "early", 5);
    turn(f);
}

/* Section 8.5. */
static void
carries_a_tunnel(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    connect_tunnel(f);
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    CU_ASSERT(seen->status == 200 && !seen->is_ended);
    CU_ASSERT_PTR_NULL(strstr(seen->fields, "content-length"));
    CU_ASSERT(comes(f->tunnel_fd, "early"));
    CU_ASSERT(send(f->tunnel_fd, "down", 4, 0) == 4);
    send_frame(f, NGHTTP2_DATA, 0, 1, "up", 2);
    turn(f);
    CU_ASSERT(comes(f->tunnel_fd, "up"));
    CU_ASSERT(seen->body_bytes == 4 && memcmp(seen->body, "down", 4) == 0);
    shutdown(f->tunnel_fd, SHUT_WR);
    turn(f);
    CU_ASSERT(seen->is_ended && !seen->is_reset);
    send_frame(f, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "end", 3);
    turn(f);
    CU_ASSERT(comes(f->tunnel_fd, "end"));
    CU_ASSERT(comes(f->tunnel_fd, ""));
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_ended);
    fixture_free(f);
}

static void
resets_the_stream_of_a_tunnel_that_broke(void)
{
    struct h2_fixture *f = fixture_open();

    connect_tunnel(f);
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    close(f->tunnel_fd);
    f->tunnel_fd = -1;
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && seen_of(f, 1)->error == NGHTTP2_CONNECT_ERROR);
    fixture_free(f);
}

static void
closes_the_tunnel_of_a_stream_that_was_reset(void)
{
    struct h2_fixture *f = fixture_open();
    char cancel[4] = { 0, 0, 0, NGHTTP2_CANCEL };

    connect_tunnel(f);
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    send_frame(f, NGHTTP2_RST_STREAM, 0, 1, cancel, 4);
    turn(f);
    CU_ASSERT(send(f->tunnel_fd, "x", 1, MSG_NOSIGNAL) < 0);
    fixture_free(f);
}

static void
presses_back_on_a_tunnel(void)
{
    struct h2_fixture *f = fixture_open();
    static char data[16384];
    size_t sent = 0;
    ssize_t n;

    connect_tunnel(f);
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    for (int i = 0; i < 200; i++) {
        while ((n = send(f->tunnel_fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
            sent += (size_t)n;
        turn(f);
    }
    CU_ASSERT(sent > 65535 && sent < (4u << 20));
    CU_ASSERT_EQUAL(seen_of(f, 1)->body_bytes, 65535);
    fixture_free(f);
}

#define WEBSOCKET(path) \
    ":method: CONNECT\n:protocol: websocket\n:scheme: http\n:authority: a.test\n:path: " path "\n"

/* RFC 8441. */
static void
upgrades_websockets(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    send_head(f, 1, false, WEBSOCKET("/chat") "sec-websocket-version: 13\n");
    turn(f);
    CU_ASSERT_PTR_NOT_NULL(strstr(f->last_request, "GET http a.test /chat\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(f->last_request, "\nUpgrade: websocket\n"));
    CU_ASSERT(seen->status == 200 && !seen->is_ended);
    CU_ASSERT_PTR_NULL(strstr(seen->fields, "sec-websocket-accept"));
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    send_frame(f, NGHTTP2_DATA, 0, 1, "frame", 5);
    turn(f);
    CU_ASSERT(comes(f->tunnel_fd, "frame"));
    send_head(f, 3, false, WEBSOCKET("/wrong"));
    turn(f);
    CU_ASSERT(seen_of(f, 3)->status == 502 && seen_of(f, 3)->is_ended);
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
    CU_add_test(s, "sends as the windows allow", sends_as_the_windows_allow);
    CU_add_test(s, "holds no more than a window of a stream",
                holds_no_more_than_a_window_of_a_stream);
    CU_add_test(s, "lets others pass a slow stream", lets_others_pass_a_slow_stream);
    CU_add_test(s, "stops the connection when its budget is held",
                stops_the_connection_when_its_budget_is_held);
    CU_add_test(s, "answers and resets malformed requests", answers_and_resets_malformed_requests);
    CU_add_test(s, "resets malformed requests with trailers, too",
                resets_malformed_requests_with_trailers);
    CU_add_test(s, "refuses content of another length than announced",
                refuses_content_of_another_length);
    CU_add_test(s, "refuses trailers that do not end the stream", refuses_trailers_that_do_not_end);
    CU_add_test(s, "survives trailers of a stream that ended meanwhile",
                survives_trailers_of_a_stream_that_ended);
    CU_add_test(s, "resets a tunnel with trailers", resets_a_tunnel_with_trailers);
    CU_add_test(s, "answers heads that are too long, and ends much longer ones",
                answers_heads_that_are_too_long);
    CU_add_test(s, "ends a connection without preface", ends_a_connection_without_preface);
    CU_add_test(s, "ends a flood of resets", ends_a_flood_of_resets);
    CU_add_test(s, "ends a flood of provoked resets", ends_a_flood_of_provoked_resets);
    CU_add_test(s, "ends a flood of malformed requests", ends_a_flood_of_malformed_requests);
    CU_add_test(s, "ends floods of control frames", ends_floods_of_control_frames);
    CU_add_test(s, "ends a flood of continuations", ends_a_flood_of_continuations);
    CU_add_test(s, "ends a client that does not read its answers",
                ends_a_client_that_does_not_read_its_answers);
    CU_add_test(s, "reads no more than is read of it", reads_no_more_than_is_read_of_it);
    CU_add_test(s, "forgets the urgency of what is gone", forgets_the_urgency_of_what_is_gone);
    CU_add_test(s, "lets a long download update its windows",
                lets_a_long_download_update_its_windows);
    CU_add_test(s, "ends what is idle, however it pings", ends_what_is_idle_however_it_pings);
    CU_add_test(s, "ends a head that does not come", ends_a_head_that_does_not_come);
    CU_add_test(s, "gives each head its own time", gives_each_head_its_own_time);
    CU_add_test(s, "cuts content that comes too slowly", cuts_content_that_comes_too_slowly);
    CU_add_test(s, "keeps content until there is a response",
                keeps_content_until_there_is_a_response);
    CU_add_test(s, "resets a stream whose window stays shut",
                resets_a_stream_whose_window_stays_shut);
    CU_add_test(s, "resets what takes nothing, however it pings",
                resets_what_takes_nothing_however_it_pings);
    CU_add_test(s, "spares a stream that waits for others", spares_a_stream_that_waits_for_others);
    CU_add_test(s, "drains in two steps", drains_in_two_steps);
    CU_add_test(s, "says GOAWAY at the last request", says_goaway_at_the_last_request);
    CU_add_test(s, "ends when its listener is gone", ends_when_its_listener_is_gone);
    CU_add_test(s, "refuses half a head when its listener is gone",
                refuses_half_a_head_when_its_listener_is_gone);
    CU_add_test(s, "answers after the client's FIN", answers_after_the_clients_fin);
    CU_add_test(s, "carries a tunnel", carries_a_tunnel);
    CU_add_test(s, "resets the stream of a tunnel that broke",
                resets_the_stream_of_a_tunnel_that_broke);
    CU_add_test(s, "closes the tunnel of a stream that was reset",
                closes_the_tunnel_of_a_stream_that_was_reset);
    CU_add_test(s, "presses back on a tunnel", presses_back_on_a_tunnel);
    CU_add_test(s, "upgrades WebSockets", upgrades_websockets);
}
