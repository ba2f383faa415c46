/* SPDX-License-Identifier: BSD-2-Clause */
/* finding.h - an object of the store looked for: in memory at once, on disk in a
 * while.
 *
 * A question to the disk cannot be taken back; it outlives an exchange that has
 * lost interest. What the disk does not find in a few seconds counts as not there.
 */
#ifndef BASCULE_FINDING_H
#define BASCULE_FINDING_H

#include "modes/cached.h"

struct finding;

/* Looks for the object under key, on behalf of cached's exchange. NULL: *object
 * says what there is (counted; NULL: nothing). Otherwise the disk is asked, and
 * on_found(arg) called from the loop. Copies key. */
struct finding *finding_start(const struct cached *cached, uint64_t hash, struct slice key,
                              void (*on_found)(void *arg), void *arg, struct object **object);

/* What was found, once on_found has been called; frees finding. */
struct object *finding_take(struct finding *finding);

/* Nobody wants to know any more: on_found will not be called. NULL is fine. */
void finding_forget(struct finding *finding);

#endif
