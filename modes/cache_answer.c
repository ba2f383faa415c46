/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_answer.c - responses made of stored objects.
 *
 * Fields are the stored ones, copied as a list (names and values stay in the
 * object, which the exchange holds), with Age and Cache-Status behind them.
 */
#include "config.h"

#include "modes/cache_answer.h"

#include "cache/validate.h"
#include "modes/slices.h"
#include "server/http/via.h"

#define FIELDS_MORE 6 /* that are added here and by filters, as a rule */

/* ---- fields */

static bool
copy_fields(struct exchange *ex, const struct object *object)
{
    struct fields *fields = &ex->response.fields;
    uint32_t room = object->fields.count + FIELDS_MORE;
    struct field *items = arena_alloc(&ex->arena, room * sizeof(*items));

    if (items == NULL)
        return false;
    *fields = object->fields;
    fields->items = items;
    fields->room = room;
    if (fields->count > 0)
        memcpy(items, object->fields.items, fields->count * sizeof(*items));
    return true;
}

static struct slice
number(struct exchange *ex, uint64_t n)
{
    char digits[20], *at = digits + sizeof(digits);

    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return arena_copy(&ex->arena, slice_make(at, (size_t)(digits + sizeof(digits) - at)));
}

void
cache_answer_status(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    if (cached->is_told)
        return;
    cached->is_told = true;
    if (cached->conf->sends_status)
        fields_add(&ex->response.fields, &ex->arena, FIELD_CACHE_STATUS,
                   cache_status_text(&ex->arena, &cached->outcome));
}

static void
count(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    if (cached->is_counted)
        return;
    cached->is_counted = true;
    if (cached->outcome.forward == CACHE_FORWARD_NONE)
        counter_up(ex->worker->counters, cache_hits);
}

/* What every answer from an object has. */
static void
add_fields(struct exchange *ex, const struct object *object)
{
    struct cached *cached = ex->cached;
    int64_t now = cached_now(ex);
    uint32_t age = lifetime_age(&object->life, now);

    if (cached->outcome.forward == CACHE_FORWARD_NONE || age > 0)
        fields_add(&ex->response.fields, &ex->arena, FIELD_AGE, number(ex, age));
    cached->outcome.has_ttl = true;
    cached->outcome.ttl_s = lifetime_left(&object->life, now);
    if (ex->listener->mode->adds_via)
        fields_add(&ex->response.fields, &ex->arena, FIELD_VIA, via_value("HTTP/1.1", 1));
}

static void
begin(struct exchange *ex, unsigned status)
{
    ex->response = (struct response){ .status = (uint16_t)status, .minor_version = 1 };
    ex->is_answered = true;
    ex->is_tunnel = false;
    ex->end = END_DONE;
    ex->failure = (struct failure){ .reason = END_DONE };
}

/* ---- 304, 206, 416 */

/* RFC 9110 section 15.4.5: what describes content that is not sent stays out. */
static bool
is_of_content(const struct field *field, void *arg)
{
    bool has_etag = *(const bool *)arg;

    switch (field->id) {
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_TYPE:
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_LANGUAGE:
    case FIELD_CONTENT_RANGE:
        return true;
    case FIELD_LAST_MODIFIED:
        return has_etag;
    }
    return false;
}

static void
make_not_modified(struct exchange *ex)
{
    bool has_etag = fields_has(&ex->response.fields, FIELD_ETAG);

    ex->response.status = 304;
    fields_remove_if(&ex->response.fields, is_of_content, &has_etag);
}

enum range_result
cache_answer_range(const struct exchange *ex, const struct object *object, uint64_t whole_bytes,
                   struct byte_range *range)
{
    const struct fields *request = &ex->request.fields;
    const struct field *field = fields_find(request, FIELD_RANGE);

    if (!ex->cached->wants_range || object->status / 100 != 2 ||
        fields_next(request, FIELD_RANGE, field) != NULL ||
        !validate_range_applies(request, &object->fields, cached_now(ex)))
        return RANGE_IGNORE;
    return byte_range_parse(field->value, whole_bytes, range);
}

static void
make_partial(struct exchange *ex, struct byte_range range, uint64_t whole_bytes)
{
    char text[CONTENT_RANGE_BYTES];
    struct slice value = content_range_format(text, range, whole_bytes);

    ex->response.status = 206;
    fields_set(&ex->response.fields, &ex->arena, FIELD_CONTENT_RANGE,
               arena_copy(&ex->arena, value));
    fields_remove(&ex->response.fields, FIELD_CONTENT_LENGTH);
}

static void
make_unsatisfiable(struct exchange *ex, uint64_t whole_bytes)
{
    char text[CONTENT_RANGE_BYTES];
    struct slice value = content_range_unsatisfied(text, whole_bytes);

    exchange_answer_with(ex, 416, END_DONE, NULL, slice_make(NULL, 0));
    fields_set(&ex->response.fields, &ex->arena, FIELD_CONTENT_RANGE,
               arena_copy(&ex->arena, value));
}

bool
cache_answer_sends(const struct exchange *ex, const struct object *object,
                   struct byte_range *range)
{
    struct validate_stored stored = { &object->fields, object->status, object->life.response_s };

