/* SPDX-License-Identifier: BSD-2-Clause */
/* test_resolve.c - names are resolved within bounds, whatever name servers do.
 *
 * The name server here runs on the resolver's own loop, so that nothing has to
 * be waited for but what is tested. The first label of a name says how it is
 * answered; see answer_udp().
 */
#include "config.h"

#include "server/net/resolve.h"

#include "server/base/clock.h"

#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void suite_resolve(void);

#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_SOA 6
#define TYPE_AAAA 28
#define MESSAGE_MAX 4096

/* For what must come. Stalls of the machine may take seconds, so a deadline under test
 * is configured to be short, and all others are this long. */
#define PATIENCE_MS 60000

/* ---- the name server */

struct message {
    uint8_t bytes[MESSAGE_MAX];
    size_t used;
};

static struct {
    struct watch udp, tcp, streams[4];
    struct sockaddr_in address;
    unsigned asked, asked_a, asked_aaaa, asked_tcp;
    uint8_t host_byte; /* last byte of the addresses given */
    uint32_t ttl_s;
    bool is_silent, is_slow;
    struct message kept; /* the answer that is_slow holds back */
    struct sockaddr_in kept_for;
    unsigned random;
} server;

static struct loop *loop;
static struct resolver *resolver;
static struct resolver_conf conf;
static char server_text[32];
static struct slice server_slice;
static char hosts_path[] = "test_resolve.XXXXXX";

static void
put_u16(struct message *m, unsigned value)
{
    m->bytes[m->used++] = (uint8_t)(value >> 8);
    m->bytes[m->used++] = (uint8_t)value;
}

static void
put_u32(struct message *m, uint32_t value)
{
    put_u16(m, value >> 16);
    put_u16(m, value & 0xffff);
}

static void
put(struct message *m, const void *data, size_t bytes)
{
    memcpy(m->bytes + m->used, data, bytes);
    m->used += bytes;
}

/* A record of the name asked for (a pointer to the question), without data. */
static void
put_record(struct message *m, unsigned type, uint32_t ttl_s, unsigned data_bytes)
{
    put_u16(m, 0xc00c);
    put_u16(m, type);
    put_u16(m, 1);
    put_u32(m, ttl_s);
    put_u16(m, data_bytes);
}

static void
put_address(struct message *m, unsigned type, unsigned n)
{
    uint8_t ipv4[4] = { 10, 0, 0, (uint8_t)(server.host_byte + n) };
    uint8_t ipv6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(server.host_byte + n) };

    put_record(m, type, server.ttl_s, type == TYPE_A ? 4 : 16);
    put(m, type == TYPE_A ? ipv4 : ipv6, type == TYPE_A ? 4 : 16);
}

static void
put_soa(struct message *m, uint32_t ttl_s, uint32_t minimum_s)
{
    put_record(m, TYPE_SOA, ttl_s, 22);
    put(m, "\0", 2);
    for (unsigned i = 0; i < 4; i++)
        put_u32(m, 1);
    put_u32(m, minimum_s);
}

static void
set_counts(struct message *m, unsigned answers, unsigned authorities)
{
    m->bytes[7] = (uint8_t)answers;
    m->bytes[9] = (uint8_t)authorities;
}

static void
set_code(struct message *m, unsigned code)
{
    m->bytes[3] = (uint8_t)(0x80 | code);
}

/* The end of the question, with room for nothing else. */
static size_t
question_end(const struct message *m)
{
    size_t at = 12;

    while (at < m->used && m->bytes[at] != 0)
        at += m->bytes[at] + 1u;
    return at + 5;
}

static bool
label_is(const struct message *m, const char *label)
{
    return m->bytes[12] == strlen(label) && memcmp(m->bytes + 13, label, strlen(label)) == 0;
}

static void
answer_addresses(struct message *m, unsigned type, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        put_address(m, type, i);
    set_counts(m, count, 0);
}

static void
answer_no(struct message *m, unsigned code, bool has_soa)
{
    set_code(m, code);
    if (has_soa)
        put_soa(m, 600, 300);
    set_counts(m, 0, has_soa);
}

/* An alias that lives shorter than what it leads to. */
static void
answer_alias(struct message *m, unsigned type)
{
    size_t alias, owner;

    put_record(m, TYPE_CNAME, 0, 8);
    alias = m->used;
    put(m, "\5other\xc0\x0c", 8);
    owner = m->used;
    put_address(m, type, 0);
    m->bytes[owner + 1] = (uint8_t)alias;
    set_counts(m, 2, 0);
}

