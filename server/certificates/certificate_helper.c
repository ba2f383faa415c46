/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_helper.c - the thread that loads certificates and looks after them.
 *
 *                 .------------ a worker asks -----------.
 *                 v                                      |
 *     set: known by name --> loaded --> (file changed) --+--> loaded again
 *                 ^                          |
 *                 |                          '--> no good: tried again quietly for
 *           looked at each minute                 some seconds, then said once
 *
 * It has a loop: workers' questions are its mail, inotify and OCSP its
 * descriptors. It reads files by itself, but for keys with a passphrase: the
 * programs that tell these may take long, and get a second thread.
 */
#include "config.h"

#include "server/certificates/certificate_house.h"

#include "server/base/calendar.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/thread.h"
#include "server/certificates/passphrase.h"
#include "server/tls/reread.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#define TICK_MS 1000      /* when there is nothing to do */
#define QUICK_TICK_MS 100 /* when there is */
#define SETTLE_MS 50      /* from a change to a look: more may follow */
#define RETRY_MS 250      /* a replacement that is no good ... */
#define PATIENCE_MS 5000  /* ... is complained about after this */
#define LOOK_MS 60000     /* each set is looked at, whatever inotify says */
#define LOOKS_PER_STEP 5   /* at least; some 0.3 ms each the first time */
#define LOADS_PER_STEP 20
#define BLIND_LOOKS_MAX 2000
#define LOADED_BYTES_MAX ((size_t)256 << 20) /* beyond it the least used are forgotten */
#define DAY_S (24 * 3600)
#define FILES_PER_CERTIFICATE 2
#define FILES_MAX (BUNDLE_CERTIFICATES_MAX * FILES_PER_CERTIFICATE)

static struct {
    pthread_t thread, slow_thread;
    struct loop *slow_loop; /* NULL until it is needed */
    struct file_watch *files;
    struct watch inotify;
    struct timer tick;
    uint64_t blind_ms;
} helper;

/* ---- what is said in the log */

static uint64_t
text_hash(const char *text)
{
    uint64_t hash = 14695981039346656037u;

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash != 0 ? hash : 1;
}

/* Once, until something else is wrong or it was good in between. */
static void
complain(struct certificate_set *set, const struct err *why, bool has_old)
{
    uint64_t hash = text_hash(why->text);

    if (set->told == hash)
        return;
    set->told = hash;
    if (has_old)
        log_error("certificate %s: the one that was there serves on", why->text);
    else
        log_error("certificate %s: it cannot be shown to clients", why->text);
}

/* A warning each time it comes closer. */
static void
tell_end(struct certificate_set *set, int64_t now_s)
{
    static const int steps[] = { 0, 1, 3, 7, 14 };
    int64_t end_s = set->not_after_s;
    int64_t left_s = end_s - now_s;
    char date[CALENDAR_TEXT_BYTES];
    size_t i = 0;

    if (end_s == 0)
        return;
    while (i < ARRAY_COUNT(steps) && left_s > (int64_t)steps[i] * DAY_S)
        i++;
    if (i == ARRAY_COUNT(steps)) {
        set->told_days = INT_MAX;
        return;
    }
    if (steps[i] >= set->told_days)
        return;
    set->told_days = steps[i];
    calendar_text(end_s, date);
    if (left_s <= 0)
        log_warn("certificate %s: has expired on %s", set->files[0].chain, date);
    else
        log_warn("certificate %s: expires on %s, in %" PRId64 " h", set->files[0].chain, date,
                 left_s / 3600);
}

/* ---- loading: the helper thread */

static const char **
list_files(const struct certificate_set *set, const char *paths[], unsigned *count)
{
    *count = 0;
    for (unsigned i = 0; i < set->count; i++) {
        paths[(*count)++] = set->files[i].chain;
        if (set->files[i].key != NULL)
            paths[(*count)++] = set->files[i].key;
    }
    return paths;
}

static void
take_stamps(const struct certificate_set *set, struct file_state stamps[FILES_MAX])
{
    const char *paths[FILES_MAX];
    unsigned count;

    list_files(set, paths, &count);
    memset(stamps, 0, FILES_MAX * sizeof(*stamps));
    for (unsigned i = 0; i < count; i++)
        file_state_take(&stamps[i], paths[i]);
}

