/* SPDX-License-Identifier: BSD-2-Clause */
/* base64.h - the base64 of RFC 4648 section 4.
 *
 * Forty lines of our own rather than OpenSSL's: the result lies in an arena,
 * nothing is allocated on the way, and what is not the one encoding of its
 * bytes is refused instead of read somehow.
 */
#ifndef BASCULE_BASE64_H
#define BASCULE_BASE64_H

#include "server/base/arena.h"
#include "server/base/slice.h"

/* The text of bytes, padded, without line breaks; a NUL behind it does not
 * count. Empty when the budget is spent. */
struct slice base64_encode(struct arena *arena, struct slice bytes);

/* The bytes of text. -1 when text has anything but the alphabet, is not padded
 * to a multiple of four, or is not what base64_encode() makes of its bytes
 * (bits left over must be zero), so that two texts never mean the same; or,
 * with the arena remembering, when the budget is spent. */
MUST_USE int base64_decode(struct arena *arena, struct slice text, struct slice *bytes);

#endif
