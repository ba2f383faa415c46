/* SPDX-License-Identifier: BSD-2-Clause */
/* keep_passing.c - what an exchange that went upstream by itself brought, copied as it
 * passes by.
 *
 * A part (206) joins the part that is stored, if they are of one representation and
 * touch; it does not replace what holds it already.
 */
#include "config.h"

#include "modes/keep.h"

#include "cache/cache_conf.h"
#include "cache/part.h"
#include "cache/update.h"
#include "cache/validate.h"
#include "modes/look_up.h"

/* ---- HEAD */

/* What a HEAD went upstream for tells of the stored answer to GET (section 4.3.5). */
static void
update_by_head(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    struct object *old = cached->object;

    if (old == NULL || old->kind != OBJECT_RESPONSE || ex->response.status != old->status)
        return;
    if (update_head_agrees(&old->fields, &ex->response.fields))
        object_unref(keep_freshened(ex, cached, old, cached->seq, cached->request_s));
    else
        store_forget(cached->store, cached->place_hash, cached->place);
}

/* ---- content that passes by */

/* A source over the response's own, which copies what is taken from it. */
struct tee {
    struct source source;
    struct exchange *ex;
    struct object *object;
    uint64_t copied_bytes;
    struct piece last; /* as offered */
    bool is_broken;
};

static enum flow
tee_offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct tee *tee = container_of(source, struct tee, source);
    enum flow flow = source->inner->ops->offer(source->inner, FORM_SLICES, piece);

    (void)forms;
    if (flow == FLOW_MORE)
        tee->last = *piece;
    source->trailers = source->inner->trailers;
    return flow;
}

static void
tee_take(struct source *source, size_t bytes)
{
    struct tee *tee = container_of(source, struct tee, source);
    struct object *object = tee->object;
    size_t left = bytes;

    if (tee->copied_bytes + bytes > object->body_bytes)
        tee->is_broken = true;
    for (unsigned i = 0; i < tee->last.count && left > 0 && !tee->is_broken; i++) {
        size_t n = tee->last.iov[i].iov_len < left ? tee->last.iov[i].iov_len : left;

        memcpy(object->body + tee->copied_bytes, tee->last.iov[i].iov_base, n);
        tee->copied_bytes += n;
        left -= n;
    }
    source->inner->ops->take(source->inner, bytes);
}

static void
tee_cancel(struct source *source)
{
    struct tee *tee = container_of(source, struct tee, source);

    tee->is_broken = true;
    source->inner->ops->cancel(source->inner);
}

static const struct source_ops tee_ops = {
    .offer = tee_offer,
    .take = tee_take,
    .cancel = tee_cancel,
};

void
keep_passing(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    uint64_t length = ex->response.length;
    struct keep keep;
    struct tee *tee;

    if (look_up_is_told_more(ex) || !slice_equal(ex->out.target, look_up_target(ex)))
        return;
    if (ex->request.method == METHOD_HEAD)
        update_by_head(ex);
    if (ex->request.method == METHOD_HEAD || ex->response.status == 304)
        return;
    keep_judge(&keep, ex, cached, cached->request_s);
    if (keep.verdict != STORABLE) {
        cached->outcome.detail = storable_text(keep.verdict);
        return;
    }
    if (length == LENGTH_UNKNOWN || length > cached->conf->store->memory_object_bytes)
        return;
    tee = arena_zalloc(&ex->arena, sizeof(*tee));
    if (tee == NULL)
        return;
    tee->object = keep_object(&keep, ex, cached->seq, length);
    if (tee->object == NULL)
        return;
    tee->ex = ex;
    cached->tee = tee;
    cached->outcome.is_stored = true;
    if (ex->response.body == NULL)
        return;
    tee->source = (struct source){ .ops = &tee_ops, .inner = ex->response.body };
    ex->response.body = &tee->source;
}

/* The whole of which object is a part, or its head and slices, is there. */
static bool
is_superfluous(const struct object *stored, const struct object *object)
{
    return object->kind == OBJECT_PARTIAL &&
           (stored->kind == OBJECT_RESPONSE || stored->kind == OBJECT_SLICES) &&
           validate_etag_strong_equal(validate_etag(&stored->fields),
                                      validate_etag(&object->fields));
}

static void
store(struct exchange *ex, struct object *object)
{
    struct cached *cached = ex->cached;
    struct object *stored = store_find(cached->store, object->hash, object->key);
    struct object *joined = NULL;

    if (stored != NULL && store_judge(cached->store, stored) == PURGE_NONE) {
        if (is_superfluous(stored, object)) {
            object_unref(stored);
            return;
        }
        joined = part_joined(stored, object, cached->conf->store->memory_object_bytes,
                             &ex->arena);
    }
    store_put(cached->store, joined != NULL ? joined : object);
    object_unref(joined);
    object_unref(stored);
}

void
keep_passing_end(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    struct tee *tee = cached->tee;

    if (tee == NULL)
        return;
    cached->tee = NULL;
    if (!tee->is_broken && tee->copied_bytes == tee->object->body_bytes)
        store(ex, tee->object);
    object_unref(tee->object);
}
