/* SPDX-License-Identifier: BSD-2-Clause */
/* check_folders.h - whether the worker process could put other files in the place of
 * those that are opened for it. */
#ifndef BASCULE_CHECK_FOLDERS_H
#define BASCULE_CHECK_FOLDERS_H

struct conf;
struct identity;

/* Warns on stderr of files named in the configuration at conf_path that lie in a folder
 * where the worker process, which runs as worker, may write. Where that is who we are,
 * nothing is opened for it and nothing is said. */
void check_folders(const char *conf_path, const struct conf *conf, const struct identity *worker);

#endif
