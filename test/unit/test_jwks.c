/* SPDX-License-Identifier: BSD-2-Clause */
/* test_jwks.c - which documents of keys are taken (RFC 7517, 7518, 8037), and what
 * claims say of a user.
 */
#include "config.h"

#include "server/users/jwks.h"

#include "jwt_fixture.h"
#include "server/base/json_strict.h"
#include "server/base/must.h"
#include "server/users/jwt_claims.h"

#include <CUnit/CUnit.h>

void suite_jwks(void);

static int
set_up(void)
{
    arena_init(&jwt_arena, NULL, 8 << 20);
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&jwt_arena);
    return 0;
}

/* How many keys it has; -1 when the document is refused, and says words of why. */
static int
count(struct slice json, const char *words)
{
    struct err err = { "" };
    struct jwks *jwks = jwks_parse(json, &err);
    int keys = jwks != NULL ? (int)jwks->count : -1;

    if (words != NULL && strstr(err.text, words) == NULL)
        printf("# said: %s\n", err.text);
    CU_ASSERT(words == NULL || strstr(err.text, words) != NULL);
    jwks_unref(jwks);
    return keys;
}

static struct slice
one(const char *key)
{
    return arena_printf(&jwt_arena, "{\"keys\":[{%s}]}", key);
}

/* RFC 7517 appendix A.1: an EC and an RSA key; the former is for encryption. */
static void
reads_the_example(void)
{
    struct slice json = SLICE(
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
        "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
        "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"use\":\"enc\",\"kid\":\"1\"},"
        "{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z"
        "wu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN"
        "5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO"
        "pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU"
        "8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}]}");
    struct jwks *jwks = jwks_parse(json, NULL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(jwks);
    CU_ASSERT_EQUAL(jwks->count, 1);
    CU_ASSERT_EQUAL(jwks->keys[0].kind, JWT_KEY_RSA);
    CU_ASSERT_EQUAL(jwks->keys[0].algorithm, JWT_RS256);
    CU_ASSERT(slice_equal(jwks->keys[0].kid, SLICE("2011-04-29")));
    jwks_unref(jwks);
}

static void
reads_every_type(void)
{
    for (unsigned kind = 0; kind <= JWT_KEY_ED25519; kind++) {
        CU_ASSERT_EQUAL(count(jwt_document(kind, ""), NULL), 1);
        CU_ASSERT_EQUAL(count(jwt_document(kind, ",\"use\":\"sig\",\"kid\":\"x\""), NULL), 1);
        CU_ASSERT_EQUAL(count(jwt_document(kind, ",\"key_ops\":[\"verify\"]"), NULL), 1);
    }
}

/* RFC 7517 section 5: sets may have keys for others. */
static void
passes_over_keys_of_no_use(void)
{
    static const char *const others[] = {
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}", "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}", "{\"kty\":\"new\"}",
        "{}", "{\"kty\":\"RSA\",\"use\":\"enc\"}", "{\"kty\":\"RSA\",\"key_ops\":[\"sign\"]}",
    };
    const char *good = jwt_members(jwt_key(JWT_KEY_P256), JWT_KEY_P256);

    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        CU_ASSERT_EQUAL(count(arena_printf(&jwt_arena, "{\"keys\":[%s,{%s}]}", others[i], good),
                              NULL), 1);
        CU_ASSERT_EQUAL(count(arena_printf(&jwt_arena, "{\"keys\":[%s]}", others[i]),
                              "no key that could verify"), -1);
    }
    CU_ASSERT_EQUAL(count(jwt_document(JWT_KEY_RSA, ",\"alg\":\"RSA-OAEP\""), "no key"), -1);
}

/* RFC 7518 section 3.3: 2048 bits or more. */
static void
refuses_weak_rsa(void)
{
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    const char *n = jwt_number(jwt_key(JWT_KEY_RSA), OSSL_PKEY_PARAM_RSA_N, 0);
    static const char *const exponents[] = { "", "AA", "AQ", "AAE", "Ag", "AQAA", "AQAAAAAAAAAB" };

    CU_ASSERT_EQUAL(count(one(jwt_members(weak, JWT_KEY_RSA)), "key 1: has 1024 bits"), -1);
    EVP_PKEY_free(weak);
    for (size_t i = 0; i < ARRAY_COUNT(exponents); i++)
        CU_ASSERT_EQUAL(count(one(arena_printf(&jwt_arena, "\"kty\":\"RSA\",\"n\":\"%s\","
                                                           "\"e\":\"%s\"", n, exponents[i]).data),
                              "\"e\" is no exponent"), -1);
    CU_ASSERT_EQUAL(count(one("\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\""), "key 1"), -1);
    CU_ASSERT_EQUAL(count(one("\"kty\":\"RSA\",\"n\":\"+/\",\"e\":\"AQAB\""), "not base64url"),
                    -1);
    CU_ASSERT_EQUAL(count(one("\"kty\":\"RSA\",\"e\":\"AQAB\""), "\"n\" is missing"), -1);
}

