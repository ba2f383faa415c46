/* SPDX-License-Identifier: BSD-2-Clause */
/* talk.h - how commands ask the running daemon. */
#ifndef BASCULE_TALK_H
#define BASCULE_TALK_H

#include "server/commands/command.h"

#define TALK_S 30 /* how long an answer may take, as a rule */

#define CONTROL_FLAG \
    { .name = "--control", .value = "PATH", .text = "control socket (default: as FILE says)" }

/* Asks the daemon that --control or the configuration names, and prints its answer.
 * wait_s 0: waits as long as it takes. Returns the exit status. */
int talk(const struct arguments *arguments, const char *request, unsigned wait_s);

#endif
