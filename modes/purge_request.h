/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_request.h - the method PURGE, for clients in purge_from of a cached site.
 *
 *     PURGE /news HTTP/1.1                    this URL: its variants and parts too
 *     Cache-Tag: a, b (or Surrogate-Key)      these tags of the site instead
 *     Purge-Kind: prefix                      ... all URLs that begin like this one
 *     Purge-Kind: site                        ... everything of the site
 *     Purge-Soft: 1 (or Fastly-Soft-Purge)    it becomes stale, but is not forgotten
 *
 * Answered when it is durable, with a line of JSON.
 */
#ifndef BASCULE_PURGE_REQUEST_H
#define BASCULE_PURGE_REQUEST_H

#include "modes/mode.h"
#include "server/http/exchange.h"

bool purge_request_is(const struct exchange *ex);

/* Whether it is one for the cache, of a client that may: then no filter needs to judge what
 * upstream never sees. Once the route is known. */
bool purge_request_is_let(const struct exchange *ex);

/* Such a one finds that a rule keeps the cache out of it. STEP_ANSWER. */
enum step purge_request_refuse(struct exchange *ex);

/* Carries it out, for an exchange with ex->cached. Asked again after STEP_WAIT. */
enum step purge_request(struct exchange *ex);

/* The exchange is over; what was begun goes on. */
void purge_request_end(struct exchange *ex);

#endif
