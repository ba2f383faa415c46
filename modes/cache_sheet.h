/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_sheet.h - stored objects as names with values: lines for people, members
 * of JSON objects for programs.
 */
#ifndef BASCULE_CACHE_SHEET_H
#define BASCULE_CACHE_SHEET_H

#include <stdio.h>

#include "cache/object.h"
#include "modes/cache_places.h"

struct cache_sheet {
    FILE *out;
    struct arena *arena; /* for scratch */
    bool is_json;
    bool is_in_list;     /* something was written of this object */
    unsigned count;      /* objects written */
};

/* Writes text from anywhere: a JSON string, or what terminals can be shown. */
void cache_sheet_value(struct cache_sheet *sheet, struct slice text);

/* Writes all of an object found at place. encoding: the Accept-Encoding of the
 * variant; data NULL: that is not the question. */
void cache_sheet_object(struct cache_sheet *sheet, const struct cache_place *place,
                        struct slice encoding, struct object *object, bool is_in_memory);

#endif
