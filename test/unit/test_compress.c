/* SPDX-License-Identifier: BSD-2-Clause */
/* test_compress.c - promises of the filter compress below its hooks: engines and options. */
#include "config.h"

#include "filters/compress_inside.h"

#include "test/unit/content_fixture.h"
#include "test/unit/suites.h"

#include <zlib.h>

#define TEXT_BYTES 300000u
#define WHOLE_BYTES (64u * 1024)

static char text[TEXT_BYTES];

static void
fill_text(void)
{
    static const char *const words[] = { "proxy ", "content ", "<p>", "of ", "page</p>\n",
                                         "coded " };
    uint32_t state = 1;
    size_t at = 0;

    while (at < sizeof(text)) {
        const char *word;

        state = state * 1103515245 + 12345;
        word = words[(state >> 20) % ARRAY_COUNT(words)];
        for (; *word != '\0' && at < sizeof(text); word++)
            text[at++] = *word;
        if (state % 7 == 0 && at < sizeof(text))
            text[at++] = (char)('a' + (state >> 10) % 26);
    }
}

static struct compress_content state;

/* inner, coded. */
static struct source *
coded(enum coding coding, int level, uint64_t length, size_t whole_bytes, uint32_t flush_ms)
{
    struct compress_plan plan = { coding, level, length, whole_bytes };
    struct source *source;

    state = (struct compress_content){ 0 };
    CU_ASSERT_TRUE_FATAL(compress_content_reserve(&state, &content.ex, &plan, UINT64_MAX));
    source = compress_content_begin(&state, &content.source, flush_ms);
    CU_ASSERT_PTR_NOT_NULL_FATAL(source);
    return source;
}

/* coded, and decoded again. */
static struct source *
and_decoded(struct source *source, enum coding coding)
{
    struct decode_plan plan = { .codings = { .items = { coding }, .count = 1 } };

    source = decode_begin(&content.ex, source, &plan);
    CU_ASSERT_PTR_NOT_NULL_FATAL(source);
    return source;
}

static const struct {
    enum coding coding;
    int level;
} engines[] = {
    { CODING_GZIP, 1 }, { CODING_GZIP, 2 }, { CODING_GZIP, 3 }, { CODING_GZIP, 4 },
    { CODING_GZIP, 6 }, { CODING_GZIP, 9 }, { CODING_BR, 0 }, { CODING_BR, 4 },
    { CODING_BR, 11 }, { CODING_ZSTD, 1 }, { CODING_ZSTD, 3 }, { CODING_ZSTD, 19 },
};

#define EACH_ENGINE(i_) \
    for (size_t i_ = 0; i_ < ARRAY_COUNT(engines); i_++) \
        if (coding_can_encode(engines[i_].coding))

/* ---- content */

/* bytes of text through engine i and back, step by step. */
static void
check_coded(size_t i, size_t bytes, size_t step, size_t room, bool knows)
{
    uint64_t length = knows ? bytes : LENGTH_UNKNOWN;

    content_begin();
    content.waits = step == 1;
    content.says_last = knows;
    content_script(text, bytes, step);
    content_run(and_decoded(coded(engines[i].coding, engines[i].level, length, WHOLE_BYTES,
                                  TRANSFORM_NO_FLUSH), engines[i].coding), room);
    CU_ASSERT_EQUAL(content.result, PUMP_DONE);
    CU_ASSERT_TRUE(content_is(text, bytes));
    CU_ASSERT_PTR_NULL(state.engine);
    CU_ASSERT_EQUAL(state.reserved_bytes, 0);
    content_finish();
}

/* Long content takes the slowest levels seconds: every other way will do. */
static bool
is_too_dear(size_t i, size_t bytes, size_t s, unsigned knows)
{
    return engines[i].level > 9 && bytes > 2000 && s % 2 == knows;
}

static void
what_is_coded_is_the_content_however_it_comes(void)
{
    static const size_t lengths[] = { 0, 1, 1000, WHOLE_BYTES, WHOLE_BYTES + 1, 200000 };
    static const size_t steps[] = { 1, 1013, TEXT_BYTES };

    fill_text();
    EACH_ENGINE(i)
        for (size_t l = 0; l < ARRAY_COUNT(lengths); l++)
            for (size_t s = lengths[l] > 2000; s < ARRAY_COUNT(steps); s++)
                for (unsigned knows = 0; knows < 2; knows++)
                    if (!is_too_dear(i, lengths[l], s, knows))
                        check_coded(i, lengths[l], steps[s], s * 100, knows);
}

/* What came before a pause is there before the next piece: events, one by one. */
static void
a_pause_sends_on_what_came_so_far(void)
{
    fill_text();
    EACH_ENGINE(i)
        for (unsigned whole = 0; whole < 2; whole++) {
            content_begin();
            content.stalls = true;
            content_script(text, 5000, 500);
            content_run(and_decoded(coded(engines[i].coding, engines[i].level, LENGTH_UNKNOWN,
                                          whole ? WHOLE_BYTES : 0, 0),
                                    engines[i].coding), 0);
            content_turn_until(5000);
            CU_ASSERT_FALSE(content.is_done);
            CU_ASSERT_TRUE(content_is(text, 5000));
            content_finish();
        }
}

