/* SPDX-License-Identifier: BSD-2-Clause */
/* fetch.c - an exchange without a client.
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
#include "server/generation.h"

/* ---- downstream of a fetch */

/* 103 and the like are for whoever asked; others have not been promised any. */
static void
pass_interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    const struct cached *asker = ex->fetch->asker;

    if (asker != NULL && !asker->ex->is_started)
        asker->ex->down->ops->interim(asker->ex, status, fields);
}

static void
start_nothing(struct exchange *ex)
{
    (void)ex;
}

static const struct failure unfinished = { END_UPSTREAM_FAILED, 502, "proxy_internal_response",
                                           "what was fetched came to nothing" };

void
fetch_tell_asker(const struct fetch *fetch)
{
    const struct exchange *from = fetch->ex;
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
    struct fetch *fetch = ex->fetch;

    if (!is_whole)
        fill_fail(fetch->fill, ex->failure.reason != END_DONE ? &ex->failure : &unfinished);
    fetch_store(fetch->cached.store, fetch->fill);
    fetch_tell_asker(fetch);
    if (fetch->asker != NULL)
        fetch->asker->fetch = NULL;
    store_unreserve(fetch->cached.store, fetch->reserved_bytes);
    object_unref(fetch->validate);
    object_unref(fetch->of);
    list_remove(&fetch->link);
}

void
fetch_forget_asker(struct cached *cached)
{
    if (cached->fetch != NULL)
        cached->fetch->asker = NULL;
    cached->fetch = NULL;
}

static bool
is_never_over_limit(const struct exchange *ex)
{
    (void)ex;
    return false;
}

static void
count_nothing(const struct exchange *ex, struct traffic *traffic)
{
    (void)ex;
    (void)traffic;
}

static int
refuse_to_detach(struct exchange *ex, struct accepted *accepted)
{
    (void)ex;
    (void)accepted;
    return -1;
}

static const struct downstream_ops downstream_ops = {
    .protocol = "HTTP/1.1",
    .interim = pass_interim,
    .start = start_nothing,
    .finish = finish,
    .request_is_over_limit = is_never_over_limit,
    .count = count_nothing,
    .detach = refuse_to_detach,
};

/* ---- starting */

static void
on_abandoned(struct fill *fill, void *arg)
{
    struct fetch *fetch = arg;

    (void)fill;
    fetch->ex->end = END_CLIENT_ABORT;
    road_end(fetch->ex, false);
}

static const struct fill_events events = { .on_abandoned = on_abandoned };

struct slice
fetch_copy(struct exchange *to, struct slice text)
{
    return text.data != NULL ? arena_copy(&to->arena, text) : text;
}

static void
copy_fields(struct exchange *to, const struct fields *from)
{
    struct fields *fields = &to->request.fields;

    *fields = *from;
    fields->room = from->count + 4;
    fields->items = arena_alloc(&to->arena, fields->room * sizeof(*fields->items));
    if (fields->items == NULL) {
        *fields = (struct fields){ 0 };
        return;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        fields->items[i] = from->items[i];
        fields->items[i].name = fetch_copy(to, from->items[i].name);
        fields->items[i].value = fetch_copy(to, from->items[i].value);
    }
}

/* What it is asked for: all of it, what is missing, or a slice; and if what. */
static void
add_wish(struct fetch *fetch)
{
    struct exchange *ex = fetch->ex;
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
    struct exchange *ex = fetch->ex;
    struct request *request = &ex->request;
    struct slice encoding;

    *request = from->request;
    request->method = METHOD_GET;
    request->method_name = SLICE("GET");
    request->body = NULL;
    request->target = fetch_copy(ex, from->request.target);
    request->scheme = fetch_copy(ex, from->request.scheme);
    request->authority = fetch_copy(ex, from->request.authority);
    request->host = fetch_copy(ex, from->request.host);
    request->path = fetch_copy(ex, from->request.path);
    request->query = fetch_copy(ex, from->request.query);
    copy_fields(ex, &from->request.fields);
    fields_remove(&request->fields, FIELD_RANGE);
    validate_remove_conditions(&request->fields);
    encoding = vary_encoding(&request->fields);
    if (encoding.bytes > 0)
        fields_set(&request->fields, &ex->arena, FIELD_ACCEPT_ENCODING, encoding);
    else
        fields_remove(&request->fields, FIELD_ACCEPT_ENCODING);
}

