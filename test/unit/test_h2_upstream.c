/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_upstream.c - exchanges with an HTTP/2 origin (server/http/h2_upstream.h).
 *
 * The origin is an nghttp2 server at the other end of a socket pair, in turn with
 * our loop; what the road would hear of is noted.
 */
#include "config.h"

#include "server/http/h2_upstream.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/snapshot.h"
#include "test/unit/upstream_fixture.h"

#define EXCHANGES 8

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
        .timeouts = { .head_ms = 2000, .body_ms = 2000, .write_ms = 2000, .idle_ms = 2000 },
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

/* ---- messages */

/* RFC 9113 section 8.3.1. */
static void
translates_a_request(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_GET, 0);
    fields_add(&h->ex.request.fields, &h->ex.arena, FIELD_ACCEPT, SLICE("text/plain"));
    fields_add(&h->ex.request.fields, &h->ex.arena, FIELD_KEEP_ALIVE, SLICE("5"));
    fields_add(&h->ex.request.fields, &h->ex.arena, FIELD_HOST, SLICE("client.test"));
    send_off(h);
    turns();
    CU_ASSERT_STRING_EQUAL(origin.path, "/a?b");
    CU_ASSERT_STRING_EQUAL(origin.authority, "origin.test:80");
    CU_ASSERT_STRING_EQUAL(origin.scheme, "http");
    CU_ASSERT_STRING_EQUAL(origin.fields, ":method: GET\naccept: text/plain\n");
    CU_ASSERT_EQUAL(origin.ends, 1);
    tear_down();
}

static void
passes_on_a_response(void)
{
    struct heard *h = start_with(METHOD_GET, 0);

    answer_plainly(origin.last_id, 100000);
    turns();
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->ex.response.status, 200);
    CU_ASSERT_TRUE(slice_equal(fields_get(&h->ex.response.fields, FIELD_SERVER), SLICE("test")));
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_EQUAL(h->content_bytes, 100000);
    CU_ASSERT_EQUAL(h->failures, 0);
    tear_down();
}

static void
passes_on_trailers(void)
{
    struct heard *h = start_with(METHOD_GET, 0);

    origin.trailer = "x-sum";
    answer_plainly(origin.last_id, 10);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_TRUE(h->has_trailers);
    tear_down();
}

/* RFC 9113 section 8.1. */
static void
passes_on_interim_responses(void)
{
    static const nghttp2_nv hints[] = { LINE(":status", "103"), LINE("link", "</a>") };
    struct heard *h = start_with(METHOD_GET, 0);

    nghttp2_submit_headers(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id, NULL, hints, 2, NULL);
    answer_plainly(origin.last_id, 5);
    turns();
    CU_ASSERT_EQUAL(h->interims, 1);
    CU_ASSERT_EQUAL(h->interim_status, 103);
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    tear_down();
}

/* RFC 9110 section 9.3.2: the length of an answer to HEAD is not its own. */
static void
knows_answers_without_content(void)
{
    static const nghttp2_nv lines[] = { LINE(":status", "200"), LINE("content-length", "500") };
    struct heard *h = start_with(METHOD_HEAD, 0);

    answer_with(origin.last_id, lines, 2, 0);
    turns();
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_EQUAL(h->content_bytes, 0);
    tear_down();
}

static void
sends_content(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_OTHER, 1u << 20);
    send_off(h);
    for (int i = 0; i < 20; i++)
        turns();
    CU_ASSERT_EQUAL(origin.content_bytes, 1u << 20);
    CU_ASSERT_EQUAL(origin.ends, 1);
    answer_plainly(origin.last_id, 5);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    tear_down();
}

/* ---- flow control: RFC 9113 section 5.2 */

static void
sends_no_more_than_the_window(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_OTHER, 1u << 20);
    origin.holds_content = true;
    send_off(h);
    turns();
    CU_ASSERT_EQUAL(origin.content_bytes, 65535);
    CU_ASSERT_EQUAL(h->ex.request_pump.moved_bytes, 65535);
    tear_down();
}

