/* SPDX-License-Identifier: BSD-2-Clause */
/* anonymity.c - what identifies a client does not leave.
 *
 *     on      takes out what proxies and gateways on the client's side say
 *             about it: its address, name, certificate, network
 *     strict  lets through only what browsing needs, and makes that more alike:
 *             one User-Agent, one language, one order of fields, no path in a
 *             Referer that crosses origins, no parameters that track, no cookies
 *             of third parties; and asks with Sec-GPC not to be sold
 *
 * Other cookies and credentials pass: they are what the client says of itself, to
 * the very origin it asks. Framing and hop-by-hop fields are left to the
 * writer, which puts its own in their place.
 */
#include "config.h"

#include "filters/anonymity.h"

#include "filters/anonymity_inside.h"
#include "filters/field_set.h"
#include "filters/tracking.h"
#include "server/base/clock.h"
#include "server/http/uri.h"
#include "server/http/via.h"

#define LANGUAGE_BYTES_MAX 35 /* RFC 5646 section 4.4.1 */

struct anonymity_state {
    bool is_third_party, is_away; /* of the request; is_away: to a site of our own */
};

enum { FIELDS_REMOVED, REFERERS_CUT, COOKIES_REMOVED, COOKIES_SHORTENED, PARAMETERS_STRIPPED };

static struct filter_counts counts = {
    .events = { [FIELDS_REMOVED] = "fields_removed", [REFERERS_CUT] = "referer_cut",
                [COOKIES_REMOVED] = "cookies_removed",
                [COOKIES_SHORTENED] = "cookie_shortened",
                [PARAMETERS_STRIPPED] = "parameters_stripped" },
};

/* ---- taking out */

/* Our own Via stays: it is a pseudonym, and loops are found by it. The value
 * is known by where it lies, as no client's text lies there. */
static inline bool
is_foreign_via(const struct field *field)
{
    return field->id == FIELD_VIA && !via_is_value(field->value);
}

static inline bool
is_taken(const struct field *field, const void *set)
{
    return is_foreign_via(field) || field_set_has(set, field);
}

static inline bool
is_needless(const struct field *field, const void *set)
{
    if (field->id == FIELD_VIA)
        return is_foreign_via(field);
    return (field->flags & (FIELD_FRAMING | FIELD_HOP)) == 0 && !field_set_has(set, field);
}

static unsigned
take_out(const struct plan *plan, struct fields *fields)
{
    if (plan->kept != NULL)
        return fields_sift(fields, is_needless, plan->kept);
    return plan->taken != NULL ? fields_sift(fields, is_taken, plan->taken) : 0;
}

/* ---- making alike */

/* What is left of a Referer: all of it within one origin, the origin alone
 * when it crosses to another (with "same" nothing), nothing when it would go from
 * https to http, or is not understood. Always the beginning of value. */
static struct slice
referer_left(const struct request *request, struct slice value, enum referer policy)
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
    if (policy == REFERER_SAME || (is_https && !slice_equal(request->scheme, SLICE("https"))))
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
cut_referer(enum referer policy, struct exchange *ex)
{
    struct slice value = fields_get(&ex->request.fields, FIELD_REFERER), left = { NULL, 0 };

    if (policy == REFERER_PASS || value.data == NULL)
        return;
    if (policy != REFERER_NONE)
        left = referer_left(&ex->request, value, policy);
    if (left.data == value.data && left.bytes == value.bytes)
        return;
    filter_count(ex, &counts, REFERERS_CUT, 1);
    replace(ex, FIELD_REFERER, left);
}

static void
cut_language(const struct plan *plan, struct exchange *ex)
{
    const struct fields *fields = &ex->request.fields;

    switch (plan->language) {
    case LANGUAGE_PASS:
        return;
    case LANGUAGE_FIRST:
        if (fields_has(fields, FIELD_ACCEPT_LANGUAGE))
            replace(ex, FIELD_ACCEPT_LANGUAGE,
                    language_left(fields_get(fields, FIELD_ACCEPT_LANGUAGE)));
        return;
    case LANGUAGE_FIXED:
        replace(ex, FIELD_ACCEPT_LANGUAGE, plan->fixed_language);
        return;
    }
}

/* Well-known fields by their number, spelt our way, then the others: the order and case
 * of names tell browsers apart. Lines of one name keep theirs (RFC 9110 section 5.3). */
static void
put_in_order(struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        struct field field = fields->items[i];
        uint32_t at = i;

        if (field.id != FIELD_OTHER)
            field.name = field_name(field.id);
        for (; at > 0 && (uint16_t)(fields->items[at - 1].id - 1) > (uint16_t)(field.id - 1); at--)
            fields->items[at] = fields->items[at - 1];
        fields->items[at] = field;
    }
}

/* ---- cookies */

static bool
is_excepted(const struct anonymity_conf *conf, struct slice host)
{
    for (size_t i = 0; i < conf->cookie_hosts.count; i++) {
        struct slice domain = conf->cookie_hosts.items[i];
        size_t before = host.bytes - domain.bytes;

        if (domain.bytes > 0 && host.bytes >= domain.bytes &&
            slice_equal_nocase(slice_skip(host, before), domain) &&
            (before == 0 || host.data[before - 1] == '.'))
            return true;
    }
    return false;
}

