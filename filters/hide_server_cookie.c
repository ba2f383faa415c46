/* SPDX-License-Identifier: BSD-2-Clause */
/* hide_server_cookie.c - cookies of servers, as clients have to get them. */
#include "config.h"

#include "filters/hide_server_inside.h"

/* Whether cookies of that domain are sent to the host (RFC 6265 section 5.1.3). */
static bool
covers(struct slice domain, struct slice host)
{
    size_t before = host.bytes - domain.bytes;

    if (domain.bytes == 0 || host.bytes < domain.bytes)
        return false;
    return slice_equal_nocase(slice_skip(host, before), domain) &&
           (before == 0 || host.data[before - 1] == '.');
}

/* The domain of a server but not of the client's host. Clients would refuse
 * such a cookie; without Domain it is the client's host's. */
static bool
is_domain_behind(const struct exchange *ex, struct slice domain)
{
    const struct config_list *endpoints = &ex->to.group->endpoints;
    struct place_on_net asked;

    if (domain.bytes > 0 && domain.data[0] == '.')
        domain = slice_skip(domain, 1);
    if (covers(domain, ex->request.host))
        return false;
    for (size_t i = 0; i < endpoints->count; i++)
        if (covers(domain, ((const struct endpoint_conf *)endpoints->items[i])->host))
            return true;
    return hide_take_apart(ex->out.authority, &asked) && covers(domain, asked.host);
}

/* The Path for clients; what the route adds may lie below it. */
static struct mapped
map_cookie_path(const struct exchange *ex, struct slice path)
{
    struct slice added = hide_prefix_of(ex->route->add_prefix);
    struct slice outer = path;
    struct mapped mapped = hide_map_path(ex, path);

    if (outer.bytes > 0 && outer.data[outer.bytes - 1] == '/')
        outer.bytes--;
    if (added.bytes > 0 && hide_is_under(added, outer))
        mapped = (struct mapped){ hide_stripped(ex), SLICE("") };
    /* "/api", not "/api/", is also for "/api" (RFC 6265 section 5.1.4). */
    if (mapped.before.bytes > 0 && slice_equal(mapped.left, SLICE("/")))
        mapped.left.bytes = 0;
    if (mapped.before.bytes == 0 && mapped.left.bytes == 0)
        mapped.before = SLICE("/");
    return mapped;
}

/* Takes the next attribute, from its semicolon on, off *rest. */
static bool
next_attribute(struct slice *rest, struct slice *part)
{
    ptrdiff_t end = slice_find(slice_skip(*rest, 1), ';');

    if (rest->bytes == 0)
        return false;
    *part = end >= 0 ? slice_make(rest->data, (size_t)end + 1) : *rest;
    *rest = slice_skip(*rest, part->bytes);
    return true;
}

/* The value of an attribute such as "; Path=/x"; data NULL when it is another. */
static struct slice
value_of(struct slice part, struct slice name)
{
    ptrdiff_t equals = slice_find(part, '=');

    if (equals < 0 ||
        !slice_equal_nocase(slice_trim(slice_make(part.data + 1, (size_t)equals - 1)), name))
        return slice_make(NULL, 0);
    return slice_trim(slice_skip(part, (size_t)equals + 1));
}

/* A cookie of this name must have the Path "/" (RFC 6265bis section 4.1.3.2). */
static bool
is_host_cookie(struct slice value)
{
    struct slice prefix = SLICE("__Host-");

    return value.bytes > prefix.bytes &&
           slice_equal_nocase(slice_make(value.data, prefix.bytes), prefix);
}

static bool
maps_cookie_paths(const struct exchange *ex, struct slice cookie)
{
    return ex->route != NULL && !is_host_cookie(cookie) &&
           (ex->route->strip_prefix != NULL || ex->route->add_prefix != NULL);
}

/* Copies an attribute as it is for clients to at. */
static char *
put_attribute(const struct exchange *ex, struct slice part, bool maps_path, char *at)
{
    struct slice domain = value_of(part, SLICE("Domain"));
    struct slice path = maps_path ? value_of(part, SLICE("Path")) : slice_make(NULL, 0);
    struct mapped mapped;

    if (domain.data != NULL && is_domain_behind(ex, domain))
        return at;
    if (path.bytes == 0 || path.data[0] != '/')
        return mempcpy(at, part.data, part.bytes);
    mapped = map_cookie_path(ex, path);
    at = mempcpy(at, "; Path=", 7);
    at = mempcpy(at, mapped.before.data, mapped.before.bytes);
    return mempcpy(at, mapped.left.data, mapped.left.bytes);
}

/* How many attributes may have to be changed. */
static size_t
count_concerned(const struct exchange *ex, struct slice rest, bool maps_path)
{
    struct slice part;
    size_t count = 0;

    while (next_attribute(&rest, &part)) {
        struct slice domain = value_of(part, SLICE("Domain"));

        count += (domain.data != NULL && is_domain_behind(ex, domain)) ||
                 (maps_path && value_of(part, SLICE("Path")).data != NULL);
    }
    return count;
}

/* Name and value come first and are never touched; attributes follow, each
 * behind a semicolon (RFC 6265 section 5.2). */
struct slice
hide_map_cookie(struct exchange *ex, struct slice cookie)
{
    ptrdiff_t bytes = slice_find(cookie, ';');
    bool maps_path = maps_cookie_paths(ex, cookie);
    struct slice rest, part;
    size_t count, growth;
    char *start, *at;

    if (bytes < 0)
        return cookie;
    rest = slice_skip(cookie, (size_t)bytes);
    count = count_concerned(ex, rest, maps_path);
    if (count == 0)
        return cookie;
    growth = 2 + (maps_path ? slice_of(ex->route->strip_prefix).bytes : 0); /* of each */
    start = arena_alloc(&ex->arena, cookie.bytes + count * growth);
    if (start == NULL)
        return cookie;
    at = mempcpy(start, cookie.data, (size_t)bytes);
    while (next_attribute(&rest, &part))
        at = put_attribute(ex, part, maps_path, at);
    return slice_make(start, (size_t)(at - start));
}