/* Where the asking exchange would have gone. */
static void
copy_way(struct exchange *ex, struct exchange *from)
{
    ex->site = from->site;
    ex->route = from->route;
    ex->to = from->to;
    ex->to.host = fetch_copy(ex, from->to.host);
    ex->out.target = fetch_copy(ex, look_up_target(from));
    ex->out.authority = fetch_copy(ex, from->out.authority);
    ex->out.proxy_authorization = fetch_copy(ex, from->out.proxy_authorization);
    ex->normal_path = fetch_copy(ex, from->normal_path);
    ex->client_ip = from->client_ip;
}

static void
copy_cached(struct fetch *fetch, const struct cached *from)
{
    struct cached *cached = &fetch->cached;
    struct exchange *ex = fetch->ex;

    *cached = (struct cached){
        .ex = ex,
        .conf = from->conf,
        .store = from->store,
        .directives = from->directives,
        .parts = from->parts,
        .key = fetch_copy(ex, from->key),
        .place = fetch_copy(ex, from->place),
        .hash = from->hash,
        .place_hash = from->place_hash,
        .vary = fetch_copy(ex, from->vary),
        .generation = from->generation,
    };
    cached->parts.source = fetch_copy(ex, from->parts.source);
    cached->parts.scheme = ex->request.scheme;
    cached->parts.host = fetch_copy(ex, from->parts.host);
    cached->parts.url = fetch_copy(ex, from->parts.url);
    cached->parts.request = &ex->request.fields;
}

/* An exchange of the same configuration as from, with a fetch for its client. */
static struct fetch *
new_fetch(struct exchange *from)
{
    struct client *peer = (struct client *)from->down->client;
    struct downstream down = { .client = peer };
    struct exchange *ex = exchange_new(from->worker, from->listener, &down);
    struct fetch *fetch;

    if (ex == NULL)
        return NULL;
    generation_release(ex->generation);
    ex->generation = generation_share(from->generation);
    fetch = arena_zalloc(&ex->arena, sizeof(*fetch));
    if (fetch == NULL) {
        exchange_free(ex);
        return NULL;
    }
    fetch->ex = ex;
    fetch->client = *peer;
    fetch->client.tls = NULL;
    fetch->down = (struct downstream){ .ops = &downstream_ops, .client = &fetch->client };
    ex->down = &fetch->down;
    ex->fetch = fetch;
    list_init(&fetch->link);
    return fetch;
}

/* Where a slice belongs. */
static void
find_slice(struct fetch *fetch)
{
    struct cached *cached = &fetch->cached;
    char *room = arena_alloc(&fetch->ex->arena, part_slice_key_bytes(fetch->of));

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
    if (arena_is_spent(&fetch->ex->arena))
        return false;
    fill = fill_new(store_fills(cached->store), &conf, cached->place_hash, cached->place,
                    fetch->seq, fetch->ex->worker, &events, fetch);
    if (fill == NULL)
        return false;
    fetch->fill = fill;
    fetch->down.sink = fill_sink(fill);
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
    struct fetch *fetch = new_fetch(ex);

    if (fetch == NULL)
        return false;
    fetch->seq = store_seq(ex->cached->store);
    fetch->request_s = cached_now(ex);
    take_order(fetch, order);
    make_request(fetch, ex);
    copy_way(fetch->ex, ex);
    copy_cached(fetch, ex->cached);
    add_wish(fetch);
    if (!fetch_make_fill(fetch, order->reader == NULL || order->kind == FETCH_SLICE)) {
        object_unref(fetch->validate);
        object_unref(fetch->of);
        exchange_free(fetch->ex);
        return false;
    }
    list_push_back(&ex->worker->fetches, &fetch->link);
    if (order->reader != NULL) {
        fill_join_first(fetch->fill, ex->worker, order->reader);
        take_asker(fetch, ex->cached);
    }
    counter_up(ex->worker->counters, cache_fetches);
    road_begin_fetch(fetch->ex);
    return true;
}

/* ---- ends */

void
fetches_kill(struct worker *worker)
{
    while (!list_is_empty(&worker->fetches)) {
        struct fetch *fetch = container_of(worker->fetches.next, struct fetch, link);

        list_remove(&fetch->link);
        road_end(fetch->ex, false);
    }
}
