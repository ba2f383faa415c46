/* SPDX-License-Identifier: BSD-2-Clause */
/* test_prefix_set.c - networks hold what they should, and nothing beside. */
#include "config.h"

#include "server/policy/prefix_set.h"

#include <CUnit/CUnit.h>
#include <stdlib.h>

#include "server/base/must.h"

void suite_prefix_set(void);

/* A sealed set of the comma-separated networks. */
static struct prefix_set *
set_of(struct arena *arena, const char *networks)
{
    struct slice rest = slice_of(networks), network;
    struct prefix_set *set;
    struct err err = { "" };

    arena_init(arena, NULL, (size_t)8 << 20);
    set = prefix_set_new(arena);
    CU_ASSERT_PTR_NOT_NULL_FATAL(set);
    while (slice_next_element(&rest, &network))
        CU_ASSERT_EQUAL(prefix_set_add(set, network, &err), 0);
    prefix_set_seal(set);
    return set;
}

static struct ip
ip_of(const char *text)
{
    struct ip ip;

    CU_ASSERT_FATAL(ip_parse(slice_of(text), &ip));
    return ip;
}

static bool
has(const struct prefix_set *set, const char *text)
{
    struct ip ip = ip_of(text);

    return prefix_set_has(set, &ip);
}

static bool
has_embedded(const struct prefix_set *set, const char *text)
{
    struct ip ip = ip_of(text);

    return prefix_set_has_embedded(set, &ip);
}

static void
holds_a_network_up_to_its_edges(void)
{
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "10.0.0.0/8, 192.0.2.1, 2001:db8::/33, 2001:db9::7,"
                                            "255.255.255.254/31");

    CU_ASSERT_FALSE(has(set, "9.255.255.255"));
    CU_ASSERT(has(set, "10.0.0.0"));
    CU_ASSERT(has(set, "10.255.255.255"));
    CU_ASSERT_FALSE(has(set, "11.0.0.0"));
    CU_ASSERT(has(set, "192.0.2.1"));
    CU_ASSERT_FALSE(has(set, "192.0.2.2"));
    CU_ASSERT(has(set, "255.255.255.255"));
    CU_ASSERT_FALSE(has(set, "0.0.0.0"));
    CU_ASSERT(has(set, "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"));
    CU_ASSERT_FALSE(has(set, "2001:db8:8000::"));
    CU_ASSERT_FALSE(has(set, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"));
    CU_ASSERT(has(set, "2001:db9::7"));
    CU_ASSERT_FALSE(has(set, "2001:db9::8"));
    CU_ASSERT_EQUAL(prefix_set_count(set), 5);
    arena_fini(&arena);
}

static void
an_empty_set_has_nothing(void)
{
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "");
    struct ip none = { .family = 0 };

    CU_ASSERT_FALSE(has(set, "0.0.0.0"));
    CU_ASSERT_FALSE(has(set, "::"));
    CU_ASSERT_FALSE(has(NULL, "1.2.3.4"));
    CU_ASSERT_FALSE(prefix_set_has(set, &none));
    CU_ASSERT_FALSE(prefix_set_has_embedded(set, &none));
    arena_fini(&arena);
}

static void
overlapping_networks_melt(void)
{
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "10.1.0.0/16, 10.0.0.0/8, 10.2.0.0/16, 0.0.0.0/0,"
                                            "2001:db8:1::/48, ::/0, 2001:db8::/32");

    CU_ASSERT(has(set, "10.200.0.1"));
    CU_ASSERT(has(set, "255.255.255.255"));
    CU_ASSERT(has(set, "0.0.0.0"));
    CU_ASSERT(has(set, "ffff::"));
    arena_fini(&arena);
}

static void
mapped_networks_are_ipv4(void)
{
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "::ffff:10.0.0.0/104, 192.0.2.7");
    struct err err;

    CU_ASSERT(has(set, "10.1.2.3"));
    CU_ASSERT(has(set, "::ffff:192.0.2.7"));
    CU_ASSERT_EQUAL(prefix_set_add(set, SLICE("::ffff:0.0.0.0/90"), &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "apart"));
    arena_fini(&arena);
}

