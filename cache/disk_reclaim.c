/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_reclaim.c - the oldest segment goes, and what was used stays.
 *
 * What was read since it was written is written again to the open segment, up
 * to half a segment of it, in one piece however many pieces it was in; all else
 * leaves the index with the file. It goes in steps, one per turn of the writer,
 * between which reads and writes go on.
 *
 * An object that is written again was compared with all purges so far, so it
 * counts as fetched now; otherwise purges would have to be remembered for as
 * long as the longest-lived object.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include "server/base/log.h"

#include <errno.h>
#include <sys/statvfs.h>

#define STEP_ENTRIES 2048u
#define KEEP_MAX (32u * 1024 * 1024) /* one object */
#define ROOM_MS 5000u                /* between looks at the file system */

/* ---- how much room there is */

void
disk_look_at_room(struct disk *disk, uint64_t now_ms)
{
    struct disk_reclaim *reclaim = &disk->reclaim;
    struct statvfs st;

    if (now_ms < reclaim->room_ms || fstatvfs(disk->folder, &st) < 0)
        return;
    reclaim->room_ms = now_ms + ROOM_MS;
    reclaim->is_short_of_room = (uint64_t)st.f_bavail * st.f_frsize <
                                atomic_load(&disk->min_free_bytes);
}

bool
disk_is_over(struct disk *disk)
{
    struct disk_append *append = &disk->append;
    uint64_t most = atomic_load_explicit(&disk->max_bytes, memory_order_relaxed);
    uint64_t whole = disk_segment_bytes(disk);
    uint64_t pinned = disk->reclaim.gone_count * whole;
    struct segments_facts facts;

    if (!atomic_load(&disk->is_loaded))
        return false;
    if (disk->reclaim.segment != NULL || disk->reclaim.is_short_of_room)
        return true;
    segments_facts(&disk->segments, &facts);
    if (append->segment != NULL) /* counts as full */
        facts.bytes -= append->end < facts.bytes ? append->end : facts.bytes;
    /* What slow readers still hold takes room, too; but they may not empty the store. */
    return facts.bytes + whole + (pinned < most / 2 ? pinned : most / 2) > most;
}

/* ---- keeping what was used */

static struct place
place_of(const struct segment *segment, const struct segment_entry *entry)
{
    return (struct place){ .slot = segment->slot, .unit = entry->unit };
}

/* Whether the record at a place, which is in another segment, has content in this one. */
static bool
has_content_in(struct disk *disk, uint64_t hash, const struct place *place,
               const struct segment *segment)
{
    struct disk_reading reading;
    const struct record_extent *extents;
    bool has = false;

    if (!disk_read_record(disk, hash, place, DISK_SCRATCH_BYTES / 16, &disk->writer_scratch,
                          &reading))
        return false;
    extents = record_extents(reading.prefix);
    for (uint32_t i = 0; i < reading.record.extent_count; i++)
        has = has || extents[i].segment == segment->number;
    disk_reading_fini(&reading);
    return has;
}

/* Whether somebody wanted it since it was written. */
static bool
is_in_use(const struct disk *disk, uint64_t hash, const struct place *place)
{
    return place->is_read || (disk->is_hot != NULL && disk->is_hot(disk->arg, hash));
}

/* Half of it, so that reclaiming always makes room, also when segments get longer. */
static uint64_t
kept_most(const struct disk *disk)
{
    uint64_t bytes = atomic_load(&disk->reclaim.segment->bytes);
    uint64_t usual = disk_segment_bytes(disk);

    return (bytes < usual ? bytes : usual) / 2;
}

/* Whether entry is of an object that was used and would be lost with the segment. */
static bool
is_worth_keeping(struct disk *disk, const struct segment_entry *entry, struct place *place)
{
    const struct disk_reclaim *reclaim = &disk->reclaim;
    struct place here = place_of(reclaim->segment, entry);
    uint64_t bytes;

    if (entry->kind == RECORD_FORGET || !index_find(disk->index, entry->hash, place) ||
        !is_in_use(disk, entry->hash, place))
        return false;
    bytes = size_class_bytes(place->size_class);
    if (bytes > KEEP_MAX || reclaim->kept_bytes + bytes > kept_most(disk))
        return false;
    return place_equal(place, &here) ||
           (place->is_long && has_content_in(disk, entry->hash, place, reclaim->segment));
}

/* Not even softly purged; seq: what the object counts as fetched at from now on. */
static bool
is_unpurged(struct disk *disk, const struct object *object)
{
    return disk->purges == NULL ||
           purges_judge_tags(disk->purges, object->seq, object->tags, object->tag_count,
                             object->url) == PURGE_NONE;
}

static void
keep(struct disk *disk, uint64_t hash, const struct place *place)
{
    uint64_t seq = atomic_load(disk->next_seq); /* before it is judged */
    struct object *object = disk_read_object(disk, hash, place, NULL, KEEP_MAX,
                                             &disk->writer_scratch);

    if (object == NULL)
        return;
    if (is_unpurged(disk, object)) {
        object->seq = seq > object->seq ? seq : object->seq; /* nobody else has it */
        if (disk_append_object(disk, object, false)) {
            disk->reclaim.kept_bytes += size_class_bytes(place->size_class);
            count(&disk->counts.readmitted, 1);
        }
    }
    object_unref(object);
}

/* ---- steps */

