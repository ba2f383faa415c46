/* SPDX-License-Identifier: BSD-2-Clause */
/* anonymity.c - what identifies a client does not leave.
 *
 *     on      takes out what proxies and gateways on the client's side say
 *             about it: its address, name, certificate, network
 *     strict  lets through only what browsing needs, and makes that more alike:
 *             one User-Agent, one language, no path in a Referer that crosses
 *             origins
 *
 * Cookies and credentials pass: they are what the client says of itself, to
 * the very origin it asks. Framing and hop-by-hop fields are left to the
 * writer, which puts its own in their place.
 */
#include "config.h"

#include "filters/anonymity.h"

#include "filters/field_set.h"
#include "server/http/uri.h"
#include "server/http/via.h"

/* What a great many others send: Firefox's long-term version, on the most
 * common system, as the Tor Browser has it, too. */
#define COMMON_AGENT "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0"

#define LANGUAGE_BYTES_MAX 35 /* RFC 5646 section 4.4.1 */

struct anonymity_conf {
    struct filter_conf filter;
    int profile;            /* enum anonymity_profile */
    const char *user_agent; /* as written */
    struct strings keep;
    struct slice agent;           /* empty: the client's own */
    const struct field_set *kept; /* strict: what passes */
};

const char *const anonymity_words[] = {
    [ANONYMITY_OFF] = "off",
    [ANONYMITY_ON] = "on",
    [ANONYMITY_STRICT] = "strict",
    NULL,
};

static const struct option options[] = {
    { .name = "profile", .type = OPTION_ENUM, .offset = offsetof(struct anonymity_conf, profile),
      .words = anonymity_words, .fallback = "on",
      .text = "on: takes out fields that tell the client's address, name or network. strict: "
              "lets through only what browsing needs, with a common User-Agent, one language and "
              "no path in a Referer of another origin. off: nothing." },
    { .name = "user_agent", .type = OPTION_STRING,
      .offset = offsetof(struct anonymity_conf, user_agent),
      .text = "User-Agent sent for every client; when not given, strict has a common one and on "
              "the client's own." },
    { .name = "keep", .type = OPTION_STRINGS, .offset = offsetof(struct anonymity_conf, keep),
      .text = "With strict, names of further fields that pass: \"X-CSRF-Token\", \"X-My-*\"." },
    { .name = NULL },
};

/* ---- what identifies: for the profile "on" */

/* In order. HTTP-*: some toolkits send the names of CGI. X-Client-Data is
 * Chrome's, to Google; X-MSISDN, X-UIDH and X-UP-* are of mobile networks. */
static const struct slice telling_names[] = {
    SLICE_INIT("CF-Connecting-*"), SLICE_INIT("CF-IP*"), SLICE_INIT("CF-Pseudo-*"),
    SLICE_INIT("CF-Visitor"), SLICE_INIT("Client-Cert*"), SLICE_INIT("Coming-From"),
    SLICE_INIT("Fastly-Client-*"), SLICE_INIT("Fly-Client-*"), SLICE_INIT("Forwarded*"),
    SLICE_INIT("HTTP-*"), SLICE_INIT("Proxy-*"), SLICE_INIT("Remote-*"),
    SLICE_INIT("SSL-Client-*"), SLICE_INIT("True-Client-*"), SLICE_INIT("WL-Proxy-*"),
    SLICE_INIT("X-AppEngine-*"), SLICE_INIT("X-ARR-*"), SLICE_INIT("X-Azure-*"),
    SLICE_INIT("X-BlueCoat-Via"), SLICE_INIT("X-Client-Addr*"), SLICE_INIT("X-Client-Cert*"),
    SLICE_INIT("X-Client-Data"), SLICE_INIT("X-Client-Host"), SLICE_INIT("X-Client-IP*"),
    SLICE_INIT("X-Client-Port"), SLICE_INIT("X-Cluster-*"), SLICE_INIT("X-Coming-From"),
    SLICE_INIT("X-Envoy-*"), SLICE_INIT("X-Forwarded*"), SLICE_INIT("X-MSISDN*"),
    SLICE_INIT("X-Original-*"), SLICE_INIT("X-Originating-*"), SLICE_INIT("X-Proxy*"),
    SLICE_INIT("X-Real-*"), SLICE_INIT("X-Remote-*"), SLICE_INIT("X-Source-IP"),
    SLICE_INIT("X-SSL-*"), SLICE_INIT("X-UIDH"), SLICE_INIT("X-UP-*"), SLICE_INIT("X-User-IP"),
};

