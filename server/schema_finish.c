/* SPDX-License-Identifier: BSD-2-Clause */
/* schema_finish.c - what the tables alone cannot tell: names that must exist,
 * options that exclude or need each other, values with a syntax.
 *
 *     logs, groups --> sites, routes --> listeners --> hooks of modes and filters
 */
#include "config.h"

#include "server/schema.h"

#include <stdlib.h>
#include <unistd.h>

#include "modes/mode.h"
#include "server/config/reader.h"
#include "server/error_pages.h"
#include "server/log/log_format.h"
#include "server/name_set.h"
#include "server/policy/ban_table.h"
#include "server/policy/policy.h"
#include "server/policy/expect.h"
#include "server/policy/limit.h"
#include "server/policy/list.h"
#include "server/schema_link.h"
#include "server/schema_tls.h"
#include "server/users/users.h"

/* ---- logs and the control socket */

static int
finish_access_log(struct linker *linker, struct access_log_conf *log)
{
    struct err *err = linker->err;

    if (link_check_name("access log", log->name, &log->place, err) < 0)
        return -1;
    if (strcmp(log->name, "off") == 0)
        err_set(err, "the word switches logs off, another name is needed");
    else
        log->compiled = log_format_new(linker->arena, log->format, err);
    if (log->compiled != NULL && log_privacy_finish(&log->privacy, err) == 0 &&
        log_format_check_privacy(log->compiled, &log->privacy, err) == 0)
        return 0;
    return link_fail(err, &log->place, "access log", log->name);
}

static int
finish_access_logs(struct linker *linker)
{
    struct conf *conf = linker->conf;
    size_t i;

    for (i = 0; i < conf->access_logs.count; i++) {
        if (finish_access_log(linker, conf->access_logs.items[i]) < 0)
            return -1;
    }
    return 0;
}

/* ---- stores */

static int
finish_stores(struct linker *linker)
{
    struct conf *conf = linker->conf;

    for (size_t i = 0; i < conf->stores.count; i++) {
        struct store_conf *store = conf->stores.items[i];

        if (link_check_name("store", store->name, &store->place, linker->err) < 0)
            return -1;
        if (store_conf_finish(store, conf->stores.items, i, linker->err) < 0)
            return link_fail(linker->err, &store->place, "store", store->name);
    }
    return 0;
}

const char *
schema_default_control(struct arena *arena)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (geteuid() == 0)
        return "/run/bascule/control";
    if (runtime != NULL && runtime[0] == '/')
        return arena_printf(arena, "%s/bascule.control", runtime).data;
    return arena_printf(arena, "/tmp/bascule-%u.control", (unsigned)geteuid()).data;
}

static int
finish_control(struct linker *linker)
{
    struct conf *conf = linker->conf;

    if (conf->control == NULL)
        conf->control = schema_default_control(linker->arena);
    else if (strcmp(conf->control, "off") == 0)
        conf->control = NULL;
    return 0;
}

/* ---- geography, lists and limits */

static int
finish_geo(struct linker *linker)
{
    struct geo_conf *geo = &linker->conf->geo;
    struct err found;

    if (geo_conf_finish(geo, &found) == 0)
        return 0;
    return config_place_fail(linker->err, &geo->place, "geo: %s", found.text);
}

static int
finish_lists(struct linker *linker)
{
    struct conf *conf = linker->conf;

    for (size_t i = 0; i < conf->lists.count; i++) {
        struct list_conf *list = conf->lists.items[i];

        if (link_check_name("list", list->name, &list->place, linker->err) < 0)
            return -1;
        if (list_conf_finish(list, linker->err) < 0)
            return link_fail(linker->err, &list->place, "list", list->name);
    }
    return 0;
}

static int
finish_limit_tables(struct linker *linker)
{
    struct conf *conf = linker->conf;

    for (size_t i = 0; i < conf->limits.count; i++) {
        struct limit_conf *limit = conf->limits.items[i];

        if (link_check_name("limit", limit->name, &limit->place, linker->err) < 0)
            return -1;
        if (limit_conf_finish(limit, linker->err) < 0)
            return link_fail(linker->err, &limit->place, "limit", limit->name);
    }
    return 0;
}

static int
finish_bans(struct linker *linker)
{
    struct conf *conf = linker->conf;

    for (size_t i = 0; i < conf->bans.count; i++) {
        struct ban_conf *ban = conf->bans.items[i];

        if (link_check_name("ban", ban->name, &ban->place, linker->err) < 0)
            return -1;
        if (ban_conf_finish(ban, conf, linker->err) < 0)
            return link_fail(linker->err, &ban->place, "ban", ban->name);
    }
    return 0;
}

/* ---- listeners */

static void
use_access_log(struct listener_conf *listener, struct access_log_conf *log)
{
    listener->access_log = log;
    log->is_used = true;
}

static int
find_access_log(struct conf *conf, struct listener_conf *listener, struct err *err)
{
    struct nearest nearest;
    size_t i;

    listener->access_log = NULL;
    if (listener->access_log_name == NULL) {
        if (conf->access_logs.count > 0)
            use_access_log(listener, conf->access_logs.items[0]);
        return 0;
    }
    if (strcmp(listener->access_log_name, "off") == 0)
        return 0;
    nearest_init(&nearest, slice_of(listener->access_log_name));
    for (i = 0; i < conf->access_logs.count; i++) {
        struct access_log_conf *log = conf->access_logs.items[i];

        if (strcmp(log->name, listener->access_log_name) == 0) {
            use_access_log(listener, log);
            return 0;
        }
        nearest_offer(&nearest, log->name);
    }
    err_set(err, "there is no access log \"%s\"", listener->access_log_name);
    return nearest_hint(&nearest, err);
}

