/* SPDX-License-Identifier: BSD-2-Clause */
/* field_set.c - names by id, and a sorted list of patterns for the rest. */
#include "config.h"

#include "filters/field_set.h"

#include "server/base/log.h"
#include "server/http/scan.h"

#include <stdlib.h>

/* ---- patterns */

static bool
is_open(struct slice pattern)
{
    return pattern.bytes > 0 && pattern.data[pattern.bytes - 1] == '*';
}

/* Without its star. */
static struct slice
stem(struct slice pattern)
{
    return slice_make(pattern.data, pattern.bytes - is_open(pattern));
}

static bool
matches(struct slice pattern, struct slice name)
{
    struct slice start = stem(pattern);

    if (is_open(pattern) && name.bytes > start.bytes)
        name.bytes = start.bytes;
    return slice_equal_nocase(name, start);
}

/* The order of names: letters in either case are the same. *same is how many
 * characters are known to be equal, and how many are when it returns. */
static inline int
compare_from(struct slice a, struct slice b, size_t *same)
{
    size_t bytes = a.bytes < b.bytes ? a.bytes : b.bytes, i = *same;
    int difference = 0;

    while (i < bytes && (difference = ascii_lower(a.data[i]) - ascii_lower(b.data[i])) == 0)
        i++;
    *same = i;
    return i < bytes ? difference : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* ---- matching */

/* All names that begin with an open pattern's stem follow it closely, and none
 * of them is another pattern: so the last one that is not behind the name is
 * the only one that may match. What a name has in common with those around it
 * is not compared again. */
bool
field_set_has_other(const struct field_set *set, struct slice name)
{
    size_t low = 0, high = set->count, same_low = 0, same_high = 0;

    while (low < high) {
        size_t middle = (low + high) / 2;
        size_t same = same_low < same_high ? same_low : same_high;

        if (compare_from(name, stem(set->others[middle]), &same) < 0) {
            high = middle;
            same_high = same;
        } else {
            low = middle + 1;
            same_low = same;
        }
    }
    if (low == 0)
        return false;
    return same_low == stem(set->others[low - 1]).bytes &&
           (is_open(set->others[low - 1]) || same_low == name.bytes);
}

static inline bool
is_in(const struct field *field, const void *set)
{
    return field_set_has(set, field);
}

unsigned
field_set_remove(const struct field_set *set, struct fields *fields)
{
    return fields_sift(fields, is_in, set);
}

/* ---- checks */

/* Expect decides when content flows, as framing decides where it ends. */
static bool
is_ours(enum field_id id)
{
    return (field_flags(id) & (FIELD_FRAMING | FIELD_HOP)) != 0 || id == FIELD_EXPECT;
}

int
field_check_name(struct slice name, struct err *err)
{
    enum field_id id;

    if (!scan_is_token(name))
        return err_set(err, "\"%s\" is no name of a header field", log_escape(name));
    id = field_id_of(name);
    if (id == FIELD_HOST)
        return err_set(err, "\"Host\" is set by the option \"host\" of a site or route");
    if (is_ours(id))
        return err_set(err, "\"%s\" belongs to the framing of messages or to one connection: "
                       "Bascule itself writes it", field_name(id).data);
    return 0;
}

int
field_check_value(struct slice value, struct err *err)
{
    for (size_t i = 0; i < value.bytes; i++) {
        unsigned char c = (unsigned char)value.data[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return err_set(err, "\"%s\": control character \\x%02X in a header field",
                           log_escape(value), c);
    }
    return 0;
}

/* ---- making */

static int
check_pattern(struct slice pattern, struct err *err)
{
    ptrdiff_t star = slice_find(pattern, '*');

    if (star < 0)
        return field_check_name(pattern, err);
    if ((size_t)star + 1 != pattern.bytes)
        return err_set(err, "\"%s\": a \"*\" may only end a name", log_escape(pattern));
    if (star > 0 && !scan_is_token(slice_make(pattern.data, (size_t)star)))
        return err_set(err, "\"%s\" is no name of a header field", log_escape(pattern));
    return 0;
}

static void
add_known(struct field_set *set, struct slice pattern)
{
    for (enum field_id id = FIELD_OTHER + 1; id < FIELD_ID_COUNT; id++)
        if (!is_ours(id) && matches(pattern, field_name(id)))
            set->known[id] = true;
}

/* Open patterns before names that are equal to their stem. */
static int
compare_patterns(const void *a, const void *b)
{
    struct slice one = *(const struct slice *)a, two = *(const struct slice *)b;
    size_t same = 0;
    int difference = compare_from(stem(one), stem(two), &same);

    return difference != 0 ? difference : is_open(two) - is_open(one);
}

/* Puts patterns in order and leaves out those that another one covers. */
static size_t
sort(struct slice *patterns, size_t count)
{
    size_t kept = 0;

    qsort(patterns, count, sizeof(*patterns), compare_patterns);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !matches(patterns[kept - 1], stem(patterns[i])))
            patterns[kept++] = patterns[i];
    return kept;
}

bool
field_set_is_sound(const struct field_set *set)
{
    for (size_t i = 1; i < set->count; i++)
        if (compare_patterns(&set->others[i - 1], &set->others[i]) >= 0 ||
            matches(set->others[i - 1], stem(set->others[i])))
            return false;
    for (enum field_id id = FIELD_OTHER + 1; id < FIELD_ID_COUNT; id++)
        if (!is_ours(id) && field_set_has_other(set, field_name(id)) && !set->known[id])
            return false;
    return true;
}

int
field_set_add(struct field_set *set, const struct strings *patterns, struct arena *arena,
              struct err *err)
{
    struct slice *others = arena_alloc(arena, (set->count + patterns->count) * sizeof(*others));

    if (others == NULL)
        return err_set(err, "no memory");
    if (set->count > 0)
        memcpy(others, set->others, set->count * sizeof(*others));
    set->others = others;
    for (size_t i = 0; i < patterns->count; i++) {
        struct slice pattern = slice_trim(patterns->items[i]);

        if (check_pattern(pattern, err) < 0)
            return -1;
        add_known(set, pattern);
        if (field_id_of(pattern) == FIELD_OTHER)
            others[set->count++] = pattern;
    }
    set->count = sort(others, set->count);
    return 0;
}