static void
reads_no_more_than_is_taken(void)
{
    struct heard *slow, *quick;

    set_up();
    slow = open_with(0, METHOD_GET, 0);
    slow->room = 1000;
    send_off(slow);
    turns();
    answer_plainly(origin.last_id, 3u << 20);
    for (int i = 0; i < 20; i++)
        turns();
    CU_ASSERT_EQUAL(slow->content_bytes, 1000);
    CU_ASSERT(origin.answer_bytes >= 2u << 20); /* a window of a megabyte at most */
    quick = request(1, join(), METHOD_GET, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(quick->ex.up);
    send_off(quick);
    turns();
    CU_ASSERT_EQUAL(origin.streams, 2);
    slow->room = SIZE_MAX;
    pump_sink_ready(slow->sink.pump);
    for (int i = 0; i < 20; i++)
        turns();
    CU_ASSERT_EQUAL(slow->content_bytes, 3u << 20);
    CU_ASSERT_EQUAL(slow->result, PUMP_DONE);
    tear_down();
}

/* ---- what goes wrong */

/* RFC 9113 section 8.1.1. */
static void
does_not_take_short_content_for_whole(void)
{
    static const nghttp2_nv lines[] = { LINE(":status", "200"), LINE("content-length", "500") };
    struct heard *h = start_with(METHOD_GET, 0);

    answer_with(origin.last_id, lines, 2, 499);
    turns();
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->result, PUMP_SOURCE_FAILED);
    tear_down();
}

static void
notices_a_reset_in_the_middle(void)
{
    struct heard *h = start_with(METHOD_GET, 0);

    origin.answers_cut = true;
    answer_plainly(origin.last_id, 100);
    turns();
    CU_ASSERT_EQUAL(h->result, -1);
    nghttp2_submit_rst_stream(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id,
                              NGHTTP2_INTERNAL_ERROR);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_SOURCE_FAILED);
    tear_down();
}

static void
notices_the_end_of_the_connection(void)
{
    struct heard *h = start_with(METHOD_GET, 0);
    struct heard *other;

    origin.answers_cut = true;
    answer_plainly(origin.last_id, 100);
    turns();
    other = send_another();
    close(origin.fd);
    origin.fd = -1;
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_SOURCE_FAILED);
    CU_ASSERT_EQUAL(other->failures, 1);
    CU_ASSERT_STRING_EQUAL(other->failure.proxy_error, "connection_terminated");
    CU_ASSERT_TRUE(other->can_retry); /* it had come to a connection that was there already */
    CU_ASSERT_FALSE(other->was_refused);
    CU_ASSERT_PTR_NULL(join());
    tear_down();
}

/* RFC 9113 section 8.2.1 and 8.2.2. */
static void
refuses_malformed_responses(void)
{
    static const nghttp2_nv bad[][2] = {
        { LINE(":status", "200"), LINE("a", "b\nc") },
        { LINE(":status", "200"), LINE("Upper", "b") },
        { LINE(":status", "200"), LINE("connection", "close") },
        { LINE(":status", "200"), LINE("transfer-encoding", "chunked") },
        { LINE(":status", "101"), LINE("a", "b") },
        { LINE(":status", "2000"), LINE("a", "b") },
        { LINE("a", "b"), LINE(":status", "200") },
        { LINE("a", "b"), LINE("c", "d") },
    };

    set_up();
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct heard *h = send_first(METHOD_GET, 0);

        answer_with(origin.last_id, bad[i], 2, 0);
        turns();
        CU_ASSERT_EQUAL(h->responses, 0);
        CU_ASSERT_EQUAL(h->failures, 1);
        CU_ASSERT_EQUAL(h->failure.reason, END_UPSTREAM_BAD);
        CU_ASSERT_FALSE(h->can_retry);
        finish();
    }
    fixture_fini(&group);
}

static void
tells_what_is_not_http2(void)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_GET, 0);
    send_off(h);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(write(origin.fd, answer, sizeof(answer) - 1), sizeof(answer) - 1);
    loop_turn(worker.loop, 0);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(h->failures, 1);
    CU_ASSERT_STRING_EQUAL(h->failure.detail, "the server does not speak HTTP/2");
    tear_down();
}

