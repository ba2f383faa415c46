/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_windows.c - a client's HTTP/2 connection gets and gives credit, frame by frame. */
#include "config.h"

#include "server/http/h2_downstream.h"

#include "test/unit/h2_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

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

void
suite_h2_windows(void)
{
    CU_pSuite s = CU_add_suite("h2_windows", NULL, NULL);

    CU_add_test(s, "sends as the windows allow", sends_as_the_windows_allow);
    CU_add_test(s, "holds no more than a window of a stream",
                holds_no_more_than_a_window_of_a_stream);
    CU_add_test(s, "lets others pass a slow stream", lets_others_pass_a_slow_stream);
    CU_add_test(s, "stops the connection when its budget is held",
                stops_the_connection_when_its_budget_is_held);
    CU_add_test(s, "reads no more than is read of it", reads_no_more_than_is_read_of_it);
    CU_add_test(s, "forgets the urgency of what is gone", forgets_the_urgency_of_what_is_gone);
}
