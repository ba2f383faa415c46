/* SPDX-License-Identifier: BSD-2-Clause */
/* content_bound.c - content of unknown length, up to a length. */
#include "config.h"

#include "filters/content_inside.h"

struct bound {
    struct source source;
    const struct content_conf *conf;
    struct exchange *ex;
    uint64_t left_bytes;
    bool is_over; /* said so */
};

/* With log_only it is told once, and passes. */
static bool
is_over(struct bound *bound)
{
    static const struct content_verdict verdict = { CONTENT_SIZE,
                                                    "the content is cut at max_size" };

    if (bound->is_over)
        return !bound->conf->log_only;
    bound->is_over = true;
    return content_rule(bound->conf, bound->ex, &verdict);
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct bound *bound = container_of(source, struct bound, source);
    /* What a socket is going to give is not known. */
    enum flow flow = source->inner->ops->offer(source->inner, forms & ~(unsigned)FORM_SOCKET,
                                               piece);

    if (flow == FLOW_END)
        source->trailers = source->inner->trailers;
    if (flow == FLOW_MORE && piece->bytes > bound->left_bytes && is_over(bound))
        return FLOW_FAILED;
    return flow;
}

static void
take(struct source *source, size_t bytes)
{
    struct bound *bound = container_of(source, struct bound, source);

    bound->left_bytes -= bytes < bound->left_bytes ? bytes : bound->left_bytes;
    source->inner->ops->take(source->inner, bytes);
}

static const struct source_ops ops = {
    .offer = offer,
    .take = take,
    .cancel = source_cancel_inner,
};

struct source *
content_bound(const struct content_conf *conf, struct exchange *ex, struct source *inner)
{
    struct bound *bound = arena_zalloc(&ex->arena, sizeof(*bound));

    if (bound == NULL)
        return inner; /* the arena remembers: the exchange is answered 503 */
    bound->source = (struct source){ .ops = &ops, .inner = inner };
    bound->conf = conf;
    bound->ex = ex;
    bound->left_bytes = conf->max_bytes;
    return &bound->source;
}
