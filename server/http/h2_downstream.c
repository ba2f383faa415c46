/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_downstream.c - requests from a client, many at a time (RFC 9113).
 *
 *   connection:  OPEN --> LINGER --> closed
 *   stream:      (head arrives) --> exchange --> (tunnel) --> gone
 *
 * OPEN serves, and after GOAWAY what is there already, until the last stream has
 * ended. LINGER has said that no more will be sent and reads until the client
 * has seen it (client_conn.h). A connection without streams waits as idle: only a
 * new request starts that clock again.
 *
 * Every stream is an exchange from its first HEADERS frame on, in whose arena it
 * lives; the road sees it once its head is whole. One that was reset by then
 * never sets out: that is what a rapid reset costs us.
 */
#include "config.h"

#include "server/http/h2_downstream.h"

#include "modes/mode.h"
#include "server/http/client_conn.h"
#include "server/http/client_exchange.h"
#include "server/http/h2_flood.h"
#include "server/http/h2_tunnel.h"
#include "server/net/listener.h"
#include "server/tls/tls_demands.h"
#include "server/tls/tls_session.h"

#include <stdlib.h>

enum state { OPEN, LINGER, CLOSED };

/* What the connection's timer is for. */
enum waiting { FOR_NOTHING, FOR_REQUEST, FOR_HEAD };

struct h2_downstream {
    struct conn conn;
    struct client_conn link;
    struct h2_session session;
    struct client client;
    struct downstream newborn; /* of exchanges whose stream is being made */
    struct worker *worker;
    struct listener_conf *listener; /* of the worker's current snapshot; NULL: it is gone */
    struct listener *counted_by;
    struct list streams; /* of struct stream */
    struct list tunnels; /* of struct h2_tunnel */
    struct rate_guard write;
    struct timer drain_timer; /* until the final GOAWAY */
    struct task task;         /* reads on */
    struct h2_flood flood;
    struct client_linger linger;
    uint32_t requests;
    uint32_t head; /* the number of that waited for: session.heads */
    uint8_t state;
    uint8_t waiting;
    bool is_drained;  /* no request after those that are here */
    bool said_goaway; /* with a final number */
};

struct stream {
    struct h2_stream h2;
    struct downstream down;
    struct list link;
    struct h2_downstream *d;
    struct exchange *ex;
    struct h2_head head; /* later the trailers */
    struct client_guards guards;
    struct h1_refusal refusal; /* status 0: none */
    char key_accept[H2_ACCEPT_BYTES];
    bool has_begun;
    bool is_malformed; /* and answered nonetheless */
    bool was_reused; /* the connection had carried exchanges before */
};

static const struct downstream_ops h2_ops;

static void start_linger(struct h2_downstream *d);

static struct h2_downstream *
of_session(struct h2_session *session)
{
    return container_of(session, struct h2_downstream, session);
}

static struct stream *
of_h2(struct h2_stream *h2)
{
    return container_of(h2, struct stream, h2);
}

static struct stream *
of_exchange(const struct exchange *ex)
{
    return container_of(ex->down, struct stream, down);
}

static bool
is_busy(const struct h2_downstream *d)
{
    return !list_is_empty(&d->streams) || !list_is_empty(&d->tunnels);
}

/* ---- the end of a stream */

static void
forget_stream(struct stream *s, uint32_t error)
{
    client_guards_stop(&s->guards);
    list_remove(&s->link);
    h2_stream_fini(&s->h2, error);
}

/* Before the road has seen it. */
static void
drop_stream(struct stream *s, uint32_t error)
{
    struct exchange *ex = s->ex;

    forget_stream(s, error);
    exchange_free(ex);
}

