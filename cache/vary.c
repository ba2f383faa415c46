/* SPDX-License-Identifier: BSD-2-Clause */
/* vary.c - reads Vary, and gives selecting fields one spelling.
 *
 * How a value is normalised depends on what the field's syntax allows:
 * - weighted lists (Accept-Encoding, Accept-Language): letters in lower case,
 *   in the order of their weights, where order says nothing else (RFC 9110
 *   sections 12.5.3 and 12.5.4);
 * - text (User-Agent, Cookie and the like): untouched;
 * - anything else may be a list: spaces around its commas and empty elements go
 *   (section 5.6.1).
 * What comes out is never longer than the lines joined.
 */
#include "config.h"

#include "cache/vary.h"

#include "cache/weighted_list.h"
#include "server/http/scan.h"

/* ---- Vary */

static int
compare(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;

    for (size_t i = 0; i < common; i++) {
        unsigned char x = (unsigned char)ascii_lower(a.data[i]);
        unsigned char y = (unsigned char)ascii_lower(b.data[i]);

        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* Puts the name in its place, unless it is there. False when there is no room. */
static bool
insert(struct slice *names, unsigned *count, struct slice name)
{
    unsigned at = *count;
    int order = 1;

    while (at > 0 && (order = compare(names[at - 1], name)) > 0)
        at--;
    if (at > 0 && order == 0)
        return true;
    if (*count == VARY_NAMES_MAX)
        return false;
    memmove(&names[at + 1], &names[at], (*count - at) * sizeof(*names));
    names[at] = name;
    ++*count;
    return true;
}

/* Splits at every comma: a quotation mark is no part of a name, and must not hide
 * what stands behind it. */
static bool
collect(struct slice list, struct slice *names, unsigned *count, size_t *bytes)
{
    const char *at = list.data, *end = list.data + list.bytes;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        struct slice name = slice_trim(slice_make(at, (size_t)(stop - at)));

        at = stop + 1;
        if (name.bytes == 0)
            continue;
        if (slice_equal(name, SLICE("*")) || !scan_is_token(name) ||
            !insert(names, count, name))
            return false;
        *bytes += name.bytes + 1;
    }
    return true;
}

struct slice
vary_names(const struct fields *response, struct arena *arena)
{
    const struct field *line = NULL;
    struct slice names[VARY_NAMES_MAX];
    unsigned count = 0;
    size_t bytes = 0;
    char *text, *at;

    while ((line = fields_next(response, FIELD_VARY, line)) != NULL)
        if (!collect(line->value, names, &count, &bytes))
            return SLICE("*");
    if (count == 0)
        return SLICE("");
    text = at = arena_alloc(arena, bytes);
    if (text == NULL)
        return SLICE("*");
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            *at++ = ',';
        for (size_t c = 0; c < names[i].bytes; c++)
            *at++ = ascii_lower(names[i].data[c]);
    }
    return slice_make(text, (size_t)(at - text));
}

/* ---- values */

static bool
is_text(enum field_id id)
{
    return id == FIELD_USER_AGENT || id == FIELD_COOKIE || id == FIELD_AUTHORIZATION ||
           id == FIELD_REFERER || id == FIELD_ORIGIN || id == FIELD_FROM || id == FIELD_HOST;
}

static const struct field *
next_line(const struct fields *fields, struct slice name, const struct field *previous)
{
    const struct field *field;

    if (previous == NULL)
        return fields_find_name(fields, name);
    if (previous->id != FIELD_OTHER)
        return fields_next(fields, previous->id, previous);
    for (field = previous + 1; field < fields->items + fields->count; field++)
        if (field->id == FIELD_OTHER && slice_equal_nocase(field->name, name))
            return field;
    return NULL;
}

static char *
put(char *at, struct slice s)
{
    return s.bytes > 0 ? mempcpy(at, s.data, s.bytes) : at;
}

static char *
put_text(char *at, const struct fields *request, const struct field *line)
{
    *at++ = '+';
    at = put(at, line->value);
    while ((line = next_line(request, line->name, line)) != NULL) {
        *at++ = ',';
        at = put(at, line->value);
    }
    return at;
}

/* The elements of all lines, joined by commas. */
static char *
put_list(char *at, char mark, const struct fields *request, const struct field *line)
{
    const char *start;

    *at++ = mark;
    start = at;

    for (; line != NULL; line = next_line(request, line->name, line)) {
        struct slice list = line->value, element;

        while (slice_next_element(&list, &element)) {
            if (at != start)
                *at++ = ',';
            at = put(at, element);
        }
    }
    return at;
}

static char *
put_weighted(char *at, const struct fields *request, const struct field *first,
             const struct weighted_rules *rules)
{
    const struct field *line = first;
    struct weighted_list list;

    weighted_list_init(&list);
    for (; line != NULL; line = fields_next(request, first->id, line))
        weighted_list_add(&list, line->value);
    if (!weighted_list_is_good(&list))
        return put_list(at, '!', request, first); /* must not look like a good one */
    *at++ = '+';
    return weighted_list_put(&list, rules, at);
}

