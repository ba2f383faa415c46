/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_inside.h - what the files of the disk tier share; nobody else includes it.
 *
 *     disk.c            opening, closing, numbers
 *     disk_thread.c     queues, and who does what next
 *     disk_load.c       the index at start
 *     disk_find.c       queries: index, read, verify, unpack
 *     disk_body.c       content on disk: where it is, what of it is verified
 *     disk_warm.c       reading windows of it ahead of those who send
 *     disk_put.c        objects and marks on their way into a batch
 *     disk_append.c     the open segment: batches, room, sealing
 *     disk_stream.c     long content that is written while it arrives
 *     disk_reclaim.c    the oldest segment goes; sites over their quota
 *
 * Threads take what is there to do: reads first; and three roles, each held by one
 * thread at a time. The writer has the open segment, and reclaims: so room is
 * taken without a lock, segments are written in order, and later records are
 * always newer. The loader reads the index at start, and one syncs segments.
 */
#ifndef BASCULE_CACHE_DISK_INSIDE_H
#define BASCULE_CACHE_DISK_INSIDE_H

#include <pthread.h>
#include <xxhash.h>

#include "cache/disk.h"
#include "cache/purge.h"
#include "cache/segments.h"
#include "cache/site_slots.h"

#define DISK_THREADS_MAX 16u
#define DISK_BATCH_BYTES (4u * 1024 * 1024) /* written in one turn */
#define DISK_BATCH_RECORDS 256u
#define DISK_RETRY_MS 2000u                 /* after a failure */
#define DISK_SYNC_MS 5000u                  /* of the open segment */
#define DISK_MARK_FILTER 65536u

/* ---- queues and threads (disk_thread.c) */

enum job_kind { JOB_PUT, JOB_FORGET, JOB_STREAM };

/* What the writer is asked to do, in order. */
struct disk_job {
    struct disk_job *next;
    enum job_kind kind;
    uint64_t bytes;              /* that it counts for in the queue */
    uint64_t hash;               /* FORGET */
    struct object *object;       /* PUT: counted */
    struct disk_write *write;    /* STREAM: which has this job in it */
};

struct disk_sync {
    struct disk_sync *next;
    struct segment *segment;     /* counted */
};

/* A thread's room to read into. */
#define DISK_SCRATCH_BYTES (256u * 1024)
struct disk_scratch {
    char *data;
};

struct disk_threads {
    pthread_mutex_t lock;        /* guards the rest, and what says so in struct disk_write */
    pthread_cond_t is_work;      /* by the monotonic clock */
    struct disk_query *queries, **queries_end;
    struct disk_warm *warms, **warms_end;
    struct disk_job *jobs, **jobs_end;
    struct disk_sync *syncs, **syncs_end;
    unsigned reads, job_count;   /* that wait */
    unsigned idle;               /* threads */
    uint64_t job_bytes;
    bool is_writing, is_loading, is_syncing, is_stopping;
    bool wants_turn;             /* the writer has more to do than jobs */
    uint64_t tick_ms;            /* the writer looks around */
    uint64_t jobs_due_ms;        /* ... and writes what came since it last did; 0: nothing has */
    unsigned count;
    pthread_t ids[DISK_THREADS_MAX];
};

int disk_threads_start(struct disk *disk, unsigned count, struct err *err) MUST_USE;

/* Ends the threads, answers all reads that wait (not found), writes all jobs. */
void disk_threads_stop(struct disk *disk);

/* Puts a job at the end. False when the queue is full; is_forced: streams are always
 * taken, since theirs are no more than there are streams; marks nearly always. */
bool disk_push_job(struct disk *disk, struct disk_job *job, bool is_forced);

/* For the writer: the first job, or NULL. Its bytes count until disk_job_done(). */
struct disk_job *disk_pop_job(struct disk *disk);
void disk_job_done(struct disk *disk, uint64_t bytes);

/* Has the segment synced soon; counts a reference. */
void disk_push_sync(struct disk *disk, struct segment *segment);

/* ---- the open segment (disk_append.c); all but disk_fail() for the writer */

/* A record in the batch: what becomes of the index when it is written. */
struct disk_pending {
    uint64_t hash;
    struct place place;
    struct object *object;       /* counted; NULL: a mark */
};

struct disk_append {
    struct segment *segment;     /* counted; NULL: none is open */
    struct contents contents;    /* of it */
    uint64_t end;                /* what comes next begins here */
    uint64_t batch_at;           /* the batch begins here, and reaches to end */
    uint64_t last_number;
    char *scratch;               /* heads of the batch */
    size_t scratch_bytes, scratch_used;
    struct iovec iov[3 * DISK_BATCH_RECORDS];
    struct disk_pending pending[DISK_BATCH_RECORDS];
    int iov_count;
    unsigned pending_count;
    uint64_t dirty_ms;           /* since when something is not synced; 0: all is */
    uint64_t retry_ms;           /* FAILED: then */
};

