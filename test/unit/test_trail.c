/* SPDX-License-Identifier: BSD-2-Clause */
/* test_trail.c - records of exchanges, kept for a while (modes/trail.h, trail_ring.h). */
#include "config.h"

#include "modes/trail.h"

#include "modes/trail_ring.h"
#include "server/log/log_privacy.h"
#include "server/users/user.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- the ring */

#define WORDS 8

static void
fill(uint64_t record[WORDS], uint64_t id, uint32_t words)
{
    struct trail_mark mark = { .words = words, .id = id };

    memcpy(record, &mark, sizeof(mark));
    for (uint32_t i = 2; i < words; i++)
        record[i] = id * 31 + i;
}

static bool
is_as_filled(const uint64_t *record)
{
    struct trail_mark mark;

    memcpy(&mark, record, sizeof(mark));
    for (uint32_t i = 2; i < mark.words; i++)
        if (record[i] != mark.id * 31 + i)
            return false;
    return true;
}

static void
a_ring_keeps_the_newest_records(void)
{
    struct trail_ring *ring = trail_ring_new(20 * sizeof(uint64_t));
    struct trail_reader reader = { 0 };
    uint64_t record[WORDS];
    uint64_t expected = 0, count = 0;

    for (uint64_t id = 1; id <= 100; id++) {
        fill(record, id, 3 + id % 4);
        trail_ring_put(ring, record);
    }
    while (trail_ring_next(ring, &reader, record, WORDS)) {
        CU_ASSERT(is_as_filled(record));
        CU_ASSERT(expected == 0 || record[1] == expected);
        expected = record[1] + 1;
        count++;
    }
    CU_ASSERT_EQUAL(expected, 101);
    CU_ASSERT(count >= 3);
    trail_ring_free(ring);
}

static void
a_record_longer_than_the_ring_is_left_out(void)
{
    struct trail_ring *ring = trail_ring_new(4 * sizeof(uint64_t));
    struct trail_reader reader = { 0 };
    uint64_t record[WORDS];

    fill(record, 1, 8);
    trail_ring_put(ring, record);
    CU_ASSERT_FALSE(trail_ring_next(ring, &reader, record, WORDS));
    trail_ring_free(ring);
}

static void
one_id_is_found_among_others(void)
{
    struct trail_ring *ring = trail_ring_new(1000 * sizeof(uint64_t));
    struct trail_reader reader = { 0 };
    uint64_t record[WORDS];

    for (uint64_t id = 1; id <= 50; id++) {
        fill(record, id % 10, 5);
        trail_ring_put(ring, record);
    }
    for (int i = 0; i < 5; i++) {
        CU_ASSERT(trail_ring_next_of(ring, &reader, 7, record, WORDS));
        CU_ASSERT_EQUAL(record[1], 7);
    }
    CU_ASSERT_FALSE(trail_ring_next_of(ring, &reader, 7, record, WORDS));
    trail_ring_free(ring);
}

/* ---- readers while a thread writes */

static _Atomic bool is_over;

static void *
write_records(void *arg)
{
    struct trail_ring *ring = arg;
    uint64_t record[WORDS];

    for (uint64_t id = 1; id <= 200000; id++) {
        fill(record, id, 2 + id % (WORDS - 1));
        trail_ring_put(ring, record);
    }
    atomic_store(&is_over, true);
    return NULL;
}

static void
a_reader_never_sees_a_record_that_is_being_overwritten(void)
{
    struct trail_ring *ring = trail_ring_new(61 * sizeof(uint64_t));
    uint64_t record[WORDS];
    unsigned bad = 0, back = 0;
    pthread_t thread;

    atomic_store(&is_over, false);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, write_records, ring), 0);
    while (!atomic_load(&is_over)) {
        struct trail_reader reader = { 0 };
        uint64_t last = 0;

        while (trail_ring_next(ring, &reader, record, WORDS)) {
            bad += !is_as_filled(record);
            back += record[1] <= last;
            last = record[1];
        }
    }
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(bad, 0);
    CU_ASSERT_EQUAL(back, 0);
    trail_ring_free(ring);
}

/* ---- exchanges */

static struct loop *loop;
static struct worker worker;
static struct listener_conf listener = { .name = "office" };
static const struct place rule_place = { .file = "/etc/bascule/bascule.conf", .line = 14 };

static int
begin(void)
{
    struct err err;

    worker = (struct worker){ .id = 3 };
    worker.loop = loop = loop_new(&err);
    trail_resize(worker.id, 64 << 10);
    return loop != NULL ? 0 : -1;
}

static int
end(void)
{
    trail_resize(worker.id, 0);
    loop_free_all(loop);
    return 0;
}

static struct exchange ex;

