/* SPDX-License-Identifier: BSD-2-Clause */
/* look_up_read.c - the answer from an object, from slices, or from a fill that is
 * joined, or made together with a fetch.
 */
#include "config.h"

#include "modes/look_up_inside.h"

#include "cache/cache_conf.h"
#include "modes/cache_answer.h"
#include "modes/keep.h"
#include "modes/road.h"
#include "modes/slices.h"

#define TRIES_MAX 2 /* fills that came to nothing, before a request goes alone */

/* ---- alone */

/* What goes upstream names the codings that variants are told apart by. */
static void
narrow_encoding(struct exchange *ex)
{
    struct slice encoding;

    if (!fields_has(&ex->request.fields, FIELD_ACCEPT_ENCODING))
        return;
    encoding = vary_encoding(&ex->request.fields);
    if (encoding.bytes > 0)
        fields_set(&ex->request.fields, &ex->arena, FIELD_ACCEPT_ENCODING, encoding);
    else
        fields_remove(&ex->request.fields, FIELD_ACCEPT_ENCODING);
}

enum step
look_up_alone(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    cached->state = CACHED_ALONE;
    cached->seq = store_seq(cached->store);
    cached->request_s = cached_now(ex);
    if (look_up_is_for_cache(ex)) {
        narrow_encoding(ex);
        ex->out.target = look_up_target(ex);
    }
    return STEP_NEXT;
}

/* ---- from an object */

/* Those that are not stored with the answer are for who asked for it. */
static void
add_cookies(struct exchange *ex)
{
    const struct fields *cookies = &ex->cached->cookies;
    const struct field *field = NULL;

    if (fields_has(&ex->response.fields, FIELD_SET_COOKIE))
        return;
    while ((field = fields_next(cookies, FIELD_SET_COOKIE, field)) != NULL)
        fields_add(&ex->response.fields, &ex->arena, FIELD_SET_COOKIE, field->value);
}

static enum step
answer_now(struct exchange *ex, struct object *object)
{
    if (!cache_answer(ex, object))
        return look_up_alone(ex);
    add_cookies(ex);
    ex->cached->state = CACHED_DONE;
    return STEP_ANSWER;
}

/* Nothing is promised before the first slice is there. */
enum step
look_up_read_slices(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    struct failure failure;
    bool is_joined;

    switch (slices_look(cached->slices)) {
    case SLICES_WAIT:
        return STEP_WAIT;
    case SLICES_READY:
        if (slices_is_fetched(cached->slices, &is_joined) &&
            cached->outcome.forward == CACHE_FORWARD_NONE) {
            cached->outcome.forward = CACHE_FORWARD_PARTIAL;
            cached->outcome.is_stored = true;
            cached->outcome.is_collapsed = is_joined;
        }
        return answer_now(ex, cached->object);
    case SLICES_FAILED:
        break;
    }
    failure = *slices_failure(cached->slices);
    slices_close(cached->slices);
    cached->slices = NULL;
    if (++cached->tries >= TRIES_MAX)
        return road_fail(ex, &failure);
    cached->state = CACHED_BEGIN;
    return look_up(ex);
}

enum step
look_up_answer(struct exchange *ex, struct object *object)
{
    struct cached *cached = ex->cached;
    struct byte_range range;

    if (object->kind != OBJECT_SLICES || !cache_answer_sends(ex, object, &range))
        return answer_now(ex, object);
    if (object != cached->object) {
        object_unref(cached->object);
        cached->object = object_ref(object);
    }
    cached->slices = slices_open(ex, object, range.first, range.last + 1);
    if (cached->slices == NULL)
        return look_up_alone(ex);
    cached->state = CACHED_SLICES;
    return look_up_read_slices(ex);
}

/* ---- from a fill */

static void
on_news(struct fill_reader *reader)
{
    struct cached *cached = container_of(reader, struct cached, reader);

    road_resume(cached->ex);
}

static bool
join(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    cached->outcome.is_collapsed =
        fill_join(store_fills(cached->store), cached->place_hash, cached->place, false, ex->worker,
                  &cached->reader);
    if (cached->outcome.is_collapsed)
        counter_up(ex->worker->counters, cache_collapsed);
    return cached->outcome.is_collapsed;
}

/* A fetch that ended just now has left it in memory, after it was looked for there. */
static bool
has_just_come(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    struct object *object = store_find(cached->store, cached->place_hash, cached->place);
    bool is_new = object != NULL && object != cached->object;

    object_unref(object);
    return is_new && ++cached->tries < TRIES_MAX;
}

enum step
look_up_fetch(struct exchange *ex, const struct fetch_order *order)
{
    struct cached *cached = ex->cached;
    const struct object *validate = order->validate;
    bool joins = cached->conf->collapses &&
                 (validate == NULL || !validate->life.always_validate); /* may_share() */

    if (!joins || !join(ex)) {
        if (joins && has_just_come(ex)) {
            cached->state = CACHED_BEGIN;
            return look_up(ex);
        }
        if (!fetch_start(ex, order) && (!joins || !join(ex))) /* another thread was faster */
            return look_up_alone(ex);
    }
    cached->state = CACHED_READING;
    return look_up_read_fill(ex);
}

