/* SPDX-License-Identifier: BSD-2-Clause */
/* test_policy_facts.c - what each condition is true of (server/policy/rule.h). */
#include "config.h"

#include "test/unit/policy_fixture.h"
#include "test/unit/suites.h"

#include <openssl/x509v3.h>

#include "server/policy/certificate_names.h"
#include "server/policy/text_set.h"

#define IS(when_) CU_ASSERT_EQUAL(judged_truth(&j, when_, ""), TRUTH_TRUE)
#define IS_NOT(when_) CU_ASSERT_EQUAL(judged_truth(&j, when_, ""), TRUTH_FALSE)

static void
connection(void)
{
    struct judged j;

    judged_begin(&j, "");
    IS("listener = [ \"front\", \"office\" ];");
    IS_NOT("listener = \"front\";");
    IS("mode = \"forward\";");
    IS_NOT("mode = [ \"reverse\", \"port\" ];");
    IS("client = [ \"192.0.2.0/24\", \"10.0.0.7\" ];");
    IS_NOT("client = \"10.0.0.8/29\";");
    IS_NOT("client = \"2001:db8::/32\";");
    j.facts.client.family = 0; /* by a unix socket */
    IS_NOT("client = \"any\";");
    IS_NOT("client_certificate = \"*\";");
    IS_NOT("client_certificate_issuer = \"CN=Office CA\";");
    IS("time = [ \"00:00-12:00\", \"12:00-00:00\" ]; time_zone = \"UTC\";");
    IS_NOT("time = \"2001-01-01\"; time_zone = \"UTC\";");
    judged_end(&j);
}

/* RFC 9110 section 9.3.2: HEAD is GET without content. */
static void
methods(void)
{
    struct judged j;

    judged_begin(&j, "");
    IS("method = \"GET\";");
    IS_NOT("method = [ \"POST\", \"HEAD\", \"BREW\" ];");
    j.request.method = METHOD_HEAD;
    IS("method = \"GET\";");
    IS("method = \"HEAD\";");
    j.request.method = METHOD_OTHER;
    j.request.method_name = SLICE("BREW");
    IS("method = [ \"GET\", \"BREW\" ];");
    IS_NOT("method = [ \"GET\", \"PROPFIND\" ];");
    IS_NOT("method = \"GET\";");
    judged_end(&j);
}

static void
hosts(void)
{
    struct judged j;

    judged_begin(&j, "");
    IS("host = \"WWW.Example.com.\";");
    IS("host = \"*.example.com\";");
    IS("host = \"*.com\";");
    IS("host = [ \"a.example\", \"*.example.com\", \"b.example\" ];");
    IS("host = [ \"a.example\", \"www.example.com\", \"*.org\" ];");
    IS_NOT("host = \"example.com\";");
    IS_NOT("host = \"*.www.example.com\";");
    IS_NOT("host = [ \"*.www.example.com\", \"example.com\", \"wwww.example.com\" ];");
    j.facts.host = SLICE("example.com");
    IS_NOT("host = \"*.example.com\";"); /* only what is below */
    IS_NOT("host = [ \"*.example.com\", \"*.xample.com\" ];");
    j.facts.host = SLICE("badexample.com");
    IS_NOT("host = \"*.example.com\";");
    j.facts.host = SLICE("2001:db8::1");
    IS("host = \"[2001:db8::1]\";");
    j.facts.host = SLICE("");
    IS_NOT("host = [ \"*.example.com\", \"a\" ];");
    judged_end(&j);
}

