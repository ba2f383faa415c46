/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_find.c - from a place in the index to an object in memory.
 *
 * The size in the index is enough for one read to bring head and small content.
 * Nothing is believed: lengths are compared with the file, checksums with the
 * bytes, and the key with the one that was asked for.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include <errno.h>
#include <stdlib.h>

#define HEAD_GUESS (16u * 1024) /* head and tables of nearly every object */
#define TRIES 3u                /* the entry may be replaced while its record is read */

/* ---- records */

/* 1: verified; 0 with errno. The beginning was read already. */
static bool
complete(struct disk_reading *reading)
{
    uint64_t file_bytes = atomic_load(&reading->segment->bytes);
    size_t prefix_bytes;

    errno = EBADMSG;
    if (reading->bytes < sizeof(struct record) || reading->offset >= file_bytes ||
        !record_parse(reading->prefix, file_bytes - reading->offset, &reading->record))
        return false;
    prefix_bytes = (size_t)record_prefix_bytes(&reading->record);
    if (prefix_bytes > reading->bytes) {
        reading->more = malloc(prefix_bytes);
        if (reading->more == NULL ||
            !segment_read(reading->segment, reading->offset, reading->more, prefix_bytes))
            return false;
        reading->prefix = reading->more;
        reading->bytes = prefix_bytes;
    }
    errno = EBADMSG;
    return record_verify(reading->prefix, &reading->record, reading->segment->salt,
                         reading->offset);
}

static bool
read_record(struct disk_reading *reading, uint64_t guess, struct disk_scratch *scratch)
{
    size_t bytes = guess < DISK_SCRATCH_BYTES ? (size_t)guess : DISK_SCRATCH_BYTES;
    ssize_t got;

    errno = ENOMEM;
    if (scratch->data == NULL)
        return false;
    got = segment_read_some(reading->segment, reading->offset, scratch->data, bytes);
    if (got < 0)
        return false;
    reading->prefix = scratch->data;
    reading->bytes = (size_t)got;
    return complete(reading);
}

bool
disk_read_record(struct disk *disk, uint64_t hash, const struct place *place, uint64_t guess,
                 struct disk_scratch *scratch, struct disk_reading *reading)
{
    *reading = (struct disk_reading){ .offset = (uint64_t)place->unit * RECORD_UNIT };
    reading->segment = segments_by_slot(&disk->segments, place->slot);
    if (reading->segment == NULL) { /* reclaimed a moment ago */
        disk_index_remove(disk, hash, place);
        return false;
    }
    if (read_record(reading, guess, scratch)) {
        if (reading->record.kind == RECORD_OBJECT && reading->record.hash == hash) {
            count(&disk->counts.read_bytes, reading->bytes);
            return true;
        }
        errno = EBADMSG;
    }
    if (errno != ENOMEM)
        disk_drop_unreadable(disk, hash, place);
    disk_reading_fini(reading);
    return false;
}

void
disk_reading_fini(struct disk_reading *reading)
{
    segment_unref(reading->segment);
    free(reading->more);
    reading->segment = NULL;
    reading->more = NULL;
}

/* ---- objects */

/* Content that came with the head. False: a checksum was wrong. */
static bool
take_body(const struct disk_reading *reading, struct object *object)
{
    const struct record *record = &reading->record;
    const char *body = reading->prefix + record_prefix_bytes(record);
    const uint64_t *checks = record_checks(reading->prefix, record);

    for (uint64_t at = 0; at < record->body_bytes; at += RECORD_BLOCK) {
        uint64_t left = record->body_bytes - at;

        if (record_check(body + at, left < RECORD_BLOCK ? left : RECORD_BLOCK) !=
            checks[at / RECORD_BLOCK])
            return false;
    }
    memcpy(object->body, body, record->body_bytes);
    return true;
}

/* False with errno. */
static bool
add_content(struct disk *disk, const struct disk_reading *reading, const struct place *place,
            struct object *object)
{
    const struct record *record = &reading->record;
    struct disk_body *body;
    bool is_read;

