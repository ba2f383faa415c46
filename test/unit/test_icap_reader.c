/* SPDX-License-Identifier: BSD-2-Clause */
/* test_icap_reader.c - answers of ICAP servers are read strictly, and the same however they
 * arrive (RFC 3507 sections 4.3 and 4.4).
 */
#include "config.h"

#include "filters/icap_reader.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void suite_icap_reader(void);

enum { ROOM = 2, CONTENT_MAX = 4096 };

/* What came of an answer. */
struct outcome {
    struct icap_reader reader;
    struct arena arena;
    enum icap_progress progress;
    unsigned heads; /* how often it told of them */
    char content[CONTENT_MAX];
    size_t content_bytes, consumed;
};

static struct outcome outcome;

static void
collect(const struct iovec *iov, unsigned slices)
{
    for (unsigned i = 0; i < slices; i++) {
        CU_ASSERT_FATAL(iov[i].iov_len > 0);
        CU_ASSERT_FATAL(iov[i].iov_len <= CONTENT_MAX - outcome.content_bytes);
        memcpy(outcome.content + outcome.content_bytes, iov[i].iov_base, iov[i].iov_len);
        outcome.content_bytes += iov[i].iov_len;
    }
}

/* Shows one block, which is gone afterwards, until it is consumed or the answer is over. */
static void
show(const char *data, size_t bytes)
{
    size_t at = 0, consumed;
    struct iovec iov[ROOM];
    unsigned slices;

    do {
        outcome.progress = icap_read(&outcome.reader, slice_make(data + at, bytes - at), iov,
                                     ROOM, &slices, &consumed);
        CU_ASSERT_FATAL(slices <= ROOM && consumed <= bytes - at);
        collect(iov, slices);
        at += consumed;
        outcome.heads += outcome.progress == ICAP_HEAD;
    } while (outcome.progress == ICAP_HEAD || outcome.progress == ICAP_ROOM);
    CU_ASSERT_TRUE(outcome.progress != ICAP_NEED_INPUT || at == bytes);
    outcome.consumed += at;
}

static enum icap_progress
read_in(struct slice text, size_t step)
{
    outcome.heads = 0;
    outcome.content_bytes = outcome.consumed = 0;
    outcome.progress = ICAP_NEED_INPUT;
    arena_init(&outcome.arena, NULL, 256 * 1024);
    icap_reader_init(&outcome.reader, &outcome.arena);
    while (outcome.progress == ICAP_NEED_INPUT && outcome.consumed < text.bytes) {
        size_t left = text.bytes - outcome.consumed, bytes = left < step ? left : step;
        char *block = malloc(bytes);

        memcpy(block, text.data + outcome.consumed, bytes);
        show(block, bytes);
        free(block);
    }
    return outcome.progress;
}

static void
finish(void)
{
    icap_reader_fini(&outcome.reader);
    icap_reader_fini(&outcome.reader);
    arena_fini(&outcome.arena);
}

/* Checks that it comes out the same whole and byte by byte; the caller calls finish(). */
static enum icap_progress
answer(const char *text)
{
    enum icap_progress whole = read_in(slice_of(text), strlen(text));
    size_t bytes = outcome.content_bytes, consumed = outcome.consumed;
    unsigned heads = outcome.heads;

    finish();
    CU_ASSERT_EQUAL(read_in(slice_of(text), 1), whole);
    CU_ASSERT_EQUAL(outcome.heads, heads);
    CU_ASSERT_EQUAL(outcome.consumed, consumed);
    CU_ASSERT_EQUAL(outcome.content_bytes, bytes);
    return whole;
}

static void
refuses(const char *text)
{
    CU_ASSERT_EQUAL(answer(text), ICAP_BAD);
    CU_ASSERT_PTR_NOT_NULL(outcome.reader.why);
    finish();
}

static bool
content_is(const char *text)
{
    return slice_equal(slice_make(outcome.content, outcome.content_bytes), slice_of(text));
}

#define HTTP "HTTP/1.1 200 OK\r\n\r\n" /* 19 bytes */
#define WITH_BODY "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n" HTTP

/* ---- promises */

