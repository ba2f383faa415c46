/* SPDX-License-Identifier: BSD-2-Clause */
/* test_anonymity.c - cookies, parameters that track, and what options change of a profile. */
#include "config.h"

#include "filters/anonymity.h"
#include "filters/anonymity_cookies.h"
#include "filters/field_set.h"
#include "filters/tracking.h"
#include "test/unit/filter_fixture.h"

void suite_anonymity(void);

#define ANONYMITY(text) "filter = \"anonymity\"; " text

/* Both heads of one exchange, with the state that the filter keeps between them. */
static void
run(const struct filter_conf *conf, struct exchange *ex)
{
    uint64_t state[8] = { 0 };

    CU_ASSERT_FATAL(conf->ops->state_bytes <= sizeof(state));
    CU_ASSERT_EQUAL(conf->ops->request_head(conf, state, ex), FILTER_NEXT);
    CU_ASSERT_EQUAL(conf->ops->deliver_head(conf, state, ex), FILTER_NEXT);
}

/* ---- parameters that track */

static bool
strips(const char *before, const char *after, const struct strings *more)
{
    struct arena arena;
    struct slice left;
    bool is_right;

    arena_init(&arena, NULL, 1 << 16);
    left = tracking_strip(slice_of(before), more, &arena);
    is_right = slice_equal(left, slice_of(after));
    if (!is_right)
        printf("%s -> %.*s\n", before, SLICE_ARG(left));
    arena_fini(&arena);
    return is_right;
}

static void
known_parameters_are_in_order(void)
{
    CU_ASSERT(field_set_is_sound(&tracking_known));
    CU_ASSERT(tracking_known.count >= 40);
}

static void
every_known_parameter_is_stripped(void)
{
    for (size_t i = 0; i < tracking_known.count; i++) {
        struct slice name = tracking_known.others[i];
        char before[128], exact = name.data[name.bytes - 1] != '*';

        snprintf(before, sizeof(before), "/p?a=1&%.*s%s=v&b=2", (int)name.bytes - !exact, name.data,
                 exact ? "" : "tail");
        CU_ASSERT(strips(before, "/p?a=1&b=2", NULL));
    }
}

static void
what_is_left_is_byte_for_byte(void)
{
    CU_ASSERT(strips("/p?utm_source=x", "/p", NULL));
    CU_ASSERT(strips("/p?gclid", "/p", NULL));
    CU_ASSERT(strips("/p?UTM_Source=x&Q=%41+b%2f&&=&c", "/p?Q=%41+b%2f&&=&c", NULL));
    CU_ASSERT(strips("/p?&fbclid=1", "/p?", NULL));
    CU_ASSERT(strips("/p?q=utm_source&x=gclid=1", "/p?q=utm_source&x=gclid=1", NULL));
    CU_ASSERT(strips("http://a.test:81/p;v=1?x=?y&msclkid=2", "http://a.test:81/p;v=1?x=?y", NULL));
    CU_ASSERT(strips("/utm_source=1", "/utm_source=1", NULL));
    CU_ASSERT(strips("/p?", "/p?", NULL));
    CU_ASSERT(strips("", "", NULL));
    CU_ASSERT(strips("/p?utm_source=x;id=5&gclid=1", "/p?utm_source=x;id=5", NULL)); /* two, for some */
    CU_ASSERT(strips("/p?gclid2=1&agclid=2", "/p?gclid2=1&agclid=2", NULL));
}

static void
signed_urls_are_untouched(void)
{
    static const char *const urls[] = {
        "/o?utm_source=a&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0a",
        "/o?gclid=1&X-Goog-Signature=0a", "/o?sv=2022&sig=abc%3D&utm_medium=x",
        "/o?Expires=1&Signature=x&Key-Pair-Id=K&utm_id=1", "/o?fbclid=x&token=t",
        "/o?access_token=t&fbclid=x", "/o?oauth_signature=s&gclid=x", "/o?utm_x=1&hdnts=exp~hmac",
        "/o?Policy=p&utm_x=1", "/o?utm_x=1&md5=q", "/i.jpg?oh=1&oe=2&igshid=3",
    };

    for (size_t i = 0; i < ARRAY_COUNT(urls); i++)
        CU_ASSERT(strips(urls[i], urls[i], NULL));
}

