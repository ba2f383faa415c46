/* SPDX-License-Identifier: BSD-2-Clause */
/* traffic.c - rows of numbers, one for each account and worker thread.
 *
 * A worker's rows come in chunks, made when they are first written to, and stay
 * as long as the process. An account that is closed leaves its numbers to the sum of
 * those that are gone, and its rows to the next: nobody writes to them between,
 * since the snapshots that knew it are gone.
 */
#include "config.h"

#include "cache/traffic.h"

#include "cache/cache_conf.h"
#include "server/registry.h"
#include "server/schema.h"
#include "server/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_ROWS 64u
#define CHUNKS (TRAFFIC_ACCOUNTS / CHUNK_ROWS)
#define IDENTITY_BYTES 1024

struct row {
    struct {
        _Atomic uint64_t requests[TRAFFIC_KINDS], bytes[TRAFFIC_KINDS];
    } modes[TRAFFIC_MODES];
};

struct chunk_of_rows {
    struct row rows[CHUNK_ROWS];
};

struct traffic_account {
    struct registered registered; /* first */
    unsigned number;              /* of its rows; 0: those that all without rows share */
};

/* Pages that nobody touches are not there. */
static _Atomic(struct chunk_of_rows *) chunks[WORKERS_MAX][CHUNKS];

/* lock guards all of it; taken for opening, closing and reading, never for counting. */
static struct {
    pthread_mutex_t lock;
    unsigned used;              /* numbers ever given, 0 included */
    unsigned free_count;
    uint16_t free[TRAFFIC_ACCOUNTS];
    struct traffic_sum gone[TRAFFIC_MODES];
} book = { .lock = PTHREAD_MUTEX_INITIALIZER, .used = 1 };

/* ---- rows */

static struct row *
find_row(unsigned worker, unsigned number)
{
    struct chunk_of_rows *chunk =
        atomic_load_explicit(&chunks[worker][number / CHUNK_ROWS], memory_order_acquire);

    return chunk != NULL ? &chunk->rows[number % CHUNK_ROWS] : NULL;
}

/* On the worker's own thread. NULL when memory is short: it is not counted then. */
static struct row *
make_row(unsigned worker, unsigned number)
{
    struct chunk_of_rows *chunk = calloc(1, sizeof(*chunk));

    if (chunk == NULL)
        return NULL;
    atomic_store_explicit(&chunks[worker][number / CHUNK_ROWS], chunk, memory_order_release);
    return &chunk->rows[number % CHUNK_ROWS];
}

static inline void
add(_Atomic uint64_t *number, uint64_t n)
{
    atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void
traffic_count(const struct traffic_account *account, unsigned worker, enum traffic_mode mode,
              enum traffic_kind kind, uint64_t bytes)
{
    unsigned number = account != NULL ? account->number : 0;
    struct row *row = find_row(worker, number);

    if (unlikely(row == NULL))
        row = make_row(worker, number);
    if (unlikely(row == NULL))
        return;
    add(&row->modes[mode].requests[kind], 1);
    add(&row->modes[mode].bytes[kind], bytes);
}

static void
sum_number(unsigned number, enum traffic_mode mode, struct traffic_sum *sum)
{
    for (unsigned worker = 0; worker < WORKERS_MAX; worker++) {
        struct row *row = find_row(worker, number);

        for (unsigned kind = 0; row != NULL && kind < TRAFFIC_KINDS; kind++) {
            sum->requests[kind] += atomic_load_explicit(&row->modes[mode].requests[kind],
                                                        memory_order_relaxed);
            sum->bytes[kind] += atomic_load_explicit(&row->modes[mode].bytes[kind],
                                                     memory_order_relaxed);
        }
    }
}

static void
clear_number(unsigned number)
{
    for (unsigned worker = 0; worker < WORKERS_MAX; worker++) {
        struct row *row = find_row(worker, number);

        for (unsigned mode = 0; row != NULL && mode < TRAFFIC_MODES; mode++)
            for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++) {
                atomic_store_explicit(&row->modes[mode].requests[kind], 0, memory_order_relaxed);
                atomic_store_explicit(&row->modes[mode].bytes[kind], 0, memory_order_relaxed);
            }
    }
}

/* ---- accounts */

static unsigned
take_number(void)
{
    unsigned number = 0;

    pthread_mutex_lock(&book.lock);
    if (book.free_count > 0)
        number = book.free[--book.free_count];
    else if (book.used < TRAFFIC_ACCOUNTS)
        number = book.used++;
    pthread_mutex_unlock(&book.lock);
    return number;
}

