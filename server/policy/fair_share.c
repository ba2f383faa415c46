/* SPDX-License-Identifier: BSD-2-Clause */
/* fair_share.c - clocks that count bytes.
 *
 * A clock counts what was drawn by quick flows and by others (bulk) apart:
 *
 *     a quick flow may go on when   its end + bulk let through  <= clock
 *     another one when              its end + quick drawn       <= clock
 *                             or    its end <= floor, which follows the clock at a quarter
 *                                   of its pace while there is bulk that waits
 *
 * Each clock has a lock of its own, held for some nanoseconds once in a quantum of content;
 * places in the table are found under others, once in a flow.
 */
#include "config.h"

#include "server/policy/fair_share.h"

#include "server/base/must.h"
#include "server/registry.h"

#include <sched.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLOTS 8
#define KEYS_PER_BUCKET 6 /* meant to be; the rest is room for chance */
#define LOCKS 64
#define FLOOR_PART 4
#define SECOND_NS 1000000000.0
#define BYTES_MAX 0x1p60  /* counted at a time: after years without a flow */
#define SPINS_MAX 100     /* then whoever holds the lock may need this processor */

struct fair_clock {
    alignas(64) _Atomic uint32_t is_locked; /* guards what follows up to floor */
    uint64_t counted;      /* bytes: the hand */
    uint64_t counted_ns;   /* when it was right; 0: never yet */
    uint64_t quick_drawn, bulk_drawn;
    uint64_t bulk_passed, floor;

    alignas(64) uint64_t key; /* the lock of its bucket guards these */
    uint64_t used_ns;
    uint32_t flows;
};

struct fair_share {
    struct registered registered;
    struct fair_clock *clocks; /* SLOTS for each bucket */
    uint32_t bucket_count;
    struct fair_clock crowd;   /* of all for whom there is no place */
    pthread_mutex_t locks[LOCKS];
};

/* ---- a clock */

static void
lock(struct fair_clock *clock)
{
    unsigned spins = 0;

    while (unlikely(atomic_exchange_explicit(&clock->is_locked, 1, memory_order_acquire) != 0)) {
        while (atomic_load_explicit(&clock->is_locked, memory_order_relaxed) != 0)
            if (++spins % SPINS_MAX == 0)
                sched_yield();
    }
}

static void
unlock(struct fair_clock *clock)
{
    atomic_store_explicit(&clock->is_locked, 0, memory_order_release);
}

static uint64_t
smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Time goes on; what is left of a byte counts next time. */
static void
run(struct fair_clock *clock, const struct fair_rate *rate, uint64_t now_ns)
{
    uint64_t most = clock->quick_drawn + clock->bulk_drawn + rate->burst_bytes, bytes;
    double exactly;

    if (clock->counted_ns == 0) {
        clock->counted_ns = now_ns;
        clock->counted = most;
    }
    if (now_ns <= clock->counted_ns) /* of a thread whose turn is longer */
        return;
    exactly = (double)(now_ns - clock->counted_ns) * (double)rate->bytes_per_s / SECOND_NS;
    bytes = exactly < BYTES_MAX ? (uint64_t)exactly : (uint64_t)BYTES_MAX;
    clock->counted_ns += (uint64_t)((double)bytes * SECOND_NS / (double)rate->bytes_per_s);
    clock->counted += bytes;
    if (clock->counted >= most) {
        clock->counted = most;
        clock->counted_ns = now_ns;
    }
    clock->floor = smaller(clock->floor + bytes / FLOOR_PART, clock->bulk_drawn);
    if (clock->floor < clock->bulk_passed)
        clock->floor = clock->bulk_passed;
}

static void
draw(struct fair_clock *clock, struct fair_flow *flow, uint64_t bytes, bool is_quick)
{
    uint64_t *drawn = is_quick ? &clock->quick_drawn : &clock->bulk_drawn;

    *drawn += bytes;
    flow->end = *drawn;
    flow->drawn = bytes;
    flow->is_quick = is_quick;
}

/* Bytes that the clock has to count until then. */
static uint64_t
missing(const struct fair_clock *clock, const struct fair_flow *flow)
{
    uint64_t at = flow->end + (flow->is_quick ? clock->bulk_passed : clock->quick_drawn);
    uint64_t bytes = at > clock->counted ? at - clock->counted : 0;

    if (flow->is_quick || bytes == 0)
        return bytes;
    return flow->end > clock->floor ? smaller(bytes, (flow->end - clock->floor) * FLOOR_PART) : 0;
}

