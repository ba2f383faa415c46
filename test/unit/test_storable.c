/* SPDX-License-Identifier: BSD-2-Clause */
/* test_storable.c - what a shared cache may store: RFC 9111 section 3. */
#include "config.h"

#include "cache/storable.h"

#include <CUnit/CUnit.h>

void suite_storable(void);

#define NOW INT64_C(1767225600) /* 2026-01-01 */

static struct arena arena;

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

/* Lines of one message: "Name: value" each, one to a line. */
static struct fields *
fields_of(const char *lines)
{
    struct fields *fields = arena_zalloc(&arena, sizeof(*fields));

    while (*lines != '\0') {
        const char *colon = strchr(lines, ':'), *end = strchrnul(lines, '\n');

        fields_add_name(fields, &arena, slice_make(lines, (size_t)(colon - lines)),
                        slice_trim(slice_make(colon + 1, (size_t)(end - colon - 1))));
        lines = *end != '\0' ? end + 1 : end;
    }
    return fields;
}

struct exchange_told {
    enum method method;
    unsigned status;
    const char *request, *response; /* lines */
    bool has_content, is_of_target, has_valid_range, stores_cookies;
};

static enum storable_verdict
judge(const struct exchange_told *told)
{
    static const struct lifetime_conf conf = { .heuristic_max_s = 3600,
                                               .stale_if_error_s = 600,
                                               .stale_while_revalidate_s = 600 };
    struct directives request, response;
    struct lifetime lifetime;
    struct storable_question question = {
        .method = told->method != METHOD_OTHER ? told->method : METHOD_GET,
        .status = told->status > 0 ? told->status : 200,
        .request_fields = fields_of(told->request != NULL ? told->request : ""),
        .response_fields = fields_of(told->response != NULL ? told->response : ""),
        .request = &request,
        .response = &response,
        .lifetime = &lifetime,
        .has_content = told->has_content,
        .is_of_target = told->is_of_target,
        .has_valid_range = told->has_valid_range,
        .stores_cookies = told->stores_cookies,
    };

    directives_of_request(&request, question.request_fields);
    directives_of_response(&response, question.response_fields);
    lifetime_of_response(&lifetime, question.status, question.response_fields, &response, &conf,
                         NOW, NOW);
    return storable_judge(&question);
}

#define JUDGE(...) judge(&(struct exchange_told){ __VA_ARGS__ })
#define CC(value) JUDGE(.response = "Cache-Control: " value)

/* "the request method is understood by the cache" */
static void
stores_answers_to_get(void)
{
    static const enum method others[] = {
        METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_CONNECT, METHOD_OPTIONS,
        METHOD_TRACE, METHOD_PATCH,
    };

    CU_ASSERT_EQUAL(CC("max-age=60"), STORABLE);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT_EQUAL(JUDGE(.method = others[i], .response = "Cache-Control: max-age=60"),
                        NOT_STORABLE_METHOD);
}

/* RFC 9110 section 9.3.3. */
static void
stores_posts_that_name_their_target(void)
{
    struct exchange_told told = { .method = METHOD_POST, .has_content = true, .is_of_target = true,
                                  .response = "Cache-Control: max-age=60" };

    CU_ASSERT_EQUAL(judge(&told), STORABLE);
    told.response = "Expires: Thu, 18 Aug 2050 02:01:18 GMT";
    CU_ASSERT_EQUAL(judge(&told), STORABLE);
    told.response = "Last-Modified: Thu, 18 Aug 2005 02:01:18 GMT";
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_METHOD); /* not explicit */
    told.response = "Cache-Control: max-age=60";
    told.status = 400;
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_METHOD);
    told.status = 206;
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_METHOD);
    told.status = 200;
    told.is_of_target = false;
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_METHOD);
}

/* RFC 9110 section 9.3.1: content of a GET is no part of the key, so it could
 * plant an answer for everybody. */
static void
stores_nothing_for_gets_with_content(void)
{
    CU_ASSERT_EQUAL(JUDGE(.has_content = true, .response = "Cache-Control: max-age=60"),
                    NOT_STORABLE_CONTENT);
}

