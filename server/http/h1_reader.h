/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_reader.h - the receiving half of an HTTP/1.1 connection, on either side.
 *
 * Bytes are read into the worker's scratch buffer and used there. What could
 * not be used stays there until another reader needs the buffer, and only then
 * moves to memory of its own: an idle connection holds none.
 */
#ifndef BASCULE_H1_READER_H
#define BASCULE_H1_READER_H

#include "server/base/arena.h"
#include "server/http/body.h"
#include "server/http/h1_parse.h"
#include "server/http/rate_guard.h"
#include "server/net/conn.h"

struct h1_chunks;
struct worker;

/* How much to read for a head: what is read along of its content is copied.
 * So much that small messages come whole; but little where the last one was
 * long, since long content goes through a pipe uncopied. */
#define H1_HEAD_READ_BYTES (16u * 1024)
#define H1_HEAD_READ_SHORT_BYTES (4u * 1024)
#define H1_LONG_BYTES (24u * 1024)

static inline uint16_t
h1_next_head_read(uint64_t length)
{
    return length > H1_LONG_BYTES && length != LENGTH_UNKNOWN ? H1_HEAD_READ_SHORT_BYTES
                                                              : H1_HEAD_READ_BYTES;
}

/* From here on moving content through a pipe is cheaper than copying it. */
#define SPLICE_MIN_BYTES (8u * 1024)

enum h1_framing { H1_NO_BODY, H1_LENGTH, H1_CHUNKED, H1_UNTIL_CLOSE };

struct h1_reader {
    struct source source; /* the content */
    struct conn *conn;
    struct worker *worker;
    char *data;      /* what was read and not used: in the scratch buffer or in own */
    char *own;       /* heap, NULL mostly */
    uint32_t bytes;
    uint32_t own_room;
    uint8_t framing; /* enum h1_framing */
    bool is_done;    /* the content was taken to its end */
    bool is_bad;     /* its framing is broken, or it was cut short */
    bool is_over_limit;
    bool awaits_continue;   /* the peer need not send anything until it was told to */
    uint64_t left_bytes;    /* H1_LENGTH: content still to come */
    uint64_t content_bytes; /* taken so far */
    const uint64_t *limit_bytes; /* of content, may change while it flows; NULL or 0: none */
    struct h1_chunks *chunks;
    struct rate_guard *guard; /* of the owner, who must stop it; NULL: the peer may be slow */
};

/* Borrows both. */
void h1_reader_init(struct h1_reader *reader, struct conn *conn, struct worker *worker);
void h1_reader_fini(struct h1_reader *reader);

/* Reads up to max more bytes behind those that are there. Returns as
 * conn_recv(). Bytes may move: look at reader->data afterwards. */
ssize_t h1_reader_fill(struct h1_reader *reader, size_t max);

/* Drops the first n unused bytes. */
void h1_reader_skip(struct h1_reader *reader, size_t n);

static inline struct slice
h1_reader_bytes(const struct h1_reader *reader)
{
    return slice_make(reader->data, reader->bytes);
}

/* Moves unused bytes out of the scratch buffer. False when memory is short. */
bool h1_reader_keep(struct h1_reader *reader);

/* Content begins here. Copies limits, which bound a trailer section. Returns 0,
 * or -1 when memory is short. The caller sets guard and limit_bytes. */
int h1_reader_begin(struct h1_reader *reader, enum h1_framing framing, uint64_t length,
                    const struct h1_limits *limits);

/* The peer was told to go on: now it has to. */
void h1_reader_continue(struct h1_reader *reader);

/* Content is no longer of interest: no timer runs, nothing is offered. */
void h1_reader_end(struct h1_reader *reader);

#endif
