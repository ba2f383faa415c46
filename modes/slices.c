/* SPDX-License-Identifier: BSD-2-Clause */
/* slices.c - content that is kept in slices, as a source that goes from one to
 * the next.
 *
 *     NOWHERE --> IN_OBJECT  (in memory)
 *        |  '---> ON_DISK -----> IN_OBJECT
 *        |           v
 *        '------> IN_FILL ---failed---> NOWHERE, a second time, or FAILED
 *
 * When a slice has been read, it begins again with the next. A slice that is cut
 * short is fetched once more from the byte where it broke off, which is as good:
 * the ETag is the same, or that fetch fails.
 */
#include "config.h"

#include "modes/slices.h"

#include "cache/part.h"
#include "modes/fetch.h"
#include "modes/finding.h"
#include "modes/road.h"

#define TRIES_MAX 2 /* of one slice */

enum where { NOWHERE, ON_DISK, IN_OBJECT, IN_FILL };

struct slices {
    struct source source;
    struct exchange *ex;
    struct object *head;     /* counted */
    uint64_t at, end;        /* of the whole */
    uint64_t number;         /* of the slice at that */
    struct slice key;        /* of it */
    uint64_t hash;
    char *room, *room_ahead; /* for its key, and for that of the next */
    enum where where;        /* it is */
    uint8_t tries;           /* fills of it that failed */
    bool is_found;           /* ON_DISK: the disk has answered */
    bool was_ahead;          /* the next one was looked after */
    struct finding *finding;
    struct fill_reader reader;
    struct object_source content;
    struct failure failure;
};

static struct store *
store_of(const struct slices *slices)
{
    return slices->ex->cached->store;
}

/* ---- news */

/* Before there is a pump, it is the road that waits. */
static void
wake(struct slices *slices)
{
    if (slices->source.pump != NULL)
        pump_source_ready(slices->source.pump);
    else
        road_resume(slices->ex);
}

static void
on_found(void *arg)
{
    struct slices *slices = arg;

    slices->is_found = true;
    wake(slices);
}

static void
on_news(struct fill_reader *reader)
{
    wake(container_of(reader, struct slices, reader));
}

/* ---- one slice */

static void
leave(struct slices *slices)
{
    finding_forget(slices->finding);
    slices->finding = NULL;
    slices->is_found = false;
    fill_reader_leave(&slices->reader);
    object_source_fini(&slices->content);
    slices->where = NOWHERE;
}

static uint64_t
number_at(const struct slices *slices)
{
    return slices->at / slices->head->slice_bytes;
}

/* What of the slice is wanted: [*first, *end) of its content. */
static void
find_span(const struct slices *slices, uint64_t *first, uint64_t *end)
{
    struct byte_range range = part_of_slice(slices->head, slices->number).range;

    *first = slices->at - range.first;
    *end = (slices->end <= range.last ? slices->end : range.last + 1) - range.first;
}

/* Takes over object; false: it is not the slice after all. */
static bool
use(struct slices *slices, struct object *object)
{
    uint64_t first, end;

    if (object == NULL)
        return false;
    if (!part_is_slice(object, slices->head, slices->number) ||
        store_judge(store_of(slices), object) != PURGE_NONE) {
        object_unref(object);
        return false;
    }
    find_span(slices, &first, &end);
    object_source_init(&slices->content, object, store_disk(store_of(slices)),
                       slices->ex->worker, first, end);
    object_unref(object);
    slices->where = IN_OBJECT;
    return true;
}

static bool
join(struct slices *slices)
{
    return fill_join(store_fills(store_of(slices)), slices->hash, slices->key, false,
                     slices->ex->worker, &slices->reader);
}

static void
fail(struct slices *slices, const struct failure *failure)
{
    slices->failure = *failure;
    if (failure->detail != NULL)
        slices->failure.detail = arena_strdup(&slices->ex->arena, failure->detail);
    leave(slices);
}

/* Joins who fetches it, or fetches it. A fetch that ended just now has left it in
 * memory. False: neither is possible. */
static bool
fetch(struct slices *slices)
{
    static const struct failure no_memory = { END_LIMIT, 503, NULL, "memory is short" };
    struct fetch_order order = { .kind = FETCH_SLICE, .of = slices->head,
                                 .slice = slices->number, .reader = &slices->reader };

    if (!join(slices)) {
        if (use(slices, store_find(store_of(slices), slices->hash, slices->key)))
            return true;
        if (!fetch_start(slices->ex, &order) && !join(slices)) {
            fail(slices, &no_memory);
            return false;
        }
    }
    slices->where = IN_FILL;
    return true;
}

static bool
begin(struct slices *slices)
{
    struct object *object;

    slices->number = number_at(slices);
    slices->was_ahead = false;
    slices->key = part_slice_key(slices->room, slices->head, slices->number);
    slices->hash = store_hash(store_of(slices), slices->key);
    slices->finding = finding_start(slices->ex->cached, slices->hash, slices->key, on_found,
                                    slices, &object);
    if (slices->finding != NULL) {
        slices->where = ON_DISK;
        return true;
    }
    return use(slices, object) || fetch(slices);
}

static bool
take_found(struct slices *slices)
{
    struct object *object = finding_take(slices->finding);

    slices->finding = NULL;
    slices->is_found = false;
    return use(slices, object) || fetch(slices);
}

