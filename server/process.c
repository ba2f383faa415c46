/* SPDX-License-Identifier: BSD-2-Clause */
/* process.c - the main thread of the worker process.
 *
 *     RECEIVING --GO--> PUBLISHING --(every thread follows)--> SERVING
 *         ^                                                       |
 *         '------------------------CONFIG-------------------------'
 *     any --STOP--> DRAINING --(every thread has ended, or the limit)--> over
 *
 * Generations come one at a time: the supervisor waits for READY or FAILED
 * before it sends the next. Threads and listening sockets are given up only
 * when every thread follows a plan without them.
 */
#include "config.h"

#include "server/process.h"

#include "cache/store.h"
#include "modes/mode.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/certificates/certificates.h"
#include "server/files.h"
#include "server/http/via.h"
#include "server/limits.h"
#include "server/listen_plan.h"
#include "server/log/log_thread.h"
#include "server/net/sockets.h"
#include "server/policy/list.h"
#include "server/process_inside.h"
#include "server/schema.h"
#include "server/users/users.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define KILL_MS 2000 /* from closing everything to giving up */

static struct process process;

static void
set_connection_limit(struct process *p, const struct conf *conf)
{
    uint64_t can = limit_connections(p->descriptors);
    uint64_t wanted = (uint64_t)conf->max_connections;
    uint64_t before = p->max_connections;

    p->max_connections = wanted < can ? wanted : can;
    if (can < wanted && p->max_connections != before)
        log_write(wanted == MAX_CONNECTIONS_DEFAULT ? LEVEL_INFO : LEVEL_WARN,
                  "max_connections is %" PRIu64 ", but %" PRIu64 " descriptors carry only %" PRIu64
                  " connections: that is the limit now (raise LimitNOFILE or ulimit -Hn)",
                  wanted, p->descriptors, can);
}

/* ---- to the supervisor */

void
process_tell(struct process *p, enum channel_kind kind, uint64_t number, const char *text)
{
    if (channel_send(p->channel.fd, kind, number, text, NULL, 0) < 0)
        log_error("worker process: cannot write to its supervisor: %s", strerrordesc_np(errno));
}

/* ---- a new generation */

/* Closes what the plan does not listen to. NULL: everything. */
static void
drop_sockets(struct process *p, const struct listen_plan *plan)
{
    list_each(link, &p->sockets)
        container_of(link, struct sockets, link)->is_wanted = false;
    for (size_t i = 0; plan != NULL && i < plan->count; i++)
        plan->items[i].sockets->is_wanted = true;
    list_each(link, &p->sockets) {
        struct sockets *sockets = container_of(link, struct sockets, link);

        if (!sockets->is_wanted)
            sockets_free(sockets);
    }
}

static int
set_error_log(struct process *p, const struct conf *conf, struct err *err)
{
    char identity[SINK_IDENTITY_BYTES];
    struct log_sink *sink;

    if (log_sink_identify(identity, conf->log.to, err) < 0)
        return -1;
    if (strcmp(identity, p->log_to) != 0) {
        sink = log_sink_open(identity, -1, err);
        if (sink == NULL)
            return -1;
        log_set_sink(sink);
        memcpy(p->log_to, identity, sizeof(p->log_to));
    }
    if (log_level != (enum log_level)conf->log.level)
        log_level = (enum log_level)conf->log.level;
    return 0;
}

/* ---- what it is expected to do */

struct broken {
    struct err *first;
    unsigned count;
};

static void
on_broken(void *arg, const char *sentence)
{
    struct broken *broken = arg;

    if (broken->count++ == 0)
        err_set(broken->first, "%s", sentence);
    else
        log_error("%s", sentence);
}

static int
try_expectations(struct process *p, struct snapshot *snapshot, struct err *err)
{
    const struct worker_hooks *hooks = p->crew.setting.hooks;
    struct broken broken = { err, 0 };

    if (hooks->expect == NULL)
        return 0;
    hooks->expect(snapshot, on_broken, &broken);
    return broken.count == 0 ? 0 : -1;
}

/* Everything that can fail, before anything is changed for good. */
static struct snapshot *
prepare(struct process *p, struct err *err)
{
    struct snapshot *snapshot;
    const struct conf *conf;
    unsigned workers;

    if (!p->has_source) {
        err_set(err, "no configuration came");
        return NULL;
    }
    snapshot = snapshot_new(&p->source, err);
    config_source_fini(&p->source);
    p->has_source = false;
    if (snapshot == NULL)
        return NULL;
    conf = &snapshot->conf;
    workers = limit_workers(conf);
    if (!log_thread_is_running() && log_thread_start(conf->log.ring_bytes, err) < 0)
        goto fail;
    if (!p->has_certificates && certificates_start(&conf->resolver, err) < 0)
        goto fail;
    p->has_certificates = true;
    if (users_start(err) < 0 || (conf->lists.count > 0 && lists_start(err) < 0))
        goto fail;
    if (snapshot_adopt(snapshot, err) < 0 || try_expectations(p, snapshot, err) < 0 ||
        files_want(&p->files, conf, p->incoming, err) < 0 ||
        crew_start(&p->crew, workers, &conf->resolver, limit_pipes(p->descriptors, workers),
                   err) < 0 ||
        set_error_log(p, conf, err) < 0)
        goto fail;
    return snapshot;

fail:
    snapshot_unref(snapshot);
    return NULL;
}

