/* SPDX-License-Identifier: BSD-2-Clause */
/* site_bytes.h - how many bytes each site has in a tier.
 *
 * A table under a lock of its own that is held for a few nanoseconds: for
 * what is stored and evicted, not for what is found. Any thread.
 */
#ifndef BASCULE_CACHE_SITE_BYTES_H
#define BASCULE_CACHE_SITE_BYTES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct site_row {
    uint32_t site;  /* 0: an empty row */
    uint64_t bytes;
};

struct site_bytes {
    pthread_mutex_t lock; /* guards all of it */
    struct site_row *rows;
    size_t mask, used;
};

void site_bytes_init(struct site_bytes *table);
void site_bytes_fini(struct site_bytes *table);

/* Counts bytes for a site, or no longer. When memory is short a new site is
 * not counted. */
void site_bytes_add(struct site_bytes *table, uint32_t site, uint64_t bytes);
void site_bytes_subtract(struct site_bytes *table, uint32_t site, uint64_t bytes);

uint64_t site_bytes_get(struct site_bytes *table, uint32_t site);

#endif
