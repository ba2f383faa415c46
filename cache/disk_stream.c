/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_stream.c - long content, written while it arrives.
 *
 *     disk_write_append: chunk chunk chunk --> the writer --> | extent   filled:room | ...
 *     disk_write_commit: -----------------------------------> the head, which lists the extents
 *
 * Room is taken in extents of several megabytes, or of what is expected, so that
 * long content lies in few pieces however many are written at once. Where nobody
 * said how long it will be they double; what the last one has too much is given
 * back if nothing follows it.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include "server/http/message.h"

#include <stdlib.h>

#define EXTENT_MAX (8u * 1024 * 1024)
#define EXTENT_FIRST (2u * RECORD_BLOCK)
#define CHUNKS_AT_ONCE 64u

/* ---- chunks */

struct chunk *
chunk_new(void)
{
    struct chunk *chunk = malloc(sizeof(*chunk) + CHUNK_BYTES);

    if (chunk == NULL)
        return NULL;
    atomic_init(&chunk->references, 1);
    chunk->bytes = 0;
    return chunk;
}

struct chunk *
chunk_ref(struct chunk *chunk)
{
    atomic_fetch_add_explicit(&chunk->references, 1, memory_order_relaxed);
    return chunk;
}

void
chunk_unref(struct chunk *chunk)
{
    if (chunk != NULL &&
        atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel) == 1)
        free(chunk);
}

/* ---- a write */

struct waiting_chunk {
    struct waiting_chunk *next;
    struct chunk *chunk;         /* counted */
};

enum ending { GOES_ON, COMMITTED, ABORTED };

struct disk_write {
    _Atomic unsigned references; /* its maker's, until the job that ends it; mail's */
    _Atomic bool has_failed, has_mail;
    struct disk *disk;
    struct disk_body *body;      /* counted */
    uint64_t hash, expected_bytes;
    struct disk_job job;

    struct loop *home;
    void (*on_written)(void *arg);
    void *arg;
    struct mail mail;
    pthread_mutex_t news;        /* guards has_ended */
    bool has_ended;              /* no news any more: home may be gone */

    /* Guarded by the lock of the queues. */
    struct waiting_chunk *chunks, **chunks_end;
    bool is_queued;              /* the job is in the queue, or being done */
    enum ending ending;
    struct object *object;       /* COMMITTED: counted */

    /* The writer's. */
    struct segment *segment;     /* of the extent that is being filled; counted, or NULL */
    struct record extent;
    uint64_t offset, filled;     /* where its record is; how much content it has */
    XXH3_state_t *check;         /* of the block that is being filled */
};

static void
unref(struct disk_write *write)
{
    if (atomic_fetch_sub_explicit(&write->references, 1, memory_order_acq_rel) > 1)
        return;
    segment_unref(write->segment);
    disk_body_unref(write->body);
    XXH3_freeState(write->check);
    pthread_mutex_destroy(&write->news);
    free(write);
}

struct disk_write *
disk_write_begin(struct disk *disk, uint64_t hash, uint64_t expected_bytes, struct loop *home,
                 void (*on_written)(void *arg), void *arg)
{
    struct disk_write *write;

    if (atomic_load(&disk->is_failed))
        return NULL;
    write = calloc(1, sizeof(*write));
    if (write == NULL)
        return NULL;
    atomic_init(&write->references, 1);
    pthread_mutex_init(&write->news, NULL);
    write->disk = disk;
    write->hash = hash;
    write->expected_bytes = expected_bytes;
    write->home = home;
    write->on_written = on_written;
    write->arg = arg;
    write->chunks_end = &write->chunks;
    write->job = (struct disk_job){ .kind = JOB_STREAM, .write = write };
    write->body = body_new(disk, hash);
    write->check = XXH3_createState();
    if (write->body == NULL || write->check == NULL) {
        unref(write);
        return NULL;
    }
    atomic_store(&write->body->is_growing, true);
    XXH3_64bits_reset(write->check);
    return write;
}

