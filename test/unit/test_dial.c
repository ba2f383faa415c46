/* SPDX-License-Identifier: BSD-2-Clause */
/* test_dial.c - a dial ends in one connected socket or a reason, and leaks none.
 *
 * Names come from a hosts file. An address that swallows connection requests
 * is a listening socket whose backlog is full.
 */
#include "config.h"

#include "server/net/dial.h"

#include "server/base/clock.h"
#include "test/unit/descriptors.h"

#include <CUnit/CUnit.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void suite_dial(void);

/* For what must come; a deadline under test is configured to be short. */
#define PATIENCE_MS 60000

static struct loop *loop;
static struct resolver *resolver;
static struct resolver_conf conf;
static char directory[] = "test_dial.XXXXXX";
static char hosts_path[64], unix_path[64], server_text[32];
static struct slice server_slice;
static int silent_server; /* a name server that never answers */
static unsigned descriptors_before;

static struct address
address_of(const char *text, unsigned port)
{
    struct address address;
    struct ip ip;

    CU_ASSERT_TRUE_FATAL(ip_parse(slice_of(text), &ip));
    ip.port = (uint16_t)port;
    address_from_ip(&address, &ip);
    return address;
}

/* A bound socket; *port is its port, and the one wanted unless 0. -1 when the
 * machine lacks the address or the port is taken. */
static int
bound(const char *ip, int type, unsigned *port)
{
    struct address address = address_of(ip, *port);
    struct ip own;
    int fd = socket(address.to.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &address.to.any, address.bytes) < 0) {
        close(fd);
        return -1;
    }
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, &address.to.any, &address.bytes), 0);
    ip_from_sockaddr(&own, &address.to.any);
    *port = own.port;
    return fd;
}

static int
listening(const char *ip, unsigned *port, int backlog)
{
    int fd = bound(ip, SOCK_STREAM, port);

    if (fd >= 0)
        CU_ASSERT_EQUAL_FATAL(listen(fd, backlog), 0);
    return fd;
}

