/* SPDX-License-Identifier: BSD-2-Clause */
/* schema.c - the tables of everything that may be configured, but for what
 * belongs to one mode or filter alone.
 *
 * Defaults are meant to survive the open internet without tuning. What follows
 * from several options together is checked in schema_finish.c.
 */
#include "config.h"

#include "server/schema.h"

#include "filters/filter.h"
#include "modes/mode.h"
#include "server/config/reader.h"
#include "server/log/log_thread.h"
#include "server/log/sink.h"
#include "server/policy/ban_table.h"
#include "server/policy/expect.h"
#include "server/policy/limit.h"
#include "server/policy/list.h"
#include "server/policy/rule.h"
#include "server/schema_tls.h"
#include "server/upstream/balance.h"
#include "server/users/users.h"
#include "server/worker.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define KIB 1024
#define MIB (1024 * 1024)

#define STRING_OF_(number) #number
#define STRING_OF(number) STRING_OF_(number) /* of what a macro stands for */

/* ---- what a listener allows its clients */

static const struct option client_timeout_options[] = {
    { .name = "head", .type = OPTION_TIME, .offset = offsetof(struct client_timeouts, head_ms),
      .fallback = "10s", .min = 1, .max = HOUR,
      .text = "Time a client has to send a whole request head." },
    { .name = "idle", .type = OPTION_TIME, .offset = offsetof(struct client_timeouts, idle_ms),
      .fallback = "60s", .min = 1, .max = 24 * HOUR,
      .text = "How long a connection may wait for its next request." },
    { .name = "body", .type = OPTION_TIME, .offset = offsetof(struct client_timeouts, body.ms),
      .fallback = "10s", .min = 1 * SECOND, .max = HOUR,
      .text = "In any time of this length at least body_bytes of request content must arrive." },
    { .name = "body_bytes", .type = OPTION_SIZE,
      .offset = offsetof(struct client_timeouts, body.bytes), .fallback = "512", .min = 1,
      .max = 1024 * MIB, .text = "Request content that must arrive in the time body." },
    { .name = "write", .type = OPTION_TIME, .offset = offsetof(struct client_timeouts, write.ms),
      .fallback = "30s", .min = 1 * SECOND, .max = HOUR,
      .text = "In any time of this length a client must take at least write_bytes of what "
              "waits for it." },
    { .name = "write_bytes", .type = OPTION_SIZE,
      .offset = offsetof(struct client_timeouts, write.bytes), .fallback = "512", .min = 1,
      .max = 1024 * MIB, .text = "What a client must take in the time write." },
    { .name = "exchange", .type = OPTION_TIME,
      .offset = offsetof(struct client_timeouts, exchange_ms), .fallback = "off",
      .text = "Longest time of one exchange, from its request to the end of its response; "
              "tunnels do not count." },
    { .name = "tunnel_idle", .type = OPTION_TIME,
      .offset = offsetof(struct client_timeouts, tunnel_idle_ms), .fallback = "1h",
      .text = "How long a tunnel may stay open without a byte either way." },
    { .name = "tunnel_half_close", .type = OPTION_TIME,
      .offset = offsetof(struct client_timeouts, tunnel_half_close_ms), .fallback = "10m",
      .text = "The same once one side has ended its stream." },
    { .name = "tunnel_life", .type = OPTION_TIME,
      .offset = offsetof(struct client_timeouts, tunnel_life_ms), .fallback = "off",
      .text = "Longest time a tunnel may stay open." },
    { .name = NULL },
};

static const struct option http_limit_options[] = {
    { .name = "line", .type = OPTION_SIZE, .offset = offsetof(struct http_limits, line_bytes),
      .fallback = "16K", .min = 256, .max = 64 * KIB,
      .text = "Longest request line; longer ones get 414." },
    { .name = "head", .type = OPTION_SIZE, .offset = offsetof(struct http_limits, head_bytes),
      .fallback = "64K", .min = 1 * KIB, .max = 128 * KIB,
      .text = "Longest request head, all header fields together; longer ones get 431." },
    { .name = "fields", .type = OPTION_INT, .offset = offsetof(struct http_limits, field_count),
      .fallback = "128", .min = 8, .max = 1000,
      .text = "Header fields a request may have; more get 431." },
    { .name = "body", .type = OPTION_SIZE, .offset = offsetof(struct http_limits, body_bytes),
      .fallback = "0",
      .text = "Longest request content; longer gets 413. 0: no limit." },
    { .name = "drain", .type = OPTION_SIZE, .offset = offsetof(struct http_limits, drain_bytes),
      .fallback = "256K", .max = 1024 * MIB,
      .text = "Request content nobody wants that is still read, to keep the connection; with more "
              "to come it is closed." },
    { .name = "requests", .type = OPTION_INT, .offset = offsetof(struct http_limits, requests),
      .fallback = "0", .max = 1000000000,
      .text = "Requests served on one connection before it is closed. 0: no limit." },
    { .name = "memory", .type = OPTION_SIZE, .offset = offsetof(struct http_limits, arena_bytes),
      .fallback = "512K", .min = 256 * KIB, .max = 64 * MIB,
      .text = "Memory one exchange may use besides its content." },
    { .name = NULL },
};

