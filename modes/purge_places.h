/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_places.h - in which stores, and by which texts, something is to be purged.
 *
 * A site's routes may be cached in different stores, by different rules on what of
 * a query counts. A purge reaches all of them.
 */
#ifndef BASCULE_PURGE_PLACES_H
#define BASCULE_PURGE_PLACES_H

#include "cache/public_url.h"
#include "cache/purge_job.h"

struct listener_conf;
struct site_conf;
struct store_conf;

struct purge_wish {
    enum purge_kind kind;
    bool is_soft;
    const struct public_url *url;     /* URL and PREFIX */
    struct slice text;                /* the others, as struct purge has it */
    const struct store_conf *only;    /* this store; NULL: all that are used */
};

/* Adds what is wished to job for the stores of a site, or of a forward listener for
 * what belongs to no site. Scratch memory from arena. */
void purge_site(struct purge_job *job, struct arena *arena, const struct site_conf *site,
                const struct purge_wish *wish);
void purge_listener(struct purge_job *job, struct arena *arena,
                    const struct listener_conf *listener, const struct purge_wish *wish);

/* Adds it for one store, with the URL as it is. */
void purge_store(struct purge_job *job, struct arena *arena, const struct store_conf *store,
                 const struct purge_wish *wish);

#endif