uint64_t
fair_flow_ask(struct fair_flow *flow, const struct fair_rate *rate, uint64_t bytes, bool is_quick,
              uint64_t now_ns)
{
    struct fair_clock *clock = flow->clock;
    uint64_t left;

    must(bytes > 0);
    lock(clock);
    run(clock, rate, now_ns);
    if (flow->drawn == 0)
        draw(clock, flow, bytes, is_quick);
    left = missing(clock, flow);
    if (left == 0) {
        if (!flow->is_quick)
            clock->bulk_passed += flow->drawn;
        flow->drawn = 0;
    }
    unlock(clock);
    return (uint64_t)((double)left * SECOND_NS / (double)rate->bytes_per_s) + (left > 0);
}

/* As if they had passed, and as many had not been let through. */
void
fair_flow_return(struct fair_flow *flow, uint64_t bytes)
{
    if (bytes == 0)
        return;
    lock(flow->clock);
    flow->clock->counted += bytes;
    unlock(flow->clock);
}

static void
give_up_waiting(struct fair_flow *flow)
{
    struct fair_clock *clock = flow->clock;

    if (flow->drawn == 0)
        return;
    lock(clock);
    if (!flow->is_quick)
        clock->bulk_passed += flow->drawn;
    clock->counted += flow->drawn;
    unlock(clock);
    flow->drawn = 0;
}

/* ---- places */

/* The key's clock, or one that nobody uses, the longest unused of them. NULL: none. */
static struct fair_clock *
choose(struct fair_clock *clocks, uint64_t key)
{
    struct fair_clock *best = NULL;

    for (unsigned i = 0; i < SLOTS; i++) {
        struct fair_clock *clock = &clocks[i];

        if (clock->key == key && clock->used_ns > 0)
            return clock;
        if (clock->flows == 0 && (best == NULL || clock->used_ns < best->used_ns))
            best = clock;
    }
    if (best == NULL)
        return NULL;
    *best = (struct fair_clock){ .key = key };
    return best;
}

bool
fair_flow_begin(struct fair_flow *flow, struct fair_share *share, uint64_t key, uint64_t now_ns)
{
    size_t bucket = (size_t)(((key >> 32) * share->bucket_count) >> 32);
    pthread_mutex_t *bucket_lock = &share->locks[bucket % LOCKS];
    struct fair_clock *clock;

    *flow = (struct fair_flow){ .clock = &share->crowd };
    pthread_mutex_lock(bucket_lock);
    clock = choose(&share->clocks[bucket * SLOTS], key);
    if (clock != NULL) {
        clock->flows++;
        clock->used_ns = now_ns + 1;
        flow->clock = clock;
        flow->place_lock = bucket_lock;
    }
    pthread_mutex_unlock(bucket_lock);
    return clock != NULL;
}

void
fair_flow_end(struct fair_flow *flow)
{
    struct fair_clock *clock = flow->clock;

    give_up_waiting(flow);
    flow->clock = NULL;
    if (flow->place_lock == NULL)
        return;
    pthread_mutex_lock(flow->place_lock);
    clock->flows--;
    pthread_mutex_unlock(flow->place_lock);
}

/* ---- in the registry */

static void
discard(struct registered *registered)
{
    struct fair_share *share = container_of(registered, struct fair_share, registered);

    if (share->clocks != NULL)
        munmap(share->clocks, share->bucket_count * SLOTS * sizeof(*share->clocks));
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&share->locks[i]);
    free(share);
}

static struct registered *
make(const void *arg, struct err *err)
{
    uint64_t max_keys = *(const uint64_t *)arg;
    size_t bytes = sizeof(struct fair_share);
    struct fair_share *share = aligned_alloc(alignof(struct fair_share), bytes);

    if (share == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    memset(share, 0, bytes);
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&share->locks[i], NULL);
    share->bucket_count = (uint32_t)((max_keys + KEYS_PER_BUCKET - 1) / KEYS_PER_BUCKET);
    share->clocks = mmap(NULL, share->bucket_count * SLOTS * sizeof(*share->clocks),
                         PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (share->clocks != MAP_FAILED)
        return &share->registered;
    share->clocks = NULL;
    err_set(err, "out of memory for max_keys");
    discard(&share->registered);
    return NULL;
}

static const struct registry_kind share_kind = { "share", make, discard };

struct fair_share *
fair_share_adopt(const char *identity, uint64_t max_keys, struct err *err)
{
    struct registered *registered = registry_adopt(&share_kind, identity, &max_keys, err);

    return registered != NULL ? container_of(registered, struct fair_share, registered) : NULL;
}

void
fair_share_unref(struct fair_share *share)
{
    if (share != NULL)
        registered_unref(&share->registered);
}
