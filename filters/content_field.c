/* SPDX-License-Identifier: BSD-2-Clause */
/* content_field.c - values, parameters, patterns of media types, extensions. */
#include "config.h"

#include "filters/content_field.h"

#include "server/base/hex.h"
#include "server/http/scan.h"

/* ---- values and parameters */

struct slice
content_field_take_value(struct slice *field)
{
    ptrdiff_t end = slice_find(*field, ';');
    struct slice value = slice_make(field->data, end >= 0 ? (size_t)end : field->bytes);

    *field = slice_skip(*field, value.bytes);
    return slice_trim(value);
}

struct slice
content_field_value(struct slice field)
{
    return content_field_take_value(&field);
}

static struct slice
take_token(struct slice *text)
{
    struct slice token = *text;
    size_t n = 0;

    while (n < text->bytes && char_is(text->data[n], CHAR_TOKEN))
        n++;
    token.bytes = n;
    *text = slice_skip(*text, n);
    return token;
}

/* Behind the first quote. False: there is no other one. */
static bool
take_quoted(struct slice *text, struct slice *value)
{
    size_t n = 0;

    while (n < text->bytes && text->data[n] != '"')
        n += text->data[n] == '\\' && n + 1 < text->bytes ? 2 : 1;
    if (n >= text->bytes)
        return false;
    *value = slice_make(text->data, n);
    *text = slice_skip(*text, n + 1);
    return true;
}

static void
skip_spaces(struct slice *text)
{
    while (text->bytes > 0 && (text->data[0] == ' ' || text->data[0] == '\t'))
        *text = slice_skip(*text, 1);
}

enum parameter_result
parameter_next(struct slice *field, struct parameter *p)
{
    *p = (struct parameter){ .is_quoted = false };
    skip_spaces(field);
    while (field->bytes > 0) {
        if (!slice_take_char(field, ';'))
            return PARAMETER_BAD;
        skip_spaces(field);
        if (field->bytes > 0 && field->data[0] != ';')
            break;
    }
    if (field->bytes == 0)
        return PARAMETER_END;
    p->name = take_token(field);
    if (p->name.bytes == 0 || !slice_take_char(field, '='))
        return PARAMETER_BAD;
    if (p->name.data[p->name.bytes - 1] == '*') {
        p->is_extended = true;
        p->name.bytes--;
    }
    if (!slice_take_char(field, '"')) {
        p->value = take_token(field);
        return p->value.bytes > 0 ? PARAMETER_FOUND : PARAMETER_BAD;
    }
    p->is_quoted = true;
    return take_quoted(field, &p->value) ? PARAMETER_FOUND : PARAMETER_BAD;
}

struct slice
content_field_unescape(struct slice text, char escape, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.data[i];

        int byte = c == escape && i + 2 < text.bytes ? hex_byte(&text.data[i + 1]) : -1;

        if (byte >= 0) {
            c = (char)byte;
            i += 2;
        }
        to[n++] = c;
    }
    return slice_make(to, n);
}

/* Of what is malformed, all is kept. */
static struct slice
decode_extended(struct slice value, char *to)
{
    const char *charset = memchr(value.data, '\'', value.bytes), *language = NULL;

    if (charset != NULL)
        language = memchr(charset + 1, '\'', value.bytes - (size_t)(charset + 1 - value.data));
    if (language != NULL)
        value = slice_skip(value, (size_t)(language + 1 - value.data));
    return content_field_unescape(value, '%', to);
}

struct slice
parameter_decode(const struct parameter *p, char *to)
{
    struct slice value = p->value;
    size_t n = 0;

    if (p->is_extended)
        return decode_extended(value, to);
    for (size_t i = 0; i < value.bytes; i++) {
        bool is_escape = p->is_quoted && value.data[i] == '\\' && i + 1 < value.bytes &&
                         (value.data[i + 1] == '"' || value.data[i + 1] == '\\');

        to[n++] = value.data[is_escape ? ++i : i];
    }
    return slice_make(to, n);
}

/* ---- media types */

bool
content_type_is(struct slice essence, struct slice pattern)
{
    if (slice_equal(pattern, SLICE("*")) || slice_equal(pattern, SLICE("*/*")))
        return true;
    if (pattern.bytes > 2 && pattern.data[pattern.bytes - 1] == '*') /* "image/" and more */
        return essence.bytes >= pattern.bytes &&
               slice_equal_nocase(slice_make(essence.data, pattern.bytes - 1),
                                  slice_make(pattern.data, pattern.bytes - 1));
    if (slice_starts_with(pattern, SLICE("*")))
        return essence.bytes >= pattern.bytes &&
               slice_equal_nocase(slice_skip(essence, essence.bytes - (pattern.bytes - 1)),
                                  slice_skip(pattern, 1));
    return slice_equal_nocase(essence, pattern);
}

bool
content_type_pattern_is_valid(struct slice pattern)
{
    struct slice rest = pattern, type, subtype;

    if (slice_equal(pattern, SLICE("*")))
        return true;
    type = take_token(&rest);
    if (slice_find(type, '*') == 0 && rest.bytes == 0) /* "*+json" */
        return type.bytes > 2 && type.data[1] == '+' &&
               slice_find(slice_skip(type, 1), '*') < 0;
    if (!slice_take_char(&rest, '/'))
        return false;
    subtype = take_token(&rest);
    if (type.bytes == 0 || subtype.bytes == 0 || rest.bytes > 0)
        return false;
    if (slice_equal(type, SLICE("*")))
        return slice_equal(subtype, SLICE("*"));
    return slice_find(type, '*') < 0 &&
           (slice_equal(subtype, SLICE("*")) || slice_find(subtype, '*') < 0);
}

/* ---- extensions */

struct slice
file_extension(struct slice name)
{
    size_t end = name.bytes, start;

    while (end > 0 && (name.data[end - 1] == '.' || name.data[end - 1] == ' '))
        end--;
    start = end;
    while (start > 0 && name.data[start - 1] != '.' && name.data[start - 1] != '/' &&
           name.data[start - 1] != '\\')
        start--;
    if (start == 0 || name.data[start - 1] != '.')
        return slice_make(NULL, 0);
    for (size_t i = start; i < end; i++)
        if (name.data[i] == ';' || name.data[i] == ':' || name.data[i] == '\0')
            end = i;
    while (end > start && name.data[end - 1] == ' ')
        end--;
    return slice_make(name.data + start, end - start);
}
