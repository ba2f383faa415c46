/* SPDX-License-Identifier: BSD-2-Clause */
/* supervisor.c - one worker process after the other, one generation after the other.
 *
 *     STARTING --READY--> SERVING --reload--> RELOADING --READY or FAILED--> SERVING
 *                            |                    |
 *                        (it dies)            (it dies: the new generation is
 *                            v                    v     given up)
 *                        RESTARTING --READY--> SERVING
 *     any --SIGTERM--> STOPPING --(it ends)--> over
 *
 * SIGHUP reloads, SIGUSR1 opens log files again, SIGTERM and SIGQUIT let what
 * runs finish (a second one does not), SIGINT ends at once.
 */
#include "config.h"

#include "server/supervisor.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/certificates/local_ca.h"
#include "server/channel.h"
#include "server/limits.h"
#include "server/sd_notify.h"
#include "server/supervisor_inside.h"
#include "server/worker_process.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_GRACE_MS 8000 /* beyond stop_timeout, before the worker process is killed */
#define QUICK_DEATH_MS 1000
#define LOCAL_MS (24 * 3600 * 1000) /* a look at the end of the local certificate */

/* ---- the certificate of the local CA */

/* It lives for some months only. */
static void
on_local(struct timer *timer)
{
    struct supervisor *s = container_of(timer, struct supervisor, local);
    struct err err;

    if (s->current.wants_local && local_ca_ensure(NULL, &err) < 0)
        log_error("%s", err.text);
    timer_arm(s->loop, timer, LOCAL_MS);
}

/* ---- the worker process */

/* Whether all went over; otherwise the worker process is gone, and its end will
 * be heard of. */
static bool
send_generation(struct supervisor *s, const struct declared *declared)
{
    uint64_t generation = declared->generation;
    int fd = s->channel.fd;

    return fd >= 0 &&
           channel_send(fd, CHANNEL_CONFIG, generation, NULL, &declared->text_fd, 1) == 0 &&
           holdings_send(&s->holdings, fd, generation) == 0 &&
           channel_send(fd, CHANNEL_GO, generation, NULL, NULL, 0) == 0;
}

static void on_message(struct supervisor *s, struct channel_message *message);

static void
close_channel(struct supervisor *s)
{
    int fd = s->channel.fd;

    if (fd < 0)
        return;
    loop_unwatch(s->loop, &s->channel);
    close(fd);
    opener_desk_close(&s->desk);
}

static bool
may_open(void *arg, const char *path)
{
    const struct supervisor *s = arg;

    return declared_names(&s->current, path) || declared_names(&s->next, path);
}

static void
on_channel(struct watch *watch, uint32_t events)
{
    static struct channel_message message;
    struct supervisor *s = container_of(watch, struct supervisor, channel);
    enum channel_result result = CHANNEL_WAIT;

    (void)events;
    while (watch->fd >= 0 && (result = channel_receive(watch->fd, &message)) == CHANNEL_GOT)
        on_message(s, &message);
    if (watch->fd < 0 || result == CHANNEL_WAIT)
        return;
    if (result == CHANNEL_BROKEN) {
        log_error("worker process %d: sent what nobody understands: killing it", (int)s->worker);
        kill(s->worker, SIGKILL);
    }
    close_channel(s); /* SIGCHLD says the rest */
}

static int
start_worker(struct supervisor *s, struct err *err)
{
    struct err desk_err;
    int fd;

    s->worker = worker_process_start(&s->identity, &fd, err);
    if (s->worker == 0)
        return -1;
    s->born_ms = clock_monotonic_ms();
    s->channel.fd = fd;
    holdings_forget_sent(&s->holdings);
    if (loop_watch(s->loop, &s->channel, EPOLLIN) < 0) {
        s->channel.fd = -1;
        close(fd);
        return err_errno(err, "cannot watch the worker process");
    }
    if (opener_desk_open(&s->desk, s->loop, s->channel.fd, &desk_err) < 0)
        log_error("%s: it reads what it may open by itself", desk_err.text);
    return 0;
}