static void
paths(void)
{
    struct judged j;

    judged_begin(&j, "");
    IS("path = \"/dir/page\";");
    IS("path = \"/dir/*\";");
    IS("path = \"/d*\";");
    IS("path = \"*\";");
    IS("path = \"/./x/../%64ir//page\";"); /* the same in normal form */
    IS("path = [ \"/a\", \"/dir/pagx\", \"/dir/*\", \"/dir/pa*\" ];");
    IS_NOT("path = \"/dir\";");
    IS_NOT("path = \"/dir/page/*\";");
    IS_NOT("path = \"/DIR/*\";");
    IS_NOT("path = [ \"/a*\", \"/dir/pagf*\", \"/e*\" ];");
    IS("path_regex = \"^/d.r/[a-z]+$\";");
    IS_NOT("path_regex = \"^/d.r$\";");
    j.facts.path = SLICE("/a*b");
    IS("path = \"/a%2Ab\";");
    j.facts.path = SLICE(""); /* CONNECT */
    IS_NOT("path = \"*\";");
    IS_NOT("path_regex = \"\";");
    judged_end(&j);
}

static void
urls(void)
{
    struct judged j;

    judged_begin(&j, "");
    IS("scheme = \"http\";");
    IS_NOT("scheme = \"https\";");
    IS("port = [ 443, \"80-81\" ];");
    IS_NOT("port = [ 443, \"81-90\" ];");
    IS("url_regex = \"^http://www\\\\.example\\\\.com/dir/page\\\\?x=1$\";");
    j.facts.port = 8080;
    j.facts.query = slice_make(NULL, 0);
    IS("url_regex = \"^http://www\\\\.example\\\\.com:8080/dir/page$\";");
    j.facts.host = SLICE("2001:db8::1");
    IS("url_regex = \"^http://\\\\[2001:db8::1\\\\]:8080/\";");
    j.request.method = METHOD_CONNECT;
    j.request.scheme = j.facts.path = SLICE("");
    j.facts.port = 443;
    IS("url_regex = \"^\\\\[2001:db8::1\\\\]:443$\";");
    judged_end(&j);
}

static void
headers(void)
{
    struct judged j;

    judged_begin(&j, "");
    IS_NOT("header = \"X-Thing\";");
    IS_NOT("header = \"User-Agent\";");
    fields_add(&j.request.fields, &j.arena, FIELD_ACCEPT, SLICE("text/html"));
    fields_add(&j.request.fields, &j.arena, FIELD_ACCEPT, SLICE("image/png"));
    fields_add_name(&j.request.fields, &j.arena, SLICE("x-thing"), SLICE(""));
    fields_add_name(&j.request.fields, &j.arena, SLICE("X-Thing"), SLICE("one"));
    IS("header = \"X-Thing\";");
    IS_NOT("header = \"X-Things\";");
    IS("header = { name = \"X-THING\"; value = \"one\"; };");
    IS("header = ( { name = \"accept\"; value = \"image/png\"; } );"); /* of any line */
    IS("header = ( { name = \"X-Thing\"; regex = \"^o\"; } );");
    IS("header = ( { name = \"X-Thing\"; value = \"\"; } );");
    IS("header = ( \"X-None\", { name = \"X-Thing\"; value = \"one\"; } );");
    IS_NOT("header = ( { name = \"X-Thing\"; value = \"One\"; } );");
    IS_NOT("header = ( { name = \"X-Thing\"; value = \"on\"; } );");
    judged_end(&j);
}

/* RFC 6265 section 5.4, and several lines as HTTP/2 may have: RFC 9113 section 8.2.3. */
static void
cookies(void)
{
    struct judged j;

    judged_begin(&j, "");
    IS_NOT("cookie = \"a\";");
    fields_add(&j.request.fields, &j.arena, FIELD_COOKIE, SLICE("a=1;  b=x=y ;;flag; c=\"q\""));
    fields_add(&j.request.fields, &j.arena, FIELD_COOKIE, SLICE("a=2"));
    IS("cookie = \"a\";");
    IS("cookie = \"flag\";");
    IS_NOT("cookie = \"A\";");
    IS("cookie = { name = \"a\"; value = \"1\"; };");
    IS("cookie = { name = \"a\"; value = \"2\"; };");
    IS("cookie = { name = \"b\"; value = \"x=y\"; };");
    IS("cookie = { name = \"c\"; regex = \"^.q\"; };");
    IS_NOT("cookie = { name = \"a\"; value = \"12\"; };");
    IS_NOT("cookie = \"x\";");
    judged_end(&j);
}

