/* SPDX-License-Identifier: BSD-2-Clause */
/* files.c - walks a configuration for log files. */
#include "config.h"

#include "server/files.h"

#include "server/schema.h"

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
