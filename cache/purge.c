/* SPDX-License-Identifier: BSD-2-Clause */
/* purge.c - purges take effect in tables at once; what makes them last is
 * behind that (purge_writer.c).
 *
 *     purges_add --> tables (in effect) --> pending --> writer: log, sync --> on_done
 */
#include "config.h"

#include "cache/purge_state.h"

#include <errno.h>
#include <stdlib.h>

#include "server/base/clock.h"

uint64_t
purge_tag(const struct hash_key *key, enum purge_kind kind, struct slice text)
{
    struct hash_key own = { { key->half[0] ^ ((uint64_t)kind + 1) << 56, key->half[1] } };
    uint64_t tag = hash_bytes(text, &own);

    return tag != 0 ? tag : 1; /* 0 marks an empty row */
}

/* ---- judging */

static enum purge_verdict
judge(struct purges *purges, uint64_t after, const uint64_t *tags, unsigned tag_count,
      struct slice url, uint64_t *newest)
{
    enum purge_verdict verdict;

    pthread_rwlock_rdlock(&purges->tables);
    *newest = atomic_load_explicit(&purges->newest, memory_order_relaxed);
    verdict = purge_table_judge(&purges->table, after, tags, tag_count, url);
    pthread_rwlock_unlock(&purges->tables);
    return verdict;
}

enum purge_verdict
purges_judge(struct purges *purges, struct object *object)
{
    uint64_t newest = atomic_load_explicit(&purges->newest, memory_order_acquire);
    uint64_t after = atomic_load_explicit(&object->checked_seq, memory_order_relaxed);
    enum purge_verdict verdict;

    if (likely(after >= newest))
        return PURGE_NONE;
    if (after < object->seq)
        after = object->seq;
    verdict = judge(purges, after, object->tags, object->tag_count, object->url, &newest);
    if (verdict == PURGE_NONE)
        atomic_store_explicit(&object->checked_seq, newest, memory_order_relaxed);
    return verdict;
}

enum purge_verdict
purges_judge_tags(struct purges *purges, uint64_t seq, const uint64_t *tags, unsigned tag_count,
                  struct slice url)
{
    uint64_t newest = atomic_load_explicit(&purges->newest, memory_order_acquire);

    if (seq >= newest)
        return PURGE_NONE;
    return judge(purges, seq, tags, tag_count, url, &newest);
}

/* ---- taking effect; under the lock `change` */

/* Puts other tags in place. Returns the old ones, for nobody else any more. */
static struct purge_tags *
swap_tags(struct purges *purges, struct purge_tags *tags)
{
    struct purge_tags *old = purges->table.tags;

    purges->table.tags = tags;
    purges->generation++;
    return old;
}

static uint64_t
take_seq(struct purges *purges)
{
    return atomic_fetch_add_explicit(purges->next_seq, 1, memory_order_acq_rel) + 1;
}

static void
take_effect(struct purges *purges, uint64_t seq)
{
    atomic_store_explicit(&purges->newest, seq, memory_order_release);
}

static int
add_tag(struct purges *purges, struct purge *purge, struct err *err)
{
    struct purge_tags *tags = purges->table.tags, *wider = NULL, *old = NULL;

    if (purge_tags_find(tags, purge->tag) == NULL) {
        if (tags->used >= purges->max_tags)
            return err_set(err, "%u URLs, tags and sites are purged already: no more are kept "
                           "(purge_tags); a prefix can still be purged", purges->max_tags);
        if (purge_tags_are_full(tags)) {
            wider = purge_tags_copy(tags, 0);
            if (wider == NULL)
                return err_set(err, "out of memory");
        }
    }
    pthread_rwlock_wrlock(&purges->tables);
    if (wider != NULL)
        old = swap_tags(purges, wider);
    purge->seq = take_seq(purges);
    purge_tags_add(purges->table.tags, purge->tag, purge->seq, purge->is_soft);
    take_effect(purges, purge->seq);
    pthread_rwlock_unlock(&purges->tables);
    free(old);
    return 0;
}

