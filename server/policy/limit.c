/* SPDX-License-Identifier: BSD-2-Clause */
/* limit.c - counting by key: rates, numbers at a time, quotas.
 *
 * The generic cell rate algorithm: each request let through moves a key's time on by
 * the interval between requests at the rate; one that would move it further ahead of
 * now than a burst takes is over.
 *
 *         now         busy_until           now + tolerance
 *     -----|--------------|---- + interval ------|-------> time
 *          '--- burst used so far ---'
 *
 * What the configuration says can change while others count: each number is read by
 * itself, and a mixture of old and new ones for a moment does no harm.
 */
#include "config.h"

#include "server/policy/limit.h"

#include "server/base/clock.h"
#include "server/policy/limit_table.h"
#include "server/registry.h"
#include "server/schema.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#define STRIPES 16
#define CONCURRENCY_RETRY_MS 1000

/* Each thread counts in one of them, so that few meet. */
struct stripe {
    alignas(64) _Atomic uint64_t keys;
    _Atomic uint64_t taken, refused, evicted;
};

struct limit {
    struct registered registered; /* identity: name, key and what decides the table's form */
    _Atomic uint64_t interval, tolerance; /* ticks; interval 0: no rate */
    _Atomic uint64_t burst;
    _Atomic uint64_t concurrency;         /* 0: any */
    _Atomic uint64_t quota_bytes, quota_ms;
    struct limit_table table;
    struct stripe *stripes;
};

static uint64_t
load(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void
store(_Atomic uint64_t *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_relaxed);
}

static void
add(_Atomic uint64_t *number, uint64_t value)
{
    atomic_fetch_add_explicit(number, value, memory_order_relaxed);
}

static struct stripe *
stripe_of(const struct limit *limit)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned mine; /* from 1 */

    if (mine == 0)
        mine = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % STRIPES + 1;
    return &limit->stripes[mine - 1];
}

/* ---- in the registry */

static void
apply(struct limit *limit, const struct limit_conf *conf)
{
    uint64_t requests = (uint64_t)conf->requests, interval = 0;
    uint64_t burst = conf->burst > 0 ? (uint64_t)conf->burst : requests;

    if (requests > 0)
        interval = (limit_ticks(conf->period_ms) + requests / 2) / requests;
    store(&limit->interval, interval);
    store(&limit->tolerance, interval * burst); /* ten years at most: 2^61 */
    store(&limit->burst, burst);
    store(&limit->concurrency, (uint64_t)conf->concurrency);
    store(&limit->quota_bytes, conf->quota_bytes);
    store(&limit->quota_ms, conf->quota_ms);
}

static void
discard(struct registered *registered)
{
    struct limit *limit = container_of(registered, struct limit, registered);

    limit_table_fini(&limit->table);
    free(limit->stripes);
    free(limit);
}

static struct registered *
make(const void *arg, struct err *err)
{
    const struct limit_conf *conf = arg;
    struct limit *limit = calloc(1, sizeof(*limit));

    if (limit == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    limit->stripes = aligned_alloc(alignof(struct stripe), STRIPES * sizeof(struct stripe));
    if (limit->stripes == NULL ||
        limit_table_init(&limit->table, (uint64_t)conf->max_keys, conf->concurrency > 0,
                         conf->quota_bytes > 0) < 0) {
        err_set(err, "out of memory for max_keys = %" PRId64, conf->max_keys);
        discard(&limit->registered);
        return NULL;
    }
    memset(limit->stripes, 0, STRIPES * sizeof(struct stripe));
    apply(limit, conf);
    return &limit->registered;
}

static const struct registry_kind limit_kind = { "limit", make, discard };

/* NULL when memory is short. */
static char *
identify(const struct limit_conf *conf)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return NULL;
    fprintf(out, "%s %d%d%d %" PRId64 " %" PRId64 "/%" PRId64, conf->name, conf->requests > 0,
            conf->concurrency > 0, conf->quota_bytes > 0, conf->max_keys, conf->ipv4_bits,
            conf->ipv6_bits);
    for (size_t i = 0; i < conf->key.count; i++)
        fprintf(out, " %.*s", SLICE_ARG(conf->key.items[i]));
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

int
limit_adopt(struct limit_conf *conf, struct err *err)
{
    char *identity = identify(conf);
    struct registered *registered = NULL;

    if (identity == NULL)
        err_set(err, "out of memory");
    else
        registered = registry_adopt(&limit_kind, identity, conf, err);
    free(identity);
    if (registered == NULL)
        return err_prefix(err, "%s:%u: limit \"%s\": ", conf->place.file, conf->place.line,
                          conf->name);
    conf->limit = container_of(registered, struct limit, registered);
    return 0;
}

int
limits_adopt(struct conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->limits.count; i++) {
        if (limit_adopt(conf->limits.items[i], err) == 0)
            continue;
        limits_release(conf);
        return -1;
    }
    return 0;
}

