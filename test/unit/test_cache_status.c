/* SPDX-License-Identifier: BSD-2-Clause */
/* test_cache_status.c - the field tells what happened, and is always valid. */
#include "config.h"

#include "cache/cache_status.h"

#include "test/unit/field_fixture.h"

void suite_cache_status(void);

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
expect_text(struct cache_outcome outcome, const char *expected)
{
    if (outcome.name.data == NULL)
        outcome.name = SLICE("bascule-1a2b");
    expect_slice(cache_status_text(&arena, &outcome), expected);
}

/* RFC 9211 sections 2.1 and 2.4. */
static void
a_hit_tells_what_freshness_is_left(void)
{
    expect_text((struct cache_outcome){ .has_ttl = false }, "bascule-1a2b; hit");
    expect_text((struct cache_outcome){ .has_ttl = true, .ttl_s = 376 },
                "bascule-1a2b; hit; ttl=376");
    expect_text((struct cache_outcome){ .has_ttl = true, .ttl_s = 0 }, "bascule-1a2b; hit; ttl=0");
    /* "can be negative ... when the response was served stale" */
    expect_text((struct cache_outcome){ .has_ttl = true, .ttl_s = -412 },
                "bascule-1a2b; hit; ttl=-412");
}

/* Section 2.2: "Exclusive of the hit parameter"; the values. */
static void
a_forward_tells_why(void)
{
    static const struct {
        enum cache_forward forward;
        const char *word;
    } cases[] = {
        { CACHE_FORWARD_BYPASS, "bypass" },       { CACHE_FORWARD_METHOD, "method" },
        { CACHE_FORWARD_URI_MISS, "uri-miss" },   { CACHE_FORWARD_VARY_MISS, "vary-miss" },
        { CACHE_FORWARD_MISS, "miss" },           { CACHE_FORWARD_REQUEST, "request" },
        { CACHE_FORWARD_STALE, "stale" },         { CACHE_FORWARD_PARTIAL, "partial" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct slice expected = arena_printf(&arena, "bascule-1a2b; fwd=%s", cases[i].word);

        expect_text((struct cache_outcome){ .forward = cases[i].forward }, expected.data);
        expect_slice(cache_status_word(cases[i].forward), cases[i].word);
    }
    expect_slice(cache_status_word(CACHE_FORWARD_NONE), "hit");
}

/* Sections 2.3, 2.5 and 2.6: they belong to forwarded requests. */
static void
a_forward_tells_what_came_of_it(void)
{
    expect_text((struct cache_outcome){ .forward = CACHE_FORWARD_STALE, .forward_status = 304,
                                        .is_collapsed = true },
                "bascule-1a2b; fwd=stale; fwd-status=304; collapsed");
    expect_text((struct cache_outcome){ .forward = CACHE_FORWARD_URI_MISS, .is_stored = true,
                                        .has_ttl = true, .ttl_s = 60 },
                "bascule-1a2b; fwd=uri-miss; ttl=60; stored");
}

/* Sections 2.7 and 2.8. */
static void
key_and_detail_are_told_when_given(void)
{
    expect_text((struct cache_outcome){ .key = SLICE("shop\0http://a/?x=\"y\""),
                                        .detail = SLICE("no-store") },
                "bascule-1a2b; hit; key=\"shop http://a/?x=\\\"y\\\"\"; detail=no-store");
    expect_text((struct cache_outcome){ .detail = SLICE("Set-Cookie, not shared") },
                "bascule-1a2b; hit; detail=\"Set-Cookie, not shared\"");
}

/* RFC 9651 sections 3.3.1, 3.3.3 and 3.3.4. */
static void
any_bytes_make_a_valid_member(void)
{
    expect_text((struct cache_outcome){ .name = SLICE("a cache") }, "\"a cache\"; hit");
    expect_text((struct cache_outcome){ .name = SLICE("1st") }, "\"1st\"; hit");
    expect_text((struct cache_outcome){ .name = SLICE("*a:/b") }, "*a:/b; hit");
    expect_text((struct cache_outcome){ .name = SLICE("A1") }, "A1; hit");
    expect_text((struct cache_outcome){ .name = SLICE("zoo") }, "zoo; hit");
    expect_text((struct cache_outcome){ .name = SLICE("") }, "\"\"; hit");
    expect_text((struct cache_outcome){ .detail = SLICE("a\\b\r\n\x7f\xc3\xa4") },
                "bascule-1a2b; hit; detail=\"a\\\\b?????\"");
    expect_text((struct cache_outcome){ .has_ttl = true, .ttl_s = INT64_MIN },
                "bascule-1a2b; hit; ttl=-999999999999999");
    expect_text((struct cache_outcome){ .has_ttl = true, .ttl_s = INT64_MAX },
                "bascule-1a2b; hit; ttl=999999999999999");
}

/* The room was reckoned for the longest there is. */
static void
the_longest_fits(void)
{
    static const char quotes[] = "\"\"\"\"\"\"\"\"";
    struct cache_outcome outcome = {
        .name = slice_of(quotes), .key = slice_of(quotes), .detail = slice_of(quotes),
        .forward = CACHE_FORWARD_VARY_MISS, .forward_status = 65535, .is_stored = true,
        .is_collapsed = true, .has_ttl = true, .ttl_s = INT64_MIN,
    };

    expect_text(outcome,
                "\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"; fwd=vary-miss; fwd-status=65535; "
                "ttl=-999999999999999; stored; collapsed; "
                "key=\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"; "
                "detail=\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"");
}

static void
a_spent_arena_gives_no_text(void)
{
    struct cache_outcome outcome = { .name = SLICE("bascule") };
    struct arena small;

    arena_init(&small, NULL, 8);
    CU_ASSERT_EQUAL(cache_status_text(&small, &outcome).bytes, 0);
    arena_fini(&small);
}

void
suite_cache_status(void)
{
    CU_pSuite s = CU_add_suite("cache_status", begin, end);

    CU_add_test(s, "a hit tells what freshness is left", a_hit_tells_what_freshness_is_left);
    CU_add_test(s, "a forwarded request tells why", a_forward_tells_why);
    CU_add_test(s, "a forwarded request tells what came of it", a_forward_tells_what_came_of_it);
    CU_add_test(s, "key and detail are told when given", key_and_detail_are_told_when_given);
    CU_add_test(s, "any bytes make a valid member", any_bytes_make_a_valid_member);
    CU_add_test(s, "the longest member fits", the_longest_fits);
    CU_add_test(s, "a spent arena gives no text", a_spent_arena_gives_no_text);
}
