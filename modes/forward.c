/* SPDX-License-Identifier: BSD-2-Clause */
/* forward.c - the mode of an office's proxy: browsers ask it for any URL.
 *
 * Safe by default: only clients of private networks, only the usual ports, and
 * no destination that is not a public address, whatever name or spelling led
 * there. The check is made on addresses, after DNS, on the very address that
 * is then connected.
 */
#include "config.h"

#include "modes/forward.h"

#include "filters/anonymity.h"
#include "modes/judge.h"
#include "modes/pac.h"
#include "modes/reach.h"
#include "modes/reverse.h"
#include "modes/road.h"
#include "modes/site_route.h"
#include "server/generation.h"
#include "server/host_map.h"
#include "server/http/downstream.h"
#include "server/http/uri.h"
#include "server/http/via.h"
#include "server/net/listener.h"
#include "server/snapshot.h"
#include "server/tls/tls_client.h"
#include "server/tls/tls_demands.h"
#include "server/upstream/parent.h"

#include <inttypes.h>

struct forward_conf {
    struct listener_conf listener;
    struct prefix_set *allow_destination; /* besides public addresses */
    struct prefix_set *deny_destination;
    struct prefix_set *special;           /* what is not public */
    struct port_set connect_ports, http_ports;
    int anonymity; /* enum anonymity_profile */
    const char *parent_url;
    struct parent_conf parent;
    struct pac_conf pac;
    struct tls_context *tls;
    struct upstream_timeouts timeouts;
};

static const struct option options[] = {
    { .name = "connect_ports", .type = OPTION_PORTS,
      .offset = offsetof(struct forward_conf, connect_ports), .fallback = "443, 8443",
      .text = "Ports that CONNECT may ask for." },
    { .name = "http_ports", .type = OPTION_PORTS,
      .offset = offsetof(struct forward_conf, http_ports), .fallback = "80, 443, 1025-65535",
      .text = "Ports that http:// and https:// URLs may name." },
    { .name = "allow_destination", .type = OPTION_NETWORKS,
      .offset = offsetof(struct forward_conf, allow_destination),
      .text = "Destinations allowed besides public addresses, which alone are by default." },
    { .name = "deny_destination", .type = OPTION_NETWORKS,
      .offset = offsetof(struct forward_conf, deny_destination),
      .text = "Destinations refused although they are public or in allow_destination." },
    { .name = "anonymity", .type = OPTION_ENUM, .offset = offsetof(struct forward_conf, anonymity),
      .words = anonymity_words, .fallback = "on",
      .text = "How much of the client is kept from origins: see the filter of this name." },
    { .name = "upstream_proxy", .type = OPTION_STRING,
      .offset = offsetof(struct forward_conf, parent_url),
      .text = "Parent proxy that all requests go through: http://[user:password@]host:port or "
              "socks5://[user:password@]host:port. It resolves names, and has to judge the "
              "addresses behind them; addresses in URLs are judged here." },
    { .name = "tls_ca", .type = OPTION_STRING,
      .offset = offsetof(struct forward_conf, listener.upstream_ca),
      .text = "File of the CA certificates (PEM) that https:// destinations are verified by; the "
              "system's when not given." },
    { .name = "cache", .type = OPTION_GROUP,
      .offset = offsetof(struct forward_conf, listener.cache),
      .options = cache_options, .member_bytes = sizeof(struct cache_conf), .shorthand = "store",
      .text = "Keep answers in a store and give them again: the store's name is enough." },
    { .name = "pac", .type = OPTION_GROUP, .offset = offsetof(struct forward_conf, pac),
      .options = pac_options, .member_bytes = sizeof(struct pac_conf), .shorthand = "proxy",
      .text = "Serve the file that tells browsers when to use this proxy, at /proxy.pac and "
              "/wpad.dat: the proxy's HOST:PORT is enough." },
    { .name = "upstream", .type = OPTION_GROUP, .offset = offsetof(struct forward_conf, timeouts),
      .options = upstream_timeout_options, .member_bytes = sizeof(struct upstream_timeouts),
      .text = "Deadlines towards destinations." },
    { .name = NULL },
};