static size_t
stamps_bytes(const struct certificate_set *set)
{
    return set->count * FILES_PER_CERTIFICATE * sizeof(struct file_state);
}

/* Before the files are read, so that what changes meanwhile is noticed. */
static void
begin_watching(struct certificate_set *set)
{
    struct file_state stamps[FILES_MAX];
    const char *paths[FILES_MAX];
    unsigned count;

    list_files(set, paths, &count);
    watched_set(helper.files, &set->watched, paths, count);
    take_stamps(set, stamps);
    memcpy(set->stamps, stamps, stamps_bytes(set));
}

/* Under the lock. */
static void
note_good(struct certificate_set *set)
{
    set->is_bad = false;
    set->failed_ms = set->changed_ms = 0;
    list_remove(&set->changed_link);
    list_remove(&set->blind_link);
    if (set->watched.is_blind)
        list_push_back(&house.blind, &set->blind_link);
}

/* What nobody asked for lately makes room. A thread that still has one made of
 * it goes on with that: current stays. */
static void
forget_least_used(void)
{
    for (;;) {
        struct bundle *bundle = NULL;

        house_lock();
        if (house.loaded_bytes > LOADED_BYTES_MAX && house.loaded_count > 1)
            bundle = certificate_set_take(container_of(house.loaded.next, struct certificate_set,
                                              loaded_link));
        house_unlock();
        if (bundle == NULL)
            return;
        bundle_unref(bundle);
    }
}

/* The bundle may have been put there by who could not wait for this thread. */
static void
begin_stapling(struct certificate_set *set)
{
    struct bundle *bundle;

    house_lock();
    bundle = set->bundle != NULL ? bundle_ref(set->bundle) : NULL;
    house_unlock();
    if (bundle != NULL && bundle->id != set->stapling_id) {
        set->stapling_id = bundle->id;
        stapling_begin(set, bundle);
    }
    bundle_unref(bundle);
}

static void
accept_bundle(struct certificate_set *set, struct bundle *bundle)
{
    struct bundle *old = bundle;
    bool is_new, is_first;
    char date[CALENDAR_TEXT_BYTES];

    house_lock();
    is_first = set->bundle == NULL;
    is_new = is_first || !bundle_equal(set->bundle, bundle);
    if (is_new)
        old = certificate_set_put(set, bundle);
    note_good(set);
    certificate_set_answer(set);
    house_unlock();
    if (is_new && !is_first)
        log_info("certificate %s: taken over after a change, good until %s", set->files[0].chain,
                 calendar_text(set->not_after_s, date));
    else if (set->told != 0)
        log_info("certificate %s: is good again", set->files[0].chain);
    set->told = 0;
    bundle_unref(old);
    begin_stapling(set);
    tell_end(set, (int64_t)(clock_wall_ms() / 1000));
    forget_least_used();
}

/* A replacement that is no good may be half of one: key and chain are two files.
 * There is time as long as the old one serves. */
static void
refuse_bundle(struct certificate_set *set, const struct err *why)
{
    uint64_t now_ms = clock_monotonic_ms();
    bool has_old, is_patient, is_telling;

    house_lock();
    has_old = set->bundle != NULL;
    is_telling = house.is_running; /* at the end everything fails */
    is_patient = has_old && set->changed_ms != 0 && now_ms - set->changed_ms < PATIENCE_MS;
    set->is_bad = true;
    set->failed_ms = now_ms;
    set->retry_ms = now_ms + RETRY_MS;
    if (!is_patient) {
        set->changed_ms = 0;
        list_remove(&set->changed_link);
    }
    certificate_set_answer(set);
    house_unlock();
    if (!is_patient && is_telling)
        complain(set, why, has_old);
}

/* Takes the reference. */
static void
finish(struct certificate_set *set, struct bundle *bundle, const struct err *why)
{
    if (bundle != NULL)
        accept_bundle(set, bundle);
    else
        refuse_bundle(set, why);
    certificate_set_unref(set);
}

/* ---- keys with a passphrase */

