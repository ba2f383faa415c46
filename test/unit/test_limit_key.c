/* SPDX-License-Identifier: BSD-2-Clause */
/* test_limit_key.c - who counts as the same, and how it is configured and shown. */
#include "config.h"

#include "server/policy/limit_key.h"

#include "server/policy/limit_page.h"
#include "test/unit/field_fixture.h"
#include "test/unit/limit_fixture.h"
#include "test/unit/suites.h"

#include <stdlib.h>

static struct ip
ip_of(const char *text)
{
    struct ip ip;

    CU_ASSERT_TRUE_FATAL(ip_parse(slice_of(text), &ip));
    return ip;
}

/* Whether two sets of facts are one key. */
static bool
is_same(const struct limit_conf *conf, const struct facts *a, const struct facts *b)
{
    uint64_t first = 0, second = 0;

    CU_ASSERT_TRUE(limit_key(conf, a, &first) && limit_key(conf, b, &second));
    return first == second;
}

static struct limit_conf
keyed(struct slice *parts, size_t count)
{
    struct limit_conf conf = limit_of(1, 1000, 1);
    struct err err;

    conf.key = (struct strings){ parts, count };
    CU_ASSERT_EQUAL_FATAL(limit_conf_finish(&conf, &err), 0);
    return conf;
}

static bool
is_same_client(const struct limit_conf *conf, const char *a, const char *b)
{
    struct facts first = { .client = ip_of(a) }, second = { .client = ip_of(b) };

    first.client.port = 1;
    return is_same(conf, &first, &second);
}

