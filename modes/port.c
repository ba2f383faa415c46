/* SPDX-License-Identifier: BSD-2-Clause */
/* port.c - the port mode: each client connection to an endpoint of a group.
 *
 *   pick --> dial --> (PROXY header) --> tunnel --> log
 *    ^        |
 *    '-- next endpoint
 *
 * While it connects, a flow holds the snapshot it came with. A running tunnel
 * holds the worker's current one: on publish it finds its listener there, is
 * judged again and lets the old one go, so what it needs of an endpoint is
 * counted (the endpoint itself) or copied (the names for the log).
 */
#include "config.h"

#include "modes/port.h"

#include "server/generation.h"
#include "server/http/client_conn.h"
#include "server/http/exchange.h"
#include "server/log/access_log.h"
#include "server/net/dial.h"
#include "server/net/listener.h"
#include "server/net/proxy_protocol.h"
#include "server/net/tunnel.h"
#include "server/snapshot.h"
#include "server/upstream/group.h"

#include <stdlib.h>
#include <unistd.h>

struct port_conf {
    struct listener_conf listener;
    const char *group_name;
    struct group_conf *group;
};

/* Only until there is a tunnel. */
struct connecting {
    struct dial dial;
    struct port_flow *flow;
    struct pick pick;
    const struct endpoint_conf *endpoint; /* tried last; NULL: none */
    int client_fd;
    char *head; /* bytes of the client read ahead; NULL: none */
    size_t head_bytes;
    struct ip local; /* where the client connected to */
    enum end_reason failure; /* of the endpoint tried last */
    bool is_stale; /* a newer snapshot has been published meanwhile */
    struct task task; /* tries the next endpoint */
    struct grave grave;
};

/* One client connection. */
struct port_flow {
    struct client_conn link; /* worker->clients */
    struct worker *worker;
    struct generation *generation;
    struct port_conf *conf; /* of that generation */
    struct listener *listener; /* which counts the connection */
    struct connecting *connecting;
    struct tunnel *tunnel;
    struct endpoint *endpoint; /* a slot and a reference of which are held; NULL: none */
    char *group_name, *endpoint_name; /* copies, once there is a tunnel */
    struct ip client, upstream_ip;
    uint64_t id, started_ns, wall_ms;
    uint64_t up_bytes, down_bytes;
    uint32_t dns_us, connect_us; /* of all endpoints tried */
};

static struct port_conf *
port_conf_of(struct listener_conf *listener)
{
    return container_of(listener, struct port_conf, listener);
}

static struct port_flow *
flow_of(struct client_conn *link)
{
    return container_of(link, struct port_flow, link);
}

/* ---- the end of a flow */

static struct slice
endpoint_name(const struct port_flow *flow)
{
    const struct connecting *connecting = flow->connecting;

    if (connecting == NULL)
        return slice_of(flow->endpoint_name);
    return slice_of(connecting->endpoint != NULL ? connecting->endpoint->to : NULL);
}

static void
log_flow(const struct port_flow *flow, enum end_reason end)
{
    const struct listener_conf *listener = &flow->conf->listener;
    struct access_record record = {
        .wall_ms = flow->wall_ms,
        .id = flow->id,
        .duration_us = (int64_t)((loop_now_ns(flow->worker->loop) - flow->started_ns) / 1000),
        .dns_us = flow->dns_us,
        .connect_us = flow->connect_us,
        .first_byte_us = -1,
        .body_in_bytes = flow->up_bytes,
        .body_out_bytes = flow->down_bytes,
        .total_in_bytes = flow->up_bytes,
        .total_out_bytes = flow->down_bytes,
        .client = flow->client,
        .upstream_ip = flow->upstream_ip,
        .listener = slice_of(listener->name),
        .mode = slice_of(port_mode.name),
        .group = slice_of(flow->connecting != NULL ? flow->conf->group->name : flow->group_name),
        .endpoint = endpoint_name(flow),
        .end = end_reason_word(end),
        .cache = "TCP_TUNNEL",
    };

    if (listener->access_log != NULL && listener->access_log->log != NULL)
        access_log_write(listener->access_log->log, &record);
}

