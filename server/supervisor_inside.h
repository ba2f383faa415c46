/* SPDX-License-Identifier: BSD-2-Clause */
/* supervisor_inside.h - the supervisor from inside: what supervisor.c (its stages) and
 * supervisor_prepare.c (what comes before a generation is served) have in common.
 */
#ifndef BASCULE_SUPERVISOR_INSIDE_H
#define BASCULE_SUPERVISOR_INSIDE_H

#include "server/declared.h"
#include "server/holdings.h"
#include "server/opener.h"
#include "server/privileges.h"
#include "server/supervisor.h"

enum supervisor_stage { STARTING, SERVING, RELOADING, RESTARTING, STOPPING };

struct supervisor {
    const struct supervisor_conf *conf;
    struct loop *loop;
    struct watch signals, channel;
    enum supervisor_stage stage;
    struct holdings holdings;
    struct opener_desk desk; /* for files that only we may open */
    struct timer local;
    struct identity identity;
    struct declared current, next;
    const char *warning; /* of next: what whoever asked for it should know besides; static */
    uint64_t last_generation;

    pid_t worker; /* 0: none now */
    uint64_t born_ms;
    unsigned quick_deaths;
    struct timer restart, stop_limit;

    bool is_reload_wanted; /* as soon as it is possible */
    uint64_t ticket;       /* of the command that asked for this reload; 0: a signal */
    uint64_t next_ticket;  /* ... and for the one that is wanted */
    bool has_said_why;     /* it does not start */
    bool is_stopping_at_once;
    int exit_status;
};

/* Reads and checks the configuration, and opens what it names: it is s->next then, with a
 * new number. -1 with err: nothing has changed. */
int supervisor_prepare(struct supervisor *s, struct err *err);

#endif
