/* SPDX-License-Identifier: BSD-2-Clause */
/* geo_database.h - what is asked of a database; without libmaxminddb there is none. */
#ifndef BASCULE_GEO_DATABASE_H
#define BASCULE_GEO_DATABASE_H

#include <stdbool.h>

#include "server/base/err.h"

struct geo_database;

/* Whether this Bascule can read databases. */
extern const bool geo_is_built_in;

/* The database in this file as it is now, one reference counted. NULL with err, which
 * begins with the path. */
struct geo_database *geo_database_adopt(const char *path, struct err *err);

/* NULL is fine. */
void geo_database_unref(struct geo_database *database);

#endif
