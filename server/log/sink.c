/* SPDX-License-Identifier: BSD-2-Clause */
/* sink.c - the registry of sinks: who has which, and who is gone.
 *
 *     open --> live --(last reference)--> unused --(a pass)--> dying --> buried
 *
 * sinks_lock guards the registry: the lists, the counts of references, what
 * gone sinks have counted. Everything else in a sink belongs to the log thread, but for
 * the atomics. Nothing is written while the lock is held.
 */
#include "config.h"

#include "server/log/sink.h"

#include "server/base/must.h"
#include "server/log/sink_open.h"
#include "server/log/sink_write.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef void wake_fn(void);

static pthread_mutex_t sinks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list live = { &live, &live };
static struct list unused = { &unused, &unused };
static struct list dying = { &dying, &dying };
static _Atomic(wake_fn *) wake_server; /* NULL: no log thread */
static struct log_counts gone_counts;

/* ---- making sinks */

static void
sink_free(struct log_sink *sink)
{
    int next_fd = atomic_exchange(&sink->next_fd, -1);

    list_remove(&sink->link);
    list_remove(&sink->busy);
    if (next_fd >= 0)
        close(next_fd);
    if (sink->fd >= 0)
        close(sink->fd);
    free(sink->buf);
    free(sink);
}

/* Takes fd. */
static struct log_sink *
sink_new(const char *identity, int fd, struct err *err)
{
    size_t bytes = strlen(identity) + 1;
    struct log_sink *sink = calloc(1, sizeof(*sink) + bytes);
    char *buf = malloc(BUFFER_BYTES);

    if (sink == NULL || buf == NULL) {
        free(sink);
        free(buf);
        if (fd >= 0)
            close(fd);
        err_set(err, "log to \"%s\": out of memory", identity);
        return NULL;
    }
    list_init(&sink->link);
    list_init(&sink->busy);
    memcpy(sink->identity, identity, bytes);
    sink->refs = 1;
    sink->next_fd = -1;
    sink->buf = buf;
    sink->is_syslog = strncmp(identity, "syslog:", strlen("syslog:")) == 0;
    sink_intro_init(sink);
    sink_fd_set(sink, fd >= 0 ? fd : sink_descriptor_open(identity, err));
    if (sink->fd < 0 || sink_unix_address(&sink->to, identity, err) < 0) {
        sink_free(sink);
        return NULL;
    }
    return sink;
}

/* ---- the registry */

static struct log_sink *
sink_of(struct list *link)
{
    return container_of(link, struct log_sink, link);
}

/* A reference to the live sink of this identity, or NULL. Under the lock. */
static struct log_sink *
find(const char *identity)
{
    list_each(link, &live) {
        struct log_sink *sink = sink_of(link);

        if (strcmp(sink->identity, identity) == 0) {
            sink->refs++;
            return sink;
        }
    }
    return NULL;
}

struct log_sink *
log_sink_open(const char *identity, int fd, struct err *err)
{
    struct log_sink *sink, *made = NULL;

    pthread_mutex_lock(&sinks_lock);
    sink = find(identity);
    pthread_mutex_unlock(&sinks_lock);
    if (sink == NULL) {
        made = sink_new(identity, fd, err); /* may block: not under the lock */
        if (made == NULL)
            return NULL;
        fd = -1;
        pthread_mutex_lock(&sinks_lock);
        sink = find(identity);
        if (sink == NULL) {
            list_push_back(&live, &made->link);
            sink = made;
        }
        pthread_mutex_unlock(&sinks_lock);
    }
    if (made != NULL && made != sink) /* somebody was faster */
        sink_free(made);
    if (fd >= 0)
        log_sink_set_fd(sink, fd);
    return sink;
}

struct log_sink *
log_sink_ref(struct log_sink *sink)
{
    pthread_mutex_lock(&sinks_lock);
    sink->refs++;
    pthread_mutex_unlock(&sinks_lock);
    return sink;
}

/* Keeps what the sink has counted, and frees it. Under the lock. */
static void
sink_bury(struct log_sink *sink)
{
    struct log_counts counts = log_sink_counts(sink);

    gone_counts.lines += counts.lines;
    gone_counts.bytes += counts.bytes;
    gone_counts.dropped += counts.dropped + sink_pending_lines(sink);
    sink_free(sink);
}

static void
wake(void)
{
    wake_fn *server = atomic_load(&wake_server);

    if (server != NULL)
        server();
}

void
log_sink_unref(struct log_sink *sink)
{
    if (sink == NULL)
        return;
    pthread_mutex_lock(&sinks_lock);
    must(sink->refs > 0);
    if (--sink->refs == 0) {
        list_remove(&sink->link);
        if (atomic_load(&wake_server) == NULL)
            sink_bury(sink);
        else
            list_push_back(&unused, &sink->link);
        wake();
    }
    pthread_mutex_unlock(&sinks_lock);
}

void
log_sink_set_fd(struct log_sink *sink, int fd)
{
    int unused_fd = atomic_exchange(&sink->next_fd, fd);

    if (unused_fd >= 0)
        close(unused_fd);
    wake();
}

