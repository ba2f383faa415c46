/* SPDX-License-Identifier: BSD-2-Clause */
/* cors.c - cross-origin resource sharing (Fetch, section 3.2), in one place.
 *
 *     preflight   OPTIONS with Origin and Access-Control-Request-Method: answered here, also
 *                 where a policy asks for credentials, which a preflight never has
 *     the rest    goes upstream; the answer gets our fields in place of the server's
 *
 * An origin is allowed because it is listed; it is never allowed because it asks. With
 * credentials "*" would mean that any page may act as its visitor: browsers refuse
 * that, and so does the configuration. Answers that depend on the origin say so in
 * Vary, those without Origin in the request too: caches on the way must not give them
 * to others. All lines are made when the configuration is read.
 */
#include "config.h"

#include "filters/cors.h"

#include "server/base/log.h"
#include "server/http/scan.h"
#include "server/http/uri.h"

#include <assert.h>
#include <inttypes.h>

/* What an origin looks like: all of it, or what stands around the "*". */
struct origin_pattern {
    struct slice before, after;
    bool is_open;
};

struct cors_conf {
    struct filter_conf filter;
    struct strings origins, methods, headers, expose;
    bool credentials, private_network;
    uint32_t max_age_ms;
    struct origin_pattern *patterns;
    size_t count;
    bool is_any;                     /* origins = "*" */
    bool echoes_method, echoes_headers; /* "*", where credentials make it a mere name */
    struct slice method_line, header_line, expose_line, max_age; /* empty: not sent */
};

struct cors_state {
    struct slice origin; /* of the request, allowed; empty: none is */
    bool is_judged, is_preflight, was_asked;
};

enum { PREFLIGHT, ALLOWED, REFUSED };

static struct filter_counts counts = {
    .events = { [PREFLIGHT] = "preflight", [ALLOWED] = "allowed", [REFUSED] = "refused" },
};

static const struct option options[] = {
    { .name = "origins", .type = OPTION_STRINGS, .offset = offsetof(struct cors_conf, origins),
      .is_required = true,
      .text = "Origins whose pages may read answers: \"https://app.example.com\", with a port if "
              "it is not the scheme's own; \"https://*.example.com\" is every name below that "
              "one; \"*\" every origin, without credentials." },
    { .name = "methods", .type = OPTION_STRINGS, .offset = offsetof(struct cors_conf, methods),
      .fallback = "GET, HEAD, POST",
      .text = "Methods that such pages may use; \"*\" is any." },
    { .name = "headers", .type = OPTION_STRINGS, .offset = offsetof(struct cors_conf, headers),
      .text = "Request fields that such pages may set, besides those that need no leave; \"*\" is "
              "any (but Authorization, which has to be named, unless credentials is true)." },
    { .name = "expose", .type = OPTION_STRINGS, .offset = offsetof(struct cors_conf, expose),
      .text = "Response fields that such pages may read, besides the usual ones; \"*\" is any, "
              "without credentials." },
    { .name = "credentials", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct cors_conf, credentials),
      .text = "Whether such pages may send cookies and passwords of their visitors." },
    { .name = "max_age", .type = OPTION_TIME, .offset = offsetof(struct cors_conf, max_age_ms),
      .fallback = "10m", .min = 0, .max = 86400000,
      .text = "How long a browser may remember the answer to a preflight; 0: it asks each "
              "time." },
    { .name = "private_network", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct cors_conf, private_network),
      .text = "Whether such pages may ask from a public network when Bascule is in a private one "
              "(Private Network Access)." },
    { .name = NULL },
};

/* ---- configuration */

static bool
is_star(const struct strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (slice_equal(slice_trim(list->items[i]), SLICE("*")))
            return true;
    return false;
}

static int
join(struct slice *line, const struct strings *list, struct arena *arena, struct err *err)
{
    struct slice *parts = arena_alloc(arena, (2 * list->count + 1) * sizeof(*parts));

    if (parts == NULL)
        return err_set(err, "no memory");
    for (size_t i = 0; i < list->count; i++) {
        parts[2 * i] = slice_trim(list->items[i]);
        parts[2 * i + 1] = SLICE(", ");
        if (!scan_is_token(parts[2 * i]))
            return err_set(err, "\"%s\" is no name", log_escape(parts[2 * i]));
    }
    *line = list->count > 0 ? arena_join(arena, parts, 2 * list->count - 1) : slice_make(NULL, 0);
    return 0;
}