    if (ex->request.method == METHOD_HEAD ||
        validate_request(&ex->request.fields, &stored, cached_now(ex)) != VALIDATE_PASS)
        return false;
    switch (cache_answer_range(ex, object, object->whole_bytes, range)) {
    case RANGE_UNSATISFIABLE:
        return false;
    case RANGE_ONE:
        return true;
    case RANGE_IGNORE:
        break;
    }
    *range = (struct byte_range){ 0, object->whole_bytes - 1 };
    return true;
}

/* ---- the whole */

static uint64_t
whole_bytes(const struct object *object)
{
    return object->kind == OBJECT_RESPONSE ? object->body_bytes : object->whole_bytes;
}

/* RFC 9110 section 9.3.2: HEAD is told what GET would have been given. */
static void
tell_length(struct exchange *ex, const struct object *object)
{
    if (whole_bytes(object) != LENGTH_UNKNOWN && ex->response.status == 200 &&
        !fields_has(&ex->response.fields, FIELD_CONTENT_LENGTH))
        fields_add(&ex->response.fields, &ex->arena, FIELD_CONTENT_LENGTH,
                   number(ex, whole_bytes(object)));
}

/* Content [first, end) of the object, or of its slices. */
static void
attach(struct exchange *ex, struct object *object, uint64_t first, uint64_t end)
{
    struct cached *cached = ex->cached;

    ex->response.length = end - first;
    ex->response.has_body = end > first;
    if (object->kind == OBJECT_SLICES) {
        if (cached->slices != NULL) /* not for HEAD */
            ex->response.body = slices_source(cached->slices, first, end);
        return;
    }
    object_source_init(&cached->content, object, store_disk(cached->store), ex->worker, first, end);
    ex->response.body = end > first ? &cached->content.source : NULL;
}

bool
cache_answer(struct exchange *ex, struct object *object)
{
    struct validate_stored stored = { &object->fields, object->status, object->life.response_s };
    uint64_t whole = whole_bytes(object);
    enum validate_result result = validate_request(&ex->request.fields, &stored, cached_now(ex));
    struct byte_range range;

    if (result == VALIDATE_ASK)
        return false;
    count(ex);
    begin(ex, object->status);
    if (!copy_fields(ex, object))
        return false;
    if (object != ex->cached->object) {
        object_unref(ex->cached->object);
        ex->cached->object = object_ref(object);
    }
    add_fields(ex, object);
    if (result == VALIDATE_NOT_MODIFIED) {
        make_not_modified(ex);
        return true;
    }
    switch (cache_answer_range(ex, object, whole, &range)) {
    case RANGE_UNSATISFIABLE:
        make_unsatisfiable(ex, whole);
        return true;
    case RANGE_ONE:
        make_partial(ex, range, whole);
        attach(ex, object, range.first - object->first_byte, range.last + 1 - object->first_byte);
        return true;
    case RANGE_IGNORE:
        break;
    }
    attach(ex, object, 0, object->kind == OBJECT_SLICES ? whole : object->body_bytes);
    if (ex->request.method == METHOD_HEAD)
        tell_length(ex, object);
    return true;
}

/* A range of it, when its length is known. False: it is sent as it comes. */
static bool
grows_in_range(struct exchange *ex, const struct object *object, uint64_t length)
{
    struct byte_range range;

    if (object->status != 200)
        return false;
    switch (cache_answer_range(ex, object, length, &range)) {
    case RANGE_UNSATISFIABLE:
        make_unsatisfiable(ex, length);
        return true;
    case RANGE_ONE:
        make_partial(ex, range, length);
        fill_reader_set_range(&ex->cached->reader, range.first, range.last + 1);
        ex->response.length = byte_range_bytes(range);
        ex->response.has_body = true;
        ex->response.body = &ex->cached->reader.source;
        return true;
    case RANGE_IGNORE:
        break;
    }
    return false;
}

void
cache_answer_growing(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    struct fill *fill = cached->reader.fill;
    const struct object *object = fill_object(fill);
    struct validate_stored stored = { &object->fields, object->status, object->life.response_s };
    uint64_t length = fill_length(fill);

    begin(ex, object->status);
    if (!copy_fields(ex, object))
        return;
    cached->outcome.forward_status = 0;
    if (cached->outcome.is_stored) {
        cached->outcome.has_ttl = true;
        cached->outcome.ttl_s = lifetime_left(&object->life, cached_now(ex));
    }
    if (object->life.initial_age_s > 0)
        fields_add(&ex->response.fields, &ex->arena, FIELD_AGE,
                   number(ex, lifetime_age(&object->life, cached_now(ex))));
    if (ex->listener->mode->adds_via)
        fields_add(&ex->response.fields, &ex->arena, FIELD_VIA, via_value("HTTP/1.1", 1));
    if (validate_request(&ex->request.fields, &stored, cached_now(ex)) == VALIDATE_NOT_MODIFIED) {
        make_not_modified(ex);
        return;
    }
    if (grows_in_range(ex, object, length))
        return;
    ex->response.length = length;
    ex->response.has_body = length > 0;
    ex->response.body = length > 0 ? &cached->reader.source : NULL;
}
