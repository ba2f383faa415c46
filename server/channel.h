/* SPDX-License-Identifier: BSD-2-Clause */
/* channel.h - what supervisor and worker process say to each other.
 *
 * A pair of SOCK_SEQPACKET sockets: a message arrives whole or not at all, and
 * carries descriptors along. Both ends are the same program, so the format is
 * a version and a struct; what comes from the worker process is still taken as
 * a stranger's, because that is where strangers' bytes are parsed.
 *
 *     supervisor                            worker process
 *         CONFIG, LISTENER*, FILE*, CONTROL, GO -->
 *                                            <-- READY or FAILED
 *         FILE* (logs opened again) -->
 *                              <-- RELOAD, STOP (asked on the control socket)
 *         RELOADED or REFUSED -->
 *         STOP -->
 *
 * Files that only root may read have a socket of their own (opener.h):
 *         OPENER (on the channel) -->
 *                                            <-- OPEN or WATCH
 *         OPENED -->
 */
#ifndef BASCULE_CHANNEL_H
#define BASCULE_CHANNEL_H

#include <stdint.h>

#include "server/base/err.h"
#include "server/base/must.h"

/* Where the worker process finds its end. */
#define CHANNEL_FD 3

#define CHANNEL_TEXT_MAX 4608u /* a path, or what a struct err holds */
#define CHANNEL_FDS_MAX 64u

enum channel_kind {
    /* From the supervisor. number is a generation unless said otherwise. */
    CHANNEL_CONFIG = 1, /* one descriptor: a memfd with the packed configuration */
    CHANNEL_LISTENER,   /* listening sockets, text: their key; several messages add up */
    CHANNEL_FILE,       /* one descriptor, text: the path as configured; replaces an earlier one */
    CHANNEL_CONTROL,    /* one descriptor: the control socket */
    CHANNEL_GO,         /* all is there: serve it */
    CHANNEL_RELOADED,   /* number: the ticket of RELOAD; it went well */
    CHANNEL_REFUSED,    /* number: the ticket; text: why not */
    CHANNEL_STOP,       /* number 0: finish what runs; 1: at once. Both ways: asked for, and done */
    CHANNEL_OPENER,     /* where to ask for files: a socket, and an inotify descriptor */
    CHANNEL_OPENED,     /* number: the ticket; a descriptor or names, otherwise text: why not */
    /* From the worker process. */
    CHANNEL_READY,      /* every thread serves this generation and no older one accepts */
    CHANNEL_FAILED,     /* this generation cannot be served, text: why; the last one goes on */
    CHANNEL_RELOAD,     /* number: a ticket for the answer */
    CHANNEL_OPEN,       /* number: a ticket; text: the path of a file to read */
    CHANNEL_WATCH,      /* the same, to be told when it changes */
    CHANNEL_KIND_COUNT
};

struct channel_message {
    enum channel_kind kind;
    uint64_t number;
    unsigned fd_count;
    int fds[CHANNEL_FDS_MAX];        /* the receiver's to keep or close */
    char text[CHANNEL_TEXT_MAX + 1]; /* ends with a NUL */
};

/* Makes both ends; they are closed by exec. 0 or -1. */
int channel_open(int ends[2], struct err *err);

/* Sends one message. text may be NULL, longer ones are cut; descriptors stay
 * the caller's. Waits a few seconds for a peer that is behind. 0, or -1 with
 * errno. */
int channel_send(int fd, enum channel_kind kind, uint64_t number, const char *text,
                 const int *fds, unsigned fd_count) MUST_USE;

enum channel_result {
    CHANNEL_GOT,    /* a message */
    CHANNEL_WAIT,   /* none now */
    CHANNEL_ENDED,  /* the peer is gone */
    CHANNEL_BROKEN, /* not a message of ours */
};

/* Takes the next message without waiting. Only CHANNEL_GOT fills message. */
enum channel_result channel_receive(int fd, struct channel_message *message);

/* Closes the descriptors from number keep on, which were not wanted. */
void channel_close_fds(struct channel_message *message, unsigned keep);

#endif
