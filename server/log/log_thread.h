/* SPDX-License-Identifier: BSD-2-Clause */
/* log_thread.h - how lines get from any thread to the sinks without waiting.
 *
 *     worker:     log_begin --> format in place --> log_commit       (its own ring)
 *     log thread: ring --> buffer of the sink --> one write for many lines
 *
 * A ring has one producer, one consumer and whole lines only. When it is full
 * the line is dropped and counted: logs never hold up traffic. The log thread
 * sleeps 100 ms between batches; it is woken earlier when a ring is half full.
 * After some seconds without lines it sleeps until there is one.
 */
#ifndef BASCULE_LOG_THREAD_H
#define BASCULE_LOG_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/log.h"
#include "server/log/sink.h"

/* Longest line, its end not counted: 64 KiB less what fits a line with its syslog
 * header into a UDP datagram (65,507 bytes). */
#define LOG_LINE_MAX 64000u

#define LOG_RING_BYTES (256u * 1024)     /* default */
#define LOG_RING_BYTES_MIN (128u * 1024) /* holds the longest line */
#define LOG_RING_BYTES_MAX (64u * 1024 * 1024)

/* ---- the thread */

/* Starts the log thread. Threads get rings of ring_bytes, rounded up to a power
 * of two within the bounds above. The error log goes to stderr until
 * log_set_sink(). Returns 0 or -1. */
int log_thread_start(size_t ring_bytes, struct err *err) MUST_USE;

/* Writes what is in the rings, waiting at most about a second for slow sinks,
 * and ends the thread. Other threads must have detached, or log no more. Lines
 * go straight to stderr again. */
void log_thread_stop(void);

/* Gives the calling thread its own ring. Threads without one share one under a
 * lock, which is fine for all but workers. Returns 0, or -1 when memory is
 * short. */
int log_thread_attach(void) MUST_USE;

/* What is in the ring is still written. Harmless when not attached. */
void log_thread_detach(void);

/* The error log goes to sink from the next batch on, until log_thread_stop().
 * Takes the reference; NULL: stderr. */
void log_set_sink(struct log_sink *sink);

/* Opens every file sink again by its path (after log rotation). For processes
 * that may open them; others get descriptors and call log_sink_reopen(). Files
 * that cannot be opened are reported and stay as they are. Returns how many. */
unsigned log_reopen(void);

/* Waits until the sinks were offered all lines that were committed before. Not
 * for workers. */
void log_flush(void);

/* Makes the log thread look at its sinks soon. */
void log_wake(void);

/* Lines written and lost so far, in all. log_sinks_each() tells them apart. */
struct log_counts log_counts(void);

/* ---- lines */

/* Where the calling thread may format one line for sink (NULL: the error log),
 * *room bytes of at most LOG_LINE_MAX, to be followed at once by log_commit() or
 * log_abandon(). NULL when the ring is full or no log thread runs: the line is
 * then counted as dropped. Access logs leave a part of the ring to the error
 * log. */
char *log_begin(struct log_sink *sink, enum log_level level, uint64_t wall_ms, size_t *room);

/* The line is whole: bytes of it, without LF, and none within. */
void log_commit(size_t bytes);

/* The room did not do: counts a dropped line. */
void log_abandon(void);

/* ---- limits: hostile peers can cause lines */

/* Static, one for each place that logs: LOG_LIMIT(5) is five lines a second.
 * The log thread then says how many more there were. */
struct log_limit {
    unsigned lines_per_s;
    _Atomic uint64_t second;     /* the current one */
    _Atomic unsigned lines;      /* in it */
    _Atomic unsigned suppressed; /* not told yet */
    _Atomic bool is_listed;
    const char *format;
    struct log_limit *next;
};

#define LOG_LIMIT(lines_per_second) { .lines_per_s = (lines_per_second) }

/* As log_write(), but for lines beyond the limit. It must be used with one
 * format only. */
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Puts limit on the log thread's list of those that have something to tell. */
void log_limit_tell(struct log_limit *limit);

/* Whether the log thread runs: otherwise lines go to stderr. */
bool log_thread_is_running(void);

#endif
