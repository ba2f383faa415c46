/* SPDX-License-Identifier: BSD-2-Clause */
/* test_uri.c - URIs are taken apart strictly and have one normal form. */
#include "config.h"

#include "server/http/uri.h"

#include <stdio.h>

#include <CUnit/CUnit.h>

void suite_uri(void);

static struct arena arena;

static int
begin(void)
{
    arena_init(&arena, NULL, 16 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

static void
expect_slice(struct slice found, const char *expected)
{
    bool is_as_expected = expected == NULL ? found.data == NULL
                                           : slice_equal(found, slice_of(expected));

    CU_ASSERT_TRUE(is_as_expected);
    if (!is_as_expected)
        printf("\n  found \"%.*s\", expected \"%s\"\n", SLICE_ARG(found),
               expected != NULL ? expected : "(none)");
}

/* ---- authority */

static void
expect_authority(const char *text, const char *host, int port)
{
    struct slice found_host;
    int found_port, rc = uri_parse_authority(slice_of(text), &found_host, &found_port);

    CU_ASSERT_EQUAL(rc, 0);
    if (rc != 0)
        return;
    expect_slice(found_host, host);
    CU_ASSERT_EQUAL(found_port, port);
}

static void
takes_host_and_port_apart(void)
{
    expect_authority("example.com", "example.com", -1);
    expect_authority("Example.COM:80", "Example.COM", 80);
    expect_authority("a_b-c.example.:65535", "a_b-c.example.", 65535);
    expect_authority("192.0.2.1:1", "192.0.2.1", 1);
    expect_authority("[2001:DB8::1]", "2001:DB8::1", -1);
    expect_authority("[::ffff:192.0.2.1]:443", "::ffff:192.0.2.1", 443);
    expect_authority("h:", "h", -1);
    expect_authority("h:0080", "h", 80);
}

static void
refuses_what_is_no_authority(void)
{
    static const char *const bad[] = {
        "", ":80", "h:0", "h:65536", "h:99999999999999999999", "h:8a", "h:+8", "h: 8", "h:80:80",
        "a@h", "a:b@h", "h/", "h?", "a b", "a\tb", "a%2eb", "a,b", "a..b", ".a", ".", "..", "a..",
        "::1", "[::1", "[]", "[::1]x", "[::1]]", "[::1%eth0]", "[::1%25eth0]", "[v1.a]",
        "[1.2.3.4]", "[:::1]", "[1:2:3:4:5:6:7:8:9]", "[[::1]]", "h\\", "h#",
        "h!", "\xc3\xa4.example", "*",
    };
    struct slice host;
    int port;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        int rc = uri_parse_authority(slice_of(bad[i]), &host, &port);

        CU_ASSERT_EQUAL(rc, -1);
        if (rc == 0)
            printf("\n  taken for an authority: \"%s\"\n", bad[i]);
    }
    CU_ASSERT_EQUAL(uri_parse_authority(slice_make("h\0", 2), &host, &port), -1);
    CU_ASSERT_EQUAL(uri_parse_authority(slice_make("[::1\0]", 6), &host, &port), -1);
}

static void
bounds_the_length_of_a_host(void)
{
    char name[300];
    struct slice host;
    int port;

    memset(name, 'a', sizeof(name));
    CU_ASSERT_EQUAL(uri_parse_authority(slice_make(name, 255), &host, &port), 0);
    CU_ASSERT_EQUAL(uri_parse_authority(slice_make(name, 256), &host, &port), -1);
}

static void
gives_hosts_a_normal_form(void)
{
    struct slice plain = SLICE("example.com");

    CU_ASSERT_PTR_EQUAL(uri_normal_host(plain, &arena).data, plain.data);
    expect_slice(uri_normal_host(SLICE("EXample.com."), &arena), "example.com");
    expect_slice(uri_normal_host(SLICE("example.com."), &arena), "example.com");
    expect_slice(uri_normal_host(SLICE("2001:DB8::1"), &arena), "2001:db8::1");
}

/* What inet_aton() and browsers take for an address, rules must not take for a
 * name. */
static void
sees_ipv4_in_odd_spellings(void)
{
    static const char *const odd[] = {
        "0x7f.1", "2130706433", "0177.0.0.1", "127.1", "127.0.1", "0x7f000001", "0x7F.0.0.0x1",
        "127.0.0.01", "127.0.0.1.2", "256.0.0.1", "1.2.3.4.5", "1.2.3", "0x", "0", "127.0.0.0x1",
        "2130706433.", "0127.0.0.1.", "foo.0x1", "foo.1", "00000000177.1", "0x.0x.0",
    };
    static const char *const fine[] = {
        "127.0.0.1", "0.0.0.0", "255.255.255.255", "127.0.0.1.", "example.com", "1.2.3.4.example",
        "x1", "0xg", "1a", "a.1b", "0x7f.example", "", "::1",
        "::ffff:127.0.0.1", "64:ff9b::192.0.2.1",
    };

    for (size_t i = 0; i < ARRAY_COUNT(odd); i++) {
        CU_ASSERT_TRUE(uri_host_is_odd_ip(slice_of(odd[i])));
        if (!uri_host_is_odd_ip(slice_of(odd[i])))
            printf("\n  taken for a plain host: %s\n", odd[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(fine); i++) {
        CU_ASSERT_FALSE(uri_host_is_odd_ip(slice_of(fine[i])));
        if (uri_host_is_odd_ip(slice_of(fine[i])))
            printf("\n  taken for an odd address: %s\n", fine[i]);
    }
}

/* ---- the whole */

static void
takes_absolute_uris_apart(void)
{
    static const char *const cases[][5] = {
        { "http://h", "http", "h", "", NULL },
        { "http://h/", "http", "h", "/", NULL },
        { "HTTPS://u@h:1/a/b?c=d?e", "HTTPS", "u@h:1", "/a/b", "c=d?e" },
        { "http://h?q", "http", "h", "", "q" },
        { "http://h?", "http", "h", "", "" },
        { "x+y-z.1:///p", "x+y-z.1", "", "/p", NULL },
        { "http://[::1]:8/x://y", "http", "[::1]:8", "/x://y", NULL },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct slice parts[4];

        CU_ASSERT_EQUAL_FATAL(uri_parse_absolute(slice_of(cases[i][0]), &parts[0], &parts[1],
                                                 &parts[2], &parts[3]), 0);
        for (int part = 0; part < 4; part++)
            expect_slice(parts[part], cases[i][part + 1]);
    }
}

static void
refuses_what_is_no_absolute_uri(void)
{
    static const char *const bad[] = {
        "", "/", "h", "h:80", "//h/", "http:", "http:/h", "http:h", "://h", "1http://h",
        "ht_tp://h", "ht tp://h", "http://h/#f", "-a://h",
    };
    struct slice a, b, c, d;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        int rc = uri_parse_absolute(slice_of(bad[i]), &a, &b, &c, &d);

        CU_ASSERT_EQUAL(rc, -1);
        if (rc == 0)
            printf("\n  taken for a URI: \"%s\"\n", bad[i]);
    }
}

/* ---- the normal path */

static void
gives_paths_one_normal_form(void)
{
    static const char *const cases[][2] = {
        { "/", "/" },
        { "*", "*" },
        { "/a/b.c", "/a/b.c" },
        { "/%61%2D%5f%7E", "/a-_~" },
        { "/a%20b%c3%a4%00%7f", "/a%20b%C3%A4%00%7F" },
        { "/a%2fb%2F..%2F", "/a%2Fb%2F..%2F" },
        { "/%25%3f%23", "/%25%3F%23" },
        { "/%252e%252E/a", "/%252e%252E/a" },
        { "/%2525", "/%2525" },
        { "/a%3Bb%3D%40%3a", "/a;b=@:" },
        { "/a|b%7C%5C\\", "/a|b|\\\\" },
        { "//", "/" },
        { "/a//b///c//", "/a/b/c/" },
        { "/.", "/" },
        { "/..", "/" },
        { "/../..", "/" },
        { "/./../a", "/a" },
        { "/a/.", "/a/" },
        { "/a/..", "/" },
        { "/a/../", "/" },
        { "/a/b/../../../c", "/c" },
        { "/a/./b/.//../c", "/a/c" },
        { "/a//../b", "/b" },
        { "/%2e%2e/%2E/x", "/x" },
        { "/a/.%2e/b", "/b" },
        { "/...", "/..." },
        { "/..a/.b/c..", "/..a/.b/c.." },
        { "/.well-known/x", "/.well-known/x" },
        { "/a/..;/b", "/a/..;/b" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        expect_slice(uri_normal_path(slice_of(cases[i][0]), &arena), cases[i][1]);
}

static void
returns_the_path_itself_when_nothing_changes(void)
{
    static const char *const same[] = { "/", "*", "/a/b", "/.well-known/..x", "/%20/%C3", "/a;b/" };

    for (size_t i = 0; i < ARRAY_COUNT(same); i++) {
        struct slice path = slice_of(same[i]);

        CU_ASSERT_PTR_EQUAL(uri_normal_path(path, &arena).data, path.data);
    }
}

static void
refuses_escapes_that_are_none(void)
{
    static const char *const bad[] = {
        "/%", "/%a", "/%zz", "/%2g", "/%g2", "/a%", "/%%41", "/%u0041", "/% 1", "", "a", "a/b", "?",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        expect_slice(uri_normal_path(slice_of(bad[i]), &arena), NULL);
}

/* Every path over a small alphabet of what matters, up to six characters. */
static void
normal_forms_hold_their_promises(void)
{
    static const char *const atoms[] = { "/", ".", "a", "%2e", "%2F", "%25", "%41", "%c3" };
    unsigned wrong = 0;

    for (unsigned n = 0; n < 8 * 8 * 8 * 8 * 8 * 8; n++) {
        char text[32] = "/";
        struct slice path, once, twice;
        struct arena small;

        for (unsigned rest = n; rest > 0; rest /= 8)
            strcat(text, atoms[rest % 8]);
        path = slice_of(text);
        arena_init(&small, NULL, 4 * BLOCK_BYTES);
        once = uri_normal_path(path, &small);
        twice = uri_normal_path(once, &small);
        wrong += once.data == NULL || once.bytes > path.bytes || once.data[0] != '/';
        wrong += twice.data != once.data || twice.bytes != once.bytes;
        wrong += memmem(once.data, once.bytes, "//", 2) != NULL;
        wrong += memmem(once.data, once.bytes, "/./", 3) != NULL;
        wrong += memmem(once.data, once.bytes, "/../", 4) != NULL;
        arena_fini(&small);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* What follows any part of a normal form has that part's rest as its own form. */
static void
spells_what_is_behind_a_prefix_as_received(void)
{
    static const struct {
        const char *path;
        size_t bytes;
        const char *behind;
    } cases[] = {
        { "/api/x", 4, "/x" },
        { "/api", 4, "" },
        { "/%61pi/%41%2f%3b", 4, "/%41%2f%3b" },
        { "/a%20b/%7e", 6, "/%7e" },
        { "/a%2bb%c3/y", 7, "/y" },
        { "/api/../api/x", 4, "/x" },
        { "/x/%2e%2E/api/./%41", 4, "/%41" },
        { "//api//%2e/x", 4, "/x" },
        { "/%252e%252e/x", 0, "/%252e%252e/x" },
        { "/a\\..//b", 2, "\\../b" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        expect_slice(uri_path_behind(slice_of(cases[i].path), cases[i].bytes, &arena),
                     cases[i].behind);
}

static void
says_so_when_memory_is_short(void)
{
    struct arena small;

    arena_init(&small, NULL, 1);
    expect_slice(uri_normal_path(SLICE("/a/../b"), &small), NULL);
    CU_ASSERT_TRUE(arena_is_spent(&small));
    expect_slice(uri_normal_host(SLICE("H"), &small), NULL);
    arena_fini(&small);
}

void
suite_uri(void)
{
    CU_pSuite s = CU_add_suite("uri", begin, end);

    CU_add_test(s, "takes host and port apart", takes_host_and_port_apart);
    CU_add_test(s, "refuses what is no authority", refuses_what_is_no_authority);
    CU_add_test(s, "bounds the length of a host", bounds_the_length_of_a_host);
    CU_add_test(s, "gives hosts a normal form", gives_hosts_a_normal_form);
    CU_add_test(s, "sees IPv4 in odd spellings", sees_ipv4_in_odd_spellings);
    CU_add_test(s, "takes absolute URIs apart", takes_absolute_uris_apart);
    CU_add_test(s, "refuses what is no absolute URI", refuses_what_is_no_absolute_uri);
    CU_add_test(s, "gives paths one normal form", gives_paths_one_normal_form);
    CU_add_test(s, "returns the path itself when nothing changes",
                returns_the_path_itself_when_nothing_changes);
    CU_add_test(s, "refuses escapes that are none", refuses_escapes_that_are_none);
    CU_add_test(s, "normal forms hold their promises", normal_forms_hold_their_promises);
    CU_add_test(s, "spells what is behind a prefix as received",
                spells_what_is_behind_a_prefix_as_received);
    CU_add_test(s, "says so when memory is short", says_so_when_memory_is_short);
}