static void
query_parameters(void)
{
    struct judged j;

    judged_begin(&j, "");
    IS("query = \"x\";");
    IS("query = { name = \"x\"; value = \"1\"; };");
    IS_NOT("query = { name = \"x\"; value = \"\"; };");
    j.facts.query = SLICE("%69d=a%20b+c&flag&&=z&x=%zz&d%bug=1&e=%");
    IS("query = { name = \"id\"; value = \"a b c\"; };");
    IS("query = \"flag\";");
    IS("query = { name = \"flag\"; value = \"\"; };");
    IS("query = { name = \"x\"; value = \"%zz\"; };"); /* no escape: as it is */
    IS("query = { name = \"e\"; regex = \"^%$\"; };");
    IS("query = \"d%bug\";");
    IS_NOT("query = \"ID\";");
    IS_NOT("query = \"z\";");
    j.facts.query = slice_make(NULL, 0);
    IS_NOT("query = \"x\";");
    judged_end(&j);
}

static void
users(void)
{
    struct judged j;

    judged_begin(&j, "");
    judged_learn(&j, STAGE_USER);
    IS_NOT("user = \"*\";");
    IS_NOT("user_group = \"sales\";");
    judged_log_in(&j, "alice", "sales");
    IS("user = \"*\";");
    IS("user = [ \"bob\", \"alice\" ];");
    IS_NOT("user = [ \"bob\", \"Alice\" ];");
    IS("user_group = [ \"audit\", \"sales\" ];");
    IS_NOT("user_group = \"sale\";");
    judged_end(&j);
}

static void
destinations(void)
{
    struct judged j;

    judged_begin(&j, "");
    judged_learn(&j, STAGE_DESTINATION);
    IS_NOT("destination = \"any\";"); /* the cache answers */
    CU_ASSERT_FATAL(ip_parse(SLICE("2001:db8::9"), &j.facts.destination));
    IS("destination = [ \"10.0.0.0/8\", \"2001:db8::/64\" ];");
    IS_NOT("destination = \"10.0.0.0/8\";");
    judged_end(&j);
}

/* Of a tunnel; or else of the client's own connection. */
static void
server_names(void)
{
    struct judged j;

    judged_begin(&j, "");
    j.request.method = METHOD_CONNECT;
    j.facts.to_come |= STAGE_BIT(STAGE_SNI);
    CU_ASSERT_EQUAL(judged_truth(&j, "sni = \"a.example\";", ""), TRUTH_UNKNOWN);
    CU_ASSERT_EQUAL(judged_truth(&j, "sni_differs = true;", ""), TRUTH_UNKNOWN);
    judged_learn(&j, STAGE_SNI);
    IS("sni = \"\";");
    IS("sni = [ \"a.example\", \"\" ];");
    IS_NOT("sni = \"a.example\";");
    IS_NOT("sni_differs = true;");
    IS_NOT("sni_differs = false;");
    j.facts.tunnel_name = SLICE("www.example.com");
    IS_NOT("sni = \"\";");
    IS("sni = \"*.example.com\";");
    IS_NOT("sni_differs = true;");
    IS("sni_differs = false;");
    j.facts.tunnel_name = SLICE("evil.example");
    IS("sni_differs = true;");
    IS_NOT("sni_differs = false;");
    j.request.method = METHOD_GET; /* in no tunnel */
    IS_NOT("sni = \"\";");
    IS_NOT("sni = \"evil.example\";");
    IS_NOT("sni_differs = true;");
    j.facts.server_name = SLICE("site.example");
    IS("sni = \"site.example\";");
    judged_end(&j);
}

