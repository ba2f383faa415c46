/* SPDX-License-Identifier: BSD-2-Clause */
/* apr1.h - Apache's MD5 hash of passwords: "$apr1$SALT$HASH". Weak by now, but what
 * htpasswd makes when it is not told otherwise.
 */
#ifndef BASCULE_APR1_H
#define BASCULE_APR1_H

#include <stdbool.h>

#define APR1_PREFIX "$apr1$"
#define APR1_SALT_BYTES_MAX 8
#define APR1_BYTES (6 + APR1_SALT_BYTES_MAX + 1 + 22 + 1)

/* Hashes password with the salt of hash (checked before) into made[APR1_BYTES]. False
 * when OpenSSL cannot: no memory, or MD5 is forbidden. */
bool apr1_hash(char *made, const char *hash, const char *password);

#endif
