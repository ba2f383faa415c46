/* SPDX-License-Identifier: BSD-2-Clause */
/* password_login.h - users who show a name and a password (Basic, RFC 7617) to
 * something that takes time to say whether it is right: what htpasswd and ldap share.
 *
 *     credentials --> locked? --> cached? --> a thread of the pool: prove() --> mail
 *
 * Equal ones that come while a proof is being made wait for the same one.
 */
#ifndef BASCULE_PASSWORD_LOGIN_H
#define BASCULE_PASSWORD_LOGIN_H

#include "server/users/job_threads.h"
#include "server/users/users.h"

enum proof {
    PROOF_GOOD,
    PROOF_WRONG,   /* wrong password */
    PROOF_UNKNOWN, /* no such user; as far as the client can tell, and in time, the same */
    PROOF_FAILED,  /* could not be made: the other server does not answer, no memory */
};

/* What a kind does itself. */
struct password_check {
    struct job_pool *pool;
    /* On a thread of the pool; users is there meanwhile. user has a name already (which
     * may be set anew); groups and fields go into arena. */
    enum proof (*prove)(const struct users_conf *users, const char *name, const char *password,
                        struct user *user, struct arena *arena);
    /* Of what it proves against (users_version_new()): another one than when a login was
     * cached makes that be forgotten. */
    uint64_t (*version)(const struct users_conf *users);
};

/* The hooks of struct users_ops, but for the first argument of login(). */
enum login_state password_login(const struct password_check *check, const struct users_conf *users,
                                struct login *login, struct exchange *ex);
void password_challenge(const struct users_conf *users, const struct login *login,
                        struct exchange *ex);
void password_cancel(const struct users_conf *users, struct login *login, struct exchange *ex);
void password_strip(const struct users_conf *users, const struct login *login,
                    struct exchange *ex);

/* Logins refused because too many waited. */
uint64_t password_login_busy(void);

#endif