const struct field_set anonymity_telling = {
    .known = {
        [FIELD_CF_CONNECTING_IP] = true, [FIELD_CLIENT_CERT] = true,
        [FIELD_CLIENT_CERT_CHAIN] = true, [FIELD_CLIENT_IP] = true, [FIELD_FORWARDED] = true,
        [FIELD_FROM] = true, [FIELD_PROXY_STATUS] = true, [FIELD_TRUE_CLIENT_IP] = true,
        [FIELD_X_CLIENT_IP] = true, [FIELD_X_CLUSTER_CLIENT_IP] = true,
        [FIELD_X_FORWARDED] = true, [FIELD_X_FORWARDED_FOR] = true,
        [FIELD_X_FORWARDED_HOST] = true, [FIELD_X_FORWARDED_PORT] = true,
        [FIELD_X_FORWARDED_PREFIX] = true, [FIELD_X_FORWARDED_PROTO] = true,
        [FIELD_X_FORWARDED_SERVER] = true, [FIELD_X_REAL_IP] = true,
    },
    .others = telling_names,
    .count = ARRAY_COUNT(telling_names),
};

/* ---- what browsing needs: for the profile "strict" */

static const struct field_set needed = {
    .known = {
        [FIELD_ACCEPT] = true, [FIELD_ACCEPT_ENCODING] = true, [FIELD_ACCEPT_LANGUAGE] = true,
        [FIELD_ACCESS_CONTROL_REQUEST_HEADERS] = true,
        [FIELD_ACCESS_CONTROL_REQUEST_METHOD] = true, [FIELD_AUTHORIZATION] = true,
        [FIELD_CACHE_CONTROL] = true, [FIELD_CONTENT_DISPOSITION] = true,
        [FIELD_CONTENT_ENCODING] = true, [FIELD_CONTENT_LANGUAGE] = true,
        [FIELD_CONTENT_LOCATION] = true, [FIELD_CONTENT_RANGE] = true,
        [FIELD_CONTENT_TYPE] = true, [FIELD_COOKIE] = true, [FIELD_EXPECT] = true,
        [FIELD_IF_MATCH] = true, [FIELD_IF_MODIFIED_SINCE] = true, [FIELD_IF_NONE_MATCH] = true,
        [FIELD_IF_RANGE] = true, [FIELD_IF_UNMODIFIED_SINCE] = true,
        [FIELD_MAX_FORWARDS] = true, [FIELD_ORIGIN] = true, [FIELD_PRAGMA] = true,
        [FIELD_RANGE] = true, [FIELD_REFERER] = true, [FIELD_SEC_FETCH_DEST] = true,
        [FIELD_SEC_FETCH_MODE] = true, [FIELD_SEC_FETCH_SITE] = true,
        [FIELD_SEC_FETCH_USER] = true, [FIELD_SEC_WEBSOCKET_EXTENSIONS] = true,
        [FIELD_SEC_WEBSOCKET_KEY] = true, [FIELD_SEC_WEBSOCKET_PROTOCOL] = true,
        [FIELD_SEC_WEBSOCKET_VERSION] = true, [FIELD_TRAILER] = true,
        [FIELD_UPGRADE_INSECURE_REQUESTS] = true, [FIELD_USER_AGENT] = true,
        [FIELD_X_REQUESTED_WITH] = true,
    },
};

/* ---- configuration */

static const struct anonymity_conf defaults[] = {
    [ANONYMITY_OFF] = { .filter.ops = &anonymity_filter, .profile = ANONYMITY_OFF },
    [ANONYMITY_ON] = { .filter.ops = &anonymity_filter, .profile = ANONYMITY_ON },
    [ANONYMITY_STRICT] = { .filter.ops = &anonymity_filter, .profile = ANONYMITY_STRICT,
                           .agent = SLICE_INIT(COMMON_AGENT), .kept = &needed },
};

const struct filter_conf *
anonymity_default(enum anonymity_profile profile)
{
    return &defaults[profile].filter;
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct anonymity_conf *conf = arg;
    struct field_set *kept = arena_alloc(arena, sizeof(*kept));

    (void)all;
    if (kept == NULL)
        return err_set(err, "no memory");
    if (conf->keep.count > 0 && conf->profile != ANONYMITY_STRICT)
        return err_set(err, "keep: only the profile \"strict\" takes out what it does not know");
    *kept = needed;
    if (field_set_add(kept, &conf->keep, arena, err) < 0)
        return err_prefix(err, "keep: ");
    conf->kept = kept;
    conf->agent = defaults[conf->profile].agent;
    if (conf->user_agent != NULL)
        conf->agent = slice_trim(slice_of(conf->user_agent));
    return field_check_value(conf->agent, err) < 0 ? err_prefix(err, "user_agent: ") : 0;
}

/* ---- taking out */

/* Our own Via stays: it is a pseudonym, and loops are found by it. The value
 * is known by where it lies, as no client's text lies there. */
static bool
is_foreign_via(const struct field *field)
{
    return field->id == FIELD_VIA && !via_is_value(field->value);
}

