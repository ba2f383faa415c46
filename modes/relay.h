/* SPDX-License-Identifier: BSD-2-Clause */
/* relay.h - takes a client connection to an endpoint of a group, whatever it
 * carries: what the port mode does with all of them, and the reverse mode with
 * those that ask for a site which passes TLS on.
 */
#ifndef BASCULE_RELAY_H
#define BASCULE_RELAY_H

#include "modes/mode.h"

struct group_conf;
struct site_conf;

/* Where a connection goes. */
struct relay_route {
    const struct group_conf *group;
    const struct site_conf *site; /* NULL: it is no site's */
    bool is_unread;               /* it is TLS already: not wrapped in the group's */
};

/* What the listener says about connections that ask for name (empty where names
 * have no part in it); false: nothing, they are not for it. */
typedef bool relay_route_fn(const struct listener_conf *listener, struct slice name,
                            struct relay_route *route);

/* Takes the connection on its way, which find knows: it is asked again after a
 * reload. Copies name. */
void relay_start(struct worker *worker, struct listener_conf *listener,
                 const struct accepted *accepted, struct slice name, relay_route_fn *find);

/* The same by the sites that pass TLS on: on_pass_through of a mode with sites. */
void relay_pass_through(struct worker *worker, struct listener_conf *listener, struct slice name,
                        const struct accepted *accepted);

#endif
