/* SPDX-License-Identifier: BSD-2-Clause */
/* run.c - serves what a configuration file describes; and the process that
 * does it, which the supervisor starts.
 */
#include "config.h"

#include "server/commands/members.h"

#include "server/process.h"
#include "server/supervisor.h"

static const struct flag flags[] = {
    CONF_FLAG,
    { .name = NULL },
};

static int
run(const struct arguments *arguments)
{
    const struct supervisor_conf conf = { .path = arguments_conf(arguments) };

    return supervisor_run(&conf);
}

const struct command run_command = {
    .name = "run",
    .usage = "[-c FILE]",
    .text = "Serves what a configuration file describes.",
    .flags = flags,
    .run = run,
};

static int
run_worker_process(const struct arguments *arguments)
{
    return process_run(arguments->hooks);
}

const struct command worker_process_command = {
    .name = "worker-process",
    .usage = "",
    .text = "Serves under a supervisor, which starts it.",
    .is_hidden = true,
    .run = run_worker_process,
};
