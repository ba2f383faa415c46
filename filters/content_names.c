/* SPDX-License-Identifier: BSD-2-Clause */
/* content_names.c - the names that content may be stored under: whatever one receiver or
 * another makes of a path, or of Content-Disposition.
 */
#include "config.h"

#include "filters/content_inside.h"

#include "filters/content_field.h"
#include "server/base/base64.h"

static void
add(struct content_facts *facts, struct slice name)
{
    if (facts->name_count < CONTENT_NAMES)
        facts->names[facts->name_count++] = name;
    else
        facts->is_unnamed = true;
}

/* ---- escapes */

static struct slice
unescape(struct slice text, char escape, struct arena *arena)
{
    char *to = arena_alloc(arena, text.bytes + 1);

    return to != NULL ? content_field_unescape(text, escape, to) : slice_make(NULL, 0);
}

/* The part up to mark, which is taken off as well. */
static bool
take_up_to(struct slice *text, const char *mark, struct slice *part)
{
    size_t bytes = strlen(mark);
    const char *at = memmem(text->data, text->bytes, mark, bytes);

    if (at == NULL)
        return false;
    *part = slice_make(text->data, (size_t)(at - text->data));
    *text = slice_skip(*text, part->bytes + bytes);
    return true;
}

/* RFC 2047 section 2: =?charset?B or Q?text?= among other text. */
static bool
decode_words(struct slice text, struct arena *arena, struct slice *decoded)
{
    struct slice plain, charset, encoding, word;

    *decoded = slice_make(NULL, 0);
    while (take_up_to(&text, "=?", &plain)) {
        if (!take_up_to(&text, "?", &charset) || !take_up_to(&text, "?", &encoding) ||
            !take_up_to(&text, "?=", &word))
            return false;
        if (slice_equal_nocase(encoding, SLICE("Q")))
            word = unescape(word, '=', arena);
        else if (!slice_equal_nocase(encoding, SLICE("B")) ||
                 base64_decode(arena, word, &word) < 0)
            return false;
        *decoded = arena_join(arena, (struct slice[]){ *decoded, plain, word }, 3);
    }
    *decoded = arena_join(arena, (struct slice[]){ *decoded, text }, 2);
    return true;
}

void
content_add_name(struct content_facts *facts, struct slice name, struct arena *arena)
{
    struct slice decoded;

    if (name.bytes == 0)
        return;
    add(facts, name);
    if (slice_find(name, '%') >= 0)
        add(facts, unescape(name, '%', arena));
    if (memmem(name.data, name.bytes, "=?", 2) == NULL)
        return;
    if (decode_words(name, arena, &decoded))
        add(facts, decoded);
    else
        facts->is_unnamed = true;
}

/* ---- Content-Disposition */

/* Receivers make something of malformed fields: so do we, of all that may be a name. */
static void
add_pieces(struct content_facts *facts, struct slice text, struct arena *arena)
{
    while (text.bytes > 0) {
        struct slice piece = slice_make(text.data, 0);

        while (piece.bytes < text.bytes && strchr("\"'; \t", text.data[piece.bytes]) == NULL)
            piece.bytes++;
        if (slice_find(piece, '.') >= 0 || slice_find(piece, '%') >= 0 ||
            slice_find(piece, '?') >= 0)
            content_add_name(facts, piece, arena);
        text = slice_skip(text, piece.bytes < text.bytes ? piece.bytes + 1 : piece.bytes);
    }
}

/* RFC 2231 section 3: filename*0="a."; filename*1="exe". */
struct pieces {
    struct slice joined;
    uint64_t next;
};

static void
add_parameter(struct content_facts *facts, const struct parameter *p, struct pieces *pieces,
              struct arena *arena)
{
    static const struct slice name = SLICE_INIT("filename");
    struct slice rest = slice_skip(p->name, name.bytes), value;
    uint64_t number;
    char *room;

    if (p->name.bytes < name.bytes ||
        !slice_equal_nocase(slice_make(p->name.data, name.bytes), name))
        return;
    room = arena_alloc(arena, p->value.bytes + 1);
    if (room == NULL)
        return; /* the arena remembers */
    value = parameter_decode(p, room);
    if (rest.bytes == 0) {
        content_add_name(facts, value, arena);
    } else if (slice_take_char(&rest, '*')) {
        if (!slice_to_u64(rest, UINT32_MAX, &number) || number != pieces->next++)
            facts->is_unnamed = true;
        pieces->joined = arena_join(arena, (struct slice[]){ pieces->joined, value }, 2);
    }
}

/* RFC 6266. */
static void
add_disposition(struct content_facts *facts, struct slice field, struct arena *arena)
{
    struct pieces pieces = { .next = 0 };
    enum parameter_result result;
    struct parameter p;

    content_field_take_value(&field);
    while ((result = parameter_next(&field, &p)) == PARAMETER_FOUND)
        add_parameter(facts, &p, &pieces, arena);
    if (result == PARAMETER_BAD)
        add_pieces(facts, field, arena);
    content_add_name(facts, pieces.joined, arena);
}

void
content_add_dispositions(struct content_facts *facts, const struct fields *fields,
                         struct arena *arena)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (slice_equal_nocase(fields->items[i].name, SLICE("Content-Disposition")))
            add_disposition(facts, fields->items[i].value, arena);
}
