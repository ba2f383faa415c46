/* SPDX-License-Identifier: BSD-2-Clause */
/* test_error_page.c - made-up answers: pages, problem details (RFC 9457), the
 * choice between them, and Proxy-Status (RFC 9209).
 */
#include "config.h"

#include "server/http/error_page.h"

#include "server/http/exchange.h"
#include "server/http/proxy_status.h"
#include "server/http/welcome_page.h"

#include <CUnit/CUnit.h>
#include <string.h>

void suite_error_page(void);

static struct arena arena;

static struct page_facts
facts(unsigned status, const char *why, const char *rule, uint64_t id)
{
    return (struct page_facts){ .status = status, .why = why, .rule = slice_of(rule), .id = id };
}

static struct slice
html(unsigned status, const char *why, const char *rule, uint64_t id)
{
    const struct page_facts all = facts(status, why, rule, id);

    return error_page_html(&arena, &all);
}

static struct slice
json(unsigned status, const char *why, const char *rule, uint64_t id)
{
    const struct page_facts all = facts(status, why, rule, id);

    return error_page_json(&arena, &all);
}

static int
set_up(void)
{
    arena_init(&arena, NULL, 1024 * 1024);
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&arena);
    return 0;
}

static bool
has(struct slice text, const char *part)
{
    return memmem(text.data, text.bytes, part, strlen(part)) != NULL;
}

static bool
is_text(struct slice text, const char *wanted)
{
    return slice_equal(text, slice_of(wanted));
}

/* ---- HTML */

static void
a_page_says_what_happened_why_and_by_which_rule(void)
{
    struct slice page = html(403, "social networks are blocked here", "no-social", 77);

    CU_ASSERT_TRUE(has(page, "<title>403 Forbidden</title>"));
    CU_ASSERT_TRUE(has(page, "<h1><span>403</span> Forbidden</h1>"));
    CU_ASSERT_TRUE(has(page, "not allowed here"));
    CU_ASSERT_TRUE(has(page, "<dt>Why</dt><dd>social networks are blocked here</dd>"));
    CU_ASSERT_TRUE(has(page, "<dt>Rule</dt><dd>no-social</dd>"));
    CU_ASSERT_TRUE(has(page, "<dt>Reference</dt><dd>000000000000004d</dd>"));
    CU_ASSERT_TRUE(page.bytes < 4096);
}

static void
a_page_leaves_out_what_is_not_known(void)
{
    struct slice page = html(502, NULL, NULL, 1);

    CU_ASSERT_TRUE(has(page, "<span>502</span> Bad Gateway"));
    CU_ASSERT_FALSE(has(page, "<dt>Why</dt>"));
    CU_ASSERT_FALSE(has(page, "<dt>Rule</dt>"));
    CU_ASSERT_FALSE(has(page, "href="));
}

static void
a_page_knows_every_status(void)
{
    for (unsigned status = 400; status < 600; status++) {
        struct slice page = html(status, NULL, NULL, 1);

        CU_ASSERT_TRUE(slice_starts_with(page, SLICE("<!DOCTYPE html>")));
        CU_ASSERT_TRUE(has(page, "<p>"));
    }
}

static void
what_is_put_into_a_page_is_escaped(void)
{
    struct slice page = html(403, "<script>alert('x')</script> & \"\x01\xff\"",
                             "a<b>&\"c'.conf:1", 1);

    CU_ASSERT_FALSE(has(page, "<script"));
    CU_ASSERT_TRUE(has(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; "
                             "&quot;&#xfffd;&#xfffd;&quot;"));
    CU_ASSERT_TRUE(has(page, "a&lt;b&gt;&amp;&quot;c&#39;.conf:1"));
}

static void
pages_need_nothing_from_elsewhere(void)
{
    struct slice pages[] = { html(503, "x", "y", 1), welcome_page() };

    for (size_t i = 0; i < ARRAY_COUNT(pages); i++) {
        CU_ASSERT_FALSE(has(pages[i], "src="));
        CU_ASSERT_FALSE(has(pages[i], "href="));
        CU_ASSERT_FALSE(has(pages[i], "<script"));
        CU_ASSERT_FALSE(has(pages[i], "@import"));
        CU_ASSERT_FALSE(has(pages[i], "url("));
        CU_ASSERT_TRUE(has(pages[i], "prefers-color-scheme: dark"));
        CU_ASSERT_TRUE(has(pages[i], "</html>\n"));
        CU_ASSERT_FALSE(has(pages[i], "%%"));
    }
}

/* Server hiding: who made the page is not told. */
static void
an_error_page_does_not_name_the_product(void)
{
    CU_ASSERT_FALSE(has(html(502, "x", "x.conf:1", 1), "ascule"));
    CU_ASSERT_FALSE(has(json(502, "x", "x.conf:1", 1), "ascule"));
}

