/* SPDX-License-Identifier: BSD-2-Clause */
/* test_decompress.c - promises of filters/coding.h about decoding. What is decoded was coded
 * by the libraries themselves, not by the filter compress.
 */
#include "config.h"

#include "filters/coding.h"

#include "test/unit/content_fixture.h"
#include "test/unit/suites.h"

#include <zlib.h>
#ifdef HAVE_BROTLI
#include <brotli/encode.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#define TEXT_BYTES 100000u
#define CODED_BYTES (256u * 1024)

static char text[TEXT_BYTES], coded[CODED_BYTES];

static void
fill_text(void)
{
    uint32_t state = 1;

    for (size_t i = 0; i < sizeof(text); i++) {
        state = state * 1103515245 + 12345;
        text[i] = "the content of a page, more or less "[(state >> 20) % 36];
    }
}

static size_t
zlib_coded(const char *in, size_t bytes, char *out, size_t room, int window_bits)
{
    z_stream zlib = { .next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)bytes,
                      .next_out = (Bytef *)out, .avail_out = (uInt)room };

    CU_ASSERT_EQUAL_FATAL(deflateInit2(&zlib, 6, Z_DEFLATED, window_bits, 8, 0), Z_OK);
    CU_ASSERT_EQUAL_FATAL(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    deflateEnd(&zlib);
    return zlib.total_out;
}

/* Codes into coded; returns the length, 0 when this build cannot. */
static size_t
code(enum coding coding, const char *in, size_t bytes, char *out, size_t room)
{
    switch (coding) {
    case CODING_GZIP:
        return zlib_coded(in, bytes, out, room, 31);
    case CODING_DEFLATE:
        return zlib_coded(in, bytes, out, room, 15);
#ifdef HAVE_BROTLI
    case CODING_BR:
        CU_ASSERT_TRUE_FATAL(BrotliEncoderCompress(5, 18, BROTLI_MODE_TEXT, bytes,
                                                   (const uint8_t *)in, &room, (uint8_t *)out));
        return room;
#else
    case CODING_BR:
        return 0;
#endif
#ifdef HAVE_ZSTD
    case CODING_ZSTD:
        return ZSTD_compress(out, room, in, bytes, 3);
#else
    case CODING_ZSTD:
        return 0;
#endif
    case CODING_IDENTITY:
    case CODING_UNKNOWN:
    case CODING_COUNT:
        break;
    }
    return 0;
}

/* ---- running */

static struct {
    enum decode_failure failure;
    unsigned failures;
} seen;

static void
on_failed(struct exchange *ex, void *arg, enum decode_failure failure)
{
    (void)ex;
    (void)arg;
    seen.failure = failure;
    seen.failures++;
}

static struct decode_plan
plan_of(enum coding coding)
{
    return (struct decode_plan){ .codings = { .items = { coding }, .count = 1 },
                                 .on_failed = on_failed };
}

/* Decodes what the script gives; true: to its end. */
static bool
decode(const struct decode_plan *plan, size_t room)
{
    struct source *source = decode_begin(&content.ex, &content.source, plan);

    CU_ASSERT_PTR_NOT_NULL_FATAL(source);
    seen.failures = 0;
    content_run(source, room);
    CU_ASSERT_EQUAL(content.result == PUMP_SOURCE_FAILED && !content.cuts, seen.failures == 1);
    return content.result == PUMP_DONE;
}

/* The same of these bytes, in a fixture of its own, which the caller finishes. */
static bool
decode_bytes(enum coding coding, const void *bytes, size_t count, size_t step)
{
    struct decode_plan plan = plan_of(coding);

    content_begin();
    content.waits = step < count;
    content_script(bytes, count, step);
    return decode(&plan, 0);
}

static bool
fails(enum coding coding, const void *bytes, size_t count, enum decode_failure failure)
{
    bool is_failure = true;

    for (size_t step = 1; step <= count; step += count > 1 ? count - 1 : 1) {
        is_failure &= !decode_bytes(coding, bytes, count, step) && seen.failure == failure;
        content_finish();
    }
    return is_failure;
}

