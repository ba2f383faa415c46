/* SPDX-License-Identifier: BSD-2-Clause */
/* test_byte_range.c - ranges are read strictly and never reach beyond the end. */
#include "config.h"

#include "cache/byte_range.h"

#include "test/unit/field_fixture.h"

#include <stdlib.h>

void suite_byte_range(void);

/* ---- Range */

static void
expect_one(const char *value, uint64_t length, uint64_t first, uint64_t last)
{
    struct byte_range range = { 0, 0 };

    CU_ASSERT_EQUAL(byte_range_parse(slice_of(value), length, &range), RANGE_ONE);
    CU_ASSERT_EQUAL(range.first, first);
    CU_ASSERT_EQUAL(range.last, last);
}

static void
expect_none(const char *value, uint64_t length, enum range_result expected)
{
    struct byte_range range = { 7, 8 };
    enum range_result result = byte_range_parse(slice_of(value), length, &range);

    CU_ASSERT_EQUAL(result, expected);
    if (result != expected)
        printf("#   %s of %llu\n", value, (unsigned long long)length);
    CU_ASSERT_TRUE(range.first == 7 && range.last == 8);
}

/* RFC 9110 section 14.1.2. */
static void
reads_first_and_last(void)
{
    expect_one("bytes=0-499", 10000, 0, 499);
    expect_one("bytes=500-999", 10000, 500, 999);
    expect_one("bytes=0-0", 1, 0, 0);
    expect_one("bytes=9-9", 10, 9, 9);
    expect_one("bytes=0-1", 11, 0, 1);
    expect_one("BYTES=0-1", 11, 0, 1);
    expect_one("bytes=000-0001", 11, 0, 1);
    expect_one("bytes=6-8", 10, 6, 8);
}

/* "If a valid byte-range-set's last-pos is absent or beyond, the remainder". */
static void
a_last_position_may_be_absent_or_beyond(void)
{
    expect_one("bytes=1-", 11, 1, 10);
    expect_one("bytes=0-", 1, 0, 0);
    expect_one("bytes=5-11", 11, 5, 10);
    expect_one("bytes=5-18446744073709551615", 11, 5, 10);
    expect_one("bytes=5-99999999999999999999999999", 11, 5, 10);
    expect_one("bytes=18446744073709551613-", UINT64_MAX - 1, UINT64_MAX - 2, UINT64_MAX - 2);
}

static void
a_suffix_is_the_end(void)
{
    expect_one("bytes=-1", 11, 10, 10);
    expect_one("bytes=-5", 10, 5, 9);
    expect_one("bytes=-10", 10, 0, 9);
    expect_one("bytes=-11", 10, 0, 9);
    expect_one("bytes=-99999999999999999999999999", 10, 0, 9);
}

/* Section 14.1.2: "An int-range is satisfiable if its first-pos is less than the
 * current length; a suffix-range if suffix-length is non-zero"; section 15.5.17. */
static void
beyond_the_end_nothing_can_be_had(void)
{
    expect_none("bytes=10-", 10, RANGE_UNSATISFIABLE);
    expect_none("bytes=10-20", 10, RANGE_UNSATISFIABLE);
    expect_none("bytes=-0", 10, RANGE_UNSATISFIABLE);
    expect_none("bytes=99999999999999999999999999-", 10, RANGE_UNSATISFIABLE);
    expect_none("bytes=10-11,20-21,-0", 10, RANGE_UNSATISFIABLE);
    expect_none("bytes=0-", 0, RANGE_UNSATISFIABLE);
    expect_none("bytes=-0", 0, RANGE_UNSATISFIABLE);
    /* satisfiable, but there is no byte to name */
    expect_none("bytes=-1", 0, RANGE_IGNORE);
}

/* Section 14.2: "A server ... MAY ignore"; "MUST ignore a Range header field that
 * contains a range unit it does not understand", and an invalid ranges-specifier. */
static void
ignores_what_is_no_range_of_bytes(void)
{
    static const char *const bad[] = {
        "", "bytes", "bytes=", "bytes=,", "bytes= , ,", "bytes=-", "bytes=a", "bytes=1", "bytes=a-",
        "bytes=0-a", "bytes=2-1", "bytes=0-1-2", "bytes=--1", "bytes=+0-1", "bytes=0-+1",
        "bytes=0 -1", "bytes=0- 1", "bytes =0-1", "bytes:0-1", "byte=0-1", "items=0-1",
        "bytes=0x0-1", "bytes=0-1;", "bytes=0-1,2", "bytes=0-1,x=y", "bytes=\"0-1\"", " bytes=0-1",
        "bytes=0-1,5-4", "none", "0-1", "0-1,2-3", "byte0-1",
    };

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        expect_none(bad[i], 10, RANGE_IGNORE);
    expect_none("bytes=0-1", RANGE_LENGTH_UNKNOWN, RANGE_IGNORE);
}