static void
is_right_before_it_is_sealed(void)
{
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "10.0.0.0/8");

    CU_ASSERT_EQUAL(prefix_set_add(set, SLICE("9.0.0.0/8"), NULL), 0);
    CU_ASSERT_EQUAL(prefix_set_add(set, SLICE("2001:db8::/32"), NULL), 0);
    CU_ASSERT(has(set, "9.1.1.1"));
    CU_ASSERT(has(set, "10.1.1.1"));
    CU_ASSERT(has(set, "2001:db8::1"));
    CU_ASSERT_FALSE(has(set, "8.1.1.1"));
    arena_fini(&arena);
}

static void
refuses_what_is_no_network(void)
{
    static const char *const findings[][2] = {
        { "10.0.0.1/8", "the network is \"10.0.0.0/8\"" },
        { "2001:db8::1/32", "the network is \"2001:db8::/32\"" },
        { "10.0.0.0/33", "0..32" },
        { "2001:db8::/129", "0..128" },
        { "10.0.0.0/", "0..32" },
        { "10.0.0.0/+8", "0..32" },
        { "10.0.0/8", "is not a network" },
        { "privat", "private" },
        { "", "is not a network" },
        { "/8", "is not a network" },
    };
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "");

    for (size_t i = 0; i < ARRAY_COUNT(findings); i++) {
        struct err err = { "" };

        CU_ASSERT_EQUAL(prefix_set_add(set, slice_of(findings[i][0]), &err), -1);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, findings[i][1]));
    }
    CU_ASSERT_EQUAL(prefix_set_count(set), 0);
    arena_fini(&arena);
}

