/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_save.c - bans in a file, so that they outlive a restart.
 *
 *     a change --(a second at most)--> PATH.new, whole --> PATH
 *
 * A thread of each table that is saved writes; disks may be slow. What is in the file is read
 * once, when the table is made. While a reload puts one table in place of another both are
 * there: the file is the newer one's.
 */
#include "config.h"

#include "server/policy/ban_inside.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/thread.h"
#include "server/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_S 1
#define LINE_MAX_BYTES 4096u

/* Guards files, and the list of tables that have one, newest first. */
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ban_table *newest;

/* ---- reading */

static void
read_lines(FILE *in, const struct ban_conf *conf)
{
    char line[LINE_MAX_BYTES];
    uint64_t now_ms = clock_wall_ms();
    unsigned number = 0, wrong = 0;
    struct err err, first = { 0 };

    while (fgets(line, sizeof(line), in) != NULL) {
        struct slice text = slice_make(line, strcspn(line, "\n"));
        bool is_set;

        number++;
        if (text.bytes == 0 || ban_record_read(text, conf, now_ms, &is_set, &err) == 0)
            continue;
        if (wrong++ == 0)
            err_set(&first, "%s:%u: %s", conf->save, number, err.text);
    }
    if (wrong > 0)
        log_warn("bans: %s; lines left out: %u", first.text, wrong);
}

static void
read_file(const struct ban_conf *conf)
{
    FILE *in = fopen(conf->save, "re");

    if (in != NULL) {
        read_lines(in, conf);
        fclose(in);
    } else if (errno != ENOENT) {
        log_warn("bans: %s cannot be read: %s: none of it is known", conf->save,
                 strerrordesc_np(errno));
    }
}

/* ---- writing */

struct writing {
    FILE *out;
    const char *table;
};

static void
see(void *arg, const struct ban_record *record)
{
    const struct writing *writing = arg;

    ban_record_write(writing->out, writing->table, record);
}

/* Bans are formed in memory first: locks are held, and the disk is not waited for. */
static int
form(const struct ban_table *table, char **text, size_t *bytes)
{
    struct writing writing = { open_memstream(text, bytes), table->name };

    if (writing.out == NULL)
        return -1;
    ban_each(table, clock_wall_ms(), see, &writing);
    return fclose(writing.out) == 0 ? 0 : -1;
}

static int
write_all(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, text, bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        text += written;
        bytes -= (size_t)written;
    }
    return fdatasync(fd);
}

static int
replace(const char *path, const char *text, size_t bytes)
{
    char *new_path = NULL;
    int fd, result = -1;

    if (asprintf(&new_path, "%s.new", path) < 0)
        return -1;
    fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        result = write_all(fd, text, bytes);
        close(fd);
        if (result == 0)
            result = rename(new_path, path);
        if (result < 0) {
            int error = errno;

            unlink(new_path);
            errno = error;
        }
    }
    free(new_path);
    return result;
}

/* Whether it could be written is told when that changes. */
static void
save(struct ban_table *table)
{
    uint64_t changes = atomic_load_explicit(&table->changes, memory_order_acquire);
    size_t bytes = 0;
    char *text = NULL;
    int result;

    if (changes == table->saved)
        return;
    result = form(table, &text, &bytes);
    if (result == 0)
        result = replace(table->path, text, bytes);
    if (result < 0 && !table->is_failing)
        log_error("bans: %s cannot be written: %s: bans of \"%s\" would not outlive a restart",
                  table->path, strerrordesc_np(errno), table->name);
    else if (result == 0 && table->is_failing)
        log_info("bans: %s can be written again", table->path);
    table->is_failing = result < 0;
    if (result == 0)
        table->saved = changes;
    free(text);
}

/* ---- whose file it is */

/* The newest table with that file; NULL: there is none. */
static struct ban_table *
owner(const char *path)
{
    struct ban_table *table = newest;

    while (table != NULL && strcmp(table->path, path) != 0)
        table = table->older;
    return table;
}

static void
give_up(struct ban_table *table)
{
    struct ban_table **at = &newest;

    while (*at != table)
        at = &(*at)->older;
    *at = table->older;
}

/* What the table before it has not saved yet, is. */
static void
take_over(struct ban_table *table, const struct ban_conf *conf)
{
    struct ban_table *before;

    pthread_mutex_lock(&files_lock);
    before = owner(table->path);
    if (before != NULL)
        save(before);
    read_file(conf);
    atomic_store(&table->changes, 0);
    table->older = newest;
    newest = table;
    pthread_mutex_unlock(&files_lock);
}

/* ---- the thread */

/* For a while, or until it is to stop. Returns whether it is. */
static bool
sleep_until_due(struct ban_table *table)
{
    struct timespec until;
    bool is_stopping;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_S;
    pthread_mutex_lock(&table->saver_lock);
    while (!table->is_stopping &&
           pthread_cond_timedwait(&table->saver_wake, &table->saver_lock, &until) == 0)
        continue;
    is_stopping = table->is_stopping;
    pthread_mutex_unlock(&table->saver_lock);
    return is_stopping;
}

static void *
run(void *arg)
{
    struct ban_table *table = arg;
    bool is_stopping;

    do {
        is_stopping = sleep_until_due(table);
        pthread_mutex_lock(&files_lock);
        if (owner(table->path) == table)
            save(table);
        if (is_stopping)
            give_up(table);
        pthread_mutex_unlock(&files_lock);
    } while (!is_stopping);
    if (table->is_orphan)
        ban_table_discard(table);
    return NULL;
}

int
ban_save_start(struct ban_table *table, const struct ban_conf *conf, struct err *err)
{
    int error;

    take_over(table, conf);
    error = thread_start(&table->saver, "bascule-bans", run, table);
    if (error == 0) {
        table->has_saver = true;
        return 0;
    }
    pthread_mutex_lock(&files_lock);
    give_up(table);
    pthread_mutex_unlock(&files_lock);
    errno = error;
    return err_errno(err, "the thread that saves bans");
}

void
ban_save_stop(struct ban_table *table)
{
    pthread_t saver = table->saver;
    bool may_wait = this_worker == NULL;

    if (!table->has_saver) {
        ban_table_discard(table);
        return;
    }
    pthread_mutex_lock(&table->saver_lock);
    table->is_stopping = true;
    table->is_orphan = !may_wait;
    pthread_cond_signal(&table->saver_wake);
    pthread_mutex_unlock(&table->saver_lock);
    if (!may_wait) {
        pthread_detach(saver);
        return;
    }
    pthread_join(saver, NULL);
    ban_table_discard(table);
}