static void
reads_an_answer_without_content(void)
{
    CU_ASSERT_EQUAL(answer("ICAP/1.0 204 No Content\r\nISTag: \"x\"\r\n"
                           "Encapsulated: null-body=0\r\n\r\n"), ICAP_DONE);
    CU_ASSERT_EQUAL(outcome.heads, 1);
    CU_ASSERT_EQUAL(outcome.reader.reply.status, 204);
    CU_ASSERT_EQUAL(outcome.reader.reply.body, ICAP_NULL_BODY);
    CU_ASSERT_PTR_NULL(outcome.reader.reply.response_head.data);
    CU_ASSERT_PTR_NOT_NULL(fields_find_name(&outcome.reader.reply.fields, SLICE("istag")));
    CU_ASSERT_FALSE(outcome.reader.reply.is_last);
    finish();
    CU_ASSERT_EQUAL(answer("ICAP/1.0 100 Continue\r\n\r\n"), ICAP_DONE);
    finish();
    CU_ASSERT_EQUAL(answer("ICAP/1.0 204\r\nConnection: Close\r\n\r\n"), ICAP_DONE);
    CU_ASSERT_TRUE(outcome.reader.reply.is_last);
    finish();
}

static void
reads_heads_and_content(void)
{
    CU_ASSERT_EQUAL(answer(WITH_BODY "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"), ICAP_DONE);
    CU_ASSERT_EQUAL(outcome.heads, 1);
    CU_ASSERT_TRUE(slice_equal(outcome.reader.reply.response_head, SLICE(HTTP)));
    CU_ASSERT_PTR_NULL(outcome.reader.reply.request_head.data);
    CU_ASSERT_EQUAL(outcome.reader.reply.body, ICAP_RESPONSE_BODY);
    CU_ASSERT_TRUE(content_is("hello world"));
    CU_ASSERT_EQUAL(outcome.reader.original_at, ICAP_NO_ORIGINAL);
    finish();
}

static void
reads_a_request_and_both_heads(void)
{
    CU_ASSERT_EQUAL(answer("ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, req-body=5\r\n\r\n"
                           "headB" "1\r\nx\r\n00\r\nA: b\r\nC: d\r\n\r\n"), ICAP_DONE);
    CU_ASSERT_TRUE(slice_equal(outcome.reader.reply.request_head, SLICE("headB")));
    CU_ASSERT_TRUE(content_is("x"));
    finish();
    CU_ASSERT_EQUAL(answer("ICAP/1.0 200 OK\r\n"
                           "Encapsulated: req-hdr=0, res-hdr=3, null-body=7\r\n\r\nreqresp"),
                    ICAP_DONE);
    CU_ASSERT_TRUE(slice_equal(outcome.reader.reply.request_head, SLICE("req")));
    CU_ASSERT_TRUE(slice_equal(outcome.reader.reply.response_head, SLICE("resp")));
    finish();
}

static void
stops_behind_the_answer(void)
{
    const char *text = "ICAP/1.0 100 Continue\r\n\r\nICAP/1.0 204 OK\r\n\r\n";

    CU_ASSERT_EQUAL(read_in(slice_of(text), strlen(text)), ICAP_DONE);
    CU_ASSERT_EQUAL(outcome.consumed, strlen("ICAP/1.0 100 Continue\r\n\r\n"));
    finish();
}

/* draft-icap-ext-partial-content section 5.2 */
static void
tells_from_where_the_original_follows(void)
{
    CU_ASSERT_EQUAL(answer("ICAP/1.0 206 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n" HTTP
                           "1\r\nx\r\n0; use-original-body=4711\r\n\r\n"), ICAP_DONE);
    CU_ASSERT_EQUAL(outcome.reader.original_at, 4711);
    finish();
    CU_ASSERT_EQUAL(answer(WITH_BODY "0; use-original-body=1\r\n\r\n"), ICAP_DONE);
    CU_ASSERT_EQUAL(outcome.reader.original_at, ICAP_NO_ORIGINAL); /* not of a 200 */
    finish();
    refuses("ICAP/1.0 206 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n" HTTP
            "0; use-original-body=-1\r\n\r\n");
}

static void
refuses_heads_that_are_none(void)
{
    refuses("HTTP/1.1 200 OK\r\n\r\n");
    refuses("ICAP/1.1 204 x\r\n\r\n");
    refuses("ICAP/1.0 20 x\r\n\r\n");
    refuses("ICAP/1.0 2044\r\n\r\n");
    refuses("ICAP/1.0 099 x\r\n\r\n");
    refuses("ICAP/1.0 204 x\rA: b\r\n\r\n");
    refuses("ICAP/1.0 204 x\r\nA b\r\n\r\n");
    refuses("ICAP/1.0 204 x\r\nA: b\nC: d\r\n\r\n");
}

