/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_origin_fixture.h - exchanges with an HTTP/2 origin, for tests of
 * server/http/h2_upstream.h.
 *
 * The origin is an nghttp2 server at the other end of a socket pair, in turn with
 * our loop; what the road would hear of is noted.
 */
#ifndef BASCULE_H2_ORIGIN_FIXTURE_H
#define BASCULE_H2_ORIGIN_FIXTURE_H

#include "server/base/clock.h"
#include "server/http/h2_upstream.h"
#include "server/snapshot.h"
#include "test/unit/upstream_fixture.h"

#include <CUnit/CUnit.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define EXCHANGES 8

/* For what must come; a deadline under test is configured to be short. */
#define PATIENCE_MS 60000

static struct worker worker;
static struct counters counters;
static struct snapshot current;
static struct group_fixture group;

/* ---- the origin */

static struct origin {
    nghttp2_session *ng;
    int fd;
    int32_t last_id;          /* of the newest stream */
    unsigned streams;         /* ever begun */
    char path[64], authority[64], scheme[16], fields[512];
    size_t content_bytes;     /* of requests */
    unsigned ends;            /* requests that were whole */
    uint32_t reset;           /* code of the last RST_STREAM from us */
    unsigned resets, goaways;
    bool holds_content;       /* gives no credit back */
    size_t answer_bytes;      /* DATA to be sent on answer_id */
    bool answers_cut;         /* and then nothing */
    const char *trailer;      /* name of one behind it */
    uint32_t max_streams;     /* of its SETTINGS; 0: none */
} origin;

static int
on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    (void)ng;
    (void)arg;
    origin.last_id = frame->hd.stream_id;
    origin.streams++;
    origin.fields[0] = '\0';
    return 0;
}

static void
note(char *target, size_t room, const uint8_t *value, size_t bytes)
{
    snprintf(target, room, "%.*s", (int)bytes, (const char *)value);
}

static int
on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
          const uint8_t *value, size_t bytes, uint8_t flags, void *arg)
{
    struct slice n = slice_make((const char *)name, name_bytes);
    size_t used = strlen(origin.fields);

    (void)ng;
    (void)frame;
    (void)flags;
    (void)arg;
    if (slice_equal(n, SLICE(":path")))
        note(origin.path, sizeof(origin.path), value, bytes);
    else if (slice_equal(n, SLICE(":authority")))
        note(origin.authority, sizeof(origin.authority), value, bytes);
    else if (slice_equal(n, SLICE(":scheme")))
        note(origin.scheme, sizeof(origin.scheme), value, bytes);
    else
        snprintf(origin.fields + used, sizeof(origin.fields) - used, "%.*s: %.*s\n",
                 SLICE_ARG(n), (int)bytes, (const char *)value);
    return 0;
}

static int
on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t bytes,
        void *arg)
{
    (void)flags;
    (void)data;
    (void)arg;
    origin.content_bytes += bytes;
    if (!origin.holds_content)
        nghttp2_session_consume(ng, id, bytes);
    return 0;
}

static int
on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    (void)ng;
    (void)arg;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        origin.reset = frame->rst_stream.error_code;
        origin.resets++;
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        origin.goaways++;
    } else if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        origin.ends++;
    }
    return 0;
}

static ssize_t
on_send(nghttp2_session *ng, const uint8_t *data, size_t bytes, int flags, void *arg)
{
    ssize_t sent = send(origin.fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

    (void)ng;
    (void)flags;
    (void)arg;
    return sent >= 0 ? sent : NGHTTP2_ERR_WOULDBLOCK;
}

static void
origin_open(int fd)
{
    nghttp2_settings_entry settings = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                        origin.max_streams > 0 ? origin.max_streams : 100 };
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;

    origin.fd = fd;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1); /* so that it can break the rules */
    nghttp2_session_server_new2(&origin.ng, callbacks, NULL, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(origin.ng, NGHTTP2_FLAG_NONE, &settings, 1);
}

static void
origin_close(void)
{
    nghttp2_session_del(origin.ng);
    if (origin.fd >= 0)
        close(origin.fd);
    origin = (struct origin){ .fd = -1 };
}

static void
origin_turn(void)
{
    static uint8_t in[65536];
    ssize_t bytes;

    if (origin.fd < 0 || origin.ng == NULL)
        return;
    while ((bytes = recv(origin.fd, in, sizeof(in), MSG_DONTWAIT)) > 0)
        CU_ASSERT(nghttp2_session_mem_recv(origin.ng, in, (size_t)bytes) == bytes);
    CU_ASSERT_EQUAL(nghttp2_session_send(origin.ng), 0);
}

