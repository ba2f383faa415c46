/* SPDX-License-Identifier: BSD-2-Clause */
/* list_loader.c - the thread that compiles what has changed.
 *
 *     served --(a file changed)--> settling --(no change for a while)--> compiled
 *        ^                                                                 |
 *        '--- the new content, or the old one and a line in the log -------'
 *
 * It has a loop with inotify and a tick. Files that cannot be watched are looked
 * at every few seconds, all others every minute. Replaced content waits here until
 * no thread can be looking at it.
 */
#include "config.h"

#include "server/policy/list_house.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/must.h"
#include "server/base/thread.h"
#include "server/net/grace.h"
#include "server/policy/list_load.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>

#define TICK_MS 1000     /* when there is nothing to do */
#define QUICK_TICK_MS 20 /* when there is */
#define PATIENCE 25      /* times settle_ms: for a file that goes on changing */
#define BLIND_LOOK_MS 5000
#define LOOK_MS 60000

static struct {
    pthread_t thread;
    struct loop *loop; /* NULL: it does not run */
    struct file_watch *files;
    struct watch inotify;
    struct timer tick;
} loader;

/* ---- content that was replaced */

void
list_content_retire(struct list_content *content, uint64_t round)
{
    bool is_running;

    if (content == NULL)
        return;
    content->round = round;
    list_house_lock();
    is_running = list_house.is_running;
    if (is_running)
        list_push_back(&list_house.retired, &content->link);
    list_house_unlock();
    if (!is_running) /* nobody asks any more, or nobody did yet */
        list_content_free(content);
}

static struct list_content *
next_over(bool is_end)
{
    struct list_content *content = NULL;

    list_house_lock();
    if (!list_is_empty(&list_house.retired)) {
        content = container_of(list_house.retired.next, struct list_content, link);
        if (is_end || grace_is_over(content->round))
            list_remove(&content->link);
        else
            content = NULL; /* those behind it wait for later rounds, or not much longer */
    }
    list_house_unlock();
    return content;
}

static void
free_retired(bool is_end)
{
    struct list_content *content;
    bool has_freed = false;

    while (content = next_over(is_end), content != NULL) {
        list_content_free(content);
        has_freed = true;
    }
    if (has_freed)
        malloc_trim(0); /* what was read and compiled leaves holes, too */
}

/* ---- loading again */

static uint64_t
text_hash(const char *text)
{
    static const struct hash_key no_key;

    return hash_bytes(slice_of(text), &no_key) | 1;
}

static void
refuse(struct policy_list *list, const struct err *why)
{
    uint64_t hash = text_hash(why->text);

    atomic_fetch_add_explicit(&list->failures, 1, memory_order_relaxed);
    if (list->told != hash)
        log_error("list: %s: what was there before is still used", why->text);
    list->told = hash;
}

static void
accept_content(struct policy_list *list, struct list_content *content)
{
    uint64_t entries = content->entries;
    struct list_content *old = atomic_exchange_explicit(&list->content, content,
                                                        memory_order_acq_rel);

    atomic_store_explicit(&list->failures, 0, memory_order_relaxed);
    list->told = 0;
    list_content_retire(old, grace_begin());
    log_info("list \"%s\": has changed: %" PRIu64 " entries are used from now on",
             list->conf.name, entries);
}

/* Before the files are read, so that what changes meanwhile is noticed. */
static void
begin_watching(struct policy_list *list)
{
    policy_list_find_paths(list);
    watched_set(loader.files, &list->watched, list->paths, list->path_count);
    policy_list_take_stamps(list, list->stamps);
}

static void
load(struct policy_list *list)
{
    struct list_content *content;
    struct err err;

    list_house_lock();
    list->changed_ms = 0;
    list_house_unlock();
    list->is_settling = false;
    begin_watching(list);
    content = list_load(&list->conf, true, &err);
    if (content != NULL)
        accept_content(list, content);
    else
        refuse(list, &err);
    malloc_trim(0);
}

/* ---- noticing changes */

static void
note_change(struct policy_list *list)
{
    uint64_t now_ms = clock_monotonic_ms();

    list_house_lock();
    if (list->changed_ms == 0)
        list->first_ms = now_ms;
    list->changed_ms = now_ms;
    list_house_unlock();
}

/* Under the lock of file_watch. */
static void
on_file_event(struct watched *watched)
{
    note_change(container_of(watched, struct policy_list, watched));
}

static bool
looks_like(struct policy_list *list, const struct file_state *stamps)
{
    struct file_state now;

    for (unsigned i = 0; i < list->path_count; i++) {
        file_state_take(&now, list->paths[i]);
        if (!file_state_equal(&now, &stamps[i]))
            return false;
    }
    return true;
}

/* The first time: what changed since the main thread has loaded it is found. */
static void
watch(struct policy_list *list)
{
    watched_set(loader.files, &list->watched, list->paths, list->path_count);
    list->is_watched = true;
    list->looked_ms = clock_monotonic_ms();
    if (!looks_like(list, list->stamps))
        note_change(list);
}

