/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_chunked.h - finds the content in a chunked body (RFC 9112 section 7.1).
 *
 * Nothing is copied: content is named as slices of the input. Every byte is
 * shown once: what a call consumed is behind the decoder, whatever becomes of
 * the slices. A caller that shows each received buffer once, keeps the slices
 * (as offsets) with the buffer, and sends them as it can, needs no more. If it
 * would rather look ahead without committing itself: a decoder may be copied
 * with = and the copy thrown away, up to the trailer section.
 */
#ifndef BASCULE_H1_CHUNKED_H
#define BASCULE_H1_CHUNKED_H

#include <sys/uio.h>

#include "server/http/h1_parse.h"

/* Chunk extensions are read past and dropped; all of a body's together may be
 * this long. A flood of tiny chunks needs no limit: it costs its sender more. */
enum { H1_EXTENSION_BYTES_MAX = 16 * 1024 };

enum chunked_progress {
    CHUNKED_NEED_INPUT, /* all input is consumed, the body goes on */
    CHUNKED_ROOM,       /* iov is full and more content follows: call again with the rest */
    CHUNKED_DONE,       /* the body is whole; input behind *consumed belongs to what follows */
    CHUNKED_BAD,        /* not a chunked body; the message must not pass for whole */
};

struct trailer_text;

/* Small enough to be embedded. */
struct h1_chunked {
    uint64_t left; /* bytes of the chunk to come; its size while that is read */
    struct arena *arena;
    const struct h1_limits *limits;
    struct fields *trailers;
    struct trailer_text *text; /* NULL until a trailer section begins */
    uint32_t extension_bytes;  /* seen in all */
    uint8_t state;
    uint8_t digits; /* of the chunk size */
    uint8_t place;  /* within an extension */
};

/* Begins a body. Borrows all three: limits bound the trailer section, which is
 * kept in the arena; trailers, which should be empty, is filled at the end. */
void h1_chunked_init(struct h1_chunked *c, struct arena *arena, const struct h1_limits *limits,
                     struct fields *trailers);

/* Reads input on from where the last call stopped. Fills at most room entries
 * of iov with content, in order and never empty, says how many, and how many
 * bytes of input they and the framing around them took. All of it is valid
 * whatever the result; with CHUNKED_BAD, *consumed leads to the culprit.
 *
 * With CHUNKED_DONE the trailers are in place, but for those that must not come
 * in trailers: framing, routing, authentication, cookies, caching, hop-by-hop
 * (RFC 9110 section 6.5.1). They are dropped and not refused, because a sender
 * that signs or mirrors its header means no harm by them. Otherwise trailer lines
 * obey the rules of h1_parse_fields(). After CHUNKED_DONE or CHUNKED_BAD the
 * decoder consumes nothing and repeats itself. */
MUST_USE enum chunked_progress h1_chunked_decode(struct h1_chunked *c, struct slice input,
                                                 struct iovec *iov, unsigned room,
                                                 unsigned *slices, size_t *consumed);

#endif
