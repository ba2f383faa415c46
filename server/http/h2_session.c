/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_session.c - frames in, news out; pieces in, frames out.
 *
 * Output. A put hands its piece to nghttp2's read callback, which copies what the
 * windows and the room allow right behind the place of the frame's header. So
 * heads and small content are in the output when put returns, their exchange may
 * end, and everything made in a turn leaves in one call at its end.
 *
 *     put --> piece --+                       +--> waiting[urgency] --(room)--> put
 *                     nghttp2 --> frames --> out --> socket
 *     (window opens) -+--> waiting
 *
 * Credit. A stream's window opens as its content is taken. The connection's opens
 * as content arrives, as long as what all streams hold leaves a whole window of
 * the budget: then no sequence of frames makes us hold more than the budget, and
 * a slow stream, which can hold half of it at most, stops nobody else.
 */
#include "config.h"

#include "server/http/h2_session.h"

#include "server/http/h1_reader.h"
#include "server/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define OUT_BYTES (64u * 1024)    /* of frames with content that wait for the socket */
#define QUANTUM_BYTES 16384u      /* of content, where streams share */
#define SEND_SLICES 32
#define READ_BYTES (64u * 1024)
#define TURN_BYTES (256u * 1024)
#define FRAME_HEAD_BYTES 9u
#define CONNECTION_WINDOW_BYTES 65535u /* that every connection starts with */
#define WINDOW_MAX ((1u << 31) - 1)
#define HEAD_FACTOR 4 /* field sections over this many times the limit end the connection */

struct h2_block {
    struct h2_block *next;
    uint32_t at, end; /* of data in use */
    char data[BLOCK_BYTES - 16];
};

_Static_assert(sizeof(struct h2_block) == BLOCK_BYTES, "a block of the pool");

static struct h2_session *
of_task(struct task *task)
{
    return container_of(task, struct h2_session, task);
}

/* ---- runs of blocks */

static struct h2_block *
add_block(struct worker *worker, struct h2_block **first, struct h2_block **last)
{
    struct h2_block *block = block_take(&worker->blocks);

    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->at = block->end = 0;
    if (*first == NULL)
        *first = block;
    else
        (*last)->next = block;
    *last = block;
    return block;
}

static bool
append(struct worker *worker, struct h2_block **first, struct h2_block **last, const char *data,
       size_t bytes)
{
    struct h2_block *block = *first != NULL ? *last : NULL;

    while (bytes > 0) {
        size_t here;

        if (block == NULL || block->end == sizeof(block->data))
            block = add_block(worker, first, last);
        if (block == NULL)
            return false;
        here = sizeof(block->data) - block->end;
        if (here > bytes)
            here = bytes;
        memcpy(block->data + block->end, data, here);
        block->end += (uint32_t)here;
        data += here;
        bytes -= here;
    }
    return true;
}

static unsigned
gather(struct h2_block *block, struct iovec *iov, unsigned room, size_t *bytes)
{
    unsigned count = 0;

    *bytes = 0;
    for (; block != NULL && count < room; block = block->next) {
        iov[count].iov_base = block->data + block->at;
        iov[count].iov_len = block->end - block->at;
        *bytes += iov[count++].iov_len;
    }
    return count;
}

static void
drop(struct worker *worker, struct h2_block **first, size_t bytes)
{
    while (bytes > 0) {
        struct h2_block *block = *first;
        size_t here = block->end - block->at;

        if (bytes < here) {
            block->at += (uint32_t)bytes;
            return;
        }
        bytes -= here;
        *first = block->next;
        block_give(&worker->blocks, block);
    }
}

static void
drop_all(struct worker *worker, struct h2_block **first)
{
    while (*first != NULL) {
        struct h2_block *block = *first;

        *first = block->next;
        block_give(&worker->blocks, block);
    }
}

/* ---- news */

static void
break_off(struct h2_session *session)
{
    session->is_over = true;
    if (!session->was_told)
        loop_ready(session->conn->loop, &session->task);
}

static void
add_news(struct h2_stream *stream, unsigned news)
{
    stream->news |= (uint8_t)news;
    if (!list_is_linked(&stream->news_link))
        list_push_back(&stream->session->news, &stream->news_link);
}

/* Whatever a stream does about its news, it may be gone afterwards, and others
 * with it. */
