/* SPDX-License-Identifier: BSD-2-Clause */
/* multipart.h - reads multipart/form-data as it arrives (RFC 7578, RFC 2046 section 5.1).
 *
 *     struct multipart form;
 *     multipart_init(&form, boundary, &limits, &ex->arena);
 *     do {
 *         event = multipart_next(&form, &input, &data);     takes what it reads off input
 *     } while (event != MULTIPART_MORE && event != MULTIPART_ERROR);
 *     ...
 *     multipart_finish(&form)                               after the last byte
 *
 * Content is not copied. Fed a byte at a time it says the same as fed everything.
 *
 * It is strict, since who guards an application must not read a form in another way than the
 * application will: what some receivers take for a boundary and some do not, for one file
 * name and some for another, is an error.
 */
#ifndef BASCULE_MULTIPART_H
#define BASCULE_MULTIPART_H

#include <stdbool.h>

#include "server/base/arena.h"
#include "server/base/slice.h"

#define MULTIPART_BOUNDARY_MAX 70 /* RFC 2046 section 5.1.1 */

/* 0: the default. */
struct multipart_limits {
    unsigned header_bytes; /* of the header of a part: 4096 */
    unsigned headers;      /* lines of it: 16 */
    unsigned parts;        /* 1000 */
};

/* All of it is the sender's: no more than bytes. Absent: data NULL. */
struct multipart_part {
    struct slice name;          /* of the form's field; there always is one */
    struct slice filename;      /* as in filename="..." */
    struct slice filename_star; /* as in filename*=...: receivers differ in which one they take */
    struct slice content_type;  /* the whole value; absent: text/plain */
};

enum multipart_event {
    MULTIPART_MORE,     /* all input is read */
    MULTIPART_PART,     /* one begins: multipart->part, good until the next one */
    MULTIPART_DATA,     /* content of it: data, of the input or (what had looked like a
                         * boundary) of the reader; good as long as the input */
    MULTIPART_PART_END,
    MULTIPART_ERROR,    /* multipart->error says what is wrong; nothing more is read */
};

/* All but part, error and parts is private. */
struct multipart {
    struct multipart_part part;
    const char *error; /* static words */
    unsigned parts;    /* begun so far */
    struct multipart_limits limits;
    uint8_t state;
    uint8_t matched, from;    /* of delimiter: held back is [from, matched) */
    bool has_type, has_disposition;
    unsigned delimiter_bytes;
    unsigned head_bytes, line_start, lines;
    char *head;               /* of the part that begins, header_bytes of room */
    char delimiter[MULTIPART_BOUNDARY_MAX + 4]; /* CR LF "--" boundary */
};

/* Whether some receiver takes a Content-Type for multipart/form-data: whatever its parameters
 * are, and whatever follows the word ("multipart/form-data, x", as PHP reads it). */
bool multipart_is_form(struct slice content_type);

/* Finds the boundary in the Content-Type of a form and copies it to boundary, which has room
 * for MULTIPART_BOUNDARY_MAX bytes. Returns NULL, or what is wrong in static words. */
const char *multipart_boundary(struct slice content_type, char *boundary, size_t *bytes);

/* Begins to read. boundary is one that multipart_boundary() found. Takes limits.header_bytes
 * of the arena; -1 when it is spent. limits may be NULL. */
int multipart_init(struct multipart *form, struct slice boundary,
                   const struct multipart_limits *limits, struct arena *arena);

/* Reads on, up to the next event. */
enum multipart_event multipart_next(struct multipart *form, struct slice *in, struct slice *data);

/* After the last byte: NULL when the form was whole, else what is wrong in static words. */
const char *multipart_finish(const struct multipart *form);

#endif
