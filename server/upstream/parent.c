/* SPDX-License-Identifier: BSD-2-Clause */
/* parent.c - the handshake with a parent proxy, step by step.
 *
 *   HTTP     CONNECT head --> connect_head --> done
 *   SOCKS5   methods --> method --(user)--> auth --> reply --> done
 *                              '------------------->'
 *
 * What is to be sent lies in out, what has come in in; a step looks at in from
 * at on, and takes what it understands. Nothing moves within in, so a parent
 * that talks without end fills it and is refused.
 */
#include "config.h"

#include "server/upstream/parent.h"

#include "server/base/base64.h"
#include "server/base/hex.h"
#include "server/http/h1_parse.h"
#include "server/http/via.h"
#include "server/net/address.h"
#include "server/net/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME_MAX_BYTES 255 /* a host, user or password: one length byte in SOCKS5 */
#define HEAD_MAX (16u * 1024)
#define OUT_MAX 1536 /* a CONNECT head with all three at their longest */
#define SOCKS_PORT 1080

enum progress { AGAIN, NEED_INPUT, FINISHED };

struct parent_handshake {
    struct conn conn;
    const struct parent_conf *parent;
    enum progress (*step)(struct parent_handshake *hs);
    parent_done_fn *on_done;
    void *arg;
    struct task task;
    struct h1_scan scan;
    struct parent_result result; /* what FINISHED means */
    uint16_t port;
    uint16_t out_at, out_bytes;
    uint16_t at, in_bytes;
    uint8_t host_bytes;
    char host[NAME_MAX_BYTES];
    char out[OUT_MAX];
    char in[HEAD_MAX];
};

/* ---- configuration */

static const char *const kinds[] = { "http", "socks5", NULL };

const struct option parent_options[] = {
    OPTION_PLACE(struct parent_conf, place),
    { .name = "protocol", .type = OPTION_ENUM, .offset = offsetof(struct parent_conf, kind),
      .words = kinds, .fallback = "http",
      .text = "What the parent proxy speaks: HTTP with CONNECT, or SOCKS5." },
    { .name = "host", .type = OPTION_STRING, .offset = offsetof(struct parent_conf, host),
      .is_required = true, .text = "Name or address of the parent proxy." },
    { .name = "port", .type = OPTION_INT, .offset = offsetof(struct parent_conf, port),
      .is_required = true, .min = 1, .max = 65535, .text = "Port of the parent proxy." },
    { .name = "user", .type = OPTION_STRING, .offset = offsetof(struct parent_conf, user),
      .text = "Whom to log in as; without it no credentials are sent." },
    { .name = "password", .type = OPTION_STRING, .offset = offsetof(struct parent_conf, password),
      .text = "Password of the user." },
    { .name = NULL },
};

static bool
is_sayable(struct slice host)
{
    if (host.bytes == 0 || host.bytes > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < host.bytes; i++)
        if (host.data[i] <= ' ' || host.data[i] >= 0x7f)
            return false;
    return true;
}

int
parent_check(const struct parent_conf *parent, struct err *err)
{
    struct slice user = slice_of(parent->user), password = slice_of(parent->password);

    if (!is_sayable(slice_of(parent->host)))
        return err_set(err, "parent: the host must be a name or address of 1 to %d characters",
                       NAME_MAX_BYTES);
    if (parent->user == NULL && parent->password != NULL)
        return err_set(err, "parent %s: a password needs a user", parent->host);
    if (user.bytes > NAME_MAX_BYTES || password.bytes > NAME_MAX_BYTES)
        return err_set(err, "parent %s: user and password may have %d characters each",
                       parent->host, NAME_MAX_BYTES);
    if (parent->user != NULL && user.bytes == 0)
        return err_set(err, "parent %s: the user is empty", parent->host);
    /* RFC 7617 section 2: the first colon ends the user. */
    if (parent->kind == PARENT_HTTP && slice_find(user, ':') >= 0)
        return err_set(err, "parent %s: the user may not have a colon", parent->host);
    /* RFC 1929 section 2: PLEN is 1 to 255. */
    if (parent->kind == PARENT_SOCKS5 && parent->user != NULL && password.bytes == 0)
        return err_set(err, "parent %s: SOCKS5 needs a password with the user", parent->host);
    return 0;
}

