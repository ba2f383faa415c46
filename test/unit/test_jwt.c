/* SPDX-License-Identifier: BSD-2-Clause */
/* test_jwt.c - which tokens are believed, and that no other ever is (RFC 7515, 7519,
 * 8037, 8725).
 */
#include "config.h"

#include "server/users/jwt.h"

#include "jwt_fixture.h"
#include "server/base/must.h"

#include <CUnit/CUnit.h>
#include <openssl/err.h>
#include <openssl/hmac.h>

void suite_jwt(void);

#define NOW 1700000000
#define GOOD_CLAIMS "{\"sub\":\"ann\",\"exp\":1700000300}"

static struct jwt_rules rules;

static int
set_up(void)
{
    arena_init(&jwt_arena, NULL, 8 << 20);
    rules = (struct jwt_rules){ .algorithms = (1u << JWT_ALGORITHM_COUNT) - 1, .needs_exp = true,
                                .leeway_s = 60 };
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&jwt_arena);
    return 0;
}

/* Also that no error of OpenSSL's is left for whoever looks next. */
static enum jwt_verdict
judge_by(struct slice document, const struct jwt_rules *demanded, struct slice token)
{
    struct jwks *jwks = jwks_parse(document, NULL);
    enum jwt_verdict verdict;
    struct jwt jwt;

    must(jwks != NULL);
    verdict = jwt_verify(jwks, demanded, token, NOW, &jwt);
    CU_ASSERT_EQUAL(jwt.claims != NULL, verdict == JWT_GOOD);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
    jwt_fini(&jwt);
    jwks_unref(jwks);
    return verdict;
}

static enum jwt_verdict
judge(enum jwt_algorithm algorithm, struct slice token)
{
    return judge_by(jwt_document(jwt_algorithm_key_kind(algorithm), ""), &rules, token);
}

/* Claims of a token that is as it should be otherwise. */
static enum jwt_verdict
judge_claims(const struct jwt_rules *demanded, const char *claims)
{
    return judge_by(jwt_document(JWT_KEY_P256, ""), demanded, jwt_token(JWT_ES256, "", claims));
}

static enum jwt_verdict
judge_header(const char *more)
{
    return judge(JWT_ES256, jwt_token(JWT_ES256, more, GOOD_CLAIMS));
}

/* ---- what is good */

/* RFC 7518 sections 3.3 to 3.5 and RFC 8037. */
static void
believes_every_algorithm(void)
{
    for (unsigned i = 0; i < JWT_ALGORITHM_COUNT; i++)
        CU_ASSERT_EQUAL(judge(i, jwt_token(i, "", GOOD_CLAIMS)), JWT_GOOD);
}

static void
hands_out_claims_and_end(void)
{
    struct jwks *jwks = jwks_parse(jwt_document(JWT_KEY_ED25519, ""), NULL);
    struct jwt jwt;

    CU_ASSERT_EQUAL(jwt_verify(jwks, &rules, jwt_token(JWT_EDDSA, "", GOOD_CLAIMS), NOW, &jwt),
                    JWT_GOOD);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(jwt.claims, "sub")), "ann");
    CU_ASSERT_EQUAL(jwt.exp_s, 1700000300);
    jwt_fini(&jwt);
    jwks_unref(jwks);
}

/* RFC 7515 appendix A.2: RS256, with line breaks in the claims. */
static void
believes_the_example_of_rs256(void)
{
    struct slice document = SLICE(
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W2"
        "6mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2j"
        "Z47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xs"
        "mtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91"
        "kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}]}");
    struct slice token = SLICE(
        "eyJhbGciOiJSUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ"
        ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W"
        "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
        "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
        "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw");

    /* It expired in 2011, which is said only after the signature was found good. */
    CU_ASSERT_EQUAL(judge_by(document, &rules, token), JWT_EXPIRED);
}

/* RFC 7515 appendix A.3: ES256. */
static void
believes_the_example_of_es256(void)
{
    struct slice document = SLICE(
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
        "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}");
    struct slice token = SLICE(
        "eyJhbGciOiJFUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");

    CU_ASSERT_EQUAL(judge_by(document, &rules, token), JWT_EXPIRED);
}