static int
finish_limits(struct http_limits *limits, struct err *err)
{
    if (limits->line_bytes > limits->head_bytes)
        return err_set(err, "limits: line is more than head, of which it is a part");
    if (limits->arena_bytes < limits->head_bytes * 4)
        return err_set(err, "limits: memory is less than four times head");
    limits->h1 = (struct h1_limits){
        .line_bytes = (uint32_t)limits->line_bytes,
        .head_bytes = (uint32_t)limits->head_bytes,
        .field_count = (uint32_t)limits->field_count,
    };
    return 0;
}

static int
check_proxy_protocol(const struct listener_conf *listener, struct err *err)
{
    if (listener->proxy_protocol && listener->proxy_protocol_from == NULL)
        return err_set(err, "proxy_protocol needs proxy_protocol_from: whoever may name the "
                            "client's address, which are the proxies in front");
    if (!listener->proxy_protocol && listener->proxy_protocol_from != NULL)
        return err_set(err, "proxy_protocol_from without proxy_protocol = true means nothing");
    return 0;
}

/* Whether the kernel chooses the port: then equal addresses are not the same. */
static bool
is_any_port(const struct address *address)
{
    struct ip ip;

    if (address->to.any.sa_family == AF_UNIX)
        return false;
    ip_from_sockaddr(&ip, &address->to.any);
    return ip.port == 0;
}

/* Adds the listener's addresses to those that are taken. */
static int
claim_addresses(struct linker *linker, struct name_set *claimed, struct listener_conf *listener)
{
    char buffer[ADDRESS_TEXT_BYTES];
    size_t i;

    for (i = 0; i < listener->listen.count; i++) {
        const struct address *address = &listener->listen.items[i];
        const char *text = address_text(address, buffer);
        const struct listener_conf *other;
        struct name *name;

        if (is_any_port(address))
            continue;
        name = name_set_find(claimed, text);
        other = name->object;
        if (name->text != NULL && other == listener)
            return err_set(linker->err, "listens at %s twice", text);
        if (name->text != NULL)
            return err_set(linker->err, "listener \"%s\" at %s:%u listens at %s already",
                           other->name, other->place.file, other->place.line, text);
        *name = (struct name){ .text = arena_strdup(&linker->scratch, text), .object = listener };
        if (name->text == NULL)
            return err_set(linker->err, "out of memory");
    }
    return 0;
}

static int
check_listener(struct linker *linker, struct name_set *claimed, struct listener_conf *listener)
{
    if (claim_addresses(linker, claimed, listener) < 0 ||
        error_page_finish(&listener->error_page, linker->err) < 0 ||
        find_access_log(linker->conf, listener, linker->err) < 0 ||
        link_policy(linker, listener->policy_name, &listener->policy) < 0 ||
        finish_limits(&listener->limits, linker->err) < 0)
        return -1;
    return check_proxy_protocol(listener, linker->err);
}

static int
finish_mode(struct linker *linker, struct listener_conf *listener)
{
    if (listener->mode->finish == NULL)
        return 0;
    return listener->mode->finish(listener, linker->conf, linker->arena, linker->err);
}

static int
finish_listener(struct linker *linker, struct name_set *claimed, struct listener_conf *listener)
{
    struct err *err = linker->err;

    if (link_check_name("listener", listener->name, &listener->place, err) < 0)
        return -1;
    if (check_listener(linker, claimed, listener) < 0)
        return link_fail(err, &listener->place, "listener", listener->name);
    if (link_filters(linker, &listener->filters) < 0)
        return -1;
    if (finish_mode(linker, listener) < 0 || link_listener_tls(linker, listener) < 0 ||
        link_listener_chain(linker, listener) < 0)
        return link_fail(err, &listener->place, "listener", listener->name);
    return 0;
}

static size_t
count_addresses(const struct conf *conf)
{
    size_t count = 0, i;

    for (i = 0; i < conf->listeners.count; i++)
        count += ((struct listener_conf *)conf->listeners.items[i])->listen.count;
    return count;
}

static int
finish_listeners(struct linker *linker)
{
    struct conf *conf = linker->conf;
    struct name_set *claimed = name_set_new(&linker->scratch, count_addresses(conf));
    size_t i;

    if (claimed == NULL)
        return err_set(linker->err, "out of memory");
    for (i = 0; i < conf->listeners.count; i++) {
        if (finish_listener(linker, claimed, conf->listeners.items[i]) < 0)
            return -1;
    }
    return 0;
}

/* ---- the whole */

int
schema_finish(struct conf *conf, struct arena *arena, struct err *err)
{
    struct linker linker = { .conf = conf, .arena = arena, .err = err };
    int result = -1;

    arena_init(&linker.scratch, NULL, (size_t)1 << 30);
    if (finish_access_logs(&linker) == 0 && finish_control(&linker) == 0 &&
        finish_stores(&linker) == 0 && finish_geo(&linker) == 0 &&
        finish_lists(&linker) == 0 && finish_limit_tables(&linker) == 0 &&
        finish_bans(&linker) == 0 && link_groups(&linker) == 0 &&
        users_finish(conf, arena, err) == 0 && policies_finish(conf, arena, err) == 0 &&
        link_sites(&linker) == 0 &&
        finish_listeners(&linker) == 0 && expects_finish(conf, err) == 0)
        result = 0;
    if (result == 0)
        link_https_ports(conf);
    if (result == 0 && arena_is_spent(arena))
        result = err_set(err, "out of memory: the configuration is too large");
    arena_fini(&linker.scratch);
    return result;
}