static void
responses(void)
{
    struct judged j;

    judged_begin(&j, "");
    CU_ASSERT_EQUAL(judged_truth(&j, "status = 404;", ""), TRUTH_UNKNOWN);
    judged_respond(&j, 404, "Text/HTML; charset=utf-8");
    IS("status = 404;");
    IS("status = [ \"500-599\", \"400-404\" ];");
    IS_NOT("status = [ 200, \"405-599\" ];");
    IS("content_type = \"text/html\";");
    IS("content_type = [ \"image/*\", \"TEXT/*\" ];");
    IS("content_type = \"*/*\";");
    IS_NOT("content_type = [ \"image/*\", \"text/htm\" ];");
    fields_remove(&j.response.fields, FIELD_CONTENT_TYPE);
    IS_NOT("content_type = \"*/*\";");
    j.response.has_body = true;
    j.response.length = 1001;
    IS("longer_than = 1000;");
    j.response.length = 1000;
    IS_NOT("longer_than = 1000;");
    j.response.length = LENGTH_UNKNOWN;
    IS_NOT("longer_than = 1000;");
    j.response.has_body = false; /* HEAD */
    fields_add(&j.response.fields, &j.arena, FIELD_CONTENT_LENGTH, SLICE("5000"));
    IS("longer_than = 1000;");
    j.response.status = 999;
    IS_NOT("status = \"100-599\";");
    judged_end(&j);
}

static void
lists(void)
{
    const char *lists =
        "lists = ( { name = \"ads\"; kind = \"domains\"; items = \"example.com\"; },"
        " { name = \"nets\"; kind = \"networks\"; items = \"10.0.0.0/8\"; },"
        " { name = \"urls\"; kind = \"urls\"; items = \"www.example.com/dir\"; },"
        " { name = \"none\"; kind = \"domains\"; items = \"x.example\"; } );";
    struct judged j;

    judged_begin(&j, "");
    CU_ASSERT_EQUAL(judged_truth(&j, "host_in = \"ads\";", lists), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "host_in = [ \"none\", \"ads\" ];", lists), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "host_in = \"none\";", lists), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "client_in = \"nets\";", lists), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "url_in = \"urls\";", lists), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "destination_in = \"nets\";", lists), TRUTH_UNKNOWN);
    j.facts.host = SLICE("example.org");
    CU_ASSERT_EQUAL(judged_truth(&j, "host_in = \"ads\";", lists), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "url_in = \"urls\";", lists), TRUTH_FALSE);
    j.facts.client.bytes[0] = 11;
    CU_ASSERT_EQUAL(judged_truth(&j, "client_in = \"nets\";", lists), TRUTH_FALSE);
    judged_end(&j);
}

/* ---- certificates */

static void
add_entry(X509_NAME *name, const char *field, const char *value)
{
    CU_ASSERT_EQUAL_FATAL(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                                     (const unsigned char *)value, -1, -1, 0), 1);
}

static void
add_alternative(GENERAL_NAMES *names, int type, const char *value, int bytes)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *text = type == GEN_IPADD ? (ASN1_STRING *)ASN1_OCTET_STRING_new()
                                          : (ASN1_STRING *)ASN1_IA5STRING_new();

    CU_ASSERT_EQUAL_FATAL(ASN1_STRING_set(text, value, bytes), 1);
    GENERAL_NAME_set0_value(name, type, text);
    CU_ASSERT_FATAL(sk_GENERAL_NAME_push(names, name) > 0);
}

