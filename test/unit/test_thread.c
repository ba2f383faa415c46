/* SPDX-License-Identifier: BSD-2-Clause */
/* test_thread.c - promises of base/thread.h. */
#include "config.h"

#include "server/base/thread.h"

#include <CUnit/CUnit.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include "test/unit/suites.h"

struct life {
    char name[16];
    sigset_t blocked;
};

/* Of whoever calls it. */
static void *
look(void *arg)
{
    struct life *life = arg;

    prctl(PR_GET_NAME, life->name);
    pthread_sigmask(SIG_SETMASK, NULL, &life->blocked);
    return NULL;
}

static struct life
started(void)
{
    struct life life = { .name = "" };
    pthread_t thread;

    CU_ASSERT_EQUAL_FATAL(thread_start(&thread, "of a test", look, &life), 0);
    pthread_join(thread, NULL);
    return life;
}

static void
a_thread_has_its_name_from_the_start(void)
{
    CU_ASSERT_STRING_EQUAL(started().name, "of a test");
}

static void
signals_are_left_to_others_but_for_the_threads_own_faults(void)
{
    static const int others[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGUSR1, SIGCHLD, SIGALRM };
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    struct life life = started();

    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT_EQUAL(sigismember(&life.blocked, others[i]), 1);
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++)
        CU_ASSERT_EQUAL(sigismember(&life.blocked, faults[i]), 0);
}

static void
who_starts_a_thread_stays_what_it_was(void)
{
    struct life before, after;

    look(&before);
    started();
    look(&after);
    CU_ASSERT_STRING_EQUAL(after.name, before.name);
    for (int signal = 1; signal < NSIG; signal++)
        CU_ASSERT_EQUAL(sigismember(&after.blocked, signal),
                        sigismember(&before.blocked, signal));
}

void
suite_thread(void)
{
    CU_pSuite s = CU_add_suite("thread", NULL, NULL);

    CU_add_test(s, "a thread has its name from the start", a_thread_has_its_name_from_the_start);
    CU_add_test(s, "signals are left to others but for the thread's own faults",
                signals_are_left_to_others_but_for_the_threads_own_faults);
    CU_add_test(s, "who starts a thread stays what it was",
                who_starts_a_thread_stays_what_it_was);
}