/* Section 14.2: "A server that supports range requests MAY ... coalesce". */
static void
ranges_that_touch_are_one(void)
{
    expect_one("bytes=0-4,5-9", 20, 0, 9);
    expect_one("bytes=5-9 , 0-4", 20, 0, 9);
    expect_one("bytes=0-9,3-5,-15", 20, 0, 19);
    expect_one("bytes=0-1,100-", 20, 0, 1); /* what cannot be had is left out */
    expect_one("bytes=,,0-1,,", 20, 0, 1);
    expect_one("bytes=8-9,0-1,4-5,2-3,6-7", 20, 0, 9);
    expect_none("bytes=0-1,3-4", 20, RANGE_IGNORE);
    expect_none("bytes=0-0,-1", 20, RANGE_IGNORE);
}

/* Section 17.15: many small or overlapping ranges. */
static void
many_ranges_are_ignored(void)
{
    char value[8 * RANGES_MAX + 16] = "bytes=0-0";

    for (unsigned i = 1; i < RANGES_MAX; i++)
        strcat(value, ",0-0");
    expect_one(value, 10, 0, 0);
    strcat(value, ",0-0");
    expect_none(value, 10, RANGE_IGNORE);
}

/* ---- Content-Range: RFC 9110 section 14.4 */

static void
reads_content_range(void)
{
    struct byte_range range;
    uint64_t length;

    CU_ASSERT_EQUAL(content_range_parse(SLICE("bytes 4-9/10"), &range, &length),
                    CONTENT_RANGE_PART);
    CU_ASSERT_TRUE(range.first == 4 && range.last == 9 && length == 10);
    CU_ASSERT_EQUAL(content_range_parse(SLICE("Bytes 0-0/*"), &range, &length),
                    CONTENT_RANGE_PART);
    CU_ASSERT_TRUE(range.first == 0 && range.last == 0 && length == RANGE_LENGTH_UNKNOWN);
    CU_ASSERT_EQUAL(content_range_parse(SLICE("bytes */1234"), &range, &length),
                    CONTENT_RANGE_UNSATISFIED);
    CU_ASSERT_EQUAL(length, 1234);
    CU_ASSERT_EQUAL(content_range_parse(SLICE("bytes 0-18446744073709551613/18446744073709551614"),
                                        &range, &length),
                    CONTENT_RANGE_PART);
    CU_ASSERT_TRUE(range.last == UINT64_MAX - 2 && length == UINT64_MAX - 1);
    CU_ASSERT_EQUAL(byte_range_bytes(range), length);
    CU_ASSERT_EQUAL(content_range_parse(SLICE("bytes 1-18446744073709551614/*"), &range, &length),
                    CONTENT_RANGE_PART);
    CU_ASSERT_EQUAL(range.last, UINT64_MAX - 1);
}

/* "A Content-Range field value is invalid if it contains a range-resp that has a
 * last-pos value less than its first-pos value, or a complete-length value less
 * than or equal to its last-pos value. The recipient of an invalid Content-Range
 * MUST NOT attempt to recombine". */
static void
refuses_what_is_no_content_range(void)
{
    static const char *const bad[] = {
        "", "bytes", "bytes ", "bytes 0-1", "bytes 0-1/", "bytes 0-1/x", "bytes 2-1/10",
        "bytes 0-10/10", "bytes 0-1/1", "bytes 0-1/0", "bytes */*", "bytes */", "bytes *",
        "bytes=0-1/10", "bytes  0-1/10", "bytes 0-1/10 ", "bytes 0-1/10, 2-3/10", "bytes -1/10",
        "bytes 0-/10", "items 0-1/10", "bytes 0-1/18446744073709551615",
        "bytes 0-18446744073709551615/*", "bytes 0-99999999999999999999999/*",
        "bytes */99999999999999999999999", "bytes 0 - 1/10", "bytes 0-1/ 10", "bytes +0-1/10",
        "0-1/10", "00000-00001/10",
    };
    struct byte_range range;
    uint64_t length;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_EQUAL(content_range_parse(slice_of(bad[i]), &range, &length), CONTENT_RANGE_BAD);
}