/* RFC 8037 appendix A.4: Ed25519. Its content is no JSON, which is said only after
 * the signature was found good. */
static void
believes_the_example_of_ed25519(void)
{
    struct slice document = SLICE(
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
        "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
    struct slice good = SLICE(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    struct slice bad = SLICE(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmb"
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");

    CU_ASSERT_EQUAL(judge_by(document, &rules, good), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_by(document, &rules, bad), JWT_SIGNATURE_WRONG);
}

/* RFC 8725 section 3.11, RFC 9068 section 2.1. */
static void
accepts_types_of_access_tokens_only(void)
{
    CU_ASSERT_EQUAL(judge_header(",\"typ\":\"JWT\""), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_header(",\"typ\":\"jwt\""), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_header(",\"typ\":\"at+jwt\""), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_header(",\"typ\":\"application/at+jwt\""), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_header(",\"typ\":\"logout+jwt\""), JWT_HEADER_REFUSED);
    CU_ASSERT_EQUAL(judge_header(",\"typ\":7"), JWT_HEADER_REFUSED);
}

/* ---- what is not */

/* RFC 8725 section 2.1. */
static void
refuses_none(void)
{
    static const char *const names[] = { "none", "None", "NONE", "nOnE", "" };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const char *header = arena_printf(&jwt_arena, "{\"alg\":\"%s\"}", names[i]).data;
        struct slice text = jwt_join(header, GOOD_CLAIMS);

        CU_ASSERT_EQUAL(judge(JWT_RS256, arena_printf(&jwt_arena, "%s.", text.data)),
                        JWT_ALGORITHM_REFUSED);
    }
    CU_ASSERT_EQUAL(judge(JWT_RS256, jwt_sign(jwt_key(JWT_KEY_RSA), JWT_RS256, "{}", GOOD_CLAIMS)),
                    JWT_ALGORITHM_REFUSED);
    CU_ASSERT_EQUAL(judge(JWT_RS256, jwt_sign(jwt_key(JWT_KEY_RSA), JWT_RS256, "{\"alg\":null}",
                                              GOOD_CLAIMS)), JWT_ALGORITHM_REFUSED);
}

/* RFC 8725 section 2.1: the public key taken for a shared secret. */
static void
refuses_a_public_key_as_secret(void)
{
    struct slice secret = jwt_document(JWT_KEY_RSA, "");
    struct slice text = jwt_join("{\"alg\":\"HS256\"}", GOOD_CLAIMS);
    unsigned char mac[32];

    HMAC(EVP_sha256(), secret.data, (int)secret.bytes, (const unsigned char *)text.data, text.bytes,
         mac, NULL);
    CU_ASSERT_EQUAL(judge(JWT_RS256, arena_printf(&jwt_arena, "%s.%s", text.data,
                                                  base64url_encode(&jwt_arena,
                                                                   slice_make((char *)mac, 32))
                                                      .data)),
                    JWT_ALGORITHM_REFUSED);
}

/* RFC 8725 section 3.1: the operator's choice decides. */
static void
refuses_algorithms_that_are_not_chosen(void)
{
    struct jwt_rules narrow = rules;

    for (unsigned i = 0; i < JWT_ALGORITHM_COUNT; i++) {
        struct slice document = jwt_document(jwt_algorithm_key_kind(i), "");
        struct slice token = jwt_token(i, "", GOOD_CLAIMS);

        narrow.algorithms = rules.algorithms & ~JWT_ALGORITHM_BIT(i);
        CU_ASSERT_EQUAL(judge_by(document, &narrow, token), JWT_ALGORITHM_REFUSED);
        narrow.algorithms = JWT_ALGORITHM_BIT(i);
        CU_ASSERT_EQUAL(judge_by(document, &narrow, token), JWT_GOOD);
    }
}

/* What the header says and what the key is, or how it was signed. */
static void
refuses_what_does_not_fit_together(void)
{
    struct slice document = jwt_document(JWT_KEY_RSA, ",\"alg\":\"RS256\"");
    EVP_PKEY *rsa = jwt_key(JWT_KEY_RSA), *ec = jwt_key(JWT_KEY_P256);

    CU_ASSERT_EQUAL(judge(JWT_RS256, jwt_token(JWT_ES256, "", GOOD_CLAIMS)), JWT_KEY_MISMATCH);
    CU_ASSERT_EQUAL(judge(JWT_ES384, jwt_token(JWT_ES256, "", GOOD_CLAIMS)), JWT_KEY_MISMATCH);
    CU_ASSERT_EQUAL(judge(JWT_EDDSA, jwt_token(JWT_RS256, "", GOOD_CLAIMS)), JWT_KEY_MISMATCH);
    CU_ASSERT_EQUAL(judge_by(document, &rules, jwt_token(JWT_RS256, "", GOOD_CLAIMS)), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_by(document, &rules, jwt_token(JWT_PS256, "", GOOD_CLAIMS)),
                    JWT_KEY_MISMATCH);
    CU_ASSERT_EQUAL(judge(JWT_RS256, jwt_sign(rsa, JWT_PS256, "{\"alg\":\"RS256\"}", GOOD_CLAIMS)),
                    JWT_SIGNATURE_WRONG);
    CU_ASSERT_EQUAL(judge(JWT_RS256, jwt_sign(rsa, JWT_RS256, "{\"alg\":\"PS256\"}", GOOD_CLAIMS)),
                    JWT_SIGNATURE_WRONG);
    CU_ASSERT_EQUAL(judge(JWT_RS256, jwt_sign(rsa, JWT_RS512, "{\"alg\":\"RS256\"}", GOOD_CLAIMS)),
                    JWT_SIGNATURE_WRONG);
    CU_ASSERT_EQUAL(judge(JWT_RS256, jwt_sign(ec, JWT_ES256, "{\"alg\":\"RS256\"}", GOOD_CLAIMS)),
                    JWT_SIGNATURE_WRONG);
}

static void
refuses_another_salt_length(void)
{
    struct slice text = jwt_join("{\"alg\":\"PS256\"}", GOOD_CLAIMS);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char out[256];
    size_t bytes = sizeof(out);
    EVP_PKEY_CTX *inner;

    must(EVP_DigestSignInit_ex(context, &inner, "SHA256", NULL, NULL, jwt_key(JWT_KEY_RSA), NULL));
    EVP_PKEY_CTX_set_rsa_padding(inner, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(inner, 20);
    must(EVP_DigestSign(context, out, &bytes, (const unsigned char *)text.data, text.bytes) == 1);
    EVP_MD_CTX_free(context);
    CU_ASSERT_EQUAL(judge(JWT_PS256, arena_printf(&jwt_arena, "%s.%s", text.data,
                                                  base64url_encode(&jwt_arena,
                                                                   slice_make((char *)out, bytes))
                                                      .data)),
                    JWT_SIGNATURE_WRONG);
}

/* Every bit of a token counts. */
static void
refuses_every_changed_letter(void)
{
    struct slice document = jwt_document(JWT_KEY_ED25519, "");
    struct slice token = jwt_token(JWT_EDDSA, "", GOOD_CLAIMS);

    for (size_t i = 0; i < token.bytes; i++) {
        struct slice copy = arena_copy(&jwt_arena, token);
        char *at = (char *)copy.data + i;

        *at = *at == 'A' ? 'B' : 'A';
        CU_ASSERT_NOT_EQUAL(judge_by(document, &rules, copy), JWT_GOOD);
        CU_ASSERT_NOT_EQUAL(judge_by(document, &rules, slice_make(token.data, i)), JWT_GOOD);
    }
}

/* RFC 7518 section 3.4; zeros are CVE-2022-21449. */
static void
refuses_ecdsa_of_another_form(void)
{
    struct slice text = jwt_join("{\"alg\":\"ES256\"}", GOOD_CLAIMS);
    char zeros[132] = { 0 };
    unsigned char der[128];
    size_t bytes = sizeof(der);
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    must(EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, jwt_key(JWT_KEY_P256), NULL));
    must(EVP_DigestSign(context, der, &bytes, (const unsigned char *)text.data, text.bytes) == 1);
    EVP_MD_CTX_free(context);
    CU_ASSERT_EQUAL(judge(JWT_ES256, arena_printf(&jwt_arena, "%s.%s", text.data,
                                                  base64url_encode(&jwt_arena,
                                                                   slice_make((char *)der, bytes))
                                                      .data)),
                    JWT_SIGNATURE_WRONG);
    for (size_t i = 0; i < sizeof(zeros); i++)
        CU_ASSERT_EQUAL(judge(JWT_ES256, arena_printf(&jwt_arena, "%s.%s", text.data,
                                                      base64url_encode(&jwt_arena,
                                                                       slice_make(zeros, i)).data)),
                        JWT_SIGNATURE_WRONG);
}

/* RFC 8725 section 3.10, RFC 7515 section 4.1.11. */
static void
refuses_keys_and_extensions_in_the_header(void)
{
    static const char *const members[] = {
        ",\"crit\":[\"exp\"],\"exp\":1", ",\"crit\":[]",   ",\"jku\":\"https://evil.test/\"",
        ",\"x5u\":\"https://evil.test/\"", ",\"x5c\":[\"MIIB\"]", ",\"b64\":false",
        ",\"enc\":\"A128GCM\"", ",\"zip\":\"DEF\"",
    };
    const char *own = arena_printf(&jwt_arena, ",\"jwk\":{%s}",
                                   jwt_members(jwt_key(JWT_KEY_P256), JWT_KEY_P256)).data;

    CU_ASSERT_EQUAL(judge_header(own), JWT_HEADER_REFUSED);
    for (size_t i = 0; i < ARRAY_COUNT(members); i++)
        CU_ASSERT_EQUAL(judge_header(members[i]), JWT_HEADER_REFUSED);
}

/* RFC 8725 section 2.6 and RFC 7515 section 4. */
static void
refuses_json_that_can_be_read_twice(void)
{
    EVP_PKEY *key = jwt_key(JWT_KEY_P256);

    CU_ASSERT_EQUAL(judge(JWT_ES256, jwt_sign(key, JWT_ES256,
                                              "{\"alg\":\"none\",\"alg\":\"ES256\"}", GOOD_CLAIMS)),
                    JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"sub\":\"a\",\"sub\":\"b\",\"exp\":1700000300}"),
                    JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"sub\":\"a\",\"\\u0073ub\":\"b\",\"exp\":1700000300}"),
                    JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"sub\":\"a\\u0000b\",\"exp\":1700000300}"),
                    JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"sub\":\"\xff\",\"exp\":1700000300}"), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, GOOD_CLAIMS "x"), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "[1]"), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, ""), JWT_MALFORMED);
}

