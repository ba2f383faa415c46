/* SPDX-License-Identifier: BSD-2-Clause */
/* test_validate.c - conditions are judged in the order and by the comparison
 * that RFC 9110 section 13 gives.
 */
#include "config.h"

#include "cache/validate.h"

#include "test/unit/field_fixture.h"

void suite_validate(void);

/* Dates, a second apart. */
#define T0 "Sun, 06 Nov 1994 08:49:36 GMT"
#define T1 "Sun, 06 Nov 1994 08:49:37 GMT"
#define T2 "Sun, 06 Nov 1994 08:49:38 GMT"
#define T1_S 784111777
#define NOW_S (T1_S + 1000)

static struct arena arena;

static int
begin(void)
{
    arena_init(&arena, NULL, 16 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

static enum validate_result
judge_status(unsigned status, const char *request, const char *stored)
{
    struct validate_stored what = { fields_of(&arena, stored), status, T1_S };

    return validate_request(fields_of(&arena, request), &what, NOW_S);
}

static enum validate_result
judge(const char *request, const char *stored)
{
    return judge_status(200, request, stored);
}

/* ---- entity tags */

/* RFC 9110 section 8.8.3: entity-tag = [ weak ] opaque-tag. */
static void
reads_entity_tags(void)
{
    static const struct {
        const char *text, *opaque;
        bool is_weak;
    } cases[] = {
        { "\"a\"", "a", false },        { "W/\"a\"", "a", true },   { "\"\"", "", false },
        { "\"a,b\"", "a,b", false },    { "\"a\\\"", "a\\", false }, { "W/\"\"", "", true },
        { "\"\xc3\xbc\"", "\xc3\xbc", false }, { "\"W/\"", "W/", false }, { " \"a\" ", "a", false },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct etag etag;

        CU_ASSERT_TRUE_FATAL(etag_parse(slice_of(cases[i].text), &etag));
        expect_slice(etag.opaque, cases[i].opaque);
        CU_ASSERT_EQUAL(etag.is_weak, cases[i].is_weak);
    }
}

static void
refuses_what_is_no_entity_tag(void)
{
    static const char *const bad[] = {
        "", "a", "\"", "\"a", "a\"", "w/\"a\"", "W\"a\"", "W\\\"a\"", "W/a", "W/", "W/ \"a\"",
        "\"a b\"", "\"a\tb\"", "\"a\x7f\"", "\"a\"b", "\"a\"\"b\"", "\"a\", \"b\"", "*", "'a'",
    };
    struct etag etag;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_FALSE(etag_parse(slice_of(bad[i]), &etag));
    CU_ASSERT_FALSE(etag_parse(slice_make("\"\0\"", 3), &etag));
}

/* RFC 9110 section 8.8.3.2, the table. */
static void
compares_strongly_and_weakly(void)
{
    static const struct {
        const char *a, *b;
        bool strong, weak;
    } table[] = {
        { "W/\"1\"", "W/\"1\"", false, true },
        { "W/\"1\"", "W/\"2\"", false, false },
        { "W/\"1\"", "\"1\"", false, true },
        { "\"1\"", "\"1\"", true, true },
        { "\"1\"", "\"01\"", false, false },
        { "1", "1", false, false }, /* no entity tags */
    };

    for (unsigned i = 0; i < ARRAY_COUNT(table); i++) {
        struct slice a = slice_of(table[i].a), b = slice_of(table[i].b);

        CU_ASSERT_EQUAL(validate_etag_strong_equal(a, b), table[i].strong);
        CU_ASSERT_EQUAL(validate_etag_strong_equal(b, a), table[i].strong);
        CU_ASSERT_EQUAL(validate_etag_weak_equal(a, b), table[i].weak);
        CU_ASSERT_EQUAL(validate_etag_weak_equal(b, a), table[i].weak);
    }
}

static void
a_response_has_one_entity_tag_or_none(void)
{
    expect_slice(validate_etag(fields_of(&arena, "ETag: \"a\"")), "\"a\"");
    expect_slice(validate_etag(fields_of(&arena, "")), NULL);
    expect_slice(validate_etag(fields_of(&arena, "ETag: a")), NULL);
    expect_slice(validate_etag(fields_of(&arena, "ETag: \"a\"\nETag: \"b\"")), NULL);
}

/* RFC 9110 sections 8.8.1 and 8.8.2.2. */
static void
knows_strong_validators(void)
{
    static const struct {
        const char *response;
        bool is_strong;
    } cases[] = {
        { "ETag: \"a\"", true },
        { "ETag: W/\"a\"", false },
        { "ETag: W/\"a\"\nLast-Modified: " T0 "\nDate: " T1, false },
        { "Last-Modified: " T0 "\nDate: " T1, true },
        { "Last-Modified: " T1 "\nDate: " T1, false },
        { "Last-Modified: " T2 "\nDate: " T1, false },
        { "Last-Modified: " T0, false },
        { "Last-Modified: yesterday\nDate: " T1, false },
        { "", false },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        CU_ASSERT_EQUAL(validate_is_strong(fields_of(&arena, cases[i].response), NOW_S),
                        cases[i].is_strong);
}

/* ---- If-None-Match: RFC 9110 section 13.1.2 */

static void
if_none_match_compares_weakly(void)
{
    CU_ASSERT_EQUAL(judge("If-None-Match: \"a\"", "ETag: \"a\""), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-None-Match: W/\"a\"", "ETag: W/\"a\""), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-None-Match: W/\"a\"", "ETag: \"a\""), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"a\"", "ETag: W/\"a\""), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"\xc3\xbc\"", "ETag: \"\xc3\xbc\""),
                    VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"b\"", "ETag: \"a\""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"A\"", "ETag: \"a\""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"a\"", ""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("", "ETag: \"a\""), VALIDATE_PASS);
}

