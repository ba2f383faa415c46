/* SPDX-License-Identifier: BSD-2-Clause */
/* look_up_inside.h - what look_up.c, look_up_begin.c and look_up_read.c share. */
#ifndef BASCULE_LOOK_UP_INSIDE_H
#define BASCULE_LOOK_UP_INSIDE_H

#include "modes/cached.h"
#include "modes/fetch.h"
#include "modes/look_up.h"

/* ---- look_up_begin.c */

/* Makes ex->cached. False: the exchange has nothing to do with a cache. */
bool look_up_begin(struct exchange *ex);

/* Of other requests no answer is looked for, nor kept. */
bool look_up_is_for_cache(const struct exchange *ex);

/* ---- look_up.c */

/* As the answer's own lifetime, the request and the configuration have it. */
enum staleness look_up_staleness(const struct exchange *ex, const struct object *object);

/* What was asked for could not be had. True: cached->object is stale, but may be
 * given instead. */
bool look_up_take_stale(struct exchange *ex);

/* ---- look_up_read.c: each is how the step ends, or goes on */

/* It goes upstream itself. */
enum step look_up_alone(struct exchange *ex);

/* A stored object is the answer; of slices: once the first is there. */
enum step look_up_answer(struct exchange *ex, struct object *object);
enum step look_up_read_slices(struct exchange *ex);

/* Joins who fetches what belongs at cached->place, or has it fetched. */
enum step look_up_fetch(struct exchange *ex, const struct fetch_order *order);

/* Joins who fetches it; goes alone if nobody does. */
enum step look_up_join(struct exchange *ex);
enum step look_up_read_fill(struct exchange *ex);

#endif
