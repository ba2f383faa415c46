/* SPDX-License-Identifier: BSD-2-Clause */
/* test_option.c - values are read as the tables say, and refused in words. */
#include "config.h"

#include "server/config/option.h"

#include <CUnit/CUnit.h>
#include <stdio.h>

#include "server/base/must.h"
#include "server/base/pattern.h"
#include "server/policy/prefix_set.h"

void suite_option(void);

static const char *const balance_words[] = { "round_robin", "least_connections", NULL };
static const int ops_a, ops_b;

static bool
letter_at(size_t i, struct option_family *family)
{
    static const struct option_family letters[] = {
        { .word = "alpha", .ops = &ops_a }, { .word = "beta", .ops = &ops_b },
    };

    if (i >= ARRAY_COUNT(letters))
        return false;
    *family = letters[i];
    return true;
}

/* What one row makes of text: 0, or -1 with err. */
static int
set(struct option row, const char *text, void *field, struct err *err)
{
    static struct arena arena;
    int result;

    arena_fini(&arena); /* of the call before: its results are looked at until now */
    arena_init(&arena, NULL, (size_t)1 << 20);
    row.name = "x";
    result = option_set_text(&row, slice_of(text), field, &arena, err);
    return result;
}

static const char *
refusal(struct option row, const char *text)
{
    static struct err err;
    union {
        char bytes[sizeof(struct address)];
        uint64_t align;
    } field;

    CU_ASSERT_EQUAL(set(row, text, &field, &err), -1);
    return err.text;
}

static void
reads_sizes_with_units(void)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {
        { "0", 0 }, { "1", 1 }, { "65536", 65536 }, { "64K", 65536 }, { "64k", 65536 },
        { "1M", 1048576 }, { "2G", UINT64_C(2) << 30 }, { "1T", UINT64_C(1) << 40 },
        { "64KB", 65536 }, { "64KiB", 65536 }, { "10B", 10 },
    };
    static const char *const bad[] = { "", "K", "-1", "1.5M", "1X", "1 K", "1KBs", "1Mi",
                                       "9223372036854775808", "9000000T" };
    uint64_t bytes;

    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        CU_ASSERT_EQUAL(option_parse_size(slice_of(sizes[i].text), &bytes, NULL), 0);
        CU_ASSERT_EQUAL(bytes, sizes[i].bytes);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_EQUAL(option_parse_size(slice_of(bad[i]), &bytes, NULL), -1);
}

static void
reads_times_with_units(void)
{
    static const struct {
        const char *text;
        uint32_t ms;
    } times[] = {
        { "0", 0 }, { "off", 0 }, { "500ms", 500 }, { "10s", 10000 }, { "5m", 300000 },
        { "1h", 3600000 }, { "2d", 172800000 }, { "1h30m", 5400000 }, { "1m1s1ms", 61001 },
        { "0s", 0 },
    };
    static const char *const bad[] = { "", "10", "s", "10x", "1.5s", "-1s", "30m1h", "1s1s",
                                       "10s5", "10 s", "50d", "99999999999999999999s" };
    uint32_t ms;

    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        CU_ASSERT_EQUAL(option_parse_time(slice_of(times[i].text), &ms, NULL), 0);
        CU_ASSERT_EQUAL(ms, times[i].ms);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_EQUAL(option_parse_time(slice_of(bad[i]), &ms, NULL), -1);
}

