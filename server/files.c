/* SPDX-License-Identifier: BSD-2-Clause */
/* files.c - walks a configuration for the files that it names. */
#include "config.h"

#include "server/files.h"

#include "server/certificates/local_ca.h"
#include "server/policy/list.h"
#include "server/schema.h"
#include "server/users/users.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct held_file *
files_get(struct list *files, const char *identity)
{
    struct held_file *file;

    list_each(link, files) {
        file = container_of(link, struct held_file, link);
        if (strcmp(file->identity, identity) == 0)
            return file;
    }
    file = calloc(1, sizeof(*file));
    if (file == NULL)
        return NULL;
    snprintf(file->identity, sizeof(file->identity), "%s", identity);
    file->fd = -1;
    list_push_back(files, &file->link);
    return file;
}

/* to may be a sink of another kind, which needs no file. */
static int
want(struct list *files, const char *to, uint64_t generation, struct err *err)
{
    char identity[SINK_IDENTITY_BYTES];
    struct held_file *file;

    if (to == NULL)
        return 0;
    if (log_sink_identify(identity, to, err) < 0)
        return -1;
    if (log_sink_path(identity) == NULL)
        return 0;
    file = files_get(files, identity);
    if (file == NULL)
        return err_set(err, "%s: out of memory", to);
    if (file->first_generation == 0)
        file->first_generation = generation;
    file->generation = generation;
    return 0;
}

int
files_want(struct list *files, const struct conf *conf, uint64_t generation, struct err *err)
{
    if (want(files, conf->log.to, generation, err) < 0)
        return -1;
    for (size_t i = 0; i < conf->access_logs.count; i++) {
        const struct access_log_conf *log = conf->access_logs.items[i];

        if (want(files, log->to, generation, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- what is read */

struct walk {
    int (*visit)(void *arg, const char *path);
    void *arg;
};

static int
visit(const struct walk *walk, const char *path)
{
    return path == NULL ? 0 : walk->visit(walk->arg, path);
}

static int
visit_certificate(const struct walk *walk, const struct certificate_conf *conf)
{
    if (conf->chain == NULL)
        return 0;
    return visit(walk, local_ca_path(conf->chain)) < 0 || visit(walk, conf->key) < 0 ? -1 : 0;
}

/* client: what is demanded of clients beside them. */
static int
visit_certificates(const struct walk *walk, const struct config_list *certificates,
                   const struct client_certificate_conf *client)
{
    for (size_t i = 0; i < certificates->count; i++)
        if (visit_certificate(walk, certificates->items[i]) < 0)
            return -1;
    return visit(walk, client->ca) < 0 || visit(walk, client->crl) < 0 ? -1 : 0;
}

static int
visit_users(const struct walk *walk, const struct users_conf *users)
{
    const char *path;

    if (users->ops->file == NULL)
        return 0;
    for (unsigned i = 0; (path = users->ops->file(users, i)) != NULL; i++)
        if (visit(walk, path) < 0)
            return -1;
    return 0;
}

/* Whether it is a folder is known by who opens it. */
static int
visit_list(const struct walk *walk, const struct list_conf *list)
{
    static const char *const names[] = { "domains", "urls", "expressions" };
    char path[PATH_MAX];

    for (size_t i = 0; i < list->files.count; i++) {
        const char *file = list->files.items[i].data;

        if (visit(walk, file) < 0)
            return -1;
        if (list->format != LIST_AUTO && list->format != LIST_SQUIDGUARD)
            continue;
        for (size_t j = 0; j < ARRAY_COUNT(names); j++)
            if (snprintf(path, sizeof(path), "%s/%s", file, names[j]) < (int)sizeof(path) &&
                visit(walk, path) < 0)
                return -1;
    }
    return 0;
}

int
files_each_read(const struct conf *conf, int (*on_path)(void *arg, const char *path), void *arg)
{
    const struct walk walk = { on_path, arg };

    for (size_t i = 0; i < conf->access_logs.count; i++) {
        const struct access_log_conf *log = conf->access_logs.items[i];

        if (visit(&walk, log->privacy.key_path) < 0)
            return -1;
    }
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];
        const struct tls_conf *tls = &listener->tls;

        if (visit_certificates(&walk, &tls->certificates, &tls->client) < 0 ||
            visit(&walk, tls->ticket_keys) < 0 || visit(&walk, listener->upstream_ca) < 0 ||
            visit(&walk, listener->error_page.path) < 0)
            return -1;
    }
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];

        if (visit_certificates(&walk, &site->certificates, &site->client) < 0 ||
            visit(&walk, site->error_page.path) < 0)
            return -1;
    }
    for (size_t i = 0; i < conf->users.count; i++)
        if (visit_users(&walk, conf->users.items[i]) < 0)
            return -1;
    for (size_t i = 0; i < conf->lists.count; i++)
        if (visit_list(&walk, conf->lists.items[i]) < 0)
            return -1;
    if (visit(&walk, conf->geo.country_path) < 0 || visit(&walk, conf->geo.as_path) < 0)
        return -1;
    for (size_t i = 0; i < conf->groups.count; i++) {
        const struct group_conf *group = conf->groups.items[i];

        if (visit(&walk, group->tls.ca) < 0 || visit_certificate(&walk, &group->tls.client) < 0)
            return -1;
    }
    return 0;
}

/* ---- the local CA */

static bool
has_local(const struct config_list *certificates)
{
    for (size_t i = 0; i < certificates->count; i++) {
        const struct certificate_conf *conf = certificates->items[i];

        if (strcmp(conf->chain, LOCAL_CERTIFICATE) == 0)
            return true;
    }
    return false;
}

static void
add_hosts(struct strings *hosts, const struct site_conf *site)
{
    for (size_t i = 0; i < site->hosts.count; i++) {
        struct slice *more;

        if (!local_ca_may(site->hosts.items[i]))
            continue;
        more = reallocarray(hosts->items, hosts->count + 1, sizeof(*more));
        if (more == NULL)
            return;
        hosts->items = more;
        hosts->items[hosts->count++] = site->hosts.items[i];
    }
}

/* A listener's certificate may be shown for any site without one of its own. */
bool
files_want_local(const struct conf *conf, struct strings *hosts)
{
    bool has_listener = false, has_any;

    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        has_listener |= has_local(&listener->tls.certificates);
    }
    has_any = has_listener;
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];
        bool is_local = has_listener;

        if (site->certificates.count > 0)
            is_local = has_local(&site->certificates);
        has_any |= is_local;
        if (is_local && hosts != NULL)
            add_hosts(hosts, site);
    }
    return has_any;
}

/* ---- what is held */

static void
free_file(struct held_file *file)
{
    list_remove(&file->link);
    log_sink_unref(file->sink);
    if (file->fd >= 0)
        close(file->fd);
    free(file);
}

void
files_drop(struct list *files, uint64_t before_generation)
{
    list_each(link, files) {
        struct held_file *file = container_of(link, struct held_file, link);

        if (file->generation < before_generation)
            free_file(file);
    }
}

void
files_drop_new(struct list *files, uint64_t generation)
{
    list_each(link, files) {
        struct held_file *file = container_of(link, struct held_file, link);

        if (file->first_generation == generation)
            free_file(file);
    }
}
