/* SPDX-License-Identifier: BSD-2-Clause */
/* decompress_source.c - decoded content, layer by layer, within bounds.
 *
 *     inner --gzip--> layer --br--> layer --> reader
 *
 * Every layer is a transform. What each one makes is judged by what came in from outside, so
 * that codings in codings do not multiply the ratio. A few KB of input can fill a window of
 * megabytes and stay there, so the memory of all decoders of the process is bounded, too.
 */
#include "config.h"

#include "filters/coding.h"

#include "filters/decompress_engine.h"

#include "server/generation.h"
#include "server/snapshot.h"

#define BUFFER_BYTES (32u * 1024)
#define TABLES_BYTES (256u * 1024) /* about what a decoder has beside its window */

struct decoding;

struct layer {
    struct transform transform;
    struct decompress_engine engine;
    struct decoding *decoding;
    uint64_t made_bytes;
    size_t memory_bytes; /* of decoders_bytes */
    bool is_outside;     /* reads what came */
};

struct decoding {
    struct decode_plan plan;
    struct exchange *ex;
    uint64_t coded_bytes;
    bool has_failed;
    struct layer layers[CODINGS_MAX];
};

static _Atomic uint64_t decoders_bytes; /* of the process */

uint64_t
decode_total_bytes(void)
{
    return atomic_load_explicit(&decoders_bytes, memory_order_relaxed);
}

const char *
decode_failure_text(enum decode_failure failure)
{
    switch (failure) {
    case DECODE_BROKEN:
        return "the content is not of its coding";
    case DECODE_CUT_SHORT:
        return "the coded content is cut short";
    case DECODE_TOO_LONG:
        return "the content is too long once decoded";
    case DECODE_TOO_DENSE:
        return "the content grows too much when decoded";
    case DECODE_NO_MEMORY:
        return "no memory to decode the content";
    }
    return "";
}

static void
refuse(struct exchange *ex, enum decode_failure failure)
{
    const char *why = decode_failure_text(failure);

    switch (failure) {
    case DECODE_BROKEN:
    case DECODE_CUT_SHORT:
        exchange_refuse(ex, 400, END_BAD_REQUEST, why);
        return;
    case DECODE_TOO_LONG:
    case DECODE_TOO_DENSE:
        exchange_refuse(ex, 413, END_LIMIT, why);
        return;
    case DECODE_NO_MEMORY:
        exchange_refuse(ex, 503, END_LIMIT, why);
        return;
    }
}

static enum transform_result
fail(struct decoding *decoding, enum decode_failure failure)
{
    if (decoding->has_failed)
        return TRANSFORM_FAILED;
    decoding->has_failed = true;
    exchange_decide_filter(decoding->ex, DECISION_FAILURE, NULL, NULL, "%s",
                           decode_failure_text(failure));
    if (decoding->plan.on_failed != NULL)
        decoding->plan.on_failed(decoding->ex, decoding->plan.arg, failure);
    if (decoding->plan.is_request)
        refuse(decoding->ex, failure);
    return TRANSFORM_FAILED;
}

/* What it has asked for; of windows only what is filled, as a few bytes of input may ask for
 * 16 MB: such memory is not there yet. */
static size_t
memory_of(const struct layer *layer)
{
    size_t asked = decompress_engine_bytes(&layer->engine);

    return asked < TABLES_BYTES || asked - TABLES_BYTES < layer->made_bytes
               ? asked
               : TABLES_BYTES + (size_t)layer->made_bytes;
}

/* Counts what the layer's decoder has now. False: it has grown, and all are over the limit. */
static bool
count_memory(struct layer *layer)
{
    uint64_t most = layer->decoding->ex->generation->snapshot->conf.held_bytes;
    size_t before = layer->memory_bytes, now = memory_of(layer);

    if (now == before)
        return true;
    layer->memory_bytes = now;
    return atomic_fetch_add_explicit(&decoders_bytes, (uint64_t)now - before,
                                     memory_order_relaxed) + now - before <= most ||
           now < before;
}

static void
close_engine(struct layer *layer)
{
    decompress_engine_fini(&layer->engine);
    atomic_fetch_sub_explicit(&decoders_bytes, layer->memory_bytes, memory_order_relaxed);
    layer->memory_bytes = 0;
}

static enum transform_result
judge(struct layer *layer, const struct transform_step *step)
{
    struct decoding *decoding = layer->decoding;
    const struct decode_plan *plan = &decoding->plan;

    if (layer->is_outside)
        decoding->coded_bytes += step->taken;
    layer->made_bytes += step->made;
    if (plan->max_bytes > 0 && layer->made_bytes > plan->max_bytes)
        return fail(decoding, DECODE_TOO_LONG);
    if (plan->max_ratio > 0 && layer->made_bytes > DECODE_FREE_BYTES &&
        layer->made_bytes / plan->max_ratio > decoding->coded_bytes)
        return fail(decoding, DECODE_TOO_DENSE);
    return TRANSFORM_MORE;
}

static enum transform_result
work(struct transform *transform, struct transform_step *step)
{
    struct layer *layer = container_of(transform, struct layer, transform);
    enum transform_result result;

    switch (decompress_engine_step(&layer->engine, step)) {
    case DECOMPRESS_WELL:
        break;
    case DECOMPRESS_BROKEN:
        return fail(layer->decoding, DECODE_BROKEN);
    case DECOMPRESS_NO_MEMORY:
        return fail(layer->decoding, DECODE_NO_MEMORY);
    }
    result = judge(layer, step);
    if (result == TRANSFORM_MORE && !count_memory(layer))
        return fail(layer->decoding, DECODE_NO_MEMORY);
    if (result != TRANSFORM_MORE || step->in_bytes > 0 || step->made > 0)
        return result;
    if (step->is_end && !decompress_engine_is_whole(&layer->engine))
        return fail(layer->decoding, DECODE_CUT_SHORT);
    if (step->is_end)
        close_engine(layer);
    return TRANSFORM_DONE;
}

static void
release(struct transform *transform)
{
    close_engine(container_of(transform, struct layer, transform));
}

static const struct transform_ops layer_ops = { .work = work, .release = release };

struct source *
decode_begin(struct exchange *ex, struct source *inner, const struct decode_plan *plan)
{
    struct decoding *decoding;

    if (plan->codings.count == 0)
        return inner;
    decoding = arena_zalloc(&ex->arena, sizeof(*decoding));
    if (decoding == NULL)
        return NULL;
    decoding->plan = *plan;
    decoding->ex = ex;
    for (unsigned i = plan->codings.count; i-- > 0 && inner != NULL;) {
        struct layer *layer = &decoding->layers[i];

        layer->decoding = decoding;
        layer->is_outside = i + 1 == plan->codings.count;
        decompress_engine_init(&layer->engine, plan->codings.items[i]);
        inner = transform_begin(&layer->transform, ex, inner, &layer_ops, BUFFER_BYTES, 0);
    }
    return inner;
}
