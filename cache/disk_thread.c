/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_thread.c - what waits for the disk, and the threads that do it.
 *
 * Reads come first, but after some in a row a thread looks whether a role is
 * free and has work. Every queue is bounded; one lock guards them all and is
 * held for as long as it takes to move a pointer.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include "server/base/clock.h"
#include "server/base/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READS_MAX 4096u        /* waiting */
#define JOBS_MAX 65536u
#define MARKS_MAX 1048576u
#define READS_IN_ROW 16u
#define IDLE_TICK_MS 10000u
#define BUSY_TICK_MS 500u
#define GATHER_MS 4u           /* small writes wait for others to come along */
#define GATHER_BYTES (512u * 1024)

enum step { STEP_WRITE, STEP_LOAD, STEP_SYNC, STEP_READ, STEP_NONE };
#define ROLES 3u /* the first steps */

/* ---- queues */

static void
wake(struct disk_threads *threads)
{
    if (threads->idle > 0)
        pthread_cond_signal(&threads->is_work);
}

/* A job has come. Waking a thread for each small one would cost more than writing
 * it: the first has its time set, and is written with those that follow. */
static void
plan_write(struct disk_threads *threads, const struct disk_job *job)
{
    uint64_t now_ms = clock_monotonic_ms();
    bool is_first = threads->jobs_due_ms == 0;
    bool is_enough = job->kind == JOB_STREAM || threads->job_bytes >= GATHER_BYTES;

    if (is_first)
        threads->jobs_due_ms = now_ms + GATHER_MS;
    if (is_enough && threads->jobs_due_ms > now_ms)
        threads->jobs_due_ms = now_ms;
    else if (!is_first)
        return;
    if (!threads->is_writing) /* who writes sees it anyway */
        wake(threads);
}

bool
disk_push_job(struct disk *disk, struct disk_job *job, bool is_forced)
{
    struct disk_threads *threads = &disk->threads;
    uint64_t most = atomic_load_explicit(&disk->queue_bytes, memory_order_relaxed);
    bool is_taken;

    pthread_mutex_lock(&threads->lock);
    is_taken = is_forced ? job->kind != JOB_FORGET || threads->job_count < MARKS_MAX
                         : threads->job_count < JOBS_MAX && threads->job_bytes <= most &&
                               job->bytes <= most - threads->job_bytes;
    if (is_taken) {
        job->next = NULL;
        *threads->jobs_end = job;
        threads->jobs_end = &job->next;
        threads->job_count++;
        threads->job_bytes += job->bytes;
        plan_write(threads, job);
    }
    pthread_mutex_unlock(&threads->lock);
    return is_taken;
}

struct disk_job *
disk_pop_job(struct disk *disk)
{
    struct disk_threads *threads = &disk->threads;
    struct disk_job *job;

    pthread_mutex_lock(&threads->lock);
    job = threads->jobs;
    if (job != NULL) {
        threads->jobs = job->next;
        if (threads->jobs == NULL)
            threads->jobs_end = &threads->jobs;
        threads->job_count--;
    }
    pthread_mutex_unlock(&threads->lock);
    return job;
}

void
disk_job_done(struct disk *disk, uint64_t bytes)
{
    pthread_mutex_lock(&disk->threads.lock);
    disk->threads.job_bytes -= bytes;
    pthread_mutex_unlock(&disk->threads.lock);
}

void
disk_push_sync(struct disk *disk, struct segment *segment)
{
    struct disk_threads *threads = &disk->threads;
    struct disk_sync *sync = malloc(sizeof(*sync));

    if (sync == NULL)
        return; /* the kernel writes it in its own time */
    *sync = (struct disk_sync){ .segment = segment_ref(segment) };
    pthread_mutex_lock(&threads->lock);
    *threads->syncs_end = sync;
    threads->syncs_end = &sync->next;
    wake(threads);
    pthread_mutex_unlock(&threads->lock);
}

bool
disk_find(struct disk *disk, struct disk_query *query)
{
    struct disk_threads *threads = &disk->threads;
    bool is_taken;

    if (!disk_may_have(disk, query->hash))
        return false;
    query->found = NULL;
    query->next = NULL;
    pthread_mutex_lock(&threads->lock);
    is_taken = threads->reads < READS_MAX && !threads->is_stopping;
    if (is_taken) {
        *threads->queries_end = query;
        threads->queries_end = &query->next;
        threads->reads++;
        wake(threads);
    }
    pthread_mutex_unlock(&threads->lock);
    if (!is_taken)
        count(&disk->counts.dropped_reads, 1);
    return is_taken;
}

