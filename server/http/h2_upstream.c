/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_upstream.c - many exchanges on few connections to an origin.
 *
 *   pool --> connection --> streams, each of one exchange
 *
 *   connection:  OPENING --(SETTINGS)--> OPEN <--> idle
 *                   '------(GOAWAY, too old, orphaned)--> RETIRED --(empty)--> CLOSED
 *
 * Until the origin's SETTINGS say how many streams it takes, a connection takes
 * one: who needs another waits, which is shorter than to be refused. A RETIRED
 * connection takes no more, and ends with its last exchange. A CLOSED one stays
 * in memory for the content that its streams still hold.
 *
 * The origin is hostile too: heads are bounded, so is the number of interim
 * responses, what is held of content, and what answers to its frames may wait.
 */
#include "config.h"

#include "server/http/h2_upstream.h"

#include "server/http/h2_session.h"
#include "server/http/upstream_failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW_BYTES (1024u * 1024)        /* of a stream */
#define BUFFER_BYTES (16ull * 1024 * 1024) /* of all streams of a connection */
#define CONTROL_BYTES (256u * 1024)
#define OUTPUT_BYTES (256u * 1024) /* of heads that the origin leaves: more go elsewhere */

struct h2_connection {
    struct conn conn; /* its timer: idle for too long */
    struct h2_session session;
    struct shared shared;
    struct pool_opening opening;
    struct task task; /* reads on */
    struct rate_guard write_guard;
    struct list streams; /* of h2_upstream.link */
    struct worker *worker;
    struct endpoint *endpoint; /* NULL: it is for one exchange only */
    struct ip ip;
    uint64_t until_ms; /* from then on another address may be the right one */
    uint64_t trust;
    uint32_t idle_ms, write_ms;
    uint32_t max_streams; /* learnt from refusals */
    bool has_settings;
    bool is_retired;
    bool is_closed;
    bool is_buried;
};

struct interim {
    struct interim *next;
    unsigned status;
    struct fields fields;
};

struct h2_upstream {
    struct h2_stream stream;
    struct upstream up;
    struct h2_connection *connection;
    struct list link;
    struct exchange *ex;
    struct h2_head head;
    struct response response;             /* until the exchange is told of it */
    struct interim *interims, **last_interim;
    const char *bad;                      /* what is wrong with the response; NULL: nothing */
    struct timer timer;                   /* for the response head */
    struct rate_guard response_guard, request_guard;
    struct upstream_timeouts timeouts;
    struct grave grave;
    uint64_t received_at_start; /* by the connection */
    uint8_t interim_count;
    bool has_response;
    bool is_answered;  /* the exchange knows */
    bool request_sent; /* all of it */
};

static const struct upstream_ops h2_ops;
static const struct h2_session_ops session_ops;

static struct h2_connection *
of_session(struct h2_session *session)
{
    return container_of(session, struct h2_connection, session);
}

static struct h2_upstream *
of_stream(struct h2_stream *stream)
{
    return container_of(stream, struct h2_upstream, stream);
}

static struct h2_upstream *
of_upstream(struct upstream *up)
{
    return container_of(up, struct h2_upstream, up);
}

/* ---- the end of a connection */

static void
release_memory(void *object)
{
    struct h2_connection *c = object;

    h2_session_fini(&c->session);
    free(c);
}

/* No exchange finds it any more. */
static void
unshare(struct h2_connection *c)
{
    c->is_retired = true;
    pool_opening_end(&c->opening, NULL);
    pool_unshare(&c->shared);
}

static void
free_if_empty(struct h2_connection *c)
{
    if (!c->is_closed || c->is_buried || c->session.open_streams > 0)
        return;
    c->is_buried = true;
    conn_free_later(&c->conn, release_memory, c);
}

static void
close_now(struct h2_connection *c)
{
    if (c->is_closed)
        return;
    c->is_closed = true;
    unshare(c);
    task_cancel(&c->task);
    h2_session_close(&c->session);
    conn_close(&c->conn);
    endpoint_unref(c->endpoint);
    c->endpoint = NULL;
    counter_down(c->worker->counters, upstream_open);
    free_if_empty(c);
}