static void
lose_streams(struct h2_downstream *d, enum end_reason reason)
{
    list_each(link, &d->streams) {
        struct stream *s = container_of(link, struct stream, link);

        if (!s->has_begun) {
            drop_stream(s, NGHTTP2_CANCEL);
            continue;
        }
        if (reason == END_CLIENT_ABORT)
            counter_up(d->worker->counters, client_aborts);
        s->ex->road->on_client_gone(s->ex, reason);
    }
    while (!list_is_empty(&d->tunnels))
        h2_tunnel_close(container_of(d->tunnels.next, struct h2_tunnel, link));
}

/* ---- the end of a connection */

static void
release(void *object)
{
    struct h2_downstream *d = object;

    h2_session_fini(&d->session);
    free(d);
}

static void
close_now(struct h2_downstream *d, enum end_reason reason)
{
    if (d->state == CLOSED)
        return;
    d->state = CLOSED;
    h2_session_close(&d->session);
    lose_streams(d, reason);
    task_cancel(&d->task);
    timer_disarm(&d->drain_timer);
    list_remove(&d->link.link);
    counter_add(d->worker->counters, client_bytes_in, d->conn.received_bytes);
    counter_add(d->worker->counters, client_bytes_out, d->conn.sent_bytes);
    listener_leave(d->worker, d->counted_by);
    conn_close(&d->conn);
    conn_free_later(&d->conn, release, d);
}

static void
linger(struct h2_downstream *d)
{
    enum flow flow = client_linger_read(&d->conn);

    if (flow == FLOW_MORE)
        loop_ready(d->conn.loop, &d->task);
    else if (flow != FLOW_WAIT)
        close_now(d, END_CLIENT_ABORT);
}

static void
start_linger(struct h2_downstream *d)
{
    if (d->state >= LINGER)
        return;
    d->state = LINGER;
    lose_streams(d, d->flood.is_hostile ? END_LIMIT : END_CLIENT_ABORT);
    h2_session_close(&d->session);
    timer_disarm(&d->drain_timer);
    if (client_linger_start(&d->linger, &d->conn) < 0)
        close_now(d, END_CLIENT_ABORT);
    else
        linger(d);
}

/* No new requests; those that are here go on. */
static void
say_goaway(struct h2_downstream *d)
{
    d->is_drained = true;
    if (d->said_goaway || d->flood.is_ending || d->state != OPEN)
        return;
    d->said_goaway = true;
    timer_disarm(&d->drain_timer);
    nghttp2_submit_goaway(d->session.ng, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(d->session.ng),
                          NGHTTP2_NO_ERROR, NULL, 0);
    h2_session_flush(&d->session);
}

/* RFC 9113 section 6.8: a first GOAWAY that refuses nothing, and a second one once
 * what was on its way has arrived. */
static void
start_drain(struct h2_downstream *d)
{
    if (d->is_drained || d->flood.is_ending || d->state != OPEN)
        return;
    d->is_drained = true;
    nghttp2_submit_shutdown_notice(d->session.ng);
    timer_arm(d->conn.loop, &d->drain_timer, LAST_REQUEST_MS);
    h2_session_flush(&d->session);
}

/* ---- what the connection waits for */

static void
wait_for(struct h2_downstream *d, enum waiting waiting, uint32_t ms)
{
    if (d->waiting == waiting && (waiting != FOR_HEAD || d->head == d->session.heads))
        return;
    d->waiting = (uint8_t)waiting;
    d->head = d->session.heads;
    if (waiting == FOR_NOTHING)
        timer_disarm(&d->conn.timer);
    else
        timer_arm(d->conn.loop, &d->conn.timer, ms);
}

/* After anything that may have begun or ended a stream. */
static void
look_at_clock(struct h2_downstream *d)
{
    if (d->state != OPEN || d->listener == NULL)
        return;
    if (d->session.head != NULL)
        wait_for(d, FOR_HEAD, d->listener->timeouts.head_ms);
    else if (is_busy(d))
        wait_for(d, FOR_NOTHING, 0);
    else
        wait_for(d, FOR_REQUEST, d->requests == 0 ? d->listener->timeouts.head_ms
                                                  : d->listener->timeouts.idle_ms);
}