/* What is done with the cookies of this exchange. */
static enum cookie_policy
cookies_for(const struct anonymity_conf *conf, const struct anonymity_state *state,
            const struct exchange *ex)
{
    enum cookie_policy policy = conf->plan.cookies;

    if (policy == COOKIES_PASS || is_excepted(conf, ex->request.host))
        return COOKIES_PASS;
    if (policy == COOKIES_NO_THIRD_PARTY)
        return state->is_third_party ? COOKIES_NONE : COOKIES_PASS;
    return policy;
}

static void
remove_cookies(const struct anonymity_conf *conf, struct exchange *ex, struct fields *fields,
               enum field_id id)
{
    unsigned removed = fields_remove(fields, id);

    if (removed == 0)
        return;
    filter_count(ex, &counts, COOKIES_REMOVED, removed);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "anonymity: without %s",
                    field_name(id).data);
}

static void
shorten_cookies(struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    int64_t now = (int64_t)(clock_wall_coarse_ms() / 1000);

    for (uint32_t i = 0; i < fields->count; i++) {
        struct field *field = &fields->items[i];
        struct slice old = field->value;

        if (field->id != FIELD_SET_COOKIE)
            continue;
        field->value = cookies_for_session(old, now, &ex->arena);
        if (field->value.data != old.data)
            filter_count(ex, &counts, COOKIES_SHORTENED, 1);
    }
}

/* ---- URLs */

/* The request's own URL is for logs and rules; what goes upstream, and is the key of
 * what is stored, is this one. */
static void
strip_tracking(const struct anonymity_conf *conf, struct exchange *ex)
{
    struct slice target = tracking_strip(ex->out.target, &conf->parameters, &ex->arena);

    if (target.data == ex->out.target.data)
        return;
    ex->out.target = target;
    filter_count(ex, &counts, PARAMETERS_STRIPPED, 1);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place,
                    "anonymity: without parameters that track");
}

/* ---- serving */

/* A default of the listener, which no line of the configuration holds. */
static bool
is_for_own_site(const struct anonymity_conf *conf, const struct exchange *ex)
{
    return ex->site != NULL && conf->filter.place.line == 0;
}

static void
change_request(const struct anonymity_conf *conf, const struct anonymity_state *state,
               struct exchange *ex)
{
    const struct plan *plan = &conf->plan;
    struct fields *fields = &ex->request.fields;
    unsigned removed = take_out(plan, fields);

    if (removed > 0)
        filter_count(ex, &counts, FIELDS_REMOVED, removed);
    if (fields_has(fields, FIELD_COOKIE) && cookies_for(conf, state, ex) == COOKIES_NONE)
        remove_cookies(conf, ex, fields, FIELD_COOKIE);
    cut_referer(plan->referer, ex);
    cut_language(plan, ex);
    if (plan->strips_tracking)
        strip_tracking(conf, ex);
    if (plan->agent.bytes > 0)
        fields_set(fields, &ex->arena, FIELD_USER_AGENT, plan->agent);
    if (plan->sends_gpc)
        fields_set(fields, &ex->arena, FIELD_SEC_GPC, SLICE("1"));
    if (plan->sends_dnt)
        fields_set(fields, &ex->arena, FIELD_DNT, SLICE("1"));
    if (plan->orders)
        put_in_order(fields);
}

static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct anonymity_conf *conf = arg;
    struct anonymity_state *state = memory;

    state->is_away = is_for_own_site(conf, ex);
    if (state->is_away)
        return FILTER_NEXT;
    if (conf->plan.cookies == COOKIES_NO_THIRD_PARTY)
        state->is_third_party = cookies_is_third_party(&ex->request);
    change_request(conf, state, ex);
    return FILTER_NEXT;
}

/* On the side of delivery, as what is stored is for first and third parties. */
static enum filter_verdict
deliver_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct anonymity_conf *conf = arg;
    const struct anonymity_state *state = memory;
    struct fields *fields = &ex->response.fields;

    if (conf->plan.cookies == COOKIES_PASS || !fields_has(fields, FIELD_SET_COOKIE) ||
        state->is_away)
        return FILTER_NEXT;
    switch (cookies_for(conf, state, ex)) {
    case COOKIES_PROFILE:
    case COOKIES_PASS:
    case COOKIES_NO_THIRD_PARTY:
        break;
    case COOKIES_SESSION_ONLY:
        shorten_cookies(ex);
        break;
    case COOKIES_NONE:
        remove_cookies(conf, ex, fields, FIELD_SET_COOKIE);
        break;
    }
    return FILTER_NEXT;
}

const struct filter_ops anonymity_filter = {
    .name = "anonymity",
    .text = "Keeps from servers who the client is.",
    .options = anonymity_options,
    .conf_bytes = sizeof(struct anonymity_conf),
    .state_bytes = sizeof(struct anonymity_state),
    .counts = &counts,
    .finish = anonymity_finish,
    .request_head = request_head,
    .deliver_head = deliver_head,
};