/* More than a buffer holds is flushed, and content goes on before all of that is taken. */
static void
content_goes_on_while_a_pause_is_flushed(void)
{
    static char noise[TEXT_BYTES];
    uint32_t random = 7;

    for (size_t i = 0; i < sizeof(noise); i++) {
        random = random * 1664525 + 1013904223;
        noise[i] = (char)('0' + (random >> 26));
    }
    EACH_ENGINE(i)
        for (unsigned whole = 0; whole < 2; whole++) {
            content_begin();
            content_script(noise, sizeof(noise), 50000);
            content_run(and_decoded(coded(engines[i].coding, engines[i].level, LENGTH_UNKNOWN,
                                          whole ? WHOLE_BYTES : 0, 0),
                                    engines[i].coding), 5000);
            CU_ASSERT_EQUAL(content.result, PUMP_DONE);
            CU_ASSERT_TRUE(content_is(noise, sizeof(noise)));
            content_finish();
        }
}

static void
without_a_pause_nothing_is_flushed(void)
{
    size_t at_once;

    fill_text();
    content_begin();
    content_script(text, 60000, TEXT_BYTES);
    content_run(coded(CODING_GZIP, 1, LENGTH_UNKNOWN, 0, 10000), 0);
    at_once = content.out_bytes;
    content_finish();
    content_begin(); /* it waits between pieces, for less than flush */
    content_script(text, 60000, 1000);
    content_run(coded(CODING_GZIP, 1, LENGTH_UNKNOWN, 0, 10000), 0);
    CU_ASSERT(content.out_bytes < at_once + at_once / 100);
    content_finish();
}

/* An engine that was left in the middle is as good as new for the next content. */
static void
what_was_given_up_leaves_no_trace(void)
{
    fill_text();
    EACH_ENGINE(i) {
        for (unsigned cut = 0; cut < 3; cut++) {
            content_begin();
            content.cuts = true;
            content_script(text, 30000 + cut * 100000, 7000);
            content_run(coded(engines[i].coding, engines[i].level, LENGTH_UNKNOWN, WHOLE_BYTES,
                              cut == 1 ? 0 : TRANSFORM_NO_FLUSH), 0);
            CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
            content_finish();
        }
        content_begin();
        content_script(text, 5000, 1000);
        content_run(and_decoded(coded(engines[i].coding, engines[i].level, 5000, WHOLE_BYTES,
                                      TRANSFORM_NO_FLUSH), engines[i].coding), 0);
        CU_ASSERT_TRUE(content_is(text, 5000));
        content_finish();
    }
}

