/* SPDX-License-Identifier: BSD-2-Clause */
/* files.h - the files of a configuration that need the supervisor's privileges
 * to open: log files, which it opens for the worker process at once, and
 * certificates, keys and their like, which it opens when asked (opener.h).
 *
 * Both processes walk a configuration with this, so they agree on what there is.
 */
#ifndef BASCULE_FILES_H
#define BASCULE_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/list.h"
#include "server/config/option.h"
#include "server/log/sink.h"

struct conf;
struct log_sink;

/* One of them, as either process remembers it. */
struct held_file {
    struct list link;
    char identity[SINK_IDENTITY_BYTES]; /* of a log sink: "file:/path" */
    uint64_t first_generation;          /* that names it, */
    uint64_t generation;                /* ... and the newest */
    int fd;                             /* supervisor: opened, not sent yet; or -1 */
    bool is_sent;                       /* supervisor: the worker process has it */
    struct log_sink *sink;              /* worker process */
};

/* Notes all files that conf names as wanted by generation, in a list of struct
 * held_file. 0, or -1. */
int files_want(struct list *files, const struct conf *conf, uint64_t generation, struct err *err);

/* Visits the paths of all files that conf wants to read while serving; some more
 * than once. Stops at the first that visit does not like: -1, otherwise 0. */
int files_each_read(const struct conf *conf, int (*visit)(void *arg, const char *path), void *arg);

/* Whether some certificate in conf is that of the local CA; its hosts are put in
 * hosts (allocated; may be NULL): those that the CA may speak for. */
bool files_want_local(const struct conf *conf, struct strings *hosts);

/* The file of this identity, put on the list when it is new. NULL when memory
 * is short. */
struct held_file *files_get(struct list *files, const char *identity);

/* Forgets what no generation from this one on wants. */
void files_drop(struct list *files, uint64_t before_generation);

/* Forgets what this generation was the first to want. */
void files_drop_new(struct list *files, uint64_t generation);

#endif
