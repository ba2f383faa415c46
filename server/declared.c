/* SPDX-License-Identifier: BSD-2-Clause */
/* declared.c - the text of a configuration in a memfd, and some facts beside it. */
#include "config.h"

#include "server/declared.h"

#include "server/base/log.h"
#include "server/config/source.h"
#include "server/files.h"
#include "server/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The packed configuration as a descriptor, for this worker process and later ones. */
static int
store_text(const struct config_source *source, struct err *err)
{
    size_t bytes, at = 0;
    char *block = config_source_pack(source, &bytes);
    int fd = memfd_create("bascule.conf", MFD_CLOEXEC);

    while (block != NULL && fd >= 0 && at < bytes) {
        ssize_t wrote = write(fd, block + at, bytes - at);

        if (wrote < 0 && errno != EINTR)
            break;
        if (wrote > 0)
            at += (size_t)wrote;
    }
    if (block == NULL || fd < 0 || at < bytes) {
        err_errno(err, "no memory for the configuration");
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    free(block);
    return fd;
}

static void
note_log(struct declared *declared, const struct conf *conf)
{
    char identity[SINK_IDENTITY_BYTES];
    const char *path = NULL;

    if (conf->log.to != NULL && log_sink_identify(identity, conf->log.to, NULL) == 0)
        path = log_sink_path(identity);
    snprintf(declared->log_path, sizeof(declared->log_path), "%s", path != NULL ? path : "");
}

/* ---- files to read */

static int
compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
count_path(void *arg, const char *path)
{
    size_t *count = arg;

    (void)path;
    ++*count;
    return 0;
}

static int
note_path(void *arg, const char *path)
{
    struct declared *declared = arg;
    char *copy = strdup(path);

    if (copy == NULL)
        return -1;
    declared->paths[declared->path_count++] = copy;
    return 0;
}

static void
drop_doubles(struct declared *declared)
{
    size_t kept = 0;

    for (size_t i = 0; i < declared->path_count; i++) {
        if (kept > 0 && strcmp(declared->paths[kept - 1], declared->paths[i]) == 0)
            free(declared->paths[i]);
        else
            declared->paths[kept++] = declared->paths[i];
    }
    declared->path_count = kept;
}

static int
note_paths(struct declared *declared, const struct conf *conf, struct err *err)
{
    size_t count = 0;

    files_each_read(conf, count_path, &count);
    declared->paths = calloc(count + 1, sizeof(*declared->paths));
    if (declared->paths == NULL || files_each_read(conf, note_path, declared) < 0)
        return err_set(err, "no memory for the configuration");
    qsort(declared->paths, declared->path_count, sizeof(*declared->paths), compare);
    drop_doubles(declared);
    return 0;
}

bool
declared_names(const struct declared *declared, const char *path)
{
    return declared->path_count > 0 && bsearch(&path, declared->paths, declared->path_count,
                                               sizeof(*declared->paths), compare) != NULL;
}

/* ---- the whole */

int
declared_set(struct declared *declared, uint64_t generation, const struct config_source *source,
             const struct conf *conf, struct err *err)
{
    declared->generation = generation;
    declared->stop_ms = conf->stop_ms;
    declared->wants_local = files_want_local(conf, NULL);
    note_log(declared, conf);
    if (note_paths(declared, conf, err) < 0)
        return -1;
    declared->text_fd = store_text(source, err);
    return declared->text_fd < 0 ? -1 : 0;
}

void
declared_forget(struct declared *declared)
{
    if (declared->text_fd >= 0)
        close(declared->text_fd);
    for (size_t i = 0; i < declared->path_count; i++)
        free(declared->paths[i]);
    free(declared->paths);
    *declared = (struct declared){ .text_fd = -1 };
}

void
declared_follow_log(const struct declared *declared)
{
    struct err err;
    int fd;

    if (declared->log_path[0] == '\0')
        return;
    fd = log_file_open(declared->log_path, &err);
    if (fd < 0) {
        log_error("%s", err.text);
        return;
    }
    dup2(fd, STDERR_FILENO);
    close(fd);
}