static void
answer_alias_loop(struct message *m)
{
    put_record(m, TYPE_CNAME, 60, 2);
    put_u16(m, 0xc00c);
    put_u16(m, (unsigned)(0xc000 | m->used)); /* a name that points at itself */
    put_u16(m, TYPE_CNAME);
    put_u16(m, 1);
    put_u32(m, 60);
    put_u16(m, 2);
    put_u16(m, 0xc00c);
    set_counts(m, 2, 0);
}

/* Anything at all, but with the right id and question. */
static void
answer_noise(struct message *m, unsigned type)
{
    size_t from = 2;

    answer_addresses(m, type, 3);
    for (unsigned i = 0; i < 6; i++) {
        server.random = server.random * 1103515245u + 12345u;
        m->bytes[from + server.random / 65536u % (m->used - from)] = (uint8_t)(server.random >> 8);
    }
    if (server.random / 256u % 4 == 0)
        m->used = 12 + server.random / 65536u % (m->used - 12);
}

/* Turns the question in m into its answer. False: there is none. */
static bool
answer(struct message *m, bool is_tcp)
{
    unsigned type;

    m->used = question_end(m);
    type = m->bytes[m->used - 3];
    server.asked++;
    server.asked_a += type == TYPE_A;
    server.asked_aaaa += type == TYPE_AAAA;
    server.asked_tcp += is_tcp;
    m->bytes[2] = 0x81;
    m->bytes[3] = 0x80;
    memset(m->bytes + 6, 0, 6);
    if (server.is_silent || label_is(m, "silent") || (label_is(m, "a-only") && type == TYPE_AAAA))
        return false;
    if (label_is(m, "nx"))
        answer_no(m, 3, true);
    else if (label_is(m, "nx-no-soa"))
        answer_no(m, 3, false);
    else if (label_is(m, "v4") && type == TYPE_AAAA)
        answer_no(m, 0, true);
    else if (label_is(m, "none"))
        answer_no(m, 0, true);
    else if (label_is(m, "servfail"))
        answer_no(m, 2, false);
    else if (label_is(m, "refused"))
        answer_no(m, 5, false);
    else if (label_is(m, "alias"))
        answer_alias(m, type);
    else if (label_is(m, "alias-loop"))
        answer_alias_loop(m);
    else if (label_is(m, "many"))
        answer_addresses(m, type, 40);
    else if (label_is(m, "noise"))
        answer_noise(m, type);
    else if (label_is(m, "zero") && type == TYPE_A) {
        put_record(m, TYPE_A, 60, 4);
        put_u32(m, 0);
        set_counts(m, 1, 0);
    } else if (label_is(m, "zero"))
        answer_no(m, 0, true);
    else
        answer_addresses(m, type, 2);
    if (label_is(m, "wrong-id"))
        m->bytes[0] ^= 0x55;
    if (label_is(m, "wrong-question"))
        m->bytes[13] ^= 1;
    if (label_is(m, "short"))
        m->used = 7;
    if ((label_is(m, "cut") || label_is(m, "many")) && !is_tcp) {
        m->bytes[2] |= 2;
        m->used = question_end(m);
        set_counts(m, 0, 0);
    }
    return true;
}

static void
send_udp(const struct message *m, const struct sockaddr_in *to)
{
    (void)!sendto(server.udp.fd, m->bytes, m->used, 0, (const struct sockaddr *)to, sizeof(*to));
}

static bool
hear_udp(struct message *m, struct sockaddr_in *from)
{
    socklen_t from_bytes = sizeof(*from);
    ssize_t n = recvfrom(server.udp.fd, m->bytes, 512, MSG_DONTWAIT, (struct sockaddr *)from,
                         &from_bytes);

    m->used = n < 0 ? 0 : (size_t)n;
    return n >= 17;
}

/* All that wait at once: what was asked is counted before a deadline can be noticed. */
static void
on_udp(struct watch *watch, uint32_t events)
{
    struct sockaddr_in from;
    struct message m;

    (void)watch;
    (void)events;
    while (hear_udp(&m, &from)) {
        if (!answer(&m, false))
            continue;
        if (server.is_slow && m.bytes[question_end(&m) - 3] == TYPE_AAAA) {
            server.kept = m;
            server.kept_for = from;
        } else {
            send_udp(&m, &from);
        }
    }
}

