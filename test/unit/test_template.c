/* SPDX-License-Identifier: BSD-2-Clause */
/* test_template.c - values with variables, and sets of field names. */
#include "config.h"

#include "filters/template.h"

#include "filters/field_set.h"
#include "test/unit/filter_fixture.h"

void suite_template(void);

/* ---- templates */

static bool
gives(struct exchange *ex, const char *text, const char *expected)
{
    struct err err = { "" };
    const struct template *template = template_new(&conf_arena, slice_of(text), &err);

    return template != NULL && is_text(template_text(template, ex), expected);
}

static bool
is_refused(const char *text, const char *why)
{
    struct err err = { "" };

    return template_new(&conf_arena, slice_of(text), &err) == NULL && strstr(err.text, why) != NULL;
}

static void
has_every_variable(void)
{
    struct site_conf site = { .name = "shop" };
    struct route_conf route = { .name = "api" };
    struct exchange *ex = exchange_begin();

    CU_ASSERT(gives(ex, "%{client_ip}", "192.0.2.7"));
    CU_ASSERT(gives(ex, "%{host}|%{authority}", "www.example.com|www.example.com"));
    CU_ASSERT(gives(ex, "%{scheme} %{method} %{target}", "http GET /a/b?c=d"));
    CU_ASSERT(gives(ex, "%{path}+%{query}", "/a/b+c=d"));
    CU_ASSERT(gives(ex, "<%{id}>", "<0000000000000abc>"));
    CU_ASSERT(gives(ex, "%{listener}/%{site}/%{route}", "web//"));
    ex->site = &site;
    ex->route = &route;
    CU_ASSERT(gives(ex, "%{listener}/%{site}/%{route}", "web/shop/api"));
    for (size_t i = 0; template_name(i) != NULL; i++) {
        struct slice text = arena_printf(&conf_arena, "%%{%s}", template_name(i));
        struct err err;

        CU_ASSERT_PTR_NOT_NULL(template_new(&conf_arena, text, &err));
    }
    exchange_end(ex);
}

static void
puts_ipv6_hosts_in_brackets(void)
{
    struct exchange *ex = exchange_begin();

    ex->request.host = SLICE("2001:db8::1");
    CU_ASSERT(gives(ex, "https://%{host}%{target}", "https://[2001:db8::1]/a/b?c=d"));
    exchange_end(ex);
}

static void
leaves_out_a_query_that_is_not_there(void)
{
    struct exchange *ex = exchange_begin();

    ex->request.query = slice_make(NULL, 0);
    CU_ASSERT(gives(ex, "%{target}|%{query}", "/a/b|"));
    ex->request.query = slice_make("", 0);
    CU_ASSERT(gives(ex, "%{target}|%{query}", "/a/b?|"));
    ex->request.method = METHOD_CONNECT;
    ex->request.query = slice_make(NULL, 0);
    CU_ASSERT(gives(ex, "%{target}|", "|"));
    exchange_end(ex);
}

static void
reads_percent_signs(void)
{
    struct exchange *ex = exchange_begin();

    CU_ASSERT(gives(ex, "", ""));
    CU_ASSERT(gives(ex, "%", "%"));
    CU_ASSERT(gives(ex, "100%", "100%"));
    CU_ASSERT(gives(ex, "100%%", "100%"));
    CU_ASSERT(gives(ex, "a%20b", "a%20b"));
    CU_ASSERT(gives(ex, "%%{host}", "%{host}"));
    CU_ASSERT(gives(ex, "%%%{method}%%", "%GET%"));
    CU_ASSERT(gives(ex, "%%%%%", "%%%"));
    exchange_end(ex);
}

/* The stored text is used as it is: nothing of the exchange's memory. */
static void
copies_nothing_without_variables(void)
{
    struct err err;
    struct exchange *ex = exchange_begin();
    const struct template *template = template_new(&conf_arena, SLICE("DE%%NY"), &err);
    struct slice first = template_text(template, ex);

    CU_ASSERT(is_text(first, "DE%NY"));
    CU_ASSERT_PTR_EQUAL(first.data, template_text(template, ex).data);
    CU_ASSERT_PTR_NULL(ex->arena.blocks);
    exchange_end(ex);
}

