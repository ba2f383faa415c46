/* SPDX-License-Identifier: BSD-2-Clause */
/* relay.c - one client connection and the endpoint it is joined with.
 *
 *   pick --> dial --> (PROXY header) --> (TLS) --> tunnel --> log
 *    ^        |            |               |
 *    '--------+-- next endpoint -----------'
 *
 * While it connects, a relay holds the snapshot it came with. A running tunnel
 * holds the worker's current one: on publish it finds its listener there, is
 * judged again and lets the old one go, so what it needs of an endpoint is
 * counted (the endpoint itself) or copied (the names for the log).
 */
#include "config.h"

#include "modes/relay.h"

#include "modes/judge.h"
#include "server/base/log.h"
#include "server/generation.h"
#include "server/http/client_conn.h"
#include "server/http/exchange.h"
#include "server/log/access_log.h"
#include "server/log/log_thread.h"
#include "server/net/dial.h"
#include "server/net/listener.h"
#include "server/net/proxy_protocol.h"
#include "server/net/tunnel.h"
#include "server/schema_tls.h"
#include "server/snapshot.h"
#include "server/tls/tls_client.h"
#include "server/tls/tls_demands.h"
#include "server/upstream/group.h"

#include <stdlib.h>
#include <unistd.h>

/* Only until there is a tunnel. */
struct connecting {
    struct dial dial;
    struct tls_handshake *tls; /* towards the endpoint; NULL: not now */
    struct relay *relay;
    struct relay_route route;
    struct pick pick;
    const struct endpoint_conf *endpoint; /* tried last; NULL: none */
    struct accepted client; /* its head is a copy */
    enum end_reason failure; /* of the endpoint tried last */
    bool is_stale; /* a newer snapshot has been published meanwhile */
    struct task task; /* tries the next endpoint */
    struct grave grave;
};

/* One client connection. */
struct relay {
    struct client_conn link; /* worker->clients */
    struct worker *worker;
    struct generation *generation;
    struct listener_conf *conf; /* of that generation */
    struct listener *listener; /* which counts the connection */
    relay_route_fn *find;
    struct connecting *connecting;
    struct tunnel *tunnel;
    struct endpoint *endpoint; /* a slot and a reference of which are held; NULL: none */
    struct judge_hold *holds; /* limits it counts for */
    char *rule; /* that decided; a copy; NULL: none did */
    char *tags; /* of rules that were true; NULL: none */
    char *name; /* asked for by the client; NULL: none */
    char *group_name, *site_name, *endpoint_name; /* copies, once there is a tunnel */
    struct ip client, upstream_ip;
    uint64_t id, started_ns, wall_ms;
    uint64_t up_bytes, down_bytes;
    uint32_t dns_us, connect_us; /* of all endpoints tried */
};

static struct relay *
relay_of(struct client_conn *link)
{
    return container_of(link, struct relay, link);
}

static const struct group_conf *
group_of(const struct relay *relay)
{
    return relay->connecting->route.group;
}

/* ---- the log */

static struct slice
endpoint_name(const struct relay *relay)
{
    const struct connecting *connecting = relay->connecting;

    if (connecting == NULL)
        return slice_of(relay->endpoint_name);
    return slice_of(connecting->endpoint != NULL ? connecting->endpoint->to : NULL);
}

static struct slice
site_name(const struct relay *relay)
{
    const struct connecting *connecting = relay->connecting;

    if (connecting == NULL)
        return slice_of(relay->site_name);
    return slice_of(connecting->route.site != NULL ? connecting->route.site->name : NULL);
}

/* The client's session, where TLS ends here. */
static const struct tls_session *
session_of(const struct relay *relay)
{
    if (relay->connecting != NULL)
        return relay->connecting->client.tls;
    return relay->tunnel != NULL ? tls_of(&relay->tunnel->client) : NULL;
}

static void
tell_tls(const struct relay *relay, struct access_record *record)
{
    const struct tls_session *session = session_of(relay);
    const struct tls_facts *facts;

    record->tls_name = slice_of(relay->name);
    if (session == NULL)
        return;
    facts = tls_session_facts(session);
    record->tls_version = slice_of(facts->version);
    record->tls_cipher = slice_of(facts->cipher);
    record->tls_name = facts->server_name;
}

