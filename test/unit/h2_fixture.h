/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_fixture.h - an HTTP/2 connection between a client made by hand, frame by
 * frame, and h2_downstream.c with a road that fits on a page: for tests and the
 * fuzz target.
 *
 * What a request gets depends on its path: /hold waits for answer(), /echo gets its
 * own content and trailers, /stall nothing, as its content is not read, /big a long
 * answer, CONNECT and upgrades a tunnel whose far end is f->tunnel_fd, all else a
 * greeting.
 */
#ifndef BASCULE_H2_FIXTURE_H
#define BASCULE_H2_FIXTURE_H

#include "modes/mode.h"
#include "server/base/base64.h"
#include "server/generation.h"
#include "server/http/client_conn.h"
#include "server/http/exchange.h"
#include "server/http/h2_downstream.h"
#include "server/http/h2_session.h"
#include "server/net/listener.h"
#include "server/snapshot.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define FIXTURE_STREAMS 64
#define BIG_BYTES (1u << 20)

/* What the client saw of a stream. */
struct seen {
    unsigned heads;
    unsigned status;       /* of the last head */
    char fields[2048];     /* "name: value\n" of all heads */
    char body[4096];       /* its beginning */
    size_t body_bytes;
    bool is_ended, is_reset;
    uint32_t error;
};

/* A request on its way; in its exchange's arena. */
struct trip {
    struct sink sink; /* for the request's content */
    struct exchange *ex;
    char *content;
    size_t bytes, room;
    const struct fields *trailers;
    struct source source; /* for the answer: the same */
    size_t given;
    bool stalls; /* takes no content */
};

struct h2_fixture {
    struct worker worker;
    struct counters counters;
    struct generation generation;
    struct snapshot snapshot;
    struct listener_conf listener;
    void *listeners[1];
    struct mode_ops mode;
    nghttp2_hd_deflater *deflater;
    nghttp2_hd_inflater *inflater;
    int fd, tunnel_fd;
    bool is_blind;   /* the client does not read */
    bool saw_end;
    char in[256 * 1024];
    size_t in_bytes;
    struct seen streams[FIXTURE_STREAMS]; /* by (id - 1) / 2 */
    unsigned frames[256]; /* by type */
    unsigned goaways;
    uint32_t goaway_error, goaway_last;
    uint64_t window; /* credit for the connection that came */
    unsigned requests, gone, cut, finished;
    char last_request[1024]; /* "METHOD scheme authority target\nname: value\n..." */
    enum end_reason last_end;
    struct exchange *held;
};

static struct h2_fixture *fixture; /* the one in use */
static char *fixture_big;

/* ---- the road */

static void
end_trip(struct exchange *ex, bool is_whole)
{
    struct h2_fixture *f = fixture;

    pump_stop(&ex->request_pump);
    pump_stop(&ex->response_pump);
    if (ex == f->held)
        f->held = NULL;
    f->last_end = ex->end;
    f->finished++;
    if (ex->down != NULL)
        ex->down->ops->finish(ex, is_whole);
    exchange_free(ex);
}

static void
on_response_sent(struct pump *pump, enum pump_result result)
{
    struct exchange *ex = container_of(pump, struct exchange, response_pump);
    struct accepted accepted = { .fd = -1 };

    if (result == PUMP_DONE && ex->is_tunnel && ex->down->ops->detach(ex, &accepted) == 0) {
        ex->down = NULL;
        fixture->tunnel_fd = accepted.fd;
    }
    end_trip(ex, result == PUMP_DONE);
}

static void
deliver(struct exchange *ex)
{
    ex->is_head_only = ex->request.method == METHOD_HEAD || ex->response.status == 204 ||
        ex->is_tunnel;
    ex->is_started = true;
    ex->down->ops->start(ex);
    pump_start(&ex->response_pump, ex->worker->loop, ex->is_head_only ? NULL : ex->response.body,
               ex->down->sink, on_response_sent);
}

