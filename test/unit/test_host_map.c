/* SPDX-License-Identifier: BSD-2-Clause */
/* test_host_map.c - sites by host name (server/host_map.h). */
#include "config.h"

#include "server/host_map.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>

#include "server/schema.h"

static struct arena arena;

static int
begin(void)
{
    arena_init(&arena, NULL, 64u << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

static struct host_map *
map_of(struct site_conf *sites, const char *const *names, size_t count)
{
    struct host_map *map = host_map_new(&arena, count);
    size_t i;

    for (i = 0; i < count; i++)
        CU_ASSERT_PTR_NULL(host_map_add(map, slice_of(names[i]), &sites[i]));
    return map;
}

static struct site_conf *
find(const struct host_map *map, const char *host)
{
    return host_map_find(map, slice_of(host));
}

static void
exact_names_win_over_wildcards_and_long_ones_over_short(void)
{
    const char *const names[] = { "www.example.com", "*.example.com", "*.b.example.com",
                                  "example.com" };
    struct site_conf sites[4];
    struct host_map *map = map_of(sites, names, 4);

    CU_ASSERT_PTR_EQUAL(find(map, "www.example.com"), &sites[0]);
    CU_ASSERT_PTR_EQUAL(find(map, "a.example.com"), &sites[1]);
    CU_ASSERT_PTR_EQUAL(find(map, "x.y.example.com"), &sites[1]);
    CU_ASSERT_PTR_EQUAL(find(map, "b.example.com"), &sites[1]);
    CU_ASSERT_PTR_EQUAL(find(map, "a.b.example.com"), &sites[2]);
    CU_ASSERT_PTR_EQUAL(find(map, "x.a.b.example.com"), &sites[2]);
    CU_ASSERT_PTR_EQUAL(find(map, "example.com"), &sites[3]);
    CU_ASSERT_PTR_NULL(find(map, "wwwexample.com"));
    CU_ASSERT_PTR_NULL(find(map, "example.org"));
    CU_ASSERT_PTR_NULL(find(map, "com"));
}

static void
what_nobody_has_goes_to_the_default(void)
{
    const char *const names[] = { "www.example.com" };
    struct site_conf sites[2];
    struct host_map *map = map_of(sites, names, 1);

    CU_ASSERT_PTR_NULL(find(map, "other.example.com"));
    host_map_set_default(map, &sites[1]);
    CU_ASSERT_PTR_EQUAL(find(map, "other.example.com"), &sites[1]);
    CU_ASSERT_PTR_EQUAL(find(map, ""), &sites[1]);
    CU_ASSERT_PTR_EQUAL(find(map, "www.example.com"), &sites[0]);
}

/* RFC 1034 section 3.1: a dot at the end is the root, which every name has. */
static void
a_dot_at_the_end_makes_no_difference(void)
{
    const char *const names[] = { "www.example.com", "*.example.org" };
    struct site_conf sites[2];
    struct host_map *map = map_of(sites, names, 2);

    CU_ASSERT_PTR_EQUAL(find(map, "www.example.com."), &sites[0]);
    CU_ASSERT_PTR_EQUAL(find(map, "a.example.org."), &sites[1]);
    CU_ASSERT_PTR_NULL(find(map, "www.example.com.."));
}

static void
odd_names_find_nothing(void)
{
    const char *const names[] = { "*.example.com", "example.com" };
    struct site_conf sites[2];
    struct host_map *map = map_of(sites, names, 2);
    char dots[400];

    memset(dots, '.', sizeof(dots));
    CU_ASSERT_PTR_NULL(find(map, ".example.com"));
    CU_ASSERT_PTR_NULL(find(map, "."));
    CU_ASSERT_PTR_NULL(find(map, "*"));
    CU_ASSERT_PTR_NULL(host_map_find(map, slice_make(dots, 253)));
    CU_ASSERT_PTR_NULL(host_map_find(map, slice_make(dots, sizeof(dots))));
    CU_ASSERT_PTR_NULL(host_map_find(map, slice_make("a\0b.example", 11)));
}

static void
tells_which_site_has_a_name_already(void)
{
    const char *const names[] = { "www.example.com", "*.example.com" };
    struct site_conf sites[3];
    struct host_map *map = map_of(sites, names, 2);

    CU_ASSERT_PTR_EQUAL(host_map_add(map, SLICE("www.example.com"), &sites[2]), &sites[0]);
    CU_ASSERT_PTR_EQUAL(host_map_add(map, SLICE("*.example.com"), &sites[2]), &sites[1]);
}

static const char *
clean(const char *text)
{
    struct slice name;
    struct err err;

    if (host_map_clean(slice_of(text), &name, &arena, &err) < 0)
        return "refused";
    return arena_copy(&arena, name).data;
}

static void
cleans_names_to_the_form_that_is_looked_up(void)
{
    CU_ASSERT_STRING_EQUAL(clean("WWW.Example.COM"), "www.example.com");
    CU_ASSERT_STRING_EQUAL(clean("www.example.com."), "www.example.com");
    CU_ASSERT_STRING_EQUAL(clean("*.Example.com"), "*.example.com");
    CU_ASSERT_STRING_EQUAL(clean("[::1]"), "::1");
    CU_ASSERT_STRING_EQUAL(clean("192.0.2.1"), "192.0.2.1");
    CU_ASSERT_STRING_EQUAL(clean("a_b.example"), "a_b.example");
    CU_ASSERT_STRING_EQUAL(clean("xn--bcher-kva.example"), "xn--bcher-kva.example");
}

/* RFC 1035 section 2.3.4: labels of up to 63 bytes, names of up to 255 (253 as text). */
static void
refuses_what_is_no_host_name(void)
{
    static const char *const bad[] = {
        "", "*", ".", "a..b", ".example.com", "a.*.example.com", "w*.example.com", "*example.com",
        "http://example.com", "example.com:80", "example.com/", "exa mple.com", "-a.example",
        "a-.example", "b\xc3\xbc" "cher.example", "*.", "*.*.example.com",
    };
    char text[300];
    size_t i;

    for (i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_STRING_EQUAL(clean(bad[i]), "refused");
    memset(text, 'a', sizeof(text));
    text[64] = '\0';
    CU_ASSERT_STRING_EQUAL(clean(text), "refused");
    CU_ASSERT_STRING_NOT_EQUAL(clean(text + 1), "refused");
    for (i = 0; i < sizeof(text); i++)
        text[i] = i % 2 ? '.' : 'a';
    text[255] = '\0';
    CU_ASSERT_STRING_EQUAL(clean(text), "refused");
    CU_ASSERT_STRING_NOT_EQUAL(clean(text + 2), "refused");
}

static void
holds_ten_thousand_names(void)
{
    enum { COUNT = 10000 };
    static struct site_conf sites[COUNT];
    struct host_map *map = host_map_new(&arena, COUNT);
    size_t i;

    for (i = 0; i < COUNT; i++)
        CU_ASSERT_PTR_NULL(
            host_map_add(map, arena_printf(&arena, "h%zu.bench.test", i), &sites[i]));
    for (i = 0; i < COUNT; i++) {
        char host[32];

        snprintf(host, sizeof(host), "h%zu.bench.test", i);
        CU_ASSERT_PTR_EQUAL(find(map, host), &sites[i]);
    }
    CU_ASSERT_PTR_NULL(find(map, "h10000.bench.test"));
}

void
suite_host_map(void)
{
    CU_pSuite s = CU_add_suite("host_map", begin, end);

    CU_add_test(s, "exact names win over wildcards, and long ones over short",
                exact_names_win_over_wildcards_and_long_ones_over_short);
    CU_add_test(s, "what nobody has goes to the default", what_nobody_has_goes_to_the_default);
    CU_add_test(s, "a dot at the end makes no difference", a_dot_at_the_end_makes_no_difference);
    CU_add_test(s, "odd names find nothing", odd_names_find_nothing);
    CU_add_test(s, "tells which site has a name already", tells_which_site_has_a_name_already);
    CU_add_test(s, "cleans names to the form that is looked up",
                cleans_names_to_the_form_that_is_looked_up);
    CU_add_test(s, "refuses what is no host name", refuses_what_is_no_host_name);
    CU_add_test(s, "holds ten thousand names", holds_ten_thousand_names);
}