/* ---- reload */

static void
tell_status(const struct supervisor *s)
{
    sd_notify("READY=1\nSTATUS=Generation %" PRIu64 " is served.", s->current.generation);
}

/* A ticket is answered by the worker process that gave it. */
static void
answer_reload(struct supervisor *s, enum channel_kind kind, const char *text)
{
    if (s->ticket != 0 && s->channel.fd >= 0 &&
        channel_send(s->channel.fd, kind, s->ticket, text, NULL, 0) < 0)
        log_warn("reload: its answer cannot be passed on: %s", strerrordesc_np(errno));
    s->ticket = 0;
}

static void
reload_failed(struct supervisor *s, const char *why)
{
    log_error("reload: %s (generation %" PRIu64 " serves on)", why, s->current.generation);
    answer_reload(s, CHANNEL_REFUSED, why);
    tell_status(s);
}

static void
reload(struct supervisor *s)
{
    struct err err;

    s->is_reload_wanted = false;
    sd_notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic_ns() / 1000);
    if (supervisor_prepare(s, &err) < 0) {
        reload_failed(s, err.text);
        return;
    }
    s->stage = RELOADING;
    send_generation(s, &s->next);
}

static void
want_reload(struct supervisor *s, uint64_t ticket)
{
    if (s->stage == STOPPING)
        return;
    if (ticket != 0 && (s->ticket != 0 || s->next_ticket != 0)) {
        if (channel_send(s->channel.fd, CHANNEL_REFUSED, ticket, "another reload is under way",
                         NULL, 0) < 0)
            log_warn("reload: its answer cannot be passed on");
        return;
    }
    if (ticket != 0 && s->stage == SERVING)
        s->ticket = ticket;
    else if (ticket != 0)
        s->next_ticket = ticket;
    s->is_reload_wanted = true;
    if (s->stage == SERVING)
        reload(s);
}

static void
serve(struct supervisor *s)
{
    s->stage = SERVING;
    if (!s->is_reload_wanted)
        return;
    s->ticket = s->next_ticket;
    s->next_ticket = 0;
    reload(s);
}

/* ---- what the worker process says */

static void
on_ready(struct supervisor *s, uint64_t generation)
{
    if ((s->stage == STARTING || s->stage == RELOADING) && generation == s->next.generation) {
        declared_forget(&s->current);
        s->current = s->next;
        s->next = (struct declared){ .text_fd = -1 };
        holdings_commit(&s->holdings, s->channel.fd, generation);
        declared_follow_log(&s->current);
        answer_reload(s, CHANNEL_RELOADED, s->warning);
        tell_status(s);
        serve(s);
    } else if (s->stage == RESTARTING && generation == s->current.generation) {
        holdings_send_control(&s->holdings, s->channel.fd);
        serve(s);
    }
}

static void
give_up_next(struct supervisor *s)
{
    holdings_rollback(&s->holdings, s->next.generation);
    declared_forget(&s->next);
}

static void
on_failed(struct supervisor *s, const struct channel_message *message)
{
    switch (s->stage) {
    case STARTING:
        fprintf(stderr, "bascule: %s\n", message->text);
        s->has_said_why = true;
        break;
    case RELOADING:
        if (message->number != s->next.generation)
            return;
        give_up_next(s);
        reload_failed(s, message->text);
        serve(s);
        break;
    case RESTARTING:
        log_error("worker process %d: %s", (int)s->worker, message->text);
        break;
    case SERVING:
    case STOPPING:
        break;
    }
}

static void stop(struct supervisor *s, bool at_once);

