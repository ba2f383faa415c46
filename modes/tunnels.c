/* SPDX-License-Identifier: BSD-2-Clause */
/* tunnels.c - from two connections of an exchange to a tunnel.
 *
 * While a tunnel runs, its exchange points to no snapshot but the worker's
 * current one: on publish it finds its listener there and lets the old one go.
 * What the log will say of site and route was copied when the tunnel began.
 */
#include "config.h"

#include "modes/tunnels.h"

#include "filters/pipeline.h"
#include "modes/judge.h"
#include "modes/look_up.h"
#include "modes/mode.h"
#include "modes/reach.h"
#include "modes/road.h"
#include "modes/road_log.h"
#include "modes/trail.h"
#include "server/base/log.h"
#include "server/generation.h"
#include "server/net/listener.h"
#include "server/net/tunnel.h"
#include "server/snapshot.h"
#include "server/tls/client_hello.h"
#include "server/tls/tls_demands.h"
#include "server/tls/tls_session.h"
#include "server/upstream/endpoint.h"

#include <stdio.h>
#include <unistd.h>

void
tunnel_accept(struct exchange *ex)
{
    exchange_answer_with(ex, 200, END_DONE, NULL, slice_make(NULL, 0));
    ex->response.reason = SLICE("Connection established");
    ex->is_tunnel = true;
}

static void judge_tunnel_again(struct tunnel *tunnel, void *arg);

static enum end_reason
reason_of(enum tunnel_end end)
{
    switch (end) {
    case TUNNEL_DONE:
        return END_DONE;
    case TUNNEL_CLIENT_RESET:
        return END_CLIENT_ABORT;
    case TUNNEL_UPSTREAM_RESET:
        return END_UPSTREAM_FAILED;
    case TUNNEL_IDLE:
    case TUNNEL_LIFE:
    case TUNNEL_NO_MEMORY:
        return END_LIMIT;
    case TUNNEL_DENIED:
        return END_DENIED;
    case TUNNEL_STOPPED:
    case TUNNEL_END_COUNT:
        return END_STOPPED;
    }
    return END_STOPPED;
}

static void
on_done(struct tunnel *tunnel, enum tunnel_end end)
{
    struct exchange *ex = tunnel->arg;
    struct endpoint *slot;

    ex->end = reason_of(end);
    ex->tunnel_bytes_up = tunnel->up.bytes;
    ex->tunnel_bytes_down = tunnel->down.bytes;
    ex->tunnel = NULL;
    slot = ex->slot;
    road_end(ex, true);
    if (slot != NULL)
        endpoint_unref(slot);
}

/* The last reason against it, or what the client would be told now. */
static void
say_why(const struct exchange *ex, char *why, size_t room)
{
    const struct decision *deny = NULL;

    for (const struct decision *d = ex->decisions; d != NULL; d = d->next)
        if (d->kind == DECISION_DENY)
            deny = d;
    if (deny == NULL)
        snprintf(why, room, "the answer would be %u now", ex->response.status);
    else if (deny->rule != NULL)
        snprintf(why, room, "%.*s: %s (%s:%u)", SLICE_ARG(deny->what), deny->rule,
                 deny->place->file, deny->place->line);
    else
        snprintf(why, room, "%.*s", SLICE_ARG(deny->what));
}

/* The origin's connection: of a CONNECT, or of an upgraded request. */
static int
take_upstream(struct exchange *ex, struct accepted *upstream)
{
    struct upstream *up = ex->up;

    if (up == NULL) {
        reach_take_connection(ex, upstream);
        return 0;
    }
    if (up->ops->detach(up, ex, upstream) < 0)
        return -1;
    ex->up = NULL;
    return 0;
}

/* ---- the name in the TLS inside */

static void
say_denied(const struct exchange *ex, const char *when, const char *why)
{
    char client[IP_TEXT_BYTES];

    listener_client_text(ex->listener, &ex->client_ip, client);
    log_info("listener \"%s\": tunnel of client %s to %.*s closed%s: %s", ex->listener->name,
             client, SLICE_ARG(ex->request.authority), when, why);
}

