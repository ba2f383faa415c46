/* SPDX-License-Identifier: BSD-2-Clause */
/* service_pool.c - connections to the addresses of services, on one thread.
 *
 * Last in, first out, so that few stay in use. A pool lasts as long as there is something
 * in it, or a failure to remember.
 */
#include "config.h"

#include "filters/service_inside.h"

#include <stdlib.h>
#include <unistd.h>

/* Of this thread. */
static _Thread_local struct {
    struct list pools;
    unsigned count;
    bool is_ready;
} own;

/* ---- pools */

bool
service_pool_is_failing(const struct service_pool *pool)
{
    return loop_now_ms(pool->worker->loop) < pool->failing_until_ms;
}

static void
free_pool(struct service_pool *pool)
{
    list_remove(&pool->link);
    own.count--;
    free(pool);
}

/* Frees what nothing would be lost with. */
static void
sweep(void)
{
    list_each(link, &own.pools) {
        struct service_pool *pool = container_of(link, struct service_pool, link);

        if (pool->open == 0 && pool->waiting_count == 0 && !service_pool_is_failing(pool))
            free_pool(pool);
    }
}

static struct service_pool *
find_pool(const char *text)
{
    if (!own.is_ready) {
        list_init(&own.pools);
        own.is_ready = true;
    }
    list_each(link, &own.pools) {
        struct service_pool *pool = container_of(link, struct service_pool, link);

        if (strcmp(pool->text, text) == 0)
            return pool;
    }
    return NULL;
}

struct service_pool *
service_pool_for(struct worker *worker, const char *text)
{
    struct service_pool *pool = find_pool(text);
    size_t bytes = strlen(text) + 1;

    if (pool != NULL)
        return pool;
    sweep();
    if (own.count >= SERVICE_POOLS_MAX)
        return NULL;
    pool = calloc(1, sizeof(*pool) + bytes);
    if (pool == NULL)
        return NULL;
    memcpy(pool->text, text, bytes);
    pool->worker = worker;
    list_init(&pool->idle);
    list_init(&pool->waiting);
    list_push_back(&own.pools, &pool->link);
    own.count++;
    return pool;
}

bool
service_pool_has_room(const struct service_pool *pool, const struct service_conf *conf)
{
    uint64_t most = (uint64_t)conf->max_connections;

    if (pool->bound > 0 && pool->bound < most)
        most = pool->bound;
    return pool->open < most;
}

void
service_pool_wake(struct service_pool *pool)
{
    struct service_call *call;

    if (list_is_empty(&pool->waiting))
        return;
    call = container_of(pool->waiting.next, struct service_call, link);
    loop_ready(call->worker->loop, &call->task);
}

/* ---- connections */

static void
close_connection(struct service_connection *connection)
{
    connection->pool->open--;
    conn_close(&connection->conn);
    conn_free_later(&connection->conn, free, connection);
}

static void
leave(struct service_connection *connection)
{
    list_remove(&connection->link);
    timer_disarm(&connection->conn.timer);
    connection->pool->idle_count--;
}

static void
die(struct service_connection *connection)
{
    struct service_pool *pool = connection->pool;

    leave(connection);
    close_connection(connection);
    service_pool_wake(pool);
}

void
service_pool_shed(struct service_pool *pool)
{
    if (!list_is_empty(&pool->idle))
        die(container_of(pool->idle.prev, struct service_connection, link));
}

static void
close_idle(struct service_pool *pool)
{
    while (!list_is_empty(&pool->idle))
        die(container_of(pool->idle.next, struct service_connection, link));
}

/* Whether nothing came: neither bytes nor the end. */
static bool
is_quiet(struct conn *conn)
{
    char byte;

    if (conn->saw_hangup)
        return false;
    return !conn->may_read || conn_recv(conn, &byte, 1) == CONN_WAIT;
}

static void
on_idle_event(struct conn *conn)
{
    if (!is_quiet(conn) || conn->saw_hangup)
        die(container_of(conn, struct service_connection, conn));
}

static void
on_idle_too_long(struct timer *timer)
{
    die(container_of(timer, struct service_connection, conn.timer));
}

static void
ignore_event(struct conn *conn)
{
    (void)conn;
}

static void
ignore_timer(struct timer *timer)
{
    (void)timer;
}

struct service_connection *
service_pool_take(struct service_pool *pool)
{
    struct service_connection *connection;

    if (list_is_empty(&pool->idle))
        return NULL;
    connection = container_of(pool->idle.next, struct service_connection, link);
    leave(connection);
    connection->was_reused = true;
    connection->conn.on_ready = ignore_event;
    connection->conn.timer.on_due = ignore_timer;
    return connection;
}

struct service_connection *
service_pool_add(struct service_pool *pool, int fd)
{
    struct service_connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL ||
        conn_open(&connection->conn, pool->worker->loop, fd, ignore_event, ignore_timer) < 0) {
        close(fd);
        free(connection);
        return NULL;
    }
    list_init(&connection->link);
    connection->pool = pool;
    connection->address = pool->text;
    return connection;
}

void
service_keep(struct service_connection *connection, const struct service_conf *conf)
{
    struct service_pool *pool = connection->pool;
    struct conn *conn = &connection->conn;

    if (!conn_is_open(conn) || !is_quiet(conn) || conn->saw_hangup ||
        service_pool_is_failing(pool)) {
        service_drop(connection);
        return;
    }
    conn->on_ready = on_idle_event;
    conn->timer.on_due = on_idle_too_long;
    timer_arm(conn->loop, &conn->timer, conf->idle_ms);
    list_push_front(&pool->idle, &connection->link);
    pool->idle_count++;
    service_pool_wake(pool);
}

void
service_drop(struct service_connection *connection)
{
    struct service_pool *pool = connection->pool;

    close_connection(connection);
    service_pool_wake(pool);
}

void
service_pool_fail(struct service_pool *pool, uint32_t retry_ms)
{
    pool->failing_until_ms = loop_now_ms(pool->worker->loop) + retry_ms;
    close_idle(pool);
}

void
service_fail(struct service_connection *connection, const struct service_conf *conf)
{
    service_pool_fail(connection->pool, conf->retry_ms);
    service_drop(connection);
}

void
service_bound(struct service_connection *connection, uint64_t max)
{
    connection->pool->bound = max;
}

/* ---- the whole thread */

struct service_counts
service_counts(struct worker *worker, const char *address)
{
    const struct service_pool *pool = find_pool(address);

    (void)worker;
    if (pool == NULL)
        return (struct service_counts){ 0 };
    return (struct service_counts){ .open = pool->open, .idle = pool->idle_count,
                                    .waiting = pool->waiting_count,
                                    .is_failing = service_pool_is_failing(pool) };
}

void
service_on_end(struct worker *worker)
{
    (void)worker;
    while (own.is_ready && !list_is_empty(&own.pools)) {
        struct service_pool *pool = container_of(own.pools.next, struct service_pool, link);

        close_idle(pool);
        must(pool->open == 0 && pool->waiting_count == 0);
        free_pool(pool);
    }
}
