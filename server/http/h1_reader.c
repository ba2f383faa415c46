/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_reader.c - bytes from a connection, and content out of their framing.
 *
 * Unused bytes are one run, data[0..bytes). For a chunked body its first part
 * may be decoded already: chunks->iov says where payload is, as offsets, since
 * the run may move; when all of that was taken, the part is dropped.
 */
#include "config.h"

#include "server/http/h1_reader.h"

#include "server/http/h1_chunked.h"
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>

/* Read at once when content is copied: more would only be held for slow receivers. */
#define READ_BYTES (64u * 1024)

/* Of a trailer section: its text, copied as it grows, and the list of its fields. */
#define TRAILER_MEMORY(limits) \
    (4 * (size_t)(limits)->head_bytes + 4 * (limits)->field_count * sizeof(struct field))

/* Lives as long as the body is read, which may be longer than the exchange:
 * what an early answer left unread is still to be drained. */
struct h1_chunks {
    struct h1_chunked decoder;
    struct h1_limits limits;
    struct arena arena; /* for trailers */
    struct fields trailers;
    unsigned first, count; /* of spans still to be taken */
    size_t covered_bytes;  /* of the run: spans and their framing */
    bool is_complete;      /* the last chunk and the trailer section were read */
    struct {
        size_t offset, bytes;
    } spans[PIECE_SLICES];
};

void
h1_reader_init(struct h1_reader *reader, struct conn *conn, struct worker *worker)
{
    reader->conn = conn;
    reader->worker = worker;
    reader->is_done = true;
}

void
h1_reader_fini(struct h1_reader *reader)
{
    h1_reader_end(reader);
    if (reader->worker->in_owner == reader)
        reader->worker->in_owner = NULL;
    free(reader->own);
    reader->own = reader->data = NULL;
    reader->bytes = 0;
}

/* ---- the run of unused bytes */

static bool
is_in_scratch(const struct h1_reader *reader)
{
    return reader->worker->in_owner == reader;
}

static void
drop_own(struct h1_reader *reader)
{
    free(reader->own);
    reader->own = NULL;
    reader->own_room = 0;
}

/* Makes room for so many bytes in memory of its own and moves the run there. */
static bool
move_to_own(struct h1_reader *reader, size_t room)
{
    char *own;

    if (reader->own != NULL && reader->own_room >= room) {
        memmove(reader->own, reader->data, reader->bytes);
        reader->data = reader->own;
        return true;
    }
    own = malloc(room);
    if (own == NULL)
        return false;
    memcpy(own, reader->data, reader->bytes);
    drop_own(reader);
    reader->own = reader->data = own;
    reader->own_room = (uint32_t)room;
    return true;
}

bool
h1_reader_keep(struct h1_reader *reader)
{
    if (!is_in_scratch(reader))
        return true;
    reader->worker->in_owner = NULL;
    if (reader->bytes == 0)
        return true;
    if (!move_to_own(reader, reader->bytes)) {
        reader->bytes = 0;
        reader->is_bad = true;
        reader->conn->saw_end = true; /* what would follow the gap is not read */
        return false;
    }
    return true;
}

/* Takes the scratch buffer over from whoever has bytes in it. A reader that
 * cannot keep them has failed: its next offer says so. */
static void
claim_scratch(struct h1_reader *reader)
{
    struct worker *worker = reader->worker;

    if (worker->in_owner != NULL && worker->in_owner != reader)
        h1_reader_keep(worker->in_owner);
    worker->in_owner = reader;
    reader->data = worker->in;
}