/* The client's first bytes. What is no TLS has no name; what is, but keeps its name back
 * until nobody looks any more, is not let on. */
static enum tunnel_look
look(struct tunnel *tunnel, struct slice bytes, bool is_last)
{
    struct exchange *ex = tunnel->arg;
    struct slice name = slice_make("", 0);
    struct client_hello hello;
    char why[256];

    switch (client_hello_parse(bytes, &hello)) {
    case CLIENT_HELLO_MORE:
        if (!is_last)
            return TUNNEL_LOOK_MORE;
        if (bytes.bytes == 0)
            break;
        exchange_decide(ex, DECISION_DENY, NULL, "its ClientHello was not whole in time");
        say_denied(ex, "", "its ClientHello was not whole in time");
        return TUNNEL_LOOK_DENY;
    case CLIENT_HELLO_OK:
        name = hello.server_name;
        break;
    case CLIENT_HELLO_BAD:
        break;
    }
    if (judge_sni(ex, name))
        return TUNNEL_LOOK_ON;
    say_why(ex, why, sizeof(why));
    say_denied(ex, "", why);
    return TUNNEL_LOOK_DENY;
}

static struct tunnel_conf
conf_of(const struct exchange *ex)
{
    const struct client_timeouts *timeouts = &ex->listener->timeouts;
    uint32_t look_ms = judge_sni_wait_ms(ex);

    return (struct tunnel_conf){
        .idle_ms = timeouts->tunnel_idle_ms,
        .half_close_idle_ms = timeouts->tunnel_half_close_ms,
        .life_ms = timeouts->tunnel_life_ms,
        .look = look_ms > 0 ? look : NULL,
        .look_ms = look_ms,
        .look_bytes = CLIENT_HELLO_READ_MAX,
    };
}

void
tunnel_begin(struct exchange *ex)
{
    struct tunnel_conf conf = conf_of(ex);
    struct accepted client = { .fd = -1 }, upstream = { .fd = -1 };

    road_log_keep_names(ex); /* while the client's connection is the downstream's */
    trail_record(ex);        /* a reload takes the decisions away */
    ex->is_direct = ex->to.group == NULL && ex->to.parent == NULL;
    look_up_end(ex);         /* what the cache did for it belongs to the snapshot */
    if (take_upstream(ex, &upstream) < 0 || ex->down->ops->detach(ex, &client) < 0) {
        tls_session_free(upstream.tls);
        if (upstream.fd >= 0)
            close(upstream.fd);
        ex->end = END_LIMIT;
        road_end(ex, false);
        return;
    }
    ex->down = NULL;
    timer_disarm(&ex->deadline);
    pipeline_end(ex); /* filters have no part in it, and belong to the snapshot */
    ex->tunnel = tunnel_start(ex->worker, &client, &upstream, &conf, on_done, ex);
    if (ex->tunnel == NULL) {
        ex->end = END_LIMIT;
        road_end(ex, false);
        return;
    }
    /* It occupies its endpoint until it ends, whatever becomes of the snapshot. */
    if (ex->slot != NULL)
        endpoint_ref(ex->slot);
    ex->endpoint = NULL;
    if (ex->generation != ex->worker->generation)
        judge_tunnel_again(ex->tunnel, NULL); /* there was a reload on the way here */
}

/* ---- reload */

static struct listener_conf *
listener_now(const struct exchange *ex)
{
    const struct config_list *listeners = &ex->worker->snapshot->conf.listeners;

    for (size_t i = 0; i < listeners->count; i++) {
        struct listener_conf *listener = listeners->items[i];

        if (listener->listener == ex->listener->listener && listener->mode == ex->listener->mode)
            return listener;
    }
    return NULL;
}