/* What can be said in one go is: GOAWAY, resets. */
static void
say_goodbye(struct h2_connection *c)
{
    nghttp2_submit_goaway(c->session.ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    (void)h2_session_send(&c->session);
    close_now(c);
}

static void
retire(struct h2_connection *c)
{
    if (c->is_closed)
        return;
    unshare(c);
    if (c->session.open_streams == 0)
        say_goodbye(c);
}

static void
on_orphaned(struct shared *shared)
{
    retire(container_of(shared, struct h2_connection, shared));
}

/* Busy connections would otherwise outlive any change of a name's addresses. */
static bool
is_outdated(const struct h2_connection *c)
{
    return loop_now_ms(c->worker->loop) >= c->until_ms;
}

static void
become_idle(struct h2_connection *c)
{
    if (c->is_retired || is_outdated(c) || !pool_shared_idle(&c->shared))
        retire(c);
    else
        timer_arm(c->conn.loop, &c->conn.timer, c->idle_ms);
}

static void
on_idle_too_long(struct timer *timer)
{
    retire(container_of(timer, struct h2_connection, conn.timer));
}

/* ---- what went wrong */

static void
fail(struct h2_upstream *u, const struct failure *failure, bool can_retry)
{
    struct failure own = *failure;
    struct exchange *ex = u->ex;

    if (own.detail != NULL)
        own.detail = arena_strdup(&ex->arena, own.detail);
    ex->road->on_upstream_failed(ex, &own, can_retry);
}

static void
fail_bad(struct h2_upstream *u, const char *why)
{
    struct failure failure = failure_bad_response(why);

    fail(u, &failure, false);
}

static void
fail_late(struct h2_upstream *u, const char *proxy_error, const char *why)
{
    struct failure failure = failure_late(u->connection->worker, proxy_error, why);

    fail(u, &failure, false);
}

/* RFC 9113 section 8.7: the origin has done nothing with the request. Where it
 * refuses one of several, it takes fewer than it said. */
static void
fail_refused(struct h2_upstream *u)
{
    struct failure failure = { END_UPSTREAM_FAILED, 502, "connection_terminated",
                               "the server refused the stream" };
    struct h2_connection *c = u->connection;
    uint32_t others = c->session.open_streams - 1;

    if (!c->is_retired)
        c->max_streams = others > 0 ? others : 1;
    u->ex->was_refused = true;
    fail(u, &failure, true);
}

static void
fail_reset(struct h2_upstream *u)
{
    char detail[80];
    struct failure failure = { END_UPSTREAM_FAILED, 502, "connection_terminated", detail };

    snprintf(detail, sizeof(detail), "the server reset the stream: %s",
             nghttp2_http2_strerror(u->stream.error));
    fail(u, &failure, false);
}

/* The stream has ended before there was a response. */
static void
fail_stream(struct h2_upstream *u)
{
    if (u->bad != NULL)
        fail_bad(u, u->bad);
    else if (!u->stream.is_closed)
        fail_bad(u, "the response breaks the rules of HTTP/2");
    else if (u->stream.error == NGHTTP2_REFUSED_STREAM)
        fail_refused(u);
    else
        fail_reset(u);
}

/* The connection is over: the content that a stream still waits for never comes. */
static void
cut_content(struct h2_upstream *u)
{
    struct h2_stream *stream = &u->stream;

    stream->is_cut = stream->is_cut || !stream->saw_end;
    stream->is_closed = true;
    pump_source_ready(stream->source.pump);
    if (u->ex != NULL)
        pump_sink_ready(stream->sink.pump);
}

/* Whatever one exchange does now may end others: hence no walk over the list. */
static void
fail_all(struct h2_connection *c, const struct failure *failure, bool is_stale)
{
    struct list rest;

    pool_opening_end(&c->opening, failure);
    close_now(c);
    list_move_all(&rest, &c->streams);
    while (!list_is_empty(&rest)) {
        struct h2_upstream *u = container_of(rest.next, struct h2_upstream, link);

        list_remove(&u->link);
        list_push_back(&c->streams, &u->link);
        if (u->ex == NULL)
            continue;
        if (u->is_answered)
            cut_content(u);
        else
            fail(u, failure, is_stale && u->up.was_reused && u->interim_count == 0);
    }
}

/* The connection died. For an exchange that joined it this is the ordinary race
 * between our request and the origin's close, as long as no answer was seen. */
static void
fail_broken(struct h2_connection *c)
{
    struct tls_failure why;
    struct failure failure = failure_broken(&c->conn, &why);

    fail_all(c, &failure, true);
}

/* The last word may be ours: a GOAWAY that says what was wrong. */
static void
fail_protocol(struct h2_connection *c)
{
    struct failure failure = failure_bad_response(c->has_settings
                                                 ? "the server breaks the rules of HTTP/2"
                                                 : "the server does not speak HTTP/2");

    (void)h2_session_send(&c->session);
    fail_all(c, &failure, false);
}

/* ---- the response, as nghttp2 reads it: only noted */

static struct h2_head *
on_head_begin(struct h2_stream *stream, bool is_first)
{
    struct h2_upstream *u = of_stream(stream);

    if (u->ex == NULL)
        return NULL;
    h2_head_begin(&u->head, is_first ? H2_RESPONSE : H2_TRAILERS, &u->ex->arena,
                  &upstream_response_limits);
    return &u->head;
}

static bool
refuse(struct h2_upstream *u, const char *why)
{
    u->bad = why;
    return false;
}

static bool
note_interim(struct h2_upstream *u, const struct response *response)
{
    struct interim *interim = arena_alloc(&u->ex->arena, sizeof(*interim));

    if (++u->interim_count > UPSTREAM_INTERIM_MAX)
        return refuse(u, "too many interim responses");
    if (interim == NULL)
        return refuse(u, "response heads do not fit into the exchange's memory");
    *interim = (struct interim){ .status = response->status, .fields = response->fields };
    *u->last_interim = interim;
    u->last_interim = &interim->next;
    return true;
}

static bool
note_trailers(struct h2_upstream *u)
{
    struct h2_stream *stream = &u->stream;

    return stream->saw_end && h2_head_to_trailers(&u->head, &stream->source.trailers) == 0;
}

static bool
on_head(struct h2_stream *stream, bool is_first)
{
    struct h2_upstream *u = of_stream(stream);
    struct h1_refusal refusal = { 502, "malformed response" };
    struct response response;

    if (!is_first)
        return note_trailers(u);
    if (h2_head_to_response(&u->head, u->ex->request.method, stream->saw_end, &response,
                            &refusal) < 0)
        return refuse(u, refusal.reason);
    if (response.status < 200)
        return stream->saw_end ? refuse(u, "the response ends before its final status")
                               : note_interim(u, &response);
    stream->has_head = true;
    stream->length = response.has_body ? response.length : 0;
    u->response = response;
    u->has_response = true;
    return true;
}

static void
on_frame(struct h2_session *session, const nghttp2_frame *frame)
{
    struct h2_connection *c = of_session(session);

    if (frame->hd.type == NGHTTP2_GOAWAY) {
        unshare(c);
    } else if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        c->has_settings = true;
        pool_opening_end(&c->opening, NULL);
    }
}