static void
knows_the_small_groups(void)
{
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "loopback");

    CU_ASSERT(has(set, "127.255.255.255") && has(set, "::1") && has(set, "::ffff:127.0.0.1"));
    CU_ASSERT_FALSE(has(set, "128.0.0.0") || has(set, "::2"));
    arena_fini(&arena);
    set = set_of(&arena, "private");
    CU_ASSERT(has(set, "10.0.0.1") && has(set, "172.31.255.255") && has(set, "192.168.1.1"));
    CU_ASSERT(has(set, "100.127.255.255") && has(set, "fd00::1"));
    CU_ASSERT_FALSE(has(set, "172.32.0.0") || has(set, "100.128.0.0") || has(set, "127.0.0.1"));
    arena_fini(&arena);
    set = set_of(&arena, "link-local, multicast");
    CU_ASSERT(has(set, "169.254.169.254") && has(set, "fe80::1") && has(set, "febf:ffff::"));
    CU_ASSERT(has(set, "224.0.0.1") && has(set, "239.255.255.255") && has(set, "ff02::1"));
    CU_ASSERT_FALSE(has(set, "fec0::") || has(set, "240.0.0.0"));
    arena_fini(&arena);
    set = set_of(&arena, "any");
    CU_ASSERT(has(set, "0.0.0.0") && has(set, "255.255.255.255") && has(set, "::") &&
              has(set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    arena_fini(&arena);
}

/* The first and last address of every row of the IANA special-purpose
 * registries that is not a plain destination, and the reserved rest. */
static void
special_is_all_that_is_not_public(void)
{
    static const char *const special[] = {
        "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255",
        "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.0.0", "169.254.169.254",
        "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.192",
        "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255", "192.168.0.0",
        "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255",
        "203.0.113.0", "203.0.113.255", "224.0.0.0", "239.255.255.255", "240.0.0.0",
        "255.255.255.255", "::", "::1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
        "::ffff:0:8.8.8.8", "64:ff9a::1", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        "64:ff9b::1:0:0", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::1", "200::1", "1fff::",
        "2001:1::1", "2001:1::2", "2001:1::3", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff",
        "2001:4::", "2001:4:111:ffff::", "2001:4:113::", "2001:10::", "2001:20::1", "2001:3f::1",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff::", "4000::", "5f00::1",
        "8000::", "fc00::", "fd00:ec2::254", "fdff:ffff::", "fe00::", "fe80::", "fe80::1",
        "febf:ffff::", "fec0::", "feff:ffff::", "ff00::", "ff02::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "special");

    for (size_t i = 0; i < ARRAY_COUNT(special); i++) {
        CU_ASSERT(has(set, special[i]));
        if (!has(set, special[i]))
            printf("\n  not special: %s\n", special[i]);
    }
    arena_fini(&arena);
}

/* The neighbours of all those rows, and the globally reachable ones. */
static void
special_leaves_the_internet_alone(void)
{
    static const char *const public[] = {
        "1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255",
        "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17",
        "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255",
        "192.0.1.0", "192.0.3.0", "192.31.196.1", "192.52.193.1", "192.88.98.255", "192.88.100.0",
        "192.167.255.255", "192.169.0.0", "192.175.48.1", "198.17.255.255", "198.20.0.0",
        "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
        "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2000::", "2001:0:808:808:0:0:f7f7:f7f7",
        "2001:3::1", "2001:4:112::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::",
        "2001:db9::", "2002:808:808::1", "2606:4700::1111", "2620:4f:8000::1", "3ffe::1",
        "3fff:1000::",
    };
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "special");

    for (size_t i = 0; i < ARRAY_COUNT(public); i++) {
        CU_ASSERT_FALSE(has_embedded(set, public[i]));
        if (has_embedded(set, public[i]))
            printf("\n  not public: %s\n", public[i]);
    }
    arena_fini(&arena);
}

/* 10.1.2.3 in every wrapping: RFC 4291, RFC 2765, RFC 6052 section 2.2, RFC
 * 3056, RFC 4380 section 4, RFC 5214. */
static void
sees_ipv4_inside_ipv6(void)
{
    static const char *const wrapped[] = {
        "10.1.2.3", "::ffff:10.1.2.3", "::10.1.2.3", "::ffff:0:10.1.2.3", "64:ff9b::10.1.2.3",
        "64:ff9b:1::10.1.2.3", "64:ff9b:1:0:a:102:300:0", "64:ff9b:1:a:1:203::",
        "64:ff9b:1:a01:2:300::", "2002:a01:203::1", "2001:0:a01:203::",
        "2001:0:808:808:0:0:f5fe:fdfc", "2001:db8::5efe:10.1.2.3", "2001:db8::200:5efe:10.1.2.3",
    };
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "10.0.0.0/8");

    for (size_t i = 0; i < ARRAY_COUNT(wrapped); i++) {
        CU_ASSERT(has_embedded(set, wrapped[i]));
        if (!has_embedded(set, wrapped[i]))
            printf("\n  not seen: %s\n", wrapped[i]);
        CU_ASSERT(i < 2 || !has(set, wrapped[i]));
    }
    CU_ASSERT_FALSE(has_embedded(set, "2001:db8::10.1.2.3"));
    CU_ASSERT_FALSE(has_embedded(set, "64:ff9b::11.1.2.3"));
    CU_ASSERT_FALSE(has_embedded(set, "2002:b01:203::1"));
    arena_fini(&arena);
}

