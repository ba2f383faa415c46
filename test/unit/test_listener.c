/* SPDX-License-Identifier: BSD-2-Clause */
/* test_listener.c - listening sockets, and accepting from them. */
#include "config.h"

#include "server/net/listener.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "modes/mode.h"
#include "server/generation.h"
#include "server/net/acceptor.h"
#include "server/net/sockets.h"
#include "server/schema.h"
#include "server/worker.h"

#define THREADS 3
#define PAUSE_US 500
#define TRIES 100000 /* for what must come: a minute or more */

/* ---- worker threads without threads: their loops are turned by hand */

static struct thread {
    struct worker worker;
    struct counters counters;
    struct generation generation; /* the only one */
    struct acceptors acceptors;
} threads[THREADS];

static struct arena arena;
static struct listen_peer peers[THREADS];
static struct listen_item items[4];
static struct listen_plan plans[2], *plan;
static struct listener_conf conf;
static struct sockets *sockets;

/* ---- a mode that keeps what it is given */

static struct taken {
    struct worker *worker;
    struct accepted accepted;
} taken[256];
static unsigned taken_count;

static void
on_connection(struct worker *worker, struct listener_conf *listener,
              const struct accepted *accepted)
{
    CU_ASSERT_PTR_EQUAL(listener, &conf);
    CU_ASSERT_FATAL(taken_count < ARRAY_COUNT(taken));
    taken[taken_count++] = (struct taken){ worker, *accepted };
}

static void
on_request(struct exchange *ex)
{
    (void)ex;
}

static const struct mode_ops http_mode = { .name = "http", .on_connection = on_connection,
                                           .on_request = on_request };
static const struct mode_ops port_mode = { .name = "port", .on_connection = on_connection };

static void
drop_taken(void)
{
    while (taken_count > 0) {
        struct taken *last = &taken[--taken_count];

        close(last->accepted.fd);
        listener_leave(last->worker, conf.listener);
    }
}

/* ---- the fixture */

static const struct socket_owner nobody = { (uid_t)-1, (gid_t)-1 };

static void
turn_all(void)
{
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < THREADS; i++)
            loop_turn(threads[i].worker.loop, 0);
}

/* Turns all loops until so many connections were taken, or time is over. */
static void
wait_taken(unsigned count)
{
    for (int tries = 0; tries < TRIES && taken_count < count; tries++) {
        turn_all();
        if (taken_count < count)
            usleep(PAUSE_US);
    }
    CU_ASSERT_EQUAL(taken_count, count);
}

static void
follow(unsigned workers)
{
    plan = plan == &plans[0] ? &plans[1] : &plans[0];
    *plan = (struct listen_plan){ .peer_count = workers, .peers = peers,
                                  .count = sockets != NULL ? 1 : 0, .items = items };
    items[0] = (struct listen_item){ .sockets = sockets, .conf = &conf };
    for (unsigned i = 0; i < THREADS; i++)
        acceptors_follow(&threads[i].acceptors, plan);
}

static struct sockets *
open_address(const char *text, unsigned count, struct err *err)
{
    struct address address;
    struct sockets *made = sockets_new(text);

    CU_ASSERT_PTR_NOT_NULL_FATAL(made);
    CU_ASSERT_EQUAL_FATAL(address_parse(&address, slice_of(text), -1, err), 0);
    if (sockets_open(made, &address, 128, count, true, &nobody, err) == 0)
        return made;
    sockets_free(made);
    return NULL;
}

static void
begin(const struct mode_ops *mode, const char *address, unsigned workers)
{
    struct err err = { "" };

    memset(threads, 0, sizeof(threads));
    conf = (struct listener_conf){ .name = "test", .mode = mode, .backlog = 128 };
    conf.timeouts.head_ms = 600000; /* what comes in time must not depend on the machine */
    arena_init(&arena, NULL, 1 << 20);
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *worker = &threads[i].worker;

        worker->id = i;
        worker->counters = &threads[i].counters;
        worker->loop = loop_new(&err);
        worker->generation = &threads[i].generation;
        threads[i].generation.worker = worker;
        acceptors_init(&threads[i].acceptors, worker);
        peers[i] = (struct listen_peer){ worker->loop, worker->counters, &threads[i].acceptors };
    }
    CU_ASSERT_EQUAL_FATAL(listener_adopt(&conf, &err), 0);
    sockets = open_address(address, workers, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sockets);
    follow(workers);
}

