/* SPDX-License-Identifier: BSD-2-Clause */
/* log_thread.c - empties the rings that many threads fill (log_thread_lines.c).
 *
 * Waking: before it rests, the log thread says how in `rest`; a producer looks
 * there after its line is published. Who changes REST_NAP or REST_SLEEP to
 * REST_AWAKE writes the eventfd, so there is one wake-up however many producers.
 * That either the producer sees that the log thread sleeps or that one sees the
 * line needs a full barrier on both sides. A line is too cheap for one, so the log
 * thread has membarrier() put one into every thread, before it sleeps.
 */
#include "config.h"

#include "server/log/log_thread_inside.h"

#include "server/base/clock.h"
#include "server/base/must.h"
#include "server/base/thread.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long the log thread gathers lines. */
#define NAP_MS 100

/* Passes without a line before it sleeps; long enough for a last report. */
#define QUIET_PASSES 25

/* While a sink fails, it is tried again so often even when nothing comes. */
#define RETRY_MS 1000

#define REPORT_MS 1000
#define STOP_MS 1000

/* Sinks that are polled at once; others are tried after the nap. */
#define POLLED_MAX 16

static struct {
    _Atomic bool is_stopping;
    int wake_fd;
    pthread_t thread;
    struct log_ring *rings;   /* the log thread's */
    struct log_limit *limits; /* ... too */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t flushed;
    uint64_t flushes_wanted, flushes_done;
    struct log_sink *error_sink;

    struct log_sink *pass_error_sink; /* the log thread's, for this pass */
    uint64_t report_ms;
} logs = {
    .wake_fd = -1,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .flushed = PTHREAD_COND_INITIALIZER,
};

/* ---- passes of the log thread */

/* Moves the ring's lines to their sinks. False when one has no room now. */
static bool
drain(struct log_ring *ring, bool *had_lines)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

    while (tail != head) {
        const struct log_record *record = log_ring_record(ring, tail);
        struct log_sink *sink = record->sink != NULL ? record->sink : logs.pass_error_sink;
        struct slice line = slice_make((const char *)(record + 1), record->bytes);

        if (!log_sink_put(sink, (enum log_level)record->level, record->sink == NULL,
                          record->wall_ms, line))
            return false;
        *had_lines = true;
        tail += log_record_span(line.bytes);
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
    }
    return true;
}

static void
adopt_rings(void)
{
    struct log_ring *ring = atomic_exchange(&log_meeting.new_rings, NULL);

    while (ring != NULL) {
        struct log_ring *next = ring->next;

        ring->next = logs.rings;
        logs.rings = ring;
        ring = next;
    }
}

/* Drains all rings and frees those whose producers are gone. False when a
 * sink made us stop. */
static bool
drain_all(bool *had_lines)
{
    bool is_drained = true;
    struct log_ring **at = &logs.rings;

    adopt_rings();
    while (*at != NULL) {
        struct log_ring *ring = *at;
        bool is_closed = atomic_load_explicit(&ring->is_closed, memory_order_acquire);
        bool is_empty = drain(ring, had_lines);

        is_drained = is_drained && is_empty;
        if (is_closed && is_empty) {
            *at = ring->next;
            log_ring_free(ring);
        } else {
            at = &ring->next;
        }
    }
    return is_drained;
}

static void
say(const char *format, ...) PRINTF_LIKE(1, 2);

static void
say(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_sink_put(logs.pass_error_sink, LEVEL_WARN, true, clock_wall_ms(), slice_of(text));
}

/* The words of a format, with "..." where a line has values: which ones is not known any more. */
static void
words_of(const char *format, char *text, size_t bytes)
{
    const char *end = text + bytes - 4;
    bool is_value = false;

    while (*format != '\0' && text < end) {
        bool was_value = is_value;

        is_value = format[0] == '%' && format[1] != '%';
        if (is_value) {
            format += strcspn(format, "cdiopsuxX");
            format += *format != '\0';
            if (!was_value)
                text = stpcpy(text, "...");
        } else {
            format += *format == '%'; /* which stands twice */
            *text++ = *format++;
        }
    }
    *text = '\0';
}

