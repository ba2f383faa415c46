/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_output.c - heads and pieces of content to frames, and those to the socket.
 *
 *     put --> piece --+                       +--> waiting[urgency] --(room)--> put
 *                     nghttp2 --> frames --> out --> socket
 *     (window opens) -+--> waiting
 *
 * A put hands its piece to nghttp2's read callback, which copies what the windows
 * and the room allow right behind the place of the frame's header. So heads and
 * small content are in the output when put returns, their exchange may end, and
 * everything made in a turn leaves in one call at its end.
 */
#include "config.h"

#include "server/http/h2_io.h"

#include "server/worker.h"

#include <string.h>

#define OUT_BYTES (64u * 1024)    /* of frames with content that wait for the socket */
#define QUANTUM_BYTES 16384u      /* of content, where streams share */
#define SEND_SLICES 32
#define TURN_BYTES (256u * 1024)

/* ---- whose turn it is */

void
h2_stream_set_active(struct h2_stream *stream, bool is_active)
{
    uint32_t *active = &stream->session->active[stream->priority.urgency];

    if (stream->is_active == is_active)
        return;
    stream->is_active = is_active;
    *active += is_active ? 1u : -1u;
}

/* Whether a more urgent one will go on, though it may have nothing just now. */
static bool
is_outranked(const struct h2_stream *stream)
{
    for (unsigned i = 0; i < stream->priority.urgency; i++)
        if (stream->session->active[i] > 0)
            return true;
    return false;
}

/* Incremental ones share among each other; and those that others outrank get a
 * little, once a turn, lest they starve (RFC 9218 section 10). */
static bool
must_share(const struct h2_stream *stream)
{
    return (stream->session->waiters > 0 && stream->priority.is_incremental) ||
           is_outranked(stream);
}

/* ---- what nghttp2 calls while it makes frames */

static size_t
room_for(const struct h2_stream *stream)
{
    const struct h2_session *session = stream->session;
    size_t room = session->out_bytes < OUT_BYTES ? OUT_BYTES - session->out_bytes : 0;
    size_t turn;

    if (!must_share(stream))
        return room;
    turn = stream->turn_bytes < QUANTUM_BYTES ? QUANTUM_BYTES - stream->turn_bytes : 0;
    return turn < room ? turn : room;
}

/* A place for the header of the frame that comes next. */
static bool
reserve_data_head(struct h2_session *session)
{
    session->data_head = h2_run_reserve(&session->worker->blocks, &session->out, FRAME_HEAD_BYTES);
    if (session->data_head == NULL)
        return false;
    session->out_bytes += FRAME_HEAD_BYTES;
    return true;
}

/* The next bytes of the piece go behind it. */
static bool
append_piece(struct h2_stream *stream, size_t bytes)
{
    struct h2_session *session = stream->session;
    const struct piece *piece = stream->piece;
    size_t skip = stream->piece_taken, left = bytes;

    for (unsigned i = 0; i < piece->count && left > 0; i++) {
        size_t here = piece->iov[i].iov_len;

        if (skip >= here) {
            skip -= here;
            continue;
        }
        here -= skip;
        if (here > left)
            here = left;
        if (!h2_run_append(&session->worker->blocks, &session->out,
                    (const char *)piece->iov[i].iov_base + skip, here))
            return false;
        skip = 0;
        left -= here;
    }
    session->out_bytes += (uint32_t)bytes;
    stream->piece_taken += bytes;
    stream->sent_bytes += bytes;
    session->sent_bytes += bytes;
    stream->turn_bytes += (uint32_t)bytes;
    return true;
}

static bool
submit_trailers(struct h2_stream *stream)
{
    struct h2_lines lines = h2_lines_of_trailers(stream->arena, stream->trailers);

    return lines.items != NULL &&
           nghttp2_submit_trailer(stream->session->ng, stream->id, lines.items, lines.count) == 0;
}

/* The content is whole with what is made now. False: its trailers cannot be sent. */
static bool
end_content(struct h2_stream *stream, uint32_t *flags)
{
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->keeps_open) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        return true;
    }
    if (stream->trailers != NULL && stream->trailers->count > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (!submit_trailers(stream))
            return false;
    }
    stream->sent_end = true;
    h2_stream_set_active(stream, false);
    return true;
}

/* Somebody pulls: where no pump is putting right now, it gets its turn. */
static ssize_t
defer(struct h2_stream *stream)
{
    struct h2_session *session = stream->session;

    stream->is_deferred = true;
    if (stream->piece == NULL && stream->sink.pump != NULL && !list_is_linked(&stream->wait_link)) {
        list_push_back(&session->waiting[stream->priority.urgency], &stream->wait_link);
        session->waiters++;
        loop_ready(session->conn->loop, &session->task);
    }
    return NGHTTP2_ERR_DEFERRED;
}

