/* SPDX-License-Identifier: BSD-2-Clause */
/* file_watch.c - a table of names in folders, and who wants to hear of each.
 *
 * A folder is a number of the kernel (wd), counted here by the names in it. Only
 * the watching thread asks the kernel for folders and gives them back, so that
 * the two cannot cross each other: who drops a name from another thread leaves it
 * on a list for that.
 */
#include "config.h"

#include "server/certificates/file_watch.h"

#include "server/base/hash.h"
#include "server/base/log.h"
#include "server/opener.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define BUCKETS 16384u
#define NAMES_MAX 100000u /* further files are looked at instead */

struct name {
    struct list link;      /* of its watched, or of the dropped */
    struct name *next;     /* in its bucket */
    struct watched *owner; /* NULL: dropped */
    uint64_t hash;         /* of wd and the name: another that happens to have it costs a look */
    int wd;
};

static struct {
    pthread_mutex_t lock; /* guards all but inotify_fd and folders */
    void (*on_event)(struct watched *watched);
    struct name *buckets[BUCKETS];
    struct list dropped;
    unsigned count;
    struct hash_key key;

    /* The watching thread's alone. */
    int inotify_fd;
    bool is_shared;
    unsigned *folders; /* names by wd */
    size_t folder_room;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER, .inotify_fd = -1,
            .dropped = { &table.dropped, &table.dropped } };

void
file_watch_start(void (*on_event)(struct watched *watched))
{
    table.on_event = on_event;
    hash_key_random(&table.key);
    table.inotify_fd = opener_inotify();
    table.is_shared = table.inotify_fd >= 0;
    if (!table.is_shared)
        table.inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (table.inotify_fd < 0)
        log_warn("certificates: inotify: %s: looking at files every second instead",
                 strerrordesc_np(errno));
}

int
file_watch_fd(void)
{
    return table.inotify_fd;
}

unsigned
file_watch_count(void)
{
    unsigned count;

    pthread_mutex_lock(&table.lock);
    count = table.count;
    pthread_mutex_unlock(&table.lock);
    return count;
}

static uint64_t
hash_of(int wd, struct slice name)
{
    return hash_bytes(name, &table.key) ^ (uint64_t)wd * 0x9e3779b97f4a7c15u;
}

/* ---- folders: the watching thread */

static bool
hold_folder(int wd)
{
    size_t room = table.folder_room > 0 ? table.folder_room : 64;
    unsigned *more;

    while (room <= (size_t)wd)
        room *= 2;
    if (room > table.folder_room) {
        more = reallocarray(table.folders, room, sizeof(*more));
        if (more == NULL)
            return false;
        memset(more + table.folder_room, 0, (room - table.folder_room) * sizeof(*more));
        table.folders = more;
        table.folder_room = room;
    }
    table.folders[wd]++;
    return true;
}

static void
release_folder(int wd)
{
    if (--table.folders[wd] == 0)
        inotify_rm_watch(table.inotify_fd, wd); /* it may be gone by itself */
}

/* ---- names, under the lock */

static void
unlink_name(struct name *name)
{
    struct name **at = &table.buckets[name->hash % BUCKETS];

    while (*at != name)
        at = &(*at)->next;
    *at = name->next;
    list_remove(&name->link);
    table.count--;
}

static void
drop_names(struct list *names)
{
    list_each(link, names) {
        struct name *name = container_of(link, struct name, link);

        name->owner = NULL;
        list_remove(link);
        list_push_back(&table.dropped, link);
    }
}

void
watched_drop(struct watched *watched)
{
    pthread_mutex_lock(&table.lock);
    drop_names(&watched->names);
    pthread_mutex_unlock(&table.lock);
}

/* On the watching thread. */
static void
bury_dropped(void)
{
    list_each(link, &table.dropped) {
        struct name *name = container_of(link, struct name, link);

        unlink_name(name);
        release_folder(name->wd);
        free(name);
    }
}

/* ---- watching */

struct gathering {
    struct watched *owner;
    struct list names;
    bool is_complete;
};

static void
gather(void *arg, int wd, struct slice text)
{
    struct gathering *gathering = arg;
    struct name *name = table.count < NAMES_MAX ? malloc(sizeof(*name)) : NULL;

    if (name == NULL || !hold_folder(wd)) {
        free(name);
        gathering->is_complete = false;
        return;
    }
    *name = (struct name){ .owner = gathering->owner, .hash = hash_of(wd, text), .wd = wd };
    list_push_back(&gathering->names, &name->link);
}

static void
insert_names(struct gathering *gathering)
{
    list_each(link, &gathering->names) {
        struct name *name = container_of(link, struct name, link);

        name->next = table.buckets[name->hash % BUCKETS];
        table.buckets[name->hash % BUCKETS] = name;
        table.count++;
    }
    list_move_all(&gathering->owner->names, &gathering->names);
}

void
watched_set(struct watched *watched, const char *const *paths, unsigned count)
{
    struct gathering gathering = { .owner = watched, .is_complete = table.inotify_fd >= 0 };

    list_init(&gathering.names);
    for (unsigned i = 0; i < count && gathering.is_complete; i++)
        if (opener_watch(table.inotify_fd, paths[i], gather, &gathering) < 0)
            gathering.is_complete = false;
    pthread_mutex_lock(&table.lock);
    drop_names(&watched->names);
    insert_names(&gathering);
    bury_dropped(); /* after the new ones hold their folders */
    watched->is_blind = !gathering.is_complete;
    pthread_mutex_unlock(&table.lock);
}

/* ---- events */

/* Everything, or what is in one folder that moved away or is gone. */
static void
tell_all(int wd)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct name *name = table.buckets[i]; name != NULL; name = name->next)
            if (name->owner != NULL && (wd < 0 || name->wd == wd))
                table.on_event(name->owner);
}

static void
tell(const struct inotify_event *event)
{
    uint64_t hash;

    if (event->mask & IN_Q_OVERFLOW) {
        tell_all(-1);
        return;
    }
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
        tell_all(event->wd);
        return;
    }
    hash = hash_of(event->wd, slice_of(event->len > 0 ? event->name : ""));
    for (struct name *name = table.buckets[hash % BUCKETS]; name != NULL; name = name->next)
        if (name->owner != NULL && name->hash == hash)
            table.on_event(name->owner);
}

void
file_watch_read(void)
{
    char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t got;

    pthread_mutex_lock(&table.lock);
    while ((got = read(table.inotify_fd, buffer, sizeof(buffer))) > 0) {
        const struct inotify_event *event;

        for (ssize_t at = 0; at < got; at += (ssize_t)(sizeof(*event) + event->len)) {
            event = (const struct inotify_event *)(const void *)(buffer + at);
            tell(event);
        }
    }
    bury_dropped();
    pthread_mutex_unlock(&table.lock);
}

void
file_watch_stop(void)
{
    pthread_mutex_lock(&table.lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (table.buckets[i] != NULL) {
            struct name *name = table.buckets[i];

            if (name->owner != NULL)
                name->owner->is_blind = true;
            unlink_name(name);
            free(name);
        }
    }
    pthread_mutex_unlock(&table.lock);
    if (!table.is_shared && table.inotify_fd >= 0)
        close(table.inotify_fd);
    table.inotify_fd = -1;
    free(table.folders);
    table.folders = NULL;
    table.folder_room = 0;
}
