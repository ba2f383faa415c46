/* SPDX-License-Identifier: BSD-2-Clause */
/* test_subrequest.c - another server is asked, over a real socket and the whole road. */
#include "config.h"

#include "modes/subrequest.h"

#include "modes/solo.h"
#include "server/generation.h"
#include "server/net/resolve.h"
#include "server/snapshot.h"
#include "server/upstream/pool.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void suite_subrequest(void);

#define PATIENCE_TURNS 2000 /* of 10 ms at most */

static struct worker worker;
static struct counters counters;
static struct snapshot current;
static struct generation generation;
static struct resolver *resolver;
static struct upstream_timeouts timeouts;
static int silent_server; /* a name server that never answers */
static int listening, link_fd;
static unsigned port, links;
static char got[4096]; /* by the server, on link_fd */
static size_t got_bytes;

/* ---- who asks */

struct heard {
    struct subrequest subrequest;
    unsigned times;
    unsigned status;  /* 0: there was no response */
    struct failure failure;
    bool is_cut;
    char content[256], color[64];
    size_t content_bytes;
};

static struct heard heard;

static void
on_done(struct subrequest *subrequest, const struct subrequest_answer *answer)
{
    struct heard *h = container_of(subrequest, struct heard, subrequest);
    struct slice color;

    h->times++;
    h->is_cut = answer->is_cut;
    CU_ASSERT_PTR_NULL(subrequest->ex);
    if (answer->response == NULL) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(answer->failure);
        h->failure = *answer->failure;
        return;
    }
    h->status = answer->response->status;
    h->content_bytes = answer->content.bytes;
    if (answer->content.bytes > 0 && answer->content.bytes < sizeof(h->content))
        memcpy(h->content, answer->content.data, answer->content.bytes);
    if (fields_find_name(&answer->response->fields, SLICE("X-Color")) == NULL)
        return;
    color = fields_find_name(&answer->response->fields, SLICE("X-Color"))->value;
    snprintf(h->color, sizeof(h->color), "%.*s", SLICE_ARG(color));
}

static struct subrequest_order
order_to(const char *host, unsigned to_port)
{
    return (struct subrequest_order){
        .worker = &worker,
        .to = { .host = slice_of(host), .port = (uint16_t)to_port, .timeouts = &timeouts },
        .method = METHOD_GET,
        .method_name = SLICE("GET"),
        .target = SLICE("/verify?a=b"),
        .authority = SLICE("auth.test"),
        .content_bytes = 100,
        .deadline_ms = 20000,
    };
}

static struct subrequest_order
usual_order(void)
{
    return order_to("127.0.0.1", port);
}

static void
start(const struct subrequest_order *order)
{
    heard = (struct heard){ 0 };
    CU_ASSERT_TRUE(subrequest_start(&heard.subrequest, order, on_done));
}

/* ---- the server */

static void
serve_turn(void)
{
    ssize_t bytes;
    int fd;

    if (link_fd < 0) {
        fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        link_fd = fd;
        links++;
    }
    bytes = recv(link_fd, got + got_bytes, sizeof(got) - 1 - got_bytes, MSG_DONTWAIT);
    if (bytes > 0)
        got_bytes += (size_t)bytes;
    got[got_bytes] = '\0';
}

static bool
has_request(void)
{
    return strstr(got, "\r\n\r\n") != NULL;
}

static bool
is_over(void)
{
    return heard.times > 0;
}

static void
turn_until(bool (*is_so)(void))
{
    for (int i = 0; i < PATIENCE_TURNS && !is_so(); i++) {
        loop_turn(worker.loop, 10);
        serve_turn();
    }
    CU_ASSERT_TRUE(is_so());
}

