/* SPDX-License-Identifier: BSD-2-Clause */
/* update.c - chooses and replaces stored fields. */
#include "config.h"

#include "cache/update.h"

#include "cache/validate.h"

/* ---- whether */

/* Whether both have a line of this id, with the same text. */
static bool
is_same(const struct fields *a, const struct fields *b, enum field_id id)
{
    const struct field *x = fields_find(a, id), *y = fields_find(b, id);

    return x != NULL && y != NULL && slice_equal(x->value, y->value);
}

bool
update_selects(const struct fields *stored, const struct fields *not_modified)
{
    struct slice etag = validate_etag(not_modified);
    struct etag parsed;

    if (etag.data != NULL && etag_parse(etag, &parsed))
        return parsed.is_weak ? validate_etag_weak_equal(etag, validate_etag(stored))
                              : validate_etag_strong_equal(etag, validate_etag(stored));
    return fields_find(not_modified, FIELD_LAST_MODIFIED) == NULL ||
           is_same(stored, not_modified, FIELD_LAST_MODIFIED);
}

bool
update_head_agrees(const struct fields *stored, const struct fields *head)
{
    static const enum field_id validators[] = { FIELD_ETAG, FIELD_LAST_MODIFIED };

    for (unsigned i = 0; i < ARRAY_COUNT(validators); i++)
        if (fields_find(head, validators[i]) != NULL && !is_same(stored, head, validators[i]))
            return false;
    return fields_find(head, FIELD_CONTENT_LENGTH) == NULL ||
           fields_find(stored, FIELD_CONTENT_LENGTH) == NULL ||
           is_same(stored, head, FIELD_CONTENT_LENGTH);
}

/* ---- what */

struct update {
    const struct fields *from;
    bool takes_etag, takes_cookies;
};

static bool
is_nominated(const struct fields *fields, const struct field *field)
{
    const struct field *line = NULL;

    if (field->flags & FIELD_KEEP_NOMINATED)
        return false;
    while ((line = fields_next(fields, FIELD_CONNECTION, line)) != NULL)
        if (slice_list_has(line->value, field->name))
            return true;
    return false;
}

/* Whether this field of from goes into the stored response. */
static bool
is_taken(const struct update *update, const struct field *field)
{
    if (field->flags & (FIELD_HOP | FIELD_FRAMING) || is_nominated(update->from, field))
        return false;
    switch (field->id) {
    case FIELD_CONTENT_RANGE:
    case FIELD_CONTENT_ENCODING:
        return false;
    case FIELD_ETAG:
        return update->takes_etag;
    case FIELD_SET_COOKIE:
        return update->takes_cookies;
    }
    return true;
}

/* Whether this stored field makes room. */
static bool
is_replaced(const struct field *field, void *arg)
{
    const struct update *update = arg;
    const struct field *newer = fields_find_name(update->from, field->name);

    return newer != NULL ? is_taken(update, newer) : field->id == FIELD_AGE;
}

void
update_fields(struct fields *stored, struct arena *arena, const struct fields *from)
{
    struct update update = {
        .from = from,
        .takes_etag = fields_find(stored, FIELD_ETAG) == NULL,
        .takes_cookies = fields_find(stored, FIELD_SET_COOKIE) != NULL,
    };

    fields_remove_if(stored, is_replaced, &update);
    for (uint32_t i = 0; i < from->count; i++) {
        const struct field *field = &from->items[i];

        if (is_taken(&update, field))
            fields_add_name(stored, arena, field->name, field->value);
    }
}