/* Answers the whole messages that arrived; c-ares sends each in one piece. */
static void
on_stream(struct watch *watch, uint32_t events)
{
    uint8_t input[2048];
    ssize_t n = recv(watch->fd, input, sizeof(input), MSG_DONTWAIT);
    size_t at = 0;
    struct message m;
    int fd = watch->fd;

    (void)events;
    if (n <= 0) {
        loop_unwatch(loop, watch);
        close(fd);
    }
    while (n > 0 && (size_t)n >= at + 2) {
        uint8_t head[2];

        m.used = (size_t)(input[at] << 8 | input[at + 1]);
        if (m.used < 17 || m.used > 512 || m.used > (size_t)n - at - 2)
            return;
        memcpy(m.bytes, input + at + 2, m.used);
        at += 2 + m.used;
        if (!answer(&m, true))
            continue;
        head[0] = (uint8_t)(m.used >> 8);
        head[1] = (uint8_t)m.used;
        (void)!send(fd, head, 2, MSG_MORE | MSG_NOSIGNAL);
        (void)!send(fd, m.bytes, m.used, MSG_NOSIGNAL);
    }
}

static void
on_tcp(struct watch *watch, uint32_t events)
{
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);
    struct watch *stream = NULL;

    (void)events;
    for (size_t i = 0; i < ARRAY_COUNT(server.streams); i++)
        if (server.streams[i].fd < 0)
            stream = &server.streams[i];
    if (stream == NULL) {
        close(fd);
        return;
    }
    *stream = (struct watch){ .fd = fd, .on_event = on_stream };
    (void)loop_watch(loop, stream, EPOLLIN);
}

static int
open_server_socket(struct watch *watch, int type, void (*on_event)(struct watch *, uint32_t))
{
    socklen_t bytes = sizeof(server.address);

    watch->on_event = on_event;
    watch->fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (watch->fd < 0 || bind(watch->fd, (struct sockaddr *)&server.address, bytes) < 0 ||
        getsockname(watch->fd, (struct sockaddr *)&server.address, &bytes) < 0 ||
        (type == SOCK_STREAM && listen(watch->fd, 16) < 0))
        return -1;
    return loop_watch(loop, watch, EPOLLIN);
}

static void
close_watch(struct watch *watch)
{
    int fd = watch->fd;

    if (fd < 0)
        return;
    loop_unwatch(loop, watch);
    close(fd);
}

static void
close_server(void)
{
    close_watch(&server.udp);
    close_watch(&server.tcp);
    for (size_t i = 0; i < ARRAY_COUNT(server.streams); i++)
        close_watch(&server.streams[i]);
}

/* TCP and UDP on the same free port: tried again when only one was free. */
static int
open_server(uint32_t ip, uint16_t port)
{
    memset(&server, 0, sizeof(server));
    for (size_t i = 0; i < ARRAY_COUNT(server.streams); i++)
        server.streams[i].fd = -1;
    server.host_byte = 1;
    server.ttl_s = 300;
    for (unsigned tries = 0; tries < 20; tries++) {
        server.udp.fd = server.tcp.fd = -1;
        server.address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
                                               .sin_addr.s_addr = htonl(ip) };
        if (open_server_socket(&server.tcp, SOCK_STREAM, on_tcp) == 0 &&
            open_server_socket(&server.udp, SOCK_DGRAM, on_udp) == 0)
            return 0;
        close_server();
    }
    return -1;
}

/* ---- asking */

static void
set_conf(void)
{
    snprintf(server_text, sizeof(server_text), "127.0.0.1:%u",
             (unsigned)ntohs(server.address.sin_port));
    server_slice = slice_of(server_text);
    conf = (struct resolver_conf){
        .servers = { &server_slice, 1 }, .hosts_file = hosts_path, .resolv_conf = "no/such/file",
        .timeout_ms = PATIENCE_MS, .tries = 2, .limit_ms = PATIENCE_MS, .min_ttl_ms = 0,
        .max_ttl_ms = 3600000, .negative_ms = 5000, .stale_ms = 0, .max_entries = 100,
        .max_lookups = 100,
    };
}

