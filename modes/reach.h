/* SPDX-License-Identifier: BSD-2-Clause */
/* reach.h - getting to the next hop: an endpoint, a destination, or a parent.
 *
 *   pick an endpoint --> idle connection? --> dial --> PROXY header --> handshake with a parent
 *        ^                                      |
 *        '----------- next endpoint ------------'
 */
#ifndef BASCULE_REACH_H
#define BASCULE_REACH_H

#include "modes/mode.h"
#include "server/http/exchange.h"

/* A step of the road: leaves a connection to ex->to in ex->up or, when the
 * request is a CONNECT, one for reach_take_connection(). */
enum step reach(struct exchange *ex);

/* Whether a parent proxy is asked with an absolute URI, not for a tunnel. */
bool reach_is_relayed(const struct exchange *ex);

/* What the next hop of a forwarded request is asked for, and by which credentials: a parent
 * proxy for the whole URL. */
void reach_name_target(struct exchange *ex);

/* The connection, which is the caller's from then on: descriptor, address, and
 * what was read ahead. */
void reach_take_connection(struct exchange *ex, struct accepted *connection);

/* The connection failed before any answer was seen. Prepares another try with
 * a fresh connection or another endpoint and returns true when the request can
 * be sent again: it is idempotent, and none of its content has left. */
bool reach_again(struct exchange *ex, const struct failure *failure, bool was_stale);

/* Ends whatever is under way, and gives the endpoint's slot back. */
void reach_stop(struct exchange *ex);

#endif