bool
disk_warm(struct disk *disk, struct disk_warm *warm)
{
    struct disk_threads *threads = &disk->threads;
    bool is_taken;

    warm->next = NULL;
    warm->copied_bytes = 0;
    pthread_mutex_lock(&threads->lock);
    is_taken = threads->reads < READS_MAX && !threads->is_stopping;
    if (is_taken) {
        *threads->warms_end = warm;
        threads->warms_end = &warm->next;
        threads->reads++;
        wake(threads);
    }
    pthread_mutex_unlock(&threads->lock);
    if (!is_taken)
        count(&disk->counts.dropped_reads, 1);
    return is_taken;
}

/* Under the lock. */
static struct disk_query *
pop_query(struct disk_threads *threads)
{
    struct disk_query *query = threads->queries;

    if (query == NULL)
        return NULL;
    threads->queries = query->next;
    if (threads->queries == NULL)
        threads->queries_end = &threads->queries;
    threads->reads--;
    return query;
}

static struct disk_warm *
pop_warm(struct disk_threads *threads)
{
    struct disk_warm *warm = threads->warms;

    if (warm == NULL)
        return NULL;
    threads->warms = warm->next;
    if (threads->warms == NULL)
        threads->warms_end = &threads->warms;
    threads->reads--;
    return warm;
}

/* ---- steps; each is entered and left with the lock held */

static void
do_reads(struct disk *disk, struct disk_scratch *scratch)
{
    struct disk_threads *threads = &disk->threads;

    for (unsigned i = 0; i < READS_IN_ROW && threads->reads > 0; i++) {
        struct disk_query *query = pop_query(threads);
        struct disk_warm *warm = pop_warm(threads);

        pthread_mutex_unlock(&threads->lock);
        if (query != NULL)
            disk_find_now(disk, query, scratch);
        if (warm != NULL)
            disk_warm_now(disk, warm, scratch);
        pthread_mutex_lock(&threads->lock);
    }
}

static void
do_write(struct disk *disk)
{
    struct disk_threads *threads = &disk->threads;
    bool is_busy;

    threads->is_writing = true;
    threads->wants_turn = false;
    threads->jobs_due_ms = 0;
    pthread_mutex_unlock(&threads->lock);
    disk_write_turn(disk);
    is_busy = disk->append.dirty_ms != 0 || atomic_load(&disk->is_failed) ||
              disk->reclaim.gone != NULL;
    pthread_mutex_lock(&threads->lock);
    threads->is_writing = false;
    threads->tick_ms = clock_monotonic_ms() + (is_busy ? BUSY_TICK_MS : IDLE_TICK_MS);
    if (threads->jobs != NULL && threads->jobs_due_ms == 0)
        threads->wants_turn = true; /* more than one turn can write */
    if (threads->wants_turn)
        wake(threads);
}

static void
do_load(struct disk *disk)
{
    disk->threads.is_loading = true;
    pthread_mutex_unlock(&disk->threads.lock);
    disk_load_step(disk);
    pthread_mutex_lock(&disk->threads.lock);
    disk->threads.is_loading = false;
}

static void
do_sync(struct disk *disk)
{
    struct disk_threads *threads = &disk->threads;
    struct disk_sync *sync = threads->syncs;

    threads->syncs = sync->next;
    if (threads->syncs == NULL)
        threads->syncs_end = &threads->syncs;
    threads->is_syncing = true;
    pthread_mutex_unlock(&threads->lock);
    if (!atomic_load(&sync->segment->is_gone) &&
        (fdatasync(sync->segment->fd) < 0 || fsync(disk->folder) < 0))
        count(&disk->counts.errors, 1); /* what is wrong shows when it is read */
    segment_unref(sync->segment);
    free(sync);
    pthread_mutex_lock(&threads->lock);
    threads->is_syncing = false;
}

/* When the writer is to look around at the latest. */
static uint64_t
write_due_ms(const struct disk_threads *threads)
{
    if (threads->jobs_due_ms > 0 && threads->jobs_due_ms < threads->tick_ms)
        return threads->jobs_due_ms;
    return threads->tick_ms;
}

