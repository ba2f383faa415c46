/* SPDX-License-Identifier: BSD-2-Clause */
/* validate.c - entity tags and dates, compared as RFC 9110 section 13 says. */
#include "config.h"

#include "cache/validate.h"

#include "server/http/date.h"

/* ---- entity tags */

/* etagc: visible but the quotation mark, and obs-text. A backslash is a byte like
 * any other. */
static bool
is_etagc(char c)
{
    unsigned char u = (unsigned char)c;

    return u > 0x20 && u != '"' && u != 0x7f;
}

/* Takes an entity tag off the text. */
static bool
take_etag(struct slice *text, struct etag *etag)
{
    size_t at = 0, start;

    etag->is_weak = slice_starts_with(*text, SLICE("W/"));
    if (etag->is_weak)
        at = 2;
    if (at >= text->bytes || text->data[at] != '"')
        return false;
    start = ++at;
    while (at < text->bytes && is_etagc(text->data[at]))
        at++;
    if (at == text->bytes || text->data[at] != '"')
        return false;
    etag->opaque = slice_make(text->data + start, at - start);
    *text = slice_skip(*text, at + 1);
    return true;
}

bool
etag_parse(struct slice text, struct etag *etag)
{
    text = slice_trim(text);
    return take_etag(&text, etag) && text.bytes == 0;
}

bool
validate_etag_strong_equal(struct slice a, struct slice b)
{
    struct etag x, y;

    return etag_parse(a, &x) && etag_parse(b, &y) && !x.is_weak && !y.is_weak &&
           slice_equal(x.opaque, y.opaque);
}

bool
validate_etag_weak_equal(struct slice a, struct slice b)
{
    struct etag x, y;

    return etag_parse(a, &x) && etag_parse(b, &y) && slice_equal(x.opaque, y.opaque);
}

/* The response's ETag, read; the line, or NULL. */
static const struct field *
find_etag(const struct fields *response, struct etag *etag)
{
    const struct field *line = fields_find(response, FIELD_ETAG);

    if (line == NULL || fields_next(response, FIELD_ETAG, line) != NULL ||
        !etag_parse(line->value, etag))
        return NULL;
    return line;
}

struct slice
validate_etag(const struct fields *response)
{
    struct etag etag;
    const struct field *line = find_etag(response, &etag);

    return line != NULL ? line->value : slice_make(NULL, 0);
}

/* Whether a list (RFC 9110 section 5.6.1) of entity tags has one that compares
 * equal. What follows a mistake is not looked at: to send content once too often
 * is safe. */
static bool
list_has(struct slice list, const struct etag *stored, bool is_strong)
{
    struct etag etag;

    for (;;) {
        while (list.bytes > 0 && (list.data[0] == ',' || list.data[0] == ' ' ||
                                  list.data[0] == '\t'))
            list = slice_skip(list, 1);
        if (!take_etag(&list, &etag))
            return false;
        list = slice_trim(list);
        if (list.bytes > 0 && list.data[0] != ',')
            return false;
        if (slice_equal(etag.opaque, stored->opaque) &&
            !(is_strong && (etag.is_weak || stored->is_weak)))
            return true;
    }
}

/* Whether a line of If-Match or If-None-Match names the stored response; "*"
 * names any. */
static bool
names_stored(const struct fields *request, enum field_id id, const struct fields *stored,
             bool is_strong)
{
    const struct field *line = NULL;
    struct etag etag;
    bool has_etag = find_etag(stored, &etag) != NULL;

    while ((line = fields_next(request, id, line)) != NULL)
        if (slice_equal(slice_trim(line->value), SLICE("*")) ||
            (has_etag && list_has(line->value, &etag, is_strong)))
            return true;
    return false;
}

/* ---- dates */

/* The date of a field that stands there once; two readers may take different
 * lines. */
static bool
date_of(const struct fields *fields, enum field_id id, int64_t now_s, int64_t *seconds)
{
    const struct field *line = fields_find(fields, id);

    return line != NULL && fields_next(fields, id, line) == NULL &&
           date_parse(line->value, now_s, seconds);
}

/* When the stored response was changed: Last-Modified, else Date, else when it
 * came (RFC 9111 section 4.3.2). */