#define EACH_CODING(coding_) \
    for (enum coding coding_ = CODING_GZIP; coding_ < CODING_UNKNOWN; coding_++) \
        if (coding_can_decode(coding_))

/* ---- promises */

static void
content_comes_out_however_it_is_cut(void)
{
    static const size_t steps[] = { 1, 7, 1000, CODED_BYTES }, rooms[] = { 0, 1000 };

    fill_text();
    EACH_CODING(coding) {
        size_t bytes = code(coding, text, sizeof(text), coded, sizeof(coded));

        for (size_t s = 0; s < ARRAY_COUNT(steps); s++)
            for (size_t r = 0; r < ARRAY_COUNT(rooms); r++) {
                struct decode_plan plan = plan_of(coding);

                content_begin();
                content.says_last = s % 2 == 0;
                content_script(coded, bytes, steps[s]);
                CU_ASSERT_TRUE(decode(&plan, rooms[r]));
                CU_ASSERT_TRUE(content_is(text, sizeof(text)));
                content_finish();
            }
    }
}

static void
no_content_is_no_content_in_any_coding(void)
{
    EACH_CODING(coding) {
        size_t bytes = code(coding, "", 0, coded, sizeof(coded));

        CU_ASSERT_TRUE(decode_bytes(coding, coded, bytes, 1));
        CU_ASSERT_EQUAL(content.out_bytes, 0);
        content_finish();
        CU_ASSERT_TRUE(decode_bytes(coding, coded, 0, 1)); /* not even a head */
        CU_ASSERT_EQUAL(content.out_bytes, 0);
        content_finish();
    }
}

/* RFC 1951 bare, which some servers send as deflate (RFC 9110 section 8.4.1.2, note). */
static void
bare_deflate_is_read(void)
{
    size_t bytes;

    fill_text();
    bytes = zlib_coded(text, sizeof(text), coded, sizeof(coded), -15);
    CU_ASSERT_TRUE(decode_bytes(CODING_DEFLATE, coded, bytes, 1));
    CU_ASSERT_TRUE(content_is(text, sizeof(text)));
    content_finish();
    CU_ASSERT_TRUE(decode_bytes(CODING_DEFLATE, "\x03\x00", 2, 1));
    content_finish();
}

/* RFC 1952 section 2.2, RFC 8878 section 3. */
static void
members_and_frames_may_follow_each_other(void)
{
    static const enum coding codings[] = { CODING_GZIP, CODING_ZSTD };

    fill_text();
    for (size_t i = 0; i < ARRAY_COUNT(codings); i++) {
        size_t first, empty, last;

        if (!coding_can_decode(codings[i]))
            continue;
        first = code(codings[i], text, 1000, coded, sizeof(coded));
        empty = code(codings[i], text, 0, coded + first, sizeof(coded) - first);
        last = code(codings[i], text + 1000, 4000, coded + first + empty,
                    sizeof(coded) - first - empty);
        for (size_t step = 1; step <= 20000; step += 19999) {
            CU_ASSERT_TRUE(decode_bytes(codings[i], coded, first + empty + last, step));
            CU_ASSERT_TRUE(content_is(text, 5000));
            content_finish();
        }
    }
}

static void
what_is_cut_short_fails(void)
{
    fill_text();
    EACH_CODING(coding) {
        size_t bytes = code(coding, text, 100, coded, sizeof(coded));

        for (size_t cut = 1; cut < bytes; cut++)
            CU_ASSERT_TRUE(fails(coding, coded, cut, DECODE_CUT_SHORT));
    }
}

static void
what_follows_the_end_fails(void)
{
    fill_text();
    EACH_CODING(coding) {
        size_t bytes = code(coding, text, 1000, coded, sizeof(coded));

        memcpy(coded + bytes, "garbage", 7);
        CU_ASSERT_TRUE(fails(coding, coded, bytes + 7, DECODE_BROKEN));
    }
}