static void
refuses_what_is_wrong(void)
{
    char text[5000];

    CU_ASSERT(is_refused("%{hots}", "unknown name %{hots}; did you mean \"host\"?"));
    CU_ASSERT(is_refused("%{}", "unknown name %{}"));
    CU_ASSERT(is_refused("x %{host", "not closed"));
    CU_ASSERT(is_refused("%{", "not closed"));
    CU_ASSERT(is_refused("a\r\nb", "control character \\x0D"));
    CU_ASSERT(is_refused("a\nb: c", "control character \\x0A"));
    CU_ASSERT(is_refused("a\x7f", "control character \\x7F"));
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    CU_ASSERT(is_refused(text, "longer than 4096 bytes"));
    for (size_t i = 0; i < 33 * 7; i++)
        text[i] = "%{path}"[i % 7];
    text[33 * 7] = '\0';
    CU_ASSERT(is_refused(text, "more than 32"));
}

static void
has_no_data_when_memory_is_spent(void)
{
    struct err err;
    struct exchange *ex = exchange_begin();
    const struct template *template = template_new(&conf_arena, SLICE("%{target}"), &err);

    ex->arena.left_bytes = 0;
    CU_ASSERT_PTR_NULL(template_text(template, ex).data);
    CU_ASSERT(arena_is_spent(&ex->arena));
    exchange_end(ex);
}

/* On the way to a site X-Forwarded-Proto is a trusted proxy's word. */
static void
knows_the_scheme_as_the_client_does(void)
{
    struct site_conf site = { .name = "shop" };
    struct exchange *ex = exchange_begin();

    ask(ex, "X-Forwarded-Proto", "https");
    CU_ASSERT(gives(ex, "%{scheme}", "http"));
    ex->site = &site;
    CU_ASSERT(gives(ex, "%{scheme}", "https"));
    fields_set(&ex->request.fields, &ex->arena, FIELD_X_FORWARDED_PROTO, SLICE("javascript"));
    CU_ASSERT(gives(ex, "%{scheme}", "http"));
    fixture_client.is_tls = true;
    CU_ASSERT(gives(ex, "%{scheme}", "https"));
    exchange_end(ex);
}

/* ---- sets of names */

static int
add_to(struct field_set *set, const char *pattern, struct err *err)
{
    struct slice item = slice_of(pattern);
    struct strings patterns = { &item, 1 };

    return field_set_add(set, &patterns, &conf_arena, err);
}

static bool
has_name(const struct field_set *set, const char *name)
{
    struct field field = { .name = slice_of(name), .id = field_id_of(slice_of(name)) };

    return field_set_has(set, &field);
}

static void
finds_names_and_beginnings(void)
{
    struct field_set set = { .count = 0 };
    struct err err;

    CU_ASSERT_EQUAL(add_to(&set, "X-Team", &err), 0);
    CU_ASSERT_EQUAL(add_to(&set, "x-forwarded*", &err), 0);
    CU_ASSERT_EQUAL(add_to(&set, " etag ", &err), 0);
    CU_ASSERT(has_name(&set, "x-team") && has_name(&set, "ETag"));
    CU_ASSERT(has_name(&set, "X-Forwarded-For") && has_name(&set, "X-Forwarded"));
    CU_ASSERT(has_name(&set, "X-FORWARDED-Unheard-Of"));
    CU_ASSERT(!has_name(&set, "X-Teams") && !has_name(&set, "X-Tea"));
    CU_ASSERT(!has_name(&set, "X-Forward") && !has_name(&set, "Accept") && !has_name(&set, "X"));
}