/* RFC 6454 section 6.2: scheme "://" host [ ":" port ], the port only if it is not the
 * scheme's; what browsers never send would never match. */
static const char *
objection(struct slice origin, struct slice scheme, struct slice authority)
{
    struct slice host;
    int port;

    for (size_t i = 0; i < origin.bytes; i++)
        if (ascii_lower(origin.data[i]) != origin.data[i])
            return "browsers write origins in lower case";
    if (slice_find(authority, '/') >= 0)
        return "an origin ends behind host and port, without a slash";
    if (uri_parse_authority(authority, &host, &port) < 0)
        return "there is no host[:port] behind \"://\"";
    if ((port == 80 && slice_equal(scheme, SLICE("http"))) ||
        (port == 443 && slice_equal(scheme, SLICE("https"))))
        return "browsers leave out the scheme's own port";
    return NULL;
}

/* The whole of a top-level domain is nobody's. */
static int
check_open(struct slice origin, struct slice authority, struct err *err)
{
    ptrdiff_t dot = slice_find(authority, '.');

    if (dot >= 0 && slice_find(slice_skip(authority, (size_t)dot + 1), '.') != 0)
        return 0;
    return err_set(err, "\"%s\": expected a domain behind \"*.\", as in "
                   "\"https://*.example.com\"", log_escape(origin));
}

static int
compile(struct slice origin, struct origin_pattern *pattern, struct err *err)
{
    ptrdiff_t colon = slice_find(origin, ':');
    struct slice scheme = slice_make(origin.data, colon > 0 ? (size_t)colon : 0);
    struct slice authority = slice_skip(origin, scheme.bytes);
    const char *why;

    if (slice_equal(origin, SLICE("null")))
        return err_set(err, "\"null\" is the origin of whatever hides its own");
    if (scheme.bytes == 0 || !slice_starts_with(authority, SLICE("://")))
        return err_set(err, "\"%s\": expected scheme://host[:port], or \"*\"", log_escape(origin));
    authority = slice_skip(authority, 3);
    pattern->is_open = slice_starts_with(authority, SLICE("*."));
    if (pattern->is_open) {
        authority = slice_skip(authority, 2);
        if (check_open(origin, authority, err) < 0)
            return -1;
    }
    why = objection(origin, scheme, authority);
    if (why != NULL)
        return err_set(err, "\"%s\": %s", log_escape(origin), why);
    pattern->before = pattern->is_open ? slice_make(origin.data, scheme.bytes + 3) : origin;
    pattern->after = pattern->is_open ? slice_make(authority.data - 1, authority.bytes + 1)
                                      : slice_make(NULL, 0);
    return 0;
}

static int
compile_origins(struct cors_conf *conf, struct arena *arena, struct err *err)
{
    conf->is_any = is_star(&conf->origins);
    if (conf->is_any && conf->origins.count > 1)
        return err_set(err, "\"*\" stands for all origins: leave out the others");
    if (conf->is_any && conf->credentials)
        return err_set(err, "\"*\" with credentials would let every page act as its visitor: list "
                       "the origins");
    conf->patterns = arena_zalloc(arena, conf->origins.count * sizeof(*conf->patterns) + 1);
    if (conf->patterns == NULL)
        return err_set(err, "no memory");
    if (conf->is_any)
        return 0;
    for (conf->count = 0; conf->count < conf->origins.count; conf->count++)
        if (compile(slice_trim(conf->origins.items[conf->count]), &conf->patterns[conf->count],
                    err) < 0)
            return -1;
    return conf->count > 0 ? 0 : err_set(err, "is empty: expected an origin, or \"*\"");
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct cors_conf *conf = arg;

    (void)all;
    if (compile_origins(conf, arena, err) < 0)
        return err_prefix(err, "origins: ");
    if (join(&conf->method_line, &conf->methods, arena, err) < 0)
        return err_prefix(err, "methods: ");
    if (join(&conf->header_line, &conf->headers, arena, err) < 0)
        return err_prefix(err, "headers: ");
    if (join(&conf->expose_line, &conf->expose, arena, err) < 0)
        return err_prefix(err, "expose: ");
    if (conf->credentials && is_star(&conf->expose))
        return err_set(err, "expose: with credentials \"*\" is a mere name to browsers: list the "
                       "fields");
    conf->echoes_method = conf->credentials && is_star(&conf->methods);
    conf->echoes_headers = conf->credentials && is_star(&conf->headers);
    conf->max_age = arena_printf(arena, "%" PRIu32, conf->max_age_ms / 1000);
    return 0;
}

