/* SPDX-License-Identifier: BSD-2-Clause */
/* log_ring.h - records on their way from one producer to the log thread.
 *
 *      tail                    head
 *       |  record  |  record  |   free ...      (mapped twice in a row)
 *
 * A ring's memory is mapped twice, the second right behind the first, so no
 * record ever wraps: producers format in place and the log thread reads in
 * one piece. head and tail only grow.
 */
#ifndef BASCULE_LOG_RING_H
#define BASCULE_LOG_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_sink;

#define LOG_CACHE_LINE 64

struct log_record {
    struct log_sink *sink; /* NULL: a message for the error log */
    uint64_t wall_ms;
    uint32_t bytes; /* of the line that follows */
    uint32_t level;
};

struct log_ring {
    /* The producer's. */
    _Alignas(LOG_CACHE_LINE) _Atomic uint64_t head;
    uint64_t tail_seen;

    /* The log thread's. */
    _Alignas(LOG_CACHE_LINE) _Atomic uint64_t tail;
    struct log_ring *next;

    /* Of both. */
    _Alignas(LOG_CACHE_LINE) char *data;
    size_t bytes;
    _Atomic bool is_closed; /* the producer is gone */
};

/* An empty ring of bytes, a power of two and at least a page. NULL when memory is short. */
struct log_ring *log_ring_new(size_t bytes);
void log_ring_free(struct log_ring *ring);

/* The record at a position, and how far it reaches with a line of so many bytes. */
static inline struct log_record *
log_ring_record(const struct log_ring *ring, uint64_t position)
{
    return (struct log_record *)(void *)(ring->data + (position & (ring->bytes - 1)));
}

static inline uint64_t
log_record_span(size_t bytes)
{
    return (sizeof(struct log_record) + bytes + 7) & ~(uint64_t)7;
}

/* For the producer: bytes in use before head. May say too many as long as that is
 * no more than harmless, to leave the log thread's cache line alone. */
static inline uint64_t
log_ring_used(struct log_ring *ring, uint64_t head, uint64_t harmless)
{
    if (head - ring->tail_seen > harmless)
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return head - ring->tail_seen;
}

#endif
