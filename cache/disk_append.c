/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_append.c - the open segment, to whose end everything is written.
 *
 *     ... written | batch: record record record | free
 *                 batch_at                      end
 *
 * Small records are gathered and written with one call; only then does the
 * index learn of them. All of it belongs to whoever holds the writer's role.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/log/log_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SCRATCH_BYTES (1024u * 1024)
#define EXTENT_LEAST (1024u * 1024) /* less is not worth splitting an extent for a segment's end */

uint64_t
disk_segment_bytes(const struct disk *disk)
{
    return atomic_load_explicit(&disk->segment_bytes, memory_order_relaxed);
}

/* ---- opening and closing */

static void
close_segment(struct disk_append *append)
{
    segment_unref(append->segment);
    append->segment = NULL;
    append->contents.count = 0;
    append->contents.min_seq = UINT64_MAX;
    append->contents.max_seq = 0;
}

static void
drop_pending(struct disk *disk)
{
    struct disk_append *append = &disk->append;

    for (unsigned i = 0; i < append->pending_count; i++) {
        struct disk_pending *pending = &append->pending[i];

        count(&disk->counts.dropped_writes, 1);
        disk_index_remove(disk, pending->hash, NULL); /* what is there is older */
        if (pending->object == NULL)
            atomic_fetch_sub(disk_mark_counter(disk, pending->hash), 1);
        object_unref(pending->object);
    }
    append->pending_count = 0;
    append->iov_count = 0;
    append->scratch_used = 0;
    append->batch_at = append->end;
}

void
disk_fail(struct disk *disk, const char *what)
{
    static struct log_limit limit = LOG_LIMIT(1);
    struct disk_append *append = &disk->append;
    int error = errno;
    struct stat st;

    count(&disk->counts.errors, 1);
    if (!atomic_exchange(&disk->is_failed, true))
        log_limited(&limit, LEVEL_ERROR, "cache \"%s\": %s: %s; nothing is stored there until that "
                    "works again", disk->path, what, strerror(error));
    append->retry_ms = clock_monotonic_ms() + DISK_RETRY_MS;
    if (error == ENOSPC || error == EDQUOT)
        disk->reclaim.is_short_of_room = true;
    if (append->segment == NULL)
        return;
    if (append->batch_at == SEGMENT_HEADER_BYTES) { /* nothing is there */
        segment_unlink(append->segment, disk->folder);
        segments_remove(&disk->segments, append->segment);
    } else if (fstat(append->segment->fd, &st) == 0) { /* what is there may still be read */
        atomic_store(&append->segment->bytes, (uint64_t)st.st_size);
    }
    drop_pending(disk);
    close_segment(append);
}

static bool
open_segment(struct disk *disk)
{
    struct disk_append *append = &disk->append;
    struct segment *segment;

    segment = segment_create(disk->folder, append->last_number + 1, &disk->key);
    if (segment == NULL) {
        if (errno == EEXIST)
            append->last_number++; /* somebody else's; the next one */
        disk_fail(disk, "cannot make a segment");
        return false;
    }
    append->last_number++;
    if (!segments_add(&disk->segments, segment)) {
        segment_unlink(segment, disk->folder);
        segment_unref(segment);
        return false;
    }
    append->segment = segment;
    append->end = append->batch_at = SEGMENT_HEADER_BYTES;
    return true;
}

bool
append_reopen(struct disk *disk)
{
    if (disk->append.segment == NULL && !open_segment(disk))
        return false;
    if (atomic_exchange(&disk->is_failed, false))
        log_info("cache \"%s\": storing again", disk->path);
    return true;
}

void
append_seal(struct disk *disk)
{
    struct disk_append *append = &disk->append;

    append_flush(disk);
    if (append->segment == NULL)
        return;
    if (!segment_seal(append->segment, append->end, &append->contents)) {
        disk_fail(disk, "cannot seal a segment");
        return;
    }
    disk_push_sync(disk, append->segment);
    append->dirty_ms = 0;
    close_segment(append);
}

