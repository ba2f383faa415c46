/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_writer.c - the thread that makes purges durable.
 *
 *     pending --> append to the log --> sync --> on_done, at home
 *                 or write it anew
 *
 * All that waits while the thread is busy is written and synced together. The
 * log is written anew, from the tables, where there is none yet, when it is
 * mostly dead, and when it cannot be trusted any more.
 */
#include "config.h"

#include "cache/purge_state.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "server/base/log.h"
#include "server/base/thread.h"

#define RETRY_S 10              /* between tries to write a log that failed */
#define ANEW_BYTES_MIN 65536u   /* a shorter log is not worth writing anew */
#define ANEW_PARTS 4u           /* it is, when it is so many times what is alive */
#define ROWS_AT_ONCE 1024u      /* copied while others wait */

/* ---- writing */

static struct purge_record
record_of(const struct purge *purge)
{
    return (struct purge_record){
        .seq = purge->seq,
        .kind = purge->kind,
        .is_soft = purge->is_soft,
        .tag = purge->tag,
        .text = purge->kind == PURGE_PREFIX ? purge->text : SLICE(""),
    };
}

static void
put_row(struct purge_log *log, const struct purge_row *row)
{
    struct purge_record record = { .kind = PURGE_TAG, .tag = row->tag };

    if (row->hard_seq > 0) {
        record.seq = row->hard_seq;
        purge_log_put(log, &record);
    }
    if (row->soft_seq > 0) {
        record.seq = row->soft_seq;
        record.is_soft = true;
        purge_log_put(log, &record);
    }
}

/* Copies some rows from *at on while nobody changes them. Begins again where
 * the array is another one since. Returns how many; 0 at the end. */
static size_t
copy_rows(struct purges *purges, struct purge_row *out, size_t *at, uint64_t *generation)
{
    const struct purge_tags *tags;
    size_t count = 0;

    pthread_mutex_lock(&purges->change);
    tags = purges->table.tags;
    if (*generation != purges->generation)
        *at = 0;
    *generation = purges->generation;
    for (; *at <= tags->mask && count < ROWS_AT_ONCE; ++*at)
        if (tags->rows[*at].tag != 0)
            out[count++] = tags->rows[*at];
    pthread_mutex_unlock(&purges->change);
    return count;
}

/* The records of all prefixes, oldest first, in memory of their own. */
static struct slice
copy_prefixes(struct purges *purges)
{
    const struct purge_table *table = &purges->table;
    char *bytes, *end;

    pthread_mutex_lock(&purges->change);
    bytes = malloc(table->prefix_bytes + (size_t)table->prefix_count * 64 + 1);
    end = bytes;
    for (const struct list *link = table->prefixes.prev; bytes != NULL && link != &table->prefixes;
         link = link->prev) {
        const struct purge_prefix *prefix = container_of(link, struct purge_prefix, link);
        struct purge_record record = { .seq = prefix->seq, .kind = PURGE_PREFIX,
                                       .is_soft = prefix->is_soft, .text = prefix->text };

        end += purge_record_write(&record, &purges->key, end);
    }
    pthread_mutex_unlock(&purges->change);
    return slice_make(bytes, (size_t)(end - bytes));
}

static int
put_prefixes(struct purges *purges)
{
    struct slice bytes = copy_prefixes(purges);
    struct purge_reader reader = { .key = &purges->key, .rest = bytes, .is_last = true };
    struct purge_record record;

    if (bytes.data == NULL)
        return ENOMEM;
    while (purge_reader_next(&reader, &record))
        purge_log_put(&purges->log, &record);
    free((char *)bytes.data);
    return 0;
}

/* Writes what is in the tables to a new log. What is purged meanwhile is
 * pending, and appended afterwards if it is not there yet. */
static int
write_anew(struct purges *purges)
{
    struct purge_row rows[ROWS_AT_ONCE];
    uint64_t generation = 0;
    size_t at = 0, count;
    int error;

    purge_log_begin_anew(&purges->log);
    while ((count = copy_rows(purges, rows, &at, &generation)) > 0)
        for (size_t i = 0; i < count; i++)
            put_row(&purges->log, &rows[i]);
    error = put_prefixes(purges);
    if (error != 0)
        purges->log.error = error;
    return purge_log_sync(&purges->log);
}