/* Gives all threads a plan, which takes the place of the last one. */
static void
publish(struct process *p, struct listen_plan *plan, unsigned workers)
{
    plan->max_connections = p->max_connections;
    p->old_plan = p->plan;
    p->plan = plan;
    if (p->stage != DRAINING)
        p->stage = PUBLISHING;
    crew_publish(&p->crew, p->snapshot, plan, workers, p->stage == DRAINING);
}

/* The last generation serves on. Sockets that came for the refused one may have
 * joined addresses in use, and what the kernel queues on them has to be
 * accepted: so all threads follow a plan with them before we answer. */
static void
refuse(struct process *p, const struct err *err)
{
    struct listen_plan *plan;

    if (p->plan == NULL) { /* the first one: there is nothing to go on with */
        process_tell(p, CHANNEL_FAILED, p->incoming, err->text);
        log_flush();
        _exit(1);
    }
    plan = listen_plan_new(&p->snapshot->conf, &p->sockets, &p->crew, p->plan->peer_count, NULL);
    if (plan == NULL) {
        process_tell(p, CHANNEL_FAILED, p->incoming, err->text);
        p->stage = SERVING;
        return;
    }
    p->is_refused = true;
    p->refusal = *err;
    publish(p, plan, plan->peer_count);
}

static void
go(struct process *p)
{
    struct err err;
    struct snapshot *snapshot = prepare(p, &err);
    struct listen_plan *plan = NULL;

    if (snapshot != NULL)
        plan = listen_plan_new(&snapshot->conf, &p->sockets, &p->crew,
                               limit_workers(&snapshot->conf), &err);
    if (plan == NULL) {
        snapshot_unref(snapshot);
        refuse(p, &err);
        return;
    }
    set_connection_limit(p, &snapshot->conf);
    snapshot_unref(p->snapshot);
    p->snapshot = snapshot;
    p->generation = p->incoming;
    publish(p, plan, plan->peer_count);
}

void
process_go(struct process *p, uint64_t generation)
{
    if (p->is_stop_wanted)
        return;
    must(generation == p->incoming);
    if (crew_is_ending(&p->crew))
        p->is_go_waiting = true;
    else
        go(p);
}

/* A line for each address that is new. */
static void
tell_addresses(const struct listen_plan *plan)
{
    char text[ADDRESS_TEXT_BYTES];

    for (size_t i = 0; i < plan->count; i++) {
        struct sockets *sockets = plan->items[i].sockets;
        const struct listener_conf *conf = plan->items[i].conf;

        if (sockets->is_announced)
            continue;
        sockets->is_announced = true;
        log_info("listener \"%s\" (%s) listens on %s", conf->name, conf->mode->name,
                 address_text(&sockets->address, text));
    }
}

static void begin_drain(struct process *p);

static void
say_ready(struct process *p)
{
    files_drop(&p->files, p->generation);
    p->serving_ms = clock_monotonic_ms();
    tell_addresses(p->plan);
    log_info("ready: bascule %s, generation %" PRIu64 ", %u worker%s", PACKAGE_VERSION,
             p->generation, p->plan->peer_count, p->plan->peer_count == 1 ? "" : "s");
    malloc_trim(0); /* reading a large configuration leaves large holes */
    process_tell(p, CHANNEL_READY, p->generation, NULL);
}

/* Every thread follows the newest plan: what only the old one had may go. */
static void
on_all_followed(struct crew *crew)
{
    struct process *p = container_of(crew, struct process, crew);

    listen_plan_free(p->old_plan);
    p->old_plan = NULL;
    drop_sockets(p, p->plan);
    if (p->stage == DRAINING)
        return;
    p->stage = SERVING;
    if (p->is_refused)
        process_tell(p, CHANNEL_FAILED, p->incoming, p->refusal.text);
    else
        say_ready(p);
    p->is_refused = false;
    if (p->is_stop_wanted)
        begin_drain(p);
}

/* ---- the end */

/* Threads that still run when everything was closed are stuck: leave them. */
static void
on_kill_limit(struct timer *timer)
{
    (void)timer;
    log_error("worker process: threads did not end: leaving them");
    log_flush();
    _exit(1);
}