/* NUL-terminated, with %XX resolved; NULL when malformed or memory is short. */
static char *
percent_decode(struct arena *arena, struct slice text)
{
    char *copy = arena_alloc(arena, text.bytes + 1);
    char *end = copy;

    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < text.bytes; i++) {
        int c = (unsigned char)text.data[i];

        if (c == '%') {
            c = hex_unescape(slice_skip(text, i));
            if (c <= 0)
                return NULL;
            i += 2;
        }
        *end++ = (char)c;
    }
    *end = '\0';
    return copy;
}

static int
parse_credentials(struct parent_conf *parent, struct arena *arena, struct slice text,
                  struct err *err)
{
    ptrdiff_t colon = slice_find(text, ':');
    struct slice user = slice_make(text.data, colon >= 0 ? (size_t)colon : text.bytes);

    parent->user = percent_decode(arena, user);
    if (colon >= 0)
        parent->password = percent_decode(arena, slice_skip(text, (size_t)colon + 1));
    if (parent->user == NULL || (colon >= 0 && parent->password == NULL))
        return err_set(err, "parent: user or password is malformed; "
                            "percent-encode special characters, as in %%40 for @");
    return 0;
}

/* host:port, [address]:port; the port may be left out where default_port > 0. */
static int
parse_authority(struct parent_conf *parent, struct arena *arena, struct slice text,
                int default_port, struct err *err)
{
    bool is_bracketed = text.bytes > 0 && text.data[0] == '[';
    ptrdiff_t host_bytes = is_bracketed ? slice_find(text, ']') - 1 : slice_find(text, ':');
    struct slice host = slice_skip(text, is_bracketed ? 1 : 0), rest;
    uint64_t port = (uint64_t)default_port;
    struct ip ip;

    if (host_bytes < 0)
        host_bytes = is_bracketed ? 0 : (ptrdiff_t)host.bytes;
    host.bytes = (size_t)host_bytes;
    rest = slice_skip(text, host.bytes + (is_bracketed ? 2 : 0));
    if (rest.bytes > 0 && (rest.data[0] != ':' || !slice_to_u64(slice_skip(rest, 1), 65535, &port)))
        port = 0;
    if (port == 0 || host.bytes == 0 || (is_bracketed && !ip_parse(host, &ip)))
        return err_set(err, "parent \"%.*s\": expected host:port, such as proxy.example:3128 "
                            "or [2001:db8::1]:3128", SLICE_ARG(text));
    parent->host = arena_copy(arena, host).data;
    parent->port = (int64_t)port;
    return 0;
}

/* The last @: passwords often have one that should have been encoded. */
static ptrdiff_t
find_at(struct slice text)
{
    const char *at = text.bytes > 0 ? memrchr(text.data, '@', text.bytes) : NULL;

    return at != NULL ? at - text.data : -1;
}

static void
find_authorization(struct parent_conf *parent, struct arena *arena)
{
    struct slice credentials;

    parent->authorization = slice_make(NULL, 0);
    if (parent->user == NULL || parent->kind != PARENT_HTTP)
        return;
    credentials = arena_printf(arena, "%s:%s", parent->user,
                               parent->password != NULL ? parent->password : "");
    credentials = base64_encode(arena, credentials);
    parent->authorization = arena_printf(arena, "Basic %.*s", SLICE_ARG(credentials));
}

int
parent_parse_url(struct parent_conf *parent, struct arena *arena, struct slice url,
                 struct err *err)
{
    static const struct slice http = SLICE_INIT("http://"), socks = SLICE_INIT("socks5://");
    bool is_http = slice_starts_with(url, http);
    struct slice rest = slice_skip(url, is_http ? http.bytes : socks.bytes);
    ptrdiff_t at;

