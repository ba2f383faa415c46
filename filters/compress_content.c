/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_content.c - content on its way through an engine.
 *
 * The engine is there only while content comes, not while it is waited for its first byte
 * or its last one was made. What it costs is set aside before, when the fields are decided.
 */
#include "config.h"

#include "filters/compress_inside.h"

#define BUFFER_BYTES (32u * 1024)

static _Atomic uint64_t reserved_bytes; /* of the process */

struct filter_counts compress_counts = { .events = {
    [COMPRESS_GZIP] = "gzip",
    [COMPRESS_BR] = "br",
    [COMPRESS_ZSTD] = "zstd",
    [COMPRESS_NOT_ACCEPTED] = "not_accepted",
    [COMPRESS_NO_MEMORY] = "no_memory",
    [COMPRESS_BYTES_IN] = "bytes_in",
    [COMPRESS_BYTES_OUT] = "bytes_out",
} };

static void
give_back(struct compress_content *content)
{
    compress_engine_give(content->engine);
    content->engine = NULL;
    if (content->reserved_bytes > 0)
        atomic_fetch_sub_explicit(&reserved_bytes, content->reserved_bytes, memory_order_relaxed);
    content->reserved_bytes = 0;
}

bool
compress_content_reserve(struct compress_content *content, struct exchange *ex,
                         const struct compress_plan *plan, uint64_t memory_bytes)
{
    const struct compress_engine_ops *ops = compress_engine_for(plan);
    size_t bytes = ops->cost(plan);

    if (atomic_fetch_add_explicit(&reserved_bytes, bytes, memory_order_relaxed) + bytes >
        memory_bytes) {
        atomic_fetch_sub_explicit(&reserved_bytes, bytes, memory_order_relaxed);
        return false;
    }
    content->reserved_bytes = bytes;
    content->ex = ex;
    content->plan = *plan;
    content->ops = ops;
    return true;
}

static enum transform_result
work(struct transform *transform, struct transform_step *step)
{
    struct compress_content *content = container_of(transform, struct compress_content, transform);
    enum transform_result result;

    if (content->engine == NULL)
        content->engine = compress_engine_take(content->ops, &content->plan);
    if (content->engine == NULL)
        return TRANSFORM_FAILED;
    result = content->ops->work(content->engine, step);
    content->in_bytes += step->taken;
    content->out_bytes += step->made;
    if (result == TRANSFORM_DONE && step->is_end)
        give_back(content);
    return result;
}

static void
release(struct transform *transform)
{
    struct compress_content *content = container_of(transform, struct compress_content, transform);

    give_back(content);
    filter_count(content->ex, &compress_counts, COMPRESS_BYTES_IN, content->in_bytes);
    filter_count(content->ex, &compress_counts, COMPRESS_BYTES_OUT, content->out_bytes);
}

static const struct transform_ops transform_ops = { .work = work, .release = release };

struct source *
compress_content_begin(struct compress_content *content, struct source *inner, uint32_t flush_ms)
{
    return transform_begin(&content->transform, content->ex, inner, &transform_ops, BUFFER_BYTES,
                           flush_ms);
}
