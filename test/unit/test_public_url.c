/* SPDX-License-Identifier: BSD-2-Clause */
/* test_public_url.c - one spelling for each URL, and one for all that count as the same. */
#include "config.h"

#include "cache/public_url.h"

#include "test/unit/field_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

static struct arena arena;

static int
begin(void)
{
    arena_init(&arena, NULL, 1 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

static void
expect_text(const char *given, const char *expected)
{
    struct public_url url;
    struct err err = { "" };

    CU_ASSERT_EQUAL_FATAL(public_url_parse(&url, &arena, slice_of(given), &err), 0);
    expect_slice(public_url_text(&arena, &url), expected);
}

/* RFC 3986 section 6.2.2.1: case means nothing in scheme and host, all in the rest. */
static void
scheme_and_host_are_in_lower_case(void)
{
    expect_text("HTTPS://WWW.Example.COM/Path?Query", "https://www.example.com/Path?Query");
    expect_text("http://www.example.com./", "http://www.example.com/");
}

/* RFC 9110 sections 4.2.3. */
static void
the_default_port_is_left_out(void)
{
    expect_text("http://a.test:80/", "http://a.test/");
    expect_text("https://a.test:443/", "https://a.test/");
    expect_text("https://a.test:80/", "https://a.test:80/");
    expect_text("http://a.test:/", "http://a.test/");
}

static void
an_empty_path_is_a_slash(void)
{
    expect_text("http://a.test", "http://a.test/");
    expect_text("http://a.test?b", "http://a.test/?b");
}

static void
path_and_query_stay_as_they_are(void)
{
    expect_text("http://a.test/%7e//../x%2Fy?", "http://a.test/%7e//../x%2Fy?");
    expect_text("http://a.test/a?b?c&&=", "http://a.test/a?b?c&&=");
}

static void
ipv6_addresses_are_in_brackets(void)
{
    expect_text("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/");
}

static void
what_is_no_url_is_refused(void)
{
    static const char *const bad[] = {
        "", "/path", "a.test/", "http:/a.test/", "http:///", "ftp://a.test/", "http://a b.test/",
        "http://a.test/x y", "http://a.test/\n", "http://u@a.test/", "http://a.test:0/",
        "http://a.test:65536/", "http://a.test/#part",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct public_url url;
        struct err err = { "" };

        CU_ASSERT_EQUAL(public_url_parse(&url, &arena, slice_of(bad[i]), &err), -1);
        CU_ASSERT(err.text[0] != '\0');
    }
}

/* What one answer is stored for is purged by one text. */
static void
what_does_not_count_is_left_out_by_the_rules(void)
{
    static const struct slice ignored[] = { SLICE_INIT("utm_*") };
    const struct key_conf rules = { .ignored = ignored, .ignored_count = 1,
                                    .rules = SLICE("&utm_*"), .adds_device = true };
    struct public_url url;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(
        public_url_parse(&url, &arena, SLICE("http://a.test/?utm_source=x&a=1"), &err), 0);
    expect_slice(public_url_counting(&arena, &rules, &url), "http://a.test/?a=1");
    expect_slice(public_url_text(&arena, &url), "http://a.test/?utm_source=x&a=1");
}

void
suite_public_url(void)
{
    CU_pSuite s = CU_add_suite("public_url", begin, end);

    CU_add_test(s, "scheme and host are in lower case", scheme_and_host_are_in_lower_case);
    CU_add_test(s, "the default port is left out", the_default_port_is_left_out);
    CU_add_test(s, "an empty path is a slash", an_empty_path_is_a_slash);
    CU_add_test(s, "path and query stay as they are", path_and_query_stay_as_they_are);
    CU_add_test(s, "IPv6 addresses are in brackets", ipv6_addresses_are_in_brackets);
    CU_add_test(s, "what is no URL is refused", what_is_no_url_is_refused);
    CU_add_test(s, "what does not count is left out by the rules",
                what_does_not_count_is_left_out_by_the_rules);
}
