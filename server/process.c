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

#include "modes/mode.h"
#include "server/admin/control.h"
#include "server/admin/metrics.h"
#include "server/admin/status.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/channel.h"
#include "server/files.h"
#include "server/log/log_thread.h"
#include "server/net/sockets.h"
#include "server/schema.h"
#include "server/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS_KEPT 256 /* for logs, DNS, listening sockets, pipes at rest */
#define KILL_MS 2000         /* from closing everything to giving up */
#define REPORT_MS 500        /* how long status waits for a busy thread */
#define REPORTS_MAX 32
#define PIPES_MIN 16
#define PIPES_MAX 1024
#define CONFIG_BYTES_MAX (256u << 20)

enum stage { RECEIVING, PUBLISHING, SERVING, DRAINING };

enum slot_state {
    SLOT_EMPTY,
    SLOT_SERVING,
    SLOT_RETIRING,
    SLOT_ENDING, /* was asked to end, and is still to answer */
};

struct slot {
    struct worker_thread *thread;
    enum slot_state state;
};

/* A command that waits for the threads' numbers. */
struct question {
    uint64_t ticket;
    void (*render)(FILE *out, const struct status_facts *facts);
};

struct process {
    struct loop *loop;
    struct watch channel;
    struct worker_setting setting;
    struct slot slots[WORKERS_MAX];
    unsigned slot_count; /* slots ever used */
    enum stage stage;

    /* What is being received, and what is served. */
    uint64_t incoming;
    struct config_source source;
    bool has_source;
    bool is_go_waiting;  /* for threads that are about to end */
    struct list sockets; /* of struct sockets */
    struct list files;   /* of struct held_file */
    bool is_refused;     /* it is: the answer waits for all threads */
    struct err refusal;
    struct snapshot *snapshot;
    uint64_t generation; /* as the supervisor counts, who may outlive us */
    struct listen_plan *plan, *old_plan;
    unsigned unfollowed;
    uint64_t start_ms, serving_ms;
    uint64_t descriptors, max_connections;
    char log_to[SINK_IDENTITY_BYTES];

    struct control *control;
    struct question questions[REPORTS_MAX];
    unsigned question_count, unreported;
    struct timer report_limit;

    bool is_stop_wanted, is_stop_at_once, is_over;
    struct timer stop_limit;
    uint64_t stop_tickets[REPORTS_MAX];
    unsigned stop_ticket_count;
};

static struct process process;
static struct counter_slot counter_slots[WORKERS_MAX];

/* ---- sizes */

unsigned
process_workers(const struct conf *conf)
{
    cpu_set_t cpus;
    int count = 1;

    if (conf->workers > 0)
        return (unsigned)conf->workers;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        count = CPU_COUNT(&cpus);
    return count < WORKERS_MAX ? (unsigned)count : WORKERS_MAX;
}

uint64_t
process_connections(uint64_t descriptors)
{
    return descriptors > 2 * DESCRIPTORS_KEPT ? (descriptors - DESCRIPTORS_KEPT) / 2
                                              : descriptors / 4;
}

static uint64_t
descriptor_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

static void
set_connection_limit(struct process *p, const struct conf *conf)
{
    uint64_t can = process_connections(p->descriptors);
    uint64_t wanted = (uint64_t)conf->max_connections;
    uint64_t before = p->max_connections;

    p->max_connections = wanted < can ? wanted : can;
    if (can < wanted && p->max_connections != before)
        log_warn("max_connections is %" PRIu64 ", but %" PRIu64 " descriptors carry only %" PRIu64
                 " connections: that is the limit now (raise LimitNOFILE or ulimit -Hn)",
                 wanted, p->descriptors, can);
}

static unsigned
pipes_each(uint64_t descriptors, unsigned workers)
{
    uint64_t each = descriptors / 16 / workers;

    return each < PIPES_MIN ? PIPES_MIN : each > PIPES_MAX ? PIPES_MAX : (unsigned)each;
}

/* ---- to the supervisor */

static void
tell(struct process *p, enum channel_kind kind, uint64_t number, const char *text)
{
    if (channel_send(p->channel.fd, kind, number, text, NULL, 0) < 0)
        log_error("worker process: cannot write to its supervisor: %s", strerrordesc_np(errno));
}

/* ---- a plan: who listens where */

