/* SPDX-License-Identifier: BSD-2-Clause */
/* forward_auth.h - users whom another server knows: each request is shown to it, and
 * goes on if it says 2xx. What it says instead (log in there, you may not) goes to the
 * client. Without its answer nobody gets in.
 */
#ifndef BASCULE_FORWARD_AUTH_H
#define BASCULE_FORWARD_AUTH_H

#include "server/users/users.h"

extern const struct users_ops forward_auth_users;

#endif