static const struct option h2_limit_options[] = {
    { .name = "streams", .type = OPTION_INT, .offset = offsetof(struct h2_limits, streams),
      .fallback = "128", .min = 1, .max = 10000,
      .text = "Requests a client may have open at a time on one connection." },
    { .name = "window", .type = OPTION_SIZE, .offset = offsetof(struct h2_limits, window_bytes),
      .fallback = "256K", .min = 16 * KIB, .max = 16 * MIB,
      .text = "Request content a client may send ahead on one stream." },
    { .name = "buffer", .type = OPTION_SIZE, .offset = offsetof(struct h2_limits, buffer_bytes),
      .fallback = "1M", .min = 64 * KIB, .max = 1024 * MIB,
      .text = "Request content held for all streams of one connection until it can be passed on." },
    { .name = "resets", .type = OPTION_INT, .offset = offsetof(struct h2_limits, resets),
      .fallback = "200", .min = 1, .max = 1000000,
      .text = "Streams a client may reset, or open against the rules, in the time rate; with more "
              "the connection is closed." },
    { .name = "control_frames", .type = OPTION_INT,
      .offset = offsetof(struct h2_limits, control_frames), .fallback = "1000", .min = 10,
      .max = 1000000,
      .text = "Frames that carry neither a request nor content (PING, SETTINGS, PRIORITY, empty "
              "ones) a client may send in the time rate; with more the connection is closed." },
    { .name = "rate", .type = OPTION_TIME, .offset = offsetof(struct h2_limits, rate_ms),
      .fallback = "10s", .min = 1 * SECOND, .max = HOUR,
      .text = "The time over which resets and control_frames are counted." },
    { .name = "output", .type = OPTION_SIZE, .offset = offsetof(struct h2_limits, output_bytes),
      .fallback = "64K", .min = 1 * KIB, .max = 16 * MIB,
      .text = "Answers to control frames that may wait for a client; with more the connection is "
              "closed." },
    { .name = NULL },
};

/* ---- families */

static bool
filter_at(size_t i, struct option_family *family)
{
    const struct filter_ops *ops = filters[i];

    if (ops == NULL)
        return false;
    *family = (struct option_family){ .word = ops->name, .text = ops->text,
                                      .options = ops->options, .member_bytes = ops->conf_bytes,
                                      .ops = ops };
    return true;
}

static const struct option filter_options[] = {
    OPTION_PLACE(struct filter_conf, place),
    { .name = "filter", .type = OPTION_FAMILY, .offset = offsetof(struct filter_conf, ops),
      .is_required = true, .family_at = filter_at, .text = "Which filter it is." },
    { .name = NULL },
};

#define FILTER_ROW(offset_, text_) \
    { .name = "filters", .type = OPTION_GROUPS, .offset = (offset_), .options = filter_options, \
      .member_bytes = sizeof(struct filter_conf), .family_key = "filter", .text = text_ }

/* What clients are shown that are refused: the same words in a listener and in its sites.
 * at is where the struct error_page_conf is. */
#define ERROR_PAGE_ROWS(at) \
    { .name = "error_page", .type = OPTION_STRING, \
      .offset = (at) + offsetof(struct error_page_conf, path), \
      .text = "File of the page for people (HTML, up to 64K) that takes the place of the " \
              "built-in one for answers of Bascule's own. In it stand %{status}, %{reason}, " \
              "%{why}, %{rule}, %{id}, %{url}, %{host}, %{client_ip}, %{user}, %{time} and " \
              "%{contact}." }, \
    { .name = "contact", .type = OPTION_STRING, \
      .offset = (at) + offsetof(struct error_page_conf, contact), \
      .text = "Whom to ask when something is refused: \"mailto:it@example.com\", or the URL of a " \
              "form. The built-in page of a refusal shows it as a link that names the request; " \
              "in pages of one's own that is %{contact}, of failures too." }

static bool
mode_at(size_t i, struct option_family *family)
{
    const struct mode_ops *ops = modes[i];

    if (ops == NULL)
        return false;
    *family = (struct option_family){ .word = ops->name, .text = ops->text,
                                      .options = ops->options, .member_bytes = ops->conf_bytes,
                                      .ops = ops };
    return true;
}

