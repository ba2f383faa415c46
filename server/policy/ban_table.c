/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_table.c - buckets of eight keys.
 *
 * Who looks takes no lock: a slot that becomes another key's has the time 0 first, then
 * the new hash, then its time; who sees the hash it wants, then a time and still that hash
 * has seen a time of that key.
 */
#include "config.h"

#include "server/policy/ban_inside.h"

#include "server/schema.h"

#include <assert.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLOTS 8
#define KEYS_PER_BUCKET 6 /* meant to be; the rest is room for chance */
#define TIMES_MAX UINT16_MAX

struct ban_bucket {
    alignas(64) _Atomic uint64_t hashes[SLOTS]; /* 0: empty */
    _Atomic uint64_t untils[SLOTS];             /* banned until then; 0: it never was */
};

static_assert(sizeof(struct ban_bucket) == 128, "two lines of memory are looked at");

struct ban_detail {
    uint64_t since_ms;
    uint64_t window_end_ms; /* of the failures */
    uint64_t forget_ms;     /* then times is 0 again */
    uint32_t failures;
    uint16_t times;         /* it was banned */
    uint8_t key_bytes, cause_bytes;
    char cause[BAN_CAUSE_BYTES];
    char key[BAN_KEY_BYTES];
};

/* One slot, while its lock is held. */
struct slot {
    struct ban_bucket *bucket;
    struct ban_detail *details;
    pthread_mutex_t *lock;
    unsigned i; /* SLOTS: there is none */
};

static uint64_t
load(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void
count(_Atomic uint64_t *number)
{
    atomic_fetch_add_explicit(number, 1, memory_order_relaxed);
}

/* ---- looking */

static size_t
place_of(const struct ban_table *table, uint64_t hash)
{
    return (size_t)(((hash >> 32) * table->bucket_count) >> 32);
}

uint64_t
ban_until(const struct ban_table *table, uint64_t hash, uint64_t now_ms)
{
    const struct ban_bucket *bucket = &table->buckets[place_of(table, hash)];

    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t until;

        if (likely(load(&bucket->hashes[i]) != hash))
            continue;
        if (atomic_load_explicit(&bucket->hashes[i], memory_order_acquire) != hash)
            return 0;
        until = atomic_load_explicit(&bucket->untils[i], memory_order_acquire);
        return until > now_ms && load(&bucket->hashes[i]) == hash ? until : 0;
    }
    return 0;
}

/* ---- slots */

static void
lock_bucket(struct ban_table *table, size_t place, struct slot *slot)
{
    *slot = (struct slot){
        .bucket = &table->buckets[place],
        .details = &table->details[place * SLOTS],
        .lock = &table->locks[place % BAN_LOCKS],
        .i = SLOTS,
    };
    pthread_mutex_lock(slot->lock);
}

static void
unlock(struct slot *slot)
{
    pthread_mutex_unlock(slot->lock);
}

static struct ban_detail *
detail_of(const struct slot *slot)
{
    return &slot->details[slot->i];
}

static uint64_t
until_of(const struct slot *slot)
{
    return load(&slot->bucket->untils[slot->i]);
}

static void
find(struct slot *slot, uint64_t hash)
{
    for (slot->i = 0; slot->i < SLOTS; slot->i++)
        if (load(&slot->bucket->hashes[slot->i]) == hash)
            return;
}

/* Until when it is best not forgotten: bans before anything else. */
static uint64_t
worth(const struct slot *slot, uint64_t now_ms)
{
    const struct ban_detail *detail = detail_of(slot);
    uint64_t until = until_of(slot);

    if (until > now_ms)
        return until | (UINT64_C(1) << 63);
    return detail->forget_ms > detail->window_end_ms ? detail->forget_ms : detail->window_end_ms;
}

/* The slot that is empty, or worth least. */
static void
choose(struct slot *slot, uint64_t now_ms)
{
    uint64_t least = UINT64_MAX;
    unsigned best = 0;

    find(slot, 0);
    if (slot->i < SLOTS)
        return;
    for (slot->i = 0; slot->i < SLOTS; slot->i++) {
        uint64_t is_worth = worth(slot, now_ms);

        if (is_worth < least) {
            least = is_worth;
            best = slot->i;
        }
    }
    slot->i = best;
}

static void
set_until(const struct slot *slot, uint64_t until_ms)
{
    atomic_store_explicit(&slot->bucket->untils[slot->i], until_ms, memory_order_release);
}