static void
keeps_numbers_within_their_range(void)
{
    const struct option port = { .type = OPTION_INT, .min = 1, .max = 65535 };
    const struct option size = { .type = OPTION_SIZE, .min = 4096, .max = 1048576 };
    const struct option time = { .type = OPTION_TIME, .min = 1 };
    const struct option below = { .type = OPTION_INT, .min = -10, .max = 0 };
    uint64_t bytes;
    int64_t n;

    CU_ASSERT_EQUAL(set(port, "65535", &n, NULL), 0);
    CU_ASSERT_EQUAL(n, 65535);
    CU_ASSERT_STRING_EQUAL(refusal(port, "70000"), "x 70000 is outside 1..65535");
    CU_ASSERT_STRING_EQUAL(refusal(port, "eighty"), "x \"eighty\" is not a whole number");
    CU_ASSERT_EQUAL(set(size, "4K", &bytes, NULL), 0);
    CU_ASSERT_STRING_EQUAL(refusal(size, "2M"), "x \"2M\" is outside 4K..1M");
    CU_ASSERT_STRING_EQUAL(refusal(time, "off"), "x \"off\" is too small: 1ms or more");
    CU_ASSERT_STRING_EQUAL(refusal(time, "10"),
                           "x \"10\" has no unit; write \"10s\" for seconds");
    CU_ASSERT_EQUAL(set(below, "-10", &n, NULL), 0);
    CU_ASSERT_EQUAL(n, -10);
    CU_ASSERT_STRING_EQUAL(refusal(below, "1"), "x 1 is outside -10..0");
}

static void
proposes_the_nearest_word(void)
{
    const struct option balance = { .type = OPTION_ENUM, .words = balance_words };
    int word = -1;

    CU_ASSERT_EQUAL(set(balance, "least_connections", &word, NULL), 0);
    CU_ASSERT_EQUAL(word, 1);
    CU_ASSERT_STRING_EQUAL(refusal(balance, "roundrobin"),
                           "x \"roundrobin\" is not one of \"round_robin\", "
                           "\"least_connections\"; did you mean \"round_robin\"?");
    CU_ASSERT_STRING_EQUAL(refusal(balance, "random"),
                           "x \"random\" is not one of \"round_robin\", \"least_connections\"");
}

static void
names_a_member_of_a_family(void)
{
    const struct option letter = { .type = OPTION_FAMILY, .family_at = letter_at };
    const void *ops = NULL;

    CU_ASSERT_EQUAL(set(letter, "beta", &ops, NULL), 0);
    CU_ASSERT_PTR_EQUAL(ops, &ops_b);
    CU_ASSERT_STRING_EQUAL(refusal(letter, "aplha"),
                           "x \"aplha\" is not known; did you mean \"alpha\"?");
}

static void
reads_lists_between_commas(void)
{
    const struct option strings = { .type = OPTION_STRINGS, .max = 2 };
    const struct option networks = { .type = OPTION_NETWORKS };
    const struct option addresses = { .type = OPTION_ADDRESSES };
    struct prefix_set *set_of_networks = NULL;
    struct addresses several;
    struct strings words;
    struct ip ip;

    CU_ASSERT_EQUAL(set(strings, "a, bc", &words, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(words.count, 2);
    CU_ASSERT_STRING_EQUAL(words.items[1].data, "bc");
    CU_ASSERT_STRING_EQUAL(refusal(strings, "a, b, c"),
                           "x has 3 elements, 0..2 would be accepted");
    CU_ASSERT_EQUAL(set(networks, "loopback, 10.0.0.0/8", &set_of_networks, NULL), 0);
    CU_ASSERT(ip_parse(SLICE("::1"), &ip) && prefix_set_has(set_of_networks, &ip));
    CU_ASSERT(ip_parse(SLICE("10.1.1.1"), &ip) && prefix_set_has(set_of_networks, &ip));
    CU_ASSERT_EQUAL(set(addresses, "127.0.0.1:80, unix:/x", &several, NULL), 0);
    CU_ASSERT_EQUAL(several.count, 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(addresses, "localhost:80"), "is not an IP address"));
}

static void
reads_ports_and_ranges(void)
{
    const struct option row = { .type = OPTION_PORTS };
    struct port_set ports;

    CU_ASSERT_EQUAL(set(row, "443, 8000-8999, 80, 8500-9000, 81", &ports, NULL), 0);
    CU_ASSERT_EQUAL(ports.count, 3);
    CU_ASSERT(port_set_has(&ports, 80) && port_set_has(&ports, 81) && port_set_has(&ports, 443));
    CU_ASSERT(port_set_has(&ports, 8000) && port_set_has(&ports, 9000));
    CU_ASSERT_FALSE(port_set_has(&ports, 79) || port_set_has(&ports, 82) ||
                    port_set_has(&ports, 7999) || port_set_has(&ports, 9001) ||
                    port_set_has(&ports, 0) || port_set_has(&ports, 65535));
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(row, "0"), "outside 1..65535"));
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(row, "1-65536"), "outside 1..65535"));
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(row, "9-8"), "ends before it begins"));
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(row, "http"), "is not a port"));
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(row, "http"), "[ 443, \"8000-8999\" ]"));
}

