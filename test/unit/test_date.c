/* SPDX-License-Identifier: BSD-2-Clause */
/* test_date.c - dates of RFC 9110 section 5.6.7. */
#include "config.h"

#include "server/http/date.h"

#include <stdio.h>
#include <time.h>

#include <CUnit/CUnit.h>

void suite_date(void);

#define NOW INT64_C(1767225600) /* 2026-01-01 */

static int64_t
parse(const char *text)
{
    int64_t seconds = -1;

    return date_parse(slice_of(text), NOW, &seconds) ? seconds : INT64_MIN;
}

static const char *
format(int64_t seconds)
{
    static char text[DATE_BYTES + 1];

    date_format(text, seconds);
    return text;
}

static void
writes_imf_fixdates(void)
{
    CU_ASSERT_STRING_EQUAL(format(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
    CU_ASSERT_STRING_EQUAL(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    CU_ASSERT_STRING_EQUAL(format(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    CU_ASSERT_STRING_EQUAL(format(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
}

static void
holds_dates_within_four_digits(void)
{
    CU_ASSERT_STRING_EQUAL(format(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    CU_ASSERT_STRING_EQUAL(format(INT64_MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
}

static void
agrees_with_the_c_library(void)
{
    for (int64_t seconds = -2208988800; seconds < 4102444800; seconds += 86400 * 13 + 7331) {
        time_t t = (time_t)seconds;
        struct tm tm;
        char text[64];

        gmtime_r(&t, &tm);
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        CU_ASSERT_STRING_EQUAL(format(seconds), text);
        CU_ASSERT_EQUAL(parse(text), seconds);
    }
}

static void
caches_the_date_of_one_second(void)
{
    struct date_cache cache = { 0 };

    CU_ASSERT_TRUE(slice_equal(date_cached(&cache, 0), SLICE("Thu, 01 Jan 1970 00:00:00 GMT")));
    CU_ASSERT_TRUE(slice_equal(date_cached(&cache, 0), SLICE("Thu, 01 Jan 1970 00:00:00 GMT")));
    CU_ASSERT_TRUE(slice_equal(date_cached(&cache, 1), SLICE("Thu, 01 Jan 1970 00:00:01 GMT")));
}

static void
reads_all_three_formats(void)
{
    CU_ASSERT_EQUAL(parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    CU_ASSERT_EQUAL(parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    CU_ASSERT_EQUAL(parse("Sun Nov  6 08:49:37 1994"), 784111777);
    CU_ASSERT_EQUAL(parse("Wed Nov 16 08:49:37 1994"), 784111777 + 864000);
    CU_ASSERT_EQUAL(parse("Sat, 31 Dec 2016 23:59:60 GMT"), 1483228800);
}

/* RFC 9111 section 4.2 wants caches to match dates case-insensitively. */
static void
reads_dates_whatever_their_case(void)
{
    CU_ASSERT_EQUAL(parse("SUN, 06 Nov 1994 08:49:37 GMT"), 784111777);
    CU_ASSERT_EQUAL(parse("Sun, 06 NOV 1994 08:49:37 GMT"), 784111777);
    CU_ASSERT_EQUAL(parse("Sun, 06 Nov 1994 08:49:37 gMT"), 784111777);
    CU_ASSERT_EQUAL(parse("sUNDAY, 06-nov-94 08:49:37 gmt"), 784111777);
    CU_ASSERT_EQUAL(parse("sun nov  6 08:49:37 1994"), 784111777);
}

/* "more than 50 years in the future" means the past century. */
static void
finds_the_century_of_two_digits(void)
{
    CU_ASSERT_EQUAL(parse("Friday, 01-Jan-76 00:00:00 GMT"), INT64_C(3345062400));
    CU_ASSERT_EQUAL(parse("Saturday, 01-Jan-77 00:00:00 GMT"), INT64_C(220924800));
    CU_ASSERT_EQUAL(parse("Thursday, 01-Jan-26 00:00:00 GMT"), NOW);
}

static void
refuses_everything_else(void)
{
    static const char *const bad[] = {
        "", "0", "-1", "Sun", "Sun,", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 00:00:00 GMT", "Thu, 29 Feb 1900 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun Nov 6 08:49:37 1994", "Sun Nov  6 08:49:37 94",
        "Sun, +6 Nov 1994 08:49:37 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(parse(bad[i]), INT64_MIN);
        if (parse(bad[i]) != INT64_MIN)
            printf("\n  taken for a date: \"%s\"\n", bad[i]);
    }
}

void
suite_date(void)
{
    CU_pSuite s = CU_add_suite("date", NULL, NULL);

    CU_add_test(s, "writes IMF-fixdates", writes_imf_fixdates);
    CU_add_test(s, "holds dates within four digits", holds_dates_within_four_digits);
    CU_add_test(s, "agrees with the C library", agrees_with_the_c_library);
    CU_add_test(s, "caches the date of one second", caches_the_date_of_one_second);
    CU_add_test(s, "reads all three formats", reads_all_three_formats);
    CU_add_test(s, "reads dates whatever their case", reads_dates_whatever_their_case);
    CU_add_test(s, "finds the century of two digits", finds_the_century_of_two_digits);
    CU_add_test(s, "refuses everything else", refuses_everything_else);
}