/* Makes sure of bytes at the end of the open segment, in one piece. */
static bool
make_room(struct disk *disk, uint64_t bytes)
{
    struct disk_append *append = &disk->append;
    uint64_t limit = disk_segment_bytes(disk);

    if (SEGMENT_HEADER_BYTES + bytes + contents_bytes(1) > limit)
        return false;
    if (append->segment != NULL &&
        append->end + bytes + contents_bytes(append->contents.count + 1) > limit)
        append_seal(disk);
    if (atomic_load_explicit(&disk->is_failed, memory_order_relaxed))
        return false;
    return append->segment != NULL || open_segment(disk);
}

static void
set_end(struct disk_append *append, uint64_t end)
{
    append->end = end;
    atomic_store(&append->segment->bytes, end);
    if (append->dirty_ms == 0)
        append->dirty_ms = clock_monotonic_ms();
}

static bool
list_record(struct disk *disk, const struct record *record)
{
    struct disk_append *append = &disk->append;
    struct segment_entry entry = segment_entry_of(record, append->end);

    if (!contents_add(&append->contents, &entry))
        return false;
    atomic_store(&append->segment->min_seq, append->contents.min_seq);
    return true;
}

/* ---- records */

/* Scratch memory for a prefix; only an empty batch may move it. */
static char *
take_scratch(struct disk *disk, size_t bytes)
{
    struct disk_append *append = &disk->append;
    size_t room = bytes > SCRATCH_BYTES ? bytes : SCRATCH_BYTES;
    char *more;

    if (append->scratch_bytes - append->scratch_used < bytes)
        append_flush(disk);
    if (append->pending_count == 0 &&
        (append->scratch_bytes < bytes || append->scratch_bytes > SCRATCH_BYTES) &&
        append->scratch_bytes != room) {
        more = realloc(append->scratch, room);
        if (more == NULL)
            return NULL;
        append->scratch = more;
        append->scratch_bytes = room;
    }
    return append->scratch + append->scratch_used;
}

char *
append_prepare(struct disk *disk, const struct record *record)
{
    struct disk_append *append = &disk->append;
    size_t bytes = (size_t)record_align(record_prefix_bytes(record));
    char *prefix;

    if (append->pending_count == DISK_BATCH_RECORDS)
        append_flush(disk);
    if (!make_room(disk, record_bytes(record)))
        return NULL;
    prefix = take_scratch(disk, bytes);
    if (prefix == NULL || append->segment == NULL) /* flushing may have failed */
        return NULL;
    memset(prefix, 0, bytes);
    memcpy(prefix, record, sizeof(*record));
    return prefix;
}

static struct place
place_of(struct disk *disk, const struct segment_entry *entry)
{
    return (struct place){
        .slot = disk->append.segment->slot,
        .site = site_slot_of(&disk->sites, entry->site),
        .unit = entry->unit,
        .size_class = entry->size_class,
        .is_long = entry->is_long,
        .is_mark = entry->kind == RECORD_FORGET,
    };
}

/* Body and padding go behind the prefix; without a body the padding is in scratch. */
static void
add_iov(struct disk_append *append, char *prefix, const struct record *record, const char *body)
{
    static const char zeros[RECORD_UNIT];
    size_t prefix_bytes = (size_t)record_prefix_bytes(record);
    size_t padding = (size_t)(record_bytes(record) - prefix_bytes - record->body_bytes);

    if (body == NULL) {
        append->iov[append->iov_count++] =
            (struct iovec){ prefix, (size_t)record_align(prefix_bytes) };
        return;
    }
    append->iov[append->iov_count++] = (struct iovec){ prefix, prefix_bytes };
    append->iov[append->iov_count++] =
        (struct iovec){ (void *)(uintptr_t)body, (size_t)record->body_bytes };
    if (padding > 0)
        append->iov[append->iov_count++] = (struct iovec){ (void *)(uintptr_t)zeros, padding };
}

bool
append_record(struct disk *disk, char *prefix, const struct record *record, const char *body,
              struct object *object)
{
    struct disk_append *append = &disk->append;
    struct segment_entry entry = segment_entry_of(record, append->end);

