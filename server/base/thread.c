/* SPDX-License-Identifier: BSD-2-Clause */
/* thread.c - a thread begins with its creator's name and signal mask: so the creator
 * takes on both for a moment, and none of the thread's life is without them.
 */
#include "config.h"

#include "server/base/thread.h"

#include <signal.h>
#include <sys/prctl.h>

static void
fill_mask(sigset_t *mask)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };

    sigfillset(mask);
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++)
        sigdelset(mask, faults[i]);
}

int
thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg)
{
    char name_before[16] = "";
    sigset_t mask, mask_before;
    int error;

    fill_mask(&mask);
    prctl(PR_GET_NAME, name_before);
    prctl(PR_SET_NAME, name);
    pthread_sigmask(SIG_SETMASK, &mask, &mask_before);
    error = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
    prctl(PR_SET_NAME, name_before);
    return error;
}
