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
value_matches(const struct header_match *match, struct slice value)
{
    if (match->pattern != NULL)
        return pattern_match(match->pattern, value, NULL) == PATTERN_HIT;
    return match->value == NULL || slice_equal(value, slice_of(match->value));
}

/* One line of that name is enough. */
static bool
header_matches(const struct header_match *match, const struct fields *fields)
{
    struct slice name = slice_of(match->name);

    for (uint32_t i = 0; i < fields->count; i++)
        if (slice_equal_nocase(fields->items[i].name, name) &&
            value_matches(match, fields->items[i].value))
            return true;
    return false;
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

/* The part of the path that the route left open. */
static struct slice
behind_match(struct exchange *ex, const struct route_conf *route)
{
    const char *prefix = route->path_prefix != NULL ? route->path_prefix : "";

    if (route->path != NULL)
        return slice_make("", 0);
    return uri_path_behind(ex->request.path, strlen(prefix), &ex->arena);
}

static enum step
redirect(struct exchange *ex, const struct route_conf *route)
{
    const struct redirect_conf *conf = &route->redirect;
    struct slice to = slice_of(conf->to);

    if (!conf->is_exact) {
        struct slice rest = behind_match(ex, route);

        /* Browsers take it for a slash, and "//" for the name of another host. */
        if (slice_find(rest, '\\') >= 0) {
            exchange_answer(ex, 400, END_BAD_REQUEST, "The path of the URL has a backslash.");
            return STEP_ANSWER;
        }
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

static struct route_conf *
find_route(const struct exchange *ex)
{
    struct site_conf *site = ex->site;

    for (size_t i = 0; i < site->routes.count; i++)
        if (matches(site->routes.items[i], ex, ex->normal_path))
            return site->routes.items[i];
    return &site->all;
}

enum step
site_route(struct exchange *ex)
{
    if (ex->normal_path.data == NULL) /* policies have not asked for it */
        ex->normal_path = uri_normal_path(ex->request.path, &ex->arena);
    if (ex->normal_path.data == NULL) {
        exchange_answer(ex, 400, END_BAD_REQUEST, "The path of the URL is malformed.");
        return STEP_ANSWER;
    }
    ex->route = find_route(ex);
    ex->to = (struct destination){ .group = ex->route->group };
    return STEP_NEXT;
}

enum step
site_answer(struct exchange *ex)
{
    const struct route_conf *route = ex->route;

    if (route == NULL || route->group != NULL)
        return STEP_NEXT;
    if (route->redirect.to != NULL)
        return redirect(ex, route);
    if (route->welcome)
        return welcome(ex);
    exchange_decide(ex, DECISION_DENY, NULL, "no route of site %s leads there", ex->site->name);
    exchange_answer(ex, 404, END_DENIED, "No route of this site leads there.");
    return STEP_ANSWER;
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
    if (request->query.data == NULL) /* a URL without path: "/", or "*" of OPTIONS */
        return request->path;
    return with_query(ex, slice_make("", 0), request->path);
}

static struct slice
rewritten(struct exchange *ex, const struct route_conf *route)
{
    struct slice strip = slice_of(route->strip_prefix);
    struct slice before = slice_make("", 0), path;

    if (!has_prefix(ex->normal_path, strip))
        strip.bytes = 0;
    path = uri_path_behind(ex->request.path, strip.bytes, &ex->arena);
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

    if ((route->strip_prefix == NULL && route->add_prefix == NULL) ||
        ex->request.form == TARGET_ASTERISK)
        ex->out.target = site_origin_form(ex);
    else
        ex->out.target = rewritten(ex, route);
    if (slice_equal(host, SLICE("client")))
        ex->out.authority = ex->request.authority;
    else if (!slice_equal(host, SLICE("endpoint")))
        ex->out.authority = host;
    if (ex->out.authority.bytes == 0)
        ex->out.authority.data = NULL;
    return STEP_NEXT;
}

/* ---- forwarding */

/* A unix socket is a proxy of this machine: its owner and mode say who. */
static bool
is_trusted(const struct exchange *ex, const struct ip *ip)
{
    const struct prefix_set *trusted = ex->listener->trusted_proxies;

    return trusted != NULL && (ip->family == 0 || prefix_set_has(trusted, ip));
}

/* What follows the last separator, taken off the list with it. */
static bool
take_last(struct slice *list, char separator, struct slice *last)
{
    size_t at = list->bytes;

    if (at == 0)
        return false;
    while (at > 0 && list->data[at - 1] != separator)
        at--;
    *last = slice_trim(slice_skip(*list, at));
    list->bytes = at > 0 ? at - 1 : 0;
    return true;
}

/* An address as proxies write it: bare, in brackets, with a port, quoted. */
static bool
parse_node(struct slice node, struct ip *ip)
{
    ptrdiff_t end;

    if (node.bytes >= 2 && node.data[0] == '"' && node.data[node.bytes - 1] == '"')
        node = slice_make(node.data + 1, node.bytes - 2);
    if (slice_starts_with(node, SLICE("["))) {
        node = slice_skip(node, 1);
        end = slice_find(node, ']');
        if (end < 0)
            return false;
        node.bytes = (size_t)end;
    } else {
        end = slice_find(node, ':');
        if (end >= 0 && slice_find(slice_skip(node, (size_t)end + 1), ':') < 0)
            node.bytes = (size_t)end;
    }
    return ip_parse(node, ip);
}

/* The parameter "for" of an element of Forwarded (RFC 7239 section 4). */
static struct slice
forwarded_for(struct slice element)
{
    struct slice pair;

    while (take_last(&element, ';', &pair))
        if (pair.bytes > 4 && slice_equal_nocase(slice_make(pair.data, 4), SLICE("for=")))
            return slice_skip(pair, 4);
    return slice_make("", 0);
}

bool
site_trusts_peer(const struct exchange *ex)
{
    return is_trusted(ex, &ex->down->client->peer);
}

void
site_find_client(struct exchange *ex)
{
    enum field_id id = fields_has(&ex->request.fields, FIELD_X_FORWARDED_FOR)
                           ? FIELD_X_FORWARDED_FOR
                           : FIELD_FORWARDED;
    struct slice list, node;
    struct ip ip;

    if (!is_trusted(ex, &ex->client_ip) || !fields_has(&ex->request.fields, id))
        return;
    list = fields_joined(&ex->request.fields, id, &ex->arena);
    while (is_trusted(ex, &ex->client_ip) && take_last(&list, ',', &node)) {
        if (!parse_node(id == FIELD_FORWARDED ? forwarded_for(node) : node, &ip))
            return; /* who wrote this is known; of whom is not */
        ip.port = 0;
        ex->client_ip = ip;
    }
}

static const enum field_id claims[] = {
    FIELD_X_FORWARDED_FOR, FIELD_X_FORWARDED_HOST, FIELD_X_FORWARDED_PROTO, FIELD_X_FORWARDED_PORT,
    FIELD_X_FORWARDED_PREFIX, FIELD_X_FORWARDED, FIELD_FORWARDED, FIELD_X_REAL_IP,
    FIELD_CLIENT_IP, FIELD_X_CLIENT_IP, FIELD_TRUE_CLIENT_IP, FIELD_CF_CONNECTING_IP,
    FIELD_X_CLUSTER_CLIENT_IP, FIELD_CLIENT_CERT, FIELD_CLIENT_CERT_CHAIN,
};

void
site_remove_claims(struct fields *fields)
{
    for (size_t i = 0; i < ARRAY_COUNT(claims); i++)
        if (fields_has(fields, claims[i]))
            fields_remove(fields, claims[i]);
}

/* Puts an element behind what a trusted proxy said. */
static void
append(struct exchange *ex, enum field_id id, struct slice element)
{
    struct fields *fields = &ex->request.fields;
    struct slice old;

    if (likely(!fields_has(fields, id))) {
        fields_add(fields, &ex->arena, id, element);
        return;
    }
    old = fields_joined(fields, id, &ex->arena);
    if (old.bytes > 0)
        element = arena_printf(&ex->arena, "%.*s, %.*s", SLICE_ARG(old), SLICE_ARG(element));
    fields_set(fields, &ex->arena, id, element);
}

/* RFC 7239 section 4: what is no token has to be quoted. */
static void
add_standard(struct exchange *ex, const struct ip *peer, const char *text, const char *scheme)
{
    struct slice host = ex->request.authority;
    bool is_v6 = peer->family == 6, has_host = host.bytes > 0;

    append(ex, FIELD_FORWARDED,
           arena_printf(&ex->arena, "for=%s%s%s%s%.*s%s;proto=%s", is_v6 ? "\"[" : "",
                        peer->family != 0 ? text : "unknown", is_v6 ? "]\"" : "",
                        has_host ? ";host=\"" : "", SLICE_ARG(host), has_host ? "\"" : "",
                        scheme));
}

static void
add_x(struct exchange *ex, const struct ip *peer, struct slice text, const char *scheme)
{
    struct fields *fields = &ex->request.fields;
    struct arena *arena = &ex->arena;

    if (peer->family != 0) /* a unix socket has no address to add */
        append(ex, FIELD_X_FORWARDED_FOR, arena_copy(arena, text));
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
    struct ip peer = client->peer;
    char text[IP_TEXT_BYTES];
    size_t bytes;

    if (!is_trusted(ex, &peer))
        site_remove_claims(&ex->request.fields);
    if (forwarding == FORWARDING_OFF)
        return;
    peer.scope = 0; /* means something on this machine only */
    bytes = ip_text(&peer, text);
    if (forwarding != FORWARDING_STANDARD)
        add_x(ex, &peer, slice_make(text, bytes), scheme);
    if (forwarding != FORWARDING_X)
        add_standard(ex, &peer, text, scheme);
}
