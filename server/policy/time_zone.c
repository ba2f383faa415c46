/* SPDX-License-Identifier: BSD-2-Clause */
/* time_zone.c - reads files of the time zone database.
 *
 *     header | data of 32 bits | header | data of 64 bits | \n rule \n
 *     '--- version 1: only these   '--- version 2 and later: only these count
 *
 *     data: times | type of each | types (offset, saving, name) | names | leap seconds | ...
 *
 * A time before the first is of type 0; one after the last follows the rule.
 */
#include "config.h"

#include "server/policy/time_zone.h"

#include "server/config/option.h"
#include "server/policy/zone_rule.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"
#define SYSTEM_ZONE "/etc/localtime"
#define NAME_BYTES_MAX 64
#define FILE_BYTES_MAX 65536
#define HEADER_BYTES 44
#define TYPE_BYTES 6
#define OFFSET_MAX (26 * 3600) /* RFC 8536 section 3.2 */

struct time_zone {
    unsigned time_count;
    int64_t *times;              /* ascending: from then on ... */
    const uint8_t *types;        /* ... this one of the offsets holds */
    struct zone_offset *offsets; /* one at least */
    bool has_rule;
    struct zone_rule rule;       /* from the last time on */
};

/* ---- numbers */

static int64_t
read_number(const char *at, unsigned bytes)
{
    uint64_t number = (at[0] & 0x80) != 0 ? UINT64_MAX : 0; /* the sign goes up to the top */

    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | (uint8_t)at[i];
    return (int64_t)number;
}

/* ---- header and data */

struct counts {
    unsigned version;
    uint32_t is_ut, is_standard, leap, time, type, name_bytes;
};

static bool
take_header(struct slice *file, struct counts *counts)
{
    uint32_t *const fields[] = { &counts->is_ut, &counts->is_standard, &counts->leap,
                                 &counts->time, &counts->type, &counts->name_bytes };

    if (file->bytes < HEADER_BYTES || memcmp(file->data, "TZif", 4) != 0)
        return false;
    counts->version = file->data[4] == '\0' ? 1 : (unsigned)(file->data[4] - '0');
    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
        *fields[i] = (uint32_t)read_number(file->data + 20 + 4 * i, 4);
        if (*fields[i] > FILE_BYTES_MAX)
            return false;
    }
    *file = slice_skip(*file, HEADER_BYTES);
    return counts->type > 0 && counts->type <= 256 && counts->name_bytes > 0;
}

static bool
take(struct slice *file, size_t bytes, const char **part)
{
    if (file->bytes < bytes)
        return false;
    *part = file->data;
    *file = slice_skip(*file, bytes);
    return true;
}

/* Where each part of the data is. */
struct data {
    const char *times, *types, *offsets, *names, *rest;
};

static bool
take_data(struct slice *file, const struct counts *counts, unsigned time_bytes, struct data *data)
{
    return take(file, (size_t)counts->time * time_bytes, &data->times) &&
           take(file, counts->time, &data->types) &&
           take(file, (size_t)counts->type * TYPE_BYTES, &data->offsets) &&
           take(file, counts->name_bytes, &data->names) &&
           take(file, (size_t)counts->leap * (time_bytes + 4) + counts->is_standard +
                          counts->is_ut, &data->rest);
}

/* ---- what is kept */

static bool
keep_times(struct time_zone *zone, struct arena *arena, const struct counts *counts,
           const struct data *data, unsigned time_bytes)
{
    zone->times = arena_alloc(arena, counts->time * sizeof(*zone->times) + 1);
    zone->types = (const uint8_t *)arena_copy(arena, slice_make(data->types, counts->time)).data;
    if (zone->times == NULL || zone->types == NULL)
        return false;
    for (unsigned i = 0; i < counts->time; i++) {
        zone->times[i] = read_number(data->times + (size_t)i * time_bytes, time_bytes);
        if (zone->types[i] >= counts->type || (i > 0 && zone->times[i] <= zone->times[i - 1]))
            return false;
    }
    zone->time_count = counts->time;
    return true;
}

static bool
keep_offsets(struct time_zone *zone, struct arena *arena, const struct counts *counts,
             const struct data *data)
{
    zone->offsets = arena_zalloc(arena, counts->type * sizeof(*zone->offsets));
    if (zone->offsets == NULL)
        return false;
    for (unsigned i = 0; i < counts->type; i++) {
        const char *at = data->offsets + (size_t)i * TYPE_BYTES;
        struct zone_offset *offset = &zone->offsets[i];
        size_t name = (uint8_t)at[5];
        int64_t seconds = read_number(at, 4);

        if (seconds < -OFFSET_MAX || seconds > OFFSET_MAX || name >= counts->name_bytes)
            return false;
        offset->seconds = (int32_t)seconds;
        snprintf(offset->name, sizeof(offset->name), "%.*s", (int)(counts->name_bytes - name),
                 data->names + name);
    }
    return true;
}

/* An empty rule says that none is known. */
static bool
keep_rule(struct time_zone *zone, struct slice footer)
{
    ptrdiff_t end;

    if (footer.bytes == 0 || footer.data[0] != '\n')
        return false;
    footer = slice_skip(footer, 1);
    end = slice_find(footer, '\n');
    if (end < 0)
        return false;
    footer.bytes = (size_t)end;
    zone->has_rule = footer.bytes > 0;
    return !zone->has_rule || zone_rule_read(&zone->rule, footer);
}