static void
ipv6_clients_count_by_their_network(void)
{
    struct limit_conf conf = keyed(limit_client_part, 1);

    CU_ASSERT_TRUE(is_same_client(&conf, "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
    CU_ASSERT_FALSE(is_same_client(&conf, "2001:db8:1:2::1", "2001:db8:1:3::1"));
    CU_ASSERT_TRUE(is_same_client(&conf, "192.0.2.1", "192.0.2.1"));
    CU_ASSERT_FALSE(is_same_client(&conf, "192.0.2.1", "192.0.2.2"));
    conf.ipv4_bits = 20;
    conf.ipv6_bits = 61;
    CU_ASSERT_TRUE(is_same_client(&conf, "192.0.16.1", "192.0.31.2"));
    CU_ASSERT_FALSE(is_same_client(&conf, "192.0.16.1", "192.0.32.1"));
    CU_ASSERT_TRUE(is_same_client(&conf, "2001:db8:1:8::", "2001:db8:1:f::"));
    CU_ASSERT_FALSE(is_same_client(&conf, "2001:db8:1:8::", "2001:db8:1:10::"));
}

static void
of_several_parts_each_combination_counts_apart(void)
{
    static struct slice parts[] = { SLICE_INIT("listener"), SLICE_INIT("host") };
    const struct limit_conf conf = keyed(parts, 2);
    const struct facts a = { .listener = SLICE("ab"), .host = SLICE("c") };
    const struct facts b = { .listener = SLICE("a"), .host = SLICE("bc") };
    const struct facts c = { .listener = SLICE("c"), .host = SLICE("ab") };

    CU_ASSERT_TRUE(is_same(&conf, &a, &a));
    CU_ASSERT_FALSE(is_same(&conf, &a, &b));
    CU_ASSERT_FALSE(is_same(&conf, &a, &c));
}

static void
what_is_not_there_is_not_limited(void)
{
    static const char *const names[] = { "client", "user", "host", "listener", "path", "method",
                                         "sni", "header:X-Key", "cookie:id" };
    const struct facts nothing = { .known = 0 };
    uint64_t key;

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct slice part = slice_of(names[i]);
        const struct limit_conf conf = keyed(&part, 1);

        CU_ASSERT_FALSE(limit_key(&conf, &nothing, &key));
    }
}

static void
headers_and_cookies_count_by_value(void)
{
    static struct slice parts[] = { SLICE_INIT("header:X-Key"), SLICE_INIT("cookie:id"),
                                    SLICE_INIT("header:User-Agent") };
    const struct limit_conf conf = keyed(parts, 3);
    struct request one = { .method = METHOD_GET }, other = one;
    struct facts a = { .request = &one }, b = { .request = &other };
    struct arena arena;
    uint64_t key;

    arena_init(&arena, NULL, 1 << 16);
    one.fields = *fields_of(&arena, "x-key: 1\nCookie: a=b; id=7; c=d\nUser-Agent: u");
    other.fields = *fields_of(&arena, "User-Agent: u\nX-Key: 1\nCookie: id=7");
    CU_ASSERT_TRUE(is_same(&conf, &a, &b));
    other.fields = *fields_of(&arena, "User-Agent: u\nX-Key: 1\nCookie: xid=7; id=8");
    CU_ASSERT_FALSE(is_same(&conf, &a, &b));
    other.fields = *fields_of(&arena, "User-Agent: u\nX-Key: 1\nCookie: idx=7");
    CU_ASSERT_FALSE(limit_key(&conf, &b, &key));
    arena_fini(&arena);
}

/* ---- configuration */

static void
refuse(struct limit_conf conf, const char *words)
{
    struct err err = { "" };

    CU_ASSERT_EQUAL(limit_conf_finish(&conf, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
    if (strstr(err.text, words) == NULL)
        printf("#   \"%s\" does not say \"%s\"\n", err.text, words);
}

static void
what_makes_no_sense_is_refused(void)
{
    struct limit_conf conf = limit_of(0, 0, 0);
    struct slice part;

    refuse(conf, "limits nothing");
    conf.concurrency = 1;
    conf.burst = 5;
    refuse(conf, "burst without rate");
    refuse(limit_of(1, DAY_MS, 1000000), "ten years");
    conf = limit_of(1, 1000, 1);
    conf.key = (struct strings){ &part, 1 };
    part = SLICE("cleint");
    refuse(conf, "did you mean \"client\"?");
    part = SLICE("header");
    refuse(conf, "\"header:NAME\" is what");
    part = SLICE("cookie:a b");
    refuse(conf, "\"cookie:NAME\" is what");
    part = SLICE("client:1");
    refuse(conf, "takes no name");
    conf.key = (struct strings){ (struct slice[]){ SLICE("header:A"), SLICE("header:a") }, 2 };
    refuse(conf, "twice");
}

static void
status_and_metrics_tell_of_each_limit(void)
{
    const struct limit_conf conf = limit_of(1, 1000, 1);
    struct table table;
    struct limit *limit = begin(&table, &conf);
    char text[4096] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    take_many(limit, 1, NOW, 3);
    limit_page_text(out, &table.conf.limits);
    limit_page_json(out, &table.conf.limits);
    limit_page_metrics(out, &table.conf.limits);
    fclose(out);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "1 keys           1 taken         2 refused"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, ",\"limits\":[{\"name\":\"test\",\"keys\":1,\"taken\":1,"
                                        "\"refused\":2,\"evicted\":0}]"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "bascule_limit_refused_total{limit=\"test\"} 2\n"));
    end(&table);
}

void
suite_limit_key(void)
{
    CU_pSuite s = CU_add_suite("limit_key", NULL, NULL);

    CU_add_test(s, "IPv6 clients count by their network", ipv6_clients_count_by_their_network);
    CU_add_test(s, "of several parts each combination counts apart",
                of_several_parts_each_combination_counts_apart);
    CU_add_test(s, "what is not there is not limited", what_is_not_there_is_not_limited);
    CU_add_test(s, "headers and cookies count by value", headers_and_cookies_count_by_value);
    CU_add_test(s, "what makes no sense is refused", what_makes_no_sense_is_refused);
    CU_add_test(s, "status and metrics tell of each limit", status_and_metrics_tell_of_each_limit);
}
