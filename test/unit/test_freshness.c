/* SPDX-License-Identifier: BSD-2-Clause */
/* test_freshness.c - lifetimes and ages of RFC 9111 section 4.2, request
 * directives of section 5.2.1, windows of RFC 5861. */
#include "config.h"

#include "cache/freshness.h"

#include <stdlib.h>

#include <CUnit/CUnit.h>

#include "server/http/date.h"

void suite_freshness(void);

#define NOW INT64_C(1767225600) /* 2026-01-01, when every response here comes */

static struct arena arena;

static const struct lifetime_conf defaults = { .heuristic_max_s = 86400 };
static const struct directives nothing;

static int
init(void)
{
    arena_init(&arena, NULL, 4 * 1024 * 1024);
    return 0;
}

static int
fini(void)
{
    arena_fini(&arena);
    return 0;
}

/* Lines of a response: "Name: value" each, the last NULL. A value of "@N" is the
 * date N seconds after NOW. */
static struct fields *
fields_of(const char *const lines[])
{
    struct fields *fields = arena_zalloc(&arena, sizeof(*fields));

    for (; *lines != NULL; lines++) {
        const char *colon = strchr(*lines, ':');
        struct slice value = slice_trim(slice_of(colon + 1));

        if (value.bytes > 1 && value.data[0] == '@') {
            char *date = arena_alloc(&arena, DATE_BYTES + 1);

            date_format(date, NOW + atoll(value.data + 1));
            value = slice_of(date);
        }
        fields_add_name(fields, &arena, slice_make(*lines, (size_t)(colon - *lines)), value);
    }
    return fields;
}

static struct lifetime
lifetime_of(unsigned status, const struct lifetime_conf *conf, int64_t request_s,
            const char *const lines[])
{
    const struct fields *fields = fields_of(lines);
    struct directives directives;
    struct lifetime lifetime;

    memset(&lifetime, 0xff, sizeof(lifetime));
    directives_of_response(&directives, fields);
    lifetime_of_response(&lifetime, status, fields, &directives, conf, request_s, NOW);
    return lifetime;
}

#define LINES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define OK(...) lifetime_of(200, &defaults, NOW, LINES(__VA_ARGS__))
#define FRESH_S(...) OK(__VA_ARGS__).fresh_s
#define AGE_S(...) OK(__VA_ARGS__).initial_age_s
#define STATUS(status, ...) lifetime_of(status, &defaults, NOW, LINES(__VA_ARGS__))
#define CONF(conf, ...) lifetime_of(200, conf, NOW, LINES(__VA_ARGS__))

static struct directives
request_of(const char *value)
{
    struct directives directives;
    char line[200] = "Cache-Control: ";

    strncat(line, value, sizeof(line) - strlen(line) - 1);
    directives_of_request(&directives, fields_of(LINES(arena_strdup(&arena, line))));
    return directives;
}

/* What a request with this Cache-Control may be given, so long after it came. */
static enum staleness
after(const struct lifetime *lifetime, const char *request, int64_t seconds)
{
    struct directives directives = request_of(request);
    enum staleness staleness = lifetime_staleness(lifetime, &directives, &defaults, NOW + seconds);

    CU_ASSERT_EQUAL(lifetime_is_enough(lifetime, &directives, NOW + seconds), staleness == FRESH);
    return staleness;
}

/* ---- explicit lifetimes: RFC 9111 section 4.2.1 */

/* "If the cache is shared and s-maxage is present, use its value." */
static void
prefers_s_maxage(void)
{
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: s-maxage=3600"), 3600);
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: max-age=3600, s-maxage=1"), 1);
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: max-age=3600", "Cache-Control: s-maxage=1"), 1);
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: max-age=1, s-maxage=3600"), 3600);
    CU_ASSERT_EQUAL(FRESH_S("Expires: @-10", "Cache-Control: max-age=0, s-maxage=3600"), 3600);
    CU_ASSERT_TRUE(OK("Cache-Control: s-maxage=0").is_explicit);
}