struct time_zone *
time_zone_read(struct arena *arena, struct slice file, struct err *err)
{
    struct time_zone *zone = arena_zalloc(arena, sizeof(*zone));
    unsigned time_bytes = 4;
    struct counts counts;
    struct data data;

    if (zone == NULL || !take_header(&file, &counts) ||
        !take_data(&file, &counts, time_bytes, &data))
        goto bad;
    if (counts.version >= 2) {
        time_bytes = 8;
        if (!take_header(&file, &counts) || !take_data(&file, &counts, time_bytes, &data))
            goto bad;
    }
    if (counts.leap > 0) {
        err_set(err, "counts leap seconds, which the clock does not");
        return NULL;
    }
    if (keep_times(zone, arena, &counts, &data, time_bytes) &&
        keep_offsets(zone, arena, &counts, &data) &&
        (counts.version < 2 || keep_rule(zone, file)))
        return zone;

bad:
    err_set(err, arena_is_spent(arena) ? "memory for the configuration is short"
                                       : "is no time zone as RFC 8536 describes them");
    return NULL;
}

/* ---- by name */

/* -1 with errno. */
static ssize_t
read_whole(const char *path, char *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = -1, all = 0;
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        errno = ENOENT;
        return -1;
    }
    do {
        got = read(fd, bytes + all, (size_t)(FILE_BYTES_MAX - all));
        all += got > 0 ? got : 0;
    } while (got > 0);
    close(fd);
    return got < 0 ? -1 : all;
}

/* "Europe/Berlin": letters, digits, "_", "+", "-" and single slashes inside. */
static bool
is_name(const char *name)
{
    size_t bytes = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789_+-/");

    return bytes > 0 && bytes <= NAME_BYTES_MAX && name[bytes] == '\0' && name[0] != '/' &&
           name[bytes - 1] != '/' && strstr(name, "//") == NULL;
}

/* Names of the same folder that are alike. */
static int
hint(const char *name, struct err *err)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash != NULL ? slash + 1 : name;
    char folder[sizeof(ZONE_FOLDER) + NAME_BYTES_MAX + 1];
    char best[NAME_MAX + 1], whole[NAME_BYTES_MAX + NAME_MAX + 1];
    struct dirent *entry;
    struct nearest nearest;
    DIR *dir;

    snprintf(folder, sizeof(folder), "%s/%.*s", ZONE_FOLDER, (int)(last - name), name);
    dir = opendir(folder);
    nearest_init(&nearest, slice_of(last));
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *before = nearest.best;

        nearest_offer(&nearest, entry->d_name);
        if (nearest.best == before || nearest.best == best)
            continue;
        snprintf(best, sizeof(best), "%s", entry->d_name);
        nearest.best = best;
    }
    if (dir != NULL)
        closedir(dir);
    if (nearest.best != NULL) {
        snprintf(whole, sizeof(whole), "%.*s%s", (int)(last - name), name, nearest.best);
        nearest.best = whole;
    }
    return nearest_hint(&nearest, err);
}

static struct time_zone *
utc(struct arena *arena)
{
    struct time_zone *zone = arena_zalloc(arena, sizeof(*zone));

    if (zone == NULL)
        return NULL;
    zone->has_rule = zone_rule_read(&zone->rule, SLICE("UTC0"));
    return zone;
}

static struct time_zone *
load(struct arena *arena, const char *name, const char *path, struct err *err)
{
    char bytes[FILE_BYTES_MAX];
    ssize_t count = read_whole(path, bytes);
    struct time_zone *zone;

    if (count < 0 && errno == ENOENT && name == NULL)
        return utc(arena);
    if (count < 0 && errno == ENOENT) {
        err_set(err, "there is no time zone \"%s\" in %s (package tzdata)", name, ZONE_FOLDER);
        hint(name, err);
        return NULL;
    }
    if (count < 0) {
        err_errno(err, "%s", path);
        return NULL;
    }
    zone = time_zone_read(arena, slice_make(bytes, (size_t)count), err);
    if (zone == NULL)
        err_prefix(err, "time zone \"%s\": ", name != NULL ? name : path);
    return zone;
}

struct time_zone *
time_zone_load(struct arena *arena, const char *name, struct err *err)
{
    char path[sizeof(ZONE_FOLDER) + NAME_BYTES_MAX + 1];

    if (name == NULL)
        return load(arena, NULL, SYSTEM_ZONE, err);
    if (strcmp(name, "UTC") == 0)
        return utc(arena);
    if (!is_name(name)) {
        err_set(err, "\"%s\" is no name of a time zone; write one like \"Europe/Berlin\"", name);
        return NULL;
    }
    snprintf(path, sizeof(path), "%s/%s", ZONE_FOLDER, name);
    return load(arena, name, path, err);
}

/* ---- asking */

const struct zone_offset *
time_zone_at(const struct time_zone *zone, int64_t now_s)
{
    unsigned low = 0, high = zone->time_count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (zone->times[middle] <= now_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == zone->time_count && zone->has_rule)
        return zone_rule_at(&zone->rule, now_s);
    return &zone->offsets[low > 0 ? zone->types[low - 1] : 0];
}
