/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_table.h - what was purged: tags by hash, prefixes newest first.
 *
 * Knows neither threads nor files: purge.c sees to those. A purge with number P
 * concerns the objects whose seq is lower than P; of purges of one thing only
 * the newest is kept.
 */
#ifndef BASCULE_CACHE_PURGE_TABLE_H
#define BASCULE_CACHE_PURGE_TABLE_H

#include "cache/purge.h"

struct purge_row {
    uint64_t tag;                /* 0: an empty row */
    uint64_t hard_seq, soft_seq; /* 0: never */
};

/* Open addressing by tag, which is a hash already; never full. */
struct purge_tags {
    size_t mask, used;
    struct purge_row rows[];
};

struct purge_prefix {
    struct list link;
    uint64_t seq;
    bool is_soft;
    struct slice text;
    char copy[];
};

struct purge_table {
    struct purge_tags *tags;
    struct list prefixes;
    unsigned prefix_count;
    uint64_t prefix_bytes;
};

/* False when memory is short. */
bool purge_table_init(struct purge_table *table);
void purge_table_fini(struct purge_table *table);

/* What the purges after that number say about an object. */
enum purge_verdict purge_table_judge(const struct purge_table *table, uint64_t after,
                                     const uint64_t *tags, unsigned tag_count, struct slice url);

/* The tag's row, or NULL. */
const struct purge_row *purge_tags_find(const struct purge_tags *tags, uint64_t tag);

/* Whether one more tag makes it necessary to copy the tags to a larger table. */
bool purge_tags_are_full(const struct purge_tags *tags);

/* A table with room for more, with the rows that have a purge after that
 * number. To be freed; NULL when memory is short. */
struct purge_tags *purge_tags_copy(const struct purge_tags *tags, uint64_t after);

/* Writes down a purge; there must be room for its tag. */
void purge_tags_add(struct purge_tags *tags, uint64_t tag, uint64_t seq, bool is_soft);

/* A prefix to be added; to be freed if it is not. NULL when memory is short. */
struct purge_prefix *purge_prefix_new(struct slice text);

/* How many purges of prefixes this one makes superfluous. */
unsigned purge_table_covered(const struct purge_table *table, struct slice text, bool is_soft);

/* Takes prefix, which is newer than all others, and drops what it covers. */
void purge_table_add_prefix(struct purge_table *table, struct purge_prefix *prefix, uint64_t seq,
                            bool is_soft);

/* Drops the prefixes purged up to that number. */
void purge_table_forget_prefixes(struct purge_table *table, uint64_t seq);

#endif
