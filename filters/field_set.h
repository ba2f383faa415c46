/* SPDX-License-Identifier: BSD-2-Clause */
/* field_set.h - sets of header field names, for filters that remove or keep.
 *
 * A well-known name is a look-up by its id. Other names are searched among
 * patterns: a name, or its beginning followed by "*". The patterns are in order
 * and none covers another, so that a search ends at the one that may match and
 * a head full of strange names costs little. Read-only once made.
 *
 * What frames a message or belongs to one connection is in no set that
 * field_set_add() makes: that is Bascule's own affair.
 */
#ifndef BASCULE_FIELD_SET_H
#define BASCULE_FIELD_SET_H

#include "server/base/err.h"
#include "server/config/option.h"
#include "server/http/header.h"

struct field_set {
    bool known[FIELD_ID_COUNT]; /* by id; those that a pattern covers, too */
    const struct slice *others; /* patterns; of sets made by hand as field_set_is_sound() wants */
    size_t count;
};

/* Adds names and patterns as an operator writes them: "X-Name", "X-Begins-*".
 * Borrows their text. 0, or -1 with err saying which is wrong. */
MUST_USE int field_set_add(struct field_set *set, const struct strings *patterns,
                           struct arena *arena, struct err *err);

/* Whether a name that is not well-known is in the set. */
bool field_set_has_other(const struct field_set *set, struct slice name);

static inline bool
field_set_has(const struct field_set *set, const struct field *field)
{
    return field->id != FIELD_OTHER ? set->known[field->id]
                                    : field_set_has_other(set, field->name);
}

/* Removes what is in the set. Returns how many lines there were. */
unsigned field_set_remove(const struct field_set *set, struct fields *fields);

/* Whether patterns are in order, cover none of their like, and well-known names
 * are what they say: for tests of sets that are written into the program. */
bool field_set_is_sound(const struct field_set *set);

/* ---- what an operator may change */

/* 0, or -1 with err when name is no field name (RFC 9110 section 5.1), or one
 * that frames the message or belongs to one connection. */
MUST_USE int field_check_name(struct slice name, struct err *err);

/* 0, or -1 with err when value has bytes that would end the line or that no
 * field value has (RFC 9110 section 5.5). */
MUST_USE int field_check_value(struct slice value, struct err *err);

#endif
