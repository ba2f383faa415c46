/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_body.c - content on disk: its extents, its checksums, and who may send what of it.
 *
 *     content   |  extent 0              |  extent 1    |
 *     blocks    |  0  |  1  |  2  |  3   |  4  |  5  | 6|     64 KB, a checksum each
 *     verified     x     x                  x
 *
 * A block may be sent once its checksum was compared in this process, or when
 * this process wrote it; and is sent without waiting when its pages are in memory:
 * one byte of it is asked for with RWF_NOWAIT. Content that still grows is whole up
 * to its last block, which has no checksum yet but was just written.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include <errno.h>
#include <stdlib.h>

/* ---- making and counting */

struct disk_body *
body_new(const struct disk *disk, uint64_t hash)
{
    struct disk_body *body = calloc(1, sizeof(*body));

    if (body == NULL)
        return NULL;
    atomic_init(&body->references, 1);
    pthread_mutex_init(&body->lock, NULL);
    body->hash = hash;
    body->is_read_through = atomic_load(&disk->verify) == DISK_VERIFY_ALWAYS;
    return body;
}

struct disk_body *
disk_body_ref(struct disk_body *body)
{
    atomic_fetch_add_explicit(&body->references, 1, memory_order_relaxed);
    return body;
}

void
disk_body_unref(struct disk_body *body)
{
    if (body == NULL ||
        atomic_fetch_sub_explicit(&body->references, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < body->extent_count; i++)
        segment_unref(body->extents[i].segment);
    pthread_mutex_destroy(&body->lock);
    free(body->extents);
    free(body->checks);
    free(body->verified);
    free(body);
}

bool
disk_body_is_read_through(const struct disk_body *body)
{
    return body->is_read_through;
}

bool
disk_body_is_lost(const struct disk_body *body)
{
    return atomic_load_explicit(&body->is_lost, memory_order_relaxed);
}

bool
disk_body_is_current(const struct disk_body *body)
{
    struct disk_body *locked = (struct disk_body *)(uintptr_t)body;
    bool is_current = true;

    pthread_mutex_lock(&locked->lock);
    for (uint32_t i = 0; i < body->extent_count; i++)
        is_current = is_current && !atomic_load(&body->extents[i].segment->is_gone);
    pthread_mutex_unlock(&locked->lock);
    return is_current;
}

/* ---- growing; under the lock, but for new bodies */

static bool
reserve_blocks(struct disk_body *body, uint64_t bytes)
{
    size_t blocks = (size_t)record_blocks(bytes);
    size_t room = body->block_room + body->block_room / 2;
    uint64_t *more;

    if (blocks <= body->block_room)
        return true;
    room = ((room > blocks ? room : blocks) + 63) & ~(size_t)63;
    more = reallocarray(body->checks, room, sizeof(*more));
    if (more == NULL)
        return false;
    body->checks = more;
    more = reallocarray(body->verified, room / 64, sizeof(*more));
    if (more == NULL)
        return false;
    body->verified = more;
    memset(more + body->block_room / 64, 0, (room - body->block_room) / 8);
    body->block_room = room;
    return true;
}

static bool
add_extent(struct disk_body *body, struct segment *segment, uint64_t offset, uint64_t bytes)
{
    uint64_t at = atomic_load_explicit(&body->bytes, memory_order_relaxed);
    struct body_extent *last = NULL;

    if (body->extent_count > 0)
        last = &body->extents[body->extent_count - 1];
    if (last != NULL && last->segment == segment && last->offset + last->bytes == offset) {
        last->bytes += bytes;
        return true;
    }
    if (body->extent_count == body->extent_room) {
        uint32_t room = body->extent_room * 2 + 1;
        struct body_extent *more = reallocarray(body->extents, room, sizeof(*more));

        if (more == NULL)
            return false;
        body->extents = more;
        body->extent_room = room;
    }
    body->extents[body->extent_count++] =
        (struct body_extent){ segment_ref(segment), offset, at, bytes };
    return true;
}

static inline bool
is_verified(const struct disk_body *body, size_t block)
{
    return body->verified[block / 64] >> (block % 64) & 1;
}

static inline void
set_verified(struct disk_body *body, size_t block)
{
    body->verified[block / 64] |= (uint64_t)1 << (block % 64);
}

bool
body_grow(struct disk_body *body, struct segment *segment, uint64_t offset, uint64_t bytes,
          const uint64_t *checks, size_t check_count)
{
    uint64_t before = atomic_load_explicit(&body->bytes, memory_order_relaxed);
    bool is_grown;

    pthread_mutex_lock(&body->lock);
    is_grown = reserve_blocks(body, before + bytes) && add_extent(body, segment, offset, bytes);
    if (is_grown) {
        size_t first = (size_t)(before / RECORD_BLOCK);

        if (check_count > 0)
            memcpy(body->checks + first, checks, check_count * sizeof(*checks));
        for (size_t i = first; i < record_blocks(before + bytes); i++)
            set_verified(body, i);
        atomic_store_explicit(&body->bytes, before + bytes, memory_order_release);
    }
    pthread_mutex_unlock(&body->lock);
    return is_grown;
}

void
body_end(struct disk_body *body, uint64_t check)
{
    uint64_t bytes = atomic_load_explicit(&body->bytes, memory_order_relaxed);

    pthread_mutex_lock(&body->lock);
    if (bytes % RECORD_BLOCK != 0)
        body->checks[bytes / RECORD_BLOCK] = check;
    body->is_whole = true;
    pthread_mutex_unlock(&body->lock);
}

/* ---- from and to records */

/* Errno of what is wrong with the extents, or 0. */
static int
add_listed(struct disk *disk, struct disk_body *body, const struct record_extent *extents,
           uint32_t extent_count)
{
    for (uint32_t i = 0; i < extent_count; i++) {
        struct segment *segment = segments_by_number(&disk->segments, extents[i].segment);
        bool is_added;

        if (segment == NULL)
            return ENOENT;
        is_added = add_extent(body, segment, extents[i].offset, extents[i].bytes);
        segment_unref(segment);
        if (!is_added)
            return ENOMEM;
        atomic_fetch_add(&body->bytes, extents[i].bytes);
    }
    return 0;
}

struct disk_body *
body_of_record(struct disk *disk, struct segment *segment, uint64_t offset, const char *prefix,
               const struct record *record)
{
    struct record_extent follows = { segment->number, offset + record_prefix_bytes(record),
                                     record->body_bytes };
    struct disk_body *body = body_new(disk, record->hash);
    int error = ENOMEM;

    if (body != NULL && reserve_blocks(body, record->body_bytes)) {
        memcpy(body->checks, record_checks(prefix, record),
               record_blocks(record->body_bytes) * sizeof(uint64_t));
        body->is_whole = true;
        error = record->extent_count > 0
                    ? add_listed(disk, body, record_extents(prefix), record->extent_count)
                    : add_listed(disk, body, &follows, 1);
    }
    if (error == 0)
        return body;
    disk_body_unref(body);
    errno = error;
    return NULL;
}

void
body_measure(struct disk_body *body, struct record *record)
{
    pthread_mutex_lock(&body->lock);
    record->extent_count = body->extent_count;
    record->body_bytes = atomic_load_explicit(&body->bytes, memory_order_relaxed);
    pthread_mutex_unlock(&body->lock);
}

bool
body_list(struct disk_body *body, const struct record *record, char *prefix)
{
    struct record_extent *extents = (void *)(uintptr_t)record_extents(prefix);
    uint64_t *checks = (void *)(uintptr_t)record_checks(prefix, record);
    bool is_there = true;

    pthread_mutex_lock(&body->lock);
    for (uint32_t i = 0; i < record->extent_count; i++) {
        const struct body_extent *from = &body->extents[i];

        extents[i] = (struct record_extent){ from->segment->number, from->offset, from->bytes };
        is_there = is_there && !atomic_load(&from->segment->is_gone);
    }
    memcpy(checks, body->checks, record_blocks(record->body_bytes) * sizeof(*checks));
    pthread_mutex_unlock(&body->lock);
    return is_there;
}

/* ---- reading */

/* The extent that has a byte; under the lock. */
static const struct body_extent *
extent_at(const struct disk_body *body, uint64_t at)
{
    uint32_t low = 0, high = body->extent_count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (body->extents[middle].at <= at)
            low = middle;
        else
            high = middle;
    }
    return &body->extents[low];
}

