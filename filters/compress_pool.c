/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_pool.c - which engine does it; those that wait for the next content.
 *
 * Each thread keeps its own, the last one used first, as its memory is warm. What is kept is
 * bounded; a thread that ends frees it.
 */
#include "config.h"

#include "filters/compress_engine.h"

#include <pthread.h>

#define KEPT_BYTES (16u * 1024 * 1024) /* by a thread */

struct kept {
    struct compress_engine *first;
    size_t bytes;
    bool is_registered;
};

static _Thread_local struct kept kept;
static pthread_key_t at_end_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- which one */

unsigned
compress_window_log(uint64_t length)
{
    unsigned log = 10;

    if (length == LENGTH_UNKNOWN)
        return 18;
    while (log < 20 && (UINT64_C(1) << log) < length)
        log++;
    return log;
}

static const struct compress_engine_ops *
gzip_for(const struct compress_plan *plan)
{
#ifdef HAVE_ISAL
    if (plan->level <= 3)
        return &compress_isal;
#endif
#ifdef HAVE_LIBDEFLATE
    if (plan->length == LENGTH_UNKNOWN ? plan->whole_bytes > 0
                                       : plan->length <= plan->whole_bytes)
        return &compress_whole;
#endif
    (void)plan;
    return &compress_zlib;
}

const struct compress_engine_ops *
compress_engine_for(const struct compress_plan *plan)
{
    switch (plan->coding) {
    case CODING_BR:
#ifdef HAVE_BROTLI
        return &compress_br;
#endif
    case CODING_ZSTD:
#ifdef HAVE_ZSTD
        return &compress_zstd;
#endif
    case CODING_IDENTITY:
    case CODING_GZIP:
    case CODING_DEFLATE:
    case CODING_UNKNOWN:
    case CODING_COUNT:
        break;
    }
    return gzip_for(plan);
}

/* ---- those kept */

static void
free_all(void *arg)
{
    struct kept *all = arg;

    while (all->first != NULL) {
        struct compress_engine *engine = all->first;

        all->first = engine->next;
        engine->ops->destroy(engine);
    }
    all->bytes = 0;
}

static void
make_key(void)
{
    must(pthread_key_create(&at_end_key, free_all) == 0);
}

static struct compress_engine *
find(const struct compress_engine_ops *ops, int level)
{
    struct compress_engine **at = &kept.first, *engine;

    while (*at != NULL && ((*at)->ops != ops || (*at)->level != level))
        at = &(*at)->next;
    engine = *at;
    if (engine != NULL) {
        *at = engine->next;
        kept.bytes -= engine->bytes;
    }
    return engine;
}

struct compress_engine *
compress_engine_take(const struct compress_engine_ops *ops, const struct compress_plan *plan)
{
    struct compress_engine *engine = find(ops, plan->level);

    if (engine == NULL) {
        engine = ops->make(plan);
        if (engine == NULL)
            return NULL;
        engine->ops = ops;
        engine->level = plan->level;
    }
    engine->next = NULL;
    if (engine->bytes < ops->cost(plan))
        engine->bytes = ops->cost(plan); /* of the most it was used for */
    if (ops->begin(engine, plan))
        return engine;
    ops->destroy(engine);
    return NULL;
}

void
compress_engine_give(struct compress_engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->ops->is_single_use || kept.bytes + engine->bytes > KEPT_BYTES) {
        engine->ops->destroy(engine);
        return;
    }
    if (!kept.is_registered) {
        pthread_once(&once, make_key);
        kept.is_registered = pthread_setspecific(at_end_key, &kept) == 0;
    }
    engine->next = kept.first;
    kept.first = engine;
    kept.bytes += engine->bytes;
}