static int
append(struct purges *purges, const struct purge *purge)
{
    for (; purge != NULL; purge = purge->next) {
        struct purge_record record = record_of(purge);

        purge_log_put(&purges->log, &record);
    }
    return purge_log_sync(&purges->log);
}

/* Makes the purges durable; they are in the tables already. */
static int
write_log(struct purges *purges, const struct purge *first, bool anew)
{
    int error = 0;

    if (!anew && !purge_log_is_broken(&purges->log)) {
        error = append(purges, first);
        if (error == 0)
            return 0;
    }
    error = write_anew(purges);
    if (error != 0)
        log_error("cannot write purges.log: %s; purges are in effect, but would not survive a "
                  "crash; trying again every %d s", strerror(error), RETRY_S);
    return error;
}

/* ---- the thread */

/* Whether the log is mostly about what nobody asks for any more. */
static bool
is_mostly_dead(const struct purges *purges)
{
    uint64_t records = purges->table.tags->used + (uint64_t)purges->table.prefix_count;
    struct purge_record record = { .kind = PURGE_TAG };
    uint64_t alive = records * purge_record_bytes(&record) + purges->table.prefix_bytes;

    return purges->log_bytes > ANEW_BYTES_MIN && purges->log_bytes / ANEW_PARTS > alive;
}

static void
deliver(struct mail *mail)
{
    struct purge *purge = container_of(mail, struct purge, mail);

    purge->on_done(purge);
}

void
purge_answer(struct purge *purge, int error)
{
    purge->error = error;
    purge->mail.deliver = deliver;
    loop_post(purge->home, &purge->mail);
}

/* Waits for work. False: there is none and will be none. */
static bool
wait_for_work(struct purges *purges)
{
    struct timespec until;

    if (purges->is_behind) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += RETRY_S;
        while (purges->pending == NULL && !purges->is_closing)
            if (pthread_cond_timedwait(&purges->work, &purges->change, &until) == ETIMEDOUT)
                return true;
    }
    while (purges->pending == NULL && !purges->is_closing && !is_mostly_dead(purges))
        pthread_cond_wait(&purges->work, &purges->change);
    return purges->pending != NULL || !purges->is_closing;
}

static void
answer_all(struct purge *purge, int error)
{
    while (purge != NULL) {
        struct purge *next = purge->next;

        purge_answer(purge, error); /* it may be freed there at once */
        purge = next;
    }
}

static void
take_note(struct purges *purges, int error)
{
    pthread_mutex_lock(&purges->change);
    purges->is_behind = error != 0;
    purges->log_errors += error != 0;
    purges->log_bytes = purges->log.bytes;
    pthread_mutex_unlock(&purges->change);
}

static void *
run(void *arg)
{
    struct purges *purges = arg;
    bool anew = purges->is_behind; /* what was loaded from a damaged log */

    pthread_mutex_lock(&purges->change);
    while (anew || wait_for_work(purges)) {
        struct purge *batch = purges->pending;
        int error;

        anew = anew || is_mostly_dead(purges);
        purges->pending = NULL;
        purges->pending_end = &purges->pending;
        pthread_mutex_unlock(&purges->change);
        error = write_log(purges, batch, anew);
        take_note(purges, error);
        answer_all(batch, error);
        pthread_mutex_lock(&purges->change);
        anew = false;
    }
    pthread_mutex_unlock(&purges->change);
    return NULL;
}

int
purge_writer_start(struct purges *purges)
{
    return thread_start(&purges->thread, "bascule-purge", run, purges);
}

void
purge_writer_stop(struct purges *purges)
{
    pthread_mutex_lock(&purges->change);
    purges->is_closing = true;
    pthread_cond_signal(&purges->work);
    pthread_mutex_unlock(&purges->change);
    pthread_join(purges->thread, NULL);
}

void
purge_writer_wake(struct purges *purges)
{
    if (purges->is_durable && (purges->pending != NULL || is_mostly_dead(purges)))
        pthread_cond_signal(&purges->work);
}