static const struct option listener_options[] = {
    OPTION_PLACE(struct listener_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct listener_conf, name),
      .is_required = true, .text = "What logs and status call it." },
    { .name = "mode", .type = OPTION_FAMILY, .offset = offsetof(struct listener_conf, mode),
      .is_required = true, .family_at = mode_at, .text = "What the listener is for." },
    { .name = "listen", .type = OPTION_ADDRESSES, .offset = offsetof(struct listener_conf, listen),
      .is_required = true, .min = 1, .max = 256,
      .text = "Where clients connect to: \"127.0.0.1:8080\", \"[::1]:8080\", \"*:80\" (all "
              "addresses), \"unix:/run/bascule/front\"." },
    { .name = "allow_client", .type = OPTION_NETWORKS,
      .offset = offsetof(struct listener_conf, allow_client),
      .text = "Networks whose clients are served; others are refused. When not given, forward "
              "mode serves loopback and private networks, the other modes everyone. Who comes by a "
              "unix socket was let in by its owner and mode." },
    { .name = "trusted_proxies", .type = OPTION_NETWORKS,
      .offset = offsetof(struct listener_conf, trusted_proxies),
      .text = "Networks of proxies in front of this one whose X-Forwarded-For and Forwarded "
              "fields are believed (the former where both are there); who comes by a unix socket "
              "is believed then, too." },
    { .name = "proxy_protocol", .type = OPTION_BOOL,
      .offset = offsetof(struct listener_conf, proxy_protocol), .fallback = "false",
      .text = "Connections begin with a PROXY protocol header (version 1 or 2), which names the "
              "client." },
    { .name = "proxy_protocol_from", .type = OPTION_NETWORKS,
      .offset = offsetof(struct listener_conf, proxy_protocol_from),
      .text = "Networks whose PROXY headers are believed; required with proxy_protocol." },
    { .name = "timeouts", .type = OPTION_GROUP, .offset = offsetof(struct listener_conf, timeouts),
      .options = client_timeout_options, .member_bytes = sizeof(struct client_timeouts),
      .text = "How long clients may take." },
    ERROR_PAGE_ROWS(offsetof(struct listener_conf, error_page)),
    { .name = "limits", .type = OPTION_GROUP, .offset = offsetof(struct listener_conf, limits),
      .options = http_limit_options, .member_bytes = sizeof(struct http_limits),
      .text = "How much clients may send." },
    { .name = "http2", .type = OPTION_GROUP, .offset = offsetof(struct listener_conf, h2),
      .options = h2_limit_options, .member_bytes = sizeof(struct h2_limits),
      .text = "What clients may do with HTTP/2." },
    { .name = "tls", .type = OPTION_GROUP, .offset = offsetof(struct listener_conf, tls),
      .options = tls_options, .member_bytes = sizeof(struct tls_conf), .shorthand = "preset",
      .form = "{ certificates = \"local\"; }", .text = "Speak TLS here." },
    { .name = "policy", .type = OPTION_STRING,
      .offset = offsetof(struct listener_conf, policy_name),
      .text = "Name of the policy by which what comes here is judged." },
    { .name = "max_connections", .type = OPTION_INT,
      .offset = offsetof(struct listener_conf, max_connections), .fallback = "0", .max = 10000000,
      .text = "Client connections open at a time on this listener. 0: as many as the process "
              "may have." },
    { .name = "backlog", .type = OPTION_INT, .offset = offsetof(struct listener_conf, backlog),
      .fallback = "4096", .min = 1, .max = 65535,
      .text = "Connections the kernel keeps waiting for us on each socket." },
    { .name = "access_log", .type = OPTION_STRING,
      .offset = offsetof(struct listener_conf, access_log_name),
      .text = "Name of the access log, or \"off\"; when not given, the first of access_logs." },
    FILTER_ROW(offsetof(struct listener_conf, filters),
               "Filters for all that passes the listener, in this order."),
    { .name = NULL },
};

/* ---- upstream */

const struct option upstream_timeout_options[] = {
    { .name = "connect", .type = OPTION_TIME,
      .offset = offsetof(struct upstream_timeouts, connect_ms), .fallback = "5s", .min = 1,
      .max = HOUR, .text = "Time a connection may take to come about." },
    { .name = "head", .type = OPTION_TIME, .offset = offsetof(struct upstream_timeouts, head_ms),
      .fallback = "60s", .min = 1, .max = 24 * HOUR,
      .text = "Time from the request sent to the head of its response." },
    { .name = "body", .type = OPTION_TIME, .offset = offsetof(struct upstream_timeouts, body_ms),
      .fallback = "60s", .min = 1, .max = 24 * HOUR,
      .text = "Longest pause between two pieces of response content." },
    { .name = "write", .type = OPTION_TIME, .offset = offsetof(struct upstream_timeouts, write_ms),
      .fallback = "60s", .min = 1, .max = 24 * HOUR,
      .text = "How long a server may take none of the request that waits for it." },
    { .name = "idle", .type = OPTION_TIME, .offset = offsetof(struct upstream_timeouts, idle_ms),
      .fallback = "60s", .min = 1, .max = 24 * HOUR,
      .text = "How long a connection is kept for the next exchange; best a little less than the "
              "servers keep it. It is not used longer than its address counts in the DNS." },
    { .name = NULL },
};

static const struct option endpoint_options[] = {
    OPTION_PLACE(struct endpoint_conf, place),
    { .name = "to", .type = OPTION_STRING, .offset = offsetof(struct endpoint_conf, to),
      .is_required = true,
      .text = "Where the server is: \"127.0.0.1:9000\", \"app.internal:80\", \"[::1]:9000\", "
              "\"unix:/run/app\"." },
    { .name = "weight", .type = OPTION_INT, .offset = offsetof(struct endpoint_conf, weight),
      .fallback = "1", .min = 1, .max = 256,
      .text = "Its share of the group's work, relative to the others." },
    { .name = "max_connections", .type = OPTION_INT,
      .offset = offsetof(struct endpoint_conf, max_connections), .fallback = "0", .max = 1000000,
      .text = "Exchanges and tunnels it gets at a time. 0: no limit." },
    { .name = NULL },
};