static void
after_stream(struct h2_downstream *d)
{
    if (d->state != OPEN || is_busy(d))
        return;
    if (d->is_drained || d->flood.is_ending) {
        say_goaway(d); /* once it has left, the session is done */
        return;
    }
    d->waiting = FOR_NOTHING; /* its time begins anew */
    look_at_clock(d);
}

/* ---- an exchange's side of a stream */

static void
interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    struct stream *s = of_exchange(ex);
    struct h2_lines lines;

    if (ex->is_started)
        return;
    lines = h2_lines_of_interim(ex, status, fields);
    if (h2_stream_send_head(&s->h2, &lines, false, true) == 0 && status == 100)
        h2_stream_continue(&s->h2);
}

/* A response that cannot be sent is replaced by a bare one. */
static void
answer_bare(struct exchange *ex, unsigned status, enum end_reason reason)
{
    ex->end = reason;
    ex->is_head_only = true;
    ex->is_tunnel = false;
    ex->response.fields = (struct fields){ .count = 0 };
    ex->response.status = (uint16_t)status;
}

/* The origin's words for an upgrade in those of RFC 8441 section 5: success is
 * 200, and nothing else may look like it. */
static unsigned
translate_upgrade(struct exchange *ex, const struct stream *s)
{
    struct fields *fields = &ex->response.fields;

    if (ex->response.status == 101 &&
        slice_equal(fields_get(fields, FIELD_SEC_WEBSOCKET_ACCEPT), slice_of(s->key_accept))) {
        fields_remove(fields, FIELD_SEC_WEBSOCKET_ACCEPT);
        return 200;
    }
    if (ex->response.status == 101 || ex->response.status / 100 == 2)
        answer_bare(ex, 502, END_UPSTREAM_BAD);
    return ex->response.status;
}

static void
start(struct exchange *ex)
{
    struct stream *s = of_exchange(ex);
    unsigned status = s->key_accept[0] != '\0' ? translate_upgrade(ex, s) : ex->response.status;
    struct h2_lines lines = h2_lines_of_response(ex, status);
    bool has_content = !ex->is_head_only && ex->response.body != NULL;

    if (lines.items == NULL || status < 200) { /* of a 101 that nobody can have asked for */
        h2_stream_reset(&s->h2, NGHTTP2_INTERNAL_ERROR); /* the pump finds it so */
        return;
    }
    if (ex->is_tunnel)
        s->h2.keeps_open = true;
    s->h2.out_guard = &s->guards.write;
    s->h2.arena = &ex->arena;
    if (h2_stream_send_head(&s->h2, &lines, !has_content && !s->h2.keeps_open, false) < 0)
        h2_stream_reset(&s->h2, NGHTTP2_INTERNAL_ERROR);
}

static uint32_t
error_of(const struct exchange *ex, const struct stream *s, bool is_whole)
{
    if (s->is_malformed || s->head.is_malformed)
        return NGHTTP2_PROTOCOL_ERROR;
    if (is_whole)
        return NGHTTP2_NO_ERROR; /* RFC 9113 section 8.1: no need for the rest of the request */
    return ex->end == END_CLIENT_TIMEOUT || ex->end == END_STOPPED ? NGHTTP2_CANCEL
                                                                   : NGHTTP2_INTERNAL_ERROR;
}

static void
finish(struct exchange *ex, bool is_whole)
{
    struct stream *s = of_exchange(ex);
    struct h2_downstream *d = s->d;

    forget_stream(s, error_of(ex, s, is_whole));
    after_stream(d);
}

static bool
request_is_over_limit(const struct exchange *ex)
{
    return of_exchange(ex)->h2.is_over_limit;
}

static void
count(const struct exchange *ex, struct traffic *traffic)
{
    const struct stream *s = of_exchange(ex);

    *traffic = (struct traffic){
        .content_in = s->h2.received_bytes - s->h2.in_bytes,
        .content_out = s->h2.sent_bytes,
        .total_in = s->h2.wire_in - s->h2.in_bytes,
        .total_out = s->h2.wire_out,
        .is_reused = s->was_reused,
    };
}