static size_t
count_addresses(const struct conf *conf)
{
    size_t count = 0;

    for (size_t i = 0; i < conf->listeners.count; i++)
        count += ((struct listener_conf *)conf->listeners.items[i])->listen.count;
    return count;
}

static struct listen_plan *
new_plan(size_t items, unsigned peers)
{
    struct listen_plan *plan = calloc(1, sizeof(*plan));

    if (plan == NULL)
        return NULL;
    plan->items = calloc(items + 1, sizeof(*plan->items));
    plan->peers = calloc(peers + 1, sizeof(*plan->peers));
    if (plan->items != NULL && plan->peers != NULL)
        return plan;
    free(plan->items);
    free(plan->peers);
    free(plan);
    return NULL;
}

static void
free_plan(struct listen_plan *plan)
{
    if (plan == NULL)
        return;
    free(plan->items);
    free(plan->peers);
    free(plan);
}

static int
add_listener(struct process *p, struct listen_plan *plan, struct listener_conf *conf,
             struct err *err)
{
    char key[SOCKETS_KEY_BYTES];

    for (size_t i = 0; i < conf->listen.count; i++) {
        struct sockets *sockets = sockets_find(&p->sockets, sockets_key(key, conf, i));

        if (sockets == NULL || sockets->count == 0)
            return err_set(err, "listener \"%s\": no socket came for %s", conf->name, key);
        plan->items[plan->count++] = (struct listen_item){ .sockets = sockets, .conf = conf };
    }
    return 0;
}

static struct listen_plan *
make_plan(struct process *p, struct snapshot *snapshot, unsigned workers, struct err *err)
{
    const struct config_list *listeners = &snapshot->conf.listeners;
    struct listen_plan *plan = new_plan(count_addresses(&snapshot->conf), workers);

    if (plan == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    plan->max_connections = p->max_connections;
    plan->peer_count = workers;
    for (unsigned i = 0; i < workers; i++)
        plan->peers[i] = worker_thread_peer(p->slots[i].thread);
    for (size_t i = 0; i < listeners->count; i++) {
        if (add_listener(p, plan, listeners->items[i], err) < 0) {
            free_plan(plan);
            return NULL;
        }
    }
    return plan;
}

/* ---- threads */

static int
start_threads(struct process *p, const struct conf *conf, unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        struct slot *slot = &p->slots[i];

        if (slot->state != SLOT_EMPTY)
            continue;
        slot->thread = worker_thread_start(i, &p->setting, &counter_slots[i].counters,
                                           &conf->resolver, err);
        if (slot->thread == NULL)
            return -1;
        slot->state = SLOT_RETIRING; /* until it is given something to do */
        if (p->slot_count <= i)
            p->slot_count = i + 1;
    }
    return 0;
}

static struct slot *
slot_of(struct worker_thread *thread)
{
    return &process.slots[thread->worker.id];
}

/* Gives every thread the snapshot and the plan; those from workers on have to go. */
static void
publish(struct process *p, struct snapshot *snapshot, struct listen_plan *plan, unsigned workers)
{
    p->old_plan = p->plan;
    p->plan = plan;
    if (p->stage != DRAINING)
        p->stage = PUBLISHING;
    for (unsigned i = 0; i < p->slot_count; i++) {
        struct slot *slot = &p->slots[i];
        enum worker_duty duty = i < workers ? WORKER_SERVE : WORKER_RETIRE;

        if (slot->state == SLOT_EMPTY)
            continue;
        must(slot->state != SLOT_ENDING);
        slot->state = duty == WORKER_SERVE ? SLOT_SERVING : SLOT_RETIRING;
        if (p->stage == DRAINING)
            duty = WORKER_DRAIN;
        worker_thread_publish(slot->thread, snapshot, plan, duty);
        p->unfollowed++;
    }
}

static bool
is_ending(const struct process *p)
{
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i].state == SLOT_ENDING)
            return true;
    return false;
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

