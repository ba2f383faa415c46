/* SPDX-License-Identifier: BSD-2-Clause */
/* coding.c - names and wishes are read; fields of changed content are put right. */
#include "config.h"

#include "filters/coding.h"

#include "server/http/scan.h"

static const struct slice names[CODING_COUNT] = {
    [CODING_IDENTITY] = SLICE_INIT("identity"),
    [CODING_GZIP] = SLICE_INIT("gzip"),
    [CODING_DEFLATE] = SLICE_INIT("deflate"),
    [CODING_BR] = SLICE_INIT("br"),
    [CODING_ZSTD] = SLICE_INIT("zstd"),
    [CODING_UNKNOWN] = SLICE_INIT("?"),
};

struct slice
coding_name(enum coding coding)
{
    return names[coding];
}

enum coding
coding_of(struct slice name)
{
    for (enum coding coding = CODING_IDENTITY; coding < CODING_UNKNOWN; coding++)
        if (slice_equal_nocase(name, names[coding]))
            return coding;
    /* RFC 9110 section 8.4.1.3 */
    return slice_equal_nocase(name, SLICE("x-gzip")) ? CODING_GZIP : CODING_UNKNOWN;
}

static bool
can(enum coding coding)
{
    switch (coding) {
    case CODING_IDENTITY:
    case CODING_GZIP:
    case CODING_DEFLATE:
        return true;
    case CODING_BR:
#ifdef HAVE_BROTLI
        return true;
#else
        return false;
#endif
    case CODING_ZSTD:
#ifdef HAVE_ZSTD
        return true;
#else
        return false;
#endif
    case CODING_UNKNOWN:
    case CODING_COUNT:
        break;
    }
    return false;
}

bool
coding_can_decode(enum coding coding)
{
    return can(coding);
}

/* Nobody is sent deflate: recipients disagree on what it is, and gzip is the same. */
bool
coding_can_encode(enum coding coding)
{
    return coding != CODING_DEFLATE && can(coding);
}

/* ---- what content is coded with */

bool
codings_read(const struct fields *fields, struct codings *codings)
{
    const struct field *line = NULL;
    struct slice element;

    codings->count = 0;
    if (!fields_has(fields, FIELD_CONTENT_ENCODING))
        return true;
    while ((line = fields_next(fields, FIELD_CONTENT_ENCODING, line)) != NULL) {
        struct slice list = line->value;

        while (slice_next_element(&list, &element)) {
            enum coding coding = coding_of(element);

            if (coding == CODING_IDENTITY)
                continue;
            if (codings->count == CODINGS_MAX)
                return false;
            codings->items[codings->count++] = coding;
        }
    }
    return true;
}

bool
codings_can_decode(const struct codings *codings)
{
    for (unsigned i = 0; i < codings->count; i++)
        if (!coding_can_decode(codings->items[i]))
            return false;
    return true;
}

/* ---- what a recipient accepts */

/* qvalue (RFC 9110 section 12.4.2) in thousandths: "0.5", "1", "1.000". */
static bool
parse_weight(struct slice s, uint16_t *weight)
{
    unsigned unit = 100, sum;

    if (s.bytes == 0 || s.bytes > 5 || (s.data[0] != '0' && s.data[0] != '1') ||
        (s.bytes > 1 && s.data[1] != '.'))
        return false;
    sum = s.data[0] == '1' ? 1000 : 0;
    for (size_t i = 2; i < s.bytes; i++, unit /= 10) {
        if (!ascii_is_digit(s.data[i]))
            return false;
        sum += (unsigned)(s.data[i] - '0') * unit;
    }
    *weight = (uint16_t)sum;
    return sum <= 1000;
}

/* codings [ OWS ";" OWS "q=" qvalue ] */
static bool
parse_wish(struct slice element, struct slice *name, uint16_t *weight)
{
    const char *end = element.data + element.bytes;
    const char *at = scan_token(element.data, end);
    struct slice rest = slice_trim(slice_make(at, (size_t)(end - at)));

    *name = slice_make(element.data, (size_t)(at - element.data));
    *weight = 1000;
    if (rest.bytes == 0 || name->bytes == 0)
        return name->bytes > 0;
    if (!slice_take_char(&rest, ';'))
        return false;
    rest = slice_trim(rest);
    if (rest.bytes < 2 || ascii_lower(rest.data[0]) != 'q' || rest.data[1] != '=')
        return false;
    return parse_weight(slice_skip(rest, 2), weight);
}

