/* SPDX-License-Identifier: BSD-2-Clause */
/* file_watch.h - hears of files that may have changed, by inotify on their
 * folders: written in place, replaced by another, or behind a symbolic link that
 * leads elsewhere now.
 *
 * One thread watches and reads; files may be dropped from any thread.
 */
#ifndef BASCULE_FILE_WATCH_H
#define BASCULE_FILE_WATCH_H

#include <stdbool.h>

#include "server/base/list.h"

/* Embedded by who has files: private. */
struct watched {
    struct list names;
    bool is_blind; /* some of it cannot be watched: has to be looked at */
};

static inline void
watched_init(struct watched *watched)
{
    list_init(&watched->names);
    watched->is_blind = true;
}

/* on_event is told that something about its files has happened: under a lock
 * that watched_drop() takes, so that watched is there, and may do little. */
void file_watch_start(void (*on_event)(struct watched *watched));
void file_watch_stop(void);

/* To be polled for input; -1: there is none, and everything is blind. */
int file_watch_fd(void);

/* Takes what has happened since. */
void file_watch_read(void);

/* Watches these files instead of those that it had: to be called before they are
 * read. May wait for the supervisor. */
void watched_set(struct watched *watched, const char *const *paths, unsigned count);

/* From any thread; nothing more is told of it afterwards. */
void watched_drop(struct watched *watched);

/* Names that are watched, for tests. */
unsigned file_watch_count(void);

#endif
