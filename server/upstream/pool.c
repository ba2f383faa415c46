/* SPDX-License-Identifier: BSD-2-Clause */
/* pool.c - idle connections, last in, first out, so that few stay in use.
 *
 *     worker --> pools --by index--> pool of an endpoint
 *                      --by key----> destination (a pool, and when it goes)
 *
 * What is shared, being made and waited for is on lists of the pool, too.
 * Taking and giving are a few pointers moved: no memory, no search. The
 * connections of all destinations together are on one list by age, so that a
 * client who visits many cannot make us hold more than a fixed number.
 */
#include "config.h"

#include "server/upstream/pool.h"

#include <stdlib.h>

#include "server/base/hash.h"
#include "server/snapshot.h"
#include "server/tls/tls_resumption.h"
#include "server/worker.h"

#define BUCKETS 4096u
#define DESTINATION_IDLE_MAX 256

struct pool {
    struct worker *worker;
    struct endpoint *endpoint;       /* it keeps a reference; NULL: a destination */
    struct destination *destination; /* the one it is in, or NULL */
    struct list idle;                /* of pooled.link, most recently used first */
    struct list shared;              /* of shared.link */
    struct list openings;            /* of pool_opening.link */
    struct list waiters;             /* of pool_waiter.link */
    unsigned idle_count, max_idle;
    uint32_t idle_ms;
    uint8_t manner;                  /* enum pool_manner */
};

struct destination {
    struct pool pool;
    struct destination *next; /* of its bucket */
    struct list use;          /* among all of the worker, least recently used first */
    struct timer empty;       /* runs while nothing is idle */
    uint64_t hash;
    size_t key_bytes;
    char key[];
};

/* All pools of one worker. */
struct pools {
    struct pool **by_endpoint; /* by endpoint.index; NULL where there is none */
    unsigned endpoint_room;
    struct destination **buckets;
    unsigned destination_count;
    unsigned idle_count; /* of destinations */
    struct list uses;    /* of destination.use */
    struct list ages;    /* of pooled.age */
    struct hash_key key;
};

/* By worker id. Each is made, used and freed by its worker's thread alone. */
static struct pools *all_pools[WORKERS_MAX];

/* ---- one pool */

static void
init(struct pool *pool, unsigned max_idle, uint32_t idle_ms, struct worker *worker)
{
    *pool = (struct pool){ .worker = worker, .max_idle = max_idle, .idle_ms = idle_ms };
    list_init(&pool->idle);
    list_init(&pool->shared);
    list_init(&pool->openings);
    list_init(&pool->waiters);
}

struct pool *
pool_new(unsigned max_idle, uint32_t idle_ms, struct worker *worker)
{
    struct pool *pool = malloc(sizeof(*pool));

    if (pool != NULL)
        init(pool, max_idle, idle_ms, worker);
    return pool;
}

/* The one way out of a pool. */
static void
leave(struct pooled *pooled)
{
    struct pool *pool = pooled->pool;

    list_remove(&pooled->link);
    timer_disarm(&pooled->conn.timer);
    pooled->pool = NULL;
    pool->idle_count--;
    counter_down(pool->worker->counters, upstream_idle);
    if (pool->destination == NULL)
        return;
    list_remove(&pooled->age);
    all_pools[pool->worker->id]->idle_count--;
    if (pool->idle_count == 0)
        timer_arm(pool->worker->loop, &pool->destination->empty, pool->idle_ms);
}

static void
die(struct pooled *pooled)
{
    leave(pooled);
    pooled->on_dead(pooled);
}

static void
drain(struct pool *pool)
{
    while (!list_is_empty(&pool->idle))
        die(container_of(pool->idle.next, struct pooled, link));
}

/* ---- connections that are shared */

void
pool_share(struct pool *pool, struct shared *shared)
{
    must(shared->pool == NULL);
    list_push_back(&pool->shared, &shared->link);
    shared->pool = pool;
}

void
pool_unshare(struct shared *shared)
{
    pool_shared_busy(shared);
    list_remove(&shared->link);
    shared->pool = NULL;
}

struct list *
pool_shared(struct pool *pool)
{
    return &pool->shared;
}

