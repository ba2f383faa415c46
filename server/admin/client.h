/* SPDX-License-Identifier: BSD-2-Clause */
/* client.h - a command's end of the control socket. */
#ifndef BASCULE_ADMIN_CLIENT_H
#define BASCULE_ADMIN_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/err.h"

struct control_reply {
    bool is_ok;
    char *text; /* ends with a NUL; free() it */
    size_t bytes;
};

/* Asks one thing of the daemon whose control socket is at path, and waits for
 * the whole answer, for wait_s seconds between two pieces of it (0: as long as
 * it takes). 0, or -1 when there is nobody to answer. */
int control_ask(const char *path, const char *request, unsigned wait_s,
                struct control_reply *reply, struct err *err);

#endif