/* Section 5.3: max-age beats Expires, whatever that says. */
static void
prefers_max_age_to_expires(void)
{
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: max-age=3600", "Expires: @-7200", "Date: @0"), 3600);
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: max-age=3600", "Expires: 0", "Date: @0"), 3600);
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: max-age=0", "Expires: @3600", "Date: @0"), 0);
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: max-age=-3600", "Expires: @3600", "Date: @0"), 0);
    CU_ASSERT_EQUAL(FRESH_S("Cache-Control: max-age=99999999999"), DELTA_MAX);
}

/* Sections 4.2.1 and 5.3: Expires minus Date; the time it came where Date is none. */
static void
subtracts_date_from_expires(void)
{
    CU_ASSERT_EQUAL(FRESH_S("Expires: @100", "Date: @0"), 100);
    CU_ASSERT_EQUAL(FRESH_S("Expires: @300", "Date: @400"), 0);
    CU_ASSERT_EQUAL(FRESH_S("Expires: @0", "Date: @0"), 0);
    CU_ASSERT_EQUAL(FRESH_S("Expires: @20", "Date: @10"), 10);
    CU_ASSERT_EQUAL(FRESH_S("Expires: @10", "Date: foo"), 10);
    CU_ASSERT_EQUAL(FRESH_S("Expires: @10"), 10);
    CU_ASSERT_TRUE(OK("Expires: @10").is_explicit);
    CU_ASSERT_EQUAL(FRESH_S("Expires: Sun, 21 Nov 2286 04:46:39 GMT"), DELTA_MAX);
    CU_ASSERT_TRUE(FRESH_S("Expires: Tue, 19 Jan 2038 14:14:08 GMT") > 0);
    CU_ASSERT_TRUE(FRESH_S("Expires: Thursday, 18-Aug-50 02:01:18 GMT") > 0);
    CU_ASSERT_TRUE(FRESH_S("Expires: Thu Aug 18 02:01:18 2050") > 0);
    CU_ASSERT_TRUE(FRESH_S("Expires: THU, 18 AUG 2050 02:01:18 gMT") > 0);
}

/* Section 5.3: an invalid date, and more than one, means: expired. */
static void
takes_invalid_expires_for_expired(void)
{
    static const char *const bad[] = {
        "Expires: 0", "Expires: -1", "Expires:", "Expires: Thu, 18 Aug 2050 02:01:18 UTC",
        "Expires: Thu, 18 Aug 2050 02:01:18 AEST", "Expires: Thu, 18 Aug 50 02:01:18 GMT",
        "Expires: Thu 18 Aug 2050 02:01:18 GMT", "Expires: Thu, 18  Aug  2050 02:01:18 GMT",
        "Expires: Thu, 18-Aug-2050 02:01:18 GMT", "Expires: Thu, 18 Aug 2050 02.01.18 GMT",
        "Expires: Thu, 18 Aug 2050 2:01:18 GMT",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct lifetime lifetime = OK(bad[i], "Date: @0", "Last-Modified: @-86400");

        CU_ASSERT_TRUE(lifetime.is_explicit);
        CU_ASSERT_FALSE(lifetime.is_heuristic);
        CU_ASSERT_EQUAL(lifetime.fresh_s, 0);
    }
    CU_ASSERT_EQUAL(FRESH_S("Expires: @100", "Expires: @100"), 0);
    CU_ASSERT_EQUAL(FRESH_S("Expires: @100", "Expires: @200"), 0);
}

/* RFC 9213 section 2.2: with a valid targeted field Expires is ignored. */
static void
ignores_expires_beside_a_targeted_field(void)
{
    CU_ASSERT_EQUAL(FRESH_S("CDN-Cache-Control: max-age=60", "Expires: @-1", "Date: @0"), 60);
    CU_ASSERT_EQUAL(FRESH_S("CDN-Cache-Control: max-age=0", "Expires: @99", "Date: @0"), 0);
    CU_ASSERT_EQUAL(FRESH_S("CDN-Cache-Control: foo", "Expires: @99", "Cache-Control: max-age=9"),
                    0);
    CU_ASSERT_FALSE(OK("CDN-Cache-Control: foo", "Expires: @99").is_explicit);
    CU_ASSERT_EQUAL(FRESH_S("CDN-Cache-Control: &", "Expires: @99"), 99);
}

/* ---- heuristic lifetimes: section 4.2.2 */