/* Finds the key's slot, or makes one in place of another. */
static void
make_slot(struct ban_table *table, const struct ban_conf *conf, const struct ban_key *key,
          uint64_t now_ms, struct slot *slot)
{
    struct ban_detail *detail;

    lock_bucket(table, place_of(table, key->hash), slot);
    find(slot, key->hash);
    if (slot->i < SLOTS)
        return;
    choose(slot, now_ms);
    if (until_of(slot) > now_ms)
        count(&table->evicted);
    detail = detail_of(slot);
    set_until(slot, 0);
    atomic_store_explicit(&slot->bucket->hashes[slot->i], key->hash, memory_order_release);
    *detail = (struct ban_detail){ 0 };
    detail->key_bytes = (uint8_t)ban_key_text(conf, key, detail->key);
}

/* ---- bans */

/* Banned until then: the times-th time. */
static void
ban(struct ban_table *table, const struct ban_conf *conf, const struct slot *slot,
    uint64_t now_ms, uint64_t until_ms, unsigned times, struct slice cause)
{
    struct ban_detail *detail = detail_of(slot);

    detail->since_ms = now_ms;
    detail->forget_ms = until_ms + conf->max_time_ms;
    detail->failures = 0;
    detail->window_end_ms = 0;
    detail->times = (uint16_t)(times < TIMES_MAX ? times : TIMES_MAX);
    detail->cause_bytes = (uint8_t)(cause.bytes < BAN_CAUSE_BYTES ? cause.bytes : BAN_CAUSE_BYTES);
    if (detail->cause_bytes > 0)
        memcpy(detail->cause, cause.data, detail->cause_bytes);
    set_until(slot, until_ms);
    count(&table->bans);
    count(&table->changes);
}

/* How often it was banned, this time included. */
static unsigned
next_times(const struct ban_detail *detail, uint64_t now_ms)
{
    return detail->forget_ms > now_ms ? detail->times + 1u : 1;
}

static uint64_t
length_ms(const struct ban_conf *conf, unsigned times)
{
    uint64_t ms = conf->time_ms;

    while (--times > 0 && ms < conf->max_time_ms && conf->factor > 1)
        ms *= (uint64_t)conf->factor;
    return ms < conf->max_time_ms ? ms : conf->max_time_ms;
}

/* A window that ends too late is of a clock, or an option, that was changed. */
bool
ban_count(const struct ban_conf *conf, const struct ban_key *key, uint64_t now_ms,
          const char *cause)
{
    struct ban_table *table = conf->table;
    struct ban_detail *detail;
    struct slot slot;
    bool is_due = false;

    make_slot(table, conf, key, now_ms, &slot);
    detail = detail_of(&slot);
    if (until_of(&slot) <= now_ms) {
        if (detail->window_end_ms <= now_ms || detail->window_end_ms > now_ms + conf->window_ms) {
            detail->failures = 0;
            detail->window_end_ms = now_ms + conf->window_ms;
        }
        is_due = ++detail->failures >= (uint64_t)conf->threshold;
    }
    if (is_due) {
        unsigned times = next_times(detail, now_ms);

        ban(table, conf, &slot, now_ms, now_ms + length_ms(conf, times), times, slice_of(cause));
    }
    unlock(&slot);
    return is_due;
}

void
ban_set(const struct ban_conf *conf, const struct ban_key *key, uint64_t now_ms,
        uint64_t until_ms, unsigned times, struct slice cause)
{
    struct ban_table *table = conf->table;
    struct slot slot;

    make_slot(table, conf, key, now_ms, &slot);
    if (times == 0)
        times = next_times(detail_of(&slot), now_ms);
    ban(table, conf, &slot, now_ms, until_ms, times, cause);
    unlock(&slot);
}

bool
ban_lift(const struct ban_conf *conf, const struct ban_key *key, uint64_t now_ms)
{
    struct ban_table *table = conf->table;
    struct slot slot;
    bool was_banned = false;

    lock_bucket(table, place_of(table, key->hash), &slot);
    find(&slot, key->hash);
    if (slot.i < SLOTS) {
        struct ban_detail *detail = detail_of(&slot);

        was_banned = until_of(&slot) > now_ms;
        set_until(&slot, 0);
        detail->failures = 0;
        detail->times = 0;
        detail->window_end_ms = detail->forget_ms = 0;
    }
    unlock(&slot);
    if (was_banned) {
        count(&table->lifted);
        count(&table->changes);
    }
    return was_banned;
}

void
ban_each(const struct ban_table *table, uint64_t now_ms,
         void (*see)(void *arg, const struct ban_record *record), void *arg)
{
    for (size_t place = 0; place < table->bucket_count; place++) {
        struct slot slot;

        lock_bucket((struct ban_table *)table, place, &slot);
        for (slot.i = 0; slot.i < SLOTS; slot.i++) {
            const struct ban_detail *detail = detail_of(&slot);
            struct ban_record record = { .until_ms = until_of(&slot) };

            if (record.until_ms <= now_ms)
                continue;
            record.key = slice_make(detail->key, detail->key_bytes);
            record.cause = slice_make(detail->cause, detail->cause_bytes);
            record.since_ms = detail->since_ms;
            record.times = detail->times;
            see(arg, &record);
        }
        unlock(&slot);
    }
}

