/* SPDX-License-Identifier: BSD-2-Clause */
/* look_up_begin.c - whether an exchange has to do with a cache, and what its answer
 * is found by.
 */
#include "config.h"

#include "modes/look_up_inside.h"

#include "cache/cache_conf.h"
#include "filters/pipeline.h"
#include "modes/judge.h"
#include "modes/reach.h"
#include "modes/site_route.h"
#include "server/http/uri.h"
#include "server/http/via.h"
#include "server/upstream/parent.h"

/* ---- what it is about */

/* Some origins obey these, but nobody puts them into a key: an answer to a
 * request with one may be another's page (CVE-2018-14773 and its like). */
static bool
is_override(const struct field *field)
{
    static const struct slice names[] = {
        SLICE_INIT("X-Original-URL"),         SLICE_INIT("X-Rewrite-URL"),
        SLICE_INIT("X-Original-Host"),        SLICE_INIT("X-Host"),
        SLICE_INIT("X-HTTP-Host-Override"),   SLICE_INIT("X-HTTP-Method-Override"),
        SLICE_INIT("X-HTTP-Method"),          SLICE_INIT("X-Method-Override"),
        SLICE_INIT("X-Original-URI"),         SLICE_INIT("X-HTTP-Path-Override"),
        SLICE_INIT("X-URL-Scheme"),           SLICE_INIT("X-Scheme"),
    };
    static const struct slice forwarded = SLICE_INIT("X-Forwarded-"); /* -User, -Ssl ... */

    if (field->id == FIELD_X_FORWARDED || field->id == FIELD_X_FORWARDED_SERVER)
        return true;
    if (field->id != FIELD_OTHER || field->name.bytes < 6 ||
        ascii_lower(field->name.data[0]) != 'x' || field->name.data[1] != '-')
        return false;
    if (field->name.bytes > forwarded.bytes &&
        slice_equal_nocase(slice_make(field->name.data, forwarded.bytes), forwarded))
        return true;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(field->name, names[i]))
            return true;
    return false;
}

static bool
has_override(const struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (is_override(&fields->items[i]))
            return true;
    return false;
}

bool
look_up_is_told_more(const struct exchange *ex)
{
    const struct fields *fields = &ex->request.fields;

    return ex->request.wants_upgrade || fields_has(fields, FIELD_CLIENT_CERT) ||
           has_override(fields) || judge_is_personal(ex) ||
           (ex->site == NULL && fields_has(fields, FIELD_FORWARDED));
}

bool
look_up_is_for_cache(const struct exchange *ex)
{
    const struct request *request = &ex->request;

    return (request->method == METHOD_GET || request->method == METHOD_HEAD) &&
           !request->has_body && !look_up_is_told_more(ex);
}

/* By way of a parent, in somebody's name; and who may ask for it. */
static struct slice
internet_by(struct exchange *ex, const struct parent_conf *parent)
{
    struct slice whose = ex->listener->cache.destinations;

    if (parent != NULL)
        return arena_printf(&ex->arena, "the internet by %s %s@%s:%d%.*s",
                            parent->kind == PARENT_HTTP ? "http" : "socks5",
                            parent->user != NULL ? parent->user : "", parent->host,
                            (int)parent->port, SLICE_ARG(whose));
    if (likely(whose.bytes == 0))
        return SLICE("the internet");
    return arena_printf(&ex->arena, "the internet%.*s", SLICE_ARG(whose));
}

/* A route that is chosen by header fields may be chosen for the same URL as another,
 * and change what the group is told. */
static struct slice
by_route(struct exchange *ex, struct slice group)
{
    const struct route_conf *route = ex->route;

    if (route->name != NULL)
        return arena_printf(&ex->arena, "%.*s by route %s", SLICE_ARG(group), route->name);
    return arena_printf(&ex->arena, "%.*s by line %u", SLICE_ARG(group), route->place.line);
}

/* Where it comes from. What the origin is told of the client's request besides
 * the URL that it gets belongs to it. */
