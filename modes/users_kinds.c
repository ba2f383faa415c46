/* SPDX-License-Identifier: BSD-2-Clause */
/* users_kinds.c - all kinds of users, in the order of the manual. Some ask other
 * servers by way of the modes: so the list is here. */
#include "config.h"

#include "modes/forward_auth.h"
#include "server/users/members.h"

const struct users_ops *const users_kinds[] = {
    &htpasswd_users,
    &digest_users,
    &ldap_users,
    &jwt_users,
    &certificate_users,
    &trusted_field_users,
    &forward_auth_users,
    NULL,
};
