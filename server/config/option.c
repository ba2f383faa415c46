/* SPDX-License-Identifier: BSD-2-Clause */
/* option.c - reads values as option rows describe them.
 *
 * Every value passes through here as text, whether it comes from a file, from
 * a default or from a flag, so all three mean and refuse the same.
 */
#include "config.h"

#include "server/config/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/base/must.h"
#include "server/base/pattern.h"
#include "server/policy/prefix_set.h"

#define SHOWN_MAX 60 /* bytes of a value that an error repeats */
#define PORT_MAX 65535u

/* For printf("\"%.*s\"", SHOWN(s)): at most SHOWN_MAX bytes. */
#define SHOWN(s) (int)((s).bytes < SHOWN_MAX ? (s).bytes : SHOWN_MAX), (s).data

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: what is written uses the largest that divides. */
static const struct unit size_units[] = {
    { "T", UINT64_C(1) << 40 }, { "G", UINT64_C(1) << 30 }, { "M", UINT64_C(1) << 20 },
    { "K", UINT64_C(1) << 10 }, { "", 1 },
};
static const struct unit time_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};

bool
option_is_visible(const struct option *row)
{
    return strcmp(row->name, OPTION_PLACE_NAME) != 0;
}

bool
option_is_list(enum option_type type)
{
    return type == OPTION_STRINGS || type == OPTION_ADDRESSES || type == OPTION_NETWORKS ||
           type == OPTION_PORTS;
}

bool
option_family_find(const struct option *row, struct slice word, struct option_family *family)
{
    for (size_t i = 0; row->family_at(i, family); i++)
        if (slice_equal(word, slice_of(family->word)))
            return true;
    return false;
}

const char *
option_family_words(const struct option *row, char *text)
{
    struct option_family family;
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; used < OPTION_WORDS_BYTES && row->family_at(i, &family); i++)
        used += (size_t)snprintf(text + used, OPTION_WORDS_BYTES - used, "%s\"%s\"",
                                 i > 0 ? ", " : "", family.word);
    return text;
}

/* ---- ranges */

static bool
has_range(const struct option *row)
{
    return row->min != 0 || row->max != 0;
}

static bool
has_upper_end(const struct option *row)
{
    return row->max != 0 || row->min < 0;
}

static void
write_value(const struct option *row, int64_t value, char *text, size_t bytes)
{
    const struct unit *unit = NULL;

    if (value > 0 && row->type == OPTION_SIZE)
        unit = size_units;
    else if (value > 0 && row->type == OPTION_TIME)
        unit = time_units;
    if (unit == NULL) {
        snprintf(text, bytes, "%" PRId64, value);
        return;
    }
    while ((uint64_t)value % unit->factor != 0)
        unit++;
    snprintf(text, bytes, "%" PRIu64 "%s", (uint64_t)value / unit->factor, unit->name);
}

const char *
option_range_text(const struct option *row, char *text)
{
    char low[32], high[32];

    text[0] = '\0';
    if (!has_range(row))
        return text;
    write_value(row, row->min, low, sizeof(low));
    write_value(row, row->max, high, sizeof(high));
    if (has_upper_end(row))
        snprintf(text, OPTION_RANGE_BYTES, "%s..%s", low, high);
    else
        snprintf(text, OPTION_RANGE_BYTES, "%s or more", low);
    return text;
}

static int
check_range(const struct option *row, int64_t value, struct slice text, struct err *err)
{
    const char *quote = row->type == OPTION_INT ? "" : "\"";
    char range[OPTION_RANGE_BYTES];

    if (!has_range(row) || (value >= row->min && (value <= row->max || !has_upper_end(row))))
        return 0;
    option_range_text(row, range);
    if (has_upper_end(row))
        return err_set(err, "%s%.*s%s is outside %s", quote, SHOWN(text), quote, range);
    return err_set(err, "%s%.*s%s is too small: %s", quote, SHOWN(text), quote, range);
}

