/* SPDX-License-Identifier: BSD-2-Clause */
/* credentials.h - the fields in which clients prove who they are, and are asked to:
 * RFC 9110 section 11.
 *
 *     Authorization, WWW-Authenticate: of origins; Proxy-...: of proxies
 */
#ifndef BASCULE_CREDENTIALS_H
#define BASCULE_CREDENTIALS_H

#include "server/users/users.h"

enum credentials {
    CREDENTIALS_NONE, /* there are none, or of another scheme */
    CREDENTIALS_BAD,  /* malformed */
    CREDENTIALS_GOOD, /* well-formed */
};

/* Whether value is of this scheme, whatever its case; *rest is what follows it. */
bool credentials_are(struct slice value, struct slice scheme, struct slice *rest);

/* The credentials that the request has for login; empty: none. */
struct slice credentials_of(const struct login *login, const struct exchange *ex);

/* Takes them out if they are of this scheme. Those for a proxy go in any case: they
 * were meant for us. */
void credentials_strip(const struct login *login, struct exchange *ex, struct slice scheme);

/* Adds a challenge to ex->response. Borrows text, which the arena of ex holds. */
void credentials_challenge(const struct login *login, struct exchange *ex, struct slice text);

/* The realm as a quoted-string (section 5.6.4), in ex's arena. */
struct slice credentials_realm(const struct users_conf *users, struct exchange *ex);

/* Takes the next parameter (name = token or quoted-string) off *list; value is
 * without quotes and backslashes, in arena where there were any. CREDENTIALS_NONE:
 * the end. */
enum credentials credentials_next(struct slice *list, struct arena *arena, struct slice *name,
                                  struct slice *value);

/* Name and password of "Basic" credentials (RFC 7617), in arena: UTF-8 without control
 * characters, the password with a NUL behind it. At most USER_NAME_BYTES_MAX and
 * PASSWORD_BYTES_MAX bytes. */
#define PASSWORD_BYTES_MAX 511
enum credentials basic_parse(struct slice value, struct arena *arena, struct slice *name,
                             struct slice *password);

#endif
