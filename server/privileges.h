/* SPDX-License-Identifier: BSD-2-Clause */
/* privileges.h - who the worker process runs as. */
#ifndef BASCULE_PRIVILEGES_H
#define BASCULE_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "server/base/err.h"

struct identity {
    bool is_other; /* than who we are: to be assumed */
    uid_t uid;
    gid_t gid;
    char user[256];
};

/* Looks up a user and a group, as the configuration names them; either may be
 * NULL: nobody, and the user's own group. Only root can become somebody else: for
 * others nothing is looked up.
 * 0, or -1 when there is no such user. */
int identity_find(struct identity *identity, const char *user, const char *group,
                  struct err *err);

/* Becomes that user for good, without capabilities and without a way to new
 * ones. In a child, before exec. 0 or -1. */
int identity_assume(const struct identity *identity, struct err *err) MUST_USE;

#endif