static void
bounds_interim_responses(void)
{
    static const nghttp2_nv hints[] = { LINE(":status", "103"), LINE("link", "</a>") };
    struct heard *h = start_with(METHOD_GET, 0);

    for (int i = 0; i < 40; i++)
        nghttp2_submit_headers(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id, NULL, hints, 2, NULL);
    turns();
    CU_ASSERT_EQUAL(h->failures, 1);
    CU_ASSERT_EQUAL(h->failure.reason, END_UPSTREAM_BAD);
    tear_down();
}

/* RFC 9113 section 8.1: it may have read enough to know. */
static void
takes_an_answer_before_the_end_of_the_request(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_OTHER, 1u << 20);
    origin.holds_content = true;
    send_off(h);
    turns();
    answer_plainly(origin.last_id, 50);
    origin_turn();
    nghttp2_submit_rst_stream(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id, NGHTTP2_NO_ERROR);
    turns();
    CU_ASSERT_EQUAL(h->responses, 1);
    CU_ASSERT_EQUAL(h->content_bytes, 50);
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_EQUAL(h->failures, 0);
    tear_down();
}

static void
waits_for_an_answer_in_time(void)
{
    struct upstream_conf conf;
    struct heard *h = start_with(METHOD_GET, 0);

    answer_plainly(origin.last_id, 5);
    turns();
    conf = conf_of_group();
    conf.timeouts.head_ms = 20;
    h = request(1, h2_upstream_join(pool_of_endpoint(&worker, conf.endpoint, conf.group), &conf),
                METHOD_GET, 0);
    send_off(h);
    for (int i = 0; i < 20 && h->failures == 0; i++)
        loop_turn(worker.loop, 20);
    CU_ASSERT_EQUAL(h->failures, 1);
    CU_ASSERT_EQUAL(h->failure.status, 504);
    CU_ASSERT_STRING_EQUAL(h->failure.proxy_error, "http_response_timeout");
    tear_down();
}

/* ---- sharing */

static void
shares_a_connection(void)
{
    struct heard *h;

    set_up();
    h = open_with(0, METHOD_GET, 0);
    send_off(h);
    CU_ASSERT_PTR_NULL(join()); /* it is not known yet how many streams the origin takes */
    CU_ASSERT_TRUE(pool_is_opening(pool_of_endpoint(&worker, fixture_endpoint(&group, 0),
                                                    &group.conf)));
    turns();
    CU_ASSERT_FALSE(pool_is_opening(pool_of_endpoint(&worker, fixture_endpoint(&group, 0),
                                                     &group.conf)));
    for (unsigned i = 1; i < EXCHANGES; i++) {
        h = request(i, join(), METHOD_GET, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(h->ex.up);
        CU_ASSERT_TRUE(h->ex.up->was_reused);
        send_off(h);
    }
    turns();
    CU_ASSERT_EQUAL(origin.streams, EXCHANGES);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 1);
    tear_down();
}

static void
keeps_to_the_limits_of_both(void)
{
    set_up();
    group.conf.max_streams = 3;
    origin.max_streams = 2;
    send_first(METHOD_GET, 0);
    send_off(request(1, join(), METHOD_GET, 0));
    CU_ASSERT_PTR_NULL(join());
    finish();
    origin.max_streams = 50;
    send_first(METHOD_GET, 0);
    send_off(request(1, join(), METHOD_GET, 0));
    send_off(request(2, join(), METHOD_GET, 0));
    CU_ASSERT_PTR_NULL(join());
    tear_down();
}

static void
shares_nothing_verified_by_others(void)
{
    struct upstream_conf conf;

    set_up();
    send_off(open_with(0, METHOD_GET, 0));
    turns();
    conf = conf_of_group();
    conf.trust = 77;
    CU_ASSERT_PTR_NULL(h2_upstream_join(pool_of_endpoint(&worker, conf.endpoint, conf.group),
                                        &conf));
    tear_down();
}

/* RFC 9113 section 8.7: whatever the method is. */
static void
knows_what_was_refused(void)
{
    struct heard *h = start_with(METHOD_GET, 0);
    struct heard *other = send_another();

    nghttp2_submit_rst_stream(origin.ng, NGHTTP2_FLAG_NONE, origin.last_id,
                              NGHTTP2_REFUSED_STREAM);
    turns();
    CU_ASSERT_EQUAL(other->failures, 1);
    CU_ASSERT_TRUE(other->can_retry);
    CU_ASSERT_TRUE(other->was_refused);
    CU_ASSERT_EQUAL(h->failures, 0);
    CU_ASSERT_PTR_NULL(join()); /* one is what it takes */
    tear_down();
}