static void
writes_what_it_reads(void)
{
    struct byte_range part = { 4, 9 }, widest = { 0, UINT64_MAX - 2 }, range;
    char text[CONTENT_RANGE_BYTES];
    uint64_t length;

    expect_slice(content_range_format(text, part, 10), "bytes 4-9/10");
    expect_slice(content_range_format(text, part, RANGE_LENGTH_UNKNOWN), "bytes 4-9/*");
    expect_slice(content_range_unsatisfied(text, 0), "bytes */0");
    expect_slice(content_range_unsatisfied(text, 47), "bytes */47");
    CU_ASSERT_STRING_EQUAL(text, "bytes */47");
    expect_slice(byte_range_format(text, part, 11), "bytes=4-9");
    expect_slice(byte_range_format(text, part, RANGE_LENGTH_UNKNOWN), "bytes=4-9");
    /* to the end: the form that is most widely understood */
    expect_slice(byte_range_format(text, part, 10), "bytes=4-");
    CU_ASSERT_EQUAL(content_range_parse(content_range_format(text, widest, UINT64_MAX - 1), &range,
                                        &length),
                    CONTENT_RANGE_PART);
    CU_ASSERT_TRUE(range.last == widest.last && length == UINT64_MAX - 1);
}

/* ---- joining: RFC 9111 section 3.4 */

static void
joins_what_touches(void)
{
    struct byte_range joined = { 7, 7 };

    CU_ASSERT_FALSE(byte_range_join((struct byte_range){ 0, 4 }, (struct byte_range){ 6, 9 },
                                    &joined));
    CU_ASSERT_TRUE(joined.first == 7 && joined.last == 7);
    CU_ASSERT_TRUE(byte_range_join((struct byte_range){ 5, 9 }, (struct byte_range){ 0, 4 },
                                   &joined));
    CU_ASSERT_TRUE(joined.first == 0 && joined.last == 9);
    CU_ASSERT_TRUE(byte_range_join((struct byte_range){ 0, UINT64_MAX - 1 },
                                   (struct byte_range){ 3, 4 }, &joined));
    CU_ASSERT_TRUE(joined.first == 0 && joined.last == UINT64_MAX - 1);
    CU_ASSERT_TRUE(byte_range_covers((struct byte_range){ 0, 4 }, (struct byte_range){ 0, 4 }));
    CU_ASSERT_FALSE(byte_range_covers((struct byte_range){ 0, 4 }, (struct byte_range){ 0, 5 }));
}

/* The bits of a range, for lengths up to 32. */
static uint32_t
bits_of(struct byte_range range)
{
    return (uint32_t)((UINT64_C(2) << range.last) - (UINT64_C(1) << range.first));
}

static struct byte_range
random_range(unsigned *seed)
{
    uint64_t a = (unsigned)rand_r(seed) % 24, b = (unsigned)rand_r(seed) % 24;

    return a < b ? (struct byte_range){ a, b } : (struct byte_range){ b, a };
}

/* A set of bits does the same the slow way. */
static void
arithmetic_is_that_of_sets(void)
{
    unsigned seed = 14;

    for (unsigned i = 0; i < 20000; i++) {
        struct byte_range a = random_range(&seed), b = random_range(&seed), c;
        uint32_t x = bits_of(a), y = bits_of(b), both = x | y, filled;
        bool joins = byte_range_join(a, b, &c);

        filled = bits_of((struct byte_range){ a.first < b.first ? a.first : b.first,
                                              a.last > b.last ? a.last : b.last });
        CU_ASSERT_EQUAL(joins, both == filled);
        CU_ASSERT_TRUE(!joins || bits_of(c) == both);
        CU_ASSERT_EQUAL(byte_range_covers(a, b), (y & ~x) == 0);
        CU_ASSERT_EQUAL(byte_range_missing(a, b, &c), (y & ~x) != 0);
        if ((y & ~x) != 0) {
            CU_ASSERT_EQUAL((y & ~x) & ~bits_of(c), 0); /* all that is missing */
            CU_ASSERT_EQUAL(bits_of(c) & ~y, 0);        /* nothing unwanted */
            if (!(a.first > b.first && a.last < b.last))
                CU_ASSERT_EQUAL(bits_of(c) & x, 0);     /* nothing twice */
        }
    }
}

/* Ranges as written by any client against the same by bits. */
static void
parsing_is_that_of_sets(void)
{
    unsigned seed = 2;
    char value[64];

    for (unsigned i = 0; i < 20000; i++) {
        uint64_t length = (unsigned)rand_r(&seed) % 24 + 1;
        struct byte_range a = random_range(&seed), b = random_range(&seed), found;
        uint32_t all = (uint32_t)((UINT64_C(1) << length) - 1);
        uint32_t wanted = (bits_of(a) | bits_of(b)) & all;
        enum range_result result;

        snprintf(value, sizeof(value), "bytes=%u-%u, %u-%u", (unsigned)a.first, (unsigned)a.last,
                 (unsigned)b.first, (unsigned)b.last);
        result = byte_range_parse(slice_of(value), length, &found);
        CU_ASSERT_EQUAL(result == RANGE_UNSATISFIABLE, wanted == 0);
        if (result == RANGE_ONE)
            CU_ASSERT_EQUAL(bits_of(found), wanted);
    }
}

