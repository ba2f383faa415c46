/* SPDX-License-Identifier: BSD-2-Clause */
/* hide_server.c - what tells about the servers behind does not get out.
 *
 * - Fields that name software, versions and machines are taken out.
 * - URLs that lead to an endpoint of the group, past us, lead to us again; so
 *   do paths when the route changes them.
 * - Cookies lose a Domain that is an endpoint's, and get the client's Path.
 * - With the option errors, the servers' error pages give way to ours.
 *
 * All this is done on the side of fetch, once, for whoever will get the
 * response. So a rewritten URL is a path without scheme and authority (RFC 9110
 * section 10.2.2 allows that): it is right for every client, whatever name and
 * scheme it came by, also through a cache, and behind a proxy that speaks TLS
 * for us. URLs that lead elsewhere are never touched.
 */
#include "config.h"

#include "filters/hide_server.h"

#include "filters/field_set.h"
#include "server/http/uri.h"
#include "server/http/via.h"

static const char *const error_words[] = {
    [HIDE_ERRORS_OFF] = "off",
    [HIDE_ERRORS_5XX] = "5xx",
    [HIDE_ERRORS_ALL] = "all",
    NULL,
};

static const struct option options[] = {
    { .name = "server", .type = OPTION_STRING, .offset = offsetof(struct hide_server_conf, server),
      .text = "Value of the field Server; when not given, there is no such field." },
    { .name = "remove", .type = OPTION_STRINGS, .offset = offsetof(struct hide_server_conf, remove),
      .text = "Names of further fields to remove, besides Server, X-Powered-By, Via and their "
              "like: \"X-Team\", \"X-Internal-*\"." },
    { .name = "errors", .type = OPTION_ENUM, .offset = offsetof(struct hide_server_conf, errors),
      .words = error_words, .fallback = "off",
      .text = "Which error responses of servers get Bascule's own pages instead of their "
              "content: 5xx, all (4xx too) or off, which APIs that explain their errors need." },
    { .name = NULL },
};

/* ---- what tells about servers */

/* In order. */
static const struct slice hidden_names[] = {
    SLICE_INIT("Liferay-Portal"), SLICE_INIT("MicrosoftOfficeWebServer"),
    SLICE_INIT("MicrosoftSharePoint*"), SLICE_INIT("X-Application-Context"),
    SLICE_INIT("X-AspNet*"), SLICE_INIT("X-Backend*"), SLICE_INIT("X-BEServer"),
    SLICE_INIT("X-Cache*"), SLICE_INIT("X-CalculatedBETarget"), SLICE_INIT("X-Drupal-*"),
    SLICE_INIT("X-Envoy-*"), SLICE_INIT("X-FEServer"), SLICE_INIT("X-Hostname"),
    SLICE_INIT("X-Kong-*"), SLICE_INIT("X-LiteSpeed-*"), SLICE_INIT("X-Mod-Pagespeed"),
    SLICE_INIT("X-Nginx-*"), SLICE_INIT("X-OWA-Version"), SLICE_INIT("X-Page-Speed"),
    SLICE_INIT("X-PHP-*"), SLICE_INIT("X-Powered-*"), SLICE_INIT("X-Rack-Cache"),
    SLICE_INIT("X-Served-By"), SLICE_INIT("X-Server*"), SLICE_INIT("X-SourceFiles"),
    SLICE_INIT("X-Turbo-Charged-By"), SLICE_INIT("X-Upstream*"), SLICE_INIT("X-Varnish*"),
};

/* Via and Proxy-Status name the proxies behind us, Cache-Status their caches
 * (RFC 9110 section 7.6.3: not to be told outside); Alt-Svc tells clients of a
 * way that does not lead through us. Via is looked at by itself. */
static const struct field_set hidden = {
    .known = {
        [FIELD_ALT_SVC] = true, [FIELD_CACHE_STATUS] = true, [FIELD_PROXY_STATUS] = true,
        [FIELD_SERVER] = true, [FIELD_X_ASPNET_VERSION] = true,
        [FIELD_X_ASPNETMVC_VERSION] = true, [FIELD_X_GENERATOR] = true,
        [FIELD_X_POWERED_BY] = true, [FIELD_X_RUNTIME] = true,
    },
    .others = hidden_names,
    .count = ARRAY_COUNT(hidden_names),
};

