/* SPDX-License-Identifier: BSD-2-Clause */
/* service.h - connections to helper services: scanners, ICAP servers.
 *
 * A service is one or more addresses which all do the same. They are taken in the
 * order written: the first is used as long as it works, the next one when it does not.
 *
 *     service_open() --> on_done(connection) --> read and write --> service_keep()
 *           ^                                         |         '--> service_drop()
 *           '------ another try ------ service_fail() <'
 *
 * Connections belong to a worker thread, so nothing here needs a lock. They are found
 * by the text of their address: two filters with the same address share them, and they
 * survive reloads. So does what is known of an address that failed: it is passed over
 * for the retry time, unless all others have failed too; then each is tried again.
 *
 * Everything is bounded: connections to an address, calls that wait for one to become
 * free and how long they do, how long a connection is made and is idle, addresses.
 *
 * How a filter uses it:
 *
 *     struct NAME_conf { struct filter_conf filter; struct service_conf service; ... };
 *     options:   SERVICE_OPTIONS(struct NAME_conf, service), ...
 *     finish():  service_finish(&conf->service, 3310, arena, err)
 *     state:     struct service_call call; struct service_connection *connection;
 *     a hook:    service_open(&state->call, ex->worker, &conf->service, SERVICE_ANY, on_done);
 *                return FILTER_WAIT;
 *     on_done(): connection->owner = state; connection->conn.on_ready = ...;
 *                connection->conn.timer.on_due = ...; conn_send(), conn_recv() until CONN_WAIT
 *     end():     service_cancel(&state->call) if on_done has not been called, otherwise
 *                service_keep() or service_drop(), once
 *
 * A connection that was_reused may have been closed by the server just as it was lent.
 * When it breaks before the server has said anything, that is no failure of the service:
 * drop it and open another with SERVICE_FRESH.
 */
#ifndef BASCULE_SERVICE_H
#define BASCULE_SERVICE_H

#include "server/config/option.h"
#include "server/net/conn.h"
#include "server/worker.h"

/* Addresses of one service. */
#define SERVICE_ADDRESSES_MAX 16

/* Addresses with connections, or a failure to remember, of one worker thread. */
#define SERVICE_POOLS_MAX 256

struct service_address;
struct service_pool;

/* As configured; a filter's struct has one, and its options begin with SERVICE_OPTIONS. */
struct service_conf {
    struct strings to;
    uint32_t connect_ms;
    uint32_t idle_ms;
    uint32_t retry_ms;
    uint32_t wait_ms;
    int64_t max_connections;
    int64_t max_waiting;
    const struct service_address *addresses; /* of to; made by service_finish() */
};

/* Rows for a table of options: type_ is the struct, member_ its struct service_conf. */
#define SERVICE_OPTIONS(type_, member_) \
    { .name = "to", .type = OPTION_STRINGS, .offset = offsetof(type_, member_.to), \
      .is_required = true, .min = 1, .max = SERVICE_ADDRESSES_MAX, \
      .text = "Where the service is: HOST:PORT, [IPv6]:PORT or unix:/PATH. Of several the " \
              "first that works is used." }, \
    { .name = "connect_timeout", .type = OPTION_TIME, \
      .offset = offsetof(type_, member_.connect_ms), .fallback = "2s", .min = 1, \
      .text = "How long connecting to one address may take." }, \
    { .name = "retry", .type = OPTION_TIME, .offset = offsetof(type_, member_.retry_ms), \
      .fallback = "10s", .min = 1, \
      .text = "How long an address that failed is passed over while another one works." }, \
    { .name = "max_connections", .type = OPTION_INT, \
      .offset = offsetof(type_, member_.max_connections), .fallback = "64", .min = 1, \
      .max = 10000, .text = "Most connections of one worker thread to one address." }, \
    { .name = "idle", .type = OPTION_TIME, .offset = offsetof(type_, member_.idle_ms), \
      .fallback = "30s", .min = 1, \
      .text = "How long an unused connection is kept open." }, \
    { .name = "max_waiting", .type = OPTION_INT, .offset = offsetof(type_, member_.max_waiting), \
      .fallback = "256", .max = 100000, \
      .text = "Most exchanges of one worker thread that wait for a connection." }, \
    { .name = "max_wait", .type = OPTION_TIME, .offset = offsetof(type_, member_.wait_ms), \
      .fallback = "5s", .min = 1, .text = "How long an exchange waits for a connection." }

/* Reads the addresses. default_port: of those without one; < 0: it is required. Memory
 * comes from arena. Returns 0, or -1 with err. */
int service_finish(struct service_conf *conf, int default_port, struct arena *arena,
                   struct err *err) MUST_USE;

/* An open connection, lent. Who has it sets conn.on_ready (which is a harmless one at
 * first), conn.timer.on_due and arms the timer at will. */
struct service_connection {
    struct conn conn;
    const char *address; /* as configured, for logs; lives as long as the connection */
    void *owner;         /* the user's, while it is lent: what on_ready is about */
    uint64_t memo;       /* the user's: 0 at first, kept while idle */
    bool was_reused;     /* it had been idle */

    struct service_pool *pool; /* from here on private */
    struct list link;
};

enum service_kind {
    SERVICE_ANY,   /* an idle one if there is one */
    SERVICE_FRESH, /* a new one: what was idle has just turned out to be dead */
};

/* A wish for a connection, embedded by who has it. Must be zeroed before its first use.
 * All private. */
struct service_call {
    struct worker *worker;
    const struct service_conf *conf;
    void (*on_done)(struct service_call *call, struct service_connection *connection,
                    const char *why);
    struct task task;
    struct timer timer;          /* runs while it waits */
    struct list link;            /* in the queue of pool */
    struct service_pool *pool;   /* whose queue it is in, or to which it is connecting */
    struct service_making *making;
    const char *why;             /* the last failure */
    uint32_t tried;              /* a bit for each address */
    bool is_under_way;
    bool wants_fresh;
};

/* Asks for a connection. on_done is called once, later, never from here, unless the call
 * is cancelled: connection is open and the receiver's until it is kept or dropped; or it
 * is NULL, and why says in static words why there is none. The call may be used again
 * then, its memory released. Borrows worker and conf until on_done. */
void service_open(struct service_call *call, struct worker *worker,
                  const struct service_conf *conf, enum service_kind kind,
                  void (*on_done)(struct service_call *call,
                                  struct service_connection *connection, const char *why));

/* on_done will not be called. Harmless when nothing is under way. */
void service_cancel(struct service_call *call);

static inline bool
service_is_opening(const struct service_call *call)
{
    return call->is_under_way;
}

/* Gives the connection back: the last answer was read to its end and nothing of another
 * one is owed. It is lent again, or closed after the idle time of conf, or closed now if
 * the server has ended it. */
void service_keep(struct service_connection *connection, const struct service_conf *conf);

/* Closes it. It says nothing about the address. */
void service_drop(struct service_connection *connection);

/* Closes it, and passes over its address for the retry time of conf: it gave no answer,
 * or one that makes no sense. Its idle connections are closed too. */
void service_fail(struct service_connection *connection, const struct service_conf *conf);

/* The server says that it takes no more than so many connections (0: nothing): from now
 * on the lower one of this and max_connections counts for the address. */
void service_bound(struct service_connection *connection, uint64_t max);

/* What a worker thread has to do with an address, for tests. */
struct service_counts {
    unsigned open, idle, waiting;
    bool is_failing;
};
struct service_counts service_counts(struct worker *worker, const char *address);

/* The thread ends, and no exchange is left: closes everything. Hook of the worker. */
void service_on_end(struct worker *worker);

#endif