static void
end(void)
{
    drop_taken();
    for (unsigned i = 0; i < THREADS; i++) {
        acceptors_fini(&threads[i].acceptors);
        CU_ASSERT_EQUAL(threads[i].worker.connections, 0);
        CU_ASSERT_EQUAL(atomic_load(&threads[i].counters.connections_open), 0);
        CU_ASSERT_EQUAL(threads[i].generation.exchanges, 0);
        loop_free_all(threads[i].worker.loop);
    }
    CU_ASSERT_EQUAL(atomic_load(&conf.listener->connections), 0);
    listener_unref(conf.listener);
    CU_ASSERT_EQUAL(registry_count(&listener_kind), 0);
    if (sockets != NULL)
        sockets_unlink(sockets);
    sockets_free(sockets);
    sockets = NULL;
    arena_fini(&arena);
}

static int
connect_client(void)
{
    const struct address *to = &sockets->address;
    int fd = socket(to->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(connect(fd, &to->to.any, to->bytes), 0);
    return fd;
}

/* Whether the peer closed or reset it, within a minute. */
static bool
is_closed(int fd)
{
    struct timeval minute = { .tv_sec = 60 };
    ssize_t got;
    char byte;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof(minute));
    got = recv(fd, &byte, 1, 0);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

static uint64_t
sum_refused(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < THREADS; i++)
        sum += atomic_load(&threads[i].counters.connections_refused);
    return sum;
}

/* The same for connections that are refused. */
static void
wait_refused(uint64_t count)
{
    for (int tries = 0; tries < TRIES && sum_refused() < count; tries++) {
        turn_all();
        usleep(PAUSE_US);
    }
    CU_ASSERT_EQUAL(sum_refused(), count);
}

/* ---- sockets */

static void
port_0_is_one_port_for_all_sockets(void)
{
    struct err err;
    struct sockets *made = open_address("127.0.0.1:0", 4, &err);
    char text[ADDRESS_TEXT_BYTES];

    CU_ASSERT_PTR_NOT_NULL_FATAL(made);
    CU_ASSERT_EQUAL(made->count, 4);
    CU_ASSERT_FALSE(made->is_shared);
    CU_ASSERT_NOT_EQUAL(made->address.to.in.sin_port, 0);
    address_text(&made->address, text);
    CU_ASSERT_STRING_NOT_EQUAL(text, "127.0.0.1:0");
    for (unsigned i = 0; i < made->count; i++)
        CU_ASSERT_TRUE(socket_listens_at(made->fds[i], &made->address));
    sockets_free(made);
}

/* SO_REUSEPORT alone would let a second daemon take half of the connections. */
static void
an_address_in_use_is_refused_in_words(void)
{
    struct err err = { "" };
    struct sockets *first = open_address("127.0.0.1:0", 2, &err);
    char text[ADDRESS_TEXT_BYTES], wanted[256];

    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    address_text(&first->address, text);
    CU_ASSERT_PTR_NULL(open_address(text, 2, &err));
    snprintf(wanted, sizeof(wanted), "cannot listen on %s: Address already in use", text);
    CU_ASSERT_STRING_EQUAL(err.text, wanted);
    sockets_free(first);
}

static void
an_address_of_another_machine_is_called_that(void)
{
    struct err err;

    CU_ASSERT_PTR_NULL(open_address("192.0.2.1:0", 1, &err)); /* RFC 5737: documentation */
    CU_ASSERT_STRING_EQUAL(err.text, "cannot listen on 192.0.2.1:0, which is no address of this "
                                     "machine: Cannot assign requested address");
}

