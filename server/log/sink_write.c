/* SPDX-License-Identifier: BSD-2-Clause */
/* sink_write.c - gathers lines in the buffers of sinks, and writes what they will take.
 *
 *     put --> [ start ... end ] --> write, send or sendmmsg
 *
 * Every line in a buffer ends with LF and holds no other, so a syslog sink
 * finds its datagrams and any sink the beginning of a line again.
 *
 * All of this is the log thread's, but for making an intro and the first descriptor,
 * while nobody else knows the sink.
 */
#include "config.h"

#include "server/log/sink_write.h"

#include "server/base/must.h"
#include "server/log/escape.h"
#include "server/log/sink_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A sink that could be written again any moment (a pipe, a socket) is waited
 * for so long; then it is stuck. */
#define GRACE_MS 1000

/* How long to leave a failing sink (a full disk) alone. */
#define RETRY_MS 1000

/* Datagrams to one sendmmsg(). */
#define DATAGRAMS_MAX 64

static struct list busy = { &busy, &busy };
static uint64_t pass_ms;

/* ---- writing */

/* A sink has recovered when nothing is left, not with every byte it takes: one
 * that is merely too slow must not hold up others for ever either. */
static void
advance(struct log_sink *sink, size_t bytes)
{
    const char *line_end = memrchr(sink->buf + sink->start, '\n', bytes);

    if (line_end != NULL)
        sink->line = (size_t)(line_end - sink->buf) + 1;
    sink->start += bytes;
    if (sink->start < sink->end)
        return;
    sink->line = sink->start = sink->end = 0;
    sink->error = sink->reported_error = 0;
    sink->blocked_ms = 0;
    sink->is_stuck = sink->is_polled = false;
}

/* The sink takes nothing now: errno says why. A pipe or socket without room
 * is worth waiting for, a full disk is not. */
static void
block(struct log_sink *sink)
{
    bool is_full = errno == EAGAIN || errno == EWOULDBLOCK;

    sink->error = errno;
    sink->is_polled = is_full;
    sink->retry_ms = pass_ms + RETRY_MS;
    if (sink->blocked_ms == 0)
        sink->blocked_ms = pass_ms;
    if (!is_full || pass_ms - sink->blocked_ms >= GRACE_MS)
        sink->is_stuck = true;
}

static ssize_t
write_some(const struct log_sink *sink, const char *data, size_t bytes)
{
    struct pollfd out = { .fd = sink->fd, .events = POLLOUT };

    switch (sink->way) {
    case WRITE_PLAIN:
        return write(sink->fd, data, bytes);
    case WRITE_STREAM:
        return send(sink->fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WRITE_CAREFUL:
        /* A pipe that polls writable takes PIPE_BUF bytes without waiting. */
        if (poll(&out, 1, 0) == 1)
            return write(sink->fd, data, bytes < PIPE_BUF ? bytes : PIPE_BUF);
        break;
    case WRITE_DATAGRAM:
        break;
    }
    errno = EAGAIN;
    return -1;
}

static void
flush_stream(struct log_sink *sink)
{
    while (sink->start < sink->end) {
        ssize_t n = write_some(sink, sink->buf + sink->start, sink->end - sink->start);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            block(sink);
            return;
        }
        advance(sink, (size_t)n);
    }
}

/* A syslog daemon that was restarted has a new socket. */
static void
connect_again(struct log_sink *sink)
{
    int fd = sink_connect_unix(&sink->to);

    if (fd < 0)
        return;
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = fd;
}

struct batch {
    struct mmsghdr messages[DATAGRAMS_MAX];
    struct iovec lines[DATAGRAMS_MAX];
    unsigned count;
};