/* Limits stay on the list for good: there are as many as places in the source. */
static void
report_limits(void)
{
    struct log_limit *limit = atomic_exchange(&log_meeting.new_limits, NULL);

    while (limit != NULL) {
        struct log_limit *next = limit->next;

        limit->next = logs.limits;
        logs.limits = limit;
        limit = next;
    }
    for (limit = logs.limits; limit != NULL; limit = limit->next) {
        unsigned count = atomic_exchange(&limit->suppressed, 0);
        char words[256];

        if (count == 0)
            continue;
        words_of(limit->format, words, sizeof(words));
        say("... and %u more like: %s", count, words);
    }
}

static void
report(uint64_t now_ms)
{
    uint64_t dropped;

    if (now_ms < logs.report_ms)
        return;
    logs.report_ms = now_ms + REPORT_MS;
    dropped = atomic_exchange(&log_meeting.messages_dropped, 0);
    if (dropped > 0)
        log_sink_drop(logs.pass_error_sink, dropped);
    report_limits();
    log_sinks_report(logs.pass_error_sink, clock_wall_ms());
}

/* What a pass found. */
struct finding {
    bool had_lines;
    bool is_stalled; /* by a sink that has no room */
};

static struct finding
pass(void)
{
    uint64_t now_ms = clock_monotonic_ms(), flushes;
    struct finding found = { 0 };

    pthread_mutex_lock(&logs.lock);
    flushes = logs.flushes_wanted;
    logs.pass_error_sink = logs.error_sink;
    pthread_mutex_unlock(&logs.lock);
    log_sinks_begin(now_ms);
    log_sinks_flush(); /* first: what can be written again has room for what came since */
    found.is_stalled = !drain_all(&found.had_lines);
    report(now_ms);
    log_sinks_flush();
    if (found.is_stalled)
        return found;
    log_sinks_bury();
    pthread_mutex_lock(&logs.lock);
    logs.flushes_done = flushes;
    pthread_cond_broadcast(&logs.flushed);
    pthread_mutex_unlock(&logs.lock);
    return found;
}

static bool
rings_are_empty(void)
{
    if (atomic_load(&log_meeting.new_rings) != NULL)
        return false;
    for (const struct log_ring *ring = logs.rings; ring != NULL; ring = ring->next)
        if (atomic_load(&ring->head) != atomic_load(&ring->tail))
            return false;
    return true;
}

/* Whether nothing can come unnoticed once `rest` says that we sleep. */
static bool
can_sleep(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 &&
           rings_are_empty();
}

static void
take_rest(enum log_rest how, int wait_ms)
{
    struct pollfd fds[1 + POLLED_MAX] = { { .fd = logs.wake_fd, .events = POLLIN } };
    unsigned count = 1 + log_sinks_poll(fds + 1, POLLED_MAX);
    uint64_t wakes;

    atomic_store(&log_meeting.rest, how);
    if (how == REST_SLEEP && !can_sleep())
        wait_ms = NAP_MS;
    poll(fds, count, wait_ms);
    atomic_store(&log_meeting.rest, REST_AWAKE);
    if (fds[0].revents != 0 && read(logs.wake_fd, &wakes, sizeof(wakes)) < 0)
        must(errno == EAGAIN || errno == EINTR);
}

static void *
run(void *arg)
{
    unsigned quiet = 0;

    (void)arg;
    while (!atomic_load(&logs.is_stopping)) {
        struct finding found = pass();

        quiet = found.had_lines ? 0 : quiet + 1;
        if (found.is_stalled) /* more lines are no reason to look again */
            take_rest(REST_AWAKE, NAP_MS);
        else if (quiet <= QUIET_PASSES)
            take_rest(REST_NAP, NAP_MS);
        else
            take_rest(REST_SLEEP, log_sinks_are_behind() ? RETRY_MS : -1);
    }
    for (uint64_t end_ms = clock_monotonic_ms() + STOP_MS;;) {
        struct finding found = pass();

        if ((!found.is_stalled && !log_sinks_are_waiting()) || clock_monotonic_ms() >= end_ms)
            return NULL;
        take_rest(REST_AWAKE, NAP_MS);
    }
}

/* ---- start and stop */

static size_t
ring_size(size_t wanted)
{
    size_t bytes = LOG_RING_BYTES_MIN;

    while (bytes < wanted && bytes < LOG_RING_BYTES_MAX)
        bytes *= 2;
    return bytes;
}

