/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vary.c - who may have whose variant (RFC 9111 section 4.1). */
#include "config.h"

#include "cache/vary.h"
#include "cache/weighted_list.h"

#include "test/unit/field_fixture.h"

#include <stdlib.h>

void suite_vary(void);

static struct arena arena;
static const struct vary_conf plain;

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

static void
expect_names(const char *response, const char *expected)
{
    expect_slice(vary_names(fields_of(&arena, response), &arena), expected);
}

static struct slice
key_of(const char *names, const char *request, const struct vary_conf *conf)
{
    struct slice key = vary_key(slice_of(names), fields_of(&arena, request), conf, &arena);

    CU_ASSERT_PTR_NOT_NULL_FATAL(key.data);
    return key;
}

/* NULs are written as '|'. */
static void
expect_key(const char *names, const char *request, const char *expected)
{
    struct slice key = arena_copy(&arena, key_of(names, request, &plain));
    char *data = (char *)(uintptr_t)key.data;

    for (size_t i = 0; i < key.bytes; i++)
        if (data[i] == '\0')
            data[i] = '|';
    expect_slice(key, expected);
}

static bool
are_equal(const char *names, const char *a, const char *b, const struct vary_conf *conf)
{
    return slice_equal(key_of(names, a, conf), key_of(names, b, conf));
}

/* ---- Vary: RFC 9110 section 12.5.5 */

static void
names_have_one_form(void)
{
    expect_names("", "");
    expect_names("Vary:", "");
    expect_names("Vary: ,, ,", "");
    expect_names("Vary: Foo", "foo");
    expect_names("Vary: Foo, Bar , BAZ", "bar,baz,foo");
    expect_names("Vary: b\nVary: a,B\nOther: c", "a,b");
    expect_names("Vary: Accept-Encoding,accept-encoding", "accept-encoding");
    expect_names("Vary: a-b, a, ab", "a,a-b,ab");
}

static void
a_star_anywhere_is_a_star(void)
{
    static const char *const stars[] = {
        "Vary: *", "Vary: *, *", "Vary: *\nVary: *", "Vary: , *", "Vary:\nVary: *",
        "Vary: *, Foo", "Vary: Foo, *", "Vary: Foo\nVary: Bar,*",
    };

    for (unsigned i = 0; i < ARRAY_COUNT(stars); i++) {
        struct slice names = vary_names(fields_of(&arena, stars[i]), &arena);

        CU_ASSERT_TRUE(vary_is_star(names));
    }
    CU_ASSERT_FALSE(vary_is_star(SLICE("a")));
    CU_ASSERT_FALSE(vary_is_star(SLICE("")));
}

/* No request can be shown to match then, so none does. */
static void
doubt_is_a_star(void)
{
    struct fields *many = fields_of(&arena, "");
    struct arena small;

    expect_names("Vary: Foo Bar", "*");
    expect_names("Vary: \"a, *\"", "*");
    expect_names("Vary: a;b", "*");
    expect_names("Vary: \xc3\xa4", "*");
    for (unsigned i = 0; i < VARY_NAMES_MAX; i++)
        fields_add(many, &arena, FIELD_VARY, arena_printf(&arena, "n%u", i));
    fields_add(many, &arena, FIELD_VARY, SLICE("N1")); /* is there */
    CU_ASSERT_FALSE(vary_is_star(vary_names(many, &arena)));
    fields_add(many, &arena, FIELD_VARY, SLICE("one-more"));
    CU_ASSERT_TRUE(vary_is_star(vary_names(many, &arena)));
    arena_init(&small, NULL, 8);
    CU_ASSERT_TRUE(vary_is_star(vary_names(fields_of(&arena, "Vary: a-long-name"), &small)));
    arena_fini(&small);
}

/* ---- keys */

