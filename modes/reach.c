/* SPDX-License-Identifier: BSD-2-Clause */
/* reach.c - to the next hop, and to another one when that fails.
 *
 *   START --> DIALING --> DIALED --> ASKING --> JOINED --> SECURING --> READY
 *    |  ^        '------- FAILED -- next endpoint --> START
 *    |  '-- WAITING <--- another one is being made that several can use
 *    '-- an idle connection, or room on one -----------------------> READY
 *
 * ASKING a parent proxy for a tunnel and SECURING the connection by TLS are
 * passed over where they are not needed.
 *
 * A connection that was never established may be tried elsewhere whatever the
 * request is; one that broke afterwards only if the request may be sent twice
 * (reach_again).
 */
#include "config.h"

#include "modes/reach.h"

#include "modes/road.h"
#include "modes/site_route.h"
#include "server/http/h1_upstream.h"
#include "server/http/h2_upstream.h"
#include "server/log/log_thread.h"
#include "server/net/dial.h"
#include "server/net/proxy_protocol.h"
#include "server/tls/tls_client.h"
#include "server/upstream/group.h"
#include "server/upstream/parent.h"

#include <inttypes.h>
#include <unistd.h>

enum state { START, WAITING, DIALING, DIALED, ASKING, JOINED, SECURING, FAILED, READY };

/* Only while a connection is being made. */
struct dialing {
    struct dial dial;
    struct exchange *ex;
    struct parent_handshake *parent;
    struct tls_handshake *tls;
};

struct reach {
    struct exchange *ex;
    struct pick pick;
    struct dialing *dialing;
    struct pool_opening opening; /* under way while others had better wait for us */
    struct pool_waiter waiter;   /* in WAITING */
    uint64_t wait_until_ms;      /* for all waits together; 0: there was none */
    struct accepted connection; /* fd -1: none */
    uint64_t until_ms;          /* how long its address counts */
    struct failure failure;
    uint8_t state;
    bool is_fresh_only; /* an idle connection has just turned out to be dead */
    bool is_told;       /* failure is that of another exchange, which counts it */
};

static const struct upstream_timeouts *
timeouts(const struct exchange *ex)
{
    return ex->to.group != NULL ? &ex->to.group->timeouts : ex->to.timeouts;
}

/* Whom the next hop must be vouched for by; NULL: it is spoken to plainly. */
static const struct tls_context *
trust(const struct exchange *ex)
{
    if (ex->to.group != NULL)
        return ex->to.group->tls.context;
    return ex->to.is_tls ? ex->to.tls : NULL;
}

static uint64_t
trust_id(const struct exchange *ex)
{
    const struct tls_context *context = trust(ex);

    return context != NULL ? tls_context_id(context) : 0;
}

bool
reach_is_relayed(const struct exchange *ex)
{
    return ex->to.parent != NULL && ex->to.parent->kind == PARENT_HTTP && !ex->to.is_tls &&
           ex->request.method != METHOD_CONNECT;
}

void
reach_name_target(struct exchange *ex)
{
    bool is_relayed = reach_is_relayed(ex);

    ex->out.target = is_relayed ? ex->request.target : site_origin_form(ex);
    ex->out.proxy_authorization = is_relayed ? ex->to.parent->authorization
                                             : slice_make(NULL, 0);
}

/* ---- an idle connection */

/* From an address that a rule chose. */
static struct slice
from_source(struct exchange *ex, uint64_t trusted)
{
    const struct destination *to = &ex->to;
    const struct parent_conf *parent = to->parent;
    char source[ADDRESS_TEXT_BYTES];

    return arena_printf(&ex->arena, "%.*s:%u/%" PRIu64 " by %s@%s:%d from %s",
                        SLICE_ARG(to->host), to->port, trusted,
                        parent != NULL && parent->user != NULL ? parent->user : "",
                        parent != NULL ? parent->host : "", parent != NULL ? (int)parent->port : 0,
                        address_text(to->source, source));
}

