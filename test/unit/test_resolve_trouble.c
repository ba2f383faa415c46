/* SPDX-License-Identifier: BSD-2-Clause */
/* test_resolve_trouble.c - names are resolved within bounds, whatever name servers do. */
#include "config.h"

#include "test/unit/resolve_fixture.h"

/* ---- trouble */

/* RFC 9520 section 3.2: failures are kept, too. */
static void
a_failure_is_told_and_kept_a_second(void)
{
    bool is_kept = false;
    char name[32];

    begin();
    start();
    CU_ASSERT_EQUAL(resolve("refused.test").status, RESOLVE_FAILED);
    CU_ASSERT_EQUAL(resolver_counts(resolver).failures, 1);
    for (unsigned i = 0; i < ROUNDS && !is_kept; i++) {
        uint64_t before = loop_now_ms(loop);
        unsigned asked;

        snprintf(name, sizeof(name), "servfail.%u.test", i);
        CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_FAILED);
        asked = server.asked;
        CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_FAILED);
        is_kept = server.asked == asked;
        CU_ASSERT_TRUE(is_kept || loop_now_ms(loop) - before >= 1000);
    }
    CU_ASSERT_TRUE(is_kept);
    finish();
}

static void
a_silent_server_is_told_within_the_limit(void)
{
    uint64_t before = clock_monotonic_ms();

    begin();
    conf.limit_ms = 250;
    start();
    CU_ASSERT_EQUAL(resolve("silent.test").status, RESOLVE_TIMEOUT);
    CU_ASSERT_TRUE(clock_monotonic_ms() - before >= 240);
    CU_ASSERT_TRUE(is_under_way()); /* until c-ares gives up, much later */
    finish();
}

static void
a_silent_server_is_asked_again(void)
{
    begin();
    conf.timeout_ms = 50;
    conf.tries = 3;
    start();
    CU_ASSERT_EQUAL(resolve("silent.test").status, RESOLVE_TIMEOUT);
    CU_ASSERT_EQUAL(server.asked_a, 3);
    CU_ASSERT_EQUAL(resolver_counts(resolver).timeouts, 1);
    CU_ASSERT_FALSE(is_under_way());
    finish();
}

static void
a_dead_server_is_told_at_once(void)
{
    begin();
    conf.limit_ms = PATIENCE_MS / 2; /* the status tells that nothing was waited for */
    start();
    close_watch(&server.udp);
    CU_ASSERT_EQUAL(resolve("any.test").status, RESOLVE_FAILED);
    finish();
}

/* RFC 8305 section 3: AAAA has 50 ms once A is there. Looked at again when the machine
 * may have been at fault. */
static void
a_missing_aaaa_delays_little(void)
{
    uint64_t took = UINT64_MAX;

    begin();
    start();
    for (unsigned i = 0; i < ROUNDS && took >= 500; i++) {
        uint64_t before = clock_monotonic_ms();
        char name[32];

        snprintf(name, sizeof(name), "a-only.%u.test", i);
        CU_ASSERT_STRING_EQUAL(text_of(resolve(name)), "10.0.0.1 10.0.0.2");
        took = clock_monotonic_ms() - before;
        CU_ASSERT_TRUE(took >= 45);
    }
    CU_ASSERT_TRUE(took < 500);
    finish();
}

static void
a_late_aaaa_improves_the_answer(void)
{
    begin();
    start();
    server.is_slow = true;
    CU_ASSERT_STRING_EQUAL(text_of(resolve("late.test")), "10.0.0.1 10.0.0.2");
    send_udp(&server.kept, &server.kept_for);
    wait_until_nothing_is_under_way();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("late.test")),
                           "2001:db8::1 10.0.0.1 2001:db8::2 10.0.0.2");
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_FALSE(is_under_way());
    finish();
}

/* What arrives after a newer look-up began must not undo it. */
static void
an_outdated_lookup_changes_nothing(void)
{
    begin();
    conf.max_ttl_ms = 1;
    start();
    server.is_slow = true;
    (void)resolve("late.test");
    server.is_slow = false;
    server.host_byte = 9;
    turn_for(10);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("late.test")),
                           "2001:db8::9 10.0.0.9 2001:db8::a 10.0.0.10");
    CU_ASSERT_EQUAL(resolver_counts(resolver).under_way, 1);
    send_udp(&server.kept, &server.kept_for);
    wait_until_nothing_is_under_way();
    CU_ASSERT_EQUAL(resolver_counts(resolver).entries, 1);
    finish();
}