/* Whether the client has shown what is demanded of its connection. */
static bool
has_proved(const struct exchange *ex, const struct listener_conf *listener)
{
    const struct tls_session *tls = tls_of(&ex->tunnel->client);
    uint64_t demands = tls_demands_id(tls_demands_of(listener, ex->site));

    return tls == NULL || demands == 0 || tls_session_facts(tls)->client_demands == demands;
}

/* Asks the policy of the new generation about the request as it came. Judging
 * writes on the exchange as on any other: what it writes goes with an arena of
 * its own, and the exchange is then as it was. */
static bool
is_allowed(struct exchange *ex, struct listener_conf *listener, struct generation *generation,
           bool *waits, char *why, size_t room)
{
    struct exchange before = *ex;
    enum step verdict;

    arena_init(&ex->arena, &ex->worker->blocks, (size_t)listener->limits.arena_bytes);
    ex->decisions = NULL;
    ex->last_decision = &ex->decisions;
    ex->listener = listener;
    ex->generation = generation;
    ex->request.fields = *before.asked;
    verdict = listener->mode->judge(ex);
    if (verdict == STEP_NEXT)
        verdict = listener->mode->route(ex);
    if (verdict == STEP_NEXT && ex->to.may_connect != NULL && ex->is_direct &&
        !ex->to.may_connect(&ex->upstream_ip, ex))
        verdict = STEP_ANSWER;
    if (verdict == STEP_NEXT && !judge_again(ex, tls_of(&ex->tunnel->client), waits))
        verdict = STEP_ANSWER;
    say_why(ex, why, room);
    if (verdict == STEP_NEXT && !has_proved(ex, listener)) {
        snprintf(why, room, "its client has not shown the certificate that is demanded now");
        verdict = STEP_ANSWER;
    }
    arena_fini(&ex->arena);
    *ex = before;
    return verdict == STEP_NEXT;
}

static void
close_denied(struct tunnel *tunnel, const char *why)
{
    say_denied(tunnel->arg, " after reload", why);
    tunnel_close(tunnel, TUNNEL_DENIED);
}

/* It lets the old snapshot go, and all that leads there. */
static void
move(struct exchange *ex, struct listener_conf *listener, struct generation *generation)
{
    generation_release(ex->generation);
    ex->generation = generation;
    ex->listener = listener;
    ex->to = (struct destination){ .port = ex->to.port, .host = ex->to.host };
    ex->site = NULL;
    ex->route = NULL;
    ex->decisions = NULL;
    ex->last_decision = &ex->decisions;
}

/* While its first bytes are looked at: it is the new rules that are told of them. */
static void
wait_for_name(struct tunnel *tunnel, bool waits)
{
    struct exchange *ex = tunnel->arg;
    bool still;

    if (!tunnel->is_looking)
        return;
    if (!waits || !judge_again(ex, tls_of(&tunnel->client), &still))
        tunnel_stop_looking(tunnel);
}

static void
judge_tunnel_again(struct tunnel *tunnel, void *arg)
{
    struct exchange *ex = tunnel->arg;
    struct listener_conf *listener;
    struct generation *generation;
    bool waits = false;
    char why[256];

    (void)arg;
    if (tunnel->on_done != on_done)
        return; /* a relay's, which is asked itself */
    listener = listener_now(ex);
    if (listener == NULL) {
        close_denied(tunnel, "its listener is gone");
        return;
    }
    generation = generation_hold(ex->worker);
    if (is_allowed(ex, listener, generation, &waits, why, sizeof(why)) &&
        (!waits || tunnel->is_looking)) {
        move(ex, listener, generation);
        wait_for_name(tunnel, waits);
        return;
    }
    close_denied(tunnel, why);
    generation_release(generation);
}

void
tunnels_on_publish(struct worker *worker)
{
    tunnel_each(worker, judge_tunnel_again, NULL);
}

static void
stop(struct tunnel *tunnel, void *arg)
{
    (void)arg;
    tunnel_close(tunnel, TUNNEL_STOPPED);
}

void
tunnels_on_kill(struct worker *worker)
{
    tunnel_each(worker, stop, NULL);
}
