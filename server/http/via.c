/* SPDX-License-Identifier: BSD-2-Clause */
/* via.c - a pseudonym, and finding it again. */
#include "config.h"

#include "server/http/via.h"

#include <stdio.h>
#include <sys/random.h>

#define NAME "bascule-%08x"

enum { VIA_1_0, VIA_1_1, VIA_2, VIA_COUNT };

static char name[24] = "bascule";
static char values[VIA_COUNT][32] = { "1.0 bascule", "1.1 bascule", "2 bascule" };

void
via_init(void)
{
    uint32_t number = 0;

    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        return;
    snprintf(name, sizeof(name), NAME, number);
    snprintf(values[VIA_1_0], sizeof(values[0]), "1.0 " NAME, number);
    snprintf(values[VIA_1_1], sizeof(values[0]), "1.1 " NAME, number);
    snprintf(values[VIA_2], sizeof(values[0]), "2 " NAME, number);
}

struct slice
via_name(void)
{
    return slice_of(name);
}

struct slice
via_value(const char *protocol, unsigned minor_version)
{
    if (strcmp(protocol, "HTTP/2.0") == 0)
        return slice_of(values[VIA_2]);
    return slice_of(values[minor_version == 0 ? VIA_1_0 : VIA_1_1]);
}

bool
via_is_value(struct slice value)
{
    for (unsigned i = 0; i < VIA_COUNT; i++)
        if (value.data == values[i])
            return true;
    return false;
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
