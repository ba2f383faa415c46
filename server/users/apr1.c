/* SPDX-License-Identifier: BSD-2-Clause */
/* apr1.c - the MD5-based crypt of FreeBSD with Apache's magic word.
 *
 * A first digest of password, word and salt is stirred with another of password, salt,
 * password; then a thousand rounds, each of a different order of digest, password and
 * salt.
 */
#include "config.h"

#include "server/users/apr1.h"

#include "server/base/must.h"
#include "server/base/slice.h"

#include <openssl/evp.h>
#include <stdint.h>

#define ROUNDS 1000
#define MD5_BYTES 16

/* A digest being made; is_good is false from the first failure on. */
struct digest {
    EVP_MD_CTX *context;
    EVP_MD *md;
    bool is_good;
};

static void
begin(struct digest *d)
{
    d->is_good = d->is_good && EVP_DigestInit_ex(d->context, d->md, NULL) == 1;
}

static void
add(struct digest *d, const void *data, size_t bytes)
{
    d->is_good = d->is_good && EVP_DigestUpdate(d->context, data, bytes) == 1;
}

static void
end(struct digest *d, unsigned char out[MD5_BYTES])
{
    d->is_good = d->is_good && EVP_DigestFinal_ex(d->context, out, NULL) == 1;
}

static void
first_digest(struct digest *d, struct slice password, struct slice salt,
             unsigned char out[MD5_BYTES])
{
    unsigned char inner[MD5_BYTES];

    begin(d);
    add(d, password.data, password.bytes);
    add(d, salt.data, salt.bytes);
    add(d, password.data, password.bytes);
    end(d, inner);
    begin(d);
    add(d, password.data, password.bytes);
    add(d, APR1_PREFIX, sizeof(APR1_PREFIX) - 1);
    add(d, salt.data, salt.bytes);
    for (size_t left = password.bytes; left > 0; left -= left < MD5_BYTES ? left : MD5_BYTES)
        add(d, inner, left < MD5_BYTES ? left : MD5_BYTES);
    for (size_t bits = password.bytes; bits > 0; bits >>= 1)
        add(d, bits & 1 ? "" : password.data, 1); /* a NUL, or the first letter */
    end(d, out);
}

static void
stir(struct digest *d, struct slice password, struct slice salt, unsigned char out[MD5_BYTES])
{
    for (unsigned i = 0; i < ROUNDS && d->is_good; i++) {
        begin(d);
        add(d, i & 1 ? password.data : (char *)out, i & 1 ? password.bytes : MD5_BYTES);
        if (i % 3 != 0)
            add(d, salt.data, salt.bytes);
        if (i % 7 != 0)
            add(d, password.data, password.bytes);
        add(d, i & 1 ? (char *)out : password.data, i & 1 ? MD5_BYTES : password.bytes);
        end(d, out);
    }
}

static char *
put_hash64(char *at, uint32_t bits, unsigned letters)
{
    static const char alphabet[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (; letters > 0; letters--, bits >>= 6)
        *at++ = alphabet[bits & 63];
    return at;
}

static void
write_hash(char *made, struct slice salt, const unsigned char digest[MD5_BYTES])
{
    char *at = mempcpy(made, APR1_PREFIX, sizeof(APR1_PREFIX) - 1);

    at = mempcpy(at, salt.data, salt.bytes);
    *at++ = '$';
    for (unsigned i = 0; i < 5; i++) /* bytes 0, 6, 12; 1, 7, 13; ... 4, 10, 5 */
        at = put_hash64(at, (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 6] << 8 |
                                digest[i == 4 ? 5 : i + 12], 4);
    at = put_hash64(at, digest[11], 2);
    *at = '\0';
}

bool
apr1_hash(char *made, const char *hash, const char *password)
{
    struct slice rest = slice_skip(slice_of(hash), sizeof(APR1_PREFIX) - 1);
    struct slice salt = { rest.data, (size_t)slice_find(rest, '$') };
    struct digest d = { .context = EVP_MD_CTX_new(), .md = EVP_MD_fetch(NULL, "MD5", NULL) };
    unsigned char digest[MD5_BYTES];

    must(salt.bytes <= APR1_SALT_BYTES_MAX);
    d.is_good = d.context != NULL && d.md != NULL;
    first_digest(&d, slice_of(password), salt, digest);
    stir(&d, slice_of(password), salt, digest);
    if (d.is_good)
        write_hash(made, salt, digest);
    EVP_MD_CTX_free(d.context);
    EVP_MD_free(d.md);
    return d.is_good;
}
