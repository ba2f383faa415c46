/* SPDX-License-Identifier: BSD-2-Clause */
/* log.c - messages for operators, formatted where the log thread will find them.
 */
#include "config.h"

#include "server/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/log/escape.h"
#include "server/log/log_thread.h"

/* Longest message; the rest is cut. */
#define MESSAGE_MAX 2048

/* log_escape(): enough for all arguments of one line. */
#define ESCAPED_COUNT 4
#define ESCAPED_BYTES 208

_Atomic(enum log_level) log_level = LEVEL_INFO;

static bool is_daemon;

void
log_be_daemon(void)
{
    is_daemon = true;
}

/* One message is one line and cannot steer a terminal, whatever was forgotten
 * to be escaped in it. */
static void
make_harmless(char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
}

/* What vsnprintf() returned, as bytes that are there. */
static size_t
written_bytes(int result, size_t room)
{
    if (result < 0)
        return 0;
    return (size_t)result < room ? (size_t)result : room - 1;
}

static void
write_directly(enum log_level level, const char *format, va_list args)
{
    char line[LOG_INTRO_BYTES + MESSAGE_MAX + 1];
    char *text = is_daemon ? log_intro(line, level, clock_wall_ms()) : stpcpy(line, "bascule: ");
    size_t bytes = written_bytes(vsnprintf(text, MESSAGE_MAX, format, args), MESSAGE_MAX);

    make_harmless(text, bytes);
    text[bytes++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)(text - line) + bytes) < 0)
        return; /* there is nowhere else to say so */
}

static void
write_message(enum log_level level, const char *format, va_list args)
{
    size_t room, bytes;
    char *text;

    if (!log_thread_is_running()) {
        write_directly(level, format, args);
        return;
    }
    text = log_begin(NULL, level, clock_wall_ms(), &room);
    if (text == NULL)
        return;
    if (room < MESSAGE_MAX) {
        log_abandon();
        return;
    }
    bytes = written_bytes(vsnprintf(text, MESSAGE_MAX, format, args), MESSAGE_MAX);
    make_harmless(text, bytes);
    log_commit(bytes);
}

void
log_write(enum log_level level, const char *format, ...)
{
    va_list args;

    if (level > log_level)
        return;
    va_start(args, format);
    write_message(level, format, args);
    va_end(args);
}

/* Whether one more line may go out in this second. Threads that race at its
 * turn may let a few more through. */
static bool
is_allowed(struct log_limit *limit)
{
    uint64_t second = clock_monotonic_ms() / 1000;

    if (atomic_exchange_explicit(&limit->second, second, memory_order_relaxed) != second)
        atomic_store_explicit(&limit->lines, 0, memory_order_relaxed);
    return atomic_fetch_add_explicit(&limit->lines, 1, memory_order_relaxed) < limit->lines_per_s;
}

void
log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
    va_list args;

    if (level > log_level)
        return;
    if (!log_thread_is_running() || is_allowed(limit)) {
        va_start(args, format);
        write_message(level, format, args);
        va_end(args);
        return;
    }
    atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
    if (!atomic_exchange(&limit->is_listed, true)) {
        limit->format = format;
        log_limit_tell(limit);
    }
}

const char *
log_escape(struct slice s)
{
    static _Thread_local char texts[ESCAPED_COUNT][ESCAPED_BYTES];
    static _Thread_local unsigned next;
    char *text = texts[next++ % ESCAPED_COUNT];
    bool is_cut = false;

    *escape_put(ESCAPE_QUOTED, text, text + ESCAPED_BYTES - 1, s, &is_cut) = '\0';
    return text;
}
