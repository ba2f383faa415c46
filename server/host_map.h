/* SPDX-License-Identifier: BSD-2-Clause */
/* host_map.h - which site a host name belongs to.
 *
 * Exact names win over wildcards, and of wildcards the longest. "*.example.com"
 * stands for names with one or more labels more. Filled while a snapshot is
 * built, then read-only: any thread may ask. Strangers choose the names that
 * are looked up, so the hash is keyed and the work bounded.
 */
#ifndef BASCULE_HOST_MAP_H
#define BASCULE_HOST_MAP_H

#include "server/base/arena.h"
#include "server/base/err.h"
#include "server/base/slice.h"

struct host_map;
struct site_conf;

/* A map with room for that many names. NULL when the arena is spent. */
struct host_map *host_map_new(struct arena *arena, size_t names);

/* Puts name ("www.example.com", "*.example.com", "::1") into *clean as it is
 * looked up: lower case, without brackets or a last dot; memory from arena.
 * -1 with err when it is no such name. */
int host_map_clean(struct slice name, struct slice *clean, struct arena *arena,
                   struct err *err);

/* Whether name, in lower case, has the syntax of a host name: labels of letters,
 * digits, "-" and "_", no dot at the end. */
bool host_is_name(struct slice name);

/* Adds a clean name, borrowed. Returns the site that has it already, or NULL. */
struct site_conf *host_map_add(struct host_map *map, struct slice name, struct site_conf *site);

/* The site for names that no other has; NULL at first. */
void host_map_set_default(struct host_map *map, struct site_conf *site);

/* The site of host, which is in lower case, without brackets and port. NULL:
 * it is nobody's. */
struct site_conf *host_map_find(const struct host_map *map, struct slice host);

/* The same without the site for all other names. */
struct site_conf *host_map_find_named(const struct host_map *map, struct slice host);

#endif
