/* SPDX-License-Identifier: BSD-2-Clause */
/* test_pool.c - idle upstream connections (server/upstream/pool.h). */
#include "config.h"

#include "server/upstream/pool.h"
#include "test/unit/suites.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/snapshot.h"
#include "server/worker.h"
#include "test/unit/upstream_fixture.h"

/* One end of a socket pair in the pool, the other in the hand of the test. */
struct line {
    struct pooled pooled;
    int peer;
    bool is_dead;
};

static struct worker worker;
static struct counters counters;
static struct snapshot current;

static int
begin(void)
{
    struct err err;

    memset(&worker, 0, sizeof(worker));
    memset(&counters, 0, sizeof(counters));
    worker.id = 3;
    worker.counters = &counters;
    worker.loop = loop_new(&err);
    return worker.loop != NULL ? 0 : -1;
}

static int
end(void)
{
    pools_close(&worker);
    loop_free_all(worker.loop);
    return 0;
}

static uint64_t
idle_counter(void)
{
    return atomic_load(&counters.upstream_idle);
}

static void
on_dead(struct pooled *pooled)
{
    struct line *line = container_of(pooled, struct line, pooled);

    CU_ASSERT_PTR_NULL(pooled->pool);
    CU_ASSERT_FALSE(line->is_dead);
    line->is_dead = true;
    conn_close(&pooled->conn);
}

static void
never(struct conn *conn)
{
    (void)conn;
    CU_FAIL("an event reached the protocol while the connection was idle");
}

static void
line_open(struct line *line)
{
    char byte;
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    memset(line, 0, sizeof(*line));
    line->peer = fds[1];
    CU_ASSERT_EQUAL_FATAL(conn_open(&line->pooled.conn, worker.loop, fds[0], never, NULL), 0);
    pooled_init(&line->pooled, on_dead);
    /* As after a response: nothing is left to read. */
    CU_ASSERT_EQUAL(conn_recv(&line->pooled.conn, &byte, 1), CONN_WAIT);
}

static void
line_close(struct line *line)
{
    if (line->pooled.pool != NULL)
        CU_ASSERT_PTR_EQUAL(pool_take(line->pooled.pool), &line->pooled);
    conn_close(&line->pooled.conn);
    if (line->peer >= 0)
        close(line->peer);
}

/* Turns the loop until *flag, for a minute at most. */
static void
wait_for(const bool *flag)
{
    uint64_t until_ms = loop_now_ms(worker.loop) + 60000;

    while (!*flag && loop_now_ms(worker.loop) < until_ms)
        loop_turn(worker.loop, 20);
    CU_ASSERT(*flag);
}

static void
lends_the_most_recently_used_first(void)
{
    struct pool *pool = pool_new(4, 60000, &worker);
    struct line lines[3];
    int i;

    CU_ASSERT_PTR_NULL(pool_take(pool));
    for (i = 0; i < 3; i++) {
        line_open(&lines[i]);
        CU_ASSERT_TRUE(pool_give(pool, &lines[i].pooled));
    }
    CU_ASSERT_EQUAL(pool_idle_count(pool), 3);
    CU_ASSERT_EQUAL(idle_counter(), 3);
    CU_ASSERT_PTR_EQUAL(pool_take(pool), &lines[2].pooled);
    CU_ASSERT_TRUE(pool_give(pool, &lines[2].pooled));
    for (i = 2; i >= 0; i--) {
        CU_ASSERT_PTR_EQUAL(pool_take(pool), &lines[i].pooled);
        CU_ASSERT_FALSE(timer_is_armed(&lines[i].pooled.conn.timer));
        line_close(&lines[i]);
    }
    CU_ASSERT_EQUAL(idle_counter(), 0);
    pool_free(pool);
}

static void
keeps_no_more_than_its_limit(void)
{
    struct pool *pool = pool_new(1, 60000, &worker);
    struct line a, b;

    line_open(&a);
    line_open(&b);
    CU_ASSERT_TRUE(pool_give(pool, &a.pooled));
    CU_ASSERT_FALSE(pool_give(pool, &b.pooled));
    CU_ASSERT_FALSE(pool_give(NULL, &b.pooled));
    CU_ASSERT_PTR_NULL(pool_take(NULL));
    line_close(&b);
    line_close(&a);
    pool_free(pool);
}

