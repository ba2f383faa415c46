/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_writer.c - heads, framing and content onto a connection.
 *
 * What is sent in one call, in this order:
 *
 *     head | frame | slices ... | frame
 *
 * Before the content a frame is a chunk's size line, behind it the chunk's end
 * (and the last chunk). Head and frame are ours and remembered when the socket
 * is full; of the content we only say how much was taken.
 */
#include "config.h"

#include "server/http/h1_writer.h"

#include "server/base/hex.h"
#include "server/http/header.h"
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>

#define TURN_BYTES (512u * 1024)
#define PIPE_BYTES (256u * 1024)

void
h1_writer_init(struct h1_writer *writer, struct conn *conn, struct worker *worker)
{
    writer->conn = conn;
    writer->worker = worker;
    writer->sink.ops = &h1_writer_ops;
}

void
h1_writer_end(struct h1_writer *writer)
{
    if (writer->worker->out_owner == writer)
        writer->worker->out_owner = NULL;
    free(writer->own);
    writer->own = NULL;
    writer->head_bytes = 0;
    writer->frame_bytes = writer->frame_at = 0;
    pipe_give(&writer->worker->pipes, writer->pipe);
    writer->pipe = NULL;
    if (writer->guard != NULL)
        rate_guard_stop(writer->guard);
    writer->guard = NULL;
}

void
h1_writer_fini(struct h1_writer *writer)
{
    h1_writer_end(writer);
}

/* Moves the unsent part of the head to memory of its own. When it is lost
 * instead, nothing may follow: the connection takes no more. */
static bool
keep_head(struct h1_writer *writer)
{
    char *own;

    if (writer->worker->out_owner != writer)
        return true;
    writer->worker->out_owner = NULL;
    if (writer->head_bytes == 0)
        return true;
    own = malloc(writer->head_bytes);
    if (own == NULL) {
        writer->head_bytes = 0;
        writer->conn->error = ENOMEM;
        (void)conn_shutdown(writer->conn);
        return false;
    }
    memcpy(own, writer->head, writer->head_bytes);
    writer->own = own;
    writer->head = own;
    return true;
}

char *
h1_writer_out(struct h1_writer *writer)
{
    struct worker *worker = writer->worker;

    if (worker->out_owner != NULL)
        keep_head(worker->out_owner);
    return worker->out;
}

/* Puts the new head behind the unsent rest of an interim response. */
static bool
append_head(struct h1_writer *writer, size_t head_bytes)
{
    char *both = malloc(writer->head_bytes + head_bytes);

    if (both == NULL)
        return false;
    memcpy(both, writer->head, writer->head_bytes);
    memcpy(both + writer->head_bytes, writer->worker->out, head_bytes);
    free(writer->own);
    writer->own = both;
    writer->head = both;
    writer->head_bytes += (uint32_t)head_bytes;
    return true;
}

int
h1_writer_begin(struct h1_writer *writer, size_t head_bytes, enum h1_framing framing,
                uint64_t length)
{
    writer->framing = (uint8_t)framing;
    writer->left_bytes = framing == H1_LENGTH ? length : 0;
    writer->chunk_bytes = 0;
    writer->content_bytes = 0;
    writer->is_framed = false;
    writer->sink.forms = framing == H1_LENGTH && writer->conn->transport->is_plain
                             ? FORM_SOCKET | FORM_FILE
                             : 0;
    if (writer->head_bytes > 0)
        return append_head(writer, head_bytes) ? 0 : -1;
    writer->worker->out_owner = writer;
    writer->head = writer->worker->out;
    writer->head_bytes = (uint32_t)head_bytes;
    return 0;
}

/* ---- what is ours: head and frame */

static unsigned
gather_own(const struct h1_writer *writer, struct iovec *iov)
{
    unsigned count = 0;

    if (writer->head_bytes > 0)
        iov[count++] = (struct iovec){ (void *)writer->head, writer->head_bytes };
    if (writer->frame_at < writer->frame_bytes)
        iov[count++] = (struct iovec){ (void *)(writer->frame + writer->frame_at),
                                       (size_t)(writer->frame_bytes - writer->frame_at) };
    return count;
}

/* n bytes were sent. Returns how many of them were not ours. */
static size_t
take_own(struct h1_writer *writer, size_t n)
{
    size_t here = n < writer->head_bytes ? n : writer->head_bytes;

    writer->head += here;
    writer->head_bytes -= (uint32_t)here;
    n -= here;
    if (writer->head_bytes == 0) {
        if (writer->worker->out_owner == writer)
            writer->worker->out_owner = NULL;
        free(writer->own);
        writer->own = NULL;
    }
    here = (size_t)(writer->frame_bytes - writer->frame_at);
    if (n < here)
        here = n;
    writer->frame_at = (uint8_t)(writer->frame_at + here);
    if (writer->frame_at == writer->frame_bytes)
        writer->frame_at = writer->frame_bytes = 0;
    return n - here;
}

