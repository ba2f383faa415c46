/* SPDX-License-Identifier: BSD-2-Clause */
/* site_route.c - the first route that matches, and what it makes of the request.
 *
 * Routes match the one normal form of the path (http/uri.h); what goes upstream
 * is what the client sent, unless the route rewrites it.
 */
#include "config.h"

#include "modes/site_route.h"

#include "server/base/pattern.h"
#include "server/http/uri.h"
#include "server/http/welcome_page.h"
#include "server/upstream/group.h"

/* ---- matching */

static bool
method_matches(const struct route_conf *route, struct slice method)
{
    if (route->methods.count == 0)
        return true;
    for (size_t i = 0; i < route->methods.count; i++)
        if (slice_equal(route->methods.items[i], method))
            return true;
    return false;
}

static bool
header_matches(const struct header_match *match, const struct fields *fields)
{
    const struct field *field = fields_find_name(fields, slice_of(match->name));

    if (field == NULL)
        return false;
    if (match->pattern != NULL)
        return pattern_match(match->pattern, field->value, NULL) == PATTERN_HIT;
    return match->value == NULL || slice_equal(field->value, slice_of(match->value));
}

/* A prefix ends where a segment does: "/api" is no prefix of "/apiary". */
static bool
has_prefix(struct slice path, struct slice prefix)
{
    if (!slice_starts_with(path, prefix))
        return false;
    return path.bytes == prefix.bytes || prefix.bytes == 0 ||
           prefix.data[prefix.bytes - 1] == '/' || path.data[prefix.bytes] == '/';
}

static bool
path_matches(const struct route_conf *route, struct slice path)
{
    if (route->path != NULL && !slice_equal(path, slice_of(route->path)))
        return false;
    if (route->path_prefix != NULL && !has_prefix(path, slice_of(route->path_prefix)))
        return false;
    return route->path_regex == NULL ||
           pattern_match(route->path_regex, path, NULL) == PATTERN_HIT;
}

static bool
matches(const struct route_conf *route, const struct exchange *ex, struct slice path)
{
    if (!path_matches(route, path) || !method_matches(route, ex->request.method_name))
        return false;
    for (size_t i = 0; i < route->headers.count; i++)
        if (!header_matches(route->headers.items[i], &ex->request.fields))
            return false;
    return true;
}

/* ---- answers of our own */

/* What the client sent behind a prefix of the path: nothing is decoded when it
 * begins with the prefix as it stands, otherwise the normal form is taken. */
static struct slice
path_without(const struct exchange *ex, struct slice prefix)
{
    struct slice path = ex->request.path;

    if (!slice_starts_with(path, prefix))
        path = ex->normal_path;
    path = slice_skip(path, prefix.bytes);
    return path;
}

static struct slice
with_query(struct exchange *ex, struct slice before, struct slice path)
{
    struct slice query = ex->request.query;
    const char *slash = path.bytes > 0 && path.data[0] != '/' &&
                                (before.bytes == 0 || before.data[before.bytes - 1] != '/')
                            ? "/"
                            : "";

    if (path.bytes > 0 && path.data[0] == '/' && before.bytes > 0 &&
        before.data[before.bytes - 1] == '/')
        before.bytes--;
    return arena_printf(&ex->arena, "%.*s%s%.*s%s%.*s", SLICE_ARG(before), slash, SLICE_ARG(path),
                        query.data != NULL ? "?" : "", SLICE_ARG(query));
}

static enum step
redirect(struct exchange *ex, const struct route_conf *route)
{
    const struct redirect_conf *conf = &route->redirect;
    struct slice to = slice_of(conf->to);

    if (!conf->is_exact) {
        struct slice rest = route->path_prefix != NULL
                                ? path_without(ex, slice_of(route->path_prefix))
                            : route->path != NULL ? slice_make("", 0)
                                                  : ex->request.path;

        to = with_query(ex, to, rest);
    }
    exchange_answer_with(ex, (unsigned)conf->status, END_ANSWERED, NULL, slice_make(NULL, 0));
    fields_add(&ex->response.fields, &ex->arena, FIELD_LOCATION, to);
    return STEP_ANSWER;
}

