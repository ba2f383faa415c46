/* SPDX-License-Identifier: BSD-2-Clause */
/* secrets.c - random bytes, and hashes by OpenSSL. */
#include "config.h"

#include "server/users/secrets.h"

#include <openssl/rand.h>
#include <stdatomic.h>

struct users_secrets users_secrets;

int
users_secrets_make(struct err *err)
{
    struct users_secrets *secrets = &users_secrets;

    if (secrets->sha256 != NULL)
        return 0;
    if (RAND_priv_bytes(secrets->salt, SECRET_BYTES) != 1 ||
        RAND_priv_bytes(secrets->nonce, SECRET_BYTES) != 1)
        return err_set(err, "users: OpenSSL has no random bytes");
    hash_key_random(&secrets->tables);
    secrets->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (secrets->sha256 == NULL)
        return err_set(err, "users: OpenSSL has no SHA-256");
    return 0;
}

unsigned
hash_parts(const EVP_MD *md, const struct slice *parts, unsigned count, unsigned char *out)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = context != NULL && EVP_DigestInit_ex(context, md, NULL) == 1;
    unsigned bytes = 0;

    for (unsigned i = 0; i < count && is_good; i++)
        is_good = EVP_DigestUpdate(context, parts[i].data, parts[i].bytes) == 1;
    if (is_good && EVP_DigestFinal_ex(context, out, &bytes) != 1)
        bytes = 0;
    EVP_MD_CTX_free(context);
    return bytes;
}

uint64_t
users_version_new(void)
{
    static _Atomic uint64_t last;

    return atomic_fetch_add(&last, 1) + 1;
}
