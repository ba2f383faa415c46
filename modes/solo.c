/* SPDX-License-Identifier: BSD-2-Clause */
/* solo.c - an exchange without a client, whatever it is for. */
#include "config.h"

#include "modes/solo.h"

#include "modes/road.h"
#include "server/generation.h"

/* ---- the side where a client would be */

static void
pass_interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    if (ex->solo->ops->interim != NULL)
        ex->solo->ops->interim(ex, status, fields);
}

static void
start_nothing(struct exchange *ex)
{
    (void)ex;
}

static void
finish(struct exchange *ex, bool is_whole)
{
    list_remove(&ex->solo->link);
    ex->solo->ops->finish(ex, is_whole);
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

struct exchange *
solo_new(struct worker *worker, struct listener_conf *listener, struct generation *generation,
         const struct client *client, size_t bytes, const struct solo_ops *ops)
{
    struct downstream borrowed = { .client = client };
    struct exchange *ex = exchange_new(worker, listener, &borrowed);
    struct solo *solo;

    if (ex == NULL)
        return NULL;
    if (generation != NULL) {
        generation_release(ex->generation);
        ex->generation = generation_share(generation);
    }
    solo = arena_zalloc(&ex->arena, bytes);
    if (solo == NULL) {
        exchange_free(ex);
        return NULL;
    }
    solo->ops = ops;
    solo->ex = ex;
    solo->client = *client;
    solo->client.tls = NULL;
    solo->down = (struct downstream){ .ops = &downstream_ops, .client = &solo->client };
    ex->down = &solo->down;
    ex->solo = solo;
    list_init(&solo->link);
    return ex;
}

struct slice
solo_copy(struct exchange *ex, struct slice text)
{
    return text.data != NULL ? arena_copy(&ex->arena, text) : text;
}

void
solo_copy_fields(struct exchange *ex, const struct fields *from)
{
    struct fields *fields = &ex->request.fields;

    *fields = *from;
    fields->room = from->count + 4;
    fields->items = arena_alloc(&ex->arena, fields->room * sizeof(*fields->items));
    if (fields->items == NULL) {
        *fields = (struct fields){ 0 };
        return;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        fields->items[i] = from->items[i];
        fields->items[i].name = solo_copy(ex, from->items[i].name);
        fields->items[i].value = solo_copy(ex, from->items[i].value);
    }
}

void
solo_start(struct exchange *ex)
{
    list_push_back(&ex->worker->solos, &ex->solo->link);
    road_begin_solo(ex);
}

/* ---- the answer */

static void
on_poured(struct pump *pump, enum pump_result result)
{
    struct exchange *ex = container_of(pump, struct exchange, response_pump);

    if (result == PUMP_SOURCE_FAILED)
        counter_up(ex->worker->counters, upstream_failures);
    road_end(ex, result == PUMP_DONE);
}

enum step
solo_pour(struct exchange *ex)
{
    ex->is_started = true;
    pump_start(&ex->response_pump, ex->worker->loop,
               ex->response.has_body ? ex->response.body : NULL, ex->down->sink, on_poured);
    return STEP_DONE;
}

enum step
solo_end(struct exchange *ex, bool is_whole)
{
    road_end(ex, is_whole);
    return STEP_DONE;
}

/* ---- ends */

void
solos_kill(struct worker *worker)
{
    while (!list_is_empty(&worker->solos)) {
        struct solo *solo = container_of(worker->solos.next, struct solo, link);

        list_remove(&solo->link);
        road_end(solo->ex, false);
    }
}