/* Appends a record in two steps. First room for its prefix, zeroed but for the fixed part and
 * to be filled in; NULL: there is none, here or on the disk. What was prepared but not
 * added is forgotten. Then it is sealed and put into the batch, with body behind it,
 * which the object, counted, keeps until it is written. False: memory is short. */
char *append_prepare(struct disk *disk, const struct record *record);
bool append_record(struct disk *disk, char *prefix, const struct record *record,
                   const char *body, struct object *object);

/* Writes the batch and enters it in the index. */
void append_flush(struct disk *disk);

/* Room of at most *bytes for content, of a whole number of blocks if that is fewer; the
 * record before it is written by the caller together with the first content.
 * NULL when there is none. */
struct segment *append_extent(struct disk *disk, uint64_t hash, uint64_t *bytes,
                              struct record *record, uint64_t *offset);

/* The last extent was not filled: gives back what follows. */
void append_trim(struct disk *disk, struct segment *segment, uint64_t offset,
                 struct record *record, uint64_t bytes);

void append_seal(struct disk *disk);
bool append_reopen(struct disk *disk);
uint64_t disk_segment_bytes(const struct disk *disk);

/* An operation on the disk failed, errno says why: says so, and stops using the
 * open segment. */
void disk_fail(struct disk *disk, const char *what);

/* ---- what the writer does (disk_put.c, disk_stream.c, disk_reclaim.c) */

/* One turn: a step of reclaiming, a batch. */
void disk_write_turn(struct disk *disk);

/* Adds an object to the batch; with may_reuse only its head, if the same content is on disk
 * already. False: it was not taken. */
bool disk_append_object(struct disk *disk, struct object *object, bool may_reuse);

/* Writes what has come of long content. True: there is more, put the job back. */
bool disk_stream_turn(struct disk *disk, struct disk_write *write);

struct disk_reclaim {
    struct segment *segment;     /* counted; NULL: none is being reclaimed */
    struct contents contents;
    size_t at;
    uint64_t kept_bytes;
    struct segment *gone;        /* counted: reclaimed, and perhaps still read */
    unsigned gone_count;
    bool is_short_of_room;       /* the file system has less free than it should */
    uint64_t room_ms;            /* when that was looked at */
};

/* Looks how much room the file system has, now and then. */
void disk_look_at_room(struct disk *disk, uint64_t now_ms);

/* Whether there is more on disk than there may be. */
bool disk_is_over(struct disk *disk);

/* Goes on with it. True: there is more to do. */
bool disk_reclaim_step(struct disk *disk);

/* Closes the files of reclaimed segments that nobody reads any more; at the end: of all.
 * Whoever closes an unlinked file last waits until its space is given back: not a worker. */
void disk_close_gone(struct disk *disk, bool is_end);
bool disk_quota_step(struct disk *disk);

/* ---- loading (disk_load.c) */

struct disk_load {
    uint64_t *numbers;           /* of the segments that were there, ascending */
    size_t count, at;
    uint64_t started_ms;
};

int disk_load_list(struct disk *disk, struct err *err) MUST_USE;
void disk_load_step(struct disk *disk);

static inline bool
disk_load_is_over(const struct disk_load *load)
{
    return load->numbers == NULL;
}

/* ---- content (disk_body.c) */

struct body_extent {
    struct segment *segment;     /* counted */
    uint64_t offset;             /* in the file */
    uint64_t at, bytes;          /* in the content */
};

struct disk_body {
    _Atomic unsigned references;
    _Atomic bool is_lost;
    _Atomic bool is_growing;     /* its write goes on: what is missing comes, or is given up */
    bool is_read_through;
    uint64_t hash;
    struct place place;          /* of the head it was read with; slot 0: it was written */
    _Atomic uint64_t bytes;      /* that can be read */
    pthread_mutex_t lock;        /* guards what follows */
    bool is_whole;               /* does not grow any more */
    uint32_t extent_count, extent_room;
    struct body_extent *extents;
    size_t block_room;
    uint64_t *checks;            /* by block */
    uint64_t *verified;          /* a bit for each block */
    const struct object *committed; /* whose head was written for it: only compared */
    uint64_t committed_seq;
    int64_t committed_s;
};

struct disk_body *body_new(const struct disk *disk, uint64_t hash);

/* The content of a verified object record. NULL with errno: ENOENT: a segment is gone;
 * EBADMSG: it cannot be. */