/* Words of operators are in their own language; but nothing may turn the text around. */
static void
letters_stay_and_what_steers_reading_goes(void)
{
    CU_ASSERT_TRUE(has(html(403, "Gl\xc3\xbc" "cksspiel \xe2\x82\xac \xf0\x9f\x8e\xb2", NULL, 1),
                       "Gl\xc3\xbc" "cksspiel \xe2\x82\xac \xf0\x9f\x8e\xb2"));
    CU_ASSERT_TRUE(has(html(403, "a\xe2\x80\xae" "b\xe2\x81\xa6" "c\xc2\x85" "d\xd8\x9c" "e",
                            NULL, 1),
                       "a&#xfffd;b&#xfffd;c&#xfffd;d&#xfffd;e"));
    CU_ASSERT_TRUE(has(html(403, "\xc3", NULL, 1), "<dd>&#xfffd;</dd>"));
}

/* RFC 6068: the mail names the exchange. */
static void
a_page_says_whom_to_ask(void)
{
    struct page_facts all = facts(403, "x", NULL, 0xabc);

    all.is_refusal = true;
    all.contact = "mailto:it@example.com";
    CU_ASSERT_TRUE(has(error_page_html(&arena, &all),
                       "<a href=\"mailto:it@example.com?subject=Please%20review%20"
                       "0000000000000abc\">Ask for a review</a>"));
    all.contact = "https://help.example/?a=b";
    CU_ASSERT_TRUE(has(error_page_html(&arena, &all),
                       "href=\"https://help.example/?a=b&amp;reference=0000000000000abc\""));
    CU_ASSERT_TRUE(has(error_page_json(&arena, &all),
                       "\"contact\":\"https://help.example/?a=b&reference=0000000000000abc\""));
    all.is_refusal = false;
    CU_ASSERT_FALSE(has(error_page_html(&arena, &all), "help.example"));
    CU_ASSERT_FALSE(has(error_page_json(&arena, &all), "help.example"));
}

static void
a_contact_is_an_address_that_can_be_shown(void)
{
    struct err err;

    CU_ASSERT_EQUAL(error_page_check_contact("mailto:it@example.com", &err), 0);
    CU_ASSERT_EQUAL(error_page_check_contact("https://help.example/form", &err), 0);
    CU_ASSERT_EQUAL(error_page_check_contact("javascript:alert(1)", &err), -1);
    CU_ASSERT_EQUAL(error_page_check_contact("it@example.com", &err), -1);
    CU_ASSERT_EQUAL(error_page_check_contact("mailto:", &err), -1);
    CU_ASSERT_EQUAL(error_page_check_contact("mailto:a b@example.com", &err), -1);
    CU_ASSERT_EQUAL(error_page_check_contact("https://x/\"onclick=", &err), -1);
}

/* ---- JSON */

/* RFC 9457 sections 3.1 and 4.2.1. */
static void
problem_details_have_the_members_of_the_standard(void)
{
    CU_ASSERT_TRUE(is_text(json(403, "not today", "no-social", 77),
                           "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,"
                           "\"detail\":\"not today\","
                           "\"rule\":\"no-social\",\"id\":\"000000000000004d\","
                           "\"instance\":\"#exchange-000000000000004d\"}\n"));
    CU_ASSERT_TRUE(has(json(504, NULL, NULL, UINT64_MAX),
                       "\"status\":504,\"detail\":\"The server behind this address did not"));
}

static void
what_is_put_into_problem_details_is_escaped(void)
{
    struct slice text = json(403, "a\"b\\c\n\x01\xff", NULL, 1);

    CU_ASSERT_TRUE(has(text, "\"detail\":\"a\\\"b\\\\c\\u000a\\u0001\\u00ff\"") ||
                   has(text, "\"detail\":\"a\\\"b\\\\c\\n\\u0001\\u00ff\""));
    CU_ASSERT_PTR_NULL(memchr(text.data, '\x01', text.bytes));
}

static void
a_spent_arena_gives_no_half_page(void)
{
    const struct page_facts all = facts(403, "x", "y", 1);
    struct arena small;

    arena_init(&small, NULL, 512);
    CU_ASSERT_EQUAL(error_page_html(&small, &all).bytes, 0);
    CU_ASSERT_TRUE(arena_is_spent(&small));
    arena_fini(&small);
}

/* ---- RFC 9110 section 12.5.1 */

static bool
wants_html(const char *accept)
{
    return error_page_wants_html(slice_of(accept));
}

static void
browsers_get_html(void)
{
    CU_ASSERT_TRUE(wants_html("text/html"));
    CU_ASSERT_TRUE(wants_html("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,"
                              "image/webp,image/apng,*/*;q=0.8"));
    CU_ASSERT_TRUE(wants_html("text/html, */*"));
    CU_ASSERT_TRUE(wants_html("TEXT/HTML;level=1;Q=0.7, application/json;q=0.3"));
    CU_ASSERT_TRUE(wants_html("text/*"));
    CU_ASSERT_TRUE(wants_html("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"));
}

static void
programs_get_json(void)
{
    CU_ASSERT_FALSE(wants_html(NULL));
    CU_ASSERT_FALSE(wants_html(""));
    CU_ASSERT_FALSE(wants_html("*/*"));
    CU_ASSERT_FALSE(wants_html("application/json"));
    CU_ASSERT_FALSE(wants_html("application/json, text/plain, */*"));
    CU_ASSERT_FALSE(wants_html("application/problem+json, text/html"));
    CU_ASSERT_FALSE(wants_html("text/html;q=0.5, application/json"));
    CU_ASSERT_FALSE(wants_html("text/html;q=0.1, */*"));
    CU_ASSERT_FALSE(wants_html("image/avif,image/webp,*/*;q=0.8"));
}