static void
moved(struct h1_writer *writer)
{
    if (writer->guard != NULL)
        rate_guard_moved(writer->guard, writer->conn->loop);
}

static enum flow
wait_for_room(struct h1_writer *writer)
{
    if (!keep_head(writer))
        return FLOW_FAILED;
    if (writer->guard != NULL && rate_guard_wait(writer->guard, writer->conn->loop))
        rate_guard_begin(writer->guard, writer->conn->loop, conn_taken_bytes(writer->conn));
    return FLOW_WAIT;
}

/* more: content follows at once. */
static enum flow
flush_own(struct h1_writer *writer, bool more)
{
    while (writer->head_bytes > 0 || writer->frame_at < writer->frame_bytes) {
        struct iovec iov[2];
        unsigned count = gather_own(writer, iov);
        ssize_t sent = conn_send(writer->conn, iov, (int)count, more);

        if (sent == CONN_FAILED)
            return FLOW_FAILED;
        if (sent == CONN_WAIT)
            return wait_for_room(writer);
        take_own(writer, (size_t)sent);
    }
    return FLOW_END;
}

static bool
is_pipe_empty(const struct h1_writer *writer)
{
    return writer->pipe == NULL || writer->pipe->fill_bytes == 0;
}

/* What is in the pipe, and what is ours in front of it. */
static enum flow
flush_pipe(struct h1_writer *writer)
{
    while (!is_pipe_empty(writer)) {
        enum flow flow = flush_own(writer, true);
        ssize_t sent;

        if (flow != FLOW_END)
            return flow;
        sent = conn_splice_out(writer->conn, writer->pipe, writer->pipe->fill_bytes, false);
        if (sent == CONN_FAILED)
            return FLOW_FAILED;
        if (sent == CONN_WAIT)
            return wait_for_room(writer);
    }
    return FLOW_END;
}

enum flow
h1_writer_flush(struct h1_writer *writer)
{
    enum flow flow = flush_pipe(writer);

    if (flow == FLOW_END)
        flow = flush_own(writer, false);
    if (flow == FLOW_END)
        moved(writer);
    return flow;
}

bool
h1_writer_is_empty(const struct h1_writer *writer)
{
    return writer->head_bytes == 0 && writer->frame_at == writer->frame_bytes &&
           is_pipe_empty(writer);
}

/* ---- content */

/* "1a2b\r\n" behind what is in the frame. */
static void
frame_size_line(struct h1_writer *writer, uint64_t bytes)
{
    char *at = hex_put_number(writer->frame + writer->frame_bytes, bytes);

    *at++ = '\r';
    *at++ = '\n';
    writer->frame_bytes = (uint8_t)(at - writer->frame);
}

static const char chunk_end[] = "\r\n0\r\n\r\n";
#define CHUNK_END_BYTES 2
#define LAST_CHUNK_END_BYTES 7

/* The first bytes of the piece's slices, at most room of them. */
static unsigned
gather_content(const struct piece *piece, struct iovec *iov, uint64_t room)
{
    unsigned count = 0;

    while (count < piece->count && room > 0) {
        iov[count] = piece->iov[count];
        if (iov[count].iov_len > room)
            iov[count].iov_len = (size_t)room;
        room -= iov[count].iov_len;
        count++;
    }
    return count;
}

/* Behind the content: the end of the chunk, when all of it goes out now. */
static size_t
chunk_tail(const struct h1_writer *writer, const struct piece *piece)
{
    if (writer->framing != H1_CHUNKED || writer->chunk_bytes > piece->bytes)
        return 0;
    return piece->is_last && writer->chunk_bytes == piece->bytes ? LAST_CHUNK_END_BYTES
                                                                 : CHUNK_END_BYTES;
}

/* So much of the tail was sent; the rest goes first next time. */
static void
keep_tail(struct h1_writer *writer, size_t tail, size_t sent)
{
    memcpy(writer->frame, chunk_end + sent, tail - sent);
    writer->frame_at = 0;
    writer->frame_bytes = (uint8_t)(tail - sent);
    if (tail == LAST_CHUNK_END_BYTES)
        writer->is_framed = true;
}

/* What the next call sends, in parts. */
struct load {
    struct iovec iov[PIECE_SLICES + 3];
    unsigned count;
    size_t ours, content, tail; /* bytes: head and frame, of the piece, chunk end */
};

/* Small content is copied behind the head, which lies in a buffer with room:
 * one plain send() costs the kernel less than gathering. */
#define COPY_BYTES 4096u

