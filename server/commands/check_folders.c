/* SPDX-License-Identifier: BSD-2-Clause */
/* check_folders.c - looks at the folders on the way to each file.
 *
 * The supervisor opens what the configuration names and the worker process may not
 * (server/opener.h), and it follows links. Who may write in one of those folders can
 * make the name lead to any file of root's.
 */
#include "config.h"

#include "server/commands/check_folders.h"

#include "server/files.h"
#include "server/privileges.h"

#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GROUPS_MAX 256

struct judge {
    const char *conf_path;
    const struct identity *worker;
    gid_t groups[GROUPS_MAX];
    int group_count;
};

static bool
is_member(const struct judge *judge, gid_t gid)
{
    for (int i = 0; i < judge->group_count; i++)
        if (judge->groups[i] == gid)
            return true;
    return false;
}

/* In a sticky folder everybody changes only what is his own (unlink(2)). */
static bool
may_write(const struct judge *judge, const char *folder)
{
    struct stat st;

    if (stat(folder, &st) < 0)
        return false;
    if (st.st_uid == judge->worker->uid)
        return true; /* he can change the mode, too */
    if ((st.st_mode & S_ISVTX) != 0)
        return false;
    return (st.st_mode & (is_member(judge, st.st_gid) ? S_IWGRP : S_IWOTH)) != 0;
}

/* Cuts path, which is absolute, to the innermost of its folders where the worker process
 * may write. */
static bool
find_open_folder(const struct judge *judge, char *path)
{
    char *slash;

    while ((slash = strrchr(path, '/')) != NULL) {
        bool is_root = slash == path;

        slash[is_root ? 1 : 0] = '\0';
        if (may_write(judge, path))
            return true;
        if (is_root)
            break;
    }
    return false;
}

/* As it is written, and as links lead. */
static int
on_path(void *arg, const char *path)
{
    const struct judge *judge = arg;
    char folder[PATH_MAX];

    snprintf(folder, sizeof(folder), "%s", path);
    if (find_open_folder(judge, folder) ||
        (realpath(path, folder) != NULL && find_open_folder(judge, folder)))
        fprintf(stderr,
                "%s: warning: %s: user \"%s\", as whom the worker process runs, may write in %s: "
                "who takes it over could read any file through a link there\n",
                judge->conf_path, path, judge->worker->user, folder);
    return 0;
}

void
check_folders(const char *conf_path, const struct conf *conf, const struct identity *worker)
{
    struct judge judge = { .conf_path = conf_path, .worker = worker, .group_count = GROUPS_MAX };

    if (!worker->is_other)
        return;
    if (getgrouplist(worker->user, worker->gid, judge.groups, &judge.group_count) < 0)
        judge.group_count = GROUPS_MAX; /* those that there was room for */
    files_each_read(conf, on_path, &judge);
}
