/* SPDX-License-Identifier: BSD-2-Clause */
/* worker_thread.c - starts a worker thread, tells it things, lets it end.
 *
 * Everything a thread owns is made before it starts, so that making it can
 * fail, and freed by the thread itself, but for its loop and its memory: mail
 * may come until it is joined.
 */
#include "config.h"

#include "server/worker_thread.h"

#include "server/base/hash.h"
#include "server/base/log.h"
#include "server/base/thread.h"
#include "server/generation.h"
#include "server/log/log_thread.h"
#include "server/schema.h"
#include "server/snapshot.h"
#include "server/tls/tls_server.h"
#include "server/upstream/pool.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCKS_KEPT 128
#define PIPES_KEPT 32
#define IDLE_CHECK_MS 10
#define NAMES_BYTES 65536
#define PAGE_BYTES 4096

_Thread_local struct worker *this_worker;

/* ---- names: a resolver with a copy of its configuration, as it outlives the snapshot */

struct name_service {
    struct list link;
    struct arena arena;
    struct resolver_conf conf;
    struct resolver *resolver;
};

static void
free_names(struct name_service *names)
{
    if (names == NULL)
        return;
    list_remove(&names->link);
    resolver_free(names->resolver);
    arena_fini(&names->arena);
    free(names);
}

static const char *
copy_text(struct arena *arena, const char *text)
{
    return text != NULL ? arena_strdup(arena, text) : NULL;
}

static int
copy_conf(struct name_service *names, const struct resolver_conf *conf)
{
    struct arena *arena = &names->arena;

    names->conf = *conf;
    names->conf.hosts_file = copy_text(arena, conf->hosts_file);
    names->conf.resolv_conf = copy_text(arena, conf->resolv_conf);
    names->conf.servers.items =
        arena_alloc(arena, conf->servers.count * sizeof(*conf->servers.items) + 1);
    for (size_t i = 0; i < conf->servers.count && !arena_is_spent(arena); i++)
        names->conf.servers.items[i] = arena_copy(arena, conf->servers.items[i]);
    return arena_is_spent(arena) ? -1 : 0;
}