static void
guesses_a_tenth_since_last_modified(void)
{
    struct lifetime lifetime = OK("Last-Modified: @-1000", "Date: @0");

    CU_ASSERT_EQUAL(lifetime.fresh_s, 100);
    CU_ASSERT_TRUE(lifetime.is_heuristic);
    CU_ASSERT_FALSE(lifetime.is_explicit);
    CU_ASSERT_EQUAL(FRESH_S("Last-Modified: @-1000"), 100);
    CU_ASSERT_EQUAL(FRESH_S("Last-Modified: @-1000", "Date: @-500"), 50);
    CU_ASSERT_EQUAL(FRESH_S("Last-Modified: @-100000000"), 86400); /* at most */
    CU_ASSERT_EQUAL(FRESH_S("Last-Modified: @100"), 0);
    CU_ASSERT_FALSE(OK("Last-Modified: @100").is_heuristic);
    CU_ASSERT_EQUAL(FRESH_S("Last-Modified: yesterday"), 0);
    CU_ASSERT_EQUAL(FRESH_S("Via: x"), 0);
}

/* "A cache MUST NOT use heuristics ... when an explicit expiration time is present". */
static void
guesses_only_without_explicit_times(void)
{
    CU_ASSERT_EQUAL(FRESH_S("Last-Modified: @-1000", "Cache-Control: max-age=0"), 0);
    CU_ASSERT_EQUAL(FRESH_S("Last-Modified: @-1000", "Expires: 0"), 0);
    CU_ASSERT_EQUAL(FRESH_S("Last-Modified: @-1000", "Cache-Control: s-maxage=x"), 0);
}

/* RFC 9110 section 15.1: for these statuses, or with public. */
static void
guesses_only_for_some_statuses(void)
{
    static const unsigned yes[] = { 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501 };
    static const unsigned no[] = { 201, 202, 299, 302, 303, 307, 400, 403, 499, 500,
                                   502, 503, 504, 599 };

    for (size_t i = 0; i < ARRAY_COUNT(yes); i++)
        CU_ASSERT_EQUAL(STATUS(yes[i], "Last-Modified: @-1000").fresh_s, 100);
    for (size_t i = 0; i < ARRAY_COUNT(no); i++) {
        CU_ASSERT_EQUAL(STATUS(no[i], "Last-Modified: @-1000").fresh_s, 0);
        CU_ASSERT_EQUAL(STATUS(no[i], "Last-Modified: @-1000", "Cache-Control: public").fresh_s,
                        100);
    }
}

static void
never_guesses_when_told_not_to(void)
{
    static const struct lifetime_conf conf = { .heuristic_max_s = 0 };

    CU_ASSERT_EQUAL(CONF(&conf, "Last-Modified: @-1000").fresh_s, 0);
    CU_ASSERT_FALSE(CONF(&conf, "Last-Modified: @-1000").is_heuristic);
}

/* ---- what the operator sets */

static void
falls_back_to_the_default_lifetime(void)
{
    static const struct lifetime_conf conf = { .heuristic_max_s = 50, .default_s = 7 };

    CU_ASSERT_EQUAL(CONF(&conf, "Via: x").fresh_s, 7);
    CU_ASSERT_FALSE(CONF(&conf, "Via: x").is_explicit);
    CU_ASSERT_EQUAL(CONF(&conf, "Last-Modified: @-1000").fresh_s, 50);
    CU_ASSERT_EQUAL(CONF(&conf, "Last-Modified: @1000").fresh_s, 7);
    CU_ASSERT_EQUAL(CONF(&conf, "Cache-Control: max-age=0").fresh_s, 0);
    CU_ASSERT_EQUAL(CONF(&conf, "Expires: 0").fresh_s, 0);
    CU_ASSERT_EQUAL(lifetime_of(500, &conf, NOW, LINES("Via: x")).fresh_s, 0);
}

