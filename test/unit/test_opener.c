/* SPDX-License-Identifier: BSD-2-Clause */
/* test_opener.c - files that only the supervisor may open. */
#include "config.h"

#include "server/opener.h"

#include "server/channel.h"
#include "server/certificates/certificates.h"
#include "test/unit/certificate_folder_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

static bool
may_open(void *arg, const char *path)
{
    return strcmp(path, arg) == 0;
}

struct worker {
    char named[PATH_MAX], other[PATH_MAX];
    int named_fd, other_fd;
    struct err why;
    unsigned names;
    int watched;
    _Atomic bool is_done;
};

static void
count_name(void *arg, int wd, struct slice name)
{
    unsigned *count = arg;

    CU_ASSERT(wd > 0);
    CU_ASSERT(name.bytes > 0);
    ++*count;
}

/* A thread that is not root as far as files go. */
static void *
run_worker(void *arg)
{
    struct worker *worker = arg;

    syscall(SYS_setfsuid, 65534);
    worker->named_fd = opener_open(worker->named, &worker->why);
    worker->other_fd = opener_open(worker->other, &worker->why);
    worker->watched = opener_watch(opener_inotify(), worker->named, count_name, &worker->names);
    worker->is_done = true;
    return NULL;
}

/* As the supervisor's end answers, and the worker process takes it. */
static void
ask_the_desk(struct worker *worker)
{
    static struct channel_message message;
    struct opener_desk desk;
    pthread_t thread;
    int ends[2];

    CU_ASSERT_EQUAL_FATAL(channel_open(ends, &err), 0);
    opener_desk_init(&desk, may_open, worker->named);
    CU_ASSERT_EQUAL_FATAL(opener_desk_open(&desk, loop, ends[0], &err), 0);
    CU_ASSERT_EQUAL_FATAL(channel_receive(ends[1], &message), CHANNEL_GOT);
    CU_ASSERT_EQUAL_FATAL(message.kind, CHANNEL_OPENER);
    CU_ASSERT_EQUAL_FATAL(message.fd_count, 2);
    opener_use(message.fds[0], message.fds[1]);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_worker, worker), 0);
    while (!worker->is_done)
        loop_turn(loop, 20);
    pthread_join(thread, NULL);
    opener_use(-1, -1);
    opener_desk_close(&desk);
    close(ends[0]);
    close(ends[1]);
}

static void
the_supervisor_opens_what_is_named_and_nothing_else(void)
{
    struct worker worker = { .named_fd = -1, .other_fd = -1, .watched = -1 };

    if (geteuid() != 0) {
        CU_PASS("needs root");
        return;
    }
    mkdir(in("secret"), 0700);
    mkdir(in("secret/archive"), 0700);
    write_text(in("secret/archive/key1"), "key");
    write_text(in("secret/other"), "other");
    CU_ASSERT_EQUAL(symlink("archive/key1", in("secret/key")), 0);
    snprintf(worker.named, sizeof(worker.named), "%s", in("secret/key"));
    snprintf(worker.other, sizeof(worker.other), "%s", in("secret/other"));
    ask_the_desk(&worker);
    CU_ASSERT(worker.named_fd >= 0);
    CU_ASSERT_EQUAL(worker.other_fd, -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(worker.why.text, "Permission denied"));
    CU_ASSERT_EQUAL(worker.watched, 0);
    CU_ASSERT_EQUAL(worker.names, 2); /* the link, and what it leads to */
    if (worker.named_fd >= 0)
        close(worker.named_fd);
}

void
suite_opener(void)
{
    CU_pSuite s = CU_add_suite("opener", begin, end);

    CU_add_test(s, "the supervisor opens what is named and nothing else",
                the_supervisor_opens_what_is_named_and_nothing_else);
}
