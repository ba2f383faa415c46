/* SPDX-License-Identifier: BSD-2-Clause */
/* fetch_deliver.c - what becomes of the answer to a fetch.
 *
 *     304                      the stored object, freshened
 *     206, of what was asked   the whole, with the part that was there; a slice, and with
 *                              the first of them the head of all
 *     storable                 an object that grows
 *     otherwise                the first reader's alone
 *
 * A 206 that cannot be used is nobody's answer, since nobody asked for just that:
 * who waits goes upstream alone. When a slice turns out to be of another
 * representation than the others, all of them are forgotten.
 */
#include "config.h"

#include "modes/fetch_inside.h"

#include "cache/cache_conf.h"
#include "cache/update.h"
#include "modes/keep.h"
#include "modes/slices.h"

static enum step
fail(struct exchange *ex)
{
    return solo_end(ex, false);
}

/* Where the answer is stored without its cookies, who asked gets them still. */
static void
pass_cookies(const struct fetch *fetch)
{
    const struct fields *from = &fetch->solo.ex->response.fields;
    const struct field *field = NULL;
    struct cached *to = fetch->asker;

    while (to != NULL && (field = fields_next(from, FIELD_SET_COOKIE, field)) != NULL)
        fields_add(&to->cookies, &to->ex->arena, FIELD_SET_COOKIE,
                   solo_copy(to->ex, field->value));
}

/* What came is of no use: who waits goes upstream alone. */
static enum step
send_away(struct exchange *ex)
{
    struct fetch *fetch = fetch_of(ex);
    struct object *object = keep_private(ex);

    if (fetch->asker != NULL)
        fetch->asker->goes_alone = true;
    if (object != NULL)
        fill_set_private(fetch->fill, object, 0);
    object_unref(object);
    return fail(ex);
}

/* 304: what is stored is good still. */
static enum step
freshen(struct exchange *ex)
{
    struct fetch *fetch = fetch_of(ex);
    struct object *object;

    if (!update_selects(&fetch->validate->fields, &ex->response.fields)) {
        store_forget(fetch->cached.store, fetch->validate->hash, fetch->validate->key);
        return send_away(ex);
    }
    object = keep_freshened(ex, &fetch->cached, fetch->validate, fetch->seq, fetch->request_s);
    if (object == NULL)
        object = object_ref(fetch->validate); /* good for those who wait, at least */
    counter_up(ex->worker->counters, cache_validated);
    fill_set_whole(fetch->fill, object);
    object_unref(object);
    return solo_end(ex, true);
}

