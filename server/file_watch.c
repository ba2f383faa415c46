/* SPDX-License-Identifier: BSD-2-Clause */
/* file_watch.c - a table of names in folders, and who wants to hear of each.
 *
 * A folder is a number of the kernel (wd), counted here by the names in it. Only
 * the watching thread asks the kernel for folders and gives them back, so that
 * the two cannot cross each other: who drops a name from another thread leaves it
 * on a list for that.
 */
#include "config.h"

#include "server/file_watch.h"

#include "server/base/hash.h"
#include "server/base/log.h"
#include "server/opener.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
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

/* Guards the names of all, and their counts. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned count_of_all;

struct file_watch {
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
};

struct file_watch *
file_watch_new(const char *who, bool is_shared, void (*on_event)(struct watched *watched))
{
    struct file_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;
    watch->on_event = on_event;
    list_init(&watch->dropped);
    hash_key_random(&watch->key);
    watch->inotify_fd = is_shared ? opener_inotify() : -1;
    watch->is_shared = watch->inotify_fd >= 0;
    if (!watch->is_shared)
        watch->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->inotify_fd < 0)
        log_warn("%s: inotify: %s: looking at files every few seconds instead", who,
                 strerrordesc_np(errno));
    return watch;
}

int
file_watch_fd(const struct file_watch *watch)
{
    return watch->inotify_fd;
}

unsigned
file_watch_count(void)
{
    unsigned count;

    pthread_mutex_lock(&lock);
    count = count_of_all;
    pthread_mutex_unlock(&lock);
    return count;
}

static uint64_t
hash_of(const struct file_watch *watch, int wd, struct slice name)
{
    return hash_bytes(name, &watch->key) ^ (uint64_t)wd * 0x9e3779b97f4a7c15u;
}

/* ---- folders: the watching thread */

static bool
hold_folder(struct file_watch *watch, int wd)
{
    size_t room = watch->folder_room > 0 ? watch->folder_room : 64;
    unsigned *more;

    while (room <= (size_t)wd)
        room *= 2;
    if (room > watch->folder_room) {
        more = reallocarray(watch->folders, room, sizeof(*more));
        if (more == NULL)
            return false;
        memset(more + watch->folder_room, 0, (room - watch->folder_room) * sizeof(*more));
        watch->folders = more;
        watch->folder_room = room;
    }
    watch->folders[wd]++;
    return true;
}

static void
release_folder(struct file_watch *watch, int wd)
{
    if (--watch->folders[wd] == 0)
        inotify_rm_watch(watch->inotify_fd, wd); /* it may be gone by itself */
}

/* ---- names, under the lock */

static void
unlink_name(struct file_watch *watch, struct name *name)
{
    struct name **at = &watch->buckets[name->hash % BUCKETS];

    while (*at != name)
        at = &(*at)->next;
    *at = name->next;
    list_remove(&name->link);
    watch->count--;
    count_of_all--;
}

static void
drop_names(struct watched *watched)
{
    list_each(link, &watched->names) {
        struct name *name = container_of(link, struct name, link);

        name->owner = NULL;
        list_remove(link);
        list_push_back(&watched->watch->dropped, link);
    }
}

void
watched_drop(struct watched *watched)
{
    pthread_mutex_lock(&lock);
    drop_names(watched);
    pthread_mutex_unlock(&lock);
}

/* On the watching thread. */
static void
bury_dropped(struct file_watch *watch)
{
    list_each(link, &watch->dropped) {
        struct name *name = container_of(link, struct name, link);

        unlink_name(watch, name);
        release_folder(watch, name->wd);
        free(name);
    }
}

/* ---- watching */

struct gathering {
    struct file_watch *watch;
    struct watched *owner;
    struct list names;
    bool is_complete;
};

