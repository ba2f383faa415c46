/* SPDX-License-Identifier: BSD-2-Clause */
/* hold.c - a sink that keeps what it is given, and a source of the same.
 *
 * It is read by the exchange's own pump of that direction, which nothing else needs before
 * the content goes on: whatever ends the exchange, or gives it another answer, stops it.
 */
#include "config.h"

#include "filters/hold.h"

#include "server/generation.h"
#include "server/snapshot.h"

#include <stdlib.h>

#define CHUNK_BYTES (16u * 1024)
#define START_BYTES 4096u /* which lie side by side */

static _Atomic uint64_t held_bytes;

uint64_t
hold_total_bytes(void)
{
    return atomic_load_explicit(&held_bytes, memory_order_relaxed);
}

/* ---- keeping */

static bool
reserve(const struct exchange *ex, size_t bytes)
{
    uint64_t most = ex->generation->snapshot->conf.held_bytes;

    if (atomic_fetch_add_explicit(&held_bytes, bytes, memory_order_relaxed) + bytes <= most)
        return true;
    atomic_fetch_sub_explicit(&held_bytes, bytes, memory_order_relaxed);
    return false;
}

static void
free_chunk(struct hold_chunk *chunk)
{
    atomic_fetch_sub_explicit(&held_bytes, sizeof(*chunk) + chunk->room, memory_order_relaxed);
    free(chunk);
}

/* No larger than what is to come, as far as that is known. */
static size_t
room_for(const struct hold *hold, size_t bytes)
{
    size_t left = hold->max_bytes + 1 - hold->bytes;
    size_t room = bytes < START_BYTES ? START_BYTES : bytes;

    if (hold->first != NULL && room < CHUNK_BYTES)
        room = CHUNK_BYTES;
    if (room > CHUNK_BYTES)
        room = CHUNK_BYTES;
    return room < left ? room : left;
}

static struct hold_chunk *
add_chunk(struct hold *hold, size_t bytes)
{
    size_t room = room_for(hold, bytes);
    struct hold_chunk *chunk;

    if (!reserve(hold->ex, sizeof(*chunk) + room))
        return NULL;
    chunk = malloc(sizeof(*chunk) + room);
    if (chunk == NULL) {
        atomic_fetch_sub_explicit(&held_bytes, sizeof(*chunk) + room, memory_order_relaxed);
        return NULL;
    }
    chunk->next = NULL;
    chunk->bytes = 0;
    chunk->room = room;
    if (hold->last != NULL)
        hold->last->next = chunk;
    else
        hold->first = chunk;
    hold->last = chunk;
    return chunk;
}

/* False: there is no memory. Takes no more than one byte over the limit. */
static bool
keep(struct hold *hold, const char *data, size_t bytes, size_t *taken)
{
    while (bytes > 0 && hold->bytes <= hold->max_bytes) {
        struct hold_chunk *chunk = hold->last;
        size_t part;

        if (chunk == NULL || chunk->bytes == chunk->room)
            chunk = add_chunk(hold, bytes);
        if (chunk == NULL)
            return false;
        part = chunk->room - chunk->bytes < bytes ? chunk->room - chunk->bytes : bytes;
        memcpy(chunk->data + chunk->bytes, data, part);
        chunk->bytes += part;
        hold->bytes += part;
        *taken += part;
        data += part;
        bytes -= part;
    }
    return true;
}

static enum flow
put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct hold *hold = container_of(sink, struct hold, sink);

    *taken = 0;
    for (unsigned i = 0; i < piece->count; i++)
        if (!keep(hold, piece->iov[i].iov_base, piece->iov[i].iov_len, taken)) {
            hold->state = HOLD_REFUSED;
            return FLOW_END;
        }
    if (hold->bytes > hold->max_bytes) {
        hold->state = HOLD_PART;
        return FLOW_END;
    }
    if (!piece->is_last)
        return FLOW_MORE;
    hold->state = HOLD_WHOLE;
    return FLOW_END;
}

static enum flow
end(struct sink *sink, const struct fields *trailers)
{
    struct hold *hold = container_of(sink, struct hold, sink);

    hold->state = HOLD_WHOLE;
    hold->trailers = trailers;
    return FLOW_END;
}

static const struct sink_ops sink_ops = { .put = put, .end = end };

/* ---- reading */

static struct hold *
hold_of(struct pump *pump)
{
    return container_of(pump->sink, struct hold, sink);
}

static void
on_response_held(struct pump *pump, enum pump_result result)
{
    struct exchange *ex = container_of(pump, struct exchange, response_pump);
    struct hold *hold = hold_of(pump);

    if (result != PUMP_DONE)
        hold->state = HOLD_FAILED;
    if (!hold->is_starting)
        ex->road->on_resume(ex);
}

/* Nothing of it was sent yet: the request may still be tried again. */
static void
on_request_held(struct pump *pump, enum pump_result result)
{
    struct exchange *ex = container_of(pump, struct exchange, request_pump);
    struct hold *hold = hold_of(pump);

    pump->moved_bytes = 0;
    if (result == PUMP_DONE) {
        if (!hold->is_starting)
            ex->road->on_resume(ex);
        return;
    }
    hold->state = HOLD_FAILED;
    ex->road->on_request_cut(ex, END_CLIENT_ABORT);
}

static void
release(void *arg)
{
    hold_drop(arg);
}