/* ---- configuration */

static int
finish_parent(struct forward_conf *forward, struct arena *arena, struct err *err)
{
    if (forward->parent_url == NULL)
        return 0;
    if (parent_parse_url(&forward->parent, arena, slice_of(forward->parent_url), err) < 0)
        return err_prefix(err, "upstream_proxy: ");
    return 0;
}

/* The profile is a filter like any other, in front of those of the listener. */
static int
add_anonymity(struct forward_conf *forward, struct arena *arena)
{
    struct config_list *list = &forward->listener.filters;
    void **items;

    if (forward->anonymity == ANONYMITY_OFF)
        return 0;
    items = arena_alloc(arena, (list->count + 1) * sizeof(*items));
    if (items == NULL)
        return -1;
    items[0] = (void *)anonymity_default((enum anonymity_profile)forward->anonymity);
    if (list->count > 0)
        memcpy(items + 1, list->items, list->count * sizeof(*items));
    *list = (struct config_list){ items, list->count + 1 };
    return 0;
}

static struct prefix_set *
named_networks(struct arena *arena, const char *const *names, struct err *err)
{
    struct prefix_set *set = prefix_set_new(arena);

    for (; set != NULL && *names != NULL; names++)
        if (prefix_set_add(set, slice_of(*names), err) < 0)
            return NULL;
    if (set != NULL)
        prefix_set_seal(set);
    return set;
}

/* Loading the system's certificates takes tens of milliseconds, so listeners
 * that trust the same ones share them. */
static struct tls_context *
shared_trust(const struct forward_conf *forward, const struct conf *conf)
{
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct forward_conf *other = conf->listeners.items[i];

        if (other->listener.mode == &forward_mode && other->tls != NULL &&
            slice_equal(slice_of(other->listener.upstream_ca),
                        slice_of(forward->listener.upstream_ca)))
            return other->tls;
    }
    return NULL;
}

static int
load_trust(struct forward_conf *forward, const struct conf *conf, struct arena *arena,
           struct err *err)
{
    const char *ca = forward->listener.upstream_ca;

    if (ca != NULL && ca[0] != '/')
        return err_set(err, "tls_ca: \"%s\" is not an absolute path", ca);
    forward->tls = shared_trust(forward, conf);
    if (forward->tls == NULL)
        forward->tls = tls_context_new(arena, ca, err);
    return forward->tls != NULL ? 0 : err_prefix(err, "tls_ca: ");
}

/* What is stored is asked no more where it came from: listeners that share a store
 * share what they fetched only if they have the same rules for that. */
static void
name_destinations(struct forward_conf *forward, struct arena *arena)
{
    uint64_t allowed = prefix_set_digest(forward->allow_destination);
    uint64_t denied = prefix_set_digest(forward->deny_destination);
    const char *ca = forward->listener.upstream_ca;

    if (allowed != 0 || denied != 0 || ca != NULL)
        forward->listener.cache.destinations =
            arena_printf(arena, " for %016" PRIx64 "-%016" PRIx64 " %s", allowed, denied,
                         ca != NULL ? ca : "");
}

static int
finish(struct listener_conf *listener, struct conf *conf, struct arena *arena, struct err *err)
{
    static const char *const not_public[] = { "special", NULL };
    static const char *const own_clients[] = { "loopback", "private", "link-local", NULL };
    struct forward_conf *forward = (struct forward_conf *)(void *)listener;

    forward->special = named_networks(arena, not_public, err);
    if (listener->allow_client == NULL) /* never an open proxy by accident */
        listener->allow_client = named_networks(arena, own_clients, err);
    if (forward->special == NULL || listener->allow_client == NULL ||
        add_anonymity(forward, arena) < 0)
        return err_set(err, "no memory");
    if (judge_finish(conf, arena, err) < 0)
        return -1;
    if (pac_conf_finish(&forward->pac, arena, err) < 0)
        return -1;
    name_destinations(forward, arena);
    if (load_trust(forward, conf, arena, err) < 0 ||
        cache_conf_finish(&listener->cache, &conf->stores, arena, err) < 0)
        return -1;
    return finish_parent(forward, arena, err);
}

