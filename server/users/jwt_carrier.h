/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_carrier.h - what carries a token in a request: Authorization (RFC 6750 section
 * 2.1), another header field, or a cookie.
 */
#ifndef BASCULE_JWT_CARRIER_H
#define BASCULE_JWT_CARRIER_H

#include "server/users/credentials.h"

/* At most one of them; both NULL: Authorization, or Proxy-Authorization. */
struct jwt_carrier {
    const char *field, *cookie;
};

/* Lends the token. CREDENTIALS_BAD: there are two, and others may take the other one
 * for it, or it is empty. */
enum credentials jwt_carrier_find(const struct jwt_carrier *carrier, const struct login *login,
                                  const struct exchange *ex, struct slice *token);

/* Takes it out of the request, with no more of the other credentials and cookies than
 * that. */
void jwt_carrier_strip(const struct jwt_carrier *carrier, const struct login *login,
                       struct exchange *ex);

#endif
