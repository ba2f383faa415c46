/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_isal.c - gzip by ISA-L: several times as fast as zlib at its lowest level, for no
 * more bytes. Its levels 1 to 3 stand for those of gzip.
 */
#include "config.h"

#include "filters/compress_engine.h"

#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

/* Where a block of output is gathered; more of it takes caches, and saves no bytes. */
static const uint32_t level_bytes[] = {
    [1] = ISAL_DEF_LVL1_SMALL,
    [2] = ISAL_DEF_LVL2_SMALL,
    [3] = ISAL_DEF_LVL3_SMALL,
};

struct isal_engine {
    struct compress_engine engine;
    struct isal_zstream isal;
    uint8_t level_memory[] __attribute__((aligned(16))); /* level_bytes */
};

static struct isal_engine *
isal_of(struct compress_engine *engine)
{
    return container_of(engine, struct isal_engine, engine);
}

static size_t
cost(const struct compress_plan *plan)
{
    return sizeof(struct isal_engine) + level_bytes[plan->level];
}

static struct compress_engine *
make(const struct compress_plan *plan)
{
    struct isal_engine *its = malloc(cost(plan));

    if (its == NULL)
        return NULL;
    its->engine = (struct compress_engine){ 0 };
    return &its->engine;
}

static bool
begin(struct compress_engine *engine, const struct compress_plan *plan)
{
    struct isal_engine *its = isal_of(engine);

    isal_deflate_init(&its->isal);
    its->isal.level = (uint32_t)plan->level;
    its->isal.level_buf = its->level_memory;
    its->isal.level_buf_size = level_bytes[plan->level];
    its->isal.gzip_flag = IGZIP_GZIP;
    return true;
}

static enum transform_result
work(struct compress_engine *engine, struct transform_step *step)
{
    struct isal_zstream *isal = &isal_of(engine)->isal;
    uint32_t in_part = step->in_bytes < INT32_MAX ? (uint32_t)step->in_bytes : INT32_MAX;

    isal->next_in = (uint8_t *)(uintptr_t)step->in;
    isal->avail_in = in_part;
    isal->next_out = (uint8_t *)step->out;
    isal->avail_out = (uint32_t)step->out_bytes;
    isal->end_of_stream = step->is_end;
    isal->flush = step->is_flush ? SYNC_FLUSH : NO_FLUSH;
    if (isal_deflate(isal) != COMP_OK)
        return TRANSFORM_FAILED;
    step->taken = in_part - isal->avail_in;
    step->made = step->out_bytes - isal->avail_out;
    if (step->is_end ? isal->internal_state.state == ZSTATE_END
                     : step->is_flush && isal->avail_out > 0)
        return TRANSFORM_DONE;
    return TRANSFORM_MORE;
}

static void
destroy(struct compress_engine *engine)
{
    free(isal_of(engine));
}

const struct compress_engine_ops compress_isal = {
    .cost = cost,
    .make = make,
    .begin = begin,
    .work = work,
    .destroy = destroy,
};
#endif