static void
begin(void)
{
    struct err err;
    int fd;

    loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    CU_ASSERT_EQUAL_FATAL(open_server(INADDR_LOOPBACK, 0), 0);
    memcpy(hosts_path + strlen(hosts_path) - 6, "XXXXXX", 6);
    fd = mkstemp(hosts_path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    close(fd);
    set_conf();
}

static void
start(void)
{
    struct err err;

    resolver = resolver_new(loop, &conf, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(resolver);
}

static void
finish(void)
{
    resolver_free(resolver);
    resolver = NULL;
    close_server();
    loop_free_all(loop);
    unlink(hosts_path);
}

/* Somebody who asks; counts how often it was told. */
struct asker {
    struct resolve resolve;
    struct resolve_answer answer;
    unsigned told;
    struct asker *cancels; /* when told */
};

static void
on_done(struct resolve *resolve, const struct resolve_answer *got)
{
    struct asker *asker = container_of(resolve, struct asker, resolve);

    asker->told++;
    asker->answer = *got;
    if (asker->cancels != NULL)
        resolve_cancel(&asker->cancels->resolve);
}

static bool
ask(struct asker *asker, const char *name)
{
    memset(asker, 0, sizeof(*asker));
    resolve_init(&asker->resolve, on_done);
    if (!resolve_start(resolver, &asker->resolve, slice_of(name), &asker->answer))
        return false;
    asker->told++;
    return true;
}

/* By the loop's clock, which is the resolver's: it stands still between turns. */
static void
turn_for(uint64_t ms)
{
    uint64_t until = clock_monotonic_ms() + ms;

    do {
        loop_turn(loop, 5);
    } while (loop_now_ms(loop) < until);
}

static bool
is_under_way(void)
{
    return resolver_counts(resolver).under_way > 0;
}

static void
wait_until_nothing_is_under_way(void)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (is_under_way() && clock_monotonic_ms() < until)
        loop_turn(loop, 5);
    CU_ASSERT_FALSE(is_under_way());
}

static void
wait_for(struct asker *asker)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (asker->told == 0 && clock_monotonic_ms() < until)
        loop_turn(loop, 100);
    CU_ASSERT_EQUAL(asker->told, 1);
}

static struct resolve_answer
resolve(const char *name)
{
    struct asker asker;

    if (!ask(&asker, name))
        wait_for(&asker);
    return asker.answer;
}

/* The addresses of an answer, in words. */
static const char *
text_of(struct resolve_answer got)
{
    static char text[RESOLVE_ADDRESSES_MAX * IP_TEXT_BYTES];
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < got.count; i++) {
        char one[IP_TEXT_BYTES];

        ip_text(&got.ips[i], one);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? " " : "", one);
    }
    return text;
}

/* ---- what needs no question */

static void
literals_are_answered_at_once(void)
{
    static const char *const literals[][2] = {
        { "192.0.2.1", "192.0.2.1" }, { "2001:db8::1", "2001:db8::1" },
        { "[2001:db8::1]", "2001:db8::1" }, { "::ffff:192.0.2.1", "192.0.2.1" },
    };
    struct asker asker;

    begin();
    start();
    for (size_t i = 0; i < ARRAY_COUNT(literals); i++) {
        CU_ASSERT_TRUE(ask(&asker, literals[i][0]));
        CU_ASSERT_EQUAL(asker.answer.status, RESOLVE_OK);
        CU_ASSERT_STRING_EQUAL(text_of(asker.answer), literals[i][1]);
    }
    turn_for(10);
    CU_ASSERT_EQUAL(server.asked, 0);
    finish();
}

/* RFC 1035 section 2.3.4, RFC 1123 section 2.1; names that read as numbers
 * are spellings of addresses, which are judged as such or not at all. */
static void
bad_names_are_refused_without_a_question(void)
{
    static const char *const names[] = {
        "", ".", "..", ".a", "a..b", "a b", "a/b", "a\\b", "a%41", "\xc3\xa4.test", "a\x01.test",
        "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.0.0.01", "a.256",
        "1.2.3.4.5", "[192.0.2.1]", "[::1", "::1]", "fe80::1%lo", "*.test", "a.test:80", "a@b",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test", /* 64 */
    };
    struct asker asker;
    char name[300];

    begin();
    start();
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        CU_ASSERT_TRUE(ask(&asker, names[i]));
        CU_ASSERT_EQUAL(asker.answer.status, RESOLVE_NO_SUCH_HOST);
        CU_ASSERT_EQUAL(asker.answer.count, 0);
    }
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 2 ? '.' : 'a';
    name[255] = '\0'; /* 255 bytes, an 'a' last */
    CU_ASSERT_TRUE(ask(&asker, name));
    CU_ASSERT_EQUAL(asker.answer.status, RESOLVE_NO_SUCH_HOST);
    turn_for(10);
    CU_ASSERT_EQUAL(server.asked, 0);
    name[253] = '\0'; /* just short enough */
    CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_OK);
    CU_ASSERT_EQUAL(server.asked, 2);
    finish();
}