static void
merge(struct h1_writer *writer, struct load *load)
{
    char *at;

    if (writer->worker->out_owner != writer || load->content > COPY_BYTES ||
        writer->head + load->ours + load->content + load->tail >
            writer->worker->out + SCRATCH_BYTES)
        return;
    at = (char *)writer->head + writer->head_bytes;
    for (unsigned i = 1; i < load->count; i++)
        at = mempcpy(at, load->iov[i].iov_base, load->iov[i].iov_len);
    load->iov[0].iov_len = (size_t)(at - writer->head);
    load->count = 1;
}

/* Whether the end of the chunk before is still to be sent; then its size line
 * cannot be followed by that of another. */
static bool
begin_chunk(struct h1_writer *writer, const struct piece *piece)
{
    if (writer->chunk_bytes > 0)
        return true;
    if (writer->frame_bytes > 0)
        return false;
    writer->chunk_bytes = piece->bytes;
    frame_size_line(writer, piece->bytes);
    return true;
}

static void
gather(const struct h1_writer *writer, const struct piece *piece, uint64_t room,
       struct load *load)
{
    load->content = piece->bytes < room ? piece->bytes : (size_t)room;
    load->count = gather_own(writer, load->iov);
    load->ours = writer->head_bytes + (size_t)(writer->frame_bytes - writer->frame_at);
    load->count += gather_content(piece, load->iov + load->count, load->content);
    load->tail = chunk_tail(writer, piece);
    if (load->tail > 0)
        load->iov[load->count++] = (struct iovec){ (void *)chunk_end, load->tail };
}

/* Whether the load, merged with our head, may wait there for what comes next:
 * content that goes through a pipe. Held back with it, it costs no segments of
 * its own, and the peer is woken once. */
static bool
may_hold(const struct h1_writer *writer, const struct load *load)
{
    return load->count == 1 && (writer->sink.forms & FORM_SOCKET) &&
           writer->worker->out_owner == writer &&
           writer->left_bytes - load->content >= SPLICE_MIN_BYTES;
}

static enum flow
hold(struct h1_writer *writer, const struct load *load, size_t *taken)
{
    writer->head_bytes += (uint32_t)load->content;
    writer->left_bytes -= load->content;
    writer->content_bytes += load->content;
    *taken = load->content;
    return FLOW_MORE;
}

/* So many bytes of the load were sent: returns those of the content. */
static size_t
account(struct h1_writer *writer, const struct load *load, size_t sent)
{
    size_t rest = take_own(writer, sent);
    size_t taken = rest < load->content ? rest : load->content;

    writer->content_bytes += taken;
    if (writer->framing == H1_LENGTH)
        writer->left_bytes -= taken;
    if (writer->framing == H1_CHUNKED)
        writer->chunk_bytes -= taken;
    if (taken == load->content && load->tail > 0)
        keep_tail(writer, load->tail, rest - load->content);
    return taken;
}

static bool
is_end(const struct h1_writer *writer, const struct piece *piece, size_t taken)
{
    if (writer->framing == H1_LENGTH)
        return writer->left_bytes == 0;
    return piece->is_last && taken == piece->bytes;
}

static enum flow
put_slices(struct h1_writer *writer, const struct piece *piece, size_t *taken)
{
    uint64_t room = writer->framing == H1_LENGTH ? writer->left_bytes : UINT64_MAX;
    struct load load;
    ssize_t sent;

    if (piece->bytes > room)
        return FLOW_FAILED; /* more than was announced: it cannot be framed */
    if (writer->framing == H1_CHUNKED) {
        if (!begin_chunk(writer, piece)) {
            enum flow flow = flush_own(writer, false);

            return flow == FLOW_END ? FLOW_MORE : flow;
        }
        room = writer->chunk_bytes;
    }
    gather(writer, piece, room, &load);
    merge(writer, &load);
    if (may_hold(writer, &load))
        return hold(writer, &load, taken);
    sent = conn_send(writer->conn, load.iov, (int)load.count, false);
    if (sent == CONN_FAILED)
        return FLOW_FAILED;
    if (sent == CONN_WAIT)
        return wait_for_room(writer);
    *taken = account(writer, &load, (size_t)sent);
    if ((size_t)sent < load.ours + load.content + load.tail) /* TLS takes a record at a time */
        return writer->conn->may_write ? FLOW_MORE : wait_for_room(writer);
    moved(writer);
    return is_end(writer, piece, *taken) ? FLOW_END : FLOW_MORE;
}

/* From socket to socket. The pipe is filled before the head leaves, so that the
 * two make one run of segments. A pipe that is not to be had turns this form off. */