void
limits_release(struct conf *conf)
{
    for (size_t i = 0; i < conf->limits.count; i++) {
        struct limit_conf *limit = conf->limits.items[i];

        limit_unref(limit->limit);
        limit->limit = NULL;
    }
}

void
limits_apply(const struct conf *conf)
{
    for (size_t i = 0; i < conf->limits.count; i++) {
        const struct limit_conf *limit = conf->limits.items[i];

        apply(limit->limit, limit);
    }
}

struct limit *
limit_ref(struct limit *limit)
{
    registered_ref(&limit->registered);
    return limit;
}

void
limit_unref(struct limit *limit)
{
    if (limit != NULL)
        registered_unref(&limit->registered);
}

/* ---- counting */

/* A slot, and what is true of it now. */
struct view {
    const struct limit *limit;
    const struct limit_slot *slot;
    uint64_t now_ms, now; /* the same in ticks */
};

static uint64_t
larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t
ms_of(uint64_t ticks)
{
    return (ticks + ((uint64_t)1 << LIMIT_TICK_BITS) - 1) >> LIMIT_TICK_BITS;
}

/* How far the key's time is ahead; never so far that it would feel for long what the rate
 * was before it was changed. */
static uint64_t
ahead(const struct view *view, uint64_t tolerance)
{
    uint64_t busy_until = view->slot->busy_until != NULL ? *view->slot->busy_until : 0;
    uint64_t far = busy_until > view->now ? busy_until - view->now : 0;

    return far < tolerance ? far : tolerance;
}

/* Returns how far the time is ahead. */
static uint64_t
judge_rate(const struct view *view, struct limit_state *state)
{
    uint64_t interval = load(&view->limit->interval), tolerance = load(&view->limit->tolerance);
    uint64_t far = ahead(view, tolerance), after = far + interval;

    if (interval == 0)
        return 0;
    state->limit = (int64_t)load(&view->limit->burst);
    if (after > tolerance) {
        state->is_over = true;
        state->retry_ms = ms_of(after - tolerance);
    }
    state->remaining = (int64_t)((tolerance - far) / interval);
    state->reset_ms = ms_of(far);
    return far;
}

static void
judge_quota(const struct view *view, struct limit_state *state)
{
    uint64_t bytes = load(&view->limit->quota_bytes), used = 0, left_ms = 0;
    const struct limit_quota *quota = view->slot->quota;

    if (bytes == 0)
        return;
    if (quota != NULL && quota->end_ms > view->now_ms) {
        used = quota->used_bytes;
        left_ms = quota->end_ms - view->now_ms;
    }
    if (used >= bytes) {
        state->is_over = true;
        state->remaining = 0;
        state->retry_ms = larger(state->retry_ms, left_ms);
    }
    if (state->limit == 0) {
        state->limit = (int64_t)bytes;
        state->remaining = used < bytes ? (int64_t)(bytes - used) : 0;
    }
    state->reset_ms = larger(state->reset_ms, left_ms);
}

static void
judge_concurrency(const struct view *view, struct limit_state *state)
{
    uint64_t most = load(&view->limit->concurrency);
    uint64_t in_use = view->slot->in_use != NULL ? *view->slot->in_use : 0;

    if (most == 0)
        return;
    if (in_use >= most) {
        state->is_over = true;
        state->remaining = 0;
        state->retry_ms = larger(state->retry_ms, CONCURRENCY_RETRY_MS);
    }
    if (state->limit == 0) {
        state->limit = (int64_t)most;
        state->remaining = in_use < most ? (int64_t)(most - in_use) : 0;
    }
}

/* As it is. Returns what judge_rate() does. */
static uint64_t
judge(const struct view *view, struct limit_state *state)
{
    uint64_t far;

    *state = (struct limit_state){ .is_over = false };
    far = judge_rate(view, state);
    judge_quota(view, state);
    judge_concurrency(view, state);
    return far;
}

