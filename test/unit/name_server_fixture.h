/* SPDX-License-Identifier: BSD-2-Clause */
/* name_server_fixture.h - a name server for tests, on the loop of who asks it, so that nothing
 * has to be waited for but what is tested. The first label of a name says how it is
 * answered; see answer().
 */
#ifndef BASCULE_NAME_SERVER_FIXTURE_H
#define BASCULE_NAME_SERVER_FIXTURE_H

#include "server/net/loop.h"

#include <CUnit/CUnit.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_SOA 6
#define TYPE_AAAA 28
#define MESSAGE_MAX 4096

static struct loop *loop; /* of the test, which makes it */

/* ---- answers */

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

/* ---- the server */

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

#endif