static void
review(const struct listener_conf *listener, const struct conf *conf,
       void (*say)(void *arg, const char *sentence), void *arg)
{
    const struct forward_conf *forward = (const struct forward_conf *)(const void *)listener;

    pac_review(&forward->pac, listener, conf, say, arg);
}

static const struct forward_conf *
conf_of(const struct exchange *ex)
{
    return (const struct forward_conf *)(const void *)ex->listener;
}

/* ---- judge */

static enum step
deny(struct exchange *ex, unsigned status, const char *rule, const char *why)
{
    exchange_decide(ex, DECISION_DENY, &ex->listener->place, "%s", rule);
    exchange_answer(ex, status, END_DENIED, why);
    return STEP_ANSWER;
}

static bool
has_port(const struct port_set *ports, unsigned port)
{
    for (size_t i = 0; i < ports->count; i++)
        if (port >= ports->ranges[i].first && port <= ports->ranges[i].last)
            return true;
    return false;
}

/* Whether the client did not prove by TLS what is demanded since a reload. */
static bool
is_unproved(const struct exchange *ex)
{
    const struct tls_session *session = ex->down != NULL ? ex->down->client->tls : NULL;

    return session != NULL && !tls_facts_prove(tls_session_facts(session), ex->listener);
}

static enum step
judge(struct exchange *ex)
{
    const struct forward_conf *forward = conf_of(ex);
    const struct request *request = &ex->request;

    site_find_client(ex);
    if (!listener_allows(&forward->listener, &ex->client_ip))
        return deny(ex, 403, "client is not in allow_client",
                    "Your address may not use this proxy.");
    if (is_unproved(ex))
        return deny(ex, 421, "the connection was made before client_certificates changed",
                    "This connection was made under other rules: please connect again.");
    if (pac_answers(ex, &forward->pac))
        return STEP_ANSWER;
    if (request->form == TARGET_ORIGIN || request->form == TARGET_ASTERISK) {
        exchange_answer(ex, 400, END_BAD_REQUEST,
                        "This is a forward proxy: set it as the proxy of your browser, instead of "
                        "opening it as a page.");
        return STEP_ANSWER;
    }
    if (via_is_loop(&request->fields)) {
        ex->failure = (struct failure){ END_DENIED, 508, "proxy_loop_detected", NULL };
        return deny(ex, 508, "loop", "The request has been here before: a forwarding loop.");
    }
    if (request->method == METHOD_CONNECT && !has_port(&forward->connect_ports, request->port))
        return deny(ex, 403, "port is not in connect_ports",
                    "Tunnels to this port are not allowed.");
    if (request->method != METHOD_CONNECT && !has_port(&forward->http_ports, request->port))
        return deny(ex, 403, "port is not in http_ports", "This port is not allowed in URLs.");
    if (uri_host_is_odd_ip(request->host))
        return deny(ex, 400, "host is a number in an unusual form",
                    "Write the address as four decimal numbers.");
    return STEP_NEXT;
}

/* ---- route */

static bool
is_judged(const struct exchange *ex, const struct ip *ip)
{
    for (unsigned i = 0; i < ex->to.only_count; i++)
        if (ip_equal_host(ip, &ex->to.only[i]))
            return true;
    return ex->to.only == NULL;
}