static int64_t
modified_at(const struct validate_stored *stored, int64_t now_s)
{
    int64_t seconds;

    if (date_of(stored->fields, FIELD_LAST_MODIFIED, now_s, &seconds) ||
        date_of(stored->fields, FIELD_DATE, now_s, &seconds))
        return seconds;
    return stored->response_s;
}

/* RFC 9110 section 8.8.2.2: nothing can have changed twice within the second. */
static bool
is_date_strong(const struct fields *response, int64_t now_s, int64_t *modified_s)
{
    int64_t date_s;

    return date_of(response, FIELD_LAST_MODIFIED, now_s, modified_s) &&
           date_of(response, FIELD_DATE, now_s, &date_s) && *modified_s < date_s;
}

bool
validate_is_strong(const struct fields *response, int64_t now_s)
{
    int64_t modified_s;
    struct etag etag;

    if (find_etag(response, &etag) != NULL)
        return !etag.is_weak;
    return is_date_strong(response, now_s, &modified_s);
}

/* ---- received conditions */

/* Section 13.1.1 or, without If-Match, 13.1.4. A date that cannot be read is no
 * condition; without Last-Modified nobody here can tell. */
static bool
holds_for_origin(const struct fields *request, const struct validate_stored *stored,
                 int64_t now_s)
{
    int64_t limit_s, modified_s;

    if (fields_find(request, FIELD_IF_MATCH) != NULL)
        return names_stored(request, FIELD_IF_MATCH, stored->fields, true);
    if (!date_of(request, FIELD_IF_UNMODIFIED_SINCE, now_s, &limit_s))
        return true;
    return date_of(stored->fields, FIELD_LAST_MODIFIED, now_s, &modified_s) &&
           modified_s <= limit_s;
}

/* Section 13.1.2 or, without If-None-Match, 13.1.3. */
static bool
is_known(const struct fields *request, const struct validate_stored *stored, int64_t now_s)
{
    int64_t since_s;

    if (fields_find(request, FIELD_IF_NONE_MATCH) != NULL)
        return names_stored(request, FIELD_IF_NONE_MATCH, stored->fields, false);
    return date_of(request, FIELD_IF_MODIFIED_SINCE, now_s, &since_s) &&
           modified_at(stored, now_s) <= since_s;
}

enum validate_result
validate_request(const struct fields *request, const struct validate_stored *stored,
                 int64_t now_s)
{
    if (stored->status < 200 || stored->status > 299)
        return VALIDATE_PASS;
    if (!holds_for_origin(request, stored, now_s))
        return VALIDATE_ASK;
    return is_known(request, stored, now_s) ? VALIDATE_NOT_MODIFIED : VALIDATE_PASS;
}

bool
validate_range_applies(const struct fields *request, const struct fields *stored, int64_t now_s)
{
    const struct field *line = fields_find(request, FIELD_IF_RANGE);
    int64_t wanted_s, modified_s;
    struct etag etag;

    if (line == NULL)
        return true;
    if (fields_next(request, FIELD_IF_RANGE, line) != NULL)
        return false;
    if (etag_parse(line->value, &etag))
        return validate_etag_strong_equal(line->value, validate_etag(stored));
    return date_parse(line->value, now_s, &wanted_s) &&
           is_date_strong(stored, now_s, &modified_s) && wanted_s == modified_s;
}

/* ---- conditions sent */

static bool
is_condition(const struct field *field, void *arg)
{
    (void)arg;
    switch (field->id) {
    case FIELD_IF_MATCH:
    case FIELD_IF_NONE_MATCH:
    case FIELD_IF_MODIFIED_SINCE:
    case FIELD_IF_UNMODIFIED_SINCE:
    case FIELD_IF_RANGE:
        return true;
    }
    return false;
}

void
validate_remove_conditions(struct fields *request)
{
    fields_remove_if(request, is_condition, NULL);
}

bool
validate_add_conditions(struct fields *request, struct arena *arena, const struct fields *stored,
                        int64_t now_s)
{
    struct slice etag = validate_etag(stored);
    int64_t modified_s;
    bool has_date = date_of(stored, FIELD_LAST_MODIFIED, now_s, &modified_s);

    validate_remove_conditions(request);
    if (etag.data != NULL)
        fields_add(request, arena, FIELD_IF_NONE_MATCH, etag);
    if (has_date)
        fields_add(request, arena, FIELD_IF_MODIFIED_SINCE,
                   fields_get(stored, FIELD_LAST_MODIFIED));
    return etag.data != NULL || has_date;
}