/* min and max hold lifetimes that there are; they make none. */
static void
holds_lifetimes_between_min_and_max(void)
{
    static const struct lifetime_conf conf = { .heuristic_max_s = 500, .min_s = 10, .max_s = 60 };

    CU_ASSERT_EQUAL(CONF(&conf, "Cache-Control: max-age=0").fresh_s, 10);
    CU_ASSERT_EQUAL(CONF(&conf, "Cache-Control: max-age=30").fresh_s, 30);
    CU_ASSERT_EQUAL(CONF(&conf, "Cache-Control: max-age=3000").fresh_s, 60);
    CU_ASSERT_EQUAL(CONF(&conf, "Last-Modified: @-1000").fresh_s, 60);
    CU_ASSERT_EQUAL(CONF(&conf, "Via: x").fresh_s, 0);
    CU_ASSERT_EQUAL(lifetime_of(302, &conf, NOW, LINES("Via: x")).fresh_s, 0);
    CU_ASSERT_TRUE(CONF(&conf, "Cache-Control: no-cache, max-age=0").always_validate);
}

/* ---- age: section 4.2.3 */

static void
starts_at_the_age_received(void)
{
    CU_ASSERT_EQUAL(AGE_S("Via: x"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age: 0", "Date: @0"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age: 7200", "Date: @0"), 7200);
    CU_ASSERT_EQUAL(AGE_S("Age: 007"), 7);
}

