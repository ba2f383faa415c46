/* SPDX-License-Identifier: BSD-2-Clause */
/* process.h - the worker process: everything that parses what strangers send.
 *
 * Its main thread talks to the supervisor and to commands, starts and ends
 * worker threads, and hands them one generation of the configuration after the
 * other. It never touches traffic.
 */
#ifndef BASCULE_PROCESS_H
#define BASCULE_PROCESS_H

#include <stdint.h>

#include "server/worker_thread.h"

struct conf;

/* How many worker threads the configuration means. */
unsigned process_workers(const struct conf *conf);

/* How many client connections so many descriptors can carry: two for each. */
uint64_t process_connections(uint64_t descriptors);

/* Serves until the supervisor says stop. Expects its end of the channel at
 * CHANNEL_FD. Returns the exit status. */
int process_run(const struct worker_hooks *hooks);

#endif