    if (!list_record(disk, record))
        return false;
    append->pending[append->pending_count++] = (struct disk_pending){
        .hash = record->hash,
        .place = place_of(disk, &entry),
        .object = object != NULL ? object_ref(object) : NULL,
    };
    record_seal(prefix, record, append->segment->salt, append->end);
    add_iov(append, prefix, record, body);
    append->scratch_used += (size_t)record_align(record_prefix_bytes(record));
    set_end(append, append->end + record_bytes(record));
    if (append->end - append->batch_at >= DISK_BATCH_BYTES)
        append_flush(disk);
    return true;
}

/* ---- the batch */

/* An object that was forgotten meanwhile, by a mark that waits behind it, is not
 * entered: nobody may find it in between. What it was to replace is out of date. */
static void
enter(struct disk *disk, struct disk_pending *pending)
{
    _Atomic uint32_t *marks = disk_mark_counter(disk, pending->hash);

    if (pending->object == NULL) {
        atomic_fetch_sub(marks, 1);
        if (atomic_load(&disk->is_loaded))
            disk_index_remove(disk, pending->hash, NULL);
        else
            (void)disk_index_put(disk, pending->hash, &pending->place);
        return;
    }
    if (atomic_load(marks) != 0 || atomic_load(&pending->object->is_gone) ||
        !disk_index_put(disk, pending->hash, &pending->place)) {
        disk_index_remove(disk, pending->hash, NULL);
        count(&disk->counts.dropped_writes, 1);
    }
    count(&disk->counts.writes, 1); /* who sees this finds it */
    object_unref(pending->object);
}

void
append_flush(struct disk *disk)
{
    struct disk_append *append = &disk->append;
    unsigned pending_count = append->pending_count;

    if (pending_count == 0)
        return;
    if (!segment_write(append->segment, append->batch_at, append->iov, append->iov_count)) {
        disk_fail(disk, "cannot write");
        return;
    }
    count(&disk->counts.written_bytes, append->end - append->batch_at);
    append->batch_at = append->end;
    append->iov_count = 0;
    append->scratch_used = 0;
    append->pending_count = 0;
    for (unsigned i = 0; i < pending_count; i++)
        enter(disk, &append->pending[i]);
}

/* ---- room for long content */

static uint64_t
left_in_segment(const struct disk *disk)
{
    const struct disk_append *append = &disk->append;
    uint64_t taken = append->end + sizeof(struct record) +
                     contents_bytes(append->contents.count + 1);
    uint64_t limit = disk_segment_bytes(disk);

    return append->segment != NULL && taken < limit ? limit - taken : 0;
}

struct segment *
append_extent(struct disk *disk, uint64_t hash, uint64_t *bytes, struct record *record,
              uint64_t *offset)
{
    struct disk_append *append = &disk->append;
    uint64_t left;

    append_flush(disk);
    left = left_in_segment(disk) / RECORD_BLOCK * RECORD_BLOCK;
    if (*bytes > left && left >= EXTENT_LEAST)
        *bytes = left;
    *record = record_make(RECORD_EXTENT, hash, 0);
    record->body_bytes = *bytes;
    if (!make_room(disk, record_bytes(record)))
        return NULL;
    *offset = append->end;
    if (!list_record(disk, record))
        return NULL;
    set_end(append, append->end + record_bytes(record));
    append->batch_at = append->end;
    return append->segment;
}

void
append_trim(struct disk *disk, struct segment *segment, uint64_t offset, struct record *record,
            uint64_t bytes)
{
    struct disk_append *append = &disk->append;
    struct iovec iov = { record, sizeof(*record) };
    struct segment_entry *last;

    append_flush(disk);
    if (segment != append->segment || offset + record_bytes(record) != append->end)
        return;
    last = &append->contents.items[append->contents.count - 1];
    record->body_bytes = bytes;
    *last = segment_entry_of(record, offset);
    record_seal((char *)record, record, segment->salt, offset);
    if (!segment_write(segment, offset, &iov, 1)) {
        disk_fail(disk, "cannot write");
        return;
    }
    set_end(append, offset + record_bytes(record));
    append->batch_at = append->end;
}
