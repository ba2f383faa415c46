/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_places.c - takes an exchange that is only thought of along every road. */
#include "config.h"

#include "modes/cache_places.h"

#include "cache/cache_conf.h"
#include "modes/look_up.h"
#include "modes/mode.h"
#include "modes/site_route.h"
#include "server/host_map.h"
#include "server/http/uri.h"

struct places {
    struct cache_place *items;
    unsigned count;
};

void
cache_places_think(struct exchange *ex, const struct public_url *url)
{
    struct request *request = &ex->request;
    struct slice text = public_url_text(&ex->arena, url);
    size_t before = url->scheme.bytes + 3;

    if (text.data == NULL)
        return;
    *request = (struct request){
        .method = METHOD_GET,
        .method_name = SLICE("GET"),
        .form = TARGET_ORIGIN,
        .minor_version = 1,
        .scheme = url->scheme,
        .host = url->host,
        .port = url->port,
        .authority = slice_make(text.data + before, text.bytes - before - url->resource.bytes),
        .target = url->resource,
    };
    uri_split_query(url->resource, &request->path, &request->query);
}

static void
add(struct places *places, struct exchange *ex, const struct cache_conf *conf, const char *site)
{
    struct key_parts parts = look_up_parts(ex);
    struct slice key = cache_key_make(&ex->arena, &conf->key, &parts);

    if (key.data == NULL || places->count == CACHE_PLACES_MAX)
        return;
    for (unsigned i = 0; i < places->count; i++)
        if (places->items[i].conf->store == conf->store && slice_equal(places->items[i].key, key))
            return;
    places->items[places->count++] = (struct cache_place){ conf, site, key };
}

static void
add_site(struct places *places, struct exchange *ex, const struct listener_conf *listener,
         struct site_conf *site)
{
    if (site == NULL || uri_normal_path(ex->request.path, &ex->arena).data == NULL)
        return;
    ex->listener = (struct listener_conf *)listener;
    ex->site = site;
    ex->out = (struct upstream_request){ 0 };
    if (site_route(ex) != STEP_NEXT || ex->to.group == NULL || ex->route->cache.store == NULL)
        return;
    site_prepare(ex);
    add(places, ex, &ex->route->cache, site->name);
}

static void
add_internet(struct places *places, struct exchange *ex, const struct listener_conf *listener)
{
    if (listener->cache.store == NULL)
        return;
    ex->listener = (struct listener_conf *)listener;
    ex->site = NULL;
    ex->route = NULL;
    ex->to = (struct destination){
        .host = ex->request.host,
        .parent = listener->mode->parent(listener),
    };
    ex->out = (struct upstream_request){ .authority = ex->request.authority };
    add(places, ex, &listener->cache, listener->name);
}

unsigned
cache_places_find(struct exchange *ex, const struct conf *conf,
                  struct cache_place items[CACHE_PLACES_MAX])
{
    struct places places = { .items = items };

    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        if (listener->sites != NULL)
            add_site(&places, ex, listener, host_map_find(listener->sites, ex->request.host));
        if (listener->mode->parent == NULL)
            continue;
        if (conf->forward_to_sites && conf->hosts != NULL)
            add_site(&places, ex, listener, host_map_find_named(conf->hosts, ex->request.host));
        add_internet(&places, ex, listener);
    }
    return places.count;
}