/* It may have been taken over by a stranger: what it can ask for is harmless. */
static void
on_message(struct supervisor *s, struct channel_message *message)
{
    channel_close_fds(message, 0);
    switch (message->kind) {
    case CHANNEL_READY:
        on_ready(s, message->number);
        break;
    case CHANNEL_FAILED:
        on_failed(s, message);
        break;
    case CHANNEL_RELOAD:
        want_reload(s, message->number);
        break;
    case CHANNEL_STOP:
        stop(s, message->number != 0);
        break;
    case CHANNEL_CONFIG:
    case CHANNEL_LISTENER:
    case CHANNEL_FILE:
    case CHANNEL_CONTROL:
    case CHANNEL_GO:
    case CHANNEL_RELOADED:
    case CHANNEL_REFUSED:
    case CHANNEL_OPENER:
    case CHANNEL_OPENED:
    case CHANNEL_OPEN:
    case CHANNEL_WATCH:
    case CHANNEL_KIND_COUNT:
        break;
    }
}

/* ---- its death */

static void
restart(struct supervisor *s)
{
    struct err err;

    s->stage = RESTARTING;
    if (start_worker(s, &err) < 0) {
        log_error("%s: trying again", err.text);
        timer_arm(s->loop, &s->restart, 1000);
        return;
    }
    send_generation(s, &s->current);
}

static void
on_restart(struct timer *timer)
{
    restart(container_of(timer, struct supervisor, restart));
}

static void
restart_soon(struct supervisor *s)
{
    static const uint32_t delays_ms[] = { 0, 0, 100, 1000 };
    size_t last = ARRAY_COUNT(delays_ms) - 1;
    uint32_t delay_ms;

    s->stage = RESTARTING;
    if (clock_monotonic_ms() - s->born_ms < QUICK_DEATH_MS)
        s->quick_deaths++;
    else
        s->quick_deaths = 0;
    delay_ms = delays_ms[s->quick_deaths < last ? s->quick_deaths : last];
    if (delay_ms == 0)
        restart(s);
    else
        timer_arm(s->loop, &s->restart, delay_ms);
}

static void
over(struct supervisor *s, int exit_status)
{
    s->exit_status = exit_status;
    loop_stop(s->loop);
}

static void
on_death(struct supervisor *s, int status)
{
    char how[WORKER_END_BYTES];
    pid_t pid = s->worker;

    worker_process_end_text(status, how);
    on_channel(&s->channel, 0); /* its last words */
    close_channel(s);
    s->worker = 0;
    s->ticket = s->next_ticket = 0; /* nobody is there to be answered */
    switch (s->stage) {
    case STARTING:
        if (!s->has_said_why)
            fprintf(stderr, "bascule: the worker process %s before it could serve\n", how);
        over(s, 1);
        break;
    case STOPPING:
        if (status != 0)
            log_error("worker process %d %s", (int)pid, how);
        over(s, status == 0 ? 0 : 1);
        break;
    case RELOADING:
        give_up_next(s);
        reload_failed(s, "the worker process died of it");
        log_error("worker process %d %s: starting another", (int)pid, how);
        restart_soon(s);
        break;
    case SERVING:
    case RESTARTING:
        log_error("worker process %d %s: starting another", (int)pid, how);
        restart_soon(s);
        break;
    }
}

/* ---- stop */

static void
on_stop_limit(struct timer *timer)
{
    struct supervisor *s = container_of(timer, struct supervisor, stop_limit);

    log_error("worker process %d does not end: killing it", (int)s->worker);
    kill(s->worker, SIGKILL);
}

static void
stop(struct supervisor *s, bool at_once)
{
    bool is_first = s->stage != STOPPING;
    uint64_t limit_ms = s->current.stop_ms + STOP_GRACE_MS;

    if (is_first)
        sd_notify("STOPPING=1\nSTATUS=Finishing what runs.");
    s->stage = STOPPING;
    if (s->worker == 0) {
        over(s, 0);
        return;
    }
    if (s->channel.fd >= 0 &&
        channel_send(s->channel.fd, CHANNEL_STOP, at_once || !is_first, NULL, NULL, 0) < 0)
        kill(s->worker, SIGKILL);
    holdings_close_sockets(&s->holdings);
    timer_disarm(&s->restart);
    if (at_once || !is_first)
        limit_ms = STOP_GRACE_MS;
    timer_arm(s->loop, &s->stop_limit, limit_ms < UINT32_MAX ? (uint32_t)limit_ms : UINT32_MAX);
}

