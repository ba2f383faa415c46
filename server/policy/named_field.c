/* SPDX-License-Identifier: BSD-2-Clause */
/* named_field.c - finds values by name, one after the other, without copying. */
#include "config.h"

#include "server/policy/named_field.h"

#include "server/base/hex.h"

bool
header_next(const struct fields *fields, enum field_id id, struct slice name, struct named_at *at,
            struct slice *value)
{
    const struct field *field = at->field;

    if (!fields_has(fields, id))
        return false;
    field = field == NULL ? fields->items : field + 1;
    while (field < fields->items + fields->count &&
           (field->id != id || (id == FIELD_OTHER && !slice_equal_nocase(field->name, name))))
        field++;
    if (field == fields->items + fields->count)
        return false;
    at->field = field;
    *value = field->value;
    return true;
}

/* Takes what stands before the next separator off *rest. */
static struct slice
take_piece(struct slice *rest, char separator)
{
    ptrdiff_t end = slice_find(*rest, separator);
    struct slice piece = slice_make(rest->data, end < 0 ? rest->bytes : (size_t)end);

    *rest = slice_skip(*rest, end < 0 ? rest->bytes : (size_t)end + 1);
    return piece;
}

/* "name=value": the name stays in *piece. Without "=" the value is empty. */
static struct slice
split_value(struct slice *piece)
{
    ptrdiff_t equals = slice_find(*piece, '=');
    struct slice value = slice_skip(*piece, equals < 0 ? piece->bytes : (size_t)equals + 1);

    if (equals >= 0)
        piece->bytes = (size_t)equals;
    return value;
}

bool
cookie_next(const struct fields *fields, struct slice name, struct named_at *at,
            struct slice *value)
{
    if (!fields_has(fields, FIELD_COOKIE))
        return false;
    for (;;) {
        while (at->rest.bytes > 0) {
            struct slice piece = slice_trim(take_piece(&at->rest, ';'));

            *value = slice_trim(split_value(&piece));
            if (slice_equal(slice_trim(piece), name))
                return true;
        }
        at->field = fields_next(fields, FIELD_COOKIE, at->field);
        if (at->field == NULL)
            return false;
        at->rest = at->field->value;
    }
}

/* The byte that the piece begins with; skips what stands for it. A "%" that begins no escape
 * is itself. */
static char
take_byte(struct slice *piece)
{
    char c = piece->data[0];
    int escaped = hex_unescape(*piece);

    *piece = slice_skip(*piece, escaped >= 0 ? 3 : 1);
    return escaped >= 0 ? (char)escaped : c == '+' ? ' ' : c;
}

static bool
means(struct slice piece, struct slice text)
{
    if (piece.bytes < text.bytes)
        return false;
    while (piece.bytes > 0 && text.bytes > 0) {
        if (take_byte(&piece) != text.data[0])
            return false;
        text = slice_skip(text, 1);
    }
    return piece.bytes == 0 && text.bytes == 0;
}

bool
query_next(struct slice query, struct slice name, struct named_at *at, struct slice *value)
{
    if (!at->has_begun)
        at->rest = query;
    at->has_begun = true;
    while (at->rest.bytes > 0) {
        struct slice piece = take_piece(&at->rest, '&');

        *value = split_value(&piece);
        if (means(piece, name))
            return true;
    }
    return false;
}

struct slice
query_decode(struct slice piece, struct arena *arena)
{
    struct slice decoded = piece;
    char *at;

    if (slice_find(piece, '%') < 0 && slice_find(piece, '+') < 0)
        return piece;
    decoded.data = at = arena_alloc(arena, piece.bytes + 1);
    if (at == NULL)
        return slice_make(NULL, 0);
    while (piece.bytes > 0)
        *at++ = take_byte(&piece);
    decoded.bytes = (size_t)(at - decoded.data);
    return decoded;
}