static bool
begin(struct hold *hold, struct exchange *ex, struct source *inner, size_t max_bytes)
{
    must(inner != NULL && max_bytes < SIZE_MAX);
    hold->ex = ex;
    hold->max_bytes = max_bytes;
    hold->sink = (struct sink){ .ops = &sink_ops };
    hold->source.inner = inner;
    if (arena_defer(&ex->arena, release, hold) < 0) {
        hold->state = HOLD_REFUSED;
        return false;
    }
    hold->state = HOLD_READING;
    return true;
}

/* What is there at once needs nobody to be called back: the step would be taken twice. */
static void
read_content(struct hold *hold, struct pump *pump, struct source *inner,
             void (*on_done)(struct pump *, enum pump_result))
{
    hold->is_starting = true;
    pump_start(pump, hold->ex->worker->loop, inner, &hold->sink, on_done);
    hold->is_starting = false;
}

bool
hold_response(struct hold *hold, struct exchange *ex, size_t max_bytes)
{
    bool was_stopped = hold->state == HOLD_READING && hold->sink.pump == NULL;

    if (was_stopped) /* for another response, which took the place of that one */
        hold_drop(hold);
    if ((hold->state == HOLD_IDLE || was_stopped) &&
        begin(hold, ex, ex->response.body, max_bytes))
        read_content(hold, &ex->response_pump, ex->response.body, on_response_held);
    return hold->state != HOLD_READING;
}

/* Who waits for 100 would wait for ever. */
static void
tell_to_go_on(struct exchange *ex)
{
    static const struct fields none;

    if (!ex->request.expects_continue)
        return;
    ex->request.expects_continue = false;
    fields_remove(&ex->request.fields, FIELD_EXPECT);
    ex->down->ops->interim(ex, 100, &none);
}

bool
hold_request(struct hold *hold, struct exchange *ex, size_t max_bytes)
{
    if (hold->state == HOLD_IDLE && begin(hold, ex, ex->request.body, max_bytes)) {
        tell_to_go_on(ex);
        read_content(hold, &ex->request_pump, ex->request.body, on_request_held);
    }
    return hold->state != HOLD_READING && hold->state != HOLD_FAILED;
}

void
hold_stop(struct hold *hold)
{
    if (hold->state != HOLD_READING)
        return;
    pump_stop(hold->sink.pump);
    hold->state = HOLD_PART;
}

void
hold_answer(struct exchange *ex, const struct hold *hold)
{
    if (hold->state == HOLD_REFUSED) {
        counter_up(ex->worker->counters, limits_hit);
        exchange_decide_filter(ex, DECISION_FAILURE, NULL, NULL,
                               "no memory to hold content: held_content");
        exchange_answer(ex, 503, END_LIMIT, "Too much is under way here. Please try again.");
    } else {
        exchange_decide(ex, DECISION_FAILURE, NULL, "the response was cut short");
        exchange_answer(ex, 502, END_UPSTREAM_FAILED, "The response was cut short.");
    }
}

struct slice
hold_start(const struct hold *hold)
{
    return hold->first != NULL ? slice_make(hold->first->data, hold->first->bytes)
                               : slice_make(NULL, 0);
}

/* ---- giving it on */

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct hold *hold = container_of(source, struct hold, source);
    struct hold_chunk *chunk = hold->first;
    enum flow flow;

    if (chunk == NULL && hold->state == HOLD_WHOLE)
        return FLOW_END;
    if (chunk == NULL) {
        flow = source->inner->ops->offer(source->inner, forms, piece);
        source->trailers = source->inner->trailers;
        return flow;
    }
    *piece = (struct piece){ .form = FORM_SLICES };
    for (; chunk != NULL && piece->count < PIECE_SLICES; chunk = chunk->next) {
        size_t at = piece->count == 0 ? hold->at : 0;

        piece->iov[piece->count++] = (struct iovec){ chunk->data + at, chunk->bytes - at };
        piece->bytes += chunk->bytes - at;
    }
    piece->is_last = chunk == NULL && hold->state == HOLD_WHOLE && hold->trailers == NULL;
    return FLOW_MORE;
}

static void
take(struct source *source, size_t bytes)
{
    struct hold *hold = container_of(source, struct hold, source);

    if (hold->first == NULL) {
        source->inner->ops->take(source->inner, bytes);
        return;
    }
    must(bytes <= hold->bytes);
    hold->bytes -= bytes;
    hold->at += bytes;
    while (hold->first != NULL && hold->at >= hold->first->bytes) {
        struct hold_chunk *chunk = hold->first;

        hold->at -= chunk->bytes;
        hold->first = chunk->next;
        free_chunk(chunk);
    }
    if (hold->first == NULL)
        hold->last = NULL;
}

static void
cancel(struct source *source)
{
    struct hold *hold = container_of(source, struct hold, source);

    if (hold->state != HOLD_WHOLE)
        source_cancel_inner(source);
}

static const struct source_ops source_ops = { .offer = offer, .take = take, .cancel = cancel };

struct source *
hold_source(struct hold *hold)
{
    must(hold->state == HOLD_WHOLE || hold->state == HOLD_PART || hold->state == HOLD_REFUSED);
    hold->source.ops = &source_ops;
    if (hold->state == HOLD_WHOLE) {
        hold->source.inner = NULL;
        hold->source.trailers = hold->trailers;
    }
    return &hold->source;
}

void
hold_drop(struct hold *hold)
{
    while (hold->first != NULL) {
        struct hold_chunk *chunk = hold->first;

        hold->first = chunk->next;
        free_chunk(chunk);
    }
    hold->last = NULL;
    hold->bytes = hold->at = 0;
}