static void
tell_news(struct h2_session *session)
{
    while (!session->is_over && !list_is_empty(&session->news)) {
        struct h2_stream *stream = container_of(session->news.next, struct h2_stream, news_link);
        unsigned news = stream->news;

        list_remove(&stream->news_link);
        stream->news = 0;
        session->ops->on_news(stream, news);
    }
}

struct h2_stream *
h2_session_stream(const struct h2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session->ng, id);
}

/* ---- credit */

static void
give_credit(struct h2_session *session)
{
    uint64_t kept = session->held_bytes > session->free_held_bytes
                        ? session->held_bytes - session->free_held_bytes : 0;

    if (session->owed_bytes <= kept)
        return;
    nghttp2_session_consume_connection(session->ng, (size_t)(session->owed_bytes - kept));
    session->owed_bytes = kept;
}

static void
drop_content(struct h2_stream *stream)
{
    struct h2_session *session = stream->session;

    if (stream->in == NULL)
        return;
    session->held_bytes -= stream->in_bytes;
    stream->in_bytes = 0;
    drop_all(session->worker, &stream->in);
    if (!session->is_over)
        give_credit(session);
}

/* ---- what nghttp2 calls while it reads */

/* RFC 9113 section 6.9.2: new SETTINGS may make some window too large. nghttp2
 * resets that stream, where the connection has to end. */
static int
on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *frame, void *arg)
{
    struct h2_session *session = arg;

    if (frame->type != NGHTTP2_SETTINGS || (frame->flags & NGHTTP2_FLAG_ACK))
        return 0;
    session->widest = 0;
    list_each(link, &session->streams) {
        struct h2_stream *stream = container_of(link, struct h2_stream, link);
        int32_t window = nghttp2_session_get_stream_remote_window_size(ng, stream->id);

        if (window > session->widest)
            session->widest = window;
    }
    return 0;
}

static void
check_window(struct h2_session *session, const nghttp2_settings *settings)
{
    for (size_t i = 0; i < settings->niv; i++) {
        int64_t change;

        if (settings->iv[i].settings_id != NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE)
            continue;
        change = (int64_t)settings->iv[i].value - session->peer_window;
        session->peer_window = (int32_t)settings->iv[i].value;
        if (session->widest + change > WINDOW_MAX)
            nghttp2_session_terminate_session(session->ng, NGHTTP2_FLOW_CONTROL_ERROR);
        else
            session->widest += (int32_t)change;
    }
}

static int
on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *session = arg;
    int32_t id = frame->hd.stream_id;
    struct h2_stream *stream;

    if (session->is_server && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream = session->ops->on_open(session, id);
        if (stream == NULL) {
            session->head = NULL;
            return nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
        }
        nghttp2_session_set_stream_user_data(ng, id, stream);
    } else {
        stream = h2_session_stream(session, id);
    }
    session->head_of = stream;
    session->head = stream != NULL && !stream->is_cut
                        ? session->ops->on_head_begin(stream, !stream->has_head) : NULL;
    return 0;
}

