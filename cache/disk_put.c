/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_put.c - objects and marks on their way to disk, and the writer's turn.
 *
 * Content of more than a block that is on disk already, under the same key and
 * with the same checksums, is not written again: a 304, or the same answer
 * fetched once more, costs a head.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include "server/base/clock.h"
#include "server/http/message.h"

#include <stdlib.h>

#define REUSE_GUESS (16u * 1024)
#define TURN_JOBS 1024u

/* ---- on any thread */

/* The head was written when the content was committed. */
static bool
was_committed(struct disk_body *body, const struct object *object)
{
    bool was;

    pthread_mutex_lock(&body->lock);
    was = body->committed == object && body->committed_seq == object->seq &&
          body->committed_s == object->life.response_s;
    pthread_mutex_unlock(&body->lock);
    return was;
}

static bool
push_object(struct disk *disk, struct object *object)
{
    struct disk_job *job = malloc(sizeof(*job));

    if (job == NULL)
        return false;
    *job = (struct disk_job){ .kind = JOB_PUT, .bytes = object_memory(object),
                              .object = object_ref(object) };
    if (disk_push_job(disk, job, false))
        return true;
    object_unref(object);
    free(job);
    return false;
}

static void
push_mark(struct disk *disk, uint64_t hash)
{
    struct disk_job *job = malloc(sizeof(*job));

    atomic_fetch_add(disk_mark_counter(disk, hash), 1);
    if (job != NULL) {
        *job = (struct disk_job){ .kind = JOB_FORGET, .hash = hash };
        if (disk_push_job(disk, job, true))
            return;
        free(job);
    }
    atomic_fetch_sub(disk_mark_counter(disk, hash), 1);
    count(&disk->counts.dropped_writes, 1);
}

void
disk_forget(struct disk *disk, uint64_t hash, struct slice key)
{
    (void)key; /* two keys with one hash are forgotten together */
    push_mark(disk, hash);
    if (atomic_load(&disk->is_loaded))
        disk_index_remove(disk, hash, NULL);
}

void
disk_drop(struct disk *disk, uint64_t hash, const struct place *at)
{
    if (disk_index_remove(disk, hash, at))
        push_mark(disk, hash);
}

bool
disk_put(struct disk *disk, struct object *object)
{
    struct disk_body *body = atomic_load_explicit(&object->on_disk, memory_order_acquire);

    if (object->body_bytes == LENGTH_UNKNOWN ||
        (object->body_bytes > 0 && object->body == NULL && body == NULL))
        return false;
    if (body != NULL && was_committed(body, object))
        return true;
    if (!atomic_load(&disk->is_failed) && push_object(disk, object))
        return true;
    count(&disk->counts.dropped_writes, 1);
    disk_drop(disk, object->hash, NULL); /* what is there is older */
    return false;
}

/* ---- the writer's */

static struct record
record_of(const struct object *object)
{
    struct record record = record_make(RECORD_OBJECT, object->hash, object->seq);

    record.site = object->site;
    record.head_bytes = (uint32_t)object_packed_bytes(object);
    record.body_bytes = object->body_bytes;
    return record;
}

static void
pack_head(const struct object *object, char *prefix, const struct record *record)
{
    object_pack(object, (char *)(uintptr_t)record_head(prefix, record).data);
}

/* A head whose content is in body. */
static bool
append_head(struct disk *disk, struct object *object, struct disk_body *body)
{
    struct record record = record_of(object);
    char *prefix;

    body_measure(body, &record);
    if (record.body_bytes != object->body_bytes ||
        record_prefix_bytes(&record) - record.head_bytes > RECORD_TABLE_MAX)
        return false;
    prefix = append_prepare(disk, &record);
    if (prefix == NULL || !body_list(body, &record, prefix))
        return false;
    pack_head(object, prefix, &record);
    return append_record(disk, prefix, &record, NULL, object);
}

static void
fill_checks(const struct object *object, char *prefix, const struct record *record)
{
    uint64_t *checks = (uint64_t *)(uintptr_t)record_checks(prefix, record);

    for (uint64_t at = 0; at < record->body_bytes; at += RECORD_BLOCK) {
        uint64_t left = record->body_bytes - at;

        checks[at / RECORD_BLOCK] =
            record_check(object->body + at, left < RECORD_BLOCK ? left : RECORD_BLOCK);
    }
}

