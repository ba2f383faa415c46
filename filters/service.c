/* SPDX-License-Identifier: BSD-2-Clause */
/* service.c - calls go from one address to the next.
 *
 *   call --> choose an address --> an idle connection ----------------> on_done
 *              ^                   room for another: connect --ok-----> on_done
 *              |                   none: wait in its queue       |
 *              '----------- the address has failed <--(refused)--'
 *
 * A call looks first at the addresses that have not failed lately, then at those that
 * have, and tries each of them once. Every step of it runs from the loop, never under
 * the feet of who called.
 */
#include "config.h"

#include "filters/service_inside.h"

#include "server/http/uri.h"
#include "server/net/dial.h"

#include <stdlib.h>

/* A connection that is being made. */
struct service_making {
    struct dial dial;
    struct grave grave;
    struct service_call *call;
    struct service_pool *pool;
};

static void step(struct task *task);

/* ---- addresses */

static int
parse_address(struct service_address *address, const char *text, int default_port,
              struct err *err)
{
    struct ip ip;
    int port;

    *address = (struct service_address){ .text = text };
    if (strncmp(text, "unix:", 5) == 0)
        return address_parse(&address->address, slice_of(text), -1, err);
    if (uri_parse_authority(slice_of(text), &address->host, &port) < 0 ||
        uri_host_is_odd_ip(address->host))
        return err_set(err, "to: \"%s\" is no address: expected HOST:PORT, [IPv6]:PORT or "
                       "unix:/PATH", text);
    if (port < 0)
        port = default_port;
    if (port < 0)
        return err_set(err, "to: \"%s\" has no port: expected HOST:PORT", text);
    address->port = (uint16_t)port;
    if (ip_parse(address->host, &ip)) {
        ip.port = address->port;
        address_from_ip(&address->address, &ip);
    }
    return 0;
}

int
service_finish(struct service_conf *conf, int default_port, struct arena *arena, struct err *err)
{
    struct service_address *addresses = arena_alloc(arena, conf->to.count * sizeof(*addresses));

    if (addresses == NULL)
        return err_set(err, "no memory");
    for (size_t i = 0; i < conf->to.count; i++)
        if (parse_address(&addresses[i], conf->to.items[i].data, default_port, err) < 0)
            return -1;
    conf->addresses = addresses;
    return 0;
}

/* ---- calls */

static void
leave_queue(struct service_call *call)
{
    if (!list_is_linked(&call->link))
        return;
    call->pool->waiting_count--;
    list_remove(&call->link);
}

/* Out of every list and timer. */
static void
release(struct service_call *call)
{
    leave_queue(call);
    timer_disarm(&call->timer);
    task_cancel(&call->task);
    call->pool = NULL;
    call->is_under_way = false;
}

static void
finish(struct service_call *call, struct service_connection *connection, const char *why)
{
    struct service_pool *pool = call->pool;

    release(call);
    if (pool != NULL)
        service_pool_wake(pool); /* there may be room for one more */
    call->on_done(call, connection, why);
}

static void
end_making(struct service_call *call)
{
    struct service_making *making = call->making;

    call->making = NULL;
    dial_cancel(&making->dial);
    loop_free(call->worker->loop, &making->grave, free, making);
}

static void
on_dialed(struct dial *dial, int fd, const struct dial_result *result)
{
    struct service_making *making = container_of(dial, struct service_making, dial);
    struct service_call *call = making->call;
    struct service_pool *pool = making->pool;
    struct service_connection *connection = NULL;

    end_making(call);
    if (fd >= 0)
        connection = service_pool_add(pool, fd);
    if (connection != NULL) {
        pool->failing_until_ms = 0;
        finish(call, connection, NULL);
        return;
    }
    pool->open--;
    call->why = fd >= 0 ? "out of memory" : dial_status_text(result->status);
    if (fd < 0 && result->status != DIAL_FAILED) /* which is our own fault */
        service_pool_fail(pool, call->conf->retry_ms);
    service_pool_wake(pool);
    call->pool = NULL;
    loop_ready(call->worker->loop, &call->task); /* with the next address */
}

