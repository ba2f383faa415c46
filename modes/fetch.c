/* SPDX-License-Identifier: BSD-2-Clause */
/* fetch.c - an exchange without a client, for the cache.
 *
 *     look_up --> fetch_start: a copy of the request, a fill
 *                     |
 *                 the road, from "reach" on: pick, connect, send, fetch filters
 *                     |
 *                 fetch_deliver (fetch_deliver.c)
 *
 * Its downstream is the fill; what a client would be told of errors, the
 * readers are told as a failure.
 */
#include "config.h"

#include "modes/fetch_inside.h"

#include "cache/cache_conf.h"
#include "cache/validate.h"
#include "modes/keep.h"
#include "modes/look_up.h"
#include "modes/road.h"

/* ---- what the road tells */

/* 103 and the like are for whoever asked; others have not been promised any. */
static void
pass_interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    const struct cached *asker = fetch_of(ex)->asker;

    if (asker != NULL && !asker->ex->is_started)
        asker->ex->down->ops->interim(asker->ex, status, fields);
}

static const struct failure unfinished = { END_UPSTREAM_FAILED, 502, "proxy_internal_response",
                                           "what was fetched came to nothing" };

/* Once each: this is asked when the head has come, and again at the end. */
static void
tell_what_filters_did(struct fetch *fetch, struct exchange *to)
{
    const struct decision *decision = fetch->told_decision != NULL ? fetch->told_decision->next
                                                             : fetch->solo.ex->decisions;

    for (; decision != NULL; decision = decision->next) {
        fetch->told_decision = decision;
        if (decision->by_filter || decision->kind == DECISION_DENY)
            exchange_decide_again(to, decision);
    }
}

void
fetch_tell_asker(struct fetch *fetch)
{
    const struct exchange *from = fetch->solo.ex;
    struct exchange *to;

    if (fetch->asker == NULL)
        return;
    to = fetch->asker->ex;
    to->upstream_ip = from->upstream_ip;
    to->upstream_status = from->upstream_status;
    to->endpoint = from->endpoint;
    to->phases.dns_ns = from->phases.dns_ns;
    to->phases.connect_ns = from->phases.connect_ns;
    to->phases.first_byte_ns = from->phases.first_byte_ns;
    tell_what_filters_did(fetch, to);
}

void
fetch_store(struct store *store, struct fill *fill)
{
    struct object *object = fill_take_object(fill);

    if (object != NULL)
        store_put(store, object);
    object_unref(object);
    fill_unref(fill);
}

/* The exchange is over. What is whole goes into the store. */
static void
finish(struct exchange *ex, bool is_whole)
{
    struct fetch *fetch = fetch_of(ex);

    if (!is_whole)
        fill_fail(fetch->fill, ex->failure.reason != END_DONE ? &ex->failure : &unfinished);
    fetch_store(fetch->cached.store, fetch->fill);
    fetch_tell_asker(fetch);
    if (fetch->asker != NULL)
        fetch->asker->fetch = NULL;
    store_unreserve(fetch->cached.store, fetch->reserved_bytes);
    object_unref(fetch->validate);
    object_unref(fetch->of);
}

void
fetch_forget_asker(struct cached *cached)
{
    if (cached->fetch != NULL)
        cached->fetch->asker = NULL;
    cached->fetch = NULL;
}

static const struct solo_ops ops = {
    .deliver = fetch_deliver,
    .interim = pass_interim,
    .finish = finish,
};

/* ---- starting */

static void
on_abandoned(struct fill *fill, void *arg)
{
    struct fetch *fetch = arg;

    (void)fill;
    fetch->solo.ex->end = END_CLIENT_ABORT;
    road_end(fetch->solo.ex, false);
}

static const struct fill_events events = { .on_abandoned = on_abandoned };

/* What it is asked for: all of it, what is missing, or a slice; and if what. */
static void
add_wish(struct fetch *fetch)
{
    struct exchange *ex = fetch->solo.ex;
    struct fields *fields = &ex->request.fields;
    struct part part;
    struct byte_range range;

    if (fetch->validate != NULL)
        validate_add_conditions(fields, &ex->arena, &fetch->validate->fields, cached_now(ex));
    switch (fetch->kind) {
    case FETCH_WHOLE:
        return;
    case FETCH_REST:
        if (part_of_object(&part, fetch->of) && part_missing(&part, &range))
            part_ask(fields, &ex->arena, range, part.whole_bytes, part.etag);
        return;
    case FETCH_SLICES:
        range = byte_range_of_slice(fetch->slice, fetch->cached.conf->slice_bytes, LENGTH_UNKNOWN);
        part_ask(fields, &ex->arena, range, LENGTH_UNKNOWN, slice_make(NULL, 0));
        return;
    case FETCH_SLICE:
        part = part_of_slice(fetch->of, fetch->slice);
        part_ask(fields, &ex->arena, part.range, part.whole_bytes, part.etag);
        return;
    }
}

/* A request for all of the content, unconditional but for our own conditions. */
static void
make_request(struct fetch *fetch, struct exchange *from)
{
    struct exchange *ex = fetch->solo.ex;
    struct request *request = &ex->request;
    struct slice encoding;

    *request = from->request;
    request->method = METHOD_GET;
    request->method_name = SLICE("GET");
    request->body = NULL;
    request->target = solo_copy(ex, from->request.target);
    request->scheme = solo_copy(ex, from->request.scheme);
    request->authority = solo_copy(ex, from->request.authority);
    request->host = solo_copy(ex, from->request.host);
    request->path = solo_copy(ex, from->request.path);
    request->query = solo_copy(ex, from->request.query);
    solo_copy_fields(ex, &from->request.fields);
    fields_remove(&request->fields, FIELD_RANGE);
    validate_remove_conditions(&request->fields);
    encoding = vary_encoding(&request->fields);
    if (encoding.bytes > 0)
        fields_set(&request->fields, &ex->arena, FIELD_ACCEPT_ENCODING, encoding);
    else
        fields_remove(&request->fields, FIELD_ACCEPT_ENCODING);
}