/* By way of a parent proxy or TLS: also whose log-in it is, and whom the
 * listener trusts. */
static struct slice
special_key(struct exchange *ex)
{
    const struct destination *to = &ex->to;
    const struct parent_conf *parent = to->parent;
    uint64_t trusted = trust_id(ex); /* never one for the other */

    if (to->source != NULL)
        return from_source(ex, trusted);
    if (reach_is_relayed(ex))
        return arena_printf(&ex->arena, "by %s@%s:%d", parent->user != NULL ? parent->user : "",
                            parent->host, (int)parent->port);
    if (parent == NULL)
        return arena_printf(&ex->arena, "%.*s:%u/%" PRIu64, SLICE_ARG(to->host), to->port,
                            trusted);
    return arena_printf(&ex->arena, "%.*s:%u/%" PRIu64 " by %s@%s:%d", SLICE_ARG(to->host),
                        to->port, trusted, parent->user != NULL ? parent->user : "", parent->host,
                        (int)parent->port);
}

/* What tells the connections of forward mode apart. */
static struct slice
destination_key(struct exchange *ex)
{
    const struct destination *to = &ex->to;
    size_t bytes = to->host.bytes + 3;
    char *key;

    if (to->parent != NULL || to->is_tls || to->source != NULL)
        return special_key(ex);
    key = arena_alloc(&ex->arena, bytes);
    if (key == NULL)
        return slice_make("", 0);
    memcpy(key, to->host.data, to->host.bytes);
    key[bytes - 3] = '\0'; /* which no host has, nor a special key */
    key[bytes - 2] = (char)(to->port >> 8);
    key[bytes - 1] = (char)to->port;
    return slice_make(key, bytes);
}

static struct upstream_conf
upstream_conf(struct exchange *ex)
{
    return (struct upstream_conf){
        .group = ex->to.group,
        .endpoint = ex->endpoint != NULL ? ex->endpoint->endpoint : NULL,
        .timeouts = *timeouts(ex),
        .trust = trust_id(ex),
    };
}

/* With a PROXY header a connection speaks for one client only. */
static bool
may_share(const struct exchange *ex)
{
    return ex->to.group == NULL || ex->to.group->send_proxy == PROXY_PROTOCOL_OFF;
}

/* An upgrade is a matter of HTTP/1.1 (RFC 9113 section 8.6); and where nobody
 * asked for HTTP/2 it is of no use to a connection for one exchange. */
static bool
wants_h1(const struct exchange *ex)
{
    return ex->request.wants_upgrade ||
           (!may_share(ex) && ex->to.group->protocol == UPSTREAM_AUTO);
}

/* Whether the server may turn out to speak HTTP/2. */
static bool
may_be_h2(const struct exchange *ex)
{
    const struct group_conf *group = ex->to.group;

    if (group == NULL || wants_h1(ex))
        return false;
    switch ((enum upstream_protocol)group->protocol) {
    case UPSTREAM_AUTO:
        return group->tls.context != NULL;
    case UPSTREAM_H1:
        return false;
    case UPSTREAM_H2:
    case UPSTREAM_H2C:
        return true;
    }
    return false;
}

/* Whether it is known that it will. */
static bool
must_be_h2(const struct exchange *ex)
{
    return may_be_h2(ex) && ex->to.group->protocol != UPSTREAM_AUTO;
}

static struct pool *
pool_of(struct exchange *ex)
{
    if (ex->endpoint != NULL)
        return pool_of_endpoint(ex->worker, ex->endpoint->endpoint, ex->to.group);
    return pool_of_destination(ex->worker, destination_key(ex));
}

static struct upstream *
find_upstream(struct exchange *ex)
{
    struct upstream_conf conf = upstream_conf(ex);
    struct pool *pool = pool_of(ex);
    struct upstream *up = may_be_h2(ex) ? h2_upstream_join(pool, &conf) : NULL;

    if (up != NULL || must_be_h2(ex) || ex->reach->is_fresh_only)
        return up;
    return h1_upstream_reuse(pool, &conf);
}