static void
weights_that_are_zero_or_malformed_do_not_count(void)
{
    CU_ASSERT_FALSE(wants_html("text/html;q=0"));
    CU_ASSERT_FALSE(wants_html("text/html;q=0.000"));
    CU_ASSERT_FALSE(wants_html("text/html;q=2"));
    CU_ASSERT_FALSE(wants_html("text/html;q=1.001"));
    CU_ASSERT_FALSE(wants_html("text/html;q=0.12345"));
    CU_ASSERT_FALSE(wants_html("text/html;q=x"));
    CU_ASSERT_FALSE(wants_html("text/html;q="));
    CU_ASSERT_TRUE(wants_html("text/html;q=0.001"));
    CU_ASSERT_TRUE(wants_html("text/html;q=1.000"));
}

/* ---- Proxy-Status: RFC 9209, RFC 8941 */

static const char *
proxy_status(const char *name, enum end_reason reason, const char *error, const char *detail)
{
    struct failure failure = { .reason = reason, .proxy_error = error, .detail = detail };
    struct slice text = proxy_status_named(&arena, slice_of(name), &failure);

    return arena_copy(&arena, text).data;
}

static void
proxy_status_says_which_hop_failed_and_how(void)
{
    CU_ASSERT_STRING_EQUAL(proxy_status("edge-1", END_CONNECT_FAILED, "connection_refused",
                                        "nobody listens there"),
                           "edge-1; error=connection_refused; details=\"nobody listens there\"");
    CU_ASSERT_STRING_EQUAL(proxy_status("p", END_DNS_FAILED, NULL, NULL), "p; error=dns_error");
}

static void
proxy_status_is_a_well_formed_structured_field(void)
{
    CU_ASSERT_STRING_EQUAL(proxy_status("my proxy", END_DENIED, NULL, NULL),
                           "\"my proxy\"; error=http_request_denied");
    CU_ASSERT_STRING_EQUAL(proxy_status("1st", END_DENIED, NULL, NULL),
                           "\"1st\"; error=http_request_denied");
    CU_ASSERT_STRING_EQUAL(proxy_status("", END_DENIED, NULL, NULL),
                           "\"\"; error=http_request_denied");
    CU_ASSERT_STRING_EQUAL(proxy_status("a", END_UPSTREAM_BAD, NULL, "a \"b\" \\ \r\n \xc3\xa9"),
                           "a; error=http_protocol_error; details=\"a \\\"b\\\" \\\\ ?? ??\"");
}

static void
proxy_status_has_an_error_for_every_reason(void)
{
    for (unsigned reason = 0; reason < END_REASON_COUNT; reason++)
        CU_ASSERT_PTR_NOT_NULL(strstr(proxy_status("p", reason, NULL, NULL), "error="));
}

void
suite_error_page(void)
{
    CU_pSuite s = CU_add_suite("error_page", set_up, tear_down);

    CU_add_test(s, "a page says what happened, why and by which rule",
                a_page_says_what_happened_why_and_by_which_rule);
    CU_add_test(s, "a page leaves out what is not known", a_page_leaves_out_what_is_not_known);
    CU_add_test(s, "a page knows every status", a_page_knows_every_status);
    CU_add_test(s, "what is put into a page is escaped", what_is_put_into_a_page_is_escaped);
    CU_add_test(s, "letters stay, and what steers reading goes",
                letters_stay_and_what_steers_reading_goes);
    CU_add_test(s, "a page says whom to ask", a_page_says_whom_to_ask);
    CU_add_test(s, "a contact is an address that can be shown",
                a_contact_is_an_address_that_can_be_shown);
    CU_add_test(s, "pages need nothing from elsewhere", pages_need_nothing_from_elsewhere);
    CU_add_test(s, "an error page does not name the product",
                an_error_page_does_not_name_the_product);
    CU_add_test(s, "problem details have the members of the standard",
                problem_details_have_the_members_of_the_standard);
    CU_add_test(s, "what is put into problem details is escaped",
                what_is_put_into_problem_details_is_escaped);
    CU_add_test(s, "a spent arena gives no half page", a_spent_arena_gives_no_half_page);
    CU_add_test(s, "browsers get HTML", browsers_get_html);
    CU_add_test(s, "programs get JSON", programs_get_json);
    CU_add_test(s, "weights that are zero or malformed do not count",
                weights_that_are_zero_or_malformed_do_not_count);
    CU_add_test(s, "Proxy-Status says which hop failed and how",
                proxy_status_says_which_hop_failed_and_how);
    CU_add_test(s, "Proxy-Status is a well-formed structured field",
                proxy_status_is_a_well_formed_structured_field);
    CU_add_test(s, "Proxy-Status has an error for every reason",
                proxy_status_has_an_error_for_every_reason);
}
