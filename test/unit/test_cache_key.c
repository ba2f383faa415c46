/* SPDX-License-Identifier: BSD-2-Clause */
/* test_cache_key.c - two requests share a key only if the rules say so. */
#include "config.h"

#include "cache/cache_key.h"

#include "test/unit/field_fixture.h"

#include <stdlib.h>

void suite_cache_key(void);

static struct arena arena;
static const struct key_conf no_rules;

static int
begin(void)
{
    arena_init(&arena, NULL, 256 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

static struct key_parts
parts_of(const char *url)
{
    return (struct key_parts){ SLICE("shop"), SLICE("https"), SLICE("a.example"), 443,
                               slice_of(url), NULL };
}

static struct slice
make(const struct key_conf *conf, struct key_parts parts)
{
    struct slice key = cache_key_make(&arena, conf, &parts);

    CU_ASSERT_PTR_NOT_NULL_FATAL(key.data);
    return key;
}

/* NULs are written as '|'. */
static void
expect_key(const struct key_conf *conf, struct key_parts parts, const char *expected)
{
    struct slice key = arena_copy(&arena, make(conf, parts));
    char *data = (char *)(uintptr_t)key.data;

    for (size_t i = 0; i < key.bytes; i++)
        if (data[i] == '\0')
            data[i] = '|';
    expect_slice(key, expected);
}

/* RFC 9111 section 2: at the least, method (GET here) and target URI; here the
 * source too. Section 4.2.3 of RFC 9110: the default port is as good as none. */
static void
source_scheme_authority_and_url(void)
{
    struct key_parts parts = parts_of("/a/%7Eb/../c//d?x=%20&y");

    expect_key(&no_rules, parts, "shop|https://a.example/a/%7Eb/../c//d?x=%20&y");
    parts.port = 8443;
    expect_key(&no_rules, parts, "shop|https://a.example:8443/a/%7Eb/../c//d?x=%20&y");
    parts = parts_of("/");
    parts.scheme = SLICE("http");
    expect_key(&no_rules, parts, "shop|http://a.example:443/");
    parts.port = 80;
    expect_key(&no_rules, parts, "shop|http://a.example/");
    parts.port = 65535;
    expect_key(&no_rules, parts, "shop|http://a.example:65535/");
    parts.host = SLICE("2001:db8::1");
    expect_key(&no_rules, parts, "shop|http://[2001:db8::1]:65535/");
    parts.source = SLICE("internet via 192.0.2.1");
    expect_key(&no_rules, parts, "internet via 192.0.2.1|http://[2001:db8::1]:65535/");
}

static void
tells_its_parts(void)
{
    struct slice headers[] = { SLICE_INIT("x-a") };
    struct key_conf conf = { .headers = headers, .header_count = 1 };
    struct slice key = make(&conf, parts_of("/p?q"));

    expect_slice(cache_key_source(key), "shop");
    expect_slice(cache_key_url(key), "https://a.example/p?q");
    expect_slice(cache_key_url(make(&no_rules, parts_of("/p?q"))), "https://a.example/p?q");
    expect_slice(cache_key_source(SLICE("")), "");
    expect_slice(cache_key_source(SLICE("\0u\0q")), "");
    expect_slice(cache_key_url(SLICE("\0u\0q")), "u");
    CU_ASSERT_EQUAL(cache_key_url(SLICE("none")).bytes, 0);
}

static void
patterns_match_whole_texts(void)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        { "", "", true },           { "", "a", false },          { "*", "", true },
        { "*", "abc", true },       { "a", "a", true },          { "a", "A", false },
        { "utm_*", "utm_", true },  { "utm_*", "utm_x", true },  { "utm_*", "xutm_x", false },
        { "utm_*", "utm", false },  { "*id", "gclid", true },    { "*id", "idx", false },
        { "a*b*c", "abc", true },   { "a*b*c", "axbxbxc", true }, { "a*b*c", "axcxb", false },
        { "**", "x", true },        { "a*", "ba", false },        { "*aab", "aaaaab", true },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        CU_ASSERT_EQUAL(cache_key_matches(slice_of(cases[i].pattern), slice_of(cases[i].text)),
                        cases[i].matches);
}

static void
parameters_may_not_count(void)
{
    struct slice ignored[] = { SLICE_INIT("utm_*"), SLICE_INIT("gclid") };
    struct key_conf conf = { .ignored = ignored, .ignored_count = 2 };

    expect_key(&conf, parts_of("/?utm_a=1&b=2&utm_c"), "shop|https://a.example/?b=2|q");
    expect_key(&conf, parts_of("/?b=2&gclid=x"), "shop|https://a.example/?b=2|q");
    expect_key(&conf, parts_of("/?gclid=x"), "shop|https://a.example/|q");
    expect_key(&conf, parts_of("/?"), "shop|https://a.example/?|q");
    expect_key(&conf, parts_of("/"), "shop|https://a.example/|q");
    expect_key(&conf, parts_of("/?b=1&&b=2&"), "shop|https://a.example/?b=1&&b=2&|q");
    expect_key(&conf, parts_of("/utm_a=1?c=?utm_x"), "shop|https://a.example/utm_a=1?c=?utm_x|q");
}

static void
only_some_parameters_may_count(void)
{
    struct slice only[] = { SLICE_INIT("id"), SLICE_INIT("page*") };
    struct slice ignored[] = { SLICE_INIT("pagex") };
    struct key_conf conf = { .only = only, .only_count = 2, .ignored = ignored,
                             .ignored_count = 1 };

    expect_key(&conf, parts_of("/?x=1&id=2&pages=3&ids=4&pagex"),
               "shop|https://a.example/?id=2&pages=3|q");
    expect_key(&conf, parts_of("/?ID=2"), "shop|https://a.example/|q");
    conf = (struct key_conf){ .ignores_query = true };
    expect_key(&conf, parts_of("/a?id=2"), "shop|https://a.example/a|q");
}

static void
parameters_may_come_in_any_order(void)
{
    struct key_conf conf = { .sorts_query = true };

    expect_key(&conf, parts_of("/?b=1&a=2"), "shop|https://a.example/?a=2&b=1|q");
    expect_key(&conf, parts_of("/?ab&a&=&"), "shop|https://a.example/?=&&a&ab|q");
    /* A list under one name keeps its order. */
    expect_key(&conf, parts_of("/?b=2&a=9&b=1"), "shop|https://a.example/?a=9&b=2&b=1|q");
}

static void
too_many_parameters_keep_their_order(void)
{
    struct key_conf conf = { .sorts_query = true };
    char url[512] = "/?b", other[512] = "/?a";

    for (unsigned i = 0; i < 80; i++) {
        strcat(url, "&a");
        strcat(other, i < 79 ? "&a" : "&b");
    }
    CU_ASSERT_FALSE(slice_equal(make(&conf, parts_of(url)), make(&conf, parts_of(other))));
    url[3 + 2 * 63] = other[3 + 2 * 63] = '\0';
    strcpy(other + 1 + 2 * 63, "&b");
    CU_ASSERT_TRUE(slice_equal(make(&conf, parts_of(url)), make(&conf, parts_of(other))));
}

/* What one site takes for the same page, another may not. */
static void
other_query_rules_have_other_keys(void)
{
    struct key_conf a = { .ignores_query = true, .rules = SLICE_INIT("a") };
    struct key_conf b = { .sorts_query = true, .rules = SLICE_INIT("b") };

    expect_key(&a, parts_of("/?x"), "shop|https://a.example/|qa");
    expect_key(&b, parts_of("/"), "shop|https://a.example/|qb");
    expect_key(&no_rules, parts_of("/"), "shop|https://a.example/");
}

static void
fields_may_count(void)
{
    struct slice headers[] = { SLICE_INIT("x-country"), SLICE_INIT("accept") };
    struct key_conf conf = { .headers = headers, .header_count = 2 };
    struct key_parts parts = parts_of("/");

    expect_key(&conf, parts, "shop|https://a.example/|hx-country|haccept");
    parts.request = fields_of(&arena, "X-Country: de\nAccept: a\nX-COUNTRY: fr\nOther: x");
    expect_key(&conf, parts, "shop|https://a.example/|hx-country=de\nfr|haccept=a");
    parts.request = fields_of(&arena, "X-Country:\nAccept: b");
    expect_key(&conf, parts, "shop|https://a.example/|hx-country=|haccept=b");
}

static void
the_device_may_count(void)
{
    static const struct {
        const char *fields, *device;
    } cases[] = {
        { "", "desktop" },
        { "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0", "desktop" },
        { "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) Mobile/15E148", "phone" },
        { "User-Agent: Mozilla/5.0 (iPad; CPU OS 16_0) Mobile/15E148", "tablet" },
        { "User-Agent: Mozilla/5.0 (Linux; Android 13; Pixel 7) Chrome/116 Mobile", "phone" },
        { "User-Agent: Mozilla/5.0 (Linux; Android 13; SM-X710) Chrome/116 Safari", "tablet" },
        { "User-Agent: Mozilla/5.0 (Linux; Android 6; Nexus 5X) Mobile (compatible; Googlebot/2.1)",
          "bot" },
        { "Sec-CH-UA-Mobile: ?1", "phone" },
        { "Sec-CH-UA-Mobile: ?0\nUser-Agent: Android", "tablet" },
    };
    struct key_conf conf = { .adds_device = true };
    struct key_parts parts = parts_of("/");

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        expect_slice(cache_key_device(fields_of(&arena, cases[i].fields)), cases[i].device);
    parts.request = fields_of(&arena, "Sec-CH-UA-Mobile: ?1");
    expect_key(&conf, parts, "shop|https://a.example/|dphone");
}

static void
a_spent_arena_gives_no_key(void)
{
    struct key_parts parts = parts_of("/");
    struct arena small;

    arena_init(&small, NULL, 8);
    CU_ASSERT_PTR_NULL(cache_key_make(&small, &no_rules, &parts).data);
    CU_ASSERT_TRUE(arena_is_spent(&small));
    arena_fini(&small);
}

/* ---- property: without query rules, keys are equal only for equal requests */

struct sample {
    struct key_parts parts;
    const char *header;
};

static struct sample
random_sample(unsigned *seed)
{
    static const char *const sources[] = { "a", "ab", "internet" };
    static const char *const hosts[] = { "a", "a.b", "1::2", "::1", "80" };
    static const char *const urls[] = { "/", "/a", "/a?", "/?a", "//a", "/:80", "*", "/a=\n",
                                        "/%00", "/%2e", "/." };
    static const char *const headers[] = { "", "h:", "h: x", "h: x\nh: y", "h: x,y", "h: =x",
                                           "h: x\nh:", "h:\nh: x" };
    struct sample sample = { .header = headers[rand_r(seed) % ARRAY_COUNT(headers)] };

    sample.parts = (struct key_parts){
        .source = slice_of(sources[rand_r(seed) % ARRAY_COUNT(sources)]),
        .scheme = rand_r(seed) % 2 ? SLICE("http") : SLICE("https"),
        .host = slice_of(hosts[rand_r(seed) % ARRAY_COUNT(hosts)]),
        .port = (uint16_t)(rand_r(seed) % 2 ? 80 : 443),
        .url = slice_of(urls[rand_r(seed) % ARRAY_COUNT(urls)]),
        .request = fields_of(&arena, sample.header),
    };
    return sample;
}

static bool
is_same_sample(const struct sample *a, const struct sample *b)
{
    return slice_equal(a->parts.source, b->parts.source) &&
           slice_equal(a->parts.scheme, b->parts.scheme) &&
           slice_equal(a->parts.host, b->parts.host) && a->parts.port == b->parts.port &&
           slice_equal(a->parts.url, b->parts.url) && strcmp(a->header, b->header) == 0;
}

/* RFC 9111 section 2. */
static void
different_requests_have_different_keys(void)
{
    struct slice headers[] = { SLICE_INIT("h") };
    struct key_conf conf = { .headers = headers, .header_count = 1 };
    enum { SAMPLES = 600 };
    struct sample *samples = calloc(SAMPLES, sizeof(*samples));
    struct slice *keys = calloc(SAMPLES, sizeof(*keys));
    unsigned seed = 9111, collisions = 0, equal = 0;

    CU_ASSERT_FATAL(samples != NULL && keys != NULL);
    for (unsigned i = 0; i < SAMPLES; i++) {
        samples[i] = random_sample(&seed);
        keys[i] = make(&conf, samples[i].parts);
        for (unsigned k = 0; k < i; k++) {
            bool is_same = is_same_sample(&samples[i], &samples[k]);

            equal += is_same;
            collisions += slice_equal(keys[i], keys[k]) != is_same;
        }
    }
    CU_ASSERT_EQUAL(collisions, 0);
    CU_ASSERT_TRUE(equal > 0);
    free(samples);
    free(keys);
}

void
suite_cache_key(void)
{
    CU_pSuite s = CU_add_suite("cache_key", begin, end);

    CU_add_test(s, "a key is source, scheme, authority and URL", source_scheme_authority_and_url);
    CU_add_test(s, "a key tells its source and URL", tells_its_parts);
    CU_add_test(s, "a pattern matches whole texts", patterns_match_whole_texts);
    CU_add_test(s, "ignored parameters do not count", parameters_may_not_count);
    CU_add_test(s, "only chosen parameters count", only_some_parameters_may_count);
    CU_add_test(s, "sorted parameters may come in any order", parameters_may_come_in_any_order);
    CU_add_test(s, "too many parameters keep their order", too_many_parameters_keep_their_order);
    CU_add_test(s, "other query rules have other keys", other_query_rules_have_other_keys);
    CU_add_test(s, "chosen fields count, absent is not empty", fields_may_count);
    CU_add_test(s, "the class of the device counts if so chosen", the_device_may_count);
    CU_add_test(s, "a spent arena gives no key", a_spent_arena_gives_no_key);
    CU_add_test(s, "different requests have different keys",
                different_requests_have_different_keys);
}
