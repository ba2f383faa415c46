/* SPDX-License-Identifier: BSD-2-Clause */
/* test_resolve.c - names are resolved from what is known: literals, the hosts file, the cache,
 * and what name servers say.
 */
#include "config.h"

#include "test/unit/resolve_fixture.h"

/* ---- what needs no question */

static void
literals_are_answered_at_once(void)
{
    static const char *const literals[][2] = {
        { "192.0.2.1", "192.0.2.1" }, { "2001:db8::1", "2001:db8::1" },
        { "[2001:db8::1]", "2001:db8::1" }, { "::ffff:192.0.2.1", "192.0.2.1" },
    };
    struct asker asker;

    begin();
    start();
    for (size_t i = 0; i < ARRAY_COUNT(literals); i++) {
        CU_ASSERT_TRUE(ask(&asker, literals[i][0]));
        CU_ASSERT_EQUAL(asker.answer.status, RESOLVE_OK);
        CU_ASSERT_STRING_EQUAL(text_of(asker.answer), literals[i][1]);
    }
    turn_for(10);
    CU_ASSERT_EQUAL(server.asked, 0);
    finish();
}

/* RFC 1035 section 2.3.4, RFC 1123 section 2.1; names that read as numbers
 * are spellings of addresses, which are judged as such or not at all. */
static void
bad_names_are_refused_without_a_question(void)
{
    static const char *const names[] = {
        "", ".", "..", ".a", "a..b", "a b", "a/b", "a\\b", "a%41", "\xc3\xa4.test", "a\x01.test",
        "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.0.0.01", "a.256",
        "1.2.3.4.5", "[192.0.2.1]", "[::1", "::1]", "fe80::1%lo", "*.test", "a.test:80", "a@b",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test", /* 64 */
    };
    struct asker asker;
    char name[300];

    begin();
    start();
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        CU_ASSERT_TRUE(ask(&asker, names[i]));
        CU_ASSERT_EQUAL(asker.answer.status, RESOLVE_NO_SUCH_HOST);
        CU_ASSERT_EQUAL(asker.answer.count, 0);
    }
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 2 ? '.' : 'a';
    name[255] = '\0'; /* 255 bytes, an 'a' last */
    CU_ASSERT_TRUE(ask(&asker, name));
    CU_ASSERT_EQUAL(asker.answer.status, RESOLVE_NO_SUCH_HOST);
    turn_for(10);
    CU_ASSERT_EQUAL(server.asked, 0);
    name[253] = '\0'; /* just short enough */
    CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_OK);
    CU_ASSERT_EQUAL(server.asked, 2);
    finish();
}

/* RFC 6761 sections 6.3 and 6.4, RFC 7686 section 2. */
static void
special_names_are_never_asked_for(void)
{
    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("LocalHost.")), "::1 127.0.0.1");
    CU_ASSERT_STRING_EQUAL(text_of(resolve("a.b.localhost")), "::1 127.0.0.1");
    CU_ASSERT_EQUAL(resolve("some.invalid").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(resolve("hidden.ONION").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 0);
    CU_ASSERT_EQUAL(resolve("notlocalhost").status, RESOLVE_OK);
    CU_ASSERT_EQUAL(server.asked, 2);
    finish();
}

static void
the_hosts_file_comes_first_and_is_watched(void)
{
    begin();
    write_hosts("10.1.1.1 listed.test\n0.0.0.0 blocked.test\n");
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("Listed.TEST.")), "10.1.1.1");
    CU_ASSERT_EQUAL(resolve("blocked.test").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 0);
    write_hosts("10.1.1.22 listed.test\n");
    turn_for(2050); /* it is looked at every two seconds */
    CU_ASSERT_STRING_EQUAL(text_of(resolve("listed.test")), "10.1.1.22");
    finish();
}

/* ---- the cache */