static struct slice
source_of(struct exchange *ex)
{
    const struct destination *to = &ex->to;
    struct slice name;

    if (to->group == NULL)
        return internet_by(ex, to->parent);
    name = slice_of(to->group->name);
    if (ex->route != NULL && ex->route->headers.count > 0)
        name = by_route(ex, name);
    if (ex->out.authority.data == ex->request.authority.data)
        return name;
    return arena_printf(&ex->arena, "%.*s for %.*s:%u", SLICE_ARG(name),
                        SLICE_ARG(ex->request.host), ex->request.port);
}

/* Whether a pair of Forwarded says no more than everybody sees: addresses of proxies,
 * and that name's value. */
static bool
is_no_news(struct slice pair, struct slice name, struct slice seen)
{
    if (pair.bytes <= name.bytes ||
        !slice_equal_nocase(slice_make(pair.data, name.bytes), name))
        return false;
    pair = slice_skip(pair, name.bytes);
    if (pair.bytes == seen.bytes + 2 && pair.data[0] == '"' && pair.data[pair.bytes - 1] == '"')
        pair = slice_make(pair.data + 1, seen.bytes);
    return seen.data == NULL || slice_equal(pair, seen);
}

/* The pairs of Forwarded (RFC 7239) that tell something. What is quoted is split as
 * well: then there is more to tell apart, not less. */
static struct slice
forwarded_of(struct exchange *ex)
{
    struct slice list, pair, any = slice_make(NULL, 0);
    char *text, *at;

    if (ex->site == NULL || !fields_has(&ex->request.fields, FIELD_FORWARDED))
        return slice_make("", 0);
    list = fields_joined(&ex->request.fields, FIELD_FORWARDED, &ex->arena);
    text = at = arena_alloc(&ex->arena, list.bytes + 1);
    while (text != NULL && list.bytes > 0) {
        size_t n = 0;

        while (n < list.bytes && list.data[n] != ',' && list.data[n] != ';')
            n++;
        pair = slice_trim(slice_make(list.data, n));
        list = slice_skip(list, n < list.bytes ? n + 1 : n);
        if (pair.bytes == 0 || is_no_news(pair, SLICE("for="), any) ||
            is_no_news(pair, SLICE("by="), any) ||
            is_no_news(pair, SLICE("host="), ex->request.authority) ||
            is_no_news(pair, SLICE("proto="), ex->request.scheme))
            continue;
        at = mempcpy(at, pair.data, pair.bytes);
        *at++ = ';';
    }
    return slice_make(text, (size_t)(at - text));
}

/* What a trusted proxy before us, or the client of a forward listener, says that was
 * asked for, where that is not what we see: origins make redirections and links of it. */
static struct slice
told_of(struct exchange *ex)
{
    static const enum field_id ids[] = { FIELD_X_FORWARDED_PROTO, FIELD_X_FORWARDED_HOST,
                                         FIELD_X_FORWARDED_PORT, FIELD_X_FORWARDED_PREFIX };
    const struct slice seen[ARRAY_COUNT(ids)] = { ex->request.scheme, ex->request.authority };
    const struct fields *fields = &ex->request.fields;
    struct slice values[ARRAY_COUNT(ids)];
    struct slice forwarded = forwarded_of(ex);
    bool is_news = forwarded.bytes > 0;

    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        bool has = fields_has(fields, ids[i]);

        values[i] = has ? fields_joined(fields, ids[i], &ex->arena) : slice_make("", 0);
        is_news = is_news || (has && !slice_equal(values[i], seen[i]));
    }
    if (likely(!is_news))
        return slice_make("", 0);
    return arena_printf(&ex->arena, "%.*s\n%.*s\n%.*s\n%.*s\n%.*s", SLICE_ARG(values[0]),
                        SLICE_ARG(values[1]), SLICE_ARG(values[2]), SLICE_ARG(values[3]),
                        SLICE_ARG(forwarded));
}

/* A host that the configuration names: "app.internal:8080"; or the endpoint's. */
static void
name_host(struct key_parts *parts, struct slice authority)
{
    int port;

    if (authority.data == NULL)
        parts->host = SLICE("endpoint");
    else if (uri_parse_authority(authority, &parts->host, &port) == 0 && port > 0)
        parts->port = (uint16_t)port;
}

