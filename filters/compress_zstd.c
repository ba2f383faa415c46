/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_zstd.c - zstd (RFC 8878), with windows that every recipient takes (RFC 9659). */
#include "config.h"

#include "filters/compress_engine.h"

#ifdef HAVE_ZSTD
#include <stdlib.h>
#include <zstd.h>

struct zstd_engine {
    struct compress_engine engine;
    ZSTD_CCtx *zstd;
};

static struct zstd_engine *
zstd_of(struct compress_engine *engine)
{
    return container_of(engine, struct zstd_engine, engine);
}

/* The window, blocks in and out, tables as large as the window has bytes. */
static size_t
cost(const struct compress_plan *plan)
{
    size_t window = (size_t)1 << compress_window_log(plan->length);

    return (384u * 1024) + window * (plan->level < 10 ? 5 : 13);
}

static struct compress_engine *
make(const struct compress_plan *plan)
{
    struct zstd_engine *its = calloc(1, sizeof(*its));

    (void)plan;
    if (its == NULL)
        return NULL;
    its->zstd = ZSTD_createCCtx();
    if (its->zstd != NULL)
        return &its->engine;
    free(its);
    return NULL;
}

static bool
set(ZSTD_CCtx *zstd, ZSTD_cParameter parameter, int value)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(zstd, parameter, value));
}

/* Without a checksum, as the connection has its own, and as others do. */
static bool
begin(struct compress_engine *engine, const struct compress_plan *plan)
{
    ZSTD_CCtx *zstd = zstd_of(engine)->zstd;

    return !ZSTD_isError(ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters)) &&
           set(zstd, ZSTD_c_compressionLevel, plan->level) &&
           set(zstd, ZSTD_c_windowLog, (int)compress_window_log(plan->length));
}

static enum transform_result
work(struct compress_engine *engine, struct transform_step *step)
{
    ZSTD_EndDirective directive = step->is_end     ? ZSTD_e_end
                                  : step->is_flush ? ZSTD_e_flush
                                                   : ZSTD_e_continue;
    ZSTD_inBuffer in = { step->in, step->in_bytes, 0 };
    ZSTD_outBuffer out = { step->out, step->out_bytes, 0 };
    size_t left = ZSTD_compressStream2(zstd_of(engine)->zstd, &out, &in, directive);

    step->taken = in.pos;
    step->made = out.pos;
    if (ZSTD_isError(left))
        return TRANSFORM_FAILED;
    return left == 0 && directive != ZSTD_e_continue ? TRANSFORM_DONE : TRANSFORM_MORE;
}

static void
destroy(struct compress_engine *engine)
{
    struct zstd_engine *its = zstd_of(engine);

    ZSTD_freeCCtx(its->zstd);
    free(its);
}

const struct compress_engine_ops compress_zstd = {
    .cost = cost,
    .make = make,
    .begin = begin,
    .work = work,
    .destroy = destroy,
};
#endif