/* Everything that can fail, before anything is changed for good. */
static struct snapshot *
prepare(struct process *p, struct err *err)
{
    struct snapshot *snapshot = snapshot_new(&p->source, err);
    const struct conf *conf;
    unsigned workers;

    config_source_fini(&p->source);
    p->has_source = false;
    if (snapshot == NULL)
        return NULL;
    conf = &snapshot->conf;
    workers = process_workers(conf);
    p->setting.pipes_max = pipes_each(p->descriptors, workers);
    if (!log_thread_is_running() && log_thread_start(conf->log.ring_bytes, err) < 0)
        goto fail;
    if (snapshot_adopt(snapshot, err) < 0 || start_threads(p, conf, workers, err) < 0 ||
        set_error_log(p, conf, err) < 0 || files_want(&p->files, conf, p->incoming, err) < 0)
        goto fail;
    return snapshot;

fail:
    snapshot_unref(snapshot);
    return NULL;
}

/* The last generation serves on. Sockets that came for the refused one may have
 * joined addresses in use, and what the kernel queues on them has to be
 * accepted: so all threads follow a plan with them before we answer. */
static void
refuse(struct process *p, const struct err *err)
{
    struct listen_plan *plan;

    if (p->plan == NULL) { /* the first one: there is nothing to go on with */
        tell(p, CHANNEL_FAILED, p->incoming, err->text);
        log_flush();
        _exit(1);
    }
    plan = make_plan(p, p->snapshot, p->plan->peer_count, NULL);
    if (plan == NULL) {
        tell(p, CHANNEL_FAILED, p->incoming, err->text);
        p->stage = SERVING;
        return;
    }
    p->is_refused = true;
    p->refusal = *err;
    publish(p, p->snapshot, plan, plan->peer_count);
}

static void
go(struct process *p)
{
    struct err err;
    struct snapshot *snapshot = prepare(p, &err);
    struct listen_plan *plan = NULL;
    unsigned workers;

    if (snapshot != NULL) {
        workers = process_workers(&snapshot->conf);
        set_connection_limit(p, &snapshot->conf);
        plan = make_plan(p, snapshot, workers, &err);
    }
    if (plan == NULL) {
        snapshot_unref(snapshot);
        refuse(p, &err);
        return;
    }
    snapshot_unref(p->snapshot);
    p->snapshot = snapshot;
    p->generation = p->incoming;
    publish(p, snapshot, plan, workers);
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
    log_info("ready: bascule %s, generation %" PRIu64 ", %u workers", PACKAGE_VERSION, p->generation,
             p->plan->peer_count);
    malloc_trim(0); /* reading a large configuration leaves large holes */
    tell(p, CHANNEL_READY, p->generation, NULL);
}

/* Every thread follows the newest plan: what only the old one had may go. */
static void
on_all_followed(struct process *p)
{
    free_plan(p->old_plan);
    p->old_plan = NULL;
    drop_sockets(p, p->plan);
    if (p->stage == DRAINING)
        return;
    p->stage = SERVING;
    if (p->is_refused)
        tell(p, CHANNEL_FAILED, p->incoming, p->refusal.text);
    else
        say_ready(p);
    p->is_refused = false;
    if (p->is_stop_wanted && !is_ending(p))
        begin_drain(p);
}

static void
on_followed(struct worker_thread *thread)
{
    (void)thread;
    must(process.unfollowed > 0);
    if (--process.unfollowed == 0)
        on_all_followed(&process);
}

/* ---- what the supervisor sends */

static int
read_config(struct process *p, int fd, struct err *err)
{
    struct stat st;
    void *block;
    int result;

    if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > (off_t)CONFIG_BYTES_MAX)
        return err_set(err, "the configuration that came is empty or too large");
    block = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (block == MAP_FAILED)
        return err_errno(err, "the configuration that came cannot be read");
    result = config_source_unpack(&p->source, block, (size_t)st.st_size, err);
    munmap(block, (size_t)st.st_size);
    return result;
}

static void
on_config(struct process *p, struct channel_message *message)
{
    struct err err;

    if (p->is_stop_wanted) {
        channel_close_fds(message, 0);
        return;
    }
    p->incoming = message->number;
    p->stage = RECEIVING;
    if (p->has_source)
        config_source_fini(&p->source);
    p->has_source = message->fd_count == 1 && read_config(p, message->fds[0], &err) == 0;
    if (!p->has_source && message->fd_count == 1)
        log_error("worker process: %s", err.text);
    channel_close_fds(message, 0);
}

static void
on_sockets(struct process *p, struct channel_message *message)
{
    struct sockets *sockets = sockets_find(&p->sockets, message->text);
    struct err err;

    if (sockets == NULL) {
        sockets = sockets_new(message->text);
        if (sockets == NULL) {
            channel_close_fds(message, 0);
            return;
        }
        list_push_back(&p->sockets, &sockets->link);
    }
    if (sockets_take(sockets, message->fds, message->fd_count, &err) < 0)
        log_error("worker process: %s", err.text);
}

