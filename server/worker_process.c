/* SPDX-License-Identifier: BSD-2-Clause */
/* worker_process.c - a fork that becomes another user, and bascule again. */
#include "config.h"

#include "server/worker_process.h"

#include "server/base/log.h"
#include "server/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child; comes back when that fails. */
static void
become(const struct identity *identity, int channel_fd, pid_t parent)
{
    char *const argv[] = { (char *)"bascule", (char *)"worker-process", NULL };
    sigset_t none;
    struct err err;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (identity_assume(identity, &err) < 0) {
        log_error("worker process: %s", err.text);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of user, which clears it */
    if (getppid() != parent)
        return; /* it has died meanwhile */
    if (channel_fd == CHANNEL_FD)
        fcntl(channel_fd, F_SETFD, 0);
    else
        dup2(channel_fd, CHANNEL_FD);
    execv("/proc/self/exe", argv);
    log_error("worker process: cannot run /proc/self/exe: %s", strerrordesc_np(errno));
}

pid_t
worker_process_start(const struct identity *identity, int *channel_fd, struct err *err)
{
    pid_t self = getpid(), child;
    int ends[2];

    if (channel_open(ends, err) < 0)
        return 0;
    child = fork();
    if (child == 0) {
        become(identity, ends[1], self);
        _exit(1);
    }
    close(ends[1]);
    if (child < 0) {
        err_errno(err, "cannot start the worker process");
        close(ends[0]);
        return 0;
    }
    *channel_fd = ends[0];
    return child;
}

void
worker_process_end_text(int status, char text[WORKER_END_BYTES])
{
    if (WIFSIGNALED(status))
        snprintf(text, WORKER_END_BYTES, "was killed by signal %d (%s)", WTERMSIG(status),
                 sigdescr_np(WTERMSIG(status)));
    else
        snprintf(text, WORKER_END_BYTES, "ended with status %d", WEXITSTATUS(status));
}
