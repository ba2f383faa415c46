/* SPDX-License-Identifier: BSD-2-Clause */
/* sink.h - where log lines go: files, the standard streams, syslog.
 *
 * Sinks live in a process-wide registry, counted by reference under their
 * identity, so that a reload keeps those which it finds again:
 *
 *     stdout, stderr        file:/path
 *     syslog:               datagrams to /dev/log (RFC 5424)
 *     syslog:/path          ... to another unix socket
 *     syslog:udp:HOST:PORT  ... over UDP (RFC 5426)
 *
 * Only the log thread writes. It collects lines in the sink's buffer and hands
 * over many at once. A sink that takes nothing for a second is stuck: from
 * then on it loses its own lines, which are counted, and holds up no other.
 */
#ifndef BASCULE_SINK_H
#define BASCULE_SINK_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/log.h"
#include "server/base/slice.h"

struct log_sink;

/* ---- for those who configure */

#define SINK_IDENTITY_BYTES 512

/* Makes an identity of what an operator may write: any of the above, "syslog",
 * or an absolute path. Returns 0 or -1. */
int log_sink_identify(char identity[SINK_IDENTITY_BYTES], const char *text, struct err *err);

/* The path of a file's identity, or NULL: it is none. */
const char *log_sink_path(const char *identity);

/* Opens a log file for appending, creating it with mode 0640. Follows no
 * symbolic link: the caller may be root, and the folder somebody else's. A
 * FIFO must have its reader. Returns the descriptor, or -1. May wait for the
 * disk. */
int log_file_open(const char *path, struct err *err) MUST_USE;

/* A reference to the sink of this identity, made when there is none. Takes fd;
 * with -1 a new sink opens what its identity names (resolving a host name, so
 * it may block: not for workers), an existing one goes on with what it has.
 * NULL when that fails (fd is then closed). Give back with log_sink_unref(). */
struct log_sink *log_sink_open(const char *identity, int fd, struct err *err) MUST_USE;

/* One more reference to sink. Returns it. */
struct log_sink *log_sink_ref(struct log_sink *sink);

/* What was written before is still delivered if the sink takes it. NULL is
 * fine. From any thread. */
void log_sink_unref(struct log_sink *sink);

/* Lines go to fd from the next batch on; the log thread closes the old one.
 * A line that the old one took only in part is written again. Takes fd. From
 * any thread. */
void log_sink_set_fd(struct log_sink *sink, int fd);

/* The same by identity. When there is no such sink: closes fd, returns -1. */
int log_sink_reopen(const char *identity, int fd);

struct log_counts {
    uint64_t lines, bytes; /* accepted for writing */
    uint64_t dropped;      /* lines lost: ring full, sink stuck, or sink gone */
};

const char *log_sink_identity(const struct log_sink *sink);
struct log_counts log_sink_counts(const struct log_sink *sink);

/* Counts a line that did not get as far as the log thread. From any thread. */
void log_sink_drop(struct log_sink *sink, uint64_t lines);

/* Visits every sink that is in use. The registry is locked meanwhile: visit
 * may not call it again. */
void log_sinks_each(void (*visit)(struct log_sink *sink, void *arg), void *arg);

/* Sums over all sinks, past ones included. */
struct log_counts log_sinks_counts(void);

/* How a message begins where its readers see nothing but the line: time and
 * level, at most LOG_INTRO_BYTES. Returns their end. */
#define LOG_INTRO_BYTES 40
char *log_intro(char *at, enum log_level level, uint64_t wall_ms);

/* ---- for the log thread alone */

/* A log thread serves the sinks from now on, and wake() makes it look at them;
 * NULL: none does. Without one, unused sinks are freed at once; with one it does
 * that, after their last line. */
void log_sinks_serve(void (*wake)(void));

/* Begins a pass: takes over new descriptors and who is to be buried. */
void log_sinks_begin(uint64_t now_ms);

/* Adds a whole line (without its end) to the sink's buffer: an error-log message,
 * to be introduced by time and level, or a line that is complete. False: there is
 * no room now, try again after log_sinks_flush(); true also when the sink is
 * stuck and the line was dropped. */
bool log_sink_put(struct log_sink *sink, enum log_level level, bool is_message, uint64_t wall_ms,
                  struct slice line);

/* Writes what the sinks will take. */
void log_sinks_flush(void);

/* Frees unused sinks, unless they only need a moment to take their last bytes.
 * Only when no line for them can be in any ring. */
void log_sinks_bury(void);

/* Fills fds with the sinks that would take more once they are writable.
 * Returns how many. */
unsigned log_sinks_poll(struct pollfd *fds, unsigned room);

/* Whether any sink holds bytes that it could not write yet, and whether any of
 * these is not stuck. */
bool log_sinks_are_behind(void);
bool log_sinks_are_waiting(void);

/* Puts a message into to for every sink that lost lines or began to fail since
 * the last call. Returns whether there was any. */
bool log_sinks_report(struct log_sink *to, uint64_t wall_ms);

#endif