void
ban_facts(const struct ban_table *table, uint64_t now_ms, struct ban_facts *facts)
{
    *facts = (struct ban_facts){
        .bans = load(&table->bans),
        .lifted = load(&table->lifted),
        .evicted = load(&table->evicted),
    };
    for (size_t place = 0; place < table->bucket_count; place++)
        for (unsigned i = 0; i < SLOTS; i++)
            facts->banned += load(&table->buckets[place].untils[i]) > now_ms;
}

/* ---- those who are held back */

bool
ban_tarpit_enter(struct ban_table *table, unsigned most)
{
    if (atomic_fetch_add_explicit(&table->tarpits, 1, memory_order_relaxed) < most)
        return true;
    ban_tarpit_leave(table);
    return false;
}

void
ban_tarpit_leave(struct ban_table *table)
{
    atomic_fetch_sub_explicit(&table->tarpits, 1, memory_order_relaxed);
}

/* ---- in the registry */

static void *
pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p != MAP_FAILED ? p : NULL;
}

void
ban_table_discard(struct ban_table *table)
{
    if (table->buckets != NULL)
        munmap(table->buckets, table->bucket_count * sizeof(*table->buckets));
    if (table->details != NULL)
        munmap(table->details, table->bucket_count * SLOTS * sizeof(*table->details));
    for (unsigned i = 0; i < BAN_LOCKS; i++)
        pthread_mutex_destroy(&table->locks[i]);
    pthread_mutex_destroy(&table->saver_lock);
    pthread_cond_destroy(&table->saver_wake);
    free(table->name);
    free(table->path);
    free(table);
}

static void
discard(struct registered *registered)
{
    ban_save_stop(container_of(registered, struct ban_table, registered));
}

static void
make_locks(struct ban_table *table)
{
    pthread_condattr_t monotonic;

    for (unsigned i = 0; i < BAN_LOCKS; i++)
        pthread_mutex_init(&table->locks[i], NULL);
    pthread_mutex_init(&table->saver_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&table->saver_wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static struct registered *
make(const void *arg, struct err *err)
{
    const struct ban_conf *conf = arg;
    struct ban_table *table = calloc(1, sizeof(*table));
    struct ban_conf made = *conf;

    if (table == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    make_locks(table);
    table->bucket_count = (uint32_t)((conf->max_keys + KEYS_PER_BUCKET - 1) / KEYS_PER_BUCKET);
    table->buckets = pages(table->bucket_count * sizeof(*table->buckets));
    table->details = pages(table->bucket_count * SLOTS * sizeof(*table->details));
    table->name = strdup(conf->name);
    table->path = conf->save != NULL ? strdup(conf->save) : NULL;
    made.table = table;
    if (table->buckets == NULL || table->details == NULL || table->name == NULL ||
        (conf->save != NULL && table->path == NULL))
        err_set(err, "out of memory for max_keys = %" PRId64, conf->max_keys);
    else if (table->path == NULL || ban_save_start(table, &made, err) == 0)
        return &table->registered;
    ban_table_discard(table);
    return NULL;
}

static const struct registry_kind ban_kind = { "bans", make, discard };

static int
adopt(struct ban_conf *conf, struct err *err)
{
    struct registered *registered = NULL;
    char *identity = NULL;

    if (asprintf(&identity, "%s %.*s %" PRId64 " %" PRId64 "/%" PRId64 " %s", conf->name,
                 SLICE_ARG(conf->key.key.items[0]), conf->max_keys, conf->key.ipv4_bits,
                 conf->key.ipv6_bits, conf->save != NULL ? conf->save : "") < 0) {
        identity = NULL;
        err_set(err, "out of memory");
    } else {
        registered = registry_adopt(&ban_kind, identity, conf, err);
    }
    free(identity);
    if (registered == NULL)
        return err_prefix(err, "%s:%u: ban \"%s\": ", conf->place.file, conf->place.line,
                          conf->name);
    conf->table = container_of(registered, struct ban_table, registered);
    return 0;
}

int
bans_adopt(struct conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->bans.count; i++) {
        if (adopt(conf->bans.items[i], err) == 0)
            continue;
        bans_release(conf);
        return -1;
    }
    return 0;
}

void
bans_release(struct conf *conf)
{
    for (size_t i = 0; i < conf->bans.count; i++) {
        struct ban_conf *ban = conf->bans.items[i];

        ban_table_unref(ban->table);
        ban->table = NULL;
    }
}

struct ban_table *
ban_table_ref(struct ban_table *table)
{
    registered_ref(&table->registered);
    return table;
}

void
ban_table_unref(struct ban_table *table)
{
    if (table != NULL)
        registered_unref(&table->registered);
}
