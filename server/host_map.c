/* SPDX-License-Identifier: BSD-2-Clause */
/* host_map.c - one table with linear probing for exact names and wildcards.
 *
 * A wildcard is stored under what follows "*." and marked. Only suffixes of as
 * many labels as some wildcard has are looked up, which bounds the work
 * whatever a name looks like.
 */
#include "config.h"

#include "server/host_map.h"

#include "server/base/hash.h"
#include "server/net/address.h"

#define NAME_BYTES_MAX 253 /* RFC 1035 section 2.3.4, as text without the last dot */
#define LABEL_BYTES_MAX 63
#define LABELS_MAX 127

struct entry {
    const char *name; /* NULL: free */
    uint32_t tag;     /* upper half of its hash */
    uint16_t name_bytes;
    bool is_wildcard;
    struct site_conf *site;
};

struct host_map {
    struct entry *entries;
    size_t mask;
    struct site_conf *fallback;
    unsigned labels_min, labels_max; /* of wildcards; 0: there are none */
    struct hash_key key;
};

struct host_map *
host_map_new(struct arena *arena, size_t names)
{
    struct host_map *map = arena_zalloc(arena, sizeof(*map));
    size_t room = 8;

    while (room < names * 3 / 2)
        room *= 2;
    if (map == NULL)
        return NULL;
    map->entries = arena_zalloc(arena, room * sizeof(*map->entries));
    if (map->entries == NULL)
        return NULL;
    map->mask = room - 1;
    hash_key_random(&map->key);
    return map;
}

/* ---- names as they are written */

static bool
is_label(struct slice label)
{
    size_t i;

    if (label.bytes == 0 || label.bytes > LABEL_BYTES_MAX || label.data[0] == '-' ||
        label.data[label.bytes - 1] == '-')
        return false;
    for (i = 0; i < label.bytes; i++) {
        char c = label.data[i];

        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '-' && c != '_')
            return false;
    }
    return true;
}

bool
host_is_name(struct slice name)
{
    if (name.bytes > NAME_BYTES_MAX)
        return false;
    for (;;) {
        ptrdiff_t dot = slice_find(name, '.');

        if (!is_label(slice_make(name.data, dot < 0 ? name.bytes : (size_t)dot)))
            return false;
        if (dot < 0)
            return true;
        name = slice_skip(name, (size_t)dot + 1);
    }
}

/* What is wrong with a name, in the words that help most. */
static int
explain(struct slice name, struct err *err)
{
    const char *hint = "expected a name such as \"www.example.com\" or \"*.example.com\"";
    size_t i;

    if (slice_equal(name, SLICE("*")))
        hint = "a site for all other names has default = true instead";
    else if (slice_find(name, '/') >= 0)
        hint = "expected the host name alone, without scheme and path";
    else if (slice_find(name, '*') >= 0)
        hint = "\"*\" may only stand for whole labels at the beginning, as in \"*.example.com\"";
    else if (slice_find(name, ':') >= 0)
        hint = "expected the host name alone, without a port";
    for (i = 0; i < name.bytes; i++) {
        if ((unsigned char)name.data[i] >= 0x80)
            hint = "expected the name in its ASCII form, as in \"xn--bcher-kva.example\"";
    }
    return err_set(err, "\"%.*s\" is not a host name: %s", SLICE_ARG(name), hint);
}

int
host_map_clean(struct slice name, struct slice *clean, struct arena *arena, struct err *err)
{
    struct slice lower = arena_copy(arena, name), rest;
    struct ip ip;
    size_t i;

    if (lower.data == NULL)
        return err_set(err, "out of memory");
    for (i = 0; i < lower.bytes; i++)
        ((char *)lower.data)[i] = ascii_lower(lower.data[i]);
    if (lower.bytes > 2 && lower.data[0] == '[' && lower.data[lower.bytes - 1] == ']')
        lower = slice_make(lower.data + 1, lower.bytes - 2);
    else if (lower.bytes > 1 && lower.data[lower.bytes - 1] == '.')
        lower.bytes--;
    *clean = lower;
    if (ip_parse(lower, &ip))
        return 0;
    rest = slice_starts_with(lower, SLICE("*.")) ? slice_skip(lower, 2) : lower;
    return host_is_name(rest) ? 0 : explain(name, err);
}

/* ---- the table */

static struct entry *
find(const struct host_map *map, struct slice name, bool is_wildcard)
{
    uint64_t hash = hash_bytes(name, &map->key);
    size_t at = hash & map->mask;

    for (;; at = (at + 1) & map->mask) {
        struct entry *entry = &map->entries[at];

        if (entry->name == NULL)
            return entry;
        if (entry->tag == (uint32_t)(hash >> 32) && entry->is_wildcard == is_wildcard &&
            entry->name_bytes == name.bytes && memcmp(entry->name, name.data, name.bytes) == 0)
            return entry;
    }
}

static unsigned
label_count(struct slice name)
{
    unsigned count = 1;
    size_t i;

    for (i = 0; i < name.bytes; i++)
        count += name.data[i] == '.';
    return count;
}

static void
note_labels(struct host_map *map, unsigned labels)
{
    if (map->labels_max == 0 || labels < map->labels_min)
        map->labels_min = labels;
    if (labels > map->labels_max)
        map->labels_max = labels;
}

struct site_conf *
host_map_add(struct host_map *map, struct slice name, struct site_conf *site)
{
    bool is_wildcard = slice_starts_with(name, SLICE("*."));
    struct slice rest = is_wildcard ? slice_skip(name, 2) : name;
    struct entry *entry = find(map, rest, is_wildcard);

    if (entry->name != NULL)
        return entry->site;
    *entry = (struct entry){ .name = rest.data,
                             .name_bytes = (uint16_t)rest.bytes,
                             .tag = (uint32_t)(hash_bytes(rest, &map->key) >> 32),
                             .is_wildcard = is_wildcard,
                             .site = site };
    if (is_wildcard)
        note_labels(map, label_count(rest));
    return NULL;
}

void
host_map_set_default(struct host_map *map, struct site_conf *site)
{
    map->fallback = site;
}

/* Looks up the suffixes that have as many labels as the longest wildcard, down
 * to the shortest. Something must be left in front of them. */
static struct site_conf *
find_wildcard(const struct host_map *map, struct slice host)
{
    size_t starts[LABELS_MAX + 1]; /* of the suffix of so many labels */
    unsigned labels = 0;
    size_t at = host.bytes;

    while (at > 1 && labels < map->labels_max) {
        if (host.data[--at] == '.')
            starts[++labels] = at + 1;
    }
    for (; labels > 0 && labels >= map->labels_min; labels--) {
        const struct entry *entry = find(map, slice_skip(host, starts[labels]), true);

        if (entry->name != NULL)
            return entry->site;
    }
    return NULL;
}

struct site_conf *
host_map_find_named(const struct host_map *map, struct slice host)
{
    const struct entry *entry;

    if (host.bytes > 0 && host.data[host.bytes - 1] == '.')
        host.bytes--;
    if (unlikely(host.bytes == 0 || host.bytes > NAME_BYTES_MAX))
        return NULL;
    entry = find(map, host, false);
    if (likely(entry->name != NULL))
        return entry->site;
    return map->labels_max > 0 ? find_wildcard(map, host) : NULL;
}

struct site_conf *
host_map_find(const struct host_map *map, struct slice host)
{
    struct site_conf *site = host_map_find_named(map, host);

    return likely(site != NULL) ? site : map->fallback;
}
