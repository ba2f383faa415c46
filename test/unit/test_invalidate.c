/* SPDX-License-Identifier: BSD-2-Clause */
/* test_invalidate.c - what is changed at one origin is forgotten there, and
 * nothing elsewhere.
 */
#include "config.h"

#include "cache/invalidate.h"

#include "test/unit/field_fixture.h"

void suite_invalidate(void);

static struct arena arena;
static const struct invalidate_target target = { SLICE_INIT("http"), SLICE_INIT("a.example"), 80,
                                                 SLICE_INIT("/b/c/d;p?q") };

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

static unsigned
count(enum method method, unsigned status, const char *response)
{
    struct slice out[INVALIDATE_MAX];

    return invalidate_targets(&arena, method, status, &target, fields_of(&arena, response), out);
}

/* RFC 9111 section 4.4: "MUST invalidate the target URI when it receives a
 * non-error status code in response to an unsafe request method (including
 * methods whose safety is unknown)". */
static void
unsafe_methods_that_succeed_invalidate(void)
{
    static const enum method unsafe[] = { METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_PATCH,
                                          METHOD_OTHER };
    struct slice out[INVALIDATE_MAX];

    for (unsigned i = 0; i < ARRAY_COUNT(unsafe); i++) {
        CU_ASSERT_EQUAL(invalidate_targets(&arena, unsafe[i], 200, &target, fields_of(&arena, ""),
                                           out),
                        1);
        expect_slice(out[0], "/b/c/d;p?q");
        CU_ASSERT_EQUAL(count(unsafe[i], 201, ""), 1);
        CU_ASSERT_EQUAL(count(unsafe[i], 303, ""), 1);
        CU_ASSERT_EQUAL(count(unsafe[i], 399, ""), 1);
    }
}

static void
errors_and_safe_methods_do_not(void)
{
    static const enum method safe[] = { METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_TRACE };

    for (unsigned i = 0; i < ARRAY_COUNT(safe); i++)
        CU_ASSERT_EQUAL(count(safe[i], 200, "Location: /x\nContent-Location: /y"), 0);
    CU_ASSERT_EQUAL(count(METHOD_POST, 500, "Location: /x"), 0);
    CU_ASSERT_EQUAL(count(METHOD_POST, 400, ""), 0);
    CU_ASSERT_EQUAL(count(METHOD_POST, 101, ""), 0);
}

/* "A cache MAY invalidate other URIs ... in particular, the URI(s) in the Location
 * and Content-Location response header fields (if present)". */
static void
location_and_content_location_too(void)
{
    struct slice out[INVALIDATE_MAX];

    CU_ASSERT_EQUAL_FATAL(
        invalidate_targets(&arena, METHOD_POST, 201, &target,
                           fields_of(&arena, "Location: /new?x\nContent-Location: sub"), out),
        3);
    expect_slice(out[0], "/b/c/d;p?q");
    expect_slice(out[1], "/new?x");
    expect_slice(out[2], "/b/c/sub");
    CU_ASSERT_EQUAL(count(METHOD_POST, 201, "Location: /n\nContent-Location: /n"), 2);
    CU_ASSERT_EQUAL(count(METHOD_POST, 201, "Location: d;p?q#f"), 1);
    CU_ASSERT_EQUAL(count(METHOD_POST, 201, "Content-Location: http://a.example/n"), 2);
}

/* "MUST NOT trigger an invalidation under these conditions if the origin of the
 * URI to be invalidated differs from that of the target URI". */
static void
other_origins_are_out_of_reach(void)
{
    static const char *const others[] = {
        "https://a.example/x", "http://b.example/x", "http://a.example:81/x", "//b.example/x",
        "http://a.example.b/x", "http://u@a.example/x", "http://u:p@a.example/x", "http:/x",
        "http:x", "mailto:a@a.example", "http://", "http:///x", "//", "http://[::1]/x",
        "https://a.example:80/x", "javascript:1", "http://a.example:x/", "http://a.example%2e/x",
        "/a b", "/\xc3\xa4", "/a\tb", "http://a.example\\x",
    };

    for (unsigned i = 0; i < ARRAY_COUNT(others); i++)
        expect_slice(invalidate_resolve(&arena, &target, slice_of(others[i])), NULL);
}

