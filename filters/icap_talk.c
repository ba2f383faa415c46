/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_talk.c - both directions of a connection at once: the server may answer while it is
 * still sent content, and stops reading when nobody reads what it answers.
 *
 * A deadline runs while we wait for the server, not for the content or for who takes it.
 */
#include "config.h"

#include "filters/icap_inside.h"

#include <stdlib.h>

#define IN_BYTES (16u * 1024)
#define OUT_BYTES (32u * 1024) /* framed content that waits to be sent */
#define TURN_FEEDS 16          /* of as much, in one turn */

/* ---- sending */

static void
finish_feed(struct icap_job *job)
{
    icap_put_end(&job->out, false);
    job->feed = ICAP_FEED_NOTHING;
}

static void
feed_held(struct icap_job *job)
{
    while (job->chunk != NULL && job->out.bytes < OUT_BYTES) {
        size_t bytes = job->chunk->bytes - job->chunk_at;

        if (bytes > 0)
            icap_put_chunk(&job->out, job->chunk->data + job->chunk_at, bytes);
        job->sent_bytes += bytes;
        job->chunk = hold_next(job->hold, job->chunk);
        job->chunk_at = 0;
    }
    if (job->chunk == NULL)
        finish_feed(job);
}

/* What the preview had is passed over. */
static size_t
skip_some(struct icap_job *job, const struct piece *piece)
{
    size_t bytes = piece->bytes < job->skip_bytes ? piece->bytes : (size_t)job->skip_bytes;

    job->skip_bytes -= bytes;
    return bytes;
}

static size_t
put_piece(struct icap_job *job, const struct piece *piece)
{
    size_t taken = 0;

    for (unsigned i = 0; i < piece->count && job->out.bytes < OUT_BYTES; i++) {
        size_t bytes = piece->iov[i].iov_len;

        if (bytes > OUT_BYTES)
            bytes = OUT_BYTES;
        icap_put_chunk(&job->out, piece->iov[i].iov_base, bytes);
        taken += bytes;
        if (bytes < piece->iov[i].iov_len)
            break;
    }
    job->sent_bytes += taken;
    return taken;
}

static void
feed_stream(struct icap_job *job)
{
    struct source *original = job->source.inner;
    struct piece piece;
    size_t taken;

    while (job->out.bytes < OUT_BYTES) {
        switch (original->ops->offer(original, FORM_SLICES, &piece)) {
        case FLOW_MORE:
            job->is_consumed = true;
            taken = job->skip_bytes > 0 ? skip_some(job, &piece) : put_piece(job, &piece);
            original->ops->take(original, taken);
            break;
        case FLOW_WAIT:
            return;
        case FLOW_END:
            finish_feed(job);
            return;
        case FLOW_FAILED:
            job->is_cut = true;
            return;
        }
    }
}

static void
feed(struct icap_job *job)
{
    switch (job->feed) {
    case ICAP_FEED_NOTHING:
        return;
    case ICAP_FEED_HELD:
        feed_held(job);
        return;
    case ICAP_FEED_STREAM:
        feed_stream(job);
        return;
    }
}

/* It may have answered before it closed: what it said is still read. */
static void
stop_sending(struct icap_job *job)
{
    job->is_deaf = true;
    if (job->feed == ICAP_FEED_STREAM && job->is_consumed)
        icap_give_up(job->source.inner);
    job->feed = ICAP_FEED_NOTHING;
    job->out.bytes = job->out_at = 0;
}

/* True: everything was sent, there may be more. */
static bool
send_out(struct icap_job *job)
{
    if (job->out.is_failed) {
        job->broken = "out of memory";
        return false;
    }
    while (job->out_at < job->out.bytes) {
        struct iovec iov = { job->out.data + job->out_at, job->out.bytes - job->out_at };
        ssize_t sent = conn_send(&job->connection->conn, &iov, 1, false);

        if (sent == CONN_WAIT)
            return false;
        if (sent < 0) {
            stop_sending(job);
            return false;
        }
        job->out_at += (size_t)sent;
    }
    job->out.bytes = job->out_at = 0;
    return true;
}

/* ---- reading */

static void
note_progress(struct icap_job *job, enum icap_progress progress)
{
    switch (progress) {
    case ICAP_NEED_INPUT:
    case ICAP_ROOM:
        return;
    case ICAP_HEAD:
        job->has_head = true;
        return;
    case ICAP_DONE:
        job->is_done = true;
        return;
    case ICAP_BAD:
        job->broken = job->reader.why;
        return;
    }
}

/* Reads what there is into the buffer, which must be empty. */
static bool
receive(struct icap_job *job)
{
    ssize_t got;

    if (job->in == NULL)
        job->in = malloc(IN_BYTES);
    if (job->in == NULL) {
        job->broken = "out of memory";
        return false;
    }
    got = conn_recv(&job->connection->conn, job->in, IN_BYTES);
    if (got == CONN_WAIT)
        return false;
    if (got <= 0) {
        job->broken = job->was_heard ? "its answer was cut short" : "it closed the connection";
        return false;
    }
    job->was_heard = true;
    job->in_at = 0;
    job->in_end = (size_t)got;
    return true;
}

/* Up to the heads, then up to some content. What comes behind waits for icap_talk_next(). */
static void
read_answer(struct icap_job *job)
{
    while (job->broken == NULL && !job->is_done && job->pending_count == 0) {
        bool had_head = job->has_head;
        size_t consumed;
        enum icap_progress progress =
            icap_read(&job->reader, slice_make(job->in + job->in_at, job->in_end - job->in_at),
                      job->pending, PIECE_SLICES, &job->pending_count, &consumed);

        job->pending_at = 0;
        job->in_at += consumed;
        note_progress(job, progress);
        if (job->has_head && !had_head && !job->reads_on)
            return;
        if (progress == ICAP_NEED_INPUT && job->pending_count == 0 && !receive(job))
            return;
    }
}