/* RFC 9113 section 6.8. */
static void
obeys_goaway(void)
{
    struct heard *h, *other;
    int32_t first;

    set_up();
    h = send_first(METHOD_GET, 0);
    first = origin.last_id;
    other = send_another();
    nghttp2_submit_goaway(origin.ng, NGHTTP2_FLAG_NONE, first, NGHTTP2_NO_ERROR, NULL, 0);
    turns();
    CU_ASSERT_EQUAL(other->failures, 1);
    CU_ASSERT_TRUE(other->was_refused);
    CU_ASSERT_PTR_NULL(join());
    CU_ASSERT_EQUAL(h->failures, 0);
    answer_plainly(first, 70);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    CU_ASSERT_EQUAL(h->content_bytes, 70);
    end_exchange(h);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 0);
    tear_down();
}

static void
leaves_when_told_to_while_idle(void)
{
    struct heard *h = start_with(METHOD_GET, 0);

    answer_plainly(origin.last_id, 5);
    turns();
    end_exchange(h);
    turns();
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_idle), 1);
    nghttp2_submit_goaway(origin.ng, NGHTTP2_FLAG_NONE, 1, NGHTTP2_NO_ERROR, NULL, 0);
    turns();
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 0);
    tear_down();
}

/* The lines of a head may come with several reads; what was given up in between
 * must not be written to. */
static void
gives_up_in_the_middle_of_a_head(void)
{
    static const uint8_t begin[] = { 0, 0, 1, 1 /* HEADERS */, 0, 0, 0, 0, 1, 0x88 /* 200 */ };
    static const uint8_t rest[] = { 0, 0, 5, 9 /* CONTINUATION */, 4, 0, 0, 0, 1,
                                    0, 1, 'a', 1, 'b' };
    struct heard *h = start_with(METHOD_GET, 0);

    CU_ASSERT_EQUAL(write(origin.fd, begin, sizeof(begin)), sizeof(begin));
    loop_turn(worker.loop, 0);
    end_exchange(h);
    arena_fini(&h->ex.arena);
    h->ex.road = NULL;
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(write(origin.fd, rest, sizeof(rest)), sizeof(rest));
    loop_turn(worker.loop, 0);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(h->responses, 0);
    h = request(1, join(), METHOD_GET, 0);
    CU_ASSERT_PTR_NOT_NULL(h->ex.up); /* the connection goes on */
    tear_down();
}

static void
resets_what_nobody_wants_any_more(void)
{
    struct heard *h = start_with(METHOD_GET, 0);
    struct heard *other = send_another();

    end_exchange(other);
    turns();
    CU_ASSERT_EQUAL(origin.resets, 1);
    CU_ASSERT_EQUAL(origin.reset, NGHTTP2_CANCEL);
    answer_plainly(1, 5);
    turns();
    CU_ASSERT_EQUAL(h->result, PUMP_DONE);
    tear_down();
}

static void
rests_and_ends(void)
{
    struct upstream_conf conf = conf_of_group();
    struct heard *h;

    set_up();
    conf.endpoint = fixture_endpoint(&group, 0);
    h = send_first(METHOD_GET, 0);
    answer_plainly(origin.last_id, 5);
    turns();
    end_exchange(h);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_idle), 1);
    conf.timeouts.idle_ms = 20;
    h = request(1, h2_upstream_join(pool_of_endpoint(&worker, conf.endpoint, conf.group), &conf),
                METHOD_GET, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h->ex.up);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_idle), 0);
    send_off(h);
    turns();
    answer_plainly(origin.last_id, 5);
    turns();
    end_exchange(h);
    for (int i = 0; i < 20 && atomic_load(&counters.upstream_open) > 0; i++)
        loop_turn(worker.loop, 20);
    CU_ASSERT_EQUAL(atomic_load(&counters.upstream_open), 0);
    origin_turn();
    CU_ASSERT_EQUAL(origin.goaways, 1);
    tear_down();
}

/* ---- who waits for a connection */