static bool
reuse(struct exchange *ex)
{
    if (ex->request.method == METHOD_CONNECT || !may_share(ex))
        return false;
    ex->up = find_upstream(ex);
    if (ex->up == NULL)
        return false;
    if (ex->to.may_connect != NULL && ex->to.parent == NULL &&
        !ex->to.may_connect(&ex->up->ip, ex)) {
        struct upstream *up = ex->up;

        ex->up = NULL;
        up->ops->release(up); /* not in a state to be pooled again: closed */
        return false;
    }
    ex->upstream_ip = ex->up->ip;
    return true;
}

/* ---- a connection that somebody else makes */

static void
on_waited(struct pool_waiter *waiter, const struct failure *failure)
{
    struct reach *reach = container_of(waiter, struct reach, waiter);
    struct exchange *ex = reach->ex;

    reach->state = START;
    if (failure != NULL) {
        reach->failure = *failure;
        if (failure->detail != NULL)
            reach->failure.detail = arena_strdup(&ex->arena, failure->detail);
        reach->state = FAILED;
        reach->is_told = true;
    }
    road_resume(ex);
}

/* Whether it is no use to wait any longer. All waits together take no more than
 * a connection may. */
static bool
has_waited_enough(struct exchange *ex)
{
    uint64_t now_ms = loop_now_ms(ex->worker->loop);
    struct reach *reach = ex->reach;

    if (reach->wait_until_ms == 0)
        reach->wait_until_ms = now_ms + timeouts(ex)->connect_ms;
    return now_ms >= reach->wait_until_ms;
}

/* True: one is being made that several can use. False: it is for us to make one,
 * and, if that may turn out to be such a one, for others to wait for it. */
static bool
wait_for_opening(struct exchange *ex)
{
    struct pool *pool = may_be_h2(ex) && may_share(ex) ? pool_of(ex) : NULL;
    struct reach *reach = ex->reach;

    if (pool == NULL || (!must_be_h2(ex) && pool_manner(pool) == POOL_ONE_EACH))
        return false;
    if (!pool_is_opening(pool) || has_waited_enough(ex)) {
        pool_opening_start(pool, &reach->opening);
        return false;
    }
    pool_wait(pool, &reach->waiter, timeouts(ex)->connect_ms, on_waited);
    reach->state = WAITING;
    return true;
}

/* ---- a new one */

static void
set_failure(struct reach *reach, const struct dial_result *result)
{
    static const struct failure failures[] = {
        [DIAL_NO_SUCH_HOST] = { END_DNS_FAILED, 502, "dns_error", NULL },
        [DIAL_DNS_TIMEOUT] = { END_DNS_FAILED, 504, "dns_timeout", NULL },
        [DIAL_DNS_ERROR] = { END_DNS_FAILED, 502, "dns_error", NULL },
        [DIAL_REFUSED_BY_POLICY] = { END_DENIED, 403, "destination_ip_prohibited", NULL },
        [DIAL_FAILED] = { END_LIMIT, 503, "proxy_internal_error", NULL },
        [DIAL_UNREACHABLE] = { END_CONNECT_FAILED, 502, "destination_ip_unroutable", NULL },
        [DIAL_CONNECT_TIMEOUT] = { END_CONNECT_TIMEOUT, 504, "connection_timeout", NULL },
        [DIAL_CONNECT_REFUSED] = { END_CONNECT_FAILED, 502, "connection_refused", NULL },
    };

    reach->failure = failures[result->status];
    reach->failure.detail = result->detail != NULL ? result->detail
                                                   : dial_status_text(result->status);
    reach->state = FAILED;
    pool_opening_end(&reach->opening, &reach->failure);
}

