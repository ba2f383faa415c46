/* SPDX-License-Identifier: BSD-2-Clause */
/* rule.c - the option tables of policies, rules, conditions and sets.
 *
 * The table of conditions holds itself: all, any and not are groups of the same.
 * How deep they may be nested is bounded by the syntax when they are read, and
 * more tightly when they are compiled.
 */
#include "config.h"

#include "server/policy/rule.h"

#include <inttypes.h>

#include "server/config/reader.h"
#include "server/policy/condition.h"

#define RULES_MAX 10000
#define GROUPS_MAX 1000
#define VALUES_MAX 100000

/* ---- values that tables have no type for */

/* One value or several: words in quotes, or numbers without. */
static int
read_words(struct config_reader *reader, const struct config_node *node, struct strings *words,
           struct err *err)
{
    struct arena *arena = config_reader_arena(reader);
    bool is_list = config_node_kind(node) == CONFIG_LIST;
    size_t count = is_list ? config_node_count(node) : 1;
    char value[CONFIG_VALUE_BYTES];

    if (count == 0 || count > VALUES_MAX)
        return err_set(err, "has %zu elements, 1..%d would be accepted", count, VALUES_MAX);
    words->items = arena_alloc(arena, count * sizeof(*words->items));
    if (words->items == NULL)
        return err_set(err, "needs more memory than the configuration may have");
    for (words->count = 0; words->count < count; words->count++) {
        const struct config_node *element = is_list ? config_node_at(node, words->count) : node;
        struct slice *word = &words->items[words->count];

        if (config_node_kind(element) == CONFIG_TEXT)
            *word = arena_copy(arena, config_node_text(element));
        else if (config_node_kind(element) == CONFIG_INT)
            *word = arena_printf(arena, "%" PRId64, config_node_int(element));
        else
            return config_fail(reader, element, err, "wants a number or text in quotes, found %s",
                               config_node_value_text(element, value));
    }
    return 0;
}

static int
parse_statuses(struct config_reader *reader, const struct config_node *node, void *target,
               struct err *err)
{
    return read_words(reader, node, &((struct condition_conf *)target)->statuses, err);
}

static int
parse_networks_as(struct config_reader *reader, const struct config_node *node, void *target,
                  struct err *err)
{
    return read_words(reader, node, &((struct condition_conf *)target)->networks_as, err);
}

static int
parse_destination_as(struct config_reader *reader, const struct config_node *node, void *target,
                     struct err *err)
{
    return read_words(reader, node, &((struct condition_conf *)target)->destination_as, err);
}

static int
parse_sni_differs(struct config_reader *reader, const struct config_node *node, void *target,
                  struct err *err)
{
    struct condition_conf *conf = target;
    char value[CONFIG_VALUE_BYTES];

    if (config_node_kind(node) != CONFIG_BOOL)
        return config_fail(reader, node, err, "wants true or false, found %s",
                           config_node_value_text(node, value));
    conf->server_name_differs = config_node_bool(node) ? MAYBE_YES : MAYBE_NO;
    return 0;
}

static const struct option named_match_options[] = {
    OPTION_PLACE(struct named_match, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct named_match, name),
      .is_required = true, .text = "What it is called: a header field in any case, a cookie or "
                                   "parameter exactly." },
    { .name = "value", .type = OPTION_STRING, .offset = offsetof(struct named_match, value),
      .text = "Its whole value; when not given, it is enough that it is there." },
    { .name = "regex", .type = OPTION_PATTERN, .offset = offsetof(struct named_match, pattern),
      .text = "Instead of value: an expression to be found in it." },
    { .name = NULL },
};

static int
read_named_match(struct config_reader *reader, const struct config_node *node,
                 struct named_match *match, struct err *err)
{
    char value[CONFIG_VALUE_BYTES];