static void
say(const char *text)
{
    CU_ASSERT_EQUAL(send(link_fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void
hang_up(void)
{
    struct linger reset = { 1, 0 };

    setsockopt(link_fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(link_fd);
    link_fd = -1;
}

/* Asks, and waits until the server has the request. */
static void
ask(void)
{
    struct subrequest_order order = usual_order();

    got_bytes = 0;
    got[0] = '\0';
    start(&order);
    turn_until(has_request);
}

/* ---- the stage */

static int
bound(int type)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static unsigned
port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t bytes = sizeof(at);

    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
    return ntohs(at.sin_port);
}

static void
make_resolver(void)
{
    char text[32];
    struct slice server;
    struct resolver_conf conf = {
        .servers = { &server, 1 }, .hosts_file = "no/such/file", .resolv_conf = "no/such/file",
        .timeout_ms = 20000, .tries = 1, .limit_ms = 20000, .max_ttl_ms = 1000,
        .max_entries = 10, .max_lookups = 2000,
    };
    struct err err;

    silent_server = bound(SOCK_DGRAM);
    snprintf(text, sizeof(text), "127.0.0.1:%u", port_of(silent_server));
    server = slice_of(text);
    resolver = resolver_new(worker.loop, &conf, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(resolver);
    worker.resolver = resolver;
}

static void
set_up(void)
{
    struct err err;

    memset(&worker, 0, sizeof(worker));
    memset(&counters, 0, sizeof(counters));
    worker.counters = &counters;
    worker.loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker.loop);
    worker.in = malloc(SCRATCH_BYTES);
    worker.out = malloc(SCRATCH_BYTES);
    worker.snapshot = &current;
    generation = (struct generation){ .snapshot = &current, .worker = &worker };
    worker.generation = &generation;
    list_init(&worker.solos);
    block_pool_init(&worker.blocks, 64);
    make_resolver();
    timeouts = (struct upstream_timeouts){ 20000, 20000, 20000, 20000, 20000 };
    listening = bound(SOCK_STREAM);
    CU_ASSERT_EQUAL_FATAL(listen(listening, 8), 0);
    port = port_of(listening);
    link_fd = -1;
    links = 0;
}

/* Whatever happened, nothing is left. */
static void
tear_down(void)
{
    loop_turn(worker.loop, 0); /* graves */
    CU_ASSERT_TRUE(list_is_empty(&worker.solos));
    CU_ASSERT_EQUAL(generation.exchanges, 0);
    CU_ASSERT_EQUAL(atomic_load(&counters.exchanges_open), 0);
    pools_close(&worker);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 0);
    resolver_free(resolver);
    block_pool_fini(&worker.blocks);
    loop_free_all(worker.loop);
    free(worker.in);
    free(worker.out);
    close(silent_server);
    close(listening);
    if (link_fd >= 0)
        close(link_fd);
}

/* ---- answers */

static void
hands_over_the_answer(void)
{
    set_up();
    ask();
    say("HTTP/1.1 203 Fine\r\nX-Color: blue\r\nContent-Length: 5\r\n\r\nhello");
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.times, 1);
    CU_ASSERT_EQUAL(heard.status, 203);
    CU_ASSERT_STRING_EQUAL(heard.color, "blue");
    CU_ASSERT_EQUAL(heard.content_bytes, 5);
    CU_ASSERT_STRING_EQUAL(heard.content, "hello");
    CU_ASSERT_FALSE(heard.is_cut);
    ask(); /* on the same connection */
    say("HTTP/1.1 204 No Content\r\n\r\n");
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.status, 204);
    CU_ASSERT_EQUAL(heard.content_bytes, 0);
    CU_ASSERT_EQUAL(links, 1);
    tear_down();
}

