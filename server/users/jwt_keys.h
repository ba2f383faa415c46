/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_keys.h - the keys that tokens are verified with, and where they come from: a
 * file that is read again when it changes, or a server that somebody asks.
 *
 *     jwt_keys (file or URL, in the registry) --> jwks (what was there when last good)
 *
 * Who fetches those of a URL looks every so often whether they are due, and tells how it
 * went:
 *
 *     jwt_keys_begin_fetch() --> jwt_keys_replace(), or jwt_keys_fail()
 */
#ifndef BASCULE_JWT_KEYS_H
#define BASCULE_JWT_KEYS_H

#include "server/http/exchange.h"
#include "server/users/jwks.h"

struct jwt_keys;

/* The keys of this file, which is read, or of this URL, which is not: exactly one of
 * them. NULL with err, which names the file. Give back with jwt_keys_unref(). From any
 * thread, like all below. */
struct jwt_keys *jwt_keys_adopt(const char *file, const char *url, struct err *err) MUST_USE;
void jwt_keys_unref(struct jwt_keys *keys); /* NULL is fine */
struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys);

/* The newest good set, with a reference for the caller; NULL: none was fetched yet. */
struct jwks *jwt_keys_take(struct jwt_keys *keys);

/* ---- who fetches them */

/* How long after the last fetch began there may be another. */
struct jwt_keys_pace {
    uint32_t refresh_ms; /* whatever happens */
    uint32_t retry_ms;   /* when it failed, or a token names a key that it did not bring */
};

/* NULL: they are those of a file. */
const char *jwt_keys_url(const struct jwt_keys *keys);

/* Whether they are to be fetched now: they are older than the pace says, the last fetch
 * failed a while ago, or a token names a key that is not among them. Then they are the
 * caller's to fetch, for a minute: others are told false. now_ms is monotonic. Who calls
 * this once is taken to call it every second or so. */
bool jwt_keys_begin_fetch(struct jwt_keys *keys, const struct jwt_keys_pace *pace,
                          uint64_t now_ms);

/* Ends a fetch with a document. 1: it holds something new; 0: as before; -1 with err, which
 * does not name the URL: what was there stays. Whoever waits goes on. */
int jwt_keys_replace(struct jwt_keys *keys, struct slice json, struct err *err);

/* Ends a fetch without any. */
void jwt_keys_fail(struct jwt_keys *keys);

/* ---- who waits for them */

struct jwt_keys_waiter;

/* Has them fetched, for an exchange that cannot go on without: its road is resumed when
 * that has ended. NULL: they were fetched a moment ago, are never fetched, or too many
 * wait; nobody is resumed then. */
struct jwt_keys_waiter *jwt_keys_wait(struct jwt_keys *keys, const struct jwt_keys_pace *pace,
                                      struct exchange *ex, uint64_t now_ms);

/* Whether the wait is over; frees the waiter then. */
bool jwt_keys_waited(struct jwt_keys_waiter *waiter);

/* The exchange ends before. Frees the waiter. */
void jwt_keys_cancel(struct jwt_keys_waiter *waiter);

#endif
