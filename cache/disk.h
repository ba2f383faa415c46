/* SPDX-License-Identifier: BSD-2-Clause */
/* disk.h - the disk tier of a store: append-only segment files and an index.
 *
 *     put ----------> write queue --> records at the end of the open segment
 *     find (index) -> read queue  --> head, and content if it is small, into an object
 *                                     long content is sent from the file itself
 *     no room ------> the oldest segment goes; what was read since it was
 *                     written is written again
 *
 * A segment file is never rewritten and never truncated, because sendfile()
 * leaves its pages in sockets' queues: reclaiming unlinks it, and readers pin
 * the segment, and with it the open file, until they are done.
 *
 * Calls come from any thread and never wait for the disk: disk threads do
 * everything that may. Answers come by mail to the asking thread's loop. What
 * finds a queue full is not stored, or not found, and counted.
 */
#ifndef BASCULE_CACHE_DISK_H
#define BASCULE_CACHE_DISK_H

#include "cache/object.h"
#include "server/base/err.h"
#include "server/net/loop.h"

struct disk;
struct disk_write;
struct hash_key;
struct purges;
struct segment;

enum disk_verify { DISK_VERIFY_ONCE, DISK_VERIFY_ALWAYS };

struct disk_conf {
    const char *path;         /* the store's folder */
    uint64_t max_bytes;       /* of all segments */
    uint64_t min_free_bytes;  /* of the file system, left to others */
    uint64_t segment_bytes;
    uint64_t queue_bytes;     /* waiting to be written, at most */
    unsigned threads;
    enum disk_verify verify;
    /* Whether an object is in use elsewhere, in memory: then it counts as read, though the
     * disk is not asked for it. NULL: nobody knows. Fixed when the disk is opened. */
    bool (*is_hot)(void *arg, uint64_t hash);
    /* Content of an object with this hash is lost, or in a segment that was reclaimed: who has
     * such objects should let go of them, for they keep the space of an unlinked file. On a
     * disk thread. NULL: nobody has any. */
    void (*on_lost)(void *arg, uint64_t hash);
    void *arg;
};

enum disk_state {
    DISK_LOADING, /* the index is being read: finds nothing, stores already */
    DISK_READY,
    DISK_FAILED,  /* errors: finds and stores nothing; tried again from time to time */
};

/* Opens or makes the store's folder (lock file: one process at a time) and
 * starts its threads, which load the index. purges: what is read or written
 * again is checked against it first; borrowed. next_seq: raised to what the
 * segments hold before anything is found. key: the secret by which the store hashes keys,
 * the same for the life of the folder (store.c keeps it there); copied, and used to tell a
 * folder's own segments from strangers'. The folder exists. NULL with err. */
struct disk *disk_open(const struct disk_conf *conf, const struct hash_key *key,
                       struct purges *purges, _Atomic uint64_t *next_seq, struct err *err);

/* Adopts other limits while running: sizes, free room, verify. */
void disk_set_conf(struct disk *disk, const struct disk_conf *conf);

/* Writes what waits, seals the open segment, ends the threads, frees it. */
void disk_close(struct disk *disk);

enum disk_state disk_state(const struct disk *disk);

/* ---- finding */

/* Embedded in whoever asks; lives until on_found or a cancelled mail is through:
 * see disk_find(). */
struct disk_query {
    struct mail mail;
    struct loop *home;
    uint64_t hash;
    struct slice key;        /* borrowed until on_found */
    uint64_t body_room;      /* content up to this length is read into the object */
    struct object *found;    /* counted, the asker's; NULL: not there */
    void (*on_found)(struct disk_query *query);
    struct disk_query *next; /* in the queue */
};

/* Whether the index has an entry for hash: a hint, cheap, no disk. */
bool disk_may_have(const struct disk *disk, uint64_t hash);

/* What is under hash was used, though not read from disk: reclaiming keeps it. Cheap. */
void disk_touch(struct disk *disk, uint64_t hash);

/* Has a disk thread read the object; on_found comes exactly once, on home's
 * thread, later. query must stay until then (an asker that loses interest keeps
 * it, and frees it there). False: not there, or too busy; nothing follows. */
bool disk_find(struct disk *disk, struct disk_query *query) MUST_USE;

/* ---- storing */

/* Writes object, whose content is in memory or on this disk already (then only
 * its head is written). Counts a reference until it is written; replaces what
 * was under the key. False: not now (queue full, no room, failed). */
bool disk_put(struct disk *disk, struct object *object);

/* Forgets what is under the key, for good: a mark is written too. */
void disk_forget(struct disk *disk, uint64_t hash, struct slice key);

/* Bytes of a long body on their way to disk, counted. */
struct chunk {
    _Atomic unsigned references;
    uint32_t bytes;           /* filled */
    char data[];
};
#define CHUNK_BYTES (64u * 1024 - 64)