/* One datagram for each of the next lines. */
static void
batch_fill(struct batch *batch, const struct log_sink *sink)
{
    char *at = sink->buf + sink->start, *end = sink->buf + sink->end;

    for (batch->count = 0; at < end && batch->count < DATAGRAMS_MAX; batch->count++) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        struct iovec *line = &batch->lines[batch->count];

        must(line_end != NULL);
        *line = (struct iovec){ .iov_base = at, .iov_len = (size_t)(line_end - at) };
        batch->messages[batch->count] =
            (struct mmsghdr){ .msg_hdr = { .msg_iov = line, .msg_iovlen = 1 } };
        at = line_end + 1;
    }
}

static size_t
batch_bytes(const struct batch *batch, unsigned count)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += batch->lines[i].iov_len + 1;
    return bytes;
}

static void
flush_datagrams(struct log_sink *sink)
{
    bool was_refused = false;
    struct batch batch;

    while (sink->start < sink->end) {
        int sent;

        batch_fill(&batch, sink);
        sent = sendmmsg(sink->fd, batch.messages, batch.count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            advance(sink, batch_bytes(&batch, (unsigned)sent));
        } else if (errno == EMSGSIZE) {
            log_sink_drop(sink, 1);
            advance(sink, batch_bytes(&batch, 1));
        } else if (errno == EINTR) {
            continue;
        } else if (errno == EAGAIN || was_refused) {
            block(sink);
            return;
        } else if (sink->to.sun_family == AF_UNIX) {
            was_refused = true;
            connect_again(sink);
        } else {
            was_refused = true; /* ECONNREFUSED tells of an earlier datagram */
        }
    }
}

static void
flush(struct log_sink *sink)
{
    if (sink->way == WRITE_DATAGRAM)
        flush_datagrams(sink);
    else
        flush_stream(sink);
    if (sink->start == sink->end)
        list_remove(&sink->busy);
}

/* ---- buffering */

/* RFC 5424 section 6.2.1: facility daemon (3), severity. */
static const char priorities[][5] = {
    [LEVEL_ERROR] = "<27>",
    [LEVEL_WARN] = "<28>",
    [LEVEL_INFO] = "<30>",
    [LEVEL_DEBUG] = "<31>",
};

static const char level_words[][8] = {
    [LEVEL_ERROR] = " error ",
    [LEVEL_WARN] = " warn  ",
    [LEVEL_INFO] = " info  ",
    [LEVEL_DEBUG] = " debug ",
};

static char *
put_text(char *at, const char *text, size_t bytes)
{
    memcpy(at, text, bytes);
    return at + bytes;
}

char *
log_intro(char *at, enum log_level level, uint64_t wall_ms)
{
    return put_text(text_time_iso(at, wall_ms), level_words[level], 7);
}

/* HOSTNAME is printable ASCII without spaces: RFC 5424 section 6. */
void
sink_intro_init(struct log_sink *sink)
{
    char host[256] = "-";

    if (gethostname(host, sizeof(host)) < 0 || host[0] == '\0')
        strcpy(host, "-");
    host[sizeof(host) - 1] = '\0';
    for (char *p = host; *p != '\0'; p++)
        if (*p <= ' ' || *p >= 0x7f)
            *p = '_';
    sink->intro_bytes =
        (size_t)snprintf(sink->intro, sizeof(sink->intro), " %s bascule %d ", host, (int)getpid());
}

/* HEADER and no STRUCTURED-DATA: RFC 5424 section 6. */
static char *
put_syslog_intro(char *at, const struct log_sink *sink, enum log_level level, bool is_message,
                 uint64_t wall_ms)
{
    at = put_text(at, priorities[level], 4);
    at = put_text(at, "1 ", 2);
    at = text_time_iso(at, wall_ms);
    at = put_text(at, sink->intro, sink->intro_bytes);
    return is_message ? put_text(at, "error - ", 8) : put_text(at, "access - ", 9);
}

/* Moves what is left to the front, written beginnings of lines included. Every line
 * that a stuck sink drops comes by here: nothing is touched until a write has made room. */