/* RFC 6761 sections 6.3 and 6.4, RFC 7686 section 2. */
static void
special_names_are_never_asked_for(void)
{
    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("LocalHost.")), "::1 127.0.0.1");
    CU_ASSERT_STRING_EQUAL(text_of(resolve("a.b.localhost")), "::1 127.0.0.1");
    CU_ASSERT_EQUAL(resolve("some.invalid").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(resolve("hidden.ONION").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 0);
    CU_ASSERT_EQUAL(resolve("notlocalhost").status, RESOLVE_OK);
    CU_ASSERT_EQUAL(server.asked, 2);
    finish();
}

static void
write_hosts(const char *text)
{
    FILE *file = fopen(hosts_path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static void
the_hosts_file_comes_first_and_is_watched(void)
{
    begin();
    write_hosts("10.1.1.1 listed.test\n0.0.0.0 blocked.test\n");
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("Listed.TEST.")), "10.1.1.1");
    CU_ASSERT_EQUAL(resolve("blocked.test").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 0);
    write_hosts("10.1.1.22 listed.test\n");
    turn_for(2050); /* it is looked at every two seconds */
    CU_ASSERT_STRING_EQUAL(text_of(resolve("listed.test")), "10.1.1.22");
    finish();
}

/* ---- the cache */

/* RFC 8305 section 4: families take turns. */
static void
answers_are_merged_and_kept(void)
{
    struct resolver_counts counts;

    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("both.test")),
                           "2001:db8::1 10.0.0.1 2001:db8::2 10.0.0.2");
    CU_ASSERT_EQUAL(server.asked_a, 1);
    CU_ASSERT_EQUAL(server.asked_aaaa, 1);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("BOTH.test.")),
                           "2001:db8::1 10.0.0.1 2001:db8::2 10.0.0.2");
    CU_ASSERT_EQUAL(server.asked, 2);
    counts = resolver_counts(resolver);
    CU_ASSERT_EQUAL(counts.hits, 1);
    CU_ASSERT_EQUAL(counts.lookups, 1);
    CU_ASSERT_EQUAL(counts.entries, 1);
    CU_ASSERT_EQUAL(counts.under_way, 0);
    finish();
}

/* RFC 1035 section 3.2.1. */
static void
the_ttl_is_honoured(void)
{
    uint64_t began_ms, again_ms = 0;

    begin();
    start();
    server.ttl_s = 1;
    began_ms = loop_now_ms(loop);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("v4.test")), "10.0.0.1 10.0.0.2");
    server.host_byte = 7;
    for (unsigned i = 0; i < 100 && server.asked == 2; i++) { /* every 20 ms or so */
        turn_for(20);
        again_ms = loop_now_ms(loop);
        (void)resolve("v4.test");
    }
    CU_ASSERT_TRUE(again_ms - began_ms >= 1000);
    CU_ASSERT_EQUAL(server.asked, 4);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("v4.test")), "10.0.0.7 10.0.0.8");
    server.ttl_s = 0;
    (void)resolve("never-kept.test");
    server.asked = 0;
    (void)resolve("never-kept.test");
    CU_ASSERT_EQUAL(server.asked, 2);
    finish();
}

static void
an_alias_shortens_the_ttl(void)
{
    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("alias.test")), "2001:db8::1 10.0.0.1");
    CU_ASSERT_EQUAL(server.asked, 2);
    (void)resolve("alias.test");
    CU_ASSERT_EQUAL(server.asked, 4);
    finish();
}

static void
configured_limits_bound_the_ttl(void)
{
    begin();
    conf.max_ttl_ms = 20;
    conf.min_ttl_ms = 10;
    start();
    (void)resolve("long.test");
    turn_for(30);
    (void)resolve("long.test");
    CU_ASSERT_EQUAL(server.asked, 4);
    server.ttl_s = 0;
    (void)resolve("none-at-all.test");
    (void)resolve("none-at-all.test");
    CU_ASSERT_EQUAL(server.asked, 6);
    finish();
}