/* ---- who asks */

static bool
is_name(struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        char c = ascii_lower(text.data[i]);

        if ((c < 'a' || c > 'z') && !ascii_is_digit(c) && c != '-' && c != '.' && c != '_')
            return false;
    }
    return text.bytes > 0 && text.data[0] != '.';
}

static bool
matches(const struct origin_pattern *pattern, struct slice origin)
{
    size_t around = pattern->before.bytes + pattern->after.bytes;

    if (!pattern->is_open)
        return slice_equal(origin, pattern->before);
    return origin.bytes > around && slice_starts_with(origin, pattern->before) &&
           slice_equal(slice_skip(origin, origin.bytes - pattern->after.bytes), pattern->after) &&
           is_name(slice_make(origin.data + pattern->before.bytes, origin.bytes - around));
}

static bool
is_listed(const struct cors_conf *conf, struct slice origin)
{
    for (size_t i = 0; i < conf->count; i++)
        if (matches(&conf->patterns[i], origin))
            return true;
    return false;
}

/* Once: later filters of requests may take the field out. */
static void
judge(const struct cors_conf *conf, struct cors_state *state, const struct exchange *ex)
{
    struct slice origin;

    if (state->is_judged)
        return;
    state->is_judged = true;
    origin = fields_get(&ex->request.fields, FIELD_ORIGIN);
    if (origin.bytes == 0)
        return;
    if (conf->is_any)
        state->origin = SLICE("*");
    else if (is_listed(conf, origin))
        state->origin = origin;
    filter_count(ex, &counts, state->origin.bytes > 0 ? ALLOWED : REFUSED, 1);
}

/* ---- what answers say */

#define RESPONSES_FIRST FIELD_ACCESS_CONTROL_ALLOW_CREDENTIALS
#define RESPONSES_LAST FIELD_ACCESS_CONTROL_MAX_AGE

static_assert(RESPONSES_FIRST / 64 == RESPONSES_LAST / 64, "they are looked for by one mask");

static const struct slice private_network = SLICE_INIT("Access-Control-Allow-Private-Network");

static bool
is_of_server(const struct field *field, void *arg)
{
    (void)arg;
    if (field->id == FIELD_OTHER)
        return field->name.bytes == private_network.bytes &&
               slice_equal_nocase(field->name, private_network);
    return field->id >= RESPONSES_FIRST && field->id <= RESPONSES_LAST;
}

static bool
is_any_of_server(const struct fields *fields)
{
    const uint64_t mask = (UINT64_C(2) << (RESPONSES_LAST % 64)) -
                          (UINT64_C(1) << (RESPONSES_FIRST % 64));

    if ((fields->present[RESPONSES_FIRST / 64] & mask) != 0)
        return true;
    for (uint32_t i = 0; fields_has(fields, FIELD_OTHER) && i < fields->count; i++)
        if (fields->items[i].id == FIELD_OTHER && is_of_server(&fields->items[i], NULL))
            return true;
    return false;
}

/* Mostly there is nothing of it: looks before anything is moved. */
static void
take_out(struct fields *fields)
{
    if (is_any_of_server(fields))
        fields_remove_if(fields, is_of_server, NULL);
}

static void
add_vary(struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    const struct field *field = NULL;

    while ((field = fields_next(fields, FIELD_VARY, field)) != NULL)
        if (slice_list_has(field->value, SLICE("Origin")) ||
            slice_list_has(field->value, SLICE("*")))
            return;
    fields_add(fields, &ex->arena, FIELD_VARY, SLICE("Origin"));
}