static bool
is_possible(const struct disk *disk, enum step step, uint64_t now_ms)
{
    const struct disk_threads *threads = &disk->threads;

    switch (step) {
    case STEP_WRITE:
        return !threads->is_writing &&
               (threads->wants_turn || now_ms >= write_due_ms(threads));
    case STEP_LOAD:
        return !threads->is_loading && !disk_load_is_over(&disk->load);
    case STEP_SYNC:
        return !threads->is_syncing && threads->syncs != NULL;
    case STEP_READ:
        return threads->reads > 0;
    case STEP_NONE:
        return true;
    }
    return false;
}

/* Reads, unless this thread did that last: then the next role after the one it had. */
static enum step
choose(const struct disk *disk, enum step last, unsigned *last_role)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (last != STEP_READ && is_possible(disk, STEP_READ, now_ms))
        return STEP_READ;
    for (unsigned i = 1; i <= ROLES; i++) {
        enum step step = (enum step)((*last_role + i) % ROLES);

        if (is_possible(disk, step, now_ms)) {
            *last_role = step;
            return step;
        }
    }
    return is_possible(disk, STEP_READ, now_ms) ? STEP_READ : STEP_NONE;
}

static void
wait_for_work(struct disk_threads *threads)
{
    uint64_t ms = write_due_ms(threads);
    struct timespec until = { (time_t)(ms / 1000), (long)(ms % 1000 * 1000000) };

    threads->idle++;
    if (threads->is_writing) /* that one will look around */
        pthread_cond_wait(&threads->is_work, &threads->lock);
    else
        pthread_cond_timedwait(&threads->is_work, &threads->lock, &until);
    threads->idle--;
}

static void *
run(void *arg)
{
    struct disk *disk = arg;
    struct disk_threads *threads = &disk->threads;
    struct disk_scratch scratch = { malloc(DISK_SCRATCH_BYTES) };
    enum step step = STEP_NONE;
    unsigned last_role = STEP_SYNC;

    pthread_mutex_lock(&threads->lock);
    while (!threads->is_stopping) {
        step = choose(disk, step, &last_role);
        switch (step) {
        case STEP_READ:
            do_reads(disk, &scratch);
            break;
        case STEP_WRITE:
            do_write(disk);
            break;
        case STEP_LOAD:
            do_load(disk);
            break;
        case STEP_SYNC:
            do_sync(disk);
            break;
        case STEP_NONE:
            wait_for_work(threads);
            break;
        }
    }
    pthread_mutex_unlock(&threads->lock);
    free(scratch.data);
    return NULL;
}

/* ---- starting and stopping */

static void
init(struct disk_threads *threads)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&threads->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&threads->is_work, &attributes);
    pthread_condattr_destroy(&attributes);
    threads->queries_end = &threads->queries;
    threads->warms_end = &threads->warms;
    threads->jobs_end = &threads->jobs;
    threads->syncs_end = &threads->syncs;
    threads->tick_ms = clock_monotonic_ms();
}

int
disk_threads_start(struct disk *disk, unsigned wanted, struct err *err)
{
    struct disk_threads *threads = &disk->threads;
    int error = 0;

    init(threads);
    wanted = wanted < 1 ? 1 : wanted > DISK_THREADS_MAX ? DISK_THREADS_MAX : wanted;
    while (threads->count < wanted && error == 0) {
        error = thread_start(&threads->ids[threads->count], "bascule-disk", run, disk);
        threads->count += error == 0;
    }
    if (threads->count > 0)
        return 0;
    return err_set(err, "cannot start a thread: %s", strerror(error));
}

void
disk_threads_stop(struct disk *disk)
{
    struct disk_threads *threads = &disk->threads;
    struct disk_query *query;
    struct disk_warm *warm;

    pthread_mutex_lock(&threads->lock);
    threads->is_stopping = true;
    pthread_cond_broadcast(&threads->is_work);
    pthread_mutex_unlock(&threads->lock);
    for (unsigned i = 0; i < threads->count; i++)
        pthread_join(threads->ids[i], NULL);
    while ((query = pop_query(threads)) != NULL)
        disk_find_answer(query);
    while ((warm = pop_warm(threads)) != NULL)
        disk_warm_answer(warm);
    while (threads->jobs != NULL)
        disk_write_turn(disk);
    append_seal(disk);
    pthread_mutex_lock(&threads->lock);
    while (threads->syncs != NULL)
        do_sync(disk);
    pthread_mutex_unlock(&threads->lock);
    pthread_cond_destroy(&threads->is_work);
    pthread_mutex_destroy(&threads->lock);
}
