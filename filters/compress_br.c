/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_br.c - brotli. Its encoders cannot begin again, so each serves one content. */
#include "config.h"

#include "filters/compress_engine.h"

#ifdef HAVE_BROTLI
#include <brotli/encode.h>
#include <stdlib.h>

struct br_engine {
    struct compress_engine engine;
    BrotliEncoderState *br;
};

static struct br_engine *
br_of(struct compress_engine *engine)
{
    return container_of(engine, struct br_engine, engine);
}

/* Rings of twice the window, tables that grow with the level. */
static size_t
cost(const struct compress_plan *plan)
{
    size_t window = (size_t)1 << compress_window_log(plan->length);

    return (256u * 1024) + window * (plan->level < 5 ? 3 : plan->level < 10 ? 6 : 16);
}

static struct compress_engine *
make(const struct compress_plan *plan)
{
    struct br_engine *its = calloc(1, sizeof(*its));

    (void)plan;
    return its != NULL ? &its->engine : NULL;
}

static bool
begin(struct compress_engine *engine, const struct compress_plan *plan)
{
    struct br_engine *its = br_of(engine);
    uint32_t window_log = compress_window_log(plan->length);

    its->br = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    if (its->br == NULL)
        return false;
    if (window_log < 16)
        window_log = 16; /* smaller ones cost bytes in its head */
    BrotliEncoderSetParameter(its->br, BROTLI_PARAM_QUALITY, (uint32_t)plan->level);
    BrotliEncoderSetParameter(its->br, BROTLI_PARAM_LGWIN, window_log);
    if (plan->length < UINT32_MAX)
        BrotliEncoderSetParameter(its->br, BROTLI_PARAM_SIZE_HINT, (uint32_t)plan->length);
    return true;
}

static enum transform_result
work(struct compress_engine *engine, struct transform_step *step)
{
    BrotliEncoderState *br = br_of(engine)->br;
    BrotliEncoderOperation operation = step->is_end     ? BROTLI_OPERATION_FINISH
                                       : step->is_flush ? BROTLI_OPERATION_FLUSH
                                                        : BROTLI_OPERATION_PROCESS;
    const uint8_t *in = (const uint8_t *)step->in;
    uint8_t *out = (uint8_t *)step->out;
    size_t in_left = step->in_bytes, room = step->out_bytes;

    if (!BrotliEncoderCompressStream(br, operation, &in_left, &in, &room, &out, NULL))
        return TRANSFORM_FAILED;
    step->taken = step->in_bytes - in_left;
    step->made = step->out_bytes - room;
    if (step->is_end ? BrotliEncoderIsFinished(br)
                     : step->is_flush && !BrotliEncoderHasMoreOutput(br))
        return TRANSFORM_DONE;
    return TRANSFORM_MORE;
}

static void
destroy(struct compress_engine *engine)
{
    struct br_engine *its = br_of(engine);

    BrotliEncoderDestroyInstance(its->br);
    free(its);
}

const struct compress_engine_ops compress_br = {
    .cost = cost,
    .make = make,
    .begin = begin,
    .work = work,
    .destroy = destroy,
    .is_single_use = true,
};
#endif