struct reading {
    struct coding_wishes *wishes;
    uint16_t any; /* of "*" */
};

static void
read_wish(struct reading *reading, struct slice element)
{
    struct slice name;
    enum coding coding;
    uint16_t weight;

    if (!parse_wish(element, &name, &weight))
        return;
    coding = coding_of(name);
    if (coding != CODING_UNKNOWN)
        reading->wishes->weight[coding] = weight;
    else if (slice_equal(name, SLICE("*")))
        reading->any = weight;
}

void
coding_wishes_read(struct coding_wishes *wishes, const struct fields *request)
{
    struct reading reading = { .wishes = wishes, .any = CODING_NOT_SAID };
    const struct field *line = NULL;
    struct slice element;

    for (unsigned i = 0; i < CODING_COUNT; i++)
        wishes->weight[i] = CODING_NOT_SAID;
    wishes->is_said = fields_has(request, FIELD_ACCEPT_ENCODING);
    while (wishes->is_said &&
           (line = fields_next(request, FIELD_ACCEPT_ENCODING, line)) != NULL) {
        struct slice list = line->value;

        while (slice_next_element(&list, &element))
            read_wish(&reading, element);
    }
    for (enum coding coding = CODING_GZIP; coding < CODING_UNKNOWN; coding++)
        if (wishes->weight[coding] == CODING_NOT_SAID)
            wishes->weight[coding] = reading.any != CODING_NOT_SAID ? reading.any : 0;
    if (wishes->weight[CODING_IDENTITY] == CODING_NOT_SAID && reading.any == 0)
        wishes->weight[CODING_IDENTITY] = 0;
    wishes->weight[CODING_UNKNOWN] = 0;
}

bool
coding_is_accepted(const struct coding_wishes *wishes, enum coding coding)
{
    return coding < CODING_UNKNOWN && wishes->weight[coding] > 0;
}

enum coding
coding_choose(const struct coding_wishes *wishes, const enum coding *order, unsigned count)
{
    enum coding best = CODING_IDENTITY;
    unsigned weight = 0;

    for (unsigned i = 0; i < count; i++)
        if (order[i] != CODING_IDENTITY && coding_is_accepted(wishes, order[i]) &&
            wishes->weight[order[i]] > weight) {
            best = order[i];
            weight = wishes->weight[best];
        }
    if (wishes->weight[CODING_IDENTITY] != CODING_NOT_SAID &&
        wishes->weight[CODING_IDENTITY] > weight)
        return CODING_IDENTITY;
    return best;
}

/* ---- fields of content that is changed */

static bool
is_part(const struct fields *fields)
{
    return fields_has(fields, FIELD_CONTENT_RANGE) &&
           fields_find(fields, FIELD_CONTENT_RANGE) != NULL;
}

bool
content_forbids_transform(const struct fields *fields)
{
    const struct field *line = NULL;

    if (!fields_has(fields, FIELD_CACHE_CONTROL))
        return false;
    while ((line = fields_next(fields, FIELD_CACHE_CONTROL, line)) != NULL)
        if (slice_list_has(line->value, SLICE("no-transform")))
            return true;
    return false;
}

bool
content_may_change_response(const struct exchange *ex)
{
    return ex->response.status != 206 && !is_part(&ex->response.fields) &&
           !content_forbids_transform(&ex->response.fields) &&
           !content_forbids_transform(&ex->request.fields);
}

bool
content_may_change_request(const struct exchange *ex)
{
    return !is_part(&ex->request.fields) && !content_forbids_transform(&ex->request.fields);
}

/* RFC 9530, and RFC 3230 and 2616 before it. */
static bool
is_digest(const struct field *field, void *arg)
{
    static const struct slice digests[] = {
        SLICE_INIT("Content-Digest"), SLICE_INIT("Content-MD5"), SLICE_INIT("Digest"),
        SLICE_INIT("Repr-Digest"),
    };

    (void)arg;
    if (field->id != FIELD_OTHER)
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(digests); i++)
        if (slice_equal_nocase(field->name, digests[i]))
            return true;
    return false;
}