static void
refuses_deep_nesting_and_length(void)
{
    char claims[7000], deep[4200];

    memset(deep, '[', 2000);
    memset(deep + 2000, ']', 2000);
    deep[4000] = '\0';
    snprintf(claims, sizeof(claims), "{\"exp\":1700000300,\"a\":%s}", deep);
    CU_ASSERT_EQUAL(judge_claims(&rules, claims), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1700000300,\"a\":[[[[[[[1]]]]]]]}"), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1700000300,\"a\":[[[[[[[[1]]]]]]]]}"),
                    JWT_MALFORMED);
    memset(deep, 'x', 4100);
    deep[4100] = '\0';
    snprintf(claims, sizeof(claims), "{\"exp\":1700000300,\"a\":\"%s\"}", deep);
    CU_ASSERT_EQUAL(judge_claims(&rules, claims), JWT_GOOD);
    memset(claims, ' ', 6400);
    strcpy(claims + 6400, GOOD_CLAIMS);
    CU_ASSERT_EQUAL(judge_claims(&rules, claims), JWT_TOO_LONG);
}

/* RFC 7515 section 7.1 (compact), RFC 7516 (five parts are encrypted). */
static void
refuses_other_forms(void)
{
    static const char *const forms[] = {
        "", ".", "..", "...", "a.b.c", "....", "e30.e30.", "eyJhbGciOiJFUzI1NiJ9..",
    };
    struct slice good = jwt_token(JWT_ES256, "", GOOD_CLAIMS);

    for (size_t i = 0; i < ARRAY_COUNT(forms); i++)
        CU_ASSERT_NOT_EQUAL(judge(JWT_ES256, slice_of(forms[i])), JWT_GOOD);
    CU_ASSERT_EQUAL(judge(JWT_ES256, arena_printf(&jwt_arena, "%s.", good.data)), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge(JWT_ES256, arena_printf(&jwt_arena, "%s=", good.data)), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge(JWT_ES256, arena_printf(&jwt_arena, "%s ", good.data)), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge(JWT_ES256, arena_printf(&jwt_arena, "=%s", good.data)), JWT_MALFORMED);
}

