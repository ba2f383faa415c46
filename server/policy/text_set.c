/* SPDX-License-Identifier: BSD-2-Clause */
/* text_set.c - two sorted arrays: texts, and beginnings.
 *
 * Of two beginnings one of which begins with the other, the shorter does for both.
 * So none is the beginning of another, and the only one that a text can begin
 * with is the last that is not behind it in the order.
 *
 * From the end: the same with the order of bytes turned round.
 */
#include "config.h"

#include "server/policy/text_set.h"

#include <stdlib.h>

static int
compare_forward(struct slice a, struct slice b)
{
    size_t bytes = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = bytes > 0 ? memcmp(a.data, b.data, bytes) : 0;

    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int
compare_backward(struct slice a, struct slice b)
{
    while (a.bytes > 0 && b.bytes > 0) {
        unsigned char x = (unsigned char)a.data[--a.bytes];
        unsigned char y = (unsigned char)b.data[--b.bytes];

        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a.bytes > 0) - (b.bytes > 0);
}

static int
sort_forward(const void *a, const void *b)
{
    return compare_forward(*(const struct slice *)a, *(const struct slice *)b);
}

static int
sort_backward(const void *a, const void *b)
{
    return compare_backward(*(const struct slice *)a, *(const struct slice *)b);
}

static bool
is_covered(struct slice text, struct slice open, bool from_end)
{
    if (!from_end)
        return slice_starts_with(text, open);
    return text.bytes >= open.bytes && slice_equal(slice_skip(text, text.bytes - open.bytes), open);
}

/* Drops what an earlier one, which is shorter, stands for. */
static void
thin_out(struct texts *open, bool from_end)
{
    size_t kept = 0;

    for (size_t i = 0; i < open->count; i++)
        if (kept == 0 || !is_covered(open->items[i], open->items[kept - 1], from_end))
            open->items[kept++] = open->items[i];
    open->count = kept;
}

/* For text_set_may_have(). */
static void
note_marks(struct text_set *set)
{
    for (size_t i = 0; i < set->whole.count; i++)
        set->marks |= UINT64_C(1) << text_set_mark(set->whole.items[i]);
    for (size_t i = 0; i < set->open.count; i++)
        if (i == 0 || set->open.items[i].bytes < set->open_bytes)
            set->open_bytes = set->open.items[i].bytes;
    for (size_t i = 0; i < set->open.count && set->open_bytes > 0; i++) {
        struct slice open = set->open.items[i];
        size_t at = set->from_end ? open.bytes - set->open_bytes : set->open_bytes - 1;
        unsigned char end = (unsigned char)open.data[at];

        set->open_ends[end / 64] |= UINT64_C(1) << (end % 64);
    }
}

struct text_set *
text_set_new(struct arena *arena, const struct text_pattern *patterns, size_t count, bool from_end)
{
    struct text_set *set = arena_zalloc(arena, sizeof(*set));
    int (*sort)(const void *, const void *) = from_end ? sort_backward : sort_forward;
    size_t open = 0;

    if (set == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        open += patterns[i].is_open;
    set->from_end = from_end;
    set->whole.items = arena_alloc(arena, (count - open) * sizeof(struct slice));
    set->open.items = arena_alloc(arena, open * sizeof(struct slice));
    if (set->whole.items == NULL || set->open.items == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct texts *texts = patterns[i].is_open ? &set->open : &set->whole;

        texts->items[texts->count++] = patterns[i].text;
    }
    qsort(set->whole.items, set->whole.count, sizeof(struct slice), sort);
    qsort(set->open.items, set->open.count, sizeof(struct slice), sort);
    thin_out(&set->open, from_end);
    note_marks(set);
    return set;
}

/* How many are not behind text in the order. */
static size_t
count_before(const struct texts *texts, struct slice text, bool from_end)
{
    size_t low = 0, high = texts->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        struct slice item = texts->items[middle];

        if ((from_end ? compare_backward(item, text) : compare_forward(item, text)) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool
text_set_has(const struct text_set *set, struct slice text)
{
    size_t at;

    if (!text_set_may_have(set, text))
        return false;
    at = set->whole.count > 0 ? count_before(&set->whole, text, set->from_end) : 0;
    if (at > 0 && slice_equal(set->whole.items[at - 1], text))
        return true;
    at = set->open.count > 0 ? count_before(&set->open, text, set->from_end) : 0;
    return at > 0 && is_covered(text, set->open.items[at - 1], set->from_end);
}