static void
if_none_match_is_a_list(void)
{
    static const char *const matching[] = {
        "If-None-Match: \"abcdef\", \"1234\", \"5678\"",
        "If-None-Match: \"1234\", \"abcdef\", \"5678\"",
        "If-None-Match: \"1234\", \"5678\", \"abcdef\"",
        "If-None-Match: \"1234\",\"abcdef\"",
        "If-None-Match: ,, \"1234\" ,\t, \"abcdef\" ,",
        "If-None-Match: \"1,2\", \"abcdef\"",
        "If-None-Match: \"\\\", \"abcdef\"", /* no escapes in entity tags */
        "If-None-Match: \"1234\"\nIf-None-Match: \"abcdef\"",
        "If-None-Match: \"abcdef\", junk",
    };
    static const char *const others[] = {
        "If-None-Match: \"1234, abcdef\"",  "If-None-Match: abcdef",
        "If-None-Match: 'abcdef'",          "If-None-Match: w/\"abcdef\"",
        "If-None-Match: junk, \"abcdef\"",  "If-None-Match: \"1\"\"abcdef\"",
        "If-None-Match: \"1\" \"abcdef\"",  "If-None-Match:",
        "If-None-Match: \"abcdef",          "If-None-Match: \"abcdefg\"",
    };

    for (unsigned i = 0; i < ARRAY_COUNT(matching); i++)
        CU_ASSERT_EQUAL(judge(matching[i], "ETag: \"abcdef\""), VALIDATE_NOT_MODIFIED);
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT_EQUAL(judge(others[i], "ETag: \"abcdef\""), VALIDATE_PASS);
}

static void
a_star_names_whatever_is_stored(void)
{
    CU_ASSERT_EQUAL(judge("If-None-Match: *", "ETag: \"a\""), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-None-Match: *", ""), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-None-Match: *, \"b\"", "ETag: \"a\""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"*\"", "ETag: \"a\""), VALIDATE_PASS);
}

/* ---- If-Modified-Since: RFC 9110 section 13.1.3, RFC 9111 section 4.3.2 */

static void
if_modified_since_compares_with_last_modified(void)
{
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T1, "Last-Modified: " T1), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T2, "Last-Modified: " T1), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T0, "Last-Modified: " T1), VALIDATE_PASS);
    /* whatever the format */
    CU_ASSERT_EQUAL(judge("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT",
                          "Last-Modified: " T1),
                    VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-Modified-Since: Sun Nov  6 08:49:36 1994", "Last-Modified: " T1),
                    VALIDATE_PASS);
    /* Last-Modified counts even if Date is later */
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T1, "Last-Modified: " T1 "\nDate: " T2),
                    VALIDATE_NOT_MODIFIED);
}

static void
without_last_modified_date_stands_in(void)
{
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T1, "Date: " T1), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T0, "Date: " T1), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T0, "Last-Modified: x\nDate: " T1), VALIDATE_PASS);
    /* and without Date, when the response came */
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T1, ""), VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T0, ""), VALIDATE_PASS);
}

/* "A recipient MUST ignore the If-Modified-Since header field if the received
 * field value is not a valid HTTP-date, the field value has more than one
 * member". */
static void
dates_that_cannot_be_read_are_no_condition(void)
{
    CU_ASSERT_EQUAL(judge("If-Modified-Since: x", "Last-Modified: " T1), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Modified-Since:", "Last-Modified: " T1), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T1 ", " T1, "Last-Modified: " T1), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Modified-Since: " T1 "\nIf-Modified-Since: " T1,
                          "Last-Modified: " T1),
                    VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Unmodified-Since: x", "Last-Modified: " T1), VALIDATE_PASS);
}

