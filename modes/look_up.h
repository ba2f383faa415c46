/* SPDX-License-Identifier: BSD-2-Clause */
/* look_up.h - the step that may answer without asking upstream (RFC 9111). */
#ifndef BASCULE_LOOK_UP_H
#define BASCULE_LOOK_UP_H

#include "cache/cache_key.h"
#include "modes/mode.h"
#include "server/http/exchange.h"

/* A step of the road. Answers from the store, or from what another exchange
 * fetches right now; starts such a fetch; or lets the exchange go on alone. */
enum step look_up(struct exchange *ex);

/* What the key of its answer is made of: where it comes from, and by which URL. */
struct key_parts look_up_parts(struct exchange *ex);

/* ex->out.target as the key has it: parameters that make no difference are not in it,
 * as an answer that tells of them would be given to others. */
struct slice look_up_target(struct exchange *ex);

/* The request has fields that change what origins answer, in no key: a client's
 * certificate, another URL or method. Nothing is kept of the answer. */
bool look_up_is_told_more(const struct exchange *ex);

/* The exchange is over: gives back what it held. */
void look_up_end(struct exchange *ex);

/* The answer to the exchange's own request could not be had. True: a stale one
 * stands in, and is in ex->response. */
bool look_up_stands_in(struct exchange *ex);

#endif
