/* SPDX-License-Identifier: BSD-2-Clause */
/* worker_process.h - starts the worker process, and says how one ended. What it does is in
 * process.h.
 */
#ifndef BASCULE_WORKER_PROCESS_H
#define BASCULE_WORKER_PROCESS_H

#include <sys/types.h>

#include "server/base/err.h"
#include "server/privileges.h"

/* Runs this program anew as identity, a child that dies with its parent. Returns its process
 * id, and in *channel_fd our end of the channel to it; 0 with err when it cannot be started. */
MUST_USE pid_t worker_process_start(const struct identity *identity, int *channel_fd,
                                    struct err *err);

/* Of a status of waitpid(): "ended with status 1". */
#define WORKER_END_BYTES 128
void worker_process_end_text(int status, char text[WORKER_END_BYTES]);

#endif