/* ---- the connection */

static bool
waits_for_server(const struct icap_job *job)
{
    if (job->broken != NULL || job->is_cut || job->is_done || job->pending_count > 0 ||
        (job->has_head && !job->reads_on))
        return false;
    return job->out_at < job->out.bytes || job->feed == ICAP_FEED_NOTHING;
}

void
icap_talk(struct icap_job *job)
{
    bool is_idle = true;
    uint64_t moved;
    struct conn *conn;

    if (job->connection == NULL || job->broken != NULL)
        return;
    conn = &job->connection->conn;
    moved = conn->sent_bytes + conn->received_bytes;
    for (unsigned i = 0; i < TURN_FEEDS; i++) {
        if (job->out.bytes == 0)
            feed(job);
        is_idle = job->out.bytes == 0; /* nothing to send came */
        if (is_idle || !send_out(job) || job->is_cut)
            break;
    }
    if (job->out.bytes == 0 && job->feed != ICAP_FEED_NOTHING && !is_idle)
        loop_ready(conn->loop, &job->task); /* the others' turn */
    if (!job->has_head || job->reads_on)
        read_answer(job);
    if (!waits_for_server(job))
        timer_disarm(&conn->timer);
    else if (!timer_is_armed(&conn->timer) || conn->sent_bytes + conn->received_bytes != moved)
        timer_arm(conn->loop, &conn->timer, job->conf->timeout_ms);
}

/* Whether who asked has to look. */
static bool
has_news(const struct icap_job *job)
{
    return job->broken != NULL || job->is_cut || job->has_head;
}

static void
tell(struct icap_job *job)
{
    if (job->source.pump != NULL)
        pump_source_ready(job->source.pump);
    else if (!job->is_content && has_news(job))
        job->ex->road->on_resume(job->ex);
}

/* While content is held, or nobody reads what is sent on or comes back, it waits: without a
 * pump the original may be gone. */
static void
on_ready(struct conn *conn)
{
    struct icap_job *job = container_of(conn, struct service_connection, conn)->owner;

    if (job->source.pump == NULL) {
        if (job->is_content || job->feed == ICAP_FEED_STREAM || icap_pump(job)->is_running)
            return;
        icap_talk(job);
    }
    tell(job);
}

static void
on_turn(struct task *task)
{
    struct icap_job *job = container_of(task, struct icap_job, task);

    on_ready(&job->connection->conn);
}

static void
on_timeout(struct timer *timer)
{
    struct icap_job *job = container_of(timer, struct service_connection, conn.timer)->owner;

    job->broken = "it took too long";
    tell(job);
}

void
icap_talk_next(struct icap_job *job)
{
    icap_reader_fini(&job->reader);
    icap_reader_init(&job->reader, &job->ex->arena);
    job->has_head = job->is_done = job->reads_on = false;
    job->pending_count = job->pending_at = 0;
}

void
icap_talk_begin(struct icap_job *job)
{
    task_init(&job->task, on_turn);
    job->connection->owner = job;
    job->connection->conn.on_ready = on_ready;
    job->connection->conn.timer.on_due = on_timeout;
    job->broken = NULL;
    job->was_heard = job->was_asked = job->is_deaf = false;
    job->feed = ICAP_FEED_NOTHING;
    job->sent_bytes = 0;
    job->out.bytes = job->out_at = 0;
    job->out.is_failed = false;
    job->in_at = job->in_end = 0;
    icap_talk_next(job);
}

void
icap_talk_end(struct icap_job *job)
{
    struct service_connection *connection = job->connection;
    bool is_clean = job->is_done && job->broken == NULL && !job->is_deaf && !job->is_cut &&
                    job->feed == ICAP_FEED_NOTHING && job->out.bytes == 0 &&
                    job->in_at == job->in_end && !job->reader.reply.is_last;

    if (connection == NULL)
        return;
    job->connection = NULL;
    task_cancel(&job->task);
    timer_disarm(&connection->conn.timer);
    if (is_clean)
        service_keep(connection, &job->conf->service);
    else
        service_drop(connection);
}

/* ---- content that is held */

void
icap_talk_preview(struct icap_job *job, uint64_t bytes)
{
    const struct hold_chunk *chunk = hold_next(job->hold, NULL);

    for (; chunk != NULL && job->sent_bytes < bytes; chunk = hold_next(job->hold, chunk)) {
        uint64_t left = bytes - job->sent_bytes;
        size_t part = chunk->bytes < left ? chunk->bytes : (size_t)left;

        if (part > 0)
            icap_put_chunk(&job->out, chunk->data, part);
        job->sent_bytes += part;
    }
    job->has_preview = job->hold->state != HOLD_WHOLE || job->sent_bytes < job->hold->bytes;
    icap_put_end(&job->out, !job->has_preview);
}

void
icap_talk_feed(struct icap_job *job)
{
    uint64_t skip = job->sent_bytes;

    if (job->hold->state != HOLD_WHOLE) {
        job->source.inner = hold_source(job->hold);
        job->skip_bytes = skip;
        job->feed = ICAP_FEED_STREAM;
        return;
    }
    job->chunk = hold_next(job->hold, NULL);
    while (job->chunk != NULL && skip >= job->chunk->bytes) {
        skip -= job->chunk->bytes;
        job->chunk = hold_next(job->hold, job->chunk);
    }
    job->chunk_at = (size_t)skip;
    job->feed = ICAP_FEED_HELD;
}
