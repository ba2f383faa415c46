/* SPDX-License-Identifier: BSD-2-Clause */
/* pool.h - idle connections to one endpoint, or to one destination of forward mode.
 *
 * A pool belongs to one worker thread, so it needs no lock. While a connection
 * is in a pool its events and its timer are the pool's: when the peer closes
 * it, sends what nobody asked for, or it was idle too long, it leaves the pool
 * and on_dead is called.
 *
 * Who frees a pool: the worker itself. A pool of an endpoint holds a reference
 * to it, so neither the endpoint nor its index can go while a worker still has
 * connections to it. pools_sweep(), called when the worker has taken up a new
 * snapshot, frees the pools of endpoints which that snapshot no longer has;
 * pools_close() frees them all when the worker ends. A pool of a destination
 * is freed when it has been empty for its idle time, or makes room for others.
 * Therefore nobody keeps a pointer to a pool across turns: ask pool_of_...()
 * again when giving a connection back.
 */
#ifndef BASCULE_POOL_H
#define BASCULE_POOL_H

#include "server/net/conn.h"
#include "server/upstream/endpoint.h"

struct pool;
struct worker;

/* Pools of destinations a worker keeps, and idle connections in all of them. */
#define DESTINATIONS_MAX 10000
#define DESTINATIONS_IDLE_MAX 1000

/* Embedded in the protocol's upstream connection. */
struct pooled {
    struct conn conn;
    struct list link;  /* in its pool, most recently used first */
    struct list age;   /* destinations: among all idle ones of the worker, oldest first */
    struct pool *pool; /* NULL: not idle */
    /* It was idle and is of no use any more; it has left the pool. Closes and frees it. */
    void (*on_dead)(struct pooled *pooled);
};

/* Prepares what the pool needs of it; conn is the caller's to open. */
static inline void
pooled_init(struct pooled *pooled, void (*on_dead)(struct pooled *))
{
    list_init(&pooled->link);
    list_init(&pooled->age);
    pooled->pool = NULL;
    pooled->on_dead = on_dead;
}

/* An empty pool keeping at most max_idle connections for at most idle_ms each
 * (0: for ever). Borrows worker. NULL when memory is short. */
struct pool *pool_new(unsigned max_idle, uint32_t idle_ms, struct worker *worker);

/* Lets every idle connection die and frees the pool. NULL is fine. */
void pool_free(struct pool *pool);

/* Lends the most recently used idle connection; the caller sets conn.on_ready
 * and conn.timer.on_due. NULL when there is none, or pool is NULL. */
struct pooled *pool_take(struct pool *pool);

/* Takes a connection back that is between two exchanges, nothing unread. False
 * when the pool is full or NULL, or the connection is of no further use: the
 * caller closes it. */
bool pool_give(struct pool *pool, struct pooled *pooled) MUST_USE;

unsigned pool_idle_count(const struct pool *pool);

/* ---- the pools of a worker */

/* The worker's pool for the endpoint, made when there is none; limits as group
 * says now. NULL when memory is short or the current snapshot has it no more. */
struct pool *pool_of_endpoint(struct worker *worker, struct endpoint *endpoint,
                              const struct group_conf *group);

/* The worker's pool for a forward destination; key is its "host:port" and
 * whatever else sets connections apart (a parent proxy). NULL: none is idle. */
struct pool *pool_of_destination(struct worker *worker, struct slice key);

/* The same, made when there is none. NULL when memory is short. */
struct pool *pool_of_destination_for_give(struct worker *worker, struct slice key,
                                          uint32_t idle_ms);

/* Frees the pools of endpoints that worker->snapshot has no more. */
void pools_sweep(struct worker *worker);

/* Frees all pools of the worker, which is about to end. */
void pools_close(struct worker *worker);

#endif
