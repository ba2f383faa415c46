/* SPDX-License-Identifier: BSD-2-Clause */
/* test_domain_set.c - domains by their fingerprints: what is found, what is not, and in
 * how much memory.
 */
#include "config.h"

#include "server/policy/domain_set.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>

/* Enough for several rounds of growing. */
#define MANY 200000u
#define BYTES_EACH_MAX 20u

static struct domain_set set;

static void
begin(const char *const *names)
{
    domain_set_init(&set);
    for (; *names != NULL; names++)
        CU_ASSERT_EQUAL(domain_set_add(&set, slice_of(*names), false), 1);
}

static unsigned
find(const char *host)
{
    return domain_set_find(&set, slice_of(host), NULL);
}

static void
finds_a_domain_and_all_below_it(void)
{
    static const char *const names[] = { "example.com", "ads.example.net", "xyz", NULL };
    struct slice host = SLICE("a.b.example.com"), domain = { NULL, 0 };

    begin(names);
    CU_ASSERT_EQUAL(find("example.com"), 2);
    CU_ASSERT_EQUAL(find("www.example.com"), 2);
    CU_ASSERT_EQUAL(find("a-much-longer-label-than-eight.b.c.example.com"), 2);
    CU_ASSERT_EQUAL(find("ads.example.net"), 3);
    CU_ASSERT_EQUAL(find("x.ads.example.net"), 3);
    CU_ASSERT_EQUAL(find("xyz"), 1);
    CU_ASSERT_EQUAL(find("t.xyz"), 1);
    CU_ASSERT_EQUAL(domain_set_find(&set, host, &domain), 2);
    CU_ASSERT(slice_equal(domain, SLICE("example.com")));
    CU_ASSERT_PTR_EQUAL(domain.data, host.data + 4);
    domain_set_fini(&set);
}

static void
finds_nothing_that_only_looks_alike(void)
{
    static const char *const names[] = { "example.com", "ads.example.net", "abcdefgh.org",
                                         "abcdefghi.org", NULL };

    begin(names);
    CU_ASSERT_EQUAL(find("com"), 0);
    CU_ASSERT_EQUAL(find("notexample.com"), 0);
    CU_ASSERT_EQUAL(find("example.com.evil.test"), 0);
    CU_ASSERT_EQUAL(find("example.net"), 0);
    CU_ASSERT_EQUAL(find("xads.example.net"), 0);
    CU_ASSERT_EQUAL(find("adsexample.net"), 0);
    CU_ASSERT_EQUAL(find("xabcdefgh.org"), 0);
    CU_ASSERT_EQUAL(find("bcdefgh.org"), 0);
    CU_ASSERT_EQUAL(find("abcdefg.h.org"), 0);
    CU_ASSERT_EQUAL(find("abcdefgh.org"), 2);
    CU_ASSERT_EQUAL(find("abcdefghi.org"), 2);
    CU_ASSERT_EQUAL(find("ample.com"), 0);
    CU_ASSERT_EQUAL(find(""), 0);
    CU_ASSERT_EQUAL(find("."), 0);
    CU_ASSERT_EQUAL(find("example.com.."), 0);
    CU_ASSERT_EQUAL(find(".com"), 0);
    domain_set_fini(&set);
}

/* RFC 1034 section 3.1: a name in full ends with the root. */
static void
does_not_mind_a_dot_at_the_end(void)
{
    static const char *const names[] = { "t.co", NULL };
    struct slice domain;

    begin(names);
    CU_ASSERT_EQUAL(find("t.co."), 2);
    CU_ASSERT_EQUAL(domain_set_find(&set, SLICE("a.t.co."), &domain), 2);
    CU_ASSERT(slice_equal(domain, SLICE("t.co")));
    domain_set_fini(&set);
}

