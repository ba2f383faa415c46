/* SPDX-License-Identifier: BSD-2-Clause */
/* road.h - the way of an exchange, which all HTTP modes share.
 *
 *   judge -> route -> request filters -> look up -> reach -> send
 *                                           |                 |
 *                                         (hit)               |
 *        log <- write <- deliver filters <- fetch filters <- (response)
 *
 * The mode says whether (judge) and where to (route); everything else is the
 * same for all. A step that waits gives the loop back.
 */
#ifndef BASCULE_ROAD_H
#define BASCULE_ROAD_H

#include "modes/mode.h"
#include "server/http/exchange.h"

/* mode_ops.on_request of the HTTP modes: begins the journey, or delivers the
 * answer when there is one already. */
void road_begin(struct exchange *ex);

/* The same for an exchange that knows its way already and has no client (modes/solo.h). */
void road_begin_solo(struct exchange *ex);

/* Goes on after STEP_WAIT. */
void road_resume(struct exchange *ex);

/* A step ends the journey with a failure on the way to the next hop. */
enum step road_fail(struct exchange *ex, const struct failure *failure);

/* The exchange is over. is_whole: the client has all of the response. From a
 * step, the road itself takes care of it afterwards. */
void road_end(struct exchange *ex, bool is_whole);

/* ---- the worker's hooks */

/* worker->snapshot is new: client connections find their listener in it,
 * tunnels are judged again. */
void road_on_publish(struct worker *worker);

/* Ends what is idle; what is in progress ends after its exchange. */
void road_on_drain(struct worker *worker);

/* Ends everything now. */
void road_on_kill(struct worker *worker);

/* Whether no exchange without a client is under way, and no other thread is to answer. */
bool road_is_idle(struct worker *worker);

#endif