static void
on_slow_done(struct mail *mail)
{
    struct certificate_set *set = container_of(mail, struct certificate_set, slow_mail);
    struct err *why = set->why;

    set->is_busy = false;
    set->why = NULL;
    finish(set, set->fresh, why);
    free(why);
}

/* On the second thread. */
static void
on_slow_wish(struct mail *mail)
{
    struct certificate_set *set = container_of(mail, struct certificate_set, slow_mail);

    set->fresh = bundle_read(set->files, set->count, set->why);
    set->slow_mail.deliver = on_slow_done;
    loop_post(house.loop, mail);
}

static void *
run_loop(void *loop)
{
    loop_run(loop);
    return NULL;
}

static int
start_thread(pthread_t *thread, struct loop *loop)
{
    errno = thread_start(thread, "bascule-certs", run_loop, loop);
    return errno == 0 ? 0 : -1;
}

static int
start_slow_thread(struct err *err)
{
    struct loop *loop;

    if (helper.slow_loop != NULL)
        return 0;
    loop = loop_new(err);
    if (loop == NULL)
        return -1;
    if (start_thread(&helper.slow_thread, loop) < 0) {
        loop_free_all(loop);
        return err_errno(err, "a thread for passphrases");
    }
    helper.slow_loop = loop;
    return 0;
}

/* Takes the reference. */
static void
load_slowly(struct certificate_set *set)
{
    struct err err;

    set->why = calloc(1, sizeof(*set->why));
    if (set->why == NULL || start_slow_thread(&err) < 0) {
        if (set->why == NULL)
            err_set(&err, "%s: out of memory", set->files[0].chain);
        free(set->why);
        set->why = NULL;
        finish(set, NULL, &err);
        return;
    }
    set->is_busy = true;
    set->slow_mail.deliver = on_slow_wish;
    loop_post(helper.slow_loop, &set->slow_mail);
}

/* Takes the reference. */
static void
load(struct certificate_set *set)
{
    struct bundle *bundle;
    struct err err;

    if (set->is_busy) { /* who asked is answered when that is done */
        certificate_set_unref(set);
        return;
    }
    begin_watching(set);
    if (set->is_slow) {
        load_slowly(set);
        return;
    }
    bundle = bundle_read(set->files, set->count, &err);
    finish(set, bundle, &err);
}

void
certificate_helper_load(struct mail *mail)
{
    struct certificate_set *set = container_of(mail, struct certificate_set, ask_mail);
    bool is_there;

    house_lock();
    set->is_asked = false;
    is_there = set->bundle != NULL || !house.is_running;
    if (is_there)
        certificate_set_answer(set);
    house_unlock();
    if (is_there)
        certificate_set_unref(set);
    else
        load(set);
}

/* ---- changes */

/* Under the lock. */
static void
note_change(struct certificate_set *set)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (set->changed_ms == 0) {
        set->changed_ms = now_ms;
        list_push_back(&house.changed, &set->changed_link);
    }
    set->retry_ms = now_ms + SETTLE_MS;
}

static void
on_file_event(struct watched *watched)
{
    struct certificate_set *set = container_of(watched, struct certificate_set, watched);

    house_lock();
    note_change(set);
    house_unlock();
}

static bool
is_unchanged(const struct certificate_set *set)
{
    struct file_state stamps[FILES_MAX];

    take_stamps(set, stamps);
    return memcmp(stamps, set->stamps, stamps_bytes(set)) == 0;
}

/* With a reference, and without the lock. */
static void
look_at_loaded(struct certificate_set *set)
{
    if (!set->is_busy && !is_unchanged(set)) {
        house_lock();
        note_change(set);
        house_unlock();
    }
}

/* Under the lock. */
static struct certificate_set *
next_changed(uint64_t now_ms)
{
    list_each(link, &house.changed) {
        struct certificate_set *set = container_of(link, struct certificate_set, changed_link);

        if (set->retry_ms <= now_ms && !set->is_busy && registered_try_ref(&set->registered))
            return set;
    }
    return NULL;
}