static void
further_parameters_may_be_named(void)
{
    struct slice items[] = { SLICE("ref"), SLICE("aff_*") };
    struct strings more = { items, 2 };
    struct err err;

    CU_ASSERT(strips("/p?ref=1&refs=2&AFF_x=3&utm_x=4&aff=5", "/p?refs=2&aff=5", &more));
    CU_ASSERT_EQUAL(tracking_check_name(SLICE("a_*"), &err), 0);
    CU_ASSERT_EQUAL(tracking_check_name(SLICE("*"), &err), -1);
    CU_ASSERT_EQUAL(tracking_check_name(SLICE("a*b"), &err), -1);
    CU_ASSERT_EQUAL(tracking_check_name(SLICE("a=b"), &err), -1);
    CU_ASSERT_EQUAL(tracking_check_name(SLICE(""), &err), -1);
}

/* What goes upstream changes, what the log tells does not. */
static void
the_url_upstream_is_stripped(void)
{
    const struct filter_conf *strip = filter_made(ANONYMITY("tracking_parameters = true;"));
    const struct filter_conf *more = filter_made(ANONYMITY("tracking_parameters = [ \"c\" ];"));
    const struct filter_conf *pass =
        filter_made(ANONYMITY("profile = \"strict\"; tracking_parameters = false;"));
    const struct {
        const struct filter_conf *conf;
        const char *after;
    } cases[] = {
        { strip, "/a/b?c=d" }, { more, "/a/b" }, { pass, "/a/b?c=d&gclid=1" },
        { anonymity_default(ANONYMITY_STRICT), "/a/b?c=d" },
        { anonymity_default(ANONYMITY_ON), "/a/b?c=d&gclid=1" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct exchange *ex = exchange_begin();

        ex->out.target = ex->request.target = SLICE("/a/b?c=d&gclid=1");
        run(cases[i].conf, ex);
        CU_ASSERT(is_text(ex->out.target, cases[i].after));
        CU_ASSERT(is_text(ex->request.target, "/a/b?c=d&gclid=1"));
        exchange_end(ex);
    }
}

/* ---- sites and third parties */

static bool
same(const char *one, const char *other)
{
    return cookies_is_same_site(slice_of(one), slice_of(other));
}

static void
sites_are_registrable_domains(void)
{
    CU_ASSERT(same("example.com", "example.com"));
    CU_ASSERT(same("www.Example.com", "static.example.COM."));
    CU_ASSERT(same("example.com", "a.b.example.com"));
    CU_ASSERT(!same("example.com", "example.org"));
    CU_ASSERT(!same("badexample.com", "example.com"));
    CU_ASSERT(same("10.0.0.1", "10.0.0.1"));
    CU_ASSERT(!same("10.0.0.1", "11.0.0.1"));
    CU_ASSERT(!same("::1", "::2"));
    CU_ASSERT(!same("intranet", "other"));
    CU_ASSERT(!same("", ""));
#ifdef HAVE_LIBPSL
    CU_ASSERT(!same("one.co.uk", "two.co.uk"));
    CU_ASSERT(same("a.one.co.uk", "b.one.co.uk"));
#endif
}

/* Of www.example.com; fields up to the first NULL. */
static bool
is_third_party(const char *const *fields)
{
    struct exchange *ex = exchange_begin();
    bool is_third;

    for (; *fields != NULL; fields += 2)
        ask(ex, fields[0], fields[1]);
    is_third = cookies_is_third_party(&ex->request);
    exchange_end(ex);
    return is_third;
}

#define FIELDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
third_parties_are_known_by_what_browsers_say(void)
{
    CU_ASSERT(!is_third_party(FIELDS("Accept", "*/*")));
    CU_ASSERT(is_third_party(FIELDS("Sec-Fetch-Site", "cross-site")));
    CU_ASSERT(is_third_party(FIELDS("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "iframe")));
    CU_ASSERT(!is_third_party(FIELDS("Sec-Fetch-Site", "same-site", "Referer", "http://o.test/")));
    CU_ASSERT(!is_third_party(FIELDS("Sec-Fetch-Site", "none")));
    CU_ASSERT(is_third_party(FIELDS("Origin", "https://other.test")));
    CU_ASSERT(is_third_party(FIELDS("Origin", "null")));
    CU_ASSERT(!is_third_party(FIELDS("Origin", "https://shop.example.com:8443")));
    CU_ASSERT(is_third_party(FIELDS("Referer", "http://other.test/page?q#f")));
    CU_ASSERT(!is_third_party(FIELDS("Referer", "http://example.com/page#f")));
    CU_ASSERT(is_third_party(FIELDS("Referer", "garbage")));
}

/* Who follows a link is no third party of the page it was on. */
static void
opening_a_page_is_no_third_partys_request(void)
{
    CU_ASSERT(!is_third_party(FIELDS("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest",
                                     "document")));
    CU_ASSERT(!is_third_party(FIELDS("Referer", "http://other.test/", "Upgrade-Insecure-Requests",
                                     "1")));
}

/* ---- cookies */

/* Whether Cookie and Set-Cookie of a request by a page of the origin pass. */
static void
try_cookies(const char *text, const char *origin, bool cookie, bool set_cookie)
{
    const struct filter_conf *conf = filter_made(text);
    struct exchange *ex = exchange_begin();

    ask(ex, "Origin", origin);
    ask(ex, "Cookie", "a=b");
    respond(ex, "Set-Cookie", "c=d");
    respond(ex, "Set-Cookie", "e=f");
    run(conf, ex);
    CU_ASSERT_EQUAL(fields_has(&ex->request.fields, FIELD_COOKIE), cookie);
    CU_ASSERT_EQUAL(fields_has(&ex->response.fields, FIELD_SET_COOKIE), set_cookie);
    CU_ASSERT_EQUAL(ex->response.fields.count, set_cookie ? 2 : 0);
    exchange_end(ex);
}

static void
cookies_pass_by_policy(void)
{
    const char *other = "http://other.test", *own = "http://shop.example.com";

    try_cookies(ANONYMITY(""), other, true, true);
    try_cookies(ANONYMITY("cookies = \"no_third_party\";"), other, false, false);
    try_cookies(ANONYMITY("cookies = \"no_third_party\";"), own, true, true);
    try_cookies(ANONYMITY("cookies = \"none\";"), own, false, false);
    try_cookies(ANONYMITY("cookies = \"session_only\";"), other, true, true);
    try_cookies(ANONYMITY("profile = \"strict\";"), other, false, false);
    try_cookies(ANONYMITY("profile = \"strict\";"), own, true, true);
    try_cookies(ANONYMITY("profile = \"strict\"; cookies = \"pass\";"), other, true, true);
    try_cookies(ANONYMITY("cookies = \"none\"; cookie_hosts = [ \"x.test\", \".Example.com\" ];"),
                other, true, true);
    try_cookies(ANONYMITY("cookies = \"none\"; cookie_hosts = [ \"ample.com\" ];"), other, false,
                false);
}

static bool
shortens(const char *before, const char *after)
{
    struct arena arena;
    struct slice left;
    bool is_right;

    arena_init(&arena, NULL, 1 << 16);
    left = cookies_for_session(slice_of(before), 1700000000, &arena); /* November 2023 */
    is_right = slice_equal(left, slice_of(after));
    if (!is_right)
        printf("%s -> %.*s\n", before, SLICE_ARG(left));
    arena_fini(&arena);
    return is_right;
}

/* RFC 6265 sections 5.1.1, 5.2 and 5.3. */
static void
cookies_lose_their_lifetime(void)
{
    CU_ASSERT(shortens("a=b; Max-Age=3600; Path=/", "a=b; Path=/"));
    CU_ASSERT(shortens("a=b;max-age = 3600;Secure", "a=b;Secure"));
    CU_ASSERT(shortens("a=b; Expires=Wed, 21 Oct 2037 07:28:00 GMT", "a=b"));
    CU_ASSERT(shortens("a=b; expires=Wed, 21-Oct-37 07:28:00 GMT; HttpOnly; Max-Age=9",
                       "a=b; HttpOnly"));
    CU_ASSERT(shortens("a=Max-Age=5", "a=Max-Age=5"));
    CU_ASSERT(shortens("a=b;;; ;=;", "a=b;;; ;=;"));
    CU_ASSERT(shortens("", ""));
}

/* As a session's cookie, it would live on instead. */
static void
deletions_of_cookies_pass(void)
{
    static const char *const deletions[] = {
        "a=; Max-Age=0", "a=; Max-Age=-1; Path=/", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "a=; Expires=Thu, 01-Jan-70 00:00:00 GMT; Path=/", "a=; Expires=Thu Jan  1 00:00:00 1970",
        "a=; Max-Age=0; Expires=Wed, 21 Oct 2037 07:28:00 GMT",
    };

    for (size_t i = 0; i < ARRAY_COUNT(deletions); i++)
        CU_ASSERT(shortens(deletions[i], deletions[i]));
}

/* ---- options */

static void
options_go_before_the_profile(void)
{
    const struct filter_conf *on = filter_made(
        ANONYMITY("referer = \"none\"; gpc = \"send\"; dnt = \"remove\";"
                  " client_hints = \"remove\"; accept_language = \"en-US\";"));
    const struct filter_conf *strict = filter_made(
        ANONYMITY("profile = \"strict\"; referer = \"pass\"; gpc = \"remove\"; dnt = \"pass\";"
                  " client_hints = \"pass\"; accept_language = \"pass\";"));
    struct exchange *ex = exchange_begin();
    const struct fields *fields = &ex->request.fields;

    ask(ex, "Referer", "http://www.example.com/x");
    ask(ex, "DNT", "1");
    ask(ex, "Sec-CH-UA", "x");
    ask(ex, "Sec-CH-UA-Model", "x");
    ask(ex, "Device-Memory", "8");
    run(on, ex);
    CU_ASSERT(is_field(fields, "Referer", NULL) && is_field(fields, "DNT", NULL));
    CU_ASSERT(is_field(fields, "Sec-CH-UA", NULL) && is_field(fields, "Sec-CH-UA-Model", NULL));
    CU_ASSERT(is_field(fields, "Device-Memory", NULL) && is_field(fields, "Sec-GPC", "1"));
    CU_ASSERT(is_field(fields, "Accept-Language", "en-US"));
    exchange_end(ex);

    ex = exchange_begin();
    ask(ex, "Referer", "http://other.test/x");
    ask(ex, "DNT", "0");
    ask(ex, "Sec-GPC", "1");
    ask(ex, "Sec-CH-UA-Model", "x");
    ask(ex, "Accept-Language", "de, en");
    run(strict, ex);
    CU_ASSERT(is_field(fields, "Referer", "http://other.test/x") && is_field(fields, "DNT", "0"));
    CU_ASSERT(is_field(fields, "Sec-GPC", NULL) && is_field(fields, "Sec-CH-UA-Model", "x"));
    CU_ASSERT(is_field(fields, "Accept-Language", "de, en"));
    exchange_end(ex);
}

static void
referers_follow_the_policy(void)
{
    static const struct {
        const char *policy, *before, *after;
    } cases[] = {
        { "pass", "http://other.test/x", "http://other.test/x" },
        { "origin", "http://other.test/x", "http://other.test/" },
        { "same", "http://other.test/x", NULL },
        { "same", "http://www.example.com/x", "http://www.example.com/x" },
        { "none", "http://www.example.com/x", NULL },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[100];
        struct exchange *ex = exchange_begin();

        snprintf(text, sizeof(text), ANONYMITY("referer = \"%s\";"), cases[i].policy);
        ask(ex, "Referer", cases[i].before);
        run(filter_made(text), ex);
        CU_ASSERT(is_field(&ex->request.fields, "Referer", cases[i].after));
        exchange_end(ex);
    }
}

/* Browsers differ in the order and case of names. */
static void
strict_puts_fields_in_one_order(void)
{
    struct exchange *ex = exchange_begin();
    const struct fields *fields = &ex->request.fields;

    ask(ex, "referer", "http://www.example.com/");
    ask(ex, "cookie", "a=1");
    ask(ex, "ACCEPT", "one");
    ask(ex, "Cookie", "b=2");
    run(anonymity_default(ANONYMITY_STRICT), ex);
    CU_ASSERT_EQUAL_FATAL(fields->count, 6);
    CU_ASSERT(is_text(fields->items[0].name, "Accept"));
    CU_ASSERT(is_text(fields->items[1].name, "Cookie"));
    CU_ASSERT(is_text(fields->items[1].value, "a=1"));
    CU_ASSERT(is_text(fields->items[2].value, "b=2"));
    CU_ASSERT(is_text(fields->items[3].name, "Referer"));
    CU_ASSERT(is_text(fields->items[4].name, "Sec-GPC"));
    CU_ASSERT(is_text(fields->items[5].name, "User-Agent"));
    exchange_end(ex);
}

static void
wrong_options_are_refused(void)
{
    CU_ASSERT(is_filter_refused(ANONYMITY("cookies = \"third\";"), "no_third_party"));
    CU_ASSERT(is_filter_refused(ANONYMITY("tracking_parameters = \"utm\";"),
                                "true, false or an array of names"));
    CU_ASSERT(is_filter_refused(ANONYMITY("tracking_parameters = [ \"a=b\" ];"), "a=b"));
    CU_ASSERT(is_filter_refused(ANONYMITY("tracking_parameters = 5;"), "true, false"));
    CU_ASSERT(is_filter_refused(ANONYMITY("accept_language = \"a\\nb\";"), "accept_language: "));
    CU_ASSERT(is_filter_refused(ANONYMITY("client_hints = \"send\";"), "remove"));
    CU_ASSERT(is_filter_refused(ANONYMITY("cookie_hosts = \"a b\";"), "\"a b\" is no domain"));
    CU_ASSERT(is_filter_refused(ANONYMITY("cookie_hosts = \"a.test:80\";"), "is no domain"));
}

void
suite_anonymity(void)
{
    CU_pSuite s = CU_add_suite("anonymity", fixture_set_up, fixture_tear_down);

    CU_add_test(s, "known parameters are in order", known_parameters_are_in_order);
    CU_add_test(s, "every known parameter is stripped", every_known_parameter_is_stripped);
    CU_add_test(s, "what is left of a query is what came", what_is_left_is_byte_for_byte);
    CU_add_test(s, "signed URLs are untouched", signed_urls_are_untouched);
    CU_add_test(s, "further parameters may be named", further_parameters_may_be_named);
    CU_add_test(s, "the URL upstream is stripped, the request's stays",
                the_url_upstream_is_stripped);
    CU_add_test(s, "sites are registrable domains", sites_are_registrable_domains);
    CU_add_test(s, "third parties are known by what browsers say",
                third_parties_are_known_by_what_browsers_say);
    CU_add_test(s, "opening a page is no third party's request",
                opening_a_page_is_no_third_partys_request);
    CU_add_test(s, "cookies pass by policy", cookies_pass_by_policy);
    CU_add_test(s, "cookies lose their lifetime", cookies_lose_their_lifetime);
    CU_add_test(s, "deletions of cookies pass", deletions_of_cookies_pass);
    CU_add_test(s, "options go before the profile", options_go_before_the_profile);
    CU_add_test(s, "Referer follows the policy", referers_follow_the_policy);
    CU_add_test(s, "strict puts fields in one order", strict_puts_fields_in_one_order);
    CU_add_test(s, "wrong options are refused", wrong_options_are_refused);
}