static int
on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
          const uint8_t *value, size_t value_bytes, uint8_t flags, void *arg)
{
    struct h2_session *session = arg;
    struct h2_head *head = session->head;

    (void)frame;
    (void)flags;
    if (head == NULL)
        return 0;
    h2_head_add(head, slice_make((const char *)name, name_bytes),
                slice_make((const char *)value, value_bytes));
    if (unlikely(head->bytes > (uint64_t)head->limits->head_bytes * HEAD_FACTOR)) {
        session->head = NULL; /* a few bytes on the wire become kilobytes here */
        nghttp2_session_terminate_session(ng, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

/* Against the rules: the stream's sender has failed. */
static void
cut(struct h2_stream *stream)
{
    h2_stream_reset(stream, NGHTTP2_PROTOCOL_ERROR);
    add_news(stream, H2_NEWS_CONTENT);
}

static void
take_end(struct h2_stream *stream)
{
    stream->saw_end = true;
    if (stream->length != LENGTH_UNKNOWN && stream->received_bytes != stream->length)
        cut(stream); /* RFC 9113 section 8.1.1 */
}

/* RFC 9113 section 5.3.1 left to its predecessor what this means: an error. */
static bool
depends_on_itself(const nghttp2_frame *frame)
{
    return (frame->hd.flags & NGHTTP2_FLAG_PRIORITY) != 0 &&
           frame->headers.pri_spec.stream_id == frame->hd.stream_id;
}

static void
on_head(struct h2_session *session, struct h2_stream *stream, const nghttp2_frame *frame)
{
    bool is_first = !stream->has_head;
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    stream->wire_in += frame->hd.length + FRAME_HEAD_BYTES;
    if (session->head == NULL)
        return;
    session->head = NULL;
    stream->saw_end = is_end;
    if (!session->ops->on_head(stream, is_first) || depends_on_itself(frame)) {
        cut(stream);
        return;
    }
    if (is_end && !is_first)
        take_end(stream);
    add_news(stream, is_first ? H2_NEWS_HEAD : H2_NEWS_CONTENT);
}

static void
on_priority_update(struct h2_session *session, const nghttp2_frame *frame)
{
    const nghttp2_ext_priority_update *update = frame->ext.payload;
    struct h2_stream *stream = h2_session_stream(session, update->stream_id);
    struct h2_priority priority;

    if (stream == NULL)
        return; /* not opened yet: its own field will say */
    priority = (struct h2_priority){ 3, false };
    h2_priority_parse(slice_make((const char *)update->field_value, update->field_value_len),
                      &priority);
    h2_stream_set_priority(stream, &priority);
}

static int
on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *session = arg;
    struct h2_stream *stream;

    (void)ng;
    if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
        stream = h2_session_stream(session, frame->hd.stream_id);
        if (stream != NULL && frame->hd.type == NGHTTP2_HEADERS) {
            on_head(session, stream, frame);
        } else if (stream != NULL) {
            stream->wire_in += FRAME_HEAD_BYTES;
            if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
                take_end(stream);
                add_news(stream, H2_NEWS_CONTENT);
            }
        }
    } else if (frame->hd.type == NGHTTP2_PRIORITY_UPDATE) {
        on_priority_update(session, frame);
    } else if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        check_window(session, &frame->settings);
    }
    if (session->ops->on_frame != NULL)
        session->ops->on_frame(session, frame);
    return 0;
}

static int
on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t bytes,
        void *arg)
{
    struct h2_session *session = arg;
    struct h2_stream *stream = h2_session_stream(session, id);

    (void)flags;
    if (stream == NULL || stream->is_unwanted || stream->is_cut)
        return nghttp2_session_consume_connection(ng, bytes);
    stream->received_bytes += bytes;
    stream->wire_in += bytes;
    session->owed_bytes += bytes;
    if (stream->length != LENGTH_UNKNOWN && stream->received_bytes > stream->length) {
        cut(stream);
        return 0;
    }
    if (!append(session->worker, &stream->in, &stream->in_last, (const char *)data, bytes)) {
        h2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
        add_news(stream, H2_NEWS_CONTENT);
        return 0;
    }
    stream->in_bytes += bytes;
    session->held_bytes += bytes;
    add_news(stream, H2_NEWS_CONTENT);
    return 0;
}

/* Called while it reads and while it makes frames. */
static int
on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
    const struct h2_session *session = arg;
    struct h2_stream *stream = h2_session_stream(session, id);

    (void)ng;
    if (stream == NULL)
        return 0;
    stream->is_closed = true;
    stream->error = error;
    if (stream->saw_end && stream->sent_end && error == NGHTTP2_NO_ERROR)
        return 0; /* as it should be */
    /* A server that has answered may decline the rest of the request: what it
     * said counts (RFC 9113 section 8.1). */
    stream->is_cut = session->is_server || !stream->saw_end || error != NGHTTP2_NO_ERROR;
    add_news(stream, H2_NEWS_CLOSED);
    return 0;
}

/* ---- whose turn it is */

static void
set_active(struct h2_stream *stream, bool is_active)
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
    struct h2_block *block = session->out != NULL ? session->out_last : NULL;

    if (block == NULL || sizeof(block->data) - block->end < FRAME_HEAD_BYTES)
        block = add_block(session->worker, &session->out, &session->out_last);
    if (block == NULL)
        return false;
    session->data_head = block->data + block->end;
    block->end += FRAME_HEAD_BYTES;
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
        if (!append(session->worker, &session->out, &session->out_last,
                    (const char *)piece->iov[i].iov_base + skip, here))
            return false;
        skip = 0;
        left -= here;
    }
    session->out_bytes += (uint32_t)bytes;
    stream->piece_taken += bytes;
    stream->sent_bytes += bytes;
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

