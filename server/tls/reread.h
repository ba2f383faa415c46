/* SPDX-License-Identifier: BSD-2-Clause */
/* reread.h - the few files besides certificates that are read again when they
 * change: keys of tickets, who may vouch for clients, lists of revoked ones.
 *
 * The helper thread of certificates looks at them every second.
 */
#ifndef BASCULE_REREAD_H
#define BASCULE_REREAD_H

#include "server/base/list.h"
#include "server/certificates/certificate_load.h"

#define REREAD_PATHS 2

/* Embedded by who has such files. */
struct reread {
    struct list link;
    const char *paths[REREAD_PATHS]; /* borrowed; NULL: none */
    struct file_state states[REREAD_PATHS];
    unsigned looks; /* since a file that cannot be looked at was last read */
    /* Reads them again, on the helper thread and under a lock that reread_drop()
     * takes: 1: something new; 0: as before; -1 with err: what was there stays. */
    int (*reload)(struct reread *reread, struct err *err);
};

/* Takes note of the files' state: call it before they are read. From any thread. */
void reread_add(struct reread *reread);
void reread_drop(struct reread *reread);

/* Looks at all of them. On the helper thread. */
void reread_look(void);

#endif
