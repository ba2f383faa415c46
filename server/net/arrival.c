/* SPDX-License-Identifier: BSD-2-Clause */
/* arrival.c - PROXY header, ClientHello, TLS handshake: each with a deadline.
 *
 *     PROXY_HEADER --> CLIENT_HELLO --> HANDSHAKE --> mode
 *
 * Header and ClientHello are peeked at until they are whole. Then the header is
 * read away exactly, and the ClientHello is left for whoever does the handshake,
 * us or the server it is passed on to: so no byte ever has to be kept here.
 *
 * An arrival holds the snapshot it came with. Before each step it moves to the
 * worker's current one, where its listener is the one of the same identity.
 */
#include "config.h"

#include "server/net/arrival.h"

#include "modes/mode.h"
#include "server/base/log.h"
#include "server/generation.h"
#include "server/log/log_thread.h"
#include "server/net/acceptor.h"
#include "server/net/listener.h"
#include "server/net/proxy_protocol.h"
#include "server/schema_tls.h"
#include "server/snapshot.h"
#include "server/tls/client_hello.h"
#include "server/tls/tls_server.h"
#include "server/tls/tls_session.h"
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum stage { PROXY_HEADER, CLIENT_HELLO, HANDSHAKE };

struct arrival {
    struct list link; /* arrivals->all */
    struct arrivals *all;
    struct listener *listener; /* which counts it */
    struct generation *generation;
    struct listener_conf *conf; /* of that generation */
    struct accepted accepted;
    struct conn conn;       /* over the descriptor, but for the handshake */
    struct tls_accept *tls; /* which has the descriptor meanwhile */
    enum stage stage;
    bool has_spoken;
};

/* ---- to the mode */

static bool
is_http(const struct listener_conf *conf)
{
    return conf->mode->on_request != NULL;
}

/* HTTP modes say 403; where there is no protocol, closing is all one can say. */
static bool
is_unwelcome(const struct listener_conf *conf, const struct ip *client)
{
    return !is_http(conf) && !listener_allows(conf, client);
}

static void
refuse(struct worker *worker, const struct listener_conf *conf, const struct ip *client, int fd,
       const char *why)
{
    static struct log_limit refused = LOG_LIMIT(5);
    char text[IP_TEXT_BYTES];

    log_limited(&refused, LEVEL_INFO, "listener \"%s\": client %s: %s: closed", conf->name,
                listener_client_text(conf, client, text), why);
    listener_refuse(worker, conf->listener, fd);
}

static const char not_allowed[] = "it is not in allow_client";

/* Takes the connection, which is counted already. */
static void
deliver(struct worker *worker, struct listener_conf *conf, const struct accepted *accepted)
{
    if (is_unwelcome(conf, &accepted->peer)) {
        tls_session_free(accepted->tls);
        refuse(worker, conf, &accepted->peer, accepted->fd, not_allowed);
        listener_leave(worker, conf->listener);
        return;
    }
    conf->mode->on_connection(worker, conf, accepted);
}

/* ---- an arrival's end */

static void
free_arrival(void *object)
{
    free(object);
}

/* The descriptor is somebody else's already. */
static void
end_arrival(struct arrival *arrival)
{
    list_remove(&arrival->link);
    generation_release(arrival->generation);
    conn_free_later(&arrival->conn, free_arrival, arrival);
}

/* It ends here, and so does its connection. */
static void
leave(struct arrival *arrival)
{
    listener_leave(arrival->all->worker, arrival->listener);
    end_arrival(arrival);
}

static void
refuse_arrival(struct arrival *arrival, const char *why)
{
    int fd = conn_detach(&arrival->conn);

    refuse(arrival->all->worker, arrival->conf, &arrival->accepted.peer, fd, why);
    leave(arrival);
}

static void
drop(struct arrival *arrival)
{
    if (arrival->tls != NULL)
        tls_accept_cancel(arrival->tls);
    else
        conn_close(&arrival->conn);
    leave(arrival);
}

/* ---- the snapshot */

static struct listener_conf *
listener_now(const struct arrival *arrival)
{
    const struct config_list *listeners = &arrival->all->worker->snapshot->conf.listeners;

    for (size_t i = 0; i < listeners->count; i++) {
        struct listener_conf *listener = listeners->items[i];

        if (listener->listener == arrival->listener)
            return listener;
    }
    return NULL;
}

