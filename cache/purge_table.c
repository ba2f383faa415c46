/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_table.c - purges as rows of numbers, and as a list of prefixes. */
#include "config.h"

#include "cache/purge_table.h"

#include <stdlib.h>

#define ROWS_MIN 64u

static struct purge_tags *
tags_new(size_t rows)
{
    struct purge_tags *tags = calloc(1, sizeof(*tags) + rows * sizeof(tags->rows[0]));

    if (tags != NULL)
        tags->mask = rows - 1;
    return tags;
}

bool
purge_table_init(struct purge_table *table)
{
    *table = (struct purge_table){ .tags = tags_new(ROWS_MIN) };
    list_init(&table->prefixes);
    return table->tags != NULL;
}

void
purge_table_fini(struct purge_table *table)
{
    purge_table_forget_prefixes(table, UINT64_MAX);
    free(table->tags);
    table->tags = NULL;
}

/* ---- tags */

/* Where the tag's row is, or would be. */
static size_t
place_of(const struct purge_tags *tags, uint64_t tag)
{
    size_t at = tag & tags->mask;

    while (tags->rows[at].tag != 0 && tags->rows[at].tag != tag)
        at = (at + 1) & tags->mask;
    return at;
}

const struct purge_row *
purge_tags_find(const struct purge_tags *tags, uint64_t tag)
{
    const struct purge_row *row = &tags->rows[place_of(tags, tag)];

    return row->tag == tag && tag != 0 ? row : NULL;
}

bool
purge_tags_are_full(const struct purge_tags *tags)
{
    return (tags->used + 1) * 3 > (tags->mask + 1) * 2;
}

static bool
row_is_after(const struct purge_row *row, uint64_t seq)
{
    return row->tag != 0 && (row->hard_seq > seq || row->soft_seq > seq);
}

struct purge_tags *
purge_tags_copy(const struct purge_tags *tags, uint64_t after)
{
    size_t count = 0, rows = ROWS_MIN;
    struct purge_tags *copy;

    for (size_t i = 0; i <= tags->mask; i++)
        count += row_is_after(&tags->rows[i], after);
    while (rows < (count + 1) * 2)
        rows *= 2;
    copy = tags_new(rows);
    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i <= tags->mask; i++)
        if (row_is_after(&tags->rows[i], after))
            copy->rows[place_of(copy, tags->rows[i].tag)] = tags->rows[i];
    copy->used = count;
    return copy;
}

void
purge_tags_add(struct purge_tags *tags, uint64_t tag, uint64_t seq, bool is_soft)
{
    struct purge_row *row = &tags->rows[place_of(tags, tag)];
    uint64_t *newest = is_soft ? &row->soft_seq : &row->hard_seq;

    if (row->tag == 0) {
        must(tag != 0 && tags->used < tags->mask);
        row->tag = tag;
        tags->used++;
    }
    if (*newest < seq)
        *newest = seq;
    if (row->soft_seq < row->hard_seq)
        row->soft_seq = 0; /* whom that concerned is gone now */
}

/* ---- prefixes */

struct purge_prefix *
purge_prefix_new(struct slice text)
{
    struct purge_prefix *prefix = malloc(sizeof(*prefix) + text.bytes);

    if (prefix == NULL)
        return NULL;
    list_init(&prefix->link);
    prefix->text = slice_make(prefix->copy, text.bytes);
    if (text.bytes > 0)
        memcpy(prefix->copy, text.data, text.bytes);
    return prefix;
}

/* Whether whom the older purge concerns, the one of text concerns as much. */
static bool
is_covered(const struct purge_prefix *older, struct slice text, bool is_soft)
{
    return (older->is_soft || !is_soft) && slice_starts_with(older->text, text);
}

unsigned
purge_table_covered(const struct purge_table *table, struct slice text, bool is_soft)
{
    unsigned count = 0;

    list_each(link, &table->prefixes)
        count += is_covered(container_of(link, struct purge_prefix, link), text, is_soft);
    return count;
}

static void
drop(struct purge_table *table, struct purge_prefix *prefix)
{
    list_remove(&prefix->link);
    table->prefix_count--;
    table->prefix_bytes -= prefix->text.bytes;
    free(prefix);
}

void
purge_table_add_prefix(struct purge_table *table, struct purge_prefix *prefix, uint64_t seq,
                       bool is_soft)
{
    list_each(link, &table->prefixes) {
        struct purge_prefix *older = container_of(link, struct purge_prefix, link);

        if (is_covered(older, prefix->text, is_soft))
            drop(table, older);
    }
    prefix->seq = seq;
    prefix->is_soft = is_soft;
    list_push_front(&table->prefixes, &prefix->link);
    table->prefix_count++;
    table->prefix_bytes += prefix->text.bytes;
}

void
purge_table_forget_prefixes(struct purge_table *table, uint64_t seq)
{
    while (!list_is_empty(&table->prefixes)) {
        struct purge_prefix *oldest =
            container_of(table->prefixes.prev, struct purge_prefix, link);

        if (oldest->seq > seq)
            return;
        drop(table, oldest);
    }
}

/* ---- judging */

static enum purge_verdict
worse(enum purge_verdict a, enum purge_verdict b)
{
    return a > b ? a : b;
}

static enum purge_verdict
judge_tag(const struct purge_tags *tags, uint64_t after, uint64_t tag)
{
    const struct purge_row *row = purge_tags_find(tags, tag);

    if (row == NULL)
        return PURGE_NONE;
    if (row->hard_seq > after)
        return PURGE_HARD;
    return row->soft_seq > after ? PURGE_SOFT : PURGE_NONE;
}

static enum purge_verdict
judge_url(const struct list *prefixes, uint64_t after, struct slice url)
{
    enum purge_verdict verdict = PURGE_NONE;

    list_each(link, prefixes) {
        const struct purge_prefix *prefix = container_of(link, struct purge_prefix, link);

        if (prefix->seq <= after || verdict == PURGE_HARD)
            break;
        if (slice_starts_with(url, prefix->text))
            verdict = worse(verdict, prefix->is_soft ? PURGE_SOFT : PURGE_HARD);
    }
    return verdict;
}

enum purge_verdict
purge_table_judge(const struct purge_table *table, uint64_t after, const uint64_t *tags,
                  unsigned tag_count, struct slice url)
{
    enum purge_verdict verdict = PURGE_NONE;

    for (unsigned i = 0; i < tag_count && verdict != PURGE_HARD; i++)
        verdict = worse(verdict, judge_tag(table->tags, after, tags[i]));
    if (verdict != PURGE_HARD)
        verdict = worse(verdict, judge_url(&table->prefixes, after, url));
    return verdict;
}