/* An endpoint that is no more than a text. */
static int
endpoint_of_text(struct endpoint_conf *endpoint, struct slice text, struct arena *arena,
                 struct err *err)
{
    const struct option *row;

    for (row = endpoint_options; row->name != NULL; row++) {
        if (row->fallback != NULL &&
            option_set_text(row, slice_of(row->fallback), endpoint, arena, err) < 0)
            return -1;
    }
    endpoint->to = arena_copy(arena, text).data;
    return 0;
}

/* Both endpoints = [ "HOST:PORT", ... ] and endpoints = ( { to = "HOST:PORT"; ... }, ... ). */
static int
parse_endpoint(struct config_reader *reader, const struct config_node *node,
               struct endpoint_conf *endpoint, struct err *err)
{
    char value[CONFIG_VALUE_BYTES];

    switch (config_node_kind(node)) {
    case CONFIG_TEXT:
        endpoint->place = config_node_place(reader, node);
        return endpoint_of_text(endpoint, config_node_text(node), config_reader_arena(reader),
                                err);
    case CONFIG_GROUP:
        return config_read_group(reader, node, endpoint_options, endpoint, sizeof(*endpoint));
    case CONFIG_LIST:
    case CONFIG_INT:
    case CONFIG_FLOAT:
    case CONFIG_BOOL:
        break;
    }
    return config_fail(reader, node, err, "has %s where \"HOST:PORT\" or { to = \"HOST:PORT\"; } "
                       "is expected", config_node_value_text(node, value));
}

static int
parse_endpoints(struct config_reader *reader, const struct config_node *node, void *target,
                struct err *err)
{
    struct config_list *list = &((struct group_conf *)target)->endpoints;
    struct arena *arena = config_reader_arena(reader);
    bool is_list = config_node_kind(node) == CONFIG_LIST;
    size_t count = is_list ? config_node_count(node) : 1, i;

    if (count == 0 || count > GROUP_ENDPOINTS_MAX)
        return err_set(err, "has %zu elements: 1 to %d would be accepted", count,
                       GROUP_ENDPOINTS_MAX);
    list->items = arena_alloc(arena, count * sizeof(*list->items));
    for (i = 0; i < count; i++) {
        struct endpoint_conf *endpoint = arena_zalloc(arena, sizeof(*endpoint));

        if (list->items == NULL || endpoint == NULL)
            return err_set(err, "needs more memory than the configuration may have");
        list->items[i] = endpoint;
        if (parse_endpoint(reader, is_list ? config_node_at(node, i) : node, endpoint, err) < 0)
            return -1;
    }
    list->count = count;
    return 0;
}

static const char *const proxy_protocol_words[] = { "off", "v1", "v2", NULL };

static const char *const upstream_protocol_words[] = { "auto", "http/1.1", "h2", "h2c", NULL };

static const struct option group_options[] = {
    OPTION_PLACE(struct group_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct group_conf, name),
      .is_required = true, .text = "What sites, routes and listeners call it." },
    { .name = "endpoints", .type = OPTION_CUSTOM, .offset = offsetof(struct group_conf, endpoints),
      .is_required = true, .min = 1, .max = GROUP_ENDPOINTS_MAX, .options = endpoint_options,
      .member_bytes = sizeof(struct endpoint_conf), .parse = parse_endpoints,
      .form = "[ \"HOST:PORT\", ... ] or ( { to = \"HOST:PORT\"; ... }, ... )",
      .text = "The servers that do the work." },
    { .name = "balance", .type = OPTION_ENUM, .offset = offsetof(struct group_conf, balance),
      .fallback = "round_robin", .words = balancer_words,
      .text = "How one of them is chosen: round_robin (in turns, by weight) or least_conn (the "
              "least busy for its weight)." },
    { .name = "tries", .type = OPTION_INT, .offset = offsetof(struct group_conf, tries),
      .fallback = "3", .min = 1, .max = TRIES_MAX,
      .text = "Servers tried for one exchange while none of it has been passed on." },
    { .name = "max_fails", .type = OPTION_INT, .offset = offsetof(struct group_conf, max_fails),
      .fallback = "1", .max = 10000,
      .text = "Failures within the time fail_timeout after which a server is skipped. 0: never." },
    { .name = "fail_timeout", .type = OPTION_TIME, .offset = offsetof(struct group_conf, fail_ms),
      .fallback = "10s", .min = 1, .max = 24 * HOUR,
      .text = "Time over which failures are counted, and for which a server is then skipped." },
    { .name = "max_idle", .type = OPTION_INT, .offset = offsetof(struct group_conf, max_idle),
      .fallback = "512", .max = 100000,
      .text = "Idle connections each worker thread keeps to each server." },
    { .name = "send_proxy", .type = OPTION_ENUM, .offset = offsetof(struct group_conf, send_proxy),
      .fallback = "off", .words = proxy_protocol_words,
      .text = "Begin connections with a PROXY protocol header of this version, which names the "
              "client." },
    { .name = "protocol", .type = OPTION_ENUM, .offset = offsetof(struct group_conf, protocol),
      .fallback = "auto", .words = upstream_protocol_words,
      .text = "What the servers speak: auto (HTTP/2 where it is agreed on by ALPN, else HTTP/1.1), "
              "http/1.1, h2 (HTTP/2 over TLS), h2c (HTTP/2 without TLS)." },
    { .name = "max_streams", .type = OPTION_INT, .offset = offsetof(struct group_conf, max_streams),
      .fallback = "100", .min = 1, .max = 10000,
      .text = "Exchanges that share one HTTP/2 connection to a server; fewer if it says so." },
    { .name = "maintenance", .type = OPTION_BOOL,
      .offset = offsetof(struct group_conf, maintenance), .fallback = "false",
      .text = "Ask none of the servers: what caches have is given, stale or not, and everything "
              "else is answered with 503." },
    { .name = "tls", .type = OPTION_GROUP, .offset = offsetof(struct group_conf, tls),
      .options = upstream_tls_options, .member_bytes = sizeof(struct upstream_tls_conf),
      .shorthand = "verify",
      .text = "Speak TLS with the servers; tls = true is enough." },
    { .name = "timeouts", .type = OPTION_GROUP, .offset = offsetof(struct group_conf, timeouts),
      .options = upstream_timeout_options, .member_bytes = sizeof(struct upstream_timeouts),
      .text = "How long the servers may take." },
    { .name = NULL },
};

