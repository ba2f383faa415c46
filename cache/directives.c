/* SPDX-License-Identifier: BSD-2-Clause */
/* directives.c - reads Cache-Control by the grammar of RFC 9111 section 5.2,
 *
 *     #( token [ "=" ( token / quoted-string ) ] )
 *
 * in one pass over each line, and CDN-Cache-Control as a structured dictionary.
 * What follows a directive without belonging to it makes the directive
 * malformed: it then grants nothing, but still forbids what it forbids.
 */
#include "config.h"

#include "cache/directives.h"

#include "cache/structured_field.h"
#include "server/base/must.h"
#include "server/http/scan.h"

/* Those that make the cache do more. They count only when said as they should
 * be, without an argument. */
#define GRANTS (DIRECTIVE_PUBLIC | DIRECTIVE_MUST_UNDERSTAND | DIRECTIVE_IMMUTABLE)
#define WITH_NUMBER                                                                                \
    (DIRECTIVE_MAX_AGE | DIRECTIVE_S_MAXAGE | DIRECTIVE_MIN_FRESH | DIRECTIVE_MAX_STALE |          \
     DIRECTIVE_STALE_WHILE_REVALIDATE | DIRECTIVE_STALE_IF_ERROR)

/* The most frequent first. */
static const struct name {
    struct slice text;
    uint32_t bit;
    size_t offset; /* of its number */
} names[] = {
    { SLICE_INIT("max-age"), DIRECTIVE_MAX_AGE, offsetof(struct directives, max_age_s) },
    { SLICE_INIT("public"), DIRECTIVE_PUBLIC, 0 },
    { SLICE_INIT("no-cache"), DIRECTIVE_NO_CACHE, 0 },
    { SLICE_INIT("private"), DIRECTIVE_PRIVATE, 0 },
    { SLICE_INIT("no-store"), DIRECTIVE_NO_STORE, 0 },
    { SLICE_INIT("must-revalidate"), DIRECTIVE_MUST_REVALIDATE, 0 },
    { SLICE_INIT("s-maxage"), DIRECTIVE_S_MAXAGE, offsetof(struct directives, s_maxage_s) },
    { SLICE_INIT("immutable"), DIRECTIVE_IMMUTABLE, 0 },
    { SLICE_INIT("stale-while-revalidate"), DIRECTIVE_STALE_WHILE_REVALIDATE,
      offsetof(struct directives, stale_while_revalidate_s) },
    { SLICE_INIT("stale-if-error"), DIRECTIVE_STALE_IF_ERROR,
      offsetof(struct directives, stale_if_error_s) },
    { SLICE_INIT("proxy-revalidate"), DIRECTIVE_PROXY_REVALIDATE, 0 },
    { SLICE_INIT("must-understand"), DIRECTIVE_MUST_UNDERSTAND, 0 },
    { SLICE_INIT("no-transform"), DIRECTIVE_NO_TRANSFORM, 0 },
    { SLICE_INIT("only-if-cached"), DIRECTIVE_ONLY_IF_CACHED, 0 },
    { SLICE_INIT("min-fresh"), DIRECTIVE_MIN_FRESH, offsetof(struct directives, min_fresh_s) },
    { SLICE_INIT("max-stale"), DIRECTIVE_MAX_STALE, offsetof(struct directives, max_stale_s) },
};

/* Both of the same length; text is a token, so that bit 5 is the case of letters
 * and makes nothing else equal. */
static inline bool
is_name(const char *text, struct slice name)
{
    size_t i = 0;

    while (i < name.bytes && (text[i] | 0x20) == name.data[i])
        i++;
    return i == name.bytes;
}

static const struct name *
name_of(struct slice text)
{
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (names[i].text.bytes == text.bytes && is_name(text.data, names[i].text))
            return &names[i];
    return NULL;
}

static uint32_t *
number_of(struct directives *directives, const struct name *name)
{
    return (uint32_t *)(void *)((char *)directives + name->offset);
}

/* ---- Cache-Control */

/* RFC 9111 section 1.2.2: decimal digits, held at DELTA_MAX. */
static bool
parse_seconds(struct slice text, uint32_t *seconds)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.bytes; i++) {
        if (!ascii_is_digit(text.data[i]))
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
        if (value > DELTA_MAX)
            value = DELTA_MAX;
    }
    *seconds = (uint32_t)value;
    return text.bytes > 0;
}

struct directive {
    struct slice name, argument;
    bool has_argument;
    bool is_malformed;
};

static bool
is_ows(char c)
{
    return c == ' ' || c == '\t';
}

/* Where the argument that starts at at ends: a token, or a quoted string, which
 * must be closed; otherwise its quote is junk, so that it hides nothing. */
static const char *
end_of_argument(const char *at, const char *end, struct directive *directive)
{
    const char *start = at;

    if (at < end && *at == '"') {
        for (at++; at < end && *at != '"'; at++)
            if (*at == '\\' && at + 1 < end)
                at++;
        if (at < end) {
            directive->argument = slice_make(start + 1, (size_t)(at - start - 1));
            return at + 1;
        }
        at = start;
    }
    while (at < end && char_is(*at, CHAR_TOKEN))
        at++;
    directive->argument = slice_make(start, (size_t)(at - start));
    return at;
}

