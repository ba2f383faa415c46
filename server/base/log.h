/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h - the error log: what operators should know.
 *
 * Callable from any thread and never blocks on the sink: a line is put whole
 * into the calling thread's ring and written by the log thread. Where none runs,
 * lines go straight to stderr: with time and level in a daemon, after the
 * program's name in a command.
 *
 * error: someone must act; warn: degraded yet serving; info: lifecycle;
 * debug: state changes. Peer bytes must be escaped by log_escape().
 */
#ifndef BASCULE_LOG_H
#define BASCULE_LOG_H

#include <stdbool.h>

#include "server/base/must.h"
#include "server/base/slice.h"

enum log_level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };

/* Lines above this level are dropped. Set from the configuration. */
extern _Atomic(enum log_level) log_level;

/* From now on this process is a daemon, whose lines are read long after. */
void log_be_daemon(void);

#define log_error(...) log_write(LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) \
    (unlikely(log_level >= LEVEL_DEBUG) ? log_write(LEVEL_DEBUG, __VA_ARGS__) : (void)0)

void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/* A printable form of peer bytes in one of a few static per-thread buffers:
 * anything outside printable ASCII, quotes and backslashes become \xHH; cut
 * with "..." after about 200 characters. Good until a few calls later. */
const char *log_escape(struct slice s);

#endif