/* ---- which key */

static const char *
two_keys(const char *rsa_more, const char *ec_more)
{
    return arena_printf(&jwt_arena, "{\"keys\":[{%s%s},{%s%s}]}",
                        jwt_members(jwt_key(JWT_KEY_RSA), JWT_KEY_RSA), rsa_more,
                        jwt_members(jwt_key(JWT_KEY_P256), JWT_KEY_P256), ec_more).data;
}

static void
needs_a_key_by_its_name(void)
{
    struct slice set = slice_of(two_keys(",\"kid\":\"a\"", ",\"kid\":\"b\""));

    CU_ASSERT_EQUAL(judge_by(set, &rules, jwt_token(JWT_ES256, ",\"kid\":\"b\"", GOOD_CLAIMS)),
                    JWT_GOOD);
    CU_ASSERT_EQUAL(judge_by(set, &rules, jwt_token(JWT_ES256, ",\"kid\":\"a\"", GOOD_CLAIMS)),
                    JWT_KEY_MISMATCH);
    CU_ASSERT_EQUAL(judge_by(set, &rules, jwt_token(JWT_ES256, ",\"kid\":\"c\"", GOOD_CLAIMS)),
                    JWT_KEY_UNKNOWN);
    CU_ASSERT_EQUAL(judge_by(set, &rules, jwt_token(JWT_ES256, "", GOOD_CLAIMS)),
                    JWT_KEY_AMBIGUOUS);
    CU_ASSERT_EQUAL(judge_by(set, &rules, jwt_token(JWT_ES256, ",\"kid\":\"../../b\"",
                                                    GOOD_CLAIMS)), JWT_KEY_UNKNOWN);
    CU_ASSERT_EQUAL(judge_by(set, &rules, jwt_token(JWT_ES256, ",\"kid\":\"/dev/null\"",
                                                    GOOD_CLAIMS)), JWT_KEY_UNKNOWN);
    CU_ASSERT_EQUAL(judge_by(set, &rules, jwt_token(JWT_ES256, ",\"kid\":7", GOOD_CLAIMS)),
                    JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_by(set, &rules, jwt_token(JWT_ES256, ",\"kid\":\"a\",\"kid\":\"b\"",
                                                    GOOD_CLAIMS)), JWT_MALFORMED);
}

