/* SPDX-License-Identifier: BSD-2-Clause */
/* account_table.h - what a file of users and one of groups held when they were read:
 * a hash table, read-only once made, counted by reference.
 */
#ifndef BASCULE_ACCOUNT_TABLE_H
#define BASCULE_ACCOUNT_TABLE_H

#include "server/users/account_file.h"

/* Makes the table of the text of both files; groups is empty when there is none.
 * NULL with err: file and line first. The caller has the only reference. */
struct account_table *account_table_new(const struct account_source *source, struct slice users,
                                        struct slice groups, struct err *err);

struct account_table *account_table_ref(struct account_table *table);

uint64_t account_table_version(const struct account_table *table);

#endif
