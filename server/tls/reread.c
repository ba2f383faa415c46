/* SPDX-License-Identifier: BSD-2-Clause */
/* reread.c - compares what the kernel says of the files with what it said. */
#include "config.h"

#include "server/tls/reread.h"

#include "server/base/log.h"

#include <pthread.h>

/* Files of folders that we may not look into are read every so often. */
#define BLIND_LOOKS 10

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the list, and of who is on it */
static struct list all = { &all, &all };

void
reread_add(struct reread *reread)
{
    for (unsigned i = 0; i < REREAD_PATHS; i++)
        if (reread->paths[i] != NULL)
            file_state_take(&reread->states[i], reread->paths[i]);
    pthread_mutex_lock(&lock);
    list_push_back(&all, &reread->link);
    pthread_mutex_unlock(&lock);
}

void
reread_drop(struct reread *reread)
{
    pthread_mutex_lock(&lock);
    list_remove(&reread->link);
    pthread_mutex_unlock(&lock);
}

static bool
is_due(struct reread *reread)
{
    static const struct file_state unknown;
    bool has_changed = false, is_blind = false;

    for (unsigned i = 0; i < REREAD_PATHS; i++) {
        struct file_state state;

        if (reread->paths[i] == NULL)
            continue;
        file_state_take(&state, reread->paths[i]);
        is_blind |= file_state_equal(&state, &unknown);
        has_changed |= !file_state_equal(&state, &reread->states[i]);
        reread->states[i] = state;
    }
    if (!is_blind || has_changed) {
        reread->looks = 0;
        return has_changed;
    }
    reread->looks = (reread->looks + 1) % BLIND_LOOKS;
    return reread->looks == 0;
}

void
reread_look(void)
{
    struct err err;

    pthread_mutex_lock(&lock);
    list_each(link, &all) {
        struct reread *reread = container_of(link, struct reread, link);

        if (!is_due(reread))
            continue;
        switch (reread->reload(reread, &err)) {
        case 1:
            log_info("%s%s%s: has changed: what is new in it is used from now on",
                     reread->paths[0], reread->paths[1] != NULL ? " or " : "",
                     reread->paths[1] != NULL ? reread->paths[1] : "");
            break;
        case -1:
            log_error("%s: what was there before is still used", err.text);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}