/* A log file: the first time for whoever adopts it, later after rotation. */
static void
on_file(struct process *p, struct channel_message *message)
{
    struct held_file *file;
    struct err err;

    if (message->fd_count != 1) {
        channel_close_fds(message, 0);
        return;
    }
    file = files_get(&p->files, message->text);
    if (file == NULL) {
        channel_close_fds(message, 0);
        return;
    }
    if (message->number > file->generation)
        file->generation = message->number;
    if (file->sink != NULL) {
        if (log_sink_reopen(file->identity, message->fds[0]) < 0)
            log_error("log %s: cannot be opened again", file->identity);
        return;
    }
    file->sink = log_sink_open(file->identity, message->fds[0], &err);
    if (file->sink == NULL)
        log_error("log %s: %s", file->identity, err.text);
}

static void on_request(void *arg, uint64_t ticket, struct slice request);

static void
on_control_socket(struct process *p, struct channel_message *message)
{
    struct control_conf conf = { .loop = p->loop, .owner = (uid_t)message->number,
                                 .on_request = on_request, .arg = p };
    int fd = message->fd_count == 1 ? message->fds[0] : -1;

    channel_close_fds(message, fd >= 0 ? 1 : 0);
    if (p->control != NULL)
        control_replace(p->control, fd);
    else if (fd >= 0)
        p->control = control_new(&conf, fd);
}

static void
on_go(struct process *p, struct channel_message *message)
{
    struct err err;

    if (p->is_stop_wanted)
        return;
    if (!p->has_source || message->number != p->incoming) {
        err_set(&err, "no configuration came with generation %" PRIu64, message->number);
        refuse(p, &err);
    } else if (is_ending(p)) {
        p->is_go_waiting = true;
    } else {
        go(p);
    }
}

static void
on_reload_answer(struct process *p, const struct channel_message *message)
{
    bool is_ok = message->kind == CHANNEL_RELOADED;
    char *text = NULL;
    int bytes;

    if (p->control == NULL)
        return;
    bytes = is_ok ? asprintf(&text, "generation %" PRIu64 " is served\n", p->generation)
                  : asprintf(&text, "%s\n", message->text);
    control_answer(p->control, message->number, is_ok, bytes < 0 ? NULL : text, (size_t)bytes);
}

static void on_stop_limit(struct timer *timer);

static void
on_stop(struct process *p, bool at_once)
{
    bool is_first = !p->is_stop_wanted;

    p->is_stop_wanted = true;
    p->is_stop_at_once |= at_once;
    if (is_first && p->unfollowed == 0 && !is_ending(p))
        begin_drain(p);
    else if (at_once && p->stage == DRAINING && p->stop_limit.on_due == on_stop_limit)
        on_stop_limit(&p->stop_limit);
}

static void
on_message(struct process *p, struct channel_message *message)
{
    switch (message->kind) {
    case CHANNEL_CONFIG:
        on_config(p, message);
        return;
    case CHANNEL_LISTENER:
        on_sockets(p, message);
        return;
    case CHANNEL_FILE:
        on_file(p, message);
        return;
    case CHANNEL_CONTROL:
        on_control_socket(p, message);
        return;
    case CHANNEL_GO:
        on_go(p, message);
        break;
    case CHANNEL_RELOADED:
    case CHANNEL_REFUSED:
        on_reload_answer(p, message);
        break;
    case CHANNEL_STOP:
        on_stop(p, message->number != 0);
        break;
    case CHANNEL_READY:
    case CHANNEL_FAILED:
    case CHANNEL_RELOAD:
    case CHANNEL_KIND_COUNT:
        break; /* ours to send */
    }
    channel_close_fds(message, 0);
}

/* Nobody could reload or restart us any more: whoever looks after the
 * supervisor starts it again, and it needs our addresses. */
static void
on_supervisor_gone(const char *how)
{
    log_error("worker process: %s: ending at once", how);
    log_flush();
    _exit(1);
}