static int
check_count(const struct option *row, size_t count, struct err *err)
{
    char range[OPTION_RANGE_BYTES];

    if (!has_range(row) ||
        ((int64_t)count >= row->min && ((int64_t)count <= row->max || !has_upper_end(row))))
        return 0;
    return err_set(err, "has %zu elements, %s would be accepted", count,
                   option_range_text(row, range));
}

/* ---- values */

/* Takes the digits at the head of *text. False when there are none or they
 * exceed what 63 bits hold. */
static bool
take_number(struct slice *text, uint64_t *number)
{
    return slice_to_u64(slice_take_digits(text, SIZE_MAX), INT64_MAX, number);
}

static int
parse_int(struct slice text, int64_t *number, struct err *err)
{
    struct slice digits = text;
    bool is_negative = text.bytes > 0 && text.data[0] == '-';
    uint64_t n;

    if (is_negative)
        digits = slice_skip(text, 1);
    if (!slice_to_u64(digits, INT64_MAX, &n))
        return err_set(err, "\"%.*s\" is not a whole number", SHOWN(text));
    *number = is_negative ? -(int64_t)n : (int64_t)n;
    return 0;
}

int
option_parse_size(struct slice text, uint64_t *bytes, struct err *err)
{
    struct slice rest = text;
    uint64_t number;

    if (!take_number(&rest, &number))
        goto refuse;
    for (size_t i = 0; i < ARRAY_COUNT(size_units); i++) {
        struct slice name = slice_of(size_units[i].name), suffix = rest;

        if (!slice_is_empty(name)) {
            suffix = slice_skip(rest, 1);
            if (rest.bytes == 0 || !slice_equal_nocase(slice_make(rest.data, 1), name))
                continue;
        }
        if (!slice_is_empty(suffix) && !slice_equal(suffix, SLICE("B")) &&
            !slice_equal(suffix, SLICE("iB")))
            break;
        if (number > INT64_MAX / size_units[i].factor)
            return err_set(err, "\"%.*s\" is more than can be counted", SHOWN(text));
        *bytes = number * size_units[i].factor;
        return 0;
    }

refuse:
    return err_set(err, "\"%.*s\" is not a size; write bytes or \"64K\", \"10M\", \"2G\"",
                   SHOWN(text));
}

/* The unit at the head of *text, taken off; NULL when there is none known. */
static const struct unit *
take_time_unit(struct slice *text)
{
    size_t letters = 0;

    while (letters < text->bytes && !ascii_is_digit(text->data[letters]))
        letters++;
    for (size_t i = 0; i < ARRAY_COUNT(time_units); i++) {
        if (!slice_equal(slice_make(text->data, letters), slice_of(time_units[i].name)))
            continue;
        *text = slice_skip(*text, letters);
        return &time_units[i];
    }
    return NULL;
}

int
option_parse_time(struct slice text, uint32_t *ms, struct err *err)
{
    const struct unit *unit, *last = NULL;
    struct slice rest = text;
    uint64_t sum = 0, number;

    *ms = 0;
    if (slice_equal(text, SLICE("off")) || slice_equal(text, SLICE("0")))
        return 0;
    do {
        if (!take_number(&rest, &number))
            goto refuse;
        if (rest.bytes == 0)
            return err_set(err, "\"%.*s\" has no unit; write \"%.*ss\" for seconds", SHOWN(text),
                           SHOWN(text));
        unit = take_time_unit(&rest);
        if (unit == NULL || (last != NULL && unit <= last)) /* "1h30m", not "30m1h" */
            goto refuse;
        last = unit;
        if (number > UINT32_MAX / unit->factor)
            return err_set(err, "\"%.*s\" is longer than 49 days", SHOWN(text));
        sum += number * unit->factor;
    } while (rest.bytes > 0);
    if (sum > UINT32_MAX)
        return err_set(err, "\"%.*s\" is longer than 49 days", SHOWN(text));
    *ms = (uint32_t)sum;
    return 0;

refuse:
    return err_set(err, "\"%.*s\" is not a time; write \"500ms\", \"10s\", \"5m\", \"1h30m\" or "
                   "\"2d\"", SHOWN(text));
}