/* ---- times, for whom */

/* RFC 7519 section 4.1.4: on or after it; leeway is 60 s here. */
static void
ends_with_exp(void)
{
    struct jwt_rules lax = rules;

    lax.needs_exp = false;
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1699999941}"), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1699999940}"), JWT_EXPIRED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1699999941.5}"), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":-1}"), JWT_EXPIRED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":\"1800000000\"}"), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1e300}"), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":9223372036854775807}"), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":null}"), JWT_MALFORMED);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{}"), JWT_WITHOUT_EXP);
    CU_ASSERT_EQUAL(judge_claims(&lax, "{}"), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&lax, "{\"exp\":1699999940}"), JWT_EXPIRED);
}

/* RFC 7519 sections 4.1.5 and 4.1.6. */
static void
begins_with_nbf_and_iat(void)
{
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1800000000,\"nbf\":1700000060}"), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1800000000,\"nbf\":1700000061}"),
                    JWT_TOO_EARLY);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1800000000,\"iat\":1700000061}"),
                    JWT_TOO_EARLY);
    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1800000000,\"iat\":\"now\"}"), JWT_MALFORMED);
}

/* RFC 7519 sections 4.1.1 and 4.1.3. */
static void
is_of_whom_and_for_whom_it_must_be(void)
{
    struct slice issuers[] = { SLICE("https://a.test"), SLICE("https://b.test") };
    struct slice audiences[] = { SLICE("shop"), SLICE("desk") }, any[] = { SLICE("*") };
    struct jwt_rules wanted = rules;

    CU_ASSERT_EQUAL(judge_claims(&rules, "{\"exp\":1800000000,\"aud\":\"shop\"}"),
                    JWT_AUDIENCE_WRONG);
    wanted.issuers = (struct strings){ issuers, 2 };
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000,\"iss\":\"https://b.test\"}"),
                    JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000,\"iss\":\"https://b.test/\"}"),
                    JWT_ISSUER_WRONG);
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000,\"iss\":[\"https://b.test\"]}"),
                    JWT_ISSUER_WRONG);
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000}"), JWT_ISSUER_WRONG);
    wanted = rules;
    wanted.audiences = (struct strings){ audiences, 2 };
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000,\"aud\":\"desk\"}"), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000,\"aud\":[\"x\",\"shop\"]}"),
                    JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000,\"aud\":[\"x\",[\"shop\"]]}"),
                    JWT_AUDIENCE_WRONG);
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000,\"aud\":\"*\"}"),
                    JWT_AUDIENCE_WRONG);
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000}"), JWT_AUDIENCE_WRONG);
    wanted.audiences = (struct strings){ any, 1 };
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000,\"aud\":\"shop\"}"), JWT_GOOD);
    CU_ASSERT_EQUAL(judge_claims(&wanted, "{\"exp\":1800000000}"), JWT_GOOD);
}

