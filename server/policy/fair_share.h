/* SPDX-License-Identifier: BSD-2-Clause */
/* fair_share.h - bytes a second that several flows have together, each its fair part.
 *
 * Each key has a clock that counts bytes. A flow that has something to send draws a number:
 * the place of its next bytes behind those that others have drawn for theirs. It may go on
 * when the clock, which runs at the rate, has come there.
 *
 *      let through       drawn: A  B  C  A' is behind C
 *     --------------|---|====|====|====|
 *                 clock ->
 *
 * As each flow draws one number at a time, they take turns, whatever thread they are on; who
 * asks for more at a time (weight) gets more. Nobody is woken by others: a flow knows for how
 * long it has to wait. While nobody draws, the clock stops a burst ahead.
 *
 * Quick flows (at their beginning) go before all others, which have a quarter in any case.
 *
 * A table of clocks lives in the registry, is bounded, and shared by all threads. A clock
 * without flows is forgotten when its place is needed; when all have some, further keys share
 * one clock.
 */
#ifndef BASCULE_FAIR_SHARE_H
#define BASCULE_FAIR_SHARE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"

struct fair_clock;
struct fair_share;

/* Finds or makes the table of that identity, for about max_keys clocks. Counts a reference.
 * NULL with err. */
struct fair_share *fair_share_adopt(const char *identity, uint64_t max_keys, struct err *err);
void fair_share_unref(struct fair_share *share);

/* How fast; may be another one in each call. */
struct fair_rate {
    uint64_t bytes_per_s; /* from 1 to FAIR_RATE_MAX */
    uint64_t burst_bytes;
};

#define FAIR_RATE_MAX ((uint64_t)1 << 40)

/* One flow; belongs to one thread. All private. */
struct fair_flow {
    struct fair_clock *clock;
    pthread_mutex_t *place_lock; /* of the clock's place; NULL: the crowd's, which is nobody's */
    uint64_t end;    /* of the bytes it has drawn for, as its class counts */
    uint64_t drawn;  /* bytes; 0: it does not wait */
    bool is_quick;
};

/* Begins a flow of the key; share must live until its end. False: the table is full, and it
 * shares a clock with others that came too late. */
bool fair_flow_begin(struct fair_flow *flow, struct fair_share *share, uint64_t key,
                     uint64_t now_ns);
void fair_flow_end(struct fair_flow *flow);

/* Asks for bytes (1 or more), or again for those that were asked for before and are not there
 * yet. Returns 0: they may pass; or the nanoseconds until it is worth asking again. */
uint64_t fair_flow_ask(struct fair_flow *flow, const struct fair_rate *rate, uint64_t bytes,
                       bool is_quick, uint64_t now_ns);

/* Gives back bytes that might have passed and will not. */
void fair_flow_return(struct fair_flow *flow, uint64_t bytes);

#endif