static void
release_endpoint(struct port_flow *flow)
{
    if (flow->endpoint == NULL)
        return;
    endpoint_release(flow->endpoint);
    endpoint_unref(flow->endpoint);
    flow->endpoint = NULL;
}

/* The dial may still be on the stack. */
static void
free_connecting(struct port_flow *flow)
{
    struct connecting *connecting = flow->connecting;

    if (connecting == NULL)
        return;
    flow->connecting = NULL;
    task_cancel(&connecting->task);
    dial_cancel(&connecting->dial);
    free(connecting->head);
    loop_free(flow->worker->loop, &connecting->grave, free, connecting);
}

static void
free_flow(struct port_flow *flow)
{
    release_endpoint(flow);
    free_connecting(flow);
    list_remove(&flow->link.link);
    listener_leave(flow->worker, flow->listener);
    generation_release(flow->generation);
    free(flow->group_name);
    free(flow->endpoint_name);
    free(flow);
}

/* It ends before there was a tunnel. The client gets a reset: the end of a
 * stream would say that the endpoint had nothing to say. */
static void
give_up(struct port_flow *flow, enum end_reason end)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    int fd = flow->connecting->client_fd;

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    log_flow(flow, end);
    free_flow(flow);
}

/* ---- reload */

/* Who reaches a unix socket was let in by its owner and mode. */
static struct listener_conf *
listener_now(const struct port_flow *flow)
{
    const struct config_list *listeners = &flow->worker->snapshot->conf.listeners;

    for (size_t i = 0; i < listeners->count; i++) {
        struct listener_conf *listener = listeners->items[i];

        if (listener->listener == flow->listener && listener->mode == &port_mode)
            return listener;
    }
    return NULL;
}

/* Moves the flow to the worker's current snapshot; false when that one would
 * not have let it in: *why says so, and the flow keeps its old one. */
static bool
move_to_new_snapshot(struct port_flow *flow, const char **why)
{
    struct listener_conf *listener = listener_now(flow);
    struct generation *old = flow->generation;

    *why = listener == NULL ? "its listener is gone" : "its client is not in allow_client any more";
    if (listener == NULL || !listener_allows(listener, &flow->client))
        return false;
    flow->generation = generation_hold(flow->worker);
    flow->conf = port_conf_of(listener);
    generation_release(old);
    return true;
}

/* After the tunnel has begun. */
static void
judge_again(struct port_flow *flow)
{
    char client[IP_TEXT_BYTES];
    const char *why;

    if (move_to_new_snapshot(flow, &why))
        return;
    ip_text(&flow->client, client);
    log_info("listener \"%s\": connection of client %s to %.*s closed after reload: %s",
             flow->conf->listener.name, client, SLICE_ARG(endpoint_name(flow)), why);
    tunnel_close(flow->tunnel, TUNNEL_DENIED);
}

/* ---- the tunnel */

static const enum end_reason reasons[TUNNEL_END_COUNT] = {
    [TUNNEL_DONE] = END_DONE,
    [TUNNEL_CLIENT_RESET] = END_CLIENT_ABORT,
    [TUNNEL_UPSTREAM_RESET] = END_UPSTREAM_FAILED,
    [TUNNEL_IDLE] = END_LIMIT,
    [TUNNEL_LIFE] = END_LIMIT,
    [TUNNEL_DENIED] = END_DENIED,
    [TUNNEL_STOPPED] = END_STOPPED,
    [TUNNEL_NO_MEMORY] = END_LIMIT,
};

static void
on_tunnel_done(struct tunnel *tunnel, enum tunnel_end end)
{
    struct port_flow *flow = tunnel->arg;

    flow->up_bytes = tunnel->up.bytes;
    flow->down_bytes = tunnel->down.bytes;
    counter_down(flow->worker->counters, upstream_open);
    log_flow(flow, reasons[end]);
    free_flow(flow);
}

/* Takes fd. Names are copied, as the snapshot may go while the tunnel lives;
 * when memory is short the log does without. */
