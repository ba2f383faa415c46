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
 *
 * Where a path will not do, a host has to stand: endpoints in other fields
 * (Access-Control-Allow-Origin, Content-Security-Policy, those of applications) and, by
 * options, private addresses anywhere and both in content. As this host is the one
 * that the client asked, it is done on the side of deliver.
 */
#include "config.h"

#include "filters/hide_server.h"

#include "filters/field_set.h"
#include "filters/hide_server_inside.h"
#include "server/http/via.h"
#include "server/policy/prefix_set.h"

struct hide_server_state {
    struct hide_body *body; /* NULL: content passes as it is */
};

enum { FIELDS_REMOVED, FIELDS_MAPPED, PAGES_REPLACED, CONTENTS_READ, CONTENTS_CODED };

static struct filter_counts counts = {
    .events = { [FIELDS_REMOVED] = "fields_removed", [FIELDS_MAPPED] = "fields_mapped",
                [PAGES_REPLACED] = "pages_replaced", [CONTENTS_READ] = "contents_read",
                [CONTENTS_CODED] = "contents_unread" },
};

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
    { .name = "addresses", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct hide_server_conf, addresses),
      .text = "Masks private addresses (RFC 1918, unique local, link-local, loopback) in all "
              "response fields, also when they are of no endpoint." },
    { .name = "bodies", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct hide_server_conf, bodies),
      .text = "Does the same with endpoints and, if addresses is true, private addresses in "
              "content that is text. Servers are then asked for content that is whole and not "
              "compressed: put compress in front of this filter." },
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
name_masked(struct hide_server_conf *conf, struct arena *arena, struct err *err)
{
    static const char *const names[] = { "private", "loopback", "link-local" };
    struct prefix_set *set = prefix_set_new(arena);

    if (set == NULL)
        return err_set(err, "no memory");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (prefix_set_add(set, slice_of(names[i]), err) < 0)
            return -1;
    prefix_set_seal(set);
    conf->masked = set;
    return 0;
}

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
    if (conf->addresses && name_masked(conf, arena, err) < 0)
        return -1;
    if (conf->server != NULL && field_check_value(slice_of(conf->server), err) < 0)
        return err_prefix(err, "server: ");
    return 0;
}

/* ---- taking out */

/* On forward listeners the road has added our own Via already. */
static inline bool
is_hidden(const struct field *field, const void *set)
{
    if (field->id == FIELD_VIA)
        return !via_is_value(field->value);
    return field_set_has(set, field);
}

/* ---- the response */

static inline void
rewrite(struct exchange *ex, enum field_id id,
        struct slice (*map)(struct exchange *ex, struct slice value))
{
    struct fields *fields = &ex->response.fields;