static struct view
view_of(const struct limit *limit, const struct limit_slot *slot, uint64_t now_ms)
{
    return (struct view){ limit, slot, now_ms, limit_ticks(now_ms) };
}

/* One request less. Returns how far it moves the time on. */
static uint64_t
move_on(const struct limit *limit, struct limit_state *state)
{
    uint64_t interval = load(&limit->interval);

    if (interval == 0)
        return 0;
    state->remaining -= state->remaining > 0;
    state->reset_ms += ms_of(interval);
    return interval;
}

/* After limit_table_make(). */
static void
count_slot(struct stripe *stripe, const struct limit_slot *slot)
{
    if (slot->is_new)
        add(&stripe->keys, 1);
    if (slot->has_evicted)
        add(&stripe->evicted, 1);
}

/* Locks are held for what follows each call up to limit_table_unlock(). */
bool
limit_take(struct limit *limit, uint64_t key, uint64_t now_ms, struct limit_state *state)
{
    struct stripe *stripe = stripe_of(limit);
    struct limit_state unwanted;
    struct limit_slot slot;
    struct view view;
    uint64_t far;

    if (state == NULL)
        state = &unwanted;
    limit_table_make(&limit->table, key, now_ms, &slot);
    view = view_of(limit, &slot, now_ms);
    far = judge(&view, state);
    if (!state->is_over)
        far += move_on(limit, state);
    if (slot.busy_until != NULL)
        *slot.busy_until = view.now + far;
    limit_table_unlock(&slot);
    count_slot(stripe, &slot);
    add(state->is_over ? &stripe->refused : &stripe->taken, 1);
    return !state->is_over;
}

bool
limit_look(const struct limit *limit, uint64_t key, uint64_t now_ms, struct limit_state *state)
{
    struct limit_slot slot;
    struct view view;

    limit_table_find(&limit->table, key, &slot);
    view = view_of(limit, &slot, now_ms);
    judge(&view, state);
    limit_table_unlock(&slot);
    return !state->is_over;
}

bool
limit_enter(struct limit *limit, uint64_t key)
{
    uint64_t most = load(&limit->concurrency);
    struct limit_slot slot;
    bool is_let_in;

    if (limit->table.in_use_offset == 0)
        return true;
    limit_table_make(&limit->table, key, clock_monotonic_ms(), &slot);
    is_let_in = slot.in_use != NULL && *slot.in_use < most;
    if (is_let_in)
        ++*slot.in_use;
    limit_table_unlock(&slot);
    count_slot(stripe_of(limit), &slot);
    if (!is_let_in)
        add(&stripe_of(limit)->refused, 1);
    return is_let_in;
}

/* A slot in use is nobody else's until then: it is there. */
void
limit_leave(struct limit *limit, uint64_t key)
{
    struct limit_slot slot;

    if (limit->table.in_use_offset == 0)
        return;
    limit_table_find(&limit->table, key, &slot);
    must(slot.in_use != NULL && *slot.in_use > 0);
    --*slot.in_use;
    limit_table_unlock(&slot);
}

void
limit_spend(struct limit *limit, uint64_t key, uint64_t bytes, uint64_t now_ms)
{
    struct limit_quota *quota;
    struct limit_slot slot;

    if (limit->table.quota_offset == 0 || bytes == 0)
        return;
    limit_table_make(&limit->table, key, now_ms, &slot);
    quota = slot.quota;
    if (quota != NULL) {
        if (quota->end_ms <= now_ms)
            *quota = (struct limit_quota){ .end_ms = now_ms + load(&limit->quota_ms) };
        if (bytes > UINT64_MAX - quota->used_bytes)
            bytes = UINT64_MAX - quota->used_bytes;
        quota->used_bytes += bytes;
        quota->is_spent = quota->used_bytes >= load(&limit->quota_bytes);
        *slot.busy_until = larger(*slot.busy_until, limit_ticks(now_ms));
    }
    limit_table_unlock(&slot);
    count_slot(stripe_of(limit), &slot);
}

void
limit_facts(const struct limit *limit, struct limit_facts *facts)
{
    *facts = (struct limit_facts){ 0 };
    for (unsigned i = 0; i < STRIPES; i++) {
        const struct stripe *stripe = &limit->stripes[i];

        facts->keys += load(&stripe->keys);
        facts->taken += load(&stripe->taken);
        facts->refused += load(&stripe->refused);
        facts->evicted += load(&stripe->evicted);
    }
}
