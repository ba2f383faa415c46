/* SPDX-License-Identifier: BSD-2-Clause */
/* site_route.h - sites by host name, and their routes.
 *
 * Serves visitors of reverse listeners, and browsers of forward listeners that
 * ask for a name which one of our sites serves.
 */
#ifndef BASCULE_SITE_ROUTE_H
#define BASCULE_SITE_ROUTE_H

#include "modes/mode.h"
#include "server/http/exchange.h"

/* Chooses the route of ex->site: sets ex->route and ex->to. */
enum step site_route(struct exchange *ex);

/* Answers for routes that lead to no group: a redirect, the welcome page, 404.
 * Comes after the request's filters, which stand in front of these too. */
enum step site_answer(struct exchange *ex);

/* Sets ex->out as the route says. */
enum step site_prepare(struct exchange *ex);

/* The request's target from its path on, as received: "/path?query". */
struct slice site_origin_form(struct exchange *ex);

/* ---- who asks, when trusted proxies stand before us */

enum forwarding { FORWARDING_OFF, FORWARDING_X, FORWARDING_STANDARD, FORWARDING_BOTH };

/* Whom X-Forwarded-For names, as far as it comes from trusted proxies: sets
 * ex->client_ip. */
void site_find_client(struct exchange *ex);

/* Whether who connected is a trusted proxy. */
bool site_trusts_peer(const struct exchange *ex);

/* Takes away what only a trusted proxy is believed of the client and its connection. */
void site_remove_claims(struct fields *fields);

/* Adds X-Forwarded-* or Forwarded (RFC 7239) for the origin. What a client that
 * is no trusted proxy says of itself is taken away. */
void site_add_forwarding(struct exchange *ex, enum forwarding forwarding);

#endif