static size_t
zlib_bytes(size_t bytes, int level)
{
    static char out[TEXT_BYTES];
    z_stream zlib = { .next_in = (Bytef *)text, .avail_in = (uInt)bytes, .next_out = (Bytef *)out,
                      .avail_out = sizeof(out) };

    deflateInit2(&zlib, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    CU_ASSERT_EQUAL(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    deflateEnd(&zlib);
    return zlib.total_out;
}

static void
gzip_is_about_as_short_as_zlib_makes_it(void)
{
    static const int levels[] = { 1, 6 };

    fill_text();
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        size_t most = zlib_bytes(WHOLE_BYTES, levels[i]);

        content_begin();
        content_script(text, WHOLE_BYTES, 16384);
        content_run(coded(CODING_GZIP, levels[i], WHOLE_BYTES, WHOLE_BYTES, 1000), 0);
        CU_ASSERT(content.out_bytes > 0 && content.out_bytes <= most + most / 8);
        content_finish();
    }
}

static void
memory_is_set_aside_up_to_its_limit(void)
{
    struct compress_plan plan = { CODING_GZIP, 1, LENGTH_UNKNOWN, 0 };
    size_t cost = compress_engine_for(&plan)->cost(&plan);
    struct compress_content first = { 0 }, second = { 0 };

    content_begin();
    CU_ASSERT_FALSE(compress_content_reserve(&first, &content.ex, &plan, cost - 1));
    CU_ASSERT_PTR_NULL(first.ops);
    CU_ASSERT_TRUE(compress_content_reserve(&first, &content.ex, &plan, cost));
    CU_ASSERT_FALSE(compress_content_reserve(&second, &content.ex, &plan, cost));
    content_script("x", 1, 1);
    content_run(compress_content_begin(&first, &content.source, 0), 0);
    CU_ASSERT_TRUE(compress_content_reserve(&second, &content.ex, &plan, cost));
    CU_ASSERT_PTR_NOT_NULL(compress_content_begin(&second, &content.source, 0));
    content_finish();
}

static void
windows_fit_the_content(void)
{
    CU_ASSERT_EQUAL(compress_window_log(0), 10);
    CU_ASSERT_EQUAL(compress_window_log(65536), 16);
    CU_ASSERT_EQUAL(compress_window_log(65537), 17);
    CU_ASSERT_EQUAL(compress_window_log(UINT64_C(1) << 40), 20);
    CU_ASSERT_EQUAL(compress_window_log(LENGTH_UNKNOWN), 18);
}

/* ---- options */

static void
types_are_matched_by_their_parts(void)
{
    struct slice items[] = { SLICE_INIT("text/*"), SLICE_INIT("*+json"), SLICE_INIT("font/ttf") };
    struct strings types = { items, ARRAY_COUNT(items) };

    CU_ASSERT_TRUE(compress_type_is_in(&types, SLICE("text/html")));
    CU_ASSERT_TRUE(compress_type_is_in(&types, SLICE("Text/HTML ; charset=utf-8")));
    CU_ASSERT_TRUE(compress_type_is_in(&types, SLICE("application/problem+JSON;x=y")));
    CU_ASSERT_TRUE(compress_type_is_in(&types, SLICE("font/ttf")));
    CU_ASSERT_FALSE(compress_type_is_in(&types, SLICE("font/ttf2")));
    CU_ASSERT_FALSE(compress_type_is_in(&types, SLICE("image/png; x=text/html")));
    CU_ASSERT_FALSE(compress_type_is_in(&types, SLICE("+jso")));
    CU_ASSERT_FALSE(compress_type_is_in(&types, SLICE("")));
    CU_ASSERT_FALSE(compress_type_is_in(&types, SLICE(";")));
}

static int
finish_statuses(struct compress_conf *conf, const char *word, struct err *err)
{
    struct slice item = slice_of(word);

    *conf = (struct compress_conf){ .statuses = { &item, 1 } };
    return compress_options_finish(conf, NULL, NULL, err);
}

static void
statuses_are_single_ones_or_classes(void)
{
    static const char *const wrong[] = { "100", "1xx", "6xx", "600", "20", "2x", "20x", "2000",
                                         "" };
    struct compress_conf conf;
    struct err err;

    CU_ASSERT_EQUAL(finish_statuses(&conf, "404", &err), 0);
    CU_ASSERT_TRUE(compress_has_status(&conf, 404));
    CU_ASSERT_FALSE(compress_has_status(&conf, 403));
    CU_ASSERT_EQUAL(finish_statuses(&conf, "5XX", &err), 0);
    CU_ASSERT_TRUE(compress_has_status(&conf, 500) && compress_has_status(&conf, 599));
    CU_ASSERT_FALSE(compress_has_status(&conf, 499) || compress_has_status(&conf, 999));
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        CU_ASSERT_EQUAL(finish_statuses(&conf, wrong[i], &err), -1);
}

static void
codings_are_all_unless_they_are_named(void)
{
    struct slice items[] = { SLICE_INIT("gzip"), SLICE_INIT("gzip") };
    struct compress_conf conf = { .codings = { items, 2 } };
    struct err err;

    CU_ASSERT_EQUAL(compress_options_finish(&conf, NULL, NULL, &err), 0);
    CU_ASSERT_EQUAL(conf.order_count, 1);
    CU_ASSERT_EQUAL(conf.order[0], CODING_GZIP);
    conf = (struct compress_conf){ .codings = { NULL, 0 } };
    CU_ASSERT_EQUAL(compress_options_finish(&conf, NULL, NULL, &err), 0);
    CU_ASSERT_EQUAL(conf.order_count,
                    1u + coding_can_encode(CODING_BR) + coding_can_encode(CODING_ZSTD));
    CU_ASSERT_EQUAL(conf.order[conf.order_count - 1], CODING_GZIP);
}

void
suite_compress(void)
{
    CU_pSuite suite = CU_add_suite("compress", NULL, NULL);

    CU_add_test(suite, "what is coded is the content, however it comes",
                what_is_coded_is_the_content_however_it_comes);
    CU_add_test(suite, "a pause sends on what came so far", a_pause_sends_on_what_came_so_far);
    CU_add_test(suite, "content goes on while a pause is flushed",
                content_goes_on_while_a_pause_is_flushed);
    CU_add_test(suite, "without a pause nothing is flushed", without_a_pause_nothing_is_flushed);
    CU_add_test(suite, "what was given up leaves no trace", what_was_given_up_leaves_no_trace);
    CU_add_test(suite, "gzip is about as short as zlib makes it",
                gzip_is_about_as_short_as_zlib_makes_it);
    CU_add_test(suite, "memory is set aside up to its limit", memory_is_set_aside_up_to_its_limit);
    CU_add_test(suite, "windows fit the content", windows_fit_the_content);
    CU_add_test(suite, "types are matched by their parts", types_are_matched_by_their_parts);
    CU_add_test(suite, "statuses are single ones or classes", statuses_are_single_ones_or_classes);
    CU_add_test(suite, "codings are all unless they are named",
                codings_are_all_unless_they_are_named);
}
