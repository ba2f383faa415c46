/* SPDX-License-Identifier: BSD-2-Clause */
/* text_set.h - is this text one of many, or does it begin (or end) as one of them?
 *
 * Sorted arrays, asked by halving: what strangers send cannot make it slow. Built
 * once, then read-only.
 */
#ifndef BASCULE_TEXT_SET_H
#define BASCULE_TEXT_SET_H

#include "server/base/arena.h"

struct texts {
    struct slice *items; /* sorted */
    size_t count;
};

struct text_set {
    struct texts whole, open;
    bool from_end;
    /* For text_set_may_have(): marks of whole ones, as bits, and for open ones the length
     * of the shortest, with the bytes that stand where it ends. */
    uint64_t marks;
    size_t open_bytes;
    uint64_t open_ends[4];
};

struct text_pattern {
    struct slice text;
    bool is_open; /* what begins with text (from_end: ends with it) is meant too */
};

/* Borrows the texts, copies the array. from_end: open patterns are for ends, of names of
 * hosts. NULL when the arena is spent. */
struct text_set *text_set_new(struct arena *arena, const struct text_pattern *patterns,
                              size_t count, bool from_end);

bool text_set_has(const struct text_set *set, struct slice text);

/* Of length and first byte: texts of the same length are common. */
static inline unsigned
text_set_mark(struct slice text)
{
    unsigned first = text.bytes > 0 ? (unsigned char)text.data[0] : 0;

    return (unsigned)(text.bytes + 11 * first) & 63;
}

/* A look that lets most texts pass by: false for those that are not in the set. */
static inline bool
text_set_may_have(const struct text_set *set, struct slice text)
{
    unsigned char end;

    if ((set->marks >> text_set_mark(text) & 1) != 0)
        return true;
    if (text.bytes < set->open_bytes || set->open.count == 0)
        return false;
    if (set->open_bytes == 0)
        return true;
    end = (unsigned char)text.data[set->from_end ? text.bytes - set->open_bytes
                                                 : set->open_bytes - 1];
    return (set->open_ends[end / 64] >> (end % 64) & 1) != 0;
}

#endif