/* A change of two files may come in two events: both are read anew each time. */
static void
load_changed(void)
{
    for (unsigned i = 0; i < LOADS_PER_STEP; i++) {
        struct certificate_set *set;

        house_lock();
        set = next_changed(clock_monotonic_ms());
        house_unlock();
        if (set == NULL)
            return;
        load(set);
    }
}

/* ---- the round: all sets, also those that nobody asked for yet */

/* When the certificates of a set that is not loaded end, and whether it could be.
 * Programs for passphrases are not run for that. 0 or -1. */
static int
inspect(struct certificate_set *set, int64_t *end_s, struct err *err)
{
    struct bundle *bundle;

    if (set->is_slow) {
        *end_s = INT64_MAX;
        for (unsigned i = 0; i < set->count; i++) {
            int64_t one_s;

            if (certificate_read_end(set->files[i].chain, &one_s, err) < 0)
                return -1;
            if (one_s < *end_s)
                *end_s = one_s;
        }
        return 0;
    }
    bundle = bundle_read(set->files, set->count, err);
    if (bundle == NULL)
        return -1;
    *end_s = bundle_end(bundle);
    bundle_unref(bundle);
    return 0;
}

static void
look_at_unloaded(struct certificate_set *set)
{
    struct file_state stamps[FILES_MAX];
    int64_t end_s = 0;
    struct err err;
    bool is_bad;

    take_stamps(set, stamps);
    if (set->looked_ms != 0 && memcmp(stamps, set->stamps, stamps_bytes(set)) == 0)
        return;
    memcpy(set->stamps, stamps, stamps_bytes(set));
    is_bad = inspect(set, &end_s, &err) < 0;
    house_lock();
    set->is_bad = is_bad;
    set->not_after_s = end_s;
    house_unlock();
    if (is_bad)
        complain(set, &err, false);
    else
        set->told = 0;
}

static void
look(struct certificate_set *set)
{
    bool is_loaded;

    house_lock();
    is_loaded = set->bundle != NULL || set->changed_ms != 0;
    house_unlock();
    if (is_loaded)
        look_at_loaded(set);
    else if (!set->is_busy)
        look_at_unloaded(set);
    set->looked_ms = clock_monotonic_ms();
    tell_end(set, (int64_t)(clock_wall_ms() / 1000));
}

/* The next of the round, moved to its end; NULL: all were looked at lately. */
static struct certificate_set *
next_of_round(uint64_t now_ms)
{
    struct certificate_set *set = NULL;

    house_lock();
    if (!list_is_empty(&house.sets)) {
        set = container_of(house.sets.next, struct certificate_set, link);
        if ((set->looked_ms != 0 && now_ms - set->looked_ms < LOOK_MS) ||
            !registered_try_ref(&set->registered))
            set = NULL;
    }
    if (set != NULL) {
        list_remove(&set->link);
        list_push_back(&house.sets, &set->link);
    }
    house_unlock();
    return set;
}

/* Whether there is more to do. */
static bool
look_around(uint64_t now_ms)
{
    unsigned share;

    house_lock();
    share = LOOKS_PER_STEP + (unsigned)(house.set_count / (LOOK_MS / QUICK_TICK_MS));
    house_unlock();
    for (unsigned i = 0; i < share; i++) {
        struct certificate_set *set = next_of_round(now_ms);

        if (set == NULL)
            return false;
        look(set);
        certificate_set_unref(set);
    }
    return true;
}

static struct certificate_set *
next_blind(void)
{
    struct certificate_set *set = NULL;

    house_lock();
    if (!list_is_empty(&house.blind)) {
        struct list *first = house.blind.next;

        set = container_of(first, struct certificate_set, blind_link);
        list_remove(first);
        list_push_back(&house.blind, first);
        if (!registered_try_ref(&set->registered))
            set = NULL;
    }
    house_unlock();
    return set;
}

/* Files that cannot be watched; as many as it can be done without harm. */
static void
look_at_blind(void)
{
    struct certificate_set *first = NULL;

    for (unsigned i = 0; i < BLIND_LOOKS_MAX; i++) {
        struct certificate_set *set = next_blind();

        if (set == NULL || set == first) {
            certificate_set_unref(set);
            return;
        }
        if (first == NULL)
            first = set;
        look_at_loaded(set);
        certificate_set_unref(set); /* first is only compared: going away ends nothing early */
    }
}

