/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_inside.h - what the files about directories share: only ldap_directory.c and
 * ldap_proof.c look in here.
 */
#ifndef BASCULE_LDAP_INSIDE_H
#define BASCULE_LDAP_INSIDE_H

#include "server/users/ldap_connection.h"

#define LDAP_PASSWORD_BYTES_MAX 1024

/* One password to be proved. */
struct ldap_proof {
    struct ldap_directory *directory;
    const struct ldap_conf *conf;
    struct ldap_connection *connection;
    const char *name, *password;
    uint64_t deadline_ms;
    struct arena *arena; /* of what is found */
    struct slice dn;     /* the user's; NUL-terminated */
    struct user *user;
    int code;            /* of the last answer */
    const char *doing;   /* what it was an answer to, for the log */
};

/* Makes it, over proof->connection. PROOF_FAILED: proof->code and doing say why. */
enum proof ldap_proof_make(struct ldap_proof *proof);

/* The password of bind_dn as its file has it now. */
void ldap_directory_password(struct ldap_directory *directory,
                             char password[LDAP_PASSWORD_BYTES_MAX]);

#endif
