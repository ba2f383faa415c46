/* SPDX-License-Identifier: BSD-2-Clause */
/* opener.h - reads files that only the supervisor may open: private keys, mostly.
 *
 *     worker process: open() says no --> OPEN path --> supervisor: does the configuration
 *                     descriptor <------ OPENED <----- name this path? then open() it
 *
 * The worker process gets to read what the configuration names as a certificate,
 * key, list of revoked certificates or file of ticket keys, and nothing else; and
 * it gets it again whenever the file changes, without a reload. Where it may not
 * look into a folder, the supervisor watches it for both (inotify).
 */
#ifndef BASCULE_OPENER_H
#define BASCULE_OPENER_H

#include <stdbool.h>

#include "server/base/err.h"
#include "server/base/slice.h"
#include "server/net/loop.h"

/* ---- the worker process, and commands, where nobody is asked. From any thread */

/* Asks over the socket from now on. inotify_fd is shared with the supervisor. Takes
 * both. */
void opener_use(int socket_fd, int inotify_fd);

/* The inotify descriptor that is shared, or -1. */
int opener_inotify(void);

/* Opens a regular file for reading; may wait for the supervisor, some seconds at
 * most. -1 with err, which names the file. */
int opener_open(const char *path, struct err *err) MUST_USE;

/* Someone to be told what to watch: events of wd about name. */
typedef void opener_name_fn(void *arg, int wd, struct slice name);

/* Has inotify_fd watch everything whose change may make path lead to other bytes:
 * the folder of the file, and of each symbolic link on the way. 0, or -1 with
 * errno when some of it cannot be watched. */
int opener_watch(int inotify_fd, const char *path, opener_name_fn *on_name, void *arg);

/* ---- the supervisor */

/* Whether the configuration that is served, or about to be, names this path. */
typedef bool opener_may_fn(void *arg, const char *path);

struct opener_desk {
    struct watch watch;
    struct loop *loop;
    int inotify_fd;
    opener_may_fn *may_open;
    void *arg;
};

/* An empty desk: closing it is harmless. */
void opener_desk_init(struct opener_desk *desk, opener_may_fn *may_open, void *arg);

/* Begins to answer a new worker process. Over channel_fd it gets its end of a
 * socket, and an inotify descriptor. 0, or -1 with err. */
int opener_desk_open(struct opener_desk *desk, struct loop *loop, int channel_fd, struct err *err);
void opener_desk_close(struct opener_desk *desk);

#endif
