/* SPDX-License-Identifier: BSD-2-Clause */
/* filter.h - what may be changed or refused on the way through.
 *
 * A filter states where it works:
 *
 *     request   client to upstream, before routing's choice is carried out
 *     fetch     upstream to cache: done once, then stored
 *     deliver   cache to client: done for every client, made-up answers too
 *
 * Heads are changed in place (ex->request.fields, ex->response.fields ...).
 * Content is changed by wrapping its source in one of one's own.
 */
#ifndef BASCULE_FILTER_H
#define BASCULE_FILTER_H

#include "server/config/option.h"
#include "server/http/exchange.h"

enum filter_verdict {
    FILTER_NEXT,   /* go on with the next filter */
    FILTER_WAIT,   /* the filter calls ex->road->on_resume(ex) later, and is asked again */
    FILTER_ANSWER, /* exchange_answer() made the response */
};

/* conf is read-only while serving; state is zeroed memory of the exchange's
 * arena. A hook that is NULL is not interested. */
struct filter_ops {
    const char *name; /* as written in the configuration */
    const char *text; /* one sentence for the manual */
    const struct option *options;
    size_t conf_bytes; /* of its struct, which begins with struct filter_conf */
    size_t state_bytes;
    int (*finish)(void *conf, struct conf *all, struct arena *arena, struct err *err);

    enum filter_verdict (*request_head)(const void *conf, void *state, struct exchange *ex);
    enum filter_verdict (*fetch_head)(const void *conf, void *state, struct exchange *ex);
    enum filter_verdict (*deliver_head)(const void *conf, void *state, struct exchange *ex);

    /* Returns a source over inner (its ->inner set), or inner itself. */
    struct source *(*request_body)(const void *conf, void *state, struct exchange *ex,
                                   struct source *inner);
    struct source *(*fetch_body)(const void *conf, void *state, struct exchange *ex,
                                 struct source *inner);
    struct source *(*deliver_body)(const void *conf, void *state, struct exchange *ex,
                                   struct source *inner);

    void (*end)(const void *conf, void *state, struct exchange *ex);
};

/* All filters, in the order of the manual; ends with NULL. */
extern const struct filter_ops *const filters[];

#endif
