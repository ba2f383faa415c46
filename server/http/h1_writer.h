/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_writer.h - the sending half of an HTTP/1.1 connection, on either side.
 *
 * A head waits for the first piece of content, so that both leave in one call;
 * content goes out from where it lies; long plain content goes through a pipe
 * without being looked at.
 */
#ifndef BASCULE_H1_WRITER_H
#define BASCULE_H1_WRITER_H

#include "server/http/body.h"
#include "server/http/h1_reader.h"
#include "server/http/rate_guard.h"
#include "server/net/conn.h"

struct h1_writer {
    struct sink sink; /* for content */
    struct conn *conn;
    struct worker *worker;
    const char *head; /* to go before anything else: in the worker's out buffer or in own */
    char *own;        /* heap, NULL mostly */
    uint32_t head_bytes;
    uint8_t framing;  /* enum h1_framing */
    bool is_framed;   /* the end of a chunked body is in head or frame, or sent */
    uint8_t frame_at, frame_bytes; /* of frame still to be sent */
    char frame[22];   /* "\r\n" of a chunk, the size line of the next, the last chunk */
    uint64_t left_bytes;  /* H1_LENGTH: content still to come */
    uint64_t chunk_bytes; /* of the chunk announced, still to be sent */
    uint64_t content_bytes;
    struct pipe *pipe;
    struct rate_guard *guard; /* of the owner; NULL: the peer may be slow */
};

/* Borrows both. */
void h1_writer_init(struct h1_writer *writer, struct conn *conn, struct worker *worker);
void h1_writer_fini(struct h1_writer *writer);

/* The worker's out buffer, SCRATCH_BYTES long, to write a head into. */
char *h1_writer_out(struct h1_writer *writer);

/* A message begins: its head lies in the worker's out buffer, its content
 * follows in this framing. What an earlier message (an interim response) left
 * unsent goes first. 0, or -1 when memory is short. */
int h1_writer_begin(struct h1_writer *writer, size_t head_bytes, enum h1_framing framing,
                    uint64_t length);

/* Whether all that was put has left for the socket. */
bool h1_writer_is_empty(const struct h1_writer *writer);

/* Sends what is held back: FLOW_END when nothing is left, FLOW_WAIT, FLOW_FAILED. */
enum flow h1_writer_flush(struct h1_writer *writer);

/* The message is over: gives back pipe and memory. */
void h1_writer_end(struct h1_writer *writer);

extern const struct sink_ops h1_writer_ops;

#endif
