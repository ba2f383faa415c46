/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot.c - the life of one configuration generation.
 *
 *     snapshot_new --> snapshot_adopt --> published --> last snapshot_unref
 *      (checked)       (has its parts       (read        (parts given back,
 *                       of the registry)     only)        arena freed)
 *
 * What is adopted is tied to the arena, so that freeing the arena gives it back.
 */
#include "config.h"

#include "server/snapshot.h"

#include "cache/store.h"
#include "cache/traffic.h"
#include "filters/filter.h"
#include "server/certificates/certificates.h"
#include "server/config/reader.h"
#include "server/error_pages.h"
#include "server/log/access_log.h"
#include "server/log/sink.h"
#include "server/net/listener.h"
#include "server/policy/ban_table.h"
#include "server/policy/limit.h"
#include "server/policy/list.h"
#include "server/tls/tls_context.h"
#include "server/tls/tls_server.h"
#include "server/upstream/group.h"
#include "server/users/users.h"

/* More than any configuration needs: half a million sites. */
#define ARENA_BYTES ((size_t)1 << 30)

struct snapshot *
snapshot_new(const struct config_source *source, struct err *err)
{
    struct snapshot *snapshot = arena_new_object(NULL, ARENA_BYTES, sizeof(*snapshot),
                                                 offsetof(struct snapshot, arena));
    struct conf *conf;

    if (snapshot == NULL) {
        err_set(err, "out of memory for the configuration");
        return NULL;
    }
    atomic_init(&snapshot->references, 1);
    conf = &snapshot->conf;
    if (config_source_read(source, conf_options, conf, &snapshot->arena, err, NULL) < 0 ||
        schema_finish(conf, &snapshot->arena, err) < 0) {
        snapshot_unref(snapshot);
        return NULL;
    }
    return snapshot;
}

/* ---- adopting */

static int
adopt_access_log(struct access_log_conf *conf, struct arena *arena, struct err *err)
{
    char identity[SINK_IDENTITY_BYTES];
    struct log_sink *sink;

    if (log_privacy_adopt(&conf->privacy, err) < 0 ||
        log_sink_identify(identity, conf->to, err) < 0)
        return -1;
    sink = log_sink_open(identity, -1, err);
    if (sink == NULL)
        return -1;
    conf->log = access_log_new(arena, sink, conf->compiled, &conf->privacy);
    return conf->log != NULL ? 0 : err_set(err, "out of memory");
}

static void
let_go_of_store(void *store)
{
    store_unref(store);
}

static int
adopt_store(struct store_conf *conf, struct arena *arena, struct err *err)
{
    conf->store = store_adopt(conf, err);
    if (conf->store == NULL)
        return -1;
    return arena_defer(arena, let_go_of_store, conf->store) == 0 ? 0
                                                                 : err_set(err, "out of memory");
}

static void
set_quota(const struct cache_conf *cache, const char *name)
{
    if (cache->store != NULL)
        store_set_quota(cache->store->store, slice_of(name), cache->quota_bytes);
}

/* Limits of stores, which others may be using: nothing fails any more. */
static void
set_limits(const struct conf *conf)
{
    for (size_t i = 0; i < conf->stores.count; i++) {
        const struct store_conf *store = conf->stores.items[i];

        store_set_conf(store->store, store);
    }
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];

        set_quota(&site->all.cache, site->name);
    }
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        set_quota(&listener->cache, listener->name);
    }
    limits_apply(conf);
}

static void
let_go_of_limits(void *conf)
{
    limits_release(conf);
}

static void
let_go_of_bans(void *conf)
{
    bans_release(conf);
}

static void
let_go_of_lists(void *conf)
{
    lists_release(conf);
}

static void
let_go_of_geo(void *geo)
{
    geo_release(geo);
}

/* What rules ask. */
static int
adopt_tables(struct conf *conf, struct arena *arena, struct err *err)
{
    if (limits_adopt(conf, err) < 0)
        return -1;
    if (arena_defer(arena, let_go_of_limits, conf) < 0)
        return err_set(err, "out of memory");
    if (bans_adopt(conf, err) < 0)
        return -1;
    if (arena_defer(arena, let_go_of_bans, conf) < 0)
        return err_set(err, "out of memory");
    if (lists_adopt(conf, err) < 0)
        return -1;
    if (arena_defer(arena, let_go_of_lists, conf) < 0)
        return err_set(err, "out of memory");
    if (geo_adopt(&conf->geo, err) < 0)
        return -1;
    if (arena_defer(arena, let_go_of_geo, &conf->geo) < 0)
        return err_set(err, "out of memory");
    return 0;
}

static void
let_go_of_listener(void *listener)
{
    listener_unref(listener);
}

static int
adopt_listener(struct listener_conf *conf, const struct conf *whole, struct arena *arena,
               struct err *err)
{
    if (listener_adopt(conf, err) < 0)
        return -1;
    if (arena_defer(arena, let_go_of_listener, conf->listener) < 0)
        return err_set(err, "out of memory");
    if (conf->tls.place.line == 0 || tls_server_new(conf, whole, arena, err) == 0)
        return 0;
    return err_prefix(err, "listener \"%s\": ", conf->name);
}

/* Of the groups before it, one whose endpoints are vouched for by the same. */
static const struct tls_context *
trusts_the_same(const struct conf *conf, size_t i)
{
    const struct group_conf *group = conf->groups.items[i];

    while (i-- > 0) {
        const struct group_conf *other = conf->groups.items[i];

        if (other->tls.context != NULL && other->tls.verify &&
            slice_equal(slice_of(other->tls.ca), slice_of(group->tls.ca)))
            return other->tls.context;
    }
    return NULL;
}