struct disk_body *body_of_record(struct disk *disk, struct segment *segment, uint64_t offset,
                                 const char *prefix, const struct record *record);

/* The content grew by bytes, which are at offset. checks: of the blocks that are complete
 * by now and were not before. False: memory is short. */
bool body_grow(struct disk_body *body, struct segment *segment, uint64_t offset, uint64_t bytes,
               const uint64_t *checks, size_t check_count);

/* It does not grow any more; check: of the last block, if that is not a whole one. */
void body_end(struct disk_body *body, uint64_t check);

/* Reads content that is there, from a block's beginning to a block's or the content's end,
 * and verifies what has to be. False: lost, with errno; EBADMSG: a checksum was wrong. */
bool body_read(struct disk_body *body, uint64_t at, char *into, size_t bytes);

/* Fills in a head record's lengths, then its tables in a prefix. False: a segment is gone. */
void body_measure(struct disk_body *body, struct record *record);
bool body_list(struct disk_body *body, const struct record *record, char *prefix);

/* Reads and verifies the window, copies it if it has room; disk_warm.c. */
void disk_warm_now(struct disk *disk, struct disk_warm *warm, struct disk_scratch *scratch);
void disk_warm_answer(struct disk_warm *warm);

/* ---- finding (disk_find.c) */

/* A record that was read: its prefix, verified, and what was read behind it. */
struct disk_reading {
    struct segment *segment;     /* counted */
    uint64_t offset;
    struct record record;
    const char *prefix;          /* in scratch, or in more */
    size_t bytes;                /* there */
    char *more;
};

/* Reads the record of hash at a place, and about guess bytes in all. False: what is there
 * is not it, or cannot be had; then the entry was dropped. End with disk_reading_fini(). */
bool disk_read_record(struct disk *disk, uint64_t hash, const struct place *place, uint64_t guess,
                      struct disk_scratch *scratch, struct disk_reading *reading);
void disk_reading_fini(struct disk_reading *reading);

/* The object at a place, counted; with its content if that is at most body_room bytes long.
 * key: NULL fits all. NULL: not there; what is corrupt or was purged was dropped. */
struct object *disk_read_object(struct disk *disk, uint64_t hash, const struct place *place,
                                const struct slice *key, uint64_t body_room,
                                struct disk_scratch *scratch);

void disk_find_now(struct disk *disk, struct disk_query *query, struct disk_scratch *scratch);
void disk_find_answer(struct disk_query *query);

/* ---- the whole (disk.c) */

struct disk_counts {
    _Atomic uint64_t reads, read_bytes, writes, written_bytes, readmitted, reclaimed_segments,
        dropped_writes, dropped_reads, corrupt, errors;
};

struct disk {
    char *path;
    int folder, lock_fd;
    struct hash_key key;
    struct purges *purges;       /* NULL: nothing is ever purged */
    _Atomic uint64_t *next_seq;
    _Atomic uint64_t max_bytes, min_free_bytes, segment_bytes, queue_bytes;
    _Atomic int verify;
    bool (*is_hot)(void *arg, uint64_t hash); /* as in struct disk_conf */
    void (*on_lost)(void *arg, uint64_t hash);
    void *arg;
    _Atomic bool is_failed, is_loaded;
    struct index *index;
    struct segments segments;
    struct site_slots sites;
    struct disk_counts counts;
    _Atomic uint32_t marks[DISK_MARK_FILTER]; /* that wait to be written, by hash */
    struct disk_threads threads;
    struct disk_append append;   /* the writer's */
    struct disk_reclaim reclaim; /* the writer's */
    struct disk_scratch writer_scratch;
    struct disk_load load;       /* the loader's */
};

static inline void
count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Content of an object with this hash cannot be had, or not for long. */
static inline void
disk_tell_lost(struct disk *disk, uint64_t hash)
{
    if (disk->on_lost != NULL)
        disk->on_lost(disk->arg, hash);
}

static inline _Atomic uint32_t *
disk_mark_counter(struct disk *disk, uint64_t hash)
{
    return &disk->marks[hash % DISK_MARK_FILTER];
}

/* Sets the place of hash and counts what that changes. */
bool disk_index_put(struct disk *disk, uint64_t hash, const struct place *place);

/* Removes hash, at any place or only at this one. */
bool disk_index_remove(struct disk *disk, uint64_t hash, const struct place *at);

/* What is at a place (NULL: any) cannot be had, may not be used or is out of date: forgets
 * it, for good. */
void disk_drop(struct disk *disk, uint64_t hash, const struct place *at);

/* The same when it could not be read, errno says why (EBADMSG: a checksum was wrong):
 * counts and says so. */
void disk_drop_unreadable(struct disk *disk, uint64_t hash, const struct place *at);

#endif