static void
on_tunnel_done(struct h2_tunnel *tunnel)
{
    after_stream(tunnel->arg);
}

static int
detach(struct exchange *ex, struct accepted *accepted)
{
    struct stream *s = of_exchange(ex);
    struct h2_downstream *d = s->d;
    struct h2_tunnel *tunnel = h2_tunnel_open(&s->h2, on_tunnel_done, d, &accepted->fd);

    if (tunnel == NULL)
        return -1;
    list_push_back(&d->tunnels, &tunnel->link);
    client_guards_stop(&s->guards);
    list_remove(&s->link);
    accepted->peer = d->client.peer;
    accepted->local = d->client.local;
    accepted->head = slice_make(NULL, 0);
    accepted->tls = NULL;
    return 0;
}

static const struct downstream_ops h2_ops = {
    .protocol = "HTTP/2.0",
    .interim = interim,
    .start = start,
    .finish = finish,
    .request_is_over_limit = request_is_over_limit,
    .count = count,
    .detach = detach,
};

/* ---- a request arrives: within nghttp2 */

static uint64_t
sent_by_client(struct exchange *ex)
{
    return of_exchange(ex)->h2.received_bytes;
}

static uint64_t
taken_by_client(struct exchange *ex)
{
    return h2_stream_moved_bytes(&of_exchange(ex)->h2);
}

static const struct client_progress progress = { sent_by_client, taken_by_client };

/* Whether requests beyond this one are still wanted. */
static void
count_request(struct h2_downstream *d)
{
    int64_t most = d->listener->limits.requests;

    d->requests++;
    if (most > 0 && d->requests >= most)
        say_goaway(d);
    else if (d->worker->is_draining || d->worker->is_retiring)
        start_drain(d);
}

static struct h2_stream *
on_open(struct h2_session *session, int32_t id)
{
    struct h2_downstream *d = of_session(session);
    struct exchange *ex;
    struct stream *s;

    if (d->state != OPEN || d->said_goaway || d->flood.is_ending || d->listener == NULL)
        return NULL;
    ex = exchange_new(d->worker, d->listener, &d->newborn);
    s = ex != NULL ? arena_zalloc(&ex->arena, sizeof(*s)) : NULL;
    if (s == NULL) {
        if (ex != NULL)
            exchange_free(ex);
        return NULL;
    }
    h2_stream_init(&s->h2, session, id);
    s->down = (struct downstream){ &h2_ops, &d->client, &s->h2.sink };
    s->d = d;
    s->ex = ex;
    ex->down = &s->down;
    client_guards_init(&s->guards, ex, &progress);
    list_init(&s->link);
    list_push_back(&d->streams, &s->link);
    s->was_reused = d->requests > 0;
    h2_flood_opened(&d->flood, id);
    count_request(d);
    return &s->h2;
}

static struct h2_head *
on_head_begin(struct h2_stream *h2, bool is_first)
{
    struct stream *s = of_h2(h2);

    if (h2->is_relay)
        return NULL;
    h2_head_begin(&s->head, is_first ? H2_REQUEST : H2_TRAILERS, &s->ex->arena,
                  &s->ex->listener->limits.h1);
    return &s->head;
}

static void
take_priority(struct stream *s)
{
    const struct field *field = fields_find(&s->ex->request.fields, FIELD_PRIORITY);
    struct h2_priority priority = { 3, false };

    if (field == NULL)
        return;
    h2_priority_parse(field->value, &priority);
    h2_stream_set_priority(&s->h2, &priority);
}

static bool
on_trailers(struct stream *s)
{
    const struct fields *trailers;

    if (!s->h2.saw_end || h2_head_to_trailers(&s->head, &trailers) < 0)
        return false;
    s->h2.source.trailers = trailers;
    return true;
}

