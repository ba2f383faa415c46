/* SPDX-License-Identifier: BSD-2-Clause */
/* endpoint.c - counts what is in flight and remembers who failed.
 *
 * Every word of state is one atomic, changed by compare-and-swap where the new
 * value depends on the old one. Success costs an exchange one relaxed load.
 */
#include "config.h"

#include "server/upstream/endpoint.h"

#include <stdio.h>
#include <stdlib.h>

#define FAILURE_COUNT_BITS 16
#define IDENTITY_BYTES 512

/* ---- indexes: the smallest free number, so that tables by index stay small */

/* Guarded by the registry's lock, under which make() and discard() are called. */
static uint64_t *used_indexes;
static size_t used_words;

static int
take_index(unsigned *index)
{
    uint64_t *grown;
    size_t word = 0;

    while (word < used_words && used_indexes[word] == UINT64_MAX)
        word++;
    if (word == used_words) {
        grown = realloc(used_indexes, (used_words * 2 + 1) * sizeof(*grown));
        if (grown == NULL)
            return -1;
        memset(grown + used_words, 0, (used_words + 1) * sizeof(*grown));
        used_indexes = grown;
        used_words = used_words * 2 + 1;
    }
    *index = (unsigned)(word * 64) + (unsigned)__builtin_ctzll(~used_indexes[word]);
    used_indexes[word] |= 1ull << (*index % 64);
    return 0;
}

static void
give_index(unsigned index)
{
    used_indexes[index / 64] &= ~(1ull << (index % 64));
}

/* ---- in the registry */

static struct registered *
make(const void *conf, struct err *err)
{
    struct endpoint *endpoint = aligned_alloc(alignof(struct endpoint), sizeof(*endpoint));
    unsigned index;

    (void)conf;
    if (endpoint == NULL || take_index(&index) < 0) {
        free(endpoint);
        err_set(err, "out of memory for an endpoint");
        return NULL;
    }
    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->index = index;
    return &endpoint->registered;
}

static struct endpoint *
endpoint_of(struct registered *object)
{
    must(object != NULL && object->kind == &endpoint_kind);
    return container_of(object, struct endpoint, registered);
}

static void
discard(struct registered *object)
{
    struct endpoint *endpoint = endpoint_of(object);

    give_index(endpoint->index);
    free(endpoint);
}

const struct registry_kind endpoint_kind = {
    .name = "endpoint",
    .make = make,
    .free = discard,
};

int
endpoint_adopt(struct endpoint_conf *conf, const struct group_conf *group, uint64_t generation,
               struct err *err)
{
    char identity[IDENTITY_BYTES];
    struct registered *object;

    if (snprintf(identity, sizeof(identity), "%s/%s", group->name, conf->to) >=
        (int)sizeof(identity))
        return err_set(err, "endpoint \"%s\" of group \"%s\": the names are too long", conf->to,
                       group->name);
    object = registry_adopt(&endpoint_kind, identity, conf, err);
    if (object == NULL)
        return -1;
    conf->endpoint = endpoint_of(object);
    atomic_store_explicit(&conf->endpoint->generation, generation, memory_order_relaxed);
    return 0;
}

struct endpoint *
endpoint_ref(struct endpoint *endpoint)
{
    registered_ref(&endpoint->registered);
    return endpoint;
}

void
endpoint_unref(struct endpoint *endpoint)
{
    if (endpoint != NULL)
        registered_unref(&endpoint->registered);
}

/* ---- slots */

