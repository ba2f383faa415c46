/* SPDX-License-Identifier: BSD-2-Clause */
/* rate_guard.c - windows of time in which a peer has to do something.
 *
 * A window that holds a long pause of ours says nothing about the peer: then
 * a new one begins.
 */
#include "config.h"

#include "server/http/rate_guard.h"

#define LONG_PAUSE_MS 1000

void
rate_guard_init(struct rate_guard *guard, struct min_rate rate, void (*on_due)(struct timer *))
{
    timer_init(&guard->timer, on_due);
    guard->rate = rate;
    guard->moved_at_start = 0;
    guard->moved_ms = 0;
    guard->is_waiting = false;
}

bool
rate_guard_wait(struct rate_guard *guard, const struct loop *loop)
{
    if (guard->is_waiting || guard->rate.bytes == 0)
        return false;
    guard->is_waiting = true;
    return !timer_is_armed(&guard->timer) ||
           loop_now_ms(loop) - guard->moved_ms > LONG_PAUSE_MS;
}

void
rate_guard_begin(struct rate_guard *guard, struct loop *loop, uint64_t moved_bytes)
{
    guard->moved_at_start = moved_bytes;
    timer_arm(loop, &guard->timer, guard->rate.ms);
}

bool
rate_guard_is_too_slow(struct rate_guard *guard, struct loop *loop, uint64_t moved_bytes)
{
    if (!guard->is_waiting)
        return false;
    if (moved_bytes - guard->moved_at_start < guard->rate.bytes)
        return true;
    rate_guard_begin(guard, loop, moved_bytes);
    return false;
}

void
rate_guard_stop(struct rate_guard *guard)
{
    timer_disarm(&guard->timer);
    guard->is_waiting = false;
}
