/* SPDX-License-Identifier: BSD-2-Clause */
/* nonce.h - nonces of Digest (RFC 7616 section 3.3): made without remembering them,
 * and used no number twice.
 *
 *     nonce = hex( made_ms serial HMAC-SHA-256(key, made_ms serial scope) )
 *
 * Only those that clients use take a place in a table, which is bounded: when one is
 * pushed out, all that are as old and not in the table count as stale.
 */
#ifndef BASCULE_NONCE_H
#define BASCULE_NONCE_H

#include "server/base/slice.h"

#define NONCE_BYTES 64 /* of text */

/* A fresh one in text[NONCE_BYTES], for this scope only (a source of users). False when
 * memory is short. */
bool nonce_make(char *text, struct slice scope, uint64_t now_ms);

/* Whether we made it for this scope, less than life_ms ago. */
bool nonce_is_good(struct slice text, struct slice scope, uint64_t now_ms, uint32_t life_ms);

/* Uses count with a nonce that is good. False: it was used already, or may have been. From
 * any thread. */
bool nonce_use(struct slice text, uint32_t count);

/* Forgets all; for tests. */
void nonces_clear(void);

#endif