static void
write_hosts(const char *text)
{
    FILE *file = fopen(hosts_path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

/* A loop and a resolver that knows the given hosts, and asks a name server that says
 * nothing about others. */
static void
begin_with(const char *hosts, uint32_t dns_ms)
{
    unsigned port = 0;
    struct err err;

    descriptors_before = count_open_descriptors();
    memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(hosts_path, sizeof(hosts_path), "%s/hosts", directory);
    snprintf(unix_path, sizeof(unix_path), "%s/socket", directory);
    write_hosts(hosts);
    silent_server = bound("127.0.0.1", SOCK_DGRAM, &port);
    snprintf(server_text, sizeof(server_text), "127.0.0.1:%u", port);
    server_slice = slice_of(server_text);
    conf = (struct resolver_conf){
        .servers = { &server_slice, 1 }, .hosts_file = hosts_path, .resolv_conf = "no/such/file",
        .timeout_ms = dns_ms, .tries = 1, .limit_ms = PATIENCE_MS, .max_ttl_ms = 1000,
        .max_entries = 10, .max_lookups = 2,
    };
    loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    resolver = resolver_new(loop, &conf, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(resolver);
}

static void
begin(const char *hosts)
{
    begin_with(hosts, PATIENCE_MS);
}

/* Every test ends here: what was opened since begin() must be closed. */
static void
finish(void)
{
    resolver_free(resolver);
    loop_turn(loop, 0);
    loop_free_all(loop);
    close(silent_server);
    unlink(hosts_path);
    unlink(unix_path);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
    CU_ASSERT_EQUAL(count_open_descriptors(), descriptors_before);
}

/* ---- an address that swallows what it is sent */

struct hole {
    int listener, fillers[8];
};

/* Whether no more fit into the queue of connections that wait to be accepted: of a listening
 * socket, Linux tells in these two how many there are and may be. */
static bool
is_full(int listener)
{
    struct tcp_info info;
    socklen_t bytes = sizeof(info);

    return getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 &&
           info.tcpi_unacked > info.tcpi_sacked;
}

/* Until the queue has another connection, which may be later than the client has it. */
static void
fill(int filler, int listener, const struct address *address)
{
    struct pollfd poller = { .fd = filler, .events = POLLOUT };

    (void)connect(filler, &address->to.any, address->bytes);
    CU_ASSERT_EQUAL(poll(&poller, 1, PATIENCE_MS), 1);
    poller.fd = listener;
    poller.events = POLLIN;
    CU_ASSERT_EQUAL(poll(&poller, 1, PATIENCE_MS), 1);
}

/* False where the address or this trick is not to be had. */
static bool
open_hole(struct hole *hole, const char *ip, unsigned *port)
{
    struct address address;

    for (size_t i = 0; i < ARRAY_COUNT(hole->fillers); i++)
        hole->fillers[i] = -1;
    hole->listener = listening(ip, port, 0);
    if (hole->listener < 0)
        return false;
    address = address_of(ip, *port);
    for (size_t i = 0; i < ARRAY_COUNT(hole->fillers) && !is_full(hole->listener); i++) {
        hole->fillers[i] =
            socket(address.to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        fill(hole->fillers[i], hole->listener, &address);
    }
    return is_full(hole->listener);
}

static void
close_hole(struct hole *hole)
{
    for (size_t i = 0; i < ARRAY_COUNT(hole->fillers); i++)
        if (hole->fillers[i] >= 0)
            close(hole->fillers[i]);
    if (hole->listener >= 0)
        close(hole->listener);
}

/* ---- dialling */

struct dialler {
    struct dial dial;
    struct dial_result result;
    int fd;
    unsigned told;
};

static void
on_done(struct dial *dial, int fd, const struct dial_result *result)
{
    struct dialler *dialler = container_of(dial, struct dialler, dial);

    dialler->told++;
    dialler->fd = fd;
    dialler->result = *result;
}

static void
start(struct dialler *dialler, const struct dial_target *target)
{
    memset(dialler, 0xa5, sizeof(*dialler)); /* dial_init() must do */
    dialler->told = 0;
    dialler->fd = -1;
    dial_init(&dialler->dial, on_done);
    dial_start(&dialler->dial, resolver, loop, target);
}

static void
turn_for(uint64_t ms)
{
    uint64_t until = clock_monotonic_ms() + ms;

    do {
        loop_turn(loop, 5);
    } while (loop_now_ms(loop) < until);
}

static void
wait_for(struct dialler *dialler)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (dialler->told == 0 && clock_monotonic_ms() < until)
        loop_turn(loop, 100);
    CU_ASSERT_EQUAL(dialler->told, 1);
    CU_ASSERT_EQUAL(dialler->result.status == DIAL_OK, dialler->fd >= 0);
    CU_ASSERT_PTR_NOT_NULL(dialler->result.detail);
}

/* Dials, closes what was connected. */
static struct dial_result
dial(const struct dial_target *target)
{
    struct dialler dialler;

    start(&dialler, target);
    wait_for(&dialler);
    if (dialler.fd >= 0)
        close(dialler.fd);
    return dialler.result;
}

static const char *
peer_text(const struct dial_result *result)
{
    static char text[IP_TEXT_BYTES];

    ip_text(&result->ip, text);
    return text;
}

/* ---- success */

static void
connects_a_literal(void)
{
    unsigned port = 0;
    int listener = listening("127.0.0.1", &port, 8), on = 0;
    socklen_t bytes = sizeof(on);
    struct dialler dialler;

    begin("");
    start(&dialler, &(struct dial_target){ .host = SLICE("127.0.0.1"), .port = (uint16_t)port,
                                           .connect_ms = PATIENCE_MS });
    wait_for(&dialler);
    CU_ASSERT_EQUAL_FATAL(dialler.result.status, DIAL_OK);
    CU_ASSERT_STRING_EQUAL(peer_text(&dialler.result), "127.0.0.1");
    CU_ASSERT_EQUAL(dialler.result.ip.port, port);
    CU_ASSERT_TRUE(dialler.result.was_cached);
    CU_ASSERT_TRUE(fcntl(dialler.fd, F_GETFL) & O_NONBLOCK);
    CU_ASSERT_TRUE(fcntl(dialler.fd, F_GETFD) & FD_CLOEXEC);
    CU_ASSERT_EQUAL(getsockopt(dialler.fd, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
    CU_ASSERT_TRUE(on);
    CU_ASSERT_EQUAL(send(dialler.fd, "x", 1, 0), 1);
    close(dialler.fd);
    finish();
    close(listener);
}

static void
connects_a_name_and_a_known_address(void)
{
    unsigned port = 0;
    int listener = listening("127.0.0.2", &port, 8);
    struct address address = address_of("127.0.0.2", port);
    struct dial_result result;

    begin("127.0.0.2 name.test\n");
    result = dial(&(struct dial_target){ .host = SLICE("Name.Test"), .port = (uint16_t)port,
                                         .connect_ms = PATIENCE_MS });
    CU_ASSERT_EQUAL(result.status, DIAL_OK);
    CU_ASSERT_STRING_EQUAL(peer_text(&result), "127.0.0.2");
    result = dial(&(struct dial_target){ .address = &address, .connect_ms = 0 });
    CU_ASSERT_EQUAL(result.status, DIAL_OK);
    CU_ASSERT_EQUAL(result.ip.port, port);
    finish();
    close(listener);
}

static struct address
unix_address(void)
{
    struct address address = { .bytes = sizeof(address.to.un) };

    address.to.un.sun_family = AF_UNIX;
    snprintf(address.to.un.sun_path, sizeof(address.to.un.sun_path), "%s", unix_path);
    return address;
}

static void
connects_a_unix_socket(void)
{
    struct address address;
    struct dial_target target = { .address = &address, .connect_ms = PATIENCE_MS };
    int listener;

    begin("");
    address = unix_address();
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_CONNECT_REFUSED); /* not there */
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(listener, &address.to.any, address.bytes), 0);
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_CONNECT_REFUSED); /* does not listen */
    CU_ASSERT_EQUAL_FATAL(listen(listener, 4), 0);
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_OK);
    close(listener);
    finish();
}

/* unix(7): connect() says EAGAIN, and epoll never tells. */
static void
waits_for_room_in_a_unix_backlog(void)
{
    struct address address;
    struct dial_target target = { .address = &address, .connect_ms = PATIENCE_MS };
    struct dialler first, second, third;
    int listener, taken;

    begin("");
    address = unix_address();
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(listener, &address.to.any, address.bytes), 0);
    CU_ASSERT_EQUAL_FATAL(listen(listener, 0), 0);
    start(&first, &target);
    start(&second, &target);
    wait_for(&first);
    turn_for(30);
    if (second.told == 0) { /* as Linux has it: a backlog of 0 is one */
        taken = accept(listener, NULL, NULL);
        wait_for(&second);
        CU_ASSERT_EQUAL(second.result.status, DIAL_OK);
        target.connect_ms = 40;
        start(&third, &target);
        wait_for(&third);
        CU_ASSERT_EQUAL(third.result.status, DIAL_CONNECT_TIMEOUT);
        close(taken);
    }
    close(first.fd);
    close(second.fd);
    close(listener);
    finish();
}

