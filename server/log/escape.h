/* SPDX-License-Identifier: BSD-2-Clause */
/* escape.h - how values become text in logs: escaped bytes, numbers, times.
 *
 * Nothing here allocates, locks or ends its output with a NUL. Every function
 * returns the place behind what it wrote.
 */
#ifndef BASCULE_ESCAPE_H
#define BASCULE_ESCAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/slice.h"

/* What stands around the value, and so which bytes must not appear in it.
 * Control characters, DEL, bytes from 0x80, the quote and the backslash are
 * escaped in all of them. */
enum escape {
    ESCAPE_QUOTED, /* between quotes: \xHH */
    ESCAPE_TOKEN,  /* between spaces: \xHH, of space too */
    ESCAPE_URL,    /* between spaces: %HH, of space too; "%" itself stays */
    ESCAPE_JSON,   /* within a JSON string (RFC 8259 section 7): see below */
};

/* Longer values are cut, which "..." at their end shows. */
#define ESCAPE_VALUE_MAX 8192u

/* What even an empty room must have: the mark of a cut. */
#define ESCAPE_ROOM_MIN 8u

/* Writes s between at and limit, which are at least ESCAPE_ROOM_MIN apart.
 * When the room is too short for what ESCAPE_VALUE_MAX allows, the value is
 * cut there and *is_cut becomes true; it is left alone otherwise.
 *
 * ESCAPE_JSON leaves well-formed UTF-8 as it is (but for C1 controls); each
 * byte that is part of none becomes \u00HH, so that nothing is lost and
 * the result is always valid JSON. */
char *escape_put(enum escape escape, char *at, char *limit, struct slice s, bool *is_cut);

/* Length of the well-formed UTF-8 sequence of two to four bytes at p, which is before
 * end; 0 when there is none. */
unsigned text_utf8_bytes(const char *p, const char *end);

/* Decimal digits: at most 20. */
char *text_u64(char *at, uint64_t value);

/* Exactly 16 hexadecimal digits. */
char *text_hex64(char *at, uint64_t value);

/* "2026-11-21T21:07:30.123Z": 24 bytes, UTC (RFC 3339). */
char *text_time_iso(char *at, uint64_t wall_ms);

/* "21/Nov/2026:21:07:30 +0000": 26 bytes, in the zone of the machine. Each
 * thread remembers the last second, so most calls are a copy. */
char *text_time_local(char *at, uint64_t wall_ms);

#endif