/* Whatever the order they are written in, and however they overlap. */
static void
finds_what_any_pattern_covers(void)
{
    static const char *const patterns[] = { "q", "x-ab*", "X-AC", "X-A*", "x-b", "X-B-C", "X-B-C*",
                                            "zz", "x-ad", "X-b", "a-*", "A" };
    static const char *const in[] = { "X-Ab", "X-A", "x-ac", "X-Acc", "X-B", "X-B-C", "X-B-CD",
                                      "ZZ", "Q", "A", "a-", "A-b" };
    static const char *const out[] = { "X-", "X-BB", "X-B-", "X-B-D", "Z", "ZZZ", "Qq", "B", "0" };

    for (size_t shift = 0; shift < ARRAY_COUNT(patterns); shift++) {
        struct field_set set = { .count = 0 };
        struct err err;

        for (size_t i = 0; i < ARRAY_COUNT(patterns); i++)
            CU_ASSERT_EQUAL(add_to(&set, patterns[(i + shift) % ARRAY_COUNT(patterns)], &err), 0);
        CU_ASSERT(field_set_is_sound(&set));
        for (size_t i = 0; i < ARRAY_COUNT(in); i++)
            CU_ASSERT(has_name(&set, in[i]));
        for (size_t i = 0; i < ARRAY_COUNT(out); i++)
            CU_ASSERT(!has_name(&set, out[i]));
    }
}

/* "*" is everything but what frames the message or belongs to a connection. */
static void
never_has_framing(void)
{
    struct field_set set = { .count = 0 };
    struct err err;

    CU_ASSERT_EQUAL(add_to(&set, "*", &err), 0);
    CU_ASSERT(has_name(&set, "Accept") && has_name(&set, "X-Any") && has_name(&set, "Z"));
    CU_ASSERT(!has_name(&set, "Content-Length") && !has_name(&set, "Transfer-Encoding"));
    CU_ASSERT(!has_name(&set, "Host") && !has_name(&set, "Connection") &&
              !has_name(&set, "Upgrade") && !has_name(&set, "Expect") && !has_name(&set, "TE"));
}

static void
refuses_what_no_field_is_called(void)
{
    static const char *const bad[] = { "",     "X Y",    "X-Ä",        "X:Y",  "X-*-Y", "*X",
                                       "X-**", "X\r\nY", "Connection", "Host", "te",    "X(*" };
    struct field_set set = { .count = 0 };
    struct err err;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_EQUAL(add_to(&set, bad[i], &err), -1);
    CU_ASSERT_EQUAL(set.count, 0);
}

static void
removes_lines_in_the_set_only(void)
{
    struct exchange *ex = exchange_begin();
    struct field_set set = { .count = 0 };
    struct err err;

    CU_ASSERT_EQUAL(add_to(&set, "X-*", &err), 0);
    ask(ex, "A", "1");
    CU_ASSERT_EQUAL(field_set_remove(&set, &ex->request.fields), 0);
    ask(ex, "X-A", "2");
    ask(ex, "Accept", "3");
    ask(ex, "X-Real-IP", "4");
    CU_ASSERT_EQUAL(field_set_remove(&set, &ex->request.fields), 2);
    CU_ASSERT_EQUAL(ex->request.fields.count, 2);
    CU_ASSERT(is_field(&ex->request.fields, "A", "1"));
    CU_ASSERT(is_field(&ex->request.fields, "Accept", "3"));
    CU_ASSERT(!fields_has(&ex->request.fields, FIELD_X_REAL_IP));
    exchange_end(ex);
}

void
suite_template(void)
{
    CU_pSuite s = CU_add_suite("template", fixture_set_up, fixture_tear_down);

    CU_add_test(s, "every variable has its value", has_every_variable);
    CU_add_test(s, "IPv6 hosts are in brackets", puts_ipv6_hosts_in_brackets);
    CU_add_test(s, "a query that is absent leaves no mark", leaves_out_a_query_that_is_not_there);
    CU_add_test(s, "percent signs need not be doubled, but may", reads_percent_signs);
    CU_add_test(s, "without variables nothing is copied", copies_nothing_without_variables);
    CU_add_test(s, "mistakes are found when it is compiled", refuses_what_is_wrong);
    CU_add_test(s, "spent memory gives no value", has_no_data_when_memory_is_spent);
    CU_add_test(s, "the scheme is the one the client sees", knows_the_scheme_as_the_client_does);
    CU_add_test(s, "a set has names and beginnings, in any case", finds_names_and_beginnings);
    CU_add_test(s, "a set has what any of its patterns covers", finds_what_any_pattern_covers);
    CU_add_test(s, "no set has framing", never_has_framing);
    CU_add_test(s, "names that cannot be are refused", refuses_what_no_field_is_called);
    CU_add_test(s, "only what is in the set is removed", removes_lines_in_the_set_only);
}