static void
connects_from_the_source_asked_for(void)
{
    unsigned port = 0;
    int listener = listening("127.0.0.1", &port, 8), taken;
    struct address source = address_of("127.0.0.5", 0), peer = { .bytes = sizeof(peer.to) };
    struct dial_target target = { .host = SLICE("127.0.0.1"), .port = (uint16_t)port,
                                  .source = &source, .connect_ms = PATIENCE_MS };
    struct ip ip;

    begin("");
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_OK);
    taken = accept(listener, &peer.to.any, &peer.bytes);
    CU_ASSERT_TRUE(taken >= 0);
    ip_from_sockaddr(&ip, &peer.to.any);
    CU_ASSERT_EQUAL(ip.bytes[3], 5);
    source = address_of("::1", 0);
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_UNREACHABLE); /* the other family */
    source = address_of("192.0.2.1", 0);
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_FAILED); /* not ours */
    close(taken);
    finish();
    close(listener);
}

/* ---- races */

/* How often a length of time is looked at: it is another one when the machine holds us up,
 * be it meanwhile or between the loop's look at its clock and ours. */
#define ROUNDS 20

static bool
took_a_quarter_second(const struct dial_result *result)
{
    return result->connect_us >= 240000 && result->connect_us < 450000;
}

/* RFC 8305 section 5: 250 ms, then the next. */
static void
a_silent_address_costs_a_quarter_second(void)
{
    bool was_in_time = false;
    unsigned port = 0;
    struct hole hole;
    bool is_hole = open_hole(&hole, "127.0.0.2", &port);
    int listener = listening("127.0.0.3", &port, 8);
    struct dial_target target = { .host = SLICE("race.test"), .port = (uint16_t)port,
                                  .connect_ms = PATIENCE_MS };

    for (int i = 0; i < ROUNDS && is_hole && listener >= 0 && !was_in_time; i++) {
        struct dial_result result;

        begin("127.0.0.2 race.test\n127.0.0.3 race.test\n");
        result = dial(&target);
        CU_ASSERT_EQUAL(result.status, DIAL_OK);
        CU_ASSERT_STRING_EQUAL(peer_text(&result), "127.0.0.3");
        was_in_time = took_a_quarter_second(&result);
        finish();
    }
    CU_ASSERT_TRUE(was_in_time || !is_hole || listener < 0);
    close(listener);
    close_hole(&hole);
}

