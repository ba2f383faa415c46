/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt.c - takes a token apart, in the order in which its parts may be believed.
 *
 *   header --> algorithm ours? --> the one key --> signature --> claims --> times, for whom
 *
 * Nothing of the claims is read before the signature was found good.
 */
#include "config.h"

#include "server/users/jwt.h"

#include "server/base/base64url.h"
#include "server/base/json_strict.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define HEADER_DEPTH_MAX 4
#define CLAIMS_DEPTH_MAX 8
#define KID_BYTES_MAX 256
#define ARENA_BYTES (6u * JWT_BYTES_MAX)
#define TIME_MAX 1e12 /* seconds: far beyond what any clock says, and exact as a double */
#define DER_BYTES_MAX 160 /* of an ECDSA signature with P-521 */

const char *
jwt_verdict_text(enum jwt_verdict verdict)
{
    switch (verdict) {
    case JWT_GOOD:
        return "the token is good";
    case JWT_TOO_LONG:
        return "the token is too long";
    case JWT_MALFORMED:
        return "the token is malformed";
    case JWT_HEADER_REFUSED:
        return "the header of the token has members that are not accepted";
    case JWT_ALGORITHM_REFUSED:
        return "the algorithm of the token is not accepted";
    case JWT_KEY_UNKNOWN:
        return "the key of the token is not known";
    case JWT_KEY_AMBIGUOUS:
        return "the token does not name its key";
    case JWT_KEY_MISMATCH:
        return "the key of the token is not for its algorithm";
    case JWT_SIGNATURE_WRONG:
        return "the signature of the token is wrong";
    case JWT_WITHOUT_EXP:
        return "the token does not say when it expires";
    case JWT_EXPIRED:
        return "the token has expired";
    case JWT_TOO_EARLY:
        return "the token is not valid yet";
    case JWT_ISSUER_WRONG:
        return "the token is not of an accepted issuer";
    case JWT_AUDIENCE_WRONG:
        return "the token is for another audience";
    }
    return "";
}

/* ---- parts */

struct parts {
    struct slice header, claims, signature; /* base64url */
    struct slice signed_part;               /* RFC 7515 section 5.2: header "." claims */
};

static bool
split(struct slice token, struct parts *parts)
{
    ptrdiff_t first = slice_find(token, '.'), second;
    struct slice rest;

    if (first < 0)
        return false;
    rest = slice_skip(token, (size_t)first + 1);
    second = slice_find(rest, '.');
    if (second < 0)
        return false;
    parts->header = slice_make(token.data, (size_t)first);
    parts->claims = slice_make(rest.data, (size_t)second);
    parts->signature = slice_skip(rest, (size_t)second + 1); /* another "." is no base64url */
    parts->signed_part = slice_make(token.data, (size_t)(first + 1 + second));
    return true;
}

static json_t *
read_json(struct arena *arena, struct slice text, unsigned depth_max)
{
    struct slice bytes;

    if (base64url_decode(arena, text, &bytes) < 0)
        return NULL;
    return json_strict_object(bytes, depth_max, NULL);
}

/* ---- the header */

struct head {
    enum jwt_algorithm algorithm;
    struct slice kid; /* data NULL: none; in json */
};

/* RFC 8725 section 3.11: a token says what it is for, if it says so at all. The
 * type is a media type without "application/" (RFC 7515 section 4.1.9). */
static bool
is_accepted_type(const json_t *type)
{
    static const struct slice prefix = SLICE_INIT("application/");
    struct slice text = json_text(type);

    if (type == NULL)
        return true;
    if (text.bytes > prefix.bytes &&
        slice_equal_nocase(slice_make(text.data, prefix.bytes), prefix))
        text = slice_skip(text, prefix.bytes);
    return slice_equal_nocase(text, SLICE("JWT")) || slice_equal_nocase(text, SLICE("at+jwt"));
}

/* RFC 8725 sections 3.10 and 3.12, RFC 7515 section 4.1.11. */
static bool
has_refused_member(const json_t *json)
{
    static const char *const names[] = { "crit", "jwk", "jku", "x5c", "x5u", "b64", "enc", "zip" };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (json_object_get(json, names[i]) != NULL)
            return true;
    return !is_accepted_type(json_object_get(json, "typ"));
}

static enum jwt_verdict
judge_header(const json_t *json, const struct jwt_rules *rules, struct head *head)
{
    const json_t *kid = json_object_get(json, "kid");

    if (has_refused_member(json))
        return JWT_HEADER_REFUSED;
    head->algorithm = jwt_algorithm_named(json_member_text(json, "alg"));
    if (head->algorithm == JWT_ALGORITHM_COUNT ||
        (rules->algorithms & JWT_ALGORITHM_BIT(head->algorithm)) == 0)
        return JWT_ALGORITHM_REFUSED;
    head->kid = json_text(kid);
    if (kid != NULL && (head->kid.data == NULL || head->kid.bytes > KID_BYTES_MAX))
        return JWT_MALFORMED;
    return JWT_GOOD;
}