enum step
look_up_join(struct exchange *ex)
{
    if (!ex->cached->conf->collapses || !join(ex))
        return look_up_alone(ex);
    ex->cached->state = CACHED_READING;
    return look_up_read_fill(ex);
}

static enum step
fill_failed(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    struct failure failure = *fill_failure(cached->reader.fill);
    bool was_first = cached->reader.is_first;

    if (failure.detail != NULL)
        failure.detail = arena_strdup(&ex->arena, failure.detail);
    fill_reader_leave(&cached->reader);
    if (look_up_take_stale(ex))
        return look_up_answer(ex, cached->object);
    if (was_first || ++cached->tries >= TRIES_MAX)
        return road_fail(ex, &failure);
    cached->state = CACHED_BEGIN;
    return look_up(ex);
}

/* The answer is for other values of the fields it varies on than ours. */
static bool
is_other_variant(struct exchange *ex, const struct object *object)
{
    struct cached *cached = ex->cached;
    struct slice mine;

    if ((object->vary.bytes == 0 && !cached->conf->device) || cached->reader.is_first)
        return false;
    mine = keep_variant_key(&ex->arena, cached, object->vary,
                            keep_variant_generation(cached, object), &ex->request.fields);
    return !slice_equal(mine, object->key);
}

/* Since its fetch began; this exchange may have come after that. */
static bool
was_purged(struct exchange *ex, struct object *object)
{
    struct cached *cached = ex->cached;

    return !cached->reader.is_first &&
           purges_judge(store_purges(cached->store), object) != PURGE_NONE;
}

static enum step
leave_fill(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    fill_reader_leave(&cached->reader);
    cached->outcome.is_collapsed = false;
    if (++cached->tries >= TRIES_MAX)
        return look_up_alone(ex);
    cached->state = CACHED_BEGIN;
    return look_up(ex);
}

/* Who joined a fetch is given what could be given had it been stored before (RFC 9111
 * section 4). What has to be asked for each time may be made for who asked. */
static bool
may_share(const struct exchange *ex, const struct object *object)
{
    enum staleness staleness = look_up_staleness(ex, object);

    return ex->cached->reader.is_first || staleness == FRESH ||
           staleness == STALE_REVALIDATE_BEHIND;
}

static enum step
go_own_way(struct exchange *ex)
{
    fill_reader_leave(&ex->cached->reader);
    ex->cached->outcome.is_collapsed = false;
    return look_up_alone(ex);
}

/* Whether a range of what grows is better read here than asked for once more: it is
 * near, or nobody would send just that. */
static bool
suits_range(struct exchange *ex, const struct object *object)
{
    const struct cached *cached = ex->cached;
    const struct fill *fill = cached->reader.fill;
    uint64_t near = fill_published(fill) + cached->conf->store->window_bytes;
    struct byte_range range;

    if (!cached->wants_range || cached->reader.is_first || object->kind != OBJECT_RESPONSE ||
        object->status != 200)
        return true;
    if (fill_length(fill) == LENGTH_UNKNOWN)
        return false;
    return cache_answer_range(ex, object, fill_length(fill), &range) != RANGE_ONE ||
           range.first <= near ||
           !slice_list_has(fields_get(&object->fields, FIELD_ACCEPT_RANGES), SLICE("bytes"));
}

/* It can be read as any stored object. */
static bool
has_all(const struct object *object)
{
    return object->body != NULL || object->body_bytes == 0 ||
           atomic_load_explicit(&object->on_disk, memory_order_acquire) != NULL;
}

/* Its head is there. */
static enum step
read_head(struct exchange *ex, enum fill_state state)
{
    struct cached *cached = ex->cached;
    struct object *object = (struct object *)fill_object(cached->reader.fill);
    bool is_validated;
    enum step step;

    if (is_other_variant(ex, object) || was_purged(ex, object))
        return leave_fill(ex);
    if (!may_share(ex, object) || !suits_range(ex, object))
        return go_own_way(ex);
    is_validated = fill_is_validated(cached->reader.fill);
    ex->upstream_status = is_validated ? 304 : object->status;
    cached->outcome.is_stored = state != FILL_PRIVATE;
    if (state == FILL_WHOLE && has_all(object)) {
        object_ref(object);
        if (is_validated)
            cached->outcome.forward_status = 304;
        fill_reader_leave(&cached->reader);
        step = look_up_answer(ex, object);
        object_unref(object);
        return step;
    }
    cache_answer_growing(ex);
    add_cookies(ex);
    cached->state = CACHED_DONE;
    return STEP_ANSWER;
}

enum step
look_up_read_fill(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    enum fill_state state = fill_state(cached->reader.fill);

    switch (state) {
    case FILL_ASKING:
        fill_reader_wait(&cached->reader, state, on_news);
        return STEP_WAIT;
    case FILL_FLOWING:
    case FILL_WHOLE:
        return read_head(ex, state);
    case FILL_PRIVATE:
        if (cached->reader.is_first && !cached->goes_alone)
            return read_head(ex, state);
        return go_own_way(ex);
    case FILL_FAILED:
        return fill_failed(ex);
    }
    return STEP_NEXT;
}