static void
equal_lookups_are_joined(void)
{
    struct asker askers[3];

    begin();
    start();
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_FALSE(ask(&askers[i], i == 1 ? "JOIN.test" : "join.test"));
    for (unsigned i = 0; i < 3; i++) {
        wait_for(&askers[i]);
        CU_ASSERT_EQUAL(askers[i].answer.count, 4);
    }
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_EQUAL(resolver_counts(resolver).joined, 2);
    finish();
}

static void
the_cache_is_bounded(void)
{
    char name[32];

    begin();
    conf.max_entries = 4;
    start();
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "n%u.test", i);
        CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_OK);
        CU_ASSERT_EQUAL(resolve("used.test").status, RESOLVE_OK);
        CU_ASSERT_TRUE(resolver_counts(resolver).entries <= 4);
    }
    CU_ASSERT_EQUAL(resolver_counts(resolver).lookups, 21); /* used.test stayed */
    finish();
}

static void
lookups_under_way_are_bounded(void)
{
    struct asker askers[4];

    begin();
    conf.max_lookups = 2;
    conf.limit_ms = 100;
    start();
    CU_ASSERT_FALSE(ask(&askers[0], "silent.a.test"));
    CU_ASSERT_FALSE(ask(&askers[1], "silent.b.test"));
    CU_ASSERT_TRUE(ask(&askers[2], "c.test"));
    CU_ASSERT_EQUAL(askers[2].answer.status, RESOLVE_TOO_MANY);
    CU_ASSERT_FALSE(ask(&askers[3], "silent.b.test")); /* no new one */
    for (unsigned i = 0; i < 4; i++)
        if (i != 2)
            wait_for(&askers[i]);
    CU_ASSERT_EQUAL(resolver_counts(resolver).under_way, 2); /* c-ares has not given up */
    CU_ASSERT_EQUAL(resolve("c.test").status, RESOLVE_TOO_MANY);
    CU_ASSERT_EQUAL(resolver_counts(resolver).refused, 2);
    finish();
}

static void
lookups_that_ended_make_room(void)
{
    begin();
    conf.max_lookups = 1;
    start();
    for (unsigned i = 0; i < 3; i++) {
        char name[32];

        snprintf(name, sizeof(name), "n%u.test", i);
        CU_ASSERT_EQUAL(resolve(name).status, RESOLVE_OK);
    }
    CU_ASSERT_EQUAL(resolver_counts(resolver).refused, 0);
    finish();
}

/* ---- no */

