/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_zlib.c - gzip by zlib, which is always there. */
#include "config.h"

#include "filters/compress_engine.h"

#include <stdlib.h>
#include <zlib.h>

#define COST_BYTES (264u * 1024) /* zlib's manual: windows of 32 KB, memLevel 8 */
#define MEM_LEVEL 8
#define WINDOW_BITS (15 + 16) /* with a head and a trailer of gzip */

struct zlib_engine {
    struct compress_engine engine;
    z_stream zlib;
};

static struct zlib_engine *
zlib_of(struct compress_engine *engine)
{
    return container_of(engine, struct zlib_engine, engine);
}

static size_t
cost(const struct compress_plan *plan)
{
    (void)plan;
    return COST_BYTES;
}

static struct compress_engine *
make(const struct compress_plan *plan)
{
    struct zlib_engine *its = calloc(1, sizeof(*its));

    if (its == NULL)
        return NULL;
    if (deflateInit2(&its->zlib, plan->level, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) == Z_OK)
        return &its->engine;
    free(its);
    return NULL;
}

static bool
begin(struct compress_engine *engine, const struct compress_plan *plan)
{
    (void)plan;
    return deflateReset(&zlib_of(engine)->zlib) == Z_OK;
}

static enum transform_result
work(struct compress_engine *engine, struct transform_step *step)
{
    z_stream *zlib = &zlib_of(engine)->zlib;
    uInt in_part = step->in_bytes < UINT32_MAX ? (uInt)step->in_bytes : UINT32_MAX;
    int flush = step->is_end ? Z_FINISH : step->is_flush ? Z_SYNC_FLUSH : Z_NO_FLUSH;
    int result;

    zlib->next_in = (Bytef *)(uintptr_t)step->in;
    zlib->avail_in = in_part;
    zlib->next_out = (Bytef *)step->out;
    zlib->avail_out = (uInt)step->out_bytes;
    result = deflate(zlib, flush);
    step->taken = in_part - zlib->avail_in;
    step->made = step->out_bytes - zlib->avail_out;
    if (result == Z_STREAM_END || (step->is_flush && zlib->avail_out > 0))
        return TRANSFORM_DONE;
    return result == Z_OK || result == Z_BUF_ERROR ? TRANSFORM_MORE : TRANSFORM_FAILED;
}

static void
destroy(struct compress_engine *engine)
{
    struct zlib_engine *its = zlib_of(engine);

    (void)deflateEnd(&its->zlib);
    free(its);
}

const struct compress_engine_ops compress_zlib = {
    .cost = cost,
    .make = make,
    .begin = begin,
    .work = work,
    .destroy = destroy,
};
