/* SPDX-License-Identifier: BSD-2-Clause */
/* slices.h - content that is kept in slices, as a source that goes from one to
 * the next.
 *
 *     head (kind SLICES)      [ 0 ][ 1 ][ 2 ][ 3 ] ...       each an object of its own
 *                                ^at.........^end
 *
 * A slice is taken from memory, from disk, from who fetches it right now, or is
 * fetched, once for everybody (fetch.h, FETCH_SLICE); the one behind a fetched one
 * is fetched ahead. All are of one representation: of one strong ETag.
 */
#ifndef BASCULE_SLICES_H
#define BASCULE_SLICES_H

#include "modes/cached.h"

struct slices;

enum slices_state {
    SLICES_WAIT,   /* road_resume() will be called */
    SLICES_READY,
    SLICES_FAILED, /* the slice cannot be had; or the head is out of date, and forgotten */
};

/* Content [first, end) of the whole behind head. In the exchange's arena; NULL
 * when memory is short. Counts a reference of head. */
struct slices *slices_open(struct exchange *ex, struct object *head, uint64_t first, uint64_t end);

/* Whether the first slice is there, so that a head may be promised. */
enum slices_state slices_look(struct slices *slices);

/* Whether that slice is fetched right now, and by somebody else. */
bool slices_is_fetched(const struct slices *slices, bool *is_joined);

/* Of FAILED; borrowed until slices_close(). */
const struct failure *slices_failure(const struct slices *slices);

/* From now on the pump that reads it is woken. */
struct source *slices_source(struct slices *slices, uint64_t first, uint64_t end);

/* Gives everything back. The pump must be stopped. NULL is fine; idempotent. */
void slices_close(struct slices *slices);

/* By which hash the store remembers (store_pass) that what is kept under this one
 * is not to be had in parts. */
static inline uint64_t
slices_passed_hash(uint64_t hash)
{
    return ~hash;
}

#endif