static int
parse_ports(struct slice text, struct port_range *range, struct err *err)
{
    uint64_t first, last;

    if (!slice_to_range(text, UINT64_MAX, &first, &last))
        return err_set(err, "\"%.*s\" is not a port; write 443, \"8000-8999\" or several: "
                            "[ 443, \"8000-8999\" ]", SHOWN(text));
    if (first < 1 || first > PORT_MAX || last > PORT_MAX)
        return err_set(err, "%.*s is outside 1..%u", SHOWN(text), PORT_MAX);
    if (first > last)
        return err_set(err, "\"%.*s\" ends before it begins", SHOWN(text));
    *range = (struct port_range){ (uint16_t)first, (uint16_t)last };
    return 0;
}

static int
compare_ranges(const void *a, const void *b)
{
    const struct port_range *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

/* Sorts and melts what touches or overlaps. */
static void
sort_ports(struct port_set *set)
{
    size_t kept = 0;

    if (set->count == 0)
        return;
    qsort(set->ranges, set->count, sizeof(*set->ranges), compare_ranges);
    for (size_t i = 1; i < set->count; i++) {
        struct port_range *last = &set->ranges[kept], next = set->ranges[i];

        if (next.first > last->last + 1)
            set->ranges[++kept] = next;
        else if (next.last > last->last)
            last->last = next.last;
    }
    set->count = kept + 1;
}

bool
port_set_has(const struct port_set *set, uint16_t port)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (set->ranges[middle].last < port)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count && set->ranges[low].first <= port;
}

/* ---- storing one value */

static int
memory_is_short(struct err *err)
{
    return err_set(err, "memory for the configuration is short");
}

static int
set_enum(const struct option *row, struct slice text, int *field, struct err *err)
{
    struct nearest nearest;
    char known[512] = "";
    size_t used = 0;

    nearest_init(&nearest, text);
    for (int i = 0; row->words[i] != NULL; i++) {
        if (slice_equal(text, slice_of(row->words[i]))) {
            *field = i;
            return 0;
        }
        nearest_offer(&nearest, row->words[i]);
        if (used < sizeof(known))
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s\"%s\"",
                                     i > 0 ? ", " : "", row->words[i]);
    }
    err_set(err, "\"%.*s\" is not one of %s", SHOWN(text), known);
    return nearest_hint(&nearest, err);
}

static int
set_family(const struct option *row, struct slice text, const void **field, struct err *err)
{
    struct option_family family;
    struct nearest nearest;
    char words[OPTION_WORDS_BYTES];

    if (option_family_find(row, text, &family)) {
        *field = family.ops;
        return 0;
    }
    nearest_init(&nearest, text);
    for (size_t i = 0; row->family_at(i, &family); i++)
        nearest_offer(&nearest, family.word);
    if (nearest.best == NULL)
        return err_set(err, "\"%.*s\" is not one of %s", SHOWN(text),
                       option_family_words(row, words));
    err_set(err, "\"%.*s\" is not known", SHOWN(text));
    return nearest_hint(&nearest, err);
}

static int
set_bool(struct slice text, bool *field, struct err *err)
{
    *field = slice_equal(text, SLICE("true"));
    if (*field || slice_equal(text, SLICE("false")))
        return 0;
    return err_set(err, "\"%.*s\" is neither true nor false", SHOWN(text));
}

static int
set_size(const struct option *row, struct slice text, uint64_t *field, struct err *err)
{
    if (option_parse_size(text, field, err) < 0)
        return -1;
    return check_range(row, (int64_t)*field, text, err);
}

static int
set_time(const struct option *row, struct slice text, uint32_t *field, struct err *err)
{
    if (option_parse_time(text, field, err) < 0)
        return -1;
    return check_range(row, *field, text, err);
}

static int
set_int(const struct option *row, struct slice text, int64_t *field, struct err *err)
{
    if (parse_int(text, field, err) < 0)
        return -1;
    return check_range(row, *field, text, err);
}

