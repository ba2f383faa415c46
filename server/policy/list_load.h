/* SPDX-License-Identifier: BSD-2-Clause */
/* list_load.h - from the files of a list to its content.
 *
 * Everything here may wait for the disk and the supervisor.
 */
#ifndef BASCULE_LIST_LOAD_H
#define BASCULE_LIST_LOAD_H

#include "server/policy/list_content.h"

#define LIST_FILE_PATHS 4u /* a file, or a folder with three */

/* The paths that one of conf->files stands for: itself, or the files in a folder
 * of squidGuard that this kind of list has use for. paths has room for
 * LIST_FILE_PATHS; names are put in text. Returns how many. */
unsigned list_paths(const struct list_conf *conf, struct slice file, const char **paths,
                    struct arena *text);

/* Compiles what conf names. NULL with err: "FILE:LINE: finding". Lines that make no
 * sense but are few are told in the log. */
struct list_content *list_load(const struct list_conf *conf, bool is_reload, struct err *err);

/* The same for bytes as if from a file (name is for messages): for tests. 0, or -1
 * with err. */
int list_load_bytes(struct list_content *content, const struct list_conf *conf,
                    struct slice bytes, const char *name, struct err *err);

#endif