static void
compact(struct log_sink *sink)
{
    if (sink->line == 0)
        return;
    memmove(sink->buf, sink->buf + sink->line, sink->end - sink->line);
    sink->end -= sink->line;
    sink->start -= sink->line;
    sink->line = 0;
}

/* For counters that only the log thread changes: without the price of a locked
 * addition. */
static inline void
count(_Atomic uint64_t *counter, uint64_t more)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

uint64_t
sink_pending_lines(const struct log_sink *sink)
{
    uint64_t lines = 0;

    for (size_t i = sink->start; i < sink->end; i++)
        lines += sink->buf[i] == '\n';
    return lines;
}

/* Makes room for one more line if that can be had without waiting. */
static bool
make_room(struct log_sink *sink, size_t bytes)
{
    if (BUFFER_BYTES - sink->end >= bytes)
        return true;
    if (sink->blocked_ms == 0)
        flush(sink);
    if (BUFFER_BYTES - sink->end < bytes)
        compact(sink);
    return BUFFER_BYTES - sink->end >= bytes;
}

bool
log_sink_put(struct log_sink *sink, enum log_level level, bool is_message, uint64_t wall_ms,
             struct slice line)
{
    char *at;

    if (!make_room(sink, line.bytes + INTRO_MAX + 1)) {
        if (!sink->is_stuck)
            return false;
        log_sink_drop(sink, 1);
        return true;
    }
    at = sink->buf + sink->end;
    if (sink->is_syslog) {
        at = put_syslog_intro(at, sink, level, is_message, wall_ms);
    } else if (is_message) {
        at = log_intro(at, level, wall_ms);
    }
    at = put_text(at, line.data, line.bytes);
    *at++ = '\n';
    sink->end = (size_t)(at - sink->buf);
    count(&sink->lines, 1);
    count(&sink->bytes, line.bytes + 1);
    if (!list_is_linked(&sink->busy))
        list_push_back(&busy, &sink->busy);
    return true;
}

/* ---- descriptors */

static enum write_way
way_to(const struct log_sink *sink, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (sink->is_syslog)
        return WRITE_DATAGRAM;
    if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode) || (flags >= 0 && (flags & O_NONBLOCK) != 0))
        return WRITE_PLAIN;
    return S_ISSOCK(st.st_mode) ? WRITE_STREAM : WRITE_CAREFUL;
}

void
sink_fd_set(struct log_sink *sink, int fd)
{
    sink->fd = fd;
    sink->way = way_to(sink, fd);
}

void
sink_fd_take_over(struct log_sink *sink)
{
    int fd = atomic_exchange(&sink->next_fd, -1);

    if (fd < 0)
        return;
    if (sink->way != WRITE_DATAGRAM)
        sink->start = sink->line;
    close(sink->fd);
    sink_fd_set(sink, fd);
    sink->retry_ms = 0;
    advance(sink, 0);
}

/* ---- all that have something to write */

void
sinks_set_time(uint64_t now_ms)
{
    pass_ms = now_ms;
}

void
log_sinks_flush(void)
{
    list_each(link, &busy) {
        struct log_sink *sink = container_of(link, struct log_sink, busy);

        if (sink->blocked_ms == 0 || sink->is_polled || pass_ms >= sink->retry_ms)
            flush(sink);
    }
}

unsigned
log_sinks_poll(struct pollfd *fds, unsigned room)
{
    unsigned count = 0;

    list_each(link, &busy) {
        struct log_sink *sink = container_of(link, struct log_sink, busy);

        if (sink->is_polled && count < room)
            fds[count++] = (struct pollfd){ .fd = sink->fd, .events = POLLOUT };
    }
    return count;
}

bool
log_sinks_are_behind(void)
{
    return !list_is_empty(&busy);
}

bool
log_sinks_are_waiting(void)
{
    list_each(link, &busy)
        if (!container_of(link, struct log_sink, busy)->is_stuck)
            return true;
    return false;
}