/* ---- sites */

static const struct option redirect_options[] = {
    { .name = "to", .type = OPTION_STRING, .offset = offsetof(struct redirect_conf, to),
      .is_required = true,
      .text = "Where to: a path (\"/new/\") or a URL (\"https://www.example.com\"). What follows "
              "the route's prefix, and the query, are put behind it." },
    { .name = "status", .type = OPTION_INT, .offset = offsetof(struct redirect_conf, status),
      .fallback = "302", .min = 301, .max = 308,
      .text = "301 or 308: for good; 302, 303 or 307: this time. 307 and 308 keep the method." },
    { .name = "exact", .type = OPTION_BOOL, .offset = offsetof(struct redirect_conf, is_exact),
      .fallback = "false", .text = "Put nothing behind it." },
    { .name = NULL },
};

static const struct option header_match_options[] = {
    OPTION_PLACE(struct header_match, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct header_match, name),
      .is_required = true, .text = "Name of the header field, in any case." },
    { .name = "value", .type = OPTION_STRING, .offset = offsetof(struct header_match, value),
      .text = "Its whole value." },
    { .name = "regex", .type = OPTION_PATTERN, .offset = offsetof(struct header_match, pattern),
      .text = "Instead of value: an expression to be found in it." },
    { .name = NULL },
};

/* What is done with a request: the same words in a site and in its routes. at
 * is where the struct route_conf is. */
#define ACTION_ROWS(at) \
    { .name = "group", .type = OPTION_STRING, \
      .offset = (at) + offsetof(struct route_conf, group_name), \
      .text = "Name of the group that answers." }, \
    { .name = "redirect", .type = OPTION_GROUP, \
      .offset = (at) + offsetof(struct route_conf, redirect), .options = redirect_options, \
      .member_bytes = sizeof(struct redirect_conf), .text = "Send the client elsewhere." }, \
    { .name = "welcome", .type = OPTION_BOOL, \
      .offset = (at) + offsetof(struct route_conf, welcome), .fallback = "false", \
      .text = "Answer with the built-in welcome page." }, \
    { .name = "strip_prefix", .type = OPTION_STRING, \
      .offset = (at) + offsetof(struct route_conf, strip_prefix), \
      .text = "Taken off the beginning of the path that goes upstream." }, \
    { .name = "add_prefix", .type = OPTION_STRING, \
      .offset = (at) + offsetof(struct route_conf, add_prefix), \
      .text = "Put in front of the path that goes upstream, after strip_prefix." }, \
    { .name = "host", .type = OPTION_STRING, .offset = (at) + offsetof(struct route_conf, host), \
      .text = "Host that goes upstream: \"client\" (what the client asked for; the default), " \
              "\"endpoint\" (as in the endpoint's to), or a name." }, \
    { .name = "cache", .type = OPTION_GROUP, .offset = (at) + offsetof(struct route_conf, cache), \
      .options = cache_options, .member_bytes = sizeof(struct cache_conf), .shorthand = "store", \
      .text = "Keep answers in a store and give them again: the store's name is enough." }, \
    FILTER_ROW((at) + offsetof(struct route_conf, filters), \
               "Filters for what passes here, after those of the listener, in this order.")

