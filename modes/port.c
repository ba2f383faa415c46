/* SPDX-License-Identifier: BSD-2-Clause */
/* port.c - the port mode: each client connection to an endpoint of a group. */
#include "config.h"

#include "modes/port.h"

#include "modes/judge.h"
#include "modes/relay.h"
#include "server/schema.h"

struct port_conf {
    struct listener_conf listener;
    const char *group_name;
    struct group_conf *group;
};

static bool
find_group(const struct listener_conf *listener, struct slice name, struct relay_route *route)
{
    (void)name;
    if (listener->mode != &port_mode)
        return false;
    *route = (struct relay_route){
        .group = container_of(listener, const struct port_conf, listener)->group,
    };
    return true;
}

static void
on_connection(struct worker *worker, struct listener_conf *listener,
              const struct accepted *accepted)
{
    relay_start(worker, listener, accepted, SLICE(""), find_group);
}

struct group_conf *
port_group(const struct listener_conf *listener)
{
    must(listener->mode == &port_mode);
    return container_of(listener, const struct port_conf, listener)->group;
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
    struct port_conf *port = container_of(listener, struct port_conf, listener);

    if (listener->filters.count > 0)
        return err_set(err, "filters work on HTTP; port mode passes bytes on as they are");
    if (judge_finish(conf, arena, err) < 0)
        return -1;
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
