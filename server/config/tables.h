/* SPDX-License-Identifier: BSD-2-Clause */
/* tables.h - are the option tables themselves right? For tests. */
#ifndef BASCULE_CONFIG_TABLES_H
#define BASCULE_CONFIG_TABLES_H

#include "server/base/err.h"
#include "server/config/option.h"

/* Checks a table for a struct of target_bytes and all tables it leads to: names
 * are unique, defaults can be read, every row has its sentence and what its
 * type needs. Returns 0, or -1 with err naming the row. */
int config_check_tables(const struct option *table, size_t target_bytes, struct err *err);

#endif
