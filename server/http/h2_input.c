/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_input.c - bytes from the peer to frames, news and content.
 *
 * A stream's window opens as its content is taken. The connection's opens as
 * content arrives, as long as what all streams hold leaves a whole window of
 * the budget: then no sequence of frames makes us hold more than the budget, and
 * a slow stream, which can hold half of it at most, stops nobody else.
 */
#include "config.h"

#include "server/http/h2_io.h"

#include "server/http/h1_reader.h"
#include "server/worker.h"

#include <string.h>

#define READ_BYTES (64u * 1024)
#define TURN_BYTES (256u * 1024)
#define FULL_BYTES (128u * 1024) /* of output: more than content alone comes to */
#define HEAD_FACTOR 4 /* field sections over this many times the limit end the connection */

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

void
h2_stream_drop_content(struct h2_stream *stream)
{
    struct h2_session *session = stream->session;

    if (stream->in.first == NULL)
        return;
    session->held_bytes -= stream->in_bytes;
    stream->in_bytes = 0;
    h2_run_clear(&session->worker->blocks, &stream->in);
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

    session->heads++;
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
    session->head_stream = stream;
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
    h2_stream_add_news(stream, H2_NEWS_CONTENT);
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
    if (stream->is_relay)
        cut(stream); /* section 8.5: nothing but DATA */
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
    h2_stream_add_news(stream, is_first ? H2_NEWS_HEAD : H2_NEWS_CONTENT);
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
                h2_stream_add_news(stream, H2_NEWS_CONTENT);
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
    if (!h2_run_append(&session->worker->blocks, &stream->in, (const char *)data, bytes)) {
        h2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
        h2_stream_add_news(stream, H2_NEWS_CONTENT);
        return 0;
    }
    stream->in_bytes += bytes;
    session->held_bytes += bytes;
    h2_stream_add_news(stream, H2_NEWS_CONTENT);
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
    h2_stream_add_news(stream, H2_NEWS_CLOSED);
    return 0;
}

void
h2_input_register(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
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
    stream->is_left = false;
    if (stream->limit_bytes != NULL && *stream->limit_bytes > 0 &&
        stream->received_bytes > *stream->limit_bytes)
        stream->is_over_limit = true;
    if (stream->is_cut || stream->is_over_limit)
        return FLOW_FAILED;
    if (stream->in.first == NULL) {
        if (stream->saw_end)
            return FLOW_END;
        wait_for_peer(stream);
        return FLOW_WAIT;
    }
    if (stream->in_guard != NULL)
        rate_guard_moved(stream->in_guard, stream->session->conn->loop);
    piece->form = FORM_SLICES;
    piece->count = h2_run_gather(&stream->in, piece->iov, PIECE_SLICES, &piece->bytes);
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
    h2_run_drop(&session->worker->blocks, &stream->in, bytes);
    stream->in_bytes -= bytes;
    session->held_bytes -= bytes;
    if (session->is_over)
        return;
    if (!stream->is_closed && !stream->saw_end)
        nghttp2_session_consume_stream(session->ng, stream->id, bytes);
    give_credit(session);
    h2_session_flush(session);
}

void
h2_stream_refuse_content(struct h2_stream *stream)
{
    stream->is_unwanted = true;
    h2_stream_drop_content(stream);
    h2_session_flush(stream->session);
}

/* Until there is a response, the request may be sent once more. */
static void
cancel(struct source *source)
{
    struct h2_stream *stream = container_of(source, struct h2_stream, source);

    if (stream->in_guard != NULL)
        rate_guard_stop(stream->in_guard);
    stream->is_left = true;
    if (stream->sent_head)
        h2_stream_refuse_content(stream);
}

const struct source_ops h2_source_ops = {
    .offer = offer,
    .take = take,
    .cancel = cancel,
};

void
h2_stream_continue(struct h2_stream *stream)
{
    if (!stream->awaits_continue)
        return;
    stream->awaits_continue = false;
    if (stream->source.pump != NULL && stream->in.first == NULL && !stream->saw_end)
        wait_for_peer(stream);
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
    h2_session_tell_news(session);
    return session->is_over ? FLOW_FAILED : FLOW_MORE;
}

/* Heads are not bounded by any window: whoever asks and does not read the answers
 * is not heard until then. */
bool
h2_session_is_full(const struct h2_session *session)
{
    return session->is_server && session->out_bytes >= FULL_BYTES;
}

enum flow
h2_session_read(struct h2_session *session)
{
    struct worker *worker = session->worker;
    size_t budget = TURN_BYTES;

    while (budget > 0) {
        enum flow flow;
        ssize_t got;

        if (h2_session_is_full(session)) {
            session->is_full = true;
            return FLOW_WAIT;
        }
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