static void
refuses_parts_that_make_no_sense(void)
{
    static const char *const lists[] = {
        "res-hdr=0", "res-body=0", "req-hdr=0, res-body=5", "res-hdr=0, req-body=5",
        "res-hdr=1, res-body=5", "res-hdr=0, res-body=0", "req-hdr=0, res-hdr=0, res-body=5",
        "req-hdr=0, req-hdr=0, req-body=5", "res-hdr=0, null-body=5, res-body=6",
        "null-body=3", "req-hdr=0, opt-body=5", "res-hdr=0, res-body=x", "res-hdr=0, res-body",
        "=0", "other=0", "res-hdr=0, res-body=99999999", "req-hdr=0, res-hdr=9, req-body=12",
        "res-hdr=0, req-hdr=3, req-body=5", "",
    };

    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        char text[256];

        snprintf(text, sizeof(text), "ICAP/1.0 200 OK\r\nEncapsulated: %s\r\n\r\n", lists[i]);
        refuses(text);
    }
}

static void
refuses_malformed_chunks(void)
{
    refuses(WITH_BODY "x\r\n");
    refuses(WITH_BODY "\r\n");
    refuses(WITH_BODY "+5\r\nhello\r\n");
    refuses(WITH_BODY "5\nhello\r\n");
    refuses(WITH_BODY "5\r\rhello");
    refuses(WITH_BODY "5 x\r\nhello\r\n");
    refuses(WITH_BODY "5\r\nhello!\r\n");
    refuses(WITH_BODY "5\r\nhello\rx");
    refuses(WITH_BODY "1234567890abcdef0\r\n");
    refuses(WITH_BODY "0\r\nA: b\nC\r\n\r\n");
}

static void
bounds_everything(void)
{
    static char text[ICAP_HEAD_BYTES_MAX + ICAP_TRAILER_BYTES_MAX];

    memset(text, 'a', sizeof(text));
    memcpy(text, "ICAP/1.0 200 OK\r\nA: ", 20);
    CU_ASSERT_EQUAL(read_in(slice_make(text, sizeof(text)), 1000), ICAP_BAD);
    finish();
    memcpy(text, WITH_BODY "0;", strlen(WITH_BODY "0;"));
    CU_ASSERT_EQUAL(read_in(slice_make(text, sizeof(text)), 1000), ICAP_BAD);
    CU_ASSERT_TRUE(outcome.consumed <= strlen(WITH_BODY "0;") + ICAP_EXTENSION_BYTES_MAX);
    finish();
    memcpy(text, WITH_BODY "0\r\n", strlen(WITH_BODY "0\r\n"));
    CU_ASSERT_EQUAL(read_in(slice_make(text, sizeof(text)), 1000), ICAP_BAD);
    finish();
}

static void
waits_for_what_is_missing(void)
{
    static const char whole[] = WITH_BODY "5\r\nhello\r\n0\r\n\r\n";

    for (size_t bytes = 0; bytes < sizeof(whole) - 1; bytes++) {
        CU_ASSERT_EQUAL(read_in(slice_make(whole, bytes), bytes + 1), ICAP_NEED_INPUT);
        finish();
    }
}

void
suite_icap_reader(void)
{
    CU_pSuite s = CU_add_suite("icap_reader", NULL, NULL);

    CU_add_test(s, "reads an answer without content", reads_an_answer_without_content);
    CU_add_test(s, "reads heads and content", reads_heads_and_content);
    CU_add_test(s, "reads a request, and both heads", reads_a_request_and_both_heads);
    CU_add_test(s, "stops behind the answer", stops_behind_the_answer);
    CU_add_test(s, "tells from where the original follows", tells_from_where_the_original_follows);
    CU_add_test(s, "refuses heads that are none", refuses_heads_that_are_none);
    CU_add_test(s, "refuses parts that make no sense", refuses_parts_that_make_no_sense);
    CU_add_test(s, "refuses malformed chunks", refuses_malformed_chunks);
    CU_add_test(s, "bounds everything", bounds_everything);
    CU_add_test(s, "waits for what is missing", waits_for_what_is_missing);
}
