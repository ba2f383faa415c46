/* SPDX-License-Identifier: BSD-2-Clause */
/* lockout.h - who has shown too many wrong passwords is not asked again for a while.
 *
 * Counted for each user name and client together: nobody can lock somebody else out
 * from elsewhere. Clients of IPv6 count by /64. One table for the process, bounded,
 * for any thread.
 */
#ifndef BASCULE_LOCKOUT_H
#define BASCULE_LOCKOUT_H

#include "server/net/address.h"
#include "server/users/users.h"

/* A user of some source as one client knows it. */
struct lockout_key {
    uint64_t hash;   /* of all three */
    uint64_t client; /* of the client alone */
};

struct lockout_key lockout_key(const struct users_conf *users, struct slice name,
                               const struct ip *client);

/* Seconds until the lock ends, at least 1; 0: there is none at now_ms (monotonic). Cheap
 * while nobody is locked. */
uint32_t lockout_left_s(const struct lockout_key *key, uint64_t now_ms);

/* A wrong proof. When it is one too many within lock_ms, they are locked for that long:
 * true, and a line in the log, which tells no more than privacy (NULL: everything). */
bool lockout_fail(const struct users_conf *users, const struct lockout_key *key,
                  struct slice name, const struct ip *client, const struct log_privacy *privacy,
                  uint64_t now_ms);

/* A good proof: failures are forgotten. Cheap while there are none of anybody. */
void lockout_forget(const struct lockout_key *key);

struct lockout_counts {
    uint64_t failures; /* wrong proofs */
    uint64_t locks;    /* times that somebody was locked */
};
struct lockout_counts lockout_counts(void);

/* What the logs of the exchange's listener may tell. */
const struct log_privacy *lockout_privacy(const struct exchange *ex);

/* Forgets all; for tests. */
void lockout_clear(void);

#endif
