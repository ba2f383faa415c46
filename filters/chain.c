/* SPDX-License-Identifier: BSD-2-Clause */
/* chain.c - on the way in filters run in the order written, on the way back in reverse. */
#include "config.h"

#include "filters/chain.h"

static bool
has_side(const struct filter_conf *conf, enum filter_side side)
{
    const struct filter_ops *ops = conf->ops;

    switch (side) {
    case SIDE_REQUEST:
        return ops->request_head != NULL || ops->request_body != NULL;
    case SIDE_FETCH:
        return (ops->fetch_head != NULL || ops->fetch_body != NULL) &&
               (ops->works_on_fetch == NULL || ops->works_on_fetch(conf));
    case SIDE_DELIVER:
        return ops->deliver_head != NULL || ops->deliver_body != NULL;
    case SIDE_END:
        return ops->end != NULL;
    case SIDE_COUNT:
        break;
    }
    return false;
}

static void
reverse(struct filter_links *side)
{
    for (unsigned i = 0; i < side->count / 2; i++) {
        struct filter_link first = side->links[i];

        side->links[i] = side->links[side->count - 1 - i];
        side->links[side->count - 1 - i] = first;
    }
}

static void
add(struct filter_chain *chain, const struct filter_conf *conf)
{
    struct filter_link link = { conf, conf->ops, chain->state_bytes };

    chain->state_bytes += (conf->ops->state_bytes + 7) & ~(size_t)7;
    for (unsigned side = 0; side < SIDE_COUNT; side++)
        if (has_side(conf, (enum filter_side)side))
            chain->sides[side].links[chain->sides[side].count++] = link;
}

/* How many filters have something to do on a side. */
static size_t
count_side(const struct config_list *const *lists, size_t count, enum filter_side side)
{
    size_t links = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lists[i]->count; k++)
            links += has_side(lists[i]->items[k], side);
    return links;
}

/* What they make of an answer is a part of what is stored: others make something else of it.
 * Those that are built in are the same for all. */
static struct slice
fetch_id(struct arena *arena, const struct filter_links *fetch)
{
    struct slice id = { "", 0 };

    for (unsigned i = 0; i < fetch->count; i++) {
        const struct filter_conf *conf = fetch->links[i].conf;

        if (conf->place.line > 0)
            id = arena_printf(arena, "%.*s\n%s=%08x", SLICE_ARG(id), conf->ops->name,
                              conf->place.digest);
    }
    return id;
}

const struct filter_chain *
filter_chain_new(struct arena *arena, const struct config_list *const *lists, size_t count)
{
    struct filter_chain *chain = arena_zalloc(arena, sizeof(*chain));

    for (unsigned side = 0; chain != NULL && side < SIDE_COUNT; side++) {
        size_t links = count_side(lists, count, (enum filter_side)side);

        if (links == 0)
            continue;
        chain->sides[side].links = arena_alloc(arena, links * sizeof(struct filter_link));
        if (chain->sides[side].links == NULL)
            return NULL;
    }
    for (size_t i = 0; chain != NULL && i < count; i++)
        for (size_t k = 0; k < lists[i]->count; k++)
            add(chain, lists[i]->items[k]);
    if (chain != NULL) {
        reverse(&chain->sides[SIDE_FETCH]);
        reverse(&chain->sides[SIDE_DELIVER]);
        chain->fetch_id = fetch_id(arena, &chain->sides[SIDE_FETCH]);
    }
    return chain;
}