static void
kill_all(struct process *p)
{
    crew_kill(&p->crew);
    p->stop_limit.on_due = on_kill_limit;
    timer_arm(p->loop, &p->stop_limit, KILL_MS);
}

static void
on_stop_limit(struct timer *timer)
{
    kill_all(container_of(timer, struct process, stop_limit));
}

/* Accepts what is queued, closes the listening sockets, waits for the rest. What
 * cannot have it now calls again when it is done. */
static void
begin_drain(struct process *p)
{
    struct listen_plan *plan;

    if (crew_is_following(&p->crew) || crew_is_ending(&p->crew))
        return;
    plan = p->plan != NULL ? listen_plan_new_empty() : NULL;
    if (plan == NULL) { /* nothing is served yet */
        loop_stop(p->loop);
        return;
    }
    log_info("stopping");
    p->stage = DRAINING;
    publish(p, plan, 0);
    if (p->is_stop_at_once || p->snapshot->conf.stop_ms == 0)
        kill_all(p);
    else
        timer_arm(p->loop, &p->stop_limit, p->snapshot->conf.stop_ms);
}

void
process_stop(struct process *p, bool at_once)
{
    bool is_first = !p->is_stop_wanted;

    p->is_stop_wanted = true;
    p->is_stop_at_once |= at_once;
    if (is_first)
        begin_drain(p);
    else if (at_once && p->stage == DRAINING && !p->crew.is_killed)
        kill_all(p);
}

/* Goes on with what had to wait for threads that were about to end. */
static void
on_thread_gone(struct crew *crew)
{
    struct process *p = container_of(crew, struct process, crew);

    if (p->stage == DRAINING) {
        if (crew_is_empty(crew))
            loop_stop(p->loop);
    } else if (p->is_stop_wanted) {
        begin_drain(p);
    } else if (p->is_go_waiting && !crew_is_ending(crew)) {
        p->is_go_waiting = false;
        go(p);
    }
}

static void
on_all_reported(struct crew *crew)
{
    inquiry_answer(&container_of(crew, struct process, crew)->inquiry);
}

static const struct crew_events crew_events = {
    .on_all_followed = on_all_followed,
    .on_thread_gone = on_thread_gone,
    .on_all_reported = on_all_reported,
};

/* ---- the process */

/* Signals are the supervisor's business; a terminal or systemd may send them to
 * all of us. Those of a closed pipe and of a file that may not grow: write() says so. */
static void
ignore_signals(void)
{
    static const int ignored[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                   SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ };

    for (size_t i = 0; i < ARRAY_COUNT(ignored); i++)
        signal(ignored[i], SIG_IGN);
}

static int
init(struct process *p, const struct worker_hooks *hooks, struct err *err)
{
    ignore_signals();
    prctl(PR_SET_NAME, "bascule");
    list_init(&p->sockets);
    list_init(&p->files);
    timer_init(&p->stop_limit, on_stop_limit);
    p->start_ms = clock_monotonic_ms();
    p->descriptors = limit_descriptors();
    p->loop = loop_new(err);
    if (p->loop == NULL)
        return -1;
    grace_join(&p->reader, p->loop);
    crew_init(&p->crew, p->loop, hooks, &crew_events);
    process_requests_init(p);
    p->channel = (struct watch){ .fd = CHANNEL_FD, .on_event = process_on_channel };
    if (loop_watch(p->loop, &p->channel, EPOLLIN) < 0)
        return err_errno(err, "the worker process is started by bascule run, not by hand");
    return 0;
}

static void
fini(struct process *p)
{
    process_requests_wait(p);
    for (unsigned i = 0; i < p->stop_ticket_count; i++)
        control_answer(p->control, p->stop_tickets[i], true, strdup("stopped\n"), 8);
    control_free(p->control);
    p->control = NULL;
    loop_unwatch(p->loop, &p->channel);
    timer_disarm(&p->stop_limit);
    inquiry_fini(&p->inquiry);
    drop_sockets(p, NULL);
    files_drop(&p->files, UINT64_MAX);
    listen_plan_free(p->plan);
    listen_plan_free(p->old_plan);
    if (p->has_certificates)
        certificates_stop();
    users_stop();
    lists_stop();
    snapshot_unref(p->snapshot);
    stores_wait_closed();
    if (p->has_source)
        config_source_fini(&p->source);
    grace_leave(&p->reader);
    loop_free_all(p->loop);
    if (log_thread_is_running())
        log_thread_stop();
}

int
process_run(const struct worker_hooks *hooks)
{
    struct err err;

    log_be_daemon();
    via_init();
    if (init(&process, hooks, &err) < 0) {
        log_error("%s", err.text);
        return 1;
    }
    loop_run(process.loop);
    log_info("stopped");
    fini(&process);
    return 0;
}