/* RFC 9112 section 9.5: either side may close an idle connection at any time. */
static void
notices_when_the_peer_closes(void)
{
    struct pool *pool = pool_new(4, 60000, &worker);
    struct line line;

    line_open(&line);
    CU_ASSERT_TRUE(pool_give(pool, &line.pooled));
    close(line.peer);
    line.peer = -1;
    wait_for(&line.is_dead);
    CU_ASSERT_PTR_NULL(pool_take(pool));
    CU_ASSERT_EQUAL(idle_counter(), 0);
    pool_free(pool);
}

/* Bytes nobody asked for would be taken for the next answer. */
static void
drops_a_connection_that_speaks_unasked(void)
{
    struct pool *pool = pool_new(4, 60000, &worker);
    struct line line;

    line_open(&line);
    CU_ASSERT_TRUE(pool_give(pool, &line.pooled));
    CU_ASSERT_EQUAL(send(line.peer, "x", 1, 0), 1);
    wait_for(&line.is_dead);
    CU_ASSERT_PTR_NULL(pool_take(pool));
    line_close(&line);
    pool_free(pool);
}

static void
refuses_a_connection_with_unread_bytes_or_an_end(void)
{
    struct pool *pool = pool_new(4, 60000, &worker);
    struct line line;

    line_open(&line);
    CU_ASSERT_EQUAL(send(line.peer, "x", 1, 0), 1);
    line.pooled.conn.may_read = true;
    CU_ASSERT_FALSE(pool_give(pool, &line.pooled));
    line_close(&line);
    line_open(&line);
    close(line.peer);
    line.peer = -1;
    line.pooled.conn.may_read = true;
    CU_ASSERT_FALSE(pool_give(pool, &line.pooled));
    line_close(&line);
    pool_free(pool);
}

static void
late_news_of_bytes_already_read_do_no_harm(void)
{
    struct pool *pool = pool_new(4, 60000, &worker);
    struct line line;
    char text[8];
    int turns;

    line_open(&line);
    CU_ASSERT_EQUAL(send(line.peer, "answer", 6, 0), 6);
    line.pooled.conn.may_read = true;
    CU_ASSERT_EQUAL(conn_recv(&line.pooled.conn, text, sizeof(text)), 6);
    CU_ASSERT_TRUE(pool_give(pool, &line.pooled));
    for (turns = 0; turns < 3; turns++)
        loop_turn(worker.loop, 0);
    CU_ASSERT_FALSE(line.is_dead);
    line_close(&line);
    pool_free(pool);
}

static void
closes_what_was_idle_too_long(void)
{
    struct pool *pool = pool_new(4, 30, &worker);
    struct line line;

    line_open(&line);
    CU_ASSERT_TRUE(pool_give(pool, &line.pooled));
    wait_for(&line.is_dead);
    CU_ASSERT_EQUAL(pool_idle_count(pool), 0);
    line_close(&line);
    pool_free(pool);
}

static void
freeing_a_pool_closes_what_is_idle(void)
{
    struct pool *pool = pool_new(4, 60000, &worker);
    struct line a, b;

    line_open(&a);
    line_open(&b);
    CU_ASSERT_TRUE(pool_give(pool, &a.pooled));
    CU_ASSERT_TRUE(pool_give(pool, &b.pooled));
    pool_free(pool);
    pool_free(NULL);
    CU_ASSERT(a.is_dead && b.is_dead);
    CU_ASSERT_EQUAL(idle_counter(), 0);
    line_close(&a);
    line_close(&b);
}