static void
on_channel(struct watch *watch, uint32_t events)
{
    static struct channel_message message;
    enum channel_result result;

    (void)events;
    while ((result = channel_receive(watch->fd, &message)) == CHANNEL_GOT)
        on_message(&process, &message);
    if (result == CHANNEL_ENDED)
        on_supervisor_gone("the supervisor is gone");
    if (result == CHANNEL_BROKEN)
        on_supervisor_gone("the supervisor sent what nobody understands");
}

/* ---- what commands ask */

static void
gather_facts(struct process *p, struct worker_facts *workers, struct status_facts *facts)
{
    *facts = (struct status_facts){
        .snapshot = p->snapshot,
        .generation = p->generation,
        .now_ms = clock_monotonic_ms(),
        .start_ms = p->start_ms,
        .serving_ms = p->serving_ms,
        .max_connections = p->max_connections,
        .sockets = &p->sockets,
        .workers = workers,
        .slots = counter_slots,
        .slot_count = p->slot_count,
    };
    for (unsigned i = 0; i < p->slot_count; i++) {
        const struct slot *slot = &p->slots[i];

        if (slot->state == SLOT_EMPTY)
            continue;
        workers[facts->worker_count++] = (struct worker_facts){
            .id = i,
            .is_retiring = slot->state != SLOT_SERVING || p->stage == DRAINING,
            .has_answered = !slot->thread->is_reporting,
            .counters = &counter_slots[i].counters,
            /* Not while its thread may be writing it. */
            .report = slot->thread->is_reporting ? (struct worker_report){ 0 }
                                                 : slot->thread->numbers,
        };
    }
}

static void
answer(struct process *p, const struct question *question)
{
    static struct worker_facts workers[WORKERS_MAX];
    struct status_facts facts;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return;
    gather_facts(p, workers, &facts);
    question->render(out, &facts);
    fclose(out);
    control_answer(p->control, question->ticket, true, text, bytes);
}

static void
answer_all(struct process *p)
{
    timer_disarm(&p->report_limit);
    p->unreported = 0;
    for (unsigned i = 0; i < p->question_count; i++)
        answer(p, &p->questions[i]);
    p->question_count = 0;
}

static void
on_report_limit(struct timer *timer)
{
    answer_all(container_of(timer, struct process, report_limit));
}

static void
on_reported(struct worker_thread *thread)
{
    (void)thread;
    if (process.unreported > 0 && --process.unreported == 0)
        answer_all(&process);
}

/* Asks all threads for their numbers; the last one's makes the answer. */
static void
ask_threads(struct process *p, uint64_t ticket,
            void (*render)(FILE *, const struct status_facts *))
{
    bool is_asking = p->question_count > 0;

    if (p->question_count == REPORTS_MAX || p->snapshot == NULL) {
        control_answer(p->control, ticket, false, strdup("busy, ask again\n"), 16);
        return;
    }
    p->questions[p->question_count++] = (struct question){ ticket, render };
    if (is_asking)
        return;
    for (unsigned i = 0; i < p->slot_count; i++) {
        if (p->slots[i].state != SLOT_SERVING && p->slots[i].state != SLOT_RETIRING)
            continue;
        if (p->slots[i].thread->is_reporting)
            continue; /* still busy since the last time */
        worker_thread_report(p->slots[i].thread);
        p->unreported++;
    }
    if (p->unreported == 0)
        answer_all(p);
    else
        timer_arm(p->loop, &p->report_limit, REPORT_MS);
}

static void
on_stop_request(struct process *p, uint64_t ticket)
{
    if (p->stop_ticket_count < REPORTS_MAX)
        p->stop_tickets[p->stop_ticket_count++] = ticket;
    tell(p, CHANNEL_STOP, 0, NULL);
}

static void
on_request(void *arg, uint64_t ticket, struct slice request)
{
    static const char unknown[] = "unknown request\n";
    struct process *p = arg;

    if (slice_equal(request, SLICE("status")))
        ask_threads(p, ticket, status_text);
    else if (slice_equal(request, SLICE("status json")))
        ask_threads(p, ticket, status_json);
    else if (slice_equal(request, SLICE("metrics")))
        ask_threads(p, ticket, metrics_text);
    else if (slice_equal(request, SLICE("reload")))
        tell(p, CHANNEL_RELOAD, ticket, NULL);
    else if (slice_equal(request, SLICE("stop")))
        on_stop_request(p, ticket);
    else
        control_answer(p->control, ticket, false, strdup(unknown), strlen(unknown));
}

