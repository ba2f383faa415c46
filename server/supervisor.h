/* SPDX-License-Identifier: BSD-2-Clause */
/* supervisor.h - the process that keeps the privileges and looks after the one
 * that does the work.
 *
 * Single-threaded, and parses nothing from the network: it reads the
 * configuration, opens what that names, starts the worker process without
 * privileges, and starts another when it dies. Listening sockets live here, so
 * nothing that is queued on them is lost.
 */
#ifndef BASCULE_SUPERVISOR_H
#define BASCULE_SUPERVISOR_H

#include "server/base/slice.h"

/* Where the configuration comes from, at the start and at every reload. */
struct supervisor_conf {
    const char *path;  /* of a file; NULL: */
    struct slice text; /* ... this, */
    const char *name;  /* ... and what errors call it */
};

/* Serves until it is told to stop. Prints why when it cannot start. Returns
 * the exit status. */
int supervisor_run(const struct supervisor_conf *conf);

#endif
