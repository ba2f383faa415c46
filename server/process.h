/* SPDX-License-Identifier: BSD-2-Clause */
/* process.h - the worker process: everything that parses what strangers send.
 *
 * Its main thread talks to the supervisor and to commands, starts and ends
 * worker threads, and hands them one generation of the configuration after the
 * other. It never touches traffic.
 */
#ifndef BASCULE_PROCESS_H
#define BASCULE_PROCESS_H

struct worker_hooks;

/* Serves until the supervisor says stop. Expects its end of the channel at
 * CHANNEL_FD. Returns the exit status. */
int process_run(const struct worker_hooks *hooks);

#endif