    if (!is_http && !slice_starts_with(url, socks))
        return err_set(err, "parent: expected http://host:port or socks5://host:port");
    parent->kind = is_http ? PARENT_HTTP : PARENT_SOCKS5;
    parent->user = parent->password = NULL;
    if (rest.bytes > 0 && rest.data[rest.bytes - 1] == '/')
        rest.bytes--;
    at = find_at(rest);
    if (at >= 0 &&
        parse_credentials(parent, arena, slice_make(rest.data, (size_t)at), err) < 0)
        return -1;
    if (parse_authority(parent, arena, slice_skip(rest, (size_t)(at + 1)),
                        is_http ? 0 : SOCKS_PORT, err) < 0)
        return -1;
    find_authorization(parent, arena);
    if (arena_is_spent(arena))
        return err_set(err, "parent: no memory");
    return parent_check(parent, err);
}

/* ---- saying */

static void
put(struct parent_handshake *hs, const void *data, size_t bytes)
{
    must(bytes <= sizeof(hs->out) - hs->out_bytes);
    memcpy(hs->out + hs->out_bytes, data, bytes);
    hs->out_bytes = (uint16_t)(hs->out_bytes + bytes);
}

static void
put_slice(struct parent_handshake *hs, struct slice s)
{
    put(hs, s.data, s.bytes);
}

static void
put_byte(struct parent_handshake *hs, unsigned value)
{
    unsigned char byte = (unsigned char)value;

    put(hs, &byte, 1);
}

/* A length byte and the text. */
static void
put_counted(struct parent_handshake *hs, struct slice s)
{
    put_byte(hs, (unsigned)s.bytes);
    put_slice(hs, s);
}

/* ---- ends of the conversation */

static enum progress
finish(struct parent_handshake *hs, enum parent_status status, const char *proxy_error,
       const char *detail)
{
    hs->result.status = status;
    hs->result.proxy_error = proxy_error;
    hs->result.detail = detail;
    return FINISHED;
}

static enum progress
finish_well(struct parent_handshake *hs)
{
    hs->result.ahead = slice_make(hs->in + hs->at, (size_t)(hs->in_bytes - hs->at));
    return finish(hs, PARENT_OK, NULL, NULL);
}

static struct slice
unread(const struct parent_handshake *hs)
{
    return slice_make(hs->in + hs->at, (size_t)(hs->in_bytes - hs->at));
}

static unsigned
byte_at(struct slice s, size_t i)
{
    return (unsigned char)s.data[i];
}

/* ---- HTTP: RFC 9110 section 9.3.6 */

static const struct h1_limits limits = {
    .line_bytes = 4096, .head_bytes = HEAD_MAX - 1, .field_count = 128,
};

static enum progress
judge_status(struct parent_handshake *hs, unsigned status)
{
    if (status >= 200 && status < 300)
        return finish_well(hs);
    hs->result.http_status = (uint16_t)status;
    switch (status) {
    case 403:
        return finish(hs, PARENT_REFUSED, "http_request_denied", "the parent proxy denied it");
    case 407:
        return finish(hs, PARENT_REFUSED, "proxy_configuration_error",
                      "the parent proxy wants other credentials");
    case 504:
        return finish(hs, PARENT_REFUSED, "connection_timeout",
                      "the parent proxy could not connect in time");
    case 508:
        return finish(hs, PARENT_REFUSED, "proxy_loop_detected", "the parent proxy found a loop");
    }
    return finish(hs, PARENT_REFUSED, "destination_unavailable",
                  "the parent proxy did not connect");
}

/* 2xx has no content whatever its fields say, so the destination's first bytes
 * follow the head. Interim responses are passed over, but a switch of protocols
 * was not asked for. */
