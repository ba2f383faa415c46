/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_hostile.c - clients that break the rules of HTTP/2, or flood their connection. */
#include "config.h"

#include "server/http/h2_downstream.h"

#include "test/unit/h2_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

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

void
suite_h2_hostile(void)
{
    CU_pSuite s = CU_add_suite("h2_hostile", NULL, NULL);

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
    CU_add_test(s, "lets a long download update its windows",
                lets_a_long_download_update_its_windows);
}