static void
names_the_longest_domain_that_it_has(void)
{
    static const char *const names[] = { "example.com", "b.example.com", "a.b.c.example.com",
                                         NULL };

    begin(names);
    CU_ASSERT_EQUAL(find("a.example.com"), 2);
    CU_ASSERT_EQUAL(find("a.b.example.com"), 3);
    CU_ASSERT_EQUAL(find("x.a.b.c.example.com"), 5);
    CU_ASSERT_EQUAL(find("c.example.com"), 2);
    domain_set_fini(&set);
}

static void
leaves_out_what_is_covered_when_told_to(void)
{
    static const char *const names[] = { "example.com", NULL };

    begin(names);
    CU_ASSERT_EQUAL(domain_set_add(&set, SLICE("example.com"), false), 0);
    CU_ASSERT_EQUAL(domain_set_add(&set, SLICE("a.example.com"), true), 0);
    CU_ASSERT_EQUAL(domain_set_count(&set), 1);
    CU_ASSERT_EQUAL(domain_set_add(&set, SLICE("a.example.com"), false), 1);
    CU_ASSERT_EQUAL(domain_set_count(&set), 2);
    domain_set_fini(&set);
}

static void
knows_which_names_dns_can_have(void)
{
    char label[64 + 5];

    CU_ASSERT(domain_is_good(SLICE("a")));
    CU_ASSERT(domain_is_good(SLICE("_dmarc.xn--bcher-kva.example")));
    CU_ASSERT_FALSE(domain_is_good(SLICE("")));
    CU_ASSERT_FALSE(domain_is_good(SLICE(".a")));
    CU_ASSERT_FALSE(domain_is_good(SLICE("a.")));
    CU_ASSERT_FALSE(domain_is_good(SLICE("a..b")));
    CU_ASSERT_FALSE(domain_is_good(SLICE("A.b")));
    CU_ASSERT_FALSE(domain_is_good(SLICE("a b")));
    CU_ASSERT_FALSE(domain_is_good(SLICE("*.b")));
    memset(label, 'a', sizeof(label));
    CU_ASSERT(domain_is_good(slice_make(label, 63)));
    CU_ASSERT_FALSE(domain_is_good(slice_make(label, 64)));
}

/* RFC 1035 section 2.3.4: labels of 63, names of 253, so 127 labels. */
static void
keeps_the_longest_names_and_survives_longer_ones(void)
{
    static char deep[2 * 127], long_host[60000];
    static const char *const names[] = { "z.test", NULL };

    begin(names);
    for (unsigned i = 0; i < 127; i++)
        memcpy(deep + 2 * i, "a.", 2);
    CU_ASSERT(domain_is_good(slice_make(deep, 253)));
    CU_ASSERT_EQUAL(domain_set_add(&set, slice_make(deep, 253), true), 1);
    CU_ASSERT_EQUAL(domain_set_find(&set, slice_make(deep, 253), NULL), 127);
    CU_ASSERT_EQUAL(domain_set_find(&set, slice_make(deep, 251), NULL), 0);
    memset(long_host, 'a', sizeof(long_host));
    CU_ASSERT_EQUAL(domain_set_find(&set, slice_make(long_host, sizeof(long_host)), NULL), 0);
    memcpy(long_host + sizeof(long_host) - 7, ".z.test", 7);
    CU_ASSERT_EQUAL(domain_set_find(&set, slice_make(long_host, sizeof(long_host)), NULL), 2);
    memset(long_host, '.', sizeof(long_host));
    CU_ASSERT_EQUAL(domain_set_find(&set, slice_make(long_host, sizeof(long_host)), NULL), 0);
    memcpy(long_host + sizeof(long_host) - 253, deep, 253);
    CU_ASSERT_EQUAL(domain_set_find(&set, slice_make(long_host, sizeof(long_host)), NULL), 127);
    domain_set_fini(&set);
}