ssize_t
h1_reader_fill(struct h1_reader *reader, size_t max)
{
    size_t room;
    ssize_t got;

    if (reader->bytes == 0) {
        claim_scratch(reader);
        room = SCRATCH_BYTES;
    } else if (is_in_scratch(reader)) {
        room = (size_t)(reader->worker->in + SCRATCH_BYTES - (reader->data + reader->bytes));
    } else {
        room = reader->own_room - (size_t)(reader->data - reader->own) - reader->bytes;
    }
    if (room < max && reader->bytes > 0) {
        if (!move_to_own(reader, (reader->bytes + max) * 2)) {
            reader->conn->error = ENOMEM;
            return CONN_FAILED;
        }
        if (is_in_scratch(reader))
            reader->worker->in_owner = NULL;
        room = reader->own_room - reader->bytes;
    }
    got = conn_recv(reader->conn, reader->data + reader->bytes, max < room ? max : room);
    if (got > 0)
        reader->bytes += (uint32_t)got;
    else if (reader->bytes == 0)
        reader->worker->in_owner = NULL;
    return got;
}

void
h1_reader_skip(struct h1_reader *reader, size_t n)
{
    must(n <= reader->bytes);
    reader->data += n;
    reader->bytes -= (uint32_t)n;
    if (reader->bytes > 0)
        return;
    if (is_in_scratch(reader))
        reader->worker->in_owner = NULL;
    drop_own(reader);
}

/* ---- content */

static void
wait_for_peer(struct h1_reader *reader)
{
    if (reader->awaits_continue && reader->content_bytes == 0)
        return;
    if (reader->guard != NULL && rate_guard_wait(reader->guard, reader->conn->loop))
        rate_guard_begin(reader->guard, reader->conn->loop, reader->content_bytes);
}

static enum flow
cut_short(struct h1_reader *reader)
{
    reader->is_bad = true;
    return FLOW_FAILED;
}

/* Has something to look at: FLOW_MORE; otherwise why not. */
static enum flow
fill_content(struct h1_reader *reader)
{
    ssize_t got;

    if (reader->is_bad)
        return FLOW_FAILED;
    if (reader->bytes > 0)
        return FLOW_MORE;
    got = h1_reader_fill(reader, READ_BYTES);
    if (got > 0)
        return FLOW_MORE;
    if (got == CONN_WAIT) {
        wait_for_peer(reader);
        return FLOW_WAIT;
    }
    if (got == 0 && reader->framing == H1_UNTIL_CLOSE) {
        reader->is_done = true;
        return FLOW_END;
    }
    return cut_short(reader);
}

static bool
is_over_limit(struct h1_reader *reader, uint64_t more)
{
    if (reader->limit_bytes == NULL || *reader->limit_bytes == 0 ||
        reader->content_bytes + more <= *reader->limit_bytes)
        return false;
    reader->is_over_limit = true;
    return true;
}

static void
offer_memory(struct piece *piece, void *data, size_t bytes)
{
    piece->form = FORM_SLICES;
    piece->is_last = false;
    piece->bytes = bytes;
    piece->count = 1;
    piece->iov[0] = (struct iovec){ data, bytes };
}

/* Long and untouched: the sink may move it without our seeing it. */
static bool
may_splice(const struct h1_reader *reader, unsigned forms)
{
    return (forms & FORM_SOCKET) && reader->bytes == 0 && !reader->is_bad &&
           reader->left_bytes >= SPLICE_MIN_BYTES && reader->conn->transport->is_plain;
}

static enum flow
offer_socket(struct h1_reader *reader, struct piece *piece)
{
    if (!reader->conn->may_read) {
        wait_for_peer(reader);
        return FLOW_WAIT;
    }
    if (reader->conn->saw_end || reader->conn->error != 0)
        return cut_short(reader);
    piece->form = FORM_SOCKET;
    piece->is_last = false;
    piece->bytes = reader->left_bytes < (1u << 30) ? (size_t)reader->left_bytes : 1u << 30;
    piece->count = 0;
    piece->conn = reader->conn;
    return FLOW_MORE;
}