static bool
on_head(struct h2_stream *h2, bool is_first)
{
    struct stream *s = of_h2(h2);
    struct request *request = &s->ex->request;
    const struct h2_request_context context = {
        .is_tls = s->d->client.is_tls,
        .is_proxied = s->ex->listener->mode->is_proxy,
        .is_end = h2->saw_end,
    };

    if (!is_first)
        return on_trailers(s);
    h2->has_head = true;
    if (h2_head_to_request(&s->head, &context, request, s->key_accept, &s->refusal) < 0) {
        s->is_malformed = s->head.is_malformed; /* trailers may follow */
        return true; /* it will be answered */
    }
    s->refusal.status = 0;
    if (request->has_body)
        h2->length = request->length;
    take_priority(s);
    return true;
}

/* ---- outside of nghttp2 */

static void
refuse(struct stream *s)
{
    s->key_accept[0] = '\0';
    s->h2.keeps_open = s->is_malformed;
    client_refuse(s->ex, &s->refusal);
}

static void
accept_content(struct stream *s)
{
    struct request *request = &s->ex->request;

    request->body = &s->h2.source;
    s->h2.limit_bytes = &s->ex->body_limit_bytes;
    s->h2.in_guard = &s->guards.body;
    s->h2.awaits_continue = request->expects_continue;
}

static void
begin(struct stream *s)
{
    struct exchange *ex = s->ex;

    s->has_begun = true;
    ex->phases.start_ns = loop_now_ns(ex->worker->loop);
    counter_up(ex->worker->counters, requests);
    if (s->refusal.status != 0)
        refuse(s);
    else if (ex->request.has_body)
        accept_content(s);
    ex->listener->mode->on_request(ex);
}

/* Reset, by whomever. */
static void
lose(struct stream *s)
{
    struct counters *counters = s->d->worker->counters;
    enum end_reason reason = END_CLIENT_ABORT;

    if (s->h2.error == NGHTTP2_INTERNAL_ERROR)
        reason = END_LIMIT;
    else if (s->h2.error == NGHTTP2_PROTOCOL_ERROR)
        reason = END_BAD_REQUEST;
    if (reason == END_BAD_REQUEST)
        counter_up(counters, requests_bad);
    else
        counter_up(counters, client_aborts);
    s->ex->road->on_client_gone(s->ex, reason);
}

static void
on_news(struct h2_stream *h2, unsigned news)
{
    struct stream *s = of_h2(h2);

    if (h2->is_relay) {
        h2_tunnel_news(h2, news);
    } else if (!s->has_begun) {
        struct h2_downstream *d = s->d;

        if (news & H2_NEWS_CLOSED || h2->is_cut) {
            drop_stream(s, NGHTTP2_PROTOCOL_ERROR);
            after_stream(d);
        } else if (news & H2_NEWS_HEAD) {
            begin(s);
        }
    } else if (news & H2_NEWS_CLOSED) {
        lose(s);
    } else if (!h2->is_cut) { /* otherwise it will be closed soon */
        pump_source_ready(h2->source.pump);
    }
}

static void
on_flushed(struct h2_session *session)
{
    if (h2_session_is_done(session))
        start_linger(of_session(session));
}

static void
on_room(struct h2_session *session)
{
    struct h2_downstream *d = of_session(session);

    loop_ready(d->conn.loop, &d->task);
}

static void
on_broken(struct h2_session *session)
{
    struct h2_downstream *d = of_session(session);

    if (session->is_flooded)
        h2_flood_say(&d->flood, "too many unread answers to control frames");
    close_now(d, END_CLIENT_ABORT);
}

static void
on_frame_begin(struct h2_session *session, const nghttp2_frame_hd *frame)
{
    h2_flood_on_frame_begin(&of_session(session)->flood, frame);
}

static void
on_frame(struct h2_session *session, const nghttp2_frame *frame)
{
    h2_flood_on_frame(&of_session(session)->flood, frame);
}