static bool
is_telling(const struct field *field, void *arg)
{
    (void)arg;
    return is_foreign_via(field) || field_set_has(&anonymity_telling, field);
}

static bool
is_needless(const struct field *field, void *arg)
{
    if (field->id == FIELD_VIA)
        return is_foreign_via(field);
    return (field->flags & (FIELD_FRAMING | FIELD_HOP)) == 0 && !field_set_has(arg, field);
}

/* Mostly there is nothing to take out: looks before anything is moved. */
static void
take_out_telling(struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (is_telling(&fields->items[i], NULL)) {
            fields_remove_if(fields, is_telling, NULL);
            return;
        }
}

/* ---- making alike */

/* What is left of a Referer: all of it within one origin, the origin alone
 * when it crosses to another, nothing when it would go from https to http, or
 * is not understood. Always the beginning of value. */
static struct slice
referer_left(const struct request *request, struct slice value)
{
    static const struct slice nothing = { NULL, 0 };
    struct slice scheme, authority, path, query, host, uri = value;
    ptrdiff_t fragment = slice_find(value, '#');
    bool is_https;
    int port;

    if (fragment >= 0)
        uri.bytes = (size_t)fragment;
    if (uri_parse_absolute(uri, &scheme, &authority, &path, &query) < 0 ||
        uri_parse_authority(authority, &host, &port) < 0)
        return nothing;
    is_https = slice_equal_nocase(scheme, SLICE("https"));
    if (!is_https && !slice_equal_nocase(scheme, SLICE("http")))
        return nothing;
    if (port < 0)
        port = is_https ? 443 : 80;
    if (is_https == slice_equal(request->scheme, SLICE("https")) && port == request->port &&
        slice_equal_nocase(host, request->host))
        return uri;
    if (is_https && !slice_equal(request->scheme, SLICE("https")))
        return nothing;
    uri.bytes = (size_t)(authority.data + authority.bytes - value.data);
    return path.bytes > 0 ? slice_make(uri.data, uri.bytes + 1) : uri; /* with its slash */
}

/* The first language without its weight, if it looks like one. */
static struct slice
language_left(struct slice value)
{
    size_t bytes = 0;

    while (bytes < value.bytes && strchr(",; \t", value.data[bytes]) == NULL) {
        char c = ascii_lower(value.data[bytes++]);

        if ((c < 'a' || c > 'z') && !ascii_is_digit(c) && c != '-' && c != '*')
            return slice_make(NULL, 0);
    }
    if (bytes == 0 || bytes > LANGUAGE_BYTES_MAX)
        return slice_make(NULL, 0);
    return slice_make(value.data, bytes);
}

static void
replace(struct exchange *ex, enum field_id id, struct slice value)
{
    if (value.bytes > 0)
        fields_set(&ex->request.fields, &ex->arena, id, value);
    else
        fields_remove(&ex->request.fields, id);
}

static void
make_alike(struct exchange *ex)
{
    const struct fields *fields = &ex->request.fields;

    if (fields_has(fields, FIELD_REFERER))
        replace(ex, FIELD_REFERER,
                referer_left(&ex->request, fields_get(fields, FIELD_REFERER)));
    if (fields_has(fields, FIELD_ACCEPT_LANGUAGE))
        replace(ex, FIELD_ACCEPT_LANGUAGE,
                language_left(fields_get(fields, FIELD_ACCEPT_LANGUAGE)));
}

/* ---- serving */

/* A default of the listener, which no line of the configuration holds. */
static bool
is_for_own_site(const struct anonymity_conf *conf, const struct exchange *ex)
{
    return ex->site != NULL && conf->filter.place.line == 0;
}

static enum filter_verdict
request_head(const void *arg, void *state, struct exchange *ex)
{
    const struct anonymity_conf *conf = arg;

    (void)state;
    if (is_for_own_site(conf, ex))
        return FILTER_NEXT;
    switch ((enum anonymity_profile)conf->profile) {
    case ANONYMITY_OFF:
        return FILTER_NEXT;
    case ANONYMITY_ON:
        take_out_telling(&ex->request.fields);
        break;
    case ANONYMITY_STRICT:
        fields_remove_if(&ex->request.fields, is_needless, (void *)(uintptr_t)conf->kept);
        make_alike(ex);
        break;
    }
    if (conf->agent.bytes > 0)
        fields_set(&ex->request.fields, &ex->arena, FIELD_USER_AGENT, conf->agent);
    return FILTER_NEXT;
}

const struct filter_ops anonymity_filter = {
    .name = "anonymity",
    .text = "Keeps from servers who the client is.",
    .options = options,
    .conf_bytes = sizeof(struct anonymity_conf),
    .finish = finish,
    .request_head = request_head,
};