/* "each selecting header field ... matches": the same value or absent in both. */
static void
requests_match_in_all_names(void)
{
    expect_key("", "Foo: 1", "");
    expect_key("foo", "Foo: 1", "+1|");
    expect_key("bar,foo", "Foo: 1\nBar: abc", "+abc|+1|");
    CU_ASSERT_TRUE(are_equal("foo", "Foo: 1\nOther: 2", "FOO: 1\nOther: 3", &plain));
    CU_ASSERT_FALSE(are_equal("foo", "Foo: 1", "Foo: 2", &plain));
    CU_ASSERT_FALSE(are_equal("bar,foo", "Foo: 1\nBar: abc", "Foo: 2\nBar: abc", &plain));
    CU_ASSERT_FALSE(are_equal("bar,baz,foo", "Foo: 1\nBar: abc\nBaz: 789",
                              "Foo: 1\nBaz: 789\nBar: abcde", &plain));
    /* A value cannot move to another name. */
    CU_ASSERT_FALSE(are_equal("bar,foo", "Foo: 1", "Bar: 1", &plain));
}

static void
absent_matches_absent_only(void)
{
    CU_ASSERT_FALSE(are_equal("foo", "Foo: 1", "", &plain));
    CU_ASSERT_FALSE(are_equal("foo", "Foo:", "", &plain));
    CU_ASSERT_TRUE(are_equal("bar,baz,foo", "Foo: 1\nBaz: 789", "Baz: 789\nFoo: 1", &plain));
    expect_key("bar,foo", "", "-|-|");
    expect_key("bar,foo", "Bar:", "+|-|");
    expect_key("accept-encoding", "", "-|");
    expect_key("accept-encoding", "Accept-Encoding:", "+|");
}

/* "combining multiple header fields with the same field name" and "adding or
 * removing whitespace, where allowed in the header field's syntax". */
static void
lists_have_one_spelling(void)
{
    CU_ASSERT_TRUE(are_equal("foo", "Foo: 1, 2", "Foo: 1\nFoo: 2", &plain));
    CU_ASSERT_TRUE(are_equal("foo", "Foo: 1,2", "Foo:  1, 2 ", &plain));
    CU_ASSERT_TRUE(are_equal("foo", "Foo: 1\t,\t2", "Foo: 1,2,", &plain));
    CU_ASSERT_FALSE(are_equal("foo", "Foo: 1, 2", "Foo: 2, 1", &plain));
    CU_ASSERT_FALSE(are_equal("foo", "Foo: \"1, 2\"", "Foo: \"1,2\"", &plain));
    CU_ASSERT_FALSE(are_equal("foo", "Foo: a b", "Foo: a  b", &plain));
    CU_ASSERT_FALSE(are_equal("foo", "Foo: a", "Foo: A", &plain));
}

/* Their syntax has no lists. */
static void
text_is_left_alone(void)
{
    CU_ASSERT_FALSE(are_equal("user-agent", "User-Agent: (a, b)", "User-Agent: (a,b)", &plain));
    CU_ASSERT_FALSE(are_equal("cookie", "Cookie: a=1,2", "Cookie: a=1, 2", &plain));
    CU_ASSERT_FALSE(are_equal("referer", "Referer: /1,2", "Referer: /1, 2", &plain));
    CU_ASSERT_FALSE(are_equal("origin", "Origin: a,b", "Origin: a, b", &plain));
    CU_ASSERT_FALSE(are_equal("from", "From: a,b", "From: a, b", &plain));
    CU_ASSERT_FALSE(are_equal("authorization", "Authorization: Digest a=1,b=2",
                              "Authorization: Digest a=1, b=2", &plain));
    expect_key("user-agent", "User-Agent: Mozilla/5.0 (X11; a, b)", "+Mozilla/5.0 (X11; a, b)|");
    expect_key("cookie", "Cookie: a\nCookie: b", "+a,b|");
}

