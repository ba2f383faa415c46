/* SPDX-License-Identifier: BSD-2-Clause */
/* field_fixture.h - lists of fields for tests, written as on the wire. */
#ifndef BASCULE_FIELD_FIXTURE_H
#define BASCULE_FIELD_FIXTURE_H

#include <stdio.h>

#include <CUnit/CUnit.h>

#include "server/http/header.h"

/* "Name: value\nName: value" in the arena; borrows the text. */
static inline struct fields *
fields_of(struct arena *arena, const char *text)
{
    struct fields *fields = arena_zalloc(arena, sizeof(*fields));

    CU_ASSERT_PTR_NOT_NULL_FATAL(fields);
    while (*text != '\0') {
        size_t bytes = strcspn(text, "\n");
        const char *colon = memchr(text, ':', bytes);

        CU_ASSERT_PTR_NOT_NULL_FATAL(colon);
        fields_add_name(fields, arena, slice_make(text, (size_t)(colon - text)),
                        slice_trim(slice_make(colon + 1, bytes - (size_t)(colon - text) - 1)));
        text += bytes + (text[bytes] != '\0');
    }
    return fields;
}

/* NULL expects a slice without data. */
static inline void
expect_slice(struct slice found, const char *expected)
{
    bool is_as_expected = expected == NULL ? found.data == NULL
                                           : slice_equal(found, slice_of(expected));

    CU_ASSERT_TRUE(is_as_expected);
    if (!is_as_expected)
        printf("#   found \"%.*s\", expected \"%s\"\n", SLICE_ARG(found),
               expected != NULL ? expected : "(none)");
}

/* All fields as "Name: value\n" in their order. */
static inline void
expect_fields(struct arena *arena, const struct fields *found, const char *expected)
{
    struct slice text = SLICE("");

    for (uint32_t i = 0; i < found->count; i++)
        text = arena_printf(arena, "%.*s%.*s: %.*s\n", SLICE_ARG(text),
                            SLICE_ARG(found->items[i].name), SLICE_ARG(found->items[i].value));
    expect_slice(text, expected);
}

#endif