static const struct option route_options[] = {
    OPTION_PLACE(struct route_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct route_conf, name),
      .text = "What logs call it." },
    { .name = "path", .type = OPTION_STRING, .offset = offsetof(struct route_conf, path),
      .text = "The whole path it is for." },
    { .name = "path_prefix", .type = OPTION_STRING,
      .offset = offsetof(struct route_conf, path_prefix),
      .text = "How the paths it is for begin: \"/api\" is for /api and all below it, and not for "
              "/apiary." },
    { .name = "path_regex", .type = OPTION_PATTERN,
      .offset = offsetof(struct route_conf, path_regex),
      .text = "An expression to be found in the paths it is for; \"^\" and \"$\" are their ends." },
    { .name = "methods", .type = OPTION_STRINGS, .offset = offsetof(struct route_conf, methods),
      .text = "Methods it is for: [ \"GET\", \"POST\" ]; all when not given. GET includes HEAD." },
    { .name = "headers", .type = OPTION_GROUPS, .offset = offsetof(struct route_conf, headers),
      .options = header_match_options, .member_bytes = sizeof(struct header_match),
      .text = "Header fields a request must have, all of them." },
    ACTION_ROWS(0),
    { .name = NULL },
};

static const struct option site_options[] = {
    OPTION_PLACE(struct site_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct site_conf, name),
      .is_required = true, .text = "What logs and status call it." },
    { .name = "hosts", .type = OPTION_STRINGS, .offset = offsetof(struct site_conf, hosts),
      .text = "Host names it is for: \"www.example.com\", or \"*.example.com\" for all below. "
              "Exact names come before wildcards, long wildcards before short ones." },
    { .name = "default", .type = OPTION_BOOL, .offset = offsetof(struct site_conf, is_default),
      .fallback = "false",
      .text = "It is also for host names that no other site has; without such a site they get "
              "421." },
    { .name = "hide_server", .type = OPTION_BOOL, .offset = offsetof(struct site_conf, hide_server),
      .fallback = "true",
      .text = "Remove what tells about the servers behind: the filter hide_server with its "
              "defaults." },
    { .name = "https", .type = OPTION_BOOL, .offset = offsetof(struct site_conf, https),
      .fallback = "false",
      .text = "Send requests that came without TLS to the same address with https://." },
    { .name = "hsts", .type = OPTION_CUSTOM, .offset = offsetof(struct site_conf, hsts_s),
      .parse = tls_parse_hsts, .form = "true or a time",
      .text = "Tell browsers to come by TLS only (Strict-Transport-Security): true for a year, or "
              "for how long. What the server says stays, and what the filter security_headers "
              "names itself; this comes before a preset of that filter." },
    { .name = "certificates", .type = OPTION_CUSTOM,
      .offset = offsetof(struct site_conf, certificates), .parse = tls_parse_site_certificates,
      .options = certificate_options, .member_bytes = sizeof(struct certificate_conf),
      .form = CERTIFICATES_FORM,
      .text = "Its certificates, one of each kind of key (ECDSA, RSA); when not given, those of "
              "the listener." },
    { .name = "client_certificates", .type = OPTION_GROUP,
      .offset = offsetof(struct site_conf, client), .options = client_certificate_options,
      .member_bytes = sizeof(struct client_certificate_conf),
      .text = "Certificates asked of clients; when not given, as the listener says." },
    ERROR_PAGE_ROWS(offsetof(struct site_conf, error_page)),
    { .name = "policy", .type = OPTION_STRING,
      .offset = offsetof(struct site_conf, policy_name),
      .text = "Name of the policy by which requests for it are judged, after that of the "
              "listener." },
    { .name = "pass_through", .type = OPTION_STRING,
      .offset = offsetof(struct site_conf, pass_through_name),
      .text = "Name of a group that gets TLS connections for its hosts as they are, unread." },
    ACTION_ROWS(offsetof(struct site_conf, all)),
    { .name = "routes", .type = OPTION_GROUPS, .offset = offsetof(struct site_conf, routes),
      .options = route_options, .member_bytes = sizeof(struct route_conf),
      .text = "Exceptions, tried in this order; the first that matches decides. What a route "
              "does not say (group, redirect, welcome, host) is as in the site." },
    { .name = NULL },
};

/* ---- logs and the control socket: values that have a syntax */

static int
check_log_to(struct config_reader *reader, const struct config_node *node, void *target,
             struct err *err)
{
    char identity[SINK_IDENTITY_BYTES];
    struct err found;

    (void)reader;
    (void)target;
    if (log_sink_identify(identity, config_node_text(node).data, &found) == 0)
        return 0;
    return err_set(err, "is wrong: %s", found.text);
}

static int
check_control(struct config_reader *reader, const struct config_node *node, void *target,
              struct err *err)
{
    struct slice path = config_node_text(node);

