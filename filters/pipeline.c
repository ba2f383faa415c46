/* SPDX-License-Identifier: BSD-2-Clause */
/* pipeline.c - running the filters of an exchange.
 *
 * A run remembers how far each side has come, so that a filter which waited is
 * asked again and those before it are not.
 */
#include "config.h"

#include "filters/pipeline.h"

#include "filters/hide_server.h"

struct entry {
    const struct filter_conf *conf;
    void *state;
};

struct filter_run {
    unsigned count;
    unsigned request_at, fetch_at, deliver_at; /* filters done on each side */
    struct entry entries[];
};

static void
add(struct filter_run *run, struct exchange *ex, const struct filter_conf *conf)
{
    void *state = NULL;

    if (conf->ops->state_bytes > 0) {
        state = arena_zalloc(&ex->arena, conf->ops->state_bytes);
        if (state == NULL)
            return; /* the arena remembers: the exchange is refused before it is sent */
    }
    run->entries[run->count++] = (struct entry){ conf, state };
}

static void
add_all(struct filter_run *run, struct exchange *ex, const struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        add(run, ex, list->items[i]);
}

void
pipeline_begin(struct exchange *ex)
{
    static const struct config_list none = { NULL, 0 };
    const struct config_list *of_listener = &ex->listener->filters;
    const struct config_list *of_site = ex->site != NULL ? &ex->site->all.filters : &none;
    bool is_own_route = ex->route != NULL && ex->route != &ex->site->all;
    const struct config_list *of_route = is_own_route ? &ex->route->filters : &none;
    bool hides = ex->site != NULL && ex->site->hide_server;
    size_t count = of_listener->count + of_site->count + of_route->count + hides;
    struct filter_run *run;

    if (count == 0 || ex->filters != NULL)
        return;
    run = arena_zalloc(&ex->arena, sizeof(*run) + count * sizeof(run->entries[0]));
    if (run == NULL)
        return;
    ex->filters = run;
    add_all(run, ex, of_listener);
    add_all(run, ex, of_site);
    add_all(run, ex, of_route);
    if (hides) /* nearest to the server: what others say of Server stays */
        add(run, ex, &hide_server_default.filter);
}

/* A filter's content hook comes right behind its head hook, so that the next filter sees
 * what this one makes of the content. */
enum filter_verdict
pipeline_request(struct exchange *ex)
{
    struct filter_run *run = ex->filters;

    for (; run != NULL && run->request_at < run->count; run->request_at++) {
        const struct entry *entry = &run->entries[run->request_at];
        const struct filter_ops *ops = entry->conf->ops;

        if (ops->request_head != NULL) {
            enum filter_verdict verdict = ops->request_head(entry->conf, entry->state, ex);

            if (verdict != FILTER_NEXT)
                return verdict;
        }
        if (ops->request_body != NULL && ex->request.body != NULL)
            ex->request.body = ops->request_body(entry->conf, entry->state, ex, ex->request.body);
    }
    return FILTER_NEXT;
}

enum filter_verdict
pipeline_fetch(struct exchange *ex)
{
    struct filter_run *run = ex->filters;

    for (; run != NULL && run->fetch_at < run->count; run->fetch_at++) {
        const struct entry *entry = &run->entries[run->count - 1 - run->fetch_at];
        const struct filter_ops *ops = entry->conf->ops;

        if (ops->fetch_head != NULL) {
            enum filter_verdict verdict = ops->fetch_head(entry->conf, entry->state, ex);

            if (verdict != FILTER_NEXT)
                return verdict;
        }
        if (ops->fetch_body != NULL && ex->response.body != NULL)
            ex->response.body = ops->fetch_body(entry->conf, entry->state, ex, ex->response.body);
    }
    return FILTER_NEXT;
}

/* An answer that a filter put in place of the response is delivered through the filters
 * that are left. */
enum filter_verdict
pipeline_deliver(struct exchange *ex)
{
    struct filter_run *run = ex->filters;

    for (; run != NULL && run->deliver_at < run->count; run->deliver_at++) {
        const struct entry *entry = &run->entries[run->count - 1 - run->deliver_at];
        const struct filter_ops *ops = entry->conf->ops;
        enum filter_verdict verdict = FILTER_NEXT;

        if (ops->deliver_head != NULL)
            verdict = ops->deliver_head(entry->conf, entry->state, ex);
        if (verdict == FILTER_WAIT)
            return FILTER_WAIT;
        if (verdict == FILTER_NEXT && ops->deliver_body != NULL && ex->response.body != NULL)
            ex->response.body = ops->deliver_body(entry->conf, entry->state, ex,
                                                  ex->response.body);
    }
    return FILTER_NEXT;
}

void
pipeline_end(struct exchange *ex)
{
    struct filter_run *run = ex->filters;

    for (unsigned i = 0; run != NULL && i < run->count; i++) {
        const struct entry *entry = &run->entries[i];

        if (entry->conf->ops->end != NULL)
            entry->conf->ops->end(entry->conf, entry->state, ex);
    }
    ex->filters = NULL;
}