/* Points of other curves give away or forge keys. */
static void
refuses_points_off_the_curve(void)
{
    EVP_PKEY *key = jwt_key(JWT_KEY_P256);
    const char *x = jwt_number(key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
    const char *zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    CU_ASSERT_EQUAL(count(one(arena_printf(&jwt_arena, "\"kty\":\"EC\",\"crv\":\"P-256\","
                                                       "\"x\":\"%s\",\"y\":\"%s\"", x, x).data),
                          "not on the curve"), -1);
    CU_ASSERT_EQUAL(count(one(arena_printf(&jwt_arena, "\"kty\":\"EC\",\"crv\":\"P-256\","
                                                       "\"x\":\"%s\",\"y\":\"%s\"", zero, zero)
                                  .data), "not on the curve"), -1);
    CU_ASSERT_EQUAL(count(one(arena_printf(&jwt_arena, "\"kty\":\"EC\",\"crv\":\"P-384\","
                                                       "\"x\":\"%s\",\"y\":\"%s\"", x, x).data),
                          "has 32 bytes, not 48"), -1);
    CU_ASSERT_EQUAL(count(one("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\""),
                          "has 3 bytes, not 32"), -1);
}

static void
refuses_keys_that_cannot_be_told_apart(void)
{
    const char *rsa = jwt_members(jwt_key(JWT_KEY_RSA), JWT_KEY_RSA);
    const char *ec = jwt_members(jwt_key(JWT_KEY_P256), JWT_KEY_P256);

    CU_ASSERT_EQUAL(count(arena_printf(&jwt_arena, "{\"keys\":[{%s,\"kid\":\"a\"},{%s,\"kid\":"
                                                   "\"a\"}]}", rsa, rsa), "key 2: another one"),
                    -1);
    /* RFC 7517 section 4.5: of different types they may. */
    CU_ASSERT_EQUAL(count(arena_printf(&jwt_arena, "{\"keys\":[{%s,\"kid\":\"a\"},{%s,\"kid\":"
                                                   "\"a\"}]}", rsa, ec), NULL), 2);
    CU_ASSERT_EQUAL(count(jwt_document(JWT_KEY_RSA, ",\"kid\":7"), "\"kid\" is not a string"), -1);
    CU_ASSERT_EQUAL(count(jwt_document(JWT_KEY_RSA, ",\"alg\":\"ES256\""), "\"alg\" is ES256"),
                    -1);
}

static void
refuses_what_is_no_set(void)
{
    static const char *const bad[] = { "", "{", "[]", "7", "{}", "{\"keys\":7}", "{\"keys\":{}}",
                                       "{\"keys\":[]}", "{\"keys\":[7]}",
                                       "{\"keys\":[],\"keys\":[]}" };
    char *large = arena_alloc(&jwt_arena, JWKS_BYTES_MAX + 1);

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_EQUAL(count(slice_of(bad[i]), ""), -1);
    memset(large, ' ', JWKS_BYTES_MAX + 1);
    CU_ASSERT_EQUAL(count(slice_make(large, JWKS_BYTES_MAX + 1), "more than"), -1);
}

static void
bounds_their_number(void)
{
    char *json = arena_alloc(&jwt_arena, JWKS_BYTES_MAX);
    size_t bytes = 0;

    bytes += (size_t)sprintf(json, "{\"keys\":[");
    for (int i = 0; i <= JWKS_KEYS_MAX; i++)
        bytes += (size_t)sprintf(json + bytes, "%s{%s,\"kid\":\"%d\"}", i > 0 ? "," : "",
                                 jwt_members(jwt_key(JWT_KEY_ED25519), JWT_KEY_ED25519), i);
    bytes += (size_t)sprintf(json + bytes, "]}");
    CU_ASSERT_EQUAL(count(slice_make(json, bytes), "more than 64"), -1);
}

static void
knows_equal_sets(void)
{
    struct jwks *a = jwks_parse(jwt_document(JWT_KEY_P256, ",\"kid\":\"a\""), NULL);
    struct jwks *b = jwks_parse(jwt_document(JWT_KEY_P256, ",\"kid\":\"a\",\"use\":\"sig\""), NULL);
    struct jwks *c = jwks_parse(jwt_document(JWT_KEY_P256, ",\"kid\":\"c\""), NULL);
    struct jwks *d = jwks_parse(jwt_document(JWT_KEY_RSA, ",\"kid\":\"a\""), NULL);

    CU_ASSERT(jwks_equal(a, b));
    CU_ASSERT_NOT_EQUAL(a->id, b->id);
    CU_ASSERT(!jwks_equal(a, c));
    CU_ASSERT(!jwks_equal(a, d));
    jwks_unref(a);
    jwks_unref(b);
    jwks_unref(c);
    jwks_unref(d);
}

/* ---- claims */

static bool
read_claims(const char *json, const char *groups_claim, struct user *user)
{
    static struct jwt_field_conf mail = { .claim = "email", .field = "X-Email" };
    static struct jwt_field_conf role = { .claim = "a.role", .field = "X-Role" };
    void *items[] = { &mail, &role };
    const struct config_list fields = { items, 2 };
    json_t *claims = json_strict_object(slice_of(json), 8, NULL);
    bool is_good;

    must(claims != NULL);
    is_good = jwt_claims_read(claims, "sub", groups_claim, &fields, &jwt_arena, user);
    json_decref(claims);
    return is_good;
}

static void
takes_name_and_groups(void)
{
    struct user user;

    CU_ASSERT(read_claims("{\"sub\":\"ann\",\"groups\":[\"a\",\"b c\"]}", "groups", &user));
    CU_ASSERT(slice_equal(user.name, SLICE("ann")));
    CU_ASSERT_EQUAL_FATAL(user.group_count, 2);
    CU_ASSERT(slice_equal(user.groups[1], SLICE("b c")));
    CU_ASSERT(read_claims("{\"sub\":\"ann\",\"scope\":\" x  y \"}", "scope", &user));
    CU_ASSERT_EQUAL_FATAL(user.group_count, 2);
    CU_ASSERT(slice_equal(user.groups[0], SLICE("x")) && slice_equal(user.groups[1], SLICE("y")));
    CU_ASSERT(read_claims("{\"sub\":\"ann\",\"r\":{\"s\":{\"t\":[\"z\"]}}}", "r.s.t", &user));
    CU_ASSERT_EQUAL(user.group_count, 1);
    CU_ASSERT(read_claims("{\"sub\":\"ann\",\"r.s\":\"z\",\"r\":{\"s\":\"q q\"}}", "r.s", &user));
    CU_ASSERT_EQUAL(user.group_count, 1);
    CU_ASSERT(read_claims("{\"sub\":\"ann\"}", "groups", &user));
    CU_ASSERT_EQUAL(user.group_count, 0);
}

static void
refuses_what_is_no_name_or_list(void)
{
    static const char *const bad[] = {
        "{}", "{\"sub\":\"\"}", "{\"sub\":7}", "{\"sub\":[\"ann\"]}", "{\"sub\":\"a\\nb\"}",
        "{\"sub\":\"ann\",\"groups\":7}", "{\"sub\":\"ann\",\"groups\":[\"a\",7]}",
        "{\"sub\":\"ann\",\"groups\":[\"\"]}", "{\"sub\":\"ann\",\"groups\":[\"a\\r\\nb\"]}",
        "{\"sub\":\"ann\",\"groups\":{\"a\":1}}",
    };
    char *many = arena_alloc(&jwt_arena, 4096);
    struct user user;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT(!read_claims(bad[i], "groups", &user));
    strcpy(many, "{\"sub\":\"ann\",\"groups\":\"");
    for (int i = 0; i <= JWT_GROUPS_MAX; i++)
        strcat(many, "g ");
    strcat(many, "\"}");
    CU_ASSERT(!read_claims(many, "groups", &user));
}

static void
tells_claims_in_fields(void)
{
    struct user user;

    CU_ASSERT(read_claims("{\"sub\":\"a\",\"email\":\" a@x.test \","
                          "\"a\":{\"role\":[\"r\",5,true]}}",
                          "groups", &user));
    CU_ASSERT_EQUAL_FATAL(user.field_count, 2);
    CU_ASSERT(slice_equal(user.fields[0].name, SLICE("X-Email")));
    CU_ASSERT(slice_equal(user.fields[0].value, SLICE("a@x.test")));
    CU_ASSERT(slice_equal(user.fields[1].value, SLICE("r, 5, true")));
    CU_ASSERT(read_claims("{\"sub\":\"a\",\"email\":\"a\\r\\nX-Admin: 1\","
                          "\"a\":{\"role\":[\"r,s\"]}}",
                          "groups", &user));
    CU_ASSERT_EQUAL(user.field_count, 0);
}

void
suite_jwks(void)
{
    CU_pSuite s = CU_add_suite("jwks", set_up, tear_down);

    CU_add_test(s, "the example of RFC 7517 is read", reads_the_example);
    CU_add_test(s, "keys of every type are read", reads_every_type);
    CU_add_test(s, "keys of no use are passed over", passes_over_keys_of_no_use);
    CU_add_test(s, "weak RSA keys are refused", refuses_weak_rsa);
    CU_add_test(s, "points that are not on the curve are refused", refuses_points_off_the_curve);
    CU_add_test(s, "keys must be told apart", refuses_keys_that_cannot_be_told_apart);
    CU_add_test(s, "what is no set of keys is refused", refuses_what_is_no_set);
    CU_add_test(s, "there is an end to their number", bounds_their_number);
    CU_add_test(s, "equal sets are known as such", knows_equal_sets);
    CU_add_test(s, "claims give name and groups", takes_name_and_groups);
    CU_add_test(s, "claims that are no name or list are refused",
                refuses_what_is_no_name_or_list);
    CU_add_test(s, "claims are told in fields, if they can be", tells_claims_in_fields);
}