static enum jwt_verdict
find_key(const struct jwks *jwks, const struct head *head, const struct jwk **key)
{
    switch (jwks_find(jwks, head->kid, head->algorithm, key)) {
    case JWKS_FOUND:
        return JWT_GOOD;
    case JWKS_UNKNOWN:
        return JWT_KEY_UNKNOWN;
    case JWKS_AMBIGUOUS:
        return JWT_KEY_AMBIGUOUS;
    case JWKS_MISMATCH:
        return JWT_KEY_MISMATCH;
    }
    return JWT_KEY_UNKNOWN;
}

/* ---- the signature */

static const struct method {
    const EVP_MD *(*digest)(void); /* NULL: the algorithm has its own */
    bool is_pss;
    uint8_t half_bytes;            /* ECDSA: of r and of s */
} methods[JWT_ALGORITHM_COUNT] = {
    [JWT_RS256] = { EVP_sha256, false, 0 }, [JWT_RS384] = { EVP_sha384, false, 0 },
    [JWT_RS512] = { EVP_sha512, false, 0 }, [JWT_PS256] = { EVP_sha256, true, 0 },
    [JWT_PS384] = { EVP_sha384, true, 0 },  [JWT_PS512] = { EVP_sha512, true, 0 },
    [JWT_ES256] = { EVP_sha256, false, 32 }, [JWT_ES384] = { EVP_sha384, false, 48 },
    [JWT_ES512] = { EVP_sha512, false, 66 }, [JWT_EDDSA] = { NULL, false, 0 },
};

/* RFC 7518 section 3.4: r and s, one behind the other, each of fixed length. OpenSSL
 * wants them as DER. */