/* The content is whole with what is made now. */
static bool
end_content(struct h2_stream *stream, uint32_t *flags)
{
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->keeps_open) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        return true;
    }
    stream->sent_end = true;
    set_active(stream, false);
    if (stream->trailers == NULL || stream->trailers->count == 0)
        return true;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return submit_trailers(stream);
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

static ssize_t
read_content(nghttp2_session *ng, int32_t id, uint8_t *buffer, size_t room, uint32_t *flags,
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
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (bytes == 0 && (*flags & NGHTTP2_DATA_FLAG_NO_END_STREAM))
        return 0; /* nghttp2 makes no frame of this */
    if (!reserve_data_head(session) || (bytes > 0 && !append_piece(stream, bytes)))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return (ssize_t)bytes;
}

/* What read_content() put into the output follows this header. */
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
        if (!append(session->worker, &session->out, &session->out_last, (const char *)data,
                    (size_t)bytes)) {
            bytes = NGHTTP2_ERR_NOMEM;
            break;
        }
        session->out_bytes += (uint32_t)bytes;
    }
    if (session->output_bytes > 0 && session->control_bytes > session->output_bytes)
        session->is_flooded = true;
    if (bytes < 0 || session->is_flooded) {
        break_off(session);
        return false;
    }
    if (session->out != NULL || !list_is_empty(&session->news))
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
    while (session->out != NULL) {
        struct iovec iov[SEND_SLICES];
        size_t bytes;
        unsigned count = gather(session->out, iov, SEND_SLICES, &bytes);
        ssize_t sent = conn_send(session->conn, iov, (int)count, false);

        if (sent == CONN_WAIT) {
            wait_for_socket(session);
            return FLOW_WAIT;
        }
        if (sent == CONN_FAILED)
            return FLOW_FAILED;
        drop(session->worker, &session->out, (size_t)sent);
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

static void
stop_waiting(struct h2_stream *stream)
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
        stop_waiting(stream);
        stream->turn = session->turn;
        stream->turn_bytes = 0;
        pump_sink_ready(stream->sink.pump);
    }
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

