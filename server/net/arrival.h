/* SPDX-License-Identifier: BSD-2-Clause */
/* arrival.h - what stands between accepting a connection and its mode.
 *
 *   (PROXY header) --> (name in the ClientHello) --> (TLS handshake) --> mode->on_connection
 *                             '--> mode->on_pass_through
 *
 * Each step is taken where the listener is configured for it. The listener counts
 * the connection from the first one.
 */
#ifndef BASCULE_ARRIVAL_H
#define BASCULE_ARRIVAL_H

#include "server/base/list.h"

struct accepted;
struct listen_plan;
struct listener_conf;
struct worker;

/* The connections of a thread that have not reached their mode yet. */
struct arrivals {
    struct worker *worker;
    struct list all; /* of struct arrival */
};

void arrivals_init(struct arrivals *arrivals, struct worker *worker);

/* Takes a connection that was accepted just now, descriptor and addresses, to
 * its mode: at once where there is nothing in between. listener is of the worker's
 * current snapshot. */
void arrival_start(struct arrivals *arrivals, struct listener_conf *listener,
                   const struct accepted *accepted);

/* Listeners that the plan does not name have gone, or are about to: closes those
 * of their connections that have not sent a byte yet. Others are taken on: to
 * their mode if the listener is still in the snapshot by then. */
void arrivals_follow(struct arrivals *arrivals, const struct listen_plan *plan);

/* Closes them all. */
void arrivals_kill(struct arrivals *arrivals);

#endif
