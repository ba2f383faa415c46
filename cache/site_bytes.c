/* SPDX-License-Identifier: BSD-2-Clause */
/* site_bytes.c - open addressing by a site's id, which is a hash already.
 *
 * A site of which nothing is left keeps its row until the table is next made
 * anew; names come from the configuration, so there are few.
 */
#include "config.h"

#include "cache/site_bytes.h"

#include <stdlib.h>

#define ROWS_MIN 64

void
site_bytes_init(struct site_bytes *table)
{
    *table = (struct site_bytes){ .rows = NULL };
    pthread_mutex_init(&table->lock, NULL);
}

void
site_bytes_fini(struct site_bytes *table)
{
    free(table->rows);
    table->rows = NULL;
    pthread_mutex_destroy(&table->lock);
}

/* The site's row, or the empty one where it would be; there always is one. */
static struct site_row *
row_of(const struct site_bytes *table, uint32_t site)
{
    size_t at = site & table->mask;

    while (table->rows[at].site != 0 && table->rows[at].site != site)
        at = (at + 1) & table->mask;
    return &table->rows[at];
}

static size_t
count_living(const struct site_bytes *table)
{
    size_t living = 0;

    for (size_t i = 0; table->rows != NULL && i <= table->mask; i++)
        living += table->rows[i].bytes > 0;
    return living;
}

/* Makes the table anew, with room for twice the sites that have something. */
static void
renew(struct site_bytes *table)
{
    struct site_bytes wider = { .mask = ROWS_MIN - 1 };
    size_t living = count_living(table);

    while (wider.mask < living * 2)
        wider.mask = wider.mask * 2 + 1;
    wider.rows = calloc(wider.mask + 1, sizeof(*wider.rows));
    if (wider.rows == NULL)
        return;
    for (size_t i = 0; table->rows != NULL && i <= table->mask; i++)
        if (table->rows[i].bytes > 0)
            *row_of(&wider, table->rows[i].site) = table->rows[i];
    free(table->rows);
    table->rows = wider.rows;
    table->mask = wider.mask;
    table->used = living;
}

void
site_bytes_add(struct site_bytes *table, uint32_t site, uint64_t bytes)
{
    struct site_row *row;

    pthread_mutex_lock(&table->lock);
    if (table->rows == NULL || table->used * 4 >= table->mask * 3)
        renew(table);
    if (table->rows != NULL && site != 0) {
        row = row_of(table, site);
        if (row->site == 0 && table->used < table->mask) {
            row->site = site;
            table->used++;
        }
        if (row->site == site)
            row->bytes += bytes;
    }
    pthread_mutex_unlock(&table->lock);
}

void
site_bytes_subtract(struct site_bytes *table, uint32_t site, uint64_t bytes)
{
    struct site_row *row;

    pthread_mutex_lock(&table->lock);
    if (table->rows != NULL && site != 0) {
        row = row_of(table, site);
        row->bytes -= bytes < row->bytes ? bytes : row->bytes; /* some may not be counted */
    }
    pthread_mutex_unlock(&table->lock);
}

uint64_t
site_bytes_get(struct site_bytes *table, uint32_t site)
{
    uint64_t bytes = 0;

    pthread_mutex_lock(&table->lock);
    if (table->rows != NULL && site != 0)
        bytes = row_of(table, site)->bytes;
    pthread_mutex_unlock(&table->lock);
    return bytes;
}
