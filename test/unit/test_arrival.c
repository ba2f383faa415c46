/* SPDX-License-Identifier: BSD-2-Clause */
/* test_arrival.c - from accepting to the mode: by the name in a ClientHello, and
 * over a reload. PROXY headers are in test_listener.c, handshakes in test_tls_server.c.
 */
#include "config.h"

#include "server/net/arrival.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "modes/mode.h"
#include "server/generation.h"
#include "server/host_map.h"
#include "server/net/acceptor.h"
#include "server/net/listener.h"
#include "server/snapshot.h"
#include "server/tls/client_hello.h"
#include "server/worker.h"

#define TRIES 100000 /* for what must come: a minute or more */
#define PAUSE_US 500

static struct worker worker;
static struct counters counters;
static struct arrivals arrivals;
static struct arena arena;

/* Two snapshots, of which the second is published by a test. */
static struct generation generations[2];
static struct snapshot snapshots[2];
static struct listener_conf confs[2];
static void *listeners[2][1];

/* ---- a mode that keeps what it is given */

static unsigned taken_count, passed_count;
static struct accepted taken;
static struct listener_conf *taken_by;
static char passed_name[256];

static void
take(struct listener_conf *listener, const struct accepted *accepted)
{
    taken = *accepted;
    taken_by = listener;
}

static void
on_connection(struct worker *w, struct listener_conf *listener, const struct accepted *accepted)
{
    CU_ASSERT_PTR_EQUAL(w, &worker);
    take(listener, accepted);
    taken_count++;
}

static void
on_pass_through(struct worker *w, struct listener_conf *listener, struct slice name,
                const struct accepted *accepted)
{
    CU_ASSERT_PTR_EQUAL(w, &worker);
    snprintf(passed_name, sizeof(passed_name), "%.*s", SLICE_ARG(name));
    take(listener, accepted);
    passed_count++;
}

static const struct mode_ops mode = { .name = "test", .on_connection = on_connection,
                                      .on_pass_through = on_pass_through };

/* ---- the stage */

static struct group_conf group;
static struct site_conf passing = { .pass_through = &group }, ending;

static void
set_up(void)
{
    struct err err;

    memset(&counters, 0, sizeof(counters));
    memset(generations, 0, sizeof(generations));
    taken_count = passed_count = 0;
    passed_name[0] = '\0';
    arena_init(&arena, NULL, 1 << 20);
    worker = (struct worker){ .counters = &counters, .loop = loop_new(&err) };
    for (int i = 0; i < 2; i++) {
        confs[i] = (struct listener_conf){ .name = "test", .mode = &mode };
        confs[i].tls = (struct tls_conf){ .place.line = 1, .handshake_ms = 600000,
                                          .passes_through = true };
        confs[i].sites = host_map_new(&arena, 4);
        host_map_add(confs[i].sites, SLICE("a.test"), &passing);
        host_map_add(confs[i].sites, SLICE("*.b.test"), &passing);
        host_map_add(confs[i].sites, SLICE("c.test"), &ending);
        listeners[i][0] = &confs[i];
        snapshots[i].conf.listeners = (struct config_list){ listeners[i], 1 };
        generations[i] = (struct generation){ .snapshot = &snapshots[i], .worker = &worker };
        CU_ASSERT_EQUAL_FATAL(listener_adopt(&confs[i], &err), 0);
    }
    worker.generation = &generations[0];
    worker.snapshot = &snapshots[0];
    arrivals_init(&arrivals, &worker);
}

static void
publish(void)
{
    generations[0].exchanges++; /* it is no real one: nobody may free it */
    worker.generation = &generations[1];
    worker.snapshot = &snapshots[1];
}

static void
tear_down(void)
{
    if (taken_count + passed_count > 0) {
        close(taken.fd);
        listener_leave(&worker, confs[0].listener);
    }
    arrivals_kill(&arrivals);
    CU_ASSERT_TRUE(list_is_empty(&arrivals.all));
    CU_ASSERT_EQUAL(worker.connections, 0);
    CU_ASSERT_EQUAL(counters.connections_open, 0);
    CU_ASSERT_EQUAL(generations[0].exchanges, worker.generation == &generations[1]);
    CU_ASSERT_EQUAL(generations[1].exchanges, 0);
    loop_turn(worker.loop, 0);
    loop_free_all(worker.loop);
    listener_unref(confs[0].listener);
    listener_unref(confs[1].listener);
    CU_ASSERT_EQUAL(registry_count(&listener_kind), 0);
    arena_fini(&arena);
}

static int
arrive(void)
{
    struct accepted accepted = { .fd = -1 };
    int fds[2];

    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    accepted.fd = fds[1];
    arrival_start(&arrivals, &confs[0], &accepted);
    return fds[0];
}

