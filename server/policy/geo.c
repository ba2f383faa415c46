/* SPDX-License-Identifier: BSD-2-Clause */
/* geo.c - which databases there are. */
#include "config.h"

#include "server/policy/geo.h"

#include "server/policy/geo_database.h"

const struct option geo_options[] = {
    OPTION_PLACE(struct geo_conf, place),
    { .name = "country", .type = OPTION_STRING, .offset = offsetof(struct geo_conf, country_path),
      .text = "Database of countries in MaxMind's format (GeoLite2-Country.mmdb or one like it)." },
    { .name = "as", .type = OPTION_STRING, .offset = offsetof(struct geo_conf, as_path),
      .text = "Database of autonomous systems in the same format (GeoLite2-ASN.mmdb)." },
    { .name = NULL },
};

static int
check_path(const char *option, const char *path, struct err *err)
{
    if (path == NULL)
        return 0;
    if (!geo_is_built_in)
        return err_set(err, "%s: this Bascule was built without libmaxminddb, and cannot read "
                       "databases of addresses", option);
    return path[0] == '/' ? 0 : err_set(err, "%s: \"%s\" is not an absolute path", option, path);
}

int
geo_conf_finish(struct geo_conf *geo, struct err *err)
{
    return check_path("country", geo->country_path, err) < 0 ||
           check_path("as", geo->as_path, err) < 0 ? -1 : 0;
}

static int
adopt(const struct geo_conf *geo, const char *option, const char *path,
      struct geo_database **database, struct err *err)
{
    if (path == NULL)
        return 0;
    *database = geo_database_adopt(path, err);
    if (*database != NULL)
        return 0;
    return err_prefix(err, "%s:%u: geo: %s: ", geo->place.file, geo->place.line, option);
}

int
geo_adopt(struct geo_conf *geo, struct err *err)
{
    if (adopt(geo, "country", geo->country_path, &geo->country, err) == 0 &&
        adopt(geo, "as", geo->as_path, &geo->as, err) == 0)
        return 0;
    geo_release(geo);
    return -1;
}

void
geo_release(struct geo_conf *geo)
{
    geo_database_unref(geo->country);
    geo_database_unref(geo->as);
    geo->country = NULL;
    geo->as = NULL;
}
