/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_fixture.h - issuers of tokens for tests: keys made here, documents that publish
 * them, and tokens signed with them, good or crooked as wanted.
 *
 * Memory is that of the fixture's arena. For one test program: everything is static.
 */
#ifndef BASCULE_JWT_FIXTURE_H
#define BASCULE_JWT_FIXTURE_H

#include "server/base/base64url.h"
#include "server/users/jwks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdio.h>

static struct arena jwt_arena;

static inline EVP_PKEY *
jwt_make_key(enum jwt_key_kind kind)
{
    switch (kind) {
    case JWT_KEY_RSA:
        return EVP_RSA_gen(2048);
    case JWT_KEY_P256:
        return EVP_EC_gen("P-256");
    case JWT_KEY_P384:
        return EVP_EC_gen("P-384");
    case JWT_KEY_P521:
        return EVP_EC_gen("P-521");
    case JWT_KEY_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    return NULL;
}

/* One for each kind, made once. */
static inline EVP_PKEY *
jwt_key(enum jwt_key_kind kind)
{
    static EVP_PKEY *keys[JWT_KEY_ED25519 + 1];

    must((size_t)kind < sizeof(keys) / sizeof(keys[0]));
    if (keys[kind] == NULL)
        keys[kind] = jwt_make_key(kind);
    must(keys[kind] != NULL);
    return keys[kind];
}

/* ---- documents */

/* bytes 0: as many as it takes. */
static inline const char *
jwt_number(EVP_PKEY *key, const char *name, size_t bytes)
{
    unsigned char raw[1024];
    BIGNUM *number = NULL;

    must(EVP_PKEY_get_bn_param(key, name, &number) == 1);
    if (bytes == 0)
        bytes = (size_t)BN_num_bytes(number);
    must(BN_bn2binpad(number, raw, (int)bytes) == (int)bytes);
    BN_free(number);
    return base64url_encode(&jwt_arena, slice_make((char *)raw, bytes)).data;
}

static inline const char *
jwt_ec_members(EVP_PKEY *key, const char *curve, size_t bytes)
{
    return arena_printf(&jwt_arena,
                        "\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"", curve,
                        jwt_number(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes),
                        jwt_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes)).data;
}

/* The members of a key that say what it is. */
static inline const char *
jwt_members(EVP_PKEY *key, enum jwt_key_kind kind)
{
    unsigned char raw[32];
    size_t bytes = sizeof(raw);

    switch (kind) {
    case JWT_KEY_RSA:
        return arena_printf(&jwt_arena, "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"",
                            jwt_number(key, OSSL_PKEY_PARAM_RSA_N, 0),
                            jwt_number(key, OSSL_PKEY_PARAM_RSA_E, 0)).data;
    case JWT_KEY_P256:
        return jwt_ec_members(key, "P-256", 32);
    case JWT_KEY_P384:
        return jwt_ec_members(key, "P-384", 48);
    case JWT_KEY_P521:
        return jwt_ec_members(key, "P-521", 66);
    case JWT_KEY_ED25519:
        break;
    }
    must(EVP_PKEY_get_raw_public_key(key, raw, &bytes) == 1);
    return arena_printf(&jwt_arena, "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"",
                        base64url_encode(&jwt_arena, slice_make((char *)raw, bytes)).data).data;
}

/* A set of one key of that kind; more: other members of it, each with a comma before. */
static inline struct slice
jwt_document(enum jwt_key_kind kind, const char *more)
{
    return arena_printf(&jwt_arena, "{\"keys\":[{%s%s}]}", jwt_members(jwt_key(kind), kind), more);
}

/* ---- tokens */

/* DER to r and s of fixed length: RFC 7518 section 3.4. */
static inline struct slice
jwt_raw_ecdsa(const unsigned char *der, size_t der_bytes, size_t half_bytes)
{
    char *raw = arena_alloc(&jwt_arena, 2 * half_bytes);
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)der_bytes);

    must(raw != NULL && pair != NULL);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), (unsigned char *)raw, (int)half_bytes);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), (unsigned char *)raw + half_bytes, (int)half_bytes);
    ECDSA_SIG_free(pair);
    return slice_make(raw, 2 * half_bytes);
}

static inline struct slice
jwt_signature(EVP_PKEY *key, enum jwt_algorithm algorithm, struct slice text)
{
    static const char *const digests[] = { "SHA256", "SHA384", "SHA512" };
    static const size_t halves[] = { 32, 48, 66 };
    const char *digest = algorithm == JWT_EDDSA ? NULL : digests[algorithm % 3];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char *out = arena_alloc(&jwt_arena, 1024);
    EVP_PKEY_CTX *inner;
    size_t bytes = 1024;

    must(EVP_DigestSignInit_ex(context, &inner, digest, NULL, NULL, key, NULL) == 1);
    if (algorithm >= JWT_PS256 && algorithm <= JWT_PS512) {
        EVP_PKEY_CTX_set_rsa_padding(inner, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(inner, RSA_PSS_SALTLEN_DIGEST);
    }
    must(EVP_DigestSign(context, out, &bytes, (const unsigned char *)text.data, text.bytes) == 1);
    EVP_MD_CTX_free(context);
    if (algorithm >= JWT_ES256 && algorithm <= JWT_ES512)
        return jwt_raw_ecdsa(out, bytes, halves[algorithm - JWT_ES256]);
    return slice_make((char *)out, bytes);
}

static inline struct slice
jwt_join(const char *header, const char *claims)
{
    return arena_printf(&jwt_arena, "%s.%s", base64url_encode(&jwt_arena, slice_of(header)).data,
                        base64url_encode(&jwt_arena, slice_of(claims)).data);
}

/* Signed with that key and algorithm, whatever the header says. */
static inline struct slice
jwt_sign(EVP_PKEY *key, enum jwt_algorithm algorithm, const char *header, const char *claims)
{
    struct slice text = jwt_join(header, claims);

    return arena_printf(&jwt_arena, "%s.%s", text.data,
                        base64url_encode(&jwt_arena, jwt_signature(key, algorithm, text)).data);
}

/* The usual: a header that says what is so; more: its other members. */
static inline struct slice
jwt_token(enum jwt_algorithm algorithm, const char *more, const char *claims)
{
    const char *header = arena_printf(&jwt_arena, "{\"alg\":\"%s\"%s}",
                                      jwt_algorithm_words[algorithm], more).data;

    return jwt_sign(jwt_key(jwt_algorithm_key_kind(algorithm)), algorithm, header, claims);
}

#endif