bool
pool_shared_idle(struct shared *shared)
{
    struct pool *pool = shared->pool;

    if (pool == NULL || pool->idle_count >= pool->max_idle)
        return false;
    if (!shared->is_idle) {
        shared->is_idle = true;
        pool->idle_count++;
        counter_up(pool->worker->counters, upstream_idle);
    }
    return true;
}

void
pool_shared_busy(struct shared *shared)
{
    if (!shared->is_idle)
        return;
    shared->is_idle = false;
    shared->pool->idle_count--;
    counter_down(shared->pool->worker->counters, upstream_idle);
}

enum pool_manner
pool_manner(const struct pool *pool)
{
    return (enum pool_manner)pool->manner;
}

void
pool_set_manner(struct pool *pool, enum pool_manner manner)
{
    pool->manner = (uint8_t)manner;
}

/* ---- those that are being made, and who waits for them */

void
pool_opening_start(struct pool *pool, struct pool_opening *opening)
{
    must(opening->pool == NULL);
    list_push_back(&pool->openings, &opening->link);
    opening->pool = pool;
}

static void
end_wait(struct pool_waiter *waiter)
{
    list_remove(&waiter->link);
    timer_disarm(&waiter->timer);
    task_cancel(&waiter->task);
}

static void
wake(struct pool *pool)
{
    list_each(link, &pool->waiters) {
        struct pool_waiter *waiter = container_of(link, struct pool_waiter, link);

        list_remove(&waiter->link);
        loop_ready(waiter->loop, &waiter->task);
    }
}

/* What one of them does next may end another: hence no walk over the list. */
static void
fail_waiters(struct pool *pool, const struct failure *failure)
{
    struct list failed;

    list_move_all(&failed, &pool->waiters);
    while (!list_is_empty(&failed)) {
        struct pool_waiter *waiter = container_of(failed.next, struct pool_waiter, link);

        end_wait(waiter);
        waiter->on_done(waiter, failure);
    }
}

void
pool_opening_end(struct pool_opening *opening, const struct failure *failure)
{
    struct pool *pool = opening->pool;

    if (pool == NULL)
        return;
    list_remove(&opening->link);
    opening->pool = NULL;
    if (!list_is_empty(&pool->openings))
        return;
    if (failure != NULL)
        fail_waiters(pool, failure);
    else
        wake(pool);
}

bool
pool_is_opening(const struct pool *pool)
{
    return !list_is_empty(&pool->openings);
}

static void
on_woken(struct task *task)
{
    struct pool_waiter *waiter = container_of(task, struct pool_waiter, task);

    end_wait(waiter);
    waiter->on_done(waiter, NULL);
}

static void
on_waited_too_long(struct timer *timer)
{
    struct pool_waiter *waiter = container_of(timer, struct pool_waiter, timer);

    end_wait(waiter);
    waiter->on_done(waiter, NULL);
}

void
pool_wait(struct pool *pool, struct pool_waiter *waiter, uint32_t ms,
          void (*on_done)(struct pool_waiter *, const struct failure *))
{
    waiter->loop = pool->worker->loop;
    waiter->on_done = on_done;
    task_init(&waiter->task, on_woken);
    timer_init(&waiter->timer, on_waited_too_long);
    timer_arm(waiter->loop, &waiter->timer, ms);
    list_init(&waiter->link);
    list_push_back(&pool->waiters, &waiter->link);
}

void
pool_wait_cancel(struct pool_waiter *waiter)
{
    end_wait(waiter);
}

/* The pool is about to be freed. */
static void
disperse(struct pool *pool)
{
    while (!list_is_empty(&pool->shared)) {
        struct shared *shared = container_of(pool->shared.next, struct shared, link);

        pool_unshare(shared);
        shared->on_orphaned(shared);
    }
    list_each(link, &pool->openings) {
        struct pool_opening *opening = container_of(link, struct pool_opening, link);

        list_remove(&opening->link);
        opening->pool = NULL;
    }
    wake(pool);
}

void
pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    drain(pool);
    disperse(pool);
    endpoint_unref(pool->endpoint);
    free(pool);
}

/* Whether nothing came from the peer: neither bytes nor the end. An event may
 * also be late news of what was read before, hence the look. */
static bool
is_quiet(struct conn *conn)
{
    char byte;

    return (!conn->may_read && !conn->saw_hangup) || conn_recv(conn, &byte, 1) == CONN_WAIT;
}