/* RFC 2308 section 5. */
static void
no_such_name_is_kept_but_not_for_long(void)
{
    begin();
    conf.negative_ms = 60;
    start();
    CU_ASSERT_EQUAL(resolve("nx.test").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_EQUAL(resolve("nx.test").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 2);
    turn_for(80);
    CU_ASSERT_EQUAL(resolve("nx.test").status, RESOLVE_NO_SUCH_HOST);
    CU_ASSERT_EQUAL(server.asked, 4);
    CU_ASSERT_EQUAL(resolve("none.test").status, RESOLVE_NO_SUCH_HOST);
    finish();
}

/* RFC 2308 section 5: "SHOULD NOT be cached" without a SOA record. */
static void
no_without_soa_is_not_kept(void)
{
    begin();
    start();
    (void)resolve("nx-no-soa.test");
    (void)resolve("nx-no-soa.test");
    CU_ASSERT_EQUAL(server.asked, 4);
    finish();
}

static void
one_family_is_enough(void)
{
    begin();
    start();
    CU_ASSERT_STRING_EQUAL(text_of(resolve("v4.test")), "10.0.0.1 10.0.0.2");
    CU_ASSERT_STRING_EQUAL(text_of(resolve("v4.test")), "10.0.0.1 10.0.0.2");
    CU_ASSERT_EQUAL(server.asked, 2); /* "no AAAA" does not shorten the answer */
    finish();
}

static void
unspecified_addresses_are_never_given(void)
{
    begin();
    start();
    CU_ASSERT_EQUAL(resolve("zero.test").status, RESOLVE_NO_SUCH_HOST);
    finish();
}

/* ---- trouble */

/* RFC 9520 section 3.2: failures are kept, too. */
static void
a_failure_is_told_and_kept_a_second(void)
{
    unsigned asked;

    begin();
    start();
    CU_ASSERT_EQUAL(resolve("servfail.test").status, RESOLVE_FAILED);
    CU_ASSERT_EQUAL(resolve("refused.test").status, RESOLVE_FAILED);
    asked = server.asked;
    CU_ASSERT_EQUAL(resolve("servfail.test").status, RESOLVE_FAILED);
    CU_ASSERT_EQUAL(server.asked, asked);
    CU_ASSERT_EQUAL(resolver_counts(resolver).failures, 2);
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
    for (unsigned i = 0; i < 50 && took >= 500; i++) {
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

    begin();
    conf.max_ttl_ms = 10;
    conf.limit_ms = 150;
    conf.stale_ms = 60000;
    start();
    CU_ASSERT_FALSE(resolve("old.test").is_stale);
    server.is_silent = true;
    turn_for(20);
    got = resolve("old.test");
    CU_ASSERT_EQUAL(got.status, RESOLVE_OK);
    CU_ASSERT_EQUAL(got.count, 4);
    CU_ASSERT_TRUE(got.is_stale);
    CU_ASSERT_EQUAL(resolver_counts(resolver).stale, 1);
    got = resolve("old.test"); /* and is not asked for again at once */
    CU_ASSERT_TRUE(got.is_stale);
    CU_ASSERT_EQUAL(resolver_counts(resolver).lookups, 2);
    finish();
}

static void
stale_answers_end(void)
{
    begin();
    conf.max_ttl_ms = 10;
    conf.limit_ms = 150;
    conf.stale_ms = 200;
    start();
    (void)resolve("old.test");
    server.is_silent = true;
    turn_for(250);
    CU_ASSERT_EQUAL(resolve("old.test").status, RESOLVE_TIMEOUT);
    finish();
}

/* ---- hostile servers */

static void
answers_to_other_questions_are_ignored(void)
{
    begin();
    conf.limit_ms = 300;
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
    for (unsigned i = 0; i < 50 && count < 4; i++) { /* again when 60 ms were too few for us */
        snprintf(name, sizeof(name), "fine.%u.test", i);
        count = resolve(name).count;
    }
    CU_ASSERT_EQUAL(count, 4);
    finish();
}

/* ---- changing one's mind */

static void
cancelled_lookups_are_not_told(void)
{
    struct asker askers[3];

    begin();
    start();
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_FALSE(ask(&askers[i], "name.test"));
    resolve_cancel(&askers[0].resolve);
    resolve_cancel(&askers[0].resolve);
    askers[1].cancels = &askers[2]; /* while being told */
    wait_for(&askers[1]);
    turn_for(20);
    CU_ASSERT_EQUAL(askers[0].told, 0);
    CU_ASSERT_EQUAL(askers[2].told, 0);
    CU_ASSERT_EQUAL(resolve("name.test").count, 4); /* the answer was kept */
    CU_ASSERT_EQUAL(server.asked, 2);
    finish();
}

static void
a_resolver_may_go_while_questions_are_open(void)
{
    struct asker asker;

    begin();
    start();
    CU_ASSERT_FALSE(ask(&asker, "silent.test"));
    turn_for(10);
    resolve_cancel(&asker.resolve);
    finish();
    CU_ASSERT_EQUAL(asker.told, 0);
}

static void
bad_servers_are_refused_in_words(void)
{
    static const char *const texts[] = { "example.org", "127.0.0.1:99999", "unix:/run/x" };
    struct err err;

    begin();
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        server_slice = slice_of(texts[i]);
        CU_ASSERT_PTR_NULL(resolver_new(loop, &conf, &err));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "name server"));
    }
    finish();
}

/* A reload: what is open is asked again, what is known stays known. */
static void
new_settings_take_over_open_questions(void)
{
    struct asker asker;
    struct err err;

    begin();
    start();
    CU_ASSERT_EQUAL(resolve("known.test").count, 4);
    server.is_silent = true;
    CU_ASSERT_FALSE(ask(&asker, "moved.test"));
    turn_for(10);
    server_slice = SLICE("nonsense");
    CU_ASSERT_EQUAL(resolver_configure(resolver, &conf, &err), -1);
    close_server();
    CU_ASSERT_EQUAL_FATAL(open_server(INADDR_LOOPBACK, 0), 0);
    write_hosts("10.1.1.1 listed.test\n");
    set_conf();
    CU_ASSERT_EQUAL(resolver_configure(resolver, &conf, &err), 0);
    memset(server_text, 'x', sizeof(server_text)); /* conf was copied */
    wait_for(&asker);
    CU_ASSERT_EQUAL(asker.answer.count, 4);
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_EQUAL(resolve("known.test").count, 4);
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("listed.test")), "10.1.1.1");
    finish();
}

