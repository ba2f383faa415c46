/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_whole.c - gzip by libdeflate, which wants all of the content at once.
 *
 *     gather --all there--> compress --> give out
 *        '--too long, or wanted before its end--> zlib, of what was gathered and what follows
 *
 * So nobody waits longer for it than for what other engines make.
 */
#include "config.h"

#include "filters/compress_engine.h"

#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#include <stdlib.h>

#define FIRST_BYTES (16u * 1024)

struct whole_engine {
    struct compress_engine engine;
    struct compress_plan plan;
    struct compress_engine *stream;        /* what goes on instead; NULL: it gathers */
    char *in;
    size_t in_bytes, in_room, in_at;
    char *out;
    size_t out_bytes, out_room, out_at;
    bool is_made;                          /* out is all there is to give */
};

/* libdeflate's tables: needed for no longer than one call, so a thread has one of a level,
 * which stays in its caches. */
struct tables_engine {
    struct compress_engine engine;
    struct libdeflate_compressor *deflate;
};

static struct whole_engine *
whole_of(struct compress_engine *engine)
{
    return container_of(engine, struct whole_engine, engine);
}

/* What is gathered and what is made of it, or zlib. */
static size_t
cost(const struct compress_plan *plan)
{
    size_t most = plan->length < plan->whole_bytes ? (size_t)plan->length : plan->whole_bytes;

    return most * 2 + compress_zlib.cost(plan);
}

static void
destroy(struct compress_engine *engine)
{
    struct whole_engine *its = whole_of(engine);

    compress_engine_give(its->stream);
    free(its->in);
    free(its->out);
    free(its);
}

static struct compress_engine *
make(const struct compress_plan *plan)
{
    struct whole_engine *its = calloc(1, sizeof(*its));

    (void)plan;
    return its != NULL ? &its->engine : NULL;
}

static bool
grow(char **buffer, size_t *room, size_t wanted)
{
    char *larger;

    if (wanted <= *room)
        return true;
    larger = realloc(*buffer, wanted);
    if (larger == NULL)
        return false;
    *buffer = larger;
    *room = wanted;
    return true;
}

static bool
begin(struct compress_engine *engine, const struct compress_plan *plan)
{
    struct whole_engine *its = whole_of(engine);
    size_t expected = plan->length != LENGTH_UNKNOWN ? (size_t)plan->length : FIRST_BYTES;

    compress_engine_give(its->stream);
    its->stream = NULL;
    its->plan = *plan;
    its->in_bytes = its->in_at = its->out_bytes = its->out_at = 0;
    its->is_made = false;
    return grow(&its->in, &its->in_room, expected);
}

/* ---- going on as it comes */

static bool
open_stream(struct whole_engine *its)
{
    its->stream = compress_engine_take(&compress_zlib, &its->plan);
    return its->stream != NULL;
}

/* First what was gathered. */
static enum transform_result
work_stream(struct whole_engine *its, struct transform_step *step)
{
    struct transform_step gathered = { .in = its->in + its->in_at,
                                       .in_bytes = its->in_bytes - its->in_at,
                                       .out = step->out, .out_bytes = step->out_bytes };
    enum transform_result result;

    if (gathered.in_bytes > 0) {
        if (its->stream->ops->work(its->stream, &gathered) == TRANSFORM_FAILED)
            return TRANSFORM_FAILED;
        its->in_at += gathered.taken;
        step->made = gathered.made;
        if (gathered.made > 0 || gathered.taken < gathered.in_bytes)
            return TRANSFORM_MORE;
    }
    result = its->stream->ops->work(its->stream, step);
    if (result == TRANSFORM_DONE && step->is_end) {
        compress_engine_give(its->stream);
        its->stream = NULL;
    }
    return result;
}

static enum transform_result
go_on_as_it_comes(struct whole_engine *its, struct transform_step *step)
{
    return open_stream(its) ? work_stream(its, step) : TRANSFORM_FAILED;
}

/* ---- all at once */

static struct tables_engine *
tables_of(struct compress_engine *engine)
{
    return container_of(engine, struct tables_engine, engine);
}

static size_t
tables_cost(const struct compress_plan *plan)
{
    return plan->level < 8 ? 512u * 1024 : 8u * 1024 * 1024;
}

static struct compress_engine *
make_tables(const struct compress_plan *plan)
{
    struct tables_engine *tables = calloc(1, sizeof(*tables));

    if (tables == NULL)
        return NULL;
    tables->deflate = libdeflate_alloc_compressor(plan->level);
    if (tables->deflate != NULL)
        return &tables->engine;
    free(tables);
    return NULL;
}

static bool
begin_tables(struct compress_engine *engine, const struct compress_plan *plan)
{
    (void)engine;
    (void)plan;
    return true;
}

static void
destroy_tables(struct compress_engine *engine)
{
    libdeflate_free_compressor(tables_of(engine)->deflate);
    free(tables_of(engine));
}

static const struct compress_engine_ops tables_ops = {
    .cost = tables_cost,
    .make = make_tables,
    .begin = begin_tables,
    .destroy = destroy_tables,
};

/* False: memory is short for it. */
static bool
compress_all(struct whole_engine *its)
{
    struct compress_engine *tables = compress_engine_take(&tables_ops, &its->plan);
    struct libdeflate_compressor *deflate;

    if (tables == NULL)
        return false;
    deflate = tables_of(tables)->deflate;
    if (grow(&its->out, &its->out_room, libdeflate_gzip_compress_bound(deflate, its->in_bytes)))
        its->out_bytes = libdeflate_gzip_compress(deflate, its->in, its->in_bytes, its->out,
                                                  its->out_room);
    compress_engine_give(tables);
    its->is_made = its->out_bytes > 0;
    return its->is_made;
}

static enum transform_result
give_out(struct whole_engine *its, struct transform_step *step)
{
    size_t left = its->out_bytes - its->out_at;
    size_t part = left < step->out_bytes ? left : step->out_bytes;

    memcpy(step->out, its->out + its->out_at, part);
    its->out_at += part;
    step->made = part;
    return its->out_at == its->out_bytes ? TRANSFORM_DONE : TRANSFORM_MORE;
}

/* False: that is more than may be gathered, or there is no memory for it. */
static bool
gather(struct whole_engine *its, struct transform_step *step)
{
    size_t wanted = its->in_bytes + step->in_bytes, room = its->in_room * 2;

    if (step->in_bytes > its->plan.whole_bytes - its->in_bytes)
        return false;
    if (room > its->plan.whole_bytes)
        room = its->plan.whole_bytes;
    if (wanted > its->in_room && !grow(&its->in, &its->in_room, wanted > room ? wanted : room))
        return false;
    if (step->in_bytes > 0)
        memcpy(its->in + its->in_bytes, step->in, step->in_bytes);
    its->in_bytes += step->in_bytes;
    step->taken = step->in_bytes;
    return true;
}

static enum transform_result
work(struct compress_engine *engine, struct transform_step *step)
{
    struct whole_engine *its = whole_of(engine);

    if (its->stream != NULL)
        return work_stream(its, step);
    if (its->is_made)
        return give_out(its, step);
    if (step->is_flush || !gather(its, step))
        return go_on_as_it_comes(its, step);
    if (!step->is_end)
        return TRANSFORM_MORE;
    return compress_all(its) ? give_out(its, step) : go_on_as_it_comes(its, step);
}

const struct compress_engine_ops compress_whole = {
    .cost = cost,
    .make = make,
    .begin = begin,
    .work = work,
    .destroy = destroy,
};
#endif