static enum progress
read_connect_head(struct parent_handshake *hs)
{
    struct h1_refusal refusal;
    struct response response = { .status = 0 };
    struct arena arena;
    struct slice head;
    enum h1_progress found;
    int parsed;

    found = h1_scan_head(&hs->scan, unread(hs), &limits, false, &head, &refusal);
    if (found == H1_NEED_INPUT)
        return NEED_INPUT;
    if (found == H1_REFUSED)
        return finish(hs, PARENT_BAD, "http_protocol_error", refusal.reason);
    arena_init(&arena, NULL, 64 * 1024);
    parsed = h1_parse_response(head, &arena, &limits, METHOD_CONNECT, &response, &refusal);
    arena_fini(&arena);
    if (parsed < 0)
        return finish(hs, PARENT_BAD, "http_protocol_error", refusal.reason);
    hs->at = (uint16_t)(head.data + head.bytes - hs->in);
    hs->scan = (struct h1_scan){ .at = 0 };
    if (response.status >= 100 && response.status < 200 && response.status != 101)
        return AGAIN;
    return judge_status(hs, response.status);
}

static void
put_base64(struct parent_handshake *hs, const unsigned char *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        unsigned group = (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0);

        put_byte(hs, (unsigned char)digits[group >> 18]);
        put_byte(hs, (unsigned char)digits[group >> 12 & 63]);
        put_byte(hs, left > 1 ? (unsigned char)digits[group >> 6 & 63] : '=');
        put_byte(hs, left > 2 ? (unsigned char)digits[group & 63] : '=');
    }
}

/* RFC 7617 section 2. */
static void
put_basic_credentials(struct parent_handshake *hs)
{
    struct slice user = slice_of(hs->parent->user), password = slice_of(hs->parent->password);
    unsigned char both[2 * NAME_MAX_BYTES + 1];

    memcpy(both, user.data, user.bytes);
    both[user.bytes] = ':';
    if (password.bytes > 0)
        memcpy(both + user.bytes + 1, password.data, password.bytes);
    put_slice(hs, SLICE("\r\nProxy-Authorization: Basic "));
    put_base64(hs, both, user.bytes + 1 + password.bytes);
}

static void
put_authority(struct parent_handshake *hs)
{
    struct slice host = slice_make(hs->host, hs->host_bytes);
    bool is_v6 = slice_find(host, ':') >= 0;
    char port[8];

    put_slice(hs, is_v6 ? SLICE("[") : SLICE(""));
    put_slice(hs, host);
    put(hs, port, (size_t)snprintf(port, sizeof(port), "%s:%u", is_v6 ? "]" : "", hs->port));
}

static void
begin_http(struct parent_handshake *hs)
{
    put_slice(hs, SLICE("CONNECT "));
    put_authority(hs);
    put_slice(hs, SLICE(" HTTP/1.1\r\nHost: "));
    put_authority(hs);
    put_slice(hs, SLICE("\r\nVia: ")); /* by which a loop of parents is found */
    put_slice(hs, via_value("HTTP/1.1", 1));
    if (hs->parent->user != NULL)
        put_basic_credentials(hs);
    put_slice(hs, SLICE("\r\n\r\n"));
    hs->step = read_connect_head;
}

/* ---- SOCKS5: RFC 1928, RFC 1929 */

enum { SOCKS_VERSION = 5, AUTH_VERSION = 1, METHOD_NONE = 0, METHOD_PASSWORD = 2 };

enum { COMMAND_CONNECT = 1, ADDRESS_V4 = 1, ADDRESS_NAME = 3, ADDRESS_V6 = 4 };

static const struct {
    const char *proxy_error, *detail;
} replies[] = { /* RFC 1928 section 6 */
    { NULL, NULL },
    { "destination_unavailable", "the parent proxy failed" },
    { "http_request_denied", "the parent proxy denied it" },
    { "destination_ip_unroutable", "the parent proxy cannot reach the network" },
    { "destination_ip_unroutable", "the parent proxy cannot reach the host" },
    { "connection_refused", "the host refused the connection of the parent proxy" },
    { "connection_timeout", "the parent proxy could not connect in time" },
    { "proxy_configuration_error", "the parent proxy does not connect to hosts" },
    { "proxy_configuration_error", "the parent proxy does not know this kind of address" },
};