ssize_t
h2_output_read(nghttp2_session *ng, int32_t id, uint8_t *buffer, size_t room, uint32_t *flags,
             nghttp2_data_source *source, void *arg)
{
    struct h2_session *session = arg;
    struct h2_stream *stream = h2_session_stream(session, id);
    size_t left, bytes;

    (void)ng;
    (void)buffer;
    (void)source;
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    left = stream->piece != NULL ? stream->piece->bytes - stream->piece_taken : 0;
    bytes = room_for(stream);
    if (bytes > room)
        bytes = room;
    if (bytes > left)
        bytes = left;
    if (bytes == 0 && (left > 0 || !stream->is_ending))
        return defer(stream);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if ((stream->is_ending || (stream->piece->is_last && bytes == left)) &&
        !end_content(stream, flags))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets this stream only */
    if (bytes == 0 && (*flags & NGHTTP2_DATA_FLAG_NO_END_STREAM))
        return 0; /* nghttp2 makes no frame of this */
    if (!reserve_data_head(session) || (bytes > 0 && !append_piece(stream, bytes)))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return (ssize_t)bytes;
}

/* What h2_output_read() put into the output follows this header. */
static int
place_data_head(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t bytes,
                nghttp2_data_source *source, void *arg)
{
    struct h2_session *session = arg;

    (void)ng;
    (void)frame;
    (void)bytes;
    (void)source;
    memcpy(session->data_head, head, FRAME_HEAD_BYTES);
    return 0;
}

static int
on_frame_made(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *session = arg;
    struct h2_stream *stream;

    (void)ng;
    if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
        stream = h2_session_stream(session, frame->hd.stream_id);
        if (stream != NULL)
            stream->wire_out += frame->hd.length + FRAME_HEAD_BYTES;
    } else {
        session->control_bytes += (uint32_t)(frame->hd.length + FRAME_HEAD_BYTES);
    }
    if (session->ops->on_frame_made != NULL)
        session->ops->on_frame_made(session, frame);
    return 0;
}

void
h2_output_register(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, place_data_head);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_made);
}

static struct h2_session *
of_task(struct task *task)
{
    return container_of(task, struct h2_session, task);
}

/* ---- output */

/* Has nghttp2 make all frames that it can: content as there is room, others
 * always, so that nothing in them is borrowed any longer. False: it is over. */
static bool
make(struct h2_session *session)
{
    const uint8_t *data;
    ssize_t bytes;

    if (session->is_over)
        return false;
    while ((bytes = nghttp2_session_mem_send(session->ng, &data)) > 0) {
        if (!h2_run_append(&session->worker->blocks, &session->out, (const char *)data,
                    (size_t)bytes)) {
            bytes = NGHTTP2_ERR_NOMEM;
            break;
        }
        session->out_bytes += (uint32_t)bytes;
    }
    if (session->output_bytes > 0 && session->control_bytes > session->output_bytes)
        session->is_flooded = true;
    if (bytes < 0 || session->is_flooded) {
        h2_session_break_off(session);
        return false;
    }
    if (session->out.first != NULL || !list_is_empty(&session->news))
        loop_ready(session->conn->loop, &session->task);
    return true;
}

static void
wait_for_socket(struct h2_session *session)
{
    struct rate_guard *guard = session->guard;

    if (guard != NULL && rate_guard_wait(guard, session->conn->loop))
        rate_guard_begin(guard, session->conn->loop, conn_taken_bytes(session->conn));
}

static enum flow
write_out(struct h2_session *session)
{
    while (session->out.first != NULL) {
        struct iovec iov[SEND_SLICES];
        size_t bytes;
        unsigned count = h2_run_gather(&session->out, iov, SEND_SLICES, &bytes);
        ssize_t sent = conn_send(session->conn, iov, (int)count, false);

        if (sent == CONN_WAIT) {
            wait_for_socket(session);
            return FLOW_WAIT;
        }
        if (sent == CONN_FAILED)
            return FLOW_FAILED;
        h2_run_drop(&session->worker->blocks, &session->out, (size_t)sent);
        session->out_bytes -= (uint32_t)sent;
    }
    session->control_bytes = 0;
    if (session->guard != NULL)
        rate_guard_moved(session->guard, session->conn->loop);
    return FLOW_END;
}

static struct h2_stream *
next_waiter(struct h2_session *session)
{
    for (unsigned i = 0; session->waiters > 0 && i < H2_URGENCIES; i++)
        if (!list_is_empty(&session->waiting[i]))
            return container_of(session->waiting[i].next, struct h2_stream, wait_link);
    return NULL;
}

void
h2_stream_stop_waiting(struct h2_stream *stream)
{
    if (!list_is_linked(&stream->wait_link))
        return;
    list_remove(&stream->wait_link);
    stream->session->waiters--;
}

/* There is room: the most urgent fill it. */
static void
wake(struct h2_session *session)
{
    struct h2_stream *stream;

    while (!session->is_over && session->out_bytes < OUT_BYTES &&
           (stream = next_waiter(session)) != NULL) {
        if (stream->turn == session->turn && is_outranked(stream)) {
            loop_ready(session->conn->loop, &session->task);
            return;
        }
        h2_stream_stop_waiting(stream);
        stream->turn = session->turn;
        stream->turn_bytes = 0;
        pump_sink_ready(stream->sink.pump);
    }
}