static void
turns(void)
{
    for (int i = 0; i < 12; i++) {
        loop_turn(worker.loop, 0);
        origin_turn();
    }
}

/* For deadlines. */
#define turn_while(condition) \
    do { \
        uint64_t stop_ = clock_monotonic_ms() + PATIENCE_MS; \
        while ((condition) && clock_monotonic_ms() < stop_) \
            loop_turn(worker.loop, 20); \
    } while (0)

#define LINE(name, value) \
    { (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, \
      sizeof(value) - 1, NGHTTP2_NV_FLAG_NO_COPY_NAME /* as it is */ }

static ssize_t
give_content(nghttp2_session *ng, int32_t id, uint8_t *data, size_t room, uint32_t *flags,
             nghttp2_data_source *source, void *arg)
{
    nghttp2_nv trailer = LINE("x-sum", "42");
    size_t bytes = origin.answer_bytes < room ? origin.answer_bytes : room;

    (void)source;
    (void)arg;
    if (bytes == 0 && origin.answers_cut)
        return NGHTTP2_ERR_DEFERRED;
    memset(data, 'x', bytes);
    origin.answer_bytes -= bytes;
    if (origin.answer_bytes > 0 || origin.answers_cut)
        return (ssize_t)bytes;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (origin.trailer != NULL) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        trailer.name = (uint8_t *)(uintptr_t)origin.trailer;
        trailer.namelen = strlen(origin.trailer);
        nghttp2_submit_trailer(ng, id, &trailer, 1);
    }
    return (ssize_t)bytes;
}

static void
answer_with(int32_t id, const nghttp2_nv *lines, size_t count, size_t content_bytes)
{
    nghttp2_data_provider provider = { .read_callback = give_content };

    origin.answer_bytes = content_bytes;
    CU_ASSERT_EQUAL(nghttp2_submit_response(origin.ng, id, lines, count,
                                            content_bytes > 0 || origin.answers_cut ||
                                            origin.trailer != NULL ? &provider : NULL), 0);
}

static void
answer_plainly(int32_t id, size_t content_bytes)
{
    static const nghttp2_nv lines[] = { LINE(":status", "200"), LINE("server", "test") };

    answer_with(id, lines, ARRAY_COUNT(lines), content_bytes);
}

/* ---- exchanges */

struct heard {
    struct exchange ex;
    unsigned responses, failures, interims, cuts;
    unsigned interim_status;
    struct failure failure;
    bool can_retry, was_refused;
    struct sink sink; /* for the response */
    size_t content_bytes;
    size_t room;      /* it takes so much */
    int result;       /* enum pump_result; -1: not yet */
    bool has_trailers;
    struct memory_source body;
};

static struct heard heard[EXCHANGES];

static struct heard *
of_exchange(struct exchange *ex)
{
    return container_of(ex, struct heard, ex);
}

static void
end_exchange(struct heard *h)
{
    struct upstream *up = h->ex.up;

    pump_stop(&h->ex.request_pump);
    pump_stop(&h->ex.response_pump);
    h->ex.up = NULL;
    if (up != NULL)
        up->ops->release(up);
}

static enum flow
put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct heard *h = container_of(sink, struct heard, sink);

    *taken = piece->bytes < h->room ? piece->bytes : h->room;
    h->room -= *taken;
    h->content_bytes += *taken;
    if (*taken < piece->bytes)
        return FLOW_WAIT;
    return piece->is_last ? FLOW_END : FLOW_MORE;
}

static enum flow
end_sink(struct sink *sink, const struct fields *trailers)
{
    container_of(sink, struct heard, sink)->has_trailers = trailers != NULL && trailers->count > 0;
    return FLOW_END;
}

static const struct sink_ops sink_ops = { .put = put, .end = end_sink };

static void
on_response_done(struct pump *pump, enum pump_result result)
{
    struct heard *h = of_exchange(container_of(pump, struct exchange, response_pump));

    h->result = (int)result;
}

static void
on_response(struct exchange *ex)
{
    struct heard *h = of_exchange(ex);

    h->responses++;
    pump_start(&ex->response_pump, worker.loop, ex->response.body, &h->sink, on_response_done);
}

static void
on_interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    (void)fields;
    of_exchange(ex)->interims++;
    of_exchange(ex)->interim_status = status;
}

static void
on_failed(struct exchange *ex, const struct failure *failure, bool can_retry)
{
    struct heard *h = of_exchange(ex);

    h->failures++;
    h->failure = *failure;
    h->can_retry = can_retry;
    h->was_refused = ex->was_refused;
    end_exchange(h);
}