/* "the response status code is final"; understood or not. */
static void
stores_every_final_status_with_explicit_freshness(void)
{
    static const unsigned yes[] = { 200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 403,
                                    404, 410, 499, 500, 502, 503, 504, 599 };
    static const unsigned no[] = { 100, 101, 103, 199, 600, 999 };

    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        CU_ASSERT_EQUAL(JUDGE(.status = yes[i], .response = "Cache-Control: max-age=60"), STORABLE);
        CU_ASSERT_EQUAL(JUDGE(.status = yes[i],
                              .response = "Expires: Thu, 18 Aug 2050 02:01:18 GMT"), STORABLE);
    }
    for (size_t i = 0; i < ARRAY_COUNT(no); i++)
        CU_ASSERT_EQUAL(JUDGE(.status = no[i], .response = "Cache-Control: max-age=60"),
                        NOT_STORABLE_STATUS);
}

/* RFC 9111 section 4.3.3 (304), RFC 6585 sections 3 to 6 (428, 429, 431, 511),
 * RFC 8470 section 5.2 (425), RFC 9110 section 15.5 (the others). */
static void
stores_no_status_about_one_request(void)
{
    static const unsigned no[] = { 304, 401, 407, 408, 412, 416, 417,
                                   421, 425, 428, 429, 431, 511 };

    for (size_t i = 0; i < ARRAY_COUNT(no); i++)
        CU_ASSERT_EQUAL(JUDGE(.status = no[i], .response = "Cache-Control: public, max-age=60"),
                        NOT_STORABLE_STATUS);
}

/* Sections 5.2.1.5 and 5.2.2.5. */
static void
heeds_no_store_of_either_side(void)
{
    CU_ASSERT_EQUAL(CC("no-store"), NOT_STORABLE_NO_STORE);
    CU_ASSERT_EQUAL(CC("max-age=60, No-StOrE, public"), NOT_STORABLE_NO_STORE);
    CU_ASSERT_EQUAL(JUDGE(.request = "Cache-Control: no-store",
                          .response = "Cache-Control: max-age=60"), NOT_STORABLE_REQUEST_NO_STORE);
    CU_ASSERT_EQUAL(JUDGE(.request = "Cache-Control: no-cache",
                          .response = "Cache-Control: max-age=60"), STORABLE);
}

/* Section 5.2.2.3. */
static void
heeds_must_understand(void)
{
    CU_ASSERT_EQUAL(CC("max-age=60, no-store, must-understand"), STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.status = 404,
                          .response = "Cache-Control: max-age=60, no-store, must-understand"),
                    STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.status = 599,
                          .response = "Cache-Control: max-age=60, no-store, must-understand"),
                    NOT_STORABLE_NOT_UNDERSTOOD);
    CU_ASSERT_EQUAL(JUDGE(.status = 599, .response = "Cache-Control: max-age=60, must-understand"),
                    NOT_STORABLE_NOT_UNDERSTOOD);
    CU_ASSERT_EQUAL(JUDGE(.request = "Cache-Control: no-store",
                          .response = "Cache-Control: max-age=60, no-store, must-understand"),
                    NOT_STORABLE_REQUEST_NO_STORE);
    CU_ASSERT_EQUAL(CC("max-age=60, private, must-understand"), NOT_STORABLE_PRIVATE);
    CU_ASSERT_EQUAL(CC("max-age=60, no-store, must-understand=\"\""), NOT_STORABLE_NO_STORE);
}

/* Section 5.2.2.7: a shared cache stores nothing that is private. */
static void
heeds_private(void)
{
    CU_ASSERT_EQUAL(CC("private, max-age=3600"), NOT_STORABLE_PRIVATE);
    CU_ASSERT_EQUAL(CC("private, s-maxage=3600, public"), NOT_STORABLE_PRIVATE);
    CU_ASSERT_EQUAL(CC("private=\"set-cookie\", max-age=3600"), NOT_STORABLE_PRIVATE);
}

/* Section 3.5. */
static void
shares_authorised_responses_only_when_told(void)
{
    struct exchange_told told = { .request = "Authorization: FOO" };

    told.response = "Expires: Thu, 18 Aug 2050 02:01:18 GMT";
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_AUTHORIZATION);
    told.response = "Cache-Control: max-age=3600";
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_AUTHORIZATION);
    told.response = "Cache-Control: max-age=3600, proxy-revalidate";
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_AUTHORIZATION);
    told.response = "Cache-Control: max-age=3600, public";
    CU_ASSERT_EQUAL(judge(&told), STORABLE);
    told.response = "Cache-Control: max-age=3600, must-revalidate";
    CU_ASSERT_EQUAL(judge(&told), STORABLE);
    told.response = "Cache-Control: s-maxage=3600";
    CU_ASSERT_EQUAL(judge(&told), STORABLE);
    told.response = "CDN-Cache-Control: max-age=3600\nCache-Control: public";
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_AUTHORIZATION);
}