/* RFC 9110 section 12.5.4: the order of tags says nothing, their weights do. */
static void
languages_have_one_order(void)
{
    static const char *const same[] = {
        "Accept-Language: de, en", "Accept-Language: eN, De", "Accept-Language:  en ,   de",
        "Accept-Language: en;q=1, de;q=1.000", "Accept-Language: de\nAccept-Language: en",
    };

    for (unsigned i = 0; i < ARRAY_COUNT(same); i++)
        CU_ASSERT_TRUE(are_equal("accept-language", "Accept-Language: en, de", same[i], &plain));
    expect_key("accept-language", "Accept-Language: fr;q=0.5, DE;Q=1.0, en ; q=0.750, x;q=0",
               "+de,en;q=0.75,fr;q=0.5,x;q=0|");
    CU_ASSERT_FALSE(are_equal("accept-language", "Accept-Language: en, de;q=0.5",
                              "Accept-Language: en;q=0.5, de", &plain));
    CU_ASSERT_FALSE(are_equal("accept-language", "Accept-Language: en", "Accept-Language: en-us",
                              &plain));
}

static void
languages_may_be_cut_to_those_that_exist(void)
{
    struct slice languages[] = { SLICE_INIT("en"), SLICE_INIT("de"), SLICE_INIT("pt-br") };
    struct vary_conf conf = { .languages = languages, .language_count = 3 };
    struct slice key;

#define SAME(a, b) are_equal("accept-language", "Accept-Language: " a, "Accept-Language: " b, &conf)
    CU_ASSERT_TRUE(SAME("de-AT, de;q=0.9, fr;q=0.8, en;q=0.1", "de, en;q=0.8"));
    CU_ASSERT_TRUE(SAME("fr", "it"));
    CU_ASSERT_TRUE(SAME("en-US,en;q=0.9", "en"));
    CU_ASSERT_TRUE(SAME("en, de;q=0", "en"));
    CU_ASSERT_FALSE(SAME("de, en;q=0.8", "en, de;q=0.8"));
    CU_ASSERT_FALSE(SAME("de, en;q=0.8", "en, de"));
    CU_ASSERT_FALSE(SAME("pt", "fr")); /* the range finds pt-br */
    CU_ASSERT_TRUE(SAME("p", "fr"));
    CU_ASSERT_FALSE(SAME("*", "fr"));
    CU_ASSERT_FALSE(SAME("english", "en"));
    key = key_of("accept-language", "Accept-Language: fr, en-GB;q=0.7, de;q=0.7, pt;q=0.2", &conf);
    CU_ASSERT_TRUE(slice_equal(key, SLICE("+de,en>pt\0")));
#undef SAME
}

static void
broken_lists_are_not_taken_for_good_ones(void)
{
    struct slice languages[] = { SLICE_INIT("en"), SLICE_INIT("fr") };
    struct vary_conf conf = { .languages = languages, .language_count = 2 };
    struct fields *many = fields_of(&arena, "");
    struct slice key;

    CU_ASSERT_FALSE(are_equal("accept-language", "Accept-Language: en, fr;q=0.5",
                              "Accept-Language: en>fr", &conf));
    expect_key("accept-language", "Accept-Language: en;q=2", "!en;q=2|");
    expect_key("accept-language", "Accept-Language: en;q=0.1234", "!en;q=0.1234|");
    expect_key("accept-language", "Accept-Language: en;q=1.5", "!en;q=1.5|");
    expect_key("accept-language", "Accept-Language: en;level=1", "!en;level=1|");
    expect_key("accept-language", "Accept-Language: en;x=0.5", "!en;x=0.5|");
    expect_key("accept-language", "Accept-Language: en;q:0.5", "!en;q:0.5|");
    expect_key("accept-language", "Accept-Language: en;q", "!en;q|");
    expect_key("accept-language", "Accept-Language: en;", "!en;|");
    expect_key("accept-language", "Accept-Language: en;q=", "!en;q=|");
    expect_key("accept-language", "Accept-Language: en de , fr", "!en de,fr|");
    expect_key("accept-language", "Accept-Language: ;q=1", "!;q=1|");
    for (unsigned i = 0; i <= WEIGHTED_MAX; i++)
        fields_add(many, &arena, FIELD_ACCEPT_LANGUAGE, SLICE("z"));
    key = vary_key(SLICE("accept-language"), many, &plain, &arena);
    CU_ASSERT_TRUE(key.bytes == 2 * (WEIGHTED_MAX + 1) + 1 && key.data[0] == '!');
}