    (void)reader;
    (void)target;
    if (slice_equal(path, SLICE("off")))
        return 0;
    if (path.bytes == 0 || path.data[0] != '/')
        return err_set(err, "\"%s\" is neither an absolute path nor \"off\"", path.data);
    if (path.bytes >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(err, "\"%s\" is too long for the path of a socket", path.data);
    return 0;
}

static const char *const level_words[] = {
    [LEVEL_ERROR] = "error",
    [LEVEL_WARN] = "warn",
    [LEVEL_INFO] = "info",
    [LEVEL_DEBUG] = "debug",
    [LEVEL_DEBUG + 1] = NULL,
};

static const struct option error_log_options[] = {
    { .name = "level", .type = OPTION_ENUM, .offset = offsetof(struct error_log_conf, level),
      .fallback = "info", .words = level_words,
      .text = "How much is said: error (someone must act), warn (degraded yet serving), info "
              "(what comes and goes), debug (everything)." },
    { .name = "to", .type = OPTION_STRING, .offset = offsetof(struct error_log_conf, to),
      .fallback = "stderr", .parse = check_log_to,
      .text = "\"stderr\", \"stdout\", \"/path\", \"syslog:\" or \"syslog:udp:HOST:PORT\"." },
    { .name = "buffer", .type = OPTION_SIZE, .offset = offsetof(struct error_log_conf, ring_bytes),
      .fallback = "1M", .min = LOG_RING_BYTES_MIN, .max = LOG_RING_BYTES_MAX,
      .text = "Memory of each thread for lines of all logs not yet written; when it is full, "
              "lines are dropped and counted." },
    { .name = NULL },
};

static const char *const log_client_words[] = {
    [LOG_CLIENTS_FULL] = "full",
    [LOG_CLIENTS_TRUNCATED] = "truncated",
    [LOG_CLIENTS_PSEUDONYMS] = "pseudonyms",
    [LOG_CLIENTS_PSEUDONYMS + 1] = NULL,
};

static const char *const log_user_words[] = {
    [LOG_USERS_FULL] = "full",
    [LOG_USERS_PSEUDONYMS] = "pseudonyms",
    [LOG_USERS_OFF] = "off",
    [LOG_USERS_OFF + 1] = NULL,
};

static const struct option access_log_options[] = {
    OPTION_PLACE(struct access_log_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct access_log_conf, name),
      .is_required = true, .text = "What listeners call it." },
    { .name = "to", .type = OPTION_STRING, .offset = offsetof(struct access_log_conf, to),
      .is_required = true, .parse = check_log_to,
      .text = "\"/path\", \"stdout\", \"stderr\", \"syslog:\" or \"syslog:udp:HOST:PORT\"." },
    { .name = "format", .type = OPTION_STRING, .offset = offsetof(struct access_log_conf, format),
      .fallback = "combined",
      .text = "common, combined, squid, json, or a text with %{NAME} for values: see ACCESS "
              "LOGS in bascule.conf(5)." },
    { .name = "clients", .type = OPTION_ENUM,
      .offset = offsetof(struct access_log_conf, privacy.clients), .fallback = "full",
      .words = log_client_words,
      .text = "How much is told of clients' addresses: full, truncated (to the /24, IPv6 to the "
              "/48; no port) or pseudonyms (the same one for the same address). It holds for all "
              "formats, and for lines about these clients in the error log." },
    { .name = "users", .type = OPTION_ENUM,
      .offset = offsetof(struct access_log_conf, privacy.users), .fallback = "full",
      .words = log_user_words,
      .text = "How much is told of who has logged in, by name or certificate: full, pseudonyms or "
              "off." },
    { .name = "queries", .type = OPTION_BOOL,
      .offset = offsetof(struct access_log_conf, privacy.has_queries), .fallback = "true",
      .text = "Whether URLs, also that of Referer, are told with their query strings." },
    { .name = "pseudonym_key", .type = OPTION_STRING,
      .offset = offsetof(struct access_log_conf, privacy.key_path),
      .text = "File of 16 bytes or more that pseudonyms are made with: whoever has it can tell who "
              "is meant. When not given, a random key is used until Bascule is started again." },
    { .name = NULL },
};

/* ---- the whole */