static void
answer(struct exchange *ex, unsigned status, const char *text, size_t bytes)
{
    if (ex == fixture->held)
        fixture->held = NULL;
    exchange_answer_with(ex, status, END_DONE, "text/plain", slice_make(text, bytes));
    deliver(ex);
}

static void
trip_client_gone(struct exchange *ex, enum end_reason reason)
{
    fixture->gone++;
    ex->end = reason;
    end_trip(ex, false);
}

static void
trip_request_cut(struct exchange *ex, enum end_reason reason)
{
    fixture->cut++;
    if (ex->is_started) {
        ex->end = reason;
        end_trip(ex, false);
        return;
    }
    pump_stop(&ex->request_pump);
    if (ex->down->ops->request_is_over_limit(ex))
        answer(ex, 413, "long", 4);
    else
        answer(ex, 408, "late", 4);
}

static const struct road_ops fixture_road = {
    .on_client_gone = trip_client_gone,
    .on_request_cut = trip_request_cut,
};

static enum flow
trip_put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct trip *trip = container_of(sink, struct trip, sink);

    if (trip->stalls)
        return FLOW_WAIT;
    for (unsigned i = 0; i < piece->count; i++) {
        if (trip->bytes + piece->iov[i].iov_len > trip->room)
            return FLOW_FAILED;
        memcpy(trip->content + trip->bytes, piece->iov[i].iov_base, piece->iov[i].iov_len);
        trip->bytes += piece->iov[i].iov_len;
    }
    *taken = piece->bytes;
    return piece->is_last ? FLOW_END : FLOW_MORE;
}

static enum flow
trip_end(struct sink *sink, const struct fields *trailers)
{
    container_of(sink, struct trip, sink)->trailers = trailers;
    return FLOW_END;
}

static const struct sink_ops trip_sink = { .put = trip_put, .end = trip_end };

/* Trailers follow, so no piece is the last. */
static enum flow
trip_offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct trip *trip = container_of(source, struct trip, source);

    (void)forms;
    *piece = (struct piece){ .form = FORM_SLICES, .bytes = trip->bytes - trip->given, .count = 1 };
    piece->iov[0] = (struct iovec){ trip->content + trip->given, piece->bytes };
    return piece->bytes > 0 ? FLOW_MORE : FLOW_END;
}

static void
trip_take(struct source *source, size_t bytes)
{
    container_of(source, struct trip, source)->given += bytes;
}

static const struct source_ops trip_source = { .offer = trip_offer, .take = trip_take };

static void
on_content_read(struct pump *pump, enum pump_result result)
{
    struct exchange *ex = container_of(pump, struct exchange, request_pump);
    struct trip *trip = container_of(pump->sink, struct trip, sink);

    if (result != PUMP_DONE) {
        trip_request_cut(ex, END_CLIENT_ABORT);
        return;
    }
    exchange_answer_with(ex, 200, END_DONE, "text/plain", slice_make(trip->content, trip->bytes));
    if (trip->trailers != NULL) {
        ex->response.length = LENGTH_UNKNOWN;
        ex->response.has_body = true;
        trip->source = (struct source){ .ops = &trip_source, .trailers = trip->trailers };
        ex->response.body = &trip->source;
    }
    deliver(ex);
}

static struct trip *
begin_trip(struct exchange *ex, bool stalls)
{
    struct trip *trip = arena_zalloc(&ex->arena, sizeof(*trip));

    trip->ex = ex;
    trip->sink.ops = &trip_sink;
    trip->stalls = stalls;
    trip->room = 64 * 1024;
    trip->content = arena_alloc(&ex->arena, trip->room);
    if (trip->content == NULL)
        trip->room = 0;
    pump_start(&ex->request_pump, ex->worker->loop, ex->request.body, &trip->sink,
               on_content_read);
    return trip;
}