/* Section 5.1: the first value counts; anything but a number is ignored. */
static void
reads_the_first_age(void)
{
    CU_ASSERT_EQUAL(AGE_S("Age: 7200, 0"), 7200);
    CU_ASSERT_EQUAL(AGE_S("Age: 0, 7200"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age: 7200", "Age: 0"), 7200);
    CU_ASSERT_EQUAL(AGE_S("Age: 0", "Age: 7200"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age: 3600", "Age: 3600"), 3600);
    CU_ASSERT_EQUAL(AGE_S("Age: abc"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age: -7200"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age: 7200.0"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age: 7200;foo=bar"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age:"), 0);
    CU_ASSERT_EQUAL(AGE_S("Age: ,"), 0);
}

/* Section 1.2.2. */
static void
saturates_huge_ages(void)
{
    struct lifetime lifetime = OK("Age: 99999999999999999999999", "Cache-Control: max-age=9");

    CU_ASSERT_EQUAL(AGE_S("Age: 2147483647"), 2147483647);
    CU_ASSERT_EQUAL(AGE_S("Age: 2147483648"), DELTA_MAX);
    CU_ASSERT_EQUAL(AGE_S("Age: 2147483649"), DELTA_MAX);
    CU_ASSERT_EQUAL(lifetime.initial_age_s, DELTA_MAX);
    CU_ASSERT_EQUAL(lifetime_age(&lifetime, NOW + 10), DELTA_MAX);
    CU_ASSERT_EQUAL(lifetime_age(&lifetime, INT64_MAX), DELTA_MAX);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale=5", 0), STALE);
}

/* apparent_age = max(0, response_time - date_value) */
static void
counts_the_apparent_age(void)
{
    CU_ASSERT_EQUAL(AGE_S("Date: @-7200"), 7200);
    CU_ASSERT_EQUAL(AGE_S("Date: @7200"), 0);
    CU_ASSERT_EQUAL(AGE_S("Date: @-10", "Age: 25"), 25);
    CU_ASSERT_EQUAL(AGE_S("Date: @-30", "Age: 25"), 30);
    CU_ASSERT_EQUAL(AGE_S("Date: Sat, 01 Jan 0000 00:00:00 GMT"), DELTA_MAX);
}

/* corrected_age_value = age_value + response_delay */
static void
adds_the_delay_of_the_response(void)
{
    struct lifetime lifetime =
        lifetime_of(200, &defaults, NOW - 4, LINES("Age: 25", "Date: @0"));

    CU_ASSERT_EQUAL(lifetime.initial_age_s, 29);
    lifetime = lifetime_of(200, &defaults, NOW - 4, LINES("Date: @-10"));
    CU_ASSERT_EQUAL(lifetime.initial_age_s, 10);
    lifetime = lifetime_of(200, &defaults, NOW + 4, LINES("Age: 25")); /* a clock set back */
    CU_ASSERT_EQUAL(lifetime.initial_age_s, 25);
    lifetime = lifetime_of(200, &defaults, NOW - 4, LINES("Age: 2147483648"));
    CU_ASSERT_EQUAL(lifetime.initial_age_s, DELTA_MAX);
    lifetime = lifetime_of(200, &defaults, INT64_MIN, LINES("Age: 1"));
    CU_ASSERT_EQUAL(lifetime.initial_age_s, DELTA_MAX);
}

/* current_age = corrected_initial_age + resident_time */
static void
grows_older_while_stored(void)
{
    struct lifetime lifetime = OK("Age: 30", "Cache-Control: max-age=100");

    CU_ASSERT_EQUAL(lifetime_age(&lifetime, NOW), 30);
    CU_ASSERT_EQUAL(lifetime_age(&lifetime, NOW + 5), 35);
    CU_ASSERT_EQUAL(lifetime_age(&lifetime, NOW - 5), 30);
    CU_ASSERT_EQUAL(lifetime_age(&lifetime, INT64_MIN), 30);
    CU_ASSERT_EQUAL(lifetime_left(&lifetime, NOW + 5), 65);
    CU_ASSERT_EQUAL(lifetime_left(&lifetime, NOW + 75), -5);
}

/* Section 4.2: fresh while freshness_lifetime > current_age. */
static void
is_fresh_while_younger(void)
{
    struct lifetime lifetime = OK("Age: 90", "Cache-Control: max-age=100");

    CU_ASSERT_TRUE(lifetime_is_fresh(&lifetime, NOW + 9));
    CU_ASSERT_FALSE(lifetime_is_fresh(&lifetime, NOW + 10));
    lifetime = OK("Date: @-10", "Expires: @10", "Age: 25");
    CU_ASSERT_FALSE(lifetime_is_fresh(&lifetime, NOW));
    lifetime = OK("Date: @10", "Expires: @20", "Age: 15");
    CU_ASSERT_FALSE(lifetime_is_fresh(&lifetime, NOW));
    lifetime = OK("Cache-Control: max-age=0");
    CU_ASSERT_FALSE(lifetime_is_fresh(&lifetime, NOW));
}

/* ---- requests: section 5.2.1 */

static void
serves_fresh_responses(void)
{
    struct lifetime lifetime = OK("Cache-Control: max-age=100");

    CU_ASSERT_EQUAL(after(&lifetime, "", 0), FRESH);
    CU_ASSERT_EQUAL(after(&lifetime, "", 99), FRESH);
    CU_ASSERT_EQUAL(after(&lifetime, "", 100), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "no-store", 0), FRESH); /* it is about storing */
    CU_ASSERT_EQUAL(after(&lifetime, "only-if-cached", 0), FRESH);
}

/* Section 5.2.1.4 (request) and 5.2.2.4 (response). */
static void
validates_for_no_cache(void)
{
    struct lifetime lifetime = OK("Cache-Control: max-age=100");

    CU_ASSERT_EQUAL(after(&lifetime, "no-cache", 0), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "no-cache, max-stale", 0), STALE);
    lifetime = OK("Cache-Control: max-age=100, no-cache, stale-if-error=60");
    CU_ASSERT_EQUAL(after(&lifetime, "", 0), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale, stale-if-error=60", 0), STALE);
    lifetime = OK("Cache-Control: no-cache=\"a\"", "Cache-Control: max-age=100");
    CU_ASSERT_EQUAL(after(&lifetime, "", 0), STALE);
}

/* Section 5.2.1.1. */
static void
heeds_max_age_of_requests(void)
{
    struct lifetime lifetime = OK("Cache-Control: max-age=3600", "Age: 1800");

    CU_ASSERT_EQUAL(after(&lifetime, "max-age=600", 0), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=1800", 0), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=1801", 0), FRESH);
    lifetime = OK("Cache-Control: max-age=3600");
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=0", 0), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=x", 0), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=1", 3), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=99999", 3600), STALE);
}

/* Section 5.2.1.3. */
static void
heeds_min_fresh_of_requests(void)
{
    struct lifetime lifetime = OK("Cache-Control: max-age=1500", "Age: 1000");

    CU_ASSERT_EQUAL(after(&lifetime, "min-fresh=1000", 0), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "min-fresh=501", 0), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "min-fresh=500", 0), FRESH);
    CU_ASSERT_EQUAL(after(&lifetime, "min-fresh=0", 500), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "min-fresh=5, max-stale", 500), STALE);
}