/* Section 7.3. */
static void
shares_cookies_only_when_told(void)
{
    struct exchange_told told = { .response = "Cache-Control: max-age=60\nSet-Cookie: a=b" };

    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_SET_COOKIE);
    told.request = "Cookie: a=b";
    CU_ASSERT_EQUAL(judge(&told), NOT_STORABLE_SET_COOKIE);
    told.stores_cookies = true;
    CU_ASSERT_EQUAL(judge(&told), STORABLE);
    told.stores_cookies = false;
    told.response = "Cache-Control: max-age=60, public\nSet-Cookie: a=b";
    CU_ASSERT_EQUAL(judge(&told), STORABLE);
    told.response = "Cache-Control: s-maxage=60\nSet-Cookie: a=b";
    CU_ASSERT_EQUAL(judge(&told), STORABLE);
    told.response = "Cache-Control: max-age=60";
    CU_ASSERT_EQUAL(judge(&told), STORABLE); /* a Cookie alone says nothing */
}

/* Section 4.1: "*" never matches, so storing is in vain. */
static void
stores_nothing_that_varies_by_anything(void)
{
    CU_ASSERT_EQUAL(JUDGE(.response = "Cache-Control: max-age=60\nVary: *"), NOT_STORABLE_VARY);
    CU_ASSERT_EQUAL(JUDGE(.response = "Cache-Control: max-age=60\nVary: Foo\nVary: Bar, *"),
                    NOT_STORABLE_VARY);
    CU_ASSERT_EQUAL(JUDGE(.response = "Cache-Control: max-age=60\nVary: Foo, Bar"), STORABLE);
}

/* Section 3.3. */
static void
stores_parts_that_say_which(void)
{
    CU_ASSERT_EQUAL(JUDGE(.status = 206, .response = "Cache-Control: max-age=60"),
                    NOT_STORABLE_PARTIAL);
    CU_ASSERT_EQUAL(JUDGE(.status = 206, .has_valid_range = true,
                          .response = "Cache-Control: max-age=60"), STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.status = 206, .has_valid_range = true,
                          .response = "Cache-Control: no-store"), NOT_STORABLE_NO_STORE);
}

/* Section 3, last item. */
static void
needs_a_reason_to_store(void)
{
    CU_ASSERT_EQUAL(JUDGE(.status = 302, .response = "ETag: \"a\""), NOT_STORABLE_NO_LIFETIME);
    CU_ASSERT_EQUAL(JUDGE(.status = 500,
                          .response = "Last-Modified: Thu, 18 Aug 2005 02:01:18 GMT"),
                    NOT_STORABLE_NO_LIFETIME);
    CU_ASSERT_EQUAL(JUDGE(.status = 302, .response = "ETag: \"a\"\nCache-Control: public"),
                    STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.status = 599, .response =
                          "Last-Modified: Thu, 18 Aug 2005 02:01:18 GMT\nCache-Control: public"),
                    STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.status = 404, .response = "ETag: \"a\""), STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.status = 301,
                          .response = "Last-Modified: Thu, 18 Aug 2005 02:01:18 GMT"), STORABLE);
}

/* What could be neither served nor validated is left to others. */
static void
stores_nothing_useless(void)
{
    CU_ASSERT_EQUAL(JUDGE(.response = "Via: x"), NOT_STORABLE_USELESS);
    CU_ASSERT_EQUAL(CC("max-age=0"), NOT_STORABLE_USELESS);
    CU_ASSERT_EQUAL(CC("max-age=60, no-cache"), NOT_STORABLE_USELESS);
    CU_ASSERT_EQUAL(CC("max-age=60, no-cache, stale-if-error=9"), NOT_STORABLE_USELESS);
    CU_ASSERT_EQUAL(JUDGE(.response = "Cache-Control: max-age=60\nAge: 60"), NOT_STORABLE_USELESS);
    CU_ASSERT_EQUAL(JUDGE(.response = "Cache-Control: max-age=60\nAge: 59"), STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.response = "Cache-Control: max-age=60, no-cache\nETag: \"a\""),
                    STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.response = "Cache-Control: no-cache\nETag: \"a\""), STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.response = "Expires: 0\nLast-Modified: Thu, 18 Aug 2005 02:01:18 GMT"),
                    STORABLE);
    CU_ASSERT_EQUAL(CC("max-age=0, stale-while-revalidate=60"), STORABLE);
    CU_ASSERT_EQUAL(CC("max-age=0, stale-if-error=60"), STORABLE);
    CU_ASSERT_EQUAL(CC("max-age=0, stale-if-error=60, must-revalidate"), NOT_STORABLE_USELESS);
}