static void
note_request(struct h2_fixture *f, const struct exchange *ex)
{
    const struct request *request = &ex->request;
    int at = snprintf(f->last_request, sizeof(f->last_request), "%.*s %.*s %.*s %.*s\n",
                      SLICE_ARG(request->method_name), SLICE_ARG(request->scheme),
                      SLICE_ARG(request->authority), SLICE_ARG(request->target));

    for (uint32_t i = 0; i < request->fields.count && at < (int)sizeof(f->last_request); i++)
        at += snprintf(f->last_request + at, sizeof(f->last_request) - (size_t)at,
                       "%.*s: %.*s\n", SLICE_ARG(request->fields.items[i].name),
                       SLICE_ARG(request->fields.items[i].value));
    f->requests++;
}

/* What an HTTP/1.1 origin answers; /wrong: one that has not understood. */
static void
switch_protocols(struct exchange *ex)
{
    struct slice key = fields_get(&ex->request.fields, FIELD_SEC_WEBSOCKET_KEY);
    struct slice text = arena_printf(&ex->arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                                     SLICE_ARG(key));
    unsigned char digest[SHA_DIGEST_LENGTH];

    if (slice_equal(ex->request.path, SLICE("/wrong")))
        text.bytes--;
    SHA1((const unsigned char *)text.data, text.bytes, digest);
    ex->response.status = 101;
    ex->response.upgrade = SLICE("websocket");
    fields_add(&ex->response.fields, &ex->arena, FIELD_SEC_WEBSOCKET_ACCEPT,
               base64_encode(&ex->arena, slice_make((const char *)digest, sizeof(digest))));
}

static void
on_request(struct exchange *ex)
{
    struct h2_fixture *f = fixture;
    struct slice path = ex->request.path;

    ex->road = &fixture_road;
    note_request(f, ex);
    if (ex->is_answered) {
        deliver(ex);
    } else if (ex->request.method == METHOD_CONNECT || ex->request.wants_upgrade) {
        exchange_answer_with(ex, 200, END_DONE, NULL, slice_make(NULL, 0));
        if (ex->request.wants_upgrade)
            switch_protocols(ex);
        ex->is_tunnel = true;
        deliver(ex);
    } else if (slice_equal(path, SLICE("/echo"))) {
        begin_trip(ex, false);
    } else if (slice_equal(path, SLICE("/stall"))) {
        begin_trip(ex, true);
    } else if (slice_equal(path, SLICE("/big"))) {
        answer(ex, 200, fixture_big, BIG_BYTES);
    } else if (slice_equal(path, SLICE("/hold"))) {
        f->held = ex;
    } else {
        answer(ex, 200, "hello", 5);
    }
}

/* ---- what the client sees */

static struct seen *
seen_of(struct h2_fixture *f, uint32_t id)
{
    return &f->streams[(id / 2) % FIXTURE_STREAMS];
}