/* Puts the job into the queue unless it is there. Takes and leaves the lock. */
static void
unlock_and_queue(struct disk_write *write)
{
    bool was_queued = write->is_queued;

    write->is_queued = true;
    pthread_mutex_unlock(&write->disk->threads.lock);
    if (!was_queued)
        (void)disk_push_job(write->disk, &write->job, true);
}

void
disk_write_append(struct disk_write *write, struct chunk *chunk)
{
    struct disk_threads *threads = &write->disk->threads;
    uint64_t most = atomic_load_explicit(&write->disk->queue_bytes, memory_order_relaxed);
    struct waiting_chunk *waiting;

    if (chunk->bytes == 0)
        return;
    waiting = malloc(sizeof(*waiting));
    pthread_mutex_lock(&threads->lock);
    if (waiting == NULL || threads->job_bytes + chunk->bytes > most ||
        atomic_load(&write->has_failed)) {
        atomic_store(&write->has_failed, true);
        pthread_mutex_unlock(&threads->lock);
        free(waiting);
        return;
    }
    *waiting = (struct waiting_chunk){ .chunk = chunk_ref(chunk) };
    *write->chunks_end = waiting;
    write->chunks_end = &waiting->next;
    threads->job_bytes += chunk->bytes;
    unlock_and_queue(write);
}

uint64_t
disk_write_written(const struct disk_write *write)
{
    return atomic_load_explicit(&write->body->bytes, memory_order_acquire);
}

bool
disk_write_failed(const struct disk_write *write)
{
    return atomic_load(&write->has_failed);
}

struct disk_body *
disk_write_body(struct disk_write *write)
{
    return disk_body_ref(write->body);
}

static void
end(struct disk_write *write, enum ending ending, struct object *object)
{
    pthread_mutex_lock(&write->news);
    write->has_ended = true;
    pthread_mutex_unlock(&write->news);
    pthread_mutex_lock(&write->disk->threads.lock);
    write->ending = ending;
    write->object = object;
    unlock_and_queue(write);
}

void
disk_write_commit(struct disk_write *write, struct object *object)
{
    struct disk_body *body = write->body;

    pthread_mutex_lock(&body->lock);
    body->committed = object;
    body->committed_seq = object->seq;
    body->committed_s = object->life.response_s;
    pthread_mutex_unlock(&body->lock);
    atomic_store_explicit(&object->on_disk, disk_body_ref(body), memory_order_release);
    end(write, COMMITTED, object_ref(object));
}

void
disk_write_abort(struct disk_write *write)
{
    end(write, ABORTED, NULL);
}

/* ---- news */

static void
deliver(struct mail *mail)
{
    struct disk_write *write = container_of(mail, struct disk_write, mail);

    atomic_store(&write->has_mail, false);
    if (!write->has_ended)
        write->on_written(write->arg);
    unref(write);
}

static void
tell(struct disk_write *write)
{
    if (write->on_written == NULL)
        return;
    pthread_mutex_lock(&write->news);
    if (!write->has_ended && !atomic_exchange(&write->has_mail, true)) {
        atomic_fetch_add(&write->references, 1);
        write->mail.deliver = deliver;
        loop_post(write->home, &write->mail);
    }
    pthread_mutex_unlock(&write->news);
}

/* ---- the writer's */

static uint64_t
whole_blocks(uint64_t bytes)
{
    return record_blocks(bytes) * RECORD_BLOCK;
}