/* Its end, counted and logged. */
static void
log_relay(const struct relay *relay, enum end_reason end)
{
    const struct listener_conf *listener = relay->conf;
    struct access_record record = {
        .wall_ms = relay->wall_ms,
        .id = relay->id,
        .duration_us = (int64_t)((loop_now_ns(relay->worker->loop) - relay->started_ns) / 1000),
        .dns_us = relay->dns_us,
        .connect_us = relay->connect_us,
        .first_byte_us = -1,
        .body_in_bytes = relay->up_bytes,
        .body_out_bytes = relay->down_bytes,
        .total_in_bytes = relay->up_bytes,
        .total_out_bytes = relay->down_bytes,
        .client = relay->client,
        .upstream_ip = relay->upstream_ip,
        .listener = slice_of(listener->name),
        .mode = slice_of(listener->mode->name),
        .site = site_name(relay),
        .group = slice_of(relay->connecting != NULL ? group_of(relay)->name : relay->group_name),
        .endpoint = endpoint_name(relay),
        .end = end_reason_word(end),
        .rule = slice_of(relay->rule),
        .tags = slice_of(relay->tags),
        .cache = end == END_DENIED ? "TCP_DENIED" : "TCP_TUNNEL",
    };

    if (end == END_DENIED)
        counter_up(relay->worker->counters, requests_denied);
    if (listener->access_log == NULL || listener->access_log->log == NULL)
        return;
    tell_tls(relay, &record);
    access_log_write(listener->access_log->log, &record);
}

/* ---- the end of a relay */

static void
release_endpoint(struct relay *relay)
{
    if (relay->endpoint == NULL)
        return;
    endpoint_release(relay->endpoint);
    endpoint_unref(relay->endpoint);
    relay->endpoint = NULL;
}

/* The dial may still be on the stack. */
static void
free_connecting(struct relay *relay)
{
    struct connecting *connecting = relay->connecting;

    if (connecting == NULL)
        return;
    relay->connecting = NULL;
    task_cancel(&connecting->task);
    dial_cancel(&connecting->dial);
    if (connecting->tls != NULL)
        tls_handshake_cancel(connecting->tls);
    free((char *)connecting->client.head.data);
    loop_free(relay->worker->loop, &connecting->grave, free, connecting);
}

static void
free_relay(struct relay *relay)
{
    judge_flow_end(relay->holds, relay->up_bytes + relay->down_bytes,
                   loop_now_ms(relay->worker->loop));
    release_endpoint(relay);
    free_connecting(relay);
    list_remove(&relay->link.link);
    listener_leave(relay->worker, relay->listener);
    generation_release(relay->generation);
    free(relay->name);
    free(relay->rule);
    free(relay->tags);
    free(relay->group_name);
    free(relay->site_name);
    free(relay->endpoint_name);
    free(relay);
}

/* It ends before there was a tunnel. The client gets a reset: the end of a
 * stream would say that the endpoint had nothing to say. */
static void
give_up(struct relay *relay, enum end_reason end)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    const struct accepted *client = &relay->connecting->client;

    log_relay(relay, end);
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    tls_session_free(client->tls);
    close(client->fd);
    free_relay(relay);
}

/* ---- policy */

/* What the policies of the listener and of the site say. */
static bool
judge(struct relay *relay, const struct listener_conf *listener, const struct relay_route *route,
      const struct tls_session *tls, bool is_dry, struct judge_flow *flow)
{
    *flow = (struct judge_flow){
        .worker = relay->worker,
        .listener = listener,
        .site = route->site,
        .client = relay->client,
        .tls = tls,
        .name = slice_of(relay->name),
        .now_s = (int64_t)(loop_wall_ms(relay->worker->loop) / 1000),
    };
    if (listener->policy == NULL && (route->site == NULL || route->site->policy == NULL))
        return true;
    return judge_flow(flow, is_dry);
}

/* As for exchanges: its name, or its place. */
static void
note_rule(struct relay *relay, const struct judge_flow *flow)
{
    const struct rule_conf *rule = flow->rule;
    char text[RULE_ID_BYTES];

    if (rule != NULL)
        relay->rule = strdup(rule->name != NULL ? rule->name : rule_id(rule, text));
}

/* ---- reload */