static int
set_string(struct slice text, const char **field, struct arena *arena, struct err *err)
{
    *field = arena_copy(arena, text).data;
    return arena_is_spent(arena) ? memory_is_short(err) : 0;
}

static void
release_pattern(void *pattern)
{
    pattern_free(pattern);
}

static int
set_pattern(struct slice text, struct pattern **field, struct arena *arena, struct err *err)
{
    struct slice copy = arena_copy(arena, text);
    struct pattern *pattern;

    *field = NULL;
    if (arena_is_spent(arena))
        return memory_is_short(err);
    pattern = pattern_new(copy.data, false, err);
    if (pattern == NULL)
        return -1;
    if (arena_defer(arena, release_pattern, pattern) < 0)
        return memory_is_short(err);
    *field = pattern;
    return 0;
}

static int
set_one(const struct option *row, struct slice text, void *field, struct arena *arena,
        struct err *err)
{
    switch (row->type) {
    case OPTION_BOOL:
        return set_bool(text, field, err);
    case OPTION_INT:
        return set_int(row, text, field, err);
    case OPTION_SIZE:
        return set_size(row, text, field, err);
    case OPTION_TIME:
        return set_time(row, text, field, err);
    case OPTION_STRING:
        return set_string(text, field, arena, err);
    case OPTION_ENUM:
        return set_enum(row, text, field, err);
    case OPTION_ADDRESS:
        return address_parse(field, text, -1, err);
    case OPTION_PATTERN:
        return set_pattern(text, field, arena, err);
    case OPTION_FAMILY:
        return set_family(row, text, field, err);
    case OPTION_STRINGS:
    case OPTION_ADDRESSES:
    case OPTION_NETWORKS:
    case OPTION_PORTS:
    case OPTION_GROUP:
    case OPTION_GROUPS:
    case OPTION_CUSTOM:
        break;
    }
    return err_set(err, "cannot be given as text");
}

/* ---- storing several */

static int
set_strings(const struct slice *items, size_t count, struct strings *field, struct arena *arena,
            struct err *err)
{
    field->items = arena_alloc(arena, count * sizeof(*field->items));
    field->count = 0;
    if (field->items == NULL)
        return memory_is_short(err);
    for (; field->count < count; field->count++)
        field->items[field->count] = arena_copy(arena, items[field->count]);
    return arena_is_spent(arena) ? memory_is_short(err) : 0;
}

static int
set_addresses(const struct slice *items, size_t count, struct addresses *field,
              struct arena *arena, struct err *err)
{
    field->items = arena_alloc(arena, count * sizeof(*field->items));
    field->count = 0;
    if (field->items == NULL)
        return memory_is_short(err);
    for (; field->count < count; field->count++)
        if (address_parse(&field->items[field->count], items[field->count], -1, err) < 0)
            return -1;
    return 0;
}

static int
set_networks(const struct slice *items, size_t count, struct prefix_set **field,
             struct arena *arena, struct err *err)
{
    struct prefix_set *set = prefix_set_new(arena);

    *field = set;
    if (set == NULL)
        return memory_is_short(err);
    for (size_t i = 0; i < count; i++)
        if (prefix_set_add(set, items[i], err) < 0)
            return -1;
    prefix_set_seal(set);
    return 0;
}

static int
set_ports(const struct slice *items, size_t count, struct port_set *field, struct arena *arena,
          struct err *err)
{
    field->ranges = arena_alloc(arena, count * sizeof(*field->ranges));
    field->count = 0;
    if (field->ranges == NULL)
        return memory_is_short(err);
    for (; field->count < count; field->count++)
        if (parse_ports(items[field->count], &field->ranges[field->count], err) < 0)
            return -1;
    sort_ports(field);
    return 0;
}

