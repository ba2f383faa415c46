/* SPDX-License-Identifier: BSD-2-Clause */
/* trail_ring.c - a ring of words, each of which is atomic.
 *
 * Positions count all words ever written. The writer moves `oldest` past what it
 * will overwrite, then writes, then moves `end`. Words are stored with release and
 * loaded with acquire order: a reader that has seen a word of the new record also sees
 * that `oldest` has moved, and throws away what it copied. On most machines these
 * are plain loads and stores.
 */
#include "config.h"

#include "modes/trail_ring.h"

#include "server/base/must.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MARK_WORDS (sizeof(struct trail_mark) / sizeof(uint64_t))

struct trail_ring {
    size_t words;
    alignas(64) _Atomic uint64_t oldest;
    _Atomic uint64_t end;
    _Atomic uint64_t items[];
};

struct trail_ring *
trail_ring_new(size_t bytes)
{
    size_t words = bytes / sizeof(uint64_t);
    size_t all = sizeof(struct trail_ring) + words * sizeof(uint64_t);
    struct trail_ring *ring = aligned_alloc(alignof(struct trail_ring), (all + 63) & ~(size_t)63);

    if (ring == NULL)
        return NULL;
    memset(ring, 0, all);
    ring->words = words;
    return ring;
}

void
trail_ring_free(struct trail_ring *ring)
{
    free(ring);
}

size_t
trail_ring_bytes(const struct trail_ring *ring)
{
    return ring->words * sizeof(uint64_t);
}

static uint32_t
length_of(uint64_t first_word)
{
    struct trail_mark mark;

    memcpy(&mark, &first_word, sizeof(first_word));
    return mark.words;
}

static void
write_words(_Atomic uint64_t *to, const uint64_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&to[i], from[i], memory_order_release);
}

void
trail_ring_put(struct trail_ring *ring, const uint64_t *record)
{
    uint32_t words = length_of(record[0]);
    uint64_t end = atomic_load_explicit(&ring->end, memory_order_relaxed);
    uint64_t oldest = atomic_load_explicit(&ring->oldest, memory_order_relaxed);
    size_t at = (size_t)(end % ring->words);
    uint32_t first; /* so many before the end of the memory */

    must(words >= MARK_WORDS);
    if (words > ring->words)
        return;
    while (end + words - oldest > ring->words)
        oldest += length_of(atomic_load_explicit(&ring->items[oldest % ring->words],
                                                 memory_order_relaxed));
    atomic_store_explicit(&ring->oldest, oldest, memory_order_relaxed);
    first = ring->words - at < words ? (uint32_t)(ring->words - at) : words;
    write_words(&ring->items[at], record, first);
    write_words(ring->items, record + first, words - first);
    atomic_store_explicit(&ring->end, end + words, memory_order_release);
}

/* ---- reading */

static uint64_t
word_at(const struct trail_ring *ring, uint64_t position)
{
    return atomic_load_explicit(&ring->items[position % ring->words], memory_order_acquire);
}

/* Whether what was read from at on is what was written there. If not, the reader goes
 * on with what is the oldest now. */
static bool
was_there(const struct trail_ring *ring, struct trail_reader *reader)
{
    uint64_t oldest = atomic_load_explicit(&ring->oldest, memory_order_acquire);

    if (oldest <= reader->at)
        return true;
    reader->at = oldest;
    return false;
}

static void
begin(const struct trail_ring *ring, struct trail_reader *reader)
{
    if (reader->is_begun)
        return;
    reader->is_begun = true;
    reader->end = atomic_load_explicit(&ring->end, memory_order_acquire);
    reader->at = atomic_load_explicit(&ring->oldest, memory_order_acquire);
}

/* Copies the record at which the reader is. False: it was lost, or is too long. */
static bool
copy(const struct trail_ring *ring, struct trail_reader *reader, uint32_t words,
     uint64_t *record, size_t room)
{
    if (words > room) {
        reader->at += words;
        return false;
    }
    for (uint32_t i = 0; i < words; i++)
        record[i] = word_at(ring, reader->at + i);
    if (!was_there(ring, reader))
        return false;
    reader->at += words;
    return true;
}

/* id NULL: any. */
static bool
next(const struct trail_ring *ring, struct trail_reader *reader, const uint64_t *id,
     uint64_t *record, size_t room)
{
    begin(ring, reader);
    while (reader->at < reader->end) {
        uint32_t words = length_of(word_at(ring, reader->at));
        uint64_t found = word_at(ring, reader->at + 1);

        if (!was_there(ring, reader))
            continue;
        if (id != NULL && found != *id)
            reader->at += words;
        else if (copy(ring, reader, words, record, room))
            return true;
    }
    return false;
}

bool
trail_ring_next(const struct trail_ring *ring, struct trail_reader *reader, uint64_t *record,
                size_t room)
{
    return next(ring, reader, NULL, record, room);
}

bool
trail_ring_next_of(const struct trail_ring *ring, struct trail_reader *reader, uint64_t id,
                   uint64_t *record, size_t room)
{
    return next(ring, reader, &id, record, room);
}
