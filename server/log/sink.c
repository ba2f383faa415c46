/* SPDX-License-Identifier: BSD-2-Clause */
/* sink.c - buffers of whole lines, and the descriptors they are written to.
 *
 *     put --> [ start ... end ] --> write, send or sendmmsg
 *
 * Every line in a buffer ends with LF and holds no other, so a syslog sink
 * finds its datagrams and any sink the beginning of a line again.
 *
 * sinks_lock guards the registry: both lists, the counts of references, what
 * gone sinks have counted. Everything else in a sink belongs to the log thread, but for
 * the atomics. Nothing is written while the lock is held.
 */
#include "config.h"

#include "server/log/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/must.h"
#include "server/log/escape.h"
#include "server/log/sink_open.h"

/* Untouched pages of it cost nothing, and most batches are small. */
#define BUFFER_BYTES (256u * 1024)

/* Longest introduction of a line: RFC 5424 with a host name of 255 bytes. */
#define INTRO_MAX 400

/* A sink that could be written again any moment (a pipe, a socket) is waited
 * for so long; then it is stuck. */
#define GRACE_MS 1000

/* How long to leave a failing sink (a full disk) alone. */
#define RETRY_MS 1000

/* Datagrams to one sendmmsg(). */
#define DATAGRAMS_MAX 64

/* What the kernel can say of a descriptor decides how to write to it. */
enum write_way {
    WRITE_PLAIN,    /* a file, or anything that is non-blocking */
    WRITE_CAREFUL,  /* blocking, shared with others: look first, then at most PIPE_BUF */
    WRITE_STREAM,   /* a stream socket: journald's standard streams */
    WRITE_DATAGRAM, /* syslog */
};

struct log_sink {
    struct list link; /* live, unused or dying */
    struct list busy; /* bytes wait in buf */
    unsigned refs;
    _Atomic int next_fd; /* to be taken over, or -1 */
    _Atomic uint64_t lines, bytes, dropped;

    int fd;
    enum write_way way;
    bool is_syslog, is_stuck, is_polled;
    int error, reported_error; /* of the last write; 0: it went well */
    uint64_t reported_dropped;
    uint64_t blocked_ms;       /* since when it takes nothing; 0: it does */
    uint64_t retry_ms;         /* when to try it again */
    char *buf;
    size_t line, start, end;   /* line: where the one that start stands in begins */
    size_t intro_bytes;
    char intro[INTRO_MAX];     /* RFC 5424, from behind the time to before MSGID */
    struct sockaddr_un to;     /* a unix socket, to connect to again */
    char identity[];
};

typedef void wake_fn(void);

static pthread_mutex_t sinks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list live = { &live, &live };
static struct list unused = { &unused, &unused };
static _Atomic(wake_fn *) wake_server; /* NULL: no log thread */
static struct log_counts gone_counts;

/* The log thread's own. */
static struct list busy = { &busy, &busy };
static struct list dying = { &dying, &dying };
static uint64_t pass_ms;

/* ---- making sinks */

static enum write_way
write_way_of(const struct log_sink *sink, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (sink->is_syslog)
        return WRITE_DATAGRAM;
    if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode) || (flags >= 0 && (flags & O_NONBLOCK) != 0))
        return WRITE_PLAIN;
    return S_ISSOCK(st.st_mode) ? WRITE_STREAM : WRITE_CAREFUL;
}

/* HOSTNAME is printable ASCII without spaces: RFC 5424 section 6. */
static void
make_intro(struct log_sink *sink)
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
    make_intro(sink);
    sink->fd = fd;
    if (fd < 0)
        sink->fd = sink_descriptor_open(identity, err);
    if (sink->fd < 0 || sink_unix_address(&sink->to, identity, err) < 0) {
        sink_free(sink);
        return NULL;
    }
    sink->way = write_way_of(sink, sink->fd);
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

static uint64_t
pending_lines(const struct log_sink *sink)
{
    uint64_t lines = 0;

    for (size_t i = sink->start; i < sink->end; i++)
        lines += sink->buf[i] == '\n';
    return lines;
}

/* Keeps what the sink has counted, and frees it. Under the lock. */
static void
sink_bury(struct log_sink *sink)
{
    struct log_counts counts = log_sink_counts(sink);

    gone_counts.lines += counts.lines;
    gone_counts.bytes += counts.bytes;
    gone_counts.dropped += counts.dropped + pending_lines(sink);
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

/* ---- passes of the log thread */

/* What the old descriptor did not take, or took in part only, goes to the new
 * one in whole lines. */
static void
take_over(struct log_sink *sink)
{
    int fd = atomic_exchange(&sink->next_fd, -1);

    if (fd < 0)
        return;
    if (sink->way != WRITE_DATAGRAM)
        sink->start = sink->line;
    close(sink->fd);
    sink->fd = fd;
    sink->way = write_way_of(sink, fd);
    sink->retry_ms = 0;
    advance(sink, 0);
}

void
log_sinks_begin(uint64_t now_ms)
{
    pass_ms = now_ms;
    pthread_mutex_lock(&sinks_lock);
    list_each(link, &unused) {
        take_over(sink_of(link));
        list_remove(link);
        list_push_back(&dying, link);
    }
    list_each(link, &live)
        take_over(sink_of(link));
    pthread_mutex_unlock(&sinks_lock);
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

/* ---- telling of trouble */

/* Puts a message about sink, which has lost lines or begun to fail, into to. */
static void
report(struct log_sink *sink, struct log_sink *to, uint64_t wall_ms)
{
    uint64_t dropped = log_sink_counts(sink).dropped;
    uint64_t lost = dropped - sink->reported_dropped;
    const char *why = sink->error == 0        ? "its ring was full"
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
