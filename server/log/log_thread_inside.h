/* SPDX-License-Identifier: BSD-2-Clause */
/* log_thread_inside.h - where those who log and the log thread meet. */
#ifndef BASCULE_LOG_THREAD_INSIDE_H
#define BASCULE_LOG_THREAD_INSIDE_H

#include <pthread.h>

#include "server/log/log_ring.h"
#include "server/log/log_thread.h"

/* How the log thread rests: who commits a line looks. */
enum log_rest {
    REST_AWAKE,
    REST_NAP,   /* wake me when a ring is half full */
    REST_SLEEP, /* wake me for anything */
};

struct log_meeting {
    _Atomic bool is_running;
    _Atomic int rest; /* enum log_rest */
    size_t ring_bytes;

    /* Pushed by those who log, taken by the log thread. */
    _Atomic(struct log_ring *) new_rings;
    _Atomic(struct log_limit *) new_limits;

    pthread_mutex_t shared_lock; /* guards being shared's producer */
    struct log_ring *shared;

    _Atomic uint64_t messages_dropped;
};

extern struct log_meeting log_meeting;

/* Hands a new ring to the log thread, which alone takes rings off. */
void log_ring_publish(struct log_ring *ring);

/* Counts a line for sink, or for the error log, that is lost. */
void log_count_drop(struct log_sink *sink);

#endif