    for (uint32_t i = 0; fields_has(fields, id) && i < fields->count; i++) {
        struct slice old = fields->items[i].value;

        if (fields->items[i].id != id)
            continue;
        fields->items[i].value = map(ex, old);
        if (fields->items[i].value.data != old.data)
            filter_count(ex, &counts, FIELDS_MAPPED, 1);
    }
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
    filter_count(ex, &counts, PAGES_REPLACED, 1);
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

static void
map_urls(struct exchange *ex)
{
    rewrite(ex, FIELD_LOCATION, hide_map_url);
    rewrite(ex, FIELD_CONTENT_LOCATION, hide_map_url);
    rewrite(ex, FIELD_LINK, hide_map_link);
    rewrite(ex, FIELD_REFRESH, hide_map_refresh);
    rewrite(ex, FIELD_SET_COOKIE, hide_map_cookie);
}

static enum filter_verdict
fetch_head(const void *arg, void *state, struct exchange *ex)
{
    const struct hide_server_conf *conf = arg;
    struct fields *fields = &ex->response.fields;
    bool is_hidden_error = is_error_to_hide(conf, ex->response.status);
    unsigned removed = fields_sift(fields, is_hidden, conf->hidden);

    (void)state;
    if (removed > 0)
        filter_count(ex, &counts, FIELDS_REMOVED, removed);
    if (ex->to.group != NULL)
        map_urls(ex);
    if (is_hidden_error)
        replace_page(conf, ex);
    if (conf->server != NULL)
        fields_set(fields, &ex->arena, FIELD_SERVER, slice_of(conf->server));
    return is_hidden_error ? FILTER_ANSWER : FILTER_NEXT;
}

/* ---- names and addresses anywhere */

/* Fields with nothing of the kind, which most answers have; and those whose URLs were
 * seen to: what leads elsewhere stays in them unless addresses are masked. */
enum { MAY_TELL = 0, NEVER_TELLS, HAS_URLS };

static const unsigned char tellings[FIELD_ID_COUNT] = {
    [FIELD_ACCEPT_RANGES] = NEVER_TELLS,     [FIELD_AGE] = NEVER_TELLS,
    [FIELD_ALLOW] = NEVER_TELLS,             [FIELD_CACHE_CONTROL] = NEVER_TELLS,
    [FIELD_CONNECTION] = NEVER_TELLS,        [FIELD_CONTENT_ENCODING] = NEVER_TELLS,
    [FIELD_CONTENT_LANGUAGE] = NEVER_TELLS,  [FIELD_CONTENT_LENGTH] = NEVER_TELLS,
    [FIELD_CONTENT_RANGE] = NEVER_TELLS,     [FIELD_CONTENT_TYPE] = NEVER_TELLS,
    [FIELD_DATE] = NEVER_TELLS,              [FIELD_ETAG] = NEVER_TELLS,
    [FIELD_EXPIRES] = NEVER_TELLS,           [FIELD_KEEP_ALIVE] = NEVER_TELLS,
    [FIELD_LAST_MODIFIED] = NEVER_TELLS,     [FIELD_PRAGMA] = NEVER_TELLS,
    [FIELD_RETRY_AFTER] = NEVER_TELLS,       [FIELD_STRICT_TRANSPORT_SECURITY] = NEVER_TELLS,
    [FIELD_TRANSFER_ENCODING] = NEVER_TELLS, [FIELD_VARY] = NEVER_TELLS,
    [FIELD_VIA] = NEVER_TELLS,               [FIELD_X_CONTENT_TYPE_OPTIONS] = NEVER_TELLS,
    [FIELD_CONTENT_LOCATION] = HAS_URLS,     [FIELD_LINK] = HAS_URLS,
    [FIELD_LOCATION] = HAS_URLS,             [FIELD_REFRESH] = HAS_URLS,
    [FIELD_SET_COOKIE] = HAS_URLS,
};

static void
map_texts(const struct hide_server_conf *conf, struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    unsigned most = conf->masked != NULL ? HAS_URLS : MAY_TELL;
    struct hide_text what;
    bool is_ready = false;

    for (uint32_t i = 0; i < fields->count; i++) {
        struct field *field = &fields->items[i];
        struct slice old = field->value;

        if (tellings[field->id] == NEVER_TELLS || tellings[field->id] > most)
            continue;
        if (!is_ready)
            hide_text_init(&what, conf, ex);
        is_ready = true;
        field->value = hide_text_map(&what, old, &ex->arena);
        if (field->value.data != old.data)
            filter_count(ex, &counts, FIELDS_MAPPED, 1);
    }
}

static void
begin_body(const struct hide_server_conf *conf, struct hide_server_state *state,
           struct exchange *ex)
{
    if (!hide_body_is_wanted(ex)) {
        if (fields_has(&ex->response.fields, FIELD_CONTENT_ENCODING))
            filter_count(ex, &counts, CONTENTS_CODED, 1);
        return;
    }
    state->body = hide_body_new(conf, ex);
    filter_count(ex, &counts, CONTENTS_READ, 1);
}

static enum filter_verdict
request_head(const void *arg, void *state, struct exchange *ex)
{
    const struct hide_server_conf *conf = arg;

    (void)state;
    if (conf->bodies)
        hide_body_ask(ex);
    return FILTER_NEXT;
}

static enum filter_verdict
deliver_head(const void *arg, void *state, struct exchange *ex)
{
    const struct hide_server_conf *conf = arg;

    if (ex->to.group == NULL && conf->masked == NULL)
        return FILTER_NEXT;
    map_texts(conf, ex);
    if (conf->bodies)
        begin_body(conf, state, ex);
    return FILTER_NEXT;
}

static struct source *
deliver_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    struct hide_server_state *state = memory;
    struct source *source;

    (void)arg;
    if (state->body == NULL)
        return inner;
    source = hide_body_source(state->body, ex, inner);
    return source != NULL ? source : inner; /* the arena is spent: nothing is sent */
}

const struct filter_ops hide_server_filter = {
    .name = "hide_server",
    .text = "Keeps from clients what stands behind Bascule.",
    .options = options,
    .conf_bytes = sizeof(struct hide_server_conf),
    .state_bytes = sizeof(struct hide_server_state),
    .counts = &counts,
    .finish = finish,
    .request_head = request_head,
    .fetch_head = fetch_head,
    .deliver_head = deliver_head,
    .deliver_body = deliver_body,
};