/* Section 5.2.1.2. */
static void
heeds_max_stale_of_requests(void)
{
    struct lifetime lifetime = OK("Cache-Control: max-age=1500", "Age: 2000");

    CU_ASSERT_EQUAL(after(&lifetime, "max-stale=1000", 0), FRESH);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale=1000", 499), FRESH);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale=1000", 500), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale", 1000 * 1000), FRESH);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale=0", 0), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale=1000, max-age=1999", 0), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale=1000, max-age=2001", 0), FRESH);
}

/* Sections 4.2.4, 5.2.2.2, 5.2.2.8, 5.2.2.10. */
static void
never_serves_stale_what_must_be_validated(void)
{
    static const char *const forbids[] = {
        "Cache-Control: max-age=2, must-revalidate", "Cache-Control: max-age=2, proxy-revalidate",
        "Cache-Control: max-age=2, s-maxage=2", "Cache-Control: max-age=2, no-cache",
        "CDN-Cache-Control: max-age=2, must-revalidate",
    };
    static const struct lifetime_conf conf = { .stale_if_error_s = 600,
                                               .stale_while_revalidate_s = 600 };
    struct directives request = request_of("max-stale, stale-if-error=600");

    for (size_t i = 0; i < ARRAY_COUNT(forbids); i++) {
        struct lifetime lifetime = OK(forbids[i]);

        CU_ASSERT_TRUE(lifetime.must_revalidate);
        CU_ASSERT_EQUAL(lifetime_staleness(&lifetime, &nothing, &conf, NOW + 3), STALE);
        CU_ASSERT_EQUAL(lifetime_staleness(&lifetime, &request, &conf, NOW + 3), STALE);
    }
    CU_ASSERT_FALSE(OK("Cache-Control: max-age=2").must_revalidate);
}

/* RFC 8246 section 2: no validation while fresh, but for no-cache. */
static void
validates_immutable_responses_only_when_stale(void)
{
    struct lifetime lifetime = OK("Cache-Control: max-age=100, immutable");

    CU_ASSERT_EQUAL(after(&lifetime, "max-age=0", 50), FRESH);
    CU_ASSERT_EQUAL(after(&lifetime, "no-cache", 50), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "min-fresh=60", 50), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=0", 100), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=0, max-stale", 100), STALE);
}

/* ---- windows: RFC 5861 */

/* Section 3. */
static void
serves_stale_while_it_revalidates(void)
{
    struct lifetime lifetime = OK("Cache-Control: max-age=1, stale-while-revalidate=4");

    CU_ASSERT_EQUAL(after(&lifetime, "", 0), FRESH);
    CU_ASSERT_EQUAL(after(&lifetime, "", 1), STALE_REVALIDATE_BEHIND);
    CU_ASSERT_EQUAL(after(&lifetime, "", 4), STALE_REVALIDATE_BEHIND);
    CU_ASSERT_EQUAL(after(&lifetime, "", 5), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "max-age=100", 3), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "no-cache", 3), STALE);
    lifetime = OK("Cache-Control: max-age=1, stale-while-revalidate=x");
    CU_ASSERT_EQUAL(after(&lifetime, "", 1), STALE);
}

/* Section 4. */
static void
serves_stale_on_errors(void)
{
    struct lifetime lifetime = OK("Cache-Control: max-age=2, stale-if-error=60");

    CU_ASSERT_EQUAL(after(&lifetime, "", 3), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "", 61), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "", 62), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "stale-if-error=5", 3), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "stale-if-error=5", 10), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "stale-if-error=600", 300), STALE_ON_ERROR);
}