/* A thousand random networks agree with looking at each. */
static void
agrees_with_a_plain_search(void)
{
    enum { NETWORKS = 1000, QUESTIONS = 20000 };
    static uint32_t first[NETWORKS], last[NETWORKS];
    unsigned seed = 7;
    struct arena arena;
    struct prefix_set *set = set_of(&arena, "");

    for (int i = 0; i < NETWORKS; i++) {
        unsigned length = 8 + (unsigned)rand_r(&seed) % 25;
        uint32_t mask = (uint32_t)((UINT64_C(1) << (32 - length)) - 1);
        char text[IP_TEXT_BYTES];

        first[i] = ((uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed)) & ~mask;
        last[i] = first[i] | mask;
        snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", first[i] >> 24, first[i] >> 16 & 255,
                 first[i] >> 8 & 255, first[i] & 255, length);
        CU_ASSERT_EQUAL(prefix_set_add(set, slice_of(text), NULL), 0);
    }
    prefix_set_seal(set);
    for (int i = 0; i < QUESTIONS; i++) {
        uint32_t n = (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);
        struct ip ip = { .family = 4, .bytes = { (uint8_t)(n >> 24), (uint8_t)(n >> 16),
                                                 (uint8_t)(n >> 8), (uint8_t)n } };
        bool is_in = false;

        for (int j = 0; j < NETWORKS && !is_in; j++)
            is_in = first[j] <= n && n <= last[j];
        CU_ASSERT_EQUAL(prefix_set_has(set, &ip), is_in);
    }
    arena_fini(&arena);
}

static void
survives_a_spent_arena(void)
{
    struct arena arena;
    struct prefix_set *set;
    struct err err = { "" };
    int result = 0;

    arena_init(&arena, NULL, 16384);
    set = prefix_set_new(&arena);
    CU_ASSERT_PTR_NOT_NULL_FATAL(set);
    for (int i = 0; i < 10000 && result == 0; i++)
        result = prefix_set_add(set, SLICE("10.0.0.0/8"), &err);
    CU_ASSERT_EQUAL(result, -1);
    CU_ASSERT_STRING_EQUAL(err.text, "memory for networks is short");
    CU_ASSERT(has(set, "10.0.0.1"));
    arena_fini(&arena);
}

static void
has_a_number_for_its_addresses(void)
{
    static const char *const sets[] = { "10.0.0.0/8", "10.1.0.0/16, 10.0.0.0/8", "10.0.0.0/9",
                                        "fd00::/8", "10.0.0.0/8, fd00::/8", "0.0.0.0/0", "::/0" };
    uint64_t digests[ARRAY_COUNT(sets)];
    struct arena arena;

    for (size_t i = 0; i < ARRAY_COUNT(sets); i++) {
        digests[i] = prefix_set_digest(set_of(&arena, sets[i]));
        arena_fini(&arena);
        CU_ASSERT_NOT_EQUAL(digests[i], 0);
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_EQUAL(digests[i] == digests[j], i == 1 && j == 0);
    }
    CU_ASSERT_EQUAL(prefix_set_digest(NULL), 0);
    CU_ASSERT_EQUAL(prefix_set_digest(set_of(&arena, "")), 0);
    arena_fini(&arena);
}

void
suite_prefix_set(void)
{
    CU_pSuite s = CU_add_suite("prefix_set", NULL, NULL);

    CU_add_test(s, "holds a network up to its edges", holds_a_network_up_to_its_edges);
    CU_add_test(s, "an empty set has nothing", an_empty_set_has_nothing);
    CU_add_test(s, "overlapping networks melt", overlapping_networks_melt);
    CU_add_test(s, "mapped networks are IPv4", mapped_networks_are_ipv4);
    CU_add_test(s, "is right before it is sealed", is_right_before_it_is_sealed);
    CU_add_test(s, "refuses what is no network", refuses_what_is_no_network);
    CU_add_test(s, "knows the small groups", knows_the_small_groups);
    CU_add_test(s, "special is all that is not public", special_is_all_that_is_not_public);
    CU_add_test(s, "special leaves the internet alone", special_leaves_the_internet_alone);
    CU_add_test(s, "sees IPv4 inside IPv6", sees_ipv4_inside_ipv6);
    CU_add_test(s, "agrees with a plain search", agrees_with_a_plain_search);
    CU_add_test(s, "has a number for its addresses", has_a_number_for_its_addresses);
    CU_add_test(s, "survives a spent arena", survives_a_spent_arena);
}