static uint32_t
be32(const char *at)
{
    const uint8_t *u = (const uint8_t *)at;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static void
see_head(struct h2_fixture *f, struct seen *seen, const char *block, size_t bytes)
{
    nghttp2_nv nv;
    int flags;

    seen->heads++;
    for (;;) {
        ssize_t used = nghttp2_hd_inflate_hd2(f->inflater, &nv, &flags, (const uint8_t *)block,
                                              bytes, 1);
        size_t at = strlen(seen->fields);

        if (used < 0)
            break;
        block += used;
        bytes -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            if (nv.namelen == 7 && memcmp(nv.name, ":status", 7) == 0)
                seen->status = (unsigned)atoi((const char *)nv.value);
            snprintf(seen->fields + at, sizeof(seen->fields) - at, "%.*s: %.*s\n",
                     (int)nv.namelen, (const char *)nv.name, (int)nv.valuelen,
                     (const char *)nv.value);
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    nghttp2_hd_inflate_end_headers(f->inflater);
}

static void
see_frame(struct h2_fixture *f, unsigned type, unsigned flags, uint32_t id, const char *payload,
          size_t bytes)
{
    struct seen *seen = seen_of(f, id);

    f->frames[type]++;
    switch (type) {
    case NGHTTP2_DATA:
        if (seen->body_bytes + bytes <= sizeof(seen->body))
            memcpy(seen->body + seen->body_bytes, payload, bytes);
        seen->body_bytes += bytes;
        break;
    case NGHTTP2_HEADERS:
        see_head(f, seen, payload, bytes);
        break;
    case NGHTTP2_RST_STREAM:
        seen->is_reset = true;
        seen->error = be32(payload);
        return;
    case NGHTTP2_GOAWAY:
        f->goaways++;
        f->goaway_last = be32(payload);
        f->goaway_error = be32(payload + 4);
        return;
    case NGHTTP2_WINDOW_UPDATE:
        if (id == 0)
            f->window += be32(payload);
        return;
    default:
        return;
    }
    if (flags & NGHTTP2_FLAG_END_STREAM)
        seen->is_ended = true;
}

static void
see(struct h2_fixture *f)
{
    ssize_t got;

    while (!f->is_blind && (got = recv(f->fd, f->in + f->in_bytes, sizeof(f->in) - f->in_bytes,
                                       MSG_DONTWAIT)) != -1) {
        size_t at = 0;

        if (got == 0) {
            f->saw_end = true;
            return;
        }
        f->in_bytes += (size_t)got;
        while (f->in_bytes - at >= 9) {
            size_t bytes = be32(f->in + at) >> 8;

            if (f->in_bytes - at < 9 + bytes)
                break;
            see_frame(f, (uint8_t)f->in[at + 3], (uint8_t)f->in[at + 4],
                      be32(f->in + at + 5) & 0x7fffffff, f->in + at + 9, bytes);
            at += 9 + bytes;
        }
        memmove(f->in, f->in + at, f->in_bytes - at);
        f->in_bytes -= at;
    }
    if (!f->is_blind && errno == ECONNRESET)
        f->saw_end = true;
}

static void
turn(struct h2_fixture *f)
{
    for (int i = 0; i < 8; i++) {
        loop_turn(f->worker.loop, 0);
        see(f);
    }
}

/* ---- what the client sends */

static void
send_bytes(struct h2_fixture *f, const void *data, size_t bytes)
{
    const char *at = data;

    while (bytes > 0) {
        ssize_t sent = send(f->fd, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent < 0) {
            turn(f);
            continue;
        }
        at += sent;
        bytes -= (size_t)sent;
    }
}

static void
send_frame(struct h2_fixture *f, unsigned type, unsigned flags, uint32_t id, const void *payload,
           size_t bytes)
{
    char frame[9 + 16384];

    must(bytes <= 16384);
    frame[0] = (char)(bytes >> 16);
    frame[1] = (char)(bytes >> 8);
    frame[2] = (char)bytes;
    frame[3] = (char)type;
    frame[4] = (char)flags;
    for (int i = 0; i < 4; i++)
        frame[5 + i] = (char)(id >> (24 - 8 * i));
    if (bytes > 0)
        memcpy(frame + 9, payload, bytes);
    send_bytes(f, frame, 9 + bytes);
}

/* A block of "name: value\n" lines, as literals. */
static size_t
encode(const char *lines, char *block)
{
    char *at = block;

    while (*lines != '\0') {
        const char *end = strchr(lines, '\n');
        const char *colon = strstr(lines + 1, ": ");
        size_t name = (size_t)(colon - lines), value = (size_t)(end - colon - 2);

        *at++ = 0;
        must(name < 127);
        *at++ = (char)name;
        at = mempcpy(at, lines, name);
        if (value < 127) {
            *at++ = (char)value;
        } else {
            size_t rest = value - 127;

            *at++ = 127;
            for (; rest >= 128; rest >>= 7)
                *at++ = (char)(0x80 | (rest & 0x7f));
            *at++ = (char)rest;
        }
        at = mempcpy(at, colon + 2, value);
        lines = end + 1;
    }
    return (size_t)(at - block);
}

static void
send_head(struct h2_fixture *f, uint32_t id, bool is_end, const char *lines)
{
    char block[16384];
    size_t bytes = encode(lines, block);

    send_frame(f, NGHTTP2_HEADERS,
               NGHTTP2_FLAG_END_HEADERS | (is_end ? NGHTTP2_FLAG_END_STREAM : 0),
               id, block, bytes);
}

#define HEAD_OF(method, path) \
    ":method: " method "\n:scheme: http\n:authority: a.test\n:path: " path "\n"

static void
get(struct h2_fixture *f, uint32_t id, const char *path)
{
    char lines[512];

    snprintf(lines, sizeof(lines), HEAD_OF("GET", "%s"), path);
    send_head(f, id, true, lines);
}

/* ---- the whole */

static void
fixture_limits(struct listener_conf *listener)
{
    listener->name = "web";
    listener->timeouts.head_ms = 10000;
    listener->timeouts.idle_ms = 60000;
    listener->limits = (struct http_limits){ .h1 = { 16384, 65536, 128 }, .arena_bytes = 1 << 20 };
    listener->h2 = (struct h2_limits){ .streams = 16, .window_bytes = 65536,
                                       .buffer_bytes = 262144, .resets = 20,
                                       .control_frames = 100, .rate_ms = 10000,
                                       .output_bytes = 4096 };
}

/* Everything but the connection; limits may be changed before it is opened. */
static struct h2_fixture *
fixture_new(void)
{
    struct h2_fixture *f = calloc(1, sizeof(*f));
    struct err err;

    must(f != NULL);
    fixture = f;
    if (fixture_big == NULL) {
        fixture_big = malloc(BIG_BYTES);
        must(fixture_big != NULL);
        memset(fixture_big, 'b', BIG_BYTES);
    }
    f->worker.loop = loop_new(&err);
    f->worker.counters = &f->counters;
    f->worker.in = malloc(SCRATCH_BYTES);
    f->worker.out = malloc(SCRATCH_BYTES);
    block_pool_init(&f->worker.blocks, 1024);
    list_init(&f->worker.clients);
    list_init(&f->worker.tunnels);
    f->generation = (struct generation){ .snapshot = &f->snapshot, .worker = &f->worker,
                                         .exchanges = 1 };
    f->worker.generation = &f->generation;
    f->worker.snapshot = &f->snapshot;
    f->mode = (struct mode_ops){ .name = "test", .on_request = on_request };
    fixture_limits(&f->listener);
    f->listener.mode = &f->mode;
    f->listeners[0] = &f->listener;
    f->snapshot.conf.listeners = (struct config_list){ f->listeners, 1 };
    must(listener_adopt(&f->listener, &err) == 0);
    must(nghttp2_hd_inflate_new(&f->inflater) == 0);
    f->fd = f->tunnel_fd = -1;
    return f;
}

static void
fixture_connect(struct h2_fixture *f)
{
    struct accepted accepted = { .peer = { .family = 4, .bytes = { 192, 0, 2, 7 } } };
    int pair[2];

    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    f->fd = pair[0];
    accepted.fd = pair[1];
    listener_enter(&f->worker, f->listener.listener);
    h2_downstream_open(&f->worker, &f->listener, &accepted);
}

static struct h2_fixture *
fixture_open(void)
{
    struct h2_fixture *f = fixture_new();

    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    turn(f);
    send_frame(f, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
    return f;
}

/* The connection as the worker knows it; NULL when it is gone. */
static struct client_conn *
fixture_client_conn(struct h2_fixture *f)
{
    return list_is_empty(&f->worker.clients)
               ? NULL : container_of(f->worker.clients.next, struct client_conn, link);
}

/* Closes and checks that nothing is left. */
static void
fixture_free(struct h2_fixture *f)
{
    close(f->fd);
    turn(f);
    if (f->tunnel_fd >= 0)
        close(f->tunnel_fd);
    turn(f);
    while (fixture_client_conn(f) != NULL) {
        struct client_conn *client = fixture_client_conn(f);

        client->ops->kill(client);
        turn(f);
    }
    must(f->worker.connections == 0);
    must(f->counters.exchanges_open == 0);
    must(f->generation.exchanges == 1);
    nghttp2_hd_inflate_del(f->inflater);
    listener_unref(f->listener.listener);
    block_pool_fini(&f->worker.blocks);
    loop_free_all(f->worker.loop);
    free(f->worker.in);
    free(f->worker.out);
    free(f);
    fixture = NULL;
}

#endif