/* RFC 8305 sections 4 and 5: IPv6 comes first; the family that works is
 * remembered. */
static void
silent_ipv6_costs_a_quarter_second_once(void)
{
    unsigned port = 0;
    struct hole hole;
    bool is_hole = open_hole(&hole, "::1", &port);
    int listener = listening("127.0.0.1", &port, 8);
    struct dial_target target = { .host = SLICE("dual.test"), .port = (uint16_t)port,
                                  .connect_ms = PATIENCE_MS };
    bool was_in_time = false;

    for (int i = 0; i < ROUNDS && is_hole && listener >= 0 && !was_in_time; i++) {
        struct dial_result first, second;

        begin("127.0.0.1 dual.test\n::1 dual.test\n");
        first = dial(&target);
        CU_ASSERT_EQUAL(first.status, DIAL_OK);
        CU_ASSERT_EQUAL(first.ip.family, 4);
        second = dial(&target);
        CU_ASSERT_EQUAL(second.ip.family, 4);
        was_in_time = took_a_quarter_second(&first) && second.connect_us < 200000;
        finish();
    }
    CU_ASSERT_TRUE(was_in_time || !is_hole || listener < 0);
    close(listener);
    close_hole(&hole);
}

static void
ipv4_comes_first_when_asked_for(void)
{
    unsigned port = 0;
    int listener = listening("127.0.0.1", &port, 8), other = listening("::1", &port, 8);
    struct dial_target target = { .host = SLICE("localhost"), .port = (uint16_t)port,
                                  .connect_ms = PATIENCE_MS };

    begin("");
    if (other >= 0) {
        CU_ASSERT_EQUAL(dial(&target).ip.family, 6);
        target.is_ipv4_first = true;
        CU_ASSERT_EQUAL(dial(&target).ip.family, 4);
    }
    finish();
    if (other >= 0)
        close(other);
    close(listener);
}

static void
a_refusal_starts_the_next_at_once(void)
{
    unsigned port = 0;
    int listener = listening("127.0.0.7", &port, 8);
    struct dial_target target = { .host = SLICE("r.test"), .port = (uint16_t)port,
                                  .connect_ms = PATIENCE_MS };
    bool was_at_once = false;

    begin("127.0.0.2 r.test\n127.0.0.3 r.test\n::1 r.test\n127.0.0.7 r.test\n127.0.0.8 r.test\n");
    for (int i = 0; i < ROUNDS && !was_at_once; i++) {
        struct dial_result result = dial(&target);

        CU_ASSERT_EQUAL(result.status, DIAL_OK);
        CU_ASSERT_STRING_EQUAL(peer_text(&result), "127.0.0.7");
        was_at_once = result.connect_us < 200000;
    }
    CU_ASSERT_TRUE(was_at_once);
    finish();
    close(listener);
}

static void
silence_everywhere_ends_at_the_limit(void)
{
    unsigned port = 0;
    struct hole holes[2];
    bool are_holes = open_hole(&holes[0], "127.0.0.2", &port);
    uint64_t before;

    are_holes = open_hole(&holes[1], "127.0.0.3", &port) && are_holes;
    begin("127.0.0.2 race.test\n127.0.0.3 race.test\n127.0.0.4 race.test\n");
    before = loop_now_ms(loop);
    if (are_holes) {
        struct dial_result result = dial(&(struct dial_target){
            .host = SLICE("race.test"), .port = (uint16_t)port, .connect_ms = 400 });

        CU_ASSERT_EQUAL(result.status, DIAL_CONNECT_TIMEOUT);
        CU_ASSERT_TRUE(clock_monotonic_ms() - before >= 390);
    }
    finish();
    close_hole(&holes[0]);
    close_hole(&holes[1]);
}

/* ---- failures */

static void
tells_that_nobody_listens(void)
{
    unsigned port = 0;
    int fd = bound("127.0.0.1", SOCK_STREAM, &port); /* and does not listen */
    struct dial_result result;

    begin("");
    result = dial(&(struct dial_target){ .host = SLICE("localhost"), .port = (uint16_t)port,
                                         .connect_ms = PATIENCE_MS });
    CU_ASSERT_EQUAL(result.status, DIAL_CONNECT_REFUSED);
    CU_ASSERT_EQUAL(result.error, ECONNREFUSED);
    CU_ASSERT_EQUAL(result.ip.port, port);
    finish();
    close(fd);
}

