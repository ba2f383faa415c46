/* SPDX-License-Identifier: BSD-2-Clause */
/* generation.h - a worker's hold on the snapshots it serves.
 *
 * A snapshot is counted by reference across threads; an exchange would pay for
 * that with two contended atomic operations. So a worker holds one reference
 * to a snapshot for as long as it is current or exchanges of it run, and
 * counts those exchanges itself.
 */
#ifndef BASCULE_GENERATION_H
#define BASCULE_GENERATION_H

struct snapshot;
struct worker;

struct generation {
    struct snapshot *snapshot;
    struct worker *worker;
    unsigned exchanges;
};

/* Makes snapshot the worker's current one: worker->snapshot. Takes a reference
 * of its own. NULL takes the current one away. 0, or -1 when memory is short. */
int generation_publish(struct worker *worker, struct snapshot *snapshot);

/* Holds the current generation for one exchange. */
struct generation *generation_hold(struct worker *worker);

/* Holds the same one for one exchange more. */
struct generation *generation_share(struct generation *generation);

/* Ends the hold; the last one of an old generation gives the snapshot back. */
void generation_release(struct generation *generation);

#endif