static void
on_dialed(struct dial *dial, int fd, const struct dial_result *result)
{
    struct dialing *dialing = container_of(dial, struct dialing, dial);
    struct exchange *ex = dialing->ex;
    struct reach *reach = ex->reach;

    ex->phases.dns_ns += result->dns_us * 1000ull;
    ex->phases.connect_ns += result->connect_us * 1000ull;
    ex->upstream_ip = result->ip;
    if (result->status == DIAL_OK) {
        reach->connection.fd = fd;
        reach->until_ms = result->until_ms;
        reach->state = DIALED;
    } else {
        if (result->status != DIAL_REFUSED_BY_POLICY)
            counter_up(ex->worker->counters, upstream_connect_failures);
        set_failure(reach, result);
    }
    road_resume(ex);
}

static void
target_of(struct exchange *ex, struct dial_target *target)
{
    const struct destination *to = &ex->to;

    *target = (struct dial_target){ .connect_ms = timeouts(ex)->connect_ms, .source = to->source };
    if (to->group != NULL) {
        if (ex->endpoint->is_literal)
            target->address = &ex->endpoint->address;
        target->host = ex->endpoint->host;
        target->port = ex->endpoint->port;
    } else if (to->parent != NULL) {
        target->host = slice_of(to->parent->host);
        target->port = to->parent->port;
    } else {
        target->host = to->host;
        target->port = to->port;
        target->may_connect = to->may_connect;
        target->arg = ex;
    }
}

static enum step
fail_here(struct exchange *ex, enum end_reason reason, unsigned status, const char *error,
          const char *detail)
{
    struct failure failure = { reason, (uint16_t)status, error, detail };

    pool_opening_end(&ex->reach->opening, NULL);
    return road_fail(ex, &failure);
}

static enum step
dial_hop(struct exchange *ex)
{
    struct reach *reach = ex->reach;
    struct dial_target target;

    if (reach->dialing == NULL) {
        reach->dialing = arena_zalloc(&ex->arena, sizeof(*reach->dialing));
        if (reach->dialing == NULL)
            return fail_here(ex, END_LIMIT, 503, "proxy_internal_error", "out of memory");
        reach->dialing->ex = ex;
    }
    ex->was_dialed = true;
    target_of(ex, &target);
    dial_init(&reach->dialing->dial, on_dialed);
    reach->state = DIALING;
    dial_start(&reach->dialing->dial, ex->worker->resolver, ex->worker->loop, &target);
    return STEP_WAIT;
}

/* ---- connected: what has to be said before the request */

/* A fresh socket has room for a header; if not, something is wrong with it. */
static bool
send_proxy_header(struct exchange *ex)
{
    const struct client *client = ex->down->client;
    char header[PROXY_PROTOCOL_MAX];
    size_t bytes = proxy_protocol_write(header, ex->to.group->send_proxy, &client->peer,
                                        &client->local);

    return write(ex->reach->connection.fd, header, bytes) == (ssize_t)bytes;
}

/* What was said over the new connection came to nothing. */
static void
fail_handshake(struct exchange *ex, bool is_timeout, const char *proxy_error, const char *detail)
{
    struct reach *reach = ex->reach;

    counter_up(ex->worker->counters, upstream_connect_failures);
    reach->failure = is_timeout
                         ? (struct failure){ END_CONNECT_TIMEOUT, 504, proxy_error, detail }
                         : (struct failure){ END_CONNECT_FAILED, 502, proxy_error, detail };
    reach->state = FAILED;
    pool_opening_end(&reach->opening, &reach->failure);
}

static void
on_joined(void *arg, int fd, const struct parent_result *result)
{
    struct exchange *ex = arg;
    struct reach *reach = ex->reach;

    if (result->status == PARENT_OK) {
        reach->connection.head = arena_copy(&ex->arena, result->ahead);
        reach->connection.fd = fd;
        reach->state = JOINED;
    } else {
        fail_handshake(ex, result->status == PARENT_TIMEOUT, result->proxy_error, result->detail);
    }
    road_resume(ex);
}