static void
run_task(struct task *task)
{
    struct h2_session *session = of_task(task);
    uint64_t before = session->conn->sent_bytes;
    enum flow flow;

    session->turn++;
    do {
        flow = make(session) ? write_out(session) : FLOW_FAILED;
        if (flow == FLOW_END)
            wake(session);
        tell_news(session);
    } while (flow == FLOW_END && session->out != NULL && !session->is_over &&
             session->conn->sent_bytes - before < TURN_BYTES);
    if (session->is_over || flow == FLOW_FAILED) {
        tell_broken(session);
    } else if (flow == FLOW_END && session->out == NULL && session->waiters == 0 &&
               list_is_empty(&session->news)) {
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

/* ---- a stream's content, from the peer */

static void
wait_for_peer(struct h2_stream *stream)
{
    struct rate_guard *guard = stream->in_guard;
    struct loop *loop = stream->session->conn->loop;

    if (!stream->awaits_continue && guard != NULL && rate_guard_wait(guard, loop))
        rate_guard_begin(guard, loop, stream->received_bytes);
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct h2_stream *stream = container_of(source, struct h2_stream, source);

    (void)forms;
    if (stream->limit_bytes != NULL && *stream->limit_bytes > 0 &&
        stream->received_bytes > *stream->limit_bytes)
        stream->is_over_limit = true;
    if (stream->is_cut || stream->is_over_limit)
        return FLOW_FAILED;
    if (stream->in == NULL) {
        if (stream->saw_end)
            return FLOW_END;
        wait_for_peer(stream);
        return FLOW_WAIT;
    }
    if (stream->in_guard != NULL)
        rate_guard_moved(stream->in_guard, stream->session->conn->loop);
    piece->form = FORM_SLICES;
    piece->count = gather(stream->in, piece->iov, PIECE_SLICES, &piece->bytes);
    piece->is_last = stream->saw_end && source->trailers == NULL &&
                     piece->bytes == stream->in_bytes;
    return FLOW_MORE;
}

static void
take(struct source *source, size_t bytes)
{
    struct h2_stream *stream = container_of(source, struct h2_stream, source);
    struct h2_session *session = stream->session;

    must(bytes <= stream->in_bytes);
    drop(session->worker, &stream->in, bytes);
    stream->in_bytes -= bytes;
    session->held_bytes -= bytes;
    if (session->is_over)
        return;
    if (!stream->is_closed && !stream->saw_end)
        nghttp2_session_consume_stream(session->ng, stream->id, bytes);
    give_credit(session);
    h2_session_flush(session);
}

static void
cancel(struct source *source)
{
    struct h2_stream *stream = container_of(source, struct h2_stream, source);

    stream->is_unwanted = true;
    drop_content(stream);
    h2_session_flush(stream->session);
}

static const struct source_ops source_ops = {
    .offer = offer,
    .take = take,
    .cancel = cancel,
};

/* ---- a stream's content, to the peer */

static bool
is_dead(const struct h2_stream *stream)
{
    return stream->session->is_over || (stream->is_closed && !stream->sent_end);
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

    if (room_for(stream) > 0) {
        struct rate_guard *guard = stream->out_guard;

        if (guard != NULL && rate_guard_wait(guard, session->conn->loop))
            rate_guard_begin(guard, session->conn->loop, stream->sent_bytes);
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

static const struct sink_ops sink_ops = {
    .put = put,
    .end = end,
    .flush = flush,
};

/* ---- streams */

void
h2_stream_init(struct h2_stream *stream, struct h2_session *session, int32_t id)
{
    *stream = (struct h2_stream){
        .session = session,
        .source.ops = &source_ops,
        .sink.ops = &sink_ops,
        .length = LENGTH_UNKNOWN,
        .id = id,
        .priority = { 3, true }, /* unless something else is wished for: to each its share */
    };
    list_init(&stream->link);
    list_init(&stream->news_link);
    list_init(&stream->wait_link);
    list_push_back(&session->streams, &stream->link);
    session->open_streams++;
}

void
h2_stream_fini(struct h2_stream *stream, uint32_t error)
{
    struct h2_session *session = stream->session;

    list_remove(&stream->link);
    list_remove(&stream->news_link);
    stop_waiting(stream);
    drop_content(stream);
    session->open_streams--;
    if (session->head_of == stream)
        session->head = NULL; /* the rest of its lines may come with another read */
    if (session->is_over || stream->id == 0)
        return;
    if (!stream->is_closed) {
        nghttp2_session_set_stream_user_data(session->ng, stream->id, NULL);
        if (!stream->saw_end || !stream->sent_end)
            nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, stream->id, error);
    }
    h2_session_flush(session);
}

void
h2_stream_move(struct h2_stream *to, struct h2_stream *from)
{
    struct h2_session *session = from->session;
    bool has_news = list_is_linked(&from->news_link);

    list_remove(&from->link);
    list_remove(&from->news_link);
    stop_waiting(from);
    *to = *from;
    list_init(&to->link);
    list_push_back(&session->streams, &to->link);
    list_init(&to->news_link);
    list_init(&to->wait_link);
    if (has_news)
        list_push_back(&session->news, &to->news_link);
    to->source.pump = NULL;
    to->source.trailers = NULL;
    to->sink.pump = NULL;
    to->in_guard = to->out_guard = NULL;
    to->limit_bytes = NULL;
    to->trailers = NULL;
    to->arena = NULL;
    if (!to->is_closed && !session->is_over)
        nghttp2_session_set_stream_user_data(session->ng, to->id, to);
}

int
h2_stream_open(struct h2_stream *stream, const struct h2_lines *lines, bool is_end)
{
    struct h2_session *session = stream->session;
    nghttp2_data_provider provider = { .read_callback = read_content };
    int32_t id;

    if (session->is_over || lines->items == NULL)
        return -1;
    id = nghttp2_submit_request(session->ng, NULL, lines->items, lines->count,
                                is_end ? NULL : &provider, stream);
    if (id < 0)
        return -1;
    stream->id = id;
    stream->sent_head = true;
    stream->sent_end = is_end;
    h2_session_flush(session);
    return 0;
}

static int
send_interim(struct h2_stream *stream, const struct h2_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        lines->items[i].flags = NGHTTP2_NV_FLAG_NONE; /* they go when there is a turn */
    return nghttp2_submit_headers(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, NULL,
                                  lines->items, lines->count, NULL);
}

int
h2_stream_send_head(struct h2_stream *stream, const struct h2_lines *lines, bool is_end,
                    bool is_interim)
{
    struct h2_session *session = stream->session;
    nghttp2_data_provider provider = { .read_callback = read_content };
    int rc;

    if (session->is_over || lines->items == NULL)
        return -1;
    if (is_interim) {
        rc = send_interim(stream, lines);
    } else {
        rc = nghttp2_submit_response(session->ng, stream->id, lines->items, lines->count,
                                     is_end ? NULL : &provider);
        stream->sent_head = true;
        stream->sent_end = is_end;
        set_active(stream, !is_end && !stream->keeps_open);
    }
    h2_session_flush(session);
    return rc == 0 ? 0 : -1;
}

void
h2_stream_reset(struct h2_stream *stream, uint32_t error)
{
    struct h2_session *session = stream->session;

    if (session->is_over || stream->is_closed || stream->is_cut)
        return;
    stream->is_cut = true;
    drop_content(stream);
    nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, stream->id, error);
    h2_session_flush(session);
}

void
h2_stream_continue(struct h2_stream *stream)
{
    if (!stream->awaits_continue)
        return;
    stream->awaits_continue = false;
    if (stream->source.pump != NULL && stream->in == NULL && !stream->saw_end)
        wait_for_peer(stream);
}

void
h2_stream_set_priority(struct h2_stream *stream, const struct h2_priority *priority)
{
    bool is_waiting = list_is_linked(&stream->wait_link), is_active = stream->is_active;

    stop_waiting(stream);
    set_active(stream, false);
    stream->priority = *priority;
    set_active(stream, is_active);
    if (!is_waiting)
        return;
    list_push_back(&stream->session->waiting[priority->urgency], &stream->wait_link);
    stream->session->waiters++;
}

/* ---- reading */

static void
tell_frame(struct h2_session *session)
{
    const uint8_t *head = (const uint8_t *)session->frame_head;
    const nghttp2_frame_hd frame = {
        .length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2],
        .type = head[3],
        .flags = head[4],
        .stream_id = (int32_t)((head[5] & 0x7fu) << 24 | (uint32_t)head[6] << 16 |
                               (uint32_t)head[7] << 8 | head[8]),
    };

    session->walked = 0;
    session->frame_left = (uint32_t)frame.length;
    session->ops->on_frame_begin(session, &frame);
}

/* From one frame's header to the next: nghttp2 passes over some in silence. */
static void
walk(struct h2_session *session, struct slice bytes)
{
    while (bytes.bytes > 0) {
        size_t here = session->frame_left < bytes.bytes ? session->frame_left : bytes.bytes;

        session->frame_left -= (uint32_t)here;
        bytes = slice_skip(bytes, here);
        here = FRAME_HEAD_BYTES - session->walked;
        if (here > bytes.bytes)
            here = bytes.bytes;
        if (here > 0)
            memcpy(session->frame_head + session->walked, bytes.data, here);
        session->walked += (uint32_t)here;
        bytes = slice_skip(bytes, here);
        if (session->walked == FRAME_HEAD_BYTES)
            tell_frame(session);
    }
}

enum flow
h2_session_feed(struct h2_session *session, struct slice bytes)
{
    ssize_t used;

    if (session->is_over)
        return FLOW_FAILED;
    if (session->ops->on_frame_begin != NULL)
        walk(session, bytes);
    used = nghttp2_session_mem_recv(session->ng, (const uint8_t *)bytes.data, bytes.bytes);
    if (used < 0)
        return FLOW_FAILED;
    give_credit(session);
    h2_session_flush(session);
    tell_news(session);
    return session->is_over ? FLOW_FAILED : FLOW_MORE;
}

enum flow
h2_session_read(struct h2_session *session)
{
    struct worker *worker = session->worker;
    size_t budget = TURN_BYTES;

    while (budget > 0) {
        enum flow flow;
        ssize_t got;

        if (worker->in_owner != NULL)
            h1_reader_keep(worker->in_owner); /* if it cannot, its next offer says so */
        got = conn_recv(session->conn, worker->in, READ_BYTES);
        if (got == CONN_WAIT)
            return FLOW_WAIT;
        if (got <= 0)
            return got == 0 ? FLOW_END : FLOW_FAILED;
        flow = h2_session_feed(session, slice_make(worker->in, (size_t)got));
        if (flow != FLOW_MORE)
            return flow;
        budget -= (size_t)got < budget ? (size_t)got : budget;
    }
    return FLOW_MORE;
}

bool
h2_session_is_done(const struct h2_session *session)
{
    return session->is_over || (nghttp2_session_want_read(session->ng) == 0 &&
                                nghttp2_session_want_write(session->ng) == 0);
}

/* ---- the session */

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

/* Made once for all threads, and only read afterwards. */
static void
make_shared(void)
{
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0)
        return;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, place_data_head);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_made);
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_http_messaging(options, 1); /* h2_fields.c does it, and more */
    nghttp2_option_set_no_closed_streams(options, 1);
    nghttp2_option_set_builtin_recv_extension_type(options, NGHTTP2_PRIORITY_UPDATE);
    /* The owner counts, with limits of the configuration. */
    nghttp2_option_set_max_continuations(options, 100000);
    nghttp2_option_set_max_outbound_ack(options, 100000);
    nghttp2_option_set_stream_reset_rate_limit(options, 1u << 30, 1u << 30);
}

