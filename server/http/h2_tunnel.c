/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_tunnel.c - two pumps between a stream and one end of a socket pair.
 *
 * Back-pressure is the pumps': what the pair does not take stays in the stream's
 * window, what the client's window does not take stays in the pair.
 *
 * A pair of local sockets knows no reset: the far end was closed, rather than
 * shut for writing, if it takes no more either. That is the end when both ways
 * were done, and a reset otherwise.
 */
#include "config.h"

#include "server/http/h2_tunnel.h"

#include "server/worker.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384u

static struct h2_tunnel *
of_conn(struct conn *conn)
{
    return container_of(conn, struct h2_tunnel, conn);
}

/* ---- the end */

static void
release(void *object)
{
    struct h2_tunnel *tunnel = object;

    free(tunnel->held);
    free(tunnel);
}

/* These bytes were counted where the connection's were. */
static void
uncount(const struct h2_tunnel *tunnel)
{
    struct counters *counters = tunnel->stream.session->worker->counters;

    counter_add(counters, client_bytes_in, -tunnel->conn.sent_bytes);
    counter_add(counters, client_bytes_out, -tunnel->conn.received_bytes);
}

static void
end_tunnel(struct h2_tunnel *tunnel, uint32_t error)
{
    if (tunnel->is_over)
        return;
    tunnel->is_over = true;
    list_remove(&tunnel->link);
    task_cancel(&tunnel->start);
    pump_stop(&tunnel->up);
    pump_stop(&tunnel->down);
    h2_stream_fini(&tunnel->stream, error);
    uncount(tunnel);
    conn_close(&tunnel->conn);
    conn_free_later(&tunnel->conn, release, tunnel);
}

static void
finish(struct h2_tunnel *tunnel, uint32_t error)
{
    if (tunnel->is_over)
        return;
    end_tunnel(tunnel, error);
    tunnel->on_done(tunnel);
}

void
h2_tunnel_close(struct h2_tunnel *tunnel)
{
    end_tunnel(tunnel, NGHTTP2_CANCEL);
}

static void
on_moved(struct h2_tunnel *tunnel, enum pump_result result)
{
    if (result != PUMP_DONE)
        finish(tunnel, NGHTTP2_CONNECT_ERROR);
    else if (tunnel->up_done && tunnel->down_done)
        finish(tunnel, NGHTTP2_NO_ERROR);
}

static void
on_up_done(struct pump *pump, enum pump_result result)
{
    struct h2_tunnel *tunnel = container_of(pump, struct h2_tunnel, up);

    tunnel->up_done = true;
    on_moved(tunnel, result);
}

static void
on_down_done(struct pump *pump, enum pump_result result)
{
    struct h2_tunnel *tunnel = container_of(pump, struct h2_tunnel, down);

    tunnel->down_done = true;
    on_moved(tunnel, result);
}

/* ---- from the pair */

static enum flow
fill(struct h2_tunnel *tunnel)
{
    ssize_t got;

    if (tunnel->held == NULL)
        tunnel->held = malloc(READ_BYTES);
    if (tunnel->held == NULL)
        return FLOW_FAILED;
    got = conn_recv(&tunnel->conn, tunnel->held, READ_BYTES);
    if (got > 0) {
        tunnel->held_at = 0;
        tunnel->held_end = (uint32_t)got;
        return FLOW_MORE;
    }
    free(tunnel->held);
    tunnel->held = NULL;
    if (got == CONN_WAIT)
        return FLOW_WAIT;
    return got == 0 && (!tunnel->conn.is_broken || tunnel->up_done) ? FLOW_END : FLOW_FAILED;
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct h2_tunnel *tunnel = container_of(source, struct h2_tunnel, source);

    (void)forms;
    if (tunnel->held == NULL) {
        enum flow flow = fill(tunnel);

        if (flow != FLOW_MORE)
            return flow;
    }
    piece->form = FORM_SLICES;
    piece->is_last = false;
    piece->bytes = tunnel->held_end - tunnel->held_at;
    piece->count = 1;
    piece->iov[0] = (struct iovec){ tunnel->held + tunnel->held_at, piece->bytes };
    return FLOW_MORE;
}