static void
what_is_not_of_its_coding_fails(void)
{
    fill_text();
    EACH_CODING(coding) {
        CU_ASSERT_FALSE(decode_bytes(coding, "<!DOCTYPE html>\xff\xff\xff\xff", 19, 1));
        content_finish();
    }
    /* Checksum and length of gzip: RFC 1952 section 2.3.1. */
    for (size_t i = 1; i <= 8; i++) {
        size_t bytes = code(CODING_GZIP, text, 1000, coded, sizeof(coded));

        coded[bytes - i] ^= 1;
        CU_ASSERT_TRUE(fails(CODING_GZIP, coded, bytes, DECODE_BROKEN));
    }
}

/* A failure of what carries the content is not taken for a failure of the coding. */
static void
a_cut_connection_is_no_end(void)
{
    fill_text();
    EACH_CODING(coding) {
        struct decode_plan plan = plan_of(coding);
        size_t bytes = code(coding, text, 1000, coded, sizeof(coded));

        content_begin();
        content.cuts = true;
        content_script(coded, bytes, 10);
        CU_ASSERT_FALSE(decode(&plan, 0));
        CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
        content_finish();
    }
}

#ifdef HAVE_ZSTD
/* RFC 9659 section 3: windows over 8 MB are not for HTTP. Other formats that libzstd may
 * read, of before its first release, are none of ours. */
static void
zstd_is_that_of_http(void)
{
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    static const int logs[] = { 23, 24 };

    fill_text();
    for (size_t i = 0; i < ARRAY_COUNT(logs); i++) {
        ZSTD_inBuffer in = { text, 1000, 0 };
        ZSTD_outBuffer out = { coded, sizeof(coded), 0 };

        ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
        ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, logs[i]);
        ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_flush);
        CU_ASSERT_EQUAL(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end), 0);
        CU_ASSERT_EQUAL(decode_bytes(CODING_ZSTD, coded, out.pos, 50), logs[i] == 23);
        content_finish();
    }
    ZSTD_freeCCtx(zstd);
    CU_ASSERT_TRUE(fails(CODING_ZSTD, "\x27\xb5\x2f\xfd\x00\x00\x00\x00", 8, DECODE_BROKEN));
}
#endif

static void
all_decoders_together_are_bounded(void)
{
    fill_text();
    EACH_CODING(coding) {
        struct decode_plan plan = plan_of(coding);
        size_t bytes = code(coding, text, sizeof(text), coded, sizeof(coded));

        for (unsigned is_short = 0; is_short < 2; is_short++) {
            content_begin();
            content.snapshot.conf.held_bytes = is_short ? 16 * 1024 : 1024 * 1024;
            content_script(coded, bytes, 1000);
            CU_ASSERT_EQUAL(decode(&plan, 0), !is_short);
            CU_ASSERT_TRUE(is_short ? seen.failure == DECODE_NO_MEMORY
                                    : decode_total_bytes() == 0);
            content_finish();
            CU_ASSERT_EQUAL(decode_total_bytes(), 0);
        }
        content_begin();
        content.stalls = true; /* in the middle, until it is given up */
        content_script(coded, bytes / 2, 1000);
        content_run(decode_begin(&content.ex, &content.source, &plan), 0);
        content_turn_until_taken();
        CU_ASSERT(decode_total_bytes() > 16 * 1024 && decode_total_bytes() < 512 * 1024);
        content_finish();
        CU_ASSERT_EQUAL(decode_total_bytes(), 0);
    }
}

static void
no_more_than_max_bytes_come_out(void)
{
    fill_text();
    EACH_CODING(coding) {
        struct decode_plan plan = plan_of(coding);
        size_t bytes = code(coding, text, sizeof(text), coded, sizeof(coded));

        for (unsigned over = 0; over < 2; over++) {
            content_begin();
            content_script(coded, bytes, CODED_BYTES);
            plan.max_bytes = sizeof(text) - over;
            CU_ASSERT_EQUAL(decode(&plan, 0), over == 0);
            CU_ASSERT(content.out_bytes <= plan.max_bytes);
            if (over)
                CU_ASSERT_EQUAL(seen.failure, DECODE_TOO_LONG);
            content_finish();
        }
    }
}

