/* SPDX-License-Identifier: BSD-2-Clause */
/* test_service.c - connections to helper services are reused, bounded, and found elsewhere
 * when an address fails.
 */
#include "config.h"

#include "filters/service.h"

#include "server/base/clock.h"
#include "server/net/sockets.h"
#include "test/unit/descriptors.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void suite_service(void);

#define PATIENCE_MS 30000
#define SERVERS 2

static struct worker worker;
static struct arena arena;
static struct service_conf conf;
static struct slice to[SERVERS + 1];
static char texts[SERVERS][64];
static int listeners[SERVERS];
static unsigned descriptors_before;

static int
listening(struct address *address)
{
    int fd = socket(address->to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, &address->to.any, address->bytes), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 64), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, &address->to.any, &address->bytes), 0);
    return fd;
}

/* conf leads to servers in the order of listeners. */
static void
begin(void)
{
    struct err err;

    descriptors_before = count_open_descriptors();
    worker.loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker.loop);
    arena_init(&arena, NULL, 64 * 1024);
    for (unsigned i = 0; i < SERVERS; i++) {
        struct address address;

        CU_ASSERT_EQUAL_FATAL(address_parse(&address, SLICE("127.0.0.1:0"), -1, &err), 0);
        listeners[i] = listening(&address);
        address_text(&address, texts[i]);
        to[i] = slice_of(texts[i]);
    }
    conf = (struct service_conf){ .to = { to, SERVERS }, .connect_ms = PATIENCE_MS,
                                  .idle_ms = PATIENCE_MS, .retry_ms = PATIENCE_MS,
                                  .wait_ms = PATIENCE_MS, .max_connections = 2,
                                  .max_waiting = 2 };
    CU_ASSERT_EQUAL_FATAL(service_finish(&conf, -1, &arena, &err), 0);
}

/* Every test ends here: what was opened since begin() must be closed. */
static void
end(void)
{
    service_on_end(&worker);
    loop_turn(worker.loop, 0);
    loop_free_all(worker.loop);
    for (unsigned i = 0; i < SERVERS; i++)
        if (listeners[i] >= 0)
            close(listeners[i]);
    arena_fini(&arena);
    CU_ASSERT_EQUAL(count_open_descriptors(), descriptors_before);
}

static void
stop_server(unsigned i)
{
    close(listeners[i]);
    listeners[i] = -1;
}

/* ---- who wants a connection */

struct caller {
    struct service_call call;
    struct service_connection *connection;
    const char *why;
    unsigned told;
};

static void
on_done(struct service_call *call, struct service_connection *connection, const char *why)
{
    struct caller *caller = container_of(call, struct caller, call);

    caller->told++;
    caller->connection = connection;
    caller->why = why;
}

static void
start(struct caller *caller, enum service_kind kind)
{
    *caller = (struct caller){ 0 };
    service_open(&caller->call, &worker, &conf, kind, on_done);
    CU_ASSERT_EQUAL(caller->told, 0);
}

static void
wait_for(struct caller *caller)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (caller->told == 0 && clock_monotonic_ms() < until)
        loop_turn(worker.loop, 100);
    CU_ASSERT_EQUAL_FATAL(caller->told, 1);
    CU_ASSERT_NOT_EQUAL(caller->connection == NULL, caller->why == NULL);
    CU_ASSERT_FALSE(service_is_opening(&caller->call));
}

static void
get(struct caller *caller)
{
    start(caller, SERVICE_ANY);
    wait_for(caller);
    CU_ASSERT_PTR_NOT_NULL_FATAL(caller->connection);
}

/* The server's end of the oldest connection: it may be there a moment later than ours. */
static int
accept_at(unsigned server)
{
    struct pollfd poller = { .fd = listeners[server], .events = POLLIN };
    int fd;

    CU_ASSERT_EQUAL(poll(&poller, 1, PATIENCE_MS), 1);
    fd = accept(listeners[server], NULL, NULL);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    return fd;
}