void
suite_jwt(void)
{
    CU_pSuite s = CU_add_suite("jwt", set_up, tear_down);

    CU_add_test(s, "tokens of every algorithm are believed", believes_every_algorithm);
    CU_add_test(s, "a good token's claims and end are handed out", hands_out_claims_and_end);
    CU_add_test(s, "the RS256 example of RFC 7515 is believed", believes_the_example_of_rs256);
    CU_add_test(s, "the ES256 example of RFC 7515 is believed", believes_the_example_of_es256);
    CU_add_test(s, "the Ed25519 example of RFC 8037 is believed", believes_the_example_of_ed25519);
    CU_add_test(s, "tokens for something else are refused", accepts_types_of_access_tokens_only);
    CU_add_test(s, "none is no algorithm, however it is written", refuses_none);
    CU_add_test(s, "a public key is no shared secret", refuses_a_public_key_as_secret);
    CU_add_test(s, "only chosen algorithms are accepted", refuses_algorithms_that_are_not_chosen);
    CU_add_test(s, "algorithm, key and signature must fit", refuses_what_does_not_fit_together);
    CU_add_test(s, "the salt of PSS has one length", refuses_another_salt_length);
    CU_add_test(s, "every letter of a token counts", refuses_every_changed_letter);
    CU_add_test(s, "ECDSA signatures have one form", refuses_ecdsa_of_another_form);
    CU_add_test(s, "a token brings no key and no extension",
                refuses_keys_and_extensions_in_the_header);
    CU_add_test(s, "JSON that can be read in two ways is refused",
                refuses_json_that_can_be_read_twice);
    CU_add_test(s, "deep nesting and long tokens are refused", refuses_deep_nesting_and_length);
    CU_add_test(s, "other forms of tokens are refused", refuses_other_forms);
    CU_add_test(s, "among several keys one must be named", needs_a_key_by_its_name);
    CU_add_test(s, "exp ends a token", ends_with_exp);
    CU_add_test(s, "nbf and iat begin a token", begins_with_nbf_and_iat);
    CU_add_test(s, "issuer and audience are those demanded", is_of_whom_and_for_whom_it_must_be);
}
