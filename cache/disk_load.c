/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_load.c - the index, from what the segments say of themselves.
 *
 * One segment at a time, while others already store: so an entry gives way to
 * one that is newer, by segment and then by place, whichever comes first.
 * Something forgotten leaves a mark in the index until all is loaded.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include "server/base/clock.h"
#include "server/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SEGMENTS_MAX (INDEX_SLOTS / 2) /* more than any limit allows; the oldest go */

/* ---- which there are */

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static bool
add_number(struct disk_load *load, size_t *room, uint64_t number)
{
    if (load->count == *room) {
        uint64_t *more = reallocarray(load->numbers, *room * 2, sizeof(*more));

        if (more == NULL)
            return false;
        load->numbers = more;
        *room *= 2;
    }
    load->numbers[load->count++] = number;
    return true;
}

static void
remove_file(const struct disk *disk, uint64_t number)
{
    char name[SEGMENT_NAME_MAX];

    segment_name(number, name);
    unlinkat(disk->folder, name, 0);
}

/* More than can be numbered: a folder that somebody filled. */
static void
cut(struct disk *disk)
{
    struct disk_load *load = &disk->load;
    size_t extra = load->count > SEGMENTS_MAX ? load->count - SEGMENTS_MAX : 0;

    for (size_t i = 0; i < extra; i++)
        remove_file(disk, load->numbers[i]);
    load->count -= extra;
    memmove(load->numbers, load->numbers + extra, load->count * sizeof(uint64_t));
}

int
disk_load_list(struct disk *disk, struct err *err)
{
    struct disk_load *load = &disk->load;
    int fd = openat(disk->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool has_memory = true;
    struct dirent *entry;
    size_t room = 64;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return err_errno(err, "cannot list the folder \"%s\"", disk->path);
    }
    load->started_ms = clock_monotonic_ms();
    load->numbers = malloc(room * sizeof(uint64_t));
    has_memory = load->numbers != NULL;
    while (has_memory && (entry = readdir(dir)) != NULL) {
        uint64_t number = segment_number_of(entry->d_name);

        if (number != 0)
            has_memory = add_number(load, &room, number);
    }
    closedir(dir);
    if (!has_memory)
        return err_set(err, "out of memory");
    qsort(load->numbers, load->count, sizeof(uint64_t), compare);
    cut(disk);
    if (load->count > 0)
        disk->append.last_number = load->numbers[load->count - 1];
    return 0;
}

/* ---- entries */

struct newcomer {
    struct disk *disk;
    struct place place;
};

static bool
is_newer(const struct place *old, void *arg)
{
    const struct newcomer *newcomer = arg;

    if (old->slot == newcomer->place.slot)
        return old->unit > newcomer->place.unit;
    return segments_is_newer(&newcomer->disk->segments, old->slot, newcomer->place.slot);
}

static void
load_entry(struct disk *disk, const struct segment *segment, const struct segment_entry *entry)
{
    struct newcomer newcomer = {
        .disk = disk,
        .place = {
            .slot = segment->slot,
            .site = site_slot_of(&disk->sites, entry->site),
            .unit = entry->unit,
            .size_class = entry->size_class,
            .is_long = entry->is_long != 0,
            .is_mark = entry->kind == RECORD_FORGET,
        },
    };
    struct place old;
    enum index_put result;

    if (entry->kind != RECORD_OBJECT && entry->kind != RECORD_FORGET)
        return;
    result = index_put_unless(disk->index, entry->hash, &newcomer.place, is_newer, &newcomer,
                              &old);
    if (result == INDEX_REFUSED)
        return; /* a newer one is there, or memory is short: then it is not found */
    if (result == INDEX_REPLACED && !old.is_mark)
        site_slot_discount(&disk->sites, old.site, old.size_class);
    if (!newcomer.place.is_mark)
        site_slot_count(&disk->sites, newcomer.place.site, newcomer.place.size_class);
}

static void
raise(_Atomic uint64_t *seq, uint64_t to)
{
    uint64_t now = atomic_load(seq);

    while (now < to && !atomic_compare_exchange_weak(seq, &now, to))
        ;
}

static void
load_contents(struct disk *disk, struct segment *segment, const struct contents *contents)
{
    atomic_store(&segment->min_seq, contents->min_seq);
    if (contents->max_seq < UINT64_MAX / 2)
        raise(disk->next_seq, contents->max_seq + 1);
    for (size_t i = 0; i < contents->count; i++)
        load_entry(disk, segment, &contents->items[i]);
}

static void
load_segment(struct disk *disk, uint64_t number, uint16_t slot)
{
    struct segment *segment = segment_open(disk->folder, number, &disk->key);
    struct contents contents;

    if (segment == NULL) {
        log_warn("cache \"%s\": segment %llu cannot be used: %s", disk->path,
                 (unsigned long long)number, errno == EBADMSG ? "it is none of this store's"
                                                              : strerror(errno));
        if (errno == EBADMSG)
            remove_file(disk, number);
        return;
    }
    segment->slot = slot;
    contents_init(&contents);
    if (!segment_list(segment, &contents))
        log_warn("cache \"%s\": segment %llu cannot be read: %s", disk->path,
                 (unsigned long long)number, strerror(errno));
    if (contents.count == 0)
        remove_file(disk, number);
    else if (segments_add(&disk->segments, segment))
        load_contents(disk, segment, &contents);
    contents_fini(&contents);
    segment_unref(segment);
}

void
disk_load_step(struct disk *disk)
{
    struct disk_load *load = &disk->load;

    if (load->at < load->count) {
        load_segment(disk, load->numbers[load->at], (uint16_t)(load->at + 1));
        load->at++;
        return;
    }
    atomic_store(&disk->is_loaded, true); /* from now on no marks are added */
    index_drop_marks(disk->index);
    free(load->numbers);
    load->numbers = NULL;
    log_info("cache \"%s\": %llu objects in %zu segments, loaded in %llu ms", disk->path,
             (unsigned long long)index_count(disk->index), load->count,
             (unsigned long long)(clock_monotonic_ms() - load->started_ms));
}