static void
sockets_grow_and_never_shrink(void)
{
    struct err err;
    struct sockets *made = open_address("127.0.0.1:0", 1, &err);
    struct address before;

    CU_ASSERT_PTR_NOT_NULL_FATAL(made);
    before = made->address;
    CU_ASSERT_EQUAL(sockets_open(made, &before, 64, 3, false, &nobody, &err), 0);
    CU_ASSERT_EQUAL(made->count, 3);
    CU_ASSERT_TRUE(address_equal(&before, &made->address));
    CU_ASSERT_EQUAL(sockets_open(made, &before, 64, 1, false, &nobody, &err), 0);
    CU_ASSERT_EQUAL(made->count, 3);
    sockets_free(made);
}

static const char *
socket_path(char path[64])
{
    snprintf(path, 64, "unix:/tmp/bascule-test-%d.sock", (int)getpid());
    return path;
}

static void
a_unix_socket_is_shared_and_not_for_everyone(void)
{
    struct err err;
    struct stat st;
    char path[64];
    struct sockets *made = open_address(socket_path(path), 4, &err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(made);
    CU_ASSERT_EQUAL(made->count, 1);
    CU_ASSERT_TRUE(made->is_shared);
    CU_ASSERT_EQUAL(lstat(path + 5, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0660);
    sockets_unlink(made);
    CU_ASSERT_EQUAL(lstat(path + 5, &st), -1);
    sockets_free(made);
}

static void
a_stale_unix_socket_is_replaced_and_a_served_one_is_not(void)
{
    struct err err;
    char path[64];
    struct sockets *first = open_address(socket_path(path), 1, &err), *second;

    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_PTR_NULL(open_address(path, 1, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "Address already in use"));
    sockets_free(first); /* without unlink, as after a crash */
    second = open_address(path, 1, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    sockets_unlink(second);
    sockets_free(second);
}

/* A file that is no socket is somebody's. */
static void
another_file_at_the_path_is_left_alone(void)
{
    struct err err;
    struct stat st;
    char path[64];
    FILE *file = fopen(socket_path(path) + 5, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fclose(file);
    CU_ASSERT_PTR_NULL(open_address(path, 1, &err));
    CU_ASSERT_EQUAL(lstat(path + 5, &st), 0);
    CU_ASSERT_TRUE(S_ISREG(st.st_mode));
    unlink(path + 5);
}

static void
what_does_not_listen_is_not_taken(void)
{
    struct err err;
    struct sockets *made = sockets_new("x");
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CU_ASSERT_EQUAL(sockets_take(made, &fd, 1, &err), -1);
    CU_ASSERT_EQUAL(made->count, 0);
    CU_ASSERT_EQUAL(close(fd), -1); /* it was taken all the same */
    sockets_free(made);
}

/* ---- accepting */

static void
a_connection_reaches_its_mode_with_both_addresses(void)
{
    char peer[IP_TEXT_BYTES], local[IP_TEXT_BYTES];
    int on = 0, client;
    socklen_t bytes = sizeof(on);

    begin(&http_mode, "127.0.0.1:0", 1);
    client = connect_client();
    wait_taken(1);
    ip_text(&taken[0].accepted.peer, peer);
    ip_text(&taken[0].accepted.local, local);
    CU_ASSERT_STRING_EQUAL(peer, "127.0.0.1");
    CU_ASSERT_STRING_EQUAL(local, "127.0.0.1");
    CU_ASSERT_EQUAL(taken[0].accepted.local.port, ntohs(sockets->address.to.in.sin_port));
    CU_ASSERT_EQUAL(getsockopt(taken[0].accepted.fd, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
    CU_ASSERT_NOT_EQUAL(on, 0);
    CU_ASSERT_EQUAL(threads[0].worker.connections, 1);
    CU_ASSERT_EQUAL(atomic_load(&conf.listener->connections), 1);
    CU_ASSERT_EQUAL(atomic_load(&threads[0].counters.connections_accepted), 1);
    close(client);
    end();
}

static void
any_address_serves_ipv4_and_knows_where_it_came_to(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002) };
    char local[IP_TEXT_BYTES];
    int client = socket(AF_INET, SOCK_STREAM, 0);

    begin(&http_mode, "*:0", 1);
    to.sin_port = sockets->address.to.in6.sin6_port;
    CU_ASSERT_EQUAL(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    wait_taken(1);
    ip_text(&taken[0].accepted.local, local);
    CU_ASSERT_STRING_EQUAL(local, "127.0.0.2");
    close(client);
    end();
}

static void
a_unix_client_has_no_ip_and_is_let_in(void)
{
    char path[64];
    int client;

    begin(&port_mode, socket_path(path), 2);
    conf.allow_client = prefix_set_new(&arena);
    client = connect_client();
    wait_taken(1);
    CU_ASSERT_EQUAL(taken[0].accepted.peer.family, 0);
    close(client);
    end();
}

/* Fewer threads: the sockets of those that go are watched by those that stay,
 * and what is queued on them is served. More threads: they get their share. */
static void
no_connection_is_lost_when_threads_come_and_go(void)
{
    int clients[60];

    begin(&http_mode, "127.0.0.1:0", 3);
    for (int i = 0; i < 20; i++)
        clients[i] = connect_client();
    follow(1);
    for (int i = 20; i < 40; i++)
        clients[i] = connect_client();
    wait_taken(40);
    CU_ASSERT_EQUAL(threads[0].worker.connections, 40);
    follow(3);
    for (int i = 40; i < 60; i++)
        clients[i] = connect_client();
    wait_taken(60);
    CU_ASSERT_TRUE(threads[1].worker.connections + threads[2].worker.connections > 0);
    CU_ASSERT_EQUAL(sum_refused(), 0);
    for (int i = 0; i < 60; i++)
        close(clients[i]);
    end();
}

static void
a_listener_that_goes_serves_who_is_queued(void)
{
    struct sockets *gone;
    int client;

    begin(&http_mode, "127.0.0.1:0", 2);
    client = connect_client();
    gone = sockets;
    sockets = NULL; /* the new plan has none */
    follow(2);
    CU_ASSERT_EQUAL(taken_count, 1);
    close(client);
    sockets_free(gone);
    end();
}

/* A thread far above the average gives new connections to the least busy one. */
static void
a_thread_with_too_many_hands_over(void)
{
    int clients[150];

    begin(&http_mode, "127.0.0.1:0", 1); /* one socket: all come to thread 0 */
    follow(2);
    for (int i = 0; i < 150; i++) {
        clients[i] = connect_client();
        wait_taken((unsigned)i + 1);
    }
    CU_ASSERT_TRUE(threads[0].worker.connections <= 75 + 75 / 4 + 17);
    CU_ASSERT_TRUE(threads[1].worker.connections >= 35);
    CU_ASSERT_EQUAL(threads[0].worker.connections + threads[1].worker.connections, 150);
    CU_ASSERT_EQUAL(atomic_load(&threads[0].counters.connections_handed_over),
                    threads[1].worker.connections);
    for (int i = 0; i < 150; i++)
        close(clients[i]);
    end();
}

/* ---- limits */

static void
one_connection_too_many_is_closed_and_counted(void)
{
    int clients[3];

    begin(&http_mode, "127.0.0.1:0", 1);
    conf.max_connections = 2;
    for (int i = 0; i < 3; i++)
        clients[i] = connect_client();
    wait_taken(2);
    wait_refused(1);
    CU_ASSERT_TRUE(is_closed(clients[2]));
    CU_ASSERT_EQUAL(atomic_load(&conf.listener->refused), 1);
    CU_ASSERT_EQUAL(atomic_load(&threads[0].counters.limits_hit), 1);
    close(clients[2]);
    drop_taken(); /* room again */
    clients[2] = connect_client();
    wait_taken(1);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    end();
}

static void
the_limit_of_the_process_counts_all_threads(void)
{
    int clients[4];

    begin(&http_mode, "127.0.0.1:0", 2);
    plan->max_connections = 3;
    for (int i = 0; i < 4; i++) {
        clients[i] = connect_client();
        turn_all();
    }
    wait_taken(3);
    wait_refused(1);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    end();
}

/* accept(2), EMFILE: the connection stays in the kernel's queue meanwhile. */
static void
without_descriptors_a_connection_waits_and_is_served_later(void)
{
    struct rlimit limit, none;
    int client, next;

    begin(&http_mode, "127.0.0.1:0", 1);
    client = connect_client();
    next = dup(client);
    close(next);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = (rlim_t)next;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 5; i++)
        turn_all();
    CU_ASSERT_EQUAL(taken_count, 0);
    CU_ASSERT_TRUE(loop_counts(threads[0].worker.loop).events < 5); /* it does not spin */
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    wait_taken(1);
    CU_ASSERT_EQUAL(sum_refused(), 0);
    close(client);
    end();
}

static void
the_port_mode_closes_clients_that_are_not_allowed(void)
{
    struct err err;
    int client;

    begin(&port_mode, "127.0.0.1:0", 1);
    conf.allow_client = prefix_set_new(&arena);
    CU_ASSERT_EQUAL(prefix_set_add(conf.allow_client, SLICE("192.0.2.0/24"), &err), 0);
    client = connect_client();
    wait_refused(1);
    CU_ASSERT_TRUE(is_closed(client));
    CU_ASSERT_EQUAL(taken_count, 0);
    close(client);
    end();
}

/* ---- PROXY header */

static void
begin_proxy(const char *from)
{
    struct err err;

    begin(&http_mode, "127.0.0.1:0", 1);
    conf.proxy_protocol = true;
    conf.proxy_protocol_from = prefix_set_new(&arena);
    CU_ASSERT_EQUAL(prefix_set_add(conf.proxy_protocol_from, slice_of(from), &err), 0);
}

static void
send_text(int fd, const char *text)
{
    CU_ASSERT_EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    for (int i = 0; i < 5; i++)
        turn_all();
}

static const char proxy_line[] = "PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n";

/* What follows the header stays in the socket, byte for byte. */
static void
a_proxy_header_names_the_client_and_is_read_away(void)
{
    char peer[IP_TEXT_BYTES], local[IP_TEXT_BYTES], rest[16];
    int client;

    begin_proxy("127.0.0.0/8");
    client = connect_client();
    send_text(client, proxy_line);
    send_text(client, "GET /");
    wait_taken(1);
    ip_port_text(&taken[0].accepted.peer, peer);
    ip_port_text(&taken[0].accepted.local, local);
    CU_ASSERT_STRING_EQUAL(peer, "192.0.2.7:1234");
    CU_ASSERT_STRING_EQUAL(local, "198.51.100.1:443");
    CU_ASSERT_EQUAL(recv(taken[0].accepted.fd, rest, sizeof(rest), 0), 5);
    CU_ASSERT_EQUAL(memcmp(rest, "GET /", 5), 0);
    CU_ASSERT_EQUAL(threads[0].worker.connections, 1);
    CU_ASSERT_EQUAL(atomic_load(&threads[0].counters.connections_accepted), 1);
    close(client);
    end();
}

static void
a_proxy_header_may_come_byte_by_byte(void)
{
    char peer[IP_TEXT_BYTES], byte[2] = "";
    int client;

    begin_proxy("127.0.0.0/8");
    client = connect_client();
    for (size_t i = 0; i < sizeof(proxy_line) - 1; i++) {
        CU_ASSERT_EQUAL(taken_count, 0);
        byte[0] = proxy_line[i];
        send_text(client, byte);
    }
    wait_taken(1);
    ip_text(&taken[0].accepted.peer, peer);
    CU_ASSERT_STRING_EQUAL(peer, "192.0.2.7");
    close(client);
    end();
}

static void
refuses(const char *text, bool ends)
{
    int client = connect_client();
    uint64_t before = sum_refused();

    turn_all();
    if (text[0] != '\0')
        send_text(client, text);
    if (ends)
        shutdown(client, SHUT_WR);
    wait_refused(before + 1);
    CU_ASSERT_TRUE(is_closed(client));
    CU_ASSERT_EQUAL(taken_count, 0);
    CU_ASSERT_EQUAL(threads[0].worker.connections, 0);
    close(client);
}

static void
a_bad_late_or_missing_proxy_header_is_refused(void)
{
    begin_proxy("127.0.0.0/8");
    refuses("GET / HTTP/1.1\r\n", false);
    refuses("PROXY TCP4 192.0.2.7", true);
    refuses("", true);
    CU_ASSERT_EQUAL(atomic_load(&threads[0].counters.client_timeouts), 0);
    conf.timeouts.head_ms = 60;
    refuses("PROXY TCP4 192.0.2.7", false); /* and then nothing, until the deadline */
    CU_ASSERT_EQUAL(atomic_load(&threads[0].counters.client_timeouts), 1);
    end();
}

static void
a_proxy_header_from_elsewhere_is_refused(void)
{
    int client;

    begin_proxy("192.0.2.0/24");
    client = connect_client();
    wait_refused(1);
    CU_ASSERT_TRUE(is_closed(client));
    close(client);
    end();
}

static void
who_waits_with_a_proxy_header_can_be_closed(void)
{
    int client;

    begin_proxy("127.0.0.0/8");
    client = connect_client();
    for (int tries = 0; tries < TRIES && threads[0].worker.connections == 0; tries++)
        turn_all();
    CU_ASSERT_EQUAL(threads[0].worker.connections, 1);
    acceptors_kill(&threads[0].acceptors);
    CU_ASSERT_EQUAL(threads[0].worker.connections, 0);
    CU_ASSERT_TRUE(is_closed(client));
    close(client);
    end();
}

void
suite_listener(void)
{
    CU_pSuite s = CU_add_suite("listener", NULL, NULL);

    CU_add_test(s, "port 0 is one port for all sockets", port_0_is_one_port_for_all_sockets);
    CU_add_test(s, "an address in use is refused in words", an_address_in_use_is_refused_in_words);
    CU_add_test(s, "an address of another machine is called that",
                an_address_of_another_machine_is_called_that);
    CU_add_test(s, "sockets grow and never shrink", sockets_grow_and_never_shrink);
    CU_add_test(s, "a unix socket is shared and not for everyone",
                a_unix_socket_is_shared_and_not_for_everyone);
    CU_add_test(s, "a stale unix socket is replaced and a served one is not",
                a_stale_unix_socket_is_replaced_and_a_served_one_is_not);
    CU_add_test(s, "another file at the path is left alone",
                another_file_at_the_path_is_left_alone);
    CU_add_test(s, "what does not listen is not taken", what_does_not_listen_is_not_taken);
    CU_add_test(s, "a connection reaches its mode with both addresses",
                a_connection_reaches_its_mode_with_both_addresses);
    CU_add_test(s, "any address serves IPv4 and knows where it came to",
                any_address_serves_ipv4_and_knows_where_it_came_to);
    CU_add_test(s, "a unix client has no IP address and is let in",
                a_unix_client_has_no_ip_and_is_let_in);
    CU_add_test(s, "no connection is lost when threads come and go",
                no_connection_is_lost_when_threads_come_and_go);
    CU_add_test(s, "a listener that goes serves who is queued",
                a_listener_that_goes_serves_who_is_queued);
    CU_add_test(s, "a thread with too many connections hands over",
                a_thread_with_too_many_hands_over);
    CU_add_test(s, "one connection too many is closed and counted",
                one_connection_too_many_is_closed_and_counted);
    CU_add_test(s, "the limit of the process counts all threads",
                the_limit_of_the_process_counts_all_threads);
    CU_add_test(s, "without descriptors a connection waits and is served later",
                without_descriptors_a_connection_waits_and_is_served_later);
    CU_add_test(s, "the port mode closes clients that are not allowed",
                the_port_mode_closes_clients_that_are_not_allowed);
    CU_add_test(s, "a PROXY header names the client and is read away",
                a_proxy_header_names_the_client_and_is_read_away);
    CU_add_test(s, "a PROXY header may come byte by byte", a_proxy_header_may_come_byte_by_byte);
    CU_add_test(s, "a bad, late or missing PROXY header is refused",
                a_bad_late_or_missing_proxy_header_is_refused);
    CU_add_test(s, "a PROXY header from elsewhere is refused",
                a_proxy_header_from_elsewhere_is_refused);
    CU_add_test(s, "who waits with a PROXY header can be closed",
                who_waits_with_a_proxy_header_can_be_closed);
}