static enum step
welcome(struct exchange *ex)
{
    if (ex->request.method != METHOD_GET && ex->request.method != METHOD_HEAD) {
        exchange_answer(ex, 405, END_ANSWERED, "The welcome page can only be read.");
        fields_add(&ex->response.fields, &ex->arena, FIELD_ALLOW, SLICE("GET, HEAD"));
        return STEP_ANSWER;
    }
    exchange_answer_with(ex, 200, END_ANSWERED, "text/html; charset=utf-8", welcome_page());
    return STEP_ANSWER;
}

/* ---- the route */

static enum step
take(struct exchange *ex, struct route_conf *route)
{
    ex->route = route;
    if (route->redirect.to != NULL)
        return redirect(ex, route);
    if (route->welcome)
        return welcome(ex);
    if (route->group == NULL) {
        exchange_answer(ex, 404, END_DENIED, "No route of this site leads there.");
        return STEP_ANSWER;
    }
    ex->to = (struct destination){ .group = route->group };
    return STEP_NEXT;
}

enum step
site_route(struct exchange *ex)
{
    struct site_conf *site = ex->site;

    ex->normal_path = uri_normal_path(ex->request.path, &ex->arena);
    if (ex->normal_path.data == NULL) {
        exchange_answer(ex, 400, END_BAD_REQUEST, "The path of the URL is malformed.");
        return STEP_ANSWER;
    }
    for (size_t i = 0; i < site->routes.count; i++)
        if (matches(site->routes.items[i], ex, ex->normal_path))
            return take(ex, site->routes.items[i]);
    return take(ex, &site->all);
}

/* ---- what goes upstream */

struct slice
site_origin_form(struct exchange *ex)
{
    const struct request *request = &ex->request;
    const char *end = request->target.data + request->target.bytes;

    if (request->form == TARGET_ORIGIN)
        return request->target;
    if (request->path.data >= request->target.data && request->path.data < end)
        return slice_make(request->path.data, (size_t)(end - request->path.data));
    return with_query(ex, slice_make("", 0), request->path); /* a URL without path */
}

static struct slice
rewritten(struct exchange *ex, const struct route_conf *route)
{
    struct slice path = ex->request.path;
    struct slice before = slice_make("", 0);

    if (route->strip_prefix != NULL &&
        has_prefix(ex->normal_path, slice_of(route->strip_prefix)))
        path = path_without(ex, slice_of(route->strip_prefix));
    if (route->add_prefix != NULL)
        before = slice_of(route->add_prefix);
    if (path.bytes == 0 && before.bytes == 0)
        path = SLICE("/");
    return with_query(ex, before, path);
}

enum step
site_prepare(struct exchange *ex)
{
    const struct route_conf *route = ex->route;
    struct slice host = slice_of(route->host);

    if (route->strip_prefix == NULL && route->add_prefix == NULL) {
        ex->out.target = site_origin_form(ex);
    } else {
        ex->out.target = rewritten(ex, route);
    }
    if (slice_equal(host, SLICE("client")))
        ex->out.authority = ex->request.authority;
    else if (!slice_equal(host, SLICE("endpoint")))
        ex->out.authority = host;
    if (ex->out.authority.bytes == 0)
        ex->out.authority.data = NULL;
    return STEP_NEXT;
}

/* ---- forwarding */

static bool
is_trusted(const struct exchange *ex, const struct ip *ip)
{
    const struct prefix_set *trusted = ex->listener->trusted_proxies;

    return trusted != NULL && prefix_set_has(trusted, ip);
}

/* The last element of a comma-separated list, taken off it. */
static bool
take_last(struct slice *list, struct slice *last)
{
    size_t at = list->bytes;

    if (at == 0)
        return false;
    while (at > 0 && list->data[at - 1] != ',')
        at--;
    *last = slice_trim(slice_skip(*list, at));
    list->bytes = at > 0 ? at - 1 : 0;
    return true;
}