/* How much room to take next, when pending bytes are there and perhaps no more come. */
static uint64_t
next_room(const struct disk_write *write, uint64_t pending, bool is_last)
{
    uint64_t written = disk_write_written(write);
    uint64_t most = disk_segment_bytes(write->disk) / 4 / RECORD_BLOCK * RECORD_BLOCK;
    uint64_t want = written > EXTENT_FIRST ? written : EXTENT_FIRST;

    most = most > EXTENT_MAX ? EXTENT_MAX : most < RECORD_BLOCK ? RECORD_BLOCK : most;
    if (is_last)
        want = pending;
    else if (write->expected_bytes != LENGTH_UNKNOWN && write->expected_bytes > written)
        want = write->expected_bytes - written;
    want = want > pending ? want : pending;
    return want > most ? most : is_last ? want : whole_blocks(want);
}

static bool
take_extent(struct disk_write *write, uint64_t pending, bool is_last)
{
    uint64_t bytes = next_room(write, pending, is_last);
    struct segment *segment = append_extent(write->disk, write->hash, &bytes, &write->extent,
                                            &write->offset);

    if (segment == NULL)
        return false;
    segment_unref(write->segment);
    write->segment = segment_ref(segment);
    write->filled = 0;
    record_seal((char *)&write->extent, &write->extent, segment->salt, write->offset);
    return true;
}

/* Adds bytes to the checksum of their block. True: *check is that of a whole one. */
static bool
add_to_check(struct disk_write *write, uint64_t at, const char *data, size_t bytes,
             uint64_t *check)
{
    XXH3_64bits_update(write->check, data, bytes);
    if ((at + bytes) % RECORD_BLOCK != 0)
        return false;
    *check = XXH3_64bits_digest(write->check);
    XXH3_64bits_reset(write->check);
    return true;
}

static size_t
check_piece(struct disk_write *write, uint64_t at, const char *data, size_t bytes,
            uint64_t *checks)
{
    size_t done = 0;

    while (bytes > 0) {
        size_t left = RECORD_BLOCK - (size_t)(at % RECORD_BLOCK);
        size_t part = bytes < left ? bytes : left;

        done += add_to_check(write, at, data, part, checks + done);
        at += part;
        data += part;
        bytes -= part;
    }
    return done;
}

/* Writes content into the current extent, as much as it has room for; taken off the list. */
static bool
fill_extent(struct disk_write *write, struct iovec **pieces, size_t *piece_count)
{
    struct iovec iov[CHUNKS_AT_ONCE + 1];
    uint64_t checks[CHUNKS_AT_ONCE + 2];
    uint64_t room = write->extent.body_bytes - write->filled;
    uint64_t at = disk_write_written(write), bytes = 0;
    uint64_t from = write->offset + sizeof(struct record) + write->filled;
    size_t check_count = 0;
    int iov_count = 0;

    if (write->filled == 0)
        iov[iov_count++] = (struct iovec){ &write->extent, sizeof(write->extent) };
    while (*piece_count > 0 && bytes < room) {
        struct iovec *piece = *pieces;
        size_t part = piece->iov_len < room - bytes ? piece->iov_len : (size_t)(room - bytes);

        iov[iov_count++] = (struct iovec){ piece->iov_base, part };
        check_count += check_piece(write, at + bytes, piece->iov_base, part, checks + check_count);
        bytes += part;
        piece->iov_base = (char *)piece->iov_base + part;
        piece->iov_len -= part;
        if (piece->iov_len == 0) {
            (*pieces)++;
            (*piece_count)--;
        }
    }
    if (!segment_write(write->segment, write->filled == 0 ? write->offset : from, iov,
                       iov_count)) {
        disk_fail(write->disk, "cannot write");
        return false;
    }
    count(&write->disk->counts.written_bytes, bytes);
    write->filled += bytes;
    return body_grow(write->body, write->segment, from, bytes, checks, check_count);
}

static bool
write_pieces(struct disk_write *write, struct iovec *pieces, size_t piece_count, bool is_last)
{
    while (piece_count > 0) {
        uint64_t pending = 0;

        for (size_t i = 0; i < piece_count; i++)
            pending += pieces[i].iov_len;
        if ((write->segment == NULL || write->filled == write->extent.body_bytes) &&
            !take_extent(write, pending, is_last))
            return false;
        if (!fill_extent(write, &pieces, &piece_count))
            return false;
    }
    return true;
}

