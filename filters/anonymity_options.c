/* SPDX-License-Identifier: BSD-2-Clause */
/* anonymity_options.c - what an operator may ask of the filter anonymity.
 *
 * A profile is a set of answers to the options; those that are given go before. What
 * follows from them is made ready when the configuration is read: the plan.
 */
#include "config.h"

#include "filters/anonymity_inside.h"

#include "filters/field_set.h"
#include "filters/tracking.h"
#include "server/base/log.h"
#include "server/config/reader.h"
#include "server/http/uri.h"

/* What a great many others send: Firefox's long-term version, on the most
 * common system, as the Tor Browser has it, too. */
#define COMMON_AGENT "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0"

/* ---- options */

const char *const anonymity_words[] = {
    [ANONYMITY_OFF] = "off",
    [ANONYMITY_ON] = "on",
    [ANONYMITY_STRICT] = "strict",
    NULL,
};

static const char *const cookie_words[] = {
    [COOKIES_PROFILE] = "profile",
    [COOKIES_PASS] = "pass",
    [COOKIES_NO_THIRD_PARTY] = "no_third_party",
    [COOKIES_SESSION_ONLY] = "session_only",
    [COOKIES_NONE] = "none",
    NULL,
};

static const char *const referer_words[] = {
    [REFERER_PROFILE] = "profile", [REFERER_PASS] = "pass", [REFERER_SAME] = "same",
    [REFERER_ORIGIN] = "origin", [REFERER_NONE] = "none", NULL,
};

static const char *const say_words[] = {
    [SAY_PROFILE] = "profile", [SAY_PASS] = "pass", [SAY_SEND] = "send",
    [SAY_REMOVE] = "remove", NULL,
};

static const char *const hint_words[] = { "profile", "pass", "remove", NULL };
static const enum say hint_says[] = { SAY_PROFILE, SAY_PASS, SAY_REMOVE };

static int parse_tracking(struct config_reader *reader, const struct config_node *node,
                          void *target, struct err *err);

