/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_places.h - where answers to a URL are kept: which caches it comes to, and
 * under which keys.
 */
#ifndef BASCULE_CACHE_PLACES_H
#define BASCULE_CACHE_PLACES_H

#include "cache/public_url.h"
#include "server/http/exchange.h"

#define CACHE_PLACES_MAX 16

struct cache_place {
    const struct cache_conf *conf;
    const char *site;   /* its name, or the listener's for what belongs to none */
    struct slice key;   /* of the primary object */
};

/* Makes of ex, zeroed but for its arena, the exchange that a GET for this URL would
 * be. It is never sent anywhere, but can be asked what would become of it. */
void cache_places_think(struct exchange *ex, const struct public_url *url);

/* The places for it, by way of any listener, each once. Returns how many. */
unsigned cache_places_find(struct exchange *ex, const struct conf *conf,
                           struct cache_place places[CACHE_PLACES_MAX]);

#endif