/* Not an answer worth replacing a stale one by. */
static bool
is_server_failure(unsigned status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

static bool
may_be_stale(const struct fetch *fetch)
{
    static const struct directives none;

    return fetch->validate != NULL &&
           lifetime_staleness(&fetch->validate->life, &none, &fetch->cached.conf->life,
                              cached_now(fetch->solo.ex)) != STALE;
}

static enum step
keep_to_the_first(struct exchange *ex)
{
    struct fetch *fetch = fetch_of(ex);
    struct object *object = keep_private(ex);

    if (object == NULL)
        return fail(ex);
    object->body_bytes = ex->response.has_body ? ex->response.length : 0;
    store_pass(fetch->cached.store, fetch->cached.place_hash, cached_now(ex));
    fill_set_private(fetch->fill, object, object->body_bytes);
    object_unref(object);
    return solo_pour(ex);
}

static enum step
fill_object_of(struct exchange *ex, const struct keep *keep)
{
    struct fetch *fetch = fetch_of(ex);
    uint64_t length = ex->response.has_body ? ex->response.length : 0;
    uint64_t room = length <= fetch->cached.conf->store->memory_object_bytes ? length : 0;
    struct object *object;

    if (!store_reserve(fetch->cached.store, room)) {
        counter_up(ex->worker->counters, limits_hit);
        return keep_to_the_first(ex);
    }
    fetch->reserved_bytes = room;
    object = keep_object(keep, ex, fetch->seq, room);
    if (object == NULL)
        return keep_to_the_first(ex);
    object->body_bytes = length;
    fill_set_object(fetch->fill, object, length);
    object_unref(object);
    return solo_pour(ex);
}

/* What is known to be longer than the store takes. */
static bool
is_too_long(const struct exchange *ex)
{
    return ex->response.has_body && ex->response.length != LENGTH_UNKNOWN &&
           ex->response.length > fetch_of(ex)->cached.conf->store->object_bytes;
}

/* ---- an answer with all of the content, or none */

static enum step
deliver_whole(struct exchange *ex)
{
    static const struct failure refused = { END_UPSTREAM_FAILED, 502, "http_response_incomplete",
                                            "the origin answered with an error" };
    struct fetch *fetch = fetch_of(ex);
    struct keep keep;

    if (ex->response.status == 304 && fetch->validate != NULL)
        return freshen(ex);
    if (is_server_failure(ex->response.status) && may_be_stale(fetch)) {
        ex->failure = refused;
        ex->failure.status = ex->response.status;
        return fail(ex);
    }
    fetch_tell_asker(fetch);
    keep_judge(&keep, ex, &fetch->cached, fetch->request_s);
    if (keep.verdict != STORABLE || ex->response.status == 206 || is_too_long(ex))
        return keep_to_the_first(ex);
    return fill_object_of(ex, &keep);
}

/* ---- parts */

/* It is not to be had in parts: for a while nobody tries. */
static enum step
leave_alone(struct exchange *ex)
{
    struct fetch *fetch = fetch_of(ex);

    store_pass(fetch->cached.store, slices_passed_hash(fetch->cached.place_hash),
               cached_now(ex));
    return send_away(ex);
}

/* What came for a part, as the whole would have come. */
static void
make_whole(struct exchange *ex, uint64_t bytes)
{
    ex->response.status = 200;
    ex->response.length = bytes;
    part_forget_range(&ex->response.fields);
}

/* What was missing. */
static enum step
deliver_rest(struct exchange *ex)
{
    struct fetch *fetch = fetch_of(ex);
    struct response *response = &ex->response;
    struct part have, rest;
    struct byte_range missing;
    struct fields *fields;

    if (!part_of_object(&have, fetch->of) || !part_missing(&have, &missing) ||
        !part_of_response(&rest, &response->fields, response->length) ||
        !part_is(&rest, missing, &have))
        return leave_alone(ex);
    fields = fields_copy(&fetch->of->fields, &ex->arena);
    if (fields == NULL)
        return fail(ex);
    update_fields(fields, &ex->arena, &response->fields);
    response->fields = *fields;
    make_whole(ex, have.whole_bytes);
    part_source_init(&fetch->rest, fetch->of, response->body);
    response->body = &fetch->rest.source;
    return deliver_whole(ex);
}

static enum step
fill_slice(struct exchange *ex)
{
    struct fetch *fetch = fetch_of(ex);
    struct object *object = part_new_slice(fetch->of, fetch->slice, fetch->cached.place,
                                           fetch->cached.place_hash, fetch->seq);

    if (object == NULL)
        return fail(ex);
    fill_set_object(fetch->fill, object, object->body_bytes);
    object_unref(object);
    return solo_pour(ex);
}

/* The object behind which slices of so many bytes are; counted. */
static struct object *
make_head(struct exchange *ex, const struct keep *keep, uint64_t whole_bytes)
{
    struct fetch *fetch = fetch_of(ex);
    struct object *whole = keep_object(keep, ex, fetch->seq, 0);
    struct object *object;
    struct object_head head;

    if (whole == NULL)
        return NULL;
    object_head_of(whole, &head);
    head.kind = OBJECT_SLICES;
    head.generation = store_new_generation(fetch->cached.store);
    head.whole_bytes = whole_bytes;
    head.slice_bytes = (uint32_t)fetch->cached.conf->slice_bytes;
    object = object_new(&head, 0);
    object_unref(whole);
    return object;
}

/* The fill becomes the head, which is whole; another one takes the content. */
static enum step
begin_slices(struct exchange *ex, struct object *head)
{
    struct fetch *fetch = fetch_of(ex);
    struct fill *fill = fetch->fill;

    fetch->kind = FETCH_SLICE;
    fetch->of = head;
    if (!fetch_make_fill(fetch, true)) {
        fetch->of = NULL;
        object_unref(head);
        return fail(ex);
    }
    fill_set_head(fill, head);
    fetch_store(fetch->cached.store, fill);
    return fill_slice(ex);
}

static bool
is_asked_slice(const struct fetch *fetch, const struct part *part)
{
    struct byte_range range;

    if (part->range.first != fetch->slice * fetch->cached.conf->slice_bytes)
        return false;
    range = byte_range_of_slice(fetch->slice, fetch->cached.conf->slice_bytes, part->whole_bytes);
    return part->range.last == range.last;
}

static enum step
deliver_slices(struct exchange *ex)
{
    struct fetch *fetch = fetch_of(ex);
    struct object *head;
    struct part part;
    struct keep keep;

    if (!part_of_response(&part, &ex->response.fields, ex->response.length) ||
        !is_asked_slice(fetch, &part))
        return leave_alone(ex);
    make_whole(ex, part.whole_bytes);
    if (byte_range_bytes(part.range) == part.whole_bytes)
        return deliver_whole(ex); /* one slice is all there is */
    fetch_tell_asker(fetch);
    keep_judge(&keep, ex, &fetch->cached, fetch->request_s);
    head = keep.verdict == STORABLE ? make_head(ex, &keep, part.whole_bytes) : NULL;
    return head != NULL ? begin_slices(ex, head) : leave_alone(ex);
}

/* Whether it says that what the slices were of is no more. */
static bool
is_another(unsigned status)
{
    return status < 400 || status == 404 || status == 410 || status == 412 || status == 416;
}

static enum step
deliver_slice(struct exchange *ex)
{
    static const struct failure changed = { END_UPSTREAM_FAILED, 502, "http_response_incomplete",
                                            "the origin's answer is not the next part" };
    struct fetch *fetch = fetch_of(ex);
    struct part want = part_of_slice(fetch->of, fetch->slice), part;
    unsigned status = ex->response.status;
    struct keep keep;

    fetch_tell_asker(fetch);
    if (status == 206 &&
        part_of_response(&part, &ex->response.fields, ex->response.length) &&
        part_is(&part, want.range, &want)) {
        keep_judge(&keep, ex, &fetch->cached, fetch->request_s);
        if (keep.verdict == STORABLE)
            return fill_slice(ex);
    }
    if (is_another(status))
        store_forget(fetch->cached.store, fetch->of->hash, fetch->of->key);
    ex->failure = changed;
    return fail(ex);
}

enum step
fetch_deliver(struct exchange *ex)
{
    struct fetch *fetch = fetch_of(ex);
    bool is_part = ex->response.status == 206;

    if (ex->up == NULL) /* an answer of our own: it could not be had */
        return fail(ex);
    pass_cookies(fetch);
    switch (fetch->kind) {
    case FETCH_WHOLE:
        return deliver_whole(ex);
    case FETCH_REST:
        return is_part ? deliver_rest(ex) : deliver_whole(ex);
    case FETCH_SLICES:
        return is_part ? deliver_slices(ex) : deliver_whole(ex);
    case FETCH_SLICE:
        return deliver_slice(ex);
    }
    return fail(ex);
}
