/* SPDX-License-Identifier: BSD-2-Clause */
/* update.h - what a 304, or an answer to HEAD, changes of a stored response
 * (RFC 9111 sections 3.2, 4.3.4 and 4.3.5).
 */
#ifndef BASCULE_UPDATE_H
#define BASCULE_UPDATE_H

#include <stdbool.h>

#include "server/base/arena.h"
#include "server/http/header.h"

/* Whether a 304 is about this stored response (section 4.3.4), the only one
 * whose validators were sent. A strong ETag has to be the same; otherwise a weak
 * one, otherwise Last-Modified; a 304 without any is about what was asked for,
 * as long as it was asked by these validators alone. */
bool update_selects(const struct fields *stored, const struct fields *not_modified);

/* Whether the answer (200) to HEAD is of the same representation: where it has
 * ETag or Last-Modified, they are the stored response's, and so is Content-Length
 * where both have it (section 4.3.5; the caller knows the length of a body that
 * came without). If so, update_fields(); if not, the stored response is stale. */
bool update_head_agrees(const struct fields *stored, const struct fields *head);

/* Brings the stored fields up to date with those of a 304, of a HEAD's answer,
 * or of another part (section 3.4): every field of from replaces all lines of
 * its name, except
 * - hop-by-hop ones and those that its Connection nominates (section 3.1),
 * - Content-Length, Content-Range and Content-Encoding, which tell how the
 *   stored bytes are to be read,
 * - ETag where there is one: it was found to agree, and a weak one must not
 *   become strong,
 * - Set-Cookie, unless the stored response has one: it is for one client.
 * Age goes when from has none, as it was about the answer before. from should
 * have a Date; its receiver adds one if need be (RFC 9110 section 6.6.1).
 *
 * The result has to be judged again (storable, lifetime): from may forbid
 * storing. Borrows names and values of from. */
void update_fields(struct fields *stored, struct arena *arena, const struct fields *from);

#endif
