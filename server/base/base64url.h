/* SPDX-License-Identifier: BSD-2-Clause */
/* base64url.h - the base64 of RFC 4648 section 5, without padding: as tokens
 * (RFC 7515 section 2) write their parts.
 */
#ifndef BASCULE_BASE64URL_H
#define BASCULE_BASE64URL_H

#include "server/base/arena.h"
#include "server/base/slice.h"

/* The text of bytes; a NUL behind it does not count. Empty when the budget is spent. */
struct slice base64url_encode(struct arena *arena, struct slice bytes);

/* The bytes of text. -1 when it is anything but what base64url_encode() makes of
 * its bytes, padding included; or, with the arena remembering, when the budget is
 * spent. */
MUST_USE int base64url_decode(struct arena *arena, struct slice text, struct slice *bytes);

#endif
