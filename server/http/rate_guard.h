/* SPDX-License-Identifier: BSD-2-Clause */
/* rate_guard.h - a peer has to move at least so many bytes in any window.
 *
 * The window runs only while we wait for that peer. A timer that each byte
 * restarts would let a sender of one byte in nine seconds live for ever.
 */
#ifndef BASCULE_RATE_GUARD_H
#define BASCULE_RATE_GUARD_H

#include "server/base/must.h"
#include "server/net/loop.h"
#include "server/schema.h"

struct rate_guard {
    struct timer timer;
    struct min_rate rate;
    uint64_t moved_at_start; /* bytes moved when the window began */
    uint64_t moved_ms;       /* when it last moved anything */
    bool is_waiting;
};

/* on_due of the timer is the owner's: it calls rate_guard_is_too_slow() and acts. */
void rate_guard_init(struct rate_guard *guard, struct min_rate rate,
                     void (*on_due)(struct timer *));

/* We wait for the peer. True: a window has to begin, which the caller does by
 * rate_guard_begin(), because what was moved may cost a system call to learn. */
bool rate_guard_wait(struct rate_guard *guard, const struct loop *loop) MUST_USE;

/* The peer has moved so many bytes in all; the next ones count for the window. */
void rate_guard_begin(struct rate_guard *guard, struct loop *loop, uint64_t moved_bytes);

/* The peer moved; we do not wait for it now. */
static inline void
rate_guard_moved(struct rate_guard *guard, const struct loop *loop)
{
    if (guard->is_waiting) {
        guard->is_waiting = false;
        guard->moved_ms = loop_now_ms(loop);
    }
}

/* When the timer is due: whether the peer was too slow. Otherwise the next
 * window has begun, if we still wait. */
bool rate_guard_is_too_slow(struct rate_guard *guard, struct loop *loop, uint64_t moved_bytes);

void rate_guard_stop(struct rate_guard *guard);

#endif
