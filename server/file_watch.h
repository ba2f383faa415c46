/* SPDX-License-Identifier: BSD-2-Clause */
/* file_watch.h - hears of files that may have changed, by inotify on their
 * folders: written in place, replaced by another, or behind a symbolic link that
 * leads elsewhere now.
 *
 * A file_watch belongs to one thread, which watches and reads; files may be
 * dropped from any thread.
 */
#ifndef BASCULE_FILE_WATCH_H
#define BASCULE_FILE_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/base/list.h"

struct file_watch;

/* Embedded by who has files: private. */
struct watched {
    struct list names;
    struct file_watch *watch; /* that has names of it; NULL: none */
    bool is_blind; /* some of it cannot be watched: has to be looked at */
};

static inline void
watched_init(struct watched *watched)
{
    list_init(&watched->names);
    watched->watch = NULL;
    watched->is_blind = true;
}

/* on_event is told that something about its files has happened: under a lock
 * that watched_drop() takes, so that watched is there, and may do little. By
 * is_shared, folders that only the supervisor may look into can be watched, too:
 * one of all. Where there is no inotify that is said in the log, for who (borrowed).
 * NULL when memory is short. */
struct file_watch *file_watch_new(const char *who, bool is_shared,
                                  void (*on_event)(struct watched *watched));

/* What is watched by it becomes blind. NULL is fine. */
void file_watch_free(struct file_watch *watch);

/* To be polled for input; -1: there is none, and everything is blind. */
int file_watch_fd(const struct file_watch *watch);

/* Takes what has happened since. */
void file_watch_read(struct file_watch *watch);

/* Watches these files instead of those that it had: to be called before they are
 * read. May wait for the supervisor. Always by the same watch for the same watched. */
void watched_set(struct file_watch *watch, struct watched *watched, const char *const *paths,
                 unsigned count);

/* From any thread; nothing more is told of it afterwards. */
void watched_drop(struct watched *watched);

/* Names that are watched, by all, for tests. */
unsigned file_watch_count(void);

/* ---- looking */

/* What tells one state of a file from another without reading it. All zero: it
 * cannot be looked at. */
struct file_state {
    uint64_t device, inode, bytes;
    int64_t modified_ns, changed_ns;
};

/* Looks at the file, through links. */
void file_state_take(struct file_state *stamp, const char *path);

static inline bool
file_state_equal(const struct file_state *a, const struct file_state *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

#endif
