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
 * Content is changed by wrapping its source in one of one's own (filters/transform.h).
 * A head hook that has to see content first takes it in (filters/hold.h). A source of
 * request content that finds something that must not pass calls exchange_refuse().
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

/* What a filter did, in one word each: "compressed". Each worker thread writes its own row;
 * bascule_filter_events_total adds them up. */
#define FILTER_EVENTS_MAX 8

struct filter_counts {
    const char *events[FILTER_EVENTS_MAX]; /* up to the first NULL */
    struct filter_count_row {
        _Atomic uint64_t n[FILTER_EVENTS_MAX];
    } __attribute__((aligned(64))) rows[WORKERS_MAX];
};

static inline void
filter_count(const struct exchange *ex, struct filter_counts *counts, unsigned event, uint64_t n)
{
    _Atomic uint64_t *at = &counts->rows[ex->worker->id].n[event];

    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* That an exchange would be refused, found out without doing it. */
struct filter_objection {
    unsigned status;  /* of the answer; 0: there would be none */
    struct slice why; /* in words, of the exchange's arena */
};

/* conf is read-only while serving; state is zeroed memory of the exchange's
 * arena. A hook that is NULL is not interested. */
struct filter_ops {
    const char *name; /* as written in the configuration */
    const char *text; /* one sentence for the manual */
    const struct option *options;
    size_t conf_bytes; /* of its struct, which begins with struct filter_conf */
    size_t state_bytes;
    struct filter_counts *counts; /* NULL: it counts nothing */
    int (*finish)(void *conf, struct conf *all, struct arena *arena, struct err *err);
    /* Finds or makes in the registry what outlives the snapshot; gives it back with arena
     * (arena_defer()). Worker process only. NULL: there is no such thing. */
    int (*adopt)(void *conf, struct arena *arena, struct err *err);
    /* Looks into the files that conf names, for `check`, and keeps nothing. NULL: none. */
    int (*check)(const void *conf, struct err *err);

    /* Whether it is configured to do something on the side of fetch: then it is a part of what
     * is stored, and of the cache's key. NULL: if it has hooks for that side. */
    bool (*works_on_fetch)(const void *conf);

    enum filter_verdict (*request_head)(const void *conf, void *state, struct exchange *ex);
    enum filter_verdict (*fetch_head)(const void *conf, void *state, struct exchange *ex);
    enum filter_verdict (*deliver_head)(const void *conf, void *state, struct exchange *ex);

    /* Called behind the filter's own head hook and before that of the next filter, when
     * there is content. Returns a source over inner (its ->inner set), or inner itself. */
    struct source *(*request_body)(const void *conf, void *state, struct exchange *ex,
                                   struct source *inner);
    struct source *(*fetch_body)(const void *conf, void *state, struct exchange *ex,
                                 struct source *inner);
    struct source *(*deliver_body)(const void *conf, void *state, struct exchange *ex,
                                   struct source *inner);

    void (*end)(const void *conf, void *state, struct exchange *ex);

    /* Whether its request_head would refuse ex, for `explain`: nothing is counted, and ex is only
     * a stand-in. NULL: that cannot be said, or it never does. */
    bool (*objects)(const void *conf, struct exchange *ex, struct filter_objection *objection);
};

/* All filters, in the order of the manual; ends with NULL. */
extern const struct filter_ops *const filters[];

#endif