static void
on_frame_made(struct h2_session *session, const nghttp2_frame *frame)
{
    h2_flood_on_frame_made(&of_session(session)->flood, frame);
}

static const struct h2_session_ops session_ops = {
    .on_open = on_open,
    .on_head_begin = on_head_begin,
    .on_head = on_head,
    .on_frame_begin = on_frame_begin,
    .on_frame = on_frame,
    .on_frame_made = on_frame_made,
    .on_news = on_news,
    .on_flushed = on_flushed,
    .on_room = on_room,
    .on_broken = on_broken,
};

/* ---- events */

/* The client has ended its side: requests that are whole are still answered. */
static void
on_end(struct h2_downstream *d)
{
    say_goaway(d);
    list_each(link, &d->streams) {
        struct stream *s = container_of(link, struct stream, link);

        if (!s->has_begun)
            drop_stream(s, NGHTTP2_CANCEL);
        else if (!s->h2.saw_end)
            lose(s);
    }
    while (!list_is_empty(&d->tunnels))
        h2_tunnel_close(container_of(d->tunnels.next, struct h2_tunnel, link));
    if (!is_busy(d))
        close_now(d, END_CLIENT_ABORT);
}

static void
after_read(struct h2_downstream *d, enum flow flow)
{
    switch (flow) {
    case FLOW_MORE:
        loop_ready(d->conn.loop, &d->task);
        break;
    case FLOW_WAIT:
        break;
    case FLOW_END:
        if (d->state == OPEN)
            on_end(d);
        return;
    case FLOW_FAILED:
        if (d->state != OPEN)
            return;
        if (d->conn.error != 0) { /* reset, or TLS without its end: that is no news */
            close_now(d, END_CLIENT_ABORT);
            return;
        }
        counter_up(d->worker->counters, h2_errors);
        h2_session_send(&d->session);
        start_linger(d);
        return;
    }
    if (d->flood.is_hostile)
        lose_streams(d, END_LIMIT);
    look_at_clock(d);
}

static void
go_on(struct h2_downstream *d)
{
    switch ((enum state)d->state) {
    case OPEN:
        if (d->conn.may_write && d->session.out.first != NULL)
            h2_session_flush(&d->session);
        after_read(d, h2_session_read(&d->session));
        return;
    case LINGER:
        linger(d);
        return;
    case CLOSED:
        return;
    }
}

static void
on_ready(struct conn *conn)
{
    struct h2_downstream *d = container_of(conn, struct h2_downstream, conn);

    if (conn->is_broken)
        close_now(d, END_CLIENT_ABORT);
    else
        go_on(d);
}

static void
on_task(struct task *task)
{
    go_on(container_of(task, struct h2_downstream, task));
}

static void
on_timeout(struct timer *timer)
{
    struct h2_downstream *d = container_of(timer, struct h2_downstream, conn.timer);

    if (d->state == LINGER) {
        if (!client_linger_goes_on(&d->linger, &d->conn))
            close_now(d, END_CLIENT_ABORT);
        return;
    }
    if (d->conn.is_broken) { /* it could not be watched: conn_watch() */
        close_now(d, END_CLIENT_ABORT);
        return;
    }
    if (d->waiting == FOR_HEAD) {
        counter_up(d->worker->counters, client_timeouts);
        lose_streams(d, END_CLIENT_TIMEOUT);
    }
    say_goaway(d);
}

static void
on_slow_client(struct timer *timer)
{
    struct h2_downstream *d = container_of(timer, struct h2_downstream, write.timer);

    if (!rate_guard_is_too_slow(&d->write, d->conn.loop, conn_taken_bytes(&d->conn)))
        return;
    counter_up(d->worker->counters, client_timeouts);
    conn_abort(&d->conn);
    close_now(d, END_CLIENT_TIMEOUT);
}

static void
on_drain_due(struct timer *timer)
{
    say_goaway(container_of(timer, struct h2_downstream, drain_timer));
}

/* ---- what the worker asks */

