/* SPDX-License-Identifier: BSD-2-Clause */
/* hide_server_url.c - URLs of servers, as clients have to know them. */
#include "config.h"

#include "filters/hide_server_inside.h"

#include "server/http/uri.h"

/* ---- which hosts are behind us */

bool
hide_take_apart(struct slice authority, struct place_on_net *place)
{
    return uri_parse_authority(authority, &place->host, &place->port) == 0;
}

/* Whether an authority is that host and port; where it says no port, it may be
 * that of either scheme. */
static bool
is_at(struct slice authority, struct slice host, int port)
{
    struct place_on_net its;

    return hide_take_apart(authority, &its) && slice_equal_nocase(its.host, host) &&
           (its.port < 0 ? port == 80 || port == 443 : its.port == port);
}

/* An endpoint, the host by which we asked it, or that host with an endpoint's
 * port: so do servers build URLs that put the port they listen on behind the
 * name they were asked by. */
static bool
is_behind(const struct exchange *ex, const struct place_on_net *place, int default_port)
{
    const struct config_list *endpoints = &ex->to.group->endpoints;
    int port = place->port < 0 ? default_port : place->port;
    struct place_on_net asked;
    bool is_asked = hide_take_apart(ex->out.authority, &asked) &&
                    slice_equal_nocase(asked.host, place->host);

    for (size_t i = 0; i < endpoints->count; i++) {
        const struct endpoint_conf *endpoint = endpoints->items[i];

        if (endpoint->port == port && endpoint->host.bytes > 0 &&
            (slice_equal_nocase(endpoint->host, place->host) || (is_asked && place->port > 0)))
            return true;
    }
    return is_at(ex->out.authority, place->host, port);
}

/* ---- paths as clients know them */

/* The length of the path that url begins with. */
static size_t
path_bytes(struct slice url)
{
    size_t bytes = 0;

    while (bytes < url.bytes && url.data[bytes] != '?' && url.data[bytes] != '#')
        bytes++;
    return bytes;
}

struct slice
hide_prefix_of(const char *text)
{
    struct slice prefix = slice_of(text);

    if (prefix.bytes > 0 && prefix.data[prefix.bytes - 1] == '/')
        prefix.bytes--;
    return prefix;
}

bool
hide_is_under(struct slice path, struct slice prefix)
{
    return slice_starts_with(path, prefix) &&
           (path.bytes == prefix.bytes || path.data[prefix.bytes] == '/');
}

struct slice
hide_stripped(const struct exchange *ex)
{
    const char *strip = ex->route->strip_prefix;

    if (strip == NULL || !slice_starts_with(ex->normal_path, slice_of(strip)))
        return slice_make("", 0);
    return hide_prefix_of(strip);
}

struct mapped
hide_map_path(const struct exchange *ex, struct slice url)
{
    struct slice path = slice_make(url.data, path_bytes(url));
    struct slice added, before;

    if (ex->route == NULL)
        return (struct mapped){ SLICE(""), url };
    added = hide_prefix_of(ex->route->add_prefix);
    before = hide_stripped(ex);
    if (!hide_is_under(path, added) ||
        (added.bytes == 0 && before.bytes > 0 && hide_is_under(path, before)))
        return (struct mapped){ SLICE(""), url };
    if (path.bytes == added.bytes)
        before = before.bytes > 0 ? slice_of(ex->route->strip_prefix) : SLICE("/");
    return (struct mapped){ before, slice_skip(url, added.bytes) };
}

/* ---- URLs */

/* front, and the rest of url from its path on. A path that begins with two
 * slashes would be read as a host (RFC 3986 section 4.2), one with a backslash
 * or a tab by browsers, too: a dot segment keeps them apart. */
static struct slice
put_together(struct exchange *ex, struct slice url, struct slice front, struct slice rest)
{
    struct mapped mapped = hide_map_path(ex, rest);
    const char *dot = "";

    if (mapped.before.bytes == 0 && path_bytes(mapped.left) == 0)
        mapped.before = SLICE("/");
    if (front.bytes == 0 && mapped.before.bytes == 0) {
        if (mapped.left.data == url.data)
            return url;
        if (mapped.left.bytes == 1 || strchr("/\\\t", mapped.left.data[1]) == NULL)
            return mapped.left;
        dot = "/.";
    }
    if (front.bytes > 0 && mapped.before.bytes == 0 && mapped.left.bytes == rest.bytes)
        return url;
    return arena_printf(&ex->arena, "%.*s%s%.*s%.*s", SLICE_ARG(front), dot,
                        SLICE_ARG(mapped.before), SLICE_ARG(mapped.left));
}

/* Where the authority of a URL begins: behind "http://", "https://", "//"; 0
 * for a URL without one, -1 for other schemes and relative paths. */
