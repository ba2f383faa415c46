/* SPDX-License-Identifier: BSD-2-Clause */
/* geo.h - the country and network of an address, from databases in MaxMind's
 * format (libmaxminddb, --with-maxminddb).
 *
 *     geo = { country = "/usr/share/GeoIP/country.mmdb"; as = "/usr/share/GeoIP/asn.mmdb"; };
 *
 * Databases are read into memory by the main thread when a snapshot is adopted (or
 * a command checks), and live in the registry by path, size and time of change: a
 * reload takes a file that is new, and keeps what it has of others.
 */
#ifndef BASCULE_GEO_H
#define BASCULE_GEO_H

#include "server/config/option.h"
#include "server/net/address.h"

struct conf;
struct geo_database;

struct geo_conf {
    struct place place;
    const char *country_path, *as_path;
    struct geo_database *country, *as;
};

extern const struct option geo_options[];

/* Refuses paths when Bascule was built without libmaxminddb. 0, or -1 with err. */
int geo_conf_finish(struct geo_conf *geo, struct err *err);

/* Finds or reads the databases; both or none. Waits for files. 0, or -1 with err, which
 * names file and line. */
int geo_adopt(struct geo_conf *geo, struct err *err);
void geo_release(struct geo_conf *geo);

/* "DE" in code[3], the country where the address is or else where it is registered, in two
 * upper-case letters; false: not known. For any thread, without memory. database may be
 * NULL: nothing is known. */
bool geo_country(const struct geo_database *database, const struct ip *ip, char code[3]);

/* 64500; false: not known. */
bool geo_as(const struct geo_database *database, const struct ip *ip, uint32_t *number);

#endif