static enum flow
put_socket(struct h1_writer *writer, const struct piece *piece, size_t *taken)
{
    enum flow flow;

    if (piece->bytes > writer->left_bytes)
        return FLOW_FAILED;
    if (writer->pipe == NULL)
        writer->pipe = pipe_take(&writer->worker->pipes, PIPE_BYTES);
    if (writer->pipe == NULL) {
        writer->sink.forms &= ~(unsigned)FORM_SOCKET;
        return FLOW_MORE;
    }
    flow = flush_pipe(writer);
    while (flow == FLOW_END && *taken < piece->bytes && *taken < TURN_BYTES) {
        size_t want = piece->bytes - *taken;
        ssize_t got;

        if (want > writer->pipe->room_bytes)
            want = writer->pipe->room_bytes;
        got = conn_splice_in(piece->conn, writer->pipe, want);
        if (got <= 0)
            return FLOW_MORE; /* the source says what that means */
        *taken += (size_t)got;
        writer->left_bytes -= (size_t)got;
        writer->content_bytes += (size_t)got;
        flow = flush_pipe(writer);
    }
    if (flow == FLOW_END)
        moved(writer);
    return flow == FLOW_END && writer->left_bytes > 0 ? FLOW_MORE : flow;
}

/* From a file, behind what is ours. A file that cannot be sent turns this form
 * off: its source then reads it, and says what is wrong. */
static enum flow
put_file(struct h1_writer *writer, const struct piece *piece, size_t *taken)
{
    size_t bytes = piece->bytes < TURN_BYTES ? piece->bytes : TURN_BYTES;
    enum flow flow;

    if (piece->bytes > writer->left_bytes)
        return FLOW_FAILED;
    flow = flush_own(writer, true);
    if (flow != FLOW_END)
        return flow;
    while (*taken < bytes) {
        ssize_t sent = conn_sendfile(writer->conn, piece->fd, piece->offset + (off_t)*taken,
                                     bytes - *taken);

        if (sent == CONN_FAILED)
            return FLOW_FAILED;
        if (sent == CONN_WAIT)
            return wait_for_room(writer);
        if (sent == 0) {
            writer->sink.forms &= ~(unsigned)FORM_FILE;
            return FLOW_MORE;
        }
        *taken += (size_t)sent;
        writer->left_bytes -= (size_t)sent;
        writer->content_bytes += (size_t)sent;
    }
    moved(writer);
    return writer->left_bytes > 0 ? FLOW_MORE : FLOW_END;
}

/* Others may need it while the rest of the content, or the answer to it, is on
 * its way. */
static void
give_back_pipe(struct h1_writer *writer)
{
    if (!is_pipe_empty(writer))
        return;
    pipe_give(&writer->worker->pipes, writer->pipe);
    writer->pipe = NULL;
}

static enum flow
put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct h1_writer *writer = container_of(sink, struct h1_writer, sink);
    enum flow flow;

    if (piece->form == FORM_SOCKET) {
        flow = put_socket(writer, piece, taken);
        give_back_pipe(writer);
        return flow;
    }
    flow = flush_pipe(writer);
    if (flow != FLOW_END)
        return flow;
    return piece->form == FORM_FILE ? put_file(writer, piece, taken)
                                    : put_slices(writer, piece, taken);
}

/* ---- the end */

/* The last chunk and the trailer section. What is not sent of it is kept as a head. */
static bool
frame_end(struct h1_writer *writer, const struct fields *trailers)
{
    size_t bytes = 5;
    char *own, *at;

    writer->is_framed = true;
    for (uint32_t i = 0; trailers != NULL && i < trailers->count; i++)
        bytes += trailers->items[i].name.bytes + trailers->items[i].value.bytes + 4;
    own = malloc(bytes);
    if (own == NULL)
        return false;
    at = mempcpy(own, "0\r\n", 3);
    for (uint32_t i = 0; trailers != NULL && i < trailers->count; i++) {
        at = mempcpy(at, trailers->items[i].name.data, trailers->items[i].name.bytes);
        at = mempcpy(at, ": ", 2);
        at = mempcpy(at, trailers->items[i].value.data, trailers->items[i].value.bytes);
        at = mempcpy(at, "\r\n", 2);
    }
    memcpy(at, "\r\n", 2);
    writer->own = own;
    writer->head = own;
    writer->head_bytes = (uint32_t)bytes;
    return true;
}

static enum flow
end(struct sink *sink, const struct fields *trailers)
{
    struct h1_writer *writer = container_of(sink, struct h1_writer, sink);
    enum flow flow;

    if (writer->framing == H1_LENGTH && writer->left_bytes > 0)
        return FLOW_FAILED; /* less than was announced */
    flow = h1_writer_flush(writer);
    if (flow != FLOW_END || writer->framing != H1_CHUNKED || writer->is_framed)
        return flow;
    if (!frame_end(writer, trailers))
        return FLOW_FAILED;
    return h1_writer_flush(writer);
}

static enum flow
flush(struct sink *sink)
{
    return h1_writer_flush(container_of(sink, struct h1_writer, sink));
}

const struct sink_ops h1_writer_ops = {
    .put = put,
    .end = end,
    .flush = flush,
};