    switch (config_node_kind(node)) {
    case CONFIG_TEXT:
        match->place = config_node_place(reader, node);
        match->name = arena_copy(config_reader_arena(reader), config_node_text(node)).data;
        return 0;
    case CONFIG_GROUP:
        return config_read_group(reader, node, named_match_options, match, sizeof(*match));
    case CONFIG_LIST:
    case CONFIG_INT:
    case CONFIG_FLOAT:
    case CONFIG_BOOL:
        break;
    }
    return config_fail(reader, node, err, "has %s where \"NAME\" or { name = \"NAME\"; value = "
                       "\"VALUE\"; } is expected", config_node_value_text(node, value));
}

static int
read_named_matches(struct config_reader *reader, const struct config_node *node,
                   struct config_list *list, struct err *err)
{
    struct arena *arena = config_reader_arena(reader);
    bool is_list = config_node_kind(node) == CONFIG_LIST;
    size_t count = is_list ? config_node_count(node) : 1;

    if (count == 0 || count > GROUPS_MAX)
        return err_set(err, "has %zu elements, 1..%d would be accepted", count, GROUPS_MAX);
    list->items = arena_alloc(arena, count * sizeof(*list->items));
    for (list->count = 0; list->items != NULL && list->count < count; list->count++) {
        const struct config_node *element = is_list ? config_node_at(node, list->count) : node;
        struct named_match *match = arena_zalloc(arena, sizeof(*match));

        list->items[list->count] = match;
        if (match == NULL)
            break;
        if (read_named_match(reader, element, match, err) < 0)
            return -1;
    }
    return list->count == count ? 0
                                : err_set(err, "needs more memory than the configuration may have");
}

static int
parse_headers(struct config_reader *reader, const struct config_node *node, void *target,
              struct err *err)
{
    return read_named_matches(reader, node, &((struct condition_conf *)target)->headers, err);
}

static int
parse_cookies(struct config_reader *reader, const struct config_node *node, void *target,
              struct err *err)
{
    return read_named_matches(reader, node, &((struct condition_conf *)target)->cookies, err);
}

static int
parse_queries(struct config_reader *reader, const struct config_node *node, void *target,
              struct err *err)
{
    return read_named_matches(reader, node, &((struct condition_conf *)target)->queries, err);
}

/* ---- conditions */

#define AT(member_) offsetof(struct condition_conf, member_)
#define WORDS(name_, member_, text_) \
    { .name = (name_), .type = OPTION_STRINGS, .offset = AT(member_), .min = 1, \
      .max = VALUES_MAX, .text = text_ }
#define NETWORKS(name_, member_, text_) \
    { .name = (name_), .type = OPTION_NETWORKS, .offset = AT(member_), .min = 1, \
      .max = VALUES_MAX, .text = text_ }
#define NAMED(name_, member_, parse_, text_) \
    { .name = (name_), .type = OPTION_CUSTOM, .offset = AT(member_), .parse = (parse_), \
      .options = named_match_options, .member_bytes = sizeof(struct named_match), \
      .form = "\"NAME\" or ( { name = \"NAME\"; value = \"VALUE\"; }, ... )", .text = text_ }
#define NUMBERS(name_, member_, parse_, text_) \
    { .name = (name_), .type = OPTION_CUSTOM, .offset = AT(member_), .parse = (parse_), \
      .form = "number(s) or text(s)", .text = text_ }
#define GROUPS(name_, member_, text_) \
    { .name = (name_), .type = OPTION_GROUPS, .offset = AT(member_), \
      .options = condition_options, .member_bytes = sizeof(struct condition_conf), .min = 1, \
      .max = GROUPS_MAX, .text = text_ }