static enum progress
finish_badly(struct parent_handshake *hs)
{
    return finish(hs, PARENT_BAD, "destination_unavailable",
                  "the parent proxy does not speak SOCKS5");
}

/* VER REP RSV ATYP BND.ADDR BND.PORT; where it is bound is of no interest. */
static enum progress
read_reply(struct parent_handshake *hs)
{
    struct slice in = unread(hs);
    size_t address_bytes;

    if (in.bytes > 0 && byte_at(in, 0) != SOCKS_VERSION)
        return finish_badly(hs);
    if (in.bytes > 1 && byte_at(in, 1) != 0) {
        size_t code = byte_at(in, 1);

        if (code >= ARRAY_COUNT(replies))
            code = 1;
        return finish(hs, PARENT_REFUSED, replies[code].proxy_error, replies[code].detail);
    }
    if (in.bytes < 5)
        return NEED_INPUT;
    switch (byte_at(in, 3)) {
    case ADDRESS_V4:
        address_bytes = 4;
        break;
    case ADDRESS_V6:
        address_bytes = 16;
        break;
    case ADDRESS_NAME:
        address_bytes = 1 + byte_at(in, 4);
        break;
    default:
        return finish_badly(hs);
    }
    if (in.bytes < 4 + address_bytes + 2)
        return NEED_INPUT;
    hs->at = (uint16_t)(hs->at + 4 + address_bytes + 2);
    return finish_well(hs);
}

/* VER CMD RSV ATYP DST.ADDR DST.PORT */
static enum progress
say_request(struct parent_handshake *hs)
{
    struct slice host = slice_make(hs->host, hs->host_bytes);
    struct ip ip;

    put_byte(hs, SOCKS_VERSION);
    put_byte(hs, COMMAND_CONNECT);
    put_byte(hs, 0);
    if (ip_parse(host, &ip)) {
        put_byte(hs, ip.family == 4 ? ADDRESS_V4 : ADDRESS_V6);
        put(hs, ip.bytes, ip.family == 4 ? 4 : 16);
    } else {
        put_byte(hs, ADDRESS_NAME);
        put_counted(hs, host);
    }
    put_byte(hs, hs->port >> 8);
    put_byte(hs, hs->port & 0xff);
    hs->step = read_reply;
    return AGAIN;
}

static enum progress
read_auth(struct parent_handshake *hs)
{
    struct slice in = unread(hs);

    if (in.bytes > 0 && byte_at(in, 0) != AUTH_VERSION)
        return finish_badly(hs);
    if (in.bytes < 2)
        return NEED_INPUT;
    if (byte_at(in, 1) != 0)
        return finish(hs, PARENT_REFUSED, "proxy_configuration_error",
                      "the parent proxy wants other credentials");
    hs->at += 2;
    return say_request(hs);
}

static enum progress
say_auth(struct parent_handshake *hs)
{
    put_byte(hs, AUTH_VERSION);
    put_counted(hs, slice_of(hs->parent->user));
    put_counted(hs, slice_of(hs->parent->password));
    hs->step = read_auth;
    return AGAIN;
}

static enum progress
read_method(struct parent_handshake *hs)
{
    struct slice in = unread(hs);

    if (in.bytes > 0 && byte_at(in, 0) != SOCKS_VERSION)
        return finish_badly(hs);
    if (in.bytes < 2)
        return NEED_INPUT;
    hs->at += 2;
    switch (byte_at(in, 1)) {
    case METHOD_NONE:
        return say_request(hs);
    case METHOD_PASSWORD:
        return hs->parent->user != NULL ? say_auth(hs) : finish_badly(hs);
    case 0xff:
        return finish(hs, PARENT_REFUSED, "proxy_configuration_error",
                      "the parent proxy takes none of our ways to log in");
    }
    return finish_badly(hs);
}

static void
begin_socks(struct parent_handshake *hs)
{
    put_slice(hs, hs->parent->user != NULL ? SLICE("\x05\x02\x00\x02") : SLICE("\x05\x01\x00"));
    hs->step = read_method;
}

