/* SPDX-License-Identifier: BSD-2-Clause */
/* json_strict.h - JSON of strangers, so that it cannot mean two things.
 *
 * Members of the same name, more nesting than wanted, NUL in strings and what is
 * not UTF-8 are refused (RFC 8259, RFC 8725 section 2.6).
 */
#ifndef BASCULE_JSON_STRICT_H
#define BASCULE_JSON_STRICT_H

#include <jansson.h>

#include "server/base/err.h"
#include "server/base/slice.h"

/* Reads one object and nothing beside it, with objects and arrays at most
 * max_depth deep, itself counted. The caller's, to be given back with
 * json_decref(). NULL with err (which may be NULL): its line and finding. */
json_t *json_strict_object(struct slice text, unsigned max_depth, struct err *err) MUST_USE;

/* The text of a string; data NULL: it is none, or not there. Borrowed from value. */
struct slice json_text(const json_t *value);

/* The text of a member. */
static inline struct slice
json_member_text(const json_t *object, const char *name)
{
    return json_text(json_object_get(object, name));
}

#endif