static void
connect_to(struct service_call *call, struct service_pool *pool,
           const struct service_address *address)
{
    struct service_making *making = calloc(1, sizeof(*making));
    struct dial_target target = {
        .host = address->host,
        .port = address->port,
        .address = address->address.bytes > 0 ? &address->address : NULL,
        .connect_ms = call->conf->connect_ms,
    };

    if (making == NULL) {
        finish(call, NULL, "out of memory");
        return;
    }
    pool->open++;
    list_init(&making->grave.link);
    making->call = call;
    making->pool = pool;
    call->making = making;
    call->pool = pool;
    dial_init(&making->dial, on_dialed);
    dial_start(&making->dial, call->worker->resolver, call->worker->loop, &target);
}

static void
on_waited_too_long(struct timer *timer)
{
    struct service_call *call = container_of(timer, struct service_call, timer);

    finish(call, NULL, "all connections to it were in use for too long");
}

/* At the end of the queue of pool, if it is not in it already. */
static void
wait_for(struct service_call *call, struct service_pool *pool)
{
    if (list_is_linked(&call->link))
        return;
    if (pool->waiting_count >= call->conf->max_waiting) {
        finish(call, NULL, "too many wait for a connection to it");
        return;
    }
    call->pool = pool;
    pool->waiting_count++;
    list_push_back(&pool->waiting, &call->link);
    if (!timer_is_armed(&call->timer))
        timer_arm(call->worker->loop, &call->timer, call->conf->wait_ms);
}

/* Others that came before have the first word. */
static bool
is_first(const struct service_call *call, const struct service_pool *pool)
{
    return list_is_empty(&pool->waiting) || pool->waiting.next == &call->link;
}

/* Looks for a connection to this address. */
static void
try_address(struct service_call *call, struct service_pool *pool, unsigned i)
{
    struct service_connection *connection = NULL;

    if (!is_first(call, pool)) {
        wait_for(call, pool);
        return;
    }
    if (!call->wants_fresh)
        connection = service_pool_take(pool);
    else if (!service_pool_has_room(pool, call->conf))
        service_pool_shed(pool);
    if (connection == NULL && !service_pool_has_room(pool, call->conf)) {
        wait_for(call, pool);
        return;
    }
    leave_queue(call);
    timer_disarm(&call->timer);
    call->pool = pool;
    if (connection != NULL) {
        finish(call, connection, NULL);
        return;
    }
    call->tried |= 1u << i;
    service_pool_wake(pool); /* there may be room for one more */
    connect_to(call, pool, &call->conf->addresses[i]);
}

/* The first address that was not tried; not those that failed lately, unless as the last
 * resort. False: there is none. */
static bool
try_addresses(struct service_call *call, bool is_last_resort)
{
    for (unsigned i = 0; i < call->conf->to.count; i++) {
        struct service_pool *pool;

        if (call->tried & (1u << i))
            continue;
        pool = service_pool_for(call->worker, call->conf->addresses[i].text);
        if (pool == NULL) {
            call->why = "out of memory, or too many services";
            continue;
        }
        if (!is_last_resort && service_pool_is_failing(pool))
            continue;
        if (call->pool != NULL && call->pool != pool) { /* whose address has failed */
            leave_queue(call);
            service_pool_wake(call->pool);
        }
        try_address(call, pool, i);
        return true;
    }
    return false;
}

static void
step(struct task *task)
{
    struct service_call *call = container_of(task, struct service_call, task);

    if (!try_addresses(call, false) && !try_addresses(call, true))
        finish(call, NULL, call->why);
}

void
service_open(struct service_call *call, struct worker *worker, const struct service_conf *conf,
             enum service_kind kind,
             void (*on_done)(struct service_call *, struct service_connection *, const char *))
{
    must(!call->is_under_way);
    *call = (struct service_call){
        .worker = worker, .conf = conf, .on_done = on_done, .is_under_way = true,
        .wants_fresh = kind == SERVICE_FRESH, .why = "it has no address",
    };
    task_init(&call->task, step);
    timer_init(&call->timer, on_waited_too_long);
    list_init(&call->link);
    loop_ready(worker->loop, &call->task);
}

void
service_cancel(struct service_call *call)
{
    struct service_pool *pool = call->pool;

    if (!call->is_under_way)
        return;
    if (call->making != NULL) {
        end_making(call);
        pool->open--;
    }
    release(call);
    if (pool != NULL)
        service_pool_wake(pool);
}
