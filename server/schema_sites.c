/* SPDX-License-Identifier: BSD-2-Clause */
/* schema_sites.c - sites, their routes, and what is done with a request.
 *
 * Linear in the number of sites; each route is compared with those before it.
 */
#include "config.h"

#include "server/schema_link.h"

#include "server/config/reader.h"
#include "server/error_pages.h"
#include "server/host_map.h"
#include "server/http/scan.h"
#include "server/http/uri.h"
#include "server/schema_tls.h"

/* ---- syntax of small things */

/* Characters that may stand in a URI as we send it (RFC 3986 section 2). */
static bool
is_uri_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || strchr("\"<>\\^`{|}", *text) != NULL)
            return false;
    }
    return true;
}

static bool
is_path(const char *text)
{
    return text[0] == '/' && is_uri_text(text) && strpbrk(text, "?#") == NULL;
}

/* A path that requests are compared with, in the normal form that they have. */
static int
normalise_path(struct linker *linker, const char *option, const char **path)
{
    struct slice normal;

    if (*path == NULL)
        return 0;
    if (!is_path(*path))
        return err_set(linker->err, "%s \"%s\" is no path: it begins with \"/\" and has no \"?\"",
                       option, *path);
    normal = uri_normal_path(slice_of(*path), linker->arena);
    if (normal.data == NULL)
        return err_set(linker->err, "%s \"%s\" has a \"%%\" without two hexadecimal digits", option,
                       *path);
    *path = arena_copy(linker->arena, normal).data;
    return *path != NULL ? 0 : err_set(linker->err, "out of memory");
}

/* ---- actions: what is done with a request, in a site or in a route */

static int
check_redirect(const struct redirect_conf *redirect, struct err *err)
{
    static const int64_t statuses[] = { 301, 302, 303, 307, 308 };
    bool is_url = strncmp(redirect->to, "http://", 7) == 0 ||
                  strncmp(redirect->to, "https://", 8) == 0;
    size_t i = 0;

    if ((!is_url && redirect->to[0] != '/') || !is_uri_text(redirect->to))
        return err_set(err, "redirect to \"%s\": expected a path that begins with \"/\", or a URL "
                            "that begins with \"http://\" or \"https://\"", redirect->to);
    while (i < ARRAY_COUNT(statuses) && statuses[i] != redirect->status)
        i++;
    if (i == ARRAY_COUNT(statuses))
        return err_set(err, "redirect with status %d: expected 301, 302, 303, 307 or 308",
                       (int)redirect->status);
    return 0;
}

static int
check_prefixes(struct linker *linker, struct route_conf *route)
{
    if (normalise_path(linker, "strip_prefix", &route->strip_prefix) < 0)
        return -1;
    if (route->add_prefix != NULL && !is_path(route->add_prefix))
        return err_set(linker->err, "add_prefix \"%s\" is no path: it begins with \"/\"",
                       route->add_prefix);
    return 0;
}

static int
check_host(const char *host, struct linker *linker)
{
    const char *colon = strrchr(host, ':');
    struct slice name = slice_of(host), clean;
    uint64_t port;

    if (strcmp(host, "client") == 0 || strcmp(host, "endpoint") == 0)
        return 0;
    if (colon != NULL && slice_to_u64(slice_of(colon + 1), 65535, &port))
        name.bytes = (size_t)(colon - host);
    if (slice_find(name, '*') >= 0)
        return err_set(linker->err, "host \"%s\": expected \"client\", \"endpoint\", or a name",
                       host);
    if (host_map_clean(name, &clean, &linker->scratch, linker->err) < 0)
        return err_prefix(linker->err, "host: ");
    return 0;
}

static bool
has_action(const struct route_conf *route)
{
    return route->group_name != NULL || route->redirect.to != NULL || route->welcome;
}

static int
check_action(struct linker *linker, struct route_conf *route)
{
    struct err *err = linker->err;
    int actions = (route->group_name != NULL) + (route->redirect.to != NULL) + route->welcome;

    if (actions > 1)
        return err_set(err, "group, redirect and welcome exclude each other");
    if (route->redirect.to != NULL && check_redirect(&route->redirect, err) < 0)
        return -1;
    if (check_prefixes(linker, route) < 0)
        return -1;
    if (route->host != NULL && check_host(route->host, linker) < 0)
        return -1;
    if (cache_conf_finish(&route->cache, &linker->conf->stores, linker->arena, err) < 0)
        return -1;
    if (route->group_name == NULL)
        return 0;
    route->group = conf_group(linker->conf, route->group_name, err);
    return route->group != NULL ? 0 : -1;
}

/* ---- routes */

