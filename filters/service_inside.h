/* SPDX-License-Identifier: BSD-2-Clause */
/* service_inside.h - what the files of services share.
 *
 *     service.c       addresses as configured; calls, which go from one to the next
 *     service_pool.c  the connections to each address
 */
#ifndef BASCULE_SERVICE_INSIDE_H
#define BASCULE_SERVICE_INSIDE_H

#include "filters/service.h"

struct service_address {
    const char *text;       /* as written */
    struct slice host;
    uint16_t port;
    struct address address; /* if it is no name; bytes 0: host and port */
};

struct service_pool {
    struct list link;
    struct worker *worker;
    struct list idle;       /* of service_connection.link, most recently used first */
    struct list waiting;    /* of service_call.link, in the order of arrival */
    unsigned open;          /* connections: lent, idle and being made */
    unsigned idle_count, waiting_count;
    uint64_t bound;         /* as the server says; 0: it does not */
    uint64_t failing_until_ms;
    char text[];            /* of the address */
};

/* The thread's pool of an address, made when there is none. NULL when memory is short, or
 * there are too many. Stays while it has connections or calls; no longer across turns. */
struct service_pool *service_pool_for(struct worker *worker, const char *text);

/* Whether the address has failed lately. */
bool service_pool_is_failing(const struct service_pool *pool);

/* It has: idle connections are closed. */
void service_pool_fail(struct service_pool *pool, uint32_t retry_ms);

/* Whether one more connection may be made. */
bool service_pool_has_room(const struct service_pool *pool, const struct service_conf *conf);

/* Lets the call that has waited longest look again; it wakes the next one. */
void service_pool_wake(struct service_pool *pool);

/* Lends the idle connection that was used last; NULL when there is none. */
struct service_connection *service_pool_take(struct service_pool *pool);

/* Closes the idle connection that was used first, if there is one. */
void service_pool_shed(struct service_pool *pool);

/* A connection that counts as open already. Takes fd. NULL when memory or the loop refuse. */
struct service_connection *service_pool_add(struct service_pool *pool, int fd);

#endif
