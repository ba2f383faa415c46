/* SPDX-License-Identifier: BSD-2-Clause */
/* test_update.c - a 304 or a HEAD changes what it may of a stored response, and
 * nothing else.
 */
#include "config.h"

#include "cache/update.h"

#include "test/unit/field_fixture.h"

void suite_update(void);

#define T1 "Sun, 06 Nov 1994 08:49:37 GMT"
#define T2 "Sun, 06 Nov 1994 08:49:38 GMT"

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

/* ---- RFC 9111 section 4.3.4 */

static bool
selects(const char *stored, const char *not_modified)
{
    return update_selects(fields_of(&arena, stored), fields_of(&arena, not_modified));
}

static void
a_strong_etag_has_to_be_the_same(void)
{
    CU_ASSERT_TRUE(selects("ETag: \"a\"", "ETag: \"a\""));
    CU_ASSERT_FALSE(selects("ETag: \"a\"", "ETag: \"b\""));
    CU_ASSERT_FALSE(selects("ETag: W/\"a\"", "ETag: \"a\""));
    CU_ASSERT_FALSE(selects("Last-Modified: " T1, "ETag: \"a\"\nLast-Modified: " T1));
    CU_ASSERT_TRUE(selects("ETag: \"a\"\nLast-Modified: " T1, "ETag: \"a\"\nLast-Modified: " T2));
}

static void
otherwise_a_weak_validator_corresponds(void)
{
    CU_ASSERT_TRUE(selects("ETag: W/\"a\"", "ETag: W/\"a\""));
    CU_ASSERT_TRUE(selects("ETag: \"a\"", "ETag: W/\"a\""));
    CU_ASSERT_FALSE(selects("ETag: W/\"a\"", "ETag: W/\"b\""));
    CU_ASSERT_FALSE(selects("", "ETag: W/\"a\""));
    CU_ASSERT_TRUE(selects("Last-Modified: " T1, "Last-Modified: " T1));
    CU_ASSERT_FALSE(selects("Last-Modified: " T1, "Last-Modified: " T2));
    CU_ASSERT_FALSE(selects("ETag: \"a\"", "Last-Modified: " T2));
    CU_ASSERT_TRUE(selects("ETag: \"a\"\nLast-Modified: " T1, "Last-Modified: " T1));
}

static void
without_validators_it_is_about_what_was_asked(void)
{
    CU_ASSERT_TRUE(selects("", "Date: " T1));
    CU_ASSERT_TRUE(selects("ETag: \"a\"\nLast-Modified: " T1, "Cache-Control: max-age=1"));
}

/* ---- RFC 9111 section 4.3.5 */

static bool
agrees(const char *stored, const char *head)
{
    return update_head_agrees(fields_of(&arena, stored), fields_of(&arena, head));
}

static void
head_has_to_agree_in_what_it_has(void)
{
    CU_ASSERT_TRUE(agrees("ETag: \"a\"\nLast-Modified: " T1 "\nContent-Length: 5", ""));
    CU_ASSERT_TRUE(agrees("ETag: \"a\"\nLast-Modified: " T1 "\nContent-Length: 5",
                          "Content-Length: 5\nETag: \"a\"\nLast-Modified: " T1));
    CU_ASSERT_FALSE(agrees("ETag: \"a\"\nContent-Length: 5", "ETag: \"a\"\nContent-Length: 6"));
    CU_ASSERT_FALSE(agrees("ETag: \"a\"", "ETag: \"b\""));
    CU_ASSERT_FALSE(agrees("ETag: \"a\"", "ETag: W/\"a\""));
    CU_ASSERT_FALSE(agrees("", "ETag: \"a\""));
    CU_ASSERT_FALSE(agrees("Last-Modified: " T1, "Last-Modified: " T2));
    CU_ASSERT_FALSE(agrees("", "Last-Modified: " T2));
    CU_ASSERT_TRUE(agrees("", "Content-Length: 6"));
}

/* ---- RFC 9111 section 3.2 */

static void
expect_update(const char *stored, const char *from, const char *expected)
{
    struct fields *fields = fields_of(&arena, stored), *newer = fields_of(&arena, from);
    struct fields *before = fields_copy(newer, &arena);

    update_fields(fields, &arena, newer);
    expect_fields(&arena, fields, expected);
    CU_ASSERT_EQUAL(newer->count, before->count);
}

static void
new_fields_replace_and_others_stay(void)
{
    expect_update("Test-Header: A\nOther: x\nCache-Control: max-age=2",
                  "test-header: B\nNew: y\nCache-Control: max-age=3600",
                  "Other: x\ntest-header: B\nNew: y\nCache-Control: max-age=3600\n");
    expect_update("Test-Header: A", "Date: " T1, "Test-Header: A\nDate: " T1 "\n");
    expect_update("Content-Foo: a\nX-Content-Foo: a\nContent-Type: text/plain\nExpires: " T1
                  "\nContent-Location: /foo\nContent-Security-Policy: a\nX-Frame-Options: deny",
                  "Content-Foo: b\nX-Content-Foo: b\nContent-Type: text/html\nExpires: " T2
                  "\nContent-Location: /bar\nContent-Security-Policy: b\nX-Frame-Options: b",
                  "Content-Foo: b\nX-Content-Foo: b\nContent-Type: text/html\nExpires: " T2
                  "\nContent-Location: /bar\nContent-Security-Policy: b\nX-Frame-Options: b\n");
}

