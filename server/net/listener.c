/* SPDX-License-Identifier: BSD-2-Clause */
/* listener.c - counts the connections of a listener, on all threads. */
#include "config.h"

#include "server/net/listener.h"

#include "server/log/log_privacy.h"
#include "server/schema.h"
#include "server/worker.h"

#include <stdlib.h>
#include <unistd.h>

#define CROWD_MIN 256 /* connections of a thread */
#define CALM_MS 1000  /* after the end of a crowd: what else it held is freed by then */

static struct registered *
make_listener(const void *conf, struct err *err)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    (void)conf;
    if (listener == NULL) {
        err_set(err, "listener: out of memory");
        return NULL;
    }
    return &listener->registered;
}

static void
free_listener(struct registered *object)
{
    free(container_of(object, struct listener, registered));
}

const struct registry_kind listener_kind = {
    .name = "listener",
    .make = make_listener,
    .free = free_listener,
};

int
listener_adopt(struct listener_conf *conf, struct err *err)
{
    struct registered *object = registry_adopt(&listener_kind, conf->name, conf, err);

    if (object == NULL)
        return -1;
    conf->listener = container_of(object, struct listener, registered);
    return 0;
}

void
listener_unref(struct listener *listener)
{
    if (listener != NULL)
        registered_unref(&listener->registered);
}

void
listener_enter(struct worker *worker, struct listener *listener)
{
    registered_ref(&listener->registered);
    atomic_fetch_add_explicit(&listener->connections, 1, memory_order_relaxed);
    worker->connections++;
    if (worker->connections >= CROWD_MIN && worker->connections > worker->crowd)
        worker->crowd = worker->connections;
    counter_up(worker->counters, connections_open);
}

void
listener_leave(struct worker *worker, struct listener *listener)
{
    must(worker->connections > 0);
    worker->connections--;
    if (unlikely(worker->connections < worker->crowd / 4)) {
        worker->crowd = 0;
        timer_arm(worker->loop, &worker->calm, CALM_MS);
    }
    counter_down(worker->counters, connections_open);
    atomic_fetch_sub_explicit(&listener->connections, 1, memory_order_relaxed);
    listener_unref(listener);
}

static bool
is_in(const struct prefix_set *set, const struct ip *peer)
{
    return set == NULL || peer->family == 0 || prefix_set_has(set, peer);
}

bool
listener_allows(const struct listener_conf *conf, const struct ip *client)
{
    return is_in(conf->allow_client, client);
}

const char *
listener_client_text(const struct listener_conf *conf, const struct ip *client, char *text)
{
    const struct access_log_conf *log = conf != NULL ? conf->access_log : NULL;

    text[log_privacy_client_text(log != NULL ? &log->privacy : NULL, client, text)] = '\0';
    return text;
}

bool
listener_believes(const struct listener_conf *conf, const struct ip *peer)
{
    return is_in(conf->proxy_protocol_from, peer);
}

void
listener_refuse(struct worker *worker, struct listener *listener, int fd)
{
    close(fd);
    counter_up(worker->counters, connections_refused);
    atomic_fetch_add_explicit(&listener->refused, 1, memory_order_relaxed);
}