static void
turn_a_few_times(void)
{
    for (int i = 0; i < 5; i++)
        loop_turn(worker.loop, 2);
}

static void
turn_until_all_closed(void)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (service_counts(&worker, texts[0]).open > 0 && clock_monotonic_ms() < until)
        loop_turn(worker.loop, 10);
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).open, 0);
}

static bool
is_at(const struct caller *caller, unsigned server)
{
    return caller->connection != NULL && strcmp(caller->connection->address, texts[server]) == 0;
}

/* ---- promises */

static void
reuses_what_was_kept(void)
{
    struct caller a, b;
    struct service_connection *first;

    begin();
    get(&a);
    CU_ASSERT_FALSE(a.connection->was_reused);
    first = a.connection;
    first->memo = 7;
    service_keep(first, &conf);
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).idle, 1);
    get(&b);
    CU_ASSERT_PTR_EQUAL(b.connection, first);
    CU_ASSERT_TRUE(b.connection->was_reused);
    CU_ASSERT_EQUAL(b.connection->memo, 7);
    CU_ASSERT_TRUE(is_at(&b, 0));
    service_drop(b.connection);
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).open, 0);
    end();
}

static void
gives_a_fresh_one_when_asked(void)
{
    struct caller a, b, fresh;

    begin();
    get(&a);
    get(&b);
    service_keep(a.connection, &conf);
    start(&fresh, SERVICE_FRESH); /* both places are taken: the idle one makes room */
    wait_for(&fresh);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fresh.connection);
    CU_ASSERT_FALSE(fresh.connection->was_reused);
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).open, 2);
    service_drop(b.connection);
    service_drop(fresh.connection);
    end();
}

static void
forgets_an_idle_connection_that_died(void)
{
    struct caller a, b;
    int peer;

    begin();
    get(&a);
    peer = accept_at(0);
    service_keep(a.connection, &conf);
    close(peer);
    turn_until_all_closed();
    get(&b);
    CU_ASSERT_FALSE(b.connection->was_reused);
    service_drop(b.connection);
    end();
}

static void
does_not_keep_one_on_which_bytes_came(void)
{
    struct pollfd poller;
    struct caller a;
    int peer;

    begin();
    get(&a);
    peer = accept_at(0);
    CU_ASSERT_EQUAL(send(peer, "x", 1, 0), 1);
    poller = (struct pollfd){ .fd = a.connection->conn.watch.fd, .events = POLLIN };
    CU_ASSERT_EQUAL(poll(&poller, 1, PATIENCE_MS), 1);
    turn_a_few_times();
    service_keep(a.connection, &conf);
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).open, 0);
    close(peer);
    end();
}

static void
closes_what_was_idle_for_too_long(void)
{
    struct caller a;

    begin();
    conf.idle_ms = 5;
    get(&a);
    service_keep(a.connection, &conf);
    turn_until_all_closed();
    end();
}

static void
goes_to_the_next_address_and_back_later(void)
{
    struct caller a, b;

    begin();
    stop_server(0);
    conf.retry_ms = 10;
    get(&a);
    CU_ASSERT_TRUE(is_at(&a, 1));
    service_drop(a.connection);
    usleep(20 * 1000);
    loop_turn(worker.loop, 0);
    CU_ASSERT_FALSE(service_counts(&worker, texts[0]).is_failing);
    conf.retry_ms = PATIENCE_MS;
    get(&b); /* it was tried again, and failed again */
    CU_ASSERT_TRUE(is_at(&b, 1));
    CU_ASSERT_TRUE(service_counts(&worker, texts[0]).is_failing);
    service_drop(b.connection);
    end();
}