/* The operator's windows count only where the response says nothing. */
static void
falls_back_to_the_operators_windows(void)
{
    static const struct lifetime_conf conf = { .stale_if_error_s = 100,
                                               .stale_while_revalidate_s = 10 };
    struct lifetime lifetime = OK("Cache-Control: max-age=2");

    CU_ASSERT_EQUAL(lifetime.stale_if_error_s, WINDOW_UNSAID);
    CU_ASSERT_EQUAL(lifetime.stale_while_revalidate_s, WINDOW_UNSAID);
    CU_ASSERT_EQUAL(lifetime_staleness(&lifetime, &nothing, &conf, NOW + 11),
                    STALE_REVALIDATE_BEHIND);
    CU_ASSERT_EQUAL(lifetime_staleness(&lifetime, &nothing, &conf, NOW + 12), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(lifetime_staleness(&lifetime, &nothing, &conf, NOW + 101), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(lifetime_staleness(&lifetime, &nothing, &conf, NOW + 102), STALE);
    lifetime = OK("Cache-Control: max-age=2, stale-if-error=0, stale-while-revalidate=0");
    CU_ASSERT_EQUAL(lifetime_staleness(&lifetime, &nothing, &conf, NOW + 3), STALE);
}

/* Windows beside s-maxage are meant for shared caches; nothing else overrides
 * must-revalidate and its like (RFC 9111 section 4.2.4). */
static void
honours_own_windows_beside_s_maxage_alone(void)
{
    struct lifetime lifetime =
        OK("Cache-Control: s-maxage=2, stale-while-revalidate=10, stale-if-error=20");

    CU_ASSERT_EQUAL(after(&lifetime, "", 5), STALE_REVALIDATE_BEHIND);
    CU_ASSERT_EQUAL(after(&lifetime, "", 15), STALE_ON_ERROR);
    CU_ASSERT_EQUAL(after(&lifetime, "stale-if-error=1000", 100), STALE);
    CU_ASSERT_EQUAL(after(&lifetime, "max-stale", 100), STALE);
    lifetime = OK("Cache-Control: max-age=2, must-revalidate, stale-while-revalidate=9");
    CU_ASSERT_EQUAL(after(&lifetime, "", 5), STALE);
    lifetime = OK("Cache-Control: max-age=2, proxy-revalidate, stale-if-error=9");
    CU_ASSERT_EQUAL(after(&lifetime, "", 5), STALE);
}

void
suite_freshness(void)
{
    CU_pSuite s = CU_add_suite("freshness", init, fini);

    CU_add_test(s, "prefers s-maxage", prefers_s_maxage);
    CU_add_test(s, "prefers max-age to Expires", prefers_max_age_to_expires);
    CU_add_test(s, "subtracts Date from Expires", subtracts_date_from_expires);
    CU_add_test(s, "takes invalid Expires for expired", takes_invalid_expires_for_expired);
    CU_add_test(s, "ignores Expires beside a targeted field",
                ignores_expires_beside_a_targeted_field);
    CU_add_test(s, "guesses a tenth since Last-Modified", guesses_a_tenth_since_last_modified);
    CU_add_test(s, "guesses only without explicit times", guesses_only_without_explicit_times);
    CU_add_test(s, "guesses only for some statuses", guesses_only_for_some_statuses);
    CU_add_test(s, "never guesses when told not to", never_guesses_when_told_not_to);
    CU_add_test(s, "falls back to the default lifetime", falls_back_to_the_default_lifetime);
    CU_add_test(s, "holds lifetimes between min and max", holds_lifetimes_between_min_and_max);
    CU_add_test(s, "starts at the Age received", starts_at_the_age_received);
    CU_add_test(s, "reads the first Age", reads_the_first_age);
    CU_add_test(s, "saturates huge ages", saturates_huge_ages);
    CU_add_test(s, "counts the apparent age", counts_the_apparent_age);
    CU_add_test(s, "adds the delay of the response", adds_the_delay_of_the_response);
    CU_add_test(s, "grows older while stored", grows_older_while_stored);
    CU_add_test(s, "is fresh while younger", is_fresh_while_younger);
    CU_add_test(s, "serves fresh responses", serves_fresh_responses);
    CU_add_test(s, "validates for no-cache", validates_for_no_cache);
    CU_add_test(s, "heeds max-age of requests", heeds_max_age_of_requests);
    CU_add_test(s, "heeds min-fresh of requests", heeds_min_fresh_of_requests);
    CU_add_test(s, "heeds max-stale of requests", heeds_max_stale_of_requests);
    CU_add_test(s, "never serves stale what must be validated",
                never_serves_stale_what_must_be_validated);
    CU_add_test(s, "validates immutable responses only when stale",
                validates_immutable_responses_only_when_stale);
    CU_add_test(s, "serves stale while it revalidates", serves_stale_while_it_revalidates);
    CU_add_test(s, "serves stale on errors", serves_stale_on_errors);
    CU_add_test(s, "falls back to the operator's windows", falls_back_to_the_operators_windows);
    CU_add_test(s, "honours own windows beside s-maxage alone",
                honours_own_windows_beside_s_maxage_alone);
}