static bool
ecdsa_to_der(struct slice *signature, size_t half_bytes, unsigned char der[DER_BYTES_MAX])
{
    const unsigned char *raw = (const unsigned char *)signature->data;
    ECDSA_SIG *pair;
    BIGNUM *r, *s;
    int bytes = 0;

    if (signature->bytes != 2 * half_bytes)
        return false;
    pair = ECDSA_SIG_new();
    r = BN_bin2bn(raw, (int)half_bytes, NULL);
    s = BN_bin2bn(raw + half_bytes, (int)half_bytes, NULL);
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's */
        if (i2d_ECDSA_SIG(pair, NULL) <= DER_BYTES_MAX)
            bytes = i2d_ECDSA_SIG(pair, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    if (bytes <= 0)
        return false;
    *signature = slice_make((const char *)der - bytes, (size_t)bytes); /* der was moved on */
    return true;
}

/* RFC 7518 section 3.5: the salt is as long as the digest, which MGF1 uses, too. */
static bool
set_padding(EVP_PKEY_CTX *context, const struct method *method)
{
    return !method->is_pss ||
           (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static bool
is_signed(const struct jwk *key, enum jwt_algorithm algorithm, struct slice text,
          struct slice signature)
{
    const struct method *method = &methods[algorithm];
    const EVP_MD *digest = method->digest != NULL ? method->digest() : NULL;
    unsigned char der[DER_BYTES_MAX];
    EVP_PKEY_CTX *inner; /* the context's */
    EVP_MD_CTX *context;
    bool is_good;

    if (method->half_bytes > 0 && !ecdsa_to_der(&signature, method->half_bytes, der))
        return false;
    context = EVP_MD_CTX_new();
    is_good = context != NULL &&
              EVP_DigestVerifyInit(context, &inner, digest, NULL, key->pkey) == 1 &&
              set_padding(inner, method) &&
              EVP_DigestVerify(context, (const unsigned char *)signature.data, signature.bytes,
                               (const unsigned char *)text.data, text.bytes) == 1;
    EVP_MD_CTX_free(context);
    return is_good;
}

/* ---- the claims */

/* RFC 7519 section 2, NumericDate: seconds, perhaps with a fraction. 1: read; 0: not
 * there; -1: something else. */
static int
read_time(const json_t *claims, const char *name, int64_t *time_s)
{
    const json_t *json = json_object_get(claims, name);
    double value = json_number_value(json);

    if (json == NULL)
        return 0;
    if (!json_is_number(json) || value > TIME_MAX || value < -TIME_MAX)
        return -1;
    *time_s = (int64_t)value;
    return 1;
}

/* RFC 7519 sections 4.1.4 to 4.1.6. */
static enum jwt_verdict
judge_times(const json_t *claims, const struct jwt_rules *rules, int64_t now_s, int64_t *exp_s)
{
    static const char *const beginnings[] = { "nbf", "iat" };
    int result = read_time(claims, "exp", exp_s);

    if (result < 0)
        return JWT_MALFORMED;
    if (result == 0 && rules->needs_exp)
        return JWT_WITHOUT_EXP;
    if (result == 0)
        *exp_s = INT64_MAX;
    else if (now_s - rules->leeway_s >= *exp_s)
        return JWT_EXPIRED;
    for (size_t i = 0; i < ARRAY_COUNT(beginnings); i++) {
        int64_t from_s;

        result = read_time(claims, beginnings[i], &from_s);
        if (result < 0)
            return JWT_MALFORMED;
        if (result == 1 && from_s > now_s + rules->leeway_s)
            return JWT_TOO_EARLY;
    }
    return JWT_GOOD;
}

/* data NULL is none of them. */
static bool
is_one_of(const struct strings *wanted, struct slice text)
{
    for (size_t i = 0; text.data != NULL && i < wanted->count; i++)
        if (slice_equal(wanted->items[i], text))
            return true;
    return false;
}

/* RFC 7519 section 4.1.3: one name or an array of them, and whoever is not among
 * those that are named must refuse the token. */
static bool
is_for_us(const json_t *aud, const struct strings *audiences)
{
    const json_t *one;
    size_t i;

    if (audiences->count == 0)
        return aud == NULL;
    if (is_one_of(audiences, SLICE("*")) || is_one_of(audiences, json_text(aud)))
        return true;
    json_array_foreach(aud, i, one) {
        if (is_one_of(audiences, json_text(one)))
            return true;
    }
    return false;
}

static enum jwt_verdict
judge_claims(const json_t *claims, const struct jwt_rules *rules, int64_t now_s, int64_t *exp_s)
{
    enum jwt_verdict verdict = judge_times(claims, rules, now_s, exp_s);

    if (verdict != JWT_GOOD)
        return verdict;
    if (rules->issuers.count > 0 && !is_one_of(&rules->issuers, json_member_text(claims, "iss")))
        return JWT_ISSUER_WRONG;
    if (!is_for_us(json_object_get(claims, "aud"), &rules->audiences))
        return JWT_AUDIENCE_WRONG;
    return JWT_GOOD;
}

/* ---- the whole */

static enum jwt_verdict
verify_parts(const struct jwks *jwks, const struct parts *parts, const struct head *head,
             struct arena *arena)
{
    struct slice signature;
    const struct jwk *key;
    enum jwt_verdict verdict = find_key(jwks, head, &key);

    if (verdict != JWT_GOOD)
        return verdict;
    if (base64url_decode(arena, parts->signature, &signature) < 0)
        return JWT_MALFORMED;
    return is_signed(key, head->algorithm, parts->signed_part, signature) ? JWT_GOOD
                                                                          : JWT_SIGNATURE_WRONG;
}

static enum jwt_verdict
verify_signature(const struct jwks *jwks, const struct jwt_rules *rules,
                 const struct parts *parts, struct arena *arena)
{
    json_t *header = read_json(arena, parts->header, HEADER_DEPTH_MAX);
    enum jwt_verdict verdict;
    struct head head;

    if (header == NULL)
        return JWT_MALFORMED;
    verdict = judge_header(header, rules, &head);
    if (verdict == JWT_GOOD)
        verdict = verify_parts(jwks, parts, &head, arena);
    json_decref(header);
    return verdict;
}

static enum jwt_verdict
verify(const struct jwks *jwks, const struct jwt_rules *rules, struct slice token, int64_t now_s,
       struct jwt *jwt, struct arena *arena)
{
    enum jwt_verdict verdict;
    struct parts parts;

    if (!split(token, &parts))
        return JWT_MALFORMED;
    verdict = verify_signature(jwks, rules, &parts, arena);
    if (verdict != JWT_GOOD)
        return verdict;
    jwt->claims = read_json(arena, parts.claims, CLAIMS_DEPTH_MAX);
    if (jwt->claims == NULL)
        return JWT_MALFORMED;
    verdict = judge_claims(jwt->claims, rules, now_s, &jwt->exp_s);
    if (verdict != JWT_GOOD)
        jwt_fini(jwt);
    return verdict;
}

enum jwt_verdict
jwt_verify(const struct jwks *jwks, const struct jwt_rules *rules, struct slice token,
           int64_t now_s, struct jwt *jwt)
{
    enum jwt_verdict verdict;
    struct arena arena;

    *jwt = (struct jwt){ .claims = NULL };
    if (token.bytes > JWT_BYTES_MAX)
        return JWT_TOO_LONG;
    arena_init(&arena, NULL, ARENA_BYTES);
    verdict = verify(jwks, rules, token, now_s, jwt, &arena);
    arena_fini(&arena);
    ERR_clear_error();
    return verdict;
}

void
jwt_fini(struct jwt *jwt)
{
    json_decref(jwt->claims);
    jwt->claims = NULL;
}
