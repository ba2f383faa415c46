/* SPDX-License-Identifier: BSD-2-Clause */
/* job_threads.c - a bounded queue, and threads that begin when there is more work
 * than they have hands.
 */
#include "config.h"

#include "server/users/job_threads.h"

#include "server/base/must.h"
#include "server/base/thread.h"

#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE 5 /* of those in the background */

/* Under the lock, which it gives up meanwhile. NULL: the end. */
static struct job *
take(struct job_pool *pool)
{
    struct job *job;

    while (list_is_empty(&pool->queue)) {
        if (pool->is_stopping)
            return NULL;
        pool->idle++;
        pthread_cond_wait(&pool->is_work, &pool->lock);
        pool->idle--;
    }
    job = container_of(pool->queue.next, struct job, link);
    list_remove(&job->link);
    pool->waiting--;
    return job;
}

static void *
run(void *arg)
{
    struct job_pool *pool = arg;
    struct job *job;

    if (pool->is_background)
        (void)setpriority(PRIO_PROCESS, 0, NICE); /* on Linux: of this thread alone */
    pthread_mutex_lock(&pool->lock);
    while ((job = take(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static unsigned
threads_max(const struct job_pool *pool)
{
    long cpus;

    if (pool->threads_max > 0)
        return pool->threads_max < JOB_THREADS_MAX ? pool->threads_max : JOB_THREADS_MAX;
    cpus = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    return cpus < 1 ? 1 : cpus > 4 ? 4 : (unsigned)cpus;
}

static void
start_one(struct job_pool *pool)
{
    if (thread_start(&pool->threads[pool->thread_count], pool->name, run, pool) == 0)
        pool->thread_count++;
}

bool
job_pool_put(struct job_pool *pool, struct job *job)
{
    bool is_taken = false;

    pthread_mutex_lock(&pool->lock);
    if (pool->queue.next == NULL)
        list_init(&pool->queue);
    if (pool->waiting < pool->queue_max && !pool->is_stopping) {
        if (pool->waiting >= pool->idle && pool->thread_count < threads_max(pool))
            start_one(pool);
        is_taken = pool->thread_count > 0;
    }
    if (is_taken) {
        list_push_back(&pool->queue, &job->link);
        pool->waiting++;
        pthread_cond_signal(&pool->is_work);
    }
    pthread_mutex_unlock(&pool->lock);
    return is_taken;
}

unsigned
job_pool_waiting(struct job_pool *pool)
{
    unsigned waiting;

    pthread_mutex_lock(&pool->lock);
    waiting = pool->waiting;
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}

void
job_pool_stop(struct job_pool *pool)
{
    unsigned count;

    pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    count = pool->thread_count;
    pthread_cond_broadcast(&pool->is_work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_mutex_lock(&pool->lock);
    pool->thread_count = 0;
    pool->is_stopping = false;
    pthread_mutex_unlock(&pool->lock);
}