int
log_thread_start(size_t ring_bytes, struct err *err)
{
    must(!log_thread_is_running());
    tzset();
    /* Where it is not to be had, can_sleep() will find out. */
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    log_meeting.ring_bytes = ring_size(ring_bytes);
    logs.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (logs.wake_fd < 0)
        return err_errno(err, "log thread: eventfd");
    log_meeting.shared = log_ring_new(log_meeting.ring_bytes);
    if (log_meeting.shared == NULL) {
        err_errno(err, "log thread: no memory for a ring");
        goto fail;
    }
    logs.error_sink = log_sink_open("stderr", -1, err);
    if (logs.error_sink == NULL)
        goto fail_ring;
    atomic_store(&logs.is_stopping, false);
    log_sinks_serve(log_wake);
    errno = thread_start(&logs.thread, "bascule-log", run, NULL);
    if (errno != 0) {
        err_errno(err, "log thread");
        goto fail_sink;
    }
    log_ring_publish(log_meeting.shared);
    atomic_store(&log_meeting.is_running, true);
    return 0;

fail_sink:
    log_sinks_serve(NULL);
    log_sink_unref(logs.error_sink);
    logs.error_sink = NULL;
fail_ring:
    log_ring_free(log_meeting.shared);
    log_meeting.shared = NULL;
fail:
    close(logs.wake_fd);
    logs.wake_fd = -1;
    return -1;
}

/* What slow sinks left in the rings is lost, and counted. Frees the rings whose
 * producers are gone; others are for the next log thread. */
static void
discard(void)
{
    struct log_ring **at = &logs.rings;

    adopt_rings();
    while (*at != NULL) {
        struct log_ring *ring = *at;
        uint64_t tail = atomic_load(&ring->tail), head = atomic_load(&ring->head);

        while (tail != head) {
            const struct log_record *record = log_ring_record(ring, tail);

            log_count_drop(record->sink != NULL ? record->sink : logs.error_sink);
            tail += log_record_span(record->bytes);
        }
        atomic_store(&ring->tail, tail);
        if (atomic_load(&ring->is_closed)) {
            *at = ring->next;
            log_ring_free(ring);
        } else {
            at = &ring->next;
        }
    }
}

void
log_thread_stop(void)
{
    if (!log_thread_is_running())
        return;
    atomic_store(&log_meeting.is_running, false);
    atomic_store(&logs.is_stopping, true);
    log_wake();
    pthread_join(logs.thread, NULL);
    atomic_store(&log_meeting.shared->is_closed, true);
    discard();
    log_meeting.shared = NULL;
    log_sinks_serve(NULL);
    log_sinks_begin(clock_monotonic_ms());
    log_sinks_bury();
    log_sink_unref(logs.error_sink);
    logs.error_sink = logs.pass_error_sink = NULL;
    close(logs.wake_fd);
    logs.wake_fd = -1;
}

void
log_wake(void)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so it will wake anyway. */
    if (logs.wake_fd >= 0 && write(logs.wake_fd, &one, sizeof(one)) < 0)
        must(errno == EAGAIN || errno == EINTR);
}

void
log_flush(void)
{
    uint64_t wanted;

    if (!log_thread_is_running())
        return;
    pthread_mutex_lock(&logs.lock);
    wanted = ++logs.flushes_wanted;
    log_wake();
    while (logs.flushes_done < wanted && log_thread_is_running())
        pthread_cond_wait(&logs.flushed, &logs.lock);
    pthread_mutex_unlock(&logs.lock);
}

void
log_set_sink(struct log_sink *sink)
{
    struct log_sink *before;

    if (sink == NULL)
        sink = log_sink_open("stderr", -1, NULL);
    if (sink == NULL || !log_thread_is_running()) {
        log_sink_unref(sink);
        return;
    }
    pthread_mutex_lock(&logs.lock);
    before = logs.error_sink;
    logs.error_sink = sink;
    pthread_mutex_unlock(&logs.lock);
    log_sink_unref(before);
}

struct log_counts
log_counts(void)
{
    struct log_counts counts = log_sinks_counts();

    counts.dropped += atomic_load_explicit(&log_meeting.messages_dropped, memory_order_relaxed);
    return counts;
}

static void
reopen_sink(struct log_sink *sink, void *arg)
{
    const char *path = log_sink_path(log_sink_identity(sink));
    unsigned *failures = arg;
    struct err err;
    int fd;

    if (path == NULL)
        return;
    fd = log_file_open(path, &err);
    if (fd < 0) {
        ++*failures;
        log_error("%s", err.text);
        return;
    }
    log_sink_set_fd(sink, fd);
}

unsigned
log_reopen(void)
{
    unsigned failures = 0;

    log_sinks_each(reopen_sink, &failures);
    return failures;
}