static const struct ip *
copy_addresses(struct exchange *ex, const struct destination *to)
{
    size_t bytes = to->only_count * sizeof(*to->only);
    void *copy = to->only != NULL ? arena_alloc(&ex->arena, bytes + 1) : NULL;

    if (copy != NULL)
        memcpy(copy, to->only, bytes);
    return copy; /* without memory nothing is sent */
}

/* Where the asking exchange would have gone. */
static void
copy_way(struct exchange *ex, struct exchange *from)
{
    ex->site = from->site;
    ex->route = from->route;
    ex->to = from->to;
    ex->to.host = solo_copy(ex, from->to.host);
    ex->to.only = copy_addresses(ex, &from->to);
    ex->out.target = solo_copy(ex, look_up_target(from));
    ex->out.authority = solo_copy(ex, from->out.authority);
    ex->out.proxy_authorization = solo_copy(ex, from->out.proxy_authorization);
    ex->normal_path = solo_copy(ex, from->normal_path);
    ex->client_ip = from->client_ip;
    ex->scan = from->scan;
}

static void
copy_cached(struct fetch *fetch, const struct cached *from)
{
    struct cached *cached = &fetch->cached;
    struct exchange *ex = fetch->solo.ex;

    fetch->conf = *from->conf; /* which may be the asker's own */
    *cached = (struct cached){
        .ex = ex,
        .conf = &fetch->conf,
        .store = from->store,
        .directives = from->directives,
        .parts = from->parts,
        .key = solo_copy(ex, from->key),
        .place = solo_copy(ex, from->place),
        .hash = from->hash,
        .place_hash = from->place_hash,
        .vary = solo_copy(ex, from->vary),
        .generation = from->generation,
    };
    cached->parts.source = solo_copy(ex, from->parts.source);
    cached->parts.scheme = ex->request.scheme;
    cached->parts.host = solo_copy(ex, from->parts.host);
    cached->parts.url = solo_copy(ex, from->parts.url);
    cached->parts.request = &ex->request.fields;
}

/* Where a slice belongs. */
static void
find_slice(struct fetch *fetch)
{
    struct cached *cached = &fetch->cached;
    char *room = arena_alloc(&fetch->solo.ex->arena, part_slice_key_bytes(fetch->of));

    if (room == NULL)
        return; /* the arena knows */
    cached->place = part_slice_key(room, fetch->of, fetch->slice);
    cached->place_hash = store_hash(cached->store, cached->place);
}

/* Whoever goes leaves no more behind than this: fetches that nobody waits for are not
 * held by any limit on clients. */
#define UNREAD_MAX 256

bool
fetch_make_fill(struct fetch *fetch, bool outlives_readers)
{
    struct cached *cached = &fetch->cached;
    const struct store_conf *store = cached->conf->store;
    struct fill_conf conf = {
        .disk = store_disk(cached->store),
        .memory_bytes = store->memory_object_bytes,
        .object_bytes = store->object_bytes,
        .window_bytes = store->window_bytes,
        .outlives_readers =
            outlives_readers || ((cached->conf->finishes || fetch->kind == FETCH_SLICES) &&
                                 fills_count(store_fills(cached->store)) < UNREAD_MAX),
    };
    struct fill *fill;

    if (fetch->kind == FETCH_SLICE)
        find_slice(fetch);
    if (arena_is_spent(&fetch->solo.ex->arena))
        return false;
    fill = fill_new(store_fills(cached->store), &conf, cached->place_hash, cached->place,
                    fetch->seq, fetch->solo.ex->worker, &events, fetch);
    if (fill == NULL)
        return false;
    fetch->fill = fill;
    fetch->solo.down.sink = fill_sink(fill);
    return true;
}

static void
take_order(struct fetch *fetch, const struct fetch_order *order)
{
    fetch->kind = order->kind;
    fetch->slice = order->slice;
    fetch->validate = order->validate != NULL ? object_ref(order->validate) : NULL;
    fetch->of = order->of != NULL ? object_ref(order->of) : NULL;
}

/* Who waits for the head of an answer is told more of it. */
static void
take_asker(struct fetch *fetch, struct cached *asker)
{
    if (asker->fetch != NULL || asker->ex->is_started)
        return;
    fetch->asker = asker;
    asker->fetch = fetch;
}

bool
fetch_start(struct exchange *ex, const struct fetch_order *order)
{
    struct exchange *own = solo_new(ex->worker, ex->listener, ex->generation, ex->down->client,
                                    sizeof(struct fetch), &ops);
    struct fetch *fetch;

    if (own == NULL)
        return false;
    fetch = fetch_of(own);
    fetch->seq = store_seq(ex->cached->store);
    fetch->request_s = cached_now(ex);
    take_order(fetch, order);
    make_request(fetch, ex);
    copy_way(fetch->solo.ex, ex);
    copy_cached(fetch, ex->cached);
    add_wish(fetch);
    if (!fetch_make_fill(fetch, order->reader == NULL || order->kind == FETCH_SLICE)) {
        object_unref(fetch->validate);
        object_unref(fetch->of);
        exchange_free(own);
        return false;
    }
    if (order->reader != NULL) {
        fill_join_first(fetch->fill, ex->worker, order->reader);
        take_asker(fetch, ex->cached);
    }
    counter_up(ex->worker->counters, cache_fetches);
    solo_start(fetch->solo.ex);
    return true;
}