static void
passes_over_an_address_that_the_user_calls_failed(void)
{
    struct caller a, b, c;

    begin();
    get(&a);
    get(&b);
    service_keep(b.connection, &conf);
    service_fail(a.connection, &conf);
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).open, 0);
    get(&c);
    CU_ASSERT_TRUE(is_at(&c, 1));
    service_fail(c.connection, &conf);
    get(&a); /* all have failed: the first again */
    CU_ASSERT_TRUE(is_at(&a, 0));
    CU_ASSERT_FALSE(service_counts(&worker, texts[0]).is_failing);
    service_drop(a.connection);
    end();
}

static void
says_why_when_nobody_listens(void)
{
    struct caller a;

    begin();
    stop_server(0);
    stop_server(1);
    start(&a, SERVICE_ANY);
    wait_for(&a);
    CU_ASSERT_PTR_NULL(a.connection);
    CU_ASSERT_STRING_EQUAL(a.why, "connection refused");
    end();
}

static void
waits_in_order_when_all_are_in_use(void)
{
    struct caller a, b, c, d, e;
    struct service_connection *kept;

    begin();
    get(&a);
    get(&b);
    start(&c, SERVICE_ANY);
    start(&d, SERVICE_ANY);
    turn_a_few_times();
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).waiting, 2);
    start(&e, SERVICE_ANY); /* one too many */
    wait_for(&e);
    CU_ASSERT_PTR_NULL(e.connection);
    kept = a.connection;
    service_keep(kept, &conf);
    wait_for(&c);
    CU_ASSERT_PTR_EQUAL(c.connection, kept);
    CU_ASSERT_EQUAL(d.told, 0);
    service_drop(b.connection); /* makes room for a new one */
    wait_for(&d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d.connection);
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).open, 2);
    service_drop(c.connection);
    service_drop(d.connection);
    end();
}

static void
wakes_all_for_whom_there_is_room(void)
{
    struct caller a, b, c, d;

    begin();
    get(&a);
    get(&b);
    start(&c, SERVICE_ANY);
    start(&d, SERVICE_ANY);
    turn_a_few_times();
    service_drop(a.connection);
    service_drop(b.connection);
    wait_for(&c);
    wait_for(&d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c.connection);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d.connection);
    service_drop(c.connection);
    service_drop(d.connection);
    end();
}

static void
sends_who_waits_to_the_next_address_when_this_one_fails(void)
{
    struct caller a, b, c, d;

    begin();
    get(&a);
    get(&b);
    start(&c, SERVICE_ANY);
    start(&d, SERVICE_ANY);
    turn_a_few_times();
    service_fail(a.connection, &conf);
    wait_for(&c);
    wait_for(&d);
    CU_ASSERT_TRUE(is_at(&c, 1) && is_at(&d, 1));
    service_keep(b.connection, &conf); /* of no use any more */
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).open, 0);
    service_drop(c.connection);
    service_drop(d.connection);
    end();
}

static void
waits_no_longer_than_configured(void)
{
    struct caller a, b, c;

    begin();
    conf.wait_ms = 10;
    get(&a);
    get(&b);
    start(&c, SERVICE_ANY);
    wait_for(&c);
    CU_ASSERT_PTR_NULL(c.connection);
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).waiting, 0);
    service_drop(a.connection);
    service_drop(b.connection);
    end();
}

static void
obeys_the_bound_of_the_server(void)
{
    struct caller a, b;

    begin();
    get(&a);
    service_bound(a.connection, 1);
    start(&b, SERVICE_ANY);
    turn_a_few_times();
    CU_ASSERT_EQUAL(b.told, 0);
    service_keep(a.connection, &conf);
    wait_for(&b);
    CU_ASSERT_PTR_EQUAL(b.connection, a.connection);
    service_drop(b.connection);
    end();
}

static void
may_be_cancelled_at_any_time(void)
{
    struct caller a, b, c;

    begin();
    start(&a, SERVICE_ANY);
    service_cancel(&a.call);
    service_cancel(&a.call);
    turn_a_few_times();
    CU_ASSERT_EQUAL(a.told, 0);
    get(&a);
    get(&b);
    start(&c, SERVICE_ANY);
    turn_a_few_times();
    service_cancel(&c.call); /* out of the queue */
    CU_ASSERT_EQUAL(service_counts(&worker, texts[0]).waiting, 0);
    service_drop(a.connection);
    service_drop(b.connection);
    turn_a_few_times();
    CU_ASSERT_EQUAL(c.told, 0);
    end();
}