const struct option condition_options[] = {
    OPTION_PLACE(struct condition_conf, place),
    WORDS("listener", listeners, "Name of the listener the client came to."),
    WORDS("mode", modes, "Mode of that listener: forward, reverse or port."),
    NETWORKS("client", clients, "Networks of the client's address."),
    WORDS("client_in", client_in, "Names of lists of networks that have the client's address."),
    WORDS("country", countries, "Country of the client's address: \"DE\"; needs geo."),
    NUMBERS("as", networks_as, parse_networks_as,
            "Autonomous system of the client's address: 64500 or \"AS64500\"; needs geo."),
    WORDS("client_certificate", certificate_names,
          "A name in the client's verified certificate: the common name of its subject or an "
          "alternative name; \"*\": any certificate."),
    WORDS("client_certificate_issuer", certificate_issuers,
          "Who issued it, whole, as RFC 4514 writes it: \"CN=Office CA,O=Example\"."),
    WORDS("time", times,
          "When: days (\"Mon-Fri\", \"Sat,Sun\", \"12-24\", \"2026-12-24\"), times "
          "(\"08:00-18:00\", past midnight too) or both: \"Mon-Fri 08:00-18:00\"."),
    { .name = "time_zone", .type = OPTION_STRING, .offset = AT(time_zone),
      .text = "Where time is meant: \"Europe/Berlin\", \"UTC\"; when not given, the system's "
              "zone." },
    WORDS("method", methods, "Method of the request, in capitals. GET includes HEAD."),
    WORDS("scheme", schemes, "Scheme of the URL: http or https."),
    WORDS("host", hosts,
          "Host asked for: \"www.example.com\", or \"*.example.com\" for all names below."),
    WORDS("host_in", host_in,
          "Names of lists of domains that have the host, or a domain above it."),
    WORDS("url_in", url_in, "Names of lists of URLs that have the URL."),
    { .name = "port", .type = OPTION_PORTS, .offset = AT(ports), .min = 1, .max = VALUES_MAX,
      .text = "Port asked for." },
    WORDS("path", paths,
          "Path of the URL: \"/login\", or \"/admin/*\" for all that begin so. It is compared in "
          "one normal form: escapes, dot segments and doubled slashes make no difference."),
    { .name = "path_regex", .type = OPTION_PATTERN, .offset = AT(path_regex),
      .text = "An expression to be found in the normal form of the path." },
    { .name = "url_regex", .type = OPTION_PATTERN, .offset = AT(url_regex),
      .text = "An expression to be found in SCHEME://HOST[:PORT]/PATH[?QUERY], the port when it "
              "is not the scheme's; of CONNECT in HOST:PORT." },
    NAMED("header", headers, parse_headers,
          "A header field of the request; one line of that name is enough."),
    NAMED("cookie", cookies, parse_cookies, "A cookie of the request."),
    NAMED("query", queries, parse_queries,
          "A parameter of the URL's query, compared without its escapes."),
    WORDS("user", users, "Name of the user; \"*\": whoever has proved who it is."),
    WORDS("user_group", user_groups, "A group that the user is in."),
    NETWORKS("destination", destinations,
             "Networks of the address behind the host's name, that will be connected to."),
    WORDS("destination_in", destination_in, "Names of lists of networks that have it."),
    WORDS("destination_country", destination_countries, "Its country: \"DE\"; needs geo."),
    NUMBERS("destination_as", destination_as, parse_destination_as,
            "Its autonomous system: 64500 or \"AS64500\"; needs geo."),
    WORDS("sni", server_names,
          "Name that TLS asks for (SNI), of the TLS in a tunnel or else of the client's own: "
          "\"www.example.com\", \"*.example.com\", \"\" for none."),
    WORDS("sni_in", server_name_in,
          "Names of lists of domains that have it, or a domain above it."),
    { .name = "sni_differs", .type = OPTION_CUSTOM, .offset = AT(server_name_differs),
      .parse = parse_sni_differs, .form = "true or false",
      .text = "Whether the name that TLS in a tunnel asks for is another than the host of the "
              "CONNECT; neither when it asks for none." },
    NUMBERS("status", statuses, parse_statuses, "Status of the response: 404, \"500-599\"."),
    WORDS("content_type", content_types,
          "Media type of the response: \"text/html\", \"image/*\"."),
    { .name = "longer_than", .type = OPTION_SIZE, .offset = AT(longer_than), .min = 1,
      .text = "Its content is longer than this; when its length is not told, it is not." },
    WORDS("over", over,
          "Names of limits: this request is one too many. One is taken from the limit when all "
          "other conditions of the group are true."),
    WORDS("set", sets, "Names of sets of conditions, one of which must be true."),
    GROUPS("all", all, "Groups of conditions, all of which must be true."),
    GROUPS("any", any, "Groups of conditions, one of which must be true."),
    GROUPS("not", none,
           "Groups of conditions, none of which may be true. What is not there makes no condition "
           "true, and so its not: the user where nobody is logged in, the destination where a "
           "group or another proxy answers (destination = \"any\" beside it is true only where "
           "there is one)."),
    { .name = NULL },
};

