/* SPDX-License-Identifier: BSD-2-Clause */
/* tunnels.h - exchanges that became tunnels: CONNECT and Upgrade.
 *
 * Their exchange stays, as what the access log will say of them. After a reload
 * it is judged once more, as if it were asked for now.
 */
#ifndef BASCULE_TUNNELS_H
#define BASCULE_TUNNELS_H

#include "server/http/exchange.h"

/* A CONNECT was carried out: makes the answer that says so. */
void tunnel_accept(struct exchange *ex);

/* The head of the answer has left: both connections are joined. The exchange
 * ends with the tunnel. */
void tunnel_begin(struct exchange *ex);

/* worker->snapshot is new. */
void tunnels_on_publish(struct worker *worker);

/* Closes them all. */
void tunnels_on_kill(struct worker *worker);

#endif