/* RFC 8305 section 4: families take turns. */
static void
answers_are_merged_and_kept(void)
{
    struct resolver_counts counts;

    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("both.test")),
                           "2001:db8::1 10.0.0.1 2001:db8::2 10.0.0.2");
    CU_ASSERT_EQUAL(server.asked_a, 1);
    CU_ASSERT_EQUAL(server.asked_aaaa, 1);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("BOTH.test.")),
                           "2001:db8::1 10.0.0.1 2001:db8::2 10.0.0.2");
    CU_ASSERT_EQUAL(server.asked, 2);
    counts = resolver_counts(resolver);
    CU_ASSERT_EQUAL(counts.hits, 1);
    CU_ASSERT_EQUAL(counts.lookups, 1);
    CU_ASSERT_EQUAL(counts.entries, 1);
    CU_ASSERT_EQUAL(counts.under_way, 0);
    finish();
}

/* RFC 1035 section 3.2.1. */
static void
the_ttl_is_honoured(void)
{
    uint64_t began_ms, again_ms = 0;

    begin();
    start();
    server.ttl_s = 1;
    began_ms = loop_now_ms(loop);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("v4.test")), "10.0.0.1 10.0.0.2");
    server.host_byte = 7;
    for (unsigned i = 0; i < 100 && server.asked == 2; i++) { /* every 20 ms or so */
        turn_for(20);
        again_ms = loop_now_ms(loop);
        (void)resolve("v4.test");
    }
    CU_ASSERT_TRUE(again_ms - began_ms >= 1000);
    CU_ASSERT_EQUAL(server.asked, 4);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("v4.test")), "10.0.0.7 10.0.0.8");
    server.ttl_s = 0;
    (void)resolve("never-kept.test");
    server.asked = 0;
    (void)resolve("never-kept.test");
    CU_ASSERT_EQUAL(server.asked, 2);
    finish();
}

static void
an_alias_shortens_the_ttl(void)
{
    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("alias.test")), "2001:db8::1 10.0.0.1");
    CU_ASSERT_EQUAL(server.asked, 2);
    (void)resolve("alias.test");
    CU_ASSERT_EQUAL(server.asked, 4);
    finish();
}

static void
configured_limits_bound_the_ttl(void)
{
    struct err err;

    begin();
    conf.max_ttl_ms = 20;
    start();
    (void)resolve("long.test");
    turn_for(30);
    (void)resolve("long.test");
    CU_ASSERT_EQUAL(server.asked, 4);
    conf.max_ttl_ms = conf.min_ttl_ms = PATIENCE_MS;
    CU_ASSERT_EQUAL(resolver_configure(resolver, &conf, &err), 0);
    server.ttl_s = 0;
    (void)resolve("none-at-all.test");
    (void)resolve("none-at-all.test");
    CU_ASSERT_EQUAL(server.asked, 6);
    finish();
}

static void
equal_lookups_are_joined(void)
{
    struct asker askers[3];

    begin();
    start();
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_FALSE(ask(&askers[i], i == 1 ? "JOIN.test" : "join.test"));
    for (unsigned i = 0; i < 3; i++) {
        wait_for(&askers[i]);
        CU_ASSERT_EQUAL(askers[i].answer.count, 4);
    }
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_EQUAL(resolver_counts(resolver).joined, 2);
    finish();
}

static void
the_cache_is_bounded(void)
{
    char name[32];

    begin();
    conf.max_entries = 4;
    start();
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "n%u.test", i);
        CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_OK);
        CU_ASSERT_EQUAL(resolve("used.test").status, RESOLVE_OK);
        CU_ASSERT_TRUE(resolver_counts(resolver).entries <= 4);
    }
    CU_ASSERT_EQUAL(resolver_counts(resolver).lookups, 21); /* used.test stayed */
    finish();
}

static void
lookups_under_way_are_bounded(void)
{
    struct asker askers[4];

    begin();
    conf.max_lookups = 2;
    conf.limit_ms = 100;
    start();
    CU_ASSERT_FALSE(ask(&askers[0], "silent.a.test"));
    CU_ASSERT_FALSE(ask(&askers[1], "silent.b.test"));
    CU_ASSERT_TRUE(ask(&askers[2], "c.test"));
    CU_ASSERT_EQUAL(askers[2].answer.status, RESOLVE_TOO_MANY);
    CU_ASSERT_FALSE(ask(&askers[3], "silent.b.test")); /* no new one */
    for (unsigned i = 0; i < 4; i++)
        if (i != 2)
            wait_for(&askers[i]);
    CU_ASSERT_EQUAL(resolver_counts(resolver).under_way, 2); /* c-ares has not given up */
    CU_ASSERT_EQUAL(resolve("c.test").status, RESOLVE_TOO_MANY);
    CU_ASSERT_EQUAL(resolver_counts(resolver).refused, 2);
    finish();
}

