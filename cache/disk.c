/* SPDX-License-Identifier: BSD-2-Clause */
/* disk.c - the disk tier as a whole: opening, closing, limits, numbers. */
#include "config.h"

#include "cache/disk_inside.h"

#include "server/base/log.h"
#include "server/log/log_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define SEGMENTS_MOST 4096u /* as many descriptors at most */
#define SEGMENT_LEAST (256u * 1024)
#define LOCK_WAIT_MS 2000u
#define LOCK_STEP_MS 10u

/* ---- limits */

/* A quarter of all at most, so that there is something to reclaim. */
static uint64_t
segment_bytes_of(const struct disk_conf *conf)
{
    uint64_t bytes = conf->segment_bytes;

    if (bytes < conf->max_bytes / SEGMENTS_MOST)
        bytes = conf->max_bytes / SEGMENTS_MOST;
    if (bytes > conf->max_bytes / 4)
        bytes = conf->max_bytes / 4;
    if (bytes > SEGMENT_BYTES_MAX)
        bytes = SEGMENT_BYTES_MAX;
    return bytes < SEGMENT_LEAST ? SEGMENT_LEAST : bytes / RECORD_UNIT * RECORD_UNIT;
}

void
disk_set_conf(struct disk *disk, const struct disk_conf *conf)
{
    atomic_store(&disk->max_bytes, conf->max_bytes);
    atomic_store(&disk->min_free_bytes, conf->min_free_bytes);
    atomic_store(&disk->segment_bytes, segment_bytes_of(conf));
    atomic_store(&disk->queue_bytes, conf->queue_bytes);
    atomic_store(&disk->verify, (int)conf->verify);
}

/* ---- opening and closing */

/* A process that was killed takes a moment to end: whoever starts the next one at once
 * should not have to know that. Called before anything is served. */
static bool
lock_file(int fd)
{
    const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000 * 1000 };

    for (unsigned ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; ms += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK || ms >= LOCK_WAIT_MS)
            return false;
        nanosleep(&step, NULL);
    }
    return true;
}