static struct listener_conf *
listener_now(const struct relay *relay)
{
    const struct config_list *listeners = &relay->worker->snapshot->conf.listeners;

    for (size_t i = 0; i < listeners->count; i++) {
        struct listener_conf *listener = listeners->items[i];

        if (listener->listener == relay->listener)
            return listener;
    }
    return NULL;
}

/* Why the worker's current snapshot would not have let it in; NULL: it would. */
static const char *
objection(struct relay *relay, const struct listener_conf *listener)
{
    const struct tls_session *tls = tls_of(&relay->tunnel->client);
    struct relay_route route;
    struct judge_flow flow;

    if (listener == NULL)
        return "its listener is gone";
    if (!listener_allows(listener, &relay->client))
        return "its client is not in allow_client any more";
    if (!relay->find(listener, slice_of(relay->name), &route))
        return "its listener passes no such connections on any more";
    if (tls != NULL && !tls_facts_prove(tls_session_facts(tls), listener))
        return "its client has not shown the certificate that is demanded now";
    return judge(relay, listener, &route, tls, true, &flow) ? NULL : flow.why;
}

/* After the tunnel has begun: moves to the worker's current snapshot, or ends. */
static void
judge_relay_again(struct relay *relay)
{
    struct listener_conf *listener = listener_now(relay);
    const char *why = objection(relay, listener);
    struct generation *old = relay->generation;
    char client[IP_TEXT_BYTES];

    if (why == NULL) {
        relay->generation = generation_hold(relay->worker);
        relay->conf = listener;
        generation_release(old);
        return;
    }
    listener_client_text(relay->conf, &relay->client, client);
    log_info("listener \"%s\": connection of client %s to %.*s closed after reload: %s",
             relay->conf->name, client, SLICE_ARG(endpoint_name(relay)), why);
    tunnel_close(relay->tunnel, TUNNEL_DENIED);
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
    struct relay *relay = tunnel->arg;

    relay->up_bytes = tunnel->up.bytes;
    relay->down_bytes = tunnel->down.bytes;
    counter_down(relay->worker->counters, upstream_open);
    log_relay(relay, reasons[end]);
    free_relay(relay);
}

/* Names are copied, as the snapshot may go while the tunnel lives; when memory
 * is short the log does without. */
static void
keep_names(struct relay *relay)
{
    const struct connecting *connecting = relay->connecting;

    relay->group_name = strdup(connecting->route.group->name);
    relay->endpoint_name = strdup(connecting->endpoint->to);
    if (connecting->route.site != NULL)
        relay->site_name = strdup(connecting->route.site->name);
}

/* Takes the endpoint's connection. */
static void
start_tunnel(struct relay *relay, const struct accepted *upstream)
{
    const struct client_timeouts *timeouts = &relay->conf->timeouts;
    struct tunnel_conf conf = { .idle_ms = timeouts->tunnel_idle_ms,
                                .half_close_idle_ms = timeouts->tunnel_half_close_ms,
                                .life_ms = timeouts->tunnel_life_ms };
    struct connecting *connecting = relay->connecting;
    bool is_stale = connecting->is_stale;

    endpoint_succeeded(relay->endpoint);
    keep_names(relay);
    relay->tunnel = tunnel_start(relay->worker, &connecting->client, upstream, &conf,
                                 on_tunnel_done, relay);
    if (relay->tunnel == NULL) {
        connecting->client.tls = NULL;
        counter_up(relay->worker->counters, limits_hit);
        log_relay(relay, END_LIMIT);
        free_relay(relay);
        return;
    }
    counter_up(relay->worker->counters, upstream_open);
    free_connecting(relay);
    if (is_stale)
        judge_relay_again(relay);
}

/* ---- connecting */

/* The next one is tried from the loop, so that many that fail at once do not
 * pile up on the stack. */
static void
fail_endpoint(struct relay *relay, enum end_reason reason, const char *why)
{
    if (reason != END_LIMIT) /* that says nothing about the endpoint */
        endpoint_failed(relay->endpoint, group_of(relay), loop_now_ms(relay->worker->loop), why);
    release_endpoint(relay);
    relay->connecting->failure = reason;
    loop_ready(relay->worker->loop, &relay->connecting->task);
}