static enum step
ask_parent(struct exchange *ex)
{
    struct reach *reach = ex->reach;
    int fd = reach->connection.fd;

    reach->connection.fd = -1;
    reach->state = ASKING;
    reach->dialing->parent =
        parent_handshake_start(ex->worker->loop, fd, ex->to.parent, ex->to.host, ex->to.port,
                               timeouts(ex)->connect_ms, on_joined, ex);
    if (reach->dialing->parent == NULL) {
        reach->state = FAILED;
        return fail_here(ex, END_LIMIT, 503, "proxy_internal_error", "out of memory");
    }
    return STEP_WAIT;
}

/* ---- TLS */

static void
count_handshake(struct exchange *ex, const struct tls_session *session)
{
    counter_up(ex->worker->counters, upstream_tls_handshakes);
    if (tls_session_facts(session)->is_resumed)
        counter_up(ex->worker->counters, upstream_tls_resumed);
}

/* Destinations of forward mode are the clients' own choice. */
static void
log_insecure(const struct exchange *ex, const char *why)
{
    static struct log_limit failed = LOG_LIMIT(5);

    if (ex->endpoint != NULL)
        log_limited(&failed, LEVEL_WARN, "endpoint %s/%s: TLS: %s", ex->to.group->name,
                    ex->endpoint->to, why);
}

static void
on_secured(void *arg, int fd, const struct tls_result *result)
{
    struct exchange *ex = arg;
    struct reach *reach = ex->reach;

    if (result->session != NULL) {
        count_handshake(ex, result->session);
        reach->connection.fd = fd;
        reach->connection.tls = result->session;
        reach->state = READY;
    } else {
        log_insecure(ex, result->detail);
        fail_handshake(ex, result->is_timeout, result->proxy_error,
                       arena_strdup(&ex->arena, result->detail));
    }
    road_resume(ex);
}

/* Sessions are resumed with the same server only: a group's endpoint, or what
 * tells the connections of forward mode apart. */
static struct tls_handshake *
start_handshake(struct exchange *ex, int fd)
{
    const struct endpoint_conf *endpoint = ex->endpoint;
    struct tls_target target = { .context = trust(ex), .is_h1_only = wants_h1(ex) };

    target.host = endpoint != NULL ? endpoint->host : ex->to.host;
    target.where = endpoint != NULL ? slice_of(endpoint->endpoint->registered.identity)
                                    : destination_key(ex);
    return tls_handshake_start(ex->worker->loop, fd, &target, timeouts(ex)->connect_ms,
                               on_secured, ex);
}

static enum step use_connection(struct exchange *ex);

static enum step
secure(struct exchange *ex)
{
    struct reach *reach = ex->reach;
    int fd = reach->connection.fd;

    if (ex->request.method == METHOD_CONNECT)
        return use_connection(ex);
    if (reach->connection.head.bytes > 0)
        return fail_here(ex, END_UPSTREAM_BAD, 502, "http_protocol_error",
                         "it spoke before it was asked");
    if (trust(ex) == NULL)
        return use_connection(ex);
    reach->connection.fd = -1;
    reach->state = SECURING;
    reach->dialing->tls = start_handshake(ex, fd);
    if (reach->dialing->tls == NULL) {
        reach->state = FAILED;
        return fail_here(ex, END_LIMIT, 503, "proxy_internal_error", "out of memory");
    }
    return STEP_WAIT;
}

/* ---- there */

static bool
is_h2(const struct exchange *ex)
{
    const struct tls_session *session = ex->reach->connection.tls;

    if (session != NULL)
        return tls_session_facts(session)->alpn == ALPN_H2;
    return must_be_h2(ex);
}