static unsigned woken, let_down;

static void
on_waited(struct pool_waiter *waiter, const struct failure *failure)
{
    (void)waiter;
    woken++;
    let_down += failure != NULL;
}

static void
wakes_those_who_wait(void)
{
    static const struct failure failure = { END_CONNECT_FAILED, 502, NULL, "why" };
    struct pool_opening opening = { 0 };
    struct pool_waiter waiters[2] = { 0 };
    struct pool *pool;

    set_up();
    woken = let_down = 0;
    pool = pool_of_endpoint(&worker, fixture_endpoint(&group, 0), &group.conf);
    pool_opening_start(pool, &opening);
    pool_wait(pool, &waiters[0], 1000, on_waited);
    pool_wait(pool, &waiters[1], 1000, on_waited);
    pool_wait_cancel(&waiters[1]);
    pool_opening_end(&opening, NULL);
    CU_ASSERT_EQUAL(woken, 0);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(woken, 1);
    CU_ASSERT_EQUAL(let_down, 0);
    pool_opening_start(pool, &opening);
    pool_wait(pool, &waiters[0], 1000, on_waited);
    pool_opening_end(&opening, &failure);
    CU_ASSERT_EQUAL(let_down, 1);
    pool_opening_start(pool, &opening);
    pool_wait(pool, &waiters[0], 20, on_waited);
    for (int i = 0; i < 20 && woken < 3; i++)
        loop_turn(worker.loop, 20);
    CU_ASSERT_EQUAL(woken, 3);
    CU_ASSERT_EQUAL(let_down, 1);
    pool_wait(pool, &waiters[0], 1000, on_waited);
    pools_close(&worker); /* the pool goes, and the opening with it */
    CU_ASSERT_PTR_NULL(opening.pool);
    loop_turn(worker.loop, 0);
    CU_ASSERT_EQUAL(woken, 4);
    tear_down();
}

void
suite_h2_upstream(void)
{
    CU_pSuite suite = CU_add_suite("h2_upstream", begin, end);

    CU_add_test(suite, "translates a request", translates_a_request);
    CU_add_test(suite, "passes on a response", passes_on_a_response);
    CU_add_test(suite, "passes on trailers", passes_on_trailers);
    CU_add_test(suite, "passes on interim responses", passes_on_interim_responses);
    CU_add_test(suite, "knows answers without content", knows_answers_without_content);
    CU_add_test(suite, "sends content", sends_content);
    CU_add_test(suite, "sends no more than the window", sends_no_more_than_the_window);
    CU_add_test(suite, "reads no more than is taken", reads_no_more_than_is_taken);
    CU_add_test(suite, "does not take short content for whole",
                does_not_take_short_content_for_whole);
    CU_add_test(suite, "notices a reset in the middle", notices_a_reset_in_the_middle);
    CU_add_test(suite, "notices the end of the connection", notices_the_end_of_the_connection);
    CU_add_test(suite, "refuses malformed responses", refuses_malformed_responses);
    CU_add_test(suite, "tells what is not HTTP/2", tells_what_is_not_http2);
    CU_add_test(suite, "bounds interim responses", bounds_interim_responses);
    CU_add_test(suite, "takes an answer before the end of the request",
                takes_an_answer_before_the_end_of_the_request);
    CU_add_test(suite, "waits for an answer in time", waits_for_an_answer_in_time);
    CU_add_test(suite, "shares a connection", shares_a_connection);
    CU_add_test(suite, "keeps to the limits of both", keeps_to_the_limits_of_both);
    CU_add_test(suite, "shares nothing verified by others", shares_nothing_verified_by_others);
    CU_add_test(suite, "knows what was refused", knows_what_was_refused);
    CU_add_test(suite, "obeys GOAWAY", obeys_goaway);
    CU_add_test(suite, "leaves when told to while idle", leaves_when_told_to_while_idle);
    CU_add_test(suite, "gives up in the middle of a head", gives_up_in_the_middle_of_a_head);
    CU_add_test(suite, "resets what nobody wants any more", resets_what_nobody_wants_any_more);
    CU_add_test(suite, "rests and ends", rests_and_ends);
    CU_add_test(suite, "wakes those who wait", wakes_those_who_wait);
}