/* ---- the response, as the exchange hears of it */

static void
on_slow_response(struct timer *timer)
{
    struct h2_upstream *u = container_of(timer, struct h2_upstream, response_guard.timer);

    if (rate_guard_is_too_slow(&u->response_guard, u->connection->conn.loop,
                               u->stream.received_bytes))
        fail_late(u, "http_response_timeout", "the content stopped coming");
}

static void
tell_interims(struct h2_upstream *u)
{
    struct interim *interim = u->interims;
    struct exchange *ex = u->ex;

    u->interims = NULL;
    u->last_interim = &u->interims;
    for (; interim != NULL && u->ex != NULL; interim = interim->next) {
        if (interim->status == 100 && !u->request_sent)
            timer_disarm(&u->timer); /* the client's turn */
        ex->road->on_interim(ex, interim->status, &interim->fields);
    }
}

/* In HTTP/1.1 content of a known length has no trailers (RFC 9112 section 7.1.2):
 * where the origin announces some, they are worth more than its length. The length
 * is checked here. */
static void
make_way_for_trailers(struct response *response)
{
    if (!response->has_body || !fields_has(&response->fields, FIELD_TRAILER))
        return;
    response->length = LENGTH_UNKNOWN;
    response->is_chunked = true;
}

static void
tell_response(struct h2_upstream *u)
{
    struct exchange *ex = u->ex;

    timer_disarm(&u->timer);
    u->has_response = false;
    u->is_answered = true;
    rate_guard_init(&u->response_guard, upstream_pace(u->timeouts.body_ms), on_slow_response);
    u->stream.in_guard = &u->response_guard;
    ex->response = u->response;
    make_way_for_trailers(&ex->response);
    ex->response.body = ex->response.has_body ? &u->stream.source : NULL;
    ex->phases.first_byte_ns = loop_now_ns(ex->worker->loop);
    ex->road->on_response(ex);
}