static void
start_tunnel(struct port_flow *flow, int fd)
{
    const struct client_timeouts *timeouts = &flow->conf->listener.timeouts;
    struct tunnel_conf conf = { .idle_ms = timeouts->tunnel_idle_ms,
                                .half_close_idle_ms = timeouts->tunnel_half_close_ms,
                                .life_ms = timeouts->tunnel_life_ms };
    struct connecting *connecting = flow->connecting;
    bool is_stale = connecting->is_stale;

    flow->group_name = strdup(flow->conf->group->name);
    flow->endpoint_name = strdup(connecting->endpoint->to);
    flow->tunnel = tunnel_start(flow->worker, connecting->client_fd,
                                slice_make(connecting->head, connecting->head_bytes), fd,
                                slice_make(NULL, 0), &conf, on_tunnel_done, flow);
    if (flow->tunnel == NULL) {
        counter_up(flow->worker->counters, limits_hit);
        log_flow(flow, END_LIMIT);
        free_flow(flow);
        return;
    }
    counter_up(flow->worker->counters, upstream_open);
    free_connecting(flow);
    if (is_stale)
        judge_again(flow);
}

/* A fresh socket has room for a header; if not, something is wrong with it. */
static bool
send_proxy_header(const struct port_flow *flow, int fd)
{
    char header[PROXY_PROTOCOL_MAX];
    size_t bytes;

    if (flow->conf->group->send_proxy == PROXY_PROTOCOL_OFF)
        return true;
    bytes = proxy_protocol_write(header, flow->conf->group->send_proxy, &flow->client,
                                 &flow->connecting->local);
    return send(fd, header, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

/* ---- connecting */

/* The next one is tried from the loop, so that many that fail at once do not
 * pile up on the stack. */
static void
fail_endpoint(struct port_flow *flow, enum end_reason reason)
{
    if (reason != END_LIMIT) /* that says nothing about the endpoint */
        endpoint_failed(flow->endpoint, flow->conf->group, loop_now_ms(flow->worker->loop));
    release_endpoint(flow);
    flow->connecting->failure = reason;
    loop_ready(flow->worker->loop, &flow->connecting->task);
}

static enum end_reason
reason_of(enum dial_status status)
{
    switch (status) {
    case DIAL_NO_SUCH_HOST:
    case DIAL_DNS_TIMEOUT:
    case DIAL_DNS_ERROR:
        return END_DNS_FAILED;
    case DIAL_CONNECT_TIMEOUT:
        return END_CONNECT_TIMEOUT;
    case DIAL_REFUSED_BY_POLICY:
        return END_DENIED;
    case DIAL_FAILED:
        return END_LIMIT;
    case DIAL_OK:
    case DIAL_UNREACHABLE:
    case DIAL_CONNECT_REFUSED:
        return END_CONNECT_FAILED;
    }
    return END_CONNECT_FAILED;
}

static void
on_dialed(struct dial *dial, int fd, const struct dial_result *result)
{
    struct port_flow *flow = container_of(dial, struct connecting, dial)->flow;

    flow->dns_us += result->dns_us;
    flow->connect_us += result->connect_us;
    flow->upstream_ip = result->ip;
    if (result->status != DIAL_OK) {
        counter_up(flow->worker->counters, upstream_connect_failures);
        fail_endpoint(flow, reason_of(result->status));
        return;
    }
    counter_up(flow->worker->counters, upstream_connects);
    if (!send_proxy_header(flow, fd)) {
        close(fd);
        fail_endpoint(flow, END_UPSTREAM_FAILED);
        return;
    }
    endpoint_succeeded(flow->endpoint);
    start_tunnel(flow, fd);
}

/* No endpoint is left: what the last one said, or why none was asked. */
static enum end_reason
reason_of_none(const struct port_flow *flow, enum pick_failure why)
{
    if (why == PICK_ALL_FULL)
        counter_up(flow->worker->counters, limits_hit);
    return flow->connecting->failure != END_DONE ? flow->connecting->failure : END_NO_ENDPOINT;
}

static void
try_next(struct task *task)
{
    struct port_flow *flow = container_of(task, struct connecting, task)->flow;
    struct connecting *connecting = flow->connecting;
    const struct group_conf *group = flow->conf->group;
    const struct endpoint_conf *endpoint;
    struct dial_target target = { .connect_ms = group->timeouts.connect_ms };
    enum pick_failure why;

    endpoint = group_pick(&connecting->pick, loop_now_ms(flow->worker->loop), &why);
    if (endpoint == NULL) {
        give_up(flow, reason_of_none(flow, why));
        return;
    }
    connecting->endpoint = endpoint;
    flow->endpoint = endpoint_ref(endpoint->endpoint);
    target.host = endpoint->host;
    target.port = endpoint->port;
    if (endpoint->is_literal)
        target.address = &endpoint->address;
    dial_start(&connecting->dial, flow->worker->resolver, flow->worker->loop, &target);
}

/* ---- what the worker asks */

static void
republish(struct client_conn *link)
{
    struct port_flow *flow = flow_of(link);

    if (flow->connecting != NULL)
        flow->connecting->is_stale = true;
    else
        judge_again(flow);
}

/* A stream is in progress until it ends. */
static void
drain(struct client_conn *link)
{
    (void)link;
}

static void
kill_flow(struct client_conn *link)
{
    struct port_flow *flow = flow_of(link);

    if (flow->connecting != NULL)
        give_up(flow, END_STOPPED);
    else
        tunnel_close(flow->tunnel, TUNNEL_STOPPED);
}

static const struct client_conn_ops client_ops = {
    .republish = republish,
    .drain = drain,
    .kill = kill_flow,
};

/* ---- the beginning */

static struct connecting *
connecting_new(struct port_flow *flow, const struct accepted *accepted)
{
    struct connecting *connecting = calloc(1, sizeof(*connecting));

    if (connecting == NULL)
        return NULL;
    connecting->flow = flow;
    connecting->client_fd = accepted->fd;
    connecting->local = accepted->local;
    connecting->failure = END_DONE;
    dial_init(&connecting->dial, on_dialed);
    task_init(&connecting->task, try_next);
    list_init(&connecting->grave.link);
    pick_start(&connecting->pick, flow->conf->group);
    if (accepted->head.bytes > 0) {
        connecting->head = malloc(accepted->head.bytes);
        if (connecting->head == NULL) {
            free(connecting);
            return NULL;
        }
        memcpy(connecting->head, accepted->head.data, accepted->head.bytes);
        connecting->head_bytes = accepted->head.bytes;
    }
    return connecting;
}

static struct port_flow *
flow_new(struct worker *worker, struct listener_conf *listener, const struct accepted *accepted)
{
    struct port_flow *flow = calloc(1, sizeof(*flow));

    if (flow == NULL)
        return NULL;
    flow->worker = worker;
    flow->conf = port_conf_of(listener);
    flow->connecting = connecting_new(flow, accepted);
    if (flow->connecting == NULL) {
        free(flow);
        return NULL;
    }
    flow->listener = listener->listener;
    flow->generation = generation_hold(worker);
    flow->client = accepted->peer;
    flow->id = worker->next_exchange_id++;
    flow->started_ns = loop_now_ns(worker->loop);
    flow->wall_ms = loop_wall_ms(worker->loop);
    flow->link.ops = &client_ops;
    list_push_back(&worker->clients, &flow->link.link);
    return flow;
}

static void
on_connection(struct worker *worker, struct listener_conf *listener,
              const struct accepted *accepted)
{
    struct port_flow *flow = flow_new(worker, listener, accepted);

    if (flow == NULL) {
        close(accepted->fd);
        listener_leave(worker, listener->listener);
        return;
    }
    try_next(&flow->connecting->task);
}

/* ---- configuration */

static const struct option options[] = {
    { .name = "group", .type = OPTION_STRING, .offset = offsetof(struct port_conf, group_name),
      .is_required = true, .text = "The group whose endpoints get the connections." },
    { .name = NULL },
};

static int
finish(struct listener_conf *listener, struct conf *conf, struct arena *arena, struct err *err)
{
    struct port_conf *port = port_conf_of(listener);

    (void)arena;
    if (listener->filters.count > 0)
        return err_set(err, "filters work on HTTP; port mode passes bytes on as they are");
    port->group = conf_group(conf, port->group_name, err);
    return port->group != NULL ? 0 : -1;
}

const struct mode_ops port_mode = {
    .name = "port",
    .text = "Forwards TCP connections to the endpoints of a group, whatever they carry.",
    .options = options,
    .conf_bytes = sizeof(struct port_conf),
    .finish = finish,
    .on_connection = on_connection,
};
