/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h1_chunked.c - chunked bodies are read strictly, and the same however
 * they arrive (RFC 9112 section 7.1). */
#include "config.h"

#include "server/http/h1_chunked.h"

#include <stdio.h>
#include <stdlib.h>

#include <CUnit/CUnit.h>

void suite_h1_chunked(void);

enum { ROOM = 4, CONTENT_MAX = 64 * 1024 };

static const struct h1_limits limits = { 1000, 2000, 10 };

/* What came of a body. */
struct outcome {
    enum chunked_progress progress;
    char content[CONTENT_MAX];
    size_t content_bytes, consumed;
    struct arena arena;
    struct fields trailers;
    char trailer_text[256];
};

static struct outcome outcome, other;

static void
collect(struct outcome *out, const struct iovec *iov, unsigned slices)
{
    for (unsigned i = 0; i < slices; i++) {
        CU_ASSERT_FATAL(iov[i].iov_len > 0);
        CU_ASSERT_FATAL(iov[i].iov_len <= CONTENT_MAX - out->content_bytes);
        memcpy(out->content + out->content_bytes, iov[i].iov_base, iov[i].iov_len);
        out->content_bytes += iov[i].iov_len;
    }
}

static void
note_trailers(struct outcome *out)
{
    size_t at = 0;

    out->trailer_text[0] = '\0';
    for (uint32_t i = 0; i < out->trailers.count && at < sizeof(out->trailer_text); i++)
        at += (size_t)snprintf(out->trailer_text + at, sizeof(out->trailer_text) - at,
                               "%.*s=%.*s|", SLICE_ARG(out->trailers.items[i].name),
                               SLICE_ARG(out->trailers.items[i].value));
}

/* Decodes text in pieces of step bytes, each in a block of its own that is gone
 * afterwards, with room slices a call. */
static enum chunked_progress
decode(struct outcome *out, struct slice text, size_t step, unsigned room)
{
    struct h1_chunked c;
    enum chunked_progress progress = CHUNKED_NEED_INPUT;

    *out = (struct outcome){ .progress = CHUNKED_NEED_INPUT };
    arena_init(&out->arena, NULL, 1 << 20);
    h1_chunked_init(&c, &out->arena, &limits, &out->trailers);
    while (out->consumed < text.bytes &&
           (progress == CHUNKED_NEED_INPUT || progress == CHUNKED_ROOM)) {
        size_t left = text.bytes - out->consumed, bytes = left < step ? left : step, consumed;
        char *block = malloc(bytes);
        struct iovec iov[ROOM];
        unsigned slices;

        memcpy(block, text.data + out->consumed, bytes);
        progress = h1_chunked_decode(&c, slice_make(block, bytes), iov, room, &slices, &consumed);
        CU_ASSERT_FATAL(slices <= room && consumed <= bytes);
        CU_ASSERT_FATAL(progress != CHUNKED_NEED_INPUT || consumed == bytes);
        CU_ASSERT_FATAL(progress != CHUNKED_ROOM || slices == room);
        collect(out, iov, slices);
        out->consumed += consumed;
        free(block);
    }
    note_trailers(out);
    arena_fini(&out->arena);
    return out->progress = progress;
}

/* Whole and in pieces of several sizes: the same. */
static enum chunked_progress
decode_all_ways(struct slice text)
{
    static const size_t steps[] = { 1, 2, 3, 7, 64 };

    decode(&outcome, text, SIZE_MAX, ROOM);
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        decode(&other, text, steps[i], i % ROOM + 1);
        CU_ASSERT_EQUAL(other.progress, outcome.progress);
        CU_ASSERT_TRUE(slice_equal(slice_make(other.content, other.content_bytes),
                                   slice_make(outcome.content, outcome.content_bytes)));
        CU_ASSERT_STRING_EQUAL(other.trailer_text, outcome.trailer_text);
        if (outcome.progress == CHUNKED_DONE)
            CU_ASSERT_EQUAL(other.consumed, outcome.consumed);
    }
    return outcome.progress;
}

static enum chunked_progress
read_body(const char *text)
{
    return decode_all_ways(slice_of(text));
}

static bool
has_content(const char *expected)
{
    return slice_equal(slice_make(outcome.content, outcome.content_bytes), slice_of(expected));
}

static void
expect_each(enum chunked_progress expected, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum chunked_progress progress = read_body(texts[i]);

        CU_ASSERT_EQUAL(progress, expected);
        if (progress != expected)
            printf("\n  progress %d, expected %d: %s\n", progress, expected, texts[i]);
    }
}

/* ---- the tests */

