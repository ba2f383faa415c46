/* SPDX-License-Identifier: BSD-2-Clause */
/* check.c - reads and checks a configuration as a start would, without serving. */
#include "config.h"

#include "server/commands/members.h"

#include "server/config/reader.h"
#include "server/privileges.h"
#include "server/snapshot.h"
#include "server/tls/certificates.h"
#include "server/tls/local_ca.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct flag flags[] = {
    CONF_FLAG,
    { .name = NULL },
};

static const char *
plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* ---- files that it names */

/* The local CA's is made at the start. */
static bool
is_made_later(const struct certificate_conf *conf)
{
    return strcmp(conf->chain, LOCAL_CERTIFICATE) == 0 &&
           access(local_ca_path(conf->chain), F_OK) < 0 && errno == ENOENT;
}

/* How many are no good. what and name say who wants them. */
static unsigned
check_certificates(const struct config_list *certificates, const char *what, const char *name)
{
    const struct certificate_conf *first = certificates->count > 0 ? certificates->items[0] : NULL;
    struct bundle *bundle;
    struct err err;

    if (first == NULL || is_made_later(first))
        return 0;
    bundle = bundle_load(certificates, &err);
    if (bundle == NULL) {
        fprintf(stderr, "%s:%u: %s \"%s\": certificates: %s\n", first->place.file,
                first->place.line, what, name, err.text);
        return 1;
    }
    bundle_unref(bundle);
    return 0;
}

static unsigned
check_files(const struct conf *conf)
{
    unsigned bad = 0;

    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        bad += check_certificates(&listener->tls.certificates, "listener", listener->name);
    }
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];

        bad += check_certificates(&site->certificates, "site", site->name);
    }
    for (size_t i = 0; i < conf->groups.count; i++) {
        struct group_conf *group = conf->groups.items[i];
        struct certificate_conf client = group->tls.client;
        void *items[] = { &client };
        const struct config_list one = { items, client.chain != NULL };

        client.place = group->tls.place;
        bad += check_certificates(&one, "group", group->name);
    }
    return bad;
}

/* The configuration is good by itself; root would still have to become its user. */
static int
write_good(const char *path, const struct conf *conf)
{
    struct identity identity;
    struct err err;

    if (identity_find(&identity, conf->user, conf->user_group, &err) < 0) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        return 1;
    }
    if (check_files(conf) > 0)
        return 1;
    printf("%s: ok: %zu listener%s, %zu site%s, %zu group%s\n", path, conf->listeners.count,
           plural(conf->listeners.count), conf->sites.count, plural(conf->sites.count),
           conf->groups.count, plural(conf->groups.count));
    return 0;
}

/* Errors of reading are all told at once; what follows from several options
 * together is looked at when there are none. */
static int
write_bad(const struct config_source *source, const struct err *first)
{
    struct config_errors *all = calloc(1, sizeof(*all));
    struct conf conf = { 0 };
    struct arena arena;
    struct err err;

    arena_init(&arena, NULL, (size_t)1 << 30);
    if (all == NULL ||
        config_source_read(source, conf_options, &conf, &arena, &err, all) == 0 || all->count == 0)
        fprintf(stderr, "%s\n", first->text);
    for (size_t i = 0; all != NULL && i < all->count; i++)
        fprintf(stderr, "%s\n", all->items[i].text);
    arena_fini(&arena);
    free(all);
    return 1;
}

static int
run(const struct arguments *arguments)
{
    const char *path = arguments_conf(arguments);
    struct config_source source;
    struct snapshot *snapshot;
    struct err err;
    int status;

    if (config_load(path, &source, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    snapshot = snapshot_new(&source, &err);
    status = snapshot != NULL ? write_good(path, &snapshot->conf) : write_bad(&source, &err);
    snapshot_unref(snapshot);
    config_source_fini(&source);
    return status;
}

const struct command check_command = {
    .name = "check",
    .usage = "[-c FILE]",
    .text = "Checks a configuration file and says what is wrong with it.",
    .flags = flags,
    .run = run,
};
