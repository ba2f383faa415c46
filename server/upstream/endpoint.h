/* SPDX-License-Identifier: BSD-2-Clause */
/* endpoint.h - one server of a group, as it is: how busy, up or down.
 *
 * Lives in the registry under its group's name and address, so a reload keeps
 * what is known of it. Shared by all workers; everything that changes is
 * atomic. A snapshot's struct endpoint_conf leads here.
 *
 *     UP --(max_fails within fail_ms)--> DOWN --(fail_ms later)--> one exchange tries
 *      ^----------------- it succeeds ------------------------------------'
 */
#ifndef BASCULE_ENDPOINT_H
#define BASCULE_ENDPOINT_H

#include <stdalign.h>
#include <stdatomic.h>

#include "server/registry.h"
#include "server/schema.h"

/* The low bits of load count exchanges in flight, the others all there ever
 * were: one atomic operation for both. */
#define ENDPOINT_IN_FLIGHT_BITS 24
#define ENDPOINT_PICKED ((1ull << ENDPOINT_IN_FLIGHT_BITS) + 1)

struct endpoint {
    struct registered registered;
    unsigned index;              /* small and unique among endpoints: of a worker's pool for it */
    _Atomic uint64_t generation; /* of the newest snapshot that has it */

    /* Touched by every exchange: a cache line of its own. */
    alignas(64) _Atomic uint64_t load;
    _Atomic uint64_t down;      /* 0: up; else (time to try again in ms << 1) | being tried */
    _Atomic uint64_t failures;  /* (start of the window in ms << 16) | failures since */
    _Atomic uint64_t failed;    /* all failures, for status */
};

/* What status shows. */
struct endpoint_numbers {
    bool is_up;
    uint32_t down_ms; /* until it is tried again */
    uint64_t in_flight, picked, failed;
};

/* Finds or makes the endpoint and notes that generation has it; conf->endpoint
 * leads to it then. The caller gives the reference back with endpoint_unref(). */
int endpoint_adopt(struct endpoint_conf *conf, const struct group_conf *group, uint64_t generation,
                   struct err *err);

/* For who outlives the snapshot it came from: tunnels and pools. */
struct endpoint *endpoint_ref(struct endpoint *endpoint);
void endpoint_unref(struct endpoint *endpoint);

/* Reserves a slot, exactly, whatever other threads do: false when conf's
 * max_connections are in flight, or when it is down and not (yet) to be tried.
 * is_last_resort: try it though it is down. */
bool endpoint_take(const struct endpoint_conf *conf, const struct group_conf *group,
                   bool is_last_resort, uint64_t now_ms);

/* Gives the slot back. */
void endpoint_release(struct endpoint *endpoint);

/* What the exchange (or connection attempt) found. Failures are those that say
 * something about the server: no connection, cut short, no answer in time. why says which, for
 * the log. */
void endpoint_failed(struct endpoint *endpoint, const struct group_conf *group, uint64_t now_ms,
                     const char *why);
void endpoint_came_up(struct endpoint *endpoint, uint64_t down);

static inline void
endpoint_succeeded(struct endpoint *endpoint)
{
    uint64_t down = atomic_load_explicit(&endpoint->down, memory_order_relaxed);

    if (unlikely(down & 1)) /* a success from before it went down says nothing */
        endpoint_came_up(endpoint, down);
}

/* Whether it is up, or down but due to be tried. */
static inline bool
endpoint_is_due(const struct endpoint *endpoint, uint64_t now_ms)
{
    uint64_t down = atomic_load_explicit(&endpoint->down, memory_order_relaxed);

    return likely(down == 0) || now_ms >= down >> 1;
}

static inline uint64_t
endpoint_in_flight(const struct endpoint *endpoint)
{
    return atomic_load_explicit(&endpoint->load, memory_order_relaxed) &
           ((1u << ENDPOINT_IN_FLIGHT_BITS) - 1);
}

static inline bool
endpoint_is_full(const struct endpoint_conf *conf)
{
    return conf->max_connections > 0 &&
           endpoint_in_flight(conf->endpoint) >= (uint64_t)conf->max_connections;
}

void endpoint_read(const struct endpoint *endpoint, uint64_t now_ms,
                   struct endpoint_numbers *numbers);

extern const struct registry_kind endpoint_kind;

#endif