/* Moves to the worker's current snapshot; false: the listener is not in it. */
static bool
is_current(struct arrival *arrival)
{
    struct worker *worker = arrival->all->worker;
    struct generation *old = arrival->generation;
    struct listener_conf *conf;

    if (likely(old == worker->generation))
        return true;
    conf = listener_now(arrival);
    if (conf == NULL)
        return false;
    arrival->conf = conf;
    arrival->generation = generation_hold(worker);
    generation_release(old);
    return true;
}

static const char listener_gone[] = "its listener has gone";

/* ---- TLS */

static void
hand_on(struct arrival *arrival, const struct accepted *accepted)
{
    deliver(arrival->all->worker, arrival->conf, accepted);
    end_arrival(arrival);
}

static void
on_accepted(void *arg, const struct accepted *accepted)
{
    struct arrival *arrival = arg;

    arrival->tls = NULL;
    if (accepted->fd < 0) {
        leave(arrival);
    } else if (is_current(arrival)) {
        hand_on(arrival, accepted);
    } else {
        tls_session_free(accepted->tls);
        refuse(arrival->all->worker, arrival->conf, &accepted->peer, accepted->fd, listener_gone);
        leave(arrival);
    }
}

static void
shake_hands(struct arrival *arrival)
{
    struct worker *worker = arrival->all->worker;

    arrival->accepted.fd = conn_detach(&arrival->conn);
    arrival->stage = HANDSHAKE;
    arrival->tls =
        tls_accept_start(worker, arrival->conf, &arrival->accepted, on_accepted, arrival);
    if (arrival->tls != NULL)
        return;
    counter_up(worker->counters, limits_hit);
    leave(arrival);
}

/* ---- the name in the ClientHello */

static void
pass_through(struct arrival *arrival, struct slice name)
{
    struct listener_conf *conf = arrival->conf;

    if (!listener_allows(conf, &arrival->accepted.peer)) {
        refuse_arrival(arrival, not_allowed);
        return;
    }
    arrival->accepted.fd = conn_detach(&arrival->conn);
    conf->mode->on_pass_through(arrival->all->worker, conf, name, &arrival->accepted);
    end_arrival(arrival);
}

/* What has come so far, which stays where it is. 0: nothing, or the connection
 * was refused. */