void
site_find_client(struct exchange *ex)
{
    struct slice list, last;
    struct ip ip;

    if (ex->listener->trusted_proxies == NULL || !is_trusted(ex, &ex->client_ip) ||
        !fields_has(&ex->request.fields, FIELD_X_FORWARDED_FOR))
        return;
    list = fields_joined(&ex->request.fields, FIELD_X_FORWARDED_FOR, &ex->arena);
    while (is_trusted(ex, &ex->client_ip) && take_last(&list, &last)) {
        if (!ip_parse(last, &ip))
            return; /* who wrote this is known; of whom is not */
        ex->client_ip = ip;
    }
}

static const enum field_id claims[] = {
    FIELD_X_FORWARDED_FOR, FIELD_X_FORWARDED_HOST, FIELD_X_FORWARDED_PROTO, FIELD_X_FORWARDED_PORT,
    FIELD_X_FORWARDED_PREFIX, FIELD_X_FORWARDED, FIELD_FORWARDED, FIELD_X_REAL_IP,
    FIELD_CLIENT_IP, FIELD_X_CLIENT_IP, FIELD_TRUE_CLIENT_IP, FIELD_CF_CONNECTING_IP,
    FIELD_X_CLUSTER_CLIENT_IP, FIELD_CLIENT_CERT, FIELD_CLIENT_CERT_CHAIN,
};

/* A token, or a quoted string: RFC 7239 section 4. */
static struct slice
forwarded_node(struct exchange *ex, const char *text)
{
    bool is_v6 = ex->down->client->peer.family == 6;

    return is_v6 ? arena_printf(&ex->arena, "\"[%s]\"", text) : arena_printf(&ex->arena, "%s", text);
}

static void
add_standard(struct exchange *ex, const char *peer, const char *scheme)
{
    struct slice old = fields_joined(&ex->request.fields, FIELD_FORWARDED, &ex->arena);
    struct slice node = forwarded_node(ex, peer);

    fields_set(&ex->request.fields, &ex->arena, FIELD_FORWARDED,
               arena_printf(&ex->arena, "%.*s%sfor=%.*s;host=\"%.*s\";proto=%s", SLICE_ARG(old),
                            old.bytes > 0 ? ", " : "", SLICE_ARG(node),
                            SLICE_ARG(ex->request.authority), scheme));
}

static void
add_x(struct exchange *ex, const char *peer, size_t peer_bytes, const char *scheme)
{
    struct fields *fields = &ex->request.fields;
    struct arena *arena = &ex->arena;

    if (fields_has(fields, FIELD_X_FORWARDED_FOR)) {
        struct slice old = fields_joined(fields, FIELD_X_FORWARDED_FOR, arena);

        fields_set(fields, arena, FIELD_X_FORWARDED_FOR,
                   arena_printf(arena, "%.*s, %s", SLICE_ARG(old), peer));
    } else {
        fields_add(fields, arena, FIELD_X_FORWARDED_FOR,
                   arena_copy(arena, slice_make(peer, peer_bytes)));
    }
    /* A trusted proxy before us knows better what the client asked for. */
    if (!fields_has(fields, FIELD_X_FORWARDED_PROTO))
        fields_add(fields, arena, FIELD_X_FORWARDED_PROTO, slice_of(scheme));
    if (!fields_has(fields, FIELD_X_FORWARDED_HOST) && ex->request.authority.bytes > 0)
        fields_add(fields, arena, FIELD_X_FORWARDED_HOST, ex->request.authority);
}

void
site_add_forwarding(struct exchange *ex, enum forwarding forwarding)
{
    const struct client *client = ex->down->client;
    const char *scheme = client->is_tls ? "https" : "http";
    char peer[IP_TEXT_BYTES];
    size_t bytes = 0;

    if (!is_trusted(ex, &client->peer))
        for (size_t i = 0; i < ARRAY_COUNT(claims); i++)
            if (fields_has(&ex->request.fields, claims[i]))
                fields_remove(&ex->request.fields, claims[i]);
    if (forwarding == FORWARDING_OFF)
        return;
    bytes = ip_text(&client->peer, peer);
    if (forwarding != FORWARDING_STANDARD)
        add_x(ex, peer, bytes, scheme);
    if (forwarding != FORWARDING_X)
        add_standard(ex, peer, scheme);
}
