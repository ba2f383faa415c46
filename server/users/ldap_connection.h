/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_connection.h - one connection to a directory, for one thread at a time: what
 * libldap does, with an end to every wait.
 *
 * Functions return LDAP result codes (RFC 4511 section 4.1.9), or libldap's own for
 * what went wrong before; deadlines are monotonic milliseconds.
 */
#ifndef BASCULE_LDAP_CONNECTION_H
#define BASCULE_LDAP_CONNECTION_H

#include <ldap.h>

#include "server/base/list.h"
#include "server/users/ldap_directory.h"

struct ldap_connection {
    struct list link;       /* of its directory, while nobody uses it */
    LDAP *ld;
    uint64_t idle_since_ms; /* 0: it is new */
    bool is_service;        /* bound as who searches */
};

/* Whether the connection is of no more use after this. */
bool ldap_code_is_fatal(int code);

/* Makes one: TLS is begun, nobody is bound. NULL with *code. */
struct ldap_connection *ldap_connection_open(const struct ldap_conf *conf, uint64_t deadline_ms,
                                             int *code);
void ldap_connection_close(struct ldap_connection *connection);

/* A simple bind; dn and password both empty: as nobody. */
int ldap_connection_bind(struct ldap_connection *connection, const char *dn, const char *password,
                         uint64_t deadline_ms);

struct ldap_question {
    const char *base, *filter;
    int scope;             /* LDAP_SCOPE_... */
    const char *attribute; /* that is wanted of what is found */
    int entries_max;
};

/* LDAP_SUCCESS fills *result, to be ended with ldap_msgfree(); its entries are what was
 * found: no referrals, which are never followed. */
int ldap_connection_search(struct ldap_connection *connection, const struct ldap_question *question,
                           uint64_t deadline_ms, LDAPMessage **result);

#endif