static void
reads_the_other_types(void)
{
    const struct option text = { .type = OPTION_STRING };
    const struct option boolean = { .type = OPTION_BOOL };
    const struct option address = { .type = OPTION_ADDRESS };
    const struct option expression = { .type = OPTION_PATTERN };
    struct pattern *pattern = NULL;
    const char *word = NULL;
    struct address where;
    bool is_on = false;

    CU_ASSERT_EQUAL(set(text, "a, b", &word, NULL), 0);
    CU_ASSERT_STRING_EQUAL(word, "a, b");
    CU_ASSERT_EQUAL(set(boolean, "true", &is_on, NULL), 0);
    CU_ASSERT(is_on);
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(boolean, "yes"), "neither true nor false"));
    CU_ASSERT_EQUAL(set(address, "*:80", &where, NULL), 0);
    CU_ASSERT_EQUAL(where.to.any.sa_family, AF_INET6);
    CU_ASSERT_EQUAL(set(expression, "^/a", &pattern, NULL), 0);
    CU_ASSERT_EQUAL(pattern_match(pattern, SLICE("/a/b"), NULL), PATTERN_HIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(refusal(expression, "("), "x the expression \"(\" is wrong"));
}

static const char *
nearest_of(const char *wanted, const char *const *words)
{
    struct nearest nearest;

    nearest_init(&nearest, slice_of(wanted));
    for (; *words != NULL; words++)
        nearest_offer(&nearest, *words);
    return nearest.best != NULL ? nearest.best : "";
}

static void
guesses_near_words_only(void)
{
    static const char *const words[] = { "listen", "listeners", "limits", "to", "access_log",
                                         NULL };

    CU_ASSERT_STRING_EQUAL(nearest_of("lisen", words), "listen");
    CU_ASSERT_STRING_EQUAL(nearest_of("litsen", words), "listen");
    CU_ASSERT_STRING_EQUAL(nearest_of("listener", words), "listeners");
    CU_ASSERT_STRING_EQUAL(nearest_of("Access-Log", words), "access_log");
    CU_ASSERT_STRING_EQUAL(nearest_of("acc", words), "access_log");
    CU_ASSERT_STRING_EQUAL(nearest_of("id", words), "");
    CU_ASSERT_STRING_EQUAL(nearest_of("timeouts", words), "");
    CU_ASSERT_STRING_EQUAL(nearest_of("", words), "");
    CU_ASSERT_STRING_EQUAL(nearest_of("a_word_that_is_far_too_long_to_be_a_misspelt_option_name",
                                      words), "");
}

static int
release_last(void)
{
    bool ignored;

    /* Frees the arena of the last call, so that leak checkers are quiet. */
    return set((struct option){ .type = OPTION_BOOL }, "true", &ignored, NULL);
}

void
suite_option(void)
{
    CU_pSuite s = CU_add_suite("option", NULL, release_last);

    CU_add_test(s, "reads sizes with units", reads_sizes_with_units);
    CU_add_test(s, "reads times with units", reads_times_with_units);
    CU_add_test(s, "keeps numbers within their range", keeps_numbers_within_their_range);
    CU_add_test(s, "proposes the nearest word", proposes_the_nearest_word);
    CU_add_test(s, "names a member of a family", names_a_member_of_a_family);
    CU_add_test(s, "reads lists between commas", reads_lists_between_commas);
    CU_add_test(s, "reads ports and ranges", reads_ports_and_ranges);
    CU_add_test(s, "reads the other types", reads_the_other_types);
    CU_add_test(s, "guesses near words only", guesses_near_words_only);
}