static void
on_idle_event(struct conn *conn)
{
    if (!is_quiet(conn) || conn->saw_hangup)
        die(container_of(conn, struct pooled, conn));
}

static void
on_idle_too_long(struct timer *timer)
{
    die(container_of(timer, struct pooled, conn.timer));
}

struct pooled *
pool_take(struct pool *pool)
{
    struct pooled *pooled;

    if (pool == NULL || list_is_empty(&pool->idle))
        return NULL;
    pooled = container_of(pool->idle.next, struct pooled, link);
    leave(pooled);
    return pooled;
}

static void
enter_destinations(struct pool *pool, struct pooled *pooled)
{
    struct pools *pools = all_pools[pool->worker->id];

    timer_disarm(&pool->destination->empty);
    list_push_back(&pools->ages, &pooled->age);
    if (++pools->idle_count > DESTINATIONS_IDLE_MAX)
        die(container_of(pools->ages.next, struct pooled, age));
}

bool
pool_give(struct pool *pool, struct pooled *pooled)
{
    struct conn *conn = &pooled->conn;

    must(pooled->pool == NULL);
    if (pool == NULL || pool->idle_count >= pool->max_idle || conn->saw_hangup || !is_quiet(conn))
        return false;
    conn->on_ready = on_idle_event;
    conn->timer.on_due = on_idle_too_long;
    timer_arm(pool->worker->loop, &conn->timer, pool->idle_ms);
    list_push_front(&pool->idle, &pooled->link);
    pooled->pool = pool;
    pool->idle_count++;
    counter_up(pool->worker->counters, upstream_idle);
    if (pool->destination != NULL)
        enter_destinations(pool, pooled);
    return true;
}

unsigned
pool_idle_count(const struct pool *pool)
{
    return pool != NULL ? pool->idle_count : 0;
}

/* ---- all pools of a worker */

static struct pools *
pools_of(struct worker *worker)
{
    struct pools *pools = all_pools[worker->id];

    if (likely(pools != NULL))
        return pools;
    pools = calloc(1, sizeof(*pools));
    if (pools == NULL)
        return NULL;
    list_init(&pools->uses);
    list_init(&pools->ages);
    hash_key_random(&pools->key);
    all_pools[worker->id] = pools;
    return pools;
}

/* Makes by_endpoint long enough for index. */
static int
reach(struct pools *pools, unsigned index)
{
    unsigned room = index + 1 > pools->endpoint_room * 2 ? index + 1 : pools->endpoint_room * 2;
    struct pool **grown;

    if (index < pools->endpoint_room)
        return 0;
    grown = realloc(pools->by_endpoint, room * sizeof(*grown));
    if (grown == NULL)
        return -1;
    memset(grown + pools->endpoint_room, 0, (room - pools->endpoint_room) * sizeof(*grown));
    pools->by_endpoint = grown;
    pools->endpoint_room = room;
    return 0;
}

static bool
is_current(const struct worker *worker, const struct endpoint *endpoint)
{
    return worker->snapshot == NULL ||
           atomic_load_explicit(&endpoint->generation, memory_order_relaxed) >=
               worker->snapshot->generation;
}

static struct pool *
add_endpoint(struct worker *worker, struct endpoint *endpoint)
{
    struct pools *pools = pools_of(worker);
    struct pool *pool;

    if (!is_current(worker, endpoint) || pools == NULL || reach(pools, endpoint->index) < 0)
        return NULL;
    pool = pool_new(0, 0, worker);
    if (pool == NULL)
        return NULL;
    pool->endpoint = endpoint_ref(endpoint);
    pools->by_endpoint[endpoint->index] = pool;
    return pool;
}

struct pool *
pool_of_endpoint(struct worker *worker, struct endpoint *endpoint, const struct group_conf *group)
{
    struct pools *pools = all_pools[worker->id];
    struct pool *pool = NULL;

    if (likely(pools != NULL && endpoint->index < pools->endpoint_room))
        pool = pools->by_endpoint[endpoint->index];
    if (unlikely(pool == NULL))
        pool = add_endpoint(worker, endpoint);
    if (unlikely(pool == NULL))
        return NULL;
    pool->max_idle = (unsigned)group->max_idle;
    pool->idle_ms = group->timeouts.idle_ms;
    return pool;
}