static struct upstream *
new_upstream(struct exchange *ex)
{
    struct reach *reach = ex->reach;
    struct upstream_conf conf = upstream_conf(ex);
    int fd = reach->connection.fd;
    struct pool *pool;

    if (conf.endpoint == NULL)
        conf.key = destination_key(ex);
    else if (!may_share(ex))
        conf.endpoint = NULL;
    conf.ip = ex->upstream_ip;
    conf.until_ms = reach->until_ms;
    conf.session = reach->connection.tls;
    if (is_h2(ex)) {
        reach->connection = (struct accepted){ .fd = -1 };
        return h2_upstream_new(ex->worker, fd, &conf);
    }
    reach->connection = (struct accepted){ .fd = -1 };
    pool = reach->opening.pool;
    if (pool != NULL)
        pool_set_manner(pool, POOL_ONE_EACH);
    return h1_upstream_new(ex->worker, fd, &conf);
}

static enum step
use_connection(struct exchange *ex)
{
    struct reach *reach = ex->reach;

    reach->state = READY;
    if (ex->request.method == METHOD_CONNECT)
        return STEP_NEXT;
    ex->up = new_upstream(ex);
    pool_opening_end(&reach->opening, NULL); /* others wait for its SETTINGS now, or dial, too */
    if (ex->up == NULL)
        return fail_here(ex, END_LIMIT, 503, "proxy_internal_error", "out of memory");
    return STEP_NEXT;
}

static enum step
greet(struct exchange *ex)
{
    struct reach *reach = ex->reach;

    if (!may_share(ex) && !send_proxy_header(ex)) {
        close(reach->connection.fd);
        reach->connection.fd = -1;
        return fail_here(ex, END_UPSTREAM_FAILED, 502, "connection_terminated",
                         "it would not take the PROXY header");
    }
    if (ex->to.parent != NULL && !reach_is_relayed(ex))
        return ask_parent(ex);
    return secure(ex);
}

/* ---- the choice */

static enum step
no_endpoint(struct exchange *ex, enum pick_failure why)
{
    switch (why) {
    case PICK_ALL_DOWN:
        return fail_here(ex, END_NO_ENDPOINT, 503, "destination_unavailable",
                         "every endpoint of the group is down");
    case PICK_ALL_FULL:
        counter_up(ex->worker->counters, limits_hit);
        return fail_here(ex, END_NO_ENDPOINT, 503, "connection_limit_reached",
                         "every endpoint of the group is at its limit of connections");
    case PICK_ALL_TRIED:
        break;
    }
    if (ex->reach->failure.status != 0)
        return road_fail(ex, &ex->reach->failure);
    return fail_here(ex, END_NO_ENDPOINT, 503, "destination_unavailable", "no endpoint left");
}

static enum step
start(struct exchange *ex)
{
    struct reach *reach = ex->reach;
    enum pick_failure why;

    if (ex->to.group != NULL && ex->endpoint == NULL) {
        ex->endpoint = group_pick(&reach->pick, loop_now_ms(ex->worker->loop), &why);
        if (ex->endpoint == NULL)
            return no_endpoint(ex, why);
        ex->slot = ex->endpoint->endpoint;
    }
    if (reuse(ex)) {
        reach->state = READY;
        return STEP_NEXT;
    }
    if (wait_for_opening(ex))
        return STEP_WAIT;
    return dial_hop(ex);
}

/* For the log; some failures have nothing to say beyond what they are. */
static const char *
reason_text(const struct failure *failure)
{
    return failure->detail != NULL ? failure->detail : end_reason_word(failure->reason);
}

static void
release_endpoint(struct exchange *ex)
{
    if (ex->slot != NULL)
        endpoint_release(ex->slot);
    ex->slot = NULL;
    ex->endpoint = NULL;
}