static void
on_news(struct h2_stream *stream, unsigned news)
{
    struct h2_upstream *u = of_stream(stream);

    if (u->ex == NULL)
        return;
    tell_interims(u);
    if (u->ex != NULL && u->has_response)
        tell_response(u);
    if (u->ex == NULL)
        return;
    if (!u->is_answered) {
        if (stream->is_cut || stream->is_closed)
            fail_stream(u);
        return;
    }
    pump_source_ready(stream->source.pump);
    if (u->ex != NULL && (news & H2_NEWS_CLOSED)) /* it takes no more of the request */
        pump_sink_ready(stream->sink.pump);
}

/* ---- the request */

/* When the whole connection is silent, the next exchanges had better take another. */
static void
on_head_timeout(struct timer *timer)
{
    struct h2_upstream *u = container_of(timer, struct h2_upstream, timer);
    struct h2_connection *c = u->connection;

    if (u->ex->request_pump.is_running && u->ex->request_pump.moved_bytes > 0)
        return; /* the client does not wait for 100: it is its turn */
    if (c->conn.received_bytes == u->received_at_start)
        retire(c);
    fail_late(u, "http_response_timeout", "no response in time");
}

static void
on_slow_request(struct timer *timer)
{
    struct h2_upstream *u = container_of(timer, struct h2_upstream, request_guard.timer);

    if (!rate_guard_is_too_slow(&u->request_guard, u->connection->conn.loop,
                                h2_stream_moved_bytes(&u->stream)))
        return;
    if (u->is_answered) /* it has answered, and does not want the rest */
        upstream_give_up_request(u->ex);
    else
        fail_late(u, "connection_write_timeout", "it takes no more of the request");
}

static void
note_request_sent(struct h2_upstream *u)
{
    u->request_sent = true;
    if (!u->is_answered)
        timer_arm(u->connection->conn.loop, &u->timer, u->timeouts.head_ms);
}

static void
on_request_sent(struct pump *pump, enum pump_result result)
{
    struct exchange *ex = container_of(pump, struct exchange, request_pump);

    switch (result) {
    case PUMP_DONE:
        note_request_sent(of_upstream(ex->up));
        return;
    case PUMP_SINK_FAILED: /* the news of it are on their way, or it has answered */
        return;
    case PUMP_SOURCE_FAILED:
        ex->road->on_request_cut(ex, END_CLIENT_ABORT);
        return;
    }
}

static void
send_request(struct upstream *up, struct exchange *ex)
{
    struct h2_upstream *u = of_upstream(up);
    struct h2_connection *c = u->connection;
    struct failure too_large = failure_large_head();
    bool is_end = ex->request.body == NULL;
    struct h2_lines lines;

    u->ex = ex;
    u->stream.arena = &ex->arena;
    u->received_at_start = c->conn.received_bytes;
    if (c->session.is_over) { /* of which nobody was told yet */
        fail_broken(c);
        return;
    }
    lines = h2_lines_of_request(ex, c->trust != 0);
    if (lines.items == NULL) {
        fail(u, &too_large, false);
        return;
    }
    if (h2_stream_open(&u->stream, &lines, is_end) < 0) { /* none of it has left */
        fail_refused(u);
        return;
    }
    if (is_end) {
        note_request_sent(u);
        return;
    }
    rate_guard_init(&u->request_guard, upstream_pace(u->timeouts.write_ms), on_slow_request);
    u->stream.out_guard = &u->request_guard;
    if (ex->request.expects_continue)
        timer_arm(c->conn.loop, &u->timer, u->timeouts.head_ms);
    pump_start(&ex->request_pump, c->conn.loop, ex->request.body, &u->stream.sink,
               on_request_sent);
}

