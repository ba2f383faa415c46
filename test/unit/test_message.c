/* SPDX-License-Identifier: BSD-2-Clause */
/* test_message.c - what methods and status codes promise. */
#include "config.h"

#include "server/http/h1_parse.h"
#include "server/http/status.h"

#include <CUnit/CUnit.h>

void suite_message(void);

static const struct {
    const char *name;
    enum method method;
    bool is_safe, is_idempotent;
} methods[] = {
    { "GET", METHOD_GET, true, true },
    { "HEAD", METHOD_HEAD, true, true },
    { "POST", METHOD_POST, false, false },
    { "PUT", METHOD_PUT, false, true },
    { "DELETE", METHOD_DELETE, false, true },
    { "CONNECT", METHOD_CONNECT, false, false },
    { "OPTIONS", METHOD_OPTIONS, true, true },
    { "TRACE", METHOD_TRACE, true, true },
    { "PATCH", METHOD_PATCH, false, false },
    { "PROPFIND", METHOD_OTHER, false, false },
};

/* RFC 9110 section 9.1: methods are case-sensitive. */
static void
knows_methods_by_their_exact_name(void)
{
    static const char *const others[] = { "", "G", "get", "Get", "GEX", "GET ", "PUTS", "POSt",
                                          "XHEAD", "PATCX", "DELETX", "CONNECX", "OPTIONX" };

    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        CU_ASSERT_EQUAL(method_of(slice_of(methods[i].name)), methods[i].method);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT_EQUAL(method_of(slice_of(others[i])), METHOD_OTHER);
}

/* RFC 9110 sections 9.2.1 and 9.2.2. */
static void
knows_what_methods_promise(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        CU_ASSERT_EQUAL(method_is_safe(methods[i].method), methods[i].is_safe);
        CU_ASSERT_EQUAL(method_is_idempotent(methods[i].method), methods[i].is_idempotent);
    }
}

static bool
has_reason(unsigned status, const char *reason)
{
    return slice_equal(status_reason(status), slice_of(reason));
}

static void
has_a_reason_for_every_status(void)
{
    CU_ASSERT_TRUE(has_reason(200, "OK"));
    CU_ASSERT_TRUE(has_reason(103, "Early Hints"));
    CU_ASSERT_TRUE(has_reason(413, "Content Too Large"));
    CU_ASSERT_TRUE(has_reason(511, "Network Authentication Required"));
    CU_ASSERT_TRUE(has_reason(499, "Client Error"));
    CU_ASSERT_TRUE(has_reason(599, "Server Error"));
    for (unsigned status = 0; status < 1000; status++)
        CU_ASSERT_TRUE(status_reason(status).bytes > 0);
}

/* RFC 9112 section 6.3. */
static void
knows_which_responses_have_content(void)
{
    for (unsigned status = 100; status < 600; status++)
        CU_ASSERT_EQUAL(status_may_have_content(status),
                        status >= 200 && status != 204 && status != 304);
}

void
suite_message(void)
{
    CU_pSuite s = CU_add_suite("message", NULL, NULL);

    CU_add_test(s, "knows methods by their exact name", knows_methods_by_their_exact_name);
    CU_add_test(s, "knows what methods promise", knows_what_methods_promise);
    CU_add_test(s, "has a reason for every status", has_a_reason_for_every_status);
    CU_add_test(s, "knows which responses have content", knows_which_responses_have_content);
}