/* The content with these checksums that is under the object's hash already, or NULL. */
static struct disk_body *
find_same(struct disk *disk, const struct object *object, const uint64_t *checks)
{
    struct disk_body *body = NULL;
    struct disk_reading reading;
    struct place place;

    if (!index_find(disk->index, object->hash, &place) ||
        !disk_read_record(disk, object->hash, &place, REUSE_GUESS, &disk->writer_scratch,
                          &reading))
        return NULL;
    if (reading.record.body_bytes == object->body_bytes &&
        memcmp(record_checks(reading.prefix, &reading.record), checks,
               record_blocks(object->body_bytes) * sizeof(*checks)) == 0)
        body = body_of_record(disk, reading.segment, reading.offset, reading.prefix,
                              &reading.record);
    disk_reading_fini(&reading);
    return body;
}

bool
disk_append_object(struct disk *disk, struct object *object, bool may_reuse)
{
    struct record record = record_of(object);
    struct disk_body *body = NULL;
    char *prefix;

    if (record.head_bytes > RECORD_HEAD_MAX)
        return false;
    if (object->body == NULL && object->body_bytes > 0)
        return append_head(disk, object, atomic_load(&object->on_disk));
    prefix = append_prepare(disk, &record);
    if (prefix == NULL)
        return false;
    fill_checks(object, prefix, &record);
    if (may_reuse && object->body_bytes > RECORD_BLOCK)
        body = find_same(disk, object, record_checks(prefix, &record));
    if (body != NULL) {
        bool is_added = append_head(disk, object, body);

        disk_body_unref(body);
        return is_added;
    }
    pack_head(object, prefix, &record);
    return append_record(disk, prefix, &record, object->body_bytes > 0 ? object->body : NULL,
                         object);
}

static bool
append_mark(struct disk *disk, uint64_t hash)
{
    struct record record = record_make(RECORD_FORGET, hash, 0);
    char *prefix = append_prepare(disk, &record);

    return prefix != NULL && append_record(disk, prefix, &record, NULL, NULL);
}

/* An object that its store has forgotten since is not written. */
static void
do_put(struct disk *disk, struct disk_job *job)
{
    struct object *object = job->object;

    if (!atomic_load(&object->is_gone) && !disk_append_object(disk, object, true)) {
        count(&disk->counts.dropped_writes, 1);
        disk_drop(disk, object->hash, NULL); /* what is there is older */
    }
    disk_job_done(disk, job->bytes);
    object_unref(object);
    free(job);
}

static void
do_forget(struct disk *disk, struct disk_job *job)
{
    if (!append_mark(disk, job->hash)) {
        atomic_fetch_sub(disk_mark_counter(disk, job->hash), 1);
        disk_index_remove(disk, job->hash, NULL);
        count(&disk->counts.dropped_writes, 1);
    }
    free(job);
}

static void
do_jobs(struct disk *disk)
{
    uint64_t written = atomic_load(&disk->counts.written_bytes);
    struct disk_job *job;

    for (unsigned i = 0; i < TURN_JOBS && (job = disk_pop_job(disk)) != NULL; i++) {
        switch (job->kind) {
        case JOB_PUT:
            do_put(disk, job);
            break;
        case JOB_FORGET:
            do_forget(disk, job);
            break;
        case JOB_STREAM:
            if (disk_stream_turn(disk, job->write))
                disk_push_job(disk, job, true);
            break;
        }
        if (atomic_load(&disk->counts.written_bytes) - written >= DISK_BATCH_BYTES)
            break;
    }
    append_flush(disk);
}

static void
want_turn(struct disk *disk)
{
    pthread_mutex_lock(&disk->threads.lock);
    disk->threads.wants_turn = true;
    pthread_mutex_unlock(&disk->threads.lock);
}

/* Whether the open segment should wait for the oldest to be reclaimed. */
static bool
is_nearly_full(const struct disk *disk)
{
    const struct disk_append *append = &disk->append;

    return append->segment == NULL || append->end > disk_segment_bytes(disk) / 4 * 3;
}

void
disk_write_turn(struct disk *disk)
{
    struct disk_append *append = &disk->append;
    uint64_t now_ms = clock_monotonic_ms();
    bool has_more;

    disk_close_gone(disk, false);
    disk_look_at_room(disk, now_ms);
    has_more = disk_is_over(disk) && disk_reclaim_step(disk);
    if (atomic_load(&disk->is_failed) && (has_more || now_ms < append->retry_ms ||
                                          !append_reopen(disk)))
        do_jobs(disk); /* they all fail */
    else if (!has_more || !is_nearly_full(disk))
        do_jobs(disk);
    if (disk_quota_step(disk))
        has_more = true;
    if (append->dirty_ms != 0 && append->segment != NULL &&
        now_ms >= append->dirty_ms + DISK_SYNC_MS) {
        disk_push_sync(disk, append->segment);
        append->dirty_ms = 0;
    }
    if (has_more)
        want_turn(disk);
}