static int
adopt_group(struct snapshot *snapshot, size_t i, struct err *err)
{
    struct group_conf *group = snapshot->conf.groups.items[i];

    if (group_adopt(group, &snapshot->arena, snapshot->generation, err) < 0)
        return -1;
    if (group->tls.place.line == 0)
        return 0;
    group->tls.context = tls_context_of_group(&snapshot->arena, group,
                                              trusts_the_same(&snapshot->conf, i), err);
    if (group->tls.context != NULL)
        return 0;
    return config_place_prefix(err, &group->tls.place, "group \"%s\": tls: ", group->name);
}

/* ---- certificates */

static void
let_go_of_certificates(void *set)
{
    certificate_set_unref(set);
}

/* Reads no file. */
static int
adopt_certificates(struct certificate_set **set, const struct config_list *certificates,
                   bool staple, struct arena *arena, struct err *err)
{
    if (certificates->count == 0)
        return 0;
    *set = certificate_set_adopt(certificates, staple, err);
    if (*set == NULL)
        return -1;
    if (arena_defer(arena, let_go_of_certificates, *set) < 0)
        return err_set(err, "out of memory");
    return 0;
}

/* A listener's own certificates are what it would show to anyone: without them it
 * need not begin. Sites can wait for theirs, and others are served meanwhile. */
static int
adopt_listener_certificates(struct listener_conf *listener, struct arena *arena, struct err *err)
{
    struct tls_conf *tls = &listener->tls;
    const struct certificate_conf *first;

    if (tls->place.line == 0 || tls->certificates.count == 0)
        return 0;
    first = tls->certificates.items[0];
    if (adopt_certificates(&tls->set, &tls->certificates, tls->staple, arena, err) == 0 &&
        certificate_set_require(tls->set, err) == 0)
        return 0;
    return config_place_prefix(err, &first->place, "listener \"%s\": certificates: ",
                               listener->name);
}

static int
adopt_all_certificates(struct snapshot *snapshot, struct err *err)
{
    struct conf *conf = &snapshot->conf;
    bool staple = false;

    for (size_t i = 0; i < conf->listeners.count; i++) {
        struct listener_conf *listener = conf->listeners.items[i];

        staple |= listener->tls.place.line > 0 && listener->tls.staple;
        if (adopt_listener_certificates(listener, &snapshot->arena, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < conf->sites.count; i++) {
        struct site_conf *site = conf->sites.items[i];

        if (adopt_certificates(&site->set, &site->certificates, staple, &snapshot->arena, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- users */

static void
let_go_of_users(void *conf)
{
    users_release(conf);
}

static int
adopt_users(struct snapshot *snapshot, struct err *err)
{
    if (arena_defer(&snapshot->arena, let_go_of_users, &snapshot->conf) < 0)
        return err_set(err, "out of memory");
    return users_adopt(&snapshot->conf, err);
}

/* ---- filters */

static int
adopt_filter_list(const struct config_list *list, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct filter_conf *filter = list->items[i];

        if (filter->ops->adopt != NULL && filter->ops->adopt(filter, arena, err) < 0)
            return config_place_prefix(err, &filter->place, "filter \"%s\": ", filter->ops->name);
    }
    return 0;
}

static int
adopt_site_filters(const struct site_conf *site, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < site->routes.count; i++) {
        const struct route_conf *route = site->routes.items[i];

        if (adopt_filter_list(&route->filters, arena, err) < 0)
            return -1;
    }
    return adopt_filter_list(&site->all.filters, arena, err);
}

static int
adopt_filters(const struct conf *conf, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < conf->sites.count; i++)
        if (adopt_site_filters(conf->sites.items[i], arena, err) < 0)
            return -1;
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        if (adopt_filter_list(&listener->filters, arena, err) < 0)
            return -1;
    }
    return 0;
}

int
snapshot_adopt(struct snapshot *snapshot, struct err *err)
{
    static _Atomic uint64_t generations;
    struct conf *conf = &snapshot->conf;
    size_t i;

    snapshot->generation = atomic_fetch_add(&generations, 1) + 1;
    for (i = 0; i < conf->access_logs.count; i++) {
        struct access_log_conf *log = conf->access_logs.items[i];

        if (adopt_access_log(log, &snapshot->arena, err) < 0)
            return config_place_prefix(err, &log->place, "access log \"%s\": ", log->name);
    }
    for (i = 0; i < conf->stores.count; i++) {
        struct store_conf *store = conf->stores.items[i];

        if (adopt_store(store, &snapshot->arena, err) < 0)
            return config_place_prefix(err, &store->place, "store \"%s\": ", store->name);
    }
    if (traffic_adopt(conf, &snapshot->arena, err) < 0 ||
        adopt_tables(conf, &snapshot->arena, err) < 0 ||
        adopt_filters(conf, &snapshot->arena, err) < 0)
        return -1;
    for (i = 0; i < conf->groups.count; i++) {
        if (adopt_group(snapshot, i, err) < 0)
            return -1;
    }
    if (adopt_all_certificates(snapshot, err) < 0 ||
        error_pages_adopt(conf, &snapshot->arena, err) < 0)
        return -1;
    if (adopt_users(snapshot, err) < 0)
        return -1;
    for (i = 0; i < conf->listeners.count; i++) {
        if (adopt_listener(conf->listeners.items[i], conf, &snapshot->arena, err) < 0)
            return -1;
    }
    set_limits(conf);
    return 0;
}

struct snapshot *
snapshot_ref(struct snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

void
snapshot_unref(struct snapshot *snapshot)
{
    unsigned before;

    if (snapshot == NULL)
        return;
    before = atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1)
        arena_free_object(snapshot, offsetof(struct snapshot, arena));
}