/* ---- destinations */

static struct destination **
bucket_of(struct pools *pools, uint64_t hash)
{
    return &pools->buckets[hash % BUCKETS];
}

static struct destination *
find(struct pools *pools, struct slice key, uint64_t hash)
{
    struct destination *to = *bucket_of(pools, hash);

    while (to != NULL &&
           (to->hash != hash || !slice_equal(slice_make(to->key, to->key_bytes), key)))
        to = to->next;
    return to;
}

static void
discard(struct destination *to)
{
    struct pools *pools = all_pools[to->pool.worker->id];
    struct destination **at = bucket_of(pools, to->hash);

    drain(&to->pool);
    timer_disarm(&to->empty);
    list_remove(&to->use);
    while (*at != to)
        at = &(*at)->next;
    *at = to->next;
    pools->destination_count--;
    free(to);
}

static void
on_empty_too_long(struct timer *timer)
{
    discard(container_of(timer, struct destination, empty));
}

/* Notes that it is in use again. */
static struct pool *
use(struct pools *pools, struct destination *to)
{
    list_remove(&to->use);
    list_push_back(&pools->uses, &to->use);
    return &to->pool;
}

struct pool *
pool_of_destination(struct worker *worker, struct slice key)
{
    struct pools *pools = all_pools[worker->id];
    struct destination *to;

    if (pools == NULL || pools->buckets == NULL)
        return NULL;
    to = find(pools, key, hash_bytes(key, &pools->key));
    return to != NULL ? use(pools, to) : NULL;
}

static struct pool *
add_destination(struct worker *worker, struct slice key, uint64_t hash, uint32_t idle_ms)
{
    struct pools *pools = all_pools[worker->id];
    struct destination *to = malloc(sizeof(*to) + key.bytes);

    if (to == NULL)
        return NULL;
    if (pools->destination_count >= DESTINATIONS_MAX)
        discard(container_of(pools->uses.next, struct destination, use));
    init(&to->pool, DESTINATION_IDLE_MAX, idle_ms, worker);
    to->pool.destination = to;
    timer_init(&to->empty, on_empty_too_long);
    timer_arm(worker->loop, &to->empty, idle_ms);
    list_init(&to->use);
    list_push_back(&pools->uses, &to->use);
    to->hash = hash;
    to->key_bytes = key.bytes;
    memcpy(to->key, key.data, key.bytes);
    to->next = *bucket_of(pools, to->hash);
    *bucket_of(pools, to->hash) = to;
    pools->destination_count++;
    return &to->pool;
}

struct pool *
pool_of_destination_for_give(struct worker *worker, struct slice key, uint32_t idle_ms)
{
    struct pools *pools = pools_of(worker);
    struct destination *to;
    uint64_t hash;

    if (pools == NULL)
        return NULL;
    if (pools->buckets == NULL)
        pools->buckets = calloc(BUCKETS, sizeof(struct destination *));
    if (pools->buckets == NULL)
        return NULL;
    hash = hash_bytes(key, &pools->key);
    to = find(pools, key, hash);
    return to != NULL ? use(pools, to) : add_destination(worker, key, hash, idle_ms);
}

/* ---- when they go */

void
pools_sweep(struct worker *worker)
{
    struct pools *pools = all_pools[worker->id];
    unsigned i;

    for (i = 0; pools != NULL && i < pools->endpoint_room; i++) {
        struct pool *pool = pools->by_endpoint[i];

        if (pool == NULL || is_current(worker, pool->endpoint))
            continue;
        pools->by_endpoint[i] = NULL;
        pool_free(pool);
    }
}

void
pools_close(struct worker *worker)
{
    struct pools *pools = all_pools[worker->id];
    unsigned i;

    tls_resumption_fini();
    if (pools == NULL)
        return;
    for (i = 0; i < pools->endpoint_room; i++)
        pool_free(pools->by_endpoint[i]);
    while (!list_is_empty(&pools->uses))
        discard(container_of(pools->uses.next, struct destination, use));
    free(pools->by_endpoint);
    free(pools->buckets);
    free(pools);
    all_pools[worker->id] = NULL;
}