static struct name_service *
new_names(struct loop *loop, const struct resolver_conf *conf, struct err *err)
{
    struct name_service *names = calloc(1, sizeof(*names));

    if (names == NULL) {
        err_set(err, "resolver: out of memory");
        return NULL;
    }
    list_init(&names->link);
    arena_init(&names->arena, NULL, NAMES_BYTES);
    if (copy_conf(names, conf) < 0)
        err_set(err, "resolver: its configuration is too large");
    else
        names->resolver = resolver_new(loop, &names->conf, err);
    if (names->resolver == NULL) {
        free_names(names);
        return NULL;
    }
    return names;
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_servers(const struct strings *a, const struct strings *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!slice_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

static bool
same_conf(const struct resolver_conf *a, const struct resolver_conf *b)
{
    return same_servers(&a->servers, &b->servers) && same_text(a->hosts_file, b->hosts_file) &&
           same_text(a->resolv_conf, b->resolv_conf) && a->timeout_ms == b->timeout_ms &&
           a->tries == b->tries && a->limit_ms == b->limit_ms && a->min_ttl_ms == b->min_ttl_ms &&
           a->max_ttl_ms == b->max_ttl_ms && a->negative_ms == b->negative_ms &&
           a->stale_ms == b->stale_ms && a->max_entries == b->max_entries &&
           a->max_lookups == b->max_lookups;
}

static void
free_quiet_names(struct worker_thread *thread)
{
    list_each(link, &thread->old_names) {
        struct name_service *names = container_of(link, struct name_service, link);

        if (resolver_counts(names->resolver).under_way == 0)
            free_names(names);
    }
}

/* What was learnt is kept unless the way of asking has changed. */
static void
update_names(struct worker_thread *thread, const struct resolver_conf *conf)
{
    struct name_service *names;
    struct err err;

    free_quiet_names(thread);
    if (same_conf(&thread->names->conf, conf))
        return;
    names = new_names(thread->worker.loop, conf, &err);
    if (names == NULL) {
        log_error("worker %u: %s: names are still resolved as before", thread->worker.id,
                  err.text);
        return;
    }
    list_push_back(&thread->old_names, &thread->names->link);
    thread->names = names;
    thread->worker.resolver = names->resolver;
    free_quiet_names(thread);
}

/* ---- idleness */

static bool
is_idle(struct worker_thread *thread)
{
    const struct worker_hooks *hooks = thread->setting->hooks;
    struct worker *worker = &thread->worker;

    return worker->connections == 0 && (hooks->is_idle == NULL || hooks->is_idle(worker));
}

static bool
is_going(const struct worker_thread *thread)
{
    return thread->worker.is_retiring || thread->worker.is_draining;
}

/* What many connections leave are holes, held open by the few that came last and stay:
 * the allocator gives those back only when it is told to. */
static void
on_calm(struct timer *timer)
{
    (void)timer;
    malloc_trim(0);
}

/* Asked now and then rather than on each close: it happens once in a life. */
static void
on_idle_check(struct timer *timer)
{
    struct worker_thread *thread = container_of(timer, struct worker_thread, idle_check);

    if (!is_going(thread) || thread->has_said_idle)
        return;
    if (is_idle(thread)) {
        thread->has_said_idle = true;
        loop_post(thread->setting->home, &thread->idle);
        return;
    }
    timer_arm(thread->worker.loop, timer, IDLE_CHECK_MS);
}

/* ---- orders, on the thread */

static void
on_publish(struct mail *mail)
{
    struct worker_thread *thread = container_of(mail, struct worker_thread, publish);
    const struct worker_hooks *hooks = thread->setting->hooks;
    struct worker *worker = &thread->worker;
    struct snapshot *old = worker->snapshot != NULL ? snapshot_ref(worker->snapshot) : NULL;
    bool was_going = is_going(thread);

    acceptors_follow(&thread->acceptors, thread->new_plan);
    if (old != thread->new_snapshot)
        must(generation_publish(worker, thread->new_snapshot) == 0); /* a few bytes */
    snapshot_unref(thread->new_snapshot);
    worker->is_retiring = thread->duty == WORKER_RETIRE;
    worker->is_draining = thread->duty == WORKER_DRAIN;
    update_names(thread, &worker->snapshot->conf.resolver);
    if (old != worker->snapshot && hooks->on_publish != NULL)
        hooks->on_publish(worker);
    if (old != NULL && old != worker->snapshot)
        pools_sweep(worker);
    if (is_going(thread) && !was_going && hooks->on_drain != NULL)
        hooks->on_drain(worker);
    snapshot_unref(old);
    if (!is_going(thread))
        thread->has_said_idle = false;
    else if (!thread->has_said_idle)
        timer_arm(worker->loop, &thread->idle_check, IDLE_CHECK_MS);
    loop_post(thread->setting->home, &thread->followed);
}

static void
on_kill(struct mail *mail)
{
    struct worker_thread *thread = container_of(mail, struct worker_thread, kill);

    if (thread->worker.connections > 0)
        log_warn("worker %u: %u connections are still open: closing them", thread->worker.id,
                 thread->worker.connections);
    acceptors_kill(&thread->acceptors);
    if (thread->setting->hooks->on_kill != NULL)
        thread->setting->hooks->on_kill(&thread->worker);
}

static void
on_end(struct mail *mail)
{
    struct worker_thread *thread = container_of(mail, struct worker_thread, end);

    thread->is_over = is_going(thread) && is_idle(thread);
    if (thread->is_over)
        return; /* answered when all is put away */
    thread->has_said_idle = false;
    if (is_going(thread))
        timer_arm(thread->worker.loop, &thread->idle_check, IDLE_CHECK_MS);
    loop_post(thread->setting->home, &thread->ended);
}

static void
on_report(struct mail *mail)
{
    struct worker_thread *thread = container_of(mail, struct worker_thread, report);
    struct loop_counts counts = loop_counts(thread->worker.loop);

    thread->numbers = (struct worker_report){
        .turns = counts.turns,
        .events = counts.events,
        .connections = thread->worker.connections,
        .pipes = thread->worker.pipes.open_count,
        .dns = resolver_counts(thread->worker.resolver),
    };
    loop_post(thread->setting->home, &thread->reported);
}

/* ---- answers, on the main thread */

static void
on_followed(struct mail *mail)
{
    struct worker_thread *thread = container_of(mail, struct worker_thread, followed);

    thread->setting->answers->on_followed(thread);
}

static void
on_said_idle(struct mail *mail)
{
    struct worker_thread *thread = container_of(mail, struct worker_thread, idle);

    thread->setting->answers->on_idle(thread);
}

static void
on_ended(struct mail *mail)
{
    struct worker_thread *thread = container_of(mail, struct worker_thread, ended);

    thread->setting->answers->on_end(thread, thread->is_over);
}

static void
on_reported(struct mail *mail)
{
    struct worker_thread *thread = container_of(mail, struct worker_thread, reported);

    thread->is_reporting = false;
    thread->setting->answers->on_reported(thread);
}

/* ---- the thread */

static void
fini_on_thread(struct worker_thread *thread)
{
    struct worker *worker = &thread->worker;

    if (thread->setting->hooks->on_end != NULL)
        thread->setting->hooks->on_end(worker);
    timer_disarm(&thread->idle_check);
    timer_disarm(&worker->calm);
    acceptors_fini(&thread->acceptors);
    pools_close(worker);
    loop_turn(worker->loop, 0); /* buries what was closed just now */
    list_each(link, &thread->old_names)
        free_names(container_of(link, struct name_service, link));
    free_names(thread->names);
    (void)generation_publish(worker, NULL);
    tls_server_thread_fini(worker);
    pipe_pool_fini(&worker->pipes);
    block_pool_fini(&worker->blocks);
}

static void *
run(void *arg)
{
    struct worker_thread *thread = arg;

    this_worker = &thread->worker;
    if (log_thread_attach() < 0)
        log_warn("worker %u: no memory for a log ring of its own: sharing one", thread->worker.id);
    while (!thread->is_over)
        loop_turn(thread->worker.loop, -1);
    fini_on_thread(thread);
    log_thread_detach();
    loop_post(thread->setting->home, &thread->ended);
    return NULL;
}

/* ---- on the main thread */

static int
init_worker(struct worker_thread *thread, const struct resolver_conf *resolver, struct err *err)
{
    struct worker *worker = &thread->worker;
    struct hash_key key;

    hash_key_random(&key);
    worker->next_exchange_id = key.half[0]; /* no other thread or process counts from there */
    block_pool_init(&worker->blocks, BLOCKS_KEPT);
    pipe_pool_init(&worker->pipes, PIPES_KEPT, thread->setting->pipes_max);
    list_init(&worker->clients);
    list_init(&worker->tunnels);
    list_init(&worker->solos);
    worker->in = aligned_alloc(PAGE_BYTES, SCRATCH_BYTES);
    worker->out = aligned_alloc(PAGE_BYTES, SCRATCH_BYTES);
    if (worker->in == NULL || worker->out == NULL)
        return err_set(err, "worker %u: out of memory", worker->id);
    worker->loop = loop_new(err);
    if (worker->loop == NULL)
        return -1;
    grace_join(&thread->reader, worker->loop);
    thread->names = new_names(worker->loop, resolver, err);
    if (thread->names == NULL)
        return -1;
    worker->resolver = thread->names->resolver;
    return 0;
}

static void
free_thread(struct worker_thread *thread)
{
    if (thread->worker.loop != NULL) {
        grace_leave(&thread->reader);
        loop_free_all(thread->worker.loop);
    }
    free(thread->worker.in);
    free(thread->worker.out);
    free(thread);
}

static void
init_mail(struct worker_thread *thread)
{
    thread->publish.deliver = on_publish;
    thread->kill.deliver = on_kill;
    thread->end.deliver = on_end;
    thread->report.deliver = on_report;
    thread->followed.deliver = on_followed;
    thread->idle.deliver = on_said_idle;
    thread->ended.deliver = on_ended;
    thread->reported.deliver = on_reported;
}

struct worker_thread *
worker_thread_start(unsigned id, const struct worker_setting *setting, struct counters *counters,
                    const struct resolver_conf *resolver, struct err *err)
{
    struct worker_thread *thread = calloc(1, sizeof(*thread));
    char name[16];
    int error;

    if (thread == NULL) {
        err_set(err, "worker %u: out of memory", id);
        return NULL;
    }
    thread->worker.id = id;
    thread->worker.counters = counters;
    thread->setting = setting;
    list_init(&thread->old_names);
    timer_init(&thread->idle_check, on_idle_check);
    timer_init(&thread->worker.calm, on_calm);
    acceptors_init(&thread->acceptors, &thread->worker);
    init_mail(thread);
    if (init_worker(thread, resolver, err) < 0)
        goto fail;
    snprintf(name, sizeof(name), "bascule/%u", id);
    error = thread_start(&thread->pthread, name, run, thread);
    if (error == 0)
        return thread;
    err_set(err, "worker %u: cannot start its thread: %s", id, strerrordesc_np(error));

fail:
    free_names(thread->names);
    free_thread(thread);
    return NULL;
}

void
worker_thread_publish(struct worker_thread *thread, struct snapshot *snapshot,
                      const struct listen_plan *plan, enum worker_duty duty)
{
    thread->new_snapshot = snapshot_ref(snapshot);
    thread->new_plan = plan;
    thread->duty = duty;
    loop_post(thread->worker.loop, &thread->publish);
}

void
worker_thread_kill(struct worker_thread *thread)
{
    loop_post(thread->worker.loop, &thread->kill);
}

void
worker_thread_end(struct worker_thread *thread)
{
    loop_post(thread->worker.loop, &thread->end);
}

void
worker_thread_report(struct worker_thread *thread)
{
    if (thread->is_reporting)
        return;
    thread->is_reporting = true;
    loop_post(thread->worker.loop, &thread->report);
}

void
worker_thread_free(struct worker_thread *thread)
{
    pthread_join(thread->pthread, NULL);
    free_thread(thread);
}

struct listen_peer
worker_thread_peer(struct worker_thread *thread)
{
    return (struct listen_peer){
        .loop = thread->worker.loop,
        .counters = thread->worker.counters,
        .acceptors = &thread->acceptors,
    };
}
