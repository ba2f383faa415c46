/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_reader.h - what an ICAP server answers: bytes in, meaning out (RFC 3507).
 *
 *     ICAP head --> encapsulated HTTP heads --> chunked content --> done
 *
 * Strict: what two readers could understand differently is refused. Every length is
 * bounded. Fed byte by byte it says the same as fed with everything.
 */
#ifndef BASCULE_ICAP_READER_H
#define BASCULE_ICAP_READER_H

#include <sys/uio.h>

#include "server/http/header.h"

enum {
    ICAP_HEAD_BYTES_MAX = 16 * 1024,          /* of an ICAP head */
    ICAP_ENCAPSULATED_BYTES_MAX = 64 * 1024,  /* of both HTTP heads */
    ICAP_EXTENSION_BYTES_MAX = 128,           /* of the extensions of one chunk */
    ICAP_TRAILER_BYTES_MAX = 8 * 1024,
};

#define ICAP_NO_ORIGINAL UINT64_MAX

enum icap_progress {
    ICAP_NEED_INPUT, /* all input is consumed, more of the answer is to come */
    ICAP_HEAD,       /* the heads are there, once for each answer: look at reply */
    ICAP_ROOM,       /* iov is full and more follows: call again with the rest */
    ICAP_DONE,       /* the answer is whole; what is behind *consumed belongs to another one */
    ICAP_BAD,        /* no answer that makes sense: why says so */
};

enum icap_body { ICAP_NULL_BODY, ICAP_REQUEST_BODY, ICAP_RESPONSE_BODY, ICAP_OPTIONS_BODY };

/* Of the arena. */
struct icap_reply {
    unsigned status;
    struct fields fields;       /* of ICAP */
    struct slice request_head;  /* encapsulated, up to its empty line; data NULL: none */
    struct slice response_head;
    enum icap_body body;
    bool is_last;               /* the server closes the connection afterwards */
};

/* reply is good from ICAP_HEAD on. */
struct icap_reader {
    struct icap_reply reply;
    /* From ICAP_DONE on: the original content follows from this byte on (the extension
     * use-original-body of a 206); ICAP_NO_ORIGINAL: it does not. */
    uint64_t original_at;
    const char *why;         /* of ICAP_BAD: static */

    struct arena *arena;     /* from here on private */
    char *text;              /* heap: the ICAP head while it arrives */
    size_t text_bytes, text_room;
    char *heads;             /* the encapsulated ones */
    size_t heads_bytes, heads_end;
    size_t request_at, response_at; /* of heads; SIZE_MAX: none */
    uint64_t left;           /* of the chunk; its size while that is read */
    char extension[ICAP_EXTENSION_BYTES_MAX];
    uint32_t extension_bytes, trailer_bytes;
    uint8_t state, digits;
    bool is_line_empty;      /* the trailer line that is read, so far */
};

/* Begins an answer. Borrows arena, in which the heads are kept. */
void icap_reader_init(struct icap_reader *reader, struct arena *arena);

/* Frees what it has on the heap. Twice is fine, zeroed memory too. */
void icap_reader_fini(struct icap_reader *reader);

/* Reads input on from where the last call stopped. Fills at most room entries of iov with
 * content: slices of input, in order and never empty; says how many, and how much of input
 * was consumed. All of it is valid whatever the result. */
MUST_USE enum icap_progress icap_read(struct icap_reader *reader, struct slice input,
                                      struct iovec *iov, unsigned room, unsigned *slices,
                                      size_t *consumed);

#endif