static size_t
peek(struct arrival *arrival, char *in, size_t room)
{
    ssize_t got = recv(arrival->conn.watch.fd, in, room, MSG_PEEK | MSG_DONTWAIT);

    if (got > 0) {
        arrival->has_spoken = true;
        return (size_t)got;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        conn_watch(&arrival->conn);
    else if (got < 0)
        refuse_arrival(arrival, "it was reset");
    else
        refuse_arrival(arrival, arrival->stage == PROXY_HEADER
                                    ? "it ended before its PROXY header"
                                    : "it ended before its ClientHello");
    return 0;
}

/* It is not whole yet. */
static void
wait_for_more(struct arrival *arrival, bool is_full, const char *why)
{
    if (is_full || arrival->conn.saw_hangup)
        refuse_arrival(arrival, why);
    else
        conn_watch(&arrival->conn);
}

static void
read_hello(struct arrival *arrival)
{
    char in[CLIENT_HELLO_READ_MAX];
    size_t got = peek(arrival, in, sizeof(in));
    struct client_hello hello;

    if (got == 0)
        return;
    switch (client_hello_parse(slice_make(in, got), &hello)) {
    case CLIENT_HELLO_MORE:
        wait_for_more(arrival, got == sizeof(in), "its ClientHello has no end");
        return;
    case CLIENT_HELLO_BAD:
        refuse_arrival(arrival, "it does not begin with a ClientHello of TLS");
        return;
    case CLIENT_HELLO_OK:
        if (tls_passes_through(arrival->conf, hello.server_name) != NULL)
            pass_through(arrival, hello.server_name);
        else
            shake_hands(arrival);
        return;
    }
}

/* Who the client is, is known. */
static void
go_on(struct arrival *arrival)
{
    const struct listener_conf *conf = arrival->conf;

    if (conf->tls.place.line == 0) {
        arrival->accepted.fd = conn_detach(&arrival->conn);
        hand_on(arrival, &arrival->accepted);
    } else if (is_unwelcome(conf, &arrival->accepted.peer)) { /* before it costs a handshake */
        refuse_arrival(arrival, not_allowed);
    } else if (conf->tls.passes_through) {
        arrival->stage = CLIENT_HELLO;
        timer_arm(arrival->conn.loop, &arrival->conn.timer, conf->tls.handshake_ms);
        read_hello(arrival);
    } else {
        shake_hands(arrival);
    }
}

/* ---- PROXY header */

static void
on_proxy_header(struct arrival *arrival, const struct ip *source, const struct ip *destination,
                size_t bytes)
{
    char header[PROXY_PROTOCOL_READ_MAX];

    /* It was seen in one piece, so it is there in one piece. */
    if (recv(arrival->conn.watch.fd, header, bytes, MSG_DONTWAIT) != (ssize_t)bytes) {
        refuse_arrival(arrival, "its PROXY header cannot be read");
        return;
    }
    if (source->family != 0)
        arrival->accepted.peer = *source;
    if (destination->family != 0)
        arrival->accepted.local = *destination;
    go_on(arrival);
}

static void
read_proxy_header(struct arrival *arrival)
{
    struct ip source = { .family = 0 }, destination = { .family = 0 };
    char in[PROXY_PROTOCOL_READ_MAX];
    size_t got = peek(arrival, in, sizeof(in)), bytes = 0;

    if (got == 0)
        return;
    switch (proxy_protocol_parse(slice_make(in, got), &source, &destination, &bytes)) {
    case PROXY_PROTOCOL_MORE:
        wait_for_more(arrival, got == sizeof(in), "its PROXY header has no end");
        return;
    case PROXY_PROTOCOL_BAD:
        refuse_arrival(arrival, "it does not begin with a PROXY header");
        return;
    case PROXY_PROTOCOL_OK:
        on_proxy_header(arrival, &source, &destination, bytes);
        return;
    }
}

/* ---- events */

static void
on_ready(struct conn *conn)
{
    struct arrival *arrival = container_of(conn, struct arrival, conn);

    if (!is_current(arrival))
        refuse_arrival(arrival, listener_gone);
    else if (arrival->stage == PROXY_HEADER)
        read_proxy_header(arrival);
    else
        read_hello(arrival);
}

static void
on_timeout(struct timer *timer)
{
    struct arrival *arrival = container_of(timer, struct arrival, conn.timer);

    counter_up(arrival->all->worker->counters, client_timeouts);
    refuse_arrival(arrival, arrival->stage == PROXY_HEADER
                                ? "its PROXY header did not come in time"
                                : "its ClientHello did not come in time");
}

/* ---- the beginning */

static struct arrival *
arrival_new(struct arrivals *all, struct listener_conf *conf, const struct accepted *accepted)
{
    struct arrival *arrival = calloc(1, sizeof(*arrival));

    if (arrival == NULL)
        return NULL;
    arrival->all = all;
    arrival->listener = conf->listener;
    arrival->conf = conf;
    arrival->accepted = *accepted;
    arrival->generation = generation_hold(all->worker);
    conn_open_unwatched(&arrival->conn, all->worker->loop, accepted->fd, on_ready, on_timeout);
    list_push_back(&all->all, &arrival->link);
    listener_enter(all->worker, arrival->listener);
    return arrival;
}

void
arrivals_init(struct arrivals *arrivals, struct worker *worker)
{
    arrivals->worker = worker;
    list_init(&arrivals->all);
}

void
arrival_start(struct arrivals *arrivals, struct listener_conf *listener,
              const struct accepted *accepted)
{
    struct worker *worker = arrivals->worker;
    struct arrival *arrival;

    if (!listener->proxy_protocol && listener->tls.place.line == 0) {
        listener_enter(worker, listener->listener);
        deliver(worker, listener, accepted);
        return;
    }
    if (listener->proxy_protocol && !listener_believes(listener, &accepted->peer)) {
        listener_refuse(worker, listener->listener, accepted->fd);
        return;
    }
    arrival = arrival_new(arrivals, listener, accepted);
    if (arrival == NULL) {
        listener_refuse(worker, listener->listener, accepted->fd);
    } else if (listener->proxy_protocol) {
        timer_arm(worker->loop, &arrival->conn.timer, listener->timeouts.head_ms);
        read_proxy_header(arrival); /* it has often come along */
    } else {
        go_on(arrival);
    }
}

/* ---- all of them */

static bool
is_planned(const struct listen_plan *plan, const struct listener *listener)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].conf->listener == listener)
            return true;
    return false;
}

void
arrivals_follow(struct arrivals *arrivals, const struct listen_plan *plan)
{
    list_each(link, &arrivals->all) {
        struct arrival *arrival = container_of(link, struct arrival, link);

        if (arrival->stage != HANDSHAKE && !arrival->has_spoken &&
            !is_planned(plan, arrival->listener))
            drop(arrival);
    }
}

void
arrivals_kill(struct arrivals *arrivals)
{
    list_each(link, &arrivals->all)
        drop(container_of(link, struct arrival, link));
}
