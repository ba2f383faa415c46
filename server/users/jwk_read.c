/* SPDX-License-Identifier: BSD-2-Clause */
/* jwk_read.c - checks the numbers of a key and hands them to OpenSSL.
 *
 *   of use? --> numbers from base64url --> checked --> EVP_PKEY --> what it is for
 *
 * Whether a point lies on its curve is OpenSSL's to say; how long numbers must be
 * and how weak an RSA key may be is said here.
 */
#include "config.h"

#include "server/users/jwk_read.h"

#include "server/base/base64url.h"
#include "server/base/json_strict.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#define KID_BYTES_MAX 256
#define RSA_BITS_MIN 2048 /* RFC 7518 section 3.3 */
#define RSA_BITS_MAX 8192 /* what is longer costs a verification more than it is worth */
#define RSA_EXPONENT_BYTES_MAX 8
#define POINT_BYTES_MAX 66
#define ED25519_BYTES 32

static const struct curve {
    const char *jwk, *openssl;
    enum jwt_key_kind kind;
    size_t bytes; /* of a coordinate */
} curves[] = {
    { "P-256", "P-256", JWT_KEY_P256, 32 },
    { "P-384", "P-384", JWT_KEY_P384, 48 },
    { "P-521", "P-521", JWT_KEY_P521, 66 },
};

/* ---- members of one key */

struct reading {
    const json_t *json;  /* the key */
    struct arena *arena;
    struct err *err;
};

static int
read_bytes(const struct reading *reading, const char *name, struct slice *bytes)
{
    struct slice text = json_member_text(reading->json, name);

    if (text.data == NULL)
        return err_set(reading->err, "\"%s\" is missing, or not a string", name);
    if (base64url_decode(reading->arena, text, bytes) < 0)
        return err_set(reading->err, "\"%s\" is not base64url (RFC 7515 section 2)", name);
    return 0;
}

static int
read_exact(const struct reading *reading, const char *name, size_t wanted, struct slice *bytes)
{
    if (read_bytes(reading, name, bytes) < 0)
        return -1;
    if (bytes->bytes == wanted)
        return 0;
    return err_set(reading->err, "\"%s\" has %zu bytes, not %zu", name, bytes->bytes, wanted);
}

/* ---- OpenSSL's keys */

static EVP_PKEY *
make_key(const char *type, OSSL_PARAM_BLD *builder)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static bool
is_sound(EVP_PKEY *key)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool is_good = context != NULL && EVP_PKEY_public_check(context) == 1;

    EVP_PKEY_CTX_free(context);
    return is_good;
}

static BIGNUM *
number(struct slice bytes)
{
    return BN_bin2bn((const unsigned char *)bytes.data, (int)bytes.bytes, NULL);
}

static EVP_PKEY *
make_rsa(struct slice n, struct slice e)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = number(n), *exponent = number(e);
    EVP_PKEY *key = NULL;

    if (builder != NULL && modulus != NULL && exponent != NULL &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = make_key("RSA", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/* An even or tiny exponent lets anything pass for a signature. */
static bool
is_good_exponent(struct slice e)
{
    bool is_one = true;

    if (e.bytes == 0 || e.bytes > RSA_EXPONENT_BYTES_MAX || (e.data[e.bytes - 1] & 1) == 0)
        return false;
    for (size_t i = 0; i < e.bytes; i++)
        is_one &= e.data[i] == (i + 1 == e.bytes);
    return !is_one;
}

static int
read_rsa(const struct reading *reading, EVP_PKEY **key)
{
    struct slice n, e;
    int bits;

    if (read_bytes(reading, "n", &n) < 0 || read_bytes(reading, "e", &e) < 0)
        return -1;
    if (!is_good_exponent(e))
        return err_set(reading->err, "\"e\" is no exponent that would be accepted: odd, at least "
                                     "3, and at most %d bytes", RSA_EXPONENT_BYTES_MAX);
    if (n.bytes > RSA_BITS_MAX / 8 + 1 || (*key = make_rsa(n, e)) == NULL)
        return err_set(reading->err, "\"n\" is no modulus that OpenSSL takes");
    bits = EVP_PKEY_get_bits(*key);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return err_set(reading->err, "has %d bits: %d to %d would be accepted", bits, RSA_BITS_MIN,
                       RSA_BITS_MAX);
    return 0;
}

static EVP_PKEY *
make_ec(const struct curve *curve, struct slice x, struct slice y)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    unsigned char point[1 + 2 * POINT_BYTES_MAX] = { 4 }; /* uncompressed: SEC 1 section 2.3.3 */
    EVP_PKEY *key = NULL;

    memcpy(point + 1, x.data, x.bytes);
    memcpy(point + 1 + x.bytes, y.data, y.bytes);
    if (builder != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curve->openssl, 0) ==
            1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + x.bytes + y.bytes) == 1)
        key = make_key("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static int
read_ec(const struct reading *reading, const struct curve *curve, EVP_PKEY **key)
{
    struct slice x, y;

    if (read_exact(reading, "x", curve->bytes, &x) < 0 ||
        read_exact(reading, "y", curve->bytes, &y) < 0)
        return -1;
    *key = make_ec(curve, x, y);
    if (*key == NULL || !is_sound(*key))
        return err_set(reading->err, "its point is not on the curve %s", curve->jwk);
    return 0;
}

static int
read_ed25519(const struct reading *reading, EVP_PKEY **key)
{
    struct slice x;

    if (read_exact(reading, "x", ED25519_BYTES, &x) < 0)
        return -1;
    *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.data,
                                       x.bytes);
    return *key != NULL ? 0 : err_set(reading->err, "\"x\" is no key of Ed25519");
}