static void
on_cut(struct exchange *ex, enum end_reason reason)
{
    (void)reason;
    of_exchange(ex)->cuts++;
    end_exchange(of_exchange(ex));
}

static const struct road_ops road = {
    .on_response = on_response,
    .on_interim = on_interim,
    .on_upstream_failed = on_failed,
    .on_request_cut = on_cut,
};

static struct upstream_conf
conf_of_group(void)
{
    return (struct upstream_conf){
        .group = &group.conf,
        .endpoint = fixture_endpoint(&group, 0),
        .timeouts = { .head_ms = PATIENCE_MS, .body_ms = PATIENCE_MS, .write_ms = PATIENCE_MS,
                      .idle_ms = PATIENCE_MS },
        .until_ms = UINT64_MAX,
    };
}

static struct heard *
request(unsigned i, struct upstream *up, enum method method, size_t content_bytes)
{
    static char content[1u << 20];
    struct heard *h = &heard[i];

    *h = (struct heard){ .result = -1, .room = SIZE_MAX, .sink.ops = &sink_ops };
    h->ex.road = &road;
    h->ex.worker = &worker;
    h->ex.up = up;
    arena_init(&h->ex.arena, NULL, 1u << 20);
    h->ex.out = (struct upstream_request){ .target = SLICE_INIT("/a?b"),
                                           .authority = SLICE_INIT("origin.test:80") };
    h->ex.request = (struct request){ .method = method, .minor_version = 1,
                                      .method_name = method == METHOD_HEAD ? SLICE("HEAD")
                                                     : content_bytes > 0 ? SLICE("POST")
                                                                         : SLICE("GET") };
    if (content_bytes > 0) {
        h->ex.request.has_body = true;
        h->ex.request.length = content_bytes;
        memory_source_init(&h->body, content, content_bytes);
        h->ex.request.body = &h->body.source;
    }
    return h;
}

static void
send_off(struct heard *h)
{
    h->ex.up->ops->send(h->ex.up, &h->ex);
}

/* A connection to a fresh origin. */
static struct heard *
open_with(unsigned i, enum method method, size_t content_bytes)
{
    struct upstream_conf conf = conf_of_group();
    struct heard *h;
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    origin_open(fds[1]);
    h = request(i, h2_upstream_new(&worker, fds[0], &conf), method, content_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h->ex.up);
    return h;
}

static struct upstream *
join(void)
{
    struct upstream_conf conf = conf_of_group();

    return h2_upstream_join(pool_of_endpoint(&worker, conf.endpoint, conf.group), &conf);
}

static void
finish(void)
{
    for (unsigned i = 0; i < EXCHANGES; i++) {
        if (heard[i].ex.road == NULL)
            continue;
        end_exchange(&heard[i]);
        arena_fini(&heard[i].ex.arena);
        heard[i].ex.road = NULL;
    }
    pools_close(&worker);
    loop_turn(worker.loop, 0);
    origin_close();
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 0);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_idle), 0);
}

static int
begin(void)
{
    struct err err;

    memset(&worker, 0, sizeof(worker));
    memset(&counters, 0, sizeof(counters));
    worker.id = 5;
    worker.counters = &counters;
    worker.loop = loop_new(&err);
    worker.in = malloc(SCRATCH_BYTES);
    worker.out = malloc(SCRATCH_BYTES);
    worker.snapshot = &current;
    block_pool_init(&worker.blocks, 64);
    origin.fd = -1;
    return worker.loop != NULL ? 0 : -1;
}

static int
end(void)
{
    block_pool_fini(&worker.blocks);
    loop_free_all(worker.loop);
    free(worker.in);
    free(worker.out);
    return 0;
}

static void
set_up(void)
{
    static const int weights[] = { 1 };

    fixture_init(&group, 0, weights, 1);
    group.conf.max_streams = 100;
}

static void
tear_down(void)
{
    finish();
    fixture_fini(&group);
}

/* Requests that the origin has: the first on a fresh connection, */
static struct heard *
send_first(enum method method, size_t content_bytes)
{
    struct heard *h = open_with(0, method, content_bytes);

    send_off(h);
    turns();
    return h;
}

/* the same with a fresh group, */
static struct heard *
start_with(enum method method, size_t content_bytes)
{
    set_up();
    return send_first(method, content_bytes);
}

/* and one that joins it. */
static struct heard *
send_another(void)
{
    struct heard *h = request(1, join(), METHOD_GET, 0);

    CU_ASSERT_PTR_NOT_NULL_FATAL(h->ex.up);
    send_off(h);
    turns();
    return h;
}

#endif
