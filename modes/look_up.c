/* SPDX-License-Identifier: BSD-2-Clause */
/* look_up.c - is there an answer already, and who fetches it otherwise?
 *
 *     BEGIN --> PRIMARY --> VARIANT --> decide: fresh --------------------------> DONE
 *                (waits for the disk)     |     stale, served while fetched behind > DONE
 *                                         '---> missing or stale --> READING a fill > DONE
 *                                                                '-> ALONE (goes upstream itself)
 *
 * Alone go requests whose answer others cannot have, or that a fetch would not
 * serve: other methods, HEAD, credentials, and ranges of what is neither there nor
 * on its way, unless the site has its content in slices. How an answer is read:
 * look_up_read.c.
 */
#include "config.h"

#include "modes/look_up_inside.h"

#include "cache/cache_conf.h"
#include "cache/part.h"
#include "modes/cache_answer.h"
#include "modes/cache_count.h"
#include "modes/finding.h"
#include "modes/keep.h"
#include "modes/purge_request.h"
#include "modes/road.h"
#include "modes/slices.h"

/* ---- how old it is */

static bool
obeys_reload(const struct exchange *ex)
{
    switch ((enum cache_reload)ex->cached->conf->reload) {
    case CACHE_RELOAD_AUTO:
        return ex->site == NULL;
    case CACHE_RELOAD_OBEY:
        return true;
    case CACHE_RELOAD_IGNORE:
        return false;
    }
    return true;
}

static bool
is_in_maintenance(const struct exchange *ex)
{
    return ex->to.group != NULL && ex->to.group->maintenance;
}

enum staleness
look_up_staleness(const struct exchange *ex, const struct object *object)
{
    static const struct directives none;
    const struct cached *cached = ex->cached;
    const struct directives *directives = obeys_reload(ex) ? &cached->directives : &none;
    struct lifetime_conf conf = cached->conf->life;

    if (is_in_maintenance(ex)) {
        conf.stale_if_error_s = DELTA_MAX;
        directives = &none;
    }
    return lifetime_staleness(&object->life, directives, &conf, cached_now(ex));
}

static enum staleness
staleness(const struct exchange *ex, const struct object *object)
{
    const struct cached *cached = ex->cached;
    enum staleness result = look_up_staleness(ex, object);
    uint32_t window;

    if (result != FRESH || !cached->is_soft_purged)
        return result;
    window = object->life.stale_while_revalidate_s;
    if (window == WINDOW_UNSAID)
        window = cached->conf->life.stale_while_revalidate_s;
    return window > 0 ? STALE_REVALIDATE_BEHIND : STALE_ON_ERROR;
}

/* ---- deciding */

/* Whether what is fetched for it is for others, too. If-Match and If-Unmodified-Since
 * are the origin's to judge (RFC 9110 sections 13.1.1 and 13.1.4): a fetch has neither. */
static bool
may_fetch(const struct exchange *ex)
{
    const struct fields *fields = &ex->request.fields;

    return ex->request.method != METHOD_HEAD &&
           !directives_has(&ex->cached->directives, DIRECTIVE_NO_STORE) &&
           !fields_has(fields, FIELD_AUTHORIZATION) && !fields_has(fields, FIELD_IF_MATCH) &&
           !fields_has(fields, FIELD_IF_UNMODIFIED_SINCE);
}

/* Whether it is worth asking for parts. */
static bool
may_have_parts(const struct exchange *ex)
{
    const struct cached *cached = ex->cached;

    return !store_is_passed(cached->store, slices_passed_hash(cached->place_hash),
                            cached_now(ex));
}

/* A part is stored that can be completed in memory. */
static bool
may_complete(const struct exchange *ex)
{
    const struct cached *cached = ex->cached;
    struct byte_range missing;
    struct part part;

    return cached->object != NULL && cached->object->body != NULL &&
           cached->object->whole_bytes <= cached->conf->store->memory_object_bytes &&
           part_of_object(&part, cached->object) && part_missing(&part, &missing) &&
           may_have_parts(ex);
}

static enum step
missed_whole(struct exchange *ex)
{
    struct fetch_order order = { .kind = FETCH_WHOLE, .reader = &ex->cached->reader };

    if (may_complete(ex)) {
        order.kind = FETCH_REST;
        order.of = ex->cached->object;
    }
    return look_up_fetch(ex, &order);
}

/* The slice that the request's range begins in. False: its Range is not for slices. */
static bool
find_slice(const struct exchange *ex, uint64_t *slice)
{
    const struct field *field = fields_find(&ex->request.fields, FIELD_RANGE);
    uint64_t first;

    if (field == NULL || fields_next(&ex->request.fields, FIELD_RANGE, field) != NULL ||
        !byte_range_begins(field->value, &first))
        return false;
    *slice = first / ex->cached->conf->slice_bytes;
    return true;
}

