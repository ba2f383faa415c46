/* SPDX-License-Identifier: BSD-2-Clause */
/* account_file.h - files of users, a line each, and of groups.
 *
 *     account_file (paths, in the registry) --> account_table (what was in them when last good)
 *
 * Read when a configuration is, and again when a file changes; one that is no good then
 * changes nothing, and the log says which line it is.
 */
#ifndef BASCULE_ACCOUNT_FILE_H
#define BASCULE_ACCOUNT_FILE_H

#include "server/base/arena.h"
#include "server/base/err.h"

struct account {
    struct slice name;
    struct slice secrets[2]; /* as the format's parse left them, NUL-terminated */
    const struct slice *groups;
    unsigned group_count;
};

/* What is read, and how. */
struct account_source {
    const char *kind;   /* of users, for the identity */
    const char *file;   /* USER:REST */
    const char *groups; /* GROUP: USER USER ...; NULL: none */
    const char *realm;  /* for parse; NULL: none */
    int variant;        /* the same */
    /* Makes secrets of what follows the name: 1, 0: the line is for somebody else, or -1
     * with err. A user may have several lines if they fill different secrets. */
    int (*parse)(const struct account_source *source, struct account *account, struct slice rest,
                 struct arena *arena, struct err *err);
};

struct account_file;
struct account_table;

/* Reads the files. NULL with err, which names file and line. Copies source. Give back with
 * account_file_unref(). */
struct account_file *account_file_adopt(const struct account_source *source, struct err *err);
void account_file_unref(struct account_file *file); /* NULL is fine */

/* Reads them again: 1: they hold something new, 0: as before, -1 with err: they are no
 * good, and what was there stays. From any thread. */
int account_file_reload(struct account_file *file, struct err *err);

/* Of the table that account_file_take() would lend. */
uint64_t account_file_version(const struct account_file *file);

/* What the files hold now: for as long as it is not given back. */
const struct account_table *account_file_take(struct account_file *file);
void account_table_give(const struct account_table *table);

/* NULL: there is no such user. */
const struct account *account_table_find(const struct account_table *table, struct slice name);

/* The account to do the work for when there is no such user: always the same for one name,
 * so that nobody can tell by the time it takes. NULL: there are no users. */
const struct account *account_table_decoy(const struct account_table *table, struct slice name);

/* Whether some account has this secret. */
bool account_table_has(const struct account_table *table, unsigned secret);

#endif
