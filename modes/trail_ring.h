/* SPDX-License-Identifier: BSD-2-Clause */
/* trail_ring.h - a ring of records that one thread writes and others may read at any
 * time, without either waiting for the other.
 *
 *     oldest                      end
 *       v                          v
 *     [ record | record | record ] ( written next ... )
 *
 * A record is whole words; its first one begins with how many they are. What is
 * in the way of a new record is given up first. Who reads copies a record and then
 * looks whether it was still there: if not, the copy is worth nothing.
 */
#ifndef BASCULE_TRAIL_RING_H
#define BASCULE_TRAIL_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trail_ring;

/* Each record begins like this. */
struct trail_mark {
    uint32_t words; /* of all of the record, this included */
    uint32_t more;  /* the record's own */
    uint64_t id;
};

/* An empty ring. NULL when memory is short. */
struct trail_ring *trail_ring_new(size_t bytes);
void trail_ring_free(struct trail_ring *ring);

size_t trail_ring_bytes(const struct trail_ring *ring);

/* Adds a record, which begins with a mark; one that is longer than the ring is left out. */
void trail_ring_put(struct trail_ring *ring, const uint64_t *record);

/* Where a reader is. Zeroed it begins with the oldest record. */
struct trail_reader {
    uint64_t at;
    bool is_begun;
    uint64_t end; /* of what there was at the beginning */
};

/* The next record, of at most room words, copied to record. False: there is none. For any
 * thread, also while records are put: those that are lost meanwhile are passed over. */
bool trail_ring_next(const struct trail_ring *ring, struct trail_reader *reader, uint64_t *record,
                     size_t room);

/* The same, but passes over records of other ids without copying them. */
bool trail_ring_next_of(const struct trail_ring *ring, struct trail_reader *reader, uint64_t id,
                        uint64_t *record, size_t room);

#endif