static enum flow
offer_length(struct h1_reader *reader, unsigned forms, struct piece *piece)
{
    enum flow flow;
    size_t bytes;

    if (is_over_limit(reader, reader->left_bytes))
        return cut_short(reader);
    if (may_splice(reader, forms))
        return offer_socket(reader, piece);
    flow = fill_content(reader);
    if (flow != FLOW_MORE)
        return flow;
    bytes = reader->bytes < reader->left_bytes ? reader->bytes : (size_t)reader->left_bytes;
    offer_memory(piece, reader->data, bytes);
    piece->is_last = bytes == reader->left_bytes;
    return FLOW_MORE;
}

static enum flow
offer_until_close(struct h1_reader *reader, struct piece *piece)
{
    enum flow flow = fill_content(reader);

    if (flow != FLOW_MORE)
        return flow;
    if (is_over_limit(reader, reader->bytes))
        return cut_short(reader);
    offer_memory(piece, reader->data, reader->bytes);
    return FLOW_MORE;
}

/* Decodes what is there into spans. FLOW_MORE: there are some, or the body is
 * complete. */
static enum flow
decode_chunks(struct h1_reader *reader)
{
    struct h1_chunks *chunks = reader->chunks;
    struct iovec iov[PIECE_SLICES];
    enum chunked_progress progress;
    size_t consumed;
    unsigned count;
    enum flow flow;

    do {
        flow = fill_content(reader);
        if (flow != FLOW_MORE)
            return flow;
        progress = h1_chunked_decode(&chunks->decoder, h1_reader_bytes(reader), iov, PIECE_SLICES,
                                     &count, &consumed);
        if (progress == CHUNKED_BAD)
            return cut_short(reader);
        chunks->is_complete = progress == CHUNKED_DONE;
        if (count == 0)
            h1_reader_skip(reader, consumed);
    } while (count == 0 && !chunks->is_complete);
    chunks->first = 0;
    chunks->count = count;
    chunks->covered_bytes = count > 0 ? consumed : 0;
    for (unsigned i = 0; i < count; i++) {
        chunks->spans[i].offset = (size_t)((char *)iov[i].iov_base - reader->data);
        chunks->spans[i].bytes = iov[i].iov_len;
    }
    return FLOW_MORE;
}

static enum flow
end_chunks(struct h1_reader *reader)
{
    reader->is_done = true;
    if (reader->chunks->trailers.count > 0)
        reader->source.trailers = &reader->chunks->trailers;
    return FLOW_END;
}

static enum flow
offer_chunks(struct h1_reader *reader, struct piece *piece)
{
    struct h1_chunks *chunks = reader->chunks;

    if (reader->is_bad)
        return FLOW_FAILED;
    if (chunks->count == 0 && !chunks->is_complete) {
        enum flow flow = decode_chunks(reader);

        if (flow != FLOW_MORE)
            return flow;
    }
    if (chunks->count == 0)
        return end_chunks(reader);
    piece->form = FORM_SLICES;
    piece->bytes = 0;
    piece->count = chunks->count;
    for (unsigned i = 0; i < chunks->count; i++) {
        piece->iov[i].iov_base = reader->data + chunks->spans[chunks->first + i].offset;
        piece->iov[i].iov_len = chunks->spans[chunks->first + i].bytes;
        piece->bytes += piece->iov[i].iov_len;
    }
    if (is_over_limit(reader, piece->bytes))
        return cut_short(reader);
    piece->is_last = chunks->is_complete && chunks->trailers.count == 0;
    return FLOW_MORE;
}

static enum flow
offer_content(struct h1_reader *reader, unsigned forms, struct piece *piece)
{
    if (reader->is_done)
        return FLOW_END;
    switch ((enum h1_framing)reader->framing) {
    case H1_NO_BODY:
        return FLOW_END;
    case H1_LENGTH:
        return offer_length(reader, forms, piece);
    case H1_CHUNKED:
        return offer_chunks(reader, piece);
    case H1_UNTIL_CLOSE:
        return offer_until_close(reader, piece);
    }
    return FLOW_FAILED;
}

