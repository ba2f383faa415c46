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
 * Here is the connection; h2_request.c has its streams.
 */
#include "config.h"

#include "server/http/h2_downstream.h"
#include "server/http/h2_downstream_inside.h"

#include "modes/mode.h"
#include "server/http/h2_tunnel.h"
#include "server/net/listener.h"
#include "server/tls/tls_demands.h"
#include "server/tls/tls_session.h"

#include <stdlib.h>

static void start_linger(struct h2_downstream *d);

static bool
is_busy(const struct h2_downstream *d)
{
    return !list_is_empty(&d->streams) || !list_is_empty(&d->tunnels);
}

/* ---- its streams */

static void
lose_streams(struct h2_downstream *d, enum end_reason reason)
{
    list_each(link, &d->streams) {
        struct h2_request *r = container_of(link, struct h2_request, link);

        if (!r->has_begun) {
            h2_request_drop(r, NGHTTP2_CANCEL);
            continue;
        }
        if (reason == END_CLIENT_ABORT)
            counter_up(d->worker->counters, client_aborts);
        r->ex->road->on_client_gone(r->ex, reason);
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

void
h2_downstream_after(struct h2_downstream *d)
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

/* Whether requests beyond this one are still wanted. */
void
h2_downstream_count(struct h2_downstream *d)
{
    int64_t most = d->listener->limits.requests;

    d->requests++;
    if (most > 0 && d->requests >= most)
        say_goaway(d);
    else if (d->worker->is_draining || d->worker->is_retiring)
        start_drain(d);
}

/* ---- events of the session */

static void
on_flushed(struct h2_session *session)
{
    if (h2_session_is_done(session))
        start_linger(h2_downstream_of(session));
}

static void
on_room(struct h2_session *session)
{
    struct h2_downstream *d = h2_downstream_of(session);

    loop_ready(d->conn.loop, &d->task);
}

static void
on_broken(struct h2_session *session)
{
    struct h2_downstream *d = h2_downstream_of(session);

    if (session->is_flooded)
        h2_flood_say(&d->flood, "too many unread answers to control frames");
    close_now(d, END_CLIENT_ABORT);
}

static void
on_frame_begin(struct h2_session *session, const nghttp2_frame_hd *frame)
{
    h2_flood_on_frame_begin(&h2_downstream_of(session)->flood, frame);
}

static void
on_frame(struct h2_session *session, const nghttp2_frame *frame)
{
    h2_flood_on_frame(&h2_downstream_of(session)->flood, frame);
}

static void
on_frame_made(struct h2_session *session, const nghttp2_frame *frame)
{
    h2_flood_on_frame_made(&h2_downstream_of(session)->flood, frame);
}

static const struct h2_session_ops session_ops = {
    .on_open = h2_request_open,
    .on_head_begin = h2_request_head_begin,
    .on_head = h2_request_head,
    .on_frame_begin = on_frame_begin,
    .on_frame = on_frame,
    .on_frame_made = on_frame_made,
    .on_news = h2_request_news,
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
        struct h2_request *r = container_of(link, struct h2_request, link);

        if (!r->has_begun)
            h2_request_drop(r, NGHTTP2_CANCEL);
        else if (!r->h2.saw_end)
            h2_request_lose(r);
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
    switch ((enum h2_downstream_state)d->state) {
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
        struct h2_request *r = container_of(link, struct h2_request, link);

        if (!r->has_begun)
            h2_request_drop(r, NGHTTP2_REFUSED_STREAM);
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
    d->newborn = (struct downstream){ &h2_downstream_ops, &d->client, NULL };
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