static struct exchange *
exchange_begin(uint64_t id, const char *target)
{
    ex = (struct exchange){ .id = id, .worker = &worker, .listener = &listener,
                            .end = END_DENIED, .is_answered = true };
    arena_init(&ex.arena, NULL, 1 << 20);
    ex.last_decision = &ex.decisions;
    ex.phases.start_ns = loop_now_ns(loop);
    ex.client_ip = (struct ip){ .family = 4, .bytes = { 192, 0, 2, 7 } };
    ex.response.status = 403;
    ex.request = (struct request){ .method_name = SLICE("GET"), .form = TARGET_ORIGIN,
                                   .scheme = SLICE("http"), .authority = SLICE("www.example.com"),
                                   .target = slice_of(target) };
    return &ex;
}

static void
record(uint64_t id, const char *target)
{
    trail_record(exchange_begin(id, target));
    arena_fini(&ex.arena);
}

static void
what_was_decided_is_found_by_the_id(void)
{
    static struct trail_entry entry;

    exchange_begin(0xabc, "/path?q");
    exchange_decide(&ex, DECISION_ALLOW, &rule_place, "rule audit is true");
    exchange_decide_rule(&ex, DECISION_DENY, "no-ads", &rule_place, "host is in list \"ads\"");
    exchange_decide(&ex, DECISION_FAILURE, NULL, "built in");
    trail_record(&ex);
    arena_fini(&ex.arena);
    CU_ASSERT_TRUE_FATAL(trail_find(0xabc, &entry));
    CU_ASSERT(slice_equal(entry.url, SLICE("http://www.example.com/path?q")));
    CU_ASSERT(slice_equal(entry.listener, SLICE("office")));
    CU_ASSERT(slice_equal(entry.method, SLICE("GET")));
    CU_ASSERT_EQUAL(entry.status, 403);
    CU_ASSERT_EQUAL(entry.end, END_DENIED);
    CU_ASSERT(slice_equal(entry.client, SLICE("192.0.2.7")));
    CU_ASSERT_EQUAL_FATAL(entry.decision_count, 3);
    CU_ASSERT_EQUAL(entry.decisions[1].kind, DECISION_DENY);
    CU_ASSERT(slice_equal(entry.decisions[1].what, SLICE("host is in list \"ads\"")));
    CU_ASSERT(slice_equal(entry.decisions[1].file, slice_of(rule_place.file)));
    CU_ASSERT_EQUAL(entry.decisions[1].line, 14);
    CU_ASSERT(slice_equal(entry.decisions[1].rule, SLICE("no-ads")));
    CU_ASSERT_EQUAL(entry.decisions[0].rule.bytes, 0);
    CU_ASSERT_EQUAL(entry.decisions[2].line, 0);
    CU_ASSERT_EQUAL(entry.decisions[2].file.bytes, 0);
    CU_ASSERT_FALSE(entry.is_cut);
    CU_ASSERT_FALSE(trail_find(0xabd, &entry));
}

static void
of_two_records_with_one_id_the_newer_counts(void)
{
    static struct trail_entry entry;

    record(0x111, "/first");
    record(0x112, "/other");
    record(0x111, "/second");
    CU_ASSERT_TRUE_FATAL(trail_find(0x111, &entry));
    CU_ASSERT(slice_equal(entry.url, SLICE("http://www.example.com/second")));
}

/* A reload takes the decisions of running tunnels away with the snapshot. */
static void
what_a_tunnel_began_with_stays_known(void)
{
    static struct trail_entry entry;

    exchange_begin(0x444, "/");
    exchange_decide(&ex, DECISION_ALLOW, &rule_place, "allowed");
    trail_record(&ex);
    arena_fini(&ex.arena);
    exchange_begin(0x444, "/");
    ex.end = END_LIMIT;
    trail_record(&ex);
    arena_fini(&ex.arena);
    CU_ASSERT_TRUE_FATAL(trail_find(0x444, &entry));
    CU_ASSERT_EQUAL(entry.decision_count, 1);
    CU_ASSERT_EQUAL(entry.end, END_LIMIT);
}

/* Strangers choose URLs, operators names: both are bounded. */
static void
long_values_are_cut_and_it_says_so(void)
{
    static struct trail_entry entry;
    static char target[5000];

    memset(target, 'a', sizeof(target) - 1);
    exchange_begin(0x222, target);
    for (unsigned i = 0; i < 40; i++)
        exchange_decide(&ex, DECISION_ALLOW, &rule_place, "%.200s", target);
    trail_record(&ex);
    arena_fini(&ex.arena);
    CU_ASSERT_TRUE_FATAL(trail_find(0x222, &entry));
    CU_ASSERT_EQUAL(entry.url.bytes, TRAIL_URL_MAX);
    CU_ASSERT_TRUE(entry.is_cut);
    CU_ASSERT(entry.decision_count > 5 && entry.decision_count < 40);
}

