/* SPDX-License-Identifier: BSD-2-Clause */
/* geo_absent.c - in place of geo_maxmind.c where there is no libmaxminddb. */
#include "config.h"

#include "server/policy/geo_database.h"

#include "server/policy/geo.h"

const bool geo_is_built_in = false;

struct geo_database *
geo_database_adopt(const char *path, struct err *err)
{
    err_set(err, "%s: this Bascule was built without libmaxminddb", path);
    return NULL;
}

void
geo_database_unref(struct geo_database *database)
{
    (void)database;
}

bool
geo_country(const struct geo_database *database, const struct ip *ip, char code[3])
{
    (void)database;
    (void)ip;
    (void)code;
    return false;
}

bool
geo_as(const struct geo_database *database, const struct ip *ip, uint32_t *number)
{
    (void)database;
    (void)ip;
    (void)number;
    return false;
}
