/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_session.c - the lives of a session and its streams. */
#include "config.h"

#include "server/http/h2_session.h"

#include "server/http/h2_io.h"
#include "server/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- news */

void
h2_session_break_off(struct h2_session *session)
{
    session->is_over = true;
    if (!session->was_told)
        loop_ready(session->conn->loop, &session->task);
}

void
h2_stream_add_news(struct h2_stream *stream, unsigned news)
{
    stream->news |= (uint8_t)news;
    if (!list_is_linked(&stream->news_link))
        list_push_back(&stream->session->news, &stream->news_link);
}

/* Whatever a stream does about its news, it may be gone afterwards, and others
 * with it. */
void
h2_session_tell_news(struct h2_session *session)
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

/* ---- streams */

void
h2_stream_init(struct h2_stream *stream, struct h2_session *session, int32_t id)
{
    *stream = (struct h2_stream){
        .session = session,
        .source.ops = &h2_source_ops,
        .sink.ops = &h2_sink_ops,
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

/* Lines that still come belong to nobody. */
static void
forget_head(struct h2_stream *stream)
{
    if (stream->session->head_stream == stream)
        stream->session->head = NULL;
}

void
h2_stream_fini(struct h2_stream *stream, uint32_t error)
{
    struct h2_session *session = stream->session;

    forget_head(stream);
    list_remove(&stream->link);
    list_remove(&stream->news_link);
    h2_stream_stop_waiting(stream);
    h2_stream_set_active(stream, false);
    h2_stream_drop_content(stream);
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

    forget_head(from);
    list_remove(&from->link);
    list_remove(&from->news_link);
    h2_stream_stop_waiting(from);
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
    nghttp2_data_provider provider = { .read_callback = h2_output_read };
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
    nghttp2_data_provider provider = { .read_callback = h2_output_read };
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
        h2_stream_set_active(stream, !is_end && !stream->keeps_open);
        if (stream->is_left)
            h2_stream_refuse_content(stream);
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
    h2_stream_drop_content(stream);
    nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, stream->id, error);
    h2_session_flush(session);
}

void
h2_stream_set_priority(struct h2_stream *stream, const struct h2_priority *priority)
{
    bool is_waiting = list_is_linked(&stream->wait_link), is_active = stream->is_active;

    h2_stream_stop_waiting(stream);
    h2_stream_set_active(stream, false);
    stream->priority = *priority;
    h2_stream_set_active(stream, is_active);
    if (!is_waiting)
        return;
    list_push_back(&stream->session->waiting[priority->urgency], &stream->wait_link);
    stream->session->waiters++;
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
    h2_input_register(callbacks);
    h2_output_register(callbacks);
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
    task_init(&session->task, h2_output_run);
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
    h2_run_clear(&session->worker->blocks, &session->out);
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
