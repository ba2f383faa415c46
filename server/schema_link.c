/* SPDX-License-Identifier: BSD-2-Clause */
/* schema_link.c - helpers of schema_finish() and its parts. */
#include "config.h"

#include "server/schema_link.h"

#include "filters/chain.h"
#include "filters/hide_server.h"
#include "server/config/reader.h"
#include "server/policy/policy.h"

#define NAME_BYTES_MAX 64

int
link_fail(struct err *err, const struct place *place, const char *what, const char *name)
{
    struct err found = *err;

    return config_place_fail(err, place, "%s \"%s\": %s", what, name, found.text);
}

static bool
is_name(const char *text)
{
    size_t bytes = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789_.-");

    return bytes > 0 && bytes <= NAME_BYTES_MAX && text[bytes] == '\0';
}

int
link_check_name(const char *what, const char *name, const struct place *place, struct err *err)
{
    if (is_name(name))
        return 0;
    return config_place_fail(err, place,
                             "%s \"%s\": a name has 1 to %d letters, digits, \"-\", "
                             "\"_\" and \".\"", what, name, NAME_BYTES_MAX);
}

int
link_filters(struct linker *linker, const struct config_list *list)
{
    size_t i;

    for (i = 0; i < list->count; i++) {
        struct filter_conf *filter = list->items[i];

        if (filter->ops->finish != NULL &&
            filter->ops->finish(filter, linker->conf, linker->arena, linker->err) < 0)
            return link_fail(linker->err, &filter->place, "filter", filter->ops->name);
    }
    return 0;
}

static int
link_chain(struct linker *linker, const struct config_list *const *lists, size_t count,
           const struct filter_chain **chain)
{
    *chain = filter_chain_new(linker->arena, lists, count);
    return *chain != NULL ? 0 : err_set(linker->err, "out of memory");
}

int
link_listener_chain(struct linker *linker, struct listener_conf *listener)
{
    const struct config_list *lists[] = { &listener->filters };

    return listener->filters.count == 0 ? 0 : link_chain(linker, lists, 1, &listener->chain);
}

/* hide_server is nearest to the server: what others say of Server stays. Most sites and routes
 * have no filters of their own, and share a chain. */
int
link_route_chain(struct linker *linker, const struct site_conf *site, struct route_conf *route)
{
    static const void *const hides[] = { &hide_server_default.filter };
    static const struct config_list hide = { (void **)(uintptr_t)hides, 1 }, none = { NULL, 0 };
    const struct config_list *of_route = route != &site->all ? &route->filters : &none;
    const struct config_list *lists[] = {
        &site->all.filters, of_route, site->hide_server ? &hide : &none,
    };

    if (of_route->count == 0 && route != &site->all)
        route->chain = site->all.chain;
    else if (of_route->count > 0 || site->all.filters.count > 0)
        return link_chain(linker, lists, ARRAY_COUNT(lists), &route->chain);
    else if (site->hide_server && linker->hide_chain == NULL &&
             link_chain(linker, &lists[2], 1, &linker->hide_chain) < 0)
        return -1;
    else
        route->chain = site->hide_server ? linker->hide_chain : NULL;
    return 0;
}

int
link_policy(struct linker *linker, const char *name, struct policy_conf **policy)
{
    *policy = NULL;
    if (name == NULL)
        return 0;
    *policy = policy_named(linker->conf, name, linker->err);
    return *policy != NULL ? 0 : -1;
}