/* Somebody else's fetch may have failed for reasons of its own. */
static bool
may_try_again(struct slices *slices)
{
    if (++slices->tries >= TRIES_MAX) {
        fail(slices, fill_failure(slices->reader.fill));
        return false;
    }
    leave(slices);
    return true;
}

static enum slices_state
look_at_fill(struct slices *slices)
{
    enum fill_state state = fill_state(slices->reader.fill);
    uint64_t first, end;

    switch (state) {
    case FILL_ASKING:
        fill_reader_wait(&slices->reader, state, on_news);
        return SLICES_WAIT;
    case FILL_FLOWING:
    case FILL_WHOLE:
        find_span(slices, &first, &end);
        fill_reader_set_range(&slices->reader, first, end);
        return SLICES_READY;
    case FILL_PRIVATE:
    case FILL_FAILED:
        break;
    }
    return SLICES_FAILED;
}

enum slices_state
slices_look(struct slices *slices)
{
    enum slices_state state;

    if (slices->where != NOWHERE && slices->number != number_at(slices)) {
        leave(slices);
        slices->tries = 0;
    }
    for (;;) {
        switch (slices->where) {
        case NOWHERE:
            if (!begin(slices))
                return SLICES_FAILED;
            break;
        case ON_DISK:
            if (!slices->is_found)
                return SLICES_WAIT;
            if (!take_found(slices))
                return SLICES_FAILED;
            break;
        case IN_OBJECT:
            return SLICES_READY;
        case IN_FILL:
            state = look_at_fill(slices);
            if (state != SLICES_FAILED)
                return state;
            if (!may_try_again(slices))
                return SLICES_FAILED;
            break;
        }
    }
}

/* ---- the next one */

/* Has it fetched while this one is read, if nobody does so already. */
static void
fetch_ahead(struct slices *slices)
{
    struct fetch_order order = { .kind = FETCH_SLICE, .of = slices->head,
                                 .slice = slices->number + 1 };
    struct store *store = store_of(slices);
    struct fill_reader probe;
    struct object *object;
    struct slice key;
    uint64_t hash;

    slices->was_ahead = true;
    if ((slices->end - 1) / slices->head->slice_bytes == slices->number)
        return;
    key = part_slice_key(slices->room_ahead, slices->head, order.slice);
    hash = store_hash(store, key);
    object = store_find(store, hash, key);
    if (object != NULL || store_may_have(store, hash))
        object_unref(object);
    else if (fill_join(store_fills(store), hash, key, false, slices->ex->worker, &probe))
        fill_reader_leave(&probe);
    else
        (void)fetch_start(slices->ex, &order);
}

/* ---- the source */

static struct source *
inner(struct slices *slices)
{
    return slices->where == IN_FILL ? &slices->reader.source : &slices->content.source;
}

static enum flow
offer(struct source *base, unsigned forms, struct piece *piece)
{
    struct slices *slices = container_of(base, struct slices, source);
    struct source *source;
    enum flow flow;

    if (slices->at == slices->end)
        return FLOW_END;
    for (;;) {
        switch (slices_look(slices)) {
        case SLICES_WAIT:
            return FLOW_WAIT;
        case SLICES_FAILED:
            return FLOW_FAILED;
        case SLICES_READY:
            break;
        }
        if (slices->where == IN_FILL && !slices->was_ahead)
            fetch_ahead(slices);
        source = inner(slices);
        source->pump = base->pump;
        flow = source->ops->offer(source, forms, piece);
        if (flow != FLOW_FAILED || ++slices->tries >= TRIES_MAX)
            break;
        leave(slices);
    }
    if (flow == FLOW_MORE)
        piece->is_last = piece->bytes == slices->end - slices->at;
    return flow == FLOW_END ? FLOW_FAILED : flow;
}

static void
take(struct source *base, size_t bytes)
{
    struct slices *slices = container_of(base, struct slices, source);
    struct source *source = inner(slices);

    source->ops->take(source, bytes);
    slices->at += bytes;
}

static const struct source_ops ops = {
    .offer = offer,
    .take = take,
};

/* ---- coming and going */

struct slices *
slices_open(struct exchange *ex, struct object *head, uint64_t first, uint64_t end)
{
    static const struct failure unknown = { END_UPSTREAM_FAILED, 502, NULL,
                                            "a slice could not be had" };
    struct slices *slices = arena_zalloc(&ex->arena, sizeof(*slices));
    char *room = arena_alloc(&ex->arena, 2 * part_slice_key_bytes(head));

    if (slices == NULL || room == NULL)
        return NULL;
    slices->room = room;
    slices->room_ahead = room + part_slice_key_bytes(head);
    slices->source.ops = &ops;
    slices->ex = ex;
    slices->head = object_ref(head);
    slices->at = first;
    slices->end = end;
    slices->failure = unknown;
    return slices;
}

bool
slices_is_fetched(const struct slices *slices, bool *is_joined)
{
    *is_joined = slices->where == IN_FILL && !slices->reader.is_first;
    return slices->where == IN_FILL;
}

const struct failure *
slices_failure(const struct slices *slices)
{
    return &slices->failure;
}

struct source *
slices_source(struct slices *slices, uint64_t first, uint64_t end)
{
    if (slices->at != first || slices->end != end)
        leave(slices); /* what it reads was cut to size */
    slices->at = first;
    slices->end = end;
    return &slices->source;
}

void
slices_close(struct slices *slices)
{
    if (slices == NULL || slices->head == NULL)
        return;
    leave(slices);
    object_unref(slices->head);
    slices->head = NULL;
}