static void
take(struct source *source, size_t bytes)
{
    struct h2_tunnel *tunnel = container_of(source, struct h2_tunnel, source);

    tunnel->held_at += (uint32_t)bytes;
    if (tunnel->held_at < tunnel->held_end)
        return;
    free(tunnel->held);
    tunnel->held = NULL;
}

static const struct source_ops source_ops = {
    .offer = offer,
    .take = take,
};

/* ---- to the pair */

static enum flow
put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct h2_tunnel *tunnel = container_of(sink, struct h2_tunnel, sink);
    ssize_t sent = conn_send(&tunnel->conn, piece->iov, (int)piece->count, false);

    if (sent == CONN_FAILED)
        return FLOW_FAILED;
    if (sent == CONN_WAIT)
        return FLOW_WAIT;
    *taken = (size_t)sent;
    return *taken < piece->bytes ? FLOW_WAIT : FLOW_MORE;
}

static enum flow
end(struct sink *sink, const struct fields *trailers)
{
    struct h2_tunnel *tunnel = container_of(sink, struct h2_tunnel, sink);

    (void)trailers;
    return conn_shutdown(&tunnel->conn) == 0 ? FLOW_END : FLOW_FAILED;
}

static const struct sink_ops sink_ops = {
    .put = put,
    .end = end,
};

/* ---- events */

static void
on_ready(struct conn *conn)
{
    struct h2_tunnel *tunnel = of_conn(conn);

    if (!tunnel->is_over)
        pump_source_ready(&tunnel->down);
    if (!tunnel->is_over)
        pump_sink_ready(&tunnel->up);
    if (!tunnel->is_over && conn->is_broken && !tunnel->up_done && tunnel->held == NULL)
        finish(tunnel, NGHTTP2_CONNECT_ERROR); /* nothing can be sent any more */
}

/* At the end of the turn: whoever opened it is done. */
static void
start(struct task *task)
{
    struct h2_tunnel *tunnel = container_of(task, struct h2_tunnel, start);
    struct loop *loop = tunnel->conn.loop;

    pump_start(&tunnel->up, loop, &tunnel->stream.source, &tunnel->sink, on_up_done);
    if (!tunnel->is_over)
        pump_start(&tunnel->down, loop, &tunnel->source, &tunnel->stream.sink, on_down_done);
}

void
h2_tunnel_news(struct h2_stream *stream, unsigned news)
{
    struct h2_tunnel *tunnel = container_of(stream, struct h2_tunnel, stream);

    if (news & H2_NEWS_CLOSED)
        finish(tunnel, NGHTTP2_CANCEL);
    else
        pump_source_ready(&tunnel->up);
}

struct h2_tunnel *
h2_tunnel_open(struct h2_stream *stream, void (*on_done)(struct h2_tunnel *tunnel), void *arg,
               int *fd)
{
    struct h2_session *session = stream->session;
    struct h2_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    int pair[2] = { -1, -1 };

    if (tunnel == NULL ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ||
        conn_open(&tunnel->conn, session->conn->loop, pair[0], on_ready, NULL) < 0) {
        if (pair[0] >= 0) {
            close(pair[0]);
            close(pair[1]);
        }
        free(tunnel);
        return NULL;
    }
    list_init(&tunnel->link);
    h2_stream_move(&tunnel->stream, stream);
    tunnel->stream.is_relay = true;
    tunnel->stream.keeps_open = false;
    tunnel->source.ops = &source_ops;
    tunnel->sink.ops = &sink_ops;
    tunnel->on_done = on_done;
    tunnel->arg = arg;
    task_init(&tunnel->start, start);
    loop_ready(session->conn->loop, &tunnel->start);
    *fd = pair[1];
    return tunnel;
}