/* RFC 9110 section 7.6.1; and by Via a loop is found out (section 7.6.3). */
static void
sends_what_was_ordered_and_nothing_of_hops(void)
{
    struct field items[] = {
        { SLICE_INIT("Cookie"), SLICE_INIT("a=b"), FIELD_COOKIE, 0 },
        { SLICE_INIT("TE"), SLICE_INIT("trailers"), FIELD_TE, FIELD_HOP },
    };
    struct fields fields = { .items = items, .count = 2, .room = 2 };
    struct subrequest_order order = usual_order();

    set_up();
    order.fields = &fields;
    order.to.port = (uint16_t)port;
    got_bytes = 0;
    got[0] = '\0';
    start(&order);
    turn_until(has_request);
    CU_ASSERT_PTR_EQUAL(strstr(got, "GET /verify?a=b HTTP/1.1\r\nHost: auth.test\r\n"), got);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "\r\nCookie: a=b\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "\r\nVia: 1.1 "));
    CU_ASSERT_PTR_NULL(strstr(got, "trailers"));
    CU_ASSERT_PTR_NULL(strstr(got, "Content-Length"));
    say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.status, 200);
    tear_down();
}

static void
cuts_content_that_is_longer_than_wanted(void)
{
    char text[400];

    set_up();
    ask();
    say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n60\r\n");
    memset(text, 'x', 0x60);
    strcpy(text + 0x60, "\r\n60\r\n");
    say(text);
    memset(text, 'y', 0x60);
    text[0x60] = '\0';
    say(text); /* and it would go on */
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.status, 200);
    CU_ASSERT_TRUE(heard.is_cut);
    CU_ASSERT_EQUAL(heard.content_bytes, 100);
    CU_ASSERT_EQUAL(heard.content[95], 'x');
    CU_ASSERT_EQUAL(heard.content[99], 'y');
    tear_down();
}

/* Content of just the length that is wanted is whole. */
static void
takes_content_that_just_fits(void)
{
    char text[200];

    set_up();
    ask();
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n%0100d", 7);
    say(text);
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.content_bytes, 100);
    CU_ASSERT_FALSE(heard.is_cut);
    tear_down();
}

/* ---- failures */

static void
takes_no_half_answer_for_one(void)
{
    set_up();
    ask();
    say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
    loop_turn(worker.loop, 10);
    hang_up();
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.status, 0);
    CU_ASSERT_EQUAL(heard.failure.reason, END_UPSTREAM_FAILED);
    CU_ASSERT_EQUAL(heard.times, 1);
    tear_down();
}

static void
says_why_there_is_no_answer(void)
{
    struct subrequest_order order;
    unsigned closed;

    set_up();
    closed = port_of(silent_server); /* nobody listens there for TCP */
    order = order_to("127.0.0.1", closed);
    start(&order);
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.status, 0);
    CU_ASSERT_EQUAL(heard.failure.reason, END_CONNECT_FAILED);
    ask();
    say("this is no HTTP at all\r\n\r\n");
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.status, 0);
    CU_ASSERT_EQUAL(heard.failure.reason, END_UPSTREAM_BAD);
    if (link_fd >= 0)
        hang_up();
    ask();
    hang_up();
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.failure.reason, END_UPSTREAM_FAILED);
    tear_down();
}

static void
waits_no_longer_than_ordered(void)
{
    struct subrequest_order order;

    set_up();
    order = usual_order();
    order.deadline_ms = 30;
    start(&order);
    turn_until(is_over); /* it says nothing */
    CU_ASSERT_EQUAL(heard.failure.reason, END_UPSTREAM_TIMEOUT);
    if (link_fd >= 0)
        hang_up();
    order.deadline_ms = 200;
    got_bytes = 0;
    got[0] = '\0';
    start(&order);
    turn_until(has_request);
    say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nand then nothing");
    turn_until(is_over);
    CU_ASSERT_EQUAL(heard.status, 0);
    CU_ASSERT_EQUAL(heard.failure.reason, END_UPSTREAM_TIMEOUT);
    tear_down();
}

/* ---- ends */