static int
lock_folder(struct disk *disk, struct err *err)
{
    disk->folder = open(disk->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->folder < 0)
        return err_errno(err, "cannot open the folder \"%s\"", disk->path);
    disk->lock_fd = openat(disk->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (disk->lock_fd < 0)
        return err_errno(err, "cannot lock the folder \"%s\"", disk->path);
    if (lock_file(disk->lock_fd))
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(err, "the folder \"%s\" is in use by another store or process",
                       disk->path);
    return err_errno(err, "cannot lock the folder \"%s\"", disk->path);
}

static int
open_parts(struct disk *disk, struct err *err)
{
    disk->index = index_new();
    disk->writer_scratch.data = malloc(DISK_SCRATCH_BYTES);
    contents_init(&disk->append.contents);
    contents_init(&disk->reclaim.contents);
    if (disk->path == NULL || disk->index == NULL || disk->writer_scratch.data == NULL)
        return err_set(err, "out of memory");
    if (lock_folder(disk, err) < 0 || disk_load_list(disk, err) < 0)
        return -1;
    if (!segments_init(&disk->segments, (uint16_t)disk->load.count))
        return err_set(err, "out of memory");
    return 0;
}

static void
free_parts(struct disk *disk)
{
    segment_unref(disk->append.segment);
    contents_fini(&disk->append.contents);
    free(disk->append.scratch);
    segment_unref(disk->reclaim.segment);
    contents_fini(&disk->reclaim.contents);
    disk_close_gone(disk, true);
    segments_fini(&disk->segments);
    index_free(disk->index);
    free(disk->writer_scratch.data);
    free(disk->load.numbers);
    if (disk->lock_fd >= 0)
        close(disk->lock_fd);
    if (disk->folder >= 0)
        close(disk->folder);
    free(disk->path);
    free(disk);
}

struct disk *
disk_open(const struct disk_conf *conf, const struct hash_key *key, struct purges *purges,
          _Atomic uint64_t *next_seq, struct err *err)
{
    struct disk *disk = calloc(1, sizeof(*disk));

    if (disk == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    disk->folder = disk->lock_fd = -1;
    disk->path = strdup(conf->path);
    disk->key = *key;
    disk->purges = purges;
    disk->next_seq = next_seq;
    disk->is_hot = conf->is_hot;
    disk->on_lost = conf->on_lost;
    disk->arg = conf->arg;
    disk_set_conf(disk, conf);
    if (open_parts(disk, err) < 0 || disk_threads_start(disk, conf->threads, err) < 0) {
        free_parts(disk);
        return NULL;
    }
    return disk;
}

void
disk_close(struct disk *disk)
{
    if (disk == NULL)
        return;
    disk_threads_stop(disk);
    free_parts(disk);
}

enum disk_state
disk_state(const struct disk *disk)
{
    if (atomic_load_explicit(&disk->is_failed, memory_order_relaxed))
        return DISK_FAILED;
    return atomic_load_explicit(&disk->is_loaded, memory_order_acquire) ? DISK_READY
                                                                         : DISK_LOADING;
}

/* ---- the index, and what changes with it */

bool
disk_may_have(const struct disk *disk, uint64_t hash)
{
    struct place place;

    return disk_state(disk) == DISK_READY && index_find(disk->index, hash, &place);
}

void
disk_touch(struct disk *disk, uint64_t hash)
{
    index_touch(disk->index, hash);
}

bool
disk_index_put(struct disk *disk, uint64_t hash, const struct place *place)
{
    struct place old;
    enum index_put result = index_put(disk->index, hash, place, &old);

    if (result == INDEX_REPLACED && !old.is_mark)
        site_slot_discount(&disk->sites, old.site, old.size_class);
    if (result != INDEX_REFUSED && !place->is_mark)
        site_slot_count(&disk->sites, place->site, place->size_class);
    return result != INDEX_REFUSED;
}

bool
disk_index_remove(struct disk *disk, uint64_t hash, const struct place *at)
{
    struct place old;

    if (!index_remove(disk->index, hash, at, &old))
        return false;
    if (!old.is_mark)
        site_slot_discount(&disk->sites, old.site, old.size_class);
    return true;
}

void
disk_drop_unreadable(struct disk *disk, uint64_t hash, const struct place *at)
{
    static struct log_limit corrupt_limit = LOG_LIMIT(1), error_limit = LOG_LIMIT(1);
    int error = errno;

    disk_drop(disk, hash, at);
    if (error == EBADMSG) {
        count(&disk->counts.corrupt, 1);
        log_limited(&corrupt_limit, LEVEL_ERROR,
                    "cache \"%s\": what was stored is not what is on the disk; it was dropped",
                    disk->path);
        return;
    }
    count(&disk->counts.errors, 1);
    log_limited(&error_limit, LEVEL_ERROR, "cache \"%s\": cannot read: %s; what was there was "
                "dropped", disk->path, strerror(error));
}

/* ---- numbers */

static uint64_t
get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void
disk_facts(const struct disk *disk, struct disk_facts *facts)
{
    const struct disk_counts *counts = &disk->counts;
    struct segments_facts segments;

    segments_facts((struct segments *)(uintptr_t)&disk->segments, &segments);
    *facts = (struct disk_facts){
        .state = disk_state(disk),
        .objects = index_count(disk->index),
        .bytes = segments.bytes,
        .index_bytes = index_memory(disk->index),
        .segments = segments.count,
        .oldest_seq = segments.min_seq,
        .reads = get(&counts->reads),
        .writes = get(&counts->writes),
        .written_bytes = get(&counts->written_bytes),
        .read_bytes = get(&counts->read_bytes),
        .readmitted = get(&counts->readmitted),
        .reclaimed_segments = get(&counts->reclaimed_segments),
        .dropped_writes = get(&counts->dropped_writes),
        .dropped_reads = get(&counts->dropped_reads),
        .corrupt = get(&counts->corrupt),
        .errors = get(&counts->errors),
    };
}