static enum step
missed_range(struct exchange *ex)
{
    struct fetch_order order = { .kind = FETCH_SLICES, .reader = &ex->cached->reader };

    if (ex->cached->conf->slice_bytes == 0 || !may_have_parts(ex) ||
        !find_slice(ex, &order.slice))
        return look_up_join(ex);
    return look_up_fetch(ex, &order);
}

static enum step
missed(struct exchange *ex, enum cache_forward forward)
{
    struct cached *cached = ex->cached;

    cached->outcome.forward = forward;
    if (directives_has(&cached->directives, DIRECTIVE_ONLY_IF_CACHED)) {
        cached->state = CACHED_DONE;
        exchange_answer(ex, 504, END_ANSWERED, "The cache does not have it, and the request says "
                                               "that nobody else may be asked.");
        return STEP_ANSWER;
    }
    if (!may_fetch(ex) || store_is_passed(cached->store, cached->place_hash, cached_now(ex)))
        return look_up_alone(ex);
    return cached->wants_range ? missed_range(ex) : missed_whole(ex);
}

/* Asks whether the object is still good; of slices, together with one of them. */
static void
order_validation(struct exchange *ex, struct fetch_order *order)
{
    struct object *object = ex->cached->object;

    *order = (struct fetch_order){ .kind = FETCH_WHOLE, .validate = object };
    if (object->kind != OBJECT_SLICES || ex->cached->conf->slice_bytes == 0)
        return;
    order->kind = FETCH_SLICES;
    (void)find_slice(ex, &order->slice);
}

/* Stale, or not to be used unasked. */
static enum step
validate(struct exchange *ex)
{
    struct fetch_order order;
    struct cached *cached = ex->cached;
    struct object *object = cached->object;
    bool is_fresh = lifetime_is_fresh(&object->life, cached_now(ex)) &&
                    !object->life.always_validate && !cached->is_soft_purged;

    if (directives_has(&cached->directives, DIRECTIVE_ONLY_IF_CACHED) || !may_fetch(ex))
        return missed(ex, is_fresh ? CACHE_FORWARD_REQUEST : CACHE_FORWARD_STALE);
    cached->outcome.forward = is_fresh ? CACHE_FORWARD_REQUEST : CACHE_FORWARD_STALE;
    order_validation(ex, &order);
    order.reader = &cached->reader;
    return look_up_fetch(ex, &order);
}

static bool
has_range(const struct exchange *ex, const struct object *object)
{
    struct byte_range have, wanted;

    return part_range(object, &have) &&
           cache_answer_range(ex, object, object->whole_bytes, &wanted) == RANGE_ONE &&
           byte_range_covers(have, wanted);
}

/* Of slices the first is waited for. Others may have to be fetched later, when it is
 * too late to say no. */
static bool
may_read_slices(const struct exchange *ex, const struct object *object)
{
    struct byte_range range;

    if (ex->request.method == METHOD_HEAD)
        return true;
    if (!may_fetch(ex))
        return false;
    return !directives_has(&ex->cached->directives, DIRECTIVE_ONLY_IF_CACHED) ||
           !cache_answer_sends(ex, object, &range);
}

/* A part of it is no answer to a request for the whole, or for another part. */
static bool
is_of_use(const struct exchange *ex, const struct object *object)
{
    switch ((enum object_kind)object->kind) {
    case OBJECT_RESPONSE:
        return true;
    case OBJECT_PARTIAL:
        return has_range(ex, object);
    case OBJECT_SLICES:
        return part_is_head(object) && may_read_slices(ex, object);
    case OBJECT_VARIANTS:
    case OBJECT_KINDS:
        break;
    }
    return false;
}

/* While a stale answer is given. */
static void
validate_behind(struct exchange *ex)
{
    struct fetch_order order;

    if (is_in_maintenance(ex) || ex->cached->object->kind == OBJECT_PARTIAL)
        return;
    order_validation(ex, &order);
    (void)fetch_start(ex, &order);
}

static enum step
decide(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    if (!is_of_use(ex, cached->object))
        return missed(ex, CACHE_FORWARD_PARTIAL);
    cached->staleness = staleness(ex, cached->object);
    switch (cached->staleness) {
    case FRESH:
        return look_up_answer(ex, cached->object);
    case STALE_REVALIDATE_BEHIND:
        validate_behind(ex);
        cached->is_stale = true;
        counter_up(ex->worker->counters, cache_stale);
        return look_up_answer(ex, cached->object);
    case STALE_ON_ERROR:
    case STALE:
        if (cached->object->kind == OBJECT_PARTIAL)
            return missed(ex, CACHE_FORWARD_STALE);
        return validate(ex);
    }
    return STEP_NEXT;
}