static void
on_secured(void *arg, int fd, const struct tls_result *result)
{
    static struct log_limit failed = LOG_LIMIT(5);
    struct relay *relay = arg;

    relay->connecting->tls = NULL;
    if (result->session != NULL) {
        start_tunnel(relay, &(struct accepted){ .fd = fd, .tls = result->session });
        return;
    }
    counter_up(relay->worker->counters, upstream_connect_failures);
    log_limited(&failed, LEVEL_WARN, "listener \"%s\": endpoint %.*s: TLS: %s",
                relay->conf->name, SLICE_ARG(endpoint_name(relay)), result->detail);
    fail_endpoint(relay, result->is_timeout ? END_CONNECT_TIMEOUT : END_CONNECT_FAILED,
                  result->detail);
}

/* Takes fd. */
static void
secure(struct relay *relay, int fd)
{
    struct connecting *connecting = relay->connecting;
    const struct group_conf *group = group_of(relay);
    struct tls_target target = {
        .context = group->tls.context,
        .host = connecting->endpoint->host,
        .where = slice_of(relay->endpoint->registered.identity),
        .is_h1_only = true,
    };

    if (target.context == NULL || connecting->route.is_unread) {
        start_tunnel(relay, &(struct accepted){ .fd = fd });
        return;
    }
    connecting->tls = tls_handshake_start(relay->worker->loop, fd, &target,
                                          group->timeouts.connect_ms, on_secured, relay);
    if (connecting->tls == NULL)
        fail_endpoint(relay, END_LIMIT, "no memory");
}

