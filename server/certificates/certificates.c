/* SPDX-License-Identifier: BSD-2-Clause */
/* certificates.c - sets of certificates as worker threads and snapshots see them:
 * found by their files, asked for their bundle, waited for.
 */
#include "config.h"

#include "server/certificates/certificate_house.h"

#include "server/base/clock.h"
#include "server/certificates/local_ca.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define BAD_MS 1000 /* who asks for what is no good has it tried again so often */
#define FILES_PER_CERTIFICATE 2

struct certificate_house house = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .sets = { &house.sets, &house.sets },
    .loaded = { &house.loaded, &house.loaded },
    .changed = { &house.changed, &house.changed },
    .blind = { &house.blind, &house.blind },
    .stapled = { &house.stapled, &house.stapled },
};

/* ---- a set */

static uint64_t last_set_id; /* under the lock */

struct wanted {
    const struct config_list *certificates;
    bool staple;
};

static struct certificate_set *
set_of(struct registered *registered)
{
    return container_of(registered, struct certificate_set, registered);
}

static size_t
text_bytes(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static const char *
put_text(char **at, const char *text)
{
    char *copy = *at;
    size_t bytes = text_bytes(text);

    if (text == NULL)
        return NULL;
    memcpy(copy, text, bytes);
    *at += bytes;
    return copy;
}

static size_t
set_bytes(const struct config_list *certificates, size_t *fixed_bytes)
{
    size_t bytes = sizeof(struct certificate_set) +
                   certificates->count * (sizeof(struct certificate_conf) +
                                          FILES_PER_CERTIFICATE * sizeof(struct file_state));

    *fixed_bytes = bytes;
    for (size_t i = 0; i < certificates->count; i++) {
        const struct certificate_conf *conf = certificates->items[i];

        bytes += text_bytes(local_ca_path(conf->chain)) + text_bytes(conf->key) +
                 text_bytes(conf->key_command);
    }
    return bytes;
}

static void
fill_files(struct certificate_set *set, const struct config_list *certificates, char *text)
{
    set->count = (unsigned)certificates->count;
    set->stamps = (struct file_state *)(void *)&set->files[set->count];
    for (unsigned i = 0; i < set->count; i++) {
        const struct certificate_conf *conf = certificates->items[i];

        set->files[i].chain = put_text(&text, local_ca_path(conf->chain));
        set->files[i].key = put_text(&text, conf->key);
        set->files[i].key_command = put_text(&text, conf->key_command);
        set->is_slow |= conf->key_command != NULL;
    }
}

static struct registered *
make(const void *arg, struct err *err)
{
    const struct wanted *wanted = arg;
    size_t fixed_bytes, bytes = set_bytes(wanted->certificates, &fixed_bytes);
    struct certificate_set *set = calloc(1, bytes);

    if (set == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    fill_files(set, wanted->certificates, (char *)set + fixed_bytes);
    set->staple = wanted->staple;
    set->told_days = INT_MAX;
    set->ask_mail.deliver = certificate_helper_load;
    watched_init(&set->watched);
    list_init(&set->loaded_link);
    list_init(&set->changed_link);
    list_init(&set->blind_link);
    list_init(&set->stapled_link);
    house_lock();
    set->id = ++last_set_id;
    list_push_front(&house.sets, &set->link);
    house.set_count++;
    house_unlock();
    return &set->registered;
}

void
certificate_set_put_staple(struct certificate_set *set, unsigned i, struct staple *staple)
{
    house.staple_count += staple != NULL;
    house.staple_count -= set->staples[i] != NULL;
    staple_unref(set->staples[i]);
    set->staples[i] = staple;
    if (staple != NULL)
        set->has_staples = true;
}

/* Under the lock. */
static void
drop_staples(struct certificate_set *set)
{
    set->has_staples = false;
    for (unsigned i = 0; i < BUNDLE_CERTIFICATES_MAX; i++)
        certificate_set_put_staple(set, i, NULL);
}

struct bundle *
certificate_set_take(struct certificate_set *set)
{
    struct bundle *bundle = set->bundle;

    if (bundle == NULL)
        return NULL;
    drop_staples(set);
    set->bundle = NULL;
    house.loaded_count--;
    house.loaded_bytes -= bundle->bytes;
    list_remove(&set->loaded_link);
    return bundle;
}

int64_t
bundle_end(const struct bundle *bundle)
{
    int64_t end_s = bundle->certificates[0].not_after_s;

    for (unsigned i = 1; i < bundle->count; i++)
        if (bundle->certificates[i].not_after_s < end_s)
            end_s = bundle->certificates[i].not_after_s;
    return end_s;
}

struct bundle *
certificate_set_put(struct certificate_set *set, struct bundle *bundle)
{
    struct bundle *old = certificate_set_take(set);

    set->bundle = bundle;
    set->not_after_s = bundle_end(bundle);
    house.loaded_count++;
    house.loaded_bytes += bundle->bytes;
    list_push_back(&house.loaded, &set->loaded_link);
    atomic_store_explicit(&set->current, bundle->id, memory_order_release);
    return old;
}

static void
discard(struct registered *registered)
{
    struct certificate_set *set = set_of(registered);
    struct bundle *bundle;

    watched_drop(&set->watched);
    house_lock();
    must(set->waiters == NULL);
    bundle = certificate_set_take(set);
    list_remove(&set->link);
    list_remove(&set->changed_link);
    list_remove(&set->blind_link);
    list_remove(&set->stapled_link);
    house.set_count--;
    house_unlock();
    bundle_unref(bundle);
    free(set->stapling);
    free(set);
}

static const struct registry_kind set_kind = {
    .name = "certificates",
    .make = make,
    .free = discard,
};

/* Two sets are the same when everything about them is. */
static char *
identity_of(const struct config_list *certificates, bool staple)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return NULL;
    fputc(staple ? 's' : '-', out);
    for (size_t i = 0; i < certificates->count; i++) {
        const struct certificate_conf *conf = certificates->items[i];

        fprintf(out, "\n%s\n%s\n%s", local_ca_path(conf->chain),
                conf->key != NULL ? conf->key : "",
                conf->key_command != NULL ? conf->key_command : "");
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

struct certificate_set *
certificate_set_adopt(const struct config_list *certificates, bool staple, struct err *err)
{
    const struct wanted wanted = { certificates, staple };
    char *identity = identity_of(certificates, staple);
    struct registered *registered;

    must(certificates->count > 0 && certificates->count <= BUNDLE_CERTIFICATES_MAX);
    if (identity == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    registered = registry_adopt(&set_kind, identity, &wanted, err);
    free(identity);
    return registered != NULL ? set_of(registered) : NULL;
}

void
certificate_set_unref(struct certificate_set *set)
{
    if (set != NULL)
        registered_unref(&set->registered);
}

uint64_t
certificate_set_id(const struct certificate_set *set)
{
    return set->id;
}

uint64_t
certificate_set_current(const struct certificate_set *set)
{
    return atomic_load_explicit(&set->current, memory_order_acquire);
}

/* ---- staples */

struct staple *
certificate_set_staple(struct certificate_set *set, const struct bundle *bundle, unsigned i)
{
    struct staple *staple = NULL;

    if (!atomic_load_explicit(&set->has_staples, memory_order_relaxed))
        return NULL;
    house_lock();
    if (set->bundle == bundle && set->staples[i] != NULL) {
        staple = set->staples[i];
        atomic_fetch_add_explicit(&staple->references, 1, memory_order_relaxed);
    }
    house_unlock();
    return staple;
}

void
staple_unref(struct staple *staple)
{
    if (staple != NULL &&
        atomic_fetch_sub_explicit(&staple->references, 1, memory_order_acq_rel) == 1)
        free(staple);
}

/* ---- who waits */

static void
deliver(struct mail *mail)
{
    struct certificate_waiter *waiter = container_of(mail, struct certificate_waiter, mail);

    waiter->on_bundle(waiter, waiter->bundle);
}

/* Everyone gets what there is now. */
void
certificate_set_answer(struct certificate_set *set)
{
    while (set->waiters != NULL) {
        struct certificate_waiter *waiter = set->waiters;

        set->waiters = waiter->next;
        waiter->bundle = set->bundle != NULL ? bundle_ref(set->bundle) : NULL;
        waiter->mail.deliver = deliver;
        loop_post(waiter->loop, &waiter->mail);
    }
}

bool
certificate_set_cancel(struct certificate_set *set, struct certificate_waiter *waiter)
{
    struct certificate_waiter **at = &set->waiters;
    bool is_found;

    house_lock();
    while (*at != NULL && *at != waiter)
        at = &(*at)->next;
    is_found = *at != NULL;
    if (is_found)
        *at = waiter->next;
    house_unlock();
    return is_found;
}

/* Under the lock. */
static struct bundle *
get(struct certificate_set *set, struct certificate_waiter *waiter, bool *is_bad)
{
    if (set->bundle != NULL) {
        list_remove(&set->loaded_link);
        list_push_back(&house.loaded, &set->loaded_link);
        return bundle_ref(set->bundle);
    }
    *is_bad = !house.is_running ||
              (set->failed_ms != 0 && clock_monotonic_ms() - set->failed_ms < BAD_MS);
    if (*is_bad)
        return NULL;
    waiter->set = set;
    waiter->next = set->waiters;
    set->waiters = waiter;
    if (!set->is_asked) {
        set->is_asked = true;
        registered_ref(&set->registered);
        loop_post(house.loop, &set->ask_mail);
    }
    return NULL;
}

struct bundle *
certificate_set_get(struct certificate_set *set, struct certificate_waiter *waiter, bool *is_bad)
{
    struct bundle *bundle;

    *is_bad = false;
    house_lock();
    bundle = get(set, waiter, is_bad);
    house_unlock();
    return bundle;
}

int
certificate_set_require(struct certificate_set *set, struct err *err)
{
    struct bundle *bundle;
    bool is_there;

    house_lock();
    is_there = set->bundle != NULL;
    house_unlock();
    if (is_there)
        return 0;
    bundle = bundle_read(set->files, set->count, err);
    if (bundle == NULL)
        return -1;
    house_lock();
    if (set->bundle == NULL) {
        (void)certificate_set_put(set, bundle);
        bundle = NULL;
    }
    if (set->changed_ms == 0) { /* so that the helper thread begins to watch it */
        set->changed_ms = set->retry_ms = clock_monotonic_ms();
        list_push_back(&house.changed, &set->changed_link);
    }
    house_unlock();
    bundle_unref(bundle);
    return 0;
}

/* ---- how they are */

static void
add_set(struct certificates_facts *facts, const struct certificate_set *set, int64_t now_s)
{
    int64_t left_s = set->not_after_s - now_s;

    facts->bad += set->is_bad;
    if (set->not_after_s == 0) {
        facts->unknown += !set->is_bad;
        return;
    }
    facts->expired += left_s <= 0;
    if (left_s < 0)
        left_s = 0;
    if (facts->nearest_s < 0 || left_s < facts->nearest_s)
        facts->nearest_s = left_s;
}

struct certificates_facts
certificates_facts(void)
{
    struct certificates_facts facts = { .nearest_s = -1 };
    int64_t now_s = (int64_t)(clock_wall_ms() / 1000);

    house_lock();
    facts.sets = house.set_count;
    facts.loaded = house.loaded_count;
    facts.loaded_bytes = house.loaded_bytes;
    facts.staples = house.staple_count;
    list_each(link, &house.sets)
        add_set(&facts, container_of(link, struct certificate_set, link), now_s);
    house_unlock();
    return facts;
}