const struct option anonymity_options[] = {
    { .name = "profile", .type = OPTION_ENUM, .offset = offsetof(struct anonymity_conf, profile),
      .words = anonymity_words, .fallback = "on",
      .text = "on: takes out fields that tell the client's address, name or network. strict: "
              "lets through only what browsing needs, with a common User-Agent, one language, no "
              "path in a Referer of another origin, no cookies of third parties, no parameters "
              "that track, and Sec-GPC. off: only what other options say." },
    { .name = "user_agent", .type = OPTION_STRING,
      .offset = offsetof(struct anonymity_conf, user_agent),
      .text = "User-Agent sent for every client; when not given, strict has a common one and on "
              "the client's own." },
    { .name = "accept_language", .type = OPTION_STRING,
      .offset = offsetof(struct anonymity_conf, accept_language),
      .text = "Accept-Language sent for every client: \"en-US,en;q=0.5\"; \"first\" leaves the "
              "client's first one, \"pass\" all. When not given, strict says first and on pass." },
    { .name = "keep", .type = OPTION_STRINGS, .offset = offsetof(struct anonymity_conf, keep),
      .text = "With strict, names of further fields that pass: \"X-CSRF-Token\", \"X-My-*\"." },
    { .name = "cookies", .type = OPTION_ENUM, .offset = offsetof(struct anonymity_conf, cookies),
      .words = cookie_words, .fallback = "profile",
      .text = "pass: all. no_third_party: none between the client and whom another site's page "
              "makes it ask. session_only: none outlives the browser's session. none: none at "
              "all. profile: with strict no_third_party, otherwise pass." },
    { .name = "cookie_hosts", .type = OPTION_STRINGS,
      .offset = offsetof(struct anonymity_conf, cookie_hosts),
      .text = "Domains whose cookies pass whatever cookies says, with all names below them." },
    { .name = "tracking_parameters", .type = OPTION_CUSTOM, .parse = parse_tracking,
      .form = "true, false or an array of names", .fallback = "profile",
      .text = "Whether parameters that only track (utm_*, gclid, fbclid and some seventy more) "
              "are taken out of URLs on their way to the server; names are further ones: "
              "[ \"ref_*\" ]. Queries that are signed stay as they are. profile: with strict "
              "true, otherwise false." },
    { .name = "referer", .type = OPTION_ENUM, .offset = offsetof(struct anonymity_conf, referer),
      .words = referer_words, .fallback = "profile",
      .text = "pass: as it is. origin: to other origins without path and query. same: to the "
              "same origin only. none: never. profile: with strict origin, otherwise pass." },
    { .name = "gpc", .type = OPTION_ENUM, .offset = offsetof(struct anonymity_conf, gpc),
      .words = say_words, .fallback = "profile",
      .text = "Sec-GPC, which asks not to sell or share what is learnt: pass the client's, send "
              "it for every client, remove it. profile: with strict send, otherwise pass." },
    { .name = "dnt", .type = OPTION_ENUM, .offset = offsetof(struct anonymity_conf, dnt),
      .words = say_words, .fallback = "profile",
      .text = "DNT, its predecessor, likewise. profile: with strict remove, otherwise pass." },
    { .name = "client_hints", .type = OPTION_ENUM, .offset = offsetof(struct anonymity_conf, hints),
      .words = hint_words, .fallback = "profile",
      .text = "Fields that describe browser and device (Sec-CH-*, Device-Memory and their like): "
              "pass or remove. profile: with strict remove, otherwise pass." },
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

/* What browsers say of themselves and of the device when they are asked. */
static struct slice hint_names[] = {
    SLICE_INIT("Sec-CH-*"), SLICE_INIT("Device-Memory"), SLICE_INIT("Downlink"),
    SLICE_INIT("DPR"), SLICE_INIT("ECT"), SLICE_INIT("RTT"), SLICE_INIT("Save-Data"),
    SLICE_INIT("Viewport-Width"), SLICE_INIT("Width"),
};

static const struct strings hints = { hint_names, ARRAY_COUNT(hint_names) };

/* ---- configuration */

static const struct anonymity_conf defaults[] = {
    [ANONYMITY_OFF] = {
        .filter.ops = &anonymity_filter,
        .profile = ANONYMITY_OFF,
        .plan = { .referer = REFERER_PASS, .cookies = COOKIES_PASS },
    },
    [ANONYMITY_ON] = {
        .filter.ops = &anonymity_filter,
        .profile = ANONYMITY_ON,
        .plan = { .referer = REFERER_PASS, .cookies = COOKIES_PASS,
                  .taken = &anonymity_telling },
    },
    [ANONYMITY_STRICT] = {
        .filter.ops = &anonymity_filter,
        .profile = ANONYMITY_STRICT,
        .plan = { .referer = REFERER_ORIGIN, .cookies = COOKIES_NO_THIRD_PARTY, .kept = &needed,
                  .agent = SLICE_INIT(COMMON_AGENT), .language = LANGUAGE_FIRST,
                  .strips_tracking = true, .sends_gpc = true, .orders = true },
    },
};

const struct filter_conf *
anonymity_default(enum anonymity_profile profile)
{
    return &defaults[profile].filter;
}

static int
add_parameter(struct anonymity_conf *conf, struct slice name, struct arena *arena,
              struct err *err)
{
    struct slice copy = arena_copy(arena, slice_trim(name));

    if (tracking_check_name(copy, err) < 0)
        return -1;
    conf->parameters.items[conf->parameters.count++] = copy;
    return 0;
}

static int
parse_names(struct config_reader *reader, const struct config_node *node,
            struct anonymity_conf *conf, struct err *err)
{
    struct arena *arena = config_reader_arena(reader);
    size_t count = config_node_count(node);
    char value[CONFIG_VALUE_BYTES];

    conf->parameters.items = arena_alloc(arena, (count + 1) * sizeof(struct slice));
    if (conf->parameters.items == NULL)
        return err_set(err, "needs more memory than the configuration may have");
    for (size_t i = 0; i < count; i++) {
        const struct config_node *element = config_node_at(node, i);

        if (config_node_kind(element) != CONFIG_TEXT)
            return config_fail(reader, element, err, "has %s where the name of a parameter is "
                               "expected", config_node_value_text(element, value));
        if (add_parameter(conf, config_node_text(element), arena, err) < 0)
            return err_prefix(err, "is not usable: ");
    }
    return 0;
}

/* "profile" is how the default arrives here. */
static int
parse_tracking(struct config_reader *reader, const struct config_node *node, void *target,
               struct err *err)
{
    struct anonymity_conf *conf = target;
    char value[CONFIG_VALUE_BYTES];

    conf->tracking = TRACKING_STRIP;
    switch (config_node_kind(node)) {
    case CONFIG_BOOL:
        conf->tracking = config_node_bool(node) ? TRACKING_STRIP : TRACKING_PASS;
        return 0;
    case CONFIG_LIST:
        return parse_names(reader, node, conf, err);
    case CONFIG_TEXT:
        conf->tracking = TRACKING_PROFILE;
        if (slice_equal(config_node_text(node), SLICE("profile")))
            return 0;
        break;
    case CONFIG_GROUP:
    case CONFIG_INT:
    case CONFIG_FLOAT:
        break;
    }
    return config_fail(reader, node, err, "is %s where true, false or an array of names is "
                       "expected", config_node_value_text(node, value));
}

/* The set of what a profile does with fields, with what the options change of it. */
static struct field_set *
copy_set(const struct field_set *set, struct arena *arena)
{
    struct field_set *copy = arena_zalloc(arena, sizeof(*copy));

    if (copy != NULL && set != NULL)
        *copy = *set;
    return copy;
}

static void
plan_field(struct plan *plan, struct field_set *set, int say, enum field_id id, bool *sends)
{
    if (say == SAY_PROFILE)
        return;
    *sends = say == SAY_SEND;
    set->known[id] = plan->kept != NULL ? say == SAY_PASS : say == SAY_REMOVE;
}

static int
plan_fields(struct anonymity_conf *conf, struct arena *arena, struct err *err)
{
    struct plan *plan = &conf->plan;
    bool is_strict = plan->kept != NULL;
    struct field_set *set = copy_set(is_strict ? plan->kept : plan->taken, arena);
    enum say say = hint_says[conf->hints];

    if (set == NULL)
        return err_set(err, "no memory");
    if (conf->keep.count > 0 && !is_strict)
        return err_set(err, "keep: only the profile \"strict\" takes out what it does not know");
    if (field_set_add(set, &conf->keep, arena, err) < 0)
        return err_prefix(err, "keep: ");
    if (say != SAY_PROFILE && (say == SAY_PASS) == is_strict &&
        field_set_add(set, &hints, arena, err) < 0)
        return -1;
    plan_field(plan, set, conf->gpc, FIELD_SEC_GPC, &plan->sends_gpc);
    plan_field(plan, set, conf->dnt, FIELD_DNT, &plan->sends_dnt);
    if (is_strict)
        plan->kept = set;
    else if (plan->taken != NULL || say == SAY_REMOVE || conf->gpc == SAY_REMOVE ||
             conf->dnt == SAY_REMOVE)
        plan->taken = set;
    return 0;
}

/* "example.com", "*.example.com" and ".example.com" are the same. */
static int
plan_cookie_hosts(struct anonymity_conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->cookie_hosts.count; i++) {
        struct slice *domain = &conf->cookie_hosts.items[i];
        struct slice host = slice_trim(*domain);
        int port;

        (void)slice_take_char(&host, '*');
        (void)slice_take_char(&host, '.');
        if (uri_parse_authority(host, &host, &port) < 0 || port >= 0)
            return err_set(err, "cookie_hosts: \"%s\" is no domain", log_escape(*domain));
        *domain = host;
    }
    return 0;
}

