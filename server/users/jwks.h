/* SPDX-License-Identifier: BSD-2-Clause */
/* jwks.h - public keys as issuers of tokens publish them (RFC 7517).
 *
 * A set is read once, checked, and never changes: threads share it by reference.
 */
#ifndef BASCULE_JWKS_H
#define BASCULE_JWKS_H

#include <openssl/evp.h>

#include "server/base/err.h"
#include "server/base/slice.h"

/* RFC 7518 section 3.1 and RFC 8037; those with a shared secret are not here, so
 * that nobody can take a public key for one. */
enum jwt_algorithm {
    JWT_RS256, JWT_RS384, JWT_RS512,
    JWT_PS256, JWT_PS384, JWT_PS512,
    JWT_ES256, JWT_ES384, JWT_ES512,
    JWT_EDDSA, /* with Ed25519 */
    JWT_ALGORITHM_COUNT,
};

#define JWT_ALGORITHM_BIT(algorithm) (1u << (algorithm))

/* "RS256" and so on, NULL-terminated, in the order above. */
extern const char *const jwt_algorithm_words[];

/* The algorithm of that name, in its one spelling; JWT_ALGORITHM_COUNT: none. */
enum jwt_algorithm jwt_algorithm_named(struct slice name);

/* What a key is; each algorithm needs one kind. */
enum jwt_key_kind { JWT_KEY_RSA, JWT_KEY_P256, JWT_KEY_P384, JWT_KEY_P521, JWT_KEY_ED25519 };

enum jwt_key_kind jwt_algorithm_key_kind(enum jwt_algorithm algorithm);

#define JWKS_BYTES_MAX (256u * 1024)
#define JWKS_KEYS_MAX 64

struct jwk {
    struct slice kid;               /* data NULL: it has none */
    enum jwt_key_kind kind;
    enum jwt_algorithm algorithm;   /* that it is for; JWT_ALGORITHM_COUNT: any of its kind */
    EVP_PKEY *pkey;
};

struct jwks {
    _Atomic unsigned references;
    uint64_t id; /* no other set of this process has or ever had it */
    unsigned count;
    struct jwk keys[JWKS_KEYS_MAX];
};

/* Reads a document. Keys that are of no use here are passed over (RFC 7517
 * section 5): for encryption, of unknown types. What is wrong with one that
 * could be of use is an error, two that cannot be told apart are, and so is a set
 * without any. NULL with err. Give back with jwks_unref(). */
struct jwks *jwks_parse(struct slice json, struct err *err) MUST_USE;

struct jwks *jwks_ref(struct jwks *jwks);
void jwks_unref(struct jwks *jwks); /* NULL is fine */

/* Whether both hold the same keys, in the same order, for the same uses. */
bool jwks_equal(const struct jwks *a, const struct jwks *b);

enum jwks_finding {
    JWKS_FOUND,
    JWKS_UNKNOWN,   /* no key of that name: perhaps the issuer has new ones */
    JWKS_AMBIGUOUS, /* the token names none, and there are several */
    JWKS_MISMATCH,  /* the one it names is not for this algorithm */
};

/* The one key for a token that names kid (data NULL: none). A set of a single key
 * without a name serves whatever tokens call it. */
enum jwks_finding jwks_find(const struct jwks *jwks, struct slice kid,
                            enum jwt_algorithm algorithm, const struct jwk **key);

#endif