/* Takes the next directive, which ends at a comma, off at..end. */
static const char *
take_directive(const char *at, const char *end, struct directive *directive)
{
    const char *start = at;

    while (at < end && char_is(*at, CHAR_TOKEN))
        at++;
    *directive = (struct directive){
        .name = slice_make(start, (size_t)(at - start)),
        .has_argument = at < end && *at == '=',
    };
    if (directive->has_argument)
        at = end_of_argument(at + 1, end, directive);
    while (at < end && *at != ',') {
        directive->is_malformed |= !is_ows(*at);
        at++;
    }
    return at;
}

/* Of two numbers for one directive, the one that lets less be served. */
static uint32_t
stricter(uint32_t bit, uint32_t a, uint32_t b)
{
    return (a < b) == (bit != DIRECTIVE_MIN_FRESH) ? a : b;
}

static void
note(struct directives *directives, const struct directive *directive)
{
    const struct name *name = name_of(directive->name);
    bool is_bare = !directive->has_argument && !directive->is_malformed;
    uint32_t seconds, *number;

    if (name == NULL || ((name->bit & GRANTS) != 0 && !is_bare))
        return;
    if ((name->bit & WITH_NUMBER) != 0) {
        if (is_bare && name->bit == DIRECTIVE_MAX_STALE)
            seconds = DELTA_MAX; /* RFC 9111 section 5.2.1.2 */
        else if (directive->is_malformed || !parse_seconds(directive->argument, &seconds))
            seconds = 0;
        number = number_of(directives, name);
        *number = directives_has(directives, name->bit) ? stricter(name->bit, *number, seconds)
                                                        : seconds;
    }
    directives->present |= name->bit;
}

static void
read_line(struct directives *directives, struct slice line)
{
    const char *at = line.data, *end = line.data + line.bytes;
    struct directive directive;

    while (at < end) {
        if (*at == ',' || is_ows(*at)) {
            at++;
            continue;
        }
        at = take_directive(at, end, &directive);
        note(directives, &directive);
    }
}

/* False when there is no such line. */
static bool
read_cache_control(struct directives *directives, const struct fields *fields)
{
    const struct field *field = fields_find(fields, FIELD_CACHE_CONTROL);

    if (field == NULL)
        return false;
    for (; field != NULL; field = fields_next(fields, FIELD_CACHE_CONTROL, field))
        if (field->value.bytes > 0)
            read_line(directives, field->value);
    return true;
}

/* ---- CDN-Cache-Control */

/* RFC 9213 section 2.1 wants an Integer where there is a number, and Boolean
 * true otherwise, but for the field names of no-cache and private. What forbids
 * does so with any value but false. Of two the last counts (RFC 9651 section
 * 4.2.2). */
static bool
note_targeted(struct directives *directives, struct slice key, const struct sf_item *item)
{
    const struct name *name = name_of(key);
    bool is_false = item->type == SF_BOOLEAN && item->number == 0;
    bool is_true = item->type == SF_BOOLEAN && item->number == 1;

    if (name == NULL)
        return true;
    if ((name->bit & WITH_NUMBER) != 0) {
        if (item->type != SF_INTEGER || item->number < 0)
            return false;
        *number_of(directives, name) =
            item->number > DELTA_MAX ? DELTA_MAX : (uint32_t)item->number;
    }
    if (is_false || ((name->bit & GRANTS) != 0 && !is_true))
        directives->present &= ~name->bit;
    else
        directives->present |= name->bit;
    return true;
}

static bool
read_targeted(struct directives *directives, const struct fields *fields)
{
    const struct field *field = fields_find(fields, FIELD_CDN_CACHE_CONTROL);
    unsigned lines = 0, empty = 0;

    for (; field != NULL; field = fields_next(fields, FIELD_CDN_CACHE_CONTROL, field)) {
        struct sf_reader reader;
        struct sf_item item;
        struct slice key;

        sf_reader_init(&reader, field->value);
        while (sf_next_member(&reader, &key, &item))
            if (!note_targeted(directives, key, &item))
                return false;
        if (!sf_reader_is_done(&reader))
            return false;
        lines++;
        empty += reader.members == 0;
    }
    directives->is_targeted = true;
    return lines > 0 && empty == 0;
}

/* ---- both */

void
directives_of_request(struct directives *directives, const struct fields *fields)
{
    const struct field *field;

    *directives = (struct directives){ 0 };
    if (read_cache_control(directives, fields))
        return;
    field = fields_find(fields, FIELD_PRAGMA);
    for (; field != NULL; field = fields_next(fields, FIELD_PRAGMA, field))
        if (slice_list_has(field->value, SLICE("no-cache")))
            directives->present |= DIRECTIVE_NO_CACHE;
}

void
directives_of_response(struct directives *directives, const struct fields *fields)
{
    *directives = (struct directives){ 0 };
    if (fields_has(fields, FIELD_CDN_CACHE_CONTROL)) {
        if (read_targeted(directives, fields))
            return;
        *directives = (struct directives){ 0 };
    }
    read_cache_control(directives, fields);
}
