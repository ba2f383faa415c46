/* SPDX-License-Identifier: BSD-2-Clause */
/* reverse.c - the mode of a site's front: sites by host name, routes to groups. */
#include "config.h"

#include "modes/reverse.h"

#include "modes/judge.h"
#include "modes/relay.h"
#include "modes/road.h"
#include "modes/site_route.h"
#include "modes/site_tls.h"
#include "server/generation.h"
#include "server/host_map.h"
#include "server/http/downstream.h"
#include "server/http/via.h"
#include "server/net/listener.h"
#include "server/snapshot.h"

struct reverse_conf {
    struct listener_conf listener;
    int forwarding; /* enum forwarding */
    bool client_cert;
    struct strings site_names;
};

static const char *const forwarding_words[] = { "off", "x-forwarded", "forwarded", "both", NULL };

static const struct option options[] = {
    { .name = "sites", .type = OPTION_STRINGS, .offset = offsetof(struct reverse_conf, site_names),
      .text = "Names of the sites served here; all of them when not given." },
    { .name = "forwarding", .type = OPTION_ENUM,
      .offset = offsetof(struct reverse_conf, forwarding), .words = forwarding_words,
      .fallback = "x-forwarded",
      .text = "Fields that tell the origin who asked: X-Forwarded-For, -Proto and -Host, or "
              "Forwarded (RFC 7239)." },
    { .name = "client_cert", .type = OPTION_BOOL,
      .offset = offsetof(struct reverse_conf, client_cert), .fallback = "false",
      .text = "Tell the origin of the certificate a client showed: Client-Cert (RFC 9440)." },
    { .name = NULL },
};

/* ---- configuration */

static struct site_conf *
site_named(const struct conf *conf, struct slice name)
{
    for (size_t i = 0; i < conf->sites.count; i++) {
        struct site_conf *site = conf->sites.items[i];

        if (slice_equal(slice_of(site->name), name))
            return site;
    }
    return NULL;
}

static int
add_site(struct host_map *map, struct site_conf *site, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < site->hosts.count; i++) {
        struct slice name;

        if (host_map_clean(site->hosts.items[i], &name, arena, err) < 0)
            return -1;
        host_map_add(map, name, site);
    }
    if (site->is_default)
        host_map_set_default(map, site);
    return 0;
}

static int
finish(struct listener_conf *listener, struct conf *conf, struct arena *arena, struct err *err)
{
    struct reverse_conf *reverse = (struct reverse_conf *)(void *)listener;
    size_t names = 0;

    if (conf->sites.count == 0)
        return err_set(err, "a reverse listener needs sites to serve: add one to \"sites\"");
    if (judge_finish(conf, arena, err) < 0)
        return -1;
    listener->sites = conf->hosts;
    if (reverse->site_names.count == 0)
        return 0;
    for (size_t i = 0; i < reverse->site_names.count; i++) {
        struct site_conf *site = site_named(conf, reverse->site_names.items[i]);

        if (site == NULL)
            return err_set(err, "sites: there is no site \"%s\"",
                           reverse->site_names.items[i].data);
        names += site->hosts.count;
    }
    listener->sites = host_map_new(arena, names);
    for (size_t i = 0; listener->sites != NULL && i < reverse->site_names.count; i++)
        if (add_site(listener->sites, site_named(conf, reverse->site_names.items[i]), arena,
                     err) < 0)
            return -1;
    return listener->sites != NULL ? 0 : err_set(err, "sites: no memory");
}

/* ---- steps */

static enum step
judge(struct exchange *ex)
{
    const struct listener_conf *listener = ex->listener;

    site_find_client(ex);
    if (!listener_allows(listener, &ex->client_ip)) {
        exchange_decide(ex, DECISION_DENY, &listener->place, "client is not in allow_client");
        exchange_answer(ex, 403, END_DENIED, "Your address may not use this service.");
        return STEP_ANSWER;
    }
    if (ex->request.method == METHOD_CONNECT) {
        exchange_answer(ex, 405, END_DENIED, "This is a web site, not a forward proxy.");
        return STEP_ANSWER;
    }
    if (via_is_loop(&ex->request.fields)) {
        exchange_answer(ex, 508, END_DENIED, "The request has been here before: a routing loop.");
        return STEP_ANSWER;
    }
    return STEP_NEXT;
}

static enum step
route(struct exchange *ex)
{
    ex->site = host_map_find(ex->listener->sites, ex->request.host);
    if (ex->site == NULL) {
        /* RFC 9110 section 15.5.20: better than another site's pages. */
        exchange_decide(ex, DECISION_DENY, NULL, "no site here has the host %.*s",
                        SLICE_ARG(ex->request.host));
        exchange_answer(ex, 421, END_DENIED, "No site of this name is served here.");
        return STEP_ANSWER;
    }
    if (site_check_tls(ex) == STEP_ANSWER)
        return STEP_ANSWER;
    return site_route(ex);
}

static enum step
prepare(struct exchange *ex)
{
    const struct reverse_conf *reverse = (const struct reverse_conf *)(const void *)ex->listener;
    enum step step = site_prepare(ex);

    site_add_forwarding(ex, (enum forwarding)reverse->forwarding);
    if (reverse->client_cert)
        site_add_client_certificate(ex);
    fields_add(&ex->request.fields, &ex->arena, FIELD_VIA,
               via_value(ex->down->ops->protocol, ex->request.minor_version));
    return step;
}

const struct mode_ops reverse_mode = {
    .name = "reverse",
    .text = "Stands in front of web servers: sites by host name, routes to groups of endpoints.",
    .options = options,
    .conf_bytes = sizeof(struct reverse_conf),
    .finish = finish,
    .on_connection = http_downstream_open,
    .on_pass_through = relay_pass_through,
    .on_request = road_begin,
    .judge = judge,
    .route = route,
    .prepare = prepare,
};