/* ---- precedence: RFC 9110 section 13.2.2 */

static void
if_none_match_comes_before_if_modified_since(void)
{
    CU_ASSERT_EQUAL(judge("If-None-Match: \"a\"\nIf-Modified-Since: " T0,
                          "ETag: \"a\"\nLast-Modified: " T1),
                    VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"b\"\nIf-Modified-Since: " T2,
                          "ETag: \"a\"\nLast-Modified: " T1),
                    VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"b\"\nIf-Modified-Since: " T2, "Last-Modified: " T1),
                    VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-None-Match: junk\nIf-Modified-Since: " T2, "Last-Modified: " T1),
                    VALIDATE_PASS);
}

/* RFC 9111 section 4.3.2: they are not for caches to judge. What certainly holds
 * need not be asked. RFC 9110 section 13.1.1: If-Match compares strongly. */
static void
conditions_for_the_origin_are_passed_on(void)
{
    CU_ASSERT_EQUAL(judge("If-Match: \"a\"", "ETag: \"a\""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Match: \"b\", \"a\"", "ETag: \"a\""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Match: *", ""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Match: \"b\"", "ETag: \"a\""), VALIDATE_ASK);
    CU_ASSERT_EQUAL(judge("If-Match: W/\"a\"", "ETag: W/\"a\""), VALIDATE_ASK);
    CU_ASSERT_EQUAL(judge("If-Match: \"a\"", "ETag: W/\"a\""), VALIDATE_ASK);
    CU_ASSERT_EQUAL(judge("If-Match: W/\"a\"", "ETag: \"a\""), VALIDATE_ASK);
    CU_ASSERT_EQUAL(judge("If-Match: \"a\"", ""), VALIDATE_ASK);
    CU_ASSERT_EQUAL(judge("If-Unmodified-Since: " T1, "Last-Modified: " T1), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge("If-Unmodified-Since: " T0, "Last-Modified: " T1), VALIDATE_ASK);
    CU_ASSERT_EQUAL(judge("If-Unmodified-Since: " T2, "Date: " T1), VALIDATE_ASK);
}

static void
conditions_for_the_origin_come_first(void)
{
    CU_ASSERT_EQUAL(judge("If-None-Match: \"a\"\nIf-Match: \"b\"", "ETag: \"a\""), VALIDATE_ASK);
    CU_ASSERT_EQUAL(judge("If-None-Match: \"a\"\nIf-Match: \"a\"", "ETag: \"a\""),
                    VALIDATE_NOT_MODIFIED);
    /* If-Unmodified-Since is ignored beside If-Match */
    CU_ASSERT_EQUAL(judge("If-Match: \"a\"\nIf-Unmodified-Since: " T0,
                          "ETag: \"a\"\nLast-Modified: " T1),
                    VALIDATE_PASS);
}

/* Section 13.2.1: "MUST ignore all received preconditions if its response to the
 * same request without those conditions ... would have been a status code other
 * than a 2xx". */