/* The next endpoint of a group; there is no other way to a destination. */
static enum step
next_endpoint(struct exchange *ex)
{
    struct reach *reach = ex->reach;

    if (ex->endpoint == NULL)
        return road_fail(ex, &reach->failure);
    if (!reach->is_told)
        endpoint_failed(ex->endpoint->endpoint, ex->to.group, loop_now_ms(ex->worker->loop),
                        reason_text(&reach->failure));
    reach->is_told = false;
    exchange_decide(ex, DECISION_ENDPOINT, &ex->endpoint->place, "%s: %s", ex->endpoint->to,
                    reason_text(&reach->failure));
    release_endpoint(ex);
    reach->state = START;
    return start(ex);
}

/* The operator's word. */
static enum step
refuse_for_maintenance(struct exchange *ex)
{
    static const struct failure failure = { END_NO_ENDPOINT, 503, "destination_unavailable",
                                            "the group is in maintenance" };

    return road_fail(ex, &failure);
}

enum step
reach(struct exchange *ex)
{
    static const struct failure out_of_memory = { END_LIMIT, 503, "proxy_internal_error",
                                                  "out of memory" };
    struct reach *reach = ex->reach;

    if (reach == NULL) {
        reach = ex->reach = arena_zalloc(&ex->arena, sizeof(*reach));
        if (reach == NULL)
            return road_fail(ex, &out_of_memory);
        reach->ex = ex;
        reach->connection.fd = -1;
        list_init(&reach->opening.link);
        if (ex->to.group != NULL)
            pick_start(&reach->pick, ex->to.group);
    }
    if (ex->to.group != NULL && ex->to.group->maintenance && ex->request.method != METHOD_CONNECT)
        return refuse_for_maintenance(ex);
    switch ((enum state)reach->state) {
    case START:
        return start(ex);
    case WAITING:
    case DIALING:
    case ASKING:
    case SECURING:
        return STEP_WAIT;
    case DIALED:
        return greet(ex);
    case JOINED:
        return secure(ex);
    case FAILED:
        return next_endpoint(ex);
    case READY:
        return use_connection(ex);
    }
    return STEP_WAIT;
}

void
reach_take_connection(struct exchange *ex, struct accepted *connection)
{
    *connection = ex->reach->connection;
    connection->peer = ex->upstream_ip;
    ex->reach->connection = (struct accepted){ .fd = -1 };
}

bool
reach_again(struct exchange *ex, const struct failure *failure, bool was_stale)
{
    struct reach *reach = ex->reach;
    const struct request *request = &ex->request;

    if (ex->endpoint != NULL && !was_stale)
        endpoint_failed(ex->endpoint->endpoint, ex->to.group, loop_now_ms(ex->worker->loop),
                        reason_text(failure));
    if (!was_stale || reach->is_fresh_only || ex->request_pump.moved_bytes > 0 ||
        (!ex->was_refused && !method_is_idempotent(request->method)))
        return false;
    exchange_decide(ex, DECISION_ENDPOINT, NULL, "%s: %s",
                    ex->was_refused ? "not taken by the server" : "an idle connection had died",
                    failure->detail);
    ex->was_refused = false;
    reach->is_fresh_only = true;
    reach->state = START; /* with the same endpoint, whose slot is still held */
    return true;
}

void
reach_stop(struct exchange *ex)
{
    struct reach *reach = ex->reach;

    if (reach != NULL) {
        if (reach->state == WAITING)
            pool_wait_cancel(&reach->waiter);
        if (reach->state == DIALING)
            dial_cancel(&reach->dialing->dial);
        if (reach->state == ASKING)
            parent_handshake_cancel(reach->dialing->parent);
        if (reach->state == SECURING)
            tls_handshake_cancel(reach->dialing->tls);
        tls_session_free(reach->connection.tls);
        reach->connection.tls = NULL;
        if (reach->connection.fd >= 0)
            close(reach->connection.fd);
        reach->connection.fd = -1;
        pool_opening_end(&reach->opening, NULL);
        reach->state = FAILED;
    }
    release_endpoint(ex);
}