static void
gather(void *arg, int wd, struct slice text)
{
    struct gathering *gathering = arg;
    struct file_watch *watch = gathering->watch;
    struct name *name = watch->count < NAMES_MAX ? malloc(sizeof(*name)) : NULL;

    if (name == NULL || !hold_folder(watch, wd)) {
        free(name);
        gathering->is_complete = false;
        return;
    }
    *name = (struct name){ .owner = gathering->owner, .hash = hash_of(watch, wd, text),
                           .wd = wd };
    list_push_back(&gathering->names, &name->link);
}

static void
insert_names(struct gathering *gathering)
{
    struct file_watch *watch = gathering->watch;

    list_each(link, &gathering->names) {
        struct name *name = container_of(link, struct name, link);

        name->next = watch->buckets[name->hash % BUCKETS];
        watch->buckets[name->hash % BUCKETS] = name;
        watch->count++;
        count_of_all++;
    }
    list_move_all(&gathering->owner->names, &gathering->names);
}

void
watched_set(struct file_watch *watch, struct watched *watched, const char *const *paths,
            unsigned count)
{
    struct gathering gathering = { .watch = watch, .owner = watched,
                                   .is_complete = watch->inotify_fd >= 0 };

    list_init(&gathering.names);
    for (unsigned i = 0; i < count && gathering.is_complete; i++)
        if (opener_watch(watch->inotify_fd, paths[i], gather, &gathering) < 0)
            gathering.is_complete = false;
    pthread_mutex_lock(&lock);
    drop_names(watched);
    watched->watch = watch;
    insert_names(&gathering);
    bury_dropped(watch); /* after the new ones hold their folders */
    watched->is_blind = !gathering.is_complete;
    pthread_mutex_unlock(&lock);
}

/* ---- events */

/* Everything, or what is in one folder that moved away or is gone. */
static void
tell_all(struct file_watch *watch, int wd)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct name *name = watch->buckets[i]; name != NULL; name = name->next)
            if (name->owner != NULL && (wd < 0 || name->wd == wd))
                watch->on_event(name->owner);
}

static void
tell(struct file_watch *watch, const struct inotify_event *event)
{
    uint64_t hash;

    if (event->mask & IN_Q_OVERFLOW) {
        tell_all(watch, -1);
        return;
    }
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
        tell_all(watch, event->wd);
        return;
    }
    hash = hash_of(watch, event->wd, slice_of(event->len > 0 ? event->name : ""));
    for (struct name *name = watch->buckets[hash % BUCKETS]; name != NULL; name = name->next)
        if (name->owner != NULL && name->hash == hash)
            watch->on_event(name->owner);
}

void
file_watch_read(struct file_watch *watch)
{
    char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t got;

    pthread_mutex_lock(&lock);
    while ((got = read(watch->inotify_fd, buffer, sizeof(buffer))) > 0) {
        const struct inotify_event *event;

        for (ssize_t at = 0; at < got; at += (ssize_t)(sizeof(*event) + event->len)) {
            event = (const struct inotify_event *)(const void *)(buffer + at);
            tell(watch, event);
        }
    }
    bury_dropped(watch);
    pthread_mutex_unlock(&lock);
}

void
file_watch_free(struct file_watch *watch)
{
    if (watch == NULL)
        return;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (watch->buckets[i] != NULL) {
            struct name *name = watch->buckets[i];

            if (name->owner != NULL)
                name->owner->is_blind = true;
            unlink_name(watch, name);
            free(name);
        }
    }
    pthread_mutex_unlock(&lock);
    if (!watch->is_shared && watch->inotify_fd >= 0)
        close(watch->inotify_fd);
    free(watch->folders);
    free(watch);
}

/* ---- looking */

void
file_state_take(struct file_state *stamp, const char *path)
{
    struct stat st;
    int result = stat(path, &st);

    memset(stamp, 0, sizeof(*stamp));
    if (result < 0 && errno == EACCES) {
        int fd = opener_open(path, NULL);

        if (fd >= 0) {
            result = fstat(fd, &st);
            close(fd);
        }
    }
    if (result < 0)
        return;
    stamp->device = st.st_dev;
    stamp->inode = st.st_ino;
    stamp->bytes = (uint64_t)st.st_size;
    stamp->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    stamp->changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
}