/* ---- the connection */

/* Takes hs apart and reports. */
static void
report(struct parent_handshake *hs)
{
    int fd = -1;

    task_cancel(&hs->task);
    if (hs->result.status == PARENT_OK)
        fd = conn_detach(&hs->conn);
    else
        conn_close(&hs->conn);
    hs->on_done(hs->arg, fd, &hs->result);
    conn_free_later(&hs->conn, free, hs);
}

static enum progress
send_out(struct parent_handshake *hs)
{
    struct iovec piece = { hs->out + hs->out_at, (size_t)(hs->out_bytes - hs->out_at) };
    ssize_t sent = conn_send(&hs->conn, &piece, 1, false);

    if (sent == CONN_WAIT)
        return NEED_INPUT;
    if (sent == CONN_FAILED)
        return finish(hs, PARENT_GONE, "connection_terminated", "the parent proxy broke off");
    hs->out_at = (uint16_t)(hs->out_at + sent);
    if (hs->out_at == hs->out_bytes)
        hs->out_at = hs->out_bytes = 0;
    return AGAIN;
}

static enum progress
read_in(struct parent_handshake *hs)
{
    size_t room = sizeof(hs->in) - hs->in_bytes;
    ssize_t got;

    if (room == 0) /* interim responses without end */
        return finish(hs, PARENT_BAD, "http_protocol_error",
                      "the parent proxy talks without end");
    got = conn_recv(&hs->conn, hs->in + hs->in_bytes, room);
    if (got == CONN_WAIT)
        return NEED_INPUT;
    if (got <= 0)
        return finish(hs, PARENT_GONE, "connection_terminated", "the parent proxy broke off");
    hs->in_bytes = (uint16_t)(hs->in_bytes + got);
    return AGAIN;
}

/* First says what is to be said, then lets the step look at what is there, and
 * reads more only when it wants more. */
static void
run(struct task *task)
{
    struct parent_handshake *hs = container_of(task, struct parent_handshake, task);
    enum progress progress;

    do {
        if (hs->out_bytes > 0)
            progress = send_out(hs);
        else if ((progress = hs->step(hs)) == NEED_INPUT)
            progress = read_in(hs);
    } while (progress == AGAIN);
    if (progress == FINISHED)
        report(hs);
}

static void
on_ready(struct conn *conn)
{
    loop_ready(conn->loop, &container_of(conn, struct parent_handshake, conn)->task);
}

static void
on_timeout(struct timer *timer)
{
    struct parent_handshake *hs = container_of(timer, struct parent_handshake, conn.timer);

    finish(hs, PARENT_TIMEOUT, "connection_read_timeout",
           "the parent proxy did not answer in time");
    report(hs);
}

struct parent_handshake *
parent_handshake_start(struct loop *loop, int fd, const struct parent_conf *parent,
                       struct slice host, uint16_t port, uint32_t timeout_ms,
                       parent_done_fn *on_done, void *arg)
{
    struct parent_handshake *hs = is_sayable(host) ? calloc(1, sizeof(*hs)) : NULL;

    if (hs == NULL || conn_open(&hs->conn, loop, fd, on_ready, on_timeout) < 0) {
        free(hs);
        close(fd);
        return NULL;
    }
    hs->parent = parent;
    hs->on_done = on_done;
    hs->arg = arg;
    hs->port = port;
    hs->host_bytes = (uint8_t)host.bytes;
    memcpy(hs->host, host.data, host.bytes);
    task_init(&hs->task, run);
    if (parent->kind == PARENT_HTTP)
        begin_http(hs);
    else
        begin_socks(hs);
    timer_arm(loop, &hs->conn.timer, timeout_ms);
    loop_ready(loop, &hs->task);
    return hs;
}

void
parent_handshake_cancel(struct parent_handshake *hs)
{
    task_cancel(&hs->task);
    conn_close(&hs->conn);
    conn_free_later(&hs->conn, free, hs);
}