/* Begins with the oldest segment. False: there is none but the open one. */
static bool
begin(struct disk *disk)
{
    struct disk_reclaim *reclaim = &disk->reclaim;
    struct segment *oldest = segments_from(&disk->segments, 0);

    if (oldest == NULL)
        return false;
    if (oldest == disk->append.segment) {
        segment_unref(oldest);
        if (!reclaim->is_short_of_room || disk->append.contents.count == 0)
            return false;
        append_seal(disk); /* it goes next */
        return true;
    }
    contents_init(&reclaim->contents);
    if (!segment_list(oldest, &reclaim->contents))
        count(&disk->counts.errors, 1); /* what cannot be read cannot be kept */
    reclaim->segment = oldest;
    reclaim->at = 0;
    reclaim->kept_bytes = 0;
    return true;
}

void
disk_close_gone(struct disk *disk, bool is_end)
{
    struct segment **at = &disk->reclaim.gone;

    while (*at != NULL) {
        struct segment *segment = *at;

        /* Nobody can come to it any more: a reference that is the only one stays so. */
        if (is_end || atomic_load(&segment->references) == 1) {
            *at = segment->next_gone;
            disk->reclaim.gone_count--;
            segment_unref(segment);
        } else {
            at = &segment->next_gone;
        }
    }
}

static void
bury(struct disk *disk, struct segment *segment)
{
    segments_remove(&disk->segments, segment);
    segment->next_gone = disk->reclaim.gone;
    disk->reclaim.gone = segment;
    disk->reclaim.gone_count++;
}

static void
finish(struct disk *disk)
{
    struct disk_reclaim *reclaim = &disk->reclaim;
    struct segment *segment = reclaim->segment;

    append_flush(disk); /* the index points to what was kept */
    for (size_t i = 0; i < reclaim->contents.count; i++) {
        struct place here = place_of(segment, &reclaim->contents.items[i]);

        if (reclaim->contents.items[i].kind != RECORD_EXTENT)
            disk_index_remove(disk, reclaim->contents.items[i].hash, &here);
    }
    if (segment_unlink(segment, disk->folder) < 0 && errno != ENOENT)
        disk_fail(disk, "cannot remove a segment");
    for (size_t i = 0; i < reclaim->contents.count; i++)
        disk_tell_lost(disk, reclaim->contents.items[i].hash);
    bury(disk, segment);
    contents_fini(&reclaim->contents);
    reclaim->segment = NULL;
    reclaim->room_ms = 0;
    count(&disk->counts.reclaimed_segments, 1);
    log_debug("cache \"%s\": a segment was reclaimed, %llu bytes of it kept", disk->path,
              (unsigned long long)reclaim->kept_bytes);
}

bool
disk_reclaim_step(struct disk *disk)
{
    struct disk_reclaim *reclaim = &disk->reclaim;
    uint64_t kept_bytes;

    if (reclaim->segment == NULL) {
        if (begin(disk))
            return true;
        if (reclaim->is_short_of_room) { /* others have filled the file system */
            errno = ENOSPC;
            disk_fail(disk, "cannot make room");
        }
        return false;
    }
    kept_bytes = reclaim->kept_bytes;
    for (unsigned i = 0; i < STEP_ENTRIES && reclaim->at < reclaim->contents.count &&
                         reclaim->kept_bytes - kept_bytes < DISK_BATCH_BYTES;
         i++) {
        const struct segment_entry *entry = &reclaim->contents.items[reclaim->at++];
        struct place place;

        if (!atomic_load(&disk->is_failed) && is_worth_keeping(disk, entry, &place))
            keep(disk, entry->hash, &place);
    }
    if (reclaim->at == reclaim->contents.count)
        finish(disk);
    return disk_is_over(disk);
}

/* ---- quotas */

/* Forgets a site's objects in these contents until it has few enough. */
static void
forget_some(struct disk *disk, uint16_t number, const struct segment *segment,
            const struct contents *contents)
{
    struct site_slot *slot = &disk->sites.items[number];
    uint64_t quota = atomic_load_explicit(&slot->quota, memory_order_relaxed);
    uint32_t site = atomic_load(&slot->site);

    for (size_t i = 0; i < contents->count; i++) {
        const struct segment_entry *entry = &contents->items[i];
        struct place here = place_of(segment, entry);

        if (atomic_load_explicit(&slot->bytes, memory_order_relaxed) <= quota - quota / 20)
            return;
        if (entry->site == site && entry->kind == RECORD_OBJECT)
            disk_drop(disk, entry->hash, &here);
    }
    if (segment != disk->append.segment)
        slot->swept_to = segment->number + 1;
}

bool
disk_quota_step(struct disk *disk)
{
    uint16_t number = atomic_load(&disk->is_loaded) ? site_slot_over_quota(&disk->sites) : 0;
    struct contents contents;
    struct segment *segment;
    bool is_open;

    if (number == 0)
        return false;
    append_flush(disk);
    segment = segments_from(&disk->segments, disk->sites.items[number].swept_to);
    if (segment == NULL)
        return false;
    is_open = segment == disk->append.segment;
    contents_init(&contents);
    if (is_open)
        forget_some(disk, number, segment, &disk->append.contents);
    else if (segment_list(segment, &contents))
        forget_some(disk, number, segment, &contents);
    else
        disk->sites.items[number].swept_to = segment->number + 1;
    contents_fini(&contents);
    segment_unref(segment);
    return !is_open;
}

void
disk_set_quota(struct disk *disk, uint32_t site, uint64_t max_bytes)
{
    uint16_t number = site_slot_of(&disk->sites, site);

    if (number != 0)
        site_slot_set_quota(&disk->sites, number, max_bytes);
}

uint64_t
disk_site_bytes(const struct disk *disk, uint32_t site)
{
    uint16_t number = site_slot_of((struct site_slots *)(uintptr_t)&disk->sites, site);

    return number != 0 ? atomic_load(&disk->sites.items[number].bytes) : 0;
}
