/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_text.h - puts names into search filters and distinguished names so that they
 * stay names.
 */
#ifndef BASCULE_LDAP_TEXT_H
#define BASCULE_LDAP_TEXT_H

#include "server/base/arena.h"
#include "server/base/err.h"

enum ldap_quoting {
    LDAP_IN_FILTER, /* RFC 4515 section 3: "\2a" */
    LDAP_IN_DN,     /* RFC 4514 section 2.4: the same form, for other letters */
};

/* What stands for "%u" (the user's name) and "%d" (a distinguished name; data NULL:
 * there is none yet) in a template; "%%" is "%". */
struct ldap_values {
    struct slice user, dn;
};

/* Checks a template that may have those of letters ("u", "ud") and must have the first of
 * them. 0, or -1 with err. */
int ldap_template_check(const char *text, const char *letters, struct err *err);

/* The template with values in the place of letters, quoted so that nothing in them has a
 * meaning of its own. NUL-terminated; empty when the arena is spent. */
struct slice ldap_template_fill(const char *text, const struct ldap_values *values,
                                enum ldap_quoting quoting, struct arena *arena);

#endif
