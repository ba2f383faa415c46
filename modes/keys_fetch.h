/* SPDX-License-Identifier: BSD-2-Clause */
/* keys_fetch.h - fetches the keys that tokens are verified with from the servers of those
 * who issue them (server/users/jwt_keys.h).
 *
 * Each worker thread looks once a second whether there is something to fetch; the first
 * one that does fetches it for all.
 */
#ifndef BASCULE_KEYS_FETCH_H
#define BASCULE_KEYS_FETCH_H

struct worker;

/* worker->snapshot is new: looks after its keys from now on. */
void keys_fetch_follow(struct worker *worker);

/* The thread is to end: gives up what it fetches. */
void keys_fetch_stop(void);

#endif