static int
set_several(const struct option *row, const struct slice *items, size_t count, void *field,
            struct arena *arena, struct err *err)
{
    if (check_count(row, count, err) < 0)
        return -1;
    if (row->type == OPTION_STRINGS)
        return set_strings(items, count, field, arena, err);
    if (row->type == OPTION_ADDRESSES)
        return set_addresses(items, count, field, arena, err);
    if (row->type == OPTION_NETWORKS)
        return set_networks(items, count, field, arena, err);
    must(row->type == OPTION_PORTS);
    return set_ports(items, count, field, arena, err);
}

int
option_set_list(const struct option *row, const struct slice *items, size_t count, void *target,
                struct arena *arena, struct err *err)
{
    if (set_several(row, items, count, (char *)target + row->offset, arena, err) < 0)
        return err_prefix(err, "%s ", row->name);
    return 0;
}

/* The elements between commas. */
static int
set_split(const struct option *row, struct slice text, void *field, struct arena *arena,
          struct err *err)
{
    struct slice rest = text, element, *items;
    size_t count = 0;

    while (slice_next_element(&rest, &element))
        count++;
    items = arena_alloc(arena, count * sizeof(*items));
    if (items == NULL)
        return memory_is_short(err);
    for (size_t i = 0; slice_next_element(&text, &element); i++)
        items[i] = element;
    return set_several(row, items, count, field, arena, err);
}

int
option_set_text(const struct option *row, struct slice text, void *target, struct arena *arena,
                struct err *err)
{
    void *field = (char *)target + row->offset;
    int result = option_is_list(row->type) ? set_split(row, text, field, arena, err)
                                           : set_one(row, text, field, arena, err);

    return result < 0 ? err_prefix(err, "%s ", row->name) : 0;
}

/* ---- misspelt words */

#define WORD_MAX 48 /* longer words are not guessed */
#define BEGINNING_MIN 3

static char
fold(char c)
{
    return c == '-' ? '_' : ascii_lower(c);
}

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits that turn a into b (Damerau and Levenshtein, each piece edited once);
 * letters of either case, "-" and "_" are alike. Both at most WORD_MAX long. */
static size_t
count_edits(struct slice a, struct slice b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b.bytes; j++)
        now[j] = j;
    for (size_t i = 1; i <= a.bytes; i++) {
        size_t *reused = before;

        before = last;
        last = now;
        now = reused;
        now[0] = i;
        for (size_t j = 1; j <= b.bytes; j++) {
            char x = fold(a.data[i - 1]), y = fold(b.data[j - 1]);

            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == fold(b.data[j - 2]) && y == fold(a.data[i - 2]))
                now[j] = least(now[j], before[j - 2] + 1);
        }
    }
    return now[b.bytes];
}

void
nearest_init(struct nearest *nearest, struct slice wanted)
{
    size_t far = wanted.bytes / 3;

    if (far < 2)
        far = wanted.bytes < 4 ? 1 : 2;
    *nearest = (struct nearest){ .wanted = wanted, .distance = far + 1 };
}

/* Who writes the beginning of a long word means that word, however much is missing. */
static bool
is_beginning(struct slice beginning, struct slice word)
{
    if (beginning.bytes < BEGINNING_MIN || beginning.bytes > word.bytes)
        return false;
    for (size_t i = 0; i < beginning.bytes; i++)
        if (fold(beginning.data[i]) != fold(word.data[i]))
            return false;
    return true;
}

void
nearest_offer(struct nearest *nearest, const char *candidate)
{
    struct slice word = slice_of(candidate);
    size_t edits;

    if (nearest->wanted.bytes > WORD_MAX || word.bytes > WORD_MAX || word.bytes == 0)
        return;
    edits = is_beginning(nearest->wanted, word) ? 1 : count_edits(nearest->wanted, word);
    if (edits < nearest->distance) {
        nearest->best = candidate;
        nearest->distance = edits;
    }
}

int
nearest_hint(const struct nearest *nearest, struct err *err)
{
    struct err finding;

    if (nearest->best == NULL || err == NULL)
        return -1;
    finding = *err;
    return err_set(err, "%.900s; did you mean \"%s\"?", finding.text, nearest->best);
}
