/* SPDX-License-Identifier: BSD-2-Clause */
/* weighted_list.c - reads and rewrites lists with weights. */
#include "config.h"

#include "cache/weighted_list.h"

#include "server/http/scan.h"

/* ---- reading */

/* qvalue (RFC 9110 section 12.4.2) in thousandths: "0.5", "1", "1.000". */
static bool
parse_weight(struct slice s, unsigned *weight)
{
    unsigned unit = 100;

    if (s.bytes == 0 || s.bytes > 5 || (s.data[0] != '0' && s.data[0] != '1') ||
        (s.bytes > 1 && s.data[1] != '.'))
        return false;
    *weight = s.data[0] == '1' ? 1000 : 0;
    for (size_t i = 2; i < s.bytes; i++, unit /= 10) {
        if (!ascii_is_digit(s.data[i]))
            return false;
        *weight += (unsigned)(s.data[i] - '0') * unit;
    }
    return *weight <= 1000;
}

/* name [ OWS ";" OWS "q=" qvalue ] */
static bool
parse_element(struct slice element, struct slice *name, unsigned *weight)
{
    const char *end = element.data + element.bytes;
    const char *at = scan_token(element.data, end);
    struct slice rest;

    *name = slice_make(element.data, (size_t)(at - element.data));
    *weight = 1000;
    rest = slice_trim(slice_make(at, (size_t)(end - at)));
    if (rest.bytes == 0)
        return name->bytes > 0;
    if (name->bytes == 0 || rest.data[0] != ';')
        return false;
    rest = slice_trim(slice_skip(rest, 1));
    if (rest.bytes < 2 || ascii_lower(rest.data[0]) != 'q' || rest.data[1] != '=')
        return false;
    return parse_weight(slice_skip(rest, 2), weight);
}

void
weighted_list_add(struct weighted_list *list, struct slice value)
{
    struct slice element;

    while (!list->is_bad && slice_next_element(&value, &element)) {
        if (list->count == WEIGHTED_MAX ||
            !parse_element(element, &list->items[list->count].name,
                           &list->items[list->count].weight))
            list->is_bad = true;
        else
            list->count++;
    }
}

bool
weighted_list_accepts(const struct weighted_list *list, struct slice name)
{
    bool accepts_any = false;

    for (unsigned i = 0; i < list->count; i++) {
        if (slice_equal_nocase(list->items[i].name, name))
            return list->items[i].weight > 0;
        if (slice_equal(list->items[i].name, SLICE("*")))
            accepts_any = list->items[i].weight > 0;
    }
    return accepts_any;
}

/* ---- writing */

static int
compare_nocase(struct slice a, struct slice b)
{
    for (size_t i = 0; i < a.bytes && i < b.bytes; i++) {
        int order = ascii_lower(a.data[i]) - ascii_lower(b.data[i]);

        if (order != 0)
            return order;
    }
    return (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static void
sort(struct weighted_list *list)
{
    for (unsigned i = 1; i < list->count; i++) {
        typeof(list->items[0]) moved = list->items[i];
        unsigned at = i;

        for (; at > 0; at--) {
            typeof(list->items[0]) *before = &list->items[at - 1];

            if (before->weight > moved.weight ||
                (before->weight == moved.weight && compare_nocase(before->name, moved.name) <= 0))
                break;
            list->items[at] = *before;
        }
        list->items[at] = moved;
    }
}

static char *
put_lower(char *at, struct slice name)
{
    for (size_t i = 0; i < name.bytes; i++)
        *at++ = ascii_lower(name.data[i]);
    return at;
}

/* ";q=0.5", without zeros at the end; nothing for 1. */
static char *
put_weight(char *at, unsigned weight)
{
    if (weight == 1000)
        return at;
    at = mempcpy(at, ";q=0", 4);
    if (weight == 0)
        return at;
    *at++ = '.';
    for (unsigned unit = 100; weight > 0; unit /= 10) {
        *at++ = (char)('0' + weight / unit);
        weight %= unit;
    }
    return at;
}

static char *
put_all(const struct weighted_list *list, char *at)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (i > 0)
            *at++ = ',';
        at = put_lower(at, list->items[i].name);
        at = put_weight(at, list->items[i].weight);
    }
    return at;
}

static bool
is_range_of(struct slice range, struct slice language)
{
    return language.bytes >= range.bytes &&
           slice_equal_nocase(slice_make(language.data, range.bytes), range) &&
           (language.bytes == range.bytes || language.data[range.bytes] == '-');
}

/* What of a name counts, without its last subtags until some language is found;
 * empty when nothing does. */
static struct slice
reduce(struct slice name, const struct weighted_rules *rules)
{
    struct slice shorter = name;

    if (slice_equal(name, SLICE("*")))
        return name;
    for (unsigned i = 0; i < rules->count; i++)
        if (is_range_of(name, rules->languages[i]))
            return name;
    while (shorter.bytes > 0) {
        for (unsigned i = 0; i < rules->count; i++)
            if (slice_equal_nocase(shorter, rules->languages[i]))
                return shorter;
        while (shorter.bytes > 0 && shorter.data[shorter.bytes - 1] != '-')
            shorter.bytes--;
        if (shorter.bytes > 0)
            shorter.bytes--;
    }
    return shorter;
}

static bool
has_name(const struct weighted_list *list, unsigned count, struct slice name)
{
    for (unsigned i = 0; i < count; i++)
        if (slice_equal_nocase(list->items[i].name, name))
            return true;
    return false;
}

/* Keeps what counts, each once, with the weight that is highest. */
static void
reduce_all(struct weighted_list *list, const struct weighted_rules *rules)
{
    unsigned kept = 0;

    sort(list);
    for (unsigned i = 0; i < list->count; i++) {
        struct slice name = reduce(list->items[i].name, rules);

        if (name.bytes == 0 || list->items[i].weight == 0 || has_name(list, kept, name))
            continue;
        list->items[kept].weight = list->items[i].weight;
        list->items[kept++].name = name;
    }
    list->count = kept;
}

static char *
put_order(const struct weighted_list *list, char *at)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (i > 0)
            *at++ = list->items[i].weight == list->items[i - 1].weight ? ',' : '>';
        at = put_lower(at, list->items[i].name);
    }
    return at;
}

char *
weighted_list_put(struct weighted_list *list, const struct weighted_rules *rules, char *at)
{
    if (rules->count > 0)
        reduce_all(list, rules);
    sort(list);
    return rules->count > 0 ? put_order(list, at) : put_all(list, at);
}