/* ---- finding */

static enum step find(struct exchange *ex, enum cached_state state);

/* What was purged is gone. */
static struct object *
judge(struct exchange *ex, struct object *object)
{
    struct cached *cached = ex->cached;

    if (object == NULL)
        return NULL;
    switch (store_judge(cached->store, object)) {
    case PURGE_NONE:
        return object;
    case PURGE_SOFT:
        cached->is_soft_purged = true;
        return object;
    case PURGE_HARD:
        break;
    }
    object_unref(object);
    return NULL;
}

static enum step
found(struct exchange *ex, enum cached_state state, struct object *object)
{
    struct cached *cached = ex->cached;

    object_unref(cached->object);
    cached->object = NULL;
    object = judge(ex, object);
    if (object == NULL)
        return missed(ex, state == CACHED_VARIANT ? CACHE_FORWARD_VARY_MISS
                                                  : CACHE_FORWARD_URI_MISS);
    if (object->kind == OBJECT_VARIANTS && state == CACHED_PRIMARY) {
        cached->vary = arena_copy(&ex->arena, object->vary);
        cached->generation = object->generation;
        object_unref(object);
        cached->place = keep_variant_key(&ex->arena, cached, cached->vary, cached->generation,
                                         &ex->request.fields);
        cached->place_hash = store_hash(cached->store, cached->place);
        return find(ex, CACHED_VARIANT);
    }
    cached->object = object;
    return decide(ex);
}

static void
on_found(void *arg)
{
    struct cached *cached = arg;

    road_resume(cached->ex);
}

/* Takes what the disk has. */
static struct object *
take_found(struct cached *cached)
{
    struct finding *finding = cached->finding;

    cached->finding = NULL;
    return finding_take(finding);
}

/* Looks at cached->place. */
static enum step
find(struct exchange *ex, enum cached_state state)
{
    struct cached *cached = ex->cached;
    struct object *object;

    cached->state = (uint8_t)state;
    cached->finding = finding_start(cached, cached->place_hash, cached->place, on_found, cached,
                                    &object);
    return cached->finding != NULL ? STEP_WAIT : found(ex, state, object);
}

static enum step
start(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    if (purge_request_is(ex))
        return purge_request(ex);
    if (!look_up_is_for_cache(ex)) {
        bool is_read = ex->request.method == METHOD_GET || ex->request.method == METHOD_HEAD;

        cached->outcome.forward = is_read ? CACHE_FORWARD_BYPASS : CACHE_FORWARD_METHOD;
        return look_up_alone(ex);
    }
    cached->place = cached->key;
    cached->place_hash = cached->hash;
    return find(ex, CACHED_PRIMARY);
}

enum step
look_up(struct exchange *ex)
{
    if (ex->cached == NULL && !look_up_begin(ex))
        return ex->is_purge ? purge_request_refuse(ex) : STEP_NEXT;
    switch ((enum cached_state)ex->cached->state) {
    case CACHED_BEGIN:
        return start(ex);
    case CACHED_PRIMARY:
    case CACHED_VARIANT:
        return found(ex, (enum cached_state)ex->cached->state, take_found(ex->cached));
    case CACHED_READING:
        return look_up_read_fill(ex);
    case CACHED_SLICES:
        return look_up_read_slices(ex);
    case CACHED_PURGE:
        return purge_request(ex);
    case CACHED_ALONE:
        return STEP_NEXT;
    case CACHED_DONE:
        return STEP_ANSWER;
    }
    return STEP_NEXT;
}

/* ---- ends */

bool
look_up_take_stale(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    if (cached == NULL || cached->object == NULL || cached->staleness != STALE_ON_ERROR ||
        !is_of_use(ex, cached->object))
        return false;
    cached->outcome.is_collapsed = false;
    cached->is_stale = true;
    cached->outcome.detail = SLICE("stale");
    counter_up(ex->worker->counters, cache_stale);
    return true;
}

bool
look_up_stands_in(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    if (cached != NULL && cached->object != NULL && cached->object->kind == OBJECT_SLICES)
        return false; /* they may have to be waited for */
    if (!look_up_take_stale(ex))
        return false;
    cached->state = CACHED_DONE;
    return cache_answer(ex, cached->object);
}

void
look_up_end(struct exchange *ex)
{
    struct cached *cached = ex->cached;

    if (cached == NULL)
        return;
    cache_count(ex);
    fetch_forget_asker(cached);
    purge_request_end(ex);
    finding_forget(cached->finding);
    fill_reader_leave(&cached->reader);
    slices_close(cached->slices);
    object_source_fini(&cached->content);
    keep_passing_end(ex);
    object_unref(cached->object);
    ex->cached = NULL;
}