const struct hide_server_conf hide_server_default = {
    .filter.ops = &hide_server_filter,
    .errors = HIDE_ERRORS_OFF,
    .hidden = &hidden,
};

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct hide_server_conf *conf = arg;
    struct field_set *set = arena_alloc(arena, sizeof(*set));

    (void)all;
    if (set == NULL)
        return err_set(err, "no memory");
    *set = hidden;
    if (field_set_add(set, &conf->remove, arena, err) < 0)
        return err_prefix(err, "remove: ");
    conf->hidden = set;
    if (conf->server != NULL && field_check_value(slice_of(conf->server), err) < 0)
        return err_prefix(err, "server: ");
    return 0;
}

/* ---- taking out */

/* On forward listeners the road has added our own Via already. */
static bool
is_hidden(const struct field *field, void *arg)
{
    if (field->id == FIELD_VIA)
        return !via_is_value(field->value);
    return field_set_has(arg, field);
}

static void
take_out(const struct hide_server_conf *conf, struct fields *fields)
{
    void *set = (void *)(uintptr_t)conf->hidden;

    for (uint32_t i = 0; i < fields->count; i++)
        if (is_hidden(&fields->items[i], set)) {
            fields_remove_if(fields, is_hidden, set);
            return;
        }
}

/* ---- which hosts are behind us */

/* An authority taken apart. */
struct place_on_net {
    struct slice host;
    int port; /* -1: not said */
};

static bool
take_apart(struct slice authority, struct place_on_net *place)
{
    return uri_parse_authority(authority, &place->host, &place->port) == 0;
}

/* Whether an authority is that host and port; where it says no port, it may be
 * that of either scheme. */
static bool
is_at(struct slice authority, struct slice host, int port)
{
    struct place_on_net its;

    return take_apart(authority, &its) && slice_equal_nocase(its.host, host) &&
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
    bool is_asked = take_apart(ex->out.authority, &asked) &&
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

/* A route's prefix without a slash at its end; empty when there is none. */
static struct slice
prefix_of(const char *text)
{
    struct slice prefix = slice_of(text);

    if (prefix.bytes > 0 && prefix.data[prefix.bytes - 1] == '/')
        prefix.bytes--;
    return prefix;
}

/* Whether the path begins with whole segments of the prefix. */
static bool
is_under(struct slice path, struct slice prefix)
{
    return slice_starts_with(path, prefix) &&
           (path.bytes == prefix.bytes || path.data[prefix.bytes] == '/');
}

/* What goes in front of the servers' paths for clients. */
static struct slice
stripped(const struct exchange *ex)
{
    const char *strip = ex->route->strip_prefix;

    if (strip == NULL || !slice_starts_with(ex->normal_path, slice_of(strip)))
        return slice_make("", 0);
    return prefix_of(strip);
}

/* A path of a server is: before, and what is then left of it. */
struct mapped {
    struct slice before, left;
};

/* Takes back what the route did to the request's path (modes/site_route.c).
 * Behind the path, url may have a query and a fragment. What lies outside the
 * added prefix cannot be reached through the route, and stays; so does what
 * has the stripped prefix already, from a server that knows of it. */
static struct mapped
map_path(const struct exchange *ex, struct slice url)
{
    struct slice path = slice_make(url.data, path_bytes(url));
    struct slice added, before;

    if (ex->route == NULL)
        return (struct mapped){ SLICE(""), url };
    added = prefix_of(ex->route->add_prefix);
    before = stripped(ex);
    if (!is_under(path, added) || (added.bytes == 0 && before.bytes > 0 && is_under(path, before)))
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
    struct mapped mapped = map_path(ex, rest);
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

/* The URL for clients; url itself when it is right as it is. */
static struct slice
map_url(struct exchange *ex, struct slice url)
{
    int default_port, start = find_authority(url, &default_port);
    struct place_on_net place;
    struct slice rest;

    if (start <= 0)
        return start < 0 ? url : put_together(ex, url, SLICE(""), url);
    rest = slice_skip(url, (size_t)start);
    while (rest.bytes > 0 && strchr("/?#", rest.data[0]) == NULL)
        rest = slice_skip(rest, 1);
    if (!take_apart(slice_make(url.data + start, url.bytes - (size_t)start - rest.bytes), &place))
        return url;
    if (is_at(ex->request.authority, place.host, place.port < 0 ? default_port : place.port))
        return put_together(ex, url, slice_make(url.data, url.bytes - rest.bytes), rest);
    return is_behind(ex, &place, default_port) ? put_together(ex, url, SLICE(""), rest) : url;
}

/* "5; url=http://..." (HTML, "shared declarative refresh steps"). */
static struct slice
map_refresh(struct exchange *ex, struct slice value)
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
    mapped = map_url(ex, url);
    if (mapped.data == url.data && mapped.bytes == url.bytes)
        return value;
    tail = value.bytes - (size_t)(url.data - value.data) - url.bytes;
    return arena_printf(&ex->arena, "%.*s%.*s%.*s", (int)(url.data - value.data), value.data,
                        SLICE_ARG(mapped), (int)tail, url.data + url.bytes);
}

/* ---- cookies */

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
    return take_apart(ex->out.authority, &asked) && covers(domain, asked.host);
}