/* Whether a block that was read is what was written; notes it. */
static bool
verify_block(struct disk_body *body, uint64_t at, const char *data, size_t bytes)
{
    size_t block = (size_t)(at / RECORD_BLOCK);
    bool is_known, is_good = true;
    uint64_t check;

    pthread_mutex_lock(&body->lock);
    check = body->checks[block];
    is_known = (is_verified(body, block) && !body->is_read_through) ||
               (bytes < RECORD_BLOCK && !body->is_whole);
    pthread_mutex_unlock(&body->lock);
    if (is_known)
        return true;
    is_good = record_check(data, bytes) == check;
    if (is_good) {
        pthread_mutex_lock(&body->lock);
        set_verified(body, block);
        pthread_mutex_unlock(&body->lock);
    }
    return is_good;
}

bool
body_read(struct disk_body *body, uint64_t at, char *into, size_t bytes)
{
    while (bytes > 0) {
        const struct body_extent *extent;
        struct segment *segment;
        uint64_t offset;
        size_t run;

        pthread_mutex_lock(&body->lock);
        extent = extent_at(body, at);
        segment = extent->segment; /* pinned by the body */
        offset = extent->offset + (at - extent->at);
        run = extent->at + extent->bytes - at < bytes ? (size_t)(extent->at + extent->bytes - at)
                                                      : bytes;
        pthread_mutex_unlock(&body->lock);
        if (!segment_read(segment, offset, into, run))
            return false;
        bytes -= run;
        while (run > 0) {
            size_t block = run < RECORD_BLOCK ? run : RECORD_BLOCK;

            if (!verify_block(body, at, into, block)) {
                errno = EBADMSG;
                return false;
            }
            at += block;
            into += block;
            run -= block;
        }
    }
    return true;
}