static void
send_bytes(int fd, const void *data, size_t bytes)
{
    CU_ASSERT_EQUAL(send(fd, data, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
    for (int i = 0; i < 3; i++)
        loop_turn(worker.loop, 0);
}

static bool
is_closed(int fd)
{
    char byte;

    for (int tries = 0; tries < TRIES; tries++) {
        ssize_t got = recv(fd, &byte, 1, 0);

        if (got == 0 || (got < 0 && errno != EAGAIN))
            return true;
        loop_turn(worker.loop, 0);
        usleep(PAUSE_US);
    }
    return false;
}

static size_t
make_hello(char out[CLIENT_HELLO_READ_MAX], const char *name)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *wire = BIO_new(BIO_s_mem());
    char *data;
    size_t bytes;

    SSL_set_tlsext_host_name(ssl, name);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), wire);
    SSL_connect(ssl);
    bytes = (size_t)BIO_get_mem_data(wire, &data);
    CU_ASSERT_FATAL(bytes <= CLIENT_HELLO_READ_MAX);
    memcpy(out, data, bytes);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return bytes;
}

/* ---- names */

/* Every byte is still there for the server that it is passed on to. */
static void
expect_unread(const char *hello, size_t bytes)
{
    char found[CLIENT_HELLO_READ_MAX];

    CU_ASSERT_EQUAL(recv(taken.fd, found, sizeof(found), 0), (ssize_t)bytes);
    CU_ASSERT_EQUAL(memcmp(found, hello, bytes), 0);
}

static void
a_name_that_is_passed_through_goes_on_unread(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "x.B.test");
    int client;

    set_up();
    client = arrive();
    CU_ASSERT_EQUAL(worker.connections, 1);
    send_bytes(client, hello, bytes);
    CU_ASSERT_EQUAL(passed_count, 1);
    CU_ASSERT_STRING_EQUAL(passed_name, "x.b.test");
    expect_unread(hello, bytes);
    CU_ASSERT_EQUAL(worker.connections, 1);
    close(client);
    tear_down();
}

static void
a_client_hello_may_come_in_pieces(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "a.test");
    int client;

    set_up();
    client = arrive();
    for (size_t at = 0; at < bytes; at += 7) {
        CU_ASSERT_EQUAL(passed_count, 0);
        send_bytes(client, hello + at, bytes - at < 7 ? bytes - at : 7);
    }
    CU_ASSERT_EQUAL(passed_count, 1);
    expect_unread(hello, bytes);
    close(client);
    tear_down();
}

/* unknown_name = "refuse" is not for the default site to undo. */
static void
names_that_no_site_has_follow_the_default_site_if_they_may(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "stranger.test");
    int client;

    set_up();
    host_map_set_default(confs[0].sites, &passing);
    client = arrive();
    send_bytes(client, hello, bytes);
    CU_ASSERT_EQUAL(passed_count, 1);
    CU_ASSERT_STRING_EQUAL(passed_name, "stranger.test");
    close(client);
    tear_down();
}

static void
passes_nothing_through_for_clients_that_are_not_allowed(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "a.test");
    struct accepted accepted = { .fd = -1 };
    struct err err;
    int fds[2];

    set_up();
    confs[0].allow_client = prefix_set_new(&arena);
    CU_ASSERT_EQUAL(prefix_set_add(confs[0].allow_client, SLICE("192.0.2.0/24"), &err), 0);
    CU_ASSERT_TRUE(ip_parse(SLICE("198.51.100.1"), &accepted.peer));
    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    accepted.fd = fds[1];
    send_bytes(fds[0], hello, bytes);
    arrival_start(&arrivals, &confs[0], &accepted);
    CU_ASSERT_TRUE(is_closed(fds[0]));
    CU_ASSERT_EQUAL(passed_count, 0);
    CU_ASSERT_EQUAL(counters.connections_refused, 1);
    close(fds[0]);
    tear_down();
}

/* ---- what is closed */

static void
refuses(const char *data, size_t bytes, bool ends)
{
    uint64_t before = counters.connections_refused;
    int client = arrive();

    if (bytes > 0)
        send_bytes(client, data, bytes);
    if (ends)
        shutdown(client, SHUT_WR);
    CU_ASSERT_TRUE(is_closed(client));
    CU_ASSERT_EQUAL(counters.connections_refused, before + 1);
    CU_ASSERT_EQUAL(worker.connections, 0);
    close(client);
}

static void
what_is_not_tls_or_cut_off_is_closed(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "a.test");

    set_up();
    refuses("GET / HTTP/1.1\r\n", 16, false);
    refuses("", 0, true);
    refuses(hello, bytes - 1, true);
    refuses("\x16\x03\x01\x40\x00\x01\x00\x3f\xfd", 9, false);
    CU_ASSERT_EQUAL(counters.client_timeouts, 0);
    CU_ASSERT_EQUAL(passed_count + taken_count, 0);
    tear_down();
}

/* Records of a byte: within the length that a ClientHello may have, but not with
 * their headers. */