static struct h2_downstream *
of_link(struct client_conn *link)
{
    return container_of(link, struct h2_downstream, link);
}

static void
drain_client(struct client_conn *link)
{
    struct h2_downstream *d = of_link(link);

    if (d->requests > 0 && !is_busy(d))
        say_goaway(d);
    else /* it connected in order to send one */
        start_drain(d);
}

static void
kill_client(struct client_conn *link)
{
    close_now(of_link(link), END_STOPPED);
}

/* Requests of which the road has not heard yet. */
static void
refuse_unborn(struct h2_downstream *d)
{
    list_each(link, &d->streams) {
        struct stream *s = container_of(link, struct stream, link);

        if (!s->has_begun)
            drop_stream(s, NGHTTP2_REFUSED_STREAM);
    }
}

static void
republish_client(struct client_conn *link)
{
    struct h2_downstream *d = of_link(link);

    if (d->listener != NULL)
        d->listener = client_conn_listener(d->worker, d->counted_by, d->listener);
    d->flood.listener = d->listener;
    if (d->listener != NULL) {
        if (!tls_is_current(d->client.tls, d->listener))
            drain_client(link);
        return;
    }
    /* The old snapshot goes; exchanges in progress hold their own references. */
    if (d->state == OPEN) {
        wait_for(d, FOR_NOTHING, 0);
        refuse_unborn(d); /* no clock runs for them any more */
    }
    say_goaway(d);
}

static const struct client_conn_ops client_ops = {
    .republish = republish_client,
    .drain = drain_client,
    .kill = kill_client,
};

/* ---- the beginning */

static int
open_session(struct h2_downstream *d)
{
    const struct h2_limits *limits = &d->listener->h2;
    const struct h2_session_conf conf = {
        .is_server = true,
        .allows_connect = true,
        .streams = (uint32_t)limits->streams,
        .window_bytes = (uint32_t)limits->window_bytes,
        .buffer_bytes = limits->buffer_bytes,
        .head_bytes = d->listener->limits.h1.head_bytes,
        .output_bytes = limits->output_bytes,
    };

    rate_guard_init(&d->write, d->listener->timeouts.write, on_slow_client);
    if (h2_session_init(&d->session, d->worker, &d->conn, &session_ops, &conf) < 0)
        return -1;
    h2_flood_init(&d->flood, &d->session, &d->client.peer, d->listener);
    d->session.guard = &d->write;
    return 0;
}

void
h2_downstream_open(struct worker *worker, struct listener_conf *listener,
                   const struct accepted *accepted)
{
    struct h2_downstream *d = calloc(1, sizeof(*d));
    enum flow flow = FLOW_MORE;

    if (d == NULL) {
        client_conn_refuse(worker, listener, accepted);
        return;
    }
    conn_open_unwatched(&d->conn, worker->loop, accepted->fd, on_ready, on_timeout);
    tls_attach(&d->conn, accepted->tls);
    d->client = (struct client){ .peer = accepted->peer, .local = accepted->local,
                                 .is_tls = accepted->tls != NULL, .tls = accepted->tls };
    d->newborn = (struct downstream){ &h2_ops, &d->client, NULL };
    d->worker = worker;
    d->listener = listener;
    d->counted_by = listener->listener;
    list_init(&d->streams);
    list_init(&d->tunnels);
    task_init(&d->task, on_task);
    timer_init(&d->drain_timer, on_drain_due);
    d->link.ops = &client_ops;
    list_init(&d->link.link);
    list_push_back(&worker->clients, &d->link.link);
    counter_up(worker->counters, h2_connections);
    if (open_session(d) < 0) {
        close_now(d, END_LIMIT);
        return;
    }
    look_at_clock(d);
    if (accepted->head.bytes > 0)
        flow = h2_session_feed(&d->session, accepted->head);
    if (flow == FLOW_MORE && d->state == OPEN)
        flow = h2_session_read(&d->session);
    after_read(d, flow);
}