/* RFC 9110 section 12.5.3. */
static void
encodings_have_one_order(void)
{
    CU_ASSERT_TRUE(are_equal("accept-encoding", "Accept-Encoding: gzip, br",
                             "Accept-Encoding: BR,gzip;q=1.0", &plain));
    CU_ASSERT_FALSE(are_equal("accept-encoding", "Accept-Encoding: gzip, deflate",
                              "Accept-Encoding: gzip", &plain));
    CU_ASSERT_FALSE(are_equal("accept-encoding", "Accept-Encoding: gzip, identity;q=0",
                              "Accept-Encoding: gzip", &plain));
}

static void
upstream_may_choose_from_known_encodings(void)
{
    static const struct {
        const char *field, *encoding;
    } cases[] = {
        { "", "" },
        { "Accept-Encoding:", "" },
        { "Accept-Encoding: identity", "" },
        { "Accept-Encoding: gzip", "gzip" },
        { "Accept-Encoding: gzip;q=0, *", "br, zstd" },
        { "Accept-Encoding: gzip, deflate", "gzip" },
        { "Accept-Encoding: gzip, deflate, br", "br, gzip" },
        { "Accept-Encoding: gzip, deflate\nAccept-Encoding: br", "br, gzip" },
        { "Accept-Encoding: br, zstd, gzip", "br, zstd, gzip" }, /* its own form */
        { "Accept-Encoding: br, gzip", "br, gzip" },
        { "Accept-Encoding: gzip, deflate, br, zstd", "br, zstd, gzip" },
        { "Accept-Encoding: zstd;q=0.1, GZIP", "zstd, gzip" },
        { "Accept-Encoding: br;q=0, gzip;q=0.0, zstd;q=0.001", "zstd" },
        { "Accept-Encoding: *", "br, zstd, gzip" },
        { "Accept-Encoding: br;q=0, *;q=0.5", "zstd, gzip" },
        { "Accept-Encoding: br, *;q=0", "br" },
        { "Accept-Encoding: br\nAccept-Encoding: gzip", "br, gzip" },
        { "Accept-Encoding: br, gzip;q=x", "" },
        { "Accept-Encoding: br, zstd", "br, zstd" },
    };
    struct vary_conf narrow = { .narrows_encoding = true };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        expect_slice(vary_encoding(fields_of(&arena, cases[i].field)), cases[i].encoding);
    CU_ASSERT_TRUE(are_equal("accept-encoding", "Accept-Encoding: gzip, deflate",
                             "Accept-Encoding: foo, gzip;q=0.5", &narrow));
    CU_ASSERT_TRUE(are_equal("accept-encoding", "Accept-Encoding: identity", "", &narrow));
    CU_ASSERT_FALSE(are_equal("accept-encoding", "Accept-Encoding: br", "Accept-Encoding: gzip",
                              &narrow));
}

/* A sanitizer sees whether the room suffices. */
static void
many_lines_fit(void)
{
    struct fields *many = fields_of(&arena, "");
    struct slice key;

    for (unsigned i = 0; i < 100; i++) {
        fields_add(many, &arena, FIELD_COOKIE, SLICE("c"));
        fields_add_name(many, &arena, SLICE("X"), SLICE("x"));
    }
    key = vary_key(SLICE("cookie,x"), many, &plain, &arena);
    CU_ASSERT_EQUAL(key.bytes, 2 * (1 + 199 + 1));
}

static void
a_spent_arena_gives_no_key(void)
{
    struct arena small;

    arena_init(&small, NULL, 8);
    CU_ASSERT_PTR_NULL(vary_key(SLICE("a"), fields_of(&arena, "A: a value that is long"), &plain,
                                &small).data);
    arena_fini(&small);
}

