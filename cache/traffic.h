/* SPDX-License-Identifier: BSD-2-Clause */
/* traffic.h - how the requests of each cached site were answered, and with how
 * many bytes of content.
 *
 * A site (or a forward listener, for what belongs to no site) has an account
 * by its name, which reloads keep. Each worker thread writes numbers of its own,
 * without locked instructions; readers add up. At most TRAFFIC_ACCOUNTS have numbers
 * of their own; the others share one account.
 */
#ifndef BASCULE_CACHE_TRAFFIC_H
#define BASCULE_CACHE_TRAFFIC_H

#include <stdint.h>

#include "server/base/err.h"

#define TRAFFIC_ACCOUNTS 65536u

struct arena;
struct conf;
struct traffic_account;

/* Every request counts as one of these. */
enum traffic_kind {
    TRAFFIC_HIT,       /* answered with what was stored, fresh */
    TRAFFIC_STALE,     /* the same, stale */
    TRAFFIC_VALIDATED, /* ... after upstream had said that it is still good */
    TRAFFIC_JOINED,    /* with what was being fetched for another */
    TRAFFIC_MISS,      /* with what was fetched for it */
    TRAFFIC_PASS,      /* not for a cache: its method, or what it carries */
    TRAFFIC_KINDS
};

enum traffic_mode { TRAFFIC_REVERSE, TRAFFIC_FORWARD, TRAFFIC_MODES };

struct traffic_sum {
    uint64_t requests[TRAFFIC_KINDS];
    uint64_t bytes[TRAFFIC_KINDS]; /* of content sent to clients */
};

/* Opens the accounts of all that is cached, for as long as arena is there: sets
 * cache_conf.account. 0, or -1 with err. */
int traffic_adopt(struct conf *conf, struct arena *arena, struct err *err);

/* Counts one request, on the thread of this worker. */
void traffic_count(const struct traffic_account *account, unsigned worker, enum traffic_mode mode,
                   enum traffic_kind kind, uint64_t bytes);

/* What an account has, and what all have and ever had since the process began. */
void traffic_read(const struct traffic_account *account, enum traffic_mode mode,
                  struct traffic_sum *sum);
void traffic_read_all(enum traffic_mode mode, struct traffic_sum *sum);

/* ---- what follows from the numbers */

uint64_t traffic_requests(const struct traffic_sum *sum);
uint64_t traffic_bytes(const struct traffic_sum *sum);

/* The part of all requests, and of all bytes, that came from what was stored: asking
 * nobody, but for the bytes of what was validated. 0 to 1; 0 when there were none. */
double traffic_hit_ratio(const struct traffic_sum *sum);
double traffic_byte_ratio(const struct traffic_sum *sum);

/* "hit", "stale" ...: static. */
const char *traffic_kind_word(enum traffic_kind kind);
const char *traffic_mode_word(enum traffic_mode mode);

#endif