/* Once there is something to take, it is not the peer who makes us wait. */
static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct h1_reader *reader = container_of(source, struct h1_reader, source);
    enum flow flow = offer_content(reader, forms, piece);

    if (flow == FLOW_MORE && reader->guard != NULL)
        rate_guard_moved(reader->guard, reader->conn->loop);
    return flow;
}

static void
take_chunks(struct h1_reader *reader, size_t bytes)
{
    struct h1_chunks *chunks = reader->chunks;

    while (bytes > 0) {
        size_t here = chunks->spans[chunks->first].bytes;

        must(chunks->count > 0);
        if (bytes < here) {
            chunks->spans[chunks->first].offset += bytes;
            chunks->spans[chunks->first].bytes -= bytes;
            return;
        }
        bytes -= here;
        chunks->first++;
        chunks->count--;
    }
    if (chunks->count > 0)
        return;
    h1_reader_skip(reader, chunks->covered_bytes);
    chunks->covered_bytes = 0;
    if (chunks->is_complete && chunks->trailers.count == 0)
        reader->is_done = true;
}

static void
take(struct source *source, size_t bytes)
{
    struct h1_reader *reader = container_of(source, struct h1_reader, source);

    reader->content_bytes += bytes;
    if (reader->framing == H1_CHUNKED) {
        take_chunks(reader, bytes);
        return;
    }
    if (reader->framing == H1_LENGTH) {
        must(bytes <= reader->left_bytes);
        reader->left_bytes -= bytes;
        if (reader->left_bytes == 0)
            reader->is_done = true;
    }
    if (reader->bytes > 0) /* otherwise it went from socket to socket */
        h1_reader_skip(reader, bytes);
}

/* Nobody waits for the peer any more. */
static void
cancel(struct source *source)
{
    struct h1_reader *reader = container_of(source, struct h1_reader, source);

    if (reader->guard != NULL)
        rate_guard_stop(reader->guard);
}

static const struct source_ops reader_ops = {
    .offer = offer,
    .take = take,
    .cancel = cancel,
};

static int
begin_chunks(struct h1_reader *reader, const struct h1_limits *limits)
{
    struct h1_chunks *chunks = calloc(1, sizeof(*chunks));

    if (chunks == NULL)
        return -1;
    chunks->limits = *limits;
    arena_init(&chunks->arena, &reader->worker->blocks, TRAILER_MEMORY(limits));
    h1_chunked_init(&chunks->decoder, &chunks->arena, &chunks->limits, &chunks->trailers);
    reader->chunks = chunks;
    return 0;
}

static void
drop_chunks(struct h1_reader *reader)
{
    if (reader->chunks == NULL)
        return;
    arena_fini(&reader->chunks->arena);
    free(reader->chunks);
    reader->chunks = NULL;
}

int
h1_reader_begin(struct h1_reader *reader, enum h1_framing framing, uint64_t length,
                const struct h1_limits *limits)
{
    must(reader->chunks == NULL);
    reader->source = (struct source){ .ops = &reader_ops };
    reader->framing = (uint8_t)framing;
    reader->left_bytes = framing == H1_LENGTH ? length : 0;
    reader->is_done = framing == H1_NO_BODY || (framing == H1_LENGTH && length == 0);
    reader->is_bad = reader->is_over_limit = reader->awaits_continue = false;
    reader->content_bytes = 0;
    reader->limit_bytes = NULL;
    return framing == H1_CHUNKED ? begin_chunks(reader, limits) : 0;
}

void
h1_reader_continue(struct h1_reader *reader)
{
    bool is_news = reader->awaits_continue && reader->content_bytes == 0;

    reader->awaits_continue = false;
    if (is_news)
        wait_for_peer(reader);
}

void
h1_reader_end(struct h1_reader *reader)
{
    if (reader->guard != NULL)
        rate_guard_stop(reader->guard);
    reader->guard = NULL;
    drop_chunks(reader);
    reader->limit_bytes = NULL;
    reader->framing = H1_NO_BODY;
}
