/* SPDX-License-Identifier: BSD-2-Clause */
/* privileges.c - giving up what the worker process does not need. */
#include "config.h"

#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Whom root's worker process becomes when nobody said. */
#define DEFAULT_USER "nobody"

static int
find_user(struct identity *identity, const char *user, struct err *err)
{
    const struct passwd *entry;

    errno = 0;
    entry = getpwnam(user);
    if (entry == NULL && errno != 0)
        return err_errno(err, "user \"%s\" cannot be looked up", user);
    if (entry == NULL)
        return err_set(err, "user \"%s\" does not exist on this machine: name one in \"user\"",
                       user);
    identity->uid = entry->pw_uid;
    identity->gid = entry->pw_gid;
    snprintf(identity->user, sizeof(identity->user), "%s", user);
    return 0;
}

static int
find_group(struct identity *identity, const char *group, struct err *err)
{
    const struct group *entry;

    errno = 0;
    entry = getgrnam(group);
    if (entry == NULL && errno != 0)
        return err_errno(err, "user_group \"%s\" cannot be looked up", group);
    if (entry == NULL)
        return err_set(err, "user_group \"%s\" does not exist on this machine", group);
    identity->gid = entry->gr_gid;
    return 0;
}

int
identity_find(struct identity *identity, const char *user, const char *group, struct err *err)
{
    *identity = (struct identity){ .uid = geteuid(), .gid = getegid() };
    if (geteuid() != 0)
        return 0;
    if (find_user(identity, user != NULL ? user : DEFAULT_USER, err) < 0)
        return -1;
    if (group != NULL && find_group(identity, group, err) < 0)
        return -1;
    identity->is_other = identity->uid != 0;
    return 0;
}

int
identity_assume(const struct identity *identity, struct err *err)
{
    /* What a non-root service was given to bind low ports stays with the supervisor. */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (identity->is_other && (initgroups(identity->user, identity->gid) < 0 ||
                               setresgid(identity->gid, identity->gid, identity->gid) < 0 ||
                               setresuid(identity->uid, identity->uid, identity->uid) < 0))
        return err_errno(err, "cannot become user \"%s\"", identity->user);
    if (identity->is_other && setuid(0) == 0)
        return err_set(err, "user \"%s\" could become root again", identity->user);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, "cannot rule out new privileges");
    return 0;
}