static int
find_authority(struct slice url, int *default_port)
{
    *default_port = 80;
    if (slice_starts_with(url, SLICE("//")))
        return 2;
    if (slice_starts_with(url, SLICE("/")))
        return 0;
    if (url.bytes >= 7 && slice_equal_nocase(slice_make(url.data, 7), SLICE("http://")))
        return 7;
    *default_port = 443;
    if (url.bytes >= 8 && slice_equal_nocase(slice_make(url.data, 8), SLICE("https://")))
        return 8;
    return -1;
}

struct slice
hide_map_url(struct exchange *ex, struct slice url)
{
    int default_port, start = find_authority(url, &default_port);
    struct place_on_net place;
    struct slice rest;

    if (start <= 0)
        return start < 0 ? url : put_together(ex, url, SLICE(""), url);
    rest = slice_skip(url, (size_t)start);
    while (rest.bytes > 0 && strchr("/?#", rest.data[0]) == NULL)
        rest = slice_skip(rest, 1);
    if (!hide_take_apart(slice_make(url.data + start, url.bytes - (size_t)start - rest.bytes),
                         &place))
        return url;
    if (is_at(ex->request.authority, place.host, place.port < 0 ? default_port : place.port))
        return put_together(ex, url, slice_make(url.data, url.bytes - rest.bytes), rest);
    return is_behind(ex, &place, default_port) ? put_together(ex, url, SLICE(""), rest) : url;
}

/* HTML, "shared declarative refresh steps". */
struct slice
hide_map_refresh(struct exchange *ex, struct slice value)
{
    struct slice url = value, mapped;
    size_t tail = 0;

    while (url.bytes > 0 && strchr(";,", url.data[0]) == NULL)
        url = slice_skip(url, 1);
    url = slice_trim(slice_skip(url, 1));
    if (url.bytes < 4 || !slice_equal_nocase(slice_make(url.data, 3), SLICE("url")))
        return value;
    url = slice_trim(slice_skip(url, 3));
    if (url.bytes == 0 || url.data[0] != '=')
        return value;
    url = slice_trim(slice_skip(url, 1));
    if (url.bytes > 1 && (url.data[0] == '"' || url.data[0] == '\'')) {
        ptrdiff_t end = slice_find(slice_skip(url, 1), url.data[0]);

        url = slice_skip(url, 1);
        if (end >= 0)
            url.bytes = (size_t)end;
    }
    mapped = hide_map_url(ex, url);
    if (mapped.data == url.data && mapped.bytes == url.bytes)
        return value;
    tail = value.bytes - (size_t)(url.data - value.data) - url.bytes;
    return arena_printf(&ex->arena, "%.*s%.*s%.*s", (int)(url.data - value.data), value.data,
                        SLICE_ARG(mapped), (int)tail, url.data + url.bytes);
}

/* RFC 8288 section 3: "<http://app.internal/style.css>; rel=preload, <...>". Takes the
 * next URL in "<>" off *rest. */
static bool
next_target(struct slice *rest, struct slice *url)
{
    ptrdiff_t start = slice_find(*rest, '<'), end;

    if (start < 0)
        return false;
    *url = slice_skip(*rest, (size_t)start + 1);
    end = slice_find(*url, '>');
    if (end < 0)
        return false;
    url->bytes = (size_t)end;
    *rest = slice_skip(*rest, (size_t)(start + end) + 2);
    return true;
}

/* A path may get the prefix of the route, and a dot segment, in front. */
static size_t
room_for_links(const struct exchange *ex, struct slice value)
{
    const char *strip = ex->route != NULL ? ex->route->strip_prefix : NULL;
    size_t bytes = value.bytes;
    struct slice url;

    while (next_target(&value, &url))
        bytes += slice_of(strip).bytes + strlen("/./");
    return bytes;
}

struct slice
hide_map_link(struct exchange *ex, struct slice value)
{
    struct slice rest = value, url, mapped;
    const char *done = value.data; /* what is before it was copied */
    char *start = NULL, *at = NULL;

    while (next_target(&rest, &url)) {
        mapped = hide_map_url(ex, url);
        if (mapped.data == url.data && mapped.bytes == url.bytes)
            continue;
        if (start == NULL)
            at = start = arena_alloc(&ex->arena, room_for_links(ex, value));
        if (start == NULL)
            return value; /* the arena remembers */
        at = mempcpy(at, done, (size_t)(url.data - done));
        at = mempcpy(at, mapped.data, mapped.bytes);
        done = url.data + url.bytes;
    }
    if (start == NULL)
        return value;
    at = mempcpy(at, done, (size_t)(value.data + value.bytes - done));
    return slice_make(start, (size_t)(at - start));
}
