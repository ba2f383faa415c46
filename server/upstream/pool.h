/* SPDX-License-Identifier: BSD-2-Clause */
/* pool.h - connections to one endpoint, or to one destination of forward mode,
 * that more exchanges can use: idle ones (struct pooled), and those that carry
 * several at a time (struct shared).
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

struct failure;
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

/* ---- connections that carry several exchanges at a time
 *
 * One that is being made counts as an opening: who needs a connection meanwhile
 * had better wait for it, or a burst of exchanges would make one each. */

/* Embedded in the protocol's connection. */
struct shared {
    struct list link;  /* in its pool */
    struct pool *pool; /* NULL: in none */
    bool is_idle;      /* carries nothing now */
    /* The pool is freed and it has left it: no exchange will join it any more. */
    void (*on_orphaned)(struct shared *shared);
};

static inline void
shared_init(struct shared *shared, void (*on_orphaned)(struct shared *))
{
    list_init(&shared->link);
    shared->pool = NULL;
    shared->is_idle = false;
    shared->on_orphaned = on_orphaned;
}

/* Lets exchanges find it, behind those that are there. */
void pool_share(struct pool *pool, struct shared *shared);

/* Lets no more exchanges find it. Twice is fine. */
void pool_unshare(struct shared *shared);

/* Of struct shared.link. */
struct list *pool_shared(struct pool *pool);

/* It carries nothing now. False when the pool has enough idle ones: the caller
 * closes it. */
bool pool_shared_idle(struct shared *shared) MUST_USE;

/* It carries something again. */
void pool_shared_busy(struct shared *shared);

/* What the server was found to speak, where it had the choice (ALPN). */
enum pool_manner { POOL_UNKNOWN, POOL_ONE_EACH, POOL_SHARES };

enum pool_manner pool_manner(const struct pool *pool);
void pool_set_manner(struct pool *pool, enum pool_manner manner);

struct pool_opening {
    struct list link;
    struct pool *pool; /* NULL: not under way */
};

void pool_opening_start(struct pool *pool, struct pool_opening *opening);

/* It is there, or failed. If nothing else is opening, everybody who waits is told:
 * of a failure at once, otherwise in the next turn. Not under way: nothing happens. */
void pool_opening_end(struct pool_opening *opening, const struct failure *failure);

bool pool_is_opening(const struct pool *pool);

/* Waits for what is opening. */
struct pool_waiter {
    struct list link;
    struct timer timer;
    struct task task;
    struct loop *loop;
    /* Look again, or failure: borrowed, NULL otherwise. */
    void (*on_done)(struct pool_waiter *waiter, const struct failure *failure);
};

/* on_done is called once, after ms at the latest, never from here. */
void pool_wait(struct pool *pool, struct pool_waiter *waiter, uint32_t ms,
               void (*on_done)(struct pool_waiter *, const struct failure *));
void pool_wait_cancel(struct pool_waiter *waiter);

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

/* Frees all pools of the worker, which is about to end and calls this on its own
 * thread, and what the thread remembers of TLS servers. */
void pools_close(struct worker *worker);

#endif