/* A bomb: much of the same. In one coding, and in two, of which each is within the ratio. */
static void
no_more_than_max_ratio_comes_out(void)
{
    const size_t zeros = 8u << 20;
    char *bomb = calloc(1, zeros);
    struct decode_plan plan = plan_of(CODING_GZIP);
    size_t bytes, again;

    CU_ASSERT_PTR_NOT_NULL_FATAL(bomb);
    bytes = code(CODING_GZIP, bomb, zeros, coded, sizeof(coded) / 2);
    again = code(CODING_GZIP, coded, bytes, coded + bytes, sizeof(coded) - bytes);
    for (unsigned nested = 0; nested < 2; nested++)
        for (uint32_t ratio = 100; ratio <= 100000; ratio *= 1000) {
            content_begin();
            if (nested)
                content_script(coded + bytes, again, again);
            else
                content_script(coded, bytes, bytes);
            plan.max_ratio = ratio;
            plan.codings = (struct codings){ .items = { CODING_GZIP, CODING_GZIP },
                                             .count = 1 + nested };
            CU_ASSERT_EQUAL(decode(&plan, 0), ratio == 100000);
            if (ratio == 100) {
                CU_ASSERT_EQUAL(seen.failure, DECODE_TOO_DENSE);
                CU_ASSERT(content.out_bytes <= DECODE_FREE_BYTES + 100 * bytes);
            } else {
                CU_ASSERT_EQUAL(content.out_bytes, zeros);
            }
            CU_ASSERT(content.most_offered <= 64 * 1024);
            content_finish();
        }
    free(bomb);
}

/* RFC 9110 section 8.4: applied one after the other. */
static void
codings_in_codings_come_off(void)
{
    struct decode_plan plan = plan_of(CODING_DEFLATE);
    size_t bytes, again;

    fill_text();
    bytes = code(CODING_DEFLATE, text, sizeof(text), coded, sizeof(coded) / 2);
    again = code(CODING_GZIP, coded, bytes, coded + bytes, sizeof(coded) - bytes);
    plan.codings.items[1] = CODING_GZIP;
    plan.codings.count = 2;
    for (size_t step = 1; step <= again; step += again - 1) {
        content_begin();
        content_script(coded + bytes, again, step);
        CU_ASSERT_TRUE(decode(&plan, 0));
        CU_ASSERT_TRUE(content_is(text, sizeof(text)));
        content_finish();
    }
}

static void
no_coding_is_no_layer(void)
{
    struct decode_plan plan = { .codings = { .count = 0 } };

    content_begin();
    CU_ASSERT_PTR_EQUAL(decode_begin(&content.ex, &content.source, &plan), &content.source);
    content_finish();
}

void
suite_decompress(void)
{
    CU_pSuite suite = CU_add_suite("decompress", NULL, NULL);

    CU_add_test(suite, "content comes out however it is cut", content_comes_out_however_it_is_cut);
    CU_add_test(suite, "no content is no content in any coding",
                no_content_is_no_content_in_any_coding);
    CU_add_test(suite, "bare deflate is read", bare_deflate_is_read);
    CU_add_test(suite, "members and frames may follow each other",
                members_and_frames_may_follow_each_other);
    CU_add_test(suite, "what is cut short fails", what_is_cut_short_fails);
    CU_add_test(suite, "what follows the end fails", what_follows_the_end_fails);
    CU_add_test(suite, "what is not of its coding fails", what_is_not_of_its_coding_fails);
    CU_add_test(suite, "a cut connection is no end", a_cut_connection_is_no_end);
#ifdef HAVE_ZSTD
    CU_add_test(suite, "zstd is that of HTTP", zstd_is_that_of_http);
#endif
    CU_add_test(suite, "all decoders together are bounded", all_decoders_together_are_bounded);
    CU_add_test(suite, "no more than max_bytes come out", no_more_than_max_bytes_come_out);
    CU_add_test(suite, "no more than max_ratio comes out", no_more_than_max_ratio_comes_out);
    CU_add_test(suite, "codings in codings come off", codings_in_codings_come_off);
    CU_add_test(suite, "no coding is no layer", no_coding_is_no_layer);
}