static void
remove_descriptions(struct fields *fields)
{
    fields_remove(fields, FIELD_CONTENT_LENGTH);
    for (uint32_t i = 0; i < fields->count; i++)
        if (is_digest(&fields->items[i], NULL)) {
            fields_remove_if(fields, is_digest, NULL);
            return;
        }
}

struct slice
content_weak_etag(struct slice etag, struct arena *arena)
{
    if (etag.bytes < 2 || etag.data[0] != '"' || etag.data[etag.bytes - 1] != '"')
        return etag;
    return arena_printf(arena, "W/%.*s", SLICE_ARG(etag));
}

/* Whether If-None-Match has the strong tag's weak form, and not itself. */
static bool
asks_for_weak_form(const struct fields *request, struct slice strong)
{
    const struct field *line = NULL;
    struct slice element;
    bool has_weak = false;

    while ((line = fields_next(request, FIELD_IF_NONE_MATCH, line)) != NULL) {
        struct slice list = line->value;

        while (slice_next_element(&list, &element)) {
            if (slice_equal(element, strong))
                return false;
            has_weak |= slice_starts_with(element, SLICE("W/")) &&
                        slice_equal(slice_skip(element, 2), strong);
        }
    }
    return has_weak;
}

void
content_not_modified(struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    struct slice etag = fields_get(fields, FIELD_ETAG);

    if (etag.data != NULL && fields_has(&ex->request.fields, FIELD_IF_NONE_MATCH) &&
        asks_for_weak_form(&ex->request.fields, etag))
        fields_set(fields, &ex->arena, FIELD_ETAG, content_weak_etag(etag, &ex->arena));
}

/* The tags as strong ones. Never longer. */
static struct slice
strong_etags(struct slice list, struct arena *arena)
{
    char *start = arena_alloc(arena, list.bytes), *at = start;
    bool is_quoted = false;

    if (start == NULL)
        return list;
    for (size_t i = 0; i < list.bytes; i++) {
        if (list.data[i] == '"')
            is_quoted = !is_quoted;
        if (!is_quoted && slice_starts_with(slice_skip(list, i), SLICE("W/\"")))
            i++;
        else
            *at++ = list.data[i];
    }
    return slice_make(start, (size_t)(at - start));
}

void
content_matches_strongly(struct exchange *ex)
{
    struct fields *fields = &ex->request.fields;

    if (!fields_has(fields, FIELD_IF_MATCH))
        return;
    for (uint32_t i = 0; i < fields->count; i++)
        if (fields->items[i].id == FIELD_IF_MATCH)
            fields->items[i].value = strong_etags(fields->items[i].value, &ex->arena);
}

void
content_changes_response(struct exchange *ex)
{
    struct response *response = &ex->response;
    struct fields *fields = &response->fields;

    remove_descriptions(fields);
    fields_remove(fields, FIELD_ACCEPT_RANGES);
    if (fields_has(fields, FIELD_ETAG))
        for (uint32_t i = 0; i < fields->count; i++)
            if (fields->items[i].id == FIELD_ETAG)
                fields->items[i].value = content_weak_etag(fields->items[i].value, &ex->arena);
    if (response->body == NULL)
        return;
    response->length = LENGTH_UNKNOWN;
    response->is_chunked = true;
    response->ends_by_close = false;
}

void
content_changes_request(struct exchange *ex)
{
    remove_descriptions(&ex->request.fields);
    if (ex->request.body == NULL)
        return;
    ex->request.length = LENGTH_UNKNOWN;
    ex->request.is_chunked = true;
}

void
content_varies(struct exchange *ex, enum field_id name)
{
    struct fields *fields = &ex->response.fields;
    const struct field *line = NULL;

    if (fields_has(fields, FIELD_VARY))
        while ((line = fields_next(fields, FIELD_VARY, line)) != NULL)
            if (slice_list_has(line->value, field_name(name)) ||
                slice_list_has(line->value, SLICE("*")))
                return;
    fields_add(fields, &ex->arena, FIELD_VARY, field_name(name));
}

void
decode_response_head(struct exchange *ex)
{
    fields_remove(&ex->response.fields, FIELD_CONTENT_ENCODING);
    content_changes_response(ex);
}

void
decode_request_head(struct exchange *ex)
{
    fields_remove(&ex->request.fields, FIELD_CONTENT_ENCODING);
    content_changes_request(ex);
}