/* RFC 9110 section 4.2.3. */
static void
spellings_of_one_origin_are_one(void)
{
    static const char *const same[] = {
        "http://a.example/x", "HTTP://A.Example/x", "http://a.example:80/x", "http://a.example:/x",
        "//a.example/x", "//A.EXAMPLE:80/x", "http://a.example./x",
    };
    struct invalidate_target tls = { SLICE_INIT("https"), SLICE_INIT("2001:db8::1"), 443,
                                     SLICE_INIT("/") };

    for (unsigned i = 0; i < ARRAY_COUNT(same); i++)
        expect_slice(invalidate_resolve(&arena, &target, slice_of(same[i])), "/x");
    expect_slice(invalidate_resolve(&arena, &target, SLICE("http://a.example")), "/");
    expect_slice(invalidate_resolve(&arena, &target, SLICE("http://a.example?y")), "/?y");
    expect_slice(invalidate_resolve(&arena, &target, SLICE("//a.example?y#z")), "/?y");
    expect_slice(invalidate_resolve(&arena, &tls, SLICE("https://[2001:DB8::1]/x")), "/x");
    expect_slice(invalidate_resolve(&arena, &tls, SLICE("//[2001:db8::1]:443/x")), "/x");
    expect_slice(invalidate_resolve(&arena, &tls, SLICE("//[2001:db8::1]:80/x")), NULL);
}

/* RFC 3986 section 5.4: its examples, as far as they stay at the origin. */
static void
references_are_resolved(void)
{
    static const struct {
        const char *reference, *url;
    } cases[] = {
        /* 5.4.1 */
        { "g", "/b/c/g" }, { "./g", "/b/c/g" }, { "g/", "/b/c/g/" }, { "/g", "/g" },
        { "?y", "/b/c/d;p?y" }, { "g?y", "/b/c/g?y" }, { "#s", "/b/c/d;p?q" },
        { "g#s", "/b/c/g" }, { "g?y#s", "/b/c/g?y" }, { ";x", "/b/c/;x" }, { "g;x", "/b/c/g;x" },
        { "g;x?y#s", "/b/c/g;x?y" }, { "", "/b/c/d;p?q" }, { ".", "/b/c/" }, { "./", "/b/c/" },
        { "..", "/b/" }, { "../", "/b/" }, { "../g", "/b/g" }, { "../..", "/" },
        { "../../", "/" }, { "../../g", "/g" },
        /* 5.4.2 */
        { "../../../g", "/g" }, { "../../../../g", "/g" }, { "/./g", "/g" }, { "/../g", "/g" },
        { "g.", "/b/c/g." }, { ".g", "/b/c/.g" }, { "g..", "/b/c/g.." }, { "..g", "/b/c/..g" },
        { "./../g", "/b/g" }, { "./g/.", "/b/c/g/" }, { "g/./h", "/b/c/g/h" },
        { "g/../h", "/b/c/h" }, { "g;x=1/./y", "/b/c/g;x=1/y" }, { "g;x=1/../y", "/b/c/y" },
        { "g?y/./x", "/b/c/g?y/./x" }, { "g?y/../x", "/b/c/g?y/../x" },
        { "g#s/./x", "/b/c/g" }, { "g#s/../x", "/b/c/g" },
        /* escapes and empty segments are left as they are */
        { "/%2e%2E/%7e", "/%2e%2E/%7e" }, { "/a//b", "/a//b" }, { "/a//../b", "/a/b" },
        { "?", "/b/c/d;p?" }, { "g?a:b", "/b/c/g?a:b" }, { "./a:b", "/b/c/a:b" },
    };
    struct invalidate_target root = { SLICE_INIT("http"), SLICE_INIT("a.example"), 80,
                                      SLICE_INIT("*") };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        expect_slice(invalidate_resolve(&arena, &target, slice_of(cases[i].reference)),
                     cases[i].url);
    expect_slice(invalidate_resolve(&arena, &root, SLICE("g?y")), "/g?y");
    root.url = SLICE("?x");
    expect_slice(invalidate_resolve(&arena, &root, SLICE("../g")), "/g");
    root.url = SLICE("");
    expect_slice(invalidate_resolve(&arena, &root, SLICE("an-odd-1")), "/an-odd-1");
}

static void
a_spent_arena_is_remembered(void)
{
    struct slice out[INVALIDATE_MAX];
    struct arena small;

    arena_init(&small, NULL, 8);
    CU_ASSERT_EQUAL(invalidate_targets(&small, METHOD_PUT, 200, &target,
                                       fields_of(&arena, "Location: /a-long-one"), out),
                    1);
    CU_ASSERT_TRUE(arena_is_spent(&small));
    arena_fini(&small);
}

void
suite_invalidate(void)
{
    CU_pSuite s = CU_add_suite("invalidate", begin, end);

    CU_add_test(s, "an unsafe method that succeeds invalidates its target",
                unsafe_methods_that_succeed_invalidate);
    CU_add_test(s, "errors and safe methods invalidate nothing", errors_and_safe_methods_do_not);
    CU_add_test(s, "Location and Content-Location are invalidated too",
                location_and_content_location_too);
    CU_add_test(s, "other origins are out of reach", other_origins_are_out_of_reach);
    CU_add_test(s, "spellings of one origin are one", spellings_of_one_origin_are_one);
    CU_add_test(s, "references are resolved as RFC 3986 says", references_are_resolved);
    CU_add_test(s, "a spent arena is remembered", a_spent_arena_is_remembered);
}