/* RFC 8767 section 5. */
static void
a_stale_answer_serves_while_servers_fail(void)
{
    struct resolve_answer got;
    uint64_t lookups;
    char name[32];

    begin();
    conf.max_ttl_ms = 10;
    conf.limit_ms = 150;
    conf.stale_ms = PATIENCE_MS;
    start();
    learn("old.%u.test", name);
    CU_ASSERT_EQUAL(resolver_counts(resolver).stale, 0);
    server.is_silent = true;
    turn_for(20);
    got = resolve(name);
    CU_ASSERT_EQUAL(got.status, RESOLVE_OK);
    CU_ASSERT_EQUAL(got.count, 4);
    CU_ASSERT_TRUE(got.is_stale);
    CU_ASSERT_EQUAL(resolver_counts(resolver).stale, 1);
    lookups = resolver_counts(resolver).lookups;
    got = resolve(name); /* and is not asked for again at once */
    CU_ASSERT_TRUE(got.is_stale);
    CU_ASSERT_EQUAL(resolver_counts(resolver).lookups, lookups);
    finish();
}

static void
stale_answers_end(void)
{
    char name[32];

    begin();
    conf.max_ttl_ms = 10;
    conf.limit_ms = 150;
    conf.stale_ms = 50;
    start();
    learn("old.%u.test", name);
    server.is_silent = true;
    turn_for(80);
    CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_TIMEOUT);
    finish();
}

/* ---- hostile servers */

static void
answers_to_other_questions_are_ignored(void)
{
    begin();
    conf.limit_ms = 100;
    start();
    CU_ASSERT_EQUAL(resolve("wrong-id.test").status, RESOLVE_TIMEOUT);
    CU_ASSERT_EQUAL(resolve("wrong-question.test").status, RESOLVE_TIMEOUT);
    CU_ASSERT_NOT_EQUAL(resolve("short.test").status, RESOLVE_OK);
    finish();
}

static void
endless_answers_are_cut(void)
{
    struct resolve_answer got;
    unsigned of_ipv4 = 0;

    begin();
    start();
    got = resolve("many.test");
    CU_ASSERT_EQUAL(got.count, RESOLVE_ADDRESSES_MAX);
    for (unsigned i = 0; i < got.count; i++)
        of_ipv4 += got.ips[i].family == 4;
    CU_ASSERT_EQUAL(of_ipv4, RESOLVE_ADDRESSES_MAX / 2);
    finish();
}

/* RFC 7766 section 5. */
static void
truncated_answers_are_fetched_over_tcp(void)
{
    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("cut.test")),
                           "2001:db8::1 10.0.0.1 2001:db8::2 10.0.0.2");
    CU_ASSERT_EQUAL(server.asked_tcp, 2);
    finish();
}

static void
alias_loops_end(void)
{
    begin();
    start();
    CU_ASSERT_NOT_EQUAL(resolve("alias-loop.test").status, RESOLVE_OK);
    finish();
}

static void
noise_does_no_harm(void)
{
    char name[32];
    unsigned count = 0;

    begin();
    conf.timeout_ms = 50;
    conf.tries = 1;
    conf.limit_ms = 60;
    start();
    server.random = 1;
    for (unsigned i = 0; i < 300; i += 30) {
        struct asker askers[30];

        for (unsigned n = 0; n < 30; n++) {
            snprintf(name, sizeof(name), "noise.%u.test", i + n);
            CU_ASSERT_FALSE(ask(&askers[n], name));
        }
        for (unsigned n = 0; n < 30; n++)
            wait_for(&askers[n]);
    }
    for (unsigned i = 0; i < ROUNDS && count < 4; i++) { /* again when 60 ms were too few for us */
        snprintf(name, sizeof(name), "fine.%u.test", i);
        count = resolve(name).count;
    }
    CU_ASSERT_EQUAL(count, 4);
    finish();
}

void
suite_resolve_trouble(void)
{
    CU_pSuite s = CU_add_suite("resolve_trouble", note_descriptors, NULL);

    CU_add_test(s, "a failure is told, and kept a second", a_failure_is_told_and_kept_a_second);
    CU_add_test(s, "a silent server is told within the limit",
                a_silent_server_is_told_within_the_limit);
    CU_add_test(s, "a silent server is asked again", a_silent_server_is_asked_again);
    CU_add_test(s, "a dead server is told at once", a_dead_server_is_told_at_once);
    CU_add_test(s, "a missing AAAA delays little", a_missing_aaaa_delays_little);
    CU_add_test(s, "a late AAAA improves the answer", a_late_aaaa_improves_the_answer);
    CU_add_test(s, "an outdated look-up changes nothing", an_outdated_lookup_changes_nothing);
    CU_add_test(s, "a stale answer serves while servers fail",
                a_stale_answer_serves_while_servers_fail);
    CU_add_test(s, "stale answers end", stale_answers_end);
    CU_add_test(s, "answers to other questions are ignored",
                answers_to_other_questions_are_ignored);
    CU_add_test(s, "endless answers are cut, both families kept", endless_answers_are_cut);
    CU_add_test(s, "truncated answers are fetched over TCP",
                truncated_answers_are_fetched_over_tcp);
    CU_add_test(s, "alias loops end", alias_loops_end);
    CU_add_test(s, "noise does no harm", noise_does_no_harm);
    CU_add_test(s, "no descriptor is left open", no_descriptor_is_left_open);
}