static void
tells_what_the_name_servers_said(void)
{
    struct dial_target target = { .host = SLICE("a..b"), .port = 80, .connect_ms = PATIENCE_MS };
    struct dialler dialler[2];

    begin_with("", 50);
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_NO_SUCH_HOST);
    target.host = SLICE("silent.test");
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_DNS_TIMEOUT);
    target.host = SLICE("silent-1.test");
    start(&dialler[0], &target);
    target.host = SLICE("silent-2.test");
    start(&dialler[1], &target);
    target.host = SLICE("silent-3.test");
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_FAILED); /* too many look-ups */
    wait_for(&dialler[0]);
    wait_for(&dialler[1]);
    CU_ASSERT_TRUE(dialler[0].result.dns_us >= 40000);
    finish();
}

/* From a port of this machine to itself. */
static enum dial_status
dial_itself(void)
{
    unsigned port = 0;
    int fd = bound("127.0.0.1", SOCK_STREAM, &port);
    struct address source = address_of("127.0.0.1", port);

    close(fd);
    return dial(&(struct dial_target){ .host = SLICE("127.0.0.1"), .port = (uint16_t)port,
                                       .source = &source, .connect_ms = PATIENCE_MS }).status;
}

/* RFC 9293 section 3.5: the simultaneous open of a socket with itself. */
static void
is_never_connected_to_itself(void)
{
    enum dial_status status;

    begin("");
    status = dial_itself();
    if (status != DIAL_CONNECT_REFUSED) /* somebody else may have taken the port meanwhile */
        status = dial_itself();
    CU_ASSERT_EQUAL(status, DIAL_CONNECT_REFUSED);
    finish();
}

static void
tells_that_descriptors_ran_out(void)
{
    struct rlimit before, low;
    struct dial_result result;

    begin("");
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 0;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &low), 0);
    result = dial(&(struct dial_target){ .host = SLICE("127.0.0.1"), .port = 9,
                                         .connect_ms = PATIENCE_MS });
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    CU_ASSERT_EQUAL(result.status, DIAL_FAILED);
    CU_ASSERT_EQUAL(result.error, EMFILE);
    finish();
}

/* ---- policy */

static unsigned judged;

static bool
only_the_third(const struct ip *ip, void *arg)
{
    judged++;
    CU_ASSERT_EQUAL(ip->port, *(unsigned *)arg);
    return ip->family == 4 && ip->bytes[3] == 3;
}

static bool
none(const struct ip *ip, void *arg)
{
    (void)ip;
    (void)arg;
    judged++;
    return false;
}

static void
every_address_is_judged(void)
{
    unsigned port = 0;
    int listener = listening("127.0.0.3", &port, 8), second = listening("127.0.0.2", &port, 8);
    struct address address = address_of("127.0.0.3", port);
    struct dial_target target = { .host = SLICE("p.test"), .port = (uint16_t)port,
                                  .connect_ms = PATIENCE_MS, .may_connect = only_the_third,
                                  .arg = &port };
    struct dial_result result;

    begin("127.0.0.2 p.test\n::1 p.test\n127.0.0.3 p.test\n");
    judged = 0;
    result = dial(&target);
    CU_ASSERT_EQUAL(result.status, DIAL_OK);
    CU_ASSERT_STRING_EQUAL(peer_text(&result), "127.0.0.3");
    CU_ASSERT_EQUAL(judged, 3);
    target.may_connect = none;
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_REFUSED_BY_POLICY);
    CU_ASSERT_EQUAL(judged, 6);
    target.host = SLICE("127.0.0.3"); /* a literal is judged, too */
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_REFUSED_BY_POLICY);
    target.address = &address;
    CU_ASSERT_EQUAL(dial(&target).status, DIAL_REFUSED_BY_POLICY);
    CU_ASSERT_TRUE(accept(second, NULL, NULL) < 0); /* nobody ever came */
    close(accept(listener, NULL, NULL));
    CU_ASSERT_TRUE(accept(listener, NULL, NULL) < 0);
    finish();
    close(listener);
    close(second);
}

/* ---- changing one's mind */