/* ---- the helper thread */

static void
on_tick(struct timer *timer)
{
    uint64_t now_ms = loop_now_ms(house.loop);
    bool is_busy = look_around(now_ms);

    if (now_ms - helper.blind_ms >= TICK_MS) {
        helper.blind_ms = now_ms;
        reread_look();
        look_at_blind();
    }
    load_changed();
    stapling_tick();
    house_lock();
    is_busy |= !list_is_empty(&house.changed);
    house_unlock();
    timer_arm(house.loop, timer, is_busy ? QUICK_TICK_MS : TICK_MS);
}

/* However busy a folder is, that puts nothing off. */
static void
on_inotify(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    file_watch_read(helper.files);
    if (helper.tick.due_ms > loop_now_ms(house.loop) + QUICK_TICK_MS)
        timer_arm(house.loop, &helper.tick, QUICK_TICK_MS);
}

static int
watch_files(struct err *err)
{
    helper.files = file_watch_new("certificates", true, on_file_event);
    if (helper.files == NULL)
        return err_set(err, "certificates: out of memory");
    helper.inotify = (struct watch){ .fd = file_watch_fd(helper.files), .on_event = on_inotify };
    if (helper.inotify.fd >= 0 && loop_watch(house.loop, &helper.inotify, EPOLLIN) < 0)
        return err_errno(err, "certificates: inotify");
    return 0;
}

int
certificates_start(const struct resolver_conf *resolver, struct err *err)
{
    must(!house.is_running);
    helper.inotify.fd = -1;
    timer_init(&helper.tick, on_tick);
    house.loop = loop_new(err);
    if (house.loop == NULL || watch_files(err) < 0)
        goto fail;
    if (resolver != NULL) {
        house.resolver = resolver_new(house.loop, resolver, err);
        if (house.resolver == NULL)
            goto fail;
    }
    timer_arm(house.loop, &helper.tick, QUICK_TICK_MS);
    if (start_thread(&helper.thread, house.loop) < 0) {
        err_errno(err, "the helper thread of certificates");
        goto fail;
    }
    house_lock();
    house.is_running = true;
    house_unlock();
    return 0;

fail:
    certificates_stop();
    return -1;
}

struct stop {
    struct mail mail;
    struct loop *loop;
};

static void
on_stop(struct mail *mail)
{
    loop_stop(container_of(mail, struct stop, mail)->loop);
}

static void
end_thread(pthread_t thread, struct loop *loop)
{
    struct stop stop = { .mail.deliver = on_stop, .loop = loop };

    loop_post(loop, &stop.mail);
    pthread_join(thread, NULL);
}

/* The second one last: the first one starts it. */
static void
end_threads(bool was_running)
{
    if (was_running)
        end_thread(helper.thread, house.loop);
    if (helper.slow_loop != NULL) {
        end_thread(helper.slow_thread, helper.slow_loop);
        loop_free_all(helper.slow_loop);
        helper.slow_loop = NULL;
    }
}

/* What is still in the mail is answered with nothing. */
static void
end_loop(void)
{
    if (house.loop == NULL)
        return;
    stapling_stop();
    resolver_free(house.resolver);
    house.resolver = NULL;
    loop_unwatch(house.loop, &helper.inotify);
    timer_disarm(&helper.tick);
    loop_free_all(house.loop);
    house.loop = NULL;
    file_watch_free(helper.files);
    helper.files = NULL;
}

void
certificates_stop(void)
{
    bool was_running;

    house_lock();
    was_running = house.is_running;
    house.is_running = false;
    house_unlock();
    passphrase_abort(true);
    end_threads(was_running);
    end_loop();
    passphrase_abort(false);
    house_lock();
    list_each(link, &house.changed)
        list_remove(link);
    list_each(link, &house.blind)
        list_remove(link);
    list_each(link, &house.sets) {
        struct certificate_set *set = container_of(link, struct certificate_set, link);

        set->changed_ms = 0;
        certificate_set_answer(set);
    }
    house_unlock();
}