int
log_sink_reopen(const char *identity, int fd)
{
    struct log_sink *sink;

    pthread_mutex_lock(&sinks_lock);
    sink = find(identity);
    pthread_mutex_unlock(&sinks_lock);
    if (sink == NULL) {
        close(fd);
        return -1;
    }
    log_sink_set_fd(sink, fd);
    log_sink_unref(sink);
    return 0;
}

const char *
log_sink_identity(const struct log_sink *sink)
{
    return sink->identity;
}

struct log_counts
log_sink_counts(const struct log_sink *sink)
{
    return (struct log_counts){
        .lines = atomic_load_explicit(&sink->lines, memory_order_relaxed),
        .bytes = atomic_load_explicit(&sink->bytes, memory_order_relaxed),
        .dropped = atomic_load_explicit(&sink->dropped, memory_order_relaxed),
    };
}

void
log_sink_drop(struct log_sink *sink, uint64_t lines)
{
    atomic_fetch_add_explicit(&sink->dropped, lines, memory_order_relaxed);
}

void
log_sinks_each(void (*visit)(struct log_sink *sink, void *arg), void *arg)
{
    pthread_mutex_lock(&sinks_lock);
    list_each(link, &live)
        visit(sink_of(link), arg);
    pthread_mutex_unlock(&sinks_lock);
}

static void
add_counts(struct log_sink *sink, void *arg)
{
    struct log_counts *sum = arg, counts = log_sink_counts(sink);

    sum->lines += counts.lines;
    sum->bytes += counts.bytes;
    sum->dropped += counts.dropped;
}

struct log_counts
log_sinks_counts(void)
{
    struct log_counts sum;

    pthread_mutex_lock(&sinks_lock);
    sum = gone_counts;
    list_each(link, &live)
        add_counts(sink_of(link), &sum);
    list_each(link, &unused)
        add_counts(sink_of(link), &sum);
    list_each(link, &dying)
        add_counts(sink_of(link), &sum);
    pthread_mutex_unlock(&sinks_lock);
    return sum;
}

void
log_sinks_serve(void (*server)(void))
{
    pthread_mutex_lock(&sinks_lock); /* nobody is between looking and acting on it */
    atomic_store(&wake_server, server);
    pthread_mutex_unlock(&sinks_lock);
}

/* ---- passes of the log thread */

void
log_sinks_begin(uint64_t now_ms)
{
    sinks_set_time(now_ms);
    pthread_mutex_lock(&sinks_lock);
    list_each(link, &unused) {
        sink_fd_take_over(sink_of(link));
        list_remove(link);
        list_push_back(&dying, link);
    }
    list_each(link, &live)
        sink_fd_take_over(sink_of(link));
    pthread_mutex_unlock(&sinks_lock);
}

void
log_sinks_bury(void)
{
    pthread_mutex_lock(&sinks_lock);
    list_each(link, &dying) {
        struct log_sink *sink = sink_of(link);

        if (sink->start == sink->end || sink->is_stuck || atomic_load(&wake_server) == NULL)
            sink_bury(sink);
    }
    pthread_mutex_unlock(&sinks_lock);
}

/* ---- telling of trouble */

/* Puts a message about sink, which has lost lines or begun to fail, into to. */
static void
report(struct log_sink *sink, struct log_sink *to, uint64_t wall_ms)
{
    uint64_t dropped = log_sink_counts(sink).dropped;
    uint64_t lost = dropped - sink->reported_dropped;
    const char *why = sink->error == 0        ? "the memory for lines, log.buffer, was full"
                      : sink->error == EAGAIN ? "its reader is too slow"
                                              : strerrordesc_np(sink->error);
    char text[SINK_IDENTITY_BYTES + 160];
    int bytes;

    sink->reported_dropped = dropped;
    sink->reported_error = sink->error;
    if (lost > 0)
        bytes = snprintf(text, sizeof(text), "log to %.*s: %llu lines lost: %s",
                         SINK_IDENTITY_BYTES, sink->identity, (unsigned long long)lost, why);
    else
        bytes = snprintf(text, sizeof(text), "log to %.*s: %s; trying again every second",
                         SINK_IDENTITY_BYTES, sink->identity, why);
    log_sink_put(to, LEVEL_ERROR, true, wall_ms, slice_make(text, (size_t)bytes));
}

static bool
has_news(const struct log_sink *sink)
{
    return log_sink_counts(sink).dropped != sink->reported_dropped ||
           (sink->is_stuck && sink->error != sink->reported_error);
}

bool
log_sinks_report(struct log_sink *to, uint64_t wall_ms)
{
    struct log_sink *found[8]; /* the rest next time */
    size_t count = 0;

    if (to->is_stuck)
        return false;
    pthread_mutex_lock(&sinks_lock);
    list_each(link, &live)
        if (has_news(sink_of(link)) && count < ARRAY_COUNT(found))
            found[count++] = sink_of(link);
    pthread_mutex_unlock(&sinks_lock);
    for (size_t i = 0; i < count; i++)
        report(found[i], to, wall_ms);
    return count > 0;
}