/* A name with a comma in it must not pass for two (RFC 5280 section 4.2.1.6). */
static void
names_in_certificates_are_taken_one_by_one(void)
{
    const struct certificate_names *names;
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    X509 *certificate = X509_new();
    X509_NAME *issuer = X509_NAME_new();
    struct arena arena;

    arena_init(&arena, NULL, 1 << 20);
    add_entry(X509_get_subject_name(certificate), "O", "Example");
    add_entry(X509_get_subject_name(certificate), "CN", "alice, DNS:admin.example");
    add_entry(issuer, "O", "Example");
    add_entry(issuer, "CN", "Office CA");
    X509_set_issuer_name(certificate, issuer);
    add_alternative(all, GEN_DNS, "a.example, DNS:root.example", 27);
    add_alternative(all, GEN_EMAIL, "alice@a.example", 15);
    add_alternative(all, GEN_IPADD, "\x0a\x00\x00\x07", 4);
    CU_ASSERT_EQUAL_FATAL(X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0, 0), 1);
    names = certificate_names_read(certificate, &arena);
    CU_ASSERT_PTR_NOT_NULL_FATAL(names);
    CU_ASSERT_EQUAL_FATAL(names->count, 4);
    CU_ASSERT(slice_equal(names->names[0], SLICE("alice, DNS:admin.example")));
    CU_ASSERT(slice_equal(names->names[1], SLICE("a.example, DNS:root.example")));
    CU_ASSERT(slice_equal(names->names[2], SLICE("alice@a.example")));
    CU_ASSERT(slice_equal(names->names[3], SLICE("10.0.0.7")));
    CU_ASSERT(slice_equal(names->issuer, SLICE("CN=Office CA,O=Example")));
    GENERAL_NAMES_free(all);
    X509_NAME_free(issuer);
    X509_free(certificate);
    arena_fini(&arena);
}

/* ---- sets of texts, compared with a plain search */

static bool
search(const struct text_pattern *patterns, size_t count, bool from_end, struct slice text)
{
    for (size_t i = 0; i < count; i++) {
        struct slice one = patterns[i].text, part = text;

        if (patterns[i].is_open && text.bytes < one.bytes)
            continue;
        if (patterns[i].is_open && from_end)
            part = slice_skip(text, text.bytes - one.bytes);
        else if (patterns[i].is_open)
            part.bytes = one.bytes;
        if (slice_equal(part, one))
            return true;
    }
    return false;
}

static void
text_sets_find_what_a_plain_search_finds(void)
{
    char room[64][8];
    struct text_pattern patterns[64];
    uint64_t state = 42;
    struct arena arena;

    arena_init(&arena, NULL, 1 << 24);
    for (unsigned round = 0; round < 2000; round++) {
        size_t count = round % 64;
        struct text_set *set;

        for (size_t i = 0; i < 64; i++) {
            for (size_t k = 0; k < 8; k++) {
                state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
                room[i][k] = (char)("ab\xff"[state >> 33 & 1 ? 0 : (state >> 40) % 3]);
            }
            patterns[i].text = slice_make(room[i], (state >> 50) % 9);
            patterns[i].is_open = (state >> 60 & 3) == 0;
        }
        set = text_set_new(&arena, patterns, count, round % 2 == 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(set);
        for (size_t i = 0; i < 64; i++) {
            bool expected = search(patterns, count, round % 2 == 1, patterns[i].text);

            CU_ASSERT_EQUAL(text_set_has(set, patterns[i].text), expected);
            CU_ASSERT(text_set_may_have(set, patterns[i].text) || !expected);
        }
    }
    arena_fini(&arena);
}

void
suite_policy_facts(void)
{
    CU_pSuite s = CU_add_suite("policy_facts", NULL, NULL);

    CU_add_test(s, "conditions about the connection", connection);
    CU_add_test(s, "methods, GET with HEAD", methods);
    CU_add_test(s, "hosts and what is below them", hosts);
    CU_add_test(s, "paths in normal form, whole and by their beginnings", paths);
    CU_add_test(s, "schemes, ports and URLs", urls);
    CU_add_test(s, "header fields by any of their lines", headers);
    CU_add_test(s, "cookies", cookies);
    CU_add_test(s, "query parameters without their escapes", query_parameters);
    CU_add_test(s, "users and groups", users);
    CU_add_test(s, "destinations", destinations);
    CU_add_test(s, "the name that TLS asks for", server_names);
    CU_add_test(s, "responses", responses);
    CU_add_test(s, "lists", lists);
    CU_add_test(s, "names in certificates are taken one by one",
                names_in_certificates_are_taken_one_by_one);
    CU_add_test(s, "text sets find what a plain search finds",
                text_sets_find_what_a_plain_search_finds);
}