const struct option condition_set_options[] = {
    OPTION_PLACE(struct condition_set_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct condition_set_conf, name),
      .is_required = true, .text = "What rules call it." },
    { .name = "when", .type = OPTION_GROUP, .offset = offsetof(struct condition_set_conf, when),
      .options = condition_options, .member_bytes = sizeof(struct condition_conf),
      .is_required = true, .text = "The conditions, all of which must be true." },
    { .name = NULL },
};

/* ---- rules */

/* "192.0.2.1", "2001:db8::1". */
static int
parse_source(struct config_reader *reader, const struct config_node *node, void *target,
             struct err *err)
{
    struct rule_conf *rule = target;
    char value[CONFIG_VALUE_BYTES];
    struct ip ip;

    if (config_node_kind(node) != CONFIG_TEXT || !ip_parse(config_node_text(node), &ip))
        return config_fail(reader, node, err, "wants an address of this machine such as "
                           "\"192.0.2.1\" or \"2001:db8::1\", found %s",
                           config_node_value_text(node, value));
    address_from_ip(&rule->source, &ip);
    return 0;
}

static const char *const action_words[] = {
    [RULE_CONTINUE] = "continue",
    [RULE_ALLOW] = "allow",
    [RULE_DENY] = "deny",
    [RULE_DROP] = "drop",
    [RULE_REDIRECT] = "redirect",
    [RULE_AUTHENTICATE] = "authenticate",
    [RULE_AUTHENTICATE + 1] = NULL,
};

static const char *const cache_words[] = {
    [RULE_CACHE_AS_IS] = "as_is",
    [RULE_CACHE_BYPASS] = "bypass",
    [RULE_CACHE_FORCE] = "force",
    [RULE_CACHE_FORCE + 1] = NULL,
};

static const char *const scan_words[] = {
    [RULE_SCAN_AS_IS] = "as_is",
    [RULE_SCAN_ALWAYS] = "always",
    [RULE_SCAN_NEVER] = "never",
    [RULE_SCAN_NEVER + 1] = NULL,
};

#undef AT
#define AT(member_) offsetof(struct rule_conf, member_)