    if (record->body_bytes == 0)
        return true;
    if (object->body != NULL && record->extent_count == 0 &&
        reading->bytes >= record_prefix_bytes(record) + record->body_bytes) {
        errno = EBADMSG;
        return take_body(reading, object);
    }
    body = body_of_record(disk, reading->segment, reading->offset, reading->prefix, record);
    if (body == NULL)
        return false;
    if (object->body == NULL) {
        body->place = *place;
        object->body_bytes = record->body_bytes;
        atomic_store_explicit(&object->on_disk, body, memory_order_release);
        return true;
    }
    is_read = body_read(body, 0, object->body, (size_t)record->body_bytes);
    if (is_read)
        count(&disk->counts.read_bytes, record->body_bytes);
    disk_body_unref(body); /* closes nothing that errno is about */
    return is_read;
}

static bool
is_purged(struct disk *disk, const struct object *object)
{
    return disk->purges != NULL &&
           purges_judge_tags(disk->purges, object->seq, object->tags, object->tag_count,
                             object->url) == PURGE_HARD;
}

/* NULL: not it; what has to be was dropped. */
static struct object *
make_object(struct disk *disk, uint64_t hash, const struct place *place, const struct slice *key,
            uint64_t body_room, const struct disk_reading *reading)
{
    const struct record *record = &reading->record;
    bool is_wanted = record->body_bytes <= body_room;
    struct object *object = object_unpack(record_head(reading->prefix, record),
                                          is_wanted ? record->body_bytes : 0);

    if (object == NULL)
        return NULL; /* memory is short, or another version packed it */
    if (key != NULL && !slice_equal(*key, object->key)) {
        object_unref(object);
        return NULL;
    }
    if (is_purged(disk, object)) {
        disk_drop(disk, hash, place);
        object_unref(object);
        return NULL;
    }
    if (add_content(disk, reading, place, object))
        return object;
    if (errno == ENOENT) /* reclaimed, the head is alone */
        disk_drop(disk, hash, place);
    else if (errno != ENOMEM)
        disk_drop_unreadable(disk, hash, place);
    object_unref(object);
    return NULL;
}

struct object *
disk_read_object(struct disk *disk, uint64_t hash, const struct place *place,
                 const struct slice *key, uint64_t body_room, struct disk_scratch *scratch)
{
    uint64_t whole = size_class_bytes(place->size_class);
    uint64_t most = body_room < UINT64_MAX - HEAD_GUESS ? body_room + HEAD_GUESS : body_room;
    struct disk_reading reading;
    struct object *object;

    if (place->is_long || whole > most || whole > DISK_SCRATCH_BYTES)
        whole = HEAD_GUESS;
    if (!disk_read_record(disk, hash, place, whole, scratch, &reading))
        return NULL;
    object = make_object(disk, hash, place, key, body_room, &reading);
    disk_reading_fini(&reading);
    return object;
}

/* ---- queries */

static void
deliver(struct mail *mail)
{
    struct disk_query *query = container_of(mail, struct disk_query, mail);

    query->on_found(query);
}

void
disk_find_answer(struct disk_query *query)
{
    query->mail.deliver = deliver;
    loop_post(query->home, &query->mail);
}

void
disk_find_now(struct disk *disk, struct disk_query *query, struct disk_scratch *scratch)
{
    struct place place, now;

    count(&disk->counts.reads, 1);
    for (unsigned i = 0; i < TRIES && index_find(disk->index, query->hash, &place); i++) {
        struct object *object = disk_read_object(disk, query->hash, &place, &query->key,
                                                 query->body_room, scratch);

        if (index_find(disk->index, query->hash, &now) && place_equal(&place, &now)) {
            query->found = object;
            break;
        }
        object_unref(object); /* replaced or forgotten meanwhile */
    }
    if (query->found != NULL)
        index_touch(disk->index, query->hash);
    disk_find_answer(query);
}
