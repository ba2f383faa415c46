/* SPDX-License-Identifier: BSD-2-Clause */
/* pipeline.c - running the filters of an exchange: the listener's chain, and that of the site's
 * route behind it, nearer to the server.
 *
 * A run remembers how far each side has come, so that a filter which waited is
 * asked again and those before it are not. A filter's content hook comes right behind its head
 * hook, so that the next filter sees what this one makes of the content.
 */
#include "config.h"

#include "filters/pipeline.h"

#include "filters/chain.h"

struct filter_run {
    const struct filter_chain *chains[2]; /* from the client on; NULL: none */
    char *states[2];
    struct filter_place {
        unsigned chain; /* how many chains are done */
        unsigned link;  /* ... and filters of the next one */
    } at[SIDE_COUNT];
};

static const struct filter_chain *
chain_of_route(const struct exchange *ex)
{
    if (ex->site == NULL)
        return NULL;
    return ex->route == NULL ? ex->site->all.chain : ex->route->chain;
}

void
pipeline_fetch_ids(const struct exchange *ex, struct slice ids[2])
{
    const struct filter_chain *chains[] = { ex->listener->chain, chain_of_route(ex) };

    for (unsigned i = 0; i < 2; i++)
        ids[i] = chains[i] != NULL ? chains[i]->fetch_id : slice_make("", 0);
}

void
pipeline_begin(struct exchange *ex)
{
    const struct filter_chain *of_listener = ex->listener->chain;
    const struct filter_chain *of_route = chain_of_route(ex);
    size_t bytes = (of_listener != NULL ? of_listener->state_bytes : 0) +
                   (of_route != NULL ? of_route->state_bytes : 0);
    struct filter_run *run;

    if ((of_listener == NULL && of_route == NULL) || ex->filters != NULL)
        return;
    run = arena_zalloc(&ex->arena, sizeof(*run) + bytes);
    if (run == NULL)
        return; /* the arena remembers: the exchange is refused before it is sent */
    run->chains[0] = of_listener;
    run->chains[1] = of_route;
    run->states[0] = (char *)(run + 1);
    run->states[1] = run->states[0] + (of_listener != NULL ? of_listener->state_bytes : 0);
    ex->filters = run;
}

/* The next filter to run on a side; NULL: that was the last. */
static inline const struct filter_link *
next_link(struct filter_run *run, enum filter_side side, void **state)
{
    bool is_back = side == SIDE_FETCH || side == SIDE_DELIVER;
    struct filter_place *at = run != NULL ? &run->at[side] : NULL;

    for (; at != NULL && at->chain < 2; at->chain++, at->link = 0) {
        unsigned which = is_back ? 1 - at->chain : at->chain;
        const struct filter_chain *chain = run->chains[which];

        if (chain != NULL && at->link < chain->sides[side].count) {
            const struct filter_link *link = &chain->sides[side].links[at->link];

            *state = run->states[which] + link->state_at;
            return link;
        }
    }
    return NULL;
}

enum filter_verdict
pipeline_request(struct exchange *ex)
{
    struct filter_run *run = ex->filters;
    const struct filter_link *link;
    void *state;

    for (; (link = next_link(run, SIDE_REQUEST, &state)) != NULL; run->at[SIDE_REQUEST].link++) {
        if (link->ops->request_head != NULL) {
            enum filter_verdict verdict = link->ops->request_head(link->conf, state, ex);

            if (verdict != FILTER_NEXT)
                return verdict;
        }
        if (link->ops->request_body != NULL && ex->request.body != NULL)
            ex->request.body = link->ops->request_body(link->conf, state, ex, ex->request.body);
    }
    return FILTER_NEXT;
}

enum filter_verdict
pipeline_fetch(struct exchange *ex)
{
    struct filter_run *run = ex->filters;
    const struct filter_link *link;
    void *state;

    for (; (link = next_link(run, SIDE_FETCH, &state)) != NULL; run->at[SIDE_FETCH].link++) {
        if (link->ops->fetch_head != NULL) {
            enum filter_verdict verdict = link->ops->fetch_head(link->conf, state, ex);

            if (verdict != FILTER_NEXT)
                return verdict;
        }
        if (link->ops->fetch_body != NULL && ex->response.body != NULL)
            ex->response.body = link->ops->fetch_body(link->conf, state, ex, ex->response.body);
    }
    return FILTER_NEXT;
}

/* An answer that a filter put in place of the response is delivered through the filters
 * that are left. */
enum filter_verdict
pipeline_deliver(struct exchange *ex)
{
    struct filter_run *run = ex->filters;
    const struct filter_link *link;
    void *state;

    for (; (link = next_link(run, SIDE_DELIVER, &state)) != NULL; run->at[SIDE_DELIVER].link++) {
        enum filter_verdict verdict = FILTER_NEXT;

        if (link->ops->deliver_head != NULL)
            verdict = link->ops->deliver_head(link->conf, state, ex);
        if (verdict == FILTER_WAIT)
            return FILTER_WAIT;
        if (verdict == FILTER_NEXT && link->ops->deliver_body != NULL && ex->response.body != NULL)
            ex->response.body = link->ops->deliver_body(link->conf, state, ex, ex->response.body);
    }
    return FILTER_NEXT;
}

bool
pipeline_objects(struct exchange *ex, struct filter_objection *objection)
{
    const struct filter_chain *chains[] = { ex->listener->chain, chain_of_route(ex) };

    for (unsigned i = 0; i < 2; i++) {
        const struct filter_links *side = chains[i] != NULL ? &chains[i]->sides[SIDE_REQUEST]
                                                            : NULL;

        for (unsigned k = 0; side != NULL && k < side->count; k++)
            if (side->links[k].ops->objects != NULL &&
                side->links[k].ops->objects(side->links[k].conf, ex, objection))
                return true;
    }
    return false;
}

void
pipeline_end(struct exchange *ex)
{
    struct filter_run *run = ex->filters;
    const struct filter_link *link;
    void *state;

    for (; (link = next_link(run, SIDE_END, &state)) != NULL; run->at[SIDE_END].link++)
        link->ops->end(link->conf, state, ex);
    ex->filters = NULL;
}