static void
each_endpoint_has_one_pool_with_the_limits_of_its_group(void)
{
    const int weights[] = { 1, 1 };
    struct group_fixture f;
    struct pool *first, *second;
    struct line line;

    fixture_init(&f, 0, weights, 2);
    f.conf.timeouts.idle_ms = 60000;
    first = pool_of_endpoint(&worker, fixture_endpoint(&f, 0), &f.conf);
    second = pool_of_endpoint(&worker, fixture_endpoint(&f, 1), &f.conf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_PTR_NOT_EQUAL(first, second);
    CU_ASSERT_PTR_EQUAL(pool_of_endpoint(&worker, fixture_endpoint(&f, 0), &f.conf), first);
    line_open(&line);
    f.conf.max_idle = 0;
    first = pool_of_endpoint(&worker, fixture_endpoint(&f, 0), &f.conf);
    CU_ASSERT_FALSE(pool_give(first, &line.pooled));
    line_close(&line);
    pools_close(&worker);
    fixture_fini(&f);
    CU_ASSERT_EQUAL(registry_count(&endpoint_kind), 0);
}

/* The rule of pool.h: a worker's pool outlives the snapshot by no more than the
 * next sweep, and keeps its endpoint alive until then. */
static void
a_sweep_frees_the_pools_of_endpoints_that_are_gone(void)
{
    const int weights[] = { 1, 1 };
    struct group_fixture old, fresh;
    struct endpoint *gone, *kept;
    struct line line, other;
    struct err err;

    fixture_init(&old, 0, weights, 2);
    old.conf.timeouts.idle_ms = 60000;
    current.generation = 1;
    worker.snapshot = &current;
    kept = fixture_endpoint(&old, 0);
    gone = fixture_endpoint(&old, 1);
    line_open(&line);
    line_open(&other);
    CU_ASSERT_TRUE(pool_give(pool_of_endpoint(&worker, kept, &old.conf), &other.pooled));
    CU_ASSERT_TRUE(pool_give(pool_of_endpoint(&worker, gone, &old.conf), &line.pooled));

    fixture_init(&fresh, 0, weights, 1);
    CU_ASSERT_EQUAL(endpoint_adopt(&fresh.endpoints[0], &fresh.conf, 2, &err), 0);
    fixture_fini(&old);
    CU_ASSERT_EQUAL(registry_count(&endpoint_kind), 2);
    current.generation = 2;
    pools_sweep(&worker);
    CU_ASSERT(line.is_dead);
    CU_ASSERT_FALSE(other.is_dead);
    CU_ASSERT_EQUAL(registry_count(&endpoint_kind), 1);
    CU_ASSERT_PTR_EQUAL(pool_take(pool_of_endpoint(&worker, kept, &fresh.conf)), &other.pooled);

    pools_close(&worker);
    endpoint_unref(kept); /* the second adoption */
    fixture_fini(&fresh);
    CU_ASSERT_EQUAL(registry_count(&endpoint_kind), 0);
    worker.snapshot = NULL;
    line_close(&line);
    line_close(&other);
}

static void
an_exchange_of_an_old_snapshot_gets_no_pool_for_what_is_gone(void)
{
    const int weights[] = { 1 };
    struct group_fixture f;

    fixture_init(&f, 0, weights, 1);
    current.generation = 2;
    worker.snapshot = &current;
    CU_ASSERT_PTR_NULL(pool_of_endpoint(&worker, fixture_endpoint(&f, 0), &f.conf));
    worker.snapshot = NULL;
    fixture_fini(&f);
}

static void
destinations_have_a_pool_while_they_need_it(void)
{
    struct slice key = SLICE("www.example.com:80");
    struct pool *pool;
    struct line line;
    uint64_t until_ms;

    CU_ASSERT_PTR_NULL(pool_of_destination(&worker, key));
    pool = pool_of_destination_for_give(&worker, key, 30);
    line_open(&line);
    CU_ASSERT_TRUE(pool_give(pool, &line.pooled));
    CU_ASSERT_PTR_EQUAL(pool_of_destination(&worker, key), pool);
    CU_ASSERT_PTR_NULL(pool_of_destination(&worker, SLICE("www.example.com:81")));
    CU_ASSERT_PTR_EQUAL(pool_take(pool), &line.pooled);
    CU_ASSERT_PTR_EQUAL(pool_of_destination_for_give(&worker, key, 30), pool);
    until_ms = loop_now_ms(worker.loop) + 60000;
    while (pool_of_destination(&worker, key) != NULL && loop_now_ms(worker.loop) < until_ms)
        loop_turn(worker.loop, 20);
    CU_ASSERT_PTR_NULL(pool_of_destination(&worker, key));
    line_close(&line);
}

static void
idle_connections_to_all_destinations_are_bounded_oldest_first(void)
{
    enum { EXTRA = 5, COUNT = DESTINATIONS_IDLE_MAX + EXTRA };
    struct line *lines = calloc(COUNT, sizeof(*lines));
    int i, dead = 0;

    for (i = 0; i < COUNT; i++) {
        char key[32];
        int bytes = snprintf(key, sizeof(key), "h%d.example:80", i % 50);

        line_open(&lines[i]);
        close(lines[i].peer); /* spare descriptors; its end is not looked at in this turn */
        lines[i].peer = -1;
        CU_ASSERT_TRUE(pool_give(pool_of_destination_for_give(
                                     &worker, slice_make(key, (size_t)bytes), 60000),
                                 &lines[i].pooled));
    }
    for (i = 0; i < COUNT; i++)
        dead += lines[i].is_dead;
    CU_ASSERT_EQUAL(dead, EXTRA);
    for (i = 0; i < EXTRA; i++)
        CU_ASSERT(lines[i].is_dead);
    CU_ASSERT_EQUAL(idle_counter(), DESTINATIONS_IDLE_MAX);
    pools_close(&worker);
    CU_ASSERT_EQUAL(idle_counter(), 0);
    for (i = 0; i < COUNT; i++)
        line_close(&lines[i]);
    loop_turn(worker.loop, 0);
    free(lines);
}

static void
destinations_are_bounded_least_recently_used_first(void)
{
    char key[32];
    int i, bytes;

    for (i = 0; i <= DESTINATIONS_MAX; i++) {
        bytes = snprintf(key, sizeof(key), "h%d.example:80", i);
        CU_ASSERT_PTR_NOT_NULL(
            pool_of_destination_for_give(&worker, slice_make(key, (size_t)bytes), 60000));
        CU_ASSERT_PTR_NOT_NULL(pool_of_destination(&worker, SLICE("h0.example:80")));
    }
    CU_ASSERT_PTR_NULL(pool_of_destination(&worker, SLICE("h1.example:80")));
    CU_ASSERT_PTR_NOT_NULL(pool_of_destination(&worker, SLICE("h2.example:80")));
    pools_close(&worker);
    CU_ASSERT_PTR_NULL(pool_of_destination(&worker, SLICE("h2.example:80")));
}

void
suite_pool(void)
{
    CU_pSuite s = CU_add_suite("pool", begin, end);

    CU_add_test(s, "lends the most recently used first", lends_the_most_recently_used_first);
    CU_add_test(s, "keeps no more than its limit", keeps_no_more_than_its_limit);
    CU_add_test(s, "notices when the peer closes", notices_when_the_peer_closes);
    CU_add_test(s, "drops a connection that speaks unasked",
                drops_a_connection_that_speaks_unasked);
    CU_add_test(s, "refuses a connection with unread bytes or an end",
                refuses_a_connection_with_unread_bytes_or_an_end);
    CU_add_test(s, "late news of bytes already read do no harm",
                late_news_of_bytes_already_read_do_no_harm);
    CU_add_test(s, "closes what was idle too long", closes_what_was_idle_too_long);
    CU_add_test(s, "freeing a pool closes what is idle", freeing_a_pool_closes_what_is_idle);
    CU_add_test(s, "each endpoint has one pool with the limits of its group",
                each_endpoint_has_one_pool_with_the_limits_of_its_group);
    CU_add_test(s, "a sweep frees the pools of endpoints that are gone",
                a_sweep_frees_the_pools_of_endpoints_that_are_gone);
    CU_add_test(s, "an exchange of an old snapshot gets no pool for what is gone",
                an_exchange_of_an_old_snapshot_gets_no_pool_for_what_is_gone);
    CU_add_test(s, "destinations have a pool while they need it",
                destinations_have_a_pool_while_they_need_it);
    CU_add_test(s, "idle connections to all destinations are bounded, oldest first",
                idle_connections_to_all_destinations_are_bounded_oldest_first);
    CU_add_test(s, "destinations are bounded, least recently used first",
                destinations_are_bounded_least_recently_used_first);
}