static void
tell_room(struct h2_session *session)
{
    if (!session->is_full || session->is_over || h2_session_is_full(session))
        return;
    session->is_full = false;
    session->ops->on_room(session);
}

static void
tell_broken(struct h2_session *session)
{
    session->is_over = true;
    if (session->was_told)
        return;
    session->was_told = true;
    session->ops->on_broken(session);
}

/* Whether all is sent: a pump that was woken may have ended its stream, and RST_STREAM is still
 * to be made then. */
static bool
is_idle(const struct h2_session *session)
{
    return session->out.first == NULL && session->waiters == 0 && list_is_empty(&session->news) &&
           nghttp2_session_want_write(session->ng) == 0;
}

void
h2_output_run(struct task *task)
{
    struct h2_session *session = of_task(task);
    uint64_t before = session->conn->sent_bytes;
    enum flow flow;

    session->turn++;
    do {
        flow = make(session) ? write_out(session) : FLOW_FAILED;
        if (flow == FLOW_END)
            wake(session);
        h2_session_tell_news(session);
    } while (flow == FLOW_END && session->out.first != NULL && !session->is_over &&
             session->conn->sent_bytes - before < TURN_BYTES);
    tell_room(session);
    if (session->is_over || flow == FLOW_FAILED) {
        tell_broken(session);
    } else if (flow == FLOW_END && is_idle(session)) {
        task_cancel(task);
        session->ops->on_flushed(session);
    }
}

void
h2_session_flush(struct h2_session *session)
{
    if (!session->is_over)
        loop_ready(session->conn->loop, &session->task);
}

enum flow
h2_session_send(struct h2_session *session)
{
    return make(session) ? write_out(session) : FLOW_FAILED;
}

/* ---- a stream's content, to the peer */

static bool
is_dead(const struct h2_stream *stream)
{
    return stream->session->is_over || (stream->is_closed && !stream->sent_end);
}

uint64_t
h2_stream_moved_bytes(struct h2_stream *stream)
{
    const struct h2_session *session = stream->session;

    if (nghttp2_session_get_stream_remote_window_size(session->ng, stream->id) > 0)
        stream->moved_bytes += session->sent_bytes - stream->moved_all;
    else
        stream->moved_bytes += stream->sent_bytes - stream->moved_own;
    stream->moved_own = stream->sent_bytes;
    stream->moved_all = session->sent_bytes;
    return stream->moved_bytes;
}

static void
resume(struct h2_stream *stream)
{
    if (!stream->is_deferred)
        return;
    stream->is_deferred = false;
    nghttp2_session_resume_data(stream->session->ng, stream->id);
}

/* For room, in the order of urgency; or for the window, of which nghttp2 tells us
 * by asking for content. */
static enum flow
wait_to_send(struct h2_stream *stream)
{
    struct h2_session *session = stream->session;
    struct list *waiting = &session->waiting[stream->priority.urgency];

    if (!stream->is_deferred) {
        struct rate_guard *guard = stream->out_guard;

        if (guard != NULL && rate_guard_wait(guard, session->conn->loop))
            rate_guard_begin(guard, session->conn->loop, h2_stream_moved_bytes(stream));
        return FLOW_WAIT;
    }
    if (!list_is_linked(&stream->wait_link)) {
        session->waiters++;
        if (stream->priority.is_incremental || stream->turn_bytes == 0)
            list_push_back(waiting, &stream->wait_link);
        else
            list_push_front(waiting, &stream->wait_link); /* until it is done */
    }
    loop_ready(session->conn->loop, &session->task);
    return FLOW_WAIT;
}

static enum flow
put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct h2_stream *stream = container_of(sink, struct h2_stream, sink);
    struct h2_session *session = stream->session;

    if (is_dead(stream))
        return FLOW_FAILED;
    if (!must_share(stream))
        stream->turn_bytes = 0;
    stream->piece = piece;
    stream->piece_taken = 0;
    resume(stream);
    make(session);
    stream->piece = NULL;
    *taken = stream->piece_taken;
    if (is_dead(stream))
        return FLOW_FAILED;
    if (*taken > 0 && stream->out_guard != NULL)
        rate_guard_moved(stream->out_guard, session->conn->loop);
    if (*taken < piece->bytes)
        return wait_to_send(stream);
    return piece->is_last ? FLOW_END : FLOW_MORE;
}

static enum flow
end(struct sink *sink, const struct fields *trailers)
{
    struct h2_stream *stream = container_of(sink, struct h2_stream, sink);

    if (is_dead(stream))
        return FLOW_FAILED;
    if (!stream->sent_end && !stream->keeps_open) {
        stream->is_ending = true;
        stream->trailers = trailers;
        resume(stream);
    }
    make(stream->session);
    if (is_dead(stream))
        return FLOW_FAILED;
    return stream->sent_end || stream->keeps_open ? FLOW_END : wait_to_send(stream);
}

static enum flow
flush(struct sink *sink)
{
    struct h2_stream *stream = container_of(sink, struct h2_stream, sink);

    return make(stream->session) ? FLOW_MORE : FLOW_FAILED;
}

const struct sink_ops h2_sink_ops = {
    .put = put,
    .end = end,
    .flush = flush,
};
