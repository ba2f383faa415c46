/* SPDX-License-Identifier: BSD-2-Clause */
/* named_field.h - values that a request carries under a name: in its header, in
 * cookies, in the query of its URL.
 */
#ifndef BASCULE_NAMED_FIELD_H
#define BASCULE_NAMED_FIELD_H

#include "server/http/header.h"

/* Each returns whether there is a value after *at (zeroed at first) for that name, and puts
 * it into *value, borrowed. Names of header fields are of either case, id is theirs. */
struct named_at {
    const struct field *field;
    struct slice rest;
    bool has_begun;
};

bool header_next(const struct fields *fields, enum field_id id, struct slice name,
                 struct named_at *at, struct slice *value);

/* Cookie (RFC 6265 section 5.4): values as they are, quotes included. */
bool cookie_next(const struct fields *fields, struct slice name, struct named_at *at,
                 struct slice *value);

/* NAME=VALUE pairs between "&", as forms write them: "+" and escapes stand for the bytes
 * that they mean when names are compared. The value is as received. */
bool query_next(struct slice query, struct slice name, struct named_at *at, struct slice *value);

/* What a piece of a query means, in the arena; itself when nothing is escaped. Data NULL
 * when the arena is spent. */
struct slice query_decode(struct slice piece, struct arena *arena);

#endif
