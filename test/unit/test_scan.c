/* SPDX-License-Identifier: BSD-2-Clause */
/* test_scan.c - every instruction set finds the same byte as a plain loop. */
#include "config.h"

#include "server/http/scan.h"

#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

void suite_scan(void);

enum { LEVELS = 3, LONGEST = 100 };

typedef const char *scan_fn(const char *at, const char *end);

static bool
is_text(int c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool
is_token(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && c < 128 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_target(int c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

/* Puts each byte at each place of a run of good bytes, in a block of exactly
 * that size, so that a sanitizer sees any reading beyond it. */
static void
check(scan_fn *scan, bool (*is_good)(int), char good)
{
    for (unsigned level = 0; level < LEVELS; level++) {
        if (!scan_limit(level))
            continue;
        for (size_t bytes = 1; bytes <= LONGEST; bytes += 1 + bytes / 8) {
            char *block = malloc(bytes);

            memset(block, good, bytes);
            CU_ASSERT_PTR_EQUAL(scan(block, block + bytes), block + bytes);
            CU_ASSERT_PTR_EQUAL(scan(block, block), block);
            for (size_t at = 0; at < bytes; at++) {
                unsigned wrong = 0;

                for (int c = 0; c < 256; c++) {
                    block[at] = (char)c;
                    wrong += scan(block, block + bytes) != block + (is_good(c) ? bytes : at);
                }
                block[at] = good;
                CU_ASSERT_EQUAL(wrong, 0);
            }
            free(block);
        }
    }
    scan_limit(LEVELS - 1);
}

/* RFC 9110 section 5.5. */
static void
finds_the_end_of_text(void)
{
    check(scan_text, is_text, 'x');
}

/* RFC 9110 section 5.6.2. */
static void
finds_the_end_of_a_token(void)
{
    check(scan_token, is_token, 'x');
    check(scan_token, is_token, '_');
}

static void
finds_the_end_of_a_target(void)
{
    check(scan_target, is_target, '/');
}

static void
classes_of_single_bytes_agree(void)
{
    for (int c = 0; c < 256; c++) {
        bool is_alnum = c < 128 && is_token(c) && strchr("!#$%&'*+-.^_`|~", c) == NULL;

        CU_ASSERT_EQUAL(char_is((char)c, CHAR_TEXT), is_text(c));
        CU_ASSERT_EQUAL(char_is((char)c, CHAR_TOKEN), is_token(c));
        CU_ASSERT_EQUAL(char_is((char)c, CHAR_TARGET), is_target(c));
        CU_ASSERT_EQUAL(char_is((char)c, CHAR_HOST),
                        is_alnum || c == '-' || c == '.' || c == '_');
        CU_ASSERT_EQUAL(char_is((char)c, CHAR_UPPER), c >= 'A' && c <= 'Z');
    }
}

/* Every length and place of a field line in a section of exactly that size. */
static void
finds_the_parts_of_a_field_line(void)
{
    for (unsigned level = 0; level < LEVELS; level++) {
        if (!scan_limit(level))
            continue;
        for (size_t before = 0; before < 40; before += 3) {
            for (size_t name = 1; name < 40; name++) {
                for (size_t value = 0; value < 70; value += 1 + value / 8) {
                    size_t bytes = before + name + 1 + value + 2;
                    char *block = malloc(bytes), *at = block + before;
                    const char *colon = NULL, *end;

                    memset(block, '\n', before);
                    memset(at, 'n', name);
                    at[name] = ':';
                    memset(at + name + 1, 'v', value);
                    memcpy(at + name + 1 + value, "\r\n", 2);
                    end = scan_field(block, at, block + bytes, &colon);
                    CU_ASSERT_PTR_EQUAL(colon, at + name);
                    CU_ASSERT_PTR_EQUAL(end, at + name + 1 + value);
                    at[name] = '\r';
                    end = scan_field(block, at, block + bytes, &colon);
                    CU_ASSERT_TRUE(colon == at + name && end == colon);
                    free(block);
                }
            }
        }
    }
    scan_limit(LEVELS - 1);
}

static void
finds_line_feeds(void)
{
    for (size_t bytes = 1; bytes < 100; bytes++) {
        char *block = malloc(bytes);

        for (size_t feed = 0; feed < bytes; feed++) {
            memset(block, 'x', bytes);
            block[feed] = '\n';
            for (size_t at = 0; at < bytes; at++) {
                uint32_t feeds = scan_feeds(block, block + at, block + bytes);
                bool is_near = feed >= at && feed - at < SCAN_FEEDS;

                CU_ASSERT_EQUAL(feeds, is_near ? UINT32_C(1) << (feed - at) : 0);
            }
        }
        free(block);
    }
}

/* RFC 9110 section 5.6.2, RFC 9651 section 3.3.4. */
static void
whole_texts_are_tokens_or_not(void)
{
    CU_ASSERT_TRUE(scan_is_token(SLICE("X-Forwarded_For!")));
    CU_ASSERT_TRUE(scan_is_token(SLICE("0")));
    CU_ASSERT_FALSE(scan_is_token(SLICE("")));
    CU_ASSERT_FALSE(scan_is_token(SLICE("a b")));
    CU_ASSERT_FALSE(scan_is_token(SLICE("a/b")));
    CU_ASSERT_FALSE(scan_is_token(SLICE("a\xe4")));
    CU_ASSERT_TRUE(scan_is_structured_token(SLICE("Bascule:80/x")));
    CU_ASSERT_TRUE(scan_is_structured_token(SLICE("*")));
    CU_ASSERT_FALSE(scan_is_structured_token(SLICE("")));
    CU_ASSERT_FALSE(scan_is_structured_token(SLICE("1a")));
    CU_ASSERT_FALSE(scan_is_structured_token(SLICE("a\"")));
    CU_ASSERT_FALSE(scan_is_structured_token(SLICE("a\xe4")));
}

void
suite_scan(void)
{
    CU_pSuite s = CU_add_suite("scan", NULL, NULL);

    CU_add_test(s, "finds the end of text", finds_the_end_of_text);
    CU_add_test(s, "finds the end of a token", finds_the_end_of_a_token);
    CU_add_test(s, "finds the end of a target", finds_the_end_of_a_target);
    CU_add_test(s, "classes of single bytes agree", classes_of_single_bytes_agree);
    CU_add_test(s, "finds the parts of a field line", finds_the_parts_of_a_field_line);
    CU_add_test(s, "finds line feeds", finds_line_feeds);
    CU_add_test(s, "whole texts are tokens or not", whole_texts_are_tokens_or_not);
}