/* A fresh socket has room for a header; if not, something is wrong with it. */
static bool
send_proxy_header(const struct relay *relay, int fd)
{
    char header[PROXY_PROTOCOL_MAX];
    size_t bytes;

    if (group_of(relay)->send_proxy == PROXY_PROTOCOL_OFF)
        return true;
    bytes = proxy_protocol_write(header, group_of(relay)->send_proxy, &relay->client,
                                 &relay->connecting->client.local);
    return send(fd, header, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
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
    struct relay *relay = container_of(dial, struct connecting, dial)->relay;

    relay->dns_us += result->dns_us;
    relay->connect_us += result->connect_us;
    relay->upstream_ip = result->ip;
    if (result->status != DIAL_OK) {
        counter_up(relay->worker->counters, upstream_connect_failures);
        fail_endpoint(relay, reason_of(result->status),
                      result->detail != NULL ? result->detail : dial_status_text(result->status));
        return;
    }
    counter_up(relay->worker->counters, upstream_connects);
    if (!send_proxy_header(relay, fd)) {
        close(fd);
        fail_endpoint(relay, END_UPSTREAM_FAILED, "it ends the connection at once");
        return;
    }
    secure(relay, fd);
}

/* No endpoint is left: what the last one said, or why none was asked. */
static enum end_reason
reason_of_none(const struct relay *relay, enum pick_failure why)
{
    if (why == PICK_ALL_FULL)
        counter_up(relay->worker->counters, limits_hit);
    return relay->connecting->failure != END_DONE ? relay->connecting->failure : END_NO_ENDPOINT;
}

static void
try_next(struct task *task)
{
    struct connecting *connecting = container_of(task, struct connecting, task);
    struct relay *relay = connecting->relay;
    const struct endpoint_conf *endpoint;
    struct dial_target target = { .connect_ms = group_of(relay)->timeouts.connect_ms };
    enum pick_failure why;

    endpoint = group_pick(&connecting->pick, loop_now_ms(relay->worker->loop), &why);
    if (endpoint == NULL) {
        give_up(relay, reason_of_none(relay, why));
        return;
    }
    connecting->endpoint = endpoint;
    relay->endpoint = endpoint_ref(endpoint->endpoint);
    target.host = endpoint->host;
    target.port = endpoint->port;
    if (endpoint->is_literal)
        target.address = &endpoint->address;
    dial_start(&connecting->dial, relay->worker->resolver, relay->worker->loop, &target);
}

/* ---- what the worker asks */

static void
republish(struct client_conn *link)
{
    struct relay *relay = relay_of(link);

    if (relay->connecting != NULL)
        relay->connecting->is_stale = true;
    else
        judge_relay_again(relay);
}

/* A stream is in progress until it ends. */
static void
drain(struct client_conn *link)
{
    (void)link;
}

static void
kill_relay(struct client_conn *link)
{
    struct relay *relay = relay_of(link);

    if (relay->connecting != NULL)
        give_up(relay, END_STOPPED);
    else
        tunnel_close(relay->tunnel, TUNNEL_STOPPED);
}

static const struct client_conn_ops client_ops = {
    .republish = republish,
    .drain = drain,
    .kill = kill_relay,
};

/* ---- the beginning */

static char *
copy_of(struct slice s)
{
    char *copy = malloc(s.bytes + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, s.data, s.bytes);
    copy[s.bytes] = '\0';
    return copy;
}

static struct connecting *
connecting_new(struct relay *relay, const struct relay_route *route,
               const struct accepted *accepted)
{
    struct connecting *connecting = calloc(1, sizeof(*connecting));

    if (connecting == NULL)
        return NULL;
    connecting->relay = relay;
    connecting->route = *route;
    connecting->client = *accepted;
    connecting->failure = END_DONE;
    dial_init(&connecting->dial, on_dialed);
    task_init(&connecting->task, try_next);
    list_init(&connecting->grave.link);
    pick_start(&connecting->pick, route->group);
    if (accepted->head.bytes == 0) {
        connecting->client.head.data = NULL;
        return connecting;
    }
    connecting->client.head.data = copy_of(accepted->head);
    if (connecting->client.head.data != NULL)
        return connecting;
    free(connecting);
    return NULL;
}

static struct relay *
relay_new(struct worker *worker, struct listener_conf *listener, const struct relay_route *route,
          const struct accepted *accepted, struct slice name)
{
    struct relay *relay = calloc(1, sizeof(*relay));

    if (relay == NULL)
        return NULL;
    relay->worker = worker;
    relay->conf = listener;
    relay->name = name.bytes > 0 ? copy_of(name) : NULL;
    relay->connecting = connecting_new(relay, route, accepted);
    if (relay->connecting == NULL || (relay->name == NULL && name.bytes > 0)) {
        if (relay->connecting != NULL)
            free((char *)relay->connecting->client.head.data);
        free(relay->connecting);
        free(relay->name);
        free(relay);
        return NULL;
    }
    relay->listener = listener->listener;
    relay->generation = generation_hold(worker);
    relay->client = accepted->peer;
    relay->id = worker->next_exchange_id++;
    relay->started_ns = loop_now_ns(worker->loop);
    relay->wall_ms = loop_wall_ms(worker->loop);
    relay->link.ops = &client_ops;
    list_push_back(&worker->clients, &relay->link.link);
    return relay;
}

/* Refused, or on its way. */
static void
begin(struct relay *relay, const struct relay_route *route)
{
    struct judge_flow flow;
    bool is_allowed = judge(relay, relay->conf, route, relay->connecting->client.tls, false,
                            &flow);

    relay->holds = flow.holds;
    relay->tags = flow.tags;
    note_rule(relay, &flow);
    if (!is_allowed) {
        give_up(relay, END_DENIED);
        return;
    }
    if (flow.group != NULL) {
        relay->connecting->route.group = flow.group;
        pick_start(&relay->connecting->pick, flow.group);
    }
    try_next(&relay->connecting->task);
}

void
relay_start(struct worker *worker, struct listener_conf *listener,
            const struct accepted *accepted, struct slice name, relay_route_fn *find)
{
    struct relay_route route;
    struct relay *relay = NULL;

    if (find(listener, name, &route))
        relay = relay_new(worker, listener, &route, accepted, name);
    if (relay == NULL) {
        counter_up(worker->counters, limits_hit);
        tls_session_free(accepted->tls);
        close(accepted->fd);
        listener_leave(worker, listener->listener);
        return;
    }
    relay->find = find;
    begin(relay, &route);
}

/* ---- sites that pass TLS on */

static bool
find_site(const struct listener_conf *listener, struct slice name, struct relay_route *route)
{
    const struct site_conf *site = tls_passes_through(listener, name);

    if (site == NULL)
        return false;
    *route = (struct relay_route){
        .group = site->pass_through,
        .site = site,
        .is_unread = true,
    };
    return true;
}

void
relay_pass_through(struct worker *worker, struct listener_conf *listener, struct slice name,
                   const struct accepted *accepted)
{
    relay_start(worker, listener, accepted, name, find_site);
}
