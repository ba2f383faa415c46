/* SPDX-License-Identifier: BSD-2-Clause */
/* members.h - the commands, for their list. */
#ifndef BASCULE_COMMAND_MEMBERS_H
#define BASCULE_COMMAND_MEMBERS_H

#include "server/commands/command.h"

extern const struct command run_command, worker_process_command;           /* run.c */
extern const struct command forward_command, reverse_command, port_command; /* direct.c */
extern const struct command ban_command;                                    /* ban.c */
extern const struct command cache_command, purge_command;                   /* cache.c */
extern const struct command ca_command;                                     /* ca.c */
extern const struct command check_command;                                  /* check.c */
extern const struct command explain_command;                                /* explain.c */
extern const struct command options_command;                                /* options.c */
extern const struct command reload_command, stop_command, status_command;   /* talk.c */
extern const struct command version_command, help_command;                  /* commands.c */

#endif