/* Read exactly as far as the host goes: for the address sanitizer. */
static void
reads_nothing_beside_the_host(void)
{
    static const char *const names[] = { "example.com", "co", NULL };

    begin(names);
    for (size_t bytes = 1; bytes < 24; bytes++) {
        static const char text[] = "www.averylong.example.com";
        char *exact = malloc(bytes);

        memcpy(exact, text + sizeof(text) - 1 - bytes, bytes);
        CU_ASSERT_EQUAL(domain_set_find(&set, slice_make(exact, bytes), NULL) > 0,
                        bytes == 11 || (bytes > 11 && exact[bytes - 12] == '.'));
        free(exact);
    }
    domain_set_fini(&set);
}

static size_t
name_of(unsigned i, char text[64])
{
    return (size_t)snprintf(text, 64, "%s%x.site%u.%s", i % 3 == 0 ? "a." : "", i * 2654435761u, i,
                            i % 2 == 0 ? "example" : "test");
}

static void
has_all_of_many_and_nothing_else(void)
{
    char text[64];
    unsigned missing = 0, extra = 0, added = 0;

    domain_set_init(&set);
    for (unsigned i = 0; i < MANY; i++)
        added += domain_set_add(&set, slice_make(text, name_of(i, text)), true) == 1;
    CU_ASSERT_EQUAL(added, MANY);
    CU_ASSERT_EQUAL(domain_set_count(&set), MANY);
    for (unsigned i = 0; i < MANY; i++) {
        missing += domain_set_find(&set, slice_make(text, name_of(i, text)), NULL) == 0;
        extra += domain_set_find(&set, slice_make(text, name_of(i + MANY, text)), NULL) > 0;
    }
    CU_ASSERT_EQUAL(missing, 0);
    CU_ASSERT_EQUAL(extra, 0);
    CU_ASSERT(domain_set_bytes(&set) <= MANY * BYTES_EACH_MAX);
    domain_set_fini(&set);
    CU_ASSERT_EQUAL(domain_set_count(&set), 0);
}

static struct fingerprint
late_mark(unsigned i)
{
    return (struct fingerprint){ .mark = UINT64_MAX - ((uint64_t)i << 48), .part = 9 };
}

/* Marks that all belong at the end of one part: the worst that chance could do. */
static void
makes_room_when_one_part_runs_over(void)
{
    struct fingerprint_set marks = { .count = 0 };
    unsigned missing = 0;

    for (unsigned i = 0; i < 300; i++)
        CU_ASSERT_EQUAL(fingerprint_set_add(&marks, late_mark(i)), 1);
    for (unsigned i = 0; i < 300; i++) {
        struct fingerprint mark = late_mark(i);

        missing += !fingerprint_set_has(&marks, mark);
        CU_ASSERT_EQUAL(fingerprint_set_add(&marks, mark), 0);
        mark.part = 10;
        CU_ASSERT_FALSE(fingerprint_set_has(&marks, mark));
    }
    CU_ASSERT_EQUAL(missing, 0);
    CU_ASSERT_EQUAL(marks.count, 300);
    fingerprint_set_fini(&marks);
}

void
suite_domain_set(void)
{
    CU_pSuite s = CU_add_suite("domain_set", NULL, NULL);

    CU_add_test(s, "finds a domain and all below it", finds_a_domain_and_all_below_it);
    CU_add_test(s, "finds nothing that only looks alike", finds_nothing_that_only_looks_alike);
    CU_add_test(s, "does not mind a dot at the end", does_not_mind_a_dot_at_the_end);
    CU_add_test(s, "names the longest domain that it has", names_the_longest_domain_that_it_has);
    CU_add_test(s, "leaves out what is covered when told to",
                leaves_out_what_is_covered_when_told_to);
    CU_add_test(s, "knows which names DNS can have", knows_which_names_dns_can_have);
    CU_add_test(s, "keeps the longest names and survives longer ones",
                keeps_the_longest_names_and_survives_longer_ones);
    CU_add_test(s, "reads nothing beside the host", reads_nothing_beside_the_host);
    CU_add_test(s, "has all of many and nothing else", has_all_of_many_and_nothing_else);
    CU_add_test(s, "makes room when one part runs over", makes_room_when_one_part_runs_over);
}