/* RFC 9213 section 2.2. */
static void
lets_the_targeted_field_decide(void)
{
    CU_ASSERT_EQUAL(JUDGE(.response = "CDN-Cache-Control: max-age=9\nCache-Control: no-store"),
                    STORABLE);
    CU_ASSERT_EQUAL(JUDGE(.response = "CDN-Cache-Control: no-store\nCache-Control: max-age=9"),
                    NOT_STORABLE_NO_STORE);
    CU_ASSERT_EQUAL(JUDGE(.response = "CDN-Cache-Control: private\nCache-Control: max-age=9"),
                    NOT_STORABLE_PRIVATE);
    CU_ASSERT_EQUAL(JUDGE(.response =
                          "CDN-Cache-Control: max-age=9, &&&&&\nCache-Control: no-store"),
                    NOT_STORABLE_NO_STORE);
    CU_ASSERT_EQUAL(JUDGE(.response =
                          "CDN-Cache-Control: max-age=\"9\"\nCache-Control: no-store\nETag: \"a\""),
                    NOT_STORABLE_NO_STORE);
}

/* Of several reasons the first of the list is told, so that logs are stable. */
static void
tells_the_first_reason(void)
{
    CU_ASSERT_EQUAL(JUDGE(.method = METHOD_PUT, .status = 304, .response = "Vary: *"),
                    NOT_STORABLE_METHOD);
    CU_ASSERT_EQUAL(JUDGE(.request = "Authorization: x",
                          .response = "Cache-Control: no-store, private\nSet-Cookie: a\nVary: *"),
                    NOT_STORABLE_NO_STORE);
}

/* RFC 9211 section 2.8: the word may stand as a token. */
static void
has_a_word_for_every_verdict(void)
{
    for (unsigned verdict = 0; verdict < STORABLE_VERDICTS; verdict++) {
        struct slice text = storable_text(verdict);

        CU_ASSERT_TRUE(text.bytes > 0);
        for (size_t i = 0; i < text.bytes; i++)
            CU_ASSERT_TRUE((text.data[i] >= 'a' && text.data[i] <= 'z') || text.data[i] == '-');
        for (unsigned other = 0; other < verdict; other++)
            CU_ASSERT_FALSE(slice_equal(text, storable_text(other)));
    }
    CU_ASSERT_TRUE(slice_equal(storable_text(NOT_STORABLE_NO_STORE), SLICE("no-store")));
}

void
suite_storable(void)
{
    CU_pSuite s = CU_add_suite("storable", init, fini);

    CU_add_test(s, "stores answers to GET", stores_answers_to_get);
    CU_add_test(s, "stores POSTs that name their target", stores_posts_that_name_their_target);
    CU_add_test(s, "stores nothing for GETs with content", stores_nothing_for_gets_with_content);
    CU_add_test(s, "stores every final status with explicit freshness",
                stores_every_final_status_with_explicit_freshness);
    CU_add_test(s, "stores no status about one request", stores_no_status_about_one_request);
    CU_add_test(s, "heeds no-store of either side", heeds_no_store_of_either_side);
    CU_add_test(s, "heeds must-understand", heeds_must_understand);
    CU_add_test(s, "heeds private", heeds_private);
    CU_add_test(s, "shares authorised responses only when told",
                shares_authorised_responses_only_when_told);
    CU_add_test(s, "shares cookies only when told", shares_cookies_only_when_told);
    CU_add_test(s, "stores nothing that varies by anything",
                stores_nothing_that_varies_by_anything);
    CU_add_test(s, "stores parts that say which", stores_parts_that_say_which);
    CU_add_test(s, "needs a reason to store", needs_a_reason_to_store);
    CU_add_test(s, "stores nothing useless", stores_nothing_useless);
    CU_add_test(s, "lets the targeted field decide", lets_the_targeted_field_decide);
    CU_add_test(s, "tells the first reason", tells_the_first_reason);
    CU_add_test(s, "has a word for every verdict", has_a_word_for_every_verdict);
}
