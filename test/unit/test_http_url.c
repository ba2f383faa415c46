/* SPDX-License-Identifier: BSD-2-Clause */
/* test_http_url.c - a URL of the configuration says whom to ask, and for what. */
#include "config.h"

#include "server/http/http_url.h"

#include <CUnit/CUnit.h>

void suite_http_url(void);

static struct http_url
parsed(const char *text)
{
    struct http_url url;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(http_url_parse(&url, text, &err), 0);
    return url;
}

static bool
is_refused(const char *text)
{
    struct http_url url;
    struct err err = { "" };

    return http_url_parse(&url, text, &err) < 0 && err.text[0] != '\0';
}

static void
says_whom_and_what(void)
{
    struct http_url url = parsed("http://auth.internal:9091/api/verify?rd=x");

    CU_ASSERT_FALSE(url.is_tls);
    CU_ASSERT_TRUE(slice_equal(url.authority, SLICE("auth.internal:9091")));
    CU_ASSERT_TRUE(slice_equal(url.host, SLICE("auth.internal")));
    CU_ASSERT_EQUAL(url.port, 9091);
    CU_ASSERT_TRUE(slice_equal(url.target, SLICE("/api/verify?rd=x")));
}

/* RFC 9110 sections 4.2.1, 4.2.2; RFC 9112 section 3.2.1: an empty path is "/". */
static void
knows_what_is_left_out(void)
{
    struct http_url url = parsed("https://[2001:db8::1]");

    CU_ASSERT_TRUE(url.is_tls);
    CU_ASSERT_EQUAL(url.port, 443);
    CU_ASSERT_TRUE(slice_equal(url.host, SLICE("2001:db8::1")));
    CU_ASSERT_TRUE(slice_equal(url.target, SLICE("/")));
    CU_ASSERT_EQUAL(parsed("http://a/").port, 80);
}

static void
refuses_what_cannot_be_asked(void)
{
    CU_ASSERT_TRUE(is_refused(""));
    CU_ASSERT_TRUE(is_refused("auth.internal/verify"));
    CU_ASSERT_TRUE(is_refused("ftp://auth.internal/verify"));
    CU_ASSERT_TRUE(is_refused("http://user:password@auth.internal/"));
    CU_ASSERT_TRUE(is_refused("http://auth.internal:0/"));
    CU_ASSERT_TRUE(is_refused("http://auth.internal/a b"));
    CU_ASSERT_TRUE(is_refused("http://auth.internal/a\r\nX: y"));
    CU_ASSERT_TRUE(is_refused("http://auth.internal/#part"));
    CU_ASSERT_TRUE(is_refused("http://auth.internal?x"));
    CU_ASSERT_TRUE(is_refused("http:///verify"));
}

void
suite_http_url(void)
{
    CU_pSuite s = CU_add_suite("http_url", NULL, NULL);

    CU_add_test(s, "says whom to ask, and for what", says_whom_and_what);
    CU_add_test(s, "knows what is left out", knows_what_is_left_out);
    CU_add_test(s, "refuses what cannot be asked", refuses_what_cannot_be_asked);
}
