/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_deadlines.c - what a client's HTTP/2 connection has to do in time. */
#include "config.h"

#include "server/http/h2_downstream.h"

#include "server/base/clock.h"
#include "test/unit/h2_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

/* How often what must be in time is tried: it is not when the machine holds us up. */
#define ROUNDS 30

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

/* Two heads, each of which takes more than half of its time, and the second all of it.
 * False: the first one ended late, which it may only when the machine held us up. */
static bool
gives_two_heads_their_own_time(uint32_t ms)
{
    struct h2_fixture *f = fixture_new();
    uint64_t before_ms[2] = { clock_monotonic_ms() };
    char block[256];
    size_t bytes = encode(HEAD_OF("GET", "/hold"), block);
    bool were_in_time;

    f->listener.timeouts.head_ms = ms;
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, bytes);
    turn(f);
    wait_ms(f, (int)ms * 6 / 10);
    before_ms[1] = clock_monotonic_ms();
    send_frame(f, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, NULL, 0);
    send_frame(f, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 3, block, bytes);
    turn(f);
    wait_ms(f, (int)ms * 6 / 10);
    were_in_time = f->requests == 1 && f->counters.client_timeouts == 0;
    CU_ASSERT(were_in_time || clock_monotonic_ms() - before_ms[1] >= ms ||
              (f->requests == 0 && clock_monotonic_ms() - before_ms[0] >= ms));
    send_frame(f, NGHTTP2_CONTINUATION, 0, 3, NULL, 0); /* the same head still */
    wait_ms(f, (int)ms * 6 / 10);
    turn(f);
    CU_ASSERT(f->counters.client_timeouts == 1 && f->saw_end);
    fixture_free(f);
    return were_in_time;
}

/* However close one comes behind the other. */
static void
gives_each_head_its_own_time(void)
{
    bool were_in_time = false;

    for (uint32_t i = 0; i < ROUNDS && !were_in_time; i++)
        were_in_time = gives_two_heads_their_own_time(100 + i * 20);
    CU_ASSERT_TRUE(were_in_time);
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

/* A client of which the connection's window is small, and no stream's; 100 bytes have ms. */
static struct h2_fixture *
open_with_wide_streams(uint32_t ms)
{
    struct h2_fixture *f = fixture_new();
    char wide[6] = { 0, 4, 0, 0x20, 0, 0 }; /* SETTINGS_INITIAL_WINDOW_SIZE of 2 MB */

    f->listener.timeouts.write = (struct min_rate){ 100, ms };
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
    struct h2_fixture *f = open_with_wide_streams(60);
    char payload[8] = { 0 };

    get(f, 1, "/big");
    for (int i = 0; i < 12; i++) {
        for (int n = 0; n < 5; n++)
            send_frame(f, NGHTTP2_PING, 0, 0, payload, 8);
        wait_ms(f, 20);
    }
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && f->last_end == END_CLIENT_TIMEOUT);
    CU_ASSERT(seen_of(f, 1)->body_bytes > 0 && seen_of(f, 1)->body_bytes <= 65535);
    CU_ASSERT_EQUAL(f->goaways, 0);
    fixture_free(f);
}

/* Gives credit for 100 bytes six times in ms, for five times ms. False: a stream was reset,
 * which it may only be when the machine held us up, so that credit came too late. */
static bool
spares_one_of_two_streams(uint32_t ms)
{
    struct h2_fixture *f = open_with_wide_streams(ms);
    uint64_t now_ms, before_ms = clock_monotonic_ms(), longest_ms = 0;
    char more[4] = { 0, 0, 0, 100 };
    bool is_spared;

    send_head(f, 1, true, HEAD_OF("GET", "/big") "priority: u=0\n");
    turn(f);
    get(f, 3, "/big");
    turn(f);
    for (int i = 0; i < 30; i++) {
        send_frame(f, NGHTTP2_WINDOW_UPDATE, 0, 0, more, 4);
        wait_ms(f, (int)ms / 6);
        now_ms = clock_monotonic_ms();
        if (now_ms - before_ms > longest_ms)
            longest_ms = now_ms - before_ms;
        before_ms = now_ms;
    }
    is_spared = !seen_of(f, 1)->is_reset && !seen_of(f, 3)->is_reset && f->gone == 0;
    CU_ASSERT(is_spared || longest_ms > ms / 3);
    CU_ASSERT(!is_spared || seen_of(f, 1)->body_bytes > seen_of(f, 3)->body_bytes);
    fixture_free(f);
    return is_spared;
}

/* Where others take what little the connection's window lets through, a stream
 * whose own window is open is not to blame. */
static void
spares_a_stream_that_waits_for_others(void)
{
    bool is_spared = false;

    for (uint32_t i = 0; i < ROUNDS && !is_spared; i++)
        is_spared = spares_one_of_two_streams(60 + i * 30);
    CU_ASSERT_TRUE(is_spared);
}

void
suite_h2_deadlines(void)
{
    CU_pSuite s = CU_add_suite("h2_deadlines", NULL, NULL);

    CU_add_test(s, "ends what is idle, however it pings", ends_what_is_idle_however_it_pings);
    CU_add_test(s, "ends a head that does not come", ends_a_head_that_does_not_come);
    CU_add_test(s, "gives each head its own time", gives_each_head_its_own_time);
    CU_add_test(s, "cuts content that comes too slowly", cuts_content_that_comes_too_slowly);
    CU_add_test(s, "resets a stream whose window stays shut",
                resets_a_stream_whose_window_stays_shut);
    CU_add_test(s, "resets what takes nothing, however it pings",
                resets_what_takes_nothing_however_it_pings);
    CU_add_test(s, "spares a stream that waits for others", spares_a_stream_that_waits_for_others);
}