static void
conditions_count_for_success_only(void)
{
    CU_ASSERT_EQUAL(judge_status(404, "If-None-Match: \"a\"", "ETag: \"a\""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge_status(301, "If-Modified-Since: " T2, "Date: " T1), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge_status(404, "If-Match: \"b\"", "ETag: \"a\""), VALIDATE_PASS);
    CU_ASSERT_EQUAL(judge_status(203, "If-None-Match: \"a\"", "ETag: \"a\""),
                    VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge_status(299, "If-None-Match: \"a\"", "ETag: \"a\""),
                    VALIDATE_NOT_MODIFIED);
    CU_ASSERT_EQUAL(judge_status(206, "If-None-Match: \"a\"", "ETag: \"a\""),
                    VALIDATE_NOT_MODIFIED);
}

/* ---- If-Range: RFC 9110 section 13.1.5 */

static void
if_range_needs_a_strong_validator(void)
{
    static const struct {
        const char *request, *stored;
        bool applies;
    } cases[] = {
        { "", "", true },
        { "If-Range: \"a\"", "ETag: \"a\"", true },
        { "If-Range: \"b\"", "ETag: \"a\"", false },
        { "If-Range: W/\"a\"", "ETag: W/\"a\"", false },
        { "If-Range: W/\"a\"", "ETag: \"a\"", false },
        { "If-Range: \"a\"", "ETag: W/\"a\"", false },
        { "If-Range: \"a\"", "", false },
        { "If-Range: \"a\", \"b\"", "ETag: \"a\"", false },
        { "If-Range: *", "ETag: \"a\"", false },
        { "If-Range: a", "ETag: \"a\"", false },
        { "If-Range: \"a\"\nIf-Range: \"a\"", "ETag: \"a\"", false },
        { "If-Range: " T1, "Last-Modified: " T1 "\nDate: " T2, true },
        { "If-Range: " T1, "Last-Modified: " T1 "\nDate: " T1, false },
        { "If-Range: " T1, "Last-Modified: " T1, false },
        { "If-Range: " T2, "Last-Modified: " T1 "\nDate: " T2, false },
        { "If-Range: " T0, "Last-Modified: " T1 "\nDate: " T2, false },
        { "If-Range: " T1, "", false },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        CU_ASSERT_EQUAL(validate_range_applies(fields_of(&arena, cases[i].request),
                                               fields_of(&arena, cases[i].stored), NOW_S),
                        cases[i].applies);
}

/* ---- conditions sent: RFC 9111 section 4.3.1 */

static void
asks_by_all_stored_validators(void)
{
    static const struct {
        const char *stored, *request;
    } cases[] = {
        { "ETag: \"a\"\nLast-Modified: " T1,
          "Host: h\nIf-None-Match: \"a\"\nIf-Modified-Since: " T1 "\n" },
        { "ETag: W/\"a\"", "Host: h\nIf-None-Match: W/\"a\"\n" },
        { "Last-Modified: " T1 "\nDate: " T2, "Host: h\nIf-Modified-Since: " T1 "\n" },
        { "ETag: a\nLast-Modified: x", "Host: h\n" },
        { "Date: " T2, "Host: h\n" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fields *request = fields_of(
            &arena, "If-Match: *\nIf-None-Match: \"x\"\nHost: h\nIf-None-Match: \"y\"\n"
                    "If-Modified-Since: " T0 "\nIf-Unmodified-Since: " T0 "\nIf-Range: \"x\"");
        bool has_any = validate_add_conditions(request, &arena, fields_of(&arena, cases[i].stored),
                                               NOW_S);

        expect_fields(&arena, request, cases[i].request);
        CU_ASSERT_EQUAL(has_any, i < 3);
    }
}

static void
conditions_can_be_removed(void)
{
    struct fields *request = fields_of(&arena, "If-Match: *\nRange: bytes=0-1\nIf-Range: \"x\"\n"
                                               "If-Modified-Since: x\nIf-None-Match: x\n"
                                               "If-Unmodified-Since: x\nIf: x");

    validate_remove_conditions(request);
    expect_fields(&arena, request, "Range: bytes=0-1\nIf: x\n");
    CU_ASSERT_FALSE(fields_has(request, FIELD_IF_RANGE));
}

void
suite_validate(void)
{
    CU_pSuite s = CU_add_suite("validate", begin, end);

    CU_add_test(s, "reads entity tags, obs-text too", reads_entity_tags);
    CU_add_test(s, "refuses what is no entity tag", refuses_what_is_no_entity_tag);
    CU_add_test(s, "compares strongly and weakly", compares_strongly_and_weakly);
    CU_add_test(s, "a response has one entity tag or none", a_response_has_one_entity_tag_or_none);
    CU_add_test(s, "knows strong validators", knows_strong_validators);
    CU_add_test(s, "If-None-Match compares weakly", if_none_match_compares_weakly);
    CU_add_test(s, "If-None-Match is a list, and junk matches nothing", if_none_match_is_a_list);
    CU_add_test(s, "a star names whatever is stored", a_star_names_whatever_is_stored);
    CU_add_test(s, "If-Modified-Since compares with Last-Modified",
                if_modified_since_compares_with_last_modified);
    CU_add_test(s, "without Last-Modified, Date stands in", without_last_modified_date_stands_in);
    CU_add_test(s, "a date that cannot be read is no condition",
                dates_that_cannot_be_read_are_no_condition);
    CU_add_test(s, "If-None-Match comes before If-Modified-Since",
                if_none_match_comes_before_if_modified_since);
    CU_add_test(s, "what only the origin may judge is passed on unless it holds",
                conditions_for_the_origin_are_passed_on);
    CU_add_test(s, "what only the origin may judge comes first",
                conditions_for_the_origin_come_first);
    CU_add_test(s, "conditions count for a status of 2xx only", conditions_count_for_success_only);
    CU_add_test(s, "If-Range needs the same strong validator", if_range_needs_a_strong_validator);
    CU_add_test(s, "revalidation asks by all stored validators", asks_by_all_stored_validators);
    CU_add_test(s, "conditions can be removed", conditions_can_be_removed);
}
