/* SPDX-License-Identifier: BSD-2-Clause */
/* secrets.h - what only this process knows: caches of logins are keyed with it,
 * nonces signed. It is made at the start and ends with the process.
 */
#ifndef BASCULE_USERS_SECRETS_H
#define BASCULE_USERS_SECRETS_H

#include "server/base/err.h"
#include "server/base/hash.h"
#include "server/base/slice.h"

#include <openssl/evp.h>

#define SECRET_BYTES 32

struct users_secrets {
    unsigned char salt[SECRET_BYTES];  /* of what is hashed and never shown */
    unsigned char nonce[SECRET_BYTES]; /* signs what clients are given */
    struct hash_key tables;
    EVP_MD *sha256; /* fetched once: looking it up costs more than using it */
};

/* Read-only once users_start() has returned. */
extern struct users_secrets users_secrets;

/* Fills them, the first time. 0, or -1 with err. */
int users_secrets_make(struct err *err);

/* The hash of all parts, one behind the other, in out[EVP_MAX_MD_SIZE]. Returns its
 * bytes; 0: memory is short. */
unsigned hash_parts(const EVP_MD *md, const struct slice *parts, unsigned count,
                    unsigned char *out);

/* A number that this process has given nobody else: of what a proof was made against, so
 * that nothing is found in a cache that was proved against something older. */
uint64_t users_version_new(void);

#endif