static int
open_ng(struct h2_session *session, bool is_server)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_shared);
    if (options == NULL)
        return -1;
    return is_server ? nghttp2_session_server_new2(&session->ng, callbacks, session, options)
                     : nghttp2_session_client_new2(&session->ng, callbacks, session, options);
}

static uint64_t
at_least(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t
at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int
submit_settings(struct h2_session *session, const struct h2_session_conf *conf)
{
    nghttp2_settings_entry entries[6];
    size_t count = 0;

    if (conf->is_server)
        entries[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                                     conf->streams };
    else
        entries[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 };
    entries[count++] = (nghttp2_settings_entry){
        NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
        (uint32_t)at_most(at_most(conf->window_bytes, conf->buffer_bytes / 2), WINDOW_MAX)
    };
    entries[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                                                 conf->head_bytes };
    if (conf->allows_connect)
        entries[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 };
    if (conf->is_server)
        entries[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 };
    return nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, entries, count);
}

int
h2_session_init(struct h2_session *session, struct worker *worker, struct conn *conn,
                const struct h2_session_ops *ops, const struct h2_session_conf *conf)
{
    uint64_t window = at_most(at_least(conf->buffer_bytes / 2, CONNECTION_WINDOW_BYTES),
                              WINDOW_MAX);

    *session = (struct h2_session){
        .conn = conn,
        .worker = worker,
        .ops = ops,
        .buffer_bytes = conf->buffer_bytes,
        .free_held_bytes = conf->buffer_bytes > window ? conf->buffer_bytes - window : 0,
        .output_bytes = conf->output_bytes,
        .peer_window = CONNECTION_WINDOW_BYTES,
        .frame_left = conf->is_server ? NGHTTP2_CLIENT_MAGIC_LEN : 0,
        .is_server = conf->is_server,
    };
    list_init(&session->streams);
    list_init(&session->news);
    for (unsigned i = 0; i < H2_URGENCIES; i++)
        list_init(&session->waiting[i]);
    task_init(&session->task, run_task);
    if (open_ng(session, conf->is_server) != 0) {
        session->ng = NULL;
        session->is_over = session->was_told = true;
        return -1;
    }
    if (submit_settings(session, conf) != 0 ||
        nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)window) != 0)
        return -1;
    h2_session_flush(session);
    return 0;
}

void
h2_session_close(struct h2_session *session)
{
    session->is_over = session->was_told = true;
    task_cancel(&session->task);
    drop_all(session->worker, &session->out);
    session->out_bytes = 0;
    if (session->guard != NULL)
        rate_guard_stop(session->guard);
    session->guard = NULL;
}

void
h2_session_fini(struct h2_session *session)
{
    h2_session_close(session);
    must(session->open_streams == 0);
    nghttp2_session_del(session->ng);
    session->ng = NULL;
}