/* ---- one key */

/* RFC 7517 sections 4.2 and 4.3: for signatures, and to verify them. */
static bool
is_for_signatures(const json_t *json)
{
    const json_t *use = json_object_get(json, "use"), *ops = json_object_get(json, "key_ops");
    const json_t *op;
    size_t i;

    if (use != NULL && !slice_equal(json_text(use), SLICE("sig")))
        return false;
    if (ops == NULL)
        return true;
    json_array_foreach(ops, i, op) {
        if (slice_equal(json_text(op), SLICE("verify")))
            return true;
    }
    return false;
}

/* 1: the key is read; 0: it is of no use here; -1: something is wrong with it. */
static int
read_pkey(const struct reading *reading, struct jwk *key)
{
    struct slice kty = json_member_text(reading->json, "kty");
    struct slice crv = json_member_text(reading->json, "crv");

    if (slice_equal(kty, SLICE("RSA"))) {
        key->kind = JWT_KEY_RSA;
        return read_rsa(reading, &key->pkey) < 0 ? -1 : 1;
    }
    if (slice_equal(kty, SLICE("OKP")) && slice_equal(crv, SLICE("Ed25519"))) {
        key->kind = JWT_KEY_ED25519;
        return read_ed25519(reading, &key->pkey) < 0 ? -1 : 1;
    }
    for (size_t i = 0; slice_equal(kty, SLICE("EC")) && i < ARRAY_COUNT(curves); i++) {
        if (!slice_equal(crv, slice_of(curves[i].jwk)))
            continue;
        key->kind = curves[i].kind;
        return read_ec(reading, &curves[i], &key->pkey) < 0 ? -1 : 1;
    }
    return 0;
}

static int
read_kid(const struct reading *reading, struct jwk *key)
{
    const json_t *json = json_object_get(reading->json, "kid");
    struct slice kid = json_text(json);
    char *copy;

    if (json == NULL)
        return 0;
    if (kid.data == NULL || kid.bytes > KID_BYTES_MAX)
        return err_set(reading->err, "\"kid\" is not a string of at most %d bytes",
                       KID_BYTES_MAX);
    copy = malloc(kid.bytes + 1);
    if (copy == NULL)
        return err_set(reading->err, "out of memory");
    memcpy(copy, kid.data, kid.bytes + 1);
    key->kid = slice_make(copy, kid.bytes);
    return 0;
}

/* 1, 0 or -1 as above. RFC 7517 section 4.4: what a key is for is fixed. */
static int
read_algorithm(const struct reading *reading, struct jwk *key)
{
    const json_t *json = json_object_get(reading->json, "alg");

    key->algorithm = JWT_ALGORITHM_COUNT;
    if (json == NULL)
        return 1;
    key->algorithm = jwt_algorithm_named(json_text(json));
    if (key->algorithm == JWT_ALGORITHM_COUNT)
        return 0; /* for encryption, or something we do not do */
    if (jwt_algorithm_key_kind(key->algorithm) != key->kind)
        return err_set(reading->err, "\"alg\" is %s, which a key of this type is not for",
                       jwt_algorithm_words[key->algorithm]);
    return 1;
}

void
jwk_fini(struct jwk *key)
{
    free((char *)key->kid.data);
    EVP_PKEY_free(key->pkey);
    *key = (struct jwk){ .pkey = NULL };
}

int
jwk_read(const json_t *json, struct arena *arena, struct jwk *key, struct err *err)
{
    const struct reading reading = { json, arena, err };
    int result;

    *key = (struct jwk){ .pkey = NULL };
    if (!json_is_object(json))
        return err_set(err, "is not an object");
    if (!is_for_signatures(json))
        return 0;
    result = read_pkey(&reading, key);
    if (result == 1)
        result = read_algorithm(&reading, key);
    if (result == 1 && read_kid(&reading, key) < 0)
        result = -1;
    if (result != 1)
        jwk_fini(key);
    return result;
}
