/* SPDX-License-Identifier: BSD-2-Clause */
/* members.h - the kinds of users that need no mode, for their list. */
#ifndef BASCULE_USERS_MEMBERS_H
#define BASCULE_USERS_MEMBERS_H

#include "server/users/users.h"

extern const struct users_ops htpasswd_users;      /* htpasswd.c */
extern const struct users_ops digest_users;        /* digest.c */
extern const struct users_ops certificate_users;   /* certificate_user.c */
extern const struct users_ops jwt_users;           /* jwt_user.c */
extern const struct users_ops ldap_users;          /* ldap_users.c */
extern const struct users_ops trusted_field_users; /* trusted_field.c */

#endif
