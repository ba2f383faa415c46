/* SPDX-License-Identifier: BSD-2-Clause */
/* test_pattern.c - expressions match, capture, and cannot run away. */
#include "config.h"

#include "server/base/pattern.h"

#include <CUnit/CUnit.h>
#include <pthread.h>
#include <time.h>

void suite_pattern(void);

static enum pattern_result
match(const char *text, bool nocase, struct slice subject)
{
    struct err err = { "" };
    struct pattern *pattern = pattern_new(text, nocase, &err);
    enum pattern_result result;

    CU_ASSERT_PTR_NOT_NULL_FATAL(pattern);
    result = pattern_match(pattern, subject, NULL);
    pattern_free(pattern);
    return result;
}

static void
finds_a_match_anywhere(void)
{
    CU_ASSERT_EQUAL(match("b+", false, SLICE("aabbcc")), PATTERN_HIT);
    CU_ASSERT_EQUAL(match("^b+", false, SLICE("aabbcc")), PATTERN_MISS);
    CU_ASSERT_EQUAL(match("B+", false, SLICE("aabbcc")), PATTERN_MISS);
    CU_ASSERT_EQUAL(match("B+", true, SLICE("aabbcc")), PATTERN_HIT);
    CU_ASSERT_EQUAL(match("^$", false, slice_make(NULL, 0)), PATTERN_HIT);
}

/* A rule for "/admin$" must not be dodged or met by a trailing newline. */
static void
dollar_is_the_very_end(void)
{
    CU_ASSERT_EQUAL(match("^/admin$", false, SLICE("/admin")), PATTERN_HIT);
    CU_ASSERT_EQUAL(match("^/admin$", false, SLICE("/admin\n")), PATTERN_MISS);
}

static void
gives_captures_as_slices_of_the_subject(void)
{
    struct err err = { "" };
    struct pattern *pattern = pattern_new("/(\\d+)/(x)?(\\w*)", false, &err);
    struct slice captures[PATTERN_CAPTURES], subject = SLICE("GET /42/abc");

    CU_ASSERT_PTR_NOT_NULL_FATAL(pattern);
    CU_ASSERT_EQUAL(pattern_capture_count(pattern), 3);
    CU_ASSERT_STRING_EQUAL(pattern_text(pattern), "/(\\d+)/(x)?(\\w*)");
    CU_ASSERT_EQUAL(pattern_match(pattern, subject, captures), PATTERN_HIT);
    CU_ASSERT(slice_equal(captures[0], SLICE("/42/abc")));
    CU_ASSERT(slice_equal(captures[1], SLICE("42")));
    CU_ASSERT_PTR_EQUAL(captures[1].data, subject.data + 5);
    CU_ASSERT_PTR_NULL(captures[2].data);
    CU_ASSERT(slice_equal(captures[3], SLICE("abc")));
    CU_ASSERT_PTR_NULL(captures[9].data);
    pattern_free(pattern);
}

static void
keeps_the_first_nine_of_many_captures(void)
{
    struct err err = { "" };
    struct pattern *pattern =
        pattern_new("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)(l)", false, &err);
    struct slice captures[PATTERN_CAPTURES];

    CU_ASSERT_PTR_NOT_NULL_FATAL(pattern);
    CU_ASSERT_EQUAL(pattern_match(pattern, SLICE("abcdefghijkl"), captures), PATTERN_HIT);
    CU_ASSERT(slice_equal(captures[9], SLICE("i")));
    pattern_free(pattern);
}

/* The classic exponential expression gives up, and soon. */
static void
gives_up_on_endless_backtracking(void)
{
    static const char subject[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";
    clock_t before = clock(); /* what the processor did, however busy it is */

    CU_ASSERT_EQUAL(match("^(a+)+$", false, slice_of(subject)), PATTERN_LIMIT);
    CU_ASSERT_EQUAL(match("^(?:a|aa)+$", false, slice_of(subject)), PATTERN_LIMIT);
    CU_ASSERT((clock() - before) / CLOCKS_PER_SEC < 2);
}

static void
stray_bytes_do_not_hide_a_utf8_match(void)
{
    CU_ASSERT_EQUAL(match("(*UTF)b\xc3\xa4r", false, SLICE("\xff\xfe b\xc3\xa4r")), PATTERN_HIT);
    CU_ASSERT_EQUAL(match("(*UTF)^.$", false, SLICE("\xc3\xa4")), PATTERN_HIT);
    CU_ASSERT_EQUAL(match("^..$", false, SLICE("\xc3\xa4")), PATTERN_HIT);
}

static void
says_what_is_wrong_and_where(void)
{
    struct err err = { "" };
    char longest[9000];

    CU_ASSERT_PTR_NULL(pattern_new("a(b", false, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"a(b\" is wrong at character 4: missing closing"));
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    CU_ASSERT_PTR_NULL(pattern_new(longest, false, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "longer than"));
    CU_ASSERT_PTR_NULL(pattern_new("[", false, NULL));
    pattern_free(NULL);
}

static void *
match_often(void *arg)
{
    struct pattern *pattern = arg;
    uintptr_t hits = 0;

    for (int i = 0; i < 10000; i++) {
        struct slice captures[PATTERN_CAPTURES];

        if (pattern_match(pattern, SLICE("/user/1234/x"), captures) == PATTERN_HIT &&
            slice_equal(captures[1], SLICE("1234")))
            hits++;
    }
    return (void *)hits;
}

static void
matches_from_several_threads(void)
{
    struct err err = { "" };
    struct pattern *pattern = pattern_new("/user/(\\d+)/", false, &err);
    pthread_t threads[3];

    CU_ASSERT_PTR_NOT_NULL_FATAL(pattern);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, match_often, pattern), 0);
    for (int i = 0; i < 3; i++) {
        void *hits;

        pthread_join(threads[i], &hits);
        CU_ASSERT_EQUAL((uintptr_t)hits, 10000);
    }
    pattern_free(pattern);
}

void
suite_pattern(void)
{
    CU_pSuite s = CU_add_suite("pattern", NULL, NULL);

    CU_add_test(s, "finds a match anywhere", finds_a_match_anywhere);
    CU_add_test(s, "$ is the very end", dollar_is_the_very_end);
    CU_add_test(s, "gives captures as slices of the subject",
                gives_captures_as_slices_of_the_subject);
    CU_add_test(s, "keeps the first nine of many captures", keeps_the_first_nine_of_many_captures);
    CU_add_test(s, "gives up on endless backtracking", gives_up_on_endless_backtracking);
    CU_add_test(s, "stray bytes do not hide a UTF-8 match", stray_bytes_do_not_hide_a_utf8_match);
    CU_add_test(s, "says what is wrong and where", says_what_is_wrong_and_where);
    CU_add_test(s, "matches from several threads", matches_from_several_threads);
}