static void
one_without_an_end_is_closed(void)
{
    char records[CLIENT_HELLO_READ_MAX];

    set_up();
    memcpy(records, "\x16\x03\x01\x00\x04\x01\x00\x3f\x00", 9);
    for (size_t at = 9; at + 6 <= sizeof(records); at += 6)
        memcpy(records + at, "\x16\x03\x01\x00\x01\x00", 6);
    records[sizeof(records) - 1] = 0x16;
    refuses(records, sizeof(records), false);
    CU_ASSERT_EQUAL(counters.client_timeouts, 0);
    tear_down();
}

static void
one_that_does_not_come_in_time_is_closed(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "a.test");

    set_up();
    confs[0].tls.handshake_ms = 60;
    refuses("", 0, false);
    refuses(hello, bytes - 1, false);
    CU_ASSERT_EQUAL(counters.client_timeouts, 2);
    tear_down();
}

/* ---- reload and stop */

static const struct listen_plan nobody;

static void
who_is_half_there_goes_on_by_the_new_snapshot(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "a.test");
    int client;

    set_up();
    client = arrive();
    send_bytes(client, hello, 100);
    arrivals_follow(&arrivals, &nobody);
    publish();
    send_bytes(client, hello + 100, bytes - 100);
    CU_ASSERT_EQUAL(passed_count, 1);
    CU_ASSERT_PTR_EQUAL(taken_by, &confs[1]);
    CU_ASSERT_EQUAL(generations[0].exchanges, 1); /* ours */
    close(client);
    tear_down();
}

static void
who_is_half_there_is_closed_when_the_listener_has_gone(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "a.test");
    int client;

    set_up();
    client = arrive();
    send_bytes(client, hello, 100);
    snapshots[1].conf.listeners.count = 0;
    publish();
    send_bytes(client, hello + 100, bytes - 100);
    CU_ASSERT_TRUE(is_closed(client));
    CU_ASSERT_EQUAL(passed_count, 0);
    CU_ASSERT_EQUAL(counters.connections_refused, 1);
    close(client);
    tear_down();
}

static void
who_has_said_nothing_is_closed_when_nobody_listens_any_more(void)
{
    char hello[CLIENT_HELLO_READ_MAX];
    size_t bytes = make_hello(hello, "a.test");
    struct listen_item item = { .conf = &confs[0] };
    struct listen_plan still = { .count = 1, .items = &item };
    int silent, speaking;

    set_up();
    silent = arrive();
    speaking = arrive();
    send_bytes(speaking, hello, 1);
    arrivals_follow(&arrivals, &still);
    CU_ASSERT_EQUAL(worker.connections, 2);
    arrivals_follow(&arrivals, &nobody);
    CU_ASSERT_EQUAL(worker.connections, 1);
    CU_ASSERT_TRUE(is_closed(silent));
    send_bytes(speaking, hello + 1, bytes - 1); /* it stops, and they are served */
    CU_ASSERT_EQUAL(passed_count, 1);
    close(silent);
    close(speaking);
    tear_down();
}

static void
all_can_be_closed(void)
{
    int silent, speaking;

    set_up();
    silent = arrive();
    speaking = arrive();
    send_bytes(speaking, "\x16", 1);
    arrivals_kill(&arrivals);
    CU_ASSERT_EQUAL(worker.connections, 0);
    CU_ASSERT_TRUE(is_closed(silent));
    CU_ASSERT_TRUE(is_closed(speaking));
    close(silent);
    close(speaking);
    tear_down();
}

void
suite_arrival(void)
{
    CU_pSuite s = CU_add_suite("arrival", NULL, NULL);

    CU_add_test(s, "a name that is passed through goes on unread",
                a_name_that_is_passed_through_goes_on_unread);
    CU_add_test(s, "a ClientHello may come in pieces", a_client_hello_may_come_in_pieces);
    CU_add_test(s, "names that no site has follow the default site if they may",
                names_that_no_site_has_follow_the_default_site_if_they_may);
    CU_add_test(s, "passes nothing through for clients that are not allowed",
                passes_nothing_through_for_clients_that_are_not_allowed);
    CU_add_test(s, "what is not TLS or cut off is closed", what_is_not_tls_or_cut_off_is_closed);
    CU_add_test(s, "one without an end is closed", one_without_an_end_is_closed);
    CU_add_test(s, "one that does not come in time is closed",
                one_that_does_not_come_in_time_is_closed);
    CU_add_test(s, "who is half there goes on by the new snapshot",
                who_is_half_there_goes_on_by_the_new_snapshot);
    CU_add_test(s, "who is half there is closed when the listener has gone",
                who_is_half_there_is_closed_when_the_listener_has_gone);
    CU_add_test(s, "who has said nothing is closed when nobody listens any more",
                who_has_said_nothing_is_closed_when_nobody_listens_any_more);
    CU_add_test(s, "all can be closed", all_can_be_closed);
}