static void
lookups_that_ended_make_room(void)
{
    begin();
    conf.max_lookups = 1;
    start();
    for (unsigned i = 0; i < 3; i++) {
        char name[32];

        snprintf(name, sizeof(name), "n%u.test", i);
        CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_OK);
    }
    CU_ASSERT_EQUAL(resolver_counts(resolver).refused, 0);
    finish();
}

/* ---- no */

/* RFC 2308 section 5. */
static void
no_such_name_is_kept_but_not_for_long(void)
{
    struct err err;

    begin();
    conf.negative_ms = PATIENCE_MS;
    start();
    CU_ASSERT_EQUAL(resolve("nx.test").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_EQUAL(resolve("nx.test").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 2);
    conf.negative_ms = 20;
    CU_ASSERT_EQUAL(resolver_configure(resolver, &conf, &err), 0);
    CU_ASSERT_EQUAL(resolve("nx.short.test").status, RESOLVE_NO_SUCH_HOST);
    turn_for(30);
    CU_ASSERT_EQUAL(resolve("nx.short.test").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 6);
    CU_ASSERT_EQUAL(resolve("none.test").status, RESOLVE_NO_SUCH_HOST);
    finish();
}

/* RFC 2308 section 5: "SHOULD NOT be cached" without a SOA record. */
static void
no_without_soa_is_not_kept(void)
{
    begin();
    start();
    (void)resolve("nx-no-soa.test");
    (void)resolve("nx-no-soa.test");
    CU_ASSERT_EQUAL(server.asked, 4);
    finish();
}

static void
one_family_is_enough(void)
{
    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("v4.test")), "10.0.0.1 10.0.0.2");
    CU_ASSERT_STRING_EQUAL(text_of(resolve("v4.test")), "10.0.0.1 10.0.0.2");
    CU_ASSERT_EQUAL(server.asked, 2); /* "no AAAA" does not shorten the answer */
    finish();
}

static void
unspecified_addresses_are_never_given(void)
{
    begin();
    start();
    CU_ASSERT_EQUAL(resolve("zero.test").status, RESOLVE_NO_SUCH_HOST);
    finish();
}

void
suite_resolve(void)
{
    CU_pSuite s = CU_add_suite("resolve", note_descriptors, NULL);

    CU_add_test(s, "literals are answered at once", literals_are_answered_at_once);
    CU_add_test(s, "bad names are refused without a question",
                bad_names_are_refused_without_a_question);
    CU_add_test(s, "special names are never asked for", special_names_are_never_asked_for);
    CU_add_test(s, "the hosts file comes first and is watched",
                the_hosts_file_comes_first_and_is_watched);
    CU_add_test(s, "A and AAAA are merged and kept", answers_are_merged_and_kept);
    CU_add_test(s, "the TTL is honoured", the_ttl_is_honoured);
    CU_add_test(s, "an alias shortens the TTL", an_alias_shortens_the_ttl);
    CU_add_test(s, "configured limits bound the TTL", configured_limits_bound_the_ttl);
    CU_add_test(s, "equal look-ups are joined", equal_lookups_are_joined);
    CU_add_test(s, "the cache is bounded", the_cache_is_bounded);
    CU_add_test(s, "look-ups under way are bounded", lookups_under_way_are_bounded);
    CU_add_test(s, "look-ups that ended make room", lookups_that_ended_make_room);
    CU_add_test(s, "no such name is kept, but not for long", no_such_name_is_kept_but_not_for_long);
    CU_add_test(s, "no without SOA is not kept", no_without_soa_is_not_kept);
    CU_add_test(s, "one family is enough", one_family_is_enough);
    CU_add_test(s, "unspecified addresses are never given", unspecified_addresses_are_never_given);
    CU_add_test(s, "no descriptor is left open", no_descriptor_is_left_open);
}