/* ---- release */

static void
release(struct upstream *up)
{
    struct h2_upstream *u = of_upstream(up);
    struct h2_connection *c = u->connection;

    u->ex = NULL;
    timer_disarm(&u->timer);
    rate_guard_stop(&u->response_guard);
    rate_guard_stop(&u->request_guard);
    list_remove(&u->link);
    h2_stream_fini(&u->stream, NGHTTP2_CANCEL);
    loop_free(c->conn.loop, &u->grave, free, u);
    if (c->is_closed)
        free_if_empty(c);
    else if (c->session.open_streams == 0)
        become_idle(c);
}

/* What wants a tunnel never comes here (RFC 9113 section 8.6). */
static int
detach(struct upstream *up, struct exchange *ex, struct accepted *accepted)
{
    (void)up;
    (void)ex;
    (void)accepted;
    return -1;
}

static const struct upstream_ops h2_ops = {
    .protocol = "HTTP/2.0",
    .send = send_request,
    .release = release,
    .detach = detach,
};

/* ---- events of the connection */

static void
read_on(struct h2_connection *c)
{
    switch (h2_session_read(&c->session)) {
    case FLOW_MORE:
        loop_ready(c->conn.loop, &c->task);
        break;
    case FLOW_WAIT:
        break;
    case FLOW_END:
        fail_broken(c);
        return;
    case FLOW_FAILED:
        if (c->is_closed)
            return;
        if (c->conn.error != 0)
            fail_broken(c);
        else
            fail_protocol(c);
        return;
    }
    if (c->is_closed)
        return;
    if (c->is_retired && c->session.open_streams == 0)
        retire(c);
    else if (h2_session_is_done(&c->session))
        fail_broken(c);
}

static void
on_task(struct task *task)
{
    read_on(container_of(task, struct h2_connection, task));
}

static void
on_ready(struct conn *conn)
{
    struct h2_connection *c = container_of(conn, struct h2_connection, conn);

    if (conn->may_read || conn->saw_hangup)
        read_on(c);
    if (!c->is_closed && conn->may_write && c->session.out.first != NULL)
        h2_session_flush(&c->session);
}

/* nghttp2 ends the session by itself when the origin breaks the rules. */
static void
on_flushed(struct h2_session *session)
{
    struct h2_connection *c = of_session(session);

    if (!c->is_closed && h2_session_is_done(session))
        fail_protocol(c);
}

static void
on_broken(struct h2_session *session)
{
    struct h2_connection *c = of_session(session);

    if (c->is_closed)
        return;
    if (session->is_flooded)
        fail_protocol(c);
    else
        fail_broken(c);
}

static void
on_slow_writes(struct timer *timer)
{
    struct h2_connection *c = container_of(timer, struct h2_connection, write_guard.timer);
    struct failure failure;

    if (!rate_guard_is_too_slow(&c->write_guard, c->conn.loop, conn_taken_bytes(&c->conn)))
        return;
    failure = failure_late(c->worker, "connection_write_timeout", "it takes nothing more");
    fail_all(c, &failure, false);
}

static const struct h2_session_ops session_ops = {
    .on_head_begin = on_head_begin,
    .on_head = on_head,
    .on_frame = on_frame,
    .on_news = on_news,
    .on_flushed = on_flushed,
    .on_broken = on_broken,
};

/* ---- the beginning */

