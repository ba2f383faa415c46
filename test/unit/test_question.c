/* SPDX-License-Identifier: BSD-2-Clause */
/* test_question.c - what is said of a request that is only thought of
 * (server/policy/question.h).
 */
#include "config.h"

#include "server/policy/question.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct question question;

static bool
is_taken(const char *name, const char *value)
{
    struct err err = { "" };

    return question_set(&question, slice_of(name), slice_of(value), &err) == 0;
}

/* Whether it is refused with words that begin with the name and say what would do. */
static bool
is_refused(const char *name, const char *value, const char *words)
{
    struct err err = { "" };

    if (question_set(&question, slice_of(name), slice_of(value), &err) == 0)
        return false;
    return strncmp(err.text, name, strlen(name)) == 0 && strstr(err.text, words) != NULL;
}

static void
every_word_can_be_said(void)
{
    static const char *const values[] = { "office", "10.0.0.7", "bob", "staff", "A: b",
                                          "2026-11-23 10:00", "192.0.2.1", "www.example.com",
                                          "404", "A: b" };
    size_t i;

    question = (struct question){ 0 };
    for (i = 0; question_words[i] != NULL; i++)
        CU_ASSERT(is_taken(question_words[i], values[i]));
    CU_ASSERT_EQUAL(i, sizeof(values) / sizeof(values[0]));
    CU_ASSERT(is_taken("method", "GET") && is_taken("url", "http://a.test/"));
    CU_ASSERT(slice_equal(question.listener, SLICE("office")));
    CU_ASSERT(question.has_client && question.client.bytes[3] == 7);
    CU_ASSERT_EQUAL(question.group_count, 1);
    CU_ASSERT_EQUAL(question.status, 404);
    CU_ASSERT(question.has_server_name);
}

static void
what_makes_no_sense_is_refused_with_an_example(void)
{
    CU_ASSERT(is_refused("from", "10.0.0", "192.0.2.1"));
    CU_ASSERT(is_refused("from", "010.0.0.1", "192.0.2.1"));
    CU_ASSERT(is_refused("destination", "www.example.com", "2001:db8::1"));
    CU_ASSERT(is_refused("time", "tomorrow", "2026-11-23 10:00"));
    CU_ASSERT(is_refused("header", "curl", "User-Agent: curl"));
    CU_ASSERT(is_refused("header", "A B: c", "User-Agent: curl"));
    CU_ASSERT(is_refused("header", "A: b\r\nC: d", "User-Agent: curl"));
    CU_ASSERT(is_refused("status", "99", "200..599"));
    CU_ASSERT(is_refused("user", "", "empty"));
    CU_ASSERT(is_refused("url", "http://a.test/\r\nB: c", "control"));
    CU_ASSERT(is_refused("colour", "red", "nobody knows"));
}

static void
no_more_is_taken_than_there_is_room_for(void)
{
    question = (struct question){ 0 };
    for (unsigned i = 0; i < QUESTION_ITEMS_MAX; i++) {
        CU_ASSERT(is_taken("header", "A: b"));
        CU_ASSERT(is_taken("group", "staff"));
        CU_ASSERT(is_taken("response-header", "A: b"));
    }
    CU_ASSERT(is_refused("header", "A: b", "more than"));
    CU_ASSERT(is_refused("group", "staff", "more than"));
    CU_ASSERT(is_refused("response-header", "A: b", "more than"));
}

static int64_t
time_of(const char *text)
{
    struct err err;
    int64_t time_s = 0;

    return question_parse_time(slice_of(text), &time_s, &err) == 0 ? time_s : -1;
}

static void
times_are_read_in_their_zone(void)
{
    CU_ASSERT_EQUAL(time_of("2026-11-23 10:00Z"), 1795428000);
    CU_ASSERT_EQUAL(time_of("2026-11-23T10:00:05 UTC"), 1795428005);
    CU_ASSERT_EQUAL(time_of("2026-11-23 10:00 +01:00"), 1795428000 - 3600);
    CU_ASSERT_EQUAL(time_of("2026-11-23 10:00 -05:30"), 1795428000 + 5 * 3600 + 1800);
}

/* RFC 8536's rules are libc's; ours is to ask them. */
static void
without_a_zone_the_systems_counts(void)
{
    const char *before = getenv("TZ");
    char kept[64];

    snprintf(kept, sizeof(kept), "%s", before != NULL ? before : "");
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    CU_ASSERT_EQUAL(time_of("2026-11-23 10:00"), 1795428000 - 3600);
    CU_ASSERT_EQUAL(time_of("2026-07-23 10:00"), time_of("2026-07-23 10:00 +02:00"));
    if (before != NULL)
        setenv("TZ", kept, 1);
    else
        unsetenv("TZ");
    tzset();
}

static void
times_that_are_none_are_refused(void)
{
    static const char *const bad[] = { "", "10", "25:00", "10:60", "2026-02-30 10:00",
                                       "2026-13-01 10:00", "2026-11-23", "10:00 CET",
                                       "10:00 +99:00", "10:00 +01:00 x", "2026-11-23 -1:00",
                                       "9999999999999999999999999999999999999999999999999999" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT_EQUAL(time_of(bad[i]), -1);
    CU_ASSERT(time_of("10:00") > 0);
}

void
suite_question(void)
{
    CU_pSuite s = CU_add_suite("question", NULL, NULL);

    CU_add_test(s, "every word can be said", every_word_can_be_said);
    CU_add_test(s, "what makes no sense is refused with an example",
                what_makes_no_sense_is_refused_with_an_example);
    CU_add_test(s, "no more is taken than there is room for",
                no_more_is_taken_than_there_is_room_for);
    CU_add_test(s, "times are read in their zone", times_are_read_in_their_zone);
    CU_add_test(s, "without a zone the system's counts", without_a_zone_the_systems_counts);
    CU_add_test(s, "times that are none are refused", times_that_are_none_are_refused);
}
