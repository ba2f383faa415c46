/* SPDX-License-Identifier: BSD-2-Clause */
/* log_thread_lines.c - what those who log do: lines into rings, from many threads.
 *
 * Nothing here waits, but for the lock of the ring that threads without one of their own
 * share. The log thread's side of it is in log_thread.c.
 */
#include "config.h"

#include "server/log/log_thread_inside.h"

#include "server/base/must.h"

/* Less room than this is not worth beginning a line. */
#define ROOM_MIN 512

struct log_meeting log_meeting = { .shared_lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local struct log_ring *own_ring;
static _Thread_local struct log_ring *open_ring; /* between log_begin() and log_commit() */

/* ---- to the log thread */

bool
log_thread_is_running(void)
{
    return atomic_load_explicit(&log_meeting.is_running, memory_order_acquire);
}

void
log_ring_publish(struct log_ring *ring)
{
    struct log_ring *first = atomic_load(&log_meeting.new_rings);

    do {
        ring->next = first;
    } while (!atomic_compare_exchange_weak(&log_meeting.new_rings, &first, ring));
}

void
log_limit_tell(struct log_limit *limit)
{
    struct log_limit *first = atomic_load(&log_meeting.new_limits);

    do {
        limit->next = first;
    } while (!atomic_compare_exchange_weak(&log_meeting.new_limits, &first, limit));
}

void
log_count_drop(struct log_sink *sink)
{
    if (sink != NULL)
        log_sink_drop(sink, 1);
    else
        atomic_fetch_add_explicit(&log_meeting.messages_dropped, 1, memory_order_relaxed);
}

/* ---- rings of threads */

int
log_thread_attach(void)
{
    must(own_ring == NULL && log_thread_is_running());
    own_ring = log_ring_new(log_meeting.ring_bytes);
    if (own_ring == NULL)
        return -1;
    log_ring_publish(own_ring);
    return 0;
}

void
log_thread_detach(void)
{
    if (own_ring == NULL)
        return;
    atomic_store_explicit(&own_ring->is_closed, true, memory_order_release);
    own_ring = NULL;
    log_wake();
}

/* ---- lines */

static struct log_ring *
ring_take(void)
{
    if (likely(own_ring != NULL))
        return own_ring;
    pthread_mutex_lock(&log_meeting.shared_lock);
    return log_meeting.shared;
}

static void
ring_give(struct log_ring *ring)
{
    open_ring = NULL;
    if (unlikely(ring != own_ring))
        pthread_mutex_unlock(&log_meeting.shared_lock);
}

char *
log_begin(struct log_sink *sink, enum log_level level, uint64_t wall_ms, size_t *room)
{
    struct log_record *record;
    struct log_ring *ring;
    uint64_t head, used, kept;

    if (unlikely(!log_thread_is_running())) {
        log_count_drop(sink);
        return NULL;
    }
    ring = ring_take();
    head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    kept = sizeof(*record) + (sink != NULL ? ring->bytes / 16 : 0);
    used = log_ring_used(ring, head, ring->bytes - kept - LOG_LINE_MAX);
    if (unlikely(used + kept + ROOM_MIN > ring->bytes)) {
        ring_give(ring);
        log_count_drop(sink);
        return NULL;
    }
    *room = ring->bytes - used - kept;
    if (*room > LOG_LINE_MAX)
        *room = LOG_LINE_MAX;
    open_ring = ring;
    record = log_ring_record(ring, head);
    record->sink = sink;
    record->wall_ms = wall_ms;
    record->level = level;
    return (char *)(record + 1);
}

static void
wake_from(int how)
{
    if (atomic_compare_exchange_strong(&log_meeting.rest, &how, REST_AWAKE))
        log_wake();
}

void
log_commit(size_t bytes)
{
    struct log_ring *ring = open_ring;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    int how;

    log_ring_record(ring, head)->bytes = (uint32_t)bytes;
    head += log_record_span(bytes);
    atomic_store_explicit(&ring->head, head, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst); /* pairs with membarrier() in can_sleep() */
    how = atomic_load_explicit(&log_meeting.rest, memory_order_relaxed);
    if (unlikely(how == REST_SLEEP ||
                 (how == REST_NAP && log_ring_used(ring, head, ring->bytes / 2) > ring->bytes / 2)))
        wake_from(how);
    ring_give(ring);
}

void
log_abandon(void)
{
    struct log_ring *ring = open_ring;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    log_count_drop(log_ring_record(ring, head)->sink);
    ring_give(ring);
}