static int
plan_values(struct anonymity_conf *conf, struct err *err)
{
    struct plan *plan = &conf->plan;

    if (conf->user_agent != NULL)
        plan->agent = slice_trim(slice_of(conf->user_agent));
    if (field_check_value(plan->agent, err) < 0)
        return err_prefix(err, "user_agent: ");
    if (conf->accept_language == NULL)
        return 0;
    plan->fixed_language = slice_trim(slice_of(conf->accept_language));
    plan->language = LANGUAGE_FIXED;
    if (slice_equal(plan->fixed_language, SLICE("first")))
        plan->language = LANGUAGE_FIRST;
    else if (slice_equal(plan->fixed_language, SLICE("pass")))
        plan->language = LANGUAGE_PASS;
    return field_check_value(plan->fixed_language, err) < 0 ? err_prefix(err, "accept_language: ")
                                                            : 0;
}

int
anonymity_finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct anonymity_conf *conf = arg;
    struct plan *plan = &conf->plan;

    (void)all;
    *plan = defaults[conf->profile].plan;
    if (conf->cookies != COOKIES_PROFILE)
        plan->cookies = (enum cookie_policy)conf->cookies;
    if (conf->referer != REFERER_PROFILE)
        plan->referer = (enum referer)conf->referer;
    if (conf->tracking != TRACKING_PROFILE)
        plan->strips_tracking = conf->tracking == TRACKING_STRIP;
    if (plan_fields(conf, arena, err) < 0 || plan_cookie_hosts(conf, err) < 0)
        return -1;
    return plan_values(conf, err);
}
