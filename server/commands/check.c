/* SPDX-License-Identifier: BSD-2-Clause */
/* check.c - reads and checks a configuration as a start would, without serving. */
#include "config.h"

#include "server/commands/members.h"

#include "server/commands/check_files.h"
#include "server/commands/check_folders.h"
#include "server/commands/policy_parts.h"
#include "server/config/reader.h"
#include "server/privileges.h"
#include "server/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

static const struct flag flags[] = {
    CONF_FLAG,
    { .name = NULL },
};

static const char *
plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* The configuration is good by itself; root would still have to become its user. */
static int
write_good(const struct arguments *arguments, const char *path, struct snapshot *snapshot)
{
    const struct conf *conf = &snapshot->conf;
    struct identity identity;
    struct err err;

    if (identity_find(&identity, conf->user, conf->user_group, &err) < 0) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        return 1;
    }
    if (check_files(conf) > 0 || policy_parts_check(snapshot, arguments->hooks) > 0)
        return 1;
    check_folders(path, conf, &identity);
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
    status = snapshot != NULL ? write_good(arguments, path, snapshot) : write_bad(&source, &err);
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