const struct option conf_options[] = {
    { .name = "workers", .type = OPTION_INT, .offset = offsetof(struct conf, workers),
      .fallback = "0", .max = WORKERS_MAX,
      .text = "Worker threads. 0: one for each CPU." },
    { .name = "user", .type = OPTION_STRING, .offset = offsetof(struct conf, user),
      .text = "User the worker process runs as when Bascule is started by root; when not given, "
              "nobody. Better is a user of its own." },
    { .name = "user_group", .type = OPTION_STRING, .offset = offsetof(struct conf, user_group),
      .text = "Group it runs as; when not given, that of the user." },
    { .name = "control", .type = OPTION_STRING, .offset = offsetof(struct conf, control),
      .parse = check_control,
      .text = "Path of the control socket, or \"off\". When not given, /run/bascule/control for "
              "root, and bascule.control in $XDG_RUNTIME_DIR (or /tmp, with the user's number) "
              "for others." },
    { .name = "max_connections", .type = OPTION_INT,
      .offset = offsetof(struct conf, max_connections),
      .fallback = STRING_OF(MAX_CONNECTIONS_DEFAULT), .min = 1, .max = 10000000,
      .text = "Client connections open at a time, in all; fewer where descriptors do not "
              "suffice." },
    { .name = "stop_timeout", .type = OPTION_TIME, .offset = offsetof(struct conf, stop_ms),
      .fallback = "30s", .max = 24 * HOUR,
      .text = "How long exchanges may go on after the order to stop." },
    { .name = "log", .type = OPTION_GROUP, .offset = offsetof(struct conf, log),
      .options = error_log_options, .member_bytes = sizeof(struct error_log_conf),
      .text = "The log for operators." },
    { .name = "access_logs", .type = OPTION_GROUPS, .offset = offsetof(struct conf, access_logs),
      .options = access_log_options, .member_bytes = sizeof(struct access_log_conf), .max = 64,
      .text = "Logs with a line for every exchange." },
    { .name = "stores", .type = OPTION_GROUPS, .offset = offsetof(struct conf, stores),
      .options = store_options, .member_bytes = sizeof(struct store_conf), .max = 64,
      .text = "Where caches keep what they store." },
    { .name = "users", .type = OPTION_GROUPS, .offset = offsetof(struct conf, users),
      .options = users_options, .member_bytes = sizeof(struct users_conf), .family_key = "kind",
      .max = 256, .text = "Where users come from, and how they prove who they are." },
    { .name = "geo", .type = OPTION_GROUP, .offset = offsetof(struct conf, geo),
      .options = geo_options, .member_bytes = sizeof(struct geo_conf),
      .text = "Databases that tell the country and network of an address." },
    { .name = "lists", .type = OPTION_GROUPS, .offset = offsetof(struct conf, lists),
      .options = list_options, .member_bytes = sizeof(struct list_conf), .max = 1000,
      .text = "Long lists of domains, networks and URLs, which rules ask." },
    { .name = "limits", .type = OPTION_GROUPS, .offset = offsetof(struct conf, limits),
      .options = limit_options, .member_bytes = sizeof(struct limit_conf), .max = 256,
      .text = "How much each client, user or whatever is counted may have; rules name them." },
    { .name = "bans", .type = OPTION_GROUPS, .offset = offsetof(struct conf, bans),
      .options = ban_options, .member_bytes = sizeof(struct ban_conf), .max = 64,
      .text = "Tables of who is shut out for a time; filters fill and ask them, and bascule ban." },
    { .name = "policies", .type = OPTION_GROUPS, .offset = offsetof(struct conf, policies),
      .options = policy_options, .member_bytes = sizeof(struct policy_conf), .max = 1000,
      .text = "Rules that say what is allowed, refused and changed; listeners and sites name "
              "theirs." },
    { .name = "sets", .type = OPTION_GROUPS, .offset = offsetof(struct conf, sets),
      .options = condition_set_options, .member_bytes = sizeof(struct condition_set_conf),
      .max = 10000, .text = "Conditions that several rules use, by name." },
    { .name = "resolver", .type = OPTION_GROUP, .offset = offsetof(struct conf, resolver),
      .options = resolver_options, .member_bytes = sizeof(struct resolver_conf),
      .text = "How host names become addresses." },
    { .name = "listeners", .type = OPTION_GROUPS, .offset = offsetof(struct conf, listeners),
      .options = listener_options, .member_bytes = sizeof(struct listener_conf),
      .family_key = "mode", .is_required = true, .min = 1, .max = 1000,
      .text = "Where clients connect, and what for." },
    { .name = "groups", .type = OPTION_GROUPS, .offset = offsetof(struct conf, groups),
      .options = group_options, .member_bytes = sizeof(struct group_conf),
      .text = "Groups of servers that do the same work." },
    { .name = "sites", .type = OPTION_GROUPS, .offset = offsetof(struct conf, sites),
      .options = site_options, .member_bytes = sizeof(struct site_conf),
      .text = "What listeners of mode reverse serve." },
    { .name = "forward_to_sites", .type = OPTION_BOOL,
      .offset = offsetof(struct conf, forward_to_sites), .fallback = "true",
      .text = "Requests on forward listeners for a host name of a site go to that site's group." },
    { .name = "expect", .type = OPTION_GROUPS, .offset = offsetof(struct conf, expects),
      .options = expect_options, .member_bytes = sizeof(struct expect_conf), .max = 10000,
      .text = "Requests, and what must become of them: tried by check, at the start and before a "
              "reload, which is refused when one comes out otherwise." },
    { .name = "held_content", .type = OPTION_SIZE, .offset = offsetof(struct conf, held_bytes),
      .fallback = "256M", .min = MIB, .max = 1024ull * 1024 * MIB,
      .text = "Memory for content that filters hold back until they have seen enough of it, of all "
              "exchanges together; decoders and a WAF may have as much again each. What would need "
              "more gets 503." },
    { .name = "trail", .type = OPTION_SIZE, .offset = offsetof(struct conf, trail_bytes),
      .fallback = "1M", .max = 1024 * MIB,
      .text = "Memory of each worker thread for what was decided about exchanges of late: bascule "
              "explain ID shows it. 0: nothing is kept." },
    { .name = NULL },
};
