/* SPDX-License-Identifier: BSD-2-Clause */
/* log_format_inside.h - what the files of log_format share: a format as a list of
 * operations.
 *
 * An operation is the text in front of a value and the value's kind. Each knows
 * the most bytes that all later ones need at least (tail_bytes), so a value
 * may use the room up to there and no later operation has to look whether
 * it still fits: however long hostile values are, the line ends as it should.
 */
#ifndef BASCULE_LOG_FORMAT_INSIDE_H
#define BASCULE_LOG_FORMAT_INSIDE_H

#include "server/log/escape.h"
#include "server/log/log_format.h"

/* Most texts are short: copied as one block of this size, which is cheaper than
 * by their length. So much behind a format's text, and of a line's room, is not used. */
#define SHORT_TEXT 16

enum log_kind {
    KIND_NOTHING, /* the end of the line */

    /* Members of the record. */
    KIND_SLICE,
    KIND_WORD,
    KIND_COUNT,       /* uint64_t */
    KIND_STATUS,      /* uint16_t: three digits, "000" when none */
    KIND_PEER_STATUS, /* uint16_t: nothing when 0 */
    KIND_FLAG,
    KIND_US,
    KIND_MS,          /* from microseconds */
    KIND_ID,
    KIND_CLIENT,
    KIND_PEER_IP, /* nothing when it is none */
    KIND_PORT,

    /* Made of them. */
    KIND_TIME_LOCAL,
    KIND_TIME_ISO,
    KIND_TIME_MS,
    KIND_TIME_S, /* with milliseconds as fraction */
    KIND_REQUEST,
    KIND_PATH,
    KIND_CLF_BYTES, /* "-" rather than 0 */
    KIND_REQUEST_FIELD,
    KIND_RESPONSE_FIELD,
    KIND_SQUID_ELAPSED,
    KIND_SQUID_RESULT,
    KIND_SQUID_URL,
    KIND_SQUID_PEER,
    KIND_SQUID_TYPE,
};

struct log_op {
    struct slice text; /* in front of the value */
    struct slice header;
    enum log_kind kind;
    enum escape escape;
    uint16_t offset;
    bool is_quoted;      /* JSON: a string */
    uint32_t tail_bytes; /* what must be left behind the value */
};

struct log_format {
    size_t least_bytes; /* room without which nothing is written */
    size_t count;
    bool is_json; /* what is not known is left out */
    struct log_op ops[];
};

/* Room that must be there for a value of the kind. In log_format_write.c. */
size_t log_kind_bytes(enum log_kind kind);

#endif