static void
all_lines_of_a_name_are_replaced(void)
{
    expect_update("Link: a\nX: 1\nLink: b\nX: 2\nLink: c", "Link: d\nX: 3\nLink: e",
                  "Link: d\nX: 3\nLink: e\n");
    expect_update("Cache-Control: max-age=2\nCache-Control: public", "Cache-Control: no-cache",
                  "Cache-Control: no-cache\n");
}

/* "with the following exceptions: ... the Content-Length header field", and those
 * that the stored bytes depend upon. */
static void
what_describes_the_stored_bytes_stays(void)
{
    expect_update("Content-Length: 5\nContent-Encoding: gzip\nContent-Range: bytes 0-4/10",
                  "Content-Length: 10\nContent-Encoding: br\nContent-Range: bytes 5-9/10",
                  "Content-Length: 5\nContent-Encoding: gzip\nContent-Range: bytes 0-4/10\n");
    expect_update("X: a", "Content-Length: 10\nContent-Encoding: br\nContent-Range: bytes 5-9/10",
                  "X: a\n");
}

/* A weak entity tag that became strong would let parts be combined. */
static void
the_entity_tag_stays(void)
{
    expect_update("ETag: W/\"a\"\nX: a", "ETag: \"a\"", "ETag: W/\"a\"\nX: a\n");
    expect_update("ETag: \"a\"", "ETag: W/\"a\"\nX: a", "ETag: \"a\"\nX: a\n");
    expect_update("X: a", "ETag: W/\"a\"", "X: a\nETag: W/\"a\"\n");
}

/* RFC 9111 section 3.1: Connection, what it nominates, and fields that are for
 * one hop. */
static void
fields_of_one_hop_are_not_stored(void)
{
    expect_update("A: 1\nB: 2\nC: 3",
                  "Connection: a, X-Hop, date, keep-alive\nA: 4\nX-Hop: 5\nC: 6\nKeep-Alive: 7\n"
                  "Proxy-Authenticate: 8\nProxy-Authentication-Info: 9\n"
                  "Transfer-Encoding: chunked\nUpgrade: 10\nTE: 11\nProxy-Connection: 12\n"
                  "Date: " T1,
                  /* nobody may nominate Date */
                  "A: 1\nB: 2\nC: 6\nDate: " T1 "\n");
}

/* It is for the client whose request was answered, unless the operator or the
 * response said otherwise before. */
static void
cookies_come_only_where_cookies_are(void)
{
    expect_update("X: a", "Set-Cookie: id=1\nX: b", "X: b\n");
    expect_update("Set-Cookie: a=b\nSet-Cookie: c=d", "Set-Cookie: a=c", "Set-Cookie: a=c\n");
    expect_update("Set-Cookie: a=b", "X: b", "Set-Cookie: a=b\nX: b\n");
}

/* RFC 9111 section 4.2.3: age_value is of the newest response. */
static void
the_age_of_the_old_answer_goes(void)
{
    expect_update("Age: 30\nX: a", "Date: " T1, "X: a\nDate: " T1 "\n");
    expect_update("Age: 30\nX: a", "Age: 7", "X: a\nAge: 7\n");
}

void
suite_update(void)
{
    CU_pSuite s = CU_add_suite("update", begin, end);

    CU_add_test(s, "a strong ETag of a 304 has to be the same", a_strong_etag_has_to_be_the_same);
    CU_add_test(s, "otherwise a weak validator corresponds",
                otherwise_a_weak_validator_corresponds);
    CU_add_test(s, "without validators a 304 is about what was asked",
                without_validators_it_is_about_what_was_asked);
    CU_add_test(s, "an answer to HEAD agrees in what it has", head_has_to_agree_in_what_it_has);
    CU_add_test(s, "new fields replace, others stay", new_fields_replace_and_others_stay);
    CU_add_test(s, "all lines of a name are replaced", all_lines_of_a_name_are_replaced);
    CU_add_test(s, "what describes the stored bytes stays", what_describes_the_stored_bytes_stays);
    CU_add_test(s, "an entity tag stays as weak or strong as it was", the_entity_tag_stays);
    CU_add_test(s, "fields of one hop are not stored", fields_of_one_hop_are_not_stored);
    CU_add_test(s, "cookies come only where cookies are", cookies_come_only_where_cookies_are);
    CU_add_test(s, "the age of the old answer goes", the_age_of_the_old_answer_goes);
}