static struct upstream *
add_stream(struct h2_connection *c, const struct upstream_conf *conf, bool was_reused)
{
    struct h2_upstream *u = calloc(1, sizeof(*u));

    if (u == NULL)
        return NULL;
    h2_stream_init(&u->stream, &c->session, 0);
    list_init(&u->link);
    list_push_back(&c->streams, &u->link);
    u->connection = c;
    u->last_interim = &u->interims;
    u->timeouts = conf->timeouts;
    timer_init(&u->timer, on_head_timeout);
    timer_init(&u->response_guard.timer, on_slow_response);
    timer_init(&u->request_guard.timer, on_slow_request);
    u->up = (struct upstream){ .ops = &h2_ops, .endpoint = c->endpoint, .ip = c->ip,
                               .was_reused = was_reused };
    c->idle_ms = conf->timeouts.idle_ms;
    timer_disarm(&c->conn.timer);
    pool_shared_busy(&c->shared);
    return &u->up;
}

static void
enter_pool(struct h2_connection *c, const struct upstream_conf *conf)
{
    struct pool *pool;

    if (conf->endpoint == NULL)
        return;
    c->endpoint = endpoint_ref(conf->endpoint);
    pool = pool_of_endpoint(c->worker, conf->endpoint, conf->group);
    if (pool == NULL)
        return;
    pool_set_manner(pool, POOL_SHARES);
    pool_share(pool, &c->shared);
    pool_opening_start(pool, &c->opening);
}

static struct h2_connection *
open_connection(struct worker *worker, int fd, const struct upstream_conf *conf)
{
    static const struct h2_session_conf session_conf = {
        .window_bytes = WINDOW_BYTES,
        .buffer_bytes = BUFFER_BYTES,
        .head_bytes = 128 * 1024,
        .output_bytes = CONTROL_BYTES,
    };
    struct h2_connection *c = calloc(1, sizeof(*c));

    if (c == NULL || conn_open(&c->conn, worker->loop, fd, on_ready, on_idle_too_long) < 0) {
        tls_session_free(conf->session);
        close(fd);
        free(c);
        return NULL;
    }
    if (conf->session != NULL)
        tls_attach(&c->conn, conf->session);
    c->worker = worker;
    c->ip = conf->ip;
    c->until_ms = conf->until_ms;
    c->trust = conf->trust;
    c->max_streams = UINT32_MAX;
    list_init(&c->streams);
    list_init(&c->opening.link);
    shared_init(&c->shared, on_orphaned);
    task_init(&c->task, on_task);
    counter_up(worker->counters, upstream_connects);
    counter_up(worker->counters, upstream_open);
    if (h2_session_init(&c->session, worker, &c->conn, &session_ops, &session_conf) < 0) {
        close_now(c);
        return NULL;
    }
    rate_guard_init(&c->write_guard, upstream_pace(conf->timeouts.write_ms), on_slow_writes);
    c->session.guard = &c->write_guard;
    enter_pool(c, conf);
    return c;
}

struct upstream *
h2_upstream_new(struct worker *worker, int fd, const struct upstream_conf *conf)
{
    struct h2_connection *c = open_connection(worker, fd, conf);
    struct upstream *up = c != NULL ? add_stream(c, conf, false) : NULL;

    if (c != NULL && up == NULL)
        close_now(c);
    return up;
}

static bool
has_room(const struct h2_connection *c, const struct upstream_conf *conf)
{
    uint64_t max = (uint64_t)conf->group->max_streams;
    uint32_t remote;

    if (c->is_retired || !c->has_settings || c->session.out_bytes >= OUTPUT_BYTES ||
        !nghttp2_session_check_request_allowed(c->session.ng))
        return false;
    remote = nghttp2_session_get_remote_settings(c->session.ng,
                                                 NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return c->session.open_streams < max && c->session.open_streams < remote &&
           c->session.open_streams < c->max_streams;
}

struct upstream *
h2_upstream_join(struct pool *pool, const struct upstream_conf *conf)
{
    struct upstream *up;

    if (pool == NULL)
        return NULL;
    list_each(link, pool_shared(pool)) {
        struct h2_connection *c = container_of(link, struct h2_connection, shared.link);

        if (c->trust != conf->trust || is_outdated(c)) {
            retire(c);
            continue;
        }
        if (!has_room(c, conf))
            continue;
        up = add_stream(c, conf, true);
        if (up != NULL)
            counter_up(c->worker->counters, upstream_reuses);
        return up;
    }
    return NULL;
}