static void
finds_the_content(void)
{
    CU_ASSERT_EQUAL(read_body("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_TRUE(has_content("hello world"));
    CU_ASSERT_EQUAL(read_body("0\r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_TRUE(has_content(""));
    CU_ASSERT_EQUAL(read_body("0000000000000005\r\nhello\r\n00\r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_TRUE(has_content("hello"));
    CU_ASSERT_EQUAL(read_body("A\r\n0123456789\r\na\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n"),
                    CHUNKED_DONE);
    CU_ASSERT_TRUE(has_content("0123456789\r\n\r\n\r\n\r\n\r\n"));
}

static void
leaves_what_follows_the_body(void)
{
    const char *text = "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";

    CU_ASSERT_EQUAL(read_body(text), CHUNKED_DONE);
    CU_ASSERT_STRING_EQUAL(text + outcome.consumed, "GET / HTTP/1.1\r\n");
    CU_ASSERT_EQUAL(read_body("0\r\na: b\r\n\r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_EQUAL(outcome.consumed, strlen("0\r\na: b\r\n\r\n"));
}

static void
names_content_where_it_lies(void)
{
    struct slice input = SLICE("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    struct h1_chunked c;
    struct iovec iov[4];
    unsigned slices;
    size_t consumed;

    h1_chunked_init(&c, NULL, &limits, NULL);
    CU_ASSERT_EQUAL(h1_chunked_decode(&c, input, iov, 4, &slices, &consumed), CHUNKED_DONE);
    CU_ASSERT_EQUAL(slices, 2);
    CU_ASSERT_EQUAL(consumed, input.bytes);
    CU_ASSERT_PTR_EQUAL(iov[0].iov_base, input.data + 3);
    CU_ASSERT_PTR_EQUAL(iov[1].iov_base, input.data + 11);
    CU_ASSERT_EQUAL(h1_chunked_decode(&c, input, iov, 4, &slices, &consumed), CHUNKED_DONE);
    CU_ASSERT_EQUAL(slices, 0);
    CU_ASSERT_EQUAL(consumed, 0);
}

static void
stops_when_there_is_no_room(void)
{
    struct slice input = SLICE("1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    struct h1_chunked c;
    struct iovec iov[1];
    unsigned slices;
    size_t consumed;

    h1_chunked_init(&c, NULL, &limits, NULL);
    CU_ASSERT_EQUAL(h1_chunked_decode(&c, input, iov, 1, &slices, &consumed), CHUNKED_ROOM);
    CU_ASSERT_EQUAL(slices, 1);
    CU_ASSERT_EQUAL(consumed, 9);
    /* The end of the body needs none. */
    CU_ASSERT_EQUAL(h1_chunked_decode(&c, slice_skip(input, consumed), iov, 1, &slices, &consumed),
                    CHUNKED_DONE);
    CU_ASSERT_EQUAL(slices, 1);
}

/* A body that stops anywhere before its end is never whole. */
static void
takes_no_beginning_for_the_whole(void)
{
    const char *text = "5;a=\"b\"\r\nhello\r\n0\r\nx: y\r\n\r\n";

    for (size_t bytes = 0; bytes < strlen(text); bytes++)
        CU_ASSERT_EQUAL(decode_all_ways(slice_make(text, bytes)), CHUNKED_NEED_INPUT);
    CU_ASSERT_EQUAL(read_body(text), CHUNKED_DONE);
}

/* Section 7.1: chunk-size is 1*HEXDIG. */
static void
refuses_malformed_sizes(void)
{
    static const char *const bad[] = {
        "+5\r\nhello\r\n", "-5\r\n", " 5\r\n", "0x5\r\n", "5 \r\n", "5\t\r\n", "\r\n", ";a\r\n",
        "g\r\n", "5h\r\n", "5,5\r\n", "5.\r\n", "8000000000000000\r\n", "ffffffffffffffff\r\n",
        "00000000000000005\r\n", "10000000000000000\r\n", "5\n", "5\rx", "5\r\rhello", "\n",
    };

    expect_each(CHUNKED_BAD, bad, ARRAY_COUNT(bad));
    CU_ASSERT_EQUAL(decode_all_ways(SLICE("5\0\r\n")), CHUNKED_BAD);
    CU_ASSERT_EQUAL(read_body("7fffffffffffffff\r\nabc"), CHUNKED_NEED_INPUT);
}

static void
refuses_malformed_chunk_ends(void)
{
    static const char *const bad[] = {
        "5\r\nhello\n", "5\r\nhello\r0", "5\r\nhello!\r\n", "5\r\nhello0\r\n", "5\r\nhello\r\r\n",
        "5\r\nhello\r\n\r\n", "0\r\n\n", "0\r\n\rx", "0\n\r\n", "0\r\n\r\r\n",
    };

    expect_each(CHUNKED_BAD, bad, ARRAY_COUNT(bad));
}

/* Section 7.1.1: what is not understood is ignored, if it is an extension. */
static void
drops_extensions(void)
{
    static const char *const good[] = {
        "1;a\r\nx\r\n0\r\n\r\n", "1;a=b\r\nx\r\n0;c\r\n\r\n",
        "1;a=\"b;c=\\\"\\\\ \t\"\r\nx\r\n0\r\n\r\n",
        "1 ; a = b ; c\r\nx\r\n0\r\n\r\n", "1\t;a;b;c=d;e=\"\"\r\nx\r\n0\r\n\r\n",
        "1;a=\"\xc3\xa4{}\"\r\nx\r\n0\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        expect_each(CHUNKED_DONE, good + i, 1);
        CU_ASSERT_TRUE(has_content("x"));
    }
}

static void
refuses_malformed_extensions(void)
{
    static const char *const bad[] = {
        "1;\r\n", "1;;a\r\n", "1;a=\r\n", "1;=b\r\n", "1;a=b c\r\n", "1;a b\r\n", "1;a \r\n",
        "1;a=b \r\n", "1;a=\"b\" \r\n", "1;a=\"b\"c\r\n", "1;a=\"b\r\n", "1;a\n", "1;a\rb",
        "1;a=\"\n\"\r\n", "1;a=\"\r\n\"\r\n", "1;a=\"\\\r\n\"", "1;a=\x01\r\n", "1;a=\"\x7f\"\r\n",
        "1;\x80\r\n", "1;a(\r\n", "1;a=b=c\r\n", "1 a\r\n", "1;a\r\r\n",
    };

    expect_each(CHUNKED_BAD, bad, ARRAY_COUNT(bad));
    CU_ASSERT_EQUAL(decode_all_ways(SLICE("1;a=\"\0\"\r\n")), CHUNKED_BAD);
}

static enum chunked_progress
read_repeated(const char *before, const char *piece, size_t times, const char *after)
{
    size_t ahead = strlen(before), bytes = strlen(piece), behind = strlen(after);
    size_t all = ahead + bytes * times + behind;
    char *text = malloc(all), *at = mempcpy(text, before, ahead);
    enum chunked_progress progress;

    for (size_t i = 0; i < times; i++)
        at = mempcpy(at, piece, bytes);
    memcpy(at, after, behind);
    progress = decode_all_ways(slice_make(text, all));
    free(text);
    return progress;
}

static void
bounds_extensions_over_the_whole_body(void)
{
    /* ";" and CR count too. */
    CU_ASSERT_EQUAL(read_repeated("1;", "a", H1_EXTENSION_BYTES_MAX - 2, "\r\nx\r\n0\r\n\r\n"),
                    CHUNKED_DONE);
    CU_ASSERT_EQUAL(read_repeated("1;", "a", H1_EXTENSION_BYTES_MAX - 1, "\r\nx\r\n0\r\n\r\n"),
                    CHUNKED_BAD);
    CU_ASSERT_EQUAL(read_repeated("", "1;a\r\nx\r\n", H1_EXTENSION_BYTES_MAX / 3, "0\r\n\r\n"),
                    CHUNKED_DONE);
    CU_ASSERT_EQUAL(read_repeated("", "1;a\r\nx\r\n", H1_EXTENSION_BYTES_MAX / 3 + 1, "0\r\n\r\n"),
                    CHUNKED_BAD);
}

static void
takes_any_number_of_tiny_chunks(void)
{
    CU_ASSERT_EQUAL(read_repeated("", "1\r\nx\r\n", 20000, "0\r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_EQUAL(outcome.content_bytes, 20000);
}

/* Section 7.1.2. */
static void
keeps_trailers(void)
{
    CU_ASSERT_EQUAL(read_body("1\r\nx\r\n0\r\nGrpc-Status: 0\r\nX-A:\tb \r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_STRING_EQUAL(outcome.trailer_text, "Grpc-Status=0|X-A=b|");
    CU_ASSERT_EQUAL(read_body("0\r\nETag: \"e\"\r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_STRING_EQUAL(outcome.trailer_text, "ETag=\"e\"|");
}

/* RFC 9110 section 6.5.1: never merged, never believed. */
static void
drops_trailers_that_must_not_be(void)
{
    CU_ASSERT_EQUAL(read_body("0\r\nContent-Length: 5\r\ntransfer-encoding: chunked\r\nHost: h\r\n"
                              "Connection: x\r\nX-Good: 1\r\nCookie: c\r\nAuthorization: a\r\n"
                              "X-Forwarded-For: ::1\r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_STRING_EQUAL(outcome.trailer_text, "X-Good=1|");
}

static void
refuses_malformed_trailers(void)
{
    static const char *const bad[] = {
        "0\r\na\r\n\r\n", "0\r\na : b\r\n\r\n", "0\r\n a: b\r\n\r\n", "0\r\na: b\r\n c\r\n\r\n",
        "0\r\n: b\r\n\r\n", "0\r\na: b\n\r\n", "0\r\na: b\r\n\n", "0\r\na: \x01\r\n\r\n",
        "0\r\na: b\rc\r\n\r\n", "0\r\nHost: a\r\nHost: b\r\n\r\n", "0\r\na: b\r\n\rx\r\n\r\n",
    };

    expect_each(CHUNKED_BAD, bad, ARRAY_COUNT(bad));
    CU_ASSERT_EQUAL(decode_all_ways(SLICE("0\r\na: \0\r\n\r\n")), CHUNKED_BAD);
}

static void
bounds_the_trailer_section(void)
{
    CU_ASSERT_EQUAL(read_repeated("0\r\n", "a:\r\n", 10, "\r\n"), CHUNKED_DONE);
    CU_ASSERT_EQUAL(read_repeated("0\r\n", "a:\r\n", 11, "\r\n"), CHUNKED_BAD);
    CU_ASSERT_EQUAL(read_repeated("0\r\na:", "b", 2000 - 6, "\r\n\r\n"), CHUNKED_DONE);
    CU_ASSERT_EQUAL(read_repeated("0\r\na:", "b", 2000 - 5, "\r\n\r\n"), CHUNKED_BAD);
    CU_ASSERT_EQUAL(read_repeated("0\r\na:", "b", 20000, ""), CHUNKED_BAD);
}

static void
fails_when_memory_is_short(void)
{
    struct slice input = SLICE("0\r\na: b\r\n\r\n");

    for (size_t budget = 0; budget < 3 * BLOCK_BYTES; budget += 64) {
        struct fields trailers = { 0 };
        struct arena small;
        struct h1_chunked c;
        unsigned slices;
        size_t consumed;
        enum chunked_progress progress;

        arena_init(&small, NULL, budget);
        h1_chunked_init(&c, &small, &limits, &trailers);
        progress = h1_chunked_decode(&c, input, NULL, 0, &slices, &consumed);
        CU_ASSERT_EQUAL(progress, arena_is_spent(&small) ? CHUNKED_BAD : CHUNKED_DONE);
        CU_ASSERT_EQUAL(trailers.count, progress == CHUNKED_DONE);
        arena_fini(&small);
    }
}

static void
stays_small(void)
{
    CU_ASSERT_TRUE(sizeof(struct h1_chunked) <= 48);
}

void
suite_h1_chunked(void)
{
    CU_pSuite s = CU_add_suite("h1_chunked", NULL, NULL);

    CU_add_test(s, "finds the content", finds_the_content);
    CU_add_test(s, "leaves what follows the body", leaves_what_follows_the_body);
    CU_add_test(s, "names content where it lies", names_content_where_it_lies);
    CU_add_test(s, "stops when there is no room", stops_when_there_is_no_room);
    CU_add_test(s, "takes no beginning for the whole", takes_no_beginning_for_the_whole);
    CU_add_test(s, "refuses malformed sizes", refuses_malformed_sizes);
    CU_add_test(s, "refuses malformed chunk ends", refuses_malformed_chunk_ends);
    CU_add_test(s, "drops extensions", drops_extensions);
    CU_add_test(s, "refuses malformed extensions", refuses_malformed_extensions);
    CU_add_test(s, "bounds extensions over the whole body", bounds_extensions_over_the_whole_body);
    CU_add_test(s, "takes any number of tiny chunks", takes_any_number_of_tiny_chunks);
    CU_add_test(s, "keeps trailers", keeps_trailers);
    CU_add_test(s, "drops trailers that must not be", drops_trailers_that_must_not_be);
    CU_add_test(s, "refuses malformed trailers", refuses_malformed_trailers);
    CU_add_test(s, "bounds the trailer section", bounds_the_trailer_section);
    CU_add_test(s, "fails when memory is short", fails_when_memory_is_short);
    CU_add_test(s, "stays small", stays_small);
}