static struct slice
by_rules(struct exchange *ex, struct slice source)
{
    struct slice rules = judge_key(ex);

    return likely(rules.bytes == 0)
               ? source
               : arena_printf(&ex->arena, "%.*s%.*s", SLICE_ARG(source), SLICE_ARG(rules));
}

/* What a rule spares from scanning is not for those whose content is scanned. */
static struct slice
by_filters(struct exchange *ex, struct slice source)
{
    struct slice parts[4] = { source };

    pipeline_fetch_ids(ex, &parts[1]);
    if (likely(parts[1].bytes == 0 && parts[2].bytes == 0))
        return source;
    parts[3] = ex->scan == RULE_SCAN_NEVER ? SLICE("\nunscanned") : slice_make("", 0);
    return arena_join(&ex->arena, parts, ARRAY_COUNT(parts));
}

/* The URL as it goes upstream, which filters may have changed; as it was asked for, when it is
 * only asked what is stored. What a parent proxy is asked for comes without scheme and host, as
 * the key has them apart. */
static struct slice
url_upstream(struct exchange *ex)
{
    struct slice target = ex->out.target, scheme, authority, path, query;

    if (target.bytes == 0)
        return site_origin_form(ex);
    if (!reach_is_relayed(ex))
        return target;
    if (slice_equal(target, ex->request.target) ||
        uri_parse_absolute(target, &scheme, &authority, &path, &query) < 0)
        return site_origin_form(ex);
    target = slice_skip(target, (size_t)(authority.data + authority.bytes - target.data));
    return path.bytes > 0 ? target
                          : arena_join(&ex->arena, (struct slice[]){ SLICE("/"), target }, 2);
}

struct key_parts
look_up_parts(struct exchange *ex)
{
    struct slice told = told_of(ex), source = by_filters(ex, by_rules(ex, source_of(ex)));
    struct key_parts parts = {
        .source = likely(told.bytes == 0) ? source
                                          : arena_printf(&ex->arena, "%.*s\n%.*s",
                                                         SLICE_ARG(source), SLICE_ARG(told)),
        .scheme = ex->request.scheme,
        .host = ex->request.host,
        .port = ex->request.port,
        .url = url_upstream(ex),
        .request = &ex->request.fields,
    };

    if (ex->out.authority.data != ex->request.authority.data)
        name_host(&parts, ex->out.authority);
    return parts;
}

static bool
make_key(struct exchange *ex, struct cached *cached)
{
    cached->parts = look_up_parts(ex);
    cached->key = cache_key_make(&ex->arena, &cached->conf->key, &cached->parts);
    cached->hash = store_hash(cached->store, cached->key);
    cached->place = cached->key;
    cached->place_hash = cached->hash;
    return cached->key.data != NULL;
}

struct slice
look_up_target(struct exchange *ex)
{
    const struct cached *cached = ex->cached;
    struct slice target = ex->out.target, url = cache_key_url(cached->key);
    ptrdiff_t mark = cached->conf->key.rules.bytes > 0 ? slice_find(target, '?') : -1;
    ptrdiff_t kept = mark >= 0 ? slice_find(url, '?') : -1;

    if (likely(mark < 0))
        return target;
    target.bytes = (size_t)mark;
    return kept < 0 ? target : arena_printf(&ex->arena, "%.*s%.*s", SLICE_ARG(target),
                                            SLICE_ARG(slice_skip(url, (size_t)kept)));
}

bool
look_up_begin(struct exchange *ex)
{
    const struct cache_conf *conf = ex->route != NULL ? &ex->route->cache : &ex->listener->cache;
    struct cached *cached;

    if (conf->store == NULL || ex->request.method == METHOD_CONNECT)
        return false;
    conf = judge_cache(ex, conf);
    if (conf == NULL)
        return false;
    cached = arena_zalloc(&ex->arena, sizeof(*cached));
    if (cached == NULL)
        return false;
    cached->ex = ex;
    cached->conf = conf;
    cached->store = conf->store->store;
    cached->outcome.name = via_name();
    ex->cached = cached;
    directives_of_request(&cached->directives, &ex->request.fields);
    cached->wants_range = ex->request.method == METHOD_GET &&
                          fields_has(&ex->request.fields, FIELD_RANGE);
    return make_key(ex, cached);
}