static void
slices_cover_the_range(void)
{
    static const struct {
        uint64_t first, last, slice_bytes, from, to;
    } cases[] = {
        { 0, 0, 4, 0, 0 }, { 0, 3, 4, 0, 0 },     { 0, 4, 4, 0, 1 },
        { 3, 4, 4, 0, 1 }, { 4, 7, 4, 1, 1 },     { 8, 100, 1, 8, 100 },
        { 0, UINT64_MAX - 1, UINT64_MAX, 0, 0 },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct byte_range range = { cases[i].first, cases[i].last };
        struct slice_span span = byte_range_slices(range, cases[i].slice_bytes);
        struct byte_range first = byte_range_of_slice(span.first, cases[i].slice_bytes,
                                                      RANGE_LENGTH_UNKNOWN);

        CU_ASSERT_TRUE(span.first == cases[i].from && span.last == cases[i].to);
        CU_ASSERT_TRUE(first.first <= range.first && first.last >= range.first);
    }
}

static void
the_last_slice_ends_with_the_representation(void)
{
    struct byte_range slice = byte_range_of_slice(2, 4, 10);

    CU_ASSERT_TRUE(slice.first == 8 && slice.last == 9);
    slice = byte_range_of_slice(1, 4, 10);
    CU_ASSERT_TRUE(slice.first == 4 && slice.last == 7);
    slice = byte_range_of_slice(1, 4, 9);
    CU_ASSERT_TRUE(slice.first == 4 && slice.last == 7);
    slice = byte_range_of_slice(2, 4, 12);
    CU_ASSERT_TRUE(slice.first == 8 && slice.last == 11);
    slice = byte_range_of_slice(2, 4, RANGE_LENGTH_UNKNOWN);
    CU_ASSERT_TRUE(slice.first == 8 && slice.last == 11);
}

static void
expect_beginning(const char *value, uint64_t expected)
{
    uint64_t first = 7;

    CU_ASSERT_TRUE(byte_range_begins(slice_of(value), &first));
    CU_ASSERT_EQUAL(first, expected);
}

/* RFC 9110 section 14.1.2: a suffix is counted from an end that is not known yet. */
static void
a_beginning_needs_no_length(void)
{
    static const char *const none[] = { "bytes=", "bytes=a-", "bytes=5-4", "lines=0-4",
                                        "bytes=0-4,5-9", "bytes=0-4, -5", "bytes=-0" };
    uint64_t first;

    expect_beginning("bytes=0-4", 0);
    expect_beginning("bytes=70000-", 70000);
    expect_beginning("bytes=-5", 0);
    expect_beginning("BYTES= 5-6 ", 5);
    for (size_t i = 0; i < ARRAY_COUNT(none); i++)
        CU_ASSERT_FALSE(byte_range_begins(slice_of(none[i]), &first));
}

void
suite_byte_range(void)
{
    CU_pSuite s = CU_add_suite("byte_range", NULL, NULL);

    CU_add_test(s, "reads first and last positions", reads_first_and_last);
    CU_add_test(s, "a last position may be absent or beyond the end",
                a_last_position_may_be_absent_or_beyond);
    CU_add_test(s, "a suffix is counted from the end", a_suffix_is_the_end);
    CU_add_test(s, "nothing can be had beyond the end", beyond_the_end_nothing_can_be_had);
    CU_add_test(s, "what is no range of bytes is ignored", ignores_what_is_no_range_of_bytes);
    CU_add_test(s, "ranges that touch are one, others are ignored", ranges_that_touch_are_one);
    CU_add_test(s, "more than so many ranges are ignored", many_ranges_are_ignored);
    CU_add_test(s, "reads Content-Range", reads_content_range);
    CU_add_test(s, "refuses what is no Content-Range", refuses_what_is_no_content_range);
    CU_add_test(s, "writes what it reads", writes_what_it_reads);
    CU_add_test(s, "joins what overlaps or touches", joins_what_touches);
    CU_add_test(s, "property: arithmetic is that of sets", arithmetic_is_that_of_sets);
    CU_add_test(s, "property: parsing is that of sets", parsing_is_that_of_sets);
    CU_add_test(s, "where a range begins needs no length", a_beginning_needs_no_length);
    CU_add_test(s, "slices cover the range", slices_cover_the_range);
    CU_add_test(s, "the last slice ends with the representation",
                the_last_slice_ends_with_the_representation);
}