/* ---- signals */

static void
reap(struct supervisor *s)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == s->worker)
            on_death(s, status);
}

static void
reopen_logs(struct supervisor *s)
{
    if (s->current.generation == 0)
        return;
    log_info("opening log files again");
    declared_follow_log(&s->current);
    if (s->channel.fd >= 0)
        holdings_reopen_files(&s->holdings, s->channel.fd);
}

static void
on_signal(struct watch *watch, uint32_t events)
{
    struct supervisor *s = container_of(watch, struct supervisor, signals);
    struct signalfd_siginfo signal;

    (void)events;
    if (read(watch->fd, &signal, sizeof(signal)) != (ssize_t)sizeof(signal))
        return;
    switch (signal.ssi_signo) {
    case SIGCHLD:
        reap(s);
        break;
    case SIGHUP:
        want_reload(s, 0);
        break;
    case SIGUSR1:
        reopen_logs(s);
        break;
    case SIGINT:
        stop(s, true);
        break;
    case SIGTERM:
    case SIGQUIT:
        stop(s, false);
        break;
    }
}

static int
watch_signals(struct supervisor *s, struct err *err)
{
    static const int watched[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGINT, SIGTERM, SIGQUIT };
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_COUNT(watched); i++)
        sigaddset(&set, watched[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signals = (struct watch){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
                                 .on_event = on_signal };
    if (s->signals.fd < 0 || loop_watch(s->loop, &s->signals, EPOLLIN) < 0)
        return err_errno(err, "cannot receive signals");
    return 0;
}

/* ---- the whole */

static int
start(struct supervisor *s, struct err *err)
{
    static const struct socket_owner nobody = { (uid_t)-1, (gid_t)-1 };

    sd_init();
    /* The worker process, maybe another user, has to look for it where we do. */
    setenv("STATE_DIRECTORY", local_ca_folder(), 1);
    limit_descriptors_raise();
    holdings_init(&s->holdings, &nobody);
    timer_init(&s->restart, on_restart);
    timer_init(&s->stop_limit, on_stop_limit);
    timer_init(&s->local, on_local);
    opener_desk_init(&s->desk, may_open, s);
    s->channel = (struct watch){ .fd = -1, .on_event = on_channel };
    s->current.text_fd = s->next.text_fd = -1;
    s->loop = loop_new(err);
    if (s->loop == NULL || watch_signals(s, err) < 0 || supervisor_prepare(s, err) < 0 ||
        start_worker(s, err) < 0)
        return -1;
    send_generation(s, &s->next);
    timer_arm(s->loop, &s->local, LOCAL_MS);
    return 0;
}

static void
finish(struct supervisor *s)
{
    int signal_fd = s->signals.fd;

    holdings_fini(&s->holdings);
    declared_forget(&s->current);
    declared_forget(&s->next);
    if (s->loop == NULL)
        return;
    timer_disarm(&s->restart);
    timer_disarm(&s->stop_limit);
    timer_disarm(&s->local);
    close_channel(s);
    loop_unwatch(s->loop, &s->signals);
    if (signal_fd >= 0)
        close(signal_fd);
    loop_free_all(s->loop);
}

int
supervisor_run(const struct supervisor_conf *conf)
{
    static struct supervisor supervisor;
    struct supervisor *s = &supervisor;
    struct err err;

    s->conf = conf;
    log_be_daemon();
    if (start(s, &err) < 0) {
        fprintf(stderr, "bascule: %s\n", err.text);
        s->exit_status = 1;
    } else {
        loop_run(s->loop);
    }
    finish(s);
    return s->exit_status;
}