/* ---- property */

/* What a request means by the field, computed the slow way: its elements in
 * order, without spaces; NULL data when absent. */
static struct slice
meaning(const struct fields *request, struct slice name)
{
    struct slice text = slice_make(NULL, 0), element;

    for (uint32_t i = 0; i < request->count; i++) {
        struct slice list = request->items[i].value;

        if (!slice_equal_nocase(request->items[i].name, name))
            continue;
        if (text.data == NULL)
            text = SLICE("");
        while (slice_next_element(&list, &element))
            text = arena_printf(&arena, "%.*s%.*s\x01", SLICE_ARG(text), SLICE_ARG(element));
    }
    return text;
}

static struct fields *
random_request(unsigned *seed)
{
    static const char *const lines[] = {
        "A: 1", "a:  1 ", "A: 1,2", "A: 2", "A:", "A: 1 , 2", "B: 1", "b: +1", "B:", "B: -",
        "B: \"1,2\"", "B: ,", "C: 1",
    };
    struct fields *request = fields_of(&arena, "");
    unsigned count = (unsigned)rand_r(seed) % 4;

    for (unsigned i = 0; i < count; i++) {
        struct fields *line =
            fields_of(&arena, lines[(unsigned)rand_r(seed) % ARRAY_COUNT(lines)]);

        fields_add_name(request, &arena, line->items[0].name, line->items[0].value);
    }
    return request;
}

/* RFC 9111 section 4.1: equal keys exactly when every named field means the same
 * in both. */
static void
equal_keys_mean_equal_fields(void)
{
    unsigned seed = 41, wrong = 0, equal = 0;

    for (unsigned i = 0; i < 5000; i++) {
        struct fields *a = random_request(&seed), *b = random_request(&seed);
        bool is_same = true;

        for (unsigned n = 0; n < 2; n++) {
            struct slice name = n == 0 ? SLICE("a") : SLICE("b");
            struct slice x = meaning(a, name), y = meaning(b, name);

            is_same = is_same && slice_equal(x, y) && (x.data == NULL) == (y.data == NULL);
        }
        equal += is_same;
        wrong += slice_equal(vary_key(SLICE("a,b"), a, &plain, &arena),
                             vary_key(SLICE("a,b"), b, &plain, &arena)) != is_same;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_TRUE(equal > 100 && equal < 4900);
}

void
suite_vary(void)
{
    CU_pSuite s = CU_add_suite("vary", begin, end);

    CU_add_test(s, "names are lower case, sorted, each once", names_have_one_form);
    CU_add_test(s, "a star anywhere in Vary is a star", a_star_anywhere_is_a_star);
    CU_add_test(s, "a Vary that cannot be understood is a star", doubt_is_a_star);
    CU_add_test(s, "requests match in all named fields and no others",
                requests_match_in_all_names);
    CU_add_test(s, "absent matches absent only", absent_matches_absent_only);
    CU_add_test(s, "lines are joined and spaces around commas go", lists_have_one_spelling);
    CU_add_test(s, "fields that are no lists are left alone", text_is_left_alone);
    CU_add_test(s, "languages count by weight, not by order or case", languages_have_one_order);
    CU_add_test(s, "languages may be cut to those that exist",
                languages_may_be_cut_to_those_that_exist);
    CU_add_test(s, "a broken list is never taken for a good one",
                broken_lists_are_not_taken_for_good_ones);
    CU_add_test(s, "encodings count by weight, not by order or case", encodings_have_one_order);
    CU_add_test(s, "encodings may be narrowed to those that upstream is told",
                upstream_may_choose_from_known_encodings);
    CU_add_test(s, "many lines fit", many_lines_fit);
    CU_add_test(s, "a spent arena gives no key", a_spent_arena_gives_no_key);
    CU_add_test(s, "property: equal keys mean equal fields", equal_keys_mean_equal_fields);
}