/* ---- spans */

/* The part of the window that is in one extent and verified; under the lock. */
static size_t
find_span(const struct disk_body *body, uint64_t at, size_t bytes, struct disk_span *span)
{
    uint64_t end = atomic_load_explicit(&body->bytes, memory_order_relaxed);
    const struct body_extent *extent = extent_at(body, at);
    uint64_t good;

    if (end > extent->at + extent->bytes)
        end = extent->at + extent->bytes;
    if (end - at > bytes)
        end = at + bytes;
    for (good = at; good < end && is_verified(body, (size_t)(good / RECORD_BLOCK));)
        good = (good / RECORD_BLOCK + 1) * RECORD_BLOCK;
    if (good > end)
        good = end;
    span->fd = extent->segment->fd;
    span->offset = (off_t)(extent->offset + (at - extent->at));
    span->bytes = (size_t)(good - at);
    return span->bytes;
}

/* Bytes from the span's beginning that are in memory, as far as a byte of each block
 * and the last one tell. What a file system cannot tell is taken to be not. */
static size_t
resident(const struct disk_span *span)
{
    struct iovec iov;
    size_t at = 0;
    char byte;

    iov = (struct iovec){ &byte, 1 };
    while (at < span->bytes) {
        size_t next = at + RECORD_BLOCK < span->bytes ? at + RECORD_BLOCK : span->bytes;

        if (preadv2(span->fd, &iov, 1, span->offset + (off_t)at, RWF_NOWAIT) != 1 ||
            preadv2(span->fd, &iov, 1, span->offset + (off_t)next - 1, RWF_NOWAIT) != 1)
            return at;
        at = next;
    }
    return at;
}

static enum disk_span_state
span_of(struct disk_body *body, uint64_t at, size_t bytes, struct disk_span *span)
{
    enum disk_span_state state = DISK_SPAN_COLD;

    bool is_growing = atomic_load(&body->is_growing); /* before how far it has grown */

    if (atomic_load(&body->is_lost))
        return DISK_SPAN_LOST;
    if (at >= atomic_load(&body->bytes))
        return is_growing ? DISK_SPAN_AWAITED : DISK_SPAN_LOST;
    if (body->is_read_through)
        return DISK_SPAN_COLD;
    pthread_mutex_lock(&body->lock);
    if (find_span(body, at, bytes, span) > 0)
        state = DISK_SPAN_READY;
    pthread_mutex_unlock(&body->lock);
    return state;
}

enum disk_span_state
disk_body_span(struct disk_body *body, uint64_t at, size_t bytes, struct disk_span *span)
{
    enum disk_span_state state = span_of(body, at, bytes, span);

    if (state != DISK_SPAN_READY)
        return state;
    span->bytes = resident(span);
    return span->bytes > 0 ? DISK_SPAN_READY : DISK_SPAN_COLD;
}

enum disk_span_state
disk_body_span_warm(struct disk_body *body, uint64_t at, size_t bytes, struct disk_span *span)
{
    return span_of(body, at, bytes, span);
}
