/* SPDX-License-Identifier: BSD-2-Clause */
/* sink_write.h - a sink from inside: a buffer of whole lines, and the descriptor they are
 * written to.
 *
 * For sink.c; what the log thread may call of sink_write.c is declared in sink.h.
 */
#ifndef BASCULE_SINK_WRITE_H
#define BASCULE_SINK_WRITE_H

#include <stdatomic.h>
#include <sys/un.h>

#include "server/base/list.h"
#include "server/log/sink.h"

/* Untouched pages of it cost nothing, and most batches are small. */
#define BUFFER_BYTES (256u * 1024)

/* Longest introduction of a line: RFC 5424 with a host name of 255 bytes. */
#define INTRO_MAX 400

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

/* Makes what introduces lines to syslog, once for all of them. */
void sink_intro_init(struct log_sink *sink);

/* Lines go to fd from now on. Takes fd; the last one is not closed. */
void sink_fd_set(struct log_sink *sink, int fd);

/* The same, with next_fd if there is one, which closes the last: what that did not take, or
 * took in part only, goes to the new one in whole lines. */
void sink_fd_take_over(struct log_sink *sink);

/* How many lines the buffer holds that were not written to their end. */
uint64_t sink_pending_lines(const struct log_sink *sink);

/* The time for all that is written until the next call. */
void sinks_set_time(uint64_t now_ms);

#endif