static int
add_prefix(struct purges *purges, struct purge *purge, struct err *err)
{
    const struct purge_table *table = &purges->table;
    struct purge_prefix *prefix;

    if (purge->text.bytes > PURGE_TEXT_MAX)
        return err_set(err, "a prefix of %zu bytes is longer than %u", purge->text.bytes,
                       PURGE_TEXT_MAX);
    if (table->prefix_count - purge_table_covered(table, purge->text, purge->is_soft) >=
        purges->max_prefixes)
        return err_set(err, "%u prefixes are purged already: no more are kept (purge_prefixes); "
                       "a shorter prefix, a site or a tag can still be purged",
                       purges->max_prefixes);
    prefix = purge_prefix_new(purge->text);
    if (prefix == NULL)
        return err_set(err, "out of memory");
    pthread_rwlock_wrlock(&purges->tables);
    purge->seq = take_seq(purges);
    purge_table_add_prefix(&purges->table, prefix, purge->seq, purge->is_soft);
    take_effect(purges, purge->seq);
    pthread_rwlock_unlock(&purges->tables);
    return 0;
}

/* Hands it to the thread, or to its home if nothing is durable. */
static void
queue(struct purges *purges, struct purge *purge)
{
    purges->count++;
    purge->next = NULL;
    if (!purges->is_durable) {
        purge_answer(purge, 0);
        return;
    }
    *purges->pending_end = purge;
    purges->pending_end = &purge->next;
    purge_writer_wake(purges);
}

int
purges_add(struct purges *purges, struct purge *purge, struct err *err)
{
    int result;

    purge->tag = purge_tag(&purges->key, purge->kind, purge->text); /* a prefix's is not used */
    pthread_mutex_lock(&purges->change);
    result = purge->kind == PURGE_PREFIX ? add_prefix(purges, purge, err)
                                         : add_tag(purges, purge, err);
    if (result == 0)
        queue(purges, purge);
    pthread_mutex_unlock(&purges->change);
    return result;
}

void
purges_forget_before(struct purges *purges, uint64_t seq)
{
    struct purge_tags *fewer, *old = NULL;

    pthread_mutex_lock(&purges->change);
    fewer = purge_tags_copy(purges->table.tags, seq); /* NULL: next time */
    pthread_rwlock_wrlock(&purges->tables);
    if (fewer != NULL)
        old = swap_tags(purges, fewer);
    purge_table_forget_prefixes(&purges->table, seq);
    pthread_rwlock_unlock(&purges->tables);
    purge_writer_wake(purges);
    pthread_mutex_unlock(&purges->change);
    free(old);
}

/* ---- opening and closing */

struct loading {
    struct purges *purges;
    uint64_t greatest; /* number of a purge */
    bool is_short;     /* of memory */
};

static void
load_prefix(struct loading *loading, const struct purge_record *record)
{
    struct purge_prefix *prefix = purge_prefix_new(record->text);

    if (prefix == NULL)
        loading->is_short = true;
    else
        purge_table_add_prefix(&loading->purges->table, prefix, record->seq, record->is_soft);
}

static void
load_tag(struct loading *loading, const struct purge_record *record)
{
    struct purge_table *table = &loading->purges->table;

    if (purge_tags_are_full(table->tags)) {
        struct purge_tags *wider = purge_tags_copy(table->tags, 0);

        if (wider == NULL) {
            loading->is_short = true;
            return;
        }
        free(table->tags);
        table->tags = wider;
    }
    purge_tags_add(table->tags, record->tag, record->seq, record->is_soft);
}

static void
load_record(void *arg, const struct purge_record *record)
{
    struct loading *loading = arg;

    if (loading->is_short)
        return;
    if (loading->greatest < record->seq)
        loading->greatest = record->seq;
    if (record->kind == PURGE_PREFIX)
        load_prefix(loading, record);
    else if (record->tag != 0)
        load_tag(loading, record);
}