/* ---- the end */

static void
check_over(struct process *p)
{
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i].state != SLOT_EMPTY)
            return;
    p->is_over = true;
    loop_stop(p->loop);
}

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
on_stop_limit(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, stop_limit);

    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i].state == SLOT_SERVING || p->slots[i].state == SLOT_RETIRING)
            worker_thread_kill(p->slots[i].thread);
    timer->on_due = on_kill_limit;
    timer_arm(p->loop, timer, KILL_MS);
}

/* Accepts what is queued, closes the listening sockets, waits for the rest. */
static void
begin_drain(struct process *p)
{
    struct listen_plan *plan = p->plan != NULL ? new_plan(0, 0) : NULL;

    if (plan == NULL) { /* nothing is served yet */
        check_over(p);
        return;
    }
    log_info("stopping");
    p->stage = DRAINING;
    plan->max_connections = p->max_connections;
    publish(p, p->snapshot, plan, 0);
    if (p->is_stop_at_once || p->snapshot->conf.stop_ms == 0)
        on_stop_limit(&p->stop_limit);
    else
        timer_arm(p->loop, &p->stop_limit, p->snapshot->conf.stop_ms);
}

static void
on_idle(struct worker_thread *thread)
{
    struct slot *slot = slot_of(thread);

    if (slot->state != SLOT_RETIRING)
        return; /* it was called back meanwhile */
    slot->state = SLOT_ENDING;
    worker_thread_end(thread);
}

/* What had to wait for threads that were about to end. */
static void
on_none_ending(struct process *p)
{
    if (p->is_stop_wanted && p->unfollowed == 0) {
        begin_drain(p);
    } else if (p->is_go_waiting) {
        p->is_go_waiting = false;
        go(p);
    }
}

static void
on_end(struct worker_thread *thread, bool is_over)
{
    struct process *p = &process;
    struct slot *slot = slot_of(thread);

    slot->state = is_over ? SLOT_EMPTY : SLOT_RETIRING;
    if (is_over) {
        worker_thread_free(thread);
        slot->thread = NULL;
    } else if (p->stop_limit.on_due == on_kill_limit) {
        worker_thread_kill(thread);
    }
    if (p->stage == DRAINING)
        check_over(p);
    else if (!is_ending(p))
        on_none_ending(p);
}

static const struct worker_answers answers = {
    .on_followed = on_followed,
    .on_idle = on_idle,
    .on_end = on_end,
    .on_reported = on_reported,
};

/* ---- the process */

/* Signals are the supervisor's business; a terminal or systemd may send them to
 * all of us. */
static void
ignore_signals(void)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE };

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
    timer_init(&p->report_limit, on_report_limit);
    timer_init(&p->stop_limit, on_stop_limit);
    p->start_ms = clock_monotonic_ms();
    p->descriptors = descriptor_limit();
    p->loop = loop_new(err);
    if (p->loop == NULL)
        return -1;
    p->setting = (struct worker_setting){ .home = p->loop, .hooks = hooks, .answers = &answers };
    p->channel = (struct watch){ .fd = CHANNEL_FD, .on_event = on_channel };
    if (loop_watch(p->loop, &p->channel, EPOLLIN) < 0)
        return err_errno(err, "the worker process is started by bascule run, not by hand");
    return 0;
}

static void
fini(struct process *p)
{
    for (unsigned i = 0; i < p->stop_ticket_count; i++)
        control_answer(p->control, p->stop_tickets[i], true, strdup("stopped\n"), 8);
    control_free(p->control);
    loop_unwatch(p->loop, &p->channel);
    timer_disarm(&p->stop_limit);
    timer_disarm(&p->report_limit);
    drop_sockets(p, NULL);
    files_drop(&p->files, UINT64_MAX);
    free_plan(p->plan);
    free_plan(p->old_plan);
    snapshot_unref(p->snapshot);
    if (p->has_source)
        config_source_fini(&p->source);
    loop_free_all(p->loop);
    if (log_thread_is_running())
        log_thread_stop();
}

int
process_run(const struct worker_hooks *hooks)
{
    struct err err;

    if (init(&process, hooks, &err) < 0) {
        log_error("%s", err.text);
        return 1;
    }
    loop_run(process.loop);
    log_info("stopped");
    fini(&process);
    return 0;
}