static void
give_number(unsigned number)
{
    if (number == 0)
        return;
    pthread_mutex_lock(&book.lock);
    for (unsigned mode = 0; mode < TRAFFIC_MODES; mode++)
        sum_number(number, (enum traffic_mode)mode, &book.gone[mode]);
    clear_number(number);
    book.free[book.free_count++] = (uint16_t)number;
    pthread_mutex_unlock(&book.lock);
}

static struct registered *
make(const void *conf, struct err *err)
{
    struct traffic_account *account = calloc(1, sizeof(*account));

    (void)conf;
    if (account == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    account->number = take_number();
    return &account->registered;
}

static void
let_go(struct registered *object)
{
    struct traffic_account *account = container_of(object, struct traffic_account, registered);

    give_number(account->number);
    free(account);
}

static const struct registry_kind account_kind = { .name = "traffic", .make = make,
                                                   .free = let_go };

static void
close_account(void *account)
{
    registered_unref(&((struct traffic_account *)account)->registered);
}

static int
open_account(struct traffic_account **account, const char *what, const char *name,
             struct arena *arena, struct err *err)
{
    char identity[IDENTITY_BYTES];
    struct registered *object;

    snprintf(identity, sizeof(identity), "%s %s", what, name); /* very long names share one */
    object = registry_adopt(&account_kind, identity, NULL, err);
    if (object == NULL)
        return -1;
    *account = container_of(object, struct traffic_account, registered);
    return arena_defer(arena, close_account, *account) == 0 ? 0 : err_set(err, "out of memory");
}

static int
open_site(struct site_conf *site, struct arena *arena, struct err *err)
{
    bool is_cached = site->all.cache.store != NULL;
    struct traffic_account *account = NULL;

    for (size_t i = 0; i < site->routes.count; i++)
        is_cached |= ((struct route_conf *)site->routes.items[i])->cache.store != NULL;
    if (is_cached && open_account(&account, "site", site->name, arena, err) < 0)
        return -1;
    site->all.cache.account = account;
    for (size_t i = 0; i < site->routes.count; i++)
        ((struct route_conf *)site->routes.items[i])->cache.account = account;
    return 0;
}

int
traffic_adopt(struct conf *conf, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < conf->sites.count; i++)
        if (open_site(conf->sites.items[i], arena, err) < 0)
            return -1;
    for (size_t i = 0; i < conf->listeners.count; i++) {
        struct listener_conf *listener = conf->listeners.items[i];

        if (listener->cache.store != NULL &&
            open_account(&listener->cache.account, "listener", listener->name, arena, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- reading */

void
traffic_read(const struct traffic_account *account, enum traffic_mode mode,
             struct traffic_sum *sum)
{
    memset(sum, 0, sizeof(*sum));
    sum_number(account != NULL ? account->number : 0, mode, sum);
}

void
traffic_read_all(enum traffic_mode mode, struct traffic_sum *sum)
{
    pthread_mutex_lock(&book.lock);
    *sum = book.gone[mode];
    for (unsigned number = 0; number < book.used; number++)
        sum_number(number, mode, sum);
    pthread_mutex_unlock(&book.lock);
}

static uint64_t
total(const uint64_t numbers[TRAFFIC_KINDS])
{
    uint64_t sum = 0;

    for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++)
        sum += numbers[kind];
    return sum;
}

uint64_t
traffic_requests(const struct traffic_sum *sum)
{
    return total(sum->requests);
}

uint64_t
traffic_bytes(const struct traffic_sum *sum)
{
    return total(sum->bytes);
}

static double
ratio(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

double
traffic_hit_ratio(const struct traffic_sum *sum)
{
    return ratio(sum->requests[TRAFFIC_HIT] + sum->requests[TRAFFIC_STALE], traffic_requests(sum));
}

double
traffic_byte_ratio(const struct traffic_sum *sum)
{
    return ratio(sum->bytes[TRAFFIC_HIT] + sum->bytes[TRAFFIC_STALE] +
                     sum->bytes[TRAFFIC_VALIDATED], traffic_bytes(sum));
}

const char *
traffic_kind_word(enum traffic_kind kind)
{
    static const char *const words[] = {
        [TRAFFIC_HIT] = "hit",       [TRAFFIC_STALE] = "stale", [TRAFFIC_VALIDATED] = "validated",
        [TRAFFIC_JOINED] = "joined", [TRAFFIC_MISS] = "miss",   [TRAFFIC_PASS] = "pass",
    };

    return words[kind];
}

const char *
traffic_mode_word(enum traffic_mode mode)
{
    return mode == TRAFFIC_FORWARD ? "forward" : "reverse";
}
