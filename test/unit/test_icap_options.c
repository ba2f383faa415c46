/* SPDX-License-Identifier: BSD-2-Clause */
/* test_icap_options.c - what a service says of itself counts until it expires (RFC 3507 section
 * 4.10).
 */
#include "config.h"

#include "filters/icap_options.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

void suite_icap_options(void);

#define URI "icap://a/b"
#define ADDRESS "127.0.0.1:1344"

/* Learns from an answer with these fields at a moment. */
static const struct icap_options *
learn(const char *uri, const char *fields, unsigned status, uint64_t now_ms)
{
    char text[1024];
    struct icap_reader reader;
    const struct icap_options *options;
    struct arena arena;
    struct iovec iov[1];
    unsigned slices;
    size_t consumed;

    snprintf(text, sizeof(text), "ICAP/1.0 %u x\r\n%s\r\n", status, fields);
    arena_init(&arena, NULL, 64 * 1024);
    icap_reader_init(&reader, &arena);
    CU_ASSERT_EQUAL_FATAL(icap_read(&reader, slice_of(text), iov, 1, &slices, &consumed),
                          ICAP_HEAD);
    options = icap_options_learn(uri, ADDRESS, &reader.reply, now_ms);
    icap_reader_fini(&reader);
    arena_fini(&arena);
    CU_ASSERT_PTR_NOT_NULL_FATAL(options);
    return options;
}

static void
remembers_what_was_said_until_it_expires(void)
{
    const struct icap_options *options =
        learn(URI, "Methods: RESPMOD\r\nPreview: 512\r\nAllow: 204, 206\r\n"
              "Max-Connections: 10\r\nOptions-TTL: 2\r\n", 200, 1000);

    CU_ASSERT_TRUE(!options->does_request && options->does_response);
    CU_ASSERT_TRUE(options->allows_204 && options->allows_206);
    CU_ASSERT_EQUAL(options->preview_bytes, 512);
    CU_ASSERT_EQUAL(options->max_connections, 10);
    CU_ASSERT_PTR_EQUAL(icap_options_find(URI, ADDRESS, 2999), options);
    CU_ASSERT_PTR_NULL(icap_options_find(URI, ADDRESS, 3000));
    CU_ASSERT_PTR_NULL(icap_options_find("icap://a/c", ADDRESS, 2000));
    CU_ASSERT_PTR_NULL(icap_options_find(URI, "127.0.0.2:1344", 2000));
    icap_options_forget();
    CU_ASSERT_PTR_NULL(icap_options_find(URI, ADDRESS, 2000));
}

static void
reckons_with_little_where_nothing_is_said(void)
{
    const struct icap_options *options = learn(URI, "Preview: x\r\n", 200, 0);

    CU_ASSERT_EQUAL(options->preview_bytes, ICAP_NO_PREVIEW);
    CU_ASSERT_TRUE(options->does_request && options->does_response);
    CU_ASSERT_FALSE(options->allows_206);
    options = learn(URI, "Preview: 5\r\nAllow: 206\r\n", 405, 0);
    CU_ASSERT_EQUAL(options->preview_bytes, ICAP_NO_PREVIEW);
    CU_ASSERT_FALSE(options->allows_206);
    CU_ASSERT_PTR_NULL(icap_options_find(URI, ADDRESS, 60000));
    icap_options_forget();
}

/* RFC 3507 section 4.10.2: "*" is for all that are in no list. */
static void
sorts_name_extensions(void)
{
    const struct icap_options *options =
        learn(URI, "Transfer-Preview: *\r\nTransfer-Complete: exe, zip\r\n"
              "Transfer-Ignore: gif,JPG\r\n", 200, 0);

    CU_ASSERT_EQUAL(icap_options_transfer(options, SLICE("html")), ICAP_TRANSFER_PREVIEW);
    CU_ASSERT_EQUAL(icap_options_transfer(options, SLICE("")), ICAP_TRANSFER_PREVIEW);
    CU_ASSERT_EQUAL(icap_options_transfer(options, SLICE("zip")), ICAP_TRANSFER_COMPLETE);
    CU_ASSERT_EQUAL(icap_options_transfer(options, SLICE("jpg")), ICAP_TRANSFER_IGNORE);
    options = learn(URI, "Transfer-Preview: html\r\nTransfer-Ignore: *\r\n", 200, 0);
    CU_ASSERT_EQUAL(icap_options_transfer(options, SLICE("html")), ICAP_TRANSFER_PREVIEW);
    CU_ASSERT_EQUAL(icap_options_transfer(options, SLICE("")), ICAP_TRANSFER_IGNORE);
    options = learn(URI, "", 200, 0);
    CU_ASSERT_EQUAL(icap_options_transfer(options, SLICE("x")), ICAP_TRANSFER_PREVIEW);
    icap_options_forget();
}

/* RFC 3507 section 4.7. */
static void
forgets_when_the_service_has_changed(void)
{
    (void)learn(URI, "ISTag: \"1\"\r\n", 200, 0);
    icap_options_check_tag(URI, ADDRESS, SLICE("\"1\""));
    icap_options_check_tag(URI, ADDRESS, SLICE(""));
    CU_ASSERT_PTR_NOT_NULL(icap_options_find(URI, ADDRESS, 1));
    icap_options_check_tag(URI, ADDRESS, SLICE("\"2\""));
    CU_ASSERT_PTR_NULL(icap_options_find(URI, ADDRESS, 1));
    icap_options_forget();
}

static void
remembers_no_more_than_its_bound(void)
{
    char uri[32];

    for (unsigned i = 0; i <= ICAP_OPTIONS_MAX; i++) {
        snprintf(uri, sizeof(uri), "icap://a/%u", i);
        (void)learn(uri, "", 200, 0);
    }
    CU_ASSERT_PTR_NULL(icap_options_find("icap://a/0", ADDRESS, 1));
    CU_ASSERT_PTR_NOT_NULL(icap_options_find("icap://a/1", ADDRESS, 1));
    CU_ASSERT_PTR_NOT_NULL(icap_options_find(uri, ADDRESS, 1));
    icap_options_forget();
}

void
suite_icap_options(void)
{
    CU_pSuite s = CU_add_suite("icap_options", NULL, NULL);

    CU_add_test(s, "remembers what was said until it expires",
                remembers_what_was_said_until_it_expires);
    CU_add_test(s, "reckons with little where nothing is said",
                reckons_with_little_where_nothing_is_said);
    CU_add_test(s, "sorts name extensions", sorts_name_extensions);
    CU_add_test(s, "forgets when the service has changed", forgets_when_the_service_has_changed);
    CU_add_test(s, "remembers no more than its bound", remembers_no_more_than_its_bound);
}