static void
raise_seq(_Atomic uint64_t *next_seq, uint64_t seq)
{
    uint64_t now = atomic_load(next_seq);

    while (now < seq && !atomic_compare_exchange_weak(next_seq, &now, seq))
        ;
}

/* Purges that were durable are lost: everything stored so far is purged. */
static void
purge_all(struct loading *loading)
{
    struct purge_record all = { .seq = take_seq(loading->purges), .kind = PURGE_PREFIX };

    load_record(loading, &all);
}

static int
load(struct purges *purges, const char *path, struct err *err)
{
    struct loading loading = { .purges = purges };
    bool lost = false;

    if (path != NULL &&
        purge_log_open(&purges->log, path, &purges->key, load_record, &loading, &lost, err) < 0)
        return -1;
    purges->is_durable = path != NULL;
    purges->log_bytes = purges->log.bytes;
    raise_seq(purges->next_seq, loading.greatest);
    raise_seq(purges->next_seq, clock_wall_ms() * 1000);
    if (lost)
        purge_all(&loading);
    if (loading.is_short)
        return err_set(err, "out of memory for the purges in \"%s\"", path);
    purges->is_behind = purges->is_durable && purge_log_is_broken(&purges->log) &&
                        loading.greatest > 0;
    take_effect(purges, loading.greatest);
    return 0;
}

static void
init_locks(struct purges *purges)
{
    pthread_rwlockattr_t fair;
    pthread_condattr_t monotonic;

    /* Judges of what is softly purged may come all the time. */
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&purges->tables, &fair);
    pthread_rwlockattr_destroy(&fair);
    pthread_mutex_init(&purges->change, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&purges->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void
discard(struct purges *purges)
{
    if (purges->is_durable)
        purge_log_close(&purges->log);
    purge_table_fini(&purges->table);
    pthread_cond_destroy(&purges->work);
    pthread_mutex_destroy(&purges->change);
    pthread_rwlock_destroy(&purges->tables);
    free(purges);
}

struct purges *
purges_open(const char *path, const struct hash_key *key, _Atomic uint64_t *next_seq,
            unsigned max_tags, unsigned max_prefixes, struct err *err)
{
    struct purges *purges = calloc(1, sizeof(*purges));
    bool is_whole;

    if (purges == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    purges->key = *key;
    purges->next_seq = next_seq;
    purges->pending_end = &purges->pending;
    purges->max_tags = max_tags;
    purges->max_prefixes = max_prefixes;
    init_locks(purges);
    is_whole = purge_table_init(&purges->table);
    if (!is_whole)
        err_set(err, "out of memory");
    if (!is_whole || load(purges, path, err) < 0)
        goto fail;
    errno = purges->is_durable ? purge_writer_start(purges) : 0;
    if (errno == 0)
        return purges;
    err_errno(err, "thread for purges");

fail:
    discard(purges);
    return NULL;
}

void
purges_close(struct purges *purges)
{
    if (purges == NULL)
        return;
    if (purges->is_durable)
        purge_writer_stop(purges);
    discard(purges);
}

void
purges_set_limits(struct purges *purges, unsigned max_tags, unsigned max_prefixes)
{
    pthread_mutex_lock(&purges->change);
    purges->max_tags = max_tags;
    purges->max_prefixes = max_prefixes;
    pthread_mutex_unlock(&purges->change);
}

void
purges_facts(struct purges *purges, struct purge_facts *facts)
{
    pthread_mutex_lock(&purges->change);
    *facts = (struct purge_facts){
        .tags = purges->table.tags->used,
        .prefixes = purges->table.prefix_count,
        .purges = purges->count,
        .log_bytes = purges->log_bytes,
        .log_errors = purges->log_errors,
    };
    pthread_mutex_unlock(&purges->change);
}