static void
connects_unix_sockets(void)
{
    char directory[] = P_tmpdir "/test_service.XXXXXX", text[128];
    struct address address;
    struct caller a;
    struct err err;
    int fd;

    begin();
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(text, sizeof(text), "unix:%s/socket", directory);
    CU_ASSERT_EQUAL_FATAL(address_parse(&address, slice_of(text), -1, &err), 0);
    fd = listening(&address);
    to[0] = slice_of(text);
    CU_ASSERT_EQUAL_FATAL(service_finish(&conf, -1, &arena, &err), 0);
    get(&a);
    CU_ASSERT_STRING_EQUAL(a.connection->address, text);
    service_drop(a.connection);
    close(fd);
    unlink(text + strlen("unix:"));
    rmdir(directory);
    end();
}

static int
finish_text(const char *text, int default_port, struct err *err)
{
    struct slice item = slice_of(text);
    struct service_conf one = { .to = { &item, 1 } };

    return service_finish(&one, default_port, &arena, err);
}

static void
reads_addresses_and_refuses_what_is_none(void)
{
    struct err err;

    arena_init(&arena, NULL, 64 * 1024);
    CU_ASSERT_EQUAL(finish_text("scan.example:3310", -1, &err), 0);
    CU_ASSERT_EQUAL(finish_text("scan.example", 1344, &err), 0);
    CU_ASSERT_EQUAL(finish_text("[::1]:1344", -1, &err), 0);
    CU_ASSERT_EQUAL(finish_text("scan.example", -1, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "has no port"));
    CU_ASSERT_EQUAL(finish_text("icap://x/y", 1344, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expected HOST:PORT"));
    CU_ASSERT_EQUAL(finish_text("127.1:1344", -1, &err), -1);
    CU_ASSERT_EQUAL(finish_text("a:70000", -1, &err), -1);
    CU_ASSERT_EQUAL(finish_text("", 1344, &err), -1);
    arena_fini(&arena);
}

void
suite_service(void)
{
    CU_pSuite s = CU_add_suite("service", NULL, NULL);

    CU_add_test(s, "reuses what was kept", reuses_what_was_kept);
    CU_add_test(s, "gives a fresh one when asked", gives_a_fresh_one_when_asked);
    CU_add_test(s, "forgets an idle connection that died", forgets_an_idle_connection_that_died);
    CU_add_test(s, "does not keep one on which bytes came",
                does_not_keep_one_on_which_bytes_came);
    CU_add_test(s, "closes what was idle for too long", closes_what_was_idle_for_too_long);
    CU_add_test(s, "goes to the next address and back later",
                goes_to_the_next_address_and_back_later);
    CU_add_test(s, "passes over an address that the user calls failed",
                passes_over_an_address_that_the_user_calls_failed);
    CU_add_test(s, "says why when nobody listens", says_why_when_nobody_listens);
    CU_add_test(s, "waits in order when all are in use", waits_in_order_when_all_are_in_use);
    CU_add_test(s, "wakes all for whom there is room", wakes_all_for_whom_there_is_room);
    CU_add_test(s, "sends who waits to the next address when this one fails",
                sends_who_waits_to_the_next_address_when_this_one_fails);
    CU_add_test(s, "waits no longer than configured", waits_no_longer_than_configured);
    CU_add_test(s, "obeys the bound of the server", obeys_the_bound_of_the_server);
    CU_add_test(s, "may be cancelled at any time", may_be_cancelled_at_any_time);
    CU_add_test(s, "connects unix sockets", connects_unix_sockets);
    CU_add_test(s, "reads addresses and refuses what is none",
                reads_addresses_and_refuses_what_is_none);
}
