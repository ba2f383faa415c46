/* SPDX-License-Identifier: BSD-2-Clause */
/* via.c - a pseudonym, and finding it again. */
#include "config.h"

#include "server/http/via.h"

#include <stdio.h>
#include <sys/random.h>

#define NAME_AT 4 /* behind "1.1 " */

static char value[32] = "1.1 bascule";

void
via_init(void)
{
    uint32_t number = 0;

    if (getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number))
        snprintf(value, sizeof(value), "1.1 bascule-%08x", number);
}

struct slice
via_name(void)
{
    return slice_of(value + NAME_AT);
}

struct slice
via_value(void)
{
    return slice_of(value);
}

/* Received-protocol, white space, received-by. */
static bool
is_own(struct slice element)
{
    ptrdiff_t space = slice_find(element, ' ');
    struct slice by;

    if (space < 0)
        return false;
    by = slice_trim(slice_skip(element, (size_t)space));
    space = slice_find(by, ' '); /* a comment may follow */
    if (space >= 0)
        by.bytes = (size_t)space;
    return slice_equal(by, via_name());
}

bool
via_is_loop(const struct fields *fields)
{
    const struct field *field = NULL;

    if (!fields_has(fields, FIELD_VIA))
        return false;
    while ((field = fields_next(fields, FIELD_VIA, field)) != NULL) {
        struct slice list = field->value, element;

        while (slice_next_element(&list, &element))
            if (is_own(element))
                return true;
    }
    return false;
}