static int
check_matches(struct linker *linker, struct route_conf *route)
{
    struct err *err = linker->err;
    size_t i;

    if ((route->path != NULL) + (route->path_prefix != NULL) + (route->path_regex != NULL) > 1)
        return err_set(err, "path, path_prefix and path_regex exclude each other");
    if (normalise_path(linker, "path", &route->path) < 0 ||
        normalise_path(linker, "path_prefix", &route->path_prefix) < 0)
        return -1;
    for (i = 0; i < route->methods.count; i++) {
        struct slice method = route->methods.items[i];

        if (!scan_is_token(method))
            return err_set(err, "\"%.*s\" is not a method", SLICE_ARG(method));
        if (method.data[strcspn(method.data, "abcdefghijklmnopqrstuvwxyz")] != '\0')
            return err_set(err, "method \"%.*s\": methods are written in capitals",
                           SLICE_ARG(method));
    }
    for (i = 0; i < route->headers.count; i++) {
        const struct header_match *match = route->headers.items[i];

        if (!scan_is_token(slice_of(match->name)))
            return err_set(err, "\"%s\" is not the name of a header field", match->name);
        if (match->value != NULL && match->pattern != NULL)
            return err_set(err, "header \"%s\": value and regex exclude each other", match->name);
    }
    return 0;
}

/* Whether the route takes every request for its paths. */
static bool
is_unconditional(const struct route_conf *route)
{
    return route->methods.count == 0 && route->headers.count == 0 && route->path_regex == NULL;
}

/* Whether first, being earlier, takes all that second is for. */
static bool
is_covered(const struct route_conf *first, const struct route_conf *second)
{
    const char *path = second->path != NULL ? second->path : second->path_prefix;
    size_t bytes;

    if (first->path == NULL && first->path_prefix == NULL)
        return true;
    if (path == NULL)
        return first->path_prefix != NULL && strcmp(first->path_prefix, "/") == 0;
    if (first->path != NULL)
        return second->path != NULL && strcmp(first->path, path) == 0;
    bytes = strlen(first->path_prefix);
    return strncmp(first->path_prefix, path, bytes) == 0 &&
           (path[bytes] == '\0' || path[bytes] == '/' || first->path_prefix[bytes - 1] == '/');
}

/* An earlier route that leaves nothing for the one at position. */
static const struct route_conf *
find_cover(const struct site_conf *site, size_t position)
{
    size_t i;

    for (i = 0; i < position; i++) {
        const struct route_conf *earlier = site->routes.items[i];

        if (is_unconditional(earlier) && is_covered(earlier, site->routes.items[position]))
            return earlier;
    }
    return NULL;
}

/* A route says what differs from its site. */
static void
inherit(struct route_conf *route, const struct route_conf *all)
{
    if (!has_action(route)) {
        route->group_name = all->group_name;
        route->group = all->group;
        route->redirect = all->redirect;
        route->welcome = all->welcome;
    }
    if (route->host == NULL)
        route->host = all->host;
    if (route->cache.place.line == 0)
        route->cache = all->cache;
}

/* The fields by which a route is chosen tell its pages apart. */
static int
add_key_headers(struct route_conf *route, struct arena *arena)
{
    struct slice *names = arena_alloc(arena, (route->headers.count + 1) * sizeof(*names));

    if (names == NULL)
        return -1;
    for (size_t i = 0; i < route->headers.count; i++)
        names[i] = slice_of(((const struct header_match *)route->headers.items[i])->name);
    route->cache.key.headers = names;
    route->cache.key.header_count = (unsigned)route->headers.count;
    return 0;
}

/* Who lets GET through lets HEAD through (RFC 9110 section 9.3.2). */
static int
add_head(struct strings *methods, struct arena *arena)
{
    bool has_get = false, has_head = false;
    struct slice *items;
    size_t i;

    for (i = 0; i < methods->count; i++) {
        has_get = has_get || slice_equal(methods->items[i], SLICE("GET"));
        has_head = has_head || slice_equal(methods->items[i], SLICE("HEAD"));
    }
    if (!has_get || has_head)
        return 0;
    items = arena_alloc(arena, (methods->count + 1) * sizeof(*items));
    if (items == NULL)
        return -1;
    memcpy(items, methods->items, methods->count * sizeof(*items));
    items[methods->count] = SLICE("HEAD");
    *methods = (struct strings){ items, methods->count + 1 };
    return 0;
}

/* As the reader names it: by its name or, from 1 on, its number. */
static int
fail_in_route(struct linker *linker, const struct site_conf *site, size_t position)
{
    const struct route_conf *route = site->routes.items[position];
    struct err found = *linker->err;

    if (route->name != NULL)
        return config_place_fail(linker->err, &route->place, "site \"%s\": route \"%s\": %s",
                                 site->name, route->name, found.text);
    return config_place_fail(linker->err, &route->place, "site \"%s\": route %zu: %s", site->name,
                             position + 1, found.text);
}