static void
one_long_value_is_cut_and_it_says_so(void)
{
    static char target[2000];
    const struct user user = { .name = { target, 300 } };
    static struct trail_entry entry;

    memset(target, 'a', sizeof(target) - 1);
    record(0x223, target);
    CU_ASSERT_TRUE_FATAL(trail_find(0x223, &entry));
    CU_ASSERT_EQUAL(entry.url.bytes, TRAIL_URL_MAX);
    CU_ASSERT_TRUE(entry.is_cut);
    exchange_begin(0x224, "/");
    ex.user = &user;
    trail_record(&ex);
    arena_fini(&ex.arena);
    CU_ASSERT_TRUE_FATAL(trail_find(0x224, &entry));
    CU_ASSERT_EQUAL(entry.user.bytes, TRAIL_TEXT_MAX);
    CU_ASSERT_TRUE(entry.is_cut);
}

/* The last piece fits though the longest one would not. */
static void
what_fits_is_not_called_cut(void)
{
    static struct trail_entry entry;
    static char what[251];

    memset(what, 'a', sizeof(what) - 1);
    exchange_begin(0x225, "/");
    for (unsigned i = 0; i < 15; i++)
        exchange_decide(&ex, DECISION_ALLOW, NULL, "%s", what);
    exchange_decide(&ex, DECISION_ALLOW, NULL, "short");
    trail_record(&ex);
    arena_fini(&ex.arena);
    CU_ASSERT_TRUE_FATAL(trail_find(0x225, &entry));
    CU_ASSERT_EQUAL_FATAL(entry.decision_count, 16);
    CU_ASSERT(slice_equal(entry.decisions[15].what, SLICE("short")));
    CU_ASSERT_FALSE(entry.is_cut);
}

/* What the access log may not tell is not kept. */
static void
what_is_private_stays_so(void)
{
    static struct access_log_conf log = { .privacy = { .clients = LOG_CLIENTS_TRUNCATED } };
    static const struct user user = { .name = SLICE_INIT("bob") };
    static struct trail_entry entry;

    log.privacy.users = LOG_USERS_OFF;
    listener.access_log = &log;
    exchange_begin(0x333, "/search?q=secret");
    ex.user = &user;
    trail_record(&ex);
    arena_fini(&ex.arena);
    CU_ASSERT_TRUE_FATAL(trail_find(0x333, &entry));
    CU_ASSERT(slice_equal(entry.client, SLICE("192.0.2.0")));
    CU_ASSERT(slice_equal(entry.url, SLICE("http://www.example.com/search")));
    CU_ASSERT_EQUAL(entry.user.bytes, 0);
    listener.access_log = NULL;
    exchange_begin(0x334, "/search?q=secret");
    ex.user = &user;
    trail_record(&ex);
    arena_fini(&ex.arena);
    CU_ASSERT_TRUE_FATAL(trail_find(0x334, &entry));
    CU_ASSERT(slice_equal(entry.user, SLICE("bob")));
}

static void
a_new_size_keeps_what_fits(void)
{
    static struct trail_entry entry;
    uint64_t oldest_s;

    for (uint64_t id = 0x1000; id < 0x1100; id++)
        record(id, "/");
    trail_resize(worker.id, 8 << 10);
    CU_ASSERT_TRUE(trail_find(0x10ff, &entry));
    CU_ASSERT_FALSE(trail_find(0x1000, &entry));
    trail_resize(worker.id, 128 << 10);
    CU_ASSERT_TRUE(trail_find(0x10ff, &entry));
    CU_ASSERT_TRUE(trail_is_kept(loop_wall_ms(loop), &oldest_s));
    trail_resize(worker.id, 0);
    CU_ASSERT_FALSE(trail_find(0x10ff, &entry));
    CU_ASSERT_FALSE(trail_is_kept(loop_wall_ms(loop), &oldest_s));
    record(0x1200, "/");
    trail_resize(worker.id, 64 << 10);
    CU_ASSERT_FALSE(trail_find(0x1200, &entry));
}

void
suite_trail(void)
{
    CU_pSuite s = CU_add_suite("trail", begin, end);

    CU_add_test(s, "a ring keeps the newest records", a_ring_keeps_the_newest_records);
    CU_add_test(s, "a record longer than the ring is left out",
                a_record_longer_than_the_ring_is_left_out);
    CU_add_test(s, "one id is found among others", one_id_is_found_among_others);
    CU_add_test(s, "a reader never sees a record that is being overwritten",
                a_reader_never_sees_a_record_that_is_being_overwritten);
    CU_add_test(s, "what was decided is found by the id", what_was_decided_is_found_by_the_id);
    CU_add_test(s, "of two records with one id the newer counts",
                of_two_records_with_one_id_the_newer_counts);
    CU_add_test(s, "what a tunnel began with stays known", what_a_tunnel_began_with_stays_known);
    CU_add_test(s, "long values are cut, and it says so", long_values_are_cut_and_it_says_so);
    CU_add_test(s, "one long value is cut, and it says so",
                one_long_value_is_cut_and_it_says_so);
    CU_add_test(s, "what fits is not called cut", what_fits_is_not_called_cut);
    CU_add_test(s, "what is private stays so", what_is_private_stays_so);
    CU_add_test(s, "a new size keeps what fits", a_new_size_keeps_what_fits);
}