struct chunk *chunk_new(void); /* one reference, CHUNK_BYTES of room; NULL when memory is short */
struct chunk *chunk_ref(struct chunk *chunk);
void chunk_unref(struct chunk *chunk);

/* Long content, written while it arrives; the object counts only when it is
 * committed. hash: of the key it will have. expected_bytes may be
 * LENGTH_UNKNOWN. NULL: not now. The disk's part of the content so far can be
 * read through disk_write_body(). on_written(arg) comes on home's thread, where
 * all calls are made, when more is on disk or the write has failed; never
 * after it was committed or given up. */
struct disk_write *disk_write_begin(struct disk *disk, uint64_t hash, uint64_t expected_bytes,
                                    struct loop *home, void (*on_written)(void *arg), void *arg);

/* Appends a chunk (counts a reference until it is written). When the queue is
 * full the write fails. */
void disk_write_append(struct disk_write *write, struct chunk *chunk);

/* What is on disk of it by now, in bytes from its beginning; any thread. */
uint64_t disk_write_written(const struct disk_write *write);
bool disk_write_failed(const struct disk_write *write);

/* Its content as an object will have it: grows; counts a reference. */
struct disk_body *disk_write_body(struct disk_write *write);

/* The whole content was appended, and disk_write_failed() is not true: head is
 * object's, whose on_disk is set to the body (before anybody else sees the
 * object). Counts a reference until the head is written; a disk_put() of the
 * same object does nothing more. If the rest cannot be written after all, the
 * object is_gone. Ends write. */
void disk_write_commit(struct disk_write *write, struct object *object);

/* Gives it up; what was written stays unused. Ends write. */
void disk_write_abort(struct disk_write *write);

/* ---- reading long content */

struct disk_body *disk_body_ref(struct disk_body *body);
void disk_body_unref(struct disk_body *body);

/* A piece of it in a file: at most bytes long, from offset at on; starts and
 * ends where the caller asked or at a block's or extent's end. */
struct disk_span {
    int fd;          /* borrowed from the pinned segment: good while body is referenced */
    off_t offset;
    size_t bytes;
};

enum disk_span_state {
    DISK_SPAN_READY, /* in the page cache and verified: may be sent, or read without waiting */
    DISK_SPAN_COLD,  /* ask disk_warm() first; always so when disk_body_is_read_through() */
    DISK_SPAN_AWAITED, /* of content that is being written: ask again soon */
    DISK_SPAN_LOST,  /* a checksum failed, or the disk did: the content cannot be had */
};

enum disk_span_state disk_body_span(struct disk_body *body, uint64_t at, size_t bytes,
                                    struct disk_span *span);

/* The same for a part of the window that was just warmed, on_warm or soon
 * after: what was read a moment ago counts as in the page cache, which not every
 * file system can tell, and which memory pressure could prevent for ever. */
enum disk_span_state disk_body_span_warm(struct disk_body *body, uint64_t at, size_t bytes,
                                         struct disk_span *span);

/* Whether content must not be sent from the file, because every byte is verified
 * each time it is read (DISK_VERIFY_ALWAYS): it comes as disk_warm.copy. */
bool disk_body_is_read_through(const struct disk_body *body);

/* Whether it could not be read, or a checksum was wrong: nothing of it is given any
 * more. Cheap. */
bool disk_body_is_lost(const struct disk_body *body);

/* False when a part of it lies in a segment that was reclaimed: readers may go
 * on, but an object in memory that has it should be let go, because it keeps
 * the space of an unlinked file. */
bool disk_body_is_current(const struct disk_body *body);

/* Reads a window into the page cache and verifies its blocks (once in this
 * process, or always). As disk_find(): done exactly once, later, on home. */
struct disk_warm {
    struct mail mail;
    struct loop *home;
    struct disk_body *body;  /* counted by the asker */
    uint64_t at;
    size_t bytes;
    char *copy;              /* NULL, or room for the window: the verified bytes come here too */
    size_t copied_bytes;     /* into copy; fewer than bytes at the content's end; 0: lost */
    void (*on_warm)(struct disk_warm *warm);
    struct disk_warm *next;
};
bool disk_warm(struct disk *disk, struct disk_warm *warm) MUST_USE;

/* ---- numbers */

struct disk_facts {
    enum disk_state state;
    uint64_t objects, bytes; /* of all segments */
    uint64_t index_bytes, segments;
    uint64_t oldest_seq;     /* of any object; UINT64_MAX: none is there */
    uint64_t reads, writes, written_bytes, read_bytes, readmitted, reclaimed_segments;
    uint64_t dropped_writes, dropped_reads, corrupt, errors;
};
void disk_facts(const struct disk *disk, struct disk_facts *facts);

/* Bytes of a site's objects; quotas are the store's (0: none) and make the
 * disk forget that site's oldest objects. */
uint64_t disk_site_bytes(const struct disk *disk, uint32_t site);
void disk_set_quota(struct disk *disk, uint32_t site, uint64_t max_bytes);

#endif