static void
may_be_cancelled_at_any_moment(void)
{
    unsigned port = 0;
    struct hole hole;
    bool is_hole = open_hole(&hole, "127.0.0.2", &port);
    struct dialler dialler;
    struct dial_target target = { .host = SLICE("silent.test"), .port = (uint16_t)port,
                                  .connect_ms = PATIENCE_MS };

    begin("127.0.0.2 race.test\n127.0.0.2 race.test\n127.0.0.2 race.test\n");
    dial_init(&dialler.dial, on_done); /* before it began */
    dial_cancel(&dialler.dial);
    start(&dialler, &target); /* while the name is looked up */
    loop_turn(loop, 0);
    dial_cancel(&dialler.dial);
    dial_cancel(&dialler.dial);
    CU_ASSERT_EQUAL(dialler.told, 0);
    target.host = SLICE("race.test");
    for (unsigned ms = 0; is_hole && ms < 700; ms += 260) { /* with one, two, three pending */
        start(&dialler, &target);
        turn_for(ms);
        dial_cancel(&dialler.dial);
        turn_for(5);
        CU_ASSERT_EQUAL(dialler.told, 0);
    }
    target.host = SLICE("127.0.0.9"); /* after it ended */
    start(&dialler, &target);
    wait_for(&dialler);
    dial_cancel(&dialler.dial);
    CU_ASSERT_EQUAL(dialler.told, 1);
    finish();
    close_hole(&hole);
}

/* As a caller that retries does: the same memory, within on_done. */
struct stubborn {
    struct dial dial;
    struct dial_target target;
    unsigned left;
};

static void
try_again(struct dial *dial, int fd, const struct dial_result *result)
{
    struct stubborn *stubborn = container_of(dial, struct stubborn, dial);

    CU_ASSERT_EQUAL(fd, -1);
    CU_ASSERT_EQUAL(result->status, DIAL_CONNECT_REFUSED);
    if (--stubborn->left > 0)
        dial_start(dial, resolver, loop, &stubborn->target);
}

static void
may_be_started_again_when_done(void)
{
    unsigned port = 0;
    int fd = bound("127.0.0.1", SOCK_STREAM, &port);
    struct stubborn stubborn = { .left = 5 };

    begin("127.0.0.1 r.test\n");
    stubborn.target = (struct dial_target){ .host = SLICE("r.test"), .port = (uint16_t)port,
                                            .connect_ms = PATIENCE_MS };
    dial_init(&stubborn.dial, try_again);
    dial_start(&stubborn.dial, resolver, loop, &stubborn.target);
    for (uint64_t until = clock_monotonic_ms() + PATIENCE_MS;
         stubborn.left > 0 && clock_monotonic_ms() < until;)
        loop_turn(loop, 100);
    CU_ASSERT_EQUAL(stubborn.left, 0);
    finish();
    close(fd);
}

void
suite_dial(void)
{
    CU_pSuite s = CU_add_suite("dial", NULL, NULL);

    CU_add_test(s, "connects a literal", connects_a_literal);
    CU_add_test(s, "connects a name and a known address", connects_a_name_and_a_known_address);
    CU_add_test(s, "connects a unix socket", connects_a_unix_socket);
    CU_add_test(s, "waits for room in a unix backlog", waits_for_room_in_a_unix_backlog);
    CU_add_test(s, "connects from the source asked for", connects_from_the_source_asked_for);
    CU_add_test(s, "a silent address costs a quarter second",
                a_silent_address_costs_a_quarter_second);
    CU_add_test(s, "silent IPv6 costs a quarter second, once",
                silent_ipv6_costs_a_quarter_second_once);
    CU_add_test(s, "IPv4 comes first when asked for", ipv4_comes_first_when_asked_for);
    CU_add_test(s, "a refusal starts the next at once", a_refusal_starts_the_next_at_once);
    CU_add_test(s, "silence everywhere ends at the limit", silence_everywhere_ends_at_the_limit);
    CU_add_test(s, "tells that nobody listens", tells_that_nobody_listens);
    CU_add_test(s, "tells what the name servers said", tells_what_the_name_servers_said);
    CU_add_test(s, "is never connected to itself", is_never_connected_to_itself);
    CU_add_test(s, "tells that descriptors ran out", tells_that_descriptors_ran_out);
    CU_add_test(s, "every address is judged, and only that one connected",
                every_address_is_judged);
    CU_add_test(s, "may be cancelled at any moment", may_be_cancelled_at_any_moment);
    CU_add_test(s, "may be started again when done", may_be_started_again_when_done);
}