static void
write_resolv_conf(int fd, uint32_t ip)
{
    char text[64];
    int bytes = snprintf(text, sizeof(text), "nameserver 127.%u.%u.%u\n", ip >> 16 & 0xff,
                         ip >> 8 & 0xff, ip & 0xff);

    CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
    CU_ASSERT_EQUAL(pwrite(fd, text, (size_t)bytes, 0), bytes);
}

/* Port 53 is the only one resolv.conf knows: needs the right to bind it. The addresses are
 * this process's own. */
static void
a_changed_resolv_conf_takes_over_open_questions(void)
{
    char resolv_path[] = "test_resolve.XXXXXX";
    uint32_t ip = 0x7f350000u | ((uint32_t)getpid() & 0x7fff) << 1;
    int fd = mkstemp(resolv_path);
    struct asker asker;

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    write_resolv_conf(fd, ip);
    begin();
    close_server();
    if (open_server(ip, 53) == 0) {
        conf.servers.count = 0;
        conf.resolv_conf = resolv_path;
        start();
        server.is_silent = true;
        CU_ASSERT_FALSE(ask(&asker, "moved.test"));
        for (unsigned i = 0; i < 1000 && server.asked < 2; i++)
            turn_for(5);
        CU_ASSERT_EQUAL(server.asked, 2);
        close_server();
        CU_ASSERT_EQUAL_FATAL(open_server(ip + 1, 53), 0);
        write_resolv_conf(fd, ip + 1);
        turn_for(2050);
        CU_ASSERT_EQUAL(resolve("other.test").count, 4); /* somebody asks: it is noticed */
        wait_for(&asker);
        CU_ASSERT_EQUAL(asker.answer.count, 4);
    } else {
        CU_ASSERT_EQUAL_FATAL(open_server(INADDR_LOOPBACK, 0), 0);
    }
    finish();
    close(fd);
    unlink(resolv_path);
}

static unsigned
count_open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static unsigned descriptors_before;

static int
note_descriptors(void)
{
    descriptors_before = count_open_descriptors();
    return 0;
}

/* Runs last. */
static void
no_descriptor_is_left_open(void)
{
    CU_ASSERT_EQUAL(count_open_descriptors(), descriptors_before);
}

void
suite_resolve(void)
{
    CU_pSuite s = CU_add_suite("resolve", note_descriptors, NULL);

    CU_add_test(s, "literals are answered at once", literals_are_answered_at_once);
    CU_add_test(s, "bad names are refused without a question",
                bad_names_are_refused_without_a_question);
    CU_add_test(s, "special names are never asked for", special_names_are_never_asked_for);
    CU_add_test(s, "the hosts file comes first and is watched",
                the_hosts_file_comes_first_and_is_watched);
    CU_add_test(s, "A and AAAA are merged and kept", answers_are_merged_and_kept);
    CU_add_test(s, "the TTL is honoured", the_ttl_is_honoured);
    CU_add_test(s, "an alias shortens the TTL", an_alias_shortens_the_ttl);
    CU_add_test(s, "configured limits bound the TTL", configured_limits_bound_the_ttl);
    CU_add_test(s, "equal look-ups are joined", equal_lookups_are_joined);
    CU_add_test(s, "the cache is bounded", the_cache_is_bounded);
    CU_add_test(s, "look-ups under way are bounded", lookups_under_way_are_bounded);
    CU_add_test(s, "look-ups that ended make room", lookups_that_ended_make_room);
    CU_add_test(s, "no such name is kept, but not for long",
                no_such_name_is_kept_but_not_for_long);
    CU_add_test(s, "no without SOA is not kept", no_without_soa_is_not_kept);
    CU_add_test(s, "one family is enough", one_family_is_enough);
    CU_add_test(s, "unspecified addresses are never given",
                unspecified_addresses_are_never_given);
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
    CU_add_test(s, "cancelled look-ups are not told", cancelled_lookups_are_not_told);
    CU_add_test(s, "a resolver may go while questions are open",
                a_resolver_may_go_while_questions_are_open);
    CU_add_test(s, "bad servers are refused in words", bad_servers_are_refused_in_words);
    CU_add_test(s, "new settings take over open questions",
                new_settings_take_over_open_questions);
    CU_add_test(s, "a changed resolv.conf takes over open questions",
                a_changed_resolv_conf_takes_over_open_questions);
    CU_add_test(s, "no descriptor is left open", no_descriptor_is_left_open);
}