/* The guard: asked about each address after DNS. */
static bool
may_connect(const struct ip *ip, void *arg)
{
    struct exchange *ex = arg;
    const struct forward_conf *forward = conf_of(ex);
    char text[IP_TEXT_BYTES];

    if (!is_judged(ex, ip))
        return false;

    if (forward->deny_destination != NULL &&
        prefix_set_has_embedded(forward->deny_destination, ip)) {
        ip_text(ip, text);
        exchange_decide(ex, DECISION_DENY, &ex->listener->place, "%s is in deny_destination", text);
        return false;
    }
    if (forward->allow_destination != NULL && prefix_set_has(forward->allow_destination, ip))
        return true;
    if (!prefix_set_has_embedded(forward->special, ip))
        return true;
    ip_text(ip, text);
    exchange_decide(ex, DECISION_DENY, &ex->listener->place,
                    "%s is not a public address and not in allow_destination", text);
    return false;
}

/* Whether one of our reverse listeners could be meant. */
static bool
is_site_port(const struct conf *conf, unsigned port)
{
    if (port == 80)
        return true;
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        if (listener->mode != &reverse_mode)
            continue;
        for (size_t j = 0; j < listener->listen.count; j++) {
            struct ip ip;

            ip_from_sockaddr(&ip, &listener->listen.items[j].to.any);
            if (ip.port == port)
                return true;
        }
    }
    return false;
}

/* DESIGN: a name that one of our sites serves is fetched from that site, but for
 * sites that want more of a connection than this one can show. */
static struct site_conf *
own_site(const struct exchange *ex)
{
    const struct conf *conf = &ex->generation->snapshot->conf;
    struct site_conf *site;

    if (!conf->forward_to_sites || conf->hosts == NULL || ex->request.method == METHOD_CONNECT ||
        !slice_equal(ex->request.scheme, SLICE("http")))
        return NULL;
    if (!is_site_port(conf, ex->request.port))
        return NULL;
    site = host_map_find_named(conf->hosts, ex->request.host);
    if (site == NULL || site->https || site->client.place.line > 0 || site->pass_through != NULL)
        return NULL;
    return site;
}

/* Names are resolved, and judged, by a parent proxy; addresses are judged here. */
static bool
may_ask_parent(struct exchange *ex)
{
    struct ip ip;

    return !ip_parse(ex->request.host, &ip) || may_connect(&ip, ex);
}

static const struct parent_conf *
parent_of(const struct listener_conf *listener)
{
    const struct forward_conf *forward = (const struct forward_conf *)(const void *)listener;

    return forward->parent_url != NULL ? &forward->parent : NULL;
}

static enum step
route(struct exchange *ex)
{
    const struct forward_conf *forward = conf_of(ex);

    ex->site = own_site(ex);
    if (ex->site != NULL)
        return site_route(ex);
    if (forward->parent_url != NULL && !may_ask_parent(ex)) {
        ex->failure = (struct failure){ END_DENIED, 403, "destination_ip_prohibited", NULL };
        return deny(ex, 403, "address for the parent proxy", NULL);
    }
    ex->to = (struct destination){
        .host = ex->request.host,
        .port = ex->request.port,
        .is_tls = slice_equal(ex->request.scheme, SLICE("https")),
        .tls = forward->tls,
        .parent = parent_of(ex->listener),
        .timeouts = &forward->timeouts,
        .may_connect = may_connect,
    };
    return STEP_NEXT;
}

/* ---- prepare */

static enum step
prepare(struct exchange *ex)
{
    fields_add(&ex->request.fields, &ex->arena, FIELD_VIA,
               via_value(ex->down->ops->protocol, ex->request.minor_version));
    if (ex->site != NULL) {
        site_add_forwarding(ex, FORWARDING_X);
        return site_prepare(ex);
    }
    ex->out.authority = ex->request.authority;
    reach_name_target(ex);
    return STEP_NEXT;
}

const struct mode_ops forward_mode = {
    .name = "forward",
    .text = "A proxy for browsers: absolute URLs and CONNECT.",
    .options = options,
    .conf_bytes = sizeof(struct forward_conf),
    .finish = finish,
    .on_connection = http_downstream_open,
    .on_request = road_begin,
    .judge = judge,
    .route = route,
    .prepare = prepare,
    .parent = parent_of,
    .review = review,
    .is_proxy = true,
    .adds_via = true,
};
