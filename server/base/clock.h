/* SPDX-License-Identifier: BSD-2-Clause */
/* clock.h - what time it is, for intervals and for people. */
#ifndef BASCULE_CLOCK_H
#define BASCULE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Time since some fixed moment; never goes back (CLOCK_MONOTONIC). */
static inline uint64_t
clock_monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t
clock_monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000u;
}

/* Milliseconds since 1970, as people and logs count. */
static inline uint64_t
clock_wall_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* The same to a few milliseconds, for less. */
static inline uint64_t
clock_wall_coarse_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

#endif
