/* SPDX-License-Identifier: BSD-2-Clause */
/* sd_notify.h - what systemd wants to hear, and the sockets it may hand over.
 *
 * Harmless where nobody listens. Supervisor only: the worker process must not
 * speak for the service.
 */
#ifndef BASCULE_SD_NOTIFY_H
#define BASCULE_SD_NOTIFY_H

#include "server/base/must.h"

/* Remembers and removes the variables that concern us, so that children do not
 * take them for theirs. Call once, first. */
void sd_init(void);

/* Sends lines such as "READY=1\nSTATUS=..." as one datagram. Never blocks. */
void sd_notify(const char *format, ...) PRINTF_LIKE(1, 2);

/* Sockets handed over (LISTEN_FDS): lends their descriptors, closed by exec.
 * Returns how many. */
unsigned sd_listen_fds(const int **fds);

#endif
