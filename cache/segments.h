/* SPDX-License-Identifier: BSD-2-Clause */
/* segments.h - the segments that there are, by number, by age and by slot.
 *
 * A slot is a segment's short name in the index. Its one lock is held for the
 * time of a look-up. Any thread.
 */
#ifndef BASCULE_CACHE_SEGMENTS_H
#define BASCULE_CACHE_SEGMENTS_H

#include <pthread.h>

#include "cache/index.h"
#include "cache/segment.h"

struct segments {
    pthread_mutex_t lock;        /* guards the rest */
    struct segment **by_slot;
    struct segment **by_age;     /* their numbers ascend */
    size_t count, room;
    uint16_t last_slot;          /* given out most recently */
};

/* False when memory is short. Slots up to reserved are given out by their owner:
 * segments_add() takes those of segments that have one. */
bool segments_init(struct segments *segments, uint16_t reserved) MUST_USE;
void segments_fini(struct segments *segments);

/* Adds a segment, gives it a slot if it has none, and counts a reference. False
 * when memory or slots are short. */
bool segments_add(struct segments *segments, struct segment *segment) MUST_USE;

/* Takes it out, if it is there, and gives back the reference. */
void segments_remove(struct segments *segments, struct segment *segment);

/* Counted, or NULL: by slot, by number, the first whose number is at least this. */
struct segment *segments_by_slot(struct segments *segments, uint16_t slot);
struct segment *segments_by_number(struct segments *segments, uint64_t number);
struct segment *segments_from(struct segments *segments, uint64_t number);

/* Whether the segment in slot a has a higher number than the one in b; one
 * that is not there is the oldest. */
bool segments_is_newer(struct segments *segments, uint16_t a, uint16_t b);

struct segments_facts {
    uint64_t count, bytes, min_seq;
};
void segments_facts(struct segments *segments, struct segments_facts *facts);

#endif
