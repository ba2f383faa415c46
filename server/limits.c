/* SPDX-License-Identifier: BSD-2-Clause */
/* limits.c - asks the machine. */
#include "config.h"

#include "server/limits.h"

#include "server/schema.h"
#include "server/worker.h"

#include <sched.h>
#include <sys/resource.h>

#define DESCRIPTORS_KEPT 256 /* for logs, DNS, listening sockets */
#define PIPES_MIN 16
#define PIPES_MAX 1024

unsigned
limit_workers(const struct conf *conf)
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
limit_descriptors(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

void
limit_descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t
limit_connections(uint64_t descriptors)
{
    return descriptors > 2 * DESCRIPTORS_KEPT ? (descriptors - DESCRIPTORS_KEPT) / 2
                                              : descriptors / 4;
}

unsigned
limit_pipes(uint64_t descriptors, unsigned workers)
{
    uint64_t each = descriptors / 16 / workers;

    return each < PIPES_MIN ? PIPES_MIN : each > PIPES_MAX ? PIPES_MAX : (unsigned)each;
}
