/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt.h - whether a signed token (RFC 7515, RFC 7519) is good: bytes, keys and a
 * time in, a verdict out.
 *
 * The algorithms are the operator's choice, never the token's (RFC 8725 section
 * 3.1), and keys come from the operator's set alone: a token that brings its own,
 * says where to fetch it, or has extensions that must be understood is refused.
 */
#ifndef BASCULE_JWT_H
#define BASCULE_JWT_H

#include <jansson.h>

#include "server/config/option.h"
#include "server/users/jwks.h"

#define JWT_BYTES_MAX 8192u

/* What is demanded of tokens. */
struct jwt_rules {
    unsigned algorithms;      /* JWT_ALGORITHM_BIT()s */
    struct strings issuers;   /* one of them; none: any */
    struct strings audiences; /* one of them, or "*"; none: the token must name none */
    bool needs_exp;
    int64_t leeway_s;
};

enum jwt_verdict {
    JWT_GOOD,
    JWT_TOO_LONG,
    JWT_MALFORMED,         /* not three parts of base64url, not JSON, members twice ... */
    JWT_HEADER_REFUSED,    /* crit, jwk, jku, x5c, x5u, or a type that is for something else */
    JWT_ALGORITHM_REFUSED, /* not one of ours: "none", HS256 ... */
    JWT_KEY_UNKNOWN,       /* perhaps the issuer has new ones */
    JWT_KEY_AMBIGUOUS,
    JWT_KEY_MISMATCH,
    JWT_SIGNATURE_WRONG,
    JWT_WITHOUT_EXP,
    JWT_EXPIRED,
    JWT_TOO_EARLY,         /* nbf or iat is still to come */
    JWT_ISSUER_WRONG,
    JWT_AUDIENCE_WRONG,
};

/* A few words for logs and challenges; static, without quotes. */
const char *jwt_verdict_text(enum jwt_verdict verdict);

/* A token that was found good. */
struct jwt {
    json_t *claims;
    int64_t exp_s; /* since 1970; INT64_MAX: it never ends */
};

/* Judges the compact form of a token. JWT_GOOD fills *jwt, which is the caller's:
 * jwt_fini(). Leaves OpenSSL's errors empty. From any thread. */
enum jwt_verdict jwt_verify(const struct jwks *jwks, const struct jwt_rules *rules,
                            struct slice token, int64_t now_s, struct jwt *jwt) MUST_USE;

void jwt_fini(struct jwt *jwt);

#endif