static void
look_now_and_then(struct policy_list *list, uint64_t now_ms)
{
    if (now_ms - list->looked_ms < (list->watched.is_blind ? BLIND_LOOK_MS : LOOK_MS))
        return;
    list->looked_ms = now_ms;
    if (!looks_like(list, list->stamps))
        note_change(list);
}

/* Files of several are written one after the other, and some slowly; not every change is
 * told. Somebody who never stops writing is not waited for. */
static bool
has_settled(struct policy_list *list, uint64_t changed_ms, uint64_t first_ms)
{
    uint64_t now_ms = clock_monotonic_ms(), settle_ms = list->conf.settle_ms;

    if (now_ms - first_ms >= PATIENCE * settle_ms)
        return true;
    if (!list->is_settling) {
        list->is_settling = true;
        policy_list_take_stamps(list, list->settling);
        return false;
    }
    if (now_ms - changed_ms < settle_ms)
        return false;
    if (looks_like(list, list->settling))
        return true;
    policy_list_take_stamps(list, list->settling);
    note_change(list);
    return false;
}

/* Returns whether there is something to wait for. */
static bool
look_at(struct policy_list *list)
{
    uint64_t changed_ms, first_ms;

    if (atomic_load_explicit(&list->content, memory_order_acquire) == NULL)
        return false; /* the main thread is about to */
    if (!list->is_watched)
        watch(list);
    list_house_lock();
    changed_ms = list->changed_ms;
    first_ms = list->first_ms;
    list_house_unlock();
    if (changed_ms == 0) {
        look_now_and_then(list, clock_monotonic_ms());
        return false;
    }
    if (has_settled(list, changed_ms, first_ms))
        load(list);
    return true;
}

/* ---- the thread */

/* The list behind list, or the first, with a reference. NULL: there is none. */
static struct policy_list *
next_list(struct policy_list *list)
{
    struct list *link;
    struct policy_list *next = NULL;

    list_house_lock();
    link = list != NULL ? list->link.next : list_house.lists.next;
    for (; next == NULL && link != &list_house.lists; link = link->next) {
        struct policy_list *candidate = container_of(link, struct policy_list, link);

        if (registered_try_ref(&candidate->registered))
            next = candidate;
    }
    list_house_unlock();
    if (list != NULL)
        registered_unref(&list->registered);
    return next;
}

static void
on_tick(struct timer *timer)
{
    struct policy_list *list = NULL;
    bool is_busy = false;

    while (list = next_list(list), list != NULL)
        is_busy |= look_at(list);
    free_retired(false);
    list_house_lock();
    is_busy |= !list_is_empty(&list_house.retired);
    list_house_unlock();
    timer_arm(loader.loop, timer, is_busy ? QUICK_TICK_MS : TICK_MS);
}

/* However busy a folder is, that puts nothing off. */
static void
on_inotify(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    file_watch_read(loader.files);
    if (loader.tick.due_ms > loop_now_ms(loader.loop) + QUICK_TICK_MS)
        timer_arm(loader.loop, &loader.tick, QUICK_TICK_MS);
}

static void *
run(void *arg)
{
    (void)arg;
    loop_run(loader.loop);
    return NULL;
}

static int
start_thread(struct err *err)
{
    errno = thread_start(&loader.thread, "bascule-lists", run, NULL);
    return errno == 0 ? 0 : err_errno(err, "the thread for lists");
}

static void
end_loop(void)
{
    loop_unwatch(loader.loop, &loader.inotify);
    timer_disarm(&loader.tick);
    loop_free_all(loader.loop);
    loader.loop = NULL;
    file_watch_free(loader.files);
    loader.files = NULL;
}

static int
watch_files(struct err *err)
{
    loader.inotify = (struct watch){ .fd = -1, .on_event = on_inotify };
    timer_init(&loader.tick, on_tick);
    loader.files = file_watch_new("lists", false, on_file_event);
    if (loader.files == NULL)
        return err_set(err, "lists: out of memory");
    loader.inotify.fd = file_watch_fd(loader.files);
    if (loader.inotify.fd >= 0 && loop_watch(loader.loop, &loader.inotify, EPOLLIN) < 0)
        return err_errno(err, "lists: inotify");
    timer_arm(loader.loop, &loader.tick, QUICK_TICK_MS);
    return 0;
}

static void
set_running(bool is_running)
{
    list_house_lock();
    list_house.is_running = is_running;
    list_house_unlock();
}

int
lists_start(struct err *err)
{
    if (loader.loop != NULL)
        return 0;
    loader.loop = loop_new(err);
    if (loader.loop == NULL)
        return -1;
    set_running(true);
    if (watch_files(err) == 0 && start_thread(err) == 0)
        return 0;
    set_running(false);
    end_loop();
    return -1;
}

static void
on_stop(struct mail *mail)
{
    (void)mail;
    loop_stop(loader.loop);
}

void
lists_stop(void)
{
    struct mail stop = { .deliver = on_stop };

    if (loader.loop == NULL)
        return;
    loop_post(loader.loop, &stop);
    pthread_join(loader.thread, NULL);
    set_running(false);
    free_retired(true);
    end_loop();
}