static char *
put_value(char *at, const struct fields *request, const struct field *line,
          const struct vary_conf *conf)
{
    struct weighted_rules languages = { conf->languages, conf->language_count };
    struct weighted_rules none = { NULL, 0 };

    if (line->id == FIELD_ACCEPT_ENCODING)
        return put_weighted(at, request, line, &none);
    if (line->id == FIELD_ACCEPT_LANGUAGE)
        return put_weighted(at, request, line, &languages);
    return is_text(line->id) ? put_text(at, request, line) : put_list(at, '+', request, line);
}

/* ---- the key */

enum { ENCODING_BYTES = 14 }; /* "br, zstd, gzip" */

static bool
next_name(struct slice *names, struct slice *name)
{
    ptrdiff_t comma = slice_find(*names, ',');

    *name = comma >= 0 ? slice_make(names->data, (size_t)comma) : *names;
    *names = slice_skip(*names, name->bytes + 1);
    return name->bytes > 0;
}

static size_t
most_bytes(struct slice names, const struct fields *request)
{
    size_t bytes = 0;
    struct slice name;

    while (next_name(&names, &name)) {
        const struct field *line = NULL;

        bytes += 2 + ENCODING_BYTES;
        while ((line = next_line(request, name, line)) != NULL)
            bytes += line->value.bytes + 1;
    }
    return bytes;
}

static char *
put_name(char *at, struct slice name, const struct fields *request, const struct vary_conf *conf)
{
    const struct field *line = fields_find_name(request, name);

    if (conf->narrows_encoding && field_id_of(name) == FIELD_ACCEPT_ENCODING) {
        struct slice encoding = vary_encoding(request);

        *at++ = encoding.bytes > 0 ? '+' : '-';
        at = put(at, encoding);
    } else if (line == NULL) {
        *at++ = '-';
    } else {
        at = put_value(at, request, line, conf);
    }
    *at++ = '\0';
    return at;
}

struct slice
vary_key(struct slice names, const struct fields *request, const struct vary_conf *conf,
         struct arena *arena)
{
    struct slice name;
    char *key, *at;

    if (names.bytes == 0)
        return SLICE("");
    key = at = arena_alloc(arena, most_bytes(names, request));
    if (key == NULL)
        return slice_make(NULL, 0);
    while (next_name(&names, &name))
        at = put_name(at, name, request, conf);
    return slice_make(key, (size_t)(at - key));
}

/* ---- Accept-Encoding */

enum { GZIP = 1, ZSTD = 2, BR = 4 };

static const struct slice encodings[] = {
    [0] = SLICE_INIT(""),
    [GZIP] = SLICE_INIT("gzip"),
    [ZSTD] = SLICE_INIT("zstd"),
    [ZSTD | GZIP] = SLICE_INIT("zstd, gzip"),
    [BR] = SLICE_INIT("br"),
    [BR | GZIP] = SLICE_INIT("br, gzip"),
    [BR | ZSTD] = SLICE_INIT("br, zstd"),
    [BR | ZSTD | GZIP] = SLICE_INIT("br, zstd, gzip"),
};

/* What nearly every request has: browsers', and what was narrowed before. */
static const struct {
    struct slice value;
    unsigned accepted;
} usual[] = {
    { SLICE_INIT("gzip, deflate, br, zstd"), BR | ZSTD | GZIP },
    { SLICE_INIT("gzip, deflate, br"), BR | GZIP },
    { SLICE_INIT("gzip, deflate"), GZIP },
    { SLICE_INIT("br, zstd, gzip"), BR | ZSTD | GZIP },
    { SLICE_INIT("br, gzip"), BR | GZIP },
    { SLICE_INIT("gzip"), GZIP },
};

static unsigned
read_encodings(const struct fields *request, const struct field *line)
{
    struct weighted_list list;

    weighted_list_init(&list);
    for (; line != NULL; line = fields_next(request, FIELD_ACCEPT_ENCODING, line))
        weighted_list_add(&list, line->value);
    if (!weighted_list_is_good(&list))
        return 0;
    return (weighted_list_accepts(&list, SLICE("br")) ? BR : 0) |
           (weighted_list_accepts(&list, SLICE("zstd")) ? ZSTD : 0) |
           (weighted_list_accepts(&list, SLICE("gzip")) ? GZIP : 0);
}

struct slice
vary_encoding(const struct fields *request)
{
    const struct field *line = fields_find(request, FIELD_ACCEPT_ENCODING);

    if (line == NULL)
        return encodings[0];
    if (fields_next(request, FIELD_ACCEPT_ENCODING, line) == NULL)
        for (unsigned i = 0; i < ARRAY_COUNT(usual); i++)
            if (slice_equal(line->value, usual[i].value))
                return encodings[usual[i].accepted];
    return encodings[read_encodings(request, line)];
}