/* The Path for clients; what the route adds may lie below it. */
static struct mapped
map_cookie_path(const struct exchange *ex, struct slice path)
{
    struct slice added = prefix_of(ex->route->add_prefix);
    struct slice outer = path;
    struct mapped mapped = map_path(ex, path);

    if (outer.bytes > 0 && outer.data[outer.bytes - 1] == '/')
        outer.bytes--;
    if (added.bytes > 0 && is_under(added, outer))
        mapped = (struct mapped){ stripped(ex), SLICE("") };
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
static struct slice
map_cookie(struct exchange *ex, struct slice cookie)
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

/* ---- the response */

static void
rewrite(struct exchange *ex, enum field_id id,
        struct slice (*map)(struct exchange *ex, struct slice value))
{
    struct fields *fields = &ex->response.fields;

    if (!fields_has(fields, id))
        return;
    for (uint32_t i = 0; i < fields->count; i++)
        if (fields->items[i].id == id)
            fields->items[i].value = map(ex, fields->items[i].value);
}

/* What a client needs to deal with the status, whatever the page says: RFC 9110
 * sections 10.2.3, 11.6.1, 10.2.1, 14.4; RFC 6585 section 4; Fetch. */
static const enum field_id kept_with_page[] = {
    FIELD_RETRY_AFTER, FIELD_WWW_AUTHENTICATE, FIELD_ALLOW, FIELD_CONTENT_RANGE,
    FIELD_SET_COOKIE, FIELD_STRICT_TRANSPORT_SECURITY, FIELD_ACCESS_CONTROL_ALLOW_ORIGIN,
    FIELD_ACCESS_CONTROL_ALLOW_CREDENTIALS, FIELD_ACCESS_CONTROL_EXPOSE_HEADERS, FIELD_VARY,
};

/* Our page with the server's status, and those of its fields. */
static void
replace_page(const struct hide_server_conf *conf, struct exchange *ex)
{
    struct fields old = ex->response.fields;
    unsigned status = ex->response.status;

    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "hide_server: page of the %u",
                    status);
    exchange_answer(ex, status, END_DONE, NULL);
    /* RFC 9209 section 2.1.3: no hop has failed, one has spoken. */
    fields_set(&ex->response.fields, &ex->arena, FIELD_PROXY_STATUS,
               arena_printf(&ex->arena, "%.*s; received-status=%u", SLICE_ARG(via_name()), status));
    for (size_t i = 0; i < ARRAY_COUNT(kept_with_page); i++) {
        const struct field *field = NULL;

        while ((field = fields_next(&old, kept_with_page[i], field)) != NULL)
            fields_add(&ex->response.fields, &ex->arena, field->id, field->value);
    }
}

static bool
is_error_to_hide(const struct hide_server_conf *conf, unsigned status)
{
    switch ((enum hide_errors)conf->errors) {
    case HIDE_ERRORS_OFF:
        return false;
    case HIDE_ERRORS_5XX:
        return status >= 500;
    case HIDE_ERRORS_ALL:
        return status >= 400;
    }
    return false;
}

static enum filter_verdict
fetch_head(const void *arg, void *state, struct exchange *ex)
{
    const struct hide_server_conf *conf = arg;
    struct fields *fields = &ex->response.fields;
    bool is_hidden_error = is_error_to_hide(conf, ex->response.status);

    (void)state;
    take_out(conf, fields);
    if (ex->to.group != NULL) {
        rewrite(ex, FIELD_LOCATION, map_url);
        rewrite(ex, FIELD_CONTENT_LOCATION, map_url);
        rewrite(ex, FIELD_REFRESH, map_refresh);
        rewrite(ex, FIELD_SET_COOKIE, map_cookie);
    }
    if (is_hidden_error)
        replace_page(conf, ex);
    if (conf->server != NULL)
        fields_set(fields, &ex->arena, FIELD_SERVER, slice_of(conf->server));
    return is_hidden_error ? FILTER_ANSWER : FILTER_NEXT;
}

const struct filter_ops hide_server_filter = {
    .name = "hide_server",
    .text = "Keeps from clients what stands behind Bascule.",
    .options = options,
    .conf_bytes = sizeof(struct hide_server_conf),
    .finish = finish,
    .fetch_head = fetch_head,
};