struct batch {
    struct waiting_chunk *chunks; /* taken off the write's list */
    struct iovec pieces[CHUNKS_AT_ONCE];
    size_t count;
    uint64_t bytes;
    bool is_last;                /* nothing waits, nothing more will come */
    enum ending ending;
};

/* Takes what waits. False: nothing did and nothing ended; the job is out of the queue. */
static bool
take_batch(struct disk_write *write, struct batch *batch)
{
    struct waiting_chunk **at = &batch->chunks;
    bool has_work;

    *batch = (struct batch){ .chunks = NULL };
    pthread_mutex_lock(&write->disk->threads.lock);
    while (batch->count < CHUNKS_AT_ONCE && write->chunks != NULL) {
        struct waiting_chunk *waiting = write->chunks;

        write->chunks = waiting->next;
        *at = waiting;
        at = &waiting->next;
        batch->pieces[batch->count++] =
            (struct iovec){ waiting->chunk->data, waiting->chunk->bytes };
        batch->bytes += waiting->chunk->bytes;
    }
    *at = NULL;
    if (write->chunks == NULL)
        write->chunks_end = &write->chunks;
    batch->ending = write->ending;
    batch->is_last = write->chunks == NULL && write->ending == COMMITTED;
    has_work = batch->count > 0 || write->ending != GOES_ON;
    if (!has_work)
        write->is_queued = false;
    pthread_mutex_unlock(&write->disk->threads.lock);
    return has_work;
}

static void
drop_batch(struct disk_write *write, struct batch *batch)
{
    while (batch->chunks != NULL) {
        struct waiting_chunk *waiting = batch->chunks;

        batch->chunks = waiting->next;
        chunk_unref(waiting->chunk);
        free(waiting);
    }
    disk_job_done(write->disk, batch->bytes);
}

static bool
append_head(struct disk_write *write)
{
    if (atomic_load(&write->has_failed) ||
        disk_write_written(write) != write->object->body_bytes)
        return false;
    body_end(write->body, XXH3_64bits_digest(write->check));
    return disk_append_object(write->disk, write->object, false);
}

static void
finish(struct disk_write *write, enum ending ending)
{
    struct disk *disk = write->disk;

    if (write->segment != NULL && write->filled < write->extent.body_bytes)
        append_trim(disk, write->segment, write->offset, &write->extent, write->filled);
    if (write->segment != NULL && write->segment != disk->append.segment)
        disk_push_sync(disk, write->segment);
    if (ending == COMMITTED && !append_head(write)) {
        atomic_store(&write->object->is_gone, true);
        count(&disk->counts.dropped_writes, 1);
        disk_drop(disk, write->hash, NULL); /* what is there is older */
        disk_tell_lost(disk, write->hash);
    }
    atomic_store(&write->body->is_growing, false);
    object_unref(write->object);
    unref(write);
}

bool
disk_stream_turn(struct disk *disk, struct disk_write *write)
{
    struct batch batch;
    uint64_t bytes = 0;

    (void)disk;
    while (take_batch(write, &batch)) {
        bool has_failed = atomic_load(&write->has_failed) || batch.ending == ABORTED;

        if (!has_failed && batch.count > 0 &&
            !write_pieces(write, batch.pieces, batch.count, batch.is_last)) {
            atomic_store(&write->has_failed, true);
            count(&write->disk->counts.dropped_writes, 1);
        }
        drop_batch(write, &batch);
        if (batch.ending != GOES_ON && batch.count < CHUNKS_AT_ONCE) {
            finish(write, batch.ending);
            return false;
        }
        tell(write);
        bytes += batch.bytes;
        if (bytes >= DISK_BATCH_BYTES)
            return true;
    }
    return false;
}