static void
can_be_cancelled_at_any_time(void)
{
    struct subrequest_order order;

    set_up();
    order = order_to("never.test", 80); /* waits for its name */
    start(&order);
    CU_ASSERT_PTR_NOT_NULL(heard.subrequest.ex);
    subrequest_cancel(&heard.subrequest);
    CU_ASSERT_PTR_NULL(heard.subrequest.ex);
    subrequest_cancel(&heard.subrequest); /* harmless */
    order = usual_order(); /* connects */
    start(&order);
    subrequest_cancel(&heard.subrequest);
    loop_turn(worker.loop, 10);
    serve_turn();
    if (link_fd >= 0)
        hang_up();
    ask(); /* waits for the answer */
    subrequest_cancel(&heard.subrequest);
    loop_turn(worker.loop, 10);
    hang_up();
    ask(); /* reads content */
    say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
    loop_turn(worker.loop, 10);
    subrequest_cancel(&heard.subrequest);
    loop_turn(worker.loop, 10);
    CU_ASSERT_EQUAL(heard.times, 0);
    tear_down();
}

static void
is_told_when_the_thread_ends(void)
{
    struct subrequest_order order;

    set_up();
    order = order_to("never.test", 80);
    start(&order);
    CU_ASSERT_FALSE(list_is_empty(&worker.solos)); /* the thread waits for it */
    solos_kill(&worker);
    CU_ASSERT_EQUAL(heard.times, 1);
    CU_ASSERT_EQUAL(heard.status, 0);
    CU_ASSERT_EQUAL(heard.failure.reason, END_STOPPED);
    tear_down();
}

static void
are_so_many_at_a_time_and_no_more(void)
{
    static struct heard many[SUBREQUESTS_MAX];
    struct subrequest_order order;

    set_up();
    order = order_to("never.test", 80);
    memset(many, 0, sizeof(many));
    for (unsigned i = 0; i < SUBREQUESTS_MAX; i++)
        CU_ASSERT_TRUE(subrequest_start(&many[i].subrequest, &order, on_done));
    heard = (struct heard){ 0 };
    CU_ASSERT_FALSE(subrequest_start(&heard.subrequest, &order, on_done));
    CU_ASSERT_EQUAL(heard.times, 0);
    subrequest_cancel(&many[0].subrequest);
    CU_ASSERT_TRUE(subrequest_start(&heard.subrequest, &order, on_done));
    solos_kill(&worker);
    CU_ASSERT_EQUAL(heard.times, 1);
    tear_down();
}

/* ---- generations */

static void
keeps_its_configuration_alive(void)
{
    struct subrequest_order order;

    set_up();
    order = order_to("never.test", 80);
    order.generation = &generation;
    start(&order);
    CU_ASSERT_EQUAL(generation.exchanges, 1);
    subrequest_cancel(&heard.subrequest);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(generation.exchanges, 0);
    tear_down();
}

void
suite_subrequest(void)
{
    CU_pSuite s = CU_add_suite("subrequest", NULL, NULL);

    CU_add_test(s, "hands over status, fields and content; connections are used again",
                hands_over_the_answer);
    CU_add_test(s, "sends what was ordered, and nothing hop-by-hop",
                sends_what_was_ordered_and_nothing_of_hops);
    CU_add_test(s, "cuts content that is longer than wanted",
                cuts_content_that_is_longer_than_wanted);
    CU_add_test(s, "takes content that just fits", takes_content_that_just_fits);
    CU_add_test(s, "takes no half answer for one", takes_no_half_answer_for_one);
    CU_add_test(s, "says why there is no answer", says_why_there_is_no_answer);
    CU_add_test(s, "waits no longer than ordered", waits_no_longer_than_ordered);
    CU_add_test(s, "can be cancelled at any time", can_be_cancelled_at_any_time);
    CU_add_test(s, "is told when the thread ends", is_told_when_the_thread_ends);
    CU_add_test(s, "are so many at a time and no more", are_so_many_at_a_time_and_no_more);
    CU_add_test(s, "keeps its configuration alive", keeps_its_configuration_alive);
}