static bool
reserve(struct endpoint *endpoint, int64_t max)
{
    const uint64_t in_flight = (1u << ENDPOINT_IN_FLIGHT_BITS) - 1;
    uint64_t load;

    if (max <= 0) {
        atomic_fetch_add_explicit(&endpoint->load, ENDPOINT_PICKED, memory_order_relaxed);
        return true;
    }
    load = atomic_load_explicit(&endpoint->load, memory_order_relaxed);
    do {
        if ((load & in_flight) >= (uint64_t)max)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&endpoint->load, &load, load + ENDPOINT_PICKED,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Takes back a reservation that came to nothing. */
static void
unreserve(struct endpoint *endpoint)
{
    atomic_fetch_sub_explicit(&endpoint->load, ENDPOINT_PICKED, memory_order_relaxed);
}

static uint64_t
retry_at(uint64_t now_ms, const struct group_conf *group)
{
    return (now_ms + group->fail_ms) << 1;
}

/* One exchange at a time may find out whether a server that was down is back:
 * who moves the time of the next try. */
static bool
may_try(struct endpoint *endpoint, const struct group_conf *group, bool is_last_resort,
        uint64_t now_ms)
{
    uint64_t down = atomic_load_explicit(&endpoint->down, memory_order_relaxed);

    if (likely(down == 0))
        return true;
    if (!is_last_resort && now_ms < down >> 1)
        return false;
    return atomic_compare_exchange_strong_explicit(&endpoint->down, &down,
                                                   retry_at(now_ms, group) | 1,
                                                   memory_order_relaxed, memory_order_relaxed) ||
           is_last_resort;
}

bool
endpoint_take(const struct endpoint_conf *conf, const struct group_conf *group,
              bool is_last_resort, uint64_t now_ms)
{
    struct endpoint *endpoint = conf->endpoint;

    if (!reserve(endpoint, conf->max_connections))
        return false;
    if (likely(may_try(endpoint, group, is_last_resort, now_ms)))
        return true;
    unreserve(endpoint);
    return false;
}

void
endpoint_release(struct endpoint *endpoint)
{
    uint64_t before = atomic_fetch_sub_explicit(&endpoint->load, 1, memory_order_relaxed);

    must((before & ((1u << ENDPOINT_IN_FLIGHT_BITS) - 1)) > 0);
}

/* ---- health, as the exchanges see it */

/* Counts a failure into the window it falls in; how many there are now. */
static uint64_t
count_failure(struct endpoint *endpoint, uint32_t window_ms, uint64_t now_ms)
{
    const uint64_t count_mask = (1u << FAILURE_COUNT_BITS) - 1;
    uint64_t old = atomic_load_explicit(&endpoint->failures, memory_order_relaxed);
    uint64_t fresh;

    do {
        uint64_t start_ms = old >> FAILURE_COUNT_BITS;
        bool is_same = (old & count_mask) > 0 && now_ms < start_ms + window_ms;

        if (is_same)
            fresh = (old & count_mask) < count_mask ? old + 1 : old;
        else
            fresh = (now_ms << FAILURE_COUNT_BITS) | 1;
    } while (!atomic_compare_exchange_weak_explicit(&endpoint->failures, &old, fresh,
                                                    memory_order_relaxed, memory_order_relaxed));
    return fresh & count_mask;
}

void
endpoint_failed(struct endpoint *endpoint, const struct group_conf *group, uint64_t now_ms,
                const char *why)
{
    uint64_t up = 0, down, count;

    atomic_fetch_add_explicit(&endpoint->failed, 1, memory_order_relaxed);
    if (group->max_fails == 0)
        return;
    count = count_failure(endpoint, group->fail_ms, now_ms);
    down = atomic_load_explicit(&endpoint->down, memory_order_relaxed);
    if (down != 0) { /* the try failed, or an exchange that began before */
        atomic_compare_exchange_strong_explicit(&endpoint->down, &down, retry_at(now_ms, group),
                                                memory_order_relaxed, memory_order_relaxed);
        return;
    }
    if (count < (uint64_t)group->max_fails)
        return;
    if (atomic_compare_exchange_strong_explicit(&endpoint->down, &up, retry_at(now_ms, group),
                                                memory_order_relaxed, memory_order_relaxed))
        log_warn("endpoint %s is down after %llu failure%s (%s): skipped for %g s",
                 endpoint->registered.identity, (unsigned long long)count, count == 1 ? "" : "s",
                 why, group->fail_ms / 1000.0);
}

void
endpoint_came_up(struct endpoint *endpoint, uint64_t down)
{
    if (!atomic_compare_exchange_strong_explicit(&endpoint->down, &down, 0, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    atomic_store_explicit(&endpoint->failures, 0, memory_order_relaxed);
    log_info("endpoint %s is up again", endpoint->registered.identity);
}

void
endpoint_read(const struct endpoint *endpoint, uint64_t now_ms, struct endpoint_numbers *numbers)
{
    uint64_t load = atomic_load_explicit(&endpoint->load, memory_order_relaxed);
    uint64_t down = atomic_load_explicit(&endpoint->down, memory_order_relaxed);

    *numbers = (struct endpoint_numbers){
        .is_up = down == 0,
        .down_ms = down >> 1 > now_ms ? (uint32_t)((down >> 1) - now_ms) : 0,
        .in_flight = load & ((1u << ENDPOINT_IN_FLIGHT_BITS) - 1),
        .picked = load >> ENDPOINT_IN_FLIGHT_BITS,
        .failed = atomic_load_explicit(&endpoint->failed, memory_order_relaxed),
    };
}