static const struct option rule_options[] = {
    OPTION_PLACE(struct rule_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = AT(name),
      .text = "What logs and pages call it; when not given, its file and line." },
    { .name = "when", .type = OPTION_GROUP, .offset = AT(when), .options = condition_options,
      .member_bytes = sizeof(struct condition_conf),
      .text = "Conditions, all of which must be true; of several values of one condition any "
              "will do. When not given, the rule is for everything." },
    { .name = "action", .type = OPTION_ENUM, .offset = AT(action), .fallback = "continue",
      .words = action_words,
      .text = "continue (what else it says is done, and the next rule is tried), allow, deny (with "
              "a page that says why), drop (the connection is closed without a word), redirect, or "
              "authenticate (who has not proved who it is is asked to; others continue)." },
    { .name = "status", .type = OPTION_INT, .offset = AT(status), .fallback = "0", .max = 599,
      .text = "Status of deny (400 to 599; when not given, 403) and redirect (301, 302, 303, 307, "
              "308; when not given, 302)." },
    { .name = "why", .type = OPTION_STRING, .offset = AT(why),
      .text = "The reason in plain words, for the page." },
    { .name = "redirect", .type = OPTION_STRING, .offset = AT(redirect),
      .text = "Where to, a template: \"https://intranet.example/blocked?host=%{host}\"." },
    { .name = "log_only", .type = OPTION_BOOL, .offset = AT(log_only), .fallback = "false",
      .text = "Do nothing of it. Where it was true the log says so: %{tags} has "
              "\"log_only:NAME\", and `bascule explain ID` what would have been done." },
    { .name = "tags", .type = OPTION_STRINGS, .offset = AT(tags), .min = 1, .max = 16,
      .text = "Words for %{tags} of access logs." },
    { .name = "set_request", .type = OPTION_STRINGS, .offset = AT(set_request), .min = 1,
      .max = 64,
      .text = "Header fields of the request that goes upstream: \"Name: value\", a template; "
              "\"Name:\" takes the field away." },
    { .name = "set_response", .type = OPTION_STRINGS, .offset = AT(set_response), .min = 1,
      .max = 64, .text = "The same of the response that goes to the client." },
    { .name = "group", .type = OPTION_STRING, .offset = AT(group_name),
      .text = "Name of the group that answers." },
    { .name = "upstream_proxy", .type = OPTION_STRING, .offset = AT(parent_url),
      .text = "By way of this proxy: \"http://proxy.example:3128\"; \"direct\": by none. Not to "
              "the endpoints of a group." },
    { .name = "source", .type = OPTION_CUSTOM, .offset = AT(source), .parse = parse_source,
      .form = "IP address",
      .text = "Connect from this address of the machine; not to the endpoints of a group." },
    { .name = "limit", .type = OPTION_STRINGS, .offset = AT(limit_names), .min = 1, .max = 16,
      .text = "Names of limits that the request counts on; what is one too many gets 429." },
    { .name = "bandwidth", .type = OPTION_SIZE, .offset = AT(bandwidth), .fallback = "0",
      .text = "Bytes a second that the response's content may take. 0: as many as there are." },
    { .name = "cache", .type = OPTION_ENUM, .offset = AT(cache), .fallback = "as_is",
      .words = cache_words,
      .text = "as_is, bypass (neither looked up nor stored) or force (what may be stored is fresh "
              "for cache_time at least). Where nothing is cached it does nothing." },
    { .name = "cache_time", .type = OPTION_TIME, .offset = AT(cache_ms), .fallback = "0",
      .text = "With cache = \"force\": how long it is fresh." },
    { .name = "scan", .type = OPTION_ENUM, .offset = AT(scan), .fallback = "as_is",
      .words = scan_words,
      .text = "Content, by the filter clamd: as_is (by its options), always (whatever its options "
              "skip) or never. What is cached was scanned, or not, for everybody." },
    { .name = "direct", .type = OPTION_BOOL, .offset = AT(direct), .fallback = "false",
      .text = "Browsers that follow our PAC file go there without this proxy." },
    { .name = NULL },
};

static const char *const default_words[] = {
    [POLICY_ALLOWS] = "allow",
    [POLICY_DENIES] = "deny",
    [POLICY_DENIES + 1] = NULL,
};

#undef AT
#define AT(member_) offsetof(struct policy_conf, member_)

const struct option policy_options[] = {
    OPTION_PLACE(struct policy_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = AT(name), .is_required = true,
      .text = "What listeners and sites call it." },
    { .name = "users", .type = OPTION_STRING, .offset = AT(users_name),
      .text = "Name of the users that clients prove to be; needed for conditions about users and "
              "action authenticate." },
    { .name = "rules", .type = OPTION_GROUPS, .offset = AT(rules), .options = rule_options,
      .member_bytes = sizeof(struct rule_conf), .max = RULES_MAX,
      .text = "Tried in this order; the first one that decides ends it. A rule that asks for "
              "something not known yet waits for it, and so do those behind." },
    { .name = "default", .type = OPTION_ENUM, .offset = AT(otherwise), .fallback = "allow",
      .words = default_words, .text = "What happens when no rule decides." },
    { .name = "sni_wait", .type = OPTION_TIME, .offset = AT(sni_wait_ms), .fallback = "3s",
      .min = 1, .max = 60000,
      .text = "How long a tunnel may take to begin, where a rule asks what name its TLS asks for. "
              "Who says nothing until then, or speaks no TLS, asks for none; who has begun to "
              "ask and not ended is refused." },
    { .name = NULL },
};