/* Who may read this answer. */
static void
add_leave(const struct cors_conf *conf, struct slice origin, struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;

    if (!conf->is_any)
        add_vary(ex);
    if (origin.bytes == 0)
        return;
    fields_add(fields, &ex->arena, FIELD_ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if (conf->credentials)
        fields_add(fields, &ex->arena, FIELD_ACCESS_CONTROL_ALLOW_CREDENTIALS, SLICE("true"));
}

/* A line of the configuration, or what the client asks for. */
static void
add_allowed(struct exchange *ex, enum field_id id, struct slice line, bool echoes,
            enum field_id asked)
{
    if (echoes)
        line = fields_joined(&ex->request.fields, asked, &ex->arena);
    if (line.bytes > 0)
        fields_add(&ex->response.fields, &ex->arena, id, line);
}

static enum filter_verdict
answer_preflight(const struct cors_conf *conf, struct cors_state *state, struct exchange *ex)
{
    static const struct slice wish = SLICE_INIT("Access-Control-Request-Private-Network");
    const struct fields *asked = &ex->request.fields;
    struct fields *fields = &ex->response.fields;

    state->is_preflight = true;
    filter_count(ex, &counts, PREFLIGHT, 1);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "cors: preflight of %s",
                    state->origin.bytes > 0 ? "an allowed origin" : "an origin that is not listed");
    exchange_answer_with(ex, 204, END_ANSWERED, NULL, slice_make(NULL, 0));
    add_leave(conf, state->origin, ex);
    if (state->origin.bytes == 0)
        return FILTER_ANSWER;
    add_allowed(ex, FIELD_ACCESS_CONTROL_ALLOW_METHODS, conf->method_line, conf->echoes_method,
                FIELD_ACCESS_CONTROL_REQUEST_METHOD);
    add_allowed(ex, FIELD_ACCESS_CONTROL_ALLOW_HEADERS, conf->header_line, conf->echoes_headers,
                FIELD_ACCESS_CONTROL_REQUEST_HEADERS);
    fields_add(fields, &ex->arena, FIELD_ACCESS_CONTROL_MAX_AGE, conf->max_age);
    if (conf->private_network && fields_find_name(asked, wish) != NULL)
        fields_add_name(fields, &ex->arena, private_network, SLICE("true"));
    return FILTER_ANSWER;
}

/* ---- serving */

static bool
is_preflight(const struct exchange *ex)
{
    const struct fields *fields = &ex->request.fields;

    return ex->request.method == METHOD_OPTIONS && fields_has(fields, FIELD_ORIGIN) &&
           fields_has(fields, FIELD_ACCESS_CONTROL_REQUEST_METHOD);
}

static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct cors_conf *conf = arg;
    struct cors_state *state = memory;

    state->was_asked = true;
    judge(conf, state, ex);
    return is_preflight(ex) ? answer_preflight(conf, state, ex) : FILTER_NEXT;
}

/* Before it is stored: as an answer to one origin it would be kept for that one only. */
static enum filter_verdict
fetch_head(const void *arg, void *memory, struct exchange *ex)
{
    (void)arg;
    (void)memory;
    take_out(&ex->response.fields);
    return FILTER_NEXT;
}

static enum filter_verdict
deliver_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct cors_conf *conf = arg;
    struct cors_state *state = memory;

    if (state->is_preflight || ex->request.method == METHOD_CONNECT || ex->response.status == 101)
        return FILTER_NEXT;
    judge(conf, state, ex); /* an answer from before the requests' filters */
    if (!state->was_asked && is_preflight(ex) && ex->response.status == 401)
        return answer_preflight(conf, state, ex); /* has no credentials: Fetch, section 4.8 */
    take_out(&ex->response.fields); /* what was stored before this filter was there */
    add_leave(conf, conf->is_any ? SLICE("*") : state->origin, ex);
    if (conf->expose_line.bytes > 0 && state->origin.bytes > 0)
        fields_add(&ex->response.fields, &ex->arena, FIELD_ACCESS_CONTROL_EXPOSE_HEADERS,
                   conf->expose_line);
    return FILTER_NEXT;
}

const struct filter_ops cors_filter = {
    .name = "cors",
    .text = "Says which other origins' pages may read answers, and answers their preflights.",
    .options = options,
    .conf_bytes = sizeof(struct cors_conf),
    .state_bytes = sizeof(struct cors_state),
    .counts = &counts,
    .finish = finish,
    .request_head = request_head,
    .fetch_head = fetch_head,
    .deliver_head = deliver_head,
};
