/* SPDX-License-Identifier: BSD-2-Clause */
/* login_cache.h - logins that were proved a short while ago: who it was, found by
 * a keyed hash of what was shown.
 *
 * One for the process, bounded, for any thread. It never holds a password or a
 * token, and only proofs that were good.
 */
#ifndef BASCULE_LOGIN_CACHE_H
#define BASCULE_LOGIN_CACHE_H

#include "server/users/user.h"

struct login_key {
    unsigned char bytes[32];
};

/* The key of what was shown to the version (users_version_new()) of what it is proved
 * against: SHA-256 with a salt that only this process knows. False when memory is short:
 * then it cannot be cached. */
MUST_USE bool login_key_make(struct login_key *key, uint64_t version, const struct slice *parts,
                             unsigned count);

bool login_key_equal(const struct login_key *a, const struct login_key *b);

/* Copies the user into arena if the proof still counts at now_ms (monotonic). */
MUST_USE bool login_cache_find(const struct login_key *key, uint64_t now_ms, struct user *user,
                               struct arena *arena);

/* Keeps a copy of user for that long. Not when it is large, or memory is short. */
void login_cache_put(const struct login_key *key, const struct user *user, uint64_t now_ms,
                     uint32_t for_ms);

/* Forgets all. */
void login_cache_clear(void);

/* Logins that it holds; for tests. */
size_t login_cache_count(void);

#endif