static int
check_route(struct linker *linker, struct site_conf *site, size_t position)
{
    struct route_conf *route = site->routes.items[position];
    const struct route_conf *cover;

    if (check_matches(linker, route) < 0 || check_action(linker, route) < 0)
        return -1;
    if (add_head(&route->methods, linker->arena) < 0)
        return err_set(linker->err, "out of memory");
    inherit(route, &site->all);
    if (add_key_headers(route, linker->arena) < 0)
        return err_set(linker->err, "out of memory");
    if (!has_action(route))
        return err_set(linker->err, "needs group, redirect or welcome, as its site has none");
    cover = find_cover(site, position);
    if (cover != NULL)
        return err_set(linker->err,
                       "is never reached: the route at %s:%u comes first and takes all of it",
                       cover->place.file, cover->place.line);
    return 0;
}

static int
finish_route(struct linker *linker, struct site_conf *site, size_t position)
{
    struct route_conf *route = site->routes.items[position];

    if (check_route(linker, site, position) < 0)
        return fail_in_route(linker, site, position);
    return link_filters(linker, &route->filters);
}

/* ---- sites */

static int
add_hosts(struct linker *linker, struct site_conf *site)
{
    const struct site_conf *other;
    struct slice clean;
    size_t i;

    for (i = 0; i < site->hosts.count; i++) {
        if (host_map_clean(site->hosts.items[i], &clean, linker->arena, linker->err) < 0)
            return -1;
        other = host_map_add(linker->conf->hosts, clean, site);
        if (other == site)
            return err_set(linker->err, "host \"%.*s\" is there twice", SLICE_ARG(clean));
        if (other != NULL)
            return err_set(linker->err, "host \"%.*s\" is that of site \"%s\" already, at %s:%u",
                           SLICE_ARG(clean), other->name, other->place.file, other->place.line);
        site->hosts.items[i] = clean;
    }
    return 0;
}

/* All but the routes. */
static int
check_site(struct linker *linker, struct site_conf *site)
{
    if (add_hosts(linker, site) < 0)
        return -1;
    if (site->hosts.count == 0 && !site->is_default)
        return err_set(linker->err, "needs hosts, or default = true");
    if (check_action(linker, &site->all) < 0 || link_site_tls(linker, site) < 0 ||
        error_page_finish(&site->error_page, linker->err) < 0 ||
        link_policy(linker, site->policy_name, &site->policy) < 0)
        return -1;
    if (!has_action(&site->all) && site->routes.count == 0 && site->pass_through == NULL)
        return err_set(linker->err, "needs group, redirect, welcome, routes or pass_through");
    return 0;
}

static int
finish_site(struct linker *linker, struct site_conf *site)
{
    size_t i;

    if (link_check_name("site", site->name, &site->place, linker->err) < 0)
        return -1;
    if (check_site(linker, site) < 0)
        return link_fail(linker->err, &site->place, "site", site->name);
    site->all.place = site->place;
    if (site->all.host == NULL)
        site->all.host = "client";
    for (i = 0; i < site->routes.count; i++) {
        if (finish_route(linker, site, i) < 0)
            return -1;
    }
    if (link_filters(linker, &site->all.filters) < 0 ||
        link_route_chain(linker, site, &site->all) < 0)
        return -1;
    for (i = 0; i < site->routes.count; i++)
        if (link_route_chain(linker, site, site->routes.items[i]) < 0)
            return -1;
    return 0;
}

/* There can be only one. */
static int
take_default(struct linker *linker, struct site_conf *site, const struct site_conf **taken)
{
    if (!site->is_default)
        return 0;
    if (*taken != NULL) {
        err_set(linker->err, "only one can be the default, and \"%s\" is, at %s:%u",
                (*taken)->name, (*taken)->place.file, (*taken)->place.line);
        return link_fail(linker->err, &site->place, "site", site->name);
    }
    *taken = site;
    host_map_set_default(linker->conf->hosts, site);
    return 0;
}

static size_t
count_hosts(const struct conf *conf)
{
    size_t count = 0, i;

    for (i = 0; i < conf->sites.count; i++)
        count += ((struct site_conf *)conf->sites.items[i])->hosts.count;
    return count;
}

int
link_sites(struct linker *linker)
{
    struct conf *conf = linker->conf;
    const struct site_conf *taken = NULL;
    size_t i;

    conf->hosts = host_map_new(linker->arena, count_hosts(conf));
    if (conf->hosts == NULL)
        return err_set(linker->err, "out of memory");
    for (i = 0; i < conf->sites.count; i++) {
        if (finish_site(linker, conf->sites.items[i]) < 0 ||
            take_default(linker, conf->sites.items[i], &taken) < 0)
            return -1;
    }
    return 0;
}
